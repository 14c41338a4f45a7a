/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker: a loop, its share of every receiver, and the chains. A turn of the loop brings bytes to the receivers;
 * the hook at its end runs what came together and hands out verdicts.
 */
#include <stdlib.h>

#include "runtime/crash.h"
#include "runtime/keep.h"

enum { MAX_SCRATCH_BYTES = 1u << 30, KEEP_BATCHES = 8 };
#define WAIT_FOR_OTHERS_NS 5000000000u

void gw_worker_arm(struct worker *w, uint64_t after_ns)
{
    uint64_t due = gw_loop_now_ns(w->loop) + after_ns;

    if (!gw_timer_is_armed(&w->timer) || w->timer.due_ns > due)
        gw_timer_arm(w->loop, &w->timer, due);
}

static void flush_all(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->n_open)
            gw_intake_flush(in);
}

/* ---- leaving ---------------------------------------------------------------------------------------------- */

static void close_intakes(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->base.local && in->receiver->comp->type != &gw_door_type) {
            if (in->receiver->comp->type->close)
                in->receiver->comp->type->close(in->base.local);
            in->base.local = NULL;
            in->base.on_verdict = NULL; /* a log may still answer: then it is only counted */
        }
}

static bool all_idle(struct worker *w)
{
    for (struct intake *in = w->intakes; in; in = in->next)
        if (in->base.local && in->receiver->comp->type->is_idle && !in->receiver->comp->type->is_idle(in->base.local))
            return false;
    return w->parked == NULL && w->n_injected == 0 && gw_inbox_is_empty(&w->injected) && gw_shuffle_is_empty(w) &&
           gw_connectors_idle(w, NULL);
}

static void look_at(struct graph *g, bool *partitioned, bool *crossing)
{
    *partitioned |= g->is_partitioned;
    *crossing |= atomic_load(&g->n_crossing) != 0;
}

/*
 * While another worker gets rows it may have some for this one: what is kept would be let go without them. That is not
 * waited for without end; what comes later is let go then.
 */
static bool all_workers_idle(struct worker *w)
{
    bool partitioned = false, crossing = false, all = true;
    uint64_t now = gw_loop_now_ns(w->loop);

    look_at(w->share->graph, &partitioned, &crossing);
    for (const struct share *sh = w->leaving; sh; sh = sh->next)
        look_at(sh->graph, &partitioned, &crossing);
    for (unsigned i = 0; i < w->engine->n_workers; i++)
        all &= atomic_load(&w->engine->workers[i].idle);
    if (w->idle_ns == 0)
        w->idle_ns = now;
    return !partitioned || (all && !crossing) || now - w->idle_ns >= WAIT_FOR_OTHERS_NS;
}

/* The older ones first: what they let go goes to queues of their own. */
static bool drain_all(struct worker *w)
{
    bool done = true;

    for (struct share *sh = w->leaving; sh; sh = sh->next)
        if (!sh->is_dry)
            done &= gw_worker_drain(w, sh);
    return gw_worker_drain(w, w->share) && done;
}

static void follow_phase(struct worker *w)
{
    enum phase now = atomic_load(&w->engine->phase);

    if (now == RUNNING || now == STARTING)
        return;
    if (w->seen == RUNNING) {
        w->seen = QUIESCING;
        for (struct intake *in = w->intakes; in; in = in->next)
            gw_worker_quiesce(in);
        gw_connectors_quiesce(w, NULL);
    }
    if (!w->quiet && now == QUIESCING) {
        atomic_store(&w->idle, all_idle(w));
        if (w->idle && all_workers_idle(w) && drain_all(w) && gw_keeps_end(w)) {
            atomic_store(&w->quiet, true);
            gw_loop_wake(w->engine->conf.loop);
        } else {
            gw_worker_arm(w, IDLE_POLL_NS);
        }
    }
    if (now == STOPPED)
        gw_loop_stop(w->loop);
}

/* ---- orders ----------------------------------------------------------------------------------------------- */

static void report(struct gw_engine *e, bool ok)
{
    (void)pthread_mutex_lock(&e->lock);
    e->n_reported++;
    e->any_failed |= !ok;
    (void)pthread_cond_signal(&e->reported);
    (void)pthread_mutex_unlock(&e->lock);
}

static void follow_order(struct worker *w)
{
    struct gw_engine *e = w->engine;

    w->asked = atomic_load(&e->n_orders);
    report(e, gw_worker_follow(w, e->order, e->order_graph, &w->err) == 0);
}

/* ---- turning ---------------------------------------------------------------------------------------------- */

static void on_turn(struct gw_hook *h)
{
    struct worker *w = (struct worker *)((char *)h - offsetof(struct worker, hook));

    if (!gw_inbox_is_empty(&w->inbox))
        gw_intake_deliver(w);
    gw_keep_turn(w);
    if (w->parked)
        gw_intake_unpark(w, atomic_load(&w->engine->phase) > QUIESCING);
    gw_inject_run(w, /* give_up= */ false);
    flush_all(w);
    gw_logs_end_turn();
    if (!gw_inbox_is_empty(&w->inbox)) { /* most verdicts are known by now: the queue has the rows */
        gw_intake_deliver(w);
        flush_all(w); /* an answer may have let the next request of a connection in */
        gw_logs_end_turn();
        if (!gw_inbox_is_empty(&w->inbox))
            gw_loop_wake(w->loop);
    }
    gw_shuffle_send(w);
    gw_shuffle_take(w);
    if (atomic_load_explicit(&w->engine->n_orders, memory_order_acquire) != w->asked)
        follow_order(w);
    if (w->shuffle.arrived) {
        gw_shuffle_run(w);
        gw_logs_end_turn();
    }
    if (w->leaving)
        gw_worker_tend(w);
    follow_phase(w);
    gw_shuffle_send(w);
    gw_ledger_turn(w);
}

/* True: some node has more to do, as soon as others have had their turn. */
static bool tick_nodes(struct share *sh, uint64_t now)
{
    struct worker *w = sh->worker;
    bool more = false;

    w->deadline_ns = 0; /* who waited for these rows was answered long ago */
    w->in_log = false;
    w->running = sh;
    for (size_t p = 0; p < sh->graph->service->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++) {
            struct node *n = &sh->chains[p].nodes[i];

            if (n->comp->type->tick)
                more |= gw_node_tick(n, now) == GW_MORE;
        }
    for (size_t i = 0; i < sh->graph->service->n_components * GW_N_SIGNALS; i++) {
        struct node *n = sh->joints[i];

        if (n && n->comp->type->tick && !gw_keeps_rows(n->comp))
            more |= gw_node_tick(n, now) == GW_MORE;
    }
    gw_flow_flush_letters(w);
    w->running = w->share;
    gw_arena_reset(&w->arena, BATCH_BYTES);
    return more;
}

static bool has_ticks(const struct worker *w)
{
    bool any = w->share->has_ticks;

    for (const struct share *sh = w->leaving; sh; sh = sh->next)
        any |= sh->has_ticks && !sh->is_dry;
    return any;
}

static void on_timer(struct gw_timer *t)
{
    struct worker *w = (struct worker *)((char *)t - offsetof(struct worker, timer));
    uint64_t now = gw_loop_now_ns(w->loop);
    bool more = false;

    if (has_ticks(w) && now >= w->tick_ns) {
        for (struct share *sh = w->leaving; sh; sh = sh->next)
            if (!sh->is_dry)
                more |= tick_nodes(sh, now);
        more |= tick_nodes(w->share, now);
        w->tick_ns = more ? now : now + TICK_NS;
    }
    if (has_ticks(w))
        gw_worker_arm(w, w->tick_ns > now ? w->tick_ns - now : 1);
    if (w->parked)
        gw_worker_arm(w, TICK_NS);
    gw_undecodable_tell(w, /* all= */ false);
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

int gw_worker_init(struct worker *w, struct gw_engine *e, unsigned index, struct gw_err *err)
{
    w->engine = e;
    w->index = index;
    w->parked_last = &w->parked;
    w->intakes_last = &w->intakes;
    w->bad_last = &w->bad;
    w->ledger.settled = gw_flow_settled;
    w->ledger.sample = gw_flow_sample;
    gw_arena_init(&w->arena, 65536, 256u << 20);
    gw_buf_init(&w->scratch, MAX_SCRATCH_BYTES);
    gw_buf_init(&w->json, MAX_SCRATCH_BYTES);
    w->pool = gw_batch_pool_new(KEEP_BATCHES);
    return w->pool && gw_shuffle_init(w) == 0 ? 0 : gw_fail(err, -ENOMEM, "out of memory");
}

void gw_worker_free(struct worker *w)
{
    gw_arena_clear(&w->arena);
    gw_buf_clear(&w->scratch);
    gw_buf_clear(&w->json);
    gw_batch_pool_free(w->pool);
    gw_loop_free(w->loop);
}

int gw_worker_open(struct worker *w, struct gw_err *err)
{
    int rc = gw_loop_new(w->engine->conf.env, &w->loop, err);

    if (rc < 0)
        return rc;
    w->hook.run = on_turn;
    w->timer.fire = on_timer;
    gw_loop_add_hook(w->loop, &w->hook);
    w->share = w->running = &w->engine->graph->shares[w->index];
    w->asked = atomic_load(&w->engine->n_orders);
    rc = gw_worker_open_share(w, w->share, err);
    if (rc < 0)
        return rc;
    gw_worker_begin(w);
    if (w->share->has_ticks)
        gw_worker_arm(w, TICK_NS);
    w->seen = RUNNING;
    return 0;
}

void gw_worker_close(struct worker *w)
{
    if (!w->loop)
        return;
    close_intakes(w);
    gw_inject_run(w, /* give_up= */ true);
    gw_intake_unpark(w, /* give_up= */ true);
    flush_all(w);
    gw_shuffle_send(w);
    gw_undecodable_tell(w, /* all= */ true);
    gw_intake_deliver(w);
    gw_connectors_close(w, NULL); /* after whatever may still consume */
    gw_timer_disarm(&w->timer);
    gw_loop_remove_hook(w->loop, &w->hook);
}

/*
 * A thread's payloads. What a busy stretch had out at once stays for the next one: pages fresh from the system cost
 * more than what is done with them. Half a minute after it the stock is small again.
 */
struct stock {
    struct gw_payload_pool *pool; /* NULL: bodies are malloced */
    struct gw_timer timer;
    struct gw_loop *loop;
    size_t rest_bytes;
};
enum { WORKER_REST_BYTES = 4 << 20, EXPORTER_REST_BYTES = 12 << 20, STOCK_BYTES = 24 << 20 };
#define STOCK_NS 10000000000ull

static void on_stock(struct gw_timer *t)
{
    struct stock *s = (struct stock *)((char *)t - offsetof(struct stock, timer));

    gw_payload_pool_trim(s->pool, s->rest_bytes);
    gw_timer_arm(s->loop, t, gw_loop_now_ns(s->loop) + STOCK_NS);
}

static void stock_enter(struct stock *s, size_t rest_bytes)
{
    *s = (struct stock){.pool = gw_payload_pool_new(STOCK_BYTES), .timer.fire = on_stock, .rest_bytes = rest_bytes};
    gw_payload_pool_enter(s->pool);
}

static void stock_watch(struct stock *s, struct gw_loop *loop)
{
    s->loop = loop;
    if (s->pool)
        gw_timer_arm(loop, &s->timer, gw_loop_now_ns(loop) + STOCK_NS);
}

static void stock_leave(struct stock *s)
{
    gw_timer_disarm(&s->timer);
    gw_payload_pool_free(s->pool);
}

void *gw_worker_main(void *arg)
{
    struct worker *w = arg;
    struct gw_crash_stack stack;
    struct stock stock;
    int rc;

    gw_crash_stack_enter(&stack);
    gw_flight_thread((uint32_t)GW_FLIGHT_NOTHING); /* what clients send is in no log yet */
    stock_enter(&stock, WORKER_REST_BYTES);
    rc = gw_worker_open(w, &w->err);
    report(w->engine, rc == 0);
    gw_logs_enter(w->loop);
    if (rc == 0) {
        stock_watch(&stock, w->loop);
        gw_loop_run(w->loop);
    }
    gw_logs_leave();
    gw_ledger_turn(w);
    gw_worker_close(w);
    stock_leave(&stock);
    gw_crash_stack_leave(&stack);
    return NULL;
}

static void end_turn(struct gw_hook *h)
{
    (void)h;
    gw_logs_end_turn();
}

void *gw_exporter_main(void *arg)
{
    struct instance *x = arg;
    struct gw_engine *e = x->engine;
    struct gw_crash_stack stack;
    struct stock stock;
    int rc = gw_loop_new(e->conf.env, &x->loop, &x->err);

    gw_crash_stack_enter(&stack);
    gw_flight_thread(gw_edge_home(x->edge));
    stock_enter(&stock, EXPORTER_REST_BYTES);
    if (rc == 0)
        rc = gw_edge_open(x->edge, x->loop, &x->err);
    x->is_open = rc == 0;
    report(e, rc == 0);
    if (rc == 0) {
        x->logs_hook.run = end_turn;
        gw_loop_add_hook(x->loop, &x->logs_hook);
        gw_logs_enter(x->loop);
        stock_watch(&stock, x->loop);
        gw_loop_run(x->loop);
        gw_logs_leave();
    }
    gw_edge_close(x->edge);
    stock_leave(&stock);
    gw_crash_stack_leave(&stack);
    return NULL;
}
