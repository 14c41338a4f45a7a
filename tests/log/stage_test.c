/* SPDX-License-Identifier: Apache-2.0 */
/* Past the page cache: what is where between two syncs, and that nobody who reads or starts again can tell. */
#include "tests/log/helpers.h"

enum { STAGE = 16 << 10, BODY = 1000 };

static struct gw_simdisk disk, next;

static struct gw_lf *lf(struct world *w)
{
    return (struct gw_lf *)w->log;
}

static const struct gw_simdisk_inode *file(struct world *w, const char *path)
{
    for (unsigned i = 0; i < w->disk->n_names; i++)
        if (strcmp(w->disk->names[i].path, path) == 0)
            return &w->disk->inodes[w->disk->names[i].inode];
    return NULL;
}

static const struct gw_simdisk_inode *last(struct world *w)
{
    char path[GW_LF_PATH];

    gw_lf_path(lf(w), lf(w)->tail.number, "", path);
    return file(w, path);
}

static void begin(struct world *w)
{
    world_init_on(w, &disk);
    w->conf.stage_bytes = STAGE;
    world_open(w);
    assert_true(gw_lf_stage_is_on(lf(w)));
}

/* Killed; whoever opens the log next has a stage of so many bytes. */
static void start_again(struct world *w, uint64_t stage_bytes)
{
    gw_simdisk_init(&next, 1);
    world_kill(w, &next);
    disk = next; /* handles are closed, contents are its own */
    for (unsigned i = 0; i < GW_SIMDISK_HANDLES; i++)
        assert_null(disk.handles[i].d);
    w->disk = &disk;
    w->conf.env = w->sink.env = &disk.env;
    w->lines.n = 0;
    w->conf.stage_bytes = stage_bytes;
    world_open(w);
}

static void append(struct world *w, unsigned n, size_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(world_append(w, 1, bytes, false), 0);
}

static void has(struct world *w, uint64_t frames)
{
    struct world_read r = world_read(w, 0);

    assert_int_equal(r.frames, frames);
    assert_int_equal(r.lost_frames, 0);
    assert_int_equal(world_stats(w).lost_rows, 0);
}

/*
 * Scenario    some commits, the next sync, some more
 * Guarantees  the segment's file does not change until the sync, and has all of it after; readers see every frame at
 * any time, those in both places and those across
 */
static void the_segment_is_written_at_the_sync(void **state)
{
    struct world w;
    uint64_t at;

    (void)state;
    begin(&w);
    at = lf(&w)->tail.at;
    append(&w, 5, BODY);
    for (uint64_t i = at; i < at + 5 * BODY; i++)
        assert_int_equal(last(&w)->cached[i], 0);
    has(&w, 5);
    disk.now_ns += 100 * MS;
    (void)gw_log_work(w.log);
    assert_int_equal(lf(&w)->stage.flushed, lf(&w)->tail.at);
    assert_memory_not_equal(last(&w)->cached + at, last(&w)->cached + at + 5 * BODY, 64);
    assert_int_equal(last(&w)->n_stored >= at + 5 * BODY, 1);
    has(&w, 5);
    append(&w, 3, BODY);
    has(&w, 8);
    world_clear(&w);
}

/* More than the stage holds goes into the segment as it fills; a group may be larger than all of it. */
static void a_full_stage_is_flushed(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    append(&w, 40, BODY);
    assert_true(lf(&w)->stage.flushed > lf(&w)->tail.synced);
    assert_true(lf(&w)->stage.at - lf(&w)->stage.flushed <= STAGE);
    has(&w, 40);
    append(&w, 2, 3 * STAGE);
    append(&w, 1, BODY);
    has(&w, 43);
    start_again(&w, STAGE);
    has(&w, 43);
    world_clear(&w);
}

/*
 * Scenario    killed with commits that no sync followed, each time by a process with another setting than the next
 * Guarantees  all of them are there; whoever writes past the cache no more leaves no file
 */
static void what_was_killed_is_found(void **state)
{
    static const uint64_t settings[] = {STAGE, 4096, 0, 2 * STAGE, 0, STAGE};
    struct world w;
    uint64_t n = 0;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        append(&w, 3, BODY);
        append(&w, 1, 9 * BODY);
        n += 4;
        start_again(&w, settings[i]);
        has(&w, n);
        assert_int_equal(world_stats(&w).end_seq, n);
        assert_int_equal(file(&w, "q/stage") != NULL, settings[i] != 0);
        assert_int_equal(gw_lf_stage_is_on(lf(&w)), settings[i] != 0);
        assert_false(world_said(&w, "never synced"));
    }
    world_clear(&w);
}

/* A file system that does not know of it: everything is written as without the setting, and the log says so. */
static void where_it_is_not_possible(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_close(&w);
    disk.refuses_direct = true;
    world_open(&w);
    assert_false(gw_lf_stage_is_on(lf(&w)));
    assert_true(world_said(&w, "through the page cache"));
    append(&w, 3, BODY);
    start_again(&w, STAGE);
    has(&w, 3);
    world_clear(&w);
}

/*
 * Scenario    the write past the cache, or the sync behind it, fails
 * Guarantees  a new segment takes over; of what was done nothing is missing, and what comes goes past the cache again
 */
static void a_flush_that_fails(void **state)
{
    static const enum gw_simdisk_call calls[] = {GW_SIMDISK_WRITE, GW_SIMDISK_SYNC};
    struct world w;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t number;

        begin(&w);
        append(&w, 6, BODY);
        number = lf(&w)->tail.number;
        disk.now_ns += 100 * MS;
        disk.faults[calls[i]] = (struct gw_simdisk_fault){-EIO, 1, 1};
        (void)gw_log_work(w.log);
        disk.now_ns += 2 * S;
        (void)gw_log_work(w.log);
        assert_true(lf(&w)->tail.number > number);
        assert_true(gw_lf_stage_is_on(lf(&w)));
        append(&w, 2, BODY);
        has(&w, 8);
        start_again(&w, STAGE);
        has(&w, 8);
        world_clear(&w);
    }
}

/*
 * Scenario    each call that makes a stage or bases it on a segment fails once, with frames of a killed process in the
 * old one Guarantees  the log opens, has all frames and takes more, past the cache or not; only where an old stage can
 * neither be made anew nor removed it does not open, and does the next time
 */
static void making_it_fails(void **state)
{
    static const struct {
        enum gw_simdisk_call call;
        uint64_t nth;
    } faults[] = {{GW_SIMDISK_OPEN, 6}, {GW_SIMDISK_OPEN, 7},  {GW_SIMDISK_OPEN, 8},  {GW_SIMDISK_SIZE, 2},
                  {GW_SIMDISK_SIZE, 3}, {GW_SIMDISK_WRITE, 2}, {GW_SIMDISK_WRITE, 5}, {GW_SIMDISK_WRITE, 8},
                  {GW_SIMDISK_SYNC, 2}, {GW_SIMDISK_READ, 9}};
    struct world w;

    (void)state;
    for (unsigned i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        struct gw_err err = {""};

        begin(&w);
        append(&w, 4, BODY);
        start_again(&w, STAGE);
        append(&w, 4, BODY);
        gw_simdisk_init(&next, 1);
        world_kill(&w, &next);
        next.faults[faults[i].call] = (struct gw_simdisk_fault){-EIO, faults[i].nth, 1};
        if (gw_log_files_open(&w.conf, &w.log, &err) < 0)
            world_open(&w);
        memset(next.faults, 0, sizeof(next.faults));
        has(&w, 8);
        append(&w, 4, BODY);
        has(&w, 12);
        disk = next;
        world_clear(&w);
    }
}

/* Too large for memory, or a file system that has none left for it: through the page cache. */
static void there_is_no_room_for_it(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.stage_bytes = 2ull << 30;
    world_open(&w);
    assert_false(gw_lf_stage_is_on(lf(&w)));
    assert_true(world_said(&w, "through the page cache"));
    assert_null(file(&w, "q/stage"));
    append(&w, 2, BODY);
    has(&w, 2);
    world_clear(&w);
}

/*
 * Scenario    a group is written, and the sync that its commit wants fails; what is taken back is written again
 * Guarantees  after a kill at that moment, and after a power cut, nothing is there twice and nothing of it alone
 */
static void what_is_taken_back_is_gone(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    append(&w, 2, BODY);
    disk.faults[GW_SIMDISK_SYNC] = (struct gw_simdisk_fault){-EIO, 1, 1};
    assert_int_equal(world_append(&w, 1, BODY, true), 0);
    has(&w, 3);
    start_again(&w, STAGE);
    has(&w, 3);
    world_clear(&w);
}

/* Groups roll into the next segments, which go past the cache as well; a log that is closed has nothing beside them. */
static void over_segments(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    append(&w, 300, BODY);
    assert_true(lf(&w)->tail.number > 4);
    assert_true(gw_lf_stage_is_on(lf(&w)));
    has(&w, 300);
    world_close(&w);
    w.conf.read_only = true;
    world_open(&w);
    has(&w, 300);
    world_clear(&w);
}

/* With the kernel's own files: the ring is the file's memory, if the folder's file system can do that. */
static void on_a_real_disk(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.conf.stage_bytes = STAGE;
    world_open(&w);
    for (unsigned i = 0; i < 3; i++) {
        append(&w, 100, BODY);
        has(&w, 100 * (i + 1));
        lf(&w)->tail.broken =
            true; /* closed as if it had been killed: nothing is synced, and what is staged stays there */
        lf(&w)->retry_ns = UINT64_MAX;
        lf(&w)->closed = true;
        gw_log_close(w.log);
        world_open(&w);
        has(&w, 100 * (i + 1));
    }
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_segment_is_written_at_the_sync),
        cmocka_unit_test(a_full_stage_is_flushed),
        cmocka_unit_test(what_was_killed_is_found),
        cmocka_unit_test(where_it_is_not_possible),
        cmocka_unit_test(a_flush_that_fails),
        cmocka_unit_test(over_segments),
        cmocka_unit_test(making_it_fails),
        cmocka_unit_test(there_is_no_room_for_it),
        cmocka_unit_test(what_is_taken_back_is_gone),
        cmocka_unit_test(on_a_real_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
