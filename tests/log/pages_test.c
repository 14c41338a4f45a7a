/* SPDX-License-Identifier: Apache-2.0 */
/* What the log asks of the kernel's memory for its files: pages that are made many at a time. */
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

static uint64_t tail_at(const struct world *w)
{
    return ((struct gw_lf *)w->log)->tail.at;
}

/*
 * Scenario    commits of 1000 bytes to a new log, which are not to be synced; then one that is
 * Guarantees  the first in each part of the segment is written with zeros up to the part's end, the others without; who
 *             waits for a sync waits for no zeros
 */
static void a_part_of_a_segment_is_made_at_once(void **state)
{
    struct world w;
    uint64_t before, n_filled = 0;

    (void)state;
    begin(&w);
    world_open(&w);
    before = tail_at(&w);
    for (unsigned i = 0; i < 100; i++) {
        append(&w, false);
        n_filled += n_written > 1500;
        assert_true(n_written < 1500 || written_to % PART == 0);
    }
    assert_int_equal(n_filled, tail_at(&w) / PART - before / PART);
    assert_true(n_filled > 5);
    for (unsigned i = 0; i < 30; i++) {
        append(&w, true);
        assert_true(n_written < 1500);
    }
    assert_int_equal(world_read(&w, 0).frames, 130);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_of_a_segment_is_made_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
