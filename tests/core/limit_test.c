/* SPDX-License-Identifier: Apache-2.0 */
/* The rules one by one. What they come to with a sink and a queue is tests/sim/concurrency_sim_test.c's. */
#include "tests/harness.h"

#include "core/limit.h"

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

/* Scenario: a sink that never complains, slow and fast; adapts or not. Guarantees: the limit is what the settings say.
 */
static void without_complaints_it_is_num_consumers(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    for (unsigned adapts = 0; adapts < 2; adapts++) {
        gw_limit_init(&l, adapts, 10);
        for (unsigned i = 0; i < 1000; i++) {
            round_of(&l, &now, (1 + i % 50) * MS, adapts ? 0 : 3);
            assert_int_equal(gw_limit_get(&l), 10);
        }
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
 * Scenario    a cut from 20 to 14, then rounds without complaints, at the lowest latency; the same at three times it
 * Guarantees  one more each round below where it was cut, then one in twenty rounds; while latency is high, one in
 * twenty
 */
static void it_grows_fast_below_the_ceiling_and_slowly_beyond(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    gw_limit_init(&l, true, 20);
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

    gw_limit_init(&l, true, 20);
    now = MS;
    round_of(&l, &now, 10 * MS, 1);
    now += 1;
    round_of(&l, &now, 10 * MS, 0);
    assert_int_equal(gw_limit_get(&l), 15);
    for (unsigned i = 0; i < 19; i++)
        round_of(&l, &now, 30 * MS, 0);
    assert_int_equal(gw_limit_get(&l), 15);
    round_of(&l, &now, 30 * MS, 0);
    assert_int_equal(gw_limit_get(&l), 16);
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

/*
 * Scenario    the lowest latency was 1 ms, once; from then on it is 10 ms, for two minutes
 * Guarantees  what was seen long ago is forgotten: after a cut it grows by one a round again
 */
static void the_lowest_latency_is_a_recent_one(void **state)
{
    struct gw_limit l;
    uint64_t now = MS;

    (void)state;
    gw_limit_init(&l, true, 20);
    round_of(&l, &now, MS, 0);
    for (unsigned i = 0; i < 12000; i++)
        round_of(&l, &now, 10 * MS, 0);
    round_of(&l, &now, 10 * MS, 1);
    now += 1;
    for (unsigned i = 0; i < 4; i++)
        round_of(&l, &now, 10 * MS, 0);
    assert_int_equal(gw_limit_get(&l), 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_complaints_it_is_num_consumers),
        cmocka_unit_test(too_busy_cuts_once_a_round_trip),
        cmocka_unit_test(only_what_means_less_cuts),
        cmocka_unit_test(it_grows_fast_below_the_ceiling_and_slowly_beyond),
        cmocka_unit_test(an_unused_limit_does_not_grow),
        cmocka_unit_test(the_lowest_latency_is_a_recent_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
