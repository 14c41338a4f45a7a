/* SPDX-License-Identifier: Apache-2.0 */
/* A policy as its YAML says it: one struct for all places where one may stand, with a table for each place. */
#ifndef GW_TAIL_SAMPLING_RULES_CONF_H
#define GW_TAIL_SAMPLING_RULES_CONF_H

#include "config/schema.h"

/** Where a policy stands; what its type may be depends on it. */
enum gw_rule_place { GW_AT_TOP, GW_IN_COMPOSITE, GW_IN_LIST, GW_IN_NOT, GW_N_RULE_PLACES };

struct gw_rule_conf {
    const char *name, *type;
    struct {
        int64_t threshold_ms, upper_threshold_ms;
    } latency;
    struct {
        const char *key;
        int64_t min_value, max_value;
        bool invert_match;
    } numeric_attribute;
    struct {
        const char *hash_salt;
        double sampling_percentage;
    } probabilistic;
    struct {
        struct gw_list status_codes;
    } status_code;
    struct {
        const char *key;
        struct gw_list values;
        bool enabled_regex_matching, invert_match;
        int64_t cache_max_size;
    } string_attribute;
    struct {
        const char *key;
        bool value, invert_match;
    } boolean_attribute;
    struct {
        const char *key;
        struct gw_list values;
    } trace_state;
    struct {
        int error_mode;
        struct gw_list span, spanevent;
    } ottl_condition;
    struct {
        uint64_t spans_per_second, burst_capacity;
    } rate_limiting;
    struct {
        uint64_t bytes_per_second, burst_capacity;
    } bytes_limiting;
    struct {
        int64_t min_spans, max_spans;
    } span_count;
    struct {
        const char *detector;
        struct gw_list attributes;
        uint64_t hold_ns, max_keys;
        double min_score;
    } anomalous;
    struct {
        struct gw_list subs; /* of struct gw_rule_conf */
    } and_, not_, drop;
    struct {
        uint64_t max_total_spans_per_second;
        struct gw_list policy_order, subs, rate_allocation; /* texts; struct gw_rule_conf; struct gw_allocation_conf */
    } composite;
};

struct gw_allocation_conf {
    const char *policy;
    int64_t percent;
};

extern const struct gw_field *const gw_rule_fields[GW_N_RULE_PLACES];
/** error_mode of ottl_condition. */
enum gw_rule_error_mode { GW_RULE_SILENT, GW_RULE_IGNORE, GW_RULE_PROPAGATE };

/** By enum gw_rule_type, as `type:` and blocks spell them; NULL-ended. */
extern const char *const gw_policy_types[];

/** Do these policies, as the file has them, ask for attributes, events or links of spans? */
bool gw_policies_read_rows(const struct gw_node *policies);

#endif
