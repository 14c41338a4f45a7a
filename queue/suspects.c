/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/suspects.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "queue/edge_impl.h"

enum { PIECES = 64, RUNS = 64 };
#define HEAD_START_NS UINT64_C(10000000000) /* of the others */
#define ALONE_NS      UINT64_C(10000000000) /* to wait for other attempts' answers; then they go on for REST_NS */
#define REST_NS       UINT64_C(30000000000)
#define LOOK_NS       100000000u

static struct gw_loop *loop_of(const struct gw_feed *s)
{
    return atomic_load_explicit(&s->edge->loop, memory_order_relaxed);
}

/* ---- what is being worked on ------------------------------------------------------------------------------ */

static void widen(struct gw_flight_rows *r, const struct gw_log_place *p)
{
    if (p->seq < r->first_seq) {
        r->first_seq = p->seq;
        r->time_ns = p->time_ns;
    }
    if (p->seq > r->last_seq)
        r->last_seq = p->seq;
}

/* Of one frame: from the first to the last row. */
static void narrow(struct gw_flight_rows *r, const struct gw_tab *t)
{
    const struct gw_log_place *first = &t->places[0], *last = &t->places[t->n - 1];

    if (first->seq != last->seq)
        return;
    r->first_row = first->first;
    r->rows = last->first + last->rows - first->first;
}

void gw_working_begin(struct gw_working *w, const struct gw_edge *e, const struct gw_tab *t, bool waited_for,
                      unsigned crashes)
{
    struct gw_flight_rows r[2];
    unsigned n = 0;

    *w = (struct gw_working){.scope = (uint32_t)(waited_for ? GW_FLIGHT_UNKNOWN : GW_FLIGHT_NOTHING)};
    if (!t)
        return;
    w->scope = gw_flight_scope();
    for (unsigned i = 0, k; i < t->n; i++) {
        const struct gw_log_place *p = &t->places[i];

        for (k = 0; p->feed && k < n && r[k].log != p->feed->suspects.log;)
            k++;
        if (!p->feed || !p->feed->suspects.flight || k == 2)
            continue;
        w->flight = p->feed->suspects.flight;
        if (k == n)
            r[n++] = (struct gw_flight_rows){.log = p->feed->suspects.log,
                                             .consumer = p->feed->consumer,
                                             .first_seq = p->seq,
                                             .last_seq = p->seq,
                                             .time_ns = p->time_ns};
        widen(&r[k], p);
    }
    if (crashes && n == 1)
        narrow(&r[0], t);
    for (unsigned k = 0; k < n; k++)
        w->slots[k] = gw_flight_begin(w->flight, &r[k], w->scope, e->home, crashes);
}

void gw_working_begin_frame(struct gw_working *w, const struct gw_feed *s, const struct gw_log_entry *en)
{
    const struct gw_log_open_rows *first = &en->open[0], *last = &en->open[en->n_open - 1];
    unsigned crashes = gw_suspects_crashes(&s->suspects);
    struct gw_flight_rows r = {.log = s->suspects.log,
                               .consumer = s->consumer,
                               .first_seq = en->frame.seq,
                               .last_seq = en->frame.seq,
                               .time_ns = en->frame.time_ns};

    if (crashes) {
        r.first_row = first->first;
        r.rows = last->first + last->rows - first->first;
    }
    *w = (struct gw_working){.flight = s->suspects.flight, .scope = gw_flight_scope()};
    w->slots[0] = gw_flight_begin(w->flight, &r, w->scope, s->edge->home, crashes);
}

void gw_working_end(struct gw_working *w)
{
    for (unsigned k = 0; k < 2; k++)
        gw_flight_end(w->flight, w->slots[k]);
    *w = (struct gw_working){0};
}

/* ---- who is suspect --------------------------------------------------------------------------------------- */

static bool has(const struct gw_flight_rows *r, uint64_t seq)
{
    return seq >= r->first_seq && seq <= r->last_seq;
}

bool gw_suspects_hold(const struct gw_suspects *x, uint64_t seq)
{
    for (unsigned i = 0; i < x->n; i++)
        if (has(&x->all[i].rows, seq))
            return true;
    return false;
}

bool gw_suspects_wait(const struct gw_suspects *x)
{
    return atomic_load(&x->n_left) > 0;
}

/* The others of a frame of which only some rows are named are not read, either: somebody has to try them. */
static void add_rests(struct gw_suspects *x)
{
    unsigned n = x->n;

    for (unsigned i = 0; i < n; i++) {
        bool covered = x->all[i].rows.rows == 0;

        for (unsigned k = 0; k < x->n && !covered; k++)
            covered = x->all[k].rows.rows == 0 && has(&x->all[k].rows, x->all[i].rows.first_seq);
        if (covered)
            continue;
        x->all[x->n] = (struct gw_flight_suspect){.rows = x->all[i].rows, .crashes = 1};
        x->all[x->n].rows.first_row = x->all[x->n].rows.rows = 0;
        x->n++;
    }
}

static int compare(const void *a, const void *b)
{
    const struct gw_flight_suspect *x = a, *y = b;

    if (x->condemned != y->condemned)
        return x->condemned ? -1 : 1;
    if (!x->rows.rows != !y->rows.rows)
        return x->rows.rows ? -1 : 1;
    return x->rows.first_seq < y->rows.first_seq ? -1 : x->rows.first_seq > y->rows.first_seq;
}

/* Those that are settled are none, nor are those that a power cut took: their places are given to others. */
static void forget_old(struct gw_suspects *x, uint64_t low, uint64_t end)
{
    unsigned n = 0;

    for (unsigned i = 0; i < x->n; i++) {
        struct gw_flight_rows *r = &x->all[i].rows;

        if (r->last_seq < low || r->first_seq >= end) {
            gw_flight_acquit(x->flight, x->all[i].id);
            continue;
        }
        r->last_seq = r->last_seq < end ? r->last_seq : end - 1;
        x->all[n++] = x->all[i];
    }
    x->n = n;
}

void gw_suspects_load(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;

    if (!x->flight || gw_flight_suspects(x->flight, x->log, s->consumer, NULL, 0) == 0)
        return;
    x->all = calloc(2 * GW_FLIGHT_SUSPECTS, sizeof(*x->all));
    if (!x->all)
        return; /* they are sent as all others */
    x->n = gw_flight_suspects(x->flight, x->log, s->consumer, x->all, GW_FLIGHT_SUSPECTS);
    forget_old(x, atomic_load(&s->next_seq), atomic_load(&s->end_seq));
    add_rests(x);
    qsort(x->all, x->n, sizeof(*x->all), compare);
    while (x->n_condemned < x->n && x->all[x->n_condemned].condemned)
        x->n_condemned++;
    while (x->n_named < x->n && x->all[x->n_named].rows.rows)
        x->n_named++;
    atomic_store(&x->n_left, x->n);
}

void gw_suspects_clear(struct gw_suspects *x)
{
    gw_log_reader_free(x->reader);
    free(x->all);
}

/* ---- rows of a frame -------------------------------------------------------------------------------------- */

static bool has_row(const struct gw_flight_rows *r, const struct gw_log_frame *f, uint32_t row)
{
    return r->first_seq == f->seq && r->time_ns == f->time_ns && row >= r->first_row && row - r->first_row < r->rows;
}

/* They had a trial of their own. */
static bool is_named(const struct gw_suspects *x, const struct gw_log_frame *f, uint32_t row)
{
    for (unsigned i = 0; i < x->n_named; i++)
        if (has_row(&x->all[i].rows, f, row))
            return true;
    return false;
}

static bool is_wanted(const struct gw_suspects *x, const struct gw_log_frame *f, uint32_t row)
{
    const struct gw_flight_suspect *p = &x->all[x->at];

    if (f->seq == x->seq && row < x->row)
        return false;
    return p->rows.rows ? has_row(&p->rows, f, row) : !is_named(x, f, row);
}

static uint32_t count_wanted(const struct gw_suspects *x, const struct gw_log_entry *en)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < en->n_open; i++)
        for (uint32_t k = 0; k < en->open[i].rows; k++)
            n += is_wanted(x, &en->frame, en->open[i].first + k);
    return n;
}

/* At most `most` of the wanted rows. Returns the runs. */
static unsigned pick(const struct gw_suspects *x, const struct gw_log_entry *en, uint32_t most,
                     struct gw_log_open_rows ret[RUNS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < en->n_open; i++)
        for (uint32_t k = 0, row = en->open[i].first; k < en->open[i].rows && most > 0; k++, row++) {
            if (!is_wanted(x, &en->frame, row))
                continue;
            if (n > 0 && ret[n - 1].first + ret[n - 1].rows == row)
                ret[n - 1].rows++;
            else if (n == RUNS)
                return n;
            else
                ret[n++] = (struct gw_log_open_rows){row, 1};
            most--;
        }
    return n;
}

/* 1: the next frame of the suspect that has rows for us. 0: there is none. Errors: negative errno. */
static int find_frame(struct gw_feed *s, struct gw_log_entry *en)
{
    const struct gw_log_reader_conf conf = {.consumer = s->consumer};
    struct gw_suspects *x = &s->suspects;
    const struct gw_flight_rows *r = &x->all[x->at].rows;
    int rc = x->reader ? 0 : gw_log_reader_new(s->log, &conf, &x->reader);

    if (x->seq < r->first_seq) {
        x->seq = r->first_seq;
        x->row = x->piece = 0;
    }
    if (rc == 0)
        rc = gw_log_seek(x->reader, GW_LOG_PARTITIONS, x->seq);
    while (rc == 0 && (rc = gw_log_next(x->reader, en)) == 1) {
        uint32_t n;

        if (en->frame.seq > r->last_seq)
            return 0;
        n = count_wanted(x, en);
        if (en->frame.seq != x->seq || x->piece == 0) {
            x->seq = en->frame.seq;
            x->row = 0;
            x->piece = r->rows ? n : (n + PIECES - 1) / PIECES;
        }
        if (n > 0)
            return 1;
        x->seq = en->frame.seq + 1;
        x->row = x->piece = 0;
        rc = 0;
    }
    return rc;
}

/* 1: x->made is the next piece; NULL when there was nothing in it that could be sent. */
static int make_piece(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;
    struct gw_log_open_rows open[RUNS];
    struct gw_log_entry en = {0};
    int rc = find_frame(s, &en);

    if (rc <= 0)
        return rc;
    en.n_open = pick(x, &en, x->piece, open);
    en.open = open;
    x->made = NULL;
    x->is_raw = x->all[x->at].condemned;
    x->asks = true;
    rc = gw_feed_read_in(s, &en) ? 1 : -ENOMEM;
    x->asks = false;
    if (rc == 1)
        x->row = open[en.n_open - 1].first + open[en.n_open - 1].rows;
    return rc;
}

static void go_to_next(struct gw_suspects *x)
{
    x->at++;
    x->seq = 0;
    (void)atomic_fetch_sub(&x->n_left, 1);
}

/* No memory: once more, later. */
static void put_back(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;

    x->row = x->made->tab->places[0].first;
    gw_feed_leave(s, x->made->rows, 0);
    gw_feed_discard(s, x->made);
}

/* ---- the condemned ---------------------------------------------------------------------------------------- */

static void bury(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;
    struct gw_lane *l = s->lane;
    const char *name = sigabbrev_np(x->all[x->at].signal);
    char message[160];
    struct gw_fate f = {"poison", "crash_suspect", message, 13, 0, GW_FAILED, 0};
    int rc = make_piece(s);

    if (rc < 0)
        return; /* later */
    if (rc == 0 || !x->made) {
        go_to_next(x);
        return;
    }
    (void)snprintf(message, sizeof(message),
                   "the gateway crashed %u times (SIG%s) while it worked on these rows, the last time on nothing else",
                   x->all[x->at].crashes, name ? name : "?");
    gw_log(&s->edge->conf.logger, GW_LOG_ERROR, "%u %s are not sent any more: %s", x->made->rows,
           gw_signal_item_name(l->signal), message);
    if (!gw_sender_bury(l, x->made, &f, x->all[x->at].crashes))
        put_back(s);
    x->made = NULL;
}

/* ---- trials ----------------------------------------------------------------------------------------------- */

static void give_back(struct gw_feed *s)
{
    s->suspects.trial = GW_TRIAL_NONE;
    gw_flight_end_trial(s->suspects.flight, s->lane);
    if (s->lane->trial == s)
        s->lane->trial = NULL;
    gw_sender_pump(s->lane);
}

/* The rest had its turn. */
static bool is_time(const struct gw_feed *s, uint64_t now)
{
    const struct gw_lane *l = s->lane;

    return atomic_load_explicit(&s->edge->draining, memory_order_relaxed) || now >= s->suspects.begin_ns ||
           (gw_feed_is_in_step(s) && !l->pending && !l->open && !l->jobs);
}

static bool is_alone(const struct gw_lane *l, uint64_t now)
{
    return l->gate.n_sending == 0 && (!l->gate.breaker || gw_breaker_may(l->gate.breaker, now));
}

static void acquit(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;

    gw_flight_acquit(x->flight, x->all[x->at].id);
    go_to_next(x);
    if (x->at == x->n)
        gw_log(&s->edge->conf.logger, GW_LOG_INFO, "all %s that were under way at the crash have been sent alone",
               gw_signal_item_name(s->lane->signal));
}

/* The next piece goes, or the next suspect's. */
static void try_one(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;
    int rc = make_piece(s);

    if (rc == 0) {
        acquit(s);
        if (x->at == x->n)
            give_back(s);
        else
            gw_loop_wake(loop_of(s));
        return;
    }
    if (rc < 0 || !x->made) {
        if (rc > 0)
            gw_loop_wake(loop_of(s));
        return;
    }
    x->trial = GW_TRIAL_ON;
    if (!gw_sender_try(s->lane, x->made, x->all[x->at].crashes)) {
        put_back(s);
        x->trial = GW_TRIAL_WANTED;
    }
    x->made = NULL;
}

static void go_on(struct gw_feed *s, uint64_t now)
{
    struct gw_suspects *x = &s->suspects;

    if (x->trial == GW_TRIAL_NONE && !s->lane->trial && is_time(s, now)) {
        x->trial = GW_TRIAL_WANTED;
        x->wanted_ns = now;
        s->lane->trial = s;
    }
    if (x->trial != GW_TRIAL_WANTED)
        return;
    if (is_alone(s->lane, now) && gw_flight_take_trial(x->flight, s->lane)) {
        try_one(s);
    } else if (now >= x->wanted_ns + ALONE_NS) { /* somebody else's answer does not come: the others go on meanwhile */
        x->begin_ns = now + REST_NS;
        give_back(s);
    }
}

static void on_timer(struct gw_timer *t)
{
    (void)t; /* the turn's hook looks */
}

void gw_suspects_turn(struct gw_feed *s)
{
    struct gw_suspects *x = &s->suspects;
    uint64_t now;

    if (!gw_suspects_wait(x))
        return;
    now = gw_loop_now_ns(loop_of(s));
    if (x->begin_ns == 0)
        x->begin_ns = now + HEAD_START_NS;
    if (atomic_load(&s->next_seq) > x->all[x->at].rows.last_seq) {
        if (x->at < x->n_condemned)
            bury(s);
        else
            go_on(s, now);
    }
    if (gw_suspects_wait(x) && !gw_timer_is_armed(&x->timer)) {
        x->timer.fire = on_timer;
        gw_timer_arm(loop_of(s), &x->timer, now + (x->at < x->n_condemned ? 1 : LOOK_NS));
    }
}

void gw_suspects_answered(struct gw_lane *l)
{
    struct gw_feed *s = l->trial;

    if (!s || s->suspects.trial != GW_TRIAL_ON)
        return;
    s->suspects.trial = GW_TRIAL_WANTED;
    s->suspects.wanted_ns = gw_loop_now_ns(loop_of(s));
    gw_flight_end_trial(s->suspects.flight, l);
    gw_loop_wake(loop_of(s));
}

void gw_suspects_stop(struct gw_feed *s)
{
    gw_timer_disarm(&s->suspects.timer);
    if (s->suspects.trial != GW_TRIAL_NONE)
        give_back(s);
}
