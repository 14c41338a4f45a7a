/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "series/quantile.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 600, BOUNDS = 9 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Of both signs, zeros among them; over a spread of 2^spread. */
static void draw(double *v, uint64_t *x, int spread)
{
    for (unsigned i = 0; i < N; i++) {
        uint64_t r = gw_test_random(x);

        v[i] = ldexp(1 + (double)(r >> 12) / 0x1p52, (int)(r % (unsigned)spread) - spread / 2);
        v[i] = (r >> 8 & 15) == 0 ? 0 : (r >> 8 & 3) == 1 ? -v[i] : v[i];
    }
}

static double exact(const double *sorted, double q)
{
    double rank = ceil(q * N);

    return sorted[rank < 1 ? 0 : (unsigned)rank - 1];
}

static void one_seed(uint64_t seed)
{
    uint64_t x = seed;
    struct gw_exponential h;
    double v[N], bound, base;

    draw(v, &x, seed % 4 == 0 ? 600 : 12);
    gw_exponential_init(&h, seed % 3 ? 160 : 20);
    for (unsigned i = 0; i < N; i++)
        assert_true(gw_exponential_add(&h, v[i], 1));
    qsort(v, N, sizeof(v[0]), ascending);
    base = exp2(ldexp(1, -h.scale));
    bound = (base - 1) / (base + 1) * (1 + 1e-9);
    for (unsigned i = 0; i <= 100; i++) {
        double q = i / 100.0, e = exact(v, q), got = gw_exponential_quantile(&h, q);

        assert_true(fabs(got - e) <= bound * fabs(e));
    }
    assert_true(gw_exponential_quantile(&h, 0) == v[0] && gw_exponential_quantile(&h, 1) == v[N - 1]);
    assert_true(gw_exponential_quantile(&h, -3) == v[0] && gw_exponential_quantile(&h, 7) == v[N - 1]);
    gw_exponential_clear(&h);
}

/* Scenario: 600 numbers of both signs and zeros, at scales from below 0 to 5. Guarantees: against the sorted numbers,
 * every percentile is within (b - 1) / (b + 1). */
static void quantiles_are_within_their_error(void **state)
{
    struct gw_exponential none;

    (void)state;
    gw_test_seeds(120, one_seed);
    gw_exponential_init(&none, 160);
    assert_true(isnan(gw_exponential_quantile(&none, 0.5)));
}

enum { EXPLICIT_WORDS = sizeof(struct gw_explicit) / 8 + BOUNDS + 1 };

static void explicit_seed(uint64_t seed)
{
    uint64_t x = seed;
    double at[BOUNDS], v[N], sum = 0;
    struct gw_bounds b = {at, BOUNDS};
    uint64_t room[EXPLICIT_WORDS] = {0};
    struct gw_explicit *h = (struct gw_explicit *)room;
    struct gw_exponential e;

    draw(v, &x, 12);
    for (unsigned i = 0; i < BOUNDS; i++)
        at[i] = ((int)i - 2) * 5.5 + 0.25;
    for (unsigned i = 0; i < N; i++) {
        gw_explicit_add(h, &b, v[i], 1);
        sum += v[i];
    }
    qsort(v, N, sizeof(v[0]), ascending);
    gw_exponential_init(&e, 160);
    assert_true(gw_exponential_add_explicit(&e, h, &b, v[0], v[N - 1]));
    assert_int_equal(e.count, N);
    assert_true(e.sum == h->sum && e.min == v[0] && e.max == v[N - 1]);
    assert_true(fabs(e.sum - sum) < 1e-6);
    for (unsigned i = 0; i <= 100; i++) {
        double q = i / 100.0, want = exact(v, q), got = gw_explicit_quantile(h, &b, q, v[0], v[N - 1]);
        double other = gw_exponential_quantile(&e, q), low = v[0], high = v[N - 1];

        for (unsigned k = 0; k < BOUNDS; k++) {
            low = at[k] < want && at[k] > low ? at[k] : low;
            high = at[k] >= want && at[k] < high ? at[k] : high;
        }
        assert_true(got >= low && got <= high);
        assert_true(other >= low - 0.05 * fabs(low) && other <= high + 0.05 * fabs(high));
    }
    gw_exponential_clear(&e);
}

/*
 * Scenario    600 numbers in ten explicit buckets; as they are, and spread over an exponential one
 * Guarantees  count, sum, min and max stay; every percentile is in the bucket where the exact one is (and up to the
 *             error of the exponential one beyond)
 */
static void explicit_ones_are_read_and_spread(void **state)
{
    (void)state;
    gw_test_seeds(60, explicit_seed);
}

/* Scenario: outer buckets without min and max; no bounds; bounds that cannot be. Guarantees: as documented. */
static void outer_buckets_say_their_bound(void **state)
{
    double at[2] = {10, 20};
    struct gw_bounds b = {at, 2};
    uint64_t room[EXPLICIT_WORDS] = {0};
    struct gw_explicit *h = (struct gw_explicit *)room;
    struct gw_exponential e;

    (void)state;
    h->count = 4;
    h->sum = 50;
    h->buckets[0] = 2;
    h->buckets[2] = 2;
    assert_true(gw_explicit_quantile(h, &b, 0.25, (double)NAN, (double)NAN) == 5);
    assert_true(gw_explicit_quantile(h, &b, 0.5, (double)NAN, (double)NAN) == 10);
    assert_true(gw_explicit_quantile(h, &b, 1, (double)NAN, (double)NAN) == 20);
    assert_true(gw_explicit_quantile(h, &b, 0.75, 1, 30) == 25);
    gw_exponential_init(&e, 160);
    assert_true(gw_exponential_add_explicit(&e, h, &b, (double)NAN, (double)NAN));
    assert_true(e.count == 4 && e.sum == 50 && e.min == 2.5 && e.max == 20);
    at[1] = (double)INFINITY;
    assert_false(gw_exponential_add_explicit(&e, h, &b, (double)NAN, (double)NAN));
    gw_exponential_clear(&e);
    memset(room, 0, sizeof(room));
    assert_true(isnan(gw_explicit_quantile(h, &b, 0.5, 0, 1)));
}

static uint64_t in_buckets(const struct gw_exp_half *h)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < h->n; i++)
        n += h->counts[i];
    return n;
}

static void zero_seed(uint64_t seed)
{
    uint64_t x = seed, zeros = 0, negative = 0;
    struct gw_exponential h[3];
    double v[N], zero[3] = {0.5, seed % 2 ? 3 : 0, 0.01 * (double)(seed % 1000)};

    draw(v, &x, 14);
    for (unsigned i = 0; i < 3; i++) {
        gw_exponential_init(&h[i], seed % 3 ? 160 : 10);
        h[i].zero_threshold = zero[i];
    }
    for (unsigned i = 0; i < N; i++)
        assert_true(gw_exponential_add(&h[i % 3], v[i], 1));
    assert_true(gw_exponential_merge(&h[0], &h[1]) && gw_exponential_merge(&h[0], &h[2]));
    for (unsigned i = 0; i < 3; i++)
        assert_true(h[0].zero_threshold >= zero[i]);
    for (unsigned i = 0; i < N; i++) {
        zeros += fabs(v[i]) <= h[0].zero_threshold;
        negative += v[i] < -h[0].zero_threshold;
    }
    assert_int_equal(h[0].zero_count, zeros);
    assert_int_equal(in_buckets(&h[0].negative), negative);
    assert_int_equal(in_buckets(&h[0].positive), N - zeros - negative);
    assert_int_equal(h[0].count, N);
    if (h[0].positive.n)
        assert_true(gw_exponential_upper(h[0].positive.start, h[0].scale) > h[0].zero_threshold);
    for (unsigned i = 0; i < 3; i++)
        gw_exponential_clear(&h[i]);
}

/*
 * Scenario    600 numbers in three histograms of different zero thresholds, at several scales, merged
 * Guarantees  against the numbers: zeros are exactly those that are not above the threshold that holds then, which is
 *             none of the three lower; all the others are in their half
 */
static void zero_thresholds_are_merged(void **state)
{
    (void)state;
    gw_test_seeds(200, zero_seed);
}

/* Scenario: ends of buckets at all scales. Guarantees: in their bucket, what follows in the next one. */
static void ends_belong_to_their_bucket(void **state)
{
    (void)state;
    for (int32_t s = -10; s <= 20; s++)
        for (int32_t i = -300; i < 300; i += 7) {
            double end = gw_exponential_upper(i, s);

            if (end < 1e-300 || end > 1e300)
                continue;
            assert_int_equal(gw_exponential_index(end * (1 - 1e-10), s), i);
            assert_int_equal(gw_exponential_index(end * (1 + 1e-10), s), i + 1);
        }
}

/* Scenario: what others may send. Guarantees: what cannot be is told; a range that is missing is the buckets'. */
static void what_others_send_is_looked_at(void **state)
{
    uint64_t counts[4] = {1, 0, 2, 1};
    struct gw_exponential h = {.count = 4, .scale = 0, .positive = {.counts = counts, .start = 1, .n = 4}};

    (void)state;
    assert_true(gw_exponential_is_sane(&h));
    gw_exponential_guess_range(&h);
    assert_true(h.min == 2 && h.max == 32);
    h.zero_count = 1;
    h.zero_threshold = 0.5;
    gw_exponential_guess_range(&h);
    assert_true(h.min == -0.5 && h.max == 32);
    h.negative = h.positive;
    h.positive.n = h.positive.start = 0;
    gw_exponential_guess_range(&h);
    assert_true(h.min == -32 && h.max == 0.5);
    h.scale = 21;
    assert_false(gw_exponential_is_sane(&h));
    h.scale = -11;
    assert_false(gw_exponential_is_sane(&h));
    h.scale = 0;
    h.negative.start = INT32_MAX - 2;
    assert_false(gw_exponential_is_sane(&h));
    h.negative.start = INT32_MIN;
    assert_false(gw_exponential_is_sane(&h));
    h.negative.start = 0;
    h.zero_threshold = (double)NAN;
    assert_false(gw_exponential_is_sane(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_their_error), cmocka_unit_test(explicit_ones_are_read_and_spread),
        cmocka_unit_test(outer_buckets_say_their_bound),    cmocka_unit_test(zero_thresholds_are_merged),
        cmocka_unit_test(ends_belong_to_their_bucket),      cmocka_unit_test(what_others_send_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
