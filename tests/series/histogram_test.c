/* SPDX-License-Identifier: Apache-2.0 */
/* The expected numbers were computed by lightstep/go-expohisto v1.0.0 (go1.26, amd64) with the same generator. */
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "series/histogram.h"

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void mix(uint64_t *sum, uint64_t v)
{
    *sum = (*sum ^ v) * UINT64_C(1099511628211);
}

static void mix_double(uint64_t *sum, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    mix(sum, bits);
}

#define SEED  UINT64_C(88172645463325252)
#define BASIS UINT64_C(14695981039346656037)

/* Scenario: 200,000 numbers of all sizes at all 31 scales. Guarantees: each in the bucket that the Go library says. */
static void each_value_is_in_the_bucket_that_go_says(void **state)
{
    uint64_t x = SEED, sum = BASIS;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t b = next(&x) & INT64_MAX;
        double v;

        if (b >> 52 == 0x7ff)
            continue;
        memcpy(&v, &b, 8);
        if (i % 2 == 0)
            v = (double)(b % 1000000007) / 1e6;
        for (int32_t s = -10; s <= 20 && v != 0; s++)
            mix(&sum, (uint32_t)gw_exponential_index(v, s));
    }
    assert_true(sum == UINT64_C(0x1b3a0fca896d4a6d));
}

/* The generator of the expected numbers goes on where the indices ended. */
static uint64_t after_indices(void)
{
    uint64_t x = SEED;

    for (unsigned i = 0; i < 200000; i++)
        (void)next(&x);
    return x;
}

static double draw(uint64_t *x, unsigned i, uint64_t *ret_n)
{
    uint64_t b = next(x);
    double v = (double)(b % 1000000007) / 1e6;

    if (i % 3 == 0)
        v = -v / 7;
    *ret_n = 1 + b % 3;
    return i % 11 == 0 ? 0 : v;
}

static void mix_half(uint64_t *sum, const struct gw_exp_half *h)
{
    mix(sum, (uint32_t)h->start);
    mix(sum, h->n);
    for (uint32_t i = 0; i < h->n; i++)
        mix(sum, h->counts[i]);
}

static uint64_t digest(const struct gw_exponential *h)
{
    uint64_t sum = BASIS;

    mix_half(&sum, &h->positive);
    mix_half(&sum, &h->negative);
    mix(&sum, h->count);
    mix(&sum, h->zero_count);
    mix_double(&sum, h->sum);
    mix_double(&sum, h->min);
    mix_double(&sum, h->max);
    return sum;
}

/*
 * Scenario    5,000 numbers of both signs and zeros, into histograms of 2 to 320 buckets; and the same into four that
 *             are merged, in two orders
 * Guarantees  scale, offset, every bucket, count, min, max as in Go, and the sum to the last bit; merged ones have the
 *             same buckets
 */
static void histograms_are_those_of_go(void **state)
{
    static const struct {
        uint32_t max_size;
        int32_t scale;
        uint64_t digest;
    } expected[] = {{2, -4, 0x5a57c3f2e3cbec8c},
                    {4, -2, 0x14cb83318c3c877d},
                    {20, 0, 0x8161bb5eb4caf9c5},
                    {160, 3, 0xc5e0e378809a81f8},
                    {320, 4, 0xbdbbd8aea10eec37}};
    uint64_t x = after_indices(), n;

    (void)state;
    for (unsigned k = 0; k < 5; k++) {
        struct gw_exponential all, part[4], merged;

        gw_exponential_init(&all, expected[k].max_size);
        gw_exponential_init(&merged, expected[k].max_size);
        for (unsigned i = 0; i < 4; i++)
            gw_exponential_init(&part[i], expected[k].max_size);
        for (unsigned i = 0; i < 5000; i++) {
            double v = draw(&x, i, &n);

            assert_true(gw_exponential_add(&all, v, n));
            assert_true(gw_exponential_add(&part[i * 7 % 4], v, n));
        }
        assert_int_equal(gw_exponential_scale(&all), expected[k].scale);
        assert_true(digest(&all) == expected[k].digest);
        for (unsigned i = 0; i < 4; i++) {
            assert_true(gw_exponential_merge(&merged, &part[k % 2 ? i : 3 - i]));
            gw_exponential_clear(&part[k % 2 ? i : 3 - i]);
        }
        assert_true(fabs(merged.sum - all.sum) < 1e-6 * fabs(all.sum));
        merged.sum = all.sum;
        assert_true(digest(&merged) == expected[k].digest);
        gw_exponential_reset(&merged);
        assert_int_equal(gw_exponential_scale(&merged), 0);
        assert_true(gw_exponential_add(&merged, 3, 1));
        assert_int_equal(gw_exponential_scale(&merged), 20);
        gw_exponential_clear(&merged);
        gw_exponential_clear(&all);
    }
}

/* Scenario: zeros alone, NaN, infinity, the smallest and the largest number. Guarantees: no bucket is out of bounds. */
static void odd_values_do_no_harm(void **state)
{
    struct gw_exponential h;

    (void)state;
    gw_exponential_init(&h, GW_EXP_MIN_SIZE);
    assert_true(gw_exponential_add(&h, 0, 3));
    assert_int_equal(gw_exponential_scale(&h), 0);
    assert_int_equal(h.positive.n, 0);
    assert_true(gw_exponential_add(&h, NAN, 1) && gw_exponential_add(&h, INFINITY, 1));
    assert_int_equal(h.count, 3);
    assert_true(gw_exponential_add(&h, 0x1p-1074, 1));
    assert_true(gw_exponential_add(&h, 1.7976931348623157e308, 1));
    assert_true(gw_exponential_add(&h, -1, 1));
    assert_int_equal(h.scale, -10);
    assert_int_equal(h.positive.n, 2);
    assert_int_equal(h.positive.counts[0] + h.positive.counts[1], 2);
    gw_exponential_clear(&h);
}

/* Scenario: values at, below and above bounds. Guarantees: a bound belongs to the bucket that it ends; merging adds. */
static void explicit_buckets_end_at_their_bounds(void **state)
{
    static const double at[] = {1, 2.5, 10};
    const struct gw_bounds b = {at, 3};
    struct gw_explicit *h = calloc(2, gw_explicit_bytes(&b)), *other;

    (void)state;
    assert_non_null(h);
    other = (struct gw_explicit *)((char *)h + gw_explicit_bytes(&b));
    gw_explicit_add(h, &b, 0, 1);
    gw_explicit_add(h, &b, 1, 1);
    gw_explicit_add(h, &b, 1.0001, 2);
    gw_explicit_add(h, &b, 10, 1);
    gw_explicit_add(h, &b, 11, 5);
    assert_int_equal(h->buckets[0], 2);
    assert_int_equal(h->buckets[1], 2);
    assert_int_equal(h->buckets[2], 1);
    assert_int_equal(h->buckets[3], 5);
    assert_int_equal(h->count, 10);
    assert_true(h->sum == 0 + 1 + 1.0001 * 2 + 10 + 55);
    gw_explicit_merge(other, &b, h);
    gw_explicit_merge(other, &b, h);
    assert_int_equal(other->buckets[3], 10);
    assert_int_equal(other->count, 20);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_is_in_the_bucket_that_go_says),
        cmocka_unit_test(histograms_are_those_of_go),
        cmocka_unit_test(odd_values_do_no_harm),
        cmocka_unit_test(explicit_buckets_end_at_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
