/* SPDX-License-Identifier: Apache-2.0 */
/* Segments that are used again: when, and that nothing they held is ever seen. */
#include "tests/log/helpers.h"

enum { BODY = 5000, A_SEGMENT = 11 /* frames of BODY bytes, and a settlement each */ };

static struct gw_simdisk disk, next;

static struct gw_lf *lf(struct world *w)
{
    return (struct gw_lf *)w->log;
}

static unsigned inode_of(struct gw_simdisk *d, const char *path)
{
    for (unsigned i = 0; i < d->n_names; i++)
        if (strcmp(d->names[i].path, path) == 0)
            return d->names[i].inode;
    return UINT32_MAX;
}

static bool is_there(struct world *w, const char *path)
{
    return inode_of(w->disk, path) != UINT32_MAX;
}

static unsigned inode_of_last(struct world *w)
{
    char path[GW_LF_PATH];

    gw_lf_path(lf(w), lf(w)->tail.number, "", path);
    return inode_of(w->disk, path);
}

/* A queue whose frames are settled as soon as they are there; the first segments are gone. */
static uint32_t begin(struct world *w)
{
    uint32_t id;

    world_init_on(w, &disk);
    w->conf.retention.until_settled = true;
    world_open(w);
    assert_int_equal(gw_log_consumer_open(w->log, "c", GW_LOG_FROM_FIRST, &id), 0);
    return id;
}

static void work(struct world *w, uint32_t id, unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        uint64_t seq = world_stats(w).end_seq;

        assert_int_equal(world_append(w, 1, BODY, false), 0);
        assert_int_equal(world_settle(w, id, seq, seq), 0);
    }
}

/* Until a spare lies there. */
static void until_spare(struct world *w, uint32_t id)
{
    for (unsigned i = 0; i < 20 * A_SEGMENT && lf(w)->n_spare == 0; i++)
        work(w, id, 1);
    assert_int_equal(lf(w)->n_spare, 1);
    assert_true(is_there(w, "q/spare.0"));
}

static void until_next(struct world *w, uint32_t id)
{
    uint64_t number = lf(w)->tail.number;

    while (lf(w)->tail.number == number)
        work(w, id, 1);
}

/*
 * Scenario    a queue that keeps up, over many segments; it is killed in the middle of one that was used before
 * Guarantees  the same two files are written over and over; what a start finds is what was written since, though the
 *             file has older records behind that; nothing is called damaged or lost
 */
static void files_are_used_again(void **state)
{
    struct world w;
    unsigned inode;
    uint64_t end;
    uint32_t id;

    (void)state;
    id = begin(&w);
    until_spare(&w, id);
    for (unsigned i = 0; i < 30; i++) {
        inode = inode_of(&disk, "q/spare.0");
        until_next(&w, id);
        assert_int_equal(inode_of_last(&w), inode);
        work(&w, id, 2);
        assert_true(lf(&w)->n_spare <= GW_LF_SPARES);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(world_append(&w, 2, BODY, false), 0);
    end = world_stats(&w).end_seq;
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    w.lines.n = 0;
    world_open(&w);
    assert_int_equal(world_stats(&w).end_seq, end);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    assert_int_equal(world_read(&w, id).open_rows, 6);
    assert_false(world_said(&w, "warn"));
    assert_false(world_said(&w, "WARN"));
    assert_false(world_said(&w, "never synced"));
    world_clear(&w);
}

/* Spares go when no segment was made for ten seconds, when the log is closed, and with a process that was killed. */
static void spares_go(void **state)
{
    struct world w;
    uint32_t id;

    (void)state;
    id = begin(&w);
    until_spare(&w, id);
    disk.now_ns += 9 * S;
    (void)gw_log_work(w.log);
    assert_true(is_there(&w, "q/spare.0"));
    disk.now_ns += 2 * S;
    (void)gw_log_work(w.log);
    assert_false(is_there(&w, "q/spare.0"));
    assert_int_equal(gw_log_work(w.log), 0); /* and nobody is woken for them any more */
    until_spare(&w, id);
    for (unsigned i = 0; i < 5; i++) { /* marks and syncs are through */
        disk.now_ns += 200 * MS;
        (void)gw_log_work(w.log);
    }
    assert_in_range(gw_log_work(w.log), disk.now_ns + 8 * S, disk.now_ns + 10 * S);
    world_close(&w);
    assert_false(is_there(&w, "q/spare.0"));
    world_open(&w);
    until_spare(&w, id);
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    assert_true(is_there(&w, "q/spare.0"));
    w.conf.read_only = true; /* who only looks leaves them */
    world_open(&w);
    assert_true(is_there(&w, "q/spare.0"));
    world_close(&w);
    w.conf.read_only = false;
    world_open(&w);
    assert_false(is_there(&w, "q/spare.0"));
    assert_int_equal(lf(&w)->n_spare, 0);
    world_clear(&w);
}

static uint64_t disk_used(struct world *w)
{
    uint64_t room, total;

    assert_int_equal(w->disk->env.ops->disk_space(&w->disk->env, "q", &room, &total), 0);
    return total - room;
}

/* By who submits: the writer does not look at anything else. */
static void append_here(struct world *w)
{
    static uint8_t body[BODY];
    struct gw_log_frame f = {.rows = 1, .body = {body, sizeof(body)}};
    struct one one = {.c = {.frames = &f, .n_frames = 1, .done = world_done}, .w = w};

    gw_log_submit(w->log, &one.c);
    assert_true(gw_log_work_here(w->log));
    assert_int_equal(w->rc, 0);
}

/*
 * Scenario    a backlog grows while there is a spare, up to the limit of what may be appended, or of what is kept
 * Guarantees  both together stay below it; the spare goes first, and nothing is refused or dropped for it
 */
static void spares_yield_to_limits(void **state)
{
    (void)state;
    for (unsigned of_retention = 0; of_retention < 2; of_retention++) {
        struct world w;
        uint32_t id = begin(&w);
        uint64_t most, first;

        until_spare(&w, id);
        first = world_stats(&w).first_seq;
        most = gw_lf_used(lf(&w)) + gw_lf_spare_bytes(lf(&w)) + 3 * BODY;
        if (of_retention)
            gw_log_retain(w.log, &(struct gw_log_retention){.until_settled = true, .max_bytes = most});
        else
            lf(&w)->conf.max_bytes = most;
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(lf(&w)->n_spare, i < 3);
            append_here(&w);
            assert_true(gw_lf_used(lf(&w)) + gw_lf_spare_bytes(lf(&w)) <= most);
        }
        assert_false(is_there(&w, "q/spare.0"));
        assert_int_equal(world_stats(&w).first_seq, first);
        lf(&w)->conf.max_bytes = 0;
        gw_log_retain(w.log, &(struct gw_log_retention){.until_settled = true});
        assert_int_equal(world_settle(&w, id, first, world_stats(&w).end_seq - 1), 0);
        until_spare(&w, id);
        gw_log_retain(w.log, &(struct gw_log_retention){.until_settled = true, .max_bytes = 64 << 10});
        assert_false(is_there(&w, "q/spare.0"));
        world_clear(&w);
    }
}

/*
 * Scenario    a log that stands at its limit by size: the oldest segments go when there is more, or before there is
 * Guarantees  the first has no room for a spare; the other one, where appends would be refused, goes early enough for
 * it
 */
static void at_the_limit(void **state)
{
    (void)state;
    for (unsigned keeps = 0; keeps < 2; keeps++) {
        struct world w;
        uint32_t id = begin(&w);
        unsigned n = 0;

        world_close(&w);
        w.conf.retention =
            (struct gw_log_retention){.max_bytes = 6 * (64 << 10), .keep = keeps ? GW_LOG_KEEP_ALL : GW_LOG_KEEP_NONE};
        world_open(&w);
        for (unsigned i = 0; i < 30 * A_SEGMENT; i++) {
            unsigned spare = inode_of(&disk, "q/spare.0");
            uint64_t number = lf(&w)->tail.number;

            work(&w, id, 1);
            n += lf(&w)->tail.number != number && inode_of_last(&w) == spare;
            assert_true(gw_lf_used(lf(&w)) + gw_lf_spare_bytes(lf(&w)) <= 6 * (64 << 10));
        }
        assert_int_equal(n > 0, keeps);
        world_clear(&w);
    }
}

/* Many segments that go at once leave two spares; a limit that has no room for one more leaves fewer. */
static void spares_are_few(void **state)
{
    (void)state;
    for (unsigned fit = 0; fit <= 3; fit++) {
        struct world w;
        uint32_t id = begin(&w);

        while (world_stats(&w).segments < 8)
            assert_int_equal(world_append(&w, 1, BODY, false), 0);
        assert_int_equal(lf(&w)->n_reserve, 2);
        lf(&w)->conf.max_bytes = gw_lf_used(lf(&w)) - 7 * lf(&w)->segs[0].end + (64 << 10) * fit + BODY;
        assert_int_equal(world_settle(&w, id, 0, world_stats(&w).end_seq - 1), 0);
        (void)gw_log_work(w.log);
        assert_int_equal(world_stats(&w).segments, 1);
        assert_int_equal(lf(&w)->n_spare, fit < GW_LF_SPARES ? fit : GW_LF_SPARES);
        world_clear(&w);
    }
}

/*
 * Scenario    a disk with little room: for three segments when one goes; for half of one when the next is made
 * Guarantees  no spare is kept then; one that is there is room for the next segment
 */
static void spares_leave_room_on_the_disk(void **state)
{
    struct world w;
    uint32_t id = begin(&w);
    unsigned inode;

    (void)state;
    until_spare(&w, id);
    inode = inode_of(&disk, "q/spare.0");
    disk.room_bytes = disk_used(&w) + (32 << 10);
    until_next(&w, id);
    assert_int_equal(inode_of_last(&w), inode);
    for (unsigned i = 0; i < 3; i++) {
        disk.room_bytes = disk_used(&w) + 3 * (64 << 10);
        until_next(&w, id);
        work(&w, id, 1);
        assert_int_equal(lf(&w)->n_spare, 0);
    }
    world_clear(&w);
}

/* A segment that ended early, or has a giant in it, is not of the usual size. */
static void other_sizes_just_go(void **state)
{
    struct world w;
    uint32_t id = begin(&w);

    (void)state;
    until_spare(&w, id);
    gw_lf_spares_remove(lf(&w));
    for (unsigned i = 0; i < 4; i++) {
        uint64_t seq = world_stats(&w).end_seq;

        assert_int_equal(gw_lf_roll(lf(&w), 0), 0);
        (void)gw_log_work(w.log);
        gw_lf_spares_remove(lf(&w)); /* the one before may have been of the usual size */
        assert_int_equal(world_append(&w, 1, i % 2 ? 90000 : BODY, false), 0);
        assert_int_equal(world_settle(&w, id, seq, seq), 0);
        assert_int_equal(gw_lf_roll(lf(&w), 0), 0);
        (void)gw_log_work(w.log);
        assert_int_equal(world_stats(&w).segments, 1);
        assert_int_equal(lf(&w)->n_spare, 0);
    }
    world_clear(&w);
}

/* One start from the disk as it is now: all frames from `first` on, but at most `most` that are lost, and counted. */
static void start_damaged(struct world *w, struct gw_simdisk *base, uint64_t first, uint64_t end, uint64_t most)
{
    struct world_read read;
    struct gw_log_stats st;

    world_open(w);
    read = world_read(w, 0);
    (void)gw_log_work(w->log);
    st = world_stats(w);
    /* A sector may have the end and the note that it was synced, a bit not. */
    assert_in_range(st.end_seq, most > 1 ? end - 1 : end, end);
    assert_true(read.frames + most >= end - first);
    assert_true(st.lost_frames >=
                st.end_seq - first - read.frames); /* more when the trim was hit: what went is missed, too */
    world_close(w);
    gw_simdisk_kill(w->disk, base);
}

/*
 * Scenario    a segment that was written over to a third, of a process that was killed: each of its sectors but the
 *             first in turn is as it was before, as if a write had been lost; bits of it are flipped
 * Guarantees  what was hit is lost, and counted, and nothing else; the older records are never among what is read
 */
static void older_sectors_are_damage(void **state)
{
    static uint8_t old[64 << 10];
    struct world w;
    char path[GW_LF_PATH];
    uint32_t id = begin(&w);
    uint64_t first, end, at;
    uint8_t *p;
    size_t n, n_old;

    (void)state;
    until_spare(&w, id);
    until_next(&w, id);
    until_spare(&w, id);
    p = gw_simdisk_bytes(&disk, "q/spare.0", &n_old);
    memcpy(old, p, n_old);
    until_next(&w, id);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(world_append(&w, 1, BODY, true), 0);
    disk.now_ns += 1 * S;
    (void)gw_log_work(w.log); /* says that all was synced */
    end = world_stats(&w).end_seq;
    at = lf(&w)->tail.at;
    gw_lf_path(lf(&w), lf(&w)->tail.number, "", path);
    first = world_stats(&w).first_seq;
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    gw_simdisk_init(&disk, 1);
    gw_simdisk_kill(&disk, &next);
    for (size_t s = GW_SIMDISK_SECTOR; s < at + (8 << 10); s += GW_SIMDISK_SECTOR) {
        p = gw_simdisk_bytes(&next, path, &n);
        memcpy(p + s, old + s, GW_SIMDISK_SECTOR);
        start_damaged(&w, &disk, first, end, 2);
    }
    for (size_t bit = GW_LF_RECORDS * 8; bit < (at + (8 << 10)) * 8; bit += 1777) {
        p = gw_simdisk_bytes(&next, path, &n);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        start_damaged(&w, &disk, first, end, 1);
    }
    gw_simdisk_clear(&disk);
    world_clear(&w);
}

/* What had an error of the disk, or was begun by another process, is not used again. */
static void only_sound_files_are_used_again(void **state)
{
    struct world w;
    uint32_t id = begin(&w);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char path[GW_LF_PATH];

        until_spare(&w, id);
        gw_lf_spares_remove(lf(&w));
        until_next(&w, id);
        gw_lf_spares_remove(lf(&w));
        work(&w, id, 7);
        gw_lf_path(lf(&w), lf(&w)->tail.number, "", path);
        if (i == 0) {
            disk.faults[GW_SIMDISK_SYNC] = (struct gw_simdisk_fault){-EIO, 1, 1};
        } else {
            world_close(&w);
            world_open(&w);
        }
        disk.now_ns += 1 * S;
        (void)gw_log_work(w.log);
        until_next(&w, id);
        work(&w, id, 1);
        assert_false(is_there(&w, path));
        assert_int_equal(lf(&w)->n_spare, i == 0);
        world_clear(&w);
        if (i == 0)
            id = begin(&w);
    }
}

/*
 * Scenario    the power failed when a spare had its new name, and nothing was written; a first copy of a header that
 *             is another segment's
 * Guarantees  what was not begun goes without a word; the second copy counts
 */
static void what_was_not_begun_goes(void **state)
{
    struct world w;
    char path[GW_LF_PATH];
    uint8_t head[GW_LF_SEGMENT_HEAD], *p;
    uint32_t id = begin(&w);
    uint64_t end;
    size_t n;

    (void)state;
    until_spare(&w, id);
    until_spare(&w, id);
    end = world_stats(&w).end_seq;
    gw_lf_path(lf(&w), lf(&w)->tail.number + 1, "", path);
    memcpy(head, gw_simdisk_bytes(&disk, "q/spare.0", &n), sizeof(head));
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    assert_int_equal(next.env.ops->file_rename(&next.env, "q/spare.0", path), 0);
    w.lines.n = 0;
    world_open(&w);
    assert_false(is_there(&w, path));
    assert_false(world_said(&w, "kept"));
    assert_int_equal(world_stats(&w).end_seq, end);
    gw_lf_path(lf(&w), lf(&w)->tail.number, "", path);
    world_close(&w);
    p = gw_simdisk_bytes(&next, path, &n);
    memcpy(p, head, sizeof(head));
    world_open(&w);
    assert_false(lf(&w)->damaged);
    assert_false(lf(&w)->segs[0].head_bad);
    assert_int_equal(world_stats(&w).end_seq, end);
    world_clear(&w);
}

/* A name that cannot be synced, a file that cannot be opened or renamed: a new file is made. */
static void a_spare_that_fails_is_replaced(void **state)
{
    const enum gw_simdisk_call calls[] = {GW_SIMDISK_RENAME, GW_SIMDISK_DIR_SYNC, GW_SIMDISK_OPEN, GW_SIMDISK_ALLOCATE};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct world w;
        uint32_t id = begin(&w);
        uint64_t number, end;

        until_spare(&w, id);
        number = lf(&w)->tail.number;
        disk.faults[calls[i]] = (struct gw_simdisk_fault){-EIO, 1, 1};
        assert_int_equal(gw_lf_roll(lf(&w), 0), 0);
        assert_int_equal(disk.faults[calls[i]].nth, 0);
        assert_int_equal(lf(&w)->tail.number, number + 1);
        work(&w, id, 3);
        end = world_stats(&w).end_seq;
        world_close(&w);
        assert_true(gw_simdisk_is_quiet(&disk));
        world_open(&w);
        assert_int_equal(world_stats(&w).end_seq, end);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        world_clear(&w);
    }
}

/* ---- readers ------------------------------------------------------------------------------------------------ */

static struct {
    struct world *w;
    uint32_t id;
    unsigned in, segments; /* before so many reads from now on, the writer goes on by so many segments */
    ssize_t (*pread)(struct gw_file *f, void *p, size_t n, uint64_t off);
} meanwhile;

static void go_on(struct world *w, uint32_t id, size_t bytes, unsigned segments)
{
    for (uint64_t to = lf(w)->tail.number + segments; lf(w)->tail.number < to;) {
        uint64_t seq = world_stats(w).end_seq;

        assert_int_equal(world_append(w, 1, bytes, false), 0);
        assert_int_equal(world_settle(w, id, seq, seq), 0);
    }
}

static ssize_t pread_meanwhile(struct gw_file *f, void *p, size_t n, uint64_t off)
{
    if (meanwhile.in > 0 && --meanwhile.in == 0)
        go_on(meanwhile.w, meanwhile.id, 300000, meanwhile.segments);
    return meanwhile.pread(f, p, n, off);
}

/* Everything from now on is what was written, in order; gaps are not losses. Returns the last one. */
static uint64_t read_on(struct gw_log_reader *r)
{
    struct gw_log_entry e;
    uint64_t last = 0;
    int rc;

    while ((rc = gw_log_next(r, &e)) > 0) {
        assert_true(e.frame.seq >= last);
        assert_int_equal(e.lost_frames, 0);
        for (size_t i = 0; i < e.frame.body.n; i += 97)
            assert_int_equal(e.frame.body.p[i], (uint8_t)(e.frame.seq * 31 + i * 7));
        last = e.frame.seq;
    }
    assert_int_equal(rc, 0);
    return last;
}

/*
 * Scenario    a reader in a segment of three frames, each longer than what is read at once; before each of its reads in
 *             turn the segment goes, and its file is written over
 * Guarantees  what it gives is what was written; it goes on with what is left, and calls nothing lost
 */
static void readers_notice_before_any_read(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 12; at++) {
        struct gw_log_reader *r;
        struct world w;
        uint64_t last;
        uint32_t id;

        world_init_on(&w, &disk);
        w.conf.segment_bytes = 1 << 20;
        w.conf.retention.until_settled = true;
        world_open(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
        go_on(&w, id, 300000, 2);
        assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
        (void)gw_log_seek(r, GW_LOG_PARTITIONS, 0);
        meanwhile.w = &w;
        meanwhile.id = id;
        meanwhile.in = at;
        meanwhile.segments = 3;
        meanwhile.pread = disk.ops.file_pread;
        disk.ops.file_pread = pread_meanwhile;
        last = read_on(r);
        assert_int_equal(last, world_stats(&w).end_seq - 1);
        meanwhile.in = 0;
        gw_log_reader_free(r);
        (void)gw_log_work(w.log);
        assert_int_equal(world_stats(&w).lost_frames, 0);
        world_clear(&w);
    }
}

static void one_follower(size_t bytes, unsigned frames, unsigned segments)
{
    struct world w, other;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t last;
    uint32_t id;

    world_init_on(&w, &disk);
    w.conf.segment_bytes = 1 << 20;
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    go_on(&w, id, bytes, 3);
    for (unsigned i = 1; i < frames; i++)
        assert_int_equal(world_append(&w, 1, bytes, false), 0);
    other = w;
    other.log = NULL;
    other.conf.read_only = true;
    world_open(&other);
    assert_int_equal(gw_log_reader_new(other.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(world_settle(&w, id, 0, world_stats(&w).end_seq - 1), 0);
    go_on(&w, id, bytes, segments);
    last = read_on(r);
    assert_int_equal(last, world_stats(&w).end_seq - 1);
    gw_log_reader_free(r);
    gw_log_close(other.log);
    world_clear(&w);
}

/*
 * Scenario    the same for one who looks from outside, in what it knows as the newest segment; the writer goes on by
 * one segment, or by more than are looked for by number Guarantees  it finds what there is now, though the file that it
 * has open holds nothing that fits, or a header that does
 */
static void followers_notice(void **state)
{
    (void)state;
    for (unsigned segments = 1; segments <= 9; segments += 2) {
        one_follower(20000, 20, segments);
        one_follower(300000, 2, segments);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_used_again),
        cmocka_unit_test(spares_go),
        cmocka_unit_test(spares_yield_to_limits),
        cmocka_unit_test(at_the_limit),
        cmocka_unit_test(spares_are_few),
        cmocka_unit_test(spares_leave_room_on_the_disk),
        cmocka_unit_test(other_sizes_just_go),
        cmocka_unit_test(older_sectors_are_damage),
        cmocka_unit_test(only_sound_files_are_used_again),
        cmocka_unit_test(what_was_not_begun_goes),
        cmocka_unit_test(a_spare_that_fails_is_replaced),
        cmocka_unit_test(readers_notice_before_any_read),
        cmocka_unit_test(followers_notice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
