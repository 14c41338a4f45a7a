/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "processors/common/ids.h"
#include "tests/harness_env.h"

enum { MAX = 40, STEPS = 5000 };

static struct gw_test_env te;

static void id_of(uint64_t n, uint8_t ret[16])
{
    uint64_t s = n + 1, v[2] = {gw_test_random(&s), gw_test_random(&s)};

    memcpy(ret, v, 16);
}

struct walk {
    uint64_t values[MAX + 1];
    unsigned n;
};

static void one(void *arg, const uint8_t id[16], uint64_t value)
{
    struct walk *w = arg;
    uint8_t must[16];

    assert_true(w->n < MAX + 1);
    id_of(value, must);
    assert_memory_equal(id, must, 16);
    w->values[w->n++] = value;
}

/*
 * Scenario    ids are put, asked for and peeked at, by chance; a table of 40, and one that knows nothing
 * Guarantees  each tells all that are known, once, the one that was longest not asked for first; peeking finds the same
 *             and moves nothing; a table made of what it tells is the same
 */
static void each_is_in_the_order_of_asking(void **state)
{
    uint64_t order[MAX], seed = 7, value;
    struct walk w, again;
    struct gw_ids *ids, *copy;
    unsigned n = 0, k;
    uint8_t id[16];

    (void)state;
    gw_test_env_init(&te, 1);
    ids = gw_ids_new(&te.env, MAX);
    copy = gw_ids_new(&te.env, MAX);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t name = gw_test_random(&seed) % (2 * MAX), what = gw_test_random(&seed) % 3;

        id_of(name, id);
        for (k = 0; k < n && order[k] != name; k++)
            ;
        if (what == 0) {
            assert_int_equal(gw_ids_peek(ids, id, &value), k < n);
        } else if (what == 1 ? gw_ids_get(ids, id, &value) : (gw_ids_put(ids, id, name), true)) {
            if (k == n && n == MAX)
                k = 0;
            else if (k == n)
                n++;
            memmove(order + k, order + k + 1, (n - k - 1) * sizeof(*order));
            order[n - 1] = name;
        }
        w.n = 0;
        gw_ids_each(ids, one, &w);
        assert_int_equal(w.n, n);
        assert_memory_equal(w.values, order, n * sizeof(*order));
    }
    for (unsigned i = 0; i < w.n; i++) {
        id_of(w.values[i], id);
        gw_ids_put(copy, id, w.values[i]);
    }
    again.n = 0;
    gw_ids_each(copy, one, &again);
    assert_memory_equal(again.values, w.values, n * sizeof(*order));
    gw_ids_free(ids);
    gw_ids_free(copy);
    ids = gw_ids_new(&te.env, 0);
    gw_ids_put(ids, id, 1);
    w.n = 0;
    gw_ids_each(ids, one, &w);
    assert_int_equal(w.n, 0);
    assert_false(gw_ids_peek(ids, id, &value));
    gw_ids_free(ids);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_is_in_the_order_of_asking)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
