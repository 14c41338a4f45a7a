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

static uint64_t dropped(struct gw_test_engine *t)
{
    const struct gw_label l[] = {
        {"component", "count"}, {"pipeline", ""}, {"signal", "metrics"}, {"reason", "queue_full"}};

    return gw_test_engine_metric(t, "staunch_dropped_items", l, 4);
}

/* Metrics, as a body that is counted by data points. */
static void send_point(struct gw_test_engine *t, uint32_t stream)
{
    static const uint8_t body[] = "\x0a\x0d\x12\x0b\x12\x09\x0a\x01m\x2a\x04\x0a\x02\x40\x01";
    struct gw_verdict refused = {0};

    assert_int_equal(gw_test_send(gw_test_engine_door(t, "scripted", 0), GW_METRICS,
                                  gw_slice_of(body, sizeof(body) - 1), NULL, stream, &refused),
                     0);
}

/*
 * Scenario    points and their counts go to one sink, whose queue takes four requests; sent and answered twenty times
 * Guarantees  what the door has reserved for the points is theirs: nothing is refused or dropped, in any round
 */
static void points_and_counts_share_a_queue(void **state)
{
    struct gw_test_engine t;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { queue_size: 4 } } }\n"
                        "connectors: { count: }\nservice:\n  pipelines:\n"
                        "    metrics: { receivers: [scripted], exporters: [count, scripted] }\n"
                        "    metrics/2: { receivers: [count], exporters: [scripted] }\n",
                        1, false);
    for (uint32_t i = 0; i < 20; i++) {
        send_point(&t, i);
        gw_test_engine_turn(&t, 3, 0);
        while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK))
            gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 20);
    assert_int_equal(dropped(&t), 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    a queue of 4,000 bytes; counts of 600, of which the pipeline behind takes most away; thirty times
 * Guarantees  room that was taken and not used is given back
 */
static void room_that_is_not_used_goes_back(void **state)
{
    struct gw_test_engine t;
    char yaml[2048], pad[501];

    (void)state;
    memset(pad, 'x', sizeof(pad) - 1);
    pad[sizeof(pad) - 1] = '\0';
    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { sizer: bytes, queue_size: 4000 } } }\n"
                   "connectors: { count: { logs: { c: { attributes: [ { key: pad, default_value: %s } ] } } } }\n"
                   "processors: { attributes: { actions: [ { key: pad, action: delete } ] } }\n"
                   "service:\n  pipelines:\n"
                   "    logs: { receivers: [scripted], exporters: [count] }\n"
                   "    metrics: { receivers: [count], processors: [attributes], exporters: [scripted] }\n",
                   pad);
    gw_test_engine_open(&t, yaml, 1, false);
    for (uint32_t i = 0; i < 30; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 1, 1, i);
        gw_test_engine_turn(&t, 3, 0);
        while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK))
            gw_test_engine_turn(&t, 3, 0);
    }
    assert_int_equal(dropped(&t), 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_go_beside_what_is_counted),
        cmocka_unit_test(points_and_counts_share_a_queue),
        cmocka_unit_test(room_that_is_not_used_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
