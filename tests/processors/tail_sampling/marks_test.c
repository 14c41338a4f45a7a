/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling: what it writes on kept spans, and links that carry decisions. */
#include "tests/harness_tail.h"

static struct gw_tail_rig r;

#define ALL     "policies: [{name: all, type: always_sample}]\n"
#define NOTHING "policies: [{name: none, type: span_count, span_count: {min_spans: 1000000}}]\n"
#define TWO                                                                                                            \
    "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, {name: all, type: "           \
    "always_sample}]\n"

/* ---- what is written on spans ----------------------------------------------------------------------------- */

/*
 * Scenario: record_policy, and reason_attribute; two traces that share a scope, kept by different policies; late spans
 * Guarantees: the Collector's attributes in scopes, cached_decision on late spans, never another trace's; the name of
 * the policy on each span under the key that was asked for
 */
static void spans_say_who_kept_them(void **state)
{
    (void)state;
    gw_tail_open(&r, "record_policy: true\ndecision_wait: 1s\n" TWO);
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1{@tailsampling.policy=errors} 2.1{@tailsampling.policy=all}");
    gw_tail_send(&r, "1.2 2.2");
    assert_string_equal(gw_tail_out(&r), "1.2{@tailsampling.policy=errors;@tailsampling.cached_decision=true} | "
                                         "2.2{@tailsampling.policy=all;@tailsampling.cached_decision=true}");
    gw_tail_close(&r);
    gw_tail_open(&r, "reason_attribute: staunch.sampling.policy\ndecision_wait: 1s\n" TWO);
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1{staunch.sampling.policy=errors} 2.1{staunch.sampling.policy=all}");
    gw_tail_send(&r, "1.2 2.2");
    assert_string_equal(gw_tail_out(&r), "1.2{staunch.sampling.policy=errors} 2.2{staunch.sampling.policy=all}");
    gw_tail_close(&r);
}

/*
 * Scenario: dry_run; a trace that would be kept, one that would not, one too large; late spans
 * Guarantees: all leave, each with what would have become of it; counted as if it were so
 */
static void a_dry_run_keeps_everything(void **state)
{
    (void)state;
    gw_tail_open(&r, "dry_run: true\ndecision_wait: 1s\nmaximum_trace_size_bytes: 1000");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r),
                        "1.1{staunch.sampling.decision=sampled} 2.1{staunch.sampling.decision=not_sampled}");
    gw_tail_send(&r, "2.2 1.2");
    assert_string_equal(gw_tail_out(&r),
                        "2.2{staunch.sampling.decision=not_sampled} 1.2{staunch.sampling.decision=sampled}");
    gw_tail_send_many(&r, 3, 1, 1, 2000);
    assert_string_equal(gw_tail_out(&r), "3.1{staunch.sampling.decision=not_sampled}");
    assert_string_equal(gw_tail_drops(&r), "");
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"false\",decision=\"not_sampled\"}"), 1);
    gw_tail_close(&r);
}

/* Randomness 0xC0000000000000 and so on: the trace's number. A quarter is kept from 0xC0… on. */
#define HIGH "54043195528445952"
#define HALF "policies: [{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}]\n"

/*
 * Scenario: use_trace_state with 50 %: spans of a kept trace without a trace state, with a lower and a higher
 * threshold, with one that cannot be read; a late span; then without use_trace_state
 * Guarantees: ot=th is raised to the decision's, never lowered; other members stay; what cannot be read is counted and
 * left alone; late spans get the same
 */
static void thresholds_are_raised(void **state)
{
    (void)state;
    gw_tail_open(&r, "use_trace_state: true\ndecision_wait: 1s\n" HALF);
    gw_tail_send(&r, HIGH ".1wot=th:2;x:1,a=b " HIGH ".2 " HIGH ".3wot=th:b " HIGH ".4w=,=");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r),
                        HIGH ".1{ot=th:8;x:1,a=b} " HIGH ".2{ot=th:8} " HIGH ".3{ot=th:b} " HIGH ".4{=,=}");
    assert_int_equal(gw_tail_metric(&r, "count_spans_with_unparseable_tracestate"), 1);
    gw_tail_send(&r, HIGH ".5");
    assert_string_equal(gw_tail_out(&r), HIGH ".5{ot=th:8}");
    gw_tail_close(&r);
    gw_tail_open(&r, "use_trace_state: false\ndecision_wait: 1s\n" ALL);
    gw_tail_send(&r, HIGH ".1wot=th:2");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), HIGH ".1{ot=th:2}");
    gw_tail_close(&r);
}

/*
 * Scenario: use_trace_state with 50 %; in a kept trace a span brings a randomness of its own below the threshold
 * Guarantees: it is left as it is, and counted: a threshold above its randomness would be a lie
 */
static void thresholds_are_never_above_the_randomness(void **state)
{
    (void)state;
    gw_tail_open(&r, "use_trace_state: true\ndecision_wait: 1s\n" HALF);
    gw_tail_send(&r, HIGH ".1wot=rv:f0000000000000 " HIGH ".2wot=rv:10000000000000");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), HIGH ".1{ot=rv:f0000000000000;th:8} " HIGH ".2{ot=rv:10000000000000}");
    assert_int_equal(gw_tail_ours(&r, "inconsistent_thresholds"), 1);
    gw_tail_close(&r);
}

/* ---- links ------------------------------------------------------------------------------------------------ */

/*
 * Scenario: follow_links. A kept trace links to a waiting one (2), to one that comes later (3); one that waits (4) and
 * one that comes later (5) link to it; a sixth is linked with one that is dropped
 * Guarantees: 2 to 5 are kept with it, with follow_links as the reason; the sixth is not
 */
static void links_carry_decisions(void **state)
{
    (void)state;
    gw_tail_open(&r, "follow_links: true\ndecision_wait: 1s\nreason_attribute: why");
    gw_tail_send(&r, "1.1el2 1.2l3 2.1 4.1l1 6.1l7 7.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1{why=errors} 1.2{why=errors} 2.1{why=follow_links} 4.1{why=follow_links}");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    gw_tail_send(&r, "3.1 5.1l1 8.1l7");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "3.1{why=follow_links} 5.1{why=follow_links}");
    assert_int_equal(gw_tail_ours(&r, "traces_kept_by_link"), 4);
    gw_tail_send(&r, "9.1");
    gw_tail_send(&r, "1.3l9"); /* late itself */
    (void)gw_tail_out(&r);
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "9.1{why=follow_links}");
    gw_tail_close(&r);
    gw_tail_open(&r, "follow_links: false\ndecision_wait: 1s");
    gw_tail_send(&r, "1.1el2 2.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1");
    gw_tail_close(&r);
}

/*
 * Scenario: max_links 2, and three links of a trace that is kept
 * Guarantees: the oldest is forgotten
 */
static void as_many_links_are_remembered_as_asked_for(void **state)
{
    (void)state;
    gw_tail_open(&r, "follow_links: true\nmax_links: 2\ndecision_wait: 1s");
    gw_tail_send(&r, "1.1el2 1.2l3 1.3l4 2.1 3.1 4.1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3 3.1 4.1");
    gw_tail_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_say_who_kept_them), cmocka_unit_test(a_dry_run_keeps_everything),
        cmocka_unit_test(thresholds_are_raised),   cmocka_unit_test(thresholds_are_never_above_the_randomness),
        cmocka_unit_test(links_carry_decisions),   cmocka_unit_test(as_many_links_are_remembered_as_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
