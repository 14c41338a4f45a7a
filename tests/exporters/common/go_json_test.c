/* SPDX-License-Identifier: Apache-2.0 */
/* Values as Go's encoding/json writes them. */
#include "exporters/common/go_json.h"

#include <math.h>

#include "tests/harness.h"

static struct gw_go_json g;
static struct gw_buf out;

static const char *text_of(const struct gw_value *v, bool *ret_ok)
{
    gw_buf_clear(&out);
    gw_buf_init(&out, 1 << 20);
    *ret_ok = gw_go_json_put(&g, v, &out);
    gw_buf_put_u8(&out, '\0');
    return (const char *)out.p;
}

static void expect(const struct gw_value *v, const char *want)
{
    bool ok;

    assert_string_equal(text_of(v, &ok), want);
    assert_true(ok);
}

static void expect_text(enum gw_go_escape escape, struct gw_slice s, const char *want)
{
    g.escape = escape;
    expect(&(struct gw_value){.type = GW_V_STRING, .s = s}, want);
    g.escape = GW_GO_PLAIN;
}

/* Scenario: every kind of character that some way of escaping touches, at the end of a text too.
 * Guarantees: what json.Marshal and an encoder without HTML escapes write; nothing that a terminal obeys. */
static void strings_are_escaped_as_go_does_it(void **state)
{
    (void)state;
    expect_text(GW_GO_PLAIN, GW_SLICE(""), "\"\"");
    expect_text(GW_GO_PLAIN, GW_SLICE("a\"\\\b\f\n\r\t\001\037"), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"");
    expect_text(GW_GO_PLAIN, GW_SLICE("<&>\177\302\205"), "\"<&>\177\302\205\"");
    expect_text(GW_GO_HTML, GW_SLICE("<&>\177"), "\"\\u003c\\u0026\\u003e\177\"");
    expect_text(GW_GO_TERMINAL, GW_SLICE("<\177\302\205\302\240\303\251"), "\"<\\u007f\\u0085\302\240\303\251\"");
    expect_text(GW_GO_PLAIN, GW_SLICE("\342\200\250x\342\200\251\342\200\252\342\202\254"),
                "\"\\u2028x\\u2029\342\200\252\342\202\254\"");
    expect_text(GW_GO_TERMINAL, GW_SLICE("\302"), "\"\302\"");
    expect_text(GW_GO_PLAIN, GW_SLICE("\342\200"), "\"\342\200\"");
}

/* Scenario: scalars; numbers that JSON has not.
 * Guarantees: Go's notation, base64, null for nothing; false for the others. */
static void scalars_are_written_as_go_does_it(void **state)
{
    bool ok;

    (void)state;
    expect(&(struct gw_value){.type = GW_V_EMPTY}, "null");
    expect(&(struct gw_value){.type = GW_V_BOOL, .b = true}, "true");
    expect(&(struct gw_value){.type = GW_V_INT, .i = INT64_MIN}, "-9223372036854775808");
    expect(&(struct gw_value){.type = GW_V_DOUBLE, .f = 1e21}, "1e+21");
    expect(&(struct gw_value){.type = GW_V_BYTES, .s = GW_SLICE("ab")}, "\"YWI=\"");
    expect(&(struct gw_value){.type = GW_V_BYTES}, "null");
    (void)text_of(&(struct gw_value){.type = GW_V_DOUBLE, .f = NAN}, &ok);
    assert_false(ok);
    assert_false(g.no_memory);
}

static void put_field(struct gw_buf *b, uint8_t number, struct gw_slice s)
{
    gw_buf_put_u8(b, (uint8_t)(number << 3 | 2));
    gw_buf_put_u8(b, (uint8_t)s.n);
    gw_buf_put_slice(b, s);
}

/* A pair behind those of a KeyValueList. */
static void put_pair(struct gw_buf *list, const char *key, struct gw_slice any)
{
    struct gw_buf kv;

    gw_buf_init(&kv, 200);
    put_field(&kv, 1, gw_slice_cstr(key));
    put_field(&kv, 2, any);
    put_field(list, 1, gw_buf_slice(&kv));
    gw_buf_clear(&kv);
}

/* Scenario: {b: 1, a: [{z: "", y: null}], b: 2}, twice with the same scratch.
 * Guarantees: sorted keys, of equal ones the last; the scratch is as it was. */
static void maps_are_sorted(void **state)
{
    struct gw_buf inner, list, any, outer;
    struct gw_value v = {.type = GW_V_KVLIST};

    (void)state;
    gw_buf_init(&inner, 200);
    gw_buf_init(&list, 200);
    gw_buf_init(&any, 200);
    gw_buf_init(&outer, 200);
    put_pair(&inner, "z", GW_SLICE("\012\000")); /* string_value: "" */
    put_pair(&inner, "y", GW_SLICE(""));
    put_field(&any, 6, gw_buf_slice(&inner)); /* kvlist_value */
    put_field(&list, 1, gw_buf_slice(&any));
    gw_buf_reset(&any);
    put_field(&any, 5, gw_buf_slice(&list)); /* array_value */
    put_pair(&outer, "b", GW_SLICE("\030\001"));
    put_pair(&outer, "a", gw_buf_slice(&any));
    put_pair(&outer, "b", GW_SLICE("\030\002"));
    v.s = gw_buf_slice(&outer);
    expect(&v, "{\"a\":[{\"y\":null,\"z\":\"\"}],\"b\":2}");
    expect(&v, "{\"a\":[{\"y\":null,\"z\":\"\"}],\"b\":2}");
    assert_int_equal(g.n, 0);
    gw_buf_clear(&inner);
    gw_buf_clear(&list);
    gw_buf_clear(&any);
    gw_buf_clear(&outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_go_does_it),
        cmocka_unit_test(scalars_are_written_as_go_does_it),
        cmocka_unit_test(maps_are_sorted),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    gw_go_json_clear(&g);
    gw_buf_clear(&out);
    return r;
}
