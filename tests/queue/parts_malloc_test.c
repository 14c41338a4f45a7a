/* SPDX-License-Identifier: Apache-2.0 */
/* Memory is short at the moment when requests become one body in parts, or when that is cut: every allocation of that
 * moment fails once. */
#include "tests/harness_malloc.h"

#include "tests/queue/edge_rig.h"

static const struct gw_sent_info LARGE = {.sent = GW_SENT_TOO_LARGE, .message = "413"};

enum { ROWS = 4000, REQUESTS = 3, ALL = REQUESTS * ROWS };
static uint64_t names[ALL];
static uint8_t seen[ALL];

static void note(const struct gw_attempt *a)
{
    struct gw_rope rope = gw_attempt_rope(a);
    struct gw_buf body;
    unsigned n;

    gw_buf_init(&body, 64u << 20);
    gw_buf_put_rope(&body, rope);
    n = gw_test_names(GW_LOGS, gw_buf_slice(&body), names, ALL);
    assert_int_equal(n, a->rows);
    for (unsigned i = 0; i < n; i++)
        seen[names[i]]++;
    gw_buf_clear(&body);
}

/* False: there is no n-th allocation. */
static bool play(bool is_cut, uint64_t nth)
{
    bool failed;
    struct rig r;

    gw_malloc_pause(1);
    memset(seen, 0, sizeof(seen));
    set_up(&r);
    r.conf.settings.queue.has_batch = true;
    r.conf.settings.queue.batch.min_size = ALL;
    r.conf.settings.breaker.enabled = false;
    r.edge = new_edge(&r, &gw_test_parts_exporter, "scripted", &r.sink);
    assert_int_equal(gw_edge_open(r.edge, r.loop, NULL), 0);
    for (unsigned i = 0; i < REQUESTS; i++)
        put(&r, GW_LOGS, i * ROWS, ROWS, NULL);
    if (is_cut)
        turn(&r);
    gw_malloc_pause(-1);
    gw_malloc_fail_at(nth);
    if (is_cut)
        gw_test_sink_answer(r.sink, &LARGE);
    turn(&r);
    failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    gw_malloc_pause(1);
    for (unsigned i = 0; i < 20; i++) {
        while (r.sink->n_waiting) {
            note(r.sink->waiting[0]);
            gw_test_sink_answer(r.sink, &OK);
        }
        pass(&r, S);
    }
    for (unsigned i = 0; i < ALL; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(gw_edge_counts(r.edge, GW_LOGS).delivered, ALL);
    assert_int_equal(r.memory.used_bytes, 0);
    tear_down(&r);
    gw_malloc_pause(-1);
    return failed;
}

/*
 * Scenario    three large requests become one, or the one is too large for the sink; the n-th allocation fails
 * Guarantees  all rows reach the sink, each once, in one body, in halves or as they came; what was charged is given
 * back
 */
static void rows_go_on_without_memory(void **state)
{
    (void)state;
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        uint64_t n = 1;

        while (play(is_cut, n))
            n++;
        assert_in_range(n, 3, 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_go_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
