/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling in a whole gateway: every span is accounted for at every step. */
#include <stdio.h>

#include "tests/harness.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

static struct gw_test_engine t;
static struct gw_test_sink *sink;

static const char *yaml(const char *settings)
{
    static char text[2048];

    (void)snprintf(
        text, sizeof(text),
        "receivers: { scripted: }\n"
        "processors: { tail_sampling: { policies: [ { name: half, type: probabilistic, probabilistic: { "
        "sampling_percentage: 50 } } ], %s } }\n"
        "exporters: { scripted: { sending_queue: { num_consumers: 10 } } }\n"
        "service: { pipelines: { traces: { receivers: [scripted], processors: [tail_sampling], exporters: [scripted] "
        "} } }\n",
        settings);
    return text;
}

static void answer(void *arg)
{
    (void)arg;
    while (gw_test_sink_answer(sink, &(struct gw_sent_info){.sent = GW_SENT_OK}))
        ;
}

/* Rows of traces from `first` on, and the books after each turn. */
static void send(uint64_t first, unsigned n, uint32_t stream)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, first, n, stream);
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

static uint64_t dropped(const char *reason)
{
    const struct gw_label labels[] = {
        {"component", "tail_sampling"}, {"pipeline", "traces"}, {"signal", "traces"}, {"reason", reason}};

    return gw_test_engine_metric(&t, "staunch_dropped_items", labels, 4);
}

static uint64_t delivered(void)
{
    const struct gw_label labels[] = {{"exporter", "scripted"}};

    return gw_test_engine_metric(&t, "otelcol_exporter_sent_spans", labels, 1);
}

/*
 * Scenario: 600 spans of as many traces, in requests; a decision 2 s later; the same traces once more
 * Guarantees: clients are answered while spans wait; the books balance after every turn; in = delivered + dropped
 */
static void the_books_balance_at_every_step(void **state)
{
    struct gw_test_door *d;
    uint64_t seed = 1;

    (void)state;
    gw_test_engine_open(&t, yaml("decision_wait: 2s"), 1, false);
    sink = gw_test_engine_sink(&t, "scripted");
    d = gw_test_engine_door(&t, "scripted", 0);
    for (unsigned i = 0; i < 6; i++)
        send(i * 100, 100, i + 1);
    assert_int_equal(d->n_open, 0);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    wait(40);
    assert_int_equal(delivered() + dropped("tail_sampling"), 600);
    assert_true(delivered() > 200 && dropped("tail_sampling") > 200);
    for (unsigned i = 0; i < 6; i++)
        send(i * 100, 100, 10 + i); /* late: each follows its trace, so both numbers double */
    wait(3);
    assert_int_equal(delivered() + dropped("tail_sampling"), 1200);
    assert_int_equal(delivered() % 2, 0);
    gw_test_engine_drain(&t, &seed, answer, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario: a house of ten traces, each way of overflowing, and the end with traces open
 * Guarantees: the books balance after every turn, and nothing is left
 */
static void the_books_balance_in_a_full_house(void **state)
{
    static const char *const settings[] = {
        "num_traces: 10", "num_traces: 10, overflow: drop", "num_traces: 10, block_on_overflow: true",
        "num_traces: 10, drop_pending_traces_on_shutdown: true", "num_traces: 10, dry_run: true"};
    uint64_t seed = 1;

    (void)state;
    for (unsigned k = 0; k < sizeof(settings) / sizeof(settings[0]); k++) {
        gw_test_engine_open(&t, yaml(settings[k]), 1, false);
        sink = gw_test_engine_sink(&t, "scripted");
        for (unsigned i = 0; i < 10; i++) {
            send(i * 7, 9, i + 1);
            answer(NULL);
        }
        gw_test_engine_drain(&t, &seed, answer, NULL);
        gw_test_engine_balances(&t);
        assert_int_equal(gw_test_engine_close(&t), 0);
    }
}

/*
 * Scenario: more traces are due at one time than one tick decides
 * Guarantees: the ticks that are missing follow at once, without time passing, each in a turn of its own
 */
static void what_is_due_waits_for_no_second_tick(void **state)
{
    uint64_t before, seed = 1;

    (void)state;
    gw_test_engine_open(&t, yaml("decision_wait: 2s"), 1, false);
    sink = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 20; i++)
        send(i * 1000, 1000, i + 1);
    gw_test_engine_turn(&t, 1, 3 * S);
    gw_test_engine_turn(&t, 1, 1000000);
    before = dropped("tail_sampling");
    assert_true(before > 0 && before < 8192);
    gw_test_engine_turn(&t, 12, 1000000);
    assert_true(dropped("tail_sampling") > 8192);
    wait(30);
    assert_int_equal(delivered() + dropped("tail_sampling"), 20000);
    gw_test_engine_drain(&t, &seed, answer, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario: 200 traces wait; a reload with other settings; late spans of traces that were decided before it
 * Guarantees: nothing is decided by the reload; what waited is decided at its time, and the books balance throughout
 */
static void a_reload_decides_nothing(void **state)
{
    uint64_t seed = 1, before, gone;
    struct gw_err err = {""};

    (void)state;
    gw_test_engine_open(&t, yaml("decision_wait: 2s"), 1, false);
    sink = gw_test_engine_sink(&t, "scripted");
    send(0, 100, 1);
    wait(35);
    before = delivered();
    gone = dropped("tail_sampling");
    assert_int_equal(before + gone, 100);
    send(1000, 200, 2);
    if (gw_test_engine_reload(&t, yaml("decision_wait: 4s, num_traces: 1000"), &err) < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < 10; i++) {
        gw_test_engine_turn(&t, 1, 0);
        gw_test_engine_balances(&t);
    }
    assert_int_equal(delivered() + dropped("tail_sampling"), 100);
    send(0, 100, 3);
    wait(3);
    assert_int_equal(delivered(), 2 * before);
    assert_int_equal(dropped("tail_sampling"), 2 * gone);
    wait(35);
    assert_int_equal(delivered() + dropped("tail_sampling"), 400);
    gw_test_engine_drain(&t, &seed, answer, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_books_balance_at_every_step),
        cmocka_unit_test(the_books_balance_in_a_full_house),
        cmocka_unit_test(what_is_due_waits_for_no_second_tick),
        cmocka_unit_test(a_reload_decides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
