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

/*
 * Scenario    seven configurations, 700 calls each
 * Guarantees  every rate is the one that the formulas give
 */
static void rates_are_those_of_the_formulas(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/processors/golden/samplers.txt", "r");
    char line[256], name[256] = "", key[64];
    struct gw_sampler *s = NULL;
    unsigned n = 0, bursts = 0;

    (void)state;
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long long now, events, rate, ours;

        if (line[0] == '#')
            continue;
        if (sscanf(line, "%llu %63s %llu %llu", &now, key, &events, &rate) != 4) {
            bursts += s ? (unsigned)gw_sampler_n_bursts(s) : 0;
            gw_sampler_free(s);
            s = sampler_of(line);
            (void)snprintf(name, sizeof(name), "%s", line);
            continue;
        }
        ours = gw_sampler_rate(s, gw_slice_cstr(key), events, now * MS);
        if (ours != rate)
            fail_msg("%sat %llu %s counts %llu: 1 in %llu, not %llu", name, now, key, events, ours, rate);
        n++;
    }
    gw_sampler_free(s);
    (void)fclose(f);
    assert_int_equal(n, 7 * 700);
    assert_true(bursts > 0);
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
        cmocka_unit_test(a_goal_is_kept_in_parts),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(thresholds_follow_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
