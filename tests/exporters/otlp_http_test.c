/* SPDX-License-Identifier: Apache-2.0 */
/* otlp_http against a scripted HTTP client: what is sent, and what every answer means. */
#include "tests/harness_exporter.h"

#include <stdio.h>

#include "exporters/common/otlp_answer.h"
#include "net/compress.h"
#include "otlp-proto/json.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static struct gw_rig r;

/* One span in one resource: ExportTraceServiceRequest { resource_spans { scope_spans { spans { name: "a" } } } } */
static const uint8_t TRACES[] = {0x0a, 0x07, 0x12, 0x05, 0x12, 0x03, 0x2a, 0x01, 'a'};

static void send_traces(void)
{
    gw_rig_send(&r, GW_TRACES, gw_slice_of(TRACES, sizeof(TRACES)), 1);
}

/* Scenario: the defaults and a base endpoint.
 * Guarantees: POST to endpoint/v1/<signal>, protobuf, gzip that unpacks to the body, our user agent, the attempt's
 * time-out, HTTP/2 offered, answers capped at 64 KiB. */
static void a_body_goes_to_the_signals_path(void **state)
{
    static const struct {
        enum gw_signal signal;
        const char *url;
    } cases[] = {{GW_TRACES, "http://c:4318/v1/traces"},
                 {GW_METRICS, "http://c:4318/v1/metrics"},
                 {GW_LOGS, "http://c:4318/v1/logs"}};
    struct gw_buf out;

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c:4318");
    assert_int_equal(r.a.timeout_ns, 30ull * 1000000000);
    gw_buf_init(&out, 1000);
    for (unsigned i = 0; i < 3; i++) {
        const struct gw_rig_sent *s;

        gw_rig_send(&r, cases[i].signal, gw_slice_of(TRACES, sizeof(TRACES)), 1);
        s = gw_rig_sent(&r, 0);
        assert_string_equal(s->method, "POST");
        assert_string_equal(s->url, cases[i].url);
        assert_string_equal(gw_rig_header(s, "Content-Type"), "application/x-protobuf");
        assert_string_equal(gw_rig_header(s, "Content-Encoding"), "gzip");
        assert_int_equal(s->timeout_ns, 30ull * 1000000000);
        gw_buf_reset(&out);
        assert_int_equal(gw_decompress(GW_GZIP, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
        assert_memory_equal(out.p, TRACES, sizeof(TRACES));
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.info.rejected_rows, 0);
    }
    gw_buf_clear(&out);
    assert_string_equal(gw_rig_conf(&r, "user_agent"), "Staunch/" GW_VERSION " (linux/amd64)");
    assert_string_equal(gw_rig_conf(&r, "http1_only"), "0");
    assert_string_equal(gw_rig_conf(&r, "max_response_bytes"), "65536");
    assert_string_equal(gw_rig_conf(&r, "max_idle_conns"), "100");
    assert_string_equal(gw_rig_conf(&r, "idle_conn_timeout_ms"), "90000");
    gw_rig_close(&r);
}

/* Scenario: a body of two spans that lies in two places, sent as it is, by gzip, zstd and snappy, and as JSON.
 * Guarantees: what the server reads is both, one behind the other; as it is it goes without a copy. */
static void a_body_in_parts_is_one_to_the_server(void **state)
{
    static const struct {
        const char *conf;
        enum gw_codec codec;
        bool json;
    } cases[] = {{"endpoint: http://c:4318\ncompression: none", GW_IDENTITY, false},
                 {"endpoint: http://c:4318\ncompression: gzip", GW_GZIP, false},
                 {"endpoint: http://c:4318\ncompression: zstd", GW_ZSTD, false},
                 {"endpoint: http://c:4318\ncompression: snappy", GW_SNAPPY, false},
                 {"endpoint: http://c:4318\ncompression: none\nencoding: json", GW_IDENTITY, true},
                 {"endpoint: http://c:4318\ncompression: gzip\nencoding: json", GW_GZIP, true}};
    uint8_t other[sizeof(TRACES)], both[2 * sizeof(TRACES)];
    const struct gw_slice parts[2] = {gw_slice_of(TRACES, sizeof(TRACES)), gw_slice_of(other, sizeof(other))};

    (void)state;
    memcpy(other, TRACES, sizeof(TRACES));
    other[sizeof(TRACES) - 1] = 'b';
    memcpy(both, TRACES, sizeof(TRACES));
    memcpy(both + sizeof(TRACES), other, sizeof(other));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_rig_sent *s;
        struct gw_buf out, json;

        gw_rig_open(&r, "otlp_http", cases[i].conf);
        gw_buf_init(&out, 1000);
        gw_buf_init(&json, 1000);
        gw_rig_send_rope(&r, GW_TRACES, (struct gw_rope){parts, 2, sizeof(both)}, 2);
        s = gw_rig_sent(&r, 0);
        assert_int_equal(((struct gw_http_request *)s->what)->parts == parts,
                         cases[i].codec == GW_IDENTITY && !cases[i].json);
        assert_int_equal(gw_decompress(cases[i].codec, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
        assert_int_equal(gw_proto_to_json(GW_TRACES, gw_slice_of(both, sizeof(both)), &json), 0);
        assert_true(
            gw_slice_eq(gw_buf_slice(&out), cases[i].json ? gw_buf_slice(&json) : gw_slice_of(both, sizeof(both))));
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_rig_send(&r, GW_TRACES, parts[1], 1); /* with what is kept of the first */
        s = gw_rig_sent(&r, 0);
        assert_null(((struct gw_http_request *)s->what)->parts);
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        gw_buf_clear(&out);
        gw_buf_clear(&json);
        gw_rig_close(&r);
    }
}

/* Scenario: endpoints with and without a slash, whole URLs of signals, a Unix socket, the old name of the exporter.
 * Guarantees: base + path with one slash; a signal's own URL as it is; a signal without any is refused for good. */
static void every_form_of_endpoint_gives_its_url(void **state)
{
    static const struct {
        const char *yaml, *url;
    } cases[] = {
        {"endpoint: https://c:4318/", "https://c:4318/v1/traces"},
        {"endpoint: https://c/otlp", "https://c/otlp/v1/traces"},
        {"traces_endpoint: https://t/x", "https://t/x"},
        {"{endpoint: https://c, traces_endpoint: https://t/y}", "https://t/y"},
        {"endpoint: unix:///run/a.sock", "unix:///run/a.sock:/v1/traces"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gw_rig_open(&r, "otlphttp", cases[i].yaml);
        send_traces();
        assert_string_equal(gw_rig_sent(&r, 0)->url, cases[i].url);
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        gw_rig_close(&r);
    }
    gw_rig_open(&r, "otlp_http", "logs_endpoint: http://l/");
    send_traces();
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_http", "{endpoint: http://c, metrics_endpoint: http://m/, logs_endpoint: http://l/}");
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_send(&r, i ? GW_LOGS : GW_METRICS, GW_SLICE("\x0a\x00"), 1);
        assert_string_equal(gw_rig_sent(&r, 0)->url, i ? "http://l/" : "http://m/");
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
    }
    gw_rig_close(&r);
}

/* Scenario: every compression of the list.
 * Guarantees: the header names it and the body unpacks; "none" sends the bytes as they are, without the header. */
static void every_compression_is_named_and_unpacks(void **state)
{
    static const struct {
        const char *name;
        enum gw_codec codec;
    } cases[] = {{"none", GW_IDENTITY},
                 {"gzip", GW_GZIP},
                 {"zstd", GW_ZSTD},
                 {"zlib", GW_ZLIB},
                 {"deflate", GW_ZLIB},
                 {"snappy", GW_SNAPPY},
                 {"x-snappy-framed", GW_SNAPPY_FRAMED},
                 {"lz4", GW_LZ4}};
    char yaml[100];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct gw_rig_sent *s;
        struct gw_buf out;

        snprintf(yaml, sizeof(yaml), "{endpoint: http://c, compression: %s}", cases[i].name);
        gw_rig_open(&r, "otlp_http", yaml);
        send_traces();
        s = gw_rig_sent(&r, 0);
        if (cases[i].codec == GW_IDENTITY) {
            assert_null(gw_rig_header(s, "Content-Encoding"));
            assert_int_equal(s->n_body, sizeof(TRACES));
            assert_memory_equal(s->body, TRACES, sizeof(TRACES));
        } else {
            gw_buf_init(&out, 1000);
            assert_string_equal(gw_rig_header(s, "Content-Encoding"), cases[i].name);
            assert_int_equal(gw_decompress(cases[i].codec, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
            assert_int_equal(out.n, sizeof(TRACES));
            assert_memory_equal(out.p, TRACES, sizeof(TRACES));
            gw_buf_clear(&out);
        }
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        gw_rig_close(&r);
    }
}

/* Scenario: a compressible body at level 1 and level 9.
 * Guarantees: the level reaches the codec: 9 is smaller. */
static void the_level_of_compression_is_used(void **state)
{
    static char body[200000];
    size_t sizes[2];

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = "abcdefgh"[(i * 7919 + i / 97 * 31 + i * i / 1013) % 8];
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_open(&r, "otlp_http",
                    i ? "{endpoint: http://c, compression_params: {level: 9}}"
                      : "{endpoint: http://c, compression_params: {level: 1}}");
        gw_rig_send(&r, GW_LOGS, gw_slice_of(body, sizeof(body)), 1);
        sizes[i] = gw_rig_sent(&r, 0)->n_body;
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        gw_rig_close(&r);
    }
    assert_true(sizes[1] < sizes[0]);
}

/* Scenario: encoding json.
 * Guarantees: the type says JSON, the body is the request as JSON, and a JSON answer's partial success is read. */
static void json_goes_out_and_is_understood_coming_back(void **state)
{
    const struct gw_rig_sent *s;

    (void)state;
    gw_rig_open(&r, "otlp_http", "{endpoint: http://c, encoding: json, compression: none}");
    send_traces();
    s = gw_rig_sent(&r, 0);
    assert_string_equal(gw_rig_header(s, "Content-Type"), "application/json");
    assert_non_null(strstr((const char *)s->body, "\"resourceSpans\""));
    assert_non_null(strstr((const char *)s->body, "\"name\":\"a\""));
    gw_rig_http(&r, 0, 200, "content-type: application/json\n",
                GW_SLICE("{\"partialSuccess\": {\"rejectedSpans\": \"1\", \"errorMessage\": \"too \\\"old\\\"\"}}"));
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.info.rejected_rows, 1);
    assert_string_equal(r.message, "too \"old\"");
    gw_rig_close(&r);
}

/* Scenario: headers of ours (one that we set ourselves too), an authenticator, and one that has no token now.
 * Guarantees: they are sent, the configured one wins; without a token the attempt is retried and nothing is sent. */
static void headers_and_credentials_are_sent(void **state)
{
    const struct gw_rig_sent *s;

    (void)state;
    gw_rig_open(&r, "otlp_http",
                "{endpoint: http://c, headers: {x-tenant: blue, user-agent: mine/1, Content-Type: x/y},"
                " auth: {authenticator: bearertokenauth/a}}");
    send_traces();
    s = gw_rig_sent(&r, 0);
    assert_string_equal(gw_rig_header(s, "x-tenant"), "blue");
    assert_string_equal(gw_rig_header(s, "Content-Type"), "x/y");
    assert_string_equal(gw_rig_header(s, "authorization"), "Bearer secret-token");
    assert_string_equal(gw_rig_conf(&r, "user_agent"), "");
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
    gw_rig_close(&r);

    gw_rig_open(&r, "otlp_http", "{endpoint: http://c, auth: {authenticator: bearertokenauth/broken}}");
    send_traces();
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_string_equal(r.reason, "auth");
    gw_rig_close(&r);

    gw_rig_configure(&r, "otlp_http", "{endpoint: http://c, auth: {authenticator: basicauth/server}}");
    assert_int_equal(gw_rig_start(&r), -EINVAL);
    gw_rig_close(&r);
    gw_rig_configure(&r, "otlp_http", "{endpoint: http://c, auth: {authenticator: nobody}}");
    assert_int_equal(gw_rig_start(&r), -ENOENT);
    gw_rig_close(&r);
}

/* Scenario: every status of the table, answered to one attempt each.
 * Guarantees: only 2xx is delivered; 429, 502, 503, 504 are retried; 413 is split; all others, redirects included, are
 * for good. */
static void every_status_has_its_verdict(void **state)
{
    static const struct {
        int status;
        enum gw_sent sent;
    } cases[] = {{200, GW_SENT_OK},        {202, GW_SENT_OK},        {204, GW_SENT_OK},        {301, GW_SENT_PERMANENT},
                 {307, GW_SENT_PERMANENT}, {400, GW_SENT_PERMANENT}, {401, GW_SENT_PERMANENT}, {403, GW_SENT_PERMANENT},
                 {404, GW_SENT_PERMANENT}, {408, GW_SENT_PERMANENT}, {413, GW_SENT_TOO_LARGE}, {415, GW_SENT_PERMANENT},
                 {429, GW_SENT_RETRY},     {500, GW_SENT_PERMANENT}, {501, GW_SENT_PERMANENT}, {502, GW_SENT_RETRY},
                 {503, GW_SENT_RETRY},     {504, GW_SENT_RETRY},     {505, GW_SENT_PERMANENT}};
    char reason[16];

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        send_traces();
        gw_rig_http(&r, 0, cases[i].status, NULL, GW_SLICE(""));
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, cases[i].sent);
        assert_int_equal(r.info.retry_after_ns, 0);
        if (cases[i].sent == GW_SENT_OK)
            continue;
        snprintf(reason, sizeof(reason), "http_%d", cases[i].status);
        assert_string_equal(r.reason, reason);
    }
    gw_rig_close(&r);
}

/* Scenario: no answer at all, in every way there is.
 * Guarantees: tried again, each under its name. */
static void a_broken_connection_is_tried_again(void **state)
{
    static const struct {
        enum gw_http_failure failure;
        const char *reason;
    } cases[] = {{GW_HTTP_CONNECT, "connect"},
                 {GW_HTTP_TIMEOUT, "timeout"},
                 {GW_HTTP_BROKEN, "connection"},
                 {GW_HTTP_CANCELLED, "cancelled"}};

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    for (size_t i = 0; i < 4; i++) {
        send_traces();
        r.component->exporter->cancel(r.self, &r.a);
        assert_true(gw_rig_sent(&r, 0)->cancelled);
        gw_rig_http_fail(&r, 0, cases[i].failure, "a sentence");
        assert_int_equal(r.info.sent, GW_SENT_RETRY);
        assert_string_equal(r.reason, cases[i].reason);
        assert_string_equal(r.message, "a sentence");
    }
    gw_rig_close(&r);
}

/* Scenario: Retry-After as seconds, as a date, in the past, as nonsense; on 429, 502, 503 and 504.
 * Guarantees: honoured with all of them; nonsense counts as absent. */
static void retry_after_is_honoured(void **state)
{
    static const struct {
        int status;
        const char *header;
        uint64_t seconds;
    } cases[] = {{429, "retry-after: 7\n", 7},
                 {503, "retry-after: 120\n", 120},
                 {502, "retry-after: 7\n", 7},
                 {504, "retry-after: 8\n", 8},
                 {503, "retry-after: Tue, 14 Nov 2023 22:13:50 GMT\n", 30},
                 {503, "retry-after: Tue, 14 Nov 2023 22:00:00 GMT\n", 0},
                 {503, "retry-after: Tue, 14 Nov 3023 22:13:50 GMT\n", 0},
                 {503, "retry-after: soon\n", 0},
                 {503, "retry-after: -5\n", 0},
                 {503, "retry-after: 99999999999999999999\n", 0}};

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        send_traces();
        gw_rig_http(&r, 0, cases[i].status, cases[i].header, GW_SLICE(""));
        assert_int_equal(r.info.sent, GW_SENT_RETRY);
        assert_int_equal(r.info.retry_after_ns, cases[i].seconds * 1000000000);
    }
    gw_rig_close(&r);
}

/* Scenario: 400 with a google.rpc.Status, as protobuf and as JSON; with a body that is neither.
 * Guarantees: its message stands in ours; anything else is no reason to fail. */
static void the_servers_sentence_reaches_the_log(void **state)
{
    static char text[] = "spans[3]: bad \n id";
    Google__Rpc__Status st = GOOGLE__RPC__STATUS__INIT;
    uint8_t packed[100];
    size_t n;

    (void)state;
    st.code = 3;
    st.message = text;
    n = google__rpc__status__pack(&st, packed);
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    send_traces();
    gw_rig_http(&r, 0, 400, "content-type: application/x-protobuf\n", gw_slice_of(packed, n));
    assert_string_equal(r.message, "the server answered HTTP 400: spans[3]: bad   id");
    assert_int_equal(r.info.grpc_status, 3);
    send_traces();
    gw_rig_http(&r, 0, 400, "content-type: application/json\n", GW_SLICE("{\"code\":3,\"message\":\"no\"}"));
    assert_string_equal(r.message, "the server answered HTTP 400: no");
    send_traces();
    gw_rig_http(&r, 0, 404, "content-type: text/html\n", GW_SLICE("<html>\xff\xff\xff\xff"));
    assert_string_equal(r.message, "the server answered HTTP 404");
    gw_rig_close(&r);
}

/* Scenario: 200 with a partial success: 2 of 3 rows, then more rows than were sent, then a warning without rows.
 * Guarantees: delivered, the rejected rows counted, never more than there were; the message kept and logged. */
static void rejected_rows_are_counted(void **state)
{
    static const uint8_t two[] = {0x0a, 0x07, 0x08, 0x02, 0x12, 0x03, 'o', 'l', 'd'};
    static const uint8_t many[] = {0x0a, 0x03, 0x08, 0xe8, 0x07};
    static const uint8_t warning[] = {0x0a, 0x05, 0x12, 0x03, 'o', 'l', 'd'};

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    gw_rig_send(&r, GW_TRACES, gw_slice_of(TRACES, sizeof(TRACES)), 3);
    gw_rig_http(&r, 0, 200, "content-type: application/x-protobuf\n", gw_slice_of(two, sizeof(two)));
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.info.rejected_rows, 2);
    assert_string_equal(r.message, "old");
    assert_non_null(strstr(r.log, "rejected 2 rows: old"));
    gw_rig_send(&r, GW_TRACES, gw_slice_of(TRACES, sizeof(TRACES)), 3);
    gw_rig_http(&r, 0, 200, NULL, gw_slice_of(many, sizeof(many)));
    assert_int_equal(r.info.rejected_rows, 3);
    gw_rig_send(&r, GW_TRACES, gw_slice_of(TRACES, sizeof(TRACES)), 3);
    gw_rig_http(&r, 0, 200, NULL, gw_slice_of(warning, sizeof(warning)));
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.info.rejected_rows, 0);
    assert_string_equal(r.message, "old");
    gw_rig_close(&r);
}

/* Scenario: a body over 64 MiB.
 * Guarantees: it is not sent but split. */
static void a_body_over_the_limit_of_otlp_is_split(void **state)
{
    static uint8_t big[(64 << 20) + 1];

    (void)state;
    gw_rig_open(&r, "otlp_http", "endpoint: http://c");
    gw_rig_send(&r, GW_TRACES, gw_slice_of(big, sizeof(big)), 1000);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.info.sent, GW_SENT_TOO_LARGE);
    gw_rig_close(&r);
}

/* Scenario: every setting of the connection.
 * Guarantees: each reaches the client. */
static void settings_of_the_connection_reach_the_client(void **state)
{
    static const char *const expect[][2] = {
        {"proxy_url", "http://p:3128"},
        {"ca_file", "/ca"},
        {"cert_file", "/cert"},
        {"key_file", "/key"},
        {"insecure_skip_verify", "1"},
        {"min_version", "1.3"},
        {"max_version", "1.3"},
        {"server_name_override", "other"},
        {"system_ca", "1"},
        {"reload_ms", "60000"},
        {"max_idle_conns", "5"},
        {"max_conns_per_host", "3"},
        {"idle_conn_timeout_ms", "7000"},
        {"disable_keep_alives", "1"},
        {"http1_only", "1"},
        {"cookies", "1"},
        {"read_buffer_bytes", "2048"},
        {"write_buffer_bytes", "65536"},
    };

    (void)state;
    gw_rig_open(
        &r, "otlp_http",
        "endpoint: https://c\n"
        "proxy_url: http://p:3128\n"
        "tls: {ca_file: /ca, cert_file: /cert, key_file: /key, insecure_skip_verify: true, min_version: \"1.3\",\n"
        "      max_version: \"1.3\", server_name_override: other, include_system_ca_certs_pool: true,\n"
        "      reload_interval: 1m}\n"
        "max_idle_conns: 9\nmax_idle_conns_per_host: 5\nmax_conns_per_host: 3\nidle_conn_timeout: 7s\n"
        "disable_keep_alives: true\nforce_attempt_http2: false\ncookies: {enabled: true}\n"
        "read_buffer_size: 2048\nwrite_buffer_size: 65536\n"
        "http2_ping_timeout: 3s\nhttp2_read_idle_timeout: 3s\n");
    for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++)
        assert_string_equal(gw_rig_conf(&r, expect[i][0]), expect[i][1]);
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_http", "{endpoint: http://c, max_idle_conns: 4, cookies: {enabled: false}}");
    assert_string_equal(gw_rig_conf(&r, "max_idle_conns"), "4");
    assert_string_equal(gw_rig_conf(&r, "cookies"), "0");
    gw_rig_close(&r);
    gw_rig_open(&r, "otlp_http", "{endpoint: 'https://c', tls: {ca_pem: a, cert_pem: b, key_pem: c}}");
    assert_string_equal(gw_rig_conf(&r, "ca_pem"), "a");
    assert_string_equal(gw_rig_conf(&r, "cert_pem"), "b");
    assert_string_equal(gw_rig_conf(&r, "key_pem"), "c");
    gw_rig_close(&r);
}

/* Scenario: a request that is answered, one that is not, at metrics level detailed and below.
 * Guarantees: at detailed each is measured, from the send to the answer; below none is. */
static void requests_are_measured_at_level_detailed(void **state)
{
    static const struct gw_exposition how = {0};

    (void)state;
    for (unsigned detailed = 0; detailed < 2; detailed++) {
        struct gw_buf out;

        gw_rig_open(&r, "otlp_http", "endpoint: http://c:1");
        r.ctx.detailed = detailed;
        r.ctx.meter = gw_meter_new();
        for (unsigned i = 0; i < 2; i++) {
            send_traces();
            r.mono_ns += 500000000;
            if (i)
                gw_rig_http_fail(&r, 0, GW_HTTP_CONNECT, "refused");
            else
                gw_rig_http(&r, 0, 200, NULL, GW_SLICE(""));
        }
        gw_buf_init(&out, 1 << 20);
        gw_meter_write(r.ctx.meter, &how, &out);
        gw_buf_put_u8(&out, 0);
        assert_int_equal(!!strstr((char *)out.p, "http_client_request_duration_sum{http_request_method=\"POST\","
                                                 "http_response_status_code=\"200\",network_protocol_name=\"http\","
                                                 "network_protocol_version=\"1.1\",server_address=\"c\","
                                                 "server_port=\"1\",url_scheme=\"http\"} 0.5\n"),
                         detailed);
        assert_int_equal(!!strstr((char *)out.p, "http_client_request_body_size_count{error_type=\"connect\""),
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
        {"endpoint: collector:4318", "is no URL"},
        {"logs_endpoint: collector:4318", "logs_endpoint"},
        {"{endpoint: http://c, compression: brotli}", "compression"},
        {"{endpoint: http://c, compression: snappy, compression_params: {level: 3}}", "level"},
        {"{endpoint: http://c, encoding: xml}", "encoding"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rig_configure(&r, "otlp_http", cases[i][0]), -EINVAL);
        assert_non_null(strstr(r.said, cases[i][1]));
        gw_rig_close(&r);
    }
}

/* Scenario: tls: insecure with an https:// and with an http:// endpoint.
 * Guarantees: a warning that it does not turn TLS off; nothing to say. */
static void insecure_is_warned_about_where_it_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(gw_rig_configure(&r, "otlp_http", "{endpoint: 'https://c', tls: {insecure: true}}"), 0);
    assert_non_null(strstr(r.said, "insecure does not turn TLS off"));
    gw_rig_close(&r);
    assert_int_equal(gw_rig_configure(&r, "otlp_http", "{endpoint: 'http://c', tls: {insecure: true}}"), 0);
    assert_string_equal(r.said, "");
    gw_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_goes_to_the_signals_path),
        cmocka_unit_test(a_body_in_parts_is_one_to_the_server),
        cmocka_unit_test(every_form_of_endpoint_gives_its_url),
        cmocka_unit_test(every_compression_is_named_and_unpacks),
        cmocka_unit_test(the_level_of_compression_is_used),
        cmocka_unit_test(json_goes_out_and_is_understood_coming_back),
        cmocka_unit_test(headers_and_credentials_are_sent),
        cmocka_unit_test(every_status_has_its_verdict),
        cmocka_unit_test(a_broken_connection_is_tried_again),
        cmocka_unit_test(retry_after_is_honoured),
        cmocka_unit_test(the_servers_sentence_reaches_the_log),
        cmocka_unit_test(rejected_rows_are_counted),
        cmocka_unit_test(a_body_over_the_limit_of_otlp_is_split),
        cmocka_unit_test(settings_of_the_connection_reach_the_client),
        cmocka_unit_test(requests_are_measured_at_level_detailed),
        cmocka_unit_test(mistakes_are_found_in_the_settings),
        cmocka_unit_test(insecure_is_warned_about_where_it_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
