/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converters: a table with a row a name, from which come the checks of arguments, their conversion and what is folded
 * when all of them are constants. What a converter does with its values is a function of one of functions_*.c.
 */
#ifndef GW_OTTL_FUNCTIONS_H
#define GW_OTTL_FUNCTIONS_H

#include "ottl/types.h"

enum { GW_OTTL_MAX_ARGS = 4 };

/** What a parameter takes, and what the converter then gets. "Like" is nil when the value is nil. */
enum gw_ottl_arg_type {
    GW_ARG_ANY,
    GW_ARG_STRING,
    GW_ARG_STRING_LIKE, /* whatever has a text */
    GW_ARG_INT,
    GW_ARG_INT_LIKE,    /* numbers, bools, and texts that are one; nil for other texts */
    GW_ARG_DOUBLE_LIKE, /* the same; other texts fail */
    GW_ARG_BOOL_LIKE,
    GW_ARG_BYTES_LIKE,
    GW_ARG_MAP,
    GW_ARG_LIST,
    GW_ARG_TIME,
    GW_ARG_DURATION,
    GW_ARG_IF_STRING, /* anything; but what is written in the text must be one */
    GW_ARG_IF_INT,
    GW_ARG_IF_DOUBLE,
    GW_ARG_IF_BOOL,
    GW_ARG_IF_MAP,
    GW_ARG_LITERAL_STRING, /* written in the text */
    GW_ARG_LITERAL_BOOL,
    GW_ARG_TEXTS, /* a list that is written in the text, of STRING_LIKE: ITEMS */
    GW_ARG_LAZY,  /* the same of ANY; the converter runs call->args[i] itself */
};

struct gw_ottl_arg {
    const char *name;
    uint8_t type; /* enum gw_ottl_arg_type */
    bool optional;
};

struct gw_ottl;
struct gw_ottl_expr;

struct gw_ottl_call {
    const struct gw_ottl_function *function;
    const struct gw_ottl_expr *args[GW_OTTL_MAX_ARGS]; /* NULL: not given */
    void *state;                                       /* what prepare() made of constants */
};

struct gw_ottl_function {
    const char *name;
    uint8_t type; /* enum gw_ottl_type of what it gives, when that is not nil */
    bool impure;  /* gives something else each time, or knows the item: never folded */
    bool of_spans;
    struct gw_ottl_arg args[GW_OTTL_MAX_ARGS];
    /** args[i].type is NIL for those not given. Errors: false: r->error. */
    bool (*run)(struct gw_ottl_run *r, const struct gw_ottl_call *call, const struct gw_ottl_value *args,
                struct gw_ottl_value *ret);
    /** constants[i]: the argument's value, or NULL when it is known only later. Errors: -EINVAL (err), -ENOMEM. */
    int (*prepare)(struct gw_ottl *o, struct gw_ottl_call *call, const struct gw_ottl_value *const *constants,
                   struct gw_err *err);
};

const struct gw_ottl_function *gw_ottl_function_find(struct gw_slice name);
/** Why there is none of that name, and what is meant instead. */
void gw_ottl_function_missing(struct gw_slice name, char *ret, size_t size);

/** Make what a parameter wants of a value, in place. Errors: false: r->error. */
bool gw_ottl_convert(struct gw_ottl_run *r, enum gw_ottl_arg_type to, struct gw_ottl_value *v);
/** The same of a constant. */
bool gw_ottl_convert_constant(struct gw_ottl_run *r, enum gw_ottl_arg_type to, struct gw_ottl_value *v);

#define GW_OTTL_RUN(name)                                                                                              \
    bool name(struct gw_ottl_run *r, const struct gw_ottl_call *call, const struct gw_ottl_value *args,                \
              struct gw_ottl_value *ret)
#define GW_OTTL_PREPARE(name)                                                                                          \
    int name(struct gw_ottl *o, struct gw_ottl_call *call, const struct gw_ottl_value *const *constants,               \
             struct gw_err *err)

/* functions_types.c */
GW_OTTL_RUN(gw_ottl_run_is_string);
GW_OTTL_RUN(gw_ottl_run_is_int);
GW_OTTL_RUN(gw_ottl_run_is_double);
GW_OTTL_RUN(gw_ottl_run_is_bool);
GW_OTTL_RUN(gw_ottl_run_is_map);
GW_OTTL_RUN(gw_ottl_run_is_list);
GW_OTTL_RUN(gw_ottl_run_is_empty);
GW_OTTL_RUN(gw_ottl_run_is_root_span);
GW_OTTL_RUN(gw_ottl_run_same);
GW_OTTL_RUN(gw_ottl_run_len);
GW_OTTL_RUN(gw_ottl_run_contains_value);
GW_OTTL_RUN(gw_ottl_run_index);
GW_OTTL_RUN(gw_ottl_run_keys);
GW_OTTL_RUN(gw_ottl_run_coalesce);
GW_OTTL_RUN(gw_ottl_run_trace_id);
GW_OTTL_RUN(gw_ottl_run_span_id);
/* functions_text.c */
GW_OTTL_RUN(gw_ottl_run_concat);
GW_OTTL_RUN(gw_ottl_run_split);
GW_OTTL_RUN(gw_ottl_run_substring);
GW_OTTL_RUN(gw_ottl_run_has_prefix);
GW_OTTL_RUN(gw_ottl_run_has_suffix);
GW_OTTL_RUN(gw_ottl_run_trim);
GW_OTTL_RUN(gw_ottl_run_trim_prefix);
GW_OTTL_RUN(gw_ottl_run_trim_suffix);
GW_OTTL_RUN(gw_ottl_run_to_lower);
GW_OTTL_RUN(gw_ottl_run_to_upper);
GW_OTTL_RUN(gw_ottl_run_to_snake);
GW_OTTL_RUN(gw_ottl_run_to_camel);
GW_OTTL_RUN(gw_ottl_run_convert_case);
GW_OTTL_PREPARE(gw_ottl_prepare_convert_case);
GW_OTTL_RUN(gw_ottl_run_hex);
GW_OTTL_RUN(gw_ottl_run_fnv);
GW_OTTL_RUN(gw_ottl_run_sha256);
GW_OTTL_RUN(gw_ottl_run_uuid);
/* functions_pattern.c */
GW_OTTL_RUN(gw_ottl_run_is_match);
GW_OTTL_PREPARE(gw_ottl_prepare_is_match);
GW_OTTL_RUN(gw_ottl_run_extract_patterns);
GW_OTTL_PREPARE(gw_ottl_prepare_extract_patterns);
/* functions_parse.c */
GW_OTTL_RUN(gw_ottl_run_parse_json);
GW_OTTL_RUN(gw_ottl_run_parse_key_value);
GW_OTTL_PREPARE(gw_ottl_prepare_parse_key_value);
GW_OTTL_RUN(gw_ottl_run_parse_severity);
GW_OTTL_PREPARE(gw_ottl_prepare_parse_severity);
/* functions_time.c */
GW_OTTL_RUN(gw_ottl_run_time);
GW_OTTL_PREPARE(gw_ottl_prepare_time);
GW_OTTL_RUN(gw_ottl_run_format_time);
GW_OTTL_PREPARE(gw_ottl_prepare_format_time);
GW_OTTL_RUN(gw_ottl_run_now);
GW_OTTL_RUN(gw_ottl_run_unix);
GW_OTTL_RUN(gw_ottl_run_unix_seconds);
GW_OTTL_RUN(gw_ottl_run_unix_milli);
GW_OTTL_RUN(gw_ottl_run_unix_micro);
GW_OTTL_RUN(gw_ottl_run_unix_nano);
GW_OTTL_RUN(gw_ottl_run_duration);
GW_OTTL_RUN(gw_ottl_run_hours);
GW_OTTL_RUN(gw_ottl_run_minutes);
GW_OTTL_RUN(gw_ottl_run_seconds);
GW_OTTL_RUN(gw_ottl_run_milliseconds);
GW_OTTL_RUN(gw_ottl_run_microseconds);
GW_OTTL_RUN(gw_ottl_run_nanoseconds);
GW_OTTL_RUN(gw_ottl_run_year);
GW_OTTL_RUN(gw_ottl_run_month);
GW_OTTL_RUN(gw_ottl_run_day);
GW_OTTL_RUN(gw_ottl_run_hour);
GW_OTTL_RUN(gw_ottl_run_minute);
GW_OTTL_RUN(gw_ottl_run_second);
GW_OTTL_RUN(gw_ottl_run_nanosecond);
GW_OTTL_RUN(gw_ottl_run_weekday);

#endif
