/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

/* Without a payload. */
static struct block *make(struct journal *j, uint32_t n_frames, uint32_t n_receipts, size_t bytes)
{
    unsigned n_links = n_receipts ? j->ctx.n_workers : 0; /* what is read from the log goes to one lane */
    struct block *b = calloc(1, sizeof(*b) + n_frames * sizeof(struct block_frame) +
                                    n_receipts * sizeof(struct gw_receipt) + n_links * sizeof(struct block_link));

    if (!b)
        return NULL;
    b->frames = (struct block_frame *)(b + 1);
    b->receipts = (struct gw_receipt *)(b->frames + n_frames);
    b->links = (struct block_link *)(b->receipts + n_receipts);
    b->refs = 1;
    b->journal = j;
    b->n_frames = n_frames;
    gw_buf_init(&b->meta_bytes, GW_LOG_MAX_META_BYTES);
    if (!gw_credit_take(j->memory, bytes)) {
        free(b);
        return NULL;
    }
    b->charged_bytes = bytes;
    return b;
}

struct block *gw_journal_block_new(struct journal *j, uint32_t n_frames, uint32_t n_receipts, size_t bytes)
{
    struct block *b = make(j, n_frames, n_receipts, bytes);

    if (b && !(b->payload = gw_payload_new(bytes))) {
        gw_journal_block_unref(b);
        return NULL;
    }
    return b;
}

struct block *gw_journal_block_of(struct journal *j, uint32_t n_frames, uint32_t n_receipts, struct gw_payload *pl)
{
    struct block *b = make(j, n_frames, n_receipts, pl->n);

    if (b)
        b->payload = pl;
    else
        (void)gw_payload_unref(pl);
    return b;
}

struct block *gw_journal_block_ref(struct block *b)
{
    (void)atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void gw_journal_block_unref(struct block *b)
{
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    gw_journal_live_drop(b);
    gw_credit_drain(b->journal->memory, b->charged_bytes);
    (void)gw_payload_unref(b->payload);
    (void)gw_meta_unref(b->meta);
    gw_buf_clear(&b->meta_bytes);
    free(b->commit.frames);
    free(b);
}

/* ---- the head --------------------------------------------------------------------------------------------- */

static void leave_first(struct local *l)
{
    struct block *b = l->head[l->head_first++ % l->head_cap];

    l->head_bytes -= b->charged_bytes;
    gw_journal_block_unref(b);
}

void gw_journal_head_clear(struct local *l)
{
    while (l->head_first < l->head_end)
        leave_first(l);
}

void gw_journal_head_trim(struct local *l, uint64_t seq)
{
    while (l->head_first < l->head_end && block_end(l->head[l->head_first % l->head_cap]) <= seq)
        leave_first(l);
}

static bool grow(struct local *l)
{
    uint64_t cap = l->head_cap ? 2 * l->head_cap : 64;
    struct block **ring = malloc(cap * sizeof(struct block *));

    if (!ring)
        return false;
    for (uint64_t i = l->head_first; i < l->head_end; i++)
        ring[i % cap] = l->head[i % l->head_cap];
    free(l->head);
    l->head = ring;
    l->head_cap = cap;
    return true;
}

void gw_journal_head_add(struct local *l, struct block *b)
{
    struct block *newest = l->head_end > l->head_first ? l->head[(l->head_end - 1) % l->head_cap] : NULL;

    /* Between them lies something that nobody brought here: the lanes read it from the log. */
    if (newest && block_first(b) != block_end(newest))
        gw_journal_head_clear(l);
    if (l->head_end - l->head_first == l->head_cap && !grow(l)) {
        gw_journal_head_clear(l);
        gw_journal_block_unref(b);
        return;
    }
    l->head[l->head_end++ % l->head_cap] = b;
    l->head_bytes += b->charged_bytes;
    while (l->head_bytes > atomic_load_explicit(&l->journal->head_bytes, memory_order_relaxed) &&
           l->head_first < l->head_end)
        leave_first(l);
}
