/* SPDX-License-Identifier: Apache-2.0 */
/* Real threads and the real clock: what the thread sanitizer looks at. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
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

/* Real files, and nothing of a journal in memory: what is behind is read by the reader thread. */
static const char *journal(const char *dir, unsigned requests, const char *behind)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "extensions: { file_storage: { directory: %s } }\n"
                   "receivers: { pump: { requests: %u, rows: 3 } }\n"
                   "exporters:\n"
                   "  scripted: { at_once: true, sending_queue: { queue_size: 100000 } }\n"
                   "  scripted/b: { at_once: true, sending_queue: { wait_for_result: true, queue_size: 100000 } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: none, head_bytes: 0,\n"
                   "    in_flight_bytes: 65536 } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    logs/in: { receivers: [pump], exporters: [%s] }\n%s",
                   dir, requests, *behind ? "journal/j" : "scripted", behind);
    return yaml;
}

static uint64_t read_by(struct gw_test_engine *t, const char *pipeline)
{
    const struct gw_label l[] = {{"journal", "journal/j"}, {"pipeline", pipeline}};

    return gw_test_engine_metric(t, "staunch_journal_read_items", l, 2);
}

/*
 * Scenario    three workers store 300 requests each in a journal that keeps none of it in memory; the gateway ends
 * while two pipelines behind read; the next one takes one of them out and puts it back while they do, goes over to a
 *             configuration without the journal, and back by another start
 * Guarantees  every row is read by both, at least once; nothing is left
 */
static void a_journal_is_read_across_threads(void **state)
{
    static const char behind[] = "    logs/a: { receivers: [journal/j], exporters: [scripted] }\n"
                                 "    logs/b: { receivers: [journal/j], exporters: [scripted/b] }\n";
    static const char only_a[] = "    logs/a: { receivers: [journal/j], exporters: [scripted] }\n";
    char dir[] = "/tmp/gw-threads-XXXXXX", command[60];
    struct gw_err err = {""};
    struct gw_test_engine t;
    struct gw_test_pump *p;
    uint64_t rows, a, b;

    (void)state;
    assert_non_null(mkdtemp(dir));
    gw_test_engine_open(&t, journal(dir, 300, behind), 3, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    while (p->n_ok + p->n_refused + p->n_failed < 900)
        gw_loop_turn(t.loop, 1000000);
    rows = p->n_rows_ok;
    assert_true(rows > 0);
    (void)gw_engine_stop(t.engine); /* the workers told all that they will */
    a = read_by(&t, "logs/a");
    b = read_by(&t, "logs/b");
    (void)gw_test_engine_close(&t);
    gw_test_engine_open(&t, journal(dir, 0, behind), 2, /* threads= */ true);
    assert_int_equal(gw_test_engine_reload(&t, journal(dir, 0, only_a), &err), 0);
    assert_int_equal(gw_test_engine_reload(&t, journal(dir, 0, behind), &err), 0);
    gw_loop_turn(t.loop, 1000000);
    assert_int_equal(gw_test_engine_reload(&t, journal(dir, 0, ""), &err), 0);
    while (gw_engine_n_leaving(t.engine)) {
        gw_engine_tend(t.engine);
        gw_loop_turn(t.loop, 1000000);
    }
    a += read_by(&t, "logs/a");
    b += read_by(&t, "logs/b");
    (void)gw_test_engine_close(&t);
    gw_test_engine_open(&t, journal(dir, 0, behind), 1, /* threads= */ true);
    while (a + read_by(&t, "logs/a") < rows || b + read_by(&t, "logs/b") < rows)
        gw_loop_turn(t.loop, 1000000);
    (void)gw_test_engine_close(&t);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/*
 * Scenario    three workers store 500 requests each, whose rows belong to all of them by trace id; two pipelines read
 *             at the head, one before a queue in memory, the other before one that waits for the sink
 * Guarantees  rows are handed over as they were decoded; both have every row once; nothing is left
 */
static void rows_are_handed_over_across_threads(void **state)
{
    static const struct gw_label of[] = {{"journal", "journal/j"}};
    char dir[] = "/tmp/gw-threads-XXXXXX", command[60], yaml[2000];
    struct gw_test_engine t;
    struct gw_test_pump *p;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(yaml, sizeof(yaml),
                   "extensions: { file_storage: { directory: %s } }\n"
                   "receivers: { pump: { requests: 500, rows: 20, traces: true } }\n"
                   "exporters:\n"
                   "  scripted: { at_once: true, sending_queue: { queue_size: 100000 } }\n"
                   "  scripted/b: { at_once: true, sending_queue: { wait_for_result: true, queue_size: 100000 } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: trace_id } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    traces/in: { receivers: [pump], exporters: [journal/j] }\n"
                   "    traces/a: { receivers: [journal/j], exporters: [scripted] }\n"
                   "    traces/b: { receivers: [journal/j], exporters: [scripted/b] }\n",
                   dir);
    gw_test_engine_open(&t, yaml, 3, /* threads= */ true);
    p = gw_engine_instance(t.engine, GW_RECEIVER, "pump");
    while (p->n_ok + p->n_refused + p->n_failed < 1500 || read_by(&t, "traces/a") < p->n_rows_ok ||
           read_by(&t, "traces/b") < p->n_rows_ok)
        gw_loop_turn(t.loop, 1000000);
    assert_int_equal(read_by(&t, "traces/a"), p->n_rows_ok);
    assert_int_equal(read_by(&t, "traces/b"), p->n_rows_ok);
    assert_true(gw_test_engine_metric(&t, "staunch_journal_handed_frames", of, 1) > 0);
    (void)gw_test_engine_close(&t);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_come_home_across_threads),
        cmocka_unit_test(a_journal_is_read_across_threads),
        cmocka_unit_test(rows_are_handed_over_across_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
