/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/meta.h"

#include "tests/harness.h"

static struct gw_meta *make(const char *tenant, const char *peer, const char *k, const char *v, const char *transport)
{
    struct gw_meta_pair pairs[] = {
        {gw_slice_cstr(k), gw_slice_cstr(v)}, {GW_SLICE("x-two"), GW_SLICE("1")}, {GW_SLICE("x-two"), GW_SLICE("2")}};
    struct gw_meta_pair auth[] = {{GW_SLICE("subject"), GW_SLICE("me")}};
    struct gw_meta from = {.tenant = gw_slice_cstr(tenant),
                           .peer = gw_slice_cstr(peer),
                           .transport = transport,
                           .pairs = pairs,
                           .n_pairs = 3,
                           .auth = auth,
                           .n_auth = 1};

    return gw_meta_new(&from);
}

/*
 * Scenario: a meta is copied from texts on the stack; keys are looked up in another case
 * Guarantees: values in order, nothing behind the last, auth kept apart from the headers
 */
static void values_are_found_without_case(void **state)
{
    struct gw_meta *m = make("eu", "127.0.0.1:1", "x-one", "a", "grpc");
    struct gw_slice v;

    (void)state;
    assert_true(gw_meta_find(m, GW_SLICE("X-One"), 0, &v));
    assert_true(gw_slice_is(v, "a"));
    assert_true(gw_meta_find(m, GW_SLICE("x-two"), 1, &v));
    assert_true(gw_slice_is(v, "2"));
    assert_false(gw_meta_find(m, GW_SLICE("x-two"), 2, &v));
    assert_false(gw_meta_find(m, GW_SLICE("subject"), 0, &v));
    assert_false(gw_meta_find(NULL, GW_SLICE("x-one"), 0, &v));
    assert_true(gw_slice_is(m->auth[0].value, "me"));
    assert_null(gw_meta_unref(m));
}

/*
 * Scenario: metas that differ in one thing each
 * Guarantees: tenant, peer, key and value count, the transport does not; equal ones hash equally
 */
static void equality_leaves_only_the_transport_out(void **state)
{
    struct gw_meta *a = make("eu", "p", "k", "v", "grpc");
    struct gw_meta *others[] = {make("us", "p", "k", "v", "grpc"), make("eu", "q", "k", "v", "grpc"),
                                make("eu", "p", "kv", "", "grpc"), make("eu", "p", "k", "w", "grpc")};
    struct gw_meta *same = make("eu", "p", "k", "v", "http");

    (void)state;
    assert_true(gw_meta_eq(a, same));
    assert_int_equal(a->hash, same->hash);
    assert_true(gw_meta_eq(NULL, NULL));
    assert_false(gw_meta_eq(a, NULL));
    assert_false(gw_meta_eq(NULL, a));
    for (unsigned i = 0; i < 4; i++) {
        assert_false(gw_meta_eq(a, others[i]));
        (void)gw_meta_unref(others[i]);
    }
    (void)gw_meta_unref(a);
    (void)gw_meta_unref(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_without_case),
        cmocka_unit_test(equality_leaves_only_the_transport_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
