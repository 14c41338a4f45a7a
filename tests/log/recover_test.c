/* SPDX-License-Identifier: Apache-2.0 */
/* What a log finds when it starts: damage of every kind, holes, strangers. It starts, keeps the rest, and counts. */
#include "tests/log/helpers.h"

static struct gw_simdisk disk, next;

static const char *seg(unsigned n)
{
    static char path[4][64];
    static unsigned k;

    k = (k + 1) % 4;
    (void)snprintf(path[k], sizeof(path[k]), "q/%020u.log", n);
    return path[k];
}

static uint8_t *bytes(const char *path, size_t *n)
{
    uint8_t *p = gw_simdisk_bytes(&disk, path, n);

    assert_non_null(p);
    return p;
}

/* Reading finds what it finds; the writer writes it down. */
static struct world_read read_and_tell(struct world *w, uint32_t consumer)
{
    struct world_read got = world_read(w, consumer);

    (void)gw_log_work(w->log);
    return got;
}

/*
 * Scenario    each bit of a closed log flips
 * Guarantees  it starts; at most one frame is missing; what is missing is counted, for the log and for its consumer;
 *             the next start finds the same
 */
static void any_bit_may_flip(void **state)
{
    struct world w;
    uint32_t id;
    size_t n;
    uint8_t *copy, *p;
    uint64_t flips = 0, lost = 0;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(world_append(&w, 3, 40, i % 3 == 0), 0);
    assert_int_equal(world_settle(&w, id, 2, 3), 0);
    world_close(&w);
    p = bytes(seg(1), &n);
    copy = malloc(n);
    memcpy(copy, p, n);
    for (size_t bit = 0; bit < n * 8; bit += 1 + bit % 3, flips++) {
        struct world_read got;
        struct gw_log_stats st;

        while (true) { /* as it was */
            const char *all[GW_SIMDISK_FILES];
            unsigned n_all = gw_simdisk_list(&disk, "q", all, GW_SIMDISK_FILES);

            if (n_all == 0)
                break;
            (void)disk.ops.file_remove(&disk.env, all[0]);
        }
        (void)disk.ops.dir_sync(&disk.env, "q");
        gw_simdisk_put(&disk, seg(1), copy, n);
        p = bytes(seg(1), &(size_t){0});
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        world_open(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
        got = read_and_tell(&w, 0);
        st = world_stats(&w);
        assert_true(got.frames >= 11);
        assert_int_equal(st.lost_frames, 12 - got.frames);
        assert_int_equal(st.lost_rows, 36 - got.rows);
        assert_int_equal(st.end_row, 36);
        assert_true(world_consumer(&w, id).lost_rows <= 3);
        got = world_read(&w, id);
        assert_in_range(got.frames, 9, 12);
        lost += st.lost_frames;
        world_close(&w);
        if (bit % 64 == 0) {
            world_open(&w);
            assert_int_equal(world_stats(&w).lost_rows, st.lost_rows);
            assert_int_equal(world_stats(&w).end_row, 36);
            world_close(&w);
        }
        gw_buf_reset(&w.lines);
    }
    printf("%llu flips, %llu frames lost\n", (unsigned long long)flips, (unsigned long long)lost);
    assert_true(lost > 100);
    free(copy);
    world_clear(&w);
}

static void fill(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(world_append(w, 2, 5000, false), 0);
}

/*
 * Scenario    damage in an older segment, which starting does not look at; a reader finds it, then another one
 * Guarantees  only the frame that was hit is lost, counted once for the log and for the consumer, also after a restart
 */
static void damage_is_found_by_reading_and_counted_once(void **state)
{
    struct world w;
    uint32_t id, late;
    size_t n;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    fill(&w, 30);
    assert_true(world_stats(&w).segments >= 3);
    world_close(&w);
    memset(bytes(seg(1), &n) + 20000, 0, 100);
    world_open(&w);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct world_read got = read_and_tell(&w, i == 1 ? id : 0);

        assert_int_equal(got.frames, 29);
        assert_int_equal(got.lost_rows, i == 1 ? 0 : 2);
        assert_int_equal(world_stats(&w).lost_rows, 2);
        assert_int_equal(world_stats(&w).lost_frames, 1);
        assert_int_equal(world_consumer(&w, id).lost_rows, 2);
        if (i == 1) {
            world_close(&w);
            world_open(&w);
        }
    }
    assert_int_equal(gw_log_consumer_open(w.log, "late", GW_LOG_FROM_FIRST, &late), 0);
    assert_int_equal(world_consumer(&w, late).lost_rows, 2);
    world_close(&w);
    world_open(&w);
    assert_int_equal(world_consumer(&w, late).lost_rows, 2);
    assert_int_equal(world_settle(&w, id, 0, 29), 0);
    assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DELIVERED], 58);
    assert_int_equal(world_consumer(&w, id).low, 30);
    world_clear(&w);
}

/*
 * Scenario    a header's length is damaged in the middle of the last segment, with good frames behind it
 * Guarantees  they are found again; the damaged bytes are kept aside; one sentence says so; the next start is clean
 */
static void damage_in_the_last_segment_is_kept_aside(void **state)
{
    struct world w;
    uint32_t id;
    size_t n;
    uint8_t *p;

    (void)state;
    world_init_on(&w, &disk);
    disk.now_ns += 100 * S; /* lines of one kind are limited, also over the other tests */
    world_open(&w);
    assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
    fill(&w, 8);
    world_close(&w);
    p = bytes(seg(1), &n);
    for (size_t i = 10000; i < n; i += 8)
        if (memcmp(p + i, "STRF", 4) == 0 && p[i + 4] == GW_LF_FRAME) {
            p[i + 22] ^= 0x40;
            break;
        }
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, 7);
    assert_int_equal(world_stats(&w).lost_rows, 2);
    assert_int_equal(world_stats(&w).segments, 2);
    assert_int_equal(world_consumer(&w, id).lost_rows, 2);
    assert_true(world_said(&w, "are damaged and lost"));
    assert_in_range((bytes("q/00000000000000000001.log.bad", &n), n), 5000, 5200);
    world_close(&w);
    gw_buf_reset(&w.lines);
    world_open(&w);
    assert_int_equal(world_stats(&w).segments, 2);
    assert_int_equal(world_stats(&w).lost_rows, 2);
    world_clear(&w);
}

/*
 * Scenario    a segment is missing in the middle, at the front, at the end
 * Guarantees  the rest is read; what is missing is counted, once
 */
static void segments_may_be_missing(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 3; which++) {
        struct world w;
        struct world_read got;
        struct gw_log_stats before, st;
        uint32_t id;

        world_init_on(&w, &disk);
        world_open(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
        fill(&w, 40);
        before = world_stats(&w);
        assert_int_equal(before.segments, 4);
        world_close(&w);
        (void)disk.ops.file_remove(&disk.env, seg(which == 0 ? 2 : which == 1 ? 1 : 4));
        for (unsigned i = 0; i < 2; i++) {
            world_open(&w);
            got = read_and_tell(&w, 0);
            st = world_stats(&w);
            assert_in_range(got.frames, 26, 39);
            if (which < 2) {
                assert_int_equal(st.end_row, 80);
                assert_int_equal(got.rows + st.lost_rows, 80);
                assert_int_equal(got.frames + st.lost_frames, 40);
                assert_int_equal(world_consumer(&w, id).lost_rows, st.lost_rows);
            }
            world_close(&w);
        }
        world_open(&w);
        assert_int_equal(world_append(&w, 2, 5000, true), 0);
        world_clear(&w);
    }
}

/*
 * Scenario    both copies of a segment's header are gone; then the whole snapshot as well; of the last, of the first
 * one Guarantees  frames are kept: the segment is what its records say
 */
static void heads_may_be_damaged(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 4; which++) {
        struct world w;
        uint32_t id;
        size_t n;
        struct gw_lf *l;
        uint64_t data;

        world_init_on(&w, &disk);
        world_open(&w);
        assert_int_equal(gw_log_consumer_open(w.log, "c", GW_LOG_FROM_FIRST, &id), 0);
        fill(&w, 40);
        assert_int_equal(world_settle(&w, id, 0, 4), 0);
        l = (struct gw_lf *)w.log;
        data = l->segs[which % 2 ? 3 : 0].data;
        world_close(&w);
        memset(bytes(seg(which % 2 ? 4 : 1), &n), 0xff, which / 2 ? data : GW_LF_RECORDS);
        world_open(&w);
        assert_int_equal(read_and_tell(&w, 0).frames, 40);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        assert_int_equal(world_consumer(&w, id).settled[GW_LOG_DELIVERED], 10);
        world_close(&w);
        world_open(&w);
        assert_int_equal(world_read(&w, id).frames, 35);
        world_clear(&w);
    }
}

/*
 * Scenario    empty files, files of zeros, a segment of another log, a copy of one under another number, temporary
 *             files; a tail of zeros, of garbage, and of an old group
 * Guarantees  the log is as it was
 */
static void strange_files_do_no_harm(void **state)
{
    struct world w;
    size_t n, n_other;
    uint8_t *p, *other;
    char big[8192];

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    fill(&w, 3);
    world_close(&w);
    p = bytes(seg(1), &n_other);
    other = malloc(n_other);
    memcpy(other, p, n_other);
    world_clear(&w);

    world_init_on(&w, &disk);
    disk.seed = 99;
    world_open(&w);
    fill(&w, 20);
    world_close(&w);
    gw_simdisk_put(&disk, seg(7), other, n_other);
    gw_simdisk_put(&disk, seg(8), "", 0);
    memset(big, 0, sizeof(big));
    gw_simdisk_put(&disk, seg(9), big, sizeof(big));
    p = bytes(seg(1), &n);
    gw_simdisk_put(&disk, seg(5), p, n);
    memset(big, 'x', sizeof(big));
    gw_simdisk_put(&disk, seg(3), big, sizeof(big));
    for (unsigned i = 0; i < 3; i++) {
        world_open(&w);
        assert_int_equal(world_read(&w, 0).frames, 20);
        assert_int_equal(world_stats(&w).lost_rows, 0);
        assert_int_equal(world_stats(&w).end_seq, 20);
        world_close(&w);
        p = bytes(seg(2), &n);
        assert_true(n < 65000);
        memset(big, i ? 0x5a : 0, sizeof(big));
        {
            uint8_t *all = malloc(n + 512);

            memcpy(all, p, n);
            memcpy(all + n, i == 2 ? (const void *)(other + n_other - 512) : big, 512);
            (void)disk.ops.file_remove(&disk.env, seg(2));
            gw_simdisk_put(&disk, seg(2), all, n + 512);
            free(all);
        }
    }
    free(other);
    world_clear(&w);
}

/*
 * Scenario    kill at any point of a log with commits that were not synced; the last group is torn
 * Guarantees  all that were done are there; the torn one is cut
 */
static void a_killed_process_loses_nothing(void **state)
{
    struct world w;
    size_t n;
    struct gw_log_stats st;

    (void)state;
    world_init_on(&w, &disk);
    world_open(&w);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(world_append(&w, 2, 300, false), 0);
    st = world_stats(&w);
    memset(&next, 0, sizeof(next));
    gw_simdisk_init(&next, 1);
    world_kill(&w, &next);
    memset(gw_simdisk_bytes(&next, seg(1), &n) + st.bytes - 20, 7, 4);
    world_open(&w);
    assert_int_equal(world_read(&w, 0).frames, 6);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    assert_int_equal(world_append(&w, 2, 100, true), 0);
    assert_int_equal(world_read(&w, 0).frames, 7);
    world_clear(&w);
}

static void append_two(struct world *w, const char *first, const char *second)
{
    struct gw_log_frame f[2] = {{.rows = 1, .body = gw_slice_cstr(first)}, {.rows = 1, .body = gw_slice_cstr(second)}};

    assert_int_equal(world_commit(w, (struct gw_log_commit){.frames = f, .n_frames = 2}), 0);
}

/* The file of a log that was killed after one group, and then after others; its bytes behind its end are zeros. */
static uint8_t *life(const char *const *bodies, unsigned n, size_t *ret_n, uint64_t *ret_end)
{
    struct world w;
    uint8_t *copy, *p;

    world_init_on(&w, &disk);
    world_open(&w);
    append_two(&w, "same", "same");
    for (unsigned i = 0; i < n; i++)
        append_two(&w, bodies[2 * i], bodies[2 * i + 1]);
    *ret_end = world_stats(&w).bytes;
    gw_simdisk_init(&next, 1);
    gw_simdisk_kill(&next, &disk);
    p = gw_simdisk_bytes(&next, seg(1), ret_n);
    copy = malloc(*ret_n);
    memcpy(copy, p, *ret_n);
    gw_simdisk_clear(&next);
    world_clear(&w);
    return copy;
}

static uint64_t frames_of(const uint8_t *p, size_t n, const char *forbidden)
{
    struct world w;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t frames = 0;

    world_init_on(&w, &disk);
    gw_simdisk_put(&disk, seg(1), p, n);
    world_open(&w);
    assert_int_equal(gw_log_reader_new(w.log, &(struct gw_log_reader_conf){0}, &r), 0);
    for (; gw_log_next(r, &e) > 0; frames++)
        assert_false(gw_slice_is(e.frame.body, forbidden));
    gw_log_reader_free(r);
    assert_int_equal(world_stats(&w).lost_rows, 0);
    world_clear(&w);
    return frames;
}

/*
 * Scenario    behind a group lies a whole one of another life of the same file; then one of whose records some are of
 *             that life: what sectors that come back from the past look like
 * Guarantees  neither is taken for part of the log
 */
static void groups_of_another_life_are_not_taken(void **state)
{
    const char *const old[] = {"old A", "old B", "old C", "old D"}, *const new[] = {"new A", "new B"};
    size_t n_old, n_new;
    uint64_t end_old, end_new, end_same;
    uint8_t *before, *after, *same;

    (void)state;
    same = life(NULL, 0, &n_new, &end_same);
    free(same);
    before = life(old, 2, &n_old, &end_old);
    after = life(new, 1, &n_new, &end_new);
    assert_memory_equal(before, after, end_same);
    memcpy(after + end_new, before + end_new, end_old - end_new);
    assert_int_equal(frames_of(after, n_new, "old C"), 4);
    memcpy(after + end_same, before + end_same, GW_LF_HEAD + 8);
    assert_int_equal(frames_of(after, n_new, "old A"), 2);
    free(before);
    free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bit_may_flip),
        cmocka_unit_test(damage_is_found_by_reading_and_counted_once),
        cmocka_unit_test(damage_in_the_last_segment_is_kept_aside),
        cmocka_unit_test(segments_may_be_missing),
        cmocka_unit_test(heads_may_be_damaged),
        cmocka_unit_test(strange_files_do_no_harm),
        cmocka_unit_test(a_killed_process_loses_nothing),
        cmocka_unit_test(groups_of_another_life_are_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
