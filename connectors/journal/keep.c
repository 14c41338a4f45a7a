/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane whose pipeline keeps rows that survive (pipeline/keep.h): frames go in steps of a tenth of a second of their
 * time stamps, which never go back, and a step begins when all of the one before is consumed.
 *
 *   log        1 2 3 │ 4 5 6 7 │ 8 9            of the lane's partitions, in the order of the log
 *   step       ──k── │ ──k+1── │ ──k+2──
 *                    ▲ barrier: the pipeline decides what is due, and commits {what left it, this place}
 *
 *   again      frames below it were consumed before the last start: they come first in their step, and the pipeline
 *              knows what became of them
 *   tick       at the end of the log time would stand still: then a frame without rows is written, when the pipeline
 *              waits for one
 *
 * The journal's own position is where the oldest row came that is still kept, or has still to come again (again.c).
 */
#include <stdlib.h>

#include "connectors/journal/keeper.h"

enum { IDLE_STEPS = 10 };

static bool owns(void *lane, const uint8_t trace_id[16])
{
    const struct lane *n = lane;

    return lane_owns(n, gw_journal_partition_of_trace(trace_id));
}

static void on_kept(void *lane, uint64_t low_seq)
{
    struct lane *n = lane;

    if (low_seq > n->keeper->low_seq) {
        n->keeper->low_seq = low_seq;
        n->dirty = true;
    }
}

/* Places behind the end are of frames that a power cut took: others have their numbers now. */
static void find_place(const struct lane *n, const struct gw_log_stats *st, uint16_t partition,
                       struct gw_keep_place *ret)
{
    n->intake->keep->place(n->intake, st->uuid, partition, ret);
    if (ret->low_seq > st->end_seq)
        ret->low_seq = st->end_seq;
    if (ret->next_seq > st->end_seq)
        ret->next_seq = st->end_seq;
}

/* Partitions that are read as one have always been (parting.c), and stand at one place. Returns the first step of what
 * comes again. */
static uint64_t find_places(struct lane *n, const struct gw_log_stats *st)
{
    uint64_t least = UINT64_MAX, ns = UINT64_MAX, low_ns = UINT64_MAX;

    for (uint16_t i = 0; i < JOURNAL_PARTITIONS; i++) {
        struct part *p = part_of(n, i);
        struct gw_keep_place place;

        if (!lane_owns(n, i))
            continue;
        find_place(n, st, i, &place);
        if (place.low_seq > p->read)
            p->read = p->done = place.low_seq;
        if (place.next_seq > p->again)
            p->again = place.next_seq;
        n->keeper->floor_seq[i] = place.low_seq;
        least = p->read < least ? p->read : least;
        ns = place.low_ns < ns ? place.low_ns : ns;
        if (place.low_seq < place.next_seq && place.low_ns < low_ns)
            low_ns = place.low_ns;
    }
    n->next = least;
    n->keeper->low_seq = least;
    n->keeper->taken_ns = ns;
    return low_ns;
}

int gw_journal_keep_open(struct lane *n, struct gw_err *err)
{
    struct gw_keep_owner owner = {.owns = owns, .arg = n};
    struct gw_log_stats st;

    n->keeper = calloc(1, sizeof(*n->keeper));
    if (!n->keeper)
        return gw_fail(err, -ENOMEM, "out of memory");
    gw_log_stats(n->local->journal->log, &st);
    owner.low_ns = find_places(n, &st);
    if (n->intake->keep->twice(n->intake) && gw_journal_again_open(n) < 0)
        return gw_fail(err, -ENOMEM, "out of memory");
    n->intake->on_kept = on_kept;
    return n->intake->keep->begin(n->intake, st.uuid, n->owned, &owner, err);
}

void gw_journal_keep_close(struct lane *n)
{
    free(n->keeper);
    n->keeper = NULL;
}

uint64_t gw_journal_keep_low(const struct lane *n)
{
    return n->keeper->low_seq;
}

void gw_journal_keep_take(struct lane *n, struct taken *t)
{
    uint64_t ns = t->block->frames[t->frame].time_ns;

    ns -= ns % GW_KEEP_STEP_NS;
    if (ns > n->keeper->taken_ns)
        n->keeper->taken_ns = ns;
    t->step_ns = n->keeper->taken_ns;
}

static uint64_t seq_of(const struct taken *t)
{
    return t->block->frames[t->frame].seq;
}

static bool comes_again(const struct part *p)
{
    return seq_of(p->unsent) < p->again;
}

bool gw_journal_keep_may_send(const struct lane *n, const struct part *p)
{
    return p->unsent && !n->keeper->is_between && !(n->again && n->again->keeper->is_busy) &&
           p->unsent->step_ns <= n->keeper->now_ns && comes_again(p) == n->keeper->rebuilds;
}

/* ---- steps ------------------------------------------------------------------------------------------------ */

struct waiting gw_journal_keep_look(const struct lane *n, uint64_t step_ns)
{
    struct waiting w = {NULL, false, false};

    for (unsigned i = 0; n->n_unsent && i < JOURNAL_PARTITIONS; i++) {
        const struct part *p = &n->parts[i];

        if (!p->unsent)
            continue;
        if (!w.first || seq_of(p->unsent) < seq_of(w.first))
            w.first = p->unsent;
        if (p->unsent->step_ns <= step_ns) {
            w.now |= !comes_again(p);
            w.again |= comes_again(p);
        }
    }
    return w;
}

static void set_barrier(struct lane *n, const struct waiting *w)
{
    struct keeper *k = n->keeper;
    struct waiting in = *w;
    bool is_first = w->first->step_ns > k->now_ns;

    if (is_first) {
        k->now_ns = w->first->step_ns;
        k->has_news = false;
        if (n->again)
            n->again->keeper->n_steps = 0;
        in = gw_journal_keep_look(n, k->now_ns);
    }
    k->rebuilds = is_first ? in.again : !k->rebuilds;
    k->barrier = (struct gw_keep_barrier){.now_ns = k->now_ns,
                                          .seq = seq_of(w->first),
                                          .next_seq = k->next_seq,
                                          .floor_seq = k->floor_seq,
                                          .rebuilds = k->rebuilds,
                                          .is_first = is_first};
    for (uint16_t i = 0; i < JOURNAL_PARTITIONS; i++)
        k->next_seq[i] = part_of(n, i)->again > k->barrier.seq ? part_of(n, i)->again : k->barrier.seq;
}

/* True when the pipeline has ended the step. */
static bool advance(struct lane *n)
{
    struct keeper *k = n->keeper;

    k->is_between = n->intake->keep->advance(n->intake, &k->barrier) == GW_MORE;
    return !k->is_between;
}

bool gw_journal_keep_is_done(const struct lane *n)
{
    return n->n_requests == 0 && n->n_under_way == 0;
}

/* ---- ticks ------------------------------------------------------------------------------------------------ */

/* When the pipeline wants to hear what time it is, by the journal; UINT64_MAX: it does not. */
static uint64_t wanted_ns(struct lane *n)
{
    struct keeper *k = n->keeper;
    uint64_t due = n->intake->keep->due_ns(n->intake), idle = k->now_ns + IDLE_STEPS * GW_KEEP_STEP_NS;

    if (k->has_news && idle < due)
        due = idle;
    if (due < k->now_ns + GW_KEEP_STEP_NS)
        due = k->now_ns + GW_KEEP_STEP_NS;
    return due;
}

static bool is_at_end(const struct lane *n)
{
    return n->ended && !n->fetch.under_way && !lane_rests(n) && gw_journal_keep_is_done(n);
}

static void tick(struct lane *n)
{
    uint64_t time, want;

    if (!is_at_end(n))
        return;
    time = gw_journal_now_ns(n->local->journal);
    want = wanted_ns(n);
    if (time < n->keeper->tick_ns + GW_KEEP_STEP_NS)
        return;
    if (want != UINT64_MAX && time >= want &&
        gw_journal_tick(n->local, n->signal, (uint16_t)__builtin_ctzll(n->owned), time))
        n->keeper->tick_ns = time - time % GW_KEEP_STEP_NS;
}

uint64_t gw_journal_keep_due(struct lane *n)
{
    uint64_t now = gw_loop_now_ns(n->local->loop), time, want;

    if (n->keeper->is_between)
        return now + GW_KEEP_STEP_NS / 20;
    if (n->again && n->again->keeper->is_busy)
        return gw_journal_again_due(n);
    if (!is_at_end(n))
        return 0;
    want = wanted_ns(n);
    time = gw_journal_now_ns(n->local->journal);
    if (want < n->keeper->tick_ns + GW_KEEP_STEP_NS)
        want = n->keeper->tick_ns + GW_KEEP_STEP_NS;
    if (want == UINT64_MAX)
        return 0;
    return now + (want > time ? want - time : GW_KEEP_STEP_NS / 20);
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

bool gw_journal_keep_run(struct lane *n)
{
    struct keeper *k = n->keeper;
    struct waiting w;

    if (n->rests)
        return false;
    if (k->is_between)
        return advance(n);
    w = gw_journal_keep_look(n, k->now_ns);
    if (!gw_journal_keep_is_done(n) || gw_journal_again_run(n))
        return false;
    if (!w.first) {
        tick(n);
        return false;
    }
    if (k->rebuilds ? w.again : w.now)
        return false; /* it is only not sent yet */
    set_barrier(n, &w);
    return advance(n);
}

void gw_journal_keep_had(struct lane *n, uint64_t seq)
{
    if (seq > n->keeper->had_seq)
        n->keeper->had_seq = seq;
}

void gw_journal_keep_news(struct lane *n)
{
    n->keeper->has_news = true;
}
