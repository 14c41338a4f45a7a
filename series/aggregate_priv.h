/* SPDX-License-Identifier: Apache-2.0 */
/* Between aggregate.c, which has the numbers, and aggregate_big.c, which has what is behind pointers. */
#ifndef GW_SERIES_AGGREGATE_PRIV_H
#define GW_SERIES_AGGREGATE_PRIV_H

#include "series/aggregate.h"

static inline void *gw_agg_part(const struct gw_agg_plan *p, void *state, enum gw_agg_part which)
{
    return (uint8_t *)state + p->at[which];
}
static inline const void *gw_agg_part_of(const struct gw_agg_plan *p, const void *state, enum gw_agg_part which)
{
    return (const uint8_t *)state + p->at[which];
}
static inline bool gw_agg_has(const struct gw_agg_plan *p, enum gw_agg_part which)
{
    return p->parts & (1u << which);
}

/* As those of aggregate.h; each part takes what it can get, the first error is told. */
int gw_agg_big_add(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_agg_value *v,
                   double value);
int gw_agg_big_add_exponential(const struct gw_agg_plan *p, void *state, struct gw_heap *heap,
                               const struct gw_exponential *h);
int gw_agg_big_add_explicit(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const struct gw_bounds *b,
                            const struct gw_explicit *h, double min, double max);
int gw_agg_big_merge(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, const void *other);
/* The pointers are NULL afterwards. */
void gw_agg_big_clear(const struct gw_agg_plan *p, void *state, struct gw_heap *heap);
bool gw_agg_big_is_lossy(const struct gw_agg_plan *p, const void *state);
double gw_agg_big_quantile(const struct gw_agg_plan *p, const void *state, double q);
uint64_t gw_agg_big_distinct(const struct gw_agg_plan *p, const void *state);
void gw_agg_big_put(const struct gw_agg_plan *p, const void *state, const struct gw_agg_spec *spec, struct gw_mw *w,
                    const struct gw_mw_point *point);
void gw_agg_big_save(const struct gw_agg_plan *p, const void *state, struct gw_buf *out);
int gw_agg_big_restore(const struct gw_agg_plan *p, void *state, struct gw_heap *heap, struct gw_slice *from);

#endif
