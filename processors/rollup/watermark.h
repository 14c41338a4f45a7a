/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far event time has got: no record is expected any more whose time lies before the watermark.
 *
 *   source   a receiver on a worker; top = the latest stamp that came from it
 *            active: top - delay                 idle (nothing for idle_ns): its clock goes on without it
 *   worker   the least of its active sources; of idle ones the furthest, when there is no active one
 *   all      the same of the workers (gw_watermarks_now), and never less than before
 *
 * The stamp is the time of ingest (a clock of ours: a host whose clock is wrong moves nothing), or the event time.
 * Rows of a source come in the order of their ingest stamps, since a worker finishes a batch before it takes the next:
 * that nothing came for a while is known, not guessed.
 *
 * Threads   a gw_watermark is its worker's; gw_watermarks are atomics
 */
#ifndef GW_ROLLUP_WATERMARK_H
#define GW_ROLLUP_WATERMARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { GW_WATERMARK_SOURCES = 16 }; /* of a worker; what comes beyond shares the last one */

struct gw_watermark_conf {
    uint64_t delay_ns, idle_ns;
};

struct gw_watermark {
    struct {
        const char *name; /* compared by address: ids of receivers live as long as the process */
        uint64_t top_ns, seen_ns;
    } sources[GW_WATERMARK_SOURCES];
    unsigned n;
};

/** A stamp of that source came at now_ns (monotonic). */
void gw_watermark_observe(struct gw_watermark *w, const char *source, uint64_t stamp_ns, uint64_t now_ns);
/** 0: nothing ever came. */
uint64_t gw_watermark_of(const struct gw_watermark *w, const struct gw_watermark_conf *c, uint64_t now_ns,
                         bool *ret_active);

/** Of all workers. */
struct gw_watermarks {
    _Atomic uint64_t now_ns;
    unsigned n;
    _Atomic uint64_t of[]; /* watermark << 1 | active; 0: nothing came */
};
/** A worker says where it is; returns the watermark of all. */
uint64_t gw_watermarks_set(struct gw_watermarks *all, unsigned worker, uint64_t mark_ns, bool active);
static inline uint64_t gw_watermarks_now(struct gw_watermarks *all)
{
    return atomic_load_explicit(&all->now_ns, memory_order_acquire);
}

#endif
