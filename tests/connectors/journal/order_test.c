/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a partition behind queues in memory. */
#include <stdio.h>
#include <string.h>

#include "batch/meta.h"
#include "core/buf.h"
#include "tests/harness.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK}, LATER = {.sent = GW_SENT_RETRY, .reason = "busy"};
static struct gw_test_engine t;

static const char *yaml(bool in_order)
{
    static char text[2000];

    (void)snprintf(text, sizeof(text),
                   "extensions: { file_storage: { directory: %s, fsync: false } }\n"
                   "receivers: { scripted: }\nexporters: { scripted: }\n"
                   "connectors: { journal/j: { storage: file_storage, in_order: %s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n",
                   gw_test_logs_dir(), in_order ? "true" : "false");
    return text;
}

static void begin(bool in_order)
{
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, strchr(yaml(in_order), '\n') + 1, 1);
}

static void end(void)
{
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, 1000000);
}

/* One row, that came over a connection. */
static void send(uint64_t name, const char *tenant, const char *peer)
{
    const struct gw_meta from = {.tenant = gw_slice_cstr(tenant), .peer = gw_slice_cstr(peer), .transport = "grpc"};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_verdict v = {0};
    struct gw_buf body;

    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, name, 1);
    assert_int_equal(
        gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), meta, (uint32_t)name, &v),
        0);
    gw_buf_clear(&body);
    (void)gw_meta_unref(meta);
    turn(6);
}

static struct gw_test_sink *sink(void)
{
    return gw_test_engine_sink(&t, "scripted");
}

/* The sink's oldest body has rows first … last, and came from there. */
static void has(uint64_t first, uint64_t last, const char *tenant, const char *peer)
{
    const struct gw_meta *m = sink()->waiting[0]->meta;
    uint64_t names[16];

    assert_int_equal(gw_test_names(GW_LOGS, sink()->waiting[0]->body, names, 16), last - first + 1);
    for (uint64_t i = first; i <= last; i++)
        assert_int_equal(names[i - first], i);
    assert_true(gw_slice_is(m->tenant, tenant));
    assert_true(gw_slice_is(m->peer, peer));
}

static void answer(const struct gw_sent_info *info)
{
    assert_true(gw_test_sink_answer(sink(), info));
    turn(6);
}

/*
 * Scenario    six rows of one partition, over three connections of two tenants, a queue in memory behind; the sink
 *             wants the first one again later, and takes the others
 * Guarantees  in_order: nothing of the partition is with the sink beside the first row, nor while it pauses. Then those
 *             of one tenant go together, in order; their peer is known where it is one. Without it all are under way
 */
static void rows_of_a_partition_stay_in_order(void **state)
{
    (void)state;
    for (unsigned in_order = 0; in_order < 2; in_order++) {
        begin(in_order);
        send(0, "a", "p1:1");
        send(1, "a", "p1:1");
        send(2, "a", "p2:1");
        send(3, "a", "p1:1");
        send(4, "b", "p3:1");
        send(5, "b", "p3:1");
        assert_int_equal(sink()->n_waiting, in_order ? 1 : 6);
        has(0, 0, "a", "p1:1");
        answer(&LATER);
        if (in_order) {
            assert_int_equal(sink()->n_waiting, 0);
            for (unsigned i = 0; i < 100 && sink()->n_waiting == 0; i++)
                gw_test_logs_turn(&t, 2, S);
            assert_int_equal(sink()->n_waiting, 1);
            has(0, 0, "a", "p1:1");
            answer(&OK);
            assert_int_equal(sink()->n_waiting, 1);
            has(1, 3, "a", "");
            answer(&OK);
            assert_int_equal(sink()->n_waiting, 1);
            has(4, 5, "b", "p3:1");
            answer(&OK);
            assert_int_equal(sink()->n_waiting, 0);
        }
        end();
    }
}

/*
 * Scenario    in_order is set by a reload while three rows of a partition are under way, and taken back
 * Guarantees  what comes behind them waits until they are done; then it does not
 */
static void order_follows_a_reload(void **state)
{
    struct gw_err err = {""};

    (void)state;
    begin(false);
    for (unsigned i = 0; i < 3; i++)
        send(i, "a", "p1:1");
    assert_int_equal(gw_test_engine_reload(&t, yaml(true), &err), 0);
    send(3, "a", "p1:1");
    send(4, "a", "p2:1");
    assert_int_equal(sink()->n_waiting, 3);
    for (unsigned i = 0; i < 3; i++)
        answer(&OK);
    assert_int_equal(sink()->n_waiting, 1);
    has(3, 4, "a", "");
    send(5, "a", "p1:1");
    assert_int_equal(sink()->n_waiting, 1);
    assert_int_equal(gw_test_engine_reload(&t, yaml(false), &err), 0);
    send(6, "a", "p1:1");
    assert_true(sink()->n_waiting > 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_partition_stay_in_order),
        cmocka_unit_test(order_follows_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
