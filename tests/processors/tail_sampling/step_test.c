/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling behind a journal: what depends on other traces is looked at when a step has ended, and goes over a
 * crash. Each test has a life, a record, and another life, which is told what comes again.
 */
#include "tests/harness_tail.h"

#include <stdlib.h>

#include "pipeline/keep.h"

#define STEP   GW_KEEP_STEP_NS
#define T(n)   (1000 * STEP + (n)*STEP)
#define ERRORS "decision_wait: 1s\n"

static struct gw_tail_rig r;
static struct gw_buf record;

static bool owns(void *arg, const uint8_t id[16])
{
    (void)arg, (void)id;
    return true;
}

static const struct gw_keep_ops *keep(void)
{
    return r.p.component->keep;
}

static void open(const char *settings)
{
    gw_tail_open(&r, settings);
    assert_int_equal(keep()->begin(r.p.self), 0);
}

static void advance(uint64_t ns, bool rebuilds)
{
    while (keep()->advance(r.p.self, ns, rebuilds, &r.p.ports) == GW_MORE)
        ;
}

static void step(uint64_t ns)
{
    advance(ns, false);
}

/* Spans in a step of their own. */
static void at(uint64_t ns, const char *spans)
{
    step(ns);
    gw_tail_send(&r, spans);
}

static void again_at(uint64_t ns, const char *spans)
{
    advance(ns, true);
    gw_tail_send(&r, spans);
}

static void save(bool whole)
{
    uint64_t oldest;

    assert_int_equal(keep()->save(r.p.self, whole, &record, &oldest), GW_DONE);
}

/* The process is gone; the next one reads what it wrote. parts: how many of its partitions were the other's. */
static void next_life(const char *settings, unsigned parts, unsigned of_parts)
{
    const struct gw_keep_owner owner = {.owns = owns, .stream = 7, .n_parts = parts, .of_parts = of_parts};

    gw_tail_close(&r);
    open(settings);
    assert_int_equal(keep()->restore(r.p.self, gw_buf_slice(&record), &owner), 0);
}

static int begin_test(void **state)
{
    (void)state;
    gw_buf_init(&record, 1 << 20);
    return 0;
}

static int end_test(void **state)
{
    (void)state;
    gw_tail_close(&r);
    gw_buf_clear(&record);
    return 0;
}

#define LINKS ERRORS "follow_links: true\n"

/*
 * Scenario    a kept trace has linked to one that waits; its spans do not come again. With the whole record, and with
 *             one more behind it
 * Guarantees  the one that waits is kept all the same, and another that the kept one linked to and that comes later
 */
static void links_go_on(void **state)
{
    (void)state;
    for (unsigned whole = 0; whole < 2; whole++) {
        gw_buf_reset(&record);
        open(LINKS);
        step(T(0));
        if (!whole)
            save(true);
        at(T(1), "1.1el2 1.2l3");
        at(T(5), "2.1 4.1");
        step(T(11));
        save(whole);
        assert_string_equal(gw_tail_out(&r), "1.1 1.2");
        next_life(LINKS, 1, 1);
        again_at(T(5), "2.1 4.1");
        at(T(12), "3.1");
        step(T(15));
        assert_string_equal(gw_tail_out(&r), "2.1");
        assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
        step(T(22));
        assert_string_equal(gw_tail_out(&r), "3.1");
        if (whole == 0)
            gw_tail_close(&r);
    }
}

/*
 * Scenario    one link is remembered, and one kept trace: both are forgotten when the trace that they marked still
 *             waits; the process is gone twice, the second time before anything came again
 * Guarantees  it is kept as without that
 */
static void a_mark_outlives_the_link(void **state)
{
    static const char settings[] = LINKS "max_links: 1\ndecision_cache: {sampled_cache_size: 1}\n";

    (void)state;
    open(settings);
    at(T(0), "1.1el2");
    at(T(2), "9.1e");
    at(T(4), "2.1");
    step(T(10)); /* 1 is kept, and 2 will be */
    at(T(11), "5.1el6");
    step(T(12)); /* another link, and another kept trace */
    step(T(13));
    save(true);
    next_life(settings, 1, 1);
    step(T(13));
    gw_buf_reset(&record);
    save(true);
    next_life(settings, 1, 1);
    again_at(T(4), "2.1");
    again_at(T(11), "5.1el6");
    step(T(14));
    assert_string_equal(gw_tail_out(&r), "2.1");
}

/*
 * Scenario    more spans of a trace than it may have, in one request, in two, and in three
 * Guarantees  all of the step go with it; what comes in the next one follows
 */
static void too_long_is_what_has_come_in_the_step(void **state)
{
    static const char *const requests[3][3] = {
        {"1.1e 1.2 1.3 1.4", "", ""}, {"1.1e 1.2 1.3", "1.4", ""}, {"1.1e", "1.2 1.3", "1.4"}};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        open(ERRORS "max_spans_per_trace: 2\n");
        step(T(0));
        for (unsigned k = 0; k < 3; k++)
            gw_tail_send(&r, requests[i][k]);
        assert_string_equal(gw_tail_out(&r), "");
        assert_int_equal(keep()->due_ns(r.p.self), 0);
        at(T(1), "1.5");
        assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3 1.4 | 1.5");
        if (i < 2)
            gw_tail_close(&r);
    }
}

/*
 * Scenario    a house for two traces; four come in a step, in one order or the other
 * Guarantees  when the step has ended those of the least ids are decided, whatever the order
 */
static void a_full_house_goes_by_ids(void **state)
{
    static const char *const orders[2] = {"1.1e 2.1e 3.1e 4.1e", "4.1e 3.1e 2.1e 1.1e"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open(ERRORS "num_traces: 2\n");
        at(T(0), orders[i]);
        assert_int_equal(gw_tail_held(&r), 4);
        step(T(1));
        assert_string_equal(gw_tail_out(&r), "1.1 2.1");
        step(T(10));
        assert_string_equal(gw_tail_out(&r), "3.1 4.1");
        if (i == 0)
            gw_tail_close(&r);
    }
}

/*
 * Scenario    three traces are due in one step, and the bucket has room for two of them
 * Guarantees  those of the least ids have it, whichever came first
 */
static void limits_go_by_ids(void **state)
{
    static const char settings[] = ERRORS
        "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 2, burst_capacity: 2}}]\n";
    static const char *const orders[2] = {"1.1 2.1 3.1", "3.1 2.1 1.1"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open(settings);
        at(T(0), orders[i]);
        step(T(10));
        assert_string_equal(gw_tail_out(&r), "1.1 2.1");
        if (i == 0)
            gw_tail_close(&r);
    }
}

/*
 * Scenario    one decision is remembered; late spans of two decided traces come in one step, in one order or the other
 * Guarantees  within the step both follow; then the one of the greater id is remembered
 */
static void the_last_ones_asked_for_go_by_ids(void **state)
{
    static const char settings[] = ERRORS "decision_cache: {sampled_cache_size: 2}\n";
    static const char *const orders[2] = {"1.2 2.2 1.3 2.3", "2.2 1.2 2.3 1.3"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open(settings);
        at(T(0), "1.1e 2.1e 3.1e");
        step(T(10)); /* 2 and 3 are remembered */
        (void)gw_tail_out(&r);
        at(T(11), "2.9");
        at(T(12), orders[i]); /* 1 is a new trace */
        at(T(13), "3.2 2.4");
        assert_string_equal(gw_tail_out(&r), i == 0 ? "2.9 | 2.2 2.3 | 3.2 2.4" : "2.9 | 2.2 2.3 | 3.2 2.4");
        if (i == 0)
            gw_tail_close(&r);
    }
}

#define RATE(burst)                                                                                                    \
    ERRORS "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: " burst   \
           "}}]\n"

/*
 * Scenario    a worker has emptied its bucket; the next one has its partitions, and as many of which nobody wrote; or
 *             only its partitions
 * Guarantees  half full; or empty, to the token
 */
static void buckets_are_mixed_by_partitions(void **state)
{
    (void)state;
    for (unsigned parts = 1; parts <= 2; parts++) {
        gw_buf_reset(&record);
        open(RATE("4"));
        at(T(0), "1.1 1.2 1.3 1.4");
        step(T(10));
        assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3 1.4");
        save(true);
        next_life(RATE("4"), parts, 2);
        at(T(10), "2.1 2.2 2.3 3.1 3.2 3.3 3.4");
        step(T(20)); /* a second more: one token */
        assert_string_equal(gw_tail_out(&r), parts == 1 ? "2.1 2.2 2.3" : "");
        if (parts == 1)
            gw_tail_close(&r);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)
    const struct CMUnitTest tests[] = {
        TEST(links_go_on),
        TEST(a_mark_outlives_the_link),
        TEST(too_long_is_what_has_come_in_the_step),
        TEST(a_full_house_goes_by_ids),
        TEST(limits_go_by_ids),
        TEST(the_last_ones_asked_for_go_by_ids),
        TEST(buckets_are_mixed_by_partitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
