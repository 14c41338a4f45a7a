/* SPDX-License-Identifier: Apache-2.0 */
/* What requests keep when they become one batch, and when a batch becomes pieces: who waits, how long, for whom. */
#include "tests/queue/edge_rig.h"

static const struct gw_sent_info LARGE = {.sent = GW_SENT_TOO_LARGE, .message = "413"};

/* Clients wait for the sink's answer; requests are one batch when they are six rows. */
static void set_up_waiting(struct rig *r)
{
    set_up(r);
    r->conf.settings.queue.wait_for_result = true;
    r->conf.settings.queue.has_batch = true;
    r->conf.settings.queue.batch.min_size = 6;
    r->conf.settings.queue.batch.flush_timeout_ns = 60 * S;
    r->conf.settings.retry.initial_interval_ns = S;
    r->conf.settings.retry.randomization_factor = 0;
    r->conf.settings.retry.multiplier = 1;
    r->conf.settings.breaker.enabled = false;
}

/* A sink that is away, until the batch is given up: how often it was asked, once a second. */
static unsigned tries_until_given_up(uint64_t first_ns, uint64_t second_ns, uint64_t third_ns)
{
    const uint64_t deadlines[] = {first_ns, second_ns, third_ns};
    unsigned n = 0;
    uint64_t now;
    struct rig r;

    set_up_waiting(&r);
    start(&r);
    now = gw_mono_ns(&r.te.env);
    for (unsigned i = 0; i < 3; i++) {
        r.deadline_ns = deadlines[i] ? now + deadlines[i] : 0;
        put(&r, GW_LOGS, 10 * i, 2, NULL);
    }
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 1);
    for (; n < 30 && !gw_edge_is_empty(r.edge); n++) {
        gw_test_sink_answer(r.sink, &AWAY);
        pass(&r, S);
    }
    if (n < 30) {
        assert_int_equal(r.posted, 3);
        assert_int_equal(r.ticket->worst, GW_REFUSED);
    }
    gw_test_sink_answer(r.sink, &OK);
    tear_down(&r);
    return n;
}

/*
 * Scenario    three waiting clients in one batch, with deadlines of 5, 10 and 3 seconds; without a deadline for one
 * Guarantees  trying goes on while any of them waits, and not longer; who has no deadline is tried for until the
 * queue's own end
 */
static void a_batch_is_tried_as_long_as_anybody_waits(void **state)
{
    (void)state;
    assert_in_range(tries_until_given_up(5 * S, 10 * S, 3 * S), 10, 11);
    assert_in_range(tries_until_given_up(10 * S, 3 * S, 5 * S), 10, 11);
    assert_in_range(tries_until_given_up(3 * S, 5 * S, 10 * S), 10, 11);
    assert_int_equal(tries_until_given_up(5 * S, 0, 3 * S), 30);
    assert_int_equal(tries_until_given_up(0, 5 * S, 3 * S), 30);
}

/*
 * Scenario    a batch of requests that came with metadata is sent, found too large, and sent in halves
 * Guarantees  the sink is told the metadata each time
 */
static void metadata_goes_with_batches_and_pieces(void **state)
{
    struct gw_meta_pair pair = {GW_SLICE("x-tenant"), GW_SLICE("acme")};
    struct gw_meta *m = gw_meta_new(&(struct gw_meta){.pairs = &pair, .n_pairs = 1});
    struct gw_slice value;
    struct rig r;

    (void)state;
    set_up_waiting(&r);
    start(&r);
    for (unsigned i = 0; i < 3; i++)
        put(&r, GW_LOGS, 10 * i, 2, m);
    turn(&r);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(r.sink->n_waiting > 0 && r.sink->waiting[0]->meta);
        assert_true(gw_meta_find(r.sink->waiting[0]->meta, GW_SLICE("x-tenant"), 0, &value));
        assert_true(gw_slice_is(value, "acme"));
        gw_test_sink_answer(r.sink, i == 0 ? &LARGE : &OK);
    }
    assert_int_equal(r.ticket->worst, GW_DELIVERED);
    (void)gw_meta_unref(m);
    tear_down(&r);
}

/*
 * Scenario    a batch of three clients' rows is halved; the sink rejects a row of the first half, refuses the second
 * Guarantees  each client hears of its own rows: the first is stored but for one row, the second in part, the third not
 */
static void pieces_answer_those_whose_rows_they_have(void **state)
{
    static const struct gw_sent_info partial = {.sent = GW_SENT_OK, .rejected_rows = 1, .message = "one is bad"};
    static const struct gw_sent_info no = {
        .sent = GW_SENT_PERMANENT, .reason = "grpc_3", .message = "no", .grpc_status = 3};
    struct gw_ticket *t[3];
    struct rig r;

    (void)state;
    set_up_waiting(&r);
    start(&r);
    for (unsigned i = 0; i < 3; i++) {
        put(&r, GW_LOGS, 10 * i, 2, NULL);
        t[i] = gw_ticket_ref(r.ticket);
    }
    turn(&r);
    gw_test_sink_answer(r.sink, &LARGE);
    assert_int_equal(r.sink->n_waiting, 2);
    gw_test_sink_answer(r.sink, &partial); /* 0 1 10 */
    assert_int_equal(r.posted, 1);
    gw_test_sink_answer(r.sink, &no); /* 11 20 21 */
    assert_int_equal(r.posted, 3);
    assert_int_equal(t[0]->worst, GW_REJECTED);
    assert_int_equal(t[0]->rejected, 1);
    assert_string_equal(t[0]->message, "one is bad");
    assert_true(gw_test_env_logged(&r.te, "Partial success: the sink rejected 1 items. one is bad"));
    assert_int_equal(t[1]->worst, GW_FAILED);
    assert_int_equal(t[1]->rejected, 0);
    assert_int_equal(t[1]->grpc_status, 3);
    assert_string_equal(t[1]->message, "no");
    assert_string_equal(t[2]->message, "no");
    for (unsigned i = 0; i < 3; i++)
        (void)gw_ticket_unref(t[i]);
    tear_down(&r);
}

/* The sink has all of its attempt's rows but n, which are named from `first` on; it says how many they are. */
static void answer_but(struct rig *r, uint64_t first, unsigned n, uint32_t said)
{
    struct gw_sent_info part = AWAY;
    struct gw_buf left;

    gw_buf_init(&left, 65536);
    gw_test_request(&left, GW_LOGS, first, n);
    part.left = gw_buf_slice(&left);
    part.left_rows = said;
    gw_test_sink_answer(r->sink, &part);
    gw_buf_clear(&left);
}

/*
 * Scenario    a client waits; the sink takes two of its six rows, then three of the four that are left, then the last
 * Guarantees  only what is left is sent again; the client hears once, when all of it is there
 */
static void who_waits_hears_when_all_parts_are_there(void **state)
{
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up_waiting(&r);
    start(&r);
    put(&r, GW_LOGS, 0, 6, NULL);
    turn(&r);
    answer_but(&r, 2, 4, 4);
    pass(&r, 2 * S);
    assert_int_equal(r.sink->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8), 4);
    assert_int_equal(names[0], 2);
    answer_but(&r, 5, 1, 1);
    pass(&r, 2 * S);
    assert_int_equal(r.sink->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8), 1);
    assert_int_equal(names[0], 5);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 5);
    assert_int_equal(r.posted, 0);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(r.posted, 1);
    assert_int_equal(r.ticket->worst, GW_DELIVERED);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 6);
    tear_down(&r);
}

/*
 * Scenario    the sink takes two of six rows that nobody waits for; what is left is too large for it
 * Guarantees  what is left is halved like any other body
 */
static void what_is_left_can_be_halved(void **state)
{
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.retry.initial_interval_ns = S;
    start(&r);
    put(&r, GW_LOGS, 0, 6, NULL);
    turn(&r);
    answer_but(&r, 2, 4, 4);
    pass(&r, 2 * S);
    gw_test_sink_answer(r.sink, &LARGE);
    assert_int_equal(r.sink->n_waiting, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8), 2);
        assert_int_equal(names[0], 2 + 2 * i);
        gw_test_sink_answer(r.sink, &OK);
    }
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 6);
    tear_down(&r);
}

/*
 * Scenario    a request takes one place of a queue of two although the door took none for it, as after a reload
 * Guarantees  its room is counted from then on, and given back once
 */
static void what_the_door_did_not_take_is_taken(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.queue_size = 2;
    start(&r);
    put(&r, GW_LOGS, 0, 6, NULL);
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 2, false));
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    r.reserved = 2; /* one of them another edge's */
    put(&r, GW_LOGS, 10, 6, NULL);
    assert_int_equal(r.reserved, 1);
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    turn(&r);
    gw_test_sink_answer(r.sink, &OK);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_excess(r.edge, GW_LOGS, 2), 0);
    tear_down(&r);
}

static unsigned n_shown;
static void on_sample(void *arg, const struct gw_edge_sample *s)
{
    (void)arg;
    assert_string_equal(s->reason, "shutdown");
    n_shown++;
}

/*
 * Scenario    the gateway stops while one request is with the sink and two wait behind it, with clients that wait for
 * the answer and without Guarantees  rows that nobody else has are shown among the dropped; those that clients still
 * have are not
 */
static void what_clients_still_have_is_not_shown(void **state)
{
    unsigned shown[2];

    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        struct rig r;

        set_up(&r);
        n_shown = 0;
        r.conf.sample = on_sample;
        r.conf.settings.queue.wait_for_result = waits;
        r.conf.settings.queue.num_consumers = 1;
        start(&r);
        for (unsigned i = 0; i < 3; i++)
            put(&r, GW_LOGS, 10 * i, 2, NULL);
        turn(&r);
        assert_int_equal(r.sink->n_waiting, 1);
        gw_edge_close(r.edge);
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dropped, 6);
        shown[waits] = n_shown;
        tear_down(&r);
    }
    assert_int_equal(shown[0], shown[1] + 2);
}

/*
 * Scenario    a sink with a remark to what it takes
 * Guarantees  the client hears OK, and nothing else
 */
static void a_remark_is_no_complaint(void **state)
{
    static const struct gw_sent_info remark = {.sent = GW_SENT_OK, .message = "this version is old"};
    struct rig r;

    (void)state;
    set_up_waiting(&r);
    start(&r);
    put(&r, GW_LOGS, 0, 6, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &remark);
    assert_int_equal(r.ticket->worst, GW_DELIVERED);
    assert_string_equal(r.ticket->message, "");
    tear_down(&r);
}

/*
 * Scenario    the sink says it has all but three rows and gives back four, or five; then that is too large for it
 * Guarantees  it is not cut where nobody knows what it is: buried whole, and counted as it was told; nothing leaks
 */
static void what_is_not_what_it_was_said_to_be_is_not_cut(void **state)
{
    (void)state;
    for (uint32_t said = 3; said <= 5; said += 2) {
        struct rig r;

        set_up(&r);
        r.conf.settings.retry.initial_interval_ns = S;
        start(&r);
        put(&r, GW_LOGS, 0, 6, NULL);
        turn(&r);
        answer_but(&r, 2, 4, said);
        pass(&r, 2 * S);
        assert_int_equal(r.sink->n_waiting, 1);
        gw_test_sink_answer(r.sink, &LARGE);
        assert_int_equal(r.sink->n_waiting, 0);
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dropped, said);
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 6 - said);
        assert_true(gw_edge_is_empty(r.edge));
        tear_down(&r);
    }
}

/*
 * Scenario    a queue with room for ten rows, full of one batch of ten that is sent in pieces of three
 * Guarantees  each piece gives back its own room, and all of them all
 */
static void pieces_give_back_the_room_of_the_whole(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.sizer = GW_SIZER_ITEMS;
    r.conf.settings.queue.queue_size = 10;
    r.conf.settings.queue.has_batch = true;
    r.conf.settings.queue.batch.min_size = 10;
    r.conf.settings.queue.batch.max_size = 3;
    start(&r);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(gw_edge_reserve(r.edge, GW_LOGS, 5, false));
        r.reserved = 5;
        put(&r, GW_LOGS, 10 * i, 5, NULL);
    }
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 4);
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_excess(r.edge, GW_LOGS, 3), 0);
    assert_int_equal(gw_edge_excess(r.edge, GW_LOGS, 4), 1);
    for (unsigned i = 0; i < 3; i++)
        gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_excess(r.edge, GW_LOGS, 10), 0);
    assert_int_equal(gw_edge_excess(r.edge, GW_LOGS, 11), 0); /* larger than an empty queue */
    assert_int_equal(gw_edge_drained(r.edge, GW_LOGS), 10);
    assert_true(gw_edge_is_empty(r.edge));
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_tried_as_long_as_anybody_waits),
        cmocka_unit_test(metadata_goes_with_batches_and_pieces),
        cmocka_unit_test(pieces_answer_those_whose_rows_they_have),
        cmocka_unit_test(who_waits_hears_when_all_parts_are_there),
        cmocka_unit_test(what_is_left_can_be_halved),
        cmocka_unit_test(what_the_door_did_not_take_is_taken),
        cmocka_unit_test(what_clients_still_have_is_not_shown),
        cmocka_unit_test(a_remark_is_no_complaint),
        cmocka_unit_test(what_is_not_what_it_was_said_to_be_is_not_cut),
        cmocka_unit_test(pieces_give_back_the_room_of_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
