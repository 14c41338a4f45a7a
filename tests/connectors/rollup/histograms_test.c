/* SPDX-License-Identifier: Apache-2.0 */
/* Points that are histograms already: added up, with equal bounds and others, scales and zero thresholds. */
#include "tests/connectors/rollup/windows.h"

#include <math.h>

#define AGGREGATES                                                                                                     \
    "aggregates: [count, sum, min, max, histogram, exponential, p50]\nallowed_lateness: 0s\n"                          \
    "time: { bounded_delay: 0s }\n"

/* A request of one metric; what: "histogram" or "exponentialHistogram". */
static void send(const char *what, int temporality, const char *name, const char *points)
{
    char text[8192];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" SERVICE
                   "]},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"%s\",\"unit\":\"s\",\"%s\":{"
                   "\"aggregationTemporality\":%d,\"dataPoints\":[%s]}}]}]}]}",
                   name, what, temporality, points);
    gw_joint_send(&r, 0, text);
}

static const char *at(double second, const char *rest)
{
    static char text[4][1024];
    static unsigned next;
    char *to = text[next++ % 4];

    (void)snprintf(to, sizeof(text[0]), "{\"timeUnixNano\":\"%llu\",%s}",
                   (unsigned long long)(minute + (uint64_t)(second * 10) * (S / 10)), rest);
    return to;
}

/* The only metric of that name. */
static const Metric *metric(const char *name)
{
    const Metric *found = NULL;

    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++)
                for (size_t m = 0; m < requests[q]->resource_metrics[i]->scope_metrics[k]->n_metrics; m++)
                    if (strcmp(requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m]->name, name) == 0) {
                        assert_null(found);
                        found = requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m];
                    }
    return found;
}

/*
 * Scenario    two points of one series in a window, with the same bounds
 * Guarantees  buckets, count and sum are added, min and max are theirs; the unit stays
 */
static void equal_bounds_add_up(void **state)
{
    const Metric *m;
    const Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *p;

    (void)state;
    open_rollup(GW_METRICS, AGGREGATES, 1);
    send("histogram", 1, "h",
         at(1, "\"count\":\"3\",\"sum\":7,\"min\":1,\"max\":4,\"bucketCounts\":[\"1\",\"2\",\"0\"],\"explicitBounds\":["
               "1,5]"));
    send("histogram", 1, "h",
         at(2, "\"count\":\"2\",\"sum\":11.5,\"min\":0.5,\"max\":11,\"bucketCounts\":[\"1\",\"0\",\"1\"],"
               "\"explicitBounds\":[1,5]"));
    until(30);
    IS_TOLD("h.count", 10, 5);
    IS_TOLD("h.sum", 10, 18.5);
    IS_TOLD("h.min", 10, 0.5);
    IS_TOLD("h.max", 10, 11);
    m = metric("h.histogram");
    assert_non_null(m);
    assert_string_equal(m->unit, "s");
    assert_true(IS(m, HISTOGRAM));
    p = m->histogram->data_points[0];
    assert_int_equal(p->n_bucket_counts, 3);
    assert_int_equal(p->bucket_counts[0], 2);
    assert_int_equal(p->bucket_counts[1], 2);
    assert_int_equal(p->bucket_counts[2], 1);
    assert_true(p->sum == 18.5);
    assert_true(IS(metric("h.exponential"), EXPONENTIAL_HISTOGRAM));
    assert_int_equal(metric("h.exponential")->exponential_histogram->data_points[0]->count, 5);
    close_rollup();
}

/*
 * Scenario    points of one series with other bounds, in one window; and a number where histograms are wanted
 * Guarantees  count and sum are exact; buckets are exponential, and that is what the metric says
 */
static void other_bounds_become_exponential(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, AGGREGATES, 1);
    send("histogram", 1, "h",
         at(1, "\"count\":\"3\",\"sum\":7,\"bucketCounts\":[\"1\",\"2\",\"0\"],\"explicitBounds\":[1,5]"));
    send("histogram", 1, "h", at(2, "\"count\":\"2\",\"sum\":9,\"bucketCounts\":[\"1\",\"1\"],\"explicitBounds\":[2]"));
    gauge(0, 3, 4, "");
    until(30);
    IS_TOLD("h.count", 10, 5);
    IS_TOLD("h.sum", 10, 16);
    assert_true(IS(metric("h.histogram"), EXPONENTIAL_HISTOGRAM));
    assert_int_equal(metric("h.histogram")->exponential_histogram->data_points[0]->count, 5);
    assert_int_equal(metric("temperature.histogram")->exponential_histogram->data_points[0]->count, 1);
    close_rollup();
}

/*
 * Scenario    exponential histograms of scales 3 and 1, with other zero thresholds
 * Guarantees  the coarser scale holds for both, no value is lost, the median lies within its error
 */
static void scales_and_zeros_meet(void **state)
{
    const Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *p;
    double median;

    (void)state;
    open_rollup(GW_METRICS, AGGREGATES, 1);
    send("exponentialHistogram", 1, "e",
         at(1, "\"count\":\"5\",\"sum\":20,\"scale\":3,\"zeroCount\":\"1\",\"positive\":{\"offset\":8,\"bucketCounts\":"
               "[\"2\",\"2\"]}"));
    send("exponentialHistogram", 1, "e",
         at(2, "\"count\":\"6\",\"sum\":18,\"scale\":1,\"zeroCount\":\"2\",\"zeroThreshold\":0.25,\"positive\":{"
               "\"offset\":2,\"bucketCounts\":[\"4\"]}"));
    until(30);
    IS_TOLD("e.count", 10, 11);
    IS_TOLD("e.sum", 10, 38);
    p = metric("e.exponential")->exponential_histogram->data_points[0];
    assert_true(p->scale <= 1);
    assert_int_equal(p->zero_count, 3);
    assert_true(p->zero_threshold >= 0.25);
    assert_int_equal(p->count, 11);
    median = TOLD("e.p50", 10).value;
    assert_true(median > 2 / 1.2 && median < 2.9 * 1.2);
    close_rollup();
}

/*
 * Scenario    cumulative ones, of nothing, whose numbers contradict each other, and a summary
 * Guarantees  they are dropped for a reason and change nothing
 */
static void what_cannot_be_added_is_dropped(void **state)
{
    static const char *const wrong[] = {
        "\"count\":\"3\",\"sum\":7,\"bucketCounts\":[\"1\",\"1\",\"0\"],\"explicitBounds\":[1,5]", /* not 3 */
        "\"count\":\"2\",\"sum\":7,\"bucketCounts\":[\"1\",\"1\",\"0\"],\"explicitBounds\":[5,1]", /* not ascending */
        "\"count\":\"2\",\"sum\":7,\"bucketCounts\":[\"1\",\"1\"],\"explicitBounds\":[1,5]",       /* one is missing */
        "\"count\":\"2\",\"sum\":7,\"bucketCounts\":[\"18446744073709551615\",\"3\"],\"explicitBounds\":[1]"};

    (void)state;
    open_rollup(GW_METRICS, AGGREGATES, 1);
    send("histogram", 2, "c", at(1, "\"count\":\"1\",\"sum\":7,\"bucketCounts\":[\"1\"]"));
    send("exponentialHistogram", 2, "c", at(1, "\"count\":\"1\",\"sum\":7,\"zeroCount\":\"1\""));
    send("histogram", 1, "z", at(1, "\"count\":\"0\",\"sum\":0"));
    for (unsigned i = 0; i < 4; i++)
        send("histogram", 1, "w", at(1, wrong[i]));
    send("exponentialHistogram", 1, "w", at(1, "\"count\":\"9\",\"sum\":7,\"zeroCount\":\"1\""));
    send("exponentialHistogram", 1, "w",
         at(1, "\"count\":\"1\",\"sum\":7,\"scale\":9999,\"positive\":{\"offset\":0,\"bucketCounts\":[\"1\"]}"));
    send("summary", 1, "s", at(1, "\"count\":\"1\",\"sum\":7"));
    assert_int_equal(r.settled[GW_DROPPED], 10);
    until(30);
    assert_int_equal(r.n_bodies, 0);
    close_rollup();
}

/*
 * Scenario    a histogram that says nothing but how many and how much
 * Guarantees  it has one bucket; without a sum, the sum is not a number and the rest stands
 */
static void without_buckets_there_is_one(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, AGGREGATES, 1);
    send("histogram", 1, "h", at(1, "\"count\":\"3\",\"sum\":7"));
    send("histogram", 1, "n", at(1, "\"count\":\"4\",\"bucketCounts\":[\"4\",\"0\"],\"explicitBounds\":[1]"));
    until(30);
    IS_TOLD("h.count", 10, 3);
    IS_TOLD("h.sum", 10, 7);
    assert_int_equal(metric("h.histogram")->histogram->data_points[0]->n_bucket_counts, 1);
    IS_TOLD("n.count", 10, 4);
    assert_true(isnan(TOLD("n.sum", 10).value));
    close_rollup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bounds_add_up), cmocka_unit_test(other_bounds_become_exponential),
        cmocka_unit_test(scales_and_zeros_meet), cmocka_unit_test(what_cannot_be_added_is_dropped),
        cmocka_unit_test(without_buckets_there_is_one)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
