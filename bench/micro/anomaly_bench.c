/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a score costs: 100,000 series, a value each, in the order in which they lie (as panes come) and in random order.
 * One JSON line a case: nanoseconds of CPU, the least of some rounds, and bytes of a state.
 *
 * And what it finds: services whose calls, latency and errors go up and down with a load. In one pane of a hundred the
 * latency is where the load is not: a value like others, but not with the others of its pane (`break`), or all of them
 * are far off (`spike`). Precision and recall of scores together, against those of each series alone.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "series/anomaly.h"
#include "series/anomaly_group.h"

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

/* ---- together --------------------------------------------------------------------------------------------- */

enum { N_GROUPS = 30000, N_MEMBERS = 3, N_PANES = 4000, N_SERVICES = 20 };

static void group_case(const char *name, uint32_t members, const uint32_t *order)
{
    const struct gw_anomaly_group_conf c = {.alpha = 0.02, .min_deviation = 0.01, .warmup = 2, .n = members};
    size_t bytes = gw_anomaly_group_bytes(&c);
    uint8_t *states = calloc(N_GROUPS, bytes);
    struct gw_anomaly_group_verdict v;
    double least = 1e30, sum = 0;

    if (!states)
        exit(1);
    for (unsigned round = 0; round < 20; round++) {
        double begin = cpu_ns(), ns;

        for (uint32_t g = 0; g < N_GROUPS; g++)
            for (uint32_t i = 0; i < members; i++) {
                void *s = states + bytes * (order ? order[g] % N_GROUPS : g);

                (void)gw_anomaly_group_put(&c, s, i, 100 + (double)((g * 31 + round * 7 + i * i) % 97), round + 1, &v);
                sum += v.a.score;
            }
        ns = (cpu_ns() - begin) / N_GROUPS;
        if (round > 3 && ns < least)
            least = ns;
    }
    printf("{\"bench\":\"anomaly\",\"case\":\"%s\",\"ns\":%.1f,\"bytes\":%zu,\"sum\":%.0f}\n", name, least, bytes, sum);
    free(states);
}

static double uniform(void)
{
    return (double)(next() >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform());
}

struct found {
    double hits, false_ones, missed;
};

static void tell(const char *what, const char *how, double threshold, const struct found *f)
{
    printf("{\"bench\":\"anomaly\",\"case\":\"%s %s\",\"threshold\":%.1f,\"precision\":%.2f,\"recall\":%.2f}\n", what,
           how, threshold, f->hits / fmax(f->hits + f->false_ones, 1), f->hits / fmax(f->hits + f->missed, 1));
}

static void note(struct found *f, bool is, bool said)
{
    f->hits += is && said;
    f->false_ones += !is && said;
    f->missed += is && !said;
}

/* Calls, milliseconds, errors of a pane. */
static void pane(double load, double latency_load, double *ret)
{
    ret[0] = 1000 * (1 + 0.3 * load) * (1 + 0.02 * normal());
    ret[1] = 200 * (1 + 0.25 * latency_load) * (1 + 0.03 * normal());
    ret[2] = 40 * (1 + 0.3 * load) * (1 + 0.05 * normal());
}

static void find(bool spikes, double threshold)
{
    const struct gw_anomaly_group_conf g = {.alpha = 0.02, .min_deviation = 0.01, .warmup = 60, .n = N_MEMBERS};
    const struct gw_anomaly_conf c = {.method = GW_ANOMALY_EWMA, .alpha = 0.02, .min_deviation = 0.01, .warmup = 60};
    struct found together = {0}, alone = {0};

    for (unsigned service = 0; service < N_SERVICES; service++) {
        void *group = calloc(1, gw_anomaly_group_bytes(&g));
        struct gw_anomaly_ewma single[N_MEMBERS] = {{0}};
        double load = 0;

        for (unsigned t = 1; t <= N_PANES; t++) {
            bool is = uniform() < 0.01 && t > 100, said = false;
            struct gw_anomaly_group_verdict v = {0};
            struct gw_anomaly a;
            double x[N_MEMBERS];

            load = 0.9 * load + 0.4 * normal();
            is &= spikes || fabs(load) > 0.5;
            pane(is && spikes ? load + 5 : load, is ? spikes ? load + 5 : -load : load, x);
            for (unsigned i = 0; i < N_MEMBERS; i++) {
                (void)gw_anomaly_group_put(&g, group, i, x[i], t, &v);
                gw_anomaly_observe(&c, &single[i], x[i], t, &a);
                said |= a.score >= threshold;
            }
            if (t <= 100)
                continue;
            note(&together, is, v.a.score >= threshold);
            note(&alone, is, said);
        }
        free(group);
    }
    tell(spikes ? "spike" : "break", "together", threshold, &together);
    tell(spikes ? "spike" : "break", "alone", threshold, &alone);
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
    group_case("together 3 sorted", 3, NULL);
    group_case("together 3 random", 3, order);
    group_case("together 8 sorted", 8, NULL);
    for (unsigned spikes = 0; spikes < 2; spikes++)
        for (unsigned threshold = 3; threshold <= 5; threshold++)
            find(spikes, threshold);
    return 0;
}
