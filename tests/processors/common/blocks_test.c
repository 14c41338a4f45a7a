/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <stdlib.h>

#include "processors/common/blocks.h"
#include "tests/harness_env.h"

enum { N_CHAINS = 40, STEPS = 20000, PIECE = 3000, BUDGET = 1 << 20 };

struct model {
    struct gw_buf bytes;
    struct gw_chain chain;
};

static void check(const struct gw_blocks *b, const struct model *m)
{
    uint32_t cut = m->chain.n_bytes / 3;
    struct gw_chain_reader r;
    struct gw_buf out;

    assert_int_equal(m->chain.n_bytes, m->bytes.n);
    assert_true(gw_chain_is(b, &m->chain, gw_buf_slice(&m->bytes)));
    gw_buf_init(&out, 1 << 24);
    assert_int_equal(gw_buf_reserve(&out, m->bytes.n + 1), 0);
    gw_chain_begin(b, &m->chain, &r);
    assert_true(gw_chain_read(&r, out.p, cut)); /* read, copied, skipped */
    assert_int_equal(cut ? memcmp(out.p, m->bytes.p, cut) : 0, 0);
    assert_true(gw_chain_copy(&r, &out, cut));
    assert_int_equal(cut ? memcmp(out.p, m->bytes.p + cut, cut) : 0, 0);
    assert_false(gw_chain_skip(&r, m->chain.n_bytes - 2 * cut + 1));
    assert_true(gw_chain_skip(&r, m->chain.n_bytes - 2 * cut));
    assert_false(gw_chain_read(&r, out.p, 1));
    gw_buf_clear(&out);
}

static void add(struct gw_blocks *b, struct model *m, uint64_t *seed)
{
    uint8_t piece[PIECE];
    size_t n = gw_test_random(seed) % 4 ? gw_test_random(seed) % 300 : gw_test_random(seed) % PIECE;
    struct gw_chain before = m->chain;
    uint64_t used = b->slabs.n_used;
    int r;

    for (size_t i = 0; i < n; i++)
        piece[i] = (uint8_t)gw_test_random(seed);
    r = gw_blocks_append(b, &m->chain, gw_slice_of(piece, n));
    if (r == 0) {
        gw_buf_put(&m->bytes, piece, n);
        return;
    }
    assert_int_equal(r, -ENOSPC);
    assert_memory_equal(&before, &m->chain, sizeof(before));
    assert_int_equal(used, b->slabs.n_used);
}

/*
 * Scenario: many chains grow, are read and dropped in any order, with a budget that they reach; others take and give
 * of the same budget.
 * Guarantees: what is read is what was appended; a refused append changes nothing; what is held is what the chains'
 * lengths say, slabs are counted, and never is more held than the budget.
 */
static void test_chains_against_plain_buffers(void **state)
{
    struct gw_budget budget = {.max_bytes = BUDGET};
    struct model all[N_CHAINS] = {0};
    uint64_t seed = 1, refused = 0;
    struct gw_blocks b;

    (void)state;
    gw_blocks_init(&b, &budget);
    for (unsigned i = 0; i < N_CHAINS; i++)
        gw_buf_init(&all[i].bytes, 1 << 24);
    for (unsigned step = 0; step < STEPS; step++) {
        struct model *m = &all[gw_test_random(&seed) % N_CHAINS];
        uint64_t blocks = 0;

        refused += b.slabs.n_free == 0;
        if (gw_test_random(&seed) % (step / 4000 % 2 ? 8 : 60)) { /* it fills, then it empties */
            add(&b, m, &seed);
        } else {
            check(&b, m);
            gw_blocks_drop(&b, &m->chain);
            gw_buf_reset(&m->bytes);
        }
        if (step % 1000 == 0)
            gw_slabs_trim(&b.slabs);
        assert_true(budget.held_bytes <= BUDGET);
        assert_int_equal(budget.held_bytes, gw_blocks_slab_bytes(&b));
        for (unsigned i = 0; step % 16 == 0 && i < N_CHAINS; i++)
            blocks += (all[i].chain.n_bytes + GW_BLOCK_BYTES - 1) / GW_BLOCK_BYTES;
        if (step % 16 == 0)
            assert_int_equal(gw_blocks_held_bytes(&b), blocks * GW_BLOCK_BYTES);
    }
    assert_true(refused > 0);
    for (unsigned i = 0; i < N_CHAINS; i++) {
        check(&b, &all[i]);
        gw_blocks_drop(&b, &all[i].chain);
        gw_buf_clear(&all[i].bytes);
    }
    assert_int_equal(gw_blocks_held_bytes(&b), 0);
    gw_slabs_trim(&b.slabs);
    assert_int_equal(b.slabs.n_slabs, 0);
    gw_blocks_clear(&b);
    assert_int_equal(budget.held_bytes, 0);
}

/*
 * Scenario: a chain that is a byte short of 4 GiB.
 * Guarantees: what does not fit its count is refused by a name of its own, however much memory there is.
 */
static void test_a_chain_has_less_than_four_gib(void **state)
{
    struct gw_budget budget = {0};
    struct gw_chain c = {.n_bytes = UINT32_MAX - 1};
    struct gw_blocks b;

    (void)state;
    gw_blocks_init(&b, &budget);
    assert_int_equal(gw_blocks_append(&b, &c, GW_SLICE("ab")), -EOVERFLOW);
    assert_int_equal(gw_blocks_reserve(&b, &c, UINT64_MAX), -EOVERFLOW);
    assert_int_equal(c.n_bytes, UINT32_MAX - 1);
    assert_int_equal(budget.held_bytes, 0);
    gw_blocks_clear(&b);
}

/*
 * Scenario: a store that has given out all slab numbers but the last doubling of its list.
 * Guarantees: more blocks than numbers of 32 bits is no room, not a number that comes around.
 */
static void test_block_numbers_do_not_come_around(void **state)
{
    struct gw_budget budget = {0};
    struct gw_blocks b;

    (void)state;
    gw_blocks_init(&b, &budget);
    b.slabs.n_at = b.slabs.cap_at = UINT32_C(1) << (31 - b.slabs.shift); /* as if */
    assert_int_equal(gw_slabs_reserve(&b.slabs, 1), -ENOSPC);
    b.slabs.n_at = b.slabs.cap_at = 0;
    gw_blocks_clear(&b);
}

/*
 * Scenario: a level of 10 slabs, a peak of 100, then the level again for three while.
 * Guarantees: what was not needed in a whole while goes, a few slabs at a time; what the level needs stays.
 */
static void test_what_a_peak_took_goes_back(void **state)
{
    struct gw_budget budget = {0};
    uint8_t bytes[GW_BLOCK_BYTES] = {0};
    struct gw_chain low = {0}, high = {0};
    struct gw_blocks b;

    (void)state;
    gw_blocks_init(&b, &budget);
    for (unsigned i = 0; i < 10 * b.slabs.n_items; i++)
        assert_int_equal(gw_blocks_append(&b, &low, gw_slice_of(bytes, sizeof(bytes))), 0);
    for (unsigned i = 0; i < 90 * b.slabs.n_items; i++)
        assert_int_equal(gw_blocks_append(&b, &high, gw_slice_of(bytes, sizeof(bytes))), 0);
    assert_int_equal(b.slabs.n_slabs, 100);
    gw_blocks_drop(&b, &high);
    gw_slabs_age(&b.slabs);
    gw_slabs_release(&b.slabs, 1000);
    assert_int_equal(b.slabs.n_slabs, 100); /* it was needed a moment ago */
    gw_slabs_age(&b.slabs);
    gw_slabs_release(&b.slabs, 7);
    assert_int_equal(b.slabs.n_slabs, 93);
    gw_slabs_release(&b.slabs, 1000);
    assert_int_equal(b.slabs.n_slabs, 10);
    assert_int_equal(budget.held_bytes, gw_blocks_slab_bytes(&b));
    gw_blocks_drop(&b, &low);
    gw_blocks_clear(&b);
    assert_int_equal(budget.held_bytes, 0);
}

/*
 * Scenario: a budget's limit is lowered below what is held.
 * Guarantees: nothing is added until enough was given back.
 */
static void test_a_lowered_budget(void **state)
{
    struct gw_budget budget = {.max_bytes = 100};

    (void)state;
    assert_true(gw_budget_take(&budget, 80));
    budget.max_bytes = 50;
    assert_false(gw_budget_take(&budget, 1));
    gw_budget_give(&budget, 40);
    assert_false(gw_budget_take(&budget, 11));
    assert_true(gw_budget_take(&budget, 10));
}

/*
 * Scenario: a budget without a limit of its own in a process that has 100 MiB; then others take 60 of them.
 * Guarantees: what is held is charged to the process; it grows to four fifths, and not at all while others need the
 * room; what is given back is given back there, too.
 */
static void test_a_budget_is_a_share_of_the_process(void **state)
{
    struct gw_credit process;
    struct gw_budget budget = {.process = &process};
    unsigned n = 0;

    (void)state;
    gw_credit_init(&process, 100 << 20, 120 << 20);
    while (n < 200 && gw_budget_take(&budget, 1 << 20))
        n++;
    assert_int_equal(n, 80);
    assert_int_equal(process.used_bytes, 80 << 20);
    gw_budget_give(&budget, 60 << 20);
    assert_int_equal(process.used_bytes, 20 << 20);
    assert_true(gw_credit_take(&process, 60 << 20));
    assert_true(gw_budget_take(&budget, 1 << 20));
    assert_true(gw_credit_take(&process, 18 << 20));
    assert_false(gw_budget_take(&budget, 1 << 20)); /* 1 MiB is free, 21 are held */
    assert_true(gw_credit_take(&process, 20 << 20));
    assert_false(gw_budget_take(&budget, 1 << 20)); /* over the soft mark */
    assert_int_equal(budget.held_bytes, 21 << 20);
    gw_budget_give(&budget, 21 << 20);
    assert_int_equal(process.used_bytes, 98 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains_against_plain_buffers),
        cmocka_unit_test(test_a_chain_has_less_than_four_gib),
        cmocka_unit_test(test_block_numbers_do_not_come_around),
        cmocka_unit_test(test_what_a_peak_took_goes_back),
        cmocka_unit_test(test_a_budget_is_a_share_of_the_process),
        cmocka_unit_test(test_a_lowered_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
