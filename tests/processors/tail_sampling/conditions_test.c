/* SPDX-License-Identifier: Apache-2.0 */
/* ottl_condition: the first span or event that says something decides, what fails counts only where it was asked for.
 */
#include "tests/processors/tail_sampling/rig.h"

#define ONE(block) "policies: [{name: p, type: ottl_condition, ottl_condition: {" block "}}]"
/* Fails for spans without a text of three letters in t. */
#define THREE "'Substring(attributes[\"t\"], 0, 3) == \"abc\"'"

static void any_condition_on_any_span(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r,
             ONE("span: ['attributes[\"a\"] == \"x\"', 'span.attributes[\"b\"] > 5 and resource.attributes[\"r\"] == "
                 "true']"));
    KEEPS(&r, {0}, {.attrs = TEXT("a", "x")});
    KEEPS(&r, {.attrs = INT("b", 6), .resource = BOOL("r", true)});
    LOSES(&r, {.attrs = INT("b", 6)}, {.resource = BOOL("r", true)}, {.attrs = TEXT("a", "y")});
    rig_close(&r);
}

static void conditions_stand_beside_others(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(
        &r, "policies: [{name: f, type: trace_flags}, {name: a, type: ottl_condition, ottl_condition: {span: ['name == "
            "\"x\"', 'attributes[\"a\"] == 1']}}, {name: b, type: ottl_condition, ottl_condition: {error_mode: "
            "propagate, span: ['attributes[\"b\"] == 1']}}]");
    LOSES(&r, {0});
    KEEPS(&r, {.flags = 1});
    assert_string_equal(r.verdict.policy, "f");
    KEEPS(&r, {.attrs = INT("a", 1)});
    assert_string_equal(r.verdict.policy, "a");
    KEEPS(&r, {.attrs = INT("b", 1)});
    assert_string_equal(r.verdict.policy, "b");
    rig_close(&r);
}

static void events_have_conditions_of_their_own(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("spanevent: ['name == \"exception\"', 'spanevent.attributes[\"e\"] == 1']"));
    KEEPS(&r, {0}, {.events = "{\"name\":\"x\"},{\"name\":\"exception\"}"});
    KEEPS(&r, {.events = "{\"attributes\":[" INT("e", 1) "]}"});
    LOSES(&r, {.events = "{\"name\":\"x\",\"attributes\":[" INT("e", 2) "]}"}, {.attrs = INT("e", 1)});
    rig_close(&r);
}

#define ERRORS "otelcol_processor_tail_sampling_sampling_policy_evaluation_error"

static void what_fails_is_no_match_unless_it_propagates(void **state)
{
    static const char *const modes[] = {"", "error_mode: ignore, ", "error_mode: silent, "};
    char yaml[256];
    struct rig r = {.c.share = 1};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        r.c.share = 1;
        (void)snprintf(yaml, sizeof(yaml), ONE("%sspan: [" THREE ", 'attributes[\"a\"] == \"x\"']"), modes[i]);
        rig_open(&r, yaml);
        KEEPS(&r, {.attrs = TEXT("t", "z")}, {.attrs = TEXT("t", "abcd")});
        KEEPS(&r, {.attrs = TEXT("t", "z") "," TEXT("a", "x")});
        LOSES(&r, {.attrs = TEXT("t", "z")});
        assert_int_equal(rig_metric(&r, ERRORS), 0);
        rig_close(&r);
    }
}

/* A policy that fails has no say: others decide. */
static void the_first_span_that_says_something_decides(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r,
             "policies: [{name: p, type: ottl_condition, ottl_condition: {error_mode: propagate, span: [" THREE
             "], spanevent: ['name == \"e\"']}}, {name: s, type: status_code, status_code: {status_codes: [ERROR]}}]");
    KEEPS(&r, {.attrs = TEXT("t", "abc")}, {.attrs = TEXT("t", "z")});
    assert_int_equal(rig_metric(&r, ERRORS), 0);
    assert_true(gw_policies_is_settled(r.p, r.id, &r.facts));
    LOSES(&r, {.attrs = TEXT("t", "xyz")}, {.attrs = TEXT("t", "z"), .events = "{\"name\":\"e\"}"},
          {.attrs = TEXT("t", "abc")});
    assert_int_equal(rig_metric(&r, ERRORS), 1);
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    KEEPS(&r, {.attrs = TEXT("t", "z")}, {.attrs = TEXT("t", "abc"), .status = 2});
    assert_string_equal(r.verdict.policy, "s");
    assert_true(gw_policies_is_settled(r.p, r.id, &r.facts));
    KEEPS(&r, {.attrs = TEXT("t", "xyz"), .events = "{\"name\":\"e\"}"}, {.attrs = TEXT("t", "z")});
    assert_string_equal(r.verdict.policy, "p");
    assert_int_equal(rig_metric(&r, ERRORS), 2);
    rig_close(&r);
}

static void what_failed_is_settled(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("error_mode: propagate, span: [" THREE "]"));
    LOSES(&r, {.attrs = TEXT("t", "xyz")});
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    LOSES(&r, {.attrs = TEXT("t", "z")});
    assert_true(gw_policies_is_settled(r.p, r.id, &r.facts)); /* nobody else has a say */
    rig_close(&r);
    rig_open(&r,
             "policies: [{name: c, type: composite, composite: {composite_sub_policy: [{name: o, type: ottl_condition, "
             "ottl_condition: {error_mode: propagate, span: [" THREE "]}}, {name: a, type: always_sample}]}}]");
    LOSES(&r, {.attrs = TEXT("t", "xyz")});
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    LOSES(&r, {.attrs = TEXT("t", "z")});
    assert_true(gw_policies_is_settled(r.p, r.id, &r.facts)); /* a is not asked */
    rig_close(&r);
}

/* An error goes up through policies of policies; `and` is not asked for more once a part said no. */
static void errors_inside_of_others(void **state)
{
    static const char *const outer[] = {
        "type: and, and: {and_sub_policy: [{name: f, type: trace_flags}, %s]}",
        "type: drop, drop: {drop_sub_policy: [{name: f, type: trace_flags}, %s]}",
        "type: not, not: {not_sub_policy: %s}",
        "type: composite, composite: {max_total_spans_per_second: 1, composite_sub_policy: [%s]}",
    };
    static const char inner[] =
        "{name: o, type: ottl_condition, ottl_condition: {error_mode: propagate, span: [" THREE "]}}";
    char yaml[512], policy[384];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct rig r = {.c.share = 1};
        char *at = strstr(outer[i], "%s");

        (void)snprintf(policy, sizeof(policy), "%.*s%s%s", (int)(at - outer[i]), outer[i], inner, at + 2);
        (void)snprintf(yaml, sizeof(yaml), "policies: [{name: p, %s}]", policy);
        rig_open(&r, yaml);
        LOSES(&r, {.attrs = TEXT("t", "z"), .flags = 1});
        assert_int_equal(rig_metric(&r, ERRORS), 1);
        LOSES(&r, {.attrs = TEXT("t", "z")});
        assert_int_equal(rig_metric(&r, ERRORS), i < 2 ? 1 : 2);
        rig_close(&r);
    }
}

static void mistakes_are_told_where_they_are(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    (void)rig_read(&r, "policies:\n  - name: a\n    type: ottl_condition\n    ottl_condition:\n      span:\n"
                       "        - name == \"x\"\n        - nmae == \"x\"\n");
    assert_non_null(
        strstr(r.said, "test.yaml:7:11: error: policies::0::ottl_condition::span::1: 1:1 of the condition: "));
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
    /* what is worked out while compiling needs no clock */
    (void)rig_read(&r, ONE("span: ['span.start_time < Time(\"2025-11-24\", \"%Y-%m-%d\")']"));
    assert_string_equal(r.said, "");
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
    (void)rig_read(&r, "policies: [{name: a, type: ottl_condition, ottl_condition: {error_mode: ignore}}]");
    assert_non_null(strstr(r.said, "policies::0::ottl_condition: expected at least one OTTL condition to filter on"));
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_condition_on_any_span),
        cmocka_unit_test(conditions_stand_beside_others),
        cmocka_unit_test(events_have_conditions_of_their_own),
        cmocka_unit_test(what_fails_is_no_match_unless_it_propagates),
        cmocka_unit_test(the_first_span_that_says_something_decides),
        cmocka_unit_test(what_failed_is_settled),
        cmocka_unit_test(errors_inside_of_others),
        cmocka_unit_test(mistakes_are_told_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
