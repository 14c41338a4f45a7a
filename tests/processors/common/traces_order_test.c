/* SPDX-License-Identifier: Apache-2.0 */
/* What the store of traces says that must not depend on how its traces came together. */
#include "tests/harness.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "processors/common/traces.h"
#include "tests/harness_env.h"
#include "tests/harness_flow.h"

#define TICK 100u
enum { N = 300, STEPS = 4000 };

static struct gw_test_env te;
static uint64_t seed;

static uint64_t any(uint64_t n)
{
    return gw_test_random(&seed) % n;
}

static struct gw_traces *make(bool ordered)
{
    const struct gw_traces_conf conf = {.env = &te.env, .facts_bytes = 8, .tick_ns = TICK, .ordered = ordered};
    struct gw_traces *t = gw_traces_new(&conf);

    assert_non_null(t);
    return t;
}

static void id_of(unsigned i, uint8_t ret[16])
{
    uint64_t s = i + 1, v[2] = {gw_test_random(&s), gw_test_random(&s)};

    memcpy(ret, v, 16);
}

static struct gw_trace *add(struct gw_traces *t, unsigned i, uint64_t now, uint64_t due)
{
    struct gw_trace *x;
    uint8_t id[16];

    id_of(i, id);
    x = gw_traces_add(t, id, now, due);
    assert_non_null(x);
    return x;
}

/* The tick in which the first of all is due. */
static uint64_t soonest(struct gw_traces *t)
{
    uint64_t least = UINT64_MAX, tick;

    for (struct gw_trace *x = gw_traces_oldest(t); x; x = gw_traces_newer(t, x)) {
        tick = (x->due_ns + TICK - 1) / TICK * TICK;
        least = tick < least ? tick : least;
    }
    return least;
}

/* Who goes by what is told comes to the first that is due, not too late, and in few looks. */
static void look_forward(struct gw_traces *t, uint64_t *now)
{
    uint64_t due = soonest(t), when;

    for (unsigned looks = 0; gw_traces_next_due(t, *now) == NULL; looks++) {
        when = gw_traces_due_when(t);
        if (due == UINT64_MAX) {
            assert_true(when == UINT64_MAX);
            return;
        }
        assert_in_range(looks, 0, 60);
        assert_true(when <= due && when > *now / TICK * TICK);
        *now = when;
    }
    assert_true(due <= *now);
    assert_true(gw_traces_due_when(t) <= *now);
}

/*
 * Scenario    traces come, are given another time, and go, by chance; they are due soon, or in the farthest lists
 * Guarantees  when the next one is due is never told too late, and who waits for it gets on
 */
static void when_the_next_one_is_due(void **state)
{
    static const uint64_t spans[] = {5, 1000, 200000, 5000000};
    struct gw_traces *t;
    uint64_t now;

    (void)state;
    gw_test_env_init(&te, 1);
    for (unsigned k = 0; k < 4; k++) {
        t = make(false);
        seed = k + 1;
        now = 12345;
        assert_true(gw_traces_due_when(t) == UINT64_MAX);
        for (unsigned i = 0; i < STEPS / 4; i++) {
            struct gw_trace *x;

            if (any(3))
                (void)add(t, i, now, now + any(spans[k]));
            if (any(3) == 0 && (x = gw_traces_oldest(t)) != NULL)
                gw_traces_set_due(t, x, now + any(spans[k]));
            look_forward(t, &now);
            if (any(2) && (x = gw_traces_next_due(t, now)) != NULL)
                gw_traces_drop(t, x);
            now += any(3) ? 0 : any(spans[k] / 4 + 1);
        }
        gw_traces_free(t);
    }
    gw_test_env_clear(&te);
}

static int by_due_and_id(const void *a, const void *b)
{
    const struct gw_trace *x = *(struct gw_trace *const *)a, *y = *(struct gw_trace *const *)b;

    return x->due_ns != y->due_ns ? (x->due_ns < y->due_ns ? -1 : 1) : memcmp(x->id, y->id, 16);
}

/*
 * Scenario    traces of a few ticks, put there in any order, some of them late; looked at in one go, or tick by tick
 * Guarantees  they come by their times, and those of one time by their ids
 */
static void what_is_due_comes_in_order(void **state)
{
    struct gw_trace *all[N], *x;

    (void)state;
    gw_test_env_init(&te, 1);
    for (seed = 1; seed < 40; seed++) {
        struct gw_traces *t = make(true);
        bool at_once = seed % 2;
        unsigned n = 0;

        for (unsigned i = 0; i < N; i++)
            all[i] = add(t, i, 1000, 1000 + any(12) * 30);
        qsort(all, N, sizeof(*all), by_due_and_id);
        for (uint64_t now = at_once ? 5000 : 1000; n < N && now <= 5000; now += TICK)
            while ((x = gw_traces_next_due(t, now)) != NULL) {
                assert_ptr_equal(x, all[n]);
                n++;
                gw_traces_drop(t, x);
            }
        assert_int_equal(n, N);
        gw_traces_free(t);
    }
    gw_test_env_clear(&te);
}

/*
 * Scenario    traces that came in three steps, within each in any order
 * Guarantees  the oldest ones are those of the first step by their ids, then those of the others; all are still there,
 *             forward and backward
 */
static void the_oldest_are_by_their_ids(void **state)
{
    (void)state;
    gw_test_env_init(&te, 1);
    for (seed = 1; seed < 20; seed++) {
        struct gw_traces *t = make(true);
        struct gw_trace *x, *before = NULL;
        uint64_t ordered_ns = 0;

        for (unsigned i = 0; i < N; i++)
            (void)add(t, i, 1000 + 100 * (3 * i / N), 9000);
        for (unsigned n = 0; n < N; n++) {
            if ((x = gw_traces_oldest(t))->first_ns != ordered_ns)
                gw_traces_order_oldest(t);
            x = gw_traces_oldest(t);
            assert_true(x->first_ns >= ordered_ns);
            if (before && x->first_ns == ordered_ns)
                assert_true(memcmp(before->id, x->id, 16) < 0);
            ordered_ns = x->first_ns;
            before = gw_traces_newer(t, x);
            if (any(2) && before) { /* any one may go meanwhile */
                gw_traces_drop(t, before);
                n++;
            }
            before = NULL;
            gw_traces_drop(t, x);
        }
        assert_null(gw_traces_oldest(t));
        gw_traces_order_oldest(t);
        gw_traces_free(t);
    }
    gw_test_env_clear(&te);
}

static struct gw_batch *spans(uint64_t first, unsigned n)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    struct gw_buf body;
    struct gw_ref at;

    gw_buf_init(&body, 1 << 20);
    gw_test_request(&body, GW_TRACES, first, n);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&body), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    gw_buf_clear(&body);
    return b;
}

static void keep(struct gw_traces *t, unsigned trace, uint64_t first, unsigned n)
{
    struct gw_batch *b = spans(first, n);
    struct gw_trace *x;
    uint8_t id[16];
    uint32_t rows[64];

    for (unsigned i = 0; i < n; i++)
        rows[i] = i;
    id_of(trace, id);
    x = gw_traces_find(t, id);
    gw_traces_begin(t, b);
    assert_int_equal(gw_traces_keep(t, x ? x : add(t, trace, 0, 1), rows, n), 0);
    gw_traces_end(t);
    (void)gw_batch_unref(b);
}

/*
 * Scenario    two stores with the same traces and spans; one has had thousands of others, that came and went
 * Guarantees  the bytes that they use are the same, whatever is held
 */
static void used_bytes_are_of_what_is_there(void **state)
{
    struct gw_traces *a, *b;
    uint64_t empty;

    (void)state;
    gw_test_env_init(&te, 1);
    a = make(true);
    b = make(true);
    empty = gw_traces_used_bytes(a);
    for (unsigned i = 1000; i < 4000; i++)
        keep(b, i, i * 100, 40);
    for (unsigned i = 0; i < 50; i++)
        for (unsigned k = 0; k < 1 + i % 3; k++)
            keep(a, i, 64 * i + k * 8, 8);
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 50; i-- > 0;)
            if (k < 1 + i % 3)
                keep(b, i, 64 * i + k * 8, 8);
    for (struct gw_trace *x = gw_traces_oldest(b), *next; x; x = next) {
        next = gw_traces_newer(b, x);
        if (x->n_spans == 40)
            gw_traces_drop(b, x);
    }
    assert_int_equal(gw_traces_n(a), 50);
    assert_int_equal(gw_traces_n(b), 50);
    assert_true(gw_traces_held_bytes(b) > gw_traces_used_bytes(b));
    assert_int_equal(gw_traces_used_bytes(a), gw_traces_used_bytes(b));
    assert_true(gw_traces_used_bytes(a) > empty);
    while (gw_traces_oldest(a))
        gw_traces_drop(a, gw_traces_oldest(a));
    assert_int_equal(gw_traces_used_bytes(a), empty);
    gw_traces_free(a);
    gw_traces_free(b);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_the_next_one_is_due),
        cmocka_unit_test(what_is_due_comes_in_order),
        cmocka_unit_test(the_oldest_are_by_their_ids),
        cmocka_unit_test(used_bytes_are_of_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
