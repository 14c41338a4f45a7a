/* SPDX-License-Identifier: Apache-2.0 */
/* Real threads and the real clock: what the thread sanitizer looks at. */
#include "tests/harness.h"

#include <stdio.h>
#include <time.h>

#include "net/loop.h"
#include "tests/harness_engine.h"

enum { N_REQUESTS = 2000, N_ROWS = 3, N_WORKERS = 4 };

/* The main thread's loop turns until the pumps are done and everything is empty. */
static void run_to_the_end(struct gw_test_engine *t, struct gw_test_pump *p)
{
    while (p->n_ok + p->n_refused + p->n_failed < (uint64_t)N_REQUESTS * N_WORKERS)
        gw_loop_turn(t->loop, 5000000);
    gw_engine_quiesce(t->engine);
    gw_engine_drain(t->engine);
    while (!gw_engine_is_quiet(t->engine) || !gw_engine_is_drained(t->engine))
        gw_loop_turn(t->loop, 5000000);
}

/*
 * Scenario    four workers send 2000 requests each through a fan-out; one exporter waits for the
 *             sink, one batches
 * Guarantees  one verdict per request, across threads; books exact; nothing left
 */
static void verdicts_come_home_across_threads(void **state)
{
    struct gw_test_engine t;
    struct gw_test_pump *p;
    struct gw_edge_counts a, b;

    (void)state;
    gw_test_engine_open(
        &t,
        "receivers: { pump: { requests: 2000, rows: 3 } }\n"
        "exporters:\n"
        "  scripted: { at_once: true, sending_queue: { wait_for_result: true, queue_size: 100000 } }\n"
        "  scripted/b: { at_once: true, sending_queue: { queue_size: 100, batch: { flush_timeout: 1ms } } }\n"
        "service:\n  pipelines:\n"
        "    logs: { receivers: [pump], exporters: [scripted, scripted/b] }\n",
        N_WORKERS, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    run_to_the_end(&t, p);
    a = gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS);
    b = gw_edge_counts(gw_engine_edge(t.engine, "scripted/b"), GW_LOGS);
    assert_int_equal(p->n_failed, 0);
    assert_int_equal(a.delivered, p->n_rows_ok);
    assert_int_equal(b.delivered, p->n_rows_ok);
    assert_int_equal(p->n_rows_ok, p->n_ok * N_ROWS);
    assert_int_equal(p->n_ok + p->n_refused, (uint64_t)N_REQUESTS * N_WORKERS);
    assert_true(p->n_ok > 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_come_home_across_threads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
