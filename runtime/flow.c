/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows on their way: from node to node, out of ports, to several places at once, and into the dead letter port. All of
 * it runs to completion on the worker's thread.
 */
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/outline.h"
#include "queue/dead_letter.h"
#include "runtime/keep.h"

/* A longer row is not copied for the sake of its beginning. */
enum { MAX_SAMPLE_BYTES = 1 << 20 };
#define SAMPLE_EVERY_NS 1000000000u

static void run_node(struct node *n, struct gw_view *v);

static struct node *node_of(struct gw_ports *out)
{
    return (struct node *)out;
}

/* ---- going on --------------------------------------------------------------------------------------------- */

static void enter_chain(struct worker *w, unsigned pipeline, struct gw_view *v)
{
    struct chain *c = &w->running->chains[pipeline];

    v->pipeline = pipeline;
    w->line = w->stage = gw_page_of(w, c->book);
    w->line->n[GW_E_IN] += v->n_rows;
    if (c->n_nodes)
        run_node(&c->nodes[0], v);
    else
        gw_flow_run(w, v, c->pipeline->targets, c->pipeline->n_targets);
}

static void enter_edge(struct worker *w, const struct target *t, struct gw_view *v)
{
    struct share *sh = w->running;
    struct gw_edge_put how = {
        .scratch = &w->scratch,
        .ledger = &w->ledger,
        .reserved = &sh->reserved[t->index * GW_N_SIGNALS + gw_signal_index(v->batch->signal)],
        .batching = t->batching,
        .pipeline = sh->graph->pipelines[v->pipeline].id,
        .deadline_ns = w->deadline_ns,
        .from = {.book = t->book, .sender = w, .cut = w->cut_seen},
        .in_log = w->in_log,
    };
    struct node *before = w->current;

    w->line = NULL;
    w->stage = gw_page_of(w, t->book);
    w->stage->n[GW_E_IN] += v->n_rows;
    w->current = NULL; /* what the edge refuses is not the last processor's doing */
    if (t->reads_rows && gw_view_make_whole(v, w->pool) < 0)
        v->failed = true;
    gw_edge_put(sh->graph->instances[t->index]->edge, v, &how);
    w->current = before;
}

static void enter_log(struct worker *w, const struct target *t, struct gw_view *v)
{
    struct node *before = w->current;

    w->line = w->stage = NULL; /* what is in a log is in its own books */
    w->current = NULL;
    gw_wal_put(t->wal, v,
               &(struct gw_wal_put){&w->scratch, &w->ledger, w->running->reserved, t->ways, t->n_ways,
                                    .cut = w->cut_seen, .stage = w->running->chains[v->pipeline].staged});
    w->current = before;
}

static void enter(struct worker *w, const struct target *t, struct gw_view *v)
{
    struct gw_page *line = w->line, *stage = w->stage;
    struct node *joint;

    if (line)
        line->n[GW_E_OUT] += v->n_rows;
    switch (t->kind) {
    case TO_PIPELINE:
        enter_chain(w, t->index, v);
        break;
    case TO_EDGE:
        enter_edge(w, t, v);
        break;
    case TO_LOG:
        enter_log(w, t, v);
        break;
    case TO_CONNECTOR:
        joint = w->running->joints[t->index * GW_N_SIGNALS + gw_signal_index(v->batch->signal)];
        w->line = gw_page_of(w, joint->book);
        run_node(joint, v);
        break;
    }
    w->line = line;
    w->stage = stage;
}

/* A branch that cannot be made: its share of the rows is refused, the others go on. */
static void refuse_branch(struct worker *w, const struct gw_view *v)
{
    gw_book_settled(w, v->n_rows, GW_REFUSED);
    for (uint32_t i = 0; i < v->batch->n_segments; i++)
        if (v->batch->segments[i].ticket)
            gw_ticket_settle(v->batch->segments[i].ticket, gw_view_count(v, v->batch->segments[i].rows), GW_REFUSED,
                             "out of memory");
}

static void open_branches(const struct gw_view *v, unsigned more)
{
    for (uint32_t i = 0; i < v->batch->n_segments; i++) {
        const struct gw_segment *s = &v->batch->segments[i];

        if (s->ticket)
            gw_ticket_open(s->ticket, gw_view_count(v, s->rows) * more);
    }
}

/* Takes the view; n places get its rows, each with a verdict of its own. */
void gw_flow_run(struct worker *w, struct gw_view *v, const struct target *t, unsigned n)
{
    if (v->failed)
        gw_view_settle_all(v, &w->ledger, GW_REFUSED, "memory_limit", "out of memory");
    if (n == 0)
        gw_view_settle_all(v, &w->ledger, GW_DROPPED, "no_target", NULL);
    if (v->n_rows == 0) {
        gw_view_clear(v);
        return;
    }
    if (n > 1) {
        open_branches(v, n - 1);
        if (w->line)
            w->line->n[GW_E_CREATED] += (uint64_t)v->n_rows * (n - 1);
    }
    for (unsigned i = 0; i + 1 < n; i++) {
        struct gw_view branch;

        if (gw_view_clone(v, &w->arena, &branch) < 0)
            refuse_branch(w, v);
        else
            enter(w, &t[i], &branch);
    }
    enter(w, &t[n - 1], v);
}

static void consume(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;

    if (n->reads_rows && gw_view_make_whole(v, w->pool) < 0) {
        gw_view_settle_all(v, &w->ledger, GW_REFUSED, "memory_limit", "out of memory");
        gw_view_clear(v);
        return;
    }
    if (n->comp->type->consume)
        n->comp->type->consume(n->self, v, &n->ports);
    else
        gw_emit(&n->ports, 0, v);
}

/* What is behind the component's ports does not count. */
static void consume_timed(struct node *n, struct gw_view *v)
{
    struct gw_env *env = n->worker->engine->conf.env;
    uint64_t begin = gw_mono_ns(env);

    n->away_ns = 0;
    consume(n, v);
    gw_metric_observe(n->duration, (double)(gw_mono_ns(env) - begin - n->away_ns) * 1e-9);
}

void gw_flow_run_node(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;
    struct node *before = w->current;
    struct gw_page *stage = w->stage, *page = gw_page_of(w, n->book);
    uint64_t rows = v->n_rows, failed = n->own_failed, ended = gw_page_ended(page);

    if (rows == 0) {
        gw_view_clear(v);
        return;
    }
    gw_metric_add(n->incoming, rows);
    w->stage = page;
    w->current = n;
    if (n->duration)
        consume_timed(n, v);
    else
        consume(n, v);
    w->current = before;
    gw_node_surplus(n, ended, rows);
    w->stage = stage;
    failed = n->own_failed - failed;
    gw_metric_add(n->consumed, rows > failed ? rows - failed : 0);
    gw_metric_add(n->not_consumed, failed);
}

/* What the node cannot hand over it refuses. */
static void split(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;
    struct node *before = w->current;
    struct gw_page *stage = w->stage;

    w->stage = gw_page_of(w, n->book);
    w->current = n;
    gw_shuffle_split(n, v);
    w->current = before;
    w->stage = stage;
}

/* It goes the heir's way from here: what was kept leaves there, too. */
static void run_heir(struct node *n, struct gw_view *v)
{
    struct worker *w = n->worker;
    struct share *running = w->running;

    w->running = n->share;
    if (n->chain)
        v->pipeline = (uint32_t)(n->chain - n->share->chains);
    run_node(n, v);
    w->running = running;
}

static void run_node(struct node *n, struct gw_view *v)
{
    if (n->heir) {
        run_heir(n->heir, v);
        return;
    }
    gw_page_of(n->worker, n->book)->n[GW_E_IN] += v->n_rows;
    if (n->is_partitioned && v->n_rows && !v->failed)
        split(n, v);
    gw_flow_run_node(n, v);
}

static void go_on(struct node *n, unsigned port, struct gw_view *v)
{
    struct worker *w = n->worker;
    struct gw_page *stage = w->stage;

    if (gw_keep_swallows(n)) {
        gw_view_settle_all(v, &w->ledger, GW_ABSORBED, "again", NULL);
        gw_view_clear(v);
        return;
    }
    if (n->chain) { /* a connector's leave where its fan-out is counted */
        gw_page_of(w, n->book)->n[GW_E_OUT] += v->n_rows;
        v->pipeline = (uint32_t)(n->chain - n->share->chains); /* it may be a view of the component's own making */
    }
    w->stage = w->line; /* what is settled on the way is not the component's doing */
    if (port > 0) {
        if (port <= n->n_ports)
            gw_flow_run(w, v, n->outs[port - 1], n->n_outs[port - 1]);
        else
            gw_flow_run(w, v, NULL, 0);
        w->stage = stage;
        return;
    }
    gw_metric_add(n->outgoing, v->n_rows);
    gw_metric_add(n->produced, v->n_rows);
    if (n->chain && n->at + 1 < n->chain->n_nodes && !v->failed)
        run_node(&n->chain->nodes[n->at + 1], v);
    else if (n->made)
        gw_made_run(n, v);
    else
        gw_flow_run(w, v, n->next, n->n_next);
    w->stage = stage;
}

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    struct node *n = node_of(out);
    uint64_t begin = n->duration ? gw_mono_ns(n->worker->engine->conf.env) : 0;

    go_on(n, port, v);
    if (n->duration)
        n->away_ns += gw_mono_ns(n->worker->engine->conf.env) - begin;
}

/* ---- dead letters ----------------------------------------------------------------------------------------- */

/* The component's port of that name, from 1, or 0. */
static unsigned letter_port(const struct node *n)
{
    const char *const *names = n->comp->type->ports;

    for (unsigned i = 0; names && names[i]; i++)
        if (strcmp(names[i], "dead_letter") == 0 && i < n->n_ports && n->n_outs[i] > 0)
            return i + 1;
    return 0;
}

static struct gw_edge *edge_of(const struct node *n, const struct target *t)
{
    return n->share->graph->instances[t->index]->edge;
}

/* Room for one more record at every exporter of the port; all or none. */
static bool reserve_letter(struct node *n, unsigned port, size_t bytes)
{
    const struct target *t = n->outs[port - 1];
    unsigned i;

    for (i = 0; i < n->n_outs[port - 1]; i++) {
        struct gw_edge *e = t[i].kind == TO_EDGE ? edge_of(n, &t[i]) : NULL;
        uint64_t units = e ? gw_edge_units(e, n->n_letters == 0, 1, bytes) : 0;

        if (e && !gw_edge_reserve(e, GW_LOGS, units, /* wait= */ false))
            break;
        n->letter_units[i] += units;
    }
    if (i == n->n_outs[port - 1])
        return true;
    while (i-- > 0) {
        struct gw_edge *e = t[i].kind == TO_EDGE ? edge_of(n, &t[i]) : NULL;
        uint64_t units = e ? gw_edge_units(e, n->n_letters == 0, 1, bytes) : 0;

        n->letter_units[i] -= units;
        if (e)
            gw_edge_unreserve(e, GW_LOGS, units);
    }
    return false;
}

static bool write_letter(struct node *n, unsigned port, const struct gw_view *v, uint32_t row,
                         const struct gw_reject *why)
{
    struct worker *w = n->worker;
    struct gw_dead_letter d = {
        .class_ = "schema",
        .reason = why->rule,
        .message = why->message,
        .component = n->comp->id,
        .pipeline = n->ctx.pipeline,
        .receiver = v->batch->receiver,
        .config = n->share->graph->service->hash,
        .rule = why->rule,
        .field = why->field,
        .value = why->value,
        .signal = v->batch->signal,
        .rows = 1,
        .first_ns = v->batch->received_ns,
        .last_ns = gw_wall_ns(w->engine->conf.env),
        .meta = v->meta,
    };
    size_t before = n->letters.n;

    gw_buf_reset(&w->scratch);
    if (gw_encode_row(v, row, &w->scratch) < 0)
        return false;
    d.body = gw_buf_slice(&w->scratch);
    gw_dead_letter_put(w->engine->conf.env, &d, &n->letters);
    if (!n->letters.failed && reserve_letter(n, port, n->letters.n - before)) {
        n->n_letters++;
        w->letters = true;
        return true;
    }
    n->letters.n = before;
    n->letters.failed = false;
    return false;
}

static bool keeps_letters(const struct node *n, const struct target *t)
{
    return t->kind == TO_EDGE && gw_edge_keeps(edge_of(n, t));
}

/* Its request hears nothing before the letter is on disk, where it goes to one. */
static void hold_answer(struct node *n, unsigned port, const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    struct gw_ticket *t = b->n_segments ? b->segments[gw_batch_segment_of(b, row)].ticket : NULL;

    for (unsigned i = 0; t && i < n->n_outs[port - 1]; i++)
        if (keeps_letters(n, &n->outs[port - 1][i])) {
            gw_letter_wait_add(&n->waits, t);
            return;
        }
}

static void reject(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why)
{
    struct node *n = node_of(out);
    unsigned port = letter_port(n);
    bool written = port && write_letter(n, port, v, row, why);

    n->worker->is_letter = port != 0;
    if (written)
        hold_answer(n, port, v, row);
    /* Without a place for the letter the sender keeps the row: it is refused, not lost. */
    if (port && !written)
        gw_view_settle_row(v, &n->worker->ledger, row, GW_REFUSED, "dead_letter_full", "no room for dead letters");
    else
        gw_view_settle_row(v, &n->worker->ledger, row, GW_REJECTED, why->rule, why->message);
    n->worker->is_letter = false;
}

static bool has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    struct node *n = node_of(out);

    if (n->made)
        return gw_made_has_room(n, rows, bytes);
    return !n->chain || !n->chain->behind || gw_made_is_slack(n->chain->behind, rows, bytes);
}

static bool is_wired(struct gw_ports *out, unsigned port)
{
    const struct node *n = node_of(out);

    return port == 0 || (port <= n->n_ports && n->n_outs[port - 1] > 0);
}

static const char *pipeline(struct gw_ports *out, const struct gw_view *v)
{
    const struct graph *g = node_of(out)->share->graph;

    return v->pipeline < g->service->n_pipelines ? g->pipelines[v->pipeline].id : "";
}

static void found(struct gw_ports *out, uint32_t rows)
{
    gw_node_found(node_of(out), rows);
}

const struct gw_ports_ops gw_flow_ports_ops = {
    .emit = emit, .reject = reject, .found = found, .has_room = has_room, .is_wired = is_wired, .pipeline = pipeline};

static struct gw_metric *dropped(struct worker *w, struct node *n, enum gw_signal signal, const char *reason);

/* Their rows are booked as dead letters: that no letter tells of them is counted where it should have gone. */
static void lose_letters(struct node *n, const char *to)
{
    gw_metric_add(dropped(n->worker, n, GW_LOGS, "dead_letter_lost"), n->n_letters);
    gw_log(&n->ctx.logger, GW_LOG_ERROR, "%u dead letters could not be handed to %s", n->n_letters,
           to ? to : "a connector");
}

/* Letters for a connector are rows again. */
static void letters_as_view(struct node *n, const struct target *t, struct gw_slice body)
{
    struct worker *w = n->worker;
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_pool_get(w->pool, GW_LOGS);
    struct gw_view v;
    struct gw_ref at;

    if (!b) {
        lose_letters(n, NULL);
        return;
    }
    if (gw_batch_append(b, body, &at) == 0 && gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) == 0) {
        b->received_ns = gw_wall_ns(w->engine->conf.env);
        gw_view_init(&v, b, &w->arena);
        gw_flow_run(w, &v, t, 1);
    } else {
        lose_letters(n, NULL);
    }
    (void)gw_batch_unref(b);
}

/* receipt: of those who wait for them; or NULL. */
static void put_letters(struct node *n, const struct target *t, const uint64_t *units, struct gw_ticket *receipt)
{
    struct gw_slice body = gw_buf_slice(&n->letters);
    struct worker *w = n->worker;
    struct gw_put_from from = {.book = t->book, .sender = w, .page = GW_PAGE_WORKERS + w->index, .cut = w->cut_seen};

    if (t->kind != TO_EDGE) {
        letters_as_view(n, t, body);
        return;
    }
    if (receipt && keeps_letters(n, t)) {
        gw_ticket_open(receipt, n->n_letters);
        from.receipt = gw_ticket_ref(receipt);
    }
    if (gw_edge_put_bytes(edge_of(n, t), GW_LOGS, body, n->n_letters, units, &from))
        return;
    lose_letters(n, gw_edge_id(edge_of(n, t)));
    if (from.receipt) {
        gw_ticket_settle(from.receipt, n->n_letters, GW_REFUSED, NULL);
        (void)gw_ticket_unref(from.receipt);
    }
}

static void flush_node(struct node *n)
{
    unsigned port = letter_port(n);
    struct gw_ticket *receipt;

    if (n->n_letters == 0)
        return;
    receipt = gw_letter_wait_ticket(&n->waits);
    for (unsigned i = 0; i < n->n_outs[port - 1]; i++) {
        put_letters(n, &n->outs[port - 1][i], &n->letter_units[i], receipt);
        n->letter_units[i] = 0;
    }
    if (receipt)
        gw_letter_wait_posted(receipt);
    n->n_letters = 0;
    if (n->letters.cap > BATCH_BYTES)
        gw_buf_clear(&n->letters);
    else
        gw_buf_reset(&n->letters);
}

void gw_flow_flush_letters(struct worker *w)
{
    const struct share *sh = w->running;

    if (!w->letters)
        return;
    w->letters = false;
    for (size_t p = 0; p < sh->graph->service->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++)
            flush_node(&sh->chains[p].nodes[i]);
}

/* ---- the ledger ------------------------------------------------------------------------------------------- */

static struct gw_metric *dropped(struct worker *w, struct node *n, enum gw_signal signal, const char *reason)
{
    struct gw_label labels[] = {
        {"component", n ? n->comp->id : ""},
        {"pipeline", n && n->ctx.pipeline ? n->ctx.pipeline : ""},
        {"signal", gw_signal_name(signal)},
        {"reason", reason},
    };

    return gw_meter_get(w->engine->conf.meter, GW_COUNTER, "staunch_dropped_items",
                        "Items that left without reaching a sink, by reason.", labels, 4);
}

static bool leaves_for_good(enum gw_outcome outcome)
{
    return outcome == GW_DROPPED || outcome == GW_REJECTED || outcome == GW_FAILED;
}

/* NULL: the component has too many. */
static struct reason *reason_of(struct worker *w, struct node *n, enum gw_signal signal, const char *reason)
{
    for (unsigned i = 0; n && i < N_REASONS && strlen(reason) < REASON_BYTES; i++) {
        struct reason *r = &n->reasons[i];

        if (!r->text[0]) {
            strcpy(r->text, reason);
            r->signal = signal;
            r->dropped = dropped(w, n, signal, reason);
        }
        if (r->signal == signal && strcmp(r->text, reason) == 0)
            return r;
    }
    return NULL;
}

/* What leaves for good is counted with its reason. Refused rows are still the client's. */
void gw_flow_settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                     const char *reason)
{
    struct worker *w = (struct worker *)((char *)l - offsetof(struct worker, ledger));
    struct node *n = w->current;
    struct reason *r;

    gw_book_settled(w, rows, outcome);
    if (n && (outcome == GW_REFUSED || outcome == GW_FAILED))
        n->own_failed += rows;
    if (!leaves_for_good(outcome))
        return;
    reason = reason ? reason : "unknown";
    r = reason_of(w, n, v->batch->signal, reason);
    gw_metric_add(r ? r->dropped : dropped(w, n, v->batch->signal, reason), rows);
}

/* The last few are kept for looking at: the first ones as they come, then one a second. */
void gw_flow_sample(struct gw_ledger *l, const struct gw_view *v, uint32_t row, enum gw_outcome outcome,
                    const char *reason)
{
    struct worker *w = (struct worker *)((char *)l - offsetof(struct worker, ledger));
    struct node *n = w->current;
    struct reason *r = n && reason && leaves_for_good(outcome) ? reason_of(w, n, v->batch->signal, reason) : NULL;
    uint64_t now = r ? gw_loop_now_ns(w->loop) : 0;
    struct gw_buf one;

    if (!r || row >= v->batch->n_rows || (r->n_samples >= GW_SAMPLES_KEPT && now < r->sampled_ns + SAMPLE_EVERY_NS))
        return;
    r->n_samples += r->n_samples < GW_SAMPLES_KEPT;
    r->sampled_ns = now;
    gw_buf_init(&one, MAX_SAMPLE_BYTES);
    if (gw_encode_row(v, row, &one) == 0)
        gw_samples_keep(w->engine->samples,
                        &(struct gw_sample_reason){n->comp->id, n->ctx.pipeline, reason, v->batch->signal},
                        gw_wall_ns(w->engine->conf.env), gw_buf_slice(&one));
    gw_buf_clear(&one);
}
