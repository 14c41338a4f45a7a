/* SPDX-License-Identifier: Apache-2.0 */
/* What an exporter notes in its log of rows that have come to an end, and when. */
#include "tests/queue/feed_rig.h"

/*
 * Scenario    one request is delivered, the next one refused for good, of the third one the sink rejects one row
 * Guarantees  the log has each outcome, by rows
 */
static void outcomes_are_noted_apart(void **state)
{
    static const struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "bad"},
                                     part = {.sent = GW_SENT_OK, .rejected_rows = 1, .message = "one is bad"};
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    put(&r, 0, 3);
    put(&r, 10, 4);
    put(&r, 20, 5);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &OK);
    gw_test_sink_answer(r.sinks[0], &no);
    gw_test_sink_answer(r.sinks[0], &part);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 3 + 4);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DROPPED], 4);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_REJECTED], 1);
    assert_int_equal(consumer(&r, "a").low_row, 12);
    tear_down(&r);
}

/*
 * Scenario    an exporter with tries of its own tells of one row after the other that its sink has it: of two of four,
 *             in one turn; kill -9
 * Guarantees  the others come again
 */
static void rows_told_one_by_one_do_not_settle_the_others(void **state)
{
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    put(&r, 70, 4);
    turn(&r);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bit = UINT64_C(1) << i;

        r.sinks[0]->waiting[0]->taken(r.sinks[0]->waiting[0], &bit);
    }
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    end(&r, KILL);
    start(&r);
    turn(&r);
    assert_int_equal(waiting(&r, 0, names, 8), 2);
    assert_int_equal(names[0], 72);
    answer(&r);
    assert_int_equal(consumer(&r, "a").low, 1);
    tear_down(&r);
}

/*
 * Scenario    two requests are delivered one shortly after the other; the exporter's thread sleeps
 * Guarantees  the second one's note waits for more no longer than a moment
 */
static void a_note_that_waits_for_more_is_written_soon(void **state)
{
    const struct gw_timer *alarm_;
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    alarm_ = &r.edges[0]->feeds->settle_timer;
    put(&r, 0, 2);
    put(&r, 10, 2);
    turn(&r);
    for (unsigned i = 0; i < 2; i++) {
        gw_test_sink_answer(r.sinks[0], &OK);
        step(&r, MS);
        (void)gw_log_work(r.log);
        assert_int_equal(consumer(&r, "a").low, 1);
        assert_int_equal(gw_timer_is_armed(alarm_), i); /* none when all is noted */
    }
    assert_in_range(alarm_->due_ns, gw_mono_ns(&r.te.env), gw_mono_ns(&r.te.env) + 10 * MS);
    wakes(&r, 10 * MS);
    (void)gw_log_work(r.log);
    assert_int_equal(consumer(&r, "a").low, 2);
    tear_down(&r);
}

/*
 * Scenario    the sink has every other one of 8,400 rows
 * Guarantees  what is to be noted does not pile up in memory: some thousands of notes go to the log before the turn
 * ends
 */
static void notes_do_not_pile_up(void **state)
{
    static uint64_t bits[132];
    struct rig r;

    (void)state;
    memset(bits, 0x55, sizeof(bits));
    set_up_small(&r);
    start(&r);
    put(&r, 1, 8400);
    turn(&r);
    r.sinks[0]->waiting[0]->taken(r.sinks[0]->waiting[0], bits);
    (void)gw_log_work(r.log);
    assert_in_range(consumer(&r, "a").settled[GW_LOG_DELIVERED], 1000, 4199);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 4200);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_noted_apart),
        cmocka_unit_test(rows_told_one_by_one_do_not_settle_the_others),
        cmocka_unit_test(a_note_that_waits_for_more_is_written_soon),
        cmocka_unit_test(notes_do_not_pile_up),
    };

    (void)alarm(20); /* see wakes() */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
