/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind a journal (processors/common/kept.h): a decision is the number of its reason, and above it the second.
 *
 * Entries beside the decisions:
 *
 *   'R'  a reason by number (reasons.c)
 *   'B'  what limiters hold (save.c), with its length
 */
#include "processors/common/kept.h"

#include <errno.h>
#include <stdlib.h>

#include "processors/common/spool.h"
#include "processors/tail_sampling/sampler.h"

#define S 1000000000ull

enum { NOTE_REASON = 'R', NOTE_LIMITS = 'B' };

struct gw_tail_log {
    struct gw_kept *kept;
    uint32_t n_told;                                    /* reasons of the record, or of one before */
    struct gw_reason_numbers *numbers[GW_KEPT_SOURCES]; /* of the records that are restored, by source; or NULL */
};

void gw_tail_log_free(struct gw_tail_log *l)
{
    if (!l)
        return;
    gw_kept_free(l->kept);
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++)
        free(l->numbers[i]);
    free(l);
}

static struct gw_tail_log *log_new(const struct gw_ctx *ctx)
{
    struct gw_tail_log *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->kept = gw_kept_new(ctx);
    if (l->kept)
        return l;
    free(l);
    return NULL;
}

uint64_t gw_tail_log_now_ns(const struct gw_tail_log *l)
{
    return l->kept->now_ns;
}

/* ---- decisions -------------------------------------------------------------------------------------------- */

void gw_tail_log_note(struct gw_tail *s, const uint8_t id[16], uint32_t reason)
{
    struct gw_kept *k = s->log->kept;

    gw_kept_note(k, id, (k->now_ns / S) << 32 | reason);
}

void gw_tail_log_note_lost(struct gw_tail *s, const uint8_t id[16])
{
    gw_kept_note_lost(s->log->kept, id);
}

bool gw_tail_log_follows(struct gw_tail *s, const uint8_t id[16], uint32_t *ret_reason)
{
    uint64_t value;

    if (!s->log || !gw_kept_follows(s->log->kept, id, &value))
        return false;
    *ret_reason = (uint32_t)value;
    return true;
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

static void put_whole(struct gw_tail *s, struct gw_buf *out)
{
    struct gw_ids *ids[] = {s->kept, s->gone};

    put_reasons(s, out, 0);
    gw_kept_put_known(s->log->kept, s->gone, out);
    gw_kept_put_known(s->log->kept, s->kept, out);
    gw_kept_put_past(s->log->kept, ids, 2, out);
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
    *ret_oldest_ns = oldest_ns(s);
    gw_kept_open_record(s->log->kept, out);
    if (whole)
        put_whole(s, out);
    else
        put_reasons(s, out, s->log->n_told);
    put_limits(s, out);
    if (gw_kept_close_record(s->log->kept, out) < 0)
        return -ENOMEM;
    s->log->n_told = gw_reasons_n(s->reasons);
    return GW_DONE;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Of the source that is read. NULL: no memory. */
static struct gw_reason_numbers *numbers_of(struct gw_tail_log *l)
{
    struct gw_reason_numbers **n = &l->numbers[l->kept->source];

    if (!*n)
        *n = gw_reason_numbers_new();
    return *n;
}

static bool read_entry(void *self, uint8_t type, struct gw_spool_in *in)
{
    struct gw_tail *s = self;
    struct gw_reason_numbers *n;
    struct gw_slice limits;

    if (type == NOTE_REASON)
        return (n = numbers_of(s->log)) != NULL && gw_reasons_read(s->reasons, n, in);
    if (type != NOTE_LIMITS)
        return false;
    limits = gw_spool_get_bytes(in);
    if (!in->bad)
        gw_policies_load(s->policies, limits, 0, 1); /* of several workers', the last one's */
    return true;
}

static bool read_decision(void *self, const uint8_t id[16], uint64_t value)
{
    struct gw_tail *s = self;
    const struct gw_reason_numbers *n = numbers_of(s->log);
    uint32_t reason;

    if (!n || !gw_reason_number(n, (uint32_t)value, &reason))
        return false;
    gw_ids_put(gw_reasons_get(s->reasons, reason)->kept ? s->kept : s->gone, id, value >> 32 << 32 | reason);
    return true;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    struct gw_tail *s = self;
    const struct gw_kept_reader r = {.self = s, .entry = read_entry, .decided = read_decision};

    return gw_kept_restore(s->log->kept, record, owner, &r);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

static int begin(void *self)
{
    struct gw_tail *s = self;

    if (!s->log)
        s->log = log_new(&s->ctx);
    return s->log ? 0 : -ENOMEM;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_tail *s = self;
    struct gw_kept *k = s->log->kept;
    int rc = GW_DONE;

    gw_kept_advance(k, now_ns, rebuilds);
    if (!rebuilds) {
        k->at_barrier = true;
        rc = gw_tail_end_step(s, now_ns, out);
        k->at_barrier = false;
    }
    return rc;
}

static uint64_t due_ns(const void *self)
{
    const struct gw_tail *s = self;

    if (s->leaving)
        return 0;
    return s->store ? gw_traces_due_when(s->store) : UINT64_MAX;
}

const struct gw_keep_ops gw_tail_keep = {
    .begin = begin, .restore = restore, .advance = advance, .save = save, .due_ns = due_ns};
