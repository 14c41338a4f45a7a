/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Written once at boot, before the first thread. */
static uint64_t table_seed = 0x9e3779b97f4a7c15u;

uint64_t gw_hash_stable(struct gw_slice s)
{
    return XXH3_64bits(s.p, s.n);
}

uint64_t gw_hash_table(struct gw_slice s)
{
    return XXH3_64bits_withSeed(s.p, s.n, table_seed);
}

void gw_hash_seed(uint64_t seed)
{
    table_seed = seed;
}
