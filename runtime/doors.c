/* SPDX-License-Identifier: Apache-2.0 */
/* Ways into one pipeline that no receiver has: one for injections, and one for each connector that keeps rows. */
#include <stdlib.h>

#include "runtime/keep.h"

/* Metrics and dead letters go by the component's id and kind; this says that there is nothing to open or close. */
const struct gw_component gw_door_type = {.kind = GW_RECEIVER, .name = "replay", .signals = GW_ALL_SIGNALS};

static bool is_end(const struct gw_service_component *c)
{
    return c->is_used && gw_keeps_rows(c);
}

static unsigned count(const struct gw_service *s)
{
    unsigned n = (unsigned)s->n_pipelines;

    for (size_t i = 0; i < s->n_components; i++)
        for (size_t p = 0; p < s->n_pipelines; p++)
            n += is_end(&s->components[i]) && gw_graph_feeds(&s->pipelines[p], &s->components[i]);
    return n;
}

static struct door *find(const struct gw_engine *e, const char *pipeline, const char *from)
{
    struct door *d = e->doors;

    while (d && (strcmp(d->pipeline, pipeline) != 0 || !d->from != !from || (from && strcmp(d->from, from) != 0)))
        d = d->next;
    return d;
}

static int make(struct gw_engine *e, const struct gw_service_pipeline *p, const struct gw_service_component *c,
                struct door **ret, struct gw_err *err)
{
    struct door *d = gw_arena_zalloc(&e->arena, sizeof(*d));
    const char *from = c ? c->id : NULL;
    int rc;

    if (!d)
        return gw_graph_no_memory(err);
    d->x.engine = e;
    d->x.comp = &d->comp;
    d->pipeline = gw_text_keep(e, p->id);
    d->from = from ? gw_text_keep(e, from) : NULL;
    if (!d->pipeline || (from && !d->from))
        return gw_graph_no_memory(err);
    d->behind = c ? c->type->behind : NULL;
    d->signal = p->signal;
    d->comp = (struct gw_service_component){
        .kind = from ? GW_CONNECTOR : GW_RECEIVER, .id = from ? d->from : "replay", .type = &gw_door_type};
    rc = gw_instance_make_intakes(&d->x, err);
    if (rc < 0)
        return rc;
    if (from)
        gw_graph_produced_metrics(e, &d->x, p->signal);
    d->next = e->doors; /* whole: the next configuration finds it there */
    e->doors = d;
    *ret = d;
    return 0;
}

/* `c` NULL: for injections. The engine keeps its doors when the graph changes. */
static int add(struct graph *g, size_t pipeline, const struct gw_service_component *c, struct gw_err *err)
{
    const struct gw_service_pipeline *p = &g->service->pipelines[pipeline];
    struct door *d = find(g->engine, p->id, c ? c->id : NULL);
    struct target *t = gw_graph_alloc(g, sizeof(*t));
    struct route *r = &g->door_routes[g->n_doors * GW_N_SIGNALS + gw_signal_index(p->signal)];
    int rc = d ? 0 : make(g->engine, p, c, &d, err);

    if (rc < 0 || !t)
        return rc < 0 ? rc : gw_graph_no_memory(err);
    *t = (struct target){.kind = TO_PIPELINE, .index = (unsigned)pipeline};
    g->doors[g->n_doors++] = d;
    return gw_graph_fill_route(g, r, t, 1, err);
}

int gw_doors_build(struct graph *g, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    unsigned n = count(s);
    int rc = 0;

    g->doors = gw_graph_alloc(g, n * sizeof(struct door *));
    g->door_routes = gw_graph_alloc(g, n * GW_N_SIGNALS * sizeof(*g->door_routes));
    if (!g->doors || !g->door_routes)
        return gw_graph_no_memory(err);
    for (size_t p = 0; p < s->n_pipelines && rc == 0; p++)
        rc = add(g, p, NULL, err);
    for (size_t i = 0; i < s->n_components; i++)
        for (size_t p = 0; p < s->n_pipelines && rc == 0; p++)
            if (is_end(&s->components[i]) && gw_graph_feeds(&s->pipelines[p], &s->components[i]))
                rc = add(g, p, &s->components[i], err);
    return rc < 0 ? rc : gw_keeps_build(g, err);
}

void gw_doors_free(struct gw_engine *e)
{
    for (struct door *d = e->doors; d; d = d->next)
        free(d->x.intakes);
}

struct gw_intake *gw_doors_of(const struct share *sh, const struct gw_service_component *connector)
{
    const struct graph *g = sh->graph;
    const struct worker *w = sh->worker;
    struct gw_intake *first = NULL, **last = &first;

    for (unsigned i = 0; i < g->n_doors && !w->engine->conf.without_receivers; i++) {
        struct gw_intake *in = &g->doors[i]->x.intakes[w->index].base;

        if (!g->doors[i]->from || strcmp(g->doors[i]->from, connector->id) != 0)
            continue;
        in->pipeline = g->doors[i]->pipeline;
        in->next = NULL;
        *last = in;
        last = &in->next;
    }
    return first;
}
