/* SPDX-License-Identifier: Apache-2.0 */
/* What processors keep stays kept when another configuration is taken. */
#include "tests/harness.h"

#include <stdio.h>

#include "net/loop.h"
#include "runtime/graph.h"
#include "tests/harness_engine.h"
#include "tests/harness_gather.h"

static struct gw_test_engine t;
static uint64_t next_name;

/* Another configuration each time: `number` is in it. */
static const char *yaml(const char *gather, const char *chain)
{
    static char text[1200];
    static unsigned number;

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { at_once: true, sending_queue: { queue_size: 1000 } },\n"
                   "  scripted/b: { at_once: true, sending_queue: { queue_size: 1000 } } }\n"
                   "connectors: { gather: { %s, number: %u } }\n"
                   "processors: { collect: , gather: { %s, number: %u } }\n"
                   "service: { pipelines: { %s } }\n",
                   gather, number, gather, number, chain);
    number++;
    return text;
}
#define CHAIN(processors) "traces: { receivers: [scripted], processors: [" processors "], exporters: [scripted] }"
#define KEEPS             yaml("keep: true, grip: true", CHAIN("gather"))

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

static void turn(void)
{
    gw_test_engine_turn(&t, 4, 10000000);
}

static void take(const char *configuration)
{
    struct gw_err err = {""};

    if (gw_test_engine_reload(&t, configuration, &err) < 0)
        fail_msg("%s", err.text);
    gw_test_engine_balances(&t);
}

static void leaves_all(void)
{
    for (unsigned i = 0; i < 5; i++)
        turn();
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
}

static void nothing(void *arg)
{
    (void)arg;
}

static uint64_t delivered(void)
{
    return gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).delivered;
}

static void finish(void)
{
    uint64_t seed = 1;

    gw_test_engine_drain(&t, &seed, nothing, NULL);
    assert_int_equal(delivered(), next_name);
    assert_int_equal(gw_test_gather.n_kept, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    rows are kept on three workers; another configuration is taken, and one more
 * Guarantees  they stay kept, and count so; the old configurations leave; the rows leave once, when they are let go
 */
static void what_is_kept_stays_kept(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 3, /* threads= */ false);
    send_rows(0, 100);
    turn();
    take(KEEPS);
    assert_int_equal(gw_test_gather.n_taken, 3);
    leaves_all();
    send_rows(1, 50);
    turn();
    take(KEEPS);
    leaves_all();
    assert_int_equal(gw_test_gather.n_kept, 150);
    assert_int_equal(delivered(), 0);
    gw_test_gather.let_go = true;
    for (unsigned i = 0; i < 4; i++)
        gw_test_engine_turn(&t, 2, 150000000);
    assert_int_equal(delivered(), 150);
    finish();
}

/* Scenario: the new one does not take it. Guarantees: the old one lets it go, as its configuration leaves. */
static void what_cannot_be_taken_goes_its_way(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    turn();
    take(yaml("keep: true", CHAIN("gather")));
    leaves_all();
    assert_int_equal(gw_test_gather.n_taken, 0);
    assert_int_equal(gw_test_gather.n_kept, 0);
    assert_int_equal(delivered(), 60);
    finish();
}

/* Scenario: the processor, or its pipeline, is not in the new configuration. Guarantees: as above. */
static void what_is_not_named_goes_its_way(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    turn();
    take(yaml("keep: true, grip: true", CHAIN("")));
    leaves_all();
    assert_int_equal(delivered(), 60);
    take(KEEPS);
    send_rows(0, 40);
    turn();
    take(yaml("keep: true, grip: true",
              "traces/b: { receivers: [scripted], processors: [gather], exporters: [scripted] }"));
    leaves_all();
    assert_int_equal(delivered(), 100);
    assert_int_equal(gw_test_gather.n_taken, 0);
    finish();
}

/* Scenario: it stands elsewhere in its pipeline. Guarantees: it is the same. */
static void its_place_may_change(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    turn();
    take(yaml("keep: true, grip: true", CHAIN("collect, gather")));
    leaves_all();
    assert_int_equal(gw_test_gather.n_kept, 60);
    finish();
}

/* Scenario: a connector. Guarantees: as of a processor. */
static void connectors_too(void **state)
{
    static const char pipelines[] = "traces/in: { receivers: [scripted], exporters: [gather] },"
                                    "traces/out: { receivers: [gather], exporters: [scripted] }";

    (void)state;
    gw_test_engine_open(&t, yaml("keep: true, grip: true", pipelines), 2, /* threads= */ false);
    send_rows(0, 60);
    turn();
    take(yaml("keep: true, grip: true", pipelines));
    leaves_all();
    assert_int_equal(gw_test_gather.n_taken, 2);
    assert_int_equal(gw_test_gather.n_kept, 60);
    finish();
}

/*
 * Scenario    rows are between workers, and with a processor before, while two configurations are taken
 * Guarantees  they come to the instance that has the rest of their traces: nothing is let go
 */
static void what_still_comes_is_the_heirs(void **state)
{
    const char *chain = CHAIN("collect, gather");

    (void)state;
    gw_test_engine_open(&t, yaml("keep: true, grip: true", chain), 2, /* threads= */ false);
    send_rows(0, 60);
    turn();
    take(yaml("keep: true, grip: true", CHAIN("gather"))); /* what was collected is let go, and is gathered */
    for (unsigned i = 0; i < 3; i++)
        gw_loop_turn(gw_engine_worker_loop(t.engine, 1), 0);
    gw_loop_turn(gw_engine_worker_loop(t.engine, 0), 0);
    send_rows(0, 60);
    gw_loop_turn(gw_engine_worker_loop(t.engine, 0), 0); /* parts of two configurations wait for worker 1 */
    take(yaml("keep: true, grip: true", CHAIN("gather")));
    take(yaml("keep: true, grip: true", CHAIN("gather")));
    leaves_all();
    assert_int_equal(gw_test_gather.n_kept, 120);
    assert_int_equal(gw_test_gather_check(false), 120);
    assert_int_equal(delivered(), 0);
    finish();
}

/*
 * Scenario    rows are between workers when a configuration is taken that keeps none, and has another exporter
 * Guarantees  they leave by the heir's way: to both
 */
static void they_leave_the_heirs_way(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    gw_loop_turn(gw_engine_worker_loop(t.engine, 0), 0);
    assert_in_range(gw_test_gather.n_kept, 1, 59);
    take(yaml("grip: true",
              "traces: { receivers: [scripted], processors: [gather], exporters: [scripted/b, scripted] }"));
    turn();
    turn();
    assert_int_equal(gw_test_gather.n_kept + delivered(), 60); /* a part is kept since before */
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted/b"), GW_TRACES).delivered, delivered());
    assert_in_range(delivered(), 1, 59);
    finish();
}

/*
 * Scenario    rows are between workers; a configuration takes over, and the next one has no such processor
 * Guarantees  nobody is their heir any more: they go the way they were sent
 */
static void without_an_heir_they_go_their_way(void **state)
{
    (void)state;
    gw_test_engine_open(&t, KEEPS, 2, /* threads= */ false);
    send_rows(0, 60);
    gw_loop_turn(gw_engine_worker_loop(t.engine, 0), 0);
    take(KEEPS);
    take(yaml("keep: true, grip: true", CHAIN("")));
    leaves_all();
    assert_int_equal(gw_test_gather_check(false), 60);
    assert_int_equal(delivered(), 60);
    finish();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_kept_stays_kept),
        TEST(what_cannot_be_taken_goes_its_way),
        TEST(what_is_not_named_goes_its_way),
        TEST(its_place_may_change),
        TEST(connectors_too),
        TEST(what_still_comes_is_the_heirs),
        TEST(they_leave_the_heirs_way),
        TEST(without_an_heir_they_go_their_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
