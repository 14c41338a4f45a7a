/* SPDX-License-Identifier: Apache-2.0 */
/* Zero thresholds: what is not above them is counted as zero, and no bucket may reach below. */
#include <math.h>

#include "series/histogram.h"

double gw_exponential_upper(int32_t index, int32_t scale)
{
    int64_t end = (int64_t)index + 1;
    int64_t whole = scale > 0 ? end >> scale : end * (INT64_C(1) << -scale);
    double part = scale > 0 ? (double)(end - whole * (INT64_C(1) << scale)) : 0;

    whole = whole < -1100 ? -1100 : whole > 1100 ? 1100 : whole;
    return ldexp(exp2(ldexp(part, -scale)), (int)whole);
}

static uint64_t count_at(const struct gw_exp_half *b, int32_t index)
{
    return index >= b->start && index - b->start < (int64_t)b->n ? b->counts[index - b->start] : 0;
}

/* A bucket that the threshold goes through is below it as a whole: so it goes up to the end of that bucket. */
static double raised(const struct gw_exponential *h, double threshold)
{
    int32_t index;
    double upper;

    if (threshold <= 0 || !isfinite(threshold))
        return threshold;
    index = gw_exponential_index(threshold, h->scale);
    if (count_at(&h->positive, index) == 0 && count_at(&h->negative, index) == 0)
        return threshold;
    upper = gw_exponential_upper(index, h->scale);
    return upper > threshold && isfinite(upper) ? upper : threshold;
}

double gw_exponential_common_zero(const struct gw_exponential *a, const struct gw_exponential *b)
{
    double t = a->zero_threshold > b->zero_threshold ? a->zero_threshold : b->zero_threshold, before;

    if (a->zero_threshold == b->zero_threshold)
        return t;
    do {
        before = t;
        t = raised(b, raised(a, t));
    } while (t > before);
    return t;
}

/* How many buckets from the first on are not above the threshold, or hold nothing. */
static uint32_t below(const struct gw_exp_half *b, int32_t scale, double threshold, uint64_t *ret_count)
{
    int32_t last = gw_exponential_index(threshold, scale);
    uint32_t n = 0;

    for (; n < b->n && (b->start + (int64_t)n <= last || b->counts[n] == 0); n++)
        *ret_count += b->counts[n];
    return n;
}

void gw_exponential_raise_zero(struct gw_exponential *h, double threshold, uint32_t *ret_positive,
                               uint32_t *ret_negative)
{
    *ret_positive = *ret_negative = 0;
    if (threshold <= h->zero_threshold)
        return;
    *ret_positive = below(&h->positive, h->scale, threshold, &h->zero_count);
    *ret_negative = below(&h->negative, h->scale, threshold, &h->zero_count);
    h->zero_threshold = threshold;
    h->positive.n -= *ret_positive;
    h->positive.start += (int32_t)*ret_positive;
    h->negative.n -= *ret_negative;
    h->negative.start += (int32_t)*ret_negative;
}

bool gw_exponential_is_sane(const struct gw_exponential *h)
{
    const struct gw_exp_half *halves[] = {&h->positive, &h->negative};

    if (h->scale < GW_EXP_MIN_SCALE || h->scale > GW_EXP_MAX_SCALE || !(h->zero_threshold >= 0) ||
        !isfinite(h->zero_threshold))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        int64_t most = h->scale > 0 ? INT64_C(1100) << h->scale : 1100 >> -h->scale;

        if (halves[i]->n && (halves[i]->start < -most - 1 || (int64_t)halves[i]->start + halves[i]->n > most + 1))
            return false;
    }
    return true;
}
