/* SPDX-License-Identifier: Apache-2.0 */
/* What is read is shown as the writer writes it (json_write_test.c compares that with the Collector). */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "otlp-proto/json.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

#define SPAN(members) "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" members "}]}]}]}"
#define SPAN_OUT(members)                                                                                              \
    "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{" members "\"status\":{}}]}]}]}"
#define VALUE(v)     SPAN("\"attributes\":[{\"key\":\"k\",\"value\":{" v "}}]")
#define VALUE_OUT(v) SPAN_OUT("\"attributes\":[{\"key\":\"k\",\"value\":{" v "}}],")
#define POINT(type, members)                                                                                           \
    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"" type "\":{\"dataPoints\":[{" members "}]}}]}]}]}"
#define POINT_OUT(type, members)                                                                                       \
    "{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"scope\":{},\"metrics\":[{\"" type                     \
    "\":{\"dataPoints\":[{" members "}]}}]}]}]}"

/** The text through protobuf and back, or "! why". */
static const char *read_back(enum gw_signal s, struct gw_slice text)
{
    static char line[65536];
    struct gw_buf proto, json;
    struct gw_err err = {""};
    /* A copy of exact size: reading behind the end is seen by ASan. */
    uint8_t *copy = malloc(text.n ? text.n : 1);
    int rc;

    assert_non_null(copy);
    if (text.n)
        memcpy(copy, text.p, text.n);
    gw_buf_init(&proto, 1 << 20);
    gw_buf_init(&json, sizeof(line) - 1);
    rc = gw_json_to_proto(s, gw_slice_of(copy, text.n), &limits, &proto, &err);
    if (rc < 0) {
        assert_int_equal(rc, -EBADMSG);
        assert_int_equal(proto.n, 0);
        (void)snprintf(line, sizeof(line), "! %s", err.text);
    } else {
        assert_int_equal(gw_proto_to_json(s, gw_buf_slice(&proto), &json), 0);
        memcpy(line, json.p, json.n);
        line[json.n] = 0;
    }
    gw_buf_clear(&proto);
    gw_buf_clear(&json);
    free(copy);
    return line;
}

static void assert_reads(enum gw_signal s, const char *text, const char *want)
{
    assert_string_equal(read_back(s, gw_slice_cstr(text)), want);
}

static void assert_refuses(enum gw_signal s, const char *text, const char *want)
{
    const char *got = read_back(s, gw_slice_cstr(text));

    if (got[0] != '!' || !strstr(got, want))
        print_error("%s\n  gave %s\n", text, got);
    assert_true(got[0] == '!' && strstr(got, want));
}

/* Scenario: requests without anything in them.
 * Guarantees: they are accepted, and become no rows. */
static void empty_requests_are_accepted(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, "{}", "{}");
    assert_reads(GW_LOGS, " \t\r\n{ } \n", "{}");
    assert_reads(GW_METRICS, "null", "{}");
    assert_reads(GW_TRACES, "{\"resourceSpans\":[]}", "{}");
    assert_reads(GW_TRACES, "{\"resourceSpans\":null}", "{}");
    assert_reads(GW_TRACES, "{\"resourceSpans\":[null]}", "{\"resourceSpans\":[{\"resource\":{}}]}");
}

/* Scenario: whole numbers as JSON numbers, strings, with fraction and exponent, at the ends of their ranges.
 * Guarantees: what is a whole number in range is read exactly; everything else is refused with the field's name. */
static void whole_numbers_are_exact(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":\"18446744073709551615\""),
                 SPAN_OUT("\"startTimeUnixNano\":\"18446744073709551615\","));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":1e3"), SPAN_OUT("\"startTimeUnixNano\":\"1000\","));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":1.5E+1"), SPAN_OUT("\"startTimeUnixNano\":\"15\","));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":\"1200e-2\""), SPAN_OUT("\"startTimeUnixNano\":\"12\","));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":0.0e99"), SPAN_OUT(""));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":\"+007\""), SPAN_OUT("\"startTimeUnixNano\":\"7\","));
    assert_reads(GW_TRACES, SPAN("\"flags\":\"257\""), SPAN_OUT("\"flags\":257,"));
    assert_reads(GW_TRACES, SPAN("\"flags\":4294967295"), SPAN_OUT("\"flags\":4294967295,"));
    assert_reads(GW_TRACES, VALUE("\"intValue\":-9223372036854775808"),
                 VALUE_OUT("\"intValue\":\"-9223372036854775808\""));
    assert_reads(GW_TRACES, VALUE("\"intValue\":-0"), VALUE_OUT("\"intValue\":\"0\""));
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":18446744073709551616"),
                   "startTimeUnixNano: 18446744073709551616");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":1e20"), "not a whole number in its range");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":1.5"), "not a whole number in its range");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":-1"), "not a whole number in its range");
    assert_refuses(GW_TRACES, SPAN("\"flags\":4294967296"), "flags: 4294967296");
    assert_refuses(GW_TRACES, VALUE("\"intValue\":-9223372036854775809"), "intValue");
    assert_refuses(GW_TRACES, VALUE("\"intValue\":9223372036854775808"), "intValue");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":01"), "may not begin with 0");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":-"), "not a number");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":1."), "not a number");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":\"\""), "is not a number");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":\"5 \""), "\"5 \" is not a number");
    assert_refuses(GW_TRACES, SPAN("\"startTimeUnixNano\":true"), "startTimeUnixNano: expected a number");
}

/* Scenario: doubles as numbers and as words.
 * Guarantees: the nearest double, NaN and infinities; what no double can hold is refused. */
static void doubles_are_the_nearest(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":0.1"), VALUE_OUT("\"doubleValue\":0.1"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":\"-2.5e-3\""), VALUE_OUT("\"doubleValue\":-0.0025"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":9007199254740993"), VALUE_OUT("\"doubleValue\":9007199254740992"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":1.7976931348623157e308"),
                 VALUE_OUT("\"doubleValue\":1.7976931348623157e+308"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":123456789012345678901234567890e-10"),
                 VALUE_OUT("\"doubleValue\":12345678901234567000"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":-0.0"), VALUE_OUT("\"doubleValue\":-0"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":1e-400"), VALUE_OUT("\"doubleValue\":0"));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":\"NaN\""), VALUE_OUT("\"doubleValue\":\"NaN\""));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":\"Infinity\""), VALUE_OUT("\"doubleValue\":\"Infinity\""));
    assert_reads(GW_TRACES, VALUE("\"doubleValue\":\"-inf\""), VALUE_OUT("\"doubleValue\":\"-Infinity\""));
    assert_refuses(GW_TRACES, VALUE("\"doubleValue\":1e999"), "doubleValue");
    assert_refuses(GW_TRACES, VALUE("\"doubleValue\":NaN"), "expected a number");
    assert_refuses(GW_TRACES, VALUE("\"doubleValue\":\"infinite\""), "doubleValue");
    assert_refuses(GW_TRACES, VALUE("\"doubleValue\":\"\""), "doubleValue");
}

/* Scenario: enums as numbers and as names, known and not.
 * Guarantees: both are read; a number nobody knows is kept, a name nobody knows is refused. */
static void enums_are_numbers_or_names(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, SPAN("\"kind\":3"), SPAN_OUT("\"kind\":3,"));
    assert_reads(GW_TRACES, SPAN("\"kind\":\"SPAN_KIND_CONSUMER\""), SPAN_OUT("\"kind\":5,"));
    assert_reads(GW_TRACES, SPAN("\"kind\":\"SPAN_KIND_UNSPECIFIED\""), SPAN_OUT(""));
    assert_reads(GW_TRACES, SPAN("\"kind\":77"), SPAN_OUT("\"kind\":77,"));
    assert_reads(GW_TRACES, SPAN("\"kind\":-1"), SPAN_OUT("\"kind\":-1,"));
    assert_refuses(GW_TRACES, SPAN("\"kind\":\"SERVER\""), "kind: \"SERVER\" is not one of its values");
    assert_refuses(GW_TRACES, SPAN("\"kind\":\"SPAN_KIND_SERVERS\""), "is not one of its values");
    assert_refuses(GW_TRACES, SPAN("\"kind\":2147483648"), "kind");
    /* A long name is shown in part, in whole characters: the message must be UTF-8 itself. */
    assert_refuses(GW_TRACES, SPAN("\"kind\":\"x123456789012345678901234567890123456789y\""),
                   "\"x123456789012345678901234567890123456789\" is not");
    assert_refuses(GW_TRACES, SPAN("\"kind\":\"x12345678901234567890123456789012345678\xc3\xa9\""),
                   "\"x12345678901234567890123456789012345678\" is not");
    assert_reads(
        GW_LOGS,
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":\"SEVERITY_NUMBER_FATAL4\"}]}]}]}",
        "{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"severityNumber\":24,"
        "\"body\":{}}]}]}]}");
}

/* Scenario: ids in hexadecimal of both cases and of wrong lengths; bytes in both base64 alphabets.
 * Guarantees: an id of a wrong length is kept as in protobuf (the decoder marks the row); what is no hex or base64 is
 * refused. */
static void ids_are_hex_and_bytes_are_base64(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, SPAN("\"traceId\":\"AABBCCDDEEFF00112233445566778899\""),
                 SPAN_OUT("\"traceId\":\"aabbccddeeff00112233445566778899\","));
    assert_reads(GW_TRACES, SPAN("\"traceId\":\"\",\"spanId\":\"0000000000000000\""), SPAN_OUT(""));
    assert_reads(GW_TRACES, SPAN("\"spanId\":\"\\u0030102\""), SPAN_OUT("\"spanId\":\"0102\","));
    assert_refuses(GW_TRACES, SPAN("\"spanId\":\"010\""), "spanId: not hexadecimal");
    assert_refuses(GW_TRACES, SPAN("\"traceId\":\"AAECAwQFBgcICQoLDA0ODw==\""), "traceId: not hexadecimal");
    assert_refuses(GW_TRACES, SPAN("\"traceId\":5"), "traceId: expected a string");
    assert_reads(GW_TRACES, VALUE("\"bytesValue\":\"+/8=\""), VALUE_OUT("\"bytesValue\":\"+/8=\""));
    assert_reads(GW_TRACES, VALUE("\"bytesValue\":\"-_8\""), VALUE_OUT("\"bytesValue\":\"+/8=\""));
    assert_reads(GW_TRACES, VALUE("\"bytesValue\":\"+\\/8=\""), VALUE_OUT("\"bytesValue\":\"+/8=\""));
    assert_reads(GW_TRACES, VALUE("\"bytesValue\":\"Zm\\n9v\""), VALUE_OUT("\"bytesValue\":\"Zm9v\""));
    assert_reads(GW_TRACES, VALUE("\"bytesValue\":\"\""), VALUE_OUT("\"bytesValue\":\"\""));
    assert_refuses(GW_TRACES, VALUE("\"bytesValue\":\"Z\""), "bytesValue: not base64");
    assert_refuses(GW_TRACES, VALUE("\"bytesValue\":\"Zg=\""), "bytesValue: not base64");
    assert_refuses(GW_TRACES, VALUE("\"bytesValue\":\"Zg==Zg==\""), "bytesValue: not base64");
    assert_refuses(GW_TRACES, VALUE("\"bytesValue\":\"Z g=\""), "bytesValue: not base64");
    assert_refuses(GW_TRACES, VALUE("\"bytesValue\":\"====\""), "bytesValue: not base64");
}

/* Scenario: strings with every escape, at lengths around the steps of 16 bytes and of the length's own size.
 * Guarantees: the text is the one meant; half surrogates, control characters and unknown escapes are refused. */
static void strings_are_unescaped(void **state)
{
    char text[600], want[600], run[400];

    (void)state;
    assert_reads(GW_TRACES, SPAN("\"name\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\""),
                 SPAN_OUT("\"name\":\"\\\"\\\\/\\u0008\\u000c\\n\\r\\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\","));
    assert_reads(GW_TRACES, SPAN("\"name\":\"a\\u0000b\""), SPAN_OUT("\"name\":\"a\\u0000b\","));
    for (size_t n = 0; n < 300; n += n < 40 || (n > 120 && n < 136) ? 1 : 7) {
        memset(run, 'x', n);
        run[n] = 0;
        (void)snprintf(text, sizeof(text), SPAN("\"name\":\"\\u0041%s\""), run);
        (void)snprintf(want, sizeof(want), SPAN_OUT("\"name\":\"A%s\","), run);
        assert_reads(GW_TRACES, text, want);
    }
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\ud83d\""), "half of a surrogate pair (\\ud83d)");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\ude00\\ud83d\""), "half of a surrogate pair (\\ude00)");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\ud83d\\u0041\""), "half of a surrogate pair");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\u12g4\""), "four hexadecimal digits");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\u12"), "without an end");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"\\x41\""), "unknown escape");
    assert_refuses(GW_TRACES, SPAN("\"name\":\"tab\there\""), "control character (0x09)");
    assert_refuses(GW_TRACES, "{\"resourceSpans", "without an end");
    assert_refuses(GW_TRACES, "{\"x\\", "without an end");
}

/* Scenario: keys in snake_case, with escapes, unknown to OTLP with values of every shape; nulls everywhere.
 * Guarantees: snake_case and escaped keys are the same keys; unknown ones are read over but must be JSON; null is as if
 * the key were not there. */
static void keys_are_forgiving(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, SPAN("\"start_time_unix_nano\":\"7\",\"trace_state\":\"t\""),
                 SPAN_OUT("\"traceState\":\"t\",\"startTimeUnixNano\":\"7\","));
    assert_reads(GW_TRACES, SPAN("\"n\\u0061me\":\"esc\""), SPAN_OUT("\"name\":\"esc\","));
    assert_reads(GW_TRACES, SPAN("\"u\":{\"a\":[1,{},[],\"\\n\",null,true,-1.5e3,{\"b\":[[[]]]}]},\"name\":\"n\""),
                 SPAN_OUT("\"name\":\"n\","));
    assert_reads(GW_TRACES,
                 SPAN("\"name\":null,\"kind\":null,\"attributes\":null,\"startTimeUnixNano\":null,\"status\":null"),
                 SPAN_OUT(""));
    assert_reads(GW_TRACES, VALUE("\"stringValue\":null"), VALUE_OUT(""));
    assert_reads(GW_TRACES, VALUE("\"arrayValue\":{\"values\":[null,{}]}"),
                 VALUE_OUT("\"arrayValue\":{\"values\":[{},{}]}"));
    assert_refuses(GW_TRACES, SPAN("\"u\":tru"), "expected a value");
    assert_refuses(GW_TRACES, SPAN("\"u\":[1,]"), "expected a value");
    assert_refuses(GW_TRACES, SPAN("\"u\":{\"a\"}"), "expected ':'");
    assert_refuses(GW_TRACES, SPAN("\"u\":{\"a\":1,}"), "expected a key");
    assert_refuses(GW_TRACES, SPAN("\"u\":\"\\q\""), "unknown escape");
    assert_refuses(GW_TRACES, SPAN("\"u\":01"), "may not begin with 0");
    assert_refuses(GW_TRACES, SPAN("\"u\":[1 2]"), "expected ',' or ']'");
}

/* Scenario: one key twice, in every kind of field; two members of a oneof; a value before its key.
 * Guarantees: the last one counts, whole; lists are joined; the order of keys does not matter. */
static void the_last_of_two_counts(void **state)
{
    (void)state;
    assert_reads(GW_TRACES, SPAN("\"name\":\"a\",\"kind\":2,\"name\":\"b\""), SPAN_OUT("\"name\":\"b\",\"kind\":2,"));
    assert_reads(GW_TRACES, SPAN("\"name\":\"a\",\"kind\":2,\"name\":\"\",\"kind\":0"), SPAN_OUT(""));
    assert_reads(GW_TRACES, SPAN("\"startTimeUnixNano\":1,\"flags\":3,\"startTimeUnixNano\":2,\"flags\":4"),
                 SPAN_OUT("\"flags\":4,\"startTimeUnixNano\":\"2\","));
    assert_reads(
        GW_TRACES, SPAN("\"status\":{\"code\":2,\"message\":\"x\"},\"name\":\"n\",\"status\":{\"code\":1}"),
        "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"name\":\"n\",\"status\":"
        "{\"code\":1}}]}]}]}");
    assert_reads(GW_TRACES, SPAN("\"attributes\":[{\"key\":\"a\"}],\"attributes\":[{\"key\":\"b\"}]"),
                 SPAN_OUT("\"attributes\":[{\"key\":\"a\",\"value\":{}},{\"key\":\"b\",\"value\":{}}],"));
    assert_reads(GW_METRICS, POINT("histogram", "\"bucketCounts\":[1,2],\"count\":3,\"bucketCounts\":[\"3\"]"),
                 POINT_OUT("histogram", "\"count\":\"3\",\"bucketCounts\":[\"1\",\"2\",\"3\"]"));
    assert_reads(GW_TRACES, VALUE("\"stringValue\":\"a\",\"intValue\":5"), VALUE_OUT("\"intValue\":\"5\""));
    assert_reads(GW_TRACES, VALUE("\"arrayValue\":{\"values\":[{\"intValue\":1}]},\"stringValue\":\"\""),
                 VALUE_OUT("\"stringValue\":\"\""));
    assert_reads(GW_TRACES, SPAN("\"attributes\":[{\"value\":{\"intValue\":5},\"key\":\"k\"}]"),
                 VALUE_OUT("\"intValue\":\"5\""));
    assert_reads(GW_TRACES, SPAN("\"attributes\":[{\"key\":\"j\",\"value\":{\"intValue\":5},\"key\":\"k\"}]"),
                 VALUE_OUT("\"intValue\":\"5\""));
}

/* Scenario: an attribute whose value stands before its key.
 * Guarantees: in protobuf the key is the first field, as encoders write it and decoders expect it. */
static void keys_stand_before_values(void **state)
{
    static const uint8_t want[] = {0x0a, 0x0b, 0x0a, 0x09, 0x0a, 0x07, 0x0a, 0x01, 'k', 0x12, 0x02, 0x18, 0x05};
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1000);
    assert_int_equal(gw_json_to_proto(GW_TRACES,
                                      GW_SLICE("{\"resourceSpans\":[{\"resource\":{\"attributes\":["
                                               "{\"value\":{\"intValue\":5},\"key\":\"k\"}]}}]}"),
                                      &limits, &out, NULL),
                     0);
    assert_int_equal(out.n, sizeof(want));
    assert_memory_equal(out.p, want, sizeof(want));
    gw_buf_clear(&out);
}

/* Scenario: `optional` fields and members of a oneof that are zero; lists of numbers.
 * Guarantees: their presence is kept; a list becomes one packed run; a list with null or a stray comma is refused. */
static void presence_is_kept(void **state)
{
    (void)state;
    assert_reads(GW_METRICS, POINT("histogram", "\"sum\":0,\"min\":0,\"count\":0"),
                 POINT_OUT("histogram", "\"sum\":0,\"min\":0"));
    assert_reads(GW_METRICS, POINT("gauge", "\"asInt\":\"0\""), POINT_OUT("gauge", "\"asInt\":\"0\""));
    assert_reads(GW_METRICS, POINT("gauge", "\"asDouble\":0"), POINT_OUT("gauge", "\"asDouble\":0"));
    assert_reads(GW_METRICS, POINT("histogram", "\"explicitBounds\":[0, 1.5 ,\"NaN\"],\"bucketCounts\":[]"),
                 POINT_OUT("histogram", "\"explicitBounds\":[0,1.5,\"NaN\"]"));
    assert_reads(
        GW_METRICS,
        POINT("exponentialHistogram", "\"scale\":-3,\"positive\":{\"offset\":-2,\"bucketCounts\":[\"300\",0]}"),
        POINT_OUT("exponentialHistogram",
                  "\"scale\":-3,\"positive\":{\"offset\":-2,\"bucketCounts\":[\"300\",\"0\"]},\"negative\":{}"));
    assert_refuses(GW_METRICS, POINT("histogram", "\"bucketCounts\":[null]"), "bucketCounts: expected a number");
    assert_refuses(GW_METRICS, POINT("histogram", "\"bucketCounts\":[1,]"), "bucketCounts: expected a number");
    assert_refuses(GW_METRICS, POINT("histogram", "\"bucketCounts\":5"), "bucketCounts: expected a list");
    assert_reads(GW_TRACES, "{\"resourceSpans\":[{\"resource\":{\"entityRefs\":[{\"idKeys\":[\"a\",\"\" , \"b\"]}]}}]}",
                 "{\"resourceSpans\":[{\"resource\":{\"entityRefs\":[{\"idKeys\":[\"a\",\"\",\"b\"]}]}}]}");
}

/* Scenario: texts that are not JSON, or not of OTLP's shape; bytes that are not UTF-8.
 * Guarantees: each is refused, with the place where a person would look. */
static void mistakes_have_a_place(void **state)
{
    static const char *const not_utf8[] = {"\xff",     "\xc0\x80", "\xed\xa0\x80",     "\xf4\x90\x80\x80",
                                           "\xe2\x82", "\x80",     "\xf0\x80\x80\x80", "\xe0\x80\x80"};
    char text[100];

    (void)state;
    assert_refuses(GW_TRACES, "", "line 1, column 1: expected an object");
    assert_refuses(GW_TRACES, "[]", "line 1, column 1: expected an object");
    assert_refuses(GW_TRACES, "\xef\xbb\xbf{}", "column 1: expected an object");
    assert_refuses(GW_TRACES, "{} {}", "line 1, column 4: text behind the end");
    assert_refuses(GW_TRACES, "{}x", "text behind the end");
    assert_refuses(GW_TRACES, "{\n \"resourceSpans\": [\n  5]}", "line 3, column 3: resourceSpans: expected an object");
    assert_refuses(GW_TRACES, "{\"\xc3\xa9\":1,\n\"resourceSpans\":{}}",
                   "line 2, column 17: resourceSpans: expected a list");
    assert_refuses(GW_TRACES, "{\"\xc3\xa9\":x}", "line 1, column 6: expected a value");
    assert_refuses(GW_TRACES, "{\"resourceSpans\":[],}", "column 21: expected a key in quotes");
    assert_refuses(GW_TRACES, "{\"resourceSpans\":[{}", "the text ends early");
    assert_refuses(GW_TRACES, "{\"resourceSpans\":[{}}", "expected ',' or ']'");
    assert_refuses(GW_TRACES, "{\"resourceSpans\"", "expected ':'");
    assert_refuses(GW_TRACES, "{'a':1}", "expected a key in quotes");
    assert_refuses(GW_TRACES, "{\"resourceSpans\":[] \"a\":1}", "expected ',' or '}'");
    assert_refuses(GW_TRACES, SPAN("\"name\":{}"), "name: expected a string");
    assert_refuses(GW_TRACES, SPAN("\"status\":[]"), "status: expected an object");
    assert_refuses(GW_TRACES, SPAN("\"events\":[1]"), "events: expected an object");
    assert_refuses(GW_TRACES, VALUE("\"boolValue\":\"true\""), "boolValue: expected true or false");
    for (size_t i = 0; i < sizeof(not_utf8) / sizeof(not_utf8[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"a long enough key\":\"%s\"}", not_utf8[i]);
        assert_refuses(GW_TRACES, text, "line 1, column 23: not UTF-8");
    }
}

/** `depth` values inside of each other, as a log's body. Owner: gives the text. */
static char *nested(unsigned depth, const char *open, const char *close)
{
    static const char head[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":";
    static const char tail[] = "}]}]}]}";
    char *text = malloc(sizeof(head) + sizeof(tail) + depth * (strlen(open) + strlen(close)) + 100), *p = text;

    assert_non_null(text);
    p = stpcpy(p, head);
    for (unsigned i = 1; i < depth; i++)
        p = stpcpy(p, open);
    p = stpcpy(p, "{\"intValue\":1}");
    for (unsigned i = 1; i < depth; i++)
        p = stpcpy(p, close);
    (void)stpcpy(p, tail);
    return text;
}

/* Scenario: values nested 64, 65 and 100,000 deep, as lists and as maps; unknown keys nested deeply.
 * Guarantees: 64 are read and come out the same, more is refused, without using up the stack. */
static void nesting_has_an_end(void **state)
{
    static const char *const open[] = {"{\"arrayValue\":{\"values\":[",
                                       "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":"};
    static const char *const close[] = {"]}}", "}]}}"};
    static const unsigned depths[] = {64, 65, 100000};

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < 3; i++) {
            char *text = nested(depths[i], open[kind], close[kind]);
            const char *got = read_back(GW_LOGS, gw_slice_cstr(text));

            if (i == 0)
                assert_non_null(strstr(got, "{\"intValue\":\"1\"}"));
            else
                assert_non_null(strstr(got, "nested deeper than 64"));
            free(text);
        }
    }
    char *text = nested(100000, "[", "]");

    assert_non_null(strstr(read_back(GW_LOGS, gw_slice_cstr(text)), "body: expected an object"));
    memcpy(strstr(text, "body"), "bodx", 4);
    assert_non_null(strstr(read_back(GW_LOGS, gw_slice_cstr(text)), "nested deeper than 256"));
    free(text);
}

/* Scenario: 60 values inside of each other around 40,000 bytes, each with its key behind its value and given twice.
 * Guarantees: what is too long to be moved at every level (padded lengths, keys that stay behind, both keys left
 * standing) reads the same as what is tidied. */
static void deep_and_long_values_stay_right(void **state)
{
    enum { DEPTH = 60, LONG = 40000 };
    char *text = malloc(200000), *p = text;
    const char *got;

    (void)state;
    assert_non_null(text);
    p = stpcpy(p, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":");
    for (int i = 1; i < DEPTH; i++)
        p = stpcpy(p, "{\"kvlistValue\":{\"values\":[{\"key\":\"old\",\"value\":");
    p = stpcpy(p, "{\"stringValue\":\"");
    memset(p, 'x', LONG);
    p = stpcpy(p + LONG, "\"}");
    for (int i = 1; i < DEPTH; i++)
        p = stpcpy(p, ",\"key\":\"new\",\"keyStrindex\":1,\"keyStrindex\":0}]}}");
    (void)stpcpy(p, "}]}]}]}");
    got = read_back(GW_LOGS, gw_slice_cstr(text));
    assert_null(strstr(got, "old"));
    for (int i = 1; i < DEPTH; i++) {
        got = strstr(got, "{\"key\":\"new\",\"value\":{");
        assert_non_null(got);
        got += strlen("{\"key\":\"new\"");
    }
    assert_null(strstr(got, "\"new\""));
    assert_null(strstr(got, "keyStrindex"));
    assert_non_null(strstr(got, "\"xxxx"));
    free(text);
}

/* Scenario: more records than the limit, an output that may not grow enough.
 * Guarantees: -E2BIG each time; the output keeps what stood in it. */
static void limits_hold(void **state)
{
    static const char three[] = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{},{},{}]}]}]}";
    struct gw_limits few = {.depth = 64, .rows = 2};
    struct gw_err err = {""};
    struct gw_buf out;
    char text[400];

    (void)state;
    gw_buf_init(&out, 100);
    gw_buf_put_str(&out, "kept");
    assert_int_equal(gw_json_to_proto(GW_TRACES, gw_slice_cstr(three), &few, &out, &err), -E2BIG);
    assert_string_equal(err.text, "more than 2 records in one request");
    assert_int_equal(out.n, 4);
    few.rows = 3;
    assert_int_equal(gw_json_to_proto(GW_TRACES, gw_slice_cstr(three), &few, &out, &err), 0);
    memset(text, 0, sizeof(text));
    (void)snprintf(text, sizeof(text), SPAN("\"name\":\"%0150d\""), 1);
    out.n = 4;
    assert_int_equal(gw_json_to_proto(GW_TRACES, gw_slice_cstr(text), &few, &out, &err), -E2BIG);
    assert_non_null(strstr(err.text, "longer than 100 bytes"));
    assert_int_equal(out.n, 4);
    gw_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_requests_are_accepted),
        cmocka_unit_test(whole_numbers_are_exact),
        cmocka_unit_test(doubles_are_the_nearest),
        cmocka_unit_test(enums_are_numbers_or_names),
        cmocka_unit_test(ids_are_hex_and_bytes_are_base64),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(keys_are_forgiving),
        cmocka_unit_test(the_last_of_two_counts),
        cmocka_unit_test(keys_stand_before_values),
        cmocka_unit_test(presence_is_kept),
        cmocka_unit_test(mistakes_have_a_place),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(deep_and_long_values_stay_right),
        cmocka_unit_test(limits_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
