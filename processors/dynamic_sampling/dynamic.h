/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamic_sampling: traces wait, are decided by rules and rates that follow the traffic, and leave marked.
 *
 *   view ─► known?  ── yes ─► follows the decision
 *             └─ no ─► store ─► root came, or too late ─► delay ─► decided ─┬─► marked, port 0
 *                                                                          └─► dropped
 *
 * What finds no memory when it is to be decided stays in body, or in the store, and is tried again with each tick, or
 * before the next view. Else body is empty between two calls from outside.
 *
 * Threads   one
 */
#ifndef GW_DYNAMIC_SAMPLING_H
#define GW_DYNAMIC_SAMPLING_H

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/ids.h"
#include "processors/common/kept.h"
#include "processors/common/spooler.h"
#include "processors/common/traces.h"
#include "processors/dynamic_sampling/rules.h"

enum gw_ds_policy { GW_DS_EVALUATE, GW_DS_EVICT_PROBABILISTIC };

struct gw_ds_cache_conf {
    uint64_t sampled, non_sampled;
};
struct gw_ds_eviction_conf {
    int policy; /* enum gw_ds_policy */
    double sampling_percentage;
};
struct gw_ds_conf {
    uint64_t trace_timeout_ns, decision_delay_ns, num_traces, max_bytes;
    struct gw_ds_cache_conf cache;
    const char *root_condition;
    struct gw_ds_eviction_conf eviction;
    struct gw_list rules; /* of struct gw_ds_rule_conf */
    int compress;
    const char *storage;
};

/** Why a trace is decided: the label `trigger`. */
enum gw_ds_trigger { GW_DS_BY_ROOT, GW_DS_BY_TIMEOUT, GW_DS_BY_EVICTION, GW_DS_BY_SHUTDOWN, GW_DS_N_TRIGGERS };

struct gw_ds_log;

/** In each trace. */
struct gw_ds_facts {
    const char *receiver;
    bool has_root;
};

/** A trace of the body that is being decided. */
struct gw_ds_part {
    uint8_t id[16];
    uint32_t n_spans;
    uint8_t trigger;
};
enum { GW_DS_PARTS = 1024 };

/**
 * Names of rules by number, for what is remembered of kept traces: they stand while rules come and go. The first ones
 * are not rules.
 */
enum { GW_DS_EVICTED, GW_DS_FORGOTTEN, GW_DS_MAX_NAMES = 252 };
struct gw_ds_names {
    char *list[GW_DS_MAX_NAMES];
    uint32_t n;
};

struct gw_ds {
    struct gw_ctx ctx;
    const struct gw_ds_conf *conf;
    struct gw_traces *store;    /* NULL: nothing has come yet, or since drain() */
    struct gw_ids *kept, *gone; /* values of kept: gw_ds_decision */
    struct gw_ds_names names;
    struct gw_ds_rules rules;
    struct gw_ds_log *log; /* behind a journal (kept.c); else NULL */
    struct gw_spooler spooler;
    struct gw_ottl *root; /* NULL: no parent */
    uint64_t eviction_threshold;
    uint64_t max_traces; /* of this worker */
    struct gw_batch_pool *pool;

    /* What is being decided: traces one behind the other, as a request. */
    struct gw_buf body, text;
    struct gw_ds_part parts[GW_DS_PARTS];
    uint32_t n_parts, n_spans;
    uint64_t oldest_ns;
    const char *receiver;

    struct gw_metric *triggers[GW_DS_N_TRIGGERS], *unparseable, *active, *evicted, *unmatched, *rate, *root_errors,
        *evicted_sampled, *evicted_dropped;
    uint64_t n_told;
};

/** A kept trace's decision as a number: the threshold, and the number of the rule's name. */
static inline uint64_t gw_ds_decision(uint32_t name, uint64_t threshold)
{
    return (uint64_t)(name + 1) << 56 | threshold;
}

/** Errors: no memory. */
bool gw_ds_names_init(struct gw_ds_names *n);
void gw_ds_names_clear(struct gw_ds_names *n);
/** GW_DS_FORGOTTEN: there is no room for one more. */
uint32_t gw_ds_names_put(struct gw_ds_names *n, struct gw_slice name);
/** Behind a `u8` that says which: as put. False: it is none. */
void gw_ds_names_write(const struct gw_ds_names *n, uint32_t number, struct gw_buf *out);
bool gw_ds_names_read(struct gw_ds_names *n, struct gw_spool_in *in, uint8_t ours[256]);
/** Rules get the numbers of their names. */
void gw_ds_number_rules(struct gw_ds *s);

static inline struct gw_ds_facts *gw_ds_facts(struct gw_trace *t)
{
    return (struct gw_ds_facts *)(void *)t->facts;
}

/* dynamic_sampling.c */
/** NULL: no memory. */
struct gw_traces *gw_ds_open_store(struct gw_ds *s);
/** A turn's share of those that are due. GW_MORE: there are others. */
int gw_ds_decide_due(struct gw_ds *s, uint64_t now_ns, struct gw_ports *out);
void gw_ds_tell(struct gw_ds *s);
/** Of this worker. */
uint64_t gw_ds_max_bytes(const struct gw_ds *s);

/* take.c */
bool gw_ds_is_root(void *self, const struct gw_view *v, uint32_t row);
void gw_ds_consume(void *self, struct gw_view *v, struct gw_ports *out);

/* decide.c */
void gw_ds_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason);
/** A trace out of the store, to be decided with the next flush. False: no memory, it stays. */
bool gw_ds_decide(struct gw_ds *s, struct gw_trace *t, enum gw_ds_trigger why, struct gw_ports *out);
/** Everything that gw_ds_decide was given is decided, kept spans leave. False: no memory, it stays in body. */
bool gw_ds_flush(struct gw_ds *s, struct gw_ports *out);
/** For the sake of room, at once. */
bool gw_ds_evict(struct gw_ds *s, struct gw_trace *t, struct gw_ports *out);
/** A trace of which this row alone is to be had. True: it is kept, and marked. */
bool gw_ds_judge_row(struct gw_ds *s, struct gw_view *v, uint32_t row);
/** Write on a span what was decided of its trace. */
void gw_ds_mark(struct gw_ds *s, struct gw_view *v, uint32_t row, uint64_t decision);

/* spool.c */
extern const struct gw_spooler_ops gw_ds_spooler;
int gw_ds_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_ds_take_up(struct gw_ds *s, struct gw_ports *out);
/** What waits and what is remembered goes to disk, if the gateway leaves. */
bool gw_ds_spool(struct gw_ds *s);
/** It goes with what it has: the gateway could not wait for it. */
void gw_ds_spool_rest(struct gw_ds *s);

/* kept.c */
extern const struct gw_keep_ops gw_ds_keep;
void gw_ds_log_free(struct gw_ds *s);
/** A decision. is_due: not for the sake of room. */
void gw_ds_log_note(struct gw_ds *s, const uint8_t id[16], uint64_t decision, bool is_due);
/** Rows of it followed: it is noted, and remembered anew, when the step has ended. */
void gw_ds_log_follow(struct gw_ds *s, const uint8_t id[16], uint64_t decision);
/** What was restored so far is all: it is ours, before rules change, or a step begins. */
void gw_ds_log_end_restore(struct gw_ds *s);
/** Other rules: the next record says all of what their samplers know. */
void gw_ds_log_changed(struct gw_ds *s);
struct gw_kept *gw_ds_log_kept(const struct gw_ds *s);

/** What time it is for traces: monotonic, or of the log. */
static inline uint64_t gw_ds_now_ns(const struct gw_ds *s)
{
    const struct gw_kept *k = gw_ds_log_kept(s);

    return k ? k->now_ns : gw_mono_ns(s->ctx.env);
}

#endif
