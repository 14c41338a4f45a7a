/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's turn, and what is written besides commits: single records, marks, losses that readers found. */
#include "log/impl.h"

/*
 * Copying into the page cache costs less than waking another thread and being woken by it. So who submits writes by
 * itself, as long as that is all: more than this is shared work, and a disk that lets somebody wait so long is the
 * writer's alone for a while.
 */
enum { HERE_BYTES = 4 << 20, SMALL_RECORD = 256 };
#define SLOW_NS       2000000u
#define SLOW_PAUSE_NS 1000000000u

int gw_lf_write_now(struct gw_lf *l, uint8_t kind, struct gw_slice body, unsigned copies)
{
    int rc = 0, of_commit = 0;

    l->n_todo = 0;
    for (unsigned k = 0; k < GW_LF_ATTEMPTS; k++) {
        if (l->tail.broken)
            rc = gw_lf_go_on(l);
        if (rc < 0)
            return rc;
        rc = gw_lf_make_room(l, copies * (GW_LF_HEAD + gw_lf_pad(body.n)), true, &of_commit);
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
            rc = gw_lf_finish(l);
        if (rc == 0)
            return 0;
        gw_lf_take_back(l);
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
    int rc = gw_lf_fits(l, 0, true) ? gw_lf_out_reserve(l, 0, 0) : -ENOSPC;

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

    if (rc == 0)
        gw_lf_stage_off(l);
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
        (void)gw_lf_go_on(l);
        if (!l->tail.broken)
            gw_lf_degraded(l, false);
        return;
    }
    if (l->unsynced_ns == 0 || gw_mono_ns(l->env) < l->unsynced_ns + gw_lf_sync_interval(l))
        return;
    if (gw_lf_sync(l) < 0 && gw_lf_go_on(l) == 0)
        gw_lf_degraded(l, false);
}

static uint64_t when_next(struct gw_lf *l)
{
    uint64_t at = l->unsynced_ns ? l->unsynced_ns + gw_lf_sync_interval(l) : 0, retain = gw_lf_retain_next(l);

    if (at == 0)
        at = l->mark_ns;
    if (l->tail.broken)
        at = l->retry_ns;
    if (!gw_inbox_is_empty(&l->inbox))
        return gw_mono_ns(l->env);
    if (l->n_spare > 0 && (at == 0 || l->spares_until_ns < at))
        at = l->spares_until_ns;
    return at == 0 || (retain != 0 && retain < at) ? retain : at;
}

/* Of what waits: the next commits, in order. Under role and work. */
static void take_todo(struct gw_lf *l)
{
    int rc = l->closed ? -ESHUTDOWN : l->conf.read_only ? -EROFS : GW_LF_OPEN;

    for (l->n_todo = 0; l->waiting && l->n_todo < GW_LF_BATCH; l->waiting = l->waiting->next)
        l->todo[l->n_todo++] = (struct gw_lf_todo){(struct gw_log_commit *)(void *)l->waiting, rc};
}

static void take_waiting(struct gw_lf *l)
{
    struct gw_inbox_item **end = &l->waiting;

    while (*end)
        end = &(*end)->next;
    *end = gw_inbox_take(&l->inbox);
}

/* What else is due, when nothing more waits. */
static void tend(struct gw_lf *l)
{
    if (l->closed || l->conf.read_only)
        return;
    sync_if_due(l);
    mark_if_due(l);
    write_losses(l);
    gw_lf_retain(l);
    gw_lf_forget(l);
    gw_lf_spares_tend(l);
    if (!l->tail.broken)
        (void)gw_lf_keep_reserve(l);
}

/* The next commits are written, and done. Under role; with work, which is given back. `here`: and nothing else. */
static uint64_t write_some(struct gw_lf *l, bool here)
{
    struct gw_lf_todo done[GW_LF_BATCH];
    uint64_t next;
    unsigned n;

    take_todo(l);
    if (l->n_todo > 0 && l->todo[0].rc == GW_LF_OPEN)
        gw_lf_write_todo(l);
    n = l->n_todo;
    memcpy(done, l->todo, n * sizeof(*done));
    l->n_todo = 0;
    if (!here && !l->waiting)
        tend(l);
    next = when_next(l);
    (void)pthread_mutex_unlock(&l->work);
    for (unsigned i = 0; i < n; i++)
        done[i].c->done(done[i].c, done[i].rc);
    return next;
}

uint64_t gw_lf_work(struct gw_log *log)
{
    struct gw_lf *l = (struct gw_lf *)log;
    uint64_t next;

    (void)pthread_mutex_lock(&l->role);
    take_waiting(l);
    do {
        (void)pthread_mutex_lock(&l->work);
        next = write_some(l, false);
    } while (l->waiting);
    (void)pthread_mutex_unlock(&l->role);
    return next;
}

/* ---- on whatever thread ------------------------------------------------------------------------------------ */

/* Bytes of what waits with its heads, at most; UINT64_MAX: that is not for here. */
static uint64_t waiting_bytes(const struct gw_lf *l)
{
    uint64_t n_bytes = 0;
    unsigned n = 0;

    for (const struct gw_inbox_item *i = l->waiting; i; i = i->next) {
        const struct gw_log_commit *c = (const struct gw_log_commit *)(const void *)i;

        if (c->sync || ++n > GW_LF_BATCH)
            return UINT64_MAX;
        for (unsigned k = 0; k < c->n_frames; k++)
            n_bytes += GW_LF_HEAD + gw_lf_pad(c->frames[k].meta.n + c->frames[k].body.n);
        for (unsigned k = 0; k < c->n_positions; k++)
            n_bytes += SMALL_RECORD + c->positions[k].note.n;
        n_bytes += SMALL_RECORD * (1 + (uint64_t)c->n_settles);
    }
    return n_bytes;
}

/* Without waiting for the disk, as far as can be known. True: with work. */
static bool may_write_here(struct gw_lf *l)
{
    uint64_t n_bytes = waiting_bytes(l);

    if (n_bytes > HERE_BYTES || gw_mono_ns(l->env) < l->slow_until_ns || pthread_mutex_trylock(&l->work) != 0)
        return false;
    if (!l->closed && !l->conf.read_only && !l->tail.broken && gw_lf_fits(l, n_bytes, false) &&
        gw_lf_stage_has_room(l, n_bytes))
        return true;
    (void)pthread_mutex_unlock(&l->work);
    return false;
}

/* True: the writer knows already that there is something to sync. */
static bool write_here(struct gw_lf *l)
{
    bool known = l->unsynced_ns != 0;
    uint64_t t0 = gw_mono_ns(l->env), t1;

    (void)write_some(l, true);
    t1 = gw_mono_ns(l->env);
    if (t1 - t0 > SLOW_NS)
        l->slow_until_ns = t1 + SLOW_PAUSE_NS;
    return known;
}

bool gw_lf_work_here(struct gw_log *log)
{
    struct gw_lf *l = (struct gw_lf *)log;
    bool ok = true;

    if (pthread_mutex_trylock(&l->role) != 0)
        return false; /* the writer is at it, and may have looked into the inbox already */
    take_waiting(l);
    if (l->waiting) /* else somebody has written it */
        ok = may_write_here(l) && write_here(l);
    (void)pthread_mutex_unlock(&l->role);
    return ok;
}
