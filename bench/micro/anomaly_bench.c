/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a score costs: 100,000 series, a value each, in the order in which they lie (as panes come) and in random order.
 * One JSON line a case: nanoseconds of CPU, the least of some rounds, and bytes of a state.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "series/anomaly.h"

enum { N_SERIES = 100000, ROUNDS = 40 };

static uint64_t seed = 88172645463325252u;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void one_case(const char *name, const struct gw_anomaly_conf *c, const uint32_t *order)
{
    size_t bytes = gw_anomaly_bytes(c);
    uint8_t *states = calloc(N_SERIES, bytes);
    double values[4096], least = 1e30, sum = 0;
    struct gw_anomaly a;

    if (!states)
        exit(1);
    for (unsigned i = 0; i < 4096; i++)
        values[i] = 100 + (double)(next() % 1000) / 100;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double begin = cpu_ns(), ns;

        for (uint32_t i = 0; i < N_SERIES; i++) {
            gw_anomaly_observe(c, states + bytes * (order ? order[i] : i), values[(i + round * 7) % 4096], round, &a);
            sum += a.score;
        }
        ns = (cpu_ns() - begin) / N_SERIES;
        if (round > 2 && ns < least)
            least = ns;
    }
    printf("{\"bench\":\"anomaly\",\"case\":\"%s\",\"ns\":%.1f,\"bytes\":%zu,\"sum\":%.0f}\n", name, least, bytes, sum);
    free(states);
}

int main(void)
{
    static const char *const names[][2] = {{"ewma sorted", "ewma random"},
                                           {"median sorted", "median random"},
                                           {"holt_winters sorted", "holt_winters random"}};
    static uint32_t order[N_SERIES];

    for (uint32_t i = 0; i < N_SERIES; i++) {
        uint32_t k = (uint32_t)(next() % (i + 1));

        order[i] = order[k];
        order[k] = i;
    }
    for (unsigned m = 0; m < 3; m++)
        for (unsigned random = 0; random < 2; random++)
            one_case(names[m][random],
                     &(struct gw_anomaly_conf){.method = (enum gw_anomaly_method)m,
                                               .alpha = 0.1,
                                               .beta = 0.01,
                                               .gamma = 0.2,
                                               .slot_ns = 1,
                                               .n_slots = 24,
                                               .warmup = 2},
                     random ? order : NULL);
    return 0;
}
