/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are full, fail, or go away: what was promised holds, what was not is not there, and it works again. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk, next;

static void fail_next(enum gw_simdisk_call call, int error, uint64_t times)
{
    disk.faults[call] = (struct gw_simdisk_fault){error, 1, times};
}

static void heal(void)
{
    memset(disk.faults, 0, sizeof(disk.faults));
}

/* The log holds exactly `frames` frames, now and after a restart. */
static void holds(struct world *w, uint64_t frames)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world_read(w, 0).frames, frames);
        assert_int_equal(world_stats(w).lost_rows, 0);
        if (i == 0) {
            world_close(w);
            world_open(w);
        }
    }
}

/*
 * Scenario    fdatasync fails once while two synced commits and one unsynced one are there
 * Guarantees  it is not asked again on that file; what was pending is in a new segment, synced; nothing is lost or
 * twice
 */
static void a_failed_sync_goes_on_in_a_new_segment(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    assert_int_equal(world_append(&w, 1, 300, false), 0);
    fail_next(GW_SIMDISK_SYNC, -EIO, 1);
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    assert_int_equal(world_stats(&w).failed_syncs, 1);
    assert_int_equal(world_stats(&w).segments, 2);
    assert_int_equal(world_stats(&w).synced_seq, 3);
    assert_false(world_stats(&w).degraded);
    assert_true(world_said(&w, "cannot be synced"));
    holds(&w, 3);
    world_clear(&w);
}

/*
 * Scenario    the same, then the power fails, and what the old file did not sync is gone
 * Guarantees  everything that was promised is there
 */
static void what_a_failed_sync_covered_survives_a_power_cut(void **state)
{
    struct world w;
    uint64_t seed = 3;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(world_append(&w, 1, 3000, false), 0);
    fail_next(GW_SIMDISK_SYNC, -EIO, 1);
    assert_int_equal(world_append(&w, 1, 3000, true), 0);
    gw_simdisk_init(&next, 1);
    gw_simdisk_power_cut(&next, &disk, &(struct gw_simdisk_crash){0}, &seed);
    world_close(&w);
    gw_simdisk_clear(&disk);
    w.disk = &next;
    w.conf.env = w.sink.env = &next.env;
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, 6);
    world_clear(&w);
}

/*
 * Scenario    every fdatasync fails, for a while
 * Guarantees  commits that want it fail and leave nothing; the log says that it is degraded, and works again by itself
 */
static void a_sync_that_never_works_fails_honestly(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 300, false), 0);
    fail_next(GW_SIMDISK_SYNC, -EIO, 1000);
    assert_int_equal(world_append(&w, 1, 300, true), -EIO);
    assert_true(world_stats(&w).degraded);
    assert_int_equal(world_read(&w, 0).frames, 1);
    assert_int_equal(world_append(&w, 1, 300, true), -EIO);
    heal();
    disk.now_ns += 2 * S;
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    assert_false(world_stats(&w).degraded);
    holds(&w, 2);
    world_clear(&w);
}

/*
 * Scenario    the same, and the failed commit cannot be cut off the file either
 * Guarantees  it is not there when the log goes on in a new segment, nor after a restart: the new one says where the
 * old one ends
 */
static void what_failed_is_void_where_it_lies(void **state)
{
    struct world w;
    struct gw_log_frame f = {.rows = 7, .body = GW_SLICE("failed")};

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    assert_int_equal(world_append(&w, 1, 300, false), 0);
    fail_next(GW_SIMDISK_SYNC, -EIO, 1000);
    fail_next(GW_SIMDISK_TRUNCATE, -EIO, 1000);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .sync = true}), -EIO);
    heal();
    disk.now_ns += 2 * S;
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    assert_int_equal(world_stats(&w).segments, 2);
    holds(&w, 3);
    assert_int_equal(world_read(&w, 0).rows, 3);
    world_clear(&w);
}

/*
 * Scenario    synced commits over several segments, then a power cut that takes all that was not synced
 * Guarantees  the names of the segments had been synced as well
 */
static void new_segments_survive_a_power_cut(void **state)
{
    struct world w;
    uint64_t seed = 3;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(world_append(&w, 1, 5000, true), 0);
    assert_true(world_stats(&w).segments > 3);
    gw_simdisk_init(&next, 1);
    gw_simdisk_power_cut(&next, &disk, &(struct gw_simdisk_crash){0}, &seed);
    world_close(&w);
    gw_simdisk_clear(&disk);
    w.disk = &next;
    w.conf.env = w.sink.env = &next.env;
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, 40);
    world_clear(&w);
}

/* A segment is nearly full; the next one is made, cannot be synced, and is given up. */
static uint64_t give_up_a_segment(struct world *w, uint64_t seed)
{
    uint64_t frames = 0;

    world_init_on(w, &disk);
    disk.seed = seed; /* which part of a sync that fails gets there */
    world_open(w);
    while (((struct gw_lf *)w->log)->tail.at < (48 << 10)) {
        assert_int_equal(world_append(w, 1, 5000, true), 0);
        frames++;
    }
    fail_next(GW_SIMDISK_SYNC, -EIO, 1);
    assert_int_equal(world_append(w, 1, 20000, true), -EIO);
    assert_int_equal(world_stats(w).segments, 1);
    return frames;
}

/*
 * Scenario    a segment is given up and its file removed; a commit goes to the one before, and is synced; then the
 * power fails, and of what became of names anything may have happened Guarantees  the file does not come back: it would
 * say that the one before ends where it ended then
 */
static void a_segment_that_was_given_up_stays_away(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        uint64_t frames = give_up_a_segment(&w, seed), draw = seed;

        assert_int_equal(world_append(&w, 1, 100, true), 0);
        gw_simdisk_init(&next, 1);
        gw_simdisk_power_cut(&next, &disk, &(struct gw_simdisk_crash){.keep_permille = 1000, .names_permille = 500},
                             &draw);
        world_close(&w);
        gw_simdisk_clear(&disk);
        w.disk = &next;
        w.conf.env = w.sink.env = &next.env;
        world_open(&w);
        assert_int_equal(world_read(&w, 0).frames, frames + 1);
        world_clear(&w);
    }
}

/*
 * Scenario    the same, and it cannot be removed; then the process dies
 * Guarantees  the commit goes into another new one at once, and nothing to the one before
 */
static void a_segment_that_stays_is_written_over(void **state)
{
    struct world w;
    uint64_t frames = give_up_a_segment(&w, 1);

    (void)state;
    gw_simdisk_init(&next, 1);
    fail_next(GW_SIMDISK_SYNC, -EIO, 1);
    fail_next(GW_SIMDISK_REMOVE, -EIO, 1);
    assert_int_equal(world_append(&w, 1, 20000, true), 0);
    assert_int_equal(world_stats(&w).segments, 2);
    world_kill(&w, &next);
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, frames + 1);
    world_clear(&w);
}

/*
 * Scenario    what could not be synced is to be copied, and cannot be read: once, or for good
 * Guarantees  it is asked for again, and nothing is lost; in the end the log goes on without it, and says so
 */
static void what_cannot_be_read_is_copied_later(void **state)
{
    (void)state;
    for (unsigned times = 1; times <= 1000; times += 999) {
        struct world w;
        unsigned tries = 0;

        world_init_on(&w, &disk);
        world_open(&w);
        assert_int_equal(world_append(&w, 1, 300, true), 0);
        assert_int_equal(world_append(&w, 3, 300, false), 0);
        fail_next(GW_SIMDISK_SYNC, -EIO, 1);
        fail_next(GW_SIMDISK_READ, -EIO, times);
        while (world_append(&w, 1, 300, true) < 0) {
            assert_true(world_stats(&w).degraded);
            disk.now_ns += 2 * S;
            tries++;
        }
        assert_int_equal(tries, times == 1 ? 1 : 5);
        assert_false(world_stats(&w).degraded);
        heal();
        assert_int_equal(world_read(&w, 0).frames, times == 1 ? 3 : 2);
        assert_int_equal(world_read(&w, 0).lost_rows, times == 1 ? 0 : 3);
        world_clear(&w);
    }
}

/*
 * Scenario    frames and a settlement wait together when the disk has no room
 * Guarantees  the frames are refused, the settlement is written
 */
static void settlements_are_not_refused_with_frames(void **state)
{
    struct world w;
    struct gw_log_frame f = {.rows = 7, .body = GW_SLICE("no room")};
    struct gw_log_settle s = {.seq = 0, .last_seq = 0};
    struct one ones[2] = {{.w = &w}, {.w = &w}};

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &s.consumer), 0);
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    ones[0].c = (struct gw_log_commit){.settles = &s, .n_settles = 1, .done = world_done};
    ones[1].c = (struct gw_log_commit){.frames = &f, .n_frames = 1, .done = world_done};
    fail_next(GW_SIMDISK_WRITE, -ENOSPC, 1);
    gw_log_submit(w.log, &ones[0].c);
    gw_log_submit(w.log, &ones[1].c);
    (void)gw_log_work(w.log);
    assert_int_equal(w.rc, -ENOSPC);
    assert_int_equal(world_consumer(&w, s.consumer).low, 1);
    assert_int_equal(world_stats(&w).end_seq, 1);
    holds(&w, 1);
    assert_int_equal(world_consumer(&w, s.consumer).low, 1);
    world_clear(&w);
}

/* Scenario: the background's sync fails. Guarantees: what it was for is copied, synced, and counted once. */
static void a_failed_background_sync_copies_what_it_was_for(void **state)
{
    struct world w;
    uint64_t when;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(world_append(&w, 2, 1000, false), 0);
    when = gw_log_work(w.log);
    assert_in_range(when, disk.now_ns + 1, disk.now_ns + 100 * MS);
    assert_int_equal(world_stats(&w).synced_seq, 0);
    disk.now_ns = when;
    fail_next(GW_SIMDISK_SYNC, -EIO, 1);
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).synced_seq, 3);
    assert_int_equal(world_stats(&w).segments, 1); /* of the old one nothing is left */
    holds(&w, 3);
    world_clear(&w);
}

/*
 * Scenario    a write fails: EIO, ENOSPC, EROFS, and in the middle of a group
 * Guarantees  EIO: the commit goes into a new segment. ENOSPC: it is refused, and nothing of it is there. Then it works
 */
static void a_failed_write_leaves_nothing(void **state)
{
    const int errors[] = {-EIO, -ENOSPC, -EDQUOT};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world w;

        world_init_on(&w, &disk);
        world_open(&w);
        assert_int_equal(world_append(&w, 1, 300, true), 0);
        disk.short_permille = 1000;
        disk.faults[GW_SIMDISK_WRITE] = (struct gw_simdisk_fault){errors[i], 2, 1};
        assert_int_equal(world_append(&w, 1, 3000, false), errors[i] == -EIO ? 0 : errors[i]);
        assert_int_equal(world_stats(&w).failed_writes, 1);
        assert_int_equal(world_append(&w, 1, 300, false), 0);
        holds(&w, errors[i] == -EIO ? 3 : 2);
        world_clear(&w);
    }
}

/* Scenario: the file system turns read-only, and back. Guarantees: commits fail clearly; nothing is half there. */
static void a_read_only_disk_is_an_error(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    disk.read_only = true;
    assert_true(world_append(&w, 1, 300, true) < 0);
    assert_true(world_append(&w, 1, 300, false) < 0);
    assert_true(world_stats(&w).degraded);
    assert_int_equal(world_read(&w, 0).frames, 1);
    disk.read_only = false;
    disk.now_ns += 2 * S;
    assert_int_equal(world_append(&w, 1, 300, true), 0);
    holds(&w, 2);
    world_clear(&w);
}

/* Scenario: no descriptor is left when a new segment is due. Guarantees: refused; later it works. */
static void no_descriptors_are_an_error(void **state)
{
    struct world w;
    int rc = 0;
    uint64_t n = 0;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    disk.max_open = disk.n_open;
    for (; rc == 0 && n < 30; n++)
        rc = world_append(&w, 1, 5000, false);
    assert_int_equal(rc, -EMFILE);
    disk.max_open = 90;
    assert_int_equal(world_append(&w, 1, 5000, false), 0);
    holds(&w, n);
    world_clear(&w);
}

/*
 * Scenario    the disk is full to the last block; hundreds of settlements, one by one; then all is settled
 * Guarantees  appends are refused, settlements never; what is settled frees segments, and appends work again
 */
static void settling_works_on_a_full_disk(void **state)
{
    struct world w;
    uint32_t a, b;
    int rc = 0;
    uint64_t n = 0, n_more = 0, room, total;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    disk.room_bytes = 600 << 10;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "a", GW_LOG_FROM_FIRST, &a), 0);
    assert_int_equal(gw_log_consumer_open(w.log, "b", GW_LOG_FROM_FIRST, &b), 0);
    for (; rc == 0 && n < 4000; n++)
        rc = world_append(&w, 50, 500, false);
    n--;
    assert_int_equal(rc, -ENOSPC);
    assert_true(n > 300);
    assert_int_equal(disk.ops.disk_space(&disk.env, "q", &room, &total), 0);
    disk.room_bytes -= room; /* somebody else takes the rest */
    for (unsigned i = 0; i < 4000; i++) {
        struct gw_log_settle s = {.consumer = a, .seq = i / 8 % n, .frame_rows = 50, .rows = 1};

        s.last_seq = s.seq;
        s.first_row = i % 8 * 2;
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.settles = &s, .n_settles = 1, .sync = i % 5 == 0}),
                         0);
        rc = world_append(&w, 50, 500, false); /* what settling gave back may be enough for another one */
        assert_true(rc == 0 || rc == -ENOSPC);
        n_more += rc == 0;
    }
    world_close(&w);
    world_open(&w);
    assert_int_equal(world_consumer(&w, a).settled[GW_LOG_DELIVERED], n * 8 < 4000 ? n * 8 : 4000);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    assert_true(n_more < 200);
    n += n_more;
    assert_int_equal(world_read(&w, b).frames, n);
    assert_int_equal(world_settle(&w, a, 0, n - 1), 0);
    assert_int_equal(world_settle(&w, b, 0, n - 1), 0);
    assert_in_range(world_stats(&w).segments, 1, 2);
    disk.room_bytes = 600 << 10;
    disk.now_ns += 2 * S;
    (void)gw_log_work(w.log);
    assert_int_equal(world_append(&w, 1, 500, false), 0);
    assert_int_equal(world_read(&w, a).frames, 1);
    world_clear(&w);
}

/*
 * Scenario    a log with a limit of its own; a consumer that stands still, then settles
 * Guarantees  -EDQUOT beyond it; when all is settled, the last segment makes room as well
 */
static void over_its_own_limit_appends_are_refused(void **state)
{
    struct world w;
    uint32_t a;
    int rc = 0;
    uint64_t n = 0;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    w.conf.max_bytes = 300 << 10;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "a", GW_LOG_FROM_FIRST, &a), 0);
    for (; rc == 0 && n < 4000; n++)
        rc = world_append(&w, 50, 5000, false);
    n--;
    assert_int_equal(rc, -EDQUOT);
    assert_in_range(world_stats(&w).bytes, 250 << 10, 300 << 10);
    assert_int_equal(world_settle(&w, a, 0, n - 1), 0);
    assert_true(world_stats(&w).bytes < 100 << 10);
    assert_int_equal(world_append(&w, 50, 5000, false), 0);
    world_clear(&w);
}

/*
 * Scenario    the disk does not give what it has for a moment, and then for ever
 * Guarantees  an error, and everything when it works again; else reading goes on behind what cannot be read
 */
static void reading_is_tried_again(void **state)
{
    struct world w;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    unsigned n = 0, errors = 0;
    int rc;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(world_append(&w, 1, 5000, true), 0);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    fail_next(GW_SIMDISK_READ, -EIO, 2);
    assert_int_equal(gw_log_next(r, &e), -EIO);
    while (gw_log_next(r, &e) > 0)
        assert_int_equal(e.frame.seq, n++);
    assert_int_equal(n, 5);
    gw_log_reader_free(r);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    fail_next(GW_SIMDISK_READ, -EIO, 1000000);
    while ((rc = gw_log_next(r, &e)) < 0 && errors < 50)
        errors++;
    assert_in_range(errors, 1, 10);
    assert_int_equal(rc, 0);
    heal();
    gw_log_reader_free(r);
    world_clear(&w);
}

/*
 * Scenario    a synced commit, then nothing; the process is killed, and the last frame rots
 * Guarantees  it is known that it had been synced: the frame is counted as lost, what came with it stays
 */
static void an_idle_log_says_how_far_it_is_synced(void **state)
{
    struct world w;
    struct gw_log_frame f[3] = {{.rows = 1, .body = GW_SLICE("")}, {.rows = 5, .body = GW_SLICE("rot")}, {.rows = 1}};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t when;
    uint8_t *p, *found;
    size_t n;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = f, .n_frames = 3, .sync = true}), 0);
    when = gw_log_work(w.log);
    assert_in_range(when, disk.now_ns + 1, disk.now_ns + 100 * MS);
    disk.now_ns = when;
    assert_int_equal(gw_log_work(w.log), 0);
    assert_int_equal(world_stats(&w).syncs, 1);
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    p = gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n);
    found = memmem(p, n, "rot", 3);
    assert_non_null(found);
    *found = 'R';
    world_open(&w);
    assert_int_equal(world_stats(&w).lost_rows, 5);
    assert_int_equal(world_stats(&w).end_row, 7);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, 2);
    gw_log_reader_free(r);
    world_clear(&w);
}

static void keep_a_copy(void *arg, struct gw_simdisk *d, enum gw_simdisk_call call)
{
    bool *taken = arg;

    if (call == GW_SIMDISK_REMOVE && !*taken)
        gw_simdisk_kill(&next, d);
    *taken |= call == GW_SIMDISK_REMOVE;
}

/*
 * Scenario    everything is truncated; before the old segment is removed the power fails and takes the new one's
 *             snapshot, which its disk had not written; at the next start no file can be made
 * Guarantees  the old segment stays, because its snapshot is the only one: when there is room again, the consumer and
 *             what it has settled are known, and then the old one goes
 */
static void the_last_good_snapshot_stays(void **state)
{
    struct world w;
    bool taken = false;
    uint32_t consumer;
    uint8_t *p;
    size_t n, data;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "es", GW_LOG_FROM_FIRST, &consumer), 0);
    assert_int_equal(world_append(&w, 7, 300, true), 0);
    assert_int_equal(world_settle(&w, consumer, 0, 0), 0);
    gw_simdisk_init(&next, 1);
    disk.before = keep_a_copy;
    disk.arg = &taken;
    assert_int_equal(gw_log_truncate(w.log, GW_LOG_END), 0);
    assert_true(taken);
    data = (size_t)((struct gw_lf *)w.log)->segs[0].data;
    world_close(&w);
    gw_simdisk_clear(&disk);
    w.disk = &next;
    w.conf.env = w.sink.env = &next.env;
    p = gw_simdisk_bytes(&next, "q/00000000000000000002.log", &n);
    memset(p + GW_LF_RECORDS, 0, data - GW_LF_RECORDS);
    next.faults[GW_SIMDISK_ALLOCATE] = (struct gw_simdisk_fault){-ENOSPC, 1, UINT64_MAX};
    world_open(&w);
    (void)gw_log_work(w.log);
    assert_non_null(gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n));
    world_close(&w);
    memset(next.faults, 0, sizeof(next.faults));
    world_open(&w);
    assert_int_equal(world_consumer(&w, consumer).settled[GW_LOG_DELIVERED], 7);
    assert_null(gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n));
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_good_snapshot_stays),
        cmocka_unit_test(a_failed_sync_goes_on_in_a_new_segment),
        cmocka_unit_test(what_a_failed_sync_covered_survives_a_power_cut),
        cmocka_unit_test(a_sync_that_never_works_fails_honestly),
        cmocka_unit_test(what_failed_is_void_where_it_lies),
        cmocka_unit_test(new_segments_survive_a_power_cut),
        cmocka_unit_test(a_segment_that_was_given_up_stays_away),
        cmocka_unit_test(a_segment_that_stays_is_written_over),
        cmocka_unit_test(what_cannot_be_read_is_copied_later),
        cmocka_unit_test(settlements_are_not_refused_with_frames),
        cmocka_unit_test(a_failed_background_sync_copies_what_it_was_for),
        cmocka_unit_test(a_failed_write_leaves_nothing),
        cmocka_unit_test(a_read_only_disk_is_an_error),
        cmocka_unit_test(no_descriptors_are_an_error),
        cmocka_unit_test(settling_works_on_a_full_disk),
        cmocka_unit_test(over_its_own_limit_appends_are_refused),
        cmocka_unit_test(reading_is_tried_again),
        cmocka_unit_test(an_idle_log_says_how_far_it_is_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
