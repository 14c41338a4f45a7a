/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch queue release` of a running gateway's logs, over its control socket. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log/files.h"
#include "runtime/cli.h"
#include "runtime/control.h"
#include "runtime/control_client.h"
#include "tests/harness.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static struct gw_test_engine t;
static struct gw_control *control;
static char path[80];

/* ---- a client --------------------------------------------------------------------------------------------- */

static struct client {
    pthread_t thread;
    const char *args;
    char said[1024];
    _Atomic bool is_over;
    int rc;
} client;

static void on_line(void *arg, int fd, struct gw_slice text)
{
    size_t n = strlen(client.said);

    (void)arg;
    (void)snprintf(client.said + n, sizeof(client.said) - n, "%d %.*s\n", fd, (int)text.n, (const char *)text.p);
}

static void *client_main(void *arg)
{
    const struct gw_control_request rq = {
        .path = path, .command = "queue-release", .args = gw_slice_cstr(client.args), .line = on_line};

    client.rc = gw_control_ask(&rq, NULL);
    atomic_store(&client.is_over, true);
    return arg;
}

/* Returns the exit code. */
static int ask(const char *args)
{
    memset(&client, 0, sizeof(client));
    client.args = args;
    assert_int_equal(pthread_create(&client.thread, NULL, client_main, NULL), 0);
    for (unsigned i = 0; i < 200000 && !atomic_load(&client.is_over); i++)
        gw_test_logs_turn(&t, 1, 1000);
    assert_int_equal(pthread_join(client.thread, NULL), 0);
    return client.rc;
}

static bool said(const char *what)
{
    if (strstr(client.said, what))
        return true;
    print_message("%s", client.said);
    return false;
}

/* ---- the gateway ------------------------------------------------------------------------------------------ */

static void start(const char *yaml)
{
    struct gw_control_conf conf = {.path = path, .commands = gw_control_commands};
    struct gw_err err;

    gw_test_logs_engine(&t, yaml, 1);
    (void)snprintf(path, sizeof(path), "%s/control.sock", gw_test_logs_dir());
    conf.loop = t.loop;
    conf.engine = t.engine;
    conf.meter = t.meter;
    conf.service = t.service;
    assert_int_equal(gw_control_new(&conf, &control, &err), 0);
}

/* A journal that keeps what is unread, and the pipelines `behind` it. */
static void open_gateway(const char *behind)
{
    char yaml[2000];

    (void)snprintf(
        yaml, sizeof(yaml),
        "receivers: { scripted: }\n"
        "exporters: { scripted: { sending_queue: { wait_for_result: true } }, nop: }\n"
        "connectors: { journal/j: { storage: file_storage, retention: { max_age: 1m, keep_unread: true } } }\n"
        "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
        "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n%s",
        behind);
    start(yaml);
}

static void close_gateway(void)
{
    gw_control_free(control);
    (void)gw_test_engine_close(&t); /* rows that a sink does not take are given back */
}

static uint64_t first_seq(void)
{
    struct gw_log_stats st;

    gw_test_logs_turn(&t, 4, 61 * S);
    gw_log_stats(gw_test_log("journal/j"), &st);
    return st.first_seq;
}

/*
 * Scenario    a journal that keeps what is unread; its pipeline's sink is away, and the pipeline is asked to be
 *             released; the gateway starts again without it; a dry run; it is released, and again; names that are none
 * Guarantees  who reads it is not released; the start names who does not, and that its rows stay; they do until it is
 *             released, and then go when they are old enough
 */
static void an_orphan_of_a_journal_is_released(void **state)
{
    (void)state;
    gw_test_logs_begin(1);
    open_gateway("    logs/out: { receivers: [journal/j], exporters: [scripted] }\n");
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 0, 5, 1);
    gw_test_logs_turn(&t, 8, 1000000);
    assert_int_equal(ask("{\"queue\":\"journal/j\",\"consumer\":\"logs/out\"}"), GW_EXIT_BUSY);
    assert_true(said("2 error: logs/out is a pipeline of this gateway that uses it"));
    assert_int_equal(first_seq(), 0);
    close_gateway();

    open_gateway("");
    assert_true(gw_test_env_logged(&t.te, "pipeline \"logs/out\" read this journal before and does not now; its "
                                          "position is kept, and what it has not read, until"));
    assert_true(gw_test_env_logged(&t.te, "staunch queue release journal/j logs/out"));
    assert_int_equal(first_seq(), 0);
    assert_int_equal(ask("{\"queue\":\"journal/j\",\"consumer\":\"logs/out\",\"dry_run\":true}"), 0);
    assert_true(said("1 would release logs/out: 5 rows in 1 frames, "));
    assert_int_equal(ask("{\"queue\":\"journal/k\",\"consumer\":\"logs/out\"}"), GW_EXIT_UNAVAILABLE);
    assert_true(said("2 error: this gateway has no queue \"journal/k\""));
    assert_int_equal(ask("{\"queue\":[]}"), GW_EXIT_USAGE);
    assert_int_equal(first_seq(), 0);
    assert_int_equal(ask("{\"queue\":\"journal/j\",\"consumer\":\"logs/out\"}"), 0);
    assert_true(said("1 released logs/out: 5 rows in 1 frames, "));
    assert_int_equal(first_seq(), 1);
    assert_int_equal(ask("{\"queue\":\"journal/j\",\"consumer\":\"logs/out\"}"), GW_EXIT_UNAVAILABLE);
    close_gateway();
    gw_test_logs_end();
}

/* The pipeline `logs`, with these exporters of two on disk. */
static void open_queues(const char *exporters)
{
    char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\nexporters:\n"
                   "  scripted: { sending_queue: { storage: file_storage } }\n"
                   "  scripted/too: { sending_queue: { storage: file_storage } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs: { receivers: [scripted], exporters: [%s] }\n",
                   exporters);
    start(yaml);
}

/*
 * Scenario    two exporters on disk, of which one has its rows; the other one is not configured any more
 * Guarantees  who is configured is not released; the other one is, while the gateway runs, and the rows go
 */
static void an_orphan_of_a_queue_is_released(void **state)
{
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    struct gw_log_stats st;

    (void)state;
    gw_test_logs_begin(1);
    open_queues("scripted, scripted/too");
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 0, 5, 1);
    gw_test_logs_turn(&t, 8, 1000000);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &ok));
    gw_test_logs_turn(&t, 8, 1000000);
    assert_int_equal(ask("{\"queue\":\"queue/logs\",\"consumer\":\"scripted\"}"), GW_EXIT_BUSY);
    assert_true(said("2 error: scripted is an exporter of this gateway that uses it"));
    close_gateway();
    open_queues("scripted");
    assert_int_equal(ask("{\"queue\":\"queue/logs\",\"consumer\":\"scripted/too\"}"), 0);
    assert_true(said("1 released scripted/too: 5 rows\n"));
    gw_test_logs_turn(&t, 4, 1000000);
    gw_log_stats(gw_test_log("queue/logs"), &st);
    assert_int_equal(st.first_row, st.end_row);
    close_gateway();
    gw_test_logs_end();
}

static void on_done(struct gw_log_commit *c, int rc)
{
    (void)c;
    assert_int_equal(rc, 0);
}

/* Real files, that no gateway opens. */
static void make_folder(const char *kind, const char *name, bool with_rows)
{
    struct gw_log_frame f = {.rows = 7, .signal = 4, .time_ns = 1, .body = GW_SLICE("body")};
    struct gw_log_commit c = {.frames = &f, .n_frames = 1, .done = on_done};
    struct gw_log_files_conf conf = {.env = &t.te.env, .segment_bytes = 1 << 20};
    char folder[200];
    struct gw_err err;
    struct gw_log *l;

    (void)snprintf(folder, sizeof(folder), "%s/%s", gw_test_logs_dir(), kind);
    (void)mkdir(folder, 0700);
    (void)snprintf(folder, sizeof(folder), "%s/%s/%s", gw_test_logs_dir(), kind, name);
    conf.dir = folder;
    assert_int_equal(gw_log_files_open(&conf, &l, &err), 0);
    if (with_rows)
        gw_log_submit(l, &c);
    (void)gw_log_work(l);
    gw_log_close(l);
}

/*
 * Scenario    folders of a journal and of a queue that the configuration does not name, with rows and without
 * Guarantees  the start names those with rows, and no others
 */
static void logs_that_nobody_opens_are_named(void **state)
{
    (void)state;
    gw_test_logs_begin(1);
    gw_test_env_init(&t.te, 1);
    make_folder("journal", "old", true);
    make_folder("journal", "done", false);
    make_folder("queue", "old", true);
    make_folder("queue", "done", false);
    gw_test_env_clear(&t.te);
    open_gateway("");
    assert_true(gw_test_env_logged(&t.te, "/journal/old: a journal that is not configured: its rows stay"));
    assert_true(gw_test_env_logged(&t.te, "/queue/old: the queue of a pipeline that is not configured"));
    assert_false(gw_test_env_logged(&t.te, "/done: "));
    close_gateway();
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_orphan_of_a_journal_is_released),
                                       cmocka_unit_test(an_orphan_of_a_queue_is_released),
                                       cmocka_unit_test(logs_that_nobody_opens_are_named)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
