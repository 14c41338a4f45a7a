/* SPDX-License-Identifier: Apache-2.0 */
/* What the log asks of the kernel's memory for its files: pages are given back, and none is read to be written over. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk;
static ssize_t (*disk_pwritev)(struct gw_file *f, const struct iovec *iov, int n_iov, uint64_t off);
static uint64_t n_written, written_to;

static ssize_t pwritev_seen(struct gw_file *f, const struct iovec *iov, int n_iov, uint64_t off)
{
    ssize_t n = disk_pwritev(f, iov, n_iov, off);

    n_written += n > 0 ? (uint64_t)n : 0;
    written_to = n > 0 ? off + (uint64_t)n : written_to;
    return n;
}

enum { SEGMENT = 4 << 20, PART = SEGMENT / 256 };

static void begin(struct world *w)
{
    world_init_on(w, &disk);
    disk_pwritev = disk.ops.file_pwritev;
    disk.ops.file_pwritev = pwritev_seen;
    w->conf.segment_bytes = SEGMENT;
}

static void append(struct world *w, bool sync)
{
    n_written = 0;
    assert_int_equal(world_append(w, 1, 1000, sync), 0);
}

/* Commits of 1000 bytes until another segment is begun, and one more. Returns how many had zeros behind them. */
static unsigned fill_segment(struct world *w)
{
    const struct gw_lf *l = (struct gw_lf *)w->log;
    uint64_t number = l->tail.number;
    unsigned n_filled = 0;

    while (l->tail.number == number) {
        uint64_t at = l->tail.at;

        append(w, false);
        if (l->tail.number != number || written_to <= l->tail.at)
            continue;
        n_filled++;
        assert_true(at / PART != written_to / PART && written_to % PART == 0);
    }
    return n_filled;
}

/*
 * Scenario    commits of 1000 bytes to new segments of a log that keeps what was read; then to one that is used again;
 *             then some that are to be synced
 * Guarantees  in the new ones nothing is written behind the end; in the other one the first commit of each part has
 *             zeros up to the part's end; who waits for a sync waits for no zeros; all can be read
 */
static void a_page_that_was_forgotten_is_not_read(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_open(&w);
    assert_int_equal(fill_segment(&w), 0);
    assert_int_equal(fill_segment(&w), 0);
    assert_int_equal(gw_log_truncate(w.log, ((struct gw_lf *)w.log)->segs[1].first_seq), 0);
    assert_int_equal(((struct gw_lf *)w.log)->n_spare, 1);
    assert_int_equal(fill_segment(&w), 0);
    assert_in_range(fill_segment(&w), 200, 256);
    for (unsigned i = 0; i < 30; i++) {
        append(&w, true);
        assert_true(n_written < 1500);
    }
    assert_true(world_read(&w, 0).frames > 3 * SEGMENT / 1300);
    world_clear(&w);
}

static void passes(struct world *w, uint32_t consumer, uint64_t seq)
{
    struct gw_log_position p = {.consumer = consumer, .next_seq = seq};

    assert_int_equal(world_commit(w, (struct gw_log_commit){.positions = &p, .n_positions = 1}), 0);
    disk.now_ns += 200 * MS;
    (void)gw_log_work(w->log); /* synced */
    (void)gw_log_work(w->log);
}

/*
 * Scenario    three segments of a log that keeps them; two consumers pass its frames, one behind the other; the same
 *             where segments go when they are read
 * Guarantees  what both have passed is forgotten, but for less than a MiB, and nothing else; all of it can be read; a
 *             segment that will be used again stays in memory
 */
static void what_all_have_read_is_forgotten(void **state)
{
    enum { FRAMES = 110, BYTES = 100 << 10, MIB = 1 << 20 };
    uint32_t fast, slow;
    struct world w;

    (void)state;
    for (unsigned queue = 0; queue < 2; queue++) {
        begin(&w);
        w.conf.retention.until_settled = queue;
        world_open(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "fast", GW_LOG_FROM_FIRST, &fast), 0);
        assert_int_equal(gw_log_consumer_open(w.log, "slow", GW_LOG_FROM_FIRST, &slow), 0);
        for (unsigned i = 0; i < FRAMES; i++)
            assert_int_equal(world_append(&w, 1, BYTES, false), 0);
        assert_int_equal(world_stats(&w).segments, 3);
        passes(&w, fast, FRAMES);
        assert_int_equal(disk.n_forgotten, 0);
        passes(&w, slow, 20);
        if (queue) {
            assert_int_equal(disk.n_forgotten, 0);
        } else {
            assert_in_range(disk.n_forgotten, 20 * BYTES - MIB - MIB / 4, 20 * BYTES);
            passes(&w, slow, 60);
            assert_in_range(disk.n_forgotten, 60 * BYTES - MIB - MIB / 4, 61 * BYTES);
            passes(&w, slow, FRAMES);
            assert_in_range(disk.n_forgotten, FRAMES * BYTES - MIB - MIB / 4, FRAMES * (BYTES + 200));
        }
        assert_int_equal(world_read(&w, 0).frames, FRAMES);
        world_clear(&w);
    }
}

/*
 * Scenario    a segment of 4 MiB is read from its beginning; then what was added to it since
 * Guarantees  the disk is told once of every part that comes, up to the end, before it is read; not of the little at
 * the end
 */
static void the_disk_is_told_what_is_read_next(void **state)
{
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct world w;

    (void)state;
    begin(&w);
    world_open(&w);
    for (unsigned i = 0; i < 3000; i++)
        append(&w, false);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_in_range(disk.n_ahead, 2 << 20, ((struct gw_lf *)w.log)->tail.at);
    while (gw_log_next(r, &e) > 0)
        ;
    assert_in_range(disk.n_ahead, 2 << 20, ((struct gw_lf *)w.log)->tail.at);
    assert_int_equal(disk.ahead_to, ((struct gw_lf *)w.log)->tail.at);
    disk.n_ahead = 0;
    append(&w, false);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(disk.n_ahead, 0);
    gw_log_reader_free(r);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_that_was_forgotten_is_not_read),
        cmocka_unit_test(what_all_have_read_is_forgotten),
        cmocka_unit_test(the_disk_is_told_what_is_read_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
