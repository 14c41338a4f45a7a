/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane is behind is read by the log's reader thread, so that a cold disk stalls no worker.
 *
 *   worker   begin ─► task ─┐                         ┌─► inbox ─► take: frames in order ─► begin again, while there is
 * room reader                  └► frames, `room` bytes ──┘
 *
 * One at a time for each lane. While it is under way the fetch is the reader thread's, and the lane takes nothing.
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

enum { TURN_BYTES = 2 << 20, AGAIN_NS = 100000000 };

/* ---- on the reader thread --------------------------------------------------------------------------------- */

static int open_reader(struct fetch *f)
{
    const struct lane *n = f->lane;
    /* Ticks have no rows, so a reader by consumer passes over them; a lane that keeps knows by its places what it had.
     */
    struct gw_log_reader_conf conf = {.consumer = n->keeper ? 0 : n->consumer->id,
                                      .partitions = n->owned,
                                      .topics = UINT64_C(1) << ((unsigned)n->signal >> 1)};
    int rc = gw_log_reader_new(n->local->journal->log, &conf, &f->reader);

    return rc == 0 ? gw_log_seek(f->reader, GW_LOG_PARTITIONS, f->from) : rc;
}

static void close_reader(struct fetch *f)
{
    gw_log_reader_free(f->reader);
    f->reader = NULL;
}

/* Frames of one request have one meta, and so have those of one client: the last one is kept for the next. */
static int meta_of(struct fetch *f, struct gw_slice bytes, struct gw_meta **ret)
{
    struct gw_slice ids;

    *ret = NULL;
    if (!gw_meta_split(bytes, &ids, &bytes) || bytes.n == 0)
        return 0;
    if (!f->last_meta || !gw_slice_eq(bytes, gw_buf_slice(&f->last_meta_bytes))) {
        (void)gw_meta_unref(f->last_meta);
        if (gw_meta_read(bytes, &f->last_meta) == -ENOMEM)
            return -ENOMEM;
        gw_buf_reset(&f->last_meta_bytes);
        gw_buf_put_slice(&f->last_meta_bytes, bytes);
    }
    *ret = f->last_meta ? gw_meta_ref(f->last_meta) : NULL;
    return 0;
}

static bool add(struct fetch *f, const struct gw_log_frame *frame)
{
    struct block *b = gw_journal_block_new(f->lane->local->journal, 1, 0, frame->body.n);

    if (!b)
        return false;
    b->signal = f->lane->signal;
    if (meta_of(f, frame->meta, &b->meta) < 0) {
        gw_journal_block_unref(b);
        return false;
    }
    if (frame->body.n)
        memcpy(b->payload->p, frame->body.p, frame->body.n);
    b->payload->n = (uint32_t)frame->body.n;
    b->frames[0] = (struct block_frame){.seq = frame->seq,
                                        .row = frame->row,
                                        .time_ns = frame->time_ns,
                                        .rows = frame->rows,
                                        .partition = frame->partition,
                                        .body = {b->payload->p, frame->body.n}};
    *f->last = b;
    f->last = &b->next;
    return true;
}

/* Returns as gw_log_next for the last frame that it wanted: 1 when the room is used up. */
static int read_frames(struct fetch *f)
{
    uint64_t bytes = 0;
    int rc = f->reader ? 0 : open_reader(f);

    for (rc = rc < 0 ? rc : 1; rc > 0 && bytes < f->room && !atomic_load(&f->stop);) {
        struct gw_log_entry e = {0};

        rc = gw_log_next(f->reader, &e);
        f->lost_frames += e.lost_frames;
        f->lost_rows += e.lost_rows;
        if (rc > 0 && e.frame.seq >= f->below[e.frame.partition] && !add(f, &e.frame))
            rc = -ENOMEM;
        bytes += rc > 0 ? e.frame.body.n : 0;
        if (rc > 0)
            f->next = e.frame.seq + 1;
    }
    f->bytes = bytes;
    if (rc < 0) /* from the same frame again */
        close_reader(f);
    return rc;
}

static void run(struct gw_task *t)
{
    struct fetch *f = (struct fetch *)t;
    struct local *l = f->lane->local;
    struct gw_env *env = l->journal->ctx.env;
    uint64_t began_ns = gw_mono_ns(env);

    f->rc = read_frames(f);
    gw_metric_add(l->journal->fetch_bytes, f->bytes);
    gw_metric_add(l->journal->fetch_ns, gw_mono_ns(env) - began_ns);
    if (gw_inbox_push(&l->fetched, &f->back))
        gw_loop_wake(l->loop);
}

/* ---- on the worker ---------------------------------------------------------------------------------------- */

void gw_journal_fetch_begin(struct lane *n, uint64_t room)
{
    struct fetch *f = &n->fetch;
    uint64_t all = atomic_load_explicit(&n->local->journal->in_flight_bytes, memory_order_relaxed);

    /* Not for every frame that leaves: then the threads would only wake each other. */
    if (f->under_way || (n->bytes && room < all / 4) || gw_loop_now_ns(n->local->loop) < f->again_ns)
        return;
    f->lane = n;
    f->task.run = run;
    f->room = room < TURN_BYTES ? room : TURN_BYTES;
    f->from = f->next = n->next;
    f->head_end = n->local->head_end;
    f->first = NULL;
    f->last = &f->first;
    f->lost_frames = f->lost_rows = 0;
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        f->below[i] = part_of(n, (uint16_t)i)->read;
    f->under_way = true;
    gw_tasks_put(n->local->journal->reader, &f->task);
}

static void tell(struct lane *n, const struct fetch *f)
{
    if (f->lost_frames) {
        gw_metric_add(n->consumer->lost, f->lost_rows);
        gw_log(&n->local->journal->ctx.logger, GW_LOG_ERROR, "%s: %llu rows of the journal are damaged and lost",
               n->intake->pipeline, (unsigned long long)f->lost_rows);
    }
    if (f->rc < 0 && f->rc != -ENOMEM)
        gw_log(&n->local->journal->ctx.logger, GW_LOG_ERROR, "%s: the journal cannot be read: %s", n->intake->pipeline,
               strerror(-f->rc));
}

static struct block *drop_first(struct fetch *f)
{
    struct block *b = f->first;

    f->first = b->next;
    gw_journal_block_unref(b);
    return f->first;
}

/* What was read goes to the lane, in order. Without memory for that the rest is read again. */
static void take(struct lane *n)
{
    struct fetch *f = &n->fetch;
    bool all = true;

    f->under_way = false;
    while (f->first && (all = gw_journal_lane_take(n, f->first, 0))) {
        n->next = f->first->frames[0].seq + 1;
        (void)drop_first(f);
        gw_metric_add(n->local->journal->from_log, 1);
    }
    while (f->first)
        (void)drop_first(f);
    if (all)
        n->next = f->next;
    else
        close_reader(f);
    if (f->rc < 0)
        f->again_ns = gw_loop_now_ns(n->local->loop) + AGAIN_NS;
    n->ended = f->rc == 0 && f->head_end == n->local->head_end;
    tell(n, f);
}

void gw_journal_fetched(struct local *l)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&l->fetched), *next; i; i = next) {
        next = i->next;
        take(((struct fetch *)((char *)i - offsetof(struct fetch, back)))->lane);
    }
}

void gw_journal_fetch_end(struct lane *n)
{
    if (!n->fetch.under_way)
        close_reader(&n->fetch);
}

/* What was on its way back is not wanted any more. */
void gw_journal_fetch_close(struct lane *n)
{
    struct fetch *f = &n->fetch;

    atomic_store(&f->stop, true);
    if (f->under_way)
        (void)gw_tasks_cancel(n->local->journal->reader, &f->task);
    while (f->first)
        (void)drop_first(f);
    close_reader(f);
    gw_buf_clear(&f->last_meta_bytes);
    f->last_meta = gw_meta_unref(f->last_meta);
}
