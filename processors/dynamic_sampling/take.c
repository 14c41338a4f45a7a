/* SPDX-License-Identifier: Apache-2.0 */
/* Spans that come: into the store, or after a decision that stands already. */
#include <errno.h>

#include "processors/dynamic_sampling/dynamic.h"

enum { MAX_TRACE_BYTES = 64 << 20 };

bool gw_ds_is_root(void *self, const struct gw_view *v, uint32_t row)
{
    static const uint8_t none[8];
    struct gw_ds *s = self;
    bool yes = false;
    struct gw_err err;

    if (!s->root)
        return memcmp(v->batch->parent_id[row], none, sizeof(none)) == 0;
    if (gw_ottl_test(s->root, v, row, row, &yes, &err) < 0) {
        gw_metric_add(s->root_errors, 1);
        return false;
    }
    return yes;
}

/* One view on its way in; bitmaps over its rows. */
struct taking {
    struct gw_ds *s;
    struct gw_view *v;
    struct gw_ports *out;
    const struct gw_kept *kept; /* behind a journal; else NULL */
    uint64_t now_ns, *absorbed, *gone, *refused, *past;
};

static void set(uint64_t *bitmap, uint32_t row)
{
    bitmap[row / 64] |= UINT64_C(1) << (row % 64);
}

/* decision 0: it was not kept. Behind a journal within a step nothing depends on what is looked at first. */
static bool recall(struct taking *k, const uint8_t id[16], uint64_t *ret_decision)
{
    struct gw_ds *s = k->s;

    *ret_decision = 0;
    if (!k->kept)
        return gw_ids_get(s->kept, id, ret_decision) || gw_ids_get(s->gone, id, ret_decision);
    if (gw_kept_follows(k->kept, id, ret_decision))
        return true;
    if (!gw_ids_peek(s->kept, id, ret_decision) && !gw_ids_peek(s->gone, id, ret_decision))
        return false;
    gw_ds_log_follow(s, id, *ret_decision);
    return true;
}

/* Decided already: it follows. */
static bool follow(struct taking *k, uint32_t row)
{
    uint64_t decision;

    if (!recall(k, k->v->batch->trace_id[row], &decision))
        return false;
    if (decision)
        gw_ds_mark(k->s, k->v, row, decision);
    else
        set(k->gone, row);
    return true;
}

/* Rows that came before a crash, and what became of them is known. */
static bool is_past(struct taking *k, uint32_t row)
{
    const uint8_t *id = k->v->batch->trace_id[row];

    if (!gw_kept_is_past(k->kept, id) || gw_traces_find(k->s->store, id))
        return false;
    set(k->past, row);
    return true;
}

static struct gw_trace *find_or_add(struct taking *k, uint32_t row)
{
    const struct gw_ds_conf *c = k->s->conf;
    struct gw_trace *t = gw_traces_find(k->s->store, k->v->batch->trace_id[row]);

    if (t)
        return t;
    t = gw_traces_add(k->s->store, k->v->batch->trace_id[row], k->now_ns,
                      k->now_ns + c->trace_timeout_ns + c->decision_delay_ns);
    if (t)
        gw_ds_facts(t)->receiver = k->v->batch->receiver;
    return t;
}

static void note(struct taking *k, struct gw_trace *t, uint32_t row)
{
    uint64_t due = k->now_ns + k->s->conf->decision_delay_ns;

    if (gw_ds_facts(t)->has_root || !gw_ds_is_root(k->s, k->v, row))
        return;
    gw_ds_facts(t)->has_root = true;
    if (due < t->due_ns)
        gw_traces_set_due(k->s->store, t, due);
}

/* A span for which there is no room even when nothing else waits is the client's again; a journal has no client. */
static void no_room(struct taking *k, uint32_t row)
{
    if (!k->kept)
        set(k->refused, row);
    else if (!gw_ds_judge_row(k->s, k->v, row))
        set(k->gone, row);
}

static void take(struct taking *k, uint32_t row)
{
    for (;;) {
        struct gw_trace *t, *oldest;
        int rc;

        if (is_past(k, row) || follow(k, row))
            return;
        t = find_or_add(k, row);
        oldest = gw_traces_oldest(k->s->store);
        rc = t ? gw_traces_keep(k->s->store, t, &row, 1) : -ENOSPC;
        if (rc == 0) {
            set(k->absorbed, row);
            note(k, t, row);
            if (gw_trace_bytes(t) > MAX_TRACE_BYTES)
                k->v->failed = !gw_ds_evict(k->s, t, k->out);
            return;
        }
        if (rc == -EOVERFLOW)
            oldest = t;
        if (!oldest || oldest->n_spans == 0) {
            if (oldest)
                gw_traces_drop(k->s->store, oldest);
            no_room(k, row);
            return;
        }
        if (!gw_ds_evict(k->s, oldest, k->out)) { /* what comes next of it must know what became of it */
            k->v->failed = true;
            return;
        }
    }
}

static bool has_trace_id(const struct gw_batch *b, uint32_t row)
{
    static const uint8_t none[16];

    return memcmp(b->trace_id[row], none, sizeof(none)) != 0;
}

/* The house is counted when all rows are in, so that an evicted trace has all of this view. */
static void make_room(struct taking *k)
{
    struct gw_ds *s = k->s;

    while (!k->kept && gw_traces_n(s->store) > s->max_traces &&
           gw_ds_decide(s, gw_traces_oldest(s->store), GW_DS_BY_EVICTION, k->out))
        gw_metric_add(s->evicted, 1);
    (void)gw_ds_flush(s, k->out);
}

static void take_idless(struct taking *k, uint32_t row)
{
    if (k->kept && k->kept->rebuilds)
        set(k->past, row);
}

static bool prepare(struct taking *k)
{
    size_t bytes;

    if (!gw_ds_flush(k->s, k->out) || !gw_ds_open_store(k->s) || gw_view_flatten(k->v) < 0)
        return false;
    bytes = (k->v->batch->n_rows / 64 + 1) * sizeof(uint64_t);
    k->absorbed = gw_arena_zalloc(k->v->arena, bytes);
    k->gone = gw_arena_zalloc(k->v->arena, bytes);
    k->refused = gw_arena_zalloc(k->v->arena, bytes);
    k->past = gw_arena_zalloc(k->v->arena, bytes);
    return k->absorbed && k->gone && k->refused && k->past;
}

/* What is in the store, or decided, is not the client's any more, even if the view fails for others. */
static void settle(struct taking *k)
{
    struct gw_ledger *l = k->out->ledger;
    bool failed = k->v->failed;

    k->v->failed = false;
    gw_view_settle_rows(k->v, l, k->absorbed, GW_ABSORBED, NULL, NULL);
    gw_view_settle_rows(k->v, l, k->gone, GW_DROPPED, "not_sampled", NULL);
    gw_view_settle_rows(k->v, l, k->past, GW_DROPPED, "decided_before", NULL);
    gw_view_settle_rows(k->v, l, k->refused, GW_REFUSED, "memory_limit", "no room for a span that waits");
    k->v->failed |= failed;
}

void gw_ds_consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct gw_ds *s = self;
    struct taking k = {.s = s, .v = v, .out = out, .kept = gw_ds_log_kept(s), .now_ns = gw_ds_now_ns(s)};

    if (!prepare(&k)) {
        v->failed = true;
        gw_emit(out, 0, v);
        return;
    }
    gw_traces_begin(s->store, v->batch);
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows && !v->failed; row = gw_view_next(v, row + 1)) {
        gw_traces_ahead(s->store, row);
        if (has_trace_id(v->batch, row))
            take(&k, row);
        else
            take_idless(&k, row);
    }
    gw_traces_end(s->store);
    make_room(&k);
    settle(&k);
    gw_emit(out, 0, v);
    gw_ds_tell(s);
}
