/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exponential histograms are brought to one scale (the smaller one, and so small that each half has at most
 * GW_RUNNING_BUCKETS buckets) and to the wider zero bucket, then added bucket by bucket.
 */
#include <math.h>

#include "processors/common/running.h"

enum { ROUND_WORDS = 16, MAX_SCALE = 2000 };

struct point {
    const struct gw_exphist *h;
    struct gw_exp_buckets positive, negative; /* the arena's */
    int32_t scale;
    uint64_t zero_count;
    double zero_threshold;
};

static bool read_point(const struct gw_view *v, uint32_t row, struct point *ret)
{
    const struct gw_exphist *h = &v->batch->exphists[v->batch->number[row].u64];

    *ret = (struct point){.h = h, .scale = h->scale, .zero_count = h->zero_count, .zero_threshold = h->zero_threshold};
    return gw_point_buckets(v, h->positive, h->positive_offset, h->n_positive, &ret->positive) &&
           gw_point_buckets(v, h->negative, h->negative_offset, h->n_negative, &ret->negative);
}

static void move_buckets(struct gw_exp_buckets *to, uint64_t *words, const struct gw_exp_buckets *from)
{
    *to = (struct gw_exp_buckets){.offset = from->offset, .n = from->n, .counts = words};
    if (from->n)
        memcpy(words, from->counts, from->n * sizeof(*words));
}

bool gw_running_set_exponential(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit)
{
    struct gw_running_hist *to;
    struct point p;

    if (!read_point(v, row, &p))
        return false;
    to = gw_running_room(t, (uint64_t)p.positive.n + p.negative.n, credit);
    if (!to)
        return false;
    to->count = p.h->count;
    to->sum = p.h->sum;
    to->min = p.h->min;
    to->max = p.h->max;
    to->has_sum = p.h->has_sum;
    to->has_min = p.h->has_min;
    to->has_max = p.h->has_max;
    to->scale = p.scale;
    to->zero_count = p.zero_count;
    to->zero_threshold = p.zero_threshold;
    move_buckets(&to->positive, to->words, &p.positive);
    move_buckets(&to->negative, to->words + p.positive.n, &p.negative);
    return true;
}

/* ---- scale ------------------------------------------------------------------------------------------------ */

static uint64_t count_at(const struct gw_exp_buckets *b, int64_t at)
{
    return at >= b->offset && at - b->offset < b->n ? b->counts[at - b->offset] : 0;
}

/* From the first to behind the last bucket that counts something in one of the two. */
static void find_span(const struct gw_exp_buckets *a, const struct gw_exp_buckets *b, int64_t *ret_lo, int64_t *ret_up)
{
    int64_t lo = INT64_MAX, up = INT64_MIN;
    const struct gw_exp_buckets *both[] = {a, b};

    for (unsigned k = 0; k < 2; k++)
        for (uint32_t i = 0; i < both[k]->n; i++)
            if (both[k]->counts[i]) {
                int64_t at = (int64_t)both[k]->offset + i;

                lo = at < lo ? at : lo;
                up = at >= up ? at + 1 : up;
            }
    *ret_lo = up == INT64_MIN ? 0 : lo;
    *ret_up = up == INT64_MIN ? 0 : up;
}

/* How many times two buckets must become one. */
static uint32_t bits_too_many(const struct gw_exp_buckets *a, const struct gw_exp_buckets *b)
{
    uint32_t bits = 0;
    int64_t lo, up;

    for (find_span(a, b, &lo, &up); up - lo > GW_RUNNING_BUCKETS; bits++) {
        lo >>= 1;
        up = (up + 1) >> 1;
    }
    return bits;
}

static void coarsen_both(struct gw_exp_buckets *positive, struct gw_exp_buckets *negative, int32_t *scale,
                         uint32_t bits)
{
    if (bits == 0)
        return;
    gw_exp_coarsen(positive, bits);
    gw_exp_coarsen(negative, bits);
    *scale = (int32_t)((uint32_t)*scale - bits);
}

static void to_one_scale(struct gw_running_hist *to, struct point *p)
{
    int64_t ahead = (int64_t)to->scale - p->scale;
    uint32_t bits, more;

    if (ahead > 0)
        coarsen_both(&to->positive, &to->negative, &to->scale, (uint32_t)ahead);
    else
        coarsen_both(&p->positive, &p->negative, &p->scale, (uint32_t)-ahead);
    bits = bits_too_many(&to->positive, &p->positive);
    more = bits_too_many(&to->negative, &p->negative);
    bits = bits > more ? bits : more;
    coarsen_both(&to->positive, &to->negative, &to->scale, bits);
    coarsen_both(&p->positive, &p->negative, &p->scale, bits);
}

/* ---- zero ------------------------------------------------------------------------------------------------- */

static int32_t clamped(double at)
{
    return at <= INT32_MIN ? INT32_MIN : at >= INT32_MAX - 1 ? INT32_MAX - 1 : (int32_t)at;
}

/* As far as doubles go. */
static int scale_of(int32_t scale)
{
    return scale > MAX_SCALE ? MAX_SCALE : scale < -MAX_SCALE ? -MAX_SCALE : scale;
}

/* The bucket that holds a width above 0: (base^i, base^(i+1)], base = 2^(2^-scale). Powers of two exactly. */
static int32_t bucket_of(double width, int32_t scale)
{
    int exp;

    if (frexp(width, &exp) == 0.5)
        return clamped(ceil(ldexp(exp - 1, scale_of(scale))) - 1);
    return clamped(floor(log(width) * ldexp(M_LOG2E, scale_of(scale))));
}

/* What lies below the width is zero now; the threshold becomes the end of the bucket that the width lies in. */
static void widen(struct gw_exp_buckets *positive, struct gw_exp_buckets *negative, int32_t scale, uint64_t *zero_count,
                  double *threshold, double width)
{
    int32_t zero;

    *threshold = width;
    if (!(width > 0))
        return;
    zero = bucket_of(width, scale);
    *zero_count += gw_exp_trim(positive, zero);
    *zero_count += gw_exp_trim(negative, zero);
    *threshold = exp(((double)zero + 1) * ldexp(M_LN2, -scale_of(scale)));
}

static void to_one_zero(struct gw_running_hist *to, struct point *p)
{
    if (to->zero_threshold == p->zero_threshold)
        return;
    if (isnan(to->zero_threshold) || to->zero_threshold < p->zero_threshold)
        widen(&to->positive, &to->negative, to->scale, &to->zero_count, &to->zero_threshold, p->zero_threshold);
    else
        widen(&p->positive, &p->negative, p->scale, &p->zero_count, &p->zero_threshold, to->zero_threshold);
}

/* ---- adding ----------------------------------------------------------------------------------------------- */

/* Their sum in words, which are not theirs. */
static void merge(const struct gw_exp_buckets *a, const struct gw_exp_buckets *b, uint64_t *words,
                  struct gw_exp_buckets *ret)
{
    int64_t lo, up;

    find_span(a, b, &lo, &up);
    *ret = (struct gw_exp_buckets){.offset = (int32_t)lo, .n = (uint32_t)(up - lo), .counts = words};
    for (int64_t at = lo; at < up; at++)
        words[at - lo] = count_at(a, at) + count_at(b, at);
}

bool gw_running_add_exponential(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit)
{
    uint64_t *words = gw_arena_alloc(v->arena, (size_t)2 * GW_RUNNING_BUCKETS * sizeof(*words)), n_words;
    struct gw_exp_buckets positive, negative;
    struct gw_running_hist *to = t->h;
    struct point p;

    if (!words || !read_point(v, row, &p))
        return false;
    to_one_scale(to, &p);
    to_one_zero(to, &p);
    merge(&to->positive, &p.positive, words, &positive);
    merge(&to->negative, &p.negative, words + GW_RUNNING_BUCKETS, &negative);
    n_words = ((uint64_t)positive.n + negative.n + ROUND_WORDS - 1) / ROUND_WORDS * ROUND_WORDS;
    to = gw_running_room(t, n_words, credit);
    if (!to)
        return false; /* what was there is in fewer buckets now, and all there */
    move_buckets(&to->positive, to->words, &positive);
    move_buckets(&to->negative, to->words + positive.n, &negative);
    to->count += p.h->count;
    to->zero_count += p.zero_count;
    gw_running_add_stats(to, p.h->has_sum, p.h->sum, p.h->has_min, p.h->min, p.h->has_max, p.h->max);
    return true;
}

static void set_or_remove(struct gw_view *v, uint32_t row, uint32_t field, bool has, double value)
{
    if (has)
        gw_point_set_double(v, row, field, value);
    else
        gw_point_remove(v, row, field);
}

void gw_running_write_exponential(const struct gw_running *t, struct gw_rewrite *w, uint32_t row)
{
    struct gw_view *v = gw_rewrite_view(w);
    const struct gw_running_hist *h = t->h;

    gw_point_set_u64(v, row, GW_POINT_START, t->start_ns);
    gw_point_set_u64(v, row, GW_EXP_COUNT, h->count);
    set_or_remove(v, row, GW_EXP_SUM, h->has_sum, h->sum);
    gw_point_set_sint(v, row, GW_EXP_SCALE, h->scale);
    gw_point_set_u64(v, row, GW_EXP_ZERO_COUNT, h->zero_count);
    gw_point_set_buckets(v, row, GW_EXP_POSITIVE, &h->positive);
    gw_point_set_buckets(v, row, GW_EXP_NEGATIVE, &h->negative);
    set_or_remove(v, row, GW_EXP_MIN, h->has_min, h->min);
    set_or_remove(v, row, GW_EXP_MAX, h->has_max, h->max);
    set_or_remove(v, row, GW_EXP_ZERO_THRESHOLD, h->zero_threshold != 0, h->zero_threshold);
}
