/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of each row of batches that stand in the log: in part, in letters, and at a stop. */
#include "tests/queue/letters_rig.h"

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
        cmocka_unit_test(graves_are_closed_one_by_one),
        cmocka_unit_test(batches_of_the_log_are_bounded_in_memory),
        cmocka_unit_test(a_letter_that_is_swallowed_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
