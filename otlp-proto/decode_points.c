/* SPDX-License-Identifier: Apache-2.0 */
/* Data points: numbers, histograms, exponential histograms, summaries. */
#include "otlp-proto/decode_points.h"

static const uint8_t *exemplar(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt)
{
    uint32_t n;

    return gw_dec_len(d, &p, end, &n, "Exemplar") ? gw_dec_exemplar(d, p, p + n, &pt->row_flags) : NULL;
}

static const uint8_t *flags(struct gw_dec *d, const uint8_t *p, struct gw_point *pt)
{
    return gw_dec_u32(d, &p, &pt->flags, "data point") ? p : NULL;
}

const uint8_t *gw_dec_number_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt)
{
    static const char name[] = "NumberDataPoint";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(2, GW_I64):
            pt->start_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(3, GW_I64):
            pt->time_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(4, GW_I64):
        case GW_TAG(6, GW_I64):
            pt->number.u64 = gw_load64(p);
            pt->number_type = tag == GW_TAG(4, GW_I64) ? GW_N_DOUBLE : GW_N_INT;
            p += 8;
            break;
        case GW_TAG(5, GW_LEN):
            p = exemplar(d, p, end, pt);
            break;
        case GW_TAG(7, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &pt->attrs);
            break;
        case GW_TAG(8, GW_VARINT):
            p = flags(d, p, pt);
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x1fcu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

/* A packed run of eight-byte values. A second run makes the request odd: the column has one. */
static const uint8_t *packed64(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                               struct gw_ref *ret, const char *name)
{
    uint32_t n;

    if (ret->len)
        return gw_dec_fail(d, GW_ODD, at, "", "");
    if (!gw_dec_len(d, &p, end, &n, name))
        return NULL;
    if (n % 8)
        return gw_dec_fail(d, -EBADMSG, at, name, "packed run is no multiple of eight bytes");
    *ret = (struct gw_ref){(uint32_t)(p - d->base), n};
    return p + n;
}

static const uint8_t *histogram_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt,
                                     struct gw_hist *h)
{
    static const char name[] = "HistogramDataPoint";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);
        union gw_val v = {.u64 = 0};

        if ((tag & 7) == GW_I64) {
            v.u64 = gw_load64(p);
            p += 8;
        }
        switch (tag) {
        case GW_TAG(2, GW_I64):
            pt->start_ns = v.u64;
            break;
        case GW_TAG(3, GW_I64):
            pt->time_ns = v.u64;
            break;
        case GW_TAG(4, GW_I64):
            h->count = v.u64;
            break;
        case GW_TAG(5, GW_I64):
            h->sum = v.f64;
            h->has_sum = true;
            break;
        case GW_TAG(6, GW_LEN):
            p = packed64(d, at, p, end, &h->counts, name);
            break;
        case GW_TAG(7, GW_LEN):
            p = packed64(d, at, p, end, &h->bounds, name);
            break;
        case GW_TAG(6, GW_I64): /* unpacked */
        case GW_TAG(7, GW_I64):
            return gw_dec_fail(d, GW_ODD, at, "", "");
        case GW_TAG(8, GW_LEN):
            p = exemplar(d, p, end, pt);
            break;
        case GW_TAG(9, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &pt->attrs);
            break;
        case GW_TAG(10, GW_VARINT):
            p = flags(d, p, pt);
            break;
        case GW_TAG(11, GW_I64):
            h->min = v.f64;
            h->has_min = true;
            break;
        case GW_TAG(12, GW_I64):
            h->max = v.f64;
            h->has_max = true;
            break;
        default:
            p = gw_dec_unknown(d, at, p - ((tag & 7) == GW_I64 ? 8 : 0), end, tag, 0x1ffcu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_histogram_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt)
{
    struct gw_batch *b = d->b;
    struct gw_hist h = {0};
    void *table = b->hists;
    bool room;

    p = histogram_body(d, p, end, pt, &h);
    if (!p)
        return NULL;
    room = gw_dec_reserve(d, &table, b->n_hists, &b->cap_hists, sizeof(h));
    b->hists = table;
    if (!room)
        return NULL;
    pt->number_type = GW_N_HISTOGRAM;
    pt->number.u64 = b->n_hists;
    b->hists[b->n_hists++] = h;
    return p;
}

/* How many varints a packed run holds, or -1 when it is none. */
static int64_t count_varints(const uint8_t *p, const uint8_t *end)
{
    int64_t n = 0;
    unsigned len = 0;

    for (; p < end; p++) {
        if (++len > GW_VARINT_MAX)
            return -1;
        if (*p < 0x80) {
            len = 0;
            n++;
        }
    }
    return len ? -1 : n;
}

static const uint8_t *buckets_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, int32_t *ret_offset,
                                   struct gw_ref *ret, uint32_t *ret_n)
{
    static const char name[] = "Buckets";
    uint64_t v;
    uint32_t n;
    int64_t count;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_VARINT):
            if (!gw_dec_varint(d, &p, &v, name))
                return NULL;
            *ret_offset = (int32_t)gw_unzigzag((uint32_t)v);
            break;
        case GW_TAG(2, GW_LEN):
            if (ret->len)
                return gw_dec_fail(d, GW_ODD, at, "", "");
            if (!gw_dec_len(d, &p, end, &n, name))
                return NULL;
            count = count_varints(p, p + n);
            if (count < 0)
                return gw_dec_fail(d, -EBADMSG, at, name, "packed run ends inside a number");
            *ret = (struct gw_ref){(uint32_t)(p - d->base), n};
            *ret_n = (uint32_t)count;
            p += n;
            break;
        case GW_TAG(2, GW_VARINT):
            return gw_dec_fail(d, GW_ODD, at, "", "");
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 3u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *buckets(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end, bool again,
                              bool positive, struct gw_exphist *h)
{
    uint32_t n;

    if (again)
        return gw_dec_fail(d, GW_ODD, at, "", "");
    if (!gw_dec_len(d, &p, end, &n, "ExponentialHistogramDataPoint"))
        return NULL;
    return positive ? buckets_body(d, p, p + n, &h->positive_offset, &h->positive, &h->n_positive)
                    : buckets_body(d, p, p + n, &h->negative_offset, &h->negative, &h->n_negative);
}

/* The eight-byte fields; false: not one of them. */
static bool exp_histogram_fixed(uint32_t tag, uint64_t bits, struct gw_point *pt, struct gw_exphist *h)
{
    union gw_val v = {.u64 = bits};

    switch (tag >> 3) {
    case 2:
        pt->start_ns = v.u64;
        return true;
    case 3:
        pt->time_ns = v.u64;
        return true;
    case 4:
        h->count = v.u64;
        return true;
    case 5:
        h->sum = v.f64;
        h->has_sum = true;
        return true;
    case 7:
        h->zero_count = v.u64;
        return true;
    case 12:
        h->min = v.f64;
        h->has_min = true;
        return true;
    case 13:
        h->max = v.f64;
        h->has_max = true;
        return true;
    case 14:
        h->zero_threshold = v.f64;
        return true;
    default:
        return false;
    }
}

static const uint8_t *exp_histogram_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt,
                                         struct gw_exphist *h)
{
    static const char name[] = "ExponentialHistogramDataPoint";
    bool seen[2] = {false, false};

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);
        uint64_t v;

        if ((tag & 7) == GW_I64 && exp_histogram_fixed(tag, gw_load64(p), pt, h)) {
            p += 8;
            continue;
        }
        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &pt->attrs);
            break;
        case GW_TAG(6, GW_VARINT):
            if (!gw_dec_varint(d, &p, &v, name))
                return NULL;
            h->scale = (int32_t)gw_unzigzag((uint32_t)v);
            break;
        case GW_TAG(8, GW_LEN):
        case GW_TAG(9, GW_LEN):
            p = buckets(d, at, p, end, seen[tag == GW_TAG(9, GW_LEN)], tag == GW_TAG(8, GW_LEN), h);
            seen[tag == GW_TAG(9, GW_LEN)] = true;
            break;
        case GW_TAG(10, GW_VARINT):
            p = flags(d, p, pt);
            break;
        case GW_TAG(11, GW_LEN):
            p = exemplar(d, p, end, pt);
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x7ffeu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_exp_histogram_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt)
{
    struct gw_batch *b = d->b;
    struct gw_exphist h = {0};
    void *table = b->exphists;
    bool room;

    p = exp_histogram_body(d, p, end, pt, &h);
    if (!p)
        return NULL;
    room = gw_dec_reserve(d, &table, b->n_exphists, &b->cap_exphists, sizeof(h));
    b->exphists = table;
    if (!room)
        return NULL;
    pt->number_type = GW_N_EXP_HISTOGRAM;
    pt->number.u64 = b->n_exphists;
    b->exphists[b->n_exphists++] = h;
    return p;
}

static const uint8_t *quantile(struct gw_dec *d, const uint8_t *p, const uint8_t *end)
{
    static const char name[] = "ValueAtQuantile";
    struct gw_batch *b = d->b;
    struct gw_quantile q = {0};
    void *table = b->quantiles;
    uint32_t n;
    bool room;

    if (!gw_dec_len(d, &p, end, &n, name))
        return NULL;
    end = p + n;
    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        if (tag == GW_TAG(1, GW_I64) || tag == GW_TAG(2, GW_I64)) {
            union gw_val v = {.u64 = gw_load64(p)};

            *(tag == GW_TAG(1, GW_I64) ? &q.quantile : &q.value) = v.f64;
            p += 8;
        } else {
            p = gw_dec_unknown(d, at, p, end, tag, 3u << 1, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    room = gw_dec_reserve(d, &table, b->n_quantiles, &b->cap_quantiles, sizeof(q));
    b->quantiles = table;
    if (!room)
        return NULL;
    b->quantiles[b->n_quantiles++] = q;
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *summary_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt,
                                   struct gw_summary *s)
{
    static const char name[] = "SummaryDataPoint";
    union gw_val v;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(2, GW_I64):
            pt->start_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(3, GW_I64):
            pt->time_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(4, GW_I64):
            s->count = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(5, GW_I64):
            v.u64 = gw_load64(p);
            s->sum = v.f64;
            p += 8;
            break;
        case GW_TAG(6, GW_LEN):
            p = quantile(d, p, end);
            break;
        case GW_TAG(7, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &pt->attrs);
            break;
        case GW_TAG(8, GW_VARINT):
            p = flags(d, p, pt);
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x1fcu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_summary_point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_point *pt)
{
    struct gw_batch *b = d->b;
    struct gw_summary s = {.quantiles.begin = b->n_quantiles};
    void *table = b->summaries;
    bool room;

    p = summary_body(d, p, end, pt, &s);
    if (!p)
        return NULL;
    s.quantiles.end = b->n_quantiles;
    room = gw_dec_reserve(d, &table, b->n_summaries, &b->cap_summaries, sizeof(s));
    b->summaries = table;
    if (!room)
        return NULL;
    pt->number_type = GW_N_SUMMARY;
    pt->number.u64 = b->n_summaries;
    b->summaries[b->n_summaries++] = s;
    return p;
}
