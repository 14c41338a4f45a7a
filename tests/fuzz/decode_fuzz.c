/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder on any bytes; the first byte picks the signal, and what is short the second time. It never crashes; what
 * it refuses is rolled back whole; what protobuf-c accepts it accepts, with the same rows, but for what we refuse on
 * purpose; an outline is refused as the whole is, and becomes the same; what it decodes it encodes, and decodes to the
 * same again; when an allocation fails or a buffer is too small, that is the answer, and nothing is left behind.
 */
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/canon.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/outline.h"
#include "otlp-proto/utf8.h"
#include "otlp-proto/wire.h"
#include "tests/harness_malloc.h"
#include "tests/otlp-proto/rebuild.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "decode_fuzz: %s\n", what);
    abort();
}

static const struct gw_limits limits = {.depth = 12, .rows = 1000, .decode_bytes_per_byte = 4};

/* A fresh batch, so that the payload is as long as the input: a read behind its padding is seen. */
static struct gw_payload *payload_of(struct gw_slice bytes, int behind)
{
    struct gw_payload *pl = calloc(1, sizeof(*pl));

    /* Not from gw_payload_new, which rounds up to 4 KiB. */
    pl->refs = 1;
    pl->cap = pl->n = (uint32_t)bytes.n;
    pl->p = malloc(bytes.n + GW_PAYLOAD_PAD);
    memcpy(pl->p, bytes.p, bytes.n);
    memset(pl->p + bytes.n, behind, GW_PAYLOAD_PAD);
    return pl;
}

static struct gw_batch *decode_before(enum gw_signal signal, struct gw_slice bytes, int behind, int *ret,
                                      struct gw_err *err)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_payload *pl = payload_of(bytes, behind);

    gw_batch_set_payload(b, pl);
    *ret = gw_decode(b, gw_slice_of(pl->p, bytes.n), &limits, NULL, err);
    return b;
}

static struct gw_batch *decode(enum gw_signal signal, struct gw_slice bytes, int *ret, struct gw_err *err)
{
    return decode_before(signal, bytes, 0x80, ret, err); /* varints run on, strings are not ASCII */
}

/* protobuf-c has no depth limit and recurses: only what is flat enough is shown to it. */
static bool too_deep_for_protobuf_c(struct gw_slice s, unsigned depth)
{
    struct gw_wire_walk w = gw_wire_walk(s);
    struct gw_wire_field f;

    if (depth > 64)
        return true;
    while (gw_wire_next(&w, &f) > 0)
        if (f.wire == GW_LEN && too_deep_for_protobuf_c(f.val, depth + 1))
            return true;
    return false;
}

/* What we refuse and protobuf-c does not look at. */
static bool stricter(const char *why)
{
    /* Of the wire type, protobuf-c does not look at that of a bool. */
    static const char *const reasons[] = {"UTF-8",     "deeply",      "field number 0", "tag",
                                          "more rows", "more memory", "key longer",     "grows",
                                          "group",     "packed run",  "wire type"};

    for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strstr(why, reasons[i]))
            return true;
    return false;
}

static uint32_t rows_of_scope(enum gw_signal signal, const PB(Trace__V1__ScopeSpans) * s)
{
    uint32_t rows = 0;

    if (signal != GW_METRICS)
        return (uint32_t)s->n_spans;
    for (size_t i = 0; i < s->n_spans; i++) {
        const PB(Metrics__V1__Metric) *m = (const void *)s->spans[i];

        /* All five kinds of data begin with their points. */
        if (m->data_case && m->gauge)
            rows += (uint32_t)m->gauge->n_data_points;
    }
    return rows;
}

static void compare(const struct gw_batch *b, struct gw_slice bytes, int r, const struct gw_err *err)
{
    const PB(Collector__Trace__V1__ExportTraceServiceRequest) * q;
    uint32_t rows = 0;

    if (too_deep_for_protobuf_c(bytes, 0))
        return;
    q = (const void *)protobuf_c_message_unpack(rb_request(b->signal), NULL, bytes.n, bytes.p);
    if (!q)
        return;
    if (r < 0) {
        if (!stricter(err->text))
            fprintf(stderr, "%s\n", err->text);
        check(stricter(err->text), "protobuf-c accepts what we refuse");
    } else if (b->segments[0].wire.off == 0) { /* usual: protobuf-c loses parts when it merges */
        for (size_t i = 0; i < q->n_resource_spans; i++)
            for (size_t k = 0; k < q->resource_spans[i]->n_scope_spans; k++)
                rows += rows_of_scope(b->signal, q->resource_spans[i]->scope_spans[k]);
        check(rows == b->n_rows, "rows differ from protobuf-c's");
    }
    protobuf_c_message_free_unpacked((ProtobufCMessage *)(uintptr_t)q, NULL);
}

/* Columns as bytes, for comparing two batches. */
static struct gw_slice columns(const struct gw_batch *b, struct gw_arena *arena)
{
    struct rebuild rb = {b, arena};

    return rb_pack(&rb, rb_all(&rb));
}

/* The payload's pad may be read, and ASan lets it be, but nothing may come of it: what stands there makes no
 * difference. */
static void compare_pads(const struct gw_batch *b, struct gw_slice bytes, int r)
{
    struct gw_err err; /* a varint that is cut off may run over the end or be too long: only the words differ */
    struct gw_arena arena;
    struct gw_batch *c;
    int again;

    c = decode_before(b->signal, bytes, 0x00, &again, &err);
    check(r == again, "the pad decides");
    if (r == 0) {
        gw_arena_init(&arena, 1 << 14, SIZE_MAX);
        check(gw_slice_eq(columns(b, &arena), columns(c, &arena)), "the pad gets into columns");
        gw_arena_clear(&arena);
    }
    gw_batch_unref(c);
}

static void compare_whole(const struct gw_batch *b, struct gw_batch *outline)
{
    struct gw_arena arena;
    struct gw_view v;

    gw_arena_init(&arena, 1 << 14, SIZE_MAX);
    gw_view_init(&v, outline, &arena);
    check(gw_view_make_whole(&v, NULL) == 0, "cannot decode what was an outline");
    check(gw_slice_eq(columns(b, &arena), columns(v.batch, &arena)), "an outline has become another whole");
    gw_view_clear(&v);
    gw_arena_clear(&arena);
}

/* Nobody asks for attributes: refused for the same reason, or the same when somebody asks after all. */
static void compare_outline(const struct gw_batch *b, struct gw_slice bytes, int r, const struct gw_err *err)
{
    struct gw_batch *o = gw_batch_new(b->signal);
    struct gw_payload *pl = payload_of(bytes, 0x80);
    struct gw_err why = {""};

    gw_batch_set_payload(o, pl);
    check(gw_decode_outline(o, gw_slice_of(pl->p, bytes.n), &limits, NULL, &why) == r, "an outline is less strict");
    check(strcmp(why.text, err->text) == 0, "an outline is refused for another reason");
    compare_whole(b, o);
    if (r == 0 && b->segments[0].wire.off == 0) { /* not rewritten, as what is trusted never is */
        gw_batch_reset(o, b->signal);
        gw_batch_set_payload(o, payload_of(bytes, 0x80));
        check(gw_decode_trusted(o, gw_slice_of(o->base, bytes.n), &why) == 0, "what was decoded is not trusted");
        check(o->n_rows == b->n_rows, "other rows when trusted");
        compare_whole(b, o);
    }
    gw_batch_unref(o);
}

/* One of everything that can be done, to whatever there is. */
static void edit(struct gw_view *v)
{
    static const struct gw_value values[] = {
        {.type = GW_V_STRING, .s = {(const uint8_t *)"text", 4}},
        {.type = GW_V_BOOL, .b = true},
        {.type = GW_V_INT, .i = -1},
        {.type = GW_V_DOUBLE, .f = 0.5},
        {.type = GW_V_BYTES, .s = {(const uint8_t *)"\xff", 1}},
        {.type = GW_V_ARRAY, .s = {(const uint8_t *)"\x0a\x00", 2}},
        {.type = GW_V_KVLIST, .s = {(const uint8_t *)"\x0a\x00", 2}},
        {.type = GW_V_EMPTY},
    };
    const struct gw_batch *b = v->batch;
    const uint32_t counts[GW_OWN_DATA] = {b->n_resources, b->n_scopes, b->n_rows, b->n_metrics};

    for (enum gw_owner o = GW_OWN_RESOURCE; o < GW_OWN_DATA; o++)
        for (uint32_t i = 0; i < counts[o]; i++) {
            struct gw_range attrs = gw_view_attr_range(v, o, i);

            if (attrs.begin != attrs.end && i % 2)
                (void)gw_view_attr_delete(v, o, i, gw_attr_key(b, &b->attrs[attrs.begin]));
            if (attrs.begin != attrs.end && i % 3 == 0)
                gw_view_attr_set(v, o, i, gw_attr_key(b, &b->attrs[attrs.end - 1]), &values[i % 8]);
            if (i % 3 < 2)
                gw_view_attr_set(v, o, i, GW_SLICE("fresh"), &values[(i + 3) % 8]);
            if (i % 5 == 1)
                gw_view_field_set(v, o, i, 99, GW_SLICE("\x98\x06\x01"));
            if (i % 7 == 4) /* last first: the encoder sorts */
                for (uint32_t a = attrs.end; a > attrs.begin; a--)
                    gw_view_attr_set(v, o, i, gw_attr_key(b, &b->attrs[a - 1]), &values[a % 8]);
        }
    if (b->n_rows % 2)
        gw_view_attr_set_rows(v, GW_SLICE("fresh and of more bytes than are copied in one step of the encoder"),
                              &values[b->n_attrs % 8], b->n_rows % 4 == 1 ? GW_INSERT : GW_UPSERT);
    if (b->n_rows % 3 == 0)
        gw_view_attr_delete_rows(v, GW_SLICE("fresh"));
}

static void round_trip(const struct gw_batch *b, bool drop_one)
{
    struct gw_arena arena;
    struct gw_buf out;
    struct gw_batch *again;
    struct gw_view v;
    struct gw_err err;
    uint32_t counted = 0;
    int r;

    gw_arena_init(&arena, 1 << 14, SIZE_MAX);
    gw_buf_init(&out, 1 << 24);
    gw_view_init(&v, (struct gw_batch *)(uintptr_t)b, &arena);
    if (drop_one) {
        edit(&v);
        (void)gw_view_remove(&v, b->n_rows / 2);
    }
    check(gw_encode(&v, &out) == 0, "cannot encode what was decoded");
    check(gw_count_rows(b->signal, gw_buf_slice(&out), &counted) == 0 && counted == v.n_rows, "rows miscounted");
    again = decode(b->signal, gw_buf_slice(&out), &r, &err);
    check(r == 0, "cannot decode what was encoded");
    check(again->n_rows == v.n_rows, "rows changed on the way");
    if (!drop_one)
        check(gw_slice_eq(columns(b, &arena), columns(again, &arena)), "columns changed on the way");
    if (b->n_rows) {
        gw_buf_reset(&out);
        check(gw_encode_row(&v, b->n_rows - 1, &out) == 0, "cannot encode a row");
        check(gw_count_rows(b->signal, gw_buf_slice(&out), &counted) == 0 && counted == 1, "not one row");
    }
    gw_batch_unref(again);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_buf_clear(&out);
}

static void check_rolled_back(const struct gw_batch *b)
{
    check(!b->n_rows && !b->n_attrs && !b->n_resources && !b->n_scopes && !b->n_segments && !b->n_events &&
              !b->n_links && !b->n_metrics && !b->n_hists && !b->n_exphists && !b->n_summaries && !b->n_quantiles &&
              !b->n_exemplars,
          "refused, but not rolled back");
}

/* The n-th allocation of decoding, editing and encoding fails. */
static void short_of_memory(enum gw_signal signal, struct gw_slice bytes, unsigned n)
{
    struct gw_payload *pl = payload_of(bytes, 0x80);
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_err err = {""};
    struct gw_arena arena;
    struct gw_buf out;
    struct gw_view v;
    int r;

    gw_arena_init(&arena, 512, SIZE_MAX);
    gw_buf_init(&out, 1 << 24);
    gw_batch_set_payload(b, pl);
    gw_malloc_fail_at(n);
    r = gw_decode(b, gw_slice_of(pl->p, bytes.n), &limits, NULL, &err);
    check(r != -ENOMEM || gw_malloc_failed(), "out of memory, but none failed");
    if (r < 0) {
        check_rolled_back(b);
    } else {
        gw_view_init(&v, b, &arena);
        edit(&v);
        r = gw_encode(&v, &out);
        check(r == (gw_malloc_failed() ? -ENOMEM : 0), "encoded without memory");
        gw_view_clear(&v);
    }
    gw_malloc_fail_at(0);
    gw_batch_unref(b);
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
}

/* A buffer of n bytes in the place of one that is large enough. */
static void short_of_room(enum gw_signal signal, struct gw_slice bytes, unsigned n)
{
    struct gw_err err = {""};
    uint8_t *room = malloc(n);
    struct gw_batch *b;
    struct gw_arena arena;
    struct gw_buf out;
    struct gw_view v;
    size_t made = 0;
    int r = gw_canon(signal, bytes, &limits, 1 << 20, room, n, &made, &err);

    check(r < 0 || made <= n, "canonical form is longer than its room");
    free(room);
    b = decode(signal, bytes, &r, &err);
    gw_arena_init(&arena, 1 << 14, SIZE_MAX);
    gw_view_init(&v, b, &arena);
    gw_buf_init(&out, n);
    if (r == 0) {
        edit(&v);
        r = gw_encode(&v, &out);
        check(r == 0 || r == -E2BIG, "encoded into too little room");
        check(out.n <= n && out.cap <= n, "encoded behind the end");
    }
    gw_view_clear(&v);
    gw_batch_unref(b);
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
    struct gw_err err = {""};
    struct gw_slice bytes;
    struct gw_batch *b;
    int r;

    if (n < 1)
        return 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        check(gw_utf8_valid_avx2(data, n) == gw_utf8_valid_scalar(data, n), "two opinions about UTF-8");
#endif
    bytes = gw_slice_of(data + 1, n - 1);
    b = decode(signals[data[0] % 3], bytes, &r, &err);
    compare(b, bytes, r, &err);
    compare_pads(b, bytes, r);
    compare_outline(b, bytes, r, &err);
    if (r < 0) {
        check(err.text[0] != 0, "refused without a word");
        check_rolled_back(b);
    } else {
        round_trip(b, false);
        if (b->n_rows)
            round_trip(b, true);
    }
    gw_batch_unref(b);
    if (data[0] / 3) {
        short_of_memory(signals[data[0] % 3], bytes, data[0] / 3);
        short_of_room(signals[data[0] % 3], bytes, data[0] / 3);
    }
    return 0;
}
