/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's OK means: levels that are asked for, levels that cannot be met, and what survives each end. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static char dir[256];

/* A gateway with two exporters on disk (sending_queue.storage) and one in memory; `fsync` of the storage, and the
 * pipeline's own line. */
static const char *yaml(const char *fsync, const char *durability, const char *exporters)
{
    static char text[2048];

    (void)snprintf(
        text, sizeof(text),
        "extensions: { file_storage: { directory: %s, fsync: %s } }\n"
        "receivers: { scripted: }\n"
        "processors: { attributes: { actions: [ { key: k, value: v, action: insert } ] } }\n"
        "connectors: { forward: , journal/j: { storage: file_storage } }\n"
        "exporters:\n"
        "  scripted/disk: { sending_queue: { storage: file_storage } }\n"
        "  scripted/too: { sending_queue: { storage: file_storage } }\n"
        "  scripted/memory: { sending_queue: {} }\n"
        "  scripted/waits: { sending_queue: { wait_for_result: true } }\n"
        "  nop:\n"
        "service:\n"
        "  extensions: [file_storage]\n"
        "  pipelines:\n"
        "    logs:\n"
        "      receivers: [scripted]\n"
        "      exporters: [%s]\n%s%s%s",
        dir, fsync, exporters, *durability ? "      durability: " : "", durability,
        strstr(exporters, "forward") ? "\n    logs/2: { receivers: [forward], exporters: [scripted/memory] }\n" : "\n");
    return text;
}

/* The same with a pipeline behind the journal. */
static const char *behind(const char *durability, const char *exporters)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text), "%s    logs/3: { receivers: [journal/j], exporters: [%s]%s%s }\n",
                   yaml("false", "", "journal/j"), exporters, *durability ? ", durability: " : "", durability);
    return text;
}

static void set_up_dir(void)
{
    gw_test_logs_begin(11);
    (void)snprintf(dir, sizeof(dir), "%s", gw_test_logs_dir());
}

static void tear_down_dir(void)
{
    gw_test_logs_end();
}

static void is_refused(const char *text, const char *why)
{
    struct gw_test_engine t;
    struct gw_err err = {""};

    assert_true(gw_test_engine_try(&t, text, 1, false, &err) < 0);
    if (!strstr(err.text, why))
        fail_msg("%s: said: %s", why, err.text);
}

static void refused(const char *durability, const char *exporters, const char *why)
{
    is_refused(yaml("false", durability, exporters), why);
}

/*
 * Scenario    durability page_cache, fsync and sink before exporters that cannot: in memory, on disk, behind a forward
 *             connector; a word that is none; a list
 * Guarantees  a configuration error at the key's line and column, which names the exporter and what to change
 */
static void a_level_that_cannot_be_met_is_refused(void **state)
{
    (void)state;
    set_up_dir();
    refused("fsync", "scripted/disk, scripted/memory",
            "test.yaml:17:19: error: service::pipelines::logs::durability: fsync cannot be met: exporter "
            "\"scripted/memory\": its queue is in memory: set its sending_queue::storage");
    refused("page_cache", "forward", "page_cache cannot be met: exporter \"scripted/memory\"");
    refused("sink", "scripted/disk", "take its sending_queue::storage out");
    refused("sink", "scripted/memory", "set sending_queue::wait_for_result");
    refused("fsnyc", "scripted/disk", "unknown level \"fsnyc\"; did you mean \"fsync\"?");
    refused("[fsync]", "scripted/disk", "must be memory, page_cache, fsync or sink");
    tear_down_dir();
}

static void says(const char *text, const char *line)
{
    struct gw_test_engine t;
    struct gw_buf out;

    gw_test_engine_open(&t, text, 1, false);
    gw_buf_init(&out, 65536);
    gw_engine_describe(t.engine, &out);
    gw_buf_put_u8(&out, 0);
    if (!strstr((const char *)out.p, line))
        fail_msg("%s: said: %s", line, out.p);
    gw_buf_clear(&out);
    assert_int_equal(gw_test_engine_close(&t), 0);
}

static void described(const char *fsync, const char *durability, const char *exporters, const char *line)
{
    says(yaml(fsync, durability, exporters), line);
}

/* A processor that keeps rows, in three places: before exporters, behind a journal, behind a forward connector. */
static const char *keeping(const char *processor, const char *traces, const char *in, const char *out)
{
    static char text[2048];

    (void)snprintf(
        text, sizeof(text),
        "extensions: { file_storage: { directory: %s, fsync: true } }\n"
        "receivers: { scripted: , scripted/b: }\n"
        "connectors: { forward: , journal/j: { storage: file_storage } }\n"
        "processors:\n  groupbytrace: { wait_duration: 1s }\n"
        "  tail_sampling: { decision_wait: 1s, policies: [ { name: all, type: always_sample } ] }\n"
        "exporters:\n  scripted/disk: { sending_queue: { storage: file_storage } }\n"
        "  scripted/waits: { sending_queue: { wait_for_result: true } }\n"
        "service:\n  extensions: [file_storage]\n  pipelines:\n"
        "    traces: { receivers: [scripted], processors: [%s], exporters: [scripted/disk, scripted/waits]%s }\n"
        "    traces/in: { receivers: [scripted/b], exporters: [journal/j, forward]%s }\n"
        "    traces/out: { receivers: [journal/j], processors: [%s], exporters: [scripted/disk]%s }\n"
        "    traces/next: { receivers: [forward], processors: [%s], exporters: [scripted/disk] }\n",
        dir, processor, traces, in, processor, out, processor);
    return text;
}

static void answer_all(void *arg)
{
    while (gw_test_sink_answer(gw_test_engine_sink(arg, "scripted/waits"), &OK))
        ;
    while (gw_test_sink_answer(gw_test_engine_sink(arg, "scripted/disk"), &OK))
        ;
}

/*
 * Scenario    groupbytrace and tail_sampling where a level is asked for that needs more than memory; where none is;
 *             and a request, whose sink never answers
 * Guarantees  what they cannot promise is refused with what to change; OK means memory, and is said when they have it
 */
static void a_processor_that_keeps_rows_answers_from_memory(void **state)
{
    static const char *const processors[] = {"groupbytrace", "tail_sampling"};
    static const char fsync[] = ", durability: fsync";

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct gw_test_engine t;
        char why[200];

        set_up_dir();
        (void)snprintf(why, sizeof(why),
                       "::durability: fsync cannot be met: processor \"%s\" keeps rows in memory; put a journal "
                       "connector before it, or ask for memory",
                       processors[i]);
        is_refused(keeping(processors[i], fsync, "", ""), why);
        is_refused(keeping(processors[i], "", fsync, ""), why); /* behind forward */
        is_refused(keeping(processors[i], "", "", fsync), "keeps rows in memory; ask for memory");
        says(keeping(processors[i], "", "", ""), "traces -> scripted/disk: OK means in memory (lost with the process)");
        says(keeping(processors[i], "", "", ""),
             "traces -> scripted/waits: OK means in memory (lost with the process)");
        says(keeping(processors[i], "", "", ""), "rows of journal/j are done when they are in memory");
        says(keeping(processors[i], ", durability: memory", "", ""), "traces -> scripted/disk: OK means in memory");
        gw_test_engine_open(&t, keeping(processors[i], "", "", ""), 1, false);
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 0, 5, 0);
        gw_test_engine_turn(&t, 2, 0);
        assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 1);
        assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->verdicts[0].v.grpc_status, 0);
        assert_int_equal(gw_test_engine_sink(&t, "scripted/waits")->n_sends, 0);
        gw_test_engine_drain(&t, &(uint64_t){1}, answer_all, &t);
        (void)gw_test_engine_close(&t);
        tear_down_dir();
    }
}

/*
 * Scenario    the same exporters with and without `durability`, and with the storage's fsync
 * Guarantees  the matrix says what each edge does; without the key it is the highest that the edge can
 */
static void the_matrix_says_what_ok_means(void **state)
{
    (void)state;
    set_up_dir();
    described("false", "", "scripted/disk", "logs -> scripted/disk: OK means on disk, in the page cache");
    described("true", "", "scripted/disk", "logs -> scripted/disk: OK means on disk, synced");
    described("true", "page_cache", "scripted/disk", "OK means on disk, in the page cache");
    described("false", "fsync", "scripted/disk", "OK means on disk, synced");
    described("false", "memory", "scripted/disk", "OK means in memory");
    described("false", "sink", "scripted/waits, nop", "logs -> scripted/waits: OK means the sink has it");
    described("false", "", "scripted/memory", "logs -> scripted/memory: OK means in memory");
    tear_down_dir();
}

/*
 * Scenario    durability fsync and sink before a journal whose storage does not sync, and with one that does; behind
 *             a journal: page_cache with a queue in memory, sink with one on disk
 * Guarantees  what the journal cannot keep is refused with what to change; behind it a queue in memory keeps every
 *             level but `memory` that is asked for, because rows stay in the log until the sink has them; the matrix
 *             and the metrics say both
 */
static void a_journal_is_part_of_the_matrix(void **state)
{
    struct gw_test_engine t;
    const struct gw_label in[] = {{"pipeline", "logs"}, {"exporter", "journal/j"}, {"level", "page_cache"}},
                          out[] = {{"pipeline", "logs/3"}, {"exporter", "scripted/memory"}, {"level", "sink"}};

    (void)state;
    set_up_dir();
    refused("fsync", "journal/j",
            "test.yaml:17:19: error: service::pipelines::logs::durability: fsync cannot be met: connector "
            "\"journal/j\" stores in the page cache: set extensions::file_storage::fsync: true, or ask for page_cache");
    refused("sink", "journal/j", "ask for fsync or page_cache");
    described("true", "fsync", "journal/j", "logs -> journal/j: OK means on disk, synced");
    described("false", "page_cache", "journal/j", "logs -> journal/j: OK means on disk, in the page cache");
    says(behind("", "scripted/memory"), "logs/3 -> scripted/memory: rows of journal/j are done when the sink has them");
    says(behind("fsync", "scripted/memory"), "rows of journal/j are done when the sink has them");
    says(behind("memory", "scripted/memory"), "rows of journal/j are done when they are in memory (lost");
    says(behind("fsync", "scripted/disk"), "rows of journal/j are done when they are on disk, synced");
    is_refused(behind("sink", "scripted/disk"), "take its sending_queue::storage out");
    gw_test_engine_open(&t, behind("", "scripted/memory"), 1, false);
    assert_int_equal(gw_meter_get(t.meter, GW_GAUGE, "staunch_edge_durability", "", in, 3)->value, 1);
    assert_int_equal(gw_meter_get(t.meter, GW_GAUGE, "staunch_edge_durability", "", out, 3)->value, 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
    tear_down_dir();
}

/*
 * Scenario    sending_queue.storage: a request before its log has it, after, and after a kill -9 with two exporters on
 * disk, one of which has answered Guarantees  OK comes with the log's answer; one log is written once for both; the
 * other exporter gets it again
 */
static void what_was_acknowledged_survives_the_process(void **state)
{
    struct gw_log_stats st;
    struct gw_test_engine t;
    struct gw_test_door *d;
    uint64_t names[8];

    (void)state;
    set_up_dir();
    gw_test_engine_open(&t, yaml("false", "", "scripted/disk, scripted/too"), 1, false);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_engine_send(d, GW_LOGS, 500, 4, 1);
    assert_int_equal(d->n_verdicts, 0);
    gw_test_engine_turn(&t, 1, 0);
    assert_int_equal(d->n_verdicts, 0); /* the worker turned before the writer */
    gw_test_engine_turn(&t, 1, 0);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    gw_log_stats(gw_test_log("/queue/logs"), &st);
    assert_int_equal(st.end_row, 4);
    assert_int_equal(gw_test_engine_sink(&t, "scripted/disk")->n_waiting, 1);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/disk"), &OK);
    gw_test_engine_turn(&t, 2, 0);
    gw_test_logs_crash(&t, false);
    gw_test_engine_open(&t, yaml("false", "", "scripted/disk, scripted/too"), 1, false);
    gw_test_engine_turn(&t, 4, S);
    assert_int_equal(gw_test_engine_sink(&t, "scripted/disk")->n_waiting, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted/too")->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, gw_test_engine_sink(&t, "scripted/too")->waiting[0]->body, names, 8), 4);
    assert_int_equal(names[3], 503);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/too"), &OK);
    assert_int_equal(gw_test_engine_close(&t), 0);
    tear_down_dir();
}

/*
 * Scenario    an exporter on disk is taken out of the pipeline while rows wait for it; then the pipeline gets another
 *             name
 * Guarantees  both are named at start, with what to do about it; the rows of the other exporter are not held up
 */
static void orphans_are_named_at_start(void **state)
{
    struct gw_test_engine t;

    (void)state;
    set_up_dir();
    gw_test_engine_open(&t, yaml("false", "", "scripted/disk, scripted/too"), 1, false);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, 500, 4, 1);
    gw_test_engine_turn(&t, 3, 0);
    gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/disk"), &OK);
    gw_test_engine_turn(&t, 2, 0);
    gw_test_logs_crash(&t, false);
    gw_test_engine_open(&t, yaml("false", "", "scripted/disk"), 1, false);
    assert_true(gw_test_env_logged(&t.te, "queue logs: 4 items wait on disk for \"scripted/too\""));
    assert_true(gw_test_env_logged(&t.te, "staunch queue release logs scripted/too"));
    assert_int_equal(gw_test_engine_sink(&t, "scripted/disk")->n_waiting, 0);
    assert_int_equal(gw_test_engine_close(&t), 0);
    tear_down_dir();
}

/*
 * Scenario    page_cache before one exporter on disk and one in memory; fsync and a power cut; memory and a crash
 *             before the log was written
 * Guarantees  each level keeps what it says, and no more
 */
static void levels_differ_in_what_they_survive(void **state)
{
    static const struct {
        const char *durability;
        bool power_cut, early;
        unsigned turns, survives;
    } cases[] = {
        {"page_cache", false, false, 2, 1},
        {"fsync", true, false, 2, 1},
        {"memory", false, true, 0, 0},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_test_engine t;
        struct gw_test_door *d;

        set_up_dir();
        gw_test_engine_open(&t, yaml("false", cases[i].durability, "scripted/disk"), 1, false);
        d = gw_test_engine_door(&t, "scripted", 0);
        gw_test_engine_send(d, GW_LOGS, 500, 4, 1);
        if (cases[i].early) { /* the batch leaves, and is promised, before the writer has had its turn */
            gw_loop_turn(gw_engine_worker_loop(t.engine, 0), 0);
            assert_int_equal(d->n_verdicts, 1);
        }
        gw_test_engine_turn(&t, cases[i].turns, 0);
        assert_int_equal(d->n_verdicts, 1);
        gw_test_logs_crash(&t, cases[i].power_cut);
        gw_test_engine_open(&t, yaml("false", cases[i].durability, "scripted/disk"), 1, false);
        gw_test_engine_turn(&t, 4, S);
        assert_int_equal(gw_test_engine_sink(&t, "scripted/disk")->n_waiting, cases[i].survives);
        gw_test_sink_answer(gw_test_engine_sink(&t, "scripted/disk"), &OK);
        assert_int_equal(gw_test_engine_close(&t), 0);
        tear_down_dir();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_that_cannot_be_met_is_refused),
        cmocka_unit_test(the_matrix_says_what_ok_means),
        cmocka_unit_test(what_was_acknowledged_survives_the_process),
        cmocka_unit_test(orphans_are_named_at_start),
        cmocka_unit_test(levels_differ_in_what_they_survive),
        cmocka_unit_test(a_journal_is_part_of_the_matrix),
        cmocka_unit_test(a_processor_that_keeps_rows_answers_from_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
