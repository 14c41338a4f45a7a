/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/streams.h"

#include "tests/harness.h"

#include <stdio.h>

#include "batch/series_hash.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

#define A "{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}"
#define B "{\"key\":\"b\",\"value\":{\"stringValue\":\"x\"}}"
#define C "{\"key\":\"c\",\"value\":{\"arrayValue\":{\"values\":[{\"boolValue\":true}]}}}"
#define D "{\"key\":\"aa\",\"value\":{\"doubleValue\":1}}"

/* Points of one metric each, with these attributes; `resource` are the resource's. */
static struct gw_batch *batch_of(const char *resource, const char *scope, const char *unit, const char *const *points,
                                 unsigned n)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_err err = {""};
    struct gw_buf json, wire;
    struct gw_ref at;

    gw_buf_init(&json, 1 << 20);
    gw_buf_init(&wire, 1 << 20);
    gw_buf_printf(&json,
                  "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[%s]},\"scopeMetrics\":[{\"scope\":{%s},"
                  "\"metrics\":[{\"name\":\"m\",\"unit\":\"%s\",\"gauge\":{\"dataPoints\":[",
                  resource, scope, unit);
    for (unsigned i = 0; i < n; i++)
        gw_buf_printf(&json, "%s{\"asInt\":\"1\",\"attributes\":[%s]}", i ? "," : "", points[i]);
    gw_buf_put_str(&json, "]}}]}]}]}");
    assert_true(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) >= 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
    return b;
}

static struct gw_series *get(struct gw_streams *st, const struct gw_batch *b, uint32_t row, enum gw_stream_found want)
{
    struct gw_series *s;

    assert_int_equal(gw_streams_get(st, b, row, GW_SLICE("more"), &s), want);
    return s;
}

static void open_streams(struct gw_streams *st, struct gw_credit *credit, uint32_t max)
{
    gw_credit_init(credit, 1 << 20, 1 << 20);
    gw_streams_init(st, &(struct gw_streams_conf){.value_bytes = 8, .max_streams = max, .credit = credit});
}

/*
 * Scenario    points with the same attributes in another order, with others, with one of them twice; in another
 *             resource order, scope and unit
 * Guarantees  the order says nothing, all else does; equal streams have equal hashes (gw_series_hash), patched or not;
 *             all memory is given back
 */
static void what_tells_streams_apart(void **state)
{
    static const char *const points[] = {
        A "," B "," C "," D, D "," C "," B "," A, B "," D "," A "," C, A "," B "," C, A "," A "," B "," C, "", B "," A};
    struct gw_batch *b = batch_of(A "," B, "\"name\":\"s\"", "", points, 7);
    struct gw_batch *same = batch_of(B "," A, "\"name\":\"s\"", "", points, 1);
    struct gw_batch *others[] = {batch_of(A, "\"name\":\"s\"", "", points, 1),
                                 batch_of(A "," B, "\"name\":\"t\"", "", points, 1),
                                 batch_of(A "," B, "\"name\":\"s\"", "u", points, 1)};
    struct gw_value x = {.type = GW_V_STRING, .s = GW_SLICE("x")};
    struct gw_series_hash h;
    struct gw_credit credit;
    struct gw_streams st;
    struct gw_series *first;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    open_streams(&st, &credit, 100);
    first = get(&st, b, 0, GW_STREAM_NEW);
    assert_ptr_equal(get(&st, b, 1, GW_STREAM_OLD), first);
    assert_ptr_equal(get(&st, b, 2, GW_STREAM_OLD), first);
    for (uint32_t i = 3; i < 7; i++)
        (void)get(&st, b, i, GW_STREAM_NEW);
    gw_streams_begin(&st);
    assert_ptr_equal(get(&st, same, 0, GW_STREAM_OLD), first);
    for (unsigned i = 0; i < 3; i++) {
        gw_streams_begin(&st);
        (void)get(&st, others[i], 0, GW_STREAM_NEW);
    }
    assert_int_equal(gw_streams_n(&st), 8);

    gw_view_init(&v, b, &arena);
    gw_series_hash_begin(&h, &v);
    assert_true(gw_series_hash_row(&h, 0) == gw_series_hash_row(&h, 1));
    assert_true(gw_series_hash_row(&h, 0) == gw_series_hash_row(&h, 2));
    for (uint32_t i = 3; i < 7; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_true(k < 3 || gw_series_hash_row(&h, i) != gw_series_hash_row(&h, k));
    x.s = GW_SLICE("x");
    gw_view_attr_set(&v, GW_OWN_ROW, 5, GW_SLICE("b"), &x);
    gw_view_attr_set(&v, GW_OWN_ROW, 5, GW_SLICE("a"), &(struct gw_value){.type = GW_V_INT, .i = 1});
    assert_true(gw_series_hash_row(&h, 5) == gw_series_hash_row(&h, 6));
    gw_view_clear(&v);

    gw_streams_free(&st);
    assert_int_equal(atomic_load(&credit.used_bytes), 0);
    for (unsigned i = 0; i < 3; i++)
        (void)gw_batch_unref(others[i]);
    (void)gw_batch_unref(same);
    (void)gw_batch_unref(b);
    gw_arena_clear(&arena);
}

/*
 * Scenario    200 streams, every third seen lately; a sweep in steps of 7, during which one more comes
 * Guarantees  what was not seen lately goes, and what came meanwhile stays; metrics without streams go; a limit refuses
 */
static void a_sweep_takes_the_silent(void **state)
{
    struct gw_credit credit;
    struct gw_streams st;
    struct gw_batch *batches[200], *late;
    const char *point = A;
    unsigned left = 0;
    char unit[20];

    (void)state;
    open_streams(&st, &credit, 201);
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(unit, sizeof(unit), "%u", i);
        batches[i] = batch_of("", "", unit, &point, 1);
        gw_streams_begin(&st);
        get(&st, batches[i], 0, GW_STREAM_NEW)->seen_ns = i % 3 ? 5 : 10;
    }
    gw_streams_sweep_begin(&st);
    assert_true(gw_streams_sweep(&st, 10, 7));
    late = batch_of("", "", "late", &point, 1);
    get(&st, late, 0, GW_STREAM_NEW)->seen_ns = 10;
    while (gw_streams_sweep(&st, 10, 7))
        ;
    assert_int_equal(gw_streams_n(&st), 68);
    assert_int_equal(st.metrics.n, 68);
    for (unsigned i = 0; i < 200; i++) {
        struct gw_series *s;

        gw_streams_begin(&st);
        left += gw_streams_get(&st, batches[i], 0, GW_SLICE("more"), &s) == GW_STREAM_OLD;
    }
    assert_int_equal(left, 67);
    st.conf.max_streams = 201;
    gw_streams_begin(&st);
    (void)get(&st, late, 0, GW_STREAM_OLD);
    (void)gw_batch_unref(late);
    late = batch_of("", "", "later", &point, 1);
    gw_streams_begin(&st);
    (void)get(&st, late, 0, GW_STREAM_LIMIT);
    assert_int_equal(st.metrics.n, 201);
    gw_streams_free(&st);
    assert_int_equal(atomic_load(&credit.used_bytes), 0);
    (void)gw_batch_unref(late);
    for (unsigned i = 0; i < 200; i++)
        (void)gw_batch_unref(batches[i]);
}

/*
 * Scenario    two attributes that had to be sorted; then, where the stream behind is looked at first, one of them twice
 *             in the other order than that stream has it
 * Guarantees  it is another stream
 */
static void one_name_twice_in_another_order(void **state)
{
#define A2 "{\"key\":\"a\",\"value\":{\"intValue\":\"2\"}}"
    static const char *const points[] = {B "," A, A "," A2, B "," A, A2 "," A};
    struct gw_batch *b = batch_of("", "", "", points, 4);
    struct gw_credit credit;
    struct gw_streams st;
    struct gw_series *first;

    (void)state;
    open_streams(&st, &credit, 100);
    first = get(&st, b, 0, GW_STREAM_NEW);
    (void)get(&st, b, 1, GW_STREAM_NEW);
    assert_ptr_equal(get(&st, b, 2, GW_STREAM_OLD), first);
    (void)get(&st, b, 3, GW_STREAM_NEW);
    gw_streams_free(&st);
    (void)gw_batch_unref(b);
}

enum { N_NAMES = 3, N_VALUES = 2, MAX_ATTRS = 4, N_ROWS = 400 };

/*
 * Attributes of a point as digits, name × 2 + value each, as they stand. `what`: those of one name together, in the
 * order of the names.
 */
static void random_point(uint64_t *seed, char *text, size_t size, char what[MAX_ATTRS + 1])
{
    unsigned n = (unsigned)(gw_test_random(seed) % (MAX_ATTRS + 1)), codes[MAX_ATTRS];
    size_t len = 0, n_what = 0;

    *text = 0;
    for (unsigned i = 0; i < n; i++) {
        codes[i] = (unsigned)(gw_test_random(seed) % (N_NAMES * N_VALUES));
        len += (size_t)snprintf(text + len, size - len, "%s{\"key\":\"%c\",\"value\":{\"intValue\":\"%u\"}}",
                                i ? "," : "", "abc"[codes[i] / N_VALUES], codes[i] % N_VALUES);
    }
    for (unsigned name = 0; name < N_NAMES; name++)
        for (unsigned i = 0; i < n; i++)
            if (codes[i] / N_VALUES == name)
                what[n_what++] = (char)('0' + codes[i]);
    what[n_what] = 0;
}

/* Any streams in any order, attributes in any order, some twice: the one at hand is the one that came with the same. */
static void one_seed(uint64_t seed)
{
    static char texts[N_ROWS][400], whats[N_ROWS][MAX_ATTRS + 1];
    static const char *points[N_ROWS];
    struct gw_series *of[N_ROWS];
    struct gw_credit credit;
    struct gw_streams st;
    struct gw_batch *b;

    open_streams(&st, &credit, UINT32_MAX);
    for (unsigned i = 0; i < N_ROWS; i++) {
        if (i % 3 == 0 && i > 20) { /* as before, so that what is looked at first is it now and then */
            memcpy(texts[i], texts[i - 20], sizeof(texts[i]));
            memcpy(whats[i], whats[i - 20], sizeof(whats[i]));
        } else {
            random_point(&seed, texts[i], sizeof(texts[i]), whats[i]);
        }
        points[i] = texts[i];
    }
    b = batch_of("", "", "", points, N_ROWS);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < N_ROWS; i++) {
            unsigned k = 0;

            if (i % 50 == 0)
                gw_streams_begin(&st);
            assert_true(gw_streams_get(&st, b, i, GW_SLICE("more"), &of[i]) <= GW_STREAM_NEW);
            while (strcmp(whats[k], whats[i]) != 0)
                k++;
            assert_ptr_equal(of[i], of[k]);
        }
    for (unsigned i = 0; i < N_ROWS; i++)
        for (unsigned k = 0; k < i; k++)
            assert_true((of[i] == of[k]) == (strcmp(whats[i], whats[k]) == 0));
    gw_streams_free(&st);
    (void)gw_batch_unref(b);
}

static void streams_are_the_model_s(void **state)
{
    (void)state;
    gw_test_seeds(20, one_seed);
}

/* Guarantees: by their key all metrics of equal attributes have one number, and others another one. */
static void series_of_one_key(void **state)
{
    static const char *const points[] = {A, B};
    struct gw_batch *one = batch_of(A, "\"name\":\"s\"", "", points, 2);
    struct gw_batch *other = batch_of(A, "\"name\":\"t\"", "", points, 1);
    uint64_t by_key[3], by_series[2];
    struct gw_series_hash h;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        gw_view_init(&v, one, &arena);
        v.batch->metrics[0].name = i ? v.batch->scopes[0].name : v.batch->metrics[0].name; /* another metric */
        gw_series_hash_begin(&h, &v);
        by_series[i] = gw_series_hash_row(&h, 0);
        gw_series_hash_begin(&h, &v);
        h.by_key = true;
        by_key[i] = gw_series_hash_row(&h, 0);
        by_key[2] = gw_series_hash_row(&h, 1);
        gw_view_clear(&v);
    }
    assert_true(by_series[0] != by_series[1]);
    assert_true(by_key[0] == by_key[1] && by_key[0] != by_key[2]);
    gw_view_init(&v, other, &arena);
    gw_series_hash_begin(&h, &v);
    h.by_key = true;
    assert_true(gw_series_hash_row(&h, 0) != by_key[0]);
    gw_view_clear(&v);
    (void)gw_batch_unref(one);
    (void)gw_batch_unref(other);
    gw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_tells_streams_apart),
        cmocka_unit_test(a_sweep_takes_the_silent),
        cmocka_unit_test(one_name_twice_in_another_order),
        cmocka_unit_test(streams_are_the_model_s),
        cmocka_unit_test(series_of_one_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
