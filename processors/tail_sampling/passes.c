/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mode: two_pass. Nothing of a span is kept: the journal has it, and is read twice.
 *
 *   first pass    rows join the sums of their traces (sums.h), and are done with
 *   barrier       what is due is decided, as always
 *   second pass   steps before the oldest undecided trace come again: each row finds the sum of its trace and step, and
 *                 goes on, or is dropped, as that was decided
 *
 * Decisions are made when a step has ended, as those of mode buffered are (step.h). A row without a sum left in the
 * first pass: it has no trace id, or there was no memory for a sum, and its trace was decided at once. Of one trace
 * either all rows of a step have a sum, or none.
 */
#include "processors/tail_sampling/passes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/host.h"
#include "pipeline/keep.h"
#include "processors/tail_sampling/rules.h"
#include "processors/tail_sampling/step.h"

enum { TURN_TRACES = 8192 };
enum { LONG_AGO = 1 << 30 /* steps: three years */ };
#define AGE_NS 10000000000ull

struct gw_tail_passes {
    struct gw_sums *sums;
    uint64_t passed_ns;   /* rows of steps before it have come twice */
    uint64_t again_ns;    /* rows come again, of this step; 0: they come for the first time */
    uint32_t wait, after; /* steps; after 0: the root changes nothing */
    uint32_t full_step;   /* no sum is made any more in it */
    bool is_full;
    uint64_t aged_ns;
};

static uint32_t steps_of(uint64_t ns)
{
    return (uint32_t)((ns + GW_KEEP_STEP_NS - 1) / GW_KEEP_STEP_NS);
}

/* ---- making ----------------------------------------------------------------------------------------------- */

static struct gw_sums *make_sums(const struct gw_tail *s)
{
    const struct gw_tail_conf *c = s->conf;
    const struct gw_sums_conf conf = {
        .env = s->ctx.env,
        .memory = s->ctx.host ? s->ctx.host->memory : NULL,
        .max_bytes = gw_tail_store_bytes(s),
        .n_words = s->policies->n_words,
        .running = c->running_latency,
        .wire_bytes = c->max_trace_bytes || c->count_bytes,
        .framed_bytes = gw_policies_limit_bytes(s->policies),
        .randomness = c->use_trace_state,
        .rooted = c->after_root_ns > 0,
    };

    return gw_sums_new(&conf);
}

int gw_tail_passes_begin(struct gw_tail *s)
{
    struct gw_tail_passes *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    s->passes = p;
    p->sums = make_sums(s);
    p->wait = steps_of(s->conf->decision_wait_ns);
    p->after = steps_of(s->conf->after_root_ns);
    return p->sums ? 0 : -ENOMEM;
}

void gw_tail_passes_free(struct gw_tail_passes *p)
{
    if (p)
        gw_sums_free(p->sums);
    free(p);
}

uint64_t gw_tail_passes_n(const struct gw_tail *s)
{
    return gw_sums_n_open(s->passes->sums);
}

uint64_t gw_tail_passes_bytes(const struct gw_tail *s)
{
    return gw_sums_held_bytes(s->passes->sums);
}

void gw_tail_passes_age(struct gw_tail *s, uint64_t now_ns)
{
    if (now_ns < s->passes->aged_ns + AGE_NS)
        return;
    gw_sums_age(s->passes->sums);
    s->passes->aged_ns = now_ns;
}

/* ---- deciding --------------------------------------------------------------------------------------------- */

static uint32_t now_of(const struct gw_tail *s)
{
    return gw_step_of(gw_tail_now_ns(s));
}

/* Of a step that is not far from now. */
static uint64_t ns_of(const struct gw_tail *s, uint32_t step)
{
    uint64_t now_ns = gw_tail_now_ns(s);
    int64_t behind = (int32_t)(gw_step_of(now_ns) - step);

    return now_ns - (uint64_t)behind * GW_KEEP_STEP_NS;
}

static void decide(struct gw_tail *s, struct gw_sum *t, enum gw_tail_cause cause)
{
    struct gw_tail_facts f = {.is_linked = (t->flags & GW_SUM_LINKED) != 0};

    gw_sums_get(s->passes->sums, t, &f.f);
    gw_sums_shut(s->passes->sums, t);
    t->reason = (uint16_t)gw_tail_judge(s, t->id, &f, cause, gw_tail_now_ns(s));
}

/* By time, then by ids. NULL: nothing is due. */
static struct gw_sum *next_due(const struct gw_tail *s, uint32_t now)
{
    const struct gw_tail_passes *p = s->passes;
    uint32_t step = 0;
    struct gw_sum *t = gw_sums_oldest(p->sums), *root = p->after ? gw_sums_rooted(p->sums, &step) : NULL;
    uint64_t due = t ? ns_of(s, t->first) + s->conf->decision_wait_ns : UINT64_MAX;
    uint64_t of_root = root ? ns_of(s, step) + s->conf->after_root_ns : UINT64_MAX;

    if (t && gw_step_before(now, t->first + p->wait))
        due = UINT64_MAX;
    if (root && gw_step_before(now, step + p->after))
        of_root = UINT64_MAX;
    if (due != of_root)
        return due < of_root ? t : root;
    return due == UINT64_MAX ? NULL : memcmp(t->id, root->id, sizeof(t->id)) < 0 ? t : root;
}

/* Those of which enough has come. True: there are more. */
static bool decide_enough(struct gw_tail *s, uint32_t *n)
{
    struct gw_tail_facts f;
    enum gw_tail_cause cause;
    const uint8_t *id;
    struct gw_sum *t;

    while (*n < TURN_TRACES && (id = gw_tail_step_enough(s)) != NULL) {
        t = gw_sums_find(s->passes->sums, id);
        if (!t || !(t->flags & GW_SUM_OPEN))
            continue;
        f = (struct gw_tail_facts){0};
        gw_sums_get(s->passes->sums, t, &f.f);
        cause = gw_tail_is_enough(s, id, &f);
        if (cause != GW_TAIL_DUE)
            decide(s, t, cause);
        ++*n;
    }
    return *n == TURN_TRACES;
}

static bool is_overfull(const struct gw_tail *s, enum gw_tail_cause *ret)
{
    uint64_t n = gw_sums_n_open(s->passes->sums);

    *ret = n > s->max_traces ? GW_TAIL_NUM_TRACES : GW_TAIL_BYTES;
    return n > s->max_traces || (s->max_bytes && n * gw_sums_item_bytes(s->passes->sums) > s->max_bytes);
}

int gw_tail_passes_end_step(struct gw_tail *s)
{
    uint32_t now = now_of(s), n = 0;
    enum gw_tail_cause cause;
    struct gw_sum *t;

    if (decide_enough(s, &n))
        return GW_MORE;
    for (; n < TURN_TRACES && is_overfull(s, &cause); n++)
        decide(s, gw_sums_oldest(s->passes->sums), cause);
    for (; n < TURN_TRACES && (t = next_due(s, now)) != NULL; n++)
        decide(s, t, GW_TAIL_DUE);
    return n < TURN_TRACES ? GW_DONE : GW_MORE;
}

/* ---- links ------------------------------------------------------------------------------------------------ */

static void link(struct gw_tail *s, struct gw_sum *t)
{
    if (!(t->flags & GW_SUM_LINKED))
        gw_tail_log_note_linked(s, t->id);
    t->flags |= GW_SUM_LINKED;
}

void gw_tail_passes_link(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_sum *t = gw_sums_find(s->passes->sums, id);

    if (t && (t->flags & GW_SUM_OPEN))
        link(s, t);
}

bool gw_tail_passes_has_come(const struct gw_tail *s, const uint8_t id[16])
{
    const struct gw_sum *t = gw_sums_find(s->passes->sums, id);

    return t && t->last == now_of(s);
}

bool gw_tail_passes_waits(const struct gw_tail *s, const uint8_t id[16])
{
    const struct gw_sum *t = gw_sums_find(s->passes->sums, id);

    return t && (t->flags & GW_SUM_OPEN);
}

void gw_tail_passes_each_linked(const struct gw_tail *s, void (*each)(void *arg, const uint8_t id[16]), void *arg)
{
    for (const struct gw_sum *t = gw_sums_first(s->passes->sums); t; t = gw_sums_next(s->passes->sums, t))
        if ((t->flags & (GW_SUM_OPEN | GW_SUM_LINKED)) == (GW_SUM_OPEN | GW_SUM_LINKED))
            each(arg, t->id);
}

/* ---- the first pass --------------------------------------------------------------------------------------- */

static void absorb(struct taking *k, const struct gw_trace_group *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        k->absorbed[g->rows[i] / 64] |= UINT64_C(1) << (g->rows[i] % 64);
}

/* NULL: no room. Then nothing more is added in this step: what leaves now, and what later, is told apart by steps. */
static struct gw_sum *add(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_tail_passes *p = s->passes;
    uint32_t now = now_of(s);
    struct gw_sum *t = p->is_full && p->full_step == now ? NULL : gw_sums_add(p->sums, id, now);

    if (!t) {
        p->is_full = true;
        p->full_step = now;
    }
    return t;
}

static struct gw_sum *open(struct taking *k, const uint8_t id[16])
{
    struct gw_tail *s = k->s;
    struct gw_sum *t;

    gw_metric_add(s->meter.new_ids, 1);
    t = add(s, id);
    if (!t)
        return NULL;
    gw_sums_open(s->passes->sums, t);
    if (s->links && gw_tail_log_rebuilds(s))
        t->flags |= gw_tail_log_was_linked(s, id) ? GW_SUM_LINKED : 0;
    else if (s->links && gw_tail_links_wanted(s, id))
        link(s, t);
    return t;
}

/* One unit of rows. True: it is decided by what it brought, which only span-ingest does in the midst of a step. */
static bool note(struct taking *k, const struct gw_trace_group *g, uint32_t at, uint32_t n, struct gw_tail_facts *f,
                 uint32_t *ret_reason)
{
    gw_tail_note_rows(k, f, g->rows + at, n);
    return gw_tail_is_enough(k->s, g->id, f) == GW_TAIL_DUE && gw_tail_ingest(k, g->id, f, g->rows + at, n, ret_reason);
}

static void move_up(struct gw_tail *s, struct gw_sum *t)
{
    const struct gw_tail_conf *c = s->conf;
    uint32_t now = now_of(s);

    if (c->after_root_ns && (t->flags & GW_SUM_ROOT) && !t->is_rooted &&
        ns_of(s, now) + c->after_root_ns < ns_of(s, t->first) + c->decision_wait_ns)
        gw_sums_root(s->passes->sums, t, now);
}

static void join(struct taking *k, struct gw_sum *t, const struct gw_trace_group *g)
{
    struct gw_tail_facts f = {0};
    struct gw_tail *s = k->s;
    struct gw_sums *sums = s->passes->sums;
    uint32_t reason;

    gw_sums_get(sums, t, &f.f);
    gw_sums_touch(sums, t, now_of(s));
    for (uint32_t at = 0, end; at < g->n; at = end) {
        end = gw_tail_end_of_unit(k, g, at);
        if (note(k, g, at, end - at, &f, &reason)) {
            gw_sums_shut(sums, t);
            t->reason = (uint16_t)reason;
            return;
        }
    }
    gw_sums_put(sums, t, &f.f);
    if (gw_tail_is_enough(s, g->id, &f) != GW_TAIL_DUE)
        gw_tail_log_enough(s, g->id);
    move_up(s, t);
}

static void note_left(struct gw_tail *s, const uint8_t id[16], uint32_t reason)
{
    uint64_t now_ns = gw_tail_now_ns(s);

    gw_tail_log_note_passes(s, id, reason, now_ns + 1, GW_TAIL_LEFT);
}

/* There is no memory to wait. What was consumed before a crash had some, and comes again. */
static void leave_now(struct taking *k, const struct gw_trace_group *g)
{
    struct gw_tail_facts f = {0};
    uint32_t reason = 0, end = 0;
    bool is_decided = false;

    if (gw_tail_log_rebuilds(k->s)) {
        k->v->failed = true;
        return;
    }
    for (uint32_t at = 0; at < g->n && !is_decided; at = end) {
        end = gw_tail_end_of_unit(k, g, at);
        is_decided = note(k, g, at, end - at, &f, &reason);
    }
    if (!is_decided)
        reason = gw_tail_judge(k->s, g->id, &f, GW_TAIL_BYTES, k->now_ns);
    note_left(k->s, g->id, reason);
    gw_tail_follow(k, g->rows, g->n, reason, /* cached= */ false);
}

/* t: the last sum of the id, or NULL. False: there is no room. */
static bool put_follower(struct gw_tail *s, struct gw_sum *t, const uint8_t id[16], const struct gw_tail_known *known)
{
    unsigned kind = known->cached ? GW_SUM_CACHED : 0;

    if (t && t->reason == known->reason && (t->flags & (GW_SUM_CACHED | GW_SUM_LEFT)) == kind) {
        gw_sums_touch(s->passes->sums, t, now_of(s));
        return true;
    }
    t = add(s, id);
    if (!t)
        return false;
    t->reason = (uint16_t)known->reason;
    t->flags = (uint8_t)kind;
    return true;
}

static bool follow_recalled(struct taking *k, struct gw_sum *t, const struct gw_trace_group *g)
{
    struct gw_tail_known known;

    if (!gw_tail_recall(k->s, g->id, &known))
        return false;
    if (put_follower(k->s, t, g->id, &known)) {
        absorb(k, g);
    } else {
        note_left(k->s, g->id, known.reason);
        gw_tail_follow(k, g->rows, g->n, known.reason, known.cached);
    }
    if (known.cached)
        gw_tail_late(k, g, &known);
    return true;
}

/* Rows that were consumed before a crash follow what is restored, or nothing: those that were late are restored. */
static void take_first(struct taking *k, const struct gw_trace_group *g)
{
    struct gw_sum *t = gw_sums_find(k->s->passes->sums, g->id);
    bool is_open = t && (t->flags & GW_SUM_OPEN), rebuilds = gw_tail_log_rebuilds(k->s);

    if (rebuilds && t && !is_open && !gw_step_before(t->last, now_of(k->s))) {
        absorb(k, g);
        return;
    }
    if (!is_open && !rebuilds && follow_recalled(k, t, g))
        return;
    if (!is_open)
        t = open(k, g->id);
    if (!t) {
        leave_now(k, g);
        return;
    }
    join(k, t, g);
    absorb(k, g);
}

/* ---- the second pass -------------------------------------------------------------------------------------- */

static void take_again(struct taking *k, const struct gw_trace_group *g)
{
    struct gw_tail_passes *p = k->s->passes;
    const struct gw_sum *t = gw_sums_find_at(p->sums, g->id, gw_step_of(p->again_ns));

    if (!t || (t->flags & GW_SUM_LEFT))
        gw_tail_leave_out(k, g->rows, g->n);
    else
        gw_tail_follow(k, g->rows, g->n, t->reason, (t->flags & GW_SUM_CACHED) != 0);
}

void gw_tail_passes_take(struct taking *k, const struct gw_trace_groups *groups)
{
    bool again = k->s->passes->again_ns > 0;

    for (uint32_t i = 0; i < groups->n; i++)
        if (again)
            take_again(k, &groups->list[i]);
        else
            take_first(k, &groups->list[i]);
}

bool gw_tail_passes_is_again(const struct gw_tail *s)
{
    return s->passes && s->passes->again_ns > 0;
}

/* ---- over a crash ----------------------------------------------------------------------------------------- */

static unsigned kind_of(unsigned flags)
{
    return flags & GW_TAIL_LEFT ? GW_SUM_LEFT : flags & GW_TAIL_FOLLOWED ? GW_SUM_CACHED : 0;
}

bool gw_tail_passes_restore(struct gw_tail *s, const uint8_t id[16], uint32_t reason, uint64_t upto_ns, unsigned flags)
{
    struct gw_sums *sums = s->passes->sums;
    struct gw_sum *t = gw_sums_find(sums, id), *more;
    uint32_t last = gw_step_of(upto_ns - 1);

    if (t && !gw_step_before(t->last, last))
        return true;
    if (t && t->flags == kind_of(flags) && (t->reason == reason || (flags & GW_TAIL_LEFT))) {
        gw_sums_touch(sums, t, last);
        return true;
    }
    gw_sums_limit(sums, 0);
    more = gw_sums_add(sums, id, last);
    if (!more)
        return false;
    more->first = t ? t->last + 1 : last - LONG_AGO;
    more->reason = (uint16_t)reason;
    more->flags = (uint8_t)kind_of(flags);
    return true;
}

void gw_tail_passes_each(const struct gw_tail *s, gw_tail_passes_fn *each, void *arg)
{
    for (const struct gw_sum *t = gw_sums_first(s->passes->sums); t; t = gw_sums_next(s->passes->sums, t)) {
        unsigned flags = t->flags & GW_SUM_LEFT ? GW_TAIL_LEFT : t->flags & GW_SUM_CACHED ? GW_TAIL_FOLLOWED : 0;

        if (!(t->flags & GW_SUM_OPEN))
            each(arg, t->id, t->reason, ns_of(s, t->last) + 1, flags);
    }
}

void gw_tail_passes_advance(struct gw_tail *s, bool rebuilds)
{
    s->passes->again_ns = 0;
    s->passes->is_full = false;
    gw_sums_order(s->passes->sums);
    gw_sums_limit(s->passes->sums, rebuilds ? 0 : gw_tail_store_bytes(s));
}

/* ---- places ----------------------------------------------------------------------------------------------- */

uint64_t gw_tail_passes_ready_ns(const struct gw_tail *s)
{
    const struct gw_sum *t = gw_sums_oldest(s->passes->sums);

    return t ? ns_of(s, t->first) : gw_tail_now_ns(s);
}

uint64_t gw_tail_passes_passed_ns(const struct gw_tail *s)
{
    return s->passes->passed_ns;
}

uint64_t gw_tail_passes_due_ns(const struct gw_tail *s)
{
    const struct gw_tail_passes *p = s->passes;
    uint32_t step = 0;
    const struct gw_sum *t = gw_sums_oldest(p->sums), *root = p->after ? gw_sums_rooted(p->sums, &step) : NULL;
    enum gw_tail_cause ignored;
    uint64_t due, of_root;

    if (!t)
        return gw_sums_n(p->sums) ? 0 : UINT64_MAX;
    if (ns_of(s, t->first) > p->passed_ns || is_overfull(s, &ignored))
        return 0;
    due = ns_of(s, t->first) + p->wait * GW_KEEP_STEP_NS;
    of_root = root ? ns_of(s, step) + p->after * GW_KEEP_STEP_NS : UINT64_MAX;
    return due < of_root ? due : of_root;
}

void gw_tail_passes_pass(void *self, uint64_t step_ns, bool again)
{
    struct gw_tail_passes *p = ((struct gw_tail *)self)->passes;
    uint32_t step = gw_step_of(step_ns);
    struct gw_sum *t;

    p->passed_ns = step_ns;
    p->again_ns = again ? step_ns : 0;
    while ((t = gw_sums_first(p->sums)) != NULL && !(t->flags & GW_SUM_OPEN) && gw_step_before(t->last, step))
        gw_sums_drop(p->sums, t);
}
