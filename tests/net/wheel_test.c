/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "net/wheel.h"

#define MS   1000000ull
#define TICK (1ull << GW_WHEEL_TICK_BITS)

static unsigned n_fired;

static void fire(struct gw_timer *t)
{
    (void)t;
    n_fired++;
}

static uint64_t tick_up(uint64_t ns)
{
    return (ns + TICK - 1) / TICK * TICK;
}

/* Scenario: one timer, 1 ms to 100 s ahead, from any place of the wheel; whoever waits comes when he was told to.
 * Guarantees: he is told the timer's own time, and comes once, though the timer lies on a higher level. */
static void who_waits_for_a_timer_wakes_once(void **state)
{
    (void)state;
    for (uint64_t now = 1; now < 100000 * MS; now = now * 3 + 7 * MS)
        for (uint64_t ahead = MS; ahead < 100000 * MS; ahead *= 3) {
            struct gw_timer t = {.due_ns = now + ahead, .fire = fire};
            struct gw_wheel w;

            gw_wheel_init(&w, now);
            n_fired = 0;
            gw_wheel_insert(&w, &t);
            assert_int_equal(gw_wheel_next_ns(&w), tick_up(t.due_ns));
            gw_wheel_advance(&w, gw_wheel_next_ns(&w));
            assert_int_equal(n_fired, 1);
            assert_int_equal(gw_wheel_next_ns(&w), UINT64_MAX);
        }
}

/* Scenario: a hundred timers in one slot of a higher level, the first due 3 ms behind its begin.
 * Guarantees: they are not all looked at for the sake of that: the slot's begin is told, and later the first one. */
static void of_many_timers_the_begin_is_told(void **state)
{
    struct gw_timer t[100];
    const uint64_t slot = 64 * TICK; /* on the second level */
    struct gw_wheel w;

    (void)state;
    gw_wheel_init(&w, 0);
    n_fired = 0;
    for (unsigned i = 0; i < 100; i++) {
        t[i] = (struct gw_timer){.due_ns = 2 * slot + (3 + i % 40) * TICK, .fire = fire};
        gw_wheel_insert(&w, &t[i]);
    }
    assert_int_equal(gw_wheel_next_ns(&w), 2 * slot);
    gw_wheel_advance(&w, 2 * slot);
    assert_int_equal(n_fired, 0);
    assert_int_equal(gw_wheel_next_ns(&w), 2 * slot + 3 * TICK);
    gw_wheel_advance(&w, 4 * slot);
    assert_int_equal(n_fired, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_for_a_timer_wakes_once),
        cmocka_unit_test(of_many_timers_the_begin_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
