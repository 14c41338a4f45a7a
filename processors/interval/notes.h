/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_INTERVAL_NOTES_H
#define GW_INTERVAL_NOTES_H

#include <stdint.h>

/**
 * What stands around a scope or a metric, as encoded fields: in [0, first) of the outer message (ResourceMetrics,
 * Metric), behind that of the inner one (ScopeMetrics; Gauge, Sum, …).
 */
struct gw_iv_note {
    uint8_t *p;
    uint32_t n, first;
    uint32_t field; /* of a metric: the number of its data */
};

#endif
