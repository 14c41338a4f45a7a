/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policies cost: asking 100 spans of 14 attributes and noting them in ten traces, and deciding one trace. One JSON
 * line a case: nanoseconds of CPU, the least of sixty rounds. CASE=name runs one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "config/yaml.h"
#include "core/meter.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "processors/tail_sampling/policy.h"
#include "tests/harness_malloc.h"

enum { N_REQUESTS = 64, N_SPANS = 100, N_TRACES = 10, ROUNDS = 60, TURNS = 5 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static struct gw_batch *batches[N_REQUESTS];
static struct gw_arena arena;
static struct gw_trace_facts facts[N_REQUESTS * N_TRACES];

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "policy_bench: %s\n", what);
        exit(1);
    }
}

static void put_span(struct gw_buf *json, unsigned request, unsigned i)
{
    static const char *const keys[] = {
        "http.request.method", "url.path",       "url.scheme", "server.address", "network.protocol.version",
        "user_agent.original", "client.address", "http.route", "thread.name",    "code.function",
        "user.email",          "session.id",     "db.system",
    };

    gw_buf_printf(
        json,
        "%s{\"traceId\":\"%016x%016x\",\"spanId\":\"%016x\",\"name\":\"GET /cart/%u\",\"kind\":2,"
        "\"startTimeUnixNano\":\"17673230450000%05u\",\"endTimeUnixNano\":\"17673230460000%05u\",\"attributes\":[",
        i ? "," : "", request + 1, i / (N_SPANS / N_TRACES) + 1, i + 1, i % 7, i, i);
    for (unsigned k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
        gw_buf_printf(json, "{\"key\":\"%s\",\"value\":{\"stringValue\":\"value %u of %u %u\"}},", keys[k], k, request,
                      i);
    gw_buf_printf(json, "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"%u\"}}]}", 200 + i);
}

static void make(unsigned request)
{
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at = {0};

    gw_buf_init(&json, 1 << 24);
    gw_buf_init(&wire, 1 << 24);
    gw_buf_put_str(&json, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
                          "\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[");
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

static struct gw_policies *open_policies(const char *yaml, struct gw_env *env, struct gw_meter *meter)
{
    static struct gw_arena conf_arena;
    struct gw_policies_conf conf = {.share = 1};
    struct gw_policies *p = NULL;
    struct gw_diag diag;
    struct gw_err err = {""};

    gw_diag_init(&diag);
    gw_arena_init(&conf_arena, 4096, 1 << 20);
    conf.policies = gw_node_get(gw_yaml_parse(gw_slice_cstr(yaml), "bench", &conf_arena, &diag), "policies");
    need(gw_policies_new(env, &conf, meter, &p, &err) == 0, err.text);
    return p;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_request(struct gw_policies *p, unsigned i)
{
    const uint64_t(*bits)[GW_FACT_WORDS];
    struct gw_view v;

    gw_view_init(&v, batches[i], &arena);
    bits = gw_policies_ask(p, &v);
    need(bits != NULL, "out of memory");
    for (uint32_t row = 0; row < N_SPANS; row++)
        gw_policies_note(p, &facts[i * N_TRACES + row / (N_SPANS / N_TRACES)], &v, row, bits[row]);
    gw_view_clear(&v);
    gw_arena_reset(&arena, 1 << 20);
}

static double note_all(struct gw_policies *p)
{
    uint64_t begin = cpu_ns();

    for (unsigned i = 0; i < TURNS * N_REQUESTS; i++) {
        if (i % N_REQUESTS == 0)
            memset(facts, 0, sizeof(facts));
        note_request(p, i % N_REQUESTS);
    }
    return (double)(cpu_ns() - begin) / TURNS / N_REQUESTS / N_SPANS;
}

static double each_trace(struct gw_policies *p, bool decides, unsigned *ret_yes)
{
    uint64_t begin = cpu_ns();
    struct gw_verdict verdict;

    *ret_yes = 0;
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned i = 0; i < N_REQUESTS * N_TRACES; i++) {
            const uint8_t *id = batches[i / N_TRACES]->trace_id[i % N_TRACES * (N_SPANS / N_TRACES)];

            if (!decides) {
                *ret_yes += gw_policies_is_settled(p, id, &facts[i]);
                continue;
            }
            gw_policies_decide(p, id, &facts[i], 1767323045000000000 + turn, &verdict);
            *ret_yes += verdict.decision == GW_SAMPLED;
        }
    return (double)(cpu_ns() - begin) / TURNS / N_REQUESTS / N_TRACES;
}

static void run(const char *name, const char *yaml, struct gw_env *env)
{
    struct gw_meter *meter = gw_meter_new();
    struct gw_policies *p = open_policies(yaml, env, meter);
    double note = 1e9, decide = 1e9, settled = 1e9, ns;
    unsigned kept = 0, sure = 0;
    uint64_t mallocs;

    if (getenv("CASE") && strcmp(getenv("CASE"), name) != 0)
        return;
    (void)note_all(p); /* warm: steady state counts */
    (void)each_trace(p, true, &kept);
    mallocs = gw_malloc_count();
    for (unsigned round = 0; round < ROUNDS; round++) {
        ns = note_all(p);
        note = ns < note ? ns : note;
        ns = each_trace(p, true, &kept);
        decide = ns < decide ? ns : decide;
        ns = each_trace(p, false, &sure);
        settled = ns < settled ? ns : settled;
    }
    printf("{\"bench\":\"policy\",\"case\":\"%s\",\"ask_and_note_ns_per_span\":%.1f,\"decide_ns_per_trace\":%.1f,"
           "\"is_settled_ns_per_trace\":%.1f,\"kept_percent\":%.1f,\"settled_percent\":%.1f,\"mallocs\":%llu}\n",
           name, note, decide, settled, kept * 100.0 / TURNS / N_REQUESTS / N_TRACES,
           sure * 100.0 / TURNS / N_REQUESTS / N_TRACES, (unsigned long long)(gw_malloc_count() - mallocs));
    gw_policies_free(p);
    gw_meter_free(meter);
}

#define THREE                                                                                                          \
    "{name: slow, type: latency, latency: {threshold_ms: 5000}}, "                                                     \
    "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, "                                        \
    "{name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}"

int main(void)
{
    struct gw_env *env = gw_env_real_new();

    gw_arena_init(&arena, 256 << 10, 64 << 20);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        make(i);
    run("always", "policies: [{name: all, type: always_sample}]", env);
    run("latency, status, share", "policies: [" THREE "]", env);
    run("with anomalous", "policies: [" THREE ", {name: odd, type: anomalous, anomalous: {detector: anomaly}}]", env);
    run("with anomalous, by route",
        "policies: [" THREE ", {name: odd, type: anomalous, anomalous: {detector: anomaly, attributes: [service.name, "
        "http.route]}}]",
        env);
    run("ten policies",
        "policies: [" THREE ", "
        "{name: route, type: string_attribute, string_attribute: {key: http.route, values: [/pay, /cart, /login]}}, "
        "{name: path, type: string_attribute, string_attribute: {key: url.path, values: ['^/api/v[0-9]+/pay'], "
        "enabled_regex_matching: true}}, "
        "{name: codes, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500, "
        "max_value: 599}}, "
        "{name: debug, type: boolean_attribute, boolean_attribute: {key: debug, value: true}}, "
        "{name: large, type: span_count, span_count: {min_spans: 1000}}, "
        "{name: both, type: and, and: {and_sub_policy: [{name: shop, type: string_attribute, string_attribute: {key: "
        "service.name, values: [shop]}}, {name: few, type: probabilistic, probabilistic: {sampling_percentage: 1}}]}}, "
        "{name: drop, type: drop, drop: {drop_sub_policy: [{name: health, type: string_attribute, string_attribute: "
        "{key: http.route, values: [/health]}}]}}]",
        env);
    for (unsigned i = 0; i < N_REQUESTS; i++)
        gw_batch_unref(batches[i]);
    gw_arena_clear(&arena);
    gw_env_real_free(env);
    return 0;
}
