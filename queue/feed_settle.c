/* SPDX-License-Identifier: Apache-2.0 */
/* What became of a feed's rows, on its way to the log. On the exporter's thread, but for on_settled. */
#include <stdlib.h>

#include "queue/feed_impl.h"

enum { MAX_SETTLES = 4096 };
#define SETTLE_PAUSE_NS 10000000u

static void on_due(struct gw_timer *t)
{
    (void)t; /* the turn's hook goes on */
}

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
void gw_feed_settle_kept(struct gw_feed *s)
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

/* ---- each turn --------------------------------------------------------------------------------------------- */

void gw_feed_settle_again(struct gw_feed *s)
{
    struct gw_inbox_item *i;

    if (gw_inbox_is_empty(&s->failed) || gw_timer_is_armed(&s->timer))
        return;
    gw_feed_pause(s, GW_FEED_AGAIN_NS); /* at most so often */
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
void gw_feed_settle_soon(struct gw_feed *s)
{
    uint64_t now = gw_loop_now_ns(gw_feed_loop(s)), due = s->settled_ns + SETTLE_PAUSE_NS;

    gw_feed_settle_kept(s);
    if (s->n_settles == 0 && !s->unsettled)
        return;
    if (s->settled_ns == 0 || now >= due || s->edge->closing ||
        atomic_load_explicit(&s->edge->draining, memory_order_relaxed)) {
        gw_feed_flush(s);
        due = now + GW_FEED_AGAIN_NS;
    }
    if ((s->n_settles || s->unsettled) && !gw_timer_is_armed(&s->settle_timer)) {
        s->settle_timer.fire = on_due;
        gw_timer_arm(gw_feed_loop(s), &s->settle_timer, due);
    }
}
