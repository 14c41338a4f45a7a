/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the decoder: the four kinds of data points. */
#ifndef GW_OTLP_DECODE_POINTS_H
#define GW_OTLP_DECODE_POINTS_H

#include "otlp-proto/decode_priv.h"

/** What all kinds have; goes into the row's columns. */
struct gw_point {
    uint64_t time_ns, start_ns;
    struct gw_range attrs;
    union gw_val number; /* or the index of the histogram or summary */
    uint32_t metric, flags;
    uint8_t number_type, row_flags;
};

const uint8_t *gw_dec_number_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt);
const uint8_t *gw_dec_histogram_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt);
const uint8_t *gw_dec_exp_histogram_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt);
const uint8_t *gw_dec_summary_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt);

#endif
