/* SPDX-License-Identifier: Apache-2.0 */
/* The process is killed while `staunch dlq replay` is under way: what becomes of the letters at the next start. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/control.h"
#include "runtime/control_client.h"
#include "runtime/dlq.h"
#include "tests/harness_logs.h"
#include "tests/runtime/letters.h"

#define MS 1000000ull
enum { LETTERS = 8, ROWS = 2, MAX_TURNS = 20000 };

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static const char yaml[] = "receivers: { scripted: }\n"
                           "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"
                           "service:\n  extensions: [file_storage]\n"
                           "  pipelines: { logs: { receivers: [scripted], exporters: [scripted] } }\n";

static struct gw_test_engine t;
static struct gw_control *control;
static char path[80];
static unsigned seen[LETTERS * ROWS];

/* ---- the gateway and its client ----------------------------------------------------------------------------- */

static void begin_life(void)
{
    struct gw_control_conf conf = {.path = path, .commands = gw_control_commands};
    struct gw_err err = {""};

    gw_test_logs_engine(&t, yaml, 1);
    t.looks_away = true;
    conf.loop = t.loop;
    conf.engine = t.engine;
    conf.meter = t.meter;
    conf.service = t.service;
    if (gw_control_new(&conf, &control, &err) < 0)
        fail_msg("%s", err.text);
}

static struct {
    pthread_t thread;
    _Atomic bool is_over;
    int rc;
} client;

static void on_line(void *arg, int fd, struct gw_slice text)
{
    (void)arg;
    (void)fd;
    (void)text;
}

static void *client_main(void *arg)
{
    const struct gw_control_request rq = {
        .path = path, .command = "dlq-replay", .args = GW_SLICE("{}"), .line = on_line};

    (void)arg;
    client.rc = gw_control_ask(&rq, NULL);
    atomic_store(&client.is_over, true);
    return NULL;
}

static void replay(void)
{
    atomic_store(&client.is_over, false);
    assert_int_equal(pthread_create(&client.thread, NULL, client_main, NULL), 0);
}

/* The sink has, and takes, what comes. */
static void take(void)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    uint64_t names[LETTERS * ROWS];

    while (s->n_waiting) {
        for (unsigned i = gw_test_names(GW_LOGS, s->waiting[0]->body, names, LETTERS * ROWS); i > 0; i--)
            seen[names[i - 1]]++;
        (void)gw_test_sink_answer(s, &OK);
    }
}

static unsigned n_letters(void)
{
    const struct gw_dlq_filter f = {0};
    struct gw_dlq_cursor *c;
    struct gw_dlq_letter l;
    unsigned n = 0;
    int rc;

    assert_int_equal(gw_dlq_open(gw_test_log("/dead_letters"), &f, &c), 0);
    while ((rc = gw_dlq_next(c, &l)) > 0)
        n += rc == 1;
    gw_dlq_close(c);
    return n;
}

static void put_letters(void)
{
    const struct gw_dead_letter d = {.class_ = "sink_rejected",
                                     .reason = "http_400",
                                     .component = "scripted",
                                     .pipeline = "logs",
                                     .signal = GW_LOGS,
                                     .last_ns = gw_wall_ns(t.env)};

    for (unsigned i = 0; i < LETTERS; i++)
        put_rows(t.env, gw_test_log("/dead_letters"), d, i * ROWS, ROWS);
    assert_int_equal(n_letters(), LETTERS);
}

/* ---- the test ----------------------------------------------------------------------------------------------- */

/* So many turns after the first rows were on their way. The sink answers nothing in this life: what comes twice comes
 * by the replays. */
static void killed_after(unsigned steps)
{
    replay();
    for (unsigned i = 0; i < MAX_TURNS && gw_edge_counts(gw_engine_edge(t.engine, "scripted"), GW_LOGS).in == 0 &&
                         !atomic_load(&client.is_over);
         i++)
        gw_test_logs_turn(&t, 1, MS); /* until the first rows are on their way */
    gw_test_logs_turn(&t, steps, MS);
    gw_test_logs_die();
    gw_engine_quiesce(t.engine); /* the dead one's replay comes to an end */
    for (unsigned i = 0; i < MAX_TURNS && !atomic_load(&client.is_over); i++)
        gw_test_logs_turn(&t, 1, MS);
    assert_true(atomic_load(&client.is_over));
    assert_int_equal(pthread_join(client.thread, NULL), 0);
    gw_control_free(control);
    gw_test_logs_crash(&t, false);
}

static void go_on(void)
{
    begin_life();
    if (n_letters()) {
        replay();
        for (unsigned i = 0; i < MAX_TURNS && !atomic_load(&client.is_over); i++) {
            gw_test_logs_turn(&t, 1, MS);
            take();
        }
        assert_true(atomic_load(&client.is_over));
        assert_int_equal(pthread_join(client.thread, NULL), 0);
        assert_int_equal(client.rc, 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        gw_test_logs_turn(&t, 1, 20 * MS);
        take();
    }
    assert_int_equal(n_letters(), 0);
    gw_control_free(control);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/*
 * Scenario    kill -9 after each of the first turns of a replay into a pipeline whose queue is on disk; then another
 *             replay
 * Guarantees  no letter is lost, and none is stuck: all rows reach the sink, and no letter is left. Twice only what was
 *             replayed and not yet noted, as the documentation says
 */
static void letters_survive_a_kill(void **state)
{
    unsigned twice = 0;

    (void)state;
    for (unsigned steps = 0; steps < 12; steps++) {
        unsigned left, again = 0;

        memset(seen, 0, sizeof(seen));
        gw_test_logs_begin(steps + 1);
        (void)snprintf(path, sizeof(path), "%s/control.sock", gw_test_logs_dir());
        begin_life();
        put_letters();
        killed_after(steps);
        left = n_letters();
        go_on();
        for (unsigned i = 0; i < LETTERS * ROWS; i++) {
            assert_in_range(seen[i], 1, 2);
            again += seen[i] > 1;
        }
        assert_in_range(again, 0, left * ROWS); /* what was noted is gone for ever */
        twice += again;
        gw_test_logs_end();
    }
    assert_true(twice > 0); /* the kills fell where they should */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(letters_survive_a_kill)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
