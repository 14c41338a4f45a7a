/* SPDX-License-Identifier: Apache-2.0 */
/* A cascade: a point goes into a pane of the smallest window, and panes that have ended into those of larger ones. */
#include "tests/connectors/rollup/windows.h"

#define CASCADE                                                                                                        \
    "windows: [ { size: 1h }, { size: 10s }, { size: 1m } ]\nallowed_lateness: 5s\ntime: { bounded_delay: 0s }\n"

static double panes(void)
{
    return gw_joint_metric(&r, "staunch_rollup_panes{component=\"rollup\",signal=\"metrics\"}");
}

static double sum_of_hour(void)
{
    for (unsigned end = 60; end <= 3600; end += 60) {
        struct found f = TOLD("temperature.sum", end, "rollup.window=1h");

        if (f.times)
            return f.value;
    }
    return -1;
}

/*
 * Scenario    10 s, a minute, an hour; points, one of them too late for its 10 s, one for its minute
 * Guarantees  one pane a point's 10 s, which becomes the minute's and then the hour's when it has ended; each window
 * has all that was not too late for it
 */
static void panes_go_up(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, CASCADE "aggregates: [sum, count, min, max, avg, last, p99, distinct]\nitem: i", 1);
    gauge(0, 6, 1, INT("i", "1"));
    gauge(0, 12, 2, INT("i", "1"));
    until(13);
    assert_true(panes() == 2);
    until(27);
    IS_TOLD("temperature.sum", 10, 1, "rollup.window=10s");
    IS_TOLD("temperature.sum", 20, 2, "rollup.window=10s");
    assert_true(panes() == 1); /* of the minute */
    gauge(0, 13, 4, INT("i", "1"));
    until(50);
    gauge(0, 55, 8, INT("i", "1"));
    until(66.5);
    IS_TOLD("temperature.sum", 60, 15, "rollup.window=1m");
    IS_TOLD("temperature.count", 60, 4, "rollup.window=1m");
    IS_TOLD("temperature.min", 60, 1, "rollup.window=1m");
    IS_TOLD("temperature.max", 60, 8, "rollup.window=1m");
    IS_TOLD("temperature.last", 60, 8, "rollup.window=1m");
    IS_TOLD("temperature.distinct", 60, 1, "rollup.window=1m");
    assert_true(panes() == 1); /* of the hour */
    gauge(0, 50, 16, INT("i", "1"));
    assert_true(r.settled[GW_DROPPED] == 0 && r.n_side == 0);
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_true(sum_of_hour() == 31);
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
}

static double panes_of(const char *yaml)
{
    double n;

    open_rollup(GW_METRICS, yaml, 1);
    gauge(0, 6, 1, INT("i", "1"));
    until(6);
    n = panes();
    close_rollup();
    return n;
}

/*
 * Guarantees  windows whose panes are no multiples, sliding ones, which end sooner, results before the end and
 * aggregates whose merges have an order have panes of their own
 */
static void others_stand_alone(void **state)
{
    (void)state;
    assert_true(panes_of("windows: [ { size: 1m }, { size: 10s } ]") == 1);
    assert_true(panes_of("windows: [ { size: 10s }, { type: hopping, size: 1m, slide: 10s } ]") == 1);
    assert_true(panes_of("windows: [ { size: 10s }, { size: 15s } ]") == 2);
    assert_true(panes_of("windows: [ { size: 10s }, { size: 20s }, { size: 30s } ]") == 2);
    assert_true(panes_of("windows: [ { type: hopping, size: 20s, slide: 10s }, { size: 20s } ]") == 2);
    assert_true(panes_of("windows: [ { size: 10s }, { type: sliding, size: 1m, slide: 10s } ]") == 2);
    assert_true(panes_of("windows: [ { size: 10s }, { type: session, gap: 1s } ]") == 2);
    assert_true(panes_of("windows: [ { size: 10s }, { size: 1m } ]\nemit: { mode: eager }") == 2);
    assert_true(panes_of("windows: [ { size: 10s }, { size: 1m } ]\naggregates: [top]\nitem: i") == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(panes_go_up), cmocka_unit_test(others_stand_alone)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
