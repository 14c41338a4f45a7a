/* SPDX-License-Identifier: Apache-2.0 */
#include "series/aggregate.h"

#include <errno.h>
#include <math.h>

#include "series/aggregate_priv.h"
#include "series/distinct.h"
#include "series/mixed.h"
#include "series/quantile.h"
#include "series/top.h"

const char *const gw_agg_names[] = {"count",       "sum",      "min",      "max", "avg",     "last", "histogram",
                                    "exponential", "quantile", "distinct", "top", "samples", "rate", NULL};

/* By time, then order, then value: rank 0 is none, so that a state of zeros is empty. */
struct last {
    uint64_t time_ns, order, rank;
};

/* ---- plans ------------------------------------------------------------------------------------------------- */

#define BIT(part) (1u << (part))

/* sum has a count, too: nothing else would tell a sum of zero from no values. */
static const struct fn {
    unsigned parts;
    enum gw_agg_part sized;
    unsigned usual, least, most; /* of its size */
} fns[] = {
    [GW_AGG_COUNT] = {.parts = BIT(GW_AGG_P_COUNT)},
    [GW_AGG_SUM] = {.parts = BIT(GW_AGG_P_COUNT) | BIT(GW_AGG_P_TOTAL)},
    [GW_AGG_MIN] = {.parts = BIT(GW_AGG_P_MIN)},
    [GW_AGG_MAX] = {.parts = BIT(GW_AGG_P_MAX)},
    [GW_AGG_AVG] = {.parts = BIT(GW_AGG_P_COUNT) | BIT(GW_AGG_P_TOTAL)},
    [GW_AGG_LAST] = {.parts = BIT(GW_AGG_P_LAST)},
    [GW_AGG_HISTOGRAM] = {BIT(GW_AGG_P_HISTOGRAM) | BIT(GW_AGG_P_TOTAL), GW_AGG_P_HISTOGRAM, GW_EXP_DEFAULT_SIZE,
                          GW_EXP_MIN_SIZE, GW_EXP_MAX_SIZE},
    [GW_AGG_EXPONENTIAL] = {BIT(GW_AGG_P_EXPONENTIAL) | BIT(GW_AGG_P_TOTAL), GW_AGG_P_EXPONENTIAL, GW_EXP_DEFAULT_SIZE,
                            GW_EXP_MIN_SIZE, GW_EXP_MAX_SIZE},
    [GW_AGG_QUANTILE] = {BIT(GW_AGG_P_EXPONENTIAL), GW_AGG_P_EXPONENTIAL, GW_EXP_DEFAULT_SIZE, GW_EXP_MIN_SIZE,
                         GW_EXP_MAX_SIZE},
    [GW_AGG_DISTINCT] = {BIT(GW_AGG_P_DISTINCT), GW_AGG_P_DISTINCT, GW_DISTINCT_DEFAULT, GW_DISTINCT_MIN,
                         GW_DISTINCT_MAX},
    [GW_AGG_TOP] = {BIT(GW_AGG_P_TOP), GW_AGG_P_TOP, 500, GW_TOP_MIN, GW_TOP_MAX},
    [GW_AGG_SAMPLES] = {BIT(GW_AGG_P_SAMPLES), GW_AGG_P_SAMPLES, 4, 1, GW_PICKS_MAX},
    [GW_AGG_RATE] = {.parts = BIT(GW_AGG_P_COUNT) | BIT(GW_AGG_P_TOTAL)},
};

static int plan_one(struct gw_agg_plan *p, const struct gw_agg_spec *spec, struct gw_err *err)
{
    const struct fn *f;
    unsigned size;

    if ((unsigned)spec->fn >= GW_AGG_N_FNS)
        return gw_fail(err, -EINVAL, "there is no aggregate %d", (int)spec->fn);
    if (spec->fn == GW_AGG_QUANTILE && !(spec->q >= 0 && spec->q <= 1))
        return gw_fail(err, -EINVAL, "a quantile is 0 to 1");
    f = &fns[spec->fn];
    p->parts |= f->parts;
    if (!f->most)
        return 0;
    if (spec->bounds && (!gw_bounds_are_sane(spec->bounds) || (p->bounds && p->bounds != spec->bounds)))
        return gw_fail(err, -EINVAL, "bounds that do not ascend, or differ");
    p->bounds = spec->bounds ? spec->bounds : p->bounds;
    size = spec->size ? spec->size : f->usual;
    if (size < f->least || size > f->most)
        return gw_fail(err, -EINVAL, "the size of %s is %u to %u, not %u", gw_agg_names[spec->fn], f->least, f->most,
                       size);
    if (p->size[f->sized] && p->size[f->sized] != size)
        return gw_fail(err, -EINVAL, "%s of sizes %u and %u", gw_agg_names[spec->fn], p->size[f->sized], size);
    p->size[f->sized] = size;
    return 0;
}

int gw_agg_plan_make(struct gw_agg_plan *p, const struct gw_agg_spec *specs, unsigned n, struct gw_err *err)
{
    static const uint16_t bytes[GW_AGG_N_PARTS] = {[GW_AGG_P_COUNT] = 8,
                                                   [GW_AGG_P_TOTAL] = sizeof(struct gw_total),
                                                   [GW_AGG_P_MIN] = 8,
                                                   [GW_AGG_P_MAX] = 8,
                                                   [GW_AGG_P_LAST] = sizeof(struct last)};

    *p = (struct gw_agg_plan){0};
    for (unsigned i = 0; i < n; i++) {
        int rc = plan_one(p, &specs[i], err);

        if (rc)
            return rc;
    }
    for (unsigned i = 0; i < GW_AGG_N_PARTS; i++) {
        if (!(p->parts & BIT(i)))
            continue;
        p->at[i] = (uint16_t)p->state_bytes;
        p->state_bytes += bytes[i] ? bytes[i] : 8;
        p->number_bytes += bytes[i];
    }
    p->has_big = p->state_bytes > p->number_bytes;
    return 0;
}

/* ---- numbers in their order -------------------------------------------------------------------------------- */

/*
 * A number that is the greater, the greater the value, -0 below 0; 0 is none. Doubles as their bits, turned round when
 * negative. Integers that a double does not hold are as the nearest double.
 */
static inline uint64_t rank_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static inline double ranked(uint64_t rank)
{
    uint64_t bits = rank >> 63 ? rank & ~(UINT64_C(1) << 63) : ~rank;
    double v;

    memcpy(&v, &bits, 8);
    return v;
}

static inline void raise(uint64_t *at, uint64_t rank)
{
    *at = rank > *at ? rank : *at;
}

static bool is_later(const struct last *a, const struct last *b)
{
    if (a->rank == 0 || b->rank == 0)
        return a->rank != 0;
    if (a->time_ns != b->time_ns)
        return a->time_ns > b->time_ns;
    return a->order != b->order ? a->order > b->order : a->rank > b->rank;
}

/* ---- adding and merging ------------------------------------------------------------------------------------ */

static void add_ranked(const struct gw_agg_plan *p, void *state, const struct gw_agg_value *v, double value)
{
    uint64_t rank = rank_of(value);
    struct last new = {v->time_ns, v->order, rank};

    if (gw_agg_has(p, GW_AGG_P_MIN))
        raise(gw_agg_part(p, state, GW_AGG_P_MIN), ~rank);
    if (gw_agg_has(p, GW_AGG_P_MAX))
        raise(gw_agg_part(p, state, GW_AGG_P_MAX), rank);
    if (gw_agg_has(p, GW_AGG_P_LAST) && is_later(&new, gw_agg_part(p, state, GW_AGG_P_LAST)))
        *(struct last *)gw_agg_part(p, state, GW_AGG_P_LAST) = new;
}

static void add_count(const struct gw_agg_plan *p, void *state, uint64_t n)
{
    if (gw_agg_has(p, GW_AGG_P_COUNT))
        *(uint64_t *)gw_agg_part(p, state, GW_AGG_P_COUNT) += n;
}

int gw_agg_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v)
{
    double value = v->is_int ? (double)v->i : v->d;

    if (v->n == 0)
        return 0;
    add_count(p, state, v->n);
    if (gw_agg_has(p, GW_AGG_P_TOTAL)) {
        if (v->is_int)
            gw_total_add_int(gw_agg_part(p, state, GW_AGG_P_TOTAL), v->i, v->n);
        else
            gw_total_add(gw_agg_part(p, state, GW_AGG_P_TOTAL), v->d, v->n);
    }
    if (!isnan(value))
        add_ranked(p, state, v, value);
    return p->has_big ? gw_agg_big_add(p, state, heap, v, value) : 0;
}

/* What a histogram says of numbers. */
static void add_summary(const struct gw_agg_plan *p, void *state, uint64_t count, double sum, double min, double max)
{
    add_count(p, state, count);
    if (gw_agg_has(p, GW_AGG_P_TOTAL))
        gw_total_add(gw_agg_part(p, state, GW_AGG_P_TOTAL), sum, 1);
    if (gw_agg_has(p, GW_AGG_P_MIN) && !isnan(min))
        raise(gw_agg_part(p, state, GW_AGG_P_MIN), ~rank_of(min));
    if (gw_agg_has(p, GW_AGG_P_MAX) && !isnan(max))
        raise(gw_agg_part(p, state, GW_AGG_P_MAX), rank_of(max));
}

int gw_agg_add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                           const struct gw_exponential *h)
{
    if (h->count == 0)
        return 0;
    add_summary(p, state, h->count, h->sum, h->min, h->max);
    return p->has_big ? gw_agg_big_add_exponential(p, state, heap, h) : 0;
}

int gw_agg_add_explicit(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                        const struct gw_explicit *h, double min, double max)
{
    if (h->count == 0)
        return 0;
    add_summary(p, state, h->count, h->sum, min, max);
    return p->has_big ? gw_agg_big_add_explicit(p, state, heap, b, h, min, max) : 0;
}

int gw_agg_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other)
{
    const struct last *last;

    if (gw_agg_has(p, GW_AGG_P_COUNT))
        add_count(p, state, *(const uint64_t *)gw_agg_part_of(p, other, GW_AGG_P_COUNT));
    if (gw_agg_has(p, GW_AGG_P_TOTAL))
        gw_total_merge(gw_agg_part(p, state, GW_AGG_P_TOTAL), gw_agg_part_of(p, other, GW_AGG_P_TOTAL));
    if (gw_agg_has(p, GW_AGG_P_MIN))
        raise(gw_agg_part(p, state, GW_AGG_P_MIN), *(const uint64_t *)gw_agg_part_of(p, other, GW_AGG_P_MIN));
    if (gw_agg_has(p, GW_AGG_P_MAX))
        raise(gw_agg_part(p, state, GW_AGG_P_MAX), *(const uint64_t *)gw_agg_part_of(p, other, GW_AGG_P_MAX));
    if (gw_agg_has(p, GW_AGG_P_LAST)) {
        last = gw_agg_part_of(p, other, GW_AGG_P_LAST);
        if (is_later(last, gw_agg_part(p, state, GW_AGG_P_LAST)))
            *(struct last *)gw_agg_part(p, state, GW_AGG_P_LAST) = *last;
    }
    return p->has_big ? gw_agg_big_merge(p, state, heap, other) : 0;
}

void gw_agg_clear(const struct gw_agg_plan *p, void *state, struct gw_heap *heap)
{
    if (p->has_big)
        gw_agg_big_clear(p, state, heap);
    memset(state, 0, p->state_bytes);
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

static bool ranked_number(uint64_t rank, bool none, struct gw_agg_number *ret)
{
    *ret = (struct gw_agg_number){.d = ranked(rank)};
    return !none;
}

static bool total_number(const struct gw_agg_plan *p, const void *state, bool is_avg, struct gw_agg_number *ret)
{
    const struct gw_total *t = gw_agg_part_of(p, state, GW_AGG_P_TOTAL);
    uint64_t count = *(const uint64_t *)gw_agg_part_of(p, state, GW_AGG_P_COUNT);
    int64_t i;

    if (is_avg)
        *ret = (struct gw_agg_number){.d = gw_total_value(t) / (double)count};
    else if (gw_total_int(t, &i))
        *ret = (struct gw_agg_number){.is_int = true, .i = i};
    else
        *ret = (struct gw_agg_number){.d = gw_total_value(t)};
    return count > 0;
}

bool gw_agg_number(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec,
                   struct gw_agg_number *ret)
{
    uint64_t rank;

    switch (spec->fn) {
    case GW_AGG_COUNT:
        *ret = (struct gw_agg_number){.is_int = true, .i = *(const int64_t *)gw_agg_part_of(p, state, GW_AGG_P_COUNT)};
        return true;
    case GW_AGG_SUM:
    case GW_AGG_AVG:
        return total_number(p, state, spec->fn == GW_AGG_AVG, ret);
    case GW_AGG_MIN:
        rank = *(const uint64_t *)gw_agg_part_of(p, state, GW_AGG_P_MIN);
        return ranked_number(~rank, rank == 0, ret);
    case GW_AGG_MAX:
        rank = *(const uint64_t *)gw_agg_part_of(p, state, GW_AGG_P_MAX);
        return ranked_number(rank, rank == 0, ret);
    case GW_AGG_LAST:
        rank = ((const struct last *)gw_agg_part_of(p, state, GW_AGG_P_LAST))->rank;
        return ranked_number(rank, rank == 0, ret);
    case GW_AGG_QUANTILE:
        *ret = (struct gw_agg_number){.d = gw_agg_big_quantile(p, state, spec->q)};
        return !isnan(ret->d);
    case GW_AGG_DISTINCT:
        *ret = (struct gw_agg_number){.is_int = true, .i = (int64_t)gw_agg_big_distinct(p, state)};
        return true;
    case GW_AGG_HISTOGRAM:
    case GW_AGG_EXPONENTIAL:
    case GW_AGG_TOP:
    case GW_AGG_SAMPLES:
    case GW_AGG_RATE: /* of a stretch of time: gw_agg_put */
    case GW_AGG_N_FNS:
        break;
    }
    return false;
}

void gw_agg_metric(const struct gw_agg_spec *spec, struct gw_mw_metric *m)
{
    bool adds_up = spec->fn == GW_AGG_COUNT || spec->fn == GW_AGG_SUM;

    m->type = spec->fn == GW_AGG_EXPONENTIAL ? GW_M_EXP_HISTOGRAM
              : spec->fn == GW_AGG_HISTOGRAM ? GW_M_HISTOGRAM
              : adds_up                      ? GW_M_SUM
                                             : GW_M_GAUGE;
    m->temporality = m->type != GW_M_GAUGE ? GW_T_DELTA : GW_T_UNSPECIFIED;
    m->monotonic = spec->fn == GW_AGG_COUNT;
}

enum gw_metric_type gw_agg_type(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec)
{
    struct gw_mw_metric m;

    gw_agg_metric(spec, &m);
    return spec->fn == GW_AGG_HISTOGRAM && gw_agg_big_is_lossy(p, state) ? GW_M_EXP_HISTOGRAM : m.type;
}

void gw_agg_put(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                const struct gw_mw_point *point)
{
    struct gw_agg_number n;

    if (spec->fn == GW_AGG_HISTOGRAM || spec->fn == GW_AGG_EXPONENTIAL || spec->fn == GW_AGG_TOP)
        gw_agg_big_put(p, state, spec, w, point);
    if (spec->fn == GW_AGG_RATE && point->time_ns > point->start_ns && total_number(p, state, false, &n))
        gw_mw_double(w, point, (n.is_int ? (double)n.i : n.d) / ((double)(point->time_ns - point->start_ns) / 1e9));
    if (!gw_agg_number(p, state, spec, &n))
        return;
    if (n.is_int)
        gw_mw_int(w, point, n.i);
    else
        gw_mw_double(w, point, n.d);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------- */

void gw_agg_save(const struct gw_agg_plan *p, const void *state, struct gw_buf *out)
{
    gw_buf_put(out, state, p->number_bytes);
    if (p->has_big)
        gw_agg_big_save(p, state, out);
}

int gw_agg_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from)
{
    int rc = 0;

    if (from->n < p->number_bytes)
        return -EBADMSG;
    memcpy(state, from->p, p->number_bytes);
    *from = gw_slice_of(from->p + p->number_bytes, from->n - p->number_bytes);
    if (gw_agg_has(p, GW_AGG_P_TOTAL) && !gw_total_is_sane(gw_agg_part(p, state, GW_AGG_P_TOTAL)))
        rc = -EBADMSG;
    if (rc == 0 && p->has_big)
        rc = gw_agg_big_restore(p, state, heap, from);
    if (rc)
        gw_agg_clear(p, state, heap);
    return rc;
}
