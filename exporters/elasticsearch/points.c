/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a point's value is in a document. A histogram is centroids, which the server's histogram field (a t-digest)
 * takes: the middle of each bucket that is not empty; with the hint histogram:raw the bucket's upper bound.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/elasticsearch/writer.h"

static int64_t clamped(uint64_t v)
{
    return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static bool fail(struct gw_es_writer *w, uint32_t row, const char **ret_reason, const char *reason, const char *why)
{
    struct gw_slice name = gw_batch_slice(w->b, w->b->metrics[w->b->metric[row]].name);

    *ret_reason = reason;
    (void)snprintf(w->message, sizeof(w->message), "metric \"%.*s\": %s", (int)(name.n < 200 ? name.n : 200),
                   name.n ? (const char *)name.p : "", why);
    return false;
}

static bool add(struct gw_es_writer *w, uint64_t count, double value)
{
    if (w->n_counts == w->cap_counts) {
        uint32_t cap = w->cap_counts;
        double *values;

        if (!gw_es_grow(w, (void **)&w->counts, w->n_counts, &w->cap_counts, sizeof(*w->counts)))
            return false;
        values = realloc(w->values, w->cap_counts * sizeof(*values));
        if (!values) {
            w->cap_counts = cap;
            w->rc = -ENOMEM;
            return false;
        }
        w->values = values;
    }
    w->counts[w->n_counts] = clamped(count);
    w->values[w->n_counts++] = value;
    return true;
}

static double fixed64(const struct gw_batch *b, struct gw_ref r, uint32_t i)
{
    double v;

    memcpy(&v, b->base + r.off + 8 * (size_t)i, 8);
    return v;
}

/* ---- histograms with bounds -------------------------------------------------------------------------------- */

static double middle(const struct gw_batch *b, struct gw_ref bounds, uint32_t i)
{
    uint32_t n = bounds.len / 8;
    double low, high;

    if (i >= n)
        return fixed64(b, bounds, n - 1);
    high = fixed64(b, bounds, i);
    if (i == 0)
        return high > 0 ? high / 2 : high;
    low = fixed64(b, bounds, i - 1);
    return low + (high - low) / 2;
}

static bool bucket_values(struct gw_es_writer *w, const struct gw_hist *h, bool raw)
{
    uint32_t n = h->counts.len / 8, n_bounds = h->bounds.len / 8;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t count;

        memcpy(&count, w->b->base + h->counts.off + 8 * (size_t)i, 8);
        if (count == 0)
            continue;
        if (raw && i == n_bounds) { /* has no bound of its own: values must grow strictly */
            if (w->n_counts)
                w->counts[w->n_counts - 1] = clamped((uint64_t)w->counts[w->n_counts - 1] + (uint64_t)clamped(count));
            break;
        }
        if (!add(w, count, raw ? fixed64(w->b, h->bounds, i) : middle(w->b, h->bounds, i)))
            return false;
    }
    return true;
}

/* ---- exponential histograms ---------------------------------------------------------------------------------- */

/** (1 << n) and (v << n) of Go: bits that leave are lost, however many. */
static int64_t shifted(int64_t v, int64_t n)
{
    return n >= 64 ? 0 : (int64_t)((uint64_t)v << n);
}

static int int_of(int64_t v)
{
    return v > 100000 ? 100000 : v < -100000 ? -100000 : (int)v;
}

static double lower_bound(int64_t index, int32_t scale)
{
    if (scale <= 0)
        return ldexp(1, int_of(shifted(index, -(int64_t)scale)));
    /* This form does not overflow on the way to a bound that is finite. */
    return 2.0 * exp((double)(int64_t)((uint64_t)index - (uint64_t)shifted(1, scale)) *
                     ldexp(M_LN2, int_of(-(int64_t)scale)));
}

static bool exponential_values(struct gw_es_writer *w, const struct gw_exphist *h, bool raw, bool negative)
{
    struct gw_ref r = negative ? h->negative : h->positive;
    int64_t index = negative ? h->negative_offset : h->positive_offset;
    uint32_t pos = r.off, from = w->n_counts;
    uint64_t count;

    for (; gw_packed_varint_next(w->b, r, &pos, &count); index++) {
        double near, far; /* from zero */

        if (count == 0)
            continue;
        near = lower_bound(index, h->scale);
        far = lower_bound(index + 1, h->scale);
        if (negative && !add(w, count, raw ? -near : -far + (far - near) / 2))
            return false;
        if (!negative && !add(w, count, raw ? far : near + (far - near) / 2))
            return false;
    }
    for (uint32_t i = from, k = w->n_counts; negative && i + 1 < k; i++) { /* the lowest first */
        int64_t c = w->counts[i];
        double v = w->values[i];

        k--;
        w->counts[i] = w->counts[k];
        w->values[i] = w->values[k];
        w->counts[k] = c;
        w->values[k] = v;
    }
    return true;
}

/* ---- points --------------------------------------------------------------------------------------------------- */

static bool aggregate(double sum, uint64_t count, struct gw_es_point *p)
{
    p->type = GW_ES_P_AGGREGATE;
    p->f = sum;
    p->i = clamped(count);
    return isfinite(sum);
}

static bool finish_histogram(struct gw_es_writer *w, struct gw_es_point *p)
{
    p->type = GW_ES_P_HISTOGRAM;
    p->n = w->n_counts;
    p->counts = w->counts;
    p->values = w->values;
    for (uint32_t i = 0; i < p->n; i++)
        if (!isfinite(p->values[i]))
            return false;
    return true;
}

static bool of_number(struct gw_es_writer *w, uint32_t row, struct gw_es_point *p)
{
    p->type = w->b->number_type[row] == GW_N_INT ? GW_ES_P_INT : GW_ES_P_DOUBLE;
    if (p->type == GW_ES_P_INT)
        p->i = w->b->number[row].i64;
    else
        p->f = w->b->number[row].f64;
    return p->type == GW_ES_P_INT || isfinite(p->f);
}

static bool of_histogram(struct gw_es_writer *w, const struct gw_hist *h, const struct gw_attr *hints,
                         struct gw_es_point *p)
{
    if (gw_es_hint(w->b, hints, GW_SLICE("aggregate_metric_double")))
        return aggregate(h->has_sum ? h->sum : 0, h->count, p);
    if (h->bounds.len > 0)
        (void)bucket_values(w, h, gw_es_hint(w->b, hints, GW_SLICE("histogram:raw")));
    else if (h->count)
        (void)add(w, h->count, (h->has_sum ? h->sum : 0) / (double)h->count);
    return finish_histogram(w, p);
}

static bool of_exponential(struct gw_es_writer *w, const struct gw_exphist *h, const struct gw_attr *hints,
                           struct gw_es_point *p)
{
    bool raw = gw_es_hint(w->b, hints, GW_SLICE("histogram:raw"));

    p->doc_count = h->count;
    if (gw_es_hint(w->b, hints, GW_SLICE("aggregate_metric_double")))
        return aggregate(h->has_sum ? h->sum : 0, h->count, p);
    (void)(exponential_values(w, h, raw, /* negative= */ true) && (h->zero_count == 0 || add(w, h->zero_count, 0)) &&
           exponential_values(w, h, raw, /* negative= */ false));
    return finish_histogram(w, p);
}

static bool has_bad_shape(const struct gw_hist *h)
{
    return h->counts.len && h->counts.len != h->bounds.len + 8;
}

bool gw_es_point(struct gw_es_writer *w, uint32_t row, struct gw_es_point *ret, const char **ret_reason)
{
    const struct gw_batch *b = w->b;
    uint64_t index = b->number[row].u64;
    bool finite = true, bad_shape = false;
    struct gw_es_control c;

    gw_es_control_of(b, b->attr[row], &c);
    *ret = (struct gw_es_point){.type = GW_ES_P_INT, .doc_count = 1};
    w->n_counts = 0;
    switch ((enum gw_number_type)b->number_type[row]) {
    case GW_N_NONE:
        break;
    case GW_N_INT:
    case GW_N_DOUBLE:
        finite = of_number(w, row, ret);
        break;
    case GW_N_HISTOGRAM:
        bad_shape = has_bad_shape(&b->hists[index]) && !gw_es_hint(b, c.hints, GW_SLICE("aggregate_metric_double"));
        finite = bad_shape || of_histogram(w, &b->hists[index], c.hints, ret);
        ret->doc_count = b->hists[index].count;
        break;
    case GW_N_EXP_HISTOGRAM:
        finite = of_exponential(w, &b->exphists[index], c.hints, ret);
        break;
    case GW_N_SUMMARY:
        ret->doc_count = b->summaries[index].count;
        finite = aggregate(b->summaries[index].sum, ret->doc_count, ret);
        break;
    }
    ret->has_doc_count = gw_es_hint(b, c.hints, GW_SLICE("_doc_count"));
    if (b->number_type[row] == GW_N_NONE)
        return fail(w, row, ret_reason, "no_value", "the point has no value");
    if (bad_shape)
        return fail(w, row, ret_reason, "histogram_shape", "the histogram does not have one count more than bounds");
    return finite || fail(w, row, ret_reason, "not_a_number", "a value is infinite or not a number");
}
