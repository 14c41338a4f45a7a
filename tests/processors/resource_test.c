/* SPDX-License-Identifier: Apache-2.0 */
/* resource: the actions are tested with attributes; here, that they act on resources. */
#include "tests/harness_processor.h"

static struct gw_proc_rig r;

/*
 * Scenario: one upsert, one delete, for each signal
 * Guarantees: the resource's attributes change, the row's do not; one patch a resource
 */
static void the_resource_is_changed_in_every_signal(void **state)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    const char *attribute = "{\"key\":\"zone\",\"value\":{\"stringValue\":\"row\"}}";

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        gw_proc_open(&r, "resource", signals[i],
                     "attributes: [{key: env, value: prod, action: upsert}, {key: zone, action: delete}]");
        gw_proc_send(&r, signals[i] == GW_TRACES    ? gw_proc_span("", attribute)
                         : signals[i] == GW_METRICS ? gw_proc_point("", attribute)
                                                    : gw_proc_log("", attribute));
        assert_true(gw_proc_has(&r,
                                "\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":"
                                "\"shop\"}},{\"key\":\"env\",\"value\":{\"stringValue\":\"prod\"}}]}"));
        assert_true(gw_proc_has(&r, attribute));
        gw_proc_close(&r);
    }
}

/*
 * Scenario: a request without a Resource message
 * Guarantees: one is made to hold the attribute
 */
static void a_missing_resource_gets_the_attribute(void **state)
{
    (void)state;
    gw_proc_open(&r, "resource", GW_LOGS, "attributes: [{key: env, value: prod, action: insert}]");
    gw_proc_send(&r, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityText\":\"x\"}]}]}]}");
    assert_true(
        gw_proc_has(&r, "\"resource\":{\"attributes\":[{\"key\":\"env\",\"value\":{\"stringValue\":\"prod\"}}]}"));
    gw_proc_close(&r);
}

/*
 * Scenario: no actions, and one with a mistake
 * Guarantees: told at the place
 */
static void mistakes_are_told(void **state)
{
    (void)state;
    gw_proc_refuses("resource", "{}", "missing required field \"attributes\"");
    gw_proc_refuses("resource", "attributes:\n- {key: a, action: insert}",
                    "test.yaml:2:3: error: error with key \"a\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_resource_is_changed_in_every_signal),
        cmocka_unit_test(a_missing_resource_gets_the_attribute),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
