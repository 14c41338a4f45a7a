/* SPDX-License-Identifier: Apache-2.0 */
/* Starts that fail when the logs are open already: what they leave in them. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"
#include "tests/harness_log.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* ---- components that cannot be made, or opened ---------------------------------------------------------------- */

static void (*meanwhile)(void); /* before it fails */

static int fail_to_make(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ret, (void)ctx, (void)conf;
    return gw_fail(err, -ENOENT, "no such file");
}

static int make(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx, (void)conf, (void)err;
    *ret = NULL;
    return 0;
}

static int fail_to_open(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret, struct gw_err *err)
{
    (void)self, (void)loop, (void)intake, (void)ret;
    if (meanwhile)
        meanwhile();
    return gw_fail(err, -EADDRINUSE, "the port is taken");
}

static const struct gw_field no_fields[] = {{0}};
static const struct gw_component taken = {.kind = GW_RECEIVER,
                                          .name = "taken",
                                          .summary = "Cannot be opened.",
                                          .signals = GW_ALL_SIGNALS,
                                          .fields = no_fields,
                                          .conf_size = 1,
                                          .create = make,
                                          .open = fail_to_open};
static const struct gw_component missing = {.kind = GW_RECEIVER,
                                            .name = "missing",
                                            .summary = "Cannot be made.",
                                            .signals = GW_ALL_SIGNALS,
                                            .fields = no_fields,
                                            .conf_size = 1,
                                            .create = fail_to_make};

/* ---- gateways ------------------------------------------------------------------------------------------------- */

static struct gw_test_engine t;

static const char *yaml(const char *receivers, const char *exporters)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text),
                   "extensions: { file_storage: { directory: %s } }\n"
                   "receivers: { scripted: , taken: , missing: }\n"
                   "connectors: { journal/j: { storage: file_storage } }\n"
                   "exporters:\n"
                   "  scripted: { sending_queue: { storage: file_storage } }\n"
                   "  scripted/b: { sending_queue: { storage: file_storage } }\n"
                   "  scripted/c: { sending_queue: { storage: file_storage } }\n"
                   "service:\n"
                   "  extensions: [file_storage]\n"
                   "  dead_letters: { to: none }\n"
                   "  pipelines:\n"
                   "    logs: { receivers: [scripted%s], exporters: [%s] }\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/out: { receivers: [journal/j], exporters: [scripted/c] }\n",
                   gw_test_logs_dir(), receivers, exporters);
    return text;
}

static int set_up(void **state)
{
    (void)state;
    gw_test_own_components[0] = &taken;
    gw_test_own_components[1] = &missing;
    meanwhile = NULL;
    gw_test_logs_begin(3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gw_test_logs_end();
    gw_test_own_components[0] = gw_test_own_components[1] = NULL;
    return 0;
}

static void fails(const char *receivers, const char *exporters, const char *why)
{
    struct gw_err err = {""};

    assert_true(gw_test_engine_try(&t, yaml(receivers, exporters), 1, false, &err) < 0);
    if (!strstr(err.text, why))
        fail_msg("said: %s", err.text);
}

static bool has_place(const char *log, const char *name)
{
    return gw_test_log_has_consumer(gw_test_log(log), name);
}

/* ---- the tests ------------------------------------------------------------------------------------------------ */

/*
 * Scenario    the first start fails: a receiver cannot be made; another one cannot be opened
 * Guarantees  the exporters have no place in the queue's log, and the pipeline has none in the journal's
 */
static void a_start_that_fails_leaves_no_place(void **state)
{
    (void)state;
    fails(", missing", "scripted, scripted/b", "no such file");
    fails(", taken", "scripted, scripted/b", "the port is taken");
    assert_false(has_place("/queue/logs", "scripted"));
    assert_false(has_place("/queue/logs", "scripted/b"));
    assert_false(has_place("/journal/j", "logs/out"));
}

/*
 * Scenario    a gateway has left a row; the next start, with an exporter more, fails; then it is as before
 * Guarantees  the place that was there stays with its row, the new one goes; the row is sent in the end
 */
static void a_place_that_was_there_stays(void **state)
{
    struct gw_test_sink *s;
    uint64_t name;

    (void)state;
    gw_test_engine_open(&t, yaml("", "scripted"), 1, false);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 5, 1, 1);
    gw_test_logs_turn(&t, 4, 0);
    while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/c"), &OK))
        gw_test_logs_turn(&t, 4, S);
    gw_test_logs_turn(&t, 4, S);
    (void)gw_test_engine_close(&t);
    fails(", taken", "scripted, scripted/b", "the port is taken");
    assert_true(has_place("/queue/logs", "scripted"));
    assert_true(has_place("/journal/j", "logs/out"));
    assert_false(has_place("/queue/logs", "scripted/b"));
    gw_test_engine_open(&t, yaml("", "scripted"), 1, false);
    gw_test_logs_turn(&t, 6, S / 10);
    gw_test_logs_turn(&t, 6, S / 10);
    s = gw_test_engine_sink(&t, "scripted");
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, s->waiting[0]->body, &name, 1), 1);
    assert_int_equal(name, 5);
    (void)gw_test_sink_answer(s, &OK);
    gw_test_logs_turn(&t, 4, S);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

static void a_row_comes(void)
{
    (void)gw_test_log_put(gw_test_log("/queue/logs"), "taken in", 1);
}

/*
 * Scenario    the first start fails after a receiver has let a row in, which is in the log
 * Guarantees  it was promised: the exporters keep their places, for the next start
 */
static void what_was_taken_in_is_kept(void **state)
{
    (void)state;
    meanwhile = a_row_comes;
    fails(", taken", "scripted, scripted/b", "the port is taken");
    assert_true(has_place("/queue/logs", "scripted"));
    assert_true(has_place("/queue/logs", "scripted/b"));
    assert_false(has_place("/journal/j", "logs/out"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_start_that_fails_leaves_no_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_that_was_there_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_taken_in_is_kept, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
