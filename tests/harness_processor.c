/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "tests/harness_settings.h"

struct gw_proc_world *gw_proc_world;
static struct gw_proc_rig *rig; /* the one that is at work */

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

int gw_proc_configure(struct gw_proc_rig *r, const char *name, const char *yaml)
{
    const struct gw_test_settings to = {&r->conf_arena, &r->diag, r->said, sizeof(r->said)};

    *r = (struct gw_proc_rig){0};
    gw_test_env_init(&r->te, 1);
    gw_arena_init(&r->arena, 64 << 10, 256 << 20);
    r->component = gw_test_configure(GW_PROCESSOR, name, yaml, &to, &r->conf);
    return r->diag.n_errors ? -EINVAL : 0;
}

static void settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason)
{
    (void)l;
    (void)v;
    rig->settled[outcome] += rows;
    if (outcome != GW_DELIVERED)
        (void)snprintf(rig->reason, sizeof(rig->reason), "%s", reason);
}

/* What the runtime does with a row that a component rejects. */
static void reject(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why)
{
    struct gw_proc_reject *x = &rig->rejects[rig->n_rejects];

    assert_true(rig->n_rejects++ < GW_PROC_REJECTS);
    x->row = row;
    (void)snprintf(x->rule, sizeof(x->rule), "%s", why->rule);
    (void)snprintf(x->field, sizeof(x->field), "%s", why->field);
    (void)snprintf(x->value, sizeof(x->value), "%.*s", (int)why->value.n, (const char *)why->value.p);
    (void)snprintf(x->message, sizeof(x->message), "%s", why->message);
    gw_view_settle_row(v, out->ledger, row, GW_REJECTED, why->rule, why->message);
}

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    struct gw_buf wire, json;

    assert_int_equal(port, 0);
    rig->failed |= v->failed;
    rig->n_out = v->n_rows;
    gw_buf_init(&wire, 64 << 20);
    gw_buf_init(&json, 64 << 20);
    if (v->n_rows) {
        assert_int_equal(gw_encode(v, &wire), 0);
        assert_int_equal(gw_proto_to_json(v->batch->signal, gw_buf_slice(&wire), &json), 0);
    }
    free(rig->out);
    rig->out = strndup(json.n ? (const char *)json.p : "", json.n);
    gw_view_settle_all(v, out->ledger, GW_DELIVERED, "test", NULL);
    gw_view_clear(v);
    gw_buf_clear(&wire);
    gw_buf_clear(&json);
}

static const struct gw_ports_ops ops = {.emit = emit, .reject = reject};

static int enter_world(struct gw_proc_rig *r, struct gw_proc_world *w)
{
    int e = 0;

    if (!w)
        return 0;
    r->host.ops = w->host;
    r->host.alarms = w->alarms;
    r->ctx.worker = w->worker;
    r->ctx.n_workers = w->n_workers;
    if (w->n_open == 0 && r->component->create_shared)
        e = r->component->create_shared(&w->shared, &r->ctx, r->conf, &r->err);
    if (e == 0) {
        r->world = w;
        r->ctx.shared = w->shared;
        w->n_open++;
    }
    return e;
}

static void leave_world(struct gw_proc_rig *r)
{
    struct gw_proc_world *w = r->world;

    if (w && --w->n_open == 0 && r->component->destroy_shared && w->shared)
        r->component->destroy_shared(w->shared);
}

int gw_proc_start(struct gw_proc_rig *r, enum gw_signal signal)
{
    int e;

    rig = r;
    r->sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_DEBUG};
    r->meter = gw_meter_new();
    gw_credit_init(&r->memory, 100 << 20, 200 << 20);
    r->host = (struct gw_host){.memory = &r->memory};
    r->ctx = (struct gw_ctx){.env = &r->te.env,
                             .id = r->component->name,
                             .pipeline = gw_signal_name(signal),
                             .signal = signal,
                             .meter = r->meter,
                             .logger = {.sink = &r->sink, .kind = "processor", .id = r->component->name},
                             .n_workers = 1,
                             .host = &r->host};
    r->ledger.settled = settled;
    r->ports = (struct gw_ports){.ops = &ops, .ledger = &r->ledger, .arena = &r->arena};
    e = enter_world(r, gw_proc_world);
    if (e == 0 && r->component->create)
        e = r->component->create(&r->self, &r->ctx, r->conf, &r->err);
    if (e == 0 && r->component->start)
        e = r->component->start(r->self, &r->err);
    return e;
}

void gw_proc_open(struct gw_proc_rig *r, const char *name, enum gw_signal signal, const char *yaml)
{
    if (gw_proc_configure(r, name, yaml) < 0)
        fail_msg("%s", r->said);
    if (gw_proc_start(r, signal) < 0)
        fail_msg("%s", r->err.text);
}

void gw_proc_close(struct gw_proc_rig *r)
{
    if (r->component->destroy && r->self)
        r->component->destroy(r->self);
    leave_world(r);
    free(r->conf);
    free(r->out);
    (void)gw_meta_unref(r->meta);
    gw_meter_free(r->meter);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->conf_arena);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
    *r = (struct gw_proc_rig){0};
}

static void post(struct gw_ticket *t)
{
    (void)t;
    rig->posts++;
}

void gw_proc_send_wire(struct gw_proc_rig *r, struct gw_slice request)
{
    struct gw_batch *b = gw_batch_new(r->ctx.signal);
    struct gw_err err = {""};
    struct gw_view v;
    struct gw_ref at;

    rig = r;
    free(r->out);
    r->out = strdup("");
    r->n_out = r->posts = r->n_rejects = 0;
    memset(r->settled, 0, sizeof(r->settled));
    memset(&r->ticket, 0, sizeof(r->ticket));
    r->ticket.refs = 1;
    r->ticket.post = post;
    assert_int_equal(gw_batch_append(b, request, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, &r->ticket, &err) < 0)
        fail_msg("%s", err.text);
    r->ticket.rows = b->n_rows;
    r->ticket.open = b->n_rows;
    b->meta = gw_meta_ref(r->meta);
    b->received_ns = gw_wall_ns(&r->te.env);
    b->receiver = r->receiver ? r->receiver : "otlp";
    gw_view_init(&v, b, &r->arena);
    (void)gw_batch_unref(b);
    if (r->component->consume)
        r->component->consume(r->self, &v, &r->ports);
    else
        emit(&r->ports, 0, &v);
    assert_int_equal(r->posts, r->ticket.rows ? 1 : 0);
    assert_int_equal(r->ticket.open, 0);
    assert_int_equal(r->ticket.refs, 1);
    gw_arena_reset(&r->arena, 1 << 20);
}

void gw_proc_send(struct gw_proc_rig *r, const char *json)
{
    struct gw_err err = {""};
    struct gw_buf wire;

    gw_buf_init(&wire, 64 << 20);
    if (gw_json_to_proto(r->ctx.signal, gw_slice_cstr(json), &limits, &wire, &err) < 0)
        fail_msg("%s: %s", err.text, json);
    gw_proc_send_wire(r, gw_buf_slice(&wire));
    gw_buf_clear(&wire);
}

bool gw_proc_has(const struct gw_proc_rig *r, const char *text)
{
    return strstr(r->out, text) != NULL;
}

double gw_proc_metric(struct gw_proc_rig *r, const char *series)
{
    struct gw_exposition how = {0};
    struct gw_buf out;
    const char *at;
    double v = 0;

    gw_buf_init(&out, 1 << 20);
    gw_meter_write(r->meter, &how, &out);
    gw_buf_put_u8(&out, 0);
    for (at = strstr((char *)out.p, series); at; at = strstr(at + 1, series))
        if (at[strlen(series)] == ' ')
            v = strtod(at + strlen(series), NULL);
    gw_buf_clear(&out);
    return v;
}

void gw_proc_refuses(const char *name, const char *yaml, const char *text)
{
    struct gw_proc_rig r;

    if (gw_proc_configure(&r, name, yaml) == 0)
        fail_msg("accepted: %s", yaml);
    if (!strstr(r.said, text))
        fail_msg("said \"%s\", not \"%s\"", r.said, text);
    assert_non_null(strstr(r.said, "test.yaml:"));
    gw_proc_close(&r);
}

void gw_proc_refuses_signal(const char *name, enum gw_signal signal, const char *yaml, const char *text)
{
    struct gw_proc_rig r;

    if (gw_proc_configure(&r, name, yaml) < 0)
        fail_msg("%s", r.said);
    if (gw_proc_start(&r, signal) == 0)
        fail_msg("accepted: %s", yaml);
    if (!strstr(r.err.text, text))
        fail_msg("said \"%s\", not \"%s\"", r.err.text, text);
    gw_proc_close(&r);
}

#define RESOURCE                                                                                                       \
    "\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}},"                   \
    "{\"key\":\"zone\",\"value\":{\"intValue\":\"7\"}}]}"
#define SCOPE "\"scope\":{\"name\":\"lib\",\"version\":\"1.2\"}"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static const char *envelope(const char *format, const char *fields, const char *attributes)
{
    static char text[4][16384];
    static unsigned n;
    char *out = text[n++ % 4];

    (void)snprintf(out, sizeof(text[0]), format, attributes, *fields ? "," : "", fields);
    return out;
}

const char *gw_proc_span(const char *fields, const char *attributes)
{
    return envelope("{\"resourceSpans\":[{" RESOURCE ",\"scopeSpans\":[{" SCOPE
                    ",\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\","
                    "\"startTimeUnixNano\":\"1767323045000000000\",\"endTimeUnixNano\":\"1767323045000000005\","
                    "\"attributes\":[%s]%s%s}]}]}]}",
                    fields, attributes);
}

const char *gw_proc_log(const char *fields, const char *attributes)
{
    return envelope("{\"resourceLogs\":[{" RESOURCE ",\"scopeLogs\":[{" SCOPE
                    ",\"logRecords\":[{\"attributes\":[%s]%s%s}]}]}]}",
                    fields, attributes);
}

const char *gw_proc_point(const char *fields, const char *attributes)
{
    return envelope("{\"resourceMetrics\":[{" RESOURCE ",\"scopeMetrics\":[{" SCOPE
                    ",\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"attributes\":[%s],"
                    "\"timeUnixNano\":\"1767323045000000000\",\"asDouble\":1%s%s}]}}]}]}]}",
                    fields, attributes);
}
#pragma GCC diagnostic pop
