/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log in segment files on a disk that forgets, and what must be true of it at any moment.
 *
 * A seed makes a workload: operations one behind the other, each of which happens as a whole or not at all. The model
 * knows the state of the log behind each. Before every call that changes the disk, the power fails (or the process is
 * killed) in some ways, the log is recovered from what that leaves, and must stand exactly where it stood behind some
 * operation that is not older than the last one it vouched for, and not newer than the last one begun. Recovery is
 * crashed as well, up to depth 3. One of the crashes becomes the disk of the next life.
 *
 * Many thousand times a second: segments are smaller than the product makes them (of every eighth seed they are not),
 * disks share what they have not written, and a segment whose bytes and bounds are those of one that was read before,
 * with the right frames, is not read again.
 */
#ifndef GW_TESTS_HARNESS_LOG_CRASH_H
#define GW_TESTS_HARNESS_LOG_CRASH_H

#include "log/files.h"
#include "tests/harness_simdisk.h"

enum {
    GW_CRASH_CONSUMERS = 3,
    GW_CRASH_OPS = 256,
    GW_CRASH_FRAMES = 768,
    GW_CRASH_ROWS = 8192,
    GW_CRASH_DEPTH = 3,
};

/** How hard a workload is crashed. */
struct gw_crash_conf {
    unsigned n_lives, n_steps;  /* of each life */
    unsigned power_cuts, kills; /* before every call that changes something */
    unsigned skip_permille;     /* … that is not skipped */
    unsigned nest_permille;     /* of the recoveries are crashed, too */
    bool large;                 /* bodies that roll segments */
    bool faults;                /* calls fail now and then */
    bool until_settled;         /* retention */
};

struct gw_crash_counts {
    uint64_t points[GW_CRASH_DEPTH]; /* crashes that were recovered from and judged, by depth */
    uint64_t calls, lives, operations, faults;
};

/** Run one seed. NULL, or what is wrong: a sentence until the next run. */
const char *gw_crash_run(const struct gw_crash_conf *conf, uint64_t seed, struct gw_crash_counts *counts);

#endif
