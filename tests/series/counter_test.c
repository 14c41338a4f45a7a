/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <math.h>
#include <string.h>

#include "series/counter.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 60, PANES = 6, PANE = 100 };

/* A counter over 600 ns that starts anew up to `lives` times, seen N times. Returns by how much it went up per pane, as
 * one who has counted knows it: from the last point before the pane to the last one in it. */
static void live(struct gw_counter_point *v, uint64_t *x, unsigned lives, double *up)
{
    uint64_t start = 5;
    double value = 0;

    memset(up, 0, PANES * sizeof(*up));
    for (unsigned i = 0; i < N; i++) {
        uint64_t time = 10 + i * 9 + gw_test_random(x) % 9;
        double step = (double)(gw_test_random(x) % 50);

        if (lives && i && i % (N / (lives + 1)) == 0) {
            start = time - 1;
            value = 0;
        }
        value += step;
        up[time / PANE] += step;
        v[i] = (struct gw_counter_point){start, time, value};
    }
}

static void shuffle(struct gw_counter_point *v, uint64_t *x)
{
    for (unsigned i = N; i > 1; i--) {
        unsigned k = (unsigned)(gw_test_random(x) % i);
        struct gw_counter_point p = v[i - 1];

        v[i - 1] = v[k];
        v[k] = p;
    }
}

static void one_seed(uint64_t seed)
{
    struct gw_counter_point v[N];
    struct gw_counter pane[PANES] = {0}, left = {0}, right = {0};
    double up[PANES], all = 0;
    uint64_t x = seed;

    live(v, &x, seed % 4, up);
    shuffle(v, &x);
    for (unsigned i = 0; i < 2 * N; i++)
        assert_true(gw_counter_add(&pane[v[i % N].time_ns / PANE], &v[i % N]));
    for (unsigned i = 0; i < PANES; i++) {
        assert_true(gw_counter_increase(&pane[i], i ? &pane[i - 1] : NULL, i * PANE) == up[i]);
        all += up[i];
        gw_counter_merge(&left, &pane[i]);
        gw_counter_merge(&right, &pane[PANES - 1 - i]);
    }
    assert_memory_equal(&left, &right, sizeof(left));
    assert_true(gw_counter_increase(&left, NULL, 0) == all);
}

/*
 * Scenario    60 points of a counter that starts anew up to three times, twice each, in any order, in panes, which are
 *             merged from both ends
 * Guarantees  each pane says what was counted in it, the merged ones what was counted in all; the same bytes
 */
static void lives_are_told_apart_by_their_start(void **state)
{
    (void)state;
    gw_test_seeds(300, one_seed);
}

static void unknown_seed(uint64_t seed)
{
    struct gw_counter_point v[N];
    struct gw_counter pane[PANES] = {0}, all = {0};
    double up[PANES], want = 0;
    uint64_t x = seed;

    live(v, &x, seed % 4, up);
    for (unsigned i = 0; i < N; i++) {
        if (i && v[i].start_ns != v[i - 1].start_ns && v[i].value >= v[i - 1].value)
            return; /* nobody can see that */
        v[i].start_ns = 0;
        assert_true(gw_counter_add(&pane[v[i].time_ns / PANE], &v[i]));
    }
    up[0] = NAN;
    for (unsigned i = 1; i < PANES; i++) {
        struct gw_counter before = {0};

        for (unsigned k = 0; k < N; k++) /* all before, so that each pane has a point before it */
            if (v[k].time_ns / PANE < i)
                (void)gw_counter_add(&before, &v[k]);
        assert_true(gw_counter_increase(&pane[i], &before, i * PANE) == up[i]);
        want += up[i];
    }
    for (unsigned i = 1; i < PANES; i++)
        gw_counter_merge(&all, &pane[i]);
    assert_true(gw_counter_increase(&all, &pane[0], PANE) == want);
}

/* Scenario: the same without start times, in order. Guarantees: a fall is a new start; panes as above. */
static void without_a_start_a_fall_is_one(void **state)
{
    (void)state;
    gw_test_seeds(300, unknown_seed);
}

static bool add(struct gw_counter *c, uint64_t start, uint64_t time, double value)
{
    return gw_counter_add(c, &(struct gw_counter_point){start, time, value});
}

/* Scenario: what no counter says; one point; equal times; more lives than there is room for. Guarantees: as documented.
 */
static void the_edges(void **state)
{
    struct gw_counter c = {0}, none = {0}, before = {0}, fallen = {0};

    (void)state;
    assert_false(add(&c, 1, 2, (double)NAN));
    assert_false(add(&c, 1, 2, (double)INFINITY));
    assert_false(add(&c, 1, 2, -1));
    assert_false(add(&c, 3, 2, 1));
    assert_memory_equal(&c, &none, sizeof(c));
    assert_true(gw_counter_increase(&c, NULL, 0) == 0);
    assert_true(add(&before, 0, 5, 50) && add(&fallen, 0, 11, 3) && add(&fallen, 0, 12, 4));
    assert_true(gw_counter_increase(&fallen, &before, 10) == 4); /* it fell between the two */
    assert_true(gw_counter_increase(&fallen, NULL, 10) == 1);
    assert_true(add(&c, 10, 20, 7));
    assert_true(gw_counter_increase(&c, NULL, 10) == 7);
    assert_true(gw_counter_increase(&c, NULL, 11) == 0);
    assert_true(gw_counter_increase(&c, &none, 10) == 7);
    assert_true(add(&c, 10, 20, 9) && add(&c, 10, 20, 8));
    assert_true(gw_counter_increase(&c, NULL, 11) == 2);
    for (uint64_t i = 1; i < 9; i++)
        assert_true(add(&c, 10 + 10 * i, 15 + 10 * i, 1));
    assert_int_equal(c.n, GW_COUNTER_LIVES);
    assert_true(gw_counter_increase(&c, NULL, 11) == 10);
    assert_true(add(&c, 30, 36, 5)); /* closed */
    assert_true(gw_counter_increase(&c, NULL, 11) == 10);
    assert_true(add(&c, 90, 99, 5) && add(&c, 10, 21, 12)); /* the last and the first are not */
    assert_true(gw_counter_increase(&c, NULL, 11) == 10 + 4 + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_are_told_apart_by_their_start),
        cmocka_unit_test(without_a_start_a_fall_is_one),
        cmocka_unit_test(the_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
