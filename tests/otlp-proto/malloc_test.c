/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/outline.h"
#include "tests/harness_malloc.h"
#include "tests/otlp-proto/random_wire.h"
#include "tests/otlp-proto/rebuild.h"

static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static int drop_piece(void *arg, struct gw_slice piece, uint32_t rows)
{
    (void)piece;
    *(uint32_t *)arg += rows;
    return 0;
}

static int drop_keyed(void *arg, struct gw_slice key, struct gw_slice piece, const uint32_t *row_of, uint32_t rows)
{
    (void)row_of;
    (void)key;
    return drop_piece(arg, piece, rows);
}

static int cut(enum gw_signal signal, struct gw_slice bytes)
{
    uint32_t rows = 0;
    int r = gw_split(signal, bytes, 2, 0, drop_piece, &rows);

    if (r == 0)
        r = gw_split_by_resource(signal, bytes, drop_keyed, &rows);
    if (r == 0 && signal != GW_METRICS)
        r = gw_split_by_trace(signal, bytes, drop_keyed, &rows);
    return r;
}

/* The whole way of a request: append, decode, edit, encode, cut. */
static int whole_way(enum gw_signal signal, struct gw_slice bytes)
{
    static const struct gw_value value = {.type = GW_V_BOOL};
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_arena arena;
    struct gw_view v = {0};
    struct gw_ref at;
    struct gw_err err = {""};
    struct gw_buf out;
    int r = -ENOMEM;

    gw_arena_init(&arena, 4096, SIZE_MAX);
    gw_buf_init(&out, 1 << 24);
    if (b)
        r = gw_batch_append(b, bytes, &at);
    if (r == 0)
        r = gw_decode_outline(b, gw_batch_slice(b, at), &limits, NULL, &err);
    if (r < 0 && b)
        assert_int_equal(b->n_rows + b->n_attrs + b->n_segments + b->n_resources, 0);
    if (r == 0) {
        gw_view_init(&v, b, &arena);
        r = gw_view_make_whole(&v, NULL);
        assert_true(r == 0 || v.batch == b);
        for (uint32_t row = 0; r == 0 && row < b->n_rows; row += 3)
            gw_view_attr_set(&v, GW_OWN_ROW, row, GW_SLICE("k"), &value);
        r = r == 0 ? gw_encode(&v, &out) : r;
        gw_view_clear(&v);
    }
    if (r == 0)
        r = cut(signal, gw_buf_slice(&out));
    if (r < 0 && r != -ENOMEM)
        print_message("%s: %d %s\n", gw_signal_name(signal), r, err.text);
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
    if (b)
        gw_batch_unref(b);
    return r;
}

/*
 * Scenario: an outline, made whole, edited, encoded and cut, of random requests, usual and unusual; the first, second,
 * … n-th allocation fails, until none does. Guarantees: each failure is -ENOMEM, leaves no row behind and no memory
 * (ASan looks).
 */
static void test_any_allocation_may_fail(void **state)
{
    struct gw_buf bytes;
    unsigned failures = 0;

    (void)state;
    gw_buf_init(&bytes, 1 << 24);
    for (unsigned seed = 0; seed < 12; seed++) {
        enum gw_signal signal = signals[seed % 3];
        struct random_wire r = {.state = seed, .odd = seed % 2, .merge_messages = true, .max_items = 6, .budget = 2000};
        int rc;

        gw_buf_reset(&bytes);
        rw_message(&r, &bytes, rb_request(signal), 0);
        for (uint64_t n = 1;; n++) {
            gw_malloc_fail_at(n);
            rc = whole_way(signal, gw_buf_slice(&bytes));
            if (!gw_malloc_failed())
                break;
            assert_int_equal(rc, -ENOMEM);
            failures++;
        }
        gw_malloc_fail_at(0);
        assert_int_equal(rc, 0);
    }
    assert_true(failures > 200);
    gw_buf_clear(&bytes);
}

static void put_field(struct gw_buf *out, unsigned number, struct gw_slice s)
{
    uint8_t head[20];

    gw_buf_put(out, head, (size_t)(gw_varint_put(gw_varint_put(head, GW_TAG(number, GW_LEN)), s.n) - head));
    gw_buf_put_slice(out, s);
}

/* Rows of three attributes each, all alike but for their place. */
static void plain_request(struct gw_buf *out, enum gw_signal signal, unsigned rows)
{
    struct gw_slice row = signal == GW_TRACES
                              ? GW_SLICE("\x2a\x01n\x4a\x09\x0a\x03key\x12\x02\x10\x01\x4a\x04\x0a\x02kk")
                          : signal == GW_LOGS ? GW_SLICE("\x2a\x04\x0a\x02hi\x32\x09\x0a\x03key\x12\x02\x10\x01")
                                              : GW_SLICE("\x3a\x09\x0a\x03key\x12\x02\x10\x01\x21........");
    struct gw_buf scope, data, metric;

    gw_buf_init(&scope, 1 << 24);
    gw_buf_init(&data, 1 << 24);
    gw_buf_init(&metric, 1 << 24);
    for (unsigned i = 0; i < rows; i++)
        put_field(signal == GW_METRICS ? &data : &scope, signal == GW_METRICS ? 1 : 2, row);
    if (signal == GW_METRICS) {
        put_field(&metric, 5, gw_buf_slice(&data));
        put_field(&scope, 2, gw_buf_slice(&metric));
    }
    gw_buf_reset(&data);
    put_field(&data, 2, gw_buf_slice(&scope));
    put_field(out, 1, gw_buf_slice(&data));
    gw_buf_clear(&scope);
    gw_buf_clear(&data);
    gw_buf_clear(&metric);
}

/* Allocations of a second request of that size, on a worker that has seen one. */
static uint64_t steady_mallocs(enum gw_signal signal, unsigned rows, bool edit)
{
    static const struct gw_value value = {.type = GW_V_BOOL};
    struct gw_payload_pool *payloads = gw_payload_pool_new(64 << 20);
    struct gw_batch_pool *batches = gw_batch_pool_new(4);
    struct gw_arena arena;
    struct gw_buf in, out;
    uint64_t mallocs = 0;

    assert_true(payloads && batches);
    gw_payload_pool_enter(payloads);
    gw_arena_init(&arena, 1 << 16, SIZE_MAX);
    gw_buf_init(&in, 1 << 24);
    gw_buf_init(&out, 1 << 24);
    plain_request(&in, signal, rows);
    for (unsigned i = 0; i < 4; i++) {
        struct gw_batch *b;
        struct gw_view v;
        struct gw_ref at;

        mallocs = gw_malloc_count();
        b = gw_batch_pool_get(batches, signal);
        assert_int_equal(gw_batch_append(b, gw_buf_slice(&in), &at), 0);
        assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
        assert_int_equal(b->n_rows, rows);
        gw_view_init(&v, b, &arena);
        for (uint32_t row = 0; edit && row < rows; row++)
            gw_view_attr_set(&v, GW_OWN_ROW, row, GW_SLICE("key"), &value);
        gw_buf_reset(&out);
        assert_int_equal(gw_encode(&v, &out), 0);
        gw_view_clear(&v);
        gw_batch_unref(b);
        gw_arena_reset(&arena, SIZE_MAX);
        mallocs = gw_malloc_count() - mallocs;
    }
    gw_buf_clear(&in);
    gw_buf_clear(&out);
    gw_arena_clear(&arena);
    gw_payload_pool_enter(NULL);
    gw_batch_pool_free(batches);
    gw_payload_pool_free(payloads);
    return mallocs;
}

/*
 * Scenario: requests of 100 and of 10,000 rows, decoded and encoded in steady state, untouched and with every row
 * edited. Guarantees: as many allocations for the one as for the other: none at all.
 */
static void test_as_many_allocations_for_100_rows_as_for_10000(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned edit = 0; edit < 2; edit++) {
            assert_int_equal(steady_mallocs(signals[i], 100, edit), steady_mallocs(signals[i], 10000, edit));
            assert_int_equal(steady_mallocs(signals[i], 10000, edit), 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_as_many_allocations_for_100_rows_as_for_10000),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
