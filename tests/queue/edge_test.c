/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/queue/edge_rig.h"

static uint64_t metric(struct rig *r, const char *name, const char *key, const char *value, const char *key2,
                       const char *value2)
{
    const struct gw_label l[] = {{key, value}, {key2, value2}};
    struct gw_metric *m = gw_meter_get(r->meter, GW_COUNTER, name, "", l, key2 ? 2 : 1);

    return m ? m->value : 0;
}

/*
 * Scenario    two requests, both answered OK
 * Guarantees  they are stored at once, their bytes leave unchanged, and are counted as sent
 */
static void a_queued_request_is_stored_and_then_delivered(void **state)
{
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 100, 3, NULL);
    assert_int_equal(r.ticket->worst, GW_STORED);
    assert_int_equal(r.posted, 1);
    put(&r, GW_LOGS, 200, 2, NULL);
    assert_false(gw_edge_is_empty(r.edge));
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 2);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8), 3);
    assert_int_equal(names[2], 102);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).held, 5);
    assert_true(gw_test_sink_answer(r.sink, &OK));
    assert_true(gw_test_sink_answer(r.sink, &OK));
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 5);
    assert_int_equal(metric(&r, "otelcol_exporter_sent_log_records", "exporter", "scripted", NULL, NULL), 5);
    assert_true(gw_edge_is_empty(r.edge));
    tear_down(&r);
}

/*
 * Scenario    the sink is away twice, then says "retry after 60 s", then takes it
 * Guarantees  pauses are 5 s and 7.5 s ± half of them, then the sink's own wish; the body goes once in the end
 */
static void a_sink_that_is_away_is_tried_again_after_growing_pauses(void **state)
{
    struct gw_sent_info wish = AWAY;
    struct rig r;

    (void)state;
    wish.retry_after_ns = 60 * S;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 1, 1, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    pass(&r, 2400000000u);
    assert_int_equal(r.sink->n_sends, 1);
    pass(&r, 5200000000u);
    assert_int_equal(r.sink->n_sends, 2);
    assert_int_equal(r.sink->waiting[0]->number, 2);
    gw_test_sink_answer(r.sink, &AWAY);
    pass(&r, 3700000000u);
    assert_int_equal(r.sink->n_sends, 2);
    pass(&r, 7600000000u);
    assert_int_equal(r.sink->n_sends, 3);
    gw_test_sink_answer(r.sink, &wish);
    pass(&r, 59 * S);
    assert_int_equal(r.sink->n_sends, 3);
    pass(&r, 1200000000u);
    assert_int_equal(r.sink->n_sends, 4);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 1);
    tear_down(&r);
}

/*
 * Scenario    pauses of two edges with different seeds after the same failure
 * Guarantees  they differ: clients that failed together do not come back together
 */
static void pauses_are_jittered(void **state)
{
    uint64_t at[2] = {0, 0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct rig r;

        set_up(&r);
        r.te.seed = 1000 + i;
        start(&r);
        put(&r, GW_LOGS, 1, 1, NULL);
        turn(&r);
        gw_test_sink_answer(r.sink, &AWAY);
        while (r.sink->n_sends == 1) {
            pass(&r, 10000000u);
            at[i] += 10;
        }
        gw_test_sink_answer(r.sink, &OK);
        tear_down(&r);
    }
    assert_true(at[0] != at[1]);
    assert_true(at[0] >= 2500 && at[0] <= 7600 && at[1] >= 2500 && at[1] <= 7600);
}

/*
 * Scenario    the sink stays away beyond max_elapsed_time; retry off; both without a dead letter port
 * Guarantees  dropped with the reason and logged; never silently
 */
static void giving_up_is_counted_with_its_reason(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.retry.max_elapsed_time_ns = 30 * S;
    start(&r);
    put(&r, GW_LOGS, 1, 4, NULL);
    turn(&r);
    for (unsigned i = 0; i < 40 && !gw_edge_is_empty(r.edge); i++) {
        gw_test_sink_answer(r.sink, &AWAY);
        pass(&r, 2 * S);
    }
    assert_true(gw_edge_is_empty(r.edge));
    assert_int_equal(dropped(&r, "retry_exhausted"), 4);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dropped, 4);
    assert_true(gw_test_env_logged(&r.te, "Exporting failed. Dropping data. retry_exhausted: away (dropped_items: 4)"));
    assert_int_equal(metric(&r, "otelcol_exporter_send_failed_log_records", "exporter", "scripted", NULL, NULL), 4);
    tear_down(&r);
    set_up(&r);
    r.conf.settings.retry.enabled = false;
    start(&r);
    put(&r, GW_LOGS, 1, 2, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    assert_int_equal(r.sink->n_sends, 1);
    assert_int_equal(dropped(&r, "retry_disabled"), 2);
    tear_down(&r);
}

/*
 * Scenario    a permanent failure, with a dead letter port wired to an exporter that encodes rows itself
 * Guarantees  nothing is dropped; one record reaches the other exporter
 */
static void what_a_sink_will_never_take_becomes_a_dead_letter(void **state)
{
    static const struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "bad"};
    struct gw_test_sink *letters;
    struct gw_edge *to;
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    to = new_edge(&r, &gw_test_text_exporter, "letters", &letters);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edge, to), 0);
    assert_int_equal(gw_edge_add_dead_letter(to, r.edge), -ELOOP);
    put(&r, GW_TRACES, 1, 3, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &no);
    turn(&r);
    assert_int_equal(gw_edge_counts(r.edge, GW_TRACES).dead_lettered, 3);
    assert_int_equal(gw_edge_counts(r.edge, GW_TRACES).dropped, 0);
    assert_int_equal(letters->n_waiting, 1);
    assert_int_equal(letters->waiting[0]->rows, 1);
    gw_test_sink_answer(letters, &OK);
    assert_int_equal(gw_edge_counts(to, GW_LOGS).delivered, 1);
    gw_edge_close(r.edge);
    gw_edge_close(to);
    gw_edge_free(to);
    free(letters);
    tear_down(&r);
}

/* message: what the sink says; or NULL. */
static void a_dead_letter_waits(const char *message)
{
    char texts[2][16] = {"http_400", ""};
    struct gw_sent_info no = {.sent = GW_SENT_PERMANENT, .reason = texts[0], .message = message ? texts[1] : NULL};
    struct gw_test_sink *letters;
    struct gw_edge *to;
    struct gw_buf body;
    struct rig r;

    set_up(&r);
    r.conf.config = "0123456789abcdef";
    start(&r);
    r.conf.settings.queue.queue_size = 1;
    to = new_edge(&r, &gw_test_exporter, "letters", &letters);
    assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r.edge, to), 0);
    assert_true(gw_edge_reserve(to, GW_LOGS, 1, false));
    gw_buf_init(&body, 4096);
    gw_test_request(&body, GW_LOGS, 77, 1);
    put(&r, GW_LOGS, 77, 1, NULL);
    turn(&r);
    strcpy(texts[1], message ? message : "");
    gw_test_sink_answer(r.sink, &no);
    memset(texts, '-', sizeof(texts)); /* the exporter's texts are gone */
    pass(&r, S);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).held, 1);
    gw_edge_unreserve(to, GW_LOGS, 1);
    pass(&r, S);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dead_lettered, 1);
    assert_int_equal(letters->n_waiting, 1);
    assert_true(contains(letters->waiting[0]->body, body.p, body.n));
    assert_true(contains(letters->waiting[0]->body, "http_400", 8));
    assert_true(contains(letters->waiting[0]->body, "0123456789abcdef", 16));
    assert_true(contains(letters->waiting[0]->body, "dlq.class", 9));
    assert_int_equal(contains(letters->waiting[0]->body, "dlq.message", 11), message != NULL);
    if (message)
        assert_true(contains(letters->waiting[0]->body, message, strlen(message)));
    gw_buf_clear(&body);
    gw_test_sink_answer(letters, &OK);
    gw_edge_close(to);
    gw_edge_close(r.edge);
    gw_edge_free(to);
    free(letters);
    tear_down(&r);
}

/*
 * Scenario    the dead letter's queue is full when a row has to go there, and has room later; the sink says why, or not
 * Guarantees  the job waits, keeps its reason, and the letter holds the original bytes, why, and by which configuration
 */
static void a_dead_letter_waits_for_room_and_keeps_its_reason(void **state)
{
    (void)state;
    a_dead_letter_waits("bad name");
    a_dead_letter_waits(NULL);
}

/*
 * Scenario    a sink that takes at most two rows at once gets seven; one of them is too large alone
 * Guarantees  every other row is delivered once, the bad one is dropped as too_large
 */
static void a_body_that_is_too_large_is_halved_down_to_one_row(void **state)
{
    static const struct gw_sent_info large = {.sent = GW_SENT_TOO_LARGE, .reason = "http_413"};
    unsigned seen[7] = {0};
    uint64_t names[8];
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.wait_for_result = true;
    start(&r);
    put(&r, GW_LOGS, 0, 7, NULL);
    turn(&r);
    while (r.sink->n_waiting) {
        unsigned n = gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8);
        bool fits = n <= 2 && !(n == 1 && names[0] == 4) && !(n == 2 && (names[0] == 4 || names[1] == 4));

        assert_int_equal(n, r.sink->waiting[0]->rows);
        for (unsigned i = 0; i < n && fits; i++)
            seen[names[i]]++;
        gw_test_sink_answer(r.sink, fits ? &OK : &large);
        turn(&r);
    }
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(seen[i], i != 4);
    assert_int_equal(dropped(&r, "too_large"), 1);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 6);
    assert_int_equal(r.posted, 1);
    assert_int_equal(r.ticket->worst, GW_FAILED);
    tear_down(&r);
}

/*
 * Scenario    wait_for_result: OK with two rows rejected, then a permanent failure with a status, then an absent sink
 * Guarantees  the ticket hears of it only then: counts, message, status
 */
static void with_wait_for_result_the_client_hears_the_sinks_answer(void **state)
{
    static const struct gw_sent_info partial = {.sent = GW_SENT_OK, .rejected_rows = 2, .message = "two are bad"};
    static const struct gw_sent_info no = {
        .sent = GW_SENT_PERMANENT, .reason = "grpc_3", .message = "no", .grpc_status = 3};
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.wait_for_result = true;
    r.conf.settings.retry.enabled = false;
    start(&r);
    put(&r, GW_LOGS, 0, 5, NULL);
    turn(&r);
    assert_int_equal(r.posted, 0);
    gw_test_sink_answer(r.sink, &partial);
    assert_int_equal(r.posted, 1);
    assert_int_equal(r.ticket->rejected, 2);
    assert_string_equal(r.ticket->message, "two are bad");
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).rejected, 2);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 3);
    put(&r, GW_LOGS, 0, 5, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &no);
    assert_int_equal(r.ticket->worst, GW_FAILED);
    assert_int_equal(r.ticket->grpc_status, 3);
    put(&r, GW_LOGS, 0, 5, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    assert_int_equal(r.ticket->worst, GW_REFUSED);
    assert_int_equal(r.ticket->grpc_status, 14);
    tear_down(&r);
}

/*
 * Scenario    batch {min_size 10, max_size 4 … } by rows, by time, and split
 * Guarantees  a batch leaves at min_size, or after flush_timeout, in pieces of at most max_size rows, in order
 */
static void requests_are_batched_by_size_and_by_time(void **state)
{
    uint64_t names[32];
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.has_batch = true;
    r.conf.settings.queue.batch.min_size = 10;
    r.conf.settings.queue.batch.max_size = 8;
    start(&r);
    put(&r, GW_LOGS, 0, 6, NULL);
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 0);
    put(&r, GW_LOGS, 6, 6, NULL);
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 2);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 32), 8);
    assert_int_equal(names[0], 0);
    assert_int_equal(names[7], 7);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[1]->body, names, 32), 4);
    assert_int_equal(names[0], 8);
    gw_test_sink_answer(r.sink, &OK);
    gw_test_sink_answer(r.sink, &OK);
    put(&r, GW_LOGS, 20, 1, NULL);
    put(&r, GW_LOGS, 21, 1, NULL);
    turn(&r);
    pass(&r, 100000000u);
    assert_int_equal(r.sink->n_waiting, 0);
    pass(&r, 110000000u);
    assert_int_equal(r.sink->n_waiting, 1);
    assert_int_equal(r.sink->waiting[0]->rows, 2);
    gw_test_sink_answer(r.sink, &OK);
    put(&r, GW_LOGS, 30, 1, NULL);
    turn(&r);
    gw_edge_drain(r.edge);
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 1);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 15);
    tear_down(&r);
}

/*
 * Scenario    two requests of 30,000 rows each become one batch, of more than is put behind its head; twice
 * Guarantees  every row is in it once, in order, and its memory is given back
 */
static void a_batch_of_many_rows_is_whole(void **state)
{
    enum { N = 30000 };
    uint64_t *names = calloc(2 * N, sizeof(*names));
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.has_batch = true;
    r.conf.settings.queue.batch.min_size = 2 * N;
    start(&r);
    for (unsigned round = 0; round < 2; round++) {
        put(&r, GW_LOGS, 0, N, NULL);
        put(&r, GW_LOGS, N, N, NULL);
        turn(&r);
        assert_int_equal(r.sink->n_waiting, 1);
        assert_true(r.sink->waiting[0]->body.n > 300000);
        assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 2 * N), 2 * N);
        for (unsigned i = 0; i < 2 * N; i++)
            assert_int_equal(names[i], i);
        gw_test_sink_answer(r.sink, &OK);
    }
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 4 * N);
    tear_down(&r);
    free(names);
}

/*
 * Scenario    three requests: tenant a, tenant b, none, and again a; metadata_keys [x-tenant]
 * Guarantees  one batch per value, and unset is not empty
 */
static void batches_do_not_mix_metadata_values(void **state)
{
    static const char *keys[] = {"x-tenant"};
    const char *values[] = {"a", "b", "", "a"};
    struct gw_meta *m[4];
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.has_batch = true;
    r.conf.settings.queue.batch.partition.metadata_keys = (struct gw_list){keys, 1, sizeof(keys[0])};
    start(&r);
    for (unsigned i = 0; i < 4; i++) {
        struct gw_meta_pair p = {GW_SLICE("x-tenant"), gw_slice_cstr(values[i])};

        m[i] = gw_meta_new(&(struct gw_meta){.pairs = &p, .n_pairs = 1});
        put(&r, GW_LOGS, i, 1, m[i]);
    }
    put(&r, GW_LOGS, 9, 1, NULL);
    pass(&r, 1000000u);
    pass(&r, 300000000u);
    assert_int_equal(r.sink->n_waiting, 4);
    for (unsigned i = 0, two = 0; i < 4; i++) {
        two += r.sink->waiting[i]->rows == 2;
        assert_true(i < 3 || two == 1);
    }
    while (gw_test_sink_answer(r.sink, &OK))
        ;
    for (unsigned i = 0; i < 4; i++)
        (void)gw_meta_unref(m[i]);
    tear_down(&r);
}

/*
 * Scenario    queue_size 3 by requests, by items, by bytes; a request larger than the queue; one that waits
 * Guarantees  the fourth is refused, a giant passes an empty queue, room is announced once
 */
static void a_full_queue_refuses_at_the_door(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.queue_size = 3;
    start(&r);
    for (unsigned i = 0; i < 3; i++)
        assert_true(gw_edge_reserve(r.edge, GW_LOGS, gw_edge_units(r.edge, 1, 50, 9000), false));
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    assert_true(gw_edge_reserve(r.edge, GW_TRACES, 1, false));
    gw_edge_unreserve(r.edge, GW_TRACES, 1);
    gw_edge_unreserve(r.edge, GW_LOGS, 1);
    assert_int_equal(r.rooms, 0);
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 1, true));
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 1, true));
    gw_edge_unreserve(r.edge, GW_LOGS, 2);
    gw_edge_unreserve(r.edge, GW_LOGS, 1);
    assert_int_equal(r.rooms, 1);
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 1000, false));
    gw_edge_unreserve(r.edge, GW_LOGS, 1000);
    tear_down(&r);
    set_up(&r);
    r.conf.settings.queue.sizer = GW_SIZER_ITEMS;
    start(&r);
    assert_int_equal(gw_edge_units(r.edge, 1, 50, 9000), 50);
    tear_down(&r);
    set_up(&r);
    r.conf.settings.queue.sizer = GW_SIZER_BYTES;
    start(&r);
    assert_int_equal(gw_edge_units(r.edge, 1, 50, 9000), 9000);
    tear_down(&r);
}

/*
 * Scenario    a place is reserved, the rows are put, delivered
 * Guarantees  put uses the reservation; the place is free again only after the answer
 */
static void a_place_is_held_until_the_answer(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.queue_size = 1;
    start(&r);
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    r.reserved = 1;
    put(&r, GW_LOGS, 0, 1, NULL);
    assert_int_equal(r.reserved, 0);
    turn(&r);
    assert_false(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    gw_test_sink_answer(r.sink, &OK);
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 1, false));
    tear_down(&r);
}

/*
 * Scenario    num_consumers 2 and five requests; then the queue switched off and five more
 * Guarantees  two are under way at a time, all five without a queue
 */
static void at_most_num_consumers_are_under_way(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.num_consumers = 2;
    start(&r);
    for (unsigned i = 0; i < 5; i++)
        put(&r, GW_LOGS, i, 1, NULL);
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 2);
    while (gw_test_sink_answer(r.sink, &OK))
        ;
    assert_int_equal(r.sink->n_sends, 5);
    assert_int_equal(r.sink->n_most, 2);
    tear_down(&r);
    set_up(&r);
    r.conf.settings.queue.enabled = false;
    start(&r);
    for (unsigned i = 0; i < 5; i++)
        put(&r, GW_LOGS, i, 1, NULL);
    assert_int_equal(r.posted, 0);
    turn(&r);
    assert_int_equal(r.sink->n_waiting, 5);
    while (gw_test_sink_answer(r.sink, &OK))
        ;
    assert_int_equal(r.posted, 5);
    tear_down(&r);
}

/*
 * Scenario    no answer within the timeout of 5 s
 * Guarantees  the attempt is cancelled and, whatever the exporter calls that, tried again; the log says why there was
 *             no answer when the exporter knows
 */
static void an_attempt_without_an_answer_is_cancelled_and_repeated(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 0, 1, NULL);
    turn(&r);
    pass(&r, 4900000000u);
    assert_int_equal(r.sink->n_cancelled, 0);
    pass(&r, 200000000u);
    assert_int_equal(r.sink->n_cancelled, 1);
    assert_true(gw_test_env_logged(&r.te, "timeout: no answer in time"));
    pass(&r, 8 * S);
    assert_int_equal(r.sink->n_sends, 2);
    r.sink->knows_why = "the door is shut";
    pass(&r, 5100000000u);
    assert_int_equal(r.sink->n_cancelled, 2);
    assert_true(gw_test_env_logged(&r.te, "timeout: the door is shut"));
    pass(&r, 12 * S);
    assert_int_equal(r.sink->n_sends, 3);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 1);
    tear_down(&r);
}

/*
 * Scenario    the sink took two of five rows and wants the rest again
 * Guarantees  only the rest goes again, and the counts are exact
 */
static void only_what_is_left_goes_again(void **state)
{
    struct gw_sent_info rest = AWAY;
    struct gw_buf left;
    uint64_t names[8];
    struct rig r;

    (void)state;
    gw_buf_init(&left, 4096);
    gw_test_request(&left, GW_LOGS, 2, 3);
    rest.left = gw_buf_slice(&left);
    rest.left_rows = 3;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 0, 5, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &rest);
    gw_buf_clear(&left);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 2);
    pass(&r, 8 * S);
    assert_int_equal(gw_test_names(GW_LOGS, r.sink->waiting[0]->body, names, 8), 3);
    assert_int_equal(names[0], 2);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 5);
    tear_down(&r);
}

/*
 * Scenario    one request in a pause of its own, one in a pause that the sink asked for, when the drain begins
 * Guarantees  the first is tried within half a second, and again so; the sink's wish of 60 s is kept
 */
static void a_drain_does_not_sit_out_long_pauses(void **state)
{
    struct gw_sent_info wish = AWAY;
    struct rig r;

    (void)state;
    wish.retry_after_ns = 60 * S;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 0, 1, NULL);
    put(&r, GW_LOGS, 1, 1, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    gw_test_sink_answer(r.sink, &wish);
    gw_edge_drain(r.edge);
    turn(&r);
    pass(&r, 510000000u);
    assert_int_equal(r.sink->n_waiting, 1);
    gw_test_sink_answer(r.sink, &AWAY);
    pass(&r, 510000000u);
    assert_int_equal(r.sink->n_waiting, 1);
    gw_test_sink_answer(r.sink, &OK);
    pass(&r, 58 * S);
    assert_int_equal(r.sink->n_waiting, 0);
    pass(&r, 2 * S);
    assert_int_equal(r.sink->n_waiting, 1);
    gw_test_sink_answer(r.sink, &OK);
    tear_down(&r);
}

/*
 * Scenario    a client that waits for the sink gives up in 8 s; the sink is away; the same without waiting
 * Guarantees  no attempt after the client is gone: refused, counted as "deadline"; a queued request goes on
 */
static void nobody_is_tried_for_who_has_given_up(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.enabled = false;
    start(&r);
    r.deadline_ns = gw_mono_ns(&r.te.env) + 8 * S;
    put(&r, GW_LOGS, 0, 2, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    pass(&r, 7600000000u);
    if (gw_test_sink_answer(r.sink, &AWAY))
        assert_int_equal(r.sink->n_sends, 2);
    assert_int_equal(dropped(&r, "deadline"), 2);
    assert_int_equal(r.ticket->worst, GW_REFUSED);
    tear_down(&r);
    set_up(&r);
    start(&r);
    r.deadline_ns = gw_mono_ns(&r.te.env) + 8 * S;
    put(&r, GW_LOGS, 0, 2, NULL);
    turn(&r);
    for (unsigned i = 0; i < 3; i++) {
        gw_test_sink_answer(r.sink, &AWAY);
        pass(&r, 20 * S);
    }
    assert_int_equal(r.sink->n_sends, 4);
    gw_test_sink_answer(r.sink, &OK);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 2);
    tear_down(&r);
}

/*
 * Scenario    wait_for_result and one consumer, which is busy; a client behind it gives up in 8 s; the sink answers
 * later Guarantees  its rows are never sent: DEADLINE_EXCEEDED, counted as "deadline"
 */
static void a_turn_that_comes_after_the_deadline_is_not_taken(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.wait_for_result = true;
    r.conf.settings.queue.num_consumers = 1;
    r.conf.settings.timeout_ns = 0;
    start(&r);
    put(&r, GW_LOGS, 0, 1, NULL);
    turn(&r);
    r.deadline_ns = gw_mono_ns(&r.te.env) + 8 * S;
    put(&r, GW_LOGS, 1, 2, NULL);
    turn(&r);
    pass(&r, 9 * S);
    assert_int_equal(r.sink->n_waiting, 1);
    gw_test_sink_answer(r.sink, &OK);
    turn(&r);
    assert_int_equal(r.sink->n_sends, 1);
    assert_int_equal(dropped(&r, "deadline"), 2);
    assert_int_equal(r.ticket->worst, GW_REFUSED);
    assert_int_equal(r.ticket->grpc_status, 4);
    tear_down(&r);
}

/*
 * Scenario    closed with one attempt under way, one in a pause and one pending
 * Guarantees  the attempt is cancelled; all rows are dropped as "shutdown", waiting clients hear UNAVAILABLE
 */
static void closing_counts_what_it_could_not_send(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.num_consumers = 2;
    r.conf.settings.queue.wait_for_result = true;
    start(&r);
    put(&r, GW_LOGS, 0, 1, NULL);
    turn(&r);
    gw_test_sink_answer(r.sink, &AWAY);
    put(&r, GW_LOGS, 1, 1, NULL);
    turn(&r);
    gw_edge_close(r.edge);
    assert_int_equal(r.sink->n_cancelled, 1);
    assert_true(r.sink->closed);
    assert_true(gw_edge_counts(r.edge, GW_LOGS).dropped == 2);
    assert_int_equal(r.ticket->worst >= GW_FAILED, 1);
    tear_down(&r);
}

/*
 * Scenario    a sink that answers inside of send, 2000 requests pending
 * Guarantees  all are sent without recursion, in order
 */
static void answers_from_inside_of_send_do_not_pile_up(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    r.conf.settings.queue.queue_size = 5000;
    r.conf.settings.queue.num_consumers = 1;
    start(&r);
    r.sink->at_once = true;
    r.sink->info = OK;
    for (unsigned i = 0; i < 2000; i++)
        put(&r, GW_LOGS, i, 1, NULL);
    turn(&r);
    assert_int_equal(r.sink->n_sends, 2000);
    assert_true(gw_edge_is_empty(r.edge));
    tear_down(&r);
}

/*
 * Scenario    the process' memory is used up when rows have to be encoded
 * Guarantees  they are refused, so that the client sends them again; nothing is half counted
 */
static void without_memory_rows_are_refused(void **state)
{
    struct rig r;

    (void)state;
    set_up(&r);
    start(&r);
    assert_true(gw_credit_take(&r.memory, (1u << 30) - 10));
    put(&r, GW_LOGS, 0, 3, NULL);
    assert_int_equal(r.ticket->worst, GW_REFUSED);
    assert_int_equal(r.posted, 1);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).in, 0);
    gw_credit_give(&r.memory, (1u << 30) - 10);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queued_request_is_stored_and_then_delivered),
        cmocka_unit_test(a_sink_that_is_away_is_tried_again_after_growing_pauses),
        cmocka_unit_test(pauses_are_jittered),
        cmocka_unit_test(giving_up_is_counted_with_its_reason),
        cmocka_unit_test(what_a_sink_will_never_take_becomes_a_dead_letter),
        cmocka_unit_test(a_dead_letter_waits_for_room_and_keeps_its_reason),
        cmocka_unit_test(a_body_that_is_too_large_is_halved_down_to_one_row),
        cmocka_unit_test(with_wait_for_result_the_client_hears_the_sinks_answer),
        cmocka_unit_test(requests_are_batched_by_size_and_by_time),
        cmocka_unit_test(a_batch_of_many_rows_is_whole),
        cmocka_unit_test(batches_do_not_mix_metadata_values),
        cmocka_unit_test(a_full_queue_refuses_at_the_door),
        cmocka_unit_test(a_place_is_held_until_the_answer),
        cmocka_unit_test(at_most_num_consumers_are_under_way),
        cmocka_unit_test(an_attempt_without_an_answer_is_cancelled_and_repeated),
        cmocka_unit_test(only_what_is_left_goes_again),
        cmocka_unit_test(a_drain_does_not_sit_out_long_pauses),
        cmocka_unit_test(nobody_is_tried_for_who_has_given_up),
        cmocka_unit_test(a_turn_that_comes_after_the_deadline_is_not_taken),
        cmocka_unit_test(closing_counts_what_it_could_not_send),
        cmocka_unit_test(answers_from_inside_of_send_do_not_pile_up),
        cmocka_unit_test(without_memory_rows_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
