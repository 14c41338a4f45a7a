/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tail_sampling costs with mode: two_pass: TRACES (1,000,000) open traces of ten spans, all of the same step,
 * without the decoding before it; then all are decided, and come again. One JSON line a shape: ns of CPU a span of
 * either pass, ns a decision, bytes a trace: those that are counted, and how far RSS has grown.
 */
#include "bench/micro/spans.h"
#include "config/yaml.h"
#include "pipeline/component.h"
#include "pipeline/keep.h"
#include "pipeline/ports.h"

#include <unistd.h>

static const char settings[] =
    "mode: two_pass\ndecision_wait: 2s\nnum_traces: 100000000\nmax_bytes: 0\n"
    "decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n"
    "policies: [{name: slow, type: latency, latency: {threshold_ms: 5000}}, {name: errors, type: status_code, "
    "status_code: {status_codes: [ERROR]}}, {name: some, type: probabilistic, probabilistic: {sampling_percentage: "
    "10}}]\n";

static uint64_t n_out;

static void take(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    (void)out;
    (void)port;
    n_out += v->n_rows;
    gw_view_clear(v);
}
static const struct gw_ports_ops ports_ops = {.emit = take};

struct rig {
    const struct gw_component *c;
    struct gw_env *env;
    struct gw_arena conf, arena;
    struct gw_meter *meter;
    struct gw_ports ports;
    void *self;
};

static void open(struct rig *r)
{
    const struct gw_ctx ctx = {.env = r->env, .id = r->c->name, .signal = GW_TRACES, .meter = r->meter, .n_workers = 1};
    void *conf = calloc(1, r->c->conf_size);
    const struct gw_node *node;
    struct gw_err err = {""};
    struct gw_diag diag;

    gw_diag_init(&diag);
    node = gw_yaml_parse(gw_slice_cstr(settings), "bench", &r->conf, &diag);
    micro_check(node && gw_schema_fill(r->c->fields, r->c->conf_size, node, conf, &r->conf, &diag) == 0, "settings");
    micro_check(r->c->create(&r->self, &ctx, conf, &err) == 0, err.text);
    micro_check(r->c->keep->begin(r->self) == 0, "memory");
    gw_diag_clear(&diag);
}

static double rss(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    micro_check(f && fscanf(f, "%*u %lu", &pages) == 1, "/proc/self/statm");
    (void)fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Returns ns a span. */
static double send(struct rig *r, uint64_t spans, bool by_turns)
{
    double ns = 0, begin;

    for (uint64_t i = 0; i < spans; i += N_SPANS) {
        struct gw_view v;

        gw_view_init(&v, spans_request(i, by_turns), &r->arena);
        begin = micro_cpu_ns();
        r->c->consume(r->self, &v, &r->ports);
        gw_arena_reset(&r->arena, 1 << 20);
        ns += micro_cpu_ns() - begin;
    }
    return ns / (double)spans;
}

static double decide(struct rig *r, uint64_t ns)
{
    double begin = micro_cpu_ns();

    while (r->c->keep->advance(r->self, ns, false, &r->ports) == GW_MORE)
        ;
    return micro_cpu_ns() - begin;
}

static void shape(struct rig *r, uint64_t traces, bool by_turns)
{
    uint64_t spans = traces * A_TRACE, begin_ns = 1000 * GW_KEEP_STEP_NS, due_ns = begin_ns + 20 * GW_KEEP_STEP_NS;
    double first, again, decision, before, after, held;

    r->meter = gw_meter_new();
    r->ports = (struct gw_ports){.ops = &ports_ops, .arena = &r->arena};
    n_out = 0;
    open(r);
    (void)decide(r, begin_ns);
    before = rss();
    first = send(r, spans, by_turns);
    after = rss();
    (void)r->c->tick(r->self, 0, &r->ports);
    held = (double)gw_metric_value(gw_meter_get(r->meter, GW_GAUGE, "staunch_tail_sampling_held_bytes", "", NULL, 0));
    decision = decide(r, due_ns);
    micro_check(r->c->keep->ready_ns(r->self) == due_ns, "not all are decided");
    r->c->keep->pass(r->self, begin_ns, true);
    again = send(r, spans, by_turns);
    r->c->keep->pass(r->self, due_ns, false);
    printf("{\"bench\":\"two_pass\",\"case\":\"%s\",\"traces\":%llu,\"first_ns\":%.1f,\"again_ns\":%.1f,"
           "\"decision_ns\":%.1f,\"kept\":%.3f,\"held_bytes_per_trace\":%.1f,\"rss_bytes_per_trace\":%.1f,"
           "\"rss_mib\":%.1f}\n",
           by_turns ? "by turns" : "together", (unsigned long long)traces, first, again, decision / (double)traces,
           (double)n_out / (double)spans, held / (double)traces, (after - before) / (double)traces,
           (after - before) / (1 << 20));
    r->c->destroy(r->self);
    gw_meter_free(r->meter);
}

int main(void)
{
    const char *traces = getenv("TRACES");
    struct rig r = {.env = gw_env_real_new()};
    bool deprecated;

    r.c = gw_component_find(GW_PROCESSOR, GW_SLICE("tail_sampling"), &deprecated);
    micro_check(r.c && r.env, "no such processor, or no memory");
    gw_arena_init(&r.conf, 64 << 10, 64 << 20);
    gw_arena_init(&r.arena, 64 << 10, 256 << 20);
    spans_make();
    shape(&r, traces ? strtoull(traces, NULL, 10) : 1000000, false);
    shape(&r, traces ? strtoull(traces, NULL, 10) : 1000000, true);
    spans_free();
    gw_arena_clear(&r.conf);
    gw_arena_clear(&r.arena);
    gw_env_real_free(r.env);
    return 0;
}
