/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics and exemplars; decode_points.c has the data points. */
#include "otlp-proto/decode_points.h"

static const uint8_t *exemplar_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, struct gw_exemplar *x,
                                    uint8_t *id_flags)
{
    static const char name[] = "Exemplar";

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(2, GW_I64):
            x->time_ns = gw_load64(p);
            p += 8;
            break;
        case GW_TAG(3, GW_I64):
        case GW_TAG(6, GW_I64):
            x->value.u64 = gw_load64(p);
            x->value_type = tag == GW_TAG(3, GW_I64) ? GW_N_DOUBLE : GW_N_INT;
            p += 8;
            break;
        case GW_TAG(4, GW_LEN):
            p = gw_dec_id(d, &p, end, x->span_id, 8, id_flags, GW_ROW_NO_SPAN_ID, GW_ROW_BAD_SPAN_ID, name) ? p : NULL;
            break;
        case GW_TAG(5, GW_LEN):
            p = gw_dec_id(d, &p, end, x->trace_id, 16, id_flags, GW_ROW_NO_TRACE_ID, GW_ROW_BAD_TRACE_ID, name) ? p
                                                                                                                : NULL;
            break;
        case GW_TAG(7, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &x->attrs);
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0xfcu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_exemplar(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint8_t *row_flags)
{
    struct gw_batch *b = d->b;
    struct gw_exemplar x = {.raw = {(uint32_t)(p - d->base), (uint32_t)(end - p)}};
    uint8_t id_flags = GW_ROW_NO_TRACE_ID | GW_ROW_NO_SPAN_ID;
    void *table = b->exemplars;
    bool room;

    p = exemplar_body(d, p, end, &x, &id_flags);
    if (!p)
        return NULL;
    x.has_trace_id = !(id_flags & (GW_ROW_NO_TRACE_ID | GW_ROW_BAD_TRACE_ID));
    x.has_span_id = !(id_flags & (GW_ROW_NO_SPAN_ID | GW_ROW_BAD_SPAN_ID));
    if (id_flags & (GW_ROW_BAD_TRACE_ID | GW_ROW_BAD_SPAN_ID))
        *row_flags |= GW_ROW_BAD_CHILD_ID;
    room = gw_dec_reserve(d, &table, b->n_exemplars, &b->cap_exemplars, sizeof(x));
    b->exemplars = table;
    if (!room)
        return NULL;
    b->exemplars[b->n_exemplars++] = x;
    return p;
}

/* One data point, p behind its tag: the row, then what its type has. */
static const uint8_t *point(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t metric)
{
    struct gw_batch *b = d->b;
    struct gw_point pt = {.metric = metric};
    uint32_t row = b->n_rows, n;
    enum gw_metric_type type = b->metrics[metric].type;

    if (!gw_dec_len(d, &p, end, &n, "data point") || !gw_dec_row_room(d))
        return NULL;
    b->raw[row] = (struct gw_ref){(uint32_t)(p - d->base), n};
    b->exemplars_of[row].begin = b->n_exemplars;
    switch (type) {
    case GW_M_HISTOGRAM:
        p = gw_dec_histogram_point(d, p, p + n, &pt);
        break;
    case GW_M_EXP_HISTOGRAM:
        p = gw_dec_exp_histogram_point(d, p, p + n, &pt);
        break;
    case GW_M_SUMMARY:
        p = gw_dec_summary_point(d, p, p + n, &pt);
        break;
    case GW_M_NONE:
    case GW_M_GAUGE:
    case GW_M_SUM:
        p = gw_dec_number_point(d, p, p + n, &pt);
        break;
    }
    if (GW_UNLIKELY(!p))
        return NULL;
    b->scope[row] = b->metrics[metric].scope;
    b->metric[row] = metric;
    b->row_flags[row] = pt.row_flags;
    b->time_ns[row] = pt.time_ns;
    b->start_ns[row] = pt.start_ns;
    b->attr[row] = pt.attrs;
    b->flags[row] = pt.flags;
    b->dropped_attrs[row] = 0;
    b->number_type[row] = pt.number_type;
    b->number[row] = pt.number;
    b->exemplars_of[row].end = b->n_exemplars;
    b->n_rows++;
    return gw_dec_within_budget(d) ? p : NULL;
}

/* Gauge, Sum, Histogram, ExponentialHistogram or Summary: field 1 the points, 2 temporality, 3 monotonic. */
static const uint8_t *data(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t metric)
{
    static const char name[] = "metric data";
    struct gw_batch *b = d->b;
    enum gw_metric_type type = b->metrics[metric].type;
    bool has_temporality = type == GW_M_SUM || type == GW_M_HISTOGRAM || type == GW_M_EXP_HISTOGRAM;
    uint32_t known = type == GW_M_SUM ? 0xe : has_temporality ? 6 : 2;
    uint64_t v;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        if (GW_LIKELY(tag == GW_TAG(1, GW_LEN))) {
            p = point(d, p, end, metric);
        } else if (tag == GW_TAG(2, GW_VARINT) && has_temporality) {
            p = gw_dec_enum(d, &p, &b->metrics[metric].temporality, name) ? p : NULL;
        } else if (tag == GW_TAG(3, GW_VARINT) && type == GW_M_SUM) {
            if (!gw_dec_varint(d, &p, &v, name))
                return NULL;
            b->metrics[metric].monotonic = v != 0;
        } else {
            p = gw_dec_unknown(d, at, p, end, tag, known, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

static const uint8_t *data_field(struct gw_dec *d, const uint8_t *at, const uint8_t *p, const uint8_t *end,
                                 uint32_t metric, enum gw_metric_type type)
{
    struct gw_metric_desc *m = &d->b->metrics[metric];
    uint32_t n;

    if (m->type != GW_M_NONE) /* two members of the oneof, or one in two pieces */
        return gw_dec_fail(d, GW_ODD, at, "", "");
    if (!gw_dec_len(d, &p, end, &n, "Metric"))
        return NULL;
    m->type = (uint8_t)type;
    m->data = (struct gw_ref){(uint32_t)(p - d->base), n};
    return data(d, p, p + n, metric);
}

static const uint8_t *metric_body(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t metric)
{
    static const char name[] = "Metric";
    struct gw_batch *b = d->b;

    while (p < end) {
        const uint8_t *at = p;
        uint32_t tag = gw_dec_tag(d, &p, end, name);

        switch (tag) {
        case GW_TAG(1, GW_LEN):
            p = gw_dec_string(d, &p, end, &b->metrics[metric].name, name) ? p : NULL;
            break;
        case GW_TAG(2, GW_LEN):
            p = gw_dec_string(d, &p, end, &b->metrics[metric].description, name) ? p : NULL;
            break;
        case GW_TAG(3, GW_LEN):
            p = gw_dec_string(d, &p, end, &b->metrics[metric].unit, name) ? p : NULL;
            break;
        case GW_TAG(5, GW_LEN):
            p = data_field(d, at, p, end, metric, GW_M_GAUGE);
            break;
        case GW_TAG(7, GW_LEN):
            p = data_field(d, at, p, end, metric, GW_M_SUM);
            break;
        case GW_TAG(9, GW_LEN):
            p = data_field(d, at, p, end, metric, GW_M_HISTOGRAM);
            break;
        case GW_TAG(10, GW_LEN):
            p = data_field(d, at, p, end, metric, GW_M_EXP_HISTOGRAM);
            break;
        case GW_TAG(11, GW_LEN):
            p = data_field(d, at, p, end, metric, GW_M_SUMMARY);
            break;
        case GW_TAG(12, GW_LEN):
            p = gw_dec_attr(d, at, p, end, &b->metrics[metric].metadata);
            break;
        default:
            p = gw_dec_unknown(d, at, p, end, tag, 0x1eaeu, name);
        }
        if (GW_UNLIKELY(!p))
            return NULL;
    }
    return gw_dec_end(d, p, end, name);
}

const uint8_t *gw_dec_metric(struct gw_dec *d, const uint8_t *p, const uint8_t *end, uint32_t scope)
{
    struct gw_batch *b = d->b;
    void *table = b->metrics;
    uint32_t metric = b->n_metrics;
    bool room = gw_dec_reserve(d, &table, b->n_metrics, &b->cap_metrics, sizeof(*b->metrics));

    b->metrics = table;
    if (!room)
        return NULL;
    b->n_metrics++;
    b->metrics[metric] = (struct gw_metric_desc){
        .scope = scope,
        .raw = {(uint32_t)(p - d->base), (uint32_t)(end - p)},
        .rows.begin = b->n_rows,
    };
    p = metric_body(d, p, end, metric);
    b->metrics[metric].rows.end = b->n_rows;
    return p;
}
