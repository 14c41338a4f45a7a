/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind a journal (pipeline/keep.h): time is the log's, and each decision is written down, so that after a crash the
 * rows of traces that were decided are not taken again.
 *
 * Record: entries one behind the other, all integers little-endian:
 *
 *   'R'  number u32, kept u8, has_threshold u8, threshold u64, policy, composite, word, dropped
 *        (texts: u16 length + 1, bytes; 0: NULL)
 *   'D'  trace id 16, number u32 (UINT32_MAX: only that it was decided), upto u64 ns, second u32
 *   'B'  length u32, what limiters hold (policy.h)
 *
 * upto: rows that came in a step before it were part of the decision.
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/keep.h"
#include "processors/tail_sampling/sampler.h"

#define S 1000000000ull

enum { MAX_RECORD_BYTES = 1 << 30, FIRST_PAST = 1024, MAX_NUMBERS = 4096, TEXT_BYTES = 1024 };

struct gw_tail_log {
    uint64_t now_ns;
    bool rebuilds, has_saved;
    bool at_barrier; /* what is decided now has no row of the step that begins */
    struct gw_buf record;
    uint32_t n_told;     /* reasons of the record, or of one before */
    struct gw_ids *past; /* what was restored: id to upto; NULL: nothing, or nothing comes again */
    uint64_t past_ns;    /* the last upto of these: rows of later steps are not past */
    uint32_t max_past;
    /* Decided, or followed, in the middle of this step: id to reason. What comes of them in it follows, so that upto
     * tells which rows went. */
    struct gw_ids *now;
    uint32_t max_now;
    uint32_t *numbers; /* of the record that is restored: to ours */
};

static struct gw_tail_log *log_new(void)
{
    struct gw_tail_log *l = calloc(1, sizeof(*l));

    if (l)
        gw_buf_init(&l->record, MAX_RECORD_BYTES);
    return l;
}

void gw_tail_log_free(struct gw_tail_log *l)
{
    if (!l)
        return;
    gw_buf_clear(&l->record);
    gw_ids_free(l->past);
    gw_ids_free(l->now);
    free(l->numbers);
    free(l);
}

uint64_t gw_tail_log_now_ns(const struct gw_tail_log *l)
{
    return l->now_ns;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_text(struct gw_buf *out, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    uint16_t head = (uint16_t)(text ? (n < TEXT_BYTES ? n : TEXT_BYTES - 1) + 1 : 0);

    gw_buf_put(out, &head, sizeof(head));
    if (text)
        gw_buf_put(out, text, head - 1u);
}

static void put_reason(struct gw_buf *out, uint32_t number, const struct gw_reason *r)
{
    uint8_t flags[2] = {r->kept, r->has_threshold};

    gw_buf_put_u8(out, 'R');
    gw_buf_put(out, &number, sizeof(number));
    gw_buf_put(out, flags, sizeof(flags));
    gw_buf_put(out, &r->threshold, sizeof(r->threshold));
    put_text(out, r->policy);
    put_text(out, r->composite);
    put_text(out, r->word);
    put_text(out, r->dropped);
}

static void put_decision(struct gw_buf *out, const uint8_t id[16], uint32_t number, uint64_t upto_ns, uint32_t second)
{
    gw_buf_put_u8(out, 'D');
    gw_buf_put(out, id, 16);
    gw_buf_put(out, &number, sizeof(number));
    gw_buf_put(out, &upto_ns, sizeof(upto_ns));
    gw_buf_put(out, &second, sizeof(second));
}

/* A table that grows. False: no memory. */
static bool put_more(struct gw_tail *s, struct gw_ids **ids, uint32_t *max, const uint8_t id[16], uint64_t value)
{
    if (!*ids || gw_ids_n(*ids) == *max) {
        uint32_t n = *ids ? 2 * *max : FIRST_PAST;
        struct gw_ids *more = gw_ids_new(s->ctx.env, n);

        if (!more)
            return false;
        if (*ids)
            gw_ids_adopt(more, *ids);
        gw_ids_free(*ids);
        *ids = more;
        *max = n;
    }
    gw_ids_put(*ids, id, value);
    return true;
}

void gw_tail_log_note(struct gw_tail *s, const uint8_t id[16], uint32_t reason)
{
    struct gw_tail_log *l = s->log;

    if (!l->at_barrier && !put_more(s, &l->now, &l->max_now, id, reason))
        l->record.failed = true; /* it stops here, as without memory for the record */
    put_decision(&l->record, id, reason, l->now_ns + (l->at_barrier ? 0 : 1), (uint32_t)(l->now_ns / S));
}

void gw_tail_log_note_lost(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_tail_log *l = s->log;

    put_decision(&l->record, id, UINT32_MAX, l->now_ns, 0);
}

static void put_reasons(struct gw_tail *s, struct gw_buf *out, uint32_t from)
{
    for (uint32_t i = from; i < gw_reasons_n(s->reasons); i++)
        put_reason(out, i, gw_reasons_get(s->reasons, i));
}

struct whole {
    struct gw_tail *s;
    struct gw_buf *out;
};

static void put_known(void *arg, const uint8_t id[16], uint64_t value)
{
    const struct whole *w = arg;
    uint64_t upto = 0;

    if (!w->s->log->past || !gw_ids_get(w->s->log->past, id, &upto))
        upto = 0; /* it is remembered: that is enough */
    put_decision(w->out, id, (uint32_t)value, upto, (uint32_t)(value >> 32));
}

/* Of which nothing is remembered but that it was decided. */
static void put_past(void *arg, const uint8_t id[16], uint64_t upto)
{
    const struct whole *w = arg;
    uint64_t decided_s;
    uint32_t reason;

    if (!gw_tail_recall(w->s, id, &reason, &decided_s))
        put_decision(w->out, id, UINT32_MAX, upto, 0);
}

static void put_whole(struct gw_tail *s, struct gw_buf *out)
{
    struct whole w = {s, out};

    put_reasons(s, out, 0);
    gw_ids_each(s->gone, put_known, &w);
    gw_ids_each(s->kept, put_known, &w);
    if (s->log->past)
        gw_ids_each(s->log->past, put_past, &w);
}

static void put_limits(struct gw_tail *s, struct gw_buf *out)
{
    uint32_t n = 0;
    size_t at;

    gw_buf_put_u8(out, 'B');
    at = out->n;
    gw_buf_put(out, &n, sizeof(n));
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
    struct gw_tail_log *l = s->log;

    if (s->leaving || s->n_spans)
        return GW_MORE;
    *ret_oldest_ns = oldest_ns(s);
    if (whole)
        put_whole(s, out);
    else
        put_reasons(s, out, l->n_told);
    put_limits(s, out);
    gw_buf_put_slice(out, gw_buf_slice(&l->record)); /* with the whole it is there twice, in its order: no harm */
    if (out->failed || l->record.failed)
        return -ENOMEM;
    l->n_told = gw_reasons_n(s->reasons);
    l->has_saved = true;
    gw_buf_reset(&l->record);
    return GW_DONE;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

struct reading {
    const uint8_t *p, *end;
    bool bad;
};

static const uint8_t *get(struct reading *r, size_t n)
{
    const uint8_t *at = r->p;

    if ((size_t)(r->end - r->p) < n) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    return at;
}

static uint64_t get_number(struct reading *r, size_t n)
{
    const uint8_t *p = get(r, n);
    uint64_t v = 0;

    if (p)
        memcpy(&v, p, n);
    return v;
}

/* NULL, or a text in `room`. */
static const char *get_text(struct reading *r, char *room)
{
    size_t n = (size_t)get_number(r, 2);
    const uint8_t *p = n && n <= TEXT_BYTES ? get(r, n - 1) : NULL;

    r->bad |= n > TEXT_BYTES;
    if (!p)
        return NULL;
    memcpy(room, p, n - 1);
    room[n - 1] = 0;
    return room;
}

/* Words that are compared by text stay texts. */
static void read_reason(struct gw_tail *s, struct reading *r)
{
    char room[4][TEXT_BYTES];
    uint32_t number = (uint32_t)get_number(r, 4);
    struct gw_reason reason = {0};

    reason.kept = get_number(r, 1) != 0;
    reason.has_threshold = get_number(r, 1) != 0;
    reason.threshold = get_number(r, 8);
    reason.policy = get_text(r, room[0]);
    reason.composite = get_text(r, room[1]);
    reason.word = get_text(r, room[2]);
    reason.dropped = get_text(r, room[3]);
    r->bad |= number >= MAX_NUMBERS || !reason.word || (!reason.kept && !reason.dropped);
    if (!r->bad)
        s->log->numbers[number] = gw_reasons_put(s->reasons, &reason);
}

static int put_in_past(struct gw_tail *s, const uint8_t id[16], uint64_t upto_ns)
{
    struct gw_tail_log *l = s->log;

    if (upto_ns == 0)
        return 0;
    if (upto_ns > l->past_ns)
        l->past_ns = upto_ns;
    return put_more(s, &l->past, &l->max_past, id, upto_ns) ? 0 : -ENOMEM;
}

static int read_decision(struct gw_tail *s, struct reading *r, const struct gw_keep_owner *owner)
{
    const uint8_t *id = get(r, 16);
    uint32_t number = (uint32_t)get_number(r, 4), second;
    uint64_t upto_ns = get_number(r, 8);

    second = (uint32_t)get_number(r, 4);
    r->bad |= number != UINT32_MAX && number >= MAX_NUMBERS;
    if (r->bad || !owner->owns(owner->arg, id))
        return 0;
    if (number != UINT32_MAX) {
        uint32_t reason = s->log->numbers[number];

        gw_ids_put(gw_reasons_get(s->reasons, reason)->kept ? s->kept : s->gone, id, (uint64_t)second << 32 | reason);
    }
    return put_in_past(s, id, upto_ns);
}

static void read_limits(struct gw_tail *s, struct reading *r)
{
    uint32_t n = (uint32_t)get_number(r, 4);
    const uint8_t *p = get(r, n);

    if (p)
        gw_policies_load(s->policies, gw_slice_of(p, n), 0, 1); /* of several workers', the last one's */
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    struct gw_tail *s = self;
    struct reading r = {.p = record.p, .end = record.p + record.n};
    int rc = 0;

    if (!s->log->numbers)
        s->log->numbers = calloc(MAX_NUMBERS, sizeof(*s->log->numbers));
    if (!s->log->numbers)
        return -ENOMEM;
    while (r.p < r.end && !r.bad && rc == 0) {
        uint8_t kind = (uint8_t)get_number(&r, 1);

        if (kind == 'R')
            read_reason(s, &r);
        else if (kind == 'D')
            rc = read_decision(s, &r, owner);
        else if (kind == 'B')
            read_limits(s, &r);
        else
            r.bad = true;
    }
    return rc < 0 ? rc : r.bad ? -EBADMSG : 0;
}

bool gw_tail_log_follows(struct gw_tail *s, const uint8_t id[16], uint32_t *ret_reason)
{
    uint64_t reason;

    if (!s->log || !s->log->now || !gw_ids_get(s->log->now, id, &reason))
        return false;
    *ret_reason = (uint32_t)reason;
    return true;
}

bool gw_tail_log_is_past(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_tail_log *l = s->log;
    uint64_t upto;

    return l && l->rebuilds && l->past && gw_ids_get(l->past, id, &upto) && l->now_ns < upto;
}

bool gw_tail_log_rebuilds(const struct gw_tail *s)
{
    return s->log && s->log->rebuilds;
}

/* ---- time ------------------------------------------------------------------------------------------------- */

static int begin(void *self)
{
    struct gw_tail *s = self;

    if (!s->log)
        s->log = log_new();
    return s->log ? 0 : -ENOMEM;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_tail *s = self;
    struct gw_tail_log *l = s->log;
    int rc = GW_DONE;

    if (now_ns > l->now_ns) {
        gw_ids_free(l->now);
        l->now = NULL;
    }
    l->now_ns = now_ns;
    l->rebuilds = rebuilds;
    if (!rebuilds && now_ns >= l->past_ns && l->has_saved) {
        gw_ids_free(l->past);
        l->past = NULL;
    }
    if (!rebuilds) {
        l->at_barrier = true;
        rc = gw_tail_end_step(s, now_ns, out);
        l->at_barrier = false;
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
