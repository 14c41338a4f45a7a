/* SPDX-License-Identifier: Apache-2.0 */
#include "series/mixed.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "series/quantile.h"

bool gw_bounds_are_sane(const struct gw_bounds *b)
{
    if (b->n > GW_MAX_BOUNDS)
        return false;
    for (unsigned i = 0; i < b->n; i++)
        if (!isfinite(b->at[i]) || (i && b->at[i] <= b->at[i - 1]))
            return false;
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

struct gw_mixed *gw_mixed_make(struct gw_heap *heap, const struct gw_bounds *b)
{
    size_t bytes = sizeof(struct gw_mixed) + b->n * sizeof(double) + gw_explicit_bytes(b);
    struct gw_mixed *m = gw_heap_resize(heap, NULL, 0, bytes);
    double *at;

    if (!m)
        return NULL;
    memset(m, 0, bytes);
    at = (double *)(void *)(m + 1);
    if (b->n)
        memcpy(at, b->at, b->n * sizeof(double));
    m->bounds = (struct gw_bounds){at, b->n};
    m->explicit = (struct gw_explicit *)(void *)(at + b->n);
    m->bytes = bytes;
    m->min = (double)INFINITY;
    m->max = -(double)INFINITY;
    return m;
}

static void free_exponential(struct gw_exponential *e, struct gw_heap *heap)
{
    heap->held_bytes -= gw_exponential_bytes(e);
    gw_exponential_clear(e);
    gw_heap_free(heap, e, sizeof(*e));
}

void gw_mixed_free(struct gw_mixed **m, struct gw_heap *heap)
{
    if (*m && (*m)->exponential)
        free_exponential((*m)->exponential, heap);
    if (*m)
        gw_heap_free(heap, *m, (*m)->bytes);
    *m = NULL;
}

/* ---- spread ------------------------------------------------------------------------------------------------ */

static double known(double v)
{
    return isfinite(v) ? v : (double)NAN;
}

static int add_spread(struct gw_exponential *e, struct gw_heap *heap, const struct gw_bounds *b,
                      const struct gw_explicit *h, double min, double max)
{
    bool done;

    if (heap->max_bytes && heap->held_bytes > heap->max_bytes)
        return -ENOSPC;
    heap->held_bytes -= gw_exponential_bytes(e);
    done = gw_exponential_add_explicit(e, h, b, known(min), known(max));
    heap->held_bytes += gw_exponential_bytes(e);
    return done ? 0 : -ENOMEM;
}

/* From now on it is an exponential one. Errors: then nothing has changed. */
static int spread(struct gw_mixed *m, struct gw_heap *heap, uint32_t size)
{
    struct gw_exponential *e;
    int rc;

    if (m->exponential)
        return 0;
    e = gw_heap_resize(heap, NULL, 0, sizeof(*e));
    if (!e)
        return -errno;
    gw_exponential_init(e, size);
    rc = add_spread(e, heap, &m->bounds, m->explicit, m->min, m->max);
    if (rc) {
        free_exponential(e, heap);
        return rc;
    }
    m->exponential = e;
    return 0;
}

/* ---- adding ------------------------------------------------------------------------------------------------ */

/* NaN wins: what is not known of one is not known of all. */
static void note_range(struct gw_mixed *m, double min, double max)
{
    m->min = isnan(m->min) || min >= m->min ? m->min : min;
    m->max = isnan(m->max) || max <= m->max ? m->max : max;
}

static bool same_bounds(const struct gw_bounds *a, const struct gw_bounds *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->at, b->at, a->n * sizeof(a->at[0])) == 0);
}

int gw_mixed_add(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_bounds *b,
                 const struct gw_explicit *h, double min, double max)
{
    int rc;

    if (!gw_bounds_are_sane(b))
        return -EINVAL;
    if (!*m && !(*m = gw_mixed_make(heap, b)))
        return -errno;
    if (!(*m)->exponential && same_bounds(&(*m)->bounds, b)) {
        gw_explicit_merge((*m)->explicit, b, h);
        note_range(*m, min, max);
        return 0;
    }
    rc = spread(*m, heap, size);
    rc = rc ? rc : add_spread((*m)->exponential, heap, b, h, min, max);
    if (rc == 0)
        note_range(*m, min, max);
    return rc;
}

int gw_mixed_add_value(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_bounds *b,
                       double value, uint64_t n)
{
    struct gw_exponential *e;
    bool done;
    int rc;

    if (!*m && !(*m = gw_mixed_make(heap, b)))
        return -errno;
    if (!(*m)->exponential && same_bounds(&(*m)->bounds, b)) {
        gw_explicit_add((*m)->explicit, b, value, n);
        note_range(*m, value, value);
        return 0;
    }
    rc = spread(*m, heap, size);
    if (rc)
        return rc;
    if (heap->max_bytes && heap->held_bytes > heap->max_bytes)
        return -ENOSPC;
    e = (*m)->exponential;
    heap->held_bytes -= gw_exponential_bytes(e);
    done = gw_exponential_add(e, value, n);
    heap->held_bytes += gw_exponential_bytes(e);
    note_range(*m, value, value);
    return done ? 0 : -ENOMEM;
}

int gw_mixed_add_exponential(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_exponential *e)
{
    struct gw_exponential *mine;
    bool done;
    int rc;

    if (!*m && !(*m = gw_mixed_make(heap, &(struct gw_bounds){NULL, 0})))
        return -errno;
    rc = spread(*m, heap, size);
    if (rc)
        return rc;
    if (heap->max_bytes && heap->held_bytes > heap->max_bytes)
        return -ENOSPC;
    mine = (*m)->exponential;
    heap->held_bytes -= gw_exponential_bytes(mine);
    done = gw_exponential_merge(mine, e);
    heap->held_bytes += gw_exponential_bytes(mine);
    if (done && e->count)
        note_range(*m, e->min, e->max);
    return done ? 0 : -ENOMEM;
}

int gw_mixed_merge(struct gw_mixed **m, struct gw_heap *heap, uint32_t size, const struct gw_mixed *other)
{
    if (!other)
        return 0;
    if (other->exponential)
        return gw_mixed_add_exponential(m, heap, size, other->exponential);
    return gw_mixed_add(m, heap, size, &other->bounds, other->explicit, other->min, other->max);
}
