/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks that become one and stay where they are, for an exporter that takes a body in parts. */
#include "tests/queue/edge_rig.h"

static const struct gw_sent_info LARGE = {.sent = GW_SENT_TOO_LARGE, .message = "413"};
static const struct gw_sent_info NO = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "no"};

/* ROWS: of a request: a dozen bytes each, so that it is large enough to stay. */
enum { ROWS = 4000, MAX_NAMES = 64 * ROWS };
static uint64_t names[MAX_NAMES];

/* Requests are one batch when there are so many of them. */
static void set_up_parts(struct rig *r, unsigned requests)
{
    set_up(r);
    r->conf.settings.queue.has_batch = true;
    r->conf.settings.queue.batch.min_size = (uint64_t)requests * ROWS;
    r->conf.settings.queue.batch.flush_timeout_ns = 60 * S;
    r->conf.settings.retry.initial_interval_ns = S;
    r->conf.settings.retry.randomization_factor = 0;
    r->conf.settings.retry.multiplier = 1;
    r->conf.settings.breaker.enabled = false;
}

static void start_with(struct rig *r, const struct gw_component *exporter)
{
    r->edge = new_edge(r, exporter, "scripted", &r->sink);
    assert_int_equal(gw_edge_open(r->edge, r->loop, NULL), 0);
}

static void put_all(struct rig *r, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++)
        put(r, GW_LOGS, i * ROWS, ROWS, NULL);
    turn(r);
}

/* All rows of the attempt, in their order, from `first` on. */
static void assert_names(const struct gw_attempt *a, uint64_t first, unsigned n)
{
    struct gw_rope rope = gw_attempt_rope(a);
    struct gw_buf body;

    gw_buf_init(&body, 64u << 20);
    gw_buf_put_rope(&body, rope);
    assert_false(body.failed);
    assert_int_equal(body.n, rope.n);
    assert_int_equal(rope.n, a->body.n);
    assert_int_equal(gw_test_names(GW_LOGS, gw_buf_slice(&body), names, MAX_NAMES), n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(names[i], first + i);
    gw_buf_clear(&body);
}

static struct gw_attempt *asked(const struct rig *r)
{
    assert_true(r->sink->n_waiting > 0);
    return r->sink->waiting[0];
}

/*
 * Scenario    2, 3 and 50 requests are one batch; the sink is away twice, and then takes it
 * Guarantees  each try has the same bytes in as many parts, each a body by itself; memory that is counted is what the
 * requests have and no more, and goes with them
 */
static void large_requests_stay_where_they_are(void **state)
{
    static const unsigned counts[] = {2, 3, 50};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = counts[i];
        const struct gw_slice *parts = NULL;
        uint64_t used;
        struct rig r;

        set_up_parts(&r, n);
        start_with(&r, &gw_test_parts_exporter);
        put_all(&r, n);
        used = r.memory.used_bytes;
        for (unsigned tries = 0; tries < 3; tries++) {
            const struct gw_attempt *a = asked(&r);

            assert_int_equal(a->rows, n * ROWS);
            assert_int_equal(a->n_parts, n);
            assert_null(a->body.p);
            assert_int_equal(a->body.n, used);
            assert_true(!parts || parts == a->parts);
            parts = a->parts;
            assert_names(a, 0, n * ROWS);
            assert_int_equal(gw_test_names(GW_LOGS, a->parts[n - 1], names, MAX_NAMES), ROWS);
            assert_int_equal(r.memory.used_bytes, used);
            gw_test_sink_answer(r.sink, tries < 2 ? &AWAY : &OK);
            pass(&r, 2 * S);
        }
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, n * ROWS);
        assert_int_equal(r.memory.used_bytes, 0);
        assert_true(gw_edge_is_empty(r.edge));
        tear_down(&r);
    }
}

/*
 * Scenario    one request; small ones that are many; large ones for an exporter that does not take parts
 * Guarantees  the body is in one place
 */
static void others_are_in_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = i == 0 ? 1 : i == 1 ? 20 * ROWS : 3;
        struct rig r;

        set_up_parts(&r, i == 0 ? 1 : i == 1 ? 20 : 3);
        start_with(&r, i == 2 ? &gw_test_exporter : &gw_test_parts_exporter);
        for (unsigned k = 0; i == 1 && k < n; k += 20)
            put(&r, GW_LOGS, k, 20, NULL);
        if (i != 1)
            put_all(&r, n);
        turn(&r);
        assert_null(asked(&r)->parts);
        assert_names(asked(&r), 0, i == 1 ? n : n * ROWS);
        gw_test_sink_answer(r.sink, &OK);
        tear_down(&r);
    }
}

/*
 * Scenario    a batch of three requests is too large for the sink, and so is its first half
 * Guarantees  halves have the rows in their order, each once; who waits hears of his own rows once
 */
static void a_body_in_parts_can_be_halved(void **state)
{
    static const struct {
        unsigned first, rows;
    } tries[] = {{0, 3 * ROWS},
                 {0, ROWS * 3 / 2},
                 {ROWS * 3 / 2, ROWS * 3 / 2}, /* halves of a half stand behind the other half */
                 {0, ROWS * 3 / 4},
                 {ROWS * 3 / 4, ROWS * 3 / 4}};
    struct rig r;

    (void)state;
    set_up_parts(&r, 3);
    r.conf.settings.queue.wait_for_result = true;
    r.conf.settings.queue.num_consumers = 1;
    start_with(&r, &gw_test_parts_exporter);
    put_all(&r, 3);
    for (unsigned i = 0; i < 5; i++) {
        assert_names(asked(&r), tries[i].first, tries[i].rows);
        gw_test_sink_answer(r.sink, i < 2 ? &LARGE : &OK);
        turn(&r);
    }
    assert_int_equal(r.posted, 3);
    assert_int_equal(r.ticket->worst, GW_DELIVERED);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 3 * ROWS);
    tear_down(&r);
}

/*
 * Scenario    batches of three requests with max_size 5600 rows, and with a maximum of bytes
 * Guarantees  pieces as of any other body
 */
static void a_body_in_parts_is_cut_to_the_largest_size(void **state)
{
    (void)state;
    for (unsigned by_bytes = 0; by_bytes < 2; by_bytes++) {
        unsigned at = 0;
        struct rig r;

        set_up_parts(&r, 3);
        if (by_bytes) {
            r.conf.settings.queue.batch.sizer = GW_SIZER_BYTES;
            r.conf.settings.queue.batch.min_size = 1u << 30; /* by time */
        }
        r.conf.settings.queue.batch.max_size = by_bytes ? 40000 : 5600;
        start_with(&r, &gw_test_parts_exporter);
        put_all(&r, 3);
        if (by_bytes)
            pass(&r, 61 * S);
        while (r.sink->n_waiting) {
            const struct gw_attempt *a = asked(&r);
            unsigned n = a->rows;

            assert_in_range(by_bytes ? a->body.n : a->rows, 1, by_bytes ? 40000 : 5600);
            assert_names(a, at, n);
            at += n;
            gw_test_sink_answer(r.sink, &OK);
            turn(&r);
        }
        assert_int_equal(at, 3 * ROWS);
        tear_down(&r);
    }
}

/*
 * Scenario    the sink has 10 rows of a batch of three requests, and takes the rest later; nobody waits, or clients do
 * Guarantees  the second try has what is left and nothing else; all rows are delivered once
 */
static void what_is_left_of_parts_is_sent_alone(void **state)
{
    (void)state;
    for (unsigned waits = 0; waits < 2; waits++) {
        struct gw_sent_info info = {.sent = GW_SENT_RETRY, .reason = "http_503", .left_rows = 3 * ROWS - 10};
        struct gw_buf left;
        struct rig r;

        set_up_parts(&r, 3);
        r.conf.settings.queue.wait_for_result = waits;
        start_with(&r, &gw_test_parts_exporter);
        put_all(&r, 3);
        gw_buf_init(&left, 1u << 20);
        gw_test_request(&left, GW_LOGS, 10, 3 * ROWS - 10);
        info.left = gw_buf_slice(&left);
        gw_test_sink_answer(r.sink, &info);
        gw_buf_clear(&left);
        pass(&r, 2 * S);
        assert_null(asked(&r)->parts);
        assert_names(asked(&r), 10, 3 * ROWS - 10);
        gw_test_sink_answer(r.sink, &OK);
        assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, 3 * ROWS);
        assert_int_equal(r.memory.used_bytes, 0);
        tear_down(&r);
    }
}

static void on_sample(void *arg, const struct gw_edge_sample *s)
{
    (void)arg;
    assert_int_equal(gw_test_names(GW_LOGS, s->body, names, MAX_NAMES), 1);
}

/*
 * Scenario    the sink will never take a batch of three requests; with a dead letter queue, without one; the gateway
 * stops while one is with the sink and one waits behind it
 * Guarantees  one letter has all rows in their order; without a queue for letters they are dropped, and one is shown
 */
static void a_dead_body_in_parts_is_one_letter(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct gw_test_sink *letters;
        struct gw_edge *to;
        struct rig r;

        set_up_parts(&r, 3);
        r.conf.sample = on_sample;
        r.conf.settings.queue.num_consumers = 1;
        start_with(&r, &gw_test_parts_exporter);
        r.conf.settings.queue.has_batch = false;
        to = new_edge(&r, &gw_test_exporter, "letters", &letters);
        assert_int_equal(gw_edge_open(to, r.loop, NULL), 0);
        if (kind == 0)
            assert_int_equal(gw_edge_add_dead_letter(r.edge, to), 0);
        put_all(&r, kind == 2 ? 6 : 3);
        if (kind < 2)
            gw_test_sink_answer(r.sink, &NO);
        else
            gw_edge_close(r.edge);
        turn(&r);
        if (kind == 0) {
            struct gw_buf all;

            gw_buf_init(&all, 1u << 20);
            for (unsigned i = 0; i < 3; i++)
                gw_test_request(&all, GW_LOGS, i * ROWS, ROWS);
            assert_int_equal(letters->n_waiting, 1);
            assert_true(contains(letters->waiting[0]->body, all.p, all.n));
            assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dead_lettered, 3 * ROWS);
            gw_test_sink_answer(letters, &OK);
            gw_buf_clear(&all);
        } else {
            assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).dropped, kind == 2 ? 6 * ROWS : 3 * ROWS);
        }
        gw_edge_close(to);
        gw_edge_free(to);
        free(letters);
        tear_down(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_requests_stay_where_they_are),
        cmocka_unit_test(others_are_in_one),
        cmocka_unit_test(a_body_in_parts_can_be_halved),
        cmocka_unit_test(a_body_in_parts_is_cut_to_the_largest_size),
        cmocka_unit_test(what_is_left_of_parts_is_sent_alone),
        cmocka_unit_test(a_dead_body_in_parts_is_one_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
