/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages are described by tables; a frame is a message being written. Opening one indexes its fields: a list per
 * field number, of entries that point into the request. A sub-message that came in several pieces is indexed from all
 * of them.
 *
 *   frames   request ─ ResourceSpans ─ ScopeSpans ─ Span ─ …
 *   entries  [ fields of request │ fields of ResourceSpans │ … ]     a stack too: a frame cuts its own off when it
 * closes
 */
#include "otlp-proto/canon.h"

#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/utf8.h"
#include "otlp-proto/wire.h"

enum kind {
    F_NONE, /* no such field */
    F_VARINT,
    F_I64,
    F_I32,
    F_STRING,
    F_BYTES,
    F_MSG,
    F_MSGS,     /* repeated */
    F_STRINGS,  /* repeated */
    F_PACKED64, /* repeated, packed or not */
    F_PACKED_VARINT,
};

enum message {
    M_TRACES_REQUEST,
    M_LOGS_REQUEST,
    M_METRICS_REQUEST,
    M_RESOURCE_SPANS,
    M_RESOURCE_LOGS,
    M_RESOURCE_METRICS,
    M_SCOPE_SPANS,
    M_SCOPE_LOGS,
    M_SCOPE_METRICS,
    M_RESOURCE,
    M_SCOPE,
    M_ENTITY_REF,
    M_KEY_VALUE,
    M_ANY,
    M_ARRAY,
    M_KVLIST,
    M_SPAN,
    M_EVENT,
    M_LINK,
    M_STATUS,
    M_LOG,
    M_METRIC,
    M_GAUGE,
    M_SUM,
    M_HISTOGRAM,
    M_EXP_HISTOGRAM,
    M_SUMMARY,
    M_NUMBER_POINT,
    M_HISTOGRAM_POINT,
    M_EXP_HISTOGRAM_POINT,
    M_SUMMARY_POINT,
    M_EXEMPLAR,
    M_BUCKETS,
    M_QUANTILE,
    N_MESSAGES
};

struct field {
    uint8_t kind, message;
    uint8_t oneof; /* 1: member of the message's oneof */
};

enum { N_FIELDS = 17, UNKNOWN = 0 }; /* field 0 stands for the unknown ones */

/* clang-format off */
static const struct {
    const char *name;
    struct field fields[N_FIELDS];
} messages[N_MESSAGES] = {
    [M_TRACES_REQUEST] = {"ExportTraceServiceRequest", {[1] = {F_MSGS, M_RESOURCE_SPANS, 0}}},
    [M_LOGS_REQUEST] = {"ExportLogsServiceRequest", {[1] = {F_MSGS, M_RESOURCE_LOGS, 0}}},
    [M_METRICS_REQUEST] = {"ExportMetricsServiceRequest", {[1] = {F_MSGS, M_RESOURCE_METRICS, 0}}},
    [M_RESOURCE_SPANS] = {"ResourceSpans", {[1] = {F_MSG, M_RESOURCE, 0}, {F_MSGS, M_SCOPE_SPANS, 0}, {F_STRING, 0, 0}}},
    [M_RESOURCE_LOGS] = {"ResourceLogs", {[1] = {F_MSG, M_RESOURCE, 0}, {F_MSGS, M_SCOPE_LOGS, 0}, {F_STRING, 0, 0}}},
    [M_RESOURCE_METRICS] = {"ResourceMetrics",
        {[1] = {F_MSG, M_RESOURCE, 0}, {F_MSGS, M_SCOPE_METRICS, 0}, {F_STRING, 0, 0}}},
    [M_SCOPE_SPANS] = {"ScopeSpans", {[1] = {F_MSG, M_SCOPE, 0}, {F_MSGS, M_SPAN, 0}, {F_STRING, 0, 0}}},
    [M_SCOPE_LOGS] = {"ScopeLogs", {[1] = {F_MSG, M_SCOPE, 0}, {F_MSGS, M_LOG, 0}, {F_STRING, 0, 0}}},
    [M_SCOPE_METRICS] = {"ScopeMetrics", {[1] = {F_MSG, M_SCOPE, 0}, {F_MSGS, M_METRIC, 0}, {F_STRING, 0, 0}}},
    [M_RESOURCE] = {"Resource", {[1] = {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}, {F_MSGS, M_ENTITY_REF, 0}}},
    [M_SCOPE] = {"InstrumentationScope",
        {[1] = {F_STRING, 0, 0}, {F_STRING, 0, 0}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}}},
    [M_ENTITY_REF] = {"EntityRef", {[1] = {F_STRING, 0, 0}, {F_STRING, 0, 0}, {F_STRINGS, 0, 0}, {F_STRINGS, 0, 0}}},
    [M_KEY_VALUE] = {"KeyValue", {[1] = {F_STRING, 0, 0}, {F_MSG, M_ANY, 0}, {F_VARINT, 0, 0}}},
    [M_ANY] = {"AnyValue", {[1] = {F_STRING, 0, 1}, {F_VARINT, 0, 1}, {F_VARINT, 0, 1}, {F_I64, 0, 1},
        {F_MSG, M_ARRAY, 1}, {F_MSG, M_KVLIST, 1}, {F_BYTES, 0, 1}, {F_VARINT, 0, 1}}},
    [M_ARRAY] = {"ArrayValue", {[1] = {F_MSGS, M_ANY, 0}}},
    [M_KVLIST] = {"KeyValueList", {[1] = {F_MSGS, M_KEY_VALUE, 0}}},
    [M_SPAN] = {"Span", {[1] = {F_BYTES, 0, 0}, {F_BYTES, 0, 0}, {F_STRING, 0, 0}, {F_BYTES, 0, 0}, {F_STRING, 0, 0},
        {F_VARINT, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0},
        {F_MSGS, M_EVENT, 0}, {F_VARINT, 0, 0}, {F_MSGS, M_LINK, 0}, {F_VARINT, 0, 0}, {F_MSG, M_STATUS, 0},
        {F_I32, 0, 0}}},
    [M_EVENT] = {"Span.Event", {[1] = {F_I64, 0, 0}, {F_STRING, 0, 0}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}}},
    [M_LINK] = {"Span.Link", {[1] = {F_BYTES, 0, 0}, {F_BYTES, 0, 0}, {F_STRING, 0, 0}, {F_MSGS, M_KEY_VALUE, 0},
        {F_VARINT, 0, 0}, {F_I32, 0, 0}}},
    [M_STATUS] = {"Status", {[2] = {F_STRING, 0, 0}, {F_VARINT, 0, 0}}},
    [M_LOG] = {"LogRecord", {[1] = {F_I64, 0, 0}, {F_VARINT, 0, 0}, {F_STRING, 0, 0}, [5] = {F_MSG, M_ANY, 0},
        {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}, {F_I32, 0, 0}, {F_BYTES, 0, 0}, {F_BYTES, 0, 0}, {F_I64, 0, 0},
        {F_STRING, 0, 0}}},
    [M_METRIC] = {"Metric", {[1] = {F_STRING, 0, 0}, {F_STRING, 0, 0}, {F_STRING, 0, 0}, [5] = {F_MSG, M_GAUGE, 1},
        [7] = {F_MSG, M_SUM, 1}, [9] = {F_MSG, M_HISTOGRAM, 1}, {F_MSG, M_EXP_HISTOGRAM, 1}, {F_MSG, M_SUMMARY, 1},
        {F_MSGS, M_KEY_VALUE, 0}}},
    [M_GAUGE] = {"Gauge", {[1] = {F_MSGS, M_NUMBER_POINT, 0}}},
    [M_SUM] = {"Sum", {[1] = {F_MSGS, M_NUMBER_POINT, 0}, {F_VARINT, 0, 0}, {F_VARINT, 0, 0}}},
    [M_HISTOGRAM] = {"Histogram", {[1] = {F_MSGS, M_HISTOGRAM_POINT, 0}, {F_VARINT, 0, 0}}},
    [M_EXP_HISTOGRAM] = {"ExponentialHistogram", {[1] = {F_MSGS, M_EXP_HISTOGRAM_POINT, 0}, {F_VARINT, 0, 0}}},
    [M_SUMMARY] = {"Summary", {[1] = {F_MSGS, M_SUMMARY_POINT, 0}}},
    [M_NUMBER_POINT] = {"NumberDataPoint", {[2] = {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 1}, {F_MSGS, M_EXEMPLAR, 0},
        {F_I64, 0, 1}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}}},
    [M_HISTOGRAM_POINT] = {"HistogramDataPoint", {[2] = {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0},
        {F_PACKED64, 0, 0}, {F_PACKED64, 0, 0}, {F_MSGS, M_EXEMPLAR, 0}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0},
        {F_I64, 0, 0}, {F_I64, 0, 0}}},
    [M_EXP_HISTOGRAM_POINT] = {"ExponentialHistogramDataPoint", {[1] = {F_MSGS, M_KEY_VALUE, 0}, {F_I64, 0, 0},
        {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}, {F_VARINT, 0, 0}, {F_I64, 0, 0}, {F_MSG, M_BUCKETS, 0},
        {F_MSG, M_BUCKETS, 0}, {F_VARINT, 0, 0}, {F_MSGS, M_EXEMPLAR, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}}},
    [M_SUMMARY_POINT] = {"SummaryDataPoint", {[2] = {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0}, {F_I64, 0, 0},
        {F_MSGS, M_QUANTILE, 0}, {F_MSGS, M_KEY_VALUE, 0}, {F_VARINT, 0, 0}}},
    [M_EXEMPLAR] = {"Exemplar", {[2] = {F_I64, 0, 0}, {F_I64, 0, 1}, {F_BYTES, 0, 0}, {F_BYTES, 0, 0}, {F_I64, 0, 1},
        {F_MSGS, M_KEY_VALUE, 0}}},
    [M_BUCKETS] = {"Buckets", {[1] = {F_VARINT, 0, 0}, {F_PACKED_VARINT, 0, 0}}},
    [M_QUANTILE] = {"ValueAtQuantile", {[1] = {F_I64, 0, 0}, {F_I64, 0, 0}}},
};
/* clang-format on */

struct entry {
    uint32_t next;     /* index + 1 of the next of the same field */
    uint32_t off, len; /* LEN: the bytes behind the length; unknown: with the tag; others: the value */
    uint32_t packed;   /* a packed run */
};

struct frame {
    uint8_t message, field; /* the field being written; N_FIELDS: then the unknown ones */
    bool discard;           /* a member of a oneof that was overruled: checked, not kept */
    uint32_t entry;         /* index + 1 of the next one to write */
    uint32_t first_entry;   /* where this frame's entries begin */
    uint32_t len_at, width; /* its length, in the output */
    uint32_t head[N_FIELDS], tail[N_FIELDS];
    uint32_t live;  /* of the member that holds, entries below index + 1 were overruled */
    uint8_t chosen; /* member of the oneof that holds */
};

/* Request, resource, scope, metric, data, point, exemplar, attribute; then three frames a nested value. */
enum { MAX_FRAMES = 8 + 3 * (GW_DEPTH_MAX + 1), FIRST_FRAMES = 16, FIRST_ENTRIES = 256 };

struct canon {
    const uint8_t *in;
    uint8_t *out;
    size_t room;
    uint32_t n_out;
    bool full;
    struct entry *entries;
    struct frame *frames;
    uint32_t n_entries, cap_entries, n_frames, cap_frames, depth;
    const struct gw_limits *limits;
    uint64_t max_bytes;
    struct gw_err *err;
};

static int fail(struct canon *c, int code, const uint8_t *at, enum message m, const char *why)
{
    return gw_fail(c->err, code, "%s: %s, at byte %td", messages[m].name, why, at - c->in);
}

static int push_entry(struct canon *c, struct frame *f, unsigned field, struct gw_slice s, bool packed)
{
    if (c->n_entries == c->cap_entries) {
        uint32_t cap = c->cap_entries ? c->cap_entries * 2 : FIRST_ENTRIES;
        struct entry *e;

        if (cap > FIRST_ENTRIES && (uint64_t)cap * sizeof(*e) > c->max_bytes)
            return fail(c, -E2BIG, s.p, f->message, "takes more memory to merge than its size allows");
        e = realloc(c->entries, (size_t)cap * sizeof(*e));
        if (!e)
            return gw_fail(c->err, -ENOMEM, "out of memory");
        c->entries = e;
        c->cap_entries = cap;
    }
    c->entries[c->n_entries++] = (struct entry){.off = (uint32_t)(s.p - c->in), .len = (uint32_t)s.n, .packed = packed};
    if (f->tail[field])
        c->entries[f->tail[field] - 1].next = c->n_entries;
    else
        f->head[field] = c->n_entries;
    f->tail[field] = c->n_entries;
    return 0;
}

static bool wire_fits(enum kind kind, uint32_t wire)
{
    switch (kind) {
    case F_VARINT:
        return wire == GW_VARINT;
    case F_I64:
        return wire == GW_I64;
    case F_I32:
        return wire == GW_I32;
    case F_PACKED64:
        return wire == GW_I64 || wire == GW_LEN;
    case F_PACKED_VARINT:
        return wire == GW_VARINT || wire == GW_LEN;
    case F_NONE:
        return true;
    case F_STRING:
    case F_BYTES:
    case F_MSG:
    case F_MSGS:
    case F_STRINGS:
        break;
    }
    return wire == GW_LEN;
}

/* A singular field: what came before is forgotten, but pieces of one message are kept for merging. */
static void supersede(struct frame *f, unsigned field, const struct field *d)
{
    if (d->kind == F_STRING || d->kind == F_BYTES || d->kind == F_VARINT || d->kind == F_I64 || d->kind == F_I32)
        f->head[field] = f->tail[field] = 0;
}

static bool packed_is_whole(enum kind kind, struct gw_slice run)
{
    unsigned len = 0;

    if (kind == F_PACKED64)
        return run.n % 8 == 0;
    for (size_t i = 0; i < run.n; i++) {
        if (++len > GW_VARINT_MAX)
            return false;
        if (run.p[i] < 0x80)
            len = 0;
    }
    return len == 0;
}

static int index_field(struct canon *c, struct frame *f, const struct gw_wire_field *w, const uint8_t *end)
{
    const struct field *d = w->number < N_FIELDS ? &messages[f->message].fields[w->number] : NULL;
    bool packed;

    if (!d || d->kind == F_NONE)
        return push_entry(c, f, UNKNOWN, gw_slice_of(w->at, (size_t)(end - w->at)), false);
    if (!wire_fits(d->kind, w->wire))
        return gw_fail(c->err, -EBADMSG, "%s: field %u has wire type %u, at byte %td", messages[f->message].name,
                       w->number, w->wire, w->at - c->in);
    if ((d->kind == F_STRING || d->kind == F_STRINGS) && !gw_utf8_valid(w->val.p, w->val.n))
        return fail(c, -EBADMSG, w->val.p, f->message, "string is not UTF-8");
    packed = w->wire == GW_LEN && (d->kind == F_PACKED64 || d->kind == F_PACKED_VARINT);
    if (packed && !packed_is_whole(d->kind, w->val))
        return fail(c, -EBADMSG, w->at, f->message, "packed run ends inside a number");
    if (d->oneof && f->chosen != w->number) {
        f->chosen = (uint8_t)w->number;
        f->live = c->n_entries + 1;
    }
    supersede(f, w->number, d);
    return push_entry(c, f, w->number, w->val, packed);
}

static int index_piece(struct canon *c, struct frame *f, struct gw_slice piece)
{
    struct gw_wire_walk w = gw_wire_walk(piece);
    struct gw_wire_field field;
    int r;

    while ((r = gw_wire_next(&w, &field)) > 0) {
        r = index_field(c, f, &field, w.p);
        if (r < 0)
            return r;
    }
    return r < 0 ? fail(c, r, w.bad, f->message, w.why) : 0;
}

/* Also leaves room for a length. */
static bool put_tag(struct canon *c, unsigned field, unsigned wire)
{
    if (c->room - c->n_out < 2 * GW_VARINT_MAX) {
        c->full = true;
        return false;
    }
    c->n_out = (uint32_t)(gw_varint_put(c->out + c->n_out, GW_TAG(field, wire)) - c->out);
    return true;
}

static void put_bytes(struct canon *c, const uint8_t *p, size_t n)
{
    if (n > c->room - c->n_out) {
        c->full = true;
        return;
    }
    memcpy(c->out + c->n_out, p, n);
    c->n_out += (uint32_t)n;
}

/* A varint of a given width. */
static void put_padded(uint8_t *p, uint32_t v, unsigned width)
{
    for (unsigned i = 0; i + 1 < width; i++, v >>= 7)
        p[i] = (uint8_t)(v | 0x80);
    p[width - 1] = (uint8_t)(v & 0x7f);
}

/* Begin a sub-message. Its pieces are the entry, and with all_pieces the entries behind it in the list. */
static int open_frame(struct canon *c, enum message m, unsigned field, uint32_t entry, bool all_pieces, bool discard)
{
    struct frame *f;
    uint64_t total = 0;
    int r;

    if (c->n_frames == MAX_FRAMES)
        return gw_fail(c->err, -E2BIG, "values nested too deeply");
    if (c->n_frames == c->cap_frames) {
        uint32_t cap = c->cap_frames ? c->cap_frames * 2 : FIRST_FRAMES;

        f = realloc(c->frames, cap * sizeof(*f));
        if (!f)
            return gw_fail(c->err, -ENOMEM, "out of memory");
        c->frames = f;
        c->cap_frames = cap;
    }
    f = &c->frames[c->n_frames++];
    *f = (struct frame){.message = (uint8_t)m, .first_entry = c->n_entries, .discard = discard};
    for (uint32_t i = entry; i; i = all_pieces ? c->entries[i - 1].next : 0) {
        struct entry e = c->entries[i - 1];

        total += e.len;
        r = index_piece(c, f, gw_slice_of(c->in + e.off, e.len));
        if (r < 0)
            return r;
    }
    f->field = 0;
    f->entry = 0;
    if (c->n_frames > 1) {
        f->len_at = c->n_out; /* the tag goes too when the message is dropped */
        f->width = gw_varint_size(total);
        if (put_tag(c, field, GW_LEN))
            c->n_out += f->width;
    }
    return 0;
}

static void close_frame(struct canon *c)
{
    struct frame *f = &c->frames[--c->n_frames];

    c->n_entries = f->first_entry;
    c->depth -= f->message == M_ANY;
    if (c->n_frames == 0)
        return;
    if (f->discard) {
        c->n_out = f->len_at;
    } else {
        uint32_t at = f->len_at + 1; /* all tags of messages are one byte: numbers below 16 */
        uint32_t len = c->n_out - at - f->width, width = f->width;

        if (gw_varint_size(len) > width) { /* one number, packed, is a byte longer than unpacked */
            if (c->room == c->n_out) {
                c->full = true;
                return;
            }
            memmove(c->out + at + width + 1, c->out + at + width, len);
            c->n_out++;
            width++;
        }
        put_padded(c->out + at, len, width);
    }
}

/* All runs of a repeated number as one. */
static void put_packed(struct canon *c, unsigned field, uint32_t first)
{
    uint64_t total = 0;

    for (uint32_t i = first; i; i = c->entries[i - 1].next)
        total += c->entries[i - 1].len;
    if (!total || !put_tag(c, field, GW_LEN))
        return;
    c->n_out = (uint32_t)(gw_varint_put(c->out + c->n_out, total) - c->out);
    for (uint32_t i = first; i; i = c->entries[i - 1].next)
        put_bytes(c, c->in + c->entries[i - 1].off, c->entries[i - 1].len);
}

static void put_leaf(struct canon *c, unsigned field, enum kind kind, const struct entry *e)
{
    bool counted = kind == F_STRING || kind == F_BYTES || kind == F_STRINGS;

    if (!put_tag(c, field, counted ? GW_LEN : kind == F_VARINT ? GW_VARINT : kind == F_I64 ? GW_I64 : GW_I32))
        return;
    if (counted)
        c->n_out = (uint32_t)(gw_varint_put(c->out + c->n_out, e->len) - c->out);
    put_bytes(c, c->in + e->off, e->len);
}

static int open_value(struct canon *c, const struct field *d, unsigned field, uint32_t entry, bool discard)
{
    if (d->message == M_ANY && ++c->depth > c->limits->depth)
        return gw_fail(c->err, -E2BIG, "AnyValue: values nested too deeply, at byte %u", c->entries[entry - 1].off);
    return open_frame(c, d->message, field, entry, d->kind == F_MSG && !discard, discard);
}

/* One step of the frame on top: a leaf written, a message opened, or the frame closed. */
static int step(struct canon *c)
{
    struct frame *f = &c->frames[c->n_frames - 1];
    const struct field *d;
    uint32_t entry;
    bool overruled;

    if (c->full)
        return gw_fail(c->err, -E2BIG, "request grows in canonical form");
    if (f->field && f->field < N_FIELDS && f->entry) {
        d = &messages[f->message].fields[f->field];
        entry = f->entry;
        overruled = d->oneof && (f->chosen != f->field || entry < f->live);
        f->entry = d->kind == F_MSG && !overruled ? 0 : c->entries[entry - 1].next;
        if (d->kind == F_MSG || d->kind == F_MSGS)
            return open_value(c, d, f->field, entry, overruled);
        put_leaf(c, f->field, d->kind, &c->entries[entry - 1]);
        return 0;
    }
    if (++f->field < N_FIELDS) {
        d = &messages[f->message].fields[f->field];
        entry = f->head[f->field];
        if (d->kind == F_PACKED64 || d->kind == F_PACKED_VARINT)
            put_packed(c, f->field, entry);
        else if (!d->oneof || d->kind == F_MSG || f->chosen == f->field)
            f->entry = entry;
        return 0;
    }
    for (uint32_t i = f->head[UNKNOWN]; i; i = c->entries[i - 1].next)
        put_bytes(c, c->in + c->entries[i - 1].off, c->entries[i - 1].len);
    close_frame(c);
    return 0;
}

int gw_canon(enum gw_signal signal, struct gw_slice in, const struct gw_limits *limits, uint64_t max_bytes,
             uint8_t *out, size_t room, size_t *ret_n, struct gw_err *err)
{
    struct canon c = {.in = in.p, .out = out, .room = room, .limits = limits, .max_bytes = max_bytes, .err = err};
    enum message m = signal == GW_TRACES ? M_TRACES_REQUEST : signal == GW_LOGS ? M_LOGS_REQUEST : M_METRICS_REQUEST;
    int r;

    r = open_frame(&c, m, 0, 0, false, false);
    if (r == 0)
        r = index_piece(&c, &c.frames[0], in);
    while (r == 0 && c.n_frames)
        r = step(&c);
    free(c.entries);
    free(c.frames);
    if (r == 0 && c.full)
        r = gw_fail(err, -E2BIG, "request grows in canonical form");
    if (r < 0)
        return r;
    *ret_n = c.n_out;
    return 0;
}
