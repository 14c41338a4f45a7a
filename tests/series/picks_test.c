/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "series/picks.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 100, K = 7 };

static struct gw_pick draw(uint64_t *x)
{
    uint64_t r = gw_test_random(x);
    struct gw_pick s = {.rank = r % 40, .exemplar = {.time_ns = r >> 8 & 1, .value = (double)(r >> 10 & 1)}};

    s.exemplar.trace_id[15] = r >> 12 & 1;
    s.exemplar.span_id[0] = r >> 13 & 1;
    return s;
}

/* The lowest of all that were not taken yet, by the bytes as a person would compare them. */
static int before(const struct gw_pick *a, const struct gw_pick *b)
{
    const struct gw_mw_exemplar *x = &a->exemplar, *y = &b->exemplar;
    uint64_t left = a->rank << 4 | x->time_ns << 3 | (x->value > 0) << 2 | x->trace_id[15] << 1 | x->span_id[0];
    uint64_t right = b->rank << 4 | y->time_ns << 3 | (y->value > 0) << 2 | y->trace_id[15] << 1 | y->span_id[0];

    return left < right ? -1 : left > right;
}

static void check(const struct gw_picks *s, const struct gw_pick *v)
{
    const struct gw_pick *last = NULL;

    for (unsigned i = 0; i < s->n; i++) {
        const struct gw_pick *best = NULL;

        for (unsigned k = 0; k < N; k++)
            if ((!last || before(&v[k], last) > 0) && (!best || before(&v[k], best) < 0))
                best = &v[k];
        assert_non_null(best);
        assert_int_equal(before(&s->at[i], best), 0);
        last = best;
    }
    assert_int_equal(s->n, K);
}

static void one_seed(uint64_t seed)
{
    struct gw_heap heap = {0};
    struct gw_picks *all = NULL, *part[2] = {NULL};
    struct gw_pick v[N];
    uint64_t x = seed;

    for (unsigned i = 0; i < N; i++) {
        v[i] = draw(&x);
        assert_int_equal(gw_picks_add(&all, &heap, K, &v[i]), 0);
    }
    check(all, v);
    for (unsigned i = 2 * N; i-- > 0;)
        assert_int_equal(gw_picks_add(&part[gw_test_random(&x) % 2], &heap, K, &v[i % N]), 0);
    assert_int_equal(gw_picks_merge(&part[seed % 2], &heap, part[1 - seed % 2]), 0);
    assert_memory_equal(part[seed % 2], all, sizeof(*all) + K * sizeof(all->at[0]));
    gw_picks_free(&all, &heap);
    gw_picks_free(&part[0], &heap);
    gw_picks_free(&part[1], &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/*
 * Scenario    100 samples with equal ranks among them, in order; twice each, backwards, in two parts
 * Guarantees  the lowest 7, each once; the same bytes
 */
static void the_lowest_are_kept(void **state)
{
    (void)state;
    gw_test_seeds(300, one_seed);
}

/* Scenario: few of them, saved; every prefix; too many for the size; no memory. Guarantees: equal, or an error. */
static void bytes_are_restored(void **state)
{
    struct gw_heap heap = {0}, small = {.max_bytes = 100};
    struct gw_picks *s = NULL, *t = NULL;
    struct gw_pick one = {.rank = 5};
    struct gw_buf b;
    struct gw_slice in;

    (void)state;
    gw_buf_init(&b, 4096);
    gw_picks_save(NULL, &b);
    for (one.rank = 3; one.rank > 0; one.rank--)
        assert_int_equal(gw_picks_add(&s, &heap, 4, &one), 0);
    gw_picks_save(s, &b);
    in = gw_buf_slice(&b);
    assert_int_equal(gw_picks_restore(&t, &heap, 4, &in), 0);
    assert_null(t);
    assert_int_equal(gw_picks_restore(&t, &heap, 4, &in), 0);
    assert_int_equal(in.n, 0);
    assert_int_equal(t->n, 3);
    assert_memory_equal(t, s, sizeof(*t) + 3 * sizeof(t->at[0]));
    gw_picks_free(&t, &heap);
    for (size_t n = 4; n < b.n; n++) {
        in = gw_slice_of(b.p + 4, n - 4);
        assert_int_equal(gw_picks_restore(&t, &heap, 4, &in), -EBADMSG);
    }
    in = gw_slice_of(b.p + 4, b.n - 4);
    assert_int_equal(gw_picks_restore(&t, &heap, 2, &in), -EBADMSG);
    assert_int_equal(gw_picks_restore(&t, &small, 4, &in), -ENOSPC);
    assert_int_equal(gw_picks_add(&t, &small, 4, &one), -ENOSPC);
    assert_int_equal(gw_picks_merge(&t, &small, s), -ENOSPC);
    assert_null(t);
    gw_picks_free(&s, &heap);
    gw_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_are_kept),
        cmocka_unit_test(bytes_are_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
