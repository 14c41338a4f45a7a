/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that cannot be decoded: their senders are told (INVALID_ARGUMENT), and the bodies are kept as dead letters,
 * so that an operator sees what came. A peer that sends nothing else must not fill the store: each worker keeps so many
 * a second (service::dead_letters), and of each so many bytes.
 */
#include "queue/dead_letter.h"
#include "runtime/graph.h"

enum { MAX_LETTER_BYTES = 1u << 30 };

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

static bool keep(struct intake *in, struct gw_edge *to, const struct gw_request *rq, int rc, const char *why)
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
                                     .cut = w->cut_seen};
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
    return kept;
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

void gw_intake_undecodable(struct intake *in, const struct gw_request *rq, int rc, const char *why)
{
    struct gw_metric *const *count = in->routes[gw_signal_index(rq->hold->signal)].undecodable;
    struct gw_edge *to = output(in);
    enum undecodable fate = UNDECODABLE_COUNTED;

    /* What is replayed is kept already, where it comes from. */
    if (to && gw_dead_letter_chain(rq->meta).n == 0) {
        if (!may_keep(in->worker, in->share->graph->service->dead_letters.requests_per_second))
            fate = UNDECODABLE_OVER_RATE;
        else
            fate = keep(in, to, rq, rc, why) ? UNDECODABLE_KEPT : UNDECODABLE_NO_ROOM;
    }
    if (fate == UNDECODABLE_COUNTED || fate == UNDECODABLE_NO_ROOM)
        sample(in, rq);
    gw_metric_add(count[fate], 1);
}
