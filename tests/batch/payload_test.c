/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/payload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/harness.h"

/*
 * Scenario: a payload of 10 bytes is filled, then grown to 100 KiB
 * Guarantees: what was written stays, the pad behind the end is readable
 */
static void growing_keeps_what_was_written(void **state)
{
    struct gw_payload *pl = gw_payload_new(10);

    (void)state;
    assert_true(pl->cap >= 10);
    memcpy(pl->p, "0123456789", 10);
    pl->n = 10;
    assert_int_equal(gw_payload_reserve(pl, 100 << 10), 0);
    assert_true(pl->cap - pl->n >= 100 << 10);
    assert_memory_equal(pl->p, "0123456789", 10);
    memset(pl->p + pl->cap, 0, GW_PAYLOAD_PAD);
    assert_int_equal(gw_payload_reserve(pl, (size_t)1 << 31), -E2BIG);
    assert_null(gw_payload_unref(pl));
    assert_null(gw_payload_new((size_t)1 << 31));
}

/*
 * Scenario: a payload grows piece by piece from 10 bytes to 3 MB, out of a pool and without one; then it is given back
 * Guarantees: what was written stays; large ones have pages of their own, and none of those is kept in the pool
 */
static void what_grows_for_long_has_its_own_pages(void **state)
{
    (void)state;
    for (int pooled = 0; pooled < 2; pooled++) {
        struct gw_payload_pool *p = pooled ? gw_payload_pool_new(64 << 20) : NULL;
        struct gw_payload *pl, *next;

        gw_payload_pool_enter(p);
        pl = gw_payload_new(10);
        for (uint32_t i = 0; i < 3000000 / 1000; i++) {
            assert_int_equal(gw_payload_reserve_paged(pl, 1000), 0);
            memset(pl->p + pl->n, (int)(i % 251), 1000);
            pl->n += 1000;
            if (i == 20)
                assert_false(pl->paged);
        }
        assert_true(pl->paged);
        assert_true(pl->cap <= 5000000);
        for (uint32_t i = 0; i < 3000; i++)
            assert_true(pl->p[i * 1000] == i % 251 && pl->p[i * 1000 + 999] == i % 251);
        memset(pl->p + pl->cap, 0, GW_PAYLOAD_PAD);
        assert_int_equal(gw_payload_reserve_paged(pl, (size_t)1 << 31), -E2BIG);
        next = gw_payload_new(pl->cap);
        assert_null(gw_payload_unref(pl));
        assert_null(gw_payload_unref(next));
        pl = gw_payload_new(3000000);
        assert_false(pl->paged);
        assert_null(gw_payload_unref(pl));
        gw_payload_pool_free(p);
    }
}

/*
 * Scenario: a payload grows from 400 KB by halves to 5 MB, and the last time as one whose end is not known; in a pool
 * and without one
 * Guarantees: what was written stays, whether its bytes were the heap's or pages; all of it goes back
 */
static void what_has_pages_grows_like_any_other(void **state)
{
    (void)state;
    for (int pooled = 0; pooled < 2; pooled++) {
        struct gw_payload_pool *p = pooled ? gw_payload_pool_new(64 << 20) : NULL;
        struct gw_payload *pl;

        gw_payload_pool_enter(p);
        pl = gw_payload_new(400000);
        assert_false(pl->mapped);
        while (pl->cap < 5000000) {
            memset(pl->p + pl->n, 'x', pl->cap - pl->n);
            pl->n = pl->cap;
            assert_int_equal(gw_payload_reserve(pl, pl->cap / 2), 0);
            memset(pl->p + pl->cap, 0, GW_PAYLOAD_PAD);
        }
        assert_true(pl->mapped);
        assert_int_equal(gw_payload_reserve_paged(pl, 9000000), 0);
        assert_true(pl->paged && !pl->mapped);
        for (uint32_t i = 0; i < pl->n; i++)
            assert_true(pl->p[i] == 'x');
        assert_null(gw_payload_unref(pl));
        gw_payload_pool_free(p);
    }
}

/*
 * Scenario: a payload of a MiB comes back from its thread, and from another
 * Guarantees: it is told that there is one until it is taken; without a pool, and of other sizes, there is none
 */
static void it_is_known_what_lies_there(void **state)
{
    struct gw_payload_pool *p = gw_payload_pool_new(64 << 20);

    (void)state;
    assert_false(gw_payload_pool_has(1000000));
    gw_payload_pool_enter(p);
    for (int other = 0; other < 2; other++) {
        struct gw_payload *pl = gw_payload_new(1000000);

        assert_false(gw_payload_pool_has(1000000));
        gw_payload_pool_enter(other ? NULL : p);
        (void)gw_payload_unref(pl);
        gw_payload_pool_enter(p);
        assert_true(gw_payload_pool_has(1000000));
        assert_false(gw_payload_pool_has(100) || gw_payload_pool_has(1u << 30));
        assert_ptr_equal(gw_payload_new(1000000), pl);
        (void)gw_payload_unref(pl);
        gw_payload_pool_trim(p, 0);
        gw_payload_pool_trim(p, 0);
    }
    gw_payload_pool_free(p);
}

/*
 * Scenario: payloads of one class are given back and asked for again, on the owner's thread
 * Guarantees: the same memory comes back; a class that nothing was given back to makes a new one
 */
static void a_pool_hands_out_what_came_back(void **state)
{
    struct gw_payload_pool *p = gw_payload_pool_new(1 << 20);
    struct gw_payload *a, *b;

    (void)state;
    gw_payload_pool_enter(p);
    a = gw_payload_new(5000);
    (void)gw_payload_unref(a);
    b = gw_payload_new(6000);
    assert_ptr_equal(a, b);
    assert_int_equal(b->n, 0);
    (void)gw_payload_unref(b);
    b = gw_payload_new(60000);
    assert_true(b->cap >= 60000);
    (void)gw_payload_unref(b);
    gw_payload_pool_free(p);
}

/*
 * Scenario: more is given back than the pool may keep
 * Guarantees: the surplus is freed (the sanitizer would see a leak, the accounting would overflow)
 */
static void a_full_pool_frees_the_rest(void **state)
{
    struct gw_payload_pool *p = gw_payload_pool_new(8 << 10);
    struct gw_payload *out[4];

    (void)state;
    gw_payload_pool_enter(p);
    for (int i = 0; i < 4; i++)
        out[i] = gw_payload_new(4000);
    for (int i = 0; i < 4; i++)
        (void)gw_payload_unref(out[i]);
    gw_payload_pool_free(p);
}

/*
 * Scenario: three large payloads and a small one are out at once and come back; then, between two trims, only one of
 * the large ones is asked for Guarantees: what was out at once stays over the first trim; the second gives back what
 * was not needed since, and no more than until the floor is reached
 */
static void what_was_not_needed_goes_back(void **state)
{
    struct gw_payload_pool *p = gw_payload_pool_new(64 << 20);
    struct gw_payload *big[3], *small, *again;

    (void)state;
    gw_payload_pool_enter(p);
    small = gw_payload_new(100);
    for (int i = 0; i < 3; i++)
        big[i] = gw_payload_new(1000000);
    for (int i = 0; i < 3; i++)
        (void)gw_payload_unref(big[i]);
    (void)gw_payload_unref(small);
    assert_int_equal(gw_payload_pool_bytes(p), (3 << 20) + 4096);
    gw_payload_pool_trim(p, 0);
    assert_int_equal(gw_payload_pool_bytes(p), (3 << 20) + 4096);
    again = gw_payload_new(1000000);
    assert_ptr_equal(again, big[2]);
    (void)gw_payload_unref(again);
    gw_payload_pool_trim(p, 2 << 20);
    assert_int_equal(gw_payload_pool_bytes(p), (1 << 20) + 4096);
    gw_payload_pool_trim(p, 0);
    assert_int_equal(gw_payload_pool_bytes(p), 0);
    gw_payload_pool_free(p);
}

static void *give_back(void *arg)
{
    struct gw_payload **out = arg;

    for (int i = 0; i < 100; i++)
        (void)gw_payload_unref(out[i]);
    return NULL;
}

/*
 * Scenario: another thread drops the last references, some of them after the pool's owner has gone
 * Guarantees: they go home over the inbox; the pool lives until the last one is back
 */
static void payloads_come_home_from_any_thread(void **state)
{
    struct gw_payload_pool *p = gw_payload_pool_new(64 << 20);
    struct gw_payload *out[100], *again;
    pthread_t thread;
    bool seen = false;

    (void)state;
    gw_payload_pool_enter(p);
    for (int i = 0; i < 100; i++)
        out[i] = gw_payload_new(100);
    assert_int_equal(pthread_create(&thread, NULL, give_back, out), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    again = gw_payload_new(100);
    for (int i = 0; i < 100; i++)
        seen |= out[i] == again;
    assert_true(seen);
    (void)gw_payload_unref(again);
    for (int i = 0; i < 100; i++)
        out[i] = gw_payload_new(100);
    assert_int_equal(pthread_create(&thread, NULL, give_back, out), 0);
    gw_payload_pool_free(p);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_keeps_what_was_written),      cmocka_unit_test(what_grows_for_long_has_its_own_pages),
        cmocka_unit_test(a_pool_hands_out_what_came_back),     cmocka_unit_test(a_full_pool_frees_the_rest),
        cmocka_unit_test(what_has_pages_grows_like_any_other), cmocka_unit_test(it_is_known_what_lies_there),
        cmocka_unit_test(what_was_not_needed_goes_back),       cmocka_unit_test(payloads_come_home_from_any_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
