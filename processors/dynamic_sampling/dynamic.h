/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamic_sampling: traces wait, are decided by rules and rates that follow the traffic, and leave marked.
 *
 *   view ─► known?  ── yes ─► follows the decision
 *             └─ no ─► store ─► root came, or too late ─► delay ─► decided ─┬─► marked, port 0
 *                                                                          └─► dropped
 *
 * Threads   one
 */
#ifndef GW_DYNAMIC_SAMPLING_H
#define GW_DYNAMIC_SAMPLING_H

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/ids.h"
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
};

/** Why a trace is decided: the label `trigger`. */
enum gw_ds_trigger { GW_DS_BY_ROOT, GW_DS_BY_TIMEOUT, GW_DS_BY_EVICTION, GW_DS_BY_SHUTDOWN, GW_DS_N_TRIGGERS };

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

struct gw_ds {
    struct gw_ctx ctx;
    const struct gw_ds_conf *conf;
    struct gw_traces *store;
    struct gw_ids *kept, *gone; /* values of kept: gw_ds_decision */
    struct gw_ds_rules rules;
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

/** A kept trace's decision as a number: the threshold, and by which rule (GW_DS_MAX_RULES: by none, evicted). */
static inline uint64_t gw_ds_decision(uint32_t rule, uint64_t threshold)
{
    return (uint64_t)(rule + 1) << 56 | threshold;
}

static inline struct gw_ds_facts *gw_ds_facts(struct gw_trace *t)
{
    return (struct gw_ds_facts *)(void *)t->facts;
}

bool gw_ds_is_root(void *self, const struct gw_view *v, uint32_t row);
/** A trace out of the store, to be decided with the next flush. */
void gw_ds_decide(struct gw_ds *s, struct gw_trace *t, enum gw_ds_trigger why, struct gw_ports *out);
/** Everything that gw_ds_decide was given is decided, kept spans leave. */
void gw_ds_flush(struct gw_ds *s, struct gw_ports *out);
/** Write on a span what was decided of its trace. */
void gw_ds_mark(struct gw_ds *s, struct gw_view *v, uint32_t row, uint64_t decision);

#endif
