/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one configuration to the next while data flows.
 *
 *   build beside the old graph ─► open what is new ─► each worker goes over ─► the old graph leaves
 *   └──────────────── a failure here leaves all as it was ┘
 *
 *   leaves   all workers dry ─► exporters that nobody feeds any more send what they have ─► closed
 *            all workers home, too ─► freed, with the instances that no other graph names
 *
 * All of it runs on the main thread, but for the workers' own steps (worker_switch.c).
 */
#include "runtime/graph.h"

/* A sink that is down keeps its configuration here until it is up again, or its rows have been given up on. */
enum { MAX_LEAVING = 16 };
/* What an exporter with a queue on disk has under way: longer, and it is cut off and sent again by its successor. */
#define HAND_OVER_NS 5000000000u

unsigned gw_engine_n_leaving(const struct gw_engine *e)
{
    unsigned n = 0;

    for (const struct graph *g = e->leaving; g; g = g->next)
        n++;
    return n;
}

/* ---- the workers ------------------------------------------------------------------------------------------ */

static int order_by_hand(struct gw_engine *e, enum order order, struct graph *g, struct gw_err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < e->n_workers; i++) {
        int code = gw_worker_follow(&e->workers[i], order, g, rc == 0 ? err : &e->workers[i].err);

        rc = rc < 0 ? rc : code;
    }
    return rc;
}

/* All do it, and all have done it when this returns, also when some could not. */
static int order(struct gw_engine *e, enum order what, struct graph *g, struct gw_err *err)
{
    if (e->conf.by_hand)
        return order_by_hand(e, what, g, err);
    e->order = what;
    e->order_graph = g;
    for (unsigned i = 0; i < e->n_workers; i++)
        e->workers[i].err.text[0] = 0;
    atomic_fetch_add_explicit(&e->n_orders, 1, memory_order_release);
    for (unsigned i = 0; i < e->n_workers; i++)
        gw_loop_wake(e->workers[i].loop);
    if (gw_engine_wait(e, e->n_workers))
        return 0;
    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].err.text[0])
            return gw_fail(err, -EIO, "%s", e->workers[i].err.text);
    return gw_fail(err, -EIO, "a receiver cannot be opened");
}

/* ---- leaving ---------------------------------------------------------------------------------------------- */

static void begin_to_leave(struct gw_engine *e, struct graph *g)
{
    struct graph **last = &e->leaving;

    while (*last)
        last = &(*last)->next;
    g->next = NULL;
    *last = g;
}

static void run_dry(struct graph *g)
{
    g->is_dry = true;
    for (size_t i = 0; i < g->service->n_components; i++) {
        struct instance *x = g->instances[i];

        if (!x || --x->feeders || !x->edge)
            continue;
        x->leaving_ns = gw_mono_ns(x->engine->conf.env);
        gw_wals_retire(x->engine, x->edge);
        gw_edge_drain(x->edge);
    }
}

static bool gets_dead_letters(const struct gw_engine *e, const struct instance *x)
{
    for (const struct instance *from = e->instances; from; from = from->next)
        if (from != x && from->edge && !from->is_closed && gw_edge_leads_to(from->edge, x->edge))
            return true;
    return false;
}

/*
 * With a queue on disk and a successor only what is under way is waited for, as long as the sink answers: the rest is
 * the successor's. Without one all of it is to be delivered first, however long the sink is away.
 */
static bool is_done(struct gw_engine *e, const struct instance *x)
{
    enum gw_wal_heritage heritage;
    bool more;

    if (!gw_wals_heritage(e, x->edge, &heritage, &more))
        return gw_edge_is_empty(x->edge);
    if (heritage == GW_WAL_HEIR)
        return gw_edge_is_at_rest(x->edge) || gw_mono_ns(e->conf.env) - x->leaving_ns >= HAND_OVER_NS;
    return !more && gw_edge_is_dry(x->edge);
}

/* Closed, noted on disk, and out of the logs, so that the successor goes on. */
static bool end_exporter(struct gw_engine *e, struct instance *x)
{
    if (!x->is_closed && is_done(e, x) && !gets_dead_letters(e, x)) {
        gw_ledger_finish(e); /* a picture under way waits for this exporter's part */
        gw_engine_close_exporter(e, x);
    }
    if (x->is_closed && !x->is_forgotten && gw_edge_is_settled(x->edge)) {
        gw_ledger_finish(e); /* one knows whose the rows on disk are */
        gw_wals_forget(e, x->edge);
        x->is_forgotten = true;
    }
    return x->is_forgotten;
}

/* Exporters that are done are closed. True when none of the graph's own is left. */
static bool close_exporters(struct graph *g)
{
    bool none = true;

    for (size_t i = 0; i < g->service->n_components; i++) {
        struct instance *x = g->instances[i];

        if (x && !x->feeders && gw_engine_is_sender(x))
            none &= end_exporter(g->engine, x);
    }
    return none;
}

/* True: it is free. */
static bool tend(struct graph *g)
{
    unsigned n = g->engine->n_workers;

    if (!g->is_dry && atomic_load(&g->n_dry) == n)
        run_dry(g);
    if (!g->is_dry || !close_exporters(g) || atomic_load(&g->n_home) != n)
        return false;
    gw_graph_free(g);
    return true;
}

void gw_engine_tend(struct gw_engine *e)
{
    for (struct graph **p = &e->leaving, *g; (g = *p) != NULL;) {
        struct graph *next = g->next;

        if (tend(g))
            *p = next;
        else
            p = &g->next;
    }
}

/* ---- coming ----------------------------------------------------------------------------------------------- */

/* What was opened for a graph that no worker has seen. */
static void close_new(struct gw_engine *e, struct graph *g)
{
    for (size_t i = 0; g->instances && i < g->service->n_components; i++)
        if (g->instances[i] && g->instances[i]->refs == 1 && g->instances[i]->edge)
            gw_engine_close_exporter(e, g->instances[i]);
}

/* Of what was committed meanwhile one may have sent something, and its notes are on their way to a log. */
static bool is_settled(const struct graph *g)
{
    bool all = true;

    for (size_t i = 0; g->instances && i < g->service->n_components; i++)
        if (g->instances[i] && g->instances[i]->refs == 1 && g->instances[i]->edge)
            all &= gw_edge_is_settled(g->instances[i]->edge);
    return all;
}

/* It is free at once, or when that is written. */
static void drop_new(struct gw_engine *e, struct graph *g)
{
    close_new(e, g);
    gw_graph_renew(g, false);
    if (is_settled(g)) {
        gw_graph_free(g);
        return;
    }
    g->is_dry = true; /* no worker ever saw it */
    atomic_store(&g->n_dry, e->n_workers);
    atomic_store(&g->n_home, e->n_workers);
    for (size_t i = 0; i < g->service->n_components; i++)
        if (g->instances[i])
            g->instances[i]->feeders--;
    begin_to_leave(e, g);
}

static int build(struct gw_engine *e, struct source *source, struct graph **ret, struct gw_err *err)
{
    struct graph *old = e->graph;
    int rc = gw_graph_build(e, source, old, &e->graph, err);

    if (rc == 0)
        rc = gw_engine_open_extensions(e, e->graph, err);
    if (rc == 0)
        rc = gw_engine_start_exporters(e, err);
    *ret = e->graph;
    if (rc < 0 && *ret)
        drop_new(e, *ret);
    e->graph = old;
    return rc;
}

static void say(const struct gw_engine *e, const struct graph *old, const struct graph *g)
{
    unsigned kept = 0, made = 0, leaving = 0;

    for (size_t i = 0; i < g->service->n_components; i++)
        if (g->instances[i])
            ++*(g->instances[i]->refs > 1 ? &kept : &made);
    for (size_t i = 0; i < old->service->n_components; i++)
        leaving += old->instances[i] && old->instances[i]->refs == 1;
    gw_log(&e->logger, GW_LOG_INFO, "the new configuration is taken: %u instances stay as they are, %u new, %u leave",
           kept, made, leaving);
}

static bool names(const struct graph *g, const struct instance *x)
{
    for (size_t i = 0; i < g->service->n_components; i++)
        if (g->instances[i] == x)
            return true;
    return false;
}

/*
 * Rows that a journal has are not waited for while their sink is away: as at a stop, an exporter that leaves gives them
 * back. It must not have run dry for that, because they are what it has.
 */
static void give_back(struct gw_engine *e, const struct graph *old)
{
    const struct gw_service *s = old->service;

    for (size_t i = 0; i < s->n_pipelines; i++)
        for (size_t k = 0; k < s->pipelines[i].n_exporters && gw_service_is_behind_log(&s->pipelines[i]); k++) {
            struct instance *x = old->instances[s->pipelines[i].exporters[k]->index];

            if (x && x->edge && !names(e->graph, x))
                gw_edge_drain(x->edge);
        }
}

static int go_over(struct gw_engine *e, struct graph *g, struct gw_err *err)
{
    struct graph *old = e->graph;
    int rc;

    e->graph = g;
    rc = order(e, ORDER_OPEN, g, err);
    if (rc < 0) {
        struct gw_err ignored;

        e->graph = old;
        (void)order(e, ORDER_DROP, g, &ignored);
        gw_graph_renew(g, false);
        begin_to_leave(e, g);
        return rc;
    }
    gw_graph_renew(g, true);
    gw_wals_take_levels(g);
    gw_durability_tell(g, old);
    (void)order(e, ORDER_SWITCH, g, err);
    say(e, old, g);
    give_back(e, old);
    begin_to_leave(e, old);
    return 0;
}

static int reload(struct gw_engine *e, struct source *source, struct gw_err *err)
{
    struct graph *g;
    int rc;

    if (atomic_load(&e->phase) != RUNNING)
        return gw_fail(err, -EBUSY, "the gateway stops");
    gw_engine_tend(e);
    gw_ledger_finish(e); /* it knows the exporters that there are now */
    if (gw_engine_n_leaving(e) >= MAX_LEAVING)
        return gw_fail(err, -EBUSY, "%u earlier configurations still have rows or requests under way", MAX_LEAVING);
    rc = build(e, source, &g, err);
    if (rc == 0)
        rc = go_over(e, g, err);
    e->listeners = (struct gw_listeners){0};
    return rc;
}

int gw_engine_reload(struct gw_engine *e, const struct gw_engine_source *to, struct gw_err *err)
{
    struct source *source = gw_source_new(to);
    int rc;

    if (!source) {
        if (to->release)
            to->release(to->arg);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    rc = reload(e, source, err);
    gw_source_unref(source);
    return rc;
}
