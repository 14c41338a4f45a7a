/* SPDX-License-Identifier: Apache-2.0 */
/* kafka against a scripted producer: what messages a body becomes, and what every answer means for its rows. */
#include "tests/harness_exporter.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch/meta.h"
#include "core/buf.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/rows.h"

static struct gw_rig r;

/* ---- bodies: enough protobuf to write one ------------------------------------------------------------------- */

static void put_field(struct gw_buf *b, unsigned number, struct gw_slice s)
{
    uint8_t head[6];
    size_t n = 0, len = s.n;

    head[n++] = (uint8_t)(number << 3 | 2);
    for (; len >= 128; len >>= 7)
        head[n++] = (uint8_t)(len | 0x80);
    head[n++] = (uint8_t)len;
    gw_buf_put(b, head, n);
    gw_buf_put_slice(b, s);
}

static void wrap(struct gw_buf *out, unsigned number, struct gw_buf *inner)
{
    put_field(out, number, gw_buf_slice(inner));
    gw_buf_clear(inner);
}

#define BUF(name)                                                                                                      \
    struct gw_buf name;                                                                                                \
    gw_buf_init(&name, 64 << 20)

/** A resource with service.name, and rows with these trace ids (one letter, 16 times; '-' = none) and a name of n
 * bytes. */
static void add_rows(struct gw_buf *out, enum gw_signal signal, const char *service, const char *traces, size_t n_name)
{
    BUF(resource);
    BUF(scope);
    BUF(outer);
    BUF(kv);
    BUF(value);
    char *name = calloc(1, n_name + 1);

    memset(name, 'n', n_name);
    put_field(&value, 1, gw_slice_cstr(service));
    put_field(&kv, 1, GW_SLICE("service.name"));
    wrap(&kv, 2, &value);
    wrap(&resource, 1, &kv);
    wrap(&outer, 1, &resource);
    for (; *traces; traces++) {
        BUF(row);
        uint8_t id[16];

        memset(id, *traces, sizeof(id));
        if (signal == GW_METRICS) { /* Metric { name, gauge { data_points { } } } */
            BUF(gauge);

            put_field(&gauge, 1, GW_SLICE(""));
            put_field(&row, 1, gw_slice_of(name, n_name));
            wrap(&row, 5, &gauge);
        } else {
            BUF(text);

            if (*traces != '-')
                put_field(&row, signal == GW_TRACES ? 1 : 9, gw_slice_of(id, 16));
            if (signal == GW_TRACES) {
                put_field(&row, 5, gw_slice_of(name, n_name));
            } else {
                put_field(&text, 1, gw_slice_of(name, n_name));
                put_field(&row, 5, gw_buf_slice(&text));
            }
            gw_buf_clear(&text);
        }
        wrap(&scope, 2, &row);
    }
    wrap(&outer, 2, &scope);
    wrap(out, 1, &outer);
    free(name);
}

static struct gw_buf body;

static void begin(void)
{
    gw_buf_clear(&body);
    gw_buf_init(&body, 64 << 20);
}

static void send_body(enum gw_signal signal, uint32_t rows)
{
    gw_rig_send(&r, signal, gw_buf_slice(&body), rows);
}

static void send_one(void)
{
    begin();
    add_rows(&body, GW_TRACES, "a", "1", 5);
    send_body(GW_TRACES, 1);
}

static uint32_t rows_in(enum gw_signal signal, const uint8_t *p, size_t n)
{
    uint32_t rows;

    assert_int_equal(gw_count_rows(signal, gw_slice_of(p, n), &rows), 0);
    return rows;
}

static void produced_all(void)
{
    for (unsigned i = 0; i < r.n_sent; i++)
        if (!r.sent[i].answered)
            gw_rig_produced(&r, i, GW_PRODUCED, NULL);
}

/* ---- cases -------------------------------------------------------------------------------------------------- */

/* Scenario: the defaults.
 * Guarantees: the body itself, not a copy of parts, to the signal's topic, without key and headers; done when the
 * producer is. */
static void a_body_is_one_message_of_the_signals_topic(void **state)
{
    static const struct {
        enum gw_signal signal;
        const char *topic;
    } cases[] = {{GW_TRACES, "otlp_spans"}, {GW_METRICS, "otlp_metrics"}, {GW_LOGS, "otlp_logs"}};

    (void)state;
    gw_rig_open(&r, "kafka", "{}");
    for (unsigned i = 0; i < 3; i++) {
        const struct gw_rig_sent *s;

        begin();
        add_rows(&body, cases[i].signal, "a", "12", 5);
        send_body(cases[i].signal, 2);
        s = gw_rig_sent(&r, 0);
        assert_int_equal(r.n_sent, 1);
        assert_string_equal(s->url, cases[i].topic);
        assert_false(s->has_key);
        assert_int_equal(s->partition, -1);
        assert_string_equal(s->headers, "");
        assert_int_equal(s->n_body, body.n);
        assert_memory_equal(s->body, body.p, body.n);
        assert_ptr_equal(((struct gw_produce *)s->what)->value.p, body.p); /* borrowed */
        assert_int_equal(r.done, 0);
        gw_rig_produced(&r, 0, GW_PRODUCED, NULL);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
    }
    gw_rig_close(&r);
}

/* Scenario: partition_traces_by_id; traces 1, 2, and spans without an id, over two resources. The same for logs.
 * Guarantees: a message per trace with its id as 32 hex digits; without an id the empty key for spans, no key for logs.
 */
static void a_trace_is_a_message_with_its_id_as_key(void **state)
{
    (void)state;
    for (unsigned logs = 0; logs < 2; logs++) {
        enum gw_signal signal = logs ? GW_LOGS : GW_TRACES;
        uint32_t rows = 0;

        gw_rig_open(&r, "kafka", logs ? "partition_logs_by_trace_id: true" : "partition_traces_by_id: true");
        begin();
        add_rows(&body, signal, "a", "1121", 5);
        add_rows(&body, signal, "b", "-2", 5);
        send_body(signal, 6);
        assert_int_equal(r.n_sent, 3);
        for (unsigned i = 0; i < 3; i++) {
            const struct gw_rig_sent *s = gw_rig_sent(&r, i);
            char want[33];

            rows += rows_in(signal, s->body, s->n_body);
            if (i == 2) {
                assert_int_equal(s->has_key, !logs);
                assert_int_equal(s->n_key, 0);
                continue;
            }
            for (unsigned k = 0; k < 16; k++)
                snprintf(want + 2 * k, 3, "%02x", i ? '2' : '1');
            assert_int_equal(s->n_key, 32);
            assert_memory_equal(s->key, want, 32);
        }
        assert_int_equal(rows, 6);
        produced_all();
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_rig_close(&r);
    }
}

/* Scenario: partition_metrics_by_resource_attributes and its brother for logs, two resources.
 * Guarantees: a message each; the key of {service.name: cart} is the Collector's. */
static void a_resource_is_a_message_with_the_collectors_key(void **state)
{
    static const char *const yaml[2] = {"partition_metrics_by_resource_attributes: true",
                                        "partition_logs_by_resource_attributes: true"};
    uint8_t *want;
    size_t n;

    (void)state;
    gw_hex("01a07a53a5cf83248b2bc57f343fe1e8", &want, &n);
    for (unsigned i = 0; i < 2; i++) {
        enum gw_signal signal = i ? GW_LOGS : GW_METRICS;

        gw_rig_open(&r, "kafka", yaml[i]);
        begin();
        add_rows(&body, signal, "cart", "12", 5);
        add_rows(&body, signal, "shop", "3", 5);
        send_body(signal, 3);
        assert_int_equal(r.n_sent, 2);
        assert_int_equal(gw_rig_sent(&r, 0)->n_key, 16);
        assert_memory_equal(gw_rig_sent(&r, 0)->key, want, 16);
        assert_memory_not_equal(gw_rig_sent(&r, 1)->key, want, 16);
        assert_int_equal(rows_in(signal, r.sent[0].body, r.sent[0].n_body), 2);
        produced_all();
        gw_rig_close(&r);
    }
    free(want);
}

/* Scenario: topics by attribute, by request header, and both; a resource without the attribute.
 * Guarantees: header before attribute before the configured one; by attribute each resource has its own message. */
static void topics_come_from_headers_attributes_and_settings(void **state)
{
    struct gw_meta_pair pair = {GW_SLICE("x-topic"), GW_SLICE("by_header")};
    struct gw_meta *meta;

    (void)state;
    meta = gw_meta_new(&(struct gw_meta){.pairs = &pair, .n_pairs = 1, .transport = "grpc"});
    gw_rig_open(&r, "kafka",
                "{topic_from_attribute: service.name, traces: {topic: mine, topic_from_metadata_key: X-Topic}}");
    begin();
    add_rows(&body, GW_TRACES, "blue", "11", 5);
    add_rows(&body, GW_TRACES, "", "1", 5);
    send_body(GW_TRACES, 3);
    assert_int_equal(r.n_sent, 2);
    assert_string_equal(gw_rig_sent(&r, 0)->url, "blue");
    assert_string_equal(gw_rig_sent(&r, 1)->url, "mine");
    produced_all();
    r.a.meta = meta;
    send_body(GW_TRACES, 3);
    assert_string_equal(gw_rig_sent(&r, 0)->url, "by_header");
    produced_all();
    gw_rig_close(&r);

    /* Each signal has its own three ways. */
    for (unsigned i = 1; i < 3; i++) {
        enum gw_signal signal = i == 1 ? GW_METRICS : GW_LOGS;

        gw_rig_open(&r, "kafka",
                    i == 1 ? "metrics: {topic: mine, topic_from_metadata_key: x-topic}"
                           : "logs: {topic: mine, topic_from_metadata_key: x-topic}");
        for (unsigned with = 0; with < 2; with++) {
            r.a.meta = with ? meta : NULL;
            begin();
            add_rows(&body, signal, "blue", "11", 5);
            send_body(signal, 2);
            assert_string_equal(gw_rig_sent(&r, 0)->url, with ? "by_header" : "mine");
            produced_all();
        }
        gw_rig_close(&r);
    }

    /* Traces that cross resources: each resource's topic gets its own spans. */
    gw_rig_open(&r, "kafka", "{topic_from_attribute: service.name, partition_traces_by_id: true}");
    begin();
    add_rows(&body, GW_TRACES, "blue", "12", 5);
    add_rows(&body, GW_TRACES, "red", "1", 5);
    send_body(GW_TRACES, 3);
    assert_int_equal(r.n_sent, 3);
    assert_string_equal(gw_rig_sent(&r, 0)->url, "blue");
    assert_string_equal(gw_rig_sent(&r, 1)->url, "blue");
    assert_string_equal(gw_rig_sent(&r, 2)->url, "red");
    assert_memory_equal(gw_rig_sent(&r, 0)->key, gw_rig_sent(&r, 2)->key, 32);
    produced_all();
    gw_rig_close(&r);
    gw_meta_unref(meta);
}

/* Scenario: a key from a request header, message headers from settings, from request headers, and the signal's name.
 * Guarantees: each is there, in that order; a header that the request does not have is left out, so is the key. */
static void keys_and_headers_come_from_the_request(void **state)
{
    struct gw_meta_pair pairs[3] = {{GW_SLICE("x-tenant"), GW_SLICE("blue")},
                                    {GW_SLICE("x-key"), GW_SLICE("k1")},
                                    {GW_SLICE("x-tenant"), GW_SLICE("red")}};
    struct gw_meta *meta;

    (void)state;
    meta = gw_meta_new(&(struct gw_meta){.pairs = pairs, .n_pairs = 3, .transport = "grpc"});
    gw_rig_open(&r, "kafka",
                "{traces: {message_key_from_metadata_key: x-key}, include_metadata_keys: [X-Tenant, x-absent],"
                " record_headers: {site: s1}, signal_header: true}");
    r.a.meta = meta;
    send_one();
    assert_string_equal(gw_rig_sent(&r, 0)->headers,
                        "site: s1\notelcol.signal: traces\nX-Tenant: blue\nX-Tenant: red\n");
    assert_true(gw_rig_sent(&r, 0)->has_key);
    assert_memory_equal(gw_rig_sent(&r, 0)->key, "k1", 2);
    produced_all();
    r.a.meta = NULL;
    send_one();
    assert_string_equal(gw_rig_sent(&r, 0)->headers, "site: s1\notelcol.signal: traces\n");
    assert_false(gw_rig_sent(&r, 0)->has_key);
    produced_all();
    gw_rig_close(&r);
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_open(&r, "kafka",
                    i ? "metrics: {message_key_from_metadata_key: x-key}"
                      : "logs: {message_key_from_metadata_key: x-key}");
        r.a.meta = meta;
        begin();
        add_rows(&body, i ? GW_METRICS : GW_LOGS, "a", "1", 5);
        send_body(i ? GW_METRICS : GW_LOGS, 1);
        assert_true(gw_rig_sent(&r, 0)->has_key);
        assert_memory_equal(gw_rig_sent(&r, 0)->key, "k1", 2);
        produced_all();
        gw_rig_close(&r);
    }
    gw_meta_unref(meta);
}

/* Scenario: encoding otlp_json.
 * Guarantees: the value is JSON; a failed message comes back as protobuf, which is what the queue holds. */
static void json_is_written_and_protobuf_comes_back(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "{traces: {encoding: otlp_json}, partition_traces_by_id: true}");
    begin();
    add_rows(&body, GW_TRACES, "a", "12", 5);
    send_body(GW_TRACES, 2);
    assert_non_null(strstr((const char *)gw_rig_sent(&r, 0)->body, "\"resourceSpans\""));
    gw_rig_produced(&r, 0, GW_PRODUCED, NULL);
    gw_rig_produced(&r, 1, GW_PRODUCE_RETRY, "broker down");
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.left_rows, 1);
    assert_int_equal(rows_in(GW_TRACES, r.left, r.info.left.n), 1);
    gw_rig_close(&r);
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_open(&r, "kafka", i ? "metrics: {encoding: otlp_json}" : "logs: {encoding: otlp_json}");
        begin();
        add_rows(&body, i ? GW_METRICS : GW_LOGS, "a", "12", 5);
        send_body(i ? GW_METRICS : GW_LOGS, 2);
        assert_non_null(strstr((const char *)gw_rig_sent(&r, 0)->body, i ? "\"resourceMetrics\"" : "\"resourceLogs\""));
        produced_all();
        gw_rig_close(&r);
    }
}

/* Scenario: of four traces two fail for now, one is refused for good.
 * Guarantees: only the two are left for the next try; the refused one is a dead letter; the message is kept. */
static void only_what_failed_is_tried_again(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "partition_traces_by_id: true");
    begin();
    add_rows(&body, GW_TRACES, "a", "1223334", 5);
    send_body(GW_TRACES, 7);
    assert_int_equal(r.n_sent, 4);
    gw_rig_produced(&r, 3, GW_PRODUCE_PERMANENT, "no such right");
    gw_rig_produced(&r, 1, GW_PRODUCE_RETRY, "broker down");
    gw_rig_produced(&r, 0, GW_PRODUCED, NULL);
    assert_int_equal(r.done, 0);
    gw_rig_produced(&r, 2, GW_PRODUCE_QUEUE_FULL, "full");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.left_rows, 5);
    assert_int_equal(rows_in(GW_TRACES, r.left, r.info.left.n), 5);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_int_equal(rows_in(GW_TRACES, r.dead[0].body, r.dead[0].n_body), 1);
    assert_string_equal(r.dead[0].reason, "kafka_refused");
    gw_rig_close(&r);
}

static void pass(uint64_t ns)
{
    r.mono_ns += ns;
    gw_loop_turn(r.loop, 0);
}

/* The traces of the spans of a body, in order. */
static void has_traces(const uint8_t *p, size_t n, const char *want)
{
    struct gw_batch *b = NULL;
    struct gw_err err;

    assert_int_equal(gw_rows_decode(&b, GW_TRACES, gw_slice_of(p, n), NULL, &err), 0);
    assert_int_equal(b->n_rows, strlen(want));
    for (uint32_t i = 0; i < b->n_rows; i++)
        assert_int_equal(b->trace_id[i][0], want[i]);
    gw_batch_unref(b);
}

/* Scenario: a queue on disk; of four traces that alternate one is there at once, one is refused for good, one fails,
 * one is there late. Guarantees: each says which rows it was: what is there, a moment later, while others are open; the
 * dead ones; those that are left, in the order of the body, so that they keep their places. In memory nothing of that
 * is made. */
static void each_row_on_disk_is_told_by_itself(void **state)
{
    (void)state;
    for (unsigned on_disk = 0; on_disk < 2; on_disk++) {
        gw_rig_open(&r, "kafka", "partition_traces_by_id: true");
        r.on_disk = on_disk;
        begin();
        add_rows(&body, GW_TRACES, "a", "1232134", 5);
        send_body(GW_TRACES, 7);
        assert_int_equal(r.n_sent, 4);
        gw_rig_produced(&r, 1, GW_PRODUCED, NULL);
        assert_int_equal(r.taken_bits, 0);
        pass(110000000);
        assert_int_equal(r.taken_bits, on_disk ? 1 << 1 | 1 << 3 : 0);
        gw_rig_produced(&r, 3, GW_PRODUCE_PERMANENT, "no such right");
        gw_rig_produced(&r, 2, GW_PRODUCE_RETRY, "broker down");
        gw_rig_produced(&r, 0, GW_PRODUCE_RETRY, "broker down");
        assert_int_equal(r.done, 1);
        assert_int_equal(r.dead_bits, on_disk ? 1 << 6 : 0);
        assert_int_equal(r.left_bits, on_disk ? 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 : 0);
        assert_int_equal(r.info.left_rows, 4);
        has_traces(r.left, r.info.left.n, on_disk ? "1313" : "3311");
        gw_rig_close(&r);
    }
}

/* Scenario: the same, cut by resource and then by trace; a row that is too long for any message; a message that the
 * broker halves.
 * Guarantees: rows keep their numbers through all of it. */
static void rows_keep_their_numbers_through_cuts(void **state)
{
    (void)state;
    r.on_disk = true;
    gw_rig_open(&r, "kafka",
                "{topic_from_attribute: service.name, partition_traces_by_id: true, producer: "
                "{max_message_bytes: 1000}}");
    r.on_disk = true;
    begin();
    add_rows(&body, GW_TRACES, "a", "12", 100);
    add_rows(&body, GW_TRACES, "b", "1", 2000);
    add_rows(&body, GW_TRACES, "a", "2", 100);
    add_rows(&body, GW_TRACES, "b", "22", 100); /* rows 4 and 5 */
    send_body(GW_TRACES, 6);
    assert_int_equal(r.dead_bits, 1 << 2);
    assert_int_equal(r.n_sent, 3); /* a: 1, 2 (rows 1 and 3); b: 2 */
    gw_rig_produced(&r, 0, GW_PRODUCED, NULL);
    gw_rig_produced(&r, 2, GW_PRODUCED, NULL);
    pass(110000000);
    assert_int_equal(r.taken_bits, 1 << 0 | 1 << 4 | 1 << 5);
    gw_rig_produced(&r, 1, GW_PRODUCE_TOO_LARGE, "too large"); /* it may have had company */
    gw_rig_produced(&r, 3, GW_PRODUCE_TOO_LARGE, "too large");
    assert_int_equal(r.n_sent, 6);
    gw_rig_produced(&r, 4, GW_PRODUCED, NULL);
    gw_rig_produced(&r, 5, GW_PRODUCE_RETRY, "broker down");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.left_bits, 1 << 3);
    assert_int_equal(r.info.left_rows, 1);
    has_traces(r.left, r.info.left.n, "2");
    gw_rig_close(&r);
}

/* Scenario: a row that is too long, one that fails for now; then one that is too long and the other refused for good.
 * Guarantees: what is dead already is neither sent again nor in another letter. */
static void what_is_dead_is_not_sent_again(void **state)
{
    (void)state;
    for (unsigned refused = 0; refused < 2; refused++) {
        gw_rig_open(&r, "kafka", "{partition_traces_by_id: true, producer: {max_message_bytes: 1000}}");
        begin();
        add_rows(&body, GW_TRACES, "a", "1", 2000);
        add_rows(&body, GW_TRACES, "a", "2", 100);
        send_body(GW_TRACES, 2);
        r.a.rows = 1; /* as the queue has it then */
        gw_rig_produced(&r, 0, refused ? GW_PRODUCE_PERMANENT : GW_PRODUCE_RETRY, "why");
        assert_int_equal(r.n_dead, 1 + refused);
        if (refused) {
            has_traces(r.dead[1].body, r.dead[1].n_body, "2");
        } else {
            assert_int_equal(r.info.left_rows, 1);
            has_traces(r.left, r.info.left.n, "2");
        }
        gw_rig_close(&r);
    }
}

/* Scenario: everything fails for now; everything is refused.
 * Guarantees: the whole body again, without a copy of it; the whole body for good. */
static void a_body_that_fails_whole_is_told_whole(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "{}");
    send_one();
    gw_rig_produced(&r, 0, GW_PRODUCE_RETRY, "broker down");
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    assert_int_equal(r.info.left.n, 0);
    assert_string_equal(r.message, "broker down");
    assert_int_equal(r.info.sign, GW_SIGN_USUAL);
    send_one();
    gw_rig_produced(&r, 0, GW_PRODUCE_QUEUE_FULL, "full"); /* fewer at once, and no outage */
    assert_int_equal(r.info.sign, GW_SIGN_BUSY);
    send_one();
    gw_rig_produced(&r, 0, GW_PRODUCE_PERMANENT, "no such right");
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_string_equal(r.reason, "kafka_refused");
    assert_int_equal(r.n_dead, 0);
    gw_rig_close(&r);
}

/* Scenario: 40 spans of 100 bytes, one of 5000, max_message_bytes 2000.
 * Guarantees: messages of at most 2000 bytes with all 40; the large one alone is a dead letter; never the whole body.
 */
static void a_long_body_is_cut_and_only_the_long_row_is_dead(void **state)
{
    uint32_t rows = 0;

    (void)state;
    for (unsigned json = 0; json < 2; json++) {
        rows = 0;
        gw_rig_open(&r, "kafka",
                    json ? "{producer: {max_message_bytes: 2000}, traces: {encoding: otlp_json}}"
                         : "producer: {max_message_bytes: 2000}");
        begin();
        add_rows(&body, GW_TRACES, "a", "11111111112222222222", 100);
        add_rows(&body, GW_TRACES, "a", "3", 5000);
        add_rows(&body, GW_TRACES, "b", "11111111112222222222", 100);
        send_body(GW_TRACES, 41);
        assert_true(r.n_sent > 2);
        for (unsigned i = 0; i < r.n_sent; i++) {
            assert_true(r.sent[i].n_body <= 2000);
            if (!json)
                rows += rows_in(GW_TRACES, r.sent[i].body, r.sent[i].n_body);
        }
        if (!json)
            assert_int_equal(rows, 40);
        assert_int_equal(r.n_dead, 1);
        assert_int_equal(r.dead[0].rows, 1);
        assert_true(r.dead[0].n_body > 5000);
        assert_string_equal(r.dead[0].reason, "message_too_large");
        produced_all();
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        gw_rig_close(&r);
    }
}

/* Scenario: only rows that are too long.
 * Guarantees: dead letters, and the attempt ends. */
static void nothing_but_long_rows_ends_the_attempt(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "producer: {max_message_bytes: 1000}");
    begin();
    add_rows(&body, GW_TRACES, "a", "12", 5000);
    send_body(GW_TRACES, 2);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.n_dead, 2);
    assert_int_equal(r.done, 1);
    gw_rig_close(&r);
}

/** A broker with a limit of its own, lower than ours. */
static void answer_as_broker(size_t limit)
{
    for (unsigned i = 0; i < r.n_sent; i++)
        if (!r.sent[i].answered)
            gw_rig_produced(&r, i, r.sent[i].n_body > limit ? GW_PRODUCE_TOO_LARGE : GW_PRODUCED,
                            r.sent[i].n_body > limit ? "too large" : NULL);
}

/* Scenario: the broker takes 2000 bytes; 20 rows of 200 bytes in one trace, then one of 5000 in another.
 * Guarantees: a message goes again in smaller batches before it is cut; then halves with its key until they pass; only
 * the row that was too long alone is dead; every other row arrives once. */
static void the_brokers_own_limit_halves_messages(void **state)
{
    uint32_t rows = 0;

    (void)state;
    gw_rig_open(&r, "kafka", "partition_traces_by_id: true");
    begin();
    add_rows(&body, GW_TRACES, "a", "11111111111111111111", 200);
    add_rows(&body, GW_TRACES, "a", "2", 5000);
    send_body(GW_TRACES, 21);
    assert_int_equal(r.n_sent, 2);
    gw_rig_produced(&r, 0, GW_PRODUCE_TOO_LARGE, "too large");
    assert_int_equal(r.producers, 2 + 0); /* one more, with smaller batches */
    assert_string_equal(gw_rig_conf(&r, "batch.size"), "16384");
    assert_int_equal(r.n_sent, 3); /* as it was: it may have been somebody else's fault */
    assert_int_equal(r.sent[2].n_body, r.sent[0].n_body);
    answer_as_broker(2000);
    gw_loop_turn(r.loop, 1000000); /* retired producers go */
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    for (unsigned i = 0; i < r.n_sent; i++)
        if (r.sent[i].n_body <= 2000) {
            rows += rows_in(GW_TRACES, r.sent[i].body, r.sent[i].n_body);
            assert_memory_equal(r.sent[i].key, r.sent[0].key, 32);
            assert_string_equal(r.sent[i].url, "otlp_spans");
        }
    assert_int_equal(rows, 20);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(r.dead[0].n_body > 5000);
    assert_non_null(strstr(r.log, "refuses batches"));
    gw_rig_close(&r);
}

/* Scenario: round_robin and least_backup; the number of partitions is told only after a while; a cancel before it is.
 * Guarantees: nothing is sent before; then one partition after the other, or where least waits; a cancelled attempt
 * comes back for retry. */
static void partitions_are_chosen_when_their_number_is_known(void **state)
{
    unsigned seen[4] = {0};

    (void)state;
    gw_rig_open(&r, "kafka", "{record_partitioner: {round_robin: {}}, partition_traces_by_id: true}");
    begin();
    add_rows(&body, GW_TRACES, "a", "12345678", 5);
    send_body(GW_TRACES, 8);
    assert_int_equal(r.n_sent, 0);
    r.partitions = 4;
    r.mono_ns += 50000000;
    gw_loop_turn(r.loop, 1000000);
    assert_int_equal(r.n_sent, 8);
    for (unsigned i = 0; i < 8; i++)
        seen[gw_rig_sent(&r, i)->partition]++;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(seen[i], 2);
    produced_all();
    r.partitions = -EAGAIN;
    send_body(GW_TRACES, 8);
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    gw_rig_close(&r);

    gw_rig_open(&r, "kafka", "{record_partitioner: {least_backup: }, partition_traces_by_id: true}");
    r.partitions = 3;
    begin();
    add_rows(&body, GW_TRACES, "a", "123", 5);
    send_body(GW_TRACES, 3);
    assert_int_equal(gw_rig_sent(&r, 0)->partition + gw_rig_sent(&r, 1)->partition + gw_rig_sent(&r, 2)->partition,
                     0 + 1 + 2);
    produced_all();
    gw_rig_close(&r);
}

/* Scenario: cancel of an attempt in its time, and after it.
 * Guarantees: the first means that the house closes: everything open is given up at once. After its time the library
 * gets three seconds to do so itself. */
static void cancel_gives_up_what_is_open(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "timeout: 2s");
    send_one();
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.purges, 1);
    gw_rig_produced(&r, 0, GW_PRODUCE_RETRY, "purged");
    assert_int_equal(r.info.sent, GW_SENT_RETRY);
    send_one();
    r.mono_ns += 2000000000;
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.purges, 1);
    r.mono_ns += 3100000000;
    gw_loop_turn(r.loop, 1000000);
    assert_int_equal(r.purges, 2);
    gw_rig_produced(&r, 0, GW_PRODUCE_RETRY, "purged");
    gw_rig_close(&r);
}

/* Scenario: a body that is no request.
 * Guarantees: told at once, for good. */
static void a_damaged_body_is_refused(void **state)
{
    (void)state;
    gw_rig_open(&r, "kafka", "partition_traces_by_id: true");
    gw_rig_send(&r, GW_TRACES, GW_SLICE("\x0a\xff"), 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    gw_rig_close(&r);
}

/** librdkafka itself must know every property and value that we give. */
static void assert_known_to_librdkafka(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char *copy = strdup(r.client_conf), *save = NULL, text[200];

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *eq = strchr(line, '=');

        *eq = '\0';
        if (rd_kafka_conf_set(conf, line, eq + 1, text, sizeof(text)) != RD_KAFKA_CONF_OK)
            fail_msg("%s", text);
    }
    rd_kafka_conf_destroy(conf);
    free(copy);
}

/* Scenario: the defaults, and every setting, with the property of librdkafka that it stands for.
 * Guarantees: each reaches it, and librdkafka takes it. acks=all with idempotence is the default. */
static void settings_become_properties_of_librdkafka(void **state)
{
    static const struct {
        const char *yaml, *key, *value;
    } cases[] = {
        {"{}", "bootstrap.servers", "localhost:9092"},
        {"{}", "client.id", "otel-collector"},
        {"{}", "acks", "all"},
        {"{}", "enable.idempotence", "true"},
        {"{}", "compression.codec", "none"},
        {"{}", "message.max.bytes", "1000000"},
        {"{}", "batch.num.messages", "10000"},
        {"{}", "linger.ms", "10"},
        {"{}", "allow.auto.create.topics", "true"},
        {"{}", "partitioner", "fnv1a_random"},
        {"{}", "security.protocol", "plaintext"},
        {"{}", "connections.max.idle.ms", "540000"},
        {"{}", "topic.metadata.refresh.interval.ms", "600000"},
        {"{}", "message.timeout.ms", "5000"},
        {"{}", "batch.size", "1000000"},
        {"producer: {max_message_bytes: 5000}", "batch.size", "5000"},
        {"brokers: [a:1, b:2]", "bootstrap.servers", "a:1,b:2"},
        {"brokers: a:1", "bootstrap.servers", "a:1"},
        {"client_id: me", "client.id", "me"},
        {"rack_id: r1", "client.rack", "r1"},
        {"conn_idle_timeout: 1m", "connections.max.idle.ms", "60000"},
        {"dial_timeout: 3s", "socket.connection.setup.timeout.ms", "3000"},
        {"metadata: {refresh_interval: 1m}", "topic.metadata.refresh.interval.ms", "60000"},
        {"metadata: {retry: {backoff: 100ms}}", "topic.metadata.refresh.fast.interval.ms", "100"},
        {"producer: {required_acks: 1}", "acks", "1"},
        {"producer: {required_acks: 1}", "enable.idempotence", "false"},
        {"producer: {required_acks: 0}", "acks", "0"},
        {"producer: {required_acks: -1}", "acks", "all"},
        {"producer: {compression: zstd, compression_params: {level: 5}}", "compression.level", "5"},
        {"producer: {compression: lz4}", "compression.codec", "lz4"},
        {"producer: {max_message_bytes: 5000000}", "message.max.bytes", "5000000"},
        {"producer: {flush_max_messages: 7}", "batch.num.messages", "7"},
        {"producer: {linger: 50ms}", "linger.ms", "50"},
        {"producer: {allow_auto_topic_creation: false}", "allow.auto.create.topics", "false"},
        {"record_partitioner: {sticky_key: {hasher: murmur2}}", "partitioner", "murmur2_random"},
        {"record_partitioner: {sticky_key: }", "partitioner", "fnv1a_random"},
        {"tls: {insecure_skip_verify: true}", "enable.ssl.certificate.verification", "false"},
        {"tls: ", "security.protocol", "ssl"},
        {"tls: {insecure: true}", "security.protocol", "plaintext"},
        {"tls: {ca_pem: x}", "ssl.ca.pem", "x"},
        {"auth: {tls: {}}", "security.protocol", "ssl"},
        {"auth: {plain_text: {username: u, password: p}}", "sasl.mechanisms", "PLAIN"},
        {"auth: {sasl: {mechanism: SCRAM-SHA-512, username: u, password: p}}", "sasl.mechanisms", "SCRAM-SHA-512"},
        {"auth: {sasl: {mechanism: SCRAM-SHA-512, username: u, password: p}}", "sasl.password", "p"},
        {"auth: {sasl: {mechanism: PLAIN, username: u, password: p}}", "security.protocol", "sasl_plaintext"},
        {"{tls: {}, auth: {sasl: {mechanism: PLAIN, username: u, password: p}}}", "security.protocol", "sasl_ssl"},
        {"auth: {kerberos: {use_keytab: true, username: u, realm: R, keytab_file: /k}}", "sasl.kerberos.principal",
         "u@R"},
        {"auth: {kerberos: {use_keytab: true, username: u, keytab_file: /k}}", "sasl.mechanisms", "GSSAPI"},
        {"auth: {kerberos: {use_keytab: true, username: u, keytab_file: /k}}", "sasl.kerberos.keytab", "/k"},
        {"tls: {ca_file: /a}", "ssl.ca.location", "/a"},
        {"tls: {cert_file: /c}", "ssl.certificate.location", "/c"},
        {"tls: {key_file: /k}", "ssl.key.location", "/k"},
        {"tls: {cert_pem: c}", "ssl.certificate.pem", "c"},
        {"tls: {key_pem: k}", "ssl.key.pem", "k"},
        {"auth: {tls: {ca_file: /a}}", "ssl.ca.location", "/a"},
        {"auth: {tls: {cert_file: /c}}", "ssl.certificate.location", "/c"},
        {"auth: {tls: {key_file: /k}}", "ssl.key.location", "/k"},
        {"auth: {tls: {cert_pem: c}}", "ssl.certificate.pem", "c"},
        {"auth: {tls: {key_pem: k}}", "ssl.key.pem", "k"},
        {"auth: {tls: {ca_pem: x}}", "ssl.ca.pem", "x"},
        {"auth: {tls: {insecure_skip_verify: true}}", "ssl.endpoint.identification.algorithm", "none"},
        {"auth: {tls: {insecure: true}}", "security.protocol", "plaintext"},
        {"auth: {plain_text: {username: u, password: p}}", "sasl.username", "u"},
        {"auth: {plain_text: {username: u, password: p}}", "sasl.password", "p"},
        {"auth: {sasl: {mechanism: PLAIN, username: u, password: p}}", "sasl.username", "u"},
        {"auth: {kerberos: {service_name: s, use_keytab: true, username: u, keytab_file: /k}}",
         "sasl.kerberos.service.name", "s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got;

        gw_rig_open(&r, "kafka", cases[i].yaml);
        got = gw_rig_conf(&r, cases[i].key);
        if (!got || strcmp(got, cases[i].value) != 0)
            fail_msg("%s: %s is %s", cases[i].yaml, cases[i].key, got ? got : "absent");
        if (!strstr(cases[i].yaml, "_pem"))
            assert_known_to_librdkafka();
        gw_rig_close(&r);
    }
    /* The time of an attempt, which the queue owns, is the message's. */
    gw_rig_open(&r, "kafka", "timeout: 17s");
    send_one();
    assert_string_equal(gw_rig_conf(&r, "message.timeout.ms"), "17000");
    assert_string_equal(gw_rig_conf(&r, "request.timeout.ms"), "17000");
    produced_all();
    send_one();
    assert_int_equal(r.producers, 2); /* once at the start, once for the time, no more */
    produced_all();
    gw_rig_close(&r);
}

/* Scenario: OAUTHBEARER with an authenticator, whose token is a plain word, then a JSON Web Token.
 * Guarantees: without the word Bearer it is what librdkafka gets; with the token's own end, or five minutes. */
static void a_token_comes_from_the_authenticator(void **state)
{
    /* {"alg":"none"} . {"sub":"alice","exp":1700000060.5} */
    static const char jwt[] = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6MTcwMDAwMDA2MC41fQ.";
    char bearer[200];

    (void)state;
    gw_rig_open(&r, "kafka", "auth: {sasl: {mechanism: OAUTHBEARER, oauthbearer_token_source: bearertokenauth/k}}");
    assert_string_equal(gw_rig_conf(&r, "sasl.mechanisms"), "OAUTHBEARER");
    assert_non_null(r.token);
    snprintf(bearer, sizeof(bearer), "Bearer %s", jwt);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t expires = 0;
        struct gw_buf out;

        if (i)
            r.bearer = bearer;
        gw_buf_init(&out, 1000);
        assert_int_equal(r.token(r.token_arg, &out, &expires, NULL), 0);
        assert_true(gw_slice_is(gw_buf_slice(&out), i ? jwt : "secret-token"));
        assert_int_equal(expires, i ? 1700000060500ull : r.wall_ns / 1000000 + 300000);
        gw_buf_clear(&out);
    }
    gw_rig_close(&r);
}

static uint64_t errors_of(struct gw_meter *m, const char *kind)
{
    struct gw_label labels[] = {{"component", "kafka"}, {"kind", kind}};

    return gw_meter_get(m, GW_COUNTER, "staunch_kafka_errors", "", labels, 2)->value;
}

static void send_after(uint64_t seconds, unsigned producers)
{
    r.mono_ns += seconds * 1000000000;
    send_one();
    assert_int_equal(r.producers, producers);
    produced_all();
}

/* Scenario: brokers that are away; then ones whose TLS or login does not let us in, while a new certificate cannot be
 * read at first.
 * Guarantees: each is counted by kind. Who is shut out makes a new producer, which reads files and token again, every
 * ten seconds; a broker that is merely away costs none, nor does a producer that was let in. */
static void who_is_shut_out_reads_everything_again(void **state)
{
    struct gw_meter *m = gw_meter_new();

    (void)state;
    assert_int_equal(gw_rig_configure(&r, "kafka", "{}"), 0);
    r.meter = m;
    assert_int_equal(gw_rig_start(&r), 0);
    r.trouble(r.trouble_arg, GW_TROUBLE_CONNECTION);
    send_after(11, 1);
    assert_int_equal(errors_of(m, "connection"), 1);
    r.trouble(r.trouble_arg, GW_TROUBLE_TLS);
    send_after(0, 2);
    r.trouble(r.trouble_arg, GW_TROUBLE_AUTHENTICATION);
    send_after(9, 2);
    send_after(2, 3);
    assert_int_equal(errors_of(m, "tls"), 1);
    assert_int_equal(errors_of(m, "authentication"), 1);
    send_after(11, 3);
    r.trouble(r.trouble_arg, GW_TROUBLE_TLS);
    r.no_producer = true;
    send_after(11, 3);
    assert_non_null(strstr(r.log, "the producer stays as it is: no such file"));
    r.no_producer = false;
    send_after(9, 3);
    send_after(2, 4);
    gw_rig_close(&r);
    gw_meter_free(m);
}

/* Scenario: settings that cannot work, alone or together.
 * Guarantees: each is found before anything starts, and named. */
static void mistakes_are_found_in_the_settings(void **state)
{
    static const char *const cases[][2] = {
        {"{partition_logs_by_trace_id: true, partition_logs_by_resource_attributes: true}", "exclude each other"},
        {"{traces: {message_key_from_metadata_key: k}, partition_traces_by_id: true}", "exclude each other"},
        {"{metrics: {message_key_from_metadata_key: k}, partition_metrics_by_resource_attributes: true}",
         "exclude each other"},
        {"{logs: {message_key_from_metadata_key: k}, partition_logs_by_trace_id: true}", "exclude each other"},
        {"record_partitioner: {round_robin: {}, least_backup: {}}", "keep one of"},
        {"record_partitioner: {sticky_key: {hasher: crc32}}", "hasher"},
        {"{include_metadata_keys: [x-a], sending_queue: {batch: {}}}", "x-a"},
        {"{include_metadata_keys: [x-a], sending_queue: {batch: {partition: {metadata_keys: [x-b]}}}}", "x-a"},
        {"{traces: {topic_from_metadata_key: x-t}, sending_queue: {batch: {}}}", "x-t"},
        {"auth: {sasl: {mechanism: PLAIN, username: u}}", "needs username and password"},
        {"auth: {sasl: {mechanism: MD5}}", "is none of"},
        {"auth: {sasl: {mechanism: OAUTHBEARER}}", "oauthbearer_token_source"},
        {"auth: {kerberos: {username: u, password: p}}", "keytab"},
        {"producer: {compression: snappy, compression_params: {level: 1}}", "no level of snappy"},
        {"producer: {required_acks: 2}", "required_acks"},
        {"tls: {server_name_override: x}", "server_name_override"},
        {"traces: {encoding: jaeger_proto}", "encoding"},
        {"tls: {min_version: '1.2'}", "librdkafka knows no"},
        {"tls: {max_version: '1.3'}", "librdkafka knows no"},
        {"tls: {reload_interval: '1m'}", "librdkafka knows no"},
        {"tls: {include_system_ca_certs_pool: true, ca_file: /a}", "include_system_ca_certs_pool"},
        {"auth: {tls: {server_name_override: 'x'}}", "librdkafka knows no"},
        {"auth: {tls: {min_version: '1.2'}}", "librdkafka knows no"},
        {"auth: {tls: {max_version: '1.3'}}", "librdkafka knows no"},
        {"auth: {tls: {reload_interval: '1m'}}", "librdkafka knows no"},
        {"auth: {tls: {include_system_ca_certs_pool: true, ca_file: /a}}", "include_system_ca_certs_pool"},
        {"auth: {kerberos: {use_keytab: true, username: u, keytab_file: /k, config_file: /c}}", "config_file"},
        {"auth: {kerberos: {use_keytab: false, username: u, keytab_file: /k}}", "use_keytab"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (gw_rig_configure(&r, "kafka", cases[i][0]) == 0 || !strstr(r.said, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], r.said);
        gw_rig_close(&r);
    }
    /* Keys that are among the batch's own are no mistake. */
    assert_int_equal(
        gw_rig_configure(&r, "kafka",
                         "{include_metadata_keys: [x-a], sending_queue: {batch: {partition: {metadata_keys: [X-A]}}}}"),
        0);
    gw_rig_close(&r);
}

static int teardown(void **state)
{
    (void)state;
    gw_buf_clear(&body);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_one_message_of_the_signals_topic),
        cmocka_unit_test(a_trace_is_a_message_with_its_id_as_key),
        cmocka_unit_test(a_resource_is_a_message_with_the_collectors_key),
        cmocka_unit_test(topics_come_from_headers_attributes_and_settings),
        cmocka_unit_test(keys_and_headers_come_from_the_request),
        cmocka_unit_test(json_is_written_and_protobuf_comes_back),
        cmocka_unit_test(only_what_failed_is_tried_again),
        cmocka_unit_test(each_row_on_disk_is_told_by_itself),
        cmocka_unit_test(rows_keep_their_numbers_through_cuts),
        cmocka_unit_test(what_is_dead_is_not_sent_again),
        cmocka_unit_test(a_body_that_fails_whole_is_told_whole),
        cmocka_unit_test(a_long_body_is_cut_and_only_the_long_row_is_dead),
        cmocka_unit_test(nothing_but_long_rows_ends_the_attempt),
        cmocka_unit_test(the_brokers_own_limit_halves_messages),
        cmocka_unit_test(partitions_are_chosen_when_their_number_is_known),
        cmocka_unit_test(cancel_gives_up_what_is_open),
        cmocka_unit_test(a_damaged_body_is_refused),
        cmocka_unit_test(settings_become_properties_of_librdkafka),
        cmocka_unit_test(a_token_comes_from_the_authenticator),
        cmocka_unit_test(who_is_shut_out_reads_everything_again),
        cmocka_unit_test(mistakes_are_found_in_the_settings),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
