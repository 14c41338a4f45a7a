/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one trace meet in one worker, whichever worker they came to; nothing is lost on the way, and all of it
 * counts. */
#include "runtime/shuffle.h"

#include "tests/harness.h"

#include <stdio.h>

#include "net/loop.h"
#include "runtime/graph.h"
#include "tests/harness_engine.h"
#include "tests/harness_gather.h"

static struct gw_test_engine t;
static uint64_t next_name;

#define HEAD                                                                                                           \
    "receivers: { scripted: }\nexporters: { scripted: { at_once: true, sending_queue: { queue_size: 100000 } } }\n"
#define PIPELINE(processors)                                                                                           \
    "service: { pipelines: { traces: { receivers: [scripted], processors: [" processors                                \
    "], exporters: [scripted] } } }\n"
#define PASSES HEAD "processors: { gather: }\n" PIPELINE("gather")
#define KEEPS  HEAD "processors: { gather: { keep: true } }\n" PIPELINE("gather")

static int setup(void **state)
{
    (void)state;
    next_name = 0;
    gw_test_gather_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_test_gather_teardown();
    return 0;
}

static void send_rows(unsigned worker, unsigned n)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", worker), GW_TRACES, next_name, n, 0);
    next_name += n;
}

static void turn_worker(unsigned worker)
{
    gw_loop_turn(gw_engine_worker_loop(t.engine, worker), 0);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void finish(void)
{
    uint64_t seed = 1;

    gw_test_engine_drain(&t, &seed, nothing, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

static unsigned verdicts(unsigned n_workers, unsigned ok)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_workers; i++) {
        struct gw_test_door *d = gw_test_engine_door(&t, "scripted", i);

        for (unsigned k = 0; k < d->n_verdicts; k++)
            n += (d->verdicts[k].v.grpc_status == 0) == ok;
    }
    return n;
}

/* Parts between workers, wherever they are. */
static uint64_t between(void)
{
    uint64_t n = atomic_load(&t.engine->graph->n_crossing);

    for (struct graph *g = t.engine->leaving; g; g = g->next)
        n += atomic_load(&g->n_crossing);
    return n;
}

static uint64_t mismatch(void)
{
    struct gw_picture *p = gw_ledger_look(t.engine);
    uint64_t n = p->mismatch;

    gw_picture_free(p);
    return n;
}

static uint64_t in_book(enum gw_book_kind kind, const char *component, enum gw_entry e)
{
    struct gw_picture *p = gw_ledger_look(t.engine);
    uint64_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].kind == kind && strcmp(p->rows[i].component, component) == 0)
            n += p->rows[i].n[e];
    gw_picture_free(p);
    return n;
}

/* ---- who sees what ---------------------------------------------------------------------------------------- */

/*
 * Scenario    traces of five spans in requests of seven, each to another worker; one worker, two, three, four
 * Guarantees  each trace is seen by one worker, several workers have some, and every request hears OK
 */
static void rows_of_a_trace_meet(void **state)
{
    (void)state;
    for (unsigned n_workers = 1; n_workers <= 4; n_workers++) {
        unsigned busy = 0;

        next_name = 0;
        gw_test_gather_reset();
        gw_test_engine_open(&t, PASSES, n_workers, /* threads= */ false);
        for (unsigned i = 0; i < 60; i++) {
            send_rows(i % n_workers, 7);
            if (i % 3 == 0)
                gw_test_engine_turn(&t, 1, 1000);
        }
        gw_test_engine_turn(&t, 3, 1000);
        assert_int_equal(gw_test_gather_check(false), 420);
        for (unsigned i = 0; i < n_workers; i++)
            busy += gw_test_gather.by_worker[i].n > 0;
        assert_int_equal(busy, n_workers);
        assert_int_equal(verdicts(n_workers, true), 60);
        assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).delivered, 420);
        finish();
    }
}

/* Scenario: everything comes in by one connection. Guarantees: the rows of each trace keep their order. */
static void rows_of_a_trace_keep_their_order(void **state)
{
    (void)state;
    gw_test_engine_open(&t, PASSES, 4, /* threads= */ false);
    for (unsigned i = 0; i < 100; i++) {
        send_rows(2, 3);
        if (i % 7 == 0)
            turn_worker(2);
        if (i % 11 == 0)
            gw_test_engine_turn(&t, 1, 1000);
    }
    gw_test_engine_turn(&t, 3, 1000);
    assert_int_equal(gw_test_gather_check(true), 300);
    finish();
}

/* Scenario: rows without a trace id, and log records. Guarantees: they stay where they came in. */
static void rows_of_no_trace_stay(void **state)
{
    (void)state;
    gw_test_engine_open(&t, PASSES, 4, /* threads= */ false);
    next_name = GW_TEST_NO_TRACE;
    for (unsigned i = 0; i < 4; i++)
        send_rows(i, 10 + i);
    gw_test_engine_turn(&t, 1, 1000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(gw_test_gather.by_worker[i].n, 10 + i);
    finish();
}

/*
 * Scenario    a processor before it sets an attribute whose value it has to make (in the arena of the sender's turn);
 *             the sender turns on, and its arena is used again, before the owner gets to it
 * Guarantees  every row has it at the sink
 */
static void patches_come_along(void **state)
{
    struct gw_test_sink *s;
    unsigned rows = 0, with = 0;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\nexporters: { scripted: { sending_queue: { queue_size: 1000 } } }\n"
                        "processors: { gather: , attributes: { actions: [{ key: origin, value: north, action: insert },"
                        " { key: origin, action: hash }] } }\n" PIPELINE("attributes, gather"),
                        3, /* threads= */ false);
    for (unsigned i = 0; i < 12; i++) {
        send_rows(0, 20);
        turn_worker(0);
    }
    assert_true(between() >= 12);
    gw_test_engine_turn(&t, 3, 1000);
    s = gw_test_engine_sink(&t, "scripted");
    while (s->n_waiting) {
        struct gw_slice body = s->waiting[0]->body;

        rows += s->waiting[0]->rows;
        for (size_t i = 0; i + 6 < body.n; i++)
            with += memcmp(body.p + i, "origin", 6) == 0 && body.p[i + 6] == 0x12;
        assert_true(gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OK}));
        gw_test_engine_turn(&t, 1, 1000);
    }
    assert_int_equal(rows, 240);
    assert_int_equal(with, 240);
    finish();
}

/* Scenario: the node is a connector's. Guarantees: as of a processor. */
static void connectors_too(void **state)
{
    (void)state;
    gw_test_engine_open(&t,
                        HEAD "connectors: { gather: }\nservice: { pipelines: {\n"
                             "  traces/in: { receivers: [scripted], exporters: [gather] },\n"
                             "  traces/out: { receivers: [gather], exporters: [scripted] } } }\n",
                        3, /* threads= */ false);
    for (unsigned i = 0; i < 30; i++)
        send_rows(i % 3, 7);
    for (unsigned i = 0; i < 3; i++)
        turn_worker(0);
    assert_true(between() > 0);
    assert_true(in_book(GW_BOOK_CONNECTOR, "gather", GW_E_HELD) > 0);
    assert_int_equal(mismatch(), 0);
    gw_test_engine_turn(&t, 3, 1000);
    assert_int_equal(gw_test_gather_check(false), 210);
    assert_int_equal(verdicts(3, true), 30);
    finish();
}

/* ---- between the workers ---------------------------------------------------------------------------------- */

/*
 * Scenario    the owners do not get on; then one after the other does
 * Guarantees  the request is answered when the last of them has its rows, not before; until then the rows are held
 */
static void an_answer_waits_for_the_owners(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 3, /* threads= */ false);
    send_rows(0, 100);
    for (unsigned i = 0; i < 3; i++)
        turn_worker(0);
    assert_int_equal(between(), 2);
    assert_int_equal(in_book(GW_BOOK_PROCESSOR, "gather", GW_E_HELD), 100);
    assert_int_equal(in_book(GW_BOOK_PIPELINE, "", GW_E_HELD), 100);
    assert_int_equal(mismatch(), 0);
    turn_worker(1);
    turn_worker(0);
    assert_int_equal(verdicts(3, true), 0);
    turn_worker(2);
    turn_worker(0);
    assert_int_equal(between(), 0);
    assert_int_equal(verdicts(3, true), 1);
    assert_int_equal(gw_test_gather.n_kept, 100);
    assert_int_equal(in_book(GW_BOOK_PROCESSOR, "gather", GW_E_HELD), 100);
    finish();
    assert_int_equal(gw_test_gather.n_kept, 0);
}

/* Scenario: a part is taken out of an inbox and forgotten. Guarantees: the ledger misses its rows. */
static void a_lost_part_is_missed(void **state)
{
    struct gw_inbox *in;
    struct gw_part *p;

    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    t.looks_away = true;
    send_rows(0, 50);
    turn_worker(0);
    in = &t.engine->workers[1].shuffle.inbox;
    p = (struct gw_part *)gw_inbox_take(in);
    assert_non_null(p);
    assert_null(p->item.next);
    assert_int_equal(mismatch(), 2 * p->view.n_rows); /* of the processor, and of its pipeline */
    (void)gw_inbox_push(in, &p->item);
    assert_int_equal(mismatch(), 0);
    finish();
}

/*
 * Scenario    an owner does not get on, and requests go on coming
 * Guarantees  they are refused at the door while the budget's soft mark stands, and never pass the hard one; when it
 *             gets on every request that was taken is answered, and no memory is left
 */
static void a_slow_owner_stops_its_senders(void **state)
{
    struct gw_test_door *d;
    struct gw_credit *c;
    unsigned taken = 0, i;

    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    d = gw_test_engine_door(&t, "scripted", 0);
    c = gw_engine_memory(t.engine);
    atomic_store(&c->soft_bytes, 1 << 20);
    atomic_store(&c->hard_bytes, 3 << 19);
    for (i = 0; i < 10000; i++) {
        struct gw_verdict v = {0};
        struct gw_buf body;
        int rc;

        gw_buf_init(&body, 1 << 20);
        gw_test_request(&body, GW_TRACES, 50 * (uint64_t)i, 50);
        rc = gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, i, &v);
        gw_buf_clear(&body);
        turn_worker(0);
        assert_true(c->used_bytes <= c->hard_bytes);
        if (rc < 0)
            break;
        taken++;
    }
    assert_in_range(taken, 20, 9999);
    assert_true(c->used_bytes > 1 << 19);
    assert_true(between() > 20);
    assert_int_equal(verdicts(2, true), 0);
    gw_test_engine_turn(&t, 3, 1000);
    assert_int_equal(verdicts(2, true) + verdicts(2, false), taken);
    assert_true(verdicts(2, true) * 10 > taken * 9);
    finish();
}

/*
 * Scenario    there is no memory for what a split needs
 * Guarantees  the rows are refused, all of them, and their client hears it
 */
static void without_memory_the_client_keeps_them(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 100);
    atomic_store(&gw_engine_memory(t.engine)->hard_bytes, gw_engine_memory(t.engine)->used_bytes);
    gw_test_engine_turn(&t, 2, 1000);
    assert_int_equal(verdicts(2, false), 1);
    assert_int_equal(in_book(GW_BOOK_PROCESSOR, "gather", GW_E_REFUSED), 100);
    assert_int_equal(gw_test_gather_check(false), 0);
    finish();
}

/* ---- coming and going ------------------------------------------------------------------------------------- */

/*
 * Scenario    rows are between workers when another configuration is taken; the owner gets to them afterwards
 * Guarantees  they go through the chain that they were sent into; that configuration leaves, and the new one works
 */
static void a_part_outlives_a_reload(void **state)
{
    struct gw_err err = {""};

    (void)state;
    gw_test_engine_open(&t, KEEPS, 3, /* threads= */ false);
    send_rows(0, 60);
    turn_worker(0);
    assert_true(between() > 0);
    assert_int_equal(gw_test_engine_reload(&t, PASSES, &err), 0);
    assert_int_equal(mismatch(), 0);
    for (unsigned i = 0; i < 4; i++) { /* the owner of some does not get on */
        turn_worker(0);
        turn_worker(1);
        gw_engine_tend(t.engine);
        gw_test_env_advance(&t.te, 10000000);
    }
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    assert_true(gw_test_gather.n_kept > 0); /* by the others: the rest of their traces may be among what is between */
    send_rows(1, 60);
    gw_test_engine_turn(&t, 8, 10000000);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_int_equal(gw_test_gather_check(false), 120);
    assert_int_equal(verdicts(3, true), 2);
    assert_int_equal(gw_test_gather.n_kept, 0);
    finish();
}

/* Scenario: it stops while rows are between workers. Guarantees: they are taken in and let go before it is quiet. */
static void a_stop_waits_for_what_is_between(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 3, /* threads= */ false);
    send_rows(0, 60);
    gw_engine_quiesce(t.engine);
    for (unsigned i = 0; i < 4; i++) {
        turn_worker(0);
        turn_worker(1);
        gw_test_env_advance(&t.te, 10000000);
    }
    assert_true(between() > 0);
    assert_false(gw_engine_is_quiet(t.engine));
    finish();
    assert_int_equal(gw_test_gather_check(false), 60);
    assert_int_equal(gw_test_gather.n_kept, 0);
}

/*
 * Scenario    a worker has let go everything when another one, which was not waited for any longer, sends it more
 * Guarantees  it is not quiet any more, until that has gone, too
 */
static void what_comes_late_is_let_go_too(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(1, 40);
    turn_worker(1);
    turn_worker(0);
    send_rows(0, 40); /* worker 0 does not get on from here */
    gw_engine_quiesce(t.engine);
    turn_worker(1);
    turn_worker(1);
    assert_int_equal(gw_test_gather.n_kept, 40); /* worker 0 may have more of these traces */
    for (unsigned i = 0; i < 5; i++) {
        turn_worker(1);
        gw_test_env_advance(&t.te, 2000000000);
    }
    assert_true(atomic_load(&t.engine->workers[1].quiet));
    turn_worker(0);
    assert_true(between() > 0);
    assert_false(gw_engine_is_quiet(t.engine));
    gw_test_engine_turn(&t, 6, 10000000);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_int_equal(gw_test_gather.n_kept, 0);
    finish();
}

/*
 * Scenario    a processor before lets go at the end what belongs to another worker, which has nothing itself
 * Guarantees  it is not quiet while that is between the two
 */
static void what_is_let_go_may_cross(void **state)
{
    (void)state;
    gw_test_engine_open(&t, HEAD "processors: { gather: { keep: true }, collect: }\n" PIPELINE("collect, gather"), 2,
                        /* threads= */ false);
    send_rows(0, 40);
    turn_worker(0);
    turn_worker(0);
    gw_engine_quiesce(t.engine);
    for (unsigned i = 0; i < 5; i++) {
        turn_worker(1);
        gw_test_env_advance(&t.te, 2000000000);
    }
    turn_worker(0);
    assert_int_equal(between(), 1);
    assert_true(atomic_load(&t.engine->workers[0].quiet) && atomic_load(&t.engine->workers[1].quiet));
    assert_false(gw_engine_is_quiet(t.engine));
    finish();
    assert_int_equal(gw_test_gather_check(false), 40);
}

/* The same of a configuration that leaves: worker 1 has nothing of it when worker 0 sends it more. */
static void what_leaves_may_cross(void **state)
{
    struct gw_err err = {""};

    (void)state;
    gw_test_engine_open(&t, HEAD "processors: { gather: { keep: true }, collect: }\n" PIPELINE("collect, gather"), 2,
                        /* threads= */ false);
    send_rows(0, 40);
    turn_worker(0);
    turn_worker(0);
    assert_int_equal(gw_test_engine_reload(&t, PASSES, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        turn_worker(1);
        gw_test_env_advance(&t.te, 10000000);
    }
    turn_worker(0);
    assert_int_equal(between(), 1);
    turn_worker(0);
    gw_engine_tend(t.engine);
    gw_test_engine_turn(&t, 6, 10000000);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_int_equal(gw_test_gather_check(false), 40);
    finish();
}

/* Scenario: it is stopped at once. Guarantees: what is between workers goes back, and the ledger knows. */
static void at_a_stop_at_once_they_go_back(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    turn_worker(0);
    assert_int_equal(between(), 1);
    (void)gw_engine_stop(t.engine);
    assert_int_equal(between(), 0);
    assert_true(in_book(GW_BOOK_PROCESSOR, "gather", GW_E_REFUSED) > 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* ---- threads ---------------------------------------------------------------------------------------------- */

enum { N_REQUESTS = 400, N_ROWS = 12, N_WORKERS = 4 };

static const char *pumping(bool keep, unsigned number)
{
    static char yaml[1000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { pump: { traces: true, requests: %u, rows: %u } }\n"
                   "exporters: { scripted: { at_once: true, sending_queue: { queue_size: 100000 } } }\n"
                   "processors: { gather: { keep: %s, grip: true, number: %u } }\n"
                   "service: { pipelines: { traces: { receivers: [pump], processors: [gather], exporters: [scripted] "
                   "} } }\n",
                   N_REQUESTS, N_ROWS, keep ? "true" : "false", number);
    return yaml;
}

/*
 * Scenario    four workers send the same traces to each other, while the ledger is looked at and other configurations
 *             are taken; then it stops
 * Guarantees  every trace meets in one worker, all pictures balance, nothing is lost
 */
static void across_threads(void **state)
{
    struct gw_err err = {""};
    struct gw_test_pump *p;
    unsigned looks = 0;

    (void)state;
    gw_test_engine_open(&t, pumping(true, 0), N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    gw_test_gather.let_go = true;
    while (p->n_ok + p->n_refused + p->n_failed < (uint64_t)N_REQUESTS * N_WORKERS) {
        gw_loop_turn(t.loop, 1000000);
        gw_test_engine_balances(&t);
        if (++looks % 20 == 0)
            (void)gw_test_engine_reload(&t, pumping(looks % 40 == 0, looks), &err);
    }
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine)) {
        gw_loop_turn(t.loop, 1000000);
        gw_engine_drain(t.engine);
        gw_test_engine_balances(&t);
    }
    assert_int_equal(p->n_refused + p->n_failed, 0);
    assert_int_equal(gw_test_gather_check(false), N_REQUESTS * N_ROWS * N_WORKERS);
    assert_int_equal(gw_test_gather.n_kept, 0);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).delivered,
                     N_REQUESTS * N_ROWS * N_WORKERS);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_of_a_trace_meet),
        TEST(rows_of_a_trace_keep_their_order),
        TEST(rows_of_no_trace_stay),
        TEST(patches_come_along),
        TEST(connectors_too),
        TEST(an_answer_waits_for_the_owners),
        TEST(a_lost_part_is_missed),
        TEST(a_slow_owner_stops_its_senders),
        TEST(without_memory_the_client_keeps_them),
        TEST(a_part_outlives_a_reload),
        TEST(a_stop_waits_for_what_is_between),
        TEST(what_comes_late_is_let_go_too),
        TEST(what_is_let_go_may_cross),
        TEST(what_leaves_may_cross),
        TEST(at_a_stop_at_once_they_go_back),
        TEST(across_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
