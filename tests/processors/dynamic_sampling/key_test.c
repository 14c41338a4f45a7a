/* SPDX-License-Identifier: Apache-2.0 */
/* Of what kind a trace is: the Collector's key of its attributes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "processors/dynamic_sampling/rules.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

#define TEXT(k, v)            "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define SPANS(service, spans) "{\"resource\":{\"attributes\":[" TEXT("service.name", service) "]}," spans "}"
#define SPAN(attributes)                                                                                               \
    "{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\",\"attributes\":[" attributes "]}"

/* Three spans, of stock, shop and stock; the first is the root. */
static const char request[] = "{\"resourceSpans\":[" SPANS(
    "stock",
    "\"scopeSpans\":[{\"scope\":{\"name\":\"lib\",\"attributes\":[" TEXT("lib", "http") "]},\"spans\":[" SPAN(
        TEXT("a", "2") "," TEXT(
            "b", "root")) "]}]") "," SPANS("shop",
                                           "\"scopeSpans\":[{\"spans\":[" SPAN(
                                               "{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}," TEXT(
                                                   "b", "child")) "]}]") "," SPANS("stock",
                                                                                   "\"scopeSpans\":[{\"spans\":[" SPAN(
                                                                                       TEXT("a", "2")) "]}]") "]}";

static bool is_first(void *arg, const struct gw_view *v, uint32_t row)
{
    (void)arg;
    (void)v;
    return row == 0;
}

static struct gw_view v;
static struct gw_arena arena;
static struct gw_test_env te;
static struct gw_meter *meter;

static int open_trace(void **state)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_buf wire;
    struct gw_ref at;

    (void)state;
    gw_test_env_init(&te, 1);
    meter = gw_meter_new();
    gw_arena_init(&arena, 64 << 10, 64 << 20);
    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(GW_TRACES, gw_slice_cstr(request), &limits, &wire, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err), 0);
    gw_buf_clear(&wire);
    gw_view_init(&v, b, &arena);
    (void)gw_batch_unref(b);
    return 0;
}

static int close_trace(void **state)
{
    (void)state;
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_meter_free(meter);
    gw_test_env_clear(&te);
    return 0;
}

static void expect(const char *const *selectors, size_t n, bool length, const char *key)
{
    struct gw_ds_rule_conf rule = {.name = "x",
                                   .sampler = {.type = GW_DS_THROUGHPUT,
                                               .goal_throughput = 1,
                                               .fingerprint = {(void *)(uintptr_t)selectors, n, sizeof(char *)},
                                               .interval_ns = 1000000000,
                                               .trace_length = length}};
    struct gw_list list = {&rule, 1, sizeof(rule)};
    struct gw_ds_trace t = {.v = &v, .begin = 0, .end = 3, .is_root = is_first};
    struct gw_ds_rules rules = {0};
    struct gw_err err = {""};
    struct gw_slice ours;

    if (gw_ds_rules_init(&rules, &list, &te.env, meter, 1, &err) < 0)
        fail_msg("%s", err.text);
    ours = gw_ds_rule_key(&rules, 0, &t);
    if (!gw_slice_is(ours, key))
        fail_msg("\"%.*s\", not \"%s\"", (int)ours.n, (const char *)ours.p, key);
    gw_ds_rules_clear(&rules);
}

#define KEY(key, ...)                                                                                                  \
    expect((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), false, key)

/*
 * Scenario    keys of resources, scopes, spans, the root, and wherever; of several attributes, of none that is there
 * Guarantees  distinct values, sorted, with commas; attributes with bullets; <missing> for none: the Collector's keys
 */
static void keys_are_the_collectors(void **state)
{
    (void)state;
    KEY("shop,stock", "resource.attributes[\"service.name\"]");
    KEY("1,2•shop,stock", "span.attributes[\"a\"]", "any.attributes[\"service.name\"]");
    KEY("2•root•child,root", "root.attributes[\"a\"]", "root.attributes[\"b\"]", "b");
    KEY("http•<missing>", "scope.attributes[\"lib\"]", "span.attributes[\"lib\"]");
    expect((const char *const[]){"a"}, 1, true, "1,2•3");
}

/*
 * Scenario    selectors that are none
 * Guarantees  each is refused with the reason
 */
static void selectors_are_checked(void **state)
{
    static const char *const bad[][2] = {
        {"", "is no attribute"},
        {"span.attributes[\"\"]", "must name one"},
        {"span.attributes[\"a\"", "must name one"},
        {"span.attributes[\"a\"][\"b\"]", "must name one"},
        {"row.attributes[\"a\"]", "begins with none"},
        {"attributes[\"a\"]", "is no attribute"},
    };
    struct gw_ds_selector s;

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gw_err err = {""};

        assert_int_equal(gw_ds_selector_parse(bad[i][0], &s, &err), -EINVAL);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("%s: \"%s\"", bad[i][0], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_the_collectors, open_trace, close_trace),
        cmocka_unit_test(selectors_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
