/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A barrier becomes a commit, unless one is under way: then what it would have said goes with the next.
 *
 *   RESTS ─ save, cut ─► RECORD: the decisions are written ─► ROWS: kept rows and places ─► RESTS
 *              └ nothing was decided ────────────────────────────┘
 *
 * What a log could not take is tried again; then barriers go on, until too much is staged.
 */
#include "runtime/keep.h"

#include <stdlib.h>

enum { RETRY_NS = 100000000, MAX_STAGED_BYTES = 64 << 20, SNAP_BYTES = 8 << 20 };

static void submit_rows(struct keep *k);

static struct worker *worker_of(const struct keep *k)
{
    return k->in->worker;
}

static void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

void gw_keep_put_note(const struct gw_keep_note *n, uint8_t ret[GW_KEEP_NOTE_BYTES])
{
    const uint64_t v[] = {n->place.low_seq, n->place.next_seq, n->place.low_ns, n->stream, n->snap_seq, n->end_seq};

    put64(ret, GW_KEEP_VERSION);
    memcpy(ret + 8, n->log_id, sizeof(n->log_id));
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        put64(ret + 24 + 8 * i, v[i]);
}

/* ---- on the writer's thread ------------------------------------------------------------------------------- */

static void heard(struct keep *k, int rc)
{
    k->rc = rc;
    atomic_store(&k->is_heard, true);
    gw_loop_wake(worker_of(k)->loop);
}

static void on_record(struct gw_log_commit *c, int rc)
{
    heard((struct keep *)((char *)c - offsetof(struct keep, commit)), rc);
}

static void on_rows(void *arg, int rc)
{
    heard(arg, rc);
}

/* ---- a commit --------------------------------------------------------------------------------------------- */

/* Each has a frame of its own; what has nothing to say, none. */
static void submit_record(struct keep *k)
{
    uint64_t now = gw_wall_ns(worker_of(k)->engine->conf.env);
    unsigned n = 0;
    size_t at = 0;

    k->state = GW_KEEP_RECORD;
    for (unsigned i = 0; i < k->n_nodes; at = k->ends[i++]) {
        if (k->ends[i] - at <= sizeof(k->stream))
            continue;
        k->frames[n++] =
            (struct gw_log_frame){.time_ns = now,
                                  .rows = 1,
                                  .partition = (uint16_t)(worker_of(k)->index % GW_LOG_PARTITIONS),
                                  .meta = k->n_nodes > 1 ? gw_slice_cstr(k->all->of[i].record) : (struct gw_slice){0},
                                  .body = gw_slice_of(k->record.p + at, k->ends[i] - at)};
    }
    k->commit = (struct gw_log_commit){
        .frames = k->frames, .n_frames = n, .sync = gw_wal_syncs(k->all->wal), .done = on_record};
    atomic_store(&k->is_heard, false);
    gw_log_submit(k->all->decisions, &k->commit);
}

static void retry(struct keep *k)
{
    gw_metric_add(k->all->failed, 1);
    k->retry_ns = gw_loop_now_ns(worker_of(k)->loop) + RETRY_NS;
    gw_worker_arm(worker_of(k), RETRY_NS);
}

static void submit_rows(struct keep *k)
{
    unsigned n = 0;

    k->state = GW_KEEP_ROWS;
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++) {
        struct gw_keep_note *note = &k->notes[p];

        if (!(k->partitions >> p & 1))
            continue;
        note->stream = k->stream;
        note->snap_seq = k->snap_seq;
        note->end_seq = k->end_seq;
        gw_keep_put_note(note, k->bytes[p]);
        k->at[n++] = (struct gw_log_position){
            .consumer = k->all->consumer, .partition = p, .note = {k->bytes[p], GW_KEEP_NOTE_BYTES}};
    }
    atomic_store(&k->is_heard, false);
    if (gw_wal_stage_commit(k->stage, k->at, n, on_rows, k) < 0) {
        atomic_store(&k->is_heard, true);
        k->rc = -ENOMEM;
        retry(k);
    }
}

static void record_done(struct keep *k)
{
    uint64_t first = k->frames[0].seq;

    k->end_seq = k->frames[k->commit.n_frames - 1].seq;
    gw_metric_add(k->all->records, k->record.n);
    k->since_bytes += k->record.n;
    if (k->whole) {
        k->snap_bytes = k->record.n;
        k->since_bytes = 0;
        if (!k->has_begun)
            k->snap_seq = first;
        k->has_next_snap = k->has_begun;
        k->next_snap_seq = first;
        k->next_snap_ns = k->whole_ns;
        k->has_begun = true;
    }
    submit_rows(k);
}

/* What no worker needs of the decisions any more. */
static void forget_decisions(struct keep *k)
{
    struct gw_engine *e = worker_of(k)->engine;
    uint64_t least = UINT64_MAX;

    if (atomic_exchange(&k->all->snaps[worker_of(k)->index], k->snap_seq) == k->snap_seq)
        return;
    for (unsigned i = 0; i < e->n_workers; i++) {
        uint64_t snap = atomic_load(&k->all->snaps[i]);

        if (snap == UINT64_MAX && k->all->keeps[i].partitions)
            return;
        least = snap < least ? snap : least;
    }
    (void)gw_log_truncate(k->all->decisions, least);
}

static void rows_done(struct keep *k)
{
    k->state = GW_KEEP_RESTS;
    gw_metric_add(k->all->commits, 1);
    gw_wal_stage_heard(k->stage);
    forget_decisions(k);
    if (k->in->base.on_kept && k->in->base.local)
        k->in->base.on_kept(k->in->base.local, k->low_seq);
    gw_loop_again(worker_of(k)->loop);
}

static void go_on(struct keep *k)
{
    if (k->rc == 0) {
        if (k->state == GW_KEEP_RECORD)
            record_done(k);
        else
            rows_done(k);
        return;
    }
    if (k->retry_ns == 0) {
        retry(k);
        return;
    }
    if (gw_loop_now_ns(worker_of(k)->loop) < k->retry_ns)
        return;
    k->retry_ns = 0;
    if (k->state == GW_KEEP_RECORD)
        submit_record(k);
    else
        submit_rows(k);
}

void gw_keep_turn(struct worker *w)
{
    for (struct keep *k = w->keeps; k; k = k->next)
        if (k->state != GW_KEEP_RESTS && atomic_load(&k->is_heard))
            go_on(k);
}

bool gw_keep_is_idle(const struct intake *in)
{
    return !in->keep || in->keep->state == GW_KEEP_RESTS || (atomic_load(&in->keep->is_heard) && in->keep->rc < 0);
}

void gw_keep_end(struct intake *in)
{
    struct keep *k = in->keep;

    if (!k)
        return;
    gw_wal_stage_clear(k->stage);
    gw_buf_reset(&k->record);
    k->state = GW_KEEP_RESTS;
    k->retry_ns = 0;
    k->n_marks = 0;
    k->has_begun = k->has_next_snap = false; /* who comes after begins with what it has read */
}

bool gw_keeps_end(struct worker *w)
{
    for (struct keep *k = w->keeps; k; k = k->next)
        if (!gw_keep_is_idle(k->in))
            return false;
    for (struct keep *k = w->keeps; k; k = k->next)
        gw_keep_end(k->in);
    return true;
}

/* ---- a barrier -------------------------------------------------------------------------------------------- */

static bool add_mark(struct keep *k, const struct gw_keep_barrier *b)
{
    struct gw_keep_mark *more;

    if (k->n_marks == k->cap_marks) {
        size_t cap = k->cap_marks ? 2 * k->cap_marks : 64;

        more = realloc(k->marks, cap * sizeof(*more));
        if (!more)
            return false;
        k->marks = more;
        k->cap_marks = cap;
    }
    k->marks[k->n_marks++] = (struct gw_keep_mark){b->now_ns, b->seq};
    return true;
}

/* The step in which the oldest kept row came; marks before it are not asked for again. */
static struct gw_keep_mark low_of(struct keep *k, uint64_t oldest_ns)
{
    size_t i = 0;

    while (i + 1 < k->n_marks && k->marks[i + 1].now_ns <= oldest_ns)
        i++;
    memmove(k->marks, k->marks + i, (k->n_marks - i) * sizeof(*k->marks));
    k->n_marks -= i;
    return k->marks[0];
}

static void set_places(struct keep *k, const struct gw_keep_barrier *b, const struct gw_keep_mark *low)
{
    k->low_seq = low->seq;
    for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++) {
        uint64_t low_seq = low->seq > b->floor_seq[p] ? low->seq : b->floor_seq[p];

        k->notes[p].place = (struct gw_keep_place){low_seq, b->next_seq[p], low->now_ns};
    }
    if (k->has_next_snap && low->now_ns >= k->next_snap_ns) {
        k->snap_seq = k->next_snap_seq;
        k->has_next_snap = false;
    }
}

/* Records of all of them. *ret_oldest_ns: of the one that needs the oldest rows. */
static int save(struct keep *k, uint64_t *ret_oldest_ns)
{
    int rc = GW_DONE;

    gw_buf_reset(&k->record);
    *ret_oldest_ns = UINT64_MAX;
    for (unsigned i = 0; i < k->n_nodes && rc == GW_DONE; i++) {
        const struct node *n = k->nodes[i];
        uint64_t oldest_ns;

        gw_buf_put(&k->record, &k->stream, sizeof(k->stream));
        rc = n->comp->type->keep->save(n->self, k->whole, &k->record, &oldest_ns);
        k->ends[i] = k->record.n;
        if (rc == GW_DONE && oldest_ns < *ret_oldest_ns)
            *ret_oldest_ns = oldest_ns;
    }
    return rc == GW_DONE && k->record.failed ? -ENOMEM : rc;
}

static void commit(struct keep *k, const struct gw_keep_barrier *b)
{
    bool is_long = !k->has_next_snap && k->since_bytes > SNAP_BYTES && k->since_bytes > 2 * k->snap_bytes;
    struct gw_keep_mark low;
    uint64_t oldest_ns;
    int rc;

    k->whole = !k->has_begun || is_long;
    k->whole_ns = b->now_ns;
    rc = save(k, &oldest_ns);
    if (rc != GW_DONE) {
        if (rc < 0)
            gw_wal_stage_break(k->stage);
        return;
    }
    low = low_of(k, oldest_ns);
    set_places(k, b, &low);
    gw_wal_stage_cut(k->stage);
    if (k->record.n > k->n_nodes * sizeof(k->stream))
        submit_record(k);
    else
        submit_rows(k);
}

static bool is_broken(struct keep *k)
{
    if (!gw_wal_stage_is_broken(k->stage))
        return false;
    if (!k->is_told)
        gw_log(&worker_of(k)->engine->logger, GW_LOG_ERROR,
               "pipeline %s: out of memory: it stops here, and goes on from its last commit with a restart",
               k->all->door->pipeline);
    k->is_told = true;
    return true;
}

int gw_keep_advance(struct gw_intake *base, const struct gw_keep_barrier *b)
{
    struct keep *k = ((struct intake *)base)->keep;
    struct worker *w = worker_of(k);
    struct share *running = w->running;
    int rc = GW_DONE;

    if (is_broken(k) || (k->state != GW_KEEP_RESTS && gw_wal_stage_bytes(k->stage) > MAX_STAGED_BYTES))
        return GW_MORE;
    if (b->is_first && (k->n_marks == 0 || k->marks[k->n_marks - 1].seq != b->seq) && !add_mark(k, b))
        return GW_MORE;
    if (k->lag && k->passed_ns && b->now_ns >= k->passed_ns)
        gw_metric_set(k->lag, (b->now_ns - k->passed_ns) / 1000000000);
    w->running = k->in->share;
    k->rebuilds = b->rebuilds;
    while (k->at_node < k->n_nodes &&
           (rc = gw_node_advance(k->nodes[k->n_nodes - 1 - k->at_node], b->now_ns, b->rebuilds)) == GW_DONE)
        k->at_node++;
    if (rc == GW_DONE)
        k->at_node = 0;
    gw_flow_flush_letters(w);
    w->running = running;
    if (rc == GW_DONE && b->is_first && !b->rebuilds && k->state == GW_KEEP_RESTS)
        commit(k, b);
    return rc;
}

uint64_t gw_keep_due_ns(struct gw_intake *base)
{
    struct keep *k = ((struct intake *)base)->keep;
    uint64_t due = UINT64_MAX;

    if (k->state == GW_KEEP_RESTS && gw_wal_stage_bytes(k->stage))
        return 0;
    for (unsigned i = 0; i < k->n_nodes; i++) {
        uint64_t one = k->nodes[i]->comp->type->keep->due_ns(k->nodes[i]->self);

        due = one < due ? one : due;
    }
    return due;
}

/* ---- rows that come twice --------------------------------------------------------------------------------- */

bool gw_keep_twice(struct gw_intake *base)
{
    const struct node *n = ((struct intake *)base)->keep->nodes[0];

    return n->comp->type->keep->twice && n->comp->type->keep->twice(n->comp->conf);
}

/* What is staged waits for a commit, which waits for the next step. */
uint64_t gw_keep_ready_ns(struct gw_intake *base)
{
    const struct keep *k = ((struct intake *)base)->keep;

    return gw_wal_stage_bytes(k->stage) > MAX_STAGED_BYTES / 4
               ? 0
               : k->nodes[0]->comp->type->keep->ready_ns(k->nodes[0]->self);
}

void gw_keep_pass(struct gw_intake *base, uint64_t step_ns, bool again)
{
    struct keep *k = ((struct intake *)base)->keep;

    k->passed_ns = step_ns;
    k->nodes[0]->comp->type->keep->pass(k->nodes[0]->self, step_ns, again);
}
