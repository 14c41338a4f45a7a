/* SPDX-License-Identifier: Apache-2.0 */
/* From the checked description of a graph (pipeline/service.h) to instances and the wires between them. */
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/limits.h"
#include "runtime/graph.h"

enum { MAX_GRAPH_BYTES = 64 << 20 };

/* ---- instances that there are once ------------------------------------------------------------------------ */

static void room(void *arg)
{
    struct gw_engine *e = arg;

    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].loop)
            gw_loop_wake(e->workers[i].loop);
}

static int make_edge(struct graph *g, struct instance *x, struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    struct gw_edge_conf conf = {
        .env = e->conf.env,
        .component = x->comp->type,
        .self = x->self,
        .id = x->comp->id,
        .signals = x->comp->signals,
        .meter = e->conf.meter,
        .level = g->service->telemetry.metrics_level,
        .logger = x->ctx.logger,
        .config = g->service->hash,
        .memory = &e->memory,
        .room = room,
        .arg = e,
    };

    if (x->comp->extra)
        conf.settings = *(const struct gw_queue_settings *)x->comp->extra;
    x->drains = calloc((size_t)e->n_workers * GW_N_SIGNALS, sizeof(*x->drains));
    return !x->drains || gw_edge_new(&conf, &x->edge) < 0 ? gw_graph_no_memory(err) : 0;
}

int gw_instance_make_intakes(struct instance *x, struct gw_err *err)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_engine *e = x->engine;

    x->intakes = calloc(e->n_workers, sizeof(*x->intakes));
    if (!x->intakes)
        return gw_graph_no_memory(err);
    for (unsigned i = 0; i < e->n_workers; i++) {
        struct intake *in = &x->intakes[i];

        in->worker = &e->workers[i];
        in->receiver = x;
        in->base = (struct gw_intake){.ops = &gw_intake_ops, .worker = i, .id = x->comp->id, .limits = &limits};
    }
    return 0;
}

/* Half made it is in the engine's list all the same: gw_instance_free takes what there is. */
static int make_instance(struct graph *g, const struct gw_service_component *c, struct gw_err *err)
{
    struct instance *x = calloc(1, sizeof(*x));
    int rc;

    if (!x)
        return gw_graph_no_memory(err);
    x->engine = g->engine;
    x->comp = c;
    *g->engine->instances_last = x;
    g->engine->instances_last = &x->next;
    g->instances[c->index] = x;
    gw_graph_fill_ctx(g, &x->ctx, c, NULL, 0, 0);
    rc = gw_graph_make(c, &x->ctx, &x->self, err);
    if (rc == 0 && c->kind == GW_EXPORTER)
        rc = make_edge(g, x, err);
    if (rc == 0 && c->kind == GW_RECEIVER)
        rc = gw_instance_make_intakes(x, err);
    return rc;
}

static int make_kind(struct graph *g, enum gw_kind kind, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    int rc = 0;

    for (size_t i = 0; i < s->n_components && rc == 0; i++)
        if (s->components[i].kind == kind && s->components[i].is_used &&
            (kind != GW_CONNECTOR || gw_keeps_rows(&s->components[i])))
            rc = make_instance(g, &s->components[i], err);
    return rc;
}

void gw_instance_free(struct instance *x)
{
    gw_edge_free(x->edge);
    if (x->comp->type->destroy)
        x->comp->type->destroy(x->self);
    gw_loop_free(x->loop);
    free(x->drains);
    free(x->intakes);
    free(x);
}

static struct gw_edge *edge_of(const struct graph *g, const struct gw_service_component *c)
{
    return g->instances[c->index] ? g->instances[c->index]->edge : NULL;
}

static int wire_dead_letters(struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_components; i++) {
        const struct gw_service_component *c = &s->components[i];

        for (size_t p = 0; edge_of(g, c) && p < c->n_ports; p++)
            for (size_t t = 0; t < c->ports[p].n_targets; t++) {
                const struct gw_service_component *to = c->ports[p].targets[t];

                if (!edge_of(g, to))
                    return gw_fail(err, -EINVAL, "exporter %s: the dead_letter port leads to exporters only, not to %s",
                                   c->id, to->id);
                if (gw_edge_add_dead_letter(edge_of(g, c), edge_of(g, to)) < 0)
                    return gw_fail(err, -EINVAL, "exporter %s: dead letters to %s would come back", c->id, to->id);
            }
    }
    return 0;
}

/* ---- pipelines -------------------------------------------------------------------------------------------- */

static int make_pipelines(struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_pipelines; i++) {
        const struct gw_service_pipeline *c = &s->pipelines[i];
        struct pipeline *p = &g->pipelines[i];

        p->conf = c;
        p->targets = gw_graph_alloc(g, c->n_exporters * sizeof(*p->targets));
        if (!p->targets)
            return gw_graph_no_memory(err);
        for (size_t k = 0; k < c->n_processors; k++)
            if (c->processors[k]->type->batching) {
                c->processors[k]->type->batching(c->processors[k]->conf, &p->batching);
                p->batching.processor = c->processors[k]->id;
            }
        for (size_t k = 0; k < c->n_exporters; k++)
            p->targets[p->n_targets++] = gw_graph_target(c->exporters[k], p->batching.enabled ? &p->batching : NULL);
    }
    return 0;
}

static bool add_reach(struct graph *g, struct route *r, const struct pipeline *p, unsigned depth)
{
    const struct gw_service *s = g->service;

    if (depth > s->n_pipelines) /* cycles were refused when the configuration was checked */
        return true;
    for (unsigned i = 0; i < p->n_targets; i++) {
        struct instance *x = g->instances[p->targets[i].index];
        unsigned k;

        if (p->targets[i].kind == TO_CONNECTOR && gw_keeps_rows(&s->components[p->targets[i].index]))
            continue; /* what follows it has doors of its own */
        if (p->targets[i].kind == TO_CONNECTOR) {
            for (size_t q = 0; q < s->n_pipelines; q++)
                if (gw_graph_feeds(&s->pipelines[q], &s->components[p->targets[i].index]) &&
                    s->pipelines[q].signal == p->conf->signal && !add_reach(g, r, &g->pipelines[q], depth + 1))
                    return false;
            continue;
        }
        for (k = 0; k < r->n_reach; k++)
            if (r->reach[k].exporter == x && r->reach[k].signal == p->conf->signal)
                break;
        if (k == r->n_reach) {
            r->reach[r->n_reach++] = (struct reach){x, p->targets[i].index, p->conf->signal, 0};
            r->blocks |= gw_edge_blocks(x->edge);
        }
        r->reach[k].times++;
    }
    return true;
}

void gw_graph_receiver_metrics(struct gw_engine *e, struct instance *x, enum gw_signal signal)
{
    static const char *const internal[] = {"internal", NULL};
    const char *const *transports = x->comp->type->transports ? x->comp->type->transports : internal;
    unsigned s = gw_signal_index(signal);
    char name[96];

    for (unsigned t = 0; t < GW_MAX_TRANSPORTS && transports[t]; t++) {
        const struct gw_label l[] = {{"receiver", x->comp->id}, {"transport", transports[t]}};

        (void)snprintf(name, sizeof(name), "otelcol_receiver_accepted_%s", gw_signal_item_name(signal));
        x->accepted[s][t] = gw_meter_get(e->conf.meter, GW_COUNTER, name,
                                         "Number of items successfully pushed into the pipeline.", l, 2);
        (void)snprintf(name, sizeof(name), "otelcol_receiver_refused_%s", gw_signal_item_name(signal));
        x->refused[s][t] = gw_meter_get(e->conf.meter, GW_COUNTER, name,
                                        "Number of items that could not be pushed into the pipeline.", l, 2);
        (void)snprintf(name, sizeof(name), "otelcol_receiver_failed_%s", gw_signal_item_name(signal));
        x->failed[s][t] = gw_meter_get(e->conf.meter, GW_COUNTER, name,
                                       "Number of items that failed to be processed by the receiver due to internal "
                                       "errors.",
                                       l, 2);
    }
}

void gw_graph_produced_metrics(struct gw_engine *e, struct instance *x, enum gw_signal signal)
{
    for (unsigned o = 0; o < N_ITEM_OUTCOMES; o++)
        x->produced[gw_signal_index(signal)][o] =
            gw_graph_items(e->conf.meter, x->comp, "produced", signal, NULL, (enum item_outcome)o);
}

static struct gw_metric *refused(struct graph *g, struct instance *x, enum gw_signal signal, const char *reason)
{
    const struct gw_label l[] = {{"receiver", x->comp->id}, {"signal", gw_signal_name(signal)}, {"reason", reason}};

    return gw_meter_get(g->engine->conf.meter, GW_COUNTER, "staunch_refused_requests",
                        "Requests that were turned away for want of room; their senders were told to come again.", l,
                        3);
}

int gw_graph_fill_route(struct graph *g, struct route *r, struct target *targets, unsigned n, struct gw_err *err)
{
    r->targets = targets;
    r->n_targets = n;
    r->reach = gw_graph_alloc(g, g->service->n_components * sizeof(*r->reach));
    if (!r->reach)
        return gw_graph_no_memory(err);
    for (unsigned t = 0; t < n; t++)
        (void)add_reach(g, r, &g->pipelines[targets[t].index], 0);
    return 0;
}

/* For the door: how often, and whether an operator can look at it. */
static void undecodable_metrics(struct graph *g, struct route *r, struct instance *x, enum gw_signal signal)
{
    static const char *const fates[N_UNDECODABLE] = {"kept", "over_rate", "no_room", "counted"};

    for (unsigned i = 0; i < N_UNDECODABLE; i++) {
        const struct gw_label l[] = {
            {"receiver", x->comp->id}, {"signal", gw_signal_name(signal)}, {"dead_letter", fates[i]}};

        r->undecodable[i] =
            gw_meter_get(g->engine->conf.meter, GW_COUNTER, "staunch_undecodable_requests",
                         "Requests that could not be decoded, by whether they became dead letters.", l, 3);
    }
}

static int make_routes(struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_components; i++)
        for (unsigned k = 0; k < GW_N_SIGNALS; k++) {
            struct instance *x = g->instances[i];
            struct route *r = gw_route(g, (unsigned)i, (enum gw_signal)(1u << k));
            struct target *targets;
            unsigned n = 0;
            int rc;

            if (!x || x->comp->kind != GW_RECEIVER)
                continue;
            rc = gw_graph_find_targets(g, &s->components[i], (enum gw_signal)(1u << k), &targets, &n, err);
            if (rc == 0)
                rc = gw_graph_fill_route(g, r, targets, n, err);
            if (rc < 0)
                return rc;
            if (r->n_targets) {
                r->refused_queue = refused(g, x, (enum gw_signal)(1u << k), "queue_full");
                r->refused_memory = refused(g, x, (enum gw_signal)(1u << k), "memory");
                undecodable_metrics(g, r, x, (enum gw_signal)(1u << k));
                gw_graph_receiver_metrics(g->engine, x, (enum gw_signal)(1u << k));
                gw_graph_produced_metrics(g->engine, x, (enum gw_signal)(1u << k));
            }
        }
    return 0;
}

int gw_graph_build(struct gw_engine *e, const struct gw_service *s, struct graph **ret, struct gw_err *err)
{
    struct graph *g = calloc(1, sizeof(*g));
    int rc;

    *ret = g;
    if (!g)
        return gw_graph_no_memory(err);
    g->engine = e;
    g->service = s;
    gw_arena_init(&g->arena, 16384, MAX_GRAPH_BYTES);
    g->instances = gw_graph_alloc(g, s->n_components * sizeof(struct instance *));
    g->pipelines = gw_graph_alloc(g, s->n_pipelines * sizeof(*g->pipelines));
    g->routes = gw_graph_alloc(g, s->n_components * GW_N_SIGNALS * sizeof(*g->routes));
    g->shares = gw_graph_alloc(g, e->n_workers * sizeof(*g->shares));
    if (!g->instances || !g->pipelines || !g->routes || !g->shares)
        return gw_graph_no_memory(err);
    rc = make_kind(g, GW_EXTENSION, err);
    if (rc == 0)
        rc = make_kind(g, GW_EXPORTER, err);
    if (rc == 0)
        rc = wire_dead_letters(g, err);
    if (rc == 0)
        rc = make_pipelines(g, err);
    if (rc == 0)
        rc = make_kind(g, GW_CONNECTOR, err);
    if (rc == 0 && !e->conf.without_receivers)
        rc = make_kind(g, GW_RECEIVER, err);
    if (rc == 0)
        rc = make_routes(g, err);
    if (rc == 0)
        rc = gw_doors_build(g, err);
    for (unsigned i = 0; i < e->n_workers && rc == 0; i++)
        rc = gw_share_build(&g->shares[i], g, &e->workers[i], err);
    return rc;
}

void gw_graph_free(struct graph *g)
{
    if (!g)
        return;
    for (unsigned i = 0; g->shares && i < g->engine->n_workers; i++)
        gw_share_free(&g->shares[i]);
    gw_arena_clear(&g->arena);
    free(g);
}
