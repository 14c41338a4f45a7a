/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: commits become groups, groups are written, synced when somebody wants that, applied, and done.
 *
 *   todo[].rc   OPEN ─ built into a group ─► OPEN ─ written ─► WRITTEN ─ synced if wanted, applied ─► 0
 *               └────────────────────────── errors of the commit, of the disk ──────────────────────► < 0
 *
 * When the file fails, everything that is not applied is built again for a new segment: the owners' bytes are still
 * there, because nobody was told anything.
 */
#include <stdlib.h>

#include "log/impl.h"

enum { OPEN = 1, WRITTEN = 2, ATTEMPTS = 3 };
#define RETRY_NS 1000000000u
#define SYNC_NS  100000000u

void gw_lf_submit(struct gw_log *log, struct gw_log_commit *c)
{
    struct gw_lf *l = (struct gw_lf *)log;

    if (gw_inbox_push(&l->inbox, &c->item) && l->conf.wake)
        l->conf.wake(l->conf.arg);
}

static uint64_t sync_interval(const struct gw_lf *l)
{
    return l->conf.sync_interval_ns ? l->conf.sync_interval_ns : SYNC_NS;
}

void gw_lf_count(struct gw_lf *l, uint64_t *counter, uint64_t n)
{
    (void)pthread_mutex_lock(&l->lock);
    *counter += n;
    (void)pthread_mutex_unlock(&l->lock);
}

void gw_lf_degraded(struct gw_lf *l, bool is)
{
    (void)pthread_mutex_lock(&l->lock);
    l->stats.degraded = is;
    (void)pthread_mutex_unlock(&l->lock);
}

int gw_lf_sync(struct gw_lf *l)
{
    struct gw_lf_tail *t = &l->tail;
    int rc = t->broken ? -EIO : l->env->ops->file_sync(t->file);

    if (rc < 0) {
        if (!t->broken)
            gw_log(&l->conf.logger, GW_LOG_ERROR, "%s: segment %llu cannot be synced: %s; going on in a new one",
                   l->dir, (unsigned long long)t->number, strerror(-rc));
        t->broken = true; /* what the kernel did with its pages nobody knows: never again on this file */
        gw_lf_count(l, &l->stats.failed_syncs, 1);
        gw_lf_degraded(l, true);
        return rc;
    }
    t->synced = t->at;
    t->synced_seq = l->next_seq;
    t->synced_row = l->next_row;
    l->unsynced_ns = 0;
    l->mark_ns = gw_mono_ns(l->env) + sync_interval(l);
    (void)pthread_mutex_lock(&l->lock);
    l->stats.syncs++;
    l->stats.synced_seq = t->synced_seq;
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

/* ---- applying ---------------------------------------------------------------------------------------------- */

static void apply_one(struct gw_lf *l, const struct gw_lf_record *r, struct gw_slice body)
{
    (void)gw_lf_state_apply(&l->state, r, body); /* cannot fail: what it needs was reserved */
    if (r->kind != GW_LF_FRAME)
        return;
    gw_lf_cache_put(l, r->seq, r->row, r->rows);
    if (r->time_ns > l->tail.newest_ns)
        l->tail.newest_ns = r->time_ns;
}

void gw_lf_apply(struct gw_lf *l)
{
    struct gw_lf_out *o = &l->out;
    struct gw_lf_seg *seg = &l->segs[l->n_segs - 1];
    struct gw_lf_record r = {0};

    (void)pthread_mutex_lock(&l->lock);
    for (size_t at = 0; at < o->n;) {
        size_t n;

        r.kind = o->p[at + 4];
        r.topic = gw_lf_get16(o->p + at + 6);
        r.partition = gw_lf_get16(o->p + at + 8);
        r.rows = gw_lf_get32(o->p + at + 12);
        r.n_meta = gw_lf_get32(o->p + at + 16);
        r.n_body = gw_lf_get32(o->p + at + 20);
        r.seq = gw_lf_get64(o->p + at + 24);
        r.row = gw_lf_get64(o->p + at + 32);
        r.time_ns = gw_lf_get64(o->p + at + 40);
        n = (size_t)r.n_meta + r.n_body;
        apply_one(l, &r, r.kind == GW_LF_FRAME ? (struct gw_slice){0} : gw_slice_of(o->p + at + GW_LF_HEAD, n));
        at += GW_LF_HEAD + (r.kind == GW_LF_FRAME ? gw_lf_pad(n) - n : gw_lf_pad(n));
    }
    gw_lf_state_unplan(&l->state);
    seg->end = l->tail.at;
    seg->last_time_ns = l->tail.newest_ns;
    (void)pthread_mutex_unlock(&l->lock);
    l->applied_at = l->tail.at;
    if (l->tail.at > l->tail.synced && l->unsynced_ns == 0)
        l->unsynced_ns = gw_mono_ns(l->env);
    gw_lf_out_reset(l);
}

/* What was written is synced, if somebody wants it, and true. Errors: the file is broken. */
static int finish(struct gw_lf *l)
{
    int rc = l->wants_sync && l->tail.synced < l->tail.at ? gw_lf_sync(l) : 0;
    unsigned n = 0;

    if (rc < 0)
        return rc;
    l->wants_sync = false;
    gw_lf_apply(l);
    for (unsigned i = 0; i < l->n_todo; i++)
        if (l->todo[i].rc == WRITTEN) {
            l->todo[i].rc = 0;
            n++;
        }
    gw_lf_count(l, &l->stats.commits, n);
    return 0;
}

/* ---- groups ------------------------------------------------------------------------------------------------ */

/* Nothing of the open group is in the file: its seqs are free again. */
static void forget_group(struct gw_lf *l, uint64_t seq, uint64_t row)
{
    gw_lf_group_undo(l);
    l->next_seq = seq;
    l->next_row = row;
}

struct group {
    unsigned first, behind; /* of todo */
    uint64_t seq, row;      /* before it */
    struct gw_log_producer producer;
};

static bool settles_only(const struct gw_log_commit *c)
{
    return c->n_frames == 0;
}

/* Space at a segment's end for settlements, which must go on when there is no room for frames. */
static uint64_t settle_room(const struct gw_lf *l)
{
    uint64_t n = gw_lf_segment_bytes(l) / 16;

    return n > 4u << 20 ? 4u << 20 : n;
}

static bool fits(const struct gw_lf *l, uint64_t bytes, bool settles)
{
    uint64_t room = l->tail.room - (settles ? 0 : settle_room(l));

    return l->tail.at + bytes + GW_LF_COMMIT <= room && (settles || !l->tail.from_reserve);
}

static int disk_has(struct gw_lf *l, uint64_t bytes)
{
    uint64_t reserve = l->conf.reserve_bytes ? l->conf.reserve_bytes : 2 * gw_lf_segment_bytes(l);
    uint64_t room, total;

    if (l->env->ops->disk_space(l->env, l->dir, &room, &total) < 0)
        return 0;
    return room < bytes + reserve ? -ENOSPC : 0;
}

/* The group is complete. Errors: the file is broken; commits that there is no room for just fail. */
static int close_group(struct gw_lf *l, struct group *g)
{
    int rc;

    if (!l->group_open)
        return 0;
    rc = gw_lf_group_write(l, g->producer);
    if (rc < 0) {
        gw_lf_count(l, &l->stats.failed_writes, 1);
        forget_group(l, g->seq, g->row);
        if (l->tail.broken)
            return rc;
    }
    for (unsigned i = g->first; i < g->behind; i++)
        if (l->todo[i].rc == OPEN && (rc == 0 || !settles_only(l->todo[i].c)))
            l->todo[i].rc = rc < 0 ? rc : WRITTEN;
    if (rc < 0)
        l->tail.room = l->tail.at; /* settlements stay open: they go into another segment */
    return 0;
}

static int over_limits(struct gw_lf *l, uint64_t bytes)
{
    if (l->conf.max_bytes && gw_lf_used(l) + l->out.bytes + bytes + GW_LF_COMMIT > l->conf.max_bytes)
        return -EDQUOT;
    return 0;
}

static int roll(struct gw_lf *l, uint64_t bytes, bool settles)
{
    /* Frames come only when settlements can follow. */
    int rc = settles ? 0 : gw_lf_keep_reserve(l);

    if (rc < 0)
        return rc;
    rc = gw_lf_roll(l, bytes + GW_LF_COMMIT + (settles ? 0 : settle_room(l)));
    return rc == -ENOSPC && settles ? gw_lf_roll_reserve(l) : rc;
}

/* There is room at the end of the segment, which may be a new one. *ret < 0: not for this commit. */
static int make_room(struct gw_lf *l, uint64_t bytes, bool settles, int *ret)
{
    int rc;

    *ret = 0;
    if (fits(l, bytes, settles))
        return 0;
    if (!settles && (*ret = disk_has(l, gw_lf_segment_bytes(l) > bytes ? gw_lf_segment_bytes(l) : bytes)) < 0)
        return 0;
    rc = finish(l);
    if (rc < 0)
        return rc;
    *ret = roll(l, bytes, settles);
    if (*ret < 0)
        gw_lf_count(l, &l->stats.failed_writes, 1);
    return l->tail.broken ? -EIO : 0;
}

static int add_commit(struct gw_lf *l, struct group *g, unsigned i)
{
    struct gw_log_commit *c = l->todo[i].c;
    struct gw_lf_size size;
    struct gw_lf_out mark;
    uint64_t seq, row;
    int rc = gw_lf_plan(l, c, &size), of_disk;

    if (rc == 0 && !settles_only(c))
        rc = over_limits(l, size.bytes);
    if (rc < 0) {
        l->todo[i].rc = rc;
        return 0;
    }
    if (l->group_open &&
        (memcmp(&g->producer, &c->producer, sizeof(c->producer)) != 0 ||
         l->out.bytes + size.bytes > GW_LF_GROUP_BYTES || !fits(l, l->out.bytes + size.bytes, settles_only(c)))) {
        of_disk = close_group(l, g);
        if (of_disk < 0)
            return of_disk;
    }
    if (!l->group_open) {
        of_disk = make_room(l, size.bytes, settles_only(c), &rc);
        if (of_disk < 0)
            return of_disk;
    }
    if (rc == 0)
        rc = gw_lf_out_reserve(l, size.heads, size.n_iov);
    if (rc < 0) {
        l->todo[i].rc = rc;
        return 0;
    }
    if (!l->group_open) {
        gw_lf_group_begin(l);
        *g = (struct group){i, i, l->next_seq, l->next_row, c->producer};
    }
    mark = l->out;
    seq = l->next_seq;
    row = l->next_row;
    /* A piece that was only made longer is as it was. */
    struct iovec last = mark.n_iov > 0 ? mark.iov[mark.n_iov - 1] : (struct iovec){0};

    rc = gw_lf_build(l, c);
    if (rc < 0) {
        l->out = mark;
        if (mark.n_iov > 0)
            l->out.iov[mark.n_iov - 1] = last;
        l->next_seq = seq;
        l->next_row = row;
        l->todo[i].rc = rc;
        if (l->out.bytes == 0)
            gw_lf_group_undo(l);
        return 0;
    }
    g->behind = i + 1;
    l->wants_sync |= c->sync;
    return 0;
}

/* Everything that is open. Errors: the file is broken, and what is not applied is open still. */
static int write_open(struct gw_lf *l)
{
    struct group g = {0};
    int rc = 0;

    for (unsigned pass = 0; rc == 0 && pass < 2; pass++) {
        for (unsigned i = 0; rc == 0 && i < l->n_todo; i++)
            if (l->todo[i].rc == OPEN)
                rc = add_commit(l, &g, i);
        if (rc == 0)
            rc = close_group(l, &g);
        if (rc == 0)
            rc = finish(l);
    }
    for (unsigned i = 0; rc == 0 && i < l->n_todo; i++)
        if (l->todo[i].rc == OPEN)
            l->todo[i].rc = -ENOSPC;
    return rc;
}

/* What is in the file behind the last applied group never happened. */
static void take_back(struct gw_lf *l)
{
    gw_lf_out_reset(l);
    gw_lf_state_unplan(&l->state);
    l->next_seq = l->state.end_seq;
    l->next_row = l->state.end_row;
    l->wants_sync = false;
    if (l->tail.at > l->applied_at) {
        (void)l->env->ops->file_truncate(l->tail.file, l->applied_at);
        l->tail.at = l->applied_at;
        if (!l->tail.broken && l->tail.room > l->tail.at)
            (void)l->env->ops->file_allocate(l->tail.file, l->tail.at, l->tail.room - l->tail.at);
    }
    for (unsigned i = 0; i < l->n_todo; i++)
        if (l->todo[i].rc == WRITTEN)
            l->todo[i].rc = OPEN;
}

static int new_segment_for_broken(struct gw_lf *l)
{
    uint64_t now = gw_mono_ns(l->env);
    int rc;

    if (now < l->retry_ns)
        return -EIO;
    rc = gw_lf_roll(l, settle_room(l));
    if (rc == -ENOSPC)
        rc = gw_lf_roll_reserve(l);
    if (rc < 0) {
        gw_lf_degraded(l, true);
        l->retry_ns = now + RETRY_NS;
        gw_log(&l->conf.logger, GW_LOG_ERROR, "%s: no new segment can be made: %s; trying again", l->dir,
               strerror(-rc));
    }
    return rc;
}

static void write_todo(struct gw_lf *l)
{
    int rc = l->tail.broken ? -EIO : write_open(l);

    for (unsigned k = 0; rc < 0 && k < ATTEMPTS; k++) {
        take_back(l);
        rc = new_segment_for_broken(l);
        if (rc < 0)
            break;
        rc = write_open(l);
    }
    if (rc == 0) {
        gw_lf_degraded(l, false);
        return;
    }
    take_back(l);
    for (unsigned i = 0; i < l->n_todo; i++)
        if (l->todo[i].rc == OPEN)
            l->todo[i].rc = rc == -ENOSPC ? rc : -EIO;
}

/* ---- the writer's turn ------------------------------------------------------------------------------------- */

int gw_lf_write_now(struct gw_lf *l, uint8_t kind, struct gw_slice body, unsigned copies)
{
    int rc = 0, of_commit = 0;

    l->n_todo = 0;
    for (unsigned k = 0; k < ATTEMPTS; k++) {
        if (l->tail.broken)
            rc = new_segment_for_broken(l);
        if (rc < 0)
            return rc;
        rc = make_room(l, copies * (GW_LF_HEAD + gw_lf_pad(body.n)), true, &of_commit);
        if (rc < 0)
            continue;
        rc = of_commit;
        if (rc == 0)
            rc = gw_lf_out_reserve(l, copies * (GW_LF_HEAD + gw_lf_pad(body.n)), copies);
        if (rc == 0) {
            (void)pthread_mutex_lock(&l->lock);
            rc = gw_lf_state_reserve(&l->state, kind, body);
            (void)pthread_mutex_unlock(&l->lock);
        }
        if (rc < 0)
            return rc;
        gw_lf_group_begin(l);
        for (unsigned i = 0; i < copies; i++)
            gw_lf_group_record(l, kind, 0, body);
        rc = gw_lf_group_write(l, (struct gw_log_producer){0});
        l->wants_sync = true;
        if (rc == 0)
            rc = finish(l);
        if (rc == 0)
            return 0;
        take_back(l);
        if (!l->tail.broken)
            return rc;
        rc = 0;
    }
    return -EIO;
}

/*
 * An empty group that says how far all was synced: what is damaged before it is rot, and does not end the log. Every
 * commit says so for those before it; this one is for the last, when none follows. It needs no sync itself.
 */
static int write_mark(struct gw_lf *l)
{
    int rc = fits(l, 0, true) ? gw_lf_out_reserve(l, 0, 0) : -ENOSPC;

    l->mark_ns = 0;
    if (rc < 0)
        return rc;
    gw_lf_group_begin(l);
    rc = gw_lf_group_write(l, (struct gw_log_producer){0});
    if (rc < 0)
        return rc;
    gw_lf_apply(l);
    l->unsynced_ns = 0;
    return 0;
}

static void mark_if_due(struct gw_lf *l)
{
    if (l->mark_ns != 0 && !l->tail.broken && l->unsynced_ns == 0 && gw_mono_ns(l->env) >= l->mark_ns)
        (void)write_mark(l);
}

int gw_lf_close_segment(struct gw_lf *l)
{
    int rc = gw_lf_sync(l);

    if (rc == 0 && l->tail.at > l->tail.data && write_mark(l) < 0 && l->tail.broken)
        rc = -EIO;
    if (rc == 0)
        rc = l->env->ops->file_truncate(l->tail.file, l->tail.at);
    return rc == 0 ? gw_lf_sync(l) : rc;
}

static void write_losses(struct gw_lf *l)
{
    for (;;) {
        struct gw_lf_loss loss;
        struct gw_buf b;
        bool any;

        (void)pthread_mutex_lock(&l->lock);
        any = l->n_losses > 0;
        if (any)
            loss = l->losses[0];
        (void)pthread_mutex_unlock(&l->lock);
        if (!any)
            return;
        gw_buf_init(&b, 1024);
        gw_lf_put_loss(&b, &loss);
        int rc = b.failed ? -ENOMEM : gw_lf_write_now(l, GW_LF_LOST, gw_buf_slice(&b), 1);

        gw_buf_clear(&b);
        if (rc < 0)
            return;
        (void)pthread_mutex_lock(&l->lock);
        memmove(l->losses, l->losses + 1, --l->n_losses * sizeof(loss));
        (void)pthread_mutex_unlock(&l->lock);
    }
}

static void sync_if_due(struct gw_lf *l)
{
    if (l->tail.broken) {
        (void)new_segment_for_broken(l);
        if (!l->tail.broken)
            gw_lf_degraded(l, false);
        return;
    }
    if (l->unsynced_ns == 0 || gw_mono_ns(l->env) < l->unsynced_ns + sync_interval(l))
        return;
    if (gw_lf_sync(l) < 0 && new_segment_for_broken(l) == 0)
        gw_lf_degraded(l, false);
}

static uint64_t when_next(struct gw_lf *l)
{
    uint64_t at = l->unsynced_ns ? l->unsynced_ns + sync_interval(l) : 0, retain = gw_lf_retain_next(l);

    if (at == 0)
        at = l->mark_ns;
    if (l->tail.broken)
        at = l->retry_ns;
    if (!gw_inbox_is_empty(&l->inbox))
        return gw_mono_ns(l->env);
    return at == 0 || (retain != 0 && retain < at) ? retain : at;
}

static struct gw_inbox_item *take_todo(struct gw_lf *l, struct gw_inbox_item *list)
{
    for (l->n_todo = 0; list && l->n_todo < GW_LF_BATCH; list = list->next)
        l->todo[l->n_todo++] = (struct gw_lf_todo){(struct gw_log_commit *)(void *)list, l->closed ? -ESHUTDOWN : OPEN};
    return list;
}

uint64_t gw_lf_work(struct gw_log *log)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct gw_inbox_item *list = gw_inbox_take(&l->inbox);
    uint64_t next;

    for (;;) {
        struct gw_lf_todo done[GW_LF_BATCH];
        unsigned n;

        (void)pthread_mutex_lock(&l->work);
        list = take_todo(l, list);
        if (l->n_todo > 0)
            write_todo(l);
        n = l->n_todo;
        memcpy(done, l->todo, n * sizeof(*done));
        l->n_todo = 0;
        if (!list && !l->closed) {
            sync_if_due(l);
            mark_if_due(l);
            write_losses(l);
            gw_lf_retain(l);
            if (!l->tail.broken)
                (void)gw_lf_keep_reserve(l);
        }
        next = when_next(l);
        (void)pthread_mutex_unlock(&l->work);
        for (unsigned i = 0; i < n; i++)
            done[i].c->done(done[i].c, done[i].rc);
        if (!list)
            return next;
    }
}
