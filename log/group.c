/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building and writing groups. What the log adds lies in one buffer, one behind the other, so that two neighbours go
 * out as one piece; bodies go out from where their owners have them.
 *
 *   out.p   head │ pad head │ pad head body… │ head commit          file   head meta body pad head meta body pad …
 *   iov     └─ 0 ┘ meta body └── 3 ──┘ meta body └──── 6 ────┘
 */
#include <stdlib.h>

#include "log/crc32c.h"
#include "log/impl.h"

enum { IOV_A_CALL = 1024, FILL_SHARE = 256 /* of a segment */, FILL_BYTES = 256 << 10, ZEROS = 16 << 10, PAGE = 4096 };

static const uint8_t zeros[ZEROS];

static int reserve_bytes(struct gw_lf_out *o, size_t more)
{
    size_t cap = o->cap ? o->cap : 64 << 10;
    uint8_t *p;

    if (o->n + more <= o->cap)
        return 0;
    while (cap < o->n + more)
        cap *= 2;
    p = malloc(cap);
    if (!p)
        return -ENOMEM;
    if (o->n > 0)
        memcpy(p, o->p, o->n);
    for (size_t i = 0; i < o->n_iov; i++) {
        uint8_t *base = o->iov[i].iov_base;

        if (base >= o->p && base < o->p + o->n)
            o->iov[i].iov_base = p + (base - o->p);
    }
    free(o->p);
    o->p = p;
    o->cap = cap;
    return 0;
}

int gw_lf_out_reserve(struct gw_lf *l, size_t head_bytes, size_t n_iov)
{
    struct gw_lf_out *o = &l->out;
    size_t cap = o->cap_iov ? o->cap_iov : IOV_A_CALL;
    struct iovec *iov;
    int rc = reserve_bytes(o, head_bytes + GW_LF_COMMIT);

    n_iov += 1 + FILL_BYTES / ZEROS + 1 + o->n_iov;
    if (rc < 0 || n_iov <= o->cap_iov)
        return rc;
    while (cap < n_iov)
        cap *= 2;
    iov = realloc(o->iov, cap * sizeof(*iov));
    if (!iov)
        return -ENOMEM;
    o->iov = iov;
    o->cap_iov = cap;
    return 0;
}

void gw_lf_out_reset(struct gw_lf *l)
{
    l->out.n = l->out.n_iov = l->out.group = 0;
    l->out.bytes = 0;
    l->group_open = false;
}

void gw_lf_group_begin(struct gw_lf *l)
{
    struct gw_lf_out *o = &l->out;

    o->group = o->n;
    o->n_iov = 0;
    o->bytes = 0;
    o->heads_crc = o->n_records = 0;
    l->group_open = true;
}

void gw_lf_group_undo(struct gw_lf *l)
{
    l->out.n = l->out.group;
    l->out.n_iov = 0;
    l->out.bytes = 0;
    l->group_open = false;
}

static void piece(struct gw_lf_out *o, const void *p, size_t n)
{
    struct iovec *last = o->n_iov > 0 ? &o->iov[o->n_iov - 1] : NULL;

    if (n == 0)
        return;
    o->bytes += n;
    if (last && (uint8_t *)last->iov_base + last->iov_len == p)
        last->iov_len += n;
    else
        o->iov[o->n_iov++] = (struct iovec){(void *)(uintptr_t)p, n};
}

static void put(struct gw_lf_out *o, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(o->p + o->n, p, n);
    piece(o, o->p + o->n, n);
    o->n += n;
}

static void head(struct gw_lf *l, const struct gw_lf_record *r)
{
    struct gw_lf_out *o = &l->out;
    uint8_t p[GW_LF_HEAD];

    gw_lf_write_record(p, r, l->tail.salt, l->tail.at + o->bytes);
    put(o, p, sizeof(p));
    if (r->kind == GW_LF_END)
        return;
    o->heads_crc = gw_crc32c(o->heads_crc, p, GW_LF_HEAD_CHECKED);
    o->n_records++;
}

void gw_lf_group_frame(struct gw_lf *l, const struct gw_log_frame *f)
{
    struct gw_lf_record r = {
        .kind = GW_LF_FRAME,
        .signal = f->signal,
        .topic = f->topic,
        .partition = f->partition,
        .rows = f->rows,
        .n_meta = (uint32_t)f->meta.n,
        .n_body = (uint32_t)f->body.n,
        .seq = f->seq,
        .row = f->row,
        .time_ns = f->time_ns,
        .body_crc = gw_crc32c(gw_crc32c(0, f->meta.p, f->meta.n), f->body.p, f->body.n),
    };
    size_t n = f->meta.n + f->body.n;

    head(l, &r);
    piece(&l->out, f->meta.p, f->meta.n);
    piece(&l->out, f->body.p, f->body.n);
    put(&l->out, zeros, gw_lf_pad(n) - n);
}

void gw_lf_group_record(struct gw_lf *l, uint8_t kind, uint16_t topic, struct gw_slice body)
{
    struct gw_lf_record r = {
        .kind = kind,
        .topic = topic,
        .n_body = (uint32_t)body.n,
        .seq = l->next_seq,
        .row = l->next_row,
        .time_ns = gw_wall_ns(l->env),
        .body_crc = gw_crc32c(0, body.p, body.n),
    };

    head(l, &r);
    put(&l->out, body.p, body.n);
    put(&l->out, zeros, gw_lf_pad(body.n) - body.n);
}

static void end(struct gw_lf *l, struct gw_log_producer producer)
{
    struct gw_lf_out *o = &l->out;
    struct gw_lf_commit c = {.group_bytes = o->bytes,
                             .n_records = o->n_records,
                             .heads_crc = o->heads_crc,
                             .chain = l->tail.chain,
                             .producer = producer,
                             .synced = l->tail.synced};
    uint8_t body[GW_LF_COMMIT_BODY];

    gw_lf_write_commit(body, &c);
    gw_lf_group_record(l, GW_LF_END, 0, gw_slice_of(body, sizeof(body)));
}

/*
 * A segment that is used again may have been forgotten (forget.c): a part of a page would have to be read before it is
 * written over. So behind the first group in a part of it go zeros up to the part's end. Bytes behind the end say
 * nothing. In a new file they only cost: what the kernel makes many pages at a time, it takes from where none are at
 * hand. A group that is synced at once would have them written to the disk each time.
 */
static void fill(struct gw_lf *l)
{
    struct gw_lf_out *o = &l->out;
    struct gw_lf_tail *t = &l->tail;
    uint64_t part = gw_lf_segment_bytes(l) / FILL_SHARE, end = t->at + o->bytes, to;

    part = part < FILL_BYTES ? part : FILL_BYTES;
    part -= part > PAGE ? part % PAGE : 0;
    to = part ? (end + part - 1) / part * part : 0;
    if (gw_lf_stage_is_on(l) || end <= t->filled || to > t->room || !t->is_allocated || l->wants_sync)
        return;
    t->filled = to;
    for (size_t n; end < to; end += n) {
        n = to - end < ZEROS ? to - end : ZEROS;
        o->iov[o->n_iov++] = (struct iovec){(void *)(uintptr_t)zeros, n};
    }
}

static void skip(struct iovec **iov, size_t *n_iov, size_t n)
{
    while (*n_iov > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*n_iov)--;
    }
    if (*n_iov > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

int gw_lf_write_all(struct gw_lf *l, struct gw_file *f, struct iovec *iov, size_t n_iov, uint64_t off)
{
    while (n_iov > 0) {
        int part = n_iov < IOV_A_CALL ? (int)n_iov : IOV_A_CALL;
        ssize_t put_n = l->env->ops->file_pwritev(f, iov, part, off);

        if (put_n < 0)
            return (int)put_n;
        if (put_n == 0)
            return -EIO;
        off += (uint64_t)put_n;
        skip(&iov, &n_iov, (size_t)put_n);
    }
    return 0;
}

/* Half a group in the file would be found by nobody, but a later one must not be taken for its end. */
static void take_back(struct gw_lf *l, int rc)
{
    struct gw_lf_tail *t = &l->tail;

    if (rc != -ENOSPC && rc != -EDQUOT && rc != -EFBIG)
        t->broken = true;
    if (l->env->ops->file_truncate(t->file, t->at) < 0) {
        t->broken = true;
        return;
    }
    gw_lf_stage_cut(l);
    if (!t->broken && t->room > t->at)
        (void)l->env->ops->file_allocate(t->file, t->at, t->room - t->at);
}

int gw_lf_group_write(struct gw_lf *l, struct gw_log_producer producer)
{
    struct gw_lf_tail *t = &l->tail;
    int rc;

    end(l, producer);
    fill(l);
    rc = gw_lf_stage_is_on(l) ? gw_lf_stage_write(l, l->out.iov, l->out.n_iov)
                              : gw_lf_write_all(l, t->file, l->out.iov, l->out.n_iov, t->at);
    if (rc < 0) {
        t->broken |= gw_lf_stage_is_on(l); /* some of it may be anywhere */
        take_back(l, rc);
        gw_lf_group_undo(l);
        return rc == -EFBIG ? -ENOSPC : rc;
    }
    t->at += l->out.bytes;
    t->chain = gw_lf_get32(l->out.p + l->out.n - GW_LF_COMMIT_BODY - 4);
    l->group_open = false;
    return 0;
}
