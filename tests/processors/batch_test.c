/* SPDX-License-Identifier: Apache-2.0 */
/* batch: its settings become the exporters' batching; what that does is tested in tests/queue. */
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
        cmocka_unit_test(rows_pass_untouched),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
