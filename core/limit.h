/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many calls to a sink may be under way at once: between 1 and `most`, found by what the sink says and by how much
 * gets through.
 *
 *   begins at `most`          so that a sink that bears it gets what the settings say
 *   busy, or no answer in time × 0.7, at most once in a round trip; where it was cut is remembered (ceiling)
 *   busy, alone, 3 in a row   nothing else is sent until that call's pause is over
 *   trial                     half of it for some rounds, then: do about as many get through? Then it stays at half,
 * and the next trial follows; else it is again what it was a round without a cut     + 1 while a call takes hardly
 * longer (≤ × 1.5) than in the last trial and it is below the ceiling; beyond the ceiling only after PATIENCE such
 * rounds: there lies what the sink did not like
 *
 * A sink that queues what is too much says nothing: calls take longer, and no more of them get through. No latency is
 * too high by itself, and none seen under load is the sink's own; so a trial compares the sink with itself, of late.
 * There is one when the limit is used for the first time, when no more get through than in the last one although more
 * are under way, and otherwise every half a minute or every AGE_ROUNDS rounds, whichever is later: a small part of what
 * could get through meanwhile. Where the limit is not used up there is none.
 *
 * What gets through is counted by the clock, over two rounds and ENOUGH calls at least: so a slow answer hardly counts,
 * and it is right also about a sink that serves the last first, or one slow server among several, whose fast calls
 * alone say that all is well. How long a call takes is calls under way / throughput (Little's law).
 *
 * A round is as many calls as may be under way. A limit that is not used up does not grow.
 *
 * Threads   one owner
 */
#ifndef GW_CORE_LIMIT_H
#define GW_CORE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/sign.h"

enum { GW_LIMIT_REFUSALS = 3 }; /* in a row: one alone may be chance */
#define GW_LIMIT_LONGEST_REST_NS (30ull * 1000000000)

struct gw_limit {
    bool adapts;
    uint32_t most;
    double now, ceiling;
    bool ceiling_is_slow; /* a trial said so, not the sink: forgotten after PATIENCE rounds */
    uint64_t step_ns;     /* calls that began before the last cut or trial say nothing about the limit since */

    uint32_t n_refused;          /* calls in a row that were too many at a limit of 1 */
    uint32_t round_calls, quiet; /* calls of this round; rounds that did not let it grow */
    uint64_t begins, under_way;  /* in this round: calls that began, and how many were under way then, summed up */
    bool was_full;               /* in this round */

    double per_ns;      /* calls that get through, as they did last; 0: not known yet */
    uint32_t per_of;    /* with this limit */
    uint64_t window_ns; /* begin of what is being measured; 0: the next round begins it */
    uint32_t window_calls, window_rounds;
    double base, base_per_ns;     /* the limit of the last trial, and what got through; base_per_ns == 0: none */
    double before, before_per_ns; /* trial: the limit before it, and what got through; before == 0: none runs */
    bool halved;                  /* the last trial was kept: another one follows */
    uint32_t n_vain;              /* rounds in a row in which no more got through than in the last trial */
    uint32_t n_rounds;            /* since the last trial */
    uint64_t tried_ns;            /* its end */
};

/** most ≥ 1. !adapts: it stays there. */
void gw_limit_init(struct gw_limit *l, bool adapts, uint32_t most);
static inline uint32_t gw_limit_get(const struct gw_limit *l)
{
    return (uint32_t)l->now;
}
/** A call begins; under_way counts it. */
static inline void gw_limit_begin(struct gw_limit *l, uint32_t under_way)
{
    l->begins++;
    l->under_way += under_way;
    l->was_full |= under_way >= (uint32_t)l->now;
}
/**
 * The sink is too busy for one call at a time: less is none for a while. The pause of the last one is everyone's, when
 * it is no longer than this.
 */
static inline bool gw_limit_rests(const struct gw_limit *l, enum gw_sign sign, uint32_t others, uint64_t pause_ns)
{
    return l->adapts && l->n_refused >= GW_LIMIT_REFUSALS && sign == GW_SIGN_BUSY && others == 0 &&
           pause_ns <= GW_LIMIT_LONGEST_REST_NS;
}
/** It has ended. */
void gw_limit_end(struct gw_limit *l, enum gw_sign sign, uint64_t begin_ns, uint64_t now_ns);

#endif
