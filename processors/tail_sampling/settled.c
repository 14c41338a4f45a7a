/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can still become of a trace: for each policy the set of votes that some further spans could bring about. Sets
 * are too large rather than too small (sub-policies count as independent), so that a verdict that all of them agree on
 * is final.
 */
#include "processors/tail_sampling/rules.h"

#include "values/sampling.h"

enum {
    NOT_SAMPLED = 1 << GW_VOTE_NOT_SAMPLED,
    SAMPLED = 1 << GW_VOTE_SAMPLED,
    DROPPED = 1 << GW_VOTE_DROPPED,
    INVERT_NOT_SAMPLED = 1 << GW_VOTE_INVERT_NOT_SAMPLED,
    INVERT_SAMPLED = 1 << GW_VOTE_INVERT_SAMPLED,
    FAILED = 1 << GW_VOTE_ERROR,
    LIMITED = 1 << GW_N_VOTES, /* a limiter might be asked */
    EITHER = NOT_SAMPLED | SAMPLED,
    YES = SAMPLED | INVERT_SAMPLED,
    NO = NOT_SAMPLED | INVERT_NOT_SAMPLED,
};

struct outlook {
    const struct gw_policies *p;
    const uint8_t *id;
    const struct gw_trace_facts *f;
};

static unsigned possible(const struct outlook *o, const struct gw_rule *r);

static unsigned possible_bit(const struct outlook *o, const struct gw_rule *r)
{
    bool legacy = r->invert && o->p->conf.invert_decisions;
    unsigned yes = legacy ? INVERT_SAMPLED : SAMPLED, no = legacy ? INVERT_NOT_SAMPLED : NOT_SAMPLED;

    if (gw_fact(o->f, r->bit)) /* bits stay */
        return r->invert ? no : yes;
    return yes | no;
}

static unsigned possible_conditions(const struct outlook *o, const struct gw_rule *r)
{
    const struct gw_asked_conditions *a = r->conditions;
    unsigned ret = possible_bit(o, r);

    if (!a->propagates || gw_fact(o->f, a->bit))
        return ret;
    return gw_fact(o->f, a->failed_bit) ? FAILED : ret | FAILED;
}

/* The first `rv` that comes takes the place of the id; no `rv` is too low for all of them. */
static unsigned possible_share(const struct outlook *o, const struct gw_rule *r)
{
    unsigned now = gw_share_holds(o->p, r, o->id, o->f) ? SAMPLED : NOT_SAMPLED;

    if (!o->p->conf.use_trace_state || o->f->has_randomness || r->share.threshold == GW_ALWAYS_SAMPLE)
        return now;
    return r->share.threshold == GW_NEVER_SAMPLE ? now | NOT_SAMPLED : EITHER;
}

static unsigned possible_count(const struct outlook *o, const struct gw_rule *r)
{
    if (r->count.max != 0 && o->f->n_spans > r->count.max)
        return NOT_SAMPLED;
    return r->count.max == 0 && o->f->n_spans >= r->count.min ? SAMPLED : EITHER;
}

static unsigned possible_latency(const struct outlook *o, const struct gw_rule *r)
{
    bool over = o->f->min_start_ns && gw_facts_duration_ms(o->f) > r->latency.upto_ms; /* a trace only gets longer */

    return over ? NOT_SAMPLED : EITHER;
}

static unsigned possible_all(const struct outlook *o, const struct gw_rule *r, unsigned yes)
{
    unsigned ret = 0;

    for (unsigned i = 0; i < r->n_subs; i++) {
        unsigned m = possible(o, &r->subs[i]);

        ret |= (m & (LIMITED | FAILED)) | (m & NO ? NOT_SAMPLED : 0);
        if (!(m & YES))
            return ret;
    }
    return ret | yes;
}

static unsigned possible_not(const struct outlook *o, const struct gw_rule *r)
{
    unsigned m = possible(o, r->subs);

    return (m & ~(unsigned)EITHER) | (m & SAMPLED ? NOT_SAMPLED : 0) | (m & NOT_SAMPLED ? SAMPLED : 0);
}

/* Whoever says yes there asks for an allowance. */
static unsigned possible_composite(const struct outlook *o, const struct gw_rule *r)
{
    unsigned ret = 0;

    for (unsigned i = 0; i < r->n_subs; i++) {
        unsigned m = possible(o, &r->subs[i]);

        if (m & (YES | LIMITED))
            return LIMITED;
        ret |= m & FAILED;
        if (m == FAILED)
            return ret;
    }
    return ret | NOT_SAMPLED;
}

static unsigned possible(const struct outlook *o, const struct gw_rule *r)
{
    switch (r->type) {
    case GW_RULE_ALWAYS_SAMPLE:
        return SAMPLED;
    case GW_RULE_LATENCY:
        return r->has_bit ? possible_bit(o, r) : possible_latency(o, r);
    case GW_RULE_NUMERIC_ATTRIBUTE:
    case GW_RULE_STATUS_CODE:
    case GW_RULE_STRING_ATTRIBUTE:
    case GW_RULE_BOOLEAN_ATTRIBUTE:
    case GW_RULE_TRACE_STATE:
    case GW_RULE_TRACE_FLAGS:
        return possible_bit(o, r);
    case GW_RULE_OTTL_CONDITION:
        return possible_conditions(o, r);
    case GW_RULE_PROBABILISTIC:
        return possible_share(o, r);
    case GW_RULE_SPAN_COUNT:
        return possible_count(o, r);
    case GW_RULE_ANOMALOUS: /* alarms come and go */
        return EITHER;
    case GW_RULE_AND:
        return possible_all(o, r, SAMPLED);
    case GW_RULE_NOT:
        return possible_not(o, r);
    case GW_RULE_DROP:
        return possible_all(o, r, DROPPED);
    case GW_RULE_COMPOSITE:
        return possible_composite(o, r);
    case GW_RULE_RATE_LIMITING:
    case GW_RULE_BYTES_LIMITING:
    case GW_N_RULE_TYPES:
        break;
    }
    return LIMITED;
}

/* ---- all policies ----------------------------------------------------------------------------------------- */

enum { NOBODY = UINT32_MAX };

/* Votes that some policy may give, that one gives for certain, and who is the first of each. */
struct votes {
    unsigned maybe, certain;
    uint32_t first_maybe[GW_N_VOTES], first_certain[GW_N_VOTES];
    uint64_t least_maybe, most_maybe, least_certain; /* thresholds of those that may vote to sample, or do */
};

static void add_votes(struct votes *v, uint32_t i, unsigned m, uint64_t threshold)
{
    bool is_certain = (m & (m - 1)) == 0;

    v->maybe |= m;
    if (is_certain)
        v->certain |= m;
    for (unsigned k = 0; k < GW_N_VOTES; k++) {
        if ((m >> k & 1) && v->first_maybe[k] == NOBODY)
            v->first_maybe[k] = i;
        if ((m >> k & 1) && is_certain && v->first_certain[k] == NOBODY)
            v->first_certain[k] = i;
    }
    if (!(m & SAMPLED))
        return;
    if (threshold < v->least_maybe)
        v->least_maybe = threshold;
    if (threshold > v->most_maybe)
        v->most_maybe = threshold;
    if (is_certain && threshold < v->least_certain)
        v->least_certain = threshold;
}

static bool thresholds_agree(const struct gw_policies *p, const struct votes *v)
{
    if (p->conf.sample_on_first_match) /* only the first one's counts */
        return v->least_maybe == v->most_maybe;
    return v->least_certain <= v->least_maybe;
}

/* InvertSampled is never certain: the attribute may still come. */
static bool is_sampled_for_good(const struct gw_policies *p, const struct votes *v)
{
    return (v->certain & SAMPLED) && !(v->maybe & INVERT_NOT_SAMPLED) &&
           (!p->conf.record_policy || v->first_maybe[GW_VOTE_SAMPLED] == v->first_certain[GW_VOTE_SAMPLED]) &&
           (!p->conf.use_trace_state || thresholds_agree(p, v));
}

static bool is_not_sampled_for_good(const struct gw_policies *p, const struct votes *v)
{
    bool may_stop_before =
        p->conf.sample_on_first_match && v->first_maybe[GW_VOTE_SAMPLED] < v->first_certain[GW_VOTE_INVERT_NOT_SAMPLED];

    if ((v->certain & INVERT_NOT_SAMPLED) && !may_stop_before)
        return true;
    return !(v->maybe & SAMPLED) && (!(v->maybe & INVERT_SAMPLED) || (v->certain & NOT_SAMPLED));
}

bool gw_policies_is_settled(const struct gw_policies *p, const uint8_t id[16], const struct gw_trace_facts *f)
{
    const struct outlook o = {.p = p, .id = id, .f = f};
    struct votes v = {.least_maybe = UINT64_MAX, .least_certain = UINT64_MAX};

    if (p->conf.span_ingest || f->n_spans == 0)
        return false;
    for (unsigned k = 0; k < GW_N_VOTES; k++)
        v.first_maybe[k] = v.first_certain[k] = NOBODY;
    for (unsigned i = 0; i < p->n; i++) {
        unsigned m = possible(&o, p->list[i].rule);

        if (m & LIMITED)
            return false;
        if (m & DROPPED) /* no drop policy before could: they come first */
            return m == DROPPED;
        add_votes(&v, i, m, p->list[i].rule->threshold);
        if (m == SAMPLED && p->conf.sample_on_first_match)
            break;
    }
    return is_sampled_for_good(p, &v) || is_not_sampled_for_good(p, &v);
}
