/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the validate processor: its rules, and what a check has at hand. */
#ifndef GW_PROCESSORS_VALIDATE_H
#define GW_PROCESSORS_VALIDATE_H

#include "batch/view.h"
#include "config/schema.h"
#include "pipeline/component.h"
#include "pipeline/ports.h"

enum gw_rule {
    GW_RULE_TRACE_ID,
    GW_RULE_SPAN_ID,
    GW_RULE_PARENT_ID,
    GW_RULE_CHILD_ID,
    GW_RULE_TIME_RANGE,
    GW_RULE_TIME_ORDER,
    GW_RULE_ATTRIBUTE_COUNT,
    GW_RULE_ATTRIBUTE_LENGTH,
    GW_RULE_ATTRIBUTE_KEY,
    GW_RULE_TEXT,
    GW_RULE_REQUIRED_RESOURCE,
    GW_RULE_HISTOGRAM,
    GW_RULE_TEMPORALITY,
    GW_RULE_METRIC_NAME,
    GW_RULE_METRIC_UNIT,
    GW_N_RULES,
};
enum gw_rule_action { GW_RULE_OFF, GW_RULE_REPORT, GW_RULE_REPAIR, GW_RULE_REJECT };

struct gw_validate_conf {
    int rules[GW_N_RULES]; /* enum gw_rule_action */
    uint64_t max_age_ns, max_future_ns;
    uint64_t max_attributes, max_key_bytes, max_value_bytes;
    uint64_t max_buckets, max_name_bytes, max_unit_bytes;
    struct gw_list required; /* const char * */
};
extern const struct gw_field gw_validate_fields[];
extern const char *const gw_rule_names[GW_N_RULES];

/** What is wrong with something. Texts live in the view's arena or longer. */
struct gw_issue {
    bool is_bad; /* must be rejected */
    enum gw_rule rule;
    const char *field, *message;
    struct gw_slice value;
};

/** One view on its way through. */
struct gw_validation {
    const struct gw_validate_conf *conf;
    struct gw_view *v;
    uint64_t now_ns;
    uint64_t seen[GW_N_RULES][GW_RULE_REJECT + 1]; /* violations by what was done */
};

static inline bool gw_rule_is_on(const struct gw_validation *t, enum gw_rule rule)
{
    return t->conf->rules[rule] != GW_RULE_OFF;
}
/**
 * A rule is broken: counted; with reject the issue is filled in (the first one stands). True when the caller shall
 * repair it. The message is formatted into the view's arena.
 */
bool gw_broken(struct gw_validation *t, struct gw_issue *issue, enum gw_rule rule, const char *field,
               struct gw_slice value, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/** Text in the view's arena; "" when there is no room. */
const char *gw_validate_text(struct gw_validation *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Repairs: set a field of the owner's message. */
void gw_repair_fixed64(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, uint64_t value);
void gw_repair_varint(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, uint64_t value);
void gw_repair_text(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, struct gw_slice text);
/** Longest part of at most max bytes that does not end inside of a character. */
struct gw_slice gw_utf8_cut(struct gw_slice s, size_t max);
/** True when s has control characters other than tab, line feed and carriage return. */
bool gw_has_control(struct gw_slice s);
/** A copy in the view's arena with U+FFFD in their place. */
struct gw_slice gw_without_control(struct gw_validation *t, struct gw_slice s);

/* The checks. */
/** One time of a row against the range; field is its number in the message. */
void gw_validate_time(struct gw_validation *t, uint32_t row, uint64_t ns, const char *name, uint32_t field,
                      struct gw_issue *issue);
void gw_validate_attributes(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_issue *issue);
void gw_validate_required(struct gw_validation *t, uint32_t resource, struct gw_issue *issue);
void gw_validate_span(struct gw_validation *t, uint32_t row, struct gw_issue *issue);
void gw_validate_record(struct gw_validation *t, uint32_t row, struct gw_issue *issue);
void gw_validate_metric(struct gw_validation *t, uint32_t metric, struct gw_issue *issue);
void gw_validate_point(struct gw_validation *t, uint32_t row, struct gw_issue *issue);

#endif
