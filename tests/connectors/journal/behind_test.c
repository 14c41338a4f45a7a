/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines come and go behind a journal while it runs. */
#include <stdio.h>
#include <string.h>

#include "tests/harness.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};
static struct gw_test_engine t;

/* ---- a receiver that cannot be opened: a configuration with it is not taken ----------------------------------- */

static int create_shut(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    *ret = NULL;
    return 0;
}

static int open_shut(void *self, struct gw_loop *loop, struct gw_intake *in, void **ret, struct gw_err *err)
{
    (void)self;
    (void)loop;
    (void)in;
    (void)ret;
    return gw_fail(err, -EADDRNOTAVAIL, "shut");
}

static const struct gw_field no_fields[] = {{0}};
static const struct gw_component shut = {.kind = GW_RECEIVER,
                                         .name = "shut",
                                         .summary = "Cannot be opened.",
                                         .signals = GW_ALL_SIGNALS,
                                         .fields = no_fields,
                                         .conf_size = 1,
                                         .create = create_shut,
                                         .open = open_shut};

/* ---- the gateway ---------------------------------------------------------------------------------------------- */

#define A    "    logs/a: { receivers: [journal/j], exporters: [scripted/a] }\n"
#define B    "    logs/b: { receivers: [journal/j], exporters: [scripted/b] }\n"
#define M    "    logs/m: { receivers: [journal/j], exporters: [scripted/m] }\n" /* a queue in memory */
#define SHUT "    logs/shut: { receivers: [shut], exporters: [scripted/a] }\n"

static const char *settings = ""; /* of the journal */

/* `behind`: of the pipelines; the storage's folder is said by whoever opens it. */
static const char *yaml(const char *behind)
{
    static char text[2000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: , shut: }\n"
                   "exporters:\n"
                   "  scripted/a: { sending_queue: { wait_for_result: true, queue_size: 100 } }\n"
                   "  scripted/b: { sending_queue: { wait_for_result: true, queue_size: 100 } }\n"
                   "  scripted/m: { sending_queue: { queue_size: 100, num_consumers: 3 } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: tenant%s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n%s",
                   settings, behind);
    return text;
}

static int try_reload(const char *body, struct gw_err *err)
{
    char text[2200];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), body);
    *err = (struct gw_err){""};
    return gw_test_engine_reload(&t, text, err);
}

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, 6000000); /* above what a share that leaves is looked at */
}

static void reload(const char *behind)
{
    struct gw_err err;

    if (try_reload(yaml(behind), &err) < 0)
        fail_msg("%s", err.text);
    turn(2);
}

static void begin(const char *more, const char *behind, unsigned n_workers)
{
    gw_test_own_components[0] = &shut;
    settings = more;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, yaml(behind), n_workers);
}

static void end(void)
{
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
    gw_test_own_components[0] = NULL;
}

static void send(uint64_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, first + i, 1, (uint32_t)(first + i));
        turn(4);
    }
}

static struct gw_test_sink *sink(const char *exporter)
{
    return gw_test_engine_sink(&t, exporter);
}

/* All that the sink has and gets: rows first, first + 1, … of which the last one is last. */
static void gets(const char *exporter, uint64_t first, uint64_t last)
{
    uint64_t names[64], next = first;

    for (unsigned i = 0; i < 60; i++, turn(2))
        while (sink(exporter)->n_waiting) {
            unsigned n = gw_test_names(GW_LOGS, sink(exporter)->waiting[0]->body, names, 64);

            for (unsigned k = 0; k < n; k++)
                assert_int_equal(names[k], next++);
            assert_true(gw_test_sink_answer(sink(exporter), &OK));
            turn(4);
        }
    assert_int_equal(next, last + 1);
}

static void gets_nothing(const char *exporter)
{
    turn(60);
    assert_int_equal(sink(exporter)->n_waiting, 0);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

struct find {
    const char *name;
    struct gw_log_consumer c;
    bool found;
};

static void see(void *arg, const struct gw_log_consumer *c)
{
    struct find *f = arg;

    if (strcmp(c->name, f->name) == 0) {
        f->c = *c;
        f->found = true;
    }
}

static struct find consumer(const char *name)
{
    struct find f = {.name = name};

    (void)gw_log_consumers(gw_test_log("journal/j"), see, &f);
    return f;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

/*
 * Scenario    five rows are stored and read by one pipeline; a reload adds another one, with start: earliest or latest;
 *             more come in; on one worker and on three
 * Guarantees  earliest: it gets the five and the others; latest: only the others. The one that was there gets each
 *             once, in order
 */
static void a_pipeline_is_added(void **state)
{
    (void)state;
    for (unsigned latest = 0; latest < 2; latest++)
        for (unsigned workers = 1; workers < 4; workers += 2) {
            begin(latest ? ", start: latest" : "", A, workers);
            send(0, 5);
            assert_int_equal(sink("scripted/a")->n_waiting, 1);
            reload(A B);
            send(5, 3);
            gets("scripted/a", 0, 7);
            gets("scripted/b", latest ? 5 : 0, 7);
            assert_int_equal(gw_engine_n_leaving(t.engine), 0);
            end();
        }
}

/*
 * Scenario    the second of two pipelines is taken out while its sink has not answered for the first of five rows;
 *             then it answers; later the pipeline is there again, and, once more, after a start
 * Guarantees  what is under way is waited for, and nothing more is handed to it; its position stays: it goes on with
 *             the second row. The log knows that nobody reads for it, and the operator is told
 */
static void a_pipeline_is_taken_out_and_put_back(void **state)
{
    struct gw_test_sink *b;

    (void)state;
    begin("", A B, 1);
    send(0, 5);
    b = sink("scripted/b");
    assert_int_equal(b->n_waiting, 1);
    reload(A);
    turn(60);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    assert_true(consumer("logs/b").c.is_open);
    gets("scripted/a", 0, 4); /* the other one goes on */
    assert_true(gw_test_sink_answer(b, &OK));
    gets_nothing("scripted/a");
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_true(consumer("logs/b").found && !consumer("logs/b").c.is_open && consumer("logs/a").c.is_open);
    assert_true(gw_test_env_logged(&t.te, "pipeline \"logs/b\" does not read this journal any more; its position is"));
    send(5, 2);
    reload(A B);
    gets("scripted/b", 1, 6);
    gets("scripted/a", 5, 6);
    assert_true(consumer("logs/b").c.is_open);
    reload(A);
    turn(60);
    (void)gw_test_engine_close(&t);
    gw_test_logs_engine(&t, yaml(A B), 2);
    send(7, 1);
    gets("scripted/b", 7, 7);
    end();
}

/*
 * Scenario    a pipeline is taken out, and put back before its sink has answered; on workers of which some have nothing
 *             of it under way
 * Guarantees  it goes on as if nothing had been: each row once, in order
 */
static void a_pipeline_that_leaves_is_wanted_again(void **state)
{
    struct gw_test_sink *b; /* of the first configuration: it has the first row */

    (void)state;
    for (unsigned workers = 1; workers < 4; workers++) {
        begin("", A B, workers);
        send(0, 5);
        b = sink("scripted/b");
        assert_int_equal(b->n_waiting, 1);
        reload(A);
        turn(60);
        send(5, 1);
        reload(A B);
        gets_nothing("scripted/b"); /* in order */
        assert_true(gw_test_sink_answer(b, &OK));
        gets("scripted/b", 1, 5);
        gets("scripted/a", 0, 5);
        assert_int_equal(gw_engine_n_leaving(t.engine), 0);
        end();
    }
}

/*
 * Scenario    a reload that adds a pipeline fails when a receiver is opened, after the pipeline's place was made; then
 *             with one that had read the journal before; then it succeeds
 * Guarantees  the new one leaves no consumer; the other one's stays and is not open, and nothing was handed to either;
 *             later it begins where it was
 */
static void a_reload_that_fails_leaves_no_consumer(void **state)
{
    struct gw_err err;

    (void)state;
    begin("", A, 2);
    send(0, 3);
    gets("scripted/a", 0, 2);
    assert_int_equal(try_reload(yaml(A B SHUT), &err), -EADDRNOTAVAIL);
    gets_nothing("scripted/a");
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_false(consumer("logs/b").found);
    reload(A B);
    gets("scripted/b", 0, 2);
    reload(A);
    send(3, 2);
    gets("scripted/a", 3, 4);
    assert_int_equal(try_reload(yaml(A B SHUT), &err), -EADDRNOTAVAIL);
    turn(60);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_true(consumer("logs/b").found && !consumer("logs/b").c.is_open);
    reload(A B);
    gets("scripted/b", 3, 4);
    gets_nothing("scripted/a");
    end();
}

/*
 * Scenario    a journal that keeps what is unread, three rows of which the one pipeline has done the first; it is taken
 *             out, for another one or for none; the rows are older than they may be
 * Guarantees  only a pipeline that is there keeps rows: they go when the other one has read them; when none is, all
 * that ever read do, and the first one goes on with the second row
 */
static void who_is_taken_out_keeps_nothing_back(void **state)
{
    struct gw_log_stats st;
    struct gw_test_sink *a;

    (void)state;
    for (unsigned other = 0; other < 2; other++) {
        begin(", retention: { max_age: 1m, keep_unread: true }", A, 1);
        send(0, 3);
        a = sink("scripted/a");
        assert_int_equal(a->n_waiting, 1);
        reload(other ? B : "");
        assert_true(gw_test_sink_answer(a, &OK)); /* the first of three */
        turn(60);
        assert_int_equal(gw_engine_n_leaving(t.engine), 0);
        if (other)
            gets("scripted/b", 0, 2);
        gw_test_logs_turn(&t, 4, 61 * S);
        gw_test_logs_turn(&t, 4, 61 * S);
        gw_log_stats(gw_test_log("journal/j"), &st);
        assert_int_equal(st.first_seq, other ? 3 : 1);
        if (!other) {
            reload(A);
            gets("scripted/a", 1, 2);
        }
        end();
    }
}

/*
 * Scenario    three rows in a queue in memory behind (or eight, or before an exporter that waits for its sink, which
 *             says "later"), whose sink is away for good: attempts fail until the breaker is open; the pipeline is
 *             taken out, and the others go on; later it is put back, with a sink that answers
 * Guarantees  nothing waits for the sink: the rows go back to the journal, the configuration leaves, and the consumer
 *             can be released. All three come again
 */
static void a_pipeline_whose_sink_is_away_goes(void **state)
{
    static const struct gw_sent_info away[] = {
        {.sent = GW_SENT_RETRY, .reason = "refused", .sign = GW_SIGN_AWAY},
        {.sent = GW_SENT_RETRY, .reason = "refused", .sign = GW_SIGN_AWAY},
        {.sent = GW_SENT_RETRY, .reason = "busy", .sign = GW_SIGN_BUSY, .retry_after_ns = S},
    };
    struct gw_test_sink *b;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const char *both = i == 2 ? A B : A M, *id = i == 2 ? "scripted/b" : "scripted/m";
        unsigned n = i == 1 ? 8 : 3; /* several at the gate */

        begin("", both, 1);
        send(0, n);
        b = sink(id);
        while (b->n_waiting)
            assert_true(gw_test_sink_answer(b, &away[i]));
        turn(2);
        reload(A);
        for (unsigned k = 0; k < 40 && gw_engine_n_leaving(t.engine); k++) {
            gw_test_logs_turn(&t, 2, S / 2);
            while (gw_engine_n_leaving(t.engine) && b->n_waiting) /* once more, because there is an end in sight */
                assert_true(gw_test_sink_answer(b, &away[i]));
            turn(4);
        }
        assert_int_equal(gw_engine_n_leaving(t.engine), 0);
        assert_false(consumer(i == 2 ? "logs/b" : "logs/m").c.is_open);
        reload(both);
        gets(id, 0, n - 1);
        gets("scripted/a", 0, n - 1);
        end();
    }
}

/*
 * Scenario    the journal is taken out of the configuration while rows of it are under way, and put back at once
 * Guarantees  that is refused, with the reason, until they are through: two would read from one place. Then it goes on
 */
static void a_journal_that_leaves_is_waited_for(void **state)
{
    struct gw_test_sink *a;
    char without[1000];
    struct gw_err err;

    (void)state;
    begin("", A, 1);
    send(0, 2);
    a = sink("scripted/a");
    (void)snprintf(without, sizeof(without),
                   "receivers: { scripted: }\n"
                   "exporters:\n"
                   "  scripted/a: { sending_queue: { wait_for_result: true, queue_size: 100 } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [scripted/a] }\n");
    assert_int_equal(try_reload(without, &err), 0);
    turn(20);
    assert_int_equal(try_reload(yaml(A), &err), -EBUSY);
    assert_string_equal(err.text, "connector journal/j: rows of its earlier configuration are still under way");
    assert_true(gw_test_sink_answer(a, &OK));
    turn(60);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    reload(A);
    gets("scripted/a", 1, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_added),
        cmocka_unit_test(a_pipeline_is_taken_out_and_put_back),
        cmocka_unit_test(a_pipeline_that_leaves_is_wanted_again),
        cmocka_unit_test(a_reload_that_fails_leaves_no_consumer),
        cmocka_unit_test(who_is_taken_out_keeps_nothing_back),
        cmocka_unit_test(a_pipeline_whose_sink_is_away_goes),
        cmocka_unit_test(a_journal_that_leaves_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
