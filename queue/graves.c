/* SPDX-License-Identifier: Apache-2.0 */
/* What is given up becomes a dead letter; while no dead letter queue has room, it waits as a grave. */
#include <stdio.h>
#include <stdlib.h>

#include "queue/burial.h"
#include "queue/dead_letter.h"
#include "queue/sender_impl.h"

enum { MAX_DEAD_LETTER_BYTES = 1u << 30 };

void gw_grave_letter(struct gw_job *j, struct gw_rope body, uint32_t rows, const struct gw_fate *f, struct gw_buf *out)
{
    bool partial = strcmp(f->class_, "partial") == 0; /* the body has rows that the sink took, too */
    struct gw_edge *e = j->lane->edge;
    struct gw_dead_letter d = {
        .class_ = f->class_,
        .reason = f->reason,
        .message = f->message,
        .code = f->code ? f->code : f->grpc_status,
        .component = e->conf.id,
        .pipeline = j->chunk->pipeline,
        .config = e->config,
        .signal = j->chunk->signal,
        .rows = partial ? j->a.rows : rows,
        .rejected = partial ? rows : 0,
        .attempts = j->a.number,
        .first_ns = j->chunk->arrived_ns,
        .last_ns = gw_wall_ns(e->conf.env),
        .meta = j->chunk->meta,
        .rope = body,
    };

    gw_buf_init(out, MAX_DEAD_LETTER_BYTES);
    gw_dead_letter_put(e->conf.env, &d, out);
}

/* Where letters to that queue are counted: its log counts by itself. False: no memory. */
static bool find_book(struct gw_edge *e, struct gw_edge *to, const struct gw_book *of, struct gw_book **ret)
{
    const struct gw_book key = {.kind = GW_BOOK_EXPORTER,
                                .signal = GW_LOGS,
                                .pipeline = of ? of->pipeline : "",
                                .component = to->conf.id,
                                .edge = to,
                                .from = e};

    *ret = NULL;
    if (!e->conf.book || gw_edge_draws_from_logs(to))
        return true;
    *ret = e->conf.book(e->conf.arg, &key);
    return *ret != NULL;
}

/* To one of its queues. False: it has no room. */
static bool post_to(struct gw_edge *e, struct gw_edge *to, struct gw_slice letter, struct gw_burial *b,
                    const struct gw_book *book)
{
    struct gw_put_from from = {
        .sender = e, .page = GW_PAGE_FEEDER, .cut = e->cut_seen, .receipt = b ? gw_burial_receipt(b) : NULL};

    if (find_book(e, to, book, &from.book) && gw_edge_put_bytes(to, GW_LOGS, letter, 1, NULL, &from))
        return true;
    if (b) {
        gw_ticket_settle(from.receipt, 1, GW_DELIVERED, NULL); /* no verdict on the others */
        (void)gw_ticket_unref(from.receipt);
    }
    return false;
}

bool gw_grave_post(struct gw_edge *e, struct gw_tab *tab, struct gw_slice letter, const struct gw_book *book)
{
    struct gw_burial *b = tab && e->n_dead_letters ? gw_burial_begin(e, tab) : NULL;
    unsigned taken = 0;

    if (tab && !b)
        return false; /* no memory: as without room */
    for (unsigned i = 0; i < e->n_dead_letters && letter.n; i++)
        taken += post_to(e, e->dead_letters[i], letter, b, book);
    if (b)
        gw_burial_posted(b);
    if (b && !taken)
        gw_burial_take_in(e); /* at once: only the caller has the rows now */
    return taken > 0;
}

void gw_grave_count(struct gw_lane *l, struct gw_book *book, struct gw_tab *tab, uint32_t rows, const char *reason)
{
    const struct gw_label labels[] = {
        {"component", l->edge->conf.id}, {"signal", gw_signal_name(l->signal)}, {"reason", reason}};

    gw_tab_count(tab, GW_LOG_DEAD_LETTERED, rows);
    gw_book_add(book, GW_PAGE_EDGE, GW_E_DEAD_LETTERED, rows);
    atomic_fetch_add_explicit(&l->dead_lettered, rows, memory_order_relaxed);
    gw_metric_add(l->failed, rows);
    gw_metric_add(gw_meter_get(l->edge->conf.meter, GW_COUNTER, "staunch_dead_letter_items",
                               "Items that a sink will never take and that were written to the dead letter port.",
                               labels, 3),
                  rows);
}

static void drop(struct gw_lane *l, struct gw_book *book, struct gw_tab *tab, uint32_t rows, const struct gw_fate *f)
{
    gw_tab_count(tab, GW_LOG_DROPPED, rows);
    gw_metric_add(l->failed, rows);
    gw_edge_drop(l, book, rows, f->reason);
    gw_log(&l->edge->conf.logger, GW_LOG_ERROR, "Exporting failed. Dropping data. %s: %s (dropped_items: %u)",
           f->reason, f->message ? f->message : "no more is known", rows);
}

void gw_grave_leave(struct gw_lane *l, struct gw_book *book, struct gw_tab *tab, uint32_t rows)
{
    uint32_t lost = gw_tab_lose(tab, rows);

    if (lost)
        gw_edge_drop(l, book, lost, "shutdown");
    gw_tab_leave(tab);
}

bool gw_grave_bury(struct gw_job *j, struct gw_tab *tab, struct gw_rope body, uint32_t rows, const struct gw_fate *f)
{
    struct gw_edge *e = j->lane->edge;
    struct gw_buf letter;
    bool taken;

    if (e->n_dead_letters) {
        gw_grave_letter(j, body, rows, f, &letter);
        taken = !letter.failed && gw_grave_post(e, tab, gw_buf_slice(&letter), j->chunk->book);
        gw_buf_clear(&letter);
        if (taken) {
            gw_grave_count(j->lane, j->chunk->book, tab, rows, f->reason);
            return true;
        }
        if (!e->closing)
            return false;
        if (tab) { /* it will be refused again, after the next start */
            gw_grave_leave(j->lane, j->chunk->book, tab, rows);
            return true;
        }
    }
    gw_edge_sample(j->lane, j->chunk->book, f->reason, body.parts[0], GW_BODY_SENT);
    drop(j->lane, j->chunk->book, tab, rows, f);
    return true;
}

/* ---- graves ----------------------------------------------------------------------------------------------- */

static void on_graves_pause(struct gw_timer *t);

static void watch_graves(struct gw_lane *l)
{
    l->graves_timer.fire = on_graves_pause;
    gw_timer_arm(gw_lane_loop(l), &l->graves_timer, gw_loop_now_ns(gw_lane_loop(l)) + GW_GRAVE_PAUSE_NS);
}

static void drop_grave(struct gw_lane *l, const struct gw_grave *g, const char *why)
{
    gw_edge_sample(l, g->book, why, (struct gw_slice){g->letter, g->n}, GW_BODY_LETTER);
    drop(l, g->book, NULL, g->rows, &(struct gw_fate){.reason = why, .message = "the dead letter queue had no room"});
}

/* The first grave is settled: as a dead letter, or dropped because of `why`. */
static void close_grave(struct gw_lane *l, const char *why)
{
    struct gw_grave *g = l->graves;

    l->graves = g->next;
    if (!l->graves)
        l->graves_last = &l->graves;
    if (why && g->tab)
        gw_grave_leave(l, g->book, g->tab, g->rows);
    else if (why)
        drop_grave(l, g, why);
    else
        gw_grave_count(l, g->book, g->tab, g->rows, g->reason);
    (void)gw_tab_unref(g->tab);
    gw_credit_drain(l->edge->conf.memory, g->n);
    free(g);
    atomic_fetch_sub(&l->edge->n_chunks, 1);
}

static void on_graves_pause(struct gw_timer *t)
{
    struct gw_lane *l = (struct gw_lane *)((char *)t - offsetof(struct gw_lane, graves_timer));

    while (l->graves &&
           gw_grave_post(l->edge, l->graves->tab, (struct gw_slice){l->graves->letter, l->graves->n}, l->graves->book))
        close_grave(l, NULL);
    if (l->graves)
        watch_graves(l);
    else
        gw_sender_pump(l);
}

bool gw_grave_dig(struct gw_job *j, struct gw_tab *tab, struct gw_rope body, uint32_t rows, const struct gw_fate *f)
{
    struct gw_lane *l = j->lane;
    struct gw_grave *g = NULL;
    struct gw_buf letter;

    gw_grave_letter(j, body, rows, f, &letter);
    if (!letter.failed)
        g = malloc(sizeof(*g) + letter.n);
    if (g) {
        *g = (struct gw_grave){.book = j->chunk->book, .rows = rows, .n = letter.n, .tab = gw_tab_ref(tab)};
        snprintf(g->reason, sizeof(g->reason), "%s", f->reason);
        memcpy(g->letter, letter.p, letter.n);
        *l->graves_last = g;
        l->graves_last = &g->next;
        gw_credit_copy(l->edge->conf.memory, g->n);
        atomic_fetch_add(&l->edge->n_chunks, 1); /* an edge with a grave is not empty */
        watch_graves(l);
    }
    gw_buf_clear(&letter);
    return g != NULL;
}

/* There is no memory for a grave. What is in a log is sent once more; the rest is nowhere else. */
static void lose(struct gw_job *j, struct gw_tab *tab, struct gw_rope body, uint32_t rows, struct gw_fate f)
{
    uint32_t lost = tab ? gw_tab_lose(tab, rows) : rows;

    f.reason = "dead_letter_full";
    if (lost) {
        gw_edge_sample(j->lane, j->chunk->book, f.reason, body.parts[0], GW_BODY_SENT);
        drop(j->lane, j->chunk->book, NULL, lost, &f);
    }
    gw_tab_again(tab);
}

void gw_grave_dead(struct gw_attempt *a, const struct gw_death *d)
{
    struct gw_job *j = (struct gw_job *)a;
    uint32_t rows = d->rows < a->rows ? d->rows : a->rows;
    struct gw_rope body = gw_rope_of(&d->body);
    struct gw_fate f = {.class_ = d->class_, .reason = d->reason, .message = d->message, .code = d->code};
    struct gw_tab *all = j->chunk->tab, *tab = all && d->bits ? gw_tab_cut(all, d->bits, true) : NULL;

    if (!tab) /* it is not known which, or there is no memory to note it: they are settled together */
        tab = gw_tab_ref(all);
    if (!gw_grave_bury(j, tab, body, rows, &f) && !gw_grave_dig(j, tab, body, rows, &f))
        lose(j, tab, body, rows, f);
    (void)gw_tab_unref(tab);
    a->rows -= rows;
    j->rejected_rows += rows;
}

void gw_graves_cut(struct gw_lane *l)
{
    gw_timer_disarm(&l->graves_timer);
    while (l->graves) {
        const struct gw_grave *g = l->graves;
        bool posted = gw_grave_post(l->edge, g->tab, (struct gw_slice){g->letter, g->n}, g->book);

        close_grave(l, posted ? NULL : "dead_letter_full");
    }
}
