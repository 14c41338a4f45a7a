/* SPDX-License-Identifier: Apache-2.0 */
/* The disk that forgets is what the log is judged by: it must forget as told, and nothing else. */
#include "tests/harness_simdisk.h"

#include <stdio.h>

#include "tests/harness.h"

static struct gw_simdisk disk, after, later;

static int open_disk(void **state)
{
    (void)state;
    gw_simdisk_init(&disk, 1);
    gw_simdisk_init(&after, 1);
    gw_simdisk_init(&later, 1);
    return 0;
}

static int clear_disk(void **state)
{
    (void)state;
    gw_simdisk_clear(&disk);
    gw_simdisk_clear(&after);
    gw_simdisk_clear(&later);
    return 0;
}

static struct gw_file *open_at(struct gw_simdisk *d, const char *path, int flags)
{
    struct gw_file *f;

    assert_int_equal(d->ops.file_open(&d->env, path, flags, 0600, &f), 0);
    return f;
}

static struct gw_file *make(const char *path)
{
    return open_at(&disk, path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE);
}

static ssize_t put(struct gw_file *f, const char *text, uint64_t off)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)text, 1}, {(void *)(uintptr_t)(text + 1), strlen(text) - 1}};

    return disk.ops.file_pwritev(f, iov, 2, off);
}

static bool is_text(struct gw_simdisk *d, const char *path, size_t off, const char *text)
{
    size_t n;
    const uint8_t *p = gw_simdisk_bytes(d, path, &n);

    return p && n >= off + strlen(text) && memcmp(p + off, text, strlen(text)) == 0;
}

static void lose_all(void)
{
    uint64_t seed = 1;

    gw_simdisk_power_cut(&after, &disk, &(struct gw_simdisk_crash){0}, &seed);
}

static void what_is_synced_stays(void **state)
{
    struct gw_file *f = make("a");

    (void)state;
    assert_int_equal(put(f, "stored", 0), 6);
    assert_int_equal(disk.ops.file_sync(f), 0);
    assert_int_equal(put(f, "cached", 600), 6);
    lose_all();
    assert_null(gw_simdisk_bytes(&after, "a", &(size_t){0})); /* its name was not synced */
    assert_int_equal(disk.ops.dir_sync(&disk.env, "."), 0);
    for (unsigned i = 0; i < 100; i++) {
        size_t n;
        uint64_t seed = i;

        gw_simdisk_power_cut(&after, &disk, &(struct gw_simdisk_crash){0}, &seed);
        assert_true(is_text(&after, "a", 0, "stored"));
        assert_false(is_text(&after, "a", 600, "cached"));
        assert_non_null(gw_simdisk_bytes(&after, "a", &n));
        assert_in_range(n, 6, 606);
    }
    gw_simdisk_kill(&after, &disk);
    assert_true(is_text(&after, "a", 600, "cached"));
    gw_simdisk_power_cut(&later, &after, &(struct gw_simdisk_crash){0}, &(uint64_t){1});
    assert_false(is_text(&later, "a", 600, "cached")); /* the cache outlives a process, not the power */
    assert_true(is_text(&disk, "a", 600, "cached"));
    disk.ops.file_close(f);
    assert_true(gw_simdisk_is_quiet(&disk));
}

/* Of two sectors and an older version of the first, every combination comes. */
static void what_is_not_synced_is_a_guess(void **state)
{
    struct gw_file *f = make("a");
    unsigned seen[4][2] = {{0}}, n_zero = 0, n_garbage = 0, n_torn = 0;
    char one[513], two[513];
    uint64_t seed = 7;

    (void)state;
    memset(one, '1', 512);
    memset(two, '2', 512);
    one[512] = two[512] = 0;
    (void)put(f, one, 0);
    (void)put(f, one, 512);
    assert_int_equal(disk.ops.file_sync(f), 0);
    assert_int_equal(disk.ops.dir_sync(&disk.env, "."), 0);
    (void)put(f, "between", 0);
    (void)put(f, two, 0);
    (void)put(f, two, 512);
    for (unsigned i = 0; i < 2000; i++) {
        struct gw_simdisk_crash how = {500, 0, 200, 100, 100, 100};
        const uint8_t *p;
        size_t n;

        gw_simdisk_power_cut(&after, &disk, &how, &seed);
        p = gw_simdisk_bytes(&after, "a", &n);
        assert_int_equal(n, 1024);
        n_zero += p[0] == 0;
        n_torn += p[512] == '2' && p[1023] == '1';
        n_garbage += p[512] != '1' && p[512] != '2' && p[512] != 0;
        seen[p[0] == '1' ? 0 : p[0] == '2' ? 1 : p[0] == 'b' ? 2 : 3][p[512] == '2']++;
    }
    for (unsigned i = 0; i < 8; i++)
        assert_true(seen[i / 2][i % 2] > 0);
    assert_true(n_zero > 50 && n_garbage > 50 && n_torn > 50);
    disk.ops.file_close(f);
}

static void names_follow_their_folder(void **state)
{
    struct gw_file *f;
    unsigned n_old = 0, n_new = 0, n_none = 0;

    (void)state;
    assert_int_equal(disk.ops.file_open(&disk.env, "q/a", GW_OPEN_CREATE | GW_OPEN_WRITE, 0600, &f), -ENOENT);
    assert_int_equal(disk.ops.dir_make(&disk.env, "q", 0700), 0);
    assert_int_equal(disk.ops.dir_make(&disk.env, "q", 0700), -EEXIST);
    disk.ops.file_close(make("q/a"));
    assert_int_equal(disk.ops.dir_sync(&disk.env, "q"), 0);
    lose_all();
    assert_null(gw_simdisk_bytes(&after, "q", &(size_t){0})); /* the folder itself was not synced into its own */
    assert_null(gw_simdisk_bytes(&after, "q/a", &(size_t){0}));
    assert_int_equal(disk.ops.dir_sync(&disk.env, "."), 0);
    assert_int_equal(disk.ops.file_rename(&disk.env, "q/a", "q/b"), 0);
    assert_null(gw_simdisk_bytes(&disk, "q/a", &(size_t){0}));
    assert_int_equal(disk.ops.file_remove(&disk.env, "q/b"), 0);
    assert_int_equal(disk.ops.file_remove(&disk.env, "q/b"), -ENOENT);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t seed = i;
        bool a, b;

        gw_simdisk_power_cut(&after, &disk, &(struct gw_simdisk_crash){.keep_permille = 500, .names_permille = 500},
                             &seed);
        a = gw_simdisk_bytes(&after, "q/a", &(size_t){0});
        b = gw_simdisk_bytes(&after, "q/b", &(size_t){0});
        assert_false(a && b);
        n_old += a;
        n_new += b;
        n_none += !a && !b;
    }
    assert_true(n_old && n_new && n_none);
}

static void a_rename_replaces_in_one_piece(void **state)
{
    struct gw_file *f = make("new");

    (void)state;
    gw_simdisk_put(&disk, "old", "old", 3);
    assert_int_equal(put(f, "new", 0), 3);
    assert_int_equal(disk.ops.file_sync(f), 0);
    disk.ops.file_close(f);
    assert_int_equal(disk.ops.file_rename(&disk.env, "new", "old"), 0);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t seed = i;

        gw_simdisk_power_cut(&after, &disk, &(struct gw_simdisk_crash){.keep_permille = 500, .names_permille = 500},
                             &seed);
        assert_true(is_text(&after, "old", 0, "old") || is_text(&after, "old", 0, "new"));
    }
    assert_int_equal(disk.ops.dir_sync(&disk.env, "."), 0);
    lose_all();
    assert_true(is_text(&after, "old", 0, "new"));
    assert_null(gw_simdisk_bytes(&after, "new", &(size_t){0}));
}

static void faults_by_plan(void **state)
{
    struct gw_file *f = make("a"), *g;
    uint64_t free_bytes, total;

    (void)state;
    disk.faults[GW_SIMDISK_WRITE] = (struct gw_simdisk_fault){-EIO, 2, 2};
    assert_int_equal(put(f, "1", 0), 1);
    assert_int_equal(put(f, "2", 1), -EIO);
    assert_int_equal(put(f, "3", 2), -EIO);
    assert_int_equal(put(f, "4", 3), 1);
    disk.room_bytes = 10;
    assert_int_equal(put(f, "0123456789", 4), 6); /* what there is room for */
    assert_int_equal(put(f, "x", 10), -ENOSPC);
    assert_int_equal(put(f, "yy", 8), 2); /* over what is there already */
    assert_int_equal(disk.ops.file_allocate(f, 0, 11), -ENOSPC);
    assert_int_equal(disk.ops.disk_space(&disk.env, ".", &free_bytes, &total), 0);
    assert_true(free_bytes == 0 && total == 10);
    disk.max_open = 1;
    assert_int_equal(disk.ops.file_open(&disk.env, "a", GW_OPEN_READ, 0, &g), -EMFILE);
    disk.max_open = 2;
    g = open_at(&disk, "a", GW_OPEN_READ);
    assert_int_equal(disk.ops.file_lock(f), 0);
    assert_int_equal(disk.ops.file_lock(g), -EWOULDBLOCK);
    disk.read_only = true;
    assert_int_equal(put(f, "z", 0), -EROFS);
    assert_int_equal(disk.ops.file_remove(&disk.env, "a"), -EROFS);
    disk.read_only = false;
    disk.ops.file_close(f);
    assert_int_equal(disk.ops.file_lock(g), 0);
    assert_int_equal(put(g, "z", 0), -EBADF); /* opened for reading */
    disk.ops.file_close(g);
    disk.short_permille = 1000;
    f = make("a");
    assert_in_range(put(f, "01234567", 0), 1, 7);
    disk.ops.file_close(f);
}

/* As Linux does it: what a failed sync did not write is clean, and the next sync leaves it alone. */
static void a_failed_sync_is_the_last_one(void **state)
{
    struct gw_file *f = make("a");
    unsigned n_lost = 0;
    char sector[513] = "";

    (void)state;
    assert_int_equal(disk.ops.dir_sync(&disk.env, "."), 0);
    memset(sector, 'x', 512);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(put(f, sector, (uint64_t)i * 512), 512);
    disk.faults[GW_SIMDISK_SYNC] = (struct gw_simdisk_fault){-EIO, 1, 1};
    assert_int_equal(disk.ops.file_sync(f), -EIO);
    assert_int_equal(disk.ops.file_sync(f), 0);
    gw_simdisk_power_cut(&after, &disk, &(struct gw_simdisk_crash){.keep_permille = 1000}, &(uint64_t){1});
    for (unsigned i = 0; i < 64; i++)
        n_lost += !is_text(&after, "a", (size_t)i * 512, "x");
    assert_in_range(n_lost, 10, 64);
    assert_true(is_text(&disk, "a", 63 * 512, "x"));
    disk.ops.file_close(f);
}

static void damage_of_what_is_stored(void **state)
{
    uint8_t bytes[4096];
    uint64_t seed = 3;

    (void)state;
    assert_false(gw_simdisk_damage(&disk, GW_SIMDISK_BIT, &seed));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(1 + i / 512);
    for (unsigned what = 0; what < GW_SIMDISK_N_DAMAGES; what++) {
        unsigned n_changed = 0, n_sectors = 0;
        size_t n;
        const uint8_t *p;

        gw_simdisk_put(&disk, "a", "", 0);
        gw_simdisk_put(&disk, "a", bytes, sizeof(bytes));
        while (!gw_simdisk_damage(&disk, (enum gw_simdisk_damage)what, &seed))
            ;
        p = gw_simdisk_bytes(&disk, "a", &n);
        assert_int_equal(n, sizeof(bytes));
        for (unsigned s = 0; s < 8; s++) {
            bool changed = false;

            for (unsigned i = s * 512; i < s * 512 + 512; i++) {
                n_changed += p[i] != bytes[i];
                changed |= p[i] != bytes[i];
            }
            n_sectors += changed;
        }
        assert_in_range(n_sectors, what == GW_SIMDISK_MISDIRECTED || what == GW_SIMDISK_STALE ? 0 : 1, 1);
        assert_true(what != GW_SIMDISK_BIT || n_changed == 1);
    }
}

static void count_call(void *arg, struct gw_simdisk *d, enum gw_simdisk_call call)
{
    (void)d;
    ((unsigned *)arg)[call]++;
}

static void calls_that_change_are_told_before(void **state)
{
    unsigned n[GW_SIMDISK_N_CALLS] = {0};
    struct gw_file *f;

    (void)state;
    disk.before = count_call;
    disk.arg = n;
    f = make("a");
    (void)put(f, "x", 0);
    (void)disk.ops.file_sync(f);
    (void)disk.ops.file_size(f);
    (void)disk.ops.file_pread(f, n + 1, 0, 0);
    disk.ops.file_close(f);
    disk.ops.file_close(open_at(&disk, "a", GW_OPEN_READ));
    assert_true(n[GW_SIMDISK_OPEN] == 1 && n[GW_SIMDISK_WRITE] == 1 && n[GW_SIMDISK_SYNC] == 1);
    assert_true(n[GW_SIMDISK_READ] == 0 && n[GW_SIMDISK_SIZE] == 0 && disk.n_changes == 3);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_disk, clear_disk)
    const struct CMUnitTest tests[] = {
        TEST(what_is_synced_stays),
        TEST(what_is_not_synced_is_a_guess),
        TEST(names_follow_their_folder),
        TEST(a_rename_replaces_in_one_piece),
        TEST(faults_by_plan),
        TEST(a_failed_sync_is_the_last_one),
        TEST(damage_of_what_is_stored),
        TEST(calls_that_change_are_told_before),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
