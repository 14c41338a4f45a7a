/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What service_graph costs: 100 spans a request, half of them clients, half servers, without the decoding before it.
 * The sides of a request are neighbours, or 100,000 wait for the other; on one worker, and dealt to four (all on this
 * thread: the sum of what they do). One JSON line a case: ns of CPU a span (the least of the steps), bytes a span that
 * waits.
 */
#include "bench/micro/spans.h"
#include "config/yaml.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"

enum { STEPS = 8, STEP_REQUESTS = 4000, PAIRS = N_SPANS / 2, APART_REQUESTS = 2000, MAX_WORKERS = 4 };

static const char settings[] = "store: {ttl: 1h, max_items: 1000000, max_bytes: 1073741824}\n";

static void take(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    (void)out;
    (void)port;
    gw_view_clear(v);
}
static const struct gw_ports_ops ports_ops = {.emit = take};

enum { INTERNAL = 1, SERVER, CLIENT };

static void name_span(struct gw_batch *b, unsigned row, uint64_t pair, uint8_t kind)
{
    name(b->trace_id[row], pair);
    memcpy(b->span_id[row], &pair, sizeof(pair));
    memcpy(b->parent_id[row], &pair, sizeof(pair));
    b->kind[row] = kind;
}

/* Clients of new pairs, and servers of those of `apart` requests ago, once there are such. */
static struct gw_batch *request(uint64_t i, uint64_t apart)
{
    struct gw_batch *b = batches[i % N_BATCHES];

    for (unsigned k = 0; k < PAIRS; k++) {
        name_span(b, 2 * k, i * PAIRS + k, CLIENT);
        name_span(b, 2 * k + 1, (i - apart) * PAIRS + k, i < apart ? INTERNAL : SERVER);
    }
    return b;
}

static void measure(const struct gw_component *c, struct gw_env *env, unsigned n_workers, uint64_t apart)
{
    struct gw_arena conf_arena, arena;
    struct gw_meter *meter = gw_meter_new();
    struct gw_credit memory;
    struct gw_host host = {.memory = &memory};
    struct gw_ports ports = {.ops = &ports_ops, .arena = &arena};
    struct gw_ctx ctx = {
        .env = env, .id = c->name, .signal = GW_TRACES, .meter = meter, .n_workers = n_workers, .host = &host};
    struct gw_ctx of[MAX_WORKERS];
    void *conf = calloc(1, c->conf_size), *self[MAX_WORKERS];
    struct gw_err err = {""};
    struct gw_diag diag;
    double least = 1e9;
    uint64_t i = 0, before;

    gw_arena_init(&conf_arena, 64 << 10, 64 << 20);
    gw_arena_init(&arena, 64 << 10, 256 << 20);
    gw_credit_init(&memory, UINT64_C(1) << 34, UINT64_C(1) << 34);
    gw_diag_init(&diag);
    micro_check(gw_schema_fill(c->fields, c->conf_size,
                               gw_yaml_parse(gw_slice_cstr(settings), "bench", &conf_arena, &diag), conf, &conf_arena,
                               &diag) == 0,
                "settings");
    micro_check(c->create_shared(&ctx.shared, &ctx, conf, &err) == 0, err.text);
    for (unsigned w = 0; w < n_workers; w++) {
        of[w] = ctx;
        of[w].worker = w;
        micro_check(c->create(&self[w], &of[w], conf, &err) == 0, err.text);
    }
    before = memory.used_bytes;
    for (unsigned step = 0; step < STEPS; step++) {
        double ns = 0;

        for (uint64_t end = i + STEP_REQUESTS; i < end; i++) {
            struct gw_view v;
            double begin;

            gw_view_init(&v, request(i, apart), &arena);
            begin = micro_cpu_ns();
            c->consume(self[i % n_workers], &v, &ports);
            gw_arena_reset(&arena, 1 << 20);
            ns += micro_cpu_ns() - begin;
        }
        if (step)
            least = ns / (STEP_REQUESTS * N_SPANS) < least ? ns / (STEP_REQUESTS * N_SPANS) : least;
    }
    printf(
        "{\"bench\":\"service_graph\",\"case\":\"%s, %u worker%s\",\"consume_ns\":%.1f,\"bytes_per_waiting\":%.1f}\n",
        apart ? "100,000 wait" : "neighbours", n_workers, n_workers > 1 ? "s" : "", least,
        apart ? (double)(memory.used_bytes - before) / (double)(apart * PAIRS) : 0);
    for (unsigned w = 0; w < n_workers; w++)
        c->destroy(self[w]);
    c->destroy_shared(ctx.shared);
    free(conf);
    gw_diag_clear(&diag);
    gw_arena_clear(&conf_arena);
    gw_arena_clear(&arena);
    gw_meter_free(meter);
}

int main(void)
{
    bool deprecated;
    const struct gw_component *c = gw_component_find(GW_CONNECTOR, GW_SLICE("service_graph"), &deprecated);
    struct gw_env *env = gw_env_real_new();

    micro_check(c && env, "memory");
    spans_make();
    for (unsigned n_workers = 1; n_workers <= MAX_WORKERS; n_workers += MAX_WORKERS - 1) {
        measure(c, env, n_workers, 0);
        measure(c, env, n_workers, APART_REQUESTS);
    }
    spans_free();
    gw_env_real_free(env);
    return 0;
}
