/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it UTF-8? protobuf strings must be. Runs of ASCII are told inline, 16 bytes at a time; the rest by tables, 32
 * bytes at a time where the processor has AVX2 (found out at run time), one by one elsewhere.
 */
#ifndef GW_OTLP_UTF8_H
#define GW_OTLP_UTF8_H

#include "core/slice.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/** No surrogates, no overlong forms, nothing above U+10FFFF. Reads nothing behind the slice. */
bool gw_utf8_valid(const uint8_t *p, size_t n);
/** The two ways of doing it, for the tests; gw_utf8_valid picks. The second needs AVX2. */
bool gw_utf8_valid_scalar(const uint8_t *p, size_t n);
#ifdef __x86_64__
bool gw_utf8_valid_avx2(const uint8_t *p, size_t n);
#endif

/** True when no byte has its high bit set. Reads up to 15 bytes behind the slice (GW_PAYLOAD_PAD). */
static inline bool gw_ascii_padded(const uint8_t *p, size_t n)
{
#ifdef __SSE2__
    size_t i = 0;

    for (; i + 16 < n; i += 16)
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + i))))
            return false;
    return !((unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + i))) &
             ((1u << (n - i)) - 1));
#else
    uint64_t high = 0, tail = 0;

    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;

        memcpy(&v, p, 8);
        high |= v;
    }
    memcpy(&tail, p, n);
    return !((high | tail) & UINT64_C(0x8080808080808080));
#endif
}

/** As gw_utf8_valid, for bytes inside a payload. */
static inline bool gw_utf8_padded(const uint8_t *p, size_t n)
{
    return __builtin_expect(gw_ascii_padded(p, n), 1) || gw_utf8_valid(p, n);
}

#endif
