/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource: set, delete, hash, extract and convert attributes of resources.
 *
 *     processors:
 *       resource:
 *         attributes:
 *           - { key: deployment.environment, value: prod, action: upsert }
 *
 * The actions are those of the attributes processor. One patch a resource, whatever the number of its rows.
 */
#include <stdlib.h>

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/actions.h"

struct conf {
    struct gw_list attributes;
};

struct self {
    struct gw_ctx ctx;
    struct gw_actions *actions;
    uint64_t n_given_up; /* told so far */
};

static const struct gw_field fields[] = {
    GW_LIST_FIELD(struct conf, attributes, "attributes", struct gw_action_conf, gw_action_fields,
                  "What to do with the resource's attributes, in this order."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    if (c->attributes.n == 0)
        gw_diag_add(diag, GW_DIAG_ERROR, node ? &node->place : NULL, "missing required field \"attributes\"");
    gw_actions_check(&c->attributes, gw_node_get(node, "attributes"), diag);
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_actions_free(s->actions);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    struct self *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->ctx = *ctx;
    r = gw_actions_new(&c->attributes, &s->actions, err);
    if (r < 0)
        destroy(s);
    else
        *ret_self = s;
    return r;
}

static void report(struct self *s)
{
    uint64_t n = gw_actions_n_given_up(s->actions);

    if (n > s->n_given_up)
        gw_log(&s->ctx.logger, GW_LOG_WARN, "%llu texts were too much work for a pattern and count as not matching",
               (unsigned long long)(n - s->n_given_up));
    s->n_given_up = n;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;

    gw_actions_begin(s->actions, v);
    for (uint32_t i = 0; i < v->batch->n_resources; i++)
        gw_actions_run(s->actions, v, GW_OWN_RESOURCE, i);
    report(s);
    gw_emit(out, 0, v);
}

const struct gw_component gw_processor_resource = {
    .kind = GW_PROCESSOR,
    .name = "resource",
    .summary = "Set, delete, hash, extract and convert attributes of resources.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_RESOURCE,
    .writes = GW_C_RESOURCE,
    .expands = 4,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
};
