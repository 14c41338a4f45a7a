/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_connector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "tests/harness_settings.h"

static struct gw_joint_rig *rig; /* the one that is at work */
enum gw_kind gw_joint_kind = GW_CONNECTOR;

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

int gw_joint_configure(struct gw_joint_rig *r, const char *name, const char *yaml)
{
    const struct gw_test_settings to = {&r->conf_arena, &r->diag, r->said, sizeof(r->said)};

    *r = (struct gw_joint_rig){0};
    gw_test_env_init(&r->te, 1);
    gw_arena_init(&r->arena, 64 << 10, 256 << 20);
    r->component = gw_test_configure(gw_joint_kind, name, yaml, &to, &r->conf);
    return r->diag.n_errors ? -EINVAL : 0;
}

static void settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason)
{
    (void)l;
    (void)v;
    (void)reason;
    rig->settled[outcome] += rows;
}

static void keep_json(enum gw_signal signal, struct gw_slice body, char **text)
{
    size_t before = strlen(*text);
    struct gw_buf json;

    gw_buf_init(&json, 256 << 20);
    assert_int_equal(gw_proto_to_json(signal, body, &json), 0);
    *text = realloc(*text, before + json.n + 2);
    assert_non_null(*text);
    memcpy(*text + before, json.p, json.n);
    strcpy(*text + before + json.n, "\n");
    gw_buf_clear(&json);
}

static void emit_side(struct gw_view *v)
{
    struct gw_buf body;

    assert_false(v->failed || rig->unwired);
    gw_buf_init(&body, 256 << 20);
    assert_int_equal(gw_encode(v, &body), 0);
    keep_json(v->batch->signal, gw_buf_slice(&body), &rig->side);
    gw_buf_clear(&body);
    rig->n_side += v->n_rows;
    gw_view_settle_all(v, &rig->ledger, GW_DELIVERED, NULL, NULL);
    gw_view_clear(v);
}

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    struct gw_buf *body = &rig->bodies[rig->n_bodies];

    rig->n_changes++;
    (void)out;
    if (port) {
        emit_side(v);
        return;
    }
    assert_false(v->failed);
    assert_int_equal(v->batch->signal, rig->component->makes ? rig->component->makes : rig->ctx[0].signal);
    assert_true(rig->n_bodies < GW_JOINT_BODIES);
    if (v->n_rows) {
        gw_buf_init(body, 256 << 20);
        assert_int_equal(gw_encode(v, body), 0);
        keep_json(v->batch->signal, gw_buf_slice(body), &rig->json);
        rig->n_bodies++;
        rig->n_rows += v->n_rows;
    }
    for (uint32_t i = 0; i < v->batch->n_segments; i++)
        assert_null(v->batch->segments[i].ticket);
    if (rig->is_sending && gw_joint_kind == GW_PROCESSOR)
        gw_view_settle_all(v, &rig->ledger, GW_DELIVERED, NULL, NULL);
    gw_view_clear(v);
}

static bool has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    (void)out;
    assert_true(rows > 0 && bytes > 0);
    return !rig->full;
}

static void reject(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why)
{
    gw_view_settle_row(v, out->ledger, row, GW_REJECTED, why->rule, why->message);
}

static bool is_wired(struct gw_ports *out, unsigned port)
{
    (void)out;
    return port == 0 || !rig->unwired;
}

static const struct gw_ports_ops ops = {.emit = emit, .reject = reject, .has_room = has_room, .is_wired = is_wired};

static struct gw_ctx context(struct gw_joint_rig *r, enum gw_signal signal, unsigned worker)
{
    return (struct gw_ctx){.env = &r->te.env,
                           .id = r->component->name,
                           .signal = signal,
                           .meter = r->meter,
                           .logger = {.sink = &r->sink, .kind = "connector", .id = r->component->name},
                           .worker = worker,
                           .n_workers = GW_JOINT_WORKERS,
                           .host = &r->host,
                           .shared = r->shared};
}

unsigned gw_joint_join(struct gw_joint_rig *r, enum gw_signal signal, unsigned worker)
{
    unsigned i = r->n_workers++;

    rig = r;
    assert_true(i < GW_JOINT_WORKERS);
    r->ctx[i] = context(r, signal, worker);
    if (r->component->create && r->component->create(&r->self[i], &r->ctx[i], r->conf, &r->err) < 0)
        fail_msg("%s", r->err.text);
    return i;
}

void gw_joint_leave(struct gw_joint_rig *r, unsigned i)
{
    if (r->component->destroy && r->self[i])
        r->component->destroy(r->self[i]);
    r->self[i] = NULL;
}

void gw_joint_open(struct gw_joint_rig *r, const char *name, enum gw_signal signal, const char *yaml,
                   unsigned n_workers)
{
    if (gw_joint_configure(r, name, yaml) < 0)
        fail_msg("%s", r->said);
    rig = r;
    r->sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_DEBUG};
    r->meter = gw_meter_new();
    gw_credit_init(&r->memory, 1 << 30, 1 << 30);
    r->host = (struct gw_host){.memory = &r->memory};
    r->ledger.settled = settled;
    r->ports = (struct gw_ports){.ops = &ops, .ledger = &r->ledger, .arena = &r->arena};
    r->json = calloc(1, 1);
    r->side = calloc(1, 1);
    r->shared_ctx = context(r, signal, 0);
    if (r->component->create_shared && r->component->create_shared(&r->shared, &r->shared_ctx, r->conf, &r->err) < 0)
        fail_msg("%s", r->err.text);
    for (unsigned i = 0; i < n_workers; i++)
        (void)gw_joint_join(r, signal, i);
}

void gw_joint_forget(struct gw_joint_rig *r)
{
    r->n_changes++;
    while (r->n_bodies)
        gw_buf_clear(&r->bodies[--r->n_bodies]);
    r->n_rows = 0;
    if (r->json)
        r->json[0] = r->side[0] = '\0';
    r->n_side = 0;
    memset(r->settled, 0, sizeof(r->settled));
}

void gw_joint_close(struct gw_joint_rig *r)
{
    rig = r;
    for (unsigned i = 0; i < r->n_workers; i++)
        gw_joint_leave(r, i);
    if (r->component->destroy_shared && r->shared)
        r->component->destroy_shared(r->shared);
    gw_joint_forget(r);
    assert_int_equal(r->memory.used_bytes, 0);
    free(r->json);
    free(r->side);
    free(r->conf);
    gw_meter_free(r->meter);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->conf_arena);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
    *r = (struct gw_joint_rig){0};
}

void gw_joint_send_wire(struct gw_joint_rig *r, unsigned i, struct gw_slice request)
{
    struct gw_batch *b = gw_batch_new(r->ctx[i].signal);
    uint32_t before = 0, after = 0;
    struct gw_err err = {""};
    struct gw_view v;
    struct gw_ref at;

    rig = r;
    for (unsigned k = 0; k <= GW_REFUSED; k++)
        before += r->settled[k];
    assert_int_equal(gw_batch_append(b, request, &at), 0);
    if (gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        fail_msg("%s", err.text);
    b->received_ns = gw_wall_ns(&r->te.env);
    b->receiver = "otlp";
    before += b->n_rows;
    gw_view_init(&v, b, &r->arena);
    (void)gw_batch_unref(b);
    r->is_sending = true;
    r->component->consume(r->self[i], &v, &r->ports);
    r->is_sending = false;
    for (unsigned k = 0; k <= GW_REFUSED; k++)
        after += r->settled[k];
    assert_int_equal(after, before);
    gw_arena_reset(&r->arena, 1 << 20);
}

void gw_joint_send(struct gw_joint_rig *r, unsigned i, const char *json)
{
    struct gw_err err = {""};
    struct gw_buf wire;

    gw_buf_init(&wire, 64 << 20);
    if (gw_json_to_proto(r->ctx[i].signal, gw_slice_cstr(json), &limits, &wire, &err) < 0)
        fail_msg("%s: %s", err.text, json);
    gw_joint_send_wire(r, i, gw_buf_slice(&wire));
    gw_buf_clear(&wire);
}

void gw_joint_tick(struct gw_joint_rig *r, unsigned i, uint64_t ns)
{
    rig = r;
    gw_test_env_advance(&r->te, ns);
    if (r->component->tick)
        (void)r->component->tick(r->self[i], gw_mono_ns(&r->te.env), &r->ports);
    gw_arena_reset(&r->arena, 1 << 20);
}

int gw_joint_drain(struct gw_joint_rig *r, unsigned i)
{
    int rc;

    rig = r;
    rc = r->component->drain ? r->component->drain(r->self[i], &r->ports) : GW_DONE;
    gw_arena_reset(&r->arena, 1 << 20);
    return rc;
}

bool gw_joint_has(const struct gw_joint_rig *r, const char *text)
{
    return strstr(r->json, text) != NULL;
}

void gw_joint_refuses(const char *name, const char *yaml, const char *text)
{
    struct gw_joint_rig r;

    if (gw_joint_configure(&r, name, yaml) == 0)
        fail_msg("accepted: %s", yaml);
    if (!strstr(r.said, text))
        fail_msg("said \"%s\", not \"%s\"", r.said, text);
    assert_non_null(strstr(r.said, "test.yaml:"));
    gw_joint_close(&r);
}

double gw_joint_metric(struct gw_joint_rig *r, const char *series)
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
