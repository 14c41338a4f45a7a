/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload: an instance takes over what its predecessor keeps. Policies that ask something else of spans ask those that
 * wait when their trace is looked at the next time, one trace at a time, so that no turn is for all of them.
 */
#include <errno.h>

#include "otlp-proto/decode.h"
#include "processors/tail_sampling/group.h"
#include "processors/tail_sampling/sampler.h"

enum { PIECE_SPANS = 4096, PIECE_BYTES = 2 << 20 };

/* ---- asking again ----------------------------------------------------------------------------------------- */

/* As a request that has all of them: what each of theirs had around them is not known any more. */
static bool count_bytes(struct gw_trace_facts *f, const struct gw_batch *b, struct gw_arena *arena)
{
    uint32_t *rows = gw_arena_alloc(arena, (b->n_rows + 1) * sizeof(*rows));
    struct gw_trace_bytes bytes;

    for (uint32_t i = 0; rows && i < b->n_rows; i++)
        rows[i] = i;
    if (!rows)
        return false;
    bytes = gw_trace_bytes_of(b, rows, b->n_rows);
    f->wire_bytes += bytes.bare;
    f->framed_bytes += bytes.framed;
    return true;
}

static bool ask(struct gw_tail *s, struct gw_tail_facts *t, struct gw_slice bytes, struct gw_arena *arena)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    const uint64_t(*bits)[GW_FACT_WORDS] = NULL;
    bool counts = s->counts_bytes && t->lacks_bytes, ok = false;
    struct gw_batch *b = gw_batch_pool_get(s->pool, GW_TRACES);
    struct gw_view v;
    struct gw_ref at;

    if (!b)
        return false;
    if (gw_batch_append(b, bytes, &at) == 0 && gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) == 0) {
        gw_view_init(&v, b, arena);
        bits = gw_policies_ask(s->policies, &v);
        for (uint32_t row = 0; bits && row < b->n_rows; row++)
            gw_policies_note(s->policies, &t->f, &v, row, bits[row]);
        ok = bits && (!counts || count_bytes(&t->f, b, arena));
        gw_view_clear(&v);
    }
    (void)gw_batch_unref(b);
    return ok;
}

/* Bytes that were counted as they came stay. Without memory it is decided by what could be asked. */
void gw_tail_ask_again(struct gw_tail *s, struct gw_trace *t, struct gw_arena *arena)
{
    struct gw_tail_facts *f = gw_tail_facts(t);
    struct gw_traces_cursor at = {0};
    struct gw_buf piece;
    bool ok = true;
    uint32_t n;

    if (f->generation == s->generation && !(s->counts_bytes && f->lacks_bytes))
        return;
    f->generation = s->generation;
    if (s->counts_bytes && f->lacks_bytes)
        f->f.wire_bytes = f->f.framed_bytes = 0;
    f->f = (struct gw_trace_facts){.wire_bytes = f->f.wire_bytes, .framed_bytes = f->f.framed_bytes};
    gw_buf_init(&piece, 1u << 30);
    do {
        gw_buf_reset(&piece);
        ok = gw_traces_write_piece(s->store, t, &at, PIECE_SPANS, PIECE_BYTES, &piece, &n) == 0 &&
             (n == 0 || ask(s, f, gw_buf_slice(&piece), arena));
    } while (ok && n);
    f->lacks_bytes &= !s->counts_bytes;
    gw_buf_clear(&piece);
    if (!ok)
        gw_log(&s->ctx.logger, GW_LOG_WARN, "out of memory: a trace that waits is decided by some of its spans");
}

/* ---- a reload --------------------------------------------------------------------------------------------- */

#define SWAP(a, b)                                                                                                     \
    do {                                                                                                               \
        __typeof__(a) c = a;                                                                                           \
        a = b;                                                                                                         \
        b = c;                                                                                                         \
    } while (0)

void gw_tail_limit(struct gw_tail *s)
{
    uint64_t bytes = gw_traces_held_bytes(s->store), n = gw_traces_n(s->store);
    bool more_bytes = !s->log && s->max_bytes && bytes > s->max_bytes, more_traces = !s->log && n > s->max_traces;

    s->shrinks = more_bytes || more_traces;
    gw_traces_set_limits(s->store, more_bytes ? bytes : gw_tail_store_bytes(s),
                         more_traces ? n
                         : s->log    ? 0
                                     : s->max_traces);
}

/* Something stands there when there was no memory for it. */
static void swap_body(struct gw_tail *s, struct gw_tail *old)
{
    SWAP(s->payload, old->payload);
    SWAP(s->body, old->body);
    SWAP(s->n_parts, old->n_parts);
    SWAP(s->n_spans, old->n_spans);
    SWAP(s->receiver, old->receiver);
    SWAP(s->oldest_ns, old->oldest_ns);
    memcpy(s->parts, old->parts, sizeof(s->parts));
}

/* The number of the reasons is in every remembered decision: the table goes along. */
int gw_tail_adopt(void *self, void *old_self)
{
    struct gw_tail *s = self, *old = old_self;

    if (gw_spooler_adopt(&s->spooler, &old->spooler, old->log != NULL) < 0)
        return -ENOTSUP;
    SWAP(s->store, old->store);
    SWAP(s->log, old->log);
    SWAP(s->passes, old->passes);
    SWAP(s->reasons, old->reasons);
    SWAP(s->leaving, old->leaving);
    SWAP(s->leaving_last, old->leaving_last);
    SWAP(s->left, old->left);
    SWAP(s->n_left, old->n_left);
    SWAP(s->n_leaving, old->n_leaving);
    SWAP(s->leaving_bytes, old->leaving_bytes);
    swap_body(s, old);
    if (s->store) {
        gw_tail_limit(s);
        gw_traces_set_compress(s->store, s->conf->compress > 0);
    }
    gw_ids_adopt(s->kept, old->kept);
    gw_ids_adopt(s->gone, old->gone);
    if (s->links && old->links)
        gw_tail_links_adopt(s->links, old->links);
    gw_policies_adopt(s->policies, old->policies);
    s->generation = old->generation + (gw_policies_shape(s->policies) != gw_policies_shape(old->policies));
    SWAP(s->meter.shown_traces, old->meter.shown_traces);
    SWAP(s->meter.shown_bytes, old->meter.shown_bytes);
    return 0;
}
