/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/rules.h"

#include "processors/common/trace_state.h"
#include "processors/tail_sampling/keys.h"
#include "values/sampling.h"

enum { NS_PER_MS = 1000000, NS_PER_US = 1000 };

/* ---- a span joins a trace --------------------------------------------------------------------------------- */

static int64_t difference(int64_t a, int64_t b)
{
    int64_t d;

    return __builtin_sub_overflow(a, b, &d) ? (a < b ? INT64_MIN : INT64_MAX) : d;
}

bool gw_latency_holds(const struct gw_rule *r, int64_t ms)
{
    return ms > r->latency.above_ms && (r->latency.upto_ms == 0 || ms <= r->latency.upto_ms);
}

/*
 * The Collector walks over the spans with the earliest start and the latest end so far, and stops at the first at which
 * the policy holds. Times are signed there, and a start of 0 gives way to any other, until the next 0 comes.
 */
static void ask_latency(const struct gw_policies *p, struct gw_trace_facts *f)
{
    int64_t ms = difference((int64_t)f->max_end_ns, (int64_t)f->running_start_ns) / NS_PER_MS;

    for (unsigned i = 0; i < p->n_latencies; i++)
        if (!gw_fact(f, p->latencies[i]->bit) && gw_latency_holds(p->latencies[i], ms))
            gw_fact_set(f->bits, p->latencies[i]->bit);
}

static inline void note_latency(const struct gw_policies *p, struct gw_trace_facts *f, uint64_t start, uint64_t end)
{
    bool moved = f->n_spans == 0;

    if (f->running_start_ns == 0 || start < f->running_start_ns) {
        f->running_start_ns = start;
        moved = true;
    }
    if (end > f->max_end_ns) {
        f->max_end_ns = end;
        moved = true;
    }
    if (start && (f->min_start_ns == 0 || start < f->min_start_ns))
        f->min_start_ns = start;
    if (moved && p->n_latencies)
        ask_latency(p, f);
}

static void note_trace_state(struct gw_trace_facts *f, struct gw_slice text)
{
    struct gw_trace_state ts;

    if (text.n == 0 || f->has_randomness)
        return;
    if (!gw_trace_state_parse(text, &ts)) {
        f->bad_trace_state = true;
        return;
    }
    f->has_sampling_info |= ts.has_randomness || ts.has_threshold;
    f->has_randomness = ts.has_randomness;
    if (ts.has_randomness)
        f->randomness = ts.randomness;
}

/* Where what fails counts, the first span that says anything decides: bits of later ones are not taken. */
static void note_few_bits(const struct gw_policies *p, struct gw_trace_facts *f, const uint64_t bits[GW_FACT_WORDS])
{
    uint64_t late[GW_FACT_WORDS] = {0};

    for (const struct gw_asked_conditions *a = p->conditions; a; a = a->next)
        if (a->propagates && (gw_fact(f, a->bit) || gw_fact(f, a->failed_bit))) {
            gw_fact_set(late, a->bit);
            gw_fact_set(late, a->failed_bit);
        }
    for (unsigned w = 0; w < p->n_bit_words; w++)
        f->bits[w] |= bits[w] & ~late[w];
}

static inline void note_bits(const struct gw_policies *p, struct gw_trace_facts *f, const uint64_t bits[GW_FACT_WORDS])
{
    if (p->conditions)
        note_few_bits(p, f, bits);
    else
        for (unsigned w = 0; w < p->n_bit_words; w++)
            f->bits[w] |= bits[w];
    if (p->alarms)
        gw_keys_join(f->bits, bits);
}

static bool is_root(const uint8_t parent[8])
{
    uint64_t id;

    memcpy(&id, parent, sizeof(id));
    return id == 0;
}

static inline __attribute__((always_inline)) void note(const struct gw_policies *p, struct gw_trace_facts *f,
                                                       const struct gw_view *v, uint32_t row,
                                                       const uint64_t bits[GW_FACT_WORDS])
{
    const struct gw_batch *b = v->batch;

    note_bits(p, f, bits);
    note_latency(p, f, b->time_ns[row], b->end_ns[row]);
    if (p->conf.use_trace_state)
        note_trace_state(f, gw_span_trace_state(v, row));
    f->has_root |= is_root(b->parent_id[row]);
    f->n_spans++;
}

void gw_policies_note(struct gw_policies *p, struct gw_trace_facts *f, const struct gw_view *v, uint32_t row,
                      const uint64_t bits[GW_FACT_WORDS])
{
    note(p, f, v, row, bits);
}

void gw_policies_note_rows(struct gw_policies *p, struct gw_trace_facts *f, const struct gw_view *v,
                           const uint32_t *rows, uint32_t n, const uint64_t (*bits)[GW_FACT_WORDS])
{
    for (uint32_t i = 0; i < n; i++)
        note(p, f, v, rows[i], bits[rows[i]]);
}

/* ---- one policy ------------------------------------------------------------------------------------------- */

int64_t gw_facts_duration_ms(const struct gw_trace_facts *f)
{
    bool negative = f->max_end_ns < f->min_start_ns;
    uint64_t ns = negative ? f->min_start_ns - f->max_end_ns : f->max_end_ns - f->min_start_ns;

    if (f->min_start_ns == 0)
        return 0;
    return negative ? -(int64_t)(ns / NS_PER_MS) : (int64_t)(ns / NS_PER_MS);
}

bool gw_share_holds(const struct gw_policies *p, const struct gw_rule *r, const uint8_t id[16],
                    const struct gw_trace_facts *f)
{
    uint64_t h = r->share.hash_start;

    if (p->conf.use_trace_state && f->has_sampling_info)
        return r->share.threshold <= (f->has_randomness ? f->randomness : gw_randomness_of_trace(id));
    for (unsigned i = 0; i < 16; i++)
        h = (h ^ id[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return h <= r->share.at_most;
}

/* What policies are asked about. */
struct question {
    struct gw_policies *p;
    const uint8_t *id;
    const struct gw_trace_facts *f;
    uint64_t now_ns;
    const char *composite;
};

static enum gw_vote vote(struct question *q, struct gw_rule *r);

static enum gw_vote vote_if(bool sampled)
{
    return sampled ? GW_VOTE_SAMPLED : GW_VOTE_NOT_SAMPLED;
}

static enum gw_vote vote_bit(const struct question *q, const struct gw_rule *r)
{
    bool is = gw_fact(q->f, r->bit);

    if (!r->invert)
        return vote_if(is);
    if (q->p->conf.invert_decisions)
        return is ? GW_VOTE_INVERT_NOT_SAMPLED : GW_VOTE_INVERT_SAMPLED;
    return vote_if(!is);
}

/* `and`, `drop`: asked in order until one says no. */
static enum gw_vote vote_all(struct question *q, struct gw_rule *r, enum gw_vote yes)
{
    for (unsigned i = 0; i < r->n_subs; i++) {
        enum gw_vote v = vote(q, &r->subs[i]);

        if (v == GW_VOTE_ERROR)
            return v;
        if (v == GW_VOTE_NOT_SAMPLED || v == GW_VOTE_INVERT_NOT_SAMPLED)
            return GW_VOTE_NOT_SAMPLED;
    }
    return yes;
}

static enum gw_vote vote_not(struct question *q, struct gw_rule *r)
{
    enum gw_vote v = vote(q, r->subs);

    if (v == GW_VOTE_SAMPLED)
        return GW_VOTE_NOT_SAMPLED;
    return v == GW_VOTE_NOT_SAMPLED ? GW_VOTE_SAMPLED : v;
}

static void begin_second(struct gw_rule *r, uint64_t now_ns)
{
    uint64_t second = now_ns / 1000000000;

    if (r->composite.second == second)
        return;
    r->composite.second = second;
    for (unsigned i = 0; i < r->n_subs; i++)
        r->composite.allowances[i].used = 0;
}

/* The first that says yes decides, even when its allowance says no then: unless fall_through. */
static enum gw_vote vote_composite(struct question *q, struct gw_rule *r)
{
    begin_second(r, q->now_ns);
    for (unsigned i = 0; i < r->n_subs; i++) {
        struct gw_allowance *a = &r->composite.allowances[i];
        enum gw_vote v = vote(q, &r->subs[i]);
        int64_t used = a->used + q->f->n_spans;

        if (v == GW_VOTE_ERROR)
            return v;
        if (v != GW_VOTE_SAMPLED && v != GW_VOTE_INVERT_SAMPLED)
            continue;
        if (used <= a->allocated && used <= r->composite.max_total) {
            a->used = used;
            q->composite = r->subs[i].name;
            return GW_VOTE_SAMPLED;
        }
        if (!q->p->conf.fall_through)
            break;
    }
    return GW_VOTE_NOT_SAMPLED;
}

static enum gw_vote vote(struct question *q, struct gw_rule *r)
{
    const struct gw_trace_facts *f = q->f;

    switch (r->type) {
    case GW_RULE_ALWAYS_SAMPLE:
        return GW_VOTE_SAMPLED;
    case GW_RULE_LATENCY:
        return r->has_bit ? vote_bit(q, r) : vote_if(gw_latency_holds(r, gw_facts_duration_ms(f)));
    case GW_RULE_NUMERIC_ATTRIBUTE:
    case GW_RULE_STATUS_CODE:
    case GW_RULE_STRING_ATTRIBUTE:
    case GW_RULE_BOOLEAN_ATTRIBUTE:
    case GW_RULE_TRACE_STATE:
    case GW_RULE_TRACE_FLAGS:
        return vote_bit(q, r);
    case GW_RULE_OTTL_CONDITION:
        return r->conditions->propagates && gw_fact(f, r->conditions->failed_bit) ? GW_VOTE_ERROR : vote_bit(q, r);
    case GW_RULE_PROBABILISTIC:
        return vote_if(gw_share_holds(q->p, r, q->id, f));
    case GW_RULE_RATE_LIMITING:
        return vote_if(gw_bucket_take(&r->bucket, q->now_ns, f->n_spans));
    case GW_RULE_BYTES_LIMITING:
        return vote_if(gw_bucket_take(&r->bucket, q->now_ns, (int64_t)f->framed_bytes));
    case GW_RULE_SPAN_COUNT:
        return vote_if(f->n_spans >= r->count.min && (r->count.max == 0 || f->n_spans <= r->count.max));
    case GW_RULE_ANOMALOUS:
        return vote_if(gw_alarms_hold(r, f, q->now_ns));
    case GW_RULE_AND:
        return vote_all(q, r, GW_VOTE_SAMPLED);
    case GW_RULE_NOT:
        return vote_not(q, r);
    case GW_RULE_DROP:
        return vote_all(q, r, GW_VOTE_DROPPED);
    case GW_RULE_COMPOSITE:
        return vote_composite(q, r);
    case GW_N_RULE_TYPES:
        break;
    }
    return GW_VOTE_ERROR;
}

/* ---- counting --------------------------------------------------------------------------------------------- */

static const char *const vote_names[] = {
    [GW_VOTE_NOT_SAMPLED] = "not_sampled",        [GW_VOTE_SAMPLED] = "sampled",        [GW_VOTE_DROPPED] = "dropped",
    [GW_VOTE_INVERT_NOT_SAMPLED] = "not_sampled", [GW_VOTE_INVERT_SAMPLED] = "sampled",
};

/* A series that never counts is noise: it is made when first needed. */
static void add(struct gw_policies *p, struct gw_metric **m, const char *name, const char *help,
                const struct gw_policy *policy, enum gw_vote v, uint64_t n)
{
    const char *decision = vote_names[v];
    const struct gw_label labels[] = {{"policy", policy->label},
                                      {"sampled", strcmp(decision, "sampled") == 0 ? "true" : "false"},
                                      {"decision", decision}};

    if (!*m)
        *m = gw_meter_get(p->meter, GW_COUNTER, name, help, labels, 3);
    gw_metric_add(*m, n);
}

static void count(struct gw_policies *p, struct gw_policy *policy, enum gw_vote v, const struct gw_trace_facts *f)
{
    if (!p->meter)
        return;
    add(p, &policy->traces[v], "otelcol_processor_tail_sampling_count_traces_sampled",
        "Traces that were sampled or not, by policy.", policy, v, 1);
    if (p->conf.count_spans)
        add(p, &policy->spans[v], "otelcol_processor_tail_sampling_count_spans_sampled",
            "Spans that were sampled or not, by policy.", policy, v, f->n_spans);
    if (p->conf.count_bytes)
        add(p, &policy->bytes[v], "otelcol_processor_tail_sampling_count_bytes_sampled",
            "Bytes that were sampled or not, by policy.", policy, v, f->wire_bytes);
}

static enum gw_vote vote_counted(struct question *q, struct gw_policy *policy)
{
    struct gw_policies *p = q->p;
    uint64_t begin = p->conf.detailed ? gw_mono_ns(p->env) : 0;
    enum gw_vote v = vote(q, policy->rule);

    gw_metric_add(policy->executions, 1);
    if (p->conf.detailed) {
        policy->spent_ns += gw_mono_ns(p->env) - begin;
        gw_metric_add(policy->time, policy->spent_ns / NS_PER_US - policy->told_us);
        policy->told_us = policy->spent_ns / NS_PER_US;
    }
    if (v == GW_VOTE_ERROR)
        gw_metric_add(p->errors, 1);
    else
        count(p, policy, v, q->f);
    return v;
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

static void sampled_by(struct gw_verdict *ret, const struct question *q, const struct gw_policy *policy)
{
    *ret = (struct gw_verdict){.decision = GW_SAMPLED, .policy = policy->name, .composite = q->composite};
}

/* Stateless policies about the spans that just came: a drop policy that may still match holds back all others. */
static void decide_at_ingest(struct question *q, struct gw_verdict *ret)
{
    struct gw_policies *p = q->p;
    bool drop_is_open = false;

    for (unsigned i = 0; i < p->n && (p->list[i].is_drop || !drop_is_open); i++) {
        struct gw_policy *policy = &p->list[i];
        enum gw_vote v = vote_counted(q, policy);

        if (v == GW_VOTE_ERROR)
            continue;
        if (v == GW_VOTE_DROPPED) {
            *ret = (struct gw_verdict){.decision = GW_DROPPED_BY_POLICY, .policy = policy->name};
            return;
        }
        if (policy->is_drop) {
            drop_is_open = true;
        } else if (v == GW_VOTE_SAMPLED) {
            sampled_by(ret, q, policy);
            ret->has_threshold = p->conf.use_trace_state;
            ret->threshold = policy->rule->threshold;
            return;
        }
    }
}

static void decide_complete(struct question *q, struct gw_verdict *ret)
{
    struct gw_policies *p = q->p;
    const struct gw_policy *first[GW_N_VOTES] = {NULL};
    uint64_t threshold = UINT64_MAX;

    for (unsigned i = 0; i < p->n; i++) {
        enum gw_vote v = vote_counted(q, &p->list[i]);

        if (!first[v])
            first[v] = &p->list[i];
        if (v == GW_VOTE_SAMPLED && p->list[i].rule->threshold < threshold)
            threshold = p->list[i].rule->threshold;
        if (v == GW_VOTE_DROPPED || (v == GW_VOTE_SAMPLED && p->conf.sample_on_first_match))
            break;
    }
    if (first[GW_VOTE_DROPPED]) {
        *ret = (struct gw_verdict){.decision = GW_DROPPED_BY_POLICY, .policy = first[GW_VOTE_DROPPED]->name};
    } else if (first[GW_VOTE_INVERT_NOT_SAMPLED]) {
        return;
    } else if (first[GW_VOTE_SAMPLED]) {
        sampled_by(ret, q, first[GW_VOTE_SAMPLED]);
        ret->has_threshold = p->conf.use_trace_state;
        ret->threshold = threshold;
    } else if (first[GW_VOTE_INVERT_SAMPLED] && !first[GW_VOTE_NOT_SAMPLED]) {
        sampled_by(ret, q, first[GW_VOTE_INVERT_SAMPLED]);
    }
}

void gw_policies_decide(struct gw_policies *p, const uint8_t id[16], const struct gw_trace_facts *f, uint64_t now_ns,
                        struct gw_verdict *ret)
{
    struct question q = {.p = p, .id = id, .f = f, .now_ns = now_ns};

    *ret = (struct gw_verdict){.decision = GW_NOT_SAMPLED};
    gw_alarms_renew(p);
    if (p->conf.span_ingest)
        decide_at_ingest(&q, ret);
    else
        decide_complete(&q, ret);
}
