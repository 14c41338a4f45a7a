/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/rules_conf.h"

#include "pipeline/component.h"
#include "processors/tail_sampling/rules.h"

#define CONF struct gw_rule_conf

/* Blocks without a name of their own: their members are found from their own begin. */
#define IN(blk, m) (uint32_t)(offsetof(CONF, blk.m) - offsetof(CONF, blk))
#define ROW(blk, m, ty, df, lo, hi, hp)                                                                                \
    .name = #m, .type = ty, .offset = IN(blk, m), .def = df, .min = lo, .max = hi, .help = hp
#define SUBS(blk, nm, table, hp)                                                                                       \
    .name = nm, .type = GW_F_LIST, .offset = IN(blk, subs), .block = table, .block_size = sizeof(CONF), .help = hp

const char *const gw_policy_types[] = {
    [GW_RULE_ALWAYS_SAMPLE] = "always_sample",
    [GW_RULE_LATENCY] = "latency",
    [GW_RULE_NUMERIC_ATTRIBUTE] = "numeric_attribute",
    [GW_RULE_PROBABILISTIC] = "probabilistic",
    [GW_RULE_STATUS_CODE] = "status_code",
    [GW_RULE_STRING_ATTRIBUTE] = "string_attribute",
    [GW_RULE_BOOLEAN_ATTRIBUTE] = "boolean_attribute",
    [GW_RULE_TRACE_STATE] = "trace_state",
    [GW_RULE_TRACE_FLAGS] = "trace_flags",
    [GW_RULE_OTTL_CONDITION] = "ottl_condition",
    [GW_RULE_RATE_LIMITING] = "rate_limiting",
    [GW_RULE_BYTES_LIMITING] = "bytes_limiting",
    [GW_RULE_SPAN_COUNT] = "span_count",
    [GW_RULE_ANOMALOUS] = "anomalous",
    [GW_RULE_AND] = "and",
    [GW_RULE_NOT] = "not",
    [GW_RULE_DROP] = "drop",
    [GW_RULE_COMPOSITE] = "composite",
    [GW_N_RULE_TYPES] = NULL,
};

/* ---- leaves ----------------------------------------------------------------------------------------------- */

#define MAX_RATE 9e18

static const struct gw_field latency[] = {
    {ROW(latency, threshold_ms, GW_F_I64, "0", 0, 0, "Traces that last longer, in ms.")},
    {ROW(latency, upper_threshold_ms, GW_F_I64, "0", 0, 0, "And at most so long, in ms; 0: no upper bound.")},
    {0},
};
static const struct gw_field numeric_attribute[] = {
    {ROW(numeric_attribute, key, GW_F_STRING, "", 0, 0, "Attribute of a span or its resource.")},
    {ROW(numeric_attribute, min_value, GW_F_I64, "0", 0, 0, "Least value; 0: none.")},
    {ROW(numeric_attribute, max_value, GW_F_I64, "0", 0, 0, "Greatest value; 0: none.")},
    {ROW(numeric_attribute, invert_match, GW_F_BOOL, "false", 0, 0, "Traces in which it matches nowhere.")},
    {0},
};
static const struct gw_field probabilistic[] = {
    {ROW(probabilistic, hash_salt, GW_F_STRING, "", 0, 0, "Seed of the hash; \"\" is default-hash-seed.")},
    {ROW(probabilistic, sampling_percentage, GW_F_F64, "0", 0, 0, "Share of the traces; from 100 on all.")},
    {0},
};
static const struct gw_field status_code[] = {
    {ROW(status_code, status_codes, GW_F_LIST, NULL, 0, 0, "Of OK, ERROR and UNSET.")},
    {0},
};
static const struct gw_field string_attribute[] = {
    {ROW(string_attribute, key, GW_F_STRING, "", 0, 0, "Attribute of a span or its resource.")},
    {ROW(string_attribute, values, GW_F_LIST, NULL, 0, 0, "Texts, or patterns.")},
    {ROW(string_attribute, enabled_regex_matching, GW_F_BOOL, "false", 0, 0, "Values are regular expressions.")},
    {ROW(string_attribute, cache_max_size, GW_F_I64, "0", 0, 0, "Nothing is cached."), .flags = GW_FF_NO_EFFECT},
    {ROW(string_attribute, invert_match, GW_F_BOOL, "false", 0, 0, "Traces in which it matches nowhere.")},
    {0},
};
static const struct gw_field boolean_attribute[] = {
    {ROW(boolean_attribute, key, GW_F_STRING, "", 0, 0, "Attribute of a span or its resource.")},
    {ROW(boolean_attribute, value, GW_F_BOOL, "false", 0, 0, "Its value.")},
    {ROW(boolean_attribute, invert_match, GW_F_BOOL, "false", 0, 0, "Traces in which it matches nowhere.")},
    {0},
};
static const struct gw_field trace_state[] = {
    {ROW(trace_state, key, GW_F_STRING, "", 0, 0, "Member of the trace state.")},
    {ROW(trace_state, values, GW_F_LIST, NULL, 0, 0, "Its values.")},
    {0},
};
static const char *const error_modes[] = {"silent", "ignore", "propagate", NULL};
static const struct gw_field ottl_condition[] = {
    {ROW(ottl_condition, error_mode, GW_F_ENUM, "silent", 0, 0,
         "What fails is no match (silent, ignore), or the policy has no say (propagate)."),
     .choices = error_modes},
    {ROW(ottl_condition, span, GW_F_LIST, NULL, 0, 0, "Conditions on spans; one is enough.")},
    {ROW(ottl_condition, spanevent, GW_F_LIST, NULL, 0, 0, "Conditions on events of spans.")},
    {0},
};
static const struct gw_field rate_limiting[] = {
    {ROW(rate_limiting, spans_per_second, GW_F_U64, "0", 0, MAX_RATE, "Spans a second in the long run.")},
    {ROW(rate_limiting, burst_capacity, GW_F_U64, "0", 0, MAX_RATE, "Spans at once; 0: twice as many.")},
    {0},
};
static const struct gw_field bytes_limiting[] = {
    {ROW(bytes_limiting, bytes_per_second, GW_F_U64, "0", 0, MAX_RATE, "Bytes a second in the long run.")},
    {ROW(bytes_limiting, burst_capacity, GW_F_U64, "0", 0, MAX_RATE, "Bytes at once; 0: twice as many.")},
    {0},
};
static const struct gw_field span_count[] = {
    {ROW(span_count, min_spans, GW_F_I64, "0", INT32_MIN, INT32_MAX, "At least so many spans.")},
    {ROW(span_count, max_spans, GW_F_I64, "0", INT32_MIN, INT32_MAX, "And at most; 0: no limit.")},
    {0},
};

static const struct gw_field anomalous[] = {
    {ROW(anomalous, detector, GW_F_ID, "", 0, 0, "An anomaly processor or connector."),
     .kind_mask = 1u << GW_PROCESSOR | 1u << GW_CONNECTOR},
    {ROW(anomalous, attributes, GW_F_LIST, "[service.name]", 0, 0,
         "What makes a key: attributes of its series, of a resource or span; span.name and span.kind.")},
    {ROW(anomalous, min_score, GW_F_F64, "0", 0, 1e9, "Least score; 0: what the detector takes for anomalous.")},
    {.name = "hold",
     .type = GW_F_DURATION,
     .offset = IN(anomalous, hold_ns),
     .def = "1m",
     .min = 1,
     .max = 1e17,
     .help = "A key is anomalous until so long after its last anomalous point."},
    {ROW(anomalous, max_keys, GW_F_U64, "1000", 1, 1e6, "Most keys that are anomalous; then the oldest one goes.")},
    {0},
};

#define BLOCK(m, nm, table, hp)                                                                                        \
    {                                                                                                                  \
        .name = nm, .type = GW_F_BLOCK, .offset = (uint32_t)offsetof(CONF, m), .block = table,                         \
        .block_size = sizeof(((CONF *)0)->m), .help = hp                                                               \
    }

/* What may stand everywhere. */
#define LEAVES                                                                                                         \
    {GW_FIELD_(CONF, name, "name", GW_F_STRING, "", 0, 0, "Unique; stands in metrics.")},                              \
        {GW_FIELD_(CONF, type, "type", GW_F_STRING, "", 0, 0, "Which block holds its settings.")},                     \
        BLOCK(latency, "latency", latency, "By the duration of the trace."),                                           \
        BLOCK(numeric_attribute, "numeric_attribute", numeric_attribute, "By a whole number."),                        \
        BLOCK(probabilistic, "probabilistic", probabilistic, "A share of all traces, by their ids."),                  \
        BLOCK(status_code, "status_code", status_code, "By the status of any span."),                                  \
        BLOCK(string_attribute, "string_attribute", string_attribute, "By a text."),                                   \
        BLOCK(boolean_attribute, "boolean_attribute", boolean_attribute, "By a boolean."),                             \
        BLOCK(trace_state, "trace_state", trace_state, "By a member of the trace state of any span."),                 \
        BLOCK(ottl_condition, "ottl_condition", ottl_condition, "By conditions of the transformation language."),      \
        BLOCK(rate_limiting, "rate_limiting", rate_limiting, "As long as there is a rate of spans left."),             \
        BLOCK(bytes_limiting, "bytes_limiting", bytes_limiting, "As long as there is a rate of bytes left."),          \
        BLOCK(span_count, "span_count", span_count, "By the number of spans."),                                        \
        BLOCK(anomalous, "anomalous", anomalous, "By what an anomaly detector finds unusual now.")

/* ---- policies of policies --------------------------------------------------------------------------------- */

static const struct gw_field in_not[] = {LEAVES, {0}};
static const struct gw_field not_[] = {
    {SUBS(not_, "not_sub_policy", in_not, "The policy whose opposite it is.")},
    {0},
};
static const struct gw_field in_list[] = {LEAVES, BLOCK(not_, "not", not_, "The opposite of a policy."), {0}};
static const struct gw_field and_[] = {
    {SUBS(and_, "and_sub_policy", in_list, "Policies that must all sample.")},
    {0},
};
static const struct gw_field drop[] = {
    {SUBS(drop, "drop_sub_policy", in_list, "Policies that must all sample for the trace to be dropped.")},
    {0},
};
static const struct gw_field in_composite[] = {LEAVES, BLOCK(and_, "and", and_, "All of several policies."), {0}};
static const struct gw_field rate_allocation[] = {
    GW_STRING_FIELD(struct gw_allocation_conf, policy, "policy", "", "Name of a sub-policy."),
    GW_I64_FIELD(struct gw_allocation_conf, percent, "percent", "0", 0, 0, "Of the total; 0: an equal share."),
    {0},
};
static const struct gw_field composite[] = {
    {ROW(composite, max_total_spans_per_second, GW_F_U64, "0", 0, MAX_RATE, "Spans a second, at most, for each.")},
    {ROW(composite, policy_order, GW_F_LIST, NULL, 0, 0, "Not read: sub-policies are asked as they stand.")},
    {SUBS(composite, "composite_sub_policy", in_composite, "Policies in order of asking.")},
    {ROW(composite, rate_allocation, GW_F_LIST, NULL, 0, 0, "Shares of the total."), .block = rate_allocation,
     .block_size = sizeof(struct gw_allocation_conf)},
    {0},
};
static const struct gw_field at_top[] = {
    LEAVES,
    BLOCK(and_, "and", and_, "All of several policies."),
    BLOCK(not_, "not", not_, "The opposite of a policy."),
    BLOCK(drop, "drop", drop, "Traces that are dropped whatever other policies say."),
    BLOCK(composite, "composite", composite, "Policies that share a rate of spans."),
    {0},
};

const struct gw_field *const gw_rule_fields[GW_N_RULE_PLACES] = {
    [GW_AT_TOP] = at_top,
    [GW_IN_COMPOSITE] = in_composite,
    [GW_IN_LIST] = in_list,
    [GW_IN_NOT] = in_not,
};

/* ---- what they read --------------------------------------------------------------------------------------- */

static bool type_reads_rows(const char *type)
{
    unsigned t = 0;

    while (gw_policy_types[t] && strcmp(gw_policy_types[t], type) != 0)
        t++;
    switch ((enum gw_rule_type)t) {
    case GW_RULE_ALWAYS_SAMPLE:
    case GW_RULE_LATENCY:
    case GW_RULE_PROBABILISTIC:
    case GW_RULE_STATUS_CODE:
    case GW_RULE_TRACE_STATE:
    case GW_RULE_TRACE_FLAGS:
    case GW_RULE_RATE_LIMITING:
    case GW_RULE_BYTES_LIMITING:
    case GW_RULE_SPAN_COUNT:
    case GW_RULE_AND: /* these are as those in them, which come by themselves */
    case GW_RULE_NOT:
    case GW_RULE_DROP:
    case GW_RULE_COMPOSITE:
        return false;
    case GW_RULE_NUMERIC_ATTRIBUTE:
    case GW_RULE_STRING_ATTRIBUTE:
    case GW_RULE_BOOLEAN_ATTRIBUTE:
    case GW_RULE_OTTL_CONDITION:
    case GW_RULE_ANOMALOUS:
    case GW_N_RULE_TYPES:
        break;
    }
    return true;
}

/* Every `type` below, wherever it stands: one too many costs little. */
bool gw_policies_read_rows(const struct gw_node *n)
{
    if (n && n->key && strcmp(n->key, "type") == 0 && type_reads_rows(n->text ? n->text : ""))
        return true;
    for (const struct gw_node *c = n ? n->first : NULL; c; c = c->next)
        if (gw_policies_read_rows(c))
            return true;
    return false;
}
