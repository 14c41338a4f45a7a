/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poison, flakiness and outages, mixed by a seed. Some rows break the sink whenever a body has them, or make it refuse
 * the body; besides, requests fail at random (a share that changes), the sink slows down, and now and then it is away
 * for everybody. Which row is which is known to the simulation alone.
 *
 *   every row is delivered, or a dead letter          every poisonous row is a dead letter, and alone in it
 *   no row that is fine is a dead letter, as long as at most one request in twenty fails by itself
 *
 * GW_SIM_SEEDS=n runs n seeds (default 60), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"

#define MS 1000000ull
#define S  1000000000ull

enum { MAX_ROWS = 6000, STEPS = 400 };

enum nature { FINE, BREAKS, REFUSED };

struct world {
    struct gw_test_engine t;
    struct gw_test_door *door;
    struct gw_test_sink *sink;
    uint64_t seed, salt, next_row;
    unsigned failing; /* requests in a hundred */
    bool away;
    uint8_t delivered[MAX_ROWS];
    uint64_t n_poison;
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* By its name alone, so that it is the same in every piece. */
static enum nature nature_of(const struct world *w, uint64_t row)
{
    uint64_t h = (row + 1) * 0x9e3779b97f4a7c15ull ^ w->salt * 31;

    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return (h >> 40) % 400 ? FINE : (h >> 20) % 2 ? BREAKS : REFUSED;
}

static void send_some(struct world *w)
{
    uint32_t rows = (uint32_t)(any(w, 5) ? 1 + any(w, 8) : 1 + any(w, 100));

    if (w->next_row + rows > MAX_ROWS)
        return;
    gw_test_engine_send(w->door, GW_LOGS, w->next_row, rows, 0);
    for (uint32_t i = 0; i < rows; i++)
        w->n_poison += nature_of(w, w->next_row + i) != FINE;
    w->next_row += rows;
}

static void answer_one(struct world *w)
{
    static const struct gw_sent_info
        ok = {.sent = GW_SENT_OK},
        away = {.sent = GW_SENT_RETRY, .reason = "http_503", .message = "away"},
        broke = {.sent = GW_SENT_RETRY, .reason = "connection", .message = "reset", .sign = GW_SIGN_UNSURE},
        bad = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "a bad row", .may_be_a_part = true};
    static uint64_t names[MAX_ROWS];
    unsigned at = (unsigned)any(w, w->sink->n_waiting), n;
    enum nature worst = FINE;

    n = gw_test_names(GW_LOGS, w->sink->waiting[at]->body, names, MAX_ROWS);
    for (unsigned i = 0; i < n; i++)
        worst = nature_of(w, names[i]) > worst ? nature_of(w, names[i]) : worst;
    if (w->away) {
        (void)gw_test_sink_answer_at(w->sink, at, any(w, 2) ? &away : &broke);
        return;
    }
    if (worst != FINE || any(w, 100) < w->failing) {
        (void)gw_test_sink_answer_at(w->sink, at, worst == REFUSED ? &bad : &broke);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        w->delivered[names[i]]++;
    (void)gw_test_sink_answer_at(w->sink, at, &ok);
}

static void step(struct world *w, uint64_t ns)
{
    for (uint64_t k = any(w, 3) + 1; k > 0 && w->sink->n_waiting; k--)
        answer_one(w);
    gw_test_engine_turn(&w->t, 2, ns);
}

static void check(struct world *w)
{
    struct gw_edge_counts c = gw_edge_counts(gw_engine_edge(w->t.engine, "scripted"), GW_LOGS);
    uint64_t delivered = 0;

    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_int_equal(w->delivered[row], nature_of(w, row) == FINE);
        delivered += w->delivered[row];
    }
    assert_int_equal(c.held, 0);
    assert_int_equal(c.dropped, 0);
    assert_int_equal(c.delivered, delivered);
    assert_int_equal(c.dead_lettered, w->n_poison);
    assert_int_equal(gw_test_engine_sink(&w->t, "text/letters")->n_sends, w->n_poison);
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    char yaml[1024];

    assert_non_null(w);
    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters:\n"
                   "  scripted:\n"
                   "    timeout: 0\n"
                   "    sending_queue: { num_consumers: %u, queue_size: 100000 }\n"
                   "    retry_on_failure: { initial_interval: 200ms, max_interval: 2s, max_elapsed_time: 0 }\n"
                   "    circuit_breaker: { initial_interval: 500ms, max_interval: 5s }\n"
                   "    ports: { dead_letter: [text/letters] }\n"
                   "  text/letters: { sending_queue: { batch: { max_size: 1, min_size: 0 } } }\n"
                   "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n",
                   1 + (unsigned)(seed % 5));
    gw_test_engine_open(&w->t, yaml, 1, false);
    w->seed = w->salt = w->t.te.seed = seed;
    w->door = gw_test_engine_door(&w->t, "scripted", 0);
    w->sink = gw_test_engine_sink(&w->t, "scripted");
    gw_test_engine_sink(&w->t, "text/letters")->at_once = true;
    gw_test_engine_sink(&w->t, "text/letters")->info = (struct gw_sent_info){.sent = GW_SENT_OK};
    for (unsigned i = 0; i < STEPS; i++) {
        if (any(w, 3) == 0)
            send_some(w);
        if (any(w, 60) == 0)
            w->failing = (unsigned)any(w, 4);
        if (any(w, w->away ? 20 : 80) == 0)
            w->away = !w->away;
        step(w, any(w, 200) * MS);
    }
    w->away = false;
    w->failing = 0;
    for (unsigned i = 0; i < 40000 && !gw_edge_is_empty(gw_engine_edge(w->t.engine, "scripted")); i++) {
        if (i % 4 == 0) /* what is suspected is found by what passes beside it */
            send_some(w);
        step(w, any(w, 200) * MS);
    }
    gw_test_engine_turn(&w->t, 4, S);
    check(w);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  the poison, and nothing but the poison, ends as dead letters; in an outage nothing does
 */
static void only_poison_is_buried(void **state)
{
    (void)state;
    gw_test_seeds(60, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_poison_is_buried)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
