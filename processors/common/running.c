/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, and histograms with fixed bounds; running_exponential.c has the others. */
#include "processors/common/running.h"

#include <math.h>
#include <stdlib.h>

/* ---- room ------------------------------------------------------------------------------------------------- */

void gw_running_clear(struct gw_running *t, struct gw_credit *credit)
{
    if ((t->type == GW_N_HISTOGRAM || t->type == GW_N_EXP_HISTOGRAM) && t->h) {
        if (credit)
            gw_credit_give(credit, t->h->bytes);
        free(t->h);
    }
    *t = (struct gw_running){0};
}

struct gw_running_hist *gw_running_room(struct gw_running *t, uint64_t n_words, struct gw_credit *credit)
{
    struct gw_running_hist *h = t->h, *old = h;
    size_t bytes = sizeof(*h) + n_words * sizeof(uint64_t), had = old ? old->bytes : 0;
    size_t positive, negative;

    if (old && old->n_words >= n_words)
        return old;
    if (credit && !gw_credit_take(credit, bytes - had))
        return NULL;
    positive = old && old->positive.n ? (size_t)(old->positive.counts - old->words) : 0;
    negative = old && old->negative.n ? (size_t)(old->negative.counts - old->words) : 0;
    h = realloc(old, bytes);
    if (!h) {
        if (credit)
            gw_credit_give(credit, bytes - had);
        return NULL;
    }
    if (!old)
        memset(h, 0, sizeof(*h));
    h->positive.counts = h->words + positive;
    h->negative.counts = h->words + negative;
    h->bytes = bytes;
    h->n_words = (uint32_t)n_words;
    t->h = h;
    return h;
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

/* Whole numbers wrap around, as everywhere. One that is added to the other kind makes it that of doubles. */
static void add_number(struct gw_running *t, enum gw_number_type type, union gw_val value)
{
    if (type == GW_N_NONE)
        return;
    if (t->type == GW_N_NONE) {
        t->type = (uint8_t)type;
        t->i = value.i64;
    } else if (t->type == GW_N_INT && type == GW_N_INT) {
        t->i = (int64_t)((uint64_t)t->i + value.u64);
    } else {
        t->f = (t->type == GW_N_INT ? (double)t->i : t->f) + (type == GW_N_INT ? (double)value.i64 : value.f64);
        t->type = GW_N_DOUBLE;
    }
}

/* ---- histograms ------------------------------------------------------------------------------------------- */

static bool same_bounds(const struct gw_batch *b, const struct gw_hist *h, const struct gw_running_hist *to)
{
    const uint64_t *bounds = to->words + to->n_counts;

    if (h->bounds.len / 8 != to->n_bounds)
        return false;
    for (uint32_t i = 0; i < to->n_bounds; i++) {
        double was, is;

        memcpy(&was, bounds + i, sizeof(was));
        memcpy(&is, b->base + h->bounds.off + (size_t)8 * i, sizeof(is));
        if (was != is)
            return false;
    }
    return true;
}

static bool set_histogram(struct gw_running *t, const struct gw_batch *b, const struct gw_hist *h,
                          struct gw_credit *credit)
{
    uint32_t n_counts = h->counts.len / 8, n_bounds = h->bounds.len / 8;
    struct gw_running_hist *to = gw_running_room(t, (uint64_t)n_counts + n_bounds, credit);

    if (!to)
        return false;
    to->count = h->count;
    to->sum = h->sum;
    to->min = h->min;
    to->max = h->max;
    to->has_sum = h->has_sum;
    to->has_min = h->has_min;
    to->has_max = h->has_max;
    to->n_counts = n_counts;
    to->n_bounds = n_bounds;
    if (n_counts)
        memcpy(to->words, b->base + h->counts.off, (size_t)8 * n_counts);
    if (n_bounds)
        memcpy(to->words + n_counts, b->base + h->bounds.off, (size_t)8 * n_bounds);
    return true;
}

/* NaN is never lost. */
static double lesser(double a, double b)
{
    return isnan(a) || a < b ? a : b;
}

static double greater(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

void gw_running_add_stats(struct gw_running_hist *to, bool has_sum, double sum, bool has_min, double min, bool has_max,
                          double max)
{
    to->has_sum &= has_sum;
    to->has_min &= has_min;
    to->has_max &= has_max;
    to->sum = to->has_sum ? to->sum + sum : 0;
    to->min = to->has_min ? lesser(to->min, min) : 0;
    to->max = to->has_max ? greater(to->max, max) : 0;
}

static void add_histogram(struct gw_running_hist *to, const struct gw_batch *b, const struct gw_hist *h)
{
    uint32_t n = h->counts.len / 8;

    n = n < to->n_counts ? n : to->n_counts;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t count;

        memcpy(&count, b->base + h->counts.off + (size_t)8 * i, sizeof(count));
        to->words[i] += count;
    }
    to->count += h->count;
    gw_running_add_stats(to, h->has_sum, h->sum, h->has_min, h->min, h->has_max, h->max);
}

static void write_histogram(const struct gw_running *t, struct gw_rewrite *w, uint32_t row)
{
    const struct gw_running_hist *h = t->h;

    gw_rewrite_histogram(w, row,
                         &(struct gw_rewrite_hist){.start_ns = t->start_ns,
                                                   .count = h->count,
                                                   .sum = h->sum,
                                                   .min = h->min,
                                                   .max = h->max,
                                                   .has_sum = h->has_sum,
                                                   .has_min = h->has_min,
                                                   .has_max = h->has_max,
                                                   .n = h->n_counts,
                                                   .counts = h->words});
}

/* ---- all -------------------------------------------------------------------------------------------------- */

bool gw_running_set(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit)
{
    const struct gw_batch *b = v->batch;
    uint8_t type = b->number_type[row];
    bool ok = true;

    if (type == GW_N_HISTOGRAM)
        ok = set_histogram(t, b, &b->hists[b->number[row].u64], credit);
    else if (type == GW_N_EXP_HISTOGRAM)
        ok = gw_running_set_exponential(t, v, row, credit);
    else
        t->i = type == GW_N_NONE ? 0 : b->number[row].i64;
    if (!ok)
        return false;
    t->type = type;
    t->start_ns = b->start_ns[row];
    t->time_ns = b->time_ns[row];
    return true;
}

bool gw_running_fits(const struct gw_running *t, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;

    return b->number_type[row] != GW_N_HISTOGRAM || same_bounds(b, &b->hists[b->number[row].u64], t->h);
}

bool gw_running_add(struct gw_running *t, const struct gw_view *v, uint32_t row, struct gw_credit *credit)
{
    const struct gw_batch *b = v->batch;
    uint64_t time_ns = t->time_ns;
    const struct gw_hist *h;

    switch (b->number_type[row]) {
    case GW_N_HISTOGRAM:
        h = &b->hists[b->number[row].u64];
        if (same_bounds(b, h, t->h)) {
            add_histogram(t->h, b, h);
            return true;
        }
        if (!gw_running_set(t, v, row, credit))
            return false;
        t->time_ns = time_ns;
        return true;
    case GW_N_EXP_HISTOGRAM:
        return gw_running_add_exponential(t, v, row, credit);
    default:
        add_number(t, b->number_type[row], b->number[row]);
        return true;
    }
}

void gw_running_write(const struct gw_running *t, struct gw_rewrite *w, uint32_t row)
{
    switch (t->type) {
    case GW_N_HISTOGRAM:
        write_histogram(t, w, row);
        break;
    case GW_N_EXP_HISTOGRAM:
        gw_running_write_exponential(t, w, row);
        break;
    case GW_N_NONE: /* no point had a value, this one neither */
        gw_point_set_u64(gw_rewrite_view(w), row, GW_POINT_START, t->start_ns);
        break;
    default:
        gw_rewrite_number(w, row, t->start_ns, t->type, (union gw_val){.i64 = t->i});
        break;
    }
}
