/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute values as configurations and Go programs see them: made from a YAML node, written as the Collector's
 * AsString does, converted by Go's rules.
 */
#ifndef GW_VALUES_VALUE_H
#define GW_VALUES_VALUE_H

#include "batch/view.h"
#include "config/node.h"
#include "core/buf.h"

/** Scalars by their YAML type; lists and maps as encoded messages in `arena`. Errors: -ENOMEM, -E2BIG (nested too
 * deep). */
int gw_value_from_node(const struct gw_node *n, struct gw_arena *arena, struct gw_value *ret);

/**
 * pcommon.Value.AsString: strings as they are, 1.5, true, base64 of bytes, JSON (keys sorted) of lists and maps.
 * The text lives in the value or in `arena`. Errors: false when there is no room.
 */
bool gw_value_text(const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret);

/** JSON as AsString writes it, or as json.Marshal of goccy/go-json: < > & are \u003c, …, and 1e-7 is 1e-07. */
enum gw_text_style { GW_TEXT_PLAIN, GW_TEXT_HTML };
/** gw_value_text behind what `out` holds already; map keys are sorted in `arena`. Errors: out->failed. */
void gw_value_put_text(struct gw_buf *out, const struct gw_value *v, struct gw_arena *arena, enum gw_text_style how);
/** The same as JSON: strings and bytes in quotes, null for nothing. */
void gw_value_put_json(struct gw_buf *out, const struct gw_value *v, struct gw_arena *arena, enum gw_text_style how);

/** The next element of an encoded list or map (value.s). False at the end. */
bool gw_value_list_next(struct gw_slice *rest, struct gw_value *ret);
bool gw_value_map_next(struct gw_slice *rest, struct gw_slice *ret_key, struct gw_value *ret);
/** The value in an AnyValue message; the last field wins. */
struct gw_value gw_value_of_any(struct gw_slice any);
/** One more element of an encoded list, one more pair of an encoded map. */
void gw_value_put_item(struct gw_buf *out, const struct gw_value *v);
void gw_value_put_pair(struct gw_buf *out, struct gw_slice key, const struct gw_value *v);

/** The text that regular expressions see: as gw_value_text, but no bytes, lists, maps, and doubles without exponent. */
bool gw_value_match_text(const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret);

/** strconv.ParseInt(s, 10, 64) and strconv.ParseFloat(s, 64). False when Go would report an error. */
bool gw_parse_int(struct gw_slice s, int64_t *ret);
bool gw_parse_double(struct gw_slice s, double *ret);

/** Same type and same content; maps do not care for the order of their keys. */
bool gw_value_eq(const struct gw_value *a, const struct gw_value *b, struct gw_arena *arena);

const char *gw_value_type_name(enum gw_value_type t); /* "Str", "Int", … as pcommon prints them */

#endif
