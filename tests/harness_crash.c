/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_crash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness.h"

enum { NOTE_BYTES = 72, STREAM_AT = 48, MAX_CONSUMERS = 8 };
#define MS 1000000ull
#define S  1000000000ull

uint64_t gw_crash_any(struct gw_crash *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

void gw_crash_draw(struct gw_crash *w)
{
    w->fsync = gw_crash_any(w, 2);
    w->reloads = gw_crash_any(w, 3) == 0;
    w->n_workers = 1 + (unsigned)gw_crash_any(w, 3);
    w->fail = gw_crash_any(w, 2) ? 0 : 60;
    w->full = gw_crash_any(w, 2) ? 0 : 40;
    w->delay_ms = (unsigned)gw_crash_any(w, 2) * 80;
    w->other_workers = gw_crash_any(w, 3) == 0;
    w->steps_back = gw_crash_any(w, 3) == 0 && !w->other_workers;
}

static void set_faults(struct gw_crash *w, bool none)
{
    for (unsigned i = 0; i < 3; i++)
        *gw_test_log_faults(w->logs[i]) = none ? (struct gw_log_sim_faults){0}
                                               : (struct gw_log_sim_faults){.fail_permille = w->fail,
                                                                            .full_permille = w->full,
                                                                            .max_late_ns = i ? 0 : w->delay_ms * MS,
                                                                            .max_delay_ns = w->delay_ms * MS};
}

static void begin_life(struct gw_crash *w)
{
    uint64_t offset;

    if (w->other_workers && gw_crash_any(w, 3) == 0)
        w->n_workers = 1 + (unsigned)gw_crash_any(w, 3);
    gw_test_engine_seed = gw_test_random(&w->seed);
    gw_test_logs_engine_synced(&w->t, w->yaml(w), w->n_workers, w->fsync);
    offset = w->t.te.wall_offset_ns;
    w->t.te.wall_offset_ns = offset - w->back_ns;
    w->t.looks_away = gw_crash_any(w, 8) != 0;
    set_faults(w, false);
}

static void reload(struct gw_crash *w)
{
    struct gw_err err = {""};
    struct gw_buf b;
    int rc;

    gw_buf_init(&b, 1 << 16);
    gw_buf_printf(&b, "extensions: { file_storage: { directory: %s, fsync: %s } }\n%s", gw_test_logs_dir(),
                  w->fsync ? "true" : "false", w->yaml(w));
    gw_buf_put_u8(&b, 0);
    rc = gw_test_engine_reload(&w->t, (const char *)b.p, &err);
    gw_buf_clear(&b);
    if (rc < 0 && rc != -EBUSY)
        fail_msg("%s", err.text);
}

static void step_back(struct gw_crash *w)
{
    uint64_t ns = gw_crash_any(w, 400 * MS);

    w->back_ns += ns;
    w->t.te.wall_offset_ns -= ns;
}

static void turn(struct gw_crash *w, unsigned n, uint64_t ns)
{
    gw_test_logs_turn(&w->t, n, ns);
    for (unsigned k = 0; k < w->n_workers; k++)
        gw_test_engine_door(&w->t, "scripted", k)->n_verdicts = 0;
}

static void live(struct gw_crash *w)
{
    uint64_t turns = gw_crash_any(w, 3) ? 1 + gw_crash_any(w, 12) : gw_crash_any(w, 3);

    for (uint64_t i = 0; i < turns; i++) {
        for (uint64_t k = gw_crash_any(w, 3); k > 0; k--)
            w->send(w);
        if (w->steps_back && gw_crash_any(w, 10) == 0)
            step_back(w);
        if (w->reloads && gw_crash_any(w, 12) == 0)
            reload(w);
        turn(w, 1 + (unsigned)gw_crash_any(w, 3),
             gw_crash_any(w, 10) == 0 ? gw_crash_any(w, 3 * S) : gw_crash_any(w, 150 * MS));
    }
}

void gw_crash_lives(struct gw_crash *w, unsigned n, void (*spoil)(struct gw_crash *w))
{
    for (; n > 0; n--) {
        begin_life(w);
        live(w);
        if (spoil)
            spoil(w);
        w->n_crashes++;
        set_faults(w, true);
        gw_test_logs_crash(&w->t, w->fsync && gw_crash_any(w, 2));
    }
}

void gw_crash_end(struct gw_crash *w, unsigned turns)
{
    begin_life(w);
    set_faults(w, true);
    for (unsigned i = 0; i < turns; i++)
        turn(w, 3, 200 * MS);
    gw_test_logs_turn(&w->t, 20, 0);
}

static void on_forgotten(struct gw_log_commit *c, int rc)
{
    assert_int_equal(rc, 0);
    c->n_frames = 1;
}

void gw_crash_forget_records(struct gw_crash *w)
{
    struct gw_log *queue = gw_test_log(w->logs[1]);
    uint8_t note[NOTE_BYTES];
    uint64_t at;

    set_faults(w, true);
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (uint32_t id = 1; id < MAX_CONSUMERS; id++) {
            size_t n = sizeof(note);
            struct gw_log_position to = {.consumer = id, .partition = p, .note = {note, sizeof(note)}};
            struct gw_log_commit c = {.positions = &to, .n_positions = 1, .done = on_forgotten};

            if (gw_log_position(queue, id, p, &at, note, &n) < 0 || n != sizeof(note))
                continue;
            note[STREAM_AT] ^= 1; /* another stream */
            gw_log_submit(queue, &c);
            while (c.n_frames == 0)
                (void)gw_log_work(queue);
        }
}
