/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind a journal (processors/common/kept.h): a decision is the number of its reason, and above it the second.
 *
 * Entries beside the decisions:
 *
 *   'R'  a reason by number (reasons.c)
 *   'B'  what limiters hold (save.c), with its length
 *   'L'  trace id 16, trace id 16: the first one linked to the second one (follow_links)
 *   'M'  trace id 16: it waits, and a kept trace is linked to it
 *   'P'  a decision of mode two_pass: trace id 16, value u64, upto u64, enum gw_tail_noted u8
 */
#include "processors/tail_sampling/step.h"

#include <errno.h>
#include <stdlib.h>

#include "processors/common/spool.h"
#include "processors/tail_sampling/passes.h"

enum {
    NOTE_REASON = 'R',
    NOTE_LIMITS = 'B',
    NOTE_LINK = 'L',
    NOTE_LINKED = 'M',
    NOTE_PASSES = 'P',
    MAX_BYTES = 1 << 30
};

static void forget_sources(struct gw_tail_log *l)
{
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++) {
        free(l->sources[i].numbers);
        gw_buf_clear(&l->sources[i].limits);
        l->sources[i] = (struct gw_tail_source){0};
    }
}

void gw_tail_log_free(struct gw_tail_log *l)
{
    if (!l)
        return;
    gw_kept_free(l->kept);
    forget_sources(l);
    gw_ids_free(l->now);
    gw_ids_free(l->enough);
    gw_ids_free(l->linked);
    gw_buf_clear(&l->linked_record);
    free(l->due);
    free(l->links);
    free(l);
}

static struct gw_tail_log *log_new(const struct gw_ctx *ctx)
{
    struct gw_tail_log *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->kept = gw_kept_new(ctx);
    gw_buf_init(&l->linked_record, MAX_BYTES);
    if (l->kept)
        return l;
    free(l);
    return NULL;
}

uint64_t gw_tail_log_now_ns(const struct gw_tail_log *l)
{
    return l->kept->now_ns;
}

bool gw_tail_log_is_past(struct gw_tail *s, const uint8_t id[16])
{
    return s->log && gw_kept_is_past(s->log->kept, id);
}

bool gw_tail_log_rebuilds(const struct gw_tail *s)
{
    return s->log && s->log->kept->rebuilds;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_reasons(struct gw_tail *s, struct gw_buf *out, uint32_t from)
{
    for (uint32_t i = from; i < gw_reasons_n(s->reasons); i++) {
        gw_buf_put_u8(out, NOTE_REASON);
        gw_reasons_write(s->reasons, i, out);
    }
}

void gw_tail_log_put_link(struct gw_buf *out, const uint8_t from[16], const uint8_t to[16])
{
    gw_buf_put_u8(out, NOTE_LINK);
    gw_buf_put(out, from, 16);
    gw_buf_put(out, to, 16);
}

static void put_linked(struct gw_buf *out, const uint8_t id[16])
{
    gw_buf_put_u8(out, NOTE_LINKED);
    gw_buf_put(out, id, 16);
}

/* Among the decisions: one that comes later ends it. */
void gw_tail_log_note_linked(struct gw_tail *s, const uint8_t id[16])
{
    put_linked(&s->log->kept->record, id);
}

static void put_link(void *arg, const uint8_t from[16], const uint8_t to[16])
{
    gw_tail_log_put_link(arg, from, to);
}

struct whole {
    struct gw_tail *s;
    struct gw_buf *out;
};

static bool waits(const struct gw_tail *s, const uint8_t id[16])
{
    return s->passes ? gw_tail_passes_waits(s, id) : s->store && gw_traces_find(s->store, id);
}

/* It has not come again yet. */
static void put_still_linked(void *arg, const uint8_t id[16], uint64_t is_linked)
{
    const struct whole *w = arg;

    if (is_linked && !waits(w->s, id))
        put_linked(w->out, id);
}

static void put_waiting_linked(void *out, const uint8_t id[16])
{
    put_linked(out, id);
}

static void put_links(struct gw_tail *s, struct gw_buf *out)
{
    struct whole w = {s, out};

    gw_tail_links_each(s->links, put_link, out);
    for (struct gw_trace *t = s->store ? gw_traces_oldest(s->store) : NULL; t; t = gw_traces_newer(s->store, t))
        if (gw_tail_facts(t)->is_linked)
            put_linked(out, t->id);
    if (s->passes)
        gw_tail_passes_each_linked(s, put_waiting_linked, out);
    if (s->log->linked)
        gw_ids_each(s->log->linked, put_still_linked, &w);
}

static void put_passes(struct gw_buf *out, const uint8_t id[16], uint64_t value, uint64_t upto_ns, unsigned flags)
{
    gw_buf_put_u8(out, NOTE_PASSES);
    gw_buf_put(out, id, 16);
    gw_spool_put_u64(out, value);
    gw_spool_put_u64(out, upto_ns);
    gw_buf_put_u8(out, (uint8_t)flags);
}

void gw_tail_log_note_passes(struct gw_tail *s, const uint8_t id[16], uint64_t value, uint64_t upto_ns, unsigned flags)
{
    put_passes(&s->log->kept->record, id, value, upto_ns, flags);
}

static void put_waiting(void *out, const uint8_t id[16], uint32_t reason, uint64_t upto_ns, unsigned flags)
{
    put_passes(out, id, reason, upto_ns, flags);
}

static void put_whole(struct gw_tail *s, struct gw_buf *out)
{
    struct gw_ids *ids[] = {s->kept, s->gone};

    put_reasons(s, out, 0);
    gw_kept_put_known(s->log->kept, s->gone, out);
    gw_kept_put_known(s->log->kept, s->kept, out);
    gw_kept_put_past(s->log->kept, ids, 2, out);
    if (s->links)
        put_links(s, out);
    if (s->passes)
        gw_tail_passes_each(s, put_waiting, out);
}

static void put_limits(struct gw_tail *s, struct gw_buf *out)
{
    uint32_t n = 0;
    size_t at;

    gw_buf_put_u8(out, NOTE_LIMITS);
    at = out->n;
    gw_spool_put_u32(out, n);
    gw_policies_save(s->policies, out);
    if (out->failed)
        return;
    n = (uint32_t)(out->n - at - sizeof(n));
    memcpy(out->p + at, &n, sizeof(n));
    if (n == 0)
        out->n = at - 1;
}

static uint64_t oldest_ns(const struct gw_tail *s)
{
    const struct gw_trace *t = s->store ? gw_traces_oldest(s->store) : NULL;

    return t ? t->first_ns : UINT64_MAX;
}

static int save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    struct gw_tail *s = self;

    if (s->leaving || s->n_spans)
        return GW_MORE;
    *ret_oldest_ns = s->passes ? gw_tail_passes_passed_ns(s) : oldest_ns(s);
    gw_kept_open_record(s->log->kept, whole, out);
    if (whole)
        put_whole(s, out);
    else
        put_reasons(s, out, s->log->n_told);
    put_limits(s, out);
    if (!whole)
        gw_buf_put_slice(out, gw_buf_slice(&s->log->linked_record));
    out->failed |= s->log->linked_record.failed;
    if (gw_kept_close_record(s->log->kept, out) < 0)
        return -ENOMEM;
    gw_buf_reset(&s->log->linked_record);
    s->log->n_told = gw_reasons_n(s->reasons);
    return GW_DONE;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static struct gw_tail_source *source_of(struct gw_tail_log *l)
{
    return &l->sources[l->kept->source];
}

/* Of the source that is read. NULL: no memory. */
static struct gw_reason_numbers *numbers_of(struct gw_tail_log *l)
{
    struct gw_reason_numbers **n = &source_of(l)->numbers;

    if (!*n)
        *n = gw_reason_numbers_new();
    return *n;
}

static bool read_limits(struct gw_tail_log *l, struct gw_spool_in *in)
{
    struct gw_slice bytes = gw_spool_get_bytes(in);
    struct gw_buf *to = &source_of(l)->limits;

    gw_buf_clear(to);
    gw_buf_init(to, MAX_BYTES);
    gw_buf_put_slice(to, bytes);
    l->has_limits = true;
    return !to->failed;
}

static bool read_link(struct gw_tail *s, struct gw_spool_in *in)
{
    struct gw_slice from = gw_spool_get(in, 16), to = gw_spool_get(in, 16);
    const struct gw_keep_owner *owner = s->log->owner;

    if (s->links && !in->bad && owner->owns(owner->arg, from.p))
        (void)gw_tail_links_put(s->links, from.p, to.p);
    return true;
}

static bool read_linked(struct gw_tail *s, struct gw_spool_in *in)
{
    struct gw_slice id = gw_spool_get(in, 16);
    const struct gw_keep_owner *owner = s->log->owner;

    return in->bad || !s->links || !owner->owns(owner->arg, id.p) ||
           gw_kept_put_more(s->ctx.env, &s->log->linked, &s->log->max_linked, id.p, 1);
}

static bool remember(struct gw_tail *s, const uint8_t id[16], uint64_t value, bool cache, uint32_t *ret_reason)
{
    const struct gw_reason_numbers *n = numbers_of(s->log);

    if (!n || !gw_reason_number(n, (uint32_t)value, ret_reason))
        return false;
    if (cache)
        gw_ids_put(gw_reasons_get(s->reasons, *ret_reason)->kept ? s->kept : s->gone, id,
                   value >> 32 << 32 | *ret_reason);
    return true;
}

static void read_over(void *self, const uint8_t id[16])
{
    struct gw_tail *s = self;

    if (s->log->linked)
        gw_ids_put(s->log->linked, id, 0);
}

/* Rows that were to come again would not leave any more with another mode. */
static bool read_passes(struct gw_tail *s, struct gw_spool_in *in)
{
    const struct gw_keep_owner *owner = s->log->owner;
    struct gw_slice id = gw_spool_get(in, 16);
    uint64_t value = gw_spool_get_u64(in), upto_ns = gw_spool_get_u64(in);
    unsigned flags = gw_spool_get_u8(in);
    uint32_t reason;

    if (in->bad || !owner->owns(owner->arg, id.p))
        return !in->bad;
    if (!remember(s, id.p, value, flags & GW_TAIL_REMEMBERED, &reason))
        return false;
    if (flags & GW_TAIL_REMEMBERED)
        read_over(s, id.p);
    if (upto_ns <= owner->low_ns)
        return true;
    if (s->passes)
        return gw_tail_passes_restore(s, id.p, reason, upto_ns, flags);
    s->log->is_other_mode = true;
    return true;
}

static bool read_entry(void *self, uint8_t type, struct gw_spool_in *in)
{
    struct gw_tail *s = self;
    struct gw_reason_numbers *n;

    switch (type) {
    case NOTE_REASON:
        return (n = numbers_of(s->log)) != NULL && gw_reasons_read(s->reasons, n, in);
    case NOTE_LIMITS:
        return read_limits(s->log, in);
    case NOTE_LINK:
        return read_link(s, in);
    case NOTE_LINKED:
        return read_linked(s, in);
    case NOTE_PASSES:
        return read_passes(s, in);
    default:
        return false;
    }
}

static bool read_decision(void *self, const uint8_t id[16], uint64_t value)
{
    uint32_t reason;

    return remember(self, id, value, /* cache= */ true, &reason);
}

static void put_left(void *self, const uint8_t id[16], uint64_t upto_ns)
{
    struct gw_tail *s = self;

    if (upto_ns > s->log->owner->low_ns && !gw_tail_passes_restore(s, id, 0, upto_ns, GW_TAIL_LEFT))
        s->log->kept->record.failed = true;
}

/* What mode buffered has decided left then. */
static int take_over(struct gw_tail *s)
{
    struct gw_kept *k = s->log->kept;

    if (!s->passes && s->log->is_other_mode) {
        gw_log(&s->ctx.logger, GW_LOG_ERROR,
               "mode: buffered: some of what mode two_pass has decided has not left yet: start it with that mode "
               "again, until nothing waits");
        return -ENOTSUP;
    }
    if (!s->passes || !k->past)
        return 0;
    gw_ids_each(k->past, put_left, s);
    gw_ids_free(k->past);
    k->past = NULL;
    return k->record.failed ? -ENOMEM : 0;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    struct gw_tail *s = self;
    struct gw_tail_log *l = s->log;
    const struct gw_kept_reader r = {.self = s, .entry = read_entry, .decided = read_decision, .over = read_over};
    int rc;

    l->owner = owner;
    rc = gw_kept_restore(l->kept, record, owner, &r);
    if (rc == 0 && l->kept->n_sources && source_of(l)->n_parts == 0) {
        source_of(l)->n_parts = owner->n_parts;
        l->n_parts += owner->n_parts;
        l->of_parts = owner->of_parts;
    }
    return rc < 0 ? rc : take_over(s);
}

/* All is read. Partitions of which nothing was written down have limiters that nobody has asked. */
static void mix_limits(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;
    struct gw_policies_part list[GW_KEPT_SOURCES + 1];
    struct gw_buf full;
    unsigned n = 0;

    gw_buf_init(&full, MAX_BYTES);
    gw_policies_save(s->policies, &full);
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++)
        if (l->sources[i].limits.n)
            list[n++] = (struct gw_policies_part){gw_buf_slice(&l->sources[i].limits), l->sources[i].n_parts};
    if (l->n_parts < l->of_parts)
        list[n++] = (struct gw_policies_part){gw_buf_slice(&full), l->of_parts - l->n_parts};
    gw_policies_mix(s->policies, list, n);
    gw_buf_clear(&full);
    l->has_limits = false;
}

/* ---- time ------------------------------------------------------------------------------------------------- */

static int begin(void *self)
{
    struct gw_tail *s = self;

    if (!s->log)
        s->log = log_new(&s->ctx);
    if (!s->log)
        return -ENOMEM;
    return s->conf->mode == GW_TAIL_TWO_PASS && !s->passes ? gw_tail_passes_begin(s) : 0;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_tail *s = self;
    struct gw_kept *k = s->log->kept;
    bool begins = now_ns > k->now_ns;
    int rc = GW_DONE;

    if (s->log->has_limits)
        mix_limits(s);
    forget_sources(s->log);
    gw_kept_advance(k, now_ns, rebuilds);
    if (s->passes)
        gw_tail_passes_advance(s, rebuilds);
    k->at_barrier = true;
    if (begins) {
        k->came_again = false; /* nothing of this step has come yet */
        gw_tail_step_close(s);
        k->came_again = rebuilds;
    }
    if (!rebuilds)
        rc = gw_tail_end_step(s, now_ns, out);
    k->at_barrier = false;
    return rc;
}

static uint64_t due_ns(const void *self)
{
    const struct gw_tail *s = self;

    if (s->leaving || gw_tail_step_has_work(s))
        return 0;
    if (s->passes)
        return gw_tail_passes_due_ns(s);
    return s->store ? gw_traces_due_when(s->store) : UINT64_MAX;
}

static bool twice(const void *conf)
{
    return ((const struct gw_tail_conf *)conf)->mode == GW_TAIL_TWO_PASS;
}

static uint64_t lasts_ns(const void *conf)
{
    return ((const struct gw_tail_conf *)conf)->decision_wait_ns;
}

static uint64_t ready_ns(const void *self)
{
    return gw_tail_passes_ready_ns(self);
}

const struct gw_keep_ops gw_tail_keep = {.begin = begin,
                                         .restore = restore,
                                         .advance = advance,
                                         .save = save,
                                         .due_ns = due_ns,
                                         .twice = twice,
                                         .lasts_ns = lasts_ns,
                                         .ready_ns = ready_ns,
                                         .pass = gw_tail_passes_pass};
