/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in, before its bytes are read: memory and places in the queues behind are taken, or the sender is told
 * when to come again. */
#include "runtime/intake_impl.h"

enum { PARKED_SHARE = 4 };

/* ---- when to come again ----------------------------------------------------------------------------------- */

static struct gw_drain *drain_of(struct worker *w, const struct reach *r)
{
    return &r->exporter->drains[w->index * GW_N_SIGNALS + gw_signal_index(r->signal)];
}

/* Asked for each request: the counters are read once a second. */
static void note_drains(struct intake *in, const struct route *rt)
{
    struct worker *w = in->worker;
    uint64_t now = gw_loop_now_ns(w->loop);

    if (gw_drain_is_due(&w->memory_drain, now))
        gw_drain_note(&w->memory_drain,
                      atomic_load_explicit(&gw_intake_memory(in)->drained_bytes, memory_order_relaxed), now);
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];

        if (gw_drain_is_due(drain_of(w, r), now))
            gw_drain_note(drain_of(w, r), gw_edge_drained(r->exporter->edge, r->signal), now);
    }
}

static uint64_t excess_bytes(const struct gw_credit *c, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&c->used_bytes, memory_order_relaxed),
             soft = atomic_load_explicit(&c->soft_bytes, memory_order_relaxed);

    if (bytes > soft)
        return used;
    return used > soft - bytes ? used - (soft - bytes) : 0;
}

/* Until a request of that size fits: what is over the door's limits, by how fast that empties. The slowest counts. */
uint64_t gw_intake_retry_after_ns(struct intake *in, enum gw_signal s, uint64_t rows, uint64_t bytes)
{
    struct worker *w = in->worker;
    const struct route *rt = gw_intake_route(in, s);
    uint64_t now = gw_loop_now_ns(w->loop), over = excess_bytes(gw_intake_memory(in), bytes), longest = 0, ns;

    if (over)
        longest = gw_drain_wait_ns(&w->memory_drain,
                                   atomic_load_explicit(&gw_intake_memory(in)->drained_bytes, memory_order_relaxed),
                                   now, over);
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];
        struct gw_edge *e = r->exporter->edge;

        over = gw_edge_excess(e, r->signal, r->times * gw_edge_units(e, 1, rows, bytes));
        ns = over ? gw_drain_wait_ns(drain_of(w, r), gw_edge_drained(e, r->signal), now, over) : 0;
        longest = ns > longest ? ns : longest;
    }
    return longest ? longest : GW_DRAIN_GUESS_NS;
}

const char *gw_busy_text(enum gw_busy why)
{
    return why == GW_BUSY_ROOM ? "sending queue is full" : "data refused due to high memory usage";
}

/* Counted in requests, because their rows are not known (0). */
int gw_intake_busy(struct intake *in, struct gw_verdict *ret, enum gw_signal s, enum gw_busy why, uint64_t rows,
                   uint64_t bytes)
{
    const struct route *rt = gw_intake_route(in, s);

    gw_metric_add(why == GW_BUSY_ROOM ? rt->refused_queue : rt->refused_memory, 1);
    gw_intake_refuse(ret, -EBUSY, UNAVAILABLE, s, gw_busy_text(why));
    ret->retry_after_ns = gw_intake_retry_after_ns(in, s, rows, bytes);
    return -EBUSY;
}

/* ---- reservations ----------------------------------------------------------------------------------------- */

/* What requests take at the door; blocking edges are asked later, when the batch leaves. */
static bool at_door(const struct reach *r)
{
    return gw_edge_sizer(r->exporter->edge) == GW_SIZER_REQUESTS && !gw_edge_blocks(r->exporter->edge);
}

static void give_places(struct route *rt, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (at_door(&rt->reach[i]))
            gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, rt->reach[i].times);
}

static bool take_places(struct route *rt)
{
    for (unsigned i = 0; i < rt->n_reach; i++) {
        struct reach *r = &rt->reach[i];

        if (at_door(r) && !gw_edge_reserve(r->exporter->edge, r->signal, r->times, /* wait= */ false)) {
            give_places(rt, i);
            return false;
        }
    }
    return true;
}

/* By rows or bytes the size is known only now. */
static bool by_size(const struct reach *r)
{
    return gw_edge_sizer(r->exporter->edge) != GW_SIZER_REQUESTS && !gw_edge_blocks(r->exporter->edge);
}

static uint64_t size_units(const struct reach *r, uint64_t rows, uint64_t bytes)
{
    return r->times * gw_edge_units(r->exporter->edge, 1, rows, bytes);
}

bool gw_intake_take_sizes(struct open_batch *o, struct route *rt, uint64_t rows, uint64_t bytes)
{
    unsigned i;

    for (i = 0; i < rt->n_reach; i++) {
        struct reach *r = &rt->reach[i];
        uint64_t units = by_size(r) ? size_units(r, rows, bytes) : 0;

        if (units && !gw_edge_reserve(r->exporter->edge, r->signal, units, /* wait= */ false)) {
            gw_edge_count_refused(r->exporter->edge, r->signal, rows);
            break;
        }
        o->units[i] += units;
    }
    if (i == rt->n_reach)
        return true;
    while (i-- > 0) {
        struct reach *r = &rt->reach[i];
        uint64_t units = by_size(r) ? size_units(r, rows, bytes) : 0;

        o->units[i] -= units;
        gw_edge_unreserve(r->exporter->edge, r->signal, units);
    }
    return false;
}

/* The queues whose places a request holds are those of the graph that let it in: another one may be current by now. */
static struct route *held_route(struct intake *in, const struct gw_hold *h)
{
    const struct share *sh = h->where;

    if (sh == in->share)
        return gw_intake_route(in, h->signal);
    for (unsigned i = 0; i < sh->graph->service->n_components; i++)
        if (sh->graph->instances[i] == in->receiver)
            return gw_route(sh->graph, i, h->signal);
    for (unsigned i = 0; i < sh->graph->n_doors; i++)
        if (&sh->graph->doors[i]->x == in->receiver)
            return &sh->graph->door_routes[i * GW_N_SIGNALS + gw_signal_index(h->signal)];
    return NULL; /* cannot be: the instance is the one that it was */
}

/*
 * What waits for room in a queue that blocks takes memory from everybody. It may be PARKED_SHARE times what is free;
 * then who would only come to wait, too, is refused, so that pipelines whose queues have room go on.
 */
static bool would_wait_too_long(struct intake *in, const struct route *rt)
{
    uint64_t used = atomic_load_explicit(&gw_intake_memory(in)->used_bytes, memory_order_relaxed),
             soft = atomic_load_explicit(&gw_intake_memory(in)->soft_bytes, memory_order_relaxed),
             parked = atomic_load_explicit(&in->worker->engine->parked_bytes, memory_order_relaxed);

    if (!rt->blocks || parked / PARKED_SHARE <= (used < soft ? soft - used : 0))
        return false;
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];

        if (gw_edge_blocks(r->exporter->edge) && gw_edge_is_waited_for(r->exporter->edge, r->signal))
            return true;
    }
    return false;
}

int gw_intake_admit(struct gw_intake *base, struct gw_hold *h, enum gw_signal signal, uint64_t bytes,
                    struct gw_verdict *ret)
{
    struct intake *in = (struct intake *)base;

    if (!(base->signals & signal))
        return gw_intake_refuse(ret, -ENOTSUP, UNIMPLEMENTED, signal, "no pipeline takes this signal");
    if (base->max_body_bytes && bytes > base->max_body_bytes)
        bytes = base->max_body_bytes;
    note_drains(in, gw_intake_route(in, signal));
    if (would_wait_too_long(in, gw_intake_route(in, signal)))
        return gw_intake_busy(in, ret, signal, GW_BUSY_ROOM, 0, bytes);
    if (!gw_credit_admit(gw_intake_memory(in), bytes))
        return gw_intake_busy(in, ret, signal, GW_BUSY_MEMORY, 0, bytes);
    if (!take_places(gw_intake_route(in, signal))) {
        gw_credit_give(gw_intake_memory(in), bytes);
        return gw_intake_busy(in, ret, signal, GW_BUSY_ROOM, 0, bytes);
    }
    *h = (struct gw_hold){.bytes = bytes, .signal = signal, .queued = true, .where = in->share};
    in->share->n_holds++;
    return 0;
}

int gw_intake_grow(struct gw_intake *base, struct gw_hold *h, uint64_t bytes, struct gw_verdict *ret)
{
    if (bytes <= h->bytes)
        return 0;
    if (!gw_credit_take(gw_intake_memory((struct intake *)base), bytes - h->bytes))
        return gw_intake_busy((struct intake *)base, ret, h->signal, GW_BUSY_MEMORY, 0, bytes);
    h->bytes = bytes;
    return 0;
}

bool gw_intake_ahead(struct gw_intake *base, struct gw_hold *h, uint64_t bytes)
{
    if (bytes <= h->bytes)
        return true;
    if (!gw_credit_admit(gw_intake_memory((struct intake *)base), bytes - h->bytes))
        return false;
    h->bytes = bytes;
    return true;
}

void gw_intake_release(struct gw_intake *base, struct gw_hold *h)
{
    struct intake *in = (struct intake *)base;
    struct route *rt = h->queued ? held_route(in, h) : NULL;

    gw_credit_give(gw_intake_memory(in), h->bytes);
    if (rt) {
        give_places(rt, rt->n_reach);
        ((struct share *)h->where)->n_holds--;
    }
    *h = (struct gw_hold){0};
}

void gw_intake_use_places(struct intake *in, struct open_batch *o, const struct gw_hold *h)
{
    struct route *rt = gw_intake_route(in, h->signal), *held = h->queued ? held_route(in, h) : NULL;

    if (!held)
        return;
    ((struct share *)h->where)->n_holds--;
    if (held != rt) {
        give_places(held, held->n_reach);
        if (!take_places(rt))
            return; /* it was let in: the queue grows beyond its size by this one */
    }
    for (unsigned i = 0; i < rt->n_reach; i++)
        if (at_door(&rt->reach[i]))
            o->units[i] += rt->reach[i].times;
}
