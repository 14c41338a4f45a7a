/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of prometheus_remote_write: each changes something; mistakes are found. */
#include "tests/exporters/prometheus_remote_write/server_rig.h"

#include "exporters/prometheus_remote_write/rw.h"

static void send_point(const char *name, bool delta, const char *service)
{
    gw_buf_reset(&body);
    put_point(&body, name, 1000, 5, delta, service);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 1);
}

/* ---- the connection -----------------------------------------------------------------------------------------------
 */

/* Scenario: every key of the connection away from its default: flat in the exporter's block (endpoint, proxy_url, tls:
 * insecure, insecure_skip_verify, server_name_override, ca_file, ca_pem, include_system_ca_certs_pool, cert_file,
 * cert_pem, key_file, key_pem, min_version, max_version, reload_interval; max_idle_conns, max_idle_conns_per_host,
 * max_conns_per_host, idle_conn_timeout, disable_keep_alives, force_attempt_http2, cookies: enabled, read_buffer_size,
 * write_buffer_size, headers, auth: authenticator), and the same in the block http.
 * Guarantees: they reach the client. */
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
    static const char *const blocks[] = {
        "{endpoint: https://c/w, proxy_url: http://p:3128,\n"
        " tls: {ca_file: /ca, cert_file: /cert, key_file: /key, insecure_skip_verify: true, min_version: \"1.3\",\n"
        "       max_version: \"1.3\", server_name_override: other, include_system_ca_certs_pool: true,\n"
        "       reload_interval: 1m},\n"
        " max_idle_conns: 9, max_idle_conns_per_host: 5, max_conns_per_host: 3, idle_conn_timeout: 7s,\n"
        " disable_keep_alives: true, force_attempt_http2: false, cookies: {enabled: true},\n"
        " headers: {X-Scope-OrgID: blue}, auth: {authenticator: bearertokenauth},\n"
        " read_buffer_size: 2048, write_buffer_size: 65536, http2_ping_timeout: 3s, http2_read_idle_timeout: 3s}",
        "{endpoint: https://c/w, max_idle_conns: 4, cookies: {enabled: false}}",
        "{endpoint: 'https://c/w', tls: {ca_pem: a, cert_pem: b, key_pem: c}}",
        "{endpoint: 'http://c/w', tls: {insecure: true}}",
    };
    char yaml[2000];

    (void)state;
    for (unsigned flat = 0; flat < 2; flat++)
        for (unsigned i = 0; i < 4; i++) {
            snprintf(yaml, sizeof(yaml), flat ? "%s" : "http: %s", blocks[i]);
            open_rig(yaml);
            for (size_t k = 0; i == 0 && k < sizeof(expect) / sizeof(expect[0]); k++)
                assert_string_equal(gw_rig_conf(&r, expect[k][0]), expect[k][1]);
            assert_string_equal(gw_rig_conf(&r, "max_idle_conns"), i == 0 ? "5" : i == 1 ? "4" : "100");
            assert_string_equal(gw_rig_conf(&r, "ca_pem"), i == 2 ? "a" : "");
            assert_string_equal(gw_rig_conf(&r, "cert_pem"), i == 2 ? "b" : "");
            assert_string_equal(gw_rig_conf(&r, "key_pem"), i == 2 ? "c" : "");
            assert_string_equal(gw_rig_conf(&r, "insecure"), i == 3 ? "1" : "0");
            send_point("m", false, NULL);
            assert_string_equal(gw_rig_sent(&r, 0)->url, i == 3 ? "http://c/w" : "https://c/w");
            if (i == 0) {
                assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "X-Scope-OrgID"), "blue");
                assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "authorization"), "Bearer secret-token");
            }
            gw_rig_http(&r, 0, 204, NULL, GW_SLICE(""));
            close_rig();
        }
}

/* Scenario: compression of every name, with a level in compression_params.
 * Guarantees: snappy, also when it is not named; everything else is refused, as are levels. */
static void only_snappy_is_spoken(void **state)
{
    static const struct {
        const char *yaml;
        bool ok;
    } cases[] = {
        {"{endpoint: http://c, compression: snappy}", true},
        {"{endpoint: http://c, compression: \"\"}", true},
        {"{endpoint: http://c, compression: gzip}", false},
        {"{endpoint: http://c, compression: none}", false},
        {"{http: {endpoint: http://c, compression: zstd}}", false},
        {"{endpoint: http://c, compression_params: {level: 3}}", false},
        {"{http: {endpoint: http://c, compression_params: {level: 3}}}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write", cases[i].yaml), cases[i].ok ? 0 : -EINVAL);
        if (!cases[i].ok)
            assert_non_null(strstr(r.said, i < 5 ? "compression type must be snappy" : "level"));
        gw_rig_close(&r);
    }
}

/* ---- the queue ------------------------------------------------------------------------------------------------------
 */

/* Scenario: the defaults; remote_write_queue with enabled, queue_size, num_consumers; the timeout of http; wal; the
 * Collector's sending_queue and retry_on_failure beside them.
 * Guarantees: they say what the queue does. With wal the queue is on and tries have no end, unless retry_on_failure
 * says when; a warning tells that no log is written. */
static void queue_and_wal_reach_the_queue(void **state)
{
    static const struct {
        const char *yaml;
        bool enabled;
        uint64_t queue_size, num_consumers, elapsed_s, timeout_s;
    } cases[] = {
        {"endpoint: http://c", true, 10000, 5, 300, 5},
        {"{endpoint: http://c, timeout: 7s}", true, 10000, 5, 300, 7},
        {"{http: {endpoint: http://c, timeout: 9s}}", true, 10000, 5, 300, 9},
        {"{endpoint: http://c, remote_write_queue: {enabled: false}}", false, 10000, 5, 300, 5},
        {"{endpoint: http://c, remote_write_queue: {queue_size: 70, num_consumers: 3}}", true, 70, 3, 300, 5},
        {"{endpoint: http://c, remote_write_queue: {num_consumers: 0}}", true, 10000, 1, 300, 5},
        {"{endpoint: http://c, sending_queue: {queue_size: 80, num_consumers: 4}}", true, 80, 4, 300, 5},
        {"{endpoint: http://c, wal: {directory: /w}, remote_write_queue: {enabled: false}}", true, 10000, 5, 0, 5},
        {"{endpoint: http://c, wal: , retry_on_failure: {max_elapsed_time: 1m}}", true, 10000, 5, 60, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write", cases[i].yaml), 0);
        assert_int_equal(r.queue.queue.enabled, cases[i].enabled);
        assert_int_equal(r.queue.queue.queue_size, cases[i].queue_size);
        assert_int_equal(r.queue.queue.num_consumers, cases[i].num_consumers);
        assert_int_equal(r.queue.retry.max_elapsed_time_ns, cases[i].elapsed_s * SECOND);
        assert_int_equal(r.queue.retry.initial_interval_ns, 50000000);
        assert_int_equal(r.queue.timeout_ns, cases[i].timeout_s * SECOND);
        assert_int_equal(!!strstr(r.said, "wal: no log is written"), i >= 7);
        gw_rig_close(&r);
    }
}

/* Scenario: mistakes, each in a configuration of its own.
 * Guarantees: they are found, in the Collector's words where it has some. */
static void mistakes_are_found_in_the_settings(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "needs an endpoint"},
        {"endpoint: localhost:8888", "is no URL"},
        {"{http: {endpoint: localhost:8888}}", "is no URL"},
        {"{endpoint: http://c, http: {endpoint: http://d}}", "beside http"},
        {"{endpoint: http://c, remote_write_queue: {queue_size: -1}}", "remote write queue size can't be negative"},
        {"{endpoint: http://c, remote_write_queue: {queue_size: 0}}", "a 0 size queue will drop all the data"},
        {"{endpoint: http://c, remote_write_queue: {num_consumers: -1}}",
         "remote write consumer number can't be negative"},
        {"{endpoint: http://c, max_batch_request_parallelism: 0}",
         "max_batch_request_parallelism can't be set to below 1"},
        {"{endpoint: http://c, max_batch_request_parallelism: 5000}", "no more than 1000"},
        {"{endpoint: http://c, max_batch_size_bytes: -1}", "max_batch_size_bytes must be greater than 0"},
        {"{endpoint: http://c, protobuf_message: io.prometheus.write.v4.Request}", "protobuf_message"},
        {"{endpoint: http://c, translation_strategy: invalid_strategy}", "translation_strategy"},
        {"{endpoint: http://c, translation_strategy: NoTranslation}",
         "translation strategy NoTranslation requires Prometheus Remote Write 2.0 (UTF-8 support)"},
        {"{endpoint: http://c, translation_strategy: NoUTF8EscapingWithSuffixes}",
         "requires Prometheus Remote Write 2.0"},
        {"{endpoint: http://c, external_labels: {a: \"\"}}", "contains an empty key or value"},
        {"{endpoint: http://c, headers: {content-type: x}}", "is set by remote write"},
        {"{endpoint: http://c, headers: {X-Prometheus-Remote-Write-Version: x}}", "is set by remote write"},
        {"{http: {endpoint: http://c, headers: {User-Agent: x}}}", "is set by remote write"},
        {"{endpoint: http://c, include_metadata_keys: [content-encoding]}",
         "include_metadata_keys entry \"content-encoding\" collides with a reserved remote write header"},
        {"{endpoint: http://c, include_metadata_keys: [a, b, c, d, e, f]}", "no more than 5"},
        {"{endpoint: http://c, include_metadata_keys: [a], sending_queue: {batch: }}", "batches mix requests"},
        {"{endpoint: http://c, series_cache: 1}", "series_cache"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write", cases[i][0]), -EINVAL);
        if (!strstr(r.said, cases[i][1]))
            fail_msg("%s said: %s", cases[i][0], r.said);
        gw_rig_close(&r);
    }
    assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write",
                                      "{endpoint: http://c, include_metadata_keys: [A],"
                                      " sending_queue: {batch: {partition: {metadata_keys: [a]}}}}"),
                     0);
    gw_rig_close(&r);
    assert_int_equal(
        gw_rig_configure(&r, "prometheusremotewrite", "{endpoint: http://c, keep_classic_histograms: true}"), 0);
    assert_non_null(strstr(r.said, "keep_classic_histograms has no effect"));
    gw_rig_close(&r);
}

/* ---- names and shapes -----------------------------------------------------------------------------------------------
 */

/* One metric as OTLP text, in a resource of service "shop", region "eu" and zone "a", and a scope "lib". */
static void send_metric(const char *metric)
{
    char json[4000];

    snprintf(
        json, sizeof(json),
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":"
        "\"shop\"}},{\"key\":\"region\",\"value\":{\"stringValue\":\"eu\"}},{\"key\":\"zone.id\",\"value\":"
        "{\"stringValue\":\"a\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\"},\"metrics\":[%s]}]}]}",
        metric);
    gw_buf_reset(&body);
    put_json(&body, json);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 1);
}

/* The first point is a Histogram, whose first field is a count, and no Sample, whose first is a double. */
static bool is_native(const struct gw_rw_body *b, uint32_t i)
{
    return b->points[b->series[i].points.begin].message.p[0] != GW_TAG(1, GW_I64);
}

static void describe_series(const struct gw_rw_body *b, uint32_t i, struct gw_buf *out)
{
    struct gw_slice name, value;
    struct gw_rw_label_iter it;
    bool first = true;

    gw_rw_labels_begin(b, &b->series[i], &it);
    while (gw_rw_labels_next(&it, &name, &value)) {
        if (gw_slice_is(name, "le") && !gw_slice_is(value, "+Inf"))
            continue;
        gw_buf_printf(out, "%s%.*s=%.*s", first ? "" : ",", (int)name.n, (const char *)name.p, (int)value.n,
                      (const char *)value.p);
        first = false;
    }
    gw_buf_put_str(out, is_native(b, i) ? " native\n" : "\n");
}

/* All series of what was sent, a line each; "metadata" when there is some of 1.0. */
static const char *written(struct gw_buf *out)
{
    gw_buf_reset(out);
    for (unsigned i = 0; i < r.n_sent; i++) {
        const struct gw_rw_body *b = body_of(&r.sent[i]);
        struct gw_wire_walk w = gw_wire_walk(b->bytes);
        struct gw_wire_field f;

        for (uint32_t k = 0; k < b->n_series; k++)
            describe_series(b, k, out);
        while (gw_wire_next(&w, &f) > 0)
            if (b->version == GW_RW_1 && f.number == 3)
                gw_buf_put_str(out, "metadata\n");
        gw_rig_http(&r, i, 204, "x-prometheus-remote-write-samples-written: 99\n", GW_SLICE(""));
    }
    gw_buf_put_u8(out, '\0');
    return (const char *)out->p;
}

#define COUNTER                                                                                                        \
    "{\"name\":\"req.s\",\"unit\":\"s\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{"  \
    "\"timeUnixNano\":\"1000000000\",\"asInt\":\"5\"}]}}"

#define DELTA                                                                                                          \
    "{\"name\":\"d\",\"sum\":{\"aggregationTemporality\":1,\"isMonotonic\":true,\"dataPoints\":[{"                     \
    "\"startTimeUnixNano\":"                                                                                           \
    "\"500000000\",\"timeUnixNano\":\"1000000000\",\"asInt\":\"5\"}]}}"

/* Scenario: namespace, external_labels, resource_to_telemetry_conversion: enabled and exclude_service_attributes,
 * resource_constant_labels: included and excluded, target_info: enabled, disable_scope_info, add_metric_suffixes,
 * translation_strategy, send_metadata, convert_explicit_histograms_to_nhcb, keep_classic_histograms, cumulative, each
 * alone. Guarantees: a series is there that is not there without it, or the other way round. */
static void names_and_shapes_follow_the_settings(void **state)
{
    static const struct {
        const char *yaml, *metric, *with, *without; /* lines that must and must not be there */
    } cases[] = {
        {"", COUNTER, "__name__=req_s_seconds_total,job=shop,otel_scope_name=lib\n", "metadata"},
        {"", COUNTER, "__name__=target_info,job=shop,region=eu,zone_id=a\n", "native"},
        {"namespace: ns", COUNTER, "__name__=ns_req_s_seconds_total", "__name__=req"},
        {"external_labels: {cluster: x, job: outer}", COUNTER, "seconds_total,cluster=x,job=shop", "job=outer"},
        {"resource_to_telemetry_conversion: {enabled: true}", COUNTER, "service_name=shop,zone_id=a\n", "native"},
        {"resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}", COUNTER,
         "otel_scope_name=lib,region=eu,zone_id=a\n", "service_name"},
        {"resource_constant_labels: {included: [\"*\"], excluded: [service.*, region]}", COUNTER,
         "otel_scope_name=lib,zone_id=a\n", "service_name"},
        {"resource_constant_labels: {included: [reg*]}", COUNTER, "otel_scope_name=lib,region=eu\n", "service_name"},
        {"target_info: {enabled: false}", COUNTER, "req_s_seconds_total", "target_info"},
        {"disable_scope_info: true", COUNTER, "__name__=req_s_seconds_total,job=shop\n", "otel_scope"},
        {"add_metric_suffixes: false", COUNTER, "__name__=req_s,", "seconds"},
        {"translation_strategy: UnderscoreEscapingWithoutSuffixes", COUNTER, "__name__=req_s,", "seconds"},
        {"add_metric_suffixes: false, translation_strategy: UnderscoreEscapingWithSuffixes", COUNTER,
         "__name__=req_s_seconds_total,", "__name__=req_s,"},
        {V2 "translation_strategy: NoTranslation", COUNTER, "__name__=req.s,", "seconds"},
        {V2 "translation_strategy: NoUTF8EscapingWithSuffixes", COUNTER, "__name__=req.s_seconds_total,",
         "__name__=req.s,"},
        {"send_metadata: true", COUNTER, "metadata\n", "native"},
        {"", RW_HISTOGRAM, "__name__=h_bucket,job=shop,le=+Inf,", "native"},
        {"convert_explicit_histograms_to_nhcb: true", RW_HISTOGRAM, "__name__=h,job=shop,otel_scope_name=lib native\n",
         "h_bucket"},
        {"convert_explicit_histograms_to_nhcb: true, keep_classic_histograms: true", RW_HISTOGRAM, "h_bucket",
         "metadata"},
        {"convert_explicit_histograms_to_nhcb: true, keep_classic_histograms: true", RW_HISTOGRAM, " native\n",
         "metadata"},
        {"cumulative: true", DELTA, "__name__=d_total", "native"},
    };
    struct gw_buf out;
    char yaml[500];

    (void)state;
    gw_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text;

        snprintf(yaml, sizeof(yaml), "{endpoint: http://p/w, %s}", cases[i].yaml);
        open_rig(yaml);
        send_metric(cases[i].metric);
        text = written(&out);
        if (!strstr(text, cases[i].with) || strstr(text, cases[i].without))
            fail_msg("%s: not \"%s\", or \"%s\", in\n%s", cases[i].yaml, cases[i].with, cases[i].without, text);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.n_dead, 0);
        close_rig();
    }
    gw_buf_clear(&out);
}

/* Scenario: the same delta twice with cumulative, the second refused by the server, halved and sent again.
 * Guarantees: 5, then 10; looking for the culprit adds nothing to the sum: the next is 15. */
static void cumulative_sums_up_once(void **state)
{
    uint64_t ms = 0;

    (void)state;
    open_rig(
        "{endpoint: http://p/w, max_batch_request_parallelism: 1, cumulative: true, target_info: {enabled: false}}");
    for (unsigned i = 1; i <= 3; i++) {
        gw_buf_reset(&body);
        put_point(&body, "d", 1000 * i, 5, true, NULL);
        put_point(&body, "e", 1000 * i, 7, true, NULL);
        gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 2);
        assert_float_equal(value_of(gw_rig_sent(&r, 0), "d_total", &ms), 5 * i, 0);
        assert_float_equal(value_of(gw_rig_sent(&r, 0), "e_total", &ms), 7 * i, 0);
        for (unsigned k = 0; k < r.n_sent; k++)
            gw_rig_http(&r, k, i == 2 && has_metric(&r.sent[k], "e_total") ? 400 : 204, NULL,
                        GW_SLICE("out of order sample"));
        assert_int_equal(r.done, 1);
        assert_int_equal(r.n_dead, i == 2);
    }
    close_rig();
}

/* Scenario: series_cache of 64 KiB and 5,000 series of 100 bytes, three times.
 * Guarantees: all of them are written each time. */
static void series_cache_bounds_the_memory_of_labels(void **state)
{
    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, series_cache: 65536}");
    put_gauges(&body, 0, 5000, 1000);
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = 0;

        gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 5000);
        for (unsigned k = 0; k < r.n_sent; k++) {
            n += body_of(&r.sent[k])->n_series;
            gw_rig_http(&r, k, 204, NULL, GW_SLICE(""));
        }
        assert_int_equal(n, 5000);
        assert_int_equal(r.done, 1);
    }
    assert_in_range(gw_rw_translator_stats(((struct gw_rw *)r.self)->translator)->cache_bytes, 1, 2 * 65536);
    close_rig();
}

/* ---- self-metrics ---------------------------------------------------------------------------------------------------
 */

/* Scenario: with a password in the URL: a point and a delta, one try that fails, one that is written; 2.0.
 * Guarantees: the Collector's counters, and the outcomes by endpoint, without the password. */
static void what_happens_is_counted(void **state)
{
#define BY "exporter=\"prometheus_remote_write\",endpoint=\"http://p:1/w\""
#define AT "component=\"prometheus_remote_write\",endpoint=\"http://p:1/w\""
#define RW "otelcol_exporter_prometheusremotewrite_"
    static const char *const expect[] = {
        RW "consumers{" BY "} 3",
        RW "failed_translations{" BY "} 1",
        RW "translated_time_series{" BY "} 1",
        RW "sent_batches{" BY "} 2",
        RW "written_samples{" BY "} 1",
        RW "written_histograms{" BY "} 2",
        RW "written_exemplars{" BY "} 4",
        "staunch_endpoint_requests{" AT ",outcome=\"answered\"} 1",
        "staunch_endpoint_requests{" AT ",outcome=\"failed\"} 1",
        "staunch_exporter_refused_points{" BY "} 0",
        "staunch_exporter_unwritten_points{" BY "} 0",
    };
    static const struct gw_exposition how = {0};
    struct gw_buf out;

    (void)state;
    gw_buf_init(&body, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write",
                                      "{endpoint: 'http://me:secret@p:1/w?a=b', max_batch_request_parallelism: 3,"
                                      " protobuf_message: io.prometheus.write.v2.Request}"),
                     0);
    r.meter = gw_meter_new();
    assert_int_equal(gw_rig_start(&r), 0);
    put_point(&body, "m", 1000, 5, false, NULL);
    put_point(&body, "d", 1000, 5, true, NULL);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 2);
    gw_rig_http(&r, 0, 503, NULL, GW_SLICE(""));
    pass(&r, SECOND);
    gw_rig_http(&r, 1, 200,
                "x-prometheus-remote-write-samples-written: 1\nx-prometheus-remote-write-histograms-written: 2\n"
                "x-prometheus-remote-write-exemplars-written: 4\n",
                GW_SLICE(""));
    assert_int_equal(r.done, 1);
    gw_meter_write(r.meter, &how, &out);
    gw_buf_put_u8(&out, 0);
    for (size_t i = 0; i < sizeof(expect) / sizeof(expect[0]); i++)
        if (!strstr((char *)out.p, expect[i]))
            fail_msg("no %s in\n%s", expect[i], (char *)out.p);
    assert_null(strstr((char *)out.p, "secret"));
    gw_buf_clear(&out);
    close_rig();
    gw_meter_free(r.meter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_of_the_connection_reach_the_client),
        cmocka_unit_test(only_snappy_is_spoken),
        cmocka_unit_test(queue_and_wal_reach_the_queue),
        cmocka_unit_test(mistakes_are_found_in_the_settings),
        cmocka_unit_test(names_and_shapes_follow_the_settings),
        cmocka_unit_test(cumulative_sums_up_once),
        cmocka_unit_test(series_cache_bounds_the_memory_of_labels),
        cmocka_unit_test(what_happens_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
