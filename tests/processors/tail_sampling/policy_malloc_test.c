/* SPDX-License-Identifier: Apache-2.0 */
/* Without memory a list of policies is not made, at whatever allocation it ends, and nothing of it is left. */
#include "pipeline/alarms.h"
#include "tests/harness_malloc.h"
#include "tests/processors/tail_sampling/rig.h"

static const char yaml[] =
    "policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: [x, y]}}, "
    "{name: b, type: string_attribute, string_attribute: {key: k, values: ['x+', 'y'], enabled_regex_matching: true}}, "
    "{name: c, type: ottl_condition, ottl_condition: {span: ['name == \"x\"'], spanevent: ['name == \"y\"']}}, "
    "{name: d, type: and, and: {and_sub_policy: [{name: e, type: trace_state, trace_state: {key: k, values: [v]}}]}}, "
    "{name: f, type: composite, composite: {max_total_spans_per_second: 5, composite_sub_policy: [{name: g, type: "
    "always_sample}], rate_allocation: [{policy: g, percent: 100}]}}, "
    "{name: h, type: anomalous, anomalous: {detector: d, attributes: [k, l]}}]";

static void a_list_is_made_or_refused(void **state)
{
    struct rig r = {.c.share = 1};
    struct gw_err err = {""};
    uint64_t n = 0;
    int rc, failed;

    (void)state;
    gw_test_env_init(&r.te, 1);
    r.c.alarms = gw_alarms_new();
    (void)rig_read(&r, yaml);
    assert_int_equal(r.diag.n_errors, 0);
    do {
        r.meter = gw_meter_new();
        gw_malloc_fail_at(++n);
        rc = gw_policies_new(&r.te.env, &r.c, r.meter, &r.p, &err);
        failed = gw_malloc_failed();
        gw_malloc_fail_at(0);
        if (rc == -ENOMEM)
            assert_null(r.p);
        else
            assert_int_equal(rc, 0);
        gw_policies_free(r.p);
        r.p = NULL;
        gw_meter_free(r.meter);
    } while (failed);
    assert_true(n > 10);
    r.meter = NULL;
    gw_alarms_free(r.c.alarms);
    gw_diag_clear(&r.diag);
    gw_arena_clear(&r.conf);
    gw_test_env_clear(&r.te);
}

/* Asking a view and deciding takes what it needs from the view's arena. */
static void asking_and_deciding_takes_nothing(void **state)
{
    const struct span spans[] = {{.attrs = TEXT("k", "x")}, {.state = "k=v"}, {.status = 2}};
    struct rig r = {.c.share = 1};
    struct gw_view v;
    uint64_t before = 0;

    (void)state;
    rig_open(&r, yaml);
    rig_view(&r, spans, 3, &v);
    for (unsigned turn = 0; turn < 4; turn++) {
        const uint64_t(*bits)[GW_FACT_WORDS] = gw_policies_ask(r.p, &v);

        for (uint32_t row = 0; row < 3; row++)
            gw_policies_note(r.p, &r.facts, &v, row, bits[row]);
        (void)rig_decide(&r);
        if (turn == 1) /* until the composite has nothing left each turn makes a series */
            before = gw_malloc_count();
    }
    assert_int_equal(gw_malloc_count(), before);
    v.arena->max_bytes = 0;
    gw_arena_clear(v.arena);
    assert_null(gw_policies_ask(r.p, &v));
    gw_view_clear(&v);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_made_or_refused),
        cmocka_unit_test(asking_and_deciding_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
