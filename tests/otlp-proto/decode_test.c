/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static int decode(struct gw_batch *b, struct gw_slice bytes, struct gw_err *err)
{
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, bytes, &at), 0);
    return gw_decode(b, gw_batch_slice(b, at), &limits, NULL, err);
}

/* What protobuf-c packs from the columns, and from its own reading. */
static bool same_as_protobuf_c(const struct gw_batch *b, struct gw_slice bytes)
{
    struct gw_arena arena;
    struct rebuild rb = {b, &arena};
    ProtobufCAllocator a = {rb_arena_alloc, rb_arena_free, &arena};
    ProtobufCMessage *theirs;
    struct gw_slice x, y;
    bool same;

    gw_arena_init(&arena, 1 << 16, SIZE_MAX);
    theirs = protobuf_c_message_unpack(rb_request(b->signal), &a, bytes.n, bytes.p);
    assert_non_null(theirs);
    rb_normalize(&rb, theirs);
    x = rb_pack(&rb, rb_all(&rb));
    {
        /* nested values inside of ours hold fields that theirs lost to normalizing: read them the same way */
        ProtobufCMessage *ours = protobuf_c_message_unpack(rb_request(b->signal), &a, x.n, x.p);

        assert_non_null(ours);
        rb_normalize(&rb, ours);
        x = rb_pack(&rb, ours);
    }
    y = rb_pack(&rb, theirs);
    same = gw_slice_eq(x, y);
    if (!same) {
        size_t i = 0;

        while (i < x.n && i < y.n && x.p[i] == y.p[i])
            i++;
        print_message("ours %zu bytes, theirs %zu, first difference at %zu\n", x.n, y.n, i);
    }
    gw_arena_clear(&arena);
    return same;
}

static void compare_random(enum gw_signal signal, bool odd, unsigned n)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_buf bytes;

    gw_buf_init(&bytes, 1 << 26);
    for (unsigned seed = 0; seed < n; seed++) {
        struct random_wire r = {.state = seed * 7919 + signal, .odd = odd, .max_items = 4, .budget = 300};
        struct gw_err err = {""};

        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(signal), 0);
        gw_batch_reset(b, signal);
        if (decode(b, gw_buf_slice(&bytes), &err) != 0)
            fail_msg("%s seed %u: %s", gw_signal_name(signal), seed, err.text);
        if (!same_as_protobuf_c(b, gw_buf_slice(&bytes)))
            fail_msg("%s seed %u: columns differ", gw_signal_name(signal), seed);
    }
    gw_buf_clear(&bytes);
    gw_batch_unref(b);
}

/*
 * Scenario: random requests of all signals, every field of every message set in some, against protobuf-c.
 * Guarantees: each column and table holds what the message says.
 */
static void test_columns_equal_protobuf_c_on_every_field(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        compare_random(signals[i], false, 300);
}

/*
 * Scenario: the same with fields in any order, twice, split, unpacked, overruled, padded, and with unknown ones.
 * Guarantees: legal but unusual encodings decode to what protobuf makes of them.
 */
static void test_unusual_encodings_decode_to_the_same(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        compare_random(signals[i], true, 300);
}

/* ---- by hand ------------------------------------------------------------------------------------------------- */

/* Bytes of "0a 03 66 6f 6f", decoded; the error's text to *err. */
static int decode_hex(struct gw_batch *b, const char *hex, struct gw_err *err)
{
    uint8_t *p;
    size_t n;
    int r;

    gw_hex(hex, &p, &n);
    r = decode(b, gw_slice_of(p, n), err);
    free(p);
    return r;
}

/*
 * Scenario: requests that are malformed in one way each.
 * Guarantees: -EBADMSG, and a sentence that names the message, what is wrong, and the byte.
 */
static void test_errors_say_what_and_at_which_byte(void **state)
{
    static const struct {
        const char *hex, *text;
    } cases[] = {
        {"0a", "request: length reaches over the end, at byte 1"},
        {"0a 05 0a 00", "request: length reaches over the end, at byte 1"},
        {"0b 00", "request: field 1 has wire type 3, at byte 0"},
        {"08 01", "request: field 1 has wire type 0, at byte 0"},
        {"00", "request: field number 0, at byte 0"},
        {"0c", "request: field 1 has wire type 4, at byte 0"},
        {"14", "request: end of a group that did not begin, at byte 0"},
        {"16", "request: wire type 6 or 7, at byte 0"},
        {"13 1c", "request: end of another group, at byte 0"},
        {"13", "request: tag cut off or longer than five bytes, at byte 0"},
        {"8a 80 80 80 80 00 00", "request: tag longer than five bytes, at byte 0"},
        {"8a 80 80 80 10", "request: tag over 32 bits, at byte 0"},
        {"0a 80 80 80 80 80 00", "request: length longer than five bytes, at byte 1"},
        {"0a ff ff ff ff 0f", "request: length over 31 bits, at byte 1"},
        {"10 80 80 80 80 80 80 80 80 80 80 00", "request: varint cut off or longer than ten bytes, at byte 0"},
        {"0a 08 12 06 12 01 85 01 00 00", "Span: tag reaches over the end, at byte 6"},
        {"11 00", "request: eight-byte value cut off, at byte 0"},
        {"15 00", "request: four-byte value cut off, at byte 0"},
        {"9a 06", "request: length cut off or longer than five bytes, at byte 0"},
        {"9a 06 05 00", "request: length reaches over the end, at byte 0"},
        {"0a 02 1a 05", "resource's envelope: length reaches over the end, at byte 3"},
        {"0a 03 1a 01 ff", "resource's envelope: string is not UTF-8, at byte 4"},
        {"0a 05 12 03 12 01 39", "Span: value reaches over the end, at byte 7"},
        {"0a 06 12 04 12 02 38 01", "Span: field 7 has wire type 0, at byte 6"},
        {"0a 08 12 06 12 04 2a 02 c0 80", "Span: string is not UTF-8, at byte 8"},
        {"0a 08 12 06 12 04 2a 7f 61 61", "Span: length reaches over the end, at byte 7"},
        {"0a 08 12 06 12 04 4a 02 0a 05", "KeyValue: length reaches over the end, at byte 9"},
        {"0a 0a 12 08 12 06 4a 04 12 02 0a 01", "AnyValue: length reaches over the end, at byte 11"},
        {"0a 0c 12 0a 12 08 4a 06 12 04 2a 02 0a 07", "ArrayValue: length reaches over the end, at byte 13"},
        {"0a 0c 12 0a 12 08 4a 06 12 04 32 02 0a 07", "KeyValueList: length reaches over the end, at byte 13"},
        {"0a 06 0a 04 1a 02 0a 05", "EntityRef: length reaches over the end, at byte 7"},
        {"0a 06 12 04 0a 02 0a 05", "InstrumentationScope: length reaches over the end, at byte 7"},
        {"0a 08 12 06 12 04 5a 02 12 05", "Span.Event: length reaches over the end, at byte 9"},
        {"0a 08 12 06 12 04 6a 02 0a 05", "Span.Link: length reaches over the end, at byte 9"},
        {"0a 08 12 06 12 04 7a 02 12 05", "Status: length reaches over the end, at byte 9"},
    };
    struct gw_batch *b = gw_batch_new(GW_TRACES);

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_err err = {""};

        gw_batch_reset(b, GW_TRACES);
        assert_int_equal(decode_hex(b, cases[i].hex, &err), -EBADMSG);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(decode_hex(b, cases[i].hex, NULL), -EBADMSG);
    }
    gw_batch_unref(b);
}

/*
 * Scenario: the same for data points: a packed run of a broken length, a varint cut off in one.
 * Guarantees: refused, named.
 */
static void test_broken_packed_runs_are_refused(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err;

    (void)state;
    assert_int_equal(decode_hex(b, "0a 0d 12 0b 12 09 4a 07 0a 05 32 03 01 02 03", &err), -EBADMSG);
    assert_string_equal(err.text, "HistogramDataPoint: packed run is no multiple of eight bytes, at byte 10");
    assert_int_equal(decode_hex(b, "0a 0e 12 0c 12 0a 52 08 0a 06 42 04 12 02 01 80", &err), -EBADMSG);
    assert_string_equal(err.text, "Buckets: packed run ends inside a number, at byte 12");
    gw_batch_unref(b);
}

/*
 * Scenario: a good request, a bad one that fails in its last byte, a good one, in one batch.
 * Guarantees: the good ones keep their rows, nothing of the bad one stays; tickets are referenced by the good ones.
 */
static void test_a_bad_request_leaves_no_trace_between_good_ones(void **state)
{
    static const char good[] = "0a 0d 12 0b 12 09 2a 01 6e 4a 04 0a 02 61 62";
    static const char bad[] = "0a 11 12 0f 12 09 2a 01 6e 4a 04 0a 02 61 62 12 02 2a 05";
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_ticket ticket = {.refs = 1};
    struct gw_batch_mark mark, after;
    struct gw_err err = {""};
    struct gw_ref at;
    uint8_t *p;
    size_t n;

    (void)state;
    gw_hex(good, &p, &n);
    assert_int_equal(gw_batch_append(b, gw_slice_of(p, n), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, &ticket, &err), 0);
    assert_int_equal(ticket.refs, 2);
    assert_ptr_equal(b->segments[0].ticket, &ticket);
    mark = gw_batch_mark(b);
    assert_int_equal(decode_hex(b, bad, &err), -EBADMSG);
    after = gw_batch_mark(b);
    after.payload = mark.payload; /* the bytes are the caller's */
    assert_memory_equal(&mark, &after, sizeof(mark));
    assert_int_equal(gw_batch_append(b, gw_slice_of(p, n), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err), 0);
    assert_int_equal(b->n_rows, 2);
    assert_int_equal(b->n_segments, 2);
    assert_int_equal(b->segments[1].rows.begin, 1);
    assert_true(gw_slice_is(gw_batch_slice(b, b->name[1]), "n"));
    b->segments[0].ticket = NULL;
    free(p);
    gw_batch_unref(b);
}

/*
 * Scenario: an empty request; a resource without scopes; a scope without rows; a metric without points.
 * Guarantees: accepted, no rows, one segment each.
 */
static void test_empty_things_make_no_rows(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(gw_decode(b, gw_slice_of(NULL, 0), &limits, NULL, &err), 0);
    assert_int_equal(decode_hex(b, "0a 00", &err), 0);
    assert_int_equal(decode_hex(b, "0a 02 12 00", &err), 0);
    assert_int_equal(decode_hex(b, "0a 06 12 04 12 02 2a 00", &err), 0);
    assert_int_equal(b->n_segments, 4);
    assert_int_equal(b->n_rows, 0);
    assert_int_equal(b->n_metrics, 1);
    assert_int_equal(b->metrics[0].type, GW_M_GAUGE);
    gw_batch_unref(b);
}

/*
 * Scenario: groups that nobody knows, nested; numbers and lengths in more bytes than needed; field 2^29-1.
 * Guarantees: skipped as protobuf skips them; the known fields between them are read.
 */
static void test_unknown_fields_and_groups_are_skipped(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(decode_hex(b,
                                "a3 06 08 01 ab 06 12 01 00 ac 06 a4 06 8a 00 92 00 fa ff ff ff 0f 01 00 12 87 80 00"
                                "12 05 2a 82 00 68 69",
                                &err),
                     0);
    assert_int_equal(b->n_rows, 1);
    assert_true(gw_slice_is(gw_batch_slice(b, b->name[0]), "hi"));
    gw_batch_unref(b);
}

/*
 * Scenario: ids of wrong lengths, in a span, its link, and given twice.
 * Guarantees: zeros in the columns, a flag that says which; the last one counts.
 */
static void test_ids_of_wrong_length_are_flagged(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(decode_hex(b, "0a 15 12 13 12 11 0a 01 01 12 02 01 02 22 03 01 02 03 6a 03 0a 01 07", &err), 0);
    assert_int_equal(b->row_flags[0],
                     GW_ROW_BAD_TRACE_ID | GW_ROW_BAD_SPAN_ID | GW_ROW_BAD_PARENT_ID | GW_ROW_BAD_CHILD_ID);
    assert_int_equal(b->trace_id[0][0], 0);
    assert_int_equal(decode_hex(b, "0a 12 12 10 12 0e 12 01 01 12 08 01 02 03 04 05 06 07 08 0a", &err), -EBADMSG);
    assert_int_equal(decode_hex(b, "0a 11 12 0f 12 0d 12 01 01 12 08 01 02 03 04 05 06 07 08", &err), 0);
    assert_int_equal(b->row_flags[1], GW_ROW_NO_TRACE_ID);
    assert_int_equal(b->span_id[1][7], 8);
    gw_batch_unref(b);
}

/*
 * Scenario: an enum value over 255 and a negative one.
 * Guarantees: 255 in the byte column: no value of the schema.
 */
static void test_enum_values_that_do_not_fit_are_255(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(decode_hex(b, "0a 07 12 05 12 03 10 ac 02", &err), 0);
    assert_int_equal(decode_hex(b, "0a 0f 12 0d 12 0b 10 ff ff ff ff ff ff ff ff ff 01", &err), 0);
    assert_int_equal(b->severity[0], 255);
    assert_int_equal(b->severity[1], 255);
    gw_batch_unref(b);
}

/* ---- limits -------------------------------------------------------------------------------------------------- */

static void put_len(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

/* s in one more message; the buffers take turns. */
static struct gw_slice wrap(struct gw_buf *bufs, unsigned i, unsigned number, struct gw_slice s)
{
    gw_buf_reset(&bufs[i % 2]);
    put_len(&bufs[i % 2], number, s);
    return gw_buf_slice(&bufs[i % 2]);
}

/* A log record whose body is nested `depth` AnyValues deep, in arrays or lists; `odd`: the body is given twice. */
static int decode_nested(unsigned depth, bool lists, bool odd, const struct gw_limits *l, struct gw_err *err)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_slice s = GW_SLICE("\x18\x01");
    struct gw_buf bufs[2], record;
    struct gw_ref at;
    unsigned k = 0;
    int r;

    gw_buf_init(&bufs[0], 1 << 24);
    gw_buf_init(&bufs[1], 1 << 24);
    gw_buf_init(&record, 1 << 24);
    for (unsigned i = 1; i < depth; i++) {
        if (lists)
            s = wrap(bufs, k++, 2, s); /* value of a KeyValue */
        s = wrap(bufs, k++, 1, s);
        s = wrap(bufs, k++, lists ? 6 : 5, s);
    }
    put_len(&record, 5, s);
    if (odd)
        put_len(&record, 5, GW_SLICE("\x2a\x00"));
    s = gw_buf_slice(&record);
    for (unsigned number = 2; number > 0; number--) {
        s = wrap(bufs, k++, 2, s);
        if (number == 1)
            s = wrap(bufs, k++, 1, s);
    }
    assert_int_equal(gw_batch_append(b, s, &at), 0);
    r = gw_decode(b, gw_batch_slice(b, at), l, NULL, err);
    assert_int_equal(b->n_rows, r == 0);
    gw_batch_unref(b);
    gw_buf_clear(&bufs[0]);
    gw_buf_clear(&bufs[1]);
    gw_buf_clear(&record);
    return r;
}

/*
 * Scenario: bodies nested as deep as allowed, one deeper, and 5,000 deep; as arrays, as lists, and in pieces that must
 * be merged.
 * Guarantees: the limit is exact on both paths, and no depth of input costs machine stack.
 */
static void test_nesting_is_limited_exactly(void **state)
{
    static const struct gw_limits wide = {.depth = 100000, .rows = 100, .decode_bytes_per_byte = 4};
    struct gw_err err = {""};

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool lists = k & 1, odd = k & 2;

        assert_int_equal(decode_nested(64, lists, odd, &limits, &err), 0);
        assert_int_equal(decode_nested(65, lists, odd, &limits, &err), -E2BIG);
        assert_non_null(strstr(err.text, "nested too deeply"));
        assert_int_equal(decode_nested(5000, lists, odd, &limits, &err), -E2BIG);
        assert_int_equal(decode_nested(GW_DEPTH_MAX, lists, odd, &wide, &err), 0);
        assert_int_equal(decode_nested(GW_DEPTH_MAX + 1, lists, odd, &wide, &err), -E2BIG);
    }
}

/*
 * Scenario: a request of as many rows as allowed, and of one more.
 * Guarantees: the first passes, the second is refused with -E2BIG and rolled back.
 */
static void test_rows_of_a_request_are_limited(void **state)
{
    static const struct gw_limits three = {.depth = 64, .rows = 3, .decode_bytes_per_byte = 4};
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_slice four = GW_SLICE("\x0a\x0a\x12\x08\x12\x00\x12\x00\x12\x00\x12\x00");
    struct gw_slice ok = GW_SLICE("\x0a\x08\x12\x06\x12\x00\x12\x00\x12\x00");
    struct gw_err err = {""};
    struct gw_ref at;

    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* per request, not per batch */
        assert_int_equal(gw_batch_append(b, ok, &at), 0);
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &three, NULL, &err), 0);
    }
    assert_int_equal(gw_batch_append(b, four, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &three, NULL, &err), -E2BIG);
    assert_non_null(strstr(err.text, "more rows"));
    assert_int_equal(b->n_rows, 6);
    gw_batch_unref(b);
}

/*
 * Scenario: 6 MiB of empty attributes, two bytes each, that would take 64 MiB of columns; the same odd, so that it is
 * merged first; and the same bytes with a higher limit.
 * Guarantees: refused by the budget of memory, before columns of twice the budget are made; the limit decides.
 */
static void test_memory_of_columns_is_limited_by_the_size_of_the_request(void **state)
{
    static const struct gw_limits roomy = {.depth = 64, .rows = 100, .decode_bytes_per_byte = 40};
    struct gw_err err = {""};
    struct gw_buf bufs[2], resource;

    (void)state;
    gw_buf_init(&bufs[0], 1 << 24);
    gw_buf_init(&bufs[1], 1 << 24);
    gw_buf_init(&resource, 1 << 24);
    for (unsigned i = 0; i < 3 << 20; i++)
        gw_buf_put(&resource, "\x0a\x00", 2);
    for (unsigned odd = 0; odd < 2; odd++) {
        struct gw_batch *b = gw_batch_new(GW_TRACES);
        struct gw_slice s = wrap(bufs, 0, 1, gw_buf_slice(&resource));
        struct gw_ref at;

        if (odd)
            put_len(&bufs[0], 1, GW_SLICE(""));
        s = wrap(bufs, 1, 1, gw_buf_slice(&bufs[0]));
        assert_int_equal(gw_batch_append(b, s, &at), 0);
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err), -E2BIG);
        assert_non_null(strstr(err.text, "more memory"));
        assert_true(b->column_bytes < 2 * (4 * s.n + (1 << 20)));
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &roomy, NULL, &err), 0);
        assert_int_equal(b->n_attrs, 3 << 20);
        gw_batch_unref(b);
    }
    gw_buf_clear(&bufs[0]);
    gw_buf_clear(&bufs[1]);
    gw_buf_clear(&resource);
}

/*
 * Scenario: attribute keys of 65,535 and of 65,536 bytes.
 * Guarantees: the first is read, the second refused by name.
 */
static void test_keys_are_limited_to_65535_bytes(void **state)
{
    struct gw_err err = {""};

    (void)state;
    for (unsigned n = 65535; n <= 65536; n++) {
        struct gw_batch *b = gw_batch_new(GW_TRACES);
        struct gw_buf bufs[2];
        struct gw_slice s;
        char *key = malloc(n);
        int r;

        assert_non_null(key);
        memset(key, 'k', n);
        gw_buf_init(&bufs[0], 1 << 20);
        gw_buf_init(&bufs[1], 1 << 20);
        s = wrap(bufs, 0, 1, gw_slice_of(key, n));
        s = wrap(bufs, 1, 1, s); /* KeyValue of a Resource */
        s = wrap(bufs, 0, 1, s);
        s = wrap(bufs, 1, 1, s);
        r = decode(b, s, &err);
        assert_int_equal(r, n == 65535 ? 0 : -E2BIG);
        if (r == 0)
            assert_int_equal(b->attrs[0].klen, 65535);
        else
            assert_non_null(strstr(err.text, "key longer than 65535 bytes"));
        gw_buf_clear(&bufs[0]);
        gw_buf_clear(&bufs[1]);
        free(key);
        gw_batch_unref(b);
    }
}

/*
 * Scenario: a Resource in two pieces, a value before its key, a key behind 300 bytes of an unknown field.
 * Guarantees: one merged message, readable by the columns; the segment's bytes are the rewritten ones.
 */
static void test_pieces_are_merged_and_keys_are_found(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_buf kv, bufs[2];
    char filler[300] = "";
    struct gw_slice s;

    (void)state;
    assert_int_equal(decode_hex(b, "0a 10 0a 04 0a 02 0a 00 0a 08 0a 06 12 02 10 01 0a 00", &err), 0);
    assert_int_equal(b->resources[0].attrs.end - b->resources[0].attrs.begin, 2);
    assert_int_equal(b->attrs[1].type, GW_V_BOOL);
    assert_true(b->segments[0].wire.off > 0);
    gw_buf_init(&kv, 4096);
    gw_buf_init(&bufs[0], 4096);
    gw_buf_init(&bufs[1], 4096);
    put_len(&kv, 99, gw_slice_of(filler, sizeof(filler)));
    put_len(&kv, 1, GW_SLICE("key"));
    s = wrap(bufs, 0, 1, gw_buf_slice(&kv));
    s = wrap(bufs, 1, 1, s);
    s = wrap(bufs, 0, 1, s);
    assert_int_equal(decode(b, s, &err), 0);
    assert_true(gw_slice_is(gw_attr_key(b, &b->attrs[2]), "key"));
    gw_buf_clear(&kv);
    gw_buf_clear(&bufs[0]);
    gw_buf_clear(&bufs[1]);
    gw_batch_unref(b);
}

/*
 * Scenario: a histogram point of 127 bytes with one bucket count that is not packed: packed it takes 128.
 * Guarantees: the rewritten length takes a byte more; counts and attribute are read.
 */
static void test_a_lone_unpacked_number_grows_its_message(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_buf point, bufs[2];
    struct gw_err err = {""};
    uint8_t kv[116] = {0x0a, 114};
    struct gw_slice s;

    (void)state;
    gw_buf_init(&point, 4096);
    gw_buf_init(&bufs[0], 4096);
    gw_buf_init(&bufs[1], 4096);
    memset(kv + 2, 'k', 114);
    put_len(&point, 9, gw_slice_of(kv, sizeof(kv)));
    gw_buf_put(&point, "\x31\x07\0\0\0\0\0\0\0", 9);
    assert_int_equal(point.n, 127);
    s = wrap(bufs, 0, 1, gw_buf_slice(&point));
    s = wrap(bufs, 1, 9, s); /* Histogram */
    s = wrap(bufs, 0, 2, s);
    s = wrap(bufs, 1, 2, s);
    s = wrap(bufs, 0, 1, s);
    assert_int_equal(decode(b, s, &err), 0);
    assert_int_equal(b->n_rows, 1);
    assert_int_equal(b->raw[0].len, 128);
    assert_int_equal(b->hists[0].counts.len, 8);
    assert_int_equal(b->base[b->hists[0].counts.off], 7);
    assert_int_equal(b->attrs[0].klen, 114);
    gw_buf_clear(&point);
    gw_buf_clear(&bufs[0]);
    gw_buf_clear(&bufs[1]);
    gw_batch_unref(b);
}

/* ---- the other oracle, tests/otlp-proto/oracle.py, drives this program ---------------------------------------- */

static void write_file(const char *path, struct gw_slice s)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(s.p, 1, s.n, f) != s.n || fclose(f) != 0)
        abort();
}

static struct gw_slice read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(1 << 24);
    size_t n;

    if (!f || !p)
        abort();
    n = fread(p, 1, 1 << 24, f);
    (void)fclose(f);
    return gw_slice_of(p, n);
}

/* --random DIR N: unusual requests to DIR/<signal>-r<seed>.in */
static int write_random(const char *dir, unsigned n)
{
    struct gw_buf bytes;
    char path[512];

    gw_buf_init(&bytes, 1 << 26);
    for (unsigned i = 0; i < 3 * n; i++) {
        enum gw_signal signal = signals[i % 3];
        struct random_wire r = {
            .state = i, .odd = i / 3 % 4 != 0, .merge_messages = true, .max_items = 1 + i % 4, .budget = 300};

        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(signal), 0);
        (void)snprintf(path, sizeof(path), "%s/%s-r%u.in", dir, gw_signal_name(signal), i);
        write_file(path, gw_buf_slice(&bytes));
    }
    gw_buf_clear(&bytes);
    return 0;
}

/* --rebuild SIGNAL FILE.in...: the columns as protobuf, to FILE.in.out, or the error to FILE.in.err */
static int rebuild_files(const char *name, char **paths)
{
    enum gw_signal signal = strcmp(name, "traces") == 0 ? GW_TRACES : strcmp(name, "logs") == 0 ? GW_LOGS : GW_METRICS;
    struct gw_batch *b = gw_batch_new(signal);
    char path[512];

    for (; *paths; paths++) {
        struct gw_slice in = read_file(*paths);
        struct gw_err err = {""};
        struct gw_arena arena;
        struct rebuild rb = {b, &arena};

        gw_batch_reset(b, signal);
        gw_arena_init(&arena, 1 << 16, SIZE_MAX);
        if (decode(b, in, &err) == 0) {
            (void)snprintf(path, sizeof(path), "%s.out", *paths);
            write_file(path, rb_pack(&rb, rb_all(&rb)));
        } else {
            (void)snprintf(path, sizeof(path), "%s.err", *paths);
            write_file(path, gw_slice_cstr(err.text));
        }
        gw_arena_clear(&arena);
        free((void *)(uintptr_t)in.p);
    }
    gw_batch_unref(b);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_equal_protobuf_c_on_every_field),
        cmocka_unit_test(test_unusual_encodings_decode_to_the_same),
        cmocka_unit_test(test_errors_say_what_and_at_which_byte),
        cmocka_unit_test(test_broken_packed_runs_are_refused),
        cmocka_unit_test(test_a_bad_request_leaves_no_trace_between_good_ones),
        cmocka_unit_test(test_empty_things_make_no_rows),
        cmocka_unit_test(test_unknown_fields_and_groups_are_skipped),
        cmocka_unit_test(test_ids_of_wrong_length_are_flagged),
        cmocka_unit_test(test_enum_values_that_do_not_fit_are_255),
        cmocka_unit_test(test_nesting_is_limited_exactly),
        cmocka_unit_test(test_rows_of_a_request_are_limited),
        cmocka_unit_test(test_memory_of_columns_is_limited_by_the_size_of_the_request),
        cmocka_unit_test(test_keys_are_limited_to_65535_bytes),
        cmocka_unit_test(test_pieces_are_merged_and_keys_are_found),
        cmocka_unit_test(test_a_lone_unpacked_number_grows_its_message),
    };

    if (argc == 4 && strcmp(argv[1], "--random") == 0)
        return write_random(argv[2], (unsigned)atoi(argv[3]));
    if (argc > 3 && strcmp(argv[1], "--rebuild") == 0)
        return rebuild_files(argv[2], argv + 3);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
