/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sinks with a knee, and a queue that never runs empty before them: how much gets through, and how often the sink has
 * to say "too many", with every fixed number of consumers and with one that adapts.
 *
 *   K requests are worked on at once, 7 to 13 ms each; B more wait inside; all others hear 429 at once
 *
 * GW_SIM_SEEDS=n runs n seeds (default 1), GW_SIM_SEED=s only that one. The figures are printed.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"

#define MS 1000000ull
#define S  1000000000ull

enum { CONSUMERS = 40, SECONDS = 20, FIXED_SECONDS = 8, WARM_UP_S = 5 };

struct sink_model {
    const char *name;
    unsigned knee, buffer;
    unsigned moves_to; /* the knee of the second half; 0: it stays */
};

enum { NEVER_REFUSES = 1000 };

struct run {
    struct gw_test_engine t;
    struct gw_test_door *door;
    struct gw_test_sink *sink;
    const struct sink_model *model;
    uint64_t seed, row;
    double work[GW_TEST_WAITING];     /* ms that waiting[i] still needs; < 0: new */
    uint64_t n_ok, n_busy, with_sink; /* of the last one: summed up over milliseconds */
};

static void set_up(struct run *r, const struct sink_model *m, unsigned consumers, bool adapts, uint64_t seed)
{
    char yaml[1024];

    memset(r, 0, sizeof(*r));
    r->model = m;
    r->seed = seed;
    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters:\n"
                   "  scripted:\n"
                   "    timeout: 1s\n"
                   "    retry_on_failure: { initial_interval: 1s, max_elapsed_time: 0 }\n"
                   "    circuit_breaker: { enabled: false }\n"
                   "    sending_queue: { num_consumers: %u, queue_size: 500, adaptive_concurrency: { enabled: %s } }\n"
                   "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n",
                   consumers, adapts ? "true" : "false");
    gw_test_engine_open(&r->t, yaml, 1, false);
    r->t.looks_away = !adapts; /* what it is compared with is counted, not looked at */
    r->t.te.seed = seed;
    r->door = gw_test_engine_door(&r->t, "scripted", 0);
    r->sink = gw_test_engine_sink(&r->t, "scripted");
}

static void fill(struct run *r)
{
    struct gw_edge *e = gw_engine_edge(r->t.engine, "scripted");

    while (gw_edge_counts(e, GW_LOGS).held < 60) {
        gw_test_engine_send(r->door, GW_LOGS, ++r->row, 1, 0);
        gw_test_engine_turn(&r->t, 1, 0);
    }
}

static void answer(struct run *r, unsigned i, const struct gw_sent_info *info)
{
    unsigned n = r->sink->n_waiting;

    memmove(r->work + i, r->work + i + 1, (n - i - 1) * sizeof(r->work[0]));
    r->n_ok += info->sent == GW_SENT_OK;
    r->n_busy += info->sent != GW_SENT_OK;
    (void)gw_test_sink_answer_at(r->sink, i, info);
    for (unsigned k = n - 1; k < r->sink->n_waiting; k++)
        r->work[k] = -1;
}

/* The time that a request takes by itself: 10 ms ± 30 %. */
static double own_ms(struct run *r)
{
    return 7 + (double)(gw_test_random(&r->seed) % 6000) / 1000;
}

/* A millisecond of the sink. */
static void work(struct run *r, unsigned knee, unsigned *ret_known)
{
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    static const struct gw_sent_info busy = {.sent = GW_SENT_RETRY, .reason = "http_429", .sign = GW_SIGN_BUSY};

    for (unsigned i = *ret_known; i < r->sink->n_waiting; i++)
        r->work[i] = own_ms(r);
    for (unsigned i = 0; i < r->sink->n_waiting;) {
        if (i >= knee + r->model->buffer) {
            answer(r, i, &busy);
            continue;
        }
        if (i < knee)
            r->work[i] -= 1;
        if (r->work[i] > 0) {
            i++;
            continue;
        }
        answer(r, i, &ok);
        for (unsigned k = 0; k < r->sink->n_waiting; k++) /* of those that came for it */
            if (r->work[k] < 0)
                r->work[k] = own_ms(r);
    }
    *ret_known = r->sink->n_waiting;
}

struct result {
    double per_s, busy_per_s, with_sink;
};

static struct result run_one(const struct sink_model *m, unsigned consumers, bool adapts, uint64_t seed)
{
    struct run *r = calloc(1, sizeof(*r));
    struct result res;
    unsigned known = 0, seconds = adapts ? SECONDS : FIXED_SECONDS; /* a fixed number has nothing to learn */

    assert_non_null(r);
    set_up(r, m, consumers, adapts, seed);
    for (unsigned ms = 0; ms < (WARM_UP_S + seconds) * 1000; ms++) {
        if (ms == WARM_UP_S * 1000)
            r->n_ok = r->n_busy = r->with_sink = 0;
        fill(r);
        work(r, m->moves_to && ms > (WARM_UP_S + seconds / 2) * 1000 ? m->moves_to : m->knee, &known);
        gw_test_engine_turn(&r->t, 1, MS);
        r->with_sink += r->sink->n_waiting;
    }
    res = (struct result){(double)r->n_ok / seconds, (double)r->n_busy / seconds,
                          (double)r->with_sink / (seconds * 1000)};
    r->sink->at_once = true;
    r->sink->info = (struct gw_sent_info){.sent = GW_SENT_OK};
    while (gw_test_sink_answer(r->sink, &r->sink->info))
        ;
    for (unsigned i = 0; i < 40; i++)
        gw_test_engine_turn(&r->t, 2, S);
    (void)gw_test_engine_close(&r->t);
    free(r);
    return res;
}

static const struct sink_model models[] = {
    {"refuses beyond 8 + 4", 8, 4, 0},
    {"refuses beyond 20 + 0", 20, 0, 0},
    {"refuses beyond 3 + 2", 3, 2, 0},
    {"moves from 8 + 4 to 16 + 4", 8, 4, 16},
};

static void run_seed(uint64_t seed)
{
    static const unsigned fixed[] = {2, 4, 8, 12, 16, 20, 24, 32};

    for (unsigned m = 0; m < sizeof(models) / sizeof(models[0]); m++) {
        struct result best = {0}, all = {0}, adaptive;
        unsigned best_at = 0;

        for (unsigned i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
            unsigned c = fixed[i];

            all = run_one(&models[m], c, false, seed);
            if (all.per_s > best.per_s) {
                best = all;
                best_at = c;
            }
        }
        all = run_one(&models[m], CONSUMERS, false, seed);
        adaptive = run_one(&models[m], CONSUMERS, true, seed);
        printf("%-28s best fixed %2u: %6.0f/s, %5.1f refused/s | fixed %u: %6.0f/s, %5.1f | adaptive: %6.0f/s, %5.1f\n",
               models[m].name, best_at, best.per_s, best.busy_per_s, CONSUMERS, all.per_s, all.busy_per_s,
               adaptive.per_s, adaptive.busy_per_s);
        assert_true(adaptive.per_s >= 0.9 * best.per_s);
        assert_true(adaptive.busy_per_s < all.busy_per_s);
    }
}

/*
 * Scenario    see above: four sinks, one of which doubles
 * Guarantees  what adapts brings at least 90 % of the best fixed number, and is told "too many" less often than
 *             num_consumers at once
 */
static void adapting_comes_close_to_the_best_number(void **state)
{
    (void)state;
    gw_test_seeds(1, run_seed);
}

static void run_slow_seed(uint64_t seed)
{
    static const struct sink_model slows[] = {
        {"slows down beyond 8", 8, NEVER_REFUSES, 0},
        {"then beyond 24", 8, NEVER_REFUSES, 24},
    };

    for (unsigned m = 0; m < 2; m++) {
        struct result all = run_one(&slows[m], CONSUMERS, false, seed);
        struct result adaptive = run_one(&slows[m], CONSUMERS, true, seed);

        printf("%-28s fixed %u: %6.0f/s, %4.1f at once | adaptive: %6.0f/s, %4.1f\n", slows[m].name, CONSUMERS,
               all.per_s, all.with_sink, adaptive.per_s, adaptive.with_sink);
        assert_true(all.with_sink > 38);
        assert_true(adaptive.per_s >= 0.93 * all.per_s);
        assert_true(adaptive.with_sink < (m ? 34 : 17));
    }
}

/*
 * Scenario    a sink that refuses nothing and works on 8 requests at once, later on 24: what is more waits inside of it
 * Guarantees  as much gets through as with 40 at once (7 % less at most), and the sink has at most twice as much to do
 *             at once as it can
 */
static void a_sink_that_only_gets_slow_is_not_buried(void **state)
{
    (void)state;
    gw_test_seeds(1, run_slow_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapting_comes_close_to_the_best_number),
        cmocka_unit_test(a_sink_that_only_gets_slow_is_not_buried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
