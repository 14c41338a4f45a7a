/* SPDX-License-Identifier: Apache-2.0 */
/* Spools of an earlier process: checked as a whole and without a name before any of them is handed out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "log/crc32c.h"
#include "processors/common/spool_priv.h"

enum { READ_BYTES = 1 << 20, MAX_FRAME_BYTES = 1 << 30, MAX_FILES = 4096 };

/* ---- frames ----------------------------------------------------------------------------------------------- */

struct reader {
    const struct gw_spool_file *f;
    struct gw_buf buf;
    size_t at;     /* in buf: what is behind was not looked at */
    uint64_t from; /* of the file: what comes behind buf */
    struct gw_env *env;
    uint8_t type;
    struct gw_slice body;
    bool damaged; /* something could not be read */
    /* taking up */
    unsigned index;
    bool has_part;
    struct gw_spooled part;
};

static void open_reader(struct reader *r, struct gw_env *env, const struct gw_spool_file *f)
{
    *r = (struct reader){.f = f, .env = env};
    gw_buf_init(&r->buf, (size_t)MAX_FRAME_BYTES + 2 * READ_BYTES);
}

/* n bytes from `at` on are there. False: the file ends before, or cannot be read. */
static bool fill(struct reader *r, size_t n)
{
    size_t left = r->buf.n - r->at, want = n - left > READ_BYTES ? n - left : READ_BYTES;

    if (left >= n)
        return true;
    if (n - left > r->f->n_bytes - r->from)
        return false;
    if (left)
        memmove(r->buf.p, r->buf.p + r->at, left);
    r->buf.n = left;
    r->at = 0;
    if (want > r->f->n_bytes - r->from)
        want = (size_t)(r->f->n_bytes - r->from);
    if (gw_buf_reserve(&r->buf, want) < 0)
        return false;
    while (want) {
        ssize_t got = r->env->ops->file_pread(r->f->file, r->buf.p + r->buf.n, want, r->from);

        if (got <= 0)
            return false;
        r->buf.n += (size_t)got;
        r->from += (uint64_t)got;
        want -= (size_t)got;
    }
    return true;
}

static bool is_at_end(const struct reader *r)
{
    return r->at == r->buf.n && r->from == r->f->n_bytes;
}

/* The next whole frame. False: there is none. What is damaged is passed over, as far as its length can be trusted. */
static bool next_frame(struct reader *r)
{
    struct gw_frame_head head;

    while (!is_at_end(r)) {
        if (!fill(r, sizeof(head)))
            break;
        memcpy(&head, r->buf.p + r->at, sizeof(head));
        if (head.head_crc != gw_crc32c(0, &head, offsetof(struct gw_frame_head, head_crc)) ||
            head.n_bytes > MAX_FRAME_BYTES || !fill(r, sizeof(head) + head.n_bytes))
            break;
        r->type = (uint8_t)head.type;
        r->body = gw_slice_of(r->buf.p + r->at + sizeof(head), head.n_bytes);
        r->at += sizeof(head) + head.n_bytes;
        if (gw_crc32c(0, r->body.p, r->body.n) == head.body_crc)
            return true;
        r->damaged = true;
    }
    r->damaged |= !is_at_end(r);
    return false;
}

static bool parse_part(struct gw_slice body, struct gw_spooled *ret)
{
    struct gw_spool_in in = {.left = body};
    struct gw_slice id;

    ret->waited_ns = gw_spool_get_u64(&in);
    id = gw_spool_get(&in, sizeof(ret->id));
    if (id.n)
        memcpy(ret->id, id.p, sizeof(ret->id));
    ret->left_ns = gw_spool_get_u64(&in);
    ret->n_spans = gw_spool_get_u32(&in);
    ret->part = gw_spool_get_u32(&in);
    ret->facts = gw_spool_get_bytes(&in);
    ret->spans = in.left;
    return !in.bad;
}

/* ---- checking --------------------------------------------------------------------------------------------- */

static bool is_text(struct gw_slice s, const char *text)
{
    return s.n == strlen(text) + 1 && memcmp(s.p, text, s.n) == 0;
}

static bool read_head(const struct gw_spool *s, struct gw_spool_file *f, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};

    if (!is_text(gw_spool_get_bytes(&in), FORMAT))
        return false;
    f->is_kind = is_text(gw_spool_get_bytes(&in), s->kind);
    f->worker = gw_spool_get_u32(&in);
    f->n_workers = gw_spool_get_u32(&in);
    f->n_wanted = gw_spool_get_u64(&in);
    return !in.bad;
}

/* All of it is read once. False: something is missing. */
static bool check_file(const struct gw_spool *s, struct gw_spool_file *f)
{
    bool has_head = false, has_end = false, ok = true;
    struct gw_spooled part;
    struct reader r;

    open_reader(&r, s->env, f);
    while (next_frame(&r)) {
        if (r.type == FRAME_HEAD)
            has_head = read_head(s, f, r.body);
        else if (r.type == FRAME_PART && parse_part(r.body, &part))
            f->n_spans += part.n_spans;
        has_end = r.type == FRAME_END;
    }
    ok = has_head && has_end && !r.damaged && f->n_spans == f->n_wanted;
    gw_buf_clear(&r.buf);
    return ok;
}

static void tell(struct gw_spool *s, const struct gw_spool_file *f, const char *to)
{
    uint64_t lost = f->n_wanted > f->n_spans ? f->n_wanted - f->n_spans : 0;

    gw_metric_add(s->damaged, 1);
    gw_metric_add(s->lost, lost);
    if (f->n_wanted)
        gw_log_at(
            &s->logger, GW_LOG_ERROR, &(struct gw_log_site){0},
            "spool %s/%s is damaged, or its writing was cut short: %llu of its %llu spans are lost, the others are "
            "taken up; it is set aside as %s",
            s->folder, f->name, (unsigned long long)lost, (unsigned long long)f->n_wanted, to);
    else
        gw_log_at(
            &s->logger, GW_LOG_ERROR, &(struct gw_log_site){0},
            "spool %s/%s is damaged, and nobody knows how many spans are lost; %llu are taken up; it is set aside as "
            "%s",
            s->folder, f->name, (unsigned long long)f->n_spans, to);
}

static int open_file(const struct gw_spool *s, struct gw_spool_file *f, const char *path)
{
    int64_t size;
    int rc = s->env->ops->file_open(s->env, path, GW_OPEN_READ, 0, &f->file);

    if (rc < 0) {
        f->file = NULL;
        return rc;
    }
    size = s->env->ops->file_size(f->file);
    f->n_bytes = size > 0 ? (uint64_t)size : 0;
    return size < 0 ? (int)size : 0;
}

/* Its name goes, so that no other start finds it. Errors: then it must not be taken up. */
static int take_name(struct gw_spool *s, struct gw_spool_file *f, const char *path)
{
    char aside[GW_SPOOL_PATH + MAX_NAME_BYTES + 16];
    int rc;

    if (f->n_bytes == 0 || check_file(s, f))
        return s->env->ops->file_remove(s->env, path);
    (void)snprintf(aside, sizeof(aside), "%s.damaged", path);
    rc = s->env->ops->file_rename(s->env, path, aside);
    if (rc == 0)
        tell(s, f, aside);
    return rc;
}

static void claim_file(struct gw_spool *s, struct gw_spool_file *f)
{
    char path[GW_SPOOL_PATH + MAX_NAME_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/%s", s->folder, f->name);
    rc = open_file(s, f, path);
    if (rc == 0)
        rc = take_name(s, f, path);
    if (rc == 0)
        return;
    gw_log_at(&s->logger, GW_LOG_ERROR, &(struct gw_log_site){0}, "spool %s: %s; it is left as it is, and not taken up",
              path, strerror(-rc));
    if (f->file)
        s->env->ops->file_close(f->file);
    f->file = NULL;
}

/* ---- finding ---------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && n <= MAX_NAME_BYTES && strcmp(name + n - m, ending) == 0;
}

static void found(void *arg, const char *name)
{
    struct gw_spool *s = arg;
    struct gw_spool_file *more;

    if (!ends_with(name, ".spool") && !ends_with(name, ".part"))
        return;
    if (s->n_files == s->cap_files) {
        unsigned cap = s->cap_files ? 2 * s->cap_files : 16;

        more = cap <= MAX_FILES ? realloc(s->files, cap * sizeof(*s->files)) : NULL;
        if (!more) {
            gw_log(&s->logger, GW_LOG_ERROR, "spool %s/%s: one too many; it waits for another start", s->folder, name);
            return;
        }
        s->files = more;
        s->cap_files = cap;
    }
    s->files[s->n_files] = (struct gw_spool_file){.name = strdup(name)};
    s->n_files += s->files[s->n_files].name != NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gw_spool_file *)a)->name, ((const struct gw_spool_file *)b)->name);
}

static void claim(struct gw_spool *s)
{
    int rc = s->env->ops->dir_list(s->env, s->folder, found, s);

    s->is_claimed = true;
    if (rc < 0 && rc != -ENOENT)
        gw_log(&s->logger, GW_LOG_ERROR, "spool %s cannot be looked through: %s", s->folder, strerror(-rc));
    if (s->n_files == 0)
        return;
    qsort(s->files, s->n_files, sizeof(*s->files), by_name);
    for (unsigned i = 0; i < s->n_files; i++)
        claim_file(s, &s->files[i]);
    (void)s->env->ops->dir_sync(s->env, s->folder); /* a power cut must not bring them back */
}

void gw_spool_close_files(struct gw_spool *s)
{
    for (unsigned i = 0; i < s->n_files; i++) {
        if (s->files[i].file)
            s->env->ops->file_close(s->files[i].file);
        free(s->files[i].name);
    }
    free(s->files);
    s->files = NULL;
    s->n_files = s->cap_files = 0;
}

bool gw_spool_is_claimed(struct gw_spool *s)
{
    bool is;

    (void)pthread_mutex_lock(&s->lock);
    is = s->is_claimed;
    (void)pthread_mutex_unlock(&s->lock);
    return is;
}

/* ---- taking up -------------------------------------------------------------------------------------------- */

struct taking {
    struct gw_spool *s;
    const struct gw_ctx *ctx;
    const struct gw_spool_visitor *v;
    struct reader *readers;
    unsigned n;
    uint64_t n_spans, n_lost;
};

/* With as many workers as then each has its own. */
static bool is_for(const struct gw_spool_file *f, const struct gw_ctx *ctx)
{
    return f->file && f->n_bytes && (f->n_workers != ctx->n_workers || f->worker == ctx->worker);
}

bool gw_spool_is_mine(const struct gw_ctx *ctx, const uint8_t id[16])
{
    return gw_hash_deal(gw_slice_of(id, 16), ctx->n_workers) == ctx->worker;
}

static void step(struct taking *k, struct reader *r)
{
    r->has_part = false;
    while (!r->has_part && next_frame(r)) {
        if (r->type == FRAME_PART)
            r->has_part = parse_part(r->body, &r->part) && gw_spool_is_mine(k->ctx, r->part.id);
        else if (r->f->is_kind && r->type >= 'A' && r->type <= 'Z')
            k->v->note(k->v->arg, r->type, r->body, r->index, k->n);
    }
    if (!r->f->is_kind)
        r->part.facts = (struct gw_slice){0};
}

/* The one that has waited longest: then of the same file, so that the parts of a trace stay together. */
static struct reader *longest(struct taking *k)
{
    struct reader *ret = NULL;

    for (unsigned i = 0; i < k->n; i++)
        if (k->readers[i].has_part && (!ret || k->readers[i].part.waited_ns > ret->part.waited_ns))
            ret = &k->readers[i];
    return ret;
}

static void take_up(struct taking *k)
{
    struct reader *r;

    for (unsigned i = 0; i < k->s->n_files; i++)
        if (is_for(&k->s->files[i], k->ctx)) {
            open_reader(&k->readers[k->n], k->s->env, &k->s->files[i]);
            k->readers[k->n].index = k->n;
            k->n++;
        }
    for (unsigned i = 0; i < k->n; i++)
        step(k, &k->readers[i]);
    while ((r = longest(k)) != NULL) {
        if (k->v->part(k->v->arg, &r->part))
            k->n_spans += r->part.n_spans;
        else
            k->n_lost += r->part.n_spans;
        step(k, r);
    }
    for (unsigned i = 0; i < k->n; i++)
        gw_buf_clear(&k->readers[i].buf);
}

static void tell_of(const struct taking *k)
{
    gw_metric_add(k->s->taken_up, k->n_spans);
    gw_metric_add(k->s->lost, k->n_lost);
    if (k->n_spans)
        gw_log(&k->s->logger, GW_LOG_INFO, "%llu spans that waited in %s are taken up by worker %u",
               (unsigned long long)k->n_spans, k->s->folder, k->ctx->worker);
    if (k->n_lost)
        gw_log(&k->s->logger, GW_LOG_ERROR, "%llu spans of %s are lost: out of memory", (unsigned long long)k->n_lost,
               k->s->folder);
}

void gw_spool_take_up(struct gw_spool *s, const struct gw_ctx *ctx, const struct gw_spool_visitor *v)
{
    struct taking k = {.s = s, .ctx = ctx, .v = v};

    (void)pthread_mutex_lock(&s->lock);
    if (!s->is_claimed)
        claim(s);
    (void)pthread_mutex_unlock(&s->lock);
    if (s->n_files == 0)
        return;
    k.readers = calloc(s->n_files, sizeof(*k.readers));
    if (k.readers)
        take_up(&k);
    else
        gw_log(&s->logger, GW_LOG_ERROR, "spool %s: out of memory", s->folder);
    free(k.readers);
    tell_of(&k);
    (void)pthread_mutex_lock(&s->lock);
    if (++s->n_read == ctx->n_workers)
        gw_spool_close_files(s);
    (void)pthread_mutex_unlock(&s->lock);
}
