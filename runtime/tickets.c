/* SPDX-License-Identifier: Apache-2.0 */
/* A request's ticket: what became of its rows comes together there, from any thread, and is told on the worker's. */
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "runtime/intake_impl.h"

void gw_ticket_go_home(struct gw_ticket *t)
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

uint8_t gw_intake_transport(const struct intake *in, const struct gw_meta *m)
{
    const char *const *known = in->receiver->comp->type->transports;

    for (uint8_t t = 0; known && m && m->transport && t < GW_MAX_TRANSPORTS && known[t]; t++)
        if (strcmp(m->transport, known[t]) == 0)
            return t;
    return 0;
}

struct ticket *gw_ticket_of(struct intake *in, const struct gw_request *rq)
{
    struct ticket *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->worker = in->worker;
    k->home = in;
    k->transport = gw_intake_transport(in, rq->meta);
    k->t.refs = 1;
    k->t.ack = rq->ack;
    k->t.ack.worker = in->worker->index;
    k->t.home = in;
    k->t.post = gw_ticket_go_home;
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
            v.retry_after_ns = gw_intake_retry_after_ns(t->home, v.signal, v.rows, t->charged_bytes);
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

void gw_intake_count_failed(struct intake *in, const struct gw_request *rq, struct gw_slice bytes)
{
    unsigned s = gw_signal_index(rq->hold->signal);
    uint32_t rows;

    if (gw_count_rows(rq->hold->signal, bytes, &rows) < 0)
        return;
    gw_metric_add(in->receiver->failed[s][gw_intake_transport(in, rq->meta)], rows);
    gw_metric_add(in->receiver->produced[s][ITEMS_FAILURE], rows);
}

void gw_intake_tell(struct ticket *k)
{
    struct gw_verdict v = verdict_of(&k->t);

    count_verdict(k, &v);
    if (k->home->base.on_verdict)
        k->home->base.on_verdict(k->home->base.local, &k->t.ack, &v);
    k->home->n_tickets--;
    (void)gw_ticket_unref(&k->t);
}

void gw_intake_deliver(struct worker *w)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&w->inbox), *next; i; i = next) {
        next = i->next;
        gw_intake_tell((struct ticket *)i);
    }
}
