/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast something empties, seen from outside: a counter of what has left, looked at now and then. From the rate
 * follows when a backlog will be gone, which is what a refused client is told.
 *
 *   rate = mean of the last window and of all before it, each half as important as the next
 *
 * A window lasts a second, or as long as nobody looked. Threads: one owner; the counter may be anybody's.
 */
#ifndef GW_CORE_DRAIN_H
#define GW_CORE_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#define GW_DRAIN_WINDOW_NS 1000000000u
#define GW_DRAIN_MIN_NS    100000000u   /* coming back sooner costs both sides more than it gains */
#define GW_DRAIN_MAX_NS    30000000000u /* however long it may take: the sink may be back sooner */
#define GW_DRAIN_GUESS_NS  1000000000u  /* nothing was seen yet */

struct gw_drain {
    uint64_t begin_ns, begin; /* of the window: monotonic, and the counter then */
    double per_ns;            /* of the windows before */
    bool has_rate;
};

/** True when a window is over, or none has begun: then the counter is worth reading. */
static inline bool gw_drain_is_due(const struct gw_drain *d, uint64_t now_ns)
{
    return d->begin_ns == 0 || now_ns - d->begin_ns >= GW_DRAIN_WINDOW_NS;
}

static inline void gw_drain_note(struct gw_drain *d, uint64_t total, uint64_t now_ns)
{
    double rate;

    if (!gw_drain_is_due(d, now_ns))
        return;
    if (d->begin_ns) {
        rate = (double)(int64_t)(total - d->begin) / (double)(now_ns - d->begin_ns);
        rate = rate > 0 ? rate : 0; /* a counter may be corrected */
        d->per_ns = d->has_rate ? (d->per_ns + rate) / 2 : rate;
        d->has_rate = true;
    }
    d->begin_ns = now_ns;
    d->begin = total;
}

/** When `backlog` will have left, between GW_DRAIN_MIN_NS and GW_DRAIN_MAX_NS. */
static inline uint64_t gw_drain_wait_ns(struct gw_drain *d, uint64_t total, uint64_t now_ns, uint64_t backlog)
{
    double ns;

    gw_drain_note(d, total, now_ns);
    if (!d->has_rate)
        return GW_DRAIN_GUESS_NS;
    ns = d->per_ns > 0 ? (double)backlog / d->per_ns : (double)GW_DRAIN_MAX_NS;
    if (!(ns < (double)GW_DRAIN_MAX_NS))
        return GW_DRAIN_MAX_NS;
    return ns < (double)GW_DRAIN_MIN_NS ? GW_DRAIN_MIN_NS : (uint64_t)ns;
}

#endif
