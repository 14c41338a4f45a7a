/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that rest: whose turn it is, and for how long. The breaker itself: tests/core/breaker_test.c. */
#include "tests/harness.h"

#include "exporters/elasticsearch/nodes.h"
#include "pipeline/component.h"
#include "tests/harness_env.h"

#define SECOND 1000000000ull

static struct gw_es_nodes nodes;
static uint64_t now;
static struct gw_test_env te;

static void begin(const char *const *urls, unsigned n)
{
    static struct gw_es_conf conf;
    static struct gw_ctx ctx = {.id = "elasticsearch"};

    gw_test_env_init(&te, 3);
    ctx.env = &te.env;
    conf = (struct gw_es_conf){.endpoints = {(void *)urls, n, sizeof(*urls)},
                               .http.endpoint = "",
                               .cloudid = "",
                               .user = "",
                               .password = "",
                               .api_key = "",
                               .filter_path = "",
                               .breaker = {.enabled = true,
                                           .error_share = 0.5,
                                           .min_calls = 20,
                                           .window_ns = 10 * SECOND,
                                           .consecutive = 5,
                                           .initial_ns = SECOND,
                                           .max_ns = 60 * SECOND}};
    nodes = (struct gw_es_nodes){0};
    now = 1000 * SECOND;
    assert_int_equal(gw_es_nodes_init(&nodes, &conf, &ctx, NULL), 0);
}

static void end(void)
{
    gw_es_nodes_clear(&nodes);
    gw_test_env_clear(&te);
}

static struct gw_es_node *pick(bool want_awake)
{
    uint64_t wait;
    struct gw_es_node *n = gw_es_nodes_pick(&nodes, now, &wait);

    assert_int_equal(wait == 0, want_awake);
    assert_int_equal(gw_es_nodes_any(&nodes, now), want_awake);
    return n;
}

static void refuse(struct gw_es_node *n)
{
    gw_es_node_end(n, gw_breaker_begin(&n->breaker, now), GW_SIGN_AWAY, "refused", now);
}

/* Scenario: one of two servers fails again and again, each time when it may be asked again.
 * Guarantees: one failure is enough; the other is asked meanwhile; the pause grows from 1 s to a minute. */
static void a_server_that_fails_rests_while_others_work(void **state)
{
    static const char *const urls[] = {"http://a", "http://b"};
    static const unsigned rests[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct gw_es_node *a;

    (void)state;
    begin(urls, 2);
    a = &nodes.list[0];
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        uint64_t wait;

        refuse(a);
        wait = gw_breaker_wait_ns(&a->breaker, now);
        assert_in_range(wait, rests[i] * SECOND * 3 / 4, rests[i] * SECOND * 5 / 4);
        now += wait - 1;
        assert_ptr_equal(pick(true), &nodes.list[1]);
        assert_ptr_equal(pick(true), &nodes.list[1]);
        now += 1;
    }
    end();
}

/* Scenario: one server. Guarantees: five failures in a row, as the settings say: there is no other to ask. */
static void the_only_server_has_more_chances(void **state)
{
    static const char *const urls[] = {"http://a"};

    (void)state;
    begin(urls, 1);
    for (unsigned i = 0; i < 4; i++)
        refuse(&nodes.list[0]);
    assert_ptr_equal(pick(true), &nodes.list[0]);
    refuse(&nodes.list[0]);
    (void)pick(false);
    end();
}

/* Scenario: all servers rest. Guarantees: the first that may be asked again is named, and how long until then. */
static void when_all_rest_the_first_to_wake_is_named(void **state)
{
    static const char *const urls[] = {"http://a", "http://b", "http://c"};
    uint64_t wait;

    (void)state;
    begin(urls, 3);
    refuse(&nodes.list[1]);
    now += SECOND * 6 / 10;
    refuse(&nodes.list[0]);
    refuse(&nodes.list[2]);
    assert_ptr_equal(pick(false), &nodes.list[1]);
    assert_ptr_equal(gw_es_nodes_pick(&nodes, now, &wait), &nodes.list[1]);
    assert_int_equal(wait, gw_breaker_wait_ns(&nodes.list[1].breaker, now));
    now += wait;
    assert_ptr_equal(pick(true), &nodes.list[1]);
    (void)gw_breaker_begin(&nodes.list[1].breaker, now); /* the probe is under way: look again soon */
    (void)gw_es_nodes_pick(&nodes, now, &wait);
    assert_in_range(wait, 1, SECOND / 10);
    now += 2 * SECOND;
    assert_ptr_equal(pick(true), &nodes.list[2]);
    assert_ptr_equal(pick(true), &nodes.list[0]);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_fails_rests_while_others_work),
        cmocka_unit_test(the_only_server_has_more_chances),
        cmocka_unit_test(when_all_rest_the_first_to_wake_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
