/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of rows that nobody will look at: checked, or passed over, and kept nowhere. */
#include "otlp-proto/decode_priv.h"

/* Bit i: byte i has its high bit set. Of 64 bytes, whatever stands there. */
#ifdef __SSE2__
static inline uint64_t high_of_16(const uint8_t *p)
{
    return (unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline uint64_t high_bits(const uint8_t *p)
{
    return high_of_16(p) | high_of_16(p + 16) << 16 | high_of_16(p + 32) << 32 | high_of_16(p + 48) << 48;
}
#endif

/*
 * Is it a usual KeyValue, shorter than 128 bytes, and in order? The headers of its fields are below 0x80, so one look
 * tells for them and for its texts: no high bit may be set but those of a number. A longer one than 64 is a text.
 *
 *     0a klen key… 12 vlen 0a slen text…                   18 varint          10 bool          21 double
 */
static inline bool is_plain(const uint8_t *kv, uint32_t n)
{
#ifdef __SSE2__
    uint32_t klen = kv[1], at = klen + 5; /* of the value behind its tag */
    const uint8_t *v = kv + 2 + klen;
    uint64_t high;

    if (n < at + 1 || kv[0] != GW_TAG(1, GW_LEN) || v[0] != GW_TAG(2, GW_LEN) || v[1] != n - klen - 4)
        return false;
    if (n > 64)
        return v[2] == GW_TAG(1, GW_LEN) && v[3] == n - at - 1 && gw_ascii_padded(kv, n);
    high = high_bits(kv) & UINT64_MAX >> (64 - n);
    switch (v[2]) {
    case GW_TAG(1, GW_LEN):
        return v[3] == n - at - 1 && high == 0;
    case GW_TAG(2, GW_VARINT):
        return n == at + 1 && high == 0;
    case GW_TAG(3, GW_VARINT):
        return n - at < GW_VARINT_MAX && high == (UINT64_C(1) << (n - 1)) - (UINT64_C(1) << at);
    case GW_TAG(4, GW_I64):
        return n == at + 8 && (high & ((UINT64_C(1) << at) - 1)) == 0;
    default:
        return false;
    }
#else
    (void)kv;
    (void)n;
    return false;
#endif
}

/* Any other one, p at its length: decoded, and forgotten. */
static __attribute__((noinline)) const uint8_t *check(struct gw_dec *d, const uint8_t *at, const uint8_t *p,
                                                      const uint8_t *end)
{
    struct gw_range r = {d->b->n_attrs, d->b->n_attrs};

    p = gw_dec_attr(d, at, p, end, &r);
    d->b->n_attrs = r.begin;
    return p;
}

static const uint8_t *skip_attrs(struct gw_dec *d, uint8_t tag, const uint8_t *p, const uint8_t *end)
{
    uint32_t n;

    for (;; p++) {
        if (!gw_dec_len(d, &p, end, &n, "KeyValue"))
            return NULL;
        p += n;
        if (p >= end || *p != tag || tag >= 0x80)
            return p;
    }
}

const uint8_t *gw_dec_pass_attrs(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                                 struct gw_range *range)
{
    uint8_t tag = *at; /* from 0x80 on it stands in more than one byte, and another one need not look the same */
    uint32_t n;

    if (d->mode == GW_DEC_TRUSTED)
        return skip_attrs(d, tag, p, end);
    if (range->end != d->n_passed) {
        if (range->begin != range->end)
            return gw_dec_fail(d, GW_ODD, at, "", ""); /* as gw_dec_attr does */
        range->begin = d->n_passed;
    }
    for (;;) {
        n = *p;
        if (GW_LIKELY(n < 0x80 && (ptrdiff_t)n < end - p && is_plain(p + 1, n)))
            p += 1 + n;
        else if (!(p = check(d, at, p, end)))
            return NULL;
        d->n_passed++;
        if (p >= end || *p != tag || tag >= 0x80)
            break;
        at = p++;
    }
    range->end = d->n_passed;
    return p;
}
