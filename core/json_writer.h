/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of JSON text: strings, numbers. Doubles are the shortest digits that read back as the same double, in the
 * notations that Go programs use, because what we write is compared with what the Collector writes.
 */
#ifndef GW_CORE_JSON_WRITER_H
#define GW_CORE_JSON_WRITER_H

#include "core/buf.h"

/**
 * A quoted string. Escaped are the quote, the backslash and everything below 0x20 (\n, \r, \t, otherwise \u00XX);
 * all else, UTF-8 included, is copied as it is.
 *
 * Cost      16 bytes a step where nothing is to be escaped
 */
void gw_json_put_string(struct gw_buf *b, struct gw_slice s);
/** Decimal digits, without quotes. */
void gw_json_put_u64(struct gw_buf *b, uint64_t v);
void gw_json_put_i64(struct gw_buf *b, int64_t v);
/** A number; NaN and infinities as "NaN", "Infinity", "-Infinity" with their quotes. Notation GW_DOUBLE_JSON. */
void gw_json_put_double(struct gw_buf *b, double v);
/** Base64 (RFC 4648 section 4, padded), without quotes. */
void gw_put_base64(struct gw_buf *b, struct gw_slice s);
/** Lower-case hexadecimal, without quotes. */
void gw_put_hex(struct gw_buf *b, struct gw_slice s);

enum gw_double_style {
    GW_DOUBLE_JSON, /* 1e-07 below 1e-6, 1e+21 from 1e21 on, else without exponent: strconv 'e' and 'f' */
    GW_DOUBLE_ES6,  /* the same with 1e-7 for 1e-07: encoding/json, JavaScript */
    GW_DOUBLE_G,    /* %v: exponent below 1e-4 and from 1e6 on; NaN, +Inf, -Inf */
};
enum { GW_DOUBLE_BYTES = 400 };

/** Shortest text of v into `out` (GW_DOUBLE_BYTES bytes), not terminated; returns its length. */
size_t gw_double_text(double v, enum gw_double_style style, char *out);

#endif
