/* SPDX-License-Identifier: Apache-2.0 */
/* memory_limiter: marks at the door, refusal behind it, the log, the Collector's errors. */
#include "tests/harness_processor.h"

#include <unistd.h>

static struct gw_proc_rig r;

/*
 * Scenario: limits in MiB, with and without a spike
 * Guarantees: the account's marks are limit - spike and limit; a spike that is not set is a fifth
 */
static void limits_become_marks(void **state)
{
    (void)state;
    gw_proc_open(&r, "memory_limiter", GW_TRACES, "{check_interval: 1s, limit_mib: 100, spike_limit_mib: 30}");
    assert_int_equal(r.memory.hard_bytes, 100 << 20);
    assert_int_equal(r.memory.soft_bytes, 70 << 20);
    assert_true(gw_test_env_logged(&r.te, "Memory limiter configured"));
    gw_proc_close(&r);
    gw_proc_open(&r, "memory_limiter", GW_TRACES, "{check_interval: 1s, limit_mib: 100}");
    assert_int_equal(r.memory.soft_bytes, 80 << 20);
    assert_true(gw_credit_admit(&r.memory, 80 << 20));
    assert_false(gw_credit_admit(&r.memory, 1));
    assert_true(gw_credit_take(&r.memory, 20 << 20));
    assert_false(gw_credit_take(&r.memory, 1));
    gw_proc_close(&r);
}

/*
 * Scenario: a limit above what is there already
 * Guarantees: the lower one stands: limiters never raise
 */
static void the_lowest_limit_counts(void **state)
{
    (void)state;
    gw_proc_open(&r, "memory_limiter", GW_TRACES, "{check_interval: 1s, limit_mib: 150, spike_limit_mib: 1}");
    assert_int_equal(r.memory.hard_bytes, 150 << 20);
    assert_int_equal(r.memory.soft_bytes, 100 << 20);
    gw_proc_close(&r);
}

/*
 * Scenario: limits in percent
 * Guarantees: of what the machine or the container has; spike_limit_percentage, or a fifth
 */
static void percentages_are_of_all_memory(void **state)
{
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    (void)state;
    if (gw_proc_configure(&r, "memory_limiter",
                          "{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 10}") < 0)
        fail_msg("%s", r.said);
    assert_int_equal(gw_proc_start(&r, GW_LOGS), 0);
    assert_true(r.memory.hard_bytes <= total / 2);
    gw_proc_close(&r);
    if (gw_proc_configure(&r, "memory_limiter",
                          "{check_interval: 1s, limit_percentage: 1, spike_limit_percentage: 0}") < 0)
        fail_msg("%s", r.said);
    assert_int_equal(gw_proc_start(&r, GW_LOGS), 0);
    assert_true(r.memory.hard_bytes <= total / 100 && r.memory.hard_bytes > 0);
    assert_true(r.memory.soft_bytes < r.memory.hard_bytes);
    gw_proc_close(&r);
}

/*
 * Scenario: rows arrive below the limit, then above it
 * Guarantees: passed and counted as accepted; refused with the Collector's sentence and counted as refused
 */
static void rows_above_the_limit_are_refused(void **state)
{
    (void)state;
    gw_proc_open(&r, "memory_limiter", GW_LOGS, "{check_interval: 1s, limit_mib: 10}");
    gw_proc_send(&r, gw_proc_log("", ""));
    assert_int_equal(r.n_out, 1);
    r.memory.used_bytes = (10 << 20) + 1;
    gw_proc_send(&r, gw_proc_log("", ""));
    assert_int_equal(r.n_out, 0);
    assert_int_equal(r.settled[GW_REFUSED], 1);
    assert_int_equal(r.ticket.worst, GW_REFUSED);
    assert_string_equal(r.ticket.message, "data refused due to high memory usage");
    assert_true(
        gw_proc_metric(&r, "otelcol_processor_memory_limiter_accepted_log_records{processor=\"memory_limiter\"}") == 1);
    assert_true(
        gw_proc_metric(&r, "otelcol_processor_memory_limiter_refused_log_records{processor=\"memory_limiter\"}") == 1);
    gw_proc_close(&r);
}

/*
 * Scenario: ticks while memory is above the soft mark and below it again
 * Guarantees: one line each way, not before check_interval has passed
 */
static void the_log_tells_when_it_begins_and_ends(void **state)
{
    (void)state;
    gw_proc_open(&r, "memory_limiter", GW_TRACES, "{check_interval: 1s, limit_mib: 10}");
    r.component->tick(r.self, 1000, &r.ports);
    r.memory.used_bytes = 9 << 20;
    r.component->tick(r.self, 2000, &r.ports);
    assert_false(gw_test_env_logged(&r.te, "above soft limit"));
    r.component->tick(r.self, 1000001000, &r.ports);
    assert_true(gw_test_env_logged(&r.te, "Memory usage is above soft limit. Refusing data."));
    assert_false(gw_test_env_logged(&r.te, "back within limits"));
    r.memory.used_bytes = 0;
    r.component->tick(r.self, 2000002000, &r.ports);
    assert_true(gw_test_env_logged(&r.te, "Memory usage back within limits"));
    gw_proc_close(&r);
}

/*
 * Scenario: settings with mistakes; the garbage collector's keys
 * Guarantees: the Collector's words at the key's place; the keys are taken
 */
static void mistakes_are_told(void **state)
{
    (void)state;
    gw_proc_refuses("memory_limiter", "limit_mib: 1", "'check_interval' must be greater than zero");
    gw_proc_refuses("memory_limiter", "check_interval: 1s",
                    "'limit_mib' or 'limit_percentage' must be greater than zero");
    gw_proc_refuses("memory_limiter", "check_interval: 1s\nlimit_mib: 5\nspike_limit_mib: 5",
                    "test.yaml:3:18: error: 'spike_limit_mib' must be smaller than 'limit_mib'");
    gw_proc_refuses(
        "memory_limiter", "{check_interval: 1s, limit_percentage: 101}",
        "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred");
    gw_proc_refuses("memory_limiter", "{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 60}",
                    "'spike_limit_percentage' must be smaller than 'limit_percentage'");
    gw_proc_open(&r, "memory_limiter", GW_TRACES,
                 "{check_interval: 1s, limit_mib: 5, min_gc_interval_when_soft_limited: 1s, "
                 "min_gc_interval_when_hard_limited: 1s,"
                 " max_gc_interval_when_soft_limited: 1s, max_gc_interval_when_hard_limited: 1s}");
    gw_proc_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_become_marks),
        cmocka_unit_test(the_lowest_limit_counts),
        cmocka_unit_test(percentages_are_of_all_memory),
        cmocka_unit_test(rows_above_the_limit_are_refused),
        cmocka_unit_test(the_log_tells_when_it_begins_and_ends),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
