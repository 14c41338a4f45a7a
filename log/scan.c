/* SPDX-License-Identifier: Apache-2.0 */
#include "log/scan.h"

#include <stdlib.h>

#include "log/crc32c.h"

enum { BAD_SECTOR = 4096, AHEAD_BYTES = 4 << 20 };

void gw_lf_scan_init(struct gw_lf_scan *s, struct gw_env *env, struct gw_file *f, uint32_t salt, uint64_t end)
{
    *s = (struct gw_lf_scan){.env = env, .f = f, .salt = salt, .at = GW_LF_RECORDS, .end = end};
}

void gw_lf_scan_clear(struct gw_lf_scan *s)
{
    if (s->f)
        s->env->ops->file_close(s->f);
    free(s->buf);
    *s = (struct gw_lf_scan){0};
}

static int make_room(struct gw_lf_scan *s, size_t n)
{
    size_t block = s->block ? s->block : GW_LF_BLOCK, cap = n > block ? n : block;
    uint8_t *buf;

    /* What one giant needed is not kept for the rest of the log. */
    if (s->cap >= n && (s->cap <= 4 * GW_LF_BLOCK || n > GW_LF_BLOCK))
        return 0;
    buf = malloc(cap);
    if (!buf)
        return -ENOMEM;
    free(s->buf);
    s->buf = buf;
    s->cap = cap;
    s->n_buf = 0;
    return 0;
}

/* Whoever reads blocks, one behind the other, need not wait for each: the kernel's own guess is half of one. */
static void look_ahead(struct gw_lf_scan *s, size_t n, uint64_t off)
{
    uint64_t to = off + n + AHEAD_BYTES < s->end ? off + n + AHEAD_BYTES : s->end;

    if (!s->env->ops->file_ahead || n < GW_LF_BLOCK / 2 || to < s->ahead + AHEAD_BYTES / 2)
        return;
    if (s->ahead < off + n)
        s->ahead = off + n;
    if (to > s->ahead)
        s->env->ops->file_ahead(s->f, s->ahead, to - s->ahead);
    s->ahead = to;
}

static ssize_t read_some(struct gw_lf_scan *s, uint8_t *p, size_t n, uint64_t off)
{
    size_t got = s->stage ? gw_lf_stage_read(s->stage, s->number, p, &n, off) : 0;

    if (got > 0)
        return (ssize_t)got;
    look_ahead(s, n, off);
    return s->env->ops->file_pread(s->f, p, n, off);
}

int gw_lf_scan_peek(struct gw_lf_scan *s, uint64_t off, size_t n, const uint8_t **ret)
{
    int rc;

    if (off + n > s->end || off + n < off)
        return -ENODATA;
    if (off >= s->buf_at && off + n <= s->buf_at + s->n_buf) {
        *ret = s->buf + (off - s->buf_at);
        return 0;
    }
    rc = make_room(s, n);
    if (rc < 0)
        return rc;
    if (off >= s->buf_at && off < s->buf_at + s->n_buf) { /* going on: keep what is there */
        s->n_buf -= off - s->buf_at;
        memmove(s->buf, s->buf + (off - s->buf_at), s->n_buf);
    } else {
        s->n_buf = 0;
    }
    s->buf_at = off;
    while (s->n_buf < n) {
        uint64_t left = s->end - off - s->n_buf;
        size_t room = s->cap - s->n_buf;
        ssize_t got = read_some(s, s->buf + s->n_buf, left < room ? (size_t)left : room, off + s->n_buf);

        if (got < 0)
            return s->error = (int)got;
        if (got == 0)
            return -ENODATA;
        s->n_buf += (size_t)got;
    }
    *ret = s->buf;
    return 0;
}

int gw_lf_scan_record(struct gw_lf_scan *s, uint64_t off, struct gw_lf_record *ret)
{
    const uint8_t *p;
    int rc = gw_lf_scan_peek(s, off, GW_LF_HEAD, &p);

    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    return gw_lf_read_record(p, s->salt, off, ret) && gw_lf_size(ret) <= s->end - off;
}

int gw_lf_scan_body_ok(struct gw_lf_scan *s, uint64_t off, const struct gw_lf_record *r)
{
    uint64_t n = (uint64_t)r->n_meta + r->n_body;
    uint32_t crc = 0;

    for (uint64_t at = 0; at < n;) {
        size_t part = n - at < GW_LF_BLOCK / 2 ? (size_t)(n - at) : GW_LF_BLOCK / 2;
        const uint8_t *p;
        int rc = gw_lf_scan_peek(s, off + GW_LF_HEAD + at, part, &p);

        if (rc < 0)
            return rc == -ENOMEM ? rc : 0;
        crc = gw_crc32c(crc, p, part);
        at += part;
    }
    return crc == r->body_crc;
}

/* To the next place at which a record's header lies. A sector that cannot be read is no record. */
static int resync(struct gw_lf_scan *s, uint64_t off, uint64_t *ret_off, struct gw_lf_record *ret)
{
    while (off + GW_LF_HEAD <= s->end) {
        const uint8_t *p;
        uint64_t last, n = s->end - off < GW_LF_BLOCK ? s->end - off : GW_LF_BLOCK;
        int rc = gw_lf_scan_peek(s, off, (size_t)n, &p);

        if (rc == -ENOMEM)
            return rc;
        if (rc < 0) {
            off = (off + BAD_SECTOR) & ~(uint64_t)(BAD_SECTOR - 1);
            continue;
        }
        last = n - GW_LF_HEAD;
        for (uint64_t i = 0; i <= last; i += 8)
            if (gw_lf_read_record(p + i, s->salt, off + i, ret) && gw_lf_size(ret) <= s->end - off - i) {
                *ret_off = off + i;
                return 1;
            }
        off += (last & ~(uint64_t)7) + 8;
    }
    return 0;
}

int gw_lf_scan_next(struct gw_lf_scan *s, uint64_t *ret_off, struct gw_lf_record *ret)
{
    int rc = gw_lf_scan_record(s, s->at, ret);

    *ret_off = s->at;
    if (rc == 0) {
        rc = resync(s, s->at + 8, ret_off, ret);
        s->skipped += (rc > 0 ? *ret_off : s->end) - s->at;
        if (rc == 0)
            s->at = s->end;
    }
    if (rc > 0)
        s->at = *ret_off + gw_lf_size(ret);
    return rc;
}

static int group_end(struct gw_lf_scan *s, uint64_t off, uint64_t start, const uint32_t *chain, uint32_t heads_crc,
                     uint32_t n_records)
{
    const uint8_t *p;
    struct gw_lf_commit c;
    int rc = gw_lf_scan_peek(s, off + GW_LF_HEAD, GW_LF_COMMIT_BODY, &p);

    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    gw_lf_read_commit(p, &c);
    return c.group_bytes == off - start && c.n_records == n_records && c.heads_crc == heads_crc &&
           (!chain || c.chain == *chain);
}

int gw_lf_scan_group(struct gw_lf_scan *s, uint64_t off, const uint32_t *chain, uint64_t *ret_end, uint32_t *ret_chain)
{
    uint64_t start = off;
    uint32_t heads_crc = 0;

    for (uint32_t n = 0;; n++) {
        struct gw_lf_record r;
        const uint8_t *p;
        uint8_t head[GW_LF_HEAD];
        int rc = gw_lf_scan_record(s, off, &r);

        if (rc <= 0)
            return rc;
        if (gw_lf_scan_peek(s, off, GW_LF_HEAD, &p) < 0)
            return 0;
        memcpy(head, p, sizeof(head));
        rc = gw_lf_scan_body_ok(s, off, &r);
        if (rc <= 0)
            return rc;
        if (r.kind == GW_LF_END) {
            rc = group_end(s, off, start, chain, heads_crc, n); /* first: chain may be where ret_chain is */
            *ret_end = off + gw_lf_size(&r);
            *ret_chain = gw_lf_get32(head + 60);
            return rc;
        }
        heads_crc = gw_crc32c(heads_crc, head, GW_LF_HEAD_CHECKED);
        off += gw_lf_size(&r);
    }
}
