/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces that wait: for each trace id its spans' wire bytes, and a few facts that its owner keeps about it. What
 * tail_sampling, dynamic_sampling and groupbytrace stand on.
 *
 *   table   trace id ─► struct gw_trace {facts, chain}          open addressing, keyed by a seeded hash
 *   chain   run │ run │ …     run: envelope · rows · bytes │ the spans, framed as in ScopeSpans.spans
 *   envelopes   resource + scope, each distinct pair once, counted by its runs
 *   order   oldest ◄─► … ◄─► newest                              by the time of the first span
 *   wheel   what is due in which tick                            so that a tick looks at nothing else
 *
 * Time is given by the caller (it may come from a log), never asked for. A trace id of zeros is no trace: the caller
 * deals with it.
 *
 * Threads   one
 * Memory    all of it counts: table, traces, chains, envelopes, order and wheel; gw_traces_held_bytes() is exact and
 *           never above budget_bytes
 */
#ifndef GW_PROCESSORS_COMMON_TRACES_H
#define GW_PROCESSORS_COMMON_TRACES_H

#include "batch/view.h"
#include "core/buf.h"
#include "core/env.h"
#include "processors/common/blocks.h"

struct gw_traces;

/** One waiting trace. Its address stands until it is dropped. */
struct gw_trace {
    uint8_t id[16];
    uint64_t first_ns, due_ns; /* of its first span; when it is to be looked at */
    uint32_t n_spans;
    uint32_t slot; /* the store's */
    struct gw_chain chain;
    uint32_t older, newer, wheel_before, wheel_next; /* the store's */
    _Alignas(8) uint8_t facts[];                     /* facts_bytes of the owner, zeroed */
};

struct gw_traces_conf {
    struct gw_env *env;    /* random numbers: the table's seed */
    uint64_t budget_bytes; /* 0 = no limit */
    uint64_t max_traces;   /* 0 = no limit */
    uint32_t facts_bytes;  /* of the owner, in each trace */
    uint64_t tick_ns;      /* resolution of due_ns: a second as in the Collector */
};

struct gw_traces *gw_traces_new(const struct gw_traces_conf *conf);
void gw_traces_free(struct gw_traces *t);

struct gw_trace *gw_traces_find(struct gw_traces *t, const uint8_t id[16]);
/**
 * A new trace; the id must not be there.
 *
 * Errors    NULL: no room (budget, max_traces, memory): decide the oldest, then try again
 */
struct gw_trace *gw_traces_add(struct gw_traces *t, const uint8_t id[16], uint64_t now_ns, uint64_t due_ns);
/**
 * Keep these rows of a batch for a trace: rows[] ascending, all of one scope, none patched (gw_traces_flatten).
 *
 * Errors    -ENOSPC no room; -ENOMEM. Nothing is kept then
 */
int gw_traces_keep(struct gw_traces *t, struct gw_trace *trace, const struct gw_batch *b, const uint32_t *rows,
                   uint32_t n_rows);
/** Earlier or later. */
void gw_traces_set_due(struct gw_traces *t, struct gw_trace *trace, uint64_t due_ns);
/** A trace that is due at now_ns, or NULL; it stays until it is dropped or has another time. In order of due_ns. */
struct gw_trace *gw_traces_next_due(struct gw_traces *t, uint64_t now_ns);
struct gw_trace *gw_traces_oldest(struct gw_traces *t);
/** The next younger one, or NULL: to walk over all. */
struct gw_trace *gw_traces_newer(struct gw_traces *t, const struct gw_trace *trace);
/**
 * Append its spans as fields of an ExportTraceServiceRequest: a ResourceSpans for each resource, in it a ScopeSpans for
 * each scope, in order of first appearance; spans in order of arrival. Unknown fields of resource, scope and span come
 * along.
 *
 * Errors    -ENOMEM, -E2BIG: `out` is full
 */
int gw_traces_write(const struct gw_traces *t, const struct gw_trace *trace, struct gw_buf *out);
/** Forget it. */
void gw_traces_drop(struct gw_traces *t, struct gw_trace *trace);

uint64_t gw_traces_n(const struct gw_traces *t);
uint64_t gw_traces_n_spans(const struct gw_traces *t);
uint64_t gw_traces_held_bytes(const struct gw_traces *t);

/**
 * The same rows without patches: a view whose batch is the encoded rows decoded again. An unpatched view comes back as
 * it is. Takes v; the tickets go along. Errors: -ENOMEM; v is as it was.
 */
int gw_traces_flatten(struct gw_view *v);

#endif
