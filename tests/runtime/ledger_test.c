/* SPDX-License-Identifier: Apache-2.0 */
/* The books of a whole gateway: that they say what happened, and that nothing can be lost behind their back. */
#include "runtime/ledger.h"

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/loop.h"
#include "otlp-proto/decode.h"
#include "pipeline/ports.h"
#include "queue/edge_impl.h"
#include "runtime/graph.h"
#include "tests/harness_engine.h"

enum { N_REQUESTS = 3000, N_WORKERS = 3, LOOKS = 300 };

static struct gw_test_engine t;

/* ---- components of these tests ---------------------------------------------------------------------------- */

/* Keeps the rows of every batch as a number, and makes them anew when it is told to. `thief` loses one of them. */
struct keeper {
    uint64_t kept;
    enum gw_signal signal;
};
static struct keeper *keeper;
static bool let_go, steals, doubles;

static int create_keeper(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)conf;
    (void)err;
    keeper = calloc(1, sizeof(*keeper));
    *ret = keeper;
    if (keeper)
        keeper->signal = ctx->signal;
    return keeper ? 0 : -ENOMEM;
}

static void keep(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct keeper *k = self;

    k->kept += v->n_rows - (steals ? 1 : 0);
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "kept", NULL);
    gw_view_clear(v);
}

/* Rows out of nothing, that nobody waits for. */
static void emit_new(enum gw_signal s, unsigned n, struct gw_ports *out)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(s);
    struct gw_view v;
    struct gw_buf body;
    struct gw_ref at;

    gw_buf_init(&body, 1 << 20);
    gw_test_request(&body, s, 1000, n);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    gw_view_init(&v, b, out->arena);
    gw_emit(out, 0, &v);
    (void)gw_batch_unref(b);
    gw_buf_clear(&body);
}

static int release(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct keeper *k = self;

    (void)now_ns;
    if (let_go && k->kept)
        emit_new(k->signal, (unsigned)k->kept, out);
    if (let_go)
        k->kept = 0;
    return GW_DONE;
}

static uint64_t count_kept(void *self)
{
    return ((struct keeper *)self)->kept;
}

static const struct gw_component keeps = {.kind = GW_PROCESSOR,
                                          .name = "holder",
                                          .signals = GW_ALL_SIGNALS,
                                          .create = create_keeper,
                                          .destroy = free,
                                          .consume = keep,
                                          .tick = release,
                                          .held = count_kept};
/* The same without `held`: an aggregation. What it takes is gone, what it emits is new. */
static const struct gw_component sums = {.kind = GW_PROCESSOR,
                                         .name = "summer",
                                         .signals = GW_ALL_SIGNALS,
                                         .create = create_keeper,
                                         .destroy = free,
                                         .consume = keep,
                                         .tick = release};

/* Lets a view fall, or makes rows, as no processor may that does not say so. */
static void misbehave(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    if (steals) {
        gw_view_settle_all(v, NULL, GW_DROPPED, "stolen", NULL);
        gw_view_clear(v);
        return;
    }
    if (doubles)
        emit_new(v->batch->signal, 3, out);
    gw_emit(out, 0, v);
}

static const struct gw_component bad = {
    .kind = GW_PROCESSOR, .name = "bad", .signals = GW_ALL_SIGNALS, .consume = misbehave};

/* ---- the rig ---------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    gw_test_own_components[0] = &keeps;
    gw_test_own_components[1] = &sums;
    gw_test_own_components[2] = &bad;
    let_go = steals = doubles = false;
    return 0;
}

static const struct gw_ledger_row *row(const struct gw_picture *p, enum gw_book_kind kind, const char *pipeline,
                                       const char *component, enum gw_signal s)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].kind == kind && p->rows[i].signal == s && strcmp(p->rows[i].pipeline, pipeline) == 0 &&
            strcmp(p->rows[i].component, component) == 0)
            return &p->rows[i];
    fail_msg("no book of %s %s %s", gw_book_kind_name(kind), pipeline, component);
    return NULL;
}

/* "in=5 out=3 held=2": all that is not 0. */
static const char *book(enum gw_book_kind kind, const char *pipeline, const char *component, enum gw_signal s)
{
    static char text[512];
    struct gw_picture *p = gw_ledger_look(t.engine);
    const struct gw_ledger_row *r = row(p, kind, pipeline, component, s);
    size_t n = 0;

    text[0] = '\0';
    for (unsigned e = 0; e < GW_N_ENTRIES; e++)
        if (r->n[e])
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%llu", n ? " " : "",
                                  gw_entry_name((enum gw_entry)e), (unsigned long long)r->n[e]);
    if (r->mismatch)
        (void)snprintf(text + n, sizeof(text) - n, "%smismatch=%lld", n ? " " : "", (long long)r->mismatch);
    gw_picture_free(p);
    return text;
}
#define EXPORTER(component)  book(GW_BOOK_EXPORTER, "logs", component, GW_LOGS)
#define PIPELINE()           book(GW_BOOK_PIPELINE, "logs", "", GW_LOGS)
#define PROCESSOR(component) book(GW_BOOK_PROCESSOR, "logs", component, GW_LOGS)
#define RECEIVER(component)  book(GW_BOOK_RECEIVER, "", component, GW_LOGS)

static uint64_t mismatch(void)
{
    struct gw_picture *p = gw_ledger_look(t.engine);
    uint64_t n = p->mismatch;

    gw_picture_free(p);
    return n;
}

static struct gw_test_door *door(void)
{
    return gw_test_engine_door(&t, "scripted", 0);
}

static void answer(const char *exporter, struct gw_sent_info info)
{
    while (gw_test_sink_answer(gw_test_engine_sink(&t, exporter), &info))
        gw_test_engine_turn(&t, 1, 0);
    gw_test_engine_turn(&t, 2, 0);
}

static void turn_loops(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_engine_turn(t.engine);
}

/* ---- what the books say ----------------------------------------------------------------------------------- */

#define HEAD       "receivers: { scripted: }\n"
#define TWO        HEAD "exporters: { scripted: , scripted/b: { sending_queue: { enabled: false } } }\n"
#define LOGS(ends) "service: { pipelines: { logs: { receivers: [scripted], " ends " } } }\n"

/* Scenario: a request for two exporters, one behind a queue. Guarantees: each step of it is in every book. */
static void a_request_is_followed_through_the_books(void **state)
{
    (void)state;
    gw_test_engine_open(&t, TWO LOGS("exporters: [scripted, scripted/b]"), 1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 7, 1);
    assert_string_equal(RECEIVER("scripted"), "in=7 held=7"); /* the open batch */
    gw_test_engine_turn(&t, 1, 0);
    assert_string_equal(RECEIVER("scripted"), "in=7 out=7");
    assert_string_equal(PIPELINE(), "in=7 created=7 out=14");
    assert_string_equal(EXPORTER("scripted"), "in=7 held=7");
    assert_string_equal(EXPORTER("scripted/b"), "in=7 held=7");
    answer("scripted", (struct gw_sent_info){.sent = GW_SENT_OK, .rejected_rows = 2});
    answer("scripted/b", (struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "bad", .grpc_status = 3});
    assert_string_equal(EXPORTER("scripted"), "in=7 out=5 rejected=2");
    assert_string_equal(EXPORTER("scripted/b"), "in=7 dropped=7");
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* Scenario: a filter before two pipelines that a connector joins. Guarantees: what each lets go of is its own. */
static void processors_and_connectors_have_books(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        HEAD "exporters: { scripted: { at_once: true } }\n"
                             "connectors: { forward: }\n"
                             "processors: { probabilistic_sampler: { sampling_percentage: 0 }, attributes: { actions: "
                             "[{ key: a, value: b, action: upsert }] } }\n"
                             "service:\n  pipelines:\n"
                             "    logs: { receivers: [scripted], processors: [attributes], exporters: [forward] }\n"
                             "    logs/b: { receivers: [forward], processors: [probabilistic_sampler], exporters: "
                             "[scripted] }\n"
                             "    logs/c: { receivers: [forward], exporters: [scripted] }\n",
                        1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 5, 1);
    gw_test_engine_turn(&t, 4, 0);
    assert_string_equal(PROCESSOR("attributes"), "in=5 out=5");
    assert_string_equal(book(GW_BOOK_CONNECTOR, "", "forward", GW_LOGS), "in=5 created=5 out=10");
    assert_string_equal(book(GW_BOOK_PROCESSOR, "logs/b", "probabilistic_sampler", GW_LOGS), "in=5 dropped=5");
    assert_string_equal(book(GW_BOOK_PIPELINE, "logs/b", "", GW_LOGS), "in=5 dropped=5");
    assert_string_equal(book(GW_BOOK_PIPELINE, "logs/c", "", GW_LOGS), "in=5 out=5");
    assert_string_equal(book(GW_BOOK_EXPORTER, "logs/c", "scripted", GW_LOGS), "in=5 out=5");
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* Scenario: rejected rows and a permanent failure, both with dead letters. Guarantees: letters are rows of their own.
 */
static void dead_letters_are_rows_of_their_own(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        HEAD "exporters: { scripted: { ports: { dead_letter: [scripted/b] } }, scripted/b: }\n"
                             "processors: { validate: { ports: { dead_letter: [scripted/b] } } }\n"
                             "service: { pipelines: { traces: { receivers: [scripted], processors: [validate], "
                             "exporters: [scripted] }, logs: { receivers: [scripted], exporters: [scripted] } } }\n",
                        1, false);
    gw_test_engine_send(door(), GW_TRACES, 0, 4, 1);
    gw_test_engine_send(door(), GW_LOGS, 1, 3, 2);
    gw_test_engine_turn(&t, 2, 0);
    assert_string_equal(book(GW_BOOK_PROCESSOR, "traces", "validate", GW_TRACES), "in=4 out=3 dead_lettered=1");
    assert_string_equal(book(GW_BOOK_PIPELINE, "traces", "", GW_TRACES), "in=4 out=3 dead_lettered=1");
    assert_string_equal(book(GW_BOOK_EXPORTER, "traces", "scripted/b", GW_LOGS), "in=1 held=1");
    answer("scripted", (struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = "bad", .grpc_status = 3});
    assert_string_equal(EXPORTER("scripted"), "in=3 dead_lettered=3");
    assert_string_equal(EXPORTER("scripted/b"), "in=1 held=1"); /* of the logs: one letter with three rows */
    answer("scripted/b", (struct gw_sent_info){.sent = GW_SENT_OK});
    assert_string_equal(EXPORTER("scripted/b"), "in=1 out=1");
    assert_string_equal(book(GW_BOOK_EXPORTER, "traces", "scripted/b", GW_LOGS), "in=2 out=2");
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* Scenario: a full queue that blocks. Guarantees: parked batches are held at the door; refused ones are the client's.
 */
static void parked_batches_are_held(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        HEAD "exporters: { scripted: { sending_queue: { queue_size: 1, num_consumers: 1, "
                             "block_on_overflow: true } } }\n" LOGS("exporters: [scripted]"),
                        1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 3, 1);
    gw_test_engine_turn(&t, 2, 0);
    door()->deadline_ns = t.te.now_ns + 1000000000u;
    gw_test_engine_send(door(), GW_LOGS, 4, 2, 2);
    gw_test_engine_turn(&t, 2, 0);
    assert_string_equal(RECEIVER("scripted"), "in=5 out=3 held=2");
    gw_test_engine_turn(&t, 2, 2000000000u);
    gw_test_engine_turn(&t, 2, 0);
    assert_string_equal(RECEIVER("scripted"), "in=5 out=3 refused=2");
    (void)gw_engine_stop(t.engine);
    assert_string_equal(EXPORTER("scripted"), "in=3 dropped=3");
    (void)gw_test_engine_close(&t);
}

/* Scenario: two pipelines share an exporter that batches. Guarantees: their rows are sent, and booked, apart. */
static void pipelines_stay_apart_in_a_queue(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        HEAD
                        "exporters: { scripted: { sending_queue: { batch: { min_size: 100, flush_timeout: 1s } } } }\n"
                        "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] }, "
                        "logs/b: { receivers: [scripted], exporters: [scripted] } } }\n",
                        1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 3, 1);
    gw_test_engine_send(door(), GW_LOGS, 4, 2, 2);
    gw_test_engine_turn(&t, 3, 2000000000u);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 2);
    assert_string_equal(EXPORTER("scripted"), "in=5 held=5");
    assert_true(
        gw_test_sink_answer_at(gw_test_engine_sink(&t, "scripted"), 1, &(struct gw_sent_info){.sent = GW_SENT_OK}));
    assert_string_equal(EXPORTER("scripted"), "in=5 out=5");
    assert_string_equal(book(GW_BOOK_EXPORTER, "logs/b", "scripted", GW_LOGS), "in=5 held=5");
    (void)gw_test_engine_close(&t);
}

/* Scenario: a processor that keeps rows and one that sums them up. Guarantees: kept ones are found; summed ones end. */
static void rows_in_processors_are_found(void **state)
{
    (void)state;
    gw_test_engine_open(&t, TWO "processors: { holder: }\n" LOGS("processors: [holder], exporters: [scripted]"), 1,
                        false);
    gw_test_engine_send(door(), GW_LOGS, 1, 5, 1);
    gw_test_engine_turn(&t, 2, 200000000u);
    assert_string_equal(PROCESSOR("holder"), "in=5 held=5");
    assert_string_equal(PIPELINE(), "in=5 held=5");
    let_go = true;
    gw_test_engine_turn(&t, 2, 200000000u);
    gw_test_engine_turn(&t, 2, 0);
    assert_string_equal(PROCESSOR("holder"), "in=5 out=5");
    assert_string_equal(PIPELINE(), "in=5 out=5");
    answer("scripted", (struct gw_sent_info){.sent = GW_SENT_OK});
    assert_int_equal(gw_test_engine_close(&t), 0);

    gw_test_engine_open(&t, TWO "processors: { summer: }\n" LOGS("processors: [summer], exporters: [scripted]"), 1,
                        false);
    gw_test_engine_send(door(), GW_LOGS, 1, 5, 1);
    gw_test_engine_turn(&t, 2, 200000000u);
    gw_test_engine_turn(&t, 2, 0);
    assert_string_equal(PROCESSOR("summer"), "in=5 created=5 out=5 absorbed=5");
    answer("scripted", (struct gw_sent_info){.sent = GW_SENT_OK});
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* ---- what goes behind their back -------------------------------------------------------------------------- */

static struct gw_lane *lane(const char *exporter)
{
    return &gw_engine_edge(t.engine, exporter)->lanes[gw_signal_index(GW_LOGS)];
}

/* Scenario: a chunk that waits in a queue is freed. Guarantees: its rows are missed, by the book that had them. */
static void a_freed_chunk_is_missed(void **state)
{
    struct gw_chunk *c;
    struct gw_lane *l;

    (void)state;
    gw_test_engine_open(
        &t, HEAD "exporters: { scripted: { sending_queue: { num_consumers: 1 } } }\n" LOGS("exporters: [scripted]"), 1,
        false);
    for (unsigned i = 0; i < 3; i++) {
        gw_test_engine_send(door(), GW_LOGS, 1 + i * 4, 4, i);
        gw_test_engine_turn(&t, 2, 0);
    }
    assert_int_equal(mismatch(), 0);
    l = lane("scripted");
    c = l->pending;
    assert_non_null(c);
    l->pending = c->next;
    if (!l->pending)
        l->pending_last = &l->pending;
    gw_edge_done(l, c);
    assert_string_equal(EXPORTER("scripted"), "in=12 held=8 mismatch=4");
    assert_int_equal(mismatch(), 4);
    gw_test_engine_abandon(&t);
}

/* Scenario: on its way between the threads. Guarantees: the same. */
static void a_chunk_lost_between_threads_is_missed(void **state)
{
    struct gw_inbox_item *i;

    (void)state;
    gw_test_engine_open(&t, TWO LOGS("exporters: [scripted]"), 1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 4, 1);
    gw_loop_turn(lane("scripted")->edge->loop, 0);
    while (!(i = gw_inbox_take(&lane("scripted")->edge->inbox)))
        gw_loop_turn(t.engine->workers[0].loop, 0);
    assert_int_equal(mismatch(), 4);
    gw_edge_done(lane("scripted"), (struct gw_chunk *)i);
    assert_int_equal(mismatch(), 4);
    gw_test_engine_abandon(&t);
}

/* Scenario: a job whose attempt forgets one of its rows, or counts one too many. Guarantees: both are seen. */
static void a_forgotten_settle_is_missed(void **state)
{
    (void)state;
    gw_test_engine_open(&t, TWO LOGS("exporters: [scripted]"), 1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 4, 1);
    gw_test_engine_turn(&t, 2, 0);
    lane("scripted")->jobs->a.rows--;
    assert_string_equal(EXPORTER("scripted"), "in=4 held=3 mismatch=1");
    turn_loops(1);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &(struct gw_sent_info){.sent = GW_SENT_OK}));
    assert_string_equal(EXPORTER("scripted"), "in=4 out=3 mismatch=1");
    gw_test_engine_send(door(), GW_LOGS, 5, 4, 2);
    turn_loops(3);
    lane("scripted")->jobs->a.rows += 3;
    assert_string_equal(EXPORTER("scripted"), "in=8 out=3 held=7 mismatch=-2");
    gw_test_engine_abandon(&t);
}

/* Scenario: a processor lets a view fall, emits it twice, or loses one that it keeps. Guarantees: named as the culprit.
 */
static void a_bad_processor_is_caught(void **state)
{
    (void)state;
    gw_test_engine_open(&t, TWO "processors: { bad: }\n" LOGS("processors: [bad], exporters: [scripted]"), 1, false);
    steals = true;
    gw_test_engine_send(door(), GW_LOGS, 1, 4, 1);
    turn_loops(3);
    assert_string_equal(PROCESSOR("bad"), "in=4 mismatch=4");
    assert_string_equal(PIPELINE(), "in=4 mismatch=4");
    steals = false;
    doubles = true;
    gw_test_engine_send(door(), GW_LOGS, 1, 3, 1);
    turn_loops(3);
    assert_string_equal(PROCESSOR("bad"), "in=7 out=6 mismatch=1");
    assert_string_equal(EXPORTER("scripted"), "in=6 held=6"); /* it is not its doing */
    gw_test_engine_abandon(&t);

    gw_test_engine_open(&t, TWO "processors: { holder: }\n" LOGS("processors: [holder], exporters: [scripted]"), 1,
                        false);
    steals = true;
    gw_test_engine_send(door(), GW_LOGS, 1, 4, 1);
    turn_loops(3);
    assert_string_equal(PROCESSOR("holder"), "in=4 held=3 mismatch=1");
    gw_test_engine_abandon(&t);
}

/* ---- while everything moves ------------------------------------------------------------------------------- */

/*
 * Scenario    three workers, two exporters with threads of their own, one of which feeds the other with dead letters;
 *             a picture is taken again and again
 * Guarantees  each one balances to the row, and the books only grow
 */
static unsigned look_at_a_moving_gateway(void)
{
    struct gw_test_pump *p;
    uint64_t last = 0;
    unsigned moving = 0;

    gw_test_engine_open(
        &t,
        "receivers: { pump: { requests: 3000, rows: 3 } }\n"
        "exporters:\n"
        "  scripted: { at_once: true, fails: 7, sending_queue: { queue_size: 100000 }, ports: { dead_letter: "
        "[scripted/b] } }\n"
        "  scripted/b: { at_once: true, sending_queue: { queue_size: 100000, batch: { flush_timeout: 1ms } } }\n"
        "service:\n  pipelines:\n"
        "    logs: { receivers: [pump], exporters: [scripted, scripted/b] }\n"
        "    logs/b: { receivers: [pump], exporters: [scripted] }\n",
        N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    for (unsigned i = 0; i < LOOKS; i++) {
        struct gw_picture *pic = gw_ledger_look(t.engine);
        const struct gw_ledger_row *r = row(pic, GW_BOOK_PIPELINE, "logs", "", GW_LOGS);

        if (pic->mismatch) {
            struct gw_buf text;

            gw_buf_init(&text, 1 << 20);
            gw_picture_table(pic, &text);
            gw_buf_put_u8(&text, 0);
            print_error("%s", (const char *)text.p);
            gw_buf_clear(&text);
        }
        assert_int_equal(pic->mismatch, 0);
        assert_true(r->n[GW_E_IN] >= last);
        moving += r->n[GW_E_IN] > last;
        last = r->n[GW_E_IN];
        gw_picture_free(pic);
    }
    while (p->n_ok + p->n_refused + p->n_failed < (uint64_t)N_REQUESTS * N_WORKERS)
        gw_loop_turn(t.loop, 1000000);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine))
        gw_loop_turn(t.loop, 1000000);
    assert_int_equal(gw_test_engine_close(&t), 0);
    return moving;
}

/* On a busy machine the workers may be done before this thread has looked: then once more. */
static void pictures_of_a_moving_gateway_balance(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (look_at_a_moving_gateway() <= 5)
        assert_true(++tries < 20);
}

/* Scenario: asked on the main loop, by several. Guarantees: each is told once; who forgets is not. */
static unsigned n_told;
static void on_picture(struct gw_ledger_wait *w, struct gw_picture *p)
{
    (void)w;
    assert_int_equal(p->mismatch, 0);
    n_told++;
    gw_picture_free(p);
}

static void the_main_loop_may_ask(void **state)
{
    struct gw_ledger_wait a = {.done = on_picture}, b = a, c = a;

    (void)state;
    gw_test_engine_open(&t, TWO LOGS("exporters: [scripted, scripted/b]"), 2, /* threads= */ true);
    n_told = 0;
    assert_int_equal(gw_ledger_ask(t.engine, &a), 0);
    assert_int_equal(gw_ledger_ask(t.engine, &b), 0);
    assert_int_equal(gw_ledger_ask(t.engine, &c), 0);
    gw_ledger_forget(t.engine, &b);
    while (n_told < 2)
        gw_loop_turn(t.loop, 1000000);
    assert_int_equal(gw_ledger_ask(t.engine, &a), 0);
    (void)gw_engine_stop(t.engine); /* it is told before the threads end */
    assert_int_equal(n_told, 3);
    (void)gw_test_engine_close(&t);
}

/* ---- what is shown ---------------------------------------------------------------------------------------- */

/* Guarantees: the table, the JSON and the metrics say the same. */
static void pictures_are_shown(void **state)
{
    struct gw_picture *p;
    struct gw_buf out;

    (void)state;
    gw_test_engine_open(&t, TWO LOGS("exporters: [scripted]"), 1, false);
    gw_test_engine_send(door(), GW_LOGS, 1, 7, 1);
    gw_test_engine_turn(&t, 2, 0);
    p = gw_ledger_look(t.engine);
    gw_buf_init(&out, 1 << 20);
    gw_picture_table(p, &out);
    gw_picture_json(p, &out);
    gw_picture_metrics(p, t.meter);
    gw_meter_write(t.meter, &(struct gw_exposition){0}, &out);
    gw_buf_put_u8(&out, '\0');
    assert_memory_equal(out.p, "balanced: ", 10);
    assert_non_null(strstr((char *)out.p, "{\"balanced\": true, \"mismatch\": 0, \"nameless\": 0, \"books\": ["));
    assert_non_null(strstr((char *)out.p,
                           "{\"book\": \"exporter\", \"pipeline\": \"logs\", \"component\": \"scripted\", "
                           "\"signal\": \"logs\", \"in\": 7, \"created\": 0, \"out\": 0, "));
    assert_non_null(strstr((char *)out.p,
                           "staunch_ledger_items{book=\"exporter\",component=\"scripted\",entry=\"held\","
                           "pipeline=\"logs\",signal=\"logs\"} 7"));
    assert_non_null(strstr((char *)out.p, "staunch_ledger_mismatch 0"));
    p->mismatch = 3;
    gw_buf_reset(&out);
    gw_picture_table(p, &out);
    assert_memory_equal(out.p, "MISMATCH: 3 rows", 16);
    gw_picture_free(p);
    gw_buf_clear(&out);
    (void)gw_test_engine_close(&t);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_followed_through_the_books),
        T(processors_and_connectors_have_books),
        T(dead_letters_are_rows_of_their_own),
        T(parked_batches_are_held),
        T(pipelines_stay_apart_in_a_queue),
        T(rows_in_processors_are_found),
        T(a_freed_chunk_is_missed),
        T(a_chunk_lost_between_threads_is_missed),
        T(a_forgotten_settle_is_missed),
        T(a_bad_processor_is_caught),
        T(pictures_of_a_moving_gateway_balance),
        T(the_main_loop_may_ask),
        T(pictures_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
