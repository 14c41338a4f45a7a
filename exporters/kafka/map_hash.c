/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serialised form that is hashed, as the Collector writes it:
 *
 *   map     for every key in byte order: f4 key value          (a map inside a value: fc … fd)
 *   value   f5 empty · f6 bytes · f7 string · f8 true · f9 false · fa int64 LE · fb double LE · fe list ff
 *
 * A key that stands twice is written twice, with its first value both times.
 */
#include "exporters/kafka/map_hash.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAX_DEPTH = 64, MAX_KEYS = 4096 };

/* ---- a little protobuf: messages that the decoder has checked already --------------------------------------- */

struct field {
    uint32_t number, wire;
    uint64_t u64;          /* varint, fixed64 */
    struct gw_slice bytes; /* length-delimited */
};

static bool take_varint(struct gw_slice *s, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
        uint8_t b = *s->p++;

        s->n--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/** The next field, or false at the end and at damage (then s->n > 0). */
static bool take_field(struct gw_slice *s, struct field *f)
{
    struct gw_slice left = *s;
    uint64_t v;

    if (!left.n || !take_varint(&left, &v))
        return false;
    *f = (struct field){.number = (uint32_t)(v >> 3), .wire = v & 7};
    switch (f->wire) {
    case 0:
        if (!take_varint(&left, &f->u64))
            return false;
        break;
    case 1:
    case 5:
        v = f->wire == 1 ? 8 : 4;
        if (left.n < v)
            return false;
        memcpy(&f->u64, left.p, v); /* little-endian machines only, as the rest of the program */
        left.p += v;
        left.n -= v;
        break;
    case 2:
        if (!take_varint(&left, &v) || v > left.n)
            return false;
        f->bytes = gw_slice_of(left.p, v);
        left.p += v;
        left.n -= v;
        break;
    default:
        return false;
    }
    *s = left;
    return true;
}

struct pair {
    struct gw_slice key, value; /* value: an AnyValue message; n == 0 when absent */
};

static bool read_pair(struct gw_slice kv, struct pair *p)
{
    struct field f;

    *p = (struct pair){{NULL, 0}, {NULL, 0}};
    while (take_field(&kv, &f)) {
        if (f.number == 1 && f.wire == 2)
            p->key = f.bytes;
        else if (f.number == 2 && f.wire == 2)
            p->value = f.bytes;
    }
    return kv.n == 0;
}

/* ---- the form ----------------------------------------------------------------------------------------------- */

static int put_value(struct gw_slice any, unsigned depth, struct gw_buf *out);

static int compare_keys(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n ? memcmp(x->key.p, y->key.p, n) : 0;

    if (c == 0)
        c = x->key.n < y->key.n ? -1 : x->key.n > y->key.n;
    /* Equal keys in the order of the message: the first one is the one that counts. */
    return c ? c : (x->value.p > y->value.p) - (x->value.p < y->value.p);
}

/** The KeyValues under field `number` of a message. */
static int put_map(struct gw_slice message, unsigned depth, struct gw_buf *out)
{
    struct pair few[32], *pairs = few, *more;
    unsigned n = 0, cap = 32;
    struct field f;
    int r = 0;

    while (r == 0 && take_field(&message, &f)) {
        if (f.number != 1 || f.wire != 2)
            continue;
        if (n == cap) {
            more = cap >= MAX_KEYS ? NULL : realloc(pairs == few ? NULL : pairs, cap * 2 * sizeof(*pairs));
            if (!more) {
                r = cap >= MAX_KEYS ? -E2BIG : -ENOMEM;
                break;
            }
            if (pairs == few)
                memcpy(more, few, sizeof(few));
            pairs = more;
            cap *= 2;
        }
        if (!read_pair(f.bytes, &pairs[n++]))
            r = -EBADMSG;
    }
    if (r == 0 && message.n)
        r = -EBADMSG;
    if (r == 0)
        qsort(pairs, n, sizeof(*pairs), compare_keys);
    for (unsigned i = 0, first = 0; r == 0 && i < n; i++) {
        if (!gw_slice_eq(pairs[i].key, pairs[first].key))
            first = i;
        gw_buf_put_u8(out, 0xf4);
        gw_buf_put_slice(out, pairs[i].key);
        r = put_value(pairs[first].value, depth, out);
    }
    if (pairs != few)
        free(pairs);
    return r;
}

static int put_list(struct gw_slice message, unsigned depth, struct gw_buf *out)
{
    struct field f;
    int r = 0;

    while (r == 0 && take_field(&message, &f))
        if (f.number == 1 && f.wire == 2)
            r = put_value(f.bytes, depth, out);
    return r < 0 ? r : message.n ? -EBADMSG : 0;
}

static void put_tagged(struct gw_buf *out, uint8_t tag, const void *p, size_t n)
{
    gw_buf_put_u8(out, tag);
    gw_buf_put(out, p, n);
}

static int put_value(struct gw_slice any, unsigned depth, struct gw_buf *out)
{
    struct field f, last = {0}; /* of a oneof the last one counts */
    int r = 0;

    if (depth > MAX_DEPTH)
        return -E2BIG;
    while (take_field(&any, &f))
        if (f.number >= 1 && f.number <= 7)
            last = f;
    if (any.n)
        return -EBADMSG;
    switch (last.number) {
    case 1:
        put_tagged(out, 0xf7, last.bytes.p, last.bytes.n);
        break;
    case 2:
        gw_buf_put_u8(out, last.u64 ? 0xf8 : 0xf9);
        break;
    case 3:
        put_tagged(out, 0xfa, &last.u64, 8);
        break;
    case 4:
        put_tagged(out, 0xfb, &last.u64, 8);
        break;
    case 5:
        gw_buf_put_u8(out, 0xfe);
        r = put_list(last.bytes, depth + 1, out);
        gw_buf_put_u8(out, 0xff);
        break;
    case 6:
        gw_buf_put_u8(out, 0xfc);
        r = put_map(last.bytes, depth + 1, out);
        gw_buf_put_u8(out, 0xfd);
        break;
    case 7:
        put_tagged(out, 0xf6, last.bytes.p, last.bytes.n);
        break;
    default:
        gw_buf_put_u8(out, 0xf5);
    }
    return r;
}

int gw_kafka_map_hash(struct gw_slice resource, struct gw_buf *scratch, uint8_t ret[16])
{
    uint64_t h[2];
    int r;

    gw_buf_reset(scratch);
    memset(ret, 0, 16);
    r = put_map(resource, 0, scratch);
    if (r < 0 || scratch->n == 0)
        return r;
    h[0] = XXH64(scratch->p, scratch->n, 0);
    gw_buf_put_u8(scratch, 0xf3);
    if (scratch->failed)
        return -E2BIG;
    h[1] = XXH64(scratch->p, scratch->n, 0);
    memcpy(ret, h, 16);
    return 0;
}

bool gw_kafka_resource_string(struct gw_slice resource, struct gw_slice key, struct gw_slice *ret)
{
    struct field f;

    while (take_field(&resource, &f)) {
        struct field v, last = {0};
        struct pair p;

        if (f.number != 1 || f.wire != 2 || !read_pair(f.bytes, &p) || !gw_slice_eq(p.key, key))
            continue;
        while (take_field(&p.value, &v))
            if (v.number >= 1 && v.number <= 7)
                last = v;
        *ret = last.bytes;
        return last.number == 1 && last.bytes.n > 0;
    }
    return false;
}
