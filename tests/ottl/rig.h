/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_TESTS_OTTL_RIG_H
#define GW_TESTS_OTTL_RIG_H

#include "tests/ottl/items.h"

/* One batch a signal, and what it takes to ask about them. */
static struct gw_test_env te;
static struct gw_batch *batches[5]; /* by signal */
static struct gw_arena arena;

static inline int rig_setup(void **state)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};

    (void)state;
    gw_test_env_init(&te, 1);
    gw_arena_init(&arena, 64 << 10, 16 << 20);
    for (unsigned i = 0; i < 3; i++)
        batches[signals[i]] = items_load(&te.env, signals[i]);
    return 0;
}

static inline int rig_teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        if (batches[i])
            gw_batch_unref(batches[i]);
    gw_arena_clear(&arena);
    gw_test_env_clear(&te);
    return 0;
}

#endif
