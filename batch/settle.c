/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/settle.h"

static void tell(const struct gw_view *v, struct gw_ledger *l, uint32_t rows, uint32_t first, enum gw_outcome outcome,
                 const char *reason)
{
    if (l && l->settled)
        l->settled(l, v, rows, outcome, reason);
    if (l && l->sample)
        l->sample(l, v, first, outcome, reason);
}

void gw_view_settle_row(struct gw_view *v, struct gw_ledger *l, uint32_t row, enum gw_outcome outcome,
                        const char *reason, const char *message)
{
    struct gw_ticket *t;

    if (!gw_view_has(v, row) || gw_view_remove(v, row) < 0)
        return;
    t = v->batch->n_segments ? v->batch->segments[gw_batch_segment_of(v->batch, row)].ticket : NULL;
    tell(v, l, 1, row, outcome, reason);
    if (t)
        gw_ticket_settle(t, 1, outcome, message);
}

/* Takes the rows of a bitmap out of a kept bitmap that exists. */
static uint32_t cut(struct gw_view *v, const uint64_t *rows)
{
    uint32_t words = (v->batch->n_rows + 63) / 64, gone = 0;

    for (uint32_t w = 0; w < words; w++) {
        gone += (uint32_t)__builtin_popcountll(v->kept[w] & rows[w]);
        v->kept[w] &= ~rows[w];
    }
    v->n_rows -= gone;
    return gone;
}

/* The first row that is both kept and named, or batch->n_rows. */
static uint32_t first_of(const struct gw_view *v, const uint64_t *rows)
{
    uint32_t n = v->batch->n_rows, r = gw_view_next(v, 0);

    while (r < n) {
        uint64_t bits = (v->kept ? v->kept[r / 64] : UINT64_MAX) & rows[r / 64] & UINT64_MAX << (r % 64);

        if (bits) {
            r = r / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
            return r < n ? r : n;
        }
        r = gw_view_next(v, r / 64 * 64 + 64);
    }
    return n;
}

void gw_view_settle_rows(struct gw_view *v, struct gw_ledger *l, const uint64_t *rows, enum gw_outcome outcome,
                         const char *reason, const char *message)
{
    const struct gw_batch *b = v->batch;
    uint32_t first = first_of(v, rows), gone;
    uint32_t *before;

    if (first == b->n_rows)
        return;
    before = gw_arena_alloc(v->arena, (b->n_segments + 1) * sizeof(*before));
    if (!before) {
        v->failed = true;
        return;
    }
    for (uint32_t i = 0; i < b->n_segments; i++)
        before[i] = gw_view_count(v, b->segments[i].rows);
    if (gw_view_remove(v, first) < 0) /* makes the bitmap */
        return;
    gone = 1 + cut(v, rows);
    tell(v, l, gone, first, outcome, reason);
    for (uint32_t i = 0; i < b->n_segments; i++) {
        uint32_t n = before[i] - gw_view_count(v, b->segments[i].rows);

        if (n && b->segments[i].ticket)
            gw_ticket_settle(b->segments[i].ticket, n, outcome, message);
    }
}

void gw_view_settle_all(struct gw_view *v, struct gw_ledger *l, enum gw_outcome outcome, const char *reason,
                        const char *message)
{
    const struct gw_batch *b = v->batch;

    if (v->n_rows == 0)
        return;
    tell(v, l, v->n_rows, gw_view_next(v, 0), outcome, reason);
    for (uint32_t i = 0; i < b->n_segments; i++) {
        uint32_t n = b->segments[i].ticket ? gw_view_count(v, b->segments[i].rows) : 0;

        if (n)
            gw_ticket_settle(b->segments[i].ticket, n, outcome, message);
    }
    v->n_rows = 0;
}

uint32_t gw_view_receipts(const struct gw_view *v, struct gw_receipt *ret)
{
    const struct gw_batch *b = v->batch;
    uint32_t n_ret = 0;

    for (uint32_t i = 0; i < b->n_segments; i++) {
        uint32_t n = b->segments[i].ticket ? gw_view_count(v, b->segments[i].rows) : 0;

        if (n)
            ret[n_ret++] = (struct gw_receipt){gw_ticket_ref(b->segments[i].ticket), n};
    }
    return n_ret;
}
