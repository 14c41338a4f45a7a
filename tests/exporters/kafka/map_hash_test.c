/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a resource against what the Collector's pdatautil.MapHash 0.158.0 gave for the same attributes. */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/kafka/map_hash.h"

/* The Resource message inside ExportTraceServiceRequest { resource_spans { resource } }. */
static struct gw_slice resource_of(const uint8_t *p, size_t n)
{
    struct gw_slice s = {p, n};

    for (unsigned level = 0; level < 2; level++) {
        size_t skip = s.p[1] & 0x80 ? 3 : 2;

        s = gw_slice_of(s.p + skip, s.n - skip);
    }
    return s;
}

/* Scenario: no attributes, one, the same in two orders, values of every type and nested ones, keys that begin alike.
 * Guarantees: byte for byte the Collector's key. */
static void keys_are_those_of_the_collector(void **state)
{
    static const struct {
        const char *name, *wire, *hash;
    } cases[] = {
        {"empty", "0a020a00", "00000000000000000000000000000000"},
        {"one string", "0a1a0a180a1612060a04636172740a0c736572766963652e6e616d65", "01a07a53a5cf83248b2bc57f343fe1e8"},
        {"order a",
         "0a3f0a3d0a1612060a04636172740a0c736572766963652e6e616d650a1112040a026e310a09686f73742e6e616d650a10120b18f9fff"
         "fffffffff"
         "ffff010a0161",
         "9c560bc53413c1b8892db11d6df7d1ea"},
        {"order b",
         "0a3f0a3d0a10120b18f9ffffffffffffffff010a01610a1112040a026e310a09686f73742e6e616d650a1612060a04636172740a0c736"
         "572766963"
         "652e6e616d65",
         "9c560bc53413c1b8892db11d6df7d1ea"},
        {"all types",
         "0adb010ad8010a0b12060a04746578740a01730a1212020a000a0c656d70747920737472696e670a07120210010a01740a07120210000"
         "a01660a0f"
         "120a188080808080808080400a01690a0e120921000000000000f8bf0a01640a0a12053a0300fff40a01620a0512000a01650a12120d2"
         "a0b0a030a"
         "01780a0218030a000a016c0a38123332310a0812030a01310a017a0a0812030a01320a01610a1b121232100a0e1209210000000000000"
         "0000a0171"
         "0a05696e6e65720a016d0a0f120232000a09656d707479206d61700a1012022a000a0a656d707479206c697374",
         "e943bc1a2d0265602ef7e203dc463791"},
        {"prefix keys",
         "0a2e0a2c0a0912030a01310a0261620a0812030a01320a01610a0a12030a01330a036162630a0912030a01340a02c3a9",
         "cafd8448946127f3d05af1cd015c4026"},
    };
    struct gw_buf scratch;

    (void)state;
    gw_buf_init(&scratch, 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *wire, *want, got[16];
        size_t n, n_want;

        gw_hex(cases[i].wire, &wire, &n);
        gw_hex(cases[i].hash, &want, &n_want);
        assert_int_equal(gw_kafka_map_hash(resource_of(wire, n), &scratch, got), 0);
        if (memcmp(got, want, 16) != 0)
            fail_msg("%s", cases[i].name);
        free(wire);
        free(want);
    }
    gw_buf_clear(&scratch);
}

/* Scenario: 5000 attributes; values nested 70 deep; a message that is cut off at every byte.
 * Guarantees: an error, not a crash and no endless stack. */
static void damage_and_depth_are_errors(void **state)
{
    static uint8_t deep[1000], many[5000 * 4];
    uint8_t hash[16], *wire;
    struct gw_buf scratch;
    size_t n = 0, len;

    (void)state;
    gw_buf_init(&scratch, 1 << 20);
    for (unsigned i = 0; i < 5000; i++)
        memcpy(many + 4 * i, "\x0a\x02\x0a\x00", 4);
    assert_int_equal(gw_kafka_map_hash(gw_slice_of(many, sizeof(many)), &scratch, hash), -E2BIG);

    /* From the inside out: AnyValue { array { AnyValue { … } } } in KeyValue.value */
    for (unsigned level = 0; level < 70; level++) {
        uint8_t head[10];
        size_t h = 0, inner = n;

        head[h++] = 0x0a; /* ArrayValue.values */
        if (inner >= 128)
            head[h++] = (uint8_t)(inner | 0x80);
        head[h++] = (uint8_t)(inner >= 128 ? inner >> 7 : inner);
        memmove(deep + h, deep, n);
        memcpy(deep, head, h);
        n += h;
        h = 0;
        head[h++] = 0x2a; /* AnyValue.array_value */
        if (n >= 128)
            head[h++] = (uint8_t)(n | 0x80);
        head[h++] = (uint8_t)(n >= 128 ? n >> 7 : n);
        memmove(deep + h, deep, n);
        memcpy(deep, head, h);
        n += h;
    }
    memmove(deep + 6, deep, n);
    deep[0] = 0x0a;
    deep[1] = (uint8_t)((n + 3) | 0x80);
    deep[2] = (uint8_t)((n + 3) >> 7);
    deep[3] = 0x12;
    deep[4] = (uint8_t)(n | 0x80);
    deep[5] = (uint8_t)(n >> 7);
    assert_int_equal(gw_kafka_map_hash(gw_slice_of(deep, n + 6), &scratch, hash), -E2BIG);

    gw_hex("0a1612060a04636172740a0c736572766963652e6e616d65", &wire, &len);
    for (size_t i = 1; i < len; i++) {
        uint8_t *part = malloc(i); /* so that a sanitizer sees a byte too many */

        memcpy(part, wire, i);
        assert_int_equal(gw_kafka_map_hash(gw_slice_of(part, i), &scratch, hash), -EBADMSG);
        free(part);
    }
    free(wire);
    gw_buf_clear(&scratch);
}

/* Scenario: look-ups of a string, an empty string, a number and an absent attribute.
 * Guarantees: only a string that is not empty is found. */
static void only_a_text_names_a_topic(void **state)
{
    struct gw_slice got, resource;
    uint8_t *wire;
    size_t n;

    (void)state;
    gw_hex("0adb010ad8010a0b12060a04746578740a01730a1212020a000a0c656d70747920737472696e670a07120210010a01740a071202100"
           "00a01660a0f"
           "120a188080808080808080400a01690a0e120921000000000000f8bf0a01640a0a12053a0300fff40a01620a0512000a01650a12120"
           "d2a0b0a030a"
           "01780a0218030a000a016c0a38123332310a0812030a01310a017a0a0812030a01320a01610a1b121232100a0e12092100000000000"
           "000000a0171"
           "0a05696e6e65720a016d0a0f120232000a09656d707479206d61700a1012022a000a0a656d707479206c697374",
           &wire, &n);
    resource = resource_of(wire, n);
    assert_true(gw_kafka_resource_string(resource, GW_SLICE("s"), &got));
    assert_true(gw_slice_is(got, "text"));
    assert_false(gw_kafka_resource_string(resource, GW_SLICE("empty string"), &got));
    assert_false(gw_kafka_resource_string(resource, GW_SLICE("i"), &got));
    assert_false(gw_kafka_resource_string(resource, GW_SLICE("nobody"), &got));
    free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_the_collector),
        cmocka_unit_test(damage_and_depth_are_errors),
        cmocka_unit_test(only_a_text_names_a_topic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
