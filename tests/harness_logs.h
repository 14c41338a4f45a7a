/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs in memory that outlive the engines that open them: by folder, so that a second engine finds what the first one
 * left, after a close or after a crash. For engines that are turned by hand.
 */
#ifndef GW_TESTS_HARNESS_LOGS_H
#define GW_TESTS_HARNESS_LOGS_H

#include "log/sim.h"
#include "tests/harness_engine.h"

/** Every engine opened from now on has its logs here. The folder is an empty one, for the storage. */
void gw_test_logs_begin(uint64_t seed);
const char *gw_test_logs_dir(void);
/** All gone. */
void gw_test_logs_end(void);
/** The log whose folder ends like that; fails the test when there is none. */
struct gw_log *gw_test_log(const char *ending);
struct gw_log_sim_faults *gw_test_log_faults(const char *ending);
/** Their clock, which goes on while engines come and go; an engine's is set by it. */
void gw_test_logs_turn(struct gw_test_engine *t, unsigned n, uint64_t ns);
/**
 * The process dies: what was not done never will be, and the engine is thrown away. Before: whatever the test's own
 * ends hear from now on is not of this world.
 */
void gw_test_logs_crash(struct gw_test_engine *t, bool lose_unsynced);
/** It dies now, in the middle of a turn: no log hears of anything any more. gw_test_logs_crash follows. */
void gw_test_logs_die(void);
/** As gw_test_engine_open, at the logs' time of day. */
void gw_test_logs_engine(struct gw_test_engine *t, const char *yaml, unsigned n_workers);
/** The same, with the storage's fsync. */
void gw_test_logs_engine_synced(struct gw_test_engine *t, const char *yaml, unsigned n_workers, bool fsync);

#endif
