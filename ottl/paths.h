/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of an item can be named: one table for all contexts, one reader. A path is `context.name.part`; the context may
 * be left out when it is the condition's own.
 */
#ifndef GW_OTTL_PATHS_H
#define GW_OTTL_PATHS_H

#include "ottl/types.h"

/** As enum gw_column_set of pipeline/component.h, which this room may not know. */
enum gw_ottl_columns {
    GW_OTTL_C_ROW = 1,
    GW_OTTL_C_ATTRS = 2,
    GW_OTTL_C_RESOURCE = 4,
    GW_OTTL_C_CHILDREN = 8,
    GW_OTTL_C_BODY = 16,
};

/** What may stand in [ ] behind it. */
enum gw_ottl_keys {
    GW_OTTL_NO_KEYS,
    GW_OTTL_MAP_KEYS,   /* a map: text first, then whatever its values are */
    GW_OTTL_ANY_KEYS,   /* a body: what its type is */
    GW_OTTL_STATE_KEYS, /* trace_state: one, a text */
};

struct gw_ottl_path {
    const char *name; /* "status.code" */
    uint8_t context;  /* enum gw_ottl_context: whose it is */
    uint8_t field;    /* enum field of fields.h */
    uint8_t type;     /* enum gw_ottl_type; without keys */
    uint8_t keys;     /* enum gw_ottl_keys */
    uint8_t reads;    /* enum gw_ottl_columns */
};

/** "span", …: as texts name contexts. */
const char *gw_ottl_context_name(enum gw_ottl_context c);
/** The context that a word names (instrumentation_scope is scope), or GW_OTTL_N_CONTEXTS. */
enum gw_ottl_context gw_ottl_context_of(struct gw_slice word);
/** Can a condition about `from` ask for `to`? */
bool gw_ottl_context_reaches(enum gw_ottl_context from, enum gw_ottl_context to);

/** NULL: there is none of that name ("status.code"). */
const struct gw_ottl_path *gw_ottl_path_find(enum gw_ottl_context c, struct gw_slice name);
/** All names of a context, NULL-ended, for suggestions: at most `room` of them. */
void gw_ottl_path_names(enum gw_ottl_context c, const char **ret, unsigned room);

/** The enum's number. Errors: false: a context has none of that name. */
bool gw_ottl_enum_find(enum gw_ottl_context c, struct gw_slice name, int64_t *ret);
void gw_ottl_enum_names(enum gw_ottl_context c, const char **ret, unsigned room);

/** The value of a path, without its keys. Errors: false: r->error. */
bool gw_ottl_path_get(struct gw_ottl_run *r, const struct gw_ottl_path *p, struct gw_ottl_value *ret);
/** The parent id of a span, zeros when it has none. */
void gw_ottl_parent_get(struct gw_ottl_run *r, struct gw_ottl_value *ret);
/** A span's trace state, whole. */
void gw_ottl_trace_state(struct gw_ottl_run *r, struct gw_ottl_value *ret);
/** One member of a span's trace state: "" when it has none of that key, nil when the state is not valid. */
void gw_ottl_trace_state_get(struct gw_ottl_run *r, struct gw_slice key, struct gw_ottl_value *ret);

#endif
