/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces that wait: for each trace id its spans' wire bytes, and a few facts that its owner keeps about it. What
 * tail_sampling, dynamic_sampling and groupbytrace stand on.
 *
 *   index   trace id ─► struct gw_trace {facts, chain, runs}     linear hashing, keyed by a seeded hash
 *   chain   the spans, one behind the other, framed as in ScopeSpans.spans
 *   runs    from which byte of the chain on which envelope holds; a new one where it changes
 *   envelopes   resource + scope, each distinct pair once, counted by its runs
 *   order   oldest ◄─► … ◄─► newest                              in order of gw_traces_add
 *   wheel   what is due in which tick                            so that a tick looks at nothing else
 *
 * For each view:
 *
 *   gw_traces_begin ─► for each trace: gw_traces_fetch, gw_traces_find or _add, gw_traces_keep ─► gw_traces_end
 *
 * Time is given by the caller (it may come from a log), never asked for. A trace id of zeros is no trace: the caller
 * deals with it.
 *
 * Threads   one
 * Memory    all of it counts: index, traces, chains, envelopes, order and wheel; gw_traces_held_bytes() is exact and
 *           never above budget_bytes
 */
#ifndef GW_PROCESSORS_COMMON_TRACES_H
#define GW_PROCESSORS_COMMON_TRACES_H

#include "batch/view.h"
#include "core/buf.h"
#include "core/env.h"
#include "processors/common/blocks.h"
#include "processors/common/flatten.h"

struct gw_traces;

/** The least budget: what the first trace of the smallest kind wants. */
enum { GW_TRACES_MIN_BUDGET_BYTES = 256 << 10 };

/** One waiting trace. Its address stands until it is dropped. */
struct gw_trace {
    uint8_t id[16];
    uint64_t first_ns, due_ns; /* of its first span; when it is to be looked at */
    uint32_t n_spans;
    uint32_t slot;         /* the store's, and so is what follows */
    struct gw_chain chain; /* spans, framing included; those before are in cold, packed */
    struct gw_chain cold;
    uint32_t cold_bytes; /* before they were packed */
    uint32_t first_run, last_run, envelope;
    uint32_t older, newer, wheel_before, wheel_next;
    uint32_t warm_before, warm_next, warm_ms, touched_ms;
    uint16_t wheel_list, dict;
    bool is_warm, is_aside;
    _Alignas(8) uint8_t facts[]; /* facts_bytes of the owner, zeroed */
};

/** Wire bytes of its spans, framing included. */
static inline uint32_t gw_trace_bytes(const struct gw_trace *t)
{
    return t->chain.n_bytes + t->cold_bytes;
}

static inline bool gw_trace_is_packed(const struct gw_trace *t)
{
    return t->cold.n_bytes != 0;
}

struct gw_traces_conf {
    struct gw_env *env;       /* random numbers: the hash's seed */
    uint64_t budget_bytes;    /* 0 = no limit; else at least GW_TRACES_MIN_BUDGET_BYTES */
    struct gw_credit *memory; /* the process', which is charged for what is held (slabs.h); or NULL */
    uint64_t max_traces;      /* 0 = no limit */
    uint32_t facts_bytes;     /* of the owner, in each trace */
    bool compress;            /* gw_traces_cool packs */
    uint64_t tick_ns;         /* resolution of due_ns: a second as in the Collector */
    bool ordered;             /* what is due in one tick comes by due_ns and id, however it was put there */
};

/** Errors: NULL, no memory. */
struct gw_traces *gw_traces_new(const struct gw_traces_conf *conf);
void gw_traces_free(struct gw_traces *t);

/** Rows of this batch come now. It must stay until end. */
void gw_traces_begin(struct gw_traces *t, const struct gw_batch *b);
void gw_traces_end(struct gw_traces *t);
/**
 * What find and keep will need of a trace comes into the cache meanwhile: step by step, each some traces before the
 * next, which finds what the one before has fetched. Optional; spans of many traces by turns cost half with it. True:
 * the last step has found it.
 */
enum gw_traces_step { GW_TRACES_INDEX, GW_TRACES_TRACE, GW_TRACES_CHAIN };
bool gw_traces_fetch(const struct gw_traces *t, const uint8_t id[16], enum gw_traces_step step);
/** All steps, row by row, ascending, for those behind. */
void gw_traces_ahead(const struct gw_traces *t, uint32_t row);

/** Other limits than it was made with. What is there stays, even if it is more: then nothing is added. */
void gw_traces_set_limits(struct gw_traces *t, uint64_t budget_bytes, uint64_t max_traces);
/** What is kept in reserve goes to the thread's stock of payloads, and what that does not keep to the system, which
 * costs 50 µs a slab. False: there was nothing. */
bool gw_traces_trim(struct gw_traces *t);
/** Memory of a MiB that nothing is in goes to the thread's stock of payloads. False: there is none. */
bool gw_traces_lend(struct gw_traces *t);
/** From now on; what is packed stays so. */
void gw_traces_set_compress(struct gw_traces *t, bool compress);

struct gw_trace *gw_traces_find(struct gw_traces *t, const uint8_t id[16]);
/**
 * A new trace; the id must not be there.
 *
 * Errors    NULL: no room (budget, max_traces, memory): decide the oldest, then try again
 */
struct gw_trace *gw_traces_add(struct gw_traces *t, const uint8_t id[16], uint64_t now_ns, uint64_t due_ns);
/**
 * Keep these rows of the batch for a trace: rows[] ascending, all of one scope, none patched (gw_view_flatten).
 *
 * Errors    -ENOSPC no room; -ENOMEM; -EOVERFLOW: this trace has 4 GiB or 2^32 - 1 spans, whatever else is decided.
 *           Nothing is kept then
 */
int gw_traces_keep(struct gw_traces *t, struct gw_trace *trace, const uint32_t *rows, uint32_t n_rows);
/** Earlier or later. */
void gw_traces_set_due(struct gw_traces *t, struct gw_trace *trace, uint64_t due_ns);
/**
 * A trace that is due at now_ns, or NULL; it stays until it is dropped or has another time. In order of the ticks
 * (due_ns rounded up), within a tick as they were put there: never before due_ns, less than a tick behind. Memory that
 * was not needed for 10 to 20 seconds goes where gw_traces_trim sends it here, so call it even when nothing can be due.
 */
struct gw_trace *gw_traces_next_due(struct gw_traces *t, uint64_t now_ns);
/** Of one that is due: the one that comes behind it, as far as it is known; or NULL. */
struct gw_trace *gw_traces_due_behind(const struct gw_traces *t, const struct gw_trace *trace);
/** It is due no more, and the youngest: its owner drops it when it likes. Once; no gw_traces_set_due after it. */
void gw_traces_set_aside(struct gw_traces *t, struct gw_trace *trace);
/** When the next one is due, or earlier than that; UINT64_MAX: none waits. */
uint64_t gw_traces_due_when(const struct gw_traces *t);
/**
 * Pack traces (lz4) that had no new span for a second and have 2 KiB of them, at most max_bytes of spans in this call.
 * Costs 400 ns a span, and as much again when it is written. True: there are more. Nothing without conf.compress.
 */
bool gw_traces_cool(struct gw_traces *t, uint64_t now_ns, uint64_t max_bytes);
struct gw_trace *gw_traces_oldest(struct gw_traces *t);
/** The traces that came when the oldest one came are by their ids from now on: so the oldest is the same for whoever
 * has seen the same. Cost: a sort of these. */
void gw_traces_order_oldest(struct gw_traces *t);
/** The next younger one, or NULL: to walk over all. */
struct gw_trace *gw_traces_newer(struct gw_traces *t, const struct gw_trace *trace);
/**
 * Append its spans as fields of an ExportTraceServiceRequest: a ResourceSpans for each resource, in it a ScopeSpans for
 * each scope, in order of first appearance; spans in order of arrival. Unknown fields of resource, scope and span come
 * along.
 *
 * Errors    -ENOMEM, -E2BIG: `out` is full; it is as it was then
 */
int gw_traces_write(const struct gw_traces *t, const struct gw_trace *trace, struct gw_buf *out);
/** The same of several, none of them packed unless it is the only one: equal resources and scopes stand there once,
 * whichever trace they are of; the spans of a scope by trace. */
int gw_traces_write_all(const struct gw_traces *t, struct gw_trace *const *traces, uint32_t n, struct gw_buf *out);
/** How far a trace is written; all zeros: not at all. Nothing may be kept for it meanwhile. */
struct gw_traces_cursor {
    uint32_t run, done;
    struct gw_chain_reader at;
};
/**
 * The same, some spans at a time, those of one scope: at most max_spans, and so many as max_bytes hold, but at least
 * one. *ret_spans 0: all are written.
 *
 * Errors    -ENOMEM, -E2BIG: nothing was written, the cursor stands where it stood
 */
int gw_traces_write_piece(const struct gw_traces *t, const struct gw_trace *trace, struct gw_traces_cursor *c,
                          uint32_t max_spans, uint32_t max_bytes, struct gw_buf *out, uint32_t *ret_spans);
struct gw_spool_writer;
/**
 * The whole of it into a spool (spool.h), with the owner's facts, as it is at now_ns. Errors: -ENOMEM: what is missing
 * is missing in the spool, and its owner must give the spool up.
 */
int gw_traces_spool(const struct gw_traces *t, const struct gw_trace *trace, struct gw_slice facts, uint64_t now_ns,
                    struct gw_spool_writer *w);
/** Forget it. */
void gw_traces_drop(struct gw_traces *t, struct gw_trace *trace);

uint64_t gw_traces_n(const struct gw_traces *t);
uint64_t gw_traces_n_spans(const struct gw_traces *t);
uint64_t gw_traces_held_bytes(const struct gw_traces *t);
/** Memory that the traces which are there want, whatever was there before them: of two stores with the same traces and
 * spans the same, unless some are packed. Without the index, and what is kept in reserve. */
uint64_t gw_traces_used_bytes(const struct gw_traces *t);
/** The same as held, asked of every part anew: for tests, must be equal. */
uint64_t gw_traces_count_bytes(const struct gw_traces *t);

#endif
