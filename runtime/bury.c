/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a connector has and nobody may work on: to the dead letters as they are, with a verdict when they are kept.
 */
#include "queue/dead_letter.h"
#include "runtime/intake_impl.h"

enum { MAX_LETTER_BYTES = 1u << 30 };

static struct gw_edge *output(const struct intake *in)
{
    const struct graph *g = in->share->graph;
    const struct gw_service_component *c = g->service->dead_letter_output;
    struct instance *x = c ? g->instances[c->index] : NULL;

    return x ? x->edge : NULL;
}

static void count(struct intake *in, enum gw_signal s, const struct gw_buried *b, bool dropped)
{
    struct gw_page *page = gw_page_of(in->worker, in->books[gw_signal_index(s)]);
    struct gw_meter *m = in->worker->engine->conf.meter;
    const struct gw_label letter[] = {{"component", in->base.id}, {"signal", gw_signal_name(s)}, {"reason", b->reason}};
    const struct gw_label drop[] = {{"component", in->base.id},
                                    {"pipeline", in->base.pipeline ? in->base.pipeline : ""},
                                    {"signal", gw_signal_name(s)},
                                    {"reason", b->reason}};

    page->n[GW_E_IN] += b->rows;
    page->n[dropped ? GW_E_DROPPED : GW_E_DEAD_LETTERED] += b->rows;
    gw_metric_add(dropped ? gw_meter_get(m, GW_COUNTER, "staunch_dropped_items",
                                         "Items that left without reaching a sink, by reason.", drop, 4)
                          : gw_meter_get(m, GW_COUNTER, "staunch_dead_letter_items",
                                         "Items that a sink will never take and that were written to the dead letter "
                                         "port.",
                                         letter, 3),
                  b->rows);
}

static void write_letter(const struct intake *in, const struct gw_request *rq, const struct gw_buried *b,
                         struct gw_buf *out)
{
    struct gw_env *env = in->worker->engine->conf.env;
    const struct gw_dead_letter d = {
        .class_ = "poison",
        .reason = b->reason,
        .message = b->message,
        .component = in->base.id,
        .pipeline = in->base.pipeline,
        .config = in->share->graph->service->hash,
        .signal = rq->hold->signal,
        .rows = b->rows,
        .attempts = b->attempts,
        .first_ns = b->first_ns,
        .last_ns = gw_wall_ns(env),
        .meta = rq->meta,
        .body = rq->bytes,
    };

    gw_buf_init(out, MAX_LETTER_BYTES);
    gw_dead_letter_put(env, &d, out);
}

/* The receipt is the request's ticket: one row, which is the letter. */
static bool post(struct intake *in, struct gw_edge *to, struct gw_slice letter, struct ticket *k)
{
    struct worker *w = in->worker;
    const struct gw_book key = {.kind = GW_BOOK_EXPORTER, .signal = GW_LOGS, .component = gw_edge_id(to), .edge = to};
    const struct gw_put_from from = {.book = gw_edge_draws_from_logs(to) ? NULL : gw_books_of(w->engine, &key),
                                     .sender = w,
                                     .cut = w->cut_seen,
                                     .page = GW_PAGE_WORKERS + w->index,
                                     .receipt = gw_ticket_ref(&k->t)};

    if (gw_edge_put_bytes(to, GW_LOGS, letter, 1, NULL, &from))
        return true;
    (void)gw_ticket_unref(from.receipt);
    return false;
}

int gw_intake_bury(struct gw_intake *base, struct gw_request *rq, const struct gw_buried *b)
{
    struct intake *in = (struct intake *)base;
    struct gw_edge *to = output(in);
    struct ticket *k = to ? gw_ticket_of(in, rq) : NULL;
    struct gw_buf letter;
    bool kept;

    if (!to) {
        count(in, rq->hold->signal, b, /* dropped= */ true);
        return 1;
    }
    if (!k)
        return -EBUSY;
    k->t.rows = b->rows;
    atomic_store(&k->t.open, 1);
    write_letter(in, rq, b, &letter);
    kept = !letter.failed && post(in, to, gw_buf_slice(&letter), k);
    gw_buf_clear(&letter);
    if (!kept) {
        (void)gw_ticket_unref(&k->t);
        return -EBUSY;
    }
    in->n_tickets++;
    count(in, rq->hold->signal, b, /* dropped= */ false);
    return 0;
}
