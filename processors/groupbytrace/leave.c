/* SPDX-License-Identifier: Apache-2.0 */
/* Traces on their way out: many of them in one batch. */
#include "otlp-proto/decode.h"
#include "processors/groupbytrace/group.h"

enum { BATCH_SPANS = 8192, BATCH_BYTES = 4 << 20 };
enum { BATCHES_A_TURN = 16 }; /* of released spans: then others have their turn */

/* Rows that were in the store, and do not become a view any more. */
void gw_group_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason)
{
    static struct gw_batch traces = {.signal = GW_TRACES};
    struct gw_view none = {.batch = &traces, .n_rows = rows};

    if (rows && out->ledger && out->ledger->settled)
        out->ledger->settled(out->ledger, &none, rows, outcome, reason);
}

static uint64_t wall_ns(const struct gw_group *s)
{
    return s->kept ? s->kept->now_ns : gw_wall_ns(s->ctx.env);
}

static bool emit_body(struct gw_group *s, struct gw_ports *out)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX}; /* the door has looked */
    struct gw_batch *b = gw_batch_pool_get(s->pool, GW_TRACES);
    uint64_t now = gw_group_now_ns(s);
    struct gw_view v;
    struct gw_ref at;

    if (!b)
        return false;
    if (gw_batch_append(b, gw_buf_slice(&s->body), &at) < 0 ||
        (s->ctx.outline_behind ? gw_decode_trusted(b, gw_batch_slice(b, at), NULL)
                               : gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL)) < 0) {
        (void)gw_batch_unref(b);
        return false;
    }
    b->receiver = s->receiver;
    b->received_ns = wall_ns(s) - (now > s->oldest_ns ? now - s->oldest_ns : 0);
    gw_view_init(&v, b, out->arena);
    (void)gw_batch_unref(b);
    gw_emit(out, 0, &v);
    return true;
}

bool gw_group_flush(struct gw_group *s, struct gw_ports *out)
{
    if (s->n_body_spans == 0)
        return true;
    if (!emit_body(s, out))
        return false;
    gw_metric_add(s->spans_released, s->n_body_spans);
    s->n_body_spans = 0;
    s->n_batches++;
    if (s->body.cap > 2 * BATCH_BYTES)
        gw_buf_clear(&s->body);
    else
        gw_buf_reset(&s->body);
    return true;
}

/* It goes behind what has been released before, in one batch with it. False: no memory. */
static bool write(struct gw_group *s, struct gw_trace *t, struct gw_ports *out)
{
    if (s->n_body_spans &&
        (s->n_body_spans >= BATCH_SPANS || s->body.n >= BATCH_BYTES || s->receiver != gw_group_facts(t)->receiver) &&
        !gw_group_flush(s, out))
        return false;
    if (gw_traces_write(s->traces, t, &s->body) < 0) {
        s->body.failed = s->body.starved = false;
        return false;
    }
    if (s->n_body_spans == 0 || t->first_ns < s->oldest_ns)
        s->oldest_ns = t->first_ns;
    s->receiver = gw_group_facts(t)->receiver;
    s->n_body_spans += t->n_spans;
    return true;
}

bool gw_group_release(struct gw_group *s, struct gw_trace *t, bool is_over, struct gw_ports *out)
{
    if (is_over && s->conf->discard_orphans && !gw_group_facts(t)->has_root)
        gw_group_settle(out, t->n_spans, GW_DROPPED, "discard_orphans");
    else if (write(s, t, out))
        gw_metric_add(s->traces_released, t->n_spans > 0);
    else
        return false;
    if (s->kept && t->n_spans)
        (is_over ? gw_kept_note_due : gw_kept_note)(s->kept, t->id, GW_KEPT_NOTHING);
    gw_traces_drop(s->traces, t);
    return true;
}

bool gw_group_evict(struct gw_group *s, struct gw_trace *t, struct gw_ports *out)
{
    uint32_t n = t->n_spans;

    if (!gw_group_release(s, t, /* is_over= */ false, out))
        return false;
    gw_metric_add(s->evicted, n > 0);
    return true;
}

int gw_group_release_due(struct gw_group *s, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_trace *t = NULL;

    s->n_batches = 0;
    while (s->n_batches < BATCHES_A_TURN && (t = gw_traces_next_due(s->traces, now_ns)) != NULL)
        if (!gw_group_release(s, t, /* is_over= */ true, out))
            return GW_DONE; /* with the next tick */
    return t ? GW_MORE : GW_DONE;
}

bool gw_group_release_all(struct gw_group *s, struct gw_ports *out)
{
    struct gw_trace *t = NULL;

    s->n_batches = 0;
    while (s->n_batches < BATCHES_A_TURN && s->traces && (t = gw_traces_oldest(s->traces)) != NULL)
        if (!gw_group_release(s, t, /* is_over= */ false, out))
            return true;
    return t != NULL;
}
