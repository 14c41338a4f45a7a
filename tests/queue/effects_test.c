/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of sending_queue, retry_on_failure and timeout, as a configuration writes it, with two values: what changes
 * between a client and a sink. How each thing works is edge_test.c's.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "batch/meta.h"
#include "tests/harness_engine.h"

#define S  1000000000ull
#define MS 1000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"};

static struct gw_test_engine t;
static struct gw_test_door *door;
static struct gw_test_sink *sink;

/* A gateway whose exporter has these settings. */
static void begin(const char *settings)
{
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\nexporters: { scripted: { %s } }\nservice:\n  pipelines:\n"
                   "    logs: { receivers: [scripted], exporters: [scripted] }\n",
                   settings);
    gw_test_engine_open(&t, yaml, 1, false);
    door = gw_test_engine_door(&t, "scripted", 0);
    sink = gw_test_engine_sink(&t, "scripted");
}

static void end(void)
{
    for (unsigned i = 0; i < 10; i++) { /* whatever waits behind the first */
        while (gw_test_sink_answer(sink, &OK))
            ;
        gw_test_engine_turn(&t, 2, 10 * S);
    }
    (void)gw_test_engine_close(&t);
}

/* A request of n rows, in a turn of its own; false when it is refused at the door. */
static bool request_with(unsigned rows, const struct gw_meta *meta)
{
    struct gw_verdict v;
    struct gw_buf body;
    int rc;

    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, 1, rows);
    rc = gw_test_send(door, GW_LOGS, gw_buf_slice(&body), meta, 1, &v);
    gw_buf_clear(&body);
    gw_test_engine_turn(&t, 2, 0);
    return rc == 0;
}

static bool request(unsigned rows)
{
    return request_with(rows, NULL);
}

/* The time until the sink is tried once more, in steps of 10 ms; 0: not within ten minutes. */
static uint64_t until_tried_ns(void)
{
    unsigned sends = sink->n_sends;
    uint64_t ns = 0;

    while (sink->n_sends == sends && ns < 600 * S) {
        gw_test_engine_turn(&t, 1, 10 * MS);
        gw_test_engine_turn(&t, 1, 0);
        ns += 10 * MS;
    }
    return sink->n_sends == sends ? 0 : ns;
}

static uint64_t pause_ns(void)
{
    assert_true(gw_test_sink_answer(sink, &AWAY));
    return until_tried_ns();
}

static void near(uint64_t got_ns, uint64_t want_ns)
{
    assert_in_range(got_ns, want_ns - 10 * MS, want_ns + 30 * MS);
}

/* Scenario: enabled false and true; wait_for_result false and true.
 * Guarantees: without a queue, or when it waits, the client hears the sink's answer, else at once. */
static void enabled_and_wait_for_result_decide_when_a_client_hears(void **state)
{
    static const char *const settings[] = {"sending_queue: { enabled: false }", "sending_queue: { enabled: true }",
                                           "sending_queue: { wait_for_result: true }",
                                           "sending_queue: { wait_for_result: false }"};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        begin(settings[i]);
        assert_true(request(2));
        assert_int_equal(door->n_verdicts, i % 2);
        assert_true(gw_test_sink_answer(sink, &OK));
        gw_test_engine_turn(&t, 2, 0);
        assert_int_equal(door->n_verdicts, 1);
        end();
    }
}

/* Scenario: five requests, num_consumers 2 and 4. Guarantees: so many are with the sink at once. */
static void num_consumers_is_how_many_are_with_the_sink(void **state)
{
    static const char *const settings[] = {"sending_queue: { num_consumers: 2 }",
                                           "sending_queue: { num_consumers: 4 }"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(settings[i]);
        for (unsigned k = 0; k < 5; k++)
            assert_true(request(1));
        assert_int_equal(sink->n_waiting, i ? 4 : 2);
        end();
    }
}

/* Scenario: requests of 3 rows (39 bytes) until one is refused; queue_size 2 and 3 by sizer requests, 7 by items, 90
 * and 200 by bytes. Guarantees: so many fit. */
static void queue_size_and_sizer_are_the_room(void **state)
{
    static const struct {
        const char *settings;
        unsigned fit;
    } cases[] = {
        {"sending_queue: { queue_size: 2 }", 2},
        {"sending_queue: { queue_size: 3, sizer: requests }", 3},
        {"sending_queue: { queue_size: 7, sizer: items }", 2},
        {"sending_queue: { queue_size: 90, sizer: bytes }", 2},
        {"sending_queue: { queue_size: 200, sizer: bytes }", 5},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned n = 0;

        begin(cases[i].settings);
        while (n < 10 && request(3))
            n++;
        if (n != cases[i].fit)
            fail_msg("%s: %u fit", cases[i].settings, n);
        end();
    }
}

/* Scenario: a second request into a full queue, block_on_overflow false and true.
 * Guarantees: refused at once, or kept until there is room. */
static void block_on_overflow_keeps_a_request_waiting(void **state)
{
    (void)state;
    begin("sending_queue: { queue_size: 1, block_on_overflow: false }");
    assert_true(request(1));
    assert_false(request(1));
    end();
    begin("sending_queue: { queue_size: 1, block_on_overflow: true }");
    assert_true(request(1));
    assert_true(request(1));
    assert_int_equal(door->n_verdicts, 1);
    assert_true(gw_test_sink_answer(sink, &OK));
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(door->n_verdicts, 2);
    end();
}

/* Scenario: two requests of 3 rows; no batch, then batch with flush_timeout 300ms and 2s.
 * Guarantees: each leaves alone and at once, or both together after that time. */
static void batch_and_flush_timeout_put_requests_together(void **state)
{
    static const struct {
        const char *settings;
        uint64_t ns;
    } cases[] = {{"sending_queue: { batch: { flush_timeout: 300ms } }", 300 * MS},
                 {"sending_queue: { batch: { flush_timeout: 2s } }", 2 * S},
                 {"sending_queue: { batch: }", 200 * MS}};

    (void)state;
    begin("sending_queue: { num_consumers: 9 }");
    assert_true(request(3) && request(3));
    assert_int_equal(sink->n_waiting, 2);
    end();
    for (unsigned i = 0; i < 3; i++) {
        begin(cases[i].settings);
        assert_true(request(3) && request(3));
        assert_int_equal(sink->n_waiting, 0);
        near(until_tried_ns(), cases[i].ns);
        assert_int_equal(sink->n_waiting, 1);
        assert_int_equal(sink->waiting[0]->rows, 6);
        end();
    }
}

/* Scenario: requests of 3 rows (39 bytes); min_size 3 and 4 by items, 50 by bytes; max_size 2 by items and 30 by bytes.
 * Guarantees: a batch leaves when it has min_size, in the batch's own unit, in pieces of at most max_size. */
static void min_size_max_size_and_sizer_shape_a_batch(void **state)
{
    static const struct {
        const char *settings;
        unsigned requests, bodies, rows;
    } cases[] = {
        {"sending_queue: { batch: { min_size: 3, flush_timeout: 1h } }", 1, 1, 3},
        {"sending_queue: { batch: { min_size: 4, flush_timeout: 1h } }", 2, 1, 6},
        {"sending_queue: { batch: { min_size: 50, sizer: items, flush_timeout: 1h } }", 2, 0, 0},
        {"sending_queue: { batch: { min_size: 50, sizer: bytes, flush_timeout: 1h } }", 2, 1, 6},
        {"sending_queue: { sizer: bytes, queue_size: 9999, batch: { min_size: 50, sizer: queue, flush_timeout: 1h } }",
         2, 1, 6},
        {"sending_queue: { batch: { min_size: 2, max_size: 2, flush_timeout: 1h } }", 1, 2, 2},
        {"sending_queue: { batch: { min_size: 20, max_size: 30, sizer: bytes, flush_timeout: 1h } }", 1, 2, 2},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(cases[i].settings);
        for (unsigned k = 0; k < cases[i].requests; k++)
            assert_true(request(3));
        if (sink->n_waiting != cases[i].bodies || (sink->n_waiting && sink->waiting[0]->rows != cases[i].rows))
            fail_msg("%s: %u bodies, the first of %u rows", cases[i].settings, sink->n_waiting,
                     sink->n_waiting ? sink->waiting[0]->rows : 0);
        (void)gw_test_engine_close(&t);
    }
}

/* Scenario: requests of two tenants, with and without metadata_keys [x-tenant]. Guarantees: two batches, or one. */
static void metadata_keys_keep_batches_apart(void **state)
{
    (void)state;
    for (unsigned with = 0; with < 2; with++) {
        begin(with ? "sending_queue: { batch: { partition: { metadata_keys: [X-Tenant] } } }"
                   : "sending_queue: { batch: }");
        for (unsigned i = 0; i < 2; i++) {
            struct gw_meta_pair p = {GW_SLICE("x-tenant"), i ? GW_SLICE("a") : GW_SLICE("b")};
            struct gw_meta *m = gw_meta_new(&(struct gw_meta){.pairs = &p, .n_pairs = 1});

            assert_true(request_with(3, m));
            (void)gw_meta_unref(m);
        }
        near(until_tried_ns(), 200 * MS);
        assert_int_equal(sink->n_waiting, with ? 2 : 1);
        end();
    }
}

/* Scenario: an absent sink, retry_on_failure enabled and not. Guarantees: tried again, or dropped and counted. */
static void retry_enabled_tries_again(void **state)
{
    const struct gw_label l = {"exporter", "scripted"};

    (void)state;
    begin("retry_on_failure: { enabled: true }");
    assert_true(request(2));
    assert_true(pause_ns() > 0);
    end();
    begin("retry_on_failure: { enabled: false }");
    assert_true(request(2));
    assert_int_equal(pause_ns(), 0);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_exporter_send_failed_log_records", &l, 1), 2);
    end();
}

/* Scenario: initial_interval 1s and 4s; multiplier 1 and 3; max_interval 6s. No randomness.
 * Guarantees: the pauses are these. */
static void intervals_grow_as_told(void **state)
{
    static const struct {
        const char *settings;
        uint64_t s[4];
    } cases[] = {
        {"retry_on_failure: { initial_interval: 1s, multiplier: 1, randomization_factor: 0 }", {1, 1, 1, 1}},
        {"retry_on_failure: { initial_interval: 4s, multiplier: 1, randomization_factor: 0 }", {4, 4, 4, 4}},
        {"retry_on_failure: { initial_interval: 1s, multiplier: 3, randomization_factor: 0 }", {1, 3, 9, 27}},
        {"retry_on_failure: { initial_interval: 1s, multiplier: 3, max_interval: 6s, randomization_factor: 0 }",
         {1, 3, 6, 6}},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(cases[i].settings);
        assert_true(request(2));
        for (unsigned k = 0; k < 4; k++)
            near(pause_ns(), cases[i].s[k] * S);
        end();
    }
}

/* Scenario: twenty pauses of 10 s, randomization_factor 0.2 and 0.
 * Guarantees: between 8 and 12 s and not all alike; all 10 s. */
#define OFF "circuit_breaker: { enabled: false }, "
static void randomization_factor_spreads_the_pauses(void **state)
{
    (void)state;
    for (unsigned with = 0; with < 2; with++) {
        uint64_t least = UINT64_MAX, most = 0;

        begin(with ? OFF "retry_on_failure: { initial_interval: 10s, multiplier: 1, randomization_factor: 0.2 }"
                   : OFF "retry_on_failure: { initial_interval: 10s, multiplier: 1, randomization_factor: 0 }");
        assert_true(request(2));
        for (unsigned k = 0; k < 20; k++) {
            uint64_t ns = pause_ns();

            least = ns < least ? ns : least;
            most = ns > most ? ns : most;
        }
        assert_in_range(least, 8 * S - 10 * MS, 10 * S + 10 * MS);
        assert_in_range(most, 10 * S - 10 * MS, 12 * S + 20 * MS);
        assert_int_equal(most - least > S, with);
        end();
    }
}

/* Scenario: pauses of 10 s, max_elapsed_time 35s and 0. Guarantees: three more tries and no fourth; no end. */
static void max_elapsed_time_ends_the_tries(void **state)
{
#define TEN "retry_on_failure: { initial_interval: 10s, max_interval: 10s, randomization_factor: 0, max_elapsed_time: "
    (void)state;
    begin(TEN "35s }");
    assert_true(request(2));
    for (unsigned k = 0; k < 3; k++)
        near(pause_ns(), 10 * S);
    assert_int_equal(pause_ns(), 0);
    end();
    begin(OFF TEN "0 }");
    assert_true(request(2));
    for (unsigned k = 0; k < 40; k++)
        near(pause_ns(), 10 * S);
    end();
}

/* The sink wants to be left alone for so long; that long it is. */
static void waits(uint64_t wish_ns, uint64_t want_ns)
{
    const struct gw_sent_info busy = {
        .sent = GW_SENT_RETRY, .reason = "http_429", .retry_after_ns = wish_ns, .sign = GW_SIGN_BUSY};
    unsigned sends = sink->n_sends;

    assert_true(gw_test_sink_answer(sink, &busy));
    gw_test_engine_turn(&t, 2, 0);
    gw_test_engine_turn(&t, 1, want_ns - 100 * MS);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(sink->n_sends, sends);
    gw_test_engine_turn(&t, 1, 200 * MS);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(sink->n_sends, sends + 1);
}

/*
 * Scenario    Retry-After of 7 s, of 2 h and of ten years, with max_retry_after as it is, 90s, and 0; shorter than the
 *             back-off
 * Guarantees  the wish is kept up to the setting; an hour without one; 0: whatever it is; the back-off is the least
 */
static void max_retry_after_bounds_the_sinks_wish(void **state)
{
#define WISH "retry_on_failure: { initial_interval: 2s, randomization_factor: 0, max_elapsed_time: 0"
    const uint64_t decade = 10 * 365 * 86400ull * S;

    (void)state;
    begin(WISH " }");
    assert_true(request(2));
    waits(7 * S, 7 * S);
    waits(7200 * S, 3600 * S);
    waits(decade, 3600 * S);
    waits(S / 2, 2 * S * 27 / 8);
    end();
    begin(WISH ", max_retry_after: 90s }");
    assert_true(request(2));
    waits(80 * S, 80 * S);
    waits(decade, 90 * S);
    end();
    begin(WISH ", max_retry_after: 0 }");
    assert_true(request(2));
    waits(7200 * S, 7200 * S);
    end();
}

/* Scenario: a sink that does not answer, timeout 1s, 7s and 0.
 * Guarantees: the attempt is told its time, and cancelled after it; or never. */
static void timeout_ends_an_attempt(void **state)
{
    static const struct {
        const char *settings;
        uint64_t ns;
    } cases[] = {{"timeout: 1s", S}, {"timeout: 7s", 7 * S}, {"timeout: 0", 0}};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        begin(cases[i].settings);
        assert_true(request(2));
        assert_int_equal(sink->waiting[0]->timeout_ns, cases[i].ns);
        gw_test_engine_turn(&t, 1, cases[i].ns ? cases[i].ns - 100 * MS : 100 * S);
        gw_test_engine_turn(&t, 1, 200 * MS);
        assert_int_equal(sink->n_cancelled, 0);
        gw_test_engine_turn(&t, 2, 0);
        assert_int_equal(sink->n_cancelled, cases[i].ns > 0);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enabled_and_wait_for_result_decide_when_a_client_hears),
        cmocka_unit_test(num_consumers_is_how_many_are_with_the_sink),
        cmocka_unit_test(queue_size_and_sizer_are_the_room),
        cmocka_unit_test(block_on_overflow_keeps_a_request_waiting),
        cmocka_unit_test(batch_and_flush_timeout_put_requests_together),
        cmocka_unit_test(min_size_max_size_and_sizer_shape_a_batch),
        cmocka_unit_test(metadata_keys_keep_batches_apart),
        cmocka_unit_test(retry_enabled_tries_again),
        cmocka_unit_test(intervals_grow_as_told),
        cmocka_unit_test(randomization_factor_spreads_the_pauses),
        cmocka_unit_test(max_elapsed_time_ends_the_tries),
        cmocka_unit_test(max_retry_after_bounds_the_sinks_wish),
        cmocka_unit_test(timeout_ends_an_attempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
