/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By how much a counter went up, from its cumulative points: one source, one stretch of time.
 *
 *   life    start ──── first ─────── last        a counter lives from its start to its next one; it only goes up
 *   lives   [ life │ life │ … ]                  by start; the stretch has the first and the last point of each
 *
 * Points of one life differ by what was counted between them; a life that began within the stretch counted from zero.
 * Lives are told apart by their start times, so that points may come in any order, more than once, and in stretches
 * that are merged. Where a source says no start (0), a value that is lower than one before it in time begins a new
 * life: that needs the points in order, and the new life's start is the time of the last point of the old one.
 *
 * Error     none; whole numbers up to 2^53. Beyond GW_COUNTER_LIVES in one stretch, the second one is closed: what it
 *           counted stays, and points of its time that come still later are left out
 * Memory    184 bytes
 */
#ifndef GW_SERIES_COUNTER_H
#define GW_SERIES_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

enum { GW_COUNTER_LIVES = 4 };

struct gw_counter_point {
    uint64_t start_ns, time_ns;
    double value;
};

struct gw_counter_life {
    uint64_t start_ns, first_ns, last_ns;
    double first, last;
};

/** All zero: no points. Plain bytes. */
struct gw_counter {
    uint64_t n;
    uint64_t closed_start_ns;                      /* the latest start of those that were closed */
    double closed;                                 /* what they counted */
    struct gw_counter_life life[GW_COUNTER_LIVES]; /* by start, ascending */
};

/** False: it is no point of a counter (NaN, infinite, negative, or from before its start); nothing has changed. */
bool gw_counter_add(struct gw_counter *c, const struct gw_counter_point *p);
/** Commutative and associative while no lives are closed. */
void gw_counter_merge(struct gw_counter *c, const struct gw_counter *other);
/**
 * What was counted in the stretch that begins at from_ns. before: the stretch that ended there, or NULL: then it is
 * from its last point on, so that what neighbours say adds up to what the counter says. Without it, a first life counts
 * from zero when it began at from_ns or later, otherwise from its first point.
 */
double gw_counter_increase(const struct gw_counter *c, const struct gw_counter *before, uint64_t from_ns);

#endif
