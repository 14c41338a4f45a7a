/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exporter that tries its requests itself could not even ask, because a breaker stands open before its endpoint: how
 * long it is to wait, and when that is over.
 */
#include "tests/queue/edge_rig.h"

/* A breaker that is open for so long. */
static struct gw_sent_info closed_for(uint64_t ns)
{
    return (struct gw_sent_info){
        .sent = GW_SENT_RETRY, .reason = "breaker_open", .untried = true, .retry_after_ns = ns};
}

static struct gw_attempt *start_trying(struct rig *r)
{
    r->conf.settings.retry.randomization_factor = 0;
    r->edge = new_edge(r, &gw_test_trying_exporter, "scripted", &r->sink);
    assert_int_equal(gw_edge_open(r->edge, r->loop, NULL), 0);
    put(r, GW_LOGS, 1, 3, NULL);
    turn(r);
    return r->sink->waiting[0];
}

static void end_trying(struct rig *r)
{
    gw_test_sink_answer(r->sink, &OK);
    tear_down(r);
}

/*
 * Scenario    nobody waits for the rows; the breaker is open for a minute, twice
 * Guarantees  the wait is the breaker's, and costs no retry: the next failure is the first one
 */
static void waiting_for_a_breaker_costs_no_retry(void **state)
{
    const struct gw_sent_info minute = closed_for(60 * S);
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.retry.max_retries = 1;
    a = start_trying(&r);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(a->again(a, &t, &minute, &pause));
        assert_int_equal(pause, 60 * S);
        assert_false(t.wished || t.last_try);
        pass(&r, 60 * S);
    }
    assert_int_equal(t.failures, 0);
    assert_true(a->again(a, &t, &AWAY, &pause));
    assert_int_equal(pause, 5 * S);
    assert_int_equal(t.failures, 1);
    end_trying(&r);
}

/*
 * Scenario    a client waits for the sink's answer
 * Guarantees  it is not left waiting for the breaker: that is over at once
 */
static void who_waits_is_told_of_the_breaker_at_once(void **state)
{
    const struct gw_sent_info minute = closed_for(60 * S);
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.wait_for_result = true;
    a = start_trying(&r);
    assert_false(a->again(a, &t, &minute, &pause));
    assert_string_equal(t.over, "breaker_open");
    end_trying(&r);
}

/*
 * Scenario    the gateway drains, and the breaker is open for a minute, or a tenth of a second
 * Guarantees  half a second at most: the sink may be back, and there is an end in sight
 */
static void a_drain_does_not_wait_for_a_breaker(void **state)
{
    const struct gw_sent_info minute = closed_for(60 * S), moment = closed_for(S / 10);
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    a = start_trying(&r);
    gw_edge_drain(r.edge);
    turn(&r);
    assert_true(a->again(a, &t, &minute, &pause));
    assert_int_equal(pause, S / 2);
    assert_true(a->again(a, &t, &moment, &pause));
    assert_int_equal(pause, S / 10);
    end_trying(&r);
}

/*
 * Scenario    max_elapsed_time of 100 s, of which 5 are over when the breaker is open for 60 s, and again
 * Guarantees  what runs out of time meanwhile waits until then, and has one last try, which the sink answers
 */
static void what_runs_out_of_time_has_one_last_try(void **state)
{
    const struct gw_sent_info minute = closed_for(60 * S);
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.retry.max_elapsed_time_ns = 100 * S;
    a = start_trying(&r);
    assert_true(a->again(a, &t, &AWAY, &pause));
    pass(&r, pause);
    assert_true(a->again(a, &t, &minute, &pause));
    assert_int_equal(pause, 60 * S);
    pass(&r, pause);
    assert_true(a->again(a, &t, &minute, &pause)); /* at 65 s */
    assert_int_equal(pause, 35 * S);
    assert_false(t.last_try);
    pass(&r, pause);
    assert_true(a->again(a, &t, &minute, &pause));
    assert_int_equal(pause, 0);
    assert_true(t.last_try);
    pass(&r, S);
    assert_true(a->again(a, &t, &minute, &pause)); /* beyond it */
    assert_int_equal(pause, 0);
    assert_false(a->again(a, &t, &AWAY, &pause));
    assert_string_equal(t.over, "retry_exhausted");
    assert_false(t.last_try);
    end_trying(&r);
}

/*
 * Scenario    without max_elapsed_time; and what has not failed yet, because its first request met the open breaker
 * Guarantees  there is no end of time for the former, and none yet for the latter
 */
static void time_does_not_run_before_the_first_failure(void **state)
{
    const struct gw_sent_info minute = closed_for(60 * S);

    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        struct gw_tries t = {0};
        struct gw_attempt *a;
        uint64_t pause = 0;
        struct rig r;

        set_up(&r);
        r.conf.settings.retry.max_elapsed_time_ns = limited ? 100 * S : 0;
        a = start_trying(&r);
        if (!limited)
            assert_true(a->again(a, &t, &AWAY, &pause));
        for (unsigned i = 0; i < 5; i++) {
            assert_true(a->again(a, &t, &minute, &pause));
            assert_int_equal(pause, 60 * S);
            pass(&r, pause);
        }
        assert_false(t.last_try);
        end_trying(&r);
    }
}

static struct gw_tries at_the_end;
static struct gw_sent_info why;
static void cancel_and_ask(void *self, struct gw_attempt *a)
{
    struct gw_test_sink *s = self;
    uint64_t pause;

    assert_false(a->again(a, &at_the_end, &why, &pause));
    gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OVER, .reason = at_the_end.over});
}

/*
 * Scenario    the edge is closed while an attempt is under way, whose sink is away, or stands behind an open breaker;
 * it is asked inside of cancel Guarantees  there is no other try, and no waiting, because of the shutdown
 */
static void at_the_end_nothing_is_tried_again(void **state)
{
    const struct gw_sent_info reasons[] = {AWAY, closed_for(60 * S)};
    struct gw_exporter_ops ops = *gw_test_trying_exporter.exporter;
    struct gw_component type = gw_test_trying_exporter;

    (void)state;
    ops.cancel = cancel_and_ask;
    type.exporter = &ops;
    for (unsigned i = 0; i < 2; i++) {
        struct rig r;

        set_up(&r);
        at_the_end = (struct gw_tries){0};
        why = reasons[i];
        r.edge = new_edge(&r, &type, "scripted", &r.sink);
        assert_int_equal(gw_edge_open(r.edge, r.loop, NULL), 0);
        put(&r, GW_LOGS, 1, 2, NULL);
        turn(&r);
        gw_edge_close(r.edge);
        assert_string_equal(at_the_end.over, "shutdown");
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dropped, 2);
        assert_int_equal(dropped(&r, "shutdown"), 2);
        tear_down(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_for_a_breaker_costs_no_retry),
        cmocka_unit_test(who_waits_is_told_of_the_breaker_at_once),
        cmocka_unit_test(a_drain_does_not_wait_for_a_breaker),
        cmocka_unit_test(what_runs_out_of_time_has_one_last_try),
        cmocka_unit_test(time_does_not_run_before_the_first_failure),
        cmocka_unit_test(at_the_end_nothing_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
