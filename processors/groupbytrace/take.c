/* SPDX-License-Identifier: Apache-2.0 */
/* Spans that come. */
#include <errno.h>

#include "processors/groupbytrace/group.h"

enum { RUN_ROWS = 256 };
enum { MAX_TRACE_BYTES = 32 << 20 }; /* a longer one leaves in parts: servers take up to 64 MiB */

/* One view on its way in; bitmaps over its rows. */
struct taking {
    struct gw_group *s;
    struct gw_view *v;
    struct gw_ports *out;
    uint64_t now_ns, *absorbed, *past;
};

static void set(uint64_t *bitmap, const uint32_t *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bitmap[rows[i] / 64] |= UINT64_C(1) << (rows[i] % 64);
}

static struct gw_trace *find_or_add(struct taking *k, uint32_t row)
{
    const struct gw_batch *b = k->v->batch;
    struct gw_trace *t = gw_traces_find(k->s->traces, b->trace_id[row]);
    uint64_t now = k->now_ns, wait = k->s->conf->wait_duration_ns;

    if (t)
        return t;
    t = gw_traces_add(k->s->traces, b->trace_id[row], now, wait < UINT64_MAX - now ? now + wait : UINT64_MAX);
    if (t)
        gw_group_facts(t)->receiver = b->receiver;
    return t;
}

static void note(struct gw_trace *t, const struct gw_batch *b, const uint32_t *rows, uint32_t n)
{
    static const uint8_t none[8];
    struct gw_group_facts *f = gw_group_facts(t);

    for (uint32_t i = 0; i < n && !f->has_root; i++)
        f->has_root = memcmp(b->parent_id[rows[i]], none, sizeof(none)) == 0;
}

/* Rows of one trace and scope. False: there is no room for them even where nothing else waits, or nothing can go. */
static bool keep(struct taking *k, const uint32_t *rows, uint32_t n)
{
    for (;;) {
        struct gw_trace *t = find_or_add(k, rows[0]), *oldest = gw_traces_oldest(k->s->traces);
        int r = t ? gw_traces_keep(k->s->traces, t, rows, n) : -ENOSPC;
        bool is_last = !oldest || (oldest == t && t->n_spans == 0 && gw_traces_n(k->s->traces) == 1);

        if (r == 0) {
            note(t, k->v->batch, rows, n);
            if (gw_trace_bytes(t) > MAX_TRACE_BYTES)
                (void)gw_group_evict(k->s, t, k->out);
            return true;
        }
        if (r == -EOVERFLOW)
            oldest = t;
        if (oldest && !gw_group_evict(k->s, oldest, k->out)) {
            k->v->failed = true;
            return false;
        }
        if (is_last || (k->s->kept && oldest == t)) /* in this step it follows its other rows */
            return false;
    }
}

static bool has_trace_id(const struct gw_batch *b, uint32_t row)
{
    static const uint8_t none[16];

    return memcmp(b->trace_id[row], none, sizeof(none)) != 0;
}

/* The rows from `row` on that can be kept in one call: neighbours of one trace and scope. */
static uint32_t take_run(const struct gw_view *v, uint32_t row, uint32_t rows[RUN_ROWS], uint32_t *ret_n)
{
    const struct gw_batch *b = v->batch;
    uint32_t first = row, n = 0;

    while (n < RUN_ROWS && row < b->n_rows && b->scope[row] == b->scope[first] &&
           memcmp(b->trace_id[row], b->trace_id[first], sizeof(b->trace_id[row])) == 0) {
        rows[n++] = row;
        row = gw_view_next(v, row + 1);
    }
    *ret_n = n;
    return row;
}

/* Behind a journal: what came before a crash and has left is left out; what left in this step takes the others along.
 */
static bool has_left(struct taking *k, const uint32_t *rows, uint32_t n)
{
    const uint8_t *id = k->v->batch->trace_id[rows[0]];
    bool is_past = gw_kept_is_past(k->s->kept, id);
    uint64_t ignored;

    if ((!is_past && !gw_kept_follows(k->s->kept, id, &ignored)) || gw_traces_find(k->s->traces, id))
        return false;
    if (is_past)
        set(k->past, rows, n);
    return true;
}

static void take_rows(struct taking *k, const uint32_t *rows, uint32_t n)
{
    struct gw_kept *kept = k->s->kept;

    if (!has_trace_id(k->v->batch, rows[0])) {
        if (kept && kept->rebuilds)
            set(k->past, rows, n);
        return;
    }
    if (has_left(k, rows, n))
        return;
    for (uint32_t i = 0; i < n; i++)
        gw_traces_ahead(k->s->traces, rows[i]);
    if (keep(k, rows, n))
        set(k->absorbed, rows, n);
    else if (kept && !k->v->failed)
        gw_kept_note(kept, k->v->batch->trace_id[rows[0]], GW_KEPT_NOTHING);
}

static bool prepare(struct taking *k)
{
    size_t bytes;

    if (!gw_group_open_store(k->s) || gw_view_flatten(k->v) < 0)
        return false;
    bytes = (k->v->batch->n_rows / 64 + 1) * sizeof(uint64_t);
    k->absorbed = gw_arena_zalloc(k->v->arena, bytes);
    k->past = gw_arena_zalloc(k->v->arena, bytes);
    return k->absorbed && k->past;
}

/* What is in the store is not the client's any more, even if the view fails for others. */
static void settle(struct taking *k)
{
    bool failed = k->v->failed;

    k->v->failed = false;
    gw_view_settle_rows(k->v, k->out->ledger, k->absorbed, GW_ABSORBED, "groupbytrace", NULL);
    gw_view_settle_rows(k->v, k->out->ledger, k->past, GW_DROPPED, "decided_before", NULL);
    k->v->failed |= failed;
}

void gw_group_consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct gw_group *s = self;
    struct taking k = {.s = s, .v = v, .out = out, .now_ns = gw_group_now_ns(s)};
    uint32_t rows[RUN_ROWS], n;

    if (!prepare(&k)) {
        v->failed = true;
        gw_emit(out, 0, v);
        return;
    }
    gw_traces_begin(s->traces, v->batch);
    for (uint32_t row = gw_view_next(v, 0), next; row < v->batch->n_rows && !v->failed; row = next) {
        next = take_run(v, row, rows, &n);
        take_rows(&k, rows, n);
    }
    gw_traces_end(s->traces);
    settle(&k);
    gw_emit(out, 0, v);           /* what does not wait */
    (void)gw_group_flush(s, out); /* what had to leave early */
    gw_group_tell(s);
}
