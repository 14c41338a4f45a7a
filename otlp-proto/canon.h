/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request rewritten in the one form that the columns take: fields in the order of their numbers, each singular field
 * once (the last scalar, sub-messages merged), the last member of a oneof, numbers packed into one run, unknown fields
 * behind the known ones, in their order. The same message to protobuf, byte for byte at the leaves.
 */
#ifndef GW_OTLP_CANON_H
#define GW_OTLP_CANON_H

#include "batch/batch.h"
#include "core/status.h"
#include "otlp-proto/limits.h"

/** A lone bucket count in its own field, two bytes, takes three as a packed run; nothing else grows. */
#define GW_CANON_ROOM(n) ((n) + (n) / 2 + 64)

/**
 * Write the canonical form of an Export…ServiceRequest to out, which has `room` bytes: GW_CANON_ROOM(in.n) always do.
 *
 * Errors    -EBADMSG, -E2BIG (too deep, or over max_bytes of memory), -ENOMEM
 * Cost      one pass with an index of the fields; no recursion
 */
int gw_canon(enum gw_signal signal, struct gw_slice in, const struct gw_limits *limits, uint64_t max_bytes,
             uint8_t *out, size_t room, size_t *ret_n, struct gw_err *err);

#endif
