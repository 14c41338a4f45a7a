/* SPDX-License-Identifier: Apache-2.0 */
#include "series/aggregate.h"

#include <errno.h>
#include <math.h>

const char *const gw_agg_names[] = {"count", "sum", "min", "max", "avg", "last", NULL};

/* By time, then order, then value: rank 0 is none, so that a state of zeros is empty. */
struct last {
    uint64_t time_ns, order, rank;
};

/* ---- plans ------------------------------------------------------------------------------------------------- */

#define BIT(part) (1u << (part))

static unsigned parts_of(enum gw_agg_fn fn)
{
    static const unsigned parts[] = {[GW_AGG_COUNT] = BIT(GW_AGG_P_COUNT),
                                     [GW_AGG_SUM] = BIT(GW_AGG_P_TOTAL),
                                     [GW_AGG_MIN] = BIT(GW_AGG_P_MIN),
                                     [GW_AGG_MAX] = BIT(GW_AGG_P_MAX),
                                     [GW_AGG_AVG] = BIT(GW_AGG_P_COUNT) | BIT(GW_AGG_P_TOTAL),
                                     [GW_AGG_LAST] = BIT(GW_AGG_P_LAST)};

    /* without a count, nothing would tell a sum of zero from no values */
    return fn == GW_AGG_SUM ? parts[fn] | BIT(GW_AGG_P_COUNT) : parts[fn];
}

int gw_agg_plan_make(struct gw_agg_plan *p, const struct gw_agg_spec *specs, unsigned n, struct gw_err *err)
{
    static const uint16_t bytes[] = {[GW_AGG_P_COUNT] = 8,
                                     [GW_AGG_P_TOTAL] = sizeof(struct gw_total),
                                     [GW_AGG_P_MIN] = 8,
                                     [GW_AGG_P_MAX] = 8,
                                     [GW_AGG_P_LAST] = sizeof(struct last)};

    *p = (struct gw_agg_plan){0};
    for (unsigned i = 0; i < n; i++) {
        if ((unsigned)specs[i].fn >= GW_AGG_N_FNS)
            return gw_fail(err, -EINVAL, "there is no aggregate %d", (int)specs[i].fn);
        p->parts |= parts_of(specs[i].fn);
    }
    for (unsigned i = 0; i < GW_AGG_N_PARTS; i++) {
        if (!(p->parts & BIT(i)))
            continue;
        p->at[i] = (uint16_t)p->state_bytes;
        p->state_bytes += bytes[i];
    }
    return 0;
}

static inline void *part(const struct gw_agg_plan *p, void *state, enum gw_agg_part which)
{
    return (uint8_t *)state + p->at[which];
}

static inline const void *part_of(const struct gw_agg_plan *p, const void *state, enum gw_agg_part which)
{
    return (const uint8_t *)state + p->at[which];
}

static inline bool has(const struct gw_agg_plan *p, enum gw_agg_part which)
{
    return p->parts & BIT(which);
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

    if (has(p, GW_AGG_P_MIN))
        raise(part(p, state, GW_AGG_P_MIN), ~rank);
    if (has(p, GW_AGG_P_MAX))
        raise(part(p, state, GW_AGG_P_MAX), rank);
    if (has(p, GW_AGG_P_LAST) && is_later(&new, part(p, state, GW_AGG_P_LAST)))
        *(struct last *)part(p, state, GW_AGG_P_LAST) = new;
}

int gw_agg_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v)
{
    double value = v->is_int ? (double)v->i : v->d;

    (void)heap;
    if (v->n == 0)
        return 0;
    if (has(p, GW_AGG_P_COUNT))
        *(uint64_t *)part(p, state, GW_AGG_P_COUNT) += v->n;
    if (has(p, GW_AGG_P_TOTAL)) {
        if (v->is_int)
            gw_total_add_int(part(p, state, GW_AGG_P_TOTAL), v->i, v->n);
        else
            gw_total_add(part(p, state, GW_AGG_P_TOTAL), v->d, v->n);
    }
    if (!isnan(value))
        add_ranked(p, state, v, value);
    return 0;
}

int gw_agg_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other)
{
    (void)heap;
    if (has(p, GW_AGG_P_COUNT))
        *(uint64_t *)part(p, state, GW_AGG_P_COUNT) += *(const uint64_t *)part_of(p, other, GW_AGG_P_COUNT);
    if (has(p, GW_AGG_P_TOTAL))
        gw_total_merge(part(p, state, GW_AGG_P_TOTAL), part_of(p, other, GW_AGG_P_TOTAL));
    if (has(p, GW_AGG_P_MIN))
        raise(part(p, state, GW_AGG_P_MIN), *(const uint64_t *)part_of(p, other, GW_AGG_P_MIN));
    if (has(p, GW_AGG_P_MAX))
        raise(part(p, state, GW_AGG_P_MAX), *(const uint64_t *)part_of(p, other, GW_AGG_P_MAX));
    if (has(p, GW_AGG_P_LAST) && is_later(part_of(p, other, GW_AGG_P_LAST), part(p, state, GW_AGG_P_LAST)))
        *(struct last *)part(p, state, GW_AGG_P_LAST) = *(const struct last *)part_of(p, other, GW_AGG_P_LAST);
    return 0;
}

void gw_agg_clear(const struct gw_agg_plan *p, void *state, struct gw_heap *heap)
{
    (void)heap;
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
    const struct gw_total *t = part_of(p, state, GW_AGG_P_TOTAL);
    uint64_t count = *(const uint64_t *)part_of(p, state, GW_AGG_P_COUNT);
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
        *ret = (struct gw_agg_number){.is_int = true, .i = *(const int64_t *)part_of(p, state, GW_AGG_P_COUNT)};
        return true;
    case GW_AGG_SUM:
    case GW_AGG_AVG:
        return total_number(p, state, spec->fn == GW_AGG_AVG, ret);
    case GW_AGG_MIN:
        rank = *(const uint64_t *)part_of(p, state, GW_AGG_P_MIN);
        return ranked_number(~rank, rank == 0, ret);
    case GW_AGG_MAX:
        rank = *(const uint64_t *)part_of(p, state, GW_AGG_P_MAX);
        return ranked_number(rank, rank == 0, ret);
    case GW_AGG_LAST:
        rank = ((const struct last *)part_of(p, state, GW_AGG_P_LAST))->rank;
        return ranked_number(rank, rank == 0, ret);
    case GW_AGG_N_FNS:
        break;
    }
    return false;
}

void gw_agg_metric(const struct gw_agg_spec *spec, struct gw_mw_metric *m)
{
    bool adds_up = spec->fn == GW_AGG_COUNT || spec->fn == GW_AGG_SUM;

    m->type = adds_up ? GW_M_SUM : GW_M_GAUGE;
    m->temporality = adds_up ? GW_T_DELTA : GW_T_UNSPECIFIED;
    m->monotonic = spec->fn == GW_AGG_COUNT;
}

void gw_agg_put(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                const struct gw_mw_point *point)
{
    struct gw_agg_number n;

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
    gw_buf_put(out, state, p->state_bytes);
}

int gw_agg_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from)
{
    (void)heap;
    if (from->n < p->state_bytes)
        return -EBADMSG;
    memcpy(state, from->p, p->state_bytes);
    if (has(p, GW_AGG_P_TOTAL) && !gw_total_is_sane(part(p, state, GW_AGG_P_TOTAL))) {
        memset(state, 0, p->state_bytes);
        return -EBADMSG;
    }
    *from = (struct gw_slice){from->p + p->state_bytes, from->n - p->state_bytes};
    return 0;
}
