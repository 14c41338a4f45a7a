/* SPDX-License-Identifier: Apache-2.0 */
/* Points that are histograms already: as the series' library knows them. What they take lies in the turn's arena. */
#include <math.h>

#include "processors/common/points.h"
#include "processors/rollup/rollup.h"
#include "series/mixed.h"
#include "series/quantile.h"

static const char bad[] = "bad_histogram";

static double or_nan(bool has, double value)
{
    return has ? value : NAN;
}

/* Without buckets there is one, of all. */
static const char *read_explicit(const struct gw_view *v, const struct gw_hist *h, struct gw_ru_histogram *ret)
{
    unsigned n = h->bounds.len / 8, counts = h->counts.len / 8;
    double *bounds = gw_arena_alloc(v->arena, (n + 1) * sizeof(*bounds));
    struct gw_explicit *e = gw_arena_zalloc(v->arena, sizeof(*e) + (n + 1) * sizeof(e->buckets[0]));
    uint64_t sum = 0;

    if (!bounds || !e)
        return "memory_limit";
    if (n)
        memcpy(bounds, v->batch->base + h->bounds.off, (size_t)n * 8);
    ret->bounds = (struct gw_bounds){bounds, n};
    if (!gw_bounds_are_sane(&ret->bounds) || (counts != n + 1 && (counts || n)))
        return bad;
    e->count = e->buckets[0] = h->count;
    e->sum = or_nan(h->has_sum, h->sum);
    if (counts)
        memcpy(e->buckets, v->batch->base + h->counts.off, (size_t)counts * 8);
    for (unsigned i = 0; i <= n; i++)
        if (__builtin_add_overflow(sum, e->buckets[i], &sum))
            return bad;
    ret->explicit = e;
    ret->min = or_nan(h->has_min, h->min);
    ret->max = or_nan(h->has_max, h->max);
    return sum == h->count ? NULL : bad;
}

static bool read_half(const struct gw_view *v, struct gw_ref packed, int32_t offset, uint32_t n,
                      struct gw_exp_half *ret, uint64_t *sum)
{
    struct gw_exp_buckets b;

    if (!gw_point_buckets(v, packed, offset, n, &b))
        return false;
    for (uint32_t i = 0; i < b.n; i++)
        if (__builtin_add_overflow(*sum, b.counts[i], sum))
            return false;
    *ret = (struct gw_exp_half){.counts = b.counts, .start = b.offset, .n = b.n, .cap = b.n};
    return true;
}

static const char *read_exponential(const struct gw_view *v, const struct gw_exphist *h, struct gw_ru_histogram *ret)
{
    struct gw_exponential *e = gw_arena_zalloc(v->arena, sizeof(*e));
    uint64_t sum = h->zero_count;

    if (!e)
        return "memory_limit";
    gw_exponential_init(e, GW_EXP_MAX_SIZE);
    e->count = h->count;
    e->zero_count = h->zero_count;
    e->zero_threshold = h->zero_threshold;
    e->scale = h->scale;
    e->sum = or_nan(h->has_sum, h->sum);
    if (!read_half(v, h->positive, h->positive_offset, h->n_positive, &e->positive, &sum) ||
        !read_half(v, h->negative, h->negative_offset, h->n_negative, &e->negative, &sum) || sum != h->count ||
        !gw_exponential_is_sane(e))
        return bad;
    gw_exponential_guess_range(e);
    if (h->has_min)
        e->min = h->min;
    if (h->has_max)
        e->max = h->max;
    ret->exponential = e;
    return isnan(e->min) || isnan(e->max) || e->min > e->max ? bad : NULL;
}

const char *gw_ru_histogram_read(const struct gw_view *v, uint32_t row, const struct gw_ru_histogram **ret)
{
    const struct gw_batch *b = v->batch;
    bool is_exponential = b->number_type[row] == GW_N_EXP_HISTOGRAM;
    struct gw_ru_histogram *h;

    if (b->metrics[b->metric[row]].temporality == GW_T_CUMULATIVE)
        return "cumulative";
    if ((is_exponential ? b->exphists[b->number[row].u64].count : b->hists[b->number[row].u64].count) == 0)
        return "no_value";
    h = gw_arena_zalloc(v->arena, sizeof(*h));
    *ret = h;
    if (!h)
        return "memory_limit";
    return is_exponential ? read_exponential(v, &b->exphists[b->number[row].u64], h)
                          : read_explicit(v, &b->hists[b->number[row].u64], h);
}

int gw_ru_histogram_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_ru_histogram *h)
{
    return h->exponential ? gw_agg_add_exponential(p, state, heap, h->exponential)
                          : gw_agg_add_explicit(p, state, heap, &h->bounds, h->explicit, h->min, h->max);
}
