/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "queue/feed_impl.h"
#include "queue/meta_bytes.h"
#include "queue/wal.h"

/* ---- making ----------------------------------------------------------------------------------------------- */

struct find {
    uint32_t id;
    const char *name; /* or by that */
    struct gw_log_consumer found;
};

static void find_consumer(void *arg, const struct gw_log_consumer *c)
{
    struct find *f = arg;

    if (f->name ? strcmp(c->name, f->name) == 0 : c->id == f->id)
        f->found = *c;
}

/* What an earlier process left: it counts as held from the first moment. */
static void take_over(struct gw_feed *s, const struct gw_log_consumer *c, const struct gw_log_stats *st)
{
    struct gw_lane *l = s->lane;
    uint64_t frames = st->end_seq > c->low ? st->end_seq - c->low : 0,
             rows = st->end_row - c->low_row > c->ahead_rows ? st->end_row - c->low_row - c->ahead_rows : 0;
    uint64_t all = st->end_row - st->first_row,
             bytes = all ? (uint64_t)((double)st->bytes * (double)(st->end_row - c->low_row) / (double)all) : 0;
    uint64_t units = gw_edge_units(s->edge, frames, rows, bytes);

    if (frames == 0)
        return;
    s->backlog = (struct gw_backlog){st->end_seq, rows, units, bytes};
    gw_edge_count_in(l, rows);
    atomic_fetch_add(&l->lag_rows, rows);
    atomic_fetch_add(&l->lag_bytes, bytes);
    atomic_fetch_add(&l->queued, units);
    gw_edge_take_units(s->edge, l->signal, units);
    gw_log(&s->edge->conf.logger, GW_LOG_INFO, "going on with %llu %s that wait on disk", (unsigned long long)rows,
           gw_signal_item_name(l->signal));
}

static struct gw_book *book_of(const struct gw_edge *e, const struct gw_wal_conf *wal)
{
    const struct gw_book key = {
        .kind = GW_BOOK_EXPORTER, .signal = wal->signal, .pipeline = wal->pipeline, .component = e->conf.id, .edge = e};

    return e->conf.book ? e->conf.book(e->conf.arg, &key) : NULL;
}

void gw_feed_forget(struct gw_feed *s)
{
    if (s->is_new)
        (void)gw_log_consumer_release(s->log, s->edge->conf.id);
}

int gw_feed_new(struct gw_edge *e, const struct gw_wal_conf *wal, struct gw_feed **ret, struct gw_err *err)
{
    struct gw_log *log = wal->log;
    struct gw_feed *s = calloc(1, sizeof(*s));
    struct find before = {.name = e->conf.id};
    struct gw_log_stats st;
    int rc;

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    *s = (struct gw_feed){.log = log,
                          .edge = e,
                          .lane = gw_edge_lane(e, wal->signal),
                          .batching = wal->batching,
                          .pipeline = wal->pipeline,
                          .suspects = {.flight = wal->flight, .log = wal->flight_log}};
    (void)gw_log_consumers(log, find_consumer, &before);
    s->is_new = !before.found.id;
    rc = gw_log_consumer_open(log, e->conf.id, GW_LOG_FROM_END, &s->consumer);
    if (rc < 0) {
        free(s);
        return gw_fail(err, rc, "its place in the queue on disk cannot be kept: %s", strerror(-rc));
    }
    gw_log_stats(log, &st);
    memcpy(s->log_id, st.uuid, sizeof(s->log_id));
    s->book = book_of(e, wal);
    if (e->conf.book && !s->book) {
        gw_feed_forget(s);
        free(s);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    s->next = e->feeds;
    e->feeds = s;
    *ret = s;
    return 0;
}

struct gw_log_consumer gw_feed_consumer(const struct gw_feed *s)
{
    struct find f = {.id = s->consumer};

    (void)gw_log_consumers(s->log, find_consumer, &f);
    return f.found;
}

uint64_t gw_feed_activate(struct gw_feed *s, uint64_t end_seq, uint64_t end_row)
{
    struct gw_log_consumer c = gw_feed_consumer(s);
    struct gw_log_stats st;

    gw_log_stats(s->log, &st);
    st.end_seq = end_seq > c.low ? end_seq : c.low;
    st.end_row = end_row > c.low_row ? end_row : c.low_row;
    s->next_row = c.low_row;
    s->ahead_rows = c.ahead_rows;
    atomic_store(&s->next_seq, c.low);
    atomic_store(&s->end_seq, st.end_seq);
    atomic_store(&s->behind, c.low < st.end_seq);
    take_over(s, &c, &st);
    gw_suspects_load(s);
    atomic_store(&s->owns, true);
    atomic_store(&s->active, true);
    gw_edge_wake(s->edge);
    return st.end_row - c.low_row - c.ahead_rows;
}

void gw_feed_free(struct gw_feed *s)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&s->failed), *next; i; i = next) {
        next = i->next;
        free(i);
    }
    for (struct gw_tab *t = s->unsettled, *next; t; t = next) {
        next = t->next;
        gw_tab_free(t);
    }
    gw_suspects_clear(&s->suspects);
    gw_log_reader_free(s->reader);
    free(s->settles);
    free(s);
}

bool gw_feed_is_in_step(const struct gw_feed *s)
{
    return atomic_load(&s->next_seq) >= atomic_load(&s->end_seq);
}

/* ---- from the log's writer -------------------------------------------------------------------------------- */

/* Writers of two logs at once may both find no room for a moment: what they have is read back, then. */
static bool take_window(struct gw_edge *e, uint64_t bytes)
{
    uint64_t used = atomic_fetch_add(&e->window_bytes, bytes);

    if (used == 0 || used + bytes <= e->conf.settings.queue.max_memory_bytes)
        return true;
    atomic_fetch_sub(&e->window_bytes, bytes);
    return false;
}

struct gw_chunk *gw_feed_chunk(struct gw_feed *s, const struct gw_log_frame *f, struct gw_payload *pl)
{
    struct gw_chunk *c = gw_chunk_of_payload(s->lane->signal, pl);

    if (!c)
        return NULL;
    c->rows = f->rows;
    c->arrived_ns = f->time_ns;
    c->batching = s->batching;
    c->pipeline = s->pipeline;
    c->book = s->book;
    c->feed = s;
    c->seq = f->seq;
    c->lag_bytes = f->body.n;
    c->window_bytes = pl->n;
    c->charged_bytes = pl->n;
    gw_credit_copy(s->edge->conf.memory, pl->n);
    return c;
}

static bool hand_over(struct gw_feed *s, const struct gw_committed *m)
{
    struct gw_edge *e = s->edge;
    struct gw_chunk *c;

    if (atomic_load(&s->behind) || !take_window(e, m->payload->n))
        return false;
    c = gw_feed_chunk(s, m->frame, m->payload);
    if (!c) {
        atomic_fetch_sub(&e->window_bytes, m->payload->n);
        return false;
    }
    c->meta = gw_meta_ref(m->meta);
    c->units = m->units;
    gw_edge_push(e, c);
    return true;
}

void gw_feed_push(struct gw_feed *s, const struct gw_committed *m)
{
    struct gw_lane *l = s->lane;
    bool handed;

    gw_edge_count_in(l, m->frame->rows);
    gw_metric_add(l->consumed, m->frame->rows);
    atomic_fetch_add_explicit(&l->queued, m->units, memory_order_relaxed);
    atomic_fetch_add(&l->lag_rows, m->frame->rows);
    atomic_fetch_add(&l->lag_bytes, m->frame->body.n);
    gw_metric_observe(l->enqueue_size, m->frame->rows);
    gw_metric_observe(l->enqueue_bytes, (double)m->frame->body.n);
    handed = hand_over(s, m); /* first: a frame that is counted and not there yet would be read from the log */
    atomic_store(&s->end_seq, m->frame->seq + 1);
    if (!handed)
        gw_edge_wake(s->edge);
}

bool gw_feed_push_unstored(struct gw_feed *s, const struct gw_committed *m)
{
    struct gw_log_frame f = *m->frame;
    struct gw_lane *l = s->lane;
    struct gw_chunk *c;

    gw_edge_count_in(l, f.rows);
    gw_metric_add(l->consumed, f.rows);
    atomic_fetch_add_explicit(&l->queued, m->units, memory_order_relaxed);
    f.seq = GW_LOG_END; /* no place */
    atomic_fetch_add(&s->edge->window_bytes, m->payload->n);
    c = gw_feed_chunk(s, &f, m->payload);
    if (!c) {
        atomic_fetch_sub(&s->edge->window_bytes, m->payload->n);
        gw_edge_count_dropped(l, s->pipeline ? s->pipeline : "", f.rows, "memory");
        gw_edge_forget(l, m->units, 0);
        return false;
    }
    c->lag_bytes = 0;
    c->meta = gw_meta_ref(m->meta);
    c->units = m->units;
    c->cut = m->cut;
    gw_edge_push(s->edge, c);
    return true;
}

/* ---- on the exporter's thread ----------------------------------------------------------------------------- */

struct gw_payload *gw_feed_copy(struct gw_slice body)
{
    struct gw_payload *pl = gw_payload_new(body.n);

    if (!pl)
        return NULL;
    if (body.n)
        memcpy(pl->p, body.p, body.n);
    pl->n = (uint32_t)body.n;
    return pl;
}

static struct gw_payload *reencoded(struct gw_feed *s, const struct gw_chunk *c, int *ret_rc)
{
    struct gw_payload *pl = NULL;
    struct gw_buf out;

    gw_buf_init(&out, GW_FEED_MAX_PART_BYTES);
    *ret_rc = gw_edge_reencode(s->edge, c->signal, c->body, &out);
    if (*ret_rc == 0 && !(pl = gw_feed_copy(gw_buf_slice(&out))))
        *ret_rc = -ENOMEM;
    gw_buf_clear(&out);
    return pl;
}

/* The body as this exporter wants it. */
static struct gw_chunk *translate(struct gw_feed *s, struct gw_chunk *c, int *ret_rc)
{
    struct gw_payload *pl = reencoded(s, c, ret_rc);
    struct gw_chunk *t = pl ? gw_chunk_of_payload(c->signal, pl) : NULL;
    struct gw_edge *e = s->edge;

    (void)gw_payload_unref(pl);
    if (pl && !t)
        *ret_rc = -ENOMEM;
    if (!t)
        return NULL;
    t->rows = c->rows;
    t->units = c->units;
    t->arrived_ns = c->arrived_ns;
    t->batching = c->batching;
    t->pipeline = c->pipeline;
    t->book = c->book;
    t->meta = gw_meta_ref(c->meta);
    t->lag_bytes = c->lag_bytes;
    t->charged_bytes = t->body.n;
    gw_credit_copy(e->conf.memory, t->charged_bytes);
    t->window_bytes = t->body.n;
    atomic_fetch_add(&e->window_bytes, t->window_bytes);
    t->tab = c->tab;
    c->tab = NULL;
    gw_chunk_free(e, c);
    return t;
}

bool gw_feed_accept(struct gw_feed *s, struct gw_chunk *c)
{
    struct gw_chunk *t = c;
    int rc = -ENOMEM;

    if (s->edge->ops->encode && !(s->suspects.asks && s->suspects.is_raw))
        t = translate(s, c, &rc);
    if (!t && rc == -ENOMEM)
        return false;
    if (!t) { /* nothing that the exporter could send; trying again would not help */
        gw_tab_count(c->tab, GW_LOG_DROPPED, c->rows);
        gw_edge_drop(s->lane, c->book, c->rows, "encode");
        gw_edge_sample(s->lane, c->book, "encode", c->body, GW_BODY_OTLP);
        gw_edge_done(s->lane, c);
        return true;
    }
    t->feed = NULL;
    if (s->suspects.asks)
        s->suspects.made = t;
    else
        gw_batcher_add(s->lane, t);
    return true;
}

void gw_feed_discard(struct gw_feed *s, struct gw_chunk *c)
{
    gw_tab_disown(c->tab);
    gw_chunk_free(s->edge, c);
    atomic_fetch_sub(&s->edge->n_chunks, 1);
}

void gw_feed_look(struct gw_feed *s)
{
    s->limit_seq = atomic_load(&s->end_seq);
}

static bool accept_working(struct gw_feed *s, struct gw_chunk *c)
{
    struct gw_working w;
    uint32_t before;
    bool ok;

    gw_working_begin(&w, s->edge, c->tab, /* waited_for= */ false, gw_suspects_crashes(&s->suspects));
    before = gw_flight_enter(w.scope);
    ok = gw_feed_accept(s, c);
    (void)gw_flight_enter(before);
    gw_working_end(&w);
    return ok;
}

void gw_feed_take(struct gw_feed *s, struct gw_chunk *c)
{
    struct gw_log_place p = {s, c->seq, 0, c->rows, c->rows, c->arrived_ns};

    if (c->seq == GW_LOG_END) {
        if (!gw_feed_accept(s, c)) {
            gw_edge_drop(s->lane, c->book, c->rows, "memory");
            gw_edge_sample(s->lane, c->book, "memory", c->body, GW_BODY_OTLP);
            gw_edge_done(s->lane, c);
        }
        return;
    }
    if (c->seq != atomic_load(&s->next_seq) || !(c->tab = gw_tab_new(1))) { /* it is read, or will be */
        atomic_store(&s->behind, true);
        gw_feed_discard(s, c);
        return;
    }
    gw_tab_add(c->tab, &p);
    if (!accept_working(s, c)) {
        atomic_store(&s->behind, true);
        gw_feed_discard(s, c);
        return;
    }
    s->next_row += p.rows;
    atomic_store(&s->next_seq, p.seq + 1);
}

/* ---- a turn ----------------------------------------------------------------------------------------------- */

void gw_feed_turn(struct gw_feed *s)
{
    gw_feed_settle_again(s);
    if (!s->edge->closing && atomic_load(&s->active)) {
        gw_feed_read(s);
        gw_suspects_turn(s);
    }
    gw_feed_settle_soon(s);
}

void gw_feed_stop(struct gw_feed *s)
{
    gw_feed_settle_kept(s);
    if (s->unsettled)
        atomic_store(&s->unnoted, true);
    gw_feed_flush(s);
    gw_feed_forget_again(s);
    gw_timer_disarm(&s->timer);
    gw_timer_disarm(&s->settle_timer);
    gw_timer_disarm(&s->again_timer);
    gw_suspects_stop(s);
}
