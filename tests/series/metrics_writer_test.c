/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is read back by protobuf-c, and packed again to the same bytes. */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "series/metrics_writer.h"

typedef Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest Request;
#define UNPACK  opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack
#define RELEASE opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked

enum { MAX_BODIES = 64 };
static struct {
    Request *bodies[MAX_BODIES];
    uint32_t points[MAX_BODIES];
    size_t longest;
    unsigned n;
    int rc;
} got;

static int cut(void *arg, struct gw_slice body, uint32_t points)
{
    (void)arg;
    assert_true(got.n < MAX_BODIES);
    got.bodies[got.n] = UNPACK(NULL, body.n, body.p);
    assert_non_null(got.bodies[got.n]);
    got.longest = body.n > got.longest ? body.n : got.longest;
    got.points[got.n++] = points;
    return got.rc;
}

static void let_go(void)
{
    while (got.n)
        RELEASE(got.bodies[--got.n], NULL);
    got.longest = 0;
    got.rc = 0;
}

static const double at[] = {1, 2};
static const struct gw_bounds bounds = {at, 2};

static void write_all(struct gw_mw *w, struct gw_slice attrs)
{
    struct gw_mw_exemplar x = {.time_ns = 7, .value = 1.5, .trace_id = {1, 2}, .span_id = {3}};
    struct gw_mw_point p = {attrs, 10, 20, &x, 1};
    struct gw_explicit *h = calloc(1, gw_explicit_bytes(&bounds));
    struct gw_exponential e;

    assert_non_null(h);
    gw_explicit_add(h, &bounds, 1.5, 300);
    gw_exponential_init(&e, 160);
    assert_true(gw_exponential_add(&e, 0.25, 2) && gw_exponential_add(&e, 0, 1));
    gw_mw_resource(w, attrs, GW_SLICE("url"));
    gw_mw_scope(w, GW_SLICE("scope"), GW_SLICE("1"));
    gw_mw_metric(w, &(struct gw_mw_metric){.name = GW_SLICE("calls"),
                                           .description = GW_SLICE("how often"),
                                           .type = GW_M_SUM,
                                           .temporality = GW_T_CUMULATIVE,
                                           .monotonic = true});
    gw_mw_int(w, &p, -3);
    gw_mw_metric(w, &(struct gw_mw_metric){.name = GW_SLICE("level"), .type = GW_M_GAUGE});
    gw_mw_double(w, &p, 2.5);
    gw_mw_metric(w,
                 &(struct gw_mw_metric){
                     .name = GW_SLICE("d"), .unit = GW_SLICE("ms"), .type = GW_M_HISTOGRAM, .temporality = GW_T_DELTA});
    gw_mw_histogram(w, &p, &bounds, h);
    gw_mw_resource(w, GW_SLICE(""), GW_SLICE(""));
    gw_mw_scope(w, GW_SLICE(""), GW_SLICE(""));
    gw_mw_metric(w,
                 &(struct gw_mw_metric){.name = GW_SLICE("e"), .type = GW_M_EXP_HISTOGRAM, .temporality = GW_T_DELTA});
    gw_mw_exponential(w, &p, &e);
    assert_int_equal(gw_mw_end(w), got.rc);
    gw_exponential_clear(&e);
    free(h);
}

static struct gw_buf run_of_all(void)
{
    static const uint8_t array[] = "\x0a\x02\x18\x05";
    struct gw_value v[] = {
        {.type = GW_V_INT, .i = -5},
        {.type = GW_V_DOUBLE, .f = 0.5},
        {.type = GW_V_BOOL, .b = false},
        {.type = GW_V_BYTES, .s = GW_SLICE("\0\1")},
        {.type = GW_V_EMPTY},
        {.type = GW_V_ARRAY, .s = {array, 4}},
    };
    struct gw_buf run;
    char longer[300];

    memset(longer, 'x', sizeof(longer));
    gw_buf_init(&run, 4096);
    gw_mw_attr_put_str(&run, GW_SLICE("s"), GW_SLICE(""));
    gw_mw_attr_put_str(&run, GW_SLICE("long"), gw_slice_of(longer, sizeof(longer)));
    for (unsigned i = 0; i < 6; i++)
        gw_mw_attr_put(&run, GW_SLICE("k"), &v[i]);
    return run;
}

/* Scenario: every kind of point, with every kind of attribute. Guarantees: protobuf-c reads what was meant. */
static void everything_is_read_back(void **state)
{
    struct gw_buf out, run = run_of_all();
    struct gw_mw w;
    Opentelemetry__Proto__Metrics__V1__Metric **m;
    Opentelemetry__Proto__Metrics__V1__NumberDataPoint *n;
    Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *h;
    Opentelemetry__Proto__Metrics__V1__ExponentialHistogramDataPoint *e;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    gw_mw_init(&w, &out, 1 << 20, cut, NULL);
    write_all(&w, gw_buf_slice(&run));
    assert_int_equal(got.n, 1);
    assert_int_equal(got.points[0], 4);
    assert_int_equal(got.bodies[0]->n_resource_metrics, 2);
    assert_int_equal(got.bodies[0]->resource_metrics[0]->resource->n_attributes, 8);
    assert_string_equal(got.bodies[0]->resource_metrics[0]->schema_url, "url");
    assert_string_equal(got.bodies[0]->resource_metrics[0]->scope_metrics[0]->scope->version, "1");
    m = got.bodies[0]->resource_metrics[0]->scope_metrics[0]->metrics;
    assert_string_equal(m[0]->description, "how often");
    assert_int_equal(m[0]->sum->aggregation_temporality, 2);
    assert_true(m[0]->sum->is_monotonic);
    n = m[0]->sum->data_points[0];
    assert_int_equal(n->as_int, -3);
    assert_int_equal(n->start_time_unix_nano, 10);
    assert_int_equal(n->time_unix_nano, 20);
    assert_int_equal(n->n_attributes, 8);
    assert_string_equal(n->attributes[0]->value->string_value, "");
    assert_int_equal(strlen(n->attributes[1]->value->string_value), 300);
    assert_int_equal(n->attributes[2]->value->int_value, -5);
    assert_true(n->attributes[3]->value->double_value == 0.5);
    assert_int_equal(n->attributes[4]->value->value_case, 2);
    assert_int_equal(n->attributes[5]->value->bytes_value.len, 2);
    assert_int_equal(n->attributes[6]->value->value_case, 0);
    assert_int_equal(n->attributes[7]->value->array_value->values[0]->int_value, 5);
    assert_int_equal(n->n_exemplars, 1);
    assert_true(n->exemplars[0]->as_double == 1.5);
    assert_int_equal(n->exemplars[0]->trace_id.data[1], 2);
    assert_int_equal(n->exemplars[0]->span_id.len, 8);
    assert_true(m[1]->gauge->data_points[0]->as_double == 2.5);
    assert_string_equal(m[2]->unit, "ms");
    h = m[2]->histogram->data_points[0];
    assert_int_equal(h->count, 300);
    assert_true(h->sum == 450);
    assert_int_equal(h->n_bucket_counts, 3);
    assert_int_equal(h->bucket_counts[1], 300);
    assert_true(h->explicit_bounds[1] == 2);
    assert_int_equal(h->n_attributes, 8);
    e = got.bodies[0]->resource_metrics[1]->scope_metrics[0]->metrics[0]->exponential_histogram->data_points[0];
    assert_int_equal(e->count, 3);
    assert_int_equal(e->zero_count, 1);
    assert_int_equal(e->scale, 20);
    assert_int_equal(e->positive->offset, -(2 << 20) - 1);
    assert_int_equal(e->positive->n_bucket_counts, 1);
    assert_int_equal(e->positive->bucket_counts[0], 2);
    assert_true(e->min == 0 && e->max == 0.25);
    assert_int_equal(e->n_attributes, 8);
    let_go();
    gw_buf_clear(&out);
    gw_buf_clear(&run);
}

/* Scenario: bodies of at most 2 KB. Guarantees: each names its resource, scope and metric; no point is lost; an error
 * of cut ends it. */
static void long_bodies_are_cut(void **state)
{
    struct gw_buf out, run = run_of_all();
    struct gw_mw w;
    unsigned points = 0, bodies;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    gw_mw_init(&w, &out, 2048, cut, NULL);
    gw_mw_resource(&w, gw_buf_slice(&run), GW_SLICE("u"));
    gw_mw_scope(&w, GW_SLICE("s"), GW_SLICE(""));
    gw_mw_metric(&w, &(struct gw_mw_metric){.name = GW_SLICE("g"), .type = GW_M_GAUGE});
    for (unsigned i = 0; i < 100; i++)
        gw_mw_int(&w, &(struct gw_mw_point){.attrs = gw_buf_slice(&run)}, i);
    assert_int_equal(gw_mw_end(&w), 0);
    assert_true(got.n > 10 && got.longest < 3072);
    for (unsigned i = 0; i < got.n; i++) {
        Opentelemetry__Proto__Metrics__V1__ResourceMetrics *r = got.bodies[i]->resource_metrics[0];
        Opentelemetry__Proto__Metrics__V1__Gauge *g = r->scope_metrics[0]->metrics[0]->gauge;

        assert_int_equal(r->resource->n_attributes, 8);
        assert_string_equal(r->schema_url, "u");
        assert_string_equal(r->scope_metrics[0]->scope->name, "s");
        assert_int_equal(g->n_data_points, got.points[i]);
        for (unsigned k = 0; k < g->n_data_points; k++)
            assert_int_equal(g->data_points[k]->as_int, points++);
    }
    assert_int_equal(points, 100);
    bodies = got.n;
    let_go();
    got.rc = -EBUSY;
    gw_mw_init(&w, &out, 2048, cut, NULL);
    gw_mw_resource(&w, gw_buf_slice(&run), GW_SLICE(""));
    gw_mw_scope(&w, GW_SLICE("s"), GW_SLICE(""));
    gw_mw_metric(&w, &(struct gw_mw_metric){.name = GW_SLICE("g"), .type = GW_M_GAUGE});
    for (unsigned i = 0; i < 100; i++)
        gw_mw_int(&w, &(struct gw_mw_point){.attrs = gw_buf_slice(&run)}, i);
    assert_int_equal(gw_mw_end(&w), -EBUSY);
    assert_true(got.n == 1 && bodies > 1);
    let_go();
    gw_buf_clear(&out);
    gw_buf_clear(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read_back),
        cmocka_unit_test(long_bodies_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
