/* SPDX-License-Identifier: Apache-2.0 */
/* Converters that ask what a value is, and look into lists and maps. */
#include "ottl/expr.h"

#define IS(name, kind)                                                                                                 \
    GW_OTTL_RUN(gw_ottl_run_is_##name)                                                                                 \
    {                                                                                                                  \
        (void)r, (void)call;                                                                                           \
        *ret = gw_ottl_bool(args[0].type == GW_OT_##kind);                                                             \
        return true;                                                                                                   \
    }

IS(string, STRING)
IS(int, INT)
IS(double, DOUBLE)
IS(bool, BOOL)
IS(map, MAP)

GW_OTTL_RUN(gw_ottl_run_is_list)
{
    const struct gw_ottl_value *v = &args[0];

    (void)r, (void)call;
    *ret = gw_ottl_bool((v->type == GW_OT_LIST && v->form != GW_OF_COUNTS) ||
                        (v->type == GW_OT_OTHER && v->form == GW_OF_SLICE));
    return true;
}

static bool is_zero(const uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* Go's idea of a zero value: "", 0, false, an id of zeros, the first instant of the year 1. */
GW_OTTL_RUN(gw_ottl_run_is_empty)
{
    const struct gw_ottl_value *v = &args[0];
    bool empty = false;

    (void)call;
    switch ((enum gw_ottl_type)v->type) {
    case GW_OT_NIL:
        empty = true;
        break;
    case GW_OT_BOOL:
        empty = !v->b;
        break;
    case GW_OT_INT:
    case GW_OT_DURATION:
        empty = v->i == 0;
        break;
    case GW_OT_DOUBLE:
        empty = v->i == 0; /* -0 is not zero to reflect */
        break;
    case GW_OT_STRING:
    case GW_OT_BYTES:
        empty = v->s.n == 0;
        break;
    case GW_OT_TIME:
        empty = v->time.seconds == INT64_C(-62135596800) && v->time.ns == 0;
        break;
    case GW_OT_MAP:
    case GW_OT_LIST:
        empty = gw_ottl_count(r, v) == 0;
        break;
    case GW_OT_TRACE_ID:
    case GW_OT_SPAN_ID:
        empty = is_zero(v->id, v->type == GW_OT_TRACE_ID ? 16 : 8);
        break;
    case GW_OT_OTHER:
    case GW_OT_ANY:
        break;
    }
    *ret = gw_ottl_bool(empty);
    return true;
}

GW_OTTL_RUN(gw_ottl_run_is_root_span)
{
    struct gw_ottl_value id;

    (void)call, (void)args;
    gw_ottl_parent_get(r, &id);
    *ret = gw_ottl_bool(is_zero(id.id, 8));
    return true;
}

/* Int, Double, Bool, String: the parameter's conversion was all. */
GW_OTTL_RUN(gw_ottl_run_same)
{
    (void)r, (void)call;
    *ret = args[0];
    return true;
}

GW_OTTL_RUN(gw_ottl_run_len)
{
    const struct gw_ottl_value *v = &args[0];

    (void)call;
    if (v->type == GW_OT_STRING || v->type == GW_OT_BYTES)
        *ret = gw_ottl_int((int64_t)v->s.n);
    else if (v->type == GW_OT_MAP || v->type == GW_OT_LIST || (v->type == GW_OT_OTHER && v->form == GW_OF_SLICE))
        *ret = gw_ottl_int(gw_ottl_count(r, v));
    else
        return gw_ottl_fail(r, -EINVAL, "a %s has no length", gw_ottl_type_name(v));
    return true;
}

/* The position of an element that is equal, -1: there is none. */
static int64_t position(struct gw_ottl_run *r, const struct gw_ottl_value *list, const struct gw_ottl_value *value)
{
    struct gw_ottl_value item;
    struct gw_ottl_iter it;

    gw_ottl_begin(r, list, &it);
    for (int64_t i = 0; gw_ottl_next_item(&it, &item); i++)
        if (gw_ottl_item_equal(r, &item, value))
            return i;
    return -1;
}

GW_OTTL_RUN(gw_ottl_run_contains_value)
{
    (void)call;
    *ret = gw_ottl_bool(position(r, &args[0], &args[1]) >= 0);
    return r->error == 0;
}

GW_OTTL_RUN(gw_ottl_run_index)
{
    const struct gw_ottl_value *target = &args[0], *value = &args[1];
    const uint8_t *p;

    (void)call;
    if (target->type == GW_OT_STRING) {
        if (value->type != GW_OT_STRING)
            return gw_ottl_fail(r, -EINVAL, "in a string, a string can be looked for, not a %s",
                                gw_ottl_type_name(value));
        p = value->s.n ? memmem(target->s.p, target->s.n, value->s.p, value->s.n) : target->s.p;
        *ret = gw_ottl_int(value->s.n == 0 ? 0 : p ? p - target->s.p : -1);
        return true;
    }
    if (target->type != GW_OT_LIST)
        return gw_ottl_fail(r, -EINVAL, "expected pcommon.Slice but got %s", gw_ottl_type_name(target));
    *ret = gw_ottl_int(position(r, target, value));
    return r->error == 0;
}

GW_OTTL_RUN(gw_ottl_run_keys)
{
    size_t begin = r->buf->n;
    struct gw_ottl_value value;
    struct gw_ottl_iter it;
    struct gw_value key = {.type = GW_V_STRING};

    (void)call;
    gw_ottl_begin(r, &args[0], &it);
    while (gw_ottl_next_pair(&it, &key.s, &value))
        gw_value_put_item(r->buf, &key);
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_WIRE};
    return gw_ottl_take_buf(r, begin, &ret->s);
}

/* Only as far as it must: what stands behind the first value is not looked at. */
GW_OTTL_RUN(gw_ottl_run_coalesce)
{
    const struct gw_ottl_expr *list = call->args[0];

    (void)args;
    *ret = (struct gw_ottl_value){.type = GW_OT_NIL};
    if (list->n == 0)
        return gw_ottl_fail(r, -EINVAL, "needs at least one value");
    for (uint32_t i = 0; i < list->n && ret->type == GW_OT_NIL; i++)
        if (!gw_ottl_eval(r, list->kids[i], ret))
            return false;
    return true;
}

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes, or twice as many hexadecimal digits. */
static bool id_of(struct gw_ottl_run *r, const struct gw_ottl_value *from, unsigned n, struct gw_ottl_value *ret)
{
    struct gw_slice s = from->type == GW_OT_NIL ? GW_SLICE("") : from->s;

    *ret = (struct gw_ottl_value){.type = n == 16 ? GW_OT_TRACE_ID : GW_OT_SPAN_ID};
    if (s.n == n) {
        memcpy(ret->id, s.p, n);
        return true;
    }
    if (s.n != n * 2)
        return gw_ottl_fail(r, -EINVAL, "could not decode ID: invalid length: expected %u or %u bytes, got %zu", n,
                            n * 2, s.n);
    for (unsigned i = 0; i < n; i++) {
        int high = nibble(s.p[2 * i]), low = nibble(s.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return gw_ottl_fail(r, -EINVAL, "could not decode ID: invalid hex");
        ret->id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

GW_OTTL_RUN(gw_ottl_run_trace_id)
{
    (void)call;
    return id_of(r, &args[0], 16, ret);
}

GW_OTTL_RUN(gw_ottl_run_span_id)
{
    (void)call;
    return id_of(r, &args[0], 8, ret);
}
