/* SPDX-License-Identifier: Apache-2.0 */
/* Encoded lists and maps: written piece by piece, read back, and as text in both styles. */
#include "tests/harness.h"

#include "core/arena.h"
#include "values/value.h"

static struct gw_arena arena;
static struct gw_buf buf;

static struct gw_value text(const char *s)
{
    return (struct gw_value){.type = GW_V_STRING, .s = gw_slice_cstr(s)};
}

/* One of every type, in a list and in a map; long enough for lengths of two bytes. */
static unsigned every(struct gw_value ret[8])
{
    static char long_text[301];
    static const uint8_t inner[] = {0x0a, 0x02, 0x18, 0x05}; /* [5] */

    memset(long_text, 'x', 300);
    ret[0] = (struct gw_value){.type = GW_V_EMPTY};
    ret[1] = text(long_text);
    ret[2] = (struct gw_value){.type = GW_V_BOOL, .b = true};
    ret[3] = (struct gw_value){.type = GW_V_INT, .i = -1};
    ret[4] = (struct gw_value){.type = GW_V_DOUBLE, .f = 1.5e-9};
    ret[5] = (struct gw_value){.type = GW_V_BYTES, .s = GW_SLICE("\x01\x02")};
    ret[6] = (struct gw_value){.type = GW_V_ARRAY, .s = {inner, sizeof(inner)}};
    ret[7] = (struct gw_value){.type = GW_V_KVLIST, .s = GW_SLICE("")};
    return 8;
}

static void test_list(void **state)
{
    struct gw_value in[8], out;
    struct gw_slice rest;
    unsigned n = every(in);

    (void)state;
    gw_buf_reset(&buf);
    for (unsigned i = 0; i < n; i++)
        gw_value_put_item(&buf, &in[i]);
    rest = gw_buf_slice(&buf);
    for (unsigned i = 0; i < n; i++) {
        assert_true(gw_value_list_next(&rest, &out));
        assert_true(gw_value_eq(&in[i], &out, &arena));
    }
    assert_false(gw_value_list_next(&rest, &out));
    assert_int_equal(rest.n, 0);
}

static void test_map(void **state)
{
    struct gw_value in[8], out, map;
    struct gw_slice rest, key, is;
    unsigned n = every(in);

    (void)state;
    gw_buf_reset(&buf);
    for (unsigned i = 0; i < n; i++)
        gw_value_put_pair(&buf, gw_slice_of(&"hgfedcba"[i], 1), &in[i]);
    gw_value_put_pair(&buf, GW_SLICE(""), &in[2]);
    rest = gw_buf_slice(&buf);
    for (unsigned i = 0; i < n; i++) {
        assert_true(gw_value_map_next(&rest, &key, &out));
        assert_true(gw_slice_eq(key, gw_slice_of(&"hgfedcba"[i], 1)) && gw_value_eq(&in[i], &out, &arena));
    }
    assert_true(gw_value_map_next(&rest, &key, &out) && key.n == 0 && out.b);
    assert_false(gw_value_map_next(&rest, &key, &out));
    in[1].s.n = 1;
    gw_buf_reset(&buf);
    for (unsigned i = 0; i < n; i++)
        gw_value_put_pair(&buf, gw_slice_of(&"hgfedcba"[i], 1), &in[i]);
    map = (struct gw_value){.type = GW_V_KVLIST, .s = gw_arena_dup(&arena, gw_buf_slice(&buf))};
    assert_true(gw_value_text(&map, &arena, &is));
    assert_true(gw_slice_is(is, "{\"a\":{},\"b\":[5],\"c\":\"AQI=\",\"d\":1.5e-9,\"e\":-1,\"f\":true,\"g\":\"x\","
                                "\"h\":null}"));
}

static void check(struct gw_value v, enum gw_text_style how, bool json, const char *expected)
{
    gw_buf_reset(&buf);
    if (json)
        gw_value_put_json(&buf, &v, &arena, how);
    else
        gw_value_put_text(&buf, &v, &arena, how);
    assert_true(gw_slice_is(gw_buf_slice(&buf), expected));
}

static void test_styles(void **state)
{
    struct gw_value small = {.type = GW_V_DOUBLE, .f = 1e-7}, nothing = {.type = GW_V_EMPTY};

    (void)state;
    check(text("<\b&\n>"), GW_TEXT_PLAIN, true, "\"<\\b&\\n>\"");
    check(text("<\b&\n>"), GW_TEXT_HTML, true, "\"\\u003c\\u0008\\u0026\\n\\u003e\"");
    check(text("<\b"), GW_TEXT_HTML, false, "<\b");
    check(small, GW_TEXT_PLAIN, true, "1e-7");
    check(small, GW_TEXT_HTML, true, "1e-07");
    check(nothing, GW_TEXT_PLAIN, true, "null");
    check(nothing, GW_TEXT_PLAIN, false, "");
    check((struct gw_value){.type = GW_V_BYTES, .s = GW_SLICE("\x01\x02")}, GW_TEXT_PLAIN, false, "AQI=");
}

static int setup(void **state)
{
    (void)state;
    gw_arena_init(&arena, 4096, 1 << 20);
    gw_buf_init(&buf, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gw_arena_clear(&arena);
    gw_buf_clear(&buf);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_map),
                                       cmocka_unit_test(test_styles)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
