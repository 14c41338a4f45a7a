/* SPDX-License-Identifier: Apache-2.0 */
/* Traces on their way out: many of them in one batch, decided one by one, what is kept marked. */
#include "otlp-proto/decode.h"
#include "processors/common/trace_state.h"
#include "processors/dynamic_sampling/dynamic.h"
#include "values/sampling.h"

enum { BATCH_SPANS = 8192, BATCH_BYTES = 4 << 20 };

/* ---- marks ------------------------------------------------------------------------------------------------ */

/* A stricter threshold of an earlier stage stays. */
static void raise_threshold(struct gw_ds *s, struct gw_view *v, uint32_t row, uint64_t threshold)
{
    char text[GW_SAMPLING_DIGITS + 1];
    struct gw_trace_state ts;

    if (!gw_trace_state_parse(gw_span_trace_state(v, row), &ts) || (ts.has_threshold && ts.threshold >= threshold))
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

void gw_ds_mark(struct gw_ds *s, struct gw_view *v, uint32_t row, uint64_t decision)
{
    struct gw_value name = {.type = GW_V_STRING, .s = gw_slice_cstr(s->names.list[(decision >> 56) - 1])};

    gw_view_attr_set(v, GW_OWN_ROW, row, GW_SLICE("otelcol.processor.dynamic_sampling.rule"), &name);
    raise_threshold(s, v, row, decision & GW_MAX_RANDOMNESS);
}

/* ---- a decision ------------------------------------------------------------------------------------------- */

/* What earlier stages did: the strictest threshold of all spans, and the first explicit randomness. */
static void read_states(struct gw_ds *s, const struct gw_ds_trace *t, uint64_t *ret_threshold, uint64_t *ret_randomness)
{
    bool has_randomness = false;

    *ret_threshold = GW_ALWAYS_SAMPLE;
    *ret_randomness = gw_randomness_of_trace(t->v->batch->trace_id[t->begin]);
    for (uint32_t row = t->begin; row < t->end; row++) {
        struct gw_slice text = gw_span_trace_state(t->v, row);
        struct gw_trace_state ts;

        if (text.n == 0)
            continue;
        if (!gw_trace_state_parse(text, &ts)) {
            gw_metric_add(s->unparseable, 1);
            continue;
        }
        if (ts.has_threshold && ts.threshold > *ret_threshold)
            *ret_threshold = ts.threshold;
        if (ts.has_randomness && !has_randomness)
            *ret_randomness = ts.randomness;
        has_randomness |= ts.has_randomness;
    }
}

static bool keeps(struct gw_ds *s, const struct gw_ds_trace *t, uint64_t threshold, uint64_t randomness,
                  struct gw_metric *sampled, struct gw_metric *dropped)
{
    bool kept = threshold <= randomness;

    (void)t;
    gw_metric_observe(s->rate, threshold < GW_NEVER_SAMPLE ? 1 / gw_threshold_probability(threshold) : 0);
    gw_metric_add(kept ? sampled : dropped, 1);
    return kept;
}

/* True: it is kept, and *ret_decision is what is written on it. */
static bool judge(struct gw_ds *s, const struct gw_ds_trace *t, enum gw_ds_trigger trigger, uint64_t *ret_decision,
                  const char **ret_reason)
{
    uint64_t threshold, randomness;
    int rule;

    gw_metric_add(s->triggers[trigger], 1);
    if (trigger == GW_DS_BY_EVICTION && s->conf->eviction.policy == GW_DS_EVICT_PROBABILISTIC) {
        read_states(s, t, &threshold, &randomness);
        threshold = s->eviction_threshold > threshold ? s->eviction_threshold : threshold;
        *ret_decision = gw_ds_decision(GW_DS_EVICTED, threshold);
        *ret_reason = "evicted";
        return keeps(s, t, threshold, randomness, s->evicted_sampled, s->evicted_dropped);
    }
    rule = gw_ds_rules_find(&s->rules, t);
    if (rule < 0) {
        gw_metric_add(s->unmatched, 1);
        *ret_reason = "unmatched";
        return false;
    }
    read_states(s, t, &threshold, &randomness);
    threshold = gw_ds_rule_threshold(&s->rules, (uint32_t)rule, t, threshold, gw_ds_now_ns(s));
    *ret_decision = gw_ds_decision(s->rules.list[rule].name, threshold);
    *ret_reason = "not_sampled";
    return keeps(s, t, threshold, randomness, s->rules.list[rule].sampled, s->rules.list[rule].dropped);
}

/* ---- batches ---------------------------------------------------------------------------------------------- */

void gw_ds_settle(struct gw_ports *out, uint32_t rows, enum gw_outcome outcome, const char *reason)
{
    static struct gw_batch traces = {.signal = GW_TRACES};
    struct gw_view none = {.batch = &traces, .n_rows = rows};

    if (rows && out->ledger && out->ledger->settled)
        out->ledger->settled(out->ledger, &none, rows, outcome, reason);
}

static void drop_rows(struct gw_view *v, struct gw_ports *out, const struct gw_ds_trace *t, const char *reason)
{
    uint64_t *rows = gw_arena_zalloc(v->arena, (v->batch->n_rows / 64 + 1) * sizeof(*rows));

    if (!rows) { /* kept with a reason that is not ours, rather than lost without one */
        v->failed = true;
        return;
    }
    for (uint32_t row = t->begin; row < t->end; row++)
        rows[row / 64] |= UINT64_C(1) << (row % 64);
    gw_view_settle_rows(v, out->ledger, rows, GW_DROPPED, reason, NULL);
}

/* decision 0: it is not kept. */
static void remember(struct gw_ds *s, const uint8_t id[16], uint64_t decision, enum gw_ds_trigger why)
{
    gw_ids_put(decision ? s->kept : s->gone, id, decision);
    if (s->log)
        gw_ds_log_note(s, id, decision, why != GW_DS_BY_EVICTION);
}

/* Traces stand one behind the other, in the order of parts. */
static void judge_all(struct gw_ds *s, struct gw_view *v, struct gw_ports *out)
{
    struct gw_ds_trace t = {.v = v, .is_root = gw_ds_is_root, .arg = s};

    for (uint32_t i = 0; i < s->n_parts; i++) {
        const struct gw_ds_part *part = &s->parts[i];
        enum gw_ds_trigger why = (enum gw_ds_trigger)part->trigger;
        uint64_t decision = 0;
        const char *reason;

        t.begin = t.end;
        t.end = t.begin + part->n_spans;
        if (judge(s, &t, why, &decision, &reason)) {
            remember(s, part->id, decision, why);
            for (uint32_t row = t.begin; row < t.end; row++)
                gw_ds_mark(s, v, row, decision);
        } else {
            remember(s, part->id, 0, why);
            drop_rows(v, out, &t, reason);
        }
    }
}

bool gw_ds_judge_row(struct gw_ds *s, struct gw_view *v, uint32_t row)
{
    struct gw_ds_trace t = {.v = v, .begin = row, .end = row + 1, .is_root = gw_ds_is_root, .arg = s};
    uint64_t decision = 0;
    const char *reason;
    bool kept = judge(s, &t, GW_DS_BY_EVICTION, &decision, &reason);

    remember(s, v->batch->trace_id[row], kept ? decision : 0, GW_DS_BY_EVICTION);
    if (kept)
        gw_ds_mark(s, v, row, decision);
    return kept;
}

/* False: out of memory. */
static bool decide_body(struct gw_ds *s, struct gw_ports *out)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    struct gw_batch *b = gw_batch_pool_get(s->pool, GW_TRACES);
    uint64_t now = gw_ds_now_ns(s), wall = s->log ? now : gw_wall_ns(s->ctx.env);
    struct gw_view v;
    struct gw_ref at;

    if (!b)
        return false;
    if (gw_batch_append(b, gw_buf_slice(&s->body), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) < 0 || b->n_rows != s->n_spans) {
        (void)gw_batch_unref(b);
        return false;
    }
    b->receiver = s->receiver;
    b->received_ns = wall - (now > s->oldest_ns ? now - s->oldest_ns : 0);
    gw_view_init(&v, b, out->arena);
    (void)gw_batch_unref(b);
    judge_all(s, &v, out);
    gw_emit(out, 0, &v);
    return true;
}

bool gw_ds_flush(struct gw_ds *s, struct gw_ports *out)
{
    if (s->n_spans && !decide_body(s, out))
        return false;
    if (s->body.cap > 2 * BATCH_BYTES)
        gw_buf_clear(&s->body);
    else
        gw_buf_reset(&s->body);
    s->n_parts = s->n_spans = 0;
    return true;
}

static void add_part(struct gw_ds *s, struct gw_trace *t, enum gw_ds_trigger why)
{
    struct gw_ds_part *part = &s->parts[s->n_parts++];

    if (s->n_spans == 0) {
        s->receiver = gw_ds_facts(t)->receiver;
        s->oldest_ns = t->first_ns;
    }
    if (t->first_ns < s->oldest_ns)
        s->oldest_ns = t->first_ns;
    *part = (struct gw_ds_part){.n_spans = t->n_spans, .trigger = (uint8_t)why};
    memcpy(part->id, t->id, sizeof(part->id));
    s->n_spans += t->n_spans;
}

bool gw_ds_decide(struct gw_ds *s, struct gw_trace *t, enum gw_ds_trigger why, struct gw_ports *out)
{
    bool is_full = s->n_parts == GW_DS_PARTS || s->n_spans >= BATCH_SPANS || s->body.n >= BATCH_BYTES ||
                   (s->n_spans && s->receiver != gw_ds_facts(t)->receiver);

    if (is_full && !gw_ds_flush(s, out))
        return false;
    if (gw_traces_write(s->store, t, &s->body) < 0) {
        s->body.failed = s->body.starved = false;
        return false;
    }
    if (t->n_spans)
        add_part(s, t, why);
    gw_traces_drop(s->store, t);
    return true;
}

bool gw_ds_evict(struct gw_ds *s, struct gw_trace *t, struct gw_ports *out)
{
    if (!gw_ds_decide(s, t, GW_DS_BY_EVICTION, out))
        return false;
    gw_metric_add(s->evicted, 1);
    return gw_ds_flush(s, out);
}
