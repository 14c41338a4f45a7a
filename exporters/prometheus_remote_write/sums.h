/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delta points added up, per series, so that they can be written as cumulative ones. The translator reads a shadow of
 * the batch in which the added-up rows have other values:
 *
 *   batch    payload                     number[], start_ns[], hists[], exphists[]
 *   shadow   a copy of it │ new counts   copies of the columns, refs to the new counts
 *
 * A series is known by its labels. Its sums hold while there is room for them; one that had to go begins anew at zero,
 * which a reader takes for a restart of the counter.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SUMS_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SUMS_H

#include "exporters/prometheus_remote_write/cache.h"

struct gw_rw_refusal;

struct gw_rw_sums {
    struct gw_rw_cache cache;
    struct gw_buf key;
    struct gw_batch shadow;
    uint8_t *bytes; /* the shadow's payload and the counts behind it */
    size_t cap, n, payload_n;
};

/** Errors: -ENOMEM. */
int gw_rw_sums_init(struct gw_rw_sums *s, uint64_t seed, uint64_t max_bytes);
void gw_rw_sums_clear(struct gw_rw_sums *s);
/**
 * A batch to read in the place of b until the next begin: b itself when it has no delta points. Its columns are the
 * arena's. Errors: -ENOMEM.
 */
int gw_rw_sums_begin(struct gw_rw_sums *s, const struct gw_batch *b, struct gw_arena *arena,
                     const struct gw_batch **ret);
/** Is there room for a row's counts? Otherwise write what was added up so far, and forget it. */
bool gw_rw_sums_room(const struct gw_rw_sums *s, uint32_t row);
void gw_rw_sums_forget(struct gw_rw_sums *s);
/**
 * Add a delta row to its series' sum, and let the shadow's row say what the sum is now. A row that was added up by the
 * translation before this one, and comes again as the first of its series, is not counted twice.
 *
 * labels    the series' label set in any encoding that is always the same for it
 * Errors    -EINVAL: *why the row is refused; -ENOMEM
 */
int gw_rw_sums_add(struct gw_rw_sums *s, uint32_t row, struct gw_slice labels, const struct gw_rw_refusal **why);

static inline bool gw_rw_is_delta(const struct gw_batch *b, uint32_t row)
{
    const struct gw_metric_desc *d = &b->metrics[b->metric[row]];

    return d->temporality == GW_T_DELTA &&
           (d->type == GW_M_SUM || d->type == GW_M_HISTOGRAM || d->type == GW_M_EXP_HISTOGRAM);
}

/* ---- sums_exp.c: exponential histograms -------------------------------------------------------------------- */

enum { GW_RW_BUCKETS_MAX = 160 }; /* a side; histograms that would have more are brought down in scale */

struct gw_rw_side {
    int32_t offset;
    uint32_t n;
    uint64_t counts[GW_RW_BUCKETS_MAX];
};

struct gw_rw_exp_sum {
    int32_t scale;
    struct gw_rw_side positive, negative;
};

/** False: it would take a scale below -4. Then nothing is changed. */
bool gw_rw_exp_add(struct gw_rw_exp_sum *sum, const struct gw_batch *b, const struct gw_exphist *h);

#endif
