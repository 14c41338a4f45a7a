/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "net/h2_bucket.h"

#define SECOND 1000000000ull

static unsigned charges_until_empty(struct gw_h2_bucket *b, uint64_t now)
{
    unsigned n = 0;

    while (gw_h2_bucket_charge(b, 1, now))
        n++;
    return n;
}

/* Scenario: charges at one moment; then none for five seconds, then for an hour.
 * Guarantees: the burst, then 20 a second, never more than the burst. */
static void a_bucket_holds_its_burst_and_fills_by_time(void **state)
{
    struct gw_h2_bucket b;

    (void)state;
    gw_h2_bucket_init(&b, 200, 20, SECOND);
    assert_int_equal(charges_until_empty(&b, SECOND), 200);
    assert_int_equal(charges_until_empty(&b, 6 * SECOND), 100);
    assert_int_equal(charges_until_empty(&b, 3606 * SECOND), 200);
}

/* Scenario: a charge every 50 ms for an hour, and then every 40 ms.
 * Guarantees: the first pace is allowed for ever, the second one is not. */
static void the_pace_that_is_allowed_is_exact(void **state)
{
    struct gw_h2_bucket b;
    uint64_t now = SECOND;
    unsigned n = 0;

    (void)state;
    gw_h2_bucket_init(&b, 200, 20, now);
    for (unsigned i = 0; i < 72000; i++)
        assert_true(gw_h2_bucket_charge(&b, 1, now += SECOND / 20));
    while (gw_h2_bucket_charge(&b, 1, now += SECOND / 25) && n < 100000)
        n++;
    assert_in_range(n, 900, 1100);
}

/* Scenario: 10 answers are owed for, and 150 requests are completed on an empty bucket.
 * Guarantees: what is owed costs nothing; each completed request pays for one charge. */
static void what_is_owed_is_free_and_answers_pay_back(void **state)
{
    struct gw_h2_bucket b;
    uint32_t owed = 0;

    (void)state;
    gw_h2_bucket_init(&b, 200, 20, SECOND);
    gw_h2_bucket_owe(&owed, 10);
    for (unsigned i = 0; i < 210; i++)
        assert_true(gw_h2_bucket_owed(&b, &owed, SECOND));
    assert_false(gw_h2_bucket_owed(&b, &owed, SECOND));
    for (unsigned i = 0; i < 150; i++)
        gw_h2_bucket_completed(&b);
    assert_int_equal(charges_until_empty(&b, SECOND), 150);
    gw_h2_bucket_owe(&owed, 5000);
    assert_int_equal(owed, GW_H2_OWED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_holds_its_burst_and_fills_by_time),
        cmocka_unit_test(the_pace_that_is_allowed_is_exact),
        cmocka_unit_test(what_is_owed_is_free_and_answers_pay_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
