/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <string.h>

#include "config/yaml.h"
#include "queue/settings.h"

struct rig {
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_queue_settings s;
    char said[2000];
};

static const struct gw_exporter_ops slow = {.queue_by_default = false, .default_timeout_ns = 30000000000u};
static const struct gw_exporter_ops usual = {.queue_by_default = true, .default_timeout_ns = 5000000000u};

static unsigned fill(struct rig *r, const struct gw_exporter_ops *ops, const char *yaml)
{
    struct gw_settings table = {.fields = gw_queue_fields,
                                .conf_size = sizeof(r->s),
                                .conf = &r->s,
                                .adjust = gw_queue_extra.adjust,
                                .arg = ops};
    const struct gw_node *n;
    struct gw_buf text;
    unsigned errors;

    gw_arena_init(&r->arena, 4096, 1 << 20);
    gw_diag_init(&r->diag);
    n = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", &r->arena, &r->diag);
    if (gw_schema_fill_tables(&table, 1, n, &r->arena, &r->diag) == 0)
        gw_queue_extra.finish(&r->s, ops, NULL, n, &r->diag);
    gw_buf_init(&text, sizeof(r->said) - 1);
    gw_diag_write(&r->diag, &text);
    if (text.n)
        memcpy(r->said, text.p, text.n);
    r->said[text.n] = 0;
    gw_buf_clear(&text);
    errors = r->diag.n_errors;
    gw_diag_clear(&r->diag);
    return errors; /* the arena is kept: s borrows from it */
}

static void says(struct rig *r, const char *yaml, const char *sentence)
{
    if (fill(r, &usual, yaml) == 0 || !strstr(r->said, sentence))
        fail_msg("wanted: %s\nsaid: %s", sentence, r->said);
    gw_arena_clear(&r->arena);
}

/*
 * Scenario    no key at all, for two exporters with defaults of their own
 * Guarantees  the Collector's defaults, and the exporters' own
 */
static void defaults_are_the_collectors(void **state)
{
    struct rig r;

    (void)state;
    assert_int_equal(fill(&r, &usual, "{}"), 0);
    assert_true(r.s.queue.enabled);
    assert_int_equal(r.s.queue.num_consumers, 10);
    assert_int_equal(r.s.queue.queue_size, 1000);
    assert_int_equal(r.s.queue.sizer, GW_SIZER_REQUESTS);
    assert_false(r.s.queue.block_on_overflow || r.s.queue.wait_for_result || r.s.queue.has_batch);
    assert_true(r.s.retry.enabled);
    assert_int_equal(r.s.retry.initial_interval_ns, 5000000000u);
    assert_true(r.s.retry.randomization_factor == 0.5 && r.s.retry.multiplier == 1.5);
    assert_int_equal(r.s.retry.max_interval_ns, 30000000000u);
    assert_int_equal(r.s.retry.max_elapsed_time_ns, 300000000000u);
    assert_int_equal(r.s.timeout_ns, 5000000000u);
    assert_false(gw_queue_batching(&r.s).enabled);
    gw_arena_clear(&r.arena);
    assert_int_equal(fill(&r, &slow, "{}"), 0);
    assert_false(r.s.queue.enabled);
    assert_int_equal(r.s.timeout_ns, 30000000000u);
    gw_arena_clear(&r.arena);
}

/*
 * Scenario    batch: with null, with {}, disabled; its sizer set, inherited, and not
 * Guarantees  on, on, off; bytes only when it or the queue counts them
 */
static void a_batch_counts_in_its_own_unit_or_the_queues(void **state)
{
    static const struct {
        const char *yaml;
        bool enabled, by_bytes;
    } cases[] = {
        {"sending_queue: { batch: }", true, false},
        {"sending_queue: { batch: {} }", true, false},
        {"sending_queue: { batch: { enabled: false } }", false, false},
        {"sending_queue: { enabled: false, batch: {} }", false, false},
        {"sending_queue: { sizer: bytes, queue_size: 1000000, batch: {} }", true, true},
        {"sending_queue: { sizer: items, queue_size: 10000, batch: {} }", true, false},
        {"sending_queue: { batch: { sizer: bytes } }", true, true},
        {"sending_queue: { sizer: bytes, batch: { sizer: items } }", true, false},
    };
    struct rig r;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (fill(&r, &usual, cases[i].yaml) != 0)
            fail_msg("%s: %s", cases[i].yaml, r.said);
        assert_int_equal(gw_queue_batching(&r.s).enabled, cases[i].enabled);
        if (cases[i].enabled)
            assert_int_equal(gw_queue_batching(&r.s).by_bytes, cases[i].by_bytes);
        gw_arena_clear(&r.arena);
    }
}

/*
 * Scenario    each rule of the settings broken once
 * Guarantees  an error with the Collector's sentence, or the range, at the key's place
 */
static void mistakes_are_told(void **state)
{
    struct rig r;

    (void)state;
    says(&r, "sending_queue: { num_consumers: 0 }", "num_consumers");
    says(&r, "sending_queue: { queue_size: 0 }", "queue_size");
    says(&r, "sending_queue: { sizer: pieces }", "sizer");
    says(&r, "sending_queue: { storage: file_storage, wait_for_result: true }", "cannot be used with `storage`");
    says(&r, "sending_queue: { max_lag_bytes: 1 }", "`max_lag_bytes` needs `storage`");
    says(&r, "sending_queue: { on_full: spill }", "`on_full` needs `storage`");
    says(&r, "sending_queue: { storage: file_storage, on_full: spil }", "spill");
    says(&r, "sending_queue: { storage: file_storage, on_full: drop_oldest }", "needs `max_lag_bytes`");
    says(&r, "sending_queue: { storage: file_storage, max_memory_bytes: 1 }", "max_memory_bytes");
    says(&r, "sending_queue: { batch: { flush_timeout: 0s } }", "flush_timeout");
    says(&r, "sending_queue: { batch: { sizer: requests } }", "sizer");
    says(&r, "sending_queue: { batch: { min_size: 10, max_size: 5 } }",
         "`max_size` (5) must be greater or equal to `min_size` (10)");
    says(&r, "sending_queue: { sizer: items, batch: {} }", "`min_size` must be less than or equal to `queue_size`");
    says(&r, "sending_queue: { batch: { partition: { metadata_keys: [a, A] } } }", "duplicate entry in metadata_keys");
    says(&r, "retry_on_failure: { randomization_factor: 1.5 }", "randomization_factor");
    says(&r, "retry_on_failure: { multiplier: -1 }", "multiplier");
    says(&r, "retry_on_failure: { max_elapsed_time: 1s }",
         "'max_elapsed_time' must not be less than 'initial_interval'");
    says(&r, "retry_on_failure: { max_elapsed_time: 10s }", "'max_elapsed_time' must not be less than 'max_interval'");
    says(&r, "timeout: -1s", "timeout");
    says(&r, "sending_queue: { queue_sice: 3 }", "queue_size");
}

static void own_defaults(struct gw_queue_settings *s)
{
    s->queue.queue_size = 10;
    s->queue.has_batch = true;
    s->queue.batch.min_size = 1000000;
    s->queue.batch.max_size = 5000000;
    s->queue.batch.sizer = GW_BATCH_BYTES;
}

static void own_keys(const void *conf, const struct gw_node *node, struct gw_queue_settings *s)
{
    assert_null(conf);
    if (gw_node_get(node, "timeout"))
        s->retry.max_retries = 2;
}

static struct gw_queue_settings seen;

static void see(void *conf, const struct gw_queue_settings *s)
{
    assert_null(conf);
    seen = *s;
}

static const struct gw_exporter_ops special = {
    .queue_by_default = true, .queue_defaults = own_defaults, .queue_adjust = own_keys, .queue_seen = see};

/* Scenario: an exporter with defaults and keys of its own; one key of its batch written, others not.
 * Guarantees: its defaults hold where nothing is written, beside what is; its own keys come last; it sees the result.
 */
static void an_exporter_may_have_other_defaults(void **state)
{
    struct rig r;

    (void)state;
    assert_int_equal(fill(&r, &special, "{}"), 0);
    assert_int_equal(r.s.queue.queue_size, 10);
    assert_true(gw_queue_batching(&r.s).enabled);
    assert_int_equal(r.s.queue.batch.max_size, 5000000);
    assert_int_equal(r.s.retry.max_retries, 0);
    gw_arena_clear(&r.arena);
    assert_int_equal(fill(&r, &special, "{sending_queue: {batch: {flush_timeout: 1s}, queue_size: 7}, timeout: 3s}"),
                     0);
    assert_int_equal(r.s.retry.max_retries, 2);
    assert_int_equal(seen.retry.max_retries, 2);
    assert_int_equal(seen.queue.queue_size, 7);
    assert_int_equal(r.s.queue.queue_size, 7);
    assert_int_equal(r.s.queue.batch.flush_timeout_ns, 1000000000);
    assert_int_equal(r.s.queue.batch.min_size, 1000000);
    assert_int_equal(r.s.queue.batch.sizer, GW_BATCH_BYTES);
    gw_arena_clear(&r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exporter_may_have_other_defaults),
        cmocka_unit_test(defaults_are_the_collectors),
        cmocka_unit_test(a_batch_counts_in_its_own_unit_or_the_queues),
        cmocka_unit_test(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
