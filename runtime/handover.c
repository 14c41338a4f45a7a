/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that a connector has as they were decoded in front of it: they run at once, as a batch that shares columns and
 * payload with the one that they came in, and tells another ticket what becomes of them.
 *
 * Most of these are settled before the run is over (a processor keeps them, a queue in memory has them). Then the
 * verdict is told from inside the call, which spares a way through the worker's inbox and a turn of its loop.
 */
#include <stdlib.h>

#include "runtime/intake_impl.h"

/* Of a ticket's `inside`: the call has not ended; the last row was settled before it did. */
enum { OUTSIDE, INSIDE, SETTLED };

static void on_settled(struct gw_ticket *t)
{
    if (atomic_exchange(&((struct ticket *)t)->inside, SETTLED) == OUTSIDE)
        gw_ticket_go_home(t);
}

static uint64_t *copy_bitmap(struct worker *w, const struct gw_live *l)
{
    size_t bytes = (l->batch->n_rows + 63) / 64 * sizeof(uint64_t);
    uint64_t *p = gw_arena_alloc(&w->arena, bytes);

    if (p)
        memcpy(p, l->kept, bytes);
    return p;
}

/* What may find no memory. */
static struct ticket *make(struct intake *in, const struct gw_live *l, const struct gw_request *rq,
                           struct open_batch *o)
{
    struct route *rt = gw_intake_route(in, l->batch->signal);
    struct ticket *k = gw_ticket_of(in, rq);

    *o = (struct open_batch){.home = in, .n_rows = l->n_rows, .has_endless = true};
    o->kept = l->kept ? copy_bitmap(in->worker, l) : NULL;
    o->units = calloc(rt->n_reach + 1, sizeof(*o->units));
    o->b = k && o->units && (o->kept || !l->kept) ? gw_batch_share(l->batch, &k->t, l->meta) : NULL;
    if (!o->b) {
        free(o->units);
        free(k);
        return NULL;
    }
    o->b->received_ns = gw_wall_ns(in->worker->engine->conf.env);
    o->b->receiver = in->receiver->comp->id;
    return k;
}

static int refuse_sizes(struct intake *in, const struct gw_live *l, const struct gw_request *rq, struct ticket *k,
                        struct open_batch *o, struct gw_verdict *ret)
{
    gw_intake_count_turned_away(in, rq, (struct gw_slice){0}, 0, l->n_rows);
    (void)gw_batch_unref(o->b);
    (void)gw_ticket_unref(&k->t);
    free(o->units);
    return gw_intake_busy(in, ret, l->batch->signal, GW_BUSY_ROOM, l->n_rows, l->bytes);
}

static void join(struct intake *in, const struct gw_live *l, struct gw_hold *hold, struct ticket *k,
                 struct open_batch *o)
{
    gw_page_of(in->worker, in->books[gw_signal_index(l->batch->signal)])->n[GW_E_IN] += l->n_rows;
    k->t.rows = l->n_rows;
    atomic_store_explicit(&k->t.open, l->n_rows, memory_order_relaxed);
    k->t.charged_bytes = hold->bytes;
    k->t.post = on_settled;
    atomic_store_explicit(&k->inside, INSIDE, memory_order_relaxed);
    gw_intake_use_places(in, o, hold);
    in->n_tickets++;
}

int gw_intake_hand_over(struct gw_intake *base, const struct gw_live *l, struct gw_verdict *ret)
{
    struct intake *in = (struct intake *)base;
    enum gw_signal s = l->batch->signal;
    struct gw_hold hold = {0};
    const struct gw_request rq = {.hold = &hold, .meta = l->meta, .ack = l->ack};
    struct open_batch o;
    struct ticket *k;
    int rc, inside = INSIDE;

    if (gw_intake_route(in, s)->blocks)
        return -EOPNOTSUPP;
    rc = gw_intake_admit(base, &hold, s, l->bytes, ret);
    if (rc < 0)
        return rc;
    gw_intake_flush(in);
    k = make(in, l, &rq, &o);
    rc = k ? 0 : gw_intake_busy(in, ret, s, GW_BUSY_MEMORY, 0, l->bytes);
    if (k && !gw_intake_take_sizes(&o, gw_intake_route(in, s), l->n_rows, l->bytes))
        rc = refuse_sizes(in, l, &rq, k, &o, ret);
    if (rc < 0) {
        gw_intake_release(base, &hold);
        return rc;
    }
    join(in, l, &hold, k, &o);
    gw_intake_run(&o);
    if (!atomic_compare_exchange_strong(&k->inside, &inside, OUTSIDE))
        gw_intake_tell(k);
    return 0;
}
