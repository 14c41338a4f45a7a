/* SPDX-License-Identifier: Apache-2.0 */
/* What goes, when, and who it is counted for. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk;

static void fill(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(world_append(w, 2, 5000, false), 0);
}

/*
 * Scenario    a limit in bytes; a consumer that has settled a few rows ahead; the file cannot be removed at first
 * Guarantees  the oldest segments go; their open rows are dropped for the consumer, to the row, once, also when the
 *             process dies between saying so and removing
 */
static void the_oldest_go_and_are_counted(void **state)
{
    struct world w;
    struct gw_log_consumer c;
    uint32_t id;
    uint64_t first;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.max_bytes = 256 << 10;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    fill(&w, 20);
    assert_int_equal(world_settle(&w, id, 3, 5), 0);
    disk.faults[GW_SIMDISK_REMOVE] = (struct gw_simdisk_fault){-EIO, 1, 1000};
    disk.faults[GW_SIMDISK_RENAME] = (struct gw_simdisk_fault){-EIO, 1, 1000};
    fill(&w, 60);
    first = world_stats(&w).first_seq;
    assert_in_range(first, 20, 60);
    assert_true(world_stats(&w).bytes <= 256 << 10);
    c = world_consumer(&w, id);
    assert_int_equal(c.settled[GW_LOG_DROPPED], 2 * (first - 3));
    assert_int_equal(c.settled[GW_LOG_DELIVERED], 6);
    assert_int_equal(c.low, first);
    world_close(&w);
    memset(disk.faults, 0, sizeof(disk.faults));
    for (unsigned i = 0; i < 2; i++) {
        world_open(&w);
        (void)gw_log_work(w.log);
        assert_int_equal(world_stats(&w).first_seq, first);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DROPPED], 2 * (first - 3));
        assert_int_equal(world_read(&w, id).frames, 80 - first);
        world_close(&w);
    }
    world_clear(&w);
}

/*
 * Scenario    a consumer that moves positions: it has passed all, a part in one of two partitions, nothing
 * Guarantees  when segments go, what it has passed counts as delivered, the rest as dropped, to the row
 */
static void what_positions_passed_is_delivered(void **state)
{
    static uint8_t body[5000];
    struct world w;
    struct gw_log_frame f[2] = {{.rows = 1, .partition = 0, .body = {body, sizeof(body)}},
                                {.rows = 3, .partition = 1, .body = {body, sizeof(body)}}};
    uint32_t all, some;
    uint64_t first;
    struct gw_log_position p[3] = {
        {.partition = 0, .next_seq = 40}, {.partition = 1, .next_seq = 40}, {.partition = 1, .next_seq = 12}};

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "all", GW_LOG_FROM_FIRST, &all), 0);
    assert_int_equal(gw_log_consumer_open(w.log, "some", GW_LOG_FROM_FIRST, &some), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = f, .n_frames = 2}), 0);
    p[0].consumer = p[1].consumer = all;
    p[2].consumer = some;
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = p, .n_positions = 3}), 0);
    assert_int_equal(gw_log_truncate(w.log, 30), 0);
    first = world_stats(&w).first_seq;
    assert_in_range(first, 13, 30);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world_consumer(&w, all).settled[GW_LOG_DELIVERED], world_stats(&w).first_row);
        assert_int_equal(world_consumer(&w, all).settled[GW_LOG_DROPPED], 0);
        assert_int_equal(world_consumer(&w, some).settled[GW_LOG_DELIVERED], 6 * 3);
        assert_int_equal(world_consumer(&w, some).settled[GW_LOG_DROPPED], world_stats(&w).first_row - 18);
        world_close(&w);
        world_open(&w);
    }
    world_clear(&w);
}

/*
 * Scenario    a consumer has a position in one of two partitions; then in both
 * Guarantees  what it has not seen of the other one holds segments back; then they go
 */
static void a_partition_without_a_position_holds_back(void **state)
{
    static uint8_t body[5000];
    struct world w;
    struct gw_log_frame f[2] = {{.rows = 1, .partition = 0, .body = {body, sizeof(body)}},
                                {.rows = 1, .partition = 1, .body = {body, sizeof(body)}}};
    struct gw_log_position p = {.partition = 0, .next_seq = 40};
    uint32_t id;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    p.consumer = id;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = f, .n_frames = 2}), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = &p, .n_positions = 1}), 0);
    assert_int_equal(world_stats(&w).first_seq, 0);
    p.partition = 1;
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = &p, .n_positions = 1}), 0);
    assert_true(world_stats(&w).first_seq > 20);
    assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DROPPED], 0);
    world_clear(&w);
}

/*
 * Scenario    a consumer whose name begins with '#' has a place in one partition, far behind; another has read all
 * Guarantees  only the other one counts: segments go, and the place with its note stays
 */
static void who_only_has_notes_holds_nothing_back(void **state)
{
    static uint8_t body[5000];
    uint8_t note[16];
    size_t n = sizeof(note);
    uint64_t at;
    struct world w;
    struct gw_log_frame f = {.rows = 1, .partition = 0, .body = {body, sizeof(body)}};
    struct gw_log_position p = {.partition = 0, .next_seq = 40}, q = {.note = {(const uint8_t *)"here", 4}};

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.until_settled = true;
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &p.consumer), 0);
    assert_int_equal(gw_log_consumer_open(w.log, "#places", GW_LOG_FROM_FIRST, &q.consumer), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = &q, .n_positions = 1}), 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(world_commit(&w, (struct gw_log_commit){.frames = &f, .n_frames = 1}), 0);
    assert_int_equal(world_commit(&w, (struct gw_log_commit){.positions = &p, .n_positions = 1}), 0);
    assert_true(world_stats(&w).first_seq > 20);
    assert_int_equal(gw_log_position(w.log, q.consumer, 0, &at, note, &n), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(note, "here", 4);
    world_clear(&w);
}

/* Scenario: a limit by age; the wall clock jumps ahead and back. Guarantees: what is old goes, the last segment too. */
static void what_is_old_goes(void **state)
{
    struct world w;
    uint64_t when;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention.max_age_ns = 3600 * S;
    world_open(&w);
    fill(&w, 20);
    disk.now_ns += 1800 * S;
    fill(&w, 20);
    disk.now_ns += 1801 * S;
    when = gw_log_work(w.log);
    assert_in_range(world_stats(&w).first_seq, 10, 20);
    assert_in_range(when, disk.now_ns + 1, disk.now_ns + 1800 * S);
    disk.wall_offset_ns -= 10ull * 365 * 86400 * S;
    (void)gw_log_work(w.log);
    assert_in_range(world_stats(&w).first_seq, 10, 20);
    disk.wall_offset_ns += 20ull * 365 * 86400 * S;
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).first_seq, 40);
    assert_int_equal(world_read(&w, 0).frames, 0);
    assert_int_equal(world_append(&w, 1, 10, true), 0);
    assert_int_equal(world_read(&w, 0).frames, 1);
    world_clear(&w);
}

/* Scenario: truncate in the middle and to the end. Guarantees: whole segments go; open rows count as dropped. */
static void truncate_drops(void **state)
{
    struct world w;
    uint32_t id;
    uint64_t first;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    fill(&w, 40);
    assert_int_equal(gw_log_truncate(w.log, 25), 0);
    first = world_stats(&w).first_seq;
    assert_in_range(first, 12, 25);
    assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DROPPED], 2 * first);
    assert_int_equal(gw_log_truncate(w.log, GW_LOG_END), 0);
    assert_int_equal(world_stats(&w).first_seq, 40);
    assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DROPPED], 80);
    assert_int_equal(world_consumer(&w, id).low, 40);
    assert_int_equal(world_read(&w, id).frames, 0);
    world_close(&w);
    world_open(&w);
    assert_int_equal(world_stats(&w).end_row, 80);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    world_clear(&w);
}

/*
 * Scenario    a reader stands in a segment that goes, and whose blocks become another one
 * Guarantees  it goes on with the first frame that is left, and calls nothing lost
 */
static void a_reader_survives_retention(void **state)
{
    struct world w;
    struct gw_log_reader *r;
    struct gw_log_entry e;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.segment_bytes = 1 << 20; /* more than a reader has in its block */
    w.conf.retention.max_bytes = 4 << 20;
    world_open(&w);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(world_append(&w, 2, 20000, false), 0);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, 2);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(world_append(&w, 2, 20000, false), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    while (e.frame.seq < world_stats(&w).first_seq) /* what it had in its block already */
        assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, world_stats(&w).first_seq);
    assert_int_equal(e.lost_frames, 0);
    while (gw_log_next(r, &e) > 0)
        assert_int_equal(e.lost_frames, 0);
    assert_int_equal(e.frame.seq, 439);
    gw_log_reader_free(r);
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).lost_frames, 0);
    world_clear(&w);
}

/* Scenario: seek by seq, by partition, by time over segments. Guarantees: the first frame at or behind it. */
static void readers_seek(void **state)
{
    struct world w;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t t0;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    t0 = gw_wall_ns(&disk.env);
    for (unsigned i = 0; i < 40; i++) {
        fill(&w, 1);
        disk.now_ns += S;
    }
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    for (unsigned seq = 40; seq-- > 0;) {
        assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, seq), 0);
        assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(e.frame.seq, seq);
        assert_int_equal(e.frame.row, 2 * seq);
        assert_int_equal(gw_log_seek_time(r, t0 + seq * S - S / 2), 0);
        assert_int_equal(gw_log_next(r, &e), 1);
        assert_int_equal(e.frame.seq, seq);
    }
    assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, GW_LOG_END), 0);
    assert_int_equal(gw_log_next(r, &e), 0);
    assert_int_equal(gw_log_seek(r, 3, 10), 0); /* others do not come again */
    assert_int_equal(gw_log_next(r, &e), 0);
    assert_int_equal(gw_log_seek(r, 0, 10), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(e.frame.seq, 10);
    gw_log_reader_free(r);
    world_clear(&w);
}

static int move_to(struct world *w, uint32_t consumer, uint64_t seq)
{
    struct gw_log_position p = {.consumer = consumer, .next_seq = seq};

    return world_commit(w, (struct gw_log_commit){.positions = &p, .n_positions = 1});
}

/*
 * Scenario    limits that keep what is unread: a reader has read nothing until the log is full, then most of it; a
 * note's consumer never moves; after a restart the reader is not opened, and from some time on does not count
 * Guarantees  the full log refuses and drops nothing, by size or age; what was read goes, and there is room again; a
 *             restart drops nothing before the reader is there; what nobody who counts has read goes by the limits,
 * also when the reader has been there again and is closed
 */
static void limits_wait_for_readers(void **state)
{
    struct gw_log_retention open;
    struct world w;
    uint32_t note, a;
    uint64_t end;
    unsigned n;

    (void)state;
    world_init_on(&w, &disk);
    w.conf.retention =
        (struct gw_log_retention){.max_bytes = 512 << 10, .max_age_ns = 3600 * S, .keep = GW_LOG_KEEP_ALL};
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "#note", GW_LOG_FROM_FIRST, &note), 0);
    assert_int_equal(gw_log_consumer_open(w.log, "a", GW_LOG_FROM_FIRST, &a), 0);
    assert_int_equal(move_to(&w, note, 0), 0);
    for (n = 0; world_append(&w, 1, 5000, false) == 0; n++)
        assert_true(n < 200);
    assert_true(n > 60);
    assert_int_equal(world_append(&w, 1, 5000, false), -EDQUOT);
    assert_int_equal(world_stats(&w).max_bytes, 512 << 10);
    disk.now_ns += 7200 * S;
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).first_seq, 0);
    end = world_stats(&w).end_seq;
    assert_int_equal(move_to(&w, a, end - 5), 0);
    (void)gw_log_work(w.log);
    assert_true(world_stats(&w).first_seq > 0 && world_stats(&w).first_seq <= end - 5);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(world_append(&w, 1, 5000, false), 0);
    assert_int_equal(world_consumer(&w, a).settled[GW_LOG_DROPPED], 0);
    world_close(&w);

    disk.now_ns += 7200 * S;
    world_open(&w);
    (void)gw_log_work(w.log);
    assert_true(world_stats(&w).first_seq <= end - 5);
    open = w.conf.retention;
    open.keep = GW_LOG_KEEP_OPEN;
    gw_log_retain(w.log, &open);
    (void)gw_log_work(w.log);
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).first_seq, end + 20);
    assert_int_equal(world_consumer(&w, a).settled[GW_LOG_DROPPED], 25);

    assert_int_equal(gw_log_consumer_open(w.log, "a", GW_LOG_FROM_FIRST, &a), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(world_append(&w, 1, 5000, false), 0);
    disk.now_ns += 7200 * S;
    gw_log_consumer_close(w.log, a + 100); /* nobody */
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).first_seq, end + 20);
    gw_log_consumer_close(w.log, a);
    (void)gw_log_work(w.log);
    (void)gw_log_work(w.log);
    assert_int_equal(world_stats(&w).first_seq, end + 25);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_go_and_are_counted),
        cmocka_unit_test(what_is_old_goes),
        cmocka_unit_test(a_partition_without_a_position_holds_back),
        cmocka_unit_test(who_only_has_notes_holds_nothing_back),
        cmocka_unit_test(what_positions_passed_is_delivered),
        cmocka_unit_test(truncate_drops),
        cmocka_unit_test(a_reader_survives_retention),
        cmocka_unit_test(limits_wait_for_readers),
        cmocka_unit_test(readers_seek),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
