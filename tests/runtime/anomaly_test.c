/* SPDX-License-Identifier: Apache-2.0 */
/* Several workers: metrics of one key are judged together wherever they came in, and alarms are everybody's. */
#include "tests/harness.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/harness_engine.h"
#include "tests/harness_flow.h"

enum { N_WORKERS = 4, N_SERVICES = 12, N_PANES = 60 };
#define NS_PER_S UINT64_C(1000000000)

static struct gw_test_engine t;

static const char yaml[] =
    "receivers: { scripted: }\n"
    "exporters: { scripted: { at_once: true, sending_queue: { queue_size: 100000 } } }\n"
    "processors:\n"
    "  anomaly/both: { method: together, together: { metrics: [x, y] }, warmup: 20 }\n"
    "  tail_sampling: { decision_wait: 2s, policies: [ { name: odd, type: anomalous, anomalous: { detector: "
    "anomaly/both } } ] }\n"
    "service: { pipelines: {\n"
    "  metrics: { receivers: [scripted], processors: [anomaly/both], exporters: [scripted] },\n"
    "  traces: { receivers: [scripted], processors: [tail_sampling], exporters: [scripted] } } }\n";

static void send(unsigned worker, enum gw_signal signal, const char *json)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_verdict verdict = {0};
    struct gw_err err = {""};
    struct gw_buf wire;

    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(signal, gw_slice_cstr(json), &limits, &wire, &err) < 0)
        fail_msg("%s", err.text);
    if (gw_test_send(gw_test_engine_door(&t, "scripted", worker), signal, gw_buf_slice(&wire), NULL, 0, &verdict) < 0)
        fail_msg("refused: %s", verdict.message);
    gw_buf_clear(&wire);
    gw_test_engine_turn(&t, 4, 1000);
}

#define OF_SERVICE "\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s%u\"}}]}"

/* One metric of all services, by this worker. */
static void pane(unsigned worker, const char *metric, unsigned time_s, double value, unsigned odd, double of_odd)
{
    struct gw_buf json;

    gw_buf_init(&json, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceMetrics\":[");
    for (unsigned i = 0; i < N_SERVICES; i++)
        gw_buf_printf(&json,
                      "%s{" OF_SERVICE ",\"scopeMetrics\":[{\"metrics\":[{\"name\":\"%s\",\"gauge\":{\"dataPoints\":[{"
                      "\"timeUnixNano\":\"%u000000000\",\"asDouble\":%g}]}}]}]}",
                      i ? "," : "", i, metric, time_s, i == odd ? of_odd : value);
    gw_buf_put(&json, "]}", 3);
    send(worker, GW_METRICS, (const char *)json.p);
    gw_buf_clear(&json);
}

static void traces(unsigned time_s)
{
    char json[1024];

    for (unsigned i = 0; i < N_SERVICES; i++) {
        (void)snprintf(
            json, sizeof(json),
            "{\"resourceSpans\":[{" OF_SERVICE ",\"scopeSpans\":[{\"spans\":[{\"traceId\":\"%032x\",\"spanId\":"
            "\"0102030405060708\",\"startTimeUnixNano\":\"%u000000000\",\"endTimeUnixNano\":\"%u000000001\"}]}]"
            "}]}",
            i, i * 77 + 1, time_s, time_s);
        send(i % N_WORKERS, GW_TRACES, json);
    }
}

static uint64_t points(const char *verdict)
{
    const struct gw_label l[] = {{"component", "anomaly/both"}, {"verdict", verdict}};

    return gw_test_engine_metric(&t, "staunch_anomaly_points", l, 2);
}

static uint64_t decided(const char *sampled, const char *decision)
{
    const struct gw_label l[] = {{"policy", "odd"}, {"sampled", sampled}, {"decision", decision}};

    return gw_test_engine_metric(&t, "otelcol_processor_tail_sampling_count_traces_sampled", l, 3);
}

static void nothing(void *arg)
{
    (void)arg;
}

/*
 * Scenario    x of all services comes in at one worker, y at another, each time other ones; then y of one service goes
 *             against its x, while a trace of each service waits, wherever its id has led it
 * Guarantees  every pane is completed; the trace of that service is kept, and of no other
 */
static void workers_share_keys_and_alarms(void **state)
{
    uint64_t seed = 1;

    (void)state;
    gw_test_engine_open(&t, yaml, N_WORKERS, /* threads= */ false);
    for (unsigned i = 1; i <= N_PANES; i++) {
        double x = 100 + i * 7 % 20;

        pane(i % N_WORKERS, "x", 1000 + i, x, N_SERVICES, 0);
        pane((i / 4 + 1) % N_WORKERS, "y", 1000 + i, x / 2 + i % 3 * 0.1, N_SERVICES, 0);
    }
    assert_int_equal(points("waiting"), N_SERVICES * N_PANES);
    assert_int_equal(points("usual") + points("learning"), N_SERVICES * N_PANES);
    traces(1100);
    pane(0, "x", 1100, 118, N_SERVICES, 0);
    pane(1, "y", 1100, 59, 5, 50);
    assert_int_equal(points("anomalous"), 1);
    for (unsigned i = 0; i < 30; i++)
        gw_test_engine_turn(&t, 4, NS_PER_S / 5);
    assert_int_equal(decided("true", "sampled"), 1);
    assert_int_equal(decided("false", "not_sampled"), N_SERVICES - 1);
    gw_test_engine_drain(&t, &seed, nothing, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_share_keys_and_alarms)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
