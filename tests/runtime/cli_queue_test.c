/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch queue` on queues in real files. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/buf.h"
#include "log/files.h"
#include "runtime/cli.h"
#include "tests/harness_env.h"

static struct gw_test_env te;
static struct gw_buf written[3];
static char dir[64];

static void write_out(void *arg, int fd, const char *p, size_t n)
{
    (void)arg;
    gw_buf_put(&written[fd], p, n);
}

static int cli(const char *const *argv)
{
    const struct gw_cli_world w = {.env = &te.env, .write = write_out};
    int argc = 0;

    while (argv[argc])
        argc++;
    gw_buf_reset(&written[1]);
    gw_buf_reset(&written[2]);
    return gw_cli(argc, argv, &w);
}

static bool says(int fd, const char *text)
{
    return written[fd].n && memmem(written[fd].p, written[fd].n, text, strlen(text));
}

static void on_done(struct gw_log_commit *c, int rc)
{
    (void)c;
    assert_int_equal(rc, 0);
}

/* A queue with 7 rows, of which the exporter "a" has settled all and "b/eu" none. */
static void make_queue(const char *name)
{
    struct gw_log_frame f = {.rows = 7, .signal = 4, .time_ns = gw_wall_ns(&te.env), .body = GW_SLICE("body")};
    struct gw_log_commit c = {.frames = &f, .n_frames = 1, .done = on_done};
    struct gw_log_files_conf conf = {.env = &te.env, .segment_bytes = 1 << 20};
    struct gw_log_settle s = {.outcome = GW_LOG_DELIVERED};
    char path[200];
    struct gw_err err;
    struct gw_log *l;
    uint32_t other;

    (void)snprintf(path, sizeof(path), "%s/queue", dir);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/queue/%s", dir, name);
    conf.dir = path;
    assert_int_equal(gw_log_files_open(&conf, &l, &err), 0);
    assert_int_equal(gw_log_consumer_open(l, "a", GW_LOG_FROM_END, &s.consumer), 0);
    assert_int_equal(gw_log_consumer_open(l, "b/eu", GW_LOG_FROM_END, &other), 0);
    gw_log_submit(l, &c);
    (void)gw_log_work(l);
    s.seq = s.last_seq = f.seq;
    c = (struct gw_log_commit){.settles = &s, .n_settles = 1, .done = on_done};
    gw_log_submit(l, &c);
    (void)gw_log_work(l);
    gw_log_close(l);
}

static void open_all(void)
{
    gw_test_env_init(&te, 3);
    for (int i = 1; i < 3; i++)
        gw_buf_init(&written[i], 1 << 20);
    strcpy(dir, "/tmp/gw_cli_queue.XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void close_all(void)
{
    for (int i = 1; i < 3; i++)
        gw_buf_clear(&written[i]);
    gw_test_env_clear(&te);
}

/*
 * Scenario    a queue of a pipeline with a slash in its name, seen two hours later; its orphan is released; twice; with
 *             names that are none, and words that are missing
 * Guarantees  who waits for how much since when; released, only once; every mistake is told
 */
static void queues_are_shown_and_released(void **state)
{
    const char *ls[] = {"staunch", "queue", "ls", "--directory", dir, NULL},
               *release[] = {"staunch", "queue", "release", "logs/eu", "b/eu", "--directory", dir, NULL},
               *nowhere[] = {"staunch", "queue", "release", "logs/us", "b/eu", "--directory", dir, NULL},
               *half[] = {"staunch", "queue", "release", "logs/eu", "--directory", dir, NULL},
               *typo[] = {"staunch", "queue", "lss", NULL}, *help[] = {"staunch", "queue", NULL};

    (void)state;
    open_all();
    assert_int_equal(cli(ls), 0);
    assert_true(says(2, "there is no queue on disk"));
    make_queue("logs%2Feu");
    gw_test_env_advance(&te, 7300ull * 1000000000ull);
    assert_int_equal(cli(ls), 0);
    assert_true(says(1, "queue    logs/eu                  a                                       0 "));
    assert_true(says(1, "queue    logs/eu                  b/eu                                    7 "));
    assert_true(says(1, "  2 h\n"));
    assert_int_equal(cli(nowhere), GW_EXIT_UNAVAILABLE);
    assert_int_equal(cli(release), 0);
    assert_true(says(1, "released b/eu"));
    assert_int_equal(cli(release), GW_EXIT_UNAVAILABLE);
    assert_true(says(2, "nothing waits there for it"));
    assert_int_equal(cli(ls), 0);
    assert_false(says(1, "b/eu"));
    assert_int_equal(cli(half), GW_EXIT_USAGE);
    assert_int_equal(cli(typo), GW_EXIT_USAGE);
    assert_true(says(2, "did you mean \"ls\"?"));
    assert_int_equal(cli(help), 0);
    assert_true(says(1, "Usage: staunch queue"));
    close_all();
}

static int remove_dir(void **state)
{
    char command[100];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* What is still there of a log. */
static struct gw_log_stats stats_of(const char *kind_and_name)
{
    struct gw_log_files_conf conf = {.env = &te.env, .read_only = true};
    struct gw_log_stats st;
    char path[200];
    struct gw_err err;
    struct gw_log *l;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, kind_and_name);
    conf.dir = path;
    assert_int_equal(gw_log_files_open(&conf, &l, &err), 0);
    gw_log_stats(l, &st);
    gw_log_close(l);
    return st;
}

static struct gw_log *open_journal(void)
{
    static struct gw_log_files_conf conf;
    static char path[200];
    struct gw_err err;
    struct gw_log *l;

    (void)snprintf(path, sizeof(path), "%s/journal", dir);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/journal/orders", dir);
    conf = (struct gw_log_files_conf){.env = &te.env, .segment_bytes = 1 << 20, .dir = path};
    assert_int_equal(gw_log_files_open(&conf, &l, &err), 0);
    return l;
}

/* Three frames of logs in partitions 3, 9, 3 and one of traces. "logs/a" has passed all, "logs/b" the first one. */
static void make_journal(void)
{
    struct gw_log_frame f[] = {
        {.rows = 7, .signal = 4, .partition = 3, .time_ns = gw_wall_ns(&te.env), .body = GW_SLICE("body")},
        {.rows = 5, .signal = 4, .partition = 9, .time_ns = gw_wall_ns(&te.env), .body = GW_SLICE("body2")},
        {.rows = 2, .signal = 4, .partition = 3, .time_ns = gw_wall_ns(&te.env) - 7200000000000, .body = GW_SLICE("b")},
        {.rows = 9, .signal = 1, .partition = 3, .time_ns = gw_wall_ns(&te.env), .body = GW_SLICE("spans")},
    };
    struct gw_log_commit c = {.frames = f, .n_frames = 4, .done = on_done};
    struct gw_log_position at[3] = {0};
    struct gw_log *l = open_journal();
    uint32_t note, a, b;

    assert_int_equal(gw_log_consumer_open(l, "#partition_by", GW_LOG_FROM_FIRST, &note), 0);
    assert_int_equal(gw_log_consumer_open(l, "logs/a", GW_LOG_FROM_FIRST, &a), 0);
    assert_int_equal(gw_log_consumer_open(l, "logs/b", GW_LOG_FROM_FIRST, &b), 0);
    gw_log_submit(l, &c);
    (void)gw_log_work(l);
    at[0] = (struct gw_log_position){.consumer = a, .partition = 3, .next_seq = f[3].seq + 1};
    at[1] = (struct gw_log_position){.consumer = a, .partition = 9, .next_seq = f[3].seq + 1};
    at[2] = (struct gw_log_position){.consumer = b, .partition = 3, .next_seq = f[0].seq + 1};
    c = (struct gw_log_commit){.positions = at, .n_positions = 3, .done = on_done};
    gw_log_submit(l, &c);
    (void)gw_log_work(l);
    gw_log_close(l);
}

/*
 * Scenario    a journal that two pipelines read is looked at; one is released, at first only to see what it would be;
 *             its rows are to be discarded while the other one is left, and when nobody is
 * Guarantees  rows, bytes and age are those that the pipeline has not passed in each partition, of its signal; a note
 *             is no reader, and cannot be released; a dry run changes nothing; what somebody may still read stays, and
 *             then all of it goes from the disk
 */
static void journals_are_shown_released_and_discarded(void **state)
{
    const char *ls[] = {"staunch", "queue", "ls", "--directory", dir, NULL},
               *look[] = {"staunch", "queue", "release", "orders", "logs/b", "--directory", dir, "--dry-run", NULL},
               *slip[] = {"staunch", "queue", "release", "orders", "logs/b", "--directory", dir, "--dryrun", NULL},
               *more[] = {"staunch", "queue", "discard", "orders", "logs/b", "--directory", dir, NULL},
               *b[] = {"staunch", "queue", "release", "journal/orders", "logs/b", "--directory", dir, NULL},
               *a[] = {"staunch", "queue", "release", "orders", "logs/a", "--directory", dir, NULL},
               *note[] = {"staunch", "queue", "release", "orders", "#partition_by", "--directory", dir, NULL},
               *other[] = {"staunch", "queue", "release", "queue/orders", "logs/b", "--directory", dir, NULL},
               *would[] = {"staunch", "queue", "discard", "orders", "--dry-run", "--directory", dir, NULL},
               *discard[] = {"staunch", "queue", "discard", "orders", "--directory", dir, NULL},
               *which[] = {"staunch", "queue", "discard", "--directory", dir, NULL};

    (void)state;
    open_all();
    make_journal();
    assert_int_equal(cli(ls), 0);
    assert_true(
        says(1, "journal  orders                   logs/a                                  0            0  -\n"));
    assert_true(
        says(1, "journal  orders                   logs/b                                  7            6  2 h\n"));
    assert_false(says(1, "#partition_by"));
    assert_int_equal(cli(look), 0);
    assert_true(says(1, "would release logs/b: 7 rows in 2 frames, 6 bytes\n"));
    assert_int_equal(cli(slip), GW_EXIT_USAGE);
    assert_true(says(2, "unknown flag \"--dryrun\"; did you mean \"--dry-run\"?"));
    assert_int_equal(cli(more), GW_EXIT_USAGE);
    assert_true(says(2, "unexpected argument \"logs/b\""));
    assert_int_equal(cli(note), GW_EXIT_UNAVAILABLE);
    assert_int_equal(cli(other), GW_EXIT_UNAVAILABLE);
    assert_int_equal(cli(discard), GW_EXIT_UNAVAILABLE);
    assert_true(says(2, "somebody is left to read it"));
    assert_int_equal(cli(b), 0);
    assert_true(says(1, "released logs/b: 7 rows in 2 frames, 6 bytes\n"));
    assert_false(says(1, "no pipeline reads orders now"));
    assert_int_equal(cli(b), GW_EXIT_UNAVAILABLE);
    assert_int_equal(cli(discard), GW_EXIT_UNAVAILABLE);
    assert_int_equal(cli(a), 0);
    assert_true(says(1, "no pipeline reads orders now: its rows stay as its retention says, or until queue discard\n"));
    assert_int_equal(stats_of("journal/orders").first_row, 0);
    assert_int_equal(cli(would), 0);
    assert_true(says(1, "would discard orders: 23 rows in 4 frames, "));
    assert_int_equal(stats_of("journal/orders").first_row, 0);
    assert_int_equal(cli(discard), 0);
    assert_true(says(1, "discarded orders: 23 rows in 4 frames, "));
    assert_int_equal(stats_of("journal/orders").first_row, 23);
    assert_int_equal(stats_of("journal/orders").end_row, 23);
    assert_int_equal(cli(which), GW_EXIT_USAGE);
    close_all();
}

/*
 * Scenario    a journal that more pipelines have read than are shown
 * Guarantees  it is said that some are missing; the last one can be released all the same
 */
static void very_many_have_read_it(void **state)
{
    const char *ls[] = {"staunch", "queue", "ls", "--directory", dir, NULL},
               *last[] = {"staunch", "queue", "release", "orders", "logs/299", "--directory", dir, NULL};
    struct gw_log *l;

    (void)state;
    open_all();
    l = open_journal();
    for (unsigned i = 0; i < 300; i++) {
        char name[20];
        uint32_t id;

        (void)snprintf(name, sizeof(name), "logs/%u", i);
        assert_int_equal(gw_log_consumer_open(l, name, GW_LOG_FROM_FIRST, &id), 0);
    }
    gw_log_close(l);
    assert_int_equal(cli(ls), GW_EXIT_IO);
    assert_true(says(1, "logs/255") && !says(1, "logs/256") && says(2, "not all of it can be read"));
    assert_int_equal(cli(last), 0);
    assert_int_equal(cli(last), GW_EXIT_UNAVAILABLE);
    close_all();
}

/*
 * Scenario    the exporters of a queue are released, one that had rows waiting first
 * Guarantees  what only it held back leaves the disk at once; with the last one all that is left does
 */
static void released_rows_leave_the_disk(void **state)
{
    const char *a[] = {"staunch", "queue", "release", "logs", "a", "--directory", dir, NULL},
               *b[] = {"staunch", "queue", "release", "logs", "b/eu", "--directory", dir, NULL};

    (void)state;
    for (unsigned last = 0; last < 2; last++) {
        open_all();
        make_queue("logs");
        assert_int_equal(stats_of("queue/logs").first_row, 0);
        assert_int_equal(cli(last ? a : b), 0);
        assert_int_equal(stats_of("queue/logs").first_row, last ? 0 : 7);
        assert_int_equal(cli(last ? b : a), 0);
        assert_int_equal(stats_of("queue/logs").first_row, 7);
        close_all();
        assert_int_equal(remove_dir(NULL), 0);
    }
}

/*
 * Scenario    the log is open in a process that cannot be asked: no socket is there, or --socket names none
 * Guarantees  nothing is touched; it is said what to do
 */
static void a_log_in_use_is_left_alone(void **state)
{
    const char *release[] = {"staunch", "queue", "release", "orders", "logs/b", "--directory", dir, NULL},
               *elsewhere[] = {"staunch",     "queue", "release",  "orders", "logs/b",
                               "--directory", dir,     "--socket", "/none",  NULL},
               *discard[] = {"staunch", "queue", "discard", "orders", "--directory", dir, NULL};
    struct gw_log *l;

    (void)state;
    open_all();
    make_journal();
    l = open_journal();
    assert_int_equal(cli(release), GW_EXIT_BUSY);
    assert_true(says(2, "a gateway uses this queue, and cannot be asked") && says(2, "control.sock"));
    assert_int_equal(cli(elsewhere), GW_EXIT_BUSY);
    assert_true(says(2, "/none"));
    assert_int_equal(cli(discard), GW_EXIT_BUSY);
    assert_true(says(2, "a gateway uses orders: its rows are its own"));
    gw_log_close(l);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(queues_are_shown_and_released, remove_dir),
        cmocka_unit_test_teardown(journals_are_shown_released_and_discarded, remove_dir),
        cmocka_unit_test_teardown(very_many_have_read_it, remove_dir),
        cmocka_unit_test(released_rows_leave_the_disk),
        cmocka_unit_test_teardown(a_log_in_use_is_left_alone, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
