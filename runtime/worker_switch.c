/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a worker goes from one graph to the next: between two turns, when no batch is open. A share that leaves stays
 * whole until nothing can come into it, and until nobody has a place in its graph's queues:
 *
 *   its own receivers idle and closed ─► processors let go what they hold ─► its own connectors idle and closed
 *     ─► dry ─► the last hold is back ─► home
 */
#include "runtime/keep.h"

enum { POLL_NS = 5000000 };

static int component_of(const struct graph *g, const struct instance *x)
{
    for (unsigned i = 0; i < g->service->n_components; i++)
        if (g->instances[i] == x)
            return (int)i;
    return -1;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static void add_intake(struct worker *w, struct intake *in)
{
    in->next = NULL; /* a door may have been in the list before */
    *w->intakes_last = in;
    w->intakes_last = &in->next;
}

/* Doors that are new. Others have their place: they go over with the worker. */
static void open_doors(struct worker *w, struct share *sh)
{
    for (unsigned i = 0; i < sh->graph->n_doors; i++) {
        struct intake *in = &sh->graph->doors[i]->x.intakes[w->index];

        if (in->share)
            continue;
        in->base.pipeline = sh->graph->doors[i]->pipeline;
        gw_intake_aim(in, sh, &sh->graph->door_routes[i * GW_N_SIGNALS]);
        add_intake(w, in);
    }
}

/* Pipelines that are new behind a connector that stays. */
static int join_doors(struct worker *w, struct share *sh, const struct instance *x, struct gw_err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < sh->graph->n_doors && rc == 0; i++) {
        const struct door *d = sh->graph->doors[i];
        struct intake *in = &d->x.intakes[w->index];

        if (d->behind && strcmp(d->from, x->comp->id) == 0 && in->share == sh && !in->base.local)
            rc = d->behind->join(x->locals[w->index].p, &in->base, err);
    }
    return rc;
}

/* A connector's local of this worker is what its nodes consume with. */
static int open_connectors(struct worker *w, struct share *sh, struct gw_err *err)
{
    for (unsigned i = 0; i < sh->graph->service->n_components; i++) {
        struct instance *x = sh->graph->instances[i];
        struct gw_err why = {"cannot be opened"};
        int rc = 0;

        if (!x || !x->locals)
            continue;
        if (!x->locals[w->index].p)
            rc = x->comp->type->open(x->self, w->loop, gw_doors_of(sh, x->comp), &x->locals[w->index].p, &why);
        else
            rc = join_doors(w, sh, x, &why);
        if (rc < 0)
            return gw_fail(err, rc, "connector %s: %s", x->comp->id, why.text);
        for (unsigned s = 0; s < GW_N_SIGNALS; s++)
            if (sh->joints[i * GW_N_SIGNALS + s])
                sh->joints[i * GW_N_SIGNALS + s]->self = x->locals[w->index].p;
    }
    return 0;
}

static int open_intakes(struct worker *w, struct share *sh, struct gw_err *err)
{
    const struct graph *g = sh->graph;
    int rc = 0;

    for (unsigned i = 0; i < g->service->n_components && rc == 0; i++) {
        struct instance *x = g->instances[i];
        struct intake *in = x && x->intakes ? &x->intakes[w->index] : NULL;

        if (!in || in->share)
            continue;
        gw_intake_aim(in, sh, gw_route(g, i, GW_TRACES));
        add_intake(w, in);
        rc = x->comp->type->open ? x->comp->type->open(x->self, w->loop, &in->base, &in->base.local, err) : 0;
    }
    return rc;
}

int gw_worker_open_share(struct worker *w, struct share *sh, struct gw_err *err)
{
    int rc;

    open_doors(w, sh);
    rc = open_connectors(w, sh, err); /* before anything can come in */
    return rc < 0 ? rc : open_intakes(w, sh, err);
}

/* ---- connectors that keep rows ---------------------------------------------------------------------------- */

static bool is_named_by_others(const struct worker *w, const struct share *sh, const struct instance *x)
{
    bool named = w->share != sh && component_of(w->share->graph, x) >= 0;

    for (const struct share *other = w->leaving; other; other = other->next)
        named |= other != sh && component_of(other->graph, x) >= 0;
    return named;
}

/* Does `step` for those of a share that are open here, and that no other share names when `alone`. True when all did.
 */
static bool each_connector(struct worker *w, const struct share *sh, bool alone,
                           bool (*step)(const struct gw_component *type, struct local *l))
{
    bool all = true;

    for (size_t i = 0; i < sh->graph->service->n_components; i++) {
        struct instance *x = sh->graph->instances[i];

        if (x && x->locals && x->locals[w->index].p && !(alone && is_named_by_others(w, sh, x)))
            all &= step(x->comp->type, &x->locals[w->index]);
    }
    return all;
}

static bool each_of(struct worker *w, const struct share *only,
                    bool (*step)(const struct gw_component *type, struct local *l))
{
    bool all = true;

    if (only)
        return each_connector(w, only, /* alone= */ true, step);
    for (const struct share *sh = w->leaving; sh; sh = sh->next)
        all &= each_connector(w, sh, /* alone= */ false, step);
    return (!w->share || each_connector(w, w->share, /* alone= */ false, step)) && all;
}

static bool quiesce(const struct gw_component *type, struct local *l)
{
    if (type->quiesce && !l->is_leaving)
        type->quiesce(l->p);
    l->is_leaving = true;
    return true;
}

static bool is_idle(const struct gw_component *type, struct local *l)
{
    return !type->is_idle || type->is_idle(l->p);
}

static bool close_local(const struct gw_component *type, struct local *l)
{
    if (type->close)
        type->close(l->p);
    l->p = NULL;
    return true;
}

void gw_connectors_quiesce(struct worker *w, const struct share *only)
{
    (void)each_of(w, only, quiesce);
}

bool gw_connectors_idle(struct worker *w, const struct share *only)
{
    return each_of(w, only, is_idle);
}

void gw_connectors_close(struct worker *w, const struct share *only)
{
    (void)each_of(w, only, close_local);
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

static struct door *door_of(const struct intake *in)
{
    return in->receiver->comp->type == &gw_door_type ? (struct door *)in->receiver : NULL;
}

/* What keeps the rows of one; NULL: it has no lane now, or was never to have one. */
static const struct gw_behind_ops *behind_of(const struct intake *in)
{
    const struct door *d = door_of(in);

    return d && in->base.local ? d->behind : NULL;
}

void gw_worker_begin(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->share == w->share && behind_of(in)) {
            in->is_leaving = false;
            behind_of(in)->begin(&in->base);
        }
}

/* ---- receivers -------------------------------------------------------------------------------------------- */

void gw_worker_quiesce(struct intake *in)
{
    const struct gw_component *type = in->receiver->comp->type;

    if (in->base.local && type->quiesce && !in->is_leaving)
        type->quiesce(in->base.local);
    if (behind_of(in) && !in->is_leaving)
        behind_of(in)->leave(&in->base);
    in->is_leaving = true;
}

/* Everything that it let in has an answer. */
static bool is_done(const struct intake *in)
{
    const struct gw_component *type = in->receiver->comp->type;

    return in->n_open == 0 && in->n_tickets == 0 && !gw_intake_is_parked(in) &&
           (!in->base.local || !type->is_idle || type->is_idle(in->base.local)) &&
           (!behind_of(in) || behind_of(in)->is_idle(&in->base)) && gw_keep_is_idle(in);
}

static void close_intake(struct worker *w, struct intake **link)
{
    struct intake *in = *link;

    if (in->base.local && in->receiver->comp->type->close)
        in->receiver->comp->type->close(in->base.local);
    if (behind_of(in))
        behind_of(in)->part(&in->base);
    gw_keep_end(in);
    if (!door_of(in)) {
        in->base.local = NULL;
        in->base.on_verdict = NULL;
    }
    in->base.signals = 0; /* a door stays with the engine, and leads nowhere */
    in->share = NULL;
    *link = in->next;
    if (w->intakes_last == &in->next)
        w->intakes_last = link;
}

/* Closes those of a share's receivers, or doors, that are done. True when none is left. */
static bool close_intakes(struct worker *w, const struct share *sh, bool doors)
{
    bool none = true;

    for (struct intake **p = &w->intakes, *in; (in = *p) != NULL;) {
        bool meant = in->share == sh && (door_of(in) != NULL) == doors;

        if (meant && is_done(in)) {
            close_intake(w, p);
            continue;
        }
        none &= !meant;
        p = &in->next;
    }
    return none;
}

/* ---- processors ------------------------------------------------------------------------------------------- */

static bool drain_node(struct node *n)
{
    bool more = n->comp->type->drain && gw_node_drain(n) == GW_MORE;

    gw_flow_flush_letters(n->worker);
    return more;
}

/* In order of flow, so that what one lets go the next one takes in. */
bool gw_worker_drain(struct worker *w, struct share *sh)
{
    const struct gw_service *s = sh->graph->service;
    bool more = false;

    w->running = sh;
    for (size_t p = 0; p < s->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++)
            more |= drain_node(&sh->chains[p].nodes[i]);
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (sh->joints[i] && (!gw_keeps_rows(sh->joints[i]->comp) || sh == w->share))
            more |= drain_node(sh->joints[i]);
    w->running = w->share;
    return !more;
}

/* ---- going over ------------------------------------------------------------------------------------------- */

static void begin_to_leave(struct worker *w, struct share *sh)
{
    struct share **last = &w->leaving;

    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->share == sh)
            gw_worker_quiesce(in);
    while (*last)
        last = &(*last)->next;
    sh->next = NULL;
    *last = sh;
    gw_connectors_quiesce(w, sh);
}

static struct route *routes_in(const struct graph *g, const struct intake *in)
{
    int component = component_of(g, in->receiver);

    for (unsigned i = 0; i < g->n_doors; i++)
        if (&g->doors[i]->x == in->receiver)
            return &g->door_routes[i * GW_N_SIGNALS];
    return component >= 0 ? gw_route(g, (unsigned)component, GW_TRACES) : NULL;
}

static void go_over(struct worker *w, struct graph *g)
{
    struct share *old = w->share, *sh = &g->shares[w->index];

    for (struct intake *in = w->intakes; in; in = in->next) {
        /* A door that leaves is wanted again. */
        struct route *routes = in->share == old || (door_of(in) && in->share != sh) ? routes_in(g, in) : NULL;

        if (in->n_open)
            gw_intake_flush(in); /* what came in before goes the old way, all of it */
        if (routes)
            gw_intake_aim(in, sh, routes);
    }
    w->share = w->running = sh;
    gw_nodes_adopt(w, old, sh);
    gw_worker_begin(w);
    begin_to_leave(w, old);
    if (sh->has_ticks)
        gw_worker_arm(w, TICK_NS);
}

int gw_worker_follow(struct worker *w, enum order order, struct graph *g, struct gw_err *err)
{
    switch (order) {
    case ORDER_OPEN:
        return gw_worker_open_share(w, &g->shares[w->index], err);
    case ORDER_SWITCH:
        go_over(w, g);
        break;
    case ORDER_DROP:
        begin_to_leave(w, &g->shares[w->index]);
        break;
    }
    return 0;
}

/* ---- rows that go from worker to worker ------------------------------------------------------------------- */

/* Nothing comes from outside to any worker's part of a graph, and nothing is between them. */
static bool is_shut(struct share *sh)
{
    struct graph *g = sh->graph;
    bool all = true;

    atomic_store(&sh->is_shut, true);
    for (unsigned i = 0; i < g->engine->n_workers; i++)
        all &= atomic_load(&g->shares[i].is_shut);
    return all && atomic_load(&g->n_crossing) == 0;
}

static bool has_open_doors(const struct worker *w, const struct share *sh)
{
    for (const struct intake *in = w->intakes; in; in = in->next)
        if (in->share == sh && (in->n_open || gw_intake_is_parked(in)))
            return true;
    return false;
}

/* One worker's part says nothing: another one's may still send it rows. */
static bool is_over(struct worker *w, struct share *sh)
{
    struct graph *g = sh->graph;

    if (has_open_doors(w, sh))
        return false;
    atomic_store(&sh->is_still, true);
    if (!atomic_load(&g->is_over) && gw_shuffle_rests(g))
        atomic_store(&g->is_over, true);
    return atomic_load(&g->is_over);
}

/* True: nothing runs through it any more. */
static bool run_dry(struct worker *w, struct share *sh)
{
    bool partitioned = sh->graph->is_partitioned;

    if (!close_intakes(w, sh, /* doors= */ false) || (partitioned && !is_shut(sh)))
        return false;
    if (!gw_worker_drain(w, sh) || !gw_connectors_idle(w, sh) || (partitioned && !is_over(w, sh)))
        return false;
    gw_connectors_close(w, sh);
    return close_intakes(w, sh, /* doors= */ true);
}

void gw_worker_tend(struct worker *w)
{
    for (struct share **p = &w->leaving, *sh; (sh = *p) != NULL;) {
        if (!sh->is_dry && run_dry(w, sh)) {
            sh->is_dry = true;
            atomic_fetch_add(&sh->graph->n_dry, 1);
            gw_loop_wake(w->engine->conf.loop);
        }
        if (!sh->is_dry || sh->n_holds) {
            p = &sh->next;
            continue;
        }
        *p = sh->next; /* the graph may be freed as soon as it is counted */
        atomic_fetch_add(&sh->graph->n_home, 1);
        gw_loop_wake(w->engine->conf.loop);
    }
    if (w->leaving)
        gw_worker_arm(w, POLL_NS);
}
