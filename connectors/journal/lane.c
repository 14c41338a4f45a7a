/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver's side: a lane takes frames, from the head or from what was read, sends them (send.c), and tells the log
 * how far it is. */
#include <stdlib.h>

#include "batch/meta.h"
#include "connectors/journal/keeper.h"

enum { LOOK_NS = 100000000 };

/* ---- taking ----------------------------------------------------------------------------------------------- */

bool gw_journal_lane_take(struct lane *n, struct block *b, uint32_t frame)
{
    const struct block_frame *f = &b->frames[frame];
    struct part *p = part_of(n, f->partition);
    struct taken *t;

    if (f->seq < p->read)
        return true;
    if (is_tick(f) && !n->keeper) {
        p->read = f->seq + 1;
        return true;
    }
    t = malloc(sizeof(*t));
    if (!t)
        return false;
    *t = (struct taken){.block = gw_journal_block_ref(b), .frame = frame};
    *p->last = t;
    p->last = &t->next;
    if (!p->unsent)
        p->unsent = t;
    p->read = f->seq + 1;
    n->bytes += f->body.n;
    n->n_taken++;
    n->n_unsent++;
    if (n->keeper)
        gw_journal_keep_take(n, t);
    return true;
}

void gw_journal_lane_drop(struct lane *n, struct part *p)
{
    struct taken *t = p->first;

    p->first = t->next;
    if (!p->first)
        p->last = &p->first;
    n->bytes -= t->block->frames[t->frame].body.n;
    n->n_taken--;
    gw_journal_block_unref(t->block);
    free(t);
}

/* A reload may have made it smaller than what is there. */
static uint64_t room(const struct lane *n)
{
    uint64_t most = atomic_load_explicit(&n->local->journal->in_flight_bytes, memory_order_relaxed);

    return n->bytes < most ? most - n->bytes : 0;
}

static bool has_room(const struct lane *n)
{
    return room(n) > 0;
}

bool gw_journal_lane_at_head(const struct lane *n)
{
    const struct local *l = n->local;

    return l->head_first < l->head_end && n->next >= block_first(l->head[l->head_first % l->head_cap]);
}

/* Frames of one block from `next` on. False: there is no more room. */
static bool take_block(struct lane *n, struct block *b)
{
    for (uint32_t i = 0; i < b->n_frames; i++) {
        const struct block_frame *f = &b->frames[i];

        if (f->seq < n->next)
            continue;
        if (!has_room(n))
            return false;
        if (b->signal == n->signal && lane_owns(n, f->partition) && f->seq >= part_of(n, f->partition)->read) {
            if (!gw_journal_lane_take(n, b, i))
                return false;
            gw_metric_add(n->local->journal->from_head, 1);
        }
        n->next = f->seq + 1;
    }
    return true;
}

static void take_from_head(struct lane *n)
{
    struct local *l = n->local;

    if (n->head_at < l->head_first)
        n->head_at = l->head_first;
    while (n->head_at > l->head_first && block_first(l->head[(n->head_at - 1) % l->head_cap]) >= n->next)
        n->head_at--;
    while (n->head_at < l->head_end && take_block(n, l->head[n->head_at % l->head_cap]))
        n->head_at++;
}

/* While something is being read, what comes is behind it. */
static void take_more(struct lane *n)
{
    if (!has_room(n) || lane_rests(n) || n->fetch.under_way)
        return;
    if (gw_journal_lane_at_head(n)) {
        gw_journal_fetch_end(n);
        take_from_head(n);
        n->ended = n->head_at == n->local->head_end; /* until the next commit: nothing to look for in the log */
    } else if (!n->ended) {
        gw_journal_fetch_begin(n, room(n));
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void look(struct lane *n)
{
    struct consumer_at *at = &n->consumer->at[n->local->index];
    uint64_t row = UINT64_MAX, ns = 0;

    for (unsigned i = 0; n->n_taken && i < JOURNAL_PARTITIONS; i++) {
        const struct taken *t = n->parts[i].first;

        if (t && t->block->frames[t->frame].row < row) {
            row = t->block->frames[t->frame].row;
            ns = t->block->frames[t->frame].time_ns;
        }
    }
    atomic_store_explicit(&at->row, row, memory_order_relaxed);
    atomic_store_explicit(&at->ns, ns, memory_order_relaxed);
}

bool gw_journal_lane_move(struct lane *n)
{
    take_more(n);
    return gw_journal_send_more(n);
}

bool gw_journal_lane_run(struct lane *n)
{
    bool sent = gw_journal_lane_move(n);

    if (n->keeper)
        sent |= gw_journal_keep_run(n);
    gw_journal_positions_run(n);
    look(n);
    return sent;
}

static bool is_behind(const struct lane *n)
{
    struct gw_log_stats s;

    gw_log_stats(n->local->journal->log, &s);
    return n->next < s.end_seq;
}

void gw_journal_lane_look(struct lane *n)
{
    n->ended = n->ended && !is_behind(n);
}

uint64_t gw_journal_lane_due(struct lane *n)
{
    uint64_t now = gw_loop_now_ns(n->local->loop), due = n->dirty || n->commit_ns > now ? n->commit_ns : 0, look;

    look = n->retry_ns > now                                                                  ? n->retry_ns
           : !lane_rests(n) && ((has_room(n) && is_behind(n)) || gw_journal_suspects_wait(n)) ? now + LOOK_NS
                                                                                              : 0;
    due = look && (!due || look < due) ? look : due;
    look = n->keeper ? gw_journal_keep_due(n) : 0;
    return look && (!due || look < due) ? look : due;
}

bool gw_journal_lane_is_idle(const struct lane *n)
{
    return n->n_under_way == 0 && !n->positions.under_way && !n->dirty && !n->fetch.under_way &&
           gw_journal_again_is_idle(n);
}

static void find_low(void *arg, const struct gw_log_consumer *c)
{
    struct lane *n = arg;

    if (c->id == n->consumer->id)
        n->next = c->low;
}

/* Where the consumer stands in each partition of ours. Of partitions that are read as one, where the last of them is.
 */
static int find_positions(struct lane *n)
{
    uint64_t at[JOURNAL_PARTITIONS], least = UINT64_MAX;
    int rc = gw_log_consumers(n->local->journal->log, find_low, n);

    if (rc == 0)
        rc = gw_journal_parting_positions(n->local->journal, n->consumer->id, n->next, at);
    for (uint16_t i = 0; i < JOURNAL_PARTITIONS && rc == 0; i++) {
        struct part *p = &n->parts[i], *in = part_of(n, i);

        p->last = &p->first;
        p->last_request = &p->requests;
        p->committed = at[i];
        if (p == in || at[i] < in->read)
            in->read = in->done = at[i];
        if (lane_owns(n, i) && at[i] < least)
            least = at[i];
    }
    n->next = least;
    return rc;
}

int gw_journal_lane_open(struct lane *n, struct local *l, struct gw_intake *in, struct consumer *c, struct gw_err *err)
{
    int rc;

    n->local = l;
    n->intake = in;
    n->consumer = c;
    n->n_parts = c->n_parts;
    n->owned = gw_journal_parting_owned(l->journal, c->n_parts, l->index);
    n->rests = true;
    n->next_group = 1;
    n->signal = (enum gw_signal)in->signals;
    gw_buf_init(&n->merged, 2 * JOURNAL_REQUEST_BYTES);
    gw_buf_init(&n->fetch.last_meta_bytes, GW_LOG_MAX_META_BYTES);
    in->on_verdict = gw_journal_send_verdict;
    in->local = n;
    rc = find_positions(n);
    if (rc == 0 && in->keep && (rc = gw_journal_keep_open(n, err)) < 0)
        return rc;
    n->ended = !is_behind(n);
    gw_journal_suspects_open(n);
    return rc < 0 ? gw_fail(err, rc, "pipeline %s: its position is not known: %s", in->pipeline, strerror(-rc)) : 0;
}

void gw_journal_lane_empty(struct lane *n)
{
    gw_journal_fetch_close(n);
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++) {
        gw_journal_send_close(n, &n->parts[i]);
        while (n->parts[i].first)
            gw_journal_lane_drop(n, &n->parts[i]);
    }
    gw_journal_keep_close(n);
    gw_buf_clear(&n->merged);
    n->merged_meta = gw_meta_unref(n->merged_meta);
}

void gw_journal_lane_close(struct lane *n)
{
    if (n->intake)
        n->intake->local = NULL;
    if (n->again)
        gw_journal_lane_empty(n->again);
    gw_journal_lane_empty(n);
    gw_journal_suspects_close(n);
}

void gw_journal_lane_free(struct lane *n)
{
    if (n)
        free(n->again);
    free(n);
}
