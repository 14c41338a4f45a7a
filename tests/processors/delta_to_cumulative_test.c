/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against a model of its own: tests/processors/delta_to_cumulative/model_test.c. The same points through the
 * Collector's processor: tests/real/suites/delta_to_cumulative_same.py.
 */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

static struct gw_proc_rig r;

static const char *metric_of(const char *scope, const char *name, const char *kind, const char *type,
                             const char *points)
{
    static char text[8192];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"r\",\"value\":{\"stringValue\":"
                   "\"x\"}}]},\"scopeMetrics\":[{\"scope\":{%s},\"metrics\":[{\"name\":\"%s\",\"%s\":{%s"
                   "\"dataPoints\":[%s]}}]}]}]}",
                   scope, name, kind, type, points);
    return text;
}

#define LIB     "\"name\":\"lib\""
#define DELTA   "\"aggregationTemporality\":1,"
#define COUNTER DELTA "\"isMonotonic\":true,"
#define A       "{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}"
#define B       "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}}"
#define C       "{\"key\":\"c\",\"value\":{\"boolValue\":true}}"

static void open_it(const char *yaml)
{
    gw_proc_open(&r, "delta_to_cumulative", GW_METRICS, yaml);
}

static void send_sum(const char *points)
{
    gw_proc_send(&r, metric_of(LIB, "m", "sum", COUNTER, points));
}

static void send_int(unsigned start, unsigned time, int value)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "{\"startTimeUnixNano\":\"%u\",\"timeUnixNano\":\"%u\",\"asInt\":\"%d\"}", start,
                   time, value);
    send_sum(text);
}

static double counted(const char *error)
{
    char text[200];

    (void)snprintf(text, sizeof(text), "otelcol_deltatocumulative_datapoints{error=\"%s\"}", error);
    return gw_proc_metric(&r, *error ? text : "otelcol_deltatocumulative_datapoints");
}

static double tracked(void)
{
    return gw_proc_metric(&r, "otelcol_deltatocumulative_streams_tracked");
}

static void tick(uint64_t ns)
{
    gw_test_env_advance(&r.te, ns);
    while (r.component->tick(r.self, gw_mono_ns(&r.te.env), &r.ports) == GW_MORE)
        ;
}

/*
 * Scenario    counters of whole numbers and doubles, one that may fall, attributes in another order, points with flags
 *             and exemplars
 * Guarantees  each point is the total since the first one, where it starts; what else a point says stays its own
 */
static void counters_become_totals(void **state)
{
    (void)state;
    open_it("{}");
    send_int(3, 5, 10);
    assert_true(gw_proc_has(&r, "\"asInt\":\"10\"") && gw_proc_has(&r, "\"startTimeUnixNano\":\"3\""));
    assert_true(gw_proc_has(&r, "\"aggregationTemporality\":2"));
    send_int(5, 9, 7);
    assert_true(gw_proc_has(&r, "\"asInt\":\"17\"") && gw_proc_has(&r, "\"startTimeUnixNano\":\"3\""));
    assert_true(gw_proc_has(&r, "\"timeUnixNano\":\"9\"") && gw_proc_has(&r, "\"aggregationTemporality\":2"));
    send_sum("{\"startTimeUnixNano\":\"9\",\"timeUnixNano\":\"12\",\"asInt\":\"-2\",\"flags\":1,\"exemplars\":[{"
             "\"timeUnixNano\":\"11\",\"asInt\":\"77\"}]}");
    assert_true(gw_proc_has(&r, "\"asInt\":\"15\"") && gw_proc_has(&r, "\"flags\":1") && gw_proc_has(&r, "\"77\""));
    send_int(12, 13, 1);
    assert_true(gw_proc_has(&r, "\"asInt\":\"16\""));
    assert_false(gw_proc_has(&r, "flags") || gw_proc_has(&r, "exemplars"));
    send_sum("{\"timeUnixNano\":\"1\",\"asDouble\":1.5,\"attributes\":[" A "," B "," C "]}");
    send_sum("{\"timeUnixNano\":\"2\",\"asDouble\":4,\"attributes\":[" C "," B "," A "]}");
    assert_true(gw_proc_has(&r, "\"asDouble\":5.5"));
    gw_proc_send(&r, metric_of(LIB, "u", "sum", DELTA, "{\"timeUnixNano\":\"1\",\"asInt\":\"5\"}"));
    gw_proc_send(&r, metric_of(LIB, "u", "sum", DELTA, "{\"timeUnixNano\":\"2\",\"asInt\":\"-7\"}"));
    assert_true(gw_proc_has(&r, "\"asInt\":\"-2\""));
    assert_true(tracked() == 3 && counted("") == 8);
    gw_proc_close(&r);
}

/* Scenario: int, double, nothing, int. Guarantees: none is lost, whatever a point's number is. */
static void kinds_of_numbers_mix(void **state)
{
    static const char *const points[] = {"\"asInt\":\"2\"", "\"asDouble\":0.5", "\"flags\":0", "\"asInt\":\"3\""};
    static const char *const totals[] = {"\"asInt\":\"2\"", "\"asDouble\":2.5", "\"asDouble\":2.5", "\"asDouble\":5.5"};
    char text[200];

    (void)state;
    open_it("{}");
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(text, sizeof(text), "{\"timeUnixNano\":\"%u\",%s}", i + 1, points[i]);
        send_sum(text);
        assert_true(gw_proc_has(&r, totals[i]));
        assert_true(gw_proc_has(&r, "asInt") != gw_proc_has(&r, "asDouble"));
    }
    gw_proc_close(&r);
}

/*
 * Scenario    a point of an older start; points at the time of the last one and before it; the first of all at time 0
 * Guarantees  dropped, counted under the Collector's names, and no part of the total; what is at time 0 is forgotten
 */
static void points_that_come_too_late(void **state)
{
    (void)state;
    open_it("{}");
    send_int(10, 20, 1);
    send_int(9, 30, 1);
    assert_string_equal(r.reason, "older_start");
    assert_string_equal(r.out, "");
    send_int(10, 20, 1);
    assert_string_equal(r.reason, "out_of_order");
    send_int(10, 19, 1);
    send_int(10, 21, 1);
    assert_true(gw_proc_has(&r, "\"asInt\":\"2\""));
    assert_true(counted("delta.ErrOlderStart") == 1 && counted("delta.ErrOutOfOrder") == 2 && counted("") == 2);
    gw_proc_send(&r, metric_of(LIB, "z", "sum", COUNTER, "{\"asInt\":\"1\"},{\"asInt\":\"2\"}"));
    assert_true(gw_proc_has(&r, "\"asInt\":\"1\"") && gw_proc_has(&r, "\"asInt\":\"2\""));
    gw_proc_close(&r);
}

/* Scenario: the newest point of a request comes first. Guarantees: taken by their times, unless sort_points is off. */
static void points_of_a_request_are_sorted(void **state)
{
    static const char points[] = "{\"timeUnixNano\":\"3\",\"asInt\":\"4\"},{\"timeUnixNano\":\"2\",\"asInt\":\"2\"},{"
                                 "\"timeUnixNano\":\"1\",\"asInt\":\"1\"}";

    (void)state;
    open_it("{}");
    send_sum(points);
    assert_true(gw_proc_has(&r, "\"7\"") && gw_proc_has(&r, "\"3\"") && gw_proc_has(&r, "\"1\""));
    assert_int_equal(r.n_out, 3);
    gw_proc_close(&r);
    open_it("sort_points: false");
    send_sum(points);
    assert_int_equal(r.n_out, 1);
    assert_true(counted("delta.ErrOutOfOrder") == 2);
    gw_proc_close(&r);
}

static void send_hist(const char *point)
{
    gw_proc_send(&r, metric_of(LIB, "h", "histogram", DELTA, point));
}

/*
 * Scenario    a histogram grows; gets other bounds; comes without sum, minimum, maximum; with fewer counts than before
 * Guarantees  buckets, count, sum, minimum and maximum of all; other bounds begin anew, with their own start; what one
 *             point did not have, the total does not have any more
 */
static void histograms(void **state)
{
#define HIST(start, time, count, rest, bounds, counts)                                                                 \
    "{\"startTimeUnixNano\":\"" start "\",\"timeUnixNano\":\"" time "\",\"count\":\"" count "\"," rest                 \
    "\"explicitBounds\":[" bounds "],\"bucketCounts\":[" counts "]}"
#define STATS(sum, min, max) "\"sum\":" sum ",\"min\":" min ",\"max\":" max ","
    (void)state;
    open_it("{}");
    send_hist(HIST("1", "2", "3", STATS("9.5", "1", "4"), "1,2", "\"1\",\"2\",\"0\""));
    send_hist(HIST("2", "3", "3", STATS("0.5", "-1", "2"), "1,2", "\"1\",\"0\",\"2\""));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"2\",\"2\",\"2\"]") && gw_proc_has(&r, "\"count\":\"6\""));
    assert_true(gw_proc_has(&r, "\"sum\":10") && gw_proc_has(&r, "\"min\":-1") && gw_proc_has(&r, "\"max\":4"));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"1\""));
    send_hist(HIST("3", "4", "1", "\"sum\":1,", "1,3", "\"1\",\"0\",\"0\""));
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"3\"") && gw_proc_has(&r, "\"count\":\"1\""));
    send_hist(HIST("4", "5", "1", STATS("1", "1", "1"), "1,3", "\"0\",\"1\""));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"1\",\"1\",\"0\"]") && gw_proc_has(&r, "\"sum\":2"));
    assert_false(gw_proc_has(&r, "\"min\"") || gw_proc_has(&r, "\"max\""));
    send_hist(HIST("5", "6", "1", "", "1,3", "\"0\",\"1\",\"0\""));
    send_hist(HIST("6", "7", "1", "\"sum\":5,", "1,3", "\"0\",\"1\",\"0\""));
    assert_true(gw_proc_has(&r, "\"count\":\"4\""));
    assert_false(gw_proc_has(&r, "\"sum\""));
    gw_proc_close(&r);
}

/*
 * Scenario    exponential histograms of smaller and greater scales, of a wider zero bucket, far apart
 * Guarantees  the smaller scale; what lies in the wider zero bucket is zero, whose threshold is where that bucket ends;
 *             at most 160 buckets
 */
static void exponential_histograms(void **state)
{
#define EXP(time, count, scale, rest)                                                                                  \
    "{\"timeUnixNano\":\"" time "\",\"count\":\"" count "\",\"sum\":5,\"scale\":" scale "," rest "}"
#define HALF(name, offset, counts) "\"" name "\":{\"offset\":" offset ",\"bucketCounts\":[" counts "]}"
#define SEND_EXP(...)              gw_proc_send(&r, metric_of(LIB, "e", "exponentialHistogram", DELTA, EXP(__VA_ARGS__)))
    (void)state;
    open_it("{}");
    SEND_EXP("1", "7", "1", HALF("positive", "-2", "1,0,2,3") "," HALF("negative", "3", "1"));
    assert_true(gw_proc_has(&r, "\"bucketCounts\":[\"1\",\"0\",\"2\",\"3\"]"));
    SEND_EXP("2", "3", "0", HALF("positive", "-1", "2,1"));
    assert_true(gw_proc_has(&r, "\"positive\":{\"offset\":-1,\"bucketCounts\":[\"3\",\"6\"]}"));
    assert_true(gw_proc_has(&r, "\"negative\":{\"offset\":1,\"bucketCounts\":[\"1\"]}"));
    assert_true(gw_proc_has(&r, "\"count\":\"10\"") && gw_proc_has(&r, "\"sum\":10"));
    SEND_EXP("3", "3", "0", "\"zeroThreshold\":1,\"zeroCount\":\"2\"," HALF("positive", "1", "1"));
    assert_true(gw_proc_has(&r, "\"positive\":{\"bucketCounts\":[\"6\",\"1\"]}"));
    assert_true(gw_proc_has(&r, "\"zeroCount\":\"5\"") && gw_proc_has(&r, "\"zeroThreshold\":1"));
    SEND_EXP("4", "4", "3", HALF("positive", "-9", "1,1,1,1"));
    assert_true(gw_proc_has(&r, "\"zeroCount\":\"9\""));
    SEND_EXP("5", "1", "0", HALF("positive", "320", "1"));
    assert_true(gw_proc_has(&r, "\"scale\":-2"));
    assert_true(gw_proc_has(&r, "\"count\":\"18\""));
    gw_proc_close(&r);
}

/* Scenario: what tells series apart changes. Guarantees: each is a series of its own. */
static void series_are_told_apart(void **state)
{
    static const char *const scopes[] = {LIB, "\"name\":\"x\"", LIB ",\"version\":\"2\"",
                                         LIB ",\"attributes\":[" A "]"};

    (void)state;
    open_it("{}");
    for (unsigned round = 0; round < 2; round++) {
        char point[100];

        (void)snprintf(point, sizeof(point), "{\"timeUnixNano\":\"%u\",\"asInt\":\"5\"}", round + 1);
        for (unsigned i = 0; i < 4; i++) {
            gw_proc_send(&r, metric_of(scopes[i], "m", "sum", COUNTER, point));
            assert_true(gw_proc_has(&r, round ? "\"asInt\":\"10\"" : "\"asInt\":\"5\""));
        }
        gw_proc_send(&r, metric_of(LIB, "m", "sum", DELTA, point));
        assert_true(gw_proc_has(&r, round ? "\"asInt\":\"10\"" : "\"asInt\":\"5\""));
    }
    assert_true(tracked() == 5);
    gw_proc_close(&r);
}

/* Scenario: gauges, summaries, totals, temporality unknown. Guarantees: they pass as they are, and cost nothing. */
static void what_is_no_delta(void **state)
{
    (void)state;
    open_it("{}");
    for (unsigned i = 0; i < 2; i++) {
        gw_proc_send(&r, metric_of(LIB, "g", "gauge", "", "{\"timeUnixNano\":\"1\",\"asInt\":\"1\"}"));
        assert_true(gw_proc_has(&r, "\"asInt\":\"1\""));
        gw_proc_send(&r, metric_of(LIB, "s", "summary", "", "{\"count\":\"1\"}"));
        assert_true(gw_proc_has(&r, "\"count\":\"1\""));
        gw_proc_send(&r, metric_of(LIB, "c", "sum", "\"aggregationTemporality\":2,", "{\"asInt\":\"1\"}"));
        assert_true(gw_proc_has(&r, "\"asInt\":\"1\"") && gw_proc_has(&r, "\"aggregationTemporality\":2"));
        gw_proc_send(&r, metric_of(LIB, "u", "sum", "", "{\"asInt\":\"1\"}"));
        assert_false(gw_proc_has(&r, "aggregationTemporality"));
    }
    assert_true(tracked() == 0);
    gw_proc_close(&r);
}

/* Scenario: max_stale 10 s. Guarantees: who is silent for longer is forgotten with its memory, and begins anew. */
static void series_that_are_silent_are_forgotten(void **state)
{
    (void)state;
    open_it("max_stale: 70s");
    assert_true(gw_proc_metric(&r, "otelcol_deltatocumulative_streams_max_stale") == 70);
    send_int(1, 1, 5);
    send_hist(HIST("1", "2", "3", STATS("9.5", "1", "4"), "1,2", "\"1\",\"2\",\"0\""));
    tick(1);
    tick(60 * NS_PER_S);
    send_int(1, 2, 5);
    assert_true(tracked() == 2);
    tick(60 * NS_PER_S);
    assert_true(tracked() == 1);
    send_int(1, 3, 5);
    assert_true(gw_proc_has(&r, "\"asInt\":\"15\""));
    tick(150 * NS_PER_S);
    assert_true(tracked() == 0);
    send_int(1, 4, 5);
    assert_true(gw_proc_has(&r, "\"asInt\":\"5\""));
    gw_proc_close(&r);
    gw_proc_refuses("delta_to_cumulative", "max_stale: 0s", "max_stale");
}

/* Scenario: max_streams 2, and 0. Guarantees: points of other series are dropped and counted, and cost no memory. */
static void series_beyond_the_limit_are_dropped(void **state)
{
    uint64_t used;

    (void)state;
    open_it("max_streams: 2");
    assert_true(gw_proc_metric(&r, "otelcol_deltatocumulative_streams_limit") == 2);
    send_int(1, 1, 1);
    send_hist(HIST("1", "2", "3", STATS("9.5", "1", "4"), "1,2", "\"1\",\"2\",\"0\""));
    used = atomic_load(&r.memory.used_bytes);
    assert_true(used > 200);
    for (unsigned i = 2; i < 50; i++) {
        char name[20];

        (void)snprintf(name, sizeof(name), "n%u", i);
        gw_proc_send(&r, metric_of(LIB, name, "sum", COUNTER, "{\"asInt\":\"1\"}"));
        assert_string_equal(r.reason, "max_streams");
    }
    assert_true(counted("limit") == 48);
    assert_int_equal(atomic_load(&r.memory.used_bytes), used);
    send_int(1, 2, 4);
    assert_true(gw_proc_has(&r, "\"asInt\":\"5\""));
    gw_proc_close(&r);
    open_it("max_streams: 0");
    send_int(1, 1, 1);
    assert_string_equal(r.reason, "max_streams");
    gw_proc_close(&r);
    open_it("max_streams: 9223372036854775807");
    send_int(1, 1, 1);
    assert_true(gw_proc_has(&r, "\"asInt\":\"1\""));
    gw_proc_close(&r);
}

/* Scenario: the budget is used up. Guarantees: dropped as memory_limit; what was there goes on afterwards. */
static void without_memory_points_are_dropped(void **state)
{
    (void)state;
    open_it("{}");
    SEND_EXP("1", "1", "0", HALF("positive", "0", "1"));
    atomic_fetch_add(&r.memory.used_bytes, 200 << 20);
    send_int(1, 1, 1);
    assert_string_equal(r.reason, "memory_limit");
    SEND_EXP("2", "2", "0", HALF("positive", "0", "1") "," HALF("negative", "50", "1"));
    assert_string_equal(r.reason, "memory_limit");
    assert_true(counted("memory_limit") == 2);
    atomic_fetch_sub(&r.memory.used_bytes, 200 << 20);
    assert_true(tracked() == 1);
    SEND_EXP("3", "1", "0", HALF("positive", "0", "1"));
    assert_true(gw_proc_has(&r, "\"count\":\"2\"") && gw_proc_has(&r, "\"bucketCounts\":[\"2\"]"));
    gw_proc_close(&r);
}

/* Scenario: an instance takes over from one with other settings. Guarantees: series go on; the new limit holds. */
static void a_reload_keeps_the_series(void **state)
{
    void *next;

    (void)state;
    open_it("max_streams: 1");
    send_int(1, 1, 5);
    assert_int_equal(r.component->create(&next, &r.ctx, r.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(next, r.self), 0);
    r.component->destroy(r.self);
    r.self = next;
    assert_true(tracked() == 1);
    send_int(1, 2, 9);
    assert_true(gw_proc_has(&r, "\"asInt\":\"14\""));
    gw_proc_close(&r);
}

/* Scenario: exponential histograms with absurd scales, offsets, thresholds. Guarantees: nothing breaks. */
static void absurd_histograms(void **state)
{
    static const char *const points[] = {
        "\"scale\":-2147483648,\"zeroThreshold\":\"Infinity\"," HALF("positive", "2147483647", "1,2"),
        "\"scale\":2147483647,\"zeroThreshold\":-1," HALF("positive", "-2147483648", "1,2"),
        "\"scale\":0,\"zeroThreshold\":\"NaN\"," HALF("negative", "2147483640", "1,2,3,4,5,6,7,8,9,10"),
        "\"scale\":5,\"zeroThreshold\":5e-324," HALF("negative", "0", ""),
        "\"scale\":-3,\"zeroThreshold\":0.125,\"count\":\"18446744073709551615\"",
    };
    unsigned time = 1;
    char text[400];

    (void)state;
    open_it("{}");
    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < 5; k++) {
            (void)snprintf(text, sizeof(text), "{\"timeUnixNano\":\"%u\",%s}", time++, points[(i * k + k) % 5]);
            gw_proc_send(&r, metric_of(LIB, "e", "exponentialHistogram", DELTA, text));
            assert_true(gw_proc_has(&r, "timeUnixNano"));
        }
    gw_proc_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_become_totals),
        cmocka_unit_test(kinds_of_numbers_mix),
        cmocka_unit_test(points_that_come_too_late),
        cmocka_unit_test(points_of_a_request_are_sorted),
        cmocka_unit_test(histograms),
        cmocka_unit_test(exponential_histograms),
        cmocka_unit_test(series_are_told_apart),
        cmocka_unit_test(what_is_no_delta),
        cmocka_unit_test(series_that_are_silent_are_forgotten),
        cmocka_unit_test(series_beyond_the_limit_are_dropped),
        cmocka_unit_test(without_memory_points_are_dropped),
        cmocka_unit_test(a_reload_keeps_the_series),
        cmocka_unit_test(absurd_histograms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
