/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the decoder. A function that reads a message body gets [p, end) and gives end, or NULL after gw_dec_fail.
 * Headers of fields are read before they are compared with end: the payload's padding makes that safe, and every length
 * is compared before what it covers is touched.
 *
 * What is legal but does not fit the columns (a Resource in two pieces, unpacked buckets, …) fails with GW_ODD; the
 * request is then rewritten by otlp-proto/canon.h and decoded again.
 */
#ifndef GW_OTLP_DECODE_PRIV_H
#define GW_OTLP_DECODE_PRIV_H

#include "otlp-proto/decode.h"
#include "otlp-proto/utf8.h"
#include "otlp-proto/wire.h"

enum { GW_ODD = 1 };

/** What becomes of the attributes, events and links of rows. */
enum gw_dec_mode {
    GW_DEC_WHOLE,   /* they are checked, and come into their columns */
    GW_DEC_OUTLINE, /* they are checked */
    GW_DEC_TRUSTED, /* attributes and events are passed over by their lengths */
};

#define GW_LIKELY(x)   __builtin_expect(!!(x), 1)
#define GW_UNLIKELY(x) __builtin_expect(!!(x), 0)

struct gw_dec {
    struct gw_batch *b;
    const uint8_t *base;  /* of the payload */
    const uint8_t *start; /* of the request: errors count bytes from here */
    const struct gw_limits *limits;
    struct gw_err *err;
    int rc;
    uint32_t first_row;     /* of the request */
    uint32_t row_spare;     /* 128 less the bytes of a row's columns */
    uint32_t attrs_charged; /* attributes up to here are in charged */
    uint64_t charged;       /* bytes of table entries of this request */
    uint64_t budget;        /* of charged, without what the rows bring */
    enum gw_dec_mode mode;
    uint32_t n_passed; /* attributes of rows that came into no column: they are charged as if they had */
};

/* ---- decode_value.c: errors, attributes, values, resources and scopes -------------------------------------- */

/** Sets rc and the sentence; `at` is the byte. Returns NULL. */
const uint8_t *gw_dec_fail(struct gw_dec *d, int code, const uint8_t *at, const char *message, const char *why)
    __attribute__((cold, noinline));
/** A tag of more than one byte: `p` behind its first. 0 after a failure. */
uint32_t gw_dec_tag_slow(struct gw_dec *d, const uint8_t **p, const uint8_t *end, const char *message)
    __attribute__((noinline));
/** A length of more than two bytes, not yet compared with the end. */
bool gw_dec_len_slow(struct gw_dec *d, const uint8_t **p, const uint8_t *end, uint32_t *ret, const char *message)
    __attribute__((noinline));
/** A field that is not in the message, or has another wire type than there: `known` has the numbers' bits. */
const uint8_t *gw_dec_unknown(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end, uint32_t tag,
                              uint32_t known, const char *message) __attribute__((noinline));
/** The values of the budget: over it? Also counts the attributes made since. */
bool gw_dec_within_budget(struct gw_dec *d);
/** Room for one more attribute. */
bool gw_dec_attr_grow(struct gw_dec *d) __attribute__((noinline));
/** One KeyValue, p behind its tag, appended to the attributes of *range. */
const uint8_t *gw_dec_attr(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                           struct gw_range *range);
/** The same, not kept, and all that stand behind it without a gap. */
const uint8_t *gw_dec_pass_attrs(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                                 struct gw_range *range);
/** Body of an AnyValue, merged into *type and *val. */
const uint8_t *gw_dec_any(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint8_t *type, union gw_val *val);
const uint8_t *gw_dec_resource(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_resource *r);
const uint8_t *gw_dec_scope(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_scope *s);
/** Room in a table, charged to the budget. */
bool gw_dec_reserve(struct gw_dec *d, void **table, uint32_t n, uint32_t *cap, size_t item_bytes);

/* ---- decode_traces.c, decode_logs.c, decode_metrics.c: what a scope holds (field 2) ------------------------- */

const uint8_t *gw_dec_span(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope);
const uint8_t *gw_dec_log(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope);
const uint8_t *gw_dec_metric(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope);
/** Body of an Exemplar. */
const uint8_t *gw_dec_exemplar(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint8_t *row_flags);

/* ---- primitives, inlined ------------------------------------------------------------------------------------ */

/** The tag at *p. 0 after a failure. */
static inline uint32_t gw_dec_tag(struct gw_dec *d, const uint8_t **p, const uint8_t *end, const char *message)
{
    uint32_t tag = *(*p)++;

    if (GW_LIKELY(tag < 0x80 && tag >= 8))
        return tag;
    return gw_dec_tag_slow(d, p, end, message);
}

/** The same of a message that has a field over 15, whose tag stands in two bytes, in nearly each. */
static inline uint32_t gw_dec_tag_of_two(struct gw_dec *d, const uint8_t **p, const uint8_t *end, const char *message)
{
    const uint8_t *at = *p;

    if (at[0] >= 0x80 && at[1] < 0x80 && at[1] != 0 && at + 1 < end) {
        *p = at + 2;
        return (at[0] & 0x7fu) | (uint32_t)at[1] << 7;
    }
    return gw_dec_tag(d, p, end, message);
}

/** A length at *p, and that so much is left before end. */
static inline bool gw_dec_len(struct gw_dec *d, const uint8_t **p, const uint8_t *end, uint32_t *ret,
                              const char *message)
{
    const uint8_t *at = *p;
    uint32_t n = at[0];

    if (GW_LIKELY(n < 0x80)) {
        *p = at + 1;
    } else if (GW_LIKELY(at[1] < 0x80)) {
        n = (n & 0x7f) | (uint32_t)at[1] << 7;
        *p = at + 2;
    } else if (!gw_dec_len_slow(d, p, end, &n, message)) {
        return false;
    }
    if (GW_UNLIKELY((ptrdiff_t)n > end - *p)) {
        gw_dec_fail(d, -EBADMSG, at, message, "length reaches over the end");
        return false;
    }
    *ret = n;
    return true;
}

static inline bool gw_dec_varint(struct gw_dec *d, const uint8_t **p, uint64_t *ret, const char *message)
{
    const uint8_t *at = *p;
    uint64_t v = at[0];

    if (GW_LIKELY(v < 0x80)) {
        *ret = v;
        *p = at + 1;
        return true;
    }
    at = gw_varint_get(at, at + GW_VARINT_MAX, GW_VARINT_MAX, ret);
    if (GW_UNLIKELY(!at)) {
        gw_dec_fail(d, -EBADMSG, *p, message, "varint longer than ten bytes");
        return false;
    }
    *p = at;
    return true;
}

static inline bool gw_dec_u32(struct gw_dec *d, const uint8_t **p, uint32_t *ret, const char *message)
{
    uint64_t v;

    if (!gw_dec_varint(d, p, &v, message))
        return false;
    *ret = (uint32_t)v;
    return true;
}

/** An enum in a byte column: what does not fit is 255, a value that none of them has. */
static inline bool gw_dec_enum(struct gw_dec *d, const uint8_t **p, uint8_t *ret, const char *message)
{
    uint32_t v;

    if (!gw_dec_u32(d, p, &v, message))
        return false;
    *ret = v > 255 ? 255 : (uint8_t)v;
    return true;
}

static inline bool gw_dec_string(struct gw_dec *d, const uint8_t **p, const uint8_t *end, struct gw_ref *ret,
                                 const char *message)
{
    uint32_t n;

    if (!gw_dec_len(d, p, end, &n, message))
        return false;
    if (GW_UNLIKELY(!gw_utf8_padded(*p, n))) {
        gw_dec_fail(d, -EBADMSG, *p, message, "string is not UTF-8");
        return false;
    }
    *ret = (struct gw_ref){(uint32_t)(*p - d->base), n};
    *p += n;
    return true;
}

/** An attribute of a span, a log record, an event or a link, as the mode has it. */
static inline const uint8_t *gw_dec_row_attr(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                                             struct gw_range *range)
{
    return d->mode == GW_DEC_WHOLE ? gw_dec_attr(d, at, p, end, range) : gw_dec_pass_attrs(d, at, p, end, range);
}

/** An id of `size` bytes (16 or 8): copied, or zeros with a flag. */
static inline bool gw_dec_id(struct gw_dec *d, const uint8_t **p, const uint8_t *end, uint8_t *ret, uint32_t size,
                             uint8_t *flags, uint8_t none, uint8_t bad, const char *message)
{
    uint32_t n;

    if (!gw_dec_len(d, p, end, &n, message))
        return false;
    *flags &= (uint8_t) ~(none | bad);
    if (GW_LIKELY(n == size)) {
        memcpy(ret, *p, size);
    } else {
        memset(ret, 0, size);
        *flags |= n ? bad : none;
    }
    *p += n;
    return true;
}

/** After the last field of a message: did it end where it said? */
static inline const uint8_t *gw_dec_end(struct gw_dec *d, const uint8_t *p, const uint8_t *end, const char *message)
{
    return GW_LIKELY(p == end) ? p : gw_dec_fail(d, -EBADMSG, end, message, "value reaches over the end");
}

/** A new row's index is b->n_rows; room for it. */
static inline bool gw_dec_row_room(struct gw_dec *d)
{
    struct gw_batch *b = d->b;

    if (GW_UNLIKELY(b->n_rows - d->first_row >= d->limits->rows)) {
        gw_dec_fail(d, -E2BIG, d->start, "request", "more rows than allowed");
        return false;
    }
    if (GW_UNLIKELY(b->n_rows == b->cap_rows) && gw_batch_reserve_rows(b, 1) < 0) {
        gw_dec_fail(d, -ENOMEM, d->start, "request", "out of memory");
        return false;
    }
    return true;
}

#endif
