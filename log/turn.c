/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's turn, and what is written besides commits: single records, marks, losses that readers found. */
#include "log/impl.h"

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
    return at == 0 || (retain != 0 && retain < at) ? retain : at;
}

static struct gw_inbox_item *take_todo(struct gw_lf *l, struct gw_inbox_item *list)
{
    int rc = l->closed ? -ESHUTDOWN : l->conf.read_only ? -EROFS : GW_LF_OPEN;

    for (l->n_todo = 0; list && l->n_todo < GW_LF_BATCH; list = list->next)
        l->todo[l->n_todo++] = (struct gw_lf_todo){(struct gw_log_commit *)(void *)list, rc};
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
        if (l->n_todo > 0 && l->todo[0].rc == GW_LF_OPEN)
            gw_lf_write_todo(l);
        n = l->n_todo;
        memcpy(done, l->todo, n * sizeof(*done));
        l->n_todo = 0;
        if (!list && !l->closed && !l->conf.read_only) {
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
