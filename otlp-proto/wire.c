/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp-proto/wire.h"

#include <errno.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-width values are read in place");

const uint8_t *gw_varint_get(const uint8_t *p, const uint8_t *end, unsigned max, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < max; i++) {
        if (p + i >= end)
            return NULL;
        v |= (uint64_t)(p[i] & 0x7f) << (i * 7);
        if (p[i] < 0x80) {
            *ret = v;
            return p + i + 1;
        }
    }
    return NULL;
}

/* A tag: at most five bytes and 32 bits, field number not 0. */
static const uint8_t *tag_get(const uint8_t *p, const uint8_t *end, uint32_t *ret, const char **ret_why)
{
    uint64_t tag;

    p = gw_varint_get(p, end, 5, &tag);
    if (!p)
        *ret_why = "tag cut off or longer than five bytes";
    else if (tag > UINT32_MAX)
        *ret_why = "tag over 32 bits";
    else if (tag < 8)
        *ret_why = "field number 0";
    else {
        *ret = (uint32_t)tag;
        return p;
    }
    return NULL;
}

/* End of a value that is no group. */
static const uint8_t *value_end(const uint8_t *p, const uint8_t *end, uint32_t tag, struct gw_wire_field *f,
                                const char **ret_why)
{
    size_t left = (size_t)(end - p);
    uint64_t n = 0;

    f->val = gw_slice_of(p, 0);
    switch (tag & 7) {
    case GW_VARINT:
        p = gw_varint_get(p, end, GW_VARINT_MAX, &f->varint);
        *ret_why = "varint cut off or longer than ten bytes";
        break;
    case GW_I64:
        p = left < 8 ? NULL : p + 8;
        *ret_why = "eight-byte value cut off";
        break;
    case GW_I32:
        p = left < 4 ? NULL : p + 4;
        *ret_why = "four-byte value cut off";
        break;
    case GW_LEN:
        p = gw_varint_get(p, end, 5, &n);
        *ret_why = "length cut off or longer than five bytes";
        if (!p)
            break;
        *ret_why = "length reaches over the end";
        f->val = gw_slice_of(p, n);
        return n > (size_t)(end - p) ? NULL : p + n;
    case GW_EGROUP:
        *ret_why = "end of a group that did not begin";
        return NULL;
    default:
        *ret_why = "wire type 6 or 7";
        return NULL;
    }
    if (p)
        f->val.n = (size_t)(p - f->val.p);
    return p;
}

const uint8_t *gw_wire_skip(const uint8_t *p, const uint8_t *end, uint32_t tag, const char **ret_why)
{
    uint32_t open[GW_GROUPS_MAX]; /* field numbers */
    unsigned n_open = 0;
    struct gw_wire_field f;

    for (;;) {
        if ((tag & 7) == GW_SGROUP) {
            if (n_open == GW_GROUPS_MAX) {
                *ret_why = "groups nested too deeply";
                return NULL;
            }
            open[n_open++] = tag >> 3;
        } else if ((tag & 7) == GW_EGROUP && n_open) {
            if (open[--n_open] != tag >> 3) {
                *ret_why = "end of another group";
                return NULL;
            }
        } else {
            p = value_end(p, end, tag, &f, ret_why);
        }
        if (!p || !n_open)
            return p;
        p = tag_get(p, end, &tag, ret_why);
        if (!p)
            return NULL;
    }
}

/* Most fields: a tag of one byte, a length of one or two. */
static inline bool next_usual(struct gw_wire_walk *w, struct gw_wire_field *f)
{
    const uint8_t *p = w->p;
    size_t left = (size_t)(w->end - p), n, header = 2;

    if (left < 3 || (p[0] & 0x87) != GW_LEN || p[0] < 8)
        return false;
    n = p[1];
    if (n >= 0x80) {
        if (p[2] >= 0x80)
            return false;
        n = (n & 0x7f) | (size_t)p[2] << 7;
        header = 3;
    }
    if (n > left - header)
        return false;
    f->number = p[0] >> 3;
    f->wire = GW_LEN;
    f->at = p;
    f->val = gw_slice_of(p + header, n);
    w->p = p + header + n;
    return true;
}

int gw_wire_next(struct gw_wire_walk *w, struct gw_wire_field *f)
{
    const uint8_t *p;
    uint32_t tag;

    if (next_usual(w, f))
        return 1;
    if (w->p == w->end)
        return 0;
    f->at = w->bad = w->p;
    p = tag_get(w->p, w->end, &tag, &w->why);
    if (!p)
        return -EBADMSG;
    f->number = tag >> 3;
    f->wire = tag & 7;
    if (f->wire == GW_SGROUP) {
        f->val.p = p;
        p = gw_wire_skip(p, w->end, tag, &w->why);
        f->val.n = p ? (size_t)(p - f->val.p) : 0;
    } else {
        p = value_end(p, w->end, tag, f, &w->why);
    }
    if (!p)
        return -EBADMSG;
    w->p = p;
    return 1;
}
