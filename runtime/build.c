/* SPDX-License-Identifier: Apache-2.0 */
/* From the checked description of a graph (pipeline/service.h) to instances and the wires between them. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/graph.h"

enum { MAX_GRAPH_BYTES = 64 << 20 };

/* ---- instances -------------------------------------------------------------------------------------------- */

static const enum gw_kind once[] = {GW_EXTENSION, GW_EXPORTER, GW_CONNECTOR, GW_RECEIVER};
enum { N_ONCE = sizeof(once) / sizeof(once[0]) };

static bool is_once(const struct gw_engine *e, const struct gw_service_component *c)
{
    if (c->kind == GW_RECEIVER && e->conf.without_receivers)
        return false;
    return c->is_used && c->kind != GW_PROCESSOR && (c->kind != GW_CONNECTOR || gw_keeps_rows(c));
}

static int identify(struct graph *g, char **identities, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_components; i++)
        if (is_once(g->engine, &s->components[i]) && !(identities[i] = gw_identity(s, &s->components[i])))
            return gw_graph_no_memory(err);
    return 0;
}

static struct instance *equal_one(const struct graph *old, const char *identity)
{
    for (struct instance *x = old->engine->instances; x; x = x->next)
        if (x->is_kept && strcmp(x->identity, identity) == 0)
            return x;
    for (size_t i = 0; i < old->service->n_components; i++)
        if (old->instances[i] && strcmp(old->instances[i]->identity, identity) == 0)
            return old->instances[i];
    return NULL;
}

static void adopt(struct graph *g, const struct graph *old, char *const *identities)
{
    const struct gw_service *s = g->service;

    for (size_t i = 0; i < s->n_components; i++) {
        struct instance *x = identities[i] ? equal_one(old, identities[i]) : NULL;

        if (!x)
            continue;
        g->instances[i] = x;
        x->refs++;
        x->feeders++;
        if (x->edge)
            gw_edge_add_signals(x->edge, s->components[i].signals);
    }
}

static bool names(const struct graph *g, const struct instance *x)
{
    for (size_t i = 0; i < g->service->n_components; i++)
        if (g->instances[i] == x)
            return true;
    return false;
}

/* What is not adopted is replaced, or goes without a successor: then nobody takes its sockets. */
static void offer_listeners(const struct graph *g, const struct graph *old)
{
    for (size_t i = 0; i < old->service->n_components; i++) {
        struct instance *x = old->instances[i];

        if (x && x->comp->type->offer && !names(g, x))
            x->comp->type->offer(x->self, &g->engine->listeners);
    }
}

static int make_instances(struct graph *g, enum gw_kind kind, char **identities, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    int rc = 0;

    for (size_t i = 0; i < s->n_components && rc == 0; i++) {
        if (s->components[i].kind != kind || !identities[i] || g->instances[i])
            continue;
        rc = gw_instance_make(g, &s->components[i], identities[i], err);
        identities[i] = NULL;
    }
    return rc;
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

        if (!edge_of(g, c) || g->instances[i]->refs > 1) /* adopted: with the edges that it leads to */
            continue;
        for (size_t p = 0; p < c->n_ports; p++)
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
        struct gw_batching batching = {0};

        p->conf = c;
        p->id = gw_text_keep(g->engine, c->id);
        p->targets = gw_graph_alloc(g, c->n_exporters * sizeof(*p->targets));
        if (!p->targets || !p->id)
            return gw_graph_no_memory(err);
        for (size_t k = 0; k < c->n_processors; k++)
            if (c->processors[k]->type->batching) {
                c->processors[k]->type->batching(c->processors[k]->conf, &batching);
                batching.processor = c->processors[k]->id;
            }
        p->batching = batching.enabled ? gw_batching_keep(g->engine, &batching) : NULL;
        if (batching.enabled && !p->batching)
            return gw_graph_no_memory(err);
        if (gw_wals_build(g, p, err) < 0)
            return -EIO;
    }
    return gw_wals_build_ports(g, err);
}

static bool add_reach(struct graph *g, struct route *r, const struct pipeline *p, unsigned depth)
{
    const struct gw_service *s = g->service;

    if (depth > s->n_pipelines) /* cycles were refused when the configuration was checked */
        return true;
    for (unsigned i = 0; i < p->conf->n_exporters; i++) {
        const struct gw_service_component *c = p->conf->exporters[i];
        struct instance *x = g->instances[c->index];
        unsigned k;

        if (gw_keeps_rows(c))
            continue; /* what follows it has doors of its own */
        if (c->kind == GW_CONNECTOR && c->type->makes)
            continue; /* what it makes of them takes room for itself */
        if (c->kind == GW_CONNECTOR) {
            for (size_t q = 0; q < s->n_pipelines; q++)
                if (gw_graph_feeds(&s->pipelines[q], c) && s->pipelines[q].signal == p->conf->signal &&
                    !add_reach(g, r, &g->pipelines[q], depth + 1))
                    return false;
            continue;
        }
        for (k = 0; k < r->n_reach; k++)
            if (r->reach[k].exporter == x && r->reach[k].signal == p->conf->signal)
                break;
        if (k == r->n_reach) {
            r->reach[r->n_reach++] = (struct reach){x, c->index, p->conf->signal, 0};
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
    for (unsigned t = 0; t < n; t++) {
        (void)add_reach(g, r, &g->pipelines[targets[t].index], 0);
        r->is_whole |= g->pipelines[targets[t].index].is_whole;
    }
    return 0;
}

/* For the door: how often, and whether an operator can look at it. */
static void undecodable_metrics(struct graph *g, struct route *r, struct instance *x, enum gw_signal signal)
{
    static const char *const fates[N_UNDECODABLE] = {"kept", "over_rate", "no_room", "counted", "late"};

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
                if (!x->produced[k][0]) { /* else workers look at them: an adopted one has its own already */
                    gw_graph_receiver_metrics(g->engine, x, (enum gw_signal)(1u << k));
                    gw_graph_produced_metrics(g->engine, x, (enum gw_signal)(1u << k));
                }
            }
        }
    return 0;
}

/* Its folder is locked, and its logs are open: another one with these would find it taken. */
static int check_storages(const struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;

    for (const struct instance *x = g->engine->instances; x; x = x->next) {
        const struct gw_service_component *c = x->is_kept ? gw_service_find(s, GW_EXTENSION, x->comp->id) : NULL;

        if (c && c->is_used && !names(g, x))
            return gw_fail(err, -ENOTSUP, "extension %s: the settings of a storage can only be changed by a restart",
                           c->id);
    }
    return 0;
}

static bool feeds_the_same(const struct gw_service *a, const struct gw_service_component *x, const struct gw_service *b,
                           const struct gw_service_component *y)
{
    size_t n = 0, m = 0;

    for (size_t i = 0; i < b->n_pipelines; i++)
        m += gw_graph_feeds(&b->pipelines[i], y);
    for (size_t i = 0; i < a->n_pipelines; i++) {
        size_t k = 0;

        if (!gw_graph_feeds(&a->pipelines[i], x))
            continue;
        n++;
        while (k < b->n_pipelines && strcmp(b->pipelines[k].id, a->pipelines[i].id) != 0)
            k++;
        if (k == b->n_pipelines || !gw_graph_feeds(&b->pipelines[k], y))
            return false;
    }
    return n == m;
}

/* The one before stays, and gets other settings when all of the new graph stands. */
static int adopt_renewed(struct graph *g, const struct graph *old, struct instance *x,
                         const struct gw_service_component *c, char **identity, struct gw_err *err)
{
    const struct gw_service *s = old->service;
    const struct gw_service_component *before = gw_service_find(s, GW_CONNECTOR, c->id);
    struct gw_err why = {""};

    if (!c->type->behind && !feeds_the_same(s, before, g->service, c))
        return gw_fail(err, -ENOTSUP, "connector %s: the pipelines that begin with it can only be changed by a restart",
                       c->id);
    if (c->type != x->comp->type || !c->type->renew ||
        s->telemetry.metrics_level != g->service->telemetry.metrics_level)
        return gw_fail(err, -ENOTSUP, "connector %s: its settings and its metrics can only be changed by a restart",
                       c->id);
    if (c->type->renew(x->self, c->conf, /* take= */ false, &why) < 0)
        return gw_fail(err, -ENOTSUP, "connector %s: %s", c->id, why.text);
    x->next_identity = *identity;
    *identity = NULL;
    g->instances[c->index] = x;
    x->refs++;
    x->feeders++;
    return 0;
}

/*
 * A connector that keeps rows goes on from where the one before has got to, which reads and settles still: two of one
 * name would take from one place.
 */
static int adopt_connectors(struct graph *g, const struct graph *old, char **identities, struct gw_err *err)
{
    const struct gw_service *s = old->service;
    int rc = 0;

    for (size_t i = 0; i < s->n_components && rc == 0; i++) {
        const struct gw_service_component *c = gw_service_find(g->service, GW_CONNECTOR, s->components[i].id);
        struct instance *x = old->instances[i];

        if (x && x->locals && !names(g, x) && c && c->is_used)
            rc = adopt_renewed(g, old, x, c, &identities[c->index], err);
    }
    for (const struct instance *x = g->engine->instances; x && rc == 0; x = x->next) {
        const struct gw_service_component *c =
            x->comp->kind == GW_CONNECTOR && x->locals ? gw_service_find(g->service, GW_CONNECTOR, x->comp->id) : NULL;

        if (c && c->is_used && !names(g, x))
            rc = gw_fail(err, -EBUSY, "connector %s: rows of its earlier configuration are still under way", c->id);
    }
    return rc;
}

void gw_graph_renew(struct graph *g, bool take)
{
    for (size_t i = 0; g->instances && i < g->service->n_components; i++) {
        struct instance *x = g->instances[i];
        struct gw_err ignored;

        if (!x || !x->next_identity)
            continue;
        if (take) {
            free(x->identity);
            x->identity = x->next_identity;
            (void)x->comp->type->renew(x->self, g->service->components[i].conf, /* take= */ true, &ignored);
        } else {
            free(x->next_identity);
        }
        x->next_identity = NULL;
    }
}

static int make_all(struct graph *g, struct graph *old, char **identities, struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    int rc = identify(g, identities, err);

    if (rc == 0 && old) {
        adopt(g, old, identities);
        offer_listeners(g, old);
        rc = check_storages(g, err);
        if (rc == 0)
            rc = adopt_connectors(g, old, identities, err);
    }
    for (unsigned k = 0; k < N_ONCE && rc == 0; k++) {
        rc = make_instances(g, once[k], identities, err);
        if (rc == 0 && once[k] == GW_EXPORTER)
            rc = wire_dead_letters(g, err);
    }
    if (rc == 0)
        rc = make_pipelines(g, err);
    if (rc == 0)
        gw_columns_plan(g);
    if (rc == 0)
        rc = make_routes(g, err);
    if (rc == 0)
        rc = gw_doors_build(g, err);
    for (unsigned i = 0; i < e->n_workers && rc == 0; i++)
        rc = gw_share_build(&g->shares[i], g, &e->workers[i], err);
    if (rc == 0 && !gw_books_wire(g))
        rc = gw_graph_no_memory(err);
    return rc;
}

int gw_graph_build(struct gw_engine *e, struct source *source, struct graph *old, struct graph **ret,
                   struct gw_err *err)
{
    struct graph *g = calloc(1, sizeof(*g));
    const struct gw_service *s = source->given.service;
    char **identities = calloc(s->n_components + 1, sizeof(*identities));
    int rc;

    *ret = g;
    if (g) {
        g->engine = e;
        g->service = s;
        g->source = gw_source_ref(source);
        gw_arena_init(&g->arena, 16384, MAX_GRAPH_BYTES);
    }
    if (!g || !identities) {
        free(identities);
        return gw_graph_no_memory(err);
    }
    g->instances = gw_graph_alloc(g, s->n_components * sizeof(struct instance *));
    g->pipelines = gw_graph_alloc(g, s->n_pipelines * sizeof(*g->pipelines));
    g->routes = gw_graph_alloc(g, s->n_components * GW_N_SIGNALS * sizeof(*g->routes));
    g->shares = gw_graph_alloc(g, e->n_workers * sizeof(*g->shares));
    rc = g->instances && g->pipelines && g->routes && g->shares ? make_all(g, old, identities, err)
                                                                : gw_graph_no_memory(err);
    for (size_t i = 0; i < s->n_components; i++)
        free(identities[i]);
    free(identities);
    return rc;
}

/* Extensions last: others may have asked them until now. */
static void let_instances_go(struct graph *g, bool extensions)
{
    for (size_t i = g->service->n_components; g->instances && i-- > 0;) {
        struct instance *x = g->instances[i];

        if (!x || (x->comp->kind == GW_EXTENSION) != extensions)
            continue;
        g->instances[i] = NULL;
        if (!g->is_dry)
            x->feeders--;
        if (--x->refs == 0 && !x->is_kept)
            gw_instance_free(x);
    }
}

void gw_graph_free_shares(struct graph *g)
{
    for (unsigned i = 0; g && g->shares && i < g->engine->n_workers; i++)
        gw_share_free(&g->shares[i]);
    if (g)
        g->shares = NULL;
}

void gw_graph_free(struct graph *g)
{
    if (!g)
        return;
    gw_graph_free_shares(g);
    let_instances_go(g, /* extensions= */ false);
    let_instances_go(g, /* extensions= */ true);
    gw_source_unref(g->source);
    gw_arena_clear(&g->arena);
    free(g);
}
