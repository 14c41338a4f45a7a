/* SPDX-License-Identifier: Apache-2.0 */
/* groupbytrace and dynamic_sampling with a storage in a whole gateway that ends and begins again: all is in the books.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

struct kind {
    const char *name, *settings;
};

static struct gw_test_engine t;
static struct gw_test_sink *sink;
static char folder[64];

static const char *yaml(const struct kind *k, const char *more)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text),
                   "extensions: { file_storage: { directory: %s, reserve_mib: 1 } }\n"
                   "receivers: { scripted: }\n"
                   "processors: { %s: { storage: file_storage, %s, %s } }\n"
                   "exporters: { scripted: { sending_queue: { num_consumers: 10 } } }\n"
                   "service: { extensions: [file_storage], pipelines: { traces: { receivers: [scripted], processors: "
                   "[%s], exporters: [scripted] } } }\n",
                   folder, k->name, k->settings, more, k->name);
    return text;
}

static void answer(void *arg)
{
    (void)arg;
    while (gw_test_sink_answer(sink, &(struct gw_sent_info){.sent = GW_SENT_OK}))
        ;
}

static void begin(const struct kind *k, unsigned n_workers)
{
    gw_test_engine_open(&t, yaml(k, "num_traces: 10000"), n_workers, false);
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
    left = delivered();
    assert_int_equal(gw_test_engine_close(&t), 0);
    return left;
}

/*
 * Scenario: 300 traces in two workers; the end; three workers, 100 of the same traces and a reload; the end; one worker
 * Guarantees: the books balance after every turn of all three, nothing leaves at an end, and in all each span leaves
 *             once
 */
static void the_books_balance_over_restarts(void **state)
{
    const struct kind *k = *state;
    struct gw_err err = {""};

    begin(k, 2);
    for (unsigned i = 0; i < 6; i++)
        send(i * 50, 50, i % 2, i + 1);
    wait(5);
    assert_int_equal(end(), 0);

    begin(k, 3);
    send(0, 100, 0, 1);
    if (gw_test_engine_reload(&t, yaml(k, "num_traces: 9000"), &err) < 0)
        fail_msg("%s", err.text);
    wait(5);
    assert_int_equal(delivered(), 0);
    send(1000, 60, 1, 2);
    assert_int_equal(end(), 0);

    begin(k, 1);
    wait(80);
    assert_int_equal(delivered(), 460);
    assert_int_equal(end(), 460);
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
    static struct kind group = {"groupbytrace", "wait_duration: 5s"};
    static struct kind dynamic = {"dynamic_sampling", "trace_timeout: 3s, decision_delay: 2s, rules: [{name: all, "
                                                      "sampler: {type: always_sample}}]"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(the_books_balance_over_restarts, setup, teardown, &group),
        cmocka_unit_test_prestate_setup_teardown(the_books_balance_over_restarts, setup, teardown, &dynamic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
