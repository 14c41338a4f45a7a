/* SPDX-License-Identifier: Apache-2.0 */
/* What an exporter reads back from its log, and when. */
#include "tests/queue/feed_rig.h"

/* ---- behind, and in step ---------------------------------------------------------------------------------------- */

/*
 * Scenario    a request has no room in memory while another one is under way, and is read when that is delivered; then
 *             one more comes
 * Guarantees  that one comes from memory: an exporter that has caught up asks the disk for nothing
 */
static void in_step_nothing_is_read(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    put(&r, 10, 2);
    turn(&r);
    assert_int_equal(disk.n_tried, 0);
    put(&r, 20, 2);
    turn(&r);
    answer(&r);
    sends(&r, 20);
    assert_true(disk.n_tried > 0);
    answer(&r);
    disk.n_tried = 0;
    put(&r, 30, 2);
    turn(&r);
    sends(&r, 30);
    assert_int_equal(disk.n_tried, 0);
    answer(&r);
    tear_down(&r);
}

/*
 * Scenario    there is room in memory, but not for the next request as a whole; the exporter's thread sleeps
 * Guarantees  it is woken to read it
 */
static void what_is_not_handed_over_wakes_the_exporter(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    put(&r, 10, 2);
    turn(&r);
    r.edges[0]->conf.settings.queue.max_memory_bytes = atomic_load(&r.edges[0]->window_bytes) + 1;
    put(&r, 20, 2);
    (void)gw_log_work(r.log);
    wakes(&r, 0);
    assert_int_equal(r.sinks[0]->n_waiting, 2);
    tear_down(&r);
}

/*
 * Scenario    the last two of three requests are delivered, and a restart; the first one is delivered, too
 * Guarantees  the exporter sees that nothing is left, also when it cannot look at once, and is in step again
 */
static void a_settled_rest_is_passed(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    for (uint64_t i = 0; i < 3; i++)
        put(&r, 10 * i, 2);
    turn(&r);
    gw_test_sink_answer_at(r.sinks[0], 1, &OK);
    gw_test_sink_answer_at(r.sinks[0], 1, &OK);
    turn(&r);
    end(&r, STOP);
    start(&r);
    assert_int_equal(counts(&r, 0).held, 2);
    step(&r, 0);
    disk.no_reader = 1;
    step(&r, 0);
    sends(&r, 0);
    for (unsigned i = 0; i < 4; i++)
        step(&r, 5 * MS);
    answer(&r);
    assert_true(gw_edge_is_dry(r.edges[0]));
    assert_int_equal(counts(&r, 0).dropped, 0);
    disk.n_tried = 0;
    put(&r, 30, 2);
    turn(&r);
    sends(&r, 30);
    assert_int_equal(disk.n_tried, 0);
    answer(&r);
    tear_down(&r);
}

/*
 * Scenario    five requests of 1.5 MiB each wait on disk
 * Guarantees  one turn reads some of them, for there are others on that thread; the next one comes at once
 */
static void a_turn_reads_no_more_than_some(void **state)
{
    const struct gw_put_from nobody = {0};
    char *body = calloc(1, 3 << 19);
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 64 << 20;
    start(&r);
    for (unsigned i = 0; i < 5; i++)
        assert_true(gw_wal_put_bytes(r.wal, r.edges[0], gw_slice_of(body, 3 << 19), 1, &nobody));
    (void)gw_log_work(r.log);
    free(body);
    end(&r, KILL);
    start(&r);
    wakes(&r, 0);
    assert_int_equal(r.sinks[0]->n_waiting, 3);
    wakes(&r, 0);
    assert_int_equal(r.sinks[0]->n_waiting, 5);
    tear_down(&r);
}

/* ---- what an earlier process left ------------------------------------------------------------------------------- */

/*
 * Scenario    a queue of ten requests holds four after a restart, and memory takes one; they are delivered one by one
 * Guarantees  each one makes room when it is delivered, not before, on disk, too
 */
static void the_rest_of_a_backlog_keeps_its_room(void **state)
{
    uint64_t bytes;
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.on_full = GW_ON_FULL_REFUSE;
    r.settings.queue.queue_size = 10;
    start(&r);
    for (uint64_t i = 0; i < 4; i++)
        put(&r, 10 + i, 1);
    turn(&r);
    bytes = atomic_load(&gw_edge_lane(r.edges[0], GW_LOGS)->lag_bytes) / 4;
    end(&r, KILL);
    start(&r);
    for (uint64_t left = 4; left > 0; left--) {
        uint64_t lag = atomic_load(&gw_edge_lane(r.edges[0], GW_LOGS)->lag_bytes);

        assert_int_equal(gw_edge_excess(r.edges[0], GW_LOGS, 10), left);
        assert_in_range(lag, bytes * left, (bytes + 80) * left); /* more by what the log adds to each */
        turn(&r);
        assert_int_equal(gw_edge_excess(r.edges[0], GW_LOGS, 10), left);
        assert_int_equal(r.sinks[0]->n_waiting, 1);
        answer(&r);
    }
    assert_int_equal(gw_edge_excess(r.edges[0], GW_LOGS, 10), 0);
    assert_int_equal(atomic_load(&gw_edge_lane(r.edges[0], GW_LOGS)->lag_bytes), 0);
    tear_down(&r);
}

/*
 * Scenario    the second of three requests is delivered first; a restart, after which memory takes one
 * Guarantees  the books have the others, wherever the exporter has come to
 */
static void the_books_know_what_was_settled_ahead(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    for (uint64_t i = 0; i < 3; i++)
        put(&r, 10 * i, 2);
    turn(&r);
    gw_test_sink_answer_at(r.sinks[0], 1, &OK);
    turn(&r);
    end(&r, STOP);
    keep_own_books(&r);
    r.settings.queue.max_memory_bytes = 1;
    start(&r);
    assert_string_equal(books_of(&r, "a"), "in=6 out=2 held=4");
    turn(&r);
    assert_string_equal(books_of(&r, "a"), "in=6 out=2 held=4");
    answer(&r);
    assert_string_equal(books_of(&r, "a"), "in=6 out=4 held=2");
    answer(&r);
    assert_string_equal(books_of(&r, "a"), "in=6 out=6");
    tear_down(&r);
}

/*
 * Scenario    the second of three requests is damaged on disk, and the log has counted it as lost; a restart
 * Guarantees  its rows are dropped in the books, by the log's count, and not once more when they are passed over
 */
static void what_the_log_counted_as_lost_is_not_lost_twice(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    put(&r, 0, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->damage_permille = 1000;
    put(&r, 10, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->damage_permille = 0;
    put(&r, 20, 2);
    turn(&r);
    gw_test_sink_answer_at(r.sinks[0], 1, &OK);
    turn(&r);
    end(&r, STOP);
    keep_own_books(&r);
    start(&r);
    turn(&r);
    sends(&r, 0);
    answer(&r);
    sends(&r, 20);
    answer(&r);
    assert_string_equal(books_of(&r, "a"), "in=6 out=4 dropped=2");
    assert_int_equal(counts(&r, 0).dropped, 0);
    tear_down(&r);
}

/* ---- a disk that does not do as it should ----------------------------------------------------------------------- */

/*
 * Scenario    the disk cannot be read: at first the place is not found, then the frame, for a second
 * Guarantees  it is said; it is tried some ten times a second; then all rows are sent, in order, each once
 */
static void reading_is_tried_again_after_a_moment(void **state)
{
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    for (uint64_t i = 0; i < 3; i++)
        put(&r, 10 * i, 2);
    turn(&r);
    disk.no_seek = 1;
    answer(&r);
    assert_true(gw_test_env_logged(&r.te, "reading the queue on disk"));
    assert_int_equal(r.sinks[0]->n_waiting, 0);
    disk.no_frame = 1000;
    for (unsigned i = 0; i < 100; i++)
        step(&r, 10 * MS);
    assert_in_range(disk.n_tried, 5, 11);
    disk.no_frame = 0;
    wakes(&r, 100 * MS);
    sends(&r, 10);
    answer(&r);
    sends(&r, 20);
    answer(&r);
    assert_int_equal(counts(&r, 0).delivered, 6);
    assert_int_equal(counts(&r, 0).held, 0);
    tear_down(&r);
}

/*
 * Scenario    a request is with the sink; the next one is to be read, and its place is not found at once
 * Guarantees  it is read from there in the end, and not the first one again
 */
static void a_place_that_was_not_found_is_looked_for_again(void **state)
{
    uint64_t name;
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    put(&r, 10, 1);
    turn(&r);
    r.edges[0]->conf.settings.queue.max_memory_bytes = atomic_load(&r.edges[0]->window_bytes) + 1;
    disk.no_seek = 1;
    put(&r, 20, 1);
    turn(&r);
    assert_int_equal(disk.no_seek, 0);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    wakes(&r, 100 * MS);
    assert_int_equal(r.sinks[0]->n_waiting, 2);
    assert_int_equal(gw_test_names(GW_LOGS, r.sinks[0]->waiting[1]->body, &name, 1), 1);
    assert_int_equal(name, 20);
    tear_down(&r);
}

/*
 * Scenario    readers see a request some time after it was committed, and it has to be read
 * Guarantees  it is there some milliseconds after it can be seen; nobody is told of a disk that fails
 */
static void a_frame_that_is_seen_late_comes_soon(void **state)
{
    const struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *look;
    struct gw_log_entry en;
    struct rig r;

    (void)state;
    set_up_small(&r);
    start(&r);
    put(&r, 10, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->max_late_ns = 60 * S;
    put(&r, 20, 2);
    turn(&r);
    assert_int_equal(whole->reader_new(r.log, &conf, &look), 0);
    assert_int_equal(whole->seek(look, GW_LOG_PARTITIONS, 1), 0);
    assert_int_equal(whole->next(look, &en), 0);
    answer(&r);
    while (whole->next(look, &en) == 0)
        step(&r, 5 * MS);
    wakes(&r, 5 * MS);
    sends(&r, 20);
    assert_false(gw_test_env_logged(&r.te, "reading the queue on disk"));
    whole->reader_free(look);
    answer(&r);
    tear_down(&r);
}

/* ---- rows that are to be tried once more ------------------------------------------------------------------------ */

/*
 * Scenario    the first of two requests is with the sink, the second one is refused for good, and so is its dead
 *             letter; a second later it is to be read back, but the disk fails: the reader, the place, the frame
 * Guarantees  it stays, is tried again every second, by the exporter's own alarm, and is sent in the end: the whole of
 *             it, and nothing else
 */
static void what_is_tried_once_more_is_read_from_its_place(void **state)
{
    static const struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "bad"};
    struct gw_test_sink *letters;
    unsigned *const fault[] = {&disk.no_reader, &disk.no_seek, &disk.no_frame};
    uint64_t names[4];
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    start(&r);
    letters = letters_come(&r);
    put(&r, 0, 2);
    put(&r, 10, 3);
    turn(&r);
    gw_test_sink_answer_at(r.sinks[0], 1, &no);
    turn(&r);
    gw_test_sink_answer(letters, &no);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    assert_int_equal(counts(&r, 0).held, 5);
    for (unsigned i = 0; i < 3; i++) {
        *fault[i] = 1;
        wakes(&r, S);
        assert_int_equal(*fault[i], 0);
        assert_int_equal(r.sinks[0]->n_waiting, 1);
    }
    wakes(&r, S);
    assert_int_equal(r.sinks[0]->n_waiting, 2);
    assert_int_equal(gw_test_names(GW_LOGS, r.sinks[0]->waiting[1]->body, names, 4), 3);
    assert_int_equal(names[0], 10);
    answer(&r);
    answer(&r);
    assert_int_equal(counts(&r, 0).delivered, 5);
    assert_int_equal(counts(&r, 0).dropped, 0);
    assert_int_equal(consumer(&r, "a").low_row, 5);
    tear_down(&r);
}

/* ---- the oldest go ---------------------------------------------------------------------------------------------- */

/*
 * Scenario    drop_oldest; four small requests wait in memory behind one that is under way, and a large one that only
 *             the disk has room for is too much
 * Guarantees  of those in memory as many go as are needed; the large one, which is the newest, stays
 */
static void what_is_in_memory_goes_before_what_is_on_disk(void **state)
{
    uint64_t small, large;
    struct gw_lane *l;
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.max_memory_bytes = 1 << 20;
    r.settings.queue.on_full = GW_ON_FULL_DROP_OLDEST;
    r.settings.queue.num_consumers = 1;
    r.settings.queue.max_lag_bytes = 1 << 20;
    start(&r);
    l = gw_edge_lane(r.edges[0], GW_LOGS);
    for (uint64_t i = 0; i < 5; i++)
        put(&r, i, 1);
    turn(&r);
    small = atomic_load(&l->lag_bytes) / 5;
    r.edges[0]->conf.settings.queue.max_memory_bytes = 1;
    put(&r, 100, 20);
    (void)gw_log_work(r.log);
    large = atomic_load(&l->lag_bytes) - 5 * small;
    r.edges[0]->conf.settings.queue.max_lag_bytes = large + 2 * small;
    turn(&r);
    assert_int_equal(counts(&r, 0).dropped, 3);
    sends(&r, 0);
    answer(&r);
    sends(&r, 4);
    answer(&r);
    sends(&r, 100);
    answer(&r);
    assert_int_equal(counts(&r, 0).delivered, 22);
    tear_down(&r);
}

/*
 * Scenario    drop_oldest; one request is under way, nine wait on disk alone, and room for five is left
 * Guarantees  the oldest of the nine go in one turn; the newest are sent
 */
static void the_oldest_go_from_disk(void **state)
{
    struct gw_lane *l;
    struct rig r;

    (void)state;
    set_up_small(&r);
    r.settings.queue.on_full = GW_ON_FULL_DROP_OLDEST;
    r.settings.queue.num_consumers = 1;
    r.settings.queue.max_lag_bytes = 1 << 20;
    start(&r);
    l = gw_edge_lane(r.edges[0], GW_LOGS);
    for (uint64_t i = 0; i < 10; i++)
        put(&r, i, 1);
    turn(&r);
    r.edges[0]->conf.settings.queue.max_lag_bytes = atomic_load(&l->lag_bytes) / 2;
    step(&r, 0);
    assert_int_equal(counts(&r, 0).dropped, 5);
    turn(&r);
    sends(&r, 0);
    answer(&r);
    for (uint64_t i = 6; i < 10; i++) {
        sends(&r, i);
        answer(&r);
    }
    assert_int_equal(counts(&r, 0).held, 0);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DROPPED], 5);
    assert_int_equal(consumer(&r, "a").low_row, 10);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_step_nothing_is_read),
        cmocka_unit_test(what_is_not_handed_over_wakes_the_exporter),
        cmocka_unit_test(a_settled_rest_is_passed),
        cmocka_unit_test(a_turn_reads_no_more_than_some),
        cmocka_unit_test(the_rest_of_a_backlog_keeps_its_room),
        cmocka_unit_test(the_books_know_what_was_settled_ahead),
        cmocka_unit_test(what_the_log_counted_as_lost_is_not_lost_twice),
        cmocka_unit_test(reading_is_tried_again_after_a_moment),
        cmocka_unit_test(a_place_that_was_not_found_is_looked_for_again),
        cmocka_unit_test(a_frame_that_is_seen_late_comes_soon),
        cmocka_unit_test(what_is_tried_once_more_is_read_from_its_place),
        cmocka_unit_test(what_is_in_memory_goes_before_what_is_on_disk),
        cmocka_unit_test(the_oldest_go_from_disk),
    };

    (void)alarm(20); /* see wakes() */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
