/* SPDX-License-Identifier: Apache-2.0 */
/* What a connector makes of spans and others, read by protobuf-c: points found by metric and attributes. */
#ifndef GW_TESTS_CONNECTORS_POINTS_H
#define GW_TESTS_CONNECTORS_POINTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "tests/harness_connector.h"

#define S          UINT64_C(1000000000)
#define SERVICE    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}"
#define STR(k, v)  "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define INT(k, v)  "{\"key\":\"" k "\",\"value\":{\"intValue\":\"" v "\"}}"
#define ID         "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\","
#define TIMES(ms)  "\"startTimeUnixNano\":\"1000000000000\",\"endTimeUnixNano\":\"1000" ms "000000\""
#define SPAN(rest) "{" ID rest "}"
#define SPANS(resource, spans)                                                                                         \
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" resource "]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\","  \
    "\"version\":\"1.2\"},\"spans\":[" spans "]}]}]}"
/* A server span "get" of 123 ms. */
#define GET SPAN("\"name\":\"get\",\"kind\":2," TIMES("123"))

typedef Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest Request;
typedef Opentelemetry__Proto__Metrics__V1__Metric Metric;
typedef Opentelemetry__Proto__Common__V1__KeyValue KeyValue;
typedef Opentelemetry__Proto__Metrics__V1__Exemplar Exemplar;

struct point {
    unsigned times; /* points that match */
    KeyValue **attrs;
    size_t n_attrs, n_resource_attrs;
    uint64_t start, time, count;
    int64_t number;
    double sum, min, max;
    uint64_t *buckets;
    double *bounds;
    size_t n_buckets, n_bounds, n_exemplars;
    Exemplar **exemplars;
    int32_t scale, offset;
    int temporality;
    char unit[16];
};

static Request *requests[GW_JOINT_BODIES];
static unsigned n_requests, read_changes;
static const struct gw_joint_rig *read_of; /* those are its bodies, as of read_changes */

static inline void let_go(void)
{
    read_of = NULL;
    while (n_requests)
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked(
            requests[--n_requests], NULL);
}

static inline void read_all(const struct gw_joint_rig *r)
{
    if (read_of == r && read_changes == r->n_changes)
        return;
    let_go();
    for (; n_requests < r->n_bodies; n_requests++) {
        requests[n_requests] = opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(
            NULL, r->bodies[n_requests].n, r->bodies[n_requests].p);
        assert_non_null(requests[n_requests]);
    }
    read_of = r;
    read_changes = r->n_changes;
}

/* "k=v"; of an int "k=#5"; "k" alone: it is not there. */
static inline bool has_attr(KeyValue **attrs, size_t n, const char *want)
{
    const char *eq = strchr(want, '=');
    size_t len = eq ? (size_t)(eq - want) : strlen(want);
    char text[64];

    for (size_t i = 0; i < n; i++) {
        if (strlen(attrs[i]->key) != len || memcmp(attrs[i]->key, want, len) != 0)
            continue;
        if (!eq)
            return false;
        if (attrs[i]->value->value_case == OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE)
            return strcmp(attrs[i]->value->string_value, eq + 1) == 0;
        (void)snprintf(text, sizeof(text), "#%lld", (long long)attrs[i]->value->int_value);
        return strcmp(text, eq + 1) == 0;
    }
    return !eq;
}

static inline bool matches(KeyValue **attrs, size_t n, const char *const *want)
{
    for (; *want; want++)
        if (!has_attr(attrs, n, *want))
            return false;
    return true;
}

#define IS(m, what) ((m)->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_##what)

static inline void look_at(const Metric *m, const char *const *want, size_t n_resource, struct point *p)
{
    for (size_t i = 0; IS(m, SUM) && i < m->sum->n_data_points; i++) {
        Opentelemetry__Proto__Metrics__V1__NumberDataPoint *d = m->sum->data_points[i];

        if (matches(d->attributes, d->n_attributes, want))
            *p = (struct point){.times = p->times + 1,
                                .attrs = d->attributes,
                                .n_attrs = d->n_attributes,
                                .n_resource_attrs = n_resource,
                                .start = d->start_time_unix_nano,
                                .time = d->time_unix_nano,
                                .number = d->as_int,
                                .n_exemplars = d->n_exemplars,
                                .exemplars = d->exemplars,
                                .temporality = (int)m->sum->aggregation_temporality};
    }
    for (size_t i = 0; IS(m, HISTOGRAM) && i < m->histogram->n_data_points; i++) {
        Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *d = m->histogram->data_points[i];

        if (matches(d->attributes, d->n_attributes, want))
            *p = (struct point){.times = p->times + 1,
                                .attrs = d->attributes,
                                .n_attrs = d->n_attributes,
                                .n_resource_attrs = n_resource,
                                .start = d->start_time_unix_nano,
                                .time = d->time_unix_nano,
                                .count = d->count,
                                .sum = d->sum,
                                .buckets = d->bucket_counts,
                                .n_buckets = d->n_bucket_counts,
                                .bounds = d->explicit_bounds,
                                .n_bounds = d->n_explicit_bounds,
                                .n_exemplars = d->n_exemplars,
                                .exemplars = d->exemplars,
                                .temporality = (int)m->histogram->aggregation_temporality};
    }
    for (size_t i = 0; IS(m, EXPONENTIAL_HISTOGRAM) && i < m->exponential_histogram->n_data_points; i++) {
        Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *d = m->exponential_histogram->data_points[i];

        if (matches(d->attributes, d->n_attributes, want))
            *p = (struct point){.times = p->times + 1,
                                .attrs = d->attributes,
                                .n_attrs = d->n_attributes,
                                .start = d->start_time_unix_nano,
                                .time = d->time_unix_nano,
                                .count = d->count,
                                .sum = d->sum,
                                .min = d->min,
                                .max = d->max,
                                .scale = d->scale,
                                .buckets = d->positive ? d->positive->bucket_counts : NULL,
                                .n_buckets = d->positive ? d->positive->n_bucket_counts : 0,
                                .offset = d->positive ? d->positive->offset : 0,
                                .temporality = (int)m->exponential_histogram->aggregation_temporality};
    }
    (void)snprintf(p->unit, sizeof(p->unit), "%s", m->unit);
}

/* The last point of that metric with these attributes, since gw_joint_forget. */
static inline struct point find(struct gw_joint_rig *r, const char *metric, const char *const *want)
{
    struct point p = {0};

    read_all(r);
    for (unsigned b = 0; b < n_requests; b++)
        for (size_t i = 0; i < requests[b]->n_resource_metrics; i++) {
            Opentelemetry__Proto__Metrics__V1__ResourceMetrics *rm = requests[b]->resource_metrics[i];

            for (size_t k = 0; k < rm->n_scope_metrics; k++)
                for (size_t n = 0; n < rm->scope_metrics[k]->n_metrics; n++)
                    if (strcmp(rm->scope_metrics[k]->metrics[n]->name, metric) == 0)
                        look_at(rm->scope_metrics[k]->metrics[n], want, rm->resource->n_attributes, &p);
        }
    return p;
}
#define FIND(r, metric, ...) find(r, metric, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Open, with a number of workers and the settings. */
static inline __attribute__((unused)) void open_rig(struct gw_joint_rig *r, unsigned workers, const char *yaml)
{
    gw_joint_open(r, "span_metrics", GW_TRACES, yaml, workers);
}

/* Forget, then a minute, and instance 0 ticks. */
static inline void flush(struct gw_joint_rig *r)
{
    gw_joint_forget(r);
    gw_joint_tick(r, 0, 60 * S);
}

static inline void close_rig(struct gw_joint_rig *r)
{
    let_go();
    gw_joint_close(r);
}

#define CALLS    "traces.span.metrics.calls"
#define DURATION "traces.span.metrics.duration"
#define EVENTS   "traces.span.metrics.events"

#endif
