/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_log_crash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/impl.h"
#include "tests/harness_env.h"

enum { N_CONSUMERS = GW_CRASH_CONSUMERS, N_PARTITIONS = 3, BASE_BYTES = 64 << 10, FRAMES_AN_OP = 3, NEVER = INT16_MAX };

/* ---- the model ---------------------------------------------------------------------------------------------- */

struct consumer {
    bool is_there;
    uint32_t id;
    uint64_t first_row, n_open, open_sum, settled[GW_LOG_N_OUTCOMES];
    struct {
        bool is_set;
        uint64_t next_seq, note;
    } positions[N_PARTITIONS];
};

/** The log as it stands behind an operation. */
struct state {
    uint64_t end_seq, end_row, trim;
    uint32_t next_consumer, epoch;
    struct consumer consumers[N_CONSUMERS];
};

/** What a reader must find; the body begins at base + at. */
struct frame {
    uint64_t row, time_ns;
    uint32_t rows, n_body, at;
    uint16_t topic, partition, n_meta;
    uint8_t signal;
};

enum kind { COMMIT, OPEN_CONSUMER, RELEASE, PRODUCER, TRUNCATE };

struct op {
    enum kind kind;
    struct state after;
    bool sync;
    unsigned consumer;
};

/** A segment that was read whole and held what it must: that follows from its file's contents and these numbers. */
struct verified {
    uint64_t image, number, first_seq, first_row, data, end, end_seq, end_row;
};
enum { VERIFIED = 1024 };

/** A commit under way. */
struct pending {
    struct gw_log_commit c; /* first */
    struct world *w;
    int op; /* -1: no log may take it */
    int n_done, rc, wanted;
    struct gw_log_frame frames[FRAMES_AN_OP];
    struct gw_log_settle settles[4];
    struct gw_log_position positions[2];
    uint64_t notes[2];
};
enum { BATCH = 4 };

struct world {
    const struct gw_crash_conf *conf;
    struct gw_crash_counts *counts;
    uint64_t seed, crash_seed; /* of the workload; of the crashes */
    struct gw_simdisk disks[1 + GW_CRASH_DEPTH], next_disk;
    struct gw_log_files_conf files;
    struct gw_log *l;
    uint8_t *base;
    struct model {
        struct op ops[GW_CRASH_OPS + 1]; /* [0]: the empty log */
        int n_ops;                       /* begun */
        int n_done, n_synced;            /* those before survive a kill; a power cut */
        struct frame frames[GW_CRASH_FRAMES];
        int16_t settled_by[N_CONSUMERS][GW_CRASH_ROWS];
    } m, next_m;
    struct pending batch[BATCH];
    struct verified verified[VERIFIED]; /* by image; none outlives a change of what frames must be */
    /*
     * An operation failed and none has worked since. When it was its sync that failed, what it wrote is in a file whose
     * disk cannot be asked to forget it: a crash now may find it, or not. Both are right, so nothing is judged.
     */
    bool in_doubt;
    bool next_taken;        /* next_disk is what the next life finds, next_m what was known then */
    uint64_t next_at;       /* the call before which that happens */
    const char *log, *dump; /* of the process's environment, for people */
    char failure[600];
    bool failed;
};

static const char *const names[N_CONSUMERS] = {"elasticsearch", "kafka/eu", "rollup"};

static uint64_t any(uint64_t *seed, uint64_t n)
{
    return gw_test_random(seed) % n;
}

static uint64_t mix(uint64_t a)
{
    return gw_test_random(&a);
}

/* The sum of mix() of all numbers below n. */
static uint64_t mix_below(uint64_t n)
{
    static uint64_t sums[GW_CRASH_ROWS + 1];

    static bool made;

    for (uint64_t i = 0; !made && i < GW_CRASH_ROWS; i++)
        sums[i + 1] = sums[i] + mix(i);
    made = true;
    return sums[n <= GW_CRASH_ROWS ? n : GW_CRASH_ROWS];
}

static void fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct world *w, const char *fmt, ...)
{
    va_list ap;

    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
    va_end(ap);
}

#define MUST(w, ok, ...)                                                                                               \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fail((w), __VA_ARGS__);                                                                                    \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static struct state *now(struct world *w)
{
    return &w->m.ops[w->m.n_ops].after;
}

/* A new operation, whose state is that of the one before until it is changed. */
static struct op *begin_op(struct world *w, enum kind kind)
{
    struct op *op = &w->m.ops[w->m.n_ops + 1];

    *op = (struct op){.kind = kind, .after = *now(w)};
    w->m.n_ops++;
    w->counts->operations++;
    return op;
}

static void settle_row(struct world *w, struct state *s, unsigned k, uint64_t row, uint8_t outcome)
{
    struct consumer *c = &s->consumers[k];

    if (!c->is_there || row < c->first_row || w->m.settled_by[k][row] != NEVER)
        return;
    w->m.settled_by[k][row] = (int16_t)w->m.n_ops;
    c->settled[outcome]++;
    c->n_open--;
    c->open_sum -= mix(row);
}

/* Operations behind the n-th did not happen. */
static void undo_behind(struct world *w, int n)
{
    memset(w->verified, 0, sizeof(w->verified));
    for (unsigned k = 0; k < N_CONSUMERS; k++)
        for (uint64_t row = 0; row < now(w)->end_row; row++)
            if (w->m.settled_by[k][row] != NEVER && w->m.settled_by[k][row] > n)
                w->m.settled_by[k][row] = NEVER;
    w->m.n_ops = n;
}

static uint64_t row_of(const struct world *w, const struct state *s, uint64_t seq)
{
    return seq < s->end_seq ? w->m.frames[seq].row : s->end_row;
}

static uint64_t low_row(const struct world *w, const struct state *s, unsigned k, int n)
{
    uint64_t row = s->consumers[k].first_row;

    while (row < s->end_row && w->m.settled_by[k][row] <= n)
        row++;
    return row;
}

/* Smaller segments than the product makes: there is less to read in each. */
static int open_log(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err)
{
    return gw_lf_open(conf, &(struct gw_lf_begin){.number = 1, .least_segment = 1}, ret, err);
}

/* ---- judging ------------------------------------------------------------------------------------------------ */

struct found {
    struct gw_log_stats st;
    struct gw_log_consumer consumers[N_CONSUMERS];
    bool is_there[N_CONSUMERS];
    unsigned n_others;
    uint64_t open_sum[N_CONSUMERS], n_open[N_CONSUMERS];
    struct {
        bool ok;
        uint64_t next_seq, note;
        size_t n_note;
    } positions[N_CONSUMERS][N_PARTITIONS];
};

static void note_consumer(void *arg, const struct gw_log_consumer *c)
{
    struct found *f = arg;

    for (unsigned k = 0; k < N_CONSUMERS; k++)
        if (strcmp(c->name, names[k]) == 0) {
            f->consumers[k] = *c;
            f->is_there[k] = true;
            return;
        }
    f->n_others++;
}

/** What differs; most comparisons only ask whether something does. */
struct why {
    const char *what;
    unsigned consumer;
    uint64_t got, wanted;
};

static bool differs(struct why *why, unsigned k, const char *what, uint64_t got, uint64_t wanted)
{
    if (got == wanted)
        return false;
    *why = (struct why){what, k, got, wanted};
    return true;
}

static bool same_positions(const struct found *f, const struct consumer *c, unsigned k, struct why *why)
{
    for (unsigned p = 0; p < N_PARTITIONS; p++)
        if (differs(why, k, "position read", f->positions[k][p].ok, true) ||
            differs(why, k, "bytes of the note", f->positions[k][p].n_note, c->positions[p].is_set ? 8 : 0) ||
            (c->positions[p].is_set &&
             (differs(why, k, "position", f->positions[k][p].next_seq, c->positions[p].next_seq) ||
              differs(why, k, "note", f->positions[k][p].note, c->positions[p].note))))
            return false;
    return true;
}

static bool same_consumer(const struct found *f, const struct state *s, unsigned k, struct why *why)
{
    const struct consumer *c = &s->consumers[k];
    const struct gw_log_consumer *got = &f->consumers[k];
    uint64_t done = 0;

    if (differs(why, k, "presence", f->is_there[k], c->is_there) || !c->is_there)
        return !c->is_there && !f->is_there[k];
    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++) {
        if (differs(why, k, "rows settled", got->settled[o], c->settled[o]))
            return false;
        done += got->settled[o];
    }
    return !differs(why, k, "id", got->id, c->id) && !differs(why, k, "first row", got->first_row, c->first_row) &&
           !differs(why, k, "lost rows", got->lost_rows, 0) &&
           !differs(why, k, "rows done", got->low_row + got->ahead_rows, c->first_row + done) &&
           !differs(why, k, "open rows", f->n_open[k], c->n_open) &&
           !differs(why, k, "which rows are open", f->open_sum[k], c->open_sum) && same_positions(f, c, k, why);
}

static bool same_state(const struct found *f, const struct state *s, struct why *why)
{
    if (differs(why, 0, "(all) frames", f->st.end_seq, s->end_seq) ||
        differs(why, 0, "(all) rows", f->st.end_row, s->end_row))
        return false;
    for (unsigned k = 0; k < N_CONSUMERS; k++)
        if (!same_consumer(f, s, k, why))
            return false;
    return true;
}

static struct verified *verified_slot(struct world *w, uint64_t image)
{
    return &w->verified[image % VERIFIED];
}

/* Of a segment that is not the last. False: its file is not there. */
static bool verified_as(const struct gw_lf *lf, size_t i, struct gw_simdisk *d, struct verified *ret)
{
    const struct gw_lf_seg *s = &lf->segs[i], *next = s + 1;
    char path[GW_LF_PATH];

    gw_lf_path(lf, s->number, "", path);
    *ret = (struct verified){gw_simdisk_image(d, path), s->number,      s->first_seq, s->first_row, s->data, s->end,
                             next->first_seq,           next->first_row};
    return ret->image != 0;
}

/* The first segment that has to be read. Reading the others again would be the same call with the same bytes. */
static size_t first_unverified(struct world *w, const struct gw_lf *lf, struct gw_simdisk *d)
{
    struct verified v;
    size_t i = 0;

    while (i + 1 < lf->n_segs && verified_as(lf, i, d, &v) && memcmp(verified_slot(w, v.image), &v, sizeof(v)) == 0)
        i++;
    return i;
}

static void note_verified(struct world *w, const struct gw_lf *lf, struct gw_simdisk *d, size_t from)
{
    struct verified v;

    for (size_t i = from; i + 1 < lf->n_segs; i++)
        if (verified_as(lf, i, d, &v))
            *verified_slot(w, v.image) = v;
}

static bool is_frame(const struct world *w, uint64_t seq, const struct gw_log_entry *e)
{
    const struct frame *x = &w->m.frames[seq];

    return e->frame.seq == seq && e->frame.row == x->row && e->frame.rows == x->rows &&
           e->frame.time_ns == x->time_ns && e->frame.topic == x->topic && e->frame.partition == x->partition &&
           e->frame.signal == x->signal && !e->lost_frames && !e->lost_rows &&
           gw_slice_eq(e->frame.meta, gw_slice_of(w->base + x->at + 1, x->n_meta)) &&
           gw_slice_eq(e->frame.body, gw_slice_of(w->base + x->at, x->n_body));
}

static void read_frames(struct world *w, struct gw_log *l, struct gw_simdisk *d, const struct found *f)
{
    const struct gw_lf *lf = (const struct gw_lf *)l;
    size_t from = first_unverified(w, lf, d);
    uint64_t seq = from > 0 ? lf->segs[from].first_seq : f->st.first_seq;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    int rc = gw_log_reader_new(l, &(struct gw_log_reader_conf){0}, &r);

    MUST(w, rc == 0, "no reader: %d", rc);
    if (from > 0)
        (void)gw_log_seek(r, GW_LOG_PARTITIONS, seq);
    for (; (rc = gw_log_next(r, &e)) == 1; seq++)
        if (seq >= f->st.end_seq || !is_frame(w, seq, &e)) {
            const struct frame *x = &w->m.frames[seq];

            fail(
                w,
                "frame %llu with %u rows, %u bytes at %llu is read as frame %llu with %u rows, %zu bytes at %llu; %llu "
                "of %llu lost",
                (unsigned long long)seq, x->rows, x->n_body, (unsigned long long)x->row,
                (unsigned long long)e.frame.seq, e.frame.rows, e.frame.body.n, (unsigned long long)e.frame.row,
                (unsigned long long)e.lost_frames, (unsigned long long)f->st.end_seq);
            break;
        }
    gw_log_reader_free(r);
    if (!w->failed && (rc < 0 || seq != f->st.end_seq))
        fail(w, "reading ends with %d at frame %llu of %llu", rc, (unsigned long long)seq,
             (unsigned long long)f->st.end_seq);
    if (!w->failed)
        note_verified(w, lf, d, from);
}

static void note_open(struct found *f, unsigned k, uint64_t from, uint64_t to)
{
    f->n_open[k] += to - from;
    f->open_sum[k] += mix_below(to) - mix_below(from);
}

/* As a reader finds them. */
static void read_open(struct world *w, struct gw_log *l, struct found *f, unsigned k)
{
    struct gw_log_reader_conf conf = {.consumer = f->consumers[k].id};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    int rc = gw_log_reader_new(l, &conf, &r);

    MUST(w, rc == 0, "no reader of %s: %d", names[k], rc);
    /* Also what is behind its positions; what lies below its low is settled, as the log says: the model must agree. */
    (void)gw_log_seek(r, GW_LOG_PARTITIONS, f->consumers[k].low);
    while ((rc = gw_log_next(r, &e)) == 1)
        for (unsigned i = 0; i < e.n_open; i++) {
            uint64_t from = e.frame.row + e.open[i].first;

            note_open(f, k, from, from + e.open[i].rows);
        }
    gw_log_reader_free(r);
    if (rc < 0)
        fail(w, "reading for %s ends with %d", names[k], rc);
}

/* As the log knows them, without reading frames. */
static void ask_open(struct gw_log *l, struct found *f, unsigned k)
{
    const struct gw_lf_state *s = &((const struct gw_lf *)l)->state;
    const struct gw_lf_consumer *c = gw_lf_state_consumer(s, f->consumers[k].id);
    uint64_t at = 0, from, to;

    for (; c && gw_lf_rows_open(&c->done, at, s->end_row, &from, &to); at = to)
        note_open(f, k, from, to);
}

static void look(struct world *w, struct gw_log *l, struct gw_simdisk *d, struct found *f)
{
    bool reads = any(&w->crash_seed, 8) == 0;

    memset(f, 0, sizeof(*f));
    gw_log_stats(l, &f->st);
    (void)gw_log_consumers(l, note_consumer, f);
    MUST(w, f->n_others == 0, "a consumer that nobody opened");
    MUST(w, f->st.lost_frames == 0 && f->st.lost_rows == 0, "%llu frames, %llu rows are called lost",
         (unsigned long long)f->st.lost_frames, (unsigned long long)f->st.lost_rows);
    MUST(w, f->st.end_seq < GW_CRASH_FRAMES, "ends with frame %llu", (unsigned long long)f->st.end_seq);
    read_frames(w, l, d, f);
    for (unsigned k = 0; k < N_CONSUMERS && !w->failed; k++) {
        if (!f->is_there[k])
            continue;
        if (reads)
            read_open(w, l, f, k);
        else
            ask_open(l, f, k);
        for (uint16_t p = 0; p < N_PARTITIONS; p++) {
            size_t n = sizeof(uint64_t);

            f->positions[k][p].ok = gw_log_position(l, f->consumers[k].id, p, &f->positions[k][p].next_seq,
                                                    &f->positions[k][p].note, &n) == 0;
            f->positions[k][p].n_note = n;
        }
    }
}

/* Epochs are not to be seen from outside: a new one must be the next of some operation that fits. */
static void check_epoch(struct world *w, struct gw_log *l, const struct found *f, int lo, int hi, uint32_t *ret)
{
    struct gw_log_producer p = {0};
    int rc = gw_log_producer(l, "graph", &p);
    struct why why;

    MUST(w, rc == 0 && p.id == 1, "a new epoch: %d, id %u", rc, p.id);
    *ret = p.epoch;
    for (int n = lo; n <= hi; n++)
        if (same_state(f, &w->m.ops[n].after, &why) && w->m.ops[n].after.epoch + 1 == p.epoch)
            return;
    fail(w, "epoch %u follows none of the operations %d to %d", p.epoch, lo, hi);
}

/* The operation behind which the log stands; -1: behind none of lo .. hi. ret_epoch: a new epoch is made. */
static int standing(struct world *w, struct gw_log *l, struct gw_simdisk *d, int lo, int hi, uint32_t *ret_epoch)
{
    struct found f;
    struct why why, most = {0};
    int most_of = -1;

    look(w, l, d, &f);
    if (w->failed)
        return -1;
    for (int n = hi; n >= lo; n--) {
        if (!same_state(&f, &w->m.ops[n].after, &why)) {
            if (most_of < 0 && (n == lo || f.st.end_seq == w->m.ops[n].after.end_seq)) { /* the most telling one */
                most = why;
                most_of = n;
            }
            continue;
        }
        for (unsigned k = 0; k < N_CONSUMERS; k++)
            if (f.is_there[k] && f.st.first_row > low_row(w, &w->m.ops[n].after, k, n))
                fail(w, "rows that %s needs are gone", names[k]);
        if (ret_epoch && !w->failed)
            check_epoch(w, l, &f, lo, hi, ret_epoch);
        return n;
    }
    fail(w,
         "stands behind none of the operations %d to %d: there are %llu frames, %llu rows; not behind %d: %s of %s: "
         "%llu "
         "instead of %llu",
         lo, hi, (unsigned long long)f.st.end_seq, (unsigned long long)f.st.end_row, most_of, most.what,
         names[most.consumer], (unsigned long long)most.got, (unsigned long long)most.wanted);
    return -1;
}

/* ---- crashing ----------------------------------------------------------------------------------------------- */

struct one_done {
    struct gw_log_commit c; /* first */
    int rc;
};

static void note_done(struct gw_log_commit *c, int rc)
{
    ((struct one_done *)(void *)c)->rc = rc;
}

/* A log that was recovered takes a commit, and has it. */
static void goes_on(struct world *w, struct gw_log *l, int n)
{
    struct gw_log_frame f = {.rows = 1, .body = GW_SLICE("fresh")};
    struct one_done d = {.c = {.frames = &f, .n_frames = 1, .sync = true, .done = note_done}, .rc = 1};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    gw_log_submit(l, &d.c);
    (void)gw_log_work(l);
    MUST(w, d.rc == 0, "a fresh commit ends with %d", d.rc);
    MUST(w, f.seq == w->m.ops[n].after.end_seq && f.row == w->m.ops[n].after.end_row,
         "a fresh frame got the number %llu", (unsigned long long)f.seq);
    MUST(w, gw_log_reader_new(l, &(struct gw_log_reader_conf){0}, &r) == 0, "no reader");
    (void)gw_log_seek(r, GW_LOG_PARTITIONS, f.seq);
    if (gw_log_next(r, &e) != 1 || !gw_slice_is(e.frame.body, "fresh") || e.frame.seq != f.seq)
        fail(w, "the fresh frame cannot be read");
    gw_log_reader_free(r);
}

struct nest {
    struct world *w;
    unsigned depth;
    int lo, hi;
    uint64_t at; /* crash before this call; 0: not at all */
};

static int judge(struct world *w, unsigned depth, int lo, int hi);

static void crash_recovery(void *arg, struct gw_simdisk *d, enum gw_simdisk_call call)
{
    struct nest *n = arg;
    struct world *w = n->w;
    struct gw_simdisk_crash how;
    int lo = n->lo;

    (void)call;
    if (w->failed || n->at == 0 || d->n_changes != n->at)
        return;
    if (any(&w->crash_seed, 4) == 0) {
        gw_simdisk_kill(&w->disks[n->depth + 1], d);
    } else {
        lo = w->m.n_synced; /* what a killed process had in the cache goes now */
        how = gw_simdisk_any_crash(&w->crash_seed);
        gw_simdisk_power_cut(&w->disks[n->depth + 1], d, &how, &w->crash_seed);
    }
    (void)judge(w, n->depth + 1, lo, n->hi);
}

static void put_log(void *arg, const char *line, size_t n)
{
    (void)arg;
    (void)fwrite(line, 1, n, stderr);
}

/* GW_CRASH_DUMP=folder: what the last crash left. */
static void dump(const struct world *w, struct gw_simdisk *d)
{
    const char *to = w->dump, *paths[GW_SIMDISK_FILES];
    unsigned n = to ? gw_simdisk_list(d, "q", paths, GW_SIMDISK_FILES) : 0;

    for (unsigned i = 0; i < n; i++) {
        char path[256];
        size_t bytes;
        const uint8_t *p = gw_simdisk_bytes(d, paths[i], &bytes);
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%s", to, paths[i] + 2);
        f = fopen(path, "wb");
        if (f) {
            (void)fwrite(p, 1, bytes, f);
            (void)fclose(f);
        }
    }
}

/* Every second log is written through the page cache; whoever opens it next need not do the same. */
static uint64_t any_stage(uint64_t *seed)
{
    static const uint64_t pages[] = {0, 0, 0, 1, 2, 5};

    return 4096 * pages[any(seed, 6)];
}

/* The disk of that depth is started from. Returns the operation behind which it stands. */
static int judge(struct world *w, unsigned depth, int lo, int hi)
{
    struct gw_simdisk *d = &w->disks[depth];
    struct nest nest = {.w = w, .depth = depth, .lo = lo, .hi = hi};
    struct gw_log_files_conf conf = w->files;
    struct gw_err err = {""};
    struct gw_log *l = NULL;
    uint32_t epoch;
    int n = -1, rc;

    if (depth < GW_CRASH_DEPTH && any(&w->crash_seed, 1000) < w->conf->nest_permille)
        nest.at = 1 + any(&w->crash_seed, 12);
    d->before = crash_recovery;
    d->arg = &nest;
    d->log = w->log ? put_log : NULL;
    conf.env = &d->env;
    conf.stage_bytes = any_stage(&w->crash_seed);
    dump(w, d);
    rc = open_log(&conf, &l, &err);
    nest.at = 0; /* what follows is not recovery */
    if (rc < 0) {
        fail(w, "does not open: %d, %s", rc, err.text);
        return -1;
    }
    if (!w->failed)
        n = standing(w, l, d, lo, hi, any(&w->crash_seed, 4) ? NULL : &epoch);
    if (!w->failed)
        goes_on(w, l, n);
    gw_log_close(l);
    if (!w->failed && !gw_simdisk_is_quiet(d))
        fail(w, "a file was left open");
    w->counts->points[depth - 1]++;
    return n;
}

static void before_call(void *arg, struct gw_simdisk *d, enum gw_simdisk_call call)
{
    struct world *w = arg;
    struct gw_simdisk_crash how;

    (void)call;
    w->counts->calls++;
    if (w->failed || w->in_doubt || (w->conf->skip_permille && any(&w->crash_seed, 1000) < w->conf->skip_permille))
        return;
    for (unsigned i = 0; i < w->conf->power_cuts && !w->failed; i++) {
        how = gw_simdisk_any_crash(&w->crash_seed);
        gw_simdisk_power_cut(&w->disks[1], d, &how, &w->crash_seed);
        (void)judge(w, 1, w->m.n_synced, w->m.n_ops);
    }
    for (unsigned i = 0; i < w->conf->kills && !w->failed; i++) {
        gw_simdisk_kill(&w->disks[1], d);
        (void)judge(w, 1, w->m.n_done, w->m.n_ops);
    }
    if (w->failed || w->next_taken || --w->next_at > 0)
        return;
    w->next_taken = true;
    how = gw_simdisk_any_crash(&w->crash_seed);
    gw_simdisk_power_cut(&w->next_disk, d, &how, &w->crash_seed);
    w->next_m = w->m;
}

/* ---- the workload ------------------------------------------------------------------------------------------- */

static void done(struct gw_log_commit *c, int rc)
{
    struct pending *p = (struct pending *)(void *)c;
    struct world *w = p->w;

    p->n_done++;
    p->rc = rc;
    if (p->op < 0 && rc != p->wanted && !(w->conf->faults && rc < 0))
        fail(w, "a commit that must fail with %d ended with %d", p->wanted, rc);
    if (rc < 0 || p->op < 0)
        return;
    w->m.n_done = p->op;
    if (p->c.sync)
        w->m.n_synced = p->op;
}

static void any_frame(struct world *w, struct gw_log_frame *f)
{
    uint64_t some = w->files.segment_bytes / 6;
    uint32_t n = (uint32_t)(w->conf->large && any(&w->seed, 2) ? some + any(&w->seed, some) : any(&w->seed, 160));
    uint32_t at = (uint32_t)any(&w->seed, BASE_BYTES / 2);

    *f = (struct gw_log_frame){
        .rows = (uint32_t)(any(&w->seed, 10) ? 1 + any(&w->seed, 8) : 0),
        .time_ns = w->disks[0].now_ns + any(&w->seed, 1000),
        .topic = (uint16_t)any(&w->seed, 3),
        .partition = (uint16_t)any(&w->seed, N_PARTITIONS),
        .signal = (uint8_t)any(&w->seed, 4),
        .meta = gw_slice_of(w->base + at + 1, any(&w->seed, 3) ? 0 : any(&w->seed, 60)),
        .body = gw_slice_of(w->base + at, n),
    };
}

static void m_append(struct world *w, struct state *s, const struct gw_log_frame *f)
{
    w->m.frames[s->end_seq++] = (struct frame){
        .row = s->end_row,
        .time_ns = f->time_ns,
        .rows = f->rows,
        .n_body = (uint32_t)f->body.n,
        .at = (uint32_t)(f->body.p - w->base),
        .topic = f->topic,
        .partition = f->partition,
        .n_meta = (uint16_t)f->meta.n,
        .signal = f->signal,
    };
    for (uint64_t row = s->end_row; row < s->end_row + f->rows; row++)
        for (unsigned k = 0; k < N_CONSUMERS; k++) {
            w->m.settled_by[k][row] = NEVER;
            if (s->consumers[k].is_there) {
                s->consumers[k].n_open++;
                s->consumers[k].open_sum += mix(row);
            }
        }
    s->end_row += f->rows;
}

/* Frames that are committed and not in a commit of this batch: their numbers are known. */
static void any_settle(struct world *w, struct pending *p, struct state *s, const struct state *known)
{
    unsigned k = (unsigned)any(&w->seed, w->conf->until_settled ? N_CONSUMERS : 2);
    uint64_t low = row_of(w, known, known->trim), seq = known->trim;
    struct gw_log_settle *t = &p->settles[p->c.n_settles];
    uint64_t from, to;

    if (!known->consumers[k].is_there || !s->consumers[k].is_there || known->trim >= known->end_seq)
        return;
    if (any(&w->seed, 2)) { /* in order, as a sink that works: then segments go */
        low = low_row(w, known, k, w->m.n_ops);
        while (seq + 1 < known->end_seq && w->m.frames[seq + 1].row <= low)
            seq++;
    } else {
        seq += any(&w->seed, known->end_seq - known->trim);
    }
    *t = (struct gw_log_settle){.consumer = s->consumers[k].id,
                                .outcome = (uint8_t)any(&w->seed, GW_LOG_N_OUTCOMES),
                                .seq = seq,
                                .last_seq = seq};
    from = w->m.frames[seq].row;
    to = from + w->m.frames[seq].rows;
    if (any(&w->seed, 3) == 0) {
        t->last_seq += any(&w->seed, known->end_seq - seq < 6 ? known->end_seq - seq : 6);
        to = w->m.frames[t->last_seq].row + w->m.frames[t->last_seq].rows;
    } else if (w->m.frames[seq].rows > 0 && any(&w->seed, 2)) {
        t->first_row = (uint32_t)any(&w->seed, w->m.frames[seq].rows);
        t->rows = 1 + (uint32_t)any(&w->seed, w->m.frames[seq].rows - t->first_row);
        t->frame_rows = w->m.frames[seq].rows;
        from += t->first_row;
        to = from + t->rows;
    }
    p->c.n_settles++;
    for (uint64_t row = from; row < to; row++)
        settle_row(w, s, k, row, t->outcome);
}

static void any_position(struct world *w, struct pending *p, struct state *s)
{
    unsigned k = (unsigned)any(&w->seed, N_CONSUMERS), q = (unsigned)any(&w->seed, N_PARTITIONS), i = p->c.n_positions;
    uint64_t next_seq = any(&w->seed, s->end_seq + 1);

    if (k != 2 || !s->consumers[k].is_there || w->conf->until_settled) /* the others settle rows */
        return;
    p->notes[i] = gw_test_random(&w->seed);
    p->positions[i] = (struct gw_log_position){.consumer = s->consumers[k].id,
                                               .partition = (uint16_t)q,
                                               .next_seq = next_seq,
                                               .note = gw_slice_of(&p->notes[i], 8)};
    s->consumers[k].positions[q].is_set = true;
    s->consumers[k].positions[q].next_seq = next_seq;
    s->consumers[k].positions[q].note = p->notes[i];
    p->c.n_positions++;
}

static void make_commit(struct world *w, struct pending *p, const struct state *known)
{
    struct op *op = begin_op(w, COMMIT);
    struct state *s = &op->after;
    unsigned n = (unsigned)any(&w->seed, FRAMES_AN_OP + 1);

    *p = (struct pending){.w = w, .op = w->m.n_ops};
    p->c = (struct gw_log_commit){.frames = p->frames,
                                  .settles = p->settles,
                                  .positions = p->positions,
                                  .sync = any(&w->seed, 3) == 0,
                                  .done = done};
    op->sync = p->c.sync;
    for (uint64_t i = any(&w->seed, 4); i > 0; i--)
        any_settle(w, p, s, known);
    for (unsigned i = 0; i < n; i++) {
        any_frame(w, &p->frames[p->c.n_frames++]);
        m_append(w, s, &p->frames[i]);
    }
    for (uint64_t i = any(&w->seed, 3); i > 0; i--)
        any_position(w, p, s);
    if (s->epoch && any(&w->seed, 2))
        p->c.producer = (struct gw_log_producer){1, s->epoch};
}

/* A commit of an older graph: nothing of it may ever be seen. */
static void make_stale(struct world *w, struct pending *p)
{
    *p = (struct pending){.w = w, .op = -1, .wanted = -ESTALE};
    p->c = (struct gw_log_commit){.frames = p->frames, .n_frames = 1, .done = done, .sync = true};
    p->c.producer = (struct gw_log_producer){1, now(w)->epoch - 1};
    p->frames[0] = (struct gw_log_frame){.rows = 3, .body = GW_SLICE("of an old graph")};
}

/* What the log says of itself must be true as well. */
static void believe_stats(struct world *w)
{
    struct gw_log_stats st;

    gw_log_stats(w->l, &st);
    MUST(w, st.end_seq == now(w)->end_seq && st.end_row == now(w)->end_row, "the running log ends with %llu, not %llu",
         (unsigned long long)st.end_seq, (unsigned long long)now(w)->end_seq);
    for (int n = w->m.n_done; n > w->m.n_synced; n--)
        if (w->m.ops[n].after.end_seq > w->m.ops[n - 1].after.end_seq && w->m.ops[n].after.end_seq <= st.synced_seq)
            w->m.n_synced = n;
}

static void commits(struct world *w)
{
    struct state known = *now(w);
    unsigned n = w->conf->faults ? 1 : (unsigned)(1 + any(&w->seed, BATCH));

    for (unsigned i = 0; i < n; i++) {
        if (now(w)->epoch > 1 && any(&w->seed, 8) == 0)
            make_stale(w, &w->batch[i]);
        else
            make_commit(w, &w->batch[i], &known);
        gw_log_submit(w->l, &w->batch[i].c);
    }
    for (unsigned i = 0; i < 3 && w->batch[n - 1].n_done == 0 && !w->failed; i++)
        (void)gw_log_work(w->l);
    for (unsigned i = 0; i < n && !w->failed; i++) {
        const struct pending *p = &w->batch[i];

        MUST(w, p->n_done == 1, "a commit is done %d times", p->n_done);
        MUST(w, p->op < 0 || p->rc == 0 || w->conf->faults, "a commit ended with %d on a disk without faults", p->rc);
        if (p->op >= 0)
            w->in_doubt = p->rc < 0;
        if (p->op >= 0 && p->rc < 0)
            undo_behind(w, w->m.n_ops - 1); /* with faults there is one at a time */
    }
    if (!w->failed)
        believe_stats(w);
}

static void open_consumer(struct world *w)
{
    unsigned k = (unsigned)any(&w->seed, N_CONSUMERS);
    struct op *op;
    struct consumer *c;
    struct gw_log_stats st;
    uint32_t id = 0;
    int rc;

    if (now(w)->consumers[k].is_there)
        return;
    gw_log_stats(w->l, &st);
    op = begin_op(w, OPEN_CONSUMER);
    c = &op->after.consumers[k];
    *c = (struct consumer){.is_there = true, .id = op->after.next_consumer++, .first_row = st.first_row};
    for (uint64_t row = st.first_row; row < op->after.end_row; row++) {
        w->m.settled_by[k][row] = NEVER;
        c->n_open++;
        c->open_sum += mix(row);
    }
    rc = gw_log_consumer_open(w->l, names[k], GW_LOG_FROM_FIRST, &id);
    w->in_doubt = rc < 0;
    if (rc < 0 && w->conf->faults) {
        undo_behind(w, w->m.n_ops - 1);
        return;
    }
    MUST(w, rc == 0 && id == c->id, "a consumer opens with %d, id %u instead of %u", rc, id, c->id);
    w->m.n_done = w->m.n_synced = w->m.n_ops;
}

static void release_consumer(struct world *w)
{
    unsigned k = (unsigned)any(&w->seed, N_CONSUMERS);
    int rc;

    if (!now(w)->consumers[k].is_there)
        return;
    begin_op(w, RELEASE)->after.consumers[k] = (struct consumer){0};
    rc = gw_log_consumer_release(w->l, names[k]);
    w->in_doubt = rc < 0;
    if (rc < 0 && w->conf->faults) {
        undo_behind(w, w->m.n_ops - 1);
        return;
    }
    MUST(w, rc == 0, "a consumer is released with %d", rc);
    w->m.n_done = w->m.n_synced = w->m.n_ops;
}

static void new_epoch(struct world *w)
{
    struct op *op = begin_op(w, PRODUCER);
    struct gw_log_producer p = {0};
    int rc;

    op->after.epoch++;
    rc = gw_log_producer(w->l, "graph", &p);
    w->in_doubt = rc < 0;
    if (rc < 0 && w->conf->faults) {
        undo_behind(w, w->m.n_ops - 1);
        return;
    }
    MUST(w, rc == 0 && p.id == 1 && p.epoch == op->after.epoch, "a new epoch: %d, %u/%u instead of %u", rc, p.id,
         p.epoch, op->after.epoch);
    w->m.n_done = w->m.n_synced = w->m.n_ops;
}

/* Segments go as a whole: where the log would begin if it were truncated now. */
static uint64_t truncated_at(struct world *w, uint64_t seq)
{
    struct gw_simdisk *d = &w->disks[1];
    struct gw_log_files_conf conf = w->files;
    struct gw_log_stats st = {0};
    struct gw_err err;
    struct gw_log *l;

    gw_simdisk_kill(d, &w->disks[0]);
    d->before = NULL;
    conf.env = &d->env;
    if (open_log(&conf, &l, &err) < 0)
        return 0;
    if (gw_log_truncate(l, seq) == 0)
        gw_log_stats(l, &st);
    gw_log_close(l);
    return st.first_seq;
}

static void truncate_some(struct world *w)
{
    uint64_t seq = any(&w->seed, 3) ? any(&w->seed, now(w)->end_seq + 1) : GW_LOG_END;
    uint64_t at = w->conf->faults ? 0 : truncated_at(w, seq);
    struct gw_log_stats st;
    struct op *op;
    int rc;

    gw_log_stats(w->l, &st);
    if (at <= st.first_seq || at > seq)
        return; /* nothing would go */
    op = begin_op(w, TRUNCATE);
    op->after.trim = at;
    for (unsigned k = 0; k < N_CONSUMERS; k++)
        for (uint64_t n = 0; n < at; n++) {
            const struct frame *f = &w->m.frames[n];
            bool passed = op->after.consumers[k].positions[f->partition].next_seq > n;

            for (uint64_t row = f->row; row < f->row + f->rows; row++)
                settle_row(w, &op->after, k, row, passed ? GW_LOG_DELIVERED : GW_LOG_DROPPED);
        }
    rc = gw_log_truncate(w->l, seq);
    MUST(w, rc == 0, "truncation ends with %d", rc);
    w->m.n_done = w->m.n_synced = w->m.n_ops;
}

/* Something of the disk fails from now on, for a while. */
static void any_fault(struct world *w)
{
    static const int errors[] = {-EIO, -ENOSPC, -EMFILE, -EROFS, -EDQUOT};
    struct gw_simdisk *d = &w->disks[0];
    enum gw_simdisk_call call = (enum gw_simdisk_call)any(&w->seed, GW_SIMDISK_N_CALLS);

    memset(d->faults, 0, sizeof(d->faults));
    d->short_permille = 0;
    d->read_only = false;
    w->counts->faults++;
    if (any(&w->seed, 3) == 0)
        return; /* all is well again */
    if (any(&w->seed, 6) == 0)
        d->short_permille = 300;
    if (any(&w->seed, 12) == 0)
        d->read_only = true;
    d->faults[call] =
        (struct gw_simdisk_fault){call == GW_SIMDISK_SYNC || call == GW_SIMDISK_READ ? -EIO : errors[any(&w->seed, 5)],
                                  1 + any(&w->seed, 3), any(&w->seed, 3) ? 1 : 1 + any(&w->seed, 20)};
}

static void step(struct world *w)
{
    w->disks[0].now_ns += any(&w->seed, 80000000);
    if (w->conf->faults && any(&w->seed, 6) == 0)
        any_fault(w);
    switch (any(&w->seed, 16)) {
    case 0:
    case 1:
        open_consumer(w);
        break;
    case 2:
        if (any(&w->seed, 5) == 0)
            release_consumer(w);
        break;
    case 3:
        if (any(&w->seed, 2) == 0)
            new_epoch(w);
        break;
    case 4:
        if (any(&w->seed, 4) == 0)
            truncate_some(w);
        break;
    case 5: /* the writer is called again when it wanted to */
        (void)gw_log_work(w->l);
        believe_stats(w);
        break;
    default:
        commits(w);
    }
}

static bool has_room(struct world *w)
{
    return w->m.n_ops + BATCH < GW_CRASH_OPS && now(w)->end_seq + 32 < GW_CRASH_FRAMES &&
           now(w)->end_row + 200 < GW_CRASH_ROWS;
}

static void one_life(struct world *w)
{
    struct gw_simdisk *d = &w->disks[0];
    struct gw_err err = {""};
    int rc;

    d->before = before_call;
    d->arg = w;
    d->log = w->log ? put_log : NULL;
    w->files.env = &d->env;
    w->next_taken = w->in_doubt = false;
    w->next_at = 1 + any(&w->crash_seed, 6 * w->conf->n_steps);
    w->counts->lives++;
    w->files.stage_bytes = any_stage(&w->crash_seed);
    rc = open_log(&w->files, &w->l, &err);
    MUST(w, rc == 0, "does not open: %d, %s", rc, err.text);
    for (unsigned i = 0; i < w->conf->n_steps && has_room(w) && !w->failed; i++)
        step(w);
    memset(d->faults, 0, sizeof(d->faults));
    d->short_permille = 0;
    d->read_only = false;
    gw_log_close(w->l);
    if (!w->failed && w->next_taken)
        return;
    /* Nobody crashed it: it is as it was closed. */
    gw_simdisk_kill(&w->next_disk, d);
    w->m.n_synced = w->m.n_ops;
    w->next_m = w->m;
}

/* The next life begins where the crash of this one left the log. */
static void next_life(struct world *w)
{
    struct gw_log_files_conf conf = w->files;
    struct gw_err err = {""};
    struct gw_log *l;
    uint32_t epoch = 0;
    int n, rc;

    gw_simdisk_kill(&w->disks[0], &w->next_disk);
    w->disks[0].before = NULL;
    w->disks[0].log = w->log ? put_log : NULL;
    conf.env = &w->disks[0].env;
    rc = open_log(&conf, &l, &err);
    MUST(w, rc == 0, "does not open: %d, %s", rc, err.text);
    w->m = w->next_m;
    n = standing(w, l, &w->disks[0], w->m.n_synced, w->m.n_ops, &epoch);
    gw_log_close(l); /* what it stands on is stored by that */
    if (w->failed)
        return;
    undo_behind(w, n);
    w->m.ops[n].after.epoch = epoch;
    w->m.n_done = w->m.n_synced = n;
}

static const uint64_t segment_sizes[] = {8 << 10, 8 << 10, 8 << 10, 8 << 10, 16 << 10, 16 << 10, 16 << 10, 64 << 10};

const char *gw_crash_run(const struct gw_crash_conf *conf, uint64_t seed, struct gw_crash_counts *counts)
{
    static struct world *w; /* megabytes: kept */
    uint64_t fill = 1;

    if (!w) {
        w = calloc(1, sizeof(*w));
        w->base = malloc(BASE_BYTES);
        for (size_t i = 0; i < BASE_BYTES; i++)
            w->base[i] = (uint8_t)gw_test_random(&fill);
    }
    w->conf = conf;
    w->counts = counts;
    w->log = getenv("GW_CRASH_LOG");
    w->dump = getenv("GW_CRASH_DUMP");
    w->seed = mix(seed);
    w->crash_seed = mix(seed + 0x5eed);
    w->failed = false;
    w->files = (struct gw_log_files_conf){.dir = "q", .segment_bytes = segment_sizes[mix(seed + 0x5e9) % 8]};
    w->files.retention.until_settled = conf->until_settled;
    for (unsigned i = 0; i <= GW_CRASH_DEPTH; i++)
        gw_simdisk_init(&w->disks[i], seed);
    gw_simdisk_init(&w->next_disk, seed);
    memset(&w->m.ops[0], 0, sizeof(w->m.ops[0]));
    w->m.ops[0].after.next_consumer = 1;
    w->m.n_ops = w->m.n_done = w->m.n_synced = 0;
    memset(w->verified, 0, sizeof(w->verified));
    for (unsigned i = 0; i < conf->n_lives && !w->failed; i++) {
        one_life(w);
        if (!w->failed)
            next_life(w);
    }
    for (unsigned i = 0; i <= GW_CRASH_DEPTH; i++)
        gw_simdisk_clear(&w->disks[i]);
    gw_simdisk_clear(&w->next_disk);
    return w->failed ? w->failure : NULL;
}
