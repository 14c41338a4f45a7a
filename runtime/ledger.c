/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a picture is taken: the main thread makes a cut and gives it a number; every worker takes part at the end of its
 * turn, the edges when they find the markers (queue/held.h); whoever is last wakes the main thread.
 */
#include <stdlib.h>

#include "queue/held.h"
#include "runtime/graph.h"

/* ---- the parts -------------------------------------------------------------------------------------------- */

static void hold(struct gw_cut *c, const struct worker *w, const struct gw_book *b, uint64_t rows)
{
    if (rows)
        gw_cut_hold(c, b, GW_PAGE_WORKERS + w->index, rows);
}

static void hold_batch(struct gw_cut *c, const struct worker *w, const struct open_batch *o)
{
    hold(c, w, o->home->books[gw_signal_index(o->b->signal)], o->b->n_rows);
}

static void hold_node(struct gw_cut *c, const struct worker *w, const struct node *n)
{
    if (n->comp->type->held)
        hold(c, w, n->book, n->comp->type->held(n->self));
}

/* A row of a processor is one of its pipeline, too. */
static void hold_chain(struct gw_cut *c, const struct worker *w, const struct chain *k)
{
    for (unsigned i = 0; i < k->n_nodes; i++) {
        hold_node(c, w, &k->nodes[i]);
        if (k->nodes[i].comp->type->held)
            hold(c, w, k->book, k->nodes[i].comp->type->held(k->nodes[i].self));
    }
}

static void hold_share(struct gw_cut *c, const struct worker *w, const struct share *sh)
{
    const struct gw_service *s = sh->graph->service;

    for (size_t p = 0; p < s->n_pipelines; p++)
        hold_chain(c, w, &sh->chains[p]);
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (sh->joints[i])
            hold_node(c, w, sh->joints[i]);
}

void gw_ledger_hold_part(struct gw_cut *c, const struct worker *w, const struct gw_part *p)
{
    hold(c, w, p->node->book, p->view.n_rows);
    if (p->node->chain)
        hold(c, w, p->node->chain->book, p->view.n_rows);
}

static void take_worker(struct gw_cut *c, const struct worker *w)
{
    for (size_t i = 0; i < c->n_books; i++)
        gw_cut_copy(c, c->books[i], GW_PAGE_WORKERS + w->index);
    for (const struct intake *in = w->intakes; in; in = in->next)
        for (unsigned i = 0; i < in->n_open; i++)
            hold_batch(c, w, &in->open[i]);
    for (const struct open_batch *o = w->parked; o; o = o->next)
        hold_batch(c, w, o);
    for (const struct share *sh = w->leaving; sh; sh = sh->next)
        hold_share(c, w, sh);
    if (w->share)
        hold_share(c, w, w->share);
    gw_shuffle_hold_out(c, w);
}

/* With the last one all that was sent before the picture lies in an inbox, or was taken out of it. */
static void first_part_done(struct gw_engine *e)
{
    uint64_t number = atomic_load(&e->cuts.number);

    if (atomic_fetch_sub(&e->cuts.n_first, 1) != 1)
        return;
    atomic_store_explicit(&e->cuts.rest, number, memory_order_release);
    for (unsigned i = 0; i < e->n_workers; i++)
        gw_loop_wake(e->workers[i].loop);
}

void gw_ledger_take_part(struct worker *w)
{
    struct gw_cut *c = w->engine->cuts.now;

    w->cut_seen = atomic_load_explicit(&w->engine->cuts.number, memory_order_relaxed);
    w->cut_open = w->engine->cuts.has_rest;
    take_worker(c, w);
    if (w->cut_open)
        first_part_done(w->engine);
    gw_cut_worker_done(c, w, w->index);
}

void gw_ledger_take_rest(struct worker *w)
{
    struct gw_cut *c = w->engine->cuts.now;

    w->cut_open = false;
    gw_shuffle_hold_in(c, w);
    gw_cut_part_done(c);
}

/* ---- putting it together ---------------------------------------------------------------------------------- */

static int by_name(const void *x, const void *y)
{
    const struct gw_ledger_row *a = x, *b = y;
    int rc = (int)a->kind - (int)b->kind;

    if (rc == 0)
        rc = strcmp(a->pipeline, b->pipeline);
    if (rc == 0)
        rc = strcmp(a->component, b->component);
    return rc ? rc : (int)a->signal - (int)b->signal;
}

static void sum_pages(const struct gw_cut *c, const struct gw_book *b, struct gw_ledger_row *to)
{
    *to = (struct gw_ledger_row){
        .kind = b->kind, .signal = b->signal, .pipeline = b->pipeline, .component = b->component};
    for (unsigned p = 0; p < c->n_pages; p++)
        for (unsigned e = 0; e < GW_N_ENTRIES; e++)
            to->n[e] += *gw_cut_cell(c, b, p, (enum gw_entry)e);
}

static void balance(struct gw_picture *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct gw_ledger_row *r = &p->rows[i];
        uint64_t right = 0;

        for (enum gw_entry e = GW_E_OUT; e < GW_N_ENTRIES; e++)
            right += r->n[e];
        r->mismatch = (int64_t)(r->n[GW_E_IN] + r->n[GW_E_CREATED] - right);
        p->mismatch += (uint64_t)(r->mismatch < 0 ? -r->mismatch : r->mismatch);
    }
    p->mismatch += p->nameless;
}

static struct gw_picture *picture_of(const struct gw_cut *c)
{
    struct gw_picture *p = calloc(1, sizeof(*p));
    struct gw_ledger_row *rows = calloc(c->n_books + 1, sizeof(*rows));

    if (!p || !rows) {
        free(p);
        free(rows);
        return NULL;
    }
    for (size_t i = 0; i < c->n_books; i++)
        sum_pages(c, c->books[i], &rows[i]);
    if (c->n_books)
        qsort(rows, c->n_books, sizeof(*rows), by_name);
    for (size_t i = 0; i < c->n_books; i++) /* one name may have several books: dead letters, a replaced exporter */
        if (p->n && by_name(&rows[p->n - 1], &rows[i]) == 0)
            for (unsigned e = 0; e < GW_N_ENTRIES; e++)
                rows[p->n - 1].n[e] += rows[i].n[e];
        else
            rows[p->n++] = rows[i];
    p->rows = rows;
    p->nameless = atomic_load(&c->nameless);
    balance(p);
    return p;
}

void gw_picture_free(struct gw_picture *p)
{
    if (p)
        free(p->rows);
    free(p);
}

/* ---- taking it -------------------------------------------------------------------------------------------- */

static bool moves(const struct gw_engine *e)
{
    return !e->conf.by_hand && e->workers[0].has_thread;
}

static bool has_part(const struct instance *x)
{
    return x->edge && x->has_thread && x->is_open;
}

static void on_cut_done(struct gw_cut *c)
{
    struct cuts *k = c->owner;
    struct gw_engine *e = (struct gw_engine *)((char *)k - offsetof(struct gw_engine, cuts));

    (void)pthread_mutex_lock(&e->lock);
    k->is_done = true;
    (void)pthread_cond_broadcast(&k->done);
    if (e->conf.loop)
        gw_loop_wake(e->conf.loop);
    (void)pthread_mutex_unlock(&e->lock);
}

static bool is_there(const struct gw_engine *e, const void *edge)
{
    const struct instance *x = e->instances;

    while (x && x->edge != edge)
        x = x->next;
    return x != NULL;
}

/* What exporters have counted that a change of the configuration has taken away: their threads have ended. */
static void copy_the_gone(const struct gw_engine *e, struct gw_cut *c)
{
    for (size_t i = 0; i < c->n_books; i++) {
        const struct gw_book *b = c->books[i];

        if (b->edge && !is_there(e, b->edge))
            gw_cut_copy(c, b, GW_PAGE_EDGE);
        if (b->from && !is_there(e, b->from))
            gw_cut_copy(c, b, GW_PAGE_FEEDER);
    }
}

static struct gw_cut *make_cut(struct gw_engine *e)
{
    struct gw_cut *c;
    size_t n = 0;

    for (const struct instance *x = e->instances; x; x = x->next)
        n += moves(e) && has_part(x);
    c = gw_cut_new(&e->books, e->n_workers, n);
    if (!c)
        return NULL;
    c->owner = &e->cuts;
    c->done = on_cut_done;
    c->number = atomic_load(&e->cuts.number) + 1;
    n = 0;
    for (const struct instance *x = e->instances; x; x = x->next)
        if (moves(e) && has_part(x))
            c->edges[n++].edge = x->edge;
        else if (x->edge)
            gw_cut_rest(c, x->edge);
    copy_the_gone(e, c);
    if (gw_cut_aim(c) == 0)
        return c;
    gw_cut_free(c);
    return NULL;
}

static struct gw_picture *look_at_rest(struct gw_engine *e)
{
    struct gw_cut *c = make_cut(e);
    struct gw_picture *p;

    if (!c)
        return NULL;
    for (unsigned i = 0; i < e->n_workers; i++) {
        take_worker(c, &e->workers[i]);
        gw_shuffle_hold_in(c, &e->workers[i]);
    }
    gw_wals_cut_rest(e, c);
    p = picture_of(c);
    gw_cut_free(c);
    return p;
}

static bool is_partitioned(const struct gw_engine *e)
{
    bool any = e->graph->is_partitioned;

    for (const struct graph *g = e->leaving; g; g = g->next)
        any |= g->is_partitioned;
    return any;
}

static int begin(struct gw_engine *e)
{
    struct cuts *k = &e->cuts;

    if (k->now)
        return 0;
    k->now = make_cut(e);
    if (!k->now)
        return -ENOMEM;
    (void)pthread_mutex_lock(&e->lock);
    k->is_done = false;
    (void)pthread_mutex_unlock(&e->lock);
    k->has_rest = is_partitioned(e);
    if (k->has_rest)
        (void)atomic_fetch_add(&k->now->open, e->n_workers);
    atomic_store(&k->n_first, e->n_workers);
    (void)atomic_fetch_add_explicit(&k->number, 1, memory_order_release);
    for (unsigned i = 0; i < e->n_workers; i++)
        gw_loop_wake(e->workers[i].loop);
    return 0;
}

static bool is_done(struct gw_engine *e, bool wait)
{
    bool done;

    (void)pthread_mutex_lock(&e->lock);
    while (wait && !e->cuts.is_done)
        (void)pthread_cond_wait(&e->cuts.done, &e->lock);
    done = e->cuts.is_done;
    (void)pthread_mutex_unlock(&e->lock);
    return done;
}

static struct gw_picture *copy_of(const struct gw_picture *p)
{
    struct gw_picture *q = p ? calloc(1, sizeof(*q)) : NULL;

    if (!q)
        return NULL;
    *q = *p;
    q->rows = calloc(p->n + 1, sizeof(*q->rows));
    if (q->rows && p->n)
        (void)memcpy(q->rows, p->rows, p->n * sizeof(*q->rows));
    if (q->rows)
        return q;
    free(q);
    return NULL;
}

/* The cut is done: whoever waits gets a picture of his own; one is returned. */
static struct gw_picture *finish(struct gw_engine *e)
{
    struct gw_ledger_wait *w = e->cuts.waiting;
    struct gw_picture *p;

    gw_wals_cut_rest(e, e->cuts.now);
    p = picture_of(e->cuts.now);
    gw_cut_free(e->cuts.now);
    e->cuts.now = NULL;
    e->cuts.waiting = NULL;
    for (struct gw_ledger_wait *next; w; w = next) {
        next = w->next;
        w->done(w, copy_of(p));
    }
    return p;
}

static void on_hook(struct gw_hook *h)
{
    struct cuts *k = (struct cuts *)((char *)h - offsetof(struct cuts, hook));
    struct gw_engine *e = (struct gw_engine *)((char *)k - offsetof(struct gw_engine, cuts));

    if (k->now && is_done(e, /* wait= */ false))
        gw_picture_free(finish(e));
}

int gw_ledger_ask(struct gw_engine *e, struct gw_ledger_wait *w)
{
    struct gw_picture *p;
    int rc;

    if (!moves(e)) {
        p = look_at_rest(e);
        if (p)
            w->done(w, p);
        return p ? 0 : -ENOMEM;
    }
    rc = begin(e);
    if (rc < 0)
        return rc;
    w->next = e->cuts.waiting;
    e->cuts.waiting = w;
    return 0;
}

void gw_ledger_forget(struct gw_engine *e, struct gw_ledger_wait *w)
{
    for (struct gw_ledger_wait **p = &e->cuts.waiting; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            return;
        }
}

struct gw_picture *gw_ledger_look(struct gw_engine *e)
{
    if (!moves(e))
        return look_at_rest(e);
    gw_ledger_finish(e);
    if (begin(e) < 0)
        return NULL;
    (void)is_done(e, /* wait= */ true);
    return finish(e);
}

void gw_ledger_finish(struct gw_engine *e)
{
    if (!e->cuts.now)
        return;
    (void)is_done(e, /* wait= */ true);
    gw_picture_free(finish(e));
}

void gw_ledger_init(struct gw_engine *e)
{
    (void)pthread_cond_init(&e->cuts.done, NULL);
    e->cuts.hook.run = on_hook;
    e->cuts.has_hook = e->conf.loop != NULL;
    if (e->cuts.has_hook)
        gw_loop_add_hook(e->conf.loop, &e->cuts.hook);
}

void gw_ledger_clear(struct gw_engine *e)
{
    if (e->cuts.has_hook)
        gw_loop_remove_hook(e->conf.loop, &e->cuts.hook);
    gw_cut_free(e->cuts.now);
    (void)pthread_cond_destroy(&e->cuts.done);
    gw_books_clear(&e->books);
}
