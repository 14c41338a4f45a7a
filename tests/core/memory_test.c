/* SPDX-License-Identifier: Apache-2.0 */
/* Arena, buffer, inbox and credit: what everything else stands on. */
#include "tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/credit.h"
#include "core/inbox.h"

/*
 * Scenario    small and oversized allocations, a copy, up to the maximum and one byte more
 * Guarantees  16-byte alignment, no overlap, NULL over the maximum; the arena stays usable
 */
static void an_arena_gives_aligned_room_up_to_its_maximum(void **state)
{
    struct gw_arena a;
    uint8_t *p[20];

    (void)state;
    gw_arena_init(&a, 64, 4096);
    for (unsigned i = 0; i < 20; i++) {
        p[i] = gw_arena_alloc(&a, i + 1);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        memset(p[i], (int)i, i + 1);
    }
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 0; k <= i; k++)
            assert_int_equal(p[i][k], i);
    assert_non_null(gw_arena_alloc(&a, 1024));
    assert_null(gw_arena_alloc(&a, 4096));
    assert_true(gw_slice_is(gw_arena_dup(&a, GW_SLICE("abc")), "abc"));
    assert_int_equal(*(uint64_t *)gw_arena_zalloc(&a, 8), 0);
    assert_null(gw_arena_alloc(&a, SIZE_MAX));
    gw_arena_clear(&a);
    assert_int_equal(a.held_bytes, 0);
}

/*
 * Scenario    the same work after each of several resets
 * Guarantees  kept chunks are used again: the arena holds no more than after the first round
 */
static void an_arena_keeps_its_chunks(void **state)
{
    struct gw_arena a;
    size_t held = 0;

    (void)state;
    gw_arena_init(&a, 256, 1u << 20);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 100; i++)
            assert_non_null(gw_arena_alloc(&a, 40));
        if (round == 0)
            held = a.held_bytes;
        assert_int_equal(a.held_bytes, held);
        gw_arena_reset(&a, SIZE_MAX);
    }
    gw_arena_reset(&a, 300);
    assert_true(a.held_bytes <= 300);
    gw_arena_clear(&a);
}

/*
 * Scenario    appends up to the maximum, one beyond, a formatted one, then the memory is taken
 * Guarantees  the failed append changes nothing but `failed`; reset makes the buffer good again
 */
static void a_buffer_stops_at_its_maximum(void **state)
{
    struct gw_buf b;
    uint8_t *p;
    size_t n;

    (void)state;
    gw_buf_init(&b, 10);
    gw_buf_put_str(&b, "12345678");
    gw_buf_put_str(&b, "abc");
    assert_true(b.failed);
    assert_int_equal(b.n, 8);
    assert_int_equal(gw_buf_reserve(&b, SIZE_MAX), -E2BIG);
    gw_buf_reset(&b);
    gw_buf_printf(&b, "%d-%s", 42, "x");
    assert_true(gw_slice_is(gw_buf_slice(&b), "42-x"));
    p = gw_buf_take(&b, &n);
    assert_int_equal(n, 4);
    free(p);
    assert_null(b.p);
    gw_buf_clear(&b);
}

/*
 * Scenario    texts printed into an empty buffer, into the room that is left to the byte, over it, over the maximum
 * Guarantees  all of a text or nothing of it
 */
static void a_printed_text_is_whole(void **state)
{
    struct gw_buf b;

    (void)state;
    for (size_t before = 245; before <= 256; before++) {
        gw_buf_init(&b, 1000);
        gw_buf_printf(&b, "%*s", (int)before, "");
        gw_buf_printf(&b, "%s-%d", "abcdef", 123);
        assert_false(b.failed);
        assert_int_equal(b.n, before + 10);
        assert_memory_equal(b.p + before, "abcdef-123", 10);
        gw_buf_printf(&b, "%*s", 1000, "");
        assert_true(b.failed);
        assert_int_equal(b.n, before + 10);
        gw_buf_clear(&b);
    }
}

/*
 * Scenario    admission up to the soft mark, growth up to the hard mark, amounts that would overflow
 * Guarantees  both marks hold exactly, and what is given back can be taken again
 */
static void credit_holds_both_marks(void **state)
{
    struct gw_credit c;

    (void)state;
    gw_credit_init(&c, 100, 150);
    assert_true(gw_credit_admit(&c, 100));
    assert_false(gw_credit_admit(&c, 1));
    assert_true(gw_credit_take(&c, 50));
    assert_false(gw_credit_take(&c, 1));
    assert_false(gw_credit_take(&c, UINT64_MAX));
    gw_credit_give(&c, 150);
    assert_true(gw_credit_admit(&c, 1));
    assert_int_equal(c.used_bytes, 1);
}

enum { N_THREADS = 4, N_ITEMS = 20000 };

struct message {
    struct gw_inbox_item item;
    unsigned thread, number;
};

static struct gw_inbox box;
static struct gw_credit budget;

static void *push_many(void *arg)
{
    struct message *m = arg;

    for (unsigned i = 0; i < N_ITEMS; i++) {
        while (!gw_credit_take(&budget, 3))
            ;
        (void)gw_inbox_push(&box, &m[i].item);
    }
    return NULL;
}

/*
 * Scenario    four threads push 20,000 items each, bounded by a credit, while one takes
 * Guarantees  every item arrives once, in each writer's order; the credit ends at zero and never passes its mark
 */
static void an_inbox_brings_everything_in_order(void **state)
{
    struct message *m = calloc(N_THREADS * N_ITEMS, sizeof(*m));
    unsigned next[N_THREADS] = {0}, got = 0;
    pthread_t t[N_THREADS];

    (void)state;
    assert_non_null(m);
    gw_credit_init(&budget, 3000, 3000);
    for (unsigned i = 0; i < N_THREADS * N_ITEMS; i++) {
        m[i].thread = i / N_ITEMS;
        m[i].number = i % N_ITEMS;
    }
    for (unsigned i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, push_many, m + i * N_ITEMS), 0);
    while (got < N_THREADS * N_ITEMS) {
        for (struct gw_inbox_item *i = gw_inbox_take(&box), *after; i; i = after) {
            struct message *one = (struct message *)i;

            after = i->next;
            assert_int_equal(one->number, next[one->thread]++);
            assert_true(atomic_load(&budget.used_bytes) <= 3000);
            gw_credit_give(&budget, 3);
            got++;
        }
    }
    for (unsigned i = 0; i < N_THREADS; i++)
        (void)pthread_join(t[i], NULL);
    assert_true(gw_inbox_is_empty(&box));
    assert_int_equal(budget.used_bytes, 0);
    free(m);
}

/*
 * Scenario    two pushes into an empty inbox
 * Guarantees  only the first asks for a wake
 */
static void only_the_first_push_asks_for_a_wake(void **state)
{
    struct gw_inbox in = {NULL};
    struct gw_inbox_item a, b;

    (void)state;
    assert_true(gw_inbox_push(&in, &a));
    assert_false(gw_inbox_push(&in, &b));
    assert_ptr_equal(gw_inbox_take(&in), &a);
    assert_ptr_equal(a.next, &b);
    assert_null(b.next);
    assert_true(gw_inbox_push(&in, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_gives_aligned_room_up_to_its_maximum),
        cmocka_unit_test(an_arena_keeps_its_chunks),
        cmocka_unit_test(a_buffer_stops_at_its_maximum),
        cmocka_unit_test(a_printed_text_is_whole),
        cmocka_unit_test(credit_holds_both_marks),
        cmocka_unit_test(an_inbox_brings_everything_in_order),
        cmocka_unit_test(only_the_first_push_asks_for_a_wake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
