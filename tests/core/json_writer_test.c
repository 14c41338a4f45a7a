/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "tests/harness_env.h"

static const char *text_of(double v, enum gw_double_style style)
{
    static char out[GW_DOUBLE_BYTES + 1];

    out[gw_double_text(v, style, out)] = 0;
    return out;
}

/* Scenario: one double in each notation, around the limits where Go changes from plain digits to an exponent.
 * Guarantees: the text is Go's: strconv 'e' and 'f' as the Collector's JSON writer uses them, encoding/json, and %v. */
static void doubles_look_as_in_go(void **state)
{
    static const struct {
        double v;
        const char *json, *es6, *g;
    } t[] = {
        {0, "0", "0", "0"},
        {-0.0, "-0", "-0", "-0"},
        {1, "1", "1", "1"},
        {-1.5, "-1.5", "-1.5", "-1.5"},
        {0.1, "0.1", "0.1", "0.1"},
        {100000, "100000", "100000", "100000"},
        {1000000, "1000000", "1000000", "1e+06"},
        {123456789, "123456789", "123456789", "1.23456789e+08"},
        {1e20, "100000000000000000000", "100000000000000000000", "1e+20"},
        {1e21, "1e+21", "1e+21", "1e+21"},
        {999999999999999900000.0, "999999999999999900000", "999999999999999900000", "9.999999999999999e+20"},
        {1e-4, "0.0001", "0.0001", "0.0001"},
        {1e-5, "0.00001", "0.00001", "1e-05"},
        {1e-6, "0.000001", "0.000001", "1e-06"},
        {9.5e-7, "9.5e-07", "9.5e-7", "9.5e-07"},
        {5e-324, "5e-324", "5e-324", "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992", "9007199254740992", "9.007199254740992e+15"},
        {1e23, "1e+23", "1e+23", "1e+23"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_string_equal(text_of(t[i].v, GW_DOUBLE_JSON), t[i].json);
        assert_string_equal(text_of(t[i].v, GW_DOUBLE_ES6), t[i].es6);
        assert_string_equal(text_of(t[i].v, GW_DOUBLE_G), t[i].g);
    }
    assert_string_equal(text_of(NAN, GW_DOUBLE_JSON), "NaN");
    assert_string_equal(text_of(-INFINITY, GW_DOUBLE_JSON), "-Infinity");
    assert_string_equal(text_of(INFINITY, GW_DOUBLE_G), "+Inf");
}

/** Digits of a %e text without dot, exponent and zeros at the end. */
static size_t digits_of(const char *s, char *out)
{
    size_t n = 0;

    for (; *s && *s != 'e'; s++)
        if (*s >= '0' && *s <= '9' && (n || *s != '0'))
            out[n++] = *s;
    while (n > 1 && out[n - 1] == '0')
        n--;
    return n;
}

/* Scenario: 40,000 random doubles of every size, powers of two (whose neighbours are not equally far), subnormals.
 * Guarantees: the text reads back as the same double, and no shorter one does; printf and strtod are the oracle. */
static void doubles_are_the_shortest_that_read_back(void **state)
{
    uint64_t seed = 7;

    (void)state;
    for (int i = 0; i < 40000; i++) {
        uint64_t bits = gw_test_random(&seed);
        char ours[40], theirs[64], shortest[40];
        double v, back;
        size_t n;

        if (i % 4 == 1)
            bits &= 0x7ff0000000000000; /* a power of two */
        if (i % 4 == 2)
            bits &= 0x000fffffffffffff; /* subnormal */
        memcpy(&v, &bits, sizeof(v));
        if (i % 4 == 3)
            v = (double)(bits % 100000000) / 1000;
        if (!isfinite(v) || v == 0)
            continue;
        back = strtod(text_of(v, GW_DOUBLE_JSON), NULL);
        assert_memory_equal(&back, &v, sizeof(v));
        n = digits_of(text_of(v, GW_DOUBLE_JSON), ours);
        for (int p = 0; p < 17; p++) {
            (void)snprintf(theirs, sizeof(theirs), "%.*e", p, v);
            if (strtod(theirs, NULL) == v)
                break;
        }
        assert_true(n <= digits_of(theirs, shortest));
        if (n == digits_of(theirs, shortest))
            assert_memory_equal(ours, shortest, n);
    }
}

static void assert_buf(struct gw_buf *b, const char *want)
{
    assert_int_equal(b->n, strlen(want));
    assert_memory_equal(b->p, want, b->n);
    gw_buf_reset(b);
}

/* Scenario: strings with each kind of byte, at each offset of a 16-byte step.
 * Guarantees: exactly the quote, the backslash and control characters are escaped; DEL, UTF-8 and zero bytes survive.
 */
static void strings_are_escaped(void **state)
{
    struct gw_buf b;
    char text[64], want[80];

    (void)state;
    gw_buf_init(&b, 1000);
    gw_json_put_string(&b, GW_SLICE(""));
    assert_buf(&b, "\"\"");
    gw_json_put_string(&b, GW_SLICE("a\"b\\c\nd\re\tf\bg\fh\x01i\x1fj\x7fk/\xe2\x80\xa8"));
    assert_buf(&b, "\"a\\\"b\\\\c\\nd\\re\\tf\\u0008g\\u000ch\\u0001i\\u001fj\x7fk/\xe2\x80\xa8\"");
    gw_json_put_string(&b, GW_SLICE("\0"));
    assert_buf(&b, "\"\\u0000\"");
    for (int at = 0; at < 40; at++) {
        memset(text, 'x', 40);
        text[at] = '\n';
        (void)snprintf(want, sizeof(want), "\"%.*s\\n%.*s\"", at, text, 39 - at, text + at + 1);
        gw_json_put_string(&b, gw_slice_of(text, 40));
        assert_buf(&b, want);
    }
    gw_buf_clear(&b);
}

/* Scenario: the ends of the integers' ranges; bytes of every length modulo three.
 * Guarantees: decimal, hexadecimal and base64 texts are those of everybody else. */
static void numbers_and_bytes_are_written(void **state)
{
    struct gw_buf b;

    (void)state;
    gw_buf_init(&b, 1000);
    gw_json_put_u64(&b, UINT64_MAX);
    assert_buf(&b, "18446744073709551615");
    gw_json_put_i64(&b, INT64_MIN);
    assert_buf(&b, "-9223372036854775808");
    gw_json_put_i64(&b, 0);
    assert_buf(&b, "0");
    gw_json_put_double(&b, NAN);
    assert_buf(&b, "\"NaN\"");
    gw_json_put_double(&b, -INFINITY);
    assert_buf(&b, "\"-Infinity\"");
    gw_json_put_double(&b, 2.5);
    assert_buf(&b, "2.5");
    gw_put_hex(&b, GW_SLICE("\x00\x9f\xff"));
    assert_buf(&b, "009fff");
    gw_put_base64(&b, GW_SLICE(""));
    assert_buf(&b, "");
    gw_put_base64(&b, GW_SLICE("f"));
    assert_buf(&b, "Zg==");
    gw_put_base64(&b, GW_SLICE("fo"));
    assert_buf(&b, "Zm8=");
    gw_put_base64(&b, GW_SLICE("foo"));
    assert_buf(&b, "Zm9v");
    gw_put_base64(&b, GW_SLICE("\xfb\xff\xbf"));
    assert_buf(&b, "+/+/");
    gw_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_look_as_in_go),
        cmocka_unit_test(doubles_are_the_shortest_that_read_back),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(numbers_and_bytes_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
