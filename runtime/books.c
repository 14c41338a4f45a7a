/* SPDX-License-Identifier: Apache-2.0 */
/* Which book counts what: wired when a graph is built. The counting itself is in flow.c and intake.c. */
#include "runtime/graph.h"

static struct gw_book *get(struct gw_engine *e, enum gw_book_kind kind, enum gw_signal signal, const char *pipeline,
                           const char *component)
{
    const struct gw_book key = {.kind = kind, .signal = signal, .pipeline = pipeline, .component = component};

    return gw_books_get(&e->books, &key);
}

struct gw_book *gw_books_of(void *engine, const struct gw_book *key)
{
    return gw_books_get(&((struct gw_engine *)engine)->books, key);
}

static bool wire_targets(struct graph *g, struct target *t, unsigned n, const char *pipeline, enum gw_signal signal)
{
    bool all = true;

    for (unsigned i = 0; i < n; i++) {
        const struct gw_edge *edge = t[i].kind == TO_EDGE ? g->instances[t[i].index]->edge : NULL;
        const struct gw_book key = {.kind = GW_BOOK_EXPORTER,
                                    .signal = signal,
                                    .pipeline = pipeline,
                                    .component = edge ? gw_edge_id(edge) : NULL,
                                    .edge = edge};

        if (!edge || gw_edge_draws_from_logs(edge)) {
            t[i].book = NULL;
            continue;
        }
        t[i].book = gw_books_get(&g->engine->books, &key);
        all &= t[i].book != NULL;
    }
    return all;
}

/* Out of the dead letter port comes a log record for each row; out of the others come the rows. */
static bool wire_node(struct node *n, enum gw_book_kind kind, enum gw_signal signal)
{
    const char *const *names = n->comp->type->ports;
    bool all;

    n->book = get(n->worker->engine, kind, signal, n->ctx.pipeline, n->comp->id);
    all = n->book != NULL;
    for (unsigned p = 0; p < n->n_ports; p++)
        all &= wire_targets(n->share->graph, n->outs[p], n->n_outs[p], n->ctx.pipeline,
                            strcmp(names[p], "dead_letter") == 0 ? GW_LOGS : signal);
    return all;
}

static bool wire_share(struct share *sh)
{
    const struct gw_service *s = sh->graph->service;
    bool all = true;

    for (size_t p = 0; p < s->n_pipelines; p++) {
        sh->chains[p].book = get(sh->graph->engine, GW_BOOK_PIPELINE, s->pipelines[p].signal, s->pipelines[p].id, NULL);
        all &= sh->chains[p].book != NULL;
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++)
            all &= wire_node(&sh->chains[p].nodes[i], GW_BOOK_PROCESSOR, s->pipelines[p].signal);
    }
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (sh->joints[i])
            all &= wire_node(sh->joints[i], GW_BOOK_CONNECTOR, sh->joints[i]->ctx.signal);
    return all;
}

static bool wire_routes(struct graph *g, const struct route *routes, const char *receiver)
{
    bool all = true;

    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        all &=
            !routes[k].n_targets || get(g->engine, GW_BOOK_RECEIVER, (enum gw_signal)(1u << k), NULL, receiver) != NULL;
    return all;
}

bool gw_books_wire(struct graph *g)
{
    const struct gw_service *s = g->service;
    bool all = true;

    for (size_t p = 0; p < s->n_pipelines; p++)
        all &= wire_targets(g, g->pipelines[p].targets, g->pipelines[p].n_targets, s->pipelines[p].id,
                            s->pipelines[p].signal);
    for (unsigned i = 0; i < g->engine->n_workers; i++)
        all &= wire_share(&g->shares[i]);
    for (unsigned i = 0; i < s->n_components; i++)
        all &= wire_routes(g, gw_route(g, i, GW_TRACES), s->components[i].id);
    for (unsigned i = 0; i < g->n_doors; i++)
        all &= wire_routes(g, &g->door_routes[i * GW_N_SIGNALS], g->doors[i]->x.comp->id);
    return all;
}

void gw_books_wire_intake(struct intake *in)
{
    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        if (in->routes[k].n_targets)
            in->books[k] =
                get(in->worker->engine, GW_BOOK_RECEIVER, (enum gw_signal)(1u << k), NULL, in->receiver->comp->id);
}

/* ---- what nodes do ---------------------------------------------------------------------------------------- */

uint64_t gw_page_ended(const struct gw_page *p)
{
    uint64_t n = 0;

    for (enum gw_entry e = GW_E_OUT; e < GW_E_HELD; e++)
        n += p->n[e];
    return n - p->n[GW_E_CREATED]; /* copies of a connector's fan-out left as well */
}

static void add(struct worker *w, struct gw_page *p, enum gw_entry e, uint64_t rows)
{
    p->n[e] += rows;
    if (w->line && w->line != p)
        w->line->n[e] += rows;
}

/*
 * A component that keeps rows lets go of earlier ones. One that may make rows of others says so (expands, makes, or it
 * has tick or drain); what any other has too much stays a mismatch. A connector with open() has what it was given: its
 * rows come back through doors.
 */
void gw_node_surplus(struct node *n, uint64_t before, uint64_t given)
{
    struct gw_page *p = gw_page_of(n->worker, n->book);
    uint64_t ended = gw_page_ended(p) - before;

    if (n->comp->type->held)
        return;
    if (ended > given && (n->comp->type->expands > 1 || n->comp->type->makes || given == 0))
        add(n->worker, p, GW_E_CREATED, ended - given);
    else if (ended < given && n->comp->type->open)
        add(n->worker, p, GW_E_OUT, given - ended);
}

/* In its pipeline, too; also while it is given others. */
void gw_node_found(struct node *n, uint32_t rows)
{
    gw_page_of(n->worker, n->book)->n[GW_E_CREATED] += rows;
    if (n->chain)
        gw_page_of(n->worker, n->chain->book)->n[GW_E_CREATED] += rows;
}

/* A component that is not given anything works on what it has. */
static void wake(struct node *n)
{
    struct worker *w = n->worker;

    w->current = n;
    w->stage = gw_page_of(w, n->book);
    w->line = n->chain ? gw_page_of(w, n->chain->book) : w->stage;
}

static void rest(struct node *n, uint64_t ended)
{
    struct worker *w = n->worker;

    gw_node_surplus(n, ended, 0);
    w->stage = w->line = NULL;
    w->current = NULL;
}

int gw_node_drain(struct node *n)
{
    uint64_t ended = gw_page_ended(gw_page_of(n->worker, n->book));
    int rc;

    wake(n);
    rc = n->comp->type->drain(n->self, &n->ports);
    rest(n, ended);
    return rc;
}

int gw_node_tick(struct node *n, uint64_t now_ns)
{
    uint64_t ended = gw_page_ended(gw_page_of(n->worker, n->book));
    int rc;

    wake(n);
    rc = n->comp->type->tick(n->self, now_ns, &n->ports);
    rest(n, ended);
    return rc;
}

int gw_node_advance(struct node *n, uint64_t now_ns, bool rebuilds)
{
    uint64_t ended = gw_page_ended(gw_page_of(n->worker, n->book));
    int rc;

    wake(n);
    rc = n->comp->type->keep->advance(n->self, now_ns, rebuilds, &n->ports);
    rest(n, ended);
    return rc;
}

/* What becomes of rows inside a queue is the edge's to count; what stays with a component is found there. */
void gw_book_settled(struct worker *w, uint32_t rows, enum gw_outcome outcome)
{
    static const enum gw_entry entries[] = {
        [GW_DELIVERED] = GW_E_OUT,   [GW_STORED] = GW_N_ENTRIES,    [GW_ABSORBED] = GW_E_ABSORBED,
        [GW_DROPPED] = GW_E_DROPPED, [GW_REJECTED] = GW_E_REJECTED, [GW_FAILED] = GW_E_FAILED,
        [GW_REFUSED] = GW_E_REFUSED,
    };
    enum gw_entry e = w->is_letter && outcome == GW_REJECTED ? GW_E_DEAD_LETTERED : entries[outcome];

    if (e == GW_N_ENTRIES || !w->stage || (outcome == GW_ABSORBED && w->current && w->current->comp->type->held))
        return;
    add(w, w->stage, e, rows);
}
