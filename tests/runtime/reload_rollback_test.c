/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations that are not taken because their last exporter cannot be opened: what they leave in the logs. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"
#include "tests/harness_log.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static void (*meanwhile)(void); /* what happens while the last exporter is opened, in other threads */

/* ---- an exporter that cannot be opened ---------------------------------------------------------------------- */

static int create_shut(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    *ret = NULL;
    return 0;
}

static int open_shut(void *self, struct gw_loop *loop, struct gw_err *err)
{
    (void)self;
    (void)loop;
    if (meanwhile)
        meanwhile();
    return gw_fail(err, -EADDRNOTAVAIL, "shut");
}

static void send_shut(void *self, struct gw_attempt *a)
{
    (void)self;
    (void)a;
    fail_msg("it is not open");
}

static const struct gw_exporter_ops shut_ops = {
    .merge = GW_MERGE_OTLP, .queued = true, .queue_by_default = true, .open = open_shut, .send = send_shut};
static const struct gw_field no_fields[] = {{0}};
static const struct gw_component shut = {.kind = GW_EXPORTER,
                                         .name = "shut",
                                         .summary = "Cannot be opened.",
                                         .signals = GW_ALL_SIGNALS,
                                         .fields = no_fields,
                                         .conf_size = 1,
                                         .create = create_shut,
                                         .exporter = &shut_ops};

/* ---- the gateway -------------------------------------------------------------------------------------------- */

static const char *yaml(const char *exporters)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text),
                   "extensions: { file_storage: { directory: %s } }\n"
                   "receivers: { scripted: }\n"
                   "exporters:\n"
                   "  scripted: { sending_queue: { storage: file_storage } }\n"
                   "  scripted/b: { sending_queue: { storage: file_storage } }\n"
                   "  scripted/c: { sending_queue: { storage: file_storage } }\n"
                   "  shut:\n"
                   "service:\n"
                   "  extensions: [file_storage]\n"
                   "  dead_letters: { to: none }\n"
                   "  pipelines: { logs: { receivers: [scripted], exporters: [%s] } }\n",
                   gw_test_logs_dir(), exporters);
    return text;
}

static struct gw_test_engine t;

static void begin(const char *exporters)
{
    gw_test_own_components[0] = &shut;
    meanwhile = NULL;
    gw_test_logs_begin(3);
    gw_test_engine_open(&t, yaml(exporters), 1, false);
}

static void end(void)
{
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
    gw_test_own_components[0] = NULL;
}

static void send(uint64_t name)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, name, 1, 1);
}

static void is_not_taken(const char *exporters)
{
    struct gw_err err = {""};

    assert_true(gw_test_engine_reload(&t, yaml(exporters), &err) < 0);
    if (!strstr(err.text, "shut"))
        fail_msg("said: %s", err.text);
}

static bool has_place(const char *name)
{
    return gw_test_log_has_consumer(gw_test_log("/queue/logs"), name);
}

/* ---- the tests ---------------------------------------------------------------------------------------------- */

/*
 * Scenario    a configuration with two exporters more is not taken
 * Guarantees  they have no place in the log, which would keep everything from then on; the others are as they were
 */
static void what_was_not_taken_leaves_no_place(void **state)
{
    (void)state;
    begin("scripted");
    is_not_taken("scripted, scripted/b, scripted/c, shut");
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_true(has_place("scripted"));
    assert_false(has_place("scripted/b"));
    assert_false(has_place("scripted/c"));
    send(1);
    gw_test_engine_turn(&t, 4, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
    (void)gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 4, S);
    end();
}

/* A request comes in, and one of the new exporters has delivered it; its note does not get to the log in time. */
static void one_comes_in(void)
{
    send(7);
    gw_engine_turn(t.engine);
    gw_engine_turn(t.engine);
    gw_test_log_faults("/queue/logs")->max_delay_ns = 3600 * S;
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/b"), &OK));
    gw_engine_turn(t.engine);
}

/*
 * Scenario    as above, and while the last exporter is opened a row comes in, which goes to one of the new ones, too
 * Guarantees  the new one is let go when the log is done with what it noted; nothing of it stays
 */
static void what_it_noted_meanwhile_has_an_end(void **state)
{
    (void)state;
    begin("scripted");
    meanwhile = one_comes_in;
    is_not_taken("scripted, scripted/b, shut");
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    gw_test_engine_turn(&t, 4, 0);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    gw_test_log_faults("/queue/logs")->max_delay_ns = 0;
    gw_test_logs_turn(&t, 4, 7200 * S);
    gw_test_logs_turn(&t, 4, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_false(has_place("scripted/b"));
    for (unsigned i = 0; i < 20 && !gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK); i++)
        gw_test_logs_turn(&t, 4, S);
    gw_test_logs_turn(&t, 4, S);
    gw_test_logs_turn(&t, 4, S);
    end();
}

/*
 * Scenario    an earlier process left rows of an exporter that is not configured now; a configuration with it is not
 *             taken, the next one is
 * Guarantees  its place was there before, and stays: it gets its rows
 */
static void a_place_that_was_there_stays(void **state)
{
    struct gw_test_sink *c;
    uint64_t name;

    (void)state;
    begin("scripted, scripted/c");
    send(5);
    gw_test_engine_turn(&t, 4, 0);
    (void)gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK);
    gw_test_engine_turn(&t, 4, S);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_engine_open(&t, yaml("scripted"), 1, false);
    is_not_taken("scripted, scripted/c, shut");
    assert_true(has_place("scripted/c"));
    assert_int_equal(gw_test_engine_reload(&t, yaml("scripted, scripted/c"), &(struct gw_err){""}), 0);
    gw_test_engine_turn(&t, 6, S / 10);
    c = gw_test_engine_sink(&t, "scripted/c");
    assert_int_equal(c->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, c->waiting[0]->body, &name, 1), 1);
    assert_int_equal(name, 5);
    (void)gw_test_sink_answer(c, &OK);
    gw_test_engine_turn(&t, 4, S);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_taken_leaves_no_place),
        cmocka_unit_test(what_it_noted_meanwhile_has_an_end),
        cmocka_unit_test(a_place_that_was_there_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
