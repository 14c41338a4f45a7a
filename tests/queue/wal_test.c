/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into the log of a pipeline: whose room it takes, who gets it when exporters come and go, and the books. */
#include "tests/queue/durable_rig.h"

enum { ROOM = 3 };

static uint64_t used(struct rig *r)
{
    return gw_edge_excess(r->edges[0], GW_LOGS, ROOM);
}

/* A queue of three requests that refuses more. */
static void set_up_bounded(struct rig *r)
{
    set_up(r);
    r->settings.queue.on_full = GW_ON_FULL_REFUSE;
    r->settings.queue.queue_size = ROOM;
}

static void set_up_books(struct rig *r)
{
    set_up(r);
    keep_own_books(r);
}

static uint64_t n_refused(struct rig *r, const char *reason)
{
    const struct gw_label l[] = {{"pipeline", "logs"}, {"signal", "logs"}, {"reason", reason}};

    return gw_meter_get(r->meter, GW_COUNTER, "staunch_queue_refused_items", "", l, 3)->value;
}

/* Takes all that an exporter sends within some seconds; counts the rows by name. */
static void take_all(struct rig *r, unsigned edge, unsigned *seen)
{
    uint64_t names[64];

    for (unsigned i = 0; i < 20; i++) {
        unsigned n = waiting(r, edge, names, 64);

        for (unsigned k = 0; k < n; k++)
            seen[names[k]]++;
        (void)gw_test_sink_answer(r->sinks[edge], &OK);
        pass(r, 100 * MS);
    }
}

/* ---- room --------------------------------------------------------------------------------------------------- */

/*
 * Scenario    the door has taken two units; three requests of one unit each are put; their rows are delivered
 * Guarantees  the first two use up what was taken, the third one takes one more; all of it is free in the end
 */
static void a_request_uses_the_room_that_was_taken_for_it(void **state)
{
    struct rig r;

    (void)state;
    set_up_bounded(&r);
    start(&r);
    assert_true(gw_edge_reserve(r.edges[0], GW_LOGS, 2, false));
    r.reserved[0] = 2;
    for (uint64_t i = 0; i < 3; i++) {
        put(&r, 10 * i, 2);
        assert_int_equal(r.reserved[0], i == 0);
    }
    assert_int_equal(used(&r), 3);
    turn(&r);
    assert_false(gw_edge_reserve(r.edges[0], GW_LOGS, 1, false));
    while (gw_test_sink_answer(r.sinks[0], &OK))
        turn(&r);
    assert_int_equal(used(&r), 0);
    tear_down(&r);
}

/*
 * Scenario    the disk is full, twice as often as there is room in the queue; then stored means in memory
 * Guarantees  what was refused takes no room, is counted by pipeline and reason, and is said; what goes through memory
 *             takes its room until it is delivered
 */
static void what_the_disk_does_not_take_gives_its_room_back(void **state)
{
    struct rig r;

    (void)state;
    set_up_bounded(&r);
    start(&r);
    assert_false(gw_test_env_logged(&r.te, "queue"));
    put(&r, 0, 1);
    turn(&r);
    assert_false(gw_test_env_logged(&r.te, "the disk of the queue"));
    assert_int_equal(used(&r), 1);
    gw_log_sim_faults(r.log)->no_room = true;
    for (uint64_t i = 1; i <= 2 * ROOM; i++) {
        put(&r, i, 1);
        turn(&r);
        assert_int_equal(used(&r), 1);
    }
    assert_true(gw_test_env_logged(&r.te, "the disk of the queue is full"));
    assert_int_equal(n_refused(&r, "storage_full"), 2 * ROOM);
    gw_wal_update(r.wal, false, /* early= */ true);
    put(&r, 20, 1);
    turn(&r);
    assert_int_equal(used(&r), 2);
    while (gw_test_sink_answer(r.sinks[0], &OK))
        turn(&r);
    assert_int_equal(used(&r), 0);
    assert_int_equal(counts(&r, 0).delivered, 2);
    tear_down(&r);
}

/*
 * Scenario    no memory for another request; and a request of which a processor has dropped all rows
 * Guarantees  the one is refused at once, and counted; of the other there is nothing to say, and nothing to write
 */
static void without_memory_a_request_is_refused(void **state)
{
    struct gw_log_stats st;
    struct gw_ticket *t;
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    t = put_without(&r, 5, 2, 3);
    assert_int_equal(t->worst, GW_DROPPED);
    assert_int_equal(r.posted, 1);
    turn(&r);
    assert_int_equal(n_refused(&r, "memory"), 0);
    atomic_store(&r.memory.hard_bytes, 10);
    t = put(&r, 1, 2);
    assert_int_equal(r.posted, 2);
    assert_int_equal(t->worst, GW_REFUSED);
    assert_string_equal(t->message, "data refused due to high memory usage");
    assert_int_equal(n_refused(&r, "memory"), 2);
    turn(&r);
    gw_log_stats(r.log, &st);
    assert_int_equal(st.end_row, 0);
    tear_down(&r);
}

/*
 * Scenario    a processor has dropped the first and the third of four rows
 * Guarantees  the others alone are in the log, and are sent
 */
static void only_what_is_left_of_a_request_is_stored(void **state)
{
    struct gw_log_stats st;
    struct gw_ticket *t;
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    t = put_without(&r, 10, 4, 1 | 4);
    turn(&r);
    assert_int_equal(r.posted, 1);
    assert_int_equal(t->open, 0);
    gw_log_stats(r.log, &st);
    assert_int_equal(st.end_row, 2);
    assert_int_equal(waiting(&r, 0, names, 8), 2);
    assert_int_equal(names[0], 11);
    assert_int_equal(names[1], 13);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").low, 1);
    tear_down(&r);
}

/* ---- exporters that go ---------------------------------------------------------------------------------------- */

/*
 * Scenario    six requests, of which memory takes one; the exporter leaves the pipeline and has no successor; another
 *             request is put
 * Guarantees  it reads back and delivers what was its, and gets no more; then its place in the log goes
 */
static void without_an_heir_all_is_delivered_first(void **state)
{
    unsigned seen[64] = {0};
    enum gw_wal_heritage heritage;
    struct rig r;
    bool more;

    (void)state;
    set_up(&r);
    r.settings.queue.max_memory_bytes = 1;
    r.settings.queue.num_consumers = 1;
    start(&r);
    for (uint64_t i = 0; i < 5; i++)
        put(&r, 2 * i, 2);
    turn(&r);
    end(&r, STOP);
    start(&r); /* so that its place is not a new one */
    put(&r, 10, 2);
    gw_wal_retire_edge(r.wal, r.edges[0]);
    assert_true(gw_wal_heritage(r.wal, r.edges[0], &heritage, &more));
    assert_int_equal(heritage, GW_WAL_NO_HEIR);
    assert_true(more);
    put(&r, 12, 2);
    turn(&r);
    assert_true(gw_wal_heritage(r.wal, r.edges[0], &heritage, &more));
    assert_false(more);
    take_all(&r, 0, seen);
    for (unsigned i = 0; i < 14; i++)
        assert_int_equal(seen[i], i < 12);
    assert_true(gw_edge_is_dry(r.edges[0]));
    assert_int_not_equal(consumer(&r, "a").id, 0);
    leave(&r, 0);
    assert_int_equal(consumer(&r, "a").id, 0);
    tear_down(&r);
}

/*
 * Scenario    as before, but it is closed before its sink has taken anything
 * Guarantees  its place stays, and the next exporter of that name gets the rows
 */
static void what_was_left_behind_keeps_its_place(void **state)
{
    unsigned seen[64] = {0};
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up_books(&r);
    start(&r);
    put(&r, 0, 2);
    put(&r, 2, 2);
    turn(&r);
    gw_wal_retire_edge(r.wal, r.edges[0]);
    leave(&r, 0);
    assert_int_equal(consumer(&r, "a").low_row, 0);
    assert_string_equal(books_of(&r, "a"), "in=4 held=4");
    r.n_edges = 1;
    assert_int_equal(come(&r, 0, "a", &err), 0);
    turn(&r);
    take_all(&r, 0, seen);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(seen[i], 1);
    assert_string_equal(books_of(&r, "a"), "in=4 out=4");
    tear_down(&r);
}

/*
 * Scenario    six requests, of which memory takes one; the exporter's successor is there, and new requests come
 * Guarantees  the old one sends what it has in memory, and is at rest then; all else is its successor's, as soon as it
 *             has gone, and nothing is sent twice
 */
static void an_heir_gets_what_is_on_disk(void **state)
{
    unsigned old[64] = {0}, seen[64] = {0}, n_old = 0;
    enum gw_wal_heritage heritage;
    struct gw_err err;
    struct rig r;
    bool more;

    (void)state;
    set_up_books(&r);
    r.settings.queue.max_memory_bytes = 1;
    r.settings.queue.num_consumers = 1;
    start(&r);
    for (uint64_t i = 0; i < 6; i++)
        put(&r, 2 * i, 2);
    turn(&r);
    r.n_edges = 2;
    assert_int_equal(come(&r, 1, "a", &err), 0);
    gw_wal_retire_edge(r.wal, r.edges[0]);
    assert_true(gw_wal_heritage(r.wal, r.edges[0], &heritage, &more));
    assert_int_equal(heritage, GW_WAL_HEIR);
    put(&r, 12, 2);
    turn(&r);
    take_all(&r, 0, old);
    assert_true(gw_edge_is_at_rest(r.edges[0]));
    assert_int_equal(r.sinks[1]->n_sends, 0);
    for (unsigned i = 0; i < 14; i++)
        n_old += old[i];
    assert_int_equal(n_old, 2);
    assert_string_equal(books_of(&r, "a"), "in=14 out=2 held=12");
    leave(&r, 0);
    assert_string_equal(books_of(&r, "a"), "in=14 out=2 held=12");
    turn(&r);
    take_all(&r, 0, seen);
    for (unsigned i = 0; i < 14; i++)
        assert_int_equal(old[i] + seen[i], 1);
    assert_string_equal(books_of(&r, "a"), "in=14 out=14");
    tear_down(&r);
}

/*
 * Scenario    the sink says OK to five rows and rejects two of them, without saying which: a dead letter, which is not
 *             kept yet when the exporter is closed; its successor sends the rows again
 * Guarantees  what the books had as gone already has come in once more: they balance
 */
static void rows_that_were_told_and_not_noted_come_in_again(void **state)
{
    static const struct gw_sent_info two = {.sent = GW_SENT_OK, .rejected_rows = 2, .message = "two are bad"};
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up_books(&r);
    r.settings.partial_success = GW_PARTIAL_DEAD_LETTER;
    start(&r);
    put(&r, 1, 5);
    turn(&r);
    (void)letters_come(&r);
    gw_test_sink_answer(r.sinks[0], &two);
    assert_int_equal(come(&r, 2, "a", &err), 0);
    r.n_edges = 3;
    gw_wal_retire_edge(r.wal, r.edges[0]);
    leave(&r, 0);
    assert_string_equal(books_of(&r, "a"), "in=5 created=5 out=3 dead_lettered=2 held=5");
    turn(&r);
    assert_int_equal(r.sinks[1]->n_waiting, 1);
    gw_test_sink_answer(r.sinks[1], &OK);
    turn(&r);
    assert_string_equal(books_of(&r, "a"), "in=5 created=5 out=8 dead_lettered=2");
    tear_down(&r);
}

/* ---- configurations that are not taken ------------------------------------------------------------------------ */

/*
 * Scenario    a second exporter has come, two requests are on their way to the disk, and its configuration is not taken
 * Guarantees  it was promised nothing: no place stays, and its book says that the rows were refused to it; the first
 *             exporter has them
 */
static void an_exporter_that_was_never_taken_holds_nothing(void **state)
{
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up_books(&r);
    start(&r);
    r.n_edges = 2;
    assert_int_equal(come(&r, 1, "b", &err), 0);
    put(&r, 0, 2);
    put(&r, 2, 3);
    assert_string_equal(books_of(&r, "b"), "in=5 held=5");
    gw_edge_close(r.edges[1]);
    gw_wal_remove_edge(r.wal, r.edges[1]);
    assert_int_equal(consumer(&r, "b").id, 0);
    assert_string_equal(books_of(&r, "b"), "in=5 refused=5");
    assert_string_equal(books_of(&r, "a"), "in=5 held=5");
    turn(&r);
    assert_string_equal(books_of(&r, "b"), "in=5 refused=5");
    assert_string_equal(books_of(&r, "a"), "in=5 held=5");
    assert_int_equal(r.sinks[0]->n_waiting, 2);
    tear_down(&r);
}

/*
 * Scenario    the same with an exporter that an earlier configuration had; one request is written, and one that was
 *             promised already is not
 * Guarantees  its place stays; it holds the one, has dropped the other one, and gets the first when it comes back
 */
static void an_exporter_that_was_there_before_keeps_its_place(void **state)
{
    unsigned seen[64] = {0};
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up_books(&r);
    r.n_edges = 2;
    start(&r);
    put(&r, 0, 2);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &OK);
    gw_test_sink_answer(r.sinks[1], &OK);
    turn(&r);
    end(&r, STOP);
    keep_own_books(&r);
    r.n_edges = 1;
    r.early = true;
    start(&r);
    assert_int_equal(come(&r, 1, "b", &err), 0);
    put(&r, 2, 2);
    gw_edge_close(r.edges[1]);
    gw_wal_remove_edge(r.wal, r.edges[1]);
    gw_edge_free(r.edges[1]);
    free(r.sinks[1]);
    turn(&r);
    assert_string_equal(books_of(&r, "b"), "in=4 out=2 held=2");
    assert_int_equal(come(&r, 1, "b", &err), 0);
    r.n_edges = 2;
    turn(&r);
    take_all(&r, 1, seen);
    assert_int_equal(seen[2], 1);
    assert_string_equal(books_of(&r, "b"), "in=4 out=4");
    gw_log_sim_faults(r.log)->no_room = true;
    put(&r, 4, 2);
    gw_edge_close(r.edges[1]);
    gw_wal_remove_edge(r.wal, r.edges[1]);
    turn(&r);
    assert_string_equal(books_of(&r, "b"), "in=6 out=4 dropped=2");
    assert_string_equal(books_of(&r, "a"), "in=6 out=2 held=4");
    assert_int_not_equal(consumer(&r, "b").id, 0);
    tear_down(&r);
}

/*
 * Scenario    a successor is there whose configuration is not taken in the end; what was promised cannot be written
 * Guarantees  it goes to the exporter that sends at that moment, and does not go down with the other one
 */
static void what_cannot_be_written_goes_to_whoever_sends(void **state)
{
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up(&r);
    r.early = true;
    start(&r);
    assert_int_equal(come(&r, 1, "a", &err), 0);
    gw_log_sim_faults(r.log)->no_room = true;
    put(&r, 0, 2);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    r.n_edges = 2;
    leave(&r, 1);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(counts(&r, 0).delivered, 2);
    assert_int_equal(counts(&r, 0).held, 0);
    tear_down(&r);
}

/*
 * Scenario    no memory for the books of an exporter that comes: of what it does, then of what it is given
 * Guarantees  it does not come; a place in the log that was made for it goes, one that was there stays
 */
static void an_exporter_without_a_book_does_not_come(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 2; before++)
        for (unsigned nth = 1; nth <= 2; nth++) {
            struct gw_err err = {""};
            uint32_t id;
            struct rig r;

            set_up_books(&r);
            start(&r);
            if (before)
                assert_int_equal(gw_log_consumer_open(r.log, "b", GW_LOG_FROM_END, &id), 0);
            r.no_book = nth;
            assert_int_equal(come(&r, 1, "b", &err), -ENOMEM);
            assert_string_equal(err.text, "out of memory");
            assert_int_equal(consumer(&r, "b").id != 0, before);
            gw_edge_free(r.edges[1]);
            free(r.sinks[1]);
            put(&r, 0, 2);
            turn(&r);
            assert_int_equal(r.sinks[0]->n_waiting, 1);
            tear_down(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_uses_the_room_that_was_taken_for_it),
        cmocka_unit_test(what_the_disk_does_not_take_gives_its_room_back),
        cmocka_unit_test(without_memory_a_request_is_refused),
        cmocka_unit_test(only_what_is_left_of_a_request_is_stored),
        cmocka_unit_test(without_an_heir_all_is_delivered_first),
        cmocka_unit_test(what_was_left_behind_keeps_its_place),
        cmocka_unit_test(an_heir_gets_what_is_on_disk),
        cmocka_unit_test(rows_that_were_told_and_not_noted_come_in_again),
        cmocka_unit_test(an_exporter_that_was_never_taken_holds_nothing),
        cmocka_unit_test(an_exporter_that_was_there_before_keeps_its_place),
        cmocka_unit_test(what_cannot_be_written_goes_to_whoever_sends),
        cmocka_unit_test(an_exporter_without_a_book_does_not_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
