/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane has taken goes through its pipeline's door, a partition at a time in order.
 *
 *   taken      1 2 3 4 5 6      frames of one partition, in memory
 *              └─┬─┘ └┬┘ └ unsent
 *   requests     │    └ under way
 *                └ refused: it goes again later, and what is unsent waits for it
 *
 * One request of a partition is under way; where the queues behind are in memory alone, which keep no order themselves,
 * as many as there are: else each would wait for the batch and the answer of the one before. The position is behind
 * what is done without a gap.
 *
 * in_order: one at a time there, too. So that this is no slower with many clients, a request takes in what has come
 * over other connections meanwhile: then it has no peer.
 */
#include <stdlib.h>

#include "batch/meta.h"
#include "connectors/journal/journal.h"

enum { PAUSE_MIN_NS = 100000000 };
#define PAUSE_MAX_NS UINT64_C(5000000000)
enum {
    CANCELLED = 1,
    DEADLINE_EXCEEDED = 4,
    RESOURCE_EXHAUSTED = 8,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    UNAVAILABLE = 14,
    DATA_LOSS = 15
};

/* Of requests: partitions, and one of groups; behind these the partitions of the lane that reads again. */
enum { SLOTS = JOURNAL_PARTITIONS + 1 };

enum state { UNDER_WAY, AGAIN, DONE };

struct request {
    struct request *next;
    struct taken *first;
    uint32_t number, n_frames;
    uint32_t slot;  /* in the flight record; 0: none */
    uint32_t group; /* handed over with others; 0: alone */
    enum state state;
};

/* 4.1 of the OTLP specification: what may be sent again. */
static bool is_for_now(const struct gw_verdict *v)
{
    switch (v->grpc_status) {
    case CANCELLED:
    case DEADLINE_EXCEEDED:
    case ABORTED:
    case OUT_OF_RANGE:
    case UNAVAILABLE:
    case DATA_LOSS:
        return true;
    default:
        return v->grpc_status == RESOURCE_EXHAUSTED && v->retry_after_ns > 0;
    }
}

void gw_journal_pause(struct lane *n, uint64_t wish_ns)
{
    uint64_t now = gw_loop_now_ns(n->local->loop);

    if (n->retry_ns > now)
        return;
    n->pause_ns = n->pause_ns ? 2 * n->pause_ns : PAUSE_MIN_NS;
    if (n->pause_ns > PAUSE_MAX_NS)
        n->pause_ns = PAUSE_MAX_NS;
    n->retry_ns = now + (wish_ns && wish_ns < n->pause_ns ? wish_ns : n->pause_ns);
    gw_metric_add(n->consumer->retries, 1);
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static struct request *add_request(struct lane *n, struct part *p, uint32_t n_frames)
{
    struct request *r = malloc(sizeof(*r));

    if (!r)
        return NULL;
    *r = (struct request){.first = p->unsent, .number = p->next_number++, .n_frames = n_frames};
    for (uint32_t i = 0; i < n_frames; i++)
        p->unsent = p->unsent->next;
    n->n_unsent -= n_frames;
    n->n_requests++;
    *p->last_request = r;
    p->last_request = &r->next;
    return r;
}

/* The newest one was not taken: its frames are as they were. */
static void take_back(struct lane *n, struct part *p, struct request *r)
{
    struct request **at = &p->requests;

    while (*at != r)
        at = &(*at)->next;
    *at = NULL;
    p->last_request = at;
    p->unsent = r->first;
    n->n_unsent += r->n_frames;
    n->n_requests--;
    free(r);
}

struct request *gw_journal_request_in_group(struct lane *n, struct part *p, uint32_t group)
{
    struct request *r = add_request(n, p, 1);

    if (!r)
        return NULL;
    r->group = group;
    r->slot = gw_journal_suspects_begin(n, p, r->first, 1);
    return r;
}

void gw_journal_request_undo(struct lane *n, struct part *p, struct request *r)
{
    gw_journal_suspects_end(n, p, r->slot, NULL);
    take_back(n, p, r);
}

/* What is done without a gap leaves. */
static void leave(struct lane *n, struct part *p)
{
    struct request *r;

    while ((r = p->requests) != NULL && r->state == DONE) {
        for (uint32_t i = 0; i < r->n_frames; i++) {
            p->done = p->first->block->frames[p->first->frame].seq + 1;
            if (n->keeper)
                gw_journal_keep_had(n, p->done);
            if (!n->is_again)
                gw_metric_add(n->consumer->rows, p->first->block->frames[p->first->frame].rows);
            gw_journal_lane_drop(n, p);
        }
        p->requests = r->next;
        if (!p->requests)
            p->last_request = &p->requests;
        n->n_requests--;
        free(r);
        n->dirty = true;
        if (n->n_suspects)
            gw_journal_suspects_passed(n, p);
    }
}

/* What the pipeline behind will never take was counted there with its reason, and is its dead letter. */
static void failed(struct lane *n, const struct request *r, const struct gw_verdict *v)
{
    const struct taken *t = r->first;
    uint64_t rows = 0;

    for (uint32_t i = 0; i < r->n_frames; i++, t = t->next)
        rows += t->block->frames[t->frame].rows;
    gw_metric_add(n->consumer->failed, rows);
    gw_log(&n->local->journal->ctx.logger, GW_LOG_WARN, "%s: %llu rows will never be taken (%d): %s",
           n->intake->pipeline, (unsigned long long)rows, v->grpc_status, v->message ? v->message : "");
}

/* It is not under way any more. */
static void settle(struct lane *n, struct part *p, struct request *r, const struct gw_verdict *v)
{
    if (v->grpc_status != 0 && is_for_now(v)) {
        r->state = AGAIN;
        p->n_again++;
        gw_journal_pause(n, v->retry_after_ns);
        return;
    }
    if (n->keeper)
        gw_journal_keep_news(n);
    if (v->grpc_status == 0)
        n->pause_ns = 0;
    else
        failed(n, r, v);
    r->state = DONE;
    p->copy = false;
    p->alone -= p->alone > 0;
    leave(n, p);
}

static void answered(struct lane *n, struct part *p, struct request *r, const struct gw_verdict *v)
{
    gw_journal_suspects_end(n, p, r->slot, r->first);
    r->slot = r->group = 0;
    settle(n, p, r, v);
}

static void group_answered(struct lane *n, uint32_t group, const struct gw_verdict *v)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++) {
        struct request *r = n->parts[i].requests;

        while (r && r->group != group)
            r = r->next;
        if (r)
            answered(n, &n->parts[i], r, v);
    }
}

void gw_journal_send_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct lane *n = local;
    struct request *r;
    struct part *p;

    if (!n) /* the worker is leaving: the log gives it again */
        return;
    if (ack->slot > JOURNAL_PARTITIONS)
        n = n->again;
    n->n_under_way--;
    if (ack->slot == JOURNAL_PARTITIONS) {
        group_answered(n, ack->stream, v);
    } else {
        p = &n->parts[ack->slot % SLOTS];
        r = p->requests;
        while (r && r->number != ack->stream)
            r = r->next;
        if (r)
            answered(n, p, r, v);
    }
    if (!n->is_inside)
        gw_loop_again(n->local->loop);
}

void gw_journal_send_close(struct lane *n, struct part *p)
{
    for (struct request *r = p->requests, *next; r; r = next) {
        next = r->next;
        gw_flight_end(n->flight, r->slot);
        free(r);
    }
    p->requests = NULL;
}

/* ---- on their way ----------------------------------------------------------------------------------------- */

static bool in_order(const struct lane *n)
{
    return atomic_load_explicit(&n->local->journal->in_order, memory_order_relaxed);
}

static bool go_together(const struct lane *n, const struct gw_meta *a, const struct gw_meta *b)
{
    return in_order(n) || n->keeper ? gw_meta_eq_but_peer(a, b) : gw_meta_eq(a, b);
}

/* How many frames make the next request: of one meta, and no more than JOURNAL_REQUEST_BYTES unless one alone is. A
 * suspect is alone. */
static uint32_t count_next(const struct lane *n, const struct part *p)
{
    const struct gw_meta *meta = p->unsent->block->meta;
    size_t all = 0;
    uint32_t count = 0;

    if (gw_journal_is_suspect(n, p, p->unsent))
        return 1;
    for (const struct taken *t = p->unsent; t; t = t->next, count++) {
        size_t bytes = t->block->frames[t->frame].body.n;

        if (count > 0 && n->keeper &&
            (t->step_ns != p->unsent->step_ns || is_tick(&t->block->frames[t->frame]) ||
             is_tick(&p->unsent->block->frames[p->unsent->frame])))
            break;
        if (count > 0 && (p->alone || all + bytes > JOURNAL_REQUEST_BYTES || !go_together(n, t->block->meta, meta) ||
                          gw_journal_is_suspect(n, p, t)))
            break;
        all += bytes;
    }
    return count;
}

static size_t bytes_of(const struct request *r)
{
    const struct taken *t = r->first;
    size_t bytes = 0;

    for (uint32_t i = 0; i < r->n_frames; i++, t = t->next)
        bytes += t->block->frames[t->frame].body.n;
    return bytes;
}

/* OTLP messages one behind the other are one message. */
static struct gw_slice merge(struct lane *n, const struct request *r)
{
    const struct taken *t = r->first;

    gw_buf_reset(&n->merged);
    for (uint32_t i = 0; i < r->n_frames; i++, t = t->next)
        gw_buf_put_slice(&n->merged, t->block->frames[t->frame].body);
    return gw_buf_slice(&n->merged);
}

static bool is_of_one_peer(const struct request *r)
{
    const struct taken *t = r->first->next;

    for (uint32_t i = 1; i < r->n_frames; i++, t = t->next)
        if (!gw_meta_eq(t->block->meta, r->first->block->meta))
            return false;
    return true;
}

/* Borrowed. False: no memory. */
static bool meta_of(struct lane *n, const struct request *r, struct gw_meta **ret)
{
    struct gw_meta from;

    *ret = r->first->block->meta;
    if (is_of_one_peer(r))
        return true;
    if (!n->merged_meta || !gw_meta_eq_but_peer(n->merged_meta, *ret)) {
        from = **ret;
        from.peer = GW_SLICE("");
        (void)gw_meta_unref(n->merged_meta);
        n->merged_meta = gw_meta_new(&from);
    }
    *ret = n->merged_meta;
    return *ret != NULL;
}

/* Its verdict may come from inside: then it is gone. Refused, it is as it was. */
static int submit(struct lane *n, struct part *p, struct request *r, struct gw_verdict *ret)
{
    struct block *b = r->first->block;
    struct gw_hold hold = {0};
    uint32_t slot = (uint32_t)(p - n->parts) + (n->is_again ? SLOTS : 0);
    struct gw_request rq = {.hold = &hold, .encoding = GW_ENC_PROTO, .ack = {.slot = slot, .stream = r->number}};
    int rc = n->intake->ops->admit(n->intake, &hold, n->signal, bytes_of(r), ret);
    uint32_t before;

    if (rc < 0) {
        gw_journal_suspects_end(n, p, 0, NULL);
        return rc;
    }
    if (r->n_frames == 1) {
        rq.bytes = b->frames[r->first->frame].body;
        rq.payload = p->copy ? NULL : gw_payload_ref(b->payload);
    } else {
        rq.bytes = merge(n, r);
        rc = n->merged.failed ? -EBUSY : 0;
    }
    if (!meta_of(n, r, &rq.meta))
        rc = -EBUSY;
    n->n_under_way++;
    r->slot = gw_journal_suspects_begin(n, p, r->first, r->n_frames);
    before = gw_flight_enter(n->scope);
    if (rc == 0)
        rc = n->intake->ops->submit(n->intake, &rq, ret);
    (void)gw_flight_enter(before);
    if (rc < 0) {
        gw_journal_suspects_end(n, p, r->slot, NULL);
        r->slot = 0;
        n->n_under_way--;
        n->intake->ops->release(n->intake, &hold);
        (void)gw_payload_unref(rq.payload);
        p->copy = true; /* it may have been that */
    }
    return rc;
}

/* False: the way is full. */
static bool send_again(struct lane *n, struct part *p)
{
    struct gw_verdict v = {.grpc_status = UNAVAILABLE};
    struct request *r = p->requests;
    int rc;

    while (r->state != AGAIN)
        r = r->next;
    p->n_again--;
    r->state = UNDER_WAY;
    rc = submit(n, p, r, &v);
    if (rc == -ENOTSUP) /* the pipeline is not there: it may come again */
        v.grpc_status = UNAVAILABLE;
    if (rc < 0)
        settle(n, p, r, &v);
    return rc == 0 || !is_for_now(&v);
}

/* The same. */
static bool send_next(struct lane *n, struct part *p)
{
    struct gw_verdict v = {.grpc_status = UNAVAILABLE};
    uint32_t count = count_next(n, p);
    struct request *r = add_request(n, p, count);
    int rc;

    if (r && is_tick(&r->first->block->frames[r->first->frame])) {
        r->state = DONE;
        leave(n, p);
        return true;
    }
    rc = r ? submit(n, p, r, &v) : -ENOMEM;

    if (rc == 0)
        return true;
    if (rc == -ENOTSUP)
        v.grpc_status = UNAVAILABLE;
    if (is_for_now(&v)) {
        if (r)
            take_back(n, p, r);
        gw_journal_pause(n, v.retry_after_ns);
        return false;
    }
    if (count > 1) {
        take_back(n, p, r);
        p->alone = count;
    } else {
        settle(n, p, r, &v);
    }
    return true;
}

bool gw_journal_send_one(struct lane *n, struct part *p)
{
    return send_next(n, p);
}

bool gw_journal_send_letter(struct lane *n, struct part *p, const struct gw_buried *b)
{
    const struct block *block = p->unsent->block;
    struct gw_hold hold = {.signal = n->signal};
    struct gw_request rq = {.hold = &hold, .meta = block->meta, .bytes = block->frames[p->unsent->frame].body};
    struct request *r = add_request(n, p, 1);
    int rc = -ENOMEM;

    if (r) {
        rq.ack = (struct gw_ack){.slot = (uint32_t)(p - n->parts), .stream = r->number};
        rc = n->intake->ops->bury(n->intake, &rq, b);
    }
    if (rc == 0)
        n->n_under_way++;
    if (rc < 0 && r)
        take_back(n, p, r);
    if (rc > 0) {
        r->state = DONE;
        leave(n, p);
    }
    return rc >= 0;
}

bool gw_journal_may_send(const struct lane *n, const struct part *p)
{
    if (n->keeper && !gw_journal_keep_may_send(n, p))
        return false;
    return p->unsent && (!p->requests || (n->intake->many && !in_order(n))) && !gw_journal_is_suspect(n, p, p->unsent);
}

static bool is_to_do(const struct lane *n)
{
    return n->n_unsent || n->n_requests; /* these may have been refused */
}

bool gw_journal_send_more(struct lane *n)
{
    bool any = false;

    if (n->retry_ns > gw_loop_now_ns(n->local->loop) || lane_rests(n))
        return false;
    if (!gw_journal_suspects_hold(n) && !gw_journal_live_send(n))
        return false;
    for (unsigned k = 0; k < JOURNAL_PARTITIONS && is_to_do(n) && !gw_journal_suspects_hold(n); k++) {
        struct part *p = &n->parts[(n->turn + k) % JOURNAL_PARTITIONS]; /* another one begins each time */

        for (; p->n_again || gw_journal_may_send(n, p); any = true)
            if (!(p->n_again ? send_again(n, p) : send_next(n, p)))
                return any;
    }
    n->turn++;
    return gw_journal_suspects_run(n) || any;
}
