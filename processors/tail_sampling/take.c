/* SPDX-License-Identifier: Apache-2.0 */
/* Spans that come: into the store, or after a decision that stands already. */
#include <errno.h>

#include "processors/tail_sampling/passes.h"
#include "processors/tail_sampling/take.h"

#define S 1000000000ull

static void set(uint64_t *bitmap, uint32_t row)
{
    bitmap[row / 64] |= UINT64_C(1) << (row % 64);
}

/* ---- following -------------------------------------------------------------------------------------------- */

static uint64_t *gone_for(struct taking *k, const char *why)
{
    struct gone *g;

    for (g = k->gone; g; g = g->next)
        if (strcmp(g->why, why) == 0)
            return g->rows;
    g = gw_arena_alloc(k->v->arena, sizeof(*g));
    if (!g)
        return NULL;
    *g = (struct gone){k->gone, why, gw_arena_zalloc(k->v->arena, k->bitmap_bytes)};
    if (g->rows)
        k->gone = g;
    return g->rows;
}

/* Rows that find no memory for it stay in the view, and the view says that it failed: they are the client's again. */
void gw_tail_follow(struct taking *k, const uint32_t *rows, uint32_t n, uint32_t reason, bool cached)
{
    const struct gw_reason *r = gw_reasons_get(k->s->reasons, reason);
    bool stays = r->kept || k->s->conf->dry_run;
    struct followers *f = stays ? gw_arena_alloc(k->v->arena, sizeof(*f)) : NULL;
    uint64_t *gone = stays ? NULL : gone_for(k, r->dropped);

    if (!f && !gone) {
        k->v->failed = true;
        return;
    }
    for (uint32_t i = 0; gone && i < n; i++)
        set(gone, rows[i]);
    if (!f)
        return;
    *f = (struct followers){NULL, rows, n, reason, cached};
    *k->followers_last = f;
    k->followers_last = &f->next;
}

void gw_tail_late(struct taking *k, const struct gw_trace_group *g, const struct gw_tail_known *known)
{
    struct gw_tail_meter *m = &k->s->meter;
    bool kept = gw_reasons_get(k->s->reasons, known->reason)->kept;

    gw_metric_observe(m->late_span_age, (double)(k->now_ns / S - known->decided_s));
    gw_metric_add(kept ? m->early_sampled : m->early_not_sampled, g->n);
    if (!k->s->links || !kept)
        return;
    for (uint32_t i = 0; i < g->n; i++)
        (void)gw_tail_links_note(k->s, k->v, g->rows[i]);
    if (!gw_tail_log_is_amid(k->s))
        gw_tail_links_kept(k->s, g->id);
}

static bool follow_recalled(struct taking *k, const struct gw_trace_group *g)
{
    struct gw_tail_known known;

    if (!gw_tail_recall(k->s, g->id, &known))
        return false;
    gw_tail_follow(k, g->rows, g->n, known.reason, known.cached);
    if (known.cached)
        gw_tail_late(k, g, &known);
    return true;
}

/* ---- room ------------------------------------------------------------------------------------------------- */

static enum gw_tail_cause what_is_full(const struct gw_tail *s)
{
    return gw_traces_n(s->store) >= s->max_traces ? GW_TAIL_NUM_TRACES : GW_TAIL_BYTES;
}

/* The oldest trace has waited longest: it is decided now, with what is there of it. False: no memory to let it go. */
static bool evict(struct taking *k, struct gw_trace *t)
{
    uint64_t before = gw_traces_n(k->s->store);

    if (gw_tail_facts(t)->is_decided)
        return gw_tail_leave_through(k->s, t, k->now_ns, k->out);
    if (k->s->conf->overflow == GW_TAIL_DROP)
        gw_tail_lose(k->s, t, k->now_ns, k->out);
    else
        (void)gw_tail_decide(k->s, t, what_is_full(k->s), k->now_ns, k->out);
    return gw_traces_n(k->s->store) < before;
}

/* NULL: not even where all others are gone, or none can go. */
static struct gw_trace *add(struct taking *k, const uint8_t id[16])
{
    struct gw_tail *s = k->s;
    struct gw_trace *t, *oldest;

    k->n_new++;
    while (!(t = gw_traces_add(s->store, id, k->now_ns, k->now_ns + s->conf->decision_wait_ns))) {
        oldest = gw_traces_oldest(s->store);
        if (!oldest || !evict(k, oldest))
            return NULL;
    }
    gw_tail_facts(t)->receiver = k->v->batch->receiver;
    gw_tail_facts(t)->generation = s->generation;
    if (s->links && gw_tail_log_rebuilds(s))
        gw_tail_facts(t)->is_linked = gw_tail_log_was_linked(s, id);
    else if (s->links && gw_tail_links_wanted(s, id))
        gw_tail_links_mark(s, t);
    return t;
}

/* Rows of one scope. False: the trace itself was the oldest, or has all that one may have, and is decided. */
static bool keep_run(struct taking *k, struct gw_trace *t, const uint32_t *rows, uint32_t n, uint32_t *ret_reason)
{
    struct gw_trace *oldest;
    int rc;

    while ((rc = gw_traces_keep(k->s->store, t, rows, n)) < 0) {
        oldest = gw_traces_oldest(k->s->store);
        if (oldest == t || rc == -EOVERFLOW || !evict(k, oldest)) {
            *ret_reason = gw_tail_decide(k->s, t, GW_TAIL_BYTES, k->now_ns, k->out);
            return false;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        set(k->absorbed, rows[i]);
    return true;
}

/* How many of the rows found room; when not all, by what the trace was decided that made it. */
static uint32_t keep(struct taking *k, struct gw_trace *t, const uint32_t *rows, uint32_t n, uint32_t *ret_reason)
{
    const uint32_t *scope = k->v->batch->scope;
    uint32_t at = 0, end;

    for (; at < n; at = end) {
        for (end = at + 1; end < n && scope[rows[end]] == scope[rows[at]];)
            end++;
        if (!keep_run(k, t, rows + at, end - at, ret_reason))
            return at;
    }
    return n;
}

/* ---- a trace ---------------------------------------------------------------------------------------------- */

static void add_bytes(const struct taking *k, struct gw_trace_facts *f, const uint32_t *rows, uint32_t n)
{
    struct gw_trace_bytes bytes = gw_trace_bytes_of(k->v->batch, rows, n);

    f->wire_bytes += bytes.bare;
    f->framed_bytes += bytes.framed;
}

void gw_tail_note_rows(struct taking *k, struct gw_tail_facts *f, const uint32_t *rows, uint32_t n)
{
    gw_policies_note_rows(k->s->policies, &f->f, k->v, rows, n, k->bits);
    for (uint32_t i = 0; k->s->links && i < n; i++)
        f->is_linked |= gw_tail_links_note(k->s, k->v, rows[i]);
    if (k->s->counts_bytes)
        add_bytes(k, &f->f, rows, n);
    else
        f->lacks_bytes = true;
}

enum gw_tail_cause gw_tail_is_enough(const struct gw_tail *s, const uint8_t id[16], const struct gw_tail_facts *f)
{
    const struct gw_tail_conf *c = s->conf;

    if (c->max_trace_bytes && f->f.wire_bytes > c->max_trace_bytes)
        return GW_TAIL_TOO_LARGE;
    if (c->max_spans_per_trace && f->f.n_spans > c->max_spans_per_trace)
        return GW_TAIL_SPANS;
    if (c->decide_early && c->strategy == GW_TAIL_COMPLETE && gw_policies_is_settled(s->policies, id, &f->f))
        return GW_TAIL_SETTLED;
    return GW_TAIL_DUE;
}

static void move_up(struct taking *k, struct gw_trace *t)
{
    uint64_t due = k->now_ns + k->s->conf->after_root_ns;

    if (k->s->conf->after_root_ns && gw_tail_facts(t)->f.has_root && due < t->due_ns)
        gw_traces_set_due(k->s->store, t, due);
}

static bool judge_ingest(struct taking *k, const uint8_t id[16], const struct gw_tail_facts *all, const uint32_t *rows,
                         uint32_t n, uint32_t *ret_reason)
{
    struct gw_trace_facts f = {0};

    gw_policies_note_rows(k->s->policies, &f, k->v, rows, n, k->bits);
    if (k->s->counts_bytes)
        add_bytes(k, &f, rows, n);
    f.n_spans = all->f.n_spans;
    f.wire_bytes = all->f.wire_bytes;
    return gw_tail_judge_ingest(k->s, id, &f, k->now_ns, ret_reason);
}

bool gw_tail_ingest(struct taking *k, const uint8_t id[16], const struct gw_tail_facts *all, const uint32_t *rows,
                    uint32_t n, uint32_t *ret_reason)
{
    return k->s->conf->strategy == GW_TAIL_INGEST && judge_ingest(k, id, all, rows, n, ret_reason);
}

/* No memory for a trace: they are judged by themselves. */
static uint32_t judge_alone(struct taking *k, const uint8_t id[16], const uint32_t *rows, uint32_t n)
{
    struct gw_tail_facts f = {.receiver = k->v->batch->receiver, .last_ns = k->now_ns};
    enum gw_tail_cause cause;
    uint32_t reason;

    gw_tail_note_rows(k, &f, rows, n);
    cause = gw_tail_is_enough(k->s, id, &f);
    if (cause == GW_TAIL_DUE && gw_tail_ingest(k, id, &f, rows, n, &reason))
        return reason;
    return gw_tail_judge(k->s, id, &f, cause == GW_TAIL_DUE ? what_is_full(k->s) : cause, k->now_ns);
}

/* False: it is decided, and `rows` follow. */
static bool take_rows(struct taking *k, const uint8_t id[16], struct gw_trace *t, const uint32_t *rows, uint32_t n,
                      uint32_t *ret_reason)
{
    struct gw_tail_facts *f = gw_tail_facts(t);
    enum gw_tail_cause cause;

    gw_tail_ask_again(k->s, t, k->out->arena);
    gw_tail_note_rows(k, f, rows, n);
    f->last_ns = k->now_ns;
    cause = gw_tail_is_enough(k->s, id, f);
    if (cause != GW_TAIL_DUE && k->s->log) {
        gw_tail_log_enough(k->s, id);
        cause = GW_TAIL_DUE;
    }
    if (cause != GW_TAIL_DUE) {
        *ret_reason = gw_tail_decide(k->s, t, cause, k->now_ns, k->out);
        return false;
    }
    if (!gw_tail_ingest(k, id, f, rows, n, ret_reason))
        return true;
    gw_tail_let_go(k->s, t, *ret_reason, /* soon= */ true, k->now_ns, k->out);
    return false;
}

uint32_t gw_tail_end_of_unit(const struct taking *k, const struct gw_trace_group *g, uint32_t at)
{
    const struct gw_batch *b = k->v->batch;
    uint32_t end = at + 1;

    if (k->s->conf->strategy != GW_TAIL_INGEST)
        return g->n;
    while (end < g->n && gw_batch_resource_of(b, g->rows[end]) == gw_batch_resource_of(b, g->rows[at]))
        end++;
    return end;
}

void gw_tail_leave_out(struct taking *k, const uint32_t *rows, uint32_t n)
{
    uint64_t *gone = gone_for(k, "decided_before");

    k->v->failed |= !gone;
    for (uint32_t i = 0; gone && i < n; i++)
        set(gone, rows[i]);
}

static void take(struct taking *k, const struct gw_trace_group *g)
{
    struct gw_trace *t = gw_traces_find(k->s->store, g->id);
    bool is_decided = t && gw_tail_facts(t)->is_decided;
    uint32_t reason;

    if (!t && gw_tail_log_is_past(k->s, g->id)) {
        gw_tail_leave_out(k, g->rows, g->n);
        return;
    }
    if ((!t || is_decided) && follow_recalled(k, g))
        return;
    if (is_decided) { /* and the cache has forgotten it */
        gw_tail_follow(k, g->rows, g->n, gw_tail_facts(t)->reason, /* cached= */ false);
        return;
    }
    if (!t)
        t = add(k, g->id);
    for (uint32_t at = 0, end; at < g->n; at = end) {
        end = gw_tail_end_of_unit(k, g, at);
        if (!t) {
            reason = judge_alone(k, g->id, g->rows + at, end - at);
        } else if (take_rows(k, g->id, t, g->rows + at, end - at, &reason)) {
            move_up(k, t);
            at += keep(k, t, g->rows + at, end - at, &reason);
        }
        if (at < end) {
            gw_tail_follow(k, g->rows + at, g->n - at, reason, /* cached= */ false);
            return;
        }
    }
}

/* ---- a view ----------------------------------------------------------------------------------------------- */

/* block_on_overflow: a worker cannot wait, but its clients can. What would never fit does not wait. */
static bool must_wait(const struct taking *k, const struct gw_trace_groups *groups)
{
    struct gw_tail *s = k->s;
    uint64_t unknown = 0, bytes = 0, held;
    struct gw_tail_known ignored;

    if (!s->conf->block_on_overflow || s->log) /* behind a journal time does not go on while something waits */
        return false;
    held = gw_traces_held_bytes(s->store);
    for (uint32_t i = 0; i < groups->n; i++) {
        const struct gw_trace_group *g = &groups->list[i];
        bool known = gw_traces_find(s->store, g->id) != NULL;

        if (!known && gw_tail_recall(s, g->id, &ignored))
            continue;
        unknown += !known;
        bytes += known ? 0 : sizeof(struct gw_trace) + sizeof(struct gw_tail_facts);
        for (uint32_t r = 0; r < g->n; r++)
            bytes += k->v->batch->raw[g->rows[r]].len;
    }
    return (unknown <= s->max_traces && unknown + gw_traces_n(s->store) > s->max_traces) ||
           (s->max_bytes && bytes <= s->max_bytes && held + bytes > s->max_bytes);
}

static void take_idless(struct taking *k, const struct gw_trace_groups *groups)
{
    static const struct gw_reject why = {
        .rule = "trace_id", .field = "trace_id", .message = "a span without a trace id cannot be sampled by trace"};

    if (gw_tail_log_rebuilds(k->s) || gw_tail_passes_is_again(k->s)) {
        gw_tail_leave_out(k, groups->without_id, groups->n_without_id);
        return;
    }
    gw_metric_add(k->s->meter.without_id, groups->n_without_id);
    for (uint32_t i = 0; k->s->conf->without_trace_id == GW_TAIL_REJECT && i < groups->n_without_id; i++)
        gw_reject_row(k->out, k->v, groups->without_id[i], &why);
}

static void mark_followers(struct taking *k, struct gw_view *v, const struct followers *f)
{
    const struct gw_reason *r = gw_reasons_get(k->s->reasons, f->reason);
    uint32_t scope = UINT32_MAX;

    for (uint32_t i = 0; i < f->n; i++) {
        gw_tail_mark_row(k->s, v, f->rows[i], r);
        if (v->batch->scope[f->rows[i]] != scope)
            gw_tail_mark_scope(k->s, v, scope = v->batch->scope[f->rows[i]], r, f->cached);
    }
}

/* record_policy writes on scopes, and two traces may share one: each leaves alone. */
static void emit_alone(struct taking *k, const struct followers *f)
{
    uint32_t n = k->v->batch->n_rows;
    struct gw_view own;

    if (gw_view_clone(k->v, k->v->arena, &own) < 0) {
        k->v->failed = true;
        return;
    }
    for (uint32_t row = gw_view_next(&own, 0), i = 0; row < n; row = gw_view_next(&own, row + 1)) {
        while (i < f->n && f->rows[i] < row)
            i++;
        own.failed |= (i == f->n || f->rows[i] != row) && gw_view_remove(&own, row) < 0;
    }
    for (uint32_t i = 0; i < f->n; i++)
        k->v->failed |= gw_view_remove(k->v, f->rows[i]) < 0;
    mark_followers(k, &own, f);
    gw_emit(k->out, 0, &own);
}

/* What is in the store is not the client's any more, even if there is no memory to settle it at once. */
static void settle(struct taking *k, const uint64_t *rows, enum gw_outcome outcome, const char *why)
{
    bool failed = k->v->failed;

    k->v->failed = false;
    gw_view_settle_rows(k->v, k->out->ledger, rows, outcome, why, NULL);
    for (uint32_t row = 0; k->v->failed && row < k->v->batch->n_rows; row++)
        if (rows[row / 64] >> (row % 64) & 1)
            gw_view_settle_row(k->v, k->out->ledger, row, outcome, why, NULL);
    k->v->failed = failed;
}

/* Decided spans from the store leave before those that just came. */
static void finish(struct taking *k)
{
    (void)gw_tail_flush(k->s, k->out);
    if (k->s->passes) /* they come again */
        settle(k, k->absorbed, GW_DROPPED, "first_pass");
    else
        settle(k, k->absorbed, GW_ABSORBED, NULL);
    for (const struct gone *g = k->gone; g; g = g->next)
        settle(k, g->rows, GW_DROPPED, g->why);
    if (k->s->marks)
        for (const struct followers *f = k->followers; f; f = f->next) {
            if (k->s->conf->record_policy)
                emit_alone(k, f);
            else
                mark_followers(k, k->v, f);
        }
}

/* From here on rows can be taken out of the view without memory. */
static bool make_bitmap(struct gw_view *v)
{
    uint32_t n = v->batch->n_rows;

    if (v->kept)
        return true;
    v->kept = gw_arena_zalloc(v->arena, (n / 64 + 1) * sizeof(*v->kept));
    for (uint32_t i = 0; v->kept && i < n / 64; i++)
        v->kept[i] = UINT64_MAX;
    if (v->kept && n % 64)
        v->kept[n / 64] = UINT64_MAX >> (64 - n % 64);
    return v->kept != NULL;
}

/* Everything that may fail before the first row is taken. */
static int prepare(struct taking *k, struct gw_trace_groups *groups)
{
    int rc = k->s->passes || gw_tail_open_store(k->s) ? gw_view_flatten(k->v) : -ENOMEM;

    if (rc == 0)
        rc = gw_trace_groups_of(k->v, groups);
    if (rc < 0)
        return rc;
    if (!gw_tail_passes_is_again(k->s) && !(k->bits = gw_policies_ask(k->s->policies, k->v)))
        return -ENOMEM;
    k->bitmap_bytes = (k->v->batch->n_rows / 64 + 1) * sizeof(uint64_t);
    k->absorbed = gw_arena_zalloc(k->v->arena, k->bitmap_bytes);
    return k->absorbed && make_bitmap(k->v) ? 0 : -ENOMEM;
}

/* Traces ahead: each step finds what the one before has fetched. */
enum { AHEAD_INDEX = 9, AHEAD_TRACE = 6, AHEAD_CHAIN = 4, AHEAD_ENTRY = 2 };

/* Of a trace that is not in the store it is asked soon what became of it: each table is a miss of all caches, or two.
 * absent: who was not there, the last one that was looked for in the lowest bit. */
static void ask_ahead(const struct gw_tail *s, const struct gw_trace_groups *groups, uint32_t i, uint32_t *absent)
{
    const struct gw_trace_group *list = groups->list;
    uint32_t n = groups->n, at = i + AHEAD_CHAIN;

    if (i + AHEAD_INDEX < n)
        (void)gw_traces_fetch(s->store, list[i + AHEAD_INDEX].id, GW_TRACES_INDEX);
    if (i + AHEAD_TRACE < n)
        (void)gw_traces_fetch(s->store, list[i + AHEAD_TRACE].id, GW_TRACES_TRACE);
    *absent = *absent << 1 | (at < n && !gw_traces_fetch(s->store, list[at].id, GW_TRACES_CHAIN));
    if (*absent & 1) {
        gw_ids_prefetch(s->kept, list[at].id);
        gw_ids_prefetch(s->gone, list[at].id);
    }
    if (*absent >> (AHEAD_CHAIN - AHEAD_ENTRY) & 1) {
        gw_ids_prefetch_entry(s->kept, list[i + AHEAD_ENTRY].id);
        gw_ids_prefetch_entry(s->gone, list[i + AHEAD_ENTRY].id);
    }
}

static void take_all(struct taking *k, const struct gw_trace_groups *groups)
{
    uint32_t absent = 0;

    gw_traces_begin(k->s->store, k->v->batch);
    for (uint32_t i = 0; i < AHEAD_INDEX; i++)
        ask_ahead(k->s, groups, i - AHEAD_INDEX, &absent);
    for (uint32_t i = 0; i < groups->n; i++) {
        ask_ahead(k->s, groups, i, &absent);
        take(k, &groups->list[i]);
    }
    gw_traces_end(k->s->store);
    gw_metric_add(k->s->meter.new_ids, k->n_new);
}

void gw_tail_consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct taking k = {.s = self, .v = v, .out = out, .now_ns = gw_tail_now_ns(self)};
    struct gw_trace_groups groups;

    k.followers_last = &k.followers;
    if (prepare(&k, &groups) < 0) {
        v->failed = true;
    } else if (must_wait(&k, &groups)) {
        gw_view_settle_all(v, out->ledger, GW_REFUSED, "tail_sampling_full",
                           "tail_sampling has no room for new traces");
    } else {
        take_idless(&k, &groups);
        if (k.s->passes)
            gw_tail_passes_take(&k, &groups);
        else
            take_all(&k, &groups);
        finish(&k);
    }
    gw_emit(out, 0, v);
}
