/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sim.h"

#include <stdio.h>

#include "tests/harness.h"
#include "tests/harness_env.h"
#include "tests/harness_log.h"

struct bed {
    struct gw_test_env te;
    struct gw_log_sim_conf conf;
    struct gw_log *l;
    unsigned n_woken;
    char read[2048];
};

static struct bed bed;

static void wake(void *arg)
{
    ((struct bed *)arg)->n_woken++;
}

static int open_bed(void **state)
{
    struct bed *b = &bed;

    memset(b, 0, sizeof(*b));
    gw_test_env_init(&b->te, 7);
    b->conf = (struct gw_log_sim_conf){.env = &b->te.env, .wake = wake, .arg = b};
    assert_int_equal(gw_log_sim_open(&b->conf, &b->l), 0);
    *state = b;
    return 0;
}

static int close_bed(void **state)
{
    struct bed *b = *state;

    gw_log_close(b->l);
    gw_test_env_clear(&b->te);
    return 0;
}

static void reopen(struct bed *b)
{
    gw_log_close(b->l);
    assert_int_equal(gw_log_sim_open(&b->conf, &b->l), 0);
}

static const char *read_as(struct bed *b, struct gw_log_reader_conf conf)
{
    struct gw_log_reader *r;

    assert_int_equal(gw_log_reader_new(b->l, &conf, &r), 0);
    (void)gw_test_log_read(r, b->read, sizeof(b->read));
    gw_log_reader_free(r);
    return b->read;
}

static const char *read_all(struct bed *b)
{
    return read_as(b, (struct gw_log_reader_conf){0});
}

static uint32_t consumer(struct bed *b, const char *name, enum gw_log_start start)
{
    uint32_t id;

    assert_int_equal(gw_log_consumer_open(b->l, name, start, &id), 0);
    return id;
}

static void numbers_and_bytes(void **state)
{
    struct bed *b = *state;
    struct gw_test_commit t;
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct gw_log_stats st;

    gw_test_commit_init(&t);
    gw_test_commit_append(&t, "one", 3)->meta = GW_SLICE("about one");
    *gw_test_commit_append(&t, "two", 5) = (struct gw_log_frame){
        .rows = 5, .body = GW_SLICE("two"), .topic = 9, .partition = 63, .signal = 2, .time_ns = 77};
    assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    assert_int_equal(t.frames[1].seq, 1);
    assert_int_equal(t.frames[1].row, 3);
    assert_int_equal(gw_test_log_put(b->l, "three", 1), 2);

    assert_int_equal(gw_log_reader_new(b->l, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_true(gw_slice_is(e.frame.meta, "about one"));
    assert_null(e.open);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_true(gw_slice_is(e.frame.body, "two") && e.frame.topic == 9 && e.frame.partition == 63);
    assert_true(e.frame.signal == 2 && e.frame.time_ns == 77 && e.frame.rows == 5 && e.frame.row == 3);
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_int_equal(gw_log_next(r, &e), 0);
    (void)gw_test_log_put(b->l, "four", 1); /* a reader at the end sees what comes */
    assert_int_equal(gw_log_next(r, &e), 1);
    assert_true(gw_slice_is(e.frame.body, "four"));
    gw_log_reader_free(r);
    gw_log_stats(b->l, &st);
    assert_true(st.first_seq == 0 && st.end_seq == 4 && st.first_row == 0 && st.end_row == 10 && st.commits == 3);
}

static void rows_settled_in_any_order(void **state)
{
    struct bed *b = *state;
    uint32_t id = consumer(b, "es", GW_LOG_FROM_FIRST);
    struct gw_log_reader_conf conf = {.consumer = id};
    struct gw_test_commit t;
    struct gw_log_consumer c;

    for (unsigned i = 0; i < 4; i++)
        (void)gw_test_log_put(b->l, (const char *[]){"a", "b", "c", "d"}[i], 10);
    gw_test_commit_init(&t);
    gw_test_commit_settle(&t, id, 1, 2, 3, 10);
    gw_test_commit_settle(&t, id, 1, 4, 4, 10); /* one row twice: counted once */
    t.settles[1].outcome = GW_LOG_REJECTED;
    gw_test_commit_settle(&t, id, 2, 0, 0, 0);
    assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    assert_string_equal(read_as(b, conf), "a:10[0+10] b:10[0+2,8+2] d:10[0+10]");
    c = gw_test_log_consumer(b->l, "es");
    assert_true(c.low == 0 && c.low_row == 0 && c.ahead_rows == 16);
    assert_true(c.settled[GW_LOG_DELIVERED] == 13 && c.settled[GW_LOG_REJECTED] == 3);

    gw_test_commit_init(&t);
    gw_test_commit_settle(&t, id, 0, 0, 0, 0);
    t.settles[0].last_seq = 1;
    assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    c = gw_test_log_consumer(b->l, "es");
    assert_true(c.low == 3 && c.low_row == 30 && c.ahead_rows == 0);
    assert_string_equal(read_as(b, conf), "d:10[0+10]");
}

static void consumers_by_name(void **state)
{
    struct bed *b = *state;
    uint32_t one = consumer(b, "one", GW_LOG_FROM_FIRST), again, id = 0;
    char long_name[GW_LOG_MAX_NAME_BYTES + 2];

    (void)gw_test_log_put(b->l, "a", 4);
    again = consumer(b, "one", GW_LOG_FROM_END);
    assert_int_equal(again, one); /* known: it stays where it is */
    assert_int_equal(gw_test_log_consumer(b->l, "one").low, 0);
    assert_int_equal(consumer(b, "two", GW_LOG_FROM_END), 2);
    assert_int_equal(gw_test_log_consumer(b->l, "two").low, 1);
    assert_int_equal(gw_test_log_consumer(b->l, "two").first_row, 4);
    assert_int_equal(gw_log_consumer_release(b->l, "one"), 0);
    assert_int_equal(gw_log_consumer_release(b->l, "one"), -ENOENT);
    assert_int_equal(consumer(b, "one", GW_LOG_FROM_FIRST), 3); /* an id is not given twice */
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    assert_int_equal(gw_log_consumer_open(b->l, long_name, GW_LOG_FROM_FIRST, &id), -EINVAL);
    assert_int_equal(gw_log_consumer_open(b->l, "", GW_LOG_FROM_FIRST, &id), -EINVAL);
    gw_log_sim_crash(b->l, true);
    assert_false(gw_test_log_consumer(b->l, "two").is_open); /* an orphan until it is opened again */
    assert_int_equal(consumer(b, "two", GW_LOG_FROM_FIRST), 2);
    assert_true(gw_test_log_consumer(b->l, "two").is_open);
}

static void positions_with_notes(void **state)
{
    struct bed *b = *state;
    uint32_t id = consumer(b, "rollup", GW_LOG_FROM_FIRST);
    struct gw_test_commit t;
    uint64_t seq = 99;
    char note[8];
    size_t n = sizeof(note);

    for (unsigned i = 0; i < 6; i++) {
        gw_test_commit_init(&t);
        gw_test_commit_append(&t, (const char *[]){"a", "b", "c", "d", "e", "f"}[i], 1)->partition = (uint16_t)(i % 2);
        assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    }
    assert_int_equal(gw_log_position(b->l, id, 1, &seq, note, &n), 0);
    assert_true(seq == 0 && n == 0);
    gw_test_commit_init(&t);
    gw_test_commit_position(&t, id, 1, 4, "wm=5");
    assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    n = sizeof(note);
    assert_int_equal(gw_log_position(b->l, id, 1, &seq, note, &n), 0);
    assert_true(seq == 4 && n == 4 && memcmp(note, "wm=5", 4) == 0);
    n = 3;
    assert_int_equal(gw_log_position(b->l, id, 1, &seq, note, &n), -ENOBUFS);
    assert_string_equal(read_as(b, (struct gw_log_reader_conf){.consumer = id}), "a:1[0+1] c:1[0+1] e:1[0+1] f:1[0+1]");
    assert_string_equal(read_as(b, (struct gw_log_reader_conf){.consumer = id, .partitions = 2}), "f:1[0+1]");
    assert_int_equal(gw_log_position(b->l, 7, 1, &seq, NULL, NULL), -ENOENT);
    assert_int_equal(gw_log_position(b->l, id, 64, &seq, NULL, NULL), -EINVAL);
}

static void topics_seeks_and_times(void **state)
{
    struct bed *b = *state;
    struct gw_log_reader *r;
    struct gw_test_commit t;

    for (unsigned i = 0; i < 6; i++) {
        struct gw_log_frame *f;

        gw_test_commit_init(&t);
        f = gw_test_commit_append(&t, (const char *[]){"a", "b", "c", "d", "e", "f"}[i], 1);
        f->topic = (uint16_t)(i / 2);
        f->partition = (uint16_t)(i % 3);
        f->time_ns = (uint64_t[]){10, 30, 20, 40, 50, 60}[i];
        assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    }
    assert_string_equal(read_as(b, (struct gw_log_reader_conf){.topics = 1 | 4}), "a:1 b:1 e:1 f:1");
    assert_int_equal(gw_log_reader_new(b->l, &(struct gw_log_reader_conf){0}, &r), 0);
    assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS, 4), 0);
    assert_int_equal(gw_test_log_read(r, b->read, sizeof(b->read)), 2);
    assert_int_equal(gw_log_seek(r, 0, 0), 0); /* the others go on from where they were */
    (void)gw_test_log_read(r, b->read, sizeof(b->read));
    assert_string_equal(b->read, "a:1 d:1");
    assert_int_equal(gw_log_seek_time(r, 25), 0); /* clocks went back: the first frame counts */
    (void)gw_test_log_read(r, b->read, sizeof(b->read));
    assert_string_equal(b->read, "b:1 c:1 d:1 e:1 f:1");
    assert_int_equal(gw_log_seek_time(r, 61), 0);
    assert_int_equal(gw_test_log_read(r, b->read, sizeof(b->read)), 0);
    assert_int_equal(gw_log_seek(r, GW_LOG_PARTITIONS + 1, 0), -EINVAL);
    gw_log_reader_free(r);
}

static void bad_commits_change_nothing(void **state)
{
    struct bed *b = *state;
    uint32_t id = consumer(b, "es", GW_LOG_FROM_FIRST);
    struct gw_test_commit t;
    struct gw_log_stats st;

    (void)gw_test_log_put(b->l, "a", 4);
    for (unsigned i = 0; i < 6; i++) {
        int wanted = i == 5 ? -E2BIG : -EINVAL;

        gw_test_commit_init(&t);
        (void)gw_test_commit_append(&t, "never", 1);
        gw_test_commit_settle(&t, id, 0, 1, 2, 4);
        if (i == 0)
            t.settles[0].last_seq = t.settles[0].seq = 1; /* not there yet */
        if (i == 1)
            t.settles[0].first_row = 3; /* over the end */
        if (i == 2)
            t.settles[0].frame_rows = 5;
        if (i == 3)
            t.settles[0].outcome = GW_LOG_N_OUTCOMES;
        if (i == 4)
            t.frames[0].partition = GW_LOG_PARTITIONS;
        if (i == 5)
            t.frames[0].meta = gw_slice_of("", GW_LOG_MAX_META_BYTES + 1);
        assert_int_equal(gw_test_commit_go(&t, b->l), wanted);
    }
    gw_log_stats(b->l, &st);
    assert_int_equal(st.end_seq, 1);
    assert_int_equal(gw_test_log_consumer(b->l, "es").ahead_rows, 0);
    gw_test_commit_init(&t);
    gw_test_commit_settle(&t, 99, 0, 0, 0, 0); /* nobody */
    assert_int_equal(gw_test_commit_go(&t, b->l), -EINVAL);
    gw_test_commit_init(&t);
    gw_test_commit_position(&t, 99, 0, 0, "");
    assert_int_equal(gw_test_commit_go(&t, b->l), -EINVAL);
}

static void an_old_producer_is_fenced(void **state)
{
    struct bed *b = *state;
    struct gw_log_producer old, new, other;
    struct gw_test_commit t;

    assert_int_equal(gw_log_producer(b->l, "graph", &old), 0);
    assert_int_equal(gw_log_producer(b->l, "another", &other), 0);
    assert_int_equal(gw_log_producer(b->l, "graph", &new), 0);
    assert_true(new.id == old.id &&new.epoch == old.epoch + 1 && other.id != old.id);
    gw_log_sim_crash(b->l, true);
    for (unsigned i = 0; i < 4; i++) {
        gw_test_commit_init(&t);
        (void)gw_test_commit_append(&t, "x", 1);
        t.c.producer = (struct gw_log_producer[]){old, new, other, {0, 0}}[i];
        assert_int_equal(gw_test_commit_go(&t, b->l), i == 0 ? -ESTALE : 0);
    }
}

static void what_goes_and_who_is_told(void **state)
{
    struct bed *b = *state;
    uint32_t slow, fast;
    struct gw_log_stats st;

    b->conf.retention.until_settled = true;
    reopen(b);
    slow = consumer(b, "slow", GW_LOG_FROM_FIRST);
    fast = consumer(b, "fast", GW_LOG_FROM_FIRST);
    for (unsigned i = 0; i < 4; i++)
        (void)gw_test_log_put(b->l, "x", 10);
    for (uint64_t seq = 0; seq < 4; seq++)
        gw_test_log_settle(b->l, fast, seq);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 0); /* slow holds it all */
    gw_test_log_settle(b->l, slow, 0);
    gw_log_stats(b->l, &st);
    assert_true(st.first_seq == 1 && st.first_row == 10 && st.end_seq == 4);
    assert_int_equal(gw_log_truncate(b->l, 3), 0);
    assert_int_equal(gw_test_log_consumer(b->l, "slow").settled[GW_LOG_DROPPED], 20);
    assert_int_equal(gw_test_log_consumer(b->l, "slow").low, 3);
    assert_int_equal(gw_test_log_consumer(b->l, "fast").settled[GW_LOG_DROPPED], 0);
    assert_int_equal(gw_log_consumer_release(b->l, "slow"), 0);
    (void)gw_log_work(b->l);
    gw_log_stats(b->l, &st);
    assert_true(st.first_seq == 4 && st.first_row == 40 && st.bytes == 0);
}

static void limits_of_bytes_and_age(void **state)
{
    struct bed *b = *state;
    struct gw_test_commit t;
    struct gw_log_stats st;

    b->conf.max_bytes = 200;
    reopen(b);
    (void)gw_test_log_put(b->l, "a", 1);
    (void)gw_test_log_put(b->l, "b", 1);
    (void)gw_test_log_put(b->l, "c", 1);
    gw_test_commit_init(&t);
    (void)gw_test_commit_append(&t, "d", 1);
    assert_int_equal(gw_test_commit_go(&t, b->l), -EDQUOT);
    b->conf.retention.max_bytes = 130;
    reopen(b);
    for (unsigned i = 0; i < 5; i++)
        (void)gw_test_log_put(b->l, (const char *[]){"a", "b", "c", "d", "e"}[i], 1);
    assert_string_equal(read_all(b), "d:1 e:1");
    b->conf.retention = (struct gw_log_retention){.max_age_ns = 1000};
    reopen(b);
    gw_test_commit_init(&t);
    gw_test_commit_append(&t, "f", 1)->time_ns = gw_wall_ns(&b->te.env);
    assert_int_equal(gw_test_commit_go(&t, b->l), 0);
    gw_test_env_advance(&b->te, 1000);
    (void)gw_log_work(b->l);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 0);
    gw_test_env_advance(&b->te, 1);
    (void)gw_log_work(b->l);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 1);
}

/* With limits that keep what is unread: what all have read goes down to three quarters; notes, and who is closed, do
 * not count. */
static void limits_wait_for_readers(void **state)
{
    enum { FRAME = 65 };
    struct gw_log_retention r = {.max_bytes = 10 * FRAME, .keep = GW_LOG_KEEP_ALL};
    struct bed *b = *state;
    struct gw_log_stats st;
    uint32_t a, other;
    unsigned n_woken;

    b->conf.retention = r;
    reopen(b);
    (void)consumer(b, "#note", GW_LOG_FROM_FIRST);
    a = consumer(b, "a", GW_LOG_FROM_FIRST);
    other = consumer(b, "b", GW_LOG_FROM_FIRST);
    for (unsigned i = 0; i < 10; i++)
        (void)gw_test_log_put(b->l, "x", 1);
    for (uint64_t seq = 0; seq < 10; seq++)
        gw_test_log_settle(b->l, other, seq);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 0);
    for (uint64_t seq = 0; seq < 6; seq++)
        gw_test_log_settle(b->l, a, seq);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 3);

    n_woken = b->n_woken;
    r = (struct gw_log_retention){.max_bytes = 2 * FRAME, .keep = GW_LOG_KEEP_OPEN};
    gw_log_retain(b->l, &r);
    assert_int_equal(b->n_woken, n_woken + 1);
    (void)gw_log_work(b->l);
    gw_log_consumer_close(b->l, a + 100); /* nobody */
    (void)gw_log_work(b->l);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 6);
    gw_log_consumer_close(b->l, a);
    (void)gw_log_work(b->l);
    gw_log_stats(b->l, &st);
    assert_int_equal(st.first_seq, 9);
    assert_int_equal(gw_test_log_consumer(b->l, "a").settled[GW_LOG_DROPPED], 3);
}

static void a_damaged_frame_is_told(void **state)
{
    struct bed *b = *state;
    uint32_t id = consumer(b, "es", GW_LOG_FROM_FIRST);
    struct gw_log_consumer c;
    struct gw_log_reader *r;
    struct gw_log_stats st;

    (void)gw_test_log_put(b->l, "a", 2);
    assert_int_equal(gw_log_reader_new(b->l, &(struct gw_log_reader_conf){0}, &r), 0);
    gw_log_sim_faults(b->l)->damage_permille = 1000;
    (void)gw_test_log_put(b->l, "b", 5);
    gw_log_sim_faults(b->l)->damage_permille = 0;
    assert_string_equal(read_all(b), "a:2");
    assert_int_equal(gw_test_log_read(r, b->read, sizeof(b->read)), 1);
    (void)gw_test_log_put(b->l, "c", 3);
    assert_string_equal(read_all(b), "a:2 c:3(lost 1/5)");
    (void)gw_test_log_read(r, b->read, sizeof(b->read)); /* told with what follows, though it was passed before */
    assert_string_equal(b->read, "c:3(lost 1/5)");
    gw_log_reader_free(r);
    gw_test_log_settle(b->l, id, 1); /* nobody can have delivered it */
    c = gw_test_log_consumer(b->l, "es");
    assert_true(c.lost_rows == 5 && c.ahead_rows == 5 && c.settled[GW_LOG_DELIVERED] == 0);
    gw_log_stats(b->l, &st);
    assert_true(st.lost_frames == 1 && st.lost_rows == 5 && st.end_row == 10);
    (void)consumer(b, "late", GW_LOG_FROM_FIRST);
    assert_int_equal(gw_test_log_consumer(b->l, "late").lost_rows, 5);
}

static void faults_by_chance(void **state)
{
    struct bed *b = *state;
    unsigned n_failed = 0, n_full = 0, n_good = 0;
    struct gw_test_commit t;
    struct gw_log_stats st;

    *gw_log_sim_faults(b->l) = (struct gw_log_sim_faults){.fail_permille = 300, .full_permille = 300};
    for (unsigned i = 0; i < 300; i++) {
        int rc;

        gw_test_commit_init(&t);
        (void)gw_test_commit_append(&t, "x", 1);
        rc = gw_test_commit_go(&t, b->l);
        n_failed += rc == -EIO;
        n_full += rc == -ENOSPC;
        n_good += rc == 0;
    }
    assert_true(n_failed > 30 && n_full > 40 && n_good > 80 && n_failed + n_full + n_good == 300);
    gw_log_stats(b->l, &st);
    assert_true(st.end_seq == n_good && st.failed_writes == n_failed + n_full);
    *gw_log_sim_faults(b->l) = (struct gw_log_sim_faults){.no_room = true};
    gw_test_commit_init(&t);
    (void)gw_test_commit_append(&t, "x", 1);
    assert_int_equal(gw_test_commit_go(&t, b->l), -ENOSPC);
    gw_test_commit_init(&t);
    assert_int_equal(gw_test_commit_go(&t, b->l), 0); /* settling needs no room */
}

static void late_for_readers_and_late_answers(void **state)
{
    struct bed *b = *state;
    struct gw_test_commit t[8];
    unsigned n_early = 0;

    *gw_log_sim_faults(b->l) = (struct gw_log_sim_faults){.max_late_ns = 1000, .max_delay_ns = 1000};
    for (unsigned i = 0; i < 8; i++) {
        gw_test_commit_init(&t[i]);
        (void)gw_test_commit_append(&t[i], "x", 1);
        gw_log_submit(b->l, &t[i].c);
    }
    assert_int_equal(b->n_woken, 1);
    assert_in_range(gw_log_work(b->l), 1000000000u, 1000001000u);
    assert_int_equal(t[7].n_done, 0);
    assert_string_equal(read_all(b), "");
    for (unsigned ns = 0; ns <= 1000; ns += 50) {
        (void)gw_log_work(b->l);
        for (unsigned i = 1; i < 8; i++)
            assert_true(t[i - 1].n_done >= t[i].n_done); /* in order */
        n_early += t[0].n_done && !t[7].n_done;
        gw_test_env_advance(&b->te, 50);
    }
    assert_true(n_early > 0);
    assert_int_equal(t[7].n_done, 1);
    (void)read_all(b);
    assert_int_equal(strlen(b->read), 8 * 4 - 1);
}

/* A log of `n` commits of one frame, the `synced`-th with sync; crash; how many frames are there? */
static uint64_t crash_once(struct bed *b, unsigned n, unsigned synced, uint64_t delay_ns, bool lose)
{
    static struct gw_test_commit t[16];
    struct gw_log_stats st;

    reopen(b);
    gw_log_sim_faults(b->l)->max_delay_ns = delay_ns;
    for (unsigned i = 0; i < n; i++) {
        gw_test_commit_init(&t[i]);
        (void)gw_test_commit_append(&t[i], "x", 1);
        t[i].c.sync = i == synced;
        gw_log_submit(b->l, &t[i].c);
    }
    (void)gw_log_work(b->l);
    gw_log_sim_crash(b->l, lose);
    gw_test_env_advance(&b->te, 1000000000);
    (void)gw_log_work(b->l);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(t[i].n_done, delay_ns ? 0 : 1);
    gw_log_sim_faults(b->l)->max_delay_ns = 0;
    gw_log_stats(b->l, &st);
    assert_int_equal(gw_test_log_put(b->l, "more", 1), st.end_seq); /* it goes on */
    return st.end_seq;
}

static void crashes(void **state)
{
    struct bed *b = *state;
    unsigned seen[17] = {0};

    for (unsigned i = 0; i < 200; i++)
        seen[crash_once(b, 10, 3, 0, true)]++;
    for (unsigned n = 0; n <= 10; n++) /* a power cut: what was synced is there, and any prefix of the rest */
        assert_true(n < 4 ? seen[n] == 0 : seen[n] > 0);
    for (unsigned i = 0; i < 20; i++) /* the process died: all that was done */
        assert_int_equal(crash_once(b, 10, 3, 0, false), 10);
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < 200; i++)
        seen[crash_once(b, 3, 9, UINT64_MAX / 2, false)]++;
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]); /* of what was not done: perhaps */
}

static void unsynced_settlements_open_again(void **state)
{
    struct bed *b = *state;
    unsigned n_again = 0;

    for (unsigned i = 0; i < 40; i++) {
        uint32_t id;

        reopen(b);
        id = consumer(b, "es", GW_LOG_FROM_FIRST);
        (void)gw_test_log_put(b->l, "a", 3);
        gw_test_env_advance(&b->te, 200000000);
        (void)gw_log_work(b->l); /* time syncs it */
        gw_test_log_settle(b->l, id, 0);
        gw_log_sim_crash(b->l, true);
        n_again += gw_test_log_consumer(b->l, "es").low == 0;
        assert_string_equal(read_all(b), "a:3");
    }
    assert_in_range(n_again, 5, 35);
}

static void again(struct gw_log_commit *c, int rc)
{
    struct gw_test_commit *t = (struct gw_test_commit *)(void *)c;

    t->n_done++;
    t->rc = rc;
    if (rc == 0)
        gw_log_submit(bed.l, c);
}

static void closing_ends_everything(void **state)
{
    struct bed *b = *state;
    struct gw_test_commit t;

    gw_log_sim_faults(b->l)->max_delay_ns = UINT64_MAX / 2;
    gw_test_commit_init(&t);
    (void)gw_test_commit_append(&t, "x", 1);
    t.c.done = again;
    gw_log_submit(b->l, &t.c);
    reopen(b);
    assert_int_equal(t.n_done, 2);
    assert_int_equal(t.rc, -ESHUTDOWN);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bed, close_bed)
    const struct CMUnitTest tests[] = {
        TEST(numbers_and_bytes),
        TEST(rows_settled_in_any_order),
        TEST(consumers_by_name),
        TEST(positions_with_notes),
        TEST(topics_seeks_and_times),
        TEST(bad_commits_change_nothing),
        TEST(an_old_producer_is_fenced),
        TEST(what_goes_and_who_is_told),
        TEST(limits_of_bytes_and_age),
        TEST(limits_wait_for_readers),
        TEST(a_damaged_frame_is_told),
        TEST(faults_by_chance),
        TEST(late_for_readers_and_late_answers),
        TEST(crashes),
        TEST(unsynced_settlements_open_again),
        TEST(closing_ends_everything),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
