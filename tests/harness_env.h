/* SPDX-License-Identifier: Apache-2.0 */
/* A world for tests: the clock stands still until it is moved, random numbers come from a seed, log lines are kept. */
#ifndef GW_TESTS_HARNESS_ENV_H
#define GW_TESTS_HARNESS_ENV_H

#include <stdatomic.h>

#include "core/buf.h"
#include "core/env.h"

struct gw_test_env {
    struct gw_env env; /* hand &te.env to the code under test */
    struct gw_env_ops ops;
    _Atomic uint64_t now_ns, wall_offset_ns;
    uint64_t seed;
    struct gw_buf log; /* all lines so far, not terminated */
};

/** Clock at 1 s, wall clock at 2026-01-02T03:04:05.678Z. File calls are the real ones. */
void gw_test_env_init(struct gw_test_env *te, uint64_t seed);
void gw_test_env_clear(struct gw_test_env *te);
void gw_test_env_advance(struct gw_test_env *te, uint64_t ns);
/** True when some log line so far contains the text. */
int gw_test_env_logged(struct gw_test_env *te, const char *text);
/** splitmix64, for tests that need numbers of their own. */
uint64_t gw_test_random(uint64_t *seed);

#endif
