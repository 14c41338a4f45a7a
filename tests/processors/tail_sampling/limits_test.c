/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limiters. The masks of buckets_are_those_of_go were written by golden.go with golang.org/x/time v0.15.0: bit j of
 * word k says that take 64k + j was allowed.
 */
#include "processors/tail_sampling/rules.h"
#include "tests/processors/tail_sampling/rig.h"

static void buckets_are_those_of_go(void **state)
{
    static const struct {
        double per_second;
        int64_t burst;
        uint64_t masks[4];
    } cases[] = {
        {10, 20, {0x50e00db579efcf0f, 0xb66fc5e4f54a05ab, 0xa005ab5dc52331f2, 0x6cc5051cdcadcce5}},
        {0, 50, {0x040000000000012f, 0x0804008000081000, 0x2000000002000000, 0x0000001000200840}},
        {1, 1, {0x8ea3ff975c1dfb75, 0xe7fd38d7c5fea6f6, 0x3cab6ffccca3869f, 0x9117fe2e7ef2fbbd}},
        {35, 70, {0xd0200a9e0089011b, 0x37266abc3a7c0012, 0x8bc00b74d3ff7ce6, 0xc7f7f45c203cd6ef}},
        {1000, 100, {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}},
        {3, 1000, {0x0000008000001837, 0x0000000002000000, 0x0000100000040000, 0x0008000000000000}},
        {0.5, 4, {0x340688012380040f, 0x88a009341627056a, 0x00400c6406540280, 0x304074c504d1b140}},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_bucket b;
        uint64_t seed = i + 1, now = 1700000000 * S;

        gw_bucket_init(&b, cases[i].per_second, cases[i].burst, 1);
        for (unsigned k = 0; k < 4 * 64; k++) {
            int64_t n;

            now += gw_test_random(&seed) % 400000000;
            if (gw_test_random(&seed) % 16 == 0)
                now -= S;
            n = (int64_t)(gw_test_random(&seed) % (uint64_t)(cases[i].burst / 2 + 2));
            if (gw_bucket_take(&b, now, n) != (cases[i].masks[k / 64] >> (k % 64) & 1))
                fail_msg("case %u, take %u of %lld", i, k, (long long)n);
        }
    }
}

/* 10 a second, at most 20: by hand. */
static void a_bucket_is_full_at_first_and_fills_with_time(void **state)
{
    struct gw_bucket b;
    uint64_t now = 1700000000 * S;

    (void)state;
    gw_bucket_init(&b, 10, 20, 1);
    assert_false(gw_bucket_take(&b, now, 21)); /* more than it ever holds */
    assert_true(gw_bucket_take(&b, now, 20));
    assert_false(gw_bucket_take(&b, now, 1));
    assert_true(gw_bucket_take(&b, now, 0));
    assert_false(gw_bucket_take(&b, now + 99 * MS, 1)); /* 0.99 */
    assert_true(gw_bucket_take(&b, now + 100 * MS, 1));
    assert_false(gw_bucket_take(&b, now + 200 * MS - 2, 1)); /* a wait of 2 ns; one of less than 1 ns is none */
    assert_true(gw_bucket_take(&b, now + 200 * MS, 1));
    assert_true(gw_bucket_take(&b, now + 1200 * MS, 10));
    assert_true(gw_bucket_take(&b, now + 100 * S, 20)); /* full again, and not more */
    assert_false(gw_bucket_take(&b, now + 100 * S, 1));
    assert_false(gw_bucket_take(&b, now, 1)); /* a clock that goes back gives nothing */
}

static void spans_and_bytes_are_limited(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, "policies: [{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 3}}]");
    KEEPS(&r, {0}, {0}, {0}, {0}, {0}, {0}); /* a burst is twice the rate */
    LOSES(&r, {0});
    r.now_ns += S;
    KEEPS(&r, {0}, {0}, {0});
    LOSES(&r, {0});
    rig_close(&r);

    rig_open(&r, "policies: [{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 3, burst_capacity: 1}}]");
    LOSES(&r, {0}, {0});
    KEEPS(&r, {0});
    rig_close(&r);

    rig_open(&r, "policies: [{name: a, type: bytes_limiting, bytes_limiting: {bytes_per_second: 100, burst_capacity: "
                 "250}}]");
    ADD(&r, {0});
    r.facts.framed_bytes = 251;
    assert_int_equal(rig_decide(&r), GW_NOT_SAMPLED);
    r.facts.framed_bytes = 250;
    assert_int_equal(rig_decide(&r), GW_SAMPLED);
    r.facts.framed_bytes = 1;
    assert_int_equal(rig_decide(&r), GW_NOT_SAMPLED);
    r.now_ns += S;
    r.facts.framed_bytes = 100;
    assert_int_equal(rig_decide(&r), GW_SAMPLED);
    rig_close(&r);
}

/* Four instances see a quarter each: together they keep what one would, at once and in the long run. */
static void a_share_divides_what_is_per_second(void **state)
{
    struct rig r = {.c.share = 0.25};

    (void)state;
    rig_open(&r, "policies: [{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 4}}]");
    KEEPS(&r, {0}, {0});
    LOSES(&r, {0});
    r.now_ns += S;
    LOSES(&r, {0}, {0});
    KEEPS(&r, {0});
    rig_close(&r);

    r.c.share = 0.5;
    rig_open(&r, "policies: [{name: c, type: composite, composite: {max_total_spans_per_second: 4, "
                 "composite_sub_policy: [{name: s, type: always_sample}], "
                 "rate_allocation: [{policy: s, percent: 100}]}}]");
    LOSES(&r, {0}, {0}, {0});
    KEEPS(&r, {0}, {0});
    rig_close(&r);
}

/*
 * A burst of 8, a rate of 4, a quarter of each: a trace of 8 spans is larger than the part. It passes when the part is
 * full, and is paid by the time that it takes; one of 9 never passes.
 */
static void a_trace_larger_than_the_part_of_a_burst_is_owed(void **state)
{
    uint64_t now = 1700000000 * S;
    struct gw_bucket b;

    (void)state;
    gw_bucket_init(&b, 4, 8, 0.25);
    assert_false(gw_bucket_take(&b, now, 9));
    assert_true(gw_bucket_take(&b, now, 8)); /* 2 were there: it owes 6 */
    assert_false(gw_bucket_take(&b, now + 6 * S, 1));
    assert_true(gw_bucket_take(&b, now + 7 * S, 1));
    assert_false(gw_bucket_take(&b, now + 8 * S, 8)); /* it is not full */
    assert_true(gw_bucket_take(&b, now + 9 * S, 8));
    now += 9 * S;
    for (unsigned i = 1; i <= 1000; i++) /* one a second in the long run */
        assert_int_equal(gw_bucket_take(&b, now + i * S, 8), i % 8 == 0);
}

#define COMPOSITE                                                                                                      \
    "policies: [{name: c, type: composite, composite: {max_total_spans_per_second: 10, policy_order: [a, b, rest], "   \
    "composite_sub_policy: ["                                                                                          \
    "{name: a, type: string_attribute, string_attribute: {key: k, values: [a]}}, "                                     \
    "{name: b, type: and, and: {and_sub_policy: ["                                                                     \
    "{name: b1, type: string_attribute, string_attribute: {key: k, values: [b]}}, "                                    \
    "{name: b2, type: not, not: {not_sub_policy: {name: b3, type: status_code, status_code: {status_codes: "           \
    "[ERROR]}}}}]}}, "                                                                                                 \
    "{name: rest, type: always_sample}], "                                                                             \
    "rate_allocation: [{policy: a, percent: 50}, {policy: b, percent: 0}]}}]"

/* a: 5 a second, b: 10 / 3 = 3, rest is not listed: 0. */
static void a_composite_counts_by_the_second(void **state)
{
    struct rig r = {.c.share = 1};
    const struct span a = {.attrs = TEXT("k", "a")}, b = {.attrs = TEXT("k", "b")};

    (void)state;
    rig_open(&r, COMPOSITE);
    KEEPS(&r, a, a, a);
    assert_string_equal(r.verdict.policy, "c");
    assert_string_equal(r.verdict.composite, "a");
    LOSES(&r, a, a, a); /* and b, which says no, is not asked for room */
    KEEPS(&r, a, a);    /* what was refused took nothing */
    LOSES(&r, a);
    KEEPS(&r, b, b, b);
    assert_string_equal(r.verdict.composite, "b");
    LOSES(&r, b);
    LOSES(&r, b, {.status = 2});
    LOSES(&r, {0}); /* not listed: nothing */
    assert_null(r.verdict.policy);
    assert_null(r.verdict.composite);
    r.now_ns += S - 1;
    LOSES(&r, a);
    r.now_ns += 1;
    KEEPS(&r, a, a, a, a, a);
    rig_close(&r);
}

static void fall_through_asks_the_next_one(void **state)
{
    static const char yaml[] =
        "policies: [{name: c, type: composite, composite: {max_total_spans_per_second: 4, "
        "composite_sub_policy: [{name: a, type: always_sample}, {name: b, type: always_sample}], "
        "rate_allocation: [{policy: a, percent: 25}, {policy: b, percent: 300}]}}]";
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, yaml);
    KEEPS(&r, {0});
    LOSES(&r, {0});
    rig_close(&r);

    r.c.fall_through = true;
    rig_open(&r, yaml);
    KEEPS(&r, {0});
    assert_string_equal(r.verdict.composite, "a");
    KEEPS(&r, {0}, {0});
    assert_string_equal(r.verdict.composite, "b");
    KEEPS(&r, {0}, {0});
    LOSES(&r, {0}); /* b has 12, but no sub-policy more than the total */
    rig_close(&r);
}

/* A reload must not fill every bucket. */
static void another_list_takes_over_what_limiters_hold(void **state)
{
    static const char yaml[] = "policies: [{name: x, type: always_sample}, {name: a, type: and, and: {and_sub_policy: ["
                               "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 3}}]}}]";
    struct rig r = {.c.share = 1}, other = {.c.share = 1};

    (void)state;
    rig_open(&r, COMPOSITE);
    KEEPS(&r, {.attrs = TEXT("k", "a")}, {.attrs = TEXT("k", "a")}, {.attrs = TEXT("k", "a")});
    rig_open(&other, COMPOSITE);
    gw_policies_adopt(other.p, r.p);
    LOSES(&other, {.attrs = TEXT("k", "a")}, {.attrs = TEXT("k", "a")}, {.attrs = TEXT("k", "a")});
    rig_close(&r);
    rig_close(&other);

    rig_open(&r, yaml);
    KEEPS(&r, {0}, {0}, {0}, {0}, {0}, {0});
    rig_open(&other, "policies: [{name: a, type: and, and: {and_sub_policy: ["
                     "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 3}}]}}]");
    gw_policies_adopt(other.p, r.p);
    LOSES(&other, {0});
    rig_close(&r);
    rig_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_those_of_go),
        cmocka_unit_test(a_bucket_is_full_at_first_and_fills_with_time),
        cmocka_unit_test(spans_and_bytes_are_limited),
        cmocka_unit_test(a_share_divides_what_is_per_second),
        cmocka_unit_test(a_trace_larger_than_the_part_of_a_burst_is_owed),
        cmocka_unit_test(a_composite_counts_by_the_second),
        cmocka_unit_test(fall_through_asks_the_next_one),
        cmocka_unit_test(another_list_takes_over_what_limiters_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
