/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/spooler.h"

#include <errno.h>
#include <string.h>

#include "otlp-proto/decode.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"

enum { NOTE_BYTES = 1 << 20, MAX_FACTS_BYTES = 4096 };

int gw_spooler_new_shared(void **ret, const struct gw_ctx *ctx, const char *storage, const char *kind,
                          struct gw_err *err)
{
    struct gw_spool *spool = NULL;
    int rc = *storage ? gw_spool_new(&spool, ctx, storage, kind, err) : 0;

    *ret = spool;
    return rc;
}

void gw_spooler_free_shared(void *shared)
{
    gw_spool_free(shared);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct gw_buf *gw_spool_note(struct gw_spool_notes *n, uint8_t type)
{
    if (n->open && (n->type != type || n->open->n - n->begin > NOTE_BYTES)) {
        gw_spool_close_note(n->w);
        n->open = NULL;
    }
    if (!n->open) {
        n->open = gw_spool_open_note(n->w, type);
        n->begin = n->open->n;
        n->type = type;
    }
    return n->open;
}

static void put_notes(struct gw_spooler *s, struct gw_spool_writer *w, uint64_t now_ns)
{
    struct gw_spool_notes n = {.w = w};

    if (s->ops->put_notes)
        s->ops->put_notes(s->self, &n, now_ns);
    if (n.open)
        gw_spool_close_note(w);
}

static bool waits(const struct gw_spooler *s, const struct gw_trace *t)
{
    return !s->ops->waits || s->ops->waits(t);
}

static int put_traces(struct gw_spooler *s, struct gw_traces *store, struct gw_spool_writer *w, uint64_t now_ns)
{
    struct gw_buf facts;
    int rc = 0;

    gw_buf_init(&facts, MAX_FACTS_BYTES);
    for (struct gw_trace *t = gw_traces_oldest(store); t && rc == 0; t = gw_traces_newer(store, t)) {
        if (!waits(s, t))
            continue;
        gw_buf_reset(&facts);
        s->ops->put_facts(s->self, t, &facts);
        rc = facts.failed ? -ENOMEM : gw_traces_spool(store, t, gw_buf_slice(&facts), now_ns, w);
    }
    gw_buf_clear(&facts);
    return rc;
}

static int spool(struct gw_spooler *s, struct gw_traces *store, uint64_t n_spans, uint64_t now_ns,
                 struct gw_spool_writer *w)
{
    int rc = gw_spool_begin(w, s->ctx->shared, s->ctx, n_spans, store ? gw_traces_held_bytes(store) : 0);

    if (rc < 0)
        return rc;
    put_notes(s, w, now_ns);
    rc = store ? put_traces(s, store, w, now_ns) : 0;
    if (rc < 0 && w->error == 0)
        w->error = rc;
    return gw_spool_seal(w);
}

bool gw_spooler_leave(struct gw_spooler *s, struct gw_traces *store, uint64_t n_spans, uint64_t now_ns)
{
    struct gw_spool_writer w;
    int rc;

    if (!gw_spool_is_due(s->ctx->shared, s->ctx) || s->is_given_up)
        return false;
    if (n_spans == 0 && s->is_spooled)
        return true;
    rc = spool(s, store, n_spans, now_ns, &w);
    if (rc < 0) {
        s->is_given_up = true;
        gw_log_at(&s->ctx->logger, GW_LOG_ERROR, &(struct gw_log_site){0},
                  "%s cannot be written (%s): %llu spans that wait leave now, and what is remembered is forgotten",
                  w.path, strerror(-rc), (unsigned long long)n_spans);
        return false;
    }
    s->is_spooled = true;
    s->n_spans += n_spans;
    if (n_spans)
        gw_log(&s->ctx->logger, GW_LOG_INFO, "%llu spans that wait are in %s.spool, for the next start",
               (unsigned long long)n_spans, w.path);
    return true;
}

int gw_spooler_adopt(struct gw_spooler *s, const struct gw_spooler *old, bool in_journal)
{
    bool is_same = s->ctx->shared == old->ctx->shared;

    if (!in_journal && !is_same && gw_spooler_is_owed(old)) /* it takes it up, and lets it go */
        return -ENOTSUP;
    s->is_taken_up = old->is_taken_up && is_same;
    return 0;
}

bool gw_spooler_is_owed(const struct gw_spooler *s)
{
    return s->ctx->shared && !s->is_taken_up && gw_spool_is_claimed(s->ctx->shared);
}

/* ---- taking up -------------------------------------------------------------------------------------------- */

struct taking_up {
    struct gw_spooler *s;
    struct gw_traces *store;
    struct gw_ports *out;
    void *arg;
    uint64_t now_ns;
    struct gw_arena rows; /* of one part */
};

static void take_note(void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of)
{
    struct taking_up *k = arg;

    if (k->s->ops->take_note)
        k->s->ops->take_note(k->s->self, k->arg, type, body, i, of);
}

static bool make_room(struct taking_up *k, const struct gw_trace *but)
{
    return k->out && k->s->ops->make_room(k->s->self, but, k->now_ns, k->out);
}

/* Another part of it may be there: of the same spool, or of a second one that the end has brought. */
static void merge(struct taking_up *k, struct gw_trace *t, const struct gw_spooled *part)
{
    if (part->part > 0)
        return;
    k->s->ops->take_facts(k->s->self, t, part->facts, /* is_new= */ false);
    if (k->now_ns + part->left_ns < t->due_ns)
        gw_traces_set_due(k->store, t, k->now_ns + part->left_ns);
}

static struct gw_trace *open_trace(struct taking_up *k, const struct gw_spooled *part)
{
    struct gw_trace *t = gw_traces_find(k->store, part->id);

    if (t && !waits(k->s, t)) /* its first part made room by leaving */
        return NULL;
    if (t) {
        merge(k, t, part);
        return t;
    }
    while (!(t = gw_traces_add(k->store, part->id, k->now_ns, k->now_ns + part->left_ns)))
        if (!make_room(k, NULL))
            return NULL;
    t->first_ns = k->now_ns > part->waited_ns ? k->now_ns - part->waited_ns : 0;
    k->s->ops->take_facts(k->s->self, t, part->facts, /* is_new= */ true);
    return t;
}

/* Rows of one scope. */
static bool keep_run(struct taking_up *k, struct gw_trace *t, const uint32_t *rows, uint32_t n)
{
    while (gw_traces_keep(k->store, t, rows, n) < 0)
        if (!make_room(k, t))
            return false;
    return true;
}

/* How many rows were kept: those that stand before the first for which there is no room. */
static uint32_t keep(struct taking_up *k, struct gw_trace *t, struct gw_batch *b)
{
    uint32_t *rows = gw_arena_alloc(&k->rows, (b->n_rows + 1) * sizeof(*rows)), at = 0, end;

    for (uint32_t i = 0; rows && i < b->n_rows; i++)
        rows[i] = i;
    gw_traces_begin(k->store, b);
    for (; rows && at < b->n_rows; at = end) {
        for (end = at + 1; end < b->n_rows && b->scope[end] == b->scope[at];)
            end++;
        if (!keep_run(k, t, rows + at, end - at))
            break;
    }
    gw_traces_end(k->store);
    return at;
}

/* It alone is more than there is room for. */
static void take_rest(struct taking_up *k, struct gw_trace *t, struct gw_batch *b, uint32_t at)
{
    struct gw_view v;

    gw_view_init(&v, b, k->out->arena);
    for (uint32_t row = 0; row < at; row++)
        v.failed |= gw_view_remove(&v, row) < 0;
    k->s->ops->overflow(k->s->self, t, &v, k->now_ns, k->out);
}

static bool take_batch(struct taking_up *k, const struct gw_spooled *part, struct gw_batch *b)
{
    struct gw_trace *t = open_trace(k, part);
    uint32_t n = t ? keep(k, t, b) : 0;

    if (k->out)
        gw_found(k->out, b->n_rows);
    if (n < b->n_rows && k->out)
        take_rest(k, t, b, n);
    gw_arena_reset(&k->rows, 1 << 20);
    return n == b->n_rows || k->out;
}

static bool take_part(void *arg, const struct gw_spooled *part)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    struct taking_up *k = arg;
    struct gw_batch *b = gw_batch_pool_get(k->s->pool, GW_TRACES);
    struct gw_ref at;
    bool ok;

    k->store = k->s->ops->store(k->s->self);
    ok = b && k->store && gw_batch_append(b, part->spans, &at) == 0 &&
         gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) == 0 && take_batch(k, part, b);
    if (b)
        (void)gw_batch_unref(b);
    return ok;
}

void gw_spooler_take_up(struct gw_spooler *s, void *arg, struct gw_ports *out)
{
    struct taking_up k = {.s = s, .out = out, .arg = arg, .now_ns = gw_mono_ns(s->ctx->env)};
    const struct gw_spool_visitor v = {.arg = &k, .note = take_note, .part = take_part};

    if (s->is_taken_up)
        return;
    s->is_taken_up = true;
    if (!s->ctx->shared || s->ctx->host->for_replay)
        return;
    gw_arena_init(&k.rows, 64 << 10, 256 << 20);
    gw_spool_take_up(s->ctx->shared, s->ctx, &v);
    if (out)
        s->ops->flush(s->self, out);
    gw_arena_clear(&k.rows);
}
