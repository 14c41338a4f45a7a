/* SPDX-License-Identifier: Apache-2.0 */
/* Letters of UTF-8 texts: their length, and other cases, as Go's strings and the Collector's strcase make them. */
#ifndef GW_OTTL_LETTERS_H
#define GW_OTTL_LETTERS_H

#include "core/buf.h"

enum gw_ottl_case { GW_CASE_LOWER, GW_CASE_UPPER, GW_CASE_SNAKE, GW_CASE_CAMEL };

/** Bytes of the first character; 1 for a byte that begins none. 0 for an empty text. */
size_t gw_ottl_letter_bytes(struct gw_slice s);
void gw_ottl_put_case(struct gw_buf *out, struct gw_slice s, enum gw_ottl_case to);

#endif
