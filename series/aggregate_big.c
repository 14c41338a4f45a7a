/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregates that are behind pointers. The sum that an exponential histogram has of its own is not used: the total has
 * it, exactly. */
#include <errno.h>
#include <math.h>

#include "core/hash.h"
#include "series/aggregate_priv.h"
#include "series/distinct.h"
#include "series/quantile.h"
#include "series/top.h"

/* ---- pointers ---------------------------------------------------------------------------------------------- */

static struct gw_exponential **exponential(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_EXPONENTIAL);
}

static struct gw_distinct **distinct(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_DISTINCT);
}

static struct gw_top **top(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_TOP);
}

static struct gw_picks **picks(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_SAMPLES);
}

/* What a state that is only read points to; NULL also without that part. */
static void *behind(const struct gw_agg_plan *p, const void *state, enum gw_agg_part which)
{
    void *q = NULL;

    if (gw_agg_has(p, which))
        memcpy(&q, gw_agg_part_of(p, state, which), sizeof(q));
    return q;
}

/* ---- exponential histograms -------------------------------------------------------------------------------- */

static uint64_t bucket_bytes(const struct gw_exponential *e)
{
    return ((uint64_t)e->positive.cap + e->negative.cap) * sizeof(e->positive.counts[0]);
}

/* The histogram, which may grow: end_growth says what it has taken. NULL: as errno says. */
static struct gw_exponential *begin_growth(const struct gw_agg_plan *p, void *state, struct gw_heap *heap)
{
    struct gw_exponential **e = exponential(p, state);

    if (*e && heap->max_bytes && heap->held_bytes > heap->max_bytes) {
        errno = ENOSPC;
        return NULL;
    }
    if (!*e) {
        *e = gw_heap_resize(heap, NULL, 0, sizeof(**e));
        if (*e)
            gw_exponential_init(*e, p->size[GW_AGG_P_EXPONENTIAL]);
    }
    if (*e)
        heap->held_bytes -= bucket_bytes(*e);
    return *e;
}

static int end_growth(struct gw_exponential *e, struct gw_heap *heap, bool done)
{
    heap->held_bytes += bucket_bytes(e);
    return done ? 0 : -ENOMEM;
}

static int add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, double value, uint64_t n)
{
    struct gw_exponential *e;

    if (!isfinite(value))
        return 0;
    e = begin_growth(p, state, heap);
    return e ? end_growth(e, heap, gw_exponential_add(e, value, n)) : -errno;
}

int gw_agg_big_merge_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                                 const struct gw_exponential *h)
{
    struct gw_exponential *e = begin_growth(p, state, heap);

    return e ? end_growth(e, heap, gw_exponential_merge(e, h)) : -errno;
}

int gw_agg_big_add_explicit(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                            const struct gw_explicit *h, double min, double max)
{
    struct gw_exponential *e = NULL;

    for (unsigned i = 0; i < b->n; i++)
        if (!isfinite(b->at[i]))
            return -EINVAL;
    if ((!isnan(min) && !isfinite(min)) || (!isnan(max) && !isfinite(max)))
        return -EINVAL;
    e = begin_growth(p, state, heap);
    return e ? end_growth(e, heap, gw_exponential_add_explicit(e, h, b, min, max)) : -errno;
}

static void free_exponential(struct gw_exponential **e, struct gw_heap *heap)
{
    if (!*e)
        return;
    heap->held_bytes -= bucket_bytes(*e);
    gw_exponential_clear(*e);
    gw_heap_free(heap, *e, sizeof(**e));
    *e = NULL;
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

int gw_agg_big_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v,
                   double value)
{
    int rc = 0, one;

    if (gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        rc = add_exponential(p, state, heap, value, v->n);
    if (v->item && gw_agg_has(p, GW_AGG_P_DISTINCT)) {
        one = gw_distinct_add(distinct(p, state), heap, p->size[GW_AGG_P_DISTINCT], gw_hash_stable(*v->item));
        rc = rc ? rc : one;
    }
    if (v->item && gw_agg_has(p, GW_AGG_P_TOP)) {
        one = gw_top_add(top(p, state), heap, p->size[GW_AGG_P_TOP], *v->item, v->n);
        rc = rc ? rc : one;
    }
    if (v->sample && gw_agg_has(p, GW_AGG_P_SAMPLES)) {
        one = gw_picks_add(picks(p, state), heap, p->size[GW_AGG_P_SAMPLES], v->sample);
        rc = rc ? rc : one;
    }
    return rc;
}

int gw_agg_big_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other)
{
    const struct gw_exponential *e = behind(p, other, GW_AGG_P_EXPONENTIAL);
    const struct gw_distinct *d = behind(p, other, GW_AGG_P_DISTINCT);
    const struct gw_top *t = behind(p, other, GW_AGG_P_TOP);
    const struct gw_picks *s = behind(p, other, GW_AGG_P_SAMPLES);
    int rc = e ? gw_agg_big_merge_exponential(p, state, heap, e) : 0, one;

    one = d ? gw_distinct_merge(distinct(p, state), heap, d) : 0;
    rc = rc ? rc : one;
    one = t ? gw_top_merge(top(p, state), heap, t) : 0;
    rc = rc ? rc : one;
    one = s ? gw_picks_merge(picks(p, state), heap, s) : 0;
    return rc ? rc : one;
}

void gw_agg_big_clear(const struct gw_agg_plan *p, void *state, struct gw_heap *heap)
{
    if (gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        free_exponential(exponential(p, state), heap);
    if (gw_agg_has(p, GW_AGG_P_DISTINCT))
        gw_distinct_free(distinct(p, state), heap);
    if (gw_agg_has(p, GW_AGG_P_TOP))
        gw_top_free(top(p, state), heap);
    if (gw_agg_has(p, GW_AGG_P_SAMPLES))
        gw_picks_free(picks(p, state), heap);
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

double gw_agg_big_quantile(const struct gw_agg_plan *p, const void *state, double q)
{
    const struct gw_exponential *e = behind(p, state, GW_AGG_P_EXPONENTIAL);

    return e ? gw_exponential_quantile(e, q) : (double)NAN;
}

uint64_t gw_agg_big_distinct(const struct gw_agg_plan *p, const void *state)
{
    return gw_distinct_count(behind(p, state, GW_AGG_P_DISTINCT));
}

static void put_exponential(const struct gw_agg_plan *p, const void *state, struct gw_mw *w,
                            const struct gw_mw_point *point)
{
    const struct gw_exponential *e = behind(p, state, GW_AGG_P_EXPONENTIAL);
    struct gw_exponential copy;

    if (!e || e->count == 0)
        return;
    copy = *e;
    copy.sum = gw_total_finite(gw_agg_part_of(p, state, GW_AGG_P_TOTAL));
    gw_mw_exponential(w, point, &copy);
}

enum { USUAL_SHOWN = 10, MAX_RUN = 1 << 20 };

static void put_top(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                    const struct gw_mw_point *point)
{
    unsigned show = spec->show ? spec->show : USUAL_SHOWN, n;
    struct gw_top_item *item = malloc((show < GW_TOP_MAX ? show : GW_TOP_MAX) * sizeof(*item));
    struct gw_mw_point one = *point;
    struct gw_buf run;

    if (!item) {
        w->rc = w->rc ? w->rc : -ENOMEM;
        return;
    }
    gw_buf_init(&run, point->attrs.n + spec->item_key.n + MAX_RUN);
    n = gw_top_read(behind(p, state, GW_AGG_P_TOP), item, show < GW_TOP_MAX ? show : GW_TOP_MAX);
    for (unsigned i = 0; i < n; i++) {
        gw_buf_reset(&run);
        gw_buf_put_slice(&run, point->attrs);
        gw_mw_attr_put_str(&run, spec->item_key, item[i].bytes);
        one.attrs = gw_buf_slice(&run);
        if (run.failed)
            w->rc = w->rc ? w->rc : gw_buf_error(&run);
        else
            gw_mw_int(w, &one, (int64_t)item[i].count);
    }
    gw_buf_clear(&run);
    free(item);
}

void gw_agg_big_put(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                    const struct gw_mw_point *point)
{
    if (spec->fn == GW_AGG_EXPONENTIAL)
        put_exponential(p, state, w, point);
    else
        put_top(p, state, spec, w, point);
}

unsigned gw_agg_exemplars(const struct gw_agg_plan *p, const void *state, struct gw_mw_exemplar *ret, unsigned n)
{
    const struct gw_picks *s = behind(p, state, GW_AGG_P_SAMPLES);
    unsigned i = 0;

    for (; s && i < n && i < s->n; i++)
        ret[i] = s->at[i].exemplar;
    return i;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------- */

struct saved_exponential {
    uint64_t count, zero_count;
    double min, max, zero_threshold;
    int32_t scale, positive_start, negative_start;
    uint32_t n_positive, n_negative, nothing;
}; /* the counts follow */

static void save_exponential(const struct gw_exponential *e, struct gw_buf *out)
{
    struct saved_exponential s = {0};

    if (e)
        s = (struct saved_exponential){.count = e->count,
                                       .zero_count = e->zero_count,
                                       .min = e->min,
                                       .max = e->max,
                                       .zero_threshold = e->zero_threshold,
                                       .scale = e->scale,
                                       .positive_start = e->positive.n ? e->positive.start : 0,
                                       .negative_start = e->negative.n ? e->negative.start : 0,
                                       .n_positive = e->positive.n,
                                       .n_negative = e->negative.n};
    gw_buf_put(out, &s, sizeof(s));
    if (s.n_positive)
        gw_buf_put(out, e->positive.counts, s.n_positive * sizeof(uint64_t));
    if (s.n_negative)
        gw_buf_put(out, e->negative.counts, s.n_negative * sizeof(uint64_t));
}

void gw_agg_big_save(const struct gw_agg_plan *p, const void *state, struct gw_buf *out)
{
    if (gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        save_exponential(behind(p, state, GW_AGG_P_EXPONENTIAL), out);
    if (gw_agg_has(p, GW_AGG_P_DISTINCT))
        gw_distinct_save(behind(p, state, GW_AGG_P_DISTINCT), out);
    if (gw_agg_has(p, GW_AGG_P_TOP))
        gw_top_save(behind(p, state, GW_AGG_P_TOP), out);
    if (gw_agg_has(p, GW_AGG_P_SAMPLES))
        gw_picks_save(behind(p, state, GW_AGG_P_SAMPLES), out);
}

/* n counts from a place that may not be aligned. */
static bool read_half(struct gw_exp_half *half, int32_t start, uint32_t n, struct gw_slice *from)
{
    size_t bytes = n * sizeof(half->counts[0]);

    if (n == 0)
        return true;
    half->counts = malloc(bytes);
    if (!half->counts)
        return false;
    memcpy(half->counts, from->p, bytes);
    half->start = start;
    half->n = half->cap = n;
    *from = gw_slice_of(from->p + bytes, from->n - bytes);
    return true;
}

static int restore_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from)
{
    uint32_t most = p->size[GW_AGG_P_EXPONENTIAL];
    struct saved_exponential s;
    struct gw_exponential *e;
    bool done;

    if (from->n < sizeof(s))
        return -EBADMSG;
    memcpy(&s, from->p, sizeof(s));
    *from = gw_slice_of(from->p + sizeof(s), from->n - sizeof(s));
    if (s.count == 0)
        return s.n_positive || s.n_negative ? -EBADMSG : 0;
    if (s.n_positive > most || s.n_negative > most ||
        from->n < ((uint64_t)s.n_positive + s.n_negative) * sizeof(uint64_t))
        return -EBADMSG;
    e = begin_growth(p, state, heap);
    if (!e)
        return -errno;
    e->count = s.count;
    e->zero_count = s.zero_count;
    e->min = s.min;
    e->max = s.max;
    e->zero_threshold = s.zero_threshold;
    e->scale = s.scale;
    done = read_half(&e->positive, s.positive_start, s.n_positive, from) &&
           read_half(&e->negative, s.negative_start, s.n_negative, from);
    return end_growth(e, heap, done) ? -ENOMEM : gw_exponential_is_sane(e) ? 0 : -EBADMSG;
}

int gw_agg_big_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from)
{
    int rc = gw_agg_has(p, GW_AGG_P_EXPONENTIAL) ? restore_exponential(p, state, heap, from) : 0;

    if (rc == 0 && gw_agg_has(p, GW_AGG_P_DISTINCT))
        rc = gw_distinct_restore(distinct(p, state), heap, p->size[GW_AGG_P_DISTINCT], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_TOP))
        rc = gw_top_restore(top(p, state), heap, p->size[GW_AGG_P_TOP], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_SAMPLES))
        rc = gw_picks_restore(picks(p, state), heap, p->size[GW_AGG_P_SAMPLES], from);
    return rc;
}
