/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which traces are packed, and when: those in the warm list, which a trace joins with a span and leaves a second later,
 * packed, unless it got more spans meanwhile: then it joins again at the end.
 */
#include "processors/common/traces_priv.h"

enum { REST_MS = 1000, MIN_BYTES = 2 << 10, MAX_BYTES = 4 << 20 }; /* longer ones would have to be unpacked whole */

static uint32_t ms_of(uint64_t ns)
{
    return (uint32_t)(ns / 1000000); /* comes around in 49 days: differences count */
}

static void join(struct gw_traces *t, struct gw_trace *trace)
{
    trace->is_warm = true;
    trace->warm_ms = ms_of(t->now_ns);
    trace->warm_next = 0;
    trace->warm_before = t->warm_last;
    if (t->warm_last)
        gw_trace_at(t, t->warm_last)->warm_next = trace->slot;
    else
        t->warm_first = trace->slot;
    t->warm_last = trace->slot;
}

static void leave(struct gw_traces *t, struct gw_trace *trace)
{
    if (trace->warm_before)
        gw_trace_at(t, trace->warm_before)->warm_next = trace->warm_next;
    else
        t->warm_first = trace->warm_next;
    if (trace->warm_next)
        gw_trace_at(t, trace->warm_next)->warm_before = trace->warm_before;
    else
        t->warm_last = trace->warm_before;
    trace->is_warm = false;
}

void gw_trace_touch(struct gw_traces *t, struct gw_trace *trace)
{
    trace->touched_ms = ms_of(t->now_ns);
    if (trace->cold.n_bytes)
        gw_cold_forget(t->cold, trace->slot);
    if (!trace->is_warm)
        join(t, trace);
}

void gw_trace_drop_cold(struct gw_traces *t, struct gw_trace *trace)
{
    if (trace->is_warm)
        leave(t, trace);
    if (trace->cold.n_bytes) {
        gw_cold_forget(t->cold, trace->slot);
        gw_cold_drop(t->cold, &trace->cold, trace->dict);
    }
}

int gw_trace_begin(const struct gw_traces *t, const struct gw_trace *trace, struct gw_chain_reader *ret)
{
    struct gw_slice all;
    int r;

    if (trace->cold.n_bytes == 0) {
        gw_chain_begin(&t->blocks, &trace->chain, ret);
        return 0;
    }
    r = gw_cold_flat(t->cold, trace->slot, &trace->cold, trace->dict, &trace->chain, &all);
    if (r == 0)
        *ret = (struct gw_chain_reader){.flat = all.p, .left = (uint32_t)all.n};
    return r;
}

/* What finds no room for it stays as it is. */
static void pack(struct gw_traces *t, struct gw_trace *trace)
{
    uint32_t n = trace->chain.n_bytes;

    if (n < MIN_BYTES || gw_trace_bytes(trace) > MAX_BYTES)
        return;
    gw_cold_forget(t->cold, trace->slot);
    if (gw_cold_pack(t->cold, &trace->chain, &trace->cold, &trace->dict, t->now_ns) == 0)
        trace->cold_bytes += n;
}

void gw_traces_set_compress(struct gw_traces *t, bool compress)
{
    t->conf.compress = compress;
}

bool gw_traces_cool(struct gw_traces *t, uint64_t now_ns, uint64_t max_bytes)
{
    uint32_t now = ms_of(now_ns);
    uint64_t done = 0;

    t->now_ns = now_ns;
    while (t->conf.compress && t->warm_first && now - gw_trace_at(t, t->warm_first)->warm_ms >= REST_MS) {
        struct gw_trace *trace = gw_trace_at(t, t->warm_first);

        if (done >= max_bytes)
            return true;
        if (!t->cold)
            t->cold = gw_cold_new(&t->blocks);
        if (!t->cold)
            return false;
        leave(t, trace);
        done += trace->chain.n_bytes + 64; /* looking costs as well */
        if (now - trace->touched_ms >= REST_MS)
            pack(t, trace);
        else
            join(t, trace);
    }
    return false;
}
