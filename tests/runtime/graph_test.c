/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"

#define S 1000000000ull

/* A build may leave components out (components.def). */
static void need_processor(const char *name)
{
    bool old;

    if (!gw_component_find(GW_PROCESSOR, gw_slice_cstr(name), &old))
        skip();
}

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

#define ENDS "receivers: { scripted: , scripted/b: }\nexporters: { scripted: , scripted/b: , scripted/c: }\n"
static const char simple[] = ENDS "service:\n  pipelines:\n"
                                  "    logs: { receivers: [scripted], exporters: [scripted] }\n";

/*
 * Scenario    one pipeline; three requests in one turn, on one worker
 * Guarantees  they leave as one body, each gets a verdict of its own, and rows are counted as accepted and sent
 */
static void requests_of_one_turn_leave_together_and_are_answered_alone(void **state)
{
    const struct gw_label l[] = {{"receiver", "scripted"}, {"transport", "internal"}};
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;
    uint64_t names[8];

    (void)state;
    gw_test_engine_open(&t, simple, 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    s = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 3; i++)
        gw_test_engine_send(d, GW_LOGS, 10 * i, 2, i);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(d->verdicts[i].ack.stream, i);
        assert_int_equal(d->verdicts[i].v.grpc_status, 0);
        assert_int_equal(d->verdicts[i].v.rows, 2);
    }
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 8), 6);
    assert_int_equal(names[5], 21);
    gw_test_sink_answer(s, &OK);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_receiver_accepted_log_records", l, 2), 6);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a malformed request between two good ones; an empty one; a signal without a pipeline
 * Guarantees  the bad one is refused with a sentence, its neighbours do not notice; empty is OK and goes nowhere;
 *             the other signal is UNIMPLEMENTED
 */
static void a_bad_request_does_not_touch_its_neighbours(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;
    struct gw_verdict v;
    uint64_t names[8];

    (void)state;
    gw_test_engine_open(&t, simple, 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    s = gw_test_engine_sink(&t, "scripted");
    gw_test_engine_send(d, GW_LOGS, 1, 1, 1);
    assert_int_equal(gw_test_send(d, GW_LOGS, GW_SLICE("\x0a\x05\x12"), NULL, 2, &v), -EBADMSG);
    assert_int_equal(v.grpc_status, 3);
    assert_true(strlen(v.message) > 5);
    assert_int_equal(gw_test_send(d, GW_LOGS, GW_SLICE(""), NULL, 3, &v), 0);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    assert_int_equal(gw_test_send(d, GW_TRACES, GW_SLICE(""), NULL, 4, &v), -ENOTSUP);
    assert_int_equal(v.grpc_status, 12);
    gw_test_engine_send(d, GW_LOGS, 2, 1, 5);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 8), 2);
    assert_int_equal(names[1], 2);
    assert_int_equal(d->n_verdicts, 3);
    gw_test_sink_answer(s, &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    one receiver in two pipelines, one of them with two exporters; all wait for the sink
 * Guarantees  three bodies; one verdict, after the last answer; the worst answer wins
 */
static void a_fan_out_is_answered_once_by_its_worst_branch(void **state)
{
    static const struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "not that"};
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters:\n"
                        "  scripted: { sending_queue: { wait_for_result: true } }\n"
                        "  scripted/b: { sending_queue: { wait_for_result: true } }\n"
                        "  scripted/c: { sending_queue: { wait_for_result: true } }\n"
                        "service:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [scripted, scripted/b] }\n"
                        "    logs/2: { receivers: [scripted], exporters: [scripted/c] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 4, 9);
    gw_test_engine_turn(&t, 3, 0);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK));
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/c"), &no));
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 0);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/b"), &OK));
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 13);
    assert_string_equal(d->verdicts[0].v.message, "not that");
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    two requests in one body; the sink rejects one row
 * Guarantees  partial success counts one row in all, and both requests are OK
 */
static void partial_success_is_counted_exactly(void **state)
{
    static const struct gw_sent_info partial = {.sent = GW_SENT_OK, .rejected_rows = 1, .message = "one is bad"};
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\nexporters: { scripted: { sending_queue: { enabled: false } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 4, 1);
    gw_test_engine_send(d, GW_LOGS, 5, 4, 2);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &partial);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(d->verdicts[0].v.rejected + d->verdicts[1].v.rejected, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status + d->verdicts[1].v.grpc_status, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    forward joins two pipelines and splits into two
 * Guarantees  rows of both receivers reach both exporters once
 */
static void forward_joins_and_splits(void **state)
{
    struct gw_test_engine t;
    uint64_t names[8];

    (void)state;
    gw_test_engine_open(&t,
                        ENDS "connectors: { forward: }\nservice:\n  pipelines:\n"
                             "    logs/a: { receivers: [scripted], exporters: [forward] }\n"
                             "    logs/b: { receivers: [scripted/b], exporters: [forward] }\n"
                             "    logs/x: { receivers: [forward], exporters: [scripted] }\n"
                             "    logs/y: { receivers: [forward], exporters: [scripted/b] }\n",
                        1, false);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, 1, 1);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted/b", 0), GW_LOGS, 2, 1, 1);
    gw_test_engine_turn(&t, 3, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gw_test_sink *s = gw_test_engine_sink(&t, i ? "scripted/b" : "scripted");
        uint64_t sum = 0;

        assert_int_equal(s->n_waiting, 2);
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 8), 1);
            sum += names[0];
            gw_test_sink_answer(s, &OK);
        }
        assert_int_equal(sum, 3);
    }
    assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    queue_size 2 requests, no answers; then room; and by items
 * Guarantees  the third request is UNAVAILABLE with a delay before its body is looked at; later one passes; by items
 * the rows count and enqueue_failed is exact
 */
static void a_full_queue_is_unavailable_at_the_door(void **state)
{
    const struct gw_label e = {"exporter", "scripted"};
    const struct gw_label r[] = {{"receiver", "scripted"}, {"signal", "logs"}, {"reason", "queue_full"}};
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_verdict v;
    struct gw_buf body;

    (void)state;
    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, 1, 6);
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\nexporters: { scripted: { sending_queue: { queue_size: 2 } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 1, 1);
    gw_test_engine_send(d, GW_LOGS, 2, 1, 2);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, 3, &v), -EBUSY);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, 3, &v), -EBUSY);
    assert_int_equal(v.grpc_status, 14);
    assert_true(v.retry_after_ns > 0);
    assert_string_equal(v.message, "sending queue is full");
    assert_int_equal(gw_test_engine_metric(&t, "staunch_refused_requests", r, 3), 2);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, 3, &v), 0);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);

    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 10, sizer: items } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, 1, &v), 0);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, 2, &v), -EBUSY);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_exporter_enqueue_failed_log_records", &e, 1), 6);
    gw_test_engine_send(d, GW_LOGS, 1, 4, 3);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->waiting[0]->rows, 10);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_buf_clear(&body);
}

/* What a request of n rows is told when it is refused. */
static uint64_t told_ns(struct gw_test_engine *t, unsigned rows)
{
    struct gw_verdict v = {0};
    struct gw_buf body;

    gw_test_engine_turn(t, 1, 0); /* the loop sees the clock */
    gw_buf_init(&body, 1 << 20);
    gw_test_request(&body, GW_LOGS, 1, rows);
    assert_int_equal(gw_test_send(gw_test_engine_door(t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), NULL, 9, &v),
                     -EBUSY);
    gw_buf_clear(&body);
    assert_int_equal(v.grpc_status, 14);
    return v.retry_after_ns;
}

/*
 * Scenario    a queue of 40 rows, always full, whose sink takes a request of 10 rows every half second; then the sink
 *             goes away; a faster one
 * Guarantees  before anything is known a refused client is told one second, then when its rows will have room, and
 *             at most half a minute
 */
static void a_refused_client_is_told_when_there_will_be_room(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *s;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { timeout: 0, sending_queue: { queue_size: 40, sizer: items } } }\n"
                        "service:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    s = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 4; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 10, 10, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    assert_int_equal(told_ns(&t, 10), S);
    for (unsigned i = 0; i < 40; i++) {
        gw_test_engine_turn(&t, 2, S / 2);
        gw_test_engine_turn(&t, 1, 0);
        assert_true(gw_test_sink_answer(s, &OK));
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 10, 10, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    assert_in_range(told_ns(&t, 10), S * 45 / 100, S * 55 / 100); /* 20 rows a second */
    assert_in_range(told_ns(&t, 30), S * 140 / 100, S * 160 / 100);
    assert_in_range(told_ns(&t, 400), S * 190 / 100, S * 210 / 100); /* never fits: when the queue is empty */
    for (unsigned i = 0; i < 20; i++) {
        gw_test_engine_turn(&t, 2, S);
        (void)told_ns(&t, 10);
    }
    assert_int_equal(told_ns(&t, 10), 30 * S);
    while (gw_test_sink_answer(s, &OK))
        ;
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    the memory of requests is full up to the mark of the door, and a sink frees one request a second
 * Guarantees  a refused client is told when its bytes will have room
 */
static void a_full_memory_tells_when_it_will_be_free(void **state)
{
    static const unsigned rows = 5000; /* a request of 55 kB */
    struct gw_test_engine t;
    struct gw_credit *memory;
    struct gw_test_sink *s;
    uint64_t each, told;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { timeout: 0 } }\n"
                        "service:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    memory = gw_engine_memory(t.engine);
    s = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 8; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, rows, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    each = memory->used_bytes / 8;
    for (unsigned i = 0; i < 10; i++) { /* one leaves, one comes, each second */
        gw_test_engine_turn(&t, 1, S);
        gw_test_engine_turn(&t, 1, 0);
        assert_true(gw_test_sink_answer(s, &OK));
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, rows, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    atomic_store(&memory->soft_bytes, 6 * each); /* two requests over the mark, and the one that asks */
    told = told_ns(&t, rows);
    if (told < 13 * S / 10 || told > 31 * S / 10)
        fail_msg("told %llu ms", (unsigned long long)told / 1000000);
    while (gw_test_sink_answer(s, &OK))
        gw_test_engine_turn(&t, 1, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    block_on_overflow with a queue of one; three requests; answers one by one
 * Guarantees  none is refused, each goes when there is room, in order
 */
static void block_on_overflow_parks_requests(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;
    uint64_t names[4];

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 1, block_on_overflow: true } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    s = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 1; i <= 3; i++) {
        gw_test_engine_send(d, GW_LOGS, i, 1, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(d->n_verdicts, i);
        assert_int_equal(s->n_waiting, 1);
        assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, names, 4), 1);
        assert_int_equal(names[0], i);
        gw_test_sink_answer(s, &OK);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    block_on_overflow with a full queue; two requests of one turn wait, for 1 s and for 3 s; then two more
 * Guarantees  while one of them waits they keep their place and go together when there is room; when nobody waits they
 *             are not sent at all: DEADLINE_EXCEEDED, without a delay
 */
static void waiting_for_room_ends_with_the_last_deadline(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 1, block_on_overflow: true } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    s = gw_test_engine_sink(&t, "scripted");
    gw_test_engine_send(d, GW_LOGS, 1, 1, 1);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(d->n_verdicts, 1);
    for (unsigned round = 0; round < 2; round++) {
        d->deadline_ns = gw_mono_ns(&t.te.env) + S;
        gw_test_engine_send(d, GW_LOGS, 10, 1, 2);
        d->deadline_ns += 2 * S;
        gw_test_engine_send(d, GW_LOGS, 11, 1, 3);
        gw_test_engine_turn(&t, 2, 2 * S);
        gw_test_engine_turn(&t, 2, 0);
        assert_int_equal(d->n_verdicts, 1 + 2 * round);
        assert_int_equal(s->n_waiting, 1);
        if (round == 0) {
            gw_test_sink_answer(s, &OK);
            gw_test_engine_turn(&t, 3, 0);
            assert_int_equal(s->waiting[0]->rows, 2);
            assert_int_equal(d->verdicts[1].v.grpc_status, 0);
        } else {
            gw_test_engine_turn(&t, 1, 1100000000u);
            gw_test_engine_turn(&t, 3, 0);
            assert_int_equal(d->n_verdicts, 5);
            assert_int_equal(d->verdicts[3].v.grpc_status, 4);
            assert_int_equal(d->verdicts[4].v.grpc_status, 4);
            assert_int_equal(d->verdicts[4].v.retry_after_ns, 0);
        }
    }
    gw_test_sink_answer(s, &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(s->n_waiting, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    with 10 MB below the soft mark a body reserves for what has not come yet: 4 MB, 12 MB; then it comes
 * Guarantees  ahead of the bytes only up to the soft mark, and nothing is taken or counted by a "not now"; what comes
 * may pass it; all is given back
 */
static void reservations_ahead_of_the_bytes_stop_at_the_soft_mark(void **state)
{
    struct gw_test_engine t;
    struct gw_credit *memory;
    struct gw_intake *in;
    struct gw_hold h = {0};
    struct gw_verdict v;

    (void)state;
    gw_test_engine_open(&t, simple, 1, false);
    in = gw_test_engine_door(&t, "scripted", 0)->intake;
    memory = gw_engine_memory(t.engine);
    gw_credit_init(memory, 10 << 20, 16 << 20);
    assert_int_equal(in->ops->admit(in, &h, GW_LOGS, 0, &v), 0);
    assert_true(in->ops->ahead(in, &h, 4 << 20));
    assert_int_equal(memory->used_bytes, 4 << 20);
    assert_true(in->ops->ahead(in, &h, 3 << 20));
    assert_false(in->ops->ahead(in, &h, 12 << 20));
    assert_int_equal(memory->used_bytes, 4 << 20);
    assert_int_equal(in->ops->grow(in, &h, 12 << 20, &v), 0);
    assert_int_equal(memory->used_bytes, 12 << 20);
    in->ops->release(in, &h);
    assert_int_equal(memory->used_bytes, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a large body brings its own payload
 * Guarantees  it leaves without being copied: the attempt's bytes are the payload's
 */
static void a_large_body_is_not_copied(void **state)
{
    struct gw_test_engine t;
    struct gw_test_sink *s;
    struct gw_buf body;
    struct gw_verdict v;

    (void)state;
    gw_buf_init(&body, 1u << 20);
    gw_test_request(&body, GW_LOGS, 1, 4000);
    assert_true(body.n > 32768);
    gw_test_engine_open(&t, simple, 1, false);
    s = gw_test_engine_sink(&t, "scripted");
    assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), NULL, 1, &v),
                     0);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(s->waiting[0]->body.n, body.n);
    assert_memory_equal(s->waiting[0]->body.p, body.p, body.n);
    assert_int_equal(gw_engine_memory(t.engine)->used_bytes, body.n);
    gw_test_sink_answer(s, &OK);
    assert_int_equal(gw_engine_memory(t.engine)->used_bytes, 0);
    gw_buf_clear(&body);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    the batch processor's pipeline, with a queue that waits for the sink
 * Guarantees  requests of several turns leave together after the timeout, and no verdict waited for it but the sink
 */
static void the_batch_processor_batches_behind_the_queue(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;

    (void)state;
    need_processor("batch");
    gw_test_engine_open(&t,
                        ENDS "processors: { batch: { timeout: 1s } }\nservice:\n  pipelines:\n"
                             "    logs: { receivers: [scripted], processors: [batch], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    s = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 3; i++) {
        gw_test_engine_send(d, GW_LOGS, i, 1, i);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(d->n_verdicts, 3);
    assert_int_equal(s->n_waiting, 0);
    gw_test_engine_turn(&t, 1, 1100000000u);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(s->waiting[0]->rows, 3);
    gw_test_sink_answer(s, &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a drain while the sink is slow
 * Guarantees  quiet only after every request has its verdict; drained only when the queue is empty; nothing is left
 */
static void a_drain_loses_nothing(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *s;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { batch: { flush_timeout: 1h } } } }\n"
                        "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                        2, false);
    d = gw_test_engine_door(&t, "scripted", 1);
    s = gw_test_engine_sink(&t, "scripted");
    gw_test_engine_send(d, GW_LOGS, 1, 3, 1);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    assert_false(gw_engine_is_quiet(t.engine));
    for (unsigned i = 0; i < 10 && !gw_engine_is_quiet(t.engine); i++)
        gw_test_engine_turn(&t, 2, 10000000u);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_true(d->quiesced);
    assert_int_equal(d->n_verdicts, 1);
    assert_false(gw_engine_is_drained(t.engine));
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(s->n_waiting, 1);
    gw_test_sink_answer(s, &OK);
    assert_true(gw_engine_is_drained(t.engine));
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    stopped while rows are in the queue
 * Guarantees  they are told, and counted as dropped for "shutdown"
 */
static void what_is_left_at_the_end_is_told(void **state)
{
    struct gw_test_engine t;

    (void)state;
    gw_test_engine_open(&t, simple, 1, false);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, 3, 1);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_engine_stop(t.engine), 3);
    assert_int_equal(gw_test_engine_metric(&t, "staunch_dropped_items",
                                           (const struct gw_label[]){{"component", "scripted"},
                                                                     {"pipeline", "logs"},
                                                                     {"signal", "logs"},
                                                                     {"reason", "shutdown"}},
                                           4),
                     3);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    dead letters of an exporter that lead back to it
 * Guarantees  refused at the start with both names
 */
static void dead_letters_may_not_come_back(void **state)
{
    struct gw_test_engine t;
    struct gw_err err;

    (void)state;
    assert_true(gw_test_engine_try(&t,
                                   "receivers: { scripted: }\n"
                                   "exporters:\n"
                                   "  scripted: { ports: { dead_letter: [scripted/b] } }\n"
                                   "  scripted/b: { ports: { dead_letter: [scripted] } }\n"
                                   "service:\n  pipelines:\n"
                                   "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                                   1, false, &err) < 0);
    assert_non_null(strstr(err.text, "scripted/b"));
}

/*
 * Scenario    rows that `validate` rejects, with its dead_letter port wired
 * Guarantees  the good row goes on, the bad ones are told as partial success and arrive as dead letters
 */
static void rejected_rows_become_dead_letters(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_test_sink *good, *bad;
    struct gw_verdict v;
    struct gw_buf body;
    uint64_t names[4];

    (void)state;
    need_processor("validate");
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_TRACES, 5, 1);
    /* resource_spans { scope_spans { span { trace_id: 4 bytes, start: 1 } } } */
    gw_buf_put_slice(&body, GW_SLICE("\x0a\x13\x12\x11\x12\x0f\x0a\x04\x01\x02\x03\x04\x39\x01\0\0\0\0\0\0\0"));
    gw_test_engine_open(&t,
                        ENDS "processors: { validate: { ports: { dead_letter: [scripted/b] } } }\n"
                             "service:\n  pipelines:\n"
                             "    traces: { receivers: [scripted], processors: [validate], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    good = gw_test_engine_sink(&t, "scripted");
    bad = gw_test_engine_sink(&t, "scripted/b");
    assert_int_equal(gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, 1, &v), 0);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    assert_int_equal(d->verdicts[0].v.rejected, 1);
    assert_int_equal(gw_test_names(GW_TRACES, good->waiting[0]->body, names, 4), 1);
    assert_int_equal(names[0], 5);
    assert_int_equal(bad->n_waiting, 1);
    assert_int_equal(bad->waiting[0]->rows, 1);
    assert_non_null(memmem(bad->waiting[0]->body.p, bad->waiting[0]->body.n, "dlq.rule", 8));
    assert_non_null(memmem(bad->waiting[0]->body.p, bad->waiting[0]->body.n, "\x0a\x04\x01\x02\x03\x04", 6));
    gw_test_sink_answer(good, &OK);
    gw_test_sink_answer(bad, &OK);
    gw_buf_clear(&body);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_one_turn_leave_together_and_are_answered_alone),
        cmocka_unit_test(a_bad_request_does_not_touch_its_neighbours),
        cmocka_unit_test(a_fan_out_is_answered_once_by_its_worst_branch),
        cmocka_unit_test(partial_success_is_counted_exactly),
        cmocka_unit_test(forward_joins_and_splits),
        cmocka_unit_test(a_full_queue_is_unavailable_at_the_door),
        cmocka_unit_test(a_refused_client_is_told_when_there_will_be_room),
        cmocka_unit_test(a_full_memory_tells_when_it_will_be_free),
        cmocka_unit_test(block_on_overflow_parks_requests),
        cmocka_unit_test(waiting_for_room_ends_with_the_last_deadline),
        cmocka_unit_test(reservations_ahead_of_the_bytes_stop_at_the_soft_mark),
        cmocka_unit_test(a_large_body_is_not_copied),
        cmocka_unit_test(the_batch_processor_batches_behind_the_queue),
        cmocka_unit_test(a_drain_loses_nothing),
        cmocka_unit_test(what_is_left_at_the_end_is_told),
        cmocka_unit_test(dead_letters_may_not_come_back),
        cmocka_unit_test(rejected_rows_become_dead_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
