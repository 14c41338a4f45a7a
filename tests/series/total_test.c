/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "series/total.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 300, PARTS = 5 };
__extension__ typedef __int128 i128;

static double draw(uint64_t *seed, int spread)
{
    uint64_t r = gw_test_random(seed);
    double v = ldexp((double)(r >> 11), (int)(r % (unsigned)spread) - spread / 2 - 53);

    return r & 1024 ? -v : v;
}

/* The oracle: an exact sum as a list of numbers that do not overlap (Shewchuk's growing expansion), rounded once. */
static double exact_sum(const double *v, unsigned n)
{
    double p[N + 1], sum = 0, rest = 0;
    unsigned used = 0;

    for (unsigned i = 0; i < n; i++) {
        double x = v[i];
        unsigned kept = 0;

        for (unsigned k = 0; k < used; k++) {
            double y = p[k], high = x + y, part = high - x, low = (x - (high - part)) + (y - part);

            if (low != 0)
                p[kept++] = low;
            x = high;
        }
        p[kept++] = x;
        used = kept;
    }
    while (used > 0 && rest == 0) {
        double x = sum, y = p[--used];

        sum = x + y;
        rest = y - (sum - x);
    }
    if (used > 0 && ((rest < 0 && p[used - 1] < 0) || (rest > 0 && p[used - 1] > 0))) {
        double twice = rest * 2, x = sum + twice;

        if (twice == x - sum)
            sum = x;
    }
    return sum;
}

static void shuffle(double *v, unsigned n, uint64_t *seed)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned k = (unsigned)(gw_test_random(seed) % i);
        double x = v[i - 1];

        v[i - 1] = v[k];
        v[k] = x;
    }
}

static void one_seed(uint64_t seed)
{
    uint64_t x = seed;
    double v[N], expected;
    struct gw_total all = {0}, again = {0}, part[PARTS] = {0}, left = {0}, right = {0};
    bool is_narrow = seed % 2;

    for (unsigned i = 0; i < N; i++)
        v[i] = i % 3 == 2 ? -v[i - 1] * (i % 2 ? 1 : 1 + DBL_EPSILON) : draw(&x, is_narrow ? 70 : 1900);
    expected = exact_sum(v, N);
    for (unsigned i = 0; i < N; i++)
        gw_total_add(&all, v[i], 1);
    shuffle(v, N, &x);
    for (unsigned i = 0; i < N; i++) {
        gw_total_add(&again, v[i], 1);
        gw_total_add(&part[gw_test_random(&x) % PARTS], v[i], 1);
    }
    assert_memory_equal(&all, &again, sizeof(all));
    for (unsigned i = 0; i < PARTS; i++) {
        struct gw_total t = part[PARTS - 1 - i];

        gw_total_merge(&left, &part[i]);
        gw_total_merge(&t, &right);
        right = t;
    }
    assert_memory_equal(&all, &left, sizeof(all));
    assert_memory_equal(&all, &right, sizeof(all));
    assert_true(gw_total_is_sane(&all));
    if (is_narrow)
        assert_true(gw_total_value(&all) == expected);
    else
        assert_true(fabs(gw_total_value(&all) - expected) <= DBL_EPSILON * fabs(expected));
}

/*
 * Scenario    300 doubles with cancellation, over a spread of 2^70 or of nearly all that a double has; in two orders,
 *             and in five parts merged from both ends
 * Guarantees  the same bytes every time; the sum is the exact one, rounded once
 */
static void order_makes_no_difference(void **state)
{
    (void)state;
    gw_test_seeds(400, one_seed);
}

static void check_ints(uint64_t seed)
{
    i128 expected = 0;
    struct gw_total t = {0};
    uint64_t x = seed;
    int64_t sum;

    for (unsigned i = 0; i < N; i++) {
        int64_t v = (int64_t)gw_test_random(&x) >> (i % 5 * 12);
        uint64_t n = i % 4 ? 1 : gw_test_random(&x) % 1000;

        gw_total_add_int(&t, v, n);
        expected += (i128)v * n;
        if (expected >= INT64_MIN && expected <= INT64_MAX) {
            assert_true(gw_total_int(&t, &sum));
            assert_true(sum == (int64_t)expected);
        } else {
            assert_false(gw_total_int(&t, &sum));
            assert_true(gw_total_value(&t) == (double)expected);
        }
    }
}

/* Scenario: sums of 64-bit integers, in and out of their range. Guarantees: exact, or the nearest double. */
static void integers_are_exact(void **state)
{
    (void)state;
    gw_test_seeds(200, check_ints);
}

static double sum_of(const double *v, unsigned n)
{
    struct gw_total t = {0};

    for (unsigned i = 0; i < n; i++)
        gw_total_add(&t, v[i], 1);
    return gw_total_value(&t);
}

#define SUM(...) sum_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

/* Scenario: what is at the ends of doubles. Guarantees: as documented. */
static void the_ends_of_doubles(void **state)
{
    struct gw_total t = {0};
    int64_t i;

    (void)state;
    assert_true(gw_total_int(&t, &i) && i == 0);
    assert_true(SUM(1e308, 1e308, -1e308) == 1e308);
    assert_true(SUM(DBL_MAX, DBL_MAX) == (double)INFINITY);
    assert_true(SUM(-DBL_MAX, -DBL_MAX) == -(double)INFINITY);
    assert_true(SUM(5e-324, 5e-324, -1e-320) == 1e-323 - 1e-320);
    assert_true(SUM(1e17, 1, -1e17) == 1);
    assert_true(SUM(0x1p53, 1) == 0x1p53);
    assert_true(SUM(0x1p53, 1, 0x1p-10) == 0x1p53 + 2);
    assert_true(SUM(0x1p53 + 2, 1) == 0x1p53 + 4);
    assert_true(SUM((double)INFINITY, 1) == (double)INFINITY);
    assert_true(SUM(-(double)INFINITY, 1) == -(double)INFINITY);
    assert_true(isnan(SUM((double)INFINITY, -(double)INFINITY)));
    assert_true(isnan(SUM(1, (double)NAN)));
    assert_true(SUM(-0.0, -0.0) == 0 && !signbit(SUM(-0.0, -0.0)));
    assert_true(SUM(1, 1e300, -1e300) == 0); /* below 2^-128 of the largest: cut off, in any order */
    assert_true(SUM(1e300, -1e300, 1) == 0);
    gw_total_add(&t, (double)NAN, 1);
    gw_total_add(&t, 0.1, UINT64_C(1) << 62);
    assert_true(gw_total_finite(&t) == 0.1 * 0x1p62);
    gw_total_add(&t, 0.1, 0);
    assert_true(gw_total_finite(&t) == 0.1 * 0x1p62);
}

static void what_is_not_a_total_is_told(void **state)
{
    struct gw_total t = {.top = 36};

    (void)state;
    assert_false(gw_total_is_sane(&t));
    t = (struct gw_total){.flags = 16};
    assert_false(gw_total_is_sane(&t));
    t = (struct gw_total){.high[2] = INT64_MIN};
    assert_false(gw_total_is_sane(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_makes_no_difference),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(the_ends_of_doubles),
        cmocka_unit_test(what_is_not_a_total_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
