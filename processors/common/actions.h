/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of actions of `attributes` and `resource`:
 *
 *     - { key: env, value: prod, action: upsert }
 *     - { key: user.email, action: hash }
 *
 * insert, update, upsert, delete, hash (SHA-256, hexadecimal), extract, convert. Behaviour and error texts are those of
 * the Collector's attraction package.
 */
#ifndef GW_PROCESSORS_COMMON_ACTIONS_H
#define GW_PROCESSORS_COMMON_ACTIONS_H

#include "batch/view.h"
#include "config/schema.h"

struct gw_action_conf {
    const char *key, *pattern, *action, *from_attribute, *from_context, *converted_type;
    const struct gw_node *value, *default_value;
};
extern const struct gw_field gw_action_fields[];

struct gw_actions;

/** conf: list of struct gw_action_conf; node: the list's node. One diagnosis a mistake, at its place. */
void gw_actions_check(const struct gw_list *conf, const struct gw_node *node, struct gw_diag *diag);
/** conf must stay valid. Errors: -EINVAL, -ENOMEM. */
int gw_actions_new(const struct gw_list *conf, struct gw_actions **ret, struct gw_err *err);
void gw_actions_free(struct gw_actions *a);
/** Once per view, before run: looks up what comes from the request's context. */
void gw_actions_begin(struct gw_actions *a, struct gw_view *v);
/** All actions, in order, on the attributes of one owner. */
void gw_actions_run(struct gw_actions *a, struct gw_view *v, enum gw_owner o, uint32_t index);
/** The same on each kept row of the view. */
void gw_actions_run_rows(struct gw_actions *a, struct gw_view *v);
/** Texts that a pattern gave up on (values/pattern.h). */
uint64_t gw_actions_n_given_up(const struct gw_actions *a);

#endif
