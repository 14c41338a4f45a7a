/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the elasticsearch exporter: what each changes in requests, documents, the queue, the log. */
#include "tests/exporters/elasticsearch/es_rig.h"

#include "batch/meta.h"
#include "core/json_writer.h"
#include "exporters/elasticsearch/settings.h"

/* ---- addresses ---------------------------------------------------------------------------------------------- */

static void url_is(const char *yaml, const char *root, const char *bulk)
{
    gw_rig_open(&r, "elasticsearch", yaml);
    send_records(1);
    assert_string_equal(gw_rig_sent(&r, 0)->url, root);
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
    if (strncmp(gw_rig_sent(&r, 1)->url, bulk, strlen(bulk)) != 0)
        fail_msg("%s: %s", yaml, r.sent[1].url);
    answer_well(1);
    is_done(0);
    close_es();
}

/* Scenario: endpoint, endpoints, cloudid, ELASTICSEARCH_URL; with a path, a slash, a query, a user in it.
 * Guarantees: _bulk is put behind the path; the first address' query is in every request; a URL's user and password do
 * not appear in it. */
static void every_form_of_address_gives_its_url(void **state)
{
    char yaml[300];
    struct gw_buf b = new_buf();

    (void)state;
    url_is("endpoint: http://es:9200", "http://es:9200/", "http://es:9200/_bulk?filter_path=");
    url_is("endpoint: https://es/path/", "https://es/path/", "https://es/path/_bulk?filter_path=");
    url_is("endpoint: 'https://es/path?a=b&c'", "https://es/path/", "https://es/path/_bulk?a=b&c&filter_path=");
    url_is("endpoints: [http://es]", "http://es/", "http://es/_bulk?filter_path=");
    url_is("endpoint: http://me:secret@es:9200/x", "http://es:9200/x/", "http://es:9200/x/_bulk?filter_path=");
    url_is("endpoints: ['http://a?x=1', 'http://b?y=2']", "http://a/", "http://b/_bulk?x=1&filter_path=");
    gw_put_base64(&b, GW_SLICE("europe.example.com:443$abc123$kibana"));
    snprintf(yaml, sizeof(yaml), "cloudid: 'my-cluster:%.*s'", (int)b.n, (const char *)b.p);
    url_is(yaml, "https://abc123.europe.example.com:443/", "https://abc123.europe.example.com:443/_bulk?");
    gw_buf_clear(&b);
    setenv("ELASTICSEARCH_URL", "http://x:1, http://y:2", 1);
    url_is("{}", "http://x:1/", "http://y:2/_bulk?");
    url_is("endpoint: http://es", "http://es/", "http://es/_bulk?");
    unsetenv("ELASTICSEARCH_URL");
}

/* Scenario: user and password, api_key, both, a user in the URL, an auth extension, a header of our own.
 * Guarantees: the root and _bulk get the same; api_key goes before user; the settings before the URL; a configured
 * header before all. */
static void credentials_are_sent(void **state)
{
    static const struct {
        const char *yaml, *header;
    } cases[] = {
        {"user: elastic, password: changeme", "Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="},
        {"api_key: VnVhQ2ZHY0JDZGJr", "ApiKey VnVhQ2ZHY0JDZGJr"},
        {"user: elastic, password: changeme, api_key: abc", "ApiKey abc"},
        {"auth: {authenticator: bearertokenauth/a}", "Bearer secret-token"},
        {"headers: {Authorization: Mine x}, api_key: abc", "Mine x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[300];

        snprintf(yaml, sizeof(yaml), "{endpoint: 'http://es', %s}", cases[i].yaml);
        gw_rig_open(&r, "elasticsearch", yaml);
        send_records(1);
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "authorization"), cases[i].header);
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 1), "authorization"), cases[i].header);
        answer_well(1);
        close_es();
    }
    gw_rig_open(&r, "elasticsearch", "endpoint: 'http://el%40stic:change:me@es'");
    send_records(1);
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "authorization"), "Basic ZWxAc3RpYzpjaGFuZ2U6bWU=");
    r.component->exporter->cancel(r.self, &r.a);
    pass(0);
    close_es();
}

/* Scenario: an authenticator that has no token now.
 * Guarantees: nothing is sent, and the queue decides when it is tried again. */
static void without_a_token_nothing_is_sent(void **state)
{
    (void)state;
    gw_rig_open(&r, "elasticsearch", "{endpoint: 'http://es', auth: {authenticator: bearertokenauth/broken}}");
    r.most_failures = 2;
    send_records(1);
    assert_int_equal(r.n_again, 1);
    pass(SECOND);
    pass(SECOND);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    close_es();
}

/* Scenario: include_source_on_error, bulk_response_filter_path, headers of our own.
 * Guarantees: they are in the request; the filter never shuts out what says what became of a document. */
static void what_is_asked_of_the_answer_is_in_the_url(void **state)
{
    static const struct {
        const char *yaml, *query;
    } cases[] = {
        {"include_source_on_error: true", "items.*.failure_store&include_source_on_error=true"},
        {"include_source_on_error: false", "items.*.failure_store&include_source_on_error=false"},
        {"include_source_on_error: null", "items.*.failure_store"},
        {"bulk_response_filter_path: 'errors,items.*.error,items.*.status'",
         "?filter_path=errors,items.*.error,items.*.status,items.*.failure_store"},
        {"bulk_response_filter_path: took",
         "?filter_path=took,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store"},
        {"bulk_response_filter_path: items", "?filter_path=items"},
        {"bulk_response_filter_path: 'items.*'", "?filter_path=items.*"},
        {"bulk_response_filter_path: 'a b&c'", "?filter_path=a%20b%26c,items.*.status"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[300];
        const char *at;

        snprintf(yaml, sizeof(yaml), "{endpoint: http://es, headers: {x-tenant: blue}, %s}", cases[i].yaml);
        gw_rig_open(&r, "elasticsearch", yaml);
        send_records(1);
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
        at = strstr(gw_rig_sent(&r, 1)->url, cases[i].query);
        if (!at || (cases[i].query[0] != '?' && at[strlen(cases[i].query)]))
            fail_msg("%s: %s", cases[i].yaml, r.sent[1].url);
        assert_string_equal(gw_rig_header(&r.sent[1], "x-tenant"), "blue");
        answer_well(1);
        close_es();
    }
}

/* ---- the connection ----------------------------------------------------------------------------------------- */

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
        &r, "elasticsearch",
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
    gw_rig_open(&r, "elasticsearch", "{endpoint: http://c, max_idle_conns: 4, cookies: {enabled: false}}");
    assert_string_equal(gw_rig_conf(&r, "max_idle_conns"), "4");
    assert_string_equal(gw_rig_conf(&r, "cookies"), "0");
    gw_rig_close(&r);
    gw_rig_open(&r, "elasticsearch", "{endpoint: 'https://c', tls: {ca_pem: a, cert_pem: b, key_pem: c}}");
    assert_string_equal(gw_rig_conf(&r, "ca_pem"), "a");
    assert_string_equal(gw_rig_conf(&r, "cert_pem"), "b");
    assert_string_equal(gw_rig_conf(&r, "key_pem"), "c");
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch", "{endpoint: 'https://c', tls: {insecure: true}}");
    assert_non_null(strstr(r.said, "insecure does not turn TLS off"));
    gw_rig_close(&r);
}

/* Scenario: compression none, gzip, gzip at level 9.
 * Guarantees: the header says it, the body is it, and the level makes a difference. */
static void compression_is_none_or_gzip(void **state)
{
    size_t sizes[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        static const char *const yaml[] = {"{endpoint: http://es, compression: none}", "endpoint: http://es",
                                           "{endpoint: http://es, compression_params: {level: 9}}"};

        open_es(yaml[i]);
        send_records(2000);
        sizes[i] = r.sent[0].n_body;
        assert_int_equal(gw_rig_header(&r.sent[0], "Content-Encoding") != NULL, i > 0);
        assert_int_equal(docs_in(&r.sent[0]), 2000);
        answer_well(0);
        is_done(0);
        close_es();
    }
    assert_true(sizes[0] > 5 * sizes[1]);
    assert_true(sizes[1] > sizes[2]);
}

/* ---- the queue ---------------------------------------------------------------------------------------------- */

/* Scenario: nothing written.
 * Guarantees: sending_queue and pauses are those of the Collector's exporter. */
static void the_queue_has_the_collectors_defaults(void **state)
{
    const struct gw_sending_queue_settings *q = &r.queue.queue;

    (void)state;
    assert_int_equal(gw_rig_configure(&r, "elasticsearch", "endpoint: http://es"), 0);
    assert_true(q->enabled && q->block_on_overflow && q->has_batch);
    assert_int_equal(q->num_consumers, 10);
    assert_int_equal(q->queue_size, 10);
    assert_int_equal(q->sizer, GW_SIZER_REQUESTS);
    assert_int_equal(q->batch.flush_timeout_ns, 10 * SECOND);
    assert_int_equal(q->batch.min_size, 1000000);
    assert_int_equal(q->batch.max_size, 5000000);
    assert_int_equal(q->batch.sizer, GW_BATCH_BYTES);
    assert_true(r.queue.retry.enabled);
    assert_int_equal(r.queue.retry.initial_interval_ns, SECOND / 10);
    assert_int_equal(r.queue.retry.max_interval_ns, 60 * SECOND);
    assert_int_equal(r.queue.retry.max_retries, 0); /* by time: the Collector's 2 would lose documents */
    assert_int_equal(r.queue.retry.max_elapsed_time_ns, 300 * SECOND);
    assert_int_equal(r.queue.timeout_ns, 90 * SECOND);
    gw_rig_close(&r);
}

/* Scenario: retry: enabled, max_retries, max_requests, initial_interval, max_interval; with retry_on_failure beside it.
 * Guarantees: they are the queue's; who counts tries is not stopped by a clock; what is not written stays. */
static void retry_is_the_queues(void **state)
{
    const struct gw_retry_settings *t = &r.queue.retry;

    (void)state;
    gw_rig_configure(&r, "elasticsearch", "{endpoint: 'http://es', retry: {enabled: false}}");
    assert_false(t->enabled);
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch",
                     "{endpoint: 'http://es', retry: {max_retries: 7, initial_interval: 2s, max_interval: 9s}}");
    assert_true(t->enabled);
    assert_int_equal(t->max_retries, 7);
    assert_int_equal(t->initial_interval_ns, 2 * SECOND);
    assert_int_equal(t->max_interval_ns, 9 * SECOND);
    assert_int_equal(t->max_elapsed_time_ns, 0);
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch", "{endpoint: 'http://es', retry: {max_requests: 3}}");
    assert_int_equal(t->max_retries, 2);
    assert_non_null(strstr(r.said, "deprecated"));
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch", "{endpoint: 'http://es', retry: {max_requests: 1}}");
    assert_false(t->enabled);
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch",
                     "{endpoint: 'http://es', retry: {max_retries: 3},"
                     " retry_on_failure: {initial_interval: 3s, max_elapsed_time: 2m}}");
    assert_int_equal(t->initial_interval_ns, 3 * SECOND);
    assert_int_equal(t->max_elapsed_time_ns, 120 * SECOND);
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch", "{endpoint: 'http://es', retry: {max_interval: 10m}}");
    assert_int_equal(t->max_elapsed_time_ns, 600 * SECOND);
    gw_rig_close(&r);
}

/* Scenario: num_workers, flush: bytes and interval, metadata_keys; with and without the keys that replace them.
 * Guarantees: they set the queue where its own keys are not written. */
static void old_keys_set_the_queue(void **state)
{
    const struct gw_sending_queue_settings *q = &r.queue.queue;

    (void)state;
    gw_rig_configure(
        &r, "elasticsearch",
        "{endpoint: 'http://es', num_workers: 3, flush: {bytes: 9000, interval: 4s}, metadata_keys: [X-A]}");
    assert_int_equal(q->num_consumers, 3);
    assert_int_equal(q->batch.max_size, 9000);
    assert_int_equal(q->batch.min_size, 9000);
    assert_int_equal(q->batch.flush_timeout_ns, 4 * SECOND);
    assert_int_equal(q->batch.partition.metadata_keys.n, 1);
    assert_non_null(strstr(r.said, "sending_queue::num_consumers"));
    gw_rig_close(&r);
    gw_rig_configure(&r, "elasticsearch",
                     "{endpoint: 'http://es', num_workers: 3, flush: {bytes: 9000, interval: 4s}, metadata_keys: [x-a],"
                     " sending_queue: {num_consumers: 5, batch: {max_size: 8000, min_size: 7000, flush_timeout: 6s,"
                     " partition: {metadata_keys: [x-b, x-c]}}}}");
    assert_int_equal(q->num_consumers, 5);
    assert_int_equal(q->batch.max_size, 8000);
    assert_int_equal(q->batch.min_size, 7000);
    assert_int_equal(q->batch.flush_timeout_ns, 6 * SECOND);
    assert_int_equal(q->batch.partition.metadata_keys.n, 2);
    gw_rig_close(&r);
}

/* ---- documents ---------------------------------------------------------------------------------------------- */

/** A record, a span or a point whose attributes name an _id and a pipeline. */
static void send_row(enum gw_signal signal)
{
    struct gw_buf scope, row = new_buf();
    static const char *const attrs[][2] = {{"elasticsearch.document_id", "my-id"},
                                           {"elasticsearch.ingest_pipeline", "my-pipeline"}};

    begin_body(&scope);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_buf kv = new_buf(), value = new_buf();

        put_field(&value, 1, gw_slice_cstr(attrs[i][1]));
        put_field(&kv, 1, gw_slice_cstr(attrs[i][0]));
        wrap(&kv, 2, &value);
        wrap(&row, signal == GW_TRACES ? 9 : signal == GW_LOGS ? 6 : 7, &kv);
    }
    if (signal == GW_METRICS) {
        struct gw_buf gauge = new_buf(), metric = new_buf();

        gw_buf_put(&row, "\x31\x01\0\0\0\0\0\0\0", 9); /* as_int */
        wrap(&gauge, 1, &row);
        put_field(&metric, 1, GW_SLICE("m"));
        wrap(&metric, 5, &gauge);
        wrap(&scope, 2, &metric);
    } else {
        wrap(&scope, 2, &row);
    }
    end_body(&scope);
    gw_rig_send(&r, signal, gw_buf_slice(&body), 1);
}

/* Scenario: the settings that say where documents go and what they are called, for each signal: logs_index,
 * metrics_index, traces_index, logs_dynamic_id, traces_dynamic_id, metrics_dynamic_id, logs_dynamic_pipeline, pipeline,
 * logstash_format (prefix_separator, date_format), allowed_modes; and old ones that change nothing. Guarantees: each is
 * seen in the action, or in the document. */
static void settings_of_documents_reach_the_writer(void **state)
{
    static const struct {
        const char *yaml;
        enum gw_signal signal;
        const char *in, *not_in;
    } cases[] = {
        {"x: 1", GW_LOGS, "\"_index\":\"logs-generic.otel-default\"", "my-id"},
        {"logs_index: my-logs", GW_LOGS, "\"_index\":\"my-logs\"", "logs-generic"},
        {"metrics_index: my-metrics", GW_METRICS, "\"_index\":\"my-metrics\"", "metrics-generic"},
        {"traces_index: my-traces", GW_TRACES, "\"_index\":\"my-traces\"", "traces-generic"},
        {"logs_dynamic_id: {enabled: true}", GW_LOGS, "\"_id\":\"my-id\"", NULL},
        {"logs_dynamic_id: {enabled: true}", GW_TRACES, "traces-generic", "\"_id\""},
        {"traces_dynamic_id: {enabled: true}", GW_TRACES, "\"_id\":\"my-id\"", NULL},
        {"metrics_dynamic_id: {enabled: true}", GW_METRICS, "\"_id\":\"my-id\"", NULL},
        {"logs_dynamic_id: {enabled: true}", GW_METRICS, "metrics-generic", "\"_id\""},
        {"logs_dynamic_pipeline: {enabled: true}", GW_LOGS, "\"pipeline\":\"my-pipeline\"", NULL},
        {"pipeline: all", GW_LOGS, "\"pipeline\":\"all\"", NULL},
        {"pipeline: all", GW_TRACES, "\"pipeline\":\"all\"", NULL},
        {"logs_index: my, logstash_format: {enabled: true}", GW_LOGS, "\"_index\":\"my-2023.11.14\"", NULL},
        {"logs_index: my, logstash_format: {enabled: true, prefix_separator: _, date_format: '%Y'}", GW_LOGS,
         "\"_index\":\"my_2023\"", NULL},
        {"mapping: {allowed_modes: [none, raw]}", GW_LOGS, "\"_index\":\"logs-generic-default\"", ".otel"},
        {"mapping: {allowed_modes: [raw, OTEL]}", GW_LOGS, ".otel", NULL},
        {"mapping: {mode: raw}", GW_LOGS, ".otel", NULL},
        {"logs_dynamic_index: {enabled: true}, metrics_dynamic_index: {enabled: true}, traces_dynamic_index:"
         " {enabled: true}, discover: {on_start: true, interval: 1m}",
         GW_LOGS, "\"_index\":\"logs-generic.otel-default\"", NULL},
        {"document_id: record", GW_LOGS, "\"_id\":\"", NULL},
        {"document_id: content", GW_TRACES, "\"_id\":\"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[400];
        const char *text;

        snprintf(yaml, sizeof(yaml), "{endpoint: http://es, compression: none%s%s}", *cases[i].yaml == 'x' ? "" : ", ",
                 *cases[i].yaml == 'x' ? "" : cases[i].yaml);
        gw_rig_open(&r, "elasticsearch", yaml);
        send_row(cases[i].signal);
        gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
        text = (const char *)gw_rig_sent(&r, 1)->body;
        if (!strstr(text, cases[i].in) || (cases[i].not_in && strstr(text, cases[i].not_in)))
            fail_msg("%s: %s", cases[i].yaml, text);
        answer_well(1);
        is_done(0);
        close_es();
    }
}

/* Scenario: the request's header X-Elastic-Mapping-Mode names a mode that is allowed, one that is not, none.
 * Guarantees: documents of that mode; else the rows are dead letters, and nothing is sent. */
static void a_request_may_name_the_mode(void **state)
{
    static const char *const modes[] = {"none", "ecs", "nonsense"};

    (void)state;
    gw_rig_open(&r, "elasticsearch",
                "{endpoint: http://es, compression: none, mapping: {allowed_modes: [otel, none]},"
                " metadata_keys: [x-elastic-mapping-mode]}");
    for (unsigned i = 0; i < 3; i++) {
        const struct gw_meta_pair pair = {GW_SLICE("x-elastic-mapping-mode"), gw_slice_cstr(modes[i])};
        const struct gw_meta from = {.n_pairs = 1, .pairs = &pair};
        struct gw_meta *m = gw_meta_new(&from);

        r.a.meta = m;
        send_records(2);
        if (i == 0) {
            gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
            assert_non_null(strstr((const char *)last(1)->body, "\"_index\":\"logs-generic-default\""));
            answer_well(1);
            is_done(0);
        } else {
            is_done(1);
            assert_int_equal(r.n_sent, 0);
            assert_int_equal(r.dead[0].rows, 2);
            assert_string_equal(r.dead[0].class_, "schema");
            assert_string_equal(r.dead[0].reason, "mapping_mode");
        }
        r.a.meta = NULL;
        (void)gw_meta_unref(m);
    }
    close_es();
}

/* ---- metrics and logs --------------------------------------------------------------------------------------- */

static struct gw_buf metrics_text;

static const char *metrics(void)
{
    gw_buf_clear(&metrics_text);
    metrics_text = new_buf();
    gw_meter_write(r.meter, &(struct gw_exposition){0}, &metrics_text);
    gw_buf_put_u8(&metrics_text, '\0');
    return (const char *)metrics_text.p;
}

static void counts(const char *series, const char *value)
{
    char line[300];

    snprintf(line, sizeof(line), "\n%s %s\n", series, value);
    if (!strstr(metrics(), line))
        fail_msg("no %s in %s", line, (const char *)metrics_text.p);
}

static void open_metered(const char *yaml)
{
    assert_int_equal(gw_rig_configure(&r, "elasticsearch", yaml), 0);
    r.meter = gw_meter_new();
    assert_int_equal(gw_rig_start(&r), 0);
    send_records(1);
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
    answer_well(1);
}

static void close_metered(void)
{
    gw_meter_free(r.meter);
    gw_buf_clear(&metrics_text);
    close_es();
}

#define E "exporter=\"elasticsearch\""

/* Scenario: requests that go well and badly, documents of every fate.
 * Guarantees: the Collector's counters have its names and labels, and the right numbers; outcomes are counted by
 * endpoint. */
static void everything_is_counted(void **state)
{
    (void)state;
    open_metered("{endpoint: 'http://es:1', remedies: [{action: stringify}], compression: none}");
    send_records(5);
    gw_rig_http(
        &r, 0, 200, NULL,
        GW_SLICE("{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201,\"failure_store\":\"used\"}},"
                 "{\"create\":{\"status\":429}},{\"create\":{\"status\":400,\"error\":{\"type\":\"an_error\"}}},"
                 "{\"create\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"
                 "\"failed to parse field [attributes.u] of type [text]\"}}}]}"));
    pass(SECOND);
    answer_well(1);
    send_records(2);
    gw_rig_http(&r, 0, 503, NULL, GW_SLICE(""));
    pass(SECOND);
    gw_rig_http_fail(&r, 1, GW_HTTP_TIMEOUT, "timed out");
    pass(SECOND);
    gw_rig_http(&r, 2, 401, NULL, GW_SLICE(""));
    assert_int_equal(r.done, 1);
    counts("otelcol_elasticsearch_docs_received{" E "}", "8");
    counts("otelcol_elasticsearch_docs_processed{" E ",outcome=\"success\"}", "4");
    counts("otelcol_elasticsearch_docs_processed{" E ",failure_store=\"used\",outcome=\"failure_store\"}", "1");
    counts("otelcol_elasticsearch_docs_processed{error_type=\"an_error\"," E ",outcome=\"failed_client\"}", "1");
    counts("otelcol_elasticsearch_docs_processed{" E ",http_response_status_code=\"503\",outcome=\"failed_server\"}",
           "2");
    counts("otelcol_elasticsearch_docs_processed{" E ",outcome=\"timeout\"}", "2");
    counts("otelcol_elasticsearch_docs_processed{" E ",http_response_status_code=\"401\",outcome=\"failed_client\"}",
           "2");
    counts("otelcol_elasticsearch_docs_retried{" E "}", "1");
    counts("otelcol_elasticsearch_docs_retried_http_request{" E "}", "4");
    counts("otelcol_elasticsearch_bulk_requests_count{" E ",http_response_status_code=\"200\",outcome=\"success\"}",
           "3");
    counts("otelcol_elasticsearch_bulk_requests_count{" E ",outcome=\"timeout\"}", "1");
    assert_non_null(strstr(metrics(), "otelcol_elasticsearch_bulk_requests_latency_count{" E));
    assert_non_null(strstr(metrics(), "otelcol_elasticsearch_flushed_bytes{" E "}"));
    assert_non_null(strstr(metrics(), "otelcol_elasticsearch_flushed_uncompressed_bytes{" E "}"));
    counts("staunch_elasticsearch_docs_remedied{" E "}", "1");
    counts("staunch_elasticsearch_docs_ambiguous{" E "}", "2");
    counts("staunch_endpoint_requests{component=\"elasticsearch\",endpoint=\"http://es:1\",outcome=\"answered\"}", "4");
    counts("staunch_endpoint_requests{component=\"elasticsearch\",endpoint=\"http://es:1\",outcome=\"failed\"}", "2");
    close_metered();
}

/* Scenario: metadata_keys; a request with two values of one of them, one without any, one with quotes in it.
 * Guarantees: the values label the metrics, and cannot break them. */
static void metadata_keys_label_the_metrics(void **state)
{
    const struct gw_meta_pair pairs[] = {{GW_SLICE("x-tenant"), GW_SLICE("blue")},
                                         {GW_SLICE("x-tenant"), GW_SLICE("gr\"een")},
                                         {GW_SLICE("other"), GW_SLICE("x")}};
    const struct gw_meta from = {.n_pairs = 3, .pairs = pairs};
    struct gw_meta *m = gw_meta_new(&from);

    (void)state;
    open_metered("{endpoint: 'http://es', metadata_keys: [X-Tenant]}");
    r.a.meta = m;
    send_records(3);
    answer_well(0);
    is_done(0);
    counts("otelcol_elasticsearch_docs_received{" E "}", "1");
    counts("otelcol_elasticsearch_docs_received{" E ",x_tenant=\"[\\\"blue\\\",\\\"gr\\\"een\\\"]\"}", "3");
    r.a.meta = NULL;
    (void)gw_meta_unref(m);
    close_metered();
}

/* Scenario: log_request_body, log_response_body, log_failed_docs_input with log_failed_docs_input_rate_limit; on and
 * off. Guarantees: at level debug the texts are in the log; of failed documents one in the time that the limit says. */
static void bodies_are_logged_when_asked(void **state)
{
    (void)state;
    for (unsigned on = 0; on < 2; on++) {
        open_es(on ? "{endpoint: http://es, telemetry: {log_request_body: true, log_response_body: true,"
                     " log_failed_docs_input: true, log_failed_docs_input_rate_limit: 5s}}"
                   : "endpoint: http://es");
        r.sink.level = GW_LOG_DEBUG;
        for (unsigned i = 0; i < 3; i++) {
            r.log[0] = '\0';
            send_records(3);
            answer(0, "400 403 201");
            is_done(2);
            assert_int_equal(strstr(r.log, "request body: ") && strstr(r.log, "m0."), on);
            assert_int_equal(strstr(r.log, "response body: ") != NULL, on);
            assert_int_equal(count_of(r.log, "failed to index document; input"), on && i != 1);
            r.mono_ns += 3 * SECOND;
        }
        close_es();
    }
}

/* Scenario: documents are refused, with include_source_on_error unset and set.
 * Guarantees: one line says how many, where to and why; a reason, which may quote the document, only when asked for. */
static void refusals_are_logged(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 2; set++) {
        open_es(set ? "{endpoint: http://es, include_source_on_error: false}" : "endpoint: http://es");
        send_records(3);
        answer(0, "201 400 400");
        is_done(1);
        assert_non_null(
            strstr(r.log, "failed to index 2 documents, the first into logs-generic.otel-default: error_400"));
        assert_int_equal(strstr(r.log, "because of 400") != NULL, set);
        close_es();
    }
}

/* ---- mistakes ----------------------------------------------------------------------------------------------- */

/* Scenario: each rule of the settings broken once.
 * Guarantees: the Collector's sentence. */
static void mistakes_are_found_in_the_settings(void **state)
{
    static const struct {
        const char *yaml, *said;
    } cases[] = {
        {"{}", "exactly one of [endpoint, endpoints, cloudid] must be specified"},
        {"{endpoint: http://a, endpoints: [http://b]}",
         "exactly one of [endpoint, endpoints, cloudid] must be specified"},
        {"{endpoint: http://a, cloudid: x}", "exactly one of [endpoint, endpoints, cloudid] must be specified"},
        {"endpoints: [http://a, '']", "invalid endpoint \"\": endpoint must not be empty"},
        {"endpoint: ftp://a", "invalid endpoint \"ftp://a\": invalid scheme \"ftp\", expected \"http\" or \"https\""},
        {"endpoint: a:9200", "invalid scheme \"\", expected \"http\" or \"https\""},
        {"endpoint: http://", "there is no host in it"},
        {"cloudid: x", "invalid CloudID \"x\""},
        {"cloudid: 'x:%%%'", "invalid CloudID"},
        {"cloudid: 'x:YWJj'", "invalid decoded CloudID \"abc\""},
        {"{endpoint: http://a, mapping: {allowed_modes: [otel, foo]}}", "unknown allowed mapping mode name \"foo\""},
        {"{endpoint: http://a, compression: zstd}", "compression must be one of [none, gzip]"},
        {"{endpoint: http://a, compression_params: {level: 10}}", "level"},
        {"{endpoint: http://a, retry: {max_requests: 2, max_retries: 1}}",
         "must not specify both retry::max_requests and retry::max_retries"},
        {"{endpoint: http://a, retry: {max_retries: -1}}", "max_retries"},
        {"{endpoint: http://a, retry: {retry_on_status: [429, abc]}}", "\"abc\" is no HTTP status"},
        {"{endpoint: http://a, retry: {retry_on_document_status: [42]}}", "\"42\" is no HTTP status"},
        {"{endpoint: http://a, logs_index: x, logs_dynamic_index: {enabled: true}}",
         "must not specify both logs_index and logs_dynamic_index"},
        {"{endpoint: http://a, traces_index: x, traces_dynamic_index: {enabled: true}}",
         "must not specify both traces_index and traces_dynamic_index"},
        {"{endpoint: http://a, metrics_index: x, metrics_dynamic_index: {enabled: true}}",
         "must not specify both metrics_index and metrics_dynamic_index"},
        {"{endpoint: http://a, logs_index: 'Capital'}", "logs_index: \"Capital\""},
        {"{endpoint: http://a, metadata_keys: [x-a, X-A]}",
         "duplicate entry in metadata_keys: \"X-A\" (case-insensitive)"},
        {"{endpoint: http://a, bulk_response_filter_path: '-items.*'}", "bulk_response_filter_path"},
        {"{endpoint: http://a, document_id: hash}", "document_id"},
        {"{endpoint: http://a, remedies: [{action: drop}]}", "action"},
        {"{endpoint: http://a, include_source_on_error: maybe}", "include_source_on_error"},
        {"{endpoint: http://a, max_request_bytes: 1000000000}", "max_request_bytes"},
    };

    (void)state;
    unsetenv("ELASTICSEARCH_URL");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (gw_rig_configure(&r, "elasticsearch", cases[i].yaml) == 0 || !strstr(r.said, cases[i].said))
            fail_msg("%s: %s", cases[i].yaml, r.said);
        gw_rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_address_gives_its_url),
        cmocka_unit_test(credentials_are_sent),
        cmocka_unit_test(without_a_token_nothing_is_sent),
        cmocka_unit_test(what_is_asked_of_the_answer_is_in_the_url),
        cmocka_unit_test(settings_of_the_connection_reach_the_client),
        cmocka_unit_test(compression_is_none_or_gzip),
        cmocka_unit_test(the_queue_has_the_collectors_defaults),
        cmocka_unit_test(retry_is_the_queues),
        cmocka_unit_test(old_keys_set_the_queue),
        cmocka_unit_test(settings_of_documents_reach_the_writer),
        cmocka_unit_test(a_request_may_name_the_mode),
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(metadata_keys_label_the_metrics),
        cmocka_unit_test(bodies_are_logged_when_asked),
        cmocka_unit_test(refusals_are_logged),
        cmocka_unit_test(mistakes_are_found_in_the_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
