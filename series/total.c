/* SPDX-License-Identifier: Apache-2.0 */
#include "series/total.h"

#include <math.h>

enum { FRACTION_BITS = 52, ZERO_PLACE = 17 /* where the bit of 1 is the lowest one */ };
#define FRACTION_MASK ((UINT64_C(1) << FRACTION_BITS) - 1)

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

/* ---- adding ------------------------------------------------------------------------------------------------ */

static void raise_top(struct gw_total *t, uint32_t top)
{
    uint32_t by = top - t->top;

    for (unsigned i = GW_TOTAL_LIMBS; i-- > 0;) {
        t->low[i] = i >= by ? t->low[i - by] : 0;
        t->high[i] = i >= by ? t->high[i - by] : 0;
    }
    t->top = top;
}

static inline void add_digit(struct gw_total *t, uint32_t limb, uint64_t digit, bool minus)
{
    uint64_t old;

    if (limb >= GW_TOTAL_LIMBS)
        return;
    old = t->low[limb];
    if (minus) {
        t->low[limb] = old - digit;
        t->high[limb] -= old < digit;
    } else {
        t->low[limb] = old + digit;
        t->high[limb] += t->low[limb] < digit;
    }
}

/* m × 2^bit, where bit 0 is the lowest of place 0. At most three digits. */
static void add_wide(struct gw_total *t, u128 m, uint32_t bit, bool minus)
{
    uint32_t place = bit >> 6, shift = bit & 63, top;
    u128 low = m << shift;
    uint64_t digit[3] = {(uint64_t)low, (uint64_t)(low >> 64), shift ? (uint64_t)(m >> 64) >> (64 - shift) : 0};

    if (m == 0)
        return;
    for (top = 2; digit[top] == 0; top--) {
    }
    if (place + top > t->top)
        raise_top(t, place + top);
    for (uint32_t i = top + 1; i-- > 0;)
        add_digit(t, t->top - place - i, digit[i], minus);
}

/* The same, for the usual case: no more than two digits. */
static inline void add_narrow(struct gw_total *t, uint64_t m, uint32_t bit, bool minus)
{
    uint32_t place = bit >> 6, shift = bit & 63;
    u128 x = (u128)m << shift;
    uint64_t low = (uint64_t)x, high = (uint64_t)(x >> 64);
    uint32_t top = place + (high != 0);

    if (m == 0)
        return;
    if (top > t->top)
        raise_top(t, top);
    add_digit(t, t->top - place, low, minus);
    if (high)
        add_digit(t, t->top - place - 1, high, minus);
}

void gw_total_add(struct gw_total *t, double value, uint64_t n)
{
    uint64_t bits, m;
    uint32_t exponent;
    bool minus;

    memcpy(&bits, &value, 8);
    minus = bits >> 63;
    exponent = (uint32_t)(bits >> FRACTION_BITS) & 0x7ff;
    m = bits & FRACTION_MASK;
    if (n == 0)
        return;
    t->flags |= GW_TOTAL_DOUBLES;
    if (exponent == 0x7ff) {
        t->flags |= m ? GW_TOTAL_NAN : minus ? GW_TOTAL_MINUS_INF : GW_TOTAL_PLUS_INF;
        return;
    }
    if (exponent)
        m |= UINT64_C(1) << FRACTION_BITS;
    else
        exponent = 1;
    exponent += ZERO_PLACE * 64 - 1075; /* 2^-1074 is bit 14 */
    if (n == 1)
        add_narrow(t, m, exponent, minus);
    else
        add_wide(t, (u128)m * n, exponent, minus);
}

void gw_total_add_int(struct gw_total *t, int64_t value, uint64_t n)
{
    uint64_t m = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if (n == 1)
        add_narrow(t, m, ZERO_PLACE * 64, value < 0);
    else
        add_wide(t, (u128)m * n, ZERO_PLACE * 64, value < 0);
}

void gw_total_merge(struct gw_total *t, const struct gw_total *other)
{
    t->flags |= other->flags;
    if (other->top > t->top)
        raise_top(t, other->top);
    for (uint32_t i = 0, to = t->top - other->top; to < GW_TOTAL_LIMBS; i++, to++) {
        uint64_t low = t->low[to] + other->low[i];

        t->high[to] += other->high[i] + (low < other->low[i]);
        t->low[to] = low;
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

enum { WORDS = GW_TOTAL_LIMBS + 1 };

/* The absolute value, lowest word first, with the carries where they belong. Returns whether it is negative. */
static bool magnitude(const struct gw_total *t, uint64_t word[WORDS])
{
    i128 carry = 0;
    bool minus;

    for (unsigned i = 0; i < GW_TOTAL_LIMBS; i++) {
        unsigned limb = GW_TOTAL_LIMBS - 1 - i;

        carry += (i128)((u128)(uint64_t)t->high[limb] << 64 | t->low[limb]);
        word[i] = (uint64_t)carry;
        carry >>= 64; /* arithmetic: gcc and clang both */
    }
    word[WORDS - 1] = (uint64_t)carry;
    minus = carry < 0;
    for (unsigned i = 0, borrow = 1; minus && i < WORDS; i++) {
        word[i] = ~word[i] + borrow;
        borrow = borrow && word[i] == 0;
    }
    return minus;
}

double gw_total_finite(const struct gw_total *t)
{
    uint64_t word[WORDS], head;
    bool minus = magnitude(t, word), rest = false;
    int top = WORDS - 1, shift;
    double v;

    while (top > 0 && word[top] == 0)
        top--;
    if (word[top] == 0)
        return 0;
    shift = __builtin_clzll(word[top]);
    head = word[top] << shift;
    if (top > 0) {
        head |= shift ? word[top - 1] >> (64 - shift) : 0;
        rest = (word[top - 1] << shift) != 0;
    }
    for (int i = top - 2; i >= 0; i--)
        rest |= word[i] != 0;
    /* 64 bits, of which the last says whether there are more, are rounded as all of them would be */
    v = ldexp((double)(head | rest), 64 * (top + (int)t->top - (GW_TOTAL_LIMBS - 1) - ZERO_PLACE) - shift);
    return minus ? -v : v;
}

double gw_total_value(const struct gw_total *t)
{
    unsigned both = GW_TOTAL_PLUS_INF | GW_TOTAL_MINUS_INF;

    if (t->flags & GW_TOTAL_NAN || (t->flags & both) == both)
        return (double)NAN;
    if (t->flags & both)
        return t->flags & GW_TOTAL_PLUS_INF ? (double)INFINITY : -(double)INFINITY;
    return gw_total_finite(t);
}

bool gw_total_int(const struct gw_total *t, int64_t *ret)
{
    uint64_t word[WORDS] = {0};
    bool minus = magnitude(t, word);
    uint64_t value = 0;
    int one = (GW_TOTAL_LIMBS - 1) - ((int)t->top - ZERO_PLACE); /* the word whose lowest bit is 1 */

    if (t->flags)
        return false;
    for (int i = 0; i < WORDS; i++) {
        if (i == one)
            value = word[i];
        else if (word[i])
            return false;
    }
    if (value > (uint64_t)INT64_MAX + minus)
        return false;
    *ret = (int64_t)(minus ? 0 - value : value);
    return true;
}

bool gw_total_is_sane(const struct gw_total *t)
{
    uint32_t known = GW_TOTAL_NAN | GW_TOTAL_PLUS_INF | GW_TOTAL_MINUS_INF | GW_TOTAL_DOUBLES;

    if (t->top > GW_TOTAL_PLACES + 1 || t->flags & ~known)
        return false;
    for (unsigned i = 0; i < GW_TOTAL_LIMBS; i++)
        if (t->high[i] > INT64_MAX / 2 || t->high[i] < INT64_MIN / 2)
            return false;
    return true;
}
