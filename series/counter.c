/* SPDX-License-Identifier: Apache-2.0 */
#include "series/counter.h"

#include <math.h>

static double double_of(const struct gw_agg_number *n)
{
    return n->is_int ? (double)n->i : n->d;
}

bool gw_counter_is_point(const struct gw_counter_point *p)
{
    double value = double_of(&p->value);

    return isfinite(value) && value >= 0 && p->time_ns >= p->start_ns;
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Two that a double cannot tell apart are told apart as integers. */
static int by_value(const struct gw_agg_number *a, const struct gw_agg_number *b)
{
    double x = double_of(a), y = double_of(b);

    if (x != y)
        return x < y ? -1 : 1;
    if (a->is_int != b->is_int)
        return a->is_int ? -1 : 1;
    return a->is_int ? (a->i > b->i) - (a->i < b->i) : 0;
}

int gw_counter_compare(const struct gw_counter_point *a, const struct gw_counter_point *b)
{
    int rc = by_number(a->time_ns, b->time_ns);

    rc = rc ? rc : by_number(a->start_ns, b->start_ns);
    return rc ? rc : by_value(&a->value, &b->value);
}

struct gw_agg_number gw_counter_increase(const struct gw_counter_point *before, const struct gw_counter_point *p)
{
    bool is_new = p->start_ns > before->start_ns && p->start_ns >= before->time_ns;

    if (p->value.is_int && before->value.is_int) {
        if (is_new || p->value.i < before->value.i)
            return p->value;
        return (struct gw_agg_number){.is_int = true, .i = p->value.i - before->value.i};
    }
    if (is_new || double_of(&p->value) < double_of(&before->value))
        return p->value;
    return (struct gw_agg_number){.d = double_of(&p->value) - double_of(&before->value)};
}
