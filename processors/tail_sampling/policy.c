/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "ottl/ottl.h"
#include "processors/tail_sampling/build.h"
#include "processors/tail_sampling/keys.h"
#include "values/pattern.h"

enum { ARENA_CHUNK = 16 << 10, ARENA_MAX = 64 << 20, MAX_SHAPE = 16 << 20 };

/* Does its vote depend on more than facts that only ever say more? Such are refused when spans are judged at ingest. */
static bool is_stateful(const struct gw_rule *r)
{
    if (r->type == GW_RULE_RATE_LIMITING || r->type == GW_RULE_BYTES_LIMITING || r->type == GW_RULE_ANOMALOUS)
        return true;
    if (r->type == GW_RULE_LATENCY)
        return r->latency.upto_ms > 0;
    if (r->type == GW_RULE_SPAN_COUNT)
        return r->count.max > 0;
    for (unsigned i = 0; i < r->n_subs; i++)
        if (is_stateful(&r->subs[i]))
            return true;
    return false;
}

/* ---- the list --------------------------------------------------------------------------------------------- */

static void check_name(struct gw_build *b, const struct gw_policy *policy, const struct gw_node *n)
{
    const struct gw_policies *p = b->p;

    if (!*policy->name)
        gw_build_wrong(b, gw_build_at(n, "name"), "policy name cannot be empty");
    for (unsigned i = 0; *policy->name && i < p->n; i++)
        if (strcmp(p->list[i].name, policy->name) == 0)
            gw_build_wrong(b, gw_build_at(n, "name"), "duplicate policy name \"%.100s\"", policy->name);
}

static char *label_of(struct gw_build *b, const char *name)
{
    const char *instance = b->p->conf.instance;
    size_t n = strlen(instance) + strlen(name) + 2;
    char *ret = gw_arena_alloc(&b->p->arena, n);

    if (ret)
        (void)snprintf(ret, n, "%s%s%s", instance, *instance ? "." : "", name);
    return ret;
}

static void build_policy(struct gw_build *b, const struct gw_node *n)
{
    struct gw_rule_conf *c = gw_arena_zalloc(&b->p->arena, sizeof(*c));
    struct gw_policy policy = {.rule = gw_arena_zalloc(&b->p->arena, sizeof(*policy.rule))};

    if (!c || !policy.rule) {
        gw_build_no_memory(b, n);
        return;
    }
    if (n->type != GW_NODE_MAP) {
        gw_build_wrong(b, n, "must be a map with name and type");
        return;
    }
    (void)gw_schema_fill(gw_rule_fields[GW_AT_TOP], sizeof(*c), n, c, &b->p->arena, b->diag);
    policy.name = c->name;
    policy.label = label_of(b, c->name);
    check_name(b, &policy, n);
    gw_build_rule(b, policy.rule, GW_AT_TOP, c, n);
    policy.is_drop = policy.rule->type == GW_RULE_DROP;
    if (!policy.label)
        gw_build_no_memory(b, n);
    if (b->p->conf.span_ingest && is_stateful(policy.rule))
        gw_build_wrong(
            b, n,
            "sampling_strategy \"span-ingest\" requires all policies to be stateless, but policy \"%.100s\" is "
            "stateful",
            c->name);
    b->p->list[b->p->n++] = policy;
}

/* Drop policies first, each kind in its order. */
static void sort(struct gw_policies *p, struct gw_policy *scratch)
{
    unsigned n = 0;

    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < p->n; i++)
            if (p->list[i].is_drop == (kind == 0))
                scratch[n++] = p->list[i];
    for (p->n_drop = 0; p->n_drop < n && scratch[p->n_drop].is_drop;)
        p->n_drop++;
    memcpy(p->list, scratch, n * sizeof(*scratch));
}

static void build_list(struct gw_build *b, const struct gw_node *list)
{
    struct gw_policies *p = b->p;
    struct gw_policy *scratch;

    p->list = gw_arena_zalloc(&p->arena, list->n_children * sizeof(*p->list) + 1);
    scratch = gw_arena_alloc(&b->p->arena, list->n_children * sizeof(*p->list) + 1);
    p->latencies = gw_arena_zalloc(&p->arena, GW_MAX_PREDICATES * sizeof(struct gw_rule *));
    if (!p->list || !scratch || !p->latencies) {
        gw_build_no_memory(b, list);
        return;
    }
    for (const struct gw_node *n = list->first; n; n = n->next)
        build_policy(b, n);
    sort(p, scratch);
}

static void build(struct gw_policies *p, struct gw_diag *diag)
{
    static const struct gw_node nothing = {.type = GW_NODE_NULL, .text = ""};
    const struct gw_node *list = p->conf.policies ? p->conf.policies : &nothing;
    struct gw_build b = {.p = p, .diag = diag};

    gw_buf_init(&b.shape, MAX_SHAPE);
    gw_buf_printf(&b.shape, "%d", p->conf.use_trace_state);
    if (list->type != GW_NODE_LIST || list->n_children == 0)
        gw_build_wrong(&b, list, "must be a list of policies: without one no trace would be kept");
    else
        build_list(&b, list);
    p->n_bit_words = p->n_words;
    if (p->alarms && p->n_bits > GW_KEYS_WORD * 64)
        gw_build_wrong(&b, list, "more than %d conditions on spans beside policies of type anomalous",
                       GW_KEYS_WORD * 64);
    if (p->alarms)
        p->n_words = GW_FACT_WORDS;
    if (b.shape.failed)
        gw_build_no_memory(&b, list);
    p->shape = gw_hash_stable(gw_buf_slice(&b.shape));
    gw_buf_clear(&b.shape);
}

/* ---- the outside ------------------------------------------------------------------------------------------ */

static void free_programs(struct gw_ottl **list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_ottl_free(list[i]);
}

void gw_policies_free(struct gw_policies *p)
{
    if (!p)
        return;
    for (struct gw_asked_key *k = p->attributes; k; k = k->next)
        for (struct gw_predicate *q = k->predicates; q; q = q->next)
            for (unsigned i = 0; i < q->n_patterns; i++)
                gw_pattern_free(q->patterns[i]);
    for (struct gw_asked_conditions *a = p->conditions; a; a = a->next) {
        free_programs(a->span, a->n_span);
        free_programs(a->event, a->n_event);
    }
    gw_alarms_unwatch(p->alarms);
    gw_arena_clear(&p->arena);
    free(p);
}

static struct gw_policies *new_policies(struct gw_env *env, const struct gw_policies_conf *conf, struct gw_meter *meter)
{
    struct gw_policies *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->env = env;
    p->meter = meter;
    p->conf = *conf;
    if (!p->conf.instance)
        p->conf.instance = "";
    gw_arena_init(&p->arena, ARENA_CHUNK, ARENA_MAX);
    return p;
}

void gw_policies_check(const struct gw_policies_conf *conf, struct gw_diag *diag)
{
    struct gw_policies *p = new_policies(NULL, conf, NULL);

    if (!p) {
        gw_diag_add(diag, GW_DIAG_ERROR, NULL, "out of memory");
        return;
    }
    build(p, diag);
    gw_policies_free(p);
}

static void each_watched(const struct gw_node *n, void (*each)(void *arg, const char *id, const struct gw_place *place),
                         void *arg)
{
    for (const struct gw_node *c = n->type == GW_NODE_MAP || n->type == GW_NODE_LIST ? n->first : NULL; c;
         c = c->next) {
        const struct gw_node *id =
            n->type == GW_NODE_MAP && strcmp(c->key, "anomalous") == 0 ? gw_node_get(c, "detector") : NULL;

        if (id && id->text && *id->text)
            each(arg, id->text, &id->place);
        each_watched(c, each, arg);
    }
}

void gw_policies_watched(const struct gw_policies_conf *conf,
                         void (*each)(void *arg, const char *id, const struct gw_place *place), void *arg)
{
    if (conf->policies)
        each_watched(conf->policies, each, arg);
}

static void meter_policies(struct gw_policies *p)
{
    if (!p->meter)
        return;
    p->errors = gw_meter_get(p->meter, GW_COUNTER, "otelcol_processor_tail_sampling_sampling_policy_evaluation_error",
                             "Policies that could not be asked about a trace.", NULL, 0);
    p->given_up = gw_meter_get(p->meter, GW_COUNTER, "staunch_tail_sampling_texts_given_up",
                               "Texts that were too much work for a pattern of a policy: no match.", NULL, 0);
    for (unsigned i = 0; i < p->n; i++) {
        struct gw_policy *policy = &p->list[i];
        const struct gw_label label = {"policy", policy->label};

        policy->executions =
            gw_meter_get(p->meter, GW_COUNTER, "otelcol_processor_tail_sampling_sampling_policy_execution_count",
                         "Traces that a policy was asked about.", &label, 1);
        if (p->conf.detailed)
            policy->time =
                gw_meter_get(p->meter, GW_COUNTER, "otelcol_processor_tail_sampling_sampling_policy_execution_time_sum",
                             "Time that a policy took, in microseconds.", &label, 1);
    }
}

int gw_policies_new(struct gw_env *env, const struct gw_policies_conf *conf, struct gw_meter *meter,
                    struct gw_policies **ret, struct gw_err *err)
{
    struct gw_policies *p = new_policies(env, conf, meter);
    struct gw_diag diag;
    int r = 0;

    if (!p)
        return gw_fail(err, -ENOMEM, "policies: out of memory");
    gw_diag_init(&diag);
    build(p, &diag);
    if (diag.n_errors) /* what is not even told of was for want of memory */
        r = gw_fail(err, -ENOMEM, "policies: out of memory");
    for (const struct gw_diag_item *i = diag.first; i && diag.n_errors; i = i->next)
        if (i->severity == GW_DIAG_ERROR) {
            r = gw_fail(err, strstr(i->text, "out of memory") ? -ENOMEM : -EINVAL, "%s", i->text);
            break;
        }
    gw_diag_clear(&diag);
    if (r < 0) {
        gw_policies_free(p);
        return r;
    }
    meter_policies(p);
    *ret = p;
    return 0;
}

uint64_t gw_policies_shape(const struct gw_policies *p)
{
    return p->shape;
}

static bool has_type(const struct gw_rule *r, uint64_t types)
{
    bool has = types >> r->type & 1;

    for (unsigned i = 0; i < r->n_subs && !has; i++)
        has = has_type(&r->subs[i], types);
    return has;
}

/* Is any of them, down to the last part of a composite, of one of these types (a bit each)? */
static bool any_has_type(const struct gw_policies *p, uint64_t types)
{
    bool any = false;

    for (unsigned i = 0; i < p->n && !any; i++)
        any = has_type(p->list[i].rule, types);
    return any;
}

#define TYPE(t) (UINT64_C(1) << GW_RULE_##t)

bool gw_policies_limit_bytes(const struct gw_policies *p)
{
    return any_has_type(p, TYPE(BYTES_LIMITING));
}

bool gw_policies_ask_time(const struct gw_policies *p)
{
    return any_has_type(p, TYPE(RATE_LIMITING) | TYPE(BYTES_LIMITING) | TYPE(COMPOSITE) | TYPE(ANOMALOUS));
}

/* ---- reload ----------------------------------------------------------------------------------------------- */

static void adopt_rule(struct gw_rule *r, const struct gw_rule *old)
{
    if (r->type != old->type || r->n_subs != old->n_subs)
        return;
    if (r->type == GW_RULE_RATE_LIMITING || r->type == GW_RULE_BYTES_LIMITING) {
        r->bucket.begun = old->bucket.begun;
        r->bucket.last_ns = old->bucket.last_ns;
        r->bucket.tokens = old->bucket.tokens;
    }
    if (r->type == GW_RULE_COMPOSITE) {
        r->composite.second = old->composite.second;
        for (unsigned i = 0; i < r->n_subs; i++)
            r->composite.allowances[i].used = old->composite.allowances[i].used;
    }
    for (unsigned i = 0; i < r->n_subs; i++)
        adopt_rule(&r->subs[i], &old->subs[i]);
}

void gw_policies_adopt(struct gw_policies *p, const struct gw_policies *old)
{
    for (unsigned i = 0; i < p->n; i++)
        for (unsigned k = 0; k < old->n; k++)
            if (strcmp(p->list[i].name, old->list[k].name) == 0)
                adopt_rule(p->list[i].rule, old->list[k].rule);
}
