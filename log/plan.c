/* SPDX-License-Identifier: Apache-2.0 */
/* From commits to records: what may be written, how much it is, and which rows a settlement means. */
#include <stdlib.h>

#include "log/impl.h"

enum { SETTLES_A_RECORD = 1024, POSITIONS_A_RECORD = 64 };

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

/* ---- rows of settlements ------------------------------------------------------------------------------------ */

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
    if (gw_lf_cache_get(l, last, &behind)) {
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
