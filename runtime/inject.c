/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/inject.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/graph.h"

enum { UNAVAILABLE = 14, DEFAULT_BYTES = 8 << 20, DEFAULT_REQUESTS = 256 };

struct gw_inject {
    struct gw_engine *engine;
    struct door *door;
    struct gw_inject_conf conf;
    _Atomic unsigned refs; /* the owner's, and one for each injection in flight */
    _Atomic unsigned n_in_flight;
    _Atomic uint64_t bytes;
    struct gw_inbox back; /* with a loop: done, to be told */
    struct gw_hook hook;
};

/* ---- on the way back -------------------------------------------------------------------------------------- */

static void unref(struct gw_inject *in)
{
    if (atomic_fetch_sub(&in->refs, 1) == 1) {
        if (in->conf.loop)
            gw_loop_remove_hook(in->conf.loop, &in->hook);
        free(in);
    }
}

static void tell(struct gw_injection *i)
{
    struct gw_inject *in = i->in;

    (void)atomic_fetch_sub(&in->bytes, i->body.n); /* first: who is told may put the next one */
    (void)atomic_fetch_sub(&in->n_in_flight, 1);
    i->done(i, &i->verdict);
    unref(in);
}

static void tell_all(struct gw_inject *in)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&in->back), *next; i; i = next) {
        next = i->next;
        tell((struct gw_injection *)i);
    }
}

static void on_turn(struct gw_hook *h)
{
    tell_all((struct gw_inject *)((char *)h - offsetof(struct gw_inject, hook)));
}

static void finish(struct gw_injection *i, const struct gw_verdict *v)
{
    struct gw_inject *in = i->in;

    i->verdict = *v;
    (void)snprintf(i->message, sizeof(i->message), "%s", v->message ? v->message : "");
    i->verdict.message = i->message;
    if (!in->conf.loop)
        tell(i);
    else if (gw_inbox_push(&in->back, &i->item))
        gw_loop_wake(in->conf.loop);
}

/* ---- on the worker ---------------------------------------------------------------------------------------- */

/*
 * An acknowledgement names a client that may be gone; an injection stays until it is done, so that here the name is
 * its address.
 */
static struct gw_ack name_of(const struct gw_injection *i)
{
    uint64_t at = (uint64_t)(uintptr_t)i;

    return (struct gw_ack){.slot = (uint32_t)(at >> 32), .generation = (uint32_t)at};
}

static struct gw_injection *named(const struct gw_ack *a)
{
    return (struct gw_injection *)(uintptr_t)((uint64_t)a->slot << 32 | a->generation);
}

static void on_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct gw_injection *i = named(ack);

    (void)local;
    i->in->engine->workers[ack->worker].n_injected--;
    finish(i, v);
}

static void put_in(struct worker *w, struct gw_injection *i)
{
    struct gw_intake *in = &i->in->door->x.intakes[w->index].base;
    struct gw_hold hold = {0};
    struct gw_verdict refusal = {0};
    struct gw_request rq = {
        .hold = &hold, .encoding = GW_ENC_PROTO, .bytes = i->body, .meta = i->meta, .ack = name_of(i)};
    int rc = in->ops->admit(in, &hold, i->in->door->signal, i->body.n, &refusal);

    in->on_verdict = on_verdict;
    w->n_injected++;
    if (rc == 0) {
        rc = in->ops->submit(in, &rq, &refusal);
        if (rc < 0)
            in->ops->release(in, &hold);
    }
    if (rc < 0) {
        w->n_injected--;
        finish(i, &refusal);
    }
}

void gw_inject_run(struct worker *w, bool give_up)
{
    static const struct gw_verdict leaving = {.grpc_status = UNAVAILABLE, .message = "the gateway is stopping"};

    if (gw_inbox_is_empty(&w->injected))
        return;
    for (struct gw_inbox_item *i = gw_inbox_take(&w->injected), *next; i; i = next) {
        next = i->next;
        if (give_up)
            finish((struct gw_injection *)i, &leaving);
        else
            put_in(w, (struct gw_injection *)i);
    }
}

/* ---- the caller ------------------------------------------------------------------------------------------- */

static int no_pipeline(const struct graph *g, const char *id, struct gw_err *err)
{
    const struct gw_service *s = g->service;
    struct gw_buf known;
    int rc;

    gw_buf_init(&known, 400);
    for (size_t i = 0; i < s->n_pipelines; i++)
        gw_buf_printf(&known, "%s%s", i ? ", " : "", s->pipelines[i].id);
    rc = gw_fail(err, -ENOENT, "there is no pipeline \"%.100s\"; there are %.*s", id, (int)known.n,
                 (const char *)known.p);
    gw_buf_clear(&known);
    return rc;
}

/* They appear with the first use: most gateways are never replayed into. */
static void count(struct gw_engine *e, struct door *d)
{
    (void)pthread_mutex_lock(&e->lock);
    if (!d->is_counted) {
        gw_graph_receiver_metrics(e, &d->x, d->signal);
        gw_graph_produced_metrics(e, &d->x, d->signal);
    }
    d->is_counted = true;
    (void)pthread_mutex_unlock(&e->lock);
}

static struct door *find_door(const struct graph *g, const char *pipeline)
{
    for (unsigned i = 0; i < g->n_doors; i++)
        if (!g->doors[i]->from && strcmp(g->doors[i]->pipeline, pipeline) == 0)
            return g->doors[i];
    return NULL;
}

static bool keeps(const struct graph *g, const char *pipeline)
{
    for (size_t i = 0; i < g->service->n_pipelines; i++)
        if (strcmp(g->pipelines[i].id, pipeline) == 0)
            return g->pipelines[i].keeping != NULL;
    return false;
}

int gw_inject_open(struct gw_engine *e, const struct gw_inject_conf *conf, struct gw_inject **ret, struct gw_err *err)
{
    struct door *d = find_door(e->graph, conf->pipeline);
    struct gw_inject *in;

    if (!d)
        return no_pipeline(e->graph, conf->pipeline, err);
    if (keeps(e->graph, conf->pipeline))
        return gw_fail(
            err, -ENOTSUP,
            "pipeline %s keeps rows by their places in its journal, and takes them from there alone: put them "
            "into the pipeline before the journal, or into another one",
            conf->pipeline);
    in = calloc(1, sizeof(*in));
    if (!in)
        return gw_fail(err, -ENOMEM, "out of memory");
    *in = (struct gw_inject){.engine = e, .door = d, .conf = *conf, .refs = 1};
    if (!in->conf.max_bytes)
        in->conf.max_bytes = DEFAULT_BYTES;
    if (!in->conf.max_requests)
        in->conf.max_requests = DEFAULT_REQUESTS;
    in->hook.run = on_turn;
    if (conf->loop)
        gw_loop_add_hook(conf->loop, &in->hook);
    count(e, d);
    *ret = in;
    return 0;
}

enum gw_signal gw_inject_signal(const struct gw_inject *in)
{
    return in->door->signal;
}

unsigned gw_inject_in_flight(const struct gw_inject *in)
{
    return atomic_load(&in->n_in_flight);
}

/* Under the engine's lock: what comes in before a phase ends is seen by the worker that ends it. */
int gw_inject_put(struct gw_inject *in, struct gw_injection *i)
{
    struct gw_engine *e = in->engine;
    struct worker *w = &e->workers[i->key % e->n_workers];
    bool was_empty;
    int rc = 0;

    (void)pthread_mutex_lock(&e->lock);
    if (atomic_load(&e->phase) != RUNNING)
        rc = -ESHUTDOWN;
    else if (in->n_in_flight >= in->conf.max_requests ||
             (in->n_in_flight && in->bytes + i->body.n > in->conf.max_bytes))
        rc = -EAGAIN;
    if (rc == 0) {
        i->in = in;
        (void)atomic_fetch_add(&in->refs, 1);
        (void)atomic_fetch_add(&in->n_in_flight, 1);
        (void)atomic_fetch_add(&in->bytes, i->body.n);
        was_empty = gw_inbox_push(&w->injected, &i->item);
        if (was_empty)
            gw_loop_wake(w->loop);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return rc;
}

void gw_inject_close(struct gw_inject *in)
{
    if (!in)
        return;
    (void)atomic_fetch_add(&in->refs, 1);
    tell_all(in);
    unref(in);
    unref(in);
}
