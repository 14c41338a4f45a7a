/* SPDX-License-Identifier: Apache-2.0 */
/* The store of waiting traces: what comes out of it. Judge of the bytes is protobuf-c. */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "processors/common/traces.h"
#include "tests/harness_env.h"
#include "tests/otlp-proto/random_wire.h"

#define PB(x)  Opentelemetry__Proto__##x
#define SECOND UINT64_C(1000000000)

enum { N_IDS = 7, ROUNDS = 60, MAX_SPANS = 4096 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

static struct gw_batch *decode(struct gw_slice request)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, request, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return b;
}

static struct gw_traces *open_store(struct gw_test_env *te)
{
    struct gw_traces_conf conf = {
        .env = &te->env, .tick_ns = SECOND, .compress = true}; /* what gw_traces_cool is told */

    gw_test_env_init(te, 1);
    return gw_traces_new(&conf);
}

static struct gw_trace *trace_of(struct gw_traces *t, unsigned i)
{
    uint8_t id[16] = {(uint8_t)i, 1};
    struct gw_trace *trace = gw_traces_find(t, id);

    return trace ? trace : gw_traces_add(t, id, 1, 2);
}

/* ---- a span with all that stands around it, as bytes of protobuf-c's own making ----------------------------- */

struct spans {
    char *all[MAX_SPANS];
    unsigned n;
};

static void put_packed(struct gw_buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);

    assert_int_equal(gw_buf_reserve(out, n), 0);
    out->n += protobuf_c_message_pack(m, out->p + out->n);
}

static char *hex(const struct gw_buf *b)
{
    char *s = malloc(b->n * 2 + 1);

    for (size_t i = 0; i < b->n; i++)
        (void)snprintf(s + 2 * i, 3, "%02x", b->p[i]);
    s[b->n * 2] = 0;
    return s;
}

/* Packed without its children: what remains are its own fields, unknown ones too. */
static void put_scope(struct gw_buf *out, const PB(Trace__V1__ScopeSpans) * s)
{
    PB(Trace__V1__ScopeSpans) own = *s;

    own.n_spans = 0;
    put_packed(out, &own.base);
}

static void put_resource(struct gw_buf *out, const PB(Trace__V1__ResourceSpans) * r)
{
    PB(Trace__V1__ResourceSpans) own = *r;

    own.n_scope_spans = 0;
    put_packed(out, &own.base);
}

static void collect(struct gw_slice request, struct spans *to)
{
    PB(Collector__Trace__V1__ExportTraceServiceRequest) *all =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(NULL, request.n, request.p);
    struct gw_buf b;

    assert_non_null(all);
    gw_buf_init(&b, 1 << 24);
    for (size_t r = 0; r < all->n_resource_spans; r++)
        for (size_t s = 0; s < all->resource_spans[r]->n_scope_spans; s++)
            for (size_t i = 0; i < all->resource_spans[r]->scope_spans[s]->n_spans; i++) {
                gw_buf_reset(&b);
                put_packed(&b, &all->resource_spans[r]->scope_spans[s]->spans[i]->base);
                put_resource(&b, all->resource_spans[r]);
                put_scope(&b, all->resource_spans[r]->scope_spans[s]);
                assert_true(to->n < MAX_SPANS);
                to->all[to->n++] = hex(&b);
            }
    gw_buf_clear(&b);
    protobuf_c_message_free_unpacked(&all->base, NULL);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void same(struct spans *a, struct spans *b)
{
    assert_int_equal(a->n, b->n);
    qsort(a->all, a->n, sizeof(a->all[0]), compare);
    qsort(b->all, b->n, sizeof(b->all[0]), compare);
    for (unsigned i = 0; i < a->n; i++) {
        assert_string_equal(a->all[i], b->all[i]);
        free(a->all[i]);
        free(b->all[i]);
    }
    a->n = b->n = 0;
}

/* Each resource and each scope of it stands once. */
static void grouped(struct gw_slice request)
{
    struct gw_batch *b = decode(request);

    for (uint32_t i = 0; i < b->n_scopes; i++)
        for (uint32_t k = 0; k < i; k++)
            if (b->scopes[i].resource == b->scopes[k].resource)
                assert_false(gw_slice_eq(gw_batch_slice(b, b->scopes[i].raw), gw_batch_slice(b, b->scopes[k].raw)) &&
                             gw_slice_eq(gw_batch_slice(b, b->scopes[i].schema_url),
                                         gw_batch_slice(b, b->scopes[k].schema_url)) &&
                             b->scopes[i].outer.len == b->scopes[k].outer.len);
    (void)gw_batch_unref(b);
}

/* Rows by turns into seven traces, neighbours of a scope now and then in one call. */
static void keep_all(struct gw_traces *t, const struct gw_batch *b, uint64_t *seed)
{
    uint32_t rows[16], n;

    gw_traces_begin(t, b);
    for (uint32_t row = 0; row < b->n_rows; row += n) {
        struct gw_trace *trace = trace_of(t, (unsigned)(gw_test_random(seed) % N_IDS));
        uint32_t most = 1 + (uint32_t)(gw_test_random(seed) % 16);

        gw_traces_ahead(t, row);
        for (n = 0; n < most && row + n < b->n_rows && b->scope[row + n] == b->scope[row]; n++)
            rows[n] = row + n;
        assert_int_equal(gw_traces_keep(t, trace, rows, n), 0);
    }
    gw_traces_end(t);
}

static unsigned n_cold(struct gw_traces *t)
{
    unsigned n = 0;

    for (const struct gw_trace *x = gw_traces_oldest(t); x; x = gw_traces_newer(t, x))
        n += x->cold_bytes > 0;
    return n;
}

static void write_pieces(struct gw_traces *t, const struct gw_trace *trace, struct spans *to)
{
    struct gw_traces_cursor c = {0};
    uint32_t n, all = 0;
    struct gw_buf out;

    gw_buf_init(&out, 1 << 24);
    do {
        gw_buf_reset(&out);
        assert_int_equal(gw_traces_write_piece(t, trace, &c, 3, 900, &out, &n), 0);
        assert_true(n <= 3);
        all += n;
        collect(gw_buf_slice(&out), to);
    } while (n > 0);
    assert_int_equal(all, trace->n_spans);
    gw_buf_clear(&out);
}

/* All that are not packed, in one go; they stay. */
static void write_together(struct gw_traces *t, struct spans *to)
{
    struct gw_trace *list[N_IDS];
    struct gw_buf out;
    uint32_t n = 0;

    gw_buf_init(&out, 1 << 24);
    for (struct gw_trace *x = gw_traces_oldest(t); x; x = gw_traces_newer(t, x)) {
        if (!gw_trace_is_packed(x))
            list[n++] = x;
        else if (gw_traces_write(t, x, &out) == 0)
            collect(gw_buf_slice(&out), to);
        gw_buf_reset(&out);
    }
    assert_int_equal(gw_traces_write_all(t, list, n, &out), 0);
    grouped(gw_buf_slice(&out));
    collect(gw_buf_slice(&out), to);
    gw_buf_clear(&out);
}

static void write_all(struct gw_traces *t, struct spans *to)
{
    struct gw_trace *trace;
    struct gw_buf out;

    gw_buf_init(&out, 1 << 24);
    while ((trace = gw_traces_oldest(t)) != NULL) {
        gw_buf_reset(&out);
        assert_int_equal(gw_traces_write(t, trace, &out), 0);
        grouped(gw_buf_slice(&out));
        if (trace->slot % 2)
            collect(gw_buf_slice(&out), to);
        else
            write_pieces(t, trace, to);
        gw_traces_drop(t, trace);
    }
    gw_buf_clear(&out);
}

/*
 * Scenario: requests with every field of every message at random, what is legal but unusual among it; their spans go to
 * seven traces, one request after the other, the same request sometimes twice; in two rounds of three what is there is
 * packed after each.
 * Guarantees: all traces written together, each at once, or three spans at a time, for protobuf-c each span comes out
 * once, with its own resource and scope, schema URLs and unknown fields; the decoder takes what is written, and no
 * scope of what is written at once stands twice.
 */
static void test_what_came_in_comes_out(void **state)
{
    static struct spans in, once, out, together;
    struct gw_test_env te;
    struct gw_traces *t = open_store(&te);
    uint64_t seed = 5, now = 10 * SECOND;
    unsigned n_packed = 0;
    struct gw_buf request;

    (void)state;
    gw_buf_init(&request, 1 << 24);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 3; i++) {
            struct random_wire r = {
                .state = seed + round * 8 + (i & 2), .odd = round % 2, .max_items = 5, .budget = 300};
            struct gw_batch *b;

            gw_buf_reset(&request);
            rw_message(&r, &request,
                       &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor, 0);
            collect(gw_buf_slice(&request), &in);
            b = decode(gw_buf_slice(&request));
            keep_all(t, b, &seed);
            (void)gw_batch_unref(b);
            if (round % 3 < 2) /* every time, in two rounds; not in the third */
                (void)gw_traces_cool(t, now += 2 * SECOND, UINT64_MAX);
        }
        n_packed += n_cold(t);
        write_together(t, &together);
        write_all(t, &out);
        for (unsigned i = 0; i < in.n; i++)
            once.all[i] = strdup(in.all[i]);
        once.n = in.n;
        same(&once, &together);
        same(&in, &out);
    }
    assert_true(n_packed > ROUNDS);
    gw_traces_free(t);
    gw_buf_clear(&request);
    gw_test_env_clear(&te);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

/* One span of that name, in a resource and a scope of these names. */
static struct gw_batch *one_span(const char *resource, const char *scope, const char *span)
{
    struct gw_buf request, r, s, x;
    struct gw_batch *b;

    gw_buf_init(&request, 1 << 16);
    gw_buf_init(&r, 1 << 16);
    gw_buf_init(&s, 1 << 16);
    gw_buf_init(&x, 1 << 16);
    put_field(&x, 5, gw_slice_cstr(span));
    put_field(&s, 2, gw_buf_slice(&x)); /* children first: the envelope's fields stand around them */
    put_field(&s, 3, gw_slice_cstr(scope));
    put_field(&r, 2, gw_buf_slice(&s));
    put_field(&r, 3, gw_slice_cstr(resource));
    put_field(&request, 1, gw_buf_slice(&r));
    b = decode(gw_buf_slice(&request));
    gw_buf_clear(&request);
    gw_buf_clear(&r);
    gw_buf_clear(&s);
    gw_buf_clear(&x);
    return b;
}

static void keep_one(struct gw_traces *t, unsigned trace, const char *resource, const char *scope, const char *span)
{
    struct gw_batch *b = one_span(resource, scope, span);
    uint32_t row = 0;

    gw_traces_begin(t, b);
    assert_int_equal(gw_traces_keep(t, trace_of(t, trace), &row, 1), 0);
    gw_traces_end(t);
    (void)gw_batch_unref(b);
}

static void reads(struct gw_slice request, const char *expected)
{
    struct gw_batch *b = decode(request);
    struct gw_buf out;

    gw_buf_init(&out, 1 << 20);
    for (uint32_t row = 0; row < b->n_rows; row++) {
        struct gw_slice r = gw_batch_slice(b, b->resources[gw_batch_resource_of(b, row)].schema_url);
        struct gw_slice s = gw_batch_slice(b, b->scopes[b->scope[row]].schema_url), x = gw_batch_slice(b, b->name[row]);

        gw_buf_printf(&out, "%u%.*s/%.*s/%.*s ", gw_batch_resource_of(b, row), (int)r.n, (const char *)r.p, (int)s.n,
                      (const char *)s.p, (int)x.n, (const char *)x.p);
    }
    gw_buf_put_u8(&out, 0);
    assert_string_equal((const char *)out.p, expected);
    gw_buf_clear(&out);
    (void)gw_batch_unref(b);
}

/*
 * Scenario: spans of two resources, one with two scopes, come by turns, one of them twice; another trace in between.
 * Guarantees: resources and scopes in order of their first span, spans of a scope in order of arrival, twice what came
 * twice; what stood in the buffer before stays.
 */
static void test_order(void **state)
{
    struct gw_test_env te;
    struct gw_traces *t = open_store(&te);
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    keep_one(t, 1, "shop", "http", "a");
    keep_one(t, 1, "bank", "http", "b");
    keep_one(t, 2, "bank", "http", "no");
    keep_one(t, 1, "shop", "sql", "c");
    keep_one(t, 1, "shop", "http", "d");
    keep_one(t, 1, "shop", "http", "d");
    keep_one(t, 1, "bank", "http", "e");
    gw_buf_put_str(&out, "before");
    assert_int_equal(gw_traces_write(t, trace_of(t, 1), &out), 0);
    assert_memory_equal(out.p, "before", 6);
    reads(gw_slice_of(out.p + 6, out.n - 6),
          "0shop/http/a 0shop/http/d 0shop/http/d 0shop/sql/c 1bank/http/b 1bank/http/e ");
    gw_buf_reset(&out);
    assert_int_equal(gw_traces_write(t, trace_of(t, 2), &out), 0);
    reads(gw_buf_slice(&out), "0bank/http/no ");
    gw_traces_free(t);
    gw_buf_clear(&out);
    gw_test_env_clear(&te);
}

/*
 * Scenario: three traces of two resources are written together, with and without room for them.
 * Guarantees: resources and scopes in order of their first span, whichever trace has it; their spans by trace; without
 * room nothing is written, and with room again all of it.
 */
static void test_order_together(void **state)
{
    struct gw_test_env te;
    struct gw_traces *t = open_store(&te);
    struct gw_trace *list[3];
    struct gw_buf out, small;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    gw_buf_init(&small, 64);
    keep_one(t, 1, "shop", "http", "a");
    keep_one(t, 2, "bank", "http", "b");
    keep_one(t, 1, "shop", "sql", "c");
    keep_one(t, 3, "bank", "http", "d");
    keep_one(t, 3, "shop", "sql", "e");
    keep_one(t, 2, "shop", "http", "f");
    for (unsigned i = 0; i < 3; i++)
        list[i] = trace_of(t, 3 - i);
    assert_int_equal(gw_traces_write_all(t, list, 3, &small), -E2BIG);
    assert_int_equal(small.n, 0);
    assert_int_equal(gw_traces_write_all(t, list, 3, &out), 0);
    reads(gw_buf_slice(&out), "0bank/http/d 0bank/http/b 1shop/sql/e 1shop/sql/c 1shop/http/f 1shop/http/a ");
    gw_buf_reset(&out);
    assert_int_equal(gw_traces_write_all(t, list, 0, &out), 0);
    assert_int_equal(out.n, 0);
    gw_traces_free(t);
    gw_buf_clear(&small);
    gw_buf_clear(&out);
    gw_test_env_clear(&te);
}

/*
 * Scenario: one trace in 300 requests of three services by turns; another of 100,000 spans.
 * Guarantees: all in order; and a buffer that is too small is left as it was.
 */
static void test_long_traces(void **state)
{
    static const char *const services[] = {"shop", "bank", "post"};
    struct gw_batch *b = one_span("shop", "http", "again");
    struct gw_test_env te;
    struct gw_traces *t = open_store(&te);
    struct gw_buf out, expected;
    char name[16];

    (void)state;
    gw_buf_init(&out, 1 << 19);
    gw_buf_init(&expected, 1 << 20);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        keep_one(t, 1, services[i % 3], "http", name);
    }
    for (unsigned i = 0; i < 300; i++)
        gw_buf_printf(&expected, "%u%s/http/%u ", i / 100, services[i / 100], i % 100 * 3 + i / 100);
    gw_buf_put_u8(&expected, 0);
    assert_int_equal(gw_traces_write(t, trace_of(t, 1), &out), 0);
    reads(gw_buf_slice(&out), (const char *)expected.p);

    gw_traces_begin(t, b);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(gw_traces_keep(t, trace_of(t, 2), &(uint32_t){0}, 1), 0);
    gw_traces_end(t);
    gw_buf_reset(&out);
    assert_int_equal(gw_traces_write(t, trace_of(t, 2), &out), -E2BIG);
    assert_int_equal(out.n, 0);
    gw_buf_clear(&expected);
    gw_buf_init(&expected, 1 << 24);
    assert_int_equal(gw_traces_write(t, trace_of(t, 2), &expected), 0);
    (void)gw_batch_unref(b);
    b = decode(gw_buf_slice(&expected));
    assert_int_equal(b->n_rows, 100000);
    (void)gw_batch_unref(b);
    gw_traces_free(t);
    gw_buf_clear(&out);
    gw_buf_clear(&expected);
    gw_test_env_clear(&te);
}

/* ---- patches ---------------------------------------------------------------------------------------------- */

struct tickets {
    struct gw_ticket all[3];
};

/* Three requests in one batch, each with its ticket: two spans, one, two. */
static struct gw_batch *three_requests(struct tickets *tickets)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);

    memset(tickets, 0, sizeof(*tickets));
    for (unsigned i = 0; i < 3; i++) {
        struct gw_batch *one = one_span("shop", "http", i == 0 ? "a" : i == 1 ? "b" : "c");
        unsigned times = i == 1 ? 1 : 2;
        struct gw_buf request;
        struct gw_ref at;

        gw_buf_init(&request, 1 << 16);
        for (unsigned k = 0; k < times; k++)
            gw_buf_put_slice(&request, gw_batch_slice(one, one->segments[0].wire));
        tickets->all[i].refs = 1;
        assert_int_equal(gw_batch_append(b, gw_buf_slice(&request), &at), 0);
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, &tickets->all[i], NULL), 0);
        gw_buf_clear(&request);
        (void)gw_batch_unref(one);
    }
    b->receiver = "otlp";
    b->received_ns = 77;
    return b;
}

static uint32_t row_named(const struct gw_batch *b, const char *name, uint32_t from)
{
    while (from < b->n_rows && !gw_slice_is(gw_batch_slice(b, b->name[from]), name))
        from++;
    return from;
}

/*
 * Scenario: a view of three requests, one span of each of the first two removed, an attribute set on the resource of
 * the last and on a span of the first.
 * Guarantees: flattened, the attributes are the batch's own; the rows that were left are there, each request's with its
 * ticket; a view without patches stays what it is.
 */
static void test_flatten(void **state)
{
    struct gw_value value = {.type = GW_V_STRING, .s = GW_SLICE("v")};
    struct tickets tickets;
    struct gw_batch *b = three_requests(&tickets), *before;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    (void)gw_batch_unref(b);
    assert_int_equal(gw_view_remove(&v, 1), 0);
    assert_int_equal(gw_view_remove(&v, 2), 0);
    before = v.batch;
    assert_int_equal(gw_view_flatten(&v), 0);
    assert_ptr_equal(v.batch, before);
    gw_view_attr_set(&v, GW_OWN_ROW, 0, GW_SLICE("k"), &value);
    gw_view_attr_set(&v, GW_OWN_RESOURCE, gw_batch_resource_of(b, 4), GW_SLICE("k"), &value);
    assert_int_equal(gw_view_flatten(&v), 0);
    b = v.batch;
    assert_ptr_not_equal(b, before);
    assert_int_equal(v.n_patches, 0);
    assert_int_equal(v.n_rows, 3);
    assert_int_equal(b->n_rows, 3);
    assert_int_equal(b->n_segments, 2);
    assert_ptr_equal(b->segments[0].ticket, &tickets.all[0]);
    assert_ptr_equal(b->segments[1].ticket, &tickets.all[2]);
    assert_int_equal(tickets.all[0].refs, 2);
    assert_int_equal(tickets.all[1].refs, 1); /* the old batch is gone, and with it the request without rows */
    assert_int_equal(b->segments[1].rows.begin, 1);
    assert_int_equal(b->segments[1].rows.end, 3);
    assert_string_equal(b->receiver, "otlp");
    assert_int_equal(b->received_ns, 77);
    assert_int_equal(row_named(b, "a", 0), 0);
    assert_int_equal(row_named(b, "c", 0), 1);
    assert_true(gw_view_attr_get(&v, GW_OWN_ROW, 0, GW_SLICE("k"), NULL));
    assert_int_equal(b->attr[0].end - b->attr[0].begin, 1);
    assert_true(gw_view_attr_get(&v, GW_OWN_RESOURCE, gw_batch_resource_of(b, 2), GW_SLICE("k"), NULL));
    gw_view_clear(&v);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tickets.all[i].refs, 1);
    gw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_came_in_comes_out),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_together),
        cmocka_unit_test(test_long_traces),
        cmocka_unit_test(test_flatten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
