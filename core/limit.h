/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many calls to a sink may be under way at once: between 1 and `most`, found by what the sink says.
 *
 *   begins at `most`          so that a sink that never says "less" gets what the settings say
 *   busy, or no answer in time × 0.7, at most once in a round trip; where it was cut is remembered (ceiling)
 *   a round without that      + 1 while it is below the ceiling and latency near the lowest seen (≤ × 2);
 *                             else + 1 only after PATIENCE such rounds: beyond lies what the sink did not like
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

struct gw_limit {
    bool adapts;
    uint32_t most;
    double now, ceiling;
    uint64_t cut_ns;             /* calls that began before the last cut say nothing about the limit since */
    uint64_t lowest_ns[2];       /* latency: of this period, and of the one before; 0 = none seen */
    uint64_t period_ns;          /* its begin */
    uint32_t round_calls, quiet; /* calls of this round; rounds that did not let it grow */
    uint64_t round_ns;           /* sum of their latencies */
    bool was_full;               /* in this round */
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
    l->was_full |= under_way >= (uint32_t)l->now;
}
/** It has ended. */
void gw_limit_end(struct gw_limit *l, enum gw_sign sign, uint64_t begin_ns, uint64_t now_ns);

#endif
