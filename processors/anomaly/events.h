/* SPDX-License-Identifier: Apache-2.0 */
/* Log records of points that are unusual: requests of one record each, one behind the other. */
#ifndef GW_PROCESSORS_ANOMALY_EVENTS_H
#define GW_PROCESSORS_ANOMALY_EVENTS_H

#include "batch/view.h"
#include "core/buf.h"
#include "series/anomaly.h"

/**
 * Append a ResourceLogs message with the record, in the resource and scope of the point, as a field of a request.
 * Errors: out->failed; then nothing was appended.
 */
/* metric: what it is of, when not of the row's; or NULL */
void gw_an_event(struct gw_buf *out, const struct gw_batch *b, uint32_t row, const char *metric,
                 const struct gw_anomaly *a, double value);

#endif
