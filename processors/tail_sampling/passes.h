/* SPDX-License-Identifier: Apache-2.0 */
/* mode: two_pass, behind a journal: passes.c says how. */
#ifndef GW_TAIL_SAMPLING_PASSES_H
#define GW_TAIL_SAMPLING_PASSES_H

#include "processors/tail_sampling/sums.h"
#include "processors/tail_sampling/take.h"

/** Of a noted decision. */
enum gw_tail_noted {
    GW_TAIL_REMEMBERED = 1, /* in the decision cache, too */
    GW_TAIL_FOLLOWED = 2,   /* rows followed one that was remembered */
    GW_TAIL_LEFT = 4,       /* they left in the first pass */
};

/** From now on it works so. Errors: -ENOMEM. */
int gw_tail_passes_begin(struct gw_tail *s);
void gw_tail_passes_free(struct gw_tail_passes *p);
/** Traces that wait; memory of all that is known. */
uint64_t gw_tail_passes_n(const struct gw_tail *s);
uint64_t gw_tail_passes_bytes(const struct gw_tail *s);
void gw_tail_passes_age(struct gw_tail *s, uint64_t now_ns);

/** The rows of a view, first or again. */
void gw_tail_passes_take(struct taking *k, const struct gw_trace_groups *groups);
bool gw_tail_passes_is_again(const struct gw_tail *s);
/** A kept trace links to it, or it to one. */
void gw_tail_passes_link(struct gw_tail *s, const uint8_t id[16]);
/** All that wait and were told so. */
void gw_tail_passes_each_linked(const struct gw_tail *s, void (*each)(void *arg, const uint8_t id[16]), void *arg);
/** Some of its rows were of this step. */
bool gw_tail_passes_has_come(const struct gw_tail *s, const uint8_t id[16]);
bool gw_tail_passes_waits(const struct gw_tail *s, const uint8_t id[16]);

/** A step begins: rows come for the first time, or with `rebuilds` as before a crash. */
void gw_tail_passes_advance(struct gw_tail *s, bool rebuilds);
/** Behind step.c: what the step before has brought, and what is due. GW_MORE: there is more of it. */
int gw_tail_passes_end_step(struct gw_tail *s);
uint64_t gw_tail_passes_due_ns(const struct gw_tail *s);
/** Steps before it may come again. */
uint64_t gw_tail_passes_ready_ns(const struct gw_tail *s);
/** Steps before it have. */
uint64_t gw_tail_passes_passed_ns(const struct gw_tail *s);
/** keep.h */
void gw_tail_passes_pass(void *self, uint64_t step_ns, bool again);

/** A noted decision: rows of steps before upto_ns that came after the last one of the same id. False: no memory. */
bool gw_tail_passes_restore(struct gw_tail *s, const uint8_t id[16], uint32_t reason, uint64_t upto_ns, unsigned flags);
/** All decisions that rows of the second pass may need. */
typedef void gw_tail_passes_fn(void *arg, const uint8_t id[16], uint32_t reason, uint64_t upto_ns, unsigned flags);
void gw_tail_passes_each(const struct gw_tail *s, gw_tail_passes_fn *each, void *arg);

#endif
