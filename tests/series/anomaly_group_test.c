/* SPDX-License-Identifier: Apache-2.0 */
#include "series/anomaly_group.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness.h"

static struct gw_anomaly_group_conf conf = {.alpha = 0.02, .min_deviation = 0.01, .warmup = 30, .n = 3};
static uint64_t seed;

static double noise(void)
{
    double sum = 0;

    for (unsigned i = 0; i < 12; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += (double)(seed >> 11) / 9007199254740992.0;
    }
    return sum - 6;
}

static struct gw_anomaly_group *fresh(void)
{
    seed = 1;
    return calloc(1, gw_anomaly_group_bytes(&conf));
}

static struct gw_anomaly_group_verdict pane(struct gw_anomaly_group *s, uint64_t t, double x, double y, double z)
{
    struct gw_anomaly_group_verdict v;

    assert_int_not_equal(gw_anomaly_group_put(&conf, s, 0, x, t, &v), GW_GROUP_OLD); /* it may end the one before */
    assert_int_equal(gw_anomaly_group_put(&conf, s, 2, z, t, &v), GW_GROUP_WAITS);
    assert_int_equal(gw_anomaly_group_put(&conf, s, 1, y, t, &v), GW_GROUP_JUDGED);
    return v;
}

/* x and y go up and down together, z does not care. */
static struct gw_anomaly_group_verdict usual(struct gw_anomaly_group *s, uint64_t t)
{
    double load = noise();

    return pane(s, t, 1e9 + 100 * load + noise(), 50 + 10 * load + 0.2 * noise(), 7 + noise());
}

static void teach(struct gw_anomaly_group *s, uint64_t from, uint64_t to)
{
    for (uint64_t t = from; t <= to; t++)
        assert_true(usual(s, t).a.score < 6);
}

/*
 * Scenario    two values that go together, each where it often is, and not where the other one says; one far off
 * Guarantees  the first is told by no value alone, and is told; what is furthest off, with what was expected of it
 */
static void what_does_not_go_together_is_unusual(void **state)
{
    struct gw_anomaly_group *s = fresh();
    struct gw_anomaly_group_verdict v;

    (void)state;
    conf.min_deviation = 1e-9; /* a billion that varies by a hundred */
    teach(s, 1, 500);
    assert_true(pane(s, 501, 1e9 + 150, 50 + 15, 7).a.score < 2);
    v = pane(s, 502, 1e9 + 150, 50 - 15, 7);
    assert_true(v.a.score > 5);
    v = pane(s, 503, 1e9, 50, 17);
    assert_true(v.a.score > 4);
    assert_int_equal(v.which, 2);
    assert_true(v.value == 17 && fabs(v.a.expected - 7) < 1 && v.a.deviation < 2);
    conf.min_deviation = 0.01;
    free(s);
}

/* Scenario: usual panes. Guarantees: scores are as a single value's deviations are: a few in 100 above 2. */
static void scores_are_deviations_of_one_value(void **state)
{
    unsigned above[6] = {0};

    (void)state;
    for (conf.n = 2; conf.n <= 8; conf.n += 3) {
        struct gw_anomaly_group *s = fresh();
        struct gw_anomaly_group_verdict v = {0};

        memset(above, 0, sizeof(above));
        for (uint64_t t = 1; t <= 4000; t++) {
            for (uint32_t i = 0; i < conf.n; i++)
                (void)gw_anomaly_group_put(&conf, s, i, 100 + 10 * noise(), t, &v);
            for (unsigned k = 1; t > 200 && k < 6; k++)
                above[k] += v.a.score >= k;
        }
        assert_true(above[1] > 380 && above[1] < 840); /* 16 % of 3,800 are 603 */
        assert_true(above[2] > 40 && above[2] < 200);  /* 2.3 %: 86 */
        assert_true(above[4] < 8);
        free(s);
    }
    conf.n = 3;
}

/*
 * Scenario    values that are missing, come twice, too late, are no numbers; a series that begins later
 * Guarantees  a pane is judged when it is complete, or when the next one begins, by what is there; nothing else teaches
 */
static void panes_with_gaps(void **state)
{
    struct gw_anomaly_group *s = fresh();
    struct gw_anomaly_group_verdict v;

    (void)state;
    for (uint64_t t = 1; t <= 100; t++) { /* the third is not there yet */
        double load = noise();

        (void)gw_anomaly_group_put(&conf, s, 0, 100 + 10 * load, t, &v);
        assert_int_equal(v.a.deviation > 0, t > 31); /* of the pane before */
        assert_int_equal(gw_anomaly_group_put(&conf, s, 1, 50 + 5 * load + 0.1 * noise(), t, &v), GW_GROUP_WAITS);
        assert_int_equal(gw_anomaly_group_put(&conf, s, 1, 9999, t, &v), GW_GROUP_OLD);
        assert_int_equal(gw_anomaly_group_put(&conf, s, 1, 9999, t - 1, &v), GW_GROUP_OLD);
        assert_int_equal(gw_anomaly_group_put(&conf, s, 2, NAN, t, &v), GW_GROUP_WAITS);
        assert_int_equal(gw_anomaly_group_put(&conf, s, 2, -INFINITY, t, &v), GW_GROUP_WAITS);
        assert_int_equal(gw_anomaly_group_put(&conf, s, 2, 1e300, t, &v), GW_GROUP_WAITS);
        assert_true(v.a.score == 0);
    }
    assert_int_equal(gw_anomaly_group_put(&conf, s, 0, 110, 101, &v), GW_GROUP_JUDGED);
    assert_int_equal(gw_anomaly_group_put(&conf, s, 1, 45, 101, &v), GW_GROUP_WAITS);
    assert_int_equal(gw_anomaly_group_put(&conf, s, 2, 3, 101, &v), GW_GROUP_JUDGED); /* it only teaches */
    assert_true(v.a.score > 4 && v.which != 2);
    assert_int_equal(gw_anomaly_group_put(&conf, s, 2, 3, 101, &v), GW_GROUP_OLD);
    free(s);
    s = fresh(); /* what is missing for long is not forgotten, nor what it goes together with */
    conf.min_deviation = 1e-9;
    teach(s, 1, 200);
    for (uint64_t t = 201; t <= 600; t++) {
        (void)gw_anomaly_group_put(&conf, s, 1, 50 + 10 * noise(), t, &v);
        (void)gw_anomaly_group_put(&conf, s, 2, 7 + noise(), t, &v);
    }
    assert_true(pane(s, 601, 1e9 + 150, 50 + 15, 7).a.score < 2);
    assert_true(pane(s, 602, 1e9 + 150, 50 - 15, 7).a.score > 5);
    conf.min_deviation = 0.01;
    free(s);
}

/* Scenario: values that never change, or go exactly together, then do not. Guarantees: finite scores, and low ones
 * first. */
static void what_never_changed(void **state)
{
    struct gw_anomaly_group *s = fresh();

    (void)state;
    for (uint64_t t = 1; t <= 200; t++)
        assert_true(pane(s, t, 0, 100, 100).a.score < 0.1);
    assert_true(pane(s, 201, 0, 101, 100).a.score < 4); /* one percent */
    assert_true(pane(s, 202, 0, 120, 100).a.score > 4);
    assert_true(isfinite(pane(s, 203, 1, 100, 100).a.score));
    free(s);
    s = fresh();
    for (uint64_t t = 1; t <= 200; t++) {
        double x = 100 + 10 * noise();

        assert_true(pane(s, t, x, 2 * x, -x).a.score < 5);
    }
    assert_true(pane(s, 201, 105, 210, -105).a.score < 2);
    assert_true(pane(s, 202, 110, 180, -110).a.score > 5);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_go_together_is_unusual),
        cmocka_unit_test(scores_are_deviations_of_one_value),
        cmocka_unit_test(panes_with_gaps),
        cmocka_unit_test(what_never_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
