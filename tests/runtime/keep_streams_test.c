/* SPDX-License-Identifier: Apache-2.0 */
/* What is learned of series, in whole gateways behind a journal that die. */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "otlp-proto/json.h"
#include "tests/harness_logs.h"

#define MS 1000000ull
#define S  1000000000ull

/* %s: the settings of anomaly */
static const char form[] = "receivers: { scripted: }\n"
                           "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"
                           "connectors:\n  journal/j: { storage: file_storage, partition_by: service }\n"
                           "  anomaly: { warmup: 20, threshold: 5%s }\n"
                           "service:\n  extensions: [file_storage]\n  pipelines:\n"
                           "    metrics/in: { receivers: [scripted], exporters: [journal/j] }\n"
                           "    metrics/a: { receivers: [journal/j], exporters: [anomaly] }\n"
                           "    logs/b: { receivers: [anomaly], exporters: [scripted] }\n";

static struct gw_test_engine t;
static unsigned n_sent;

static void open_engine(const char *settings, unsigned n_workers)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml), form, settings);
    gw_test_logs_engine(&t, yaml, n_workers);
}

static void send_point(const char *metric, unsigned time_ns, double value)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_verdict v = {0};
    struct gw_err err = {""};
    struct gw_buf json, wire;

    gw_buf_init(&json, 1 << 16);
    gw_buf_init(&wire, 1 << 16);
    gw_buf_printf(&json,
                  "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                  "{\"stringValue\":\"shop\"}}]},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"%s\",\"gauge\":"
                  "{\"dataPoints\":[{\"timeUnixNano\":\"%u\",\"asDouble\":%g}]}}]}]}]}",
                  metric, time_ns, value);
    assert_true(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) >= 0);
    (void)gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_METRICS, gw_buf_slice(&wire), NULL, n_sent++, &v);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

/* A point of one series. */
static void send(int value)
{
    send_point("m", 1000 + n_sent, value);
}

/* A pane of two that go up and down together. */
static void send_pair(unsigned time_ns, double x, double y)
{
    send_point("x", time_ns, x);
    send_point("y", time_ns, y);
}

static void pass(uint64_t ns)
{
    for (uint64_t at = 0; at < ns; at += 20 * MS) {
        gw_test_logs_turn(&t, 3, 20 * MS);
        gw_test_engine_door(&t, "scripted", 0)->n_verdicts = 0;
    }
}

/* Records that wait for the sink. */
static unsigned n_events(void)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    unsigned n = 0;

    assert_int_equal(gw_log_reader_new(gw_test_log("queue/logs%2Fb"), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1)
        n += e.frame.rows;
    gw_log_reader_free(r);
    return n;
}

/*
 * Scenario    a series is learned in one life, an unusual value of it comes in the next one, and a usual one in a third
 * Guarantees  what was learned is known: the unusual value is an event, once
 */
static void what_was_learned_is_known(void **state)
{
    (void)state;
    n_sent = 0;
    gw_test_logs_begin(1);
    open_engine("", 1);
    for (int i = 0; i < 40; i++)
        send(100 + i % 3);
    pass(S);
    gw_test_logs_crash(&t, false);
    open_engine("", 1);
    send(500);
    pass(S);
    assert_int_equal(n_events(), 1);
    gw_test_logs_crash(&t, false);
    open_engine("", 1);
    send(101);
    pass(3 * S);
    assert_int_equal(n_events(), 1);
    gw_test_logs_crash(&t, false);
    gw_test_logs_end();
}

/*
 * Scenario    `method: together`: pairs are learned in one life; it dies when half of an unusual pair has come; the
 * other half comes in the next life, which has three workers; a usual pair in a third one, with two
 * Guarantees  groups are known, and the pane that waited: the pair is an event, once, whoever has it
 */
static void panes_that_wait_go_on_waiting(void **state)
{
    static const char settings[] = ", method: together, together: { metrics: [x, y] }";

    (void)state;
    n_sent = 0;
    gw_test_logs_begin(1);
    open_engine(settings, 1);
    for (unsigned i = 1; i <= 60; i++)
        send_pair(i, 100 + i * 7 % 20, 50 + i * 7 % 20 * 0.5 + i % 3 * 0.1);
    send_point("x", 61, 118);
    pass(S);
    assert_int_equal(n_events(), 0);
    gw_test_logs_crash(&t, false);
    open_engine(settings, 3);
    send_point("y", 61, 50);
    pass(S);
    assert_int_equal(n_events(), 1);
    gw_test_logs_crash(&t, false);
    open_engine(settings, 2);
    send_pair(62, 110, 55.1);
    pass(3 * S);
    assert_int_equal(n_events(), 1);
    gw_test_logs_crash(&t, false);
    gw_test_logs_end();
}

/*
 * Scenario    the same with other metrics in the second life
 * Guarantees  what was learned of others does not count
 */
static void other_metrics_begin_anew(void **state)
{
    (void)state;
    n_sent = 0;
    gw_test_logs_begin(1);
    open_engine(", method: together, together: { metrics: [x, y] }", 1);
    for (unsigned i = 1; i <= 60; i++)
        send_pair(i, 100 + i * 7 % 20, 50 + i * 7 % 20 * 0.5 + i % 3 * 0.1);
    pass(S);
    gw_test_logs_crash(&t, false);
    open_engine(", method: together, together: { metrics: [y, x] }", 1);
    send_pair(61, 118, 50);
    pass(3 * S);
    assert_int_equal(n_events(), 0);
    gw_test_logs_crash(&t, false);
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_learned_is_known),
                                       cmocka_unit_test(panes_that_wait_go_on_waiting),
                                       cmocka_unit_test(other_metrics_begin_anew)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
