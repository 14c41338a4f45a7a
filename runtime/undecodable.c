/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that cannot be decoded: their senders are told (INVALID_ARGUMENT), and the bodies are kept as dead letters,
 * so that an operator sees what came. A peer that sends nothing else must not fill the store: each worker keeps so many
 * a second (service::dead_letters), and of each so many bytes.
 *
 * Where the letter's place keeps what it takes (gw_edge_keeps), the client hears nothing before that, so that it does
 * not forget a body that nobody has. But not for ever: what is wrong with the store is no news for a client that will
 * not send this body again. There are no more such answers than letters that may be kept in that time.
 *
 *   letter ─► edge ─┬─ kept, or not ────┬─ whoever is first ─► the request's ticket ─► verdict
 *                   └─ WAIT_NS are over ┘
 */
#include <stdlib.h>

#include "queue/dead_letter.h"
#include "runtime/intake_impl.h"

enum { MAX_LETTER_BYTES = 1u << 30 };
static const uint64_t WAIT_NS = 1000000000;

/** Whose answer waits for its letter. */
struct bad_request {
    struct gw_ticket t;    /* first; of the letter: the edge's reference, and the worker's */
    struct ticket *client; /* gone with the answer */
    _Atomic bool told;
    struct gw_metric *count[N_UNDECODABLE]; /* copies: a reload may take the graph away */
    uint64_t due_ns;                        /* monotonic */
    struct bad_request *next;
};

static struct gw_edge *output(const struct intake *in)
{
    const struct graph *g = in->share->graph;
    const struct gw_service_component *c = g->service->dead_letter_output;
    struct instance *x = c ? g->instances[c->index] : NULL;

    return x ? x->edge : NULL;
}

/* A token bucket that holds a second's worth: when it would be empty again says how much is in it. */
static bool may_keep(struct worker *w, uint64_t per_second)
{
    uint64_t now = gw_loop_now_ns(w->loop), every = per_second ? 1000000000u / per_second : 0;

    if (per_second == 0)
        return false;
    if (w->undecodable_debt_ns < now)
        w->undecodable_debt_ns = now;
    if (w->undecodable_debt_ns > now + (per_second - 1) * every)
        return false;
    w->undecodable_debt_ns += every;
    return true;
}

/* receipt: of the one who waits for it, a reference that is used up; or NULL. */
static bool keep(struct intake *in, struct gw_edge *to, const struct gw_request *rq, int rc, const char *why,
                 struct gw_ticket *receipt)
{
    const struct gw_service *s = in->share->graph->service;
    struct gw_env *env = in->worker->engine->conf.env;
    uint64_t now = gw_wall_ns(env), most = s->dead_letters.max_request_kib << 10;
    struct gw_dead_letter d = {
        .class_ = rc == -E2BIG ? "limit_size" : "decode",
        .reason = rc == -E2BIG ? "limit" : "malformed",
        .message = why,
        .component = in->base.id,
        .receiver = in->base.id,
        .config = s->hash,
        .encoding = rq->encoding == GW_ENC_JSON ? "application/json" : NULL,
        .signal = rq->hold->signal,
        .first_ns = now,
        .last_ns = now,
        .meta = rq->meta,
        .body = rq->bytes,
    };
    struct worker *w = in->worker;
    const struct gw_book key = {.kind = GW_BOOK_EXPORTER, .signal = GW_LOGS, .component = gw_edge_id(to), .edge = to};
    const struct gw_put_from from = {.book = gw_edge_draws_from_logs(to) ? NULL : gw_books_of(w->engine, &key),
                                     .sender = w,
                                     .page = GW_PAGE_WORKERS + w->index,
                                     .cut = w->cut_seen,
                                     .receipt = receipt};
    struct gw_buf letter;
    bool kept;

    if (d.body.n > most) {
        d.whole_bytes = d.body.n;
        d.body.n = most;
    }
    gw_buf_init(&letter, MAX_LETTER_BYTES);
    gw_dead_letter_put(env, &d, &letter);
    kept = !letter.failed && gw_edge_put_bytes(to, GW_LOGS, gw_buf_slice(&letter), 1, NULL, &from);
    gw_buf_clear(&letter);
    if (!kept)
        (void)gw_ticket_unref(receipt);
    return kept;
}

/* ---- answers that wait ------------------------------------------------------------------------------------ */

/* From any thread: the first one says what the request is counted as. */
static void tell(struct bad_request *b, enum undecodable fate)
{
    if (atomic_exchange(&b->told, true))
        return;
    gw_metric_add(b->count[fate], 1);
    gw_ticket_settle(&b->client->t, 1, GW_FAILED, NULL);
}

static void on_settled(struct gw_ticket *t)
{
    tell((struct bad_request *)t, atomic_load(&t->worst) <= GW_REJECTED ? UNDECODABLE_KEPT : UNDECODABLE_NO_ROOM);
}

static void on_released(struct gw_ticket *t)
{
    free(t);
}

/* NULL: nobody waits: for want of memory, because what is taken there is not kept, or because a journal has it. */
static struct bad_request *wait_for_letter(struct intake *in, struct gw_edge *to, const struct gw_request *rq)
{
    struct bad_request *b = gw_edge_keeps(to) && !in->base.pipeline ? calloc(1, sizeof(*b)) : NULL;

    if (!b)
        return NULL;
    b->client = gw_ticket_of(in, rq);
    if (!b->client) {
        free(b);
        return NULL;
    }
    b->t.refs = 2;
    atomic_store(&b->t.open, 1);
    b->t.post = on_settled;
    b->t.release = on_released;
    memcpy(b->count, in->routes[gw_signal_index(rq->hold->signal)].undecodable, sizeof(b->count));
    b->due_ns = gw_loop_now_ns(in->worker->loop) + WAIT_NS;
    return b;
}

/* Before the letter is on its way. */
static void prepare_answer(struct bad_request *b, const char *why)
{
    atomic_store(&b->client->t.open, 2);
    gw_ticket_fail_with(&b->client->t, INVALID_ARGUMENT, 0);
    gw_ticket_settle(&b->client->t, 1, GW_FAILED, why);
}

static void join(struct intake *in, struct gw_request *rq, struct bad_request *b)
{
    struct worker *w = in->worker;

    *w->bad_last = b;
    w->bad_last = &b->next;
    in->n_tickets++;
    gw_intake_release(&in->base, rq->hold);
    (void)gw_payload_unref(rq->payload);
    gw_worker_arm(w, WAIT_NS);
}

void gw_undecodable_tell(struct worker *w, bool all)
{
    uint64_t now = gw_loop_now_ns(w->loop);

    while (w->bad && (all || atomic_load(&w->bad->told) || w->bad->due_ns <= now)) {
        struct bad_request *b = w->bad;

        w->bad = b->next;
        if (!w->bad)
            w->bad_last = &w->bad;
        tell(b, UNDECODABLE_LATE);
        (void)gw_ticket_unref(&b->t);
    }
    if (w->bad)
        gw_worker_arm(w, w->bad->due_ns - now);
}

/* True: its answer waits. */
static bool keep_and_wait(struct intake *in, struct gw_edge *to, struct gw_request *rq, int rc, const char *why,
                          enum undecodable *ret_fate)
{
    struct bad_request *b = wait_for_letter(in, to, rq);

    if (b)
        prepare_answer(b, why);
    *ret_fate = keep(in, to, rq, rc, why, b ? &b->t : NULL) ? UNDECODABLE_KEPT : UNDECODABLE_NO_ROOM;
    if (b && *ret_fate == UNDECODABLE_KEPT) {
        join(in, rq, b);
        return true;
    }
    if (b) {
        (void)gw_ticket_unref(&b->client->t);
        (void)gw_ticket_unref(&b->t);
    }
    return false;
}

/* Nobody can look at it elsewhere: the last ones can be seen in memory, one a second of each worker. */
static void sample(struct intake *in, const struct gw_request *rq)
{
    struct worker *w = in->worker;
    uint64_t now = gw_loop_now_ns(w->loop);

    if (now < w->undecodable_sampled_ns + 1000000000u && w->undecodable_sampled_ns)
        return;
    w->undecodable_sampled_ns = now;
    gw_samples_keep(w->engine->samples, &(struct gw_sample_reason){in->base.id, NULL, "undecodable", rq->hold->signal},
                    gw_wall_ns(w->engine->conf.env), rq->bytes);
}

bool gw_intake_undecodable(struct intake *in, struct gw_request *rq, int rc, const char *why)
{
    struct gw_metric *const *count = in->routes[gw_signal_index(rq->hold->signal)].undecodable;
    struct gw_edge *to = output(in);
    enum undecodable fate = UNDECODABLE_COUNTED;

    /* What is replayed is kept already, where it comes from. */
    if (to && gw_dead_letter_chain(rq->meta).n == 0) {
        if (!may_keep(in->worker, in->share->graph->service->dead_letters.requests_per_second))
            fate = UNDECODABLE_OVER_RATE;
        else if (keep_and_wait(in, to, rq, rc, why, &fate))
            return true;
    }
    if (fate == UNDECODABLE_COUNTED || fate == UNDECODABLE_NO_ROOM)
        sample(in, rq);
    gw_metric_add(count[fate], 1);
    return false;
}
