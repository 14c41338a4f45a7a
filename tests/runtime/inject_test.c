/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "runtime/inject.h"
#include "tests/harness_engine.h"

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

static const char two[] = "receivers: { scripted: }\n"
                          "exporters:\n"
                          "  scripted: { sending_queue: { queue_size: 2, wait_for_result: true } }\n"
                          "  scripted/b:\n"
                          "service:\n  pipelines:\n"
                          "    logs/a: { receivers: [scripted], exporters: [scripted] }\n"
                          "    logs/b: { receivers: [scripted], exporters: [scripted/b] }\n";

struct one {
    struct gw_injection i; /* first */
    struct gw_buf body;
    unsigned n_done, at; /* at: how many were done before */
    struct gw_verdict v;
    char message[200];
};

static unsigned n_told;

static void on_done(struct gw_injection *i, const struct gw_verdict *v)
{
    struct one *o = (struct one *)i;

    o->n_done++;
    o->at = n_told++;
    o->v = *v;
    strcpy(o->message, v->message);
}

static void fill(struct one *o, uint64_t first, unsigned n, uint64_t key)
{
    memset(o, 0, sizeof(*o));
    gw_buf_init(&o->body, 1 << 20);
    gw_test_request(&o->body, GW_LOGS, first, n);
    o->i = (struct gw_injection){.body = gw_buf_slice(&o->body), .key = key, .done = on_done};
}

static void clear(struct one *o, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_buf_clear(&o[i].body);
}

static struct gw_inject *open_a(struct gw_test_engine *t, uint64_t max_bytes, unsigned max_requests)
{
    struct gw_inject_conf conf = {
        .pipeline = "logs/a", .max_bytes = max_bytes, .max_requests = max_requests, .loop = t->loop};
    struct gw_err err = {""};
    struct gw_inject *in = NULL;

    n_told = 0;
    if (gw_inject_open(t->engine, &conf, &in, &err) < 0)
        fail_msg("%s", err.text);
    return in;
}

/*
 * Scenario    two pipelines of one receiver; requests are put into one of them, with a tenant; the sink answers
 * Guarantees  they reach that one alone, with their meta; each has one verdict, on the caller's loop and only when the
 *             sink has answered; they are counted as a receiver's
 */
static void what_is_put_in_passes_that_pipeline_alone(void **state)
{
    const struct gw_label l[] = {{"receiver", "replay"}, {"transport", "internal"}};
    const struct gw_meta from = {.tenant = GW_SLICE("acme")};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_test_engine t;
    struct gw_inject *in;
    struct one o;
    uint64_t names[8];

    (void)state;
    gw_test_engine_open(&t, two, 2, false);
    in = open_a(&t, 0, 0);
    assert_int_equal(gw_inject_signal(in), GW_LOGS);
    fill(&o, 70, 3, 1);
    o.i.meta = meta;
    assert_int_equal(gw_inject_put(in, &o.i), 0);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted/b")->n_waiting, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, gw_test_engine_sink(&t, "scripted")->waiting[0]->body, names, 8), 3);
    assert_int_equal(names[0], 70);
    assert_true(gw_slice_is(gw_test_engine_sink(&t, "scripted")->waiting[0]->meta->tenant, "acme"));
    assert_int_equal(o.n_done, 0);
    assert_int_equal(gw_inject_in_flight(in), 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_engine_turn(t.engine);
    assert_int_equal(o.n_done, 0); /* the caller's loop has not turned */
    gw_loop_turn(t.loop, 0);
    assert_int_equal(o.n_done, 1);
    assert_int_equal(o.v.grpc_status, 0);
    assert_int_equal(o.v.rows, 3);
    assert_int_equal(gw_inject_in_flight(in), 0);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_receiver_accepted_log_records", l, 2), 3);
    gw_inject_close(in);
    (void)gw_meta_unref(meta);
    clear(&o, 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    the queue has two places: a third request; bytes that are no OTLP; an empty request; a pipeline that
 *             does not exist
 * Guarantees  14 with a delay, 3 with a sentence, 0 at once; an error that names the pipelines there are
 */
static void refusals_are_verdicts(void **state)
{
    struct gw_inject_conf wrong = {.pipeline = "logs/c"};
    struct gw_err err = {""};
    struct gw_test_engine t;
    struct gw_inject *in;
    struct one o[5];

    (void)state;
    gw_test_engine_open(&t, two, 1, false);
    in = open_a(&t, 0, 0);
    assert_int_equal(gw_inject_open(t.engine, &wrong, &in, &err), -ENOENT);
    assert_non_null(strstr(err.text, "logs/a, logs/b"));
    for (unsigned i = 0; i < 5; i++)
        fill(&o[i], 10 * i, i < 4 ? 1 : 0, 0);
    o[3].i.body = GW_SLICE("\x0a\x7f");
    o[4].i.body.n = 0;
    for (unsigned i = 0; i < 5; i++) {
        if (i == 3) /* else its place in the queue is what it lacks */
            gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
        assert_int_equal(gw_inject_put(in, &o[i].i), 0);
        gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(o[0].n_done, 1); /* answered above */
    assert_int_equal(o[1].n_done, 0);
    assert_int_equal(o[2].n_done, 1);
    assert_int_equal(o[2].v.grpc_status, 14);
    assert_true(o[2].v.retry_after_ns > 0);
    assert_string_equal(o[2].message, "sending queue is full");
    assert_int_equal(o[3].v.grpc_status, 3);
    assert_true(strlen(o[3].message) > 0);
    assert_int_equal(o[4].n_done, 1);
    assert_int_equal(o[4].v.grpc_status, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(o[1].n_done, 1);
    gw_inject_close(in);
    clear(o, 5);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    at most two requests, then at most 100 bytes in flight; the sink waits
 * Guarantees  more is refused by put itself and has no verdict; a body larger than the bound passes alone; when one is
 *             done there is room again; those of one key are told in the order of put
 */
static void what_is_in_flight_is_bounded(void **state)
{
    struct gw_test_engine t;
    struct gw_inject *in;
    struct one o[3];

    (void)state;
    gw_test_engine_open(&t, two, 2, false);
    in = open_a(&t, 0, 2);
    for (unsigned i = 0; i < 3; i++)
        fill(&o[i], 10 * i, 2, 4);
    assert_int_equal(gw_inject_put(in, &o[0].i), 0);
    assert_int_equal(gw_inject_put(in, &o[1].i), 0);
    assert_int_equal(gw_inject_put(in, &o[2].i), -EAGAIN);
    gw_test_engine_turn(&t, 3, 0);
    while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK))
        ;
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(o[0].at, 0);
    assert_int_equal(o[1].at, 1);
    assert_int_equal(o[2].n_done, 0);
    assert_int_equal(gw_inject_put(in, &o[2].i), 0);
    gw_inject_close(in); /* what is in flight is still told */
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(o[2].n_done, 1);
    clear(o, 3);

    in = open_a(&t, 100, 0);
    fill(&o[0], 0, 50, 0);
    fill(&o[1], 100, 1, 0);
    assert_true(o[0].body.n > 100 && o[1].body.n < 100);
    assert_int_equal(gw_inject_put(in, &o[0].i), 0);
    assert_int_equal(gw_inject_put(in, &o[1].i), -EAGAIN);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(gw_inject_put(in, &o[1].i), 0);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(o[1].n_done, 1);
    gw_inject_close(in);
    clear(o, 2);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    one request waits for the sink, one has not reached a worker, when the engine stops; one comes after
 * Guarantees  the engine is not quiet before they are; both are told, refused; put says that it is over
 */
static void a_stop_answers_what_is_in_flight(void **state)
{
    struct gw_test_engine t;
    struct gw_inject *in;
    struct one o[3];

    (void)state;
    gw_test_engine_open(&t, two, 1, false);
    in = open_a(&t, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        fill(&o[i], 10 * i, 1, 0);
    assert_int_equal(gw_inject_put(in, &o[0].i), 0);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(gw_inject_put(in, &o[1].i), 0);
    gw_engine_quiesce(t.engine);
    assert_int_equal(gw_inject_put(in, &o[2].i), -ESHUTDOWN);
    assert_false(gw_engine_is_quiet(t.engine));
    (void)gw_engine_stop(t.engine);
    assert_int_equal(o[0].n_done, 0);
    gw_inject_close(in);
    assert_int_equal(o[0].n_done, 1);
    assert_int_equal(o[1].n_done, 1);
    assert_int_equal(o[0].v.grpc_status, 14);
    assert_int_equal(o[1].v.grpc_status, 14);
    assert_int_equal(o[2].n_done, 0);
    clear(o, 3);
    (void)gw_test_engine_close(&t);
}

/*
 * Scenario    the engine leaves while a request waits for the sink
 * Guarantees  it is not quiet until that is told
 */
static void leaving_waits_for_what_is_in_flight(void **state)
{
    struct gw_test_engine t;
    struct gw_inject *in;
    struct one o;

    (void)state;
    gw_test_engine_open(&t, two, 1, false);
    in = open_a(&t, 0, 0);
    fill(&o, 0, 1, 0);
    assert_int_equal(gw_inject_put(in, &o.i), 0);
    gw_engine_quiesce(t.engine);
    gw_test_engine_turn(&t, 4, 10000000);
    gw_test_engine_turn(&t, 4, 10000000);
    assert_false(gw_engine_is_quiet(t.engine));
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 4, 10000000);
    gw_test_engine_turn(&t, 4, 10000000);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_int_equal(o.n_done, 1);
    gw_inject_close(in);
    clear(&o, 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* ---- threads ---------------------------------------------------------------------------------------------- */

enum { N_PUTS = 3000, N_THREADS = 2 };

struct putter {
    struct gw_inject *in;
    struct one *o;
    uint64_t first;
};
static _Atomic unsigned n_answers, n_ok;

static void on_any_thread(struct gw_injection *i, const struct gw_verdict *v)
{
    ((struct one *)i)->n_done++;
    atomic_fetch_add(&n_ok, v->grpc_status == 0);
    atomic_fetch_add(&n_answers, 1);
}

static void *put_all(void *arg)
{
    struct putter *p = arg;

    for (unsigned i = 0; i < N_PUTS; i++) {
        fill(&p->o[i], p->first + i, 1, i);
        p->o[i].i.done = on_any_thread;
        while (gw_inject_put(p->in, &p->o[i].i) == -EAGAIN)
            sched_yield();
    }
    return NULL;
}

/*
 * Scenario    two threads put 3000 requests each into an engine of two workers, 16 in flight at most
 * Guarantees  one verdict for each, from the workers' threads; nothing is lost
 */
static void many_threads_may_put(void **state)
{
    static const char yaml[] = "receivers: { scripted: }\n"
                               "exporters: { scripted: { at_once: true, sending_queue: { queue_size: 100000 } } }\n"
                               "service:\n  pipelines:\n"
                               "    logs/a: { receivers: [scripted], exporters: [scripted] }\n";
    struct gw_inject_conf conf = {.pipeline = "logs/a", .max_requests = 16};
    struct putter p[N_THREADS];
    pthread_t threads[N_THREADS];
    struct gw_err err = {""};
    struct gw_test_engine t;
    struct gw_inject *in;

    (void)state;
    gw_test_engine_open(&t, yaml, 2, /* threads= */ true);
    assert_int_equal(gw_inject_open(t.engine, &conf, &in, &err), 0);
    for (unsigned i = 0; i < N_THREADS; i++) {
        p[i] = (struct putter){in, calloc(N_PUTS, sizeof(struct one)), i * N_PUTS};
        assert_int_equal(pthread_create(&threads[i], NULL, put_all, &p[i]), 0);
    }
    while (n_answers < N_THREADS * N_PUTS)
        gw_loop_turn(t.loop, 5000000);
    for (unsigned i = 0; i < N_THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(n_ok, N_THREADS * N_PUTS);
    gw_inject_close(in);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine))
        gw_loop_turn(t.loop, 5000000);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS).delivered, N_THREADS * N_PUTS);
    for (unsigned i = 0; i < N_THREADS; i++) {
        for (unsigned k = 0; k < N_PUTS; k++)
            assert_int_equal(p[i].o[k].n_done, 1);
        clear(p[i].o, N_PUTS);
        free(p[i].o);
    }
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_passes_that_pipeline_alone),
        cmocka_unit_test(refusals_are_verdicts),
        cmocka_unit_test(what_is_in_flight_is_bounded),
        cmocka_unit_test(a_stop_answers_what_is_in_flight),
        cmocka_unit_test(leaving_waits_for_what_is_in_flight),
        cmocka_unit_test(many_threads_may_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
