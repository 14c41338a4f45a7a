/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tail_sampling: spans wait in the store until their trace is decided, decisions are remembered.
 *
 *   consume ─► group by trace ─┬─ waits ──────────► note facts, keep spans ─┬─ settled, full, too long ─► decide
 *                              └─ decided before ─► follow the decision     │
 *   tick ─► what is due ─► decide ◄─────────────────────────────────────────┘
 *   decide ─► verdict ─► remembered ─┬─ not kept ─► settled as dropped
 *                                    ├─ kept ─► written into `body`, many at once ─► marked, emitted
 *                                    └─ kept, and long ─► set aside ─► tick: a piece, as there is room behind ─► body
 *
 * What finds no memory stays where it is, decided: a trace in the store, set aside, or the spans in body. They are
 * tried again with each tick. Else nothing stands in body between two calls from outside.
 *
 * Threads   one: an instance has the traces of one worker
 */
#ifndef GW_TAIL_SAMPLING_SAMPLER_H
#define GW_TAIL_SAMPLING_SAMPLER_H

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/ids.h"
#include "processors/common/spooler.h"
#include "processors/common/traces.h"
#include "processors/tail_sampling/policy.h"

enum gw_tail_overflow { GW_TAIL_DECIDE, GW_TAIL_DROP };
enum gw_tail_idless { GW_TAIL_PASS, GW_TAIL_REJECT };
enum gw_tail_mode { GW_TAIL_BUFFERED, GW_TAIL_TWO_PASS };
enum gw_tail_strategy { GW_TAIL_COMPLETE, GW_TAIL_INGEST };

struct gw_tail_cache_conf {
    uint64_t sampled, non_sampled;
};

struct gw_tail_conf {
    uint64_t decision_wait_ns, after_root_ns, num_traces, expected_new_traces_per_sec, num_shards, max_trace_bytes;
    uint64_t max_bytes, max_spans_per_trace, max_links;
    bool block_on_overflow, sample_on_first_match, drop_pending_traces_on_shutdown;
    bool running_latency, fall_through, invert_decisions, count_spans, count_bytes, decide_early, use_trace_state,
        record_policy, dry_run, follow_links;
    int mode, strategy, overflow, without_trace_id, compress;
    struct gw_tail_cache_conf cache;
    const struct gw_node *policies;
    const char *reason_attribute, *tail_storage, *storage;
};

/* ---- why and what ----------------------------------------------------------------------------------------- */

/** Why a trace is decided now. */
enum gw_tail_cause {
    GW_TAIL_DUE,
    GW_TAIL_SETTLED,   /* no span that may come could change it */
    GW_TAIL_ON_INGEST, /* sampling_strategy: span-ingest */
    GW_TAIL_NUM_TRACES,
    GW_TAIL_BYTES,
    GW_TAIL_SPANS,
    GW_TAIL_TOO_LARGE,
    GW_TAIL_SHUTDOWN,
    GW_TAIL_N_CAUSES,
};

/** A decision in all that late spans need to follow it. There are few different ones: they are told by number. */
struct gw_reason {
    const char *policy, *composite; /* NULL: none */
    uint64_t threshold;
    bool has_threshold, kept;
    const char *word;    /* "sampled", "not_sampled", "dropped": label and attribute */
    const char *dropped; /* what its rows are settled with */
};

struct gw_reasons;
struct gw_reasons *gw_reasons_new(void);
void gw_reasons_free(struct gw_reasons *r);
/** The number of an equal one. Texts are copied. There is room for any configuration's; then for none with names. */
uint32_t gw_reasons_put(struct gw_reasons *r, const struct gw_reason *reason);
const struct gw_reason *gw_reasons_get(const struct gw_reasons *r, uint32_t number);
uint32_t gw_reasons_n(const struct gw_reasons *r);

struct gw_spool_in;
/** For another process: the reason with its number. */
void gw_reasons_write(const struct gw_reasons *r, uint32_t number, struct gw_buf *out);
/** Numbers of another process ─► ours. Errors: NULL, no memory. free() it. */
struct gw_reason_numbers *gw_reason_numbers_new(void);
void gw_reason_numbers_forget(struct gw_reason_numbers *n);
/** What gw_reasons_write wrote. False: it is none. */
bool gw_reasons_read(struct gw_reasons *r, struct gw_reason_numbers *n, struct gw_spool_in *in);
/** False: it is not known. */
bool gw_reason_number(const struct gw_reason_numbers *n, uint32_t theirs, uint32_t *ret_ours);

/* ---- self-metrics ----------------------------------------------------------------------------------------- */

struct gw_tail_meter {
    struct gw_metric *timer_latency, *late_span_age, *removal_age, *dropped_too_early, *on_memory, *new_ids, *too_large,
        *unparseable, *sampled, *not_sampled, *dropped, *early_sampled, *early_not_sampled;
    struct gw_metric *held_bytes, *without_id, *linked, *inconsistent, *causes[GW_TAIL_N_CAUSES];
    uint64_t shown_traces, shown_bytes; /* our part of gauges that all workers share */
};
void gw_tail_meter_init(struct gw_tail_meter *m, struct gw_meter *meter);
/** Gauges: what this instance adds to them is now this. */
void gw_tail_meter_show(struct gw_tail_meter *m, uint64_t traces, uint64_t bytes);

/* ---- the instance ----------------------------------------------------------------------------------------- */

/** What is kept of a waiting trace beside its spans. */
struct gw_tail_facts {
    struct gw_trace_facts f;
    const char *receiver;  /* of its first span */
    struct gw_trace *next; /* of those that leave */
    uint64_t last_ns;      /* when its last rows came */
    uint32_t reason;       /* when it is decided */
    bool is_decided;       /* kept, and on its way out: nothing is added to it */
    bool is_linked;        /* a kept trace links to it, or it to one */
    bool lacks_bytes;      /* f.wire_bytes and f.framed_bytes: spans came when nobody asked for them */
    uint8_t generation;    /* of the policies that were asked */
};

/** A trace in `body`, in order. */
struct gw_tail_part {
    uint32_t n_spans, reason;
};

enum { GW_TAIL_PARTS = 4096, GW_TAIL_BATCH_SPANS = 8192, GW_TAIL_GROUP = 64 };

struct gw_tail_links;
struct gw_tail_log;
struct gw_tail_passes;
struct gw_keep_ops;

struct gw_tail {
    struct gw_ctx ctx;
    const struct gw_tail_conf *conf;
    uint64_t max_traces, max_bytes; /* this worker's share */
    uint8_t generation;             /* of policies that ask the same of spans */
    struct gw_policies *policies;
    struct gw_traces *store;    /* NULL: nothing has come yet, or since drain() */
    struct gw_ids *kept, *gone; /* the decision cache: number of the reason, above it the second of the decision */
    struct gw_reasons *reasons;
    struct gw_tail_links *links;   /* NULL: not followed */
    struct gw_tail_log *log;       /* behind a journal (kept.c); else NULL */
    struct gw_tail_passes *passes; /* and with mode: two_pass (passes.c), which has no store; else NULL */
    struct gw_tail_meter meter;
    struct gw_batch_pool *pool;
    struct gw_payload *payload; /* body's memory, of the worker's stock; or NULL */
    struct gw_buf body, text;   /* spans on their way out; scratch */
    struct gw_tail_part parts[GW_TAIL_PARTS];
    uint32_t n_parts, n_spans; /* in body */
    const char *receiver;      /* of all of body; NULL when they differ */
    uint64_t oldest_ns;        /* when the first span of body came */
    uint64_t shown_ns;         /* the last time that gauges were set */
    bool marks_rows;           /* kept spans get attributes of their own */
    bool marks;                /* kept spans are written with something */
    bool gathers;              /* now: kept traces are gathered in group[] */
    bool counts_bytes;         /* somebody asks for a trace's bytes */
    bool asks_time;            /* policies go by the clock */
    bool shrinks;              /* a reload made limits smaller than what is there: the store's follow with each tick */
    struct gw_spooler spooler;

    /* Kept traces that are written together, so that their resources stand there once. Still in the store, where nobody
     * finds them: gathered and gone in one call from outside. */
    struct gw_trace *group[GW_TAIL_GROUP];
    uint32_t n_group, group_spans;
    uint64_t group_bytes;

    /* Kept traces that are set aside: long ones, which leave in pieces, and those that found no memory; in order. */
    struct gw_trace *leaving, *leaving_last;
    struct gw_traces_cursor left; /* of the first one */
    uint32_t n_left;              /* spans of it that are gone */
    uint64_t n_leaving;           /* spans that are not gone yet, of all of them */
    uint64_t leaving_bytes;       /* of all of them, in the store */
    uint64_t paced_ns, allowance; /* spans that may still leave before the next tick, TICK_NS after this one */
};

/* tail_sampling.c */
/** False: no memory. */
bool gw_tail_open_store(struct gw_tail *s);
/** What the store may have at most; 0: no limit. */
uint64_t gw_tail_store_bytes(const struct gw_tail *s);
/** Those that are due, a turn's share of them. GW_MORE: there are others. */
int gw_tail_decide_due(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out);

/* sampler.c */
static inline struct gw_tail_facts *gw_tail_facts(struct gw_trace *t)
{
    return (struct gw_tail_facts *)t->facts;
}
/** The policies' word on these facts, counted and remembered. Gives the reason's number. */
uint32_t gw_tail_judge(struct gw_tail *s, const uint8_t id[16], const struct gw_tail_facts *f, enum gw_tail_cause cause,
                       uint64_t now_ns);
/** span-ingest: is that enough, what some of its spans say? */
bool gw_tail_judge_ingest(struct gw_tail *s, const uint8_t id[16], const struct gw_trace_facts *f, uint64_t now_ns,
                          uint32_t *ret_reason);
/** Decide a waiting trace, which is not the one that leaves: its spans leave the store, at once or soon. */
uint32_t gw_tail_decide(struct gw_tail *s, struct gw_trace *t, enum gw_tail_cause cause, uint64_t now_ns,
                        struct gw_ports *out);
/** It is decided: its spans leave the store. One that is long may take its time, when that is asked for. Without memory
 * it stays, set aside. */
void gw_tail_let_go(struct gw_tail *s, struct gw_trace *t, uint32_t reason, bool soon, uint64_t now_ns,
                    struct gw_ports *out);
/**
 * About so many spans more of those that were set aside; with `as_room` no more than there is room for behind, else
 * while there is memory. Returns how many.
 */
uint64_t gw_tail_leave(struct gw_tail *s, uint64_t spans, bool as_room, uint64_t now_ns, struct gw_ports *out);
/**
 * From here to gw_tail_gathered kept traces are gathered, unless they are written with something, each its own: for who
 * needs the room of none of them at once.
 */
static inline void gw_tail_gather(struct gw_tail *s)
{
    s->gathers = !s->marks;
}
void gw_tail_gathered(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out);
/** All up to this one. False: out of memory. */
bool gw_tail_leave_through(struct gw_tail *s, const struct gw_trace *t, uint64_t now_ns, struct gw_ports *out);
/** The same, for the sake of room that nobody waits for: a long one takes its time, or it is lost (overflow). */
void gw_tail_give_up(struct gw_tail *s, struct gw_trace *t, enum gw_tail_cause cause, uint64_t now_ns,
                     struct gw_ports *out);
/** Lose the oldest trace without a decision, as the Collector does. */
void gw_tail_lose(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out);
/** drop_pending_traces_on_shutdown. */
void gw_tail_abandon(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out);
void gw_tail_remember(struct gw_tail *s, const uint8_t id[16], uint32_t reason, uint64_t now_ns);
/** The decision on a trace that is gone. cached: behind a journal not so when it was decided in this step. */
struct gw_tail_known {
    uint32_t reason;
    uint64_t decided_s;
    bool cached;
};
bool gw_tail_recall(struct gw_tail *s, const uint8_t id[16], struct gw_tail_known *ret);

/* release.c */
/** Its spans to the end of body; body leaves when it is full. False: out of memory, nothing was written. */
bool gw_tail_write(struct gw_tail *s, struct gw_trace *t, uint32_t reason, struct gw_ports *out);
/** The same of some that are decided, as gw_traces_write_all. */
bool gw_tail_write_all(struct gw_tail *s, struct gw_trace *const *traces, uint32_t n, struct gw_ports *out);
/** Does it leave in pieces? */
bool gw_tail_is_long(const struct gw_trace *t);
/** Its next spans, as a batch of their own. 0: no memory, or with as_room no room. */
uint32_t gw_tail_write_piece(struct gw_tail *s, struct gw_trace *t, bool as_room, struct gw_ports *out);
/** Forget what stands in body. */
void gw_tail_drop_body(struct gw_tail *s);
/** What stands in body goes on. False: out of memory, it stays. */
bool gw_tail_flush(struct gw_tail *s, struct gw_ports *out);
/** Rows that nobody waits for and that are in no view. */
void gw_tail_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason);
/** Threshold and attributes of a kept span. */
void gw_tail_mark_row(struct gw_tail *s, struct gw_view *v, uint32_t row, const struct gw_reason *r);
/** record_policy: of a scope all of whose spans have that reason. */
void gw_tail_mark_scope(struct gw_tail *s, struct gw_view *v, uint32_t scope, const struct gw_reason *r, bool cached);

/* adopt.c */
/** After a reload with policies that ask something else: before its facts are added to, or decide. */
void gw_tail_ask_again(struct gw_tail *s, struct gw_trace *t, struct gw_arena *arena);
int gw_tail_adopt(void *self, void *old);
/** The store's limits are the settings', or what is there, when that is more; behind a journal ticks decide nothing. */
void gw_tail_limit(struct gw_tail *s);

/** Of a remembered value: rows that follow it now came after the step in which it was decided. */
#define GW_TAIL_CACHED (UINT64_C(1) << 31)

/* kept.c */
extern const struct gw_keep_ops gw_tail_keep;
void gw_tail_log_free(struct gw_tail_log *l);
uint64_t gw_tail_log_now_ns(const struct gw_tail_log *l);
/** Rows come that were consumed before a crash. */
bool gw_tail_log_rebuilds(const struct gw_tail *s);
/** A trace that waits is linked to a kept one. */
void gw_tail_log_note_linked(struct gw_tail *s, const uint8_t id[16]);
/** The same of one that comes again. */
bool gw_tail_log_was_linked(struct gw_tail *s, const uint8_t id[16]);
/** Those of this trace were part of a decision, or followed one. */
bool gw_tail_log_is_past(struct gw_tail *s, const uint8_t id[16]);

/* step.c */
/** A decision: the value that is remembered. In the midst of a step that waits for its end, and rows follow it. */
void gw_tail_log_note(struct gw_tail *s, const uint8_t id[16], uint64_t value);
void gw_tail_log_note_lost(struct gw_tail *s, const uint8_t id[16]);
/** What rows follow that come now: the value that is remembered, GW_TAIL_CACHED when it was before this step. */
bool gw_tail_log_recall(struct gw_tail *s, const uint8_t id[16], uint64_t *ret);
/** In the midst of a step: what becomes of others is looked at when it has ended. */
bool gw_tail_log_is_amid(const struct gw_tail *s);
/** Enough has come of it: to be decided when the step has ended. */
void gw_tail_log_enough(struct gw_tail *s, const uint8_t id[16]);
void gw_tail_log_link(struct gw_tail *s, const uint8_t from[16], const uint8_t to[16]);
/** All that the step before has brought is decided, and leaves the store, and what is due. GW_MORE: there is more. */
int gw_tail_end_step(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out);

/** What time it is for traces: monotonic, or of the log. */
static inline uint64_t gw_tail_now_ns(const struct gw_tail *s)
{
    return s->log ? gw_tail_log_now_ns(s->log) : gw_mono_ns(s->ctx.env);
}
/** Wall clock, for policies that count by the second. */
static inline uint64_t gw_tail_wall_ns(const struct gw_tail *s)
{
    return s->log ? gw_tail_log_now_ns(s->log) : gw_wall_ns(s->ctx.env);
}

/* spool.c: what waits, over the end of the process */
extern const struct gw_spooler_ops gw_tail_spooler;
int gw_tail_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
/** All that waits and what is remembered goes to disk, if the gateway leaves. False: it is to be decided. */
bool gw_tail_spool(struct gw_tail *s, uint64_t now_ns);
/** The other way, once, before anything else comes in. out NULL: nothing can leave to make room. */
void gw_tail_take_up(struct gw_tail *s, struct gw_ports *out);
/** It goes with what it has: the gateway could not wait for it. */
void gw_tail_spool_rest(struct gw_tail *s);

/* take.c */
void gw_tail_consume(void *self, struct gw_view *v, struct gw_ports *out);

/* links.c */
struct gw_tail_links *gw_tail_links_new(uint32_t max);
void gw_tail_links_free(struct gw_tail_links *l);
/** The links of a span that came: remembered, and looked at. True: it links to a kept trace. */
bool gw_tail_links_note(struct gw_tail *s, const struct gw_view *v, uint32_t row);
/** A trace comes: does a kept one link to it? */
bool gw_tail_links_wanted(struct gw_tail *s, const uint8_t id[16]);
/** A trace is kept: those that wait and are linked with it will be. */
void gw_tail_links_kept(struct gw_tail *s, const uint8_t id[16]);
/** A kept trace is linked to it. */
void gw_tail_links_mark(struct gw_tail *s, struct gw_trace *t);
void gw_tail_links_adopt(struct gw_tail_links *l, const struct gw_tail_links *old);
/** False: it was there. */
bool gw_tail_links_put(struct gw_tail_links *l, const uint8_t from[16], const uint8_t to[16]);
uint32_t gw_tail_links_max(const struct gw_tail_links *l);
/** A link that is remembered: is one end kept, the other one will be. */
void gw_tail_links_look(struct gw_tail *s, const uint8_t from[16], const uint8_t to[16]);
/** The oldest first. */
void gw_tail_links_each(const struct gw_tail_links *l,
                        void (*each)(void *arg, const uint8_t from[16], const uint8_t to[16]), void *arg);
uint64_t gw_tail_links_bytes(const struct gw_tail_links *l);

#endif
