/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines share a process, its memory and its workers. When the sink of one is dead, the others do not notice.
 *
 * Logs go to one exporter, traces to another; both come as fast as they are taken, in steps of 10 ms.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness_engine.h"

#define MS 1000000ull
#define S  1000000000ull

enum { STEPS = 1000, A_STEP = 8, ROWS = 200, MEMORY_BYTES = 4 << 20 };

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"};

enum health { WELL, AWAY_ALL_THE_TIME, SILENT };

static struct gw_test_engine t;

static unsigned offer(enum gw_signal s, struct gw_slice body)
{
    struct gw_test_door *d = gw_test_engine_door(&t, "scripted", 0);
    struct gw_verdict v;
    unsigned taken = 0;

    for (unsigned i = 0; i < A_STEP; i++)
        taken += gw_test_send(d, s, body, NULL, i, &v) == 0;
    return taken;
}

static void answer_all(const char *exporter, const struct gw_sent_info *info)
{
    while (gw_test_sink_answer(gw_test_engine_sink(&t, exporter), info))
        ;
}

/* Rows of traces that are delivered in ten seconds, while the sink of logs is as told. */
static uint64_t traces_delivered(const char *queue, enum health health)
{
    struct gw_buf logs, traces;
    uint64_t delivered;
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { timeout: 0, sending_queue: { %s } }, scripted/b: }\n"
                   "service:\n  pipelines:\n"
                   "    logs: { receivers: [scripted], exporters: [scripted] }\n"
                   "    traces: { receivers: [scripted], exporters: [scripted/b] }\n",
                   queue);
    gw_test_engine_open(&t, yaml, 1, false);
    gw_engine_limit_memory(t.engine, MEMORY_BYTES);
    gw_buf_init(&logs, 1 << 20);
    gw_buf_init(&traces, 1 << 20);
    gw_test_request(&logs, GW_LOGS, 1, ROWS);
    gw_test_request(&traces, GW_TRACES, 1, ROWS);
    for (unsigned step = 0; step < STEPS; step++) {
        (void)offer(GW_LOGS, gw_buf_slice(&logs));
        (void)offer(GW_TRACES, gw_buf_slice(&traces));
        gw_test_engine_turn(&t, 3, 10 * MS);
        if (health != SILENT)
            answer_all("scripted", health == WELL ? &OK : &AWAY);
        answer_all("scripted/b", &OK);
    }
    delivered = gw_edge_counts(gw_engine_edge(t.engine, "scripted/b"), GW_TRACES).delivered;
    assert_true(atomic_load(&gw_engine_memory(t.engine)->used_bytes) <= MEMORY_BYTES);
    gw_test_engine_sink(&t, "scripted")->at_once = true;
    gw_test_engine_sink(&t, "scripted")->info = OK;
    for (unsigned i = 0; i < 3000 && (gw_test_engine_door(&t, "scripted", 0)->n_open > 0 ||
                                      !gw_edge_is_empty(gw_engine_edge(t.engine, "scripted")));
         i++) {
        answer_all("scripted", &OK);
        gw_test_engine_turn(&t, 2, S);
    }
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_buf_clear(&logs);
    gw_buf_clear(&traces);
    return delivered;
}

/*
 * Scenario    queues of 100 requests, of a million requests, and without a queue; the sink of logs refuses everything,
 *             or says nothing at all
 * Guarantees  traces arrive as if nothing was: at least 90 %, with a queue that could take more than all the memory,
 * too; all memory together stays within its limit
 */
static void a_dead_sink_does_not_slow_the_others(void **state)
{
    static const char *const queues[] = {"queue_size: 100", "queue_size: 1000000",
                                         "queue_size: 100000000, sizer: bytes",
                                         "queue_size: 50, block_on_overflow: true"};

    (void)state;
    for (unsigned i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        uint64_t well = traces_delivered(queues[i], WELL), away = traces_delivered(queues[i], AWAY_ALL_THE_TIME),
                 silent = traces_delivered(queues[i], SILENT);

        printf("%-48s traces delivered: %llu, beside a sink that is away %llu, that says nothing %llu\n", queues[i],
               (unsigned long long)well, (unsigned long long)away, (unsigned long long)silent);
        assert_true(well > 0);
        assert_true(away * 10 >= well * 9);
        assert_true(silent * 10 >= well * 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_dead_sink_does_not_slow_the_others)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
