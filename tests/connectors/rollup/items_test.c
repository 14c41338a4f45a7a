/* SPDX-License-Identifier: Apache-2.0 */
/* How many different values an attribute had, and which were the most frequent ones. */
#include "tests/connectors/rollup/windows.h"

#define SETTINGS "allowed_lateness: 0s\ntime: { bounded_delay: 0s }\nkeys: { resource: [service.name] }\n"

/*
 * Scenario    values of two attributes: a text five times, a number and its text, and records without it
 * Guarantees  different ones are counted, the most frequent ones named with their numbers; a number is its text
 */
static void items_are_told_apart(void **state)
{
    (void)state;
    open_rollup(GW_METRICS, SETTINGS "item: user\naggregates: [count, distinct, top2]\n", 1);
    for (unsigned i = 0; i < 5; i++)
        gauge(0, 1, 1, STR("user", "ann"));
    gauge(0, 1, 1, INT("user", "7"));
    gauge(0, 2, 1, STR("user", "7"));
    gauge(0, 2, 1, STR("user", "bob"));
    gauge(0, 3, 1, STR("other", "x"));
    until(30);
    IS_TOLD("temperature.count", 10, 9);
    IS_TOLD("temperature.distinct", 10, 3);
    IS_TOLD("temperature.top2", 10, 5, "user=ann");
    IS_TOLD("temperature.top2", 10, 2, "user=7");
    assert_int_equal(TOLD("temperature.top2", 10, "user=bob").times, 0);
    close_rollup();
}

/*
 * Scenario    10,000 different items in a rollup of 64 MiB
 * Guarantees  their number is right within three sigma (1.6 % each), and memory is that of one sketch
 */
static void many_items_take_no_memory(void **state)
{
    enum { N = 10000 };
    struct found f;

    (void)state;
    open_rollup(GW_METRICS, SETTINGS "item: user\naggregates: [distinct]\nmax_bytes: 67108864\n", 1);
    for (unsigned i = 0; i < N; i++) {
        char attrs[64];

        (void)snprintf(attrs, sizeof(attrs), INT("user", "%u"), i);
        gauge(0, 1, 1, attrs);
    }
    gw_joint_tick(&r, 0, 1);
    assert_true(gw_joint_metric(&r, "staunch_rollup_state_bytes{component=\"rollup\",signal=\"metrics\"}") < 1 << 20);
    until(30);
    f = TOLD("temperature.distinct", 10);
    assert_int_equal(f.times, 1);
    assert_true(f.value > N * 0.952 && f.value < N * 1.048);
    close_rollup();
}

static void settings_are_checked(void **state)
{
    (void)state;
    gw_joint_refuses("rollup", "aggregates: [distinct]", "needs `item`");
    gw_joint_refuses("rollup", "aggregates: [top0]\nitem: a", "there is no \"top0\"");
    gw_joint_refuses("rollup", "aggregates: [top101]\nitem: a", "there is no \"top101\"");
    gw_joint_refuses("rollup", "aggregates: [topx]\nitem: a", "there is no \"topx\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(items_are_told_apart),
                                       cmocka_unit_test(many_items_take_no_memory),
                                       cmocka_unit_test(settings_are_checked)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
