/* SPDX-License-Identifier: Apache-2.0 */
/* verbosity: detailed. Metrics and their data points. */
#include <math.h>

#include "core/json_writer.h"
#include "exporters/debug/text.h"

static void put_f_line(struct gw_buf *b, const char *label, double v)
{
    gw_buf_put_str(b, label);
    gw_debug_put_f(b, v);
    gw_buf_put_u8(b, '\n');
}

static void put_i_line(struct gw_buf *b, const char *label, int64_t v)
{
    gw_buf_put_str(b, label);
    gw_json_put_i64(b, v);
    gw_buf_put_u8(b, '\n');
}

static void put_u_line(struct gw_buf *b, const char *label, uint64_t v)
{
    gw_buf_put_str(b, label);
    gw_json_put_u64(b, v);
    gw_buf_put_u8(b, '\n');
}

static void put_time_line(struct gw_buf *b, const char *label, uint64_t time_ns)
{
    gw_buf_put_str(b, label);
    gw_debug_put_time(b, time_ns);
    gw_buf_put_u8(b, '\n');
}

static void put_exemplars(struct gw_debug_text *t, const struct gw_debug_message *point, uint32_t number)
{
    struct gw_wire_walk w = gw_wire_walk(point->all);
    struct gw_debug_message m;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&w, number, &s); i++) {
        if (i == 0)
            gw_buf_put_str(t->out, "Exemplars:\n");
        gw_debug_open(&m, s);
        gw_buf_printf(t->out, "Exemplar #%u\n     -> Trace ID: ", i);
        gw_debug_put_id(t->out, m.val[5]);
        gw_buf_put_str(t->out, "\n     -> Span ID: ");
        gw_debug_put_id(t->out, m.val[4]);
        put_time_line(t->out, "\n     -> Timestamp: ", gw_debug_u64(&m, 2));
        if (m.n[3])
            put_f_line(t->out, "     -> Value: ", gw_debug_f64(&m, 3));
        else if (m.n[6])
            put_i_line(t->out, "     -> Value: ", (int64_t)gw_debug_u64(&m, 6));
        gw_debug_put_attributes(t, "     ", "     -> FilteredAttributes", s, 7);
    }
}

static void put_number(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    if (m->n[4])
        put_f_line(t->out, "Value: ", gw_debug_f64(m, 4));
    else if (m->n[6])
        put_i_line(t->out, "Value: ", (int64_t)gw_debug_u64(m, 6));
    put_exemplars(t, m, 5);
}

static void put_count(struct gw_buf *b, const struct gw_debug_message *m, unsigned min, unsigned max)
{
    put_u_line(b, "Count: ", gw_debug_u64(m, 4));
    if (m->n[5])
        put_f_line(b, "Sum: ", gw_debug_f64(m, 5));
    if (m->n[min])
        put_f_line(b, "Min: ", gw_debug_f64(m, min));
    if (m->n[max])
        put_f_line(b, "Max: ", gw_debug_f64(m, max));
}

static void put_histogram(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    struct gw_debug_numbers it = gw_debug_numbers(m, 7, false);
    uint64_t v;
    double bound;

    put_count(t->out, m, 11, 12);
    for (unsigned i = 0; gw_debug_next_number(&it, &v); i++) {
        memcpy(&bound, &v, sizeof(bound));
        gw_buf_printf(t->out, "ExplicitBounds #%u: ", i);
        put_f_line(t->out, "", bound);
    }
    it = gw_debug_numbers(m, 6, false);
    for (unsigned i = 0; gw_debug_next_number(&it, &v); i++) {
        gw_buf_printf(t->out, "Buckets #%u, Count: ", i);
        put_u_line(t->out, "", v);
    }
    put_exemplars(t, m, 8);
}

static void put_bucket(struct gw_buf *b, const char *open, double from, double to, const char *close, uint64_t count)
{
    gw_buf_put_str(b, open);
    gw_debug_put_f(b, from);
    gw_buf_put_str(b, ", ");
    gw_debug_put_f(b, to);
    put_u_line(b, close, count);
}

static void put_exp_histogram(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    double factor = gw_debug_bucket_factor(m), offset;
    struct gw_debug_message side;
    struct gw_debug_numbers it;
    uint64_t count;

    put_count(t->out, m, 12, 13);
    gw_debug_open(&side, m->val[9]); /* negative: from the farthest bucket to zero */
    offset = gw_debug_bucket_offset(&side);
    for (double i = gw_debug_count_varints(side.val[2]) - 1.0; gw_debug_take_last(&side.val[2], &count); i--)
        put_bucket(t->out, "Bucket [", -exp((offset + i + 1) * factor), -exp((offset + i) * factor),
                   "), Count: ", count);
    if (gw_debug_u64(m, 7))
        put_u_line(t->out, "Bucket [0, 0], Count: ", gw_debug_u64(m, 7));
    gw_debug_open(&side, m->val[8]);
    offset = gw_debug_bucket_offset(&side);
    it = gw_debug_numbers(&side, 2, true);
    for (double i = 0; gw_debug_next_number(&it, &count); i++)
        put_bucket(t->out, "Bucket (", exp((offset + i) * factor), exp((offset + i + 1) * factor), "], Count: ", count);
    put_exemplars(t, m, 11);
}

static void put_summary(struct gw_debug_text *t, const struct gw_debug_message *m)
{
    struct gw_wire_walk w = gw_wire_walk(m->all);
    struct gw_debug_message q;
    struct gw_slice s;

    put_u_line(t->out, "Count: ", gw_debug_u64(m, 4));
    put_f_line(t->out, "Sum: ", gw_debug_f64(m, 5));
    for (unsigned i = 0; gw_debug_next(&w, 6, &s); i++) {
        gw_debug_open(&q, s);
        gw_buf_printf(t->out, "QuantileValue #%u: Quantile ", i);
        gw_debug_put_f(t->out, gw_debug_f64(&q, 1));
        put_f_line(t->out, ", Value ", gw_debug_f64(&q, 2));
    }
}

/* By the number of the metric's data field. */
static const struct type {
    const char *name, *points;
    uint32_t attributes; /* of a point */
    void (*put)(struct gw_debug_text *t, const struct gw_debug_message *m);
} types[GW_DEBUG_FIELDS] = {
    [5] = {"Gauge", "NumberDataPoints", 7, put_number},
    [7] = {"Sum", "NumberDataPoints", 7, put_number},
    [9] = {"Histogram", "HistogramDataPoints", 9, put_histogram},
    [10] = {"ExponentialHistogram", "ExponentialHistogramDataPoints", 1, put_exp_histogram},
    [11] = {"Summary", "SummaryDataPoints", 7, put_summary},
};

static void put_points(struct gw_debug_text *t, const struct type *type, struct gw_slice data)
{
    struct gw_wire_walk w = gw_wire_walk(data);
    struct gw_debug_message m;
    struct gw_slice s;

    for (unsigned i = 0; gw_debug_next(&w, 1, &s); i++) {
        gw_debug_open(&m, s);
        gw_buf_printf(t->out, "%s #%u\n", type->points, i);
        gw_debug_put_attributes(t, "", "Data point attributes", s, type->attributes);
        put_time_line(t->out, "StartTimestamp: ", gw_debug_u64(&m, 2));
        put_time_line(t->out, "Timestamp: ", gw_debug_u64(&m, 3));
        type->put(t, &m);
    }
}

void gw_debug_detailed_metric(struct gw_debug_text *t, struct gw_slice metric)
{
    static const char *const temporalities[] = {"Unspecified", "Delta", "Cumulative"};
    struct gw_debug_message m, data;
    struct gw_buf *b = t->out;
    unsigned type = 0;

    gw_debug_open(&m, metric);
    for (unsigned i = 5; i <= 11; i++)
        if (types[i].name && m.n[i])
            type = i;
    gw_buf_put_str(b, "Descriptor:\n");
    gw_debug_put_line(b, "     -> Name: ", m.val[1]);
    gw_debug_put_line(b, "     -> Description: ", m.val[2]);
    gw_debug_put_line(b, "     -> Unit: ", m.val[3]);
    gw_buf_printf(b, "     -> DataType: %s\n", type ? types[type].name : "Empty");
    gw_debug_put_attributes(t, "     ", "     -> Metadata", metric, 12);
    if (!type)
        return;
    gw_debug_open(&data, m.val[type]);
    if (type == 7)
        gw_buf_printf(b, "     -> IsMonotonic: %s\n", data.varint[3] ? "true" : "false");
    if (type == 7 || type == 9 || type == 10)
        gw_buf_printf(b, "     -> AggregationTemporality: %s\n",
                      data.varint[2] < 3 ? temporalities[data.varint[2]] : "");
    put_points(t, &types[type], m.val[type]);
}
