/* SPDX-License-Identifier: Apache-2.0 */
/* Policies from YAML, traces from a few words a span. */
#ifndef GW_TESTS_TAIL_SAMPLING_RIG_H
#define GW_TESTS_TAIL_SAMPLING_RIG_H

#include "tests/harness.h"

#include <stdio.h>

#include "config/yaml.h"
#include "core/meter.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "processors/tail_sampling/policy.h"
#include "tests/harness_env.h"

/* Attributes of a span or resource, to be written one behind the other. */
#define TEXT(k, v) "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define INT(k, v)  "{\"key\":\"" k "\",\"value\":{\"intValue\":\"" #v "\"}}"
#define BOOL(k, v) "{\"key\":\"" k "\",\"value\":{\"boolValue\":" #v "}}"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

struct span {
    uint64_t start_ns, end_ns;
    unsigned status, flags;
    const char *state, *attrs, *resource, *parent, *events;
};

struct rig {
    struct gw_test_env te;
    struct gw_meter *meter;
    struct gw_arena conf, arena;
    struct gw_diag diag;
    char said[16384];
    struct gw_policies_conf c;
    struct gw_policies *p;
    struct gw_trace_facts facts;
    struct gw_verdict verdict;
    uint8_t id[16];
    uint64_t now_ns;
};

static inline const struct gw_node *rig_read(struct rig *r, const char *yaml)
{
    struct gw_buf out;

    gw_diag_init(&r->diag);
    gw_arena_init(&r->conf, 4096, 64 << 20);
    r->c.policies = gw_node_get(gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &r->conf, &r->diag), "policies");
    if (r->c.share == 0)
        r->c.share = 1;
    gw_policies_check(&r->c, &r->diag);
    gw_buf_init(&out, sizeof(r->said) - 1);
    gw_diag_write(&r->diag, &out);
    (void)snprintf(r->said, sizeof(r->said), "%.*s", (int)out.n, (const char *)out.p);
    gw_buf_clear(&out);
    return r->c.policies;
}

/* r->c may have been set before. */
static inline void rig_open(struct rig *r, const char *yaml)
{
    struct gw_err err = {""};

    gw_test_env_init(&r->te, 1);
    gw_arena_init(&r->arena, 64 << 10, 64 << 20);
    r->meter = gw_meter_new();
    r->now_ns = 1700000000 * S;
    (void)rig_read(r, yaml);
    if (r->diag.n_errors)
        fail_msg("%s", r->said);
    if (gw_policies_new(&r->te.env, &r->c, r->meter, &r->p, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void rig_close(struct rig *r)
{
    gw_policies_free(r->p);
    gw_meter_free(r->meter);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->conf);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
    *r = (struct rig){0};
}

static inline void rig_span_json(struct gw_buf *json, const struct span *s)
{
    gw_buf_printf(json,
                  "{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\",\"parentSpanId\":"
                  "\"%s\",\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\",\"status\":{\"code\":%u},"
                  "\"flags\":%u,\"traceState\":\"%s\",\"attributes\":[%s],\"events\":[%s]}",
                  s->parent ? s->parent : "", (unsigned long long)s->start_ns, (unsigned long long)s->end_ns, s->status,
                  s->flags, s->state ? s->state : "", s->attrs ? s->attrs : "", s->events ? s->events : "");
}

/* One batch; each span has a resource of its own. */
static inline void rig_view(struct rig *r, const struct span *spans, unsigned n, struct gw_view *ret)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_buf json, wire;
    struct gw_err err = {""};
    struct gw_ref at;

    gw_buf_init(&json, 16 << 20);
    gw_buf_init(&wire, 16 << 20);
    gw_buf_put_str(&json, "{\"resourceSpans\":[");
    for (unsigned i = 0; i < n; i++) {
        gw_buf_printf(&json, "%s{\"resource\":{\"attributes\":[%s]},\"scopeSpans\":[{\"spans\":[", i ? "," : "",
                      spans[i].resource ? spans[i].resource : "");
        rig_span_json(&json, &spans[i]);
        gw_buf_put_str(&json, "]}]}");
    }
    gw_buf_put_str(&json, "]}");
    if (gw_json_to_proto(GW_TRACES, gw_buf_slice(&json), &limits, &wire, &err) < 0)
        fail_msg("%s: %.*s", err.text, (int)json.n, (const char *)json.p);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    gw_view_init(ret, b, &r->arena);
    (void)gw_batch_unref(b);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

/* Spans join the trace, as one batch. */
static inline void rig_add(struct rig *r, const struct span *spans, unsigned n)
{
    const uint64_t(*bits)[GW_FACT_WORDS];
    struct gw_view v;

    rig_view(r, spans, n, &v);
    bits = gw_policies_ask(r->p, &v);
    assert_non_null(bits);
    for (uint32_t row = 0; row < n; row++)
        gw_policies_note(r->p, &r->facts, &v, row, bits[row]);
    gw_view_clear(&v);
    gw_arena_reset(&r->arena, 1 << 20);
}
#define ADD(r, ...)                                                                                                    \
    rig_add(r, (const struct span[]){__VA_ARGS__}, sizeof((const struct span[]){__VA_ARGS__}) / sizeof(struct span))

static inline void rig_forget(struct rig *r)
{
    r->facts = (struct gw_trace_facts){0};
}

static inline enum gw_decision rig_decide(struct rig *r)
{
    gw_policies_decide(r->p, r->id, &r->facts, r->now_ns, &r->verdict);
    return r->verdict.decision;
}

/* A trace of these spans alone. */
static inline enum gw_decision rig_trace(struct rig *r, const struct span *spans, unsigned n)
{
    rig_forget(r);
    rig_add(r, spans, n);
    return rig_decide(r);
}
#define TRACE(r, ...)                                                                                                  \
    rig_trace(r, (const struct span[]){__VA_ARGS__}, sizeof((const struct span[]){__VA_ARGS__}) / sizeof(struct span))
#define KEEPS(r, ...) assert_int_equal(TRACE(r, __VA_ARGS__), GW_SAMPLED)
#define LOSES(r, ...) assert_int_equal(TRACE(r, __VA_ARGS__), GW_NOT_SAMPLED)

/* Value of a series "name{label=\"value\"}". */
static inline double rig_metric(struct rig *r, const char *series)
{
    struct gw_exposition how = {0};
    struct gw_buf out;
    double v = -1;

    gw_buf_init(&out, 1 << 20);
    gw_meter_write(r->meter, &how, &out);
    gw_buf_put_u8(&out, 0);
    for (const char *at = strstr((char *)out.p, series); at; at = strstr(at + 1, series))
        if (at[strlen(series)] == ' ')
            (void)sscanf(at + strlen(series), "%lf", &v);
    gw_buf_clear(&out);
    return v;
}

#endif
