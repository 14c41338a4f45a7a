/* SPDX-License-Identifier: Apache-2.0 */
/* What seldom happens to a log in segment files, and must be right all the same. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk, next;

static struct gw_lf *lf(struct world *w)
{
    return (struct gw_lf *)w->log;
}

static void begin(struct world *w)
{
    world_init_on(w, &disk);
    world_open(w);
}

static void again(struct world *w)
{
    world_close(w);
    world_open(w);
}

/* Frames of 5,000 bytes and one row, until there are so many segments. */
static uint64_t fill(struct world *w, unsigned segments)
{
    do
        assert_int_equal(world_append(w, 1, 5000, true), 0);
    while (world_stats(w).segments < segments);
    return world_stats(w).end_seq;
}

static void remove_segment(struct world *w, size_t i)
{
    char path[GW_LF_PATH];

    gw_lf_path(lf(w), lf(w)->segs[i].number, "", path);
    assert_int_equal(w->disk->ops.file_remove(&w->disk->env, path), 0);
}

/*
 * Scenario    two commits of 700 frames become one group
 * Guarantees  the buffer that grows under it keeps what is in it
 */
static void a_group_grows_while_it_is_built(void **state)
{
    enum { FRAMES = 700 };
    static struct gw_log_frame frames[2 * FRAMES];
    static uint8_t bodies[2 * FRAMES];
    struct world w;
    struct one ones[2];

    (void)state;
    world_init_on(&w, &disk);
    w.conf.segment_bytes = 1 << 20;
    world_open(&w);
    for (unsigned i = 0; i < 2 * FRAMES; i++) {
        bodies[i] = (uint8_t)(i * 31);
        frames[i] = (struct gw_log_frame){.rows = 1, .body = gw_slice_of(&bodies[i], 1)};
    }
    for (unsigned i = 0; i < 2; i++) {
        ones[i] = (struct one){.w = &w};
        ones[i].c =
            (struct gw_log_commit){.frames = frames + i * FRAMES, .n_frames = FRAMES, .done = world_done, .sync = true};
        gw_log_submit(w.log, &ones[i].c);
    }
    (void)gw_log_work(w.log);
    assert_int_equal(w.n_done, 2);
    assert_int_equal(w.rc, 0);
    assert_int_equal(world_read(&w, 0).frames, 2 * FRAMES);
    again(&w);
    assert_int_equal(world_read(&w, 0).frames, 2 * FRAMES);
    world_clear(&w);
}

/*
 * Scenario    a disk on which nothing can be allocated ahead
 * Guarantees  reserves have their blocks all the same: as many zeros as would have been allocated
 */
static void reserves_are_written_where_they_cannot_be_allocated(void **state)
{
    size_t wanted, n = 0;
    struct world w;
    const uint8_t *p;

    (void)state;
    begin(&w);
    assert_non_null(gw_simdisk_bytes(&disk, "q/reserve.0", &wanted));
    assert_true(wanted > 64 << 10);
    world_clear(&w);
    world_init_on(&w, &disk);
    disk.faults[GW_SIMDISK_ALLOCATE] = (struct gw_simdisk_fault){-EOPNOTSUPP, 1, 1000};
    world_open(&w);
    p = gw_simdisk_bytes(&disk, "q/reserve.1", &n);
    assert_non_null(p);
    assert_int_equal(n, wanted);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p[i], 0);
    (void)fill(&w, 4);
    assert_int_equal(world_read(&w, 0).frames, world_stats(&w).end_seq);
    world_clear(&w);
}

/*
 * Scenario    every other row of a frame of 300 is settled
 * Guarantees  a reader gives the 150 ranges that are open, whatever it began with room for
 */
static void a_frame_may_have_many_gaps(void **state)
{
    struct gw_log_settle settles[150];
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world w;
    uint32_t id;

    (void)state;
    begin(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    assert_int_equal(world_append(&w, 300, 10, true), 0);
    for (uint32_t i = 0; i < 150; i++)
        settles[i] = (struct gw_log_settle){.consumer = id, .first_row = 2 * i, .rows = 1, .frame_rows = 300};
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.settles = settles, .n_settles = 150}), 0);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){.consumer = id}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.n_open, 150);
    for (uint32_t i = 0; i < 150; i++) {
        assert_int_equal(e.open[i].first, 2 * i + 1);
        assert_int_equal(e.open[i].rows, 1);
    }
    gw_log_reader_free(r);
    world_clear(&w);
}

/* Only whole segments go: small limits make them small, within bounds. */
static void limits_make_segments_small(void **state)
{
    static const struct {
        uint64_t segment, max, retained, wanted;
    } cases[] = {
        {0, 0, 0, 64 << 20},
        {1 << 20, 0, 0, 1 << 20},
        {1 << 20, 1 << 20, 0, 256 << 10},
        {1 << 20, 8 << 20, 8 << 20, 1 << 20},
        {1 << 20, 0, 512 << 10, 128 << 10},
        {1 << 20, 1 << 20, 512 << 10, 128 << 10},
        {1, 0, 0, 64 << 10},
        {1 << 20, 1000, 1000, 64 << 10},
        {1ull << 40, 0, 0, 1ull << 33},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct gw_lf l = {.conf = {.segment_bytes = cases[i].segment,
                                   .max_bytes = cases[i].max,
                                   .retention.max_bytes = cases[i].retained},
                          .least_segment = GW_LF_MIN_SEGMENT};

        assert_int_equal(gw_lf_segment_bytes(&l), cases[i].wanted);
    }
}

/*
 * Scenario    frames are settled one by one all over a segment of megabytes, just after they were written; after a
 * start Guarantees  what was just written is known without reading; else a look-up reads a few blocks, not the segment
 */
static void a_look_up_reads_little(void **state)
{
    struct world w;
    uint64_t n, before;
    uint32_t id;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.segment_bytes = 6 << 20;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    for (n = 0; n < 50; n++)
        assert_int_equal(world_append(&w, 2, 100000, false), 0);
    before = disk.n_calls[GW_SIMDISK_READ];
    assert_int_equal(world_settle(&w, id, 3, 3), 0);
    assert_int_equal(disk.n_calls[GW_SIMDISK_READ], before);
    again(&w);
    assert_int_equal(world_append(&w, 2, 100, false), 0);
    assert_int_equal(world_settle(&w, id, 5, 5), 0); /* marks are made */
    before = disk.n_calls[GW_SIMDISK_READ];
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(world_settle(&w, id, 8 + 4 * i, 8 + 4 * i), 0);
    assert_in_range(disk.n_calls[GW_SIMDISK_READ] - before, 0, 30);
    world_clear(&w);
}

/*
 * Scenario    somebody removes a segment's file under a reader: one in the middle, or the last one
 * Guarantees  its frames are lost, counted, and the reader goes on behind them; for the last one it says that the file
 * is not there. Who begins in the middle of what is gone has lost nothing that it knows of
 */
static void files_that_are_taken_away_are_losses(void **state)
{
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world w;
    uint64_t first, behind, n;

    (void)state;
    begin(&w);
    n = fill(&w, 4);
    first = lf(&w)->segs[1].first_seq;
    behind = lf(&w)->segs[2].first_seq;
    assert_true(first + 2 < behind && behind < n);
    remove_segment(&w, 1);
    assert_int_equal(world_read(&w, 0).lost_frames, behind - first);
    assert_int_equal(world_read(&w, 0).lost_rows, behind - first);
    assert_int_equal(world_read(&w, 0).frames, n - (behind - first));

    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    for (uint64_t from = first; from <= first + 1; from++) {
        assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, from), 0);
        assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(e.frame.seq, behind);
        assert_int_equal(e.lost_frames, from == first ? behind - first : 0);
    }
    remove_segment(&w, lf(&w)->n_segs - 1);
    assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, n - 1), 0);
    assert_int_equal(gw_log_next(r, &e), -ENOENT);
    gw_log_reader_free(r);
    world_clear(&w);
}

/*
 * Scenario    logs with damage of any kind, or whose segments lost their beginnings, are looked at read-only
 * Guarantees  nothing on the disk changes, and nothing is said to have been changed
 */
static void looking_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct gw_log *l;
        struct gw_err err;
        struct world w;
        uint64_t draw = seed, hash;
        uint8_t *p;
        size_t n;

        begin(&w);
        (void)fill(&w, 3);
        gw_simdisk_init(&next, 1);
        world_kill(&w, &next);
        if (seed % 3 == 0) { /* zeros, or garbage, where the last segment was */
            p = gw_simdisk_bytes(&next, "q/00000000000000000003.log", &n);
            memset(p, seed % 2 ? 0 : 0xa5, n);
        }
        for (unsigned i = 0; i < 4; i++)
            (void)gw_simdisk_damage(&next, (enum gw_simdisk_damage)((seed + i) % GW_SIMDISK_N_DAMAGES), &draw);
        hash = gw_simdisk_hash(&next);
        w.conf.read_only = true;
        if (gw_log_files_open(&w.conf, &l, &err) == 0) {
            w.log = l;
            (void)world_read(&w, 0);
            gw_log_close(l);
            w.log = NULL;
        }
        assert_int_equal(next.n_changes, 0);
        assert_int_equal(gw_simdisk_hash(&next), hash);
        assert_false(world_said(&w, "kept"));
        assert_false(world_said(&w, "cut off"));
        world_clear(&w);
    }
}

/*
 * Scenario    two consumers that move positions: one has passed all in one partition and little in another, one has
 * passed all Guarantees  segments that the slowest partition of the slowest still needs stay
 */
static void the_slowest_partition_keeps_segments(void **state)
{
    struct gw_log_frame f = {.rows = 1, .body = gw_slice_of(disk.names, 5000)};
    struct gw_log_position p[5];
    struct world w;
    uint32_t ids[2];
    uint64_t n, low;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    world_open(&w);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(gw_log_consumer_open(w.log, i ? "fast" : "slow", GW_LOG_FROM_FIRST, &ids[i]), 0);
    do {
        f.partition = world_stats(&w).end_seq % 3;
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1}), 0);
    } while (world_stats(&w).segments < 5);
    n = world_stats(&w).end_seq;
    low = lf(&w)->segs[1].first_seq + 2;
    p[0] = (struct gw_log_position){.consumer = ids[0], .partition = 0, .next_seq = n};
    p[1] = (struct gw_log_position){.consumer = ids[0], .partition = 1, .next_seq = low};
    p[2] = (struct gw_log_position){.consumer = ids[0], .partition = 2, .next_seq = n};
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = p, .n_positions = 3}), 0);
    assert_int_equal(world_stats(&w).segments, 5); /* the fast one has not moved yet */
    for (uint16_t i = 0; i < 3; i++)
        p[i] = (struct gw_log_position){.consumer = ids[1], .partition = i, .next_seq = n};
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = p, .n_positions = 3}), 0);
    assert_int_equal(world_stats(&w).segments, 4); /* the first one went */
    assert_true(world_stats(&w).first_seq <= low);
    p[0] = (struct gw_log_position){.consumer = ids[0], .partition = 1, .next_seq = n};
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = p, .n_positions = 1}), 0);
    assert_int_equal(world_stats(&w).segments, 1);
    world_clear(&w);
}

/* An idle log wants to be called when its oldest segment is old enough; when the wall clock jumped, a second later. */
static void an_idle_log_wakes_for_age(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.max_age_ns = 100 * S;
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    disk.now_ns += 10 * S;
    (void)gw_log_work(w.log); /* how far it is synced is written down */
    assert_int_equal(gw_log_work(w.log), disk.now_ns + 90 * S + 1);
    lf(&w)->segs[0].last_time_ns = 1; /* long ago, and still the only one */
    assert_int_equal(gw_lf_retain_next(lf(&w)), disk.now_ns + S);
    world_clear(&w);
}

/* A reserve that was used is made again by the writer's turn, without anybody asking for room. */
static void reserves_come_back(void **state)
{
    struct world w;
    size_t n;

    (void)state;
    begin(&w);
    assert_int_equal(lf(&w)->n_reserve, 2);
    assert_int_equal(disk.ops.file_remove(&disk.env, "q/reserve.1"), 0);
    lf(&w)->n_reserve = 1;
    lf(&w)->reserve_retry_ns = 0;
    (void)gw_log_work(w.log);
    assert_int_equal(lf(&w)->n_reserve, 2);
    assert_non_null(gw_simdisk_bytes(&disk, "q/reserve.1", &n));
    world_clear(&w);
}

/* Who was the last to need segments is released: they go at once. */
static void releasing_the_last_lets_segments_go(void **state)
{
    struct world w;
    uint32_t ids[2];
    uint64_t n;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "fast", GW_LOG_FROM_FIRST, &ids[0]), 0);
    assert_int_equal(gw_log_consumer_open(w.log, "slow", GW_LOG_FROM_FIRST, &ids[1]), 0);
    n = fill(&w, 3);
    assert_int_equal(world_settle(&w, ids[0], 0, n - 1), 0);
    assert_int_equal(world_stats(&w).segments, 3);
    assert_int_equal(gw_log_consumer_release(w.log, "slow"), 0);
    assert_int_equal(world_stats(&w).segments, 1);
    world_clear(&w);
}

/* Before it has moved, a position is where its consumer began, or the first frame that is still there. */
static void a_position_begins_somewhere(void **state)
{
    struct world w;
    uint32_t end, first;
    uint64_t seq = 0, n;

    (void)state;
    begin(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "first", GW_LOG_FROM_FIRST, &first), 0);
    n = fill(&w, 3);
    assert_int_equal(gw_log_consumer_open(w.log, "end", GW_LOG_FROM_END, &end), 0);
    assert_int_equal(gw_log_position(w.log, end, 3, &seq, NULL, NULL), 0);
    assert_int_equal(seq, n);
    assert_int_equal(gw_log_position(w.log, first, 3, &seq, NULL, NULL), 0);
    assert_int_equal(seq, 0);
    world_clear(&w);
}

/*
 * Scenario    files in the folder that say nothing: blank ones, one longer than a block and not blank at its end, a
 * reserve that had become a segment, one that cannot be read Guarantees  what is blank goes, what is not is kept aside,
 * and that is said
 */
static void only_blank_files_are_removed(void **state)
{
    static uint8_t bytes[300 << 10];
    static const char path[] = "q/00000000000000000009.log", aside[] = "q/00000000000000000009.log.bad";

    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        size_t n = k < 2 ? sizeof(bytes) : 1000;
        bool kept = k == 1 || k == 3 || k == 5;
        struct world w;

        begin(&w);
        assert_int_equal(world_append(&w, 1, 100, true), 0);
        world_close(&w);
        memset(bytes, 0, sizeof(bytes));
        if (k == 1)
            bytes[n - 1] = 1;
        if (k == 3)
            bytes[8] = 1;
        if (k >= 4) {
            memset(bytes, k == 4 ? 7 : 0, n);
            memcpy(bytes + (k == 4 ? 0 : 16), GW_LF_RESERVE_MARK, 8);
        }
        gw_simdisk_put(&disk, path, bytes, n);
        world_open(&w);
        assert_null(gw_simdisk_bytes(&disk, path, &n));
        assert_int_equal(gw_simdisk_bytes(&disk, aside, &n) != NULL, kept);
        assert_int_equal(world_said(&w, "kept aside"), kept);
        assert_int_equal(world_read(&w, 0).frames, 1);
        world_clear(&w);
    }
}

/* What is kept aside cannot be renamed: nobody is told that it was. */
static void what_cannot_be_kept_aside_is_not_said_to_be(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_close(&w);
    gw_simdisk_put(&disk, "q/00000000000000000009.log", "something", 9);
    disk.faults[GW_SIMDISK_RENAME] = (struct gw_simdisk_fault){-EIO, 1, 1};
    world_open(&w);
    assert_false(world_said(&w, "kept aside"));
    world_clear(&w);
}

/* Calls that fail while a log is opened: it says which, and nothing is left open. */
static void opening_fails_with_a_sentence(void **state)
{
    static const struct {
        enum gw_simdisk_call call;
        uint64_t nth;
        const char *text;
    } cases[] = {
        {GW_SIMDISK_OPEN, 1, "LOCK cannot be opened"},
        {GW_SIMDISK_LOCK, 1, "LOCK cannot be locked"},
        {GW_SIMDISK_DIR_LIST, 1, "q: "},
        {GW_SIMDISK_DIR_LIST, 2, "q: "},
        {GW_SIMDISK_DIR_SYNC, 2, "the last segment cannot be written on"},
        {GW_SIMDISK_SYNC, 1, "the last segment cannot be written on"},
        {GW_SIMDISK_TRUNCATE, 1, "the last segment cannot be written on"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct gw_err err = {""};
        struct world w;

        begin(&w);
        assert_int_equal(world_append(&w, 1, 100, true), 0);
        gw_simdisk_init(&next, 1);
        world_kill(&w, &next);
        next.faults[cases[i].call] = (struct gw_simdisk_fault){-EIO, cases[i].nth, 1};
        assert_int_equal(gw_log_files_open(&w.conf, &w.log, &err), -EIO);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_true(gw_simdisk_is_quiet(&next));
        w.log = NULL;
        world_open(&w);
        assert_int_equal(world_read(&w, 0).frames, 1);
        world_clear(&w);
    }
}

/*
 * Scenario    the process died; behind the end of its last segment lies something
 * Guarantees  it is cut off, and the file has its length again: zeros to its end
 */
static void what_lies_behind_the_end_is_cut_off(void **state)
{
    struct world w;
    uint8_t *p;
    size_t n;
    uint64_t at;

    (void)state;
    begin(&w);
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    p = gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n);
    memset(p + n - 500, 0xa5, 500);
    world_open(&w);
    at = lf(&w)->tail.at;
    p = gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n);
    assert_int_equal(n, 64 << 10);
    for (size_t i = at; i < n; i++)
        assert_int_equal(p[i], 0);
    world_clear(&w);
}

/* A group for which the disk has no room: the file is as long as before, for what is smaller. */
static void a_file_keeps_its_room_when_a_write_fails(void **state)
{
    struct world w;
    size_t n;

    (void)state;
    begin(&w);
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    disk.faults[GW_SIMDISK_WRITE] = (struct gw_simdisk_fault){-ENOSPC, 1, 1};
    assert_int_equal(world_append(&w, 1, 5000, true), -ENOSPC);
    assert_non_null(gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n));
    assert_int_equal(n, 64 << 10);
    world_clear(&w);
}

/* The first frame of a segment is damaged, and a reader begins there: it is counted. */
static void a_damaged_first_frame_is_told(void **state)
{
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world w;
    uint64_t first;
    uint8_t *p;
    size_t n;

    (void)state;
    begin(&w);
    (void)fill(&w, 3);
    first = lf(&w)->segs[1].first_seq;
    p = gw_simdisk_bytes(&disk, "q/00000000000000000002.log", &n);
    p[lf(&w)->segs[1].data + 200] ^= 1;
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, first), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, first + 1);
    assert_int_equal(e.lost_frames, 1);
    assert_int_equal(e.lost_rows, 1);
    gw_log_reader_free(r);
    world_clear(&w);
}

/* The same where a reader begins, or behind that, and nothing is left of that segment. */
static void a_segment_without_frames_is_told(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        uint64_t first, end;
        struct gw_log_reader *r;
        struct gw_log_entry e;
        struct world w;
        uint8_t *p;
        size_t n;

        begin(&w);
        (void)fill(&w, 3);
        first = lf(&w)->segs[1].first_seq;
        end = lf(&w)->segs[2].first_seq;
        p = gw_simdisk_bytes(&disk, "q/00000000000000000002.log", &n);
        memset(p + lf(&w)->segs[1].data, 0, n - lf(&w)->segs[1].data);
        assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
        assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, first + k - 1), 0);
        if (k == 0)
            assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(e.frame.seq, end);
        assert_int_equal(e.lost_frames, end - first);
        assert_int_equal(e.lost_rows, end - first);
        gw_log_reader_free(r);
        world_clear(&w);
    }
}

/*
 * Scenario    of three frames the one that a reader is sent to is damaged, in its head or in its body; or it and the
 * one before Guarantees  it is told with the next one, and the log counts it for whoever had it open
 */
static void a_damaged_frame_that_is_asked_for_is_told(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct gw_log_reader *r;
        struct gw_log_entry e;
        struct world w;
        uint64_t at[3];
        uint32_t id;
        uint8_t *p;
        size_t n;

        begin(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "es", GW_LOG_FROM_END, &id), 0);
        for (unsigned i = 0; i < 3; i++) {
            at[i] = lf(&w)->tail.at;
            assert_int_equal(world_append(&w, 3, 500, true), 0);
        }
        p = gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n);
        p[at[1] + (k ? 20 : 100)] ^= 1;
        if (k == 2)
            p[at[0] + 20] ^= 1;
        assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){.consumer = id}, &r), 0);
        assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, 1), 0);
        assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(e.frame.seq, 2);
        assert_int_equal(e.lost_rows, k == 2 ? 6 : 3);
        gw_log_reader_free(r);
        (void)gw_log_work(w.log);
        assert_int_equal(world_consumer(&w, id).lost_rows, k == 2 ? 6 : 3);
        world_clear(&w);
    }
}

/*
 * Scenario    the last frames of the log are not what they should be when a reader comes by, and then they are
 * Guarantees  nothing is passed over before something behind it could be read
 */
static void the_end_is_read_again(void **state)
{
    uint8_t *p, late[GW_LF_HEAD];
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world w;
    uint64_t at;
    size_t n;

    (void)state;
    begin(&w);
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    at = lf(&w)->tail.at;
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    p = gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n);
    memcpy(late, p + at, sizeof(late));
    memset(p + at, 0, sizeof(late));
    p[lf(&w)->tail.at - GW_LF_COMMIT] ^= 1;
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(gw_log_next(r, &e), 0);
    assert_int_equal(gw_log_next(r, &e), 0);
    memcpy(p + at, late, sizeof(late));
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, 1);
    assert_int_equal(e.lost_frames, 0);
    gw_log_reader_free(r);
    world_clear(&w);
}

/*
 * Scenario    the body of a frame in the last segment is damaged, or its head; then the log is opened
 * Guarantees  one frame is lost, with all of its bytes; those are kept beside the segment, and a new one is begun
 */
static void damage_is_kept_aside_and_counted(void **state)
{
    enum { RECORD = GW_LF_HEAD + 5008 }; /* with "meta", padded */

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct world w;
        uint64_t at;
        uint8_t *p;
        size_t n;

        begin(&w);
        at = lf(&w)->tail.data + RECORD + GW_LF_COMMIT;
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(world_append(&w, 3, 5000, true), 0);
        gw_simdisk_init(&next, 1);
        world_kill(&w, &next);
        p = gw_simdisk_bytes(&next, "q/00000000000000000001.log", &n);
        p[at + (k ? 20 : 200)] ^= 1;
        world_open(&w);
        assert_int_equal(world_stats(&w).lost_frames, 1);
        assert_int_equal(world_stats(&w).lost_rows, 3);
        assert_int_equal(world_stats(&w).lost_bytes, RECORD);
        assert_int_equal(world_stats(&w).segments, 2);
        assert_non_null(gw_simdisk_bytes(&next, "q/00000000000000000001.log.bad", &n));
        assert_int_equal(n, RECORD);
        assert_int_equal(world_read(&w, 0).frames, 3);
        world_clear(&w);
    }
}

/* A frame of several blocks is written and read like any other. */
static void a_frame_may_be_longer_than_a_block(void **state)
{
    struct world w;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.segment_bytes = 4 << 20;
    world_open(&w);
    assert_int_equal(world_append(&w, 1, 100, false), 0);
    assert_int_equal(world_append(&w, 1, 3 * GW_LF_BLOCK - 7, true), 0);
    assert_int_equal(world_append(&w, 1, 100, true), 0);
    assert_int_equal(world_read(&w, 0).frames, 3);
    again(&w);
    assert_int_equal(world_read(&w, 0).frames, 3);
    assert_int_equal(world_stats(&w).lost_frames, 0);
    world_clear(&w);
}

/* Where there is no room for large reserves there are small ones; they are there after a power cut. */
static void reserves_are_as_large_as_the_disk_allows(void **state)
{
    uint64_t seed = 1;
    struct world w;
    size_t n = 0;

    (void)state;
    world_init_on(&w, &disk);
    disk.room_bytes = (64 << 10) + (48 << 10);
    world_open(&w);
    assert_int_equal(lf(&w)->n_reserve, 2);
    assert_non_null(gw_simdisk_bytes(&disk, "q/reserve.1", &n));
    assert_int_equal(n, lf(&w)->tail.data + (16 << 10));
    gw_simdisk_init(&next, 1);
    gw_simdisk_power_cut(&next, &disk, &(struct gw_simdisk_crash){0}, &seed);
    assert_non_null(gw_simdisk_bytes(&next, "q/reserve.0", &n));
    assert_non_null(gw_simdisk_bytes(&next, "q/reserve.1", &n));
    gw_simdisk_clear(&next);
    world_clear(&w);
}

/* Without any reserve there is no new segment for frames; one is enough. */
static void one_reserve_is_needed(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    for (unsigned has = 0; has < 2; has++) {
        disk.faults[GW_SIMDISK_OPEN] = (struct gw_simdisk_fault){-EMFILE, 1, 1};
        lf(&w)->n_reserve = has;
        lf(&w)->reserve_retry_ns = 0;
        assert_int_equal(gw_lf_keep_reserve(lf(&w)), has ? 0 : -EMFILE);
    }
    world_clear(&w);
}

/* A segment that goes would become a reserve; when it cannot be renamed, it goes all the same. And who rolls cuts off.
 */
static void segments_go_though_they_cannot_be_renamed(void **state)
{
    struct world w;
    size_t n = 0;

    (void)state;
    begin(&w);
    (void)fill(&w, 2);
    assert_non_null(gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n));
    assert_int_equal(n, lf(&w)->segs[0].end);
    lf(&w)->n_reserve = 1;
    disk.faults[GW_SIMDISK_RENAME] = (struct gw_simdisk_fault){-EIO, 1, 1};
    assert_int_equal(gw_log_truncate(w.log, lf(&w)->segs[1].first_seq), 0);
    assert_null(gw_simdisk_bytes(&disk, "q/00000000000000000001.log", &n));
    assert_int_equal(lf(&w)->n_reserve, 1);
    world_clear(&w);
}

/* What is to stay free on the disk is what the settings say: no new segment for frames beyond. */
static void the_disk_keeps_what_is_reserved(void **state)
{
    struct world w;
    int rc;

    (void)state;
    world_init_on(&w, &disk);
    disk.room_bytes = 4 << 20;
    w.conf.reserve_bytes = 8 << 20;
    world_open(&w);
    while ((rc = world_append(&w, 1, 5000, true)) == 0)
        assert_int_equal(world_stats(&w).segments, 1);
    assert_int_equal(rc, -ENOSPC);
    assert_in_range(world_stats(&w).end_seq, 8, 13);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_grows_while_it_is_built),
        cmocka_unit_test(reserves_are_written_where_they_cannot_be_allocated),
        cmocka_unit_test(a_frame_may_have_many_gaps),
        cmocka_unit_test(limits_make_segments_small),
        cmocka_unit_test(a_look_up_reads_little),
        cmocka_unit_test(files_that_are_taken_away_are_losses),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(the_slowest_partition_keeps_segments),
        cmocka_unit_test(an_idle_log_wakes_for_age),
        cmocka_unit_test(reserves_come_back),
        cmocka_unit_test(releasing_the_last_lets_segments_go),
        cmocka_unit_test(a_position_begins_somewhere),
        cmocka_unit_test(only_blank_files_are_removed),
        cmocka_unit_test(what_cannot_be_kept_aside_is_not_said_to_be),
        cmocka_unit_test(opening_fails_with_a_sentence),
        cmocka_unit_test(what_lies_behind_the_end_is_cut_off),
        cmocka_unit_test(a_file_keeps_its_room_when_a_write_fails),
        cmocka_unit_test(a_damaged_first_frame_is_told),
        cmocka_unit_test(a_segment_without_frames_is_told),
        cmocka_unit_test(a_damaged_frame_that_is_asked_for_is_told),
        cmocka_unit_test(the_end_is_read_again),
        cmocka_unit_test(damage_is_kept_aside_and_counted),
        cmocka_unit_test(a_frame_may_be_longer_than_a_block),
        cmocka_unit_test(reserves_are_as_large_as_the_disk_allows),
        cmocka_unit_test(one_reserve_is_needed),
        cmocka_unit_test(segments_go_though_they_cannot_be_renamed),
        cmocka_unit_test(the_disk_keeps_what_is_reserved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
