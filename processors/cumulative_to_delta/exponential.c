/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential histograms: the last point is brought to the scale and zero threshold of the one at hand. */
#include <math.h>

#include "processors/cumulative_to_delta/deltas.h"

struct point {
    const struct gw_exphist *h;
    struct gw_exp_buckets positive, negative;
};

/*
 * now - last, from the first to the last bucket in which they differ; written over now, whose counts are the arena's.
 * False: a count fell.
 */
static bool subtract(struct gw_exp_buckets *now, const struct gw_exp_buckets *last)
{
    uint32_t first = now->n, end = 0;

    for (uint32_t i = 0; i < now->n; i++) {
        int64_t at = (int64_t)now->offset + i - last->offset;
        uint64_t before = at >= 0 && at < (int64_t)last->n ? last->counts[at] : 0;

        if (now->counts[i] == 0 || now->counts[i] == before) {
            now->counts[i] = 0;
            continue;
        }
        if (now->counts[i] < before)
            return false;
        now->counts[i] -= before;
        first = first < i ? first : i;
        end = i + 1;
    }
    if (end == 0) {
        now->n = 0;
        now->offset = 0;
        return true;
    }
    now->counts += first;
    now->n = end - first;
    now->offset = (int32_t)((uint32_t)now->offset + first);
    return true;
}

/* The greatest bucket that begins below the threshold. */
static int32_t bucket_below(double threshold, int32_t scale)
{
    double at = ceil(log(threshold) * ldexp(M_LOG2E, scale)) - 1;

    return at >= INT32_MIN && at <= INT32_MAX ? (int32_t)at : INT32_MIN;
}

static void move_buckets(struct gw_exp_buckets *to, uint64_t *words, const struct gw_exp_buckets *from)
{
    *to = (struct gw_exp_buckets){.offset = from->offset, .n = from->n, .counts = words};
    if (from->n)
        memcpy(words, from->counts, from->n * sizeof(*words));
}

static bool keep(struct gw_deltas *d, struct gw_series *s, const struct point *p)
{
    struct gw_last *last = gw_deltas_room(d, s, (uint64_t)p->positive.n + p->negative.n);

    if (!last)
        return false;
    last->count = p->h->count;
    last->sum = p->h->sum;
    last->zero_count = p->h->zero_count;
    last->zero_threshold = p->h->zero_threshold;
    last->scale = p->h->scale;
    move_buckets(&last->positive, last->words, &p->positive);
    move_buckets(&last->negative, last->words + p->positive.n, &p->negative);
    return true;
}

static void write_point(struct gw_view *v, uint32_t row, uint64_t start, const struct gw_exphist *h,
                        const struct point *delta)
{
    gw_point_set_u64(v, row, GW_POINT_START, start);
    gw_point_set_u64(v, row, GW_EXP_COUNT, h->count);
    if (h->has_sum)
        gw_point_set_double(v, row, GW_EXP_SUM, h->sum);
    gw_point_set_u64(v, row, GW_EXP_ZERO_COUNT, h->zero_count);
    if (delta) {
        gw_point_set_buckets(v, row, GW_EXP_POSITIVE, &delta->positive);
        gw_point_set_buckets(v, row, GW_EXP_NEGATIVE, &delta->negative);
    }
    if (h->has_min)
        gw_point_remove(v, row, GW_EXP_MIN);
    if (h->has_max)
        gw_point_remove(v, row, GW_EXP_MAX);
}

static bool read_point(const struct gw_view *v, uint32_t row, struct point *ret)
{
    const struct gw_exphist *h = &v->batch->exphists[v->batch->number[row].u64];

    ret->h = h;
    return gw_point_buckets(v, h->positive, h->positive_offset, h->n_positive, &ret->positive) &&
           gw_point_buckets(v, h->negative, h->negative_offset, h->n_negative, &ret->negative);
}

static void align(struct gw_last *last, const struct gw_exphist *h)
{
    if (h->zero_threshold > last->zero_threshold) {
        int32_t bucket = bucket_below(h->zero_threshold, last->scale);

        last->zero_count += gw_exp_trim(&last->positive, bucket);
        last->zero_count += gw_exp_trim(&last->negative, bucket);
    }
    if (h->scale < last->scale) {
        uint32_t bits = (uint32_t)((int64_t)last->scale - h->scale);

        last->scale = h->scale;
        gw_exp_coarsen(&last->positive, bits);
        gw_exp_coarsen(&last->negative, bits);
    }
}

/* A point after a reset does not replace the last one, as in the Collector. */
static enum gw_delta subtract_point(struct gw_deltas *d, struct gw_series *s, struct gw_view *v, uint32_t row)
{
    struct gw_last *last = ((union gw_last_value *)gw_series_value(s))->h;
    struct point now, delta;
    struct gw_exphist h;
    uint64_t start = s->seen_ns;

    if (!read_point(v, row, &now) || !read_point(v, row, &delta)) {
        v->failed = true;
        return GW_DELTA_NO_MEMORY;
    }
    h = *now.h;
    if (h.count < last->count || h.zero_threshold < last->zero_threshold || h.scale > last->scale)
        return GW_DELTA_RESET;
    align(last, &h);
    if (!subtract(&delta.positive, &last->positive) || !subtract(&delta.negative, &last->negative))
        return GW_DELTA_RESET;
    h.count -= last->count;
    h.zero_count -= last->zero_count;
    if (!isnan(h.sum))
        h.sum -= last->sum;
    s->seen_ns = v->batch->time_ns[row];
    if (!keep(d, s, &now))
        return GW_DELTA_NO_MEMORY;
    write_point(v, row, start, &h, &delta);
    return GW_DELTA_MADE;
}

enum gw_delta gw_delta_exponential(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row)
{
    struct gw_view *v = gw_rewrite_view(w);
    const struct gw_batch *b = v->batch;
    struct gw_series *s;
    struct point now;
    enum gw_delta rc;
    uint64_t start;
    bool is_new;

    rc = gw_deltas_get(d, &d->histograms, b, row, &s, &is_new);
    if (rc != GW_DELTA_MADE)
        return rc;
    if (!is_new)
        return subtract_point(d, s, v, row);
    s->seen_ns = b->time_ns[row];
    if (!read_point(v, row, &now)) {
        gw_streams_forget(&d->histograms, s);
        v->failed = true;
        return GW_DELTA_NO_MEMORY;
    }
    if (!keep(d, s, &now))
        return GW_DELTA_NO_MEMORY;
    rc = gw_deltas_first(d, b, row, &start);
    if (rc == GW_DELTA_MADE)
        write_point(v, row, start, now.h, NULL);
    return rc;
}
