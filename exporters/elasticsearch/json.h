/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the elasticsearch exporter: pieces of JSON, inline, because a log record is some forty of them. Numbers
 * have the notation of the Collector's documents: a double always has a point (1.0, 1.0e+06), so that the server's
 * dynamic mapping makes it a double; NaN and infinities are null.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_JSON_H
#define GW_EXPORTERS_ELASTICSEARCH_JSON_H

#include "core/json_writer.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { GW_ES_SLACK = 16 }; /* bytes that are written behind the end, to be overwritten */

/** Room for n bytes, or NULL: then the buffer has failed. */
static inline uint8_t *gw_es_room(struct gw_buf *b, size_t n)
{
    if (__builtin_expect(b->cap - b->n < n, 0) && gw_buf_reserve(b, n) < 0)
        return NULL;
    return b->p + b->n;
}

static inline void gw_es_put_bytes(struct gw_buf *b, const void *p, size_t n)
{
    uint8_t *o = n ? gw_es_room(b, n) : NULL;

    if (!o)
        return;
    memcpy(o, p, n);
    b->n += n;
}

/** What a buffer holds from `at` on. */
static inline struct gw_slice gw_es_from(const struct gw_buf *b, size_t at)
{
    return b->n > at ? gw_slice_of(b->p + at, b->n - at) : gw_slice_of("", 0);
}

static inline void gw_es_put_buf(struct gw_buf *b, const struct gw_buf *from)
{
    gw_es_put_bytes(b, from->p, from->n);
}

#define GW_ES_PUT(b, literal) gw_es_put_bytes(b, "" literal, sizeof(literal) - 1)

#ifdef __SSE2__
/** Which of 16 bytes cannot stand in a string as they are. */
static inline unsigned gw_es_to_escape(__m128i x)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, last), x);

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash))));
}

/** Copy n < 16 bytes, by two loads that overlap. False: one of them is to be escaped. */
static inline bool gw_es_copy_short(uint8_t *o, const uint8_t *p, size_t n)
{
    uint64_t low = 0, high = 0;
    unsigned check = 0xffff;

    if (n >= 8) {
        memcpy(&low, p, 8);
        memcpy(&high, p + n - 8, 8);
        memcpy(o, &low, 8);
        memcpy(o + n - 8, &high, 8);
    } else if (n >= 4) {
        uint32_t a, b;

        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        memcpy(o, &a, 4);
        memcpy(o + n - 4, &b, 4);
        low = (uint64_t)b << 32 | a;
        check = 0xff;
    } else if (n) {
        o[0] = p[0];
        o[n / 2] = p[n / 2];
        o[n - 1] = p[n - 1];
        low = (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
        check = 7;
    } else {
        return true;
    }
    return (gw_es_to_escape(_mm_set_epi64x((long long)high, (long long)low)) & check) == 0;
}
#endif

/** A quoted string from a batch: up to 15 bytes behind its end are read, which the payload has. */
static inline void gw_es_put_text(struct gw_buf *b, struct gw_slice s)
{
#ifdef __SSE2__
    uint8_t *o = gw_es_room(b, s.n + 2 + GW_ES_SLACK);

    if (!o)
        return;
    *o++ = '"';
    for (size_t i = 0; i < s.n; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));
        unsigned bad = gw_es_to_escape(x);

        _mm_storeu_si128((__m128i *)(void *)(o + i), x);
        if (s.n - i < 16)
            bad &= (1u << (s.n - i)) - 1;
        if (__builtin_expect(bad != 0, 0)) {
            gw_json_put_string(b, s); /* anew, with escapes */
            return;
        }
    }
    o[s.n] = '"';
    b->n += s.n + 2;
#else
    gw_json_put_string(b, s);
#endif
}

/** A quoted string from anywhere: nothing behind its end is read. */
static inline void gw_es_put_string(struct gw_buf *b, struct gw_slice s)
{
#ifdef __SSE2__
    uint8_t *o = gw_es_room(b, s.n + 2);
    unsigned bad = 0;

    if (!o)
        return;
    *o++ = '"';
    if (s.n < 16) {
        bad = !gw_es_copy_short(o, s.p, s.n);
    } else {
        for (size_t i = 0; i < s.n; i += 16) {
            size_t at = s.n - i < 16 ? s.n - 16 : i; /* the last ones once more */
            __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s.p + at));

            bad |= gw_es_to_escape(x);
            _mm_storeu_si128((__m128i *)(void *)(o + at), x);
        }
    }
    if (__builtin_expect(bad != 0, 0)) {
        gw_json_put_string(b, s); /* anew, with escapes */
        return;
    }
    o[s.n] = '"';
    b->n += s.n + 2;
#else
    gw_json_put_string(b, s);
#endif
}

/** Decimal digits before `end`; returns their first. */
static inline uint8_t *gw_es_digits(uint8_t *end, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";

    for (; v >= 100; v /= 100)
        memcpy(end -= 2, pairs + v % 100 * 2, 2);
    if (v >= 10)
        memcpy(end -= 2, pairs + v * 2, 2);
    else
        *--end = (uint8_t)('0' + v);
    return end;
}

static inline size_t gw_es_n_digits(uint64_t v)
{
    static const uint64_t powers[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      10000000000000000000u};
    unsigned about = (unsigned)(64 - __builtin_clzll(v | 1)) * 1233 >> 12; /* bits × log10 2: exact, or one too many */

    return about + 1 - (v < powers[about]);
}

static inline void gw_es_put_u64(struct gw_buf *b, uint64_t v)
{
    uint8_t *o = gw_es_room(b, 20);
    size_t n = gw_es_n_digits(v);

    if (!o)
        return;
    (void)gw_es_digits(o + n, v);
    b->n += n;
}

static inline void gw_es_put_i64(struct gw_buf *b, int64_t v)
{
    if (v < 0)
        GW_ES_PUT(b, "-");
    gw_es_put_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/** "<milliseconds>.<nanoseconds of the last one>": what a date_nanos field takes without a loss. */
static inline void gw_es_put_time(struct gw_buf *b, uint64_t ns)
{
    uint64_t ms = ns / 1000000, rest = ns % 1000000;
    size_t n = gw_es_n_digits(ms), m = gw_es_n_digits(rest);
    uint8_t *o = gw_es_room(b, 24);

    if (!o)
        return;
    o[0] = '"';
    (void)gw_es_digits(o + 1 + n, ms);
    o[1 + n] = '.';
    (void)gw_es_digits(o + 2 + n + m, rest);
    o[2 + n + m] = '"';
    b->n += 3 + n + m;
}

/** Lower-case hexadecimal in quotes; n is 8 or 16. */
static inline void gw_es_put_id(struct gw_buf *b, const uint8_t *id, size_t n)
{
    uint8_t *o = gw_es_room(b, 2 * n + 2 + GW_ES_SLACK);

    if (!o)
        return;
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(15), nine = _mm_set1_epi8(9), zero = _mm_set1_epi8('0'),
                  letter = _mm_set1_epi8('a' - 10 - '0');
    __m128i x = n == 16 ? _mm_loadu_si128((const __m128i *)(const void *)id)
                        : _mm_loadl_epi64((const __m128i *)(const void *)id);
    __m128i high = _mm_and_si128(_mm_srli_epi16(x, 4), low), digits;

    x = _mm_and_si128(x, low);
    *o++ = '"';
    for (size_t half = 0; half < n / 8; half++) {
        digits = half ? _mm_unpackhi_epi8(high, x) : _mm_unpacklo_epi8(high, x);
        digits = _mm_add_epi8(_mm_add_epi8(digits, zero), _mm_and_si128(_mm_cmpgt_epi8(digits, nine), letter));
        _mm_storeu_si128((__m128i *)(void *)(o + 16 * half), digits);
    }
    o[2 * n] = '"';
    b->n += 2 * n + 2;
#else
    gw_buf_put_u8(b, '"');
    gw_put_hex(b, gw_slice_of(id, n));
    gw_buf_put_u8(b, '"');
#endif
}

static inline void gw_es_put_bool(struct gw_buf *b, bool v)
{
    if (v)
        GW_ES_PUT(b, "true");
    else
        GW_ES_PUT(b, "false");
}

void gw_es_put_double(struct gw_buf *b, double v);

#endif
