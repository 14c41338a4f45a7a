/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters that try by themselves, and the dead letters of what they give up. */
#include "tests/queue/edge_rig.h"

/* ---- own_tries -------------------------------------------------------------------------------------------------- */

/* An edge whose exporter tries its requests itself stands in the place of the rig's. */
static void start_trying(struct rig *r)
{
    r->edge = new_edge(r, &gw_test_trying_exporter, "scripted", &r->sink);
    assert_int_equal(gw_edge_open(r->edge, r->loop, NULL), 0);
}

/*
 * Scenario    an exporter with own_tries asks `again` for one of its requests, beyond max_elapsed_time
 * Guarantees  no time-out of the queue's; the pauses grow as configured; a wish of the sink's is longer; then it is
 * over
 */
static void who_tries_itself_hears_the_rules_of_the_queue(void **state)
{
    static const struct gw_sent_info wish = {.sent = GW_SENT_RETRY, .retry_after_ns = 60 * S};
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause;
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.retry.randomization_factor = 0;
    r.conf.settings.retry.max_elapsed_time_ns = 120 * S;
    start_trying(&r);
    put(&r, GW_LOGS, 1, 3, NULL);
    turn(&r);
    pass(&r, 60 * S);
    assert_int_equal(r.sink->n_cancelled, 0);
    a = r.sink->waiting[0];
    assert_true(a->again(a, &t, &AWAY, &pause));
    assert_int_equal(pause, 5 * S);
    assert_false(t.wished);
    assert_true(a->again(a, &t, &wish, &pause));
    assert_int_equal(pause, 60 * S);
    assert_true(t.wished);
    gw_test_env_advance(&r.te, 115 * S);
    gw_loop_turn(r.loop, 0);
    assert_false(a->again(a, &t, &AWAY, &pause));
    assert_string_equal(t.over, "retry_exhausted");
    gw_edge_drain(r.edge);
    turn(&r);
    assert_true(r.sink->n_hurried > 0);
    t = (struct gw_tries){0};
    assert_true(a->again(a, &t, &AWAY, &pause));
    assert_int_equal(pause, S / 2);
    gw_test_sink_answer(r.sink, &OK);
    tear_down(&r);
}

/*
 * Scenario    max_retries of 2; retries switched off
 * Guarantees  two failures are tried again, the third is not; with retries off none is
 */
static void tries_end_by_number_too(void **state)
{
    struct gw_tries t = {0};
    struct gw_attempt *a;
    uint64_t pause;
    struct rig r;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        set_up(&r);
        r.conf.settings.retry.max_retries = 2;
        r.conf.settings.retry.enabled = i == 0;
        start_trying(&r);
        put(&r, GW_LOGS, 1, 1, NULL);
        turn(&r);
        a = r.sink->waiting[0];
        t = (struct gw_tries){0};
        for (unsigned n = 0; n < (i == 0 ? 2 : 0); n++)
            assert_true(a->again(a, &t, &AWAY, &pause));
        assert_false(a->again(a, &t, &AWAY, &pause));
        assert_string_equal(t.over, i == 0 ? "retry_exhausted" : "retry_disabled");
        gw_test_sink_answer(r.sink, &OK);
        tear_down(&r);
    }
}

/*
 * Scenario    of five rows one is refused by the sink, two are given up, two are delivered; no dead letter port
 * Guarantees  each is counted as what it is
 */
static void what_is_left_of_own_tries_is_given_up_alone(void **state)
{
    struct gw_buf body;
    struct gw_sent_info over;
    struct gw_attempt *a;
    struct rig r;

    (void)state;
    set_up(&r);
    start_trying(&r);
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_LOGS, 1, 2);
    put(&r, GW_LOGS, 1, 5, NULL);
    turn(&r);
    a = r.sink->waiting[0];
    a->dead(a,
            &(struct gw_death){
                .class_ = "sink_rejected", .reason = "http_400", .message = "bad", .body = GW_SLICE("x"), .rows = 1});
    over = (struct gw_sent_info){.sent = GW_SENT_OVER,
                                 .reason = "retry_exhausted",
                                 .message = "gone",
                                 .left = gw_buf_slice(&body),
                                 .left_rows = 2};
    gw_test_sink_answer(r.sink, &over);
    gw_buf_clear(&body);
    assert_int_equal(dropped(&r, "http_400"), 1);
    assert_int_equal(dropped(&r, "retry_exhausted"), 2);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 2);
    tear_down(&r);
}

/*
 * Scenario    an attempt buries two rows while the dead letter queue is full; its last answer comes; then there is room
 * Guarantees  nothing is dropped: the letters wait, the edge is not empty, no new attempt starts; then all goes on, and
 *             the letter has class, reason, the sink's code and the bytes
 */
static void a_grave_waits_for_room_and_holds_up_what_follows(void **state)
{
    struct gw_test_sink *letters;
    struct gw_attempt *a;
    struct gw_edge *to;
    struct rig r;

    (void)state;
    set_up(&r);
    start_trying(&r);
    r.conf.settings.queue.queue_size = 1;
    to = new_edge(&r, &gw_test_exporter, "letters", &letters);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edge, to), 0);
    assert_true(gw_edge_reserve(to, GW_LOGS, 1, false));
    put(&r, GW_LOGS, 1, 3, NULL);
    turn(&r);
    a = r.sink->waiting[0];
    a->dead(a, &(struct gw_death){.class_ = "sink_rejected",
                                  .reason = "http_400",
                                  .message = "too old",
                                  .code = 400,
                                  .body = GW_SLICE("the rows"),
                                  .rows = 2});
    gw_test_sink_answer(r.sink, &OK);
    assert_false(gw_edge_is_empty(r.edge));
    put(&r, GW_LOGS, 9, 1, NULL);
    pass(&r, S);
    assert_int_equal(r.sink->n_sends, 1);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).held, 3);
    assert_false(gw_edge_is_empty(r.edge));
    gw_edge_unreserve(to, GW_LOGS, 1);
    pass(&r, S);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dead_lettered, 2);
    assert_int_equal(r.sink->n_sends, 2);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(letters->n_waiting, 1);
    assert_true(contains(letters->waiting[0]->body, "the rows", 8));
    assert_true(contains(letters->waiting[0]->body, "sink_rejected", 13));
    assert_true(contains(letters->waiting[0]->body, "too old", 7));
    assert_true(contains(letters->waiting[0]->body,
                         "dlq.code\x12\x05\x0a\x03"
                         "400",
                         15));
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 2);
    gw_test_sink_answer(letters, &OK);
    gw_edge_close(r.edge);
    gw_edge_close(to);
    gw_edge_free(to);
    free(letters);
    tear_down(&r);
}

/*
 * Scenario    the gateway stops while a grave finds no room
 * Guarantees  its rows are counted as dropped for that reason
 */
static void a_grave_without_room_is_dropped_at_the_end(void **state)
{
    struct gw_test_sink *letters;
    struct gw_attempt *a;
    struct gw_edge *to;
    struct rig r;

    (void)state;
    set_up(&r);
    start_trying(&r);
    r.conf.settings.queue.queue_size = 1;
    to = new_edge(&r, &gw_test_exporter, "letters", &letters);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edge, to), 0);
    assert_true(gw_edge_reserve(to, GW_LOGS, 1, false));
    put(&r, GW_LOGS, 1, 1, NULL);
    turn(&r);
    a = r.sink->waiting[0];
    a->dead(a, &(struct gw_death){.class_ = "schema", .reason = "delta", .body = GW_SLICE("x"), .rows = 1});
    gw_test_sink_answer(r.sink, &OK);
    gw_edge_close(r.edge);
    assert_int_equal(dropped(&r, "dead_letter_full"), 1);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).held, 0);
    gw_edge_unreserve(to, GW_LOGS, 1);
    gw_edge_close(to);
    gw_edge_free(to);
    free(letters);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_tries_itself_hears_the_rules_of_the_queue),
        cmocka_unit_test(tries_end_by_number_too),
        cmocka_unit_test(what_is_left_of_own_tries_is_given_up_alone),
        cmocka_unit_test(a_grave_waits_for_room_and_holds_up_what_follows),
        cmocka_unit_test(a_grave_without_room_is_dropped_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
