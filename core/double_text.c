/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shortest decimal of a double: Raffaello Giulietti, "The Schubfach way to render doubles" (2020). The interval of
 * reals that round to v is scaled by a power of ten from a table to one whose length is between 2 and 20 integers; the
 * shortest decimal in it is then one of four candidates. Exact integer arithmetic, no loop, no fallback.
 */
#include <string.h>

#include "core/json_writer.h"
#include "core/pow10_table.h"

enum { FRACTION_BITS = 52, EXPONENT_BIAS = 1075, MAX_DIGITS = 17 };

/** v = digits × 10^exp10 */
struct decimal {
    uint64_t digits;
    int exp10;
};

/* floor(log10(2^e)), floor(log10(3/4 × 2^e)), floor(log2(10^e)) for the exponents of a double. */
static int floor_log10_pow2(int e)
{
    return (e * 1262611) >> 22;
}

static int floor_log10_three_quarters_pow2(int e)
{
    return (e * 1262611 - 524031) >> 22;
}

static int floor_log2_pow10(int e)
{
    return (e * 1741647) >> 19;
}

/** High 64 bits of g × cp, the lowest of them set when anything was cut off ("round to odd"). */
static uint64_t mul_round_to_odd(const uint64_t g[2], uint64_t cp)
{
    unsigned __int128 low = (unsigned __int128)g[1] * cp;
    unsigned __int128 high = (unsigned __int128)g[0] * cp + (uint64_t)(low >> 64);

    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct decimal shortest_of(uint64_t c, int q, bool lower_is_closer)
{
    bool even = c % 2 == 0;
    int k = lower_is_closer ? floor_log10_three_quarters_pow2(q) : floor_log10_pow2(q);
    int h = q + floor_log2_pow10(-k) + 1;
    const uint64_t *g = gw_pow10[-k - GW_POW10_MIN];
    uint64_t lower = mul_round_to_odd(g, (4 * c - 2 + lower_is_closer) << h) + !even;
    uint64_t v = mul_round_to_odd(g, (4 * c) << h);
    uint64_t upper = mul_round_to_odd(g, (4 * c + 2) << h) - !even;
    uint64_t s = v / 4;
    uint64_t middle = 4 * s + 2;

    if (s >= 10) {
        uint64_t sp = s / 10;
        bool below_inside = lower <= 40 * sp, above_inside = 40 * sp + 40 <= upper;

        if (below_inside != above_inside)
            return (struct decimal){sp + above_inside, k + 1};
    }
    bool below_inside = lower <= 4 * s, above_inside = 4 * s + 4 <= upper;
    if (below_inside != above_inside)
        return (struct decimal){s + above_inside, k};
    return (struct decimal){s + (v > middle || (v == middle && (s & 1))), k};
}

/** v finite and positive. */
static struct decimal shortest(uint64_t bits)
{
    uint64_t fraction = bits & ((1ull << FRACTION_BITS) - 1);
    int exponent = (int)(bits >> FRACTION_BITS);
    uint64_t c = exponent ? fraction | 1ull << FRACTION_BITS : fraction;
    int q = (exponent ? exponent : 1) - EXPONENT_BIAS;
    struct decimal d;

    if (q <= 0 && q > -FRACTION_BITS - 1 && (c & ((1ull << -q) - 1)) == 0)
        d = (struct decimal){c >> -q, 0}; /* a whole number below 2^53 */
    else
        d = shortest_of(c, q, fraction == 0 && exponent > 1);
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exp10++;
    }
    return d;
}

static size_t put_digits(uint64_t v, char *out)
{
    char tmp[20];
    size_t n = 0;

    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    return n;
}

/** d.ddde±XX, at least two digits of exponent unless es6 and negative. */
static size_t put_exponent(const char *digits, size_t n, int exp10, bool es6, char *out)
{
    char *p = out;
    unsigned e = (unsigned)(exp10 < 0 ? -exp10 : exp10);

    *p++ = digits[0];
    if (n > 1) {
        *p++ = '.';
        memcpy(p, digits + 1, n - 1);
        p += n - 1;
    }
    *p++ = 'e';
    *p++ = exp10 < 0 ? '-' : '+';
    if (e < 10 && !(es6 && exp10 < 0))
        *p++ = '0';
    p += put_digits(e, p);
    return (size_t)(p - out);
}

/** point: how many of the digits stand before the decimal point; may be negative or beyond n. */
static size_t put_plain(const char *digits, int n, int point, char *out)
{
    char *p = out;

    if (point <= 0) {
        *p++ = '0';
        *p++ = '.';
        memset(p, '0', (size_t)-point);
        p += -point;
        memcpy(p, digits, (size_t)n);
        p += n;
    } else if (point >= n) {
        memcpy(p, digits, (size_t)n);
        memset(p + n, '0', (size_t)(point - n));
        p += point;
    } else {
        memcpy(p, digits, (size_t)point);
        p += point;
        *p++ = '.';
        memcpy(p, digits + point, (size_t)(n - point));
        p += n - point;
    }
    return (size_t)(p - out);
}

static size_t put_special(double v, enum gw_double_style style, char *out)
{
    const char *s = v != v ? "NaN" : v > 0 ? "Infinity" : "-Infinity";

    if (style == GW_DOUBLE_G && v == v)
        s = v > 0 ? "+Inf" : "-Inf";
    memcpy(out, s, strlen(s));
    return strlen(s);
}

size_t gw_double_text(double v, enum gw_double_style style, char *out)
{
    char digits[MAX_DIGITS + 3];
    char *p = out;
    uint64_t bits;
    struct decimal d;
    size_t n;
    int exp10;
    bool exponent;

    memcpy(&bits, &v, sizeof(bits));
    if ((bits << 1) >> (FRACTION_BITS + 1) == 0x7ff)
        return put_special(v, style, out);
    if (bits >> 63)
        *p++ = '-';
    bits &= ~(1ull << 63);
    if (bits == 0) {
        *p++ = '0';
        return (size_t)(p - out);
    }
    d = shortest(bits);
    n = put_digits(d.digits, digits);
    exp10 = d.exp10 + (int)n - 1; /* of the first digit */
    exponent = style == GW_DOUBLE_G ? exp10 < -4 || exp10 >= 6 : exp10 < -6 || exp10 >= 21;
    p += exponent ? put_exponent(digits, n, exp10, style == GW_DOUBLE_ES6, p) : put_plain(digits, (int)n, exp10 + 1, p);
    return (size_t)(p - out);
}
