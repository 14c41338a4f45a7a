/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms with fixed bounds, and exponential ones, whose buckets are bit for bit those of the Collector's library
 * (lightstep/go-expohisto, and with it OpenTelemetry's Go SDK): the highest scale, 20 at most, at which all indices fit
 * in max_size buckets; exact powers of two belong to the bucket that they end.
 *
 * Adding values in any order, in one histogram or in several that are merged, gives the same scale and buckets; only
 * the last bits of the sum depend on it.
 */
#ifndef GW_SERIES_HISTOGRAM_H
#define GW_SERIES_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GW_MAX_BOUNDS = 1024, GW_EXP_MIN_SIZE = 2, GW_EXP_DEFAULT_SIZE = 160, GW_EXP_MAX_SIZE = 16384 };
enum { GW_EXP_MIN_SCALE = -10, GW_EXP_MAX_SCALE = 20 };

/* ---- explicit --------------------------------------------------------------------------------------------- */

/** Shared by all histograms of one metric. Ascending. */
struct gw_bounds {
    const double *at;
    unsigned n;
};

/** bounds.n + 1 buckets: (bound[i - 1], bound[i]]. */
struct gw_explicit {
    uint64_t count;
    double sum;
    uint64_t buckets[];
};

static inline size_t gw_explicit_bytes(const struct gw_bounds *b)
{
    return sizeof(struct gw_explicit) + (b->n + 1) * sizeof(uint64_t);
}
/** n times the value. */
void gw_explicit_add(struct gw_explicit *h, const struct gw_bounds *b, double value, uint64_t n);
void gw_explicit_merge(struct gw_explicit *h, const struct gw_bounds *b, const struct gw_explicit *other);

/* ---- exponential ------------------------------------------------------------------------------------------ */

struct gw_exp_half {
    uint64_t *counts; /* malloced: n of cap in use */
    int32_t start;    /* index of counts[0] */
    uint32_t n, cap;
};

struct gw_exponential {
    uint64_t count, zero_count;
    double sum, min, max;  /* min and max: when count > 0 */
    double zero_threshold; /* what is not above it is counted in zero_count */
    int32_t scale;         /* of the buckets; see gw_exponential_scale */
    uint32_t max_size;
    struct gw_exp_half positive, negative;
};

/** max_size: GW_EXP_MIN_SIZE to GW_EXP_MAX_SIZE; allocates nothing. */
void gw_exponential_init(struct gw_exponential *h, uint32_t max_size);
/** Frees the buckets; as after init. */
void gw_exponential_clear(struct gw_exponential *h);
/** Forgets the values, keeps the memory. */
void gw_exponential_reset(struct gw_exponential *h);
/** n times the value. NaN and infinities are left out. False: no memory. */
bool gw_exponential_add(struct gw_exponential *h, double value, uint64_t n);
/**
 * Of different zero thresholds the higher one holds for both, up to the end of the bucket that it goes through: only
 * then the order of merging may make a difference. False: no memory; then nothing has changed but the resolution and
 * the zero threshold.
 */
bool gw_exponential_merge(struct gw_exponential *h, const struct gw_exponential *other);
/** Memory of its buckets. */
static inline uint64_t gw_exponential_bytes(const struct gw_exponential *h)
{
    return ((uint64_t)h->positive.cap + h->negative.cap) * sizeof(h->positive.counts[0]);
}
/** What is written: 0 when there are only zeros. */
int32_t gw_exponential_scale(const struct gw_exponential *h);
/** Bucket of a positive, finite value. */
int32_t gw_exponential_index(double value, int32_t scale);
/** The end of a bucket, which belongs to it. */
double gw_exponential_upper(int32_t index, int32_t scale);
/** Whether one that was made of what others sent may be merged: its scale and its buckets are some that can be. */
bool gw_exponential_is_sane(const struct gw_exponential *h);

/* ---- zero thresholds (zero.c) ------------------------------------------------------------------------------- */

/** The lowest one that both can have. */
double gw_exponential_common_zero(const struct gw_exponential *a, const struct gw_exponential *b);
/** So many of the first buckets are zeros now: `start` and `n` say so, `counts` is left as it was. */
void gw_exponential_raise_zero(struct gw_exponential *h, double threshold, uint32_t *ret_positive,
                               uint32_t *ret_negative);

#endif
