/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that a mapping refuses: found in the server's sentence, changed in the document. */
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>

#include "exporters/elasticsearch/remedy.h"

/* Scenario: the sentences of Elasticsearch 7, 8, 9 and OpenSearch about a value of another type, and sentences about
 * something else.
 * Guarantees: the field's name, or nothing. */
static void the_field_is_in_the_sentence(void **state)
{
    static const struct {
        const char *type, *reason, *field;
    } cases[] = {
        {"mapper_parsing_exception",
         "failed to parse field [attributes.user] of type [long] in document with id 'a'. Preview of field's value: "
         "'x'",
         "attributes.user"},
        {"document_parsing_exception", "[1:57] failed to parse field [a b] of type [date] in document with id '1'",
         "a b"},
        {"document_parsing_exception",
         "[1:12] object mapping for [body.structured.x] tried to parse field [x] as object, but found a concrete value",
         "body.structured.x"},
        {"illegal_argument_exception", "mapper [x] cannot be changed from type [long] to [text]", "x"},
        {"illegal_argument_exception", "can't merge a non object mapping [x.y] with an object mapping", "x.y"},
        {"illegal_argument_exception", "data stream timestamp field [@timestamp] is missing", ""},
        {"version_conflict_engine_exception", "failed to parse field [x] of type [long]", ""},
        {"mapper_parsing_exception", "failed to parse field [x", ""},
        {"mapper_parsing_exception", "", ""},
        {"", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_slice f = gw_es_conflict_field(cases[i].type, cases[i].reason);

        if (!gw_slice_is(f, cases[i].field))
            fail_msg("%s: %.*s", cases[i].reason, (int)f.n, f.n ? (const char *)f.p : "");
    }
}

/* Scenario: patterns with stars at the ends, inside, several, none.
 * Guarantees: * is any text; everything else is itself. */
static void a_star_is_any_text(void **state)
{
    static const struct {
        const char *pattern, *field;
        bool fits;
    } cases[] = {
        {"*", "", true},      {"*", "a.b", true},       {"a.*", "a.b", true},   {"a.*", "a", false},
        {"*.b", "a.b", true}, {"a*c*e", "abcde", true}, {"a*c*e", "ace", true}, {"a*c*e", "aec", false},
        {"a.b", "a.b", true}, {"a.b", "a.bc", false},   {"a.b", "a.", false},   {"", "", true},
        {"", "a", false},     {"**", "x", true},        {"*a*a*", "aba", true}, {"*ab", "aab", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (gw_es_field_matches(cases[i].pattern, gw_slice_cstr(cases[i].field)) != cases[i].fits)
            fail_msg("%s, %s", cases[i].pattern, cases[i].field);
}

/* Scenario: documents with the field nested, in one key with dots, half and half, behind another of a similar name; of
 * every type.
 * Guarantees: that one value is changed, and not a byte besides it. */
static void the_value_alone_is_changed(void **state)
{
    static const struct {
        const char *doc, *field, *stringified, *renamed;
    } cases[] = {
        {"{\"a\":1}", "a", "{\"a\":\"1\"}", "{\"a_long\":1}"},
        {"{\"a\":-1.5e3,\"b\":2}", "a", "{\"a\":\"-1.5e3\",\"b\":2}", "{\"a_double\":-1.5e3,\"b\":2}"},
        {"{\"a\":true}", "a", "{\"a\":\"true\"}", "{\"a_boolean\":true}"},
        {"{\"a\":{\"x\":\"\\\"\"}}", "a", "{\"a\":\"{\\\"x\\\":\\\"\\\\\\\"\\\"}\"}",
         "{\"a_object\":{\"x\":\"\\\"\"}}"},
        {"{\"a\":[1,2]}", "a", "{\"a\":\"[1,2]\"}", "{\"a_long\":[1,2]}"},
        {"{\"a\":[ \"x\"]}", "a", "{\"a\":\"[ \\\"x\\\"]\"}", "{\"a_string\":[ \"x\"]}"},
        {"{\"a\":\"x\"}", "a", NULL, "{\"a_string\":\"x\"}"},
        {"{\"a\":null}", "a", NULL, NULL},
        {"{\"a\":[]}", "a", NULL, NULL},
        {"{\"attributes\":{\"u\":{\"id\":7}}}", "attributes.u.id", "{\"attributes\":{\"u\":{\"id\":\"7\"}}}",
         "{\"attributes\":{\"u\":{\"id_long\":7}}}"},
        {"{\"attributes\":{\"u.id\":7}}", "attributes.u.id", "{\"attributes\":{\"u.id\":\"7\"}}",
         "{\"attributes\":{\"u.id_long\":7}}"},
        {"{\"a.b\":{\"c\":1},\"a\":{\"b.c\":2}}", "a.b.c", "{\"a.b\":{\"c\":\"1\"},\"a\":{\"b.c\":2}}",
         "{\"a.b\":{\"c_long\":1},\"a\":{\"b.c\":2}}"},
        {"{\"a\":{\"x\":1},\"a\":{\"b\":2}}", "a.b", "{\"a\":{\"x\":1},\"a\":{\"b\":\"2\"}}",
         "{\"a\":{\"x\":1},\"a\":{\"b_long\":2}}"},
        {"{\"ab\":1,\"a\":{\"b\":{\"c\":3}}}", "a.b.c", "{\"ab\":1,\"a\":{\"b\":{\"c\":\"3\"}}}",
         "{\"ab\":1,\"a\":{\"b\":{\"c_long\":3}}}"},
        {" { \"a\" : 1 } ", "a", " { \"a\" : \"1\" } ", " { \"a_long\" : 1 } "},
        {"{\"a\":1}", "b", NULL, NULL},
        {"{\"a\":1}", "a.b", NULL, NULL},
        {"{\"a\":[{\"b\":1}]}", "a.b", NULL, NULL},
        {"{}", "a", NULL, NULL},
        {"[1]", "a", NULL, NULL},
        {"", "a", NULL, NULL},
        {"{\"\":1}", "", NULL, NULL},
    };
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 10000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned how = GW_ES_STRINGIFY; how <= GW_ES_RENAME; how++) {
            const char *want = how == GW_ES_STRINGIFY ? cases[i].stringified : cases[i].renamed;
            int r;

            gw_buf_reset(&out);
            gw_buf_put_str(&out, "|");
            r = gw_es_remedy((enum gw_es_remedy)how, gw_slice_cstr(cases[i].doc), gw_slice_cstr(cases[i].field), &out);
            gw_buf_put_u8(&out, '\0');
            assert_int_equal(r < 0, want == NULL);
            if (strcmp((const char *)out.p + 1, want ? want : "") != 0)
                fail_msg("%s, %s: %s", cases[i].doc, cases[i].field, (const char *)out.p);
        }
    assert_int_equal(gw_es_remedy(GW_ES_DEAD_LETTER, GW_SLICE("{\"a\":1}"), GW_SLICE("a"), &out), -EALREADY);
    gw_buf_clear(&out);
}

/* Scenario: no room; a document nested a thousand times.
 * Guarantees: an error, and nothing appended. */
static void no_room_changes_nothing(void **state)
{
    struct gw_buf out, deep;

    (void)state;
    gw_buf_init(&out, 10);
    gw_buf_put_str(&out, "12345");
    assert_int_equal(gw_es_remedy(GW_ES_RENAME, GW_SLICE("{\"a\":1}"), GW_SLICE("a"), &out), -E2BIG);
    assert_int_equal(out.n, 5);
    assert_false(out.failed);
    gw_buf_clear(&out);

    gw_buf_init(&deep, 100000);
    gw_buf_init(&out, 100000);
    for (unsigned i = 0; i < 1000; i++)
        gw_buf_put_str(&deep, "{\"a\":");
    gw_buf_put_str(&deep, "1");
    for (unsigned i = 0; i < 1000; i++)
        gw_buf_put_str(&deep, "}");
    for (unsigned i = 0; i < 1000; i++)
        gw_buf_put_str(&out, i ? ".a" : "a");
    assert_true(gw_es_remedy(GW_ES_RENAME, gw_buf_slice(&deep), gw_buf_slice(&out), &out) < 0);
    gw_buf_clear(&out);
    gw_buf_clear(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_is_in_the_sentence),
        cmocka_unit_test(a_star_is_any_text),
        cmocka_unit_test(the_value_alone_is_changed),
        cmocka_unit_test(no_room_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
