/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hashes, because they are asked for opposite things: `stable` gives the same number on every machine and
 * in every version (partitions, ids that survive a restart), `table` is seeded at boot, so that nobody outside
 * can aim at a bucket. Equal hashes never stand for equal bytes: tables compare.
 */
#ifndef GW_CORE_HASH_H
#define GW_CORE_HASH_H

#include "core/slice.h"

/** XXH3-64, seed 0. */
uint64_t gw_hash_stable(struct gw_slice s);
/** Which of n (at least 1) a key is dealt to: by `stable`, so that it is the same after a restart with as many. */
static inline unsigned gw_hash_deal(struct gw_slice key, unsigned n)
{
    return (unsigned)((gw_hash_stable(key) >> 32) * n >> 32);
}
/** XXH3-64 with this process' seed. */
uint64_t gw_hash_table(struct gw_slice s);
/** Set once at boot from gw_env's random numbers, before any table exists. */
void gw_hash_seed(uint64_t seed);

#endif
