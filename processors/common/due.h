/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A timer wheel over waiting traces: what is due in which tick, so that a tick looks at nothing else.
 *
 *   near   1024 ticks, a list each            far   256 times 1024 ticks; a list moves to near when its turn comes
 *
 * What is due still later waits in the farthest list and is put again when that comes.
 */
#ifndef GW_PROCESSORS_COMMON_DUE_H
#define GW_PROCESSORS_COMMON_DUE_H

#include "processors/common/slabs.h"

struct gw_trace;

enum { GW_DUE_NEAR = 1024, GW_DUE_FAR = 256 };

struct gw_due {
    const struct gw_slabs *traces;
    uint64_t tick_ns, cursor; /* cursor: a tick; what is due before has left */
    uint32_t n, n_near;
    bool is_ordered;                          /* a tick's traces come by due_ns and id */
    bool is_sorted;                           /* those of the cursor are in that order */
    uint32_t lists[GW_DUE_NEAR + GW_DUE_FAR]; /* first of each; its wheel_before is the last */
};

void gw_due_init(struct gw_due *d, const struct gw_slabs *traces, uint64_t tick_ns);
/** By its due_ns; one that is due in the past is due now. */
void gw_due_put(struct gw_due *d, struct gw_trace *t, uint64_t now_ns);
void gw_due_remove(struct gw_due *d, struct gw_trace *t);
/** When the next one is due, or earlier; UINT64_MAX: none is there. Cost: a look at each near list. */
uint64_t gw_due_when(const struct gw_due *d);
/** The first that is due, or NULL. */
struct gw_trace *gw_due_next(struct gw_due *d, uint64_t now_ns);

#endif
