/* SPDX-License-Identifier: Apache-2.0 */
/* Points that go on from their start: what they went up by is in the windows. Everything begins at second 5.678. */
#include "tests/connectors/rollup/windows.h"

#include "tests/harness_engine.h"

#define SUMS   "aggregates: [sum, count, rate]\nkeys: { resource: [service.name] }\nallowed_lateness: 20s\n"
#define POD(n) INT("pod", #n)

/*
 * Scenario    two pods' counters, of which the keys keep nothing; the first one began before the rollup, the second one
 *             behind it
 * Guarantees  each has its own increases, whatever the other says, and the series has their sum; what the second one
 *             says first was counted since its start; rate is by the seconds of the window, in {r}/s
 */
static void increases_of_streams_add_up(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, SUMS, 1);
    counter(0, 6, 1, 1000, POD(1));
    counter(0, 9, 1, 1007, POD(1));
    counter(0, 9, 7, 5, POD(2));
    counter(0, 12, 1, 1010, POD(1));
    counter(0, 13, 7, 6, POD(2));
    assert_int_equal(r.settled[GW_ABSORBED], 5);
    until(60);
    IS_TOLD("temperature.sum", 10, 12);
    IS_TOLD("temperature.count", 10, 2);
    IS_TOLD("temperature.rate", 10, 1.2);
    IS_TOLD("temperature.sum", 20, 4);
    IS_TOLD("temperature.count", 20, 2);
    f = TOLD("temperature.sum", 20);
    assert_true(f.metric->sum->is_monotonic);
    assert_int_equal(f.metric->sum->aggregation_temporality, 1);
    f = TOLD("temperature.rate", 20);
    assert_true(IS(f.metric, GAUGE));
    assert_string_equal(f.metric->unit, "{r}/s");
    close_rollup();
}

/*
 * Scenario    points out of their order by less than the lateness, one twice, two at one time; then one that is too
 * late to be put in order, though its window is open Guarantees  each window has what was counted in it, as if they had
 * come in their order; the late one leaves by the port
 */
static void the_order_makes_no_difference(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, SUMS "windows: [ { size: 10s }, { size: 60s } ]", 1);
    counter(0, 13, 1, 130, "");
    counter(0, 6, 1, 60, "");
    counter(0, 9, 1, 91, "");
    counter(0, 9, 1, 90, "");
    counter(0, 9, 1, 91, "");
    counter(0, 7, 1, 70, "");
    until(40);
    IS_TOLD("temperature.sum", 10, 31, "rollup.window=10s");
    IS_TOLD("temperature.count", 10, 3, "rollup.window=10s");
    until(48);
    IS_TOLD("temperature.sum", 20, 39, "rollup.window=10s");
    counter(0, 8, 1, 80, "");
    assert_int_equal(r.n_side, 1);
    counter(0, 13, 1, 130, ""); /* once more, though it has counted */
    assert_int_equal(r.n_side, 1);
    until(100);
    IS_TOLD("temperature.sum", 60, 70, "rollup.window=1m");
    IS_TOLD("temperature.count", 60, 4, "rollup.window=1m");
    close_rollup();
}

/*
 * Scenario    a counter that begins anew: its start says so, its value does
 * Guarantees  what it says then was counted since
 */
static void resets_are_seen(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, SUMS, 1);
    counter(0, 6, 1, 100, "");
    counter(0, 7, 6.5, 120, "");
    counter(0, 8, 6.5, 20, "");
    counter(0, 9, 6.5, 50, "");
    until(60);
    IS_TOLD("temperature.sum", 10, 120 + 20 + 30);
    close_rollup();
}

static double first_counts(const char *settings, double start)
{
    char yaml[256];
    struct found f;

    (void)snprintf(yaml, sizeof(yaml), SUMS "cumulative: { %s }", settings);
    open_rollup(GW_METRICS, yaml, 1);
    counter(0, 9, start, 7, "");
    until(60);
    f = TOLD("temperature.sum", 10);
    close_rollup();
    return f.times ? f.value : -1;
}

/*
 * Guarantees  the first point of a stream counts as initial_value says; a window that has only one that counts nothing
 *             has no result
 */
static void first_points_count_as_told(void **state)
{
    (void)state;
    assert_true(first_counts("initial_value: auto", 7) == 7);
    assert_true(first_counts("initial_value: auto", 1) == -1); /* before the rollup did */
    assert_true(first_counts("initial_value: auto", 9) == -1); /* it does not know since when */
    assert_true(first_counts("max_staleness: 1s", 7) == -1);   /* one that was forgotten may have begun then */
    assert_true(first_counts("initial_value: keep", 1) == 7);
    assert_true(first_counts("initial_value: drop", 7) == -1);
}

static double streams(void)
{
    return gw_joint_metric(&r, "staunch_rollup_streams{component=\"rollup\",signal=\"metrics\"}");
}

/*
 * Scenario    a stream that falls silent for less than max_staleness, and for longer
 * Guarantees  what it went up by meanwhile is where it is heard of again; after that it begins anew, takes no memory,
 * and what it had counted is not counted again
 */
static void silent_streams_are_forgotten(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, SUMS "cumulative: { max_staleness: 40s }", 1);
    counter(0, 7, 6, 100, "");
    until(30);
    counter(0, 35, 6, 130, "");
    until(100);
    IS_TOLD("temperature.sum", 10, 100);
    IS_TOLD("temperature.sum", 40, 30);
    assert_true(streams() == 1);
    until(140);
    assert_true(streams() == 0);
    counter(0, 140, 6, 200, "");
    counter(0, 142, 6, 205, "");
    until(200);
    IS_TOLD("temperature.sum", 150, 5);
    until(400);
    assert_true(streams() == 0);
    close_rollup();
}

/*
 * Scenario    one series only: streams of another go into the overflow; then there is room again
 * Guarantees  the overflow has what they went up by; with a series of their own they do not count from their start
 * again
 */
static void overflows_count_once(void **state)
{
    (void)state;
    open_rollup(GW_METRICS,
                "aggregates: [sum]\nallowed_lateness: 0s\nmax_series: 1\ncumulative: { max_staleness: 20s }", 1);
    until(9);
    counter(0, 6, 1, 10, POD(1));
    counter(0, 7, 6, 20, POD(2));
    counter(0, 9, 6, 23, POD(2));
    until(20);
    IS_TOLD("temperature.sum", 10, 3);
    until(60);
    counter(0, 60, 6, 30, POD(2));
    counter(0, 65, 6, 31, POD(2));
    until(90);
    IS_TOLD("temperature.sum", 70, 1, "pod=#2");
    close_rollup();
}

static void one_that_gets_room(unsigned pod)
{
    char attr[100];

    (void)snprintf(attr, sizeof(attr), INT("pod", "%u"), pod);
    open_rollup(GW_METRICS,
                "aggregates: [sum]\nallowed_lateness: 0s\nmax_series: 2\ncumulative: { max_staleness: 20s }", 1);
    until(9);
    counter(0, 8, 1, 10, POD(1));
    counter(0, 8, 1, 10, POD(2));
    counter(0, 9, 1, 20, attr);
    until(25);
    counter(0, 25, 1, 23, attr);
    until(42);
    counter(0, 41, 1, 40, attr);
    counter(0, 43, 1, 41, attr);
    until(90);
    IS_TOLD("temperature.sum", 30, 3);
    (void)snprintf(attr, sizeof(attr), "pod=#%u", pod);
    IS_TOLD("temperature.sum", 50, 1, attr);
    close_rollup();
}

/*
 * Scenario    a stream goes on in the overflow when there is room for its series again; whichever shard that is in
 * Guarantees  it counts there, anew, and not in the overflow
 */
static void streams_leave_the_overflow(void **state)
{
    (void)state;
    for (unsigned pod = 100; pod < 150; pod++)
        one_that_gets_room(pod);
}

/*
 * Scenario    not a number, infinite, negative, from before its start; a counter where there are sessions
 * Guarantees  they are dropped by name, and the counter goes on as if they had not come
 */
static void what_is_no_point_is_dropped(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, SUMS, 1);
    counter(0, 6, 1, 10, "");
    counter(0, 7, 1, -3, "");
    counter(0, 7, 8, 30, "");
    gw_joint_send(
        &r, 0,
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"c\",\"sum\":{"
        "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{\"asDouble\":\"NaN\"},{\"asDouble\":"
        "\"Infinity\"}]}}]}]}]}");
    assert_int_equal(r.settled[GW_DROPPED], 4);
    counter(0, 9, 1, 14, "");
    until(60);
    IS_TOLD("temperature.sum", 10, 4);
    close_rollup();
    open_rollup(GW_METRICS, "windows: [ { type: session, gap: 1s } ]", 1);
    counter(0, 6, 1, 10, "");
    assert_int_equal(r.settled[GW_DROPPED], 1);
    close_rollup();
}

/*
 * Scenario    more points of one stream than may wait
 * Guarantees  the first ones count then, and all increases are there
 */
static void a_stream_has_so_many_that_wait(void **state)
{
    static const char waits[] = "staunch_rollup_panes{component=\"rollup\",signal=\"metrics\"}";

    (void)state;
    open_rollup(GW_METRICS, "aggregates: [sum]\nallowed_lateness: 1h\ntime: { max_future: 1h }", 1);
    for (unsigned i = 0; i < 1500; i++)
        counter(0, 6 + i, 1, 10 + i, POD(1));
    until(6);
    assert_int_equal((int)gw_joint_metric(&r, waits), 51); /* panes of 500 s */
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    IS_TOLD("temperature.sum", 10, 3, "pod=#1");
    IS_TOLD("temperature.sum", 1500, 10, "pod=#1");
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
}

/*
 * Scenario    many streams in a small budget
 * Guarantees  memory stays within its bound, and is all given back
 */
static void memory_is_bounded(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "aggregates: [sum]\nkeys:\nmax_bytes: 4194304", 1);
    for (unsigned i = 0; i < 5000; i++) {
        char attrs[512];

        (void)snprintf(attrs, sizeof(attrs), INT("pod", "%u"), i);
        counter(0, 6 + i % 10, 1, 10, attrs);
        assert_true(r.memory.used_bytes <= 4194304);
    }
    assert_true(r.settled[GW_REFUSED] > 0);
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(increases_of_streams_add_up),
        cmocka_unit_test(the_order_makes_no_difference),
        cmocka_unit_test(resets_are_seen),
        cmocka_unit_test(first_points_count_as_told),
        cmocka_unit_test(silent_streams_are_forgotten),
        cmocka_unit_test(overflows_count_once),
        cmocka_unit_test(streams_leave_the_overflow),
        cmocka_unit_test(what_is_no_point_is_dropped),
        cmocka_unit_test(a_stream_has_so_many_that_wait),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
