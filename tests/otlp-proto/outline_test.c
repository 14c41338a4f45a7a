/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding without attributes, events and links of rows: as strict, the same rows, and whole again when it must be. */
#include "tests/harness.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/outline.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

enum way { WHOLE, OUTLINE, TRUSTED };

static int decode(struct gw_batch *b, struct gw_slice bytes, enum way way, struct gw_err *err)
{
    struct gw_ref at;

    gw_batch_reset(b, b->signal);
    assert_int_equal(gw_batch_append(b, bytes, &at), 0);
    bytes = gw_batch_slice(b, at);
    return way == WHOLE     ? gw_decode(b, bytes, &limits, NULL, err)
           : way == OUTLINE ? gw_decode_outline(b, bytes, &limits, NULL, err)
                            : gw_decode_trusted(b, bytes, err);
}

#define SAME(x, column) assert_memory_equal(a->column, b->column, a->n_##x * sizeof(*a->column))

/* All but what an outline has not. `links` false: nobody has looked at them. */
static void same_rows(const struct gw_batch *a, const struct gw_batch *b)
{
    assert_int_equal(a->n_rows, b->n_rows);
    assert_int_equal(a->n_scopes, b->n_scopes);
    assert_int_equal(a->n_resources, b->n_resources);
    assert_int_equal(a->n_segments, b->n_segments);
    if (a->n_rows == 0)
        return;
    SAME(rows, scope);
    SAME(rows, time_ns);
    SAME(rows, raw);
    SAME(rows, row_flags);
    SAME(rows, flags);
    SAME(rows, dropped_attrs);
    SAME(rows, trace_id);
    SAME(rows, span_id);
    if (a->signal == GW_LOGS) {
        SAME(rows, observed_ns);
        SAME(rows, severity);
        SAME(rows, severity_text);
        SAME(rows, event_name);
        SAME(rows, body_type);
        SAME(rows, body);
        return;
    }
    SAME(rows, parent_id);
    SAME(rows, end_ns);
    SAME(rows, name);
    SAME(rows, trace_state);
    SAME(rows, status_message);
    SAME(rows, kind);
    SAME(rows, status);
    SAME(rows, dropped_events);
    SAME(rows, dropped_links);
}

static bool same_attrs(const struct gw_batch *a, struct gw_range x, const struct gw_batch *b, struct gw_range y)
{
    return x.end - x.begin == y.end - y.begin &&
           (x.begin == x.end ||
            memcmp(&a->attrs[x.begin], &b->attrs[y.begin], (x.end - x.begin) * sizeof(*a->attrs)) == 0);
}

static void same_envelopes(const struct gw_batch *a, const struct gw_batch *b)
{
    for (uint32_t i = 0; i < a->n_resources; i++)
        assert_true(same_attrs(a, a->resources[i].attrs, b, b->resources[i].attrs));
    for (uint32_t i = 0; i < a->n_scopes; i++)
        assert_true(same_attrs(a, a->scopes[i].attrs, b, b->scopes[i].attrs));
}

static struct gw_slice columns(const struct gw_batch *b, struct gw_arena *arena)
{
    struct rebuild rb = {b, arena};

    return rb_pack(&rb, rb_all(&rb));
}

static void becomes_whole(const struct gw_batch *whole, struct gw_batch *outline)
{
    struct gw_arena arena;
    struct gw_view v;

    gw_arena_init(&arena, 1 << 14, SIZE_MAX);
    gw_view_init(&v, outline, &arena);
    assert_int_equal(gw_view_make_whole(&v, NULL), 0);
    assert_ptr_not_equal(v.batch, outline);
    assert_false(v.batch->is_outline);
    assert_true(gw_slice_eq(columns(whole, &arena), columns(v.batch, &arena)));
    gw_view_clear(&v);
    gw_arena_clear(&arena);
}

/* Gives whether it is a request. */
static bool compare(struct gw_batch *whole, struct gw_batch *outline, struct gw_slice bytes)
{
    struct gw_err a = {""}, b = {""};
    int r = decode(whole, bytes, WHOLE, &a);

    assert_int_equal(decode(outline, bytes, OUTLINE, &b), r);
    assert_string_equal(a.text, b.text);
    assert_int_equal(outline->is_outline, r == 0 && outline->signal != GW_METRICS);
    if (r < 0) {
        assert_int_equal(outline->n_rows + outline->n_attrs + outline->n_events + outline->n_links, 0);
        return false;
    }
    if (outline->signal == GW_METRICS)
        return true;
    assert_int_equal(outline->n_events + outline->n_links, 0);
    same_rows(whole, outline);
    same_envelopes(whole, outline);
    becomes_whole(whole, outline);
    if (whole->segments[0].wire.off == 0) { /* else it is not what we would write */
        assert_int_equal(decode(outline, bytes, TRUSTED, &b), 0);
        same_rows(whole, outline);
        same_envelopes(whole, outline);
        becomes_whole(whole, outline);
    }
    return true;
}

static void spoil(struct random_wire *r, struct gw_buf *bytes)
{
    for (unsigned i = 0, n = rw_below(r, 3); i <= n && bytes->n; i++)
        bytes->p[rw_below(r, (unsigned)bytes->n)] = (uint8_t)rw_next(r);
    if (rw_below(r, 8) == 0 && bytes->n)
        bytes->n -= rw_below(r, (unsigned)bytes->n);
}

/*
 * Scenario    random requests, usual and unusual ones, as they are and with some bytes changed or cut off
 * Guarantees  the outline is refused when, and for the reason for which, the whole is; else it has the same rows,
 *             resources and scopes, no events and links, and becomes the same whole; so it is of bytes that are trusted
 */
static void an_outline_is_as_strict_and_has_the_same_rows(void **state)
{
    unsigned n_good = 0, n_bad = 0;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        struct gw_batch *whole = gw_batch_new(signals[i % 3]), *outline = gw_batch_new(signals[i % 3]);
        struct gw_buf bytes;

        gw_buf_init(&bytes, 1 << 26);
        for (unsigned seed = 0; seed < 400; seed++) {
            struct random_wire r = {.state = seed * 7919 + i, .odd = i >= 3, .max_items = 4, .budget = 300};

            gw_buf_reset(&bytes);
            rw_message(&r, &bytes, rb_request(whole->signal), 0);
            assert_true(compare(whole, outline, gw_buf_slice(&bytes)));
            for (unsigned k = 0; k < 4; k++) {
                spoil(&r, &bytes);
                if (compare(whole, outline, gw_buf_slice(&bytes)))
                    n_good++;
                else
                    n_bad++;
            }
        }
        gw_buf_clear(&bytes);
        gw_batch_unref(whole);
        gw_batch_unref(outline);
    }
    assert_true(n_good > 500 && n_bad > 500); /* both were looked at */
}

/* ---- attributes, one by one --------------------------------------------------------------------------------- */

static void put_len(struct gw_buf *out, unsigned field, struct gw_slice s)
{
    gw_buf_put_u8(out, (uint8_t)(field << 3 | 2));
    for (size_t n = s.n; n >= 0x80; n >>= 7)
        gw_buf_put_u8(out, (uint8_t)(n | 0x80));
    gw_buf_put_u8(out, (uint8_t)(s.n < 0x80 ? s.n : s.n < 0x4000 ? s.n >> 7 : s.n >> 14));
    gw_buf_put_slice(out, s);
}

/* A span of one attribute between two that are in order, in a request. */
static void request_of(struct gw_slice kv, struct gw_buf *out)
{
    struct gw_buf span, scope, resource;

    gw_buf_init(&span, 1 << 16);
    gw_buf_init(&scope, 1 << 16);
    gw_buf_init(&resource, 1 << 16);
    put_len(&span, 9, GW_SLICE("\x0a\x01k\x12\x03\x0a\x01v"));
    put_len(&span, 9, kv);
    put_len(&span, 9, GW_SLICE("\x0a\x01k\x12\x02\x18\x01"));
    put_len(&scope, 2, gw_buf_slice(&span));
    put_len(&resource, 2, gw_buf_slice(&scope));
    gw_buf_reset(out);
    put_len(out, 1, gw_buf_slice(&resource));
    gw_buf_clear(&span);
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
}

/*
 * Scenario    a string, a boolean, a number of each length, a double, with keys and texts that make up 64, 127 bytes
 *             and one more; and each with the bytes at its ends, and around its key's end, changed to each of some
 * others Guarantees  as above: what is told by one look is told no other way
 */
static void attributes_of_every_shape_are_checked(void **state)
{
    static const uint8_t klens[] = {0, 1, 5, 20, 50, 54, 57, 58},
                         slens[] = {0, 1, 2, 37, 38, 39, 53, 54, 58, 59, 101, 102, 115, 116, 117, 120, 121};
    static const uint8_t others[] = {0x00, 0x01, 0x0a, 0x12, 0x10, 0x18, 0x21, 0x3f, 0x40, 0x7f, 0x80, 0xc3, 0xff};
    struct gw_batch *whole = gw_batch_new(GW_TRACES), *outline = gw_batch_new(GW_TRACES);
    struct gw_buf kv, value, bytes;
    uint8_t text[130];
    unsigned n_bad = 0;

    (void)state;
    memset(text, 'x', sizeof(text));
    gw_buf_init(&kv, 1 << 16);
    gw_buf_init(&value, 1 << 16);
    gw_buf_init(&bytes, 1 << 16);
    for (unsigned shape = 0; shape < 12 + sizeof(slens); shape++)
        for (unsigned k = 0; k < sizeof(klens); k++) {
            unsigned klen = klens[k];

            gw_buf_reset(&value);
            gw_buf_reset(&kv);
            if (shape < 10) { /* a number of so many bytes */
                gw_buf_put_u8(&value, 0x18);
                for (unsigned i = 0; i < shape; i++)
                    gw_buf_put_u8(&value, 0x81);
                gw_buf_put_u8(&value, 1);
            } else if (shape == 10) {
                gw_buf_put(&value, "\x10\x01", 2);
            } else if (shape == 11) {
                gw_buf_put(&value, "\x21\xff\x00\x80\x00\x00\x00\xf0\x3f", 9);
            } else {
                put_len(&value, 1, gw_slice_of(text, slens[shape - 12]));
            }
            put_len(&kv, 1, gw_slice_of(text, klen));
            put_len(&kv, 2, gw_buf_slice(&value));
            request_of(gw_buf_slice(&kv), &bytes);
            assert_true(compare(whole, outline, gw_buf_slice(&bytes)));
            for (size_t i = 0; i < kv.n; i++)
                for (unsigned o = 0; o < sizeof(others) && (i < 4 || i + 4 > kv.n || i - klen < 8); o++) {
                    uint8_t was = kv.p[i];

                    kv.p[i] = others[o];
                    request_of(gw_buf_slice(&kv), &bytes);
                    n_bad += !compare(whole, outline, gw_buf_slice(&bytes));
                    kv.p[i] = was;
                }
        }
    assert_true(n_bad > 10000);
    gw_buf_clear(&kv);
    gw_buf_clear(&value);
    gw_buf_clear(&bytes);
    gw_batch_unref(whole);
    gw_batch_unref(outline);
}

/*
 * Scenario    attributes whose tags stand in two bytes, though one would do
 * Guarantees  as above
 */
static void tags_of_more_bytes_than_needed_are_read(void **state)
{
    struct gw_batch *whole = gw_batch_new(GW_TRACES), *outline = gw_batch_new(GW_TRACES);

    (void)state;
    assert_true(compare(whole, outline,
                        GW_SLICE("\x0a\x1c\x12\x1a\x12\x18"
                                 "\xca\x00\x08\x0a\x01k\x12\x03\x0a\x01v"
                                 "\xca\x00\x08\x0a\x01k\x12\x03\x0a\x01w"
                                 "\x50\x02")));
    assert_int_equal(whole->n_rows, 1);
    assert_int_equal(whole->n_attrs, 2);
    gw_batch_unref(whole);
    gw_batch_unref(outline);
}

/*
 * Scenario    3 MiB of empty attributes, events or links of one span
 * Guarantees  refused as the whole is, though they would take no memory
 */
static void the_budget_of_memory_is_the_same(void **state)
{
    static const char fields[] = {0x4a, 0x5a, 0x6a};

    (void)state;
    for (unsigned f = 0; f < sizeof(fields); f++) {
        struct gw_batch *whole = gw_batch_new(GW_TRACES), *outline = gw_batch_new(GW_TRACES);
        struct gw_buf span, bytes;

        gw_buf_init(&span, 1 << 24);
        gw_buf_init(&bytes, 1 << 24);
        for (unsigned i = 0; i < 3 << 19; i++) {
            gw_buf_put_u8(&span, (uint8_t)fields[f]);
            gw_buf_put_u8(&span, 0);
        }
        for (unsigned i = 3; i > 0; i--) { /* resource, scope, span: lengths of four bytes */
            size_t n = span.n + 5 * (i - 1);

            gw_buf_put_u8(&bytes, i == 3 ? 0x0a : 0x12);
            for (unsigned k = 0; k < 4; k++)
                gw_buf_put_u8(&bytes, (uint8_t)(n >> 7 * k | (k < 3 ? 0x80 : 0)));
        }
        gw_buf_put_slice(&bytes, gw_buf_slice(&span));
        assert_false(compare(whole, outline, gw_buf_slice(&bytes)));
        assert_true(outline->column_bytes < 64 << 10);
        gw_buf_clear(&span);
        gw_buf_clear(&bytes);
        gw_batch_unref(whole);
        gw_batch_unref(outline);
    }
}

/* ---- what spans begin with ---------------------------------------------------------------------------------- */

static int decode_span(struct gw_batch *b, struct gw_slice before, struct gw_slice span, struct gw_err *err)
{
    struct gw_buf row, scope, resource, bytes;
    int r;

    gw_buf_init(&row, 1 << 16);
    gw_buf_init(&scope, 1 << 16);
    gw_buf_init(&resource, 1 << 16);
    gw_buf_init(&bytes, 1 << 16);
    gw_buf_put_slice(&row, before);
    gw_buf_put_slice(&row, span);
    put_len(&scope, 2, gw_buf_slice(&row));
    gw_buf_put_str(&scope, "\x30\x02\x39" /* what stands behind looks like what is cut off */
                           "12345678\x41"
                           "12345678\x1a\x20"
                           "01234567890123456789012345678901");
    put_len(&resource, 2, gw_buf_slice(&scope));
    put_len(&bytes, 1, gw_buf_slice(&resource));
    r = decode(b, gw_buf_slice(&bytes), WHOLE, err);
    gw_buf_clear(&row);
    gw_buf_clear(&scope);
    gw_buf_clear(&resource);
    gw_buf_clear(&bytes);
    return r;
}

/* The words, without the byte. */
static size_t words(const struct gw_err *err)
{
    const char *at = strstr(err->text, ", at byte");

    return at ? (size_t)(at - err->text) : strlen(err->text);
}

/* A field that nobody knows stands before the same span: then it is read field by field. */
static bool compare_spans(struct gw_batch *x, struct gw_batch *y, struct gw_slice span)
{
    struct gw_err a = {""}, b = {""};
    int r = decode_span(x, GW_SLICE(""), span, &a);

    assert_int_equal(decode_span(y, GW_SLICE("\xf8\x07\x00"), span, &b), r);
    assert_int_equal(words(&a), words(&b));
    assert_memory_equal(a.text, b.text, words(&a));
    if (r < 0)
        return false;
    assert_memory_equal(x->trace_id, y->trace_id, 16);
    assert_memory_equal(x->span_id, y->span_id, 8);
    assert_memory_equal(x->parent_id, y->parent_id, 8);
    assert_true(gw_slice_eq(gw_batch_slice(x, x->name[0]), gw_batch_slice(y, y->name[0])));
    assert_int_equal(x->kind[0], y->kind[0]);
    assert_int_equal(x->time_ns[0], y->time_ns[0]);
    assert_int_equal(x->end_ns[0], y->end_ns[0]);
    assert_int_equal(x->row_flags[0], y->row_flags[0]);
    assert_int_equal(x->flags[0], y->flags[0]);
    assert_int_equal(x->n_attrs, y->n_attrs);
    return true;
}

/*
 * Scenario    spans as SDKs write them, with and without a parent, with names of some lengths; each cut off at each
 *             byte, and with each byte changed to each of some others
 * Guarantees  what is read in a row is read, or refused, as field by field
 */
static void the_usual_begin_of_a_span_is_checked(void **state)
{
    static const uint8_t others[] = {0x00, 0x01, 0x07, 0x08, 0x09, 0x0a, 0x10, 0x11, 0x12, 0x22,
                                     0x2a, 0x30, 0x39, 0x41, 0x4a, 0x50, 0x7f, 0x80, 0x90, 0xff};
    struct gw_batch *x = gw_batch_new(GW_TRACES), *y = gw_batch_new(GW_TRACES);
    unsigned n_good = 0, n_bad = 0;
    struct gw_buf span;
    uint8_t text[200];

    (void)state;
    memset(text, 'x', sizeof(text));
    gw_buf_init(&span, 1 << 16);
    for (unsigned shape = 0; shape < 8; shape++) {
        static const uint8_t names[] = {0, 1, 20, 200};

        gw_buf_reset(&span);
        put_len(&span, 1, gw_slice_of(text, 16));
        put_len(&span, 2, gw_slice_of(text, 8));
        if (shape & 1)
            put_len(&span, 4, gw_slice_of(text, 8));
        put_len(&span, 5, gw_slice_of(text, names[shape / 2]));
        gw_buf_put(&span, "\x30\x02\x39\x01\x02\x03\x04\x05\x06\x07\x08\x41\x11\x12\x13\x14\x15\x16\x17\x18", 20);
        put_len(&span, 9, GW_SLICE("\x0a\x01k\x12\x03\x0a\x01v"));
        gw_buf_put(&span, "\x85\x01\x01\x02\x03\x04", 6);
        assert_true(compare_spans(x, y, gw_buf_slice(&span)));
        assert_int_equal(x->row_flags[0], 0);
        for (size_t i = 0; i < span.n; i++) {
            n_bad += !compare_spans(x, y, gw_slice_of(span.p, i));
            for (unsigned o = 0; o < sizeof(others); o++) {
                uint8_t was = span.p[i];

                span.p[i] = others[o];
                if (compare_spans(x, y, gw_buf_slice(&span)))
                    n_good++;
                else
                    n_bad++;
                span.p[i] = was;
            }
        }
    }
    assert_true(n_good > 1000 && n_bad > 1000);
    gw_buf_clear(&span);
    gw_batch_unref(x);
    gw_batch_unref(y);
}

/* ---- views -------------------------------------------------------------------------------------------------- */

static void edit_envelopes(struct gw_view *v)
{
    static const struct gw_value value = {.type = GW_V_STRING, .s = {(const uint8_t *)"text", 4}};
    const struct gw_batch *b = v->batch;
    const uint32_t counts[] = {b->n_resources, b->n_scopes};

    for (enum gw_owner o = GW_OWN_RESOURCE; o <= GW_OWN_SCOPE; o++)
        for (uint32_t i = 0; i < counts[o]; i++) {
            struct gw_range attrs = gw_view_attr_range(v, o, i);

            if (attrs.begin != attrs.end)
                gw_view_attr_set(v, o, i, gw_attr_key(b, &b->attrs[attrs.end - 1]), &value);
            if (attrs.end - attrs.begin > 1)
                (void)gw_view_attr_delete(v, o, i, gw_attr_key(b, &b->attrs[attrs.begin]));
            gw_view_attr_set(v, o, i, GW_SLICE("fresh"), &value);
        }
    if (b->n_rows > 2)
        assert_int_equal(gw_view_remove(v, b->n_rows / 2), 0);
    for (uint32_t r = gw_view_next(v, 0); r < b->n_rows; r = gw_view_next(v, r + 1))
        if (r % 3 == 0)
            gw_view_field_set(v, GW_OWN_ROW, r, 99, GW_SLICE("\x98\x06\x01"));
}

static void edit_rows(struct gw_view *v)
{
    static const struct gw_value value = {.type = GW_V_INT, .i = 7};

    gw_view_attr_set_rows(v, GW_SLICE("row"), &value, GW_UPSERT);
}

/*
 * Scenario    a view of an outline whose resources, scopes and fields are edited, and a row taken out; then made whole
 *             and its rows' attributes edited; against a view that was whole from the first
 * Guarantees  the same bytes at both points; what is whole already stays as it is
 */
static void edits_stay_when_a_view_is_made_whole(void **state)
{
    struct gw_arena arena;
    struct gw_buf bytes, x, y;

    (void)state;
    gw_buf_init(&bytes, 1 << 26);
    gw_buf_init(&x, 1 << 26);
    gw_buf_init(&y, 1 << 26);
    for (unsigned seed = 0; seed < 400; seed++) {
        struct random_wire r = {.state = seed * 104729, .odd = seed % 2, .max_items = 4, .budget = 300};
        struct gw_batch *whole = gw_batch_new(signals[seed / 2 % 2]), *outline = gw_batch_new(whole->signal);
        struct gw_err err = {""};
        struct gw_view v, w;

        gw_arena_init(&arena, 1 << 14, SIZE_MAX);
        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(whole->signal), 0);
        assert_int_equal(decode(whole, gw_buf_slice(&bytes), WHOLE, &err), 0);
        assert_int_equal(decode(outline, gw_buf_slice(&bytes), OUTLINE, &err), 0);
        gw_view_init(&v, whole, &arena);
        gw_view_init(&w, outline, &arena);
        for (unsigned step = 0; step < 2; step++) {
            if (step == 0) {
                edit_envelopes(&v);
                edit_envelopes(&w);
            } else {
                struct gw_batch *before;

                assert_int_equal(gw_view_make_whole(&w, NULL), 0);
                before = w.batch;
                assert_int_equal(gw_view_make_whole(&w, NULL), 0);
                assert_ptr_equal(w.batch, before);
                edit_rows(&v);
                edit_rows(&w);
            }
            gw_buf_reset(&x);
            gw_buf_reset(&y);
            assert_int_equal(gw_encode(&v, &x), 0);
            assert_int_equal(gw_encode(&w, &y), 0);
            assert_true(gw_slice_eq(gw_buf_slice(&x), gw_buf_slice(&y)));
        }
        gw_view_clear(&v);
        gw_view_clear(&w);
        gw_batch_unref(whole);
        gw_batch_unref(outline);
        gw_arena_clear(&arena);
    }
    gw_buf_clear(&bytes);
    gw_buf_clear(&x);
    gw_buf_clear(&y);
}

/*
 * Scenario    two requests in one outline with tickets, one of them empty; made whole while its payload is shared
 * Guarantees  each segment has its ticket, its rows and its place in the payload; nothing is copied
 */
static void requests_of_an_outline_keep_their_tickets(void **state)
{
    struct gw_slice two = GW_SLICE("\x0a\x08\x12\x06\x12\x00\x12\x02\x4a\x00");
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_ticket ticket = {.refs = 1};
    struct gw_err err = {""};
    struct gw_arena arena;
    struct gw_view v;
    struct gw_ref at;

    (void)state;
    gw_arena_init(&arena, 1 << 14, SIZE_MAX);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(gw_batch_append(b, i == 1 ? GW_SLICE("") : two, &at), 0);
        assert_int_equal(gw_decode_outline(b, gw_batch_slice(b, at), &limits, &ticket, &err), 0);
    }
    gw_view_init(&v, b, &arena);
    assert_true(gw_view_is_whole_payload(&v));
    assert_int_equal(gw_view_make_whole(&v, NULL), 0);
    assert_true(gw_view_is_whole_payload(&v));
    assert_ptr_equal(v.batch->payload, b->payload);
    assert_int_equal(ticket.refs, 7);
    assert_memory_equal(v.batch->segments, b->segments, sizeof(*b->segments));
    assert_int_equal(v.batch->segments[2].rows.begin, 2);
    gw_view_clear(&v);
    assert_int_equal(ticket.refs, 4);
    gw_batch_unref(b);
    assert_int_equal(ticket.refs, 1);
    gw_arena_clear(&arena);
}

/*
 * Scenario    a batch that had an outline, emptied
 * Guarantees  it may have whole rows again; a clone of an outline is one
 */
static void a_batch_forgets_that_it_was_an_outline(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS), *clone;
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(decode(b, GW_SLICE("\x0a\x06\x12\x04\x12\x02\x32\x00"), OUTLINE, &err), 0);
    assert_true(b->is_outline);
    clone = gw_batch_clone(b, NULL);
    assert_true(clone->is_outline);
    gw_batch_unref(clone);
    assert_int_equal(decode(b, GW_SLICE("\x0a\x06\x12\x04\x12\x02\x32\x00"), WHOLE, &err), 0);
    assert_false(b->is_outline);
    assert_int_equal(b->attr[0].end - b->attr[0].begin, 1);
    gw_batch_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outline_is_as_strict_and_has_the_same_rows),
        cmocka_unit_test(attributes_of_every_shape_are_checked),
        cmocka_unit_test(tags_of_more_bytes_than_needed_are_read),
        cmocka_unit_test(the_budget_of_memory_is_the_same),
        cmocka_unit_test(the_usual_begin_of_a_span_is_checked),
        cmocka_unit_test(edits_stay_when_a_view_is_made_whole),
        cmocka_unit_test(requests_of_an_outline_keep_their_tickets),
        cmocka_unit_test(a_batch_forgets_that_it_was_an_outline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
