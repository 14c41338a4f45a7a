/* SPDX-License-Identifier: Apache-2.0 */
/* Points get new values in place where they can, else by patches: nobody can tell which. */
#include "tests/harness.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "processors/common/flatten.h"
#include "processors/common/rewrite.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N_POINTS = 12 };

static uint64_t seed;
static bool is_regular; /* all changes fit */
static struct gw_arena arena;

static unsigned below(unsigned n)
{
    return (unsigned)(gw_test_random(&seed) % n);
}

static bool maybe(unsigned n)
{
    return below(n) || is_regular;
}

static void put_number(struct gw_buf *b, bool is_double)
{
    if (!maybe(8))
        return;
    gw_buf_printf(b, is_double ? ",\"asDouble\":%u.5" : ",\"asInt\":\"%u\"", below(100));
}

static void put_histogram(struct gw_buf *b)
{
    static const char *const fields[] = {",\"sum\":1.5", ",\"min\":2", ",\"max\":3", ",\"count\":\"4\""};

    for (unsigned i = 0; i < 4; i++)
        if (maybe(3))
            gw_buf_put_str(b, fields[i]);
    if (maybe(3))
        gw_buf_put_str(b, ",\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[1,2]");
}

static struct gw_batch *random_batch(void)
{
    static const char *const kinds[] = {"sum", "sum", "histogram"};
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at;

    gw_buf_init(&json, 1 << 20);
    gw_buf_init(&wire, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[");
    for (unsigned m = 0; m < 3; m++) {
        gw_buf_printf(&json, "%s{\"name\":\"m%u\",\"%s\":{%s\"dataPoints\":[", m ? "," : "", m, kinds[m],
                      maybe(4) ? "\"aggregationTemporality\":2," : "");
        for (unsigned i = 0; i < N_POINTS; i++) {
            gw_buf_printf(&json, "%s{\"timeUnixNano\":\"%u\"", i ? "," : "", 1 + below(9));
            if (maybe(4))
                gw_buf_printf(&json, ",\"startTimeUnixNano\":\"%u\"", 1 + below(9));
            if (below(2))
                gw_buf_put_str(&json, ",\"flags\":1,\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}]");
            if (m < 2)
                put_number(&json, m);
            else
                put_histogram(&json);
            gw_buf_put_str(&json, "}");
        }
        gw_buf_put_str(&json, "]}}");
    }
    gw_buf_put_str(&json, "]}]}]}");
    assert_true(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) >= 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
    return b;
}

/* The same changes for the same seed. */
static void change(struct gw_view *v, bool by_patches)
{
    static const uint64_t counts[] = {7, 8, 9};
    struct gw_rewrite w;

    gw_rewrite_begin(&w, v, NULL);
    if (by_patches)
        w.is_begun = true; /* and has nothing of its own */
    for (uint32_t row = 0; row < 3 * N_POINTS; row++) {
        uint64_t start = below(3);

        if (below(3) == 0)
            continue;
        if (row < 2 * N_POINTS)
            gw_rewrite_number(&w, row, start, (is_regular ? row < N_POINTS : below(2)) ? GW_N_INT : GW_N_DOUBLE,
                              (union gw_val){.f64 = 1 + below(50)});
        else
            gw_rewrite_histogram(&w, row,
                                 &(struct gw_rewrite_hist){.start_ns = start,
                                                           .count = below(9),
                                                           .sum = below(5),
                                                           .min = 1,
                                                           .max = 2,
                                                           .has_sum = maybe(2),
                                                           .has_min = maybe(2),
                                                           .has_max = maybe(2),
                                                           .n = 3,
                                                           .counts = below(2) ? counts : NULL});
    }
    for (uint32_t m = 0; m < 3; m++)
        if (below(4))
            gw_rewrite_temporality(&w, m, below(2) ? GW_T_DELTA : GW_T_CUMULATIVE);
    if (is_regular && !by_patches)
        assert_int_equal(v->n_patches, 0);
    gw_rewrite_end(&w);
    assert_false(v->failed);
}

static char *json_of(const struct gw_view *v)
{
    struct gw_buf wire, json;
    size_t n;

    gw_buf_init(&wire, 1 << 20);
    gw_buf_init(&json, 1 << 20);
    assert_int_equal(gw_encode(v, &wire), 0);
    assert_true(gw_proto_to_json(GW_METRICS, gw_buf_slice(&wire), &json) >= 0);
    gw_buf_put_u8(&json, 0);
    gw_buf_clear(&wire);
    return (char *)gw_buf_take(&json, &n);
}

/* The columns say what the bytes say. */
static void check_columns(const struct gw_view *v)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    const struct gw_batch *a = v->batch;
    struct gw_err err = {""};
    struct gw_buf wire;
    struct gw_ref at;

    gw_buf_init(&wire, 1 << 20);
    assert_int_equal(gw_encode(v, &wire), 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    assert_int_equal(a->n_rows, b->n_rows);
    assert_int_equal(a->n_metrics, b->n_metrics);
    for (uint32_t i = 0; i < a->n_metrics; i++)
        assert_int_equal(a->metrics[i].temporality, b->metrics[i].temporality);
    for (uint32_t i = 0; i < a->n_rows; i++) {
        assert_int_equal(a->start_ns[i], b->start_ns[i]);
        assert_int_equal(a->number_type[i], b->number_type[i]);
        if (a->number_type[i] == GW_N_HISTOGRAM) {
            const struct gw_hist *h = &a->hists[a->number[i].u64], *k = &b->hists[b->number[i].u64];

            assert_true(h->count == k->count && h->has_sum == k->has_sum && h->has_min == k->has_min);
            assert_true((!h->has_sum || h->sum == k->sum) && (!h->has_max || h->max == k->max));
            assert_true(gw_slice_eq(gw_batch_slice(a, h->counts), gw_batch_slice(b, k->counts)));
        } else if (a->number_type[i] != GW_N_NONE) {
            assert_int_equal(a->number[i].u64, b->number[i].u64);
        }
    }
    gw_buf_clear(&wire);
    (void)gw_batch_unref(b);
}

static void one_seed(uint64_t s)
{
    struct gw_batch *b;
    struct gw_view ways[2];
    char *before, *texts[2], *after;

    seed = s;
    is_regular = s % 2;
    b = random_batch();
    gw_view_init(&ways[0], b, &arena);
    before = json_of(&ways[0]);
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            gw_view_init(&ways[i], b, &arena);
        seed = s + 1000;
        change(&ways[i], i);
        check_columns(&ways[i]);
        texts[i] = json_of(&ways[i]);
        gw_view_clear(&ways[i]);
    }
    assert_string_equal(texts[0], texts[1]);
    gw_view_init(&ways[0], b, &arena);
    after = json_of(&ways[0]);
    assert_string_equal(before, after); /* the batch of others */
    gw_view_clear(&ways[0]);
    free(before);
    free(after);
    free(texts[0]);
    free(texts[1]);
    (void)gw_batch_unref(b);
    gw_arena_reset(&arena, 1 << 20);
}

/*
 * Scenario    numbers and histograms with and without start, value, sum, minimum, maximum and counts are given others
 * Guarantees  the same bytes' meaning as by patches, columns that say the same, and a batch that others see unchanged
 */
static void in_place_is_as_patched(void **state)
{
    (void)state;
    gw_arena_init(&arena, 1 << 16, 1 << 24);
    gw_test_seeds(200, one_seed);
    gw_arena_clear(&arena);
}

/* Scenario: fewer than half of a batch's rows are in the view. Guarantees: not all of it is copied for them. */
static void a_few_rows_are_patched(void **state)
{
    struct gw_rewrite w;
    struct gw_batch *b;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 1 << 16, 1 << 24);
    b = random_batch();
    gw_view_init(&v, b, &arena);
    for (uint32_t row = 0; row < 2 * N_POINTS; row++)
        assert_int_equal(gw_view_remove(&v, row), 0);
    gw_rewrite_begin(&w, &v, NULL);
    assert_ptr_equal(gw_rewrite_view(&w)->batch, b);
    gw_rewrite_end(&w);
    gw_view_clear(&v);
    gw_view_init(&v, b, &arena);
    gw_rewrite_begin(&w, &v, NULL);
    assert_ptr_not_equal(gw_rewrite_view(&w)->batch, b);
    gw_rewrite_end(&w);
    gw_view_clear(&v);
    (void)gw_batch_unref(b);
    gw_arena_clear(&arena);
}

/* Scenario: a point says its start and its value twice. Guarantees: what it is given is what counts. */
static void fields_that_stand_twice(void **state)
{
    static const uint8_t request[] = "\x0a\x3a\x12\x38\x12\x36\x0a\x01m\x3a\x31\x0a\x2d"
                                     "\x11\1\0\0\0\0\0\0\0\x11\2\0\0\0\0\0\0\0\x19\3\0\0\0\0\0\0\0"
                                     "\x31\5\0\0\0\0\0\0\0\x31\6\0\0\0\0\0\0\0"
                                     "\x10\x01";
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};
    struct gw_rewrite w;
    struct gw_view v;
    struct gw_ref at;

    (void)state;
    gw_arena_init(&arena, 1 << 16, 1 << 24);
    assert_int_equal(gw_batch_append(b, gw_slice_of(request, sizeof(request) - 1), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    assert_int_equal(b->number[0].i64, 6);
    gw_view_init(&v, b, &arena);
    gw_rewrite_begin(&w, &v, NULL);
    gw_rewrite_number(&w, 0, 8, GW_N_INT, (union gw_val){.i64 = 9});
    gw_rewrite_end(&w);
    check_columns(&v);
    assert_true(v.batch->number[0].i64 == 9 && v.batch->start_ns[0] == 8);
    gw_view_clear(&v);
    (void)gw_batch_unref(b);
    gw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_place_is_as_patched),
                                       cmocka_unit_test(a_few_rows_are_patched),
                                       cmocka_unit_test(fields_that_stand_twice)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
