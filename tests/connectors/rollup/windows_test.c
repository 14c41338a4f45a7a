/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and sliding windows, one rule at a time; what they come to in any order is property_test.c's. */
#include "tests/connectors/rollup/windows.h"

#define SESSIONS "windows: [ { type: session, gap: 3s, max_size: 20s } ]\naggregates: [sum]\n"

/*
 * Scenario:   records a gap apart, a little more than that, and one that bridges two sessions, out of order.
 * Guarantees: the window begins with the first and ends a gap behind the last; it is told when the watermark has passed
 *             that and the lateness; two that a late record bridges are one.
 */
static void sessions_grow_and_join(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "allowed_lateness: 5s\ntime: { bounded_delay: 0s }\n" SESSIONS, 1);
    gauge(0, 1, 1, STR("a", "x"));
    gauge(0, 4, 2, STR("a", "x")); /* exactly a gap */
    gauge(0, 4, 4, STR("a", "y"));
    gauge(0, 9, 8, STR("a", "y"));
    until(9);
    gauge(0, 6.5, 16, STR("a", "y")); /* between */
    until(12.9);
    assert_int_equal(r.n_bodies, 0);
    until(14);
    IS_TOLD("temperature.sum", 7, 3, "a=x");
    assert_int_equal(TOLD("temperature.sum", 7).start_s, 1);
    until(20);
    IS_TOLD("temperature.sum", 12, 28, "a=y");
    assert_int_equal(TOLD("temperature.sum", 12, "a=y").start_s, 4);
    assert_true(gw_joint_metric(&r, "staunch_rollup_results{component=\"rollup\",signal=\"metrics\"}") == 2);
    assert_true(gw_joint_metric(&r, "staunch_rollup_panes{component=\"rollup\",signal=\"metrics\"}") == 0);
    close_rollup();
}

/*
 * Scenario:   a record whose own gap and lateness the watermark has passed; one that is near a session that has ended.
 * Guarantees: the first leaves by the late port; the second begins a session of its own, whether the one before it was
 *             told already or not.
 */
static void a_session_that_has_ended_takes_nothing(void **state)
{
    for (unsigned is_told = 0; is_told < 2; is_told++) {
        (void)state;
        open_rollup(GW_METRICS, "allowed_lateness: 0s\ntime: { bounded_delay: 0s }\n" SESSIONS, 1);
        gauge(0, 4, 1, "");
        if (is_told) {
            until(8.6);
            IS_TOLD("temperature.sum", 7, 1);
        } else {
            gw_test_env_advance(&r.te, 2 * S); /* what comes moves the watermark, to 7.678; nobody ticks */
            gauge(0, 20, 0, STR("a", "other"));
        }
        gauge(0, 4, 2, "");
        assert_int_equal(r.n_side, 1);
        gauge(0, 7, 4, "");
        until(30);
        IS_TOLD("temperature.sum", 7, 1, "a");
        IS_TOLD("temperature.sum", 10, 4, "a");
        close_rollup();
    }
}

/*
 * Scenario:   a session over a multiple of max_size, shorter than that; one that is longer.
 * Guarantees: the first is whole; the second is cut at the multiples, and its first part leaves before the last ends.
 */
static void long_sessions_are_cut(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "allowed_lateness: 0s\ntime: { bounded_delay: 1s }\n" SESSIONS, 1);
    for (double at = 6; at <= 22; at += 2) { /* multiples of max_size: 20, 40 and 60 */
        until(at);
        gauge(0, at, 1, STR("a", "short"));
    }
    for (double at = 23; at <= 63; at += 2) {
        until(at);
        gauge(0, at, 1, STR("a", "long"));
    }
    IS_TOLD("temperature.sum", 25, 9, "a=short");
    assert_int_equal(TOLD("temperature.sum", 25).start_s, 6);
    IS_TOLD("temperature.sum", 40, 9, "a=long"); /* 23 to 39 */
    IS_TOLD("temperature.sum", 60, 10, "a=long");
    assert_int_equal(TOLD("temperature.sum", 60).start_s, 41);
    until(80);
    IS_TOLD("temperature.sum", 66, 2, "a=long");
    close_rollup();
}

/*
 * Scenario:   hopping and sliding windows of one shape, with lateness; a record that is late for the sliding one.
 * Guarantees: a sliding window does not wait; what comes behind it is in those that have not ended, and counted as
 *             missed by the others. Each says which it is.
 */
static void sliding_windows_do_not_wait(void **state)
{
    (void)state;
    open_rollup(GW_METRICS,
                "allowed_lateness: 20s\ntime: { bounded_delay: 0s, max_future: 1m }\naggregates: [sum]\n"
                "windows: [ { type: hopping, size: 10s, slide: 5s }, { type: sliding, size: 10s, slide: 5s } ]",
                1);
    gauge(0, 4, 1, "");
    until(11.5);
    IS_TOLD("temperature.sum", 5, 1, "rollup.window=last 10s/5s");
    IS_TOLD("temperature.sum", 10, 1, "rollup.window=last 10s/5s");
    assert_int_equal(TOLD("temperature.sum", 5, "rollup.window=10s/5s").times, 0);
    gauge(0, 8, 2, "");
    assert_int_equal(r.n_side, 0);
    until(60);
    IS_TOLD("temperature.sum", 10, 1, "rollup.window=last 10s/5s");
    IS_TOLD("temperature.sum", 15, 2, "rollup.window=last 10s/5s");
    IS_TOLD("temperature.sum", 10, 3, "rollup.window=10s/5s");
    IS_TOLD("temperature.sum", 15, 2, "rollup.window=10s/5s");
    close_rollup();
}

/* Scenario: sessions of several gaps beside others. Guarantees: each has its own panes. */
static void sessions_stand_beside_others(void **state)
{
    (void)state;
    open_rollup(GW_METRICS,
                "allowed_lateness: 0s\ntime: { bounded_delay: 0s }\naggregates: [p50, sum]\nwindows: [ { size: 10s }, "
                "{ type: session, gap: 2s }, { type: session, gap: 5s } ]",
                1);
    gauge(0, 2, 1, "");
    gauge(0, 6, 2, "");
    until(20);
    IS_TOLD("temperature.sum", 10, 3, "rollup.window=10s");
    IS_TOLD("temperature.sum", 4, 1, "rollup.window=session 2s");
    IS_TOLD("temperature.sum", 8, 2, "rollup.window=session 2s");
    IS_TOLD("temperature.sum", 11, 3, "rollup.window=session 5s");
    assert_true(TOLD("temperature.p50", 11).value > 0.9);
    close_rollup();
}

static void settings_are_checked(void **state)
{
    (void)state;
    gw_joint_refuses("rollup", "windows: [ { type: session } ]", "needs a gap");
    gw_joint_refuses("rollup", "windows: [ { type: session, gap: 10s, max_size: 5s } ]", "to its max_size");
    gw_joint_refuses("rollup", "windows: [ { type: session, gap: 10s, size: 5s } ]", "neither size nor slide");
    gw_joint_refuses("rollup", "windows: [ { type: session, gap: 1ms } ]", "less than 1/10000");
    gw_joint_refuses("rollup", "windows: [ { type: session, gap: 1s }, { type: session, gap: 1s, max_size: 1h } ]",
                     "twice");
    gw_joint_refuses("rollup", "windows: [ { size: 10s, gap: 5s } ]", "only a session");
    gw_joint_refuses("rollup", "windows: [ { type: sliding, size: 10s } ]", "sliding window needs a slide");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_grow_and_join),       cmocka_unit_test(a_session_that_has_ended_takes_nothing),
        cmocka_unit_test(long_sessions_are_cut),        cmocka_unit_test(sliding_windows_do_not_wait),
        cmocka_unit_test(sessions_stand_beside_others), cmocka_unit_test(settings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
