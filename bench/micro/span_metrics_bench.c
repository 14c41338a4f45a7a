/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What span_metrics costs a span: 64 distinct requests of 100 spans with 14 attributes each, decoded before, through
 * consume(). One JSON line a case: nanoseconds of CPU a span, the least of some rounds, and bytes of memory a series.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "config/yaml.h"
#include "core/credit.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"

enum { N_REQUESTS = 64, N_SPANS = 100, N_ATTRS = 14, ROUNDS = 40, TURNS = 5 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_batch *batches[N_REQUESTS];
static struct gw_arena arena;
static struct gw_env *env;
static uint64_t n_points;

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "span_metrics_bench: %s\n", what);
        exit(1);
    }
}

static void put_span(struct gw_buf *json, unsigned request, unsigned i)
{
    gw_buf_printf(json,
                  "%s{\"traceId\":\"%016x%016x\",\"spanId\":\"%016x\",\"name\":\"GET /cart/%u\",\"kind\":%u,"
                  "\"startTimeUnixNano\":\"1767323045000000000\",\"endTimeUnixNano\":\"17673230450%08u\","
                  "\"attributes\":[",
                  i ? "," : "", request + 1, i / 10 + 1, i + 1, i % 7, 2 + i % 2,
                  (request * 7919 + i * 104729) % 90000000);
    for (unsigned k = 0; k < N_ATTRS; k++)
        gw_buf_printf(json, "%s{\"key\":\"attribute.number.%u\",\"value\":{\"stringValue\":\"value %u of %u %u\"}}",
                      k ? "," : "", k, k, k == N_ATTRS - 1 ? request : 0, k >= N_ATTRS - 2 ? i : 0);
    gw_buf_put_str(json, "]}");
}

static void make(unsigned request)
{
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at = {0};

    gw_buf_init(&json, 1 << 24);
    gw_buf_init(&wire, 1 << 24);
    gw_buf_printf(&json,
                  "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                  "\"stringValue\":\"shop-%u\"}},{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h\"}}]},"
                  "\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[",
                  request % 8);
    for (unsigned i = 0; i < N_SPANS; i++)
        put_span(&json, request, i);
    gw_buf_put_str(&json, "]}]}]}");
    need(gw_json_to_proto(GW_TRACES, gw_buf_slice(&json), &limits, &wire, &err) == 0, err.text);
    batches[request] = gw_batch_new(GW_TRACES);
    need(batches[request] && gw_batch_append(batches[request], gw_buf_slice(&wire), &at) == 0, "out of memory");
    need(gw_decode(batches[request], gw_batch_slice(batches[request], at), &limits, NULL, &err) == 0, err.text);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static void emit(struct gw_ports *ports, unsigned port, struct gw_view *v)
{
    (void)ports;
    (void)port;
    n_points += v->n_rows;
    gw_view_clear(v);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double feed(const struct gw_component *c, void *self, struct gw_ports *ports)
{
    uint64_t begin = cpu_ns();

    for (unsigned i = 0; i < TURNS * N_REQUESTS; i++) {
        struct gw_view v;

        gw_view_init(&v, batches[i % N_REQUESTS], &arena);
        c->consume(self, &v, ports);
        gw_arena_reset(&arena, 1 << 20);
    }
    return (double)(cpu_ns() - begin) / TURNS / N_REQUESTS / N_SPANS;
}

static void run(const char *name, const char *yaml)
{
    static const struct gw_ports_ops ops = {.emit = emit};
    bool old;
    const struct gw_component *c = gw_component_find(GW_CONNECTOR, GW_SLICE("span_metrics"), &old);
    struct gw_meter *meter = gw_meter_new();
    struct gw_credit memory;
    struct gw_host host = {.memory = &memory};
    struct gw_log_sink sink = {.env = env};
    struct gw_ctx ctx = {.env = env,
                         .id = c->name,
                         .signal = GW_TRACES,
                         .meter = meter,
                         .n_workers = 1,
                         .host = &host,
                         .logger = {.sink = &sink}};
    struct gw_ports ports = {.ops = &ops, .arena = &arena};
    void *conf = calloc(1, c->conf_size), *self = NULL;
    struct gw_arena conf_arena;
    struct gw_diag diag;
    struct gw_err err = {""};
    double least = 1e9, flush;
    uint64_t bytes;

    gw_credit_init(&memory, 1u << 31, 1u << 31);
    gw_diag_init(&diag);
    gw_arena_init(&conf_arena, 4096, 1 << 20);
    need(gw_schema_fill(c->fields, c->conf_size, gw_yaml_parse(gw_slice_cstr(yaml), "bench", &conf_arena, &diag), conf,
                        &conf_arena, &diag) == 0,
         "settings");
    need(c->create_shared(&ctx.shared, &ctx, conf, &err) == 0 && c->create(&self, &ctx, conf, &err) == 0, err.text);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double ns = feed(c, self, &ports);

        least = ns < least ? ns : least;
    }
    bytes = memory.used_bytes;
    n_points = 0;
    flush = (double)cpu_ns();
    (void)c->tick(self, UINT64_MAX / 2, &ports);
    flush = (double)cpu_ns() - flush;
    printf("{\"bench\":\"span_metrics\",\"case\":\"%s\",\"ns_per_span\":%.1f,\"points\":%llu,\"bytes_per_point\":%.0f,"
           "\"flush_ns_per_point\":%.0f}\n",
           name, least, (unsigned long long)n_points, (double)bytes / (double)n_points, flush / (double)n_points);
    c->destroy(self);
    c->destroy_shared(ctx.shared);
    gw_arena_clear(&conf_arena);
    gw_diag_clear(&diag);
    gw_meter_free(meter);
    free(conf);
}

int main(void)
{
    env = gw_env_real_new();
    gw_arena_init(&arena, 256 << 10, 64 << 20);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        make(i);
    run("112 series", "{}");
    run("112 series, exponential", "histogram: { exponential: }");
    run("112 series, exemplars", "exemplars: { enabled: true }");
    run("112 series, four dimensions",
        "dimensions: [ { name: attribute.number.1 }, { name: attribute.number.5 }, { name: attribute.number.9 }, "
        "{ name: absent, default: none } ]");
    run("112 series, other dimensions of calls", "calls_dimensions: [ { name: attribute.number.1 } ]");
    run("800 series", "dimensions: [ { name: attribute.number.12 } ]");
    run("6400 series", "dimensions: [ { name: attribute.number.13 } ]");
    for (unsigned i = 0; i < N_REQUESTS; i++)
        gw_batch_unref(batches[i]);
    gw_arena_clear(&arena);
    gw_env_real_free(env);
    return 0;
}
