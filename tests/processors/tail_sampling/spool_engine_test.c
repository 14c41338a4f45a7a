/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling with a storage in a whole gateway that ends and begins again: every span is in the books of both. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

static struct gw_test_engine t;
static struct gw_test_sink *sink;
static char folder[64];

static const char *yaml(const char *settings)
{
    static char text[2048];

    (void)snprintf(
        text, sizeof(text),
        "extensions: { file_storage: { directory: %s, reserve_mib: 1 } }\n"
        "receivers: { scripted: }\n"
        "processors: { tail_sampling: { storage: file_storage, policies: [ { name: half, type: probabilistic, "
        "probabilistic: { sampling_percentage: 50 } } ], %s } }\n"
        "exporters: { scripted: { sending_queue: { num_consumers: 10 } } }\n"
        "service: { extensions: [file_storage], pipelines: { traces: { receivers: [scripted], processors: "
        "[tail_sampling], exporters: [scripted] } } }\n",
        folder, settings);
    return text;
}

static void answer(void *arg)
{
    (void)arg;
    while (gw_test_sink_answer(sink, &(struct gw_sent_info){.sent = GW_SENT_OK}))
        ;
}

static void begin(const char *settings, unsigned n_workers)
{
    gw_test_engine_open(&t, yaml(settings), n_workers, false);
    sink = gw_test_engine_sink(&t, "scripted");
}

static void send(uint64_t first, unsigned n, unsigned worker, uint32_t stream)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", worker), GW_TRACES, first, n, stream);
    for (unsigned i = 0; i < 3; i++) {
        gw_test_engine_turn(&t, 1, 0);
        gw_test_engine_balances(&t);
    }
}

static void wait(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        gw_test_engine_turn(&t, 1, S / 10);
        gw_test_engine_balances(&t);
        answer(NULL);
        gw_test_engine_balances(&t);
    }
}

static uint64_t dropped(void)
{
    const struct gw_label labels[] = {
        {"component", "tail_sampling"}, {"pipeline", "traces"}, {"signal", "traces"}, {"reason", "tail_sampling"}};

    return gw_test_engine_metric(&t, "staunch_dropped_items", labels, 4);
}

static uint64_t delivered(void)
{
    const struct gw_label labels[] = {{"exporter", "scripted"}};

    return gw_test_engine_metric(&t, "otelcol_exporter_sent_spans", labels, 1);
}

/* Gives what has left in this life. */
static uint64_t end(void)
{
    uint64_t seed = 1, left;

    gw_test_engine_drain(&t, &seed, answer, NULL);
    gw_test_engine_balances(&t);
    left = delivered() + dropped();
    assert_int_equal(gw_test_engine_close(&t), 0);
    return left;
}

/*
 * Scenario: 300 traces in two workers, 20 steps of 5 s; the end; three workers; some are late, some are new; then one
 * Guarantees: the books balance after every turn of all three, nothing is decided at an end, and in all each span is
 *             delivered or dropped once, half of them
 */
static void the_books_balance_over_restarts(void **state)
{
    uint64_t kept;

    (void)state;
    begin("decision_wait: 5s", 2);
    for (unsigned i = 0; i < 6; i++)
        send(i * 50, 50, i % 2, i + 1);
    wait(20);
    assert_int_equal(end(), 0);

    begin("decision_wait: 5s", 3);
    send(0, 100, 0, 1); /* of the same traces, before anything else */
    send(1000, 100, 1, 2);
    wait(20);
    assert_int_equal(delivered() + dropped(), 0);
    wait(14);
    kept = delivered();
    assert_int_equal(kept + dropped(), 400); /* late ones with them; the new ones wait */
    assert_true(kept > 150 && kept < 250);
    assert_int_equal(end(), 400);

    begin("decision_wait: 5s", 1);
    send(0, 300, 0, 1); /* late, all of them */
    wait(3);
    assert_int_equal(delivered() + dropped(), 300);
    wait(30);
    assert_int_equal(end(), 400);
}

/*
 * Scenario: the end with open traces; a start, and a reload before its workers had a tick; the end with others
 * Guarantees: nothing is lost or there twice, and the books balance
 */
static void a_reload_after_the_start_loses_nothing(void **state)
{
    struct gw_err err = {""};

    (void)state;
    begin("decision_wait: 5s", 2);
    send(0, 200, 0, 1);
    assert_int_equal(end(), 0);

    begin("decision_wait: 5s", 2);
    if (gw_test_engine_reload(&t, yaml("decision_wait: 6s"), &err) < 0)
        fail_msg("%s", err.text);
    wait(80);
    assert_int_equal(delivered() + dropped(), 200);
    send(1000, 100, 0, 2);
    assert_int_equal(end(), 200);

    begin("decision_wait: 5s", 2);
    wait(80);
    assert_int_equal(end(), 100);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/staunch-spool-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_books_balance_over_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_after_the_start_loses_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
