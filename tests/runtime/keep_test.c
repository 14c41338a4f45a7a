/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline behind a journal keeps, in whole gateways: a stop, and pipelines that go and come back. */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness_logs.h"

#define MS 1000000ull
#define S  1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

#define IN                                                                                                             \
    "receivers: { scripted: }\n"                                                                                       \
    "processors:\n"                                                                                                    \
    "  tail_sampling: { decision_wait: 1s, policies: [ { name: all, type: always_sample } ] }\n"                       \
    "  tail_sampling/b: { decision_wait: 1s, policies: [ { name: all, type: always_sample } ] }\n"                     \
    "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"                                          \
    "connectors: { journal/j: { storage: file_storage, partition_by: trace_id } }\n"                                   \
    "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"                             \
    "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
#define OUT "    traces/out: { receivers: [journal/j], processors: [tail_sampling], exporters: [scripted] }\n"

static struct gw_test_engine t;

/* One span, whose trace is its own. */
static void send(uint64_t name)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, name, 1, name);
}

static unsigned seen[16]; /* at the sink, by name */

static void pass(uint64_t ns)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    uint64_t names[64], from = gw_mono_ns(&t.te.env);

    while (gw_mono_ns(&t.te.env) < from + ns) {
        gw_test_logs_turn(&t, 2, 5 * MS);
        while (s->n_waiting) {
            unsigned n = gw_test_names(GW_TRACES, s->waiting[0]->body, names, 64);

            for (unsigned i = 0; i < n; i++)
                seen[names[i]]++;
            (void)gw_test_sink_answer(s, &OK);
        }
    }
}

static int try_reload(const char *yaml, struct gw_err *err)
{
    char text[4000];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml);
    return gw_test_engine_reload(&t, text, err);
}

static void reload(const char *yaml)
{
    struct gw_err err = {""};

    if (try_reload(yaml, &err) < 0)
        fail_msg("%s", err.text);
}

/* Within a second of its time. */
static void stop(void)
{
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    pass(S);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_true(gw_engine_is_drained(t.engine));
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* A trace was kept, a late span of it has followed and is not committed, and another trace waits. */
static void set_up(void)
{
    memset(seen, 0, sizeof(seen));
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, IN OUT, 1);
    send(5);
    pass(3 * S);
    assert_int_equal(seen[5], 1);
    send(5);
    send(7);
    pass(20 * MS);
    assert_int_equal(seen[5], 1);
}

/*
 * Scenario    a trace was kept; a late span of it follows, and before it is committed the gateway stops; another trace
 *             waits
 * Guarantees  the gateway waits for neither; the next one has both, once
 */
static void a_stop_waits_for_no_commit(void **state)
{
    (void)state;
    set_up();
    stop();
    gw_test_logs_engine(&t, IN OUT, 1);
    pass(2 * S);
    assert_int_equal(seen[5], 2);
    assert_int_equal(seen[7], 1);
    stop();
    gw_test_logs_end();
}

/*
 * Scenario    with a trace that waits, and a late span that is not committed, the pipeline leaves with a reload, and
 * comes back with another one Guarantees  what waited waits again, and the late span comes, once
 */
static void a_pipeline_goes_and_comes_back(void **state)
{
    static const char other[] = "    traces/x: { receivers: [scripted], exporters: [scripted] }\n";
    static char without[2000];

    (void)state;
    (void)snprintf(without, sizeof(without), "%s%s", IN, other);
    set_up();
    reload(without);
    pass(3 * S);
    assert_int_equal(seen[5], 1);
    assert_int_equal(seen[7], 0);
    reload(IN OUT);
    pass(3 * S);
    assert_int_equal(seen[5], 2);
    assert_int_equal(seen[7], 1);
    stop();
    gw_test_logs_end();
}

/*
 * Scenario    a reload takes the queue on disk away, or has another processor in the place of the one that keeps
 * Guarantees  it is refused, says why, and all goes on
 */
static void what_a_reload_cannot_change(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"{ storage: file_storage } } }\nconn", "{ queue_size: 1000 } } }\nconn",
         "not all exporters have a sending_queue"},
        {"processors: [tail_sampling]", "processors: [tail_sampling/b]", "another processor"},
        {"partition_by: trace_id", "partition_by: service", "partition_by"},
    };
    char text[3000];

    (void)state;
    memset(seen, 0, sizeof(seen));
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, IN OUT, 1);
    send(7);
    pass(20 * MS);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = strstr(IN OUT, cases[i].from);
        struct gw_err err = {""};

        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - (IN OUT)), IN OUT, cases[i].to,
                       at + strlen(cases[i].from));
        assert_true(try_reload(text, &err) < 0);
        if (!strstr(err.text, cases[i].why))
            fail_msg("%s", err.text);
    }
    pass(3 * S);
    assert_int_equal(seen[7], 1);
    stop();
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_waits_for_no_commit),
        cmocka_unit_test(a_pipeline_goes_and_comes_back),
        cmocka_unit_test(what_a_reload_cannot_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
