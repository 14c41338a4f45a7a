/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files, crashed before every call that changes their disk: tests/harness_log_crash.h says what must be true.
 *
 * GW_SIM_SEEDS=n runs n seeds of each kind, GW_SIM_SEED=s only that one; GW_CRASH_LOG=1 shows what the log says.
 * tools/crash.py goes on for hours.
 */
#include "tests/harness.h"

#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "tests/harness_engine.h"
#include "tests/harness_log_crash.h"

static struct gw_crash_counts counts;
static const struct gw_crash_conf *kind;
static const char *kind_name;

static void run_seed(uint64_t seed)
{
    const char *wrong = gw_crash_run(kind, seed, &counts);

    if (wrong)
        fail_msg("%s, seed %llu, crash point %llu: %s", kind_name, (unsigned long long)seed,
                 (unsigned long long)(counts.points[0] + counts.points[1] + counts.points[2]), wrong);
}

static double seconds(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run(const char *name, const struct gw_crash_conf *conf, unsigned usual)
{
    double from = seconds(), took;
    uint64_t n;

    memset(&counts, 0, sizeof(counts));
    kind = conf;
    kind_name = name;
    gw_test_seeds(usual, run_seed);
    took = seconds() - from;
    n = counts.points[0] + counts.points[1] + counts.points[2];
    printf("%s: %llu crash points (%llu + %llu + %llu by depth) of %llu calls, %llu operations, %llu lives, %llu "
           "faults: %.1f s, %.0f a second\n",
           name, (unsigned long long)n, (unsigned long long)counts.points[0], (unsigned long long)counts.points[1],
           (unsigned long long)counts.points[2], (unsigned long long)counts.calls,
           (unsigned long long)counts.operations, (unsigned long long)counts.lives, (unsigned long long)counts.faults,
           took, (double)n / took);
}

/* Every call of a short workload, several times. */
static void short_ones(void **state)
{
    (void)state;
    run("short",
        &(struct gw_crash_conf){.n_lives = 2, .n_steps = 12, .power_cuts = 6, .kills = 1, .nest_permille = 200}, 50);
}

static void recovery_crashed_thrice(void **state)
{
    (void)state;
    run("nested", &(struct gw_crash_conf){.n_lives = 2, .n_steps = 10, .power_cuts = 3, .nest_permille = 900}, 5);
}

/* Many lives of one log, over segment rolls. */
static void long_ones(void **state)
{
    (void)state;
    run("long",
        &(struct gw_crash_conf){.n_lives = 6,
                                .n_steps = 25,
                                .power_cuts = 1,
                                .kills = 1,
                                .skip_permille = 500,
                                .nest_permille = 200,
                                .large = true},
        1);
}

static void segments_that_go(void **state)
{
    (void)state;
    run("retention",
        &(struct gw_crash_conf){.n_lives = 4,
                                .n_steps = 25,
                                .power_cuts = 2,
                                .kills = 1,
                                .nest_permille = 200,
                                .large = true,
                                .until_settled = true},
        1);
}

static void disks_that_fail(void **state)
{
    (void)state;
    run("faults",
        &(struct gw_crash_conf){
            .n_lives = 3, .n_steps = 30, .power_cuts = 2, .kills = 1, .nest_permille = 100, .faults = true},
        6);
}

/* An argument chooses tests by a pattern: short*, long*, ... */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_ones),       cmocka_unit_test(recovery_crashed_thrice), cmocka_unit_test(long_ones),
        cmocka_unit_test(segments_that_go), cmocka_unit_test(disks_that_fail),
    };

    /* What is freed is used again at once: no time for the kernel's zeros. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
