/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdlib.h>

#include "processors/common/ids.h"
#include "tests/harness_env.h"

enum { MAX = 50, STEPS = 30000 };

struct known {
    uint8_t id[16];
    uint64_t value;
};

/* Newest last. */
struct model {
    struct known all[MAX];
    unsigned n;
};

static unsigned model_find(const struct model *m, const uint8_t id[16])
{
    unsigned i = 0;

    while (i < m->n && memcmp(m->all[i].id, id, 16) != 0)
        i++;
    return i;
}

static void model_remove(struct model *m, unsigned i)
{
    memmove(&m->all[i], &m->all[i + 1], (m->n - i - 1) * sizeof(m->all[0]));
    m->n--;
}

static void model_put(struct model *m, const uint8_t id[16], uint64_t value, unsigned max)
{
    unsigned i = model_find(m, id);

    if (i < m->n)
        model_remove(m, i);
    else if (m->n == max)
        model_remove(m, 0);
    memcpy(m->all[m->n].id, id, 16);
    m->all[m->n++].value = value;
}

static void against_a_list(unsigned max)
{
    struct model m = {.n = 0};
    struct gw_test_env te;
    struct gw_ids *ids;
    uint64_t seed = max, held;

    gw_test_env_init(&te, 1);
    ids = gw_ids_new(&te.env, max);
    assert_non_null(ids);
    held = gw_ids_held_bytes(ids);
    for (unsigned step = 0; step < STEPS; step++) {
        uint8_t id[16] = {(uint8_t)(gw_test_random(&seed) % (max * 2)), 7};
        uint64_t value = 0;
        unsigned i = model_find(&m, id);

        if (gw_test_random(&seed) % 2) {
            gw_ids_put(ids, id, step);
            model_put(&m, id, step, max);
        } else {
            assert_int_equal(gw_ids_get(ids, id, &value), i < m.n);
            if (i < m.n) {
                assert_int_equal(value, m.all[i].value);
                model_put(&m, id, value, max);
            }
        }
        assert_int_equal(gw_ids_n(ids), m.n);
    }
    assert_int_equal(gw_ids_held_bytes(ids), held);
    gw_ids_free(ids);
    gw_test_env_clear(&te);
}

/*
 * Scenario: twice as many ids as it may know are put and asked for at random.
 * Guarantees: it knows exactly the last `max` that were put or asked for, each with its last value; its memory is what
 * it was in the beginning.
 */
static void test_against_a_list(void **state)
{
    (void)state;
    against_a_list(1);
    against_a_list(2);
    against_a_list(MAX);
}

enum { MANY = 200000, MORE = 250000 };

static void number(uint8_t id[16], uint32_t i)
{
    memset(id, 1, 16);
    memcpy(id + 5, &i, sizeof(i));
}

/* It knows the last `known` of MORE. */
static void knows_the_last(struct gw_ids *ids, uint32_t known)
{
    uint8_t id[16];
    uint64_t value;

    assert_int_equal(gw_ids_n(ids), known);
    for (uint32_t i = 0; i < MORE; i++) {
        number(id, i);
        gw_ids_prefetch(ids, id);
        gw_ids_prefetch_entry(ids, id);
        assert_int_equal(gw_ids_peek(ids, id, &value), i >= MORE - known);
        assert_true(i < MORE - known || value == i);
    }
}

/*
 * Scenario: a table so large that it has pages of its own; it is taken over by a smaller one
 * Guarantees: it knows the last ones, and so does its heir
 */
static void test_a_large_table(void **state)
{
    struct gw_test_env te;
    struct gw_ids *ids, *heir;
    uint8_t id[16];

    (void)state;
    gw_test_env_init(&te, 1);
    ids = gw_ids_new(&te.env, MANY);
    heir = gw_ids_new(&te.env, MANY / 2);
    assert_true(ids && heir);
    for (uint32_t i = 0; i < MORE; i++) {
        number(id, i);
        gw_ids_put(ids, id, i);
    }
    knows_the_last(ids, MANY);
    gw_ids_adopt(heir, ids);
    knows_the_last(heir, MANY / 2);
    assert_int_equal(gw_ids_n(ids), 0);
    gw_ids_free(ids);
    gw_ids_free(heir);
    gw_test_env_clear(&te);
}

/*
 * Scenario: nothing may be known.
 * Guarantees: then nothing is.
 */
static void test_none(void **state)
{
    struct gw_test_env te;
    struct gw_ids *ids;
    uint8_t id[16] = {1};
    uint64_t value = 3;

    (void)state;
    gw_test_env_init(&te, 1);
    ids = gw_ids_new(&te.env, 0);
    gw_ids_put(ids, id, 1);
    assert_false(gw_ids_get(ids, id, &value));
    assert_int_equal(value, 3);
    assert_int_equal(gw_ids_n(ids), 0);
    gw_ids_free(ids);
    gw_ids_free(NULL);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_a_large_table),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
