/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the store: traces.c puts in, finds and forgets, traces_write.c writes. */
#ifndef GW_PROCESSORS_COMMON_TRACES_PRIV_H
#define GW_PROCESSORS_COMMON_TRACES_PRIV_H

#include "processors/common/cold.h"
#include "processors/common/due.h"
#include "processors/common/envelopes.h"
#include "processors/common/traces.h"

/** Spans of one envelope: the chain's bytes from begin to the next run's. The items' links are the trace's list. */
struct gw_run {
    uint32_t envelope, begin;
};

struct gw_traces {
    struct gw_traces_conf conf;
    struct gw_budget budget;
    uint64_t seed[2];
    struct gw_slabs traces, runs;
    struct gw_index index;
    struct gw_blocks blocks;
    struct gw_envelopes envelopes;
    struct gw_due due;
    struct gw_cold *cold; /* made when the first trace is packed; or NULL */
    uint32_t oldest, newest;
    uint32_t warm_first, warm_last; /* that may be packed, in order of warm_ms */
    uint64_t n_spans;
    uint64_t now_ns;  /* the last that was said */
    uint64_t aged_ns; /* when it was last looked at what is too much */
};

static inline struct gw_trace *gw_trace_at(const struct gw_traces *t, uint32_t slot)
{
    return slot ? gw_slabs_at(&t->traces, slot) : NULL;
}
/** All of a trace's spans. Errors: -ENOMEM. */
int gw_trace_begin(const struct gw_traces *t, const struct gw_trace *trace, struct gw_chain_reader *ret);
/** Warm: it got a span; it will be looked at in a second. */
void gw_trace_touch(struct gw_traces *t, struct gw_trace *trace);
/** It goes. */
void gw_trace_drop_cold(struct gw_traces *t, struct gw_trace *trace);
static inline struct gw_run *gw_run_at(const struct gw_traces *t, uint32_t run)
{
    return gw_slabs_at(&t->runs, run);
}

#endif
