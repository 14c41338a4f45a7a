/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view back into OTLP protobuf. Untouched rows are copied from the wire bytes, changed ones spliced, so that unknown
 * fields and the order of fields come out as they came in. Also: cutting encoded bodies apart without decoding.
 */
#ifndef GW_OTLP_ENCODE_H
#define GW_OTLP_ENCODE_H

#include "batch/view.h"
#include "core/buf.h"

/**
 * Append the kept rows as one Export…ServiceRequest.
 *
 * Shape     resources, scopes and metrics without a kept row are left out; grouping and order are the batch's
 * Errors    -ENOMEM, -E2BIG when `out` is full (its contents behind the old n are undefined)
 * Cost      an untouched view is one memcpy; 10 ns a span regrouped, 20 with one attribute out and one in
 */
int gw_encode(const struct gw_view *v, struct gw_buf *out);
/** The same of the request of one segment alone; nothing when it has no kept row. */
int gw_encode_segment(const struct gw_view *v, uint32_t segment, struct gw_buf *out);
/**
 * One row alone, in the envelope of its resource and scope: what a dead letter keeps. The row need not be kept. Costs
 * as much for one of many rows as for one of few; unknown fields of an envelope that stand between its children are
 * left out.
 */
int gw_encode_row(const struct gw_view *v, uint32_t row, struct gw_buf *out);

/** Called once per piece; the slice is valid during the call. */
typedef int (*gw_piece_fn)(void *arg, struct gw_slice piece, uint32_t rows);

/**
 * Cut an encoded request into pieces of at most max_rows rows and max_bytes bytes (0 = no limit); a single row may
 * be longer than max_bytes. Each piece repeats its resource and scope.
 *
 * Errors    -EBADMSG when `body` is no valid request; or the first negative value of `piece`
 */
int gw_split(enum gw_signal signal, struct gw_slice body, uint32_t max_rows, size_t max_bytes, gw_piece_fn piece,
             void *arg);

/** row_of[i]: which row of the body the i-th of the piece is; valid during the call. */
typedef int (*gw_keyed_piece_fn)(void *arg, struct gw_slice key, struct gw_slice piece, const uint32_t *row_of,
                                 uint32_t rows);
/** One piece per trace id (16 bytes, or none: key.n == 0), order of first appearance. Spans and log records. */
int gw_split_by_trace(enum gw_signal signal, struct gw_slice body, gw_keyed_piece_fn piece, void *arg);
/** One piece per distinct resource; key = its Resource message's bytes. */
int gw_split_by_resource(enum gw_signal signal, struct gw_slice body, gw_keyed_piece_fn piece, void *arg);

#endif
