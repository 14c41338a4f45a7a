/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "series/top.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { ITEMS = 400, PARTS = 4 };

/* Items are u16; the first are much more frequent. */
static unsigned draw(uint64_t *x)
{
    uint64_t r = gw_test_random(x);

    return (unsigned)((r >> 32) % (1 + (r % ITEMS)) % (1 + (r >> 16) % ITEMS));
}

static void add(struct gw_top **t, struct gw_heap *heap, unsigned size, unsigned item, uint64_t n)
{
    uint16_t bytes = (uint16_t)item;

    assert_int_equal(gw_top_add(t, heap, size, gw_slice_of(&bytes, 2), n), 0);
}

static void check(struct gw_top *t, unsigned size, const uint64_t *have, uint64_t total)
{
    struct gw_top_item item[ITEMS];
    bool is_there[ITEMS] = {false};
    unsigned n = gw_top_read(t, item, ITEMS);

    assert_true(n <= size);
    assert_true(gw_top_total(t) == total);
    for (unsigned i = 0; i < n; i++) {
        uint16_t id;

        assert_int_equal(item[i].bytes.n, 2);
        memcpy(&id, item[i].bytes.p, 2);
        assert_false(is_there[id]);
        is_there[id] = true;
        assert_true(item[i].count >= have[id] && item[i].count - item[i].error <= have[id]);
        assert_true(item[i].count - have[id] <= total / size);
        assert_true(i == 0 || item[i - 1].count >= item[i].count);
    }
    for (unsigned i = 0; i < ITEMS; i++)
        assert_true(is_there[i] || have[i] <= total / size);
}

static void assert_equal(struct gw_top *a, struct gw_top *b)
{
    struct gw_buf x, y;

    gw_buf_init(&x, 1 << 20);
    gw_buf_init(&y, 1 << 20);
    gw_top_save(a, &x);
    gw_top_save(b, &y);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    gw_buf_clear(&x);
    gw_buf_clear(&y);
}

static void one_seed(uint64_t seed)
{
    static const unsigned sizes[] = {1, 5, 40, 150, ITEMS};
    unsigned size = sizes[seed % 5];
    struct gw_heap heap = {0};
    struct gw_top *all = NULL, *part[PARTS] = {NULL}, *left = NULL, *right = NULL;
    uint64_t have[ITEMS] = {0}, total = 0, x = seed;

    for (unsigned i = 0; i < 2000; i++) {
        unsigned item = draw(&x);
        uint64_t n = 1 + item % 3;

        have[item] += n;
        total += n;
        add(&all, &heap, size, item, n);
        add(&part[gw_test_random(&x) % PARTS], &heap, size, item, n);
    }
    check(all, size, have, total);
    assert_int_equal(gw_top_merge(&left, &heap, part[0]), 0);
    assert_int_equal(gw_top_merge(&left, &heap, part[1]), 0);
    assert_int_equal(gw_top_merge(&right, &heap, part[1]), 0);
    assert_int_equal(gw_top_merge(&right, &heap, part[0]), 0);
    assert_equal(left, right);
    for (unsigned i = 2; i < PARTS; i++)
        assert_int_equal(gw_top_merge(&left, &heap, part[i]), 0);
    check(left, size, have, total);
    if (size == ITEMS)
        assert_equal(left, all);
    for (unsigned i = 0; i < PARTS; i++)
        gw_top_free(&part[i], &heap);
    gw_top_free(&all, &heap);
    gw_top_free(&left, &heap);
    gw_top_free(&right, &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/*
 * Scenario    2,000 of up to 400 items, a few of them frequent, into 1 to 400 counters; and in four parts, merged
 * Guarantees  against exact counts: what is more frequent than total / size is there, no count is too low, nor too high
 *             by more than that, and what its error says holds; two merge alike from either side; with enough counters
 *             the parts give the same bytes as all at once
 */
static void the_frequent_are_there(void **state)
{
    (void)state;
    gw_test_seeds(60, one_seed);
}

/* Scenario: equal counts, the empty item, one that is too long. Guarantees: all apart, in an order that does not depend
 * on which came first; 256 bytes are what counts. */
static void items_are_any_bytes(void **state)
{
    struct gw_heap heap = {0};
    struct gw_top *a = NULL, *b = NULL;
    struct gw_top_item item[8];
    char text[300];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < 4; i++) {
        static const size_t n[] = {0, 1, 256, 300};

        assert_int_equal(gw_top_add(&a, &heap, 8, gw_slice_of(text, n[i]), 1 + (i < 2)), 0);
        assert_int_equal(gw_top_add(&b, &heap, 8, gw_slice_of(text, n[3 - i]), 1 + (i > 1)), 0);
    }
    assert_equal(a, b);
    assert_int_equal(gw_top_read(a, item, 8), 3);
    assert_int_equal(item[0].count + item[1].count + item[2].count, 6);
    assert_int_equal(gw_top_add(&a, &heap, 8, GW_SLICE("y"), 0), 0);
    assert_int_equal(gw_top_read(a, item, 8), 3);
    memcpy(text + 254, "\xe2\x82\xac", 3); /* of a character, all or nothing is kept */
    assert_int_equal(gw_top_add(&a, &heap, 8, gw_slice_of(text, 300), 9), 0);
    assert_int_equal(gw_top_read(a, item, 1), 1);
    assert_int_equal(item[0].bytes.n, 254);
    assert_int_equal(gw_top_read(NULL, item, 8), 0);
    gw_top_free(&a, &heap);
    gw_top_free(&b, &heap);
}

static uint64_t count_of(struct gw_top *t, const char *item, uint64_t *ret_error)
{
    struct gw_top_item items[4];

    for (unsigned i = gw_top_read(t, items, 4); i-- > 0;)
        if (gw_slice_is(items[i].bytes, item)) {
            *ret_error = items[i].error;
            return items[i].count;
        }
    return 0;
}

/* Scenario: an item that the other side had, and gave up. Guarantees: it counts as that side's smallest, and its error
 * says so. */
static void what_was_given_up_is_in_the_error(void **state)
{
    struct gw_heap heap = {0};
    struct gw_top *a = NULL, *b = NULL;
    uint64_t error = 0;

    (void)state;
    assert_int_equal(gw_top_add(&a, &heap, 2, GW_SLICE("x"), 10), 0);
    assert_int_equal(gw_top_add(&b, &heap, 2, GW_SLICE("x"), 5), 0);
    assert_int_equal(gw_top_add(&b, &heap, 2, GW_SLICE("p"), 10), 0);
    assert_int_equal(gw_top_add(&b, &heap, 2, GW_SLICE("q"), 6), 0);
    assert_true(count_of(b, "q", &error) == 11 && error == 5);
    assert_int_equal(gw_top_merge(&a, &heap, b), 0);
    assert_true(count_of(a, "x", &error) == 20 && error == 10);
    gw_top_free(&a, &heap);
    gw_top_free(&b, &heap);
}

/* Scenario: every limit of a heap. Guarantees: -ENOSPC, the counters as they were; what is full already takes over. */
static void memory_is_limited(void **state)
{
    struct gw_heap heap = {0};
    struct gw_top *other = NULL;

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        add(&other, &heap, 10, i, 2);
    for (uint64_t max = 1; max < 1600; max += 16) {
        struct gw_heap small = {.max_bytes = max};
        struct gw_top *t = NULL;
        uint64_t total = 0, held;

        for (uint16_t i = 0; i < 20; i++)
            total += gw_top_add(&t, &small, 10, gw_slice_of(&i, 2), 1) == 0;
        held = small.held_bytes;
        assert_true(held <= max && gw_top_total(t) == total);
        if (gw_top_merge(&t, &small, other) == 0) {
            total += 24;
        } else {
            assert_int_equal(small.held_bytes, held);
        }
        assert_true(gw_top_total(t) == total);
        gw_top_free(&t, &small);
        assert_int_equal(small.held_bytes, 0);
    }
    gw_top_free(&other, &heap);
}

/* Scenario: saved; every prefix, every bit turned, twice the same item. Guarantees: equal, or an error. */
static void bytes_are_restored(void **state)
{
    struct gw_heap heap = {0};
    struct gw_top *t = NULL, *u = NULL;
    struct gw_buf b;
    struct gw_slice in;

    (void)state;
    gw_buf_init(&b, 1 << 16);
    for (unsigned i = 0; i < 9; i++)
        add(&t, &heap, 6, i % 8, 1 + i);
    gw_top_save(t, &b);
    in = gw_buf_slice(&b);
    assert_int_equal(gw_top_restore(&u, &heap, 6, &in), 0);
    assert_int_equal(in.n, 0);
    assert_equal(t, u);
    gw_top_free(&u, &heap);
    in = gw_buf_slice(&b);
    assert_int_equal(gw_top_restore(&u, &heap, 5, &in), -EBADMSG);
    for (size_t n = 0; n < b.n; n++) {
        in = gw_slice_of(b.p, n);
        assert_int_equal(gw_top_restore(&u, &heap, 6, &in), -EBADMSG);
        assert_null(u);
    }
    for (size_t bit = 0; bit < 8 * b.n; bit++) {
        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        in = gw_buf_slice(&b);
        (void)gw_top_restore(&u, &heap, 6, &in);
        gw_top_free(&u, &heap);
        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(b.p + 12 + 16 + 4, b.p + 12 + 22 + 16 + 4, 2);
    in = gw_buf_slice(&b);
    assert_int_equal(gw_top_restore(&u, &heap, 6, &in), -EBADMSG);
    gw_top_free(&t, &heap);
    gw_buf_clear(&b);
    assert_int_equal(heap.held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frequent_are_there),
        cmocka_unit_test(items_are_any_bytes),
        cmocka_unit_test(what_was_given_up_is_in_the_error),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(bytes_are_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
