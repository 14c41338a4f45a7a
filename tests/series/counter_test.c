/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <math.h>

#include "series/counter.h"
#include "tests/harness_env.h"

static struct gw_counter_point whole(uint64_t start, uint64_t time, int64_t value)
{
    return (struct gw_counter_point){start, time, {.is_int = true, .i = value}};
}

static struct gw_counter_point real(uint64_t start, uint64_t time, double value)
{
    return (struct gw_counter_point){start, time, {.d = value}};
}

static int64_t up(struct gw_counter_point a, struct gw_counter_point b)
{
    struct gw_agg_number n = gw_counter_increase(&a, &b);

    assert_true(n.is_int);
    return n.i;
}

static double up_real(struct gw_counter_point a, struct gw_counter_point b)
{
    struct gw_agg_number n = gw_counter_increase(&a, &b);

    assert_false(n.is_int);
    return n.d;
}

/*
 * Guarantees  a lower value, or a start behind the last point, begins a new life, which counted all that it says; a
 *             start that moves a little does not
 */
static void lives_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(up(whole(5, 10, 100), whole(5, 20, 130)), 30);
    assert_int_equal(up(whole(5, 10, 100), whole(5, 20, 100)), 0);
    assert_int_equal(up(whole(5, 10, 100), whole(5, 20, 99)), 99);    /* the value says it */
    assert_int_equal(up(whole(5, 10, 100), whole(12, 20, 130)), 130); /* the start does */
    assert_int_equal(up(whole(5, 10, 100), whole(10, 20, 130)), 130);
    assert_int_equal(up(whole(5, 10, 100), whole(6, 20, 130)), 30); /* within the old one's: the clock's doing */
    assert_int_equal(up(whole(5, 10, 100), whole(4, 20, 130)), 30);
    assert_int_equal(up(whole(0, 10, 100), whole(0, 20, 130)), 30); /* it is not known */
    assert_int_equal(up(whole(0, 10, 100), whole(0, 20, 7)), 7);
}

/*
 * Guarantees  whole numbers are exact; with others they are numbers
 */
static void whole_numbers_stay_whole(void **state)
{
    (void)state;
    assert_true(up(whole(0, 1, INT64_MAX - 1), whole(0, 2, INT64_MAX)) == 1);
    assert_true(up_real(real(0, 1, 0.5), real(0, 2, 2)) == 1.5);
    assert_true(up_real(whole(0, 1, 3), real(0, 2, 4.5)) == 1.5);
    assert_true(up_real(real(0, 1, 1.5), whole(0, 2, 4)) == 2.5);
    assert_true(up_real(real(0, 1, 9), real(0, 2, 1.5)) == 1.5);
}

/*
 * Guarantees  NaN, infinite, negative and from before its start is no point
 */
static void what_is_no_point_is_none(void **state)
{
    const struct gw_counter_point bad[] = {real(0, 1, NAN), real(0, 1, INFINITY), real(0, 1, -1), whole(0, 1, -1),
                                           whole(2, 1, 5)};
    const struct gw_counter_point good[] = {real(0, 1, 0), whole(1, 1, 5), real(0, 1, 1e300)};

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_false(gw_counter_is_point(&bad[i]));
    for (unsigned i = 0; i < 3; i++)
        assert_true(gw_counter_is_point(&good[i]));
}

/*
 * Guarantees  by time, start and value, also of integers that are one as doubles; of points in that order increases add
 *             up to the last value
 */
static void points_have_one_order(void **state)
{
    const struct gw_counter_point in_order[] = {whole(0, 1, 9),        whole(0, 2, 3),  whole(1, 2, 1),
                                                real(1, 2, 1),         real(1, 2, 1.5), whole(1, 2, INT64_MAX - 1),
                                                whole(1, 2, INT64_MAX)};
    int64_t sum = 0;

    (void)state;
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 7; k++) {
            int c = gw_counter_compare(&in_order[i], &in_order[k]);

            assert_true(i < k ? c < 0 : i > k ? c > 0 : c == 0);
        }
    for (int i = 1; i < 50; i++)
        sum += up(whole(1, (uint64_t)i, i * i), whole(1, (uint64_t)i + 1, (i + 1) * (i + 1)));
    assert_true(sum == 50 * 50 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_are_told_apart), cmocka_unit_test(whole_numbers_stay_whole),
        cmocka_unit_test(what_is_no_point_is_none), cmocka_unit_test(points_have_one_order)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
