/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue in memory leaves to others: for what can wait elsewhere, and of the memory that bodies take. */
#include "tests/queue/edge_rig.h"

/*
 * Scenario    a queue of ten items; none, three, five of them, and none again
 * Guarantees  half of it may be filled; an empty one takes anything; one without an end does, too
 */
static void half_of_a_queue_is_for_others(void **state)
{
    struct rig r;

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
    struct rig r;
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

/*
 * Scenario    ten bodies of one size, memory whose soft mark is that of ten bodies; then a body larger than all of it
 * Guarantees  two with the exporter at once: a quarter; the next when one is done; a body that is too large goes alone
 */
static void bodies_with_an_exporter_are_a_quarter_of_the_memory(void **state)
{
    struct rig r;
    size_t one;

    (void)state;
    set_up(&r);
    start(&r);
    put(&r, GW_LOGS, 1, 5, NULL);
    turn(&r);
    one = r.sink->waiting[0]->body.n;
    assert_true(gw_test_sink_answer(r.sink, &OK));
    atomic_store(&r.memory.soft_bytes, one * 10);
    for (unsigned i = 0; i < 9; i++)
        put(&r, GW_LOGS, 1, 5, NULL);
    put(&r, GW_LOGS, 1, 500, NULL);
    turn(&r);
    for (unsigned left = 9; left > 0; left--) {
        assert_int_equal(r.sink->n_waiting, left < 2 ? left : 2);
        assert_true(gw_test_sink_answer(r.sink, &OK));
        turn(&r);
    }
    assert_int_equal(r.sink->n_waiting, 1);
    assert_int_equal(r.sink->waiting[0]->rows, 500);
    assert_true(gw_test_sink_answer(r.sink, &OK));
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_a_queue_is_for_others),
        cmocka_unit_test(memory_is_for_others_too),
        cmocka_unit_test(bodies_with_an_exporter_are_a_quarter_of_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
