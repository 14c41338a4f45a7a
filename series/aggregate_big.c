/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregates that are behind pointers. The sum that an exponential histogram has of its own is not used: the total has
 * it, exactly. */
#include <errno.h>
#include <math.h>

#include "core/hash.h"
#include "series/aggregate_priv.h"
#include "series/distinct.h"
#include "series/mixed.h"
#include "series/quantile.h"
#include "series/top.h"

/* ---- pointers ---------------------------------------------------------------------------------------------- */

static struct gw_exponential **exponential(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_EXPONENTIAL);
}

static struct gw_mixed **mixed(const struct gw_agg_plan *p, void *state)
{
    return gw_agg_part(p, state, GW_AGG_P_HISTOGRAM);
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

/* The histogram, which may grow: end_growth says what it has taken. NULL: as errno says. */
static struct gw_exponential *begin_growth(struct gw_exponential **e, struct gw_heap *heap, uint32_t size)
{
    if (*e && heap->max_bytes && heap->held_bytes > heap->max_bytes) {
        errno = ENOSPC;
        return NULL;
    }
    if (!*e) {
        *e = gw_heap_resize(heap, NULL, 0, sizeof(**e));
        if (*e)
            gw_exponential_init(*e, size);
    }
    if (*e)
        heap->held_bytes -= gw_exponential_bytes(*e);
    return *e;
}

static int end_growth(struct gw_exponential *e, struct gw_heap *heap, bool done)
{
    heap->held_bytes += gw_exponential_bytes(e);
    return done ? 0 : -ENOMEM;
}

static int add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, double value, uint64_t n)
{
    struct gw_exponential *e;

    if (!isfinite(value))
        return 0;
    e = begin_growth(exponential(p, state), heap, p->size[GW_AGG_P_EXPONENTIAL]);
    return e ? end_growth(e, heap, gw_exponential_add(e, value, n)) : -errno;
}

static int merge_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                             const struct gw_exponential *h)
{
    struct gw_exponential *e = begin_growth(exponential(p, state), heap, p->size[GW_AGG_P_EXPONENTIAL]);

    return e ? end_growth(e, heap, gw_exponential_merge(e, h)) : -errno;
}

int gw_agg_big_add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                               const struct gw_exponential *h)
{
    int rc = gw_agg_has(p, GW_AGG_P_EXPONENTIAL) ? merge_exponential(p, state, heap, h) : 0, one = 0;

    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM))
        one = gw_mixed_add_exponential(mixed(p, state), heap, p->size[GW_AGG_P_HISTOGRAM], h);
    return rc ? rc : one;
}

static int spread(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                  const struct gw_explicit *h, double min, double max)
{
    struct gw_exponential *e = begin_growth(exponential(p, state), heap, p->size[GW_AGG_P_EXPONENTIAL]);

    return e ? end_growth(e, heap, gw_exponential_add_explicit(e, h, b, min, max)) : -errno;
}

int gw_agg_big_add_explicit(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                            const struct gw_explicit *h, double min, double max)
{
    int rc = 0, one = 0;

    if (!gw_bounds_are_sane(b) || (!isnan(min) && !isfinite(min)) || (!isnan(max) && !isfinite(max)))
        return -EINVAL;
    if (gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        rc = spread(p, state, heap, b, h, min, max);
    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM))
        one = gw_mixed_add(mixed(p, state), heap, p->size[GW_AGG_P_HISTOGRAM], b, h, min, max);
    return rc ? rc : one;
}

static void free_exponential(struct gw_exponential **e, struct gw_heap *heap)
{
    if (!*e)
        return;
    heap->held_bytes -= gw_exponential_bytes(*e);
    gw_exponential_clear(*e);
    gw_heap_free(heap, *e, sizeof(**e));
    *e = NULL;
}

/* A number into a histogram: into the bucket of the plan's bounds, or what they have become. */
static int add_to_histogram(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, double value, uint64_t n)
{
    uint32_t size = p->size[GW_AGG_P_HISTOGRAM];
    uint64_t count = n, zeros = value == 0 ? n : 0;
    double positive = value < 0 ? -value : value;
    struct gw_exp_half half = {.counts = &count, .start = gw_exponential_index(positive, GW_EXP_MAX_SCALE), .n = 1};
    struct gw_exponential one = {
        .count = n, .zero_count = zeros, .min = value, .max = value, .scale = GW_EXP_MAX_SCALE};

    if (!isfinite(value))
        return 0;
    if (p->bounds)
        return gw_mixed_add_value(mixed(p, state), heap, size, p->bounds, value, n);
    if (value > 0)
        one.positive = half;
    else if (value < 0)
        one.negative = half;
    return gw_mixed_add_exponential(mixed(p, state), heap, size, &one);
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

int gw_agg_big_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v,
                   double value)
{
    int rc = 0, one;

    if (gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        rc = add_exponential(p, state, heap, value, v->n);
    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM)) {
        one = add_to_histogram(p, state, heap, value, v->n);
        rc = rc ? rc : one;
    }
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

int gw_agg_add_sample(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_pick *sample)
{
    if (!gw_agg_has(p, GW_AGG_P_SAMPLES))
        return 0;
    return gw_picks_add(picks(p, state), heap, p->size[GW_AGG_P_SAMPLES], sample);
}

int gw_agg_big_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other)
{
    const struct gw_exponential *e = behind(p, other, GW_AGG_P_EXPONENTIAL);
    const struct gw_distinct *d = behind(p, other, GW_AGG_P_DISTINCT);
    const struct gw_top *t = behind(p, other, GW_AGG_P_TOP);
    const struct gw_picks *s = behind(p, other, GW_AGG_P_SAMPLES);
    const struct gw_mixed *m = behind(p, other, GW_AGG_P_HISTOGRAM);
    int rc = e ? merge_exponential(p, state, heap, e) : 0, one;

    one = m ? gw_mixed_merge(mixed(p, state), heap, p->size[GW_AGG_P_HISTOGRAM], m) : 0;
    rc = rc ? rc : one;
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
    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM))
        gw_mixed_free(mixed(p, state), heap);
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

bool gw_agg_big_is_lossy(const struct gw_agg_plan *p, const void *state)
{
    const struct gw_mixed *m = behind(p, state, GW_AGG_P_HISTOGRAM);

    return m && m->exponential;
}

static void put_exponential(const struct gw_exponential *e, double sum, struct gw_mw *w,
                            const struct gw_mw_point *point)
{
    struct gw_exponential copy;

    if (!e || e->count == 0)
        return;
    copy = *e;
    copy.sum = sum;
    gw_mw_exponential(w, point, &copy);
}

static void put_histogram(const struct gw_mixed *m, double sum, struct gw_mw *w, const struct gw_mw_point *point)
{
    if (!m || m->exponential) {
        put_exponential(m ? m->exponential : NULL, sum, w, point);
        return;
    }
    m->explicit->sum = sum;
    if (m->explicit->count)
        gw_mw_histogram(w, point, &m->bounds, m->explicit);
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
    double sum;

    if (spec->fn == GW_AGG_TOP) {
        put_top(p, state, spec, w, point);
        return;
    }
    sum = gw_total_finite(gw_agg_part_of(p, state, GW_AGG_P_TOTAL));
    if (spec->fn == GW_AGG_EXPONENTIAL)
        put_exponential(behind(p, state, GW_AGG_P_EXPONENTIAL), sum, w, point);
    else
        put_histogram(behind(p, state, GW_AGG_P_HISTOGRAM), sum, w, point);
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

/* What a gw_mixed has beside its exponential one, which follows. */
struct saved_mixed {
    uint32_t n_bounds, kind; /* kind: enum below */
    double min, max;
}; /* bounds, count and counts follow */
enum { MIXED_NONE, MIXED_EXACT, MIXED_LOSSY };

static void save_mixed(const struct gw_mixed *m, struct gw_buf *out)
{
    struct saved_mixed s = {0};

    if (m)
        s = (struct saved_mixed){m->exponential ? 0 : m->bounds.n, m->exponential ? MIXED_LOSSY : MIXED_EXACT, m->min,
                                 m->max};
    gw_buf_put(out, &s, sizeof(s));
    if (s.kind == MIXED_LOSSY)
        save_exponential(m->exponential, out);
    if (s.kind != MIXED_EXACT)
        return;
    gw_buf_put(out, m->bounds.at, s.n_bounds * sizeof(double));
    gw_buf_put(out, &m->explicit->count, 8);
    gw_buf_put(out, m->explicit->buckets, (s.n_bounds + 1) * sizeof(uint64_t));
}

void gw_agg_big_save(const struct gw_agg_plan *p, const void *state, struct gw_buf *out)
{
    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM))
        save_mixed(behind(p, state, GW_AGG_P_HISTOGRAM), out);
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

static int restore_exponential(struct gw_exponential **ret, struct gw_heap *heap, uint32_t most, struct gw_slice *from)
{
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
    e = begin_growth(ret, heap, most);
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

static bool get(struct gw_slice *from, void *to, size_t n)
{
    if (from->n < n)
        return false;
    memcpy(to, from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    return true;
}

static int restore_mixed(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, struct gw_slice *from)
{
    double at[GW_MAX_BOUNDS];
    struct gw_exponential *e;
    struct saved_mixed s;
    int rc;

    if (!get(from, &s, sizeof(s)) || s.kind > MIXED_LOSSY || s.n_bounds > GW_MAX_BOUNDS ||
        (s.n_bounds && s.kind != MIXED_EXACT))
        return -EBADMSG;
    if (s.kind == MIXED_NONE)
        return 0;
    if (!get(from, at, s.n_bounds * sizeof(double)) || !gw_bounds_are_sane(&(struct gw_bounds){at, s.n_bounds}))
        return -EBADMSG;
    *m = gw_mixed_make(heap, &(struct gw_bounds){at, s.n_bounds});
    if (!*m)
        return -errno;
    (*m)->min = s.min;
    (*m)->max = s.max;
    if (s.kind == MIXED_EXACT)
        return get(from, &(*m)->explicit->count, 8) &&
                       get(from, (*m)->explicit->buckets, (s.n_bounds + 1) * sizeof(uint64_t))
                   ? 0
                   : -EBADMSG;
    rc = restore_exponential(&(*m)->exponential, heap, size, from);
    if (rc || (*m)->exponential)
        return rc;
    e = begin_growth(&(*m)->exponential, heap, size); /* an empty one */
    return e ? end_growth(e, heap, true) : -errno;
}

int gw_agg_big_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from)
{
    int rc = 0;

    if (gw_agg_has(p, GW_AGG_P_HISTOGRAM))
        rc = restore_mixed(mixed(p, state), heap, p->size[GW_AGG_P_HISTOGRAM], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_EXPONENTIAL))
        rc = restore_exponential(exponential(p, state), heap, p->size[GW_AGG_P_EXPONENTIAL], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_DISTINCT))
        rc = gw_distinct_restore(distinct(p, state), heap, p->size[GW_AGG_P_DISTINCT], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_TOP))
        rc = gw_top_restore(top(p, state), heap, p->size[GW_AGG_P_TOP], from);
    if (rc == 0 && gw_agg_has(p, GW_AGG_P_SAMPLES))
        rc = gw_picks_restore(picks(p, state), heap, p->size[GW_AGG_P_SAMPLES], from);
    return rc;
}
