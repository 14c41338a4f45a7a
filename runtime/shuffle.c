/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shuffle.h"

#include <stdlib.h>

#include "batch/series_hash.h"
#include "core/hash.h"
#include "log/flight.h"
#include "queue/held.h"
#include "runtime/graph.h"

enum { KEEP_ARENA_BYTES = 1 << 20, TEXT_CHUNK_BYTES = 4096, MAX_TEXT_BYTES = 256 << 20 };

int gw_shuffle_init(struct worker *w)
{
    unsigned n = w->engine->n_workers;

    w->shuffle.arrived_last = &w->shuffle.arrived;
    w->shuffle.out = gw_arena_zalloc(&w->engine->arena, n * sizeof(*w->shuffle.out));
    for (unsigned i = 0; w->shuffle.out && i < n; i++)
        w->shuffle.out[i].last = &w->shuffle.out[i].first;
    return w->shuffle.out ? 0 : -ENOMEM;
}

/* ---- whose they are --------------------------------------------------------------------------------------- */

/* Rows without a trace id may be anywhere: they stay. */
static unsigned owner_of(const struct worker *w, const uint8_t id[16])
{
    static const uint8_t zeros[16];

    if (memcmp(id, zeros, 16) == 0)
        return w->index;
    return gw_hash_deal(gw_slice_of(id, 16), w->engine->n_workers);
}

/* Data points, by their series. */
static void find_owners_of_points(const struct node *n, const struct gw_view *v, uint16_t *owners, uint32_t *counts)
{
    const struct worker *w = n->worker;
    struct gw_series_hash h;

    gw_series_hash_begin(&h, v);
    h.by_key = strcmp(n->comp->type->partition_by, "key") == 0;
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        owners[r] = (uint16_t)((gw_series_hash_row(&h, r) >> 32) * w->engine->n_workers >> 32);
        counts[owners[r]]++;
    }
}

/* Owner and number of rows by worker. Spans of one trace often come one behind the other: one hash for all of them. */
static void find_owners(const struct worker *w, const struct gw_view *v, uint16_t *owners, uint32_t *counts)
{
    const struct gw_batch *b = v->batch;
    uint32_t last = b->n_rows;

    for (uint32_t r = gw_view_next(v, 0); r < b->n_rows; r = gw_view_next(v, r + 1)) {
        bool same = last < b->n_rows && memcmp(b->trace_id[r], b->trace_id[last], 16) == 0;

        owners[r] = same ? owners[last] : (uint16_t)owner_of(w, b->trace_id[r]);
        counts[owners[r]]++;
        last = r;
    }
}

/* ---- parts ------------------------------------------------------------------------------------------------ */

static struct node *node_at(const struct node *n, unsigned worker)
{
    struct share *sh = &n->share->graph->shares[worker];

    if (n->chain)
        return &sh->chains[n->chain - n->share->chains].nodes[n->at];
    return sh->joints[n->comp->index * GW_N_SIGNALS + gw_signal_index(n->ctx.signal)];
}

static void end_part(struct gw_part *p)
{
    struct gw_crossing *x = p->crossing;

    gw_arena_clear(&p->texts);
    if (atomic_fetch_sub_explicit(&x->n_parts, 1, memory_order_acq_rel) != 1)
        return;
    gw_credit_give(x->memory, x->charged_bytes);
    free(x);
}

/* The view of a part, with all rows of v. A clean one is made, because v's own tables are in its arena. */
static int begin_part(struct gw_part *p, const struct gw_view *v)
{
    struct gw_view all = *v;
    int rc = 0;

    gw_arena_init(&p->texts, TEXT_CHUNK_BYTES, MAX_TEXT_BYTES);
    all.kept = NULL;
    if (v->n_patches)
        rc = gw_view_clone(&all, &p->texts, &p->view);
    else
        gw_view_init(&p->view, v->batch, NULL);
    if (rc < 0) {
        gw_arena_clear(&p->texts);
        return rc;
    }
    if (p->view.meta != v->meta) {
        (void)gw_meta_unref(p->view.meta);
        p->view.meta = v->meta ? gw_meta_ref(v->meta) : NULL;
    }
    p->view.pipeline = v->pipeline;
    return 0;
}

static size_t words_of(const struct gw_view *v)
{
    return (v->batch->n_rows + 63) / 64;
}

/* Bytes of the block with all parts: header │ parts │ their bitmaps. */
static size_t block_bytes(const struct gw_view *v, unsigned n_parts)
{
    return sizeof(struct gw_crossing) + n_parts * (sizeof(struct gw_part) + words_of(v) * sizeof(uint64_t));
}

/* Rows for whom nobody waits, as out of a processor's tick, have no ticket that pays for their bytes. */
static bool is_paid(const struct gw_batch *b)
{
    return b->n_segments && b->segments[0].ticket;
}

/* What nobody waits for cannot be given back: it goes beyond the mark rather than being lost. */
static bool charge(struct gw_crossing *x, const struct gw_view *v, const struct gw_part *parts, unsigned n)
{
    const struct gw_batch *b = v->batch;

    x->charged_bytes = block_bytes(v, n) + b->column_bytes;
    for (unsigned i = 0; i < n; i++)
        x->charged_bytes += parts[i].texts.held_bytes;
    if (is_paid(b))
        return gw_credit_take(x->memory, x->charged_bytes);
    x->charged_bytes += b->payload ? b->payload->n : 0;
    atomic_fetch_add_explicit(&x->memory->used_bytes, x->charged_bytes, memory_order_relaxed);
    return true;
}

static void unmake(struct gw_crossing *x, struct gw_part *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gw_view_clear(&parts[i].view);
        gw_arena_clear(&parts[i].texts);
    }
    free(x);
}

/* n parts with empty bitmaps. NULL: no memory, or none that is left in the budget. */
static struct gw_crossing *make_parts(const struct node *n, const struct gw_view *v, unsigned n_parts)
{
    struct gw_crossing *x = calloc(1, block_bytes(v, n_parts));
    struct gw_part *parts = x ? (struct gw_part *)(x + 1) : NULL;
    uint64_t *bitmaps = x ? (uint64_t *)(parts + n_parts) : NULL;

    if (!x)
        return NULL;
    x->memory = &n->worker->engine->memory;
    atomic_init(&x->n_parts, n_parts);
    for (unsigned i = 0; i < n_parts; i++) {
        parts[i].crossing = x;
        if (begin_part(&parts[i], v) < 0) {
            unmake(x, parts, i);
            return NULL;
        }
        parts[i].view.kept = bitmaps + i * words_of(v);
    }
    if (charge(x, v, parts, n_parts))
        return x;
    unmake(x, parts, n_parts);
    return NULL;
}

/* ---- splitting -------------------------------------------------------------------------------------------- */

static void post(struct node *n, struct gw_part *p, unsigned to, uint32_t rows)
{
    struct worker *w = n->worker;
    struct gw_outbox *o = &w->shuffle.out[to];
    uint32_t scope = gw_flight_enter(GW_FLIGHT_UNKNOWN);

    (void)gw_flight_enter(scope);
    p->view.n_rows = rows;
    p->node = node_at(n, to);
    p->deadline_ns = w->deadline_ns;
    p->in_log = w->in_log;
    p->scope = scope;
    p->item.next = NULL;
    *o->last = p;
    o->last = (struct gw_part **)&p->item.next;
    w->shuffle.n_out++;
    atomic_fetch_add(&n->share->graph->n_crossing, 1);
    atomic_fetch_add(&n->share->graph->n_crossed, 1);
}

/* Own rows stay, by a bitmap of their own; every other one is set in its owner's. */
static void deal(const struct gw_view *v, const uint16_t *owners, uint64_t **bitmaps)
{
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1))
        bitmaps[owners[r]][r / 64] |= (uint64_t)1 << r % 64;
}

static void hand_over(struct node *n, struct gw_view *v, const uint16_t *owners, const uint32_t *counts,
                      struct gw_crossing *x, uint64_t **bitmaps)
{
    unsigned self = n->worker->index, k = 0;
    struct gw_part *parts = (struct gw_part *)(x + 1);

    for (unsigned i = 0; i < n->worker->engine->n_workers; i++)
        if (i != self && counts[i])
            bitmaps[i] = parts[k++].view.kept;
    deal(v, owners, bitmaps);
    k = 0;
    for (unsigned i = 0; i < n->worker->engine->n_workers; i++)
        if (i != self && counts[i])
            post(n, &parts[k++], i, counts[i]);
    v->kept = bitmaps[self];
    v->n_rows = counts[self];
}

static unsigned count_owners(const struct worker *w, const uint32_t *counts)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->engine->n_workers; i++)
        n += i != w->index && counts[i];
    return n;
}

static void refuse(struct worker *w, struct gw_view *v)
{
    gw_view_settle_all(v, &w->ledger, GW_REFUSED, "memory_limit", "data refused due to high memory usage");
}

void gw_shuffle_split(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;
    unsigned n_workers = w->engine->n_workers, n_parts;
    uint16_t *owners = gw_arena_alloc(&w->arena, v->batch->n_rows * sizeof(*owners));
    uint32_t *counts = gw_arena_zalloc(&w->arena, n_workers * sizeof(*counts));
    uint64_t **bitmaps = gw_arena_zalloc(&w->arena, n_workers * sizeof(*bitmaps));
    struct gw_crossing *x;

    if (!owners || !counts || !bitmaps) {
        refuse(w, v);
        return;
    }
    if (v->batch->signal == GW_METRICS)
        find_owners_of_points(n, v, owners, counts);
    else
        find_owners(w, v, owners, counts);
    n_parts = count_owners(w, counts);
    if (n_parts == 0)
        return;
    bitmaps[w->index] = gw_arena_zalloc(&w->arena, words_of(v) * sizeof(uint64_t));
    x = bitmaps[w->index] ? make_parts(n, v, n_parts) : NULL;
    if (x)
        hand_over(n, v, owners, counts, x, bitmaps);
    else
        refuse(w, v);
}

/* ---- moving ----------------------------------------------------------------------------------------------- */

/* Not before all workers have their loops: until then it stays here. */
void gw_shuffle_send(struct worker *w)
{
    if (atomic_load_explicit(&w->engine->phase, memory_order_acquire) == STARTING)
        return;
    for (unsigned i = 0; w->shuffle.n_out && i < w->engine->n_workers; i++) {
        struct gw_outbox *o = &w->shuffle.out[i];
        struct worker *to = &w->engine->workers[i];
        bool was_empty = false;

        for (struct gw_part *p = o->first, *next; p; p = next) {
            next = (struct gw_part *)p->item.next;
            p->cut = w->cut_seen;
            was_empty |= gw_inbox_push(&to->shuffle.inbox, &p->item);
            w->shuffle.n_out--;
        }
        o->first = NULL;
        o->last = &o->first;
        if (was_empty && to->loop)
            gw_loop_wake(to->loop);
    }
}

void gw_shuffle_take(struct worker *w)
{
    struct gw_part *p;

    if (gw_inbox_is_empty(&w->shuffle.inbox))
        return;
    *w->shuffle.arrived_last = p = (struct gw_part *)gw_inbox_take(&w->shuffle.inbox);
    for (; p; p = (struct gw_part *)p->item.next)
        w->shuffle.arrived_last = (struct gw_part **)&p->item.next;
}

bool gw_shuffle_is_empty(struct worker *w)
{
    return !w->shuffle.arrived && gw_inbox_is_empty(&w->shuffle.inbox);
}

static struct gw_part *next_part(struct worker *w)
{
    struct gw_part *p = w->shuffle.arrived;

    w->shuffle.arrived = (struct gw_part *)p->item.next;
    if (!w->shuffle.arrived)
        w->shuffle.arrived_last = &w->shuffle.arrived;
    return p;
}

/* The worker counts where the rows are, and around it. */
static void stand_at(struct worker *w, const struct node *n)
{
    w->current = NULL;
    w->line = w->stage = gw_page_of(w, n->chain ? n->chain->book : n->book);
}

static void leave(struct worker *w)
{
    w->line = w->stage = NULL;
    w->running = w->share;
    gw_arena_reset(&w->arena, KEEP_ARENA_BYTES);
}

static void run_part(struct worker *w, struct gw_part *p)
{
    struct graph *g = p->node->share->graph;
    struct node *n = p->node->heir ? p->node->heir : p->node;
    uint32_t before = gw_flight_enter(p->scope);

    atomic_store(&n->share->is_still, false);
    atomic_store(&w->quiet, false);
    w->running = n->share;
    w->deadline_ns = p->deadline_ns;
    w->in_log = p->in_log;
    p->view.arena = p->view.n_patches ? &p->texts : &w->arena;
    if (n->chain)
        p->view.pipeline = (uint32_t)(n->chain - n->share->chains);
    stand_at(w, n);
    gw_flow_run_node(n, &p->view);
    gw_flow_flush_letters(w);
    leave(w);
    (void)gw_flight_enter(before);
    end_part(p);
    atomic_fetch_sub(&g->n_crossing, 1);
}

/*
 * What was sent behind a picture is run behind it; what was sent before, and comes after this worker's part of it, was
 * under way at its moment.
 */
void gw_shuffle_run(struct worker *w)
{
    while (w->shuffle.arrived) {
        struct gw_part *p = w->shuffle.arrived;

        if (p->cut > w->cut_seen)
            gw_ledger_take_part(w);
        else if (p->cut < w->cut_seen && w->cut_open)
            gw_ledger_hold_part(w->engine->cuts.now, w, p);
        run_part(w, next_part(w));
    }
}

void gw_shuffle_give_up(struct worker *w)
{
    gw_shuffle_take(w);
    while (w->shuffle.arrived) {
        struct gw_part *p = next_part(w);

        stand_at(w, p->node);
        w->stage = gw_page_of(w, p->node->book);
        p->view.arena = &w->arena;
        gw_view_settle_all(&p->view, &w->ledger, is_paid(p->view.batch) ? GW_REFUSED : GW_DROPPED, "shutdown",
                           "the gateway stops");
        gw_view_clear(&p->view);
        leave(w);
        atomic_fetch_sub(&p->node->share->graph->n_crossing, 1);
        end_part(p);
    }
}

/* ---- the ledger ------------------------------------------------------------------------------------------- */

void gw_shuffle_hold_out(struct gw_cut *c, const struct worker *w)
{
    for (unsigned i = 0; w->shuffle.n_out && i < w->engine->n_workers; i++)
        for (const struct gw_part *p = w->shuffle.out[i].first; p; p = (const struct gw_part *)p->item.next)
            gw_ledger_hold_part(c, w, p);
}

static void hold_list(struct gw_cut *c, const struct worker *w, const struct gw_inbox_item *i)
{
    for (; i; i = i->next)
        if (((const struct gw_part *)i)->cut < c->number)
            gw_ledger_hold_part(c, w, (const struct gw_part *)i);
}

/* What lies in an inbox does not move: only its reader takes it out. */
void gw_shuffle_hold_in(struct gw_cut *c, struct worker *w)
{
    hold_list(c, w, (const struct gw_inbox_item *)w->shuffle.arrived);
    hold_list(c, w, atomic_load_explicit(&w->shuffle.inbox.head, memory_order_acquire));
}

/* ---- resting ---------------------------------------------------------------------------------------------- */

/*
 * Read in this order: when nothing was under way, and nothing was sent until the end, then what a share says of itself
 * in between holds for all of that time.
 */
bool gw_shuffle_rests(struct graph *g)
{
    uint64_t sent = atomic_load(&g->n_crossed);

    if (atomic_load(&g->n_crossing))
        return false;
    for (unsigned i = 0; i < g->engine->n_workers; i++)
        if (!atomic_load(&g->shares[i].is_still))
            return false;
    return atomic_load(&g->n_crossed) == sent;
}
