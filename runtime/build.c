/* SPDX-License-Identifier: Apache-2.0 */
/* From the checked description of a graph (pipeline/service.h) to instances and the wires between them. */
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/limits.h"
#include "runtime/graph.h"

enum { MAX_GRAPH_BYTES = 64 << 20, MAX_LETTERS_BYTES = 64 << 20, MAX_SCRATCH_BYTES = 1u << 30, KEEP_BATCHES = 8 };

static int no_memory(struct gw_err *err)
{
    return gw_fail(err, -ENOMEM, "out of memory while building the pipelines");
}

static void *alloc(struct gw_engine *e, size_t n)
{
    return gw_arena_zalloc(&e->arena, n ? n : 1);
}

static void fill_ctx(struct gw_engine *e, struct gw_ctx *ctx, const struct gw_service_component *c,
                     const char *pipeline, enum gw_signal signal, unsigned worker)
{
    *ctx = (struct gw_ctx){
        .env = e->conf.env,
        .id = c->id,
        .pipeline = pipeline,
        .signal = signal,
        .meter = e->conf.meter,
        .detailed = e->conf.service->telemetry.metrics_level >= GW_LEVEL_DETAILED,
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
static int make(const struct gw_service_component *c, const struct gw_ctx *ctx, void **ret_self, struct gw_err *err)
{
    struct gw_err why = {"cannot be created"};
    int rc = 0;

    if (c->type->create)
        rc = c->type->create(ret_self, ctx, c->conf, &why);
    if (rc == 0 && c->type->start)
        rc = c->type->start(*ret_self, &why);
    if (rc < 0)
        return gw_fail(err, rc, "%s %s: %s", gw_kind_name(c->kind), c->id, why.text);
    return 0;
}

/* ---- instances that there are once ------------------------------------------------------------------------ */

static void room(void *arg)
{
    struct gw_engine *e = arg;

    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].loop)
            gw_loop_wake(e->workers[i].loop);
}

static int make_edge(struct gw_engine *e, struct instance *x, struct gw_err *err)
{
    struct gw_edge_conf conf = {
        .env = e->conf.env,
        .component = x->comp->type,
        .self = x->self,
        .id = x->comp->id,
        .signals = x->comp->signals,
        .meter = e->conf.meter,
        .level = e->conf.service->telemetry.metrics_level,
        .logger = x->ctx.logger,
        .memory = &e->memory,
        .room = room,
        .arg = e,
    };

    if (x->comp->extra)
        conf.settings = *(const struct gw_queue_settings *)x->comp->extra;
    return gw_edge_new(&conf, &x->edge) < 0 ? no_memory(err) : 0;
}

static int make_kind(struct gw_engine *e, enum gw_kind kind, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;

    for (size_t i = 0; i < s->n_components; i++) {
        struct instance *x = &e->instances[i];
        int rc;

        if (s->components[i].kind != kind || !s->components[i].is_used)
            continue;
        x->comp = &s->components[i];
        fill_ctx(e, &x->ctx, x->comp, NULL, 0, 0);
        rc = make(x->comp, &x->ctx, &x->self, err);
        if (rc == 0 && kind == GW_EXPORTER)
            rc = make_edge(e, x, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int wire_dead_letters(struct gw_engine *e, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;

    for (size_t i = 0; i < s->n_components; i++) {
        const struct gw_service_component *c = &s->components[i];

        for (size_t p = 0; e->instances[i].edge && p < c->n_ports; p++)
            for (size_t t = 0; t < c->ports[p].n_targets; t++) {
                const struct gw_service_component *to = c->ports[p].targets[t];

                if (!e->instances[to->index].edge)
                    return gw_fail(err, -EINVAL, "exporter %s: the dead_letter port leads to exporters only, not to %s",
                                   c->id, to->id);
                if (gw_edge_add_dead_letter(e->instances[i].edge, e->instances[to->index].edge) < 0)
                    return gw_fail(err, -EINVAL, "exporter %s: dead letters to %s would come back", c->id, to->id);
            }
    }
    return 0;
}

/* ---- pipelines -------------------------------------------------------------------------------------------- */

static struct target target_of(const struct gw_service_component *c, const struct gw_batching *batching)
{
    return (struct target){c->kind == GW_CONNECTOR ? TO_CONNECTOR : TO_EDGE, c->index, batching};
}

static int make_pipelines(struct gw_engine *e, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;

    for (size_t i = 0; i < s->n_pipelines; i++) {
        const struct gw_service_pipeline *c = &s->pipelines[i];
        struct pipeline *p = &e->pipelines[i];

        p->conf = c;
        p->targets = alloc(e, c->n_exporters * sizeof(*p->targets));
        if (!p->targets)
            return no_memory(err);
        for (size_t k = 0; k < c->n_processors; k++)
            if (c->processors[k]->type->batching) {
                c->processors[k]->type->batching(c->processors[k]->conf, &p->batching);
                p->batching.processor = c->processors[k]->id;
            }
        for (size_t k = 0; k < c->n_exporters; k++)
            p->targets[p->n_targets++] = target_of(c->exporters[k], p->batching.enabled ? &p->batching : NULL);
    }
    return 0;
}

static bool feeds(const struct gw_service_pipeline *p, const struct gw_service_component *from)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (p->receivers[i] == from)
            return true;
    return false;
}

/* The pipelines that name `from` as a receiver; signal 0 = of any. */
static int find_targets(struct gw_engine *e, const struct gw_service_component *from, enum gw_signal signal,
                        struct target **ret, unsigned *ret_n, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;

    *ret = alloc(e, s->n_pipelines * sizeof(**ret));
    if (!*ret)
        return no_memory(err);
    for (size_t i = 0; i < s->n_pipelines; i++)
        if (s->pipelines[i].signal == signal && feeds(&s->pipelines[i], from))
            (*ret)[(*ret_n)++] = (struct target){TO_PIPELINE, (unsigned)i, NULL};
    return 0;
}

static bool add_reach(struct gw_engine *e, struct route *r, const struct pipeline *p, unsigned depth)
{
    const struct gw_service *s = e->conf.service;

    if (depth > s->n_pipelines) /* cycles were refused when the configuration was checked */
        return true;
    for (unsigned i = 0; i < p->n_targets; i++) {
        struct instance *x = &e->instances[p->targets[i].index];
        unsigned k;

        if (p->targets[i].kind == TO_CONNECTOR) {
            for (size_t q = 0; q < s->n_pipelines; q++)
                if (feeds(&s->pipelines[q], &s->components[p->targets[i].index]) &&
                    s->pipelines[q].signal == p->conf->signal && !add_reach(e, r, &e->pipelines[q], depth + 1))
                    return false;
            continue;
        }
        for (k = 0; k < r->n_reach; k++)
            if (r->reach[k].exporter == x && r->reach[k].signal == p->conf->signal)
                break;
        if (k == r->n_reach) {
            r->reach[r->n_reach++] = (struct reach){x, p->conf->signal, 0};
            r->blocks |= gw_edge_blocks(x->edge);
        }
        r->reach[k].times++;
    }
    return true;
}

/* The Collector's pipeline metrics (there behind a gate): component and outcome are labels, not parts of the name. */
static struct gw_metric *items(struct gw_engine *e, const struct gw_service_component *c, const char *what,
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
    return gw_meter_get(e->conf.meter, GW_COUNTER, name, help, l, pipeline ? 5 : 4);
}

static void receiver_metrics(struct gw_engine *e, struct instance *x, enum gw_signal signal)
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

static void receiver_items(struct gw_engine *e, struct instance *x, enum gw_signal signal)
{
    for (unsigned o = 0; o < N_ITEM_OUTCOMES; o++)
        x->produced[gw_signal_index(signal)][o] = items(e, x->comp, "produced", signal, NULL, (enum item_outcome)o);
}

static struct gw_metric *refused(struct gw_engine *e, struct instance *x, enum gw_signal signal, const char *reason)
{
    const struct gw_label l[] = {{"receiver", x->comp->id}, {"signal", gw_signal_name(signal)}, {"reason", reason}};

    return gw_meter_get(e->conf.meter, GW_COUNTER, "staunch_refused_requests",
                        "Requests that were turned away for want of room; their senders were told to come again.", l,
                        3);
}

static int make_routes(struct gw_engine *e, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;

    for (size_t i = 0; i < s->n_components; i++)
        for (unsigned k = 0; k < GW_N_SIGNALS; k++) {
            struct instance *x = &e->instances[i];
            struct route *r = &x->routes[k];
            int rc;

            if (!x->comp || x->comp->kind != GW_RECEIVER)
                continue;
            rc = find_targets(e, x->comp, (enum gw_signal)(1u << k), &r->targets, &r->n_targets, err);
            r->reach = alloc(e, s->n_components * sizeof(*r->reach));
            if (rc < 0 || !r->reach)
                return no_memory(err);
            for (unsigned t = 0; t < r->n_targets; t++)
                (void)add_reach(e, r, &e->pipelines[r->targets[t].index], 0);
            if (r->n_targets) {
                r->refused_queue = refused(e, x, (enum gw_signal)(1u << k), "queue_full");
                r->refused_memory = refused(e, x, (enum gw_signal)(1u << k), "memory");
                receiver_metrics(e, x, (enum gw_signal)(1u << k));
                receiver_items(e, x, (enum gw_signal)(1u << k));
            }
        }
    return 0;
}

int gw_graph_build(struct gw_engine *e, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;
    int rc;

    gw_arena_init(&e->arena, 16384, MAX_GRAPH_BYTES);
    e->instances = alloc(e, s->n_components * sizeof(*e->instances));
    e->pipelines = alloc(e, s->n_pipelines * sizeof(*e->pipelines));
    e->workers = alloc(e, e->n_workers * sizeof(*e->workers));
    if (!e->instances || !e->pipelines || !e->workers)
        return no_memory(err);
    rc = make_kind(e, GW_EXTENSION, err);
    if (rc == 0)
        rc = make_kind(e, GW_EXPORTER, err);
    if (rc == 0)
        rc = wire_dead_letters(e, err);
    if (rc == 0)
        rc = make_pipelines(e, err);
    if (rc == 0)
        rc = make_kind(e, GW_RECEIVER, err);
    if (rc == 0)
        rc = make_routes(e, err);
    for (unsigned i = 0; i < e->n_workers && rc == 0; i++) {
        e->workers[i].index = i;
        rc = gw_worker_build(e, &e->workers[i], err);
    }
    return rc;
}

void gw_graph_free(struct gw_engine *e)
{
    for (unsigned i = 0; e->workers && i < e->n_workers; i++)
        gw_worker_free(&e->workers[i]);
    gw_logs_close(e); /* its last commits' done may still look at edges */
    for (size_t i = 0; e->instances && i < e->conf.service->n_components; i++) {
        struct instance *x = &e->instances[i];

        gw_edge_free(x->edge);
        if (x->comp && x->comp->type->destroy)
            x->comp->type->destroy(x->self);
        gw_loop_free(x->loop);
    }
    for (unsigned i = 0; e->workers && i < e->n_workers; i++)
        gw_loop_free(e->workers[i].loop);
    gw_arena_clear(&e->arena);
}

/* ---- what each worker has --------------------------------------------------------------------------------- */

static int make_outs(struct gw_engine *e, struct node *n, struct gw_err *err)
{
    const char *const *names = n->comp->type->ports;
    unsigned most = 1;

    while (names && names[n->n_ports])
        n->n_ports++;
    n->outs = alloc(e, n->n_ports * sizeof(*n->outs));
    n->n_outs = alloc(e, n->n_ports * sizeof(*n->n_outs));
    if (!n->outs || !n->n_outs)
        return no_memory(err);
    for (size_t p = 0; p < n->comp->n_ports; p++) {
        const struct gw_service_port *port = &n->comp->ports[p];

        if (port->port == 0 || port->port > n->n_ports)
            continue;
        n->outs[port->port - 1] = alloc(e, port->n_targets * sizeof(struct target));
        if (!n->outs[port->port - 1])
            return no_memory(err);
        for (size_t t = 0; t < port->n_targets; t++)
            n->outs[port->port - 1][n->n_outs[port->port - 1]++] = target_of(port->targets[t], NULL);
        most = port->n_targets > most ? (unsigned)port->n_targets : most;
    }
    n->letter_units = alloc(e, most * sizeof(*n->letter_units));
    return n->letter_units ? 0 : no_memory(err);
}

/* From a microsecond on: the Collector's bounds begin at five seconds, above anything that a processor takes. */
static const double durations[] = {1e-6,   2.5e-6, 5e-6, 1e-5,  2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
                                   2.5e-3, 5e-3,   0.01, 0.025, 0.05,   0.1,  0.25, 0.5,    1};

static void node_metrics(struct node *n, enum gw_signal signal)
{
    const struct gw_label labels[] = {{"otel_signal", gw_signal_name(signal)}, {"processor", n->comp->id}};
    struct gw_engine *e = n->worker->engine;

    n->consumed = items(e, n->comp, "consumed", signal, n->ctx.pipeline, ITEMS_SUCCESS);
    n->not_consumed = items(e, n->comp, "consumed", signal, n->ctx.pipeline, ITEMS_FAILURE);
    n->produced = items(e, n->comp, "produced", signal, n->ctx.pipeline, ITEMS_SUCCESS);
    if (n->comp->kind != GW_PROCESSOR)
        return;
    n->incoming = gw_meter_get(e->conf.meter, GW_COUNTER, "otelcol_processor_incoming_items",
                               "Number of items passed to the processor.", labels, 2);
    n->outgoing = gw_meter_get(e->conf.meter, GW_COUNTER, "otelcol_processor_outgoing_items",
                               "Number of items emitted from the processor.", labels, 2);
    if (e->conf.service->telemetry.metrics_level < GW_LEVEL_DETAILED || !n->comp->type->consume)
        return;
    n->duration =
        gw_meter_get_histogram(e->conf.meter, "otelcol_processor_internal_duration",
                               "Duration of time taken to process a batch of telemetry data through the processor.",
                               labels, 2, durations, sizeof(durations) / sizeof(durations[0]));
    if (n->duration)
        n->duration->scale = 1e-9; /* the sum is kept in ns */
}

static int make_node(struct worker *w, struct node *n, const struct gw_service_component *c,
                     const struct gw_service_pipeline *p, enum gw_signal signal, struct gw_err *err)
{
    struct gw_engine *e = w->engine;
    int rc;

    *n = (struct node){.worker = w, .comp = c};
    n->ports = (struct gw_ports){.ops = &gw_flow_ports_ops, .ledger = &w->ledger, .arena = &w->arena};
    gw_buf_init(&n->letters, MAX_LETTERS_BYTES);
    fill_ctx(e, &n->ctx, c, p ? p->id : NULL, signal, w->index);
    node_metrics(n, signal);
    rc = make_outs(e, n, err);
    w->has_ticks |= c->type->tick != NULL;
    return rc < 0 ? rc : make(c, &n->ctx, &n->self, err);
}

static int make_chain(struct worker *w, size_t index, struct gw_err *err)
{
    struct gw_engine *e = w->engine;
    const struct gw_service_pipeline *p = &e->conf.service->pipelines[index];
    struct chain *c = &w->chains[index];

    c->pipeline = &e->pipelines[index];
    c->nodes = alloc(e, p->n_processors * sizeof(*c->nodes));
    if (!c->nodes)
        return no_memory(err);
    for (size_t i = 0; i < p->n_processors; i++) {
        struct node *n = &c->nodes[i];
        int rc = make_node(w, n, p->processors[i], p, p->signal, err);

        n->chain = c;
        n->at = (unsigned)i;
        n->next = c->pipeline->targets;
        n->n_next = c->pipeline->n_targets;
        c->n_nodes++; /* also when it failed: what is half made is destroyed */
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A connector instance for each signal that some pipeline gives it. */
static int make_joints(struct worker *w, struct gw_err *err)
{
    struct gw_engine *e = w->engine;
    const struct gw_service *s = e->conf.service;

    for (size_t i = 0; i < s->n_pipelines; i++)
        for (size_t k = 0; k < s->pipelines[i].n_exporters; k++) {
            const struct gw_service_component *c = s->pipelines[i].exporters[k];
            struct node **at = &w->joints[c->index * GW_N_SIGNALS + gw_signal_index(s->pipelines[i].signal)];
            int rc;

            if (c->kind != GW_CONNECTOR || *at)
                continue;
            *at = alloc(e, sizeof(**at));
            if (!*at)
                return no_memory(err);
            rc = make_node(w, *at, c, NULL, s->pipelines[i].signal, err);
            if (rc == 0)
                rc = find_targets(e, c, s->pipelines[i].signal, &(*at)->next, &(*at)->n_next, err);
            if (rc < 0)
                return rc;
        }
    return 0;
}

static void make_intake(struct worker *w, struct intake *in, struct instance *x)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;

    in->worker = w;
    in->receiver = x;
    in->base = (struct gw_intake){.ops = &gw_intake_ops, .worker = w->index, .id = x->comp->id, .limits = &limits};
    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        in->base.signals |= x->routes[k].n_targets ? 1u << k : 0;
}

int gw_worker_build(struct gw_engine *e, struct worker *w, struct gw_err *err)
{
    const struct gw_service *s = e->conf.service;
    int rc = 0;

    w->engine = e;
    w->parked_last = &w->parked;
    w->ledger.settled = gw_flow_settled;
    gw_arena_init(&w->arena, 65536, 256u << 20);
    gw_buf_init(&w->scratch, MAX_SCRATCH_BYTES);
    gw_buf_init(&w->json, MAX_SCRATCH_BYTES);
    w->pool = gw_batch_pool_new(KEEP_BATCHES);
    w->reserved = alloc(e, s->n_components * GW_N_SIGNALS * sizeof(*w->reserved));
    w->queue_drains = alloc(e, s->n_components * GW_N_SIGNALS * sizeof(*w->queue_drains));
    w->chains = alloc(e, s->n_pipelines * sizeof(*w->chains));
    w->joints = alloc(e, s->n_components * GW_N_SIGNALS * sizeof(struct node *));
    w->intakes = alloc(e, s->n_components * sizeof(*w->intakes));
    if (!w->pool || !w->reserved || !w->queue_drains || !w->chains || !w->joints || !w->intakes)
        return no_memory(err);
    for (size_t i = 0; i < s->n_pipelines && rc == 0; i++)
        rc = make_chain(w, i, err);
    if (rc == 0)
        rc = make_joints(w, err);
    for (size_t i = 0; i < s->n_components; i++)
        if (e->instances[i].comp && e->instances[i].comp->kind == GW_RECEIVER)
            make_intake(w, &w->intakes[i], &e->instances[i]);
    return rc;
}

static void free_node(struct node *n)
{
    if (!n || !n->comp)
        return;
    if (n->comp->type->destroy)
        n->comp->type->destroy(n->self);
    gw_buf_clear(&n->letters);
}

void gw_worker_free(struct worker *w)
{
    const struct gw_service *s = w->engine ? w->engine->conf.service : NULL;

    if (!s)
        return;
    for (size_t i = 0; w->chains && i < s->n_pipelines; i++)
        for (unsigned k = 0; k < w->chains[i].n_nodes; k++)
            free_node(&w->chains[i].nodes[k]);
    for (size_t i = 0; w->joints && i < s->n_components * GW_N_SIGNALS; i++)
        free_node(w->joints[i]);
    gw_arena_clear(&w->arena);
    gw_buf_clear(&w->scratch);
    gw_buf_clear(&w->json);
    gw_batch_pool_free(w->pool);
}
