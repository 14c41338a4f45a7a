/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most frequent items: space-saving. `size` items have a counter; one that has none takes over the smallest, its
 * count included, and remembers that as its error: what it had is at least count - error and at most count.
 *
 * Error     every item with more than total / size is there, and no count is too high by more than total / size, also
 *           after merging (the counters of both are added, one that is missing in a full side as that side's smallest;
 *           the largest stay: Agarwal et al., "Mergeable summaries", 2012)
 * Order     makes no difference while there were at most `size` different items; beyond, the same order of adds and
 *           merges gives the same. merge(a, b) is merge(b, a). Among equals the lower hash counts as the larger, then
 *           the lesser bytes
 * Memory    blocks counted in a heap; an item is cut to GW_TOP_ITEM_BYTES
 * Cost      an add looks through the hashes, and when it takes over one through the counts: 8 bytes a counter
 */
#ifndef GW_SERIES_TOP_H
#define GW_SERIES_TOP_H

#include "core/buf.h"
#include "series/heap.h"

enum { GW_TOP_MIN = 1, GW_TOP_MAX = 1024, GW_TOP_ITEM_BYTES = 256 };

struct gw_top_item {
    uint64_t count, error;
    struct gw_slice bytes;
};

struct gw_top;

/** n times the item. *t: NULL before the first. size: the same always. Errors: -ENOSPC, -ENOMEM; nothing was added. */
int gw_top_add(struct gw_top **t, struct gw_heap *heap, unsigned size, struct gw_slice item, uint64_t n);
/** Of the same size; other may be NULL. Errors as above; then *t is as it was. */
int gw_top_merge(struct gw_top **t, struct gw_heap *heap, const struct gw_top *other);
/** The k largest, in order, which the counters are put into; how many there are. The bytes are borrowed. */
unsigned gw_top_read(struct gw_top *t, struct gw_top_item *ret, unsigned k);
/** Of all items that were added. */
uint64_t gw_top_total(const struct gw_top *t);
void gw_top_free(struct gw_top **t, struct gw_heap *heap);
/** In order: equal ones give the same bytes. */
void gw_top_save(struct gw_top *t, struct gw_buf *out);
/** *t is NULL before. Errors: -EBADMSG, -ENOSPC, -ENOMEM; then *t is NULL. */
int gw_top_restore(struct gw_top **t, struct gw_heap *heap, unsigned size, struct gw_slice *from);

#endif
