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

enum { WRITTEN = 2 };

#define SYNC_NS 100000000u

void gw_lf_submit(struct gw_log *log, struct gw_log_commit *c)
{
    struct gw_lf *l = (struct gw_lf *)log;

    if (gw_inbox_push(&l->inbox, &c->item) && l->conf.wake)
        l->conf.wake(l->conf.arg);
}

uint64_t gw_lf_sync_interval(const struct gw_lf *l)
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
    int rc = t->broken ? -EIO : l->names_unsynced ? gw_lf_names_sync(l) : 0;

    if (rc == 0)
        rc = gw_lf_stage_flush(l);
    if (rc == 0)
        rc = l->env->ops->file_sync(t->file);
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
    l->mark_ns = gw_mono_ns(l->env) + gw_lf_sync_interval(l);
    (void)pthread_mutex_lock(&l->lock);
    l->stats.syncs++;
    l->stats.synced_seq = t->synced_seq;
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

/* ---- applying ---------------------------------------------------------------------------------------------- */

static void apply_one(struct gw_lf *l, const struct gw_lf_record *r, uint64_t off, struct gw_slice body)
{
    struct gw_lf_seg *seg = &l->segs[l->n_segs - 1];

    (void)gw_lf_state_apply(&l->state, r, body); /* cannot fail: what it needs was reserved */
    if (r->kind != GW_LF_FRAME)
        return;
    gw_lf_cache_put(l, GW_LF_WRITTEN, r->seq, r->row, r->rows);
    if (seg->n_marks > 0 || r->seq == seg->first_seq) /* from its first frame on, or not */
        gw_lf_mark(seg, r->seq, off);
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
        apply_one(l, &r, 8ull * gw_lf_get32(o->p + at + 56),
                  r.kind == GW_LF_FRAME ? (struct gw_slice){0} : gw_slice_of(o->p + at + GW_LF_HEAD, n));
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
int gw_lf_finish(struct gw_lf *l)
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

bool gw_lf_fits(const struct gw_lf *l, uint64_t bytes, bool settles)
{
    uint64_t aside = settles ? 0 : settle_room(l), room = l->tail.room > aside ? l->tail.room - aside : 0;

    return l->tail.at + bytes + GW_LF_COMMIT <= room && (settles || !l->tail.from_reserve);
}

int gw_lf_disk_has(struct gw_lf *l, uint64_t bytes)
{
    uint64_t reserve = l->conf.reserve_bytes ? l->conf.reserve_bytes : 2 * gw_lf_segment_bytes(l);
    uint64_t room, total;

    if (l->env->ops->disk_space(l->env, l->dir, &room, &total) < 0)
        return 0;
    return room + gw_lf_spare_bytes(l) < bytes + reserve ? -ENOSPC : 0;
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
        if (l->todo[i].rc == GW_LF_OPEN && (rc == 0 || !settles_only(l->todo[i].c)))
            l->todo[i].rc = rc < 0 ? rc : WRITTEN;
    if (rc < 0)
        l->tail.room = l->tail.at; /* settlements stay open: they go into another segment */
    return 0;
}

static int over_limits(struct gw_lf *l, uint64_t bytes)
{
    uint64_t most = gw_lf_max_bytes(l), used = gw_lf_used(l) + l->out.bytes + bytes + GW_LF_COMMIT;

    if (most && used > most)
        return -EDQUOT;
    gw_lf_spares_yield(l, used);
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
int gw_lf_make_room(struct gw_lf *l, uint64_t bytes, bool settles, int *ret)
{
    int rc;

    *ret = 0;
    if (gw_lf_fits(l, bytes, settles))
        return 0;
    if (!settles && (*ret = gw_lf_disk_has(l, gw_lf_segment_bytes(l) > bytes ? gw_lf_segment_bytes(l) : bytes)) < 0)
        return 0;
    rc = gw_lf_finish(l);
    if (rc < 0)
        return rc;
    *ret = roll(l, bytes, settles);
    if (*ret < 0)
        gw_lf_count(l, &l->stats.failed_writes, 1);
    return l->tail.broken ? -EIO : 0;
}

/* Into the open group; what a commit that turns out to be impossible left there is taken out again. */
static int build(struct gw_lf *l, struct gw_log_commit *c)
{
    struct gw_lf_out mark = l->out;
    struct iovec last = mark.n_iov > 0 ? mark.iov[mark.n_iov - 1] : (struct iovec){0}; /* may be made longer */
    uint64_t seq = l->next_seq, row = l->next_row;
    int rc = gw_lf_build(l, c);

    if (rc == 0)
        return 0;
    l->out = mark;
    if (mark.n_iov > 0)
        l->out.iov[mark.n_iov - 1] = last;
    l->next_seq = seq;
    l->next_row = row;
    if (l->out.bytes == 0)
        gw_lf_group_undo(l);
    return rc;
}

/* A group is open in which there is room for the commit. *ret < 0: not for this one. Errors: the file is broken. */
static int open_group(struct gw_lf *l, struct group *g, unsigned i, const struct gw_lf_size *size, int *ret)
{
    const struct gw_log_commit *c = l->todo[i].c;
    bool other = memcmp(&g->producer, &c->producer, sizeof(c->producer)) != 0;
    int rc = 0;

    *ret = 0;
    if (l->group_open && (other || l->out.bytes + size->bytes > GW_LF_GROUP_BYTES ||
                          !gw_lf_fits(l, l->out.bytes + size->bytes, settles_only(c))))
        rc = close_group(l, g);
    if (rc == 0 && !l->group_open)
        rc = gw_lf_make_room(l, size->bytes, settles_only(c), ret);
    if (rc == 0 && *ret == 0)
        *ret = gw_lf_out_reserve(l, size->heads, size->n_iov);
    if (rc < 0 || *ret < 0 || l->group_open)
        return rc;
    gw_lf_group_begin(l);
    *g = (struct group){i, i, l->next_seq, l->next_row, c->producer};
    return 0;
}

/* Errors: the file is broken. */
static int add_commit(struct gw_lf *l, struct group *g, unsigned i)
{
    struct gw_log_commit *c = l->todo[i].c;
    struct gw_lf_size size;
    int rc = gw_lf_plan(l, c, &size), of_disk;

    if (rc == 0 && !settles_only(c))
        rc = over_limits(l, size.bytes);
    if (rc == 0) {
        of_disk = open_group(l, g, i, &size, &rc);
        if (of_disk < 0)
            return of_disk;
    }
    if (rc == 0)
        rc = build(l, c);
    if (rc < 0) {
        l->todo[i].rc = rc;
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
            if (l->todo[i].rc == GW_LF_OPEN)
                rc = add_commit(l, &g, i);
        if (rc == 0)
            rc = close_group(l, &g);
        if (rc == 0)
            rc = gw_lf_finish(l);
    }
    for (unsigned i = 0; rc == 0 && i < l->n_todo; i++)
        if (l->todo[i].rc == GW_LF_OPEN)
            l->todo[i].rc = -ENOSPC;
    return rc;
}

/* What is in the file behind the last applied group never happened. */
void gw_lf_take_back(struct gw_lf *l)
{
    gw_lf_out_reset(l);
    gw_lf_state_unplan(&l->state);
    l->next_seq = l->state.end_seq;
    l->next_row = l->state.end_row;
    l->wants_sync = false;
    if (l->tail.at > l->applied_at) {
        (void)l->env->ops->file_truncate(l->tail.file, l->applied_at);
        l->tail.at = l->applied_at;
        gw_lf_stage_cut(l);
        if (!l->tail.broken && l->tail.room > l->tail.at)
            (void)l->env->ops->file_allocate(l->tail.file, l->tail.at, l->tail.room - l->tail.at);
    }
    for (unsigned i = 0; i < l->n_todo; i++)
        if (l->todo[i].rc == WRITTEN)
            l->todo[i].rc = GW_LF_OPEN;
}

int gw_lf_go_on(struct gw_lf *l)
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
        l->retry_ns = now + GW_LF_RETRY_NS;
        gw_log(&l->conf.logger, GW_LOG_ERROR, "%s: no new segment can be made: %s; trying again", l->dir,
               strerror(-rc));
    }
    return rc;
}

void gw_lf_write_todo(struct gw_lf *l)
{
    int rc = l->tail.broken ? -EIO : write_open(l);

    for (unsigned k = 0; rc < 0 && k < GW_LF_ATTEMPTS; k++) {
        gw_lf_take_back(l);
        rc = gw_lf_go_on(l);
        if (rc < 0)
            break;
        rc = write_open(l);
    }
    if (rc == 0) {
        gw_lf_degraded(l, false);
        return;
    }
    gw_lf_take_back(l);
    for (unsigned i = 0; i < l->n_todo; i++)
        if (l->todo[i].rc == GW_LF_OPEN)
            l->todo[i].rc = rc == -ENOSPC ? rc : -EIO;
}
