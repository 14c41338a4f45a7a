/* SPDX-License-Identifier: Apache-2.0 */
/* What exporters drop can be looked at for a while. */
#include "runtime/samples.h"

#include "tests/harness.h"

#include <stdio.h>

#include "queue/edge.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static struct gw_test_engine t;
static const struct gw_sent_info BAD = {.sent = GW_SENT_PERMANENT, .reason = "bad"};

static void turn(unsigned n, uint64_t ns)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, ns);
}

static void send(uint64_t first, unsigned n)
{
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, first, n, 1);
    turn(4, 1000000);
}

struct seen {
    const char *reason;
    uint64_t names[16]; /* of the records, in order */
    unsigned n, n_long; /* with more than one record */
    char last[200];     /* as text */
};

static void note(void *arg, const struct gw_sample_reason *why, const struct gw_sample *sample)
{
    struct seen *s = arg;
    uint64_t names[4] = {0};

    if (strcmp(why->reason, s->reason) != 0)
        return;
    assert_string_equal(why->component, "scripted");
    assert_string_equal(why->pipeline, "logs");
    assert_int_equal(why->signal, GW_LOGS);
    (void)snprintf(s->last, sizeof(s->last), "%.*s", (int)sample->body.n, (const char *)sample->body.p);
    if (sample->body.p[0] == 0x0a) /* OTLP, not a sentence */
        s->n_long += gw_test_names(GW_LOGS, sample->body, names, 4) != 1;
    s->names[s->n++ % 16] = names[0];
}

static struct seen look(const char *reason)
{
    struct seen s = {.reason = reason};

    gw_samples_each(gw_engine_samples(t.engine), note, &s);
    return s;
}

/*
 * Scenario    a sink that takes nothing; ten batches of three rows in no time, one more a second later
 * Guarantees  one record of each of the first eight is kept, then one a second
 */
static void one_record_of_each_batch_is_kept(void **state)
{
    struct seen s;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t,
                        "receivers: { scripted: }\nexporters: { scripted: }\n"
                        "service: { extensions: [file_storage], dead_letters: { to: none }, pipelines: { logs: { "
                        "receivers: [scripted], exporters: [scripted] } } }\n",
                        1);
    for (unsigned i = 0; i < 11; i++) {
        send(100 + i * 10, 3);
        assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &BAD));
        turn(2, i == 9 ? S : 0);
    }
    s = look("bad");
    assert_int_equal(s.n, 8);
    assert_int_equal(s.n_long, 0);
    assert_int_equal(s.names[0], 110);
    assert_int_equal(s.names[6], 170);
    assert_int_equal(s.names[7], 200);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_logs_end();
}

static void open_durable(unsigned max_lag_bytes)
{
    char text[1024];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { storage: file_storage, num_consumers: 1, "
                   "max_memory_bytes: 65536, on_full: drop_oldest, max_lag_bytes: %u } } }\n"
                   "service: { extensions: [file_storage], dead_letters: { to: none }, pipelines: { logs: { "
                   "receivers: [scripted], exporters: [scripted] } } }\n",
                   max_lag_bytes);
    gw_test_logs_engine(&t, text, 1);
}

/*
 * Scenario    a queue on disk becomes too long; one that is found too long at the start, with a damaged frame in it
 * Guarantees  a record of each frame that goes out of memory, or is read to be dropped; where nothing can be read, how
 *             much it was
 */
static void what_a_queue_on_disk_drops_is_kept(void **state)
{
    struct seen s;

    (void)state;
    gw_test_logs_begin(1);
    open_durable(50000);
    send(1, 3);
    for (unsigned i = 1; i < 5; i++)
        send(i * 10000, 2000);
    s = look("queue_overflow"); /* the first one is with the sink */
    assert_int_equal(s.n, 2);
    assert_int_equal(s.names[0], 10000);
    assert_int_equal(s.names[1], 20000);
    (void)gw_test_engine_close(&t);

    open_durable(1000000);
    gw_test_log_faults("logs")->damage_permille = 1000;
    send(50000, 2000);
    gw_test_log_faults("logs")->damage_permille = 0;
    for (unsigned i = 6; i < 10; i++)
        send(i * 10000, 2000);
    (void)gw_test_engine_close(&t);

    open_durable(50000);
    turn(4, 1000000);
    s = look("queue_overflow");
    assert_int_equal(s.n_long, 0);
    assert_int_equal(s.n, 6);
    assert_int_equal(s.names[0], 1);
    assert_int_equal(s.names[2], 40000);
    assert_int_equal(s.names[3], 60000);
    assert_int_equal(s.names[5], 80000);
    gw_test_engine_balances(&t);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

/* Scenario: a frame cannot be read. Guarantees: how much it was is said in its place. */
static void what_is_lost_is_said(void **state)
{
    struct seen s;

    (void)state;
    gw_test_logs_begin(1);
    open_durable(1000000);
    for (unsigned i = 1; i < 4; i++)
        send(i * 10000, 2000);
    gw_test_log_faults("logs")->damage_permille = 1000;
    send(40000, 2000);
    gw_test_log_faults("logs")->damage_permille = 0;
    send(50000, 2000);
    for (unsigned i = 0; i < 4; i++) {
        (void)gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &BAD);
        turn(4, 1000000);
    }
    s = look("log_damaged");
    assert_int_equal(s.n, 1);
    assert_string_equal(s.last, "2000 items before frame 4 could not be read");
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_record_of_each_batch_is_kept),
        cmocka_unit_test(what_a_queue_on_disk_drops_is_kept),
        cmocka_unit_test(what_is_lost_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
