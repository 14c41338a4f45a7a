/* SPDX-License-Identifier: Apache-2.0 */
/* Settings ─► rules: what the files share that read them. */
#ifndef GW_TAIL_SAMPLING_BUILD_H
#define GW_TAIL_SAMPLING_BUILD_H

#include "core/buf.h"
#include "processors/tail_sampling/rules.h"
#include "processors/tail_sampling/rules_conf.h"

/** Every mistake is told at its place; what was built around one is thrown away afterwards. */
struct gw_build {
    struct gw_policies *p;
    struct gw_diag *diag;
    struct gw_buf shape; /* what the predicates are, as a text */
    bool is_full;        /* too many predicates: told once */
};

void gw_build_say(struct gw_build *b, enum gw_severity s, const struct gw_node *n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define gw_build_wrong(b, n, ...) gw_build_say(b, GW_DIAG_ERROR, n, __VA_ARGS__)
#define gw_build_odd(b, n, ...)   gw_build_say(b, GW_DIAG_WARNING, n, __VA_ARGS__)
void gw_build_no_memory(struct gw_build *b, const struct gw_node *n);
/** A child where there is one, so that the place is the best there is. */
const struct gw_node *gw_build_at(const struct gw_node *n, const char *key);
/** Item i of a list, or what stands for a list of one. */
const struct gw_node *gw_build_item(const struct gw_node *list, size_t i);

/** A rule that has no rules below it; r->type says which, block is its settings or the policy. */
void gw_build_leaf(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c, const struct gw_node *block);
/** Any rule. */
void gw_build_rule(struct gw_build *b, struct gw_rule *r, enum gw_rule_place place, const struct gw_rule_conf *c,
                   const struct gw_node *n);

#endif
