/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline that keeps nothing of a row has all rows come twice (pipeline/keep.h): a second lane reads the same
 * partitions behind the first one, from the log, and goes through the same door. It moves while the first one stands
 * between two of its steps, up to the oldest step that has something undecided.
 *
 *   first    │ 41 42 43 │ …                  stands at a barrier
 *   second   │ 17 18 │ 19 20 │ …  ready      a step at a time; at most STEPS, then the first one goes on
 *
 * Its place is the pipeline's low place, which is written with what left in it.
 */
#include <stdlib.h>

#include "connectors/journal/keeper.h"

enum { STEPS = 16, LOOK_NS = 5000000 };

static void begin_parts(struct lane *t, const struct lane *n)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++) {
        struct part *p = &t->parts[i];

        p->last = &p->first;
        p->last_request = &p->requests;
        p->read = p->done = n->parts[i].read;
    }
}

int gw_journal_again_open(struct lane *n)
{
    struct lane *t = calloc(1, sizeof(*t));

    n->again = t;
    if (!t || !(t->keeper = calloc(1, sizeof(*t->keeper))))
        return -ENOMEM;
    t->is_again = t->only_bytes = true;
    t->intake = n->intake;
    t->local = n->local;
    t->consumer = n->consumer;
    t->signal = n->signal;
    t->owned = n->owned;
    t->n_parts = n->n_parts;
    t->next = n->next;
    t->keeper->taken_ns = n->keeper->taken_ns;
    gw_buf_init(&t->merged, n->merged.max_bytes);
    gw_buf_init(&t->fetch.last_meta_bytes, GW_LOG_MAX_META_BYTES);
    begin_parts(t, n);
    return 0;
}

bool gw_journal_again_is_idle(const struct lane *n)
{
    return !n->again || (n->again->n_under_way == 0 && !n->again->fetch.under_way);
}

uint64_t gw_journal_again_due(const struct lane *n)
{
    const struct lane *t = n->again;
    uint64_t now = gw_loop_now_ns(n->local->loop);

    if (t->n_under_way || t->fetch.under_way)
        return 0;
    return t->retry_ns > now ? t->retry_ns : now + LOOK_NS;
}

/* Everything below the barrier was read. That the head has no more does not say it: it may not have heard of all. Nor
 * does a log that shows late, when the first pass has had more. */
static bool has_read(const struct lane *n)
{
    const struct lane *t = n->again;
    uint64_t barrier_seq = n->keeper->barrier.seq;

    return t->next >= barrier_seq || (t->ended && t->keeper->looked_seq >= barrier_seq && !gw_journal_lane_at_head(t) &&
                                      t->next >= n->keeper->had_seq);
}

static void move(struct lane *n)
{
    struct lane *t = n->again;

    if (!has_read(n) && !t->fetch.under_way) {
        t->ended = false;
        t->keeper->looked_seq = n->keeper->barrier.seq;
    }
    (void)gw_journal_lane_move(t);
}

/* The next step that has rows, or ready_ns: there is none before it. 0: it is not known yet. */
static uint64_t next_step(const struct lane *n, uint64_t ready_ns)
{
    const struct lane *t = n->again;
    struct waiting w = gw_journal_keep_look(t, t->keeper->now_ns);

    if (w.now || w.again || (!w.first && !has_read(n)))
        return 0;
    return w.first && w.first->step_ns < ready_ns ? w.first->step_ns : ready_ns;
}

/* A step of it is done, or none was begun. True: another one has begun. */
static bool step(struct lane *n, uint64_t next_ns, uint64_t ready_ns)
{
    struct lane *t = n->again;
    bool goes_on = next_ns < ready_ns && t->keeper->n_steps++ < STEPS;

    n->intake->keep->pass(n->intake, next_ns, goes_on);
    t->keeper->now_ns = goes_on ? next_ns : 0;
    return goes_on;
}

/* Up to where it may go; 0: not now. When there is no room for what leaves, it ends its step. */
static uint64_t goal(const struct lane *n)
{
    const struct keeper *k = n->again->keeper;
    uint64_t ready_ns = k->now_ns || k->n_steps < STEPS ? n->intake->keep->ready_ns(n->intake) : 0;

    if (k->now_ns)
        return ready_ns > k->now_ns ? ready_ns : k->now_ns + GW_KEEP_STEP_NS;
    return ready_ns == k->barrier.now_ns ? 0 : ready_ns;
}

static bool run(struct lane *n, uint64_t ready_ns)
{
    struct lane *t = n->again;
    uint64_t next_ns;

    do {
        move(n);
        if (!gw_journal_keep_is_done(t))
            return true;
        next_ns = next_step(n, ready_ns);
        if (!next_ns)
            return true;
    } while (step(n, next_ns, ready_ns));
    t->keeper->barrier.now_ns = next_ns; /* all before it has come again */
    return false;
}

bool gw_journal_again_run(struct lane *n)
{
    uint64_t ready_ns;

    if (!n->again || n->keeper->rebuilds || !n->keeper->now_ns)
        return false;
    ready_ns = goal(n);
    n->again->keeper->is_busy = ready_ns > 0 && run(n, ready_ns);
    return n->again->keeper->is_busy;
}
