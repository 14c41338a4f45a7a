/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values while a condition runs. Nothing is copied before it must be: a map may still be the attributes of a span, a
 * list a piece of the payload. What is made lives in the view's arena.
 *
 * The Collector's values are Go's, and some of its rules come from there: a list that was written in the text is
 * another type ([]any) than one of an attribute (pcommon.Slice) or of Split ([]string). They are `form` here.
 */
#ifndef GW_OTTL_TYPES_H
#define GW_OTTL_TYPES_H

#include "core/buf.h"
#include "ottl/ottl.h"
#include "values/value.h"

enum gw_ottl_type {
    GW_OT_NIL,
    GW_OT_BOOL,
    GW_OT_INT,
    GW_OT_DOUBLE,
    GW_OT_STRING,
    GW_OT_BYTES,
    GW_OT_TIME,
    GW_OT_DURATION, /* i: nanoseconds */
    GW_OT_MAP,
    GW_OT_LIST,
    GW_OT_TRACE_ID, /* id */
    GW_OT_SPAN_ID,  /* id[0..8) */
    GW_OT_OTHER,    /* a list or a part of the item that only itself is equal to: events, links, status, … */
    GW_OT_ANY,      /* of an expression: known only when it runs */
};

enum gw_ottl_form {
    GW_OF_NONE,
    /* Maps and lists. */
    GW_OF_WIRE, /* s: an encoded KeyValueList or ArrayValue */
    /* Maps. */
    GW_OF_OWNER, /* owned: attributes of a row, resource, …, patches included */
    GW_OF_RANGE, /* range: batch->attrs, of an event */
    /* Lists. */
    GW_OF_ITEMS,  /* items[n]: []any */
    GW_OF_TYPED,  /* items[n]: []string, []float64 */
    GW_OF_COUNTS, /* items[n]: []uint64 */
    /* Others. */
    GW_OF_SLICE, /* n parts: has a length */
    GW_OF_PART,
};

struct gw_ottl_value {
    uint8_t type, form; /* enum gw_ottl_type, enum gw_ottl_form */
    uint32_t n;         /* ITEMS, TYPED, COUNTS, SLICE */
    union {
        bool b;
        int64_t i;
        double f;
        struct gw_slice s;
        struct {
            int64_t seconds; /* since 1970 */
            uint32_t ns;
            int32_t offset; /* of its zone, in seconds */
        } time;
        struct {
            uint32_t owner, index;
        } owned;
        struct gw_range range;
        const struct gw_ottl_value *items;
        uint8_t id[16];
        struct {
            uint32_t what, index; /* OTHER: of which path, of which item */
        } other;
    };
};
_Static_assert(sizeof(struct gw_ottl_value) == 24, "values are copied everywhere");

/** What one question knows: the item, where texts are made, what went wrong. */
struct gw_ottl_run {
    const struct gw_view *v; /* NULL while constants are folded */
    uint32_t row, event, metric, scope, resource;
    struct gw_arena *arena;
    struct gw_buf *buf; /* scratch, kept from one question to the next */
    struct gw_env *env;
    struct gw_err *err;
    int error;
};

/** Note why it failed, once. Returns false. */
bool gw_ottl_fail(struct gw_ottl_run *r, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool gw_ottl_starve(struct gw_ottl_run *r);

/* ---- making ----------------------------------------------------------------------------------------------- */

static inline struct gw_ottl_value gw_ottl_bool(bool b)
{
    return (struct gw_ottl_value){.type = GW_OT_BOOL, .b = b};
}
static inline struct gw_ottl_value gw_ottl_int(int64_t i)
{
    return (struct gw_ottl_value){.type = GW_OT_INT, .i = i};
}
static inline struct gw_ottl_value gw_ottl_double(double f)
{
    return (struct gw_ottl_value){.type = GW_OT_DOUBLE, .f = f};
}
static inline struct gw_ottl_value gw_ottl_string(struct gw_slice s)
{
    return (struct gw_ottl_value){.type = GW_OT_STRING, .s = s};
}
static inline struct gw_ottl_value gw_ottl_duration(int64_t ns)
{
    return (struct gw_ottl_value){.type = GW_OT_DURATION, .i = ns};
}
/** A time of the wire: nanoseconds since 1970, UTC. */
struct gw_ottl_value gw_ottl_time_of(uint64_t ns);
/** Nanoseconds since 1970, wrapping as Go's UnixNano does. */
int64_t gw_ottl_time_ns(const struct gw_ottl_value *v);
void gw_ottl_of_value(const struct gw_value *from, struct gw_ottl_value *ret);
/** False when it cannot be an attribute's value: then the type is in its name. Encodes what is not yet. */
bool gw_ottl_to_value(struct gw_ottl_run *r, const struct gw_ottl_value *from, struct gw_value *ret);
/** What has been put into r->buf since `begin`, as bytes in the arena; the buffer ends at `begin` again. */
bool gw_ottl_take_buf(struct gw_ottl_run *r, size_t begin, struct gw_slice *ret);

/* ---- maps and lists --------------------------------------------------------------------------------------- */

/** False when there is no such key. */
bool gw_ottl_map_get(struct gw_ottl_run *r, const struct gw_ottl_value *map, struct gw_slice key,
                     struct gw_ottl_value *ret);

struct gw_ottl_iter {
    const struct gw_batch *batch;
    const struct gw_ottl_value *of;
    struct gw_attr_iter attrs;
    struct gw_slice rest;
    uint32_t at;
};
void gw_ottl_begin(struct gw_ottl_run *r, const struct gw_ottl_value *of, struct gw_ottl_iter *it);
/** Next pair of a map. */
bool gw_ottl_next_pair(struct gw_ottl_iter *it, struct gw_slice *ret_key, struct gw_ottl_value *ret);
/** Next element of a list. */
bool gw_ottl_next_item(struct gw_ottl_iter *it, struct gw_ottl_value *ret);
/** Pairs of a map, elements of a list, parts of a SLICE. */
uint32_t gw_ottl_count(struct gw_ottl_run *r, const struct gw_ottl_value *of);

/* ---- asking ----------------------------------------------------------------------------------------------- */

/** The Collector's comparison (pkg/ottl compare.go). Errors: false: of memory. */
bool gw_ottl_compare(struct gw_ottl_run *r, const struct gw_ottl_value *a, unsigned op, const struct gw_ottl_value *b,
                     bool *ret);
/** Is an element of a list (as pcommon's AsRaw) equal to a value, by the same rules? */
bool gw_ottl_item_equal(struct gw_ottl_run *r, const struct gw_ottl_value *item, const struct gw_ottl_value *b);

/** Behind what r->buf holds: numbers as digits, bytes as hex, maps and lists as JSON. */
bool gw_ottl_put_text(struct gw_ottl_run *r, const struct gw_ottl_value *v);
/** The same as a text of its own: a string stays where it is. Not for nil. */
bool gw_ottl_text(struct gw_ottl_run *r, const struct gw_ottl_value *v, struct gw_slice *ret);

/** "string", "int64", "pcommon.Map", …: the names that the Collector's messages have. */
const char *gw_ottl_type_name(const struct gw_ottl_value *v);

#endif
