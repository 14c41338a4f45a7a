/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampling policies over any spans: the first byte picks switches, the rest is a request, taken as one trace. Nothing
 * crashes; rows with and without edits answer alike; a decision that was settled stays.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/yaml.h"
#include "otlp-proto/decode.h"
#include "processors/tail_sampling/policy.h"
#include "values/sampling.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char list[] =
    "policies: [{name: l, type: latency, latency: {threshold_ms: 500}}, "
    "{name: u, type: latency, latency: {threshold_ms: 10, upper_threshold_ms: 50}}, "
    "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, "
    "{name: v, type: trace_state, trace_state: {key: vendor, values: [one, two]}}, "
    "{name: w, type: trace_state, trace_state: {key: tenant@acme, values: [gold]}}, "
    "{name: t, type: string_attribute, string_attribute: {key: tier, values: [gold, '']}}, "
    "{name: x, type: string_attribute, string_attribute: {key: tier, values: ['^g', '^$'], enabled_regex_matching: "
    "true, "
    "invert_match: true}}, "
    "{name: n, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: -5, max_value: "
    "599}}, "
    "{name: b, type: boolean_attribute, boolean_attribute: {key: retry, value: false}}, "
    "{name: i, type: numeric_attribute, numeric_attribute: {key: items, min_value: 4, invert_match: true}}, "
    "{name: o, type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['Substring(attributes[\"tier\"], "
    "0, 2) == "
    "\"go\"'], spanevent: ['attributes[\"attempt\"] == 3']}}, "
    "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 30}}, "
    "{name: a, type: and, and: {and_sub_policy: [{name: f, type: trace_flags}, {name: m, type: not, not: "
    "{not_sub_policy: "
    "{name: s, type: span_count, span_count: {min_spans: 3, max_spans: 8}}}}]}}, "
    "{name: z, type: anomalous, anomalous: {detector: anomaly/a, attributes: [service.name]}}, "
    "{name: y, type: anomalous, anomalous: {detector: anomaly/a, attributes: [service.name, tier], hold: 5s, "
    "min_score: 4}}, "
    "{name: d, type: drop, drop: {drop_sub_policy: [{name: g, type: string_attribute, string_attribute: {key: "
    "service.name, values: [cart]}}]}}]";

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_policies *made[32]; /* by the switches; for the process' life */
static struct gw_arena arena;

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "policy_fuzz: %s\n", what);
    abort();
}

/* Of the same settings, as at a reload; then they go. */
static void check_again(struct gw_env *env, const struct gw_policies_conf *conf, const struct gw_policies *old)
{
    struct gw_policies *p;
    struct gw_err err = {""};

    check(gw_policies_new(env, conf, NULL, &p, &err) == 0, err.text);
    gw_policies_adopt(p, old);
    check(gw_policies_shape(p) == gw_policies_shape(old), "the same settings ask otherwise");
    gw_policies_free(p);
}

static struct gw_policies *policies(unsigned switches)
{
    static struct gw_arena tree;
    static const struct gw_node *root;
    static struct gw_env *env;
    struct gw_policies_conf conf = {.share = 1,
                                    .sample_on_first_match = switches & 1,
                                    .use_trace_state = switches & 2,
                                    .record_policy = switches & 4,
                                    .running_latency = switches & 8,
                                    .invert_decisions = switches & 16};
    struct gw_err err = {""};
    struct gw_diag diag;

    if (made[switches])
        return made[switches];
    if (!root) {
        gw_diag_init(&diag);
        gw_arena_init(&tree, 4096, 1 << 20);
        gw_arena_init(&arena, 64 << 10, 64 << 20);
        env = gw_env_real_new();
        root = gw_yaml_parse(gw_slice_cstr(list), "fuzz", &tree, &diag);
    }
    conf.policies = gw_node_get(root, "policies");
    check(gw_policies_new(env, &conf, NULL, &made[switches], &err) == 0, err.text);
    check_again(env, &conf, made[switches]);
    return made[switches];
}

static void alike(struct gw_policies *p, struct gw_view *v, const uint64_t (*bits)[GW_FACT_WORDS])
{
    const struct gw_value one = {.type = GW_V_INT, .i = 1};
    const uint64_t(*edited)[GW_FACT_WORDS];

    gw_view_attr_set_rows(v, GW_SLICE("no key of a policy"), &one, GW_UPSERT);
    edited = gw_policies_ask(p, v);
    if (edited && !v->failed)
        check(v->batch->n_rows == 0 || memcmp(bits, edited, v->batch->n_rows * sizeof(*bits)) == 0,
              "an edit of something else changes an answer");
}

static void decide(struct gw_policies *p, const struct gw_view *v, const uint64_t (*bits)[GW_FACT_WORDS])
{
    struct gw_trace_facts f = {0};
    struct gw_verdict first = {0}, now;
    bool settled = false;

    for (uint32_t row = 0; row < v->batch->n_rows; row++) {
        gw_policies_note(p, &f, v, row, bits[row]);
        gw_policies_decide(p, v->batch->trace_id[0], &f, 1, &now);
        if (settled) {
            check(gw_policies_is_settled(p, v->batch->trace_id[0], &f), "open again");
            check(now.decision == first.decision, "a settled decision has changed");
        } else if (gw_policies_is_settled(p, v->batch->trace_id[0], &f)) {
            settled = true;
            first = now;
        }
        check(!now.has_threshold || now.threshold <= GW_NEVER_SAMPLE, "no threshold");
        check((now.decision == GW_NOT_SAMPLED) == (now.policy == NULL), "a reason for nothing, or none");
    }
    check(f.n_spans == v->batch->n_rows, "spans miscounted");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gw_batch *b;
    struct gw_ref at;
    struct gw_view v;

    if (n < 1)
        return 0;
    b = gw_batch_new(GW_TRACES);
    if (b && gw_batch_append(b, gw_slice_of(data + 1, n - 1), &at) == 0 &&
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) == 0 && b->n_rows) {
        struct gw_policies *p = policies(data[0] & 31);
        const uint64_t(*bits)[GW_FACT_WORDS];

        gw_view_init(&v, b, &arena);
        bits = gw_policies_ask(p, &v);
        check(bits != NULL, "no answer");
        decide(p, &v, bits);
        alike(p, &v, bits);
        gw_view_clear(&v);
        gw_arena_reset(&arena, 1 << 20);
    }
    (void)gw_batch_unref(b);
    return 0;
}
