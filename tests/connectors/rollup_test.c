/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/connectors/rollup/windows.h"

#define NOW_OR_NEVER "allowed_lateness: 0s\ntime: { bounded_delay: 2s }\n"

/*
 * Scenario:   points of two windows come in any order.
 * Guarantees: each window is told once, when the watermark has passed its end and not a tick before, with what fell
 *             into it; its times are the window's, its names and types those that docs/rollups.md says.
 */
static void windows_are_told_when_they_have_ended(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, NOW_OR_NEVER, 1);
    gauge(0, 11, 4, STR("a", "x"));
    gauge(0, 3, 7, STR("a", "x"));
    gauge(0, 9.999, -1, STR("a", "x"));
    gauge(0, 10, 5, STR("a", "x"));
    until(12.9); /* idle from 6.678 on: the watermark is at 9.9 */
    assert_int_equal(r.n_bodies, 0);
    until(13.1);
    IS_TOLD("temperature.count", 10, 2, "a=x");
    IS_TOLD("temperature.sum", 10, 6, "a=x");
    IS_TOLD("temperature.min", 10, -1, "a=x");
    IS_TOLD("temperature.max", 10, 7, "a=x");
    assert_int_equal(TOLD("temperature.count", 20).times, 0);
    f = TOLD("temperature.sum", 10);
    assert_int_equal(f.start_s, 0);
    assert_int_equal(f.metric->sum->aggregation_temporality, GW_T_DELTA);
    assert_false(f.metric->sum->is_monotonic); /* of a gauge */
    assert_string_equal(f.metric->unit, "C");
    assert_int_equal(f.resource->resource->n_attributes, 2);
    assert_string_equal(f.scope->scope->name, "lib");
    assert_int_equal(f.scope->scope->n_attributes, 1);
    assert_true(TOLD("temperature.count", 10).metric->sum->is_monotonic);
    assert_true(IS(TOLD("temperature.max", 10).metric, GAUGE));
    until(23.1);
    IS_TOLD("temperature.sum", 20, 9, "a=x");
    IS_TOLD("temperature.count", 10, 2, "a=x"); /* and not again */
    until(80);
    assert_true(gw_joint_metric(&r, "staunch_rollup_series{component=\"rollup\",signal=\"metrics\"}") == 0);
    assert_true(gw_joint_metric(&r, "staunch_rollup_results{component=\"rollup\",signal=\"metrics\"}") == 2);
    close_rollup();
}

/*
 * Scenario:   attributes of resource, scope and point that keys name, and others.
 * Guarantees: what is named tells series apart, in whatever order it is written; the rest is gone.
 */
static void keys_tell_series_apart(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_METRICS,
                NOW_OR_NEVER "keys: { resource: [service.name], scope: [s], attributes: [a, b] }\naggregates: [sum]",
                1);
    gauge(0, 5, 1, STR("a", "x") "," STR("b", "y") "," STR("pod", "1"));
    gauge(0, 5, 2, STR("pod", "2") "," STR("b", "y") "," STR("a", "x"));
    gauge(0, 5, 4, STR("a", "x"));
    gauge(0, 5, 8, INT("a", "1"));
    until(13.1);
    IS_TOLD("temperature.sum", 10, 3, "a=x", "b=y", "pod");
    IS_TOLD("temperature.sum", 10, 4, "a=x", "b");
    IS_TOLD("temperature.sum", 10, 8, "a=#1");
    f = TOLD("temperature.sum", 10, "a=#1");
    assert_int_equal(f.resource->resource->n_attributes, 1);
    assert_string_equal(f.resource->resource->attributes[0]->key, "service.name");
    assert_string_equal(f.scope->scope->name, "lib");
    assert_int_equal(f.scope->scope->n_attributes, 1);
    assert_int_equal(TOLD("temperature.count", 10).times, 0);
    close_rollup();
    open_rollup(GW_METRICS, NOW_OR_NEVER "keys:\naggregates: [sum]", 1);
    gauge(0, 5, 1, STR("a", "x"));
    gauge(0, 5, 2, STR("a", "z"));
    until(13.1);
    IS_TOLD("temperature.sum", 10, 3);
    f = TOLD("temperature.sum", 10);
    assert_int_equal(f.resource->resource->n_attributes + f.point->n_attributes, 0);
    assert_string_equal(f.scope->scope->name, "");
    close_rollup();
}

/*
 * Scenario:   a window has ended, then a point for it comes: within allowed_lateness, and later.
 * Guarantees: the first is in the window's only result; the second leaves by the late port with the watermark and how
 *             far it was behind, and is counted; without a port it is dropped for that reason. None is lost.
 */
static void late_points_leave_by_their_port(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "allowed_lateness: 20s\ntime: { bounded_delay: 2s }\naggregates: [sum]", 1);
    gauge(0, 4, 1, "");
    until(25);
    gauge(0, 5, 2, "");
    assert_int_equal(r.n_bodies, 0); /* it ended at 10, and waits until 30 */
    until(33.1);
    IS_TOLD("temperature.sum", 10, 3);
    gauge(0, 6, 4, STR("a", "x"));
    assert_int_equal(r.n_side, 1);
    assert_non_null(strstr(r.side, "\"rollup.lateness_ms\""));
    assert_non_null(strstr(r.side, "\"rollup.watermark\""));
    assert_non_null(strstr(r.side, "\"asDouble\":4"));
    r.unwired = true;
    gauge(0, 6, 8, STR("a", "x"));
    assert_int_equal(r.settled[GW_DROPPED], 1);
    assert_true(gw_joint_metric(&r, "staunch_rollup_late_items{component=\"rollup\",signal=\"metrics\"}") == 2);
    until(80);
    IS_TOLD("temperature.sum", 10, 3);
    assert_int_equal(r.settled[GW_ABSORBED], 2);
    close_rollup();
}

/*
 * Scenario:   windows of 20s every 5s, and of 10s, in one.
 * Guarantees: a point is in every window that spans it; an attribute says which window a result is of; one that is
 *             late for the short window is still in the long one, and that is counted.
 */
static void windows_overlap(void **state)
{
    (void)state;
    open_rollup(GW_METRICS,
                NOW_OR_NEVER "aggregates: [sum]\nwindows: [ { size: 10s }, { type: hopping, size: 20s, slide: 5s } ]",
                1);
    gauge(0, 4, 1, "");
    gauge(0, 12, 2, "");
    until(18);
    gauge(0, 7, 4, ""); /* the watermark is at 15 */
    assert_int_equal(r.n_side, 0);
    until(60);
    IS_TOLD("temperature.sum", 10, 1, "rollup.window=10s");
    IS_TOLD("temperature.sum", 20, 2, "rollup.window=10s");
    IS_TOLD("temperature.sum", 5, 1, "rollup.window=20s/5s");
    IS_TOLD("temperature.sum", 10, 1, "rollup.window=20s/5s");
    IS_TOLD("temperature.sum", 15, 3, "rollup.window=20s/5s");
    IS_TOLD("temperature.sum", 20, 7, "rollup.window=20s/5s");
    IS_TOLD("temperature.sum", 25, 6, "rollup.window=20s/5s");
    IS_TOLD("temperature.sum", 30, 2, "rollup.window=20s/5s");
    assert_int_equal(TOLD("temperature.sum", 35).times, 0);
    assert_true(gw_joint_metric(&r, "staunch_rollup_missed_windows{component=\"rollup\",signal=\"metrics\"}") == 1);
    close_rollup();
}

static void log_record(double second, const char *fields)
{
    char text[2048];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceLogs\":[{\"resource\":{\"attributes\":[" SERVICE
                   "]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"%llu\",%s}]}]}]}",
                   (unsigned long long)(minute + (uint64_t)(second * 1e3) * 1000000), fields);
    gw_joint_send(&r, 0, text);
}

static void span(double second, unsigned ms, const char *attrs)
{
    uint64_t end = minute + (uint64_t)(second * 1e3) * 1000000;
    char text[2048];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" SERVICE "]},\"scopeSpans\":[{\"spans\":[{" ID
                   "\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\","
                   "\"attributes\":[%s]}]}]}]}",
                   (unsigned long long)(end - ms * UINT64_C(1000000)), (unsigned long long)end, attrs);
    gw_joint_send(&r, 0, text);
}

/*
 * Scenario:   values of spans and log records.
 * Guarantees: how long spans took, by the window of their end; how many records; numbers in attributes and bodies;
 *             what has no such number is dropped as no_value; `where` leaves out what it does not hold for.
 */
static void spans_and_records_have_values(void **state)
{
    (void)state;
    open_rollup(GW_TRACES, NOW_OR_NEVER "name: latency\nkeys: { resource: [service.name] }", 1);
    span(5, 250, "");
    span(10, 750, "");
    span(11, 500, "");
    until(23.1);
    IS_TOLD("latency.sum", 10, 0.25);
    IS_TOLD("latency.max", 20, 0.75);
    assert_string_equal(TOLD("latency.sum", 10).metric->unit, "s");
    close_rollup();
    open_rollup(
        GW_TRACES,
        NOW_OR_NEVER "value: { from: attribute, name: bytes }\nunit: By\naggregates: [sum, avg, last]\nkeys:", 1);
    span(5.5, 1, INT("bytes", "20"));
    span(5, 1, INT("bytes", "10"));
    span(5, 1, STR("bytes", "many"));
    assert_int_equal(r.settled[GW_DROPPED], 1);
    until(13.1);
    IS_TOLD("span.sum", 10, 30);
    IS_TOLD("span.avg", 10, 15);
    IS_TOLD("span.last", 10, 20);
    assert_int_equal(TOLD("span.sum", 10).point->as_int, 30); /* whole numbers stay whole */
    assert_string_equal(TOLD("span.sum", 10).metric->unit, "By");
    close_rollup();
    open_rollup(GW_LOGS, NOW_OR_NEVER "where: severity_number >= 17\nkeys: { resource: [service.name] }", 1);
    log_record(5, "\"severityNumber\":17");
    log_record(6, "\"severityNumber\":21");
    log_record(6, "\"severityNumber\":9");
    until(13.1);
    IS_TOLD("log.record.count", 10, 2);
    assert_int_equal(TOLD("log.record.sum", 10).times, 0);
    close_rollup();
    open_rollup(GW_LOGS, NOW_OR_NEVER "value: { from: body, name: ms }\naggregates: [max]", 1);
    log_record(5, "\"body\":{\"kvlistValue\":{\"values\":[" INT("ms", "12") "]}}");
    log_record(6, "\"body\":{\"stringValue\":\"text\"}");
    assert_int_equal(r.settled[GW_DROPPED], 1);
    until(13.1);
    IS_TOLD("log.record.max", 10, 12);
    close_rollup();
}

/*
 * Scenario:   durations of 1 to 100 ms, p50, p99 and a histogram of them, in overlapping windows.
 * Guarantees: quantiles are within the error of the histogram's scale, panes that are put together say the same as one;
 *             memory of histograms is bounded and comes back.
 */
static void quantiles_come_from_histograms(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_TRACES,
                NOW_OR_NEVER "keys: { resource: [service.name] }\naggregates: [p50, p99, exponential]\n"
                             "windows: [ { type: hopping, size: 20s, slide: 10s } ]",
                1);
    for (unsigned ms = 1; ms <= 100; ms++)
        span(ms % 2 ? 5 : 11, ms, "");
    assert_true(r.memory.used_bytes > 1000);
    until(60);
    f = TOLD("span.p99", 20);
    assert_true(f.times == 1 && f.value > 0.095 && f.value < 0.103);
    f = TOLD("span.p50", 20);
    assert_true(f.times == 1 && f.value > 0.048 && f.value < 0.053);
    f = TOLD("span.p50", 10); /* odd ones */
    assert_true(f.times == 1 && f.value > 0.047 && f.value < 0.053);
    assert_true(gw_joint_has(&r, "\"span.exponential\""));
    assert_true(gw_joint_has(&r, "\"count\":\"100\""));
    assert_true(gw_joint_metric(&r, "staunch_rollup_lost_values{component=\"rollup\",signal=\"traces\"}") == 0);
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_int_equal(r.memory.used_bytes, 0);
    close_rollup();
    open_rollup(GW_TRACES, NOW_OR_NEVER "aggregates: [p99]", 1);
    span(5, 1, ""); /* open when everything ends */
    close_rollup();
}

/*
 * Scenario:   points from a clock that is ahead; counters that go on from their start; not a number.
 * Guarantees: more than max_future ahead is rejected, and moves no watermark; the others are dropped by name; a
 *             counter's point is late as any other.
 */
static void what_cannot_be_added_is_not(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "allowed_lateness: 0s\ntime: { bounded_delay: 2s, max_future: 10s, watermark: event }", 1);
    gauge(0, 15.5, 1, "");
    gauge(0, 16, 1, "");
    assert_int_equal(r.settled[GW_REJECTED], 1);
    gw_joint_send(&r, 0,
                  "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"c\",\"sum\":{"
                  "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{\"asInt\":\"3\"}]}},"
                  "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{\"count\":\"0\"}]}},"
                  "{\"name\":\"n\",\"gauge\":{\"dataPoints\":[{\"asDouble\":\"NaN\"}]}}]}]}]}");
    assert_int_equal(r.settled[GW_DROPPED], 2);
    assert_int_equal(r.settled[GW_ABSORBED], 1);
    assert_int_equal(r.n_side, 1);
    gauge(0, 12.5, 1, ""); /* the watermark is at 13.5 */
    until(6);
    assert_int_equal(r.n_bodies, 0);
    close_rollup();
}

/*
 * Scenario:   two workers; one of them stops getting anything.
 * Guarantees: while both get points the slower one holds the watermark; idle_timeout after its last one it does not.
 */
static void an_idle_worker_holds_nobody_up(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, "allowed_lateness: 0s\ntime: { bounded_delay: 0s, idle_timeout: 5s }\naggregates: [sum]",
                2);
    gauge(0, 5, 1, "");
    until(9);
    gauge(1, 5, 2, "");
    until(10.5);
    gauge(0, 10.5, 4, ""); /* worker 1 has not been idle for 5s: its 9 holds */
    until(10.6);
    assert_int_equal(r.n_bodies, 0);
    until(14.2);
    IS_TOLD("temperature.sum", 10, 3);
    assert_int_equal(TOLD("temperature.sum", 20).times, 0);
    close_rollup();
}

static double sum_of_counts(void)
{
    double sum = 0;

    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++) {
                const Metric *m = requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[0];

                for (size_t p = 0; p < m->sum->n_data_points; p++)
                    sum += (double)m->sum->data_points[p]->as_int;
            }
    return sum;
}

/*
 * Scenario:   more series than max_series, and than max_bytes can hold.
 * Guarantees: those beyond are one series, otel.metric.overflow, whichever worker they come by; nothing is lost, and
 *             memory stays within its bound.
 */
static void too_many_series_become_one(void **state)
{
    char attrs[128];
    double sum;

    (void)state;
    open_rollup(GW_METRICS, NOW_OR_NEVER "max_series: 10\naggregates: [count]", 2);
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(attrs, sizeof(attrs), INT("i", "%u"), i);
        gauge(i % 2, 5, 1, attrs);
    }
    until(13.1);
    IS_TOLD("temperature.count", 10, 20, "i");
    assert_int_equal(TOLD("temperature.count", 10).times, 11);
    assert_true(gw_joint_metric(&r, "staunch_rollup_overflow_items{component=\"rollup\",signal=\"metrics\"}") == 20);
    close_rollup();
    open_rollup(GW_METRICS, NOW_OR_NEVER "max_series: 1000000\nmax_bytes: 4194304\naggregates: [count]", 1);
    for (unsigned i = 0; i < 40000; i += 100) {
        static char text[32 << 10];
        size_t n = (size_t)snprintf(text, sizeof(text),
                                    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"temperature\","
                                    "\"gauge\":{\"dataPoints\":[");

        for (unsigned k = 0; k < 100; k++) {
            (void)snprintf(attrs, sizeof(attrs), INT("i", "%u"), i + k);
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", k ? "," : "", point_json(5, 1, attrs));
        }
        (void)snprintf(text + n, sizeof(text) - n, "]}}]}]}]}");
        gw_joint_send(&r, 0, text);
        assert_true(r.memory.used_bytes <= 4 << 20);
    }
    assert_true(r.settled[GW_ABSORBED] + r.settled[GW_REFUSED] == 40000);
    assert_int_equal(r.settled[GW_REFUSED], 0);
    assert_true(gw_joint_metric(&r, "staunch_rollup_overflow_items{component=\"rollup\",signal=\"metrics\"}") > 0);
    until(13.1);
    sum = sum_of_counts();
    assert_true(sum == 40000);
    close_rollup();
}

/*
 * Scenario:   the queues behind are full; then the gateway stops.
 * Guarantees: results wait, and leave once; what is open leaves with the last instance, and memory comes back.
 */
static void what_is_open_leaves_at_the_end(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, NOW_OR_NEVER "aggregates: [sum]", 2);
    gauge(0, 5, 1, "");
    r.full = true;
    until(13.1);
    assert_int_equal(r.n_bodies, 0);
    r.full = false;
    until(13.2);
    IS_TOLD("temperature.sum", 10, 1);
    gauge(1, 13, 2, "");
    assert_int_equal(gw_joint_drain(&r, 0), GW_DONE);
    assert_int_equal(TOLD("temperature.sum", 20).times, 0);
    while (gw_joint_drain(&r, 1) == GW_MORE)
        ;
    IS_TOLD("temperature.sum", 20, 2);
    assert_int_equal(r.memory.used_bytes, 0);
    gauge(0, 14, 4, ""); /* somebody was not done */
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_int_equal(TOLD("temperature.sum", 20).times, 2);
    close_rollup();
}

static void settings_are_checked(void **state)
{
    (void)state;
    gw_joint_refuses("rollup", "aggregates: [summ]", "did you mean \"sum\"");
    gw_joint_refuses("rollup", "aggregates: [sum, sum]", "twice");
    gw_joint_refuses("rollup", "aggregates: [p101]", "there is no \"p101\"");
    gw_joint_refuses("rollup", "windows: [ { type: hopping, size: 10s } ]", "needs a slide");
    gw_joint_refuses("rollup", "windows: [ { type: hopping, size: 10s, slide: 11s } ]", "needs a slide");
    gw_joint_refuses("rollup", "windows: [ { type: hopping, size: 86400s, slide: 7s } ]", "common divisor");
    gw_joint_refuses("rollup", "windows: [ { size: 10s, slide: 5s } ]", "has no slide");
    gw_joint_refuses("rollup", "windows: [ { size: 10s }, { size: 10s } ]", "twice");
    gw_joint_refuses("rollup", "aggregates: [samples]", "needs another");
    gw_joint_refuses("rollup", "aggregates: [sum, samples, samples8]", "samples stands twice");
    gw_joint_refuses("rollup", "aggregates: [sum, samples65]", "there is no \"samples65\"");
    gw_joint_refuses("rollup", "where: 'nope ==='", "where:");
    gw_joint_refuses("rollup", "value: { from: attribute }", "needs the name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_told_when_they_have_ended),
        cmocka_unit_test(keys_tell_series_apart),
        cmocka_unit_test(late_points_leave_by_their_port),
        cmocka_unit_test(windows_overlap),
        cmocka_unit_test(spans_and_records_have_values),
        cmocka_unit_test(quantiles_come_from_histograms),
        cmocka_unit_test(what_cannot_be_added_is_not),
        cmocka_unit_test(an_idle_worker_holds_nobody_up),
        cmocka_unit_test(too_many_series_become_one),
        cmocka_unit_test(what_is_open_leaves_at_the_end),
        cmocka_unit_test(settings_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
