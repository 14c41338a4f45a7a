/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When segments go: always the oldest, always whole, never the last one. What goes is first written down (a trim
 * record, synced), so that after a crash nobody takes it for lost.
 */
#include "log/impl.h"

/* Everything before this is done for the consumer, as rows and as frames. */
static void passed(const struct gw_lf_state *s, const struct gw_lf_consumer *c, uint64_t *row, uint64_t *seq)
{
    uint64_t with = 0, low = UINT64_MAX;

    if (!c->positions) {
        *row = c->done.base.row < *row ? c->done.base.row : *row;
        return;
    }
    for (unsigned i = 0; i < GW_LOG_PARTITIONS; i++) {
        if (!c->positions[i].is_set)
            continue;
        with |= 1ull << i;
        low = c->positions[i].next_seq < low ? c->positions[i].next_seq : low;
    }
    if (s->partitions & ~with) /* of some it has seen nothing yet */
        *row = c->done.base.row < *row ? c->done.base.row : *row;
    *seq = low < *seq ? low : *seq;
}

static bool all_passed(const struct gw_lf *l, uint64_t seq, uint64_t row)
{
    uint64_t low_row = UINT64_MAX, low_seq = UINT64_MAX;
    bool any = false;

    for (unsigned i = 0; i < l->state.n_consumers; i++)
        if (l->state.consumers[i]->name[0] != '#') { /* else it holds notes of the owner's, and reads nothing */
            passed(&l->state, l->state.consumers[i], &low_row, &low_seq);
            any = true;
        }
    return any && row <= low_row && seq <= low_seq;
}

static bool reads(const struct gw_lf_consumer *c, enum gw_log_keep keep)
{
    return c->name[0] != '#' && (keep == GW_LOG_KEEP_ALL || c->is_open);
}

/* Nobody for whom the limits wait still needs anything below. */
static bool is_read(const struct gw_lf *l, uint64_t seq, uint64_t row)
{
    uint64_t low_row = UINT64_MAX, low_seq = UINT64_MAX;
    enum gw_log_keep keep = l->conf.retention.keep;

    for (unsigned i = 0; keep != GW_LOG_KEEP_NONE && i < l->state.n_consumers; i++)
        if (reads(l->state.consumers[i], keep))
            passed(&l->state, l->state.consumers[i], &low_row, &low_seq);
    return row <= low_row && seq <= low_seq;
}

uint64_t gw_lf_low_of_readers(const struct gw_lf *l)
{
    uint64_t low_row = UINT64_MAX, low_seq = UINT64_MAX;

    for (unsigned i = 0; i < l->state.n_consumers; i++)
        if (reads(l->state.consumers[i], GW_LOG_KEEP_OPEN))
            passed(&l->state, l->state.consumers[i], &low_row, &low_seq);
    return low_row == UINT64_MAX && low_seq != UINT64_MAX ? low_seq : 0;
}

uint64_t gw_lf_max_bytes(const struct gw_lf *l)
{
    const struct gw_log_retention *r = &l->conf.retention;
    uint64_t most = l->conf.max_bytes;

    return r->keep != GW_LOG_KEEP_NONE && r->max_bytes && (!most || r->max_bytes < most) ? r->max_bytes : most;
}

/* Where appends fail at the limit, what was read goes before it is reached. */
static bool is_too_much(const struct gw_lf *l, uint64_t used)
{
    const struct gw_log_retention *r = &l->conf.retention;
    uint64_t room = r->keep != GW_LOG_KEEP_NONE ? gw_lf_segment_bytes(l) : 0;

    return r->max_bytes && used + room > r->max_bytes;
}

static bool is_old(const struct gw_lf *l, const struct gw_lf_seg *s)
{
    uint64_t age = l->conf.retention.max_age_ns;

    return age && s->last_time_ns && s->last_time_ns + age < gw_wall_ns(l->env);
}

/* May the oldest segment go? */
static bool may_go(const struct gw_lf *l, size_t i, uint64_t used)
{
    const struct gw_lf_seg *s = &l->segs[i], *next = &l->segs[i + 1];
    const struct gw_log_retention *r = &l->conf.retention;

    if (next->first_seq <= l->state.trim.seq && next->first_row <= l->state.trim.row)
        return true; /* decided already, or it has no frames */
    if (r->until_settled && all_passed(l, next->first_seq, next->first_row))
        return true;
    return (is_too_much(l, used) || is_old(l, s)) && is_read(l, next->first_seq, next->first_row);
}

static uint64_t count_open(const struct gw_lf_rows *done, uint64_t row, uint64_t end)
{
    uint64_t from, to, n = 0;

    for (; gw_lf_rows_open(done, row, end, &from, &to); row = to)
        n += to - from;
    return n;
}

/* Of the open rows of one segment, how many lie before the consumer's positions? */
static uint64_t passed_in(struct gw_lf *l, const struct gw_lf_seg *s, const struct gw_lf_consumer *c)
{
    struct gw_lf_scan scan;
    struct gw_lf_record r;
    uint64_t rows = 0, off;

    if (gw_lf_seg_open(l, s, &scan) < 0)
        return 0;
    while (gw_lf_scan_next(&scan, &off, &r) > 0) {
        const struct gw_lf_position *p = &c->positions[r.partition % GW_LOG_PARTITIONS];

        if (r.kind == GW_LF_FRAME && p->is_set && r.seq < p->next_seq)
            rows += count_open(&c->done, r.row, r.row + r.rows);
    }
    gw_lf_scan_clear(&scan);
    return rows;
}

/*
 * A consumer that moves positions settles nothing: what it has passed is counted when it goes. Only where it has not
 * passed all of it, the segments are read once more.
 */
static void put_passed(struct gw_lf *l, struct gw_buf *b, uint64_t seq)
{
    for (unsigned i = 0; i < l->state.n_consumers; i++) {
        const struct gw_lf_consumer *c = l->state.consumers[i];
        uint64_t low_row = UINT64_MAX, low_seq = UINT64_MAX, rows = 0;

        if (!c->positions)
            continue;
        passed(&l->state, c, &low_row, &low_seq);
        if (low_row == UINT64_MAX && low_seq >= seq)
            rows = UINT64_MAX;
        for (size_t k = 0; rows != UINT64_MAX && k < l->n_segs && l->segs[k].first_seq < seq; k++)
            rows += passed_in(l, &l->segs[k], c);
        gw_lf_put_trim_passed(b, c->id, rows);
    }
}

static int trim_to(struct gw_lf *l, uint64_t seq, uint64_t row)
{
    struct gw_lf_place to = {row, seq, 0};
    struct gw_buf b;
    int rc;

    if (seq <= l->state.trim.seq && row <= l->state.trim.row)
        return 0;
    gw_buf_init(&b, GW_LF_MAX_STATE_BODY);
    gw_lf_put_trim(&b, &to);
    put_passed(l, &b, seq);
    rc = b.failed ? -ENOMEM : gw_lf_write_now(l, GW_LF_TRIM, gw_buf_slice(&b), 1);
    gw_buf_clear(&b);
    return rc;
}

/* Segments below n go, when that can be written down. */
static int drop_first(struct gw_lf *l, size_t n)
{
    uint64_t number = l->segs[n].number;
    int rc = trim_to(l, l->segs[n].first_seq, l->segs[n].first_row);

    if (rc < 0)
        return rc;
    for (n = 0; n + 1 < l->n_segs && l->segs[n].number < number; n++)
        ;
    gw_lf_segments_drop(l, 0, n);
    return 0;
}

/* A last segment that could go as a whole is ended for that. */
static void end_last(struct gw_lf *l)
{
    const struct gw_lf_seg *s = &l->segs[l->n_segs - 1];
    bool full = l->conf.max_bytes && gw_lf_used(l) + gw_lf_segment_bytes(l) > l->conf.max_bytes;

    if (s->first_seq == l->state.end_seq || l->tail.broken)
        return;
    if ((is_old(l, s) && is_read(l, l->state.end_seq, l->state.end_row)) ||
        (full && l->conf.retention.until_settled && all_passed(l, l->state.end_seq, l->state.end_row)))
        (void)gw_lf_roll(l, 0);
}

/* A segment of settlements alone is summed up by the next one's snapshot. */
static void drop_empty(struct gw_lf *l)
{
    for (size_t i = 0; i + 1 < l->n_segs;)
        if (l->segs[i].first_seq == l->segs[i + 1].first_seq)
            gw_lf_segments_drop(l, i, 1);
        else
            i++;
}

/*
 * The last snapshot may be damaged: then what it should hold is in the segments before it, and none of them goes until
 * there is another one.
 */
static int make_whole(struct gw_lf *l)
{
    uint64_t now = gw_mono_ns(l->env);
    int rc = 0;

    if (!l->damaged)
        return 0;
    if (now < l->retry_ns)
        return -EAGAIN;
    rc = gw_lf_roll(l, 0);
    if (rc < 0)
        l->retry_ns = now + GW_LF_RETRY_NS;
    return rc;
}

void gw_lf_retain(struct gw_lf *l)
{
    uint64_t used;
    size_t n = 0;

    if (l->tail.broken || make_whole(l) < 0)
        return;
    used = gw_lf_used(l);
    if (l->segs_changed)
        drop_empty(l);
    l->segs_changed = false;
    end_last(l);
    while (n + 1 < l->n_segs && may_go(l, n, used))
        used -= l->segs[n++].end;
    if (n > 0)
        (void)drop_first(l, n);
}

/* By age: when the oldest is old enough. The wall clock may jump; looking again is all that follows. */
uint64_t gw_lf_retain_next(struct gw_lf *l)
{
    uint64_t age = l->conf.retention.max_age_ns, wall, at;

    if (!age || l->n_segs == 0 || l->segs[0].last_time_ns == 0)
        return 0;
    wall = gw_wall_ns(l->env);
    at = l->segs[0].last_time_ns + age;
    return gw_mono_ns(l->env) + (at > wall ? at - wall + 1 : 1000000000u);
}

void gw_lf_set_retention(struct gw_log *log, const struct gw_log_retention *r)
{
    struct gw_lf *l = (struct gw_lf *)log;

    (void)pthread_mutex_lock(&l->work);
    (void)pthread_mutex_lock(&l->lock);
    l->conf.retention = *r;
    (void)pthread_mutex_unlock(&l->lock);
    gw_lf_spares_yield(l, gw_lf_used(l));
    (void)pthread_mutex_unlock(&l->work);
    if (l->conf.wake)
        l->conf.wake(l->conf.arg);
}

int gw_lf_truncate(struct gw_log *log, uint64_t seq)
{
    struct gw_lf *l = (struct gw_lf *)log;
    size_t n = 0;
    int rc = 0;

    if (l->conf.read_only)
        return -EROFS;
    (void)pthread_mutex_lock(&l->work);
    rc = make_whole(l);
    if (rc == 0 && seq >= l->state.end_seq && l->segs[l->n_segs - 1].first_seq < l->state.end_seq)
        rc = gw_lf_roll(l, 0);
    while (rc == 0 && n + 1 < l->n_segs && l->segs[n + 1].first_seq <= seq)
        n++;
    if (rc == 0 && n > 0)
        rc = drop_first(l, n);
    (void)pthread_mutex_unlock(&l->work);
    return rc;
}
