/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling with mode: two_pass in whole gateways: where it can be, a stop, a reload, and what retention takes. */
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
    "  groupbytrace: { wait_duration: 1s }\n"                                                                          \
    "  tail_sampling: { mode: two_pass, decision_wait: 1s, policies: [ { name: all, type: always_sample } ] }\n"       \
    "exporters: { scripted: { sending_queue: { storage: file_storage } } }\n"                                          \
    "connectors: { journal/j: { storage: file_storage, partition_by: trace_id } }\n"                                   \
    "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"                             \
    "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
#define OUT "    traces/out: { receivers: [journal/j], processors: [tail_sampling], exporters: [scripted] }\n"

static struct gw_test_engine t;
static unsigned seen[64]; /* at the sink, by name */

/* One span, whose trace is its own. */
static void send(uint64_t name)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, name, 1, name);
}

static void pass(uint64_t ns)
{
    struct gw_test_sink *s = gw_test_engine_sink(&t, "scripted");
    uint64_t names[64], from = gw_mono_ns(&t.te.env);

    while (gw_mono_ns(&t.te.env) < from + ns) {
        gw_test_logs_turn(&t, 2, 5 * MS);
        while (s->n_waiting) {
            unsigned n = gw_test_names(GW_TRACES, s->waiting[0]->body, names, 64);

            for (unsigned i = 0; i < n; i++)
                seen[names[i] % 64]++;
            (void)gw_test_sink_answer(s, &OK);
        }
    }
}

static void begin(const char *yaml, unsigned n_workers)
{
    memset(seen, 0, sizeof(seen));
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, yaml, n_workers);
}

static void stop(void)
{
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    pass(S);
    assert_true(gw_engine_is_quiet(t.engine));
    assert_true(gw_engine_is_drained(t.engine));
    assert_int_equal(gw_test_engine_close(&t), 0);
}

/* The same text with something else at one place. */
static const char *with(const char *from, const char *to)
{
    static char text[4000];
    const char *at = strstr(IN OUT, from);

    assert_non_null(at);
    (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - (IN OUT)), IN OUT, to, at + strlen(from));
    return text;
}

static const char *stored(const char *yaml)
{
    static char text[5000];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml);
    return text;
}

/*
 * Scenario    pipelines that cannot carry it: no journal, one of another key, one that forgets too soon, another
 *             receiver, a queue in memory, a processor that keeps rows, durability memory
 * Guarantees  a configuration error at the line and column of `mode`, which says what to change
 */
static void where_it_cannot_be(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"receivers: [journal/j]", "receivers: [scripted]", "its receiver does not keep them"},
        {"receivers: [journal/j]", "receivers: [journal/j, scripted]", "it has several receivers"},
        {"partition_by: trace_id", "partition_by: service", "journal/j does not keep traces together"},
        {"trace_id } }", "trace_id, retention: { max_age: 10s } } }", "keeps them for 10 s only (retention::max_age)"},
        {"{ storage: file_storage } } }\nconn", "{ queue_size: 9 } } }\nconn",
         "what leaves scripted must be written with its place: give it a sending_queue with a storage"},
        {"[tail_sampling]", "[groupbytrace, tail_sampling]", "processor groupbytrace keeps rows in memory"},
        {"exporters: [scripted] }", "exporters: [scripted], durability: memory }", "its durability is memory"},
    };

    (void)state;
    gw_test_logs_begin(1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_err err = {""};

        assert_true(gw_test_engine_try(&t, stored(with(cases[i].from, cases[i].to)), 1, false, &err) < 0);
        if (!strstr(err.text, cases[i].why) ||
            !strstr(err.text,
                    "test.yaml:5:26: error: processors::tail_sampling::mode: two_pass has pipeline traces/out "
                    "read its rows twice"))
            fail_msg("%s: %s", cases[i].why, err.text);
    }
    gw_test_logs_end();
}

/*
 * Scenario    traces come, are decided, and leave; one waits while the gateway stops; late spans; two workers, then one
 * Guarantees  each span leaves once; nothing is held; the lag of the second pass is told
 */
static void a_gateway_reads_twice(void **state)
{
    struct gw_label l[] = {{"pipeline", "traces/out"}, {"worker", "0"}};

    (void)state;
    begin(IN OUT, 2);
    for (uint64_t i = 1; i < 9; i++)
        send(i);
    pass(500 * MS);
    for (unsigned i = 1; i < 9; i++)
        assert_int_equal(seen[i], 0);
    pass(1500 * MS);
    for (unsigned i = 1; i < 9; i++)
        assert_int_equal(seen[i], 1);
    send(9);
    send(3);
    pass(100 * MS);
    stop();

    gw_test_logs_engine(&t, IN OUT, 1);
    pass(3 * S);
    for (unsigned i = 1; i < 10; i++)
        assert_int_equal(seen[i], i == 3 ? 2 : 1);
    send(10);
    for (unsigned i = 0; i < 9; i++) { /* time goes on with what comes */
        pass(100 * MS);
        send(20 + i);
    }
    pass(3 * S);
    assert_int_equal(seen[10], 1);
    assert_true(gw_test_engine_metric(&t, "staunch_keep_second_pass_lag_seconds", l, 2) <= 1);
    stop();
    gw_test_logs_end();
}

/*
 * Scenario    with a trace that waits: reloads that change a setting, the mode, nothing of it
 * Guarantees  the first two are refused with a reason, and all goes on; so does it after the third
 */
static void what_a_reload_may_change(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {{"decision_wait: 1s, pol", "decision_wait: 2s, pol"}, {"mode: two_pass", "mode: buffered"}};
    struct gw_err err = {""};

    (void)state;
    begin(IN OUT, 1);
    send(7);
    pass(50 * MS);
    for (unsigned i = 0; i < 2; i++) {
        err.text[0] = 0;
        assert_true(gw_test_engine_reload(&t, stored(with(cases[i].from, cases[i].to)), &err) < 0);
        if (!strstr(err.text, "only a restart can change that: it has other settings"))
            fail_msg("%s", err.text);
    }
    if (gw_test_engine_reload(&t, stored(with("wait_duration: 1s", "wait_duration: 2s")), &err) < 0)
        fail_msg("%s", err.text);
    pass(3 * S);
    assert_int_equal(seen[7], 1);
    stop();
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(where_it_cannot_be), cmocka_unit_test(a_gateway_reads_twice),
                                       cmocka_unit_test(what_a_reload_may_change)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
