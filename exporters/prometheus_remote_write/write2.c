/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.prometheus.write.v2.Request: symbols 4, timeseries 5 { labels_refs 1, samples 2 { value 1, timestamp 2,
 * start_timestamp 3 }, histograms 3, exemplars 4, metadata 5 { type 1, help_ref 3, unit_ref 4 } }
 */
#include "exporters/prometheus_remote_write/write.h"

enum { SYMBOL_MAX = 5, HEADER_MAX = 1 + 5, METADATA_MAX = 2 + 2 + 2 * (1 + SYMBOL_MAX) };

static uint8_t *put_symbols(struct gw_rw_writer *w, uint8_t *p, const uint32_t *symbols, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p = gw_varint_put(p, gw_rw_local(w, symbols[i]));
    return p;
}

/** The numbers of the labels, into `scratch`. */
static size_t put_labels(struct gw_rw_writer *w, const struct gw_rw_series *s)
{
    const struct gw_rw_node *n = s->node;
    const uint32_t *labels = (const uint32_t *)(const void *)gw_rw_data(s->node);
    uint8_t *p;

    gw_buf_reset(&w->scratch);
    if (gw_buf_reserve(&w->scratch, (n->data_n + 4) * (size_t)SYMBOL_MAX) < 0)
        return 0;
    p = w->scratch.p;
    if (s->name < 0) {
        p = put_symbols(w, p, labels, n->data_n);
    } else {
        p = put_symbols(w, p, labels, n->at_name);
        p = gw_varint_put(p, gw_rw_local(w, GW_RW_SYMBOL_NAME));
        p = gw_varint_put(p, gw_rw_local(w, s->metric->symbol[s->name]));
        p = put_symbols(w, p, labels + n->at_name, n->at_extra - n->at_name);
        if (s->extra_name) {
            p = gw_varint_put(p, gw_rw_local(w, s->extra_name));
            p = gw_varint_put(p, gw_rw_local(w, s->extra_value));
        }
        p = put_symbols(w, p, labels + n->at_extra, n->data_n - n->at_extra);
    }
    return (size_t)(p - w->scratch.p);
}

static uint8_t *put_metadata(struct gw_rw_writer *w, uint8_t *p, const struct gw_rw_metric *m)
{
    uint8_t *from = p;
    uint32_t help = gw_rw_local(w, m->help), unit = gw_rw_local(w, m->unit);

    *p++ = GW_TAG(5, GW_LEN);
    p++;
    *p++ = GW_TAG(1, GW_VARINT);
    *p++ = m->type;
    if (help) {
        *p++ = GW_TAG(3, GW_VARINT);
        p = gw_varint_put(p, help);
    }
    if (unit) {
        *p++ = GW_TAG(4, GW_VARINT);
        p = gw_varint_put(p, unit);
    }
    from[1] = (uint8_t)(p - from - 2);
    return p;
}

static unsigned sample_bytes(const struct gw_rw_sample *v)
{
    return 10 + gw_varint_size((uint64_t)v->time) + (v->start ? 1 + gw_varint_size((uint64_t)v->start) : 0);
}

static uint8_t *put_sample(uint8_t *p, const struct gw_rw_sample *v)
{
    *p++ = GW_TAG(2, GW_LEN);
    *p++ = (uint8_t)sample_bytes(v);
    *p++ = GW_TAG(1, GW_I64);
    memcpy(p, &v->bits, 8);
    p += 8;
    *p++ = GW_TAG(2, GW_VARINT);
    p = gw_varint_put(p, (uint64_t)v->time);
    if (v->start) {
        *p++ = GW_TAG(3, GW_VARINT);
        p = gw_varint_put(p, (uint64_t)v->start);
    }
    return p;
}

void gw_rw_put_series_2(struct gw_rw_writer *w, const struct gw_rw_series *s)
{
    uint8_t metadata[METADATA_MAX], *p;
    size_t n_labels = put_labels(w, s), n_metadata = (size_t)(put_metadata(w, metadata, s->metric) - metadata);
    size_t n = 1 + gw_varint_size(n_labels) + n_labels + w->tail.n + n_metadata;

    for (uint32_t i = 0; i < s->n_samples; i++)
        n += 2 + sample_bytes(&s->samples[i]);
    if (gw_buf_reserve(&w->body, n + HEADER_MAX) < 0)
        return;
    p = w->body.p + w->body.n;
    *p++ = GW_TAG(5, GW_LEN);
    p = gw_varint_put(p, n);
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, n_labels);
    if (n_labels)
        memcpy(p, w->scratch.p, n_labels);
    p += n_labels;
    for (uint32_t i = 0; i < s->n_samples; i++)
        p = put_sample(p, &s->samples[i]);
    if (w->tail.n)
        memcpy(p, w->tail.p, w->tail.n);
    p += w->tail.n;
    memcpy(p, metadata, n_metadata);
    w->body.n = (size_t)(p + n_metadata - w->body.p);
}
