/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits and what is remembered, over the end of the process: written when the gateway leaves, taken up before
 * anything comes in.
 *
 *   notes   R reasons by number   K ids and their decisions   L links   B buckets and allowances of policies
 *   parts   a trace with its facts: they stand as long as policies ask the same of spans; else its spans are asked
 * again
 *
 * Clocks do not go on while nobody is there: a trace has waited what it had waited, and a decision is as old as it was.
 */
#include "processors/common/spool.h"

#include <stdlib.h>

#include "pipeline/host.h"
#include "processors/tail_sampling/sampler.h"

#define S 1000000000ull

enum { NOTE_REASON = 'R', NOTE_IDS = 'K', NOTE_LINKS = 'L', NOTE_BUCKETS = 'B' };

int gw_tail_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    return gw_spooler_new_shared(ret, ctx, ((const struct gw_tail_conf *)conf)->storage, "tail_sampling/1", err);
}

/* ---- facts ------------------------------------------------------------------------------------------------ */

static bool waits(const struct gw_trace *t)
{
    return !((const struct gw_tail_facts *)t->facts)->is_decided;
}

static void put_facts(void *self, const struct gw_trace *t, struct gw_buf *out)
{
    const struct gw_tail *s = self;
    const struct gw_tail_facts *x = (const struct gw_tail_facts *)t->facts;
    const struct gw_trace_facts *f = &x->f;
    bool stands = x->generation == s->generation;

    gw_spool_put_u64(out, x->lacks_bytes ? 0 : f->wire_bytes);
    gw_buf_put_u8(out, x->is_linked);
    gw_buf_put_u8(out, stands);
    gw_spool_put_u64(out, gw_policies_shape(s->policies));
    for (unsigned i = 0; i < GW_FACT_WORDS; i++)
        gw_spool_put_u64(out, f->bits[i]);
    gw_spool_put_u64(out, f->min_start_ns);
    gw_spool_put_u64(out, f->max_end_ns);
    gw_spool_put_u64(out, f->running_start_ns);
    gw_spool_put_u64(out, f->randomness);
    gw_spool_put_u32(out, f->n_spans);
    gw_buf_put_u8(out, f->has_root);
    gw_buf_put_u8(out, f->has_randomness);
    gw_buf_put_u8(out, f->has_sampling_info);
    gw_buf_put_u8(out, f->bad_trace_state);
    gw_spool_put_u64(out, x->lacks_bytes ? 0 : f->framed_bytes);
}

/* False: they say nothing to the policies of now. Both counts of bytes (0: they were not counted; a spool of before may
 * end in front of the second) and is_linked are had all the same. */
static bool get_facts(const struct gw_tail *s, struct gw_slice bytes, struct gw_tail_facts *x)
{
    struct gw_spool_in in = {.left = bytes};
    struct gw_trace_facts *f = &x->f;
    bool stands;

    f->wire_bytes = gw_spool_get_u64(&in);
    x->is_linked = gw_spool_get_u8(&in);
    stands = gw_spool_get_u8(&in);
    stands &= gw_spool_get_u64(&in) == gw_policies_shape(s->policies);
    for (unsigned i = 0; i < GW_FACT_WORDS; i++)
        f->bits[i] = gw_spool_get_u64(&in);
    f->min_start_ns = gw_spool_get_u64(&in);
    f->max_end_ns = gw_spool_get_u64(&in);
    f->running_start_ns = gw_spool_get_u64(&in);
    f->randomness = gw_spool_get_u64(&in);
    f->n_spans = gw_spool_get_u32(&in);
    f->has_root = gw_spool_get_u8(&in);
    f->has_randomness = gw_spool_get_u8(&in);
    f->has_sampling_info = gw_spool_get_u8(&in);
    f->bad_trace_state = gw_spool_get_u8(&in);
    stands &= !in.bad;
    f->framed_bytes = gw_spool_get_u64(&in);
    x->lacks_bytes = f->wire_bytes == 0 || f->framed_bytes == 0;
    return stands;
}

static void take_facts(void *self, struct gw_trace *t, struct gw_slice facts, bool is_new)
{
    struct gw_tail *s = self;
    struct gw_tail_facts more = {0}, *f = gw_tail_facts(t);

    if (is_new) {
        f->generation = (uint8_t)(s->generation - !get_facts(s, facts, f));
        return;
    }
    (void)get_facts(s, facts, &more);
    f->f.wire_bytes += more.f.wire_bytes;
    f->f.framed_bytes += more.f.framed_bytes;
    f->lacks_bytes |= more.lacks_bytes;
    f->is_linked |= more.is_linked;
    f->generation = (uint8_t)(s->generation - 1);
}

/* ---- notes ------------------------------------------------------------------------------------------------ */

struct saving {
    struct gw_spool_notes *notes;
    uint64_t now_s;
};

static void put_id(void *arg, const uint8_t id[16], uint64_t value)
{
    const struct saving *k = arg;
    struct gw_buf *out = gw_spool_note(k->notes, NOTE_IDS);
    uint64_t decided_s = value >> 32;

    gw_buf_put(out, id, 16);
    gw_spool_put_u32(out, (uint32_t)value);
    gw_spool_put_u32(out, (uint32_t)(k->now_s > decided_s ? k->now_s - decided_s : 0));
}

static void put_link(void *arg, const uint8_t from[16], const uint8_t to[16])
{
    const struct saving *k = arg;
    struct gw_buf *out = gw_spool_note(k->notes, NOTE_LINKS);

    gw_buf_put(out, from, 16);
    gw_buf_put(out, to, 16);
}

static void put_notes(void *self, struct gw_spool_notes *notes, uint64_t now_ns)
{
    struct gw_tail *s = self;
    struct saving k = {notes, now_ns / S};

    for (uint32_t i = 0; i < gw_reasons_n(s->reasons); i++)
        gw_reasons_write(s->reasons, i, gw_spool_note(notes, NOTE_REASON));
    gw_ids_each(s->gone, put_id, &k);
    gw_ids_each(s->kept, put_id, &k);
    if (s->links)
        gw_tail_links_each(s->links, put_link, &k);
    gw_policies_save(s->policies, gw_spool_note(notes, NOTE_BUCKETS));
}

/* Numbers of one file. */
struct taking_up {
    struct gw_tail *s;
    uint64_t now_ns;
    unsigned file; /* + 1 */
    struct gw_reason_numbers *numbers;
};

static bool is_mine(const struct taking_up *k, struct gw_slice id)
{
    return id.n == 16 && gw_spool_is_mine(&k->s->ctx, id.p);
}

static void get_reasons(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};

    while (in.left.n && !in.bad)
        (void)gw_reasons_read(k->s->reasons, k->numbers, &in);
}

static void get_ids(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};
    uint64_t now_s = k->now_ns / S;

    while (in.left.n && !in.bad) {
        struct gw_slice id = gw_spool_get(&in, 16);
        uint32_t theirs = gw_spool_get_u32(&in), age_s = gw_spool_get_u32(&in), ours;
        uint64_t decided_s = now_s > age_s ? now_s - age_s : 0;

        if (!in.bad && gw_reason_number(k->numbers, theirs, &ours) && is_mine(k, id))
            gw_tail_remember(k->s, id.p, ours, decided_s * S);
    }
}

static void get_links(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};

    while (k->s->links && in.left.n && !in.bad) {
        struct gw_slice from = gw_spool_get(&in, 16), to = gw_spool_get(&in, 16);

        if (!in.bad && is_mine(k, from))
            gw_tail_links_put(k->s->links, from.p, to.p);
    }
}

static void take_note(void *self, void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of)
{
    struct taking_up *k = arg;
    struct gw_tail *s = self;

    if (k->file != i + 1)
        gw_reason_numbers_forget(k->numbers);
    k->file = i + 1;
    if (type == NOTE_REASON)
        get_reasons(k, body);
    else if (type == NOTE_IDS)
        get_ids(k, body);
    else if (type == NOTE_LINKS)
        get_links(k, body);
    else if (type == NOTE_BUCKETS)
        gw_policies_load(s->policies, body, i, of);
}

/* ---- room ------------------------------------------------------------------------------------------------- */

static struct gw_traces *store(void *self)
{
    struct gw_tail *s = self;

    return gw_tail_open_store(s) ? s->store : NULL;
}

static bool make_room(void *self, const struct gw_trace *but, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_tail *s = self;
    struct gw_trace *oldest = gw_traces_oldest(s->store);
    uint64_t before = gw_traces_n(s->store);

    if (!oldest || oldest == but)
        return false;
    if (gw_tail_facts(oldest)->is_decided)
        return gw_tail_leave_through(s, oldest, now_ns, out);
    if (s->conf->overflow == GW_TAIL_DROP)
        gw_tail_lose(s, oldest, now_ns, out);
    else
        (void)gw_tail_decide(s, oldest, before < s->max_traces ? GW_TAIL_BYTES : GW_TAIL_NUM_TRACES, now_ns, out);
    return gw_traces_n(s->store) < before;
}

static void overflow(void *self, struct gw_trace *t, struct gw_view *v, uint64_t now_ns, struct gw_ports *out)
{
    if (t)
        (void)gw_tail_decide(self, t, GW_TAIL_BYTES, now_ns, out);
    gw_tail_consume(self, v, out);
}

static void flush(void *self, struct gw_ports *out)
{
    (void)gw_tail_flush(self, out);
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

const struct gw_spooler_ops gw_tail_spooler = {
    .put_notes = put_notes,
    .take_note = take_note,
    .store = store,
    .waits = waits,
    .put_facts = put_facts,
    .take_facts = take_facts,
    .make_room = make_room,
    .overflow = overflow,
    .flush = flush,
};

bool gw_tail_spool(struct gw_tail *s, uint64_t now_ns)
{
    return gw_spooler_leave(&s->spooler, s->store,
                            s->store ? gw_traces_n_spans(s->store) - s->n_leaving - s->n_left : 0, now_ns);
}

void gw_tail_spool_rest(struct gw_tail *s)
{
    if (s->log || !gw_spool_is_due(s->ctx.shared, &s->ctx))
        return;
    if (gw_spooler_is_owed(&s->spooler))
        gw_tail_take_up(s, NULL);
    if (s->store && gw_traces_n(s->store) > 0) /* those that are decided are lost, as what queues in memory hold */
        (void)gw_tail_spool(s, gw_mono_ns(s->ctx.env));
}

void gw_tail_take_up(struct gw_tail *s, struct gw_ports *out)
{
    struct taking_up k = {.s = s, .now_ns = gw_mono_ns(s->ctx.env)};

    if (s->spooler.is_taken_up)
        return;
    s->spooler.is_taken_up = !s->ctx.shared || s->log; /* a journal has it all */
    if (s->spooler.is_taken_up)
        return;
    k.numbers = gw_reason_numbers_new();
    if (k.numbers)
        gw_spooler_take_up(&s->spooler, &k, out);
    else
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "out of memory: what waits on disk is not taken up yet");
    free(k.numbers);
}
