/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By how much a counter went up between two of its cumulative points, which come in their order.
 *
 *   life    start ─── point ─── point ──┐ start ─── point      it only goes up; after a start it is from zero
 *   up                +4        +3      └─           +5
 *
 * A new life is one whose start is not before the last point, or whose value is lower: then what it says was counted
 * since. A start that moves a little under a value that goes on (some sources compute it anew each time) is none.
 *
 * Error     none of whole numbers; of others the difference is rounded once
 */
#ifndef GW_SERIES_COUNTER_H
#define GW_SERIES_COUNTER_H

#include "series/aggregate.h"

struct gw_counter_point {
    uint64_t start_ns, time_ns; /* start 0: it is not known */
    struct gw_agg_number value;
};

/** False: it is none (NaN, infinite, negative, or from before its start). */
bool gw_counter_is_point(const struct gw_counter_point *p);
/** By time; among equal times by start, then by value: negative, 0, positive. 0: one point that came twice. */
int gw_counter_compare(const struct gw_counter_point *a, const struct gw_counter_point *b);
struct gw_agg_number gw_counter_increase(const struct gw_counter_point *before, const struct gw_counter_point *p);

#endif
