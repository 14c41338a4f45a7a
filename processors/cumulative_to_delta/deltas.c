/* SPDX-License-Identifier: Apache-2.0 */
/* Series, numbers and histograms with fixed bounds. */
#include "processors/cumulative_to_delta/deltas.h"

#include <math.h>
#include <stdlib.h>

#include "processors/common/hist_state.h"

enum { NO_RECORDED_VALUE = 1 };

static void clear_value(void *value, void *arg)
{
    union gw_last_value *v = value;
    struct gw_deltas *d = arg;

    if (!v->h)
        return;
    if (d->credit)
        gw_credit_give(d->credit, v->h->bytes);
    free(v->h);
    v->h = NULL;
}

void gw_deltas_init(struct gw_deltas *d, enum gw_initial initial, uint64_t begin_ns, uint32_t max_streams,
                    struct gw_credit *credit)
{
    struct gw_streams_conf conf = {
        .value_bytes = sizeof(union gw_last_value), .more_bytes = 9, .max_streams = max_streams, .credit = credit};

    *d = (struct gw_deltas){.credit = credit, .initial = initial, .begin_ns = begin_ns};
    gw_streams_init(&d->numbers, &conf);
    conf.clear_value = clear_value;
    conf.arg = d;
    gw_streams_init(&d->histograms, &conf);
}

void gw_deltas_free(struct gw_deltas *d)
{
    gw_streams_free(&d->numbers);
    gw_streams_free(&d->histograms);
}

void gw_deltas_begin(struct gw_deltas *d)
{
    gw_streams_begin(&d->numbers);
    gw_streams_begin(&d->histograms);
}

uint64_t gw_deltas_n(const struct gw_deltas *d)
{
    return (uint64_t)gw_streams_n(&d->numbers) + gw_streams_n(&d->histograms);
}

/* ---- series ----------------------------------------------------------------------------------------------- */

/* A point of another start time, or of another type of number, is of another series. */
enum gw_delta gw_deltas_get(struct gw_deltas *d, struct gw_streams *st, const struct gw_batch *b, uint32_t row,
                            struct gw_series **ret, bool *ret_new)
{
    uint32_t others = gw_streams_n(st == &d->numbers ? &d->histograms : &d->numbers), most = st->conf.max_streams;
    uint8_t more[9]; /* as conf.more_bytes says */
    enum gw_stream_found found;

    if (b->flags[row] & NO_RECORDED_VALUE)
        return GW_DELTA_NO_VALUE;
    memcpy(more, &b->start_ns[row], 8);
    more[8] = b->number_type[row];
    st->conf.max_streams = most > others ? most - others : 0;
    found = gw_streams_get(st, b, row, gw_slice_of(more, sizeof(more)), ret);
    st->conf.max_streams = most;
    *ret_new = found == GW_STREAM_NEW;
    return found == GW_STREAM_LIMIT       ? GW_DELTA_LIMIT
           : found == GW_STREAM_NO_MEMORY ? GW_DELTA_NO_MEMORY
                                          : GW_DELTA_MADE;
}

enum gw_delta gw_deltas_first(const struct gw_deltas *d, const struct gw_batch *b, uint32_t row, uint64_t *ret_start)
{
    *ret_start = 0;
    switch (d->initial) {
    case GW_INITIAL_AUTO:
        if (b->start_ns[row] < d->begin_ns || b->time_ns[row] == b->start_ns[row])
            return GW_DELTA_INITIAL;
        *ret_start = b->start_ns[row];
        return GW_DELTA_MADE;
    case GW_INITIAL_KEEP:
        return GW_DELTA_MADE;
    case GW_INITIAL_DROP:
        break;
    }
    return GW_DELTA_INITIAL;
}

struct gw_last *gw_deltas_room(struct gw_deltas *d, struct gw_series *s, uint64_t n_words)
{
    union gw_last_value *v = gw_series_value(s);
    size_t bytes = sizeof(struct gw_last) + n_words * sizeof(uint64_t);
    struct gw_last *h = v->h;

    if (!h || h->n_words < n_words) {
        clear_value(v, d);
        h = !d->credit || gw_credit_take(d->credit, bytes) ? malloc(bytes) : NULL;
        if (!h) {
            gw_streams_forget(&d->histograms, s);
            return NULL;
        }
        v->h = h;
        *h = (struct gw_last){.bytes = bytes};
        h->n_words = (uint32_t)n_words;
    }
    return h;
}

/* ---- numbers ---------------------------------------------------------------------------------------------- */

static enum gw_delta subtract(union gw_last_value *last, bool is_double, union gw_val *now)
{
    union gw_last_value before = *last;

    if (is_double) {
        last->f = now->f64;
        if (now->f64 < before.f)
            return GW_DELTA_RESET;
        now->f64 -= before.f;
    } else {
        last->i = now->i64;
        if (now->i64 < before.i)
            return GW_DELTA_RESET;
        now->u64 -= (uint64_t)before.i;
    }
    return GW_DELTA_MADE;
}

enum gw_delta gw_delta_number(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row)
{
    const struct gw_batch *b = gw_rewrite_view(w)->batch;
    bool is_double = b->number_type[row] == GW_N_DOUBLE, is_new;
    union gw_val now = {.i64 = b->number_type[row] == GW_N_NONE ? 0 : b->number[row].i64};
    struct gw_series *s;
    enum gw_delta rc;
    uint64_t start;

    if (is_double && isnan(now.f64) && !(b->flags[row] & NO_RECORDED_VALUE))
        return GW_DELTA_AS_IT_IS;
    rc = gw_deltas_get(d, &d->numbers, b, row, &s, &is_new);
    if (rc != GW_DELTA_MADE)
        return rc;
    start = s->seen_ns;
    s->seen_ns = b->time_ns[row];
    if (is_new) {
        *(union gw_last_value *)gw_series_value(s) = (union gw_last_value){.i = now.i64};
        rc = gw_deltas_first(d, b, row, &start);
    } else {
        rc = subtract(gw_series_value(s), is_double, &now);
    }
    if (rc != GW_DELTA_MADE)
        return rc;
    gw_rewrite_number(w, row, start, is_double ? GW_N_DOUBLE : GW_N_INT, now);
    return rc;
}

/* ---- histograms ------------------------------------------------------------------------------------------- */

static uint64_t count_at(const struct gw_batch *b, const struct gw_hist *h, uint32_t i)
{
    uint64_t n;

    memcpy(&n, b->base + h->counts.off + (size_t)8 * i, sizeof(n));
    return n;
}

static bool same_buckets(const struct gw_batch *b, const struct gw_hist *h, const struct gw_last *last)
{
    const double *bounds = (const double *)(const void *)(last->words + last->n_counts);

    if (h->counts.len / 8 != last->n_counts || h->bounds.len / 8 != last->n_bounds)
        return false;
    for (uint32_t i = 0; i < last->n_bounds; i++) {
        double bound;

        memcpy(&bound, b->base + h->bounds.off + (size_t)8 * i, sizeof(bound));
        if (bound != bounds[i])
            return false;
    }
    return true;
}

static bool fell(const struct gw_batch *b, const struct gw_hist *h, const struct gw_last *last)
{
    bool yes = h->count < last->count;

    for (uint32_t i = 0; i < last->n_counts && !yes; i++)
        yes = count_at(b, h, i) < last->words[i];
    return yes;
}

static bool keep_histogram(struct gw_deltas *d, struct gw_series *s, const struct gw_batch *b, const struct gw_hist *h,
                           double sum)
{
    struct gw_last *last = gw_deltas_room(d, s, (uint64_t)h->counts.len / 8 + h->bounds.len / 8);

    if (!last)
        return false;
    last->count = h->count;
    last->sum = sum;
    last->n_counts = h->counts.len / 8;
    last->n_bounds = h->bounds.len / 8;
    if (last->n_counts)
        memcpy(last->words, b->base + h->counts.off, (size_t)8 * last->n_counts);
    if (last->n_bounds)
        memcpy(last->words + last->n_counts, b->base + h->bounds.off, (size_t)8 * last->n_bounds);
    return true;
}

/* Minimum and maximum of a difference are not known. counts: NULL, they stay. */
static void write_histogram(struct gw_rewrite *w, uint32_t row, uint64_t start, const struct gw_hist *h,
                            const uint64_t *counts)
{
    gw_rewrite_histogram(w, row,
                         &(struct gw_rewrite_hist){.start_ns = start,
                                                   .count = h->count,
                                                   .sum = h->sum,
                                                   .has_sum = h->has_sum,
                                                   .n = h->counts.len / 8,
                                                   .counts = counts});
}

/* The difference to the last point, which the point replaces, unless there was a reset. */
static enum gw_delta subtract_histogram(struct gw_deltas *d, struct gw_series *s, struct gw_rewrite *w, uint32_t row)
{
    struct gw_view *v = gw_rewrite_view(w);
    const struct gw_batch *b = v->batch;
    struct gw_hist h = b->hists[b->number[row].u64];
    const struct gw_last *last = ((union gw_last_value *)gw_series_value(s))->h;
    bool has_buckets = same_buckets(b, &h, last);
    double sum = isnan(h.sum) ? last->sum : h.sum, delta_sum = isnan(h.sum) ? h.sum : sum - last->sum;
    uint64_t start = s->seen_ns, count = h.count - last->count, *counts;

    if (has_buckets && fell(b, &h, last))
        return GW_DELTA_RESET;
    counts = gw_arena_alloc(v->arena, (size_t)8 * (last->n_counts + 1));
    if (!counts) {
        v->failed = true;
        return GW_DELTA_NO_MEMORY;
    }
    for (uint32_t i = 0; has_buckets && i < last->n_counts; i++)
        counts[i] = count_at(b, &h, i) - last->words[i];
    s->seen_ns = b->time_ns[row];
    if (!keep_histogram(d, s, b, &h, sum))
        return GW_DELTA_NO_MEMORY;
    if (!has_buckets)
        return GW_DELTA_MISMATCH;
    h.count = count;
    h.sum = delta_sum;
    write_histogram(w, row, start, &h, counts);
    return GW_DELTA_MADE;
}

enum gw_delta gw_delta_histogram(struct gw_deltas *d, struct gw_rewrite *w, uint32_t row)
{
    const struct gw_batch *b = gw_rewrite_view(w)->batch;
    const struct gw_hist *h = &b->hists[b->number[row].u64];
    struct gw_series *s;
    enum gw_delta rc;
    uint64_t start;
    bool is_new;

    rc = gw_deltas_get(d, &d->histograms, b, row, &s, &is_new);
    if (rc != GW_DELTA_MADE)
        return rc;
    if (!is_new)
        return subtract_histogram(d, s, w, row);
    s->seen_ns = b->time_ns[row];
    if (!keep_histogram(d, s, b, h, h->sum))
        return GW_DELTA_NO_MEMORY;
    rc = gw_deltas_first(d, b, row, &start);
    if (rc == GW_DELTA_MADE)
        write_histogram(w, row, start, h, NULL);
    return rc;
}

/* ---- written down ------------------------------------------------------------------------------------------- */

static void put_last(const struct gw_last *h, struct gw_buf *out)
{
    const struct gw_hist_words w = {h->n_counts, h->n_bounds, h->positive, h->negative, h->words};

    gw_spool_put_u64(out, h->count);
    gw_spool_put_u64(out, h->zero_count);
    gw_buf_put(out, &h->sum, sizeof(h->sum));
    gw_buf_put(out, &h->zero_threshold, sizeof(h->zero_threshold));
    gw_spool_put_u32(out, (uint32_t)h->scale);
    gw_hist_words_put(&w, out);
}

static void put(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out)
{
    const union gw_last_value *v = gw_series_value(s);

    (void)arg;
    if (table == 0)
        gw_spool_put_u64(out, (uint64_t)v->i);
    else if (v->h)
        put_last(v->h, out);
}

static bool take_last(struct gw_deltas *d, struct gw_series *s, struct gw_spool_in *in)
{
    struct gw_last of = {.count = gw_spool_get_u64(in), .zero_count = gw_spool_get_u64(in)}, *h;
    struct gw_hist_words w;

    of.sum = gw_spool_get_double(in);
    of.zero_threshold = gw_spool_get_double(in);
    of.scale = (int32_t)gw_spool_get_u32(in);
    if (!gw_hist_words_get(&w, in))
        return false;
    h = gw_deltas_room(d, s, gw_hist_words_n(&w));
    if (!h)
        return false;
    of.bytes = h->bytes;
    of.n_words = h->n_words;
    *h = of;
    h->n_counts = w.n_counts;
    h->n_bounds = w.n_bounds;
    gw_hist_words_take(&w, h->words, &h->positive, &h->negative);
    return true;
}

static bool take(void *arg, unsigned table, struct gw_series *s, struct gw_spool_in *in)
{
    union gw_last_value *v = gw_series_value(s);

    if (table == 0) {
        v->i = (int64_t)gw_spool_get_u64(in);
        return !in->bad;
    }
    return in->left.n == 0 || take_last(arg, s, in);
}

const struct gw_ss_ops gw_deltas_state = {.put = put, .take = take};
