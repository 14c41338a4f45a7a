/* SPDX-License-Identifier: Apache-2.0 */
/* What a feed reads back from its log, on the exporter's thread: frames that were not handed over, and rows that are to
 * be tried once more. */
#include <stdio.h>

#include "otlp-proto/rows.h"
#include "queue/feed_impl.h"
#include "queue/meta_bytes.h"

enum { READ_TURN_BYTES = 4 << 20 };
#define LATE_NS      5000000u
#define READ_BACK_NS 1000000000u

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

void gw_feed_pause(struct gw_feed *s, uint64_t ns)
{
    s->timer.fire = on_again;
    gw_timer_arm(gw_feed_loop(s), &s->timer, gw_loop_now_ns(gw_feed_loop(s)) + ns);
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
    gw_buf_init(&out, GW_FEED_MAX_PART_BYTES);
    if (gw_rows_extract(s->lane->signal, en->frame.body, &rows, &out) == 0)
        pl = gw_feed_copy(gw_buf_slice(&out));
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
    struct gw_payload *pl = whole ? gw_feed_copy(en->frame.body) : open_part(s, en);
    struct gw_edge *e = s->edge;
    struct gw_chunk *c = NULL;

    if (pl)
        atomic_fetch_add(&e->window_bytes, pl->n);
    if (pl && !(c = gw_feed_chunk(s, &en->frame, pl)))
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
    if (gw_feed_accept(s, c))
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
    atomic_fetch_sub(&s->lane->lag_bytes, en->frame.body.n);
    gw_feed_leave(s, rows, 0);
}

/*
 * The frame is taken. Rows on the way to it, or of it, that are not open were settled before the feed was activated, or
 * lost: before that, which is counted, or since. Which of these they are is not known for each, but how many there are
 * of the former is; so the lost ones are counted last. Where nothing is open to the end, all the others are lost.
 */
static void pass(struct gw_feed *s, const struct gw_log_entry *en)
{
    uint64_t end = en->frame.row + en->frame.rows, shut = end - s->next_row - open_rows(en), known, lost;

    known = shut < s->ahead_rows ? shut : s->ahead_rows;
    s->ahead_rows -= known;
    s->lost_rows += s->lost_here;
    if (en->n_open == 0)
        s->lost_rows = shut - known;
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
    gw_feed_pause(s, GW_FEED_AGAIN_NS);
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
    s->reader_seq = GW_LOG_END;
    rc = place_reader(s); /* what it passed over because it could not be read may be there by now */
    if (rc == 0)
        rc = gw_log_next(s->reader, en);
    if (rc != 0)
        return rc;
    *en = last;
    return 1;
}

/* One more frame, or all the rest that is settled; or not now, and a pause. Returns the bytes that were read. */
static size_t read_one(struct gw_feed *s)
{
    struct gw_log_entry en = {0};
    int rc = next_entry(s, &en);

    if (rc <= 0) {
        if (rc < 0)
            gw_log(&s->edge->conf.logger, GW_LOG_ERROR, "reading the queue on disk: %s; trying again", strerror(-rc));
        gw_feed_pause(s, rc < 0 ? GW_FEED_AGAIN_NS : LATE_NS);
        return 0;
    }
    note_lost(s, &en);
    if (en.n_open && gw_suspects_hold(&s->suspects, en.frame.seq)) {
        pass_over(s, &en);
    } else if (en.n_open && !gw_feed_read_in(s, &en)) {
        once_more(s);
        return 0;
    }
    pass(s, &en);
    return en.frame.body.n;
}

static bool has_window(const struct gw_edge *e)
{
    return atomic_load_explicit(&e->window_bytes, memory_order_relaxed) < e->conf.settings.queue.max_memory_bytes;
}

static void read_on(struct gw_feed *s)
{
    size_t bytes = 0;

    while (bytes < READ_TURN_BYTES && gw_feed_may_read(s) && !gw_timer_is_armed(&s->timer) && has_window(s->edge))
        bytes += read_one(s);
    if (bytes >= READ_TURN_BYTES) /* there are others on this thread */
        gw_loop_wake(gw_feed_loop(s));
    if (!gw_feed_is_in_step(s) || !atomic_load(&s->behind))
        return;
    atomic_store(&s->behind, false);
    if (!gw_feed_is_in_step(s)) { /* one more came meanwhile, without its body */
        atomic_store(&s->behind, true);
        gw_loop_wake(gw_feed_loop(s));
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
        s->again_ns = gw_loop_now_ns(gw_feed_loop(s)) + READ_BACK_NS;
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

void gw_feed_forget_again(struct gw_feed *s)
{
    while (s->again)
        drop_first(s);
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
    if (!gw_feed_accept(s, c)) {
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
    uint64_t now = gw_loop_now_ns(gw_feed_loop(s));

    while (s->again && now >= s->again_ns && has_window(s->edge)) {
        if (read_tab(s->again))
            drop_first(s);
        else
            s->again_ns = now + READ_BACK_NS;
    }
    if (s->again && now < s->again_ns) { /* else it waits for room, which is made on this thread */
        s->again_timer.fire = on_again;
        gw_timer_arm(gw_feed_loop(s), &s->again_timer, s->again_ns);
    }
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
    while (is_too_far_behind(s) && gw_feed_may_read(s) && place_reader(s) == 0 && gw_log_next(s->reader, &en) == 1) {
        note_lost(s, &en);
        if (!drop_rows(s, &en)) {
            once_more(s);
            return;
        }
        pass(s, &en);
    }
}

/* ---- each turn -------------------------------------------------------------------------------------------- */

void gw_feed_read(struct gw_feed *s)
{
    if (is_too_far_behind(s))
        drop_oldest(s);
    read_again(s);
    read_on(s);
    forget_backlog(s);
}
