/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "series/aggregate.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 200, PARTS = 4, MAX_STATE = 512 };

static const struct gw_agg_spec specs[] = {{.fn = GW_AGG_COUNT}, {.fn = GW_AGG_SUM}, {.fn = GW_AGG_MIN},
                                           {.fn = GW_AGG_MAX},   {.fn = GW_AGG_AVG}, {.fn = GW_AGG_LAST}};

struct state {
    _Alignas(8) uint8_t bytes[MAX_STATE];
};

static struct gw_agg_plan plan_of(const struct gw_agg_spec *s, unsigned n)
{
    struct gw_agg_plan p;

    assert_int_equal(gw_agg_plan_make(&p, s, n, NULL), 0);
    assert_true(p.state_bytes <= MAX_STATE && p.state_bytes % 8 == 0);
    return p;
}

static void draw(uint64_t *x, struct gw_agg_value *v)
{
    uint64_t r = gw_test_random(x);

    *v = (struct gw_agg_value){.n = 1 + r % 2, .time_ns = r >> 8 & 15, .order = r >> 16 & 7};
    if (r >> 20 & 1) {
        v->is_int = true;
        v->i = (int64_t)(r >> 44) - (1 << 19);
    } else {
        v->d = (double)((int64_t)(r >> 40) - (1 << 23)) / 64;
    }
    if ((r >> 32 & 63) == 0)
        v->d = v->is_int ? v->d : -0.0;
}

static double double_of(const struct gw_agg_value *v)
{
    return v->is_int ? (double)v->i : v->d;
}

static double number(const struct gw_agg_plan *p, const void *s, enum gw_agg_fn fn)
{
    struct gw_agg_number n;

    assert_true(gw_agg_number(p, s, &(struct gw_agg_spec){.fn = fn}, &n));
    return n.is_int ? (double)n.i : n.d;
}

/* The oracle: all values at once, in sorted order for what depends on it. Sums of 64ths are exact in doubles. */
static void check(const struct gw_agg_plan *p, const void *s, const struct gw_agg_value *v)
{
    const struct gw_agg_value *last = v;
    double sum = 0, min = double_of(v), max = min;
    uint64_t count = 0;

    for (unsigned i = 0; i < N; i++) {
        double d = double_of(&v[i]);
        bool later = v[i].time_ns != last->time_ns ? v[i].time_ns > last->time_ns
                     : v[i].order != last->order   ? v[i].order > last->order
                                                   : d > double_of(last);

        count += v[i].n;
        sum += d * (double)v[i].n;
        min = d < min ? d : min;
        max = d > max ? d : max;
        last = later ? &v[i] : last;
    }
    assert_true(number(p, s, GW_AGG_COUNT) == (double)count);
    assert_true(number(p, s, GW_AGG_SUM) == sum);
    assert_true(number(p, s, GW_AGG_AVG) == sum / (double)count);
    assert_true(number(p, s, GW_AGG_MIN) == min);
    assert_true(number(p, s, GW_AGG_MAX) == max);
    assert_true(number(p, s, GW_AGG_LAST) == double_of(last));
}

static void one_seed(uint64_t seed)
{
    struct gw_agg_plan p = plan_of(specs, sizeof(specs) / sizeof(specs[0]));
    struct gw_heap heap = {0};
    struct state all = {0}, part[PARTS] = {0}, left = {0}, right = {0};
    struct gw_agg_value v[N];
    uint64_t x = seed;

    for (unsigned i = 0; i < N; i++) {
        draw(&x, &v[i]);
        assert_int_equal(gw_agg_add(&p, &all, &heap, &v[i]), 0);
    }
    check(&p, &all, v);
    for (unsigned i = N; i-- > 0;)
        assert_int_equal(gw_agg_add(&p, &part[gw_test_random(&x) % PARTS], &heap, &v[i]), 0);
    for (unsigned i = 0; i < PARTS; i++) {
        struct state t = part[i];

        assert_int_equal(gw_agg_merge(&p, &left, &heap, &part[PARTS - 1 - i]), 0);
        assert_int_equal(gw_agg_merge(&p, &t, &heap, &right), 0);
        right = t;
    }
    assert_memory_equal(&all, &left, p.state_bytes);
    assert_memory_equal(&all, &right, p.state_bytes);
}

/*
 * Scenario    200 integers and doubles with equal times and orders among them; as they come, and backwards in four
 *             parts that are merged from both ends
 * Guarantees  what a plain computation over all of them gives; the same bytes every time
 */
static void any_order_gives_the_same(void **state)
{
    (void)state;
    gw_test_seeds(300, one_seed);
}

static void add(const struct gw_agg_plan *p, struct state *s, double d)
{
    assert_int_equal(gw_agg_add(p, s, NULL, &(struct gw_agg_value){.d = d, .n = 1}), 0);
}

/* Scenario: no values, NaN, infinities, zeros of both signs. Guarantees: as documented. */
static void what_is_no_number(void **state)
{
    struct gw_agg_plan p = plan_of(specs, sizeof(specs) / sizeof(specs[0]));
    struct state s = {0};
    struct gw_agg_number n;

    (void)state;
    for (unsigned i = 1; i < sizeof(specs) / sizeof(specs[0]); i++)
        assert_false(gw_agg_number(&p, &s, &specs[i], &n));
    assert_true(number(&p, &s, GW_AGG_COUNT) == 0);
    add(&p, &s, 0.0);
    add(&p, &s, -0.0);
    assert_true(signbit(number(&p, &s, GW_AGG_MIN)) && !signbit(number(&p, &s, GW_AGG_MAX)));
    assert_false(signbit(number(&p, &s, GW_AGG_LAST)));
    add(&p, &s, (double)INFINITY);
    assert_true(number(&p, &s, GW_AGG_MAX) == (double)INFINITY && number(&p, &s, GW_AGG_SUM) == (double)INFINITY);
    add(&p, &s, -(double)INFINITY);
    assert_true(number(&p, &s, GW_AGG_MIN) == -(double)INFINITY && isnan(number(&p, &s, GW_AGG_AVG)));
    memset(&s, 0, sizeof(s));
    add(&p, &s, (double)NAN);
    assert_true(number(&p, &s, GW_AGG_COUNT) == 1 && isnan(number(&p, &s, GW_AGG_SUM)));
    assert_false(gw_agg_number(&p, &s, &(struct gw_agg_spec){.fn = GW_AGG_MIN}, &n));
    assert_false(gw_agg_number(&p, &s, &(struct gw_agg_spec){.fn = GW_AGG_LAST}, &n));
    add(&p, &s, 3);
    assert_true(number(&p, &s, GW_AGG_MIN) == 3 && number(&p, &s, GW_AGG_LAST) == 3);
}

/* Guarantees: 24 bytes of count, min and max, 56 of a sum; what two need is there once; integers stay integers. */
static void states_are_small(void **state)
{
    struct gw_agg_plan p = plan_of(specs, 4), sum = plan_of(&specs[1], 1);
    struct state s = {0};
    struct gw_agg_number n;
    struct gw_err err;

    (void)state;
    assert_int_equal(p.state_bytes, 80);
    assert_int_equal(plan_of(specs, 5).state_bytes, 80);
    assert_int_equal(sum.state_bytes, 64);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            gw_agg_add(&sum, &s, NULL, &(struct gw_agg_value){.is_int = true, .i = INT64_MAX - 1, .n = i + 1}), 0);
    assert_true(gw_agg_number(&sum, &s, &specs[1], &n) && !n.is_int && n.d == 3 * 0x1p63);
    assert_int_equal(gw_agg_add(&sum, &s, NULL, &(struct gw_agg_value){.is_int = true, .i = 1 - INT64_MAX, .n = 2}), 0);
    assert_true(gw_agg_number(&sum, &s, &specs[1], &n) && n.is_int && n.i == INT64_MAX - 1);
    assert_int_equal(gw_agg_plan_make(&p, &(struct gw_agg_spec){.fn = GW_AGG_N_FNS}, 1, &err), -EINVAL);
}

/* Scenario: a state as bytes and back, two in a row; cut off, and damaged. Guarantees: equal; or -EBADMSG and zeros. */
static void states_are_restored(void **state)
{
    struct gw_agg_plan p = plan_of(specs, 6);
    struct gw_heap heap = {0};
    struct state s = {0}, t = {0}, zero = {0};
    struct gw_buf b;
    struct gw_slice in;

    (void)state;
    gw_buf_init(&b, 1 << 16);
    add(&p, &s, 1.5);
    add(&p, &s, -7);
    gw_agg_save(&p, &s, &b);
    gw_agg_save(&p, &s, &b);
    in = gw_buf_slice(&b);
    for (unsigned i = 0; i < 2; i++) {
        memset(&t, 0, sizeof(t));
        assert_int_equal(gw_agg_restore(&p, &t, &heap, &in), 0);
        assert_memory_equal(&s, &t, sizeof(s));
    }
    assert_int_equal(in.n, 0);
    gw_agg_clear(&p, &t, &heap);
    assert_memory_equal(&t, &zero, sizeof(t));
    in = gw_slice_of(b.p, b.n / 2 - 1);
    assert_int_equal(gw_agg_restore(&p, &t, &heap, &in), -EBADMSG);
    memset(b.p + p.at[GW_AGG_P_TOTAL], 0xff, sizeof(struct gw_total));
    in = gw_buf_slice(&b);
    assert_int_equal(gw_agg_restore(&p, &t, &heap, &in), -EBADMSG);
    assert_memory_equal(&t, &zero, sizeof(t));
    gw_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_gives_the_same),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(states_are_small),
        cmocka_unit_test(states_are_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
