/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/slabs.h"

#include <errno.h>

#include "tests/harness.h"
#include "tests/harness_env.h"

enum { ITEM_BYTES = 256, MIB = 1 << 20, ITEMS = 40000 }; /* ten slabs of a MiB */

static void fill(struct gw_slabs *s, uint32_t *items)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(gw_slabs_reserve(s, 1), 0);
        items[i] = gw_slabs_take(s);
        memset(gw_slabs_at(s, items[i]), (int)i % 251, ITEM_BYTES);
    }
}

static void empty(struct gw_slabs *s, const uint32_t *items, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        const uint8_t *p = gw_slabs_at(s, items[i]);

        assert_true(p[0] == i % 251 && p[ITEM_BYTES - 1] == i % 251);
        gw_slabs_give(s, items[i]);
    }
}

/*
 * Scenario: a thread with a stock of payloads fills ten slabs of a MiB; half of them run empty, and payloads of a MiB
 * are wanted; then they come back, and slabs are wanted again
 * Guarantees: what a slab gives up is the next payload, and what comes back is the next slab: the thread has no more
 * memory than before. The budget is charged for what the slabs have. What was in the others stays
 */
static void memory_goes_to_and_fro(void **state)
{
    static uint32_t items[ITEMS];
    struct gw_payload_pool *pool = gw_payload_pool_new(64u << 20);
    struct gw_budget budget = {0};
    struct gw_payload *body[4];
    struct gw_slabs s;
    uint64_t held;

    (void)state;
    gw_payload_pool_enter(pool);
    gw_slabs_init(&s, &budget, ITEM_BYTES);
    assert_false(gw_slabs_lend(&s));
    fill(&s, items);
    held = budget.held_bytes;
    assert_false(gw_slabs_lend(&s));
    empty(&s, items, 0, ITEMS / 2);
    assert_true(s.n_empty >= 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(gw_payload_pool_has(MIB - GW_PAYLOAD_PAD));
        assert_true(gw_slabs_lend(&s));
        assert_true(gw_payload_pool_has(MIB - GW_PAYLOAD_PAD));
        assert_int_equal(gw_payload_pool_bytes(pool), MIB);
        body[i] = gw_payload_new(MIB - GW_PAYLOAD_PAD);
        memset(body[i]->p, 255, MIB);
        assert_int_equal(budget.held_bytes, held - (i + 1) * MIB);
        assert_int_equal(gw_slabs_held_bytes(&s), budget.held_bytes);
    }
    for (unsigned i = 0; i < 4; i++)
        (void)gw_payload_unref(body[i]);
    assert_int_equal(gw_payload_pool_bytes(pool), 4 * MIB);
    empty(&s, items, ITEMS / 2, ITEMS);
    fill(&s, items);
    assert_int_equal(gw_payload_pool_bytes(pool), 0);
    assert_int_equal(budget.held_bytes, held);
    empty(&s, items, 0, ITEMS);
    gw_slabs_trim(&s);
    assert_int_equal(gw_payload_pool_bytes(pool), held - s.cap_at * sizeof(*s.at));
    gw_slabs_clear(&s);
    assert_int_equal(budget.held_bytes, 0);
    gw_payload_pool_free(pool);
}

/*
 * Scenario: slabs of a small budget, which are smaller than a MiB; of a budget that is used up
 * Guarantees: they lend nothing, and have pages of their own; the budget holds
 */
static void small_slabs_keep_to_themselves(void **state)
{
    static uint32_t items[ITEMS];
    struct gw_payload_pool *pool = gw_payload_pool_new(64u << 20);
    struct gw_budget budget = {.max_bytes = 32 << 20}, full = {.max_bytes = 64 << 20};
    struct gw_slabs s;

    (void)state;
    gw_payload_pool_enter(pool);
    gw_slabs_init(&s, &budget, ITEM_BYTES);
    assert_int_equal(s.slab_bytes, MIB / 2);
    fill(&s, items);
    empty(&s, items, 0, ITEMS);
    assert_false(gw_slabs_lend(&s));
    gw_slabs_trim(&s);
    assert_int_equal(gw_payload_pool_bytes(pool), 0);
    gw_slabs_clear(&s);
    assert_true(gw_budget_take(&full, 63 << 20));
    gw_slabs_init(&s, &full, ITEM_BYTES);
    assert_int_equal(gw_slabs_reserve(&s, 1), -ENOSPC);
    assert_int_equal(full.held_bytes, (63 << 20) + 16 * sizeof(*s.at));
    gw_slabs_clear(&s);
    gw_payload_pool_free(pool);
}

enum { FEW_BYTES = 2 << 20, ROUNDS = 3000, MOST = 3000 };

/* The same items by runs of `by` as `one` gives one by one. */
static uint32_t take_as(struct gw_slabs *by, struct gw_slabs *one, uint32_t n, uint32_t *items)
{
    uint32_t at = 0;

    while (at < n) {
        struct gw_slabs_run run;
        uint32_t item;

        gw_slabs_take_run(by, n - at, &run);
        for (item = run.first; item && at < n; item = *gw_slabs_link(by, item)) {
            uint32_t next = gw_slabs_next(one);

            items[at] = gw_slabs_take(one);
            assert_true(next == 0 || next == items[at]);
            assert_int_equal(item, items[at++]);
            assert_int_equal(gw_slabs_slab_of(by, item), gw_slabs_slab_of(by, run.first));
        }
        assert_int_equal(items[at - 1], run.last);
        assert_int_equal(item, 0);
    }
    return n;
}

/*
 * Scenario: items are taken from one store by runs and from another one by one, and given back in any order
 * Guarantees: both give the same items and count the same; a run is a chain that ends, of one slab
 */
static void a_run_is_what_one_takes_one_by_one(void **state)
{
    static uint32_t items[ROUNDS * 20];
    struct gw_budget budget = {.max_bytes = FEW_BYTES}, other = budget;
    uint64_t seed = 7;
    struct gw_slabs by, one;
    uint32_t n = 0;

    (void)state;
    gw_slabs_init(&by, &budget, ITEM_BYTES);
    gw_slabs_init(&one, &other, ITEM_BYTES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t want = (uint32_t)(gw_test_random(&seed) % 20 + 1);

        assert_int_equal(gw_slabs_reserve(&by, want), 0);
        assert_int_equal(gw_slabs_reserve(&one, want), 0);
        n += take_as(&by, &one, want, items + n);
        while (n > MOST || (n && gw_test_random(&seed) % 12 > 0)) {
            uint32_t i = (uint32_t)(gw_test_random(&seed) % n);

            gw_slabs_give(&by, items[i]);
            gw_slabs_give(&one, items[i]);
            items[i] = items[--n];
        }
        assert_int_equal(by.n_used, n);
        assert_int_equal(by.n_free, one.n_free);
        assert_int_equal(budget.held_bytes, other.held_bytes);
    }
    assert_true(by.n_slabs > 3);
    gw_slabs_clear(&by);
    gw_slabs_clear(&one);
    assert_int_equal(budget.held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_goes_to_and_fro),
        cmocka_unit_test(small_slabs_keep_to_themselves),
        cmocka_unit_test(a_run_is_what_one_takes_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
