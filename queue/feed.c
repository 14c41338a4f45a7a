/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/feed.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/rows.h"
#include "queue/edge_impl.h"
#include "queue/meta_bytes.h"
#include "queue/wal.h"

enum { READ_TURN_BYTES = 4 << 20, MAX_SETTLES = 4096, MAX_PART_BYTES = 1u << 30 };
#define AGAIN_NS        100000000u
#define SETTLE_PAUSE_NS 10000000u
#define LATE_NS         5000000u
#define READ_BACK_NS    1000000000u

static struct gw_loop *loop_of(const struct gw_feed *s)
{
    return atomic_load_explicit(&s->edge->loop, memory_order_relaxed);
}

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
    if (!s)
        return;
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

static bool take_window(struct gw_edge *e, uint64_t bytes)
{
    uint64_t max = e->conf.settings.queue.max_memory_bytes,
             used = atomic_load_explicit(&e->window_bytes, memory_order_relaxed);

    do {
        if (used > 0 && used + bytes > max)
            return false;
    } while (!atomic_compare_exchange_weak(&e->window_bytes, &used, used + bytes));
    return true;
}

/* A chunk whose body is the payload's; its bytes are in the window already. */
static struct gw_chunk *make_chunk(struct gw_feed *s, const struct gw_log_frame *f, struct gw_payload *pl)
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
    c = make_chunk(s, m->frame, m->payload);
    if (!c) {
        atomic_fetch_sub(&e->window_bytes, m->payload->n);
        return false;
    }
    c->meta = m->meta ? gw_meta_ref(m->meta) : NULL;
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
    if (l->enqueue_size) {
        gw_metric_observe(l->enqueue_size, m->frame->rows);
        gw_metric_observe(l->enqueue_bytes, (double)m->frame->body.n);
    }
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
    c = make_chunk(s, &f, m->payload);
    if (!c) {
        atomic_fetch_sub(&s->edge->window_bytes, m->payload->n);
        gw_edge_count_dropped(l, s->pipeline ? s->pipeline : "", f.rows, "memory");
        gw_edge_forget(l, m->units, 0);
        return false;
    }
    c->lag_bytes = 0;
    c->meta = m->meta ? gw_meta_ref(m->meta) : NULL;
    c->units = m->units;
    c->cut = m->cut;
    gw_edge_push(s->edge, c);
    return true;
}

/* ---- settling --------------------------------------------------------------------------------------------- */

struct settling {
    struct gw_log_commit c; /* first, and its item first of all: it may stand in an inbox */
    struct gw_feed *feed;
    struct gw_log_settle settles[];
};

static void on_settled(struct gw_log_commit *c, int rc)
{
    struct settling *t = (struct settling *)c;
    struct gw_feed *s = t->feed;

    if (rc == 0 || rc == -ESHUTDOWN) {
        free(t);
        (void)atomic_fetch_sub(&s->n_settling, 1); /* the last that is done with the feed */
        return;
    }
    gw_log(&s->edge->conf.logger, GW_LOG_WARN,
           "what was sent cannot be noted on disk: %s; after a crash it would be sent again", strerror(-rc));
    atomic_store(&s->unnoted, true);
    (void)gw_inbox_push(&s->failed, &c->item);
    gw_edge_wake(s->edge);
    (void)atomic_fetch_sub(&s->n_settling, 1);
}

void gw_feed_flush(struct gw_feed *s)
{
    struct settling *t;

    if (s->n_settles == 0)
        return;
    t = calloc(1, sizeof(*t) + s->n_settles * sizeof(t->settles[0]));
    if (!t)
        return; /* the next turn tries again */
    t->feed = s;
    memcpy(t->settles, s->settles, s->n_settles * sizeof(t->settles[0]));
    t->c = (struct gw_log_commit){.settles = t->settles, .n_settles = s->n_settles, .done = on_settled};
    s->n_settles = 0;
    s->settled_ns = gw_mono_ns(s->edge->conf.env);
    (void)atomic_fetch_add(&s->n_settling, 1);
    gw_log_submit(s->log, &t->c);
}

/* Whole frames in a row with one outcome are one settlement, and so are rows of one frame. */
static bool joins(struct gw_log_settle *last, const struct gw_log_place *p, enum gw_log_outcome outcome)
{
    bool whole = p->rows == p->frame_rows;

    if (last->outcome != outcome)
        return false;
    if (last->rows == 0 && whole && p->seq == last->last_seq + 1) {
        last->last_seq = p->seq;
        return true;
    }
    if (last->rows && last->seq == p->seq && last->first_row + last->rows == p->first) {
        last->rows += p->rows;
        if (last->rows == last->frame_rows)
            last->rows = last->first_row = 0;
        return true;
    }
    return false;
}

static bool make_room(struct gw_feed *s)
{
    unsigned cap = s->cap_settles ? 2 * s->cap_settles : 16;
    struct gw_log_settle *more;

    if (s->n_settles < s->cap_settles)
        return true;
    more = realloc(s->settles, cap * sizeof(*more));
    if (!more) { /* perhaps there is enough for what there is */
        gw_feed_flush(s);
        return s->n_settles < s->cap_settles;
    }
    s->settles = more;
    s->cap_settles = cap;
    return true;
}

bool gw_feed_settle(struct gw_feed *s, const struct gw_log_place *p, enum gw_log_outcome outcome)
{
    bool joined = s->n_settles && joins(&s->settles[s->n_settles - 1], p, outcome);

    if (!joined && !make_room(s))
        return false;
    atomic_fetch_sub(&s->lane->lag_rows, p->rows);
    if (joined)
        return true;
    s->settles[s->n_settles++] = (struct gw_log_settle){
        .consumer = s->consumer,
        .outcome = (uint8_t)outcome,
        .seq = p->seq,
        .last_seq = p->seq,
        .first_row = p->rows == p->frame_rows ? 0 : p->first,
        .rows = p->rows == p->frame_rows ? 0 : p->rows,
        .frame_rows = p->frame_rows,
    };
    if (s->n_settles >= MAX_SETTLES)
        gw_feed_flush(s);
    return true;
}

/* ---- what could not be done at once ------------------------------------------------------------------------- */

void gw_feed_keep_unsettled(struct gw_feed *s, struct gw_tab *t)
{
    t->next = s->unsettled;
    s->unsettled = t;
}

/* Once each: what still does not fit comes back. */
static void settle_kept(struct gw_feed *s)
{
    struct gw_tab *t = s->unsettled;

    s->unsettled = NULL;
    for (struct gw_tab *next; t; t = next) {
        next = t->next;
        gw_tab_settle(t);
    }
}

void gw_feed_leave(struct gw_feed *s, uint32_t rows, uint32_t told)
{
    s->left_rows += rows;
    if (told)
        atomic_store(&s->unnoted, true);
}

uint64_t gw_feed_taken(const struct gw_feed *s)
{
    return s->next_row + s->ahead_rows - s->left_rows;
}

/* ---- on the exporter's thread ----------------------------------------------------------------------------- */

static struct gw_payload *copy_body(struct gw_slice body)
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

    gw_buf_init(&out, MAX_PART_BYTES);
    *ret_rc = gw_edge_reencode(s->edge, c->signal, c->body, &out);
    if (*ret_rc == 0 && !(pl = copy_body(gw_buf_slice(&out))))
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

    if (pl && !t)
        *ret_rc = -ENOMEM;
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
    t->meta = c->meta ? gw_meta_ref(c->meta) : NULL;
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

/* Into the batcher, with its place. False: no memory; the frame is to be read again. */
static bool accept(struct gw_feed *s, struct gw_chunk *c)
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

/* Something is there to be read in this turn. */
static bool may_read(const struct gw_feed *s)
{
    return atomic_load(&s->next_seq) < s->limit_seq;
}

static bool accept_working(struct gw_feed *s, struct gw_chunk *c)
{
    struct gw_working w;
    uint32_t before;
    bool ok;

    gw_working_begin(&w, s->edge, c->tab, /* waited_for= */ false, gw_suspects_crashes(&s->suspects));
    before = gw_flight_enter(w.scope);
    ok = accept(s, c);
    (void)gw_flight_enter(before);
    gw_working_end(&w);
    return ok;
}

void gw_feed_take(struct gw_feed *s, struct gw_chunk *c)
{
    struct gw_log_place p = {s, c->seq, 0, c->rows, c->rows, c->arrived_ns};

    if (c->seq == GW_LOG_END) {
        if (!accept(s, c)) {
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

/* ---- what an earlier process left -------------------------------------------------------------------------- */

/* A part of the estimate is replaced by what is true. */
static void replace(struct gw_feed *s, uint64_t est_units, uint64_t est_bytes, uint64_t units, uint64_t bytes)
{
    struct gw_lane *l = s->lane;

    s->backlog.units -= est_units;
    s->backlog.bytes -= est_bytes;
    atomic_fetch_add_explicit(&l->queued, units, memory_order_relaxed);
    atomic_fetch_add(&l->lag_bytes, bytes);
    gw_edge_take_units(s->edge, l->signal, units);
    gw_edge_forget(l, est_units, est_bytes);
}

static void correct(struct gw_feed *s, const struct gw_log_frame *f, uint32_t rows, uint64_t units)
{
    struct gw_backlog *b = &s->backlog;
    double part;

    if (f->seq >= b->end_seq || f->seq < s->corrected_seq)
        return;
    part = rows < b->rows ? (double)rows / (double)b->rows : 1;
    b->rows -= rows < b->rows ? rows : b->rows;
    replace(s, (uint64_t)((double)b->units * part), (uint64_t)((double)b->bytes * part), units, f->body.n);
}

/* Everything of it has been read, or was settled. */
static void forget_backlog(struct gw_feed *s)
{
    if (s->backlog.end_seq == 0 || atomic_load(&s->next_seq) < s->backlog.end_seq)
        return;
    replace(s, s->backlog.units, s->backlog.bytes, 0, 0);
    s->backlog.end_seq = 0;
}

/* ---- reading back ----------------------------------------------------------------------------------------- */

static void on_again(struct gw_timer *t)
{
    (void)t; /* the turn's hook goes on */
}

static void pause(struct gw_feed *s, uint64_t ns)
{
    s->timer.fire = on_again;
    gw_timer_arm(loop_of(s), &s->timer, gw_loop_now_ns(loop_of(s)) + ns);
}

static int place_reader(struct gw_feed *s)
{
    struct gw_log_reader_conf conf = {.consumer = s->consumer};
    uint64_t next = atomic_load(&s->next_seq);
    int rc = s->reader ? 0 : gw_log_reader_new(s->log, &conf, &s->reader);

    if (rc == 0 && s->reader_seq != next)
        rc = gw_log_seek(s->reader, GW_LOG_PARTITIONS, next);
    if (rc == 0)
        s->reader_seq = next;
    return rc;
}

/* Some of its rows are settled: the others alone. */
static struct gw_payload *open_part(const struct gw_feed *s, const struct gw_log_entry *en)
{
    struct gw_payload *pl = NULL;
    struct gw_rows rows;
    struct gw_buf out;

    if (gw_rows_init(&rows, en->frame.rows) < 0)
        return NULL;
    for (unsigned i = 0; i < en->n_open; i++)
        for (uint32_t r = 0; r < en->open[i].rows; r++)
            (void)gw_rows_add(&rows, en->open[i].first + r);
    gw_buf_init(&out, MAX_PART_BYTES);
    if (gw_rows_extract(s->lane->signal, en->frame.body, &rows, &out) == 0)
        pl = copy_body(gw_buf_slice(&out));
    gw_buf_clear(&out);
    gw_rows_clear(&rows);
    return pl;
}

static struct gw_tab *tab_of(struct gw_feed *s, const struct gw_log_entry *en, uint32_t *ret_rows)
{
    struct gw_tab *t = gw_tab_new(en->n_open ? en->n_open : 1);

    for (unsigned i = 0; t && i < en->n_open; i++)
        gw_tab_add(t, &(struct gw_log_place){s, en->frame.seq, en->open[i].first, en->open[i].rows, en->frame.rows,
                                             en->frame.time_ns});
    *ret_rows = t ? t->n_rows : 0;
    return t;
}

/* One frame becomes a chunk. NULL: no memory for it now. */
static struct gw_chunk *read_chunk(struct gw_feed *s, const struct gw_log_entry *en, uint64_t *ret_requests)
{
    bool whole = en->n_open == 1 && en->open[0].rows == en->frame.rows;
    struct gw_payload *pl = whole ? copy_body(en->frame.body) : open_part(s, en);
    struct gw_edge *e = s->edge;
    struct gw_chunk *c = NULL;

    if (pl)
        atomic_fetch_add(&e->window_bytes, pl->n);
    if (pl && !(c = make_chunk(s, &en->frame, pl)))
        atomic_fetch_sub(&e->window_bytes, pl->n);
    (void)gw_payload_unref(pl);
    if (!c)
        return NULL;
    atomic_fetch_add(&e->n_chunks, 1);
    c->tab = tab_of(s, en, &c->rows);
    if (!c->tab || gw_meta_from_bytes(en->frame.meta, ret_requests, &c->meta) < 0) {
        gw_feed_discard(s, c);
        return NULL;
    }
    return c;
}

/* Figures of the whole frame, but for a piece of a suspect: that has none, see pass_over. */
static void count_read(struct gw_feed *s, const struct gw_log_entry *en, uint64_t requests, struct gw_chunk *c)
{
    if (s->suspects.asks) {
        c->lag_bytes = 0;
        return;
    }
    c->units = gw_edge_units(s->edge, requests, en->frame.rows, en->frame.body.n);
    correct(s, &en->frame, c->rows, c->units);
}

static bool read_in(struct gw_feed *s, const struct gw_log_entry *en)
{
    uint64_t requests = 1;
    struct gw_chunk *c = read_chunk(s, en, &requests);

    if (!c)
        return false;
    count_read(s, en, requests, c);
    if (accept(s, c))
        return true;
    gw_feed_discard(s, c); /* once more: its figures are true already */
    if (!s->suspects.asks)
        s->corrected_seq = en->frame.seq + 1;
    return false;
}

static uint64_t open_rows(const struct gw_log_entry *en)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < en->n_open; i++)
        n += en->open[i].rows;
    return n;
}

bool gw_feed_read_in(struct gw_feed *s, const struct gw_log_entry *en)
{
    struct gw_working w;
    uint32_t before;
    bool ok;

    gw_working_begin_frame(&w, s, en);
    before = gw_flight_enter(w.scope);
    ok = read_in(s, en);
    (void)gw_flight_enter(before);
    gw_working_end(&w);
    if (ok && s->suspects.asks) /* they were left there */
        s->left_rows -= open_rows(en);
    return ok;
}

static void drop_lost(struct gw_feed *s, uint64_t rows, uint64_t before_seq)
{
    char text[96];

    if (rows == 0)
        return;
    (void)snprintf(text, sizeof(text), "%llu items before frame %llu could not be read", (unsigned long long)rows,
                   (unsigned long long)before_seq);
    gw_edge_drop(s->lane, s->book, (uint32_t)rows, "log_damaged");
    gw_edge_sample(s->lane, s->book, "log_damaged", gw_slice_cstr(text), GW_BODY_TEXT);
    atomic_fetch_sub(&s->lane->lag_rows, rows);
    gw_log(&s->edge->conf.logger, GW_LOG_ERROR, "%llu items were damaged on disk and are lost",
           (unsigned long long)rows);
}

/* What the reader tells of it may be told again when it begins anew before the same frame. */
static void note_lost(struct gw_feed *s, const struct gw_log_entry *en)
{
    s->lost_here = en->lost_rows > s->lost_here ? en->lost_rows : s->lost_here;
}

/* It may be what the gateway crashed of: it is tried later, and takes no units while it waits. */
static void pass_over(struct gw_feed *s, const struct gw_log_entry *en)
{
    uint32_t rows = (uint32_t)open_rows(en);

    correct(s, &en->frame, rows, 0);
    atomic_fetch_sub(&s->lane->lag_bytes, en->frame.seq < s->backlog.end_seq ? en->frame.body.n : 0);
    gw_feed_leave(s, rows, 0);
}

/*
 * The frame is taken. Rows on the way to it, or of it, that are not open were settled before the feed was activated, or
 * lost: before that, which is counted, or since. Which of these they are is not known for each, but how many there are
 * of the former is; so the lost ones are counted last.
 */
static void pass(struct gw_feed *s, const struct gw_log_entry *en)
{
    uint64_t end = en->frame.row + en->frame.rows, shut = end - s->next_row - open_rows(en), known, lost;

    known = shut < s->ahead_rows ? shut : s->ahead_rows;
    s->ahead_rows -= known;
    s->lost_rows += s->lost_here;
    lost = shut - known < s->lost_rows ? shut - known : s->lost_rows;
    s->lost_rows -= lost;
    s->lost_here = 0;
    drop_lost(s, lost, en->frame.seq);
    s->next_row = end;
    s->reader_seq = en->frame.seq + 1;
    atomic_store(&s->next_seq, en->frame.seq + 1);
}

/* This frame is read again. */
static void once_more(struct gw_feed *s)
{
    s->reader_seq = GW_LOG_END;
    pause(s, AGAIN_NS);
}

/* True: the last frame that may be read can be seen, so that a reader that gives nothing has passed all. */
static bool see_last(struct gw_feed *s, struct gw_log_entry *ret)
{
    const struct gw_log_reader_conf everything = {0};
    struct gw_log_reader *r;
    bool yes;

    if (gw_log_reader_new(s->log, &everything, &r) < 0)
        return false;
    yes = gw_log_seek(r, GW_LOG_PARTITIONS, s->limit_seq - 1) == 0 && gw_log_next(r, ret) == 1 &&
          ret->frame.seq == s->limit_seq - 1;
    gw_log_reader_free(r);
    ret->open = NULL;
    ret->n_open = 0;
    return yes;
}

/* 1: *en, which has no open rows when all the rest is settled. 0: there is none now. Errors: negative errno. */
static int next_entry(struct gw_feed *s, struct gw_log_entry *en)
{
    struct gw_log_entry last = {0};
    int rc = place_reader(s);

    if (rc == 0)
        rc = gw_log_next(s->reader, en);
    if (rc != 0 || !see_last(s, &last))
        return rc;
    rc = gw_log_next(s->reader, en); /* it was not there before */
    if (rc != 0)
        return rc;
    *en = last;
    return 1;
}

/* 1: one more frame, or none at all any more. 0: not now. */
static int read_one(struct gw_feed *s, size_t *ret_bytes)
{
    struct gw_log_entry en = {0};
    int rc = next_entry(s, &en);

    if (rc <= 0) {
        if (rc < 0)
            gw_log(&s->edge->conf.logger, GW_LOG_ERROR, "reading the queue on disk: %s; trying again", strerror(-rc));
        pause(s, rc < 0 ? AGAIN_NS : LATE_NS);
        return 0;
    }
    note_lost(s, &en);
    *ret_bytes = en.n_open ? en.frame.body.n : 0;
    if (en.n_open && gw_suspects_hold(&s->suspects, en.frame.seq)) {
        pass_over(s, &en);
    } else if (en.n_open && !gw_feed_read_in(s, &en)) {
        once_more(s);
        return 0;
    }
    pass(s, &en);
    return 1;
}

static bool has_window(const struct gw_edge *e)
{
    return atomic_load_explicit(&e->window_bytes, memory_order_relaxed) < e->conf.settings.queue.max_memory_bytes;
}

static void read_on(struct gw_feed *s)
{
    size_t bytes = 0, n = 0;

    while (may_read(s) && !gw_timer_is_armed(&s->timer) && has_window(s->edge)) {
        if (bytes >= READ_TURN_BYTES) {
            gw_loop_wake(loop_of(s));
            return;
        }
        if (read_one(s, &n) == 0)
            return;
        bytes += n;
    }
    if (!gw_feed_is_in_step(s) || !atomic_load(&s->behind))
        return;
    atomic_store(&s->behind, false);
    if (!gw_feed_is_in_step(s)) { /* one more came meanwhile, without its body */
        atomic_store(&s->behind, true);
        gw_loop_wake(loop_of(s));
    }
}

/* ---- reading again ------------------------------------------------------------------------------------------ */

bool gw_feed_is_closing(const struct gw_feed *s)
{
    return s->edge->closing;
}

void gw_feed_lend(struct gw_feed *s, uint32_t rows, uint32_t told)
{
    s->left_rows += rows;
    gw_book_add(s->book, GW_PAGE_EDGE, GW_E_CREATED, told);
    gw_edge_count_in(s->lane, told);
}

void gw_feed_again(struct gw_feed *s, struct gw_tab *t)
{
    if (!s->again)
        s->again_ns = gw_loop_now_ns(loop_of(s)) + READ_BACK_NS;
    t->next = s->again;
    s->again = t;
    atomic_fetch_add(&s->edge->n_chunks, 1); /* an edge with rows to come is not empty */
}

static void drop_first(struct gw_feed *s)
{
    struct gw_tab *t = s->again;

    s->again = t->next;
    gw_tab_free(t);
    atomic_fetch_sub(&s->edge->n_chunks, 1);
}

/* Some rows of a frame that this edge had before: its units and bytes were given back then. False: not now. */
static bool read_place(struct gw_feed *s, const struct gw_log_place *p)
{
    struct gw_log_open_rows only = {p->first, p->rows};
    struct gw_log_reader_conf conf = {.consumer = s->consumer};
    int rc = s->reader ? 0 : gw_log_reader_new(s->log, &conf, &s->reader);
    uint64_t requests;
    struct gw_log_entry en;
    struct gw_chunk *c;

    s->reader_seq = GW_LOG_END;
    if (rc == 0)
        rc = gw_log_seek(s->reader, GW_LOG_PARTITIONS, p->seq);
    if (rc == 0)
        rc = gw_log_next(s->reader, &en);
    if (rc < 0)
        return false;
    if (rc == 0 || en.frame.seq != p->seq) { /* the log had to let it go */
        s->left_rows -= p->rows;
        drop_lost(s, p->rows, p->seq + 1);
        return true;
    }
    en.open = &only;
    en.n_open = 1;
    c = read_chunk(s, &en, &requests);
    if (!c)
        return false;
    c->lag_bytes = 0;
    if (!accept(s, c)) {
        gw_feed_discard(s, c);
        return false;
    }
    s->left_rows -= p->rows;
    return true;
}

static bool read_tab(struct gw_tab *t)
{
    struct gw_log_place p;
    uint32_t end;

    while (gw_tab_undealt(t, &p, &end)) {
        if (!read_place(p.feed, &p))
            return false;
        t->n_dealt = end;
    }
    return true;
}

static void read_again(struct gw_feed *s)
{
    uint64_t now = gw_loop_now_ns(loop_of(s));

    while (s->again && now >= s->again_ns && has_window(s->edge)) {
        if (read_tab(s->again))
            drop_first(s);
        else
            s->again_ns = now + READ_BACK_NS;
    }
    if (s->again && !gw_timer_is_armed(&s->again_timer)) {
        s->again_timer.fire = on_again;
        gw_timer_arm(loop_of(s), &s->again_timer, s->again_ns > now ? s->again_ns : now + AGAIN_NS);
    }
}

void gw_feed_stop(struct gw_feed *s)
{
    settle_kept(s);
    if (s->unsettled)
        atomic_store(&s->unnoted, true);
    gw_feed_flush(s);
    while (s->again)
        drop_first(s);
    gw_timer_disarm(&s->timer);
    gw_timer_disarm(&s->settle_timer);
    gw_timer_disarm(&s->again_timer);
    gw_suspects_stop(s);
}

/* ---- the oldest go ---------------------------------------------------------------------------------------- */

static bool is_too_far_behind(const struct gw_feed *s)
{
    const struct gw_sending_queue_settings *q = &s->edge->conf.settings.queue;

    return q->on_full == GW_ON_FULL_DROP_OLDEST &&
           atomic_load_explicit(&s->lane->lag_bytes, memory_order_relaxed) > q->max_lag_bytes;
}

/* False: no memory to note it. */
static bool drop_rows(struct gw_feed *s, const struct gw_log_entry *en)
{
    struct gw_lane *l = s->lane;
    uint64_t requests = 1, units;
    uint32_t rows;
    struct gw_tab *t = tab_of(s, en, &rows);
    struct gw_meta *meta;

    if (!t)
        return false;
    gw_tab_count(t, GW_LOG_DROPPED, rows);
    (void)gw_tab_unref(t);
    gw_edge_drop(l, s->book, rows, "queue_overflow");
    gw_edge_sample(l, s->book, "queue_overflow", en->frame.body, GW_BODY_OTLP);
    (void)gw_meta_from_bytes(en->frame.meta, &requests, &meta);
    (void)gw_meta_unref(meta);
    units = gw_edge_units(s->edge, requests, en->frame.rows, en->frame.body.n);
    correct(s, &en->frame, rows, units);
    gw_edge_forget(l, units, en->frame.body.n);
    return true;
}

/* What is in memory is older than what is on disk only, and goes first; what is being sent is not touched. */
static void drop_oldest(struct gw_feed *s)
{
    struct gw_log_entry en;

    while (is_too_far_behind(s) && gw_sender_drop_oldest(s->lane, "queue_overflow"))
        ;
    while (is_too_far_behind(s) && may_read(s) && place_reader(s) == 0 && gw_log_next(s->reader, &en) == 1) {
        note_lost(s, &en);
        if (!drop_rows(s, &en)) {
            once_more(s);
            return;
        }
        pass(s, &en);
    }
}

/* ---- a turn ----------------------------------------------------------------------------------------------- */

static void settle_again(struct gw_feed *s)
{
    struct gw_inbox_item *i;

    if (gw_inbox_is_empty(&s->failed) || gw_timer_is_armed(&s->timer))
        return;
    pause(s, AGAIN_NS); /* at most so often */
    for (i = gw_inbox_take(&s->failed); i;) {
        struct gw_inbox_item *next = i->next;

        (void)atomic_fetch_add(&s->n_settling, 1);
        gw_log_submit(s->log, (struct gw_log_commit *)i);
        i = next;
    }
}

/*
 * Each commit wakes the log's writer, and frames that were sent one by one are one settlement together. So what was
 * settled waits a moment for more, when the last time was just now: a crash may send again what was sent in it.
 */
static void settle_soon(struct gw_feed *s)
{
    uint64_t now = gw_loop_now_ns(loop_of(s)), due = s->settled_ns + SETTLE_PAUSE_NS;

    if (s->unsettled)
        settle_kept(s);
    if (s->n_settles == 0 && !s->unsettled)
        return;
    if (s->settled_ns == 0 || now >= due || s->edge->closing ||
        atomic_load_explicit(&s->edge->draining, memory_order_relaxed)) {
        gw_feed_flush(s);
        due = now + AGAIN_NS;
    }
    if ((s->n_settles || s->unsettled) && !gw_timer_is_armed(&s->settle_timer)) {
        s->settle_timer.fire = on_again;
        gw_timer_arm(loop_of(s), &s->settle_timer, due);
    }
}

void gw_feed_turn(struct gw_feed *s)
{
    settle_again(s);
    if (!s->edge->closing && atomic_load(&s->active)) {
        if (is_too_far_behind(s))
            drop_oldest(s);
        read_again(s);
        read_on(s);
        forget_backlog(s);
        gw_suspects_turn(s);
    }
    settle_soon(s);
}
