/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "pipeline/component.h"
#include "queue/edge.h"
#include "tests/batch/hand.h"
#include "tests/harness_env.h"

/* Scenario: two requests of five rows go to nop.
 * Guarantees: each is answered as delivered on the spot, by the worker: no thread, no queue, no bytes. */
static void what_it_takes_is_delivered(void **state)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct hand_ticket tickets[2];
    struct gw_edge_conf conf;
    struct gw_edge_put how;
    struct gw_test_env te;
    struct gw_arena arena;
    struct gw_edge *e;
    struct gw_view v;
    bool old;

    (void)state;
    gw_test_env_init(&te, 1);
    gw_arena_init(&arena, 4096, 1 << 20);
    conf = (struct gw_edge_conf){
        .env = &te.env,
        .component = gw_component_find(GW_EXPORTER, GW_SLICE("nop"), &old),
        .id = "nop",
        .signals = GW_ALL_SIGNALS,
        .meter = gw_meter_new(),
    };
    assert_int_equal(conf.component->create(&conf.self, NULL, NULL, NULL), 0);
    assert_int_equal(gw_edge_new(&conf, &e), 0);
    assert_false(gw_edge_needs_thread(e));
    for (int i = 0; i < 2; i++) {
        hand_ticket_init(&tickets[i], 5);
        hand_segment(b, 5, &tickets[i].t);
    }
    gw_view_init(&v, b, &arena);
    how = (struct gw_edge_put){.scratch = NULL};
    gw_edge_put(e, &v, &how);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tickets[i].posts, 1);
        assert_int_equal(tickets[i].t.worst, GW_DELIVERED);
        assert_int_equal(tickets[i].t.open, 0);
    }
    assert_true(gw_edge_is_empty(e));
    gw_batch_unref(b);
    gw_edge_free(e);
    conf.component->destroy(conf.self);
    gw_meter_free(conf.meter);
    gw_arena_clear(&arena);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_it_takes_is_delivered)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
