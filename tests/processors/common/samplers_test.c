/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samplers against the same formulas worked out a second time (golden/samplers.py): 700 calls each, with a burst, quiet
 * times, and keys that come once.
 */
#include "processors/common/samplers.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"
#include "tests/harness_env.h"
#include "values/sampling.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

static double number(const char *line, const char *name)
{
    const char *at = strstr(line, name);

    return at ? strtod(at + strlen(name), NULL) : 0;
}

static struct gw_sampler *sampler_of(const char *line)
{
    static const char *const kinds[] = {"ema_percentage", "ema_throughput", "windowed_throughput", "total_throughput"};
    struct gw_sampler_conf c = {
        .goal = number(line, " goal="),
        .share = number(line, " share="),
        .interval_ns = (uint64_t)number(line, " interval=") * MS,
        .lookback_ns = (uint64_t)number(line, " lookback=") * MS,
        .weight = number(line, " weight="),
        .burst_multiple = number(line, " multiple="),
        .burst_delay = (uint32_t)number(line, " delay="),
        .initial_rate = (uint32_t)number(line, " initial="),
        .max_keys = (uint32_t)number(line, " max_keys="),
    };

    for (unsigned i = 0; i < 4; i++)
        if (strncmp(line, kinds[i], strlen(kinds[i])) == 0)
            c.kind = (enum gw_sampler_kind)i;
    return gw_sampler_new(&c, 0);
}

/* Another one takes its place, whose clock is an hour ahead for each time. */
static struct gw_sampler *carry_over(struct gw_sampler *s, uint64_t now_ns, uint64_t *shift_ns)
{
    struct gw_sampler *next;
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    gw_sampler_save(s, now_ns + *shift_ns, &b);
    *shift_ns += 3600 * SECOND;
    next = gw_sampler_load(s, gw_buf_slice(&b), now_ns + *shift_ns);
    assert_non_null(next);
    gw_buf_clear(&b);
    gw_sampler_free(s);
    return next;
}

/* Seven configurations, 700 calls each: every rate is the one that the formulas give. */
static void compare_all(unsigned carry_every)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/processors/golden/samplers.txt", "r");
    char line[256], name[256] = "", key[64];
    struct gw_sampler *s = NULL;
    unsigned n = 0, bursts = 0;
    uint64_t shift = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long long now, events, rate, ours;

        if (line[0] == '#')
            continue;
        if (sscanf(line, "%llu %63s %llu %llu", &now, key, &events, &rate) != 4) {
            bursts += s ? (unsigned)gw_sampler_n_bursts(s) : 0;
            gw_sampler_free(s);
            s = sampler_of(line);
            shift = 0;
            (void)snprintf(name, sizeof(name), "%s", line);
            continue;
        }
        if (carry_every && n % carry_every == 0)
            s = carry_over(s, now * MS, &shift);
        ours = gw_sampler_rate(s, gw_slice_cstr(key), events, now * MS + shift);
        if (ours != rate)
            fail_msg("%sat %llu %s counts %llu: 1 in %llu, not %llu", name, now, key, events, ours, rate);
        n++;
    }
    gw_sampler_free(s);
    (void)fclose(f);
    assert_int_equal(n, 7 * 700);
    assert_true(bursts > 0);
}

static void rates_are_those_of_the_formulas(void **state)
{
    (void)state;
    compare_all(0);
}

/*
 * Scenario    the same, and every few calls a process ends, and the next one, with another clock, takes up what it knew
 * Guarantees  rates are the same, and so is what is written next; other settings take nothing of it; damage is refused,
 * or another state
 */
static void rates_go_on_over_the_end_of_a_process(void **state)
{
    struct gw_sampler_conf c = {.kind = GW_EMA_THROUGHPUT,
                                .goal = 10,
                                .share = 1,
                                .interval_ns = SECOND,
                                .weight = 0.3,
                                .burst_multiple = 2,
                                .max_keys = 5};
    struct gw_sampler *s = gw_sampler_new(&c, 0), *other;
    struct gw_buf b, again;

    (void)state;
    compare_all(1);
    compare_all(13);
    gw_buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 50; i++)
        (void)gw_sampler_rate(s, i % 3 ? GW_SLICE("often") : GW_SLICE("seldom"), i, i * SECOND / 7);
    gw_sampler_save(s, 0, &b);
    for (size_t n = 0; n < 2 * b.n; n++) {
        size_t len = n < b.n ? n : b.n;
        uint8_t *exact = malloc(len + 1);

        memcpy(exact, b.p, len);
        if (n >= b.n)
            exact[n - b.n] ^= 0xff;
        exact = realloc(exact, len ? len : 1);
        other = gw_sampler_load(s, gw_slice_of(exact, len), 0);
        assert_true(n >= b.n || !other);
        if (other)
            (void)gw_sampler_rate(other, GW_SLICE("often"), 1, 8 * SECOND);
        gw_sampler_free(other);
        free(exact);
    }
    other = gw_sampler_load(s, gw_buf_slice(&b), 0);
    gw_buf_init(&again, 1 << 20);
    gw_sampler_save(other, 0, &again);
    assert_true(gw_slice_eq(gw_buf_slice(&again), gw_buf_slice(&b)));
    gw_sampler_free(other);
    gw_buf_clear(&again);
    c.goal = 11;
    other = gw_sampler_new(&c, 0);
    assert_null(gw_sampler_load(other, gw_buf_slice(&b), 0));
    gw_sampler_free(other);
    gw_sampler_free(s);
    gw_buf_clear(&b);
}

/* A second's traffic of that key, in one of n parts. */
static uint64_t feed(struct gw_sampler *s, const char *key, unsigned n, unsigned second)
{
    uint64_t rate = 0;

    for (unsigned i = 0; i < n; i++)
        rate = gw_sampler_rate(s, gw_slice_cstr(key), 1, second * SECOND + i * SECOND / n);
    return rate;
}

/*
 * Scenario    three samplers of a third of the traffic each become one of all of it, and that becomes one of a half; of
 *             each kind
 * Guarantees  rates are what they were, and stay so with the traffic that comes there then
 */
static void shares_become_other_shares(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct gw_sampler_conf c = {.kind = (enum gw_sampler_kind)kind,
                                    .goal = 30,
                                    .share = 1.0 / 3,
                                    .interval_ns = SECOND,
                                    .lookback_ns = 10 * SECOND,
                                    .weight = 0.5,
                                    .burst_multiple = -1,
                                    .max_keys = 50};
        struct gw_sampler *parts[3], *whole, *half;
        uint64_t rate[2] = {0};

        for (unsigned i = 0; i < 3; i++) {
            parts[i] = gw_sampler_new(&c, 0);
            for (unsigned t = 0; t < 20; t++) {
                rate[0] = feed(parts[i], "often", 300, t);
                rate[1] = feed(parts[i], "seldom", 20, t);
            }
        }
        assert_true(rate[0] > rate[1] && rate[1] >= 1);
        c.share = 1;
        whole = gw_sampler_new(&c, 0);
        gw_sampler_take(whole, parts, 3);
        c.share = 0.5;
        half = gw_sampler_new(&c, 0);
        assert_true(gw_sampler_rate(whole, GW_SLICE("often"), 1, 20 * SECOND - 1) == rate[0]);
        for (unsigned t = 20; t < 23; t++) {
            assert_in_range(feed(whole, "often", 900, t), rate[0] - rate[0] / 4, rate[0] + rate[0] / 4 + 1);
            assert_in_range(feed(whole, "seldom", 60, t), rate[1] - rate[1] / 3, rate[1] + rate[1] / 3 + 1);
        }
        gw_sampler_take(half, &whole, 1);
        for (unsigned t = 23; t < 26; t++) {
            assert_in_range(feed(half, "often", 450, t), rate[0] - rate[0] / 4, rate[0] + rate[0] / 4 + 1);
            (void)feed(half, "seldom", 30, t);
        }
        for (unsigned i = 0; i < 3; i++)
            gw_sampler_free(parts[i]);
        gw_sampler_free(whole);
        gw_sampler_free(half);
    }
}

static struct gw_sampler_conf throughput(double share)
{
    return (struct gw_sampler_conf){.kind = GW_EMA_THROUGHPUT,
                                    .goal = 100,
                                    .share = share,
                                    .interval_ns = 15 * SECOND,
                                    .weight = 0.5,
                                    .burst_multiple = 2,
                                    .burst_delay = 3,
                                    .initial_rate = 10,
                                    .max_keys = 500};
}

/* What is kept of 4,000 events a second, of 20 keys, in the eleventh minute; a second. */
static double kept_a_second(double share, double of_all)
{
    struct gw_sampler_conf conf = throughput(share);
    struct gw_sampler *s = gw_sampler_new(&conf, 0);
    double kept = 0;

    for (uint64_t ms = 0; ms < 660000; ms += 10)
        for (unsigned e = 0; e < (unsigned)(40 * of_all); e++) {
            char key[16];
            uint64_t rate;

            (void)snprintf(key, sizeof(key), "k%u", (unsigned)(ms / 10 + e * 7) % 20);
            rate = gw_sampler_rate(s, gw_slice_cstr(key), 1, ms * MS);
            kept += ms >= 600000 ? 1.0 / (double)rate : 0;
        }
    gw_sampler_free(s);
    return kept / 60;
}

/*
 * Scenario    a goal of 100 a second; the whole traffic in one place, then a quarter of it with the share of a quarter
 * Guarantees  about the goal is kept, and about a quarter of it: parts add up to the goal, however many there are
 */
static void a_goal_is_kept_in_parts(void **state)
{
    double whole = kept_a_second(1, 1), quarter = kept_a_second(0.25, 0.25);

    (void)state;
    if (whole < 90 || whole > 101 || quarter < 22 || quarter > 26)
        fail_msg("kept %g and %g a second", whole, quarter);
}

/*
 * Scenario    ten thousand keys a interval where 100 are allowed, for twenty intervals
 * Guarantees  what is known stays bounded, and who is not counted is kept
 */
static void keys_are_bounded(void **state)
{
    struct gw_sampler_conf conf = throughput(1);
    struct gw_sampler *s;
    uint64_t seed = 3;

    (void)state;
    conf.max_keys = 100;
    s = gw_sampler_new(&conf, 0);
    for (unsigned i = 0; i < 200000; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "%llu", (unsigned long long)gw_test_random(&seed));
        (void)gw_sampler_rate(s, gw_slice_cstr(key), 3, (uint64_t)i * (15 * SECOND / 10000));
        assert_true(gw_sampler_n_keys(s) <= 400);
    }
    assert_int_equal(gw_sampler_rate(s, GW_SLICE("new"), 1000000, 300 * SECOND), 1);
    gw_sampler_free(s);
}

/*
 * Scenario    thresholds for rates, without and with an earlier stage
 * Guarantees  one in N of the whole: half and a quarter are 0x8 and 0xc; what an earlier stage left is not more again
 */
static void thresholds_follow_each_other(void **state)
{
    (void)state;
    assert_true(gw_sampler_threshold(GW_ALWAYS_SAMPLE, 1) == GW_ALWAYS_SAMPLE);
    assert_true(gw_sampler_threshold(GW_ALWAYS_SAMPLE, 2) == UINT64_C(0x80000000000000));
    assert_true(gw_sampler_threshold(UINT64_C(0x80000000000000), 4) == UINT64_C(0xc0000000000000));
    assert_true(gw_sampler_threshold(UINT64_C(0xf0000000000000), 4) == UINT64_C(0xf0000000000000));
    assert_true(gw_sampler_threshold(UINT64_C(0x80000000000000), 1) == UINT64_C(0x80000000000000));
    assert_true(gw_sampler_threshold(GW_ALWAYS_SAMPLE, UINT64_MAX) == GW_NEVER_SAMPLE);
    assert_true(gw_sampler_threshold(GW_NEVER_SAMPLE, 5) == GW_NEVER_SAMPLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_the_formulas),
        cmocka_unit_test(rates_go_on_over_the_end_of_a_process),
        cmocka_unit_test(shares_become_other_shares),
        cmocka_unit_test(a_goal_is_kept_in_parts),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(thresholds_follow_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
