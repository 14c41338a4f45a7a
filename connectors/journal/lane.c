/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver's side: what a pipeline has not had yet goes through its door, a partition at a time in order.
 *
 *   taken   1 2 3 4 5        frames of one partition, in memory
 *           └─┬─┘            one request: refused, it goes again later, and what follows waits for it
 *             done ─► position
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

enum { PAUSE_MIN_NS = 100000000, LOOK_NS = 100000000 };
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

static bool is_ours(const struct lane *n, uint16_t partition)
{
    return n->local->owned >> partition & 1;
}

/* ---- taking ----------------------------------------------------------------------------------------------- */

bool gw_journal_lane_take(struct lane *n, struct block *b, uint32_t frame)
{
    const struct block_frame *f = &b->frames[frame];
    struct part *p = &n->parts[f->partition];
    struct taken *t;

    if (f->seq < p->read)
        return true;
    t = malloc(sizeof(*t));
    if (!t)
        return false;
    *t = (struct taken){.block = gw_journal_block_ref(b), .frame = frame};
    *p->last = t;
    p->last = &t->next;
    p->read = f->seq + 1;
    n->bytes += f->body.n;
    return true;
}

static void drop_first(struct lane *n, struct part *p)
{
    struct taken *t = p->first;

    p->first = t->next;
    if (!p->first)
        p->last = &p->first;
    n->bytes -= t->block->frames[t->frame].body.n;
    gw_journal_block_unref(t->block);
    free(t);
}

/* A reload may have made it smaller than what is there. */
static uint64_t room(const struct lane *n)
{
    uint64_t most = atomic_load_explicit(&n->local->journal->in_flight_bytes, memory_order_relaxed);

    return n->bytes < most ? most - n->bytes : 0;
}

static bool has_room(const struct lane *n)
{
    return room(n) > 0;
}

static bool at_head(const struct lane *n)
{
    const struct local *l = n->local;

    return l->head_first < l->head_end && n->next >= block_first(l->head[l->head_first % l->head_cap]);
}

/* Frames of one block from `next` on. False: there is no more room. */
static bool take_block(struct lane *n, struct block *b)
{
    for (uint32_t i = 0; i < b->n_frames; i++) {
        const struct block_frame *f = &b->frames[i];

        if (f->seq < n->next)
            continue;
        if (!has_room(n))
            return false;
        if (b->signal == n->signal && is_ours(n, f->partition) && f->seq >= n->parts[f->partition].read) {
            if (!gw_journal_lane_take(n, b, i))
                return false;
            gw_metric_add(n->local->journal->from_head, 1);
        }
        n->next = f->seq + 1;
    }
    return true;
}

static void take_from_head(struct lane *n)
{
    struct local *l = n->local;

    if (n->head_at < l->head_first)
        n->head_at = l->head_first;
    while (n->head_at > l->head_first && block_first(l->head[(n->head_at - 1) % l->head_cap]) >= n->next)
        n->head_at--;
    while (n->head_at < l->head_end && take_block(n, l->head[n->head_at % l->head_cap]))
        n->head_at++;
}

/* While something is being read, what comes is behind it. */
static void take_more(struct lane *n)
{
    if (!has_room(n) || n->local->quiesced || n->fetch.under_way)
        return;
    if (at_head(n)) {
        gw_journal_fetch_end(n);
        take_from_head(n);
        n->ended = n->head_at == n->local->head_end; /* until the next commit: nothing to look for in the log */
    } else if (!n->ended) {
        gw_journal_fetch_begin(n, room(n));
    }
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

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

/* The whole lane waits: its partitions share the way. */
static void pause(struct lane *n, uint64_t wish_ns)
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

static void done(struct lane *n, struct part *p, uint32_t n_sent)
{
    for (; n_sent > 0; n_sent--) {
        p->done = p->first->block->frames[p->first->frame].seq + 1;
        gw_metric_add(n->consumer->rows, p->first->block->frames[p->first->frame].rows);
        drop_first(n, p);
    }
    n->dirty = true;
    p->copy = false;
    p->alone -= p->alone > 0;
}

/* What the pipeline behind will never take was counted there with its reason, and is its dead letter. */
static void failed(struct lane *n, struct part *p, uint32_t n_sent, const struct gw_verdict *v)
{
    uint64_t rows = 0;
    struct taken *t = p->first;

    for (uint32_t i = 0; i < n_sent; i++, t = t->next)
        rows += t->block->frames[t->frame].rows;
    gw_metric_add(n->consumer->failed, rows);
    gw_log(&n->local->journal->ctx.logger, GW_LOG_WARN, "%s: %llu rows will never be taken (%d): %s",
           n->intake->pipeline, (unsigned long long)rows, v->grpc_status, v->message ? v->message : "");
    done(n, p, n_sent);
}

static void verdict(struct lane *n, struct part *p, const struct gw_verdict *v)
{
    uint32_t n_sent = p->n_sent;

    p->n_sent = 0;
    if (v->grpc_status == 0) {
        n->pause_ns = 0;
        done(n, p, n_sent);
    } else if (is_for_now(v)) {
        pause(n, v->retry_after_ns);
    } else {
        failed(n, p, n_sent, v);
    }
}

static void on_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct lane *n = local;

    if (!n) /* the worker is leaving: the log gives it again */
        return;
    verdict(n, &n->parts[ack->slot], v);
    gw_loop_again(n->local->loop);
}

/* How many frames make the next request: of one meta, and no more than JOURNAL_REQUEST_BYTES unless one alone is. */
static uint32_t count_next(const struct part *p, size_t *ret_bytes)
{
    const struct gw_meta *meta = p->first->block->meta;
    uint32_t n = 0;

    *ret_bytes = 0;
    for (const struct taken *t = p->first; t; t = t->next, n++) {
        size_t bytes = t->block->frames[t->frame].body.n;

        if (n > 0 && (p->alone || *ret_bytes + bytes > JOURNAL_REQUEST_BYTES || !gw_meta_eq(t->block->meta, meta)))
            break;
        *ret_bytes += bytes;
    }
    return n;
}

/* OTLP messages one behind the other are one message. */
static struct gw_slice merge(struct lane *n, const struct part *p, uint32_t count)
{
    const struct taken *t = p->first;

    gw_buf_reset(&n->merged);
    for (uint32_t i = 0; i < count; i++, t = t->next)
        gw_buf_put_slice(&n->merged, t->block->frames[t->frame].body);
    return gw_buf_slice(&n->merged);
}

static int submit(struct lane *n, struct part *p, uint32_t count, size_t bytes, struct gw_verdict *ret)
{
    struct block *b = p->first->block;
    struct gw_hold hold = {0};
    struct gw_request rq = {
        .hold = &hold, .encoding = GW_ENC_PROTO, .meta = b->meta, .ack = {.slot = (uint32_t)(p - n->parts)}};
    int rc = n->intake->ops->admit(n->intake, &hold, n->signal, bytes, ret);

    if (rc < 0)
        return rc;
    if (count == 1) {
        rq.bytes = b->frames[p->first->frame].body;
        rq.payload = p->copy ? NULL : gw_payload_ref(b->payload);
    } else {
        rq.bytes = merge(n, p, count);
        rc = n->merged.failed ? -EBUSY : 0;
    }
    p->n_sent = count;
    if (rc == 0)
        rc = n->intake->ops->submit(n->intake, &rq, ret);
    if (rc < 0) {
        p->n_sent = 0;
        n->intake->ops->release(n->intake, &hold);
        (void)gw_payload_unref(rq.payload);
        p->copy = true; /* it may have been that */
    }
    return rc;
}

/* False: the way is full. */
static bool send_part(struct lane *n, struct part *p)
{
    struct gw_verdict v = {.grpc_status = UNAVAILABLE};
    size_t bytes;
    uint32_t count = count_next(p, &bytes);
    int rc = submit(n, p, count, bytes, &v);

    if (rc == 0)
        return true;
    if (rc == -ENOTSUP) /* the pipeline is not there: it may come again */
        v.grpc_status = UNAVAILABLE;
    if (!is_for_now(&v) && count > 1) {
        p->alone = count;
        return true;
    }
    p->n_sent = count;
    verdict(n, p, &v);
    return !is_for_now(&v);
}

/* True: something was sent. */
static bool send_more(struct lane *n)
{
    bool any = false;

    if (n->retry_ns > gw_loop_now_ns(n->local->loop) || n->local->quiesced)
        return false;
    for (unsigned k = 0; k < JOURNAL_PARTITIONS; k++) {
        struct part *p = &n->parts[(n->turn + k) % JOURNAL_PARTITIONS]; /* another one begins each time */

        if (!p->first || p->n_sent)
            continue;
        if (!send_part(n, p))
            return any;
        any = true;
    }
    n->turn++;
    return any;
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void look(struct lane *n)
{
    uint64_t row = UINT64_MAX, ns = 0;

    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++) {
        const struct taken *t = n->parts[i].first;

        if (t && t->block->frames[t->frame].row < row) {
            row = t->block->frames[t->frame].row;
            ns = t->block->frames[t->frame].time_ns;
        }
    }
    atomic_store_explicit(&n->oldest_row, row, memory_order_relaxed);
    atomic_store_explicit(&n->oldest_ns, ns, memory_order_relaxed);
}

bool gw_journal_lane_run(struct lane *n)
{
    bool sent;

    take_more(n);
    sent = send_more(n);
    gw_journal_positions_run(n);
    look(n);
    return sent;
}

static bool is_behind(const struct lane *n)
{
    struct gw_log_stats s;

    gw_log_stats(n->local->journal->log, &s);
    return n->next < s.end_seq;
}

void gw_journal_lane_look(struct lane *n)
{
    n->ended = n->ended && !is_behind(n);
}

uint64_t gw_journal_lane_due(const struct lane *n)
{
    uint64_t now = gw_loop_now_ns(n->local->loop), due = n->dirty || n->commit_ns > now ? n->commit_ns : 0, look;

    look = n->retry_ns > now ? n->retry_ns : !n->local->quiesced && has_room(n) && is_behind(n) ? now + LOOK_NS : 0;
    return look && (!due || look < due) ? look : due;
}

bool gw_journal_lane_is_idle(const struct lane *n)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        if (n->parts[i].n_sent)
            return false;
    return !n->positions.under_way && !n->dirty && !n->fetch.under_way;
}

static void find_low(void *arg, const struct gw_log_consumer *c)
{
    struct lane *n = arg;

    if (c->id == n->consumer->id)
        n->next = c->low;
}

/* Where the consumer stands in each partition of ours. */
static int find_positions(struct lane *n)
{
    struct gw_log *log = n->local->journal->log;
    uint64_t low, least = UINT64_MAX;
    int rc = gw_log_consumers(log, find_low, n);

    low = n->next;
    for (uint16_t i = 0; i < JOURNAL_PARTITIONS && rc == 0; i++) {
        struct part *p = &n->parts[i];

        p->last = &p->first;
        rc = gw_log_position(log, n->consumer->id, i, &p->committed, NULL, NULL);
        p->read = p->done = p->committed > low ? p->committed : low;
        if (is_ours(n, i) && p->read < least)
            least = p->read;
    }
    n->next = least;
    return rc;
}

int gw_journal_lane_open(struct lane *n, struct local *l, struct gw_intake *in, struct consumer *c, struct gw_err *err)
{
    int rc;

    n->local = l;
    n->intake = in;
    n->consumer = c;
    n->signal = (enum gw_signal)in->signals;
    gw_buf_init(&n->merged, 2 * JOURNAL_REQUEST_BYTES);
    gw_buf_init(&n->fetch.last_meta_bytes, GW_LOG_MAX_META_BYTES);
    in->on_verdict = on_verdict;
    in->local = n;
    rc = find_positions(n);
    n->ended = !is_behind(n);
    return rc < 0 ? gw_fail(err, rc, "pipeline %s: its position is not known: %s", in->pipeline, strerror(-rc)) : 0;
}

void gw_journal_lane_close(struct lane *n)
{
    if (n->intake)
        n->intake->local = NULL;
    gw_journal_fetch_close(n);
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        while (n->parts[i].first)
            drop_first(n, &n->parts[i]);
    gw_buf_clear(&n->merged);
}
