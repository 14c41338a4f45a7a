/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the JSON side knows of OTLP's messages: one row a field, in the order in which the Collector writes them. Reader
 * (json_read.c) and writer (json_write.c) go by these tables; neither knows a message by name.
 */
#ifndef GW_OTLP_JSON_FIELDS_H
#define GW_OTLP_JSON_FIELDS_H

#include "batch/batch.h"

enum gw_json_kind {
    GW_JK_STRING,
    GW_JK_BYTES, /* base64 */
    GW_JK_ID,    /* bytes, hexadecimal */
    GW_JK_BOOL,
    GW_JK_INT32,
    GW_JK_SINT32, /* zigzag */
    GW_JK_UINT32,
    GW_JK_INT64,
    GW_JK_UINT64,
    GW_JK_FIXED32,
    GW_JK_FIXED64,
    GW_JK_SFIXED64,
    GW_JK_DOUBLE,
    GW_JK_ENUM,
    GW_JK_MESSAGE,
};

enum gw_json_flag {
    GW_JF_LIST = 1,
    GW_JF_PRESENT = 2, /* `optional` or member of a oneof: zero is not the same as absent */
    GW_JF_ONEOF = 4,   /* no message of OTLP has more than one oneof */
    GW_JF_ALWAYS = 8,  /* written as {} when absent */
    GW_JF_ROW = 16,    /* its elements are rows: spans, log records, data points */
};

/** A run of enum names that share a prefix; their numbers are 0, 1, 2 … */
struct gw_json_enum {
    const char *prefix;
    const char *const *names; /* NULL-ended */
};

struct gw_json_message;

struct gw_json_field {
    const char *name, *snake; /* "traceId", "trace_id" */
    uint8_t name_n, snake_n;
    uint8_t number, kind, flags;
    const struct gw_json_message *message;
    const struct gw_json_enum *names;
};

enum {
    GW_JSON_MAX_FIELDS = 16,
    GW_JSON_MAX_NEST = 64, /* AnyValues inside of each other */
    /* Request, resource, scope, metric, data, point, exemplar, attribute and value; then 3 a nested value. */
    GW_JSON_MAX_FRAMES = 9 + 3 * GW_JSON_MAX_NEST,
};

struct gw_json_message {
    const struct gw_json_field *fields;
    uint8_t n_fields;
    uint8_t length_bytes; /* of a usual message's length, as a first guess */
    bool nests;           /* AnyValue and what is made of it: may hold itself */
};

extern const struct gw_json_message gw_json_traces, gw_json_metrics, gw_json_logs, gw_json_any_value, gw_json_key_value;

static inline const struct gw_json_message *gw_json_request(enum gw_signal s)
{
    return s == GW_TRACES ? &gw_json_traces : s == GW_METRICS ? &gw_json_metrics : &gw_json_logs;
}

#endif
