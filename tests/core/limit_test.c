/* SPDX-License-Identifier: Apache-2.0 */
/* The rules one by one. What they come to with a sink and a queue is tests/sim/concurrency_sim_test.c's. */
#include "tests/harness.h"

#include <string.h>

#include "core/limit.h"
#include "tests/harness_env.h"

#define MS 1000000ull

/* A round of calls that begin together, with `busy` of them refused; time passes by the latency. */
static void round_of(struct gw_limit *l, uint64_t *now, uint64_t latency_ns, unsigned busy)
{
    unsigned n = gw_limit_get(l);
    uint64_t begin = *now;

    for (unsigned i = 0; i < n; i++)
        gw_limit_begin(l, i + 1);
    *now += latency_ns;
    for (unsigned i = 0; i < n; i++)
        gw_limit_end(l, i < busy ? GW_SIGN_BUSY : GW_SIGN_WELL, begin, *now);
}

/* Scenario: a sink that always takes 10 ms; one that complains, and a limit that does not adapt. Guarantees: the limit
 * is what the settings say, but for short trials; always. */
static void without_complaints_it_is_num_consumers(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;
    unsigned n_all = 0;

    (void)state;
    gw_limit_init(&l, true, 10);
    for (unsigned i = 0; i < 20000; i++) {
        round_of(&l, &now, 10 * MS, 0);
        n_all += gw_limit_get(&l) == 10;
        assert_true(gw_limit_get(&l) >= 5);
    }
    assert_in_range(n_all, 19960, 19990); /* 200 s: a trial every half a minute */

    gw_limit_init(&l, false, 10);
    for (unsigned i = 0; i < 1000; i++) {
        round_of(&l, &now, (1 + i % 50) * MS, 3);
        assert_int_equal(gw_limit_get(&l), 10);
    }
}

/*
 * Scenario    20 under way, 5 of them are "too busy", together; then another round of that; then nothing but
 * Guarantees  one cut a round trip, to 0.7; again and again down to 1 and not below
 */
static void too_busy_cuts_once_a_round_trip(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    gw_limit_init(&l, true, 20);
    round_of(&l, &now, 10 * MS, 5);
    assert_int_equal(gw_limit_get(&l), 14);
    now += 1;
    round_of(&l, &now, 10 * MS, 1);
    assert_int_equal(gw_limit_get(&l), 9);
    for (unsigned i = 0; i < 20; i++) {
        now += 1;
        round_of(&l, &now, 10 * MS, 1);
    }
    assert_int_equal(gw_limit_get(&l), 1);
}

/* Scenario: no answer in time; a connection that breaks. Guarantees: the first cuts, the other is the breaker's. */
static void only_what_means_less_cuts(void **state)
{
    struct gw_limit l;

    (void)state;
    gw_limit_init(&l, true, 10);
    gw_limit_end(&l, GW_SIGN_AWAY, MS, 2 * MS);
    gw_limit_end(&l, GW_SIGN_UNSURE, MS, 2 * MS);
    gw_limit_end(&l, GW_SIGN_NONE, MS, 2 * MS);
    assert_int_equal(gw_limit_get(&l), 10);
    gw_limit_end(&l, GW_SIGN_LATE, MS, 2 * MS);
    assert_int_equal(gw_limit_get(&l), 7);
}

/*
 * Scenario    a cut from 20 to 14, then rounds without complaints at the same latency
 * Guarantees  one more each round below where it was cut, then one in twenty rounds
 */
static void it_grows_fast_below_the_ceiling_and_slowly_beyond(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    gw_limit_init(&l, true, 20);
    l.n_rounds = 0; /* no trial meanwhile */
    round_of(&l, &now, 10 * MS, 1);
    now += 1;
    for (unsigned want = 15; want <= 19; want++) {
        round_of(&l, &now, 10 * MS, 0);
        assert_int_equal(gw_limit_get(&l), want);
    }
    for (unsigned i = 0; i < 19; i++) {
        round_of(&l, &now, 10 * MS, 0);
        assert_int_equal(gw_limit_get(&l), 19);
    }
    round_of(&l, &now, 10 * MS, 0);
    assert_int_equal(gw_limit_get(&l), 20);
}

/* Scenario: after a cut, calls one at a time. Guarantees: a limit that is not used does not grow. */
static void an_unused_limit_does_not_grow(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    gw_limit_init(&l, true, 20);
    round_of(&l, &now, 10 * MS, 1);
    for (unsigned i = 0; i < 5000; i++) {
        now += 1;
        gw_limit_begin(&l, 1);
        gw_limit_end(&l, GW_SIGN_WELL, now, now + 10 * MS);
        now += 10 * MS;
    }
    assert_int_equal(gw_limit_get(&l), 14);
}

/* ---- a sink that says nothing and gets slow ------------------------------------------------------------------ */

enum { MOST = 40 };

/* `knee` calls are worked on at once without being in each other's way; beyond it they share what there is, or less. */
struct knee {
    struct gw_limit l;
    uint64_t now_ns, seed;
    double knee;
    double own_ms;   /* of a call alone, ± 30 % */
    bool thrashes;   /* beyond the knee less gets done, too */
    bool last_first; /* only the last `knee` calls are worked on: those before wait until it is idle */
    struct {
        double ms; /* that it still needs */
        uint64_t begin_ns;
    } calls[MOST];
    unsigned n;
    unsigned n_done, lowest, highest;
};

static void knee_init(struct knee *k, double knee, double own_ms)
{
    *k = (struct knee){.knee = knee, .own_ms = own_ms, .seed = 7, .now_ns = MS};
    gw_limit_init(&k->l, true, MOST);
}

static void knee_begin(struct knee *k)
{
    double unit = (double)(gw_test_random(&k->seed) % 1000) / 1000;

    k->calls[k->n].ms = k->own_ms * (0.7 + 0.6 * unit);
    k->calls[k->n].begin_ns = k->now_ns;
    gw_limit_begin(&k->l, ++k->n);
}

static double share(const struct knee *k)
{
    double of_one = k->n > k->knee ? k->knee / k->n : 1;

    return k->thrashes ? of_one * of_one : of_one;
}

/* A millisecond, with as many calls under way as may be, or as are wanted. */
static void knee_ms(struct knee *k, unsigned wanted)
{
    double done;

    while (k->n < gw_limit_get(&k->l) && k->n < wanted)
        knee_begin(k);
    done = share(k);
    k->now_ns += MS;
    if (k->last_first)
        done = 1;
    for (unsigned i = k->last_first && k->n > k->knee ? k->n - (unsigned)k->knee : 0; i < k->n;) {
        k->calls[i].ms -= done;
        if (k->calls[i].ms > 0) {
            i++;
            continue;
        }
        k->n_done++;
        gw_limit_end(&k->l, GW_SIGN_WELL, k->calls[i].begin_ns, k->now_ns);
        k->n--;
        if (k->last_first)
            memmove(k->calls + i, k->calls + i + 1, (k->n - i) * sizeof(k->calls[0]));
        else
            k->calls[i] = k->calls[k->n];
    }
}

static void knee_calls(struct knee *k, unsigned calls, unsigned wanted)
{
    unsigned end = k->n_done + calls;

    k->lowest = MOST;
    k->highest = 0;
    for (; k->n_done < end; knee_ms(k, wanted)) {
        k->lowest = gw_limit_get(&k->l) < k->lowest ? gw_limit_get(&k->l) : k->lowest;
        k->highest = gw_limit_get(&k->l) > k->highest ? gw_limit_get(&k->l) : k->highest;
    }
}

/*
 * Scenario    sinks that queue what is beyond 4, 8, 20 at once, that serve the last first, and that get less and less
 *             done then; 40 consumers
 * Guarantees  after 500 calls the limit is between the knee and hardly more than its double, but for trials, which
 * halve it (of thrashing sinks sometimes twice); the next 20,000 calls take at most 5 % longer than with the best
 * limit, where less and less gets done 50 %
 */
static void a_sink_that_gets_slow_has_its_knee_found(void **state)
{
    static const double knees[] = {4, 8, 20};
    struct knee k;

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        double knee = knees[i / 3], most_ms = 20000 * 100 / knee;
        uint64_t begin_ns;

        knee_init(&k, knee, 100);
        k.thrashes = i % 3 == 1;
        k.last_first = i % 3 == 2;
        knee_calls(&k, 500, MOST);
        begin_ns = k.now_ns;
        knee_calls(&k, 20000, MOST);
        assert_in_range(k.lowest, (unsigned)knee / 4, 2 * (unsigned)knee);
        assert_in_range(k.highest, (unsigned)knee, 2 * (unsigned)knee + 2);
        assert_true((double)(k.now_ns - begin_ns) / MS < (k.thrashes ? 1.5 : 1.05) * most_ms);
    }
}

/*
 * Scenario    a sink with a knee of 30 has one of 3 for a while, and then 30 again
 * Guarantees  the limit goes down with it, not to 1, and comes back
 */
static void it_goes_down_with_a_sink_and_comes_back(void **state)
{
    struct knee k;

    (void)state;
    knee_init(&k, 30, 50);
    knee_calls(&k, 3000, MOST);
    assert_in_range(gw_limit_get(&k.l), 25, 40);
    k.knee = 3;
    knee_calls(&k, 1000, MOST);
    knee_calls(&k, 3000, MOST);
    assert_in_range(k.lowest, 2, 6);
    assert_in_range(k.highest, 3, 6);
    k.knee = 30;
    knee_calls(&k, 1000, MOST);
    knee_calls(&k, 3000, MOST);
    assert_in_range(k.highest, 30, 40);
    assert_true(k.lowest >= 15);
}

/*
 * Scenario    a sink that bears 40 at once: one answer in a hundred takes thirty times as long; then all take four
 *             times as long, however few there are; then all are as before
 * Guarantees  the limit is 40, but for trials
 */
static void slowness_of_the_sinks_own_cuts_nothing(void **state)
{
    struct knee k;
    unsigned n_all = 0;

    (void)state;
    knee_init(&k, 100, 20);
    for (unsigned i = 0; i < 30000; i++) {
        knee_ms(&k, MOST);
        if (i % 50 == 0)
            k.calls[i % k.n].ms = 600;
        n_all += gw_limit_get(&k.l) == MOST;
    }
    assert_true(n_all > 29500);
    k.own_ms = 80;
    knee_calls(&k, 4000, MOST);
    assert_in_range(gw_limit_get(&k.l), 40, 40);
    k.own_ms = 20;
    knee_calls(&k, 4000, MOST);
    assert_in_range(gw_limit_get(&k.l), 40, 40);
}

/* Scenario: a knee of 8, and never more than 6 calls to be sent. Guarantees: no trial, no cut. */
static void a_limit_that_is_not_used_is_left_alone(void **state)
{
    struct knee k;

    (void)state;
    knee_init(&k, 8, 20);
    knee_calls(&k, 20000, 6);
    assert_int_equal(k.lowest, MOST);
}

/* Scenario: one at a time is too much for a sink for a while: it is slow at 1. Guarantees: 1 is left when it is not. */
static void it_does_not_stay_at_one(void **state)
{
    struct knee k;

    (void)state;
    knee_init(&k, 1, 20);
    knee_calls(&k, 2000, MOST);
    assert_in_range(k.highest, 1, 40);
    knee_calls(&k, 2000, MOST);
    assert_in_range(k.highest, 1, 2);
    k.knee = 10;
    k.own_ms = 100; /* and slower than what was measured when it was fast */
    knee_calls(&k, 2000, MOST);
    knee_calls(&k, 2000, MOST);
    assert_in_range(k.highest, 10, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_complaints_it_is_num_consumers),
        cmocka_unit_test(too_busy_cuts_once_a_round_trip),
        cmocka_unit_test(only_what_means_less_cuts),
        cmocka_unit_test(it_grows_fast_below_the_ceiling_and_slowly_beyond),
        cmocka_unit_test(an_unused_limit_does_not_grow),
        cmocka_unit_test(a_sink_that_gets_slow_has_its_knee_found),
        cmocka_unit_test(it_goes_down_with_a_sink_and_comes_back),
        cmocka_unit_test(slowness_of_the_sinks_own_cuts_nothing),
        cmocka_unit_test(a_limit_that_is_not_used_is_left_alone),
        cmocka_unit_test(it_does_not_stay_at_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
