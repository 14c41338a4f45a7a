/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items found by a hash: linear hashing, one bucket is split or merged at a time, so that no call ever waits for a
 * table to be rebuilt and nothing has to be held twice. The items' links (slabs.h) are the chains.
 *
 *   segments   4096 heads each, pages of their own     buckets 0 … n_buckets - 1; half of them are used by one item
 *
 * A bucket that cannot be split for want of memory has a longer chain, that is all.
 *
 * Threads   one
 */
#ifndef GW_PROCESSORS_COMMON_INDEX_H
#define GW_PROCESSORS_COMMON_INDEX_H

#include "processors/common/slabs.h"

enum { GW_INDEX_SHIFT = 12, GW_INDEX_SEGMENT = 1 << GW_INDEX_SHIFT };

struct gw_index {
    struct gw_slabs *items;
    uint64_t (*hash)(const void *arg, const void *item);
    const void *arg;
    uint32_t **segments;
    uint32_t n_segments, cap_segments;
    uint32_t n_buckets, mask; /* mask: of the buckets when all of this round are split */
    uint32_t n;               /* items */
};

/** hash: of an item, by which insert was told. Allocates nothing. */
void gw_index_init(struct gw_index *x, struct gw_slabs *items, uint64_t (*hash)(const void *arg, const void *item),
                   const void *arg);
void gw_index_clear(struct gw_index *x);
/** Before an insert. Errors: -ENOSPC, -ENOMEM: there is not even the first segment. */
int gw_index_reserve(struct gw_index *x);
void gw_index_insert(struct gw_index *x, uint64_t hash, uint32_t item);
void gw_index_remove(struct gw_index *x, uint64_t hash, uint32_t item);
uint64_t gw_index_held_bytes(const struct gw_index *x);

static inline uint32_t *gw_index_head(const struct gw_index *x, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & x->mask;

    if (i >= x->n_buckets)
        i &= x->mask >> 1;
    return &x->segments[i >> GW_INDEX_SHIFT][i & (GW_INDEX_SEGMENT - 1)];
}
/** The first item whose hash may be this; the others follow by their links. */
static inline uint32_t gw_index_first(const struct gw_index *x, uint64_t hash)
{
    return x->n ? *gw_index_head(x, hash) : 0;
}

#endif
