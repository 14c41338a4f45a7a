/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a view by trace, in order of the traces' first rows. */
#ifndef GW_TAIL_SAMPLING_GROUP_H
#define GW_TAIL_SAMPLING_GROUP_H

#include "batch/view.h"

struct gw_trace_group {
    const uint8_t *id;
    const uint32_t *rows; /* ascending */
    uint32_t n;
};
struct gw_trace_groups {
    struct gw_trace_group *list;
    uint32_t n;
    uint32_t *without_id, n_without_id; /* rows whose trace id is absent or all zeros */
};

/** In the view's arena. Errors: -ENOMEM. Cost: a hash for each row that has another id than the one before. */
int gw_trace_groups_of(const struct gw_view *v, struct gw_trace_groups *ret);

/**
 * Bytes of these rows of one trace as the Collector counts them: of a ResourceSpans message for each resource, as its
 * pdata would write it; alone (maximum_trace_size_bytes, count_bytes_sampled), and as fields of a request
 * (bytes_limiting).
 */
struct gw_trace_bytes {
    uint64_t bare, framed;
};
struct gw_trace_bytes gw_trace_bytes_of(const struct gw_batch *b, const uint32_t *rows, uint32_t n);

#endif
