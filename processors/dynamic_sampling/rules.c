/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/dynamic_sampling/rules.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "processors/common/spool.h"
#include "values/sampling.h"

/* ---- making ----------------------------------------------------------------------------------------------- */

static const char *text_at(const struct gw_list *l, size_t i)
{
    return ((const char *const *)l->items)[i];
}

static const struct gw_ds_rule_conf *conf_at(const struct gw_list *l, size_t i)
{
    return &((const struct gw_ds_rule_conf *)l->items)[i];
}

static int make_conditions(struct gw_ds_rule *r, struct gw_env *env, struct gw_err *err)
{
    const struct gw_list *l = &r->conf->conditions;
    struct gw_ottl_fault fault = {0};

    r->conditions = calloc(l->n + 1, sizeof(struct gw_ottl *));
    if (!r->conditions)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        int rc = gw_ottl_condition_new(gw_slice_cstr(text_at(l, i)), GW_OTTL_SPAN, env, &r->conditions[i], &fault);

        if (rc < 0)
            return gw_fail(err, rc, "rule \"%.60s\": condition %zu, column %u: %.150s", r->conf->name, i + 1,
                           fault.column, fault.text);
    }
    return 0;
}

static int make_selectors(struct gw_ds_rule *r, struct gw_err *err)
{
    const struct gw_list *l = &r->conf->sampler.fingerprint;
    int rc = 0;

    r->selectors = calloc(l->n + 1, sizeof(*r->selectors));
    if (!r->selectors)
        return -ENOMEM;
    for (size_t i = 0; i < l->n && rc == 0; i++)
        rc = gw_ds_selector_parse(text_at(l, i), &r->selectors[i], err);
    return rc;
}

static int make_sampler(struct gw_ds_rule *r, struct gw_env *env, double share)
{
    const struct gw_ds_sampler_conf *c = &r->conf->sampler;
    bool windowed = c->algorithm == GW_DS_WINDOWED;
    uint64_t update = c->update_ns ? c->update_ns : UINT64_C(1000000000);
    struct gw_sampler_conf s = {
        .kind = c->type == GW_DS_PERCENTAGE   ? GW_EMA_PERCENTAGE
                : windowed                    ? GW_WINDOWED_THROUGHPUT
                : c->algorithm == GW_DS_TOTAL ? GW_TOTAL_THROUGHPUT
                                              : GW_EMA_THROUGHPUT,
        .goal = c->type == GW_DS_PERCENTAGE ? 100 / c->goal_percentage : c->goal_throughput,
        .share = share,
        .interval_ns = windowed ? update : c->interval_ns,
        .lookback_ns = c->lookback_ns ? c->lookback_ns : 30 * update,
        .weight = c->weight > 0 ? c->weight : 0.5,
        .burst_multiple = c->burst_multiple,
        .burst_delay = (uint32_t)c->burst_delay,
        .initial_rate = c->initial_rate               ? (uint32_t)c->initial_rate
                        : c->type == GW_DS_PERCENTAGE ? (uint32_t)(100 / c->goal_percentage)
                                                      : 10,
        .max_keys = c->max_keys ? (uint32_t)c->max_keys : 1000000,
    };

    if (c->type == GW_DS_PROBABILISTIC &&
        !gw_threshold_of(c->sampling_percentage / 100, GW_SAMPLING_DIGITS, &r->threshold))
        r->threshold = GW_NEVER_SAMPLE;
    if (c->type != GW_DS_PERCENTAGE && c->type != GW_DS_THROUGHPUT)
        return 0;
    r->sampler = gw_sampler_new(&s, gw_mono_ns(env));
    return r->sampler ? 0 : -ENOMEM;
}

static void make_metrics(struct gw_ds_rule *r, struct gw_meter *m)
{
    const struct gw_label rule = {"rule", r->conf->name};

    r->sampled = gw_meter_get(m, GW_COUNTER, "otelcol_processor_dynamic_sampling_traces_sampled",
                              "Number of traces that were sampled, by the rule that selected them.", &rule, 1);
    r->dropped = gw_meter_get(m, GW_COUNTER, "otelcol_processor_dynamic_sampling_traces_dropped",
                              "Number of traces that were dropped, by the rule that selected them.", &rule, 1);
    r->errors = gw_meter_get(m, GW_COUNTER, "otelcol_processor_dynamic_sampling_ottl_eval_errors",
                             "Number of OTTL conditions that could not be evaluated, by rule.", &rule, 1);
}

int gw_ds_rules_init(struct gw_ds_rules *r, const struct gw_list *conf, struct gw_env *env, struct gw_meter *meter,
                     double share, struct gw_err *err)
{
    int rc = 0;

    gw_buf_init(&r->key, 16 << 20);
    r->list = calloc(conf->n + 1, sizeof(*r->list));
    if (!r->list)
        return gw_fail(err, -ENOMEM, "out of memory");
    for (r->n = 0; r->n < conf->n && rc == 0;) {
        struct gw_ds_rule *rule = &r->list[r->n++];

        rule->conf = conf_at(conf, r->n - 1);
        rc = make_conditions(rule, env, err);
        if (rc == 0)
            rc = make_selectors(rule, err);
        if (rc == 0)
            rc = make_sampler(rule, env, share);
        make_metrics(rule, meter);
    }
    return rc == -ENOMEM ? gw_fail(err, rc, "out of memory") : rc;
}

void gw_ds_rules_clear(struct gw_ds_rules *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        struct gw_ds_rule *rule = &r->list[i];

        for (size_t c = 0; rule->conditions && c < rule->conf->conditions.n; c++)
            gw_ottl_free(rule->conditions[c]);
        free(rule->conditions);
        free(rule->selectors);
        gw_sampler_free(rule->sampler);
    }
    free(r->list);
    r->list = NULL;
    r->n = 0;
    gw_buf_clear(&r->key);
}

/* ---- a reload --------------------------------------------------------------------------------------------- */

uint64_t gw_ds_rule_shape(const struct gw_ds_rule *r)
{
    const struct gw_list *l = &r->conf->sampler.fingerprint;
    uint64_t h = 2 * l->n + r->conf->sampler.trace_length;

    for (size_t i = 0; i < l->n; i++)
        h = h * 1099511628211u + gw_hash_stable(gw_slice_cstr(text_at(l, i)));
    return h;
}

static void adopt_rule(struct gw_ds_rule *r, struct gw_ds_rule *old)
{
    struct gw_sampler *mine = r->sampler;

    if (!mine || !old->sampler || !gw_sampler_is_like(mine, old->sampler) ||
        gw_ds_rule_shape(r) != gw_ds_rule_shape(old))
        return;
    r->sampler = old->sampler;
    old->sampler = mine;
}

void gw_ds_rules_adopt(struct gw_ds_rules *r, struct gw_ds_rules *old)
{
    for (uint32_t i = 0; i < old->n; i++)
        for (uint32_t k = 0; k < r->n; k++)
            if (strcmp(r->list[k].conf->name, old->list[i].conf->name) == 0)
                adopt_rule(&r->list[k], &old->list[i]);
}

/* ---- asking ----------------------------------------------------------------------------------------------- */

/* A condition that fails is not met. */
static bool is_met(struct gw_ds_rule *r, size_t condition, const struct gw_view *v, uint32_t row)
{
    bool yes = false;
    struct gw_err err;

    if (gw_ottl_test(r->conditions[condition], v, row, row, &yes, &err) < 0) {
        gw_metric_add(r->errors, 1);
        return false;
    }
    return yes;
}

static bool one_span_meets_all(struct gw_ds_rule *r, const struct gw_ds_trace *t)
{
    for (uint32_t row = t->begin; row < t->end; row++) {
        size_t c = 0;

        while (c < r->conf->conditions.n && is_met(r, c, t->v, row))
            c++;
        if (c == r->conf->conditions.n)
            return true;
    }
    return false;
}

static bool some_span_meets(struct gw_ds_rule *r, size_t condition, const struct gw_ds_trace *t)
{
    for (uint32_t row = t->begin; row < t->end; row++)
        if (is_met(r, condition, t->v, row))
            return true;
    return false;
}

static bool meets(struct gw_ds_rule *r, const struct gw_ds_trace *t)
{
    if (r->conf->conditions.n == 0)
        return true;
    if (r->conf->match == GW_DS_SAME_SPAN)
        return one_span_meets_all(r, t);
    for (size_t c = 0; c < r->conf->conditions.n; c++)
        if (!some_span_meets(r, c, t))
            return false;
    return true;
}

int gw_ds_rules_find(struct gw_ds_rules *r, const struct gw_ds_trace *t)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (meets(&r->list[i], t))
            return (int)i;
    return -1;
}

/* ---- samplers --------------------------------------------------------------------------------------------- */

static void write_call(struct gw_buf *out, const struct gw_ds_call *c)
{
    gw_buf_put_u8(out, 'C');
    gw_buf_put_u8(out, c->name);
    gw_spool_put_u32(out, c->n);
    gw_spool_put_u64(out, c->now_ns);
    gw_spool_put_bytes(out, c->key);
}

void gw_ds_call_read(struct gw_spool_in *in, struct gw_ds_call *ret)
{
    ret->name = gw_spool_get_u8(in);
    ret->n = gw_spool_get_u32(in);
    ret->now_ns = gw_spool_get_u64(in);
    ret->key = gw_spool_get_bytes(in);
}

void gw_ds_rule_save(const struct gw_ds_rule *r, uint64_t now_ns, struct gw_buf *out)
{
    uint32_t n = 0;
    size_t at;

    if (!r->sampler)
        return;
    gw_buf_put_u8(out, (uint8_t)r->name);
    gw_spool_put_u64(out, gw_ds_rule_shape(r));
    at = out->n;
    gw_spool_put_u32(out, n);
    gw_sampler_save(r->sampler, now_ns, out);
    if (out->failed)
        return;
    n = (uint32_t)(out->n - at - sizeof(n));
    memcpy(out->p + at, &n, sizeof(n));
}

uint64_t gw_ds_rule_threshold(struct gw_ds_rules *r, uint32_t rule, const struct gw_ds_trace *t, uint64_t before,
                              uint64_t now_ns)
{
    struct gw_ds_rule *x = &r->list[rule];
    struct gw_ds_call c = {.n = t->end - t->begin, .now_ns = now_ns};

    if (!x->sampler)
        return x->threshold > before ? x->threshold : before;
    c.name = (uint8_t)x->name;
    c.key = gw_ds_rule_key(r, rule, t);
    if (r->calls)
        write_call(r->calls, &c);
    return gw_sampler_threshold(before, gw_sampler_rate(x->sampler, c.key, c.n, now_ns));
}
