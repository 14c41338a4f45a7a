/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door. Everything here runs on the worker's thread.
 *
 *   admit ─► submit ─► open batch ─┬─► flow ─► … tickets settled ─► inbox ─► verdict
 *                                  └─► parked, when an edge with block_on_overflow has no room
 */
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "runtime/graph.h"

enum {
    INVALID_ARGUMENT = 3,
    DEADLINE_EXCEEDED = 4,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14,
    PARKED_SHARE = 4
};
#define KEEP_BYTES     (1u << 20)
#define KEEP_BUF_BYTES (4u << 20)

static const char no_memory[] = "data refused due to high memory usage";
static const char no_room[] = "sending queue is full";
static const char no_time[] = "the deadline passed while the sending queue was full";

static struct gw_credit *memory_of(struct intake *in)
{
    return &in->worker->engine->memory;
}

static int refuse(struct gw_verdict *ret, int rc, int grpc_status, enum gw_signal signal, const char *message)
{
    *ret = (struct gw_verdict){.grpc_status = grpc_status, .signal = signal, .message = message};
    return rc;
}

static struct gw_page *page_of(const struct intake *in, enum gw_signal s)
{
    return gw_page_of(in->worker, in->books[gw_signal_index(s)]);
}

static struct route *route_of(struct intake *in, enum gw_signal s)
{
    return &in->routes[gw_signal_index(s)];
}

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
        gw_drain_note(&w->memory_drain, atomic_load_explicit(&memory_of(in)->drained_bytes, memory_order_relaxed), now);
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
static uint64_t retry_after_ns(struct intake *in, enum gw_signal s, uint64_t rows, uint64_t bytes)
{
    struct worker *w = in->worker;
    const struct route *rt = route_of(in, s);
    uint64_t now = gw_loop_now_ns(w->loop), over = excess_bytes(memory_of(in), bytes), longest = 0, ns;

    if (over)
        longest = gw_drain_wait_ns(
            &w->memory_drain, atomic_load_explicit(&memory_of(in)->drained_bytes, memory_order_relaxed), now, over);
    for (unsigned i = 0; i < rt->n_reach; i++) {
        const struct reach *r = &rt->reach[i];
        struct gw_edge *e = r->exporter->edge;

        over = gw_edge_excess(e, r->signal, r->times * gw_edge_units(e, 1, rows, bytes));
        ns = over ? gw_drain_wait_ns(drain_of(w, r), gw_edge_drained(e, r->signal), now, over) : 0;
        longest = ns > longest ? ns : longest;
    }
    return longest ? longest : GW_DRAIN_GUESS_NS;
}

/* Turned away at the door: counted in requests, because their rows are not known (0). */
static int refuse_busy(struct intake *in, struct gw_verdict *ret, enum gw_signal s, const char *message, uint64_t rows,
                       uint64_t bytes)
{
    gw_metric_add(message == no_room ? route_of(in, s)->refused_queue : route_of(in, s)->refused_memory, 1);
    refuse(ret, -EBUSY, UNAVAILABLE, s, message);
    ret->retry_after_ns = retry_after_ns(in, s, rows, bytes);
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

static bool take_sizes(struct open_batch *o, struct route *rt, uint64_t rows, uint64_t bytes)
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
        return route_of(in, h->signal);
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
    uint64_t used = atomic_load_explicit(&memory_of(in)->used_bytes, memory_order_relaxed),
             soft = atomic_load_explicit(&memory_of(in)->soft_bytes, memory_order_relaxed),
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

static int admit(struct gw_intake *base, struct gw_hold *h, enum gw_signal signal, uint64_t bytes,
                 struct gw_verdict *ret)
{
    struct intake *in = (struct intake *)base;

    if (!(base->signals & signal))
        return refuse(ret, -ENOTSUP, UNIMPLEMENTED, signal, "no pipeline takes this signal");
    if (base->max_body_bytes && bytes > base->max_body_bytes)
        bytes = base->max_body_bytes;
    note_drains(in, route_of(in, signal));
    if (would_wait_too_long(in, route_of(in, signal)))
        return refuse_busy(in, ret, signal, no_room, 0, bytes);
    if (!gw_credit_admit(memory_of(in), bytes))
        return refuse_busy(in, ret, signal, no_memory, 0, bytes);
    if (!take_places(route_of(in, signal))) {
        gw_credit_give(memory_of(in), bytes);
        return refuse_busy(in, ret, signal, no_room, 0, bytes);
    }
    *h = (struct gw_hold){.bytes = bytes, .signal = signal, .queued = true, .where = in->share};
    in->share->n_holds++;
    return 0;
}

static int grow(struct gw_intake *base, struct gw_hold *h, uint64_t bytes, struct gw_verdict *ret)
{
    if (bytes <= h->bytes)
        return 0;
    if (!gw_credit_take(memory_of((struct intake *)base), bytes - h->bytes))
        return refuse_busy((struct intake *)base, ret, h->signal, no_memory, 0, bytes);
    h->bytes = bytes;
    return 0;
}

static bool ahead(struct gw_intake *base, struct gw_hold *h, uint64_t bytes)
{
    if (bytes <= h->bytes)
        return true;
    if (!gw_credit_admit(memory_of((struct intake *)base), bytes - h->bytes))
        return false;
    h->bytes = bytes;
    return true;
}

static void release(struct gw_intake *base, struct gw_hold *h)
{
    struct intake *in = (struct intake *)base;
    struct route *rt = h->queued ? held_route(in, h) : NULL;

    gw_credit_give(memory_of(in), h->bytes);
    if (rt) {
        give_places(rt, rt->n_reach);
        ((struct share *)h->where)->n_holds--;
    }
    *h = (struct gw_hold){0};
}

/* The places become the open batch's; those in queues that its rows do not go to any more are given back. */
static void use_places(struct intake *in, struct open_batch *o, const struct gw_hold *h)
{
    struct route *rt = route_of(in, h->signal), *held = h->queued ? held_route(in, h) : NULL;

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

/* ---- tickets ---------------------------------------------------------------------------------------------- */

static void on_settled(struct gw_ticket *t)
{
    struct worker *w = ((struct ticket *)t)->worker;

    if (gw_inbox_push(&w->inbox, &t->item))
        gw_loop_wake(w->loop);
}

static void on_released(struct gw_ticket *t)
{
    struct ticket *k = (struct ticket *)t;

    gw_credit_give(&k->worker->engine->memory, t->charged_bytes);
    free(k);
}

/* Index of the label that the receiver's counters have for it. */
static uint8_t transport_of(const struct intake *in, const struct gw_meta *m)
{
    const char *const *known = in->receiver->comp->type->transports;

    for (uint8_t t = 0; known && m && m->transport && t < GW_MAX_TRANSPORTS && known[t]; t++)
        if (strcmp(m->transport, known[t]) == 0)
            return t;
    return 0;
}

static struct ticket *new_ticket(struct intake *in, const struct gw_request *rq)
{
    struct ticket *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->worker = in->worker;
    k->home = in;
    k->transport = transport_of(in, rq->meta);
    k->t.refs = 1;
    k->t.ack = rq->ack;
    k->t.ack.worker = in->worker->index;
    k->t.home = in;
    k->t.post = on_settled;
    k->t.release = on_released;
    k->t.signal = (uint8_t)rq->hold->signal;
    k->t.arrived_ns = gw_loop_now_ns(in->worker->loop);
    return k;
}

static struct gw_verdict verdict_of(struct gw_ticket *t)
{
    struct gw_verdict v = {.rows = t->rows, .signal = (enum gw_signal)t->signal, .message = ""};
    enum gw_outcome worst = (enum gw_outcome)atomic_load_explicit(&t->worst, memory_order_relaxed);
    uint32_t rejected = atomic_load_explicit(&t->rejected, memory_order_relaxed);
    int code = atomic_load_explicit(&t->grpc_status, memory_order_relaxed);

    v.rejected = rejected < t->rows ? rejected : t->rows;
    if (atomic_load_explicit(&t->message_taken, memory_order_acquire) == 2)
        v.message = t->message;
    switch (worst) {
    case GW_FAILED:
        v.grpc_status = code ? code : INTERNAL;
        break;
    case GW_REFUSED:
        v.grpc_status = code ? code : UNAVAILABLE;
        v.retry_after_ns = atomic_load_explicit(&t->retry_after_ns, memory_order_relaxed);
        if (v.grpc_status == UNAVAILABLE && v.retry_after_ns == 0)
            v.retry_after_ns = retry_after_ns(t->home, v.signal, v.rows, t->charged_bytes);
        break;
    case GW_DELIVERED:
    case GW_STORED:
    case GW_ABSORBED:
    case GW_DROPPED:
    case GW_REJECTED:
        break;
    }
    if (v.grpc_status != 0)
        v.rejected = 0; /* the whole request has one answer */
    return v;
}

static void count_verdict(struct ticket *k, const struct gw_verdict *v)
{
    struct instance *r = k->home->receiver;
    unsigned s = gw_signal_index(v->signal);

    uint32_t refused = v->grpc_status != 0 ? v->rows : v->rejected;

    gw_metric_add(r->accepted[s][k->transport], v->rows - refused);
    gw_metric_add(r->produced[s][ITEMS_SUCCESS], v->rows - refused);
    gw_metric_add(r->refused[s][k->transport], refused);
    gw_metric_add(r->produced[s][ITEMS_REFUSED], refused);
}

/**
 * The receiver itself could not go on, out of memory: no verdict of the pipeline, which would count as refused, and no
 * mistake of the sender's, whose rows nobody knows. These may be counted, if the framing allows.
 */
static void count_failed(struct intake *in, const struct gw_request *rq, struct gw_slice bytes)
{
    unsigned s = gw_signal_index(rq->hold->signal);
    uint32_t rows;

    if (gw_count_rows(rq->hold->signal, bytes, &rows) < 0)
        return;
    gw_metric_add(in->receiver->failed[s][transport_of(in, rq->meta)], rows);
    gw_metric_add(in->receiver->produced[s][ITEMS_FAILURE], rows);
}

void gw_intake_deliver(struct worker *w)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&w->inbox), *next; i; i = next) {
        struct ticket *k = (struct ticket *)i;
        struct gw_verdict v = verdict_of(&k->t);

        next = i->next;
        count_verdict(k, &v);
        if (k->home->base.on_verdict)
            k->home->base.on_verdict(k->home->base.local, &k->t.ack, &v);
        k->home->n_tickets--;
        (void)gw_ticket_unref(&k->t);
    }
}

/* ---- open batches ----------------------------------------------------------------------------------------- */

static struct open_batch *find_open(struct intake *in, enum gw_signal s, const struct gw_meta *meta)
{
    for (unsigned i = 0; i < in->n_open; i++)
        if (in->open[i].b->signal == s && gw_meta_eq(in->open[i].b->meta, meta))
            return &in->open[i];
    return NULL;
}

static struct open_batch *new_open(struct intake *in, const struct gw_request *rq)
{
    struct gw_engine *e = in->worker->engine;
    struct route *rt = route_of(in, rq->hold->signal);
    struct open_batch *o;
    struct gw_batch *b;

    if (in->n_open == N_OPEN)
        gw_intake_flush(in);
    o = &in->open[in->n_open];
    b = gw_batch_pool_get(in->worker->pool, rq->hold->signal);
    if (!b)
        return NULL;
    *o = (struct open_batch){.b = b, .home = in};
    o->units = calloc(rt->n_reach + 1, sizeof(*o->units));
    if (!o->units) {
        (void)gw_batch_unref(b);
        return NULL;
    }
    b->meta = rq->meta ? gw_meta_ref(rq->meta) : NULL;
    b->received_ns = gw_wall_ns(e->conf.env);
    b->receiver = in->receiver->comp->id;
    in->n_open++;
    return o;
}

static void drop_open(struct open_batch *o)
{
    atomic_fetch_sub_explicit(&o->home->worker->engine->parked_bytes, o->parked_bytes, memory_order_relaxed);
    gw_credit_give(memory_of(o->home), o->column_bytes);
    (void)gw_batch_unref(o->b);
    free(o->units);
}

/* One giant request must not pin memory. */
static void trim(struct gw_buf *b)
{
    if (b->cap > KEEP_BUF_BYTES)
        gw_buf_clear(b);
}

static uint64_t *reserved_of(struct share *sh, const struct reach *r)
{
    return &sh->reserved[r->index * GW_N_SIGNALS + gw_signal_index(r->signal)];
}

/* A journal's position moves when the rows are done: a queue in memory is not enough, unless that is asked for. */
static bool is_in_log(const struct intake *in, const struct route *rt)
{
    const struct target *t = rt->targets;

    return in->receiver->comp->kind == GW_CONNECTOR && rt->n_targets && t->kind == TO_PIPELINE &&
           in->share->graph->pipelines[t->index].conf->durability != GW_DURABILITY_MEMORY;
}

/* Is its queue in memory, and answers before the sink? */
static bool is_in_memory(const struct graph *g, const struct gw_service_component *c)
{
    const struct gw_queue_settings *q = c->extra;

    return c->kind == GW_EXPORTER && q && q->queue.enabled && !q->queue.wait_for_result && !gw_wals_edge(g, c);
}

static bool takes_many(const struct intake *in, const struct route *rt)
{
    const struct graph *g = in->share->graph;
    const struct gw_service_pipeline *p;

    if (!is_in_log(in, rt))
        return false;
    p = g->pipelines[rt->targets->index].conf;
    for (size_t i = 0; i < p->n_exporters; i++)
        if (!is_in_memory(g, p->exporters[i]))
            return false;
    return true;
}

/* Units that the flow did not use go back: rows were dropped, or took another way. */
static void run(struct open_batch *o)
{
    struct intake *in = o->home;
    struct worker *w = in->worker;
    struct route *rt = route_of(in, o->b->signal);
    struct gw_view v;

    for (unsigned i = 0; i < rt->n_reach; i++)
        *reserved_of(in->share, &rt->reach[i]) += o->units[i];
    gw_view_init(&v, o->b, &w->arena);
    w->running = in->share;
    w->current = NULL;
    w->deadline_ns = o->has_endless ? 0 : o->last_deadline_ns;
    w->in_log = is_in_log(in, rt);
    w->line = w->stage = page_of(in, o->b->signal);
    gw_flow_run(w, &v, rt->targets, rt->n_targets);
    w->line = w->stage = NULL;
    gw_flow_flush_letters(w);
    for (unsigned i = 0; i < rt->n_reach; i++) {
        struct reach *r = &rt->reach[i];
        uint64_t *left = reserved_of(in->share, r);

        gw_edge_unreserve(r->exporter->edge, r->signal, *left);
        *left = 0;
    }
    w->running = w->share;
    drop_open(o);
    gw_arena_reset(&w->arena, KEEP_BYTES);
    trim(&w->scratch);
    trim(&w->json);
}

static uint64_t blocking_units(const struct reach *r, const struct gw_batch *b)
{
    return r->times * gw_edge_units(r->exporter->edge, b->n_segments, b->n_rows, b->payload ? b->payload->n : 0);
}

/* All blocking edges or none. */
static bool take_blocking(struct open_batch *o)
{
    struct route *rt = route_of(o->home, o->b->signal);
    unsigned i;

    for (i = 0; i < rt->n_reach; i++) {
        struct reach *r = &rt->reach[i];

        if (!gw_edge_blocks(r->exporter->edge))
            continue;
        if (!gw_edge_reserve(r->exporter->edge, r->signal, blocking_units(r, o->b), /* wait= */ true))
            break;
        o->units[i] = blocking_units(r, o->b);
    }
    if (i == rt->n_reach)
        return true;
    while (i-- > 0)
        if (gw_edge_blocks(rt->reach[i].exporter->edge)) {
            gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, o->units[i]);
            o->units[i] = 0;
        }
    return false;
}

static void park(struct open_batch *o)
{
    struct worker *w = o->home->worker;
    struct open_batch *p = malloc(sizeof(*p));

    if (!p) {
        gw_log(&w->engine->logger, GW_LOG_ERROR, "out of memory");
        run(o); /* beyond the queue's size rather than lost */
        return;
    }
    *p = *o;
    p->next = NULL;
    p->parked_bytes = o->column_bytes + (o->b->payload ? o->b->payload->n : 0);
    atomic_fetch_add_explicit(&w->engine->parked_bytes, p->parked_bytes, memory_order_relaxed);
    *w->parked_last = p;
    w->parked_last = &p->next;
    gw_worker_arm(w, TICK_NS);
}

static void leave(struct open_batch *o)
{
    if (route_of(o->home, o->b->signal)->blocks && (o->home->worker->parked || !take_blocking(o)))
        park(o);
    else
        run(o);
}

void gw_intake_flush(struct intake *in)
{
    struct open_batch left[N_OPEN];
    unsigned n = in->n_open;

    memcpy(left, in->open, n * sizeof(left[0]));
    in->n_open = 0;
    for (unsigned i = 0; i < n; i++)
        leave(&left[i]);
}

static void flush_one(struct intake *in, struct open_batch *o)
{
    struct open_batch one = *o;

    *o = in->open[--in->n_open];
    leave(&one);
}

/* Why a parked batch is not run at all: its clients have given up, or we leave. */
static void refuse_parked(struct open_batch *o, bool late)
{
    struct worker *w = o->home->worker;
    struct route *rt = route_of(o->home, o->b->signal);
    struct gw_view v;

    for (unsigned i = 0; i < rt->n_reach; i++)
        gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, o->units[i]);
    for (uint32_t i = 0; late && i < o->b->n_segments; i++)
        gw_ticket_fail_with(o->b->segments[i].ticket, DEADLINE_EXCEEDED, 0);
    gw_view_init(&v, o->b, &w->arena);
    w->line = w->stage = page_of(o->home, o->b->signal);
    gw_view_settle_all(&v, &w->ledger, GW_REFUSED, late ? "deadline" : "queue_full", late ? no_time : no_room);
    w->line = w->stage = NULL;
    gw_view_clear(&v);
    drop_open(o);
}

/*
 * While one of its clients waits a batch stays, and goes when there is room: with the rows of those whose deadline has
 * passed, which the receiver counts as unheard.
 */
void gw_intake_unpark(struct worker *w, bool give_up)
{
    struct open_batch **p = &w->parked, *o;
    uint64_t now = gw_loop_now_ns(w->loop);

    while ((o = *p) != NULL) {
        bool late = !o->has_endless && o->last_deadline_ns <= now;

        if (!late && !give_up && !take_blocking(o)) {
            p = &o->next;
            continue;
        }
        *p = o->next;
        if (late || give_up)
            refuse_parked(o, late);
        else
            run(o);
        free(o);
    }
    w->parked_last = p;
}

/* ---- another graph ---------------------------------------------------------------------------------------- */

bool gw_intake_is_parked(const struct intake *in)
{
    for (const struct open_batch *o = in->worker->parked; o; o = o->next)
        if (o->home == in)
            return true;
    return false;
}

/* False: out of memory, or its rows have no way any more. */
static bool aim_parked(struct open_batch *o, const struct route *from, const struct route *to)
{
    uint64_t *units = to->n_targets ? calloc(to->n_reach + 1, sizeof(*units)) : NULL;

    if (!units)
        return false;
    for (unsigned i = 0; i < from->n_reach; i++)
        gw_edge_unreserve(from->reach[i].exporter->edge, from->reach[i].signal, o->units[i]);
    free(o->units);
    o->units = units;
    return true;
}

/* What has not been run yet goes the new way. Its places in queues that do not block are taken anew, as it runs. */
void gw_intake_aim(struct intake *in, struct share *sh, struct route *to)
{
    struct route *from = in->routes;
    struct worker *w = in->worker;
    struct open_batch **p = &w->parked, *o;

    while ((o = *p) != NULL) {
        unsigned s = gw_signal_index(o->b->signal);

        if (o->home != in || aim_parked(o, &from[s], &to[s])) {
            p = &o->next;
            continue;
        }
        *p = o->next;
        refuse_parked(o, /* late= */ false);
        free(o);
    }
    w->parked_last = p;
    in->share = sh;
    in->routes = to;
    in->base.signals = 0;
    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        in->base.signals |= to[k].n_targets ? 1u << k : 0;
    in->base.many = false;
    for (unsigned k = 0; k < GW_N_SIGNALS; k++)
        in->base.many |= takes_many(in, &to[k]);
    gw_books_wire_intake(in);
}

/* ---- submit ----------------------------------------------------------------------------------------------- */

/* JSON becomes protobuf in the worker's own buffer. */
static int transcode(struct intake *in, struct gw_request *rq, struct gw_slice *ret_bytes, struct gw_err *err)
{
    struct worker *w = in->worker;
    struct gw_verdict ignored;
    int rc;

    gw_buf_reset(&w->json);
    rc = gw_json_to_proto(rq->hold->signal, rq->bytes, in->base.limits, &w->json, err);
    if (rc < 0)
        return rc;
    if (grow(&in->base, rq->hold, w->json.n, &ignored) < 0)
        return -EBUSY;
    *ret_bytes = gw_buf_slice(&w->json);
    return 0;
}

static int refuse_decode(struct gw_verdict *ret, int rc, const struct gw_request *rq, struct intake *in,
                         const struct gw_err *err)
{
    struct gw_buf *text = &in->worker->scratch; /* lives until the answer is written, at least for this call */
    enum gw_signal s = rq->hold->signal;

    if (rc == -EBUSY || rc == -ENOMEM)
        return refuse_busy(in, ret, s, no_memory, 0, 0);
    gw_intake_undecodable(in, rq, rc, err->text);
    gw_buf_reset(text);
    gw_buf_put_str(text, err->text);
    gw_buf_put_u8(text, 0);
    return refuse(ret, rc, INVALID_ARGUMENT, s, text->failed ? "malformed request" : (const char *)text->p);
}

/* The new rows' columns, against the hard mark. */
static bool charge_columns(struct intake *in, struct open_batch *o)
{
    uint64_t more = o->b->column_bytes > o->column_bytes ? o->b->column_bytes - o->column_bytes : 0;

    if (!gw_credit_take(memory_of(in), more))
        return false;
    o->column_bytes += more;
    return true;
}

static int decode_into(struct open_batch *o, struct gw_request *rq, struct gw_slice bytes, bool adopt, struct ticket *k,
                       struct gw_err *err)
{
    struct gw_ref at;
    int rc;

    if (adopt) {
        gw_batch_set_payload(o->b, gw_payload_ref(rq->payload));
    } else {
        rc = gw_batch_append(o->b, bytes, &at);
        if (rc < 0)
            return rc;
        bytes = gw_batch_slice(o->b, at);
    }
    return gw_decode(o->b, bytes, o->home->base.limits, &k->t, err);
}

/* A request without rows is fine and goes nowhere. */
static void answer_empty(struct intake *in, struct gw_request *rq)
{
    struct gw_verdict v = {.signal = rq->hold->signal, .message = ""};
    struct gw_ack ack = rq->ack;

    ack.worker = in->worker->index;
    release(&in->base, rq->hold);
    (void)gw_payload_unref(rq->payload);
    if (in->base.on_verdict)
        in->base.on_verdict(in->base.local, &ack, &v);
}

static void join(struct intake *in, struct open_batch *o, struct gw_request *rq, struct ticket *k, uint32_t rows)
{
    page_of(in, rq->hold->signal)->n[GW_E_IN] += rows;
    k->t.rows = rows;
    atomic_store_explicit(&k->t.open, rows, memory_order_relaxed);
    k->t.charged_bytes = rq->hold->bytes;
    use_places(in, o, rq->hold);
    in->n_tickets++;
    *rq->hold = (struct gw_hold){0};
    (void)gw_payload_unref(rq->payload);
    o->has_endless |= rq->deadline_ns == 0;
    if (rq->deadline_ns > o->last_deadline_ns)
        o->last_deadline_ns = rq->deadline_ns;
}

/* An open batch of one request that came to nothing. */
static void abandon(struct intake *in, struct open_batch *o)
{
    if (o->b->n_segments)
        return;
    drop_open(o);
    *o = in->open[--in->n_open];
}

/* At the last moment: for want of room (refused), for want of memory in the decoder (failed), or malformed. */
static void count_turned_away(struct intake *in, const struct gw_request *rq, struct gw_slice bytes, int rc,
                              uint32_t rows)
{
    unsigned s = gw_signal_index(rq->hold->signal);

    gw_metric_add(in->receiver->refused[s][transport_of(in, rq->meta)], rows);
    gw_metric_add(in->receiver->produced[s][ITEMS_REFUSED], rows);
    page_of(in, rq->hold->signal)->n[GW_E_IN] += rows;
    page_of(in, rq->hold->signal)->n[GW_E_REFUSED] += rows;
    if (rc == -ENOMEM)
        count_failed(in, rq, bytes);
}

static int submit_bytes(struct intake *in, struct gw_request *rq, struct gw_slice bytes, struct gw_verdict *ret)
{
    bool adopt = rq->encoding == GW_ENC_PROTO && rq->payload && bytes.n >= ADOPT_BYTES;
    enum gw_signal s = rq->hold->signal;
    struct open_batch *o = adopt ? NULL : find_open(in, s, rq->meta);
    struct ticket *k = new_ticket(in, rq);
    struct gw_batch_mark mark;
    struct gw_err err = {""};
    bool has_room;
    uint32_t rows;
    int rc;

    if (!o)
        o = new_open(in, rq);
    if (!o || !k) {
        free(k);
        count_failed(in, rq, bytes);
        return refuse_busy(in, ret, s, no_memory, 0, bytes.n);
    }
    mark = gw_batch_mark(o->b);
    rc = decode_into(o, rq, bytes, adopt, k, &err);
    rows = rc == 0 ? o->b->n_rows - mark.rows : 0;
    if (rows > 0 && !charge_columns(in, o))
        rc = -EBUSY;
    has_room = rc < 0 || rows == 0 || take_sizes(o, route_of(in, s), rows, bytes.n);
    if (rc < 0 || rows == 0 || !has_room) {
        count_turned_away(in, rq, bytes, rc, rows);
        gw_batch_rollback(o->b, &mark);
        (void)gw_ticket_unref(&k->t);
        abandon(in, o);
        if (!has_room)
            return refuse_busy(in, ret, s, no_room, rows, bytes.n);
        if (rc < 0)
            return refuse_decode(ret, rc, rq, in, &err);
        answer_empty(in, rq);
        return 0;
    }
    join(in, o, rq, k, rows);
    if (adopt || o->b->payload->n >= BATCH_BYTES || o->b->n_rows >= BATCH_ROWS)
        flush_one(in, o);
    return 0;
}

static int submit(struct gw_intake *base, struct gw_request *rq, struct gw_verdict *ret)
{
    struct intake *in = (struct intake *)base;
    struct gw_slice bytes = rq->bytes;
    struct gw_err err = {""};

    if (!(base->signals & rq->hold->signal)) /* not since it was let in */
        return refuse(ret, -ENOTSUP, UNIMPLEMENTED, rq->hold->signal, "no pipeline takes this signal");
    if (rq->encoding == GW_ENC_JSON) {
        int rc = transcode(in, rq, &bytes, &err);

        if (rc < 0)
            return refuse_decode(ret, rc, rq, in, &err);
    }
    return submit_bytes(in, rq, bytes, ret);
}

const struct gw_intake_ops gw_intake_ops = {
    .admit = admit, .grow = grow, .ahead = ahead, .release = release, .submit = submit};
