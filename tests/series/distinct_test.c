/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "series/distinct.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

static uint64_t hash_of(uint64_t item)
{
    return gw_hash_stable(gw_slice_of(&item, sizeof(item)));
}

static void assert_equal(const struct gw_distinct *a, const struct gw_distinct *b)
{
    struct gw_buf x, y;

    gw_buf_init(&x, 1 << 20);
    gw_buf_init(&y, 1 << 20);
    gw_distinct_save(a, &x);
    gw_distinct_save(b, &y);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    gw_buf_clear(&x);
    gw_buf_clear(&y);
}

/* Twice each item, backwards, in three parts that are merged in another order. */
static struct gw_distinct *in_parts(struct gw_heap *heap, unsigned precision, uint64_t first, unsigned n, uint64_t *x)
{
    struct gw_distinct *part[3] = {NULL};

    for (unsigned i = 2 * n; i-- > 0;)
        assert_int_equal(gw_distinct_add(&part[gw_test_random(x) % 3], heap, precision, hash_of(first + i % n)), 0);
    assert_int_equal(gw_distinct_merge(&part[2], heap, part[0]), 0);
    assert_int_equal(gw_distinct_merge(&part[1], heap, part[2]), 0);
    gw_distinct_free(&part[0], heap);
    gw_distinct_free(&part[2], heap);
    return part[1];
}

static void one_seed(uint64_t seed)
{
    static const unsigned sizes[] = {1, 2, 3, 20, 130, 500, 1025, 3000};
    struct gw_heap heap = {0};
    struct gw_distinct *all = NULL, *merged;
    unsigned precision = GW_DISTINCT_MIN + (unsigned)(seed % 13), n = sizes[seed / 13 % 8];
    uint64_t x = seed, first = gw_test_random(&x);

    for (unsigned i = 0; i < n; i++)
        assert_int_equal(gw_distinct_add(&all, &heap, precision, hash_of(first + i)), 0);
    merged = in_parts(&heap, precision, first, n, &x);
    assert_equal(all, merged);
    /* six sigma, and what rounding makes of few */
    assert_true(fabs((double)gw_distinct_count(all) - n) <= 6 * 1.04 / sqrt((double)(1u << precision)) * n + 1);
    gw_distinct_free(&all, &heap);
    gw_distinct_free(&merged, &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/*
 * Scenario    1 to 3,000 items at all precisions; at once, and twice each, backwards, in three parts
 * Guarantees  the same bytes; the count within six sigma; all memory is given back
 */
static void any_order_and_twice_gives_the_same(void **state)
{
    (void)state;
    gw_test_seeds(104, one_seed);
}

/*
 * Scenario    300 sets of each size at precision 10, sparse and dense
 * Guarantees  the mean error is below a fifth of a sigma (no bias), its root mean square at most 1.15 sigma; small ones
 *             are off by one at most
 */
static void the_error_is_as_documented(void **state)
{
    static const unsigned sizes[] = {1, 10, 100, 700, 2500, 6000};
    enum { SETS = 300, PRECISION = 10 };
    double sigma = 1.04 / sqrt(1 << PRECISION);
    struct gw_heap heap = {0};

    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        double sum = 0, squares = 0;

        for (unsigned s = 0; s < SETS; s++) {
            struct gw_distinct *d = NULL;
            double error;

            for (unsigned i = 0; i < sizes[k]; i++)
                assert_int_equal(gw_distinct_add(&d, &heap, PRECISION, hash_of((uint64_t)s << 32 | i)), 0);
            error = (double)gw_distinct_count(d) / sizes[k] - 1;
            sum += error;
            squares += error * error;
            if (sizes[k] <= 10)
                assert_true(fabs(error * sizes[k]) <= 1);
            gw_distinct_free(&d, &heap);
        }
        assert_true(fabs(sum / SETS) < sigma / 5);
        assert_true(sqrt(squares / SETS) < 1.15 * sigma);
    }
}

/* Scenario: a heap that is full. Guarantees: -ENOSPC, nothing changed, and what is there goes on counting. */
static void memory_is_limited(void **state)
{
    struct gw_heap heap = {.max_bytes = 600};
    struct gw_distinct *d = NULL;
    unsigned n = 0;
    uint64_t before;

    (void)state;
    while (gw_distinct_add(&d, &heap, 12, hash_of(n)) == 0)
        n++;
    assert_true(n >= 128 && n <= 140);
    before = gw_distinct_count(d);
    assert_int_equal(gw_distinct_add(&d, &heap, 12, hash_of(n)), -ENOSPC);
    assert_int_equal(gw_distinct_add(&d, &heap, 12, hash_of(0)), 0);
    assert_int_equal(gw_distinct_count(d), before);
    assert_true(heap.held_bytes <= heap.max_bytes);
    gw_distinct_free(&d, &heap);
    assert_int_equal(heap.held_bytes, 0);
    assert_int_equal(gw_distinct_count(NULL), 0);
}

/* Scenario: saved sparse, dense and empty; every prefix, every bit turned. Guarantees: equal, or an error; no more. */
static void bytes_are_restored(void **state)
{
    static const unsigned sizes[] = {0, 5, 200};
    struct gw_heap heap = {0};

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct gw_distinct *d = NULL, *e = NULL;
        struct gw_buf b;
        struct gw_slice in;

        gw_buf_init(&b, 1 << 20);
        for (unsigned i = 0; i < sizes[k]; i++)
            assert_int_equal(gw_distinct_add(&d, &heap, 7, hash_of(i)), 0);
        gw_distinct_save(d, &b);
        in = gw_buf_slice(&b);
        assert_int_equal(gw_distinct_restore(&e, &heap, 7, &in), 0);
        assert_int_equal(in.n, 0);
        assert_equal(d, e);
        assert_int_equal(gw_distinct_add(&e, &heap, 7, hash_of(1000)), 0);
        gw_distinct_free(&e, &heap);
        for (size_t n = 0; n < b.n; n++) {
            in = gw_slice_of(b.p, n);
            assert_int_equal(gw_distinct_restore(&e, &heap, 7, &in), -EBADMSG);
            assert_null(e);
        }
        for (size_t bit = 0; bit < 8 * b.n; bit++) {
            b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
            in = gw_buf_slice(&b);
            if (gw_distinct_restore(&e, &heap, 7, &in) == 0)
                (void)gw_distinct_count(e);
            gw_distinct_free(&e, &heap);
            b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        gw_distinct_free(&d, &heap);
        gw_buf_clear(&b);
    }
    assert_int_equal(heap.held_bytes, 0);
}

/* Scenario: the last register of a sparse one, and then the same items again. Guarantees: it stays sparse. */
static void what_is_there_already_takes_no_room(void **state)
{
    struct gw_heap heap = {0};
    struct gw_distinct *d = NULL;
    unsigned n = 0;

    (void)state;
    while (!d || d->n < (1 << 9) / 8)
        assert_int_equal(gw_distinct_add(&d, &heap, 9, hash_of(n++)), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(gw_distinct_add(&d, &heap, 9, hash_of(i)), 0);
    assert_false(d->is_dense);
    gw_distinct_free(&d, &heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_twice_gives_the_same),
        cmocka_unit_test(the_error_is_as_documented),
        cmocka_unit_test(what_is_there_already_takes_no_room),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(bytes_are_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
