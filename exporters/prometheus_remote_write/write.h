/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one request. What both versions have in common is a series: labels, samples, and a tail of encoded
 * exemplars and native histograms. 1.0 copies the labels; 2.0 writes numbers, and the text of a symbol into `head` when
 * it is the request's first use of it.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_WRITE_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_WRITE_H

#include "exporters/prometheus_remote_write/cache.h"
#include "otlp-proto/wire.h"

#define GW_RW_STALE UINT64_C(0x7ff0000000000002)

enum gw_rw_name { GW_RW_BASE, GW_RW_SUM, GW_RW_COUNT, GW_RW_BUCKET, GW_RW_NAMES };

/** Data of a metric's node. Encoded labels and texts stand behind it. */
struct gw_rw_metric {
    struct gw_rw_node *edges;                 /* the bounds or quantiles of its last point; holds it */
    uint32_t label_at[GW_RW_NAMES + 1];       /* 1.0: encoded __name__ labels: [i] to [i + 1] */
    uint32_t symbol[GW_RW_NAMES], help, unit; /* 2.0 */
    uint32_t metadata_at, metadata_n;         /* 1.0: a MetricMetadata field of the request */
    uint32_t sent;                            /* 1.0: the epoch whose request has it */
    uint8_t type;                             /* metadata's */
    bool nameless;                            /* no name is left of its name */
    bool has_symbols;
    uint8_t text[];
};

/** Data of bounds and quantiles. */
struct gw_rw_edges {
    uint32_t n;
    uint32_t symbols; /* 2.0: how many of `at` are symbols that are held; 1.0: 0 */
    uint32_t at[];    /* 1.0: n + 1 offsets of encoded labels behind the array; 2.0: n symbols of values */
};

struct gw_rw_sample {
    int64_t time, start; /* ms; start 0: not known */
    uint64_t bits;       /* of the value: NaNs are told apart by them */
};

struct gw_rw_series {
    struct gw_rw_node *node;
    const struct gw_rw_metric *metric;
    int name;                         /* enum gw_rw_name, or -1: among the labels */
    struct gw_slice extra;            /* 1.0: an encoded label at at_extra; n 0: none */
    uint32_t extra_name, extra_value; /* 2.0: its symbols; name 0: none */
    const struct gw_rw_sample *samples;
    uint32_t n_samples;
};

struct gw_rw_writer {
    struct gw_rw_symbols *symbols;
    enum gw_rw_version version;
    struct gw_buf body, head, tail, scratch;
    struct gw_buf spans, deltas, bounds; /* of a histogram being encoded */
    uint32_t serial, n_symbols;          /* 2.0: of this request */
    uint32_t *lent;                      /* 2.0: symbols that only this request holds */
    uint32_t n_lent, cap_lent;
    uint32_t n_series, n_samples, n_histograms, n_exemplars;
    bool failed;
};

void gw_rw_writer_init(struct gw_rw_writer *w, struct gw_rw_symbols *symbols, size_t max_bytes);
void gw_rw_writer_clear(struct gw_rw_writer *w);
/** An empty request. */
void gw_rw_writer_begin(struct gw_rw_writer *w, enum gw_rw_version version);
/** All of it; valid until the next begin. */
struct gw_slice gw_rw_writer_body(struct gw_rw_writer *w);
static inline size_t gw_rw_writer_bytes(const struct gw_rw_writer *w)
{
    return w->head.n + w->body.n;
}
/** It failed because a buffer may grow no further, not for want of memory. */
bool gw_rw_writer_is_full(const struct gw_rw_writer *w);
/** Write a series with the tail, which is empty afterwards. */
void gw_rw_put_series(struct gw_rw_writer *w, const struct gw_rw_series *s);

/** 2.0: the request's number of a symbol. */
static inline uint32_t gw_rw_local(struct gw_rw_writer *w, uint32_t id)
{
    struct gw_rw_stamp *t = &w->symbols->stamps[id];

    if (__builtin_expect(t->serial != w->serial, 0)) {
        const struct gw_rw_symbol *y = &w->symbols->symbols[id];

        *t = (struct gw_rw_stamp){w->serial, w->n_symbols++};
        if (gw_buf_reserve(&w->head, y->n + 6) < 0) {
            w->failed = true;
            return 0;
        }
        uint8_t *p = w->head.p + w->head.n;

        *p++ = GW_TAG(4, GW_LEN);
        p = gw_varint_put(p, y->n);
        if (y->n)
            memcpy(p, y->p, y->n);
        w->head.n = (size_t)(p - w->head.p) + y->n;
    }
    return t->index;
}
/** 2.0: the number of a text that is not kept beyond this request. */
uint32_t gw_rw_lend(struct gw_rw_writer *w, struct gw_slice text);

void gw_rw_put_series_1(struct gw_rw_writer *w, const struct gw_rw_series *s);
void gw_rw_put_series_2(struct gw_rw_writer *w, const struct gw_rw_series *s);

/** Append a Label message as field 1: of a TimeSeries or an Exemplar of 1.0. */
void gw_rw_put_label(struct gw_buf *out, struct gw_slice name, struct gw_slice value);

/** Append a field. */
static inline void gw_rw_put_varint(struct gw_buf *out, uint32_t number, uint64_t v)
{
    uint8_t b[2 * GW_VARINT_MAX];
    uint8_t *p = gw_varint_put(b, GW_TAG(number, GW_VARINT));

    gw_buf_put(out, b, (size_t)(gw_varint_put(p, v) - b));
}
static inline void gw_rw_put_fixed64(struct gw_buf *out, uint32_t number, uint64_t v)
{
    uint8_t b[GW_VARINT_MAX + 8];
    uint8_t *p = gw_varint_put(b, GW_TAG(number, GW_I64));

    memcpy(p, &v, 8);
    gw_buf_put(out, b, (size_t)(p + 8 - b));
}
static inline void gw_rw_put_len(struct gw_buf *out, uint32_t number, uint64_t n)
{
    uint8_t b[2 * GW_VARINT_MAX];
    uint8_t *p = gw_varint_put(b, GW_TAG(number, GW_LEN));

    gw_buf_put(out, b, (size_t)(gw_varint_put(p, n) - b));
}
static inline void gw_rw_put_bytes(struct gw_buf *out, uint32_t number, struct gw_slice s)
{
    gw_rw_put_len(out, number, s.n);
    gw_buf_put_slice(out, s);
}
static inline uint64_t gw_rw_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

#endif
