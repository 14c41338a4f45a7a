/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data points get new values: patches of the fields that hold them. The columns of the batch do not follow; whoever
 * changes points flattens the view before it leaves (processors/common/flatten.h).
 */
#ifndef GW_PROCESSORS_COMMON_POINTS_H
#define GW_PROCESSORS_COMMON_POINTS_H

#include "batch/view.h"

/* Field numbers of OTLP's points. */
enum { GW_POINT_START = 2, GW_POINT_TIME = 3 };
enum { GW_NUMBER_DOUBLE = 4, GW_NUMBER_INT = 6 };
enum { GW_HIST_COUNT = 4, GW_HIST_SUM = 5, GW_HIST_COUNTS = 6, GW_HIST_BOUNDS = 7, GW_HIST_MIN = 11, GW_HIST_MAX = 12 };
enum {
    GW_EXP_COUNT = 4,
    GW_EXP_SUM = 5,
    GW_EXP_SCALE = 6,
    GW_EXP_ZERO_COUNT = 7,
    GW_EXP_POSITIVE = 8,
    GW_EXP_NEGATIVE = 9,
    GW_EXP_MIN = 12,
    GW_EXP_MAX = 13,
    GW_EXP_ZERO_THRESHOLD = 14,
};
enum { GW_DATA_TEMPORALITY = 2 };

/** Buckets of one half of an exponential histogram. */
struct gw_exp_buckets {
    int32_t offset;
    uint32_t n;
    uint64_t *counts;
};

/** Their counts are in the arena of the view. False: no memory. */
bool gw_point_buckets(const struct gw_view *v, struct gw_ref packed, int32_t offset, uint32_t n,
                      struct gw_exp_buckets *ret);

/** 2 to the power of `bits` buckets become one, in place. */
void gw_exp_coarsen(struct gw_exp_buckets *b, uint32_t bits);
/** Buckets up to that index go. Returns what they counted. */
uint64_t gw_exp_trim(struct gw_exp_buckets *b, int32_t index);

/* Errors of all that follow: v->failed. */
void gw_point_set_u64(struct gw_view *v, uint32_t row, uint32_t field, uint64_t value); /* fixed64; 0: left out */
void gw_point_set_i64(struct gw_view *v, uint32_t row, uint32_t field, int64_t value);  /* sfixed64, also 0 */
void gw_point_set_double(struct gw_view *v, uint32_t row, uint32_t field, double value);
void gw_point_set_sint(struct gw_view *v, uint32_t row, uint32_t field, int32_t value);
void gw_point_remove(struct gw_view *v, uint32_t row, uint32_t field);
/** n times 8 bytes, packed. */
void gw_point_set_packed(struct gw_view *v, uint32_t row, uint32_t field, const void *values, uint32_t n);
void gw_point_set_buckets(struct gw_view *v, uint32_t row, uint32_t field, const struct gw_exp_buckets *b);
void gw_metric_set_temporality(struct gw_view *v, uint32_t metric, enum gw_temporality t);

#endif
