/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json/<signal>-<n>.bin are random requests (random_otlp.py), json/<signal>-<n>.json is what the file exporter of the
 * OpenTelemetry Collector 0.158 wrote for them.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/json.h"

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static struct gw_slice read_golden(enum gw_signal s, int n, const char *ext)
{
    char path[512];
    uint8_t *p = malloc(1 << 16);
    size_t got;
    FILE *f;

    (void)snprintf(path, sizeof(path), GW_SOURCE_DIR "/tests/otlp-proto/json/%s-%d.%s", gw_signal_name(s), n, ext);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_non_null(p);
    got = fread(p, 1, 1 << 16, f);
    (void)fclose(f);
    return gw_slice_of(p, got);
}

/* Scenario: eight random requests of each signal, every field, extremes of every type.
 * Guarantees: the line is the Collector's, byte for byte; reading it gives protobuf that is written as the same line.
 */
static void lines_are_the_collectors(void **state)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};

    (void)state;
    for (int i = 0; i < 24; i++) {
        enum gw_signal s = signals[i / 8];
        struct gw_slice body = read_golden(s, i % 8, "bin"), line = read_golden(s, i % 8, "json");
        struct gw_buf out, back, again;
        struct gw_err err = {""};

        gw_buf_init(&out, 1 << 20);
        gw_buf_init(&back, 1 << 20);
        gw_buf_init(&again, 1 << 20);
        assert_int_equal(gw_proto_to_json(s, body, &out), 0);
        gw_buf_put_u8(&out, '\n');
        assert_int_equal(out.n, line.n);
        assert_memory_equal(out.p, line.p, line.n);
        assert_int_equal(gw_json_to_proto(s, line, &limits, &back, &err), 0);
        assert_int_equal(gw_proto_to_json(s, gw_buf_slice(&back), &again), 0);
        gw_buf_put_u8(&again, '\n');
        assert_int_equal(again.n, line.n);
        assert_memory_equal(again.p, line.p, line.n);
        gw_buf_clear(&out);
        gw_buf_clear(&back);
        gw_buf_clear(&again);
        free((void *)(uintptr_t)body.p);
        free((void *)(uintptr_t)line.p);
    }
}

/** Bytes of "0a {12 {}}": { and } stand for the length of what is between them (below 128). Returns the text's rest. */
static const char *build(const char *text, uint8_t *out, size_t *n)
{
    for (; *text && *text != '}'; text++) {
        unsigned byte;

        if (*text == '{') {
            size_t at = (*n)++;

            text = build(text + 1, out, n);
            out[at] = (uint8_t)(*n - at - 1);
            assert_true(out[at] < 128);
        } else if (*text != ' ') {
            assert_int_equal(sscanf(text++, "%2x", &byte), 1);
            out[(*n)++] = (uint8_t)byte;
        }
    }
    return text;
}

static void assert_json(enum gw_signal s, const char *text, const char *want)
{
    struct gw_buf out;
    uint8_t p[512];
    size_t n = 0;

    (void)build(text, p, &n);
    gw_buf_init(&out, 1 << 20);
    gw_buf_put_str(&out, "before");
    assert_int_equal(gw_proto_to_json(s, gw_slice_of(p, n), &out), 0);
    gw_buf_put_u8(&out, 0);
    assert_string_equal((char *)out.p + 6, want);
    gw_buf_clear(&out);
}

/* Scenario: protobuf that is legal but that nobody writes: fields out of order, unknown fields of every wire type and a
 * group, a singular field twice, a message in two pieces, a oneof that changes its mind, numbers not packed or packed
 * in two runs. Guarantees: it reads as protobuf says: unknown left out, last scalar counts, pieces are joined, lists
 * appended. */
static void odd_encodings_are_read_as_protobuf_says(void **state)
{
    (void)state;
    assert_json(GW_TRACES, "", "{}");
    assert_json(GW_TRACES, "0a00", "{\"resourceSpans\":[{\"resource\":{}}]}");
    /* ResourceSpans: schema_url before resource; resource in two pieces. */
    assert_json(GW_TRACES, "0a {1a{75} 0a{0a{0a{6b}}} 0a{0a{0a{6c}} 1007}}",
                "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{}},"
                "{\"key\":\"l\",\"value\":{}}],\"droppedAttributesCount\":7},\"schemaUrl\":\"u\"}]}");
    /* Unknown: varint 100, fixed64 101, bytes 102, fixed32 103, group 104 with a varint and a group; name twice; kind
     * as fixed64 is unknown too. */
    assert_json(GW_TRACES,
                "0a{12{12{a00601 a9060102030405060708 b206{ffff} bd0601020304 c3060801 0b0c c406 2a{61} 2a{62}"
                "310100000000000000}}}",
                "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"name\":\"b\","
                "\"status\":{}}]}]}]}");
    /* AnyValue: a list, then a string, then a list in two pieces: only what stands behind the last change counts. */
    assert_json(GW_LOGS, "0a{12{12{2a{2a{0a{1805}} 0a{78} 2a{0a{1801}} 2a{0a{1802}}}}}}",
                "{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[{\"body\":"
                "{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{\"intValue\":\"2\"}]}}}]}]}]}");
    /* Histogram: bucket_counts single, then packed, then packed and empty. */
    assert_json(GW_METRICS, "0a{12{12{4a{0a{310100000000000000 32{02000000000000000300000000000000} 32{} 5001}}}}}",
                "{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"scope\":{},\"metrics\":[{\"histogram\":"
                "{\"dataPoints\":[{\"bucketCounts\":[\"1\",\"2\",\"3\"],\"flags\":1}]}}]}]}]}");
    /* Exponential histogram: counts are varints; none at all in a packed run is no field. */
    assert_json(GW_METRICS, "0a{12{12{52{0a{42{0803 12{01ac02} 1005} 4a{12{}} 3006}}}}}",
                "{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"scope\":{},\"metrics\":["
                "{\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":3,\"positive\":{\"offset\":-2,\"bucketCounts\":"
                "[\"1\",\"300\",\"5\"]},\"negative\":{}}]}}]}]}]}");
}

/* Scenario: bodies that are no protobuf, cut at every byte.
 * Guarantees: -EBADMSG or a line, never a crash; a refused body leaves what was in the buffer before. */
static void broken_bodies_are_refused(void **state)
{
    static const char *const broken[] = {"0a",
                                         "0a05 01",
                                         "07",
                                         "0f",
                                         "0c",
                                         "0b 0a",
                                         "0b 0c 00",
                                         "00 00",
                                         "ffffffffffffffffffff01",
                                         "0a8080808080808080808001"};
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        uint8_t *p;
        size_t n;

        gw_hex(broken[i], &p, &n);
        gw_buf_put_str(&out, "x");
        assert_int_equal(gw_proto_to_json(GW_TRACES, gw_slice_of(p, n), &out), -EBADMSG);
        assert_int_equal(out.n, i + 1);
        free(p);
    }
    for (int i = 0; i < 8; i++) {
        struct gw_slice body = read_golden(GW_METRICS, i, "bin");

        for (size_t n = 0; n < body.n; n++) {
            uint8_t *copy = malloc(n + 1);

            assert_non_null(copy);
            memcpy(copy, body.p, n);
            gw_buf_reset(&out);
            (void)gw_proto_to_json(GW_METRICS, gw_slice_of(copy, n), &out);
            free(copy);
        }
        free((void *)(uintptr_t)body.p);
    }
    gw_buf_clear(&out);
}

/* Scenario: values inside of values, 64 deep and 100,000 deep.
 * Guarantees: the first is written, the second refused without using up the stack. */
static void nesting_has_an_end(void **state)
{
    enum { DEEP = 100000 };
    uint8_t *p = malloc(DEEP * 8), *at;
    struct gw_buf out;
    size_t n;

    (void)state;
    assert_non_null(p);
    gw_buf_init(&out, 1 << 20);
    for (int pass = 0; pass < 2; pass++) {
        int depth = pass == 0 ? 63 : DEEP;

        at = p + DEEP * 8;
        n = 0;
        /* From the inside out: ArrayValue in AnyValue, with lengths of four bytes at most. */
        for (int i = 0; i < depth * 2; i++) {
            uint8_t head[6] = {i % 2 ? 0x2a : 0x0a};
            size_t v = n, k = 1;

            while (v >= 0x80) {
                head[k++] = (uint8_t)(v | 0x80);
                v >>= 7;
            }
            head[k++] = (uint8_t)v;
            if ((size_t)(at - p) < k)
                break;
            at -= k;
            memcpy(at, head, k);
            n += k;
        }
        /* The body of a log record, in its three envelopes. */
        for (int i = 0; i < 4 && at - p > 8; i++) {
            static const uint8_t tags[] = {0x2a, 0x12, 0x12, 0x0a};
            size_t v = n, k = 1;
            uint8_t head[6] = {tags[i]};

            while (v >= 0x80) {
                head[k++] = (uint8_t)(v | 0x80);
                v >>= 7;
            }
            head[k++] = (uint8_t)v;
            at -= k;
            memcpy(at, head, k);
            n += k;
        }
        gw_buf_reset(&out);
        assert_int_equal(gw_proto_to_json(GW_LOGS, gw_slice_of(at, n), &out), pass == 0 ? 0 : -EBADMSG);
    }
    gw_buf_clear(&out);
    free(p);
}

/* Scenario: a buffer that may not grow to the line's length.
 * Guarantees: -E2BIG, and the buffer holds what it held. */
static void the_buffers_limit_holds(void **state)
{
    struct gw_slice body = read_golden(GW_TRACES, 0, "bin"), line = read_golden(GW_TRACES, 0, "json");
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, line.n / 2);
    assert_int_equal(gw_proto_to_json(GW_TRACES, body, &out), -E2BIG);
    assert_int_equal(out.n, 0);
    gw_buf_clear(&out);
    free((void *)(uintptr_t)body.p);
    free((void *)(uintptr_t)line.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_the_collectors),  cmocka_unit_test(odd_encodings_are_read_as_protobuf_says),
        cmocka_unit_test(broken_bodies_are_refused), cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(the_buffers_limit_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
