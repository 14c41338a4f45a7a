/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf wire format: tags, varints, lengths, and a bounded walk over the fields of one message.
 *
 *   field = tag (number << 3 | wire type)  ·  varint | 8 bytes | 4 bytes | length and bytes | group
 */
#ifndef GW_OTLP_WIRE_H
#define GW_OTLP_WIRE_H

#include "core/slice.h"

enum gw_wire { GW_VARINT, GW_I64, GW_LEN, GW_SGROUP, GW_EGROUP, GW_I32 };

enum {
    GW_VARINT_MAX = 10, /* bytes */
    GW_GROUPS_MAX = 64, /* groups inside of groups that are skipped; more are refused */
};

#define GW_TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))

static inline unsigned gw_varint_size(uint64_t v)
{
    /* bits / 7, rounded up, without a division: exact for 0 … 64 bits */
    return (unsigned)((64 - __builtin_clzll(v | 1)) * 9 + 64) / 64;
}

static inline uint8_t *gw_varint_put(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/** A varint of at most max bytes before end. NULL: cut off or too long. Bits over 64 are ignored, as protobuf does. */
const uint8_t *gw_varint_get(const uint8_t *p, const uint8_t *end, unsigned max, uint64_t *ret);

static inline uint64_t gw_load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t gw_load32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static inline int64_t gw_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/** One field of a message. */
struct gw_wire_field {
    uint32_t number, wire;
    const uint8_t *at;   /* its tag */
    struct gw_slice val; /* LEN: the bytes behind the length; others: the encoded value */
    uint64_t varint;     /* VARINT: the value */
};

struct gw_wire_walk {
    const uint8_t *p, *end;
    const uint8_t *bad; /* where the walk stopped, and why */
    const char *why;
};

static inline struct gw_wire_walk gw_wire_walk(struct gw_slice message)
{
    return (struct gw_wire_walk){message.p, message.n ? message.p + message.n : message.p, NULL, NULL};
}

/** Next field: 1, 0 at the end, -EBADMSG with `bad` and `why` set. Reads nothing behind the message. */
int gw_wire_next(struct gw_wire_walk *w, struct gw_wire_field *f);

/**
 * The end of an unknown field's value, whose tag was just read; groups are skipped with all they hold.
 * NULL: malformed, *ret_why says what.
 */
const uint8_t *gw_wire_skip(const uint8_t *p, const uint8_t *end, uint32_t tag, const char **ret_why);

#endif
