/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the debug exporter: OTLP as text for people, in the words of the Collector's debug exporter 0.158.
 * Everything is read from an encoded request, so that what is shown is what another exporter would send.
 */
#ifndef GW_EXPORTERS_DEBUG_TEXT_H
#define GW_EXPORTERS_DEBUG_TEXT_H

#include "batch/batch.h"
#include "core/buf.h"
#include "exporters/common/go_json.h"
#include "otlp-proto/wire.h"

enum { GW_DEBUG_FIELDS = 17 }; /* no message of OTLP numbers a field higher than 16 */

/** One message taken apart: the last value of each field, and how often it came. */
struct gw_debug_message {
    struct gw_slice all;
    struct gw_slice val[GW_DEBUG_FIELDS];
    uint64_t varint[GW_DEBUG_FIELDS];
    uint32_t n[GW_DEBUG_FIELDS];
};

/** Writes text. */
struct gw_debug_text {
    struct gw_buf *out;
    struct gw_go_json json;
};

void gw_debug_open(struct gw_debug_message *m, struct gw_slice bytes);
/** Elements of a list: for (w = gw_wire_walk(m->all); gw_debug_next(&w, 9, &s);) */
bool gw_debug_next(struct gw_wire_walk *w, uint32_t number, struct gw_slice *ret);
uint64_t gw_debug_u64(const struct gw_debug_message *m, unsigned number); /* fixed64, fixed32, varint */
double gw_debug_f64(const struct gw_debug_message *m, unsigned number);
/** Numbers of a list, packed or not: i-th call gives the i-th; start with {0}. */
struct gw_debug_numbers {
    struct gw_wire_walk walk;
    struct gw_slice run;
    uint32_t number;
    bool varints;
};
struct gw_debug_numbers gw_debug_numbers(const struct gw_debug_message *m, uint32_t number, bool varints);
bool gw_debug_next_number(struct gw_debug_numbers *it, uint64_t *ret);
/** How many varints a packed run holds, and its last one, which is taken off. */
uint32_t gw_debug_count_varints(struct gw_slice run);
bool gw_debug_take_last(struct gw_slice *run, uint64_t *ret);

/** Buckets of an exponential histogram: bound i is exp((offset + i) × factor), factor = ln 2 / 2^scale. */
double gw_debug_bucket_factor(const struct gw_debug_message *exp_histogram_point);
double gw_debug_bucket_offset(const struct gw_debug_message *buckets);

/* ---- values.c -------------------------------------------------------------------------------------------- */

/**
 * Text from outside: control characters but line feed and tab are escaped, so that nobody's log record gets at the
 * terminal.
 */
void gw_debug_put_text(struct gw_buf *b, struct gw_slice s);
/** "label" text line feed */
void gw_debug_put_line(struct gw_buf *b, const char *label, struct gw_slice s);
/** An id in hexadecimal, nothing when it is all zeros. */
void gw_debug_put_id(struct gw_buf *b, struct gw_slice id);
/** 2020-02-11 20:26:13.000000789 +0000 UTC */
void gw_debug_put_time(struct gw_buf *b, uint64_t time_ns);
/** %f of Go */
void gw_debug_put_f(struct gw_buf *b, double v);
/** %v of Go */
void gw_debug_put_v(struct gw_buf *b, double v);
/** The value as pcommon.Value.AsString: a text as it is, lists and maps as JSON with sorted keys. */
void gw_debug_put_value(struct gw_debug_text *t, struct gw_slice any_value);
/** "Str(text)" */
void gw_debug_put_typed_value(struct gw_debug_text *t, struct gw_slice any_value);

/* ---- the two verbosities --------------------------------------------------------------------------------- */

void gw_debug_normal(struct gw_debug_text *t, enum gw_signal signal, struct gw_slice request);
void gw_debug_detailed(struct gw_debug_text *t, enum gw_signal signal, struct gw_slice request);
void gw_debug_detailed_metric(struct gw_debug_text *t, struct gw_slice metric);
/** `header:` and one line an attribute, each behind `indent`; nothing when there are none. */
void gw_debug_put_attributes(struct gw_debug_text *t, const char *indent, const char *header, struct gw_slice message,
                             uint32_t number);

#endif
