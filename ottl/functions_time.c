/* SPDX-License-Identifier: Apache-2.0 */
/* Converters of times and durations. */
#include "ottl/expr.h"
#include "ottl/time.h"

struct layout {
    struct gw_slice text;
    int32_t offset;
};

static int layout_of(struct gw_ottl *o, struct gw_slice text, struct layout **ret, struct gw_err *err)
{
    struct layout *l = gw_arena_zalloc(&o->arena, sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->text = text;
    *ret = l;
    return gw_ottl_layout_check(text, err);
}

GW_OTTL_PREPARE(gw_ottl_prepare_time)
{
    struct layout *l = NULL;
    int r = layout_of(o, constants[1]->s, &l, err);

    call->state = l;
    if (r < 0)
        return r;
    if (constants[2] && constants[2]->s.n && !gw_ottl_zone(constants[2]->s, &l->offset))
        return gw_fail(err, -EINVAL, "the time zone %.*s is not supported yet: only those without daylight saving",
                       (int)(constants[2]->s.n < 60 ? constants[2]->s.n : 60), (const char *)constants[2]->s.p);
    if (constants[3] && !gw_slice_is(constants[3]->s, "en") && !gw_slice_is(constants[3]->s, "en-US"))
        return gw_fail(err, -EINVAL, "the locale %.*s is not supported yet: only en",
                       (int)(constants[3]->s.n < 60 ? constants[3]->s.n : 60), (const char *)constants[3]->s.p);
    return 0;
}

GW_OTTL_RUN(gw_ottl_run_time)
{
    const struct layout *l = call->state;
    struct gw_err err = {""};
    uint64_t now_ns = r->env ? gw_wall_ns(r->env) : 0; /* without: compiled to be checked */

    if (args[0].s.n == 0)
        return gw_ottl_fail(r, -EINVAL, "time cannot be nil");
    if (gw_ottl_time_parse(l->text, args[0].s, l->offset, now_ns, ret, &err) < 0)
        return gw_ottl_fail(r, -EINVAL, "%s", err.text);
    return true;
}

GW_OTTL_PREPARE(gw_ottl_prepare_format_time)
{
    struct layout *l = NULL;
    int r = layout_of(o, constants[1]->s, &l, err);

    call->state = l;
    return r;
}

GW_OTTL_RUN(gw_ottl_run_format_time)
{
    const struct layout *l = call->state;
    size_t begin = r->buf->n;

    gw_ottl_put_time(r->buf, l->text, &args[0]);
    *ret = gw_ottl_string(GW_SLICE(""));
    return gw_ottl_take_buf(r, begin, &ret->s);
}

GW_OTTL_RUN(gw_ottl_run_now)
{
    (void)call, (void)args;
    *ret = gw_ottl_time_of(gw_wall_ns(r->env));
    return true;
}

GW_OTTL_RUN(gw_ottl_run_unix)
{
    int64_t ns = args[1].type == GW_OT_INT ? args[1].i : 0, carry = ns / 1000000000;

    (void)r, (void)call;
    ns %= 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        carry--;
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_TIME};
    ret->time.seconds = (int64_t)((uint64_t)args[0].i + (uint64_t)carry);
    ret->time.ns = (uint32_t)ns;
    return true;
}

/* Seconds times `per` and the part of ns, wrapping as Go's do. */
static bool since_epoch(const struct gw_ottl_value *t, uint64_t per, struct gw_ottl_value *ret)
{
    *ret = gw_ottl_int((int64_t)((uint64_t)t->time.seconds * per + t->time.ns / (1000000000 / per)));
    return true;
}

#define SINCE(name, per)                                                                                               \
    GW_OTTL_RUN(gw_ottl_run_unix_##name)                                                                               \
    {                                                                                                                  \
        (void)r, (void)call;                                                                                           \
        return since_epoch(&args[0], per, ret);                                                                        \
    }
SINCE(seconds, 1)
SINCE(milli, 1000)
SINCE(micro, 1000000)
SINCE(nano, 1000000000)

GW_OTTL_RUN(gw_ottl_run_duration)
{
    int64_t ns;

    (void)call;
    if (!gw_ottl_parse_duration(args[0].s, &ns))
        return gw_ottl_fail(r, -EINVAL, "\"%.*s\" is no duration, as 300ms, 1.5h or 2h45m are",
                            (int)(args[0].s.n < 60 ? args[0].s.n : 60), (const char *)args[0].s.p);
    *ret = gw_ottl_duration(ns);
    return true;
}

/* Go's Hours() and so on: the whole units and the rest apart, so that as little as possible is rounded. */
static bool in_units(const struct gw_ottl_value *d, int64_t unit, struct gw_ottl_value *ret)
{
    *ret = gw_ottl_double((double)(d->i / unit) + (double)(d->i % unit) / (double)unit);
    return true;
}

#define UNITS(name, unit)                                                                                              \
    GW_OTTL_RUN(gw_ottl_run_##name)                                                                                    \
    {                                                                                                                  \
        (void)r, (void)call;                                                                                           \
        return in_units(&args[0], INT64_C(unit), ret);                                                                 \
    }
#define WHOLE(name, unit)                                                                                              \
    GW_OTTL_RUN(gw_ottl_run_##name)                                                                                    \
    {                                                                                                                  \
        (void)r, (void)call;                                                                                           \
        *ret = gw_ottl_int(args[0].i / (unit));                                                                        \
        return true;                                                                                                   \
    }
UNITS(hours, 3600000000000)
UNITS(minutes, 60000000000)
UNITS(seconds, 1000000000)
WHOLE(milliseconds, 1000000)
WHOLE(microseconds, 1000)
WHOLE(nanoseconds, 1)

#define CIVIL(name)                                                                                                    \
    GW_OTTL_RUN(gw_ottl_run_##name)                                                                                    \
    {                                                                                                                  \
        (void)r, (void)call;                                                                                           \
        *ret = gw_ottl_int((int64_t)gw_ottl_civil_of(&args[0]).name);                                                  \
        return true;                                                                                                   \
    }
CIVIL(year)
CIVIL(month)
CIVIL(day)
CIVIL(hour)
CIVIL(minute)
CIVIL(second)
CIVIL(weekday)

GW_OTTL_RUN(gw_ottl_run_nanosecond)
{
    (void)r, (void)call;
    *ret = gw_ottl_int(args[0].time.ns);
    return true;
}
