/* SPDX-License-Identifier: Apache-2.0 */
/* Deciding traces, and what is remembered of them. */
#include "processors/tail_sampling/sampler.h"

#define S 1000000000ull

/* Gathered traces are read twice: where they are, then what. Between the two they stay in the cache. */
enum { GROUP_BYTES = 256 << 10 };

/* ---- the decision cache ----------------------------------------------------------------------------------- */

/* The number of the reason; above it the second of the decision, for the age of late spans: 136 years of them. */
static uint64_t packed(uint32_t reason, uint64_t now_ns)
{
    return (now_ns / S) << 32 | reason;
}

void gw_tail_remember(struct gw_tail *s, const uint8_t id[16], uint32_t reason, uint64_t now_ns)
{
    if (s->log)
        gw_tail_log_note(s, id, packed(reason, now_ns));
    else
        gw_ids_put(gw_reasons_get(s->reasons, reason)->kept ? s->kept : s->gone, id, packed(reason, now_ns));
}

bool gw_tail_recall(struct gw_tail *s, const uint8_t id[16], struct gw_tail_known *ret)
{
    uint64_t value;

    if (s->log ? !gw_tail_log_recall(s, id, &value)
               : !gw_ids_get(s->kept, id, &value) && !gw_ids_get(s->gone, id, &value))
        return false;
    *ret = (struct gw_tail_known){(uint32_t)(value & (GW_TAIL_CACHED - 1)), value >> 32,
                                  !s->log || (value & GW_TAIL_CACHED)};
    return true;
}

/* ---- verdicts --------------------------------------------------------------------------------------------- */

static struct gw_reason reason_of(const struct gw_verdict *v)
{
    struct gw_reason r = {.policy = v->policy, .composite = v->composite};

    switch (v->decision) {
    case GW_SAMPLED:
        r.kept = true;
        r.word = "sampled";
        r.has_threshold = v->has_threshold;
        r.threshold = v->has_threshold ? v->threshold : 0;
        return r;
    case GW_DROPPED_BY_POLICY:
        r.word = "dropped";
        r.dropped = v->policy;
        return r;
    case GW_NOT_SAMPLED:
        break;
    }
    return (struct gw_reason){.word = "not_sampled", .dropped = "tail_sampling"};
}

/* A trace that a kept one links to, or that links to one, is kept; not against a policy whose purpose is to drop. */
static void follow_links(struct gw_tail *s, const struct gw_tail_facts *f, struct gw_reason *r)
{
    if (!f->is_linked || r->kept || strcmp(r->word, "dropped") == 0)
        return;
    *r = (struct gw_reason){.policy = "follow_links", .kept = true, .word = "sampled"};
    gw_metric_add(s->meter.linked, 1);
}

static void count(struct gw_tail *s, const struct gw_reason *r, enum gw_tail_cause cause)
{
    struct gw_tail_meter *m = &s->meter;

    gw_metric_add(m->causes[cause], 1);
    if (cause == GW_TAIL_TOO_LARGE)
        gw_metric_add(m->too_large, 1);
    else
        gw_metric_add(r->kept ? m->sampled : strcmp(r->word, "dropped") == 0 ? m->dropped : m->not_sampled, 1);
}

/* A look at the clock costs as much as all else that most policies do. */
static uint64_t now_of_policies(const struct gw_tail *s)
{
    return s->asks_time ? gw_tail_wall_ns(s) : 0;
}

uint32_t gw_tail_judge(struct gw_tail *s, const uint8_t id[16], const struct gw_tail_facts *f, enum gw_tail_cause cause,
                       uint64_t now_ns)
{
    struct gw_verdict v = {.decision = GW_NOT_SAMPLED};
    struct gw_reason r;
    uint32_t number;

    /* with span-ingest what is not decided when it comes is not sampled */
    if (cause != GW_TAIL_TOO_LARGE && s->conf->strategy == GW_TAIL_COMPLETE)
        gw_policies_decide(s->policies, id, &f->f, now_of_policies(s), &v);
    r = reason_of(&v);
    if (cause == GW_TAIL_TOO_LARGE)
        r.dropped = "trace_too_large";
    else
        follow_links(s, f, &r);
    count(s, &r, cause);
    number = gw_reasons_put(s->reasons, &r);
    gw_tail_remember(s, id, number, now_ns);
    if (s->links && r.kept && !gw_tail_log_is_amid(s))
        gw_tail_links_kept(s, id);
    return number;
}

bool gw_tail_judge_ingest(struct gw_tail *s, const uint8_t id[16], const struct gw_trace_facts *f, uint64_t now_ns,
                          uint32_t *ret)
{
    struct gw_verdict v = {.decision = GW_NOT_SAMPLED};
    struct gw_reason r;

    gw_policies_decide(s->policies, id, f, now_of_policies(s), &v);
    if (v.decision == GW_NOT_SAMPLED)
        return false;
    r = reason_of(&v);
    count(s, &r, GW_TAIL_ON_INGEST);
    *ret = gw_reasons_put(s->reasons, &r);
    gw_tail_remember(s, id, *ret, now_ns);
    if (s->links && r.kept && !gw_tail_log_is_amid(s))
        gw_tail_links_kept(s, id);
    return true;
}

/* ---- leaving the store ------------------------------------------------------------------------------------ */

static void forget(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns)
{
    gw_metric_observe(s->meter.removal_age, (double)((now_ns - t->first_ns) / S));
    gw_traces_drop(s->store, t);
}

static void stand_in_line(struct gw_tail *s, struct gw_trace *t)
{
    if (s->leaving)
        gw_tail_facts(s->leaving_last)->next = t;
    else
        s->leaving = t;
    s->leaving_last = t;
    s->n_leaving += t->n_spans;
    s->leaving_bytes += gw_trace_bytes(t);
}

/* Those that find no memory stand in line. */
static void leave_together(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    bool is_written = s->n_group == 0 || gw_tail_write_all(s, s->group, s->n_group, out);

    for (uint32_t i = 0; i < s->n_group; i++) {
        if (is_written)
            forget(s, s->group[i], now_ns);
        else
            stand_in_line(s, s->group[i]);
    }
    s->n_group = s->group_spans = 0;
    s->group_bytes = 0;
}

void gw_tail_gathered(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    leave_together(s, now_ns, out);
    s->gathers = false;
}

static void first_is_gone(struct gw_tail *s, uint64_t now_ns)
{
    struct gw_trace *t = s->leaving;

    s->leaving = gw_tail_facts(t)->next;
    s->left = (struct gw_traces_cursor){0};
    s->n_left = 0;
    s->leaving_bytes -= gw_trace_bytes(t);
    forget(s, t, now_ns);
}

/* Spans of the first one. 0: no memory or, as asked, no room. */
static uint32_t leave_some(struct gw_tail *s, bool as_room, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_trace *t = s->leaving;
    uint32_t n;

    if (gw_tail_is_long(t))
        n = gw_tail_write_piece(s, t, as_room, out);
    else
        n = gw_tail_write(s, t, gw_tail_facts(t)->reason, out) ? t->n_spans : 0;
    s->n_left += n;
    s->n_leaving -= n;
    if (s->n_left == t->n_spans)
        first_is_gone(s, now_ns);
    return n;
}

uint64_t gw_tail_leave(struct gw_tail *s, uint64_t spans, bool as_room, uint64_t now_ns, struct gw_ports *out)
{
    uint64_t done = 0;
    uint32_t n;

    while (s->leaving && done < spans && (n = leave_some(s, as_room, now_ns, out)) != 0)
        done += n;
    return done;
}

bool gw_tail_leave_through(struct gw_tail *s, const struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    const struct gw_trace *first;

    do {
        first = s->leaving;
        while (s->leaving == first)
            if (leave_some(s, /* as_room= */ false, now_ns, out) == 0)
                return false;
    } while (first != t);
    return true;
}

static void gather(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    s->group[s->n_group++] = t;
    s->group_spans += t->n_spans;
    s->group_bytes += gw_trace_bytes(t);
    if (s->n_group == GW_TAIL_GROUP || s->group_bytes >= GROUP_BYTES ||
        s->n_spans + s->group_spans >= GW_TAIL_BATCH_SPANS)
        leave_together(s, now_ns, out);
}

void gw_tail_let_go(struct gw_tail *s, struct gw_trace *t, uint32_t reason, bool soon, uint64_t now_ns,
                    struct gw_ports *out)
{
    const struct gw_reason *r = gw_reasons_get(s->reasons, reason);
    bool stays = r->kept || s->conf->dry_run, is_long = stays && gw_tail_is_long(t);
    bool gathers = s->gathers && !is_long && !gw_trace_is_packed(t);

    if (!stays)
        gw_tail_settle(out, t->n_spans, GW_DROPPED, r->dropped);
    if (!stays || t->n_spans == 0 || (!is_long && !gathers && gw_tail_write(s, t, reason, out))) {
        forget(s, t, now_ns);
        return;
    }
    gw_tail_facts(t)->is_decided = true;
    gw_tail_facts(t)->reason = reason;
    gw_traces_set_aside(s->store, t);
    if (gathers)
        gather(s, t, now_ns, out);
    else
        stand_in_line(s, t);
    if (is_long && !soon)
        (void)gw_tail_leave_through(s, t, now_ns, out);
}

static uint32_t decide(struct gw_tail *s, struct gw_trace *t, enum gw_tail_cause cause, bool soon, uint64_t now_ns,
                       struct gw_ports *out)
{
    uint32_t reason;

    gw_tail_ask_again(s, t, out->arena);
    reason = gw_tail_judge(s, t->id, gw_tail_facts(t), cause, now_ns);
    gw_tail_let_go(s, t, reason, soon, now_ns, out);
    return reason;
}

uint32_t gw_tail_decide(struct gw_tail *s, struct gw_trace *t, enum gw_tail_cause cause, uint64_t now_ns,
                        struct gw_ports *out)
{
    return decide(s, t, cause, cause != GW_TAIL_BYTES && cause != GW_TAIL_NUM_TRACES, now_ns, out);
}

static void lose(struct gw_tail *s, struct gw_trace *t, const char *why, uint64_t now_ns, struct gw_ports *out)
{
    gw_tail_settle(out, t->n_spans, GW_DROPPED, why);
    forget(s, t, now_ns);
}

void gw_tail_lose(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    gw_metric_add(s->meter.dropped_too_early, 1);
    if (s->log)
        gw_tail_log_note_lost(s, t->id);
    lose(s, t, "dropped_too_early", now_ns, out);
}

void gw_tail_give_up(struct gw_tail *s, struct gw_trace *t, enum gw_tail_cause cause, uint64_t now_ns,
                     struct gw_ports *out)
{
    if (s->conf->overflow == GW_TAIL_DROP)
        gw_tail_lose(s, t, now_ns, out);
    else
        (void)decide(s, t, cause, /* soon= */ true, now_ns, out);
}

void gw_tail_abandon(struct gw_tail *s, struct gw_trace *t, uint64_t now_ns, struct gw_ports *out)
{
    gw_metric_add(s->meter.causes[GW_TAIL_SHUTDOWN], 1);
    lose(s, t, "pending_at_shutdown", now_ns, out);
}
