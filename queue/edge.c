/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "queue/burial.h"
#include "queue/edge_impl.h"
#include "queue/wal.h"

enum { CLOSE_TURNS = 500, BURIAL_TURNS = 50, CLOSE_WAIT_NS = 10000000, MAX_ENCODED_BYTES = 1u << 30 };

static struct gw_lane *lane_of(const struct gw_edge *e, enum gw_signal s)
{
    return (struct gw_lane *)(uintptr_t)&e->lanes[gw_signal_index(s)];
}

struct gw_lane *gw_edge_lane(const struct gw_edge *e, enum gw_signal s)
{
    return lane_of(e, s);
}

bool gw_edge_is_durable(const struct gw_edge *e)
{
    return e->conf.settings.queue.enabled && e->conf.settings.queue.storage && *e->conf.settings.queue.storage;
}

bool gw_edge_keeps(const struct gw_edge *e)
{
    return gw_edge_is_durable(e) || e->ops->keeps;
}

const char *gw_edge_storage(const struct gw_edge *e)
{
    return e->conf.settings.queue.storage;
}

void gw_edge_set_own_wal(struct gw_edge *e, enum gw_signal s, struct gw_wal *w)
{
    if (e->own[gw_signal_index(s)] != w)
        e->own[gw_signal_index(s)] = w;
}

/* ---- making and ending ------------------------------------------------------------------------------------ */

/* A queue that spills is bounded by what may lie on disk, whatever counts in memory. */
static void bound_by_bytes(struct gw_edge *e)
{
    struct gw_sending_queue_settings *q = &e->conf.settings.queue;

    if (gw_edge_is_durable(e) && q->on_full == GW_ON_FULL_SPILL && q->max_lag_bytes) {
        q->sizer = GW_SIZER_BYTES;
        q->queue_size = q->max_lag_bytes;
    }
}

int gw_edge_new(const struct gw_edge_conf *conf, struct gw_edge **ret)
{
    struct gw_edge *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    e->conf = *conf;
    e->home = gw_flight_scope();
    (void)snprintf(e->config, sizeof(e->config), "%s", conf->config ? conf->config : "");
    e->ops = conf->component->exporter;
    if (!e->ops->queued) { /* its settings have none of the keys: one attempt at a time behind a queue in memory */
        e->conf.settings.retry.enabled = false;
        e->conf.settings.timeout_ns = e->ops->default_timeout_ns;
    }
    e->own_batching = gw_queue_batching(&e->conf.settings);
    bound_by_bytes(e);
    e->waits = !e->conf.settings.queue.enabled || e->conf.settings.queue.wait_for_result;
    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        e->lanes[i].edge = e;
        e->lanes[i].signal = (enum gw_signal)(1u << i);
        e->lanes[i].pending_last = &e->lanes[i].pending;
        e->lanes[i].graves_last = &e->lanes[i].graves;
        if (conf->signals & e->lanes[i].signal)
            gw_edge_make_metrics(e, &e->lanes[i]);
    }
    gw_gate_init(e);
    *ret = e;
    return 0;
}

void gw_edge_add_signals(struct gw_edge *e, unsigned signals)
{
    for (unsigned i = 0; i < GW_N_SIGNALS; i++)
        if (signals & ~e->conf.signals & e->lanes[i].signal)
            gw_edge_make_metrics(e, &e->lanes[i]);
    e->conf.signals |= signals;
}

bool gw_edge_leads_to(const struct gw_edge *from, const struct gw_edge *to)
{
    if (from == to)
        return true;
    for (unsigned i = 0; i < from->n_dead_letters; i++)
        if (gw_edge_leads_to(from->dead_letters[i], to))
            return true;
    return false;
}

int gw_edge_add_dead_letter(struct gw_edge *e, struct gw_edge *to)
{
    if (gw_edge_leads_to(to, e))
        return -ELOOP;
    if (e->n_dead_letters == GW_EDGE_DEAD_LETTERS)
        return -E2BIG;
    e->dead_letters[e->n_dead_letters++] = to;
    return 0;
}

bool gw_edge_draws_from_logs(const struct gw_edge *e)
{
    return gw_edge_is_durable(e) && gw_edge_needs_thread(e);
}

bool gw_edge_needs_thread(const struct gw_edge *e)
{
    return !e->ops->swallow;
}

uint32_t gw_edge_home(const struct gw_edge *e)
{
    return e->home;
}

/* ---- counting --------------------------------------------------------------------------------------------- */

void gw_edge_count_dropped(struct gw_lane *l, const char *pipeline, uint32_t rows, const char *reason)
{
    const struct gw_label labels[] = {{"component", l->edge->conf.id},
                                      {"pipeline", pipeline},
                                      {"signal", gw_signal_name(l->signal)},
                                      {"reason", reason}};

    atomic_fetch_add_explicit(&l->dropped, rows, memory_order_relaxed);
    gw_metric_add(gw_meter_get(l->edge->conf.meter, GW_COUNTER, "staunch_dropped_items",
                               "Items that left without reaching a sink, by reason.", labels, 4),
                  rows);
}

void gw_edge_drop(struct gw_lane *l, struct gw_book *book, uint32_t rows, const char *reason)
{
    gw_book_add(book, GW_PAGE_EDGE, GW_E_DROPPED, rows);
    gw_edge_count_dropped(l, book ? book->pipeline : "", rows, reason);
}

struct gw_edge_counts gw_edge_counts(const struct gw_edge *e, enum gw_signal s)
{
    const struct gw_lane *l = lane_of(e, s);
    struct gw_edge_counts c = {.in = atomic_load(&l->in),
                               .delivered = atomic_load(&l->delivered),
                               .rejected = atomic_load(&l->rejected),
                               .dropped = atomic_load(&l->dropped),
                               .dead_lettered = atomic_load(&l->dead_lettered)};

    c.held = c.in - c.delivered - c.rejected - c.dropped - c.dead_lettered;
    c.stored = atomic_load(&l->lag_rows);
    return c;
}

void gw_edge_count_in(struct gw_lane *l, uint64_t rows)
{
    atomic_fetch_add_explicit(&l->in, rows, memory_order_relaxed);
}

static void count_taken(struct gw_lane *l, uint64_t rows)
{
    atomic_fetch_add_explicit(&l->in, rows, memory_order_relaxed);
    gw_metric_add(l->consumed, rows);
}

static void count_not_taken(struct gw_lane *l, uint64_t rows)
{
    gw_metric_add(l->enqueue_failed, rows);
    gw_metric_add(l->not_consumed, rows);
}

void gw_edge_count_refused(struct gw_edge *e, enum gw_signal s, uint64_t rows)
{
    count_not_taken(lane_of(e, s), rows);
}

/* ---- the worker's side ------------------------------------------------------------------------------------ */

void gw_edge_wake(struct gw_edge *e)
{
    struct gw_loop *loop = atomic_load(&e->loop);

    if (loop)
        gw_loop_wake(loop);
}

void gw_edge_push(struct gw_edge *e, struct gw_chunk *c)
{
    atomic_fetch_add(&e->n_chunks, 1);
    if (gw_inbox_push(&e->inbox, &c->item))
        gw_edge_wake(e);
}

static void enter(struct gw_lane *l, struct gw_chunk *c)
{
    count_taken(l, c->rows);
    if (l->enqueue_size) {
        gw_metric_observe(l->enqueue_size, c->rows);
        gw_metric_observe(l->enqueue_bytes, (double)c->body.n);
    }
    atomic_fetch_add_explicit(&l->queued, c->units, memory_order_relaxed);
    c->held_bytes = c->charged_bytes;
    atomic_fetch_add_explicit(&l->edge->held_bytes, c->held_bytes, memory_order_relaxed);
    gw_edge_push(l->edge, c);
}

/* A chunk with the view's rows, charged; NULL when there is no memory for it. */
static struct gw_chunk *encode(struct gw_edge *e, const struct gw_view *v, uint32_t receipts, struct gw_buf *scratch)
{
    bool whole = !e->ops->encode && gw_view_is_whole_payload(v);
    struct gw_chunk *c;
    size_t bytes;

    if (!whole) {
        gw_buf_reset(scratch);
        if ((e->ops->encode ? e->ops->encode(e->conf.self, v, scratch) : gw_encode(v, scratch)) < 0 || scratch->failed)
            return NULL;
    }
    bytes = whole ? v->batch->payload->n : scratch->n;
    if (!gw_credit_take(e->conf.memory, bytes))
        return NULL;
    c = gw_chunk_new(v->batch->signal, receipts, whole ? 0 : bytes);
    if (!c) {
        gw_credit_give(e->conf.memory, bytes);
        return NULL;
    }
    c->charged_bytes = bytes;
    c->rows = v->n_rows;
    c->arrived_ns = v->batch->received_ns;
    c->meta = v->meta ? gw_meta_ref(v->meta) : NULL;
    if (whole) {
        c->payload = gw_payload_ref(v->batch->payload);
        c->body = (struct gw_slice){c->payload->p, bytes};
    } else if (bytes) {
        memcpy((uint8_t *)(uintptr_t)c->body.p, scratch->p, bytes);
    }
    return c;
}

static void swallow(struct gw_lane *l, struct gw_view *v, struct gw_ledger *ledger)
{
    uint32_t rows = v->n_rows;

    count_taken(l, rows);
    atomic_fetch_add_explicit(&l->delivered, rows, memory_order_relaxed);
    gw_metric_add(l->sent, rows);
    l->edge->ops->swallow(l->edge->conf.self, v);
    gw_view_settle_all(v, ledger, GW_DELIVERED, "delivered", NULL);
}

void gw_edge_put(struct gw_edge *e, struct gw_view *v, const struct gw_edge_put *how)
{
    struct gw_lane *l = lane_of(e, v->batch->signal);
    struct gw_wal *own = e->own[gw_signal_index(v->batch->signal)];
    struct gw_chunk *c = NULL;

    if (own) {
        gw_wal_put(own, v,
                   &(struct gw_wal_put){.scratch = how->scratch,
                                        .ledger = how->ledger,
                                        .reserved = how->reserved,
                                        .ways = &(struct gw_wal_way){e, 0},
                                        .n_ways = 1,
                                        .cut = how->from.cut});
        return;
    }
    if (v->n_rows == 0 || e->ops->swallow) {
        if (v->n_rows)
            swallow(l, v, how->ledger);
        gw_view_clear(v);
        return;
    }
    if (!v->failed)
        c = encode(e, v, e->waits || how->in_log ? v->batch->n_segments : 0, how->scratch);
    if (!c) {
        count_not_taken(l, v->n_rows);
        gw_view_settle_all(v, how->ledger, GW_REFUSED, "memory_limit", "data refused due to high memory usage");
        gw_view_clear(v);
        return;
    }
    if (gw_edge_is_bounded(e)) {
        uint64_t ours;

        c->units = gw_edge_units(e, gw_view_requests(v), c->rows, c->body.n);
        ours = c->units < *how->reserved ? c->units : *how->reserved;
        *how->reserved -= ours;
        atomic_fetch_add(&l->used, c->units - ours);
    }
    c->batching = how->batching;
    c->pipeline = how->pipeline;
    c->book = how->from.book;
    c->sender = how->from.sender;
    c->in_log = how->in_log;
    c->is_patient = how->in_log && !e->waits;
    if (e->waits || how->in_log) {
        c->deadline_ns = how->deadline_ns;
        c->n_receipts = gw_view_receipts(v, c->receipts);
    } else {
        gw_view_settle_all(v, how->ledger, GW_STORED, "queued", NULL);
    }
    gw_view_clear(v);
    enter(l, c);
}

/* OTLP bytes into what the exporter's encode makes of them. */
int gw_edge_reencode(struct gw_edge *e, enum gw_signal s, struct gw_slice body, struct gw_buf *out)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(s);
    struct gw_arena arena;
    struct gw_view v;
    struct gw_ref at;
    int rc;

    if (!b)
        return -ENOMEM;
    rc = gw_batch_append(b, body, &at);
    if (rc == 0)
        rc = gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL);
    if (rc == 0) {
        b->received_ns = gw_wall_ns(e->conf.env);
        gw_arena_init(&arena, 4096, 64u << 20);
        gw_view_init(&v, b, &arena);
        rc = e->ops->encode(e->conf.self, &v, out);
        gw_view_clear(&v);
        gw_arena_clear(&arena);
    }
    (void)gw_batch_unref(b);
    if (rc == 0)
        rc = gw_buf_error(out);
    return rc == -ENOMEM || out->starved ? -ENOMEM : rc < 0 ? -EBADMSG : 0;
}

static struct gw_chunk *bytes_chunk(struct gw_edge *e, enum gw_signal s, struct gw_slice body, uint32_t n_rows,
                                    struct gw_ticket *receipt)
{
    struct gw_chunk *c = NULL;

    if (!gw_credit_take(e->conf.memory, body.n))
        return NULL;
    c = gw_chunk_new(s, receipt != NULL, body.n);
    if (!c) {
        gw_credit_give(e->conf.memory, body.n);
        return NULL;
    }
    memcpy((uint8_t *)(uintptr_t)c->body.p, body.p, body.n);
    c->rows = n_rows;
    c->charged_bytes = body.n;
    c->arrived_ns = gw_wall_ns(e->conf.env);
    c->is_patient = receipt != NULL;
    if (receipt)
        c->receipts[c->n_receipts++] = (struct gw_receipt){receipt, n_rows};
    return c;
}

bool gw_edge_put_bytes(struct gw_edge *e, enum gw_signal s, struct gw_slice body, uint32_t n_rows,
                       const uint64_t *reserved, const struct gw_put_from *from)
{
    static const struct gw_put_from nobody = {0};
    struct gw_lane *l = lane_of(e, s);
    uint64_t units = reserved ? *reserved : gw_edge_units(e, 1, n_rows, body.n);
    struct gw_chunk *c = NULL;
    struct gw_buf out;

    from = from ? from : &nobody;
    if (e->ops->swallow) {
        count_taken(l, n_rows);
        gw_book_add(from->book, from->page, GW_E_IN, n_rows);
        gw_book_add(from->book, from->page, GW_E_OUT, n_rows);
        atomic_fetch_add_explicit(&l->delivered, n_rows, memory_order_relaxed);
        gw_metric_add(l->sent, n_rows);
        if (from->receipt) {
            gw_ticket_settle(from->receipt, n_rows, GW_DELIVERED, NULL);
            (void)gw_ticket_unref(from->receipt);
        }
        return true;
    }
    if (!reserved && !gw_edge_reserve(e, s, units, /* wait= */ false))
        return false;
    if (e->own[gw_signal_index(s)]) {
        bool taken = gw_wal_put_bytes(e->own[gw_signal_index(s)], e, body, n_rows, from);

        gw_edge_unreserve(e, s, units); /* it took its own */
        if (!taken)
            count_not_taken(l, n_rows);
        return taken;
    }
    gw_buf_init(&out, MAX_ENCODED_BYTES);
    if (!e->ops->encode)
        c = bytes_chunk(e, s, body, n_rows, from->receipt);
    else if (gw_edge_reencode(e, s, body, &out) == 0)
        c = bytes_chunk(e, s, gw_buf_slice(&out), n_rows, from->receipt);
    gw_buf_clear(&out);
    if (!c) {
        gw_edge_unreserve(e, s, units);
        count_not_taken(l, n_rows);
        return false;
    }
    c->units = gw_edge_is_bounded(e) ? units : 0;
    c->book = from->book;
    c->sender = from->sender;
    gw_book_add(from->book, from->page, GW_E_IN, n_rows);
    enter(l, c);
    return true;
}

/* ---- the exporter's thread -------------------------------------------------------------------------------- */

static void take_in(struct gw_edge *e)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&e->inbox), *next; i; i = next) {
        struct gw_chunk *c = (struct gw_chunk *)i;

        e->taking = next = i->next;
        if (c->marker) {
            gw_held_marker(e, c);
            continue;
        }
        if (e->cut)
            gw_held_late(e, c);
        if (c->feed)
            gw_feed_take(c->feed, c);
        else
            gw_batcher_add(lane_of(e, c->signal), c);
    }
}

static void on_turn(struct gw_hook *h)
{
    struct gw_edge *e = (struct gw_edge *)((char *)h - offsetof(struct gw_edge, hook));

    for (struct gw_feed *x = e->feeds; x; x = x->next)
        gw_feed_look(x); /* before the inbox, where the marks of a picture are */
    if (!gw_inbox_is_empty(&e->inbox))
        take_in(e);
    if (!gw_inbox_is_empty(&e->buried))
        gw_burial_take_in(e);
    if (!e->hurried && atomic_load_explicit(&e->draining, memory_order_relaxed)) {
        e->hurried = true;
        for (unsigned i = 0; i < GW_N_SIGNALS; i++)
            gw_sender_hurry(&e->lanes[i]);
    }
    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        if (e->lanes[i].open && atomic_load_explicit(&e->draining, memory_order_relaxed))
            gw_batcher_flush_all(&e->lanes[i]);
        if (e->lanes[i].pending || e->lanes[i].gate.n_ready)
            gw_sender_pump(&e->lanes[i]);
    }
    for (struct gw_feed *x = e->feeds; x; x = x->next)
        gw_feed_turn(x);
    for (unsigned i = 0; i < GW_N_SIGNALS && e->feeds; i++) /* what was read goes in the same turn */
        if (e->lanes[i].pending)
            gw_sender_pump(&e->lanes[i]);
}

int gw_edge_open(struct gw_edge *e, struct gw_loop *loop, struct gw_err *err)
{
    int rc = e->ops->open ? e->ops->open(e->conf.self, loop, err) : 0;

    if (rc < 0)
        return rc;
    e->opened = true;
    e->hook.run = on_turn;
    gw_loop_add_hook(loop, &e->hook);
    atomic_store(&e->loop, loop);
    gw_loop_wake(loop); /* for what came before */
    return 0;
}

void gw_edge_drain(struct gw_edge *e)
{
    struct gw_loop *loop = atomic_load(&e->loop);

    atomic_store(&e->draining, true);
    if (loop)
        gw_loop_wake(loop);
}

/* The sink is away: what waits on disk can wait there for the next start. */
static bool is_hopeless(const struct gw_edge *e)
{
    bool failing = false;

    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        if (atomic_load(&e->lanes[i].sending))
            return false;
        failing |= atomic_load(&e->lanes[i].failing);
    }
    return failing;
}

bool gw_edge_is_dry(const struct gw_edge *e)
{
    for (const struct gw_feed *s = e->feeds; s; s = s->next)
        if (!gw_feed_is_in_step(s) || gw_suspects_wait(&s->suspects))
            return false;
    return atomic_load(&e->n_chunks) == 0;
}

bool gw_edge_is_empty(const struct gw_edge *e)
{
    return (e->feeds && atomic_load(&e->draining) && is_hopeless(e)) || gw_edge_is_dry(e);
}

bool gw_edge_is_at_rest(const struct gw_edge *e)
{
    return atomic_load(&e->n_chunks) == 0 || (e->feeds && is_hopeless(e));
}

bool gw_edge_is_settled(const struct gw_edge *e)
{
    for (const struct gw_feed *s = e->feeds; s; s = s->next)
        if (atomic_load(&s->n_settling))
            return false;
    return true;
}

static bool has_jobs(const struct gw_edge *e)
{
    return e->lanes[0].jobs || e->lanes[1].jobs || e->lanes[2].jobs;
}

/* Whoever was closed before may have left something here. */
static void send_the_rest(struct gw_edge *e, struct gw_loop *loop)
{
    for (unsigned turn = 0; turn < CLOSE_TURNS; turn++) {
        take_in(e);
        for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
            gw_batcher_flush_all(&e->lanes[i]);
            gw_sender_pump(&e->lanes[i]);
        }
        if (gw_edge_is_empty(e))
            return;
        gw_loop_turn(loop, CLOSE_WAIT_NS);
    }
}

void gw_edge_close(struct gw_edge *e)
{
    struct gw_loop *loop = atomic_load(&e->loop);

    if (!e->opened)
        return;
    if (e->ops->finishes)
        send_the_rest(e, loop);
    e->closing = true;
    for (unsigned turn = 0; turn < CLOSE_TURNS; turn++) {
        take_in(e);
        for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
            gw_batcher_flush_all(&e->lanes[i]);
            gw_sender_cut(&e->lanes[i]);
        }
        if (!has_jobs(e) && (!e->burials || turn >= BURIAL_TURNS))
            break;
        gw_loop_turn(loop, CLOSE_WAIT_NS);
    }
    gw_burial_forget_all(e);
    for (struct gw_feed *s = e->feeds; s; s = s->next)
        gw_feed_stop(s);
    for (unsigned i = 0; i < GW_N_SIGNALS && e->feeds; i++)
        if (atomic_load(&e->lanes[i].lag_rows))
            gw_log(&e->conf.logger, GW_LOG_INFO, "%llu %s stay on disk for the next start",
                   (unsigned long long)atomic_load(&e->lanes[i].lag_rows), gw_signal_item_name(e->lanes[i].signal));
    if (e->ops->close)
        e->ops->close(e->conf.self);
    gw_loop_remove_hook(loop, &e->hook);
    atomic_store(&e->loop, NULL);
    e->opened = false;
}

void gw_edge_free(struct gw_edge *e)
{
    if (!e)
        return;
    for (struct gw_inbox_item *i = gw_inbox_take(&e->inbox), *next; i; i = next) {
        struct gw_chunk *c = (struct gw_chunk *)i;

        next = i->next;
        if (c->marker) {
            free(c);
            continue;
        }
        if (c->feed && c->seq != GW_LOG_END) {
            gw_chunk_free(e, c);
            continue;
        }
        gw_edge_drop(lane_of(e, c->signal), c->book, c->rows, "shutdown");
        gw_chunk_settle(c, 0, GW_REFUSED, 14, 0, "the gateway stopped");
        gw_edge_done(lane_of(e, c->signal), c);
    }
    for (struct gw_feed *x = e->feeds, *next; x; x = next) {
        next = x->next;
        gw_feed_free(x);
    }
    for (unsigned i = 0; i < GW_N_SIGNALS; i++) {
        gw_metric_unread(e->lanes[i].lag_bytes_metric, &e->lanes[i]);
        gw_metric_unread(e->lanes[i].lag_rows_metric, &e->lanes[i]);
        gw_metric_unread(e->lanes[i].size, &e->lanes[i]);
        gw_metric_unread(e->lanes[i].flying, &e->lanes[i]);
    }
    free(e);
}
