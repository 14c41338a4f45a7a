/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random messages on the wire, from protobuf-c's descriptors: every field of every message, extremes included. `odd`
 * adds what is legal but unusual: any order of fields, singular fields and sub-messages twice, unpacked and split runs,
 * members of a oneof overruling each other, lengths and tags in more bytes than needed, unknown fields.
 * protobuf-c 1.4.1 loses parts when it merges sub-messages: `merge_messages` is for oracles that do not.
 */
#ifndef GW_TESTS_OTLP_RANDOM_WIRE_H
#define GW_TESTS_OTLP_RANDOM_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "core/buf.h"
#include "otlp-proto/wire.h"

struct random_wire {
    uint64_t state;
    bool odd, merge_messages;
    unsigned max_items; /* of a repeated message */
    unsigned budget;    /* messages that may still be made */
};

static inline uint64_t rw_next(struct random_wire *r)
{
    /* splitmix64 */
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline unsigned rw_below(struct random_wire *r, unsigned n)
{
    return (unsigned)(rw_next(r) % n);
}

static inline void rw_varint(struct random_wire *r, struct gw_buf *out, uint64_t v, unsigned max_bytes)
{
    uint8_t buf[GW_VARINT_MAX + 1];
    size_t n = (size_t)(gw_varint_put(buf, v) - buf);

    if (r->odd && n < max_bytes && rw_below(r, 12) == 0) { /* not minimal */
        buf[n - 1] |= 0x80;
        buf[n++] = 0;
    }
    gw_buf_put(out, buf, n);
}

static inline uint64_t rw_number(struct random_wire *r)
{
    static const uint64_t extremes[] = {0, 1, 127, 128, 255, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};

    return rw_below(r, 3) ? rw_next(r) >> rw_below(r, 64) : extremes[rw_below(r, 10)];
}

static inline void rw_text(struct random_wire *r, struct gw_buf *out)
{
    static const char *const words[] = {"",
                                        "a",
                                        "service.name",
                                        "GET /users/{id}",
                                        "caf\xc3\xa9",
                                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
                                        "\xf0\x9f\x98\x80",
                                        "x y z",
                                        "\x01\x7f"};
    struct gw_buf text;
    unsigned n = rw_below(r, 20) == 0 ? 60 : rw_below(r, 3);

    gw_buf_init(&text, 4096);
    for (unsigned i = 0; i < n; i++)
        gw_buf_put_str(&text, words[rw_below(r, 9)]);
    rw_varint(r, out, text.n, 5);
    gw_buf_put(out, text.p, text.n);
    gw_buf_clear(&text);
}

static inline void rw_bytes(struct random_wire *r, struct gw_buf *out, const char *name)
{
    size_t n = strstr(name, "trace_id") ? 16 : strstr(name, "span_id") ? 8 : rw_below(r, 20);

    rw_varint(r, out, n, 5);
    for (size_t i = 0; i < n; i++)
        gw_buf_put_u8(out, (uint8_t)(rw_next(r) | (i == 0))); /* an id of zeros is none */
}

static inline void rw_message(struct random_wire *r, struct gw_buf *out, const ProtobufCMessageDescriptor *d,
                              unsigned depth);

static inline unsigned rw_wire_of(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return GW_I64;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return GW_I32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return GW_LEN;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return GW_VARINT;
}

static inline void rw_scalar(struct random_wire *r, struct gw_buf *out, const ProtobufCFieldDescriptor *f)
{
    uint64_t v = rw_number(r);

    switch (rw_wire_of(f->type)) {
    case GW_I64:
        gw_buf_put(out, &v, 8);
        break;
    case GW_I32:
        gw_buf_put(out, &v, 4);
        break;
    default:
        if (f->type == PROTOBUF_C_TYPE_ENUM)
            v = rw_below(r, 8) ? rw_below(r, 30) : 200;
        else if (f->type == PROTOBUF_C_TYPE_BOOL)
            v &= 1;
        else if (f->type != PROTOBUF_C_TYPE_UINT64 && f->type != PROTOBUF_C_TYPE_INT64)
            v = (uint32_t)v;
        rw_varint(r, out, v, 10);
    }
}

/* One occurrence of a field; for packed runs, all its numbers or some of them. */
static inline void rw_field(struct random_wire *r, struct gw_buf *out, const ProtobufCFieldDescriptor *f,
                            unsigned depth)
{
    unsigned wire = rw_wire_of(f->type);
    bool packed = f->label == PROTOBUF_C_LABEL_REPEATED && wire != GW_LEN && !(r->odd && rw_below(r, 3) == 0);
    struct gw_buf inner;

    rw_varint(r, out, GW_TAG(f->id, packed ? GW_LEN : wire), 5);
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        rw_text(r, out);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        rw_bytes(r, out, f->name);
    } else if (packed || wire == GW_LEN) {
        gw_buf_init(&inner, 1 << 26);
        if (packed)
            for (unsigned i = rw_below(r, 12); i > 0; i--)
                rw_scalar(r, &inner, f);
        else
            rw_message(r, &inner, f->descriptor, depth + 1);
        rw_varint(r, out, inner.n, 5);
        gw_buf_put(out, inner.p, inner.n);
        gw_buf_clear(&inner);
    } else {
        rw_scalar(r, out, f);
    }
}

static inline void rw_unknown(struct random_wire *r, struct gw_buf *out)
{
    static const unsigned wires[] = {GW_VARINT, GW_I64, GW_LEN, GW_I32};
    unsigned wire = wires[rw_below(r, 4)];
    uint64_t v = rw_next(r);

    rw_varint(r, out, GW_TAG(rw_below(r, 2) ? 99 : 536870911, wire), 5);
    if (wire == GW_VARINT)
        rw_varint(r, out, v, 10);
    else if (wire == GW_LEN)
        rw_bytes(r, out, "unknown");
    else
        gw_buf_put(out, &v, wire == GW_I64 ? 8 : 4);
}

/* How often a field comes, in all. */
static inline unsigned rw_times(struct random_wire *r, const ProtobufCFieldDescriptor *f, unsigned depth)
{
    bool is_message = f->type == PROTOBUF_C_TYPE_MESSAGE;
    bool mergeable = r->merge_messages || !is_message;

    if (depth > 24 && is_message)
        return 0;
    if (f->label == PROTOBUF_C_LABEL_REPEATED && rw_wire_of(f->type) == GW_LEN) {
        unsigned times = r->budget ? rw_below(r, r->max_items + 1) : 0;

        return times == 0 && depth < 5 && f->id <= 2 ? rw_below(r, 8) != 0 : times; /* envelopes are seldom empty */
    }
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && rw_below(r, 3))
        return 0;
    return r->odd && mergeable && rw_below(r, 6) == 0 ? 2 : rw_below(r, 8) != 0;
}

static inline void rw_message(struct random_wire *r, struct gw_buf *out, const ProtobufCMessageDescriptor *d,
                              unsigned depth)
{
    const ProtobufCFieldDescriptor *list[256];
    unsigned n = 0, oneof_offset = 0;

    r->budget -= r->budget > 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        unsigned times = rw_times(r, f, depth);

        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && times && !r->odd) { /* one member only */
            if (oneof_offset == f->quantifier_offset)
                times = 0;
            oneof_offset = f->quantifier_offset;
        }
        while (times-- > 0 && n < 256)
            list[n++] = f;
    }
    if (r->odd)
        for (unsigned i = n; i > 1; i--) {
            unsigned k = rw_below(r, i);
            const ProtobufCFieldDescriptor *f = list[k];

            list[k] = list[i - 1];
            list[i - 1] = f;
        }
    for (unsigned i = 0; i < n; i++) {
        rw_field(r, out, list[i], depth);
        if (r->odd && rw_below(r, 24) == 0)
            rw_unknown(r, out);
    }
}

#endif
