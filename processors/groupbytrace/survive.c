/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits over the end of the process (processors/common/spooler.h) and over a crash behind a journal
 * (processors/common/kept.h). Nothing is remembered of a trace that has left; only, behind a journal, that it has.
 */
#include <errno.h>

#include "pipeline/host.h"
#include "processors/groupbytrace/group.h"

/* ---- the end ---------------------------------------------------------------------------------------------- */

int gw_group_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    return gw_spooler_new_shared(ret, ctx, ((const struct gw_group_conf *)conf)->storage, "groupbytrace/1", err);
}

static struct gw_traces *store(void *self)
{
    return gw_group_open_store(self);
}

static void put_facts(void *self, const struct gw_trace *t, struct gw_buf *out)
{
    (void)self;
    gw_buf_put_u8(out, ((const struct gw_group_facts *)(const void *)t->facts)->has_root);
}

static void take_facts(void *self, struct gw_trace *t, struct gw_slice facts, bool is_new)
{
    struct gw_spool_in in = {.left = facts};

    (void)self;
    (void)is_new;
    gw_group_facts(t)->has_root |= gw_spool_get_u8(&in) != 0;
}

static bool make_room(void *self, const struct gw_trace *but, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_group *s = self;
    struct gw_trace *oldest = gw_traces_oldest(s->traces);

    (void)now_ns;
    return oldest && oldest != but && gw_group_evict(s, oldest, out);
}

static void overflow(void *self, struct gw_trace *t, struct gw_view *v, uint64_t now_ns, struct gw_ports *out)
{
    (void)now_ns;
    if (t)
        (void)gw_group_evict(self, t, out);
    gw_group_consume(self, v, out);
}

static void flush(void *self, struct gw_ports *out)
{
    (void)gw_group_flush(self, out);
}

const struct gw_spooler_ops gw_group_spooler = {
    .store = store,
    .put_facts = put_facts,
    .take_facts = take_facts,
    .make_room = make_room,
    .overflow = overflow,
    .flush = flush,
};

void gw_group_take_up(struct gw_group *s, struct gw_ports *out)
{
    s->spooler.is_taken_up |= s->kept != NULL; /* a journal has it all */
    gw_spooler_take_up(&s->spooler, NULL, out);
}

bool gw_group_spool(struct gw_group *s)
{
    return gw_spooler_leave(&s->spooler, s->traces, s->traces ? gw_traces_n_spans(s->traces) : 0,
                            gw_mono_ns(s->ctx.env));
}

void gw_group_spool_rest(struct gw_group *s)
{
    if (s->kept || !gw_spool_is_due(s->ctx.shared, &s->ctx))
        return;
    if (gw_spooler_is_owed(&s->spooler))
        gw_group_take_up(s, NULL);
    if (s->traces && gw_traces_n(s->traces) > 0)
        (void)gw_group_spool(s);
}

/* ---- a crash ---------------------------------------------------------------------------------------------- */

static int begin(void *self)
{
    struct gw_group *s = self;

    if (!s->kept)
        s->kept = gw_kept_new(&s->ctx);
    return s->kept ? 0 : -ENOMEM;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    return gw_kept_restore(((struct gw_group *)self)->kept, record, owner, &(struct gw_kept_reader){.self = self});
}

static struct gw_trace *excess(const struct gw_group *s, uint64_t *ordered_ns)
{
    return s->traces ? gw_kept_excess(s->traces, gw_group_max_traces(s), gw_group_max_bytes(s), ordered_ns) : NULL;
}

/* What is too much, and all that is due, leaves the store, and body. */
static int end_step(struct gw_group *s, uint64_t now_ns, struct gw_ports *out)
{
    uint64_t ordered_ns = UINT64_MAX;
    struct gw_trace *t;
    bool is_empty;
    int rc;

    while (!s->kept->came_again && (t = excess(s, &ordered_ns)) != NULL)
        if (!gw_group_evict(s, t, out))
            return GW_MORE;
    rc = s->traces ? gw_group_release_due(s, now_ns, out) : GW_DONE;
    is_empty = gw_group_flush(s, out);
    gw_group_tell(s);
    return is_empty && (!s->traces || !gw_traces_next_due(s->traces, now_ns)) ? rc : GW_MORE;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_group *s = self;
    int rc = GW_DONE;

    gw_kept_advance(s->kept, now_ns, rebuilds);
    if (!rebuilds) {
        s->kept->at_barrier = true;
        rc = end_step(s, now_ns, out);
        s->kept->at_barrier = false;
    }
    return rc;
}

static int save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    struct gw_group *s = self;
    const struct gw_trace *t = s->traces ? gw_traces_oldest(s->traces) : NULL;

    if (s->n_body_spans)
        return GW_MORE;
    *ret_oldest_ns = t ? t->first_ns : UINT64_MAX;
    gw_kept_open_record(s->kept, whole, out);
    if (whole)
        gw_kept_put_past(s->kept, NULL, 0, out);
    return gw_kept_close_record(s->kept, out) < 0 ? -ENOMEM : GW_DONE;
}

static uint64_t due_ns(const void *self)
{
    const struct gw_group *s = self;
    uint64_t ordered_ns = UINT64_MAX;

    if (s->n_body_spans || excess(s, &ordered_ns))
        return 0;
    return s->traces ? gw_traces_due_when(s->traces) : UINT64_MAX;
}

const struct gw_keep_ops gw_group_keep = {
    .begin = begin, .restore = restore, .advance = advance, .save = save, .due_ns = due_ns};
