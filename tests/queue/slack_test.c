/* SPDX-License-Identifier: Apache-2.0 */
/* A queue in memory says whether there is room for what can wait elsewhere, so that others find some, too. */
#include "tests/queue/edge_rig.h"

static struct rig r;

/*
 * Scenario    a queue of ten items; none, three, five of them, and none again
 * Guarantees  half of it may be filled; an empty one takes anything; one without an end does, too
 */
static void half_of_a_queue_is_for_others(void **state)
{
    (void)state;
    set_up(&r);
    r.conf.settings.queue.sizer = GW_SIZER_ITEMS;
    r.conf.settings.queue.queue_size = 10;
    start(&r);
    assert_true(gw_edge_has_slack(r.edge, GW_LOGS, 100, 1));
    put(&r, GW_LOGS, 1, 3, NULL);
    assert_true(gw_edge_has_slack(r.edge, GW_LOGS, 2, 1));
    assert_false(gw_edge_has_slack(r.edge, GW_LOGS, 3, 1));
    assert_true(gw_edge_has_slack(r.edge, GW_TRACES, 5, 1));
    put(&r, GW_LOGS, 4, 2, NULL);
    assert_false(gw_edge_has_slack(r.edge, GW_LOGS, 1, 1));
    assert_true(gw_edge_reserve(r.edge, GW_LOGS, 5, false));
    gw_edge_unreserve(r.edge, GW_LOGS, 5);
    turn(&r);
    while (r.sink->n_waiting) {
        gw_test_sink_answer(r.sink, &OK);
        turn(&r);
    }
    assert_true(gw_edge_has_slack(r.edge, GW_LOGS, 100, 1));
    tear_down(&r);
}

/*
 * Scenario    a queue with room, while the process has 1000 bytes free, then next to nothing
 * Guarantees  it grows by what is free twice over; an empty one takes a piece all the same, so that something goes on
 */
static void memory_is_for_others_too(void **state)
{
    uint64_t held;

    (void)state;
    set_up(&r);
    start(&r);
    atomic_store(&r.memory.soft_bytes, 0);
    assert_true(gw_edge_has_slack(r.edge, GW_LOGS, 1, 1000));
    put(&r, GW_LOGS, 1, 1, NULL);
    held = r.memory.used_bytes;
    assert_false(gw_edge_has_slack(r.edge, GW_LOGS, 1, 1));
    atomic_store(&r.memory.soft_bytes, held + 2 * (held + 400));
    assert_true(gw_edge_has_slack(r.edge, GW_LOGS, 1, 400));
    assert_false(gw_edge_has_slack(r.edge, GW_LOGS, 1, 401));
    turn(&r);
    gw_test_sink_answer(r.sink, &OK);
    turn(&r);
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_a_queue_is_for_others),
        cmocka_unit_test(memory_is_for_others_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
