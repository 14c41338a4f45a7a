/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "log/log.h"
#include "queue/wal_impl.h"

struct gw_wal_stage {
    struct gw_log_commit commit; /* first */
    struct gw_wal *wal;
    struct entry *first, **last; /* in the order in which they were put */
    uint64_t bytes;
    unsigned n;
    bool is_broken;
    /* Of the commit under way: the writer's until done. */
    struct entry *going;
    uint64_t going_bytes;
    unsigned n_going, cap_frames;
    struct gw_log_frame *frames;
    void (*done)(void *arg, int rc);
    void *arg;
};

struct gw_wal_stage *gw_wal_stage_new(struct gw_wal *w)
{
    struct gw_wal_stage *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->wal = w;
    s->last = &s->first;
    return s;
}

static void forget(struct entry *n)
{
    for (struct entry *next; n; n = next) {
        next = n->staged;
        gw_wal_entry_forget(n);
    }
}

void gw_wal_stage_clear(struct gw_wal_stage *s)
{
    forget(s->going);
    forget(s->first);
    s->going = s->first = NULL;
    s->last = &s->first;
    s->bytes = s->going_bytes = 0;
    s->n = s->n_going = 0;
}

void gw_wal_stage_free(struct gw_wal_stage *s)
{
    if (!s)
        return;
    gw_wal_stage_clear(s);
    free(s->frames);
    free(s);
}

void gw_wal_stage_add(struct gw_wal_stage *s, struct entry *n)
{
    n->staged = NULL;
    *s->last = n;
    s->last = &n->staged;
    s->bytes += n->frame.body.n;
    s->n++;
}

void gw_wal_stage_break(struct gw_wal_stage *s)
{
    s->is_broken = true;
}

bool gw_wal_stage_is_broken(const struct gw_wal_stage *s)
{
    return s->is_broken;
}

uint64_t gw_wal_stage_bytes(const struct gw_wal_stage *s)
{
    return s->bytes + s->going_bytes;
}

/* On the writer's thread: in the order of the log, as all that is committed. */
static void on_done(struct gw_log_commit *c, int rc)
{
    struct gw_wal_stage *s = (struct gw_wal_stage *)c;
    struct entry *n = rc == 0 ? s->going : NULL;

    if (rc < 0)
        gw_wal_complain(s->wal, rc);
    else
        s->going = NULL;
    for (unsigned i = 0; n; i++) {
        struct entry *next = n->staged;

        n->frame.seq = s->frames[i].seq;
        n->frame.row = s->frames[i].row;
        gw_wal_entry_done(n, 0);
        n = next;
    }
    s->done(s->arg, rc);
}

void gw_wal_stage_heard(struct gw_wal_stage *s)
{
    if (s->going)
        return;
    s->n_going = 0;
    s->going_bytes = 0;
}

void gw_wal_stage_cut(struct gw_wal_stage *s)
{
    s->going = s->first;
    s->going_bytes = s->bytes;
    s->n_going = s->n;
    s->first = NULL;
    s->last = &s->first;
    s->bytes = 0;
    s->n = 0;
}

static bool reserve(struct gw_wal_stage *s)
{
    struct gw_log_frame *f;

    if (s->n_going <= s->cap_frames)
        return true;
    f = realloc(s->frames, s->n_going * sizeof(*f));
    if (!f)
        return false;
    s->frames = f;
    s->cap_frames = s->n_going;
    return true;
}

int gw_wal_stage_commit(struct gw_wal_stage *s, const struct gw_log_position *at, unsigned n,
                        void (*done)(void *arg, int rc), void *arg)
{
    unsigned i = 0;

    if (!reserve(s))
        return -ENOMEM;
    for (const struct entry *e = s->going; e; e = e->staged)
        s->frames[i++] = e->frame;
    s->done = done;
    s->arg = arg;
    s->commit = (struct gw_log_commit){.frames = s->frames,
                                       .n_frames = i,
                                       .positions = at,
                                       .n_positions = n,
                                       .sync = gw_wal_syncs(s->wal),
                                       .done = on_done};
    gw_log_submit(gw_wal_log(s->wal), &s->commit);
    return 0;
}
