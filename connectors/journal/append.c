/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exporter's side: a view becomes frames, one for each partition that its rows belong to, and one commit. Its
 * tickets are settled when that is done: on the log's writer thread.
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"
#include "otlp-proto/encode.h"

enum { UNAVAILABLE = 14, ALL_PENDING_BYTES = 64 << 20, TICK_BYTES = 1, MAX_BYTES = 1 << 30, ENVELOPE_BYTES = 1024 };

static const char no_memory[] = "data refused due to high memory usage";

/* ---- what comes back -------------------------------------------------------------------------------------- */

static const char *why_not(int rc)
{
    switch (-rc) {
    case ENOSPC:
        return "the journal's disk is full";
    case EDQUOT:
        return "the journal is full";
    case ESHUTDOWN:
        return "the gateway is stopping";
    default:
        return "the journal could not be written";
    }
}

static void settle(struct block *b, enum gw_outcome outcome, const char *message)
{
    for (uint32_t i = 0; i < b->n_receipts; i++) {
        if (outcome == GW_REFUSED)
            gw_ticket_fail_with(b->receipts[i].ticket, UNAVAILABLE, 0);
        gw_ticket_settle(b->receipts[i].ticket, b->receipts[i].rows, outcome, message);
        (void)gw_ticket_unref(b->receipts[i].ticket);
    }
    b->n_receipts = 0;
}

/* Every worker hears of every commit, its own frames in it or not: that is how it knows that nothing is missing. */
static void hand_over(struct block *b)
{
    struct journal *j = b->journal;

    for (unsigned i = 0; i < j->ctx.n_workers; i++) {
        struct local *l = &j->locals[i];

        if (!atomic_load(&l->open) || !atomic_load(&l->reads)) {
            gw_journal_live_unwanted(b, i);
            continue;
        }
        b->links[i].block = gw_journal_block_ref(b);
        if (gw_inbox_push(&l->committed, &b->links[i].item))
            gw_loop_wake(l->loop);
    }
}

static uint64_t rows_of(const struct block *b)
{
    uint64_t rows = 0;

    for (uint32_t i = 0; i < b->n_frames; i++)
        rows += b->frames[i].rows;
    return rows;
}

/* On the writer's thread. */
static void on_done(struct gw_log_commit *c, int rc)
{
    struct block *b = (struct block *)c;
    struct journal *j = b->journal;
    unsigned s = (unsigned)b->signal >> 1;

    for (uint32_t i = 0; i < b->n_frames; i++) {
        b->frames[i].seq = c->frames[i].seq;
        b->frames[i].row = c->frames[i].row;
    }
    gw_journal_parting_done(j, c, rc);
    gw_journal_claim_done(b->claim, c->frames[0].time_ns, rc < 0 ? why_not(rc) : NULL);
    gw_metric_add(rc < 0 ? j->refused[s] : j->appended[s], rows_of(b));
    if (rc < 0) {
        settle(b, GW_REFUSED, why_not(rc));
    } else {
        settle(b, GW_STORED, NULL);
        hand_over(b);
    }
    (void)atomic_fetch_sub(&j->pending_bytes, b->charged_bytes);
    (void)atomic_fetch_sub(&b->home->n_pending, 1);
    gw_journal_block_unref(b);
}

/* ---- what goes out ---------------------------------------------------------------------------------------- */

struct piece {
    size_t at, n;
    uint32_t rows;
    uint16_t partition;
};

/* Which rows each partition gets, as bitmaps one behind the other. NULL: no memory. */
static uint64_t *sort_rows(const struct gw_view *v, const uint8_t *partition, uint32_t *ret_rows)
{
    uint32_t words = (v->batch->n_rows + 63) / 64;
    uint64_t *kept = gw_arena_zalloc(v->arena, (size_t)JOURNAL_PARTITIONS * words * sizeof(*kept));

    memset(ret_rows, 0, JOURNAL_PARTITIONS * sizeof(*ret_rows));
    for (uint32_t r = gw_view_next(v, 0); kept && r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        kept[partition[r] * words + r / 64] |= UINT64_C(1) << (r % 64);
        ret_rows[partition[r]]++;
    }
    return kept;
}

/* The pieces of a block as they are written, into what they will be submitted from. */
struct writing {
    struct gw_payload *to;
    struct gw_buf at;    /* over its memory: never grows by itself */
    struct claim *claim; /* or NULL */
};

static void look_over(struct writing *w)
{
    w->at = (struct gw_buf){.p = w->to->p, .n = w->to->n, .cap = w->to->cap, .max_bytes = w->to->cap};
}

static uint64_t wire_bytes(const struct gw_view *v)
{
    const struct gw_batch *b = v->batch;
    uint64_t wire = 0;

    for (uint32_t i = 0; i < b->n_segments; i++)
        wire += b->segments[i].wire.len;
    return wire * v->n_rows / (b->n_rows ? b->n_rows : 1);
}

/* About as much as the block before was longer than its rows had been: each piece repeats envelopes. */
static bool begin_writing(struct local *l, const struct gw_view *v, struct writing *w)
{
    uint64_t wire = wire_bytes(v), guess = wire + wire / 64 * l->more_64ths + ENVELOPE_BYTES;

    w->to = guess < MAX_BYTES ? gw_payload_new(guess) : NULL;
    if (w->to)
        look_over(w);
    return w->to != NULL;
}

static void end_writing(struct local *l, const struct gw_view *v, struct writing *w)
{
    uint64_t wire = wire_bytes(v) / 64 + 1, more = w->to->n / wire;

    l->more_64ths = (uint32_t)(more > 64 ? more - 64 : 0) + 2;
    if (l->more_64ths > 64)
        l->more_64ths = 64;
}

static int write_more(struct writing *w, const struct gw_view *v)
{
    int rc = gw_encode(v, &w->at);

    while (rc == -E2BIG && w->to->cap < MAX_BYTES) {
        if (gw_payload_reserve(w->to, (size_t)w->to->cap - w->to->n + 1) < 0)
            return -ENOMEM;
        look_over(w);
        rc = gw_encode(v, &w->at);
    }
    w->to->n = rc == 0 ? (uint32_t)w->at.n : w->to->n;
    return rc;
}

/* One partition's rows, behind what is there. */
static int encode(struct writing *w, const struct gw_view *v, unsigned partition, struct piece *ret)
{
    int rc;

    *ret = (struct piece){.at = w->to->n, .rows = v->n_rows, .partition = (uint16_t)partition};
    rc = write_more(w, v);
    ret->n = w->to->n - ret->at;
    return rc;
}

static int cut_apart(struct writing *w, const struct gw_view *v, const uint8_t *partition, struct piece *ret)
{
    uint32_t rows[JOURNAL_PARTITIONS], words = (v->batch->n_rows + 63) / 64;
    uint64_t *kept = sort_rows(v, partition, rows);
    int n = 0, rc = kept ? 0 : -ENOMEM;

    for (unsigned p = 0; p < JOURNAL_PARTITIONS && rc == 0; p++) {
        struct gw_view some = *v;

        if (rows[p] == 0)
            continue;
        some.kept = kept + p * words;
        some.n_rows = rows[p];
        rc = encode(w, &some, p, &ret[n++]);
    }
    return rc < 0 ? rc : n;
}

/* Where the rows of a view go. */
struct places {
    uint8_t *of_row; /* but when all have one */
    int all;         /* or -1 */
};

static bool find_places(struct local *l, const struct gw_view *v, struct places *ret)
{
    ret->of_row = gw_arena_alloc(v->arena, v->batch->n_rows + 1);
    if (!ret->of_row)
        return false;
    ret->all = gw_journal_partition(l->journal, v, l->index + (unsigned)l->n_appends++, ret->of_row);
    return true;
}

/* Requests that go to one place as they came are not written anew: their payload is the frame. Not one that holds much
 * room besides, for the head keeps it. */
static bool is_frame_as_it_is(const struct gw_view *v, const struct places *to)
{
    return to->all >= 0 && gw_view_is_whole_payload(v) && v->batch->payload->cap / 2 <= v->batch->payload->n;
}

/* Returns how many pieces, or a negative errno. */
static int cut(const struct gw_view *v, struct writing *w, const struct places *to, struct piece *ret)
{
    int rc;

    if (to->all < 0)
        return cut_apart(w, v, to->of_row, ret);
    rc = encode(w, v, (unsigned)to->all, ret);
    return rc < 0 ? rc : 1;
}

/* The same. Its bytes are in w->to, whose reference is the caller's, also on failure. */
static int write_pieces(struct local *l, const struct gw_view *v, struct writing *w, const struct places *to,
                        struct piece *ret)
{
    int n;

    if (is_frame_as_it_is(v, to)) {
        w->to = gw_payload_ref(v->batch->payload);
        *ret = (struct piece){.n = w->to->n, .rows = v->n_rows, .partition = (uint16_t)to->all};
        return 1;
    }
    n = begin_writing(l, v, w) ? cut(v, w, to, ret) : -ENOMEM;
    if (n > 0)
        end_writing(l, v, w);
    return n;
}

static struct gw_slice meta_of(const struct block *b, size_t from)
{
    struct gw_slice all = gw_buf_slice(&b->meta_bytes);

    return gw_slice_of(all.p + from, all.n - from);
}

/* Takes the payload's reference; and the claim, when it gives a block. */
static struct block *make_block(struct local *l, struct gw_view *v, const struct writing *w, const struct piece *pieces,
                                unsigned n)
{
    struct journal *j = l->journal;
    struct block *b = gw_journal_block_of(j, n, v->batch->n_segments, w->to);
    size_t n_ids;

    if (!b)
        return NULL;
    b->home = l;
    b->signal = v->batch->signal;
    b->meta = v->meta ? gw_meta_ref(v->meta) : NULL;
    if (w->claim)
        gw_meta_write_ids(w->claim->ids, w->claim->n * sizeof(struct request_id), &b->meta_bytes);
    n_ids = b->meta_bytes.n;
    if (b->meta)
        gw_meta_write(b->meta, &b->meta_bytes);
    b->commit.frames = calloc(n, sizeof(*b->commit.frames));
    if (!b->commit.frames || b->meta_bytes.failed) {
        b->n_receipts = 0;
        gw_journal_block_unref(b);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        b->frames[i] = (struct block_frame){.time_ns = v->batch->received_ns,
                                            .rows = pieces[i].rows,
                                            .partition = pieces[i].partition,
                                            .body = {b->payload->p + pieces[i].at, pieces[i].n}};
        b->commit.frames[i] = (struct gw_log_frame){.time_ns = b->frames[i].time_ns,
                                                    .rows = pieces[i].rows,
                                                    .topic = (uint16_t)((unsigned)b->signal >> 1),
                                                    .partition = pieces[i].partition,
                                                    .signal = (uint8_t)b->signal,
                                                    .meta = meta_of(b, i == 0 ? 0 : n_ids),
                                                    .body = b->frames[i].body};
    }
    b->n_receipts = gw_view_receipts(v, b->receipts);
    b->claim = w->claim;
    return b;
}

static void refuse(struct gw_view *v, struct gw_ports *out, const char *reason, const char *message)
{
    gw_view_settle_all(v, out->ledger, GW_REFUSED, reason, message);
    gw_view_clear(v);
}

/* ---- the journal's time ----------------------------------------------------------------------------------- */

/* It goes on by itself where the wall clock has been set back. */
static uint64_t time_for(const struct journal *j, uint64_t wall_ns, uint64_t mono_ns)
{
    uint64_t on = j->last_ns + (mono_ns > j->last_mono_ns ? mono_ns - j->last_mono_ns : 0);

    return j->last_ns == 0 || wall_ns >= j->last_ns ? wall_ns : on;
}

uint64_t gw_journal_now_ns(struct journal *j)
{
    uint64_t now;

    (void)pthread_mutex_lock(&j->order);
    now = time_for(j, gw_wall_ns(j->ctx.env), gw_mono_ns(j->ctx.env));
    (void)pthread_mutex_unlock(&j->order);
    return now;
}

/* Frames lie in the log in the order of their times: who reads goes by it (keep.c), whatever part of them it reads. */
static void submit_in_order(struct journal *j, struct block *b)
{
    uint64_t mono = gw_mono_ns(j->ctx.env), ns;

    (void)pthread_mutex_lock(&j->order);
    ns = time_for(j, b->frames[0].time_ns, mono);
    j->last_ns = ns;
    j->last_mono_ns = mono;
    for (uint32_t i = 0; i < b->n_frames; i++)
        b->frames[i].time_ns = b->commit.frames[i].time_ns = ns;
    gw_log_submit(j->log, &b->commit);
    (void)pthread_mutex_unlock(&j->order);
}

static void submit(struct local *l, struct block *b)
{
    b->commit.n_frames = b->n_frames;
    b->commit.sync = l->journal->sync;
    b->commit.done = on_done;
    gw_journal_parting_submit(l->journal, &b->commit);
    (void)atomic_fetch_add(&l->n_pending, 1);
    (void)atomic_fetch_add(&l->journal->pending_bytes, b->charged_bytes);
    submit_in_order(l->journal, b);
}

void gw_journal_append(struct local *l, struct gw_view *v, struct gw_ports *out)
{
    struct piece pieces[JOURNAL_PARTITIONS];
    struct writing w = {0};
    struct places places;
    struct block *b;
    int n;

    if (atomic_load(&l->journal->pending_bytes) > ALL_PENDING_BYTES) {
        refuse(v, out, "journal_slow", "the journal's disk is too slow");
        return;
    }
    if (!gw_journal_dedup(l->journal, v, out, &w.claim)) {
        gw_journal_claim_done(w.claim, 0, no_memory);
        refuse(v, out, "memory_limit", no_memory);
        return;
    }
    if (v->n_rows == 0) {
        gw_journal_claim_done(w.claim, 0, NULL);
        gw_view_clear(v);
        return;
    }
    n = find_places(l, v, &places) ? write_pieces(l, v, &w, &places, pieces) : -ENOMEM;
    if (n <= 0)
        (void)gw_payload_unref(w.to);
    b = n > 0 ? make_block(l, v, &w, pieces, (unsigned)n) : NULL;
    if (!b) {
        gw_journal_claim_done(w.claim, 0, no_memory);
        refuse(v, out, "memory_limit", no_memory);
        return;
    }
    gw_journal_live_keep(b, v, places.of_row, places.all);
    gw_view_clear(v);
    submit(l, b);
}

bool gw_journal_tick(struct local *l, enum gw_signal signal, uint16_t partition, uint64_t time_ns)
{
    struct block *b = gw_journal_block_new(l->journal, 1, 1, TICK_BYTES);

    if (!b)
        return false;
    b->home = l;
    b->signal = signal;
    b->frames[0] = (struct block_frame){.time_ns = time_ns, .partition = partition, .body = {b->payload->p, 0}};
    b->commit.frames = calloc(1, sizeof(*b->commit.frames));
    if (!b->commit.frames) {
        gw_journal_block_unref(b);
        return false;
    }
    b->commit.frames[0] = (struct gw_log_frame){.time_ns = time_ns,
                                                .topic = (uint16_t)((unsigned)signal >> 1),
                                                .partition = partition,
                                                .signal = (uint8_t)signal,
                                                .body = b->frames[0].body};
    submit(l, b);
    return true;
}
