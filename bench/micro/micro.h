/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the micro-benchmarks share: payloads from a folder, CPU time, one JSON line a case. The payloads (bench/
 * gen_payloads.py) are rotated, 64 distinct ones a kind, so that neither caches nor branch predictors learn one by
 * heart.
 */
#ifndef GW_BENCH_MICRO_H
#define GW_BENCH_MICRO_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "tests/harness_malloc.h"

enum { MICRO_MAX = 64, MICRO_REPEATS = 7 };

struct micro_set {
    const char *name;
    enum gw_signal signal;
    unsigned n;
    struct gw_payload *payloads[MICRO_MAX];
    struct gw_batch *batches[MICRO_MAX]; /* decoded */
    uint64_t rows, bytes;                /* of all */
};

static const struct gw_limits micro_limits = GW_LIMITS_DEFAULT;

static inline double micro_cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline void micro_check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline struct gw_payload *micro_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct gw_payload *pl;
    long n;

    micro_check(f != NULL, path);
    (void)fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    pl = gw_payload_new((size_t)n);
    micro_check(pl && fread(pl->p, 1, (size_t)n, f) == (size_t)n, path);
    pl->n = (uint32_t)n;
    (void)fclose(f);
    return pl;
}

static inline struct gw_slice micro_all(const struct gw_payload *pl)
{
    return gw_slice_of(pl->p, pl->n);
}

/* The payloads of DIR/<name>/, each decoded once. */
static inline void micro_load(struct micro_set *set, const char *dir, const char *name, enum gw_signal signal)
{
    char path[4096];

    *set = (struct micro_set){.name = name, .signal = signal};
    for (unsigned i = 0; i < MICRO_MAX; i++) {
        struct gw_batch *b = gw_batch_new(signal);
        struct gw_err err = {""};

        (void)snprintf(path, sizeof(path), "%s/%s/%03u.pb", dir, name, i);
        set->payloads[i] = micro_read(path);
        gw_batch_set_payload(b, gw_payload_ref(set->payloads[i]));
        micro_check(gw_decode(b, micro_all(set->payloads[i]), &micro_limits, NULL, &err) == 0, err.text);
        set->batches[i] = b;
        set->rows += b->n_rows;
        set->bytes += set->payloads[i]->n;
        set->n++;
    }
}

/* The fastest of some rounds over all payloads, each long enough to be measured. CASE=text picks cases, KIND=text
 * payloads. */
static inline void micro_run(const char *what, struct micro_set *set, uint64_t (*round)(struct micro_set *set))
{
    uint64_t out, mallocs, passes = 1 + 40000000 / (set->bytes + 1);
    double best = 1e30;

    if ((getenv("CASE") && !strstr(what, getenv("CASE"))) || (getenv("KIND") && !strstr(set->name, getenv("KIND"))))
        return;
    out = round(set);
    (void)round(set); /* warm: steady state counts */
    mallocs = gw_malloc_count();
    for (unsigned i = 0; i < MICRO_REPEATS; i++) {
        double t = micro_cpu_ns();

        for (uint64_t k = 0; k < passes; k++)
            (void)round(set);
        t = (micro_cpu_ns() - t) / (double)passes;
        best = t < best ? t : best;
    }
    mallocs = gw_malloc_count() - mallocs;
    printf("{\"case\": \"%s\", \"kind\": \"%s\", \"ns_per_row\": %.1f, \"rows_per_s\": %.0f, \"gb_per_s\": %.2f, "
           "\"bytes_per_row\": %.0f, \"out_bytes_per_row\": %.1f, \"mallocs_per_row\": %.4f}\n",
           what, set->name, best / (double)set->rows, (double)set->rows / best * 1e9, (double)set->bytes / best,
           (double)set->bytes / (double)set->rows, (double)out / (double)set->rows,
           (double)mallocs / (double)(set->rows * passes * MICRO_REPEATS));
    (void)fflush(stdout);
}

/* The same over four of the payloads: what a row costs that is still in the cache, as behind a processor. */
static inline void micro_run_hot(const char *what, struct micro_set *set, uint64_t (*round)(struct micro_set *set))
{
    struct micro_set few = *set;

    few.n = 4;
    few.rows = few.bytes = 0;
    for (unsigned i = 0; i < few.n; i++) {
        few.rows += few.batches[i]->n_rows;
        few.bytes += few.payloads[i]->n;
    }
    micro_run(what, &few, round);
}

#endif
