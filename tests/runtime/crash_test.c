/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gateways that really crash: threads, files and signals are real, and each life is a process of its own. One exporter
 * cannot bear the row named POISON.
 */
#include "runtime/crash.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/loop.h"
#include "runtime/cli.h"
#include "tests/harness.h"
#include "tests/harness_engine.h"

/* A worker takes 16 requests a turn: a 64th of that is buried at most. */
enum { POISON = 777, N_REQUESTS = 100, N_ROWS = 20, MOST_DEAD = 16 * N_ROWS / 64 };
static char dir[40];
static enum how { ABORT, FAULT, STACK, FROM_OUTSIDE } how;

/* ---- what crashes ----------------------------------------------------------------------------------------- */

static unsigned deeper(volatile const unsigned *n)
{
    volatile unsigned room[256];

    room[0] = *n + 1;
    return room[0] ? deeper(room) + room[0] : 0;
}

static volatile uintptr_t nowhere = 8; /* where nothing is, and no compiler knows it */

static void crash(void)
{
    switch (how) {
    case ABORT:
        abort();
    case FAULT:
        *(volatile int *)nowhere = 1;
        break;
    case STACK:
        (void)deeper(&(unsigned){1});
        break;
    case FROM_OUTSIDE:
        if (fork() == 0) {
            (void)close_range(3, ~0u, 0); /* the next life wants their locks, and may come before this one has ended */
            (void)kill(getppid(), SIGABRT);
            _exit(0);
        }
        for (;;)
            (void)pause();
    }
}

static void send_fragile(void *self, struct gw_attempt *a)
{
    uint64_t names[8192];
    unsigned n = gw_test_names(GW_LOGS, a->body, names, 8192);

    for (unsigned i = 0; i < n; i++)
        if (names[i] == POISON)
            crash();
    gw_test_exporter.exporter->send(self, a);
}

/* ---- lives ------------------------------------------------------------------------------------------------ */

static bool is_done(struct gw_test_engine *t)
{
    struct gw_test_pump *p = gw_engine_instance(t->engine, GW_RECEIVER, "pump");

    return p->n_ok + p->n_refused + p->n_failed == p->requests && gw_engine_is_drained(t->engine);
}

/* Until everything is done, or it crashes. Exit code 0: nothing was refused, and nothing is left. */
static void live(unsigned requests)
{
    const struct rlimit no_core = {0, 0};
    struct gw_test_engine t;
    char yaml[2000];
    uint64_t left;

    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < 5; i++) /* the test's own handlers tell a story of every crash */
        (void)signal((int[]){SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE}[i], SIG_DFL);
    gw_crash_catch();
    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { pump: { requests: %u, rows: %u } }\n"
                   "extensions: { file_storage: { directory: %s, segment_size_mib: 1, reserve_mib: 1 } }\n"
                   "exporters:\n"
                   "  fragile: { at_once: true, sending_queue: { storage: file_storage, batch: { min_size: 50,\n"
                   "    flush_timeout: 5ms } } }\n"
                   "  scripted: { at_once: true, sending_queue: { storage: file_storage } }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    logs: { receivers: [pump], exporters: [fragile, scripted] }\n",
                   requests, N_ROWS, dir);
    gw_test_engine_open(&t, yaml, 1, /* threads= */ true);
    while (!is_done(&t))
        gw_loop_turn(t.loop, 2000000);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    while (!gw_engine_is_quiet(t.engine) || !gw_engine_is_drained(t.engine))
        gw_loop_turn(t.loop, 2000000);
    left = gw_engine_stop(t.engine);
    gw_engine_free(t.engine); /* what is settled is in the log behind this */
    _exit(left == 0 ? 0 : 1);
}

/* One life; its end as waitpid tells it. */
static int one_life(unsigned requests)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        assert_non_null(freopen("/dev/null", "w", stderr));
        live(requests);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- what is left ----------------------------------------------------------------------------------------- */

static struct gw_buf said;

static void hear(void *arg, int fd, const char *p, size_t n)
{
    (void)arg;
    (void)fd;
    gw_buf_put(&said, p, n);
}

/* `staunch dlq ls --output json`, terminated. */
static const char *dlq_ls(void)
{
    struct gw_env *env = gw_env_real_new();
    const struct gw_cli_world world = {.env = env, .write = hear};
    const char *const argv[] = {"staunch", "dlq", "ls", "--directory", dir};

    gw_buf_reset(&said);
    assert_int_equal(gw_cli(5, argv, &world), 0);
    gw_buf_put_u8(&said, 0);
    gw_env_real_free(env);
    return (const char *)said.p;
}

static void check_consumer(void *arg, const struct gw_log_consumer *c)
{
    uint64_t dead = c->settled[GW_LOG_DEAD_LETTERED];
    const struct gw_log_stats *st = arg;

    assert_true(st->end_row > POISON);
    assert_int_equal(c->settled[GW_LOG_DELIVERED] + dead, st->end_row);
    assert_int_equal(dead > 0, strcmp(c->name, "fragile") == 0);
    assert_true(dead <= MOST_DEAD);
}

static void check_log(void)
{
    struct gw_env *env = gw_env_real_new();
    struct gw_log_files_conf conf = {.env = env, .read_only = true};
    struct gw_log_stats st;
    struct gw_log *log;
    char path[80];

    (void)snprintf(path, sizeof(path), "%s/queue/logs", dir);
    conf.dir = path;
    assert_int_equal(gw_log_files_open(&conf, &log, NULL), 0);
    gw_log_stats(log, &st);
    assert_int_equal(gw_log_consumers(log, check_consumer, &st), 0);
    gw_log_close(log);
    gw_env_real_free(env);
}

static void clean(void)
{
    char command[80];

    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void two_crashes_and_a_letter(enum how what, int sig)
{
    const char *letters;

    how = what;
    strcpy(dir, "/tmp/gw-crash-XXXXXX");
    assert_non_null(mkdtemp(dir));
    for (unsigned i = 0; i < 2; i++) {
        int status = one_life(i == 0 ? N_REQUESTS : 0);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), sig);
    }
    assert_int_equal(one_life(0), 0);
    letters = dlq_ls();
    assert_non_null(strstr(letters, "poison"));
    assert_non_null(strstr(letters, "crash_suspect"));
    assert_non_null(strstr(letters, sigabbrev_np(sig)));
    check_log();
    assert_int_equal(one_life(0), 0);
    clean();
}

/*
 * Scenario    an exporter calls abort(), writes to where nothing is, or has no stack left, with a certain row; the
 *             gateway is started again each time
 * Guarantees  the third start runs, with that row as a dead letter; all others are delivered
 */
static void abort_ends_as_a_dead_letter(void **state)
{
    (void)state;
    two_crashes_and_a_letter(ABORT, SIGABRT);
}

static void faults_and_used_up_stacks_do(void **state)
{
    (void)state;
    two_crashes_and_a_letter(FAULT, SIGSEGV);
    two_crashes_and_a_letter(STACK, SIGSEGV);
}

/*
 * Scenario    somebody sends the gateway SIGABRT at that very moment, three times (a watchdog)
 * Guarantees  nothing is a dead letter
 */
static void who_is_shot_is_not_guilty(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* TSan keeps signals back and runs their handlers where it likes: now and then it faults in between */
#endif
    how = FROM_OUTSIDE;
    strcpy(dir, "/tmp/gw-crash-XXXXXX");
    assert_non_null(mkdtemp(dir));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(WTERMSIG(one_life(i == 0 ? N_REQUESTS : 0)), SIGABRT);
    assert_null(strstr(dlq_ls(), "poison"));
    clean();
}

int main(void)
{
    static struct gw_exporter_ops ops;
    static struct gw_component fragile;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abort_ends_as_a_dead_letter),
        cmocka_unit_test(faults_and_used_up_stacks_do),
        cmocka_unit_test(who_is_shot_is_not_guilty),
    };

    gw_buf_init(&said, 1u << 20);
    ops = *gw_test_exporter.exporter;
    ops.send = send_fragile;
    fragile = gw_test_exporter;
    fragile.name = "fragile";
    fragile.exporter = &ops;
    gw_test_own_components[0] = &fragile;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
