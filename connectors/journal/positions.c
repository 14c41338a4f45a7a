/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a lane is, told to the log: after requests are done, and now and then for partitions in which nothing was,
 * so that a restart does not read all that they passed over. Of a lane that keeps, now and then alone: it goes on with
 * the oldest row that is kept, which moves in all partitions at each barrier.
 */
#include "connectors/journal/journal.h"

enum { IDLE_NS = 1000000000, AGAIN_NS = 100000000 };

static uint64_t reached(const struct lane *n, const struct part *p)
{
    uint64_t at = n->next > p->done ? n->next : p->done;

    if (n->keeper)
        return gw_journal_keep_low(n);
    return p->first ? p->first->block->frames[p->first->frame].seq : at;
}

/* On the writer's thread. */
static void on_done(struct gw_log_commit *c, int rc)
{
    struct positions *ps = (struct positions *)c;
    struct local *l = ps->lane->local;

    ps->rc = rc;
    if (gw_inbox_push(&l->positioned, &ps->back) && atomic_load(&l->open))
        gw_loop_wake(l->loop);
}

void gw_journal_positions_back(struct local *l)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&l->positioned), *next; i; i = next) {
        struct positions *ps = (struct positions *)((char *)i - offsetof(struct positions, back));
        struct lane *n = ps->lane;

        next = i->next;
        ps->under_way = false;
        if (ps->rc < 0) {
            n->dirty = true;
            n->commit_ns = gw_loop_now_ns(l->loop) + AGAIN_NS;
            continue;
        }
        for (unsigned k = 0; k < ps->commit.n_positions; k++) {
            n->parts[ps->at[k].partition].committed = ps->at[k].next_seq;
            gw_metric_set(n->consumer->positions[ps->at[k].partition], ps->at[k].next_seq);
        }
    }
}

static unsigned collect(struct lane *n)
{
    struct positions *ps = &n->positions;
    unsigned k = 0;

    for (uint16_t i = 0; i < JOURNAL_PARTITIONS; i++)
        if (lane_owns(n, i) && reached(n, part_of(n, i)) > n->parts[i].committed)
            ps->at[k++] = (struct gw_log_position){
                .consumer = n->consumer->id, .partition = i, .next_seq = reached(n, part_of(n, i))};
    return k;
}

void gw_journal_positions_run(struct lane *n)
{
    uint64_t now = gw_loop_now_ns(n->local->loop);
    struct positions *ps = &n->positions;
    unsigned k;

    if (ps->under_way || (!n->dirty && n->next == n->told_next) || (ps->rc < 0 && now < n->commit_ns))
        return;
    if (!n->dirty && (now < n->commit_ns || n->rests))
        return;
    if (n->keeper && now < n->commit_ns && !lane_rests(n)) /* it begins where the pipeline's own log says (keep.c) */
        return;
    k = collect(n);
    n->dirty = false;
    n->told_next = n->next;
    n->commit_ns = now + IDLE_NS;
    ps->rc = 0;
    if (k == 0)
        return;
    ps->lane = n;
    ps->under_way = true;
    ps->commit = (struct gw_log_commit){.positions = ps->at, .n_positions = k, .done = on_done};
    gw_log_submit(n->local->journal->log, &ps->commit);
}
