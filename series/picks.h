/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few of many, as exemplars: those k whose rank is lowest. The rank is a hash of what the sample is (its trace id and
 * row, say), so that every one has the same chance, whatever comes first, and the same ones are kept again on replay;
 * the same sample twice is one. Among equal ranks: by time, value, trace and span.
 *
 * Order     makes no difference
 * Memory    one block of size × 56 bytes, counted in a heap; none before the first sample
 */
#ifndef GW_SERIES_PICKS_H
#define GW_SERIES_PICKS_H

#include "series/heap.h"
#include "series/metrics_writer.h"

enum { GW_PICKS_MAX = 64 };

struct gw_pick {
    uint64_t rank;
    struct gw_mw_exemplar exemplar;
};

struct gw_picks {
    uint32_t size, n;
    struct gw_pick at[]; /* ascending */
};

/** *s: NULL before the first. size: 1 to GW_PICKS_MAX, the same always. Errors: -ENOSPC, -ENOMEM. */
int gw_picks_add(struct gw_picks **s, struct gw_heap *heap, unsigned size, const struct gw_pick *sample);
/** other may be NULL. Errors as above; then nothing was added. */
int gw_picks_merge(struct gw_picks **s, struct gw_heap *heap, const struct gw_picks *other);
void gw_picks_free(struct gw_picks **s, struct gw_heap *heap);
void gw_picks_save(const struct gw_picks *s, struct gw_buf *out);
/** *s is NULL before. Errors: -EBADMSG, -ENOSPC, -ENOMEM; then *s is NULL. */
int gw_picks_restore(struct gw_picks **s, struct gw_heap *heap, unsigned size, struct gw_slice *from);

#endif
