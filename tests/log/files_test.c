/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files when nothing is wrong: what is committed is read, settled, and gone when nobody needs it. */
#include "tests/log/helpers.h"

/*
 * Scenario    frames appended one by one and three in a commit; read, closed, opened, read again
 * Guarantees  seq and row count through; bodies and fields come back; sync is told from the rest
 */
static void what_is_committed_is_read(void **state)
{
    struct world w;
    struct gw_log_frame f[3] = {
        {.rows = 5, .topic = 7, .partition = 63, .signal = 2, .time_ns = 99}, {.rows = 0, .partition = 1}, {.rows = 1}};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(world_append(&w, 10, 1000, false), 0);
    assert_int_equal(world_stats(&w).synced_seq, 0);
    assert_int_equal(world_append(&w, 20, 7, true), 0);
    assert_int_equal(world_stats(&w).synced_seq, 2);
    assert_int_equal(w.n_woken, 2);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = f, .n_frames = 3}), 0);
    assert_int_equal(f[0].seq, 2);
    assert_int_equal(f[0].row, 30);
    assert_int_equal(f[2].seq, 4);
    assert_int_equal(f[2].row, 35);
    for (unsigned i = 0; i < 2; i++) {
        struct world_read got = world_read(&w, 0);

        assert_int_equal(got.frames, 5);
        assert_int_equal(got.rows, 36);
        assert_int_equal(got.lost_rows, 0);
        world_close(&w);
        world_open(&w);
        assert_int_equal(world_stats(&w).end_seq, 5);
        assert_int_equal(world_stats(&w).end_row, 36);
        assert_int_equal(world_stats(&w).segments, 1);
    }
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){.partitions = 1ull << 63}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.topic, 7);
    assert_int_equal(e.frame.signal, 2);
    assert_int_equal(e.frame.time_ns, 99);
    assert_int_equal(e.frame.partition, 63);
    assert_int_equal(gw_log_next(r, &e), 0);
    gw_log_reader_free(r);
    world_clear(&w);
}

/*
 * Scenario    rows settled in pieces, in any order, twice; closed and opened
 * Guarantees  each row counts once; low is where the first open row lies; readers give what is open
 */
static void rows_are_settled_once(void **state)
{
    struct world w;
    uint32_t id;
    struct gw_log_consumer c;
    struct gw_log_settle part = {
        .outcome = GW_LOG_REJECTED, .seq = 0, .last_seq = 0, .first_row = 2, .rows = 3, .frame_rows = 10};

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "es", GW_LOG_FROM_FIRST, &id), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(world_append(&w, 10, 100, false), 0);
    part.consumer = id;
    assert_int_equal(world_settle(&w, id, 2, 3), 0);
    assert_int_equal(world_settle(&w, id, 3, 3), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.settles = &part, .n_settles = 1}), 0);
    for (unsigned i = 0; i < 2; i++) {
        c = world_consumer(&w, id);
        assert_int_equal(c.settled[GW_LOG_DELIVERED], 20);
        assert_int_equal(c.settled[GW_LOG_REJECTED], 3);
        assert_int_equal(c.low, 0);
        assert_int_equal(c.low_row, 0);
        assert_int_equal(c.ahead_rows, 23);
        assert_int_equal(c.is_open, i == 0);
        assert_int_equal(world_read(&w, id).open_rows, 37);
        assert_int_equal(world_read(&w, id).frames, 4);
        world_close(&w);
        world_open(&w);
    }
    assert_int_equal(gw_log_consumer_open(w.log, "es", GW_LOG_FROM_END, &id), 0);
    assert_int_equal(id, part.consumer);
    part.first_row = 0;
    part.rows = 2;
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.settles = &part, .n_settles = 1}), 0);
    c = world_consumer(&w, id);
    assert_int_equal(c.low, 0);
    assert_int_equal(c.low_row, 0);
    assert_int_equal(c.ahead_rows, 25);
    assert_int_equal(world_settle(&w, id, 0, 5), 0);
    c = world_consumer(&w, id);
    assert_int_equal(c.low, 6);
    assert_int_equal(c.low_row, 60);
    assert_int_equal(c.ahead_rows, 0);
    assert_int_equal(c.settled[GW_LOG_DELIVERED] + c.settled[GW_LOG_REJECTED], 60);
    world_clear(&w);
}

/*
 * Scenario    commits that cannot be: rows that are not there yet, a consumer, a partition, lengths; a frame without
 * rows Guarantees  refused, and nothing of them is there; a frame without rows holds nobody back
 */
static void what_makes_no_sense_is_refused(void **state)
{
    struct world w;
    struct gw_log_frame f = {.rows = 10}, bad = {.rows = 1, .partition = GW_LOG_PARTITIONS}, none = {.rows = 0};
    struct gw_log_settle s[] = {
        {.seq = 1, .last_seq = 1},
        {.seq = 0, .last_seq = 1},
        {.seq = 0, .last_seq = 0, .outcome = GW_LOG_N_OUTCOMES},
        {.seq = 0, .last_seq = 0, .first_row = 5, .rows = 6, .frame_rows = 10},
        {.seq = 0, .last_seq = 0, .first_row = 0, .rows = 6, .frame_rows = 9},
        {.seq = 0, .last_seq = 0, .consumer = 77},
    };
    struct gw_log_position p = {.partition = 64};
    uint32_t id;

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1}), 0);
    for (unsigned i = 0; i < sizeof(s) / sizeof(*s); i++) {
        s[i].consumer = s[i].consumer ? s[i].consumer : id;
        assert_int_equal(
            world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .settles = &s[i], .n_settles = 1}),
            -EINVAL);
    }
    p.consumer = id;
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = &p, .n_positions = 1}), -EINVAL);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &bad, .n_frames = 1}), -EINVAL);
    bad.partition = 0;
    bad.meta.n = GW_LOG_MAX_META_BYTES + 1;
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &bad, .n_frames = 1}), -E2BIG);
    assert_int_equal(gw_log_consumer_open(w.log, "", GW_LOG_FROM_FIRST, &id), -EINVAL);
    assert_int_equal(world_stats(&w).end_seq, 1);
    assert_int_equal(world_consumer(&w, id).ahead_rows, 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &none, .n_frames = 1}), 0);
    assert_int_equal(world_settle(&w, id, 0, 0), 0);
    assert_int_equal(world_consumer(&w, id).low, 2);
    assert_int_equal(world_read(&w, id).frames, 0);
    world_clear(&w);
}

/*
 * Scenario    more than a segment holds; a consumer passes; another one comes at the end, and is forgotten
 * Guarantees  segments follow each other, go when all have passed, and what is left is whole after a restart
 */
static void segments_go_when_all_have_passed(void **state)
{
    struct world w;
    uint32_t a, b;

    (void)state;
    world_init(&w);
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "a", GW_LOG_FROM_FIRST, &a), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(world_append(&w, 1, 5000, false), 0);
    assert_true(world_stats(&w).segments > 5);
    assert_int_equal(world_read(&w, a).rows, 100);
    assert_int_equal(gw_log_consumer_open(w.log, "b", GW_LOG_FROM_END, &b), 0);
    assert_int_equal(world_consumer(&w, b).first_row, 100);
    assert_int_equal(world_settle(&w, a, 0, 49), 0);
    assert_true(world_stats(&w).first_seq > 30);
    assert_true(world_stats(&w).first_seq <= 50);
    world_close(&w);
    world_open(&w);
    assert_int_equal(world_read(&w, a).rows, 50);
    assert_int_equal(world_settle(&w, a, 50, 99), 0);
    assert_int_equal(world_append(&w, 1, 5000, false), 0);
    assert_int_equal(world_read(&w, a).rows, 1);
    assert_int_equal(world_read(&w, b).rows, 1);
    assert_int_equal(gw_log_consumer_release(w.log, "b"), 0);
    assert_int_equal(gw_log_consumer_release(w.log, "b"), -ENOENT);
    assert_int_equal(world_stats(&w).segments, 1);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    world_clear(&w);
}

/*
 * Scenario    the last bytes of the file are missing, byte by byte
 * Guarantees  whole commits stay, half ones do not; the log goes on from there
 */
static void a_torn_tail_is_cut(void **state)
{
    struct world w;
    char path[200];
    uint64_t before, after;

    (void)state;
    world_init(&w);
    world_open(&w);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(world_append(&w, 2, 50, true), 0);
    before = world_stats(&w).bytes;
    assert_int_equal(world_append(&w, 2, 100, false), 0);
    after = world_stats(&w).bytes;
    world_close(&w);
    (void)snprintf(path, sizeof(path), "%s/00000000000000000001.log", w.dir);
    for (uint64_t n = after - 1; n >= before; n--) {
        assert_int_equal(truncate(path, (off_t)n), 0);
        world_open(&w);
        assert_int_equal(world_read(&w, 0).frames, 3);
        assert_int_equal(world_stats(&w).end_row, 6);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        assert_int_equal(world_append(&w, 2, 100, false), 0);
        assert_int_equal(world_read(&w, 0).frames, 4);
        world_close(&w);
    }
    world_clear(&w);
}

/* The folder as a killed process leaves it, opened by the next one. */
static void kill_and_open(const struct world *w, struct world *next)
{
    char cmd[500];

    world_init(next);
    (void)snprintf(cmd, sizeof(cmd), "cp -r %s %s", w->dir, next->dir);
    assert_int_equal(system(cmd), 0);
    world_open(next);
}

/*
 * Scenario    the process is killed behind a roll, before or after groups in the new segment that were not synced; so
 * is the next one, which has written as well Guarantees  every commit that was told is there
 */
static void what_was_not_synced_survives_the_process(void **state)
{
    struct world w, second, third;

    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        world_init(&w);
        world_open(&w);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(world_append(&w, 2, 100, n == 3), 0);
        if (n < 3)
            assert_int_equal(gw_lf_roll((struct gw_lf *)w.log, 0), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(world_append(&w, 2, 100, false), 0);
        kill_and_open(&w, &second);
        assert_int_equal(world_read(&second, 0).frames, 3 + n);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(world_append(&second, 2, 100, false), 0);
        kill_and_open(&second, &third);
        assert_int_equal(world_read(&third, 0).frames, 8 + n);
        assert_int_equal(world_stats(&third).end_row, 16 + 2 * n);
        world_clear(&third);
        world_clear(&second);
        world_clear(&w);
    }
}

/*
 * Scenario    a new epoch of a producer while commits of the old one come
 * Guarantees  they are refused, also after a restart; anonymous ones are not
 */
static void an_old_epoch_is_fenced(void **state)
{
    struct world w;
    struct gw_log_producer old, new;
    struct gw_log_frame f = {.rows = 1};

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(gw_log_producer(w.log, "graph", &old), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .producer = old}), 0);
    assert_int_equal(gw_log_producer(w.log, "graph", &new), 0);
    assert_int_equal(new.id, old.id);
    assert_int_equal(new.epoch, old.epoch + 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .producer = old}),
                         -ESTALE);
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1, .producer = new}), 0);
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1}), 0);
        world_close(&w);
        world_open(&w);
    }
    assert_int_equal(world_stats(&w).end_seq, 5);
    world_clear(&w);
}

/*
 * Scenario    positions with notes in some partitions; a commit with frames and a position
 * Guarantees  they are found again, also in the next segment; a reader begins there
 */
static void positions_are_found_again(void **state)
{
    struct world w;
    uint32_t id;
    uint64_t next;
    char note[64];
    size_t n;
    struct gw_log_frame f[2] = {{.rows = 1, .partition = 3}, {.rows = 1, .partition = 4}};
    struct gw_log_position p = {.partition = 3, .next_seq = 5, .note = GW_SLICE("state at 5")};

    (void)state;
    world_init(&w);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "roll", GW_LOG_FROM_FIRST, &id), 0);
    p.consumer = id;
    assert_int_equal(gw_log_position(w.log, id, 3, &next, NULL, NULL), 0);
    assert_int_equal(next, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(
            world_commit(&w,
                         (struct gw_log_commit){.frames = f, .n_frames = 2, .positions = &p, .n_positions = i == 3}),
            0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(world_append(&w, 1, 5000, false), 0);
    for (unsigned i = 0; i < 2; i++) {
        n = sizeof(note);
        assert_int_equal(gw_log_position(w.log, id, 3, &next, note, &n), 0);
        assert_int_equal(next, 5);
        assert_int_equal(n, 10);
        assert_memory_equal(note, "state at 5", 10);
        assert_int_equal(world_read(&w, id).frames, 48 - 3); /* 0, 2 and 4 */
        world_close(&w);
        world_open(&w);
    }
    world_clear(&w);
}

/*
 * Scenario    numbers of segments, frames and rows that begin near 2^63, and near the end of 32 bits
 * Guarantees  they go on as any others, over segments and restarts
 */
static void numbers_may_be_large(void **state)
{
    const struct gw_lf_begin begins[] = {{(1ull << 63) - 1, (1ull << 63) - 20, (1ull << 63) - 33, 0},
                                         {UINT32_MAX, UINT32_MAX - 20ull, UINT32_MAX - 33ull, 0}};

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        const struct gw_lf_begin *at = &begins[k];
        struct world w;
        struct gw_err err;
        uint32_t id;

        world_init(&w);
        w.conf.retention.until_settled = true;
        assert_int_equal(gw_lf_open(&w.conf, at, &w.log, &err), 0);
        assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(world_append(&w, 3, 5000, false), 0);
        assert_int_equal(world_settle(&w, id, at->seq + 2, at->seq + 5), 0);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(world_stats(&w).end_seq, at->seq + 40);
            assert_int_equal(world_stats(&w).end_row, at->row + 120);
            assert_int_equal(world_read(&w, id).open_rows, 36 * 3);
            assert_int_equal(world_consumer(&w, id).low, at->seq);
            assert_int_equal(world_stats(&w).lost_rows, 0);
            world_close(&w);
            world_open(&w);
        }
        assert_int_equal(world_settle(&w, id, at->seq, at->seq + 38), 0);
        assert_int_equal(world_consumer(&w, id).low_row, at->row + 117);
        assert_int_equal(world_stats(&w).segments, 1);
        world_clear(&w);
    }
}

/*
 * Scenario    so many small frames that their rows are not in memory any more, in segments of before and of this start;
 *             settled from the back, one by one
 * Guarantees  each one's rows are found
 */
static void rows_are_found_in_the_files(void **state)
{
    static struct gw_simdisk disk;
    static struct gw_log_frame f[1000];
    static uint8_t body[40];
    struct world w;
    uint32_t id;
    uint64_t rows = 0, settled = 0, n = 0;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.segment_bytes = 1 << 20;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    for (unsigned k = 0; k < 24; k++) {
        for (unsigned i = 0; i < 1000; i++) {
            f[i] = (struct gw_log_frame){.rows = 1 + (uint32_t)(n++ % 7), .body = {body, sizeof(body)}};
            rows += f[i].rows;
        }
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = f, .n_frames = 1000}), 0);
        if (k != 11)
            continue;
        world_close(&w);
        world_open(&w);
    }
    assert_true(world_stats(&w).segments >= 3);
    for (uint64_t seq = n; seq-- > 0;) {
        if (seq % 97 != 0)
            continue;
        assert_int_equal(world_settle(&w, id, seq, seq), 0);
        settled += 1 + seq % 7;
        assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DELIVERED], settled);
    }
    assert_int_equal(world_settle(&w, id, 3, n - 3), 0);
    assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DELIVERED],
                     rows - (1 + 2) - 3 + 1 - (1 + (n - 2) % 7) - (1 + (n - 1) % 7));
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_read),
        cmocka_unit_test(rows_are_settled_once),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(segments_go_when_all_have_passed),
        cmocka_unit_test(a_torn_tail_is_cut),
        cmocka_unit_test(what_was_not_synced_survives_the_process),
        cmocka_unit_test(an_old_epoch_is_fenced),
        cmocka_unit_test(positions_are_found_again),
        cmocka_unit_test(numbers_may_be_large),
        cmocka_unit_test(rows_are_found_in_the_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
