/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate before a sink, as a configuration sets it: what the circuit breaker holds back and whom it tells, how many
 * go out at once, and how a body that is poison is found. The parts by themselves: tests/core/breaker_test.c and
 * limit_test.c.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness_engine.h"

#define S  1000000000ull
#define MS 1000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const struct gw_sent_info AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"};
static const struct gw_sent_info UNSURE = {
    .sent = GW_SENT_RETRY, .reason = "http_500", .message = "it broke", .sign = GW_SIGN_UNSURE};
static const struct gw_sent_info BUSY = {
    .sent = GW_SENT_RETRY, .reason = "http_429", .message = "too many", .sign = GW_SIGN_BUSY};
static const struct gw_sent_info BAD = {
    .sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "a bad row", .may_be_a_part = true};

#define FAST "retry_on_failure: { initial_interval: 100ms, max_interval: 100ms, randomization_factor: 0 }, "

static struct gw_test_engine t;
static struct gw_test_door *door;
static struct gw_test_sink *sink, *letters;
static uint64_t next_row;

static void begin(const char *settings)
{
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { %s, ports: { dead_letter: [text/letters] } }, text/letters: }\n"
                   "service:\n  pipelines:\n    logs: { receivers: [scripted], exporters: [scripted] }\n",
                   settings);
    gw_test_engine_open(&t, yaml, 1, false);
    door = gw_test_engine_door(&t, "scripted", 0);
    sink = gw_test_engine_sink(&t, "scripted");
    letters = gw_test_engine_sink(&t, "text/letters");
    letters->at_once = true;
    letters->info = OK;
    next_row = 1;
}

static void end(void)
{
    for (unsigned i = 0; i < 100 && !gw_edge_is_empty(gw_engine_edge(t.engine, "scripted")); i++) {
        while (gw_test_sink_answer(sink, &OK))
            ;
        gw_test_engine_turn(&t, 2, 10 * S);
    }
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS).held, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

static void put(unsigned requests, unsigned rows)
{
    for (; requests > 0; requests--, next_row += rows) { /* a turn each, so that each is a body of its own */
        gw_test_engine_send(door, GW_LOGS, next_row, rows, 0);
        gw_test_engine_turn(&t, 2, 0);
    }
}

static struct gw_edge_counts counts(void)
{
    return gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS);
}

static uint64_t dropped(const char *reason)
{
    const struct gw_label l[] = {
        {"component", "scripted"}, {"pipeline", "logs"}, {"signal", "logs"}, {"reason", reason}};

    return gw_test_engine_metric(&t, "staunch_dropped_items", l, 4);
}

static uint64_t gauge(const char *name)
{
    const struct gw_label l[] = {{"data_type", "logs"}, {"exporter", "scripted"}};

    return gw_meter_get(t.meter, GW_GAUGE, name, "", l, 2)->value;
}

static uint64_t dead(const char *reason)
{
    const struct gw_label l[] = {{"component", "scripted"}, {"signal", "logs"}, {"reason", reason}};

    return gw_test_engine_metric(&t, "staunch_dead_letter_items", l, 3);
}

static uint64_t times_open(void)
{
    const struct gw_label l[] = {{"exporter", "scripted"}, {"endpoint", ""}, {"state", "open"}};

    return gw_test_engine_metric(&t, "staunch_breaker_transitions", l, 3);
}

/* A sink that says the same to all it gets, for so long; returns how often it was asked. */
static unsigned answer_all(const struct gw_sent_info *info, uint64_t ns)
{
    unsigned sends = sink->n_sends;

    for (uint64_t passed = 0; passed <= ns; passed += 10 * MS) {
        while (gw_test_sink_answer(sink, info))
            ;
        gw_test_engine_turn(&t, 2, 10 * MS);
    }
    gw_test_engine_turn(&t, 2, 0);
    return sink->n_sends - sends;
}

/* ---- the breaker -------------------------------------------------------------------------------------------- */

/*
 * Scenario    50 requests, a sink that is away for 20 s and would be asked ten times a second, then works
 * Guarantees  a handful of probes instead of hundreds; nothing is lost, and nothing given up
 */
static void a_sink_that_is_away_is_probed_not_hammered(void **state)
{
    unsigned probes;

    (void)state;
    begin(FAST "sending_queue: { num_consumers: 4 }");
    put(50, 2);
    probes = answer_all(&AWAY, 20 * S);
    assert_in_range(probes, 4, 10);
    assert_in_range(times_open(), 4, 7);
    assert_true(gw_test_env_logged(&t.te, " s: away"));
    (void)answer_all(&OK, 30 * S);
    assert_int_equal(counts().delivered, 100);
    assert_int_equal(sink->n_sends, 4 + probes + 50);
    end();

    begin(FAST "circuit_breaker: { enabled: false }, sending_queue: { num_consumers: 4 }");
    put(50, 2);
    assert_true(answer_all(&AWAY, 20 * S) > 300);
    end();
}

/* Scenario: the keys of circuit_breaker, each with two values. Guarantees: how often a sink that is away is asked. */
static void the_breakers_keys_say_when_it_opens_and_for_how_long(void **state)
{
    unsigned a, b;

    (void)state;
#define AWAY_FOR(settings, ns)                                                                                         \
    (begin(FAST settings), put(50, 1), a = answer_all(&AWAY, ns), b = (unsigned)times_open(), end())
    AWAY_FOR("circuit_breaker: { consecutive_failures: 12 }", 500 * MS);
    assert_int_equal(b, 1);
    assert_int_equal(a, 10);                                               /* besides the first ten */
    AWAY_FOR("circuit_breaker: { consecutive_failures: 1000 }", 150 * MS); /* by the share: of 20 */
    assert_int_equal(b, 1);
    AWAY_FOR("circuit_breaker: { consecutive_failures: 1000, min_calls: 100 }", 150 * MS);
    assert_int_equal(b, 0);
    AWAY_FOR("circuit_breaker: { consecutive_failures: 1000, window: 100ms }", S); /* 20 calls are not in one */
    assert_int_equal(b, 0);
    AWAY_FOR("circuit_breaker: { initial_interval: 5s }", 3 * S);
    assert_int_equal(a, 0);
    AWAY_FOR("circuit_breaker: { initial_interval: 500ms, max_interval: 500ms }", 20 * S);
    assert_in_range(a, 30, 60);
    AWAY_FOR("circuit_breaker: { initial_interval: 500ms, max_interval: 10s }", 20 * S);
    assert_in_range(a, 3, 8);
#undef AWAY_FOR
    for (unsigned share = 0; share < 2; share++) {
        begin(share ? "sending_queue: { num_consumers: 99 }, circuit_breaker: { error_share: 0.4 }"
                    : "sending_queue: { num_consumers: 99 }, circuit_breaker: { error_share: 0.9 }");
        for (unsigned i = 0; i < 30; i++) {
            put(1, 1);
            assert_true(gw_test_sink_answer(sink, i % 2 ? &AWAY : &OK) || share);
        }
        assert_int_equal(times_open() > 0, share);
        end();
    }
}

/*
 * Scenario    wait_for_result, six clients; the sink is away; more clients come while the breaker is open, and one
 * after Guarantees  those who come meanwhile hear UNAVAILABLE with the time of the next probe at once, and nothing is
 * sent for them; the rows are counted; who comes when the pause is over is the probe
 */
static void who_waits_hears_when_the_next_probe_is(void **state)
{
    unsigned sends;

    (void)state;
    begin(FAST "sending_queue: { wait_for_result: true }, circuit_breaker: { initial_interval: 20s }");
    put(6, 2);
    while (gw_test_sink_answer(sink, &AWAY))
        ;
    gw_test_engine_turn(&t, 3, 200 * MS);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(door->n_verdicts, 6);
    sends = sink->n_sends;
    put(3, 2);
    assert_int_equal(sink->n_sends, sends);
    assert_int_equal(door->n_verdicts, 9);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(door->verdicts[i].v.grpc_status, 14);
        assert_in_range(door->verdicts[i].v.retry_after_ns, 10 * S, 25 * S);
    }
    assert_int_equal(dropped("breaker_open"), 18);
    gw_test_engine_turn(&t, 2, 25 * S);
    put(1, 2);
    assert_int_equal(sink->n_sends, sends + 1);
    assert_true(gw_test_sink_answer(sink, &OK));
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(door->verdicts[9].v.grpc_status, 0);
    end();
}

/*
 * Scenario    max_elapsed_time 3 s, a breaker that is open for a minute; the sink is back after 2 s, or is not
 * Guarantees  what was tried before is tried once more when its time is up, and only then given up; what was never
 *             tried keeps its time
 */
static void nothing_is_given_up_without_a_last_try(void **state)
{
    (void)state;
    for (unsigned back = 0; back < 2; back++) {
        begin("retry_on_failure: { initial_interval: 500ms, max_interval: 500ms, max_elapsed_time: 3s }, "
              "circuit_breaker: { initial_interval: 60s }, sending_queue: { num_consumers: 5 }");
        put(8, 1);
        assert_int_equal(answer_all(&AWAY, 2 * S), 0);
        assert_int_equal(times_open(), 1);
        (void)answer_all(back ? &OK : &AWAY, 2 * S);
        if (back) {
            (void)answer_all(&OK, 10 * S);
            assert_int_equal(counts().delivered, 8);
        } else {
            assert_int_equal(dead("retry_exhausted"), 5); /* each after a try of its own */
            assert_int_equal(sink->n_sends, 10);
            assert_int_equal(counts().held, 3);
            (void)answer_all(&OK, 100 * S);
            assert_int_equal(counts().delivered, 3);
        }
        end();
    }
}

/* Scenario: logs fail, traces go to the same endpoint. Guarantees: one breaker for both. */
static void signals_with_one_endpoint_share_a_breaker(void **state)
{
    unsigned sends;

    (void)state;
    gw_test_engine_open(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { circuit_breaker: { initial_interval: 30s } } }\n"
                        "service:\n  pipelines:\n"
                        "    logs: { receivers: [scripted], exporters: [scripted] }\n"
                        "    traces: { receivers: [scripted], exporters: [scripted] }\n",
                        1, false);
    door = gw_test_engine_door(&t, "scripted", 0);
    sink = gw_test_engine_sink(&t, "scripted");
    put(5, 1);
    (void)answer_all(&AWAY, 0);
    sends = sink->n_sends;
    gw_test_engine_send(door, GW_TRACES, 1, 1, 0);
    gw_test_engine_turn(&t, 3, S);
    assert_int_equal(sink->n_sends, sends);
    (void)answer_all(&OK, 60 * S);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_TRACES).delivered, 1);
    end();
}

/* ---- how many at once --------------------------------------------------------------------------------------- */

/* Scenario: num_consumers 10, one answer of "too many". Guarantees: 7 at once from then on; 10 when it does not adapt.
 */
static void adaptive_concurrency_sends_fewer_to_a_busy_sink(void **state)
{
    (void)state;
    for (unsigned adapts = 0; adapts < 2; adapts++) {
        begin(adapts ? FAST "sending_queue: { num_consumers: 10 }"
                     : FAST "sending_queue: { num_consumers: 10, adaptive_concurrency: { enabled: false } }");
        put(40, 1);
        assert_int_equal(sink->n_waiting, 10);
        assert_true(gw_test_sink_answer(sink, &BUSY));
        for (unsigned i = 0; i < 4; i++)
            assert_true(gw_test_sink_answer(sink, &OK));
        gw_test_engine_turn(&t, 2, 200 * MS);
        gw_test_engine_turn(&t, 2, 0);
        assert_int_equal(sink->n_waiting, adapts ? 7 : 10);
        if (adapts) {
            assert_int_equal(gauge("staunch_exporter_concurrency_limit"), 7);
            assert_int_equal(gauge("staunch_exporter_concurrency_in_flight"), 7);
        }
        (void)answer_all(&OK, 5 * S);
        assert_int_equal(counts().delivered, 40);
        assert_int_equal(times_open(), 0);
        end();
    }
}

/*
 * Scenario    num_consumers 4, a sink that is too busy for anything; then it asks for ten minutes
 * Guarantees  once the limit is 1 the pause of the one that was refused is everyone's: the others do not ask in its
 *             stead. One or two refusals in a row are no such thing. A wish that is longer than half a minute is the
 *             own one of who heard it
 */
static void too_busy_for_one_is_too_busy_for_all(void **state)
{
    struct gw_sent_info wish = BUSY;
    unsigned asked;

    (void)state;
    begin("retry_on_failure: { initial_interval: 100ms, max_interval: 100ms, randomization_factor: 0, "
          "max_elapsed_time: 0 }, sending_queue: { num_consumers: 4 }");
    put(20, 1);
    asked = answer_all(&BUSY, 10 * S); /* 100 pauses of 100 ms */
    assert_in_range(asked, 90, 120);
    assert_int_equal(sink->n_waiting, 1);
    assert_true(gw_test_sink_answer(sink, &OK));
    for (unsigned i = 0; i < 2; i++) { /* chance */
        assert_int_equal(sink->n_waiting, 1);
        assert_true(gw_test_sink_answer(sink, &BUSY));
    }
    assert_int_equal(sink->n_waiting, 1);
    assert_true(gw_test_sink_answer(sink, &BUSY));
    assert_int_equal(sink->n_waiting, 0);
    gw_test_engine_turn(&t, 2, 110 * MS);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(times_open(), 0);
    wish.retry_after_ns = 600 * S;
    assert_int_equal(sink->n_waiting, 1);
    assert_true(gw_test_sink_answer(sink, &wish));
    gw_test_engine_turn(&t, 2, 100 * MS);
    gw_test_engine_turn(&t, 2, 0);
    assert_int_equal(sink->n_waiting, 1);
    (void)answer_all(&OK, 700 * S);
    assert_int_equal(counts().delivered, 20);
    end();
}

/* ---- poison ------------------------------------------------------------------------------------------------- */

/* A sink that says `no` to every body with one of these rows, and takes all others, for so long. */
static void answer_by_row(const struct gw_sent_info *no, uint64_t first, uint64_t last, uint64_t ns)
{
    static uint64_t names[20000];

    for (uint64_t passed = 0; passed <= ns; passed += 10 * MS) {
        while (sink->n_waiting) {
            unsigned n = gw_test_names(GW_LOGS, sink->waiting[0]->body, names, 20000);
            bool has = false;

            for (unsigned i = 0; i < n; i++)
                has |= names[i] >= first && names[i] <= last;
            assert_true(gw_test_sink_answer(sink, has ? no : &OK));
        }
        gw_test_engine_turn(&t, 2, 10 * MS);
    }
}

/*
 * Scenario    64 rows in one body, of which one makes the sink break every time; other bodies pass; num_consumers 1 and
 * 4 Guarantees  that row alone is a dead letter, of class poison; all others are delivered; nothing behind it waits
 */
static void poison_is_cut_out_and_the_rest_delivered(void **state)
{
    (void)state;
    for (unsigned consumers = 1; consumers <= 4; consumers += 3) {
        begin(consumers == 1 ? FAST "sending_queue: { num_consumers: 1 }" : FAST "sending_queue: { num_consumers: 4 }");
        put(1, 64); /* rows 1 to 64 */
        for (unsigned i = 0; i < 60; i++) {
            put(2, 3);
            answer_by_row(&UNSURE, 17, 17, 200 * MS);
        }
        assert_int_equal(dead("http_500"), 1);
        assert_int_equal(counts().dead_lettered, 1);
        assert_int_equal(counts().delivered, 63 + 60 * 2 * 3);
        assert_int_equal(counts().held, 0);
        assert_int_equal(times_open(), 0);
        assert_int_equal(letters->n_sends, 1);
        end();
    }
}

/*
 * Scenario    everything fails in the same way for five minutes, with the breaker and without it
 * Guarantees  that is an outage: no body is halved or buried, and all is delivered afterwards
 */
static void an_outage_is_no_poison(void **state)
{
    (void)state;
    for (unsigned breaker = 0; breaker < 2; breaker++) {
        begin(breaker ? "retry_on_failure: { initial_interval: 1s, max_interval: 1s, max_elapsed_time: 0 }"
                      : "retry_on_failure: { initial_interval: 1s, max_interval: 1s, max_elapsed_time: 0 }, "
                        "circuit_breaker: { enabled: false }");
        put(1, 5);
        (void)answer_all(&OK, 0); /* it worked before */
        put(30, 8);
        (void)answer_all(&UNSURE, 300 * S);
        assert_int_equal(counts().held, 240);
        assert_int_equal(counts().dead_lettered, 0);
        (void)answer_all(&OK, 200 * S);
        assert_int_equal(counts().delivered, 245);
        assert_in_range(gauge("staunch_exporter_concurrency_limit"), 5, 10); /* 5: a trial, which has not ended */
        end();
    }
}

/*
 * Scenario    a refusal for good of one row among 512, one at a time; of all rows; of a kind that is not about rows
 * Guarantees  one dead letter of one row; some requests and then dead letters of the large rest, and no halving any
 * more until something passes; one request
 */
static void a_refusal_of_some_rows_does_not_take_the_others_along(void **state)
{
    static struct gw_sent_info never;

    (void)state;
    begin("sending_queue: { num_consumers: 1 }");
    put(1, 512);
    answer_by_row(&BAD, 1, 1, S);
    assert_int_equal(counts().dead_lettered, 1);
    assert_int_equal(counts().delivered, 511);
    assert_in_range(sink->n_sends, 19, 20);
    end();

    begin("sending_queue: { num_consumers: 1 }");
    put(1, 512);
    answer_by_row(&BAD, 1, 512, S);
    assert_int_equal(counts().dead_lettered, 512);
    assert_int_equal(sink->n_sends, 127);
    put(1, 512); /* nothing has passed since: not again */
    answer_by_row(&BAD, 1, 2000, S);
    assert_int_equal(sink->n_sends, 128);
    put(1, 1);
    (void)answer_all(&OK, 0);
    put(1, 512);
    answer_by_row(&BAD, 1026, 1026, S);
    assert_int_equal(counts().dead_lettered, 1025);
    assert_int_equal(counts().delivered, 512);
    end();

    begin("sending_queue: { num_consumers: 1 }");
    never = BAD;
    never.may_be_a_part = false;
    put(1, 512);
    answer_by_row(&never, 1, 1, S);
    assert_int_equal(counts().dead_lettered, 512);
    assert_int_equal(sink->n_sends, 1);
    end();
}

/*
 * Scenario    a sink that refuses every second row, 20,000 rows
 * Guarantees  halving ends when there was too much of it of late: about a thousand pieces, not twenty thousand requests
 */
static void halving_has_a_budget(void **state)
{
    static uint64_t names[20000];

    (void)state;
    begin("sending_queue: { num_consumers: 2 }");
    put(1, 20000);
    for (unsigned turn = 0; turn < 2000 && !gw_edge_is_empty(gw_engine_edge(t.engine, "scripted")); turn++) {
        while (sink->n_waiting) {
            unsigned n = gw_test_names(GW_LOGS, sink->waiting[0]->body, names, 20000);

            assert_true(gw_test_sink_answer(sink, n > 1 || names[0] % 2 ? &BAD : &OK));
        }
        gw_test_engine_turn(&t, 2, 0);
        if (sink->n_sends == 1) { /* something passes, so that halving is worth while */
            put(1, 1);
            (void)gw_test_sink_answer_at(sink, sink->n_waiting - 1, &OK);
        }
    }
    assert_int_equal(counts().held, 0);
    assert_in_range(sink->n_sends, 15, 2100);
    end();
}

/* ---- rejected, and it is not known which --------------------------------------------------------------------- */

/*
 * Scenario    a sink takes a batch of five rows but for two, and does not say which; partial_success: count, and
 *             dead_letter
 * Guarantees  they are counted as rejected; or all five are one letter of class partial that says how many, and the two
 *             are counted there; what the sink has is delivered all the same
 */
static void a_partial_success_may_be_a_letter(void **state)
{
    static const struct gw_sent_info two = {.sent = GW_SENT_OK, .rejected_rows = 2, .message = "two are old"};

    (void)state;
    for (unsigned kept = 0; kept < 2; kept++) {
        begin(kept ? "partial_success: dead_letter" : "partial_success: count");
        letters->at_once = false;
        put(1, 5);
        assert_true(gw_test_sink_answer(sink, &two));
        gw_test_engine_turn(&t, 3, 0);
        assert_int_equal(letters->n_waiting, kept);
        (void)gw_test_sink_answer(letters, &OK);
        assert_int_equal(counts().delivered, 3);
        assert_int_equal(counts().rejected, kept ? 0 : 2);
        assert_int_equal(counts().dead_lettered, kept ? 2 : 0);
        assert_int_equal(dead("partial_success"), kept ? 2 : 0);
        assert_int_equal(letters->n_sends, kept ? 1 : 0);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sink_that_is_away_is_probed_not_hammered),
        cmocka_unit_test(the_breakers_keys_say_when_it_opens_and_for_how_long),
        cmocka_unit_test(who_waits_hears_when_the_next_probe_is),
        cmocka_unit_test(nothing_is_given_up_without_a_last_try),
        cmocka_unit_test(signals_with_one_endpoint_share_a_breaker),
        cmocka_unit_test(adaptive_concurrency_sends_fewer_to_a_busy_sink),
        cmocka_unit_test(too_busy_for_one_is_too_busy_for_all),
        cmocka_unit_test(poison_is_cut_out_and_the_rest_delivered),
        cmocka_unit_test(an_outage_is_no_poison),
        cmocka_unit_test(a_refusal_of_some_rows_does_not_take_the_others_along),
        cmocka_unit_test(halving_has_a_budget),
        cmocka_unit_test(a_partial_success_may_be_a_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
