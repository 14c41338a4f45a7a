/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP protobuf into columns: a pull decoder, one pass, no recursion on the machine stack, UTF-8 and wire types of
 * every byte checked.
 */
#ifndef GW_OTLP_DECODE_H
#define GW_OTLP_DECODE_H

#include "batch/batch.h"
#include "core/status.h"
#include "otlp-proto/limits.h"

/**
 * Append one Export{Trace,Metrics,Logs}ServiceRequest to an open batch as one new segment.
 *
 * Shape     one row per Span, LogRecord or data point, in wire order; a metric without points makes no row
 * Owner     `bytes` must lie inside b->payload; it may move (take b->base anew). A payload that others share is only
 *           read. The segment takes a reference of `ticket` (the caller sets its row count)
 * Threads   the batch's owner
 * Errors    -EBADMSG malformed (err says what and at which byte of the message), -E2BIG over `limits`,
 *           -ENOMEM; -EBUSY when it had to be rewritten and the payload is shared. On failure the batch is rolled back
 * to where it was: other requests keep their rows Cost      one pass; no malloc per row Source
 * opentelemetry-proto 1.10; unknown fields stay in the raw slices. What is legal but unusual (a message in several
 * pieces, a value before its key, unpacked numbers) is rewritten behind the payload first: then segment.wire is that
 * copy. Enum values over 255 stand as 255 in their byte columns
 */
int gw_decode(struct gw_batch *b, struct gw_slice bytes, const struct gw_limits *limits, struct gw_ticket *ticket,
              struct gw_err *err);

/**
 * The same, and the same requests are refused for the same reasons; but attributes of rows, events and links come into
 * no column (gw_batch.is_outline), which costs half of it. Those of resources and scopes do. Data points are decoded
 * whole.
 *
 * Only for who knows that nobody will look at them; a view that comes to somebody who does is made whole first
 * (otlp-proto/outline.h).
 */
int gw_decode_outline(struct gw_batch *b, struct gw_slice bytes, const struct gw_limits *limits,
                      struct gw_ticket *ticket, struct gw_err *err);
/**
 * An outline of what was decoded before and written by us: attributes and events are passed over by their lengths.
 * GW_ROW_BAD_CHILD_ID is still right.
 */
int gw_decode_trusted(struct gw_batch *b, struct gw_slice bytes, struct gw_err *err);

/** Rows of a request without decoding it: framing only. Errors: -EBADMSG. */
int gw_count_rows(enum gw_signal signal, struct gw_slice bytes, uint32_t *ret_rows);

#endif
