/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows a frame has, by its seq: from memory for what was just written or just read, else from the file, of which
 * a mark every 64 KiB is kept.
 */
#include <stdlib.h>

#include "log/impl.h"

enum { MARK_EVERY = 64 << 10 };

/* What is written must not push out what a consumer that is behind has just read, and will settle next. */
void gw_lf_cache_put(struct gw_lf *l, enum gw_lf_cache_of of, uint64_t seq, uint64_t row, uint32_t rows)
{
    l->cache[of * l->n_cache + (seq & (l->n_cache - 1))] = (struct gw_lf_cached){seq, row, rows};
}

bool gw_lf_cache_get(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret)
{
    bool found = false;

    (void)pthread_mutex_lock(&l->lock);
    for (unsigned of = 0; !found && of < GW_LF_N_CACHES; of++) {
        *ret = l->cache[of * l->n_cache + (seq & (l->n_cache - 1))];
        found = ret->seq == seq && ret->row != UINT64_MAX;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return found;
}

/* Marks are a help: without memory for one, a look-up reads more. */
void gw_lf_mark(struct gw_lf_seg *s, uint64_t seq, uint64_t off)
{
    if (s->n_marks > 0 && off < s->marks[s->n_marks - 1].off + MARK_EVERY)
        return;
    if (s->n_marks == s->cap_marks) {
        size_t cap = s->cap_marks ? s->cap_marks * 2 : 16;
        struct gw_lf_mark *marks = realloc(s->marks, cap * sizeof(*marks));

        if (!marks)
            return;
        s->marks = marks;
        s->cap_marks = cap;
    }
    s->marks[s->n_marks++] = (struct gw_lf_mark){seq, off};
}

/* Of a segment that was there when the log was opened, they are made when the first look-up comes. */
static int make_marks(struct gw_lf *l, struct gw_lf_seg *s, struct gw_lf_scan *scan)
{
    struct gw_lf_record r;
    uint64_t off;
    int rc = 0;

    if (s->n_marks > 0)
        return 0;
    scan->at = s->data;
    while ((rc = gw_lf_scan_next(scan, &off, &r)) > 0) {
        if (r.kind != GW_LF_FRAME)
            continue;
        (void)pthread_mutex_lock(&l->lock); /* readers copy segments whole */
        gw_lf_mark(s, r.seq, off);
        (void)pthread_mutex_unlock(&l->lock);
    }
    return rc;
}

static uint64_t mark_before(const struct gw_lf_seg *s, uint64_t seq)
{
    size_t lo = 0, hi = s->n_marks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->marks[mid].seq <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 ? s->marks[lo - 1].off : s->data;
}

/* The frame, and what lies behind it in the block: the next question is about that. */
static int walk(struct gw_lf *l, struct gw_lf_scan *scan, uint64_t seq, struct gw_lf_cached *ret)
{
    struct gw_lf_record r;
    uint64_t off, until = UINT64_MAX;
    int rc = 0;

    while (scan->at < until && (rc = gw_lf_scan_next(scan, &off, &r)) > 0) {
        if (r.kind != GW_LF_FRAME)
            continue;
        (void)pthread_mutex_lock(&l->lock);
        gw_lf_cache_put(l, GW_LF_READ, r.seq, r.row, r.rows);
        (void)pthread_mutex_unlock(&l->lock);
        if (r.seq < seq || until != UINT64_MAX)
            continue;
        *ret = (struct gw_lf_cached){r.seq, r.row, r.rows};
        until = off + MARK_EVERY;
    }
    return rc < 0 ? rc : until == UINT64_MAX ? -ENOENT : 0;
}

static int search(struct gw_lf *l, struct gw_lf_seg *s, uint64_t seq, struct gw_lf_cached *ret)
{
    struct gw_lf_scan scan;
    int rc = gw_lf_seg_open(l, s, &scan);

    if (rc < 0)
        return rc;
    rc = make_marks(l, s, &scan);
    scan.at = mark_before(s, seq);
    if (rc >= 0)
        rc = walk(l, &scan, seq, ret);
    if (scan.error && (rc == -ENOENT || (rc == 0 && ret->seq != seq)))
        rc = scan.error; /* perhaps it is there: who settles it must hear that it could not be done */
    gw_lf_scan_clear(&scan);
    return rc;
}

int gw_lf_rows_at(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret)
{
    int rc = -ENOENT;

    if (gw_lf_cache_get(l, seq, ret))
        return 0;
    for (size_t i = gw_lf_seg_of(l, seq); rc == -ENOENT && i < l->n_segs; i++)
        rc = search(l, &l->segs[i], seq, ret);
    return rc;
}
