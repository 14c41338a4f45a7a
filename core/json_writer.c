/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_writer.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* 0 = copied as it is, 'u' = \u00XX, anything else = the letter behind the backslash. */
static const char escape_of[256] = {
    [0] = 'u',  [1] = 'u',  [2] = 'u',    [3] = 'u',    [4] = 'u',   [5] = 'u',     [6] = 'u',
    [7] = 'u',  [8] = 'u',  ['\t'] = 't', ['\n'] = 'n', [11] = 'u',  [12] = 'u',    ['\r'] = 'r',
    [14] = 'u', [15] = 'u', [16] = 'u',   [17] = 'u',   [18] = 'u',  [19] = 'u',    [20] = 'u',
    [21] = 'u', [22] = 'u', [23] = 'u',   [24] = 'u',   [25] = 'u',  [26] = 'u',    [27] = 'u',
    [28] = 'u', [29] = 'u', [30] = 'u',   [31] = 'u',   ['"'] = '"', ['\\'] = '\\',
};
static const char hex_digits[] = "0123456789abcdef";

/** How many bytes from p on need no escape. */
static size_t plain_run(const uint8_t *p, size_t n)
{
    size_t i = 0;

#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);

    for (; i + 16 <= n; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, last), x);
        __m128i bad = _mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)));
        int mask = _mm_movemask_epi8(bad);

        if (mask)
            return i + (size_t)__builtin_ctz((unsigned)mask);
    }
#endif
    while (i < n && !escape_of[p[i]])
        i++;
    return i;
}

static void put_escape(struct gw_buf *b, uint8_t c)
{
    char how = escape_of[c];
    char text[6] = {'\\', how, '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};

    gw_buf_put(b, text, how == 'u' ? 6 : 2);
}

void gw_json_put_string(struct gw_buf *b, struct gw_slice s)
{
    size_t run = plain_run(s.p, s.n);

    if (s.n > SIZE_MAX - 2 || gw_buf_reserve(b, s.n + 2) < 0)
        return;
    b->p[b->n++] = '"';
    for (size_t at = 0; s.n;) {
        gw_buf_put(b, s.p + at, run);
        at += run;
        if (at == s.n)
            break;
        put_escape(b, s.p[at++]);
        run = plain_run(s.p + at, s.n - at);
    }
    gw_buf_put_u8(b, '"');
}

void gw_json_put_u64(struct gw_buf *b, uint64_t v)
{
    char tmp[20];
    size_t at = sizeof(tmp);

    do {
        tmp[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    gw_buf_put(b, tmp + at, sizeof(tmp) - at);
}

void gw_json_put_i64(struct gw_buf *b, int64_t v)
{
    if (v < 0)
        gw_buf_put_u8(b, '-');
    gw_json_put_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void gw_json_put_double(struct gw_buf *b, double v)
{
    char text[GW_DOUBLE_BYTES];
    size_t n = gw_double_text(v, GW_DOUBLE_JSON, text);
    bool is_word = n && (text[n - 1] == 'N' || text[n - 1] == 'y');

    if (is_word)
        gw_buf_put_u8(b, '"');
    gw_buf_put(b, text, n);
    if (is_word)
        gw_buf_put_u8(b, '"');
}

void gw_put_base64(struct gw_buf *b, struct gw_slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *o;
    size_t i = 0;

    if (s.n == 0 || s.n > SIZE_MAX / 2 || gw_buf_reserve(b, (s.n + 2) / 3 * 4) < 0)
        return;
    o = b->p + b->n;
    for (; i + 3 <= s.n; i += 3, o += 4) {
        uint32_t v = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];

        o[0] = (uint8_t)digits[v >> 18];
        o[1] = (uint8_t)digits[v >> 12 & 63];
        o[2] = (uint8_t)digits[v >> 6 & 63];
        o[3] = (uint8_t)digits[v & 63];
    }
    if (i < s.n) {
        uint32_t v = (uint32_t)s.p[i] << 16 | (i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0);

        o[0] = (uint8_t)digits[v >> 18];
        o[1] = (uint8_t)digits[v >> 12 & 63];
        o[2] = i + 1 < s.n ? (uint8_t)digits[v >> 6 & 63] : '=';
        o[3] = '=';
        o += 4;
    }
    b->n = (size_t)(o - b->p);
}

void gw_put_hex(struct gw_buf *b, struct gw_slice s)
{
    uint8_t *o;

    if (s.n > SIZE_MAX / 2 || gw_buf_reserve(b, s.n * 2) < 0)
        return;
    o = b->p + b->n;
    for (size_t i = 0; i < s.n; i++) {
        *o++ = (uint8_t)hex_digits[s.p[i] >> 4];
        *o++ = (uint8_t)hex_digits[s.p[i] & 15];
    }
    b->n += s.n * 2;
}
