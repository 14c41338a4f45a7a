/* SPDX-License-Identifier: Apache-2.0 */
/* Points of one series meet in one worker, whichever worker they came to. */
#include "tests/harness.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/exporter.h"
#include "tests/harness_engine.h"
#include "tests/harness_flow.h"

enum { N_SERIES = 40, N_ROUNDS = 9 };

static struct gw_test_engine t;
static uint64_t sums[N_SERIES]; /* of the deltas that left */
static unsigned n_points;

static void send_round(unsigned worker, unsigned round)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_verdict v = {0};

    gw_buf_init(&json, 1 << 20);
    gw_buf_init(&wire, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"sum\":{"
                          "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[");
    for (unsigned i = 0; i < N_SERIES; i++)
        gw_buf_printf(&json,
                      "%s{\"asInt\":\"%u\",\"timeUnixNano\":\"%u\",\"attributes\":[{\"key\":\"i\",\"value\":{"
                      "\"intValue\":\"%u\"}}]}",
                      i ? "," : "", round * round + i, round + 1, i);
    gw_buf_put_str(&json, "]}}]}]}]}");
    assert_true(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) >= 0);
    assert_int_equal(
        gw_test_send(gw_test_engine_door(&t, "scripted", worker), GW_METRICS, gw_buf_slice(&wire), NULL, round, &v), 0);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static void add_body(struct gw_slice body)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_err err;
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, body, &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    for (uint32_t r = 0; r < b->n_rows; r++, n_points++)
        sums[b->attrs[b->attr[r].begin].val.i64] += (uint64_t)b->number[r].i64;
    (void)gw_batch_unref(b);
}

static void answer_all(void *arg)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");

    (void)arg;
    while (s->n_waiting) {
        add_body(s->waiting[0]->body);
        assert_true(gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OK}));
    }
}

/*
 * Scenario    40 counters, each round of whose points comes to another of three workers
 * Guarantees  the deltas of each add up to what it came to since its first point; the gauge counts each series once
 */
static void points_of_a_series_meet(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\nprocessors: { cumulativetodelta: { initial_value: drop } }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 1000 } } }\n"
                        "service: { pipelines: { metrics: { receivers: [scripted], processors: [cumulativetodelta], "
                        "exporters: [scripted] } } }\n",
                        3, /* threads= */ false);
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        send_round(round % 3, round);
        gw_test_engine_turn(&t, 2, 1000);
        answer_all(NULL);
    }
    assert_int_equal(
        gw_metric_value(gw_meter_get(t.meter, GW_GAUGE, "otelcol_cumulativetodelta_streams_tracked", "", NULL, 0)),
        N_SERIES);
    gw_test_engine_drain(&t, &(uint64_t){1}, answer_all, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
    assert_int_equal(n_points, N_SERIES * (N_ROUNDS - 1));
    for (unsigned i = 0; i < N_SERIES; i++)
        assert_int_equal(sums[i], (N_ROUNDS - 1) * (N_ROUNDS - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(points_of_a_series_meet)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
