/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes with a series an edge: classic histograms (_sum, _count, _bucket{le}) and summaries (_sum, _count,
 * {quantile}).
 *
 *   rows ─► points (edge, row) ─► sorted by edge, then time ─► one series an edge
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "exporters/prometheus_remote_write/translator.h"

enum { INF_EDGE = UINT32_MAX };

/** A bucket's or a quantile's point. */
struct gw_rw_edge_point {
    double edge;
    uint64_t bits;
    uint32_t nth, i; /* of the node's rows; its edge there, INF_EDGE for +Inf */
    const struct gw_rw_edges *edges;
};

/** An exemplar with the first bucket that it fits into. */
struct gw_rw_placed {
    uint32_t nth, i, exemplar;
};

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits;
}

static bool is_stale(const struct gw_rw_translator *t, uint32_t row)
{
    return (t->b->flags[row] & 1) != 0;
}

static bool same_edge(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static int compare_points(const void *a, const void *b)
{
    const struct gw_rw_edge_point *x = a, *y = b;

    if (!same_edge(x->edge, y->edge))
        return isnan(x->edge) || x->edge < y->edge ? -1 : 1;
    if (x->nth != y->nth)
        return x->nth < y->nth ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

static int compare_placed(const void *a, const void *b)
{
    const struct gw_rw_placed *x = a, *y = b;

    if (x->nth != y->nth)
        return x->nth < y->nth ? -1 : 1;
    if (x->i != y->i)
        return x->i < y->i ? -1 : 1;
    return x->exemplar < y->exemplar ? -1 : x->exemplar > y->exemplar;
}

/** Room for one more of n. */
static bool room(void **p, uint32_t n, uint32_t *cap, size_t size)
{
    uint32_t more = *cap ? *cap * 2 : 64;
    void *q;

    if (n < *cap)
        return true;
    q = realloc(*p, more * size);
    if (!q)
        return false;
    *p = q;
    *cap = more;
    return true;
}

static bool add_point(struct gw_rw_translator *t, struct gw_rw_edge_point x)
{
    struct gw_rw_edge_point *last = t->n_points ? &t->points[t->n_points - 1] : NULL;

    if (last && last->nth == x.nth && same_edge(last->edge, x.edge)) { /* the same series again */
        *last = x;
        return true;
    }
    if (!room((void **)&t->points, t->n_points, &t->cap_points, sizeof(x)))
        return false;
    t->points[t->n_points++] = x;
    return true;
}

static void sort_points(struct gw_rw_translator *t)
{
    for (uint32_t i = 1; i < t->n_points; i++)
        if (compare_points(&t->points[i - 1], &t->points[i]) > 0) {
            qsort(t->points, t->n_points, sizeof(*t->points), compare_points);
            return;
        }
}

/* ---- exemplars of buckets ---------------------------------------------------------------------------------- */

/** points: those of the nth row, ascending, [from, n_points). */
static bool place_exemplars(struct gw_rw_translator *t, uint32_t nth, uint32_t from)
{
    struct gw_range r = t->b->exemplars_of[t->of_node[nth]];

    for (uint32_t e = r.begin; e < r.end; e++) {
        double v = gw_rw_exemplar_value(&t->b->exemplars[e]);
        uint32_t low = from, high = t->n_points;

        if (isnan(v))
            continue;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;

            if (t->points[middle].edge < v)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == t->n_points)
            continue;
        if (!room((void **)&t->placed, t->n_placed, &t->cap_placed, sizeof(*t->placed)))
            return false;
        t->placed[t->n_placed++] = (struct gw_rw_placed){nth, t->points[low].i, e};
    }
    return true;
}

static void put_placed(struct gw_rw_translator *t, const struct gw_rw_edge_point *x)
{
    struct gw_rw_placed key = {x->nth, x->i, 0};
    uint32_t low = 0, high = t->n_placed;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare_placed(&t->placed[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < t->n_placed && t->placed[low].nth == x->nth && t->placed[low].i == x->i; low++)
        gw_rw_put_exemplar(t, &t->b->exemplars[t->placed[low].exemplar]);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void set_extra(struct gw_rw_translator *t, struct gw_rw_series *s, const struct gw_rw_edge_point *x,
                      bool quantile)
{
    static const uint8_t inf[] = "\x0a\x0a\x0a\x02le\x12\x04+Inf"; /* the label, encoded */

    if (t->writer.version == GW_RW_2) {
        s->extra_name = quantile ? GW_RW_SYMBOL_QUANTILE : GW_RW_SYMBOL_LE;
        s->extra_value = x->i == INF_EDGE ? GW_RW_SYMBOL_INF : x->edges->at[x->i];
    } else if (x->i == INF_EDGE) {
        s->extra = gw_slice_of(inf, sizeof(inf) - 1);
    } else {
        s->extra =
            gw_slice_of((const uint8_t *)x->edges + x->edges->at[x->i], x->edges->at[x->i + 1] - x->edges->at[x->i]);
    }
}

static void write_points(struct gw_rw_translator *t, struct gw_rw_series *s, bool quantile)
{
    sort_points(t);
    if (t->n_placed > 1)
        qsort(t->placed, t->n_placed, sizeof(*t->placed), compare_placed);
    for (uint32_t at = 0, end; at < t->n_points; at = end) {
        s->n_samples = 0;
        for (end = at; end < t->n_points && same_edge(t->points[end].edge, t->points[at].edge); end++) {
            const struct gw_rw_edge_point *x = &t->points[end];

            if (end > at && x->nth == t->points[end - 1].nth)
                s->n_samples--; /* a quantile that stands twice in one row: its last value */
            t->samples[s->n_samples++] = gw_rw_sample_of(t, t->of_node[x->nth], x->bits);
            if (t->n_placed)
                put_placed(t, x);
        }
        set_extra(t, s, &t->points[at], quantile);
        gw_rw_put_series(&t->writer, s);
    }
}

static void write_counts(struct gw_rw_translator *t, struct gw_rw_series *s, bool summary)
{
    const struct gw_batch *b = t->b;

    s->name = GW_RW_SUM;
    s->n_samples = 0;
    for (uint32_t i = 0; i < t->n_of_node; i++) {
        uint32_t row = t->of_node[i];
        uint64_t at = b->number[row].u64;

        if (summary || b->hists[at].has_sum)
            t->samples[s->n_samples++] = gw_rw_sample_of(
                t, row, is_stale(t, row) ? GW_RW_STALE : bits_of(summary ? b->summaries[at].sum : b->hists[at].sum));
    }
    if (s->n_samples)
        gw_rw_put_series(&t->writer, s);
    s->name = GW_RW_COUNT;
    s->n_samples = t->n_of_node;
    for (uint32_t i = 0; i < t->n_of_node; i++) {
        uint32_t row = t->of_node[i];
        uint64_t at = b->number[row].u64, count = summary ? b->summaries[at].count : b->hists[at].count;

        t->samples[i] = gw_rw_sample_of(t, row, is_stale(t, row) ? GW_RW_STALE : bits_of((double)count));
    }
    gw_rw_put_series(&t->writer, s);
}

/** Buckets up to the last bound that has a count; behind them, or in the place of such a bound, +Inf: the count. */
static int add_buckets(struct gw_rw_translator *t, uint32_t nth)
{
    uint32_t row = t->of_node[nth], from = t->n_points;
    const struct gw_hist *h = &t->b->hists[t->b->number[row].u64];
    struct gw_slice bounds = gw_batch_slice(t->b, h->bounds);
    const struct gw_rw_edges *e = NULL;
    int r = gw_rw_resolve_edges(t, gw_rw_metric_of(t, row), GW_RW_BOUNDS, bounds, &e);
    uint64_t up_to = 0;
    uint32_t n = h->counts.len < h->bounds.len ? h->counts.len / 8 : h->bounds.len / 8;
    bool ok = true;

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < n && ok; i++) {
        struct gw_rw_edge_point x = {.nth = nth, .i = i, .edges = e};

        memcpy(&x.edge, bounds.p + 8 * (size_t)i, 8);
        up_to += gw_load64(t->b->base + h->counts.off + 8 * (size_t)i);
        x.bits = is_stale(t, row) ? GW_RW_STALE : bits_of((double)up_to);
        ok = add_point(t, x);
    }
    ok = ok &&
         add_point(t, (struct gw_rw_edge_point){INFINITY, is_stale(t, row) ? GW_RW_STALE : bits_of((double)h->count),
                                                nth, INF_EDGE, NULL});
    return ok && place_exemplars(t, nth, from) ? 0 : -ENOMEM;
}

int gw_rw_write_classic(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    struct gw_rw_series s = {.node = n, .metric = gw_rw_metric_of(t, t->of_node[0]), .samples = t->samples};
    int r = 0;

    write_counts(t, &s, false);
    t->n_points = t->n_placed = 0;
    for (uint32_t i = 0; i < t->n_of_node && r == 0; i++)
        r = add_buckets(t, i);
    s.name = GW_RW_BUCKET;
    if (r == 0)
        write_points(t, &s, false);
    return r;
}

static int add_quantiles(struct gw_rw_translator *t, uint32_t nth)
{
    uint32_t row = t->of_node[nth];
    struct gw_range q = t->b->summaries[t->b->number[row].u64].quantiles;
    uint32_t n = q.end - q.begin;
    double *edges = gw_arena_alloc(&t->arena, (n + 1) * sizeof(*edges));
    const struct gw_rw_edges *e = NULL;
    bool ok = true;
    int r;

    if (!edges)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        edges[i] = t->b->quantiles[q.begin + i].quantile;
    r = gw_rw_resolve_edges(t, gw_rw_metric_of(t, row), GW_RW_QUANTILES, gw_slice_of(edges, n * sizeof(*edges)), &e);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < n && ok; i++)
        ok = add_point(
            t, (struct gw_rw_edge_point){
                   edges[i], is_stale(t, row) ? GW_RW_STALE : bits_of(t->b->quantiles[q.begin + i].value), nth, i, e});
    return ok ? 0 : -ENOMEM;
}

int gw_rw_write_summary(struct gw_rw_translator *t, struct gw_rw_node *n)
{
    struct gw_rw_series s = {.node = n, .metric = gw_rw_metric_of(t, t->of_node[0]), .samples = t->samples};
    int r = 0;

    write_counts(t, &s, true);
    t->n_points = t->n_placed = 0;
    for (uint32_t i = 0; i < t->n_of_node && r == 0; i++)
        r = add_quantiles(t, i);
    s.name = GW_RW_BASE;
    if (r == 0)
        write_points(t, &s, true);
    return r;
}
