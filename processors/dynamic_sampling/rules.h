/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules: the first that a trace meets says which sampler gives its rate. A trace is asked about when it is decided, all
 * its spans being rows of one view, one behind the other.
 *
 * Threads   one
 */
#ifndef GW_DYNAMIC_SAMPLING_RULES_H
#define GW_DYNAMIC_SAMPLING_RULES_H

#include "batch/view.h"
#include "config/schema.h"
#include "core/buf.h"
#include "core/env.h"
#include "core/meter.h"
#include "ottl/ottl.h"
#include "processors/common/samplers.h"

enum { GW_DS_MAX_RULES = 250, GW_DS_MAX_CONDITIONS = 64, GW_DS_MAX_KEY_BYTES = 4096 };

enum gw_ds_type { GW_DS_ALWAYS, GW_DS_PROBABILISTIC, GW_DS_PERCENTAGE, GW_DS_THROUGHPUT };
enum gw_ds_algorithm { GW_DS_EMA, GW_DS_WINDOWED, GW_DS_TOTAL };
enum gw_ds_match { GW_DS_ANY_SPAN, GW_DS_SAME_SPAN };

struct gw_ds_sampler_conf {
    int type, algorithm; /* enum gw_ds_type, gw_ds_algorithm */
    double sampling_percentage, goal_percentage, goal_throughput, weight, burst_multiple;
    struct gw_list fingerprint; /* of const char * */
    uint64_t max_keys, initial_rate, burst_delay, interval_ns, update_ns, lookback_ns;
    bool trace_length;
};

struct gw_ds_rule_conf {
    const char *name;
    struct gw_list conditions; /* of const char * */
    int match;
    struct gw_ds_sampler_conf sampler;
};

/** Where a part of the key is looked for. */
enum gw_ds_scope { GW_DS_RESOURCE, GW_DS_SCOPE, GW_DS_SPAN, GW_DS_ROOT, GW_DS_ANY };
struct gw_ds_selector {
    enum gw_ds_scope scope;
    struct gw_slice key;
};
/** `resource.attributes["service.name"]`; a name alone is looked for everywhere. Errors: -EINVAL, err says why. */
int gw_ds_selector_parse(const char *text, struct gw_ds_selector *ret, struct gw_err *err);

struct gw_ds_rule {
    const struct gw_ds_rule_conf *conf;
    struct gw_ottl **conditions;
    struct gw_ds_selector *selectors;
    struct gw_sampler *sampler; /* of the rates that follow the traffic; else NULL */
    uint64_t threshold;         /* of GW_DS_PROBABILISTIC */
    uint32_t name;              /* its number (dynamic.h) */
    struct gw_metric *sampled, *dropped, *errors;
};

struct gw_ds_rules {
    struct gw_ds_rule *list;
    uint32_t n;
    struct gw_buf key;
    struct gw_buf *calls; /* what samplers are asked is written down there; or NULL */
};

/** The trace's rows: begin..end of a view. is_root: which of them is one, by the processor's condition. */
struct gw_ds_trace {
    const struct gw_view *v;
    uint32_t begin, end;
    bool (*is_root)(void *arg, const struct gw_view *v, uint32_t row);
    void *arg;
};

/** share: of the traffic that this instance sees. Errors: -EINVAL, -ENOMEM; err names the rule. */
int gw_ds_rules_init(struct gw_ds_rules *r, const struct gw_list *conf, struct gw_env *env, struct gw_meter *meter,
                     double share, struct gw_err *err);
void gw_ds_rules_clear(struct gw_ds_rules *r);
/** At a reload: rules of the same name, sampler and key go on with what was counted. */
void gw_ds_rules_adopt(struct gw_ds_rules *r, struct gw_ds_rules *old);
/** Index of the first rule that the trace meets, or -1. */
int gw_ds_rules_find(struct gw_ds_rules *r, const struct gw_ds_trace *t);
/**
 * The threshold of the rule for this trace, which is counted; never below `before`, that of an earlier stage.
 * now_ns never goes back.
 */
uint64_t gw_ds_rule_threshold(struct gw_ds_rules *r, uint32_t rule, const struct gw_ds_trace *t, uint64_t before,
                              uint64_t now_ns);
/**
 * A call of a sampler, as gw_ds_rule_threshold writes it: name u8, n u32, now u64, key with its length. What is asked
 * in this order of a sampler that knows the same gives the same state.
 */
struct gw_ds_call {
    uint8_t name;
    uint32_t n;
    uint64_t now_ns;
    struct gw_slice key;
};
struct gw_spool_in;
void gw_ds_call_read(struct gw_spool_in *in, struct gw_ds_call *ret);
/** What its sampler knows: name u8, shape of the key u64, state with its length. Nothing of rules without one. */
void gw_ds_rule_save(const struct gw_ds_rule *r, uint64_t now_ns, struct gw_buf *out);
/** A number of what makes its keys: those of equal numbers mean the same. */
uint64_t gw_ds_rule_shape(const struct gw_ds_rule *r);
/** The key of a trace: values of each selector, distinct and sorted. In r->key until the next call. */
struct gw_slice gw_ds_rule_key(struct gw_ds_rules *r, uint32_t rule, const struct gw_ds_trace *t);

/** Mistakes of the rules as they are written. */
void gw_ds_rules_check(const struct gw_list *conf, const struct gw_node *node, struct gw_diag *diag);

#endif
