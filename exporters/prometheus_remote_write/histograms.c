/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native histograms: from exponential ones, and (schema -53) from those with explicit bounds.
 *
 *   OTLP        offset, counts of all buckets from there on
 *   Prometheus  spans of buckets with the gaps between them │ each count less the one before it
 *
 * A bucket i of OTLP is bucket i + 1 of Prometheus; scales over 8 are brought down to 8 by adding up neighbours.
 */
#include <math.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { SCALE_MIN = -4, SCALE_MAX = 8, CUSTOM = -53, GAP_MAX = 2 /* empty buckets that are written out */ };

#define ZERO_THRESHOLD 1e-128
#define COUNT_MAX      9223372036854774784.0 /* the largest double below 2^63 */

/** Bucket by bucket into spans and deltas. */
struct layout {
    struct gw_buf *spans, *deltas;
    uint32_t field; /* of a span in the Histogram message */
    int32_t offset;
    uint32_t length;
    int64_t before;
    bool open;
};

static uint64_t load(const struct gw_batch *b, struct gw_ref r, size_t i)
{
    return gw_load64(b->base + r.off + 8 * i);
}

static double load_double(const struct gw_batch *b, struct gw_ref r, size_t i)
{
    uint64_t bits = load(b, r, i);
    double v;

    memcpy(&v, &bits, 8);
    return v;
}

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits;
}

static void close_span(struct layout *y)
{
    uint64_t offset = gw_rw_zigzag(y->offset);

    if (!y->open)
        return;
    gw_rw_put_len(y->spans, y->field, 2 + gw_varint_size(offset) + gw_varint_size(y->length));
    gw_rw_put_varint(y->spans, 1, offset);
    gw_rw_put_varint(y->spans, 2, y->length);
}

static void open_span(struct layout *y, int32_t offset)
{
    close_span(y);
    y->open = true;
    y->offset = offset;
    y->length = 0;
}

static void put_count(struct layout *y, int64_t count)
{
    uint8_t b[GW_VARINT_MAX];
    uint8_t *end = gw_varint_put(b, gw_rw_zigzag((int64_t)((uint64_t)count - (uint64_t)y->before)));

    gw_buf_put(y->deltas, b, (size_t)(end - b));
    y->before = count;
    y->length++;
}

/** A count behind `gap` empty buckets. */
static void put_behind(struct layout *y, int64_t gap, int64_t count)
{
    if (gap > GAP_MAX)
        open_span(y, (int32_t)gap);
    for (int64_t i = 0; i < gap && gap <= GAP_MAX; i++)
        put_count(y, 0);
    put_count(y, count);
}

/** Spans of 8 or 11, deltas of 9 or 12. */
static void put_layout(struct gw_buf *out, struct layout *y)
{
    close_span(y);
    gw_buf_put_slice(out, gw_buf_slice(y->spans));
    if (y->deltas->n)
        gw_rw_put_bytes(out, y->field + 1, gw_buf_slice(y->deltas));
    out->failed |= y->spans->failed | y->deltas->failed;
}

static struct layout layout_of(struct gw_rw_translator *t, uint32_t field)
{
    gw_buf_reset(&t->writer.spans);
    gw_buf_reset(&t->writer.deltas);
    return (struct layout){.spans = &t->writer.spans, .deltas = &t->writer.deltas, .field = field};
}

/* ---- exponential histograms -------------------------------------------------------------------------------- */

static unsigned scale_down(int32_t scale)
{
    int64_t down = (int64_t)scale - SCALE_MAX;

    return down <= 0 ? 0 : down > 31 ? 31 : (unsigned)down;
}

/**
 * Buckets that fall together are added up. Empty ones are written as the gap before the next that is not; the last one
 * is always written. (Where empty buckets stand before several that fall together, the Collector writes those apart, a
 * bucket too low.)
 */
static void put_buckets(struct gw_rw_translator *t, struct gw_buf *out, uint32_t field, struct gw_ref run, uint32_t n,
                        int32_t offset, unsigned down)
{
    struct layout y = layout_of(t, field);
    uint32_t pos = run.off;
    int64_t at = (offset >> down) + 1, unwritten = at, count = 0;
    uint64_t v;

    if (n == 0)
        return;
    open_span(&y, (int32_t)at);
    for (int64_t i = 0; gw_packed_varint_next(t->b, run, &pos, &v); i++) {
        int64_t next = ((i + offset) >> down) + 1;

        if (next != at && count != 0) {
            put_behind(&y, at - unwritten, count);
            unwritten = at + 1;
        }
        count = next == at ? count + (int64_t)v : (int64_t)v;
        at = next;
    }
    put_behind(&y, at - unwritten, count);
    put_layout(out, &y);
}

static void put_exponential(struct gw_rw_translator *t, struct gw_buf *out, uint32_t row)
{
    const struct gw_batch *b = t->b;
    const struct gw_exphist *h = &b->exphists[b->number[row].u64];
    bool stale = (b->flags[row] & 1) != 0;
    unsigned down = scale_down(h->scale);

    gw_rw_put_varint(out, 1, stale ? GW_RW_STALE : h->count);
    gw_rw_put_fixed64(out, 3, stale ? GW_RW_STALE : bits_of(h->has_sum ? h->sum : 0));
    gw_rw_put_varint(out, 4, gw_rw_zigzag(h->scale > SCALE_MAX ? SCALE_MAX : h->scale));
    gw_rw_put_fixed64(out, 5, bits_of(h->zero_threshold != 0 ? h->zero_threshold : ZERO_THRESHOLD));
    gw_rw_put_varint(out, 6, h->zero_count);
    put_buckets(t, out, 8, h->negative, h->n_negative, h->negative_offset, down);
    put_buckets(t, out, 11, h->positive, h->n_positive, h->positive_offset, down);
}

/** Adds a run up. False: it cannot be written in signed numbers. */
static bool add_up(const struct gw_batch *b, struct gw_ref run, uint64_t *sum)
{
    uint32_t pos = run.off;
    uint64_t v;

    while (gw_packed_varint_next(b, run, &pos, &v))
        if (v > INT64_MAX || __builtin_add_overflow(*sum, v, sum) || *sum > INT64_MAX)
            return false;
    return true;
}

static const struct gw_rw_refusal bad_count = {"histogram_count", "the buckets of the histogram do not add up to its "
                                                                  "count"};

static const struct gw_rw_refusal *check_exponential(const struct gw_batch *b, uint32_t row)
{
    static const struct gw_rw_refusal bad_scale = {"histogram_scale",
                                                   "an exponential histogram of a scale below -4 has "
                                                   "no native histogram"};
    static const struct gw_rw_refusal bad_offset = {"histogram_offset", "a bucket's index does not fit into 32 bits"};
    const struct gw_exphist *h = &b->exphists[b->number[row].u64];
    uint64_t sum = h->zero_count;

    if (h->scale < SCALE_MIN)
        return &bad_scale;
    if ((int64_t)h->positive_offset + h->n_positive >= INT32_MAX ||
        (int64_t)h->negative_offset + h->n_negative >= INT32_MAX)
        return &bad_offset;
    if (b->flags[row] & 1)
        return NULL;
    /* A receiver refuses the whole request for it. */
    if (sum > INT64_MAX || !add_up(b, h->positive, &sum) || !add_up(b, h->negative, &sum))
        return &bad_count;
    if (h->has_sum && isnan(h->sum) ? sum > h->count : sum != h->count)
        return &bad_count;
    return NULL;
}

/* ---- explicit bounds --------------------------------------------------------------------------------------- */

/** One bucket after the other: its bound, and how many observations lie up to it. */
struct explicit_walk {
    const struct gw_batch *b;
    const struct gw_hist *h;
    size_t i, n_bounds, n_counts;
    uint64_t up_to;
    double bound;
    bool overflow, last;
};

static struct explicit_walk explicit_walk(const struct gw_batch *b, uint32_t row)
{
    const struct gw_hist *h = &b->hists[b->number[row].u64];

    return (struct explicit_walk){
        .b = b, .h = h, .n_bounds = h->bounds.len / 8, .n_counts = h->counts.len / 8, .bound = NAN};
}

/** Next bucket; of several with one bound the first. What the buckets do not have of the count is in the last one. */
static bool explicit_next(struct explicit_walk *w)
{
    double before = w->bound;

    do {
        if (w->last)
            return false;
        if (w->i < w->n_counts)
            w->overflow |= __builtin_add_overflow(w->up_to, load(w->b, w->h->counts, w->i), &w->up_to);
        w->bound = w->i < w->n_bounds ? load_double(w->b, w->h->bounds, w->i) : INFINITY;
        w->last = w->i++ == w->n_bounds || w->bound == INFINITY;
        if (w->last && w->h->count > w->up_to)
            w->up_to = w->h->count;
    } while (w->bound == before);
    return true;
}

static void put_explicit(struct gw_rw_translator *t, struct gw_buf *out, uint32_t row)
{
    struct explicit_walk w = explicit_walk(t->b, row);
    struct layout y = layout_of(t, 11);
    struct gw_buf *bounds = &t->writer.bounds;
    int64_t before = 0, empty = 0;

    if (t->b->flags[row] & 1) { /* the sum says it; there are no counts */
        gw_rw_put_fixed64(out, 3, GW_RW_STALE);
        gw_rw_put_varint(out, 4, gw_rw_zigzag(CUSTOM));
        return;
    }
    gw_buf_reset(bounds);
    while (explicit_next(&w)) {
        int64_t up_to = (int64_t)(double)w.up_to, count = up_to - before; /* rounded as the Collector does */

        before = up_to;
        if (!w.last)
            gw_buf_put(bounds, &w.bound, 8);
        if (count == 0) {
            empty++;
            continue;
        }
        if (!y.open) {
            open_span(&y, (int32_t)empty);
            empty = 0;
        }
        put_behind(&y, empty, count);
        empty = 0;
    }
    gw_rw_put_varint(out, 1, (uint64_t)before);
    gw_rw_put_fixed64(out, 3, bits_of(w.h->has_sum ? w.h->sum : 0));
    gw_rw_put_varint(out, 4, gw_rw_zigzag(CUSTOM));
    gw_rw_put_varint(out, 6, 0);
    put_layout(out, &y);
    if (bounds->n)
        gw_rw_put_bytes(out, 16, gw_buf_slice(bounds));
    out->failed |= bounds->failed;
}

/** Bounds ascend, equal ones next to each other at most. */
static bool bounds_ascend(const struct gw_batch *b, const struct gw_hist *h)
{
    for (size_t i = 0, n = h->bounds.len / 8; i < n; i++) {
        double v = load_double(b, h->bounds, i);

        if (isnan(v) || (i > 0 && v < load_double(b, h->bounds, i - 1)))
            return false;
    }
    return true;
}

static const struct gw_rw_refusal *check_custom(const struct gw_batch *b, uint32_t row)
{
    struct explicit_walk w = explicit_walk(b, row);

    if (b->flags[row] & 1)
        return NULL;
    while (explicit_next(&w)) {
    }
    return w.overflow || (double)w.up_to > COUNT_MAX ? &bad_count : NULL;
}

const struct gw_rw_refusal *gw_rw_check_native(const struct gw_rw_options *o, const struct gw_batch *b, uint32_t row)
{
    static const struct gw_rw_refusal bad_bounds = {"histogram_bounds", "the bounds of the histogram do not ascend"};

    if (b->metrics[b->metric[row]].type == GW_M_EXP_HISTOGRAM)
        return check_exponential(b, row);
    if (!bounds_ascend(b, &b->hists[b->number[row].u64]))
        return &bad_bounds;
    return o->nhcb ? check_custom(b, row) : NULL;
}

void gw_rw_put_native(struct gw_rw_translator *t, uint32_t row)
{
    struct gw_rw_writer *w = &t->writer;
    struct gw_buf *out = &w->scratch;

    gw_buf_reset(out);
    if (t->b->metrics[t->b->metric[row]].type == GW_M_EXP_HISTOGRAM)
        put_exponential(t, out, row);
    else
        put_explicit(t, out, row);
    gw_rw_put_varint(out, 15, (uint64_t)gw_rw_ms(t->b->time_ns[row]));
    if (w->version == GW_RW_2 && gw_rw_start_ms(t, row))
        gw_rw_put_varint(out, 17, (uint64_t)gw_rw_start_ms(t, row));
    gw_rw_put_bytes(&w->tail, w->version == GW_RW_2 ? 3 : 4, gw_buf_slice(out));
    w->failed |= out->failed;
    w->n_histograms++;
}
