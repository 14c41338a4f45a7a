/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp-proto/json_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { MAX_SKIP_DEPTH = 256, MAX_NUMBER_TEXT = 1000 };

int gw_json_wrong(struct gw_json_text *t, const uint8_t *at, const char *fmt, ...)
{
    char what[200];
    unsigned line = 1, column = 1;
    va_list ap;

    if (!t->err)
        return -EBADMSG;
    for (const uint8_t *p = t->begin; p < at && p < t->end; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xc0) != 0x80) { /* characters, as an editor counts them */
            column++;
        }
    }
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return gw_fail(t->err, -EBADMSG, "JSON, line %u, column %u: %s", line, column, what);
}

/* ---- UTF-8 ----------------------------------------------------------------------------------------------- */

/** Length of the sequence at p, or 0 when it is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (len == 0 || len > n)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f; /* no surrogates */
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (len > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool gw_json_is_utf8(struct gw_slice s, size_t *ret_at)
{
    size_t i = 0;

    while (i < s.n) {
#ifdef __SSE2__
        while (i + 16 <= s.n && _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(s.p + i))) == 0)
            i += 16;
        if (i == s.n)
            break;
#endif
        size_t len = utf8_sequence(s.p + i, s.n - i);

        if (len == 0) {
            *ret_at = i;
            return false;
        }
        i += len;
    }
    return true;
}

/* ---- strings --------------------------------------------------------------------------------------------- */

/** First byte that is a quote, a backslash or a control character, or end. */
static const uint8_t *string_stop(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);

    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, last), x);
        __m128i stop = _mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)));
        int mask = _mm_movemask_epi8(stop);

        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20)
        p++;
    return p;
}

int gw_json_read_string(struct gw_json_text *t, struct gw_json_string *ret)
{
    const uint8_t *first = t->p + 1, *p = first;

    ret->escaped = false;
    for (;;) {
        p = string_stop(p, t->end);
        if (p >= t->end || (*p == '\\' && t->end - p < 2))
            return gw_json_wrong(t, t->p, "a string without an end");
        if (*p == '"')
            break;
        if (*p < 0x20)
            return gw_json_wrong(t, p, "a control character (0x%02x) inside a string", *p);
        ret->escaped = true;
        p += 2;
    }
    ret->raw = gw_slice_of(first, (size_t)(p - first));
    t->p = p + 1;
    return 0;
}

static int hex4(const uint8_t *p, const uint8_t *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static uint8_t *put_utf8(uint8_t *o, uint32_t c)
{
    if (c < 0x80) {
        *o++ = (uint8_t)c;
    } else if (c < 0x800) {
        *o++ = (uint8_t)(0xc0 | c >> 6);
        *o++ = (uint8_t)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *o++ = (uint8_t)(0xe0 | c >> 12);
        *o++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *o++ = (uint8_t)(0x80 | (c & 63));
    } else {
        *o++ = (uint8_t)(0xf0 | c >> 18);
        *o++ = (uint8_t)(0x80 | (c >> 12 & 63));
        *o++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *o++ = (uint8_t)(0x80 | (c & 63));
    }
    return o;
}

/** One \uXXXX (or a pair of them) at p, behind the u. Returns where to go on, or NULL. */
static const uint8_t *unescape_u(struct gw_json_text *t, const uint8_t *p, const uint8_t *end, uint8_t **o)
{
    int high = hex4(p, end), low;

    if (high < 0) {
        (void)gw_json_wrong(t, p, "\\u must be followed by four hexadecimal digits");
        return NULL;
    }
    if (high < 0xd800 || high > 0xdfff) {
        *o = put_utf8(*o, (uint32_t)high);
        return p + 4;
    }
    low = end - p >= 10 && p[4] == '\\' && p[5] == 'u' ? hex4(p + 6, end) : -1;
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        (void)gw_json_wrong(t, p, "half of a surrogate pair (\\u%04x) stands alone", (unsigned)high);
        return NULL;
    }
    *o = put_utf8(*o, 0x10000u + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
    return p + 10;
}

static const char letters[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};

/** One escape at p. Returns where to go on, or NULL. */
static const uint8_t *unescape_one(struct gw_json_text *t, const uint8_t *p, const uint8_t *end, uint8_t **o)
{
    if (p[1] == 'u')
        return unescape_u(t, p + 2, end, o);
    if (letters[p[1]]) {
        *(*o)++ = (uint8_t)letters[p[1]];
        return p + 2;
    }
    (void)gw_json_wrong(t, p, "an unknown escape in a string");
    return NULL;
}

int gw_json_unescape(struct gw_json_text *t, const struct gw_json_string *s, uint8_t *out, size_t *ret_n)
{
    const uint8_t *p = s->raw.p, *end = p + s->raw.n;
    uint8_t *o = out;

    if (s->raw.n == 0) {
        *ret_n = 0;
        return 0;
    }
    while (p < end) {
        const uint8_t *stop = s->escaped ? memchr(p, '\\', (size_t)(end - p)) : NULL;
        size_t run = (size_t)((stop ? stop : end) - p);

        memcpy(o, p, run);
        o += run;
        p += run;
        if (!stop)
            break;
        p = unescape_one(t, p, end, &o);
        if (!p)
            return -EBADMSG;
    }
    *ret_n = (size_t)(o - out);
    return 0;
}

bool gw_json_word(struct gw_json_text *t, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/** Digits from p on go into n; returns where they end. behind_point: each one lowers the exponent. */
static const uint8_t *take_digits(const uint8_t *p, const uint8_t *end, bool behind_point, struct gw_json_number *n)
{
    for (; p < end && is_digit(*p); p++) {
        uint64_t d = *p - (uint64_t)'0';

        if (n->digits <= (UINT64_MAX - d) / 10 && !n->cut) {
            n->digits = n->digits * 10 + d;
            n->exp10 -= behind_point;
        } else {
            n->cut |= d != 0;
            n->exp10 += !behind_point;
        }
    }
    return p;
}

/** -?digits(.digits)?([eE][+-]?digits)?; returns where it ends, or NULL. */
static const uint8_t *scan_number(const uint8_t *p, const uint8_t *end, struct gw_json_number *n)
{
    const uint8_t *first;
    int e = 0, sign = 1;

    *n = (struct gw_json_number){.text.p = p};
    if (p < end && *p == '-') {
        n->negative = true;
        p++;
    }
    first = p;
    p = take_digits(p, end, false, n);
    if (p == first)
        return NULL;
    if (p < end && *p == '.') {
        first = ++p;
        p = take_digits(p, end, true, n);
        if (p == first)
            return NULL;
    }
    if (p < end && (*p | 32) == 'e') {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            sign = *p++ == '-' ? -1 : 1;
        first = p;
        for (; p < end && is_digit(*p); p++)
            if (e < 100000)
                e = e * 10 + (*p - '0');
        if (p == first)
            return NULL;
    }
    n->exp10 += sign * e;
    n->text.n = (size_t)(p - n->text.p);
    return p;
}

int gw_json_read_number(struct gw_json_text *t, struct gw_json_number *ret)
{
    const uint8_t *p = scan_number(t->p, t->end, ret);
    const uint8_t *first = t->p + (gw_json_peek(t) == '-');

    if (!p)
        return gw_json_wrong(t, t->p, "not a number");
    if (p - first > 1 && first[0] == '0' && is_digit(first[1]))
        return gw_json_wrong(t, t->p, "a number may not begin with 0");
    t->p = p;
    return 0;
}

bool gw_json_parse_number(struct gw_slice s, struct gw_json_number *ret)
{
    const uint8_t *end = s.p + s.n;

    if (s.n > 1 && s.p[0] == '+' && s.p[1] != '-')
        s.p++;
    return s.n > 0 && scan_number(s.p, end, ret) == end;
}

bool gw_json_number_to_u64(const struct gw_json_number *n, uint64_t *ret_magnitude)
{
    uint64_t v = n->digits;
    int e = n->exp10;

    if (n->cut)
        return false;
    for (; e < 0 && v; e++) {
        if (v % 10)
            return false;
        v /= 10;
    }
    for (; e > 0 && v; e--) {
        if (v > UINT64_MAX / 10)
            return false;
        v *= 10;
    }
    *ret_magnitude = v;
    return true;
}

bool gw_json_number_to_double(const struct gw_json_number *n, double *ret)
{
    static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    char text[MAX_NUMBER_TEXT + 1];
    double v;

    /* Both operands exact, one rounding: Clinger's fast path. */
    if (!n->cut && n->digits <= 1ull << 53 && n->exp10 >= -22 && n->exp10 <= 22) {
        v = (double)n->digits;
        v = n->exp10 < 0 ? v / pow10[-n->exp10] : v * pow10[n->exp10];
        *ret = n->negative ? -v : v;
        return true;
    }
    if (n->text.n > MAX_NUMBER_TEXT)
        return false;
    memcpy(text, n->text.p, n->text.n);
    text[n->text.n] = 0;
    v = strtod(text, NULL);
    if (isinf(v))
        return false;
    *ret = v;
    return true;
}

/* ---- values that nobody asked for ------------------------------------------------------------------------ */

static int skip_string(struct gw_json_text *t)
{
    struct gw_json_string s;
    int rc = gw_json_read_string(t, &s);
    const uint8_t *p = s.raw.p, *end;
    uint8_t scratch[4];

    if (rc < 0 || !s.escaped)
        return rc;
    end = p + s.raw.n;
    while (p && (p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        uint8_t *o = scratch;

        p = unescape_one(t, p, end, &o);
        if (!p)
            return -EBADMSG;
    }
    return 0;
}

static int skip_scalar(struct gw_json_text *t)
{
    struct gw_json_number n;
    uint8_t c = gw_json_peek(t);

    if (c == '"')
        return skip_string(t);
    if (c == '-' || is_digit(c))
        return gw_json_read_number(t, &n);
    if (gw_json_word(t, "null") || gw_json_word(t, "true") || gw_json_word(t, "false"))
        return 0;
    return t->p < t->end ? gw_json_wrong(t, t->p, "expected a value") : gw_json_wrong(t, t->p, "the text ends early");
}

static int skip_key(struct gw_json_text *t)
{
    int rc;

    gw_json_skip_space(t);
    if (gw_json_peek(t) != '"')
        return gw_json_wrong(t, t->p, "expected a key in quotes");
    rc = skip_string(t);
    if (rc < 0)
        return rc;
    gw_json_skip_space(t);
    if (gw_json_peek(t) != ':')
        return gw_json_wrong(t, t->p, "expected ':' behind the key");
    t->p++;
    return 0;
}

/** Behind a value: close as many containers as end here. Returns 1 when the outermost one did, 0 when a value follows.
 */
static int skip_behind(struct gw_json_text *t, const bool *is_object, unsigned *depth)
{
    while (*depth > 0) {
        bool object = is_object[*depth - 1];

        gw_json_skip_space(t);
        if (gw_json_peek(t) == ',') {
            t->p++;
            return object ? skip_key(t) : 0;
        }
        if (gw_json_peek(t) != (object ? '}' : ']'))
            return gw_json_wrong(t, t->p, "expected ',' or '%c'", object ? '}' : ']');
        t->p++;
        --*depth;
    }
    return 1;
}

int gw_json_skip_value(struct gw_json_text *t)
{
    bool is_object[MAX_SKIP_DEPTH];
    unsigned depth = 0;
    int rc;

    for (;;) {
        gw_json_skip_space(t);
        uint8_t c = gw_json_peek(t);

        if (c == '{' || c == '[') {
            if (depth == MAX_SKIP_DEPTH)
                return gw_json_wrong(t, t->p, "nested deeper than %d", MAX_SKIP_DEPTH);
            is_object[depth++] = c == '{';
            t->p++;
            gw_json_skip_space(t);
            if (gw_json_peek(t) != (c == '{' ? '}' : ']')) {
                rc = c == '{' ? skip_key(t) : 0;
                if (rc < 0)
                    return rc;
                continue;
            }
            t->p++;
            depth--;
        } else {
            rc = skip_scalar(t);
            if (rc < 0)
                return rc;
        }
        rc = skip_behind(t, is_object, &depth);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int gw_json_from_base64(uint8_t *p, size_t *n)
{
    uint32_t bits = 0;
    size_t o = 0, digits = 0, pads = 0;

    for (size_t i = 0; i < *n; i++) {
        int d = base64_digit(p[i]);

        if (p[i] == '\n' || p[i] == '\r')
            continue;
        if (p[i] == '=') {
            pads++;
            continue;
        }
        if (d < 0 || pads)
            return -EBADMSG;
        bits = bits << 6 | (uint32_t)d;
        if (++digits % 4 != 1)
            p[o++] = (uint8_t)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    if (digits % 4 == 1 || (pads && (digits + pads) % 4 != 0) || pads > 2)
        return -EBADMSG;
    *n = o;
    return 0;
}
