/* SPDX-License-Identifier: Apache-2.0 */
/* Single instances and wires, for build.c (what there is once) and share.c (what each worker has). */
#include <stdio.h>

#include "runtime/graph.h"

int gw_graph_no_memory(struct gw_err *err)
{
    return gw_fail(err, -ENOMEM, "out of memory while building the pipelines");
}

void *gw_graph_alloc(struct graph *g, size_t n)
{
    return gw_arena_zalloc(&g->arena, n ? n : 1);
}

void gw_graph_fill_ctx(const struct graph *g, struct gw_ctx *ctx, const struct gw_service_component *c,
                       const char *pipeline, enum gw_signal signal, unsigned worker)
{
    struct gw_engine *e = g->engine;

    *ctx = (struct gw_ctx){
        .env = e->conf.env,
        .id = c->id,
        .pipeline = pipeline,
        .signal = signal,
        .meter = e->conf.meter,
        .detailed = g->service->telemetry.metrics_level >= GW_LEVEL_DETAILED,
        .logger = {.sink = e->conf.log,
                   .kind = gw_kind_name(c->kind),
                   .id = c->id,
                   .signal = signal ? gw_signal_name(signal) : NULL},
        .worker = worker,
        .n_workers = e->n_workers,
        .host = &e->host,
    };
}

/* A component may do without create; then it has no state. */
int gw_graph_make(const struct gw_service_component *c, const struct gw_ctx *ctx, void **ret_self, struct gw_err *err)
{
    struct gw_err why = {"cannot be created"};
    int rc = 0;

    if (c->type->create)
        rc = c->type->create(ret_self, ctx, c->conf, &why);
    if (rc == 0 && c->type->start)
        rc = c->type->start(*ret_self, &why);
    if (rc < 0)
        return gw_fail(err, rc, "%s %s: %s", gw_kind_name(c->kind), c->id, rc == -ENOMEM ? "out of memory" : why.text);
    return 0;
}

/* ---- wires ------------------------------------------------------------------------------------------------ */

struct target gw_graph_target(const struct gw_service_component *c, const struct gw_batching *batching)
{
    return (struct target){.kind = c->kind == GW_CONNECTOR ? TO_CONNECTOR : TO_EDGE,
                           .index = c->index,
                           .batching = batching,
                           .reads_rows = gw_columns_read(c)};
}

bool gw_keeps_rows(const struct gw_service_component *c)
{
    return c->kind == GW_CONNECTOR && c->type->open;
}

bool gw_graph_feeds(const struct gw_service_pipeline *p, const struct gw_service_component *from)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (p->receivers[i] == from)
            return true;
    return false;
}

int gw_graph_find_targets(struct graph *g, const struct gw_service_component *from, enum gw_signal signal,
                          struct target **ret, unsigned *ret_n, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    *ret = gw_graph_alloc(g, s->n_pipelines * sizeof(**ret));
    if (!*ret)
        return gw_graph_no_memory(err);
    for (size_t i = 0; i < s->n_pipelines; i++)
        if (s->pipelines[i].signal == signal && gw_graph_feeds(&s->pipelines[i], from))
            (*ret)[(*ret_n)++] = (struct target){.kind = TO_PIPELINE, .index = (unsigned)i};
    return 0;
}

/* The Collector's pipeline metrics (there behind a gate): component and outcome are labels, not parts of the name. */
struct gw_metric *gw_graph_items(struct gw_meter *m, const struct gw_service_component *c, const char *what,
                                 enum gw_signal signal, const char *pipeline, enum item_outcome outcome)
{
    static const char *const outcomes[N_ITEM_OUTCOMES] = {"success", "refused", "failure"};
    const struct gw_label l[] = {
        {"otelcol_component_id", c->id},
        {"otelcol_component_kind", gw_kind_name(c->kind)},
        {"otelcol_component_outcome", outcomes[outcome]},
        {"otelcol_signal", gw_signal_name(signal)},
        {"otelcol_pipeline_id", pipeline},
    };
    bool in = strcmp(what, "consumed") == 0;
    char name[64], help[64];

    (void)snprintf(name, sizeof(name), "otelcol_%s_%s_items", gw_kind_name(c->kind), what);
    (void)snprintf(help, sizeof(help), "Number of items %s the %s.", in ? "passed to" : "emitted from",
                   gw_kind_name(c->kind));
    return gw_meter_get(m, GW_COUNTER, name, help, l, pipeline ? 5 : 4);
}
