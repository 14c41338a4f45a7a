/* SPDX-License-Identifier: Apache-2.0 */
/* Where spools lie, and writing one. Numbers are as the machine has them: a disk does not change its machine's kind. */
#include "processors/common/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/crc32c.h"
#include "pipeline/host.h"
#include "processors/common/spool_priv.h"

enum { FLUSH_BYTES = 1 << 20, MAX_OUT_BYTES = 1 << 30, FOLDER_MODE = 0700, FILE_MODE = 0600 };
/* Of a part: what stands before the number of its spans. */
enum { SPANS_AT = 8 + 16 + 8 };

/* ---- where ------------------------------------------------------------------------------------------------ */

/* A file's name may hold anything but a slash and a zero; ours hold less, so that they look the same everywhere. */
static void put_escaped(struct gw_buf *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';

        if (plain)
            gw_buf_put_u8(b, c);
        else
            gw_buf_printf(b, "%%%02X", c);
    }
}

static int name_folder(struct gw_spool *s, const struct gw_ctx *ctx, const char *directory)
{
    struct gw_buf b;
    size_t name;
    int rc = 0;

    gw_buf_init(&b, GW_SPOOL_PATH);
    gw_buf_printf(&b, "%s/spool/", directory);
    name = b.n;
    put_escaped(&b, ctx->pipeline ? ctx->pipeline : "");
    gw_buf_put_u8(&b, ',');
    put_escaped(&b, ctx->id);
    (void)snprintf(s->directory, sizeof(s->directory), "%s", directory);
    if (b.n - name > MAX_NAME_BYTES || b.n >= sizeof(s->folder) || b.failed)
        rc = -ENAMETOOLONG;
    else
        (void)snprintf(s->folder, sizeof(s->folder), "%.*s", (int)b.n, (const char *)b.p);
    gw_buf_clear(&b);
    return rc;
}

static struct gw_metric *spans(const struct gw_ctx *ctx, const char *what)
{
    const struct gw_label labels[] = {
        {"component", ctx->id}, {"pipeline", ctx->pipeline ? ctx->pipeline : ""}, {"what", what}};

    return gw_meter_get(ctx->meter, GW_COUNTER, "staunch_spool_spans",
                        "Spans that waited at the end: written to disk, taken up again, lost with what was damaged.",
                        labels, 3);
}

static void make_metrics(struct gw_spool *s, const struct gw_ctx *ctx)
{
    const struct gw_label labels[] = {{"component", ctx->id}, {"pipeline", ctx->pipeline ? ctx->pipeline : ""}};

    s->written = spans(ctx, "written");
    s->taken_up = spans(ctx, "taken_up");
    s->lost = spans(ctx, "lost");
    s->damaged = gw_meter_get(ctx->meter, GW_COUNTER, "staunch_spool_damaged_files",
                              "Spools that could not be read as a whole, and were set aside.", labels, 2);
}

int gw_spool_new(struct gw_spool **ret, const struct gw_ctx *ctx, const char *storage, const char *kind,
                 struct gw_err *err)
{
    struct gw_spool *s;
    int rc = ctx->host && ctx->host->ops ? ctx->host->ops->storage(ctx->host, storage, &(struct gw_storage){0}, err)
                                         : gw_fail(err, -ENOENT, "storage \"%s\": there is none", storage);

    if (rc < 0)
        return rc;
    s = calloc(1, sizeof(*s));
    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    (void)ctx->host->ops->storage(ctx->host, storage, &s->storage, err);
    s->env = ctx->env;
    s->logger = ctx->logger;
    s->kind = kind;
    (void)pthread_mutex_init(&s->lock, NULL);
    make_metrics(s, ctx);
    rc = name_folder(s, ctx, s->storage.directory);
    if (rc < 0) {
        gw_spool_free(s);
        return gw_fail(err, rc, "storage %s: the name of its folder for %s would be too long", storage, ctx->id);
    }
    *ret = s;
    return 0;
}

void gw_spool_free(struct gw_spool *s)
{
    if (!s)
        return;
    gw_spool_close_files(s);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

bool gw_spool_is_due(const struct gw_spool *s, const struct gw_ctx *ctx)
{
    return s && !ctx->host->for_replay && !ctx->host->ops->is_ready(ctx->host);
}

/* ---- the disk --------------------------------------------------------------------------------------------- */

static int make_folder(struct gw_spool *s)
{
    char *slash = strrchr(s->folder, '/');
    int rc;

    *slash = '\0';
    rc = s->env->ops->dir_make(s->env, s->folder, FOLDER_MODE);
    if ((rc == 0 || rc == -EEXIST) && s->storage.sync)
        rc = gw_env_sync_name(s->env, s->folder);
    *slash = '/';
    if (rc < 0 && rc != -EEXIST)
        return rc;
    rc = s->env->ops->dir_make(s->env, s->folder, FOLDER_MODE);
    if ((rc == 0 || rc == -EEXIST) && s->storage.sync)
        rc = gw_env_sync_name(s->env, s->folder);
    return rc == -EEXIST ? 0 : rc;
}

/* What the storage's logs leave free is left free here, too. */
static int look_for_room(struct gw_spool *s, uint64_t n_bytes)
{
    uint64_t reserve = s->storage.reserve_bytes ? s->storage.reserve_bytes : 2 * s->storage.segment_bytes, room, all;

    if (s->env->ops->disk_space(s->env, s->directory, &room, &all) < 0)
        return 0; /* writing will tell */
    return room < n_bytes + reserve ? -ENOSPC : 0;
}

static void with_ending(const struct gw_spool_writer *w, const char *ending, char ret[GW_SPOOL_PATH + 8])
{
    (void)snprintf(ret, GW_SPOOL_PATH + 8, "%s%s", w->path, ending);
}

static void flush(struct gw_spool_writer *w)
{
    size_t at = 0;

    if (w->out.failed && w->error == 0)
        w->error = gw_buf_error(&w->out);
    while (w->error == 0 && at < w->out.n) {
        struct iovec iov = {w->out.p + at, w->out.n - at};
        ssize_t n = w->spool->env->ops->file_writev(w->file, &iov, 1);

        if (n < 0)
            w->error = (int)n;
        else if (n == 0)
            w->error = -ENOSPC;
        else
            at += (size_t)n;
    }
    gw_buf_reset(&w->out);
}

/* What was not finished must not be found: what is in it goes another way now. */
static void abandon(struct gw_spool_writer *w)
{
    const struct gw_env_ops *ops = w->spool->env->ops;
    char path[GW_SPOOL_PATH + 8];
    int rc, emptied = -EBADF;

    with_ending(w, ".part", path);
    if (w->file) {
        emptied = ops->file_truncate(w->file, 0);
        ops->file_close(w->file);
    }
    w->file = NULL;
    rc = ops->file_remove(w->spool->env, path);
    if (rc < 0 && rc != -ENOENT && emptied < 0)
        gw_log(&w->spool->logger, GW_LOG_ERROR,
               "%s can neither be emptied nor removed (%s): remove it, or what is in it will be taken up once more",
               path, strerror(-rc));
}

/* ---- frames ----------------------------------------------------------------------------------------------- */

static struct gw_buf *open_frame(struct gw_spool_writer *w, uint8_t type)
{
    const struct gw_frame_head head = {.type = type};

    if (w->out.n >= FLUSH_BYTES)
        flush(w);
    w->frame = w->out.n;
    gw_buf_put(&w->out, &head, sizeof(head));
    return &w->out;
}

static void close_frame(struct gw_spool_writer *w)
{
    struct gw_frame_head head;
    uint8_t *p = w->out.p + w->frame;

    if (w->out.failed)
        return;
    memcpy(&head, p, sizeof(head));
    head.n_bytes = (uint32_t)(w->out.n - w->frame - sizeof(head));
    head.body_crc = gw_crc32c(0, p + sizeof(head), head.n_bytes);
    head.head_crc = gw_crc32c(0, &head, offsetof(struct gw_frame_head, head_crc));
    memcpy(p, &head, sizeof(head));
}

struct gw_buf *gw_spool_open_note(struct gw_spool_writer *w, uint8_t type)
{
    return open_frame(w, type);
}

void gw_spool_close_note(struct gw_spool_writer *w)
{
    close_frame(w);
}

struct gw_buf *gw_spool_open_part(struct gw_spool_writer *w, const struct gw_spooled *part)
{
    struct gw_buf *b = open_frame(w, FRAME_PART);

    gw_spool_put_u64(b, part->waited_ns);
    gw_buf_put(b, part->id, sizeof(part->id));
    gw_spool_put_u64(b, part->left_ns);
    gw_spool_put_u32(b, 0); /* spans */
    gw_spool_put_u32(b, part->part);
    gw_spool_put_bytes(b, part->facts);
    w->n_traces += part->part == 0;
    return b;
}

void gw_spool_close_part(struct gw_spool_writer *w, uint32_t n_spans)
{
    if (n_spans == 0 && !w->out.failed)
        w->out.n = w->frame;
    if (n_spans == 0 || w->out.failed)
        return;
    memcpy(w->out.p + w->frame + sizeof(struct gw_frame_head) + SPANS_AT, &n_spans, sizeof(n_spans));
    w->n_spans += n_spans;
    close_frame(w);
}

/* ---- a file ----------------------------------------------------------------------------------------------- */

static void put_head(struct gw_spool_writer *w, const struct gw_ctx *ctx, uint64_t n_spans)
{
    struct gw_buf *b = open_frame(w, FRAME_HEAD);

    gw_spool_put_text(b, FORMAT);
    gw_spool_put_text(b, w->spool->kind);
    gw_spool_put_u32(b, ctx->worker);
    gw_spool_put_u32(b, ctx->n_workers);
    gw_spool_put_u64(b, n_spans);
    close_frame(w);
}

int gw_spool_begin(struct gw_spool_writer *w, struct gw_spool *s, const struct gw_ctx *ctx, uint64_t n_spans,
                   uint64_t n_bytes)
{
    char path[GW_SPOOL_PATH + 8];
    int rc;

    *w = (struct gw_spool_writer){.spool = s};
    gw_buf_init(&w->out, MAX_OUT_BYTES);
    (void)snprintf(w->path, sizeof(w->path), "%s/%020llu-%u-%u-of-%u", s->folder,
                   (unsigned long long)gw_wall_ns(s->env), atomic_fetch_add(&s->n_files_made, 1), ctx->worker,
                   ctx->n_workers);
    with_ending(w, ".part", path);
    rc = look_for_room(s, n_bytes);
    (void)pthread_mutex_lock(&s->lock);
    if (rc == 0)
        rc = make_folder(s);
    (void)pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        rc = s->env->ops->file_open(s->env, path, GW_OPEN_WRITE | GW_OPEN_CREATE | GW_OPEN_EXCLUSIVE, FILE_MODE,
                                    &w->file);
    if (rc < 0) {
        w->file = NULL;
        return rc;
    }
    put_head(w, ctx, n_spans);
    return 0;
}

static int finish(struct gw_spool_writer *w)
{
    struct gw_spool *s = w->spool;
    char from[GW_SPOOL_PATH + 8], to[GW_SPOOL_PATH + 8];
    struct gw_buf *b = open_frame(w, FRAME_END);

    gw_spool_put_u64(b, w->n_traces);
    gw_spool_put_u64(b, w->n_spans);
    close_frame(w);
    flush(w);
    if (w->error == 0 && s->storage.sync)
        w->error = s->env->ops->file_sync(w->file);
    with_ending(w, ".part", from);
    with_ending(w, ".spool", to);
    if (w->error == 0)
        w->error = s->env->ops->file_rename(s->env, from, to);
    if (w->error == 0 && s->storage.sync)
        (void)gw_env_sync_name(s->env, to); /* under either name it is taken up */
    return w->error;
}

int gw_spool_seal(struct gw_spool_writer *w)
{
    int rc = finish(w);

    if (rc < 0)
        abandon(w);
    else
        w->spool->env->ops->file_close(w->file);
    w->file = NULL;
    gw_buf_clear(&w->out);
    if (rc == 0)
        gw_metric_add(w->spool->written, w->n_spans);
    return rc;
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

void gw_spool_put_bytes(struct gw_buf *b, struct gw_slice bytes)
{
    gw_spool_put_u32(b, (uint32_t)bytes.n);
    gw_buf_put(b, bytes.p, bytes.n);
}

void gw_spool_put_text(struct gw_buf *b, const char *text)
{
    gw_spool_put_u32(b, text ? (uint32_t)strlen(text) + 1 : 0);
    if (text)
        gw_buf_put(b, text, strlen(text) + 1);
}

struct gw_slice gw_spool_get(struct gw_spool_in *in, size_t n)
{
    struct gw_slice ret = {in->left.p, n};

    if (n > in->left.n) {
        in->bad = true;
        in->left.n = 0;
        return (struct gw_slice){0};
    }
    in->left = gw_slice_of(in->left.p + n, in->left.n - n);
    return ret;
}

uint8_t gw_spool_get_u8(struct gw_spool_in *in)
{
    struct gw_slice s = gw_spool_get(in, 1);

    return s.n ? *s.p : 0;
}

uint32_t gw_spool_get_u32(struct gw_spool_in *in)
{
    struct gw_slice s = gw_spool_get(in, sizeof(uint32_t));
    uint32_t v = 0;

    if (s.n)
        memcpy(&v, s.p, sizeof(v));
    return v;
}

uint64_t gw_spool_get_u64(struct gw_spool_in *in)
{
    struct gw_slice s = gw_spool_get(in, sizeof(uint64_t));
    uint64_t v = 0;

    if (s.n)
        memcpy(&v, s.p, sizeof(v));
    return v;
}

struct gw_slice gw_spool_get_bytes(struct gw_spool_in *in)
{
    return gw_spool_get(in, gw_spool_get_u32(in));
}

const char *gw_spool_get_text(struct gw_spool_in *in, struct gw_arena *arena)
{
    struct gw_slice s = gw_spool_get_bytes(in);

    if (s.n == 0)
        return NULL;
    if (s.p[s.n - 1] != 0) {
        in->bad = true;
        return NULL;
    }
    return (const char *)gw_arena_dup(arena, s).p;
}
