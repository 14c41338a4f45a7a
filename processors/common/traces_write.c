/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting traces back into OTLP: their runs are sorted by resource and scope, all lengths are known before the first
 * byte is written.
 *
 *   run ─► scope ─► resource        each with a list of the next level: first, last, and how many bytes are below it
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/wire.h"
#include "processors/common/traces_priv.h"

enum { FEW_RUNS = 32, RESOURCE_SPANS = 1, SCOPE_SPANS = 2, NONE = UINT32_MAX };

/* A piece of the chain. */
struct piece {
    struct gw_chain_reader at;
    uint32_t bytes, next;
};

/* A scope or a resource; its children are pieces or scopes. */
struct group {
    uint32_t envelope, first, last, next;
    uint64_t bytes; /* of its message */
};

struct plan {
    const struct gw_traces *t;
    struct piece *pieces;
    struct group *groups;
    uint32_t n_pieces, n_groups, first_resource, last_resource;
    uint64_t bytes;
    struct piece few_pieces[FEW_RUNS];
    struct group few_groups[2 * FEW_RUNS];
};

static uint32_t count_runs(const struct gw_traces *t, const struct gw_trace *const *traces, uint32_t n_traces)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_traces; i++)
        for (uint32_t run = traces[i]->first_run; run; run = *gw_slabs_link(&t->runs, run))
            n++;
    return n;
}

static int make_plan(struct plan *p, const struct gw_traces *t, uint32_t n_runs)
{
    p->t = t;
    p->n_pieces = p->n_groups = 0;
    p->bytes = 0;
    p->first_resource = p->last_resource = NONE;
    p->pieces = p->few_pieces;
    p->groups = p->few_groups;
    if (n_runs <= FEW_RUNS)
        return 0;
    p->pieces = malloc(n_runs * sizeof(*p->pieces));
    p->groups = malloc(2 * (size_t)n_runs * sizeof(*p->groups));
    return p->pieces && p->groups ? 0 : -ENOMEM;
}

static void drop_plan(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_groups; i++)
        gw_envelope_at(&p->t->envelopes, p->groups[i].envelope)->group = 0;
    if (p->pieces != p->few_pieces) {
        free(p->pieces);
        free(p->groups);
    }
}

/* The group of an envelope; *ret_new tells that it is not in its parent's list yet. */
static uint32_t group_of(struct plan *p, uint32_t envelope, bool *ret_new)
{
    struct gw_envelope *e = gw_envelope_at(&p->t->envelopes, envelope);

    *ret_new = e->group == 0;
    if (*ret_new) {
        p->groups[p->n_groups++] = (struct group){envelope, NONE, NONE, NONE, e->bytes.n_bytes};
        e->group = p->n_groups;
    }
    return e->group - 1;
}

static uint64_t framed(uint64_t bytes)
{
    return 1 + gw_varint_size(bytes) + bytes;
}

static uint32_t add_resource(struct plan *p, uint32_t envelope)
{
    bool is_new;
    uint32_t g = group_of(p, envelope, &is_new);

    if (is_new && p->last_resource != NONE)
        p->groups[p->last_resource].next = g;
    else if (is_new)
        p->first_resource = g;
    if (is_new)
        p->last_resource = g;
    return g;
}

static uint32_t add_scope(struct plan *p, uint32_t envelope)
{
    bool is_new;
    uint32_t g = group_of(p, envelope, &is_new);
    struct group *r;

    if (!is_new)
        return g;
    r = &p->groups[add_resource(p, gw_envelope_at(&p->t->envelopes, envelope)->resource)];
    if (r->last != NONE)
        p->groups[r->last].next = g;
    else
        r->first = g;
    r->last = g;
    return g;
}

static void add_piece(struct plan *p, const struct gw_chain_reader *at, uint32_t bytes, uint32_t envelope)
{
    struct group *s = &p->groups[add_scope(p, envelope)];
    uint32_t piece = p->n_pieces++;

    p->pieces[piece] = (struct piece){*at, bytes, NONE};
    s->bytes += bytes;
    if (s->last != NONE)
        p->pieces[s->last].next = piece;
    else
        s->first = piece;
    s->last = piece;
}

static int sort_runs(struct plan *p, const struct gw_trace *trace)
{
    const struct gw_traces *t = p->t;
    struct gw_chain_reader at;
    int r = gw_trace_begin(t, trace, &at);

    for (uint32_t run = r < 0 ? 0 : trace->first_run; run;) {
        uint32_t next = *gw_slabs_link(&t->runs, run), begin = gw_run_at(t, run)->begin;
        uint32_t end = next ? gw_run_at(t, next)->begin : gw_trace_bytes(trace);

        gw_chain_prefetch(&at);
        add_piece(p, &at, end - begin, gw_run_at(t, run)->envelope);
        if (next)
            (void)gw_chain_skip(&at, end - begin);
        run = next;
    }
    return r;
}

static void add_lengths(struct plan *p)
{
    for (uint32_t r = p->first_resource; r != NONE; r = p->groups[r].next) {
        for (uint32_t s = p->groups[r].first; s != NONE; s = p->groups[s].next)
            p->groups[r].bytes += framed(p->groups[s].bytes);
        p->bytes += framed(p->groups[r].bytes);
    }
}

static void put_head(const struct plan *p, const struct group *g, unsigned field, struct gw_buf *out)
{
    const struct gw_envelope *e = gw_envelope_at(&p->t->envelopes, g->envelope);
    struct gw_chain_reader r;
    uint8_t head[1 + GW_VARINT_MAX], *end;

    head[0] = (uint8_t)GW_TAG(field, GW_LEN);
    end = gw_varint_put(head + 1, g->bytes);
    gw_buf_put(out, head, (size_t)(end - head));
    gw_chain_begin(&p->t->blocks, &e->bytes, &r);
    (void)gw_chain_copy(&r, out, r.left);
}

static void put_all(struct plan *p, struct gw_buf *out)
{
    for (uint32_t r = p->first_resource; r != NONE; r = p->groups[r].next) {
        put_head(p, &p->groups[r], RESOURCE_SPANS, out);
        for (uint32_t s = p->groups[r].first; s != NONE; s = p->groups[s].next) {
            put_head(p, &p->groups[s], SCOPE_SPANS, out);
            for (uint32_t i = p->groups[s].first; i != NONE; i = p->pieces[i].next)
                (void)gw_chain_copy(&p->pieces[i].at, out, p->pieces[i].bytes);
        }
    }
}

static int write(const struct gw_traces *t, const struct gw_trace *const *traces, uint32_t n, struct gw_buf *out)
{
    struct plan plan;
    int r = make_plan(&plan, t, count_runs(t, traces, n));

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        assert(n == 1 || !gw_trace_is_packed(traces[i]));
        r = sort_runs(&plan, traces[i]);
    }
    if (r == 0) {
        add_lengths(&plan);
        r = gw_buf_reserve(out, plan.bytes); /* what follows cannot fail */
    }
    if (r == 0)
        put_all(&plan, out);
    drop_plan(&plan);
    return r;
}

int gw_traces_write(const struct gw_traces *t, const struct gw_trace *trace, struct gw_buf *out)
{
    return write(t, &trace, 1, out);
}

int gw_traces_write_all(const struct gw_traces *t, struct gw_trace *const *traces, uint32_t n, struct gw_buf *out)
{
    return write(t, (const struct gw_trace *const *)traces, n, out);
}
