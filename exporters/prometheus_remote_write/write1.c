/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus.WriteRequest: timeseries 1 { labels 1, samples 2 { value 1, timestamp 2 }, exemplars 3, histograms 4 } */
#include "exporters/prometheus_remote_write/write.h"

enum { HEADER_MAX = 1 + 5 };

static uint8_t *put(uint8_t *p, const void *from, size_t n)
{
    if (n)
        memcpy(p, from, n);
    return p + n;
}

static uint8_t *put_labels(uint8_t *p, const struct gw_rw_series *s)
{
    const uint8_t *labels = gw_rw_data(s->node);
    const struct gw_rw_metric *m = s->metric;

    if (s->name < 0)
        return put(p, labels, s->node->data_n);
    p = put(p, labels, s->node->at_name);
    p = put(p, m->text + m->label_at[s->name], m->label_at[s->name + 1] - m->label_at[s->name]);
    p = put(p, labels + s->node->at_name, s->node->at_extra - s->node->at_name);
    p = put(p, s->extra.p, s->extra.n);
    return put(p, labels + s->node->at_extra, s->node->data_n - s->node->at_extra);
}

static uint8_t *put_sample(uint8_t *p, const struct gw_rw_sample *v)
{
    *p++ = GW_TAG(2, GW_LEN);
    *p++ = (uint8_t)(10 + gw_varint_size((uint64_t)v->time));
    *p++ = GW_TAG(1, GW_I64);
    memcpy(p, &v->bits, 8);
    p += 8;
    *p++ = GW_TAG(2, GW_VARINT);
    return gw_varint_put(p, (uint64_t)v->time);
}

void gw_rw_put_series_1(struct gw_rw_writer *w, const struct gw_rw_series *s)
{
    const struct gw_rw_metric *m = s->metric;
    size_t n = s->node->data_n + w->tail.n;
    uint8_t *p;

    if (s->name >= 0)
        n += m->label_at[s->name + 1] - m->label_at[s->name] + s->extra.n;
    for (uint32_t i = 0; i < s->n_samples; i++)
        n += 12 + gw_varint_size((uint64_t)s->samples[i].time);
    if (gw_buf_reserve(&w->body, n + HEADER_MAX) < 0)
        return;
    p = w->body.p + w->body.n;
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, n);
    p = put_labels(p, s);
    for (uint32_t i = 0; i < s->n_samples; i++)
        p = put_sample(p, &s->samples[i]);
    p = put(p, w->tail.p, w->tail.n);
    w->body.n = (size_t)(p - w->body.p);
}

void gw_rw_put_label(struct gw_buf *out, struct gw_slice name, struct gw_slice value)
{
    gw_rw_put_len(out, 1, 2 + gw_varint_size(name.n) + name.n + gw_varint_size(value.n) + value.n);
    gw_rw_put_bytes(out, 1, name);
    gw_rw_put_bytes(out, 2, value);
}
