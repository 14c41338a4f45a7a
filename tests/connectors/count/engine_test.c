/* SPDX-License-Identifier: Apache-2.0 */
/* In a whole gateway: the books, and the queue that rows and their counts share. */
#include "tests/connectors/points.h"

#include "tests/harness_engine.h"

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

static uint64_t take(struct gw_test_engine *t, const char *metric)
{
    struct gw_test_sink *s = gw_test_engine_sink(t, "scripted");
    struct gw_joint_rig r = {0};
    uint64_t n;

    assert_true(s->n_waiting > 0);
    gw_buf_init(&r.bodies[0], 1 << 20);
    gw_buf_put_slice(&r.bodies[0], s->waiting[0]->body);
    r.n_bodies = 1;
    gw_test_sink_answer(s, &OK);
    n = (uint64_t)FIND(&r, metric).number;
    let_go();
    gw_joint_forget(&r);
    return n;
}

/*
 * Scenario    log records go to a sink and are counted; two requests in one turn; then the sink's queue is full
 * Guarantees  one answer for both branches; counts come with each batch; the books balance; what has no room is dropped
 *             by name, and the records are answered for all the same
 */
static void counts_go_beside_what_is_counted(void **state)
{
    const struct gw_label l[] = {
        {"component", "count"}, {"pipeline", ""}, {"signal", "metrics"}, {"reason", "queue_full"}};
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 1 } }, scripted/b: }\n"
                        "connectors: { count: }\nservice:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [count, scripted/b] }\n"
                        "    metrics: { receivers: [count], exporters: [scripted] }\n",
                        1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 1, 3, 1);
    gw_test_engine_send(d, GW_LOGS, 9, 2, 2);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 2);
    assert_int_equal(d->verdicts[1].v.rows, 2);
    gw_test_engine_balances(&t);
    gw_test_engine_send(d, GW_LOGS, 20, 4, 3);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(d->n_verdicts, 3);
    assert_int_equal(d->verdicts[2].v.grpc_status, 0);
    assert_int_equal(gw_test_engine_metric(&t, "staunch_dropped_items", l, 4), 1);
    assert_true(take(&t, "log.record.count") > 0);
    gw_test_engine_turn(&t, 3, 0);
    while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/b"), &OK))
        gw_test_engine_turn(&t, 3, 0);
    gw_test_engine_balances(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_go_beside_what_is_counted)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
