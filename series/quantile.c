/* SPDX-License-Identifier: Apache-2.0 */
#include "series/quantile.h"

#include <math.h>

static uint64_t rank_of(double q, uint64_t count)
{
    double rank = ceil(q * (double)count);

    if (!(rank >= 1))
        return 1;
    return rank >= (double)count ? count : (uint64_t)rank;
}

static double clamp(double v, double min, double max)
{
    v = v < min ? min : v;
    return v > max ? max : v;
}

/* ---- exponential ------------------------------------------------------------------------------------------- */

/* The one that is as far from both ends, relative to them: 2lu / (l + u), in an order that does not overflow. */
static double middle_of(int32_t index, int32_t scale)
{
    double lower = gw_exponential_upper(index - 1, scale), upper = gw_exponential_upper(index, scale);

    return isfinite(upper) ? 2 * lower / (1 + lower / upper) : lower;
}

/* The bucket of that rank from the lowest on, or with is_down from the highest. */
static double in_half(const struct gw_exponential *h, const struct gw_exp_half *b, uint64_t rank, bool is_down)
{
    uint64_t seen = 0;
    uint32_t i = 0;

    for (; i + 1 < b->n; i++) {
        seen += b->counts[is_down ? b->n - 1 - i : i];
        if (seen >= rank)
            break;
    }
    return middle_of(b->start + (int32_t)(is_down ? b->n - 1 - i : i), h->scale);
}

double gw_exponential_quantile(const struct gw_exponential *h, double q)
{
    uint64_t rank = rank_of(q, h->count), negative = 0;
    double v;

    if (h->count == 0)
        return (double)NAN;
    if (rank == h->count)
        return h->max;
    if (rank == 1)
        return h->min;
    for (uint32_t i = 0; i < h->negative.n; i++)
        negative += h->negative.counts[i];
    if (rank <= negative)
        v = -in_half(h, &h->negative, rank, true);
    else if (rank <= negative + h->zero_count || h->positive.n == 0)
        v = 0;
    else
        v = in_half(h, &h->positive, rank - negative - h->zero_count, false);
    return clamp(v, h->min, h->max);
}

void gw_exponential_guess_range(struct gw_exponential *h)
{
    const struct gw_exp_half *p = &h->positive, *n = &h->negative;
    double zero = h->zero_count ? h->zero_threshold : 0;

    if (n->n)
        h->min = -gw_exponential_upper(n->start + (int32_t)n->n - 1, h->scale);
    else
        h->min = h->zero_count || p->n == 0 ? -zero : gw_exponential_upper(p->start - 1, h->scale);
    if (p->n)
        h->max = gw_exponential_upper(p->start + (int32_t)p->n - 1, h->scale);
    else
        h->max = h->zero_count || n->n == 0 ? zero : -gw_exponential_upper(n->start - 1, h->scale);
}

/* ---- explicit ---------------------------------------------------------------------------------------------- */

/* Where the values of a bucket may lie. */
static void ends_of(const struct gw_bounds *b, unsigned i, double min, double max, double *low, double *high)
{
    *high = i < b->n ? b->at[i] : (isnan(max) ? (b->n ? b->at[b->n - 1] : 0) : max);
    if (i > 0)
        *low = b->at[i - 1];
    else
        *low = !isnan(min) ? min : *high > 0 ? 0 : *high;
    if (!isnan(min) && *low < min)
        *low = min;
    if (!isnan(max) && *high > max)
        *high = max;
    if (*low > *high) /* min and max that cannot be */
        *low = *high;
}

double gw_explicit_quantile(const struct gw_explicit *h, const struct gw_bounds *b, double q, double min, double max)
{
    uint64_t rank = rank_of(q, h->count), before = 0;
    double low, high;
    unsigned i = 0;

    if (h->count == 0)
        return (double)NAN;
    while (i < b->n && before + h->buckets[i] < rank)
        before += h->buckets[i++];
    ends_of(b, i, min, max, &low, &high);
    if (h->buckets[i] == 0)
        return high;
    return low + (high - low) * ((double)(rank - before) / (double)h->buckets[i]);
}

enum { STEPS = 16 };

static bool spread(struct gw_exponential *e, double low, double high, uint64_t n)
{
    unsigned steps = n < STEPS ? (unsigned)n : STEPS;

    if (!isfinite(low) || !isfinite(high))
        return false;
    for (unsigned k = 0; k < steps; k++) {
        double at = low + (high - low) * ((k + 0.5) / steps);

        if (!gw_exponential_add(e, at, n / steps + (k < n % steps)))
            return false;
    }
    return true;
}

bool gw_exponential_add_explicit(struct gw_exponential *e, const struct gw_explicit *h, const struct gw_bounds *b,
                                 double min, double max)
{
    double sum = e->sum, low, high;
    uint64_t before = e->count;
    double least = e->min, greatest = e->max;

    for (unsigned i = 0; i <= b->n; i++) {
        ends_of(b, i, min, max, &low, &high);
        if (h->buckets[i] && !spread(e, low, high, h->buckets[i]))
            return false;
    }
    e->sum = sum + h->sum;
    if (e->count > before && !isnan(min))
        e->min = before && least < min ? least : min;
    if (e->count > before && !isnan(max))
        e->max = before && greatest > max ? greatest : max;
    return true;
}
