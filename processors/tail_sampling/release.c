/* SPDX-License-Identifier: Apache-2.0 */
/* Kept traces on their way out: many of them in one batch, with what is written on their spans. */
#include <errno.h>

#include "otlp-proto/decode.h"
#include "pipeline/host.h"
#include "processors/common/trace_state.h"
#include "processors/tail_sampling/sampler.h"
#include "values/sampling.h"

/* LEAST_SPANS: a piece is not made smaller for the sake of a sink that has little room. */
enum { BATCH_SPANS = GW_TAIL_BATCH_SPANS, BATCH_BYTES = 4 << 20, LEAST_SPANS = 256 };
/* BODY_BYTES: of a batch, unless one trace or piece needs more. They are a class of the stock: used again, warm. */
enum { BODY_BYTES = (1 << 20) - GW_PAYLOAD_PAD, MAX_BODY_BYTES = 1 << 30 };

void gw_tail_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason)
{
    static struct gw_batch traces = {.signal = GW_TRACES};
    struct gw_view none = {.batch = &traces, .n_rows = rows};

    if (rows && out->ledger && out->ledger->settled)
        out->ledger->settled(out->ledger, &none, rows, outcome, reason);
}

/* ---- what is written on spans ----------------------------------------------------------------------------- */

/* The spec lets a sampler only raise a threshold, and none may be above the randomness that passed it. */
static void raise_threshold(struct gw_tail *s, struct gw_view *v, uint32_t row, uint64_t threshold)
{
    char text[GW_SAMPLING_DIGITS + 1];
    struct gw_trace_state ts;
    uint64_t randomness;

    if (!gw_trace_state_parse(gw_span_trace_state(v, row), &ts)) {
        gw_metric_add(s->meter.unparseable, 1);
        return;
    }
    randomness = ts.has_randomness ? ts.randomness : gw_randomness_of_trace(v->batch->trace_id[row]);
    if (threshold > randomness) {
        gw_metric_add(s->meter.inconsistent, 1);
        return;
    }
    if (ts.has_threshold && ts.threshold >= threshold)
        return;
    ts.threshold = threshold;
    ts.threshold_text = gw_slice_of(text, gw_threshold_text(threshold, text));
    ts.has_threshold = true;
    gw_buf_reset(&s->text);
    gw_trace_state_write(&ts, &s->text);
    if (s->text.failed)
        v->failed = true;
    else
        gw_span_set_trace_state(v, row, gw_buf_slice(&s->text));
}

static void set_text(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key, const char *text)
{
    gw_view_attr_set(v, o, index, key, &(struct gw_value){.type = GW_V_STRING, .s = gw_slice_cstr(text)});
}

void gw_tail_mark_row(struct gw_tail *s, struct gw_view *v, uint32_t row, const struct gw_reason *r)
{
    if (r->has_threshold)
        raise_threshold(s, v, row, r->threshold);
    if (*s->conf->reason_attribute && r->policy)
        set_text(v, GW_OWN_ROW, row, gw_slice_cstr(s->conf->reason_attribute), r->policy);
    if (s->conf->dry_run)
        set_text(v, GW_OWN_ROW, row, GW_SLICE("staunch.sampling.decision"), r->word);
}

void gw_tail_mark_scope(struct gw_tail *s, struct gw_view *v, uint32_t scope, const struct gw_reason *r, bool cached)
{
    static const struct gw_value yes = {.type = GW_V_BOOL, .b = true};

    if (!s->conf->record_policy || (!r->kept && !s->conf->dry_run))
        return;
    if (r->policy)
        set_text(v, GW_OWN_SCOPE, scope, GW_SLICE("tailsampling.policy"), r->policy);
    if (r->composite && !cached)
        set_text(v, GW_OWN_SCOPE, scope, GW_SLICE("tailsampling.composite_policy"), r->composite);
    if (cached)
        gw_view_attr_set(v, GW_OWN_SCOPE, scope, GW_SLICE("tailsampling.cached_decision"), &yes);
}

/* Traces stand one behind the other, and none shares a scope with another. */
static void mark_parts(struct gw_tail *s, struct gw_view *v, const struct gw_tail_part *parts, uint32_t n_parts)
{
    uint32_t row = 0;

    for (uint32_t i = 0; i < n_parts; i++) {
        const struct gw_reason *r = gw_reasons_get(s->reasons, parts[i].reason);
        uint32_t end = row + parts[i].n_spans, scope = UINT32_MAX;

        for (; row < end && row < v->batch->n_rows; row++) {
            gw_tail_mark_row(s, v, row, r);
            if (v->batch->scope[row] != scope)
                gw_tail_mark_scope(s, v, scope = v->batch->scope[row], r, /* cached= */ false);
        }
    }
}

/* ---- body ------------------------------------------------------------------------------------------------- */

void gw_tail_drop_body(struct gw_tail *s)
{
    s->payload = gw_payload_unref(s->payload);
    s->body = (struct gw_buf){0};
}

/* Out of the stock; or what the store has emptied since, as traces left it: both shrink and grow by turns. */
static struct gw_payload *new_body(struct gw_tail *s)
{
    if (s->store && !gw_payload_pool_has(BODY_BYTES))
        (void)gw_traces_lend(s->store);
    return gw_payload_new(BODY_BYTES);
}

/* A payload, or one of twice the size. False: no memory, or it is as large as any may be. */
static bool grow_body(struct gw_tail *s)
{
    size_t n = s->body.n, bytes = s->payload ? 2 * (size_t)s->payload->cap : BODY_BYTES;

    if (bytes > MAX_BODY_BYTES)
        return false;
    if (s->payload) {
        s->payload->n = (uint32_t)n;
        if (gw_payload_reserve(s->payload, bytes - n) < 0)
            return false;
    } else if (!(s->payload = new_body(s))) {
        return false;
    }
    s->body = (struct gw_buf){.p = s->payload->p, .n = n, .cap = s->payload->cap, .max_bytes = s->payload->cap};
    return true;
}

/* What is to be written did not fit. What stands there goes on; when nothing does, body grows. */
static bool make_room(struct gw_tail *s, struct gw_ports *out)
{
    s->body.failed = s->body.starved = false;
    return s->n_spans ? gw_tail_flush(s, out) : grow_body(s);
}

/* ---- batches ---------------------------------------------------------------------------------------------- */

enum sent { SENT, NO_MEMORY, UNREADABLE };

/* Behind a port it is copied once more: rows that nobody waits for would be lost there. */
static bool has_memory(const struct gw_tail *s, size_t bytes)
{
    const struct gw_credit *c = s->ctx.host ? s->ctx.host->memory : NULL;
    uint64_t used = c ? atomic_load_explicit(&c->used_bytes, memory_order_relaxed) : 0;

    return !c || used + bytes <= atomic_load_explicit(&c->hard_bytes, memory_order_relaxed);
}

/*
 * The batch has the bytes where they were written. They came through the door, so that nothing need be checked, and
 * often nobody will look at more than their outline.
 */
static int decode(struct gw_tail *s, struct gw_batch *b)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    bool outline = s->ctx.outline_behind && !s->marks_rows;
    struct gw_err err = {""};
    int rc;

    s->payload->n = (uint32_t)s->body.n;
    gw_batch_set_payload(b, gw_payload_ref(s->payload));
    rc = outline ? gw_decode_trusted(b, gw_buf_slice(&s->body), &err)
                 : gw_decode(b, gw_buf_slice(&s->body), &limits, NULL, &err);
    if (rc < 0 && rc != -ENOMEM)
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "kept spans are lost: %s", err.text);
    return rc;
}

/* What stands in body, as a batch. */
static enum sent emit(struct gw_tail *s, struct gw_ports *out)
{
    struct gw_batch *b = has_memory(s, s->body.n) ? gw_batch_pool_get(s->pool, GW_TRACES) : NULL;
    uint64_t now = gw_tail_now_ns(s);
    struct gw_view v;
    int rc = b ? decode(s, b) : -ENOMEM;

    if (rc < 0) {
        if (b)
            (void)gw_batch_unref(b);
        return rc == -ENOMEM ? NO_MEMORY : UNREADABLE;
    }
    b->receiver = s->receiver;
    b->received_ns = gw_tail_wall_ns(s) - (now > s->oldest_ns ? now - s->oldest_ns : 0);
    gw_view_init(&v, b, out->arena);
    (void)gw_batch_unref(b);
    if (s->marks)
        mark_parts(s, &v, s->parts, s->n_parts);
    if (v.failed) {
        gw_view_clear(&v);
        return NO_MEMORY;
    }
    gw_emit(out, 0, &v);
    return SENT;
}

bool gw_tail_flush(struct gw_tail *s, struct gw_ports *out)
{
    enum sent sent = s->n_spans ? emit(s, out) : SENT;

    if (sent == NO_MEMORY)
        return false;
    if (sent == UNREADABLE)
        gw_tail_settle(out, s->n_spans, GW_FAILED, "unreadable");
    gw_tail_drop_body(s);
    s->n_parts = s->n_spans = 0;
    return true;
}

static void add_part(struct gw_tail *s, struct gw_trace *t, uint32_t n_spans, uint32_t reason)
{
    const char *receiver = gw_tail_facts(t)->receiver;

    if (s->n_spans == 0) {
        s->receiver = receiver;
        s->oldest_ns = t->first_ns;
    } else if (s->receiver != receiver) {
        s->receiver = NULL;
    }
    if (t->first_ns < s->oldest_ns)
        s->oldest_ns = t->first_ns;
    s->parts[s->n_parts++] = (struct gw_tail_part){n_spans, reason};
    s->n_spans += n_spans;
}

bool gw_tail_is_long(const struct gw_trace *t)
{
    return t->n_spans > BATCH_SPANS || gw_trace_bytes(t) > BATCH_BYTES;
}

static bool write(struct gw_tail *s, struct gw_trace *const *traces, uint32_t n, struct gw_ports *out)
{
    bool is_full = s->n_parts + n > GW_TAIL_PARTS || s->n_spans >= BATCH_SPANS;
    int rc;

    if (is_full && !gw_tail_flush(s, out))
        return false;
    do {
        rc = gw_traces_write_all(s->store, traces, n, &s->body);
    } while (rc == -E2BIG && make_room(s, out));
    s->body.failed = s->body.starved = false;
    return rc == 0;
}

bool gw_tail_write(struct gw_tail *s, struct gw_trace *t, uint32_t reason, struct gw_ports *out)
{
    bool ok = write(s, &t, 1, out);

    if (ok)
        add_part(s, t, t->n_spans, reason);
    return ok;
}

bool gw_tail_write_all(struct gw_tail *s, struct gw_trace *const *traces, uint32_t n, struct gw_ports *out)
{
    bool ok = write(s, traces, n, out);

    for (uint32_t i = 0; ok && i < n; i++)
        add_part(s, traces[i], traces[i]->n_spans, gw_tail_facts(traces[i])->reason);
    return ok;
}

/* Spans for which there is room behind, in a few sizes. */
static uint32_t room_for(const struct gw_tail *s, const struct gw_trace *t, struct gw_ports *out)
{
    uint64_t a_span = gw_trace_bytes(t) / t->n_spans + 1;
    uint32_t spans = t->n_spans - s->n_left;

    for (spans = spans < BATCH_SPANS ? spans : BATCH_SPANS;; spans /= 2) {
        uint64_t bytes = spans * a_span;

        if (gw_has_room(out, spans, bytes < BATCH_BYTES ? bytes : BATCH_BYTES))
            return spans;
        if (spans <= LEAST_SPANS)
            return 0;
    }
}

uint32_t gw_tail_write_piece(struct gw_tail *s, struct gw_trace *t, bool as_room, struct gw_ports *out)
{
    uint32_t n, spans = as_room ? room_for(s, t, out) : BATCH_SPANS;
    int rc;

    if (!spans || !gw_tail_flush(s, out))
        return 0;
    do {
        rc = gw_traces_write_piece(s->store, t, &s->left, spans, BATCH_BYTES, &s->body, &n);
    } while (rc == -E2BIG && make_room(s, out));
    s->body.failed = s->body.starved = false;
    if (rc < 0)
        return 0;
    add_part(s, t, n, gw_tail_facts(t)->reason);
    (void)gw_tail_flush(s, out); /* else it stands there, and has left the store all the same */
    return n;
}
