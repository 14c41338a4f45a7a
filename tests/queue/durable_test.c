/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/queue/durable_rig.h"

/*
 * Scenario    a request is put; the log's writer has not run yet; then it has
 * Guarantees  the client hears nothing before, and OK after; only then the sink is asked; its OK is settled in the log
 */
static void stored_is_said_when_the_log_has_it(void **state)
{
    struct gw_ticket *t;
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    t = put(&r, 100, 3);
    gw_loop_turn(r.loop, 0);
    assert_int_equal(r.posted, 0);
    assert_int_equal(r.sinks[0]->n_sends, 0);
    assert_int_equal(gw_wal_pending_rows(r.wal), 3);
    turn(&r);
    assert_int_equal(r.posted, 1);
    assert_int_equal(t->worst, GW_STORED);
    assert_int_equal(gw_wal_pending(r.wal), 0);
    assert_int_equal(waiting(&r, 0, names, 8), 3);
    assert_int_equal(names[2], 102);
    assert_int_equal(counts(&r, 0).held, 3);
    assert_int_equal(counts(&r, 0).stored, 3);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(counts(&r, 0).held, 0);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 3);
    assert_int_equal(consumer(&r, "a").low, 1);
    assert_true(gw_edge_is_empty(r.edges[0]));
    tear_down(&r);
}

static void name_of_first_row(struct rig *r, uint64_t ret[4])
{
    struct gw_attempt *a = r->sinks[0]->waiting[0];

    assert_true(a->row_name(a, 0, ret));
}

/*
 * Scenario    a request is sent on before it is synced; kill -9; then a power cut takes it, and another one comes into
 * its place in the log Guarantees  what comes again is called as before; the other one is not, or the sink would take
 * it for the first
 */
static void a_row_is_never_called_as_another(void **state)
{
    uint64_t first[4], again[4], other[4];
    unsigned n_same_place = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, 0, 2);
    turn(&r);
    name_of_first_row(&r, first);
    end(&r, KILL);
    start(&r);
    turn(&r);
    pass(&r, 10 * MS);
    name_of_first_row(&r, again);
    assert_memory_equal(first, again, sizeof(first));
    gw_test_sink_answer(r.sinks[0], &OK);
    pass(&r, S);
    for (unsigned i = 0; i < 40; i++) {
        put(&r, 10, 2);
        turn(&r);
        name_of_first_row(&r, first);
        end(&r, POWER_CUT);
        gw_test_env_advance(&r.te, MS);
        start(&r);
        turn(&r);
        pass(&r, 10 * MS);
        if (r.sinks[0]->n_waiting == 0) { /* it is gone */
            put(&r, 20, 2);
            turn(&r);
            name_of_first_row(&r, other);
            n_same_place += first[2] == other[2];
            assert_memory_not_equal(first, other, sizeof(first));
        }
        gw_test_sink_answer(r.sinks[0], &OK);
        pass(&r, S);
    }
    assert_true(n_same_place > 0);
    tear_down(&r);
}

/*
 * Scenario    three requests, the second one delivered; kill -9; then a power cut of a log that syncs
 * Guarantees  the two others are sent again, in order, and nothing else
 */
static void what_was_not_settled_comes_again_after_a_crash(void **state)
{
    uint64_t names[8];

    (void)state;
    for (enum end how = KILL; how <= POWER_CUT; how++) {
        struct rig r;

        set_up(&r);
        r.sync = true;
        start(&r);
        for (uint64_t i = 0; i < 3; i++)
            put(&r, 10 * i, 2);
        turn(&r);
        assert_int_equal(r.sinks[0]->n_waiting, 3);
        gw_test_sink_answer_at(r.sinks[0], 1, &OK);
        turn(&r);
        pass(&r, S); /* the settlement is synced in the background */
        end(&r, how);
        start(&r);
        assert_int_equal(counts(&r, 0).in, 4);
        turn(&r);
        pass(&r, 10 * MS);
        assert_int_equal(r.sinks[0]->n_waiting, 2);
        assert_int_equal(waiting(&r, 0, names, 8), 2);
        assert_int_equal(names[0], 0);
        gw_test_sink_answer(r.sinks[0], &OK);
        assert_int_equal(waiting(&r, 0, names, 8), 2);
        assert_int_equal(names[0], 20);
        gw_test_sink_answer(r.sinks[0], &OK);
        turn(&r);
        assert_int_equal(counts(&r, 0).held, 0);
        assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 6);
        tear_down(&r);
    }
}

/*
 * Scenario    one sink is away while 400 requests come, with room for a few in memory; the other takes all
 * Guarantees  the other is not disturbed; memory stays bounded; everything is sent in order when the sink is back
 */
static void a_dead_sink_spills_and_drains_in_order(void **state)
{
    uint64_t next = 0, names[64];
    struct rig r;

    (void)state;
    set_up(&r);
    r.n_edges = 2;
    r.settings.queue.max_memory_bytes = 4096;
    r.settings.queue.num_consumers = 1;
    start(&r);
    for (uint64_t i = 0; i < 400; i++) {
        put(&r, 10 * i, 10);
        turn(&r);
        assert_int_equal(waiting(&r, 1, names, 64), 10);
        assert_int_equal(names[0], 10 * i);
        gw_test_sink_answer(r.sinks[1], &OK);
        assert_in_range(r.memory.used_bytes, 0, 64 << 10);
    }
    assert_int_equal(r.posted, 400);
    assert_int_equal(counts(&r, 1).delivered, 4000);
    assert_int_equal(counts(&r, 0).held, 4000);
    assert_false(gw_edge_is_empty(r.edges[0]));
    for (unsigned i = 0; i < 5000 && next < 4000; i++) {
        unsigned n = waiting(&r, 0, names, 64);

        for (unsigned k = 0; k < n; k++)
            assert_int_equal(names[k], next++);
        gw_test_sink_answer(r.sinks[0], &OK);
        pass(&r, MS);
        assert_in_range(r.memory.used_bytes, 0, 64 << 10);
    }
    assert_int_equal(next, 4000);
    turn(&r);
    assert_true(gw_edge_is_empty(r.edges[0]));
    assert_int_equal(consumer(&r, "a").low, 400);
    tear_down(&r);
}

/*
 * Scenario    the sink is away for six hours, with the default max_elapsed_time of five minutes
 * Guarantees  nothing is given up: on disk there is no such end
 */
static void no_time_limit_drops_what_is_on_disk(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, 1, 4);
    turn(&r);
    for (unsigned i = 0; i < 6 * 60; i++) {
        gw_test_sink_answer(r.sinks[0], &AWAY);
        pass(&r, 60 * S);
    }
    assert_int_equal(counts(&r, 0).held, 4);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(counts(&r, 0).delivered, 4);
    tear_down(&r);
}

/*
 * Scenario    five rows; the sink takes rows 1 and 3 and is away for the others, or does not answer for them in
 *             time; kill -9
 * Guarantees  only 0, 2 and 4 are sent again
 */
static void partial_success_survives(bool late)
{
    uint64_t left_bits = 1u << 0 | 1u << 2 | 1u << 4, names[8];
    struct gw_sent_info part = AWAY;
    struct gw_rows rows = {&left_bits, 5, 3};
    struct gw_buf left;
    struct rig r;

    set_up(&r);
    r.settings.timeout_ns = 5 * S;
    start(&r);
    put(&r, 50, 5);
    turn(&r);
    gw_buf_init(&left, 65536);
    assert_int_equal(gw_rows_extract(GW_LOGS, r.sinks[0]->waiting[0]->body, &rows, &left), 0);
    part.left = gw_buf_slice(&left);
    part.left_rows = 3;
    part.left_bits = &left_bits;
    r.sinks[0]->when_cancelled = &part;
    if (late)
        pass(&r, 5 * S);
    else
        gw_test_sink_answer(r.sinks[0], &part);
    gw_buf_clear(&left);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_cancelled, late);
    r.sinks[0]->when_cancelled = NULL;
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    end(&r, KILL);
    start(&r);
    turn(&r);
    assert_int_equal(counts(&r, 0).held, 3);
    assert_int_equal(waiting(&r, 0, names, 8), 3);
    assert_int_equal(names[0], 50);
    assert_int_equal(names[1], 52);
    assert_int_equal(names[2], 54);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 5);
    assert_int_equal(consumer(&r, "a").low, 1);
    tear_down(&r);
}

static void partial_success_survives_a_crash(void **state)
{
    (void)state;
    partial_success_survives(false);
    partial_success_survives(true);
}

/*
 * Scenario    an exporter with tries of its own tells that it has rows 0 and 1 of four, twice; kill -9; then the end
 *             of an attempt that was told in part
 * Guarantees  2 and 3 alone come again; nothing is counted twice
 */
static void rows_told_as_taken_are_not_sent_again(void **state)
{
    uint64_t bits = 3, names[8];
    struct gw_attempt *a;
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, 70, 4);
    turn(&r);
    a = r.sinks[0]->waiting[0];
    a->taken(a, &bits);
    a->taken(a, &bits);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    end(&r, KILL);
    start(&r);
    turn(&r);
    assert_int_equal(waiting(&r, 0, names, 8), 2);
    assert_int_equal(names[0], 72);
    a = r.sinks[0]->waiting[0];
    bits = 1; /* of the body as it is now: 72 */
    a->taken(a, &bits);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 4);
    assert_int_equal(consumer(&r, "a").low, 1);
    tear_down(&r);
}

/*
 * Scenario    two requests are batched into one attempt that the sink finds too large; halves that cross their border
 * Guarantees  each half settles its rows of both frames
 */
static void merged_and_split_batches_settle_their_rows(void **state)
{
    static const struct gw_sent_info large = {.sent = GW_SENT_TOO_LARGE, .message = "413"};
    uint64_t names[16];
    struct rig r;

    (void)state;
    set_up(&r);
    r.batching = (struct gw_batching){.enabled = true, .min_size = 9, .flush_timeout_ns = S};
    start(&r);
    put(&r, 0, 3);
    put(&r, 10, 6);
    turn(&r);
    assert_int_equal(waiting(&r, 0, names, 16), 9);
    gw_test_sink_answer(r.sinks[0], &large);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 2);
    gw_test_sink_answer(r.sinks[0], &OK); /* 0 1 2 10 11 */
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 5);
    assert_int_equal(consumer(&r, "a").low, 1);
    end(&r, KILL);
    start(&r);
    turn(&r);
    pass(&r, 2 * S);
    assert_int_equal(waiting(&r, 0, names, 16), 4);
    assert_int_equal(names[0], 12);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 9);
    assert_int_equal(counts(&r, 0).held, 0);
    tear_down(&r);
}

/*
 * Scenario    the gateway stops while one request is under way and another one waits
 * Guarantees  neither is dropped: both are there at the next start
 */
static void stopping_leaves_the_rest_on_disk(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.settings.queue.num_consumers = 1;
    start(&r);
    put(&r, 1, 2);
    put(&r, 11, 2);
    turn(&r);
    gw_edge_drain(r.edges[0]);
    assert_false(gw_edge_is_empty(r.edges[0]));
    gw_test_sink_answer(r.sinks[0], &AWAY);
    assert_true(gw_edge_is_empty(r.edges[0])); /* the sink is away: no use to wait */
    end(&r, STOP);
    start(&r);
    assert_int_equal(counts(&r, 0).held, 4);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 4);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DROPPED], 0);
    tear_down(&r);
}

/*
 * Scenario    the log refuses: the disk is full; then with durability memory, where OK was said before
 * Guarantees  the client hears "come again", nothing is queued; in the other case the rows go through memory
 */
static void a_log_that_cannot_write_refuses(void **state)
{
    struct gw_ticket *t;
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    gw_log_sim_faults(r.log)->no_room = true;
    t = put(&r, 1, 2);
    turn(&r);
    assert_int_equal(r.posted, 1);
    assert_int_equal(t->worst, GW_REFUSED);
    assert_string_equal(t->message, "the disk of the queue is full");
    assert_int_equal(counts(&r, 0).in, 0);
    assert_int_equal(r.sinks[0]->n_sends, 0);
    end(&r, STOP);
    r.early = true;
    start(&r);
    t = put(&r, 1, 2);
    assert_int_equal(r.posted, 2);
    assert_int_equal(t->worst, GW_STORED);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    gw_test_sink_answer(r.sinks[0], &OK);
    assert_int_equal(counts(&r, 0).delivered, 2);
    tear_down(&r);
}

/*
 * Scenario    on_full: spill with 2,000 bytes on disk; refuse with room for three requests; after a restart too
 * Guarantees  the door says no when the bound is reached, and yes again when the sink has taken some
 */
static void the_door_knows_the_bound_on_disk(void **state)
{
    struct rig r;

    (void)state;
    for (int refuse = 0; refuse < 2; refuse++) {
        unsigned n = 0, m = 0;

        set_up(&r);
        r.settings.queue.on_full = refuse ? GW_ON_FULL_REFUSE : GW_ON_FULL_SPILL;
        r.settings.queue.max_lag_bytes = refuse ? 0 : 2000;
        r.settings.queue.queue_size = 3;
        start(&r);
        assert_int_equal(gw_edge_sizer(r.edges[0]), refuse ? GW_SIZER_REQUESTS : GW_SIZER_BYTES);
        while (n < 100 && gw_edge_reserve(r.edges[0], GW_LOGS, refuse ? 1 : 500, false)) {
            r.reserved[0] = refuse ? 1 : 500;
            put(&r, 10 * n++, 10);
            gw_edge_unreserve(r.edges[0], GW_LOGS, r.reserved[0]);
            turn(&r);
        }
        assert_in_range(n, 2, refuse ? 3 : 20);
        end(&r, KILL);
        start(&r);
        assert_false(gw_edge_reserve(r.edges[0], GW_LOGS, refuse ? 1 : 500, false));
        turn(&r);
        while (gw_test_sink_answer(r.sinks[0], &OK) && m++ < 100)
            turn(&r);
        assert_int_equal(m, n);
        assert_true(gw_edge_reserve(r.edges[0], GW_LOGS, refuse ? 3 : 2000, false));
        gw_edge_unreserve(r.edges[0], GW_LOGS, refuse ? 3 : 2000);
        tear_down(&r);
    }
}

/*
 * Scenario    on_full: drop_oldest; far more comes than may wait, with little of it in memory
 * Guarantees  the oldest go, counted by reason in the edge and in the log; the newest arrive, in order
 */
static void the_oldest_go_when_that_was_asked_for(void **state)
{
    const struct gw_label l[] = {
        {"component", "a"}, {"pipeline", ""}, {"signal", "logs"}, {"reason", "queue_overflow"}};
    uint64_t names[16], last = 0, n = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    r.settings.queue.on_full = GW_ON_FULL_DROP_OLDEST;
    r.settings.queue.max_lag_bytes = 8000;
    r.settings.queue.max_memory_bytes = 2000;
    r.settings.queue.num_consumers = 1;
    start(&r);
    for (uint64_t i = 0; i < 200; i++) {
        put(&r, 10 * i, 10);
        turn(&r);
    }
    assert_int_equal(r.posted, 200);
    assert_true(counts(&r, 0).dropped > 1000);
    assert_int_equal(gw_meter_get(r.meter, GW_COUNTER, "staunch_dropped_items", "", l, 4)->value,
                     counts(&r, 0).dropped);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DROPPED], counts(&r, 0).dropped);
    while (waiting(&r, 0, names, 16) == 10) {
        assert_true(n <= 10 ? n == 0 || names[0] > last : names[0] == last + 1); /* behind what was under way: no gap */
        last = names[9];
        n += 10;
        gw_test_sink_answer(r.sinks[0], &OK);
        pass(&r, 10 * MS);
    }
    assert_int_equal(last, 1999);
    assert_int_equal(n + counts(&r, 0).dropped, 2000);
    assert_int_equal(counts(&r, 0).held, 0);
    tear_down(&r);
}

/*
 * Scenario    a permanent refusal of two requests, with room for one letter; the first letter is kept, the second one
 *             is refused for good; a second passes; a restart
 * Guarantees  rows are settled when their letter is kept, and neither when it is written nor when it is under way;
 *             those without a letter stay in the log, and are sent again after a second, and after the restart: they do
 *             not hold back the log until then
 */
static void rows_are_not_settled_before_their_dead_letter(void **state)
{
    static const struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "bad"};
    struct gw_test_sink *letters;
    struct gw_edge_conf conf;
    struct gw_edge *to;
    struct gw_err err;
    uint64_t names[4];
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    assert_int_equal(gw_test_exporter.create((void **)&letters, NULL, NULL, &err), 0);
    conf = (struct gw_edge_conf){.env = &r.te.env,
                                 .component = &gw_test_exporter,
                                 .self = letters,
                                 .id = "letters",
                                 .signals = GW_LOGS,
                                 .settings = r.settings,
                                 .meter = r.meter,
                                 .memory = &r.memory};
    conf.settings.queue.storage = "";
    conf.settings.queue.queue_size = 1;
    assert_int_equal(gw_edge_new(&conf, &to), 0);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edges[0], to), 0);
    put(&r, 1, 2);
    put(&r, 11, 3);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &no); /* takes the only place */
    gw_test_sink_answer(r.sinks[0], &no); /* waits */
    turn(&r);
    assert_int_equal(letters->n_waiting, 1);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 0);
    assert_int_equal(counts(&r, 0).held, 3);
    gw_test_sink_answer(letters, &OK);
    pass(&r, S);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 2);
    assert_int_equal(counts(&r, 0).held, 0);
    assert_false(gw_edge_is_empty(r.edges[0]));
    gw_test_sink_answer(letters, &no);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 2);
    assert_int_equal(r.sinks[0]->n_waiting, 0);
    assert_int_equal(counts(&r, 0).held, 3);
    assert_false(gw_edge_is_empty(r.edges[0]));
    pass(&r, S);
    assert_int_equal(waiting(&r, 0, names, 4), 3);
    assert_int_equal(names[0], 11);
    assert_int_equal(counts(&r, 0).held, 3);
    gw_edge_close(r.edges[0]);
    gw_edge_close(to);
    gw_edge_free(to);
    free(letters);
    end(&r, STOP);
    start(&r);
    turn(&r);
    assert_int_equal(waiting(&r, 0, names, 4), 3);
    assert_int_equal(names[0], 11);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    tear_down(&r);
}

static void says(const struct gw_attempt *letter, const char *text)
{
    assert_non_null(memmem(letter->body.p, letter->body.n, text, strlen(text)));
}

/*
 * Scenario    partial_success: dead_letter; the sink says OK to three rows and rejects all three; to five and rejects
 *             two; the exporter is closed while the letters are under way
 * Guarantees  it is known which rows the first three are: they are a dead letter; the two of five are among the five of
 *             another one, which says so. None is settled in the log while its letter is not kept
 */
static void rows_that_are_all_rejected_are_a_dead_letter(void **state)
{
    static const struct gw_sent_info all = {.sent = GW_SENT_OK, .rejected_rows = 3, .message = "three are bad"};
    static const struct gw_sent_info two = {.sent = GW_SENT_OK, .rejected_rows = 2, .message = "two are bad"};
    struct gw_test_sink *letters;
    struct gw_edge_conf conf;
    struct gw_edge *to;
    struct gw_err err;
    struct rig r;

    (void)state;
    set_up(&r);
    r.settings.partial_success = GW_PARTIAL_DEAD_LETTER;
    start(&r);
    assert_int_equal(gw_test_exporter.create((void **)&letters, NULL, NULL, &err), 0);
    conf = (struct gw_edge_conf){.env = &r.te.env,
                                 .component = &gw_test_exporter,
                                 .self = letters,
                                 .id = "letters",
                                 .signals = GW_LOGS,
                                 .settings = r.settings,
                                 .meter = r.meter,
                                 .memory = &r.memory};
    conf.settings.queue.storage = "";
    assert_int_equal(gw_edge_new(&conf, &to), 0);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edges[0], to), 0);
    put(&r, 1, 3);
    put(&r, 11, 5);
    turn(&r);
    gw_test_sink_answer(r.sinks[0], &all);
    gw_test_sink_answer(r.sinks[0], &two);
    turn(&r);
    assert_int_equal(counts(&r, 0).dead_lettered, 5);
    assert_int_equal(counts(&r, 0).delivered, 3);
    assert_int_equal(counts(&r, 0).rejected, 0);
    assert_int_equal(letters->n_waiting, 2);
    says(letters->waiting[0], "partial_success");
    says(letters->waiting[0], "sink_rejected");
    says(letters->waiting[0], "dlq.rows\x12\x02\x18\x03");
    says(letters->waiting[1], "dlq.rows\x12\x02\x18\x05");
    says(letters->waiting[1], "dlq.rejected\x12\x02\x18\x02");
    says(letters->waiting[1], "all but 2 of 5 items, and does not say which: two are bad");
    gw_edge_close(r.edges[0]);
    (void)gw_log_work(r.log);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DEAD_LETTERED], 0);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 0);
    gw_test_sink_answer(letters, &OK); /* too late for the rows: they will be a letter once more */
    gw_edge_close(to);
    gw_edge_free(to);
    free(letters);
    tear_down(&r);
}

/*
 * Scenario    an exporter that encodes rows itself
 * Guarantees  it gets its own form, from memory and from the log; batches of it settle every frame
 */
static void an_exporter_with_a_form_of_its_own_gets_that(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.type = &gw_test_text_exporter;
    start(&r);
    put(&r, 7, 2);
    turn(&r);
    assert_int_equal(r.sinks[0]->n_waiting, 1);
    assert_memory_equal(r.sinks[0]->waiting[0]->body.p, "7;8;", 4);
    end(&r, KILL);
    start(&r);
    turn(&r);
    assert_memory_equal(r.sinks[0]->waiting[0]->body.p, "7;8;", 4);
    gw_test_sink_answer(r.sinks[0], &OK);
    turn(&r);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    tear_down(&r);
}

/*
 * Scenario    settlements cannot be written for a while
 * Guarantees  they are tried again until they are; it is said
 */
static void settlements_are_tried_until_they_are_written(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, 7, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->fail_permille = 1000;
    gw_test_sink_answer(r.sinks[0], &OK);
    for (unsigned i = 0; i < 5; i++)
        pass(&r, S);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 0);
    assert_true(gw_test_env_logged(&r.te, "cannot be noted on disk"));
    gw_log_sim_faults(r.log)->fail_permille = 0;
    pass(&r, S);
    pass(&r, S);
    assert_int_equal(consumer(&r, "a").settled[GW_LOG_DELIVERED], 2);
    tear_down(&r);
}

/*
 * Scenario    a frame is damaged on disk before it could be sent
 * Guarantees  its rows are counted as dropped with that reason; its neighbours arrive
 */
static void damaged_rows_are_counted(void **state)
{
    uint64_t names[8], got = 0;
    struct rig r;

    (void)state;
    set_up(&r);
    r.settings.queue.max_memory_bytes = 1;
    r.settings.queue.num_consumers = 1;
    start(&r);
    put(&r, 0, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->damage_permille = 1000;
    put(&r, 10, 2);
    turn(&r);
    gw_log_sim_faults(r.log)->damage_permille = 0;
    put(&r, 20, 2);
    turn(&r);
    for (unsigned i = 0; i < 10; i++) {
        got += waiting(&r, 0, names, 8);
        gw_test_sink_answer(r.sinks[0], &OK);
        pass(&r, 10 * MS);
    }
    assert_int_equal(got, 4);
    assert_int_equal(names[0], 20);
    assert_int_equal(counts(&r, 0).dropped, 2);
    assert_int_equal(counts(&r, 0).held, 0);
    assert_int_equal(consumer(&r, "a").lost_rows, 2);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_is_said_when_the_log_has_it),
        cmocka_unit_test(what_was_not_settled_comes_again_after_a_crash),
        cmocka_unit_test(a_row_is_never_called_as_another),
        cmocka_unit_test(a_dead_sink_spills_and_drains_in_order),
        cmocka_unit_test(no_time_limit_drops_what_is_on_disk),
        cmocka_unit_test(partial_success_survives_a_crash),
        cmocka_unit_test(rows_told_as_taken_are_not_sent_again),
        cmocka_unit_test(merged_and_split_batches_settle_their_rows),
        cmocka_unit_test(stopping_leaves_the_rest_on_disk),
        cmocka_unit_test(a_log_that_cannot_write_refuses),
        cmocka_unit_test(the_door_knows_the_bound_on_disk),
        cmocka_unit_test(the_oldest_go_when_that_was_asked_for),
        cmocka_unit_test(rows_are_not_settled_before_their_dead_letter),
        cmocka_unit_test(rows_that_are_all_rejected_are_a_dead_letter),
        cmocka_unit_test(an_exporter_with_a_form_of_its_own_gets_that),
        cmocka_unit_test(settlements_are_tried_until_they_are_written),
        cmocka_unit_test(damaged_rows_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
