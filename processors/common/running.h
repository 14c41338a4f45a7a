/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points of delta temporality added up: the running total of a series. How numbers and histograms are added, odd rules
 * included, is as in the Collector's processors; what differs is in docs/temporality.md.
 *
 * Memory    numbers inline; a histogram one malloc, which grows with its buckets, charged to the credit
 */
#ifndef GW_PROCESSORS_COMMON_RUNNING_H
#define GW_PROCESSORS_COMMON_RUNNING_H

#include "core/credit.h"
#include "processors/common/rewrite.h"
#include "processors/common/spool.h"

enum { GW_RUNNING_BUCKETS = 160 }; /* of each half of an exponential histogram, when two were added */

/** Of either kind. */
struct gw_running_hist {
    uint64_t bytes; /* of all of it, charged */
    uint64_t count, zero_count;
    double sum, min, max, zero_threshold;
    bool has_sum, has_min, has_max;
    int32_t scale;
    uint32_t n_words, n_counts, n_bounds;     /* room behind; of an explicit one */
    struct gw_exp_buckets positive, negative; /* of an exponential one: in words */
    uint64_t words[];                         /* counts, then bounds; or the counts of both halves */
};

/** All zeros: nothing was added yet. */
struct gw_running {
    union {
        int64_t i;
        double f;
        struct gw_running_hist *h;
    };
    uint64_t start_ns, time_ns;
    uint8_t type; /* enum gw_number_type */
};

/** The point as it is, with its times, whatever was there. Errors: false, no memory: nothing has changed. */
bool gw_running_set(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit);
/** Can it be added without losing what is there? A histogram with other bounds cannot. */
bool gw_running_fits(const struct gw_running *t, const struct gw_view *v, uint32_t row);
/**
 * The point's value on top; times stay. A histogram with other bounds takes the place of what was there, and its start.
 * Errors: false, no memory: nothing has changed.
 */
bool gw_running_add(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit);
/** The row says what the total is, and when it started. The same kind of point as was added. */
void gw_running_write(const struct gw_running *t, struct gw_rewrite *w, uint32_t row);
void gw_running_clear(struct gw_running *t, struct gw_credit *credit);
/** As bytes, and from them, whatever was there. Errors: false, in->bad: these are none; else no memory. */
void gw_running_put(const struct gw_running *t, struct gw_buf *out);
bool gw_running_take(struct gw_running *t, struct gw_spool_in *in, struct gw_credit *credit);

/* ---- inside ----------------------------------------------------------------------------------------------- */

/** A histogram with room for that many words, its contents kept. NULL: no memory. */
struct gw_running_hist *gw_running_room(struct gw_running *t, uint64_t n_words, struct gw_credit *credit);
void gw_running_add_stats(struct gw_running_hist *to, bool has_sum, double sum, bool has_min, double min, bool has_max,
                          double max);
bool gw_running_set_exponential(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit);
bool gw_running_add_exponential(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit);
void gw_running_write_exponential(const struct gw_running *t, struct gw_rewrite *w, uint32_t row);

#endif
