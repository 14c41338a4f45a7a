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
    gw_test_env_init(&te, 3);
    for (int i = 1; i < 3; i++)
        gw_buf_init(&written[i], 1 << 20);
    strcpy(dir, "/tmp/gw_cli_queue.XXXXXX");
    assert_non_null(mkdtemp(dir));
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
    for (int i = 1; i < 3; i++)
        gw_buf_clear(&written[i]);
    gw_test_env_clear(&te);
}

static int remove_dir(void **state)
{
    char command[100];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(queues_are_shown_and_released, remove_dir)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
