/* SPDX-License-Identifier: Apache-2.0 */
/* What all signals share: errors, attributes, values of any type, resources, scopes. */
#include "otlp-proto/decode_priv.h"

const uint8_t *gw_dec_fail(struct gw_dec *d, int code, const uint8_t *at, const char *message, const char *why)
{
    d->rc = code;
    if (code < 0)
        (void)gw_fail(d->err, code, "%s: %s, at byte %td", message, why, at - d->start);
    return NULL;
}

static const uint8_t *odd(struct gw_dec *d, const uint8_t *at)
{
    return gw_dec_fail(d, GW_ODD, at, "", "");
}

uint32_t gw_dec_tag_slow(struct gw_dec *d, const uint8_t **p, const uint8_t *end, const char *message)
{
    const uint8_t *at = *p - 1;
    uint64_t tag = 0;
    const uint8_t *q = gw_varint_get(at, end, 5, &tag);

    if (q && tag >= 8 && tag <= UINT32_MAX) {
        *p = q;
        return (uint32_t)tag;
    }
    gw_dec_fail(d, -EBADMSG, at, message,
                !q                 ? end - at < 5 ? "tag reaches over the end" : "tag longer than five bytes"
                : tag > UINT32_MAX ? "tag over 32 bits"
                                   : "field number 0");
    return 0;
}

bool gw_dec_len_slow(struct gw_dec *d, const uint8_t **p, const uint8_t *end, uint32_t *ret, const char *message)
{
    uint64_t n;
    const uint8_t *q = gw_varint_get(*p, end, 5, &n);

    if (!q || n > INT32_MAX) {
        gw_dec_fail(d, -EBADMSG, *p, message,
                    q              ? "length over 31 bits"
                    : end - *p < 5 ? "length reaches over the end"
                                   : "length longer than five bytes");
        return false;
    }
    *ret = (uint32_t)n;
    *p = q;
    return true;
}

const uint8_t *gw_dec_unknown(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end, uint32_t tag,
                              uint32_t known, const char *message)
{
    const char *why;

    if (tag == 0)
        return NULL; /* failed already */
    if (tag >> 3 < 32 && known >> (tag >> 3) & 1) {
        d->rc = -EBADMSG;
        (void)gw_fail(d->err, -EBADMSG, "%s: field %u has wire type %u, at byte %td", message, tag >> 3, tag & 7,
                      at - d->start);
        return NULL;
    }
    if (p > end)
        return gw_dec_fail(d, -EBADMSG, at, message, "tag reaches over the end");
    p = gw_wire_skip(p, end, tag, &why);
    return p ? p : gw_dec_fail(d, -EBADMSG, at, message, why);
}

bool gw_dec_within_budget(struct gw_dec *d)
{
    uint64_t rows = d->b->n_rows - d->first_row;

    d->charged += (uint64_t)(d->b->n_attrs + d->n_passed - d->attrs_charged) * sizeof(struct gw_attr);
    d->attrs_charged = d->b->n_attrs + d->n_passed;
    if (GW_LIKELY(d->charged <= d->budget + rows * d->row_spare))
        return true;
    gw_dec_fail(d, -E2BIG, d->start, "request", "decodes to more memory than its size allows");
    return false;
}

bool gw_dec_attr_grow(struct gw_dec *d)
{
    if (!gw_dec_within_budget(d))
        return false;
    if (gw_batch_reserve_attrs(d->b, 1) < 0) {
        gw_dec_fail(d, -ENOMEM, d->start, "request", "out of memory");
        return false;
    }
    return true;
}

bool gw_dec_reserve(struct gw_dec *d, void **table, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    d->charged += item_bytes;
    if (GW_LIKELY(n < *cap))
        return true;
    if (!gw_dec_within_budget(d))
        return false;
    if (gw_batch_reserve_table(d->b, table, n, cap, item_bytes, 1) < 0) {
        gw_dec_fail(d, -ENOMEM, d->start, "request", "out of memory");
        return false;
    }
    return true;
}

/* ---- nested values: checked, not decoded -------------------------------------------------------------------- */

enum shape { IN_ARRAY, IN_KVLIST, IN_KV, IN_ANY };

struct nest {
    const uint8_t *end;
    uint8_t shape, seen; /* IN_KV: bit 0 key, bit 1 value; IN_ANY: bit 0 any member */
};

static const char *const shape_names[] = {"ArrayValue", "KeyValueList", "KeyValue", "AnyValue"};
static const uint32_t shape_known[] = {1u << 1, 1u << 1, 7u << 1, 0xffu << 1};

/* A leaf of a nested KeyValue or AnyValue, p behind the tag: its end. */
static const uint8_t *nested_leaf(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t tag,
                                  const char *message)
{
    struct gw_ref text;
    uint64_t v;
    uint32_t n;

    switch (tag & 7) {
    case GW_VARINT:
        return gw_dec_varint(d, &p, &v, message) ? p : NULL;
    case GW_I64:
        return p + 8;
    default:
        break;
    }
    if (tag == GW_TAG(1, GW_LEN))
        return gw_dec_string(d, &p, end, &text, message) ? p : NULL;
    return gw_dec_len(d, &p, end, &n, message) ? p + n : NULL;
}

/*
 * The shape of what a nested tag opens, or -1 for a leaf, -2 for a field that is not ours. A member that merges with
 * an earlier one, or a value before its key, makes the request odd: readers of nested values need not know of those.
 */
static int nested_field(struct nest *f, uint32_t tag, bool *odd_one)
{
    switch (f->shape) {
    case IN_ARRAY:
        return tag == GW_TAG(1, GW_LEN) ? IN_ANY : -2;
    case IN_KVLIST:
        return tag == GW_TAG(1, GW_LEN) ? IN_KV : -2;
    case IN_KV:
        if (tag == GW_TAG(1, GW_LEN)) {
            *odd_one = f->seen != 0;
            f->seen |= 1;
            return -1;
        }
        if (tag == GW_TAG(2, GW_LEN)) {
            *odd_one = f->seen & 2;
            f->seen |= 2;
            return IN_ANY;
        }
        return tag == GW_TAG(3, GW_VARINT) ? -1 : -2;
    default:
        break;
    }
    switch (tag) {
    case GW_TAG(1, GW_LEN):
    case GW_TAG(2, GW_VARINT):
    case GW_TAG(3, GW_VARINT):
    case GW_TAG(4, GW_I64):
    case GW_TAG(5, GW_LEN):
    case GW_TAG(6, GW_LEN):
    case GW_TAG(7, GW_LEN):
    case GW_TAG(8, GW_VARINT):
        *odd_one = f->seen;
        f->seen = 1;
        return tag == GW_TAG(5, GW_LEN) ? IN_ARRAY : tag == GW_TAG(6, GW_LEN) ? IN_KVLIST : -1;
    default:
        return -2;
    }
}

/* Body of an ArrayValue or KeyValueList that is the value of an attribute or a log body. */
static const uint8_t *check_nested(struct gw_dec *d, const uint8_t *p, const uint8_t *end, enum shape shape)
{
    struct nest stack[3 * GW_DEPTH_MAX + 1];
    unsigned n = 1, depth = 1; /* the AnyValue around us */
    unsigned max_depth = d->limits->depth < GW_DEPTH_MAX ? d->limits->depth : GW_DEPTH_MAX;

    stack[0] = (struct nest){end, (uint8_t)shape, 0};
    for (;;) {
        struct nest *f = &stack[n - 1];
        const char *name = shape_names[f->shape];
        const uint8_t *at = p;
        bool odd_one = false;
        uint32_t tag, len;
        int opens;

        if (p >= f->end) {
            if (!gw_dec_end(d, p, f->end, name))
                return NULL;
            depth -= f->shape == IN_ANY;
            if (--n == 0)
                return p;
            continue;
        }
        tag = gw_dec_tag(d, &p, f->end, name);
        opens = nested_field(f, tag, &odd_one);
        if (odd_one)
            return odd(d, at);
        if (opens == -1) {
            p = nested_leaf(d, p, f->end, tag, name);
        } else if (opens == -2) {
            p = gw_dec_unknown(d, at, p, f->end, tag, shape_known[f->shape], name);
        } else {
            if (!gw_dec_len(d, &p, f->end, &len, name))
                return NULL;
            if (opens == IN_ANY && ++depth > max_depth)
                return gw_dec_fail(d, -E2BIG, at, name, "values nested too deeply");
            stack[n++] = (struct nest){p + len, (uint8_t)opens, 0};
        }
        if (!p)
            return NULL;
    }
}

/* ---- values and attributes ---------------------------------------------------------------------------------- */

static const uint8_t *any_collection(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                                     enum gw_value_type kind, uint8_t *type, union gw_val *val)
{
    uint32_t n;

    if (*type == kind)
        return odd(d, at); /* two pieces of one list */
    if (!gw_dec_len(d, &p, end, &n, "AnyValue"))
        return NULL;
    *type = (uint8_t)kind;
    val->ref = (struct gw_ref){(uint32_t)(p - d->base), n};
    return check_nested(d, p, p + n, kind == GW_V_ARRAY ? IN_ARRAY : IN_KVLIST);
}

const uint8_t *gw_dec_any(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint8_t *type, union gw_val *val)
{
    static const char name[] = "AnyValue";
    uint32_t n;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);
        uint64_t v;

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            if (!gw_dec_string(d, &p, end, &val->ref, name))
                return NULL;
            *type = GW_V_STRING;
            break;
        case GW_TAG(2, GW_VARINT):
        case GW_TAG(3, GW_VARINT):
            if (!gw_dec_varint(d, &p, &v, name))
                return NULL;
            *type = tag == GW_TAG(2, GW_VARINT) ? GW_V_BOOL : GW_V_INT;
            val->u64 = *type == GW_V_BOOL ? v != 0 : v;
            break;
        case GW_TAG(4, GW_I64):
            val->u64 = gw_load64(p);
            *type = GW_V_DOUBLE;
            p += 8;
            break;
        case GW_TAG(5, GW_LEN):
        case GW_TAG(6, GW_LEN):
            p = any_collection(d, at, p, end, tag == GW_TAG(5, GW_LEN) ? GW_V_ARRAY : GW_V_KVLIST, type, val);
            break;
        case GW_TAG(7, GW_LEN):
            if (!gw_dec_len(d, &p, end, &n, name))
                return NULL;
            *type = GW_V_BYTES;
            val->ref = (struct gw_ref){(uint32_t)(p - d->base), n};
            p += n;
            break;
        case GW_TAG(8, GW_VARINT): /* an index into a profile's string table: no value here */
            if (!gw_dec_varint(d, &p, &v, name))
                return NULL;
            *type = GW_V_EMPTY;
            val->u64 = 0;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0xffu << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

/* Any KeyValue. p behind its length. */
static const uint8_t *attr_slow(struct gw_dec *d, const uint8_t *tag_at, const uint8_t *p, const uint8_t *end,
                                struct gw_attr *a)
{
    static const char name[] = "KeyValue";
    uint8_t type = GW_V_EMPTY;
    union gw_val val = {.u64 = 0};

    *a = (struct gw_attr){.kv_off = (uint32_t)(tag_at - d->base)};
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name), n;
        struct gw_ref key;
        uint64_t v;

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            if (!gw_dec_string(d, &p, end, &key, name))
                return NULL;
            if (key.len > UINT16_MAX)
                return gw_dec_fail(d, -E2BIG, at, name, "key longer than 65535 bytes");
            if (key.off - a->kv_off > UINT8_MAX)
                return odd(d, at);
            a->klen = (uint16_t)key.len;
            a->kdelta = (uint8_t)(key.off - a->kv_off);
            break;
        case GW_TAG(2, GW_LEN):
            if (!gw_dec_len(d, &p, end, &n, name))
                return NULL;
            p = gw_dec_any(d, p, p + n, &type, &val);
            break;
        case GW_TAG(3, GW_VARINT):
            p = gw_dec_varint(d, &p, &v, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 7u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    a->type = type;
    a->val = val;
    return gw_dec_end(d, p, end, name);
}

/* The value of a usual KeyValue, v at its AnyValue's body, which ends with the KeyValue. Gives 0 for an unusual one. */
static inline unsigned usual_value(struct gw_dec *d, const uint8_t *v, const uint8_t *end, union gw_val *val)
{
    size_t n = (size_t)(end - v);
    uint32_t len;

    switch (v[0]) {
    case GW_TAG(1, GW_LEN):
        len = v[1];
        v += 2;
        if (len >= 0x80) {
            if (*v >= 0x80)
                return 0;
            len = (len & 0x7f) | (uint32_t)*v++ << 7;
        }
        if (v + len != end || !gw_utf8_padded(v, len))
            return 0;
        val->ref = (struct gw_ref){(uint32_t)(v - d->base), len};
        return GW_V_STRING;
    case GW_TAG(2, GW_VARINT):
        val->u64 = v[1];
        return n == 2 && v[1] < 2 ? GW_V_BOOL : 0;
    case GW_TAG(3, GW_VARINT):
        return gw_varint_get(v + 1, end, GW_VARINT_MAX, &val->u64) == end ? GW_V_INT : 0;
    case GW_TAG(4, GW_I64):
        val->u64 = gw_load64(v + 1);
        return n == 9 ? GW_V_DOUBLE : 0;
    default:
        return 0;
    }
}

/*
 * Nearly every KeyValue is: key shorter than 128 bytes, then one value, a string or a number, and nothing else. Told
 * apart with few branches; all others take attr_slow, which also finds the words for what is wrong.
 */
static inline bool attr_usual(struct gw_dec *d, const uint8_t *tag_at, const uint8_t *p, uint32_t len,
                              struct gw_attr *a)
{
    const uint8_t *end = p + len, *v;
    uint32_t klen = p[1], vlen;
    unsigned type;

    if (len < 2 || p[0] != GW_TAG(1, GW_LEN) || klen >= 0x80 || klen + 5 > len)
        return false;
    v = p + 2 + klen;
    vlen = v[1];
    if (v[0] != GW_TAG(2, GW_LEN))
        return false;
    v += 2;
    if (vlen >= 0x80) {
        if (*v >= 0x80)
            return false;
        vlen = (vlen & 0x7f) | (uint32_t)*v++ << 7;
    }
    if (v + vlen != end || vlen < 2 || !gw_utf8_padded(p + 2, klen))
        return false;
    type = usual_value(d, v, end, &a->val);
    a->kv_off = (uint32_t)(tag_at - d->base);
    a->klen = (uint16_t)klen;
    a->kdelta = (uint8_t)(p + 2 - tag_at);
    a->type = (uint8_t)type;
    return type != 0;
}

const uint8_t *gw_dec_attr(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                           struct gw_range *range)
{
    struct gw_batch *b = d->b;
    struct gw_attr *a;
    uint32_t len, i = b->n_attrs;

    if (GW_UNLIKELY(range->end != i)) {
        if (range->begin != range->end)
            return odd(d, at); /* attributes in two places, those of a child between them */
        range->begin = i;
    }
    if (!gw_dec_len(d, &p, end, &len, "KeyValue"))
        return NULL;
    if (GW_UNLIKELY(i == b->cap_attrs) && !gw_dec_attr_grow(d))
        return NULL;
    a = &b->attrs[i];
    if (GW_UNLIKELY(!attr_usual(d, at, p, len, a)) && !attr_slow(d, at, p, p + len, a))
        return NULL;
    b->n_attrs = range->end = i + 1;
    return p + len;
}

/* ---- resource and scope ------------------------------------------------------------------------------------- */

static const uint8_t *entity_ref(struct gw_dec *d, const uint8_t *p, const uint8_t *end)
{
    static const char name[] = "EntityRef";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);
        struct gw_ref text;

        if ((tag & 7) == GW_LEN && tag >> 3 <= 4)
            p = gw_dec_string(d, &p, end, &text, name) ? p : NULL;
        else
            p = gw_dec_unknown(d, at, p, end, tag, 0xfu << 1, name);
        if (!p)
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_resource(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_resource *r)
{
    static const char name[] = "Resource";

    r->raw = (struct gw_ref){(uint32_t)(p - d->base), (uint32_t)(end - p)};
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name), n;
        uint64_t v;

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &r->attrs);
            break;
        case GW_TAG(2, GW_VARINT):
            p = gw_dec_varint(d, &p, &v, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_len(d, &p, end, &n, name) ? entity_ref(d, p, p + n) : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 7u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_scope(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_scope *s)
{
    static const char name[] = "InstrumentationScope";

    s->raw = (struct gw_ref){(uint32_t)(p - d->base), (uint32_t)(end - p)};
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);
        uint64_t v;

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_string(d, &p, end, &s->name, name) ? p : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_string(d, &p, end, &s->version, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &s->attrs);
            break;
        case GW_TAG(4, GW_VARINT):
            p = gw_dec_varint(d, &p, &v, name) ? p : NULL;
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0xfu << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}
