/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as encoding/json of Go writes them, which is how the Collector shows lists and maps as text: keys sorted, of
 * equal ones the last, \b and \f by letter, U+2028 and U+2029 escaped, bytes in base64.
 */
#ifndef GW_EXPORTERS_COMMON_GO_JSON_H
#define GW_EXPORTERS_COMMON_GO_JSON_H

#include "batch/view.h"
#include "core/buf.h"

enum gw_go_escape {
    GW_GO_PLAIN,
    GW_GO_HTML,     /* < > & too: json.Marshal's way; the others are SetEscapeHTML(false) */
    GW_GO_TERMINAL, /* what a terminal obeys too: DEL and C1 */
};

struct gw_go_pair;

/** Zeroed before the first use; kept between values, so that they cost no allocation. */
struct gw_go_json {
    enum gw_go_escape escape;
    bool no_memory; /* that is why the last value was not written */
    struct gw_go_pair *pairs;
    uint32_t n, cap;
};
void gw_go_json_clear(struct gw_go_json *g);

/**
 * Append a value.
 *
 * Errors    false, with a part of it written: it holds a number that JSON has not, or is nested deeper than any decoder
 *           lets pass, or g->no_memory
 */
bool gw_go_json_put(struct gw_go_json *g, const struct gw_value *v, struct gw_buf *out);

/** An AnyValue message; of several members the last one counts. */
struct gw_value gw_go_any(struct gw_slice any);
/** Next element of an ArrayValue, or pair of a KeyValueList, from *list on. */
bool gw_go_next(struct gw_slice *list, struct gw_slice *ret);
void gw_go_pair_of(struct gw_slice key_value, struct gw_slice *ret_key, struct gw_slice *ret_any);

#endif
