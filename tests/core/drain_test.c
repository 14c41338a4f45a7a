/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "core/drain.h"

#define S  1000000000ull
#define MS 1000000ull

/*
 * Scenario    nothing seen; 100 a second for ten seconds; then 400 a second, then nothing for a minute
 * Guarantees  a guess; the backlog by the rate; the new rate after a few windows; the longest wait
 */
static void the_wait_follows_the_rate(void **state)
{
    struct gw_drain d = {0};
    uint64_t now = 5 * S, total = 1000;

    (void)state;
    assert_int_equal(gw_drain_wait_ns(&d, total, now, 50), GW_DRAIN_GUESS_NS);
    for (unsigned i = 0; i < 100; i++) {
        now += 100 * MS;
        total += 10;
        gw_drain_note(&d, total, now);
    }
    assert_in_range(gw_drain_wait_ns(&d, total, now, 50), 499 * MS, 501 * MS);
    assert_in_range(gw_drain_wait_ns(&d, total, now, 250), 2499 * MS, 2501 * MS);
    for (unsigned i = 0; i < 60; i++) {
        now += 100 * MS;
        total += 40;
        gw_drain_note(&d, total, now);
    }
    assert_in_range(gw_drain_wait_ns(&d, total, now, 250), 620 * MS, 640 * MS);
    for (unsigned i = 0; i < 60; i++) {
        now += S;
        gw_drain_note(&d, total, now);
    }
    assert_int_equal(gw_drain_wait_ns(&d, total, now, 1), GW_DRAIN_MAX_NS);
}

/*
 * Scenario    the counter went back a little
 * Guarantees  nothing has left in that window
 */
static void a_corrected_counter_is_no_rate(void **state)
{
    struct gw_drain d = {0};

    (void)state;
    gw_drain_note(&d, 1000, S);
    assert_int_equal(gw_drain_wait_ns(&d, 990, 2 * S, 1), GW_DRAIN_MAX_NS);
    assert_in_range(gw_drain_wait_ns(&d, 1000, 3 * S, 10), 1999 * MS, 2001 * MS);
}

/*
 * Scenario    a short backlog before a fast drain, a long one before a slow drain; nobody looked for ten minutes
 * Guarantees  never below the shortest or above the longest wait; the window that was long counts as it was
 */
static void the_wait_has_its_limits(void **state)
{
    struct gw_drain d = {0};
    uint64_t now = 5 * S;

    (void)state;
    gw_drain_note(&d, 0, now);
    assert_int_equal(gw_drain_wait_ns(&d, 1000000, now + S, 1), GW_DRAIN_MIN_NS);
    assert_int_equal(gw_drain_wait_ns(&d, 1000000, now + S, UINT64_MAX), GW_DRAIN_MAX_NS);
    d = (struct gw_drain){0};
    gw_drain_note(&d, 0, now);
    assert_in_range(gw_drain_wait_ns(&d, 1200, now + 600 * S, 10), 4999 * MS, 5001 * MS); /* two a second */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_follows_the_rate),
        cmocka_unit_test(a_corrected_counter_is_no_rate),
        cmocka_unit_test(the_wait_has_its_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
