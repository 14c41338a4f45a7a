/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connector makes of rows that were settled: nobody waits for it, and no door took room for it. Room is taken
 * here, all of it or none.
 */
#include "runtime/graph.h"

static uint64_t units_of(const struct reach *r, uint32_t rows, size_t bytes)
{
    return r->times * gw_edge_units(r->exporter->edge, 1, rows, bytes);
}

static void give_back(const struct route *rt, unsigned n, uint32_t rows, size_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, units_of(&rt->reach[i], rows, bytes));
}

static bool take(const struct route *rt, uint32_t rows, size_t bytes)
{
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];

        if (gw_edge_reserve(r->exporter->edge, r->signal, units_of(r, rows, bytes), /* wait= */ false))
            continue;
        give_back(rt, i, rows, bytes);
        return false;
    }
    return true;
}

bool gw_made_has_room(struct node *n, uint32_t rows, size_t bytes)
{
    if (!take(n->made, rows, bytes))
        return false;
    give_back(n->made, n->made->n_reach, rows, bytes);
    return true;
}

bool gw_made_is_slack(const struct route *rt, uint32_t rows, size_t bytes)
{
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];

        if (!gw_edge_has_slack(r->exporter->edge, r->signal, units_of(r, rows, bytes), bytes * r->times))
            return false;
    }
    return true;
}

static uint64_t *reserved_of(struct share *sh, const struct reach *r)
{
    return &sh->reserved[r->index * GW_N_SIGNALS + gw_signal_index(r->signal)];
}

/* What the door has reserved for the rows that are on their way is not this batch's to use. */
static void run_reserved(struct node *n, struct gw_view *v, uint64_t *others, uint32_t rows, size_t bytes)
{
    struct route *rt = n->made;

    for (unsigned i = 0; i < rt->n_reach; i++) {
        uint64_t *mine = reserved_of(n->share, &rt->reach[i]);

        others[i] = *mine;
        *mine = units_of(&rt->reach[i], rows, bytes);
    }
    gw_flow_run(n->worker, v, n->next, n->n_next);
    for (unsigned i = 0; i < rt->n_reach; i++) {
        uint64_t *mine = reserved_of(n->share, &rt->reach[i]);

        gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, *mine);
        *mine = others[i];
    }
}

void gw_made_run(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;
    uint64_t deadline = w->deadline_ns, *others = gw_arena_alloc(&w->arena, (n->made->n_reach + 1) * sizeof(*others));
    size_t bytes = v->batch->payload ? v->batch->payload->n : 0;
    uint32_t rows = v->n_rows;
    bool in_log = w->in_log;

    if (!others || !take(n->made, rows, bytes)) {
        gw_view_settle_all(v, &w->ledger, GW_DROPPED, "queue_full", NULL);
        gw_view_clear(v);
        return;
    }
    w->deadline_ns = 0; /* those of the rows that it was made of are not its own, nor is their place in a log */
    w->in_log = false;
    run_reserved(n, v, others, rows, bytes);
    w->deadline_ns = deadline;
    w->in_log = in_log;
}
