/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/meta.h"

#include "core/buf.h"
#include "tests/harness.h"

#include <errno.h>

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
 * Guarantees: tenant, peer (unless it is left out), key and value count, the transport does not; equal ones hash
 *             equally
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
    assert_true(gw_meta_eq_but_peer(NULL, NULL) && !gw_meta_eq_but_peer(a, NULL) && gw_meta_eq_but_peer(a, same));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(gw_meta_eq_but_peer(a, others[i]), i == 1); /* whose peer is another one */
    assert_false(gw_meta_eq(a, NULL));
    assert_false(gw_meta_eq(NULL, a));
    for (unsigned i = 0; i < 4; i++) {
        assert_false(gw_meta_eq(a, others[i]));
        (void)gw_meta_unref(others[i]);
    }
    (void)gw_meta_unref(a);
    (void)gw_meta_unref(same);
}

/*
 * Scenario: ids of requests in front of a meta, in front of nothing, none of them; cut off anywhere
 * Guarantees: both come back; who only wants the meta has it; what is cut off is no ids
 */
static void ids_stand_in_front_of_a_meta(void **state)
{
    struct gw_meta *m = make("eu", "127.0.0.1:1", "x-one", "", "grpc"), *back;
    static uint8_t ids[32 * 16];
    struct gw_slice got, rest;
    struct gw_buf b;

    (void)state;
    memset(ids, 7, sizeof(ids));
    gw_buf_init(&b, 1 << 20);
    gw_meta_write_ids(ids, 0, &b);
    assert_int_equal(b.n, 0);
    gw_meta_write_ids(ids, sizeof(ids), &b);
    assert_true(gw_meta_split(gw_buf_slice(&b), &got, &rest));
    assert_true(gw_slice_eq(got, gw_slice_of(ids, sizeof(ids))) && rest.n == 0);
    assert_int_equal(gw_meta_read(gw_buf_slice(&b), &back), 0);
    assert_null(back);
    for (size_t n = 1; n < b.n; n++) {
        assert_false(gw_meta_split(gw_slice_of(b.p, n), &got, &rest));
        assert_int_equal(gw_meta_read(gw_slice_of(b.p, n), &back), -EBADMSG);
    }
    gw_meta_write(m, &b);
    assert_int_equal(gw_meta_read(gw_buf_slice(&b), &back), 0);
    assert_true(gw_meta_eq(m, back));
    (void)gw_meta_unref(back);
    gw_buf_reset(&b);
    gw_meta_write(m, &b);
    assert_true(gw_meta_split(gw_buf_slice(&b), &got, &rest));
    assert_true(got.n == 0 && rest.n == b.n);
    gw_buf_clear(&b);
    (void)gw_meta_unref(m);
}

/*
 * Scenario: a meta as bytes and back; every prefix of the bytes, and each byte of them changed to anything
 * Guarantees: equal, transport included; nothing else than the whole is read, and no bytes do harm
 */
static void a_meta_comes_back_from_its_bytes(void **state)
{
    struct gw_meta *m = make("eu", "127.0.0.1:1", "x-one", "", "grpc"), *back;
    struct gw_buf b;

    (void)state;
    gw_buf_init(&b, 1 << 20);
    gw_meta_write(m, &b);
    assert_int_equal(gw_meta_read(gw_buf_slice(&b), &back), 0);
    assert_true(gw_meta_eq(m, back));
    assert_string_equal(back->transport, "grpc");
    (void)gw_meta_unref(back);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(gw_meta_read(gw_slice_of(b.p, n), &back), -EBADMSG);
    for (size_t i = 0; i < b.n; i++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t before = b.p[i];

            b.p[i] = (uint8_t)v;
            assert_true((gw_meta_read(gw_buf_slice(&b), &back) == 0) == (back != NULL));
            if (i == 0 && v != 1)
                assert_null(back);
            (void)gw_meta_unref(back);
            b.p[i] = before;
        }
    assert_int_equal(gw_meta_read(GW_SLICE("\x01\x00\x00\x00\xff\xff\xff\xff\x0f"), &back), -EBADMSG);
    gw_buf_put_u8(&b, 0);
    assert_int_equal(gw_meta_read(gw_buf_slice(&b), &back), -EBADMSG);
    assert_null(back);
    gw_buf_clear(&b);
    (void)gw_meta_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_without_case),
        cmocka_unit_test(equality_leaves_only_the_transport_out),
        cmocka_unit_test(a_meta_comes_back_from_its_bytes),
        cmocka_unit_test(ids_stand_in_front_of_a_meta),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
