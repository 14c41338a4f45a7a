/* SPDX-License-Identifier: Apache-2.0 */
/* otlp_grpc against a scripted gRPC client: what is sent, and what every answer means. */
#include "tests/harness_exporter.h"

#include <stdio.h>

#include "net/compress.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static struct gw_rig r;

static const uint8_t TRACES[] = {0x0a, 0x07, 0x12, 0x05, 0x12, 0x03, 0x2a, 0x01, 'a'};
#define NOTHING GW_SLICE("")

static void send_rows(enum gw_signal signal, uint32_t rows)
{
    gw_rig_send(&r, signal, gw_slice_of(TRACES, sizeof(TRACES)), rows);
}

/* A google.rpc.Status with a RetryInfo of `ms` milliseconds; ms < 0: without the delay. */
static struct gw_slice retry_info(int64_t ms)
{
    static uint8_t packed[200];
    static char url[] = "type.googleapis.com/google.rpc.RetryInfo";
    uint8_t inner[50];
    Google__Rpc__Status st = GOOGLE__RPC__STATUS__INIT;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT, *details[1] = {&any};

    delay.seconds = ms / 1000;
    delay.nanos = (int32_t)(ms % 1000 * 1000000);
    if (ms >= 0)
        info.retry_delay = &delay;
    any.type_url = url;
    any.value = (ProtobufCBinaryData){google__rpc__retry_info__pack(&info, inner), inner};
    st.n_details = 1;
    st.details = details;
    return gw_slice_of(packed, google__rpc__status__pack(&st, packed));
}

/* Scenario: the defaults.
 * Guarantees: the signal's Export method, gzip that unpacks to the body, 5 s, our user agent, round_robin, no pings,
 * TLS. */
static void a_body_goes_to_the_signals_method(void **state)
{
    static const struct {
        enum gw_signal signal;
        const char *method;
    } cases[] = {{GW_TRACES, "/opentelemetry.proto.collector.trace.v1.TraceService/Export"},
                 {GW_METRICS, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"},
                 {GW_LOGS, "/opentelemetry.proto.collector.logs.v1.LogsService/Export"}};
    struct gw_buf out;

    (void)state;
    gw_rig_open(&r, "otlp_grpc", "endpoint: c:4317");
    gw_buf_init(&out, 1000);
    for (unsigned i = 0; i < 3; i++) {
        const struct gw_rig_sent *s;

        send_rows(cases[i].signal, 1);
        s = gw_rig_sent(&r, 0);
        assert_string_equal(s->method, cases[i].method);
        assert_string_equal(s->encoding, "gzip");
        assert_int_equal(s->timeout_ns, 5ull * 1000000000);
        gw_buf_reset(&out);
        assert_int_equal(gw_decompress(GW_GZIP, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
        assert_memory_equal(out.p, TRACES, sizeof(TRACES));
        gw_rig_called(&r, 0, 0, "", NOTHING, NOTHING);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
    }
    gw_buf_clear(&out);
    assert_string_equal(gw_rig_conf(&r, "target"), "c:4317");
    assert_string_equal(gw_rig_conf(&r, "insecure"), "0");
    assert_string_equal(gw_rig_conf(&r, "user_agent"), "Staunch/" GW_VERSION " (linux/amd64)");
    assert_string_equal(gw_rig_conf(&r, "load_balancing"), "round_robin");
    assert_string_equal(gw_rig_conf(&r, "keepalive_time_ms"), "0");
    assert_string_equal(gw_rig_conf(&r, "any_encoding"), "0");
    gw_rig_close(&r);
}

/* Scenario: a body of two spans that lies in two places, sent as it is, by gzip and by zstd.
 * Guarantees: what the server reads is both, one behind the other. */
static void a_body_in_parts_is_one_to_the_server(void **state)
{
    static const struct {
        const char *conf;
        enum gw_codec codec;
    } cases[] = {{"{endpoint: 'c:4317', compression: none}", GW_IDENTITY},
                 {"{endpoint: 'c:4317'}", GW_GZIP},
                 {"{endpoint: 'c:4317', compression: zstd}", GW_ZSTD}};
    const struct gw_slice parts[2] = {gw_slice_of(TRACES, sizeof(TRACES)), gw_slice_of(TRACES, sizeof(TRACES))};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct gw_rig_sent *s;
        struct gw_buf out;

        gw_buf_init(&out, 1000);
        gw_rig_open(&r, "otlp_grpc", cases[i].conf);
        gw_rig_send_rope(&r, GW_TRACES, (struct gw_rope){parts, 2, 2 * sizeof(TRACES)}, 2);
        s = gw_rig_sent(&r, 0);
        assert_int_equal(gw_decompress(cases[i].codec, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
        assert_int_equal(out.n, 2 * sizeof(TRACES));
        assert_memory_equal(out.p, TRACES, sizeof(TRACES));
        assert_memory_equal(out.p + sizeof(TRACES), TRACES, sizeof(TRACES));
        gw_rig_called(&r, 0, 0, "", NOTHING, NOTHING);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_buf_clear(&out);
        gw_rig_close(&r);
    }
}

/* Scenario: every form of endpoint, with and without tls.insecure; the old name of the exporter.
 * Guarantees: the scheme decides over TLS where there is one, the setting elsewhere. */
static void every_form_of_endpoint_gives_its_target(void **state)
{
    static const struct {
        const char *yaml, *target, *insecure;
    } cases[] = {
        {"{endpoint: 'http://c:4317'}", "c:4317", "1"},
        {"{endpoint: 'https://c:4317', tls: {insecure: true}}", "c:4317", "0"},
        {"{endpoint: 'c:4317', tls: {insecure: true}}", "c:4317", "1"},
        {"{endpoint: 'dns:///c:4317'}", "dns:///c:4317", "0"},
        {"{endpoint: 'passthrough:///c:4317'}", "c:4317", "0"},
        {"{endpoint: 'unix:///run/a.sock', tls: {insecure: true}}", "unix:///run/a.sock", "1"},
        {"{endpoint: '[::1]:4317'}", "[::1]:4317", "0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gw_rig_open(&r, "otlp", cases[i].yaml);
        assert_string_equal(gw_rig_conf(&r, "target"), cases[i].target);
        assert_string_equal(gw_rig_conf(&r, "insecure"), cases[i].insecure);
        gw_rig_close(&r);
    }
}

/* Scenario: each compression.
 * Guarantees: the call names it and its bytes unpack; a client that knows zstd and snappy is asked for only then. */
static void every_compression_is_named_and_unpacks(void **state)
{
    static const struct {
        const char *name;
        enum gw_codec codec;
        const char *any;
    } cases[] = {
        {"none", GW_IDENTITY, "0"}, {"gzip", GW_GZIP, "0"}, {"snappy", GW_SNAPPY_FRAMED, "1"}, {"zstd", GW_ZSTD, "1"}};
    char yaml[100];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct gw_rig_sent *s;
        struct gw_buf out;

        snprintf(yaml, sizeof(yaml), "{endpoint: 'c:1', compression: %s}", cases[i].name);
        gw_rig_open(&r, "otlp_grpc", yaml);
        send_rows(GW_TRACES, 1);
        s = gw_rig_sent(&r, 0);
        gw_buf_init(&out, 1000);
        assert_string_equal(s->encoding, i ? cases[i].name : "identity");
        assert_int_equal(gw_decompress(cases[i].codec, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
        assert_int_equal(out.n, sizeof(TRACES));
        assert_memory_equal(out.p, TRACES, sizeof(TRACES));
        assert_string_equal(gw_rig_conf(&r, "any_encoding"), cases[i].any);
        gw_buf_clear(&out);
        gw_rig_called(&r, 0, 0, "", NOTHING, NOTHING);
        gw_rig_close(&r);
    }
}

/* Scenario: every status code of gRPC, without details.
 * Guarantees: those that the specification calls retryable are retried, RESOURCE_EXHAUSTED is not, all others are for
 * good; the code is kept for a client that waits. */
static void every_status_has_its_verdict(void **state)
{
    static const enum gw_sent expect[17] = {
        GW_SENT_OK,        GW_SENT_RETRY,     GW_SENT_PERMANENT, GW_SENT_PERMANENT, GW_SENT_RETRY,
        GW_SENT_PERMANENT, GW_SENT_PERMANENT, GW_SENT_PERMANENT, GW_SENT_PERMANENT, GW_SENT_PERMANENT,
        GW_SENT_RETRY,     GW_SENT_RETRY,     GW_SENT_PERMANENT, GW_SENT_PERMANENT, GW_SENT_RETRY,
        GW_SENT_RETRY,     GW_SENT_PERMANENT,
    };

    (void)state;
    gw_rig_open(&r, "otlp_grpc", "endpoint: c:1");
    for (int status = 0; status < 17; status++) {
        send_rows(GW_TRACES, 1);
        gw_rig_called(&r, 0, status, "why", NOTHING, NOTHING);
        assert_int_equal(r.info.sent, expect[status]);
        assert_int_equal(r.info.grpc_status, status);
        assert_int_equal(r.info.retry_after_ns, 0);
    }
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 99, "why", NOTHING, NOTHING);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_string_equal(r.message, "the server answered unknown: why");
    gw_rig_close(&r);
}

/* Scenario: RetryInfo with a delay on RESOURCE_EXHAUSTED and UNAVAILABLE; without a delay; on INVALID_ARGUMENT; details
 * that are no Status.
 * Guarantees: RESOURCE_EXHAUSTED becomes retryable by it, the delay is handed on; what is for good stays so. */
static void retry_info_decides_over_resource_exhausted(void **state)
{
    static const uint8_t garbage[] = {0xff, 0xff, 0xff};

    (void)state;
    gw_rig_open(&r, "otlp_grpc", "endpoint: c:1");
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 8, "full", NOTHING, retry_info(1500));
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.retry_after_ns, 1500000000);
    assert_string_equal(r.reason, "resource_exhausted");
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 14, "down", NOTHING, retry_info(30000));
    assert_int_equal(r.info.retry_after_ns, 30000000000);
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 8, "full", NOTHING, retry_info(-1));
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.retry_after_ns, 0);
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 3, "bad", NOTHING, retry_info(1000));
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    send_rows(GW_TRACES, 1);
    gw_rig_called(&r, 0, 8, "full", NOTHING, gw_slice_of(garbage, 3));
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    gw_rig_close(&r);
}

/* Scenario: RESOURCE_EXHAUSTED about the size of the message, in the words of grpc-go and of core; the same of the
 * answer; a body over 64 MiB.
 * Guarantees: what is too large is split; an answer that is too large is not our message's fault. */
static void a_message_that_is_too_large_is_split(void **state)
{
    static uint8_t big[(64 << 20) + 1];
    static const char *const words[] = {"grpc: received message larger than max (5000000 vs. 4194304)",
                                        "grpc: received message after decompression larger than max (1 vs. 2)",
                                        "SERVER: Received message larger than max (9 vs. 8)"};

    (void)state;
    gw_rig_open(&r, "otlp_grpc", "endpoint: c:1");
    for (unsigned i = 0; i < 3; i++) {
        send_rows(GW_TRACES, 10);
        gw_rig_called(&r, 0, 8, words[i], NOTHING, NOTHING);
        assert_int_equal(r.info.sent, GW_SENT_TOO_LARGE);
    }
    send_rows(GW_TRACES, 10);
    gw_rig_called(&r, 0, 8, "CLIENT: Received message larger than max (9 vs. 8)", NOTHING, NOTHING);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    gw_rig_send(&r, GW_TRACES, gw_slice_of(big, sizeof(big)), 1000);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.info.sent, GW_SENT_TOO_LARGE);
    gw_rig_close(&r);
}

/* Scenario: OK with a partial success of 2 rows.
 * Guarantees: delivered, counted, its message kept and logged; never retried. */
static void rejected_rows_are_counted(void **state)
{
    static const uint8_t two[] = {0x0a, 0x07, 0x08, 0x02, 0x12, 0x03, 'o', 'l', 'd'};

    (void)state;
    gw_rig_open(&r, "otlp_grpc", "endpoint: c:1");
    send_rows(GW_LOGS, 3);
    gw_rig_called(&r, 0, 0, "", gw_slice_of(two, sizeof(two)), NOTHING);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.info.rejected_rows, 2);
    assert_string_equal(r.message, "old");
    assert_non_null(strstr(r.log, "rejected 2 rows: old"));
    gw_rig_close(&r);
}

/* Scenario: metadata, an authenticator with and without a token, cancel.
 * Guarantees: both are sent; without a token nothing is, and the attempt is retried; cancel reaches the call. */
static void headers_credentials_and_cancel_reach_the_call(void **state)
{
    (void)state;
    gw_rig_open(&r, "otlp_grpc",
                "{endpoint: 'c:1', headers: {x-tenant: blue}, auth: {authenticator: bearertokenauth}}");
    send_rows(GW_LOGS, 1);
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "x-tenant"), "blue");
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "authorization"), "Bearer secret-token");
    r.component->exporter->cancel(r.self, &r.a);
    assert_true(gw_rig_sent(&r, 0)->cancelled);
    gw_rig_called(&r, 0, 1, "cancelled", NOTHING, NOTHING);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_grpc", "{endpoint: 'c:1', auth: {authenticator: bearertokenauth/broken}}");
    send_rows(GW_LOGS, 1);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    gw_rig_close(&r);
}

/* Scenario: a compressible body, compression_params: level 1 and 9. Guarantees: 9 is smaller. */
static void the_level_of_compression_is_used(void **state)
{
    static char body[200000];
    size_t sizes[2];

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = "abcdefgh"[(i * 7919 + i / 97 * 31 + i * i / 1013) % 8];
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_open(&r, "otlp_grpc",
                    i ? "{endpoint: 'c:1', compression_params: {level: 9}}"
                      : "{endpoint: 'c:1', compression_params: {level: 1}}");
        gw_rig_send(&r, GW_LOGS, gw_slice_of(body, sizeof(body)), 1);
        sizes[i] = gw_rig_sent(&r, 0)->n_body;
        gw_rig_called(&r, 0, 0, "", NOTHING, NOTHING);
        gw_rig_close(&r);
    }
    assert_true(sizes[1] < sizes[0]);
}

/* Scenario: every setting of the connection.
 * Guarantees: each reaches the client. */
static void settings_of_the_connection_reach_the_client(void **state)
{
    static const char *const expect[][2] = {
        {"authority", "gw.example"},
        {"user_agent", "mine/1"},
        {"load_balancing", "pick_first"},
        {"wait_for_ready", "1"},
        {"keepalive_time_ms", "30000"},
        {"keepalive_timeout_ms", "5000"},
        {"keepalive_without_calls", "1"},
        {"ca_file", "/ca"},
        {"cert_file", "/cert"},
        {"key_file", "/key"},
        {"server_name_override", "other"},
        {"insecure_skip_verify", "1"},
        {"reload_ms", "60000"},
    };

    (void)state;
    gw_rig_open(&r, "otlp_grpc",
                "endpoint: c:4317\nauthority: gw.example\nuser_agent: mine/1\nbalancer_name: pick_first\n"
                "wait_for_ready: true\nkeepalive: {time: 30s, timeout: 5s, permit_without_stream: true}\n"
                "tls: {ca_file: /ca, cert_file: /cert, key_file: /key, server_name_override: other,\n"
                "      insecure_skip_verify: true, reload_interval: 1m}\nread_buffer_size: 1\nwrite_buffer_size: 1\n");
    for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++)
        assert_string_equal(gw_rig_conf(&r, expect[i][0]), expect[i][1]);
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_grpc", "{endpoint: 'c:1', keepalive: }");
    assert_string_equal(gw_rig_conf(&r, "keepalive_time_ms"), "10000");
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_grpc",
                "{endpoint: 'c:1', tls: {min_version: '1.2', max_version: '1.3', include_system_ca_certs_pool: true}}");
    assert_string_equal(gw_rig_conf(&r, "min_version"), "1.2");
    assert_string_equal(gw_rig_conf(&r, "max_version"), "1.3");
    assert_string_equal(gw_rig_conf(&r, "system_ca"), "1");
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_grpc", "{endpoint: 'c:1', tls: {ca_pem: a, cert_pem: b, key_pem: c}}");
    assert_string_equal(gw_rig_conf(&r, "ca_pem"), "a");
    assert_string_equal(gw_rig_conf(&r, "cert_pem"), "b");
    assert_string_equal(gw_rig_conf(&r, "key_pem"), "c");
    gw_rig_close(&r);
}

/* Scenario: a call at metrics level detailed and below. Guarantees: at detailed it is measured; below it is not. */
static void calls_are_measured_at_level_detailed(void **state)
{
    static const struct gw_exposition how = {0};

    (void)state;
    for (unsigned detailed = 0; detailed < 2; detailed++) {
        struct gw_buf out;

        gw_rig_open(&r, "otlp_grpc", "endpoint: c:1");
        r.ctx.detailed = detailed;
        r.ctx.meter = gw_meter_new();
        send_rows(GW_LOGS, 1);
        r.mono_ns += 500000000;
        gw_rig_called(&r, 0, 14, "away", NOTHING, NOTHING);
        gw_buf_init(&out, 1 << 20);
        gw_meter_write(r.ctx.meter, &how, &out);
        gw_buf_put_u8(&out, 0);
        assert_int_equal(!!strstr((char *)out.p,
                                  "rpc_client_call_duration_sum{rpc_method=\"opentelemetry.proto.collector."
                                  "logs.v1.LogsService/Export\",rpc_response_status_code="
                                  "\"UNAVAILABLE\",rpc_system_name=\"grpc\"} 0.5\n"),
                         detailed);
        gw_buf_clear(&out);
        gw_meter_free(r.ctx.meter);
        gw_rig_close(&r);
    }
}

/* Scenario: settings that cannot work.
 * Guarantees: each is found before anything starts, and named. */
static void mistakes_are_found_in_the_settings(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "needs an endpoint"},
        {"endpoint: collector", "has no port"},
        {"endpoint: http://collector:4318/v1/traces", "has a path"},
        {"{endpoint: 'c:1', compression: lz4}", "compression"},
        {"{endpoint: 'c:1', compression: snappy, compression_params: {level: 1}}", "level"},
        {"{endpoint: 'c:1', balancer_name: random}", "balancer_name"},
        {"{endpoint: 'c:1', tls: {min_version: '1.3'}}", "cannot be changed"},
        {"{endpoint: 'c:1', tls: {max_version: '1.2'}}", "cannot be changed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rig_configure(&r, "otlp_grpc", cases[i][0]), -EINVAL);
        if (!strstr(r.said, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], r.said);
        gw_rig_close(&r);
    }
    /* Where TLS is not spoken, or by the other library, they are none. */
    assert_int_equal(gw_rig_configure(&r, "otlp_grpc", "{endpoint: 'http://c:1', tls: {min_version: '1.3'}}"), 0);
    gw_rig_close(&r);
    assert_int_equal(
        gw_rig_configure(&r, "otlp_grpc", "{endpoint: 'c:1', compression: zstd, tls: {min_version: '1.3'}}"), 0);
    gw_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_goes_to_the_signals_method),
        cmocka_unit_test(a_body_in_parts_is_one_to_the_server),
        cmocka_unit_test(every_form_of_endpoint_gives_its_target),
        cmocka_unit_test(every_compression_is_named_and_unpacks),
        cmocka_unit_test(every_status_has_its_verdict),
        cmocka_unit_test(retry_info_decides_over_resource_exhausted),
        cmocka_unit_test(a_message_that_is_too_large_is_split),
        cmocka_unit_test(rejected_rows_are_counted),
        cmocka_unit_test(headers_credentials_and_cancel_reach_the_call),
        cmocka_unit_test(the_level_of_compression_is_used),
        cmocka_unit_test(settings_of_the_connection_reach_the_client),
        cmocka_unit_test(calls_are_measured_at_level_detailed),
        cmocka_unit_test(mistakes_are_found_in_the_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
