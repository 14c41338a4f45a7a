/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/build.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_NAME = 256 };

/* ---- mistakes --------------------------------------------------------------------------------------------- */

void gw_build_say(struct gw_build *b, enum gw_severity s, const struct gw_node *n, const char *fmt, ...)
{
    char name[MAX_NAME], text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(b->diag, s, &n->place, "%s: %s", gw_node_name(n, name, sizeof(name)), text);
}

void gw_build_no_memory(struct gw_build *b, const struct gw_node *n)
{
    gw_build_wrong(b, n, "out of memory");
}

const struct gw_node *gw_build_at(const struct gw_node *n, const char *key)
{
    const struct gw_node *c = gw_node_get(n, key);

    return c ? c : n;
}

const struct gw_node *gw_build_item(const struct gw_node *list, size_t i)
{
    const struct gw_node *c = list->first;

    if (list->type != GW_NODE_LIST)
        return list;
    while (i-- && c->next)
        c = c->next;
    return c;
}

/* ---- policies of policies --------------------------------------------------------------------------------- */

static void build_subs(struct gw_build *b, struct gw_rule *r, enum gw_rule_place place, const struct gw_list *l,
                       const struct gw_node *list)
{
    const struct gw_rule_conf *confs = l->items;

    r->subs = gw_arena_zalloc(&b->p->arena, l->n * sizeof(*r->subs) + 1);
    if (!r->subs) {
        gw_build_no_memory(b, list);
        return;
    }
    for (size_t i = 0; i < l->n; i++)
        gw_build_rule(b, &r->subs[i], place, &confs[i], gw_build_item(list, i));
    r->n_subs = (unsigned)l->n;
}

/* `and` samples with the largest threshold of its parts: who passes that one passes all. */
static void build_all(struct gw_build *b, struct gw_rule *r, const struct gw_list *l, const struct gw_node *block,
                      const char *key)
{
    const struct gw_node *list = gw_build_at(block, key);

    if (l->n == 0)
        gw_build_wrong(b, list, "%s has no policies: that would be every trace", key);
    build_subs(b, r, GW_IN_LIST, l, list);
    for (unsigned i = 0; r->type == GW_RULE_AND && i < r->n_subs; i++)
        if (r->subs[i].threshold > r->threshold)
            r->threshold = r->subs[i].threshold;
}

static void build_not(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c, const struct gw_node *block)
{
    const struct gw_node *list = gw_build_at(block, "not_sub_policy");

    if (c->not_.subs.n != 1)
        gw_build_wrong(b, list, "not_sub_policy must be one policy");
    build_subs(b, r, GW_IN_NOT, &c->not_.subs, list);
}

/* What is listed: percent of the total, or an equal share; nothing for who is not listed. The last one counts. */
static int64_t allocation(const struct gw_rule_conf *c, const char *name, double total, bool *ret_listed)
{
    const struct gw_allocation_conf *a = c->composite.rate_allocation.items;
    double ret = 0;

    *ret_listed = false;
    for (size_t i = 0; i < c->composite.rate_allocation.n; i++) {
        if (strcmp(a[i].policy, name) != 0)
            continue;
        *ret_listed = true;
        ret = a[i].percent > 0 ? (double)a[i].percent / 100 * total : total / (double)c->composite.subs.n;
    }
    return ret < 9e18 ? (int64_t)ret : INT64_MAX;
}

static void check_allocations(struct gw_build *b, const struct gw_rule_conf *c, const struct gw_node *block)
{
    const struct gw_allocation_conf *a = c->composite.rate_allocation.items;
    const struct gw_rule_conf *subs = c->composite.subs.items;
    const struct gw_node *list = gw_build_at(block, "rate_allocation");
    const char *names[64] = {NULL}, *near;

    for (size_t k = 0; k < c->composite.subs.n && k < 63; k++)
        names[k] = subs[k].name;
    for (size_t i = 0; i < c->composite.rate_allocation.n; i++) {
        size_t k = 0;

        while (k < c->composite.subs.n && strcmp(subs[k].name, a[i].policy) != 0)
            k++;
        if (k < c->composite.subs.n)
            continue;
        near = gw_suggest(gw_slice_cstr(a[i].policy), names);
        gw_build_odd(b, gw_build_at(gw_build_item(list, i), "policy"), "no sub-policy is called \"%.60s\"%s%s%s",
                     a[i].policy, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

/* The Collector never reads it either; whoever wrote another order than that of the list should know. */
static void check_order(struct gw_build *b, const struct gw_rule_conf *c, const struct gw_node *block)
{
    const char *const *order = c->composite.policy_order.items;
    const struct gw_rule_conf *subs = c->composite.subs.items;
    bool same = c->composite.policy_order.n == c->composite.subs.n;

    for (size_t i = 0; same && i < c->composite.subs.n; i++)
        same = strcmp(order[i], subs[i].name) == 0;
    if (c->composite.policy_order.n && !same)
        gw_build_odd(b, gw_build_at(block, "policy_order"),
                     "has no effect: sub-policies are asked in the order of composite_sub_policy, as in the Collector");
}

static void build_composite(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                            const struct gw_node *block)
{
    const struct gw_node *list = gw_build_at(block, "composite_sub_policy");
    double total = (double)c->composite.max_total_spans_per_second * b->p->conf.share;
    bool is_listed;

    if (c->composite.subs.n == 0)
        gw_build_odd(b, list, "no sub-policies: it never samples");
    build_subs(b, r, GW_IN_COMPOSITE, &c->composite.subs, list);
    r->composite.max_total = (int64_t)total;
    r->composite.second = UINT64_MAX;
    r->composite.allowances = gw_arena_zalloc(&b->p->arena, r->n_subs * sizeof(struct gw_allowance) + 1);
    if (!r->composite.allowances) {
        gw_build_no_memory(b, block);
        return;
    }
    for (unsigned i = 0; i < r->n_subs; i++) {
        r->composite.allowances[i].allocated = allocation(c, r->subs[i].name, total, &is_listed);
        if (!is_listed)
            gw_build_odd(b, gw_build_item(list, i),
                         "rate_allocation does not list \"%.60s\": it has no allowance and never samples",
                         r->subs[i].name);
    }
    check_allocations(b, c, block);
    check_order(b, c, block);
}

/* ---- one policy ------------------------------------------------------------------------------------------- */

static bool has_no_block(enum gw_rule_type t)
{
    return t == GW_RULE_ALWAYS_SAMPLE || t == GW_RULE_TRACE_FLAGS;
}

static bool may_stand(enum gw_rule_type t, enum gw_rule_place place)
{
    static const char *const blocks[] = {
        [GW_RULE_AND] = "and", [GW_RULE_NOT] = "not", [GW_RULE_DROP] = "drop", [GW_RULE_COMPOSITE] = "composite"};

    return t < GW_RULE_AND || gw_field_find(gw_rule_fields[place], blocks[t]);
}

/* Its type, or GW_N_RULE_TYPES after telling what is wrong with it. */
static enum gw_rule_type type_of(struct gw_build *b, enum gw_rule_place place, const struct gw_rule_conf *c,
                                 const struct gw_node *n)
{
    static const char *const in[] = {
        [GW_AT_TOP] = "", [GW_IN_COMPOSITE] = "a composite", [GW_IN_LIST] = "and or drop", [GW_IN_NOT] = "not"};
    const char *near = gw_suggest(gw_slice_cstr(c->type), gw_policy_types);
    unsigned t = 0;

    while (t < GW_N_RULE_TYPES && strcmp(gw_policy_types[t], c->type) != 0)
        t++;
    if (t < GW_N_RULE_TYPES && may_stand(t, place))
        return t;
    if (t < GW_N_RULE_TYPES)
        gw_build_wrong(b, gw_build_at(n, "type"), "a policy of type %s cannot stand in %s", c->type, in[place]);
    else if (!*c->type)
        gw_build_wrong(b, n, "\"type\" is missing");
    else
        gw_build_wrong(b, gw_build_at(n, "type"), "unknown sampling policy type %.60s%s%s%s", c->type,
                       near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return GW_N_RULE_TYPES;
}

/* Blocks of other types are read by nobody; one that is missing means defaults. */
static void check_blocks(struct gw_build *b, enum gw_rule_type t, const struct gw_node *n)
{
    for (const struct gw_node *c = n->first; c; c = c->next)
        for (unsigned k = 0; k < GW_N_RULE_TYPES; k++)
            if (k != t && strcmp(gw_policy_types[k], c->key) == 0)
                gw_build_odd(b, c, "has no effect: the policy's type is %s", gw_policy_types[t]);
    if (!has_no_block(t) && !gw_node_get(n, gw_policy_types[t]))
        gw_build_odd(b, n, "the block \"%s\" is missing: its defaults hold", gw_policy_types[t]);
}

static void build_typed(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                        const struct gw_node *block)
{
    switch ((int)r->type) {
    case GW_RULE_AND:
        return build_all(b, r, &c->and_.subs, block, "and_sub_policy");
    case GW_RULE_NOT:
        return build_not(b, r, c, block);
    case GW_RULE_DROP:
        return build_all(b, r, &c->drop.subs, block, "drop_sub_policy");
    case GW_RULE_COMPOSITE:
        return build_composite(b, r, c, block);
    default:
        return gw_build_leaf(b, r, c, block);
    }
}

void gw_build_rule(struct gw_build *b, struct gw_rule *r, enum gw_rule_place place, const struct gw_rule_conf *c,
                   const struct gw_node *n)
{
    r->type = type_of(b, place, c, n);
    r->name = c->name;
    if (r->type == GW_N_RULE_TYPES)
        return;
    check_blocks(b, r->type, n);
    build_typed(b, r, c, gw_build_at(n, gw_policy_types[r->type]));
}
