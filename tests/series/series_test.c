/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "series/metrics_writer.h"
#include "series/series.h"

struct value {
    uint64_t n;
};

static unsigned n_cleared;

static void clear_value(void *value, void *arg)
{
    (void)value;
    (void)arg;
    n_cleared++;
}

static struct gw_slice key_of(unsigned i, char *text, size_t size)
{
    return gw_slice_of(text, (size_t)snprintf(text, size, "key-%u", i));
}

static struct value *at(struct gw_series_table *t, struct gw_series_group *g, unsigned i, uint64_t now)
{
    char text[32];
    struct gw_series *s = gw_series_get(t, g, key_of(i, text, sizeof(text)), now);

    return s ? gw_series_value(s) : NULL;
}

static struct value *there(struct gw_series_table *t, struct gw_series_group *g, unsigned i)
{
    char text[32];
    struct gw_slice key = key_of(i, text, sizeof(text));
    struct gw_series *s = gw_series_find(t, g, key, gw_hash_table(key));

    return s ? gw_series_value(s) : NULL;
}

/*
 * Scenario    20,000 keys in two groups, in random order, some of them expired in between
 * Guarantees  every one is found again with its value, in its own group; what expired is gone and nothing else; all
 *             memory is given back
 */
static void series_are_found_again(void **state)
{
    enum { N = 10000 };
    struct gw_credit credit;
    struct gw_series_table t;
    struct gw_series_group g[2];

    (void)state;
    gw_credit_init(&credit, 1 << 30, 1 << 30);
    gw_series_init(&t, &(struct gw_series_conf){.value_bytes = sizeof(struct value),
                                                .behind_bytes = 100,
                                                .max_series = 100000,
                                                .credit = &credit,
                                                .clear_value = clear_value});
    gw_series_group_init(&g[0]);
    gw_series_group_init(&g[1]);
    n_cleared = 0;
    for (unsigned i = 0; i < N; i++)
        for (unsigned k = 0; k < 2; k++)
            at(&t, &g[k], i, i % 3 == 0 ? 1 : 2)->n = i + k * 1000000;
    assert_int_equal(t.n, 2 * N);
    assert_true(credit.used_bytes > 2 * N * (100 + sizeof(struct gw_series)));
    assert_int_equal(gw_series_expire(&t, &g[0], 2), (N + 2) / 3);
    assert_int_equal(gw_series_expire(&t, &g[0], 2), 0);
    for (unsigned i = 0; i < N; i++) {
        assert_true(!there(&t, &g[0], i) == (i % 3 == 0));
        if (i % 3)
            assert_int_equal(there(&t, &g[0], i)->n, i);
        assert_int_equal(there(&t, &g[1], i)->n, i + 1000000);
    }
    assert_int_equal(at(&t, &g[0], 3, 5)->n, 0);
    gw_series_drop(&t, &g[1]);
    assert_null(there(&t, &g[1], 1));
    assert_int_equal(g[1].n, 0);
    assert_non_null(at(&t, &g[1], 1, 5));
    gw_series_remove(&t, g[1].first);
    assert_int_equal(g[1].n, 0);
    assert_true(credit.used_bytes == t.bytes && t.bytes > 0);
    gw_series_clear(&t);
    assert_int_equal(credit.used_bytes, 0);
    assert_int_equal(n_cleared, 2 * N + 2);
}

/*
 * Scenario    more keys than a group may have, than the table may have, than there is memory
 * Guarantees  what is there goes on; what is new is counted in the one overflow series, which says so in OTLP
 */
static void what_is_too_much_overflows(void **state)
{
    struct gw_credit credit;
    struct gw_series_table t;
    struct gw_series_group g[2];
    struct gw_value yes = {.type = GW_V_BOOL, .b = true};
    struct gw_buf run;

    (void)state;
    gw_credit_init(&credit, 1 << 30, 1 << 30);
    gw_series_init(&t, &(struct gw_series_conf){
                           .value_bytes = sizeof(struct value), .limit = 3, .max_series = 5, .credit = &credit});
    gw_series_group_init(&g[0]);
    gw_series_group_init(&g[1]);
    for (unsigned i = 0; i < 10; i++)
        at(&t, &g[0], i, 1)->n++;
    assert_int_equal(g[0].n, 4);
    assert_int_equal(((struct value *)gw_series_value(g[0].overflow))->n, 7);
    at(&t, &g[0], 1, 1)->n++;
    assert_int_equal(there(&t, &g[0], 1)->n, 2);
    for (unsigned i = 0; i < 3; i++)
        at(&t, &g[1], i, 1)->n++; /* 3 + 2: then the table is full */
    assert_null(there(&t, &g[1], 2));
    assert_int_equal(((struct value *)gw_series_value(g[1].overflow))->n, 1);
    gw_buf_init(&run, 1024);
    gw_mw_attr_put(&run, GW_SLICE("otel.metric.overflow"), &yes);
    assert_true(gw_slice_eq(gw_series_key(&t, g[0].overflow), gw_buf_slice(&run)));
    gw_buf_clear(&run);
    gw_series_clear(&t);

    gw_series_init(&t, &(struct gw_series_conf){.value_bytes = 8, .max_series = 1000, .credit = &credit});
    gw_series_group_init(&g[0]);
    credit.hard_bytes = 64 * sizeof(struct gw_series_slot) + 300;
    assert_non_null(at(&t, &g[0], 1, 1));
    assert_non_null(at(&t, &g[0], 2, 1));
    for (unsigned i = 3; i < 40; i++)
        (void)at(&t, &g[0], i, 1);
    assert_true(credit.used_bytes <= credit.hard_bytes);
    assert_true(t.n < 5);
    gw_series_clear(&t);
    assert_int_equal(credit.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_found_again),
        cmocka_unit_test(what_is_too_much_overflows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
