/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batch/batch.h"
#include "otlp-proto/decode.h"
#include "series/aggregate.h"
#include "series/mixed.h"
#include "series/quantile.h"
#include "tests/harness_engine.h"
#include "tests/harness_env.h"

enum { N = 300, PARTS = 4, ITEMS = 60, MAX_STATE = 512 };
enum { EXPONENTIAL, HISTOGRAM, MEDIAN, P99, DISTINCT, TOP, SAMPLES, COUNT, SUM, MAX, N_SPECS };

static struct gw_agg_spec specs[N_SPECS] = {
    [EXPONENTIAL] = {.fn = GW_AGG_EXPONENTIAL, .size = 80},
    [HISTOGRAM] = {.fn = GW_AGG_HISTOGRAM},
    [MEDIAN] = {.fn = GW_AGG_QUANTILE, .size = 80, .q = 0.5},
    [P99] = {.fn = GW_AGG_QUANTILE, .size = 80, .q = 0.99},
    [DISTINCT] = {.fn = GW_AGG_DISTINCT},
    [TOP] = {.fn = GW_AGG_TOP, .size = ITEMS, .show = 3},
    [SAMPLES] = {.fn = GW_AGG_SAMPLES},
    [COUNT] = {.fn = GW_AGG_COUNT},
    [SUM] = {.fn = GW_AGG_SUM},
    [MAX] = {.fn = GW_AGG_MAX},
};

static const double bounds[] = {100, 1000, 10000};
static const struct gw_bounds by_tens = {bounds, 3};

struct state {
    _Alignas(8) uint8_t bytes[MAX_STATE];
};

static struct gw_agg_plan plan(void)
{
    struct gw_agg_plan p;

    specs[TOP].item_key = GW_SLICE("user");
    specs[HISTOGRAM].bounds = &by_tens;
    assert_int_equal(gw_agg_plan_make(&p, specs, N_SPECS, NULL), 0);
    assert_true(p.state_bytes <= MAX_STATE && p.has_big);
    return p;
}

struct one {
    struct gw_agg_value v;
    struct gw_slice item;
    struct gw_pick sample;
    uint8_t byte;
};

static void draw(struct one *o, uint64_t *x)
{
    uint64_t r = gw_test_random(x);

    *o = (struct one){.v = {.d = ldexp((double)(r >> 20), -30), .n = 1},
                      .byte = (uint8_t)(r % ITEMS % (1 + r / 64 % ITEMS))};
    o->item = gw_slice_of(&o->byte, 1);
    o->sample = (struct gw_pick){.rank = r * 7, .exemplar = {.value = o->v.d, .time_ns = r}};
    o->v.item = &o->item;
    o->v.sample = &o->sample;
}

/* A state as bytes: equal states have equal ones. */
static void assert_equal(const struct gw_agg_plan *p, const struct state *a, const struct state *b)
{
    struct gw_buf x, y;

    gw_buf_init(&x, 1 << 20);
    gw_buf_init(&y, 1 << 20);
    gw_agg_save(p, a, &x);
    gw_agg_save(p, b, &y);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    gw_buf_clear(&x);
    gw_buf_clear(&y);
}

static void restore(const struct gw_agg_plan *p, const struct state *s, struct gw_heap *heap)
{
    struct state t = {0};
    struct gw_slice in;
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    gw_agg_save(p, s, &b);
    in = gw_buf_slice(&b);
    assert_int_equal(gw_agg_restore(p, &t, heap, &in), 0);
    assert_int_equal(in.n, 0);
    assert_equal(p, s, &t);
    gw_agg_clear(p, &t, heap);
    gw_buf_clear(&b);
}

static int ascending(const void *a, const void *b)
{
    const struct one *x = a, *y = b;

    return x->v.d < y->v.d ? -1 : x->v.d > y->v.d;
}

static void check(const struct gw_agg_plan *p, const struct state *s, struct one *o)
{
    bool is_there[ITEMS] = {false};
    struct gw_agg_number n;
    unsigned different = 0;

    for (unsigned i = 0; i < N; i++) {
        different += !is_there[o[i].byte];
        is_there[o[i].byte] = true;
    }
    qsort(o, N, sizeof(*o), ascending);
    assert_true(gw_agg_number(p, s, &specs[MEDIAN], &n) && fabs(n.d / o[N / 2 - 1].v.d - 1) < 0.1);
    assert_true(gw_agg_number(p, s, &specs[P99], &n) && fabs(n.d / o[N * 99 / 100 - 1].v.d - 1) < 0.1);
    assert_true(gw_agg_number(p, s, &specs[DISTINCT], &n) && n.is_int && llabs(n.i - different) <= 2);
    assert_true(gw_agg_number(p, s, &specs[MAX], &n) && n.d == o[N - 1].v.d);
    assert_false(gw_agg_number(p, s, &specs[TOP], &n));
}

static void one_seed(uint64_t seed)
{
    struct gw_agg_plan p = plan();
    struct gw_heap heap = {0};
    struct state all = {0}, part[PARTS] = {0}, left = {0}, right = {0};
    struct one o[N];
    uint64_t x = seed;

    for (unsigned i = 0; i < N; i++) {
        draw(&o[i], &x);
        o[i].v.item = &o[i].item;
        assert_int_equal(gw_agg_add(&p, &all, &heap, &o[i].v), 0);
    }
    for (unsigned i = N; i-- > 0;)
        assert_int_equal(gw_agg_add(&p, &part[gw_test_random(&x) % PARTS], &heap, &o[i].v), 0);
    for (unsigned i = 0; i < PARTS; i++)
        assert_int_equal(gw_agg_merge(&p, &left, &heap, &part[i]), 0);
    for (unsigned i = PARTS; i-- > 1;)
        assert_int_equal(gw_agg_merge(&p, &part[i - 1], &heap, &part[i]), 0);
    assert_int_equal(gw_agg_merge(&p, &right, &heap, &part[0]), 0);
    assert_equal(&p, &all, &left);
    assert_equal(&p, &all, &right);
    restore(&p, &all, &heap);
    check(&p, &all, o);
    for (unsigned i = 0; i < PARTS; i++)
        gw_agg_clear(&p, &part[i], &heap);
    gw_agg_clear(&p, &all, &heap);
    gw_agg_clear(&p, &left, &heap);
    gw_agg_clear(&p, &right, &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/*
 * Scenario    300 values with items and samples into all that is behind pointers, and in parts, merged in two ways;
 *             saved and restored
 * Guarantees  the same bytes every time; against the sorted values, quantiles, the count of items and the maximum are
 *             right; all memory is given back
 */
static void any_order_gives_the_same(void **state)
{
    (void)state;
    gw_test_seeds(40, one_seed);
}

/* ---- as points --------------------------------------------------------------------------------------------- */

struct body {
    struct gw_batch *b;
    uint32_t points;
};

static int take(void *arg, struct gw_slice body, uint32_t points)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct body *r = arg;
    struct gw_ref at;

    r->b = gw_batch_new(GW_METRICS);
    r->points = points;
    assert_int_equal(gw_batch_append(r->b, body, &at), 0);
    return gw_decode(r->b, gw_batch_slice(r->b, at), &limits, NULL, NULL);
}

static void write_all(const struct gw_agg_plan *p, const struct state *s, struct body *ret)
{
    struct gw_mw_exemplar exemplars[2];
    struct gw_mw_point point = {.start_ns = 1, .time_ns = 2, .exemplars = exemplars};
    struct gw_buf out;
    struct gw_mw w;

    gw_buf_init(&out, 1 << 20);
    gw_mw_init(&w, &out, 1 << 19, take, ret);
    gw_mw_resource(&w, (struct gw_slice){0}, (struct gw_slice){0});
    gw_mw_scope(&w, GW_SLICE("rollup"), (struct gw_slice){0});
    point.n_exemplars = gw_agg_exemplars(p, s, exemplars, 2);
    for (unsigned i = 0; i < N_SPECS; i++) {
        struct gw_mw_metric m = {.name = gw_slice_cstr(gw_agg_names[specs[i].fn])};

        gw_agg_metric(&specs[i], &m);
        gw_mw_metric(&w, &m);
        gw_agg_put(p, s, &specs[i], &w, &point);
    }
    assert_int_equal(gw_mw_end(&w), 0);
    gw_buf_clear(&out);
}

static double sum_of(const struct gw_agg_plan *p, const struct state *s)
{
    struct gw_agg_number n;

    assert_true(gw_agg_number(p, s, &specs[SUM], &n));
    return n.d;
}

/* Scenario: 300 values as a request. Guarantees: types and temporalities; the histogram has the exact sum; 3 items. */
static void they_are_written_as_points(void **state)
{
    static const struct {
        uint8_t type, temporality, monotonic;
        uint32_t points;
    } want[N_SPECS] = {{GW_M_EXP_HISTOGRAM, GW_T_DELTA, 0, 1},
                       {GW_M_HISTOGRAM, GW_T_DELTA, 0, 1},
                       {GW_M_GAUGE, 0, 0, 1},
                       {GW_M_GAUGE, 0, 0, 1},
                       {GW_M_GAUGE, 0, 0, 1},
                       {GW_M_GAUGE, 0, 0, 3},
                       {GW_M_GAUGE, 0, 0, 0},
                       {GW_M_SUM, GW_T_DELTA, 1, 1},
                       {GW_M_SUM, GW_T_DELTA, 0, 1},
                       {GW_M_GAUGE, 0, 0, 1}};
    struct gw_agg_plan p = plan();
    struct gw_heap heap = {0};
    struct state s = {0};
    struct gw_agg_number sum;
    struct body r = {0};
    struct one o;
    uint64_t x = 7;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        draw(&o, &x);
        assert_int_equal(gw_agg_add(&p, &s, &heap, &o.v), 0);
    }
    write_all(&p, &s, &r);
    assert_int_equal(r.points, 11);
    assert_true(r.b->hists[0].count == N && r.b->hists[0].sum == sum_of(&p, &s));
    assert_int_equal(r.b->n_metrics, N_SPECS);
    for (unsigned i = 0; i < N_SPECS; i++) {
        const struct gw_metric_desc *m = &r.b->metrics[i];

        assert_int_equal(m->type, want[i].type);
        assert_int_equal(m->temporality, want[i].temporality);
        assert_int_equal(m->monotonic, want[i].monotonic);
        assert_int_equal(m->rows.end - m->rows.begin, want[i].points);
    }
    assert_true(gw_agg_number(&p, &s, &specs[SUM], &sum));
    assert_true(r.b->exphists[0].sum == sum.d && r.b->exphists[0].count == N);
    assert_int_equal(r.b->n_attrs, 3 /* of the items */);
    assert_int_equal(r.b->n_exemplars, 2 * r.points);
    (void)gw_batch_unref(r.b);
    gw_agg_clear(&p, &s, &heap);
    memset(&r, 0, sizeof(r));
    write_all(&p, &s, &r); /* of no values: counts of 0 */
    assert_int_equal(r.points, 2);
    (void)gw_batch_unref(r.b);
}

/* ---- histograms as input ----------------------------------------------------------------------------------- */

/* Scenario: an exponential and an explicit histogram as values. Guarantees: in the numbers and the buckets. */
static void histograms_are_values(void **state)
{
    uint64_t room[4] = {0};
    struct gw_explicit *ex = (struct gw_explicit *)room;
    double at[1] = {3}, bad[1] = {(double)INFINITY};
    struct gw_agg_plan p = plan();
    struct gw_heap heap = {0};
    struct gw_exponential e;
    struct state s = {0};
    struct gw_agg_number n;

    (void)state;
    ex->count = ex->buckets[0] = 4;
    ex->sum = 6;
    gw_exponential_init(&e, 20);
    assert_true(gw_exponential_add(&e, 100, 5));
    assert_int_equal(gw_agg_add_exponential(&p, &s, &heap, &e), 0);
    assert_int_equal(gw_agg_add_explicit(&p, &s, &heap, &(struct gw_bounds){at, 1}, ex, 1, 2), 0);
    assert_true(gw_agg_number(&p, &s, &specs[COUNT], &n) && n.i == 9);
    assert_true(gw_agg_number(&p, &s, &specs[SUM], &n) && n.d == 506);
    assert_true(gw_agg_number(&p, &s, &specs[MAX], &n) && n.d == 100);
    assert_true(gw_agg_number(&p, &s, &specs[P99], &n) && n.d == 100);
    assert_int_equal(gw_agg_add_explicit(&p, &s, &heap, &(struct gw_bounds){bad, 1}, ex, 1, 2), -EINVAL);
    gw_exponential_clear(&e);
    gw_agg_clear(&p, &s, &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/* A histogram of three buckets, (…, low], (low, low + 1], (low + 1, …), of 1, 2 and n values. */
static void add_explicit(const struct gw_agg_plan *p, struct state *s, struct gw_heap *heap, double low, uint64_t n)
{
    double at[2] = {low, low + 1};
    uint64_t room[5] = {3 + n, 0, 1, 2, n};

    assert_int_equal(
        gw_agg_add_explicit(p, s, heap, &(struct gw_bounds){at, 2}, (struct gw_explicit *)room, low - 1, low + 2), 0);
}

static struct gw_mixed *mixed_of(const struct gw_agg_plan *p, struct state *s)
{
    struct gw_mixed *m;

    memcpy(&m, s->bytes + p->at[GW_AGG_P_HISTOGRAM], sizeof(m));
    return m;
}

/*
 * Scenario    explicit histograms of equal bounds, in two states that are merged; then others; an exponential one
 * Guarantees  equal ones are added bucket by bucket; from the first other one on it is exponential, and says so,
 * nothing is missing, and it is restored
 */
static void explicit_ones_stay_so_while_bounds_are_equal(void **state)
{
    struct gw_agg_plan p;
    struct gw_heap heap = {0};
    struct state s = {0}, t = {0}, u = {0};
    struct gw_exponential e;

    (void)state;
    assert_int_equal(gw_agg_plan_make(&p, &(struct gw_agg_spec){.fn = GW_AGG_HISTOGRAM}, 1, NULL), 0);
    add_explicit(&p, &s, &heap, 10, 1);
    add_explicit(&p, &s, &heap, 10, 4);
    add_explicit(&p, &t, &heap, 10, 8);
    assert_int_equal(gw_agg_merge(&p, &s, &heap, &t), 0);
    assert_int_equal(gw_agg_type(&p, &s, &specs[HISTOGRAM]), GW_M_HISTOGRAM);
    assert_true(mixed_of(&p, &s)->explicit->buckets[0] == 3 && mixed_of(&p, &s)->explicit->buckets[1] == 6 &&
                mixed_of(&p, &s)->explicit->buckets[2] == 13 && mixed_of(&p, &s)->explicit->count == 22);
    restore(&p, &s, &heap);
    add_explicit(&p, &u, &heap, 100, 2);
    assert_int_equal(gw_agg_merge(&p, &s, &heap, &u), 0);
    assert_int_equal(gw_agg_type(&p, &s, &specs[HISTOGRAM]), GW_M_EXP_HISTOGRAM);
    assert_true(mixed_of(&p, &s)->exponential->count == 27);
    assert_true(mixed_of(&p, &s)->exponential->min == 9 && mixed_of(&p, &s)->exponential->max == 102);
    restore(&p, &s, &heap);
    add_explicit(&p, &s, &heap, 10, 0);
    gw_exponential_init(&e, 20);
    assert_true(gw_exponential_add(&e, 1000, 5));
    assert_int_equal(gw_agg_add_exponential(&p, &s, &heap, &e), 0);
    assert_int_equal(gw_agg_add(&p, &s, &heap, &(struct gw_agg_value){.d = -1, .n = 1}), 0);
    assert_true(mixed_of(&p, &s)->exponential->count == 36);
    assert_true(mixed_of(&p, &s)->exponential->min == -1 && mixed_of(&p, &s)->exponential->max == 1000);
    gw_exponential_clear(&e);
    gw_agg_clear(&p, &s, &heap);
    gw_agg_clear(&p, &t, &heap);
    gw_agg_clear(&p, &u, &heap);
    assert_int_equal(heap.held_bytes, 0);
}

/* ---- limits and bytes -------------------------------------------------------------------------------------- */

/* Scenario: every limit of a heap. Guarantees: -ENOSPC, the numbers are right all the same, and nothing is lost track
 * of; what is held is above the limit by the buckets of one histogram at most. */
static void memory_is_limited(void **state)
{
    struct gw_agg_plan p = plan();

    (void)state;
    for (uint64_t max = 1; max < 6000; max += 171) {
        struct gw_heap heap = {.max_bytes = max};
        struct state s = {0}, t = {0};
        struct gw_agg_number n;
        struct one o;
        uint64_t x = 5;
        int rc = 0;

        for (unsigned i = 0; i < 100; i++) {
            draw(&o, &x);
            rc |= gw_agg_add(&p, &s, &heap, &o.v);
        }
        assert_true(max > 2000 || rc);
        assert_true(gw_agg_number(&p, &s, &specs[COUNT], &n) && n.i == 100);
        assert_true(heap.held_bytes <= max + 2 * (80 + 160) * 8);
        (void)gw_agg_merge(&p, &t, &heap, &s);
        assert_true(gw_agg_number(&p, &t, &specs[COUNT], &n) && n.i == 100);
        gw_agg_clear(&p, &s, &heap);
        gw_agg_clear(&p, &t, &heap);
        assert_int_equal(heap.held_bytes, 0);
    }
}

/* Scenario: a small state saved; every prefix, every bit turned. Guarantees: -EBADMSG and zeros, or a state of use. */
static void any_bytes_are_restored(void **state)
{
    struct gw_agg_plan p = plan();
    struct gw_heap heap = {0};
    struct state s = {0}, zero = {0};
    struct gw_buf b;
    struct one o;
    uint64_t x = 3;

    (void)state;
    gw_buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 3; i++) {
        draw(&o, &x);
        o.v.d = i ? 1 + 0.001 * i : -5;
        assert_int_equal(gw_agg_add(&p, &s, &heap, &o.v), 0);
    }
    gw_agg_save(&p, &s, &b);
    gw_agg_clear(&p, &s, &heap);
    for (size_t n = 0; n < b.n; n++) {
        struct gw_slice in = gw_slice_of(b.p, n);

        assert_int_equal(gw_agg_restore(&p, &s, &heap, &in), -EBADMSG);
        assert_memory_equal(&s, &zero, sizeof(s));
    }
    for (size_t bit = 0; bit < 8 * b.n; bit++) {
        struct gw_slice in = gw_buf_slice(&b);
        struct gw_agg_number number;

        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (gw_agg_restore(&p, &s, &heap, &in) == 0) {
            (void)gw_agg_number(&p, &s, &specs[MEDIAN], &number);
            (void)gw_agg_add(&p, &s, &heap, &o.v);
        }
        gw_agg_clear(&p, &s, &heap);
        b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    gw_buf_clear(&b);
    assert_int_equal(heap.held_bytes, 0);
}

/* Guarantees: a plan says what is wrong with its list. */
static void lists_are_checked(void **state)
{
    struct gw_agg_plan p;
    struct gw_err err;
    struct gw_agg_spec two[2] = {{.fn = GW_AGG_EXPONENTIAL, .size = 40}, {.fn = GW_AGG_QUANTILE, .q = 0.5}};

    (void)state;
    assert_int_equal(gw_agg_plan_make(&p, two, 2, &err), -EINVAL);
    assert_string_equal(err.text, "quantile of sizes 40 and 160");
    two[1].size = 40;
    assert_int_equal(gw_agg_plan_make(&p, two, 2, &err), 0);
    two[1].q = 1.5;
    assert_int_equal(gw_agg_plan_make(&p, two, 2, &err), -EINVAL);
    two[0] = (struct gw_agg_spec){.fn = GW_AGG_DISTINCT, .size = 17};
    assert_int_equal(gw_agg_plan_make(&p, two, 1, &err), -EINVAL);
    assert_string_equal(err.text, "the size of distinct is 4 to 16, not 17");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_gives_the_same), cmocka_unit_test(they_are_written_as_points),
        cmocka_unit_test(histograms_are_values),    cmocka_unit_test(explicit_ones_stay_so_while_bounds_are_equal),
        cmocka_unit_test(memory_is_limited),        cmocka_unit_test(any_bytes_are_restored),
        cmocka_unit_test(lists_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
