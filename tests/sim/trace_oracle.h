/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor that keeps traces, behind a journal, killed again and again, against itself: what the journal has in the
 * end is given to a second gateway that is never killed, in one piece. Both keep the same spans, each as often, with
 * the same written on them.
 *
 * Crashes are anywhere: in the middle of a turn's commits, while it restores, several in a row, with the power cut,
 * with logs that fail and are full. The second gateway reads what the first one heard live, so that frames come to the
 * processor put together in another way.
 *
 *     static void draw(struct world *w) { … w->is, w->processor, w->settings … }
 *     gw_test_seeds(6, run_seed) ─► oracle_run(seed, draw, forgets)
 */
#ifndef GW_TESTS_SIM_TRACE_ORACLE_H
#define GW_TESTS_SIM_TRACE_ORACLE_H

#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "tests/harness_logs.h"
#include "tests/sim/tail_spans.h"

enum { N_TRACES = 40, MAX_SPANS = 1500, MAX_LIVES = 16, MAX_REQUEST = 400, MAX_FRAMES = 8192 };
#define STEP_NS 100000000ull
#define S       1000000000ull

/* What a seed is like, whatever is asked of the processor. */
struct shape {
    bool fsync, steps_back, other_workers, links, pads, giants, idless;
    unsigned n_workers, n_partitions, fail, full, delay_ms;
};

struct frame {
    struct gw_log_frame f;
    struct gw_buf meta, body;
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, back_ns;
    struct shape is;
    const char *processor;
    char settings[2500];
    unsigned n_spans, n_crashes, n_workers;
    struct tail_span spans[MAX_SPANS];
    unsigned stored[MAX_SPANS], kept[MAX_SPANS], must[MAX_SPANS];
    uint64_t sums[MAX_SPANS], must_sums[MAX_SPANS]; /* of what is kept, with what is written on it */
    struct frame *frames;
    unsigned n_frames;
};

static unsigned long long n_crashes, n_kept, n_dropped;

static inline uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static inline struct shape draw_shape(struct world *w)
{
    unsigned n_partitions = 1u << w->seed % 7; /* also fewer than workers */

    return (struct shape){.n_partitions = n_partitions,
                          .fsync = any(w, 2),
                          .idless = any(w, 2),
                          .n_workers = 1 + (unsigned)any(w, 3),
                          .fail = any(w, 2) ? 0 : 60,
                          .full = any(w, 2) ? 0 : 40,
                          .delay_ms = (unsigned)any(w, 2) * 80};
}

/* ---- spans ------------------------------------------------------------------------------------------------ */

static void add_span(struct world *w, unsigned trace)
{
    struct tail_span *s = &w->spans[w->n_spans];

    *s = (struct tail_span){.name = w->n_spans, .trace = trace, .no_id = w->is.idless && any(w, 20) == 0};
    s->flags |= any(w, 20) == 0 ? TAIL_ERROR : 0;
    s->flags |= any(w, 25) == 0 ? TAIL_MARKED : 0;
    s->flags |= any(w, 6) == 0 ? TAIL_ROOT : 0;
    s->link = w->is.links && any(w, 3) == 0 ? 1 + (unsigned)any(w, N_TRACES) : 0;
    s->padding = w->is.pads ? (unsigned)any(w, 10) * 1000 : 0;
    w->n_spans++;
}

static unsigned size_of_request(struct world *w)
{
    return w->is.giants && any(w, 8) == 0 ? 100 + (unsigned)any(w, MAX_REQUEST - 100) : 1 + (unsigned)any(w, 8);
}

/* Some requests come twice, as exporters send them again. */
static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, w->n_workers));
    unsigned n = size_of_request(w), first = w->n_spans, around = (unsigned)any(w, N_TRACES), wide = n > 8 ? 1 : 4;
    struct gw_verdict v = {0};
    struct gw_buf b;

    if (any(w, 12) == 0 && first >= 8)
        first -= 8, n = 8;
    else if (first + n > MAX_SPANS)
        return;
    else
        for (unsigned i = 0; i < n; i++)
            add_span(w, any(w, 6) == 0 ? 0 : (around + (unsigned)any(w, wide)) % N_TRACES);
    gw_buf_init(&b, 16 << 20);
    tail_put_request(&b, w->spans + first, n);
    (void)gw_test_send(d, GW_TRACES, gw_buf_slice(&b), NULL, first, &v);
    gw_buf_clear(&b);
}

/* ---- lives ------------------------------------------------------------------------------------------------ */

static const char *yaml(const struct world *w)
{
    static char text[4000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "processors: { %s: { %s } }\n"
                   "exporters: { scripted: { sending_queue: { storage: file_storage, queue_size: 100000,\n"
                   "  num_consumers: 1 }, timeout: 1h } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: trace_id, partitions: %u } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    traces/a: { receivers: [journal/j], processors: [%s], exporters: [scripted] }\n",
                   w->processor, w->settings, w->is.n_partitions, w->processor);
    return text;
}

static const char *const logs[] = {"journal/j", "queue/traces%2Fa", "decisions/traces%2Fa"};

static void set_faults(const struct world *w, bool none)
{
    for (unsigned i = 0; i < 3; i++)
        *gw_test_log_faults(logs[i]) =
            none ? (struct gw_log_sim_faults){0}
                 : (struct gw_log_sim_faults){.fail_permille = w->is.fail,
                                              .full_permille = w->is.full,
                                              .max_late_ns = i ? 0 : w->is.delay_ms * 1000000ull,
                                              .max_delay_ns = w->is.delay_ms * 1000000ull};
}

static void begin_life(struct world *w)
{
    uint64_t offset;

    if (w->is.other_workers && any(w, 3) == 0)
        w->n_workers = 1 + (unsigned)any(w, 3);
    if (w->is.other_workers && w->is.n_partitions < GW_LOG_PARTITIONS && any(w, 4) == 0)
        w->is.n_partitions *= 2;
    gw_test_engine_seed = gw_test_random(&w->seed);
    gw_test_logs_engine_synced(&w->t, yaml(w), w->n_workers, w->is.fsync);
    offset = w->t.te.wall_offset_ns;
    w->t.te.wall_offset_ns = offset - w->back_ns;
    w->t.looks_away = any(w, 8) != 0;
    set_faults(w, false);
}

static void step_back(struct world *w)
{
    uint64_t ns = any(w, 400000000);

    w->back_ns += ns;
    w->t.te.wall_offset_ns -= ns;
}

static void forget_verdicts(struct world *w)
{
    for (unsigned k = 0; k < w->n_workers; k++)
        gw_test_engine_door(&w->t, "scripted", k)->n_verdicts = 0;
}

static void live(struct world *w)
{
    uint64_t turns = any(w, 3) ? 1 + any(w, 12) : any(w, 3);

    for (uint64_t i = 0; i < turns; i++) {
        for (uint64_t k = any(w, 4); k > 0; k--)
            send_one(w);
        if (w->is.steps_back && any(w, 10) == 0)
            step_back(w);
        gw_test_logs_turn(&w->t, 1 + (unsigned)any(w, 3), any(w, 10) == 0 ? any(w, 3 * S) : any(w, 150000000));
        forget_verdicts(w);
    }
}

static void on_done(struct gw_log_commit *c, int rc)
{
    assert_int_equal(rc, 0);
    c->n_settles = 1;
}

static void submit(struct gw_log *l, struct gw_log_commit *c)
{
    gw_log_submit(l, c);
    while (c->n_settles == 0)
        (void)gw_log_work(l);
}

/* As if nobody had written down how far it was. */
static void forget_places(const struct world *w)
{
    struct gw_log *queue = gw_test_log(logs[1]);
    uint8_t note[72], none[72] = {0};
    uint64_t at;

    set_faults(w, true);
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (uint32_t id = 1; id < 8; id++) {
            size_t n = sizeof(note);
            struct gw_log_position to = {.consumer = id, .partition = p, .note = {none, sizeof(none)}};
            struct gw_log_commit c = {.positions = &to, .n_positions = 1, .done = on_done};

            if (gw_log_position(queue, id, p, &at, note, &n) < 0 || n != sizeof(note))
                continue;
            memcpy(none, note, sizeof(none));
            memcpy(none + 32, note + 24, 8); /* next: low */
            submit(queue, &c);
        }
}

static void die(struct world *w)
{
    w->n_crashes++;
    n_crashes++;
    set_faults(w, true);
    gw_test_logs_crash(&w->t, w->is.fsync && any(w, 2));
}

/* Nothing fails any more, and nothing comes in: until all is decided. */
static void end(struct world *w)
{
    begin_life(w);
    set_faults(w, true);
    for (unsigned i = 0; i < 60; i++) {
        gw_test_logs_turn(&w->t, 4, STEP_NS);
        forget_verdicts(w);
    }
    gw_test_logs_turn(&w->t, 20, 0);
}

/* ---- what came of it -------------------------------------------------------------------------------------- */

static uint64_t sum_of(struct gw_slice bytes)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes.n; i++)
        h = (h ^ bytes.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void look_at_frame(struct gw_slice body, unsigned *count, uint64_t *sums)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, body, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    for (unsigned i = 0; i < b->n_rows; i++) {
        count[b->time_ns[i]]++;
        if (sums)
            sums[b->time_ns[i]] += sum_of(gw_batch_slice(b, b->raw[i]));
    }
    (void)gw_batch_unref(b);
}

/* sums: of the bytes of each span, or NULL. */
static void look(const char *log, unsigned *count, uint64_t *sums)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(gw_test_log(log), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1)
        if (e.frame.rows)
            look_at_frame(e.frame.body, count, sums);
    gw_log_reader_free(r);
}

static void remember_journal(struct world *w)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    w->frames = calloc(MAX_FRAMES, sizeof(*w->frames));
    assert_non_null(w->frames);
    assert_int_equal(gw_log_reader_new(gw_test_log(logs[0]), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1) {
        struct frame *f = &w->frames[w->n_frames++];

        assert_true(w->n_frames < MAX_FRAMES);
        f->f = e.frame;
        gw_buf_init(&f->meta, 1 << 20);
        gw_buf_init(&f->body, 16 << 20);
        gw_buf_put_slice(&f->meta, e.frame.meta);
        gw_buf_put_slice(&f->body, e.frame.body);
    }
    gw_log_reader_free(r);
}

static void forget_journal(struct world *w)
{
    for (unsigned i = 0; i < w->n_frames; i++) {
        gw_buf_clear(&w->frames[i].meta);
        gw_buf_clear(&w->frames[i].body);
    }
    free(w->frames);
}

/* ---- the other gateway ------------------------------------------------------------------------------------ */

static void fill_journal(const struct world *w)
{
    struct gw_log *journal = gw_test_log(logs[0]);

    for (unsigned i = 0; i < w->n_frames; i++) {
        struct gw_log_frame f = w->frames[i].f;
        struct gw_log_commit c = {.frames = &f, .n_frames = 1, .done = on_done};

        f.meta = gw_buf_slice(&w->frames[i].meta);
        f.body = gw_buf_slice(&w->frames[i].body);
        submit(journal, &c);
        assert_true(f.seq == w->frames[i].f.seq);
    }
}

/* The same journal, nothing fails, nobody dies. */
static void run_through(struct world *w)
{
    uint64_t last_ns = w->n_frames ? w->frames[w->n_frames - 1].f.time_ns : 0, now;

    gw_test_logs_begin(w->seed);
    w->back_ns = 0;
    if (w->is.other_workers) /* frames lie in more partitions and in fewer, and it does not know where */
        w->n_workers = w->is.n_partitions = 1;
    w->is.other_workers = false;
    begin_life(w); /* who makes the logs, and hears of what is written; it does not get on */
    set_faults(w, true);
    fill_journal(w);
    gw_test_logs_crash(&w->t, false);
    begin_life(w);
    now = gw_wall_ns(&w->t.te.env);
    set_faults(w, true);
    gw_test_logs_turn(&w->t, 50, last_ns > now ? last_ns - now : 0);
    (void)gw_test_engine_close(&w->t);
    end(w);
    look(logs[1], w->must, w->must_sums);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
}

/* Returns the number of spans that are not there as often as they must. */
static unsigned compare(const struct world *w, bool says)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_spans; i++) {
        bool ok = w->kept[i] == w->must[i] && w->kept[i] <= w->stored[i] && w->sums[i] == w->must_sums[i];

        if (!ok && says && n < 10)
            fprintf(stderr, "span %u of trace %u flags %u: stored %u, kept %u, must %u\n", i, w->spans[i].trace,
                    w->spans[i].flags, w->stored[i], w->kept[i], w->must[i]);
        n += !ok;
        n_kept += w->must[i];
        n_dropped += w->stored[i] - w->must[i];
    }
    return n;
}

/* ---- a seed ----------------------------------------------------------------------------------------------- */

static void say(const struct world *w)
{
    const struct shape *s = &w->is;

    fprintf(stderr,
            "fsync %d back %d others %d links %d pads %d giants %d idless %d workers %u partitions %u fail %u full %u "
            "delay %u, "
            "%s: %s\n",
            s->fsync, s->steps_back, s->other_workers, s->links, s->pads, s->giants, s->idless, s->n_workers,
            s->n_partitions, s->fail, s->full, s->delay_ms, w->processor, w->settings);
}

/* draw: w->is, processor and settings. Returns how many spans are not there as often as they must. */
static unsigned run(uint64_t seed, void (*draw)(struct world *w), bool forgets)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned n, bad;

    assert_non_null(w);
    w->seed = seed;
    draw(w);
    if (forgets)
        w->is.delay_ms = 0;
    w->n_workers = w->is.n_workers;
    gw_test_logs_begin(seed);
    for (n = MAX_LIVES / 2 + (unsigned)any(w, MAX_LIVES / 2); n > 0; n--) {
        begin_life(w);
        live(w);
        if (forgets)
            forget_places(w);
        die(w);
    }
    end(w);
    look(logs[0], w->stored, NULL);
    look(logs[1], w->kept, w->sums);
    remember_journal(w);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    run_through(w);
    bad = compare(w, !forgets);
    if (bad && !forgets)
        say(w);
    forget_journal(w);
    free(w);
    return bad;
}

#endif
