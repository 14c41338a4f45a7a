/* SPDX-License-Identifier: Apache-2.0 */
/* What waits in groupbytrace goes on waiting when another configuration is taken. */
#include "tests/harness.h"

#include <stdio.h>

#include "tests/harness_engine.h"

static struct gw_test_engine t;

static const char *yaml(const char *settings, const char *exporters)
{
    static char text[1000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "processors: { groupbytrace: { %s } }\n"
                   "exporters: { scripted: { sending_queue: { queue_size: 100 } }, nop: }\n"
                   "service: { pipelines: { traces: { receivers: [scripted], processors: [groupbytrace], exporters: "
                   "[%s] } } }\n",
                   settings, exporters);
    return text;
}

static void take(const char *text)
{
    struct gw_err err = {""};

    if (gw_test_engine_reload(&t, text, &err) < 0)
        fail_msg("%s", err.text);
}

static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 5; i++)
        gw_test_engine_turn(&t, 2, 200000000);
}

static struct gw_test_sink *sink(void)
{
    return gw_test_engine_sink(&t, "scripted");
}

static void answer_all(void *arg)
{
    (void)arg;
    while (gw_test_sink_answer(sink(), &(struct gw_sent_info){.sent = GW_SENT_OK}))
        ;
}

static unsigned rows_at_sink(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sink()->n_waiting; i++)
        n += sink()->waiting[i]->rows;
    return n;
}

static void finish(void)
{
    gw_test_engine_drain(&t, &(uint64_t){1}, answer_all, NULL);
    assert_int_equal(gw_test_engine_close(&t), 0);
    gw_test_spans_a_trace = 1;
}

/*
 * Scenario    half of each of three traces waits on three workers; the configuration gets another time to wait, and
 *             another exporter; the other halves come
 * Guarantees  the first halves neither leave nor wait longer than they were to; each trace leaves whole, and by the new
 *             way; the gauges say what is there
 */
static void traces_wait_on(void **state)
{
    (void)state;
    gw_test_spans_a_trace = 10;
    gw_test_engine_open(&t, yaml("wait_duration: 10s", "scripted"), 3, /* threads= */ false);
    for (unsigned i = 0; i < 3; i++)
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", i), GW_TRACES, 10 * i, 5, 0);
    pass(4);
    take(yaml("wait_duration: 60s", "nop, scripted"));
    pass(3);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    assert_int_equal(rows_at_sink(), 0);
    assert_int_equal(gw_test_engine_metric(&t, "otelcol_processor_groupbytrace_spans_released", NULL, 0), 0);
    assert_int_equal(
        gw_meter_get(t.meter, GW_GAUGE, "otelcol_processor_groupbytrace_num_traces_in_memory", "", NULL, 0)->value, 3);
    for (unsigned i = 0; i < 3; i++)
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 10 * i + 5, 5, 0);
    pass(4);
    assert_int_equal(rows_at_sink(), 30);
    for (unsigned i = 0; i < sink()->n_waiting; i++)
        assert_int_equal(sink()->waiting[i]->rows % 10, 0);
    assert_int_equal(gw_edge_counts(gw_engine_edge(t.engine, "nop"), GW_TRACES).delivered, 30);
    finish();
}

/* Scenario: fewer may wait. Guarantees: what is there stays until more come; then the oldest leave, as they were. */
static void fewer_may_wait(void **state)
{
    (void)state;
    gw_test_spans_a_trace = 1;
    gw_test_engine_open(&t, yaml("wait_duration: 10s", "scripted"), 1, /* threads= */ false);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 0, 20, 0);
    gw_test_engine_turn(&t, 2, 1000);
    take(yaml("wait_duration: 10s, num_traces: 5", "scripted"));
    pass(1);
    assert_int_equal(rows_at_sink(), 0);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 20, 1, 0);
    pass(1);
    assert_int_equal(rows_at_sink(), 16);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(traces_wait_on), cmocka_unit_test(fewer_may_wait)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
