/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rollup costs a data point beyond decoding: requests of 500 points of different series, decoded before, through
 * consume(), in windows of 10 s. One JSON line a case: nanoseconds of CPU a point for series that are there (the least
 * of some rounds), bytes a series beside its key, and what a result costs.
 *
 * rollup_bench flood: ten million points, each of a series of its own, against a budget of 64 MiB. Fails when memory is
 * not within it, or when the results do not come to what was put in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/yaml.h"
#include "core/credit.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "processors/rollup/rollup.h"

enum { N_POINTS = 500, MAX_REQUESTS = 2000, ROUNDS = 5, STEPS = 120 };
#define STEP_NS UINT64_C(10000000000)
#define HOUR_NS (360 * STEP_NS)

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_batch *batches[MAX_REQUESTS];
static struct gw_arena arena;
static struct gw_env *env;
static uint64_t n_results, now_ns;

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "rollup_bench: %s\n", what);
        exit(1);
    }
}

static void make(unsigned request)
{
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at = {0};
    struct gw_batch *b = gw_batch_new(GW_METRICS);

    gw_buf_init(&json, 1 << 24);
    gw_buf_init(&wire, 1 << 24);
    gw_buf_printf(&json, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                         "\"stringValue\":\"shop\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\"},\"metrics\":[{"
                         "\"name\":\"requests\",\"sum\":{\"aggregationTemporality\":1,\"isMonotonic\":true,"
                         "\"dataPoints\":[");
    for (unsigned i = 0; i < N_POINTS; i++)
        gw_buf_printf(
            &json,
            "%s{\"timeUnixNano\":\"%llu\",\"asInt\":\"%u\",\"attributes\":[{\"key\":\"http.route\",\"value\":{"
            "\"stringValue\":\"/cart/%08u\"}},{\"key\":\"pod\",\"value\":{\"stringValue\":\"pod-%u\"}}]}",
            i ? "," : "", (unsigned long long)now_ns, i, request, i);
    gw_buf_put_str(&json, "]}}]}]}]}");
    need(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) == 0, err.text);
    need(gw_batch_append(b, gw_buf_slice(&wire), &at) == 0, "out of memory");
    need(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) == 0, err.text);
    b->received_ns = now_ns;
    b->receiver = "otlp";
    batches[request] = b;
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static void emit(struct gw_ports *ports, unsigned port, struct gw_view *v)
{
    (void)ports;
    need(port == 0, "a late point");
    n_results += v->n_rows;
    gw_view_clear(v);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double feed(const struct gw_component *c, void *self, struct gw_ports *ports, unsigned n)
{
    uint64_t begin = cpu_ns();

    for (unsigned i = 0; i < n; i++) {
        struct gw_view v;

        gw_view_init(&v, batches[i], &arena);
        c->consume(self, &v, ports);
        gw_arena_reset(&arena, 1 << 20);
    }
    return (double)(cpu_ns() - begin) / n / N_POINTS;
}

static uint64_t key_bytes(const struct gw_ru_shared *all)
{
    uint64_t n = 0;

    for (unsigned s = 0; s < GW_RU_N_SHARDS; s++)
        for (uint32_t i = 0; i < all->shards[s].n_slots; i++)
            if (all->shards[s].slots[i].series)
                n += ((struct gw_ru_series *)gw_slabs_at(&all->shards[s].series, all->shards[s].slots[i].series))
                         ->key_bytes;
    return n;
}

/* Time goes on: a point of each series every 10 s of 20 minutes, and windows that end are told meanwhile. */
static void let_time_pass(const struct gw_component *c, void *self, struct gw_ports *ports, unsigned n)
{
    uint64_t fed = 0, told = 0;

    for (unsigned step = 1; step <= STEPS; step++) {
        uint64_t at = now_ns / HOUR_NS * HOUR_NS + step * STEP_NS;

        for (unsigned i = 0; i < n; i++) {
            batches[i]->received_ns = at;
            for (unsigned k = 0; k < N_POINTS; k++)
                batches[i]->time_ns[k] = at;
        }
        fed += (uint64_t)(feed(c, self, ports, n) * n * N_POINTS);
        told -= cpu_ns();
        while (c->tick(self, gw_mono_ns(env), ports) == GW_MORE)
            ;
        told += cpu_ns();
    }
    printf("{\"bench\":\"rollup\",\"case\":\"20 minutes, a point in 10 s\",\"ns_per_point\":%.1f,\"ns_told_per_point\":"
           "%.1f}\n",
           (double)fed / n / N_POINTS / STEPS, (double)told / n / N_POINTS / STEPS);
}

struct rig {
    const struct gw_component *c;
    void *conf, *self;
    struct gw_meter *meter;
    struct gw_credit memory;
    struct gw_host host;
    struct gw_log_sink sink;
    struct gw_ctx ctx;
    struct gw_ports ports;
    struct gw_arena conf_arena;
    struct gw_diag diag;
};

static void begin(struct rig *r, const char *yaml, const struct gw_ports_ops *ops)
{
    struct gw_err err = {""};
    bool old;

    *r = (struct rig){.c = gw_component_find(GW_CONNECTOR, GW_SLICE("rollup"), &old), .meter = gw_meter_new()};
    r->host.memory = &r->memory;
    r->sink.env = env;
    r->ctx = (struct gw_ctx){.env = env,
                             .id = r->c->name,
                             .signal = GW_METRICS,
                             .meter = r->meter,
                             .n_workers = 1,
                             .host = &r->host,
                             .logger = {.sink = &r->sink}};
    r->ports = (struct gw_ports){.ops = ops, .arena = &arena};
    r->conf = calloc(1, r->c->conf_size);
    gw_credit_init(&r->memory, UINT64_C(4) << 30, UINT64_C(4) << 30);
    gw_diag_init(&r->diag);
    gw_arena_init(&r->conf_arena, 4096, 1 << 20);
    need(gw_schema_fill(r->c->fields, r->c->conf_size,
                        gw_yaml_parse(gw_slice_cstr(yaml), "bench", &r->conf_arena, &r->diag), r->conf, &r->conf_arena,
                        &r->diag) == 0,
         "settings");
    need(r->c->create_shared(&r->ctx.shared, &r->ctx, r->conf, &err) == 0 &&
             r->c->create(&r->self, &r->ctx, r->conf, &err) == 0,
         err.text);
}

static void end(struct rig *r)
{
    r->c->destroy(r->self);
    r->c->destroy_shared(r->ctx.shared);
    gw_arena_clear(&r->conf_arena);
    gw_diag_clear(&r->diag);
    gw_meter_free(r->meter);
    free(r->conf);
}

static void run(const char *name, const char *yaml, unsigned n_requests, bool passes)
{
    static const struct gw_ports_ops ops = {.emit = emit};
    struct rig r;
    double least = 1e9, first, told;
    uint64_t bytes, keys, n = (uint64_t)n_requests * N_POINTS;

    begin(&r, yaml, &ops);
    if (passes)
        let_time_pass(r.c, r.self, &r.ports, n_requests);
    first = feed(r.c, r.self, &r.ports, n_requests);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double ns = feed(r.c, r.self, &r.ports, n_requests);

        least = ns < least ? ns : least;
    }
    bytes = r.memory.used_bytes;
    keys = key_bytes(r.ctx.shared);
    n_results = 0;
    told = (double)cpu_ns();
    while (r.c->drain(r.self, &r.ports) == GW_MORE)
        ;
    told = (double)cpu_ns() - told;
    printf("{\"bench\":\"rollup\",\"case\":\"%s\",\"series\":%llu,\"ns_per_point\":%.1f,\"ns_first\":%.1f,"
           "\"bytes_per_series\":%.1f,\"key_bytes\":%.1f,\"mib\":%.1f,\"ns_per_result\":%.0f}\n",
           name, (unsigned long long)n, least, first, (double)(bytes - keys) / (double)n, (double)keys / (double)n,
           (double)bytes / (1 << 20), told / (double)n_results);
    end(&r);
}

static bool has_room(struct gw_ports *ports, uint32_t rows, size_t bytes)
{
    (void)ports;
    return rows > 0 && bytes > 0;
}

/* Early results of windows that are long: what an interval costs when few series of many have news. */
static void run_early(const char *name, const char *mode, unsigned n_requests, unsigned n_changed)
{
    static const struct gw_ports_ops ops = {.emit = emit, .has_room = has_room};
    bool old;
    const struct gw_component *c = gw_component_find(GW_CONNECTOR, GW_SLICE("rollup"), &old);
    struct gw_meter *meter = gw_meter_new();
    struct gw_credit memory;
    struct gw_host host = {.memory = &memory};
    struct gw_log_sink sink = {.env = env};
    struct gw_ctx ctx = {.env = env,
                         .id = c->name,
                         .signal = GW_METRICS,
                         .meter = meter,
                         .n_workers = 1,
                         .host = &host,
                         .logger = {.sink = &sink}};
    struct gw_ports ports = {.ops = &ops, .arena = &arena};
    void *conf = calloc(1, c->conf_size), *self = NULL;
    struct gw_arena conf_arena;
    struct gw_diag diag;
    struct gw_err err = {""};
    struct gw_ru_shared *all;
    double least = 1e18;
    char yaml[200];

    gw_credit_init(&memory, UINT64_C(4) << 30, UINT64_C(4) << 30);
    gw_diag_init(&diag);
    gw_arena_init(&conf_arena, 4096, 1 << 20);
    (void)snprintf(yaml, sizeof(yaml),
                   "max_series: 2000000\nwindows: [ { size: 24h } ]\nemit: { mode: %s, interval: 10s }", mode);
    need(gw_schema_fill(c->fields, c->conf_size, gw_yaml_parse(gw_slice_cstr(yaml), "bench", &conf_arena, &diag), conf,
                        &conf_arena, &diag) == 0,
         "settings");
    need(c->create_shared(&ctx.shared, &ctx, conf, &err) == 0 && c->create(&self, &ctx, conf, &err) == 0, err.text);
    all = ctx.shared;
    (void)feed(c, self, &ports, n_requests);
    for (unsigned round = 0; round <= ROUNDS; round++) {
        uint64_t mark = now_ns + (round + 1) * UINT64_C(10000000000);
        double ns;

        if (round)
            (void)feed(c, self, &ports, n_changed);
        n_results = 0;
        all->fire_early = true;
        all->fire_at = 0;
        ns = (double)cpu_ns();
        while (gw_ru_fire(all, &ports, mark, mark) == GW_MORE)
            ;
        ns = (double)cpu_ns() - ns;
        least = round && ns < least ? ns : least;
    }
    printf("{\"bench\":\"rollup\",\"case\":\"%s, %s\",\"series\":%u,\"changed\":%u,\"results\":%llu,"
           "\"us_per_interval\":%.0f}\n",
           name, mode, n_requests * N_POINTS, n_changed * N_POINTS, (unsigned long long)n_results, least / 1e3);
    c->destroy(self);
    c->destroy_shared(ctx.shared);
    gw_arena_clear(&conf_arena);
    gw_diag_clear(&diag);
    gw_meter_free(meter);
    free(conf);
}

/* ---- more series than there is room for ------------------------------------------------------------------------ */

enum { N_FLOOD = 20000, FLOOD_MIB = 64, DIGITS = 8, REST_MIB = 8 /* arena and batches of results */ };

static struct {
    uint64_t points, count, sum, overflow;
} flooded;

static void look(struct gw_ports *ports, unsigned port, struct gw_view *v)
{
    const struct gw_batch *b = v->batch;

    for (uint32_t r = gw_view_next(v, 0); r < b->n_rows; r = gw_view_next(v, r + 1)) {
        struct gw_slice name = gw_batch_slice(b, b->metrics[b->metric[r]].name);
        bool is_count = gw_slice_is(name, "requests.count");

        need(is_count || gw_slice_is(name, "requests.sum"), "another metric");
        *(is_count ? &flooded.count : &flooded.sum) += b->number[r].u64;
        if (is_count && gw_view_attr_get(v, GW_OWN_ROW, r, GW_SLICE("otel.metric.overflow"), NULL))
            flooded.overflow += b->number[r].u64;
    }
    emit(ports, port, v);
}

static uint64_t status_kib(const char *name)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    need(f != NULL, "/proc/self/status");
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            (void)sscanf(line + strlen(name), ": %llu", &kib);
    fclose(f);
    return kib;
}

/* The same batch again and again, with other digits in its routes. */
static void feed_flood(const struct gw_component *c, void *self, struct gw_ports *ports)
{
    struct gw_batch *b = batches[0];
    uint8_t *at[N_POINTS], *p = b->payload->p, *end = p + b->payload->n;
    char digits[DIGITS + 1];
    unsigned n = 0;

    while ((p = memmem(p, (size_t)(end - p), "/cart/", 6)) != NULL && n < N_POINTS)
        at[n++] = p += 6;
    need(n == N_POINTS, "routes");
    for (unsigned i = 0; i < N_FLOOD; i++) {
        for (unsigned k = 0; k < N_POINTS; k++) {
            (void)snprintf(digits, sizeof(digits), "%08u", i * N_POINTS + k);
            memcpy(at[k], digits, DIGITS);
        }
        flooded.points += N_POINTS;
        (void)feed(c, self, ports, 1);
    }
}

static void flood(void)
{
    static const struct gw_ports_ops ops = {.emit = look};
    struct rig r;
    uint64_t sum = (uint64_t)N_FLOOD * N_POINTS * (N_POINTS - 1) / 2, before, cpu, bytes;
    double told;

    before = status_kib("VmRSS");
    begin(&r,
          "keys: { resource: [service.name], attributes: [http.route, pod] }\nmax_series: 100000000\n"
          "max_bytes: 67108864\naggregates: [count, sum]",
          &ops);
    cpu = cpu_ns();
    feed_flood(r.c, r.self, &r.ports);
    cpu = cpu_ns() - cpu;
    bytes = r.memory.used_bytes;
    told = (double)cpu_ns();
    while (r.c->drain(r.self, &r.ports) == GW_MORE)
        ;
    told = (double)cpu_ns() - told;
    printf("{\"bench\":\"rollup\",\"case\":\"flood\",\"keys\":%llu,\"series\":%llu,\"overflow_points\":%llu,"
           "\"ns_per_point\":%.1f,\"state_mib\":%.1f,\"peak_rss_mib\":%.1f,\"rss_before_mib\":%.1f,"
           "\"ns_per_result\":%.0f}\n",
           (unsigned long long)flooded.points, (unsigned long long)(flooded.points - flooded.overflow),
           (unsigned long long)flooded.overflow, (double)cpu / (double)flooded.points, (double)bytes / (1 << 20),
           (double)status_kib("VmHWM") / 1024, (double)before / 1024, told / (double)n_results);
    need(flooded.count == flooded.points && flooded.sum == sum, "the results are not what was put in");
    need(bytes <= (uint64_t)FLOOD_MIB << 20, "more memory than max_bytes");
    need(status_kib("VmHWM") <= before + ((FLOOD_MIB + REST_MIB) << 10), "more RSS than max_bytes");
    end(&r);
}

int main(int argc, char **argv)
{
    bool floods = argc > 1 && strcmp(argv[1], "flood") == 0;

    env = gw_env_real_new();
    now_ns = gw_wall_ns(env);
    gw_arena_init(&arena, 256 << 10, 64 << 20);
    for (unsigned i = 0; i < (floods ? 1 : MAX_REQUESTS); i++)
        make(i);
    if (floods) {
        flood();
        return 0;
    }
    run("1000 series, all attributes", "max_series: 2000000", 2, false);
    run("100000 series, all attributes", "max_series: 2000000", 200, false);
    run("100000 series, two keys",
        "max_series: 2000000\nkeys: { resource: [service.name], attributes: [http.route, pod] }", 200, false);
    run("200 series of 100000", "keys: { resource: [service.name], attributes: [http.route] }", 200, false);
    run("1000000 series, two keys",
        "max_series: 2000000\nmax_bytes: 1073741824\nkeys: { resource: [service.name], attributes: [http.route, pod] }",
        2000, false);
    run("20000 series, two keys, 10s + 1m + 1h",
        "windows: [ { size: 10s }, { size: 1m }, { size: 1h } ]\nallowed_lateness: 20s\ntime: { bounded_delay: 0s }\n"
        "keys: { resource: [service.name], attributes: [http.route, pod] }",
        40, true);
    for (unsigned i = 0; i < MAX_REQUESTS; i++)
        batches[i]->metrics[0].temporality = GW_T_CUMULATIVE;
    run("20000 counters, two keys",
        "allowed_lateness: 60s\ntime: { bounded_delay: 0s }\n"
        "keys: { resource: [service.name], attributes: [http.route, pod] }",
        40, true);
    run("20000 counters into 40 series",
        "allowed_lateness: 60s\ntime: { bounded_delay: 0s }\n"
        "keys: { resource: [service.name], attributes: [http.route] }",
        40, true);
    for (unsigned i = 0; i < MAX_REQUESTS; i++)
        batches[i]->metrics[0].temporality = GW_T_DELTA;
    run("20000 series, two keys",
        "allowed_lateness: 60s\ntime: { bounded_delay: 0s }\n"
        "keys: { resource: [service.name], attributes: [http.route, pod] }",
        40, true);
    for (unsigned i = 0; i < 3; i++) {
        static const char *const modes[] = {"eager", "delta", "retract"};

        run_early("an interval, few changed", modes[i], 200, 2);
    }
    for (unsigned i = 0; i < MAX_REQUESTS; i++)
        gw_batch_unref(batches[i]);
    gw_arena_clear(&arena);
    gw_env_real_free(env);
    return 0;
}
