/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of each row of a batch whose rows have different homes: some stand in the log, others could not be
 * written and are nowhere but in memory (durability: memory, and the disk was full). Those in the log may stay there
 * and come again; the others cannot, and have to be counted when they go.
 */
#include "tests/queue/letters_rig.h"

static uint64_t dropped(struct rig *r, const char *reason)
{
    const struct gw_label l[] = {
        {"component", "a"}, {"pipeline", r->books ? "logs" : ""}, {"signal", "logs"}, {"reason", reason}};

    return gw_meter_get(r->meter, GW_COUNTER, "staunch_dropped_items", "", l, 4)->value;
}

/* The exporters stop first, then the port; the ledger balances with what they leave behind. */
static void stop(struct rig *r, struct port *p)
{
    for (unsigned i = 0; i < r->n_edges; i++)
        gw_edge_close(r->edges[i]);
    (void)gw_log_work(r->log);
    must_balance(r, p);
    if (p->edge)
        close_port(p);
    end(r, STOP);
}

/* A new process: its books begin with what the log knows. */
static void start_again(struct rig *r, struct port *p)
{
    stop(r, p);
    gw_books_clear(&p->books);
    keep_books(r, p);
    start(r);
    turn(r);
    pass(r, 2 * S); /* what waits for a batch */
    must_balance(r, p);
}

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
        gw_edge_close(r.edges[0]);
        assert_int_equal(counts(&r, 0).dropped, 2);
        gw_edge_unreserve(p.edge, GW_LOGS, 1);
        start_again(&r, &p);
        the_stored_come_again(&r, &p);
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
        gw_edge_close(r.edges[0]);
        assert_int_equal(counts(&r, 0).dropped, 2);
        gw_edge_unreserve(p.edge, GW_LOGS, 1);
        start_again(&r, &p);
        the_stored_come_again(&r, &p);
    }
}

/* ---- rows of the log --------------------------------------------------------------------------------------- */

/* Rows 0, 1, 2 and 10, 11: a batch of two frames. */
static void set_up_stored(struct rig *r, struct port *p)
{
    set_up(r);
    keep_books(r, p);
    r->batching = (struct gw_batching){.enabled = true, .min_size = 5, .flush_timeout_ns = S};
    start(r);
    open_port(r, p, 1);
    put(r, 0, 3);
    put(r, 10, 2);
    turn(r);
    assert_int_equal(r->sinks[0]->n_waiting, 1);
}

/* The sink is away for these rows, and has the others of its oldest attempt. */
static void answer_in_part(struct rig *r, uint64_t left_bits, uint32_t n_left, bool says_which)
{
    struct gw_attempt *a = r->sinks[0]->waiting[0];
    struct gw_rows rows = {&left_bits, a->rows, n_left};
    struct gw_sent_info part = AWAY;
    struct gw_buf left;

    gw_buf_init(&left, 65536);
    assert_int_equal(gw_rows_extract(GW_LOGS, a->body, &rows, &left), 0);
    part.left = gw_buf_slice(&left);
    part.left_rows = n_left;
    part.left_bits = says_which ? &left_bits : NULL;
    gw_test_sink_answer(r->sinks[0], &part);
    gw_buf_clear(&left);
}

/*
 * Scenario    the sink has one row of the five and does not say which; then the gateway stops
 * Guarantees  one is counted as delivered, and all five are sent again: nobody knows which could be left out
 */
static void a_part_that_nobody_knows_is_sent_again(void **state)
{
    struct port p;
    struct rig r;

    (void)state;
    set_up_stored(&r, &p);
    answer_in_part(&r, 0x1e, 4, /* says_which= */ false);
    must_balance(&r, &p);
    gw_edge_close(r.edges[0]);
    assert_int_equal(counts(&r, 0).delivered, 1);
    assert_int_equal(counts(&r, 0).dropped, 0);
    assert_true(gw_test_env_logged(&r.te, "5 log_records stay on disk for the next start"));
    start_again(&r, &p);
    assert_int_equal(r.sinks[0]->waiting[0]->rows, 5);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    tear_all_down(&r, &p);
}

/*
 * Scenario    a row is dead, it is not said which; then the sink takes three and says which two are left; then these
 * Guarantees  the log hears of one dead letter and four rows that were delivered
 */
static void the_dead_are_not_counted_as_delivered_too(void **state)
{
    struct gw_death dead = {.class_ = "sink_rejected", .reason = "bad", .body = GW_SLICE("x"), .rows = 1};
    struct gw_attempt *a;
    struct port p;
    struct rig r;

    (void)state;
    set_up_stored(&r, &p);
    a = r.sinks[0]->waiting[0];
    a->dead(a, &dead);
    turn(&r);
    gw_test_sink_answer(p.sink, &OK);
    turn(&r);
    answer_in_part(&r, 0x18, 2, /* says_which= */ true);
    pass(&r, S);
    must_balance(&r, &p);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 1);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    pass(&r, 10 * S);
    gw_test_sink_answer(r.sinks[0], &OK);
    pass(&r, S);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 1);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 4);
    assert_int_equal(consumer(&r, "a").low, 2);
    assert_int_equal(counts(&r, 0).delivered, 4);
    gw_edge_close(r.edges[0]);
    assert_false(gw_test_env_logged(&r.te, "stay on disk"));
    tear_all_down(&r, &p);
}

/*
 * Scenario    two rows are dead one after the other while the dead letter queue is full; it gets room for one; a third
 *             row is dead; then there is room
 * Guarantees  three letters, in order, each kept once; the rows are settled with them
 */
static void graves_are_closed_one_by_one(void **state)
{
    uint64_t bits[] = {1, 2, 4};
    struct gw_attempt *a;
    struct port p;
    struct rig r;

    (void)state;
    set_up_stored(&r, &p);
    assert_true(gw_edge_reserve(p.edge, GW_LOGS, 1, false));
    a = r.sinks[0]->waiting[0];
    for (unsigned i = 0; i < 3; i++) {
        struct gw_death dead = {.class_ = "sink_rejected", .reason = "bad", .rows = 1, .bits = &bits[i]};

        dead.body = gw_slice_cstr(i == 0 ? "number 0" : i == 1 ? "number 1" : "number 2");
        if (i == 2) {
            gw_edge_unreserve(p.edge, GW_LOGS, 1);
            pass(&r, S / 10); /* the first letter takes the place */
        }
        a->dead(a, &dead);
        must_balance(&r, &p);
    }
    gw_test_sink_answer(r.sinks[0], &OK);
    for (unsigned i = 0; i < 3; i++) {
        const char *text = i == 0 ? "number 0" : i == 1 ? "number 1" : "number 2";

        pass(&r, S / 10);
        assert_int_equal(p.sink->n_waiting, 1);
        assert_non_null(memmem(p.sink->waiting[0]->body.p, p.sink->waiting[0]->body.n, text, strlen(text)));
        must_balance(&r, &p);
        gw_test_sink_answer(p.sink, &OK);
    }
    pass(&r, S);
    assert_int_equal(p.sink->n_sends, 3);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 3);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    tear_all_down(&r, &p);
}

/*
 * Scenario    a sink that is away while 200 requests come and are batched, with room for 4 KiB in memory
 * Guarantees  batches count as what they are made of: memory stays bounded
 */
static void batches_of_the_log_are_bounded_in_memory(void **state)
{
    struct port p;
    struct rig r;

    (void)state;
    set_up(&r);
    keep_books(&r, &p);
    r.settings.queue.max_memory_bytes = 4096;
    r.batching = (struct gw_batching){.enabled = true, .min_size = 20, .flush_timeout_ns = S};
    start(&r);
    for (uint64_t i = 0; i < 200; i++) {
        put(&r, 10 * i, 10);
        turn(&r);
        assert_in_range(r.memory.used_bytes, 0, 16 << 10);
    }
    must_balance(&r, &p);
    for (unsigned i = 0; i < 400 && !gw_edge_is_empty(r.edges[0]); i++) {
        (void)gw_test_sink_answer(r.sinks[0], &OK);
        pass(&r, S);
    }
    assert_int_equal(counts(&r, 0).delivered, 2000);
    tear_all_down(&r, &p);
}

static void swallow_all(void *self, struct gw_view *v)
{
    *(uint32_t *)self += v->n_rows;
}

/*
 * Scenario    the dead letter port leads to an exporter that takes rows at once, on the thread of who gives them
 * Guarantees  the rows are settled with their letter
 */
static void a_letter_that_is_swallowed_is_kept(void **state)
{
    struct gw_exporter_ops ops = *gw_test_exporter.exporter;
    struct gw_component type = gw_test_exporter;
    struct gw_edge_conf conf;
    struct gw_edge *to;
    uint32_t n = 0;
    struct port p;
    struct rig r;

    (void)state;
    set_up_stored(&r, &p);
    end(&r, STOP);
    close_port(&p);
    ops.swallow = swallow_all;
    type.exporter = &ops;
    gw_books_clear(&p.books);
    keep_books(&r, &p);
    start(&r);
    conf = (struct gw_edge_conf){.env = &r.te.env,
                                 .component = &type,
                                 .self = &n,
                                 .id = "letters",
                                 .signals = GW_LOGS,
                                 .settings = r.settings,
                                 .meter = r.meter,
                                 .memory = &r.memory};
    assert_int_equal(gw_edge_new(&conf, &to), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edges[0], to), 0);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &NO);
    pass(&r, S);
    assert_int_equal(counts(&r, 0).dead_lettered, 5);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 5);
    must_balance(&r, &p);
    tear_all_down(&r, &p);
    gw_edge_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First those that look for lines in the log: of one kind there are ten in a while, whatever the clocks say. */
        cmocka_unit_test(a_part_that_nobody_knows_is_sent_again),
        cmocka_unit_test(the_dead_are_not_counted_as_delivered_too),
        cmocka_unit_test(a_stop_drops_what_is_in_memory_only),
        cmocka_unit_test(a_stop_drops_what_waits_in_memory_only),
        cmocka_unit_test(a_part_that_nobody_knows_is_counted_once),
        cmocka_unit_test(a_stop_before_the_letter_is_kept_leaves_the_stored),
        cmocka_unit_test(the_stored_come_again_when_their_letter_is_lost),
        cmocka_unit_test(a_stop_without_room_for_the_letter_leaves_the_stored),
        cmocka_unit_test(a_stop_with_a_grave_drops_what_is_in_memory_once),
        cmocka_unit_test(graves_are_closed_one_by_one),
        cmocka_unit_test(batches_of_the_log_are_bounded_in_memory),
        cmocka_unit_test(a_letter_that_is_swallowed_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
