/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes of rules that only all of a rule's settings together show. */
#include "processors/dynamic_sampling/rules.h"

#include <stdio.h>

static const char *const type_names[] = {"always_sample", "probabilistic", "dynamic_percentage", "dynamic_throughput"};

struct checking {
    const struct gw_ds_rule_conf *rule;
    const struct gw_node *node, *sampler; /* the rule's and its sampler's; either may be NULL */
    const struct gw_place *place;
    struct gw_diag *diag;
};

static bool is_set(const struct checking *k, const char *key)
{
    return k->sampler && gw_node_get(k->sampler, key);
}

/* What the sampler does not use is a mistake, not decoration. `used`: words with a blank on both sides. */
static void check_unused(const struct checking *k, const char *used)
{
    static const char *const keys[] = {"algorithm",
                                       "sampling_percentage",
                                       "goal_percentage",
                                       "goal_throughput",
                                       "fingerprint_attributes",
                                       "key_fields",
                                       "trace_length",
                                       "max_keys",
                                       "initial_sampling_rate",
                                       "adjustment_interval",
                                       "weight",
                                       "burst_multiple",
                                       "burst_detection_delay",
                                       "update_frequency",
                                       "lookback_frequency"};

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char word[64];

        (void)snprintf(word, sizeof(word), " %s ", keys[i]);
        if (is_set(k, keys[i]) && !strstr(used, word))
            gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": %s does not use %s", k->rule->name,
                        type_names[k->rule->sampler.type], keys[i]);
    }
}

static void check_goal(const struct checking *k, const char *key, double value)
{
    if (value <= 0)
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": %s must be above 0", k->rule->name, key);
}

static void check_key(const struct checking *k)
{
    const struct gw_list *l = &k->rule->sampler.fingerprint;
    struct gw_ds_selector selector;
    struct gw_err err;

    if (l->n == 0)
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": fingerprint_attributes needs at least one",
                    k->rule->name);
    for (size_t i = 0; i < l->n; i++)
        if (gw_ds_selector_parse(((const char *const *)l->items)[i], &selector, &err) < 0)
            gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": fingerprint_attributes: %s", k->rule->name,
                        err.text);
}

static void check_sampler(const struct checking *k)
{
    const struct gw_ds_sampler_conf *c = &k->rule->sampler;
    static const char *const used[] = {
        [GW_DS_EMA] =
            " algorithm goal_percentage goal_throughput fingerprint_attributes key_fields trace_length max_keys "
            "initial_sampling_rate adjustment_interval weight burst_multiple burst_detection_delay ",
        [GW_DS_WINDOWED] = " algorithm goal_throughput fingerprint_attributes key_fields trace_length max_keys "
                           "update_frequency lookback_frequency ",
        [GW_DS_TOTAL] = " algorithm goal_throughput fingerprint_attributes key_fields trace_length max_keys "
                        "adjustment_interval ",
    };

    if (c->type == GW_DS_ALWAYS || c->type == GW_DS_PROBABILISTIC) {
        if (c->type == GW_DS_PROBABILISTIC)
            check_goal(k, "sampling_percentage", c->sampling_percentage);
        check_unused(k, c->type == GW_DS_ALWAYS ? " " : " sampling_percentage ");
        return;
    }
    if (c->type == GW_DS_PERCENTAGE && c->algorithm != GW_DS_EMA)
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": dynamic_percentage knows the algorithm ema only",
                    k->rule->name);
    check_goal(k, c->type == GW_DS_PERCENTAGE ? "goal_percentage" : "goal_throughput",
               c->type == GW_DS_PERCENTAGE ? c->goal_percentage : c->goal_throughput);
    check_key(k);
    check_unused(k, used[c->algorithm]);
}

static void check_rule(const struct checking *k, const struct gw_list *all, size_t index)
{
    const struct gw_ds_rule_conf *r = k->rule;

    if (!*r->name)
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rules: rule %zu needs a name", index + 1);
    if (*r->name == '_')
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": names with _ before them are the processor's own",
                    r->name);
    for (size_t i = 0; i < index; i++)
        if (strcmp(((const struct gw_ds_rule_conf *)all->items)[i].name, r->name) == 0)
            gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rules: the name \"%s\" stands twice", r->name);
    if (r->conditions.n == 0 && k->node && gw_node_get(k->node, "match"))
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": match says nothing without conditions", r->name);
    if (!is_set(k, "type"))
        gw_diag_add(k->diag, GW_DIAG_ERROR, k->place, "rule \"%s\": sampler::type is missing", r->name);
    check_sampler(k);
}

void gw_ds_rules_check(const struct gw_list *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *rules = gw_node_get(node, "rules");
    const struct gw_node *at = rules && rules->type == GW_NODE_LIST ? rules->first : rules;

    if (conf->n == 0 || conf->n > GW_DS_MAX_RULES)
        gw_diag_add(diag, GW_DIAG_ERROR, rules ? &rules->place : &node->place, "rules: there must be 1 to %d, not %zu",
                    GW_DS_MAX_RULES, conf->n);
    for (size_t i = 0; i < conf->n; i++) {
        struct checking k = {.rule = &((const struct gw_ds_rule_conf *)conf->items)[i],
                             .node = at,
                             .sampler = at ? gw_node_get(at, "sampler") : NULL,
                             .place = at ? &at->place : &node->place,
                             .diag = diag};

        check_rule(&k, conf, i);
        at = at ? at->next : NULL;
    }
}
