/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads with queues on disk: who goes on from where, what is sent twice, and what keeps its place. */
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK}, AWAY = {.sent = GW_SENT_RETRY, .reason = "http_503"};

/* Two exporters on disk, of which the pipeline has those of the list; `disk`: more of the first one's settings. */
static const char *yaml(const char *disk, const char *exporters, const char *more)
{
    static char text[4][2048];
    static unsigned at;
    char *p = text[at++ % 4];

    (void)snprintf(p, sizeof(text[0]),
                   "extensions: { file_storage: { directory: %s } }\n"
                   "receivers: { scripted: }\n"
                   "processors: { keeper: }\n"
                   "exporters:\n"
                   "  scripted: { sending_queue: { storage: file_storage, num_consumers: 2 %s } }\n"
                   "  scripted/b: { sending_queue: { storage: file_storage } }\n"
                   "service:\n"
                   "  extensions: [file_storage]\n"
                   "  dead_letters: { to: none }\n"
                   "  pipelines:\n"
                   "    logs: { receivers: [scripted], exporters: [%s] }\n%s",
                   gw_test_logs_dir(), disk, exporters, more);
    return p;
}

static void reload(struct gw_test_engine *t, const char *to)
{
    struct gw_err err = {""};

    if (gw_test_engine_reload(t, to, &err) < 0)
        fail_msg("%s", err.text);
    gw_test_engine_balances(t);
}

static void settle(struct gw_test_engine *t)
{
    for (unsigned i = 0; i < 400 && gw_engine_n_leaving(t->engine); i++) {
        gw_test_engine_turn(t, 1, S / 20);
        gw_test_engine_balances(t);
    }
    assert_int_equal(gw_engine_n_leaving(t->engine), 0);
}

/* Requests of one row each, named first, first + 1 … */
static void send(struct gw_test_engine *t, uint64_t first, unsigned n)
{
    struct gw_test_door *d = gw_test_engine_door(t, "scripted", 0);

    for (unsigned i = 0; i < n; i++) {
        gw_test_engine_send(d, GW_LOGS, first + i, 1, 1);
        gw_test_engine_turn(t, 4, 0);
    }
}

/* Answers all that the sink has and gets, and notes which rows. */
static void take_all(struct gw_test_engine *t, struct gw_test_sink *s, unsigned *seen)
{
    uint64_t names[64];

    for (unsigned i = 0; i < 100; i++) {
        while (s->n_waiting) {
            unsigned n = gw_test_names(GW_LOGS, s->waiting[0]->body, names, 64);

            for (unsigned k = 0; k < n; k++)
                seen[names[k] % 64]++;
            gw_test_sink_answer(s, &OK);
        }
        gw_test_engine_turn(t, 3, S / 50);
    }
}

static void count_consumer(void *arg, const struct gw_log_consumer *c)
{
    (void)c;
    ++*(unsigned *)arg;
}

static unsigned n_consumers(void)
{
    unsigned n = 0;

    (void)gw_log_consumers(gw_test_log("/queue/logs"), count_consumer, &n);
    return n;
}

/*
 * Scenario    ten rows, two under way to a sink that answers slowly; the exporter's settings change
 * Guarantees  the two are waited for, and not sent again; the other eight, and new ones, are the successor's
 */
static void a_successor_goes_on_from_where_the_old_one_is(void **state)
{
    unsigned seen[64] = {0}, all[64] = {0};
    struct gw_test_engine t;
    struct gw_test_sink *old, *s;

    (void)state;
    gw_test_logs_begin(3);
    gw_test_engine_open(&t, yaml("", "scripted", ""), 1, false);
    send(&t, 0, 10);
    old = gw_test_engine_sink(&t, "scripted");
    assert_int_equal(old->n_waiting, 2);
    reload(&t, yaml(", queue_size: 500", "scripted", ""));
    s = gw_test_engine_sink(&t, "scripted");
    assert_ptr_not_equal(s, old);
    gw_test_engine_turn(&t, 2, 0); /* the worker has gone over */
    send(&t, 10, 2);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(s->n_waiting, 0); /* not while the old one may still deliver */
    for (unsigned i = 0; i < 10 && old->n_waiting; i++) {
        uint64_t name;

        assert_int_equal(gw_test_names(GW_LOGS, old->waiting[0]->body, &name, 1), 1);
        seen[name % 64]++;
        gw_test_sink_answer(old, &OK);
        gw_test_engine_turn(&t, 1, 0);
        if (seen[9]) /* what it had in memory has gone */
            break;
    }
    gw_test_engine_turn(&t, 10, 0); /* no time passes: it does not wait for what it will not get */
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    take_all(&t, s, all);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(seen[i] + all[i], 1);
    assert_int_equal(n_consumers(), 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

/*
 * Scenario    the sink does not answer at all, or says 503; the exporter's settings change
 * Guarantees  the old one is cut off after five seconds, or at once; the successor sends all rows, none is lost
 */
static void a_successor_does_not_wait_for_a_dead_sink(void **state)
{
    (void)state;
    for (unsigned away = 0; away < 2; away++) {
        unsigned seen[64] = {0};
        struct gw_test_engine t;
        struct gw_test_sink *old;

        gw_test_logs_begin(4);
        gw_test_engine_open(&t, yaml("", "scripted", ""), 1, false);
        send(&t, 0, 6);
        old = gw_test_engine_sink(&t, "scripted");
        while (away && gw_test_sink_answer(old, &AWAY))
            ;
        reload(&t, yaml(", queue_size: 500", "scripted", ""));
        gw_test_engine_turn(&t, 5, S);
        gw_test_engine_turn(&t, 5, 0);
        assert_int_equal(gw_engine_n_leaving(t.engine), away ? 0 : 1);
        settle(&t);
        send(&t, 6, 2);
        take_all(&t, gw_test_engine_sink(&t, "scripted"), seen);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(seen[i], 1);
        assert_int_equal(gw_test_engine_close(&t), 0);
        gw_test_logs_end();
    }
}

/*
 * Scenario    one of two exporters is taken out of the pipeline while it has a backlog and its sink is away
 * Guarantees  it gets nothing new, keeps trying, delivers what was its, and leaves no place in the log; the other one
 *             goes on as it was
 */
static void an_exporter_that_is_gone_delivers_its_backlog(void **state)
{
    unsigned seen[64] = {0}, b[64] = {0};
    struct gw_test_engine t;
    struct gw_test_sink *gone, *stays;

    (void)state;
    gw_test_logs_begin(5);
    gw_test_engine_open(&t, yaml("", "scripted, scripted/b", ""), 1, false);
    send(&t, 0, 6);
    gone = gw_test_engine_sink(&t, "scripted");
    stays = gw_test_engine_sink(&t, "scripted/b");
    while (gw_test_sink_answer(gone, &AWAY))
        ;
    assert_int_equal(n_consumers(), 2);
    reload(&t, yaml("", "scripted/b", ""));
    assert_ptr_equal(gw_test_engine_sink(&t, "scripted/b"), stays);
    gw_test_engine_turn(&t, 5, S);
    send(&t, 10, 3);
    gw_test_engine_turn(&t, 5, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    for (unsigned i = 0; i < 200 && gw_engine_n_leaving(t.engine); i++) {
        while (gw_engine_n_leaving(t.engine) && gone->n_waiting) {
            uint64_t name;

            assert_int_equal(gw_test_names(GW_LOGS, gone->waiting[0]->body, &name, 1), 1);
            seen[name % 64]++;
            gw_test_sink_answer(gone, &OK);
        }
        gw_test_engine_turn(&t, 1, S / 10);
    }
    settle(&t);
    take_all(&t, stays, b);
    for (unsigned i = 0; i < 13; i++) {
        assert_int_equal(seen[i], i < 6);
        assert_int_equal(b[i], i < 6 || i >= 10);
    }
    assert_int_equal(n_consumers(), 1);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

/*
 * Scenario    an exporter with a backlog gets a second pipeline; then a processor comes before it
 * Guarantees  with another pipeline it is another one, and nothing is lost or sent twice; with another processor alone
 *             it is the same
 */
static void another_pipeline_makes_another_exporter(void **state)
{
    unsigned seen[64] = {0};
    struct gw_test_engine t;
    struct gw_test_sink *old, *s;

    (void)state;
    gw_test_logs_begin(6);
    gw_test_engine_open(&t, yaml("", "scripted", ""), 1, false);
    send(&t, 0, 5);
    old = gw_test_engine_sink(&t, "scripted");
    while (gw_test_sink_answer(old, &AWAY))
        ;
    reload(&t, yaml("", "scripted", "    logs/2: { receivers: [scripted], exporters: [scripted] }\n"));
    s = gw_test_engine_sink(&t, "scripted");
    assert_ptr_not_equal(s, old);
    settle(&t);
    send(&t, 10, 1);
    reload(&t, yaml("", "scripted",
                    "    logs/2: { receivers: [scripted], processors: [keeper], exporters: [scripted] }\n"));
    assert_ptr_equal(gw_test_engine_sink(&t, "scripted"), s);
    settle(&t);
    take_all(&t, s, seen);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(seen[10], 2); /* by each pipeline */
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

/*
 * Scenario    a storage gets another setting; it goes with its exporters, and comes back
 * Guarantees  the first is refused with a reason, the second is taken; when it comes back its queue is as it was
 */
static void a_storage_stays_as_it_is(void **state)
{
    char changed[2048], without[] =
                            "receivers: { scripted: }\nexporters: { scripted: { sending_queue: { queue_size: 9 } } }\n"
                            "service: { pipelines: { logs: { receivers: [scripted], exporters: [scripted] } } }\n";
    struct gw_test_engine t;
    struct gw_err err = {""};
    unsigned seen[64] = {0};
    char *at;

    (void)state;
    gw_test_logs_begin(7);
    gw_test_engine_open(&t, yaml("", "scripted", ""), 1, false);
    (void)snprintf(changed, sizeof(changed), "%s", yaml("", "scripted", ""));
    at = strstr(changed, "directory:");
    memmove(at + 13, at, strlen(at) + 1);
    memcpy(at, "fsync: true, ", 13);
    assert_int_equal(gw_test_engine_reload(&t, changed, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "file_storage: the settings of a storage"));
    send(&t, 0, 3);
    while (gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &OK))
        gw_test_engine_turn(&t, 3, 0);
    reload(&t, without);
    settle(&t);
    reload(&t, yaml("", "scripted", ""));
    settle(&t);
    send(&t, 3, 2);
    take_all(&t, gw_test_engine_sink(&t, "scripted"), seen);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(seen[i], i >= 3);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_successor_goes_on_from_where_the_old_one_is),
        cmocka_unit_test(a_successor_does_not_wait_for_a_dead_sink),
        cmocka_unit_test(an_exporter_that_is_gone_delivers_its_backlog),
        cmocka_unit_test(another_pipeline_makes_another_exporter),
        cmocka_unit_test(a_storage_stays_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
