/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/connectors/rollup/windows.h"

/*
 * Scenario:   the processor gets points that `where` selects, others, and a histogram.
 * Guarantees: the first are kept and become results in the same pipeline; the others pass at once, as they are.
 */
static void what_is_not_selected_passes(void **state)
{
    (void)state;
    open_rollup(GW_METRICS,
                "allowed_lateness: 0s\ntime: { bounded_delay: 2s }\nwhere: attributes[\"noisy\"] == true\n"
                "keys: { resource: [service.name] }\naggregates: [sum]",
                1);
    gauge(0, 4, 1, "{\"key\":\"noisy\",\"value\":{\"boolValue\":true}}");
    gauge(0, 5, 2, "{\"key\":\"noisy\",\"value\":{\"boolValue\":true}}");
    assert_int_equal(r.n_bodies, 0);
    gauge(0, 5, 4, "");
    assert_int_equal(r.n_rows, 1);
    assert_true(gw_joint_has(&r, "\"asDouble\":4"));
    assert_true(gw_joint_has(&r, "host.name"));
    gw_joint_send(&r, 0,
                  "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"h\",\"histogram\":{"
                  "\"aggregationTemporality\":1,\"dataPoints\":[{\"count\":\"0\",\"attributes\":[{\"key\":\"noisy\","
                  "\"value\":{\"boolValue\":true}}]}]}}]}]}]}");
    assert_int_equal(r.n_rows, 2);
    until(13.1);
    IS_TOLD("temperature.sum", 10, 3);
    assert_int_equal(r.settled[GW_ABSORBED], 2);
    assert_int_equal(r.settled[GW_DELIVERED], 2);
    close_rollup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_not_selected_passes)};

    gw_joint_kind = GW_PROCESSOR;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
