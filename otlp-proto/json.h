/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON is transcoded to protobuf and back; there is one decoder and one encoder. Rules: OTLP specification 1.11
 * "JSON Protobuf Encoding" (hex ids, enums as numbers, 64-bit integers as strings, unknown fields ignored), and what the
 * Collector's decoder accepts beyond (snake_case keys, enum names).
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

/** Append the JSON form of an encoded request, one line without a newline, as the Collector's marshaler writes it. */
int gw_proto_to_json(enum gw_signal signal, struct gw_slice body, struct gw_buf *out);

#endif
