/* SPDX-License-Identifier: Apache-2.0 */
/* From commits to records: what may be written, how much it is, and which rows a settlement means. */
#include <stdlib.h>

#include "log/impl.h"

enum { SETTLES_A_RECORD = 1024, POSITIONS_A_RECORD = 64, MARK_EVERY = 64 << 10 };

static bool frames_fit(const struct gw_log_commit *c)
{
    for (unsigned i = 0; i < c->n_frames; i++)
        if (c->frames[i].meta.n > GW_LOG_MAX_META_BYTES || c->frames[i].body.n > GW_LOG_MAX_BODY_BYTES)
            return false;
    return true;
}

static bool is_sound(const struct gw_log_commit *c)
{
    for (unsigned i = 0; i < c->n_frames; i++)
        if (c->frames[i].partition >= GW_LOG_PARTITIONS)
            return false;
    for (unsigned i = 0; i < c->n_settles; i++) {
        const struct gw_log_settle *s = &c->settles[i];

        if (s->outcome >= GW_LOG_N_OUTCOMES || s->last_seq < s->seq ||
            (s->rows > 0 && (s->last_seq != s->seq || (uint64_t)s->first_row + s->rows > s->frame_rows)))
            return false;
    }
    for (unsigned i = 0; i < c->n_positions; i++)
        if (c->positions[i].partition >= GW_LOG_PARTITIONS || c->positions[i].note.n > GW_LOG_MAX_NOTE_BYTES)
            return false;
    return true;
}

static bool is_known(struct gw_lf *l, const struct gw_log_commit *c)
{
    for (unsigned i = 0; i < c->n_settles; i++)
        if (!gw_lf_state_consumer(&l->state, c->settles[i].consumer) || c->settles[i].last_seq >= l->state.end_seq)
            return false;
    for (unsigned i = 0; i < c->n_positions; i++)
        if (!gw_lf_state_consumer(&l->state, c->positions[i].consumer))
            return false;
    return true;
}

static bool is_fenced(struct gw_lf *l, struct gw_log_producer p)
{
    const struct gw_lf_producer *known = p.id ? gw_lf_state_producer(&l->state, p.id) : NULL;

    return p.id != 0 && (!known || known->epoch != p.epoch);
}

int gw_lf_plan(struct gw_lf *l, const struct gw_log_commit *c, struct gw_lf_size *ret)
{
    uint64_t heads = 0, bodies = 0;

    if (is_fenced(l, c->producer))
        return -ESTALE;
    if (!frames_fit(c))
        return -E2BIG;
    if (!is_sound(c) || !is_known(l, c))
        return -EINVAL;
    for (unsigned i = 0; i < c->n_frames; i++)
        bodies += c->frames[i].meta.n + c->frames[i].body.n;
    heads = (uint64_t)c->n_frames * (GW_LF_HEAD + 8);
    heads += (uint64_t)c->n_settles * GW_LF_SETTLE_ENTRY +
             (c->n_settles + SETTLES_A_RECORD - 1) / SETTLES_A_RECORD * (uint64_t)GW_LF_HEAD;
    heads += (c->n_positions + POSITIONS_A_RECORD - 1) / POSITIONS_A_RECORD * (uint64_t)GW_LF_HEAD;
    for (unsigned i = 0; i < c->n_positions; i++)
        heads += GW_LF_POSITION_ENTRY + gw_lf_pad(c->positions[i].note.n);
    /* Offsets are counted in eights of 32 bits. */
    if (heads + bodies > (uint64_t)UINT32_MAX * 4)
        return -E2BIG;
    *ret = (struct gw_lf_size){(size_t)heads, 3 * (size_t)c->n_frames + 1, heads + bodies};
    return 0;
}

/* ---- rows of frames ---------------------------------------------------------------------------------------- */

void gw_lf_cache_put(struct gw_lf *l, uint64_t seq, uint64_t row, uint32_t rows)
{
    l->cache[seq % GW_LF_CACHE] = (struct gw_lf_cached){seq, row, rows};
}

static bool cache_get(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret)
{
    (void)pthread_mutex_lock(&l->lock);
    *ret = l->cache[seq % GW_LF_CACHE];
    (void)pthread_mutex_unlock(&l->lock);
    return ret->seq == seq && ret->row != UINT64_MAX;
}

/* Where frames begin, every 64 KiB: made once a segment, then a look-up reads one block. */
static int make_marks(struct gw_lf *l, struct gw_lf_seg *s, struct gw_lf_scan *scan)
{
    size_t cap = (s->end - s->data) / MARK_EVERY + 2, n = 0;
    struct gw_lf_mark *marks;
    struct gw_lf_record r;
    uint64_t off, next = 0;
    int rc;

    if (s->marks || s->end - s->data < 4 * MARK_EVERY)
        return 0;
    marks = malloc(cap * sizeof(*marks));
    if (!marks)
        return -ENOMEM;
    scan->at = s->data;
    while ((rc = gw_lf_scan_next(scan, &off, &r)) > 0) {
        if (r.kind != GW_LF_FRAME || off < next || n == cap)
            continue;
        marks[n++] = (struct gw_lf_mark){r.seq, off};
        next = off + MARK_EVERY;
    }
    (void)pthread_mutex_lock(&l->lock); /* readers copy segments whole */
    s->marks = marks;
    s->n_marks = n;
    (void)pthread_mutex_unlock(&l->lock);
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

static int search(struct gw_lf *l, struct gw_lf_seg *s, uint64_t seq, struct gw_lf_cached *ret)
{
    bool is_last = s == &l->segs[l->n_segs - 1];
    struct gw_lf_scan scan;
    struct gw_lf_record r;
    uint64_t off;
    int rc = gw_lf_seg_open(l, s, &scan);

    if (rc < 0)
        return rc;
    rc = is_last ? 0 : make_marks(l, s, &scan);
    scan.at = mark_before(s, seq);
    while (rc >= 0 && (rc = gw_lf_scan_next(&scan, &off, &r)) > 0) {
        if (r.kind != GW_LF_FRAME)
            continue;
        (void)pthread_mutex_lock(&l->lock);
        gw_lf_cache_put(l, r.seq, r.row, r.rows);
        (void)pthread_mutex_unlock(&l->lock);
        if (r.seq < seq)
            continue;
        *ret = (struct gw_lf_cached){r.seq, r.row, r.rows};
        break;
    }
    gw_lf_scan_clear(&scan);
    return rc < 0 ? rc : rc > 0 ? 0 : -ENOENT;
}

int gw_lf_rows_at(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret)
{
    int rc = -ENOENT;

    if (cache_get(l, seq, ret))
        return 0;
    for (size_t i = gw_lf_seg_of(l, seq); rc == -ENOENT && i < l->n_segs; i++)
        rc = search(l, &l->segs[i], seq, ret);
    return rc;
}

/* [*row, to) of the log for a settlement; what is gone already has been counted when it went. */
static int resolve(struct gw_lf *l, const struct gw_log_settle *s, struct gw_lf_settled *ret)
{
    struct gw_lf_cached first, behind;
    uint64_t last = s->last_seq;
    int rc = gw_lf_rows_at(l, s->seq, &first);

    *ret = (struct gw_lf_settled){.consumer = s->consumer, .outcome = s->outcome};
    if (rc == -ENOENT || (rc == 0 && first.seq > last)) {
        *ret = (struct gw_lf_settled){.consumer = s->consumer, .outcome = s->outcome, .row = 0};
        return 0;
    }
    if (rc < 0)
        return rc;
    ret->row = first.row;
    if (s->rows > 0) {
        uint32_t to = s->first_row + s->rows;

        if (s->frame_rows != first.rows)
            return -EINVAL;
        ret->row += s->first_row;
        ret->rows = s->rows;
        ret->to_seq = to == first.rows ? s->seq + 1 : s->seq;
        ret->to_part = to == first.rows ? 0 : to;
        return 0;
    }
    ret->to_seq = last + 1;
    if (cache_get(l, last, &behind)) {
        ret->rows = behind.row + behind.rows - first.row;
        return 0;
    }
    rc = gw_lf_rows_at(l, last + 1, &behind);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    ret->rows = (rc == 0 ? behind.row : l->state.end_row) - first.row;
    return 0;
}

/* ---- records ----------------------------------------------------------------------------------------------- */

static int reserve(struct gw_lf *l, uint8_t kind, struct gw_slice body)
{
    int rc;

    (void)pthread_mutex_lock(&l->lock);
    rc = gw_lf_state_reserve(&l->state, kind, body);
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

static int build_settles(struct gw_lf *l, const struct gw_log_settle *settles, unsigned n)
{
    uint8_t body[SETTLES_A_RECORD * GW_LF_SETTLE_ENTRY];
    struct gw_slice s = {body, 0};
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < n; i++) {
        struct gw_lf_settled e;

        rc = resolve(l, &settles[i], &e);
        if (rc < 0)
            break;
        gw_lf_write_settled(body + s.n, &e);
        s.n += GW_LF_SETTLE_ENTRY;
        if (s.n < sizeof(body) && i + 1 < n)
            continue;
        rc = reserve(l, GW_LF_SETTLE, s);
        if (rc == 0)
            gw_lf_group_record(l, GW_LF_SETTLE, 0, s);
        s.n = 0;
    }
    return rc;
}

static int build_positions(struct gw_lf *l, const struct gw_log_position *positions, unsigned n)
{
    struct gw_buf b;
    int rc = 0;

    gw_buf_init(&b, GW_LF_MAX_STATE_BODY);
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        const struct gw_log_position *p = &positions[i];

        gw_lf_put_position(&b, p->consumer, p->partition, p->next_seq, p->note);
        if ((i + 1) % POSITIONS_A_RECORD != 0 && i + 1 < n)
            continue;
        rc = b.failed ? -ENOMEM : reserve(l, GW_LF_POSITION, gw_buf_slice(&b));
        if (rc == 0)
            gw_lf_group_record(l, GW_LF_POSITION, 0, gw_buf_slice(&b));
        gw_buf_reset(&b);
    }
    gw_buf_clear(&b);
    return rc;
}

int gw_lf_build(struct gw_lf *l, struct gw_log_commit *c)
{
    int rc = build_settles(l, c->settles, c->n_settles);

    if (rc == 0)
        rc = build_positions(l, c->positions, c->n_positions);
    for (unsigned i = 0; rc == 0 && i < c->n_frames; i++) {
        struct gw_log_frame *f = &c->frames[i];

        f->seq = l->next_seq++;
        f->row = l->next_row;
        l->next_row += f->rows;
        gw_lf_group_frame(l, f);
    }
    return rc;
}
