/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker: a loop, its share of every receiver, and the chains. A turn of the loop brings bytes to the receivers;
 * the hook at its end runs what came together and hands out verdicts.
 */
#include <stdlib.h>

#include "runtime/graph.h"

enum { MAX_SCRATCH_BYTES = 1u << 30, KEEP_BATCHES = 8 };

void gw_worker_arm(struct worker *w, uint64_t after_ns)
{
    uint64_t due = gw_loop_now_ns(w->loop) + after_ns;

    if (!gw_timer_is_armed(&w->timer) || w->timer.due_ns > due)
        gw_timer_arm(w->loop, &w->timer, due);
}

static void flush_all(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->n_open)
            gw_intake_flush(in);
}

/* ---- leaving ---------------------------------------------------------------------------------------------- */

static void each_local(struct worker *w, void (*f)(void *local), bool quiesce)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->base.local && in->receiver->comp->type != &gw_door_type) {
            f = quiesce ? in->receiver->comp->type->quiesce : in->receiver->comp->type->close;
            if (f)
                f(in->base.local);
            if (!quiesce)
                in->base.local = NULL;
        }
}

static const struct gw_component *connector_type(const struct worker *w, size_t i)
{
    return w->share && w->share->locals[i] ? w->share->graph->service->components[i].type : NULL;
}

static void quiesce_connectors(struct worker *w)
{
    for (size_t i = 0; i < w->engine->graph->service->n_components; i++)
        if (connector_type(w, i) && connector_type(w, i)->quiesce)
            connector_type(w, i)->quiesce(w->share->locals[i]);
}

static void close_connectors(struct worker *w)
{
    for (size_t i = 0; i < w->engine->graph->service->n_components; i++)
        if (connector_type(w, i)) {
            if (connector_type(w, i)->close)
                connector_type(w, i)->close(w->share->locals[i]);
            w->share->locals[i] = NULL;
        }
}

static bool connectors_idle(const struct worker *w)
{
    for (size_t i = 0; i < w->engine->graph->service->n_components; i++)
        if (connector_type(w, i) && connector_type(w, i)->is_idle &&
            !connector_type(w, i)->is_idle(w->share->locals[i]))
            return false;
    return true;
}

static bool all_idle(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->base.local && in->receiver->comp->type->is_idle && !in->receiver->comp->type->is_idle(in->base.local))
            return false;
    return w->parked == NULL && connectors_idle(w) && w->n_injected == 0 && gw_inbox_is_empty(&w->injected);
}

static bool drain_node(struct node *n)
{
    bool more = n->comp->type->drain && n->comp->type->drain(n->self, &n->ports) == GW_MORE;

    gw_flow_flush_letters(n->worker);
    return more;
}

/* In order of flow, so that what one lets go the next one takes in. True when all have nothing more. */
static bool drain_nodes(struct worker *w)
{
    const struct share *sh = w->share;
    const struct gw_service *s = sh->graph->service;
    bool more = false;

    for (size_t p = 0; p < s->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++)
            more |= drain_node(&sh->chains[p].nodes[i]);
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (sh->joints[i])
            more |= drain_node(sh->joints[i]);
    return !more;
}

static void follow_phase(struct worker *w)
{
    enum phase now = atomic_load(&w->engine->phase);

    if (now == RUNNING || now == STARTING)
        return;
    if (w->seen == RUNNING) {
        w->seen = QUIESCING;
        each_local(w, NULL, /* quiesce= */ true);
        quiesce_connectors(w);
    }
    if (!w->quiet && now == QUIESCING) {
        if (all_idle(w) && drain_nodes(w)) {
            atomic_store(&w->quiet, true);
            gw_loop_wake(w->engine->conf.loop);
        } else {
            gw_worker_arm(w, IDLE_POLL_NS);
        }
    }
    if (now == STOPPED)
        gw_loop_stop(w->loop);
}

/* ---- turning ---------------------------------------------------------------------------------------------- */

static void on_turn(struct gw_hook *h)
{
    struct worker *w = (struct worker *)((char *)h - offsetof(struct worker, hook));

    if (!gw_inbox_is_empty(&w->inbox))
        gw_intake_deliver(w);
    if (w->parked)
        gw_intake_unpark(w, atomic_load(&w->engine->phase) > QUIESCING);
    gw_inject_run(w, /* give_up= */ false);
    flush_all(w);
    if (!gw_inbox_is_empty(&w->inbox)) { /* most verdicts are known by now: the queue has the rows */
        gw_intake_deliver(w);
        flush_all(w); /* an answer may have let the next request of a connection in */
        if (!gw_inbox_is_empty(&w->inbox))
            gw_loop_wake(w->loop);
    }
    follow_phase(w);
}

static void tick_nodes(struct worker *w, uint64_t now)
{
    const struct share *sh = w->share;

    w->deadline_ns = 0; /* who waited for these rows was answered long ago */
    for (size_t p = 0; p < sh->graph->service->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++) {
            struct node *n = &sh->chains[p].nodes[i];

            w->current = n;
            if (n->comp->type->tick)
                (void)n->comp->type->tick(n->self, now, &n->ports);
        }
    w->current = NULL;
    gw_flow_flush_letters(w);
    gw_arena_reset(&w->arena, BATCH_BYTES);
}

static void on_timer(struct gw_timer *t)
{
    struct worker *w = (struct worker *)((char *)t - offsetof(struct worker, timer));
    uint64_t now = gw_loop_now_ns(w->loop);

    if (w->share->has_ticks && now >= w->tick_ns) {
        tick_nodes(w, now);
        w->tick_ns = now + TICK_NS;
    }
    if (w->share->has_ticks)
        gw_worker_arm(w, w->tick_ns > now ? w->tick_ns - now : 1);
    if (w->parked)
        gw_worker_arm(w, TICK_NS);
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

int gw_worker_init(struct worker *w, struct gw_engine *e, unsigned index, struct gw_err *err)
{
    w->engine = e;
    w->index = index;
    w->parked_last = &w->parked;
    w->intakes_last = &w->intakes;
    w->ledger.settled = gw_flow_settled;
    gw_arena_init(&w->arena, 65536, 256u << 20);
    gw_buf_init(&w->scratch, MAX_SCRATCH_BYTES);
    gw_buf_init(&w->json, MAX_SCRATCH_BYTES);
    w->pool = gw_batch_pool_new(KEEP_BATCHES);
    return w->pool ? 0 : gw_fail(err, -ENOMEM, "out of memory");
}

void gw_worker_free(struct worker *w)
{
    gw_arena_clear(&w->arena);
    gw_buf_clear(&w->scratch);
    gw_buf_clear(&w->json);
    gw_batch_pool_free(w->pool);
    gw_loop_free(w->loop);
}

/* Its rows go into that share from now on. */
static void aim(struct intake *in, struct share *sh, struct route *routes)
{
    in->share = sh;
    in->routes = routes;
    in->base.signals = 0;
    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        in->base.signals |= in->routes[k].n_targets ? 1u << k : 0;
}

static void add_intake(struct worker *w, struct intake *in)
{
    *w->intakes_last = in;
    w->intakes_last = &in->next;
}

static void open_doors(struct worker *w, struct share *sh)
{
    for (unsigned i = 0; i < sh->graph->n_doors; i++) {
        struct intake *in = &sh->graph->doors[i]->x.intakes[w->index];

        aim(in, sh, &sh->graph->door_routes[i * GW_N_SIGNALS]);
        add_intake(w, in);
    }
}

/* A connector's share of this worker is what its nodes consume with. */
static int open_connectors(struct worker *w, struct share *sh, struct gw_err *err)
{
    for (unsigned i = 0; i < sh->graph->service->n_components; i++) {
        struct instance *x = sh->graph->instances[i];
        struct gw_err why = {"cannot be opened"};
        int rc;

        if (!x || x->comp->kind != GW_CONNECTOR)
            continue;
        rc = x->comp->type->open(x->self, w->loop, gw_doors_of(w, x->comp), &sh->locals[i], &why);
        if (rc < 0)
            return gw_fail(err, rc, "connector %s: %s", x->comp->id, why.text);
        for (unsigned s = 0; s < GW_N_SIGNALS; s++)
            if (sh->joints[i * GW_N_SIGNALS + s])
                sh->joints[i * GW_N_SIGNALS + s]->self = sh->locals[i];
    }
    return 0;
}

static int open_intakes(struct worker *w, struct share *sh, struct gw_err *err)
{
    const struct graph *g = sh->graph;

    for (unsigned i = 0; i < g->service->n_components; i++) {
        struct instance *x = g->instances[i];
        struct intake *in;
        int rc;

        if (!x || x->comp->kind != GW_RECEIVER)
            continue;
        in = &x->intakes[w->index];
        aim(in, sh, gw_route(g, i, GW_TRACES));
        add_intake(w, in);
        rc = x->comp->type->open ? x->comp->type->open(x->self, w->loop, &in->base, &in->base.local, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

int gw_worker_open(struct worker *w, struct gw_err *err)
{
    int rc = gw_loop_new(w->engine->conf.env, &w->loop, err);

    if (rc < 0)
        return rc;
    w->hook.run = on_turn;
    w->timer.fire = on_timer;
    gw_loop_add_hook(w->loop, &w->hook);
    w->share = &w->engine->graph->shares[w->index];
    open_doors(w, w->share);
    rc = open_connectors(w, w->share, err); /* before anything can come in */
    if (rc == 0)
        rc = open_intakes(w, w->share, err);
    if (rc < 0)
        return rc;
    if (w->share->has_ticks)
        gw_worker_arm(w, TICK_NS);
    w->seen = RUNNING;
    return 0;
}

void gw_worker_close(struct worker *w)
{
    if (!w->loop)
        return;
    each_local(w, NULL, /* quiesce= */ false);
    gw_inject_run(w, /* give_up= */ true);
    gw_intake_unpark(w, /* give_up= */ true);
    flush_all(w);
    gw_intake_deliver(w);
    close_connectors(w); /* after whatever may still consume */
    gw_timer_disarm(&w->timer);
    gw_loop_remove_hook(w->loop, &w->hook);
}

static void report(struct gw_engine *e, bool ok)
{
    (void)pthread_mutex_lock(&e->lock);
    e->n_reported++;
    e->any_failed |= !ok;
    (void)pthread_cond_signal(&e->reported);
    (void)pthread_mutex_unlock(&e->lock);
}

enum { KEEP_PAYLOAD_BYTES = 4 << 20, KEEP_BATCH_BYTES = 12 << 20 };

void *gw_worker_main(void *arg)
{
    struct gw_payload_pool *payloads = gw_payload_pool_new(KEEP_PAYLOAD_BYTES); /* none: bodies are malloced */
    struct worker *w = arg;
    int rc;

    gw_payload_pool_enter(payloads);
    rc = gw_worker_open(w, &w->err);
    report(w->engine, rc == 0);
    if (rc == 0)
        gw_loop_run(w->loop);
    gw_worker_close(w);
    gw_payload_pool_free(payloads);
    return NULL;
}

void *gw_exporter_main(void *arg)
{
    struct instance *x = arg;
    struct gw_engine *e = x->engine;
    struct gw_payload_pool *payloads = gw_payload_pool_new(KEEP_BATCH_BYTES); /* none: batches are malloced */
    int rc = gw_loop_new(e->conf.env, &x->loop, &x->err);

    gw_payload_pool_enter(payloads);
    if (rc == 0)
        rc = gw_edge_open(x->edge, x->loop, &x->err);
    x->is_open = rc == 0;
    report(e, rc == 0);
    if (rc == 0)
        gw_loop_run(x->loop);
    gw_edge_close(x->edge);
    gw_payload_pool_free(payloads);
    return NULL;
}
