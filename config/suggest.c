/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

enum { MAX_WORD = 64 };

static uint8_t fold(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c + ('a' - 'A'));
    return c == '-' ? '_' : c;
}

static unsigned min2(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance with swaps of neighbours (optimal string alignment), upper case and lower case equal. */
static unsigned distance(struct gw_slice a, struct gw_slice b)
{
    unsigned rows[3][MAX_WORD + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2], *t;

    for (size_t j = 0; j <= b.n; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            uint8_t x = fold(a.p[i - 1]), y = fold(b.p[j - 1]);

            now[j] = min2(min2(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b.p[j - 2]) && y == fold(a.p[i - 2]))
                now[j] = min2(now[j], before[j - 2] + 1);
        }
        t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[b.n];
}

const char *gw_suggest(struct gw_slice word, const char *const *words)
{
    unsigned best = word.n >= 6 ? (unsigned)word.n / 3 + 1 : 2; /* exclusive: 1 edit for short words, a third beyond */
    const char *ret = NULL;

    if (word.n == 0 || word.n > MAX_WORD)
        return NULL;
    for (; *words; words++) {
        struct gw_slice w = gw_slice_cstr(*words);
        unsigned d;

        if (w.n > MAX_WORD)
            continue;
        d = distance(word, w);
        if (d < best && d < w.n) {
            best = d;
            ret = *words;
        }
    }
    return ret;
}
