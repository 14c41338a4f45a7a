/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "processors/rollup/rollup.h"

const char *const gw_ru_fn_names[] = {"count", "sum", "min", "max", "avg", NULL};

/* Neumaier's sum; an infinity has no remainder. */
static void sum_add(struct gw_ru_state *s, double v)
{
    double sum = s->sum + v;

    if (isfinite(sum))
        s->lost += fabs(s->sum) >= fabs(v) ? s->sum - sum + v : v - sum + s->sum;
    s->sum = sum;
}

void gw_ru_state_add(struct gw_ru_state *s, double v)
{
    sum_add(s, v);
    if (s->count == 0 || v < s->min)
        s->min = v;
    if (s->count == 0 || v > s->max)
        s->max = v;
    s->count++;
}

void gw_ru_state_merge(struct gw_ru_state *s, const struct gw_ru_state *other)
{
    if (other->count == 0)
        return;
    sum_add(s, other->sum);
    s->lost += other->lost;
    if (s->count == 0 || other->min < s->min)
        s->min = other->min;
    if (s->count == 0 || other->max > s->max)
        s->max = other->max;
    s->count += other->count;
}
