/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies, in two halves. What they ask of single spans is asked when a span comes, while its columns are at hand, and
 * leaves one bit a predicate; what is left of a trace is a summary of fixed size. Deciding looks at summaries alone: it
 * costs the same for a trace of 3 spans and of 100,000, and a trace can be decided whose spans are kept elsewhere.
 *
 *   span ─► predicates (this policy list's leaves) ─► bits ─┐
 *           times, bytes, flags, trace state ───────────────┴─► gw_trace_facts ─► decide() ─► verdict
 *
 * Decisions, their precedence and hashes are the Collector's (tailsamplingprocessor), bit for bit.
 *
 * Threads   one: rate limiters, composites and patterns have state inside
 */
#ifndef GW_TAIL_SAMPLING_POLICY_H
#define GW_TAIL_SAMPLING_POLICY_H

#include "batch/view.h"
#include "config/schema.h"
#include "core/env.h"

struct gw_alarms;

enum { GW_FACT_WORDS = 4, GW_MAX_PREDICATES = GW_FACT_WORDS * 64 };

/** What is known of a trace. Zeroed: nothing yet. */
struct gw_trace_facts {
    uint64_t bits[GW_FACT_WORDS];      /* predicate i was true of some span; behind them keys (keys.h) */
    uint64_t min_start_ns, max_end_ns; /* of spans that have a start; 0: none yet */
    uint64_t running_start_ns;         /* as the Collector's loop has it, for which a start of 0 is none */
    uint64_t wire_bytes;   /* as the Collector counts it for maximum_trace_size_bytes and count_bytes_sampled */
    uint64_t framed_bytes; /* and for bytes_limiting: with the frames of the resources; both only when asked for */
    uint64_t randomness;   /* of the first `ot=rv`; without one the trace id says */
    uint32_t n_spans;
    uint8_t has_root; /* a span without a parent */
    uint8_t has_randomness;
    uint8_t has_sampling_info; /* some span brought `ot=rv` or `ot=th` */
    uint8_t bad_trace_state;   /* some span's could not be read; this and the three above only with use_trace_state */
};

/** Settings. Lists of policies are kept as trees and read by gw_policies_check and gw_policies_new. */
struct gw_policies_conf {
    const struct gw_node *policies; /* `policies:` */
    const char *instance;           /* what stands behind the slash of the component's id, or "": in the label policy */
    double share;     /* of all traces that this instance sees: 0 < share <= 1; limits and bursts are divided */
    bool span_ingest; /* sampling_strategy: stateless policies only; see gw_policies_decide */
    bool sample_on_first_match;
    bool use_trace_state;          /* probabilistic by `ot=rv` where spans bring it; verdicts have a threshold */
    bool record_policy;            /* a verdict's policy must be the right one: is_settled waits for it */
    bool running_latency;          /* `latency` with an upper bound as the Collector judges it: order matters */
    bool fall_through;             /* `composite`: the next sub-policy when one has no allowance left */
    bool invert_decisions;         /* `invert_match` as it was before the Collector's gate disableinvertdecisions */
    bool detailed;                 /* count the time of each policy, which costs two looks at the clock */
    struct gw_alarms *alarms;      /* of the process; NULL: nothing is ever anomalous */
    bool count_spans, count_bytes; /* per policy, too: the Collector's gates metricstatcount*sampled */
};

enum gw_decision {
    GW_NOT_SAMPLED,
    GW_SAMPLED,
    GW_DROPPED_BY_POLICY,
};

struct gw_verdict {
    enum gw_decision decision;
    const char *policy;    /* the first that decided so; NULL unless sampled or dropped */
    const char *composite; /* the last sub-policy of a composite that let it in, or NULL */
    uint64_t threshold;    /* values/sampling.h: the smallest among those that voted to sample */
    bool has_threshold;    /* sampled, and use_trace_state: to be written to the spans */
};

struct gw_policies;
struct gw_meter;

/** Every mistake of the list at its place: types, blocks, keys, ranges, patterns, conditions, names that repeat. */
void gw_policies_check(const struct gw_policies_conf *conf, struct gw_diag *diag);
/** The ids of detectors that policies watch, with their places; also where the list is wrong otherwise. */
void gw_policies_watched(const struct gw_policies_conf *conf,
                         void (*each)(void *arg, const char *id, const struct gw_place *place), void *arg);
/** conf's tree must stay valid. Errors: -EINVAL, -ENOMEM. */
int gw_policies_new(struct gw_env *env, const struct gw_policies_conf *conf, struct gw_meter *meter,
                    struct gw_policies **ret, struct gw_err *err);
void gw_policies_free(struct gw_policies *p);

/**
 * Ask all predicates about the kept rows of a view.
 *
 * Shape     ret[row] are the bits of batch row `row`; rows that are not kept have none
 * Owner     ret lives in v->arena
 * Errors    NULL: no memory
 * Cost      a column at a time; attributes are looked up once a key, resources once a resource
 */
const uint64_t (*gw_policies_ask(struct gw_policies *p, const struct gw_view *v))[GW_FACT_WORDS];
/** A row that joins a trace: rows in order of arrival. Bytes are the caller's to add. */
void gw_policies_note(struct gw_policies *p, struct gw_trace_facts *f, const struct gw_view *v, uint32_t row,
                      const uint64_t bits[GW_FACT_WORDS]);
/** Rows in order of arrival, with what gw_policies_ask has given. */
void gw_policies_note_rows(struct gw_policies *p, struct gw_trace_facts *f, const struct gw_view *v,
                           const uint32_t *rows, uint32_t n, const uint64_t (*bits)[GW_FACT_WORDS]);
/**
 * The Collector's precedence over all policies. Each call may take from rate limiters, and is counted per policy.
 *
 * With span_ingest the facts are those of the spans that just came (of one resource of one request), but n_spans and
 * wire_bytes of the whole trace; GW_NOT_SAMPLED then means: not yet.
 *
 * now_ns    wall clock (composites count by the second of it); time that a log gave is as good
 */
void gw_policies_decide(struct gw_policies *p, const uint8_t id[16], const struct gw_trace_facts *f, uint64_t now_ns,
                        struct gw_verdict *ret);
/**
 * Whatever spans may still come, the decision stays: decide now. Never true where a limiter would have to be asked, nor
 * with span_ingest. The verdict's policy and composite stay too with record_policy, its threshold with use_trace_state.
 */
bool gw_policies_is_settled(const struct gw_policies *p, const uint8_t id[16], const struct gw_trace_facts *f);
/**
 * The same number for lists whose predicates are the same: facts noted under one can be decided under the other. Stable
 * over restarts and machines.
 */
uint64_t gw_policies_shape(const struct gw_policies *p);
/** Does any of them, down to the last part of a composite, go by gw_trace_facts.framed_bytes? */
bool gw_policies_limit_bytes(const struct gw_policies *p);
/** And by now_ns of gw_policies_decide? */
bool gw_policies_ask_time(const struct gw_policies *p);
/** Take over what limiters and composites of an older list hold, by the names of policies. */
void gw_policies_adopt(struct gw_policies *p, const struct gw_policies *old);

struct gw_buf;
/** What limiters and composites hold, as bytes that gw_policies_load reads, under whatever policies there are then. No
 * bytes when there are none. */
void gw_policies_save(const struct gw_policies *p, struct gw_buf *out);
/**
 * The same as adopt, of what `of` instances have saved, each of which had 1 / of of the traffic: the i-th of them.
 * Buckets are as full as those were on average. Bytes that make no sense are left alone.
 */
void gw_policies_load(struct gw_policies *p, struct gw_slice saved, unsigned i, unsigned of);

/** What an instance has saved that had so many of our partitions. */
struct gw_policies_part {
    struct gw_slice saved;
    unsigned weight;
};
/**
 * The same for several: buckets are as full as those of the partitions were on average, each at the time at which the
 * last of them was asked. Of one alone they are exactly as they were.
 */
void gw_policies_mix(struct gw_policies *p, const struct gw_policies_part *list, unsigned n);

#endif
