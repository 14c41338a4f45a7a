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

/** The text that regular expressions see: as gw_value_text, but no bytes, lists, maps, and doubles without exponent. */
bool gw_value_match_text(const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret);

/** strconv.ParseInt(s, 10, 64) and strconv.ParseFloat(s, 64). False when Go would report an error. */
bool gw_parse_int(struct gw_slice s, int64_t *ret);
bool gw_parse_double(struct gw_slice s, double *ret);

/** Same type and same content; maps do not care for the order of their keys. */
bool gw_value_eq(const struct gw_value *a, const struct gw_value *b, struct gw_arena *arena);

const char *gw_value_type_name(enum gw_value_type t); /* "Str", "Int", … as pcommon prints them */

#endif
