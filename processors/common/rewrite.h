/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data points get new values, most of them in place. A start time, a number, a count, a sum, a run of bucket counts are
 * as long on the wire whatever their value, so that a copy of the batch in which they are overwritten (bytes and
 * columns) needs neither encoder nor decoder. What does not fit becomes patches (processors/common/points.h).
 *
 *   gw_rewrite_begin ─► gw_rewrite_number │ _histogram │ _temporality … ─► gw_rewrite_end
 *
 * Copying all for the sake of few rows does not pay: then, and without memory, all changes are patches.
 */
#ifndef GW_PROCESSORS_COMMON_REWRITE_H
#define GW_PROCESSORS_COMMON_REWRITE_H

#include "processors/common/points.h"

struct gw_rewrite {
    struct gw_view *v;
    struct gw_batch_pool *pool;
    struct gw_batch *own; /* the view's, when nobody else has it; NULL: patches */
    bool is_begun;
};

/** v has no patches. Nothing is copied before the first change. */
void gw_rewrite_begin(struct gw_rewrite *w, struct gw_view *v, struct gw_batch_pool *pool);
/** The batch is nobody else's, and need not be copied. */
void gw_rewrite_begin_own(struct gw_rewrite *w, struct gw_view *v);
/** Columns say what was changed. Errors: v->failed. */
void gw_rewrite_end(struct gw_rewrite *w);

/** A number point of that type: its value, and when it starts (0: left out, or 0). */
void gw_rewrite_number(struct gw_rewrite *w, uint32_t row, uint64_t start_ns, enum gw_number_type type,
                       union gw_val value);

/** What a histogram point is to say; the bounds stay. counts: n times 8 bytes; NULL: they stay, too. */
struct gw_rewrite_hist {
    uint64_t start_ns, count;
    double sum, min, max;
    bool has_sum, has_min, has_max;
    uint32_t n;
    const void *counts;
};
void gw_rewrite_histogram(struct gw_rewrite *w, uint32_t row, const struct gw_rewrite_hist *h);
void gw_rewrite_time(struct gw_rewrite *w, uint32_t row, uint64_t time_ns);
void gw_rewrite_temporality(struct gw_rewrite *w, uint32_t metric, enum gw_temporality t);
/** For those who write patches themselves (exponential histograms): the view's batch may be another one now. */
struct gw_view *gw_rewrite_view(struct gw_rewrite *w);

#endif
