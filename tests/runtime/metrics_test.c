/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Collector's names for what a gateway tells of itself: each is there, and each is moved by what it counts. Linked
 * with a malloc that can fail (harness_malloc.h): what a receiver fails by itself is counted too.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop.h"
#include "runtime/admin.h"
#include "tests/harness_engine.h"
#include "tests/harness_malloc.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info NEVER = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "no"};

static char folder[] = "/tmp/metrics_test.XXXXXX";

/* Every exporter of the three pipelines is `scripted`, by itself (queue, batch) or waiting for the sink. */
static void open_engine(struct gw_test_engine *t, const char *level)
{
    char yaml[4096];

    (void)snprintf(
        yaml, sizeof(yaml),
        "receivers: { scripted: , otlp: { protocols: { http: { transport: unix, endpoint: '%s/http' } } } }\n"
        "processors:\n"
        "  memory_limiter: { check_interval: 1s, limit_mib: 500 }\n"
        "  attributes: { actions: [ { key: a, value: b, action: upsert } ] }\n"
        "  resource: { attributes: [ { key: a, value: b, action: upsert } ] }\n"
        "  probabilistic_sampler: { sampling_percentage: 100, attribute_source: record, from_attribute: a }\n"
        "  validate: { ports: { dead_letter: [scripted/dead] } }\n"
        "  batch: { timeout: 1s, send_batch_size: 3, metadata_keys: [x-tenant] }\n"
        "connectors: { forward: }\n"
        "exporters:\n"
        "  nop:\n"
        "  scripted: { sending_queue: { queue_size: 6, sizer: items }, retry_on_failure: { enabled: false } }\n"
        "  scripted/wait: { sending_queue: { wait_for_result: true, batch: { flush_timeout: 1ms, min_size: 1 } } }\n"
        "  scripted/dead:\n"
        "service:\n"
        "  telemetry: { metrics: { level: %s } }\n"
        "  pipelines:\n"
        "    traces: { receivers: [scripted, otlp], processors: [memory_limiter, attributes, resource, "
        "probabilistic_sampler, validate, batch], exporters: [scripted, forward] }\n"
        "    traces/wait: { receivers: [forward], exporters: [scripted/wait, nop] }\n"
        "    metrics: { receivers: [scripted, otlp], processors: [memory_limiter, attributes, resource, batch], "
        "exporters: [scripted, scripted/wait, nop] }\n"
        "    logs: { receivers: [scripted, otlp], processors: [memory_limiter, attributes, resource, "
        "probabilistic_sampler, batch], exporters: [scripted, scripted/wait, nop] }\n",
        folder, level);
    gw_test_engine_open(t, yaml, 1, false);
}

static void put_body(struct gw_buf *b, enum gw_signal s)
{
    gw_buf_init(b, 4096);
    if (s != GW_METRICS)
        gw_test_request(b, s, 5, 2);
    else /* a gauge with two points */
        for (unsigned i = 0; i < 2; i++)
            gw_buf_put_slice(b, GW_SLICE("\x0a\x1d\x12\x1b\x12\x19\x0a\x01x\x2a\x14\x0a\x12"
                                         "\x19\1\0\0\0\0\0\0\0\x31\1\0\0\0\0\0\0\0"));
}

static int submit(struct gw_test_engine *t, enum gw_signal s)
{
    struct gw_verdict v;
    struct gw_buf b;
    int rc;

    put_body(&b, s);
    rc = gw_test_send(gw_test_engine_door(t, "scripted", 0), s, gw_buf_slice(&b), NULL, 1, &v);
    gw_buf_clear(&b);
    return rc;
}

static void answer_all(struct gw_test_engine *t, const struct gw_sent_info *queued, const struct gw_sent_info *waiting)
{
    gw_test_engine_turn(t, 2, 2 * S); /* batches leave when their time is up */
    gw_test_engine_turn(t, 2, 0);
    while (gw_test_sink_answer(gw_test_engine_sink(t, "scripted"), queued))
        ;
    while (gw_test_sink_answer(gw_test_engine_sink(t, "scripted/wait"), waiting))
        ;
    gw_test_engine_turn(t, 2, 0);
}

/* OTLP over HTTP on the Unix socket; the answer is not looked at. */
static void post(struct gw_test_engine *t, const char *path, struct gw_slice body)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct gw_buf b;

    (void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/http", folder);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    gw_buf_init(&b, 65536);
    gw_buf_printf(&b,
                  "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: "
                  "%zu\r\n\r\n",
                  path, body.n);
    gw_buf_put_slice(&b, body);
    assert_int_equal(write(fd, b.p, b.n), b.n);
    gw_buf_clear(&b);
    gw_test_engine_turn(t, 5, 0);
    (void)close(fd);
}

/* What a scrape shows, ended by zero. */
static char *scrape(struct gw_test_engine *t)
{
    static const struct gw_exposition how = {0};
    struct gw_buf out;
    size_t n;

    gw_process_metrics(t->env, t->meter, 1);
    gw_buf_init(&out, 1 << 20);
    gw_meter_write(t->meter, &how, &out);
    gw_buf_put_u8(&out, 0);
    return (char *)gw_buf_take(&out, &n);
}

/* The sum of a family's series that have the label; -1 when there is none. A histogram by its _count. */
static double value(const char *text, const char *name, const char *label)
{
    size_t n = strlen(name);
    double sum = -1;

    for (const char *at = text; (at = strstr(at, name)); at += n) {
        const char *end = strchr(at, '\n'), *space;

        if ((at > text && at[-1] != '\n') || (at[n] != ' ' && at[n] != '{'))
            continue;
        if (label && !memmem(at, (size_t)(end - at), label, strlen(label)))
            continue;
        space = memrchr(at, ' ', (size_t)(end - at));
        sum = (sum < 0 ? 0 : sum) + strtod(space, NULL);
    }
    return sum;
}

static void assert_moved(const char *text, const char *name, const char *label)
{
    double v = value(text, name, label);

    if (v <= 0)
        fail_msg("%s{%s}: %s", name, label ? label : "", v < 0 ? "is not there" : "was not moved");
}

static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};

/* Sent and delivered, refused by the sink, by a full queue, by the limiter; batched by size and by time. */
static void live(struct gw_test_engine *t, enum gw_signal s)
{
    struct gw_credit *memory = gw_engine_memory(t->engine);
    uint64_t hard = memory->hard_bytes;

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(submit(t, s), 0); /* four rows: a batch of three is full */
    answer_all(t, &OK, &OK);
    assert_int_equal(submit(t, s), 0);
    answer_all(t, &NEVER, &NEVER);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(submit(t, s), 0); /* six rows: the queue is full */
    assert_int_equal(submit(t, s), -EBUSY);
    answer_all(t, &OK, &OK);
    assert_int_equal(submit(t, s), 0);
    atomic_store(&memory->hard_bytes, 0); /* as when a limiter lowers the marks under a full house */
    gw_test_engine_turn(t, 1, 0);
    atomic_store(&memory->hard_bytes, hard);
    answer_all(t, &OK, &OK);
}

/* The first allocation of a request fails, the next time the second, … until it passes. Returns how many failed. */
static unsigned starve(struct gw_test_engine *t, enum gw_signal s)
{
    struct gw_test_door *d = gw_test_engine_door(t, "scripted", 0);
    struct gw_verdict v;
    struct gw_buf b;
    unsigned n = 0;
    int failed;

    put_body(&b, s);
    do {
        gw_malloc_fail_at(n + 1);
        if (gw_test_send(d, s, gw_buf_slice(&b), NULL, 1, &v) < 0)
            assert_int_equal(v.grpc_status, 14);
        failed = gw_malloc_failed();
        gw_malloc_fail_at(0);
        n += (unsigned)failed;
        answer_all(t, &OK, &OK);
    } while (failed);
    gw_buf_clear(&b);
    assert_true(n > 0);
    return n;
}

static double rows_of(const char *text, const char *what, enum gw_signal s)
{
    char name[96];

    (void)snprintf(name, sizeof(name), "otelcol_receiver_%s_%s", what, gw_signal_item_name(s));
    return value(text, name, "receiver=\"scripted\"");
}

static void assert_all_moved(const char *m, const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_moved(m, names[i], NULL);
}

static const char *const always[] = {
    "otelcol_exporter_queue_capacity",
    "otelcol_exporter_consumed_items",
    "otelcol_processor_incoming_items",
    "otelcol_processor_outgoing_items",
    "otelcol_processor_consumed_items",
    "otelcol_processor_produced_items",
    "otelcol_connector_consumed_items",
    "otelcol_connector_produced_items",
    "otelcol_receiver_produced_items",
    "otelcol_receiver_requests",
    "otelcol_processor_probabilistic_sampler_count_spans_processed",
    "otelcol_processor_probabilistic_sampler_count_traces_sampled",
    "otelcol_processor_probabilistic_sampler_count_logs_sampled",
    "otelcol_process_uptime",
    "otelcol_process_cpu_seconds",
    "otelcol_process_memory_rss",
};
static const char *const from_normal[] = {
    "otelcol_processor_batch_batch_send_size_count",
    "otelcol_processor_batch_batch_size_trigger_send",
    "otelcol_processor_batch_timeout_trigger_send",
};
static const char *const from_detailed[] = {
    "otelcol_exporter_enqueue_size_count",
    "otelcol_exporter_enqueue_size_bytes_count",
    "otelcol_exporter_queue_batch_send_size_count",
    "otelcol_exporter_queue_batch_send_size_bytes_count",
    "otelcol_processor_batch_batch_send_size_bytes_count",
    "otelcol_processor_internal_duration_count",
    "http_server_request_duration_count",
    "http_server_request_body_size_count",
    "http_server_response_body_size_count",
};
#define N(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Scenario    a gateway with every kind of component at level detailed lives through successes, a full queue, a sink
 *             that refuses, a limiter that refuses, and memory that runs out
 * Guarantees  every metric that the Collector has for these components is there under its name, and has moved: but for
 *             the heap's total_alloc_bytes, which only a collected heap knows
 */
static void every_metric_of_the_collector_is_there_and_moves(void **state)
{
    static const char *const per_item[] = {
        "otelcol_receiver_accepted_",
        "otelcol_receiver_refused_",
        "otelcol_receiver_failed_",
        "otelcol_exporter_sent_",
        "otelcol_exporter_send_failed_",
        "otelcol_exporter_enqueue_failed_",
        "otelcol_processor_memory_limiter_accepted_",
        "otelcol_processor_memory_limiter_refused_",
    };
    /* There, whatever they show at the end: nothing is held then, and a sanitizer's heap is not known to libc. */
    static const char *const gauges[] = {"otelcol_exporter_queue_size", "otelcol_exporter_in_flight_requests",
                                         "otelcol_processor_batch_metadata_cardinality",
                                         "otelcol_process_runtime_heap_alloc_bytes",
                                         "otelcol_process_runtime_total_sys_memory_bytes"};
    struct gw_test_engine t;
    struct gw_buf b;
    char *m, name[96];

    (void)state;
    open_engine(&t, "detailed");
    for (unsigned i = 0; i < 3; i++) {
        live(&t, signals[i]);
        (void)starve(&t, signals[i]);
    }
    put_body(&b, GW_LOGS);
    post(&t, "/v1/logs", gw_buf_slice(&b));
    gw_buf_clear(&b);
    m = scrape(&t);
    assert_all_moved(m, gauges, 3);
    for (unsigned i = 3; i < N(gauges); i++)
        assert_true(value(m, gauges[i], NULL) >= 0);
    free(m);
    answer_all(&t, &OK, &OK);
    m = scrape(&t);
    assert_true(value(m, "otelcol_receiver_accepted_log_records", "receiver=\"otlp\",transport=\"http\"") == 2);
    assert_true(value(m, "otelcol_receiver_accepted_log_records", "receiver=\"otlp\",transport=\"grpc\"") == 0);
    for (unsigned i = 0; i < N(per_item) * 3; i++) {
        (void)snprintf(name, sizeof(name), "%s%s", per_item[i / 3], gw_signal_item_name(signals[i % 3]));
        assert_moved(m, name, NULL);
    }
    assert_all_moved(m, always, N(always));
    assert_all_moved(m, from_normal, N(from_normal));
    assert_all_moved(m, from_detailed, N(from_detailed));
    assert_true(value(m, gauges[0], NULL) == 0 && value(m, gauges[1], NULL) == 0);
    free(m);
    (void)gw_test_engine_close(&t);
}

/*
 * Scenario    the same life at level basic, and at normal
 * Guarantees  the batch processor's metrics begin at normal; sizes in bytes, of the queue, and durations at detailed
 */
static void levels_leave_out_what_the_collector_leaves_out(void **state)
{
    static const char *const levels[] = {"basic", "normal"};
    struct gw_test_engine t;

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct gw_buf b;
        char *m;

        open_engine(&t, levels[k]);
        for (unsigned i = 0; i < 3; i++)
            live(&t, signals[i]);
        put_body(&b, GW_LOGS);
        post(&t, "/v1/logs", gw_buf_slice(&b));
        gw_buf_clear(&b);
        answer_all(&t, &OK, &OK);
        m = scrape(&t);
        assert_all_moved(m, always, N(always));
        for (unsigned i = 0; i < N(from_normal); i++)
            assert_true((value(m, from_normal[i], NULL) > 0) == (k == 1));
        for (unsigned i = 0; i < N(from_detailed); i++)
            assert_true(value(m, from_detailed[i], NULL) < 0);
        free(m);
        (void)gw_test_engine_close(&t);
    }
}

/*
 * Scenario    requests whose n-th allocation fails, for every n that there is
 * Guarantees  the client is told to come again, and its rows are counted once: as failed where the receiver itself had
 *             no memory, as refused where somebody behind it had none, as accepted when all went well
 */
static void what_the_receiver_fails_itself_is_counted_apart(void **state)
{
    struct gw_test_engine t;

    (void)state;
    open_engine(&t, "normal");
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = starve(&t, signals[i]);
        char *m = scrape(&t);

        assert_true(rows_of(m, "failed", signals[i]) > 0);
        assert_true(rows_of(m, "accepted", signals[i]) >= 2);
        assert_true(rows_of(m, "accepted", signals[i]) + rows_of(m, "refused", signals[i]) +
                        rows_of(m, "failed", signals[i]) ==
                    2 * (n + 1));
        free(m);
    }
    (void)gw_test_engine_close(&t);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/http", folder);
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_of_the_collector_is_there_and_moves),
        cmocka_unit_test(levels_leave_out_what_the_collector_leaves_out),
        cmocka_unit_test(what_the_receiver_fails_itself_is_counted_apart),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
