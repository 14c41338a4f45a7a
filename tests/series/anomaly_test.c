/* SPDX-License-Identifier: Apache-2.0 */
#include "series/anomaly.h"

#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>

#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N_VALUES = 600, N_SLOTS = 24 };

static uint64_t seed;

static double uniform(void)
{
    return ((double)(gw_test_random(&seed) >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static struct gw_anomaly_conf conf_of(enum gw_anomaly_method method)
{
    return (struct gw_anomaly_conf){
        .method = method, .alpha = 0.1, .beta = 0.01, .gamma = 0.2, .slot_ns = 10, .n_slots = N_SLOTS, .warmup = 30};
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%g is not %g ± %g", got, want, tolerance);
}

/* ---- EWMA --------------------------------------------------------------------------------------------------- */

/* Mean and variance of all values so far, each with its weight. */
static void moments(const double *x, const double *w, unsigned n, double *mean, double *variance)
{
    *mean = *variance = 0;
    for (unsigned i = 0; i < n; i++)
        *mean += w[i] * x[i];
    for (unsigned i = 0; i < n; i++)
        *variance += w[i] * (x[i] - *mean) * (x[i] - *mean);
}

static void one_ewma(uint64_t s)
{
    struct gw_anomaly_conf c = conf_of(GW_ANOMALY_EWMA);
    struct gw_anomaly_ewma state = {0};
    double x[N_VALUES], w[N_VALUES], mean = 0, variance = 0, base = s % 3 ? 1e9 : 0;
    struct gw_anomaly a;

    seed = s;
    c.alpha = 0.02 + uniform() / 2;
    c.min_deviation = s % 2 ? 0.01 : 0;
    for (unsigned n = 0; n < N_VALUES; n++) {
        double alpha = fmax(c.alpha, 1.0 / (n + 1)), most;

        x[n] = base + normal() * 10 + (n % 50 == 49) * 300;
        gw_anomaly_observe(&c, &state, x[n], n, &a);
        most = fmax(sqrt(variance), fabs(mean) * c.min_deviation);
        if (n < c.warmup) {
            assert_true(a.score == 0);
        } else {
            near(a.expected, mean, 1e-9 * fabs(base) + 1e-6);
            near(a.score, fabs(x[n] - mean) / most, 1e-3 * a.score + 1e-6);
        }
        for (unsigned i = 0; i < n; i++)
            w[i] *= 1 - alpha;
        w[n] = alpha;
        moments(x, w, n + 1, &mean, &variance);
    }
}

/*
 * Scenario    random values, with outliers, far from zero or around it
 * Guarantees  expected value and deviation are those of all values before, each weighted by its age, computed anew
 */
static void ewma_is_the_weighted_mean(void **state)
{
    (void)state;
    gw_test_seeds(10, one_ewma);
}

/* ---- median --------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median_of(double *x, unsigned n)
{
    qsort(x, n, sizeof(*x), by_value);
    return x[n / 2];
}

static void one_median(uint64_t s)
{
    struct gw_anomaly_conf c = conf_of(GW_ANOMALY_MEDIAN);
    struct gw_anomaly_median state = {0};
    static double x[20 * N_VALUES];
    double median, mad;
    struct gw_anomaly a;

    seed = s;
    c.alpha = 0.01;
    for (unsigned i = 0; i < 20 * N_VALUES; i++) {
        double kind[] = {normal(), exp(normal()), tan(M_PI * (uniform() - 0.5)), normal() + (uniform() < 0.1) * 1000};

        x[i] = 100 + 5 * kind[s % 4];
        gw_anomaly_observe(&c, &state, x[i], i, &a);
    }
    median = median_of(x, 20 * N_VALUES);
    for (unsigned i = 0; i < 20 * N_VALUES; i++)
        x[i] = fabs(x[i] - median);
    mad = median_of(x, 20 * N_VALUES);
    near(state.median, median, 0.5 * mad);
    near(state.mad, mad, 0.4 * mad);
    gw_anomaly_observe(&c, &state, median + 20 * mad, 0, &a);
    assert_true(a.score > 6 && a.score < 30);
}

/* Scenario: normal, skewed, heavy-tailed values, and 10 % outliers. Guarantees: near the exact median and MAD of all.
 */
static void the_median_is_near_the_exact_one(void **state)
{
    (void)state;
    gw_test_seeds(12, one_median);
}

/* ---- Holt-Winters --------------------------------------------------------------------------------------------- */

static double seasonal(unsigned i)
{
    return 1000 + 0.5 * i + 200 * sin(2 * M_PI * (i % N_SLOTS) / N_SLOTS) + normal() * 5;
}

static void one_season(uint64_t s)
{
    struct gw_anomaly_conf c = conf_of(GW_ANOMALY_HOLT_WINTERS);
    uint64_t memory[64] = {0};
    double level = 0, trend = 0, deviation = 0, season[N_SLOTS], worst = 0;
    unsigned n = 0;
    struct gw_anomaly a;

    seed = s;
    assert_true(gw_anomaly_bytes(&c) <= sizeof(memory));
    for (unsigned i = 0; i < 40 * N_SLOTS; i++) {
        unsigned slot = i % N_SLOTS;
        bool is_spike = i > 30 * N_SLOTS && i % 97 == 5;
        double x = seasonal(i) + is_spike * 150, forecast, before = level;

        gw_anomaly_observe(&c, memory, x, 10 * (uint64_t)i, &a);
        if (i < N_SLOTS) {
            season[slot] = x;
            level += (x - level) / (i + 1);
            for (unsigned k = 0; i == N_SLOTS - 1 && k < N_SLOTS; k++)
                season[k] -= level;
            continue;
        }
        forecast = level + trend + season[slot];
        if (n >= c.warmup) {
            near(a.expected, forecast, 0.01);
            near(a.deviation, deviation * 1.2533, 0.01);
            if (is_spike)
                assert_true(a.score > 5);
            else if (i > 10 * N_SLOTS && i % 97 > 20)
                worst = fmax(worst, a.score);
        }
        level = c.alpha * (x - season[slot]) + (1 - c.alpha) * (level + trend);
        trend = c.beta * (level - before) + (1 - c.beta) * trend;
        season[slot] = c.gamma * (x - level) + (1 - c.gamma) * season[slot];
        deviation += fmax(c.alpha, 1.0 / (n + 1)) * (fabs(x - forecast - 0) - deviation);
        n++;
    }
    assert_true(worst > 0 && worst < 7);
}

/*
 * Scenario    a season of 24 slots on a slope, with noise and, later, spikes
 * Guarantees  level, trend, season and deviation are those of the plain recurrences in doubles; every spike scores more
 *             than 5, and nothing else as much as 7
 */
static void holt_winters_knows_the_season(void **state)
{
    (void)state;
    gw_test_seeds(10, one_season);
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

/*
 * Scenario    a steady series; NaN and infinities; a step; a series that never changes
 * Guarantees  what is no number has no score and is not learned; the step scores, and is the new normal after a while;
 *             min_deviation says what is too little to tell
 */
static void what_every_method_does(void **state)
{
    (void)state;
    for (unsigned m = GW_ANOMALY_EWMA; m <= GW_ANOMALY_HOLT_WINTERS; m++) {
        struct gw_anomaly_conf c = conf_of((enum gw_anomaly_method)m);
        uint64_t memory[64] = {0};
        struct gw_anomaly a;
        unsigned i = 0;

        seed = 7;
        c.n_slots = 4;
        c.min_deviation = 0.01;
        for (; i < 300; i++) {
            gw_anomaly_observe(&c, memory, 100 + normal(), 10 * (uint64_t)i, &a);
            assert_true(a.score < 8);
        }
        for (unsigned k = 0; k < 3; k++) {
            gw_anomaly_observe(&c, memory, (double[]){NAN, INFINITY, -INFINITY}[k], 10 * (uint64_t)i, &a);
            assert_true(a.score == 0);
        }
        gw_anomaly_observe(&c, memory, 150, 10 * (uint64_t)i++, &a);
        assert_true(a.score > 10);
        near(a.expected, 100, 3);
        for (; i < 1000; i++)
            gw_anomaly_observe(&c, memory, 150 + normal(), 10 * (uint64_t)i, &a);
        assert_true(a.score < 6);
        for (; i < 2000; i++)
            gw_anomaly_observe(&c, memory, 150, 10 * (uint64_t)i, &a);
        gw_anomaly_observe(&c, memory, 153, 10 * (uint64_t)i, &a);
        assert_true(a.score > 0.5 && a.score < 3);
    }
}

/* Guarantees: sizes as promised. */
static void states_are_small(void **state)
{
    struct gw_anomaly_conf c = conf_of(GW_ANOMALY_HOLT_WINTERS);

    (void)state;
    assert_true(sizeof(struct gw_anomaly_ewma) == 24 && sizeof(struct gw_anomaly_median) == 24);
    assert_int_equal(gw_anomaly_bytes(&c), 32 + 4 * N_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ewma_is_the_weighted_mean),
        cmocka_unit_test(the_median_is_near_the_exact_one),
        cmocka_unit_test(holt_winters_knows_the_season),
        cmocka_unit_test(what_every_method_does),
        cmocka_unit_test(states_are_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
