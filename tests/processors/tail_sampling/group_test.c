/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by trace, and their bytes as the Collector counts them. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness_processor.h"

#include "otlp-proto/decode.h"
#include "processors/tail_sampling/group.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

/* A span: an id of a byte's repetition, then these fields. */
#define SPAN(id, more)                                                                                                 \
    "0a10" id id id id id id id id id id id id id id id id "1208"                                                      \
    "0102030405060708" more
#define PARENT                                                                                                         \
    "2208"                                                                                                             \
    "0909090909090909"

static struct gw_batch *decoded(const char *hex)
{
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_err err = {""};
    struct gw_ref at;
    uint8_t *p;
    size_t n;

    gw_hex(hex, &p, &n);
    assert_int_equal(gw_batch_append(b, gw_slice_of(p, n), &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    free(p);
    return b;
}

/*
 * Scenario: spans with and without a parent and a status, an empty one and one followed by flags, in one scope of one
 * resource
 * Guarantees: as pdata's ResourceSpansSize: a parent's and a status' empty field are two bytes each, whoever wrote
 * them; and as TracesSize, with the frame of the resource
 */
static void bytes_are_those_of_pdata(void **state)
{
    static const struct {
        const char *span;
        unsigned len, counted; /* on the wire, and as it is counted */
    } t[] = {
        {SPAN("07", PARENT "7a021802"), 42, 42},
        {SPAN("07", PARENT "7a00"), 40, 40},
        {SPAN("07", PARENT), 38, 40},
        {SPAN("07", "7a00"), 30, 32},
        {SPAN("07", ""), 28, 32},
        {SPAN("07", PARENT "7a00850101000000"), 46, 46},
        {SPAN("07", PARENT "850101000000"), 44, 46},
        {SPAN("07", PARENT "7a03120161"), 43, 43},
        {SPAN("07", "22007a00"), 32, 32},
        {SPAN("07", "22080000000000000000"), 38, 32},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char hex[512];
        struct gw_batch *b;
        uint32_t row = 0;

        /* ResourceSpans { resource: 2 bytes, scope_spans { scope: 2 bytes, span } } */
        (void)snprintf(hex, sizeof(hex),
                       "0a%02x0a00"
                       "12%02x0a00"
                       "12%02x%s",
                       t[i].len + 8, t[i].len + 4, t[i].len, t[i].span);
        b = decoded(hex);
        assert_int_equal(gw_trace_bytes_of(b, &row, 1).bare, t[i].counted + 2 + 2 + 2 + 2);
        assert_int_equal(gw_trace_bytes_of(b, &row, 1).framed, t[i].counted + 2 + 2 + 2 + 2 + 2);
        (void)gw_batch_unref(b);
    }
}

/*
 * Scenario: two resources, the second with two scopes; rows of a trace in all of them, and one of another trace
 * Guarantees: groups in order of their first rows, rows ascending; each resource and scope is counted once
 */
static void rows_are_grouped_by_trace(void **state)
{
    /* 42 bytes a span: 44 with its head */
#define ROW(id) "122a" SPAN(id, PARENT "7a021802")
    struct gw_batch *b = decoded("0a5e0a00125a0a00" ROW("07") ROW("08") /* 2 spans: 2 + 88 */
                                 "0a620a00122e0a00" ROW("07") "122e0a00" ROW("07"));
    struct gw_trace_groups g;
    struct gw_arena arena;
    struct gw_view v;

    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    gw_view_init(&v, b, &arena);
    assert_int_equal(b->n_rows, 4);
    assert_int_equal(gw_trace_groups_of(&v, &g), 0);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.n_without_id, 0);
    assert_int_equal(g.list[0].n, 3);
    assert_int_equal(g.list[0].rows[0], 0);
    assert_int_equal(g.list[0].rows[1], 2);
    assert_int_equal(g.list[0].rows[2], 3);
    assert_int_equal(g.list[1].rows[0], 1);
    /* resource 2 + scope spans (2 + 2 + 44), then resource 2 + twice that */
    assert_int_equal(gw_trace_bytes_of(b, g.list[0].rows, 3).bare, (2 + 48) + (2 + 48 + 48));
    assert_int_equal(gw_trace_bytes_of(b, g.list[0].rows, 3).framed, 2 + (2 + 48) + 2 + (2 + 48 + 48));
    assert_int_equal(gw_trace_bytes_of(b, g.list[0].rows, 0).framed, 0);
    gw_view_clear(&v);
    (void)gw_batch_unref(b);
    gw_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_pdata),
        cmocka_unit_test(rows_are_grouped_by_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
