/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>

#include "otlp-proto/utf8.h"

/* The definition, written down again: decode the code point and look at it. */
static bool is_utf8(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t c = p[i];
        unsigned len = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
        static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t code = len == 1 ? c : c & (0xffu >> (len + 1));

        if (!len || i + len > n)
            return false;
        for (unsigned k = 1; k < len; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i + k] & 0x3f);
        }
        if (code < lowest[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        i += len;
    }
    return true;
}

static void check_all_ways(const uint8_t *p, size_t n)
{
    bool right = is_utf8(p, n);

    if (gw_utf8_valid_scalar(p, n) != right)
        fail_msg("scalar is wrong about %02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], n);
    if (gw_utf8_valid(p, n) != right)
        fail_msg("wrong about %02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], n);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && gw_utf8_valid_avx2(p, n) != right)
        fail_msg("AVX2 is wrong about %02x %02x %02x %02x, %zu bytes", p[0], p[1], p[2], p[3], n);
#endif
}

/* Bytes on both sides of every border that UTF-8 knows. */
static const uint8_t borders[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
                                  0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
enum { N_BORDERS = sizeof(borders) };

/*
 * Scenario: every sequence of four bytes from the borders of the encoding, alone, and behind 0 to 35 letters, so that
 * it crosses the blocks of 32. Guarantees: all implementations agree with the definition.
 */
static void test_every_border_is_told(void **state)
{
    uint8_t text[64];

    (void)state;
    for (unsigned i = 0; i < N_BORDERS * N_BORDERS * N_BORDERS * N_BORDERS; i++) {
        size_t at = i % 36;

        memset(text, 'x', sizeof(text));
        text[at] = borders[i % N_BORDERS];
        text[at + 1] = borders[i / N_BORDERS % N_BORDERS];
        text[at + 2] = borders[i / N_BORDERS / N_BORDERS % N_BORDERS];
        text[at + 3] = borders[i / N_BORDERS / N_BORDERS / N_BORDERS];
        check_all_ways(text, at + 4);
        check_all_ways(text + at, 4);
        check_all_ways(text, sizeof(text));
        for (size_t n = 1; n < 4; n++)
            check_all_ways(text + at, n);
    }
}

/*
 * Scenario: ASCII of every length up to 100, with one high byte at every place, at every alignment.
 * Guarantees: the fast path sees exactly the bytes of the slice: a high byte in it, and none behind it.
 */
static void test_ascii_is_told_at_every_length(void **state)
{
    uint8_t *text = malloc(100 + 16 + 64);

    (void)state;
    assert_non_null(text);
    for (size_t from = 0; from < 16; from++)
        for (size_t n = 0; n <= 100; n++) {
            memset(text, 0xff, 180);
            memset(text + from, 'a', n);
            assert_true(gw_ascii_padded(text + from, n));
            assert_true(gw_utf8_padded(text + from, n));
            for (size_t at = 0; at < n; at++) {
                text[from + at] = 0x80;
                assert_false(gw_ascii_padded(text + from, n));
                assert_false(gw_utf8_padded(text + from, n));
                text[from + at] = 'a';
            }
        }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_border_is_told),
        cmocka_unit_test(test_ascii_is_told_at_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
