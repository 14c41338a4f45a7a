/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a list of policies is told at its place, all at once. */
#include <stdlib.h>

#include "processors/tail_sampling/rules_conf.h"
#include "tests/processors/tail_sampling/rig.h"

/* `yaml` is the list, from line 2 on; `where` begins with line and column. */
static void says_with(struct gw_policies_conf c, const char *yaml, const char *where, bool is_error)
{
    struct rig r = {.c = c};
    char text[8192], wanted[512];

    (void)snprintf(text, sizeof(text), "policies:\n%s", yaml);
    (void)snprintf(wanted, sizeof(wanted), "test.yaml:%s", where);
    (void)rig_read(&r, text);
    if (!strstr(r.said, wanted))
        fail_msg("said \"%s\", not \"%s\"", r.said, wanted);
    assert_int_equal(r.diag.n_errors > 0, is_error);
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
}
#define REFUSES(yaml, where) says_with((struct gw_policies_conf){0}, yaml, where, true)
#define WARNS(yaml, where)   says_with((struct gw_policies_conf){0}, yaml, where, false)

static void names_are_there_and_differ(void **state)
{
    (void)state;
    REFUSES("  - {type: always_sample}", "2:5: error: policies::0: policy name cannot be empty");
    REFUSES("  - {name: '', type: always_sample}", "2:12: error: policies::0::name: policy name cannot be empty");
    REFUSES("  - {name: a, type: always_sample}\n  - {name: a, type: trace_flags}",
            "3:12: error: policies::1::name: duplicate policy name \"a\"");
    REFUSES("  - always_sample", "2:5: error: policies::0: must be a map with name and type");
    REFUSES("  {}", "2:3: error: policies: must be a list of policies: without one no trace would be kept");
    REFUSES("  []", "2:3: error: policies: must be a list of policies: without one no trace would be kept");
}

static void types_are_known_where_they_stand(void **state)
{
    (void)state;
    REFUSES("  - {name: a}", "2:5: error: policies::0: \"type\" is missing");
    REFUSES("  - {name: a, type: latancy}",
            "2:21: error: policies::0::type: unknown sampling policy type latancy; did you mean \"latency\"?");
    REFUSES("  - {name: a, type: dynamic}", "2:21: error: policies::0::type: unknown sampling policy type dynamic\n");
    REFUSES(
        "  - name: a\n    type: and\n    and:\n      and_sub_policy:\n        - {name: b, type: drop}",
        "6:27: error: policies::0::and::and_sub_policy::0::type: a policy of type drop cannot stand in and or drop");
    REFUSES("  - name: a\n    type: not\n    not:\n      not_sub_policy: {name: b, type: and}",
            "5:39: error: policies::0::not::not_sub_policy::type: a policy of type and cannot stand in not");
    REFUSES(
        "  - name: a\n    type: composite\n    composite:\n      composite_sub_policy:\n        - {name: b, type: not}",
        "6:27: error: policies::0::composite::composite_sub_policy::0::type: a policy of type not cannot stand in a "
        "composite");
}

static void blocks_are_spelt_right_and_belong_to_the_type(void **state)
{
    (void)state;
    REFUSES("  - name: a\n    type: latency\n    latancy: {threshold_ms: 5}",
            "4:5: error: unknown key \"latancy\" in policies::0; did you mean \"latency\"?");
    REFUSES("  - name: a\n    type: latency\n    latency: {treshold_ms: 5}",
            "4:15: error: unknown key \"treshold_ms\" in policies::0::latency; did you mean \"threshold_ms\"?");
    REFUSES("  - {name: a, type: latency, latency: {threshold_ms: soon}}",
            "2:54: error: policies::0::latency::threshold_ms: must be a whole number, not a text");
    WARNS("  - {name: a, type: always_sample, latency: {threshold_ms: 5}}",
          "2:45: warning: policies::0::latency: has no effect: the policy's type is always_sample");
    WARNS("  - {name: a, type: latency}",
          "2:5: warning: policies::0: the block \"latency\" is missing: its defaults hold");
}

static void values_make_sense(void **state)
{
    (void)state;
    REFUSES(
        "  - {name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 0}}",
        "2:59: error: policies::0::numeric_attribute: min_value or max_value must be set, and not to 0, which means "
        "unset");
    REFUSES("  - {name: a, type: status_code, status_code: {status_codes: []}}",
            "2:62: error: policies::0::status_code::status_codes: expected at least one status code to filter on");
    REFUSES("  - {name: a, type: status_code}",
            "2:5: error: policies::0: expected at least one status code to filter on");
    REFUSES(
        "  - {name: a, type: status_code, status_code: {status_codes: [OK, error]}}",
        "2:67: error: policies::0::status_code::status_codes::1: unknown status code \"error\", supported: OK, ERROR, "
        "UNSET");
    REFUSES(
        "  - {name: a, type: string_attribute, string_attribute: {key: k, enabled_regex_matching: true, values: [a, "
        "'(']}}",
        "2:108: error: policies::0::string_attribute::values::1: invalid regex `(`: ");
    REFUSES("  - {name: a, type: probabilistic, probabilistic: {sampling_percentage: .nan}}",
            "2:73: error: policies::0::probabilistic::sampling_percentage: must be a number");
    REFUSES("  - {name: a, type: span_count, span_count: {min_spans: 3000000000}}",
            "2:57: error: policies::0::span_count::min_spans: \"3000000000\" is out of range");
    REFUSES("  - {name: a, type: and, and: {}}", "2:31: error: policies::0::and: and_sub_policy has no policies: that "
                                                 "would be every trace");
    REFUSES(
        "  - {name: a, type: drop, drop: {drop_sub_policy: []}}",
        "2:51: error: policies::0::drop::drop_sub_policy: drop_sub_policy has no policies: that would be every trace");
    REFUSES("  - {name: a, type: not}", "2:5: error: policies::0: not_sub_policy must be one policy");
    REFUSES("  - {name: a, type: not, not: {not_sub_policy: [{type: trace_flags}, {type: trace_flags}]}}",
            "2:48: error: policies::0::not::not_sub_policy: not_sub_policy must be one policy");
}

/* What the Collector takes and what cannot be meant. */
static void what_never_matches_is_told(void **state)
{
    (void)state;
    WARNS("  - {name: a, type: latency, latency: {threshold_ms: 9, upper_threshold_ms: 9}}",
          "2:39: warning: policies::0::latency: upper_threshold_ms is not above threshold_ms: it never matches");
    WARNS("  - {name: a, type: span_count, span_count: {min_spans: 9, max_spans: 8}}",
          "2:45: warning: policies::0::span_count: max_spans is below min_spans: it never matches");
    WARNS("  - {name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 9, max_value: 8}}",
          "2:59: warning: policies::0::numeric_attribute: min_value is above max_value: it never matches");
    WARNS("  - {name: a, type: string_attribute, string_attribute: {key: k, values: ['']}}",
          "2:74: warning: policies::0::string_attribute::values: no values: it never matches");
    WARNS("  - {name: a, type: string_attribute, string_attribute: {key: k, enabled_regex_matching: true}}",
          "2:57: warning: policies::0::string_attribute: no values: it never matches");
    WARNS("  - {name: a, type: boolean_attribute, boolean_attribute: {value: true}}",
          "2:59: warning: policies::0::boolean_attribute: its key is empty: it matches no attribute");
    WARNS("  - {name: a, type: rate_limiting, rate_limiting: {}}",
          "2:51: warning: policies::0::rate_limiting: a rate of 0: it never samples");
}

#define SUBS "composite_sub_policy: [{name: one, type: always_sample}, {name: two, type: trace_flags}]"

static void composites_are_looked_through(void **state)
{
    (void)state;
    WARNS("  - name: a\n    type: composite\n    composite:\n      max_total_spans_per_second: 9\n      " SUBS
          "\n      rate_allocation: [{policy: one, percent: 50}, {policy: tow, percent: 50}]",
          "7:62: warning: policies::0::composite::rate_allocation::1::policy: no sub-policy is called \"tow\"; did you "
          "mean \"two\"?");
    WARNS(
        "  - name: a\n    type: composite\n    composite:\n      max_total_spans_per_second: 9\n      " SUBS
        "\n      rate_allocation: [{policy: one, percent: 50}]",
        "6:64: warning: policies::0::composite::composite_sub_policy::1: rate_allocation does not list \"two\": it has "
        "no allowance and never samples");
    WARNS("  - name: a\n    type: composite\n    composite:\n      policy_order: [two, one]\n      " SUBS
          "\n      rate_allocation: [{policy: one, percent: 50}, {policy: two, percent: 50}]",
          "5:21: warning: policies::0::composite::policy_order: has no effect: sub-policies are asked in the order of "
          "composite_sub_policy, as in the Collector");
    WARNS("  - {name: a, type: composite, composite: {}}",
          "2:43: warning: policies::0::composite: no sub-policies: it never samples");
}

/* What may say more about a trace only while it is complete cannot be asked about its begin. */
static void span_ingest_wants_stateless_policies(void **state)
{
    static const char *const stateful[] = {
        "type: rate_limiting, rate_limiting: {spans_per_second: 1}",
        "type: bytes_limiting, bytes_limiting: {bytes_per_second: 1}",
        "type: latency, latency: {upper_threshold_ms: 1}",
        "type: span_count, span_count: {max_spans: 1}",
        "type: not, not: {not_sub_policy: {name: s, type: span_count, span_count: {max_spans: 1}}}",
        "type: and, and: {and_sub_policy: [{name: s, type: span_count, span_count: {max_spans: 1}}]}",
        "type: drop, drop: {drop_sub_policy: [{name: s, type: span_count, span_count: {max_spans: 1}}]}",
        "type: composite, composite: {composite_sub_policy: [{name: s, type: span_count, span_count: {max_spans: 1}}]}",
    };
    static const char *const stateless[] = {
        "type: always_sample",
        "type: latency, latency: {threshold_ms: 1}",
        "type: span_count, span_count: {min_spans: 1}",
        "type: composite, composite: {composite_sub_policy: [{name: s, type: trace_flags}]}",
    };
    char yaml[512];

    (void)state;
    for (unsigned i = 0; i < sizeof(stateful) / sizeof(stateful[0]); i++) {
        (void)snprintf(yaml, sizeof(yaml), "  - {name: a, %s}", stateful[i]);
        says_with(
            (struct gw_policies_conf){.span_ingest = true}, yaml,
            "2:5: error: policies::0: sampling_strategy \"span-ingest\" requires all policies to be stateless, but "
            "policy \"a\" is stateful",
            true);
    }
    for (unsigned i = 0; i < sizeof(stateless) / sizeof(stateless[0]); i++) {
        struct rig r = {.c.span_ingest = true};

        (void)snprintf(yaml, sizeof(yaml), "policies: [{name: a, %s}]", stateless[i]);
        rig_open(&r, yaml);
        rig_close(&r);
    }
}

static void there_is_room_for_256_conditions(void **state)
{
    struct rig r = {0};
    struct gw_buf yaml;

    (void)state;
    gw_buf_init(&yaml, 1 << 20);
    gw_buf_put_str(&yaml, "policies:\n");
    for (unsigned i = 0; i < GW_MAX_PREDICATES + 2; i++)
        gw_buf_printf(&yaml, "  - {name: p%u, type: trace_state, trace_state: {key: a, values: [b]}}\n", i);
    gw_buf_put_u8(&yaml, 0);
    (void)rig_read(&r, (const char *)yaml.p);
    assert_int_equal(r.diag.n_errors, 1);
    assert_non_null(strstr(r.said,
                           "test.yaml:258:50: error: policies::256::trace_state: more than 256 conditions on spans "
                           "in all policies together"));
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
    gw_buf_clear(&yaml);
}

/* A condition that propagates takes two. */
static void the_last_condition_may_need_two(void **state)
{
    struct rig r = {0};
    struct gw_buf yaml;

    (void)state;
    for (unsigned n = 254; n <= 256; n++) {
        gw_buf_init(&yaml, 1 << 20);
        gw_buf_put_str(&yaml, "policies:\n");
        for (unsigned i = 0; i < n; i++)
            gw_buf_printf(&yaml, "  - {name: p%u, type: trace_flags}\n", i);
        gw_buf_put_str(&yaml,
                       "  - {name: x, type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['name == "
                       "\"\"']}}\n");
        gw_buf_put_u8(&yaml, 0);
        (void)rig_read(&r, (const char *)yaml.p);
        assert_int_equal(r.diag.n_errors, n > 254);
        gw_diag_clear(&r.diag);
        gw_arena_clear(&r.conf);
        gw_buf_clear(&yaml);
    }
}

static void all_mistakes_are_told_at_once(void **state)
{
    struct rig r = {0};
    struct gw_err err = {""};

    (void)state;
    (void)rig_read(&r,
                   "policies:\n  - {name: a, type: numeric_attribute}\n  - {name: a, type: nope}\n  - {nam: b, type: "
                   "status_code, status_code: {status_codes: [X, Y]}}\n");
    assert_int_equal(r.diag.n_errors, 7);
    gw_test_env_init(&r.te, 1);
    assert_int_equal(gw_policies_new(&r.te.env, &r.c, NULL, &r.p, &err), -EINVAL);
    assert_string_equal(err.text, "policies::0: min_value or max_value must be set, and not to 0, which means unset");
    assert_null(r.p);
    gw_test_env_clear(&r.te);
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
}

/* Facts that were noted under one list are good for another whose predicates are the same. */
static uint64_t shape_of(const char *yaml, bool use_trace_state)
{
    struct rig r = {.c.use_trace_state = use_trace_state};
    uint64_t ret;

    rig_open(&r, yaml);
    ret = gw_policies_shape(r.p);
    rig_close(&r);
    return ret;
}

#define LIST(values, ms)                                                                                               \
    "policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: " values "}}, "                   \
    "{name: b, type: latency, latency: {threshold_ms: " ms "}}]"

static void shapes_tell_predicates_apart(void **state)
{
    uint64_t shape = shape_of(LIST("[a, b]", "5"), false);

    (void)state;
    assert_true(shape == shape_of(LIST("[a, b]", "5"), false));
    assert_true(shape ==
                shape_of("policies: [{name: c, type: and, and: {and_sub_policy: [{name: a, type: "
                         "string_attribute, string_attribute: {key: k, values: [a, b], invert_match: true}}]}}, "
                         "{name: x, type: always_sample}, "
                         "{name: b, type: latency, latency: {threshold_ms: 5}}]",
                         false));
    assert_true(shape != shape_of(LIST("[a, c]", "5"), false));
    assert_true(shape != shape_of(LIST("['a b']", "5"), false));
    assert_true(shape != shape_of(LIST("[a, b]", "6"), false));
    assert_true(shape != shape_of(LIST("[a, b]", "5"), true));
    assert_true(
        shape_of("policies: [{name: a, type: ottl_condition, ottl_condition: {span: ['name == \"a\"']}}]", false) !=
        shape_of("policies: [{name: a, type: ottl_condition, ottl_condition: {span: ['name == \"b\"']}}]", false));
    assert_true(shape != shape_of(LIST("[a, b], enabled_regex_matching: true", "5"), false));
}

/* ---- the page --------------------------------------------------------------------------------------------- */

static void is_told_of(const char *page, const struct gw_field *fields)
{
    char key[64];

    for (const struct gw_field *f = fields; f->name; f++) {
        (void)snprintf(key, sizeof(key), "`%s`", f->name);
        if (!strstr(page, key))
            fail_msg("docs/sampling-policies.md does not know %s", key);
        if (f->block)
            is_told_of(page, f->block);
    }
}

static void every_setting_is_in_the_docs(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/docs/sampling-policies.md", "r");
    char *page = calloc(1, 65536);

    (void)state;
    assert_non_null(f);
    assert_true(fread(page, 1, 65535, f) > 0);
    (void)fclose(f);
    is_told_of(page, gw_rule_fields[GW_AT_TOP]);
    for (unsigned i = 0; gw_policy_types[i]; i++)
        is_told_of(page, (const struct gw_field[]){{.name = gw_policy_types[i]}, {0}});
    free(page);
}

static void anomalous_names_a_detector(void **state)
{
    struct gw_policies_conf ingest = {.span_ingest = true};
    struct gw_buf yaml;

    (void)state;
    REFUSES("  - {name: a, type: anomalous}",
            "2:5: error: policies::0: must name a processor or connector of type anomaly");
    REFUSES("  - {name: a, type: anomalous, anomalous: {detecter: x}}",
            "2:44: error: unknown key \"detecter\" in policies::0::anomalous; did you mean \"detector\"?");
    REFUSES("  - {name: a, type: anomalous, anomalous: {detector: d, attributes: []}}",
            "2:69: error: policies::0::anomalous::attributes: without attributes there is no key");
    says_with(ingest, "  - {name: a, type: anomalous, anomalous: {detector: d}}",
              "2:5: error: policies::0: sampling_strategy \"span-ingest\" requires all policies to be stateless", true);
    gw_buf_init(&yaml, 1 << 20);
    for (unsigned i = 0; i < 9; i++)
        gw_buf_printf(&yaml, "  - {name: a%u, type: anomalous, anomalous: {detector: d, hold: %us}}\n", i, i + 1);
    gw_buf_put_u8(&yaml, 0);
    REFUSES((const char *)yaml.p, "10:44: error: policies::8::anomalous: more than 8 different");
    gw_buf_reset(&yaml);
    gw_buf_put_str(&yaml, "  - {name: a, type: anomalous, anomalous: {detector: d}}\n");
    for (unsigned i = 0; i < 65; i++)
        gw_buf_printf(&yaml, "  - {name: b%u, type: string_attribute, string_attribute: {key: k, values: [v]}}\n", i);
    gw_buf_put_u8(&yaml, 0);
    REFUSES((const char *)yaml.p, "2:3: error: policies: more than 64 conditions on spans beside policies of type "
                                  "anomalous");
    gw_buf_clear(&yaml);
}

static void count_id(void *arg, const char *id, const struct gw_place *place)
{
    struct gw_buf *b = arg;

    gw_buf_printf(b, "%s %u:%u\n", id, place->line, place->column);
}

/* Guarantees: ids of detectors are found wherever a policy may stand, with their places. */
static void detectors_are_found(void **state)
{
    struct rig r = {.c.share = 1};
    struct gw_buf ids;

    (void)state;
    gw_buf_init(&ids, 4096);
    (void)rig_read(&r, "policies:\n  - {name: a, type: anomalous, anomalous: {detector: d}}\n"
                       "  - {name: b, type: and, and: {and_sub_policy: [{name: c, type: not, not: {not_sub_policy:\n"
                       "     {name: e, type: anomalous, anomalous: {detector: d/2}}}}]}}\n");
    gw_policies_watched(&r.c, count_id, &ids);
    gw_buf_put_u8(&ids, 0);
    assert_string_equal((const char *)ids.p, "d 2:54\nd/2 4:55\n");
    gw_buf_clear(&ids);
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_there_and_differ),
        cmocka_unit_test(types_are_known_where_they_stand),
        cmocka_unit_test(blocks_are_spelt_right_and_belong_to_the_type),
        cmocka_unit_test(values_make_sense),
        cmocka_unit_test(what_never_matches_is_told),
        cmocka_unit_test(composites_are_looked_through),
        cmocka_unit_test(span_ingest_wants_stateless_policies),
        cmocka_unit_test(there_is_room_for_256_conditions),
        cmocka_unit_test(the_last_condition_may_need_two),
        cmocka_unit_test(all_mistakes_are_told_at_once),
        cmocka_unit_test(shapes_tell_predicates_apart),
        cmocka_unit_test(every_setting_is_in_the_docs),
        cmocka_unit_test(anomalous_names_a_detector),
        cmocka_unit_test(detectors_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
