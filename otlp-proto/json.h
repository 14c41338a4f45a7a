/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON is transcoded to protobuf and back; there is one decoder and one encoder. Rules: OTLP specification 1.11
 * "JSON Protobuf Encoding" (hex ids, enums as numbers, 64-bit integers as strings, unknown fields ignored), and what
 * the Collector's decoder accepts beyond (snake_case keys, enum names). More than the Collector: whole numbers may be
 * written as 1e3 or 1.0, bytes in URL-safe base64, null stands for an absent field of any type. Less: text behind the
 * request, bytes that are not UTF-8 and halves of surrogate pairs are refused.
 *
 * A key that stands twice: the last one counts, whole; lists are joined. An id of a wrong length is kept, as it is in
 * protobuf: the decoder marks its row.
 */
#ifndef GW_OTLP_JSON_H
#define GW_OTLP_JSON_H

#include "batch/batch.h"
#include "core/buf.h"
#include "core/status.h"
#include "otlp-proto/limits.h"

/**
 * Append the protobuf form of one JSON request.
 *
 * Threads   any; no shared state
 * Errors    -EBADMSG (err: what, line and column), -E2BIG over limits or out's maximum, -ENOMEM
 * Cost      one pass over the text, no tree
 */
int gw_json_to_proto(enum gw_signal signal, struct gw_slice json, const struct gw_limits *limits, struct gw_buf *out,
                     struct gw_err *err);

/**
 * Append the JSON form of an encoded request: one line without a newline, byte for byte as the Collector's marshaler
 * writes it. Unknown fields are left out.
 *
 * Threads   any; no shared state
 * Errors    -EBADMSG when `body` is no valid request or is nested too deep, -E2BIG over out's maximum, -ENOMEM; `out`
 *           keeps what it held
 */
int gw_proto_to_json(enum gw_signal signal, struct gw_slice body, struct gw_buf *out);

#endif
