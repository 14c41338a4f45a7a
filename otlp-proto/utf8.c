/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp-proto/utf8.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Bytes of the character that begins at p, or 0. */
static unsigned char_len(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];

    if (c < 0x80)
        return 1;
    if (c < 0xc2 || n < 2 || (p[1] & 0xc0) != 0x80)
        return 0; /* a continuation, or overlong */
    if (c < 0xe0)
        return 2;
    if (n < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (c < 0xf0) {
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
            return 0; /* overlong; surrogate */
        return 3;
    }
    if (c > 0xf4 || n < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
        return 0; /* overlong; above U+10FFFF */
    return 4;
}

bool gw_utf8_valid_scalar(const uint8_t *p, size_t n)
{
    while (n) {
        unsigned k;

        if (n >= 8) {
            uint64_t v;

            memcpy(&v, p, 8);
            if (!(v & UINT64_C(0x8080808080808080))) {
                p += 8;
                n -= 8;
                continue;
            }
        }
        k = char_len(p, n);
        if (!k)
            return false;
        p += k;
        n -= k;
    }
    return true;
}

#ifdef __x86_64__
/*
 * Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte" (2020): what can be wrong about two
 * neighbouring bytes is looked up by three half bytes, and only what all three tables agree on is wrong. Longer
 * characters are told by the bytes two and three places before.
 */
enum {
    TOO_SHORT = 1, /* a lead byte without its continuation */
    TOO_LONG = 2,  /* ASCII followed by a continuation */
    OVERLONG_3 = 4,
    TOO_LARGE = 8, /* above U+10FFFF, second byte 9x … bx */
    SURROGATE = 16,
    OVERLONG_2 = 32,
    TOO_LARGE_8 = 64, /* the same, second byte 8x; and four-byte overlong forms */
    TWO_CONTS = 128,  /* two continuations: right only as third and fourth byte */
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
};

#define TABLE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define C(x)       ((char)(x))

__attribute__((target("avx2"), always_inline)) static inline __m256i back(__m256i cur, __m256i before, int k)
{
    __m256i joined = _mm256_permute2x128_si256(before, cur, 0x21);

    return k == 1   ? _mm256_alignr_epi8(cur, joined, 15)
           : k == 2 ? _mm256_alignr_epi8(cur, joined, 14)
                    : _mm256_alignr_epi8(cur, joined, 13);
}

/* Bits set where the 32 bytes, seen after those before them, are wrong. */
__attribute__((target("avx2"), always_inline)) static inline __m256i wrong(__m256i cur, __m256i before)
{
    const __m256i lead_high =
        TABLE(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, C(TWO_CONTS),
              C(TWO_CONTS), C(TWO_CONTS), C(TWO_CONTS), C(TOO_SHORT | OVERLONG_2), C(TOO_SHORT),
              C(TOO_SHORT | OVERLONG_3 | SURROGATE), C(TOO_SHORT | TOO_LARGE | TOO_LARGE_8));
    const __m256i lead_low = TABLE(C(CARRY | OVERLONG_3 | OVERLONG_2 | TOO_LARGE_8), C(CARRY | OVERLONG_2), C(CARRY),
                                   C(CARRY), C(CARRY | TOO_LARGE), C(CARRY | TOO_LARGE | TOO_LARGE_8),
                                   C(CARRY | TOO_LARGE | TOO_LARGE_8), C(CARRY | TOO_LARGE | TOO_LARGE_8),
                                   C(CARRY | TOO_LARGE | TOO_LARGE_8), C(CARRY | TOO_LARGE | TOO_LARGE_8),
                                   C(CARRY | TOO_LARGE | TOO_LARGE_8), C(CARRY | TOO_LARGE | TOO_LARGE_8),
                                   C(CARRY | TOO_LARGE | TOO_LARGE_8), C(CARRY | TOO_LARGE | TOO_LARGE_8 | SURROGATE),
                                   C(CARRY | TOO_LARGE | TOO_LARGE_8), C(CARRY | TOO_LARGE | TOO_LARGE_8));
    const __m256i next_high =
        TABLE(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
              C(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_8),
              C(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE),
              C(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
              C(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE), TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    const __m256i low4 = _mm256_set1_epi8(15), high = _mm256_set1_epi8(C(0x80));
    __m256i lead = back(cur, before, 1);
    __m256i pair = _mm256_shuffle_epi8(lead_high, _mm256_and_si256(_mm256_srli_epi16(lead, 4), low4));
    __m256i third = _mm256_subs_epu8(back(cur, before, 2), _mm256_set1_epi8(C(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(back(cur, before, 3), _mm256_set1_epi8(C(0xf0 - 0x80)));

    pair = _mm256_and_si256(pair, _mm256_shuffle_epi8(lead_low, _mm256_and_si256(lead, low4)));
    pair = _mm256_and_si256(pair, _mm256_shuffle_epi8(next_high, _mm256_and_si256(_mm256_srli_epi16(cur, 4), low4)));
    return _mm256_xor_si256(_mm256_and_si256(_mm256_or_si256(third, fourth), high), pair);
}

__attribute__((target("avx2"))) bool gw_utf8_valid_avx2(const uint8_t *p, size_t n)
{
    __m256i before = _mm256_setzero_si256(), bad = _mm256_setzero_si256(), cur;
    _Alignas(32) uint8_t tail[32] = {0};

    for (; n >= 32; p += 32, n -= 32) {
        cur = _mm256_loadu_si256((const __m256i *)(const void *)p);
        bad = _mm256_or_si256(bad, wrong(cur, before));
        before = cur;
    }
    /* The zeros behind the tail are what a cut-off character meets. */
    memcpy(tail, p, n);
    cur = _mm256_load_si256((const __m256i *)(const void *)tail);
    bad = _mm256_or_si256(bad, wrong(cur, before));
    return _mm256_testz_si256(bad, bad);
}
#endif

bool gw_utf8_valid(const uint8_t *p, size_t n)
{
#ifdef __x86_64__
    if (n >= 32 && __builtin_cpu_supports("avx2"))
        return gw_utf8_valid_avx2(p, n);
#endif
    return gw_utf8_valid_scalar(p, n);
}
