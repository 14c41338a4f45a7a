/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/types.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/json_writer.h"
#include "ottl/time.h"

bool gw_ottl_fail(struct gw_ottl_run *r, int error, const char *fmt, ...)
{
    va_list ap;

    if (r->error)
        return false;
    r->error = error;
    if (r->err) {
        va_start(ap, fmt);
        (void)vsnprintf(r->err->text, sizeof(r->err->text), fmt, ap);
        va_end(ap);
    }
    return false;
}

bool gw_ottl_starve(struct gw_ottl_run *r)
{
    return gw_ottl_fail(r, -ENOMEM, "out of memory");
}

/* ---- making ----------------------------------------------------------------------------------------------- */

struct gw_ottl_value gw_ottl_time_of(uint64_t ns)
{
    int64_t at = (int64_t)ns, seconds = at / 1000000000, rest = at % 1000000000;

    if (rest < 0) {
        rest += 1000000000;
        seconds--;
    }
    return (struct gw_ottl_value){.type = GW_OT_TIME, .time = {seconds, (uint32_t)rest, 0}};
}

int64_t gw_ottl_time_ns(const struct gw_ottl_value *v)
{
    return (int64_t)((uint64_t)v->time.seconds * 1000000000u + v->time.ns);
}

void gw_ottl_of_value(const struct gw_value *from, struct gw_ottl_value *ret)
{
    static const uint8_t types[] = {[GW_V_EMPTY] = GW_OT_NIL,  [GW_V_STRING] = GW_OT_STRING, [GW_V_BOOL] = GW_OT_BOOL,
                                    [GW_V_INT] = GW_OT_INT,    [GW_V_DOUBLE] = GW_OT_DOUBLE, [GW_V_BYTES] = GW_OT_BYTES,
                                    [GW_V_ARRAY] = GW_OT_LIST, [GW_V_KVLIST] = GW_OT_MAP};

    ret->type = types[from->type];
    ret->form = from->type == GW_V_ARRAY || from->type == GW_V_KVLIST ? GW_OF_WIRE : GW_OF_NONE;
    ret->n = 0;
    if (from->type == GW_V_BOOL)
        ret->b = from->b;
    else if (from->type == GW_V_INT || from->type == GW_V_DOUBLE)
        ret->i = from->i;
    else if (from->type != GW_V_EMPTY)
        ret->s = from->s;
}

bool gw_ottl_take_buf(struct gw_ottl_run *r, size_t begin, struct gw_slice *ret)
{
    bool ok = !r->buf->failed;

    if (ok)
        *ret = gw_arena_dup(r->arena,
                            r->buf->n > begin ? gw_slice_of(r->buf->p + begin, r->buf->n - begin) : GW_SLICE(""));
    r->buf->n = begin;
    r->buf->failed = r->buf->starved = false;
    return (ok && ret->p) || gw_ottl_starve(r);
}

/* Encodes a map or list whose parts are elsewhere. */
static bool encode(struct gw_ottl_run *r, const struct gw_ottl_value *from, struct gw_value *ret)
{
    size_t begin = r->buf->n;
    struct gw_ottl_value part;
    struct gw_ottl_iter it;
    struct gw_slice key;
    struct gw_value v;

    gw_ottl_begin(r, from, &it);
    if (from->type == GW_OT_MAP)
        while (gw_ottl_next_pair(&it, &key, &part)) {
            if (!gw_ottl_to_value(r, &part, &v))
                return false;
            gw_value_put_pair(r->buf, key, &v);
        }
    else
        while (gw_ottl_next_item(&it, &part)) {
            if (!gw_ottl_to_value(r, &part, &v))
                return false;
            gw_value_put_item(r->buf, &v);
        }
    ret->type = from->type == GW_OT_MAP ? GW_V_KVLIST : GW_V_ARRAY;
    return gw_ottl_take_buf(r, begin, &ret->s);
}

bool gw_ottl_to_value(struct gw_ottl_run *r, const struct gw_ottl_value *from, struct gw_value *ret)
{
    *ret = (struct gw_value){.type = GW_V_EMPTY};
    switch ((enum gw_ottl_type)from->type) {
    case GW_OT_NIL:
        return true;
    case GW_OT_BOOL:
        ret->type = GW_V_BOOL;
        ret->b = from->b;
        return true;
    case GW_OT_INT:
        ret->type = GW_V_INT;
        ret->i = from->i;
        return true;
    case GW_OT_DOUBLE:
        ret->type = GW_V_DOUBLE;
        ret->f = from->f;
        return true;
    case GW_OT_STRING:
    case GW_OT_BYTES:
        ret->type = from->type == GW_OT_STRING ? GW_V_STRING : GW_V_BYTES;
        ret->s = from->s;
        return true;
    case GW_OT_MAP:
    case GW_OT_LIST:
        if (from->form != GW_OF_WIRE)
            return encode(r, from, ret);
        ret->type = from->type == GW_OT_MAP ? GW_V_KVLIST : GW_V_ARRAY;
        ret->s = from->s;
        return true;
    case GW_OT_TIME:
    case GW_OT_DURATION:
    case GW_OT_TRACE_ID:
    case GW_OT_SPAN_ID:
    case GW_OT_OTHER:
    case GW_OT_ANY:
        break;
    }
    return gw_ottl_fail(r, -EINVAL, "a map or list cannot hold a %s", gw_ottl_type_name(from));
}

/* ---- maps and lists --------------------------------------------------------------------------------------- */

void gw_ottl_begin(struct gw_ottl_run *r, const struct gw_ottl_value *of, struct gw_ottl_iter *it)
{
    it->of = of;
    it->at = 0;
    it->batch = r->v ? r->v->batch : NULL;
    it->rest = of->form == GW_OF_WIRE ? of->s : (struct gw_slice){NULL, 0};
    if (of->form == GW_OF_OWNER)
        gw_view_attr_begin(r->v, (enum gw_owner)of->owned.owner, of->owned.index, &it->attrs);
}

bool gw_ottl_next_pair(struct gw_ottl_iter *it, struct gw_slice *ret_key, struct gw_ottl_value *ret)
{
    const struct gw_attr *a;
    struct gw_value v;

    if (it->of->form == GW_OF_OWNER) {
        if (!gw_view_attr_next(&it->attrs, ret_key, &v))
            return false;
    } else if (it->of->form == GW_OF_RANGE) {
        if (it->of->range.begin + it->at >= it->of->range.end)
            return false;
        a = &it->batch->attrs[it->of->range.begin + it->at++];
        *ret_key = gw_attr_key(it->batch, a);
        v = gw_value_of(it->batch, a->type, a->val);
    } else if (!gw_value_map_next(&it->rest, ret_key, &v)) {
        return false;
    }
    gw_ottl_of_value(&v, ret);
    return true;
}

bool gw_ottl_next_item(struct gw_ottl_iter *it, struct gw_ottl_value *ret)
{
    struct gw_value v;

    if (it->of->form != GW_OF_WIRE) {
        if (it->at >= it->of->n)
            return false;
        *ret = it->of->items[it->at++];
        return true;
    }
    if (!gw_value_list_next(&it->rest, &v))
        return false;
    gw_ottl_of_value(&v, ret);
    return true;
}

uint32_t gw_ottl_count(struct gw_ottl_run *r, const struct gw_ottl_value *of)
{
    struct gw_ottl_value part;
    struct gw_ottl_iter it;
    struct gw_slice key;
    uint32_t n = 0;

    if (of->form == GW_OF_RANGE)
        return of->range.end - of->range.begin;
    if (of->form >= GW_OF_ITEMS)
        return of->n;
    gw_ottl_begin(r, of, &it);
    while (of->type == GW_OT_MAP ? gw_ottl_next_pair(&it, &key, &part) : gw_ottl_next_item(&it, &part))
        n++;
    return n;
}

bool gw_ottl_map_get(struct gw_ottl_run *r, const struct gw_ottl_value *map, struct gw_slice key,
                     struct gw_ottl_value *ret)
{
    struct gw_ottl_iter it;
    struct gw_slice k;
    struct gw_value v;

    if (map->form == GW_OF_OWNER) {
        if (!gw_view_attr_get(r->v, (enum gw_owner)map->owned.owner, map->owned.index, key, &v))
            return false;
        gw_ottl_of_value(&v, ret);
        return true;
    }
    gw_ottl_begin(r, map, &it);
    while (gw_ottl_next_pair(&it, &k, ret))
        if (gw_slice_eq(k, key))
            return true;
    return false;
}

/* ---- texts ------------------------------------------------------------------------------------------------ */

/* Lists of other forms than WIRE may hold what an attribute cannot. */
static bool put_json(struct gw_ottl_run *r, const struct gw_ottl_value *v, unsigned depth);

/* A pcommon.Map or pcommon.Slice inside []any shows nothing of itself to json.Marshal. */
static bool is_opaque(const struct gw_ottl_value *v)
{
    return v->type == GW_OT_MAP || (v->type == GW_OT_LIST && v->form == GW_OF_WIRE);
}

static bool put_json_items(struct gw_ottl_run *r, const struct gw_ottl_value *v, unsigned depth)
{
    gw_buf_put_u8(r->buf, '[');
    for (uint32_t i = 0; i < v->n; i++) {
        if (i)
            gw_buf_put_u8(r->buf, ',');
        if (is_opaque(&v->items[i]))
            gw_buf_put_str(r->buf, "{}");
        else if (!put_json(r, &v->items[i], depth + 1))
            return false;
    }
    gw_buf_put_u8(r->buf, ']');
    return true;
}

/* An array of bytes is a list of numbers in JSON. */
static void put_id(struct gw_buf *out, const uint8_t *id, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_buf_printf(out, "%c%u", i ? ',' : '[', id[i]);
    gw_buf_put_u8(out, ']');
}

static bool put_json(struct gw_ottl_run *r, const struct gw_ottl_value *v, unsigned depth)
{
    struct gw_value plain;

    if (depth > 64)
        return gw_ottl_fail(r, -EINVAL, "nested deeper than 64");
    switch ((enum gw_ottl_type)v->type) {
    case GW_OT_TIME:
        gw_buf_put_u8(r->buf, '"');
        gw_ottl_put_rfc3339(r->buf, v);
        gw_buf_put_u8(r->buf, '"');
        return true;
    case GW_OT_DURATION:
        gw_json_put_i64(r->buf, v->i);
        return true;
    case GW_OT_TRACE_ID:
        put_id(r->buf, v->id, 16);
        return true;
    case GW_OT_SPAN_ID:
        put_id(r->buf, v->id, 8);
        return true;
    case GW_OT_LIST:
        if (v->form != GW_OF_WIRE)
            return put_json_items(r, v, depth);
        break;
    case GW_OT_DOUBLE:
        if (isnan(v->f) || isinf(v->f))
            return gw_ottl_fail(r, -EINVAL, "unsupported type: float64");
        break;
    case GW_OT_OTHER: /* as of all that shows nothing of itself */
        gw_buf_put_str(r->buf, "{}");
        return true;
    case GW_OT_NIL:
    case GW_OT_BOOL:
    case GW_OT_INT:
    case GW_OT_STRING:
    case GW_OT_BYTES:
    case GW_OT_MAP:
    case GW_OT_ANY:
        break;
    }
    if (!gw_ottl_to_value(r, v, &plain))
        return false;
    gw_value_put_json(r->buf, &plain, r->arena, GW_TEXT_HTML);
    return true;
}

bool gw_ottl_put_text(struct gw_ottl_run *r, const struct gw_ottl_value *v)
{
    if (v->type == GW_OT_STRING)
        gw_buf_put_slice(r->buf, v->s);
    else if (v->type == GW_OT_BYTES)
        gw_put_hex(r->buf, v->s);
    else
        return put_json(r, v, 0);
    return true;
}

bool gw_ottl_text(struct gw_ottl_run *r, const struct gw_ottl_value *v, struct gw_slice *ret)
{
    size_t begin = r->buf->n;

    if (v->type == GW_OT_STRING) {
        *ret = v->s;
        return true;
    }
    if (!gw_ottl_put_text(r, v)) {
        r->buf->n = begin;
        return false;
    }
    return gw_ottl_take_buf(r, begin, ret);
}

const char *gw_ottl_type_name(const struct gw_ottl_value *v)
{
    static const char *const names[] = {"nil",
                                        "bool",
                                        "int64",
                                        "float64",
                                        "string",
                                        "[]byte",
                                        "time.Time",
                                        "time.Duration",
                                        "pcommon.Map",
                                        "pcommon.Slice",
                                        "pcommon.TraceID",
                                        "pcommon.SpanID",
                                        "part of the item",
                                        "any"};

    if (v->type == GW_OT_LIST && v->form == GW_OF_ITEMS)
        return "[]any";
    if (v->type == GW_OT_LIST && v->form == GW_OF_COUNTS)
        return "[]uint64";
    if (v->type == GW_OT_LIST && v->form == GW_OF_TYPED)
        return v->n && v->items[0].type == GW_OT_DOUBLE ? "[]float64" : "[]string";
    return names[v->type];
}
