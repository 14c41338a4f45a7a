/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tail_sampling costs: spans in, kept ones out, without the decoding before it and the encoding behind it.
 * Policies are latency, status_code and 10 % probabilistic, decisions come two steps of 100,000 spans later. One JSON
 * line a shape: ns of CPU a span of consume() and of tick() (the least of the steps), bytes a span that waits.
 *
 * tail_bench PAYLOADS: with spans of gen_payloads.py, as they come to a gateway that does other things as well: each
 * request is decoded just before, behind 4 MiB of what others have touched; decisions are remembered.
 */
#include "bench/micro/spans.h"
#include "config/yaml.h"
#include "pipeline/component.h"
#include "pipeline/ports.h"

enum { STEPS = 12, WAIT_STEPS = 2 };
#define S 1000000000ull

#define NO_CACHE "decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n"
#define SETTINGS                                                                                                       \
    "decision_wait: 2s\nnum_traces: 1000000\n"                                                                         \
    "policies: [{name: slow, type: latency, latency: {threshold_ms: 5000}}, {name: errors, type: status_code, "        \
    "status_code: {status_codes: [ERROR]}}, {name: some, type: probabilistic, probabilistic: {sampling_percentage: "   \
    "10}}]\n"

static struct micro_set payloads; /* n 0: none */
static struct gw_batch_pool *pool;

static struct gw_env *real;
static uint64_t now_ns, n_out;
static struct gw_env_ops ops;
static struct gw_env env;

static uint64_t stands(struct gw_env *e)
{
    (void)e;
    return now_ns;
}

static void take(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    (void)out;
    (void)port;
    n_out += v->n_rows;
    gw_view_clear(v);
}
static const struct gw_ports_ops ports_ops = {.emit = take};

static void *open(const struct gw_component *c, struct gw_arena *arena, struct gw_meter *meter)
{
    const struct gw_ctx ctx = {.env = &env,
                               .id = c->name,
                               .signal = GW_TRACES,
                               .meter = meter,
                               .n_workers = 1,
                               .outline_behind = !getenv("WHOLE")};
    void *conf = calloc(1, c->conf_size), *self = NULL;
    const struct gw_node *node;
    struct gw_err err = {""};
    struct gw_diag diag;

    gw_diag_init(&diag);
    node = gw_yaml_parse(gw_slice_cstr(payloads.n ? SETTINGS : NO_CACHE SETTINGS), "bench", arena, &diag);
    micro_check(node && gw_schema_fill(c->fields, c->conf_size, node, conf, arena, &diag) == 0, "settings");
    micro_check(c->create(&self, &ctx, conf, &err) == 0, err.text);
    gw_diag_clear(&diag);
    return self;
}

/* Somebody else was here. */
static void cool(void)
{
    static volatile uint8_t others[4 << 20];

    for (size_t i = 0; i < sizeof(others); i += 64)
        others[i]++;
}

/* Spans i … i + 99 of a stream, as spans_request has them. */
static struct gw_batch *request(uint64_t i, bool by_turns)
{
    static struct gw_batch *b;
    struct gw_payload *pl;

    if (!payloads.n)
        return spans_request(i, by_turns);
    cool();
    pl = payloads.payloads[i / N_SPANS % payloads.n];
    (void)gw_batch_unref(b);
    b = gw_batch_pool_get(pool, GW_TRACES);
    micro_check(b != NULL, "memory");
    gw_batch_set_payload(b, gw_payload_ref(pl));
    micro_check(gw_decode(b, micro_all(pl), &micro_limits, NULL, NULL) == 0 && b->n_rows == N_SPANS, "payload");
    for (uint64_t k = 0; k < N_SPANS; k++) { /* the stream deals them to four scopes */
        uint64_t at = i + k % 25 * 4 + k / 25, turn = at / ((uint64_t)TURNS * A_TRACE), place = at % TURNS;

        name(b->trace_id[k], by_turns ? turn * TURNS + place : at / A_TRACE);
    }
    return b;
}

static void shape(const struct gw_component *c, bool by_turns)
{
    struct gw_arena conf, arena;
    struct gw_meter *meter = gw_meter_new();
    struct gw_ports ports = {.ops = &ports_ops, .arena = &arena};
    double in = 1e9, out = 1e9, spans = (double)TURNS * A_TRACE;
    struct gw_metric *held;
    uint64_t at = 0;
    void *self;

    gw_arena_init(&conf, 64 << 10, 64 << 20);
    gw_arena_init(&arena, 64 << 10, 256 << 20);
    now_ns = S;
    n_out = 0;
    self = open(c, &conf, meter);
    for (unsigned step = 0; step < STEPS; step++) {
        double ns = 0, begin;

        for (uint64_t i = 0; i < (uint64_t)TURNS * A_TRACE; i += N_SPANS, at += N_SPANS) {
            struct gw_view v;

            gw_view_init(&v, request(at, by_turns), &arena);
            begin = micro_cpu_ns();
            c->consume(self, &v, &ports);
            gw_arena_reset(&arena, 1 << 20);
            ns += micro_cpu_ns() - begin;
        }
        if (step > WAIT_STEPS)
            in = ns / spans < in ? ns / spans : in;
        now_ns += S;
        begin = micro_cpu_ns();
        while (c->tick(self, now_ns, &ports) == GW_MORE)
            gw_arena_reset(&arena, 1 << 20);
        ns = micro_cpu_ns() - begin;
        if (step > WAIT_STEPS)
            out = ns / spans < out ? ns / spans : out;
    }
    held = gw_meter_get(meter, GW_GAUGE, "staunch_tail_sampling_held_bytes", "", NULL, 0);
    printf("{\"bench\":\"tail\",\"case\":\"%s\",\"consume_ns\":%.1f,\"tick_ns\":%.1f,\"kept\":%.3f,"
           "\"held_bytes_per_span\":%.1f}\n",
           by_turns ? "by turns" : "together", in, out, (double)n_out / ((double)at - 2 * spans),
           (double)gw_metric_value(held) / (2 * spans));
    c->destroy(self);
    gw_arena_clear(&conf);
    gw_arena_clear(&arena);
    gw_meter_free(meter);
}

int main(int argc, char **argv)
{
    bool deprecated;
    const struct gw_component *c = gw_component_find(GW_PROCESSOR, GW_SLICE("tail_sampling"), &deprecated);

    micro_check(c != NULL, "no such processor");
    real = gw_env_real_new();
    micro_check(real != NULL, "memory");
    env = *real;
    ops = *real->ops;
    ops.mono_ns = stands;
    env.ops = &ops;
    pool = gw_batch_pool_new(4);
    gw_payload_pool_enter(gw_payload_pool_new(1 << 30)); /* as a worker has it */
    if (argc > 1)
        micro_load(&payloads, argv[1], "traces100", GW_TRACES);
    spans_make();
    shape(c, false);
    shape(c, true);
    spans_free();
    gw_env_real_free(real);
    return 0;
}
