/* SPDX-License-Identifier: Apache-2.0 */
/* How much an edge's queue holds and may hold, in the units of its sizer. Threads: any. */
#include "queue/edge_impl.h"

enum { SHARE = 4 };

enum gw_sizer gw_edge_sizer(const struct gw_edge *e)
{
    return (enum gw_sizer)e->conf.settings.queue.sizer;
}

uint64_t gw_edge_units(const struct gw_edge *e, uint64_t requests, uint64_t rows, uint64_t bytes)
{
    switch (gw_edge_sizer(e)) {
    case GW_SIZER_ITEMS:
        return rows;
    case GW_SIZER_BYTES:
        return bytes;
    case GW_SIZER_REQUESTS:
        break;
    }
    return requests;
}

bool gw_edge_blocks(const struct gw_edge *e)
{
    return e->conf.settings.queue.block_on_overflow;
}

const char *gw_edge_id(const struct gw_edge *e)
{
    return e->conf.id;
}

bool gw_edge_is_bounded(const struct gw_edge *e)
{
    const struct gw_sending_queue_settings *q = &e->conf.settings.queue;

    if (!q->enabled || e->ops->swallow)
        return false;
    return !gw_edge_is_durable(e) || q->on_full == GW_ON_FULL_REFUSE ||
           (q->on_full == GW_ON_FULL_SPILL && q->max_lag_bytes);
}

static bool take(struct gw_lane *l, uint64_t units)
{
    uint64_t used = atomic_load_explicit(&l->used, memory_order_relaxed),
             size = l->edge->conf.settings.queue.queue_size;

    do {
        if (used > 0 && (units > size || used > size - units))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&l->used, &used, used + units, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return true;
}

static uint64_t free_bytes(const struct gw_edge *e)
{
    uint64_t used = atomic_load_explicit(&e->conf.memory->used_bytes, memory_order_relaxed),
             soft = atomic_load_explicit(&e->conf.memory->soft_bytes, memory_order_relaxed);

    return used < soft ? soft - used : 0;
}

/* A queue may grow while it holds no more than SHARE times what is free of the memory: the queues of n dead sinks leave
 * 1 / (1 + n × SHARE) of it to the pipelines that work, whatever their sizes allow. */
static bool is_greedy(const struct gw_edge *e)
{
    uint64_t held = atomic_load_explicit(&e->held_bytes, memory_order_relaxed);

    return held > 0 && held / SHARE > free_bytes(e);
}

bool gw_edge_has_slack(const struct gw_edge *e, enum gw_signal s, uint64_t units, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&gw_edge_lane(e, s)->used, memory_order_relaxed),
             held = atomic_load_explicit(&e->held_bytes, memory_order_relaxed),
             size = e->conf.settings.queue.queue_size;

    if (!gw_edge_is_bounded(e))
        return true;
    return (used == 0 || used + units <= size / 2) && (held == 0 || (held + bytes) * 2 <= free_bytes(e));
}

bool gw_edge_reserve(struct gw_edge *e, enum gw_signal s, uint64_t units, bool wait)
{
    struct gw_lane *l = gw_edge_lane(e, s);

    if (!gw_edge_is_bounded(e))
        return true;
    if (!is_greedy(e) && take(l, units))
        return true;
    if (!wait)
        return false;
    atomic_store(&l->waited_for, true);
    return !is_greedy(e) && take(l, units); /* room may have come before the flag was seen */
}

static void give(struct gw_lane *l, uint64_t units)
{
    if (!gw_edge_is_bounded(l->edge) || units == 0)
        return;
    atomic_fetch_sub(&l->used, units);
    if (atomic_load(&l->waited_for) && atomic_exchange(&l->waited_for, false) && l->edge->conf.room)
        l->edge->conf.room(l->edge->conf.arg);
}

uint64_t gw_edge_excess(const struct gw_edge *e, enum gw_signal s, uint64_t units)
{
    uint64_t used = atomic_load_explicit(&gw_edge_lane(e, s)->used, memory_order_relaxed),
             size = e->conf.settings.queue.queue_size;

    if (!gw_edge_is_bounded(e) || used == 0 || (units <= size && used <= size - units))
        return 0;
    return units > size ? used : used - (size - units);
}

bool gw_edge_is_waited_for(const struct gw_edge *e, enum gw_signal s)
{
    return atomic_load_explicit(&gw_edge_lane(e, s)->waited_for, memory_order_relaxed);
}

uint64_t gw_edge_drained(const struct gw_edge *e, enum gw_signal s)
{
    return atomic_load_explicit(&gw_edge_lane(e, s)->drained, memory_order_relaxed);
}

void gw_edge_unreserve(struct gw_edge *e, enum gw_signal s, uint64_t units)
{
    give(gw_edge_lane(e, s), units);
}

void gw_edge_take_units(struct gw_edge *e, enum gw_signal s, uint64_t units)
{
    if (gw_edge_is_bounded(e))
        atomic_fetch_add(&gw_edge_lane(e, s)->used, units);
}

void gw_edge_forget(struct gw_lane *l, uint64_t units, uint64_t lag_bytes)
{
    atomic_fetch_sub_explicit(&l->queued, units, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->drained, units, memory_order_relaxed);
    if (lag_bytes)
        atomic_fetch_sub(&l->lag_bytes, lag_bytes);
    give(l, units);
}

void gw_edge_done(struct gw_lane *l, struct gw_chunk *c)
{
    uint64_t units = c->units, lag_bytes = c->lag_bytes;

    gw_chunk_free(l->edge, c);
    gw_edge_forget(l, units, lag_bytes);
    atomic_fetch_sub(&l->edge->n_chunks, 1);
}
