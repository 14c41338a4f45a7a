/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a chunk to a verdict, on the exporter's thread.
 *
 *   pending ─► job ─► send ─► done ─┬─ OK: delivered (and rejected, when the sink says so)
 *                ▲                  ├─ RETRY: a pause, then again; too late: buried
 *                └──── pause ◄──────┤
 *                                   ├─ TOO_LARGE: halves go to the front of pending; one row is buried
 *                                   └─ PERMANENT: buried
 *   buried = a dead letter, when that port is wired; else counted by reason and logged
 *
 * Before each send stands the gate (gate.h): a breaker, a limit, and the search for poison. A job keeps its place among
 * num_consumers until its verdict, pauses included, as the Collector's consumers do. An
 * exporter with own_tries gets its job once and asks `again` for each of its requests. Dead letters that find no room
 * wait as graves; nothing new is sent while there are any, so that their number is bounded by the jobs under way.
 */
#include <stdio.h>
#include <stdlib.h>

#include "queue/sender_impl.h"

#define STARVED_PAUSE_NS 100000000u

static void remove_job(struct gw_job *j)
{
    struct gw_lane *l = j->lane;

    for (struct gw_job **p = &l->jobs; *p; p = &(*p)->next)
        if (*p == j) {
            *p = j->next;
            break;
        }
    gw_timer_disarm(&j->timer);
    gw_gate_forget(j);
    atomic_fetch_sub_explicit(&l->in_flight, 1, memory_order_relaxed);
    free(j->left);
    free(j->fate);
    free(j);
}

/* The job is over and its chunk with it, which settles its rows in the log as they were counted. */
static void finish(struct gw_job *j, uint32_t rejected, enum gw_outcome outcome, const struct gw_fate *f)
{
    struct gw_chunk *c = j->chunk;
    struct gw_lane *l = j->lane;

    gw_chunk_settle(c, rejected, outcome, f ? f->grpc_status : 0, f ? f->retry_after_ns : 0, f ? f->message : NULL);
    remove_job(j); /* and f, when the job kept it */
    gw_edge_done(l, c);
}

static void start(struct gw_job *j);

/* ---- giving up -------------------------------------------------------------------------------------------- */

static void give_up(struct gw_job *j, const struct gw_fate *f);

static void on_pause_end(struct gw_timer *t);

static void on_dead_letter_pause(struct gw_timer *t)
{
    struct gw_job *j = (struct gw_job *)((char *)t - offsetof(struct gw_job, timer));
    struct gw_lane *l = j->lane;

    give_up(j, j->fate);
    gw_sender_pump(l);
}

/* Memory is short: the sink is asked once more, soon. */
static void ask_again(struct gw_job *j)
{
    j->timer.fire = on_pause_end;
    gw_timer_arm(gw_lane_loop(j->lane), &j->timer, gw_loop_now_ns(gw_lane_loop(j->lane)) + STARVED_PAUSE_NS);
}

/* Keep the reason, whose texts are the exporter's, until the dead letter queue has room; without memory for that the
 * sink is asked once more. */
static void wait_for_room(struct gw_job *j, const struct gw_fate *f)
{
    if (!j->fate) {
        size_t n = strlen(f->reason) + 1, m = f->message ? strlen(f->message) + 1 : 0;
        struct gw_fate *copy = malloc(sizeof(*copy) + n + m);

        if (!copy) {
            ask_again(j);
            return;
        }
        *copy = *f;
        copy->reason = memcpy(copy + 1, f->reason, n);
        if (m)
            copy->message = memcpy((char *)(copy + 1) + n, f->message, m);
        j->fate = copy;
    }
    j->timer.fire = on_dead_letter_pause;
    gw_timer_arm(gw_lane_loop(j->lane), &j->timer, gw_loop_now_ns(gw_lane_loop(j->lane)) + GW_GRAVE_PAUSE_NS);
}

/* The gateway stops, and the rows are in a log: they stay there, but for those that the sink has said it has. A journal
 * hears that they are not done. */
static bool stays(struct gw_job *j, const struct gw_fate *f)
{
    uint32_t taken = gw_tab_n_taken(j->chunk->tab);

    if (strcmp(f->class_, "shutdown") != 0 || (!j->chunk->tab && !j->chunk->in_log))
        return false;
    if (!j->chunk->tab) {
        gw_sender_refuse_job(j, f->reason, f->message, 0);
        return true;
    }
    taken = taken < j->a.rows ? taken : j->a.rows;
    gw_book_add(j->chunk->book, GW_PAGE_EDGE, GW_E_OUT, taken);
    atomic_fetch_add_explicit(&j->lane->delivered, taken, memory_order_relaxed);
    gw_metric_add(j->lane->sent, taken);
    gw_grave_leave(j->lane, j->chunk->book, j->chunk->tab, j->a.rows - taken);
    finish(j, 0, GW_STORED, NULL);
    return true;
}

/* All that is left of the job is buried. */
static void give_up(struct gw_job *j, const struct gw_fate *f)
{
    bool has_port = j->lane->edge->n_dead_letters > 0;

    if (stays(j, f))
        return;
    if (!gw_grave_bury(j, j->chunk->tab, gw_attempt_rope(&j->a), j->a.rows, f))
        wait_for_room(j, f);
    else if (has_port && !j->lane->edge->closing)
        finish(j, j->rejected_rows + j->a.rows, GW_DELIVERED, f);
    else
        finish(j, j->rejected_rows, f->outcome, f);
}

static void on_pause_end(struct gw_timer *t)
{
    struct gw_job *j = (struct gw_job *)((char *)t - offsetof(struct gw_job, timer));

    gw_gate_ready(j);
    gw_sender_pump(j->lane);
}

/* Nobody waits for rows of this chunk, so what is left can take its place, and be halved as it could. */
static bool may_shrink(const struct gw_job *j, const struct gw_sent_info *info)
{
    return !j->chunk->n_receipts && !j->left && (!j->chunk->tab || info->left_bits);
}

/* The attempt is about its chunk's body, whatever has become of that. */
static void look_at_body(struct gw_job *j)
{
    j->a.body = j->chunk->body;
    j->a.payload = j->chunk->payload;
    j->a.parts = j->chunk->slices;
    j->a.n_parts = j->chunk->n_slices;
}

static void take_body(struct gw_job *j, struct gw_payload *pl, uint8_t *copy, const struct gw_sent_info *info)
{
    struct gw_chunk *c = j->chunk;

    memcpy(pl ? pl->p : copy, info->left.p, info->left.n);
    if (pl) {
        pl->n = (uint32_t)info->left.n;
        gw_chunk_set_body(c, pl);
        c->rows = info->left_rows;
        look_at_body(j);
    } else {
        j->a.body = gw_slice_of(copy, info->left.n);
        j->a.payload = NULL;
        j->a.parts = NULL;
        free(j->left);
        j->left = copy;
    }
}

/* False: the whole body goes again. Twice is better than never. */
static bool keep_left(struct gw_job *j, const struct gw_sent_info *info, uint32_t gone)
{
    struct gw_payload *pl = may_shrink(j, info) ? gw_payload_new(info->left.n) : NULL;
    struct gw_tab *tab = j->chunk->tab;
    uint8_t *copy = pl ? NULL : malloc(info->left.n);

    if ((!pl && !copy) || (tab && info->left_bits && !gw_tab_keep(tab, info->left_bits))) {
        (void)gw_payload_unref(pl);
        free(copy);
        return false;
    }
    take_body(j, pl, copy, info);
    if (!info->left_bits)
        gw_tab_count(tab, GW_LOG_DELIVERED, gone);
    gw_book_add(j->chunk->book, GW_PAGE_EDGE, GW_E_OUT, gone);
    atomic_fetch_add_explicit(&j->lane->delivered, gone, memory_order_relaxed);
    gw_metric_add(j->lane->sent, gone);
    j->a.rows = info->left_rows;
    return true;
}

/* What is left will not be tried again; `why` says the reason. */
static void give_up_trying(struct gw_job *j, const char *why, const struct gw_sent_info *info)
{
    const struct gw_fate f = {
        why, why, info->message, info->grpc_status ? info->grpc_status : 14, info->retry_after_ns, GW_REFUSED, 0};

    give_up(j, &f);
}

static bool split(struct gw_job *j);

/* True: it was poison, and is halves now, or buried. */
static bool is_poison(struct gw_job *j, const struct gw_sent_info *info, enum gw_sign sign)
{
    const struct gw_fate f = {
        "poison", info->reason ? info->reason : "retry", info->message, info->grpc_status, 0, GW_FAILED, 0};

    switch (gw_poison_failed(j, sign)) {
    case GW_POISON_HALVE:
        return split(j);
    case GW_POISON_BURY:
        give_up(j, &f);
        return true;
    case GW_POISON_NO:
        break;
    }
    return false;
}

static void retry(struct gw_job *j, const struct gw_sent_info *info, enum gw_sign sign)
{
    uint64_t pause;

    if (info->left.n && info->left_rows <= j->a.rows)
        (void)keep_left(j, info, j->a.rows - info->left_rows);
    if (is_poison(j, info, sign))
        return;
    if (!gw_tries_again(&j->a, &j->tries, info, &pause)) {
        give_up_trying(j, j->tries.over, info);
        return;
    }
    j->timer.fire = on_pause_end;
    gw_timer_arm(gw_lane_loop(j->lane), &j->timer, gw_loop_now_ns(gw_lane_loop(j->lane)) + pause);
    gw_gate_pause(j, sign, pause);
}

/* ---- verdicts --------------------------------------------------------------------------------------------- */

/* All of the body, of which the sink rejected some rows and does not say which. False: no letter tells of them. */
static bool keep_partial(struct gw_job *j, uint32_t rejected, const struct gw_sent_info *info)
{
    struct gw_fate f = {.class_ = "partial", .reason = "partial_success"};
    struct gw_edge *e = j->lane->edge;
    struct gw_buf letter;
    char message[512];
    bool taken;

    if (e->conf.settings.partial_success != GW_PARTIAL_DEAD_LETTER || !e->n_dead_letters)
        return false;
    (void)snprintf(message, sizeof(message), "the sink took all but %u of %u items, and does not say which: %s",
                   rejected, j->a.rows, info->message ? info->message : "no reason given");
    f.message = message;
    gw_grave_letter(j, gw_attempt_rope(&j->a), rejected, &f, &letter);
    taken = !letter.failed && gw_grave_post(e, j->chunk->tab, gw_buf_slice(&letter), j->chunk->book);
    gw_buf_clear(&letter);
    if (taken)
        gw_grave_count(j->lane, j->chunk->book, j->chunk->tab, rejected, f.reason);
    return taken || (!e->closing && gw_grave_dig(j, j->chunk->tab, gw_attempt_rope(&j->a), rejected, &f));
}

static void count_rejected(struct gw_job *j, uint32_t rejected)
{
    struct gw_lane *l = j->lane;

    gw_book_add(j->chunk->book, GW_PAGE_EDGE, GW_E_REJECTED, rejected);
    atomic_fetch_add_explicit(&l->rejected, rejected, memory_order_relaxed);
    gw_tab_count(j->chunk->tab, GW_LOG_REJECTED, rejected);
    gw_metric_add(l->failed, rejected);
}

static void delivered(struct gw_job *j, const struct gw_sent_info *info)
{
    uint32_t rejected = info->rejected_rows < j->a.rows ? info->rejected_rows : j->a.rows;
    struct gw_fate f = {.message = info->message};
    struct gw_lane *l = j->lane;

    if (rejected && rejected == j->a.rows && l->edge->n_dead_letters) { /* all of them: it is known which */
        f = (struct gw_fate){"sink_rejected", "partial_success", info->message, 0, 0, GW_REJECTED, 0};
        give_up(j, &f);
        return;
    }
    gw_book_add(j->chunk->book, GW_PAGE_EDGE, GW_E_OUT, j->a.rows - rejected);
    atomic_fetch_add_explicit(&l->delivered, j->a.rows - rejected, memory_order_relaxed);
    gw_tab_count(j->chunk->tab, GW_LOG_DELIVERED, j->a.rows - rejected);
    gw_metric_add(l->sent, j->a.rows - rejected);
    if (rejected) {
        if (!keep_partial(j, rejected, info))
            count_rejected(j, rejected);
        gw_log(&l->edge->conf.logger, GW_LOG_WARN, "Partial success: the sink rejected %u items. %s", rejected,
               info->message ? info->message : "");
    }
    finish(j, j->rejected_rows + rejected, GW_DELIVERED, &f);
}

/* Before what has not been sent yet, behind other pieces: those tell first whether anything passes. */
static void push_pieces(struct gw_lane *l, struct gw_chunk *pieces, const struct gw_suspicion *s)
{
    struct gw_chunk **p = &l->pending, *last = pieces;

    for (struct gw_chunk *c = pieces; c; last = c, c = c->next)
        c->suspicion = *s;
    while (*p && (*p)->suspicion.depth)
        p = &(*p)->next;
    last->next = *p;
    if (!*p)
        l->pending_last = &last->next;
    *p = pieces;
}

/* True when the halves took the job's place, or will when there is memory for them. */
static bool split(struct gw_job *j)
{
    const struct gw_suspicion s = gw_poison_of_halves(j);
    struct gw_lane *l = j->lane;
    struct gw_chunk *pieces;
    int rc;

    if (j->left || j->a.rows < 2 || j->a.rows != j->chunk->rows || l->edge->ops->merge != GW_MERGE_OTLP)
        return false;
    rc = gw_chunk_split(l->edge, j->chunk, (j->a.rows + 1) / 2, 0, &pieces);
    if (rc < 0)
        look_at_body(j); /* it is in one now */
    if (rc == -ENOMEM)
        ask_again(j);
    if (rc < 0)
        return rc == -ENOMEM;
    remove_job(j);
    push_pieces(l, pieces, &s);
    return true;
}

static void answered(struct gw_job *j, const struct gw_sent_info *info)
{
    struct gw_lane *l = j->lane;
    struct gw_fate f = {
        "sink_rejected", info->reason ? info->reason : "permanent", info->message, info->grpc_status, 0, GW_FAILED, 0};
    enum gw_sent sent = info->sent;
    struct gw_sent_info late;
    enum gw_sign sign;

    gw_timer_disarm(&j->timer);
    if (j->sending)
        atomic_fetch_sub_explicit(&l->sending, 1, memory_order_relaxed);
    j->sending = false;
    if (j->timed_out && sent != GW_SENT_OK) { /* the attempt may know why there was no answer */
        bool knows = info->reason && info->message && strcmp(info->reason, "cancelled") != 0;

        late = (struct gw_sent_info){.sent = GW_SENT_RETRY,
                                     .reason = "timeout",
                                     .message = knows ? info->message : "no answer in time",
                                     .left = info->left,
                                     .left_rows = info->left_rows,
                                     .left_bits = info->left_bits,
                                     .sign = GW_SIGN_LATE};
        info = &late;
        sent = GW_SENT_RETRY;
    }
    if (j->cancelled && sent == GW_SENT_PERMANENT && info->reason && strcmp(info->reason, "cancelled") == 0)
        sent = GW_SENT_RETRY; /* the gateway's doing, not the sink's */
    sign = gw_gate_end(j, info, gw_loop_now_ns(gw_lane_loop(l)));
    if (j->a.rows == 0 && sent != GW_SENT_OK) { /* every row became a dead letter of its own */
        finish(j, j->rejected_rows, GW_DELIVERED, NULL);
        return;
    }
    atomic_store_explicit(&l->failing, sent == GW_SENT_RETRY || sent == GW_SENT_OVER, memory_order_relaxed);
    switch (sent) {
    case GW_SENT_OK:
        delivered(j, info);
        break;
    case GW_SENT_RETRY:
        retry(j, info, sign);
        break;
    case GW_SENT_TOO_LARGE:
        f = (struct gw_fate){"limit_size", "too_large", info->message, 0, 0, GW_FAILED, 0};
        if (!split(j))
            give_up(j, &f);
        break;
    case GW_SENT_PERMANENT:
        if (!gw_poison_worth_halving(j, info, gw_loop_now_ns(gw_lane_loop(l))) || !split(j))
            give_up(j, &f);
        break;
    case GW_SENT_OVER:
        if (info->left.n && info->left_rows <= j->a.rows)
            (void)keep_left(j, info, j->a.rows - info->left_rows);
        if (info->reason && strcmp(info->reason, "breaker_open") == 0)
            gw_sender_refuse_job(j, "breaker_open", "the sink is away", info->retry_after_ns);
        else
            give_up_trying(j, info->reason ? info->reason : "retry_exhausted", info);
        break;
    }
}

static void on_done(struct gw_attempt *a, const struct gw_sent_info *info)
{
    struct gw_job *j = (struct gw_job *)a;
    struct gw_working w = j->working;
    struct gw_lane *l = j->lane;
    bool was_on_trial = j->on_trial > 0;
    uint32_t before = gw_flight_enter(w.scope);

    j->working = (struct gw_working){0};
    j->on_trial = 0;
    answered(j, info);
    (void)gw_flight_enter(before);
    gw_working_end(&w);
    if (was_on_trial)
        gw_suspects_answered(l);
    gw_sender_pump(l);
}

static void on_taken(struct gw_attempt *a, const uint64_t *bits)
{
    gw_tab_taken(((struct gw_job *)a)->chunk->tab, bits);
}

static bool row_name(struct gw_attempt *a, uint32_t row, uint64_t ret[4])
{
    uint32_t frame_row;
    const struct gw_log_place *p = gw_tab_at(((struct gw_job *)a)->chunk->tab, row, &frame_row);

    if (!p)
        return false;
    ret[0] = p->feed->log_id[0];
    ret[1] = p->feed->log_id[1] ^ p->time_ns; /* random bits: still no other log's */
    ret[2] = p->seq;
    ret[3] = frame_row;
    return true;
}

/* ---- attempts --------------------------------------------------------------------------------------------- */

static void on_timeout(struct gw_timer *t)
{
    struct gw_job *j = (struct gw_job *)((char *)t - offsetof(struct gw_job, timer));

    j->timed_out = true;
    if (j->lane->edge->ops->cancel)
        j->lane->edge->ops->cancel(j->lane->edge->conf.self, &j->a);
}

static void start(struct gw_job *j)
{
    struct gw_edge *e = j->lane->edge;
    uint64_t now = gw_loop_now_ns(gw_lane_loop(j->lane));
    const struct gw_fate late = {"deadline", "deadline", "the deadline passed before the sink was asked", 4, 0,
                                 GW_REFUSED, 0};
    uint32_t before;

    if (j->chunk->deadline_ns && now >= j->chunk->deadline_ns) { /* as in retry: nobody would hear of it */
        give_up(j, &late);
        return;
    }
    j->a.number++;
    if (j->a.number == 1)
        j->tries.first_ns = now;
    j->sending = true;
    atomic_fetch_add_explicit(&j->lane->sending, 1, memory_order_relaxed);
    j->timed_out = false;
    gw_gate_begin(j, now);
    if (j->a.timeout_ns && !e->ops->own_tries) {
        j->timer.fire = on_timeout;
        gw_timer_arm(gw_lane_loop(j->lane), &j->timer, now + j->a.timeout_ns);
    }
    gw_working_begin(&j->working, e, j->chunk->tab, j->chunk->n_receipts > 0, j->on_trial);
    before = gw_flight_enter(j->working.scope);
    e->ops->send(e->conf.self, &j->a); /* it may be over behind this */
    (void)gw_flight_enter(before);
}

static struct gw_job *new_job(struct gw_lane *l, struct gw_chunk *c)
{
    struct gw_job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->lane = l;
    j->chunk = c;
    j->a = (struct gw_attempt){
        .signal = c->signal,
        .rows = c->rows,
        .timeout_ns = l->edge->conf.settings.timeout_ns,
        .meta = c->meta,
        .done = on_done,
        .dead = gw_grave_dead,
        .taken = on_taken,
        .row_name = row_name,
        .again = gw_tries_again,
    };
    look_at_body(j);
    j->next = l->jobs;
    l->jobs = j;
    gw_poison_begin(j);
    atomic_fetch_add_explicit(&l->in_flight, 1, memory_order_relaxed);
    gw_metric_observe(l->send_size, c->rows);
    gw_metric_observe(l->send_bytes, (double)c->body.n);
    return j;
}

void gw_sender_push(struct gw_lane *l, struct gw_chunk *c)
{
    c->next = NULL;
    *l->pending_last = c;
    l->pending_last = &c->next;
}

static struct gw_chunk *take_pending(struct gw_lane *l)
{
    struct gw_chunk *c = l->pending;

    l->pending = c->next;
    if (!l->pending)
        l->pending_last = &l->pending;
    c->next = NULL;
    return c;
}

/* One whose pause is over, else a new one. NULL: there is none, or it may not be sent now, or memory is short. */
static struct gw_job *next_job(struct gw_lane *l)
{
    uint64_t now = gw_loop_now_ns(gw_lane_loop(l));
    struct gw_job *j;

    if (l->trial) /* its suspects have the lane for themselves */
        return NULL;
    j = gw_gate_next(l, now);
    if (j && !gw_gate_prefers_new(l, j, now)) {
        gw_gate_forget(j);
        return j;
    }
    if (!l->pending || l->graves || !gw_gate_has_place(l, l->pending->body.n, now))
        return NULL;
    j = new_job(l, l->pending);
    l->starved = !j;
    if (j)
        (void)take_pending(l);
    return j;
}

void gw_sender_pump(struct gw_lane *l)
{
    struct gw_job *j;

    if (l->pumping) /* an answer from inside of send: the loop below goes on by itself */
        return;
    l->pumping = true;
    while (!l->edge->closing && (j = next_job(l)))
        start(j);
    gw_gate_rest(l, gw_loop_now_ns(gw_lane_loop(l)));
    if (l->starved && !gw_timer_is_armed(&l->gate.timer)) /* nothing else may come that would try again */
        gw_timer_arm(gw_lane_loop(l), &l->gate.timer, gw_loop_now_ns(gw_lane_loop(l)) + STARVED_PAUSE_NS);
    l->starved = false;
    l->pumping = false;
}

bool gw_sender_try(struct gw_lane *l, struct gw_chunk *c, unsigned crashes)
{
    struct gw_job *j = new_job(l, c);

    if (!j)
        return false;
    j->on_trial = crashes;
    start(j);
    return true;
}

bool gw_sender_bury(struct gw_lane *l, struct gw_chunk *c, const struct gw_fate *f, unsigned attempts)
{
    struct gw_job *j = new_job(l, c);

    if (!j)
        return false;
    j->a.number = attempts;
    give_up(j, f);
    return true;
}

void gw_sender_refuse_chunk(struct gw_lane *l, struct gw_chunk *c, const char *reason, const char *message,
                            uint64_t retry_after_ns)
{
    gw_metric_add(l->failed, c->rows);
    gw_edge_drop(l, c->book, c->rows, reason);
    if (c->n_receipts == 0) /* nobody else has them */
        gw_edge_sample(l, c->book, reason, gw_chunk_rope(c).parts[0], GW_BODY_SENT);
    gw_chunk_settle(c, 0, GW_REFUSED, 14, retry_after_ns, message);
    gw_edge_done(l, c);
}

void gw_sender_refuse_job(struct gw_job *j, const char *reason, const char *message, uint64_t retry_after_ns)
{
    const struct gw_fate f = {reason, reason, message, 14, retry_after_ns, GW_REFUSED, 0};

    gw_metric_add(j->lane->failed, j->a.rows);
    gw_edge_drop(j->lane, j->chunk->book, j->a.rows, reason);
    finish(j, j->rejected_rows, GW_REFUSED, &f);
}

bool gw_sender_drop_oldest(struct gw_lane *l, const char *reason)
{
    struct gw_chunk *c = l->pending ? take_pending(l) : NULL;

    if (!c)
        return false;
    gw_tab_count(c->tab, GW_LOG_DROPPED, c->rows);
    gw_edge_drop(l, c->book, c->rows, reason);
    gw_edge_sample(l, c->book, reason, gw_chunk_rope(c).parts[0], GW_BODY_SENT);
    gw_chunk_settle(c, 0, GW_DROPPED, 0, 0, NULL);
    gw_edge_done(l, c);
    return true;
}

void gw_sender_hurry(struct gw_lane *l)
{
    uint64_t soon = gw_loop_now_ns(gw_lane_loop(l)) + GW_DRAIN_PAUSE_NS;

    gw_gate_hurry(l, gw_loop_now_ns(gw_lane_loop(l)), GW_DRAIN_PAUSE_NS);
    if (l->edge->ops->hurry)
        l->edge->ops->hurry(l->edge->conf.self, GW_DRAIN_PAUSE_NS);
    for (struct gw_job *j = l->jobs; j; j = j->next)
        if (!j->sending && !j->tries.wished && !j->fate && gw_timer_is_armed(&j->timer) && j->timer.due_ns > soon)
            gw_timer_arm(gw_lane_loop(l), &j->timer, soon);
}

/* Nobody waits for these rows, and nobody else has them: the dead letter port may take them. */
static bool bury_pending(struct gw_lane *l, struct gw_chunk *c, const struct gw_fate *f)
{
    struct gw_job *j = l->edge->n_dead_letters && c->n_receipts == 0 ? new_job(l, c) : NULL;

    if (j)
        give_up(j, f);
    return j != NULL;
}

void gw_sender_cut(struct gw_lane *l)
{
    const struct gw_fate f = {"shutdown", "shutdown", "the gateway stopped before the sink answered", 14, 0,
                              GW_REFUSED, 0};
    struct gw_edge *e = l->edge;

    for (struct gw_job *j = l->jobs, *next; j; j = next) {
        next = j->next;
        if (!j->sending) {
            give_up(j, &f);
        } else if (!j->cancelled) {
            j->cancelled = true;
            if (e->ops->cancel)
                e->ops->cancel(e->conf.self, &j->a);
        }
    }
    gw_timer_disarm(&l->gate.timer);
    gw_graves_cut(l);
    while (l->pending) {
        struct gw_chunk *c = take_pending(l);

        if (c->tab) {
            gw_grave_leave(l, c->book, c->tab, c->rows);
            gw_edge_done(l, c);
        } else if (!bury_pending(l, c, &f)) {
            gw_sender_refuse_chunk(l, c, "shutdown", f.message, 0);
        }
    }
}
