/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows are done, against a plain array of flags; and where its memory ends. */
#include "log/crc32c.h"
#include "log/rows.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

enum { N = 400 };

/* Scenario: thousands of random ranges. Guarantees: the same rows are done as in an array, counted once; open ones too.
 */
static void ranges_are_as_an_array_of_flags(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct gw_lf_rows s = {0};
        bool done[N] = {false};
        uint64_t n_done = 0;

        for (unsigned i = 0; i < 60; i++) {
            uint64_t from = gw_test_random(&seed) % N, n = gw_test_random(&seed) % (round % 2 ? 4 : 60), fresh = 0;
            uint64_t to = from + n < N ? from + n : N, a = 0, b = 0, at = 0, want;

            for (uint64_t k = from; k < to; k++) {
                fresh += !done[k];
                done[k] = true;
            }
            assert_int_equal(gw_lf_rows_reserve(&s, 1, GW_LF_MAX_RANGES), 0);
            assert_int_equal(gw_lf_rows_add(&s, from, (struct gw_lf_place){to, to, 0}), fresh);
            n_done += fresh;
            assert_int_equal(s.base.row + s.above, n_done);
            for (size_t k = 0; k < s.n; k++)
                assert_true(s.ranges[k].from > (k ? s.ranges[k - 1].to.row : s.base.row));
            while (gw_lf_rows_open(&s, at, N, &a, &b)) {
                for (want = at; want < N && done[want]; want++)
                    ;
                assert_int_equal(a, want);
                for (; want < N && !done[want]; want++)
                    ;
                assert_int_equal(b, want);
                at = b;
            }
            for (; at < N; at++)
                assert_true(done[at]);
        }
        gw_lf_rows_clear(&s);
    }
}

/*
 * Scenario    a million rows, every other one settled; then the others
 * Guarantees  refused where its memory ends, and nothing is changed; closing gaps works and gives the room back
 */
static void a_million_gaps_are_refused(void **state)
{
    struct gw_lf_rows s = {0};
    uint64_t n = 0;
    int rc = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000000 && rc == 0; i++) {
        rc = gw_lf_rows_reserve(&s, 1, GW_LF_MAX_RANGES);
        if (rc == 0)
            n += gw_lf_rows_add(&s, 2 * i + 1, (struct gw_lf_place){2 * i + 2, 2 * i + 2, 0});
    }
    assert_int_equal(rc, -E2BIG);
    assert_int_equal(n, GW_LF_MAX_RANGES);
    assert_int_equal(s.n, GW_LF_MAX_RANGES);
    assert_true(s.cap * sizeof(*s.ranges) <= 16 << 20);
    (void)gw_lf_rows_add(&s, 0, (struct gw_lf_place){1001, 1001, 0});
    assert_int_equal(s.base.row, 1002);
    assert_int_equal(gw_lf_rows_reserve(&s, 1, GW_LF_MAX_RANGES), 0);
    gw_lf_rows_clear(&s);
}

/* Guarantees: rows at the end of the numbers are like any others. */
static void rows_may_be_near_the_end(void **state)
{
    struct gw_lf_rows s = {.base = {.row = (1ull << 63) - 5}};
    uint64_t a, b;

    (void)state;
    assert_int_equal(gw_lf_rows_reserve(&s, 2, GW_LF_MAX_RANGES), 0);
    assert_int_equal(gw_lf_rows_add(&s, 1ull << 63, (struct gw_lf_place){(1ull << 63) + 10, 1, 0}), 10);
    assert_true(gw_lf_rows_open(&s, 0, UINT64_MAX, &a, &b));
    assert_int_equal(a, (1ull << 63) - 5);
    assert_int_equal(b, 1ull << 63);
    assert_int_equal(gw_lf_rows_add(&s, 0, (struct gw_lf_place){1ull << 63, 1, 0}), 5);
    assert_int_equal(s.base.row, (1ull << 63) + 10);
    gw_lf_rows_clear(&s);
}

/* By its definition. */
static uint32_t bit_by_bit(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

/* Guarantees: the published check value; the library's sum is the polynomial's at every length and alignment. */
static void a_sum_is_the_remainder(void **state)
{
    static uint8_t p[40000];
    uint64_t seed = 5;

    (void)state;
    assert_int_equal(gw_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(bit_by_bit(0, (const uint8_t *)"123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)gw_test_random(&seed);
    for (unsigned i = 0; i < 3000; i++) {
        size_t from = gw_test_random(&seed) % 64, n = i < 2000 ? i : gw_test_random(&seed) % (sizeof(p) - 64);
        uint32_t crc = (uint32_t)gw_test_random(&seed);

        assert_int_equal(gw_crc32c(crc, p + from, n), bit_by_bit(crc, p + from, n));
        assert_int_equal(gw_crc32c(gw_crc32c(0, p, n / 3), p + n / 3, n - n / 3), gw_crc32c(0, p, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_as_an_array_of_flags),
        cmocka_unit_test(a_million_gaps_are_refused),
        cmocka_unit_test(rows_may_be_near_the_end),
        cmocka_unit_test(a_sum_is_the_remainder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
