/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that rest: whose turn it is, and for how long. */
#include "tests/harness.h"

#include "exporters/elasticsearch/nodes.h"
#include "pipeline/component.h"

static const uint64_t SECOND = 1000000000;
static struct gw_es_nodes nodes;
static uint64_t now;

static void begin(const char *const *urls, unsigned n)
{
    static struct gw_es_conf conf;
    static const struct gw_ctx ctx = {.id = "elasticsearch"};

    conf = (struct gw_es_conf){.endpoints = {(void *)urls, n, sizeof(*urls)},
                               .http.endpoint = "",
                               .cloudid = "",
                               .user = "",
                               .password = "",
                               .api_key = "",
                               .filter_path = ""};
    nodes = (struct gw_es_nodes){0};
    now = 1000 * SECOND;
    assert_int_equal(gw_es_nodes_init(&nodes, &conf, &ctx, NULL), 0);
}

static struct gw_es_node *pick(bool want_awake)
{
    bool awake;
    struct gw_es_node *n = gw_es_nodes_pick(&nodes, now, &awake);

    assert_int_equal(awake, want_awake);
    return n;
}

/* Scenario: a server fails again and again, each time when its rest is over; then it answers.
 * Guarantees: it rests for 1, 2, 4, … seconds, a minute at most; an answer ends that. */
static void a_rest_grows_to_a_minute(void **state)
{
    static const char *const urls[] = {"http://a", "http://b"};
    static const unsigned rests[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct gw_es_node *a;

    (void)state;
    begin(urls, 2);
    a = &nodes.list[0];
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        gw_es_node_failed(a, now, "refused", NULL);
        assert_int_equal(a->rests_until_ns - now, rests[i] * SECOND);
        now += rests[i] * SECOND - 1;
        assert_ptr_equal(pick(true), &nodes.list[1]);
        assert_ptr_equal(pick(true), &nodes.list[1]);
        now += 1;
    }
    gw_es_node_answered(a, NULL);
    gw_es_node_failed(a, now, "refused", NULL);
    assert_int_equal(a->rests_until_ns - now, SECOND);
    gw_es_nodes_clear(&nodes);
}

/* Scenario: ten requests are under way when a server goes down.
 * Guarantees: ten failures are one: the rest is that of the first. */
static void requests_that_fail_together_count_once(void **state)
{
    static const char *const urls[] = {"http://a"};

    (void)state;
    begin(urls, 1);
    for (unsigned i = 0; i < 10; i++)
        gw_es_node_failed(&nodes.list[0], now + i, "reset", NULL);
    assert_int_equal(nodes.list[0].failures, 1);
    assert_int_equal(nodes.list[0].rests_until_ns, now + SECOND);
    gw_es_nodes_clear(&nodes);
}

/* Scenario: all servers rest.
 * Guarantees: the one whose rest ends first is named, and that it is no time yet. */
static void when_all_rest_the_first_to_wake_is_asked(void **state)
{
    static const char *const urls[] = {"http://a", "http://b", "http://c"};

    (void)state;
    begin(urls, 3);
    gw_es_node_failed(&nodes.list[0], now, "x", NULL);
    gw_es_node_failed(&nodes.list[1], now - SECOND / 2, "x", NULL);
    gw_es_node_failed(&nodes.list[2], now, "x", NULL);
    assert_ptr_equal(pick(false), &nodes.list[1]);
    assert_ptr_equal(pick(false), &nodes.list[1]);
    now += SECOND / 2;
    assert_ptr_equal(pick(true), &nodes.list[1]);
    now += SECOND;
    assert_ptr_equal(pick(true), &nodes.list[2]);
    assert_ptr_equal(pick(true), &nodes.list[0]);
    gw_es_nodes_clear(&nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rest_grows_to_a_minute),
        cmocka_unit_test(requests_that_fail_together_count_once),
        cmocka_unit_test(when_all_rest_the_first_to_wake_is_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
