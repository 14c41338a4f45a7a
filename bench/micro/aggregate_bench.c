/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What aggregates cost: a value into one of 100,000 states, out of the cache as series are, or of 64; two exponential
 * histograms merged. One JSON line a case: nanoseconds of CPU, the least of some rounds, and bytes of a state.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "series/aggregate.h"

enum { N_STATES = 100000, N_HOT = 64, ROUNDS = 9, ADDS = 2000000, N_MERGES = 100, N_VALUES = 400 };

static uint64_t seed = 88172645463325252u;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Latencies, say: 2^-10 to 2^3, most in the middle. */
static double draw(void)
{
    return exp2((double)((next() >> 40) + (next() >> 40)) / 0x1p25 * 13 - 10);
}

static double cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "aggregate_bench: %s\n", what);
    exit(1);
}

static void report(const char *name, double ns, double bytes)
{
    printf("{\"bench\":\"aggregate\",\"case\":\"%s\",\"ns\":%.1f,\"bytes\":%.0f}\n", name, ns, bytes);
    (void)fflush(stdout);
}

static void adds(const char *name, const struct gw_agg_spec *specs, unsigned n_specs, unsigned n_states, bool ints)
{
    static double values[4096];
    struct gw_agg_plan p;
    struct gw_heap heap = {0};
    double least = 1e30;
    uint8_t *states;

    need(gw_agg_plan_make(&p, specs, n_specs, NULL) == 0, "plan");
    states = calloc(n_states, p.state_bytes + 8);
    need(states != NULL, "memory");
    for (unsigned i = 0; i < 4096; i++)
        values[i] = draw();
    for (unsigned round = 0; round < ROUNDS; round++) {
        double begin = cpu_ns();

        for (unsigned i = 0; i < ADDS; i++) {
            size_t to = (size_t)((uint64_t)(i * 2654435761u) * n_states >> 32);
            struct gw_agg_value v = {.d = values[i % 4096], .n = 1, .time_ns = i};

            if (ints) {
                v.is_int = true;
                v.i = (int64_t)i * 7919;
            }
            (void)gw_agg_add(&p, states + to * p.state_bytes, &heap, &v);
        }
        begin = (cpu_ns() - begin) / ADDS;
        least = begin < least ? begin : least;
    }
    report(name, least, p.state_bytes + (double)heap.held_bytes / n_states);
    for (unsigned i = 0; i < n_states; i++)
        gw_agg_clear(&p, states + (size_t)i * p.state_bytes, &heap);
    free(states);
}

static void merges(void)
{
    static struct gw_exponential h[N_MERGES];
    double least = 1e30, buckets = 0;

    for (unsigned i = 0; i < N_MERGES; i++) {
        gw_exponential_init(&h[i], GW_EXP_DEFAULT_SIZE);
        for (unsigned k = 0; k < N_VALUES; k++)
            need(gw_exponential_add(&h[i], draw(), 1), "memory");
        buckets += h[i].positive.n;
    }
    for (unsigned round = 0; round < 200; round++) {
        struct gw_exponential sum;
        double begin;

        gw_exponential_init(&sum, GW_EXP_DEFAULT_SIZE);
        begin = cpu_ns();
        for (unsigned i = 0; i < N_MERGES; i++)
            need(gw_exponential_merge(&sum, &h[i]), "memory");
        begin = (cpu_ns() - begin) / N_MERGES;
        least = begin < least ? begin : least;
        gw_exponential_clear(&sum);
    }
    report("merge of exponential histograms", least, buckets / N_MERGES * sizeof(uint64_t));
}

int main(void)
{
    static const struct gw_agg_spec four[] = {
        {.fn = GW_AGG_COUNT}, {.fn = GW_AGG_SUM}, {.fn = GW_AGG_MIN}, {.fn = GW_AGG_MAX}};
    static const struct gw_agg_spec exponential[] = {{.fn = GW_AGG_EXPONENTIAL}};

    adds("count sum min max, 64 states", four, 4, N_HOT, false);
    adds("count sum min max of integers, 64 states", four, 4, N_HOT, true);
    adds("count sum min max, 100,000 states", four, 4, N_STATES, false);
    adds("count, 64 states", four, 1, N_HOT, false);
    adds("exponential, 64 states", exponential, 1, N_HOT, false);
    merges();
    return 0;
}
