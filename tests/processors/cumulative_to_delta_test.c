/* SPDX-License-Identifier: Apache-2.0 */
/* The same points through the Collector's processor: tests/real/suites/cumulative_to_delta_same.py. */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)
/* The rig's wall clock begins at 1767323045.678 s. */
#define BEFORE "\"1767323000000000000\""
#define AFTER  "\"1767323100000000000\""

static struct gw_proc_rig r;

static const char *metric_of(const char *scope, const char *name, const char *kind, const char *type, const char *point)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"r\",\"value\":{\"stringValue\":"
                   "\"x\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"%s\"},\"metrics\":[{\"name\":\"%s\",\"%s\":{%s"
                   "\"dataPoints\":[%s]}}]}]}]}",
                   scope, name, kind, type, point);
    return text;
}

#define CUMULATIVE "\"aggregationTemporality\":2,"
#define COUNTER    CUMULATIVE "\"isMonotonic\":true,"

static void send_sum(const char *point)
{
    gw_proc_send(&r, metric_of("lib", "m", "sum", COUNTER, point));
}

static void send_int(const char *start, unsigned time, int value)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "{\"startTimeUnixNano\":%s,\"timeUnixNano\":\"%u\",\"asInt\":\"%d\"}", start,
                   time, value);
    send_sum(text);
}

static double dropped(const char *type, const char *reason)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "otelcol_cumulativetodelta_datapoints_dropped{metric_type=\"%s\",reason=\"%s\"}",
                   type, reason);
    return gw_proc_metric(&r, text);
}

static double tracked(void)
{
    return gw_proc_metric(&r, "otelcol_cumulativetodelta_streams_tracked");
}

static void open_it(const char *yaml)
{
    gw_proc_open(&r, "cumulative_to_delta", GW_METRICS, yaml);
}

static void tick(uint64_t ns)
{
    gw_test_env_advance(&r.te, ns);
    while (r.component->tick(r.self, gw_mono_ns(&r.te.env), &r.ports) == GW_MORE)
        ;
}

/*
 * Scenario    a counter that grows, stays, falls, and goes on; the same for a double; equal and earlier times; another
 *             order of attributes
 * Guarantees  each point is the difference to the one before, which is where it starts; a point that fell is dropped
 *             and counted as a reset, and the next one is the difference to it
 */
static void counters_become_deltas(void **state)
{
    (void)state;
    open_it("{}");
    send_int(AFTER, 5, 10);
    assert_true(gw_proc_has(&r, "\"asInt\":\"10\""));
    assert_true(gw_proc_has(&r, "\"aggregationTemporality\":1"));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":" AFTER));
    send_int(AFTER, 9, 17);
    assert_true(gw_proc_has(&r, "\"asInt\":\"7\""));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"5\""));
    send_int(AFTER, 9, 17);
    assert_true(gw_proc_has(&r, "\"asInt\":\"0\""));
    send_int(AFTER, 12, 3);
    assert_string_equal(r.out, "");
    assert_string_equal(r.reason, "reset");
    send_int(AFTER, 8, 5);
    assert_true(gw_proc_has(&r, "\"asInt\":\"2\""));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"12\""));
    assert_true(dropped("sum", "reset") == 1);
    assert_true(gw_proc_metric(&r, "otelcol_cumulativetodelta_datapoints{metric_type=\"sum\"}") == 4);
#define A "{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}"
#define B "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}}"
#define C "{\"key\":\"c\",\"value\":{\"boolValue\":true}}"
    send_sum("{\"startTimeUnixNano\":" AFTER ",\"timeUnixNano\":\"1\",\"asDouble\":1.5,\"attributes\":[" A "," B "," C
             "]}");
    send_sum("{\"startTimeUnixNano\":" AFTER ",\"timeUnixNano\":\"2\",\"asDouble\":4,\"attributes\":[" C "," B "," A
             "]}");
    assert_true(gw_proc_has(&r, "\"asDouble\":2.5"));
    assert_true(tracked() == 2);
    gw_proc_close(&r);
}

/* Scenario: what tells series apart changes. Guarantees: each is a series of its own. */
static void series_are_told_apart(void **state)
{
    static const char *const points[] = {"\"asInt\":\"5\"", "\"asDouble\":5", "\"asInt\":\"5\",\"attributes\":[" A "]",
                                         "\"asInt\":\"5\",\"attributes\":[" A "," A "]",
                                         "\"asInt\":\"5\",\"attributes\":[" B "]"};
    char text[400];

    (void)state;
    open_it("initial_value: keep");
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5; i++)
            for (unsigned start = 0; start < 2; start++) {
                (void)snprintf(text, sizeof(text), "{\"startTimeUnixNano\":\"%u\",%s}", 1 + start, points[i]);
                gw_proc_send(&r, metric_of("lib", "m", "sum", COUNTER, text));
                assert_true(gw_proc_has(&r, round ? ":0" : ":5") || gw_proc_has(&r, round ? ":\"0\"" : ":\"5\""));
            }
        gw_proc_send(&r, metric_of("other", "m", "sum", COUNTER, "{\"startTimeUnixNano\":\"1\",\"asInt\":\"5\"}"));
        assert_true(gw_proc_has(&r, round ? ":\"0\"" : ":\"5\""));
        gw_proc_send(&r, metric_of("lib", "n", "sum", COUNTER, "{\"startTimeUnixNano\":\"1\",\"asInt\":\"5\"}"));
        assert_true(gw_proc_has(&r, round ? ":\"0\"" : ":\"5\""));
    }
    assert_true(tracked() == 12);
    gw_proc_close(&r);
}

/*
 * Scenario    first points of series that began before and after the gateway, and at their own time; with every
 *             initial_value
 * Guarantees  auto sends only what began after the gateway did and lasted; keep sends all, without a start; drop none
 */
static void the_first_point(void **state)
{
    (void)state;
    open_it("{}");
    send_int(BEFORE, 7, 1);
    assert_string_equal(r.out, "");
    assert_string_equal(r.reason, "initial");
    send_sum("{\"startTimeUnixNano\":" AFTER ",\"timeUnixNano\":" AFTER ",\"asInt\":\"1\"}");
    assert_string_equal(r.out, "");
    assert_true(dropped("sum", "initial") == 2);
    send_int(BEFORE, 8, 4);
    assert_true(gw_proc_has(&r, "\"asInt\":\"3\""));
    gw_proc_close(&r);
    open_it("initial_value: keep");
    send_int(BEFORE, 7, 1);
    assert_true(gw_proc_has(&r, "\"asInt\":\"1\""));
    assert_false(gw_proc_has(&r, "startTime"));
    gw_proc_close(&r);
    open_it("initial_value: drop");
    send_int(AFTER, 7, 1);
    assert_string_equal(r.out, "");
    gw_proc_close(&r);
}

/* Scenario: gauges, deltas, sums that may fall, NaN, no recorded value. Guarantees: pass as they are, or go. */
static void what_is_no_counter(void **state)
{
    (void)state;
    open_it("initial_value: drop");
    gw_proc_send(&r, metric_of("l", "g", "gauge", "", "{\"asInt\":\"1\"}"));
    assert_true(gw_proc_has(&r, "\"asInt\":\"1\""));
    gw_proc_send(&r,
                 metric_of("l", "d", "sum", "\"aggregationTemporality\":1,\"isMonotonic\":true,", "{\"asInt\":\"1\"}"));
    assert_true(gw_proc_has(&r, "\"asInt\":\"1\""));
    gw_proc_send(&r, metric_of("l", "u", "sum", CUMULATIVE, "{\"asInt\":\"1\"}"));
    assert_true(gw_proc_has(&r, "\"aggregationTemporality\":2"));
    send_sum("{\"asDouble\":\"NaN\"}");
    assert_true(gw_proc_has(&r, "NaN"));
    assert_true(gw_proc_has(&r, "\"aggregationTemporality\":1"));
    send_sum("{\"asDouble\":\"NaN\",\"flags\":1}");
    assert_string_equal(r.out, "");
    assert_string_equal(r.reason, "no_recorded_value");
    assert_true(tracked() == 0);
    gw_proc_close(&r);
}

static void send_hist(const char *point)
{
    gw_proc_send(&r, metric_of("lib", "h", "histogram", CUMULATIVE, point));
}

/*
 * Scenario    a histogram grows, gets other bounds, falls in one bucket, grows again
 * Guarantees  differences of count, sum and buckets, without minimum and maximum; other bounds: dropped, and the next
 *             one is the difference to it; a fall: dropped, and it does not count (as in the Collector)
 */
static void histograms(void **state)
{
#define HIST(time, count, sum, bounds, counts)                                                                         \
    "{\"timeUnixNano\":\"" time "\",\"count\":\"" count "\",\"sum\":" sum                                              \
    ",\"min\":1,\"max\":2,\"explicitBounds\":[" bounds "],\"bucketCounts\":[" counts "]}"
    (void)state;
    open_it("initial_value: keep");
    send_hist(HIST("1", "3", "9.5", "1,2", "1,2,0"));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"1\",\"2\",\"0\"]"));
    assert_false(gw_proc_has(&r, "\"min\"") || gw_proc_has(&r, "\"max\""));
    send_hist(HIST("2", "6", "10", "1,2", "1,3,2"));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"0\",\"1\",\"2\"]"));
    assert_true(gw_proc_has(&r, "\"count\":\"3\",\"sum\":0.5") || gw_proc_has(&r, "\"sum\":0.5"));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"1\""));
    send_hist(HIST("3", "7", "11", "1,3", "1,3,3"));
    assert_string_equal(r.reason, "bucket_mismatch");
    send_hist(HIST("4", "8", "12", "1,3", "0,4,4"));
    assert_string_equal(r.reason, "reset");
    send_hist(HIST("5", "9", "12", "1,3", "1,4,4"));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"0\",\"1\",\"1\"]"));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"3\""));
    assert_true(dropped("histogram", "reset") == 1 && dropped("histogram", "bucket_mismatch") == 1);
    gw_proc_close(&r);
}

/*
 * Scenario    an exponential histogram gets a smaller scale, then a greater zero threshold; then its count falls
 * Guarantees  the last one is brought to the scale and threshold of the one at hand before it is subtracted; a fall is
 *             dropped as a reset
 */
static void exponential_histograms(void **state)
{
#define EXP(time, count, scale, rest)                                                                                  \
    "{\"timeUnixNano\":\"" time "\",\"count\":\"" count "\",\"sum\":5,\"scale\":" scale "," rest "}"
#define HALF(name, offset, counts) "\"" name "\":{\"offset\":" offset ",\"bucketCounts\":[" counts "]}"
#define SEND_EXP(...)              gw_proc_send(&r, metric_of("lib", "e", "exponentialHistogram", CUMULATIVE, EXP(__VA_ARGS__)))
    (void)state;
    open_it("initial_value: keep");
    SEND_EXP("1", "7", "1", HALF("positive", "-2", "1,0,2,3") "," HALF("negative", "3", "1"));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"1\",\"0\",\"2\",\"3\"]"));
    SEND_EXP("2", "9", "0", HALF("positive", "-1", "2,6") "," HALF("negative", "1", "1"));
    assert_true(gw_proc_has(&r, "\"positive\":{\"offset\":-1,\"bucketCounts\":[\"1\",\"1\"]}"));
    assert_true(gw_proc_has(&r, "\"negative\":{}"));
    SEND_EXP("3", "12", "0",
             "\"zeroThreshold\":1,\"zeroCount\":\"3\"," HALF("positive", "0", "8") "," HALF("negative", "1", "1"));
    assert_true(gw_proc_has(&r, "\"positive\":{\"bucketCounts\":[\"2\"]}"));
    assert_true(gw_proc_has(&r, "\"zeroCount\":\"1\""));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"2\""));
    SEND_EXP("4", "11", "0", "\"zeroThreshold\":1");
    assert_string_equal(r.reason, "reset");
    SEND_EXP("5", "12", "1", "\"zeroThreshold\":1");
    assert_true(dropped("exponential_histogram", "reset") == 2);
    gw_proc_close(&r);
}

static bool is_converted(const char *name, const char *kind, const char *point)
{
    gw_proc_send(&r, metric_of("l", name, kind, COUNTER, point));
    return gw_proc_has(&r, "\"aggregationTemporality\":1");
}

/* Scenario: names, patterns, types, included and excluded. Guarantees: only what is chosen is converted. */
static void metrics_are_chosen(void **state)
{
    (void)state;
    open_it("{initial_value: keep, include: {metrics: [a, b], match_type: strict}, exclude: {metrics: ['^b'], "
            "match_type: regexp, regexp: {cacheenabled: true}}}");
    assert_true(is_converted("a", "sum", "{\"asInt\":\"1\"}"));
    assert_false(is_converted("aa", "sum", "{\"asInt\":\"1\"}"));
    assert_false(is_converted("b", "sum", "{\"asInt\":\"1\"}"));
    gw_proc_close(&r);
    open_it("{initial_value: keep, include: {metric_types: [sum, HISTOGRAM]}, exclude: {metric_types: [sum]}}");
    assert_false(is_converted("a", "sum", "{\"asInt\":\"1\"}"));
    assert_true(is_converted("a", "histogram", "{\"count\":\"1\"}"));
    assert_false(is_converted("a", "exponentialHistogram", "{\"count\":\"1\"}"));
    gw_proc_close(&r);
    gw_proc_refuses("cumulative_to_delta", "include: {metrics: [a]}", "match_type must be set if metrics are supplied");
    gw_proc_refuses("cumulative_to_delta", "exclude: {match_type: strict}",
                    "metrics must be supplied if match_type is set");
    gw_proc_refuses("cumulative_to_delta", "exclude: {metric_types: [gauge]}",
                    "found invalid metric type in exclude.metric_types: gauge");
    gw_proc_refuses_signal("cumulative_to_delta", GW_METRICS, "include: {metrics: ['('], match_type: regexp}", "(");
}

/*
 * Scenario    max_staleness 10s; points of now and of 15 s ago; a look after 10 s
 * Guarantees  what is older than 10 s is forgotten, its memory given back, and its next point is a first one
 */
static void series_that_are_silent_are_forgotten(void **state)
{
    (void)state;
    open_it("{max_staleness: 10s, initial_value: keep}");
    send_sum("{\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"1767323030678000000\",\"asInt\":\"5\"}");
    send_hist(HIST("1767323030678000000", "3", "9.5", "1,2", "1,2,0"));
    send_sum("{\"startTimeUnixNano\":\"2\",\"timeUnixNano\":\"1767323060678000000\",\"asInt\":\"5\"}");
    assert_true(tracked() == 3);
    tick(1);
    tick(9 * NS_PER_S);
    assert_true(tracked() == 3);
    tick(2 * NS_PER_S);
    assert_true(tracked() == 1);
    send_sum("{\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"1767323061678000000\",\"asInt\":\"7\"}");
    assert_true(gw_proc_has(&r, "\"asInt\":\"7\""));
    send_sum("{\"startTimeUnixNano\":\"2\",\"timeUnixNano\":\"1767323061678000000\",\"asInt\":\"7\"}");
    assert_true(gw_proc_has(&r, "\"asInt\":\"2\""));
    gw_proc_close(&r);
    open_it("max_staleness: 0");
    send_int(AFTER, 1, 1);
    tick(1);
    tick(NS_PER_S * 1000000);
    assert_true(tracked() == 1);
    gw_proc_close(&r);
}

/* Scenario: max_streams 2. Guarantees: points of other series are dropped and counted, and cost no memory. */
static void series_beyond_the_limit_are_dropped(void **state)
{
    uint64_t used;

    (void)state;
    open_it("{max_streams: 2, initial_value: keep}");
    send_int("\"1\"", 1, 1);
    send_hist(HIST("1", "3", "9.5", "1,2", "1,2,0"));
    used = atomic_load(&r.memory.used_bytes);
    assert_true(used > 200);
    for (unsigned i = 2; i < 50; i++) {
        char name[20];

        (void)snprintf(name, sizeof(name), "n%u", i);
        gw_proc_send(&r, metric_of("l", name, "sum", COUNTER, "{\"asInt\":\"1\"}"));
        assert_string_equal(r.reason, "max_streams");
    }
    assert_true(dropped("sum", "max_streams") == 48);
    assert_int_equal(atomic_load(&r.memory.used_bytes), used);
    send_int("\"1\"", 2, 4);
    assert_true(gw_proc_has(&r, "\"asInt\":\"3\""));
    gw_proc_close(&r);
}

/* Scenario: the budget is used up. Guarantees: dropped as memory_limit, and nothing stays behind. */
static void without_memory_points_are_dropped(void **state)
{
    (void)state;
    open_it("initial_value: keep");
    send_int("\"1\"", 1, 1);
    atomic_fetch_add(&r.memory.used_bytes, 200 << 20);
    send_hist(HIST("1", "3", "9.5", "1,2", "1,2,0"));
    assert_string_equal(r.reason, "memory_limit");
    assert_true(dropped("histogram", "memory_limit") == 1);
    atomic_fetch_sub(&r.memory.used_bytes, 200 << 20);
    assert_true(tracked() == 1);
    send_hist(HIST("2", "3", "9.5", "1,2", "1,2,0"));
    assert_true(tracked() == 2);
    gw_proc_close(&r);
}

/* Scenario: an instance takes over from one with other settings. Guarantees: series go on; the new limit holds. */
static void a_reload_keeps_the_series(void **state)
{
    void *next;

    (void)state;
    open_it("{max_streams: 1}");
    send_int(AFTER, 1, 5);
    assert_int_equal(r.component->create(&next, &r.ctx, r.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(next, r.self), 0);
    r.component->destroy(r.self);
    r.self = next;
    assert_true(tracked() == 1);
    send_int(AFTER, 2, 9);
    assert_true(gw_proc_has(&r, "\"asInt\":\"4\""));
    gw_proc_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_become_deltas),
        cmocka_unit_test(series_are_told_apart),
        cmocka_unit_test(the_first_point),
        cmocka_unit_test(what_is_no_counter),
        cmocka_unit_test(histograms),
        cmocka_unit_test(exponential_histograms),
        cmocka_unit_test(metrics_are_chosen),
        cmocka_unit_test(series_that_are_silent_are_forgotten),
        cmocka_unit_test(series_beyond_the_limit_are_dropped),
        cmocka_unit_test(without_memory_points_are_dropped),
        cmocka_unit_test(a_reload_keeps_the_series),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
