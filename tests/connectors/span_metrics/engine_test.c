/* SPDX-License-Identifier: Apache-2.0 */
/* In a whole gateway: four workers, a reload, the books, and the end. */
#include "tests/connectors/points.h"

#include "otlp-proto/json.h"
#include "tests/harness_engine.h"

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

#define FILE_OF(settings, more)                                                                                        \
    "receivers: { scripted: }\nexporters: { scripted: , scripted/b: }\n"                                               \
    "connectors: { spanmetrics: { metrics_flush_interval: 10s, zero_first_point: false" settings " } }\n"              \
    "service:\n  pipelines:\n"                                                                                         \
    "    traces: { receivers: [scripted], exporters: [spanmetrics] }\n"                                                \
    "    metrics: { receivers: [spanmetrics], exporters: [scripted] }\n" more

static void send(struct gw_test_engine *t, unsigned worker)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_verdict refused;
    struct gw_err err = {""};
    struct gw_buf wire;

    gw_buf_init(&wire, 1 << 20);
    assert_int_equal(gw_json_to_proto(GW_TRACES, gw_slice_cstr(SPANS(SERVICE, GET)), &limits, &wire, &err), 0);
    assert_int_equal(
        gw_test_send(gw_test_engine_door(t, "scripted", worker), GW_TRACES, gw_buf_slice(&wire), NULL, 1, &refused), 0);
    gw_buf_clear(&wire);
    gw_test_engine_turn(t, 3, 0);
}

/* The one body that waits at the sink, as if a rig had made it. */
static void take(struct gw_test_engine *t, struct gw_joint_rig *r)
{
    struct gw_test_sink *s = gw_test_engine_sink(t, "scripted");

    gw_joint_forget(r);
    assert_int_equal(s->n_waiting, 1);
    gw_buf_init(&r->bodies[0], 1 << 20);
    gw_buf_put_slice(&r->bodies[0], s->waiting[0]->body);
    r->n_bodies = 1;
    gw_test_sink_answer(s, &OK);
    gw_test_engine_turn(t, 3, 0);
}

static void turn_to_flush(struct gw_test_engine *t)
{
    gw_test_engine_turn(t, 3, 10 * S);
    gw_test_engine_turn(t, 3, S / 5);
    gw_test_engine_turn(t, 3, 0);
}

/*
 * Scenario    four workers count one series; a reload that adds a pipeline; one that changes the connector; the end
 * Guarantees  one point of a series, from whichever worker; the first reload resets nothing; with the second, and at
 *             the end, what was not sent yet is sent; the books balance all the time
 */
static void four_workers_and_two_reloads(void **state)
{
    struct gw_joint_rig r = {0};
    struct gw_test_engine t;
    struct gw_err err = {""};
    struct point p;
    uint64_t start;

    (void)state;
    gw_test_engine_open(&t, FILE_OF("", ""), 4, false);
    for (unsigned i = 0; i < 4; i++)
        send(&t, i);
    turn_to_flush(&t);
    take(&t, &r);
    p = FIND(&r, CALLS);
    start = p.start;
    assert_int_equal(p.times, 1);
    assert_int_equal(p.number, 4);
    gw_test_engine_balances(&t);

    assert_int_equal(
        gw_test_engine_reload(&t, FILE_OF("", "    logs: { receivers: [scripted], exporters: [scripted/b] }\n"), &err),
        0);
    gw_test_engine_turn(&t, 10, 0);
    send(&t, 2);
    turn_to_flush(&t);
    take(&t, &r);
    p = FIND(&r, CALLS);
    assert_int_equal(p.number, 5);
    assert_int_equal(p.start, start);

    send(&t, 1);
    assert_int_equal(gw_test_engine_reload(&t, FILE_OF(", namespace: new", ""), &err), 0);
    gw_test_engine_turn(&t, 10, S / 5);
    gw_test_engine_turn(&t, 5, 0);
    take(&t, &r);
    assert_int_equal(FIND(&r, CALLS).number, 6);
    send(&t, 3);
    gw_engine_quiesce(t.engine);
    for (unsigned i = 0; i < 20 && !gw_engine_is_quiet(t.engine); i++)
        gw_test_engine_turn(&t, 3, S / 100);
    assert_true(gw_engine_is_quiet(t.engine));
    take(&t, &r);
    assert_int_equal(FIND(&r, "new.calls").number, 1);
    let_go();
    gw_joint_forget(&r);
    free(r.json);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_workers_and_two_reloads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
