/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each row of a batch whose rows have different homes: some stand in the log, others could not be
 * written and are nowhere but in memory (durability: memory, and the disk was full). Those in the log may stay there
 * and come again; the others cannot, and have to be counted when they go.
 */
#include "tests/queue/letters_rig.h"

/* Rows 0, 1 could not be written, 100, 101, 102 could: one batch, in the order that `memory_first` says. */
static void put_mixed(struct rig *r, bool memory_first)
{
    for (int i = 0; i < 2; i++) {
        bool memory = (i == 0) == memory_first;

        gw_log_sim_faults(r->log)->no_room = memory;
        put(r, memory ? 0 : 100, memory ? 2 : 3);
        (void)gw_log_work(r->log);
    }
    gw_log_sim_faults(r->log)->no_room = false;
    turn(r);
}

static void set_up_mixed(struct rig *r, struct port *p, bool memory_first)
{
    set_up(r);
    keep_books(r, p);
    r->early = true;
    r->batching = (struct gw_batching){.enabled = true, .min_size = 5, .flush_timeout_ns = S};
    start(r);
    open_port(r, p, 1);
    put_mixed(r, memory_first);
    assert_int_equal(r->sinks[0]->n_waiting, 1);
    assert_int_equal(r->sinks[0]->waiting[0]->rows, 5);
    assert_int_equal(counts(r, 0).held, 5);
    assert_int_equal(counts(r, 0).stored, 3);
    must_balance(r, p);
}

/* The rows of the log come again, and the sink has them now. */
static void the_stored_come_again(struct rig *r, struct port *p)
{
    uint64_t names[8];

    must_balance(r, p);
    assert_int_equal(waiting(r, 0, names, 8), 3);
    assert_int_equal(names[0], 100);
    assert_int_equal(names[2], 102);
    gw_test_sink_answer(r->sinks[0], &OK);
    pass(r, S);
    assert_int_equal(consumer(r, "a").settled[GW_LOG_DELIVERED], 3);
    tear_all_down(r, p);
}

/* The gateway stops, with no room for letters until then: the two in memory are dropped. */
static void stop_and_go_on(struct rig *r, struct port *p)
{
    gw_edge_close(r->edges[0]);
    assert_int_equal(dropped(r, "shutdown"), 2);
    assert_int_equal(counts(r, 0).dropped, 2);
    gw_edge_unreserve(p->edge, GW_LOGS, 1);
    start_again(r, p);
    the_stored_come_again(r, p);
}

/*
 * Scenario    the gateway stops while the sink is asked
 * Guarantees  the rows in memory are counted as dropped, those on disk are there at the next start, and no others
 */
static void a_stop_drops_what_is_in_memory_only(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        gw_edge_close(r.edges[0]);
        assert_int_equal(dropped(&r, "shutdown"), 2);
        assert_int_equal(counts(&r, 0).dropped, 2);
        start_again(&r, &p);
        the_stored_come_again(&r, &p);
    }
}

/*
 * Scenario    the gateway stops while such a batch waits behind another one
 * Guarantees  the same
 */
static void a_stop_drops_what_waits_in_memory_only(void **state)
{
    struct port p;
    struct rig r;

    (void)state;
    set_up(&r);
    keep_books(&r, &p);
    r.early = true;
    r.settings.queue.num_consumers = 1;
    r.batching = (struct gw_batching){.enabled = true, .min_size = 5, .flush_timeout_ns = S};
    start(&r);
    put(&r, 50, 5);
    turn(&r);
    put_mixed(&r, true);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    gw_test_sink_answer(r.sinks[0], &AWAY);
    gw_edge_close(r.edges[0]);
    assert_int_equal(dropped(&r, "shutdown"), 2);
    start_again(&r, &p);
    while (gw_test_sink_answer(r.sinks[0], &OK))
        turn(&r);
    assert_int_equal(counts(&r, 0).delivered, 8);
    tear_all_down(&r, &p);
}

/*
 * Scenario    the sink takes one row of the five, and does not say which; then the gateway stops
 * Guarantees  every row is counted once, or is on disk
 */
static void a_part_that_nobody_knows_is_counted_once(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct gw_sent_info part = AWAY;
        struct gw_buf left;
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        gw_buf_init(&left, 4096);
        gw_test_request(&left, GW_LOGS, 100, 4);
        part.left = gw_buf_slice(&left);
        part.left_rows = 4;
        gw_test_sink_answer(r.sinks[0], &part);
        gw_buf_clear(&left);
        must_balance(&r, &p);
        assert_int_equal(counts(&r, 0).delivered, 1);
        gw_edge_close(r.edges[0]);
        assert_int_equal(counts(&r, 0).delivered, 1);
        assert_int_equal(dropped(&r, "shutdown"), 2);
        start_again(&r, &p);
        the_stored_come_again(&r, &p);
    }
}

/*
 * Scenario    the sink refuses all five for good, and the gateway stops while the letter is under way
 * Guarantees  those on disk come again at the next start; the ledger balances although they were counted as a letter
 */
static void a_stop_before_the_letter_is_kept_leaves_the_stored(void **state)
{
    struct port p;
    struct rig r;

    (void)state;
    set_up_mixed(&r, &p, true);
    gw_test_sink_answer(r.sinks[0], &NO);
    turn(&r);
    assert_int_equal(p.sink->n_waiting, 1);
    assert_int_equal(counts(&r, 0).dead_lettered, 5);
    must_balance(&r, &p);
    start_again(&r, &p);
    the_stored_come_again(&r, &p);
}

/*
 * Scenario    the letter of all five is lost: its own sink refuses it for good
 * Guarantees  those on disk come again a second later, and are counted as coming in once more
 */
static void the_stored_come_again_when_their_letter_is_lost(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        gw_test_sink_answer(r.sinks[0], &NO);
        turn(&r);
        gw_test_sink_answer(p.sink, &NO);
        turn(&r);
        must_balance(&r, &p);
        assert_int_equal(counts(&r, 0).dead_lettered, 5);
        assert_int_equal(counts(&r, 0).held, 3);
        pass(&r, S);
        pass(&r, S); /* a batch of three */
        assert_int_equal(counts(&r, 0).in, 8);
        the_stored_come_again(&r, &p);
    }
}

/*
 * Scenario    the gateway stops while the letter of all five waits for room in the dead letter queue
 * Guarantees  those in memory are dropped, those on disk come again
 */
static void a_stop_without_room_for_the_letter_leaves_the_stored(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        assert_true(gw_edge_reserve(p.edge, GW_LOGS, 1, false));
        gw_test_sink_answer(r.sinks[0], &NO);
        pass(&r, S);
        assert_int_equal(p.sink->n_waiting, 0);
        must_balance(&r, &p);
        stop_and_go_on(&r, &p);
    }
}

/*
 * Scenario    two of the five are dead, it is not known which, and there is no room for their letter; the gateway stops
 *             while the sink is asked for the others
 * Guarantees  the two in memory are dropped, once; those on disk come again
 */
static void a_stop_with_a_grave_drops_what_is_in_memory_once(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct gw_death dead = {.class_ = "sink_rejected", .reason = "bad", .body = GW_SLICE("x"), .rows = 2};
        struct gw_attempt *a;
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        assert_true(gw_edge_reserve(p.edge, GW_LOGS, 1, false));
        a = r.sinks[0]->waiting[0];
        a->dead(a, &dead);
        must_balance(&r, &p);
        stop_and_go_on(&r, &p);
    }
}

/*
 * Scenario    the sink refuses all five for good when it is cancelled at the stop, and there is no room for the letter
 * Guarantees  those in memory are dropped, those on disk come again: they will be refused again
 */
static void a_refusal_at_a_stop_leaves_the_stored(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct port p;
        struct rig r;

        set_up_mixed(&r, &p, first);
        assert_true(gw_edge_reserve(p.edge, GW_LOGS, 1, false));
        r.sinks[0]->when_cancelled = &NO;
        stop_and_go_on(&r, &p);
    }
}

/*
 * Scenario    an exporter that cannot count: it says which three rows are left, that these are two, and that it has
 * them Guarantees  every row has the end that was told of it, and what nobody told of is settled by nobody
 */
static void what_nobody_told_of_is_not_settled(void **state)
{
    struct port p;
    struct rig r;

    (void)state;
    set_up_mixed(&r, &p, /* memory_first= */ false);
    answer_in_part(&r, 0x1c, 2, /* says_which= */ true);
    pass(&r, 10 * S);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    gw_test_sink_answer(r.sinks[0], &OK);
    pass(&r, S);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 3);
    assert_int_equal(counts(&r, 0).delivered, 5);
    tear_all_down(&r, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_drops_what_is_in_memory_only),
        cmocka_unit_test(a_stop_drops_what_waits_in_memory_only),
        cmocka_unit_test(a_part_that_nobody_knows_is_counted_once),
        cmocka_unit_test(a_stop_before_the_letter_is_kept_leaves_the_stored),
        cmocka_unit_test(the_stored_come_again_when_their_letter_is_lost),
        cmocka_unit_test(a_stop_without_room_for_the_letter_leaves_the_stored),
        cmocka_unit_test(a_stop_with_a_grave_drops_what_is_in_memory_once),
        cmocka_unit_test(a_refusal_at_a_stop_leaves_the_stored),
        cmocka_unit_test(what_nobody_told_of_is_not_settled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
