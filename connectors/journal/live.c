/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows at the head as they were decoded in front: while a worker has a block's batch, its lanes hand that over instead
 * of bytes that would be decoded once more.
 *
 *   block   ─► frames 3 17 40         partition of each row 17 3 3 40 17 …, what did not come here: NOT_HERE
 *   link    ─► batch                  one reference for each worker that reads
 *   local   live: link ─► link ─►     the oldest first; what would be more than live_bytes goes as bytes
 *
 * A frame goes this way when its turn comes and its batch is there; those of one block that may go together are one
 * group: requests of one frame each, with one verdict for all. What is refused goes again as bytes.
 *
 * Threads   a block's rows are written before it is submitted; a link is its worker's
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

enum { NOT_HERE = 0xff };

/* ---- what is kept ------------------------------------------------------------------------------------------- */

static void release(struct block_link *k)
{
    struct gw_batch *batch = k->batch;
    struct block *b = k->block;

    if (!batch)
        return;
    k->batch = NULL;
    if (atomic_fetch_sub_explicit(&b->n_live, 1, memory_order_acq_rel) == 1)
        gw_credit_drain(b->journal->memory, b->live_charged);
    (void)gw_batch_unref(batch);
}

/* Rows that somebody waits for have paid for their payload, as long as the batch is there. */
static uint64_t to_charge(const struct gw_batch *b)
{
    bool paid = b->n_segments && b->segments[0].ticket;

    return b->column_bytes + (paid || !b->payload ? 0 : b->payload->n) + b->n_rows;
}

static unsigned count_takers(const struct journal *j)
{
    unsigned n = 0;

    for (unsigned i = 0; i < j->ctx.n_workers; i++)
        n += atomic_load_explicit(&j->locals[i].takes_live, memory_order_relaxed);
    return n;
}

static bool is_worth_it(const struct journal *j, const struct gw_view *v)
{
    uint64_t most = atomic_load_explicit(&j->live_bytes, memory_order_relaxed);

    return v->n_patches == 0 && v->batch->column_bytes + v->batch->payload->n <= most && count_takers(j) > 0;
}

static uint8_t *copy_partitions(const struct gw_view *v, const uint8_t *partitions, int all)
{
    uint32_t n = v->batch->n_rows;
    uint8_t *p = malloc(n);

    if (!p)
        return NULL;
    if (v->n_rows < n || all >= 0)
        memset(p, v->n_rows < n ? NOT_HERE : all, n);
    else
        memcpy(p, partitions, n);
    for (uint32_t r = gw_view_next(v, 0); v->n_rows < n && r < n; r = gw_view_next(v, r + 1))
        p[r] = all >= 0 ? (uint8_t)all : partitions[r];
    return p;
}

void gw_journal_live_keep(struct block *b, const struct gw_view *v, const uint8_t *partitions, int all)
{
    struct journal *j = b->journal;
    uint64_t bytes = to_charge(v->batch);

    if (!is_worth_it(j, v) || !gw_credit_take(j->memory, bytes))
        return;
    b->row_partitions = copy_partitions(v, partitions, all);
    if (!b->row_partitions) {
        gw_credit_give(j->memory, bytes);
        return;
    }
    b->live_charged = bytes;
    b->live_bytes = v->batch->column_bytes + v->batch->payload->n;
    for (unsigned i = 0; i < j->ctx.n_workers; i++) {
        b->links[i].block = b;
        b->links[i].batch = gw_batch_ref(v->batch);
    }
    atomic_init(&b->n_live, j->ctx.n_workers);
}

void gw_journal_live_drop(struct block *b)
{
    for (unsigned i = 0; b->row_partitions && i < b->journal->ctx.n_workers; i++)
        release(&b->links[i]);
    free(b->row_partitions);
    b->row_partitions = NULL;
}

void gw_journal_live_unwanted(struct block *b, unsigned worker)
{
    if (b->row_partitions)
        release(&b->links[worker]);
}

/* ---- a worker's --------------------------------------------------------------------------------------------- */

static void leave_first(struct local *l)
{
    struct block_link *k = l->live;
    struct block *b = k->block;

    l->live = k->next_live;
    if (!l->live)
        l->last_live = &l->live;
    l->held_live_bytes -= b->live_bytes;
    release(k);
    gw_journal_block_unref(b);
}

void gw_journal_live_clear(struct local *l)
{
    while (l->live)
        leave_first(l);
}

void gw_journal_live_add(struct local *l, struct block_link *k)
{
    uint64_t most = atomic_load_explicit(&l->journal->live_bytes, memory_order_relaxed);

    if (!k->batch)
        return;
    if (l->held_live_bytes + k->block->live_bytes > most) {
        release(k);
        return;
    }
    (void)gw_journal_block_ref(k->block);
    k->next_live = NULL;
    *(l->live ? l->last_live : &l->live) = k;
    l->last_live = &k->next_live;
    l->held_live_bytes += k->block->live_bytes;
}

/* Frames below are taken and sent, by this lane. Who keeps no rows sends at once, or what has piled up as bytes:
 * nothing stays for it to the next turn. */
static uint64_t passed(const struct lane *n)
{
    uint64_t seq = n->keeper ? n->next : UINT64_MAX;

    for (unsigned i = 0; n->keeper && n->n_unsent && i < JOURNAL_PARTITIONS; i++) {
        const struct taken *t = n->parts[i].unsent;

        if (t && t->block->frames[t->frame].seq < seq)
            seq = t->block->frames[t->frame].seq;
    }
    return seq;
}

static bool hands_over(const struct lane *n)
{
    return !n->only_bytes && (n->keeper || !atomic_load_explicit(&n->local->journal->in_order, memory_order_relaxed));
}

void gw_journal_live_trim(struct local *l)
{
    uint64_t least = UINT64_MAX;
    bool takes = false;

    for (unsigned i = 0; i < l->n_lanes; i++) {
        uint64_t seq = l->live ? passed(l->lanes[i]) : 0;

        takes |= hands_over(l->lanes[i]);
        least = seq < least ? seq : least;
    }
    if (takes != atomic_load_explicit(&l->takes_live, memory_order_relaxed))
        atomic_store_explicit(&l->takes_live, takes, memory_order_relaxed);
    while (l->live && block_end(l->live->block) <= least)
        leave_first(l);
}

/* ---- handing over ------------------------------------------------------------------------------------------- */

/* Frames of one block that go together. */
struct group {
    struct lane *lane;
    struct block_link *link;
    bool has[JOURNAL_PARTITIONS + 1];             /* rows of a partition; one more for what is not here */
    struct request *requests[JOURNAL_PARTITIONS]; /* by part */
    bool goes[JOURNAL_PARTITIONS];
    uint32_t n_frames, n_rows;
    uint64_t bytes;
};

/* The next of its partition, and nothing stands before it. Where a verdict may take its time, what has piled up goes as
 * one request, as bytes. */
static bool may_go(struct lane *n, const struct block *b, uint32_t frame)
{
    const struct part *p = part_of(n, b->frames[frame].partition);
    const struct taken *t = p->unsent;

    return t && t->block == b && t->frame == frame && !p->n_again && !p->alone &&
           (n->keeper || n->intake->many || !t->next) && gw_journal_may_send(n, p);
}

static void choose(struct group *g)
{
    const struct block *b = g->link->block;

    for (uint32_t i = 0; i < b->n_frames; i++) {
        const struct block_frame *f = &b->frames[i];

        if (!may_go(g->lane, b, i))
            continue;
        g->has[f->partition] = true;
        g->goes[f->partition & (g->lane->n_parts - 1)] = true;
        g->n_frames++;
        g->n_rows += f->rows;
        g->bytes += f->body.n;
    }
}

static void take_back(struct group *g)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        if (g->requests[i])
            gw_journal_request_undo(g->lane, &g->lane->parts[i], g->requests[i]);
}

static bool make_requests(struct group *g, uint32_t number)
{
    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        if (g->goes[i] && !(g->requests[i] = gw_journal_request_in_group(g->lane, &g->lane->parts[i], number))) {
            take_back(g);
            return false;
        }
    return true;
}

/* Which of the batch's rows. False: no memory. *ret NULL: all. */
static bool pick_rows(const struct group *g, const uint64_t **ret)
{
    const struct gw_batch *batch = g->link->batch;
    const uint8_t *partition = g->link->block->row_partitions;
    struct gw_buf *to = &g->lane->local->bitmap;
    size_t bytes = (batch->n_rows + 63) / 64 * sizeof(uint64_t);
    uint64_t *bits;

    *ret = NULL;
    if (g->n_rows == batch->n_rows)
        return true;
    gw_buf_reset(to);
    if (gw_buf_reserve(to, bytes) < 0)
        return false;
    bits = (uint64_t *)(void *)to->p;
    memset(bits, 0, bytes);
    for (uint32_t r = 0; r < batch->n_rows; r++) {
        unsigned p = partition[r] == NOT_HERE ? JOURNAL_PARTITIONS : partition[r];

        bits[r / 64] |= (uint64_t)g->has[p] << (r % 64);
    }
    *ret = bits;
    return true;
}

static int submit(struct group *g, struct gw_verdict *ret)
{
    struct lane *n = g->lane;
    struct gw_live live = {.batch = g->link->batch,
                           .n_rows = g->n_rows,
                           .bytes = g->bytes,
                           .meta = g->link->block->meta,
                           .ack = {.slot = JOURNAL_PARTITIONS, .stream = n->next_group}};
    uint32_t before;
    int rc;

    if (!pick_rows(g, &live.kept) || !make_requests(g, n->next_group))
        return -ENOMEM;
    n->next_group += 1 + (n->next_group == UINT32_MAX); /* 0: none */
    n->n_under_way++;
    n->is_inside = true;
    before = gw_flight_enter(n->scope);
    rc = n->intake->ops->hand_over(n->intake, &live, ret);
    (void)gw_flight_enter(before);
    n->is_inside = false;
    if (rc == 0) {
        gw_metric_add(n->local->journal->handed, g->n_frames);
        return 0;
    }
    n->n_under_way--;
    take_back(g);
    return rc;
}

/* False: the lane has to pause. */
static bool hand_over(struct lane *n, struct block_link *link)
{
    struct gw_verdict v = {.grpc_status = 0};
    struct group g = {.lane = n, .link = link};
    int rc;

    choose(&g);
    rc = g.n_frames ? submit(&g, &v) : 0;
    n->only_bytes |= rc == -EOPNOTSUPP;
    if (rc == 0 || rc == -EOPNOTSUPP || rc == -ENOMEM)
        return true;
    gw_journal_pause(n, v.retry_after_ns);
    return false;
}

bool gw_journal_live_send(struct lane *n)
{
    for (struct block_link *k = n->local->live; k && block_end(k->block) <= n->next && hands_over(n); k = k->next_live)
        if (k->block->signal == n->signal && !hand_over(n, k))
            return false;
    return true;
}
