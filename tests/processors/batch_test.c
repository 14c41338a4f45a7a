/* SPDX-License-Identifier: Apache-2.0 */
/* batch: its settings become the exporters' batching; more of what that does is tested in tests/queue. */
#include <stdio.h>

#include "tests/harness_engine.h"
#include "tests/harness_processor.h"

#include "pipeline/exporter.h"

static struct gw_proc_rig r;

static struct gw_batching batching(const char *yaml)
{
    struct gw_batching b;

    if (gw_proc_configure(&r, "batch", yaml) < 0)
        fail_msg("%s", r.said);
    r.component->batching(r.conf, &b);
    return b;
}

/*
 * Scenario: no settings
 * Guarantees: the Collector's defaults
 */
static void the_defaults_are_the_collectors(void **state)
{
    struct gw_batching b = batching("{}");

    (void)state;
    assert_true(b.enabled);
    assert_false(b.by_bytes);
    assert_int_equal(b.flush_timeout_ns, 200000000);
    assert_int_equal(b.min_size, 8192);
    assert_int_equal(b.max_size, 0);
    assert_int_equal(b.n_metadata_keys, 0);
    assert_int_equal(b.cardinality_limit, 1000);
    gw_proc_close(&r);
}

/*
 * Scenario: every key set; then send_batch_size 0
 * Guarantees: each arrives; without a size batches leave at once
 */
static void every_setting_arrives(void **state)
{
    struct gw_batching b =
        batching("{timeout: 3s, send_batch_size: 10, send_batch_max_size: 20, metadata_keys: [X-Tenant, b], "
                 "metadata_cardinality_limit: 5}");

    (void)state;
    assert_int_equal(b.flush_timeout_ns, 3000000000);
    assert_int_equal(b.min_size, 10);
    assert_int_equal(b.max_size, 20);
    assert_int_equal(b.n_metadata_keys, 2);
    assert_string_equal(b.metadata_keys[0], "X-Tenant");
    assert_int_equal(b.cardinality_limit, 5);
    gw_proc_close(&r);
    b = batching("send_batch_size: 0");
    assert_int_equal(b.flush_timeout_ns, 0);
    gw_proc_close(&r);
}

#define S 1000000000ull

/* Three requests of three rows each, of tenants a, b and a, through a batch processor with these settings; then the
 * sizes of what has left at once and of what has left 3.1 s later, as one text: "3 3|6". */
static const char *sizes_of(const char *settings)
{
    static const char *const tenants[] = {"a", "b", "a"};
    static char text[128];
    struct gw_test_engine t;
    struct gw_test_sink *sink;
    char yaml[512];
    size_t n = 0;

    snprintf(
        yaml, sizeof(yaml),
        "receivers: { scripted: }\nprocessors: { batch: %s }\n"
        "exporters: { scripted: { sending_queue: { num_consumers: 10 } } }\n"
        "service:\n  pipelines:\n    logs: { receivers: [scripted], processors: [batch], exporters: [scripted] }\n",
        settings);
    gw_test_engine_open(&t, yaml, 1, false);
    sink = gw_test_engine_sink(&t, "scripted");
    for (unsigned i = 0; i < 3; i++) {
        struct gw_meta_pair pair = {GW_SLICE("x-tenant"), gw_slice_cstr(tenants[i])};
        struct gw_meta *m = gw_meta_new(&(struct gw_meta){.pairs = &pair, .n_pairs = 1});
        struct gw_verdict v;
        struct gw_buf body;

        gw_buf_init(&body, 65536);
        gw_test_request(&body, GW_LOGS, 3 * i, 3);
        assert_int_equal(
            gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_LOGS, gw_buf_slice(&body), m, i + 1, &v), 0);
        gw_test_engine_turn(&t, 3, 0);
        gw_buf_clear(&body);
        (void)gw_meta_unref(m);
    }
    text[0] = '\0';
    for (unsigned round = 0; round < 2; round++) {
        unsigned waiting = sink->n_waiting;

        for (unsigned i = 0; i < waiting; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, i ? " %u" : "%u", sink->waiting[i]->rows);
        while (gw_test_sink_answer(sink, &(struct gw_sent_info){.sent = GW_SENT_OK}))
            ;
        if (round == 0) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "|");
            gw_test_engine_turn(&t, 2, 3100 * (S / 1000));
            gw_test_engine_turn(&t, 3, 0);
        }
    }
    (void)gw_test_engine_close(&t);
    return text;
}

/*
 * Scenario: three requests of three rows, by two tenants, with one setting after the other: send_batch_size, timeout,
 * send_batch_max_size, metadata_keys, metadata_cardinality_limit
 * Guarantees: each changes in which batches, and when, the rows leave
 */
static void settings_change_how_rows_leave(void **state)
{
    static const struct {
        const char *settings, *leaves;
    } t[] = {
        {"{ send_batch_size: 100, timeout: 3s }", "|9"},
        {"{ send_batch_size: 100, timeout: 30s }", "|"},
        {"{ send_batch_size: 5, timeout: 3s }", "6|3"},
        {"{ send_batch_size: 5, send_batch_max_size: 5, timeout: 3s }", "5 1|3"},
        {"{ send_batch_size: 100, timeout: 3s, metadata_keys: [x-tenant] }", "|3 6"},
        {"{ send_batch_size: 100, timeout: 3s, metadata_keys: [x-tenant], metadata_cardinality_limit: 1 }", "3 3|3"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        assert_string_equal(sizes_of(t[i].settings), t[i].leaves);
}

/*
 * Scenario: rows pass the processor
 * Guarantees: as they came: nothing is held
 */
static void rows_pass_untouched(void **state)
{
    (void)state;
    gw_proc_open(&r, "batch", GW_LOGS, "{}");
    gw_proc_send(&r, gw_proc_log("", ""));
    assert_int_equal(r.n_out, 1);
    gw_proc_close(&r);
}

/*
 * Scenario: a maximum below the size, a key twice
 * Guarantees: told with the Collector's words, at the place
 */
static void mistakes_are_told(void **state)
{
    (void)state;
    gw_proc_refuses("batch", "send_batch_size: 10\nsend_batch_max_size: 5",
                    "test.yaml:2:22: error: send_batch_max_size must be greater or equal to send_batch_size");
    gw_proc_refuses("batch", "send_batch_max_size: 5", "send_batch_max_size must be greater");
    gw_proc_refuses("batch", "metadata_keys: [a, b, A]", "duplicate entry in metadata_keys: \"A\" (case-insensitive)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_the_collectors),
        cmocka_unit_test(every_setting_arrives),
        cmocka_unit_test(settings_change_how_rows_leave),
        cmocka_unit_test(rows_pass_untouched),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
