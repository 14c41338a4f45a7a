/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One contract: a seed makes a sequence of operations, which a log in memory, a log in segment files (on a simulated
 * disk) and a model of some tables in this file carry out. All three must give the same results, to every reader and
 * for every consumer, over segment rolls, restarts and truncation.
 *
 * GW_SIM_SEEDS=n runs n seeds (default 60), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "log/sim.h"
#include "tests/harness_engine.h"
#include "tests/harness_log.h"
#include "tests/harness_simdisk.h"

enum {
    N_LOGS = 2,
    N_NAMES = 4,
    N_READERS = 4,
    N_STEPS = 250,
    MAX_FRAMES = 4096,
    MAX_ROWS = 40000,
    MAX_BATCH = 5,
    BASE = 8192,
    DROPPED_TOO = GW_LOG_N_OUTCOMES, /* rows that are nobody's: before a consumer was made */
    OPEN,
};

struct m_frame {
    struct gw_log_frame f;
};

struct m_consumer {
    uint32_t id; /* 0: there is none of that name */
    bool is_open;
    uint64_t first_row;
    uint8_t rows[MAX_ROWS]; /* outcome of each */
    bool has_position[GW_LOG_PARTITIONS];
    uint64_t next_seq[GW_LOG_PARTITIONS];
    char notes[GW_LOG_PARTITIONS][16];
};

struct m_reader {
    struct gw_log_reader *r[N_LOGS]; /* NULL: none */
    struct gw_log_reader_conf conf;
    unsigned consumer; /* index into names */
    uint64_t next[GW_LOG_PARTITIONS];
};

struct world {
    uint64_t seed;
    uint8_t base[2 * BASE];
    struct gw_simdisk disk;
    struct gw_log_files_conf files_conf;
    struct gw_log_sim_conf sim_conf;
    struct gw_log *l[N_LOGS];
    /* the model */
    struct m_frame frames[MAX_FRAMES];
    unsigned n_frames;
    uint32_t n_rows, next_id;
    uint64_t trim;
    struct m_consumer consumers[N_NAMES];
    uint32_t epochs[2], producers[2];
    struct m_reader readers[N_READERS];
    struct gw_test_commit batch[N_LOGS][MAX_BATCH];
    int wanted[MAX_BATCH];
    unsigned n_batch;
    uint64_t clock_ns;
};

static const char *const names[N_NAMES] = {"elasticsearch", "kafka/eu", "rollup", "x"};
static const char *const producers[2] = {"graph", "journal"};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* ---- both logs -------------------------------------------------------------------------------------------- */

static void open_files(struct world *w)
{
    struct gw_err err = {""};

    if (gw_log_files_open(&w->files_conf, &w->l[1], &err) < 0)
        fail_msg("%s", err.text);
}

static void open_logs(struct world *w)
{
    gw_simdisk_init(&w->disk, w->seed);
    w->sim_conf.env = &w->disk.env;
    w->files_conf = (struct gw_log_files_conf){.env = &w->disk.env, .dir = "q", .segment_bytes = 64 << 10};
    assert_int_equal(gw_log_sim_open(&w->sim_conf, &w->l[0]), 0);
    open_files(w);
}

static void free_reader(struct m_reader *r)
{
    for (unsigned k = 0; k < N_LOGS; k++) {
        gw_log_reader_free(r->r[k]);
        r->r[k] = NULL;
    }
}

static void restart(struct world *w)
{
    for (unsigned i = 0; i < N_READERS; i++)
        free_reader(&w->readers[i]);
    gw_log_sim_crash(w->l[0], false);
    gw_log_close(w->l[1]);
    assert_true(gw_simdisk_is_quiet(&w->disk));
    open_files(w);
    for (unsigned i = 0; i < N_NAMES; i++)
        w->consumers[i].is_open = false;
}

/* ---- commits ------------------------------------------------------------------------------------------------ */

static void any_frame(struct world *w, struct gw_log_frame *f)
{
    uint32_t n = any(w, 8) == 0 ? (uint32_t)any(w, BASE) : (uint32_t)any(w, 700);

    w->clock_ns += any(w, 1000);
    *f = (struct gw_log_frame){
        .time_ns = w->clock_ns - (any(w, 5) ? 0 : any(w, 5000)),
        .rows = any(w, 12) ? (uint32_t)(1 + any(w, 20)) : 0,
        .topic = (uint16_t)(any(w, 8) ? any(w, 3) : 500),
        .partition = (uint16_t)(any(w, 3) ? any(w, 3) : any(w, GW_LOG_PARTITIONS)),
        .signal = (uint8_t)any(w, 4),
        .meta = gw_slice_of(w->base + any(w, 1000), any(w, 2) ? 0 : any(w, 100)),
        .body = gw_slice_of(w->base + any(w, BASE), n),
    };
}

/* Of all: [0, N_NAMES). The first two settle rows, the others move positions. */
static struct m_consumer *any_consumer(struct world *w, unsigned from, unsigned to)
{
    struct m_consumer *c = &w->consumers[from + any(w, to - from)];

    return c->id ? c : NULL;
}

static void any_settle(struct world *w, struct gw_test_commit *t)
{
    struct m_consumer *c = any_consumer(w, 0, 2);
    uint64_t from = any(w, 3) ? w->trim : 0, seq = from + (w->n_frames > from ? any(w, w->n_frames - from) : 0);
    const struct gw_log_frame *f = &w->frames[seq].f;
    struct gw_log_settle *s = &t->settles[t->c.n_settles];

    if (!c || seq >= w->n_frames)
        return;
    *s = (struct gw_log_settle){.consumer = c->id, .outcome = (uint8_t)any(w, GW_LOG_N_OUTCOMES), .seq = seq};
    s->last_seq = any(w, 3) ? seq : seq + any(w, w->n_frames - seq < 12 ? w->n_frames - seq : 12);
    if (s->last_seq == seq && any(w, 2) && f->rows > 0) {
        s->first_row = (uint32_t)any(w, f->rows);
        s->rows = (uint32_t)(1 + any(w, f->rows - s->first_row));
        s->frame_rows = f->rows;
    }
    t->c.n_settles++;
}

static void any_position(struct world *w, struct gw_test_commit *t)
{
    static const char *const notes[] = {"", "wm=1", "a longer note"};
    struct m_consumer *c = any_consumer(w, 2, N_NAMES);

    if (c)
        gw_test_commit_position(t, c->id, (uint16_t)any(w, 4), any(w, w->n_frames + 1), notes[any(w, 3)]);
}

/* Something that no log may accept. */
static int spoil(struct world *w, struct gw_test_commit *t)
{
    struct m_consumer *c = any_consumer(w, 0, N_NAMES);

    switch (any(w, 5)) {
    case 0:
        t->c.producer = (struct gw_log_producer){99, 1};
        return -ESTALE;
    case 1:
        if (w->epochs[0] < 2)
            return 0;
        t->c.producer = (struct gw_log_producer){w->producers[0], w->epochs[0] - 1};
        return -ESTALE;
    case 2:
        gw_test_commit_append(t, "", 1)->partition = GW_LOG_PARTITIONS;
        return -EINVAL;
    case 3: /* what is not committed yet */
        gw_test_commit_settle(t, c ? c->id : 1, w->n_frames + 100, 0, 0, 0);
        return -EINVAL;
    default:
        gw_test_commit_append(t, "", 1)->body.n = GW_LOG_MAX_BODY_BYTES + 1;
        return -E2BIG;
    }
}

static void m_settle(struct world *w, const struct gw_log_settle *s)
{
    for (unsigned i = 0; i < N_NAMES; i++) {
        struct m_consumer *c = &w->consumers[i];
        uint64_t from = w->frames[s->seq].f.row + s->first_row;
        uint64_t to = s->rows ? from + s->rows : w->frames[s->last_seq].f.row + w->frames[s->last_seq].f.rows;

        for (uint64_t row = from; c->id == s->consumer && row < to; row++)
            if (c->rows[row] == OPEN)
                c->rows[row] = s->outcome;
    }
}

static void m_position(struct world *w, const struct gw_log_position *p)
{
    for (unsigned i = 0; i < N_NAMES; i++) {
        struct m_consumer *c = &w->consumers[i];

        if (c->id != p->consumer)
            continue;
        c->has_position[p->partition] = true;
        c->next_seq[p->partition] = p->next_seq;
        (void)snprintf(c->notes[p->partition], sizeof(c->notes[0]), "%.*s", (int)p->note.n, (const char *)p->note.p);
    }
}

static void m_commit(struct world *w, const struct gw_test_commit *t)
{
    for (unsigned i = 0; i < t->c.n_settles; i++)
        m_settle(w, &t->settles[i]);
    for (unsigned i = 0; i < t->c.n_frames; i++) {
        struct gw_log_frame *f = &w->frames[w->n_frames].f;

        *f = t->frames[i];
        f->seq = w->n_frames++;
        f->row = w->n_rows;
        w->n_rows += f->rows;
    }
    for (unsigned i = 0; i < t->c.n_positions; i++)
        m_position(w, &t->positions[i]);
}

static int any_commit(struct world *w, struct gw_test_commit *t)
{
    unsigned n = (unsigned)any(w, 4);

    gw_test_commit_init(t);
    t->c.sync = any(w, 4) == 0;
    if (any(w, 3) == 0 && w->epochs[1])
        t->c.producer = (struct gw_log_producer){w->producers[1], w->epochs[1]};
    for (unsigned i = 0; i < n && w->n_frames + 64 < MAX_FRAMES && w->n_rows + 2000 < MAX_ROWS; i++)
        any_frame(w, &t->frames[t->c.n_frames++]);
    for (uint64_t i = any(w, 4); i > 0; i--)
        any_settle(w, t);
    for (uint64_t i = any(w, 3); i > 0; i--)
        any_position(w, t);
    return any(w, 15) == 0 ? spoil(w, t) : 0;
}

/* Several at once, so that they come in one group. */
static void commits(struct world *w)
{
    unsigned n = (unsigned)(1 + any(w, MAX_BATCH)), first = w->n_frames;

    for (unsigned i = 0; i < n; i++) {
        struct gw_test_commit *t = &w->batch[0][i];

        w->wanted[i] = any_commit(w, t);
        w->batch[1][i] = *t;
        w->batch[1][i].c.frames = w->batch[1][i].frames;
        w->batch[1][i].c.settles = w->batch[1][i].settles;
        w->batch[1][i].c.positions = w->batch[1][i].positions;
    }
    for (unsigned k = 0; k < N_LOGS; k++) {
        for (unsigned i = 0; i < n; i++)
            gw_log_submit(w->l[k], &w->batch[k][i].c);
        for (unsigned i = 0; i < 4 && w->batch[k][n - 1].n_done == 0; i++)
            (void)gw_log_work(w->l[k]);
    }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < N_LOGS; k++) {
            assert_int_equal(w->batch[k][i].n_done, 1);
            assert_int_equal(w->batch[k][i].rc, w->wanted[i]);
        }
        if (w->wanted[i] == 0)
            m_commit(w, &w->batch[0][i]);
        for (unsigned k = 0, m = 0; w->wanted[i] == 0 && m < w->batch[0][i].c.n_frames; k = 1 - k, m += k == 0) {
            assert_int_equal(w->batch[k][i].frames[m].seq, first + m);
            assert_int_equal(w->batch[k][i].frames[m].row, w->frames[first + m].f.row);
        }
        first = w->n_frames;
    }
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static void open_consumer(struct world *w)
{
    unsigned i = (unsigned)any(w, N_NAMES);
    struct m_consumer *c = &w->consumers[i];
    /* Below the mark of a truncation there may be frames or not, as segments happen to end. */
    enum gw_log_start start = w->trim || any(w, 2) ? GW_LOG_FROM_END : GW_LOG_FROM_FIRST;
    uint32_t id = 0;

    if (!c->id) {
        memset(c, 0, sizeof(*c));
        c->id = ++w->next_id;
        c->first_row = start == GW_LOG_FROM_END ? w->n_rows : 0;
        memset(c->rows, DROPPED_TOO, c->first_row);
        memset(c->rows + c->first_row, OPEN, MAX_ROWS - c->first_row);
    }
    c->is_open = true;
    for (unsigned k = 0; k < N_LOGS; k++) {
        assert_int_equal(gw_log_consumer_open(w->l[k], names[i], start, &id), 0);
        assert_int_equal(id, c->id);
    }
}

static void release_consumer(struct world *w)
{
    unsigned i = (unsigned)any(w, N_NAMES);
    struct m_consumer *c = &w->consumers[i];

    for (unsigned r = 0; r < N_READERS; r++)
        if (w->readers[r].conf.consumer == c->id)
            free_reader(&w->readers[r]);
    for (unsigned k = 0; k < N_LOGS; k++)
        assert_int_equal(gw_log_consumer_release(w->l[k], names[i]), c->id ? 0 : -ENOENT);
    c->id = 0;
}

static void new_epoch(struct world *w)
{
    unsigned i = (unsigned)any(w, 2);

    w->epochs[i]++;
    for (unsigned k = 0; k < N_LOGS; k++) {
        struct gw_log_producer p = {0};

        assert_int_equal(gw_log_producer(w->l[k], producers[i], &p), 0);
        if (w->epochs[i] == 1 && k == 0)
            w->producers[i] = p.id;
        assert_int_equal(p.id, w->producers[i]);
        assert_int_equal(p.epoch, w->epochs[i]);
    }
}

static void truncate_some(struct world *w)
{
    uint64_t seq = any(w, 20) == 0 ? GW_LOG_END : any(w, w->n_frames + 1);

    struct gw_log_stats st;

    /* Whole segments go; memory has none, and follows. */
    assert_int_equal(gw_log_truncate(w->l[1], seq), 0);
    gw_log_stats(w->l[1], &st);
    assert_true(st.first_seq >= w->trim && (st.first_seq <= seq || st.first_seq == w->trim));
    assert_true(seq != GW_LOG_END || st.first_seq == w->n_frames);
    assert_int_equal(gw_log_truncate(w->l[0], st.first_seq), 0);
    w->trim = st.first_seq;
    for (unsigned i = 0; i < N_NAMES; i++)
        for (uint64_t n = 0; n < w->trim; n++) {
            const struct gw_log_frame *f = &w->frames[n].f;
            struct m_consumer *c = &w->consumers[i];

            for (uint64_t row = f->row; row < f->row + f->rows; row++)
                if (c->rows[row] == OPEN)
                    c->rows[row] = c->next_seq[f->partition] > n ? GW_LOG_DELIVERED : GW_LOG_DROPPED;
        }
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static uint64_t m_low(const struct world *w, const struct m_consumer *c)
{
    for (unsigned i = 0; i < w->n_frames; i++)
        for (uint32_t r = 0; r < w->frames[i].f.rows; r++)
            if (c->rows[w->frames[i].f.row + r] == OPEN)
                return i;
    return w->n_frames;
}

static void new_reader(struct world *w)
{
    struct m_reader *r = &w->readers[any(w, N_READERS)];
    struct m_consumer *c = any(w, 3) ? any_consumer(w, 0, N_NAMES) : NULL;
    uint64_t low = c ? m_low(w, c) : w->trim;

    free_reader(r);
    r->consumer = c ? (unsigned)(c - w->consumers) : 0;
    r->conf = (struct gw_log_reader_conf){.consumer = c ? c->id : 0,
                                          .partitions = any(w, 2) ? 0 : 1 + any(w, 15),
                                          .topics = any(w, 3) ? 0 : 1 + any(w, 7),
                                          .without_bodies = any(w, 4) == 0};
    for (unsigned k = 0; k < N_LOGS; k++)
        assert_int_equal(gw_log_reader_new(w->l[k], &r->conf, &r->r[k]), 0);
    for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++)
        r->next[p] = c && c->has_position[p] ? c->next_seq[p] : low;
}

/* What is open of a frame, as the model has it; returns how many runs. */
static unsigned m_open(const struct m_consumer *c, const struct gw_log_frame *f, struct gw_log_open_rows *ret)
{
    unsigned n = 0;

    for (uint32_t r = 0; r < f->rows; r++) {
        if (c->rows[f->row + r] != OPEN)
            continue;
        if (n > 0 && ret[n - 1].first + ret[n - 1].rows == r)
            ret[n - 1].rows++;
        else
            ret[n++] = (struct gw_log_open_rows){r, 1};
    }
    return n;
}

static bool reads(const struct m_reader *r, const struct gw_log_frame *f)
{
    return (!r->conf.partitions || r->conf.partitions >> f->partition & 1) &&
           (!r->conf.topics || (f->topic < 64 && r->conf.topics >> f->topic & 1));
}

static const struct gw_log_frame *m_next(struct world *w, struct m_reader *r, struct gw_log_open_rows *open,
                                         unsigned *n_open)
{
    for (uint64_t seq = w->trim; seq < w->n_frames; seq++) {
        const struct gw_log_frame *f = &w->frames[seq].f;

        if (seq < r->next[f->partition] || !reads(r, f))
            continue;
        if (r->conf.consumer && f->rows == 0)
            continue; /* given or not: see same_frames */
        *n_open = r->conf.consumer ? m_open(&w->consumers[r->consumer], f, open) : 0;
        if (r->conf.consumer && *n_open == 0)
            continue;
        r->next[f->partition] = seq + 1;
        return f;
    }
    return NULL;
}

static int next_of(struct world *w, struct m_reader *r, unsigned k, struct gw_log_entry *e)
{
    int rc;

    /* Below the mark there may be frames, for want of a segment of their own; of frames without rows a consumer may
     * hear or not, it has nothing to do. */
    do
        rc = gw_log_next(r->r[k], e);
    while (rc == 1 && (e->frame.seq < w->trim || (r->conf.consumer && e->frame.rows == 0)));
    return rc;
}

static void same_frames(struct world *w, struct m_reader *r, unsigned n)
{
    static struct gw_log_open_rows open[64];
    struct gw_log_entry e;

    for (; n > 0; n--) {
        unsigned n_open = 0;
        const struct gw_log_frame *f = m_next(w, r, open, &n_open);

        for (unsigned k = 0; k < N_LOGS; k++) {
            assert_int_equal(next_of(w, r, k, &e), f != NULL);
            if (!f)
                continue;
            assert_true(e.frame.seq == f->seq && e.frame.row == f->row && e.frame.rows == f->rows);
            assert_true(e.frame.time_ns == f->time_ns && e.frame.topic == f->topic);
            assert_true(e.frame.partition == f->partition && e.frame.signal == f->signal);
            assert_true(gw_slice_eq(e.frame.body, r->conf.without_bodies ? (struct gw_slice){0} : f->body));
            assert_true(gw_slice_eq(e.frame.meta, f->meta));
            assert_true(e.lost_frames == 0 && e.lost_rows == 0);
            assert_int_equal(e.n_open, n_open);
            if (n_open > 0)
                assert_memory_equal(e.open, open, n_open * sizeof(open[0]));
        }
        if (!f)
            break;
    }
}

static void seek_some(struct world *w, struct m_reader *r)
{
    uint16_t p = (uint16_t)(any(w, 2) ? GW_LOG_PARTITIONS : any(w, 4));
    uint64_t seq = w->trim + any(w, w->n_frames - w->trim + 1);
    bool by_time = w->trim == 0 && any(w, 4) == 0;
    uint64_t time_ns = w->clock_ns - any(w, w->clock_ns / 2);

    for (unsigned k = 0; k < N_LOGS; k++)
        assert_int_equal(by_time ? gw_log_seek_time(r->r[k], time_ns) : gw_log_seek(r->r[k], p, seq), 0);
    if (by_time) {
        p = GW_LOG_PARTITIONS;
        for (seq = 0; seq < w->n_frames; seq++)
            if (reads(r, &w->frames[seq].f) && w->frames[seq].f.time_ns >= time_ns)
                break;
    }
    for (unsigned i = 0; i < GW_LOG_PARTITIONS; i++)
        if (p == GW_LOG_PARTITIONS || p == i)
            r->next[i] = seq;
}

static void read_some(struct world *w)
{
    struct m_reader *r = &w->readers[any(w, N_READERS)];

    if (!r->r[0])
        new_reader(w);
    if (!r->r[0])
        return;
    if (any(w, 4) == 0)
        seek_some(w, r);
    same_frames(w, r, any(w, 3) ? (unsigned)any(w, 12) : UINT32_MAX);
}

/* ---- as one picture ----------------------------------------------------------------------------------------- */

static void same_consumer(struct world *w, unsigned i, unsigned k)
{
    const struct m_consumer *c = &w->consumers[i];
    struct gw_log_consumer got = gw_test_log_consumer(w->l[k], names[i]);
    uint64_t counts[OPEN + 1] = {0}, low = m_low(w, c), low_row;

    low_row = low < w->n_frames ? w->frames[low].f.row : w->n_rows;
    for (uint64_t row = 0; row < w->n_rows; row++)
        counts[c->rows[row]]++;
    assert_int_equal(got.id, c->id);
    assert_int_equal(got.is_open, c->is_open);
    assert_int_equal(got.first_row, c->first_row);
    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++)
        assert_int_equal(got.settled[o], counts[o]);
    assert_int_equal(got.lost_rows, 0);
    assert_int_equal(got.low_row, low_row);
    assert_int_equal(got.low_row + got.ahead_rows + counts[OPEN], w->n_rows);
    /* Frames without rows lie on either side of low. */
    assert_true(got.low <= low && (got.low == low || w->frames[got.low].f.row == low_row));
}

static void same_picture(struct world *w)
{
    for (unsigned k = 0; k < N_LOGS; k++) {
        struct gw_log_stats st;
        uint64_t newest = 0;

        gw_log_stats(w->l[k], &st);
        for (uint64_t n = st.first_seq; n < w->n_frames; n++)
            newest = w->frames[n].f.time_ns > newest ? w->frames[n].f.time_ns : newest;
        assert_int_equal(st.last_time_ns, newest);
        assert_int_equal(st.end_seq, w->n_frames);
        assert_int_equal(st.end_row, w->n_rows);
        assert_true(st.first_seq <= w->trim && st.lost_frames == 0 && st.lost_rows == 0);
        for (unsigned i = 0; i < N_NAMES; i++)
            if (w->consumers[i].id)
                same_consumer(w, i, k);
    }
}

static void same_positions(struct world *w)
{
    for (unsigned i = 0; i < N_NAMES; i++)
        for (uint16_t p = 0; w->consumers[i].id && p < 4; p++)
            for (unsigned k = 0; k < N_LOGS; k++) {
                char note[64] = "";
                size_t n = sizeof(note) - 1;
                uint64_t seq = 0;

                assert_int_equal(gw_log_position(w->l[k], w->consumers[i].id, p, &seq, note, &n), 0);
                assert_int_equal(n, strlen(w->consumers[i].notes[p]));
                assert_memory_equal(note, w->consumers[i].notes[p], n);
                if (w->consumers[i].has_position[p])
                    assert_int_equal(seq, w->consumers[i].next_seq[p]);
                else
                    assert_true(seq <= m_low(w, &w->consumers[i]));
            }
}

static void step(struct world *w)
{
    w->disk.now_ns += any(w, 60000000);
    switch (any(w, 20)) {
    case 0:
        open_consumer(w);
        break;
    case 1:
        if (any(w, 4) == 0)
            release_consumer(w);
        break;
    case 2:
        new_epoch(w);
        break;
    case 3:
        if (any(w, 4) == 0)
            truncate_some(w);
        break;
    case 4:
        restart(w);
        break;
    case 5:
    case 6:
        new_reader(w);
        break;
    case 7:
        same_picture(w);
        same_positions(w);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        read_some(w);
        break;
    default:
        commits(w);
    }
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->seed = seed;
    w->clock_ns = 1000000;
    for (size_t i = 0; i < sizeof(w->base); i++)
        w->base[i] = (uint8_t)gw_test_random(&seed);
    open_logs(w);
    open_consumer(w);
    for (unsigned i = 0; i < N_STEPS; i++)
        step(w);
    restart(w);
    same_picture(w);
    for (unsigned k = 0; k < N_LOGS; k++)
        gw_log_close(w->l[k]);
    gw_simdisk_clear(&w->disk);
    free(w);
}

static void the_same_whatever_is_below(void **state)
{
    (void)state;
    gw_test_seeds(60, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_whatever_is_below)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
