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
#include "runtime/intake_impl.h"
#include "runtime/keep.h"

#define KEEP_BYTES     (1u << 20)
#define KEEP_BUF_BYTES (4u << 20)

static const char no_time[] = "the deadline passed while the sending queue was full";

static struct gw_page *page_of(const struct intake *in, enum gw_signal s)
{
    return gw_page_of(in->worker, in->books[gw_signal_index(s)]);
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
    struct route *rt = gw_intake_route(in, rq->hold->signal);
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
    gw_credit_give(gw_intake_memory(o->home), o->column_bytes);
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
void gw_intake_run(struct open_batch *o)
{
    struct intake *in = o->home;
    struct worker *w = in->worker;
    struct route *rt = gw_intake_route(in, o->b->signal);
    struct gw_view v;
    uint32_t before;

    for (unsigned i = 0; i < rt->n_reach; i++)
        *reserved_of(in->share, &rt->reach[i]) += o->units[i];
    gw_view_init(&v, o->b, &w->arena);
    if (o->kept) {
        v.kept = o->kept;
        v.n_rows = o->n_rows;
    }
    w->running = in->share;
    w->current = NULL;
    w->deadline_ns = o->has_endless ? 0 : o->last_deadline_ns;
    w->in_log = is_in_log(in, rt);
    w->line = w->stage = page_of(in, o->b->signal);
    before = gw_flight_enter(in->base.scope);
    gw_flow_run(w, &v, rt->targets, rt->n_targets);
    w->line = w->stage = NULL;
    gw_flow_flush_letters(w);
    (void)gw_flight_enter(before);
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
    struct route *rt = gw_intake_route(o->home, o->b->signal);
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
        gw_intake_run(o); /* beyond the queue's size rather than lost */
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
    if (gw_intake_route(o->home, o->b->signal)->blocks && (o->home->worker->parked || !take_blocking(o)))
        park(o);
    else
        gw_intake_run(o);
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
    struct route *rt = gw_intake_route(o->home, o->b->signal);
    struct gw_view v;

    for (unsigned i = 0; i < rt->n_reach; i++)
        gw_edge_unreserve(rt->reach[i].exporter->edge, rt->reach[i].signal, o->units[i]);
    for (uint32_t i = 0; late && i < o->b->n_segments; i++)
        gw_ticket_fail_with(o->b->segments[i].ticket, DEADLINE_EXCEEDED, 0);
    gw_view_init(&v, o->b, &w->arena);
    w->line = w->stage = page_of(o->home, o->b->signal);
    gw_view_settle_all(&v, &w->ledger, GW_REFUSED, late ? "deadline" : "queue_full",
                       late ? no_time : gw_busy_text(GW_BUSY_ROOM));
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
            gw_intake_run(o);
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
    gw_keep_aim(in);
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
    if (gw_intake_grow(&in->base, rq->hold, w->json.n, &ignored) < 0)
        return -EBUSY;
    *ret_bytes = gw_buf_slice(&w->json);
    return 0;
}

/* 0: the verdict follows. */
static int refuse_decode(struct gw_verdict *ret, int rc, struct gw_request *rq, struct intake *in,
                         const struct gw_err *err)
{
    struct gw_buf *text = &in->worker->scratch; /* lives until the answer is written, at least for this call */
    enum gw_signal s = rq->hold->signal;

    if (rc == -EBUSY || rc == -ENOMEM)
        return gw_intake_busy(in, ret, s, GW_BUSY_MEMORY, 0, 0);
    if (gw_intake_undecodable(in, rq, rc, err->text))
        return 0;
    gw_buf_reset(text);
    gw_buf_put_str(text, err->text);
    gw_buf_put_u8(text, 0);
    return gw_intake_refuse(ret, rc, INVALID_ARGUMENT, s, text->failed ? "malformed request" : (const char *)text->p);
}

/* The new rows' columns, against the hard mark. */
static bool charge_columns(struct intake *in, struct open_batch *o)
{
    uint64_t more = o->b->column_bytes > o->column_bytes ? o->b->column_bytes - o->column_bytes : 0;

    if (!gw_credit_take(gw_intake_memory(in), more))
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
    return (gw_intake_route(o->home, o->b->signal)->is_whole ? gw_decode : gw_decode_outline)(
        o->b, bytes, o->home->base.limits, &k->t, err);
}

/* A request without rows is fine and goes nowhere. */
static void answer_empty(struct intake *in, struct gw_request *rq)
{
    struct gw_verdict v = {.signal = rq->hold->signal, .message = ""};
    struct gw_ack ack = rq->ack;

    ack.worker = in->worker->index;
    gw_intake_release(&in->base, rq->hold);
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
    gw_intake_use_places(in, o, rq->hold);
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

void gw_intake_count_turned_away(struct intake *in, const struct gw_request *rq, struct gw_slice bytes, int rc,
                                 uint32_t rows)
{
    unsigned s = gw_signal_index(rq->hold->signal);

    gw_metric_add(in->receiver->refused[s][gw_intake_transport(in, rq->meta)], rows);
    gw_metric_add(in->receiver->produced[s][ITEMS_REFUSED], rows);
    page_of(in, rq->hold->signal)->n[GW_E_IN] += rows;
    page_of(in, rq->hold->signal)->n[GW_E_REFUSED] += rows;
    if (rc == -ENOMEM)
        gw_intake_count_failed(in, rq, bytes);
}

static int submit_bytes(struct intake *in, struct gw_request *rq, struct gw_slice bytes, struct gw_verdict *ret)
{
    bool adopt = rq->encoding == GW_ENC_PROTO && rq->payload && bytes.n >= ADOPT_BYTES;
    enum gw_signal s = rq->hold->signal;
    struct open_batch *o = adopt ? NULL : find_open(in, s, rq->meta);
    struct ticket *k = gw_ticket_of(in, rq);
    struct gw_batch_mark mark;
    struct gw_err err = {""};
    bool has_room;
    uint32_t rows;
    int rc;

    if (!o)
        o = new_open(in, rq);
    if (!o || !k) {
        free(k);
        gw_intake_count_failed(in, rq, bytes);
        return gw_intake_busy(in, ret, s, GW_BUSY_MEMORY, 0, bytes.n);
    }
    mark = gw_batch_mark(o->b);
    rc = decode_into(o, rq, bytes, adopt, k, &err);
    rows = rc == 0 ? o->b->n_rows - mark.rows : 0;
    if (rows > 0 && !charge_columns(in, o))
        rc = -EBUSY;
    has_room = rc < 0 || rows == 0 || gw_intake_take_sizes(o, gw_intake_route(in, s), rows, bytes.n);
    if (rc < 0 || rows == 0 || !has_room) {
        gw_intake_count_turned_away(in, rq, bytes, rc, rows);
        gw_batch_rollback(o->b, &mark);
        (void)gw_ticket_unref(&k->t);
        abandon(in, o);
        if (!has_room)
            return gw_intake_busy(in, ret, s, GW_BUSY_ROOM, rows, bytes.n);
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
        return gw_intake_refuse(ret, -ENOTSUP, UNIMPLEMENTED, rq->hold->signal, "no pipeline takes this signal");
    if (rq->encoding == GW_ENC_JSON) {
        int rc = transcode(in, rq, &bytes, &err);

        if (rc < 0)
            return refuse_decode(ret, rc, rq, in, &err);
    }
    return submit_bytes(in, rq, bytes, ret);
}

const struct gw_intake_ops gw_intake_ops = {.admit = gw_intake_admit,
                                            .grow = gw_intake_grow,
                                            .ahead = gw_intake_ahead,
                                            .release = gw_intake_release,
                                            .submit = submit,
                                            .bury = gw_intake_bury,
                                            .hand_over = gw_intake_hand_over};
