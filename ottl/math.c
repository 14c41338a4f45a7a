/* SPDX-License-Identifier: Apache-2.0 */
/* Ints wrap, as Go's do; an int and a double make a double; times and durations know + and - only. */
#include "ottl/expr.h"

static bool int_math(struct gw_ottl_run *r, int64_t a, char op, int64_t b, struct gw_ottl_value *ret)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;

    if (op == '/' && b == 0)
        return gw_ottl_fail(r, -EINVAL, "attempted to divide by 0");
    if (op == '/') /* the smallest int by -1 is itself */
        *ret = gw_ottl_int(b == -1 ? (int64_t)(0 - x) : a / b);
    else
        *ret = gw_ottl_int((int64_t)(op == '+' ? x + y : op == '-' ? x - y : x * y));
    return true;
}

static bool double_math(struct gw_ottl_run *r, double a, char op, double b, struct gw_ottl_value *ret)
{
    if (op == '/' && b == 0)
        return gw_ottl_fail(r, -EINVAL, "attempted to divide by 0");
    *ret = gw_ottl_double(op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b);
    return true;
}

static bool is_number(const struct gw_ottl_value *v)
{
    return v->type == GW_OT_INT || v->type == GW_OT_DOUBLE;
}

static double as_double(const struct gw_ottl_value *v)
{
    return v->type == GW_OT_INT ? (double)v->i : v->f;
}

/* A time and a duration in nanoseconds. */
static struct gw_ottl_value shift(const struct gw_ottl_value *time, int64_t ns)
{
    struct gw_ottl_value v = *time;
    int64_t rest = (int64_t)v.time.ns + ns % 1000000000;

    v.time.seconds =
        (int64_t)((uint64_t)v.time.seconds + (uint64_t)(ns / 1000000000 + (rest < 0 ? -1 : rest >= 1000000000)));
    v.time.ns = (uint32_t)(rest < 0 ? rest + 1000000000 : rest >= 1000000000 ? rest - 1000000000 : rest);
    return v;
}

/* Go's Time.Sub: held at the ends of what a duration can be. */
static int64_t difference(const struct gw_ottl_value *a, const struct gw_ottl_value *b)
{
    int64_t seconds, ns;

    if (__builtin_sub_overflow(a->time.seconds, b->time.seconds, &seconds) ||
        __builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)a->time.ns - (int64_t)b->time.ns, &ns))
        return a->time.seconds < b->time.seconds ? INT64_MIN : INT64_MAX;
    return ns;
}

static bool time_math(struct gw_ottl_run *r, const struct gw_ottl_value *a, char op, const struct gw_ottl_value *b,
                      struct gw_ottl_value *ret)
{
    bool time_first = a->type == GW_OT_TIME;

    if (op != '+' && op != '-')
        return gw_ottl_fail(r, -EINVAL, "only addition and subtraction supported for time.Time and time.Duration");
    if (time_first && b->type == GW_OT_TIME && op == '-')
        *ret = gw_ottl_duration(difference(a, b));
    else if (time_first && b->type == GW_OT_DURATION)
        *ret = shift(a, op == '+' ? b->i : (int64_t)(0 - (uint64_t)b->i));
    else if (!time_first && b->type == GW_OT_TIME && op == '+')
        *ret = shift(b, a->i);
    else if (!time_first && b->type == GW_OT_DURATION)
        *ret =
            gw_ottl_duration((int64_t)(op == '+' ? (uint64_t)a->i + (uint64_t)b->i : (uint64_t)a->i - (uint64_t)b->i));
    else
        return gw_ottl_fail(r, -EINVAL, "%s %c %s is not possible", gw_ottl_type_name(a), op, gw_ottl_type_name(b));
    return true;
}

bool gw_ottl_math(struct gw_ottl_run *r, const struct gw_ottl_value *a, char op, const struct gw_ottl_value *b,
                  struct gw_ottl_value *ret)
{
    if (a->type == GW_OT_INT && b->type == GW_OT_INT)
        return int_math(r, a->i, op, b->i, ret);
    if (is_number(a) && is_number(b))
        return double_math(r, as_double(a), op, as_double(b), ret);
    if (a->type == GW_OT_TIME || a->type == GW_OT_DURATION)
        return time_math(r, a, op, b, ret);
    return gw_ottl_fail(r, -EINVAL, "%s %c %s is not possible: numbers, times and durations can be calculated with",
                        gw_ottl_type_name(a), op, gw_ottl_type_name(b));
}

bool gw_ottl_negate(struct gw_ottl_run *r, struct gw_ottl_value *v)
{
    if (v->type == GW_OT_INT)
        v->i = (int64_t)(0 - (uint64_t)v->i);
    else if (v->type == GW_OT_DOUBLE)
        v->f = -v->f;
    else
        return gw_ottl_fail(r, -EINVAL, "- of a %s is not possible", gw_ottl_type_name(v));
    return true;
}
