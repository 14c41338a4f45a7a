/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle's half of the comparison: all columns of a batch back into protobuf-c messages, by the columns alone. What
 * protobuf-c packs from them must be what it packs from its own reading of the same bytes. Everything is malloced into
 * one arena; only text and numbers of the columns are used, never the raw slices of rows.
 */
#ifndef GW_TESTS_OTLP_REBUILD_H
#define GW_TESTS_OTLP_REBUILD_H

#include <opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h>
#include <opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h>
#include <stdlib.h>

#include "batch/batch.h"
#include "core/arena.h"

#define PB(name) Opentelemetry__Proto__##name

struct rebuild {
    const struct gw_batch *b;
    struct gw_arena *arena;
};

static inline void *rb_new(struct rebuild *rb, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = gw_arena_zalloc(rb->arena, d->sizeof_message);

    if (!m)
        abort();
    protobuf_c_message_init(d, m);
    return m;
}

static inline void *rb_list(struct rebuild *rb, size_t n)
{
    void *p = gw_arena_zalloc(rb->arena, (n ? n : 1) * 8);

    if (!p)
        abort();
    return p;
}

static inline char *rb_text(struct rebuild *rb, struct gw_ref r)
{
    char *s = gw_arena_zalloc(rb->arena, r.len + 1u);

    if (!s)
        abort();
    memcpy(s, rb->b->base + r.off, r.len);
    return s;
}

static inline ProtobufCBinaryData rb_bytes(const uint8_t *p, size_t n, bool none)
{
    return (ProtobufCBinaryData){none ? 0 : n, none ? NULL : (uint8_t *)(uintptr_t)p};
}

static inline ProtobufCBinaryData rb_id(const uint8_t *p, size_t n)
{
    bool zero = true;

    for (size_t i = 0; i < n; i++)
        zero &= p[i] == 0;
    return rb_bytes(p, n, zero);
}

static inline void *rb_unpack(struct rebuild *rb, const ProtobufCMessageDescriptor *d, struct gw_ref r);

static inline void *rb_arena_alloc(void *arena, size_t n)
{
    return gw_arena_alloc(arena, n ? n : 1);
}
static inline void rb_arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static inline void *rb_unpack(struct rebuild *rb, const ProtobufCMessageDescriptor *d, struct gw_ref r)
{
    ProtobufCAllocator a = {rb_arena_alloc, rb_arena_free, rb->arena};
    void *m = protobuf_c_message_unpack(d, &a, r.len, rb->b->base + r.off);

    if (!m)
        abort(); /* what the decoder let pass */
    return m;
}

static inline PB(Common__V1__AnyValue) * rb_any(struct rebuild *rb, uint8_t type, union gw_val val)
{
    PB(Common__V1__AnyValue) *a = rb_new(rb, &opentelemetry__proto__common__v1__any_value__descriptor);
    static const PB(Common__V1__AnyValue__ValueCase) cases[] = {
        [GW_V_STRING] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE,
        [GW_V_BOOL] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BOOL_VALUE,
        [GW_V_INT] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE,
        [GW_V_DOUBLE] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_DOUBLE_VALUE,
        [GW_V_BYTES] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BYTES_VALUE,
        [GW_V_ARRAY] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_ARRAY_VALUE,
        [GW_V_KVLIST] = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_KVLIST_VALUE,
    };

    a->value_case = cases[type];
    switch ((enum gw_value_type)type) {
    case GW_V_STRING:
        a->string_value = rb_text(rb, val.ref);
        break;
    case GW_V_BOOL:
        a->bool_value = val.u64 != 0;
        break;
    case GW_V_INT:
        a->int_value = val.i64;
        break;
    case GW_V_DOUBLE:
        a->double_value = val.f64;
        break;
    case GW_V_BYTES:
        a->bytes_value = rb_bytes(rb->b->base + val.ref.off, val.ref.len, false);
        break;
    case GW_V_ARRAY:
        a->array_value = rb_unpack(rb, &opentelemetry__proto__common__v1__array_value__descriptor, val.ref);
        break;
    case GW_V_KVLIST:
        a->kvlist_value = rb_unpack(rb, &opentelemetry__proto__common__v1__key_value_list__descriptor, val.ref);
        break;
    case GW_V_EMPTY:
        break;
    }
    return a;
}

/* An attribute whose AnyValue was absent is not told from an empty one: both are given an empty one, as theirs is. */
static inline PB(Common__V1__KeyValue) * *rb_attrs(struct rebuild *rb, struct gw_range r, size_t *ret_n)
{
    PB(Common__V1__KeyValue) **list = rb_list(rb, r.end - r.begin);

    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_attr *a = &rb->b->attrs[i];
        PB(Common__V1__KeyValue) *kv = rb_new(rb, &opentelemetry__proto__common__v1__key_value__descriptor);

        kv->key = rb_text(rb, (struct gw_ref){a->kv_off + a->kdelta, a->klen});
        kv->value = rb_any(rb, a->type, a->val);
        list[i - r.begin] = kv;
    }
    *ret_n = r.end - r.begin;
    return list;
}

static inline PB(Resource__V1__Resource) * rb_resource(struct rebuild *rb, const struct gw_resource *r)
{
    PB(Resource__V1__Resource) *m = rb_new(rb, &opentelemetry__proto__resource__v1__resource__descriptor);

    m->attributes = rb_attrs(rb, r->attrs, &m->n_attributes);
    return m;
}

static inline PB(Common__V1__InstrumentationScope) * rb_scope(struct rebuild *rb, const struct gw_scope *s)
{
    PB(Common__V1__InstrumentationScope) *m =
        rb_new(rb, &opentelemetry__proto__common__v1__instrumentation_scope__descriptor);

    m->name = rb_text(rb, s->name);
    m->version = rb_text(rb, s->version);
    m->attributes = rb_attrs(rb, s->attrs, &m->n_attributes);
    return m;
}

static inline PB(Trace__V1__Span) * rb_span(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    PB(Trace__V1__Span) *s = rb_new(rb, &opentelemetry__proto__trace__v1__span__descriptor);

    s->trace_id = rb_bytes(b->trace_id[row], 16, b->row_flags[row] & GW_ROW_NO_TRACE_ID);
    s->span_id = rb_bytes(b->span_id[row], 8, b->row_flags[row] & GW_ROW_NO_SPAN_ID);
    s->parent_span_id = rb_id(b->parent_id[row], 8);
    s->trace_state = rb_text(rb, b->trace_state[row]);
    s->flags = b->flags[row];
    s->name = rb_text(rb, b->name[row]);
    s->kind = (PB(Trace__V1__Span__SpanKind))b->kind[row];
    s->start_time_unix_nano = b->time_ns[row];
    s->end_time_unix_nano = b->end_ns[row];
    s->attributes = rb_attrs(rb, b->attr[row], &s->n_attributes);
    s->dropped_attributes_count = b->dropped_attrs[row];
    s->dropped_events_count = b->dropped_events[row];
    s->dropped_links_count = b->dropped_links[row];
    s->status = rb_new(rb, &opentelemetry__proto__trace__v1__status__descriptor);
    s->status->code = (PB(Trace__V1__Status__StatusCode))b->status[row];
    s->status->message = rb_text(rb, b->status_message[row]);
    s->n_events = b->events_of[row].end - b->events_of[row].begin;
    s->events = rb_list(rb, s->n_events);
    for (size_t i = 0; i < s->n_events; i++) {
        const struct gw_event *e = &b->events[b->events_of[row].begin + i];
        PB(Trace__V1__Span__Event) *m = rb_new(rb, &opentelemetry__proto__trace__v1__span__event__descriptor);

        m->time_unix_nano = e->time_ns;
        m->name = rb_text(rb, e->name);
        m->attributes = rb_attrs(rb, e->attrs, &m->n_attributes);
        m->dropped_attributes_count = e->dropped_attrs;
        s->events[i] = m;
    }
    s->n_links = b->links_of[row].end - b->links_of[row].begin;
    s->links = rb_list(rb, s->n_links);
    for (size_t i = 0; i < s->n_links; i++) {
        const struct gw_link *l = &b->links[b->links_of[row].begin + i];
        PB(Trace__V1__Span__Link) *m = rb_new(rb, &opentelemetry__proto__trace__v1__span__link__descriptor);

        m->trace_id = rb_id(l->trace_id, 16);
        m->span_id = rb_id(l->span_id, 8);
        m->trace_state = rb_text(rb, l->trace_state);
        m->attributes = rb_attrs(rb, l->attrs, &m->n_attributes);
        m->dropped_attributes_count = l->dropped_attrs;
        m->flags = l->flags;
        s->links[i] = m;
    }
    return s;
}

static inline PB(Logs__V1__LogRecord) * rb_log(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    PB(Logs__V1__LogRecord) *l = rb_new(rb, &opentelemetry__proto__logs__v1__log_record__descriptor);

    l->time_unix_nano = b->time_ns[row];
    l->observed_time_unix_nano = b->observed_ns[row];
    l->severity_number = (PB(Logs__V1__SeverityNumber))b->severity[row];
    l->severity_text = rb_text(rb, b->severity_text[row]);
    l->body = rb_any(rb, b->body_type[row], b->body[row]);
    l->attributes = rb_attrs(rb, b->attr[row], &l->n_attributes);
    l->dropped_attributes_count = b->dropped_attrs[row];
    l->flags = b->flags[row];
    l->trace_id = rb_bytes(b->trace_id[row], 16, b->row_flags[row] & GW_ROW_NO_TRACE_ID);
    l->span_id = rb_bytes(b->span_id[row], 8, b->row_flags[row] & GW_ROW_NO_SPAN_ID);
    l->event_name = rb_text(rb, b->event_name[row]);
    return l;
}

static inline PB(Metrics__V1__Exemplar) * *rb_exemplars(struct rebuild *rb, uint32_t row, size_t *ret_n)
{
    struct gw_range r = rb->b->exemplars_of[row];
    PB(Metrics__V1__Exemplar) **list = rb_list(rb, r.end - r.begin);

    *ret_n = r.end - r.begin;
    for (size_t i = 0; i < *ret_n; i++) {
        const struct gw_exemplar *x = &rb->b->exemplars[r.begin + i];
        PB(Metrics__V1__Exemplar) *m = rb_new(rb, &opentelemetry__proto__metrics__v1__exemplar__descriptor);

        m->filtered_attributes = rb_attrs(rb, x->attrs, &m->n_filtered_attributes);
        m->time_unix_nano = x->time_ns;
        m->trace_id = rb_bytes(x->trace_id, 16, !x->has_trace_id);
        m->span_id = rb_bytes(x->span_id, 8, !x->has_span_id);
        if (x->value_type == GW_N_DOUBLE) {
            m->value_case = OPENTELEMETRY__PROTO__METRICS__V1__EXEMPLAR__VALUE_AS_DOUBLE;
            m->as_double = x->value.f64;
        } else if (x->value_type == GW_N_INT) {
            m->value_case = OPENTELEMETRY__PROTO__METRICS__V1__EXEMPLAR__VALUE_AS_INT;
            m->as_int = x->value.i64;
        }
        list[i] = m;
    }
    return list;
}

static inline void *rb_number(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    PB(Metrics__V1__NumberDataPoint) *p = rb_new(rb, &opentelemetry__proto__metrics__v1__number_data_point__descriptor);

    p->attributes = rb_attrs(rb, b->attr[row], &p->n_attributes);
    p->start_time_unix_nano = b->start_ns[row];
    p->time_unix_nano = b->time_ns[row];
    p->exemplars = rb_exemplars(rb, row, &p->n_exemplars);
    p->flags = b->flags[row];
    if (b->number_type[row] == GW_N_INT) {
        p->value_case = OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT;
        p->as_int = b->number[row].i64;
    } else if (b->number_type[row] == GW_N_DOUBLE) {
        p->value_case = OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
        p->as_double = b->number[row].f64;
    }
    return p;
}

static inline void *rb_copy(struct rebuild *rb, struct gw_ref r, size_t *ret_n)
{
    void *p = rb_list(rb, r.len / 8);

    memcpy(p, rb->b->base + r.off, r.len);
    *ret_n = r.len / 8;
    return p;
}

static inline void *rb_histogram(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    const struct gw_hist *h = &b->hists[b->number[row].u64];
    PB(Metrics__V1__HistogramDataPoint) *p =
        rb_new(rb, &opentelemetry__proto__metrics__v1__histogram_data_point__descriptor);

    p->attributes = rb_attrs(rb, b->attr[row], &p->n_attributes);
    p->start_time_unix_nano = b->start_ns[row];
    p->time_unix_nano = b->time_ns[row];
    p->exemplars = rb_exemplars(rb, row, &p->n_exemplars);
    p->flags = b->flags[row];
    p->count = h->count;
    p->bucket_counts = rb_copy(rb, h->counts, &p->n_bucket_counts);
    p->explicit_bounds = rb_copy(rb, h->bounds, &p->n_explicit_bounds);
    if (h->has_sum) {
        p->_sum_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT___SUM_SUM;
        p->sum = h->sum;
    }
    if (h->has_min) {
        p->_min_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT___MIN_MIN;
        p->min = h->min;
    }
    if (h->has_max) {
        p->_max_case = OPENTELEMETRY__PROTO__METRICS__V1__HISTOGRAM_DATA_POINT___MAX_MAX;
        p->max = h->max;
    }
    return p;
}

static inline void *rb_buckets(struct rebuild *rb, int32_t offset, struct gw_ref r, uint32_t n)
{
    PB(Metrics__V1__ExponentialHistogramDataPoint__Buckets) *m =
        rb_new(rb, &opentelemetry__proto__metrics__v1__exponential_histogram_data_point__buckets__descriptor);
    uint32_t pos = r.off;

    m->offset = offset;
    m->bucket_counts = rb_list(rb, n);
    m->n_bucket_counts = n;
    for (uint32_t i = 0; i < n; i++)
        if (!gw_packed_varint_next(rb->b, r, &pos, &m->bucket_counts[i]))
            abort();
    if (pos != r.off + r.len)
        abort();
    return m;
}

static inline void *rb_exp_histogram(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    const struct gw_exphist *h = &b->exphists[b->number[row].u64];
    PB(Metrics__V1__ExponentialHistogramDataPoint) *p =
        rb_new(rb, &opentelemetry__proto__metrics__v1__exponential_histogram_data_point__descriptor);

    p->attributes = rb_attrs(rb, b->attr[row], &p->n_attributes);
    p->start_time_unix_nano = b->start_ns[row];
    p->time_unix_nano = b->time_ns[row];
    p->exemplars = rb_exemplars(rb, row, &p->n_exemplars);
    p->flags = b->flags[row];
    p->count = h->count;
    p->scale = h->scale;
    p->zero_count = h->zero_count;
    p->zero_threshold = h->zero_threshold;
    p->positive = rb_buckets(rb, h->positive_offset, h->positive, h->n_positive);
    p->negative = rb_buckets(rb, h->negative_offset, h->negative, h->n_negative);
    if (h->has_sum) {
        p->_sum_case = OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT___SUM_SUM;
        p->sum = h->sum;
    }
    if (h->has_min) {
        p->_min_case = OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT___MIN_MIN;
        p->min = h->min;
    }
    if (h->has_max) {
        p->_max_case = OPENTELEMETRY__PROTO__METRICS__V1__EXPONENTIAL_HISTOGRAM_DATA_POINT___MAX_MAX;
        p->max = h->max;
    }
    return p;
}

static inline void *rb_summary(struct rebuild *rb, uint32_t row)
{
    const struct gw_batch *b = rb->b;
    const struct gw_summary *s = &b->summaries[b->number[row].u64];
    PB(Metrics__V1__SummaryDataPoint) *p =
        rb_new(rb, &opentelemetry__proto__metrics__v1__summary_data_point__descriptor);

    p->attributes = rb_attrs(rb, b->attr[row], &p->n_attributes);
    p->start_time_unix_nano = b->start_ns[row];
    p->time_unix_nano = b->time_ns[row];
    p->flags = b->flags[row];
    p->count = s->count;
    p->sum = s->sum;
    p->n_quantile_values = s->quantiles.end - s->quantiles.begin;
    p->quantile_values = rb_list(rb, p->n_quantile_values);
    for (size_t i = 0; i < p->n_quantile_values; i++) {
        PB(Metrics__V1__SummaryDataPoint__ValueAtQuantile) *q =
            rb_new(rb, &opentelemetry__proto__metrics__v1__summary_data_point__value_at_quantile__descriptor);

        q->quantile = b->quantiles[s->quantiles.begin + i].quantile;
        q->value = b->quantiles[s->quantiles.begin + i].value;
        p->quantile_values[i] = q;
    }
    return p;
}

static inline void rb_metric_data(struct rebuild *rb, const struct gw_metric_desc *d, PB(Metrics__V1__Metric) * m)
{
    static const struct {
        PB(Metrics__V1__Metric__DataCase) kase;
        const ProtobufCMessageDescriptor *d;
        void *(*point)(struct rebuild *, uint32_t);
    } kinds[] = {
        [GW_M_GAUGE] = {OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_GAUGE,
                        &opentelemetry__proto__metrics__v1__gauge__descriptor, rb_number},
        [GW_M_SUM] = {OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM,
                      &opentelemetry__proto__metrics__v1__sum__descriptor, rb_number},
        [GW_M_HISTOGRAM] = {OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM,
                            &opentelemetry__proto__metrics__v1__histogram__descriptor, rb_histogram},
        [GW_M_EXP_HISTOGRAM] = {OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_EXPONENTIAL_HISTOGRAM,
                                &opentelemetry__proto__metrics__v1__exponential_histogram__descriptor,
                                rb_exp_histogram},
        [GW_M_SUMMARY] = {OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUMMARY,
                          &opentelemetry__proto__metrics__v1__summary__descriptor, rb_summary},
    };
    PB(Metrics__V1__Gauge) * g; /* all five begin alike */

    if (d->type == GW_M_NONE)
        return;
    g = rb_new(rb, kinds[d->type].d);
    g->n_data_points = d->rows.end - d->rows.begin;
    g->data_points = rb_list(rb, g->n_data_points);
    for (size_t i = 0; i < g->n_data_points; i++)
        g->data_points[i] = kinds[d->type].point(rb, d->rows.begin + (uint32_t)i);
    m->data_case = kinds[d->type].kase;
    m->gauge = g; /* a union */
    if (d->type == GW_M_SUM) {
        m->sum->aggregation_temporality = (PB(Metrics__V1__AggregationTemporality))d->temporality;
        m->sum->is_monotonic = d->monotonic;
    } else if (d->type == GW_M_HISTOGRAM) {
        m->histogram->aggregation_temporality = (PB(Metrics__V1__AggregationTemporality))d->temporality;
    } else if (d->type == GW_M_EXP_HISTOGRAM) {
        m->exponential_histogram->aggregation_temporality = (PB(Metrics__V1__AggregationTemporality))d->temporality;
    }
}

static inline void *rb_metric(struct rebuild *rb, uint32_t metric)
{
    const struct gw_metric_desc *d = &rb->b->metrics[metric];
    PB(Metrics__V1__Metric) *m = rb_new(rb, &opentelemetry__proto__metrics__v1__metric__descriptor);

    m->name = rb_text(rb, d->name);
    m->unit = rb_text(rb, d->unit);
    m->description = rb_text(rb, d->description);
    m->metadata = rb_attrs(rb, d->metadata, &m->n_metadata);
    rb_metric_data(rb, d, m);
    return m;
}

/* Spans, records or metrics of a scope. */
static inline void *rb_children(struct rebuild *rb, uint32_t scope, size_t *ret_n)
{
    const struct gw_batch *b = rb->b;
    struct gw_range r = b->scopes[scope].rows;
    void **list;

    if (b->signal == GW_METRICS) {
        r.begin = 0;
        while (r.begin < b->n_metrics && b->metrics[r.begin].scope < scope)
            r.begin++;
        for (r.end = r.begin; r.end < b->n_metrics && b->metrics[r.end].scope == scope;)
            r.end++;
    }
    *ret_n = r.end - r.begin;
    list = rb_list(rb, *ret_n);
    for (uint32_t i = r.begin; i < r.end; i++)
        list[i - r.begin] = b->signal == GW_TRACES ? (void *)rb_span(rb, i)
                            : b->signal == GW_LOGS ? (void *)rb_log(rb, i)
                                                   : rb_metric(rb, i);
    return list;
}

static inline const ProtobufCMessageDescriptor *rb_request(enum gw_signal signal)
{
    return signal == GW_TRACES ? &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor
           : signal == GW_LOGS
               ? &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor
               : &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor;
}

/* The three envelopes have one shape; so have the requests. */
static inline ProtobufCMessage *rb_all(struct rebuild *rb)
{
    const struct gw_batch *b = rb->b;
    PB(Collector__Trace__V1__ExportTraceServiceRequest) *q = rb_new(rb, rb_request(b->signal));
    const ProtobufCMessageDescriptor *outer = q->base.descriptor->fields[0].descriptor;
    const ProtobufCMessageDescriptor *inner = outer->fields[1].descriptor;
    uint32_t s = 0;

    q->n_resource_spans = b->n_resources;
    q->resource_spans = rb_list(rb, b->n_resources);
    for (uint32_t i = 0; i < b->n_resources; i++) {
        PB(Trace__V1__ResourceSpans) *r = rb_new(rb, outer);
        uint32_t end = s;

        while (end < b->n_scopes && b->scopes[end].resource == i)
            end++;
        r->resource = rb_resource(rb, &b->resources[i]);
        r->schema_url = rb_text(rb, b->resources[i].schema_url);
        r->n_scope_spans = end - s;
        r->scope_spans = rb_list(rb, end - s);
        for (uint32_t k = 0; s < end; s++, k++) {
            PB(Trace__V1__ScopeSpans) *m = rb_new(rb, inner);

            m->scope = rb_scope(rb, &b->scopes[s]);
            m->schema_url = rb_text(rb, b->scopes[s].schema_url);
            m->spans = rb_children(rb, s, &m->n_spans);
            r->scope_spans[k] = m;
        }
        q->resource_spans[i] = r;
    }
    return &q->base;
}

/* Make a message of protobuf-c's own reading comparable: what the columns leave out goes, absent messages are empty. */
static inline void rb_normalize(struct rebuild *rb, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    m->n_unknown_fields = 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char *at = (char *)m + f->offset, *count = (char *)m + f->quantifier_offset;
        bool in_any = strstr(d->name, "AnyValue") || strstr(d->name, "Metric") == d->name + strlen(d->name) - 6;

        if (strstr(f->name, "entity_refs") || strstr(f->name, "strindex") ||
            (strstr(f->name, "dropped_attributes_count") &&
             (strstr(d->name, "Resource") || strstr(d->name, "InstrumentationScope")))) {
            if (f->label == PROTOBUF_C_LABEL_REPEATED)
                *(size_t *)(void *)count = 0;
            else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
                memset(at, 0, 4);
            else if (*(int *)(void *)count == (int)f->id)
                *(int *)(void *)count = 0;
            continue;
        }
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            for (size_t k = 0; k < *(size_t *)(void *)count; k++)
                rb_normalize(rb, (*(ProtobufCMessage ***)(void *)at)[k]);
            continue;
        }
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            if (*(int *)(void *)count == (int)f->id && *(void **)(void *)at)
                rb_normalize(rb, *(ProtobufCMessage **)(void *)at);
            continue;
        }
        if (!in_any && !*(void **)(void *)at)
            *(void **)(void *)at = rb_new(rb, f->descriptor);
        rb_normalize(rb, *(ProtobufCMessage **)(void *)at);
    }
}

/* Packed bytes of a message; the caller's arena has them. */
static inline struct gw_slice rb_pack(struct rebuild *rb, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = gw_arena_alloc(rb->arena, n ? n : 1);

    if (!p || protobuf_c_message_pack(m, p) != n)
        abort();
    return gw_slice_of(p, n);
}

#endif
