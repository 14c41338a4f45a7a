/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's part of a graph: its own instances of processors and connectors, and the wires between them. */
#include "runtime/keep.h"

enum { MAX_LETTERS_BYTES = 64 << 20 };

static int make_outs(struct node *n, struct gw_err *err)
{
    struct graph *g = n->share->graph;
    const char *const *names = n->comp->type->ports;
    unsigned most = 1;

    while (names && names[n->n_ports])
        n->n_ports++;
    n->outs = gw_graph_alloc(g, n->n_ports * sizeof(*n->outs));
    n->n_outs = gw_graph_alloc(g, n->n_ports * sizeof(*n->n_outs));
    if (!n->outs || !n->n_outs)
        return gw_graph_no_memory(err);
    for (size_t p = 0; p < n->comp->n_ports; p++) {
        const struct gw_service_port *port = &n->comp->ports[p];

        if (port->port == 0 || port->port > n->n_ports)
            continue;
        n->outs[port->port - 1] = gw_graph_alloc(g, port->n_targets * sizeof(struct target));
        if (!n->outs[port->port - 1])
            return gw_graph_no_memory(err);
        for (size_t t = 0; t < port->n_targets; t++)
            n->outs[port->port - 1][n->n_outs[port->port - 1]++] = gw_graph_target(port->targets[t], NULL);
        most = port->n_targets > most ? (unsigned)port->n_targets : most;
    }
    n->letter_units = gw_graph_alloc(g, most * sizeof(*n->letter_units));
    return n->letter_units ? 0 : gw_graph_no_memory(err);
}

/* From a microsecond on: the Collector's bounds begin at five seconds, above anything that a processor takes. */
static const double durations[] = {1e-6,   2.5e-6, 5e-6, 1e-5,  2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
                                   2.5e-3, 5e-3,   0.01, 0.025, 0.05,   0.1,  0.25, 0.5,    1};

static void node_metrics(struct node *n, enum gw_signal signal)
{
    const struct gw_label labels[] = {{"otel_signal", gw_signal_name(signal)}, {"processor", n->comp->id}};
    struct gw_engine *e = n->worker->engine;

    n->consumed = gw_graph_items(e->conf.meter, n->comp, "consumed", signal, n->ctx.pipeline, ITEMS_SUCCESS);
    n->not_consumed = gw_graph_items(e->conf.meter, n->comp, "consumed", signal, n->ctx.pipeline, ITEMS_FAILURE);
    n->produced = gw_graph_items(e->conf.meter, n->comp, "produced",
                                 n->comp->type->makes ? (enum gw_signal)n->comp->type->makes : signal, n->ctx.pipeline,
                                 ITEMS_SUCCESS);
    if (n->comp->kind != GW_PROCESSOR)
        return;
    n->incoming = gw_meter_get(e->conf.meter, GW_COUNTER, "otelcol_processor_incoming_items",
                               "Number of items passed to the processor.", labels, 2);
    n->outgoing = gw_meter_get(e->conf.meter, GW_COUNTER, "otelcol_processor_outgoing_items",
                               "Number of items emitted from the processor.", labels, 2);
    if (n->share->graph->service->telemetry.metrics_level < GW_LEVEL_DETAILED || !n->comp->type->consume)
        return;
    n->duration =
        gw_meter_get_histogram(e->conf.meter, "otelcol_processor_internal_duration",
                               "Duration of time taken to process a batch of telemetry data through the processor.",
                               labels, 2, durations, sizeof(durations) / sizeof(durations[0]));
    if (n->duration)
        n->duration->scale = 1e-9; /* the sum is kept in ns */
}

/* Data points have no trace, spans and records no series. */
static bool is_partitioned(const struct gw_component *c, enum gw_signal signal, unsigned n_workers)
{
    return c->partition_by && n_workers > 1 && (signal == GW_METRICS) != (strcmp(c->partition_by, "trace_id") == 0);
}

static int make_node(struct share *sh, struct node *n, const struct gw_service_component *c,
                     const struct gw_service_pipeline *p, enum gw_signal signal, struct gw_err *err)
{
    struct worker *w = sh->worker;
    int rc;

    *n = (struct node){.worker = w, .share = sh, .comp = c};
    n->ports = (struct gw_ports){.ops = &gw_flow_ports_ops, .ledger = &w->ledger, .arena = &w->arena};
    gw_buf_init(&n->letters, MAX_LETTERS_BYTES);
    gw_graph_fill_ctx(sh->graph, &n->ctx, c, p ? p->id : NULL, signal, w->index);
    n->reads_rows = gw_columns_read(c);
    n->ctx.outline_behind = p && !gw_columns_read_behind(sh->graph, p, (size_t)(n - sh->chains[p->index].nodes));
    node_metrics(n, signal);
    n->is_partitioned = is_partitioned(c->type, signal, w->engine->n_workers) &&
                        !(p ? sh->graph->pipelines[p->index].keeping != NULL
                            : gw_keep_is_connector(sh->graph, c)); /* then the journal has parted them */
    if (n->is_partitioned)
        sh->graph->is_partitioned = true;
    rc = make_outs(n, err);
    sh->has_ticks |= c->type->tick != NULL;
    if (rc < 0 || gw_keeps_rows(c))
        return rc; /* the worker's share comes from open() */
    if (c->type->create_shared) {
        rc = gw_shared_get(sh->graph, c, &n->ctx, &n->shared, err);
        if (rc < 0)
            return rc;
        n->ctx.shared = n->shared->p;
    }
    return gw_graph_make(c, &n->ctx, &n->self, err);
}

static int find_behind(struct share *sh, struct chain *c, unsigned pipeline, struct gw_err *err)
{
    struct target *whole = gw_graph_alloc(sh->graph, sizeof(*whole));

    c->behind = gw_graph_alloc(sh->graph, sizeof(*c->behind));
    if (!whole || !c->behind)
        return gw_graph_no_memory(err);
    *whole = (struct target){.kind = TO_PIPELINE, .index = pipeline};
    return gw_graph_fill_route(sh->graph, c->behind, whole, 1, err);
}

static int make_chain(struct share *sh, size_t index, struct gw_err *err)
{
    struct graph *g = sh->graph;
    const struct gw_service_pipeline *p = &g->service->pipelines[index];
    struct chain *c = &sh->chains[index];

    c->pipeline = &g->pipelines[index];
    c->nodes = gw_graph_alloc(g, p->n_processors * sizeof(*c->nodes));
    if (!c->nodes)
        return gw_graph_no_memory(err);
    for (size_t i = 0; i < p->n_processors; i++) {
        struct node *n = &c->nodes[i];
        int rc = make_node(sh, n, p->processors[i], p, p->signal, err);

        n->chain = c;
        n->at = (unsigned)i;
        n->next = c->pipeline->targets;
        n->n_next = c->pipeline->n_targets;
        c->n_nodes++; /* also when it failed: what is half made is destroyed */
        if (rc == 0 && n->comp->type->holds && !c->behind)
            rc = find_behind(sh, c, (unsigned)index, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int wire_joint(struct share *sh, struct node *n, struct gw_err *err)
{
    struct graph *g = sh->graph;
    unsigned made = n->comp->type->makes;
    int rc;

    if (gw_keeps_rows(n->comp))
        return 0;
    rc = gw_graph_find_targets(g, n->comp, made ? (enum gw_signal)made : n->ctx.signal, &n->next, &n->n_next, err);
    if (rc < 0 || !made)
        return rc;
    n->made = gw_graph_alloc(g, sizeof(*n->made));
    if (!n->made)
        return gw_graph_no_memory(err);
    return gw_graph_fill_route(g, n->made, n->next, n->n_next, err);
}

/* A connector instance for each signal that some pipeline gives it. */
static int make_joints(struct share *sh, struct gw_err *err)
{
    struct graph *g = sh->graph;
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_pipelines; i++)
        for (size_t k = 0; k < s->pipelines[i].n_exporters; k++) {
            const struct gw_service_component *c = s->pipelines[i].exporters[k];
            struct node **at = &sh->joints[c->index * GW_N_SIGNALS + gw_signal_index(s->pipelines[i].signal)];
            int rc;

            if (c->kind != GW_CONNECTOR || *at)
                continue;
            *at = gw_graph_alloc(g, sizeof(**at));
            if (!*at)
                return gw_graph_no_memory(err);
            rc = make_node(sh, *at, c, NULL, s->pipelines[i].signal, err);
            if (rc == 0)
                rc = wire_joint(sh, *at, err);
            if (rc < 0)
                return rc;
        }
    return 0;
}

int gw_share_build(struct share *sh, struct graph *g, struct worker *w, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    int rc = 0;

    sh->graph = g;
    sh->worker = w;
    sh->reserved = gw_graph_alloc(g, s->n_components * GW_N_SIGNALS * sizeof(*sh->reserved));
    sh->chains = gw_graph_alloc(g, s->n_pipelines * sizeof(*sh->chains));
    sh->joints = gw_graph_alloc(g, s->n_components * GW_N_SIGNALS * sizeof(struct node *));
    if (!sh->reserved || !sh->chains || !sh->joints)
        return gw_graph_no_memory(err);
    for (size_t i = 0; i < s->n_pipelines && rc == 0; i++)
        rc = make_chain(sh, i, err);
    return rc < 0 ? rc : make_joints(sh, err);
}

static void free_node(struct node *n)
{
    if (!n || !n->comp)
        return;
    if (n->comp->type->destroy && !gw_keeps_rows(n->comp))
        n->comp->type->destroy(n->self);
    gw_shared_unref(n->shared);
    gw_buf_clear(&n->letters);
    gw_letter_wait_clear(&n->waits);
}

void gw_share_free(struct share *sh)
{
    const struct gw_service *s = sh->graph ? sh->graph->service : NULL;

    for (size_t i = 0; s && sh->chains && i < s->n_pipelines; i++)
        for (unsigned k = 0; k < sh->chains[i].n_nodes; k++)
            free_node(&sh->chains[i].nodes[k]);
    for (size_t i = 0; s && sh->joints && i < s->n_components * GW_N_SIGNALS; i++)
        free_node(sh->joints[i]);
}
