/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explicit histograms added up: exactly, as long as all have the same bounds. Where they differ, what is there and what
 * comes is spread over an exponential histogram (quantile.h) from then on: `exponential` is there, and says that places
 * in buckets were lost.
 *
 * Order     makes no difference among equal bounds; where they differ, the same order gives the same, and the count is
 *           right in any
 * Memory    a block of 16 bytes a bound, and the exponential histogram; counted in a heap, the latter's buckets after
 *           they were taken
 */
#ifndef GW_SERIES_MIXED_H
#define GW_SERIES_MIXED_H

#include "series/heap.h"
#include "series/histogram.h"

struct gw_mixed {
    struct gw_bounds bounds;            /* in this block */
    struct gw_explicit *explicit;       /* in this block; its sum is not used */
    struct gw_exponential *exponential; /* NULL, or has it all; neither is its sum */
    double min, max;                    /* of all; NaN when they are not known of one */
    size_t bytes;                       /* of the block */
};

/** Ascending, finite, at most GW_MAX_BOUNDS. */
bool gw_bounds_are_sane(const struct gw_bounds *b);

/** An empty one. Errors: NULL, as errno says. */
struct gw_mixed *gw_mixed_make(struct gw_heap *heap, const struct gw_bounds *b);
/**
 * *m: NULL before the first. size: of the exponential one. min, max: NaN when they are not known.
 *
 * Errors    -EINVAL: bounds that are not sane; -ENOSPC, -ENOMEM. Then it was not added, or in part
 */
int gw_mixed_add(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_bounds *b,
                 const struct gw_explicit *h, double min, double max);
/** A finite value, n times, where b are the bounds that begin it. */
int gw_mixed_add_value(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_bounds *b,
                       double value, uint64_t n);
/** The same of an exponential one: there are no bounds then. */
int gw_mixed_add_exponential(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_exponential *e);
/** other may be NULL. */
int gw_mixed_merge(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_mixed *other);
void gw_mixed_free(struct gw_mixed **m, struct gw_heap *heap);

#endif
