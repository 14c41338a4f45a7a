/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever gives up on a record leads to the dead letter output: with a sink of the test's own, and with the store. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/sim.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/limits.h"
#include "tests/harness_engine.h"

#define S 1000000000ull
enum { INVALID_ARGUMENT = 3 };

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

#define ENDS "receivers: { scripted: , scripted/b: }\nexporters: { scripted: , scripted/dlq: { sending_queue: {} } }\n"

/* ---- reading a letter ------------------------------------------------------------------------------------- */

struct letter {
    struct gw_batch *b;
    struct gw_view v;
    struct gw_arena arena;
};

static void read_letter(struct letter *l, struct gw_slice body)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_ref at;

    l->b = gw_batch_new(GW_LOGS);
    assert_int_equal(gw_batch_append(l->b, body, &at), 0);
    assert_int_equal(gw_decode(l->b, gw_batch_slice(l->b, at), &limits, NULL, NULL), 0);
    gw_arena_init(&l->arena, 4096, 1 << 20);
    gw_view_init(&l->v, l->b, &l->arena);
}

static void drop_letter(struct letter *l)
{
    gw_view_clear(&l->v);
    gw_arena_clear(&l->arena);
    (void)gw_batch_unref(l->b);
}

static struct gw_slice body_of(struct letter *l, uint32_t row)
{
    return gw_batch_slice(l->b, l->b->body[row].ref);
}

static void has_text(struct letter *l, uint32_t row, const char *key, const char *text)
{
    struct gw_value v;

    if (!gw_view_attr_get(&l->v, GW_OWN_ROW, row, gw_slice_cstr(key), &v) || !gw_slice_is(v.s, text))
        fail_msg("%s is not %s", key, text);
}

static bool has(struct letter *l, const char *key)
{
    return gw_view_attr_get(&l->v, GW_OWN_ROW, 0, gw_slice_cstr(key), NULL);
}

/* ---- the door --------------------------------------------------------------------------------------------- */

/* A request that is refused for what it holds. */
static void send_bad(struct gw_test_door *d, enum gw_signal s, enum gw_encoding encoding, struct gw_slice body)
{
    struct gw_hold hold = {0};
    struct gw_request rq = {.hold = &hold, .encoding = encoding, .bytes = body};
    struct gw_verdict v;

    assert_int_equal(d->intake->ops->admit(d->intake, &hold, s, body.n, &v), 0);
    assert_true(d->intake->ops->submit(d->intake, &rq, &v) < 0);
    assert_int_equal(v.grpc_status, INVALID_ARGUMENT);
    d->intake->ops->release(d->intake, &hold);
}

/* The same where letters are kept: it hears so later. */
static void send_bad_and_wait(struct gw_test_door *d, enum gw_signal s, struct gw_slice body, uint32_t stream)
{
    struct gw_hold hold = {0};
    struct gw_request rq = {.hold = &hold, .bytes = body, .ack = {.stream = stream}};
    struct gw_verdict v;

    assert_int_equal(d->intake->ops->admit(d->intake, &hold, s, body.n, &v), 0);
    assert_int_equal(d->intake->ops->submit(d->intake, &rq, &v), 0);
    assert_int_equal(hold.bytes, 0);
}

static uint64_t undecodable(struct gw_test_engine *t, const char *signal, const char *fate)
{
    const struct gw_label l[] = {{"receiver", "scripted"}, {"signal", signal}, {"dead_letter", fate}};

    return gw_test_engine_metric(t, "staunch_undecodable_requests", l, 3);
}

#define DOOR(more)                                                                                                     \
    ENDS "service:\n  dead_letters: { to: scripted/dlq" more " }\n  pipelines:\n"                                      \
         "    logs: { receivers: [scripted], exporters: [scripted] }\n"                                                \
         "    traces: { receivers: [scripted], exporters: [scripted] }\n"

/*
 * Scenario    requests that are no protobuf and no JSON
 * Guarantees  the client is refused as ever; the whole body is a dead letter that says who took it, why it is bad, what
 *             it should have been and how it was written; both are counted
 */
static void what_cannot_be_decoded_is_kept(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *dlq;
    struct gw_test_door *d;
    struct letter l;

    (void)state;
    gw_test_engine_open(&t, DOOR(""), 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    dlq = gw_test_engine_sink(&t, "scripted/dlq");
    send_bad(d, GW_TRACES, GW_ENC_PROTO, GW_SLICE("\x0a\x7fnope"));
    send_bad(d, GW_LOGS, GW_ENC_JSON, GW_SLICE("{\"resourceLogs\": oops}"));
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(dlq->n_waiting, 2);
    read_letter(&l, dlq->waiting[0]->body);
    assert_true(gw_slice_is(body_of(&l, 0), "\x0a\x7fnope"));
    has_text(&l, 0, "dlq.class", "decode");
    has_text(&l, 0, "dlq.component", "scripted");
    has_text(&l, 0, "dlq.signal", "traces");
    has_text(&l, 0, "dlq.enc", "application/x-protobuf");
    has_text(&l, 0, "dlq.cfg", t.service->hash);
    assert_true(has(&l, "dlq.message"));
    assert_false(has(&l, "dlq.rows"));
    assert_false(has(&l, "dlq.bytes"));
    drop_letter(&l);
    read_letter(&l, dlq->waiting[1]->body);
    assert_true(gw_slice_is(body_of(&l, 0), "{\"resourceLogs\": oops}"));
    has_text(&l, 0, "dlq.enc", "application/json");
    has_text(&l, 0, "dlq.signal", "logs");
    drop_letter(&l);
    assert_int_equal(undecodable(&t, "traces", "kept"), 1);
    assert_int_equal(undecodable(&t, "logs", "kept"), 1);
    gw_test_sink_answer(dlq, &OK);
    gw_test_sink_answer(dlq, &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    five bad requests a turn with requests_per_second: 2, then half a second later another; a body of 3 KiB
 *             with max_request_kib: 1
 * Guarantees  two are kept, the others counted; half a second later there is a right to one more. Of the long body the
 *             first KiB is kept, with its whole size beside
 */
static void a_flood_of_bad_requests_is_bounded(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *dlq;
    struct gw_test_door *d;
    static uint8_t body[3072];
    struct gw_value size;
    struct letter l;

    (void)state;
    memset(body, 0xff, sizeof(body));
    gw_test_engine_open(&t, DOOR(", requests_per_second: 2, max_request_kib: 1"), 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    dlq = gw_test_engine_sink(&t, "scripted/dlq");
    for (unsigned i = 0; i < 5; i++)
        send_bad(d, GW_LOGS, GW_ENC_PROTO, gw_slice_of(body, sizeof(body)));
    gw_test_engine_turn(&t, 2, S / 2);
    assert_int_equal(undecodable(&t, "logs", "kept"), 2);
    assert_int_equal(undecodable(&t, "logs", "over_rate"), 3);
    gw_test_engine_turn(&t, 1, 0);
    send_bad(d, GW_LOGS, GW_ENC_PROTO, GW_SLICE("\xff"));
    send_bad(d, GW_LOGS, GW_ENC_PROTO, GW_SLICE("\xff"));
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(undecodable(&t, "logs", "kept"), 3);
    assert_int_equal(dlq->n_waiting, 3);
    read_letter(&l, dlq->waiting[0]->body);
    assert_int_equal(body_of(&l, 0).n, 1024);
    assert_true(gw_view_attr_get(&l.v, GW_OWN_ROW, 0, GW_SLICE("dlq.bytes"), &size));
    assert_int_equal(size.i, 3072);
    drop_letter(&l);
    while (gw_test_sink_answer(dlq, &OK))
        ;
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a bad request without any dead letter output, and one whose output has no room
 * Guarantees  refused as ever, and counted as such
 */
static void without_a_place_it_is_counted(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t, ENDS "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    send_bad(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, GW_ENC_PROTO, GW_SLICE("\xff"));
    assert_int_equal(undecodable(&t, "logs", "counted"), 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: , scripted/dlq: { sending_queue: { queue_size: 1 } } }\n"
                        "service:\n  dead_letters: { to: scripted/dlq }\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    send_bad(d, GW_LOGS, GW_ENC_PROTO, GW_SLICE("\xff"));
    send_bad(d, GW_LOGS, GW_ENC_PROTO, GW_SLICE("\xff"));
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(undecodable(&t, "logs", "kept"), 1);
    assert_int_equal(undecodable(&t, "logs", "no_room"), 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/dlq"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* ---- the store -------------------------------------------------------------------------------------------- */

static struct gw_log *opened;

static int open_sim(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    const struct gw_log_sim_conf sim = {.env = conf->env,
                                        .max_bytes = conf->max_bytes,
                                        .retention = conf->retention,
                                        .wake = conf->wake,
                                        .arg = conf->arg};
    int rc = gw_log_sim_open(&sim, ret);

    opened = *ret;
    return rc < 0 ? gw_fail(err, rc, "no log") : 0;
}

static char dir[40];

static void open_store(struct gw_test_engine *t, const char *yaml)
{
    struct gw_buf b;

    strcpy(dir, "/tmp/gw-letters-XXXXXX");
    assert_non_null(mkdtemp(dir));
    gw_buf_init(&b, 65536);
    gw_buf_printf(&b, "extensions: { file_storage: { directory: %s } }\n%s", dir, yaml);
    gw_buf_put_u8(&b, 0);
    gw_test_engine_open_log = open_sim;
    gw_test_engine_open(t, (const char *)b.p, 1, false);
    gw_buf_clear(&b);
}

static void close_store(struct gw_test_engine *t)
{
    char command[60];

    assert_int_equal(gw_test_engine_close(t), 0);
    gw_test_engine_open_log = NULL;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

#define STORED                                                                                                         \
    "receivers: { scripted: }\nexporters: { scripted: }\nprocessors: { validate: }\n"                                  \
    "service:\n  extensions: [file_storage]\n  pipelines:\n"                                                           \
    "    traces/eu: { receivers: [scripted], processors: [validate], exporters: [scripted] }\n"

/* The i-th frame of the log, as a letter. */
static void read_stored(struct letter *l, unsigned i)
{
    struct gw_log_reader *r;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(opened, &(struct gw_log_reader_conf){0}, &r), 0);
    for (unsigned k = 0; k <= i; k++)
        assert_int_equal(gw_log_next(r, &e), 1);
    read_letter(l, e.frame.body);
    gw_log_reader_free(r);
}

/*
 * Scenario    with a file_storage and nothing said of dead letters: an undecodable request, a span that validate
 *             rejects, one that the sink will never take
 * Guarantees  all three are in the log "dead_letters", with class, component and the pipeline they came from; nothing
 *             waits in memory
 */
static void everything_given_up_is_in_the_store(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_log_stats st;
    struct gw_verdict v;
    struct letter l;
    struct gw_buf body;

    (void)state;
    open_store(&t, STORED);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_TRACES, 5, 1);
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 9);
    assert_int_equal(gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, 1, &v), 0);
    /* resource_spans { scope_spans { span { trace_id: 4 bytes, start: 1 } } } */
    assert_int_equal(gw_test_send(d, GW_TRACES,
                                  GW_SLICE("\x0a\x13\x12\x11\x12\x0f\x0a\x04\x01\x02\x03\x04\x39\x01\0\0\0\0\0\0\0"),
                                  NULL, 2, &v),
                     0);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"),
                        &(struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "never"});
    gw_test_engine_turn(&t, 5, 0);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq - st.first_seq, 3);
    read_stored(&l, 0);
    has_text(&l, 0, "dlq.class", "decode");
    drop_letter(&l);
    read_stored(&l, 1);
    has_text(&l, 0, "dlq.class", "schema");
    has_text(&l, 0, "dlq.component", "validate");
    has_text(&l, 0, "dlq.pipeline", "traces/eu");
    drop_letter(&l);
    read_stored(&l, 2);
    has_text(&l, 0, "dlq.class", "sink_rejected");
    has_text(&l, 0, "dlq.reason", "http_400");
    has_text(&l, 0, "dlq.component", "scripted");
    has_text(&l, 0, "dlq.pipeline", "traces/eu");
    assert_true(gw_slice_eq(body_of(&l, 0), gw_buf_slice(&body)));
    drop_letter(&l);
    assert_true(gw_edge_is_empty(gw_engine_edge(t.engine, "dead_letter_store")));
    gw_buf_clear(&body);
    close_store(&t);
}

/*
 * Scenario    an exporter that batches gets a request from each of two pipelines; then two of one pipeline, one of
 * which comes from a letter Guarantees  each pipeline's rows go alone, and so do rows with a chain: their letters have
 * both
 */
static void a_letter_names_only_what_all_its_rows_share(void **state)
{
    static const struct gw_sent_info never = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "never"};
    const struct gw_meta_pair pair = {GW_SLICE("dlq.chain"), GW_SLICE("0190-a")};
    const struct gw_meta from = {.pairs = &pair, .n_pairs = 1};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_verdict v;
    struct gw_buf body;
    struct letter l;
    char names[2][8];

    (void)state;
    open_store(&t, "receivers: { scripted: , scripted/b: }\nexporters:\n"
                   "  scripted: { sending_queue: { batch: { flush_timeout: 1s, min_size: 4 } } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    logs/a: { receivers: [scripted], exporters: [scripted] }\n"
                   "    logs/b: { receivers: [scripted/b], exporters: [scripted] }\n");
    s = gw_test_engine_sink(&t, "scripted");
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_LOGS, 5, 2);
    assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), NULL, 1, &v),
                     0);
    assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted/b", 0), GW_LOGS, gw_buf_slice(&body), NULL, 2, &v),
                     0);
    gw_test_engine_turn(&t, 3, 2 * S);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(s->n_waiting, 2);
    gw_test_sink_answer(s, &never);
    gw_test_sink_answer(s, &never);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), i ? meta : NULL, 3, &v),
            0);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(s->waiting[0]->rows, 2);
    gw_test_sink_answer(s, &never);
    gw_test_engine_turn(&t, 5, 2 * S);
    gw_test_engine_turn(&t, 5, 0);
    gw_test_sink_answer(s, &OK);
    gw_test_engine_turn(&t, 5, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_value x;

        read_stored(&l, i);
        assert_true(gw_view_attr_get(&l.v, GW_OWN_ROW, 0, GW_SLICE("dlq.pipeline"), &x));
        (void)snprintf(names[i], sizeof(names[i]), "%.*s", (int)x.s.n, (const char *)x.s.p);
        drop_letter(&l);
    }
    assert_string_not_equal(names[0], names[1]);
    read_stored(&l, 2);
    has_text(&l, 0, "dlq.pipeline", "logs/a");
    has_text(&l, 0, "dlq.chain", "0190-a");
    drop_letter(&l);
    gw_buf_clear(&body);
    (void)gw_meta_unref(meta);
    close_store(&t);
}

/*
 * Scenario    the disk is full while a letter is to be written; then there is room again
 * Guarantees  the letter waits, and is written in the end
 */
static void a_full_disk_makes_letters_wait(void **state)
{
    struct gw_test_engine t;
    struct gw_log_stats st;

    (void)state;
    open_store(&t, STORED);
    gw_log_sim_faults(opened)->no_room = true;
    send_bad_and_wait(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, GW_SLICE("\xff"), 1);
    gw_test_engine_turn(&t, 5, S);
    gw_test_engine_turn(&t, 5, S);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq, st.first_seq);
    assert_false(gw_edge_is_empty(gw_engine_edge(t.engine, "dead_letter_store")));
    gw_log_sim_faults(opened)->no_room = false;
    for (unsigned i = 0; i < 10; i++)
        gw_test_engine_turn(&t, 5, S);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq - st.first_seq, 1);
    assert_true(gw_edge_is_empty(gw_engine_edge(t.engine, "dead_letter_store")));
    close_store(&t);
}

/* Three spans, the second one with a trace id of four bytes: what validate rejects. */
static void send_partly_bad(struct gw_test_door *d, uint32_t stream)
{
    static const char bad[] = "\x0a\x13\x12\x11\x12\x0f\x0a\x04\x01\x02\x03\x04\x39\x01\0\0\0\0\0\0\0";
    struct gw_verdict v;
    struct gw_buf body;

    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_TRACES, 5, 1);
    gw_buf_put(&body, bad, sizeof(bad) - 1);
    gw_test_request(&body, GW_TRACES, 6, 1);
    assert_int_equal(gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, stream, &v), 0);
    gw_buf_clear(&body);
}

/*
 * Scenario    a span that validate rejects between two good ones, while the store's disk is full; then it has room
 * Guarantees  the client hears of the rejection when the letter is on disk, and not before; with dead letters that go
 *             to a sink elsewhere it does not wait for that
 */
static void a_rejection_is_told_when_its_letter_is_kept(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_log_stats st;

    (void)state;
    open_store(&t, STORED);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_log_sim_faults(opened)->no_room = true;
    send_partly_bad(d, 1);
    for (unsigned i = 0; i < 5; i++)
        gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
    assert_int_equal(d->n_verdicts, 0);
    gw_log_sim_faults(opened)->no_room = false;
    for (unsigned i = 0; i < 10; i++)
        gw_test_engine_turn(&t, 5, S);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq - st.first_seq, 1);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    assert_int_equal(d->verdicts[0].v.rejected, 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    close_store(&t);

    gw_test_engine_open(&t,
                        ENDS "processors: { validate: }\nservice:\n  dead_letters: { to: scripted/dlq }\n  pipelines:\n"
                             "    traces: { receivers: [scripted], processors: [validate], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    send_partly_bad(d, 1);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted/dlq")->n_waiting, 1);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.rejected, 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/dlq"), &OK);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

static void is_refused(const struct gw_test_door *d, unsigned i, uint32_t stream)
{
    assert_true(d->n_verdicts > i);
    assert_int_equal(d->verdicts[i].ack.stream, stream);
    assert_int_equal(d->verdicts[i].v.grpc_status, INVALID_ARGUMENT);
    assert_int_equal(d->verdicts[i].v.rows, 0);
}

/*
 * Scenario    three requests that cannot be decoded: the store's disk has room; it is full for 0.2 s; it is full
 *             for longer
 * Guarantees  the client is refused when its letter is on disk, and not before, but after a second in any case; each is
 *             counted once, as kept or as late; the third letter is written in the end, too
 */
static void a_refusal_is_told_when_its_letter_is_kept(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_log_stats st;

    (void)state;
    open_store(&t, STORED);
    d = gw_test_engine_door(&t, "scripted", 0);
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 1);
    assert_int_equal(d->n_verdicts, 0);
    gw_test_engine_turn(&t, 5, 0);
    is_refused(d, 0, 1);
    assert_int_equal(undecodable(&t, "traces", "kept"), 1);
    gw_log_sim_faults(opened)->no_room = true;
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 2);
    gw_test_engine_turn(&t, 5, S / 5);
    assert_int_equal(d->n_verdicts, 1);
    gw_log_sim_faults(opened)->no_room = false;
    gw_test_engine_turn(&t, 5, S / 2);
    gw_test_engine_turn(&t, 5, 0);
    is_refused(d, 1, 2);
    assert_int_equal(undecodable(&t, "traces", "kept"), 2);
    gw_log_sim_faults(opened)->no_room = true;
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 3);
    gw_test_engine_turn(&t, 5, S - 1000000);
    gw_test_engine_turn(&t, 5, 2000000);
    assert_int_equal(d->n_verdicts, 2);
    gw_test_engine_turn(&t, 5, 0);
    is_refused(d, 2, 3);
    assert_int_equal(undecodable(&t, "traces", "late"), 1);
    gw_log_sim_faults(opened)->no_room = false;
    for (unsigned i = 0; i < 10; i++)
        gw_test_engine_turn(&t, 5, S);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq - st.first_seq, 3);
    assert_int_equal(undecodable(&t, "traces", "kept"), 2);
    assert_int_equal(d->n_verdicts, 3);
    close_store(&t);
}

/*
 * Scenario    the gateway stops for good while the letters of a rejected span and of a request that cannot be decoded
 *             are not on disk (its time for that is real: 5 s)
 * Guarantees  the client of the span hears nothing, or is refused, and will send again: no row is told rejected and
 *             lost. The other one hears that it is refused, and is counted once
 */
static void a_letter_that_is_not_kept_refuses_its_request(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    open_store(&t, STORED);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_log_sim_faults(opened)->no_room = true;
    send_partly_bad(d, 1);
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 2);
    gw_test_engine_turn(&t, 5, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 5, 0);
    assert_int_equal(d->n_verdicts, 0);
    (void)gw_engine_stop(t.engine);
    for (unsigned i = 0; i < d->n_verdicts; i++)
        if (d->verdicts[i].ack.stream == 2)
            is_refused(d, i, 2);
        else
            assert_int_equal(d->verdicts[i].v.grpc_status, 14);
    assert_int_equal(undecodable(&t, "traces", "kept"), 0);
    assert_int_equal(undecodable(&t, "traces", "late") + undecodable(&t, "traces", "no_room"), 1);
    close_store(&t);
}

/*
 * Scenario    the engine stops while a letter waits in the store's queue, and while another is being written
 * Guarantees  both are in the log before it is closed, without a wait
 */
static void letters_are_written_before_the_end(void **state)
{
    const struct gw_label l = {"exporter", "dead_letter_store"};
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    open_store(&t, STORED);
    d = gw_test_engine_door(&t, "scripted", 0);
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 1);
    gw_test_engine_turn(&t, 1, 0);
    send_bad_and_wait(d, GW_TRACES, GW_SLICE("\xff"), 2);
    assert_true(gw_engine_stop(t.engine) > 0);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_exporter_sent_log_records", &l, 1), 2);
    close_store(&t);
}

/*
 * Scenario    the engine stops with one request under way at a sink that does not answer, and one behind it
 * Guarantees  both are dead letters of class "shutdown", and nothing is dropped
 */
static void what_a_stop_leaves_over_is_kept(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_log_stats st;
    struct gw_verdict v;
    struct gw_buf body;
    struct letter l;

    (void)state;
    open_store(&t, "receivers: { scripted: }\nexporters: { scripted: { sending_queue: { num_consumers: 1 } } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    traces/eu: { receivers: [scripted], exporters: [scripted] }\n");
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_TRACES, 5, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, i, &v), 0);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
    assert_int_equal(gw_engine_stop(t.engine), 4);
    gw_log_stats(opened, &st);
    assert_int_equal(st.end_seq - st.first_seq, 2);
    for (unsigned i = 0; i < 2; i++) {
        read_stored(&l, i);
        has_text(&l, 0, "dlq.class", "shutdown");
        has_text(&l, 0, "dlq.pipeline", "traces/eu");
        assert_true(gw_slice_eq(body_of(&l, 0), gw_buf_slice(&body)));
        drop_letter(&l);
    }
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).dead_lettered, 4);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).dropped, 0);
    gw_buf_clear(&body);
    close_store(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_decoded_is_kept),
        cmocka_unit_test(a_flood_of_bad_requests_is_bounded),
        cmocka_unit_test(without_a_place_it_is_counted),
        cmocka_unit_test(everything_given_up_is_in_the_store),
        cmocka_unit_test(a_letter_names_only_what_all_its_rows_share),
        cmocka_unit_test(a_full_disk_makes_letters_wait),
        cmocka_unit_test(a_rejection_is_told_when_its_letter_is_kept),
        cmocka_unit_test(a_letter_that_is_not_kept_refuses_its_request),
        cmocka_unit_test(a_refusal_is_told_when_its_letter_is_kept),
        cmocka_unit_test(letters_are_written_before_the_end),
        cmocka_unit_test(what_a_stop_leaves_over_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
