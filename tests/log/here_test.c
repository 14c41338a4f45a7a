/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever submits may write by itself (gw_log_work_here): what is for it, what is left to the writer, and in which
 * order all of it is done. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk;

enum { MANY = 6 };

struct named {
    struct gw_log_commit c;
    struct gw_log_frame f;
    unsigned name;
    uint8_t body[64];
};

static unsigned done[MANY], n_done;

static void note(struct gw_log_commit *c, int rc)
{
    assert_int_equal(rc, 0);
    assert_true(n_done < MANY);
    done[n_done++] = ((struct named *)(void *)c)->name;
}

static void submit(struct world *w, struct named *n, unsigned name, size_t bytes, bool sync)
{
    static uint8_t large[80 << 10];

    *n = (struct named){.name = name, .f = {.rows = 1, .body = {n->body, sizeof(n->body)}}};
    for (size_t i = 0; i < sizeof(n->body); i++)
        n->body[i] = (uint8_t)(name * 31 + i * 7); /* as world_read wants it: the name is its seq */
    if (bytes)
        n->f.body = gw_slice_of(large, bytes);
    n->c = (struct gw_log_commit){.frames = &n->f, .n_frames = 1, .sync = sync, .done = note};
    gw_log_submit(w->log, &n->c);
}

static void begin(struct world *w)
{
    n_done = 0;
    world_init_on(w, &disk);
    world_open(w);
}

static void were_done(const char *names)
{
    assert_int_equal(n_done, strlen(names));
    for (unsigned i = 0; i < n_done; i++)
        assert_int_equal(done[i], (unsigned)(names[i] - '0'));
}

/*
 * Guarantees  the commits are written and done; the first time the writer must be called, because it is to sync within
 * its interval; with nothing waiting there is nothing to call it for; a power cut after that interval takes nothing
 */
static void small_commits_are_written_by_who_submits(void **state)
{
    struct named n[3];
    struct world w;

    (void)state;
    begin(&w);
    (void)gw_log_work(w.log);
    assert_true(gw_log_work_here(w.log));
    submit(&w, &n[0], 0, 0, false);
    submit(&w, &n[1], 1, 0, false);
    assert_false(gw_log_work_here(w.log));
    were_done("01");
    assert_int_equal(world_stats(&w).synced_seq, 0);
    submit(&w, &n[2], 2, 0, false);
    assert_true(gw_log_work_here(w.log));
    were_done("012");
    disk.now_ns += 100 * MS;
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).synced_seq, 3);
    assert_int_equal(world_read(&w, 0).frames, 3);
    world_clear(&w);
}

/*
 * Scenario    somebody waits for a sync, and others stand before and behind it
 * Guarantees  nothing is done before the writer comes, and then in order
 */
static void a_sync_is_the_writers(void **state)
{
    struct named n[3];
    struct world w;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < 3; i++)
        submit(&w, &n[i], i, 0, i == 1);
    assert_false(gw_log_work_here(w.log));
    assert_false(gw_log_work_here(w.log));
    were_done("");
    (void)gw_log_work(w.log);
    were_done("012");
    assert_int_equal(world_stats(&w).synced_seq, 3);
    world_clear(&w);
}

/* Guarantees: what came while the writer was called is done behind what it was called for. */
static void order_is_kept_over_both(void **state)
{
    struct named n[4];
    struct world w;

    (void)state;
    begin(&w);
    submit(&w, &n[0], 0, 0, true);
    assert_false(gw_log_work_here(w.log));
    submit(&w, &n[1], 1, 0, false);
    assert_false(gw_log_work_here(w.log)); /* the sync still stands before it */
    (void)gw_log_work(w.log);
    submit(&w, &n[2], 2, 0, false);
    submit(&w, &n[3], 3, 0, false);
    (void)gw_log_work_here(w.log);
    were_done("0123");
    world_clear(&w);
}

/* Guarantees: a new segment, with its syncs, is the writer's. */
static void a_new_segment_is_the_writers(void **state)
{
    struct named n[2];
    struct world w;

    (void)state;
    begin(&w);
    submit(&w, &n[0], 0, 40 << 10, false);
    (void)gw_log_work_here(w.log);
    were_done("0");
    submit(&w, &n[1], 1, 40 << 10, false);
    assert_false(gw_log_work_here(w.log));
    were_done("0");
    assert_int_equal(world_stats(&w).segments, 1);
    (void)gw_log_work(w.log);
    were_done("01");
    assert_int_equal(world_stats(&w).segments, 2);
    world_clear(&w);
}

/*
 * Scenario    a write takes 3 ms and more
 * Guarantees  the next ones are the writer's, for a second
 */
static void a_slow_disk_is_the_writers(void **state)
{
    struct named n[3];
    struct world w;

    (void)state;
    begin(&w);
    disk.tick_ns = 3 * MS;
    submit(&w, &n[0], 0, 0, false);
    (void)gw_log_work_here(w.log);
    were_done("0");
    disk.tick_ns = 0;
    submit(&w, &n[1], 1, 0, false);
    assert_false(gw_log_work_here(w.log));
    were_done("0");
    disk.now_ns += S;
    assert_true(gw_log_work_here(w.log));
    were_done("01");
    world_clear(&w);
}

/* Guarantees: a file that failed is not written on; the writer makes a new one, and nothing is lost. */
static void a_broken_file_is_the_writers(void **state)
{
    struct named n[2];
    struct world w;

    (void)state;
    begin(&w);
    submit(&w, &n[0], 0, 0, false);
    (void)gw_log_work(w.log);
    ((struct gw_lf *)w.log)->tail.broken = true;
    submit(&w, &n[1], 1, 0, false);
    assert_false(gw_log_work_here(w.log));
    were_done("0");
    (void)gw_log_work(w.log);
    were_done("01");
    world_close(&w);
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, 2);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_commits_are_written_by_who_submits),
        cmocka_unit_test(a_sync_is_the_writers),
        cmocka_unit_test(order_is_kept_over_both),
        cmocka_unit_test(a_new_segment_is_the_writers),
        cmocka_unit_test(a_slow_disk_is_the_writers),
        cmocka_unit_test(a_broken_file_is_the_writers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
