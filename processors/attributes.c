/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes: set, delete, hash, extract and convert attributes of spans, log records and data points.
 *
 *     processors:
 *       attributes:
 *         actions:
 *           - { key: env, value: prod, action: upsert }
 *           - { key: user.email, action: delete }
 *         include: { match_type: strict, services: [shop] }
 *
 * Edits are patches on the view: a row leaves as its own wire bytes with the changed attributes spliced.
 */
#include <stdlib.h>

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "processors/common/actions.h"
#include "processors/common/match.h"

struct conf {
    struct gw_list actions;
    bool has_include, has_exclude;
    struct gw_match_conf include, exclude;
};

struct self {
    struct gw_ctx ctx;
    struct gw_actions *actions;
    struct gw_match *include, *exclude;
    uint64_t n_given_up; /* told so far */
};

static const struct gw_field fields[] = {
    GW_LIST_FIELD(struct conf, actions, "actions", struct gw_action_conf, gw_action_fields,
                  "What to do with attributes, in this order."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, include, has_include, "include", gw_match_fields, 0,
                            "Only rows that match this."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, exclude, has_exclude, "exclude", gw_match_fields, 0,
                            "Not the rows that match this."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    if (c->actions.n == 0)
        gw_diag_add(diag, GW_DIAG_ERROR, node ? &node->place : NULL, "missing required field \"actions\"");
    gw_actions_check(&c->actions, gw_node_get(node, "actions"), diag);
    if (c->has_include)
        gw_match_check(&c->include, gw_node_get(node, "include"), diag);
    if (c->has_exclude)
        gw_match_check(&c->exclude, gw_node_get(node, "exclude"), diag);
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_actions_free(s->actions);
    gw_match_free(s->include);
    gw_match_free(s->exclude);
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
    r = gw_actions_new(&c->actions, &s->actions, err);
    if (r == 0 && c->has_include)
        r = gw_match_new(&c->include, ctx->signal, &s->include, err);
    if (r == 0 && c->has_exclude)
        r = gw_match_new(&c->exclude, ctx->signal, &s->exclude, err);
    if (r < 0)
        destroy(s);
    else
        *ret_self = s;
    return r;
}

static void report(struct self *s)
{
    uint64_t n = gw_actions_n_given_up(s->actions);

    n += s->include ? gw_match_n_given_up(s->include) : 0;
    n += s->exclude ? gw_match_n_given_up(s->exclude) : 0;
    if (n > s->n_given_up)
        gw_log(&s->ctx.logger, GW_LOG_WARN, "%llu texts were too much work for a pattern and count as not matching",
               (unsigned long long)(n - s->n_given_up));
    s->n_given_up = n;
}

/* Whether a row matches is asked before its first action. */
static void run_matching(struct self *s, struct gw_view *v)
{
    uint32_t n = v->batch->n_rows;

    if (s->include)
        gw_match_begin(s->include);
    if (s->exclude)
        gw_match_begin(s->exclude);
    for (uint32_t row = gw_view_next(v, 0); row < n; row = gw_view_next(v, row + 1)) {
        if (s->include && !gw_match_row(s->include, v, row))
            continue;
        if (s->exclude && gw_match_row(s->exclude, v, row))
            continue;
        gw_actions_run(s->actions, v, GW_OWN_ROW, row);
    }
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;

    gw_actions_begin(s->actions, v);
    if (s->include || s->exclude)
        run_matching(s, v);
    else
        gw_actions_run_rows(s->actions, v);
    report(s);
    gw_emit(out, 0, v);
}

const struct gw_component gw_processor_attributes = {
    .kind = GW_PROCESSOR,
    .name = "attributes",
    .summary = "Set, delete, hash, extract and convert attributes of spans, log records and data points.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_BODY,
    .writes = GW_C_ATTRS,
    .expands = 4,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
};
