/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/held.h"

#include <stdlib.h>

#include "queue/edge_impl.h"
#include "queue/wal.h"

/* ---- a cut ------------------------------------------------------------------------------------------------ */

static int list_books(struct gw_cut *c, struct gw_books *books)
{
    (void)pthread_mutex_lock(&books->lock);
    c->n_books = books->n;
    c->books = calloc(c->n_books + 1, sizeof(struct gw_book *));
    for (struct gw_book *b = books->first; c->books && b; b = b->next)
        c->books[b->index] = b;
    (void)pthread_mutex_unlock(&books->lock);
    c->cells = calloc(c->n_books * c->n_pages + 1, GW_N_ENTRIES * sizeof(*c->cells));
    return c->books && c->cells ? 0 : -ENOMEM;
}

struct gw_cut *gw_cut_new(struct gw_books *books, unsigned n_workers, size_t n_edges)
{
    struct gw_cut *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->n_pages = books->n_pages;
    c->n_workers = n_workers;
    c->n_edges = n_edges;
    c->edges = calloc(n_edges + 1, sizeof(*c->edges));
    if (!c->edges || list_books(c, books) < 0) {
        gw_cut_free(c);
        return NULL;
    }
    return c;
}

static bool feeds(const struct gw_edge *from, const struct gw_edge *to)
{
    for (unsigned i = 0; i < from->n_dead_letters; i++)
        if (from->dead_letters[i] == to)
            return true;
    return false;
}

static int aim_edge(struct gw_cut *c, struct gw_cut_edge *p)
{
    p->cut = c;
    p->feeders = calloc(c->n_edges + 1, sizeof(*p->feeders));
    if (!p->feeders)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_edges; i++)
        if (feeds(c->edges[i].edge, p->edge))
            p->feeders[p->n_feeders++] = c->edges[i].edge;
    p->n_markers = c->n_workers + p->n_feeders;
    p->seen = calloc(p->n_markers + 1, sizeof(*p->seen));
    p->markers = calloc(p->n_markers + 1, sizeof(struct gw_chunk *));
    for (unsigned i = 0; p->markers && i < p->n_markers; i++) {
        p->markers[i] = gw_chunk_new(GW_LOGS, 0, 0);
        if (!p->markers[i])
            return -ENOMEM;
        p->markers[i]->marker = p;
    }
    return p->seen && p->markers ? 0 : -ENOMEM;
}

int gw_cut_aim(struct gw_cut *c)
{
    int rc = 0;

    for (size_t i = 0; i < c->n_edges && rc == 0; i++)
        rc = aim_edge(c, &c->edges[i]);
    atomic_store(&c->open, c->n_workers + c->n_edges);
    return rc;
}

void gw_cut_free(struct gw_cut *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->edges && i < c->n_edges; i++) {
        for (unsigned k = 0; c->edges[i].markers && k < c->edges[i].n_markers; k++)
            free(c->edges[i].markers[k]);
        free(c->edges[i].markers);
        free(c->edges[i].feeders);
        free(c->edges[i].seen);
    }
    free(c->edges);
    free(c->books);
    free(c->cells);
    free(c);
}

void gw_cut_hold(struct gw_cut *c, const struct gw_book *b, unsigned page, uint64_t rows)
{
    if (!b)
        atomic_fetch_add(&c->nameless, rows);
    else if (b->index < c->n_books)
        *gw_cut_cell(c, b, page, GW_E_HELD) += rows;
}

void gw_cut_copy(struct gw_cut *c, const struct gw_book *b, unsigned page)
{
    for (unsigned e = 0; e < GW_E_HELD; e++)
        *gw_cut_cell(c, b, page, (enum gw_entry)e) = b->pages[page].n[e];
}

void gw_cut_part_done(struct gw_cut *c)
{
    if (atomic_fetch_sub(&c->open, 1) == 1)
        c->done(c);
}

/* ---- markers ---------------------------------------------------------------------------------------------- */

static void push_marker(struct gw_cut_edge *to, unsigned i, const void *sender)
{
    struct gw_chunk *m = to->markers[i];
    struct gw_loop *loop = atomic_load(&to->edge->loop);

    to->markers[i] = NULL; /* the inbox owns it now */
    m->sender = sender;
    if (gw_inbox_push(&to->edge->inbox, &m->item) && loop)
        gw_loop_wake(loop);
}

void gw_cut_worker_done(struct gw_cut *c, const void *worker, unsigned index)
{
    for (size_t i = 0; i < c->n_edges; i++)
        push_marker(&c->edges[i], index, worker);
    gw_cut_part_done(c);
}

static void mark_fed(struct gw_cut *c, const struct gw_edge *from)
{
    for (size_t i = 0; i < c->n_edges; i++)
        for (unsigned k = 0; k < c->edges[i].n_feeders; k++)
            if (c->edges[i].feeders[k] == from)
                push_marker(&c->edges[i], c->n_workers + k, from);
}

/* ---- walking ---------------------------------------------------------------------------------------------- */

static void hold(struct gw_cut *cut, const struct gw_book *b, uint64_t rows)
{
    gw_cut_hold(cut, b, GW_PAGE_EDGE, rows);
}

static void hold_list(struct gw_cut *cut, const struct gw_chunk *c)
{
    for (; c; c = c->next)
        hold(cut, c->book, c->rows);
}

/* In the inbox of its edge, or just out of it, and no frame that the log has: those are found by their numbers. */
static bool is_unstored(const struct gw_chunk *c)
{
    return c->feed && c->seq == GW_LOG_END;
}

static void hold_items(const struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *i)
{
    for (; i; i = i->next) {
        const struct gw_chunk *c = (const struct gw_chunk *)i;

        if (!c->marker && c->feed == s && is_unstored(c) && c->cut < cut->number)
            hold(cut, c->book, c->rows);
    }
}

void gw_held_unstored(const struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *rest)
{
    hold_items(s, cut, rest);
    hold_items(s, cut, atomic_load(&s->edge->inbox.head));
}

/* Everything that the edge's thread has: batches being put together, what waits, jobs, dead letters without room. */
static void walk_lane(struct gw_cut *cut, const struct gw_lane *l)
{
    for (const struct gw_open_batch *o = l->open; o; o = o->next)
        hold_list(cut, o->first);
    hold_list(cut, l->pending);
    for (const struct gw_job *j = l->jobs; j; j = j->next)
        hold(cut, j->chunk->book, j->a.rows);
    for (const struct gw_grave *g = l->graves; g; g = g->next)
        hold(cut, g->book, g->rows);
}

static void take_part(struct gw_cut *cut, struct gw_edge *e)
{
    for (size_t i = 0; i < cut->n_books; i++) {
        const struct gw_book *b = cut->books[i];

        if (b->edge == e)
            gw_cut_copy(cut, b, GW_PAGE_EDGE);
        if (b->from == e)
            gw_cut_copy(cut, b, GW_PAGE_FEEDER);
    }
    for (unsigned s = 0; s < GW_N_SIGNALS; s++)
        walk_lane(cut, &e->lanes[s]);
    for (struct gw_feed *f = e->feeds; f; f = f->next)
        if (atomic_load(&f->owns))
            f->cut_rows = gw_feed_taken(f);
}

static void finish_part(struct gw_cut *cut, const struct gw_edge *e, const struct gw_inbox_item *rest)
{
    for (struct gw_feed *f = e->feeds; f; f = f->next)
        gw_wal_cut_feed(f, cut, rest);
}

bool gw_cut_has(const struct gw_cut *c, const struct gw_edge *e)
{
    for (size_t i = 0; i < c->n_edges; i++)
        if (c->edges[i].edge == e)
            return true;
    return false;
}

void gw_cut_rest(struct gw_cut *cut, struct gw_edge *e)
{
    take_part(cut, e);
    for (const struct gw_inbox_item *i = atomic_load(&e->inbox.head); i; i = i->next) {
        const struct gw_chunk *c = (const struct gw_chunk *)i;

        if (!c->marker && !c->feed)
            hold(cut, c->book, c->rows);
    }
}

static bool has_seen(const struct gw_cut_edge *p, const void *sender)
{
    for (unsigned i = 0; i < p->n_seen; i++)
        if (p->seen[i] == sender)
            return true;
    return false;
}

void gw_held_marker(struct gw_edge *e, struct gw_chunk *marker)
{
    struct gw_cut_edge *p = marker->marker;

    if (p->n_seen == 0) {
        e->cut = p;
        e->cut_seen = p->cut->number;
        take_part(p->cut, e);
        mark_fed(p->cut, e);
    }
    p->seen[p->n_seen++] = marker->sender;
    free(marker);
    if (p->n_seen < p->n_markers)
        return;
    e->cut = NULL;
    finish_part(p->cut, e, e->taking);
    gw_cut_part_done(p->cut);
}

/* It was under way when the picture of this edge was taken, unless its sender's marker came before it. */
void gw_held_late(struct gw_edge *e, const struct gw_chunk *c)
{
    if (c->feed ? is_unstored(c) && c->cut < e->cut->cut->number : !has_seen(e->cut, c->sender))
        hold(e->cut->cut, c->book, c->rows);
}
