/* SPDX-License-Identifier: Apache-2.0 */
/* A few records of a window, as exemplars of its results. */
#include "tests/connectors/rollup/windows.h"

#define NO_WAIT "allowed_lateness: 0s\nkeys:\n"
enum { N_SPANS = 40, N_SHOWN = 3 };

/* Span i: trace and span id say so, it took i ms and ended at second 6. */
static void span(unsigned worker, unsigned i)
{
    char text[1024];

    (void)snprintf(
        text, sizeof(text),
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"000000000000000000000000000000%02x\","
        "\"spanId\":\"00000000000000%02x\",\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"}]}]}]}",
        i + 1, i + 1, (unsigned long long)(minute + 6 * S - i * UINT64_C(1000000)),
        (unsigned long long)(minute + 6 * S));
    gw_joint_send(&r, worker, text);
}

static void forwards(unsigned i)
{
    span(0, i);
}

static void backwards(unsigned i)
{
    span(i % 2, N_SPANS - 1 - i);
    span(0, N_SPANS - 1 - i); /* and once more */
}

/* Which spans are shown, as bits. */
static uint64_t shown(const char *windows, void (*send)(unsigned i))
{
    char yaml[256];
    uint64_t which = 0;
    struct found f;

    (void)snprintf(yaml, sizeof(yaml), NO_WAIT "aggregates: [count, sum, samples3]\n%s", windows);
    open_rollup(GW_TRACES, yaml, 2);
    for (unsigned i = 0; i < N_SPANS; i++)
        send(i);
    until(90);
    f = TOLD("span.sum", *windows ? 60 : 10);
    assert_int_equal(f.times, 1);
    assert_int_equal(f.point->n_exemplars, N_SHOWN);
    for (unsigned i = 0; i < N_SHOWN; i++) {
        const Exemplar *e = f.point->exemplars[i];

        assert_int_equal(e->trace_id.len, 16);
        assert_int_equal(e->span_id.len, 8);
        assert_int_equal(e->trace_id.data[15], e->span_id.data[7]);
        assert_true(e->as_double == (e->trace_id.data[15] - 1) / 1e3);
        assert_true(e->time_unix_nano == minute + 6 * S);
        which |= UINT64_C(1) << e->trace_id.data[15];
    }
    assert_int_equal(TOLD("span.count", *windows ? 60 : 10).point->n_exemplars, 0);
    close_rollup();
    return which;
}

/*
 * Scenario    spans in two orders, by two workers, some twice, into a window or a window of windows
 * Guarantees  the same few of them are on the sum, with their ids, when they ended and how long they took
 */
static void the_same_spans_are_shown(void **state)
{
    uint64_t which;

    (void)state;
    which = shown("", forwards);
    assert_int_equal(__builtin_popcountll(which), N_SHOWN);
    assert_true(shown("", backwards) == which);
    assert_true(shown("windows: [ { type: hopping, size: 60s, slide: 60s } ]", forwards) == which);
}

static void log_record(const char *fields)
{
    char text[1024];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"%llu\"%s}]}]}]}",
                   (unsigned long long)(minute + 6 * S), fields);
    gw_joint_send(&r, 0, text);
}

/*
 * Guarantees  of log records those with a trace, on their count, as there is neither sum nor histogram
 */
static void records_with_a_trace_are_shown(void **state)
{
    struct found f;

    (void)state;
    open_rollup(GW_LOGS, NO_WAIT "aggregates: [samples, count]", 1);
    log_record("");
    log_record("," ID "\"severityNumber\":9");
    log_record("");
    until(20);
    IS_TOLD("log.record.count", 10, 3);
    f = TOLD("log.record.count", 10);
    assert_int_equal(f.point->n_exemplars, 1);
    assert_int_equal(f.point->exemplars[0]->trace_id.data[15], 0x10);
    assert_true(f.point->exemplars[0]->as_double == 1);
    close_rollup();
}

static void point(const char *kind, const char *fields)
{
    char text[2048];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"%s\":{\"dataPoints\":[{"
                   "\"timeUnixNano\":\"%llu\",%s}]}}]}]}]}",
                   kind, (unsigned long long)(minute + 6 * S), fields);
    gw_joint_send(&r, 0, text);
}

/*
 * Scenario    points with exemplars, one of them not a number, one without a value; one without any, and one infinite
 * Guarantees  of those that have any these are shown, of others they themselves; without ids that they do not have
 */
static void exemplars_are_passed_on(void **state)
{
    struct found f;
    unsigned n_traces = 0;

    (void)state;
    open_rollup(GW_METRICS, NO_WAIT "aggregates: [sum, samples8]", 1);
    point("gauge", "\"asDouble\":3,\"exemplars\":[{" ID
                   "\"timeUnixNano\":\"7\",\"asInt\":\"5\"},{\"asDouble\":\"NaN\"},{" ID "\"timeUnixNano\":\"8\"}]");
    point("gauge", "\"asDouble\":4");
    until(20);
    IS_TOLD("m.sum", 10, 7);
    f = TOLD("m.sum", 10);
    assert_int_equal(f.point->n_exemplars, 2);
    for (unsigned i = 0; i < 2; i++) {
        const Exemplar *e = f.point->exemplars[i];

        assert_true(e->trace_id.len ? e->as_double == 5 && e->time_unix_nano == 7
                                    : e->as_double == 4 && e->time_unix_nano == minute + 6 * S && e->span_id.len == 0);
        n_traces += e->trace_id.len == 16;
    }
    assert_int_equal(n_traces, 1);
    close_rollup();
    open_rollup(GW_METRICS, NO_WAIT "aggregates: [sum, samples]", 1);
    point("gauge", "\"asDouble\":\"Infinity\"");
    until(20);
    assert_int_equal(TOLD("m.sum", 10).point->n_exemplars, 0);
    close_rollup();
}

/*
 * Guarantees  on histograms, too, and not on what is neither
 */
static void histograms_have_them(void **state)
{
    bool has = false;

    (void)state;
    open_rollup(GW_METRICS, NO_WAIT "aggregates: [exponential, max, samples1]", 1);
    gauge(0, 6, 3, "");
    gauge(0, 7, 3, "");
    until(20);
    assert_int_equal(TOLD("temperature.max", 10).point->n_exemplars, 0);
    for (size_t i = 0; i < requests[0]->resource_metrics[0]->scope_metrics[0]->n_metrics; i++) {
        const Metric *m = requests[0]->resource_metrics[0]->scope_metrics[0]->metrics[i];

        if (IS(m, EXPONENTIAL_HISTOGRAM))
            has = m->exponential_histogram->data_points[0]->n_exemplars == 1;
    }
    assert_true(has);
    close_rollup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_spans_are_shown), cmocka_unit_test(records_with_a_trace_are_shown),
        cmocka_unit_test(exemplars_are_passed_on), cmocka_unit_test(histograms_have_them)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
