/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `include` and `exclude` of a processor: which rows it acts upon.
 *
 *     include: { match_type: strict, services: [shop], span_names: [GET /] }
 *
 * All lists that are given must match, one entry of a list is enough (but for attributes, resources and libraries, of
 * which all entries must match, as in the Collector). `resources` also works on metrics, where the Collector takes it
 * and does nothing.
 */
#ifndef GW_PROCESSORS_COMMON_MATCH_H
#define GW_PROCESSORS_COMMON_MATCH_H

#include "batch/view.h"
#include "config/schema.h"

struct gw_match_attr_conf {
    const char *key;
    const struct gw_node *value;
};
struct gw_match_library_conf {
    const char *name;
    const struct gw_node *version;
};
struct gw_match_regexp_conf {
    bool cache_enabled;
    int64_t cache_max_entries;
};
struct gw_match_severity_conf {
    int64_t min;
    bool match_undefined;
};
struct gw_match_conf {
    const char *match_type;
    bool has_regexp, has_severity;
    struct gw_match_regexp_conf regexp;
    struct gw_list services, span_names, span_kinds, log_bodies, log_severity_texts, metric_names; /* const char * */
    struct gw_list attributes, resources; /* struct gw_match_attr_conf */
    struct gw_list libraries;             /* struct gw_match_library_conf */
    struct gw_match_severity_conf severity;
};
extern const struct gw_field gw_match_fields[];
extern const struct gw_field gw_match_regexp_fields[];

struct gw_match;

/** What is wrong whatever the signal. */
void gw_match_check(const struct gw_match_conf *conf, const struct gw_node *node, struct gw_diag *diag);
/** conf must stay valid. Errors: -EINVAL (also: a list that the signal does not have), -ENOMEM. */
int gw_match_new(const struct gw_match_conf *conf, enum gw_signal signal, struct gw_match **ret, struct gw_err *err);
void gw_match_free(struct gw_match *m);
/** Once per view. */
void gw_match_begin(struct gw_match *m);
bool gw_match_row(struct gw_match *m, const struct gw_view *v, uint32_t row);
/** Texts that a pattern gave up on (values/pattern.h). */
uint64_t gw_match_n_given_up(const struct gw_match *m);

#endif
