/* SPDX-License-Identifier: Apache-2.0 */
/* What rollup's tests share: data points at a second, results by name, end and attributes. Seconds are those behind a
 * full minute; the clock stands at 5.678 at first. */
#ifndef GW_TESTS_ROLLUP_WINDOWS_H
#define GW_TESTS_ROLLUP_WINDOWS_H

#include "tests/connectors/points.h"

static struct gw_joint_rig r;
static uint64_t minute; /* ns */

static inline void open_rollup(enum gw_signal signal, const char *yaml, unsigned n_workers)
{
    gw_joint_open(&r, "rollup", signal, yaml, n_workers);
    minute = gw_wall_ns(&r.te.env) / (60 * S) * (60 * S);
}

static inline void close_rollup(void)
{
    let_go();
    gw_joint_close(&r);
}

/* The clock goes to that second, with a tick of everybody at each step; shards take their turns. */
static inline void until(double second)
{
    uint64_t at = minute + (uint64_t)(second * 1e3) * 1000000, now = gw_wall_ns(&r.te.env);

    assert_true(at >= now);
    gw_test_env_advance(&r.te, at - now);
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 0; k < r.n_workers; k++)
            gw_joint_tick(&r, k, 0);
}

static inline const char *point_json(double second, double value, const char *attrs)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text), "{\"timeUnixNano\":\"%llu\",\"asDouble\":%.17g,\"attributes\":[%s]}",
                   (unsigned long long)(minute + (uint64_t)(second * 1e3) * 1000000), value, attrs);
    return text;
}

/* A gauge "temperature" of a resource with service.name=shop, host.name=h. */
static inline void gauge(unsigned worker, double second, double value, const char *attrs)
{
    char text[4096];

    (void)snprintf(
        text, sizeof(text),
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" SERVICE
        "," STR("host.name", "h") "]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\",\"version\":\"1\",\"attributes\":"
                                  "[" STR("s", "t") "]},\"metrics\":[{\"name\":\"temperature\",\"unit\":\"C\","
                                                    "\"gauge\":{\"dataPoints\":[%s]}}]}]}]}",
        point_json(second, value, attrs));
    gw_joint_send(&r, worker, text);
}

/* A counter "temperature" that goes on from its start. */
static inline void counter(unsigned worker, double second, double start, double value, const char *attrs)
{
    char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" SERVICE
                   "]},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"temperature\",\"unit\":\"{r}\",\"sum\":{"
                   "\"isMonotonic\":true,\"aggregationTemporality\":2,\"dataPoints\":[{\"startTimeUnixNano\":\"%llu\","
                   "%s]}}]}]}]}",
                   (unsigned long long)(minute + (uint64_t)(start * 1e3) * 1000000),
                   point_json(second, value, attrs) + 1);
    gw_joint_send(&r, worker, text);
}

struct found {
    unsigned times;
    double value;
    uint64_t start_s, end_s; /* behind the minute */
    const Metric *metric;
    const Opentelemetry__Proto__Metrics__V1__ResourceMetrics *resource;
    const Opentelemetry__Proto__Metrics__V1__ScopeMetrics *scope;
    const Opentelemetry__Proto__Metrics__V1__NumberDataPoint *point;
};

/* The results of that name that end at that second, and have those attributes ("k=v", NULL-ended). */
static inline struct found told(const char *name, unsigned end_s, const char *const *want)
{
    struct found f = {0};

    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++)
                for (size_t m = 0; m < requests[q]->resource_metrics[i]->scope_metrics[k]->n_metrics; m++) {
                    const Metric *at = requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m];
                    Opentelemetry__Proto__Metrics__V1__NumberDataPoint **points = IS(at, SUM) ? at->sum->data_points
                                                                                  : IS(at, GAUGE)
                                                                                      ? at->gauge->data_points
                                                                                      : NULL;
                    size_t n = IS(at, SUM) ? at->sum->n_data_points : IS(at, GAUGE) ? at->gauge->n_data_points : 0;

                    for (size_t p = 0; p < n && strcmp(at->name, name) == 0; p++) {
                        if (points[p]->time_unix_nano != minute + end_s * S ||
                            !matches(points[p]->attributes, points[p]->n_attributes, want))
                            continue;
                        f.times++;
                        f.value =
                            points[p]->value_case == OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT
                                ? (double)points[p]->as_int
                                : points[p]->as_double;
                        f.start_s = (points[p]->start_time_unix_nano - minute) / S;
                        f.end_s = end_s;
                        f.metric = at;
                        f.resource = requests[q]->resource_metrics[i];
                        f.scope = requests[q]->resource_metrics[i]->scope_metrics[k];
                        f.point = points[p];
                    }
                }
    return f;
}
#define TOLD(name, end_s, ...) told(name, end_s, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
/* Exactly one result, of that value. */
#define IS_TOLD(name, end_s, expected, ...)                                                                            \
    do {                                                                                                               \
        struct found f_ = TOLD(name, end_s __VA_OPT__(, ) __VA_ARGS__);                                                \
        assert_int_equal(f_.times, 1);                                                                                 \
        assert_true(f_.value == (expected));                                                                           \
    } while (0)

#endif
