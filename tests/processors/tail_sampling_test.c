/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling: when traces are decided, what becomes of their spans, and of those that come later. */
#include "tests/harness_tail.h"

static struct gw_tail_rig r;

#define ALL     "policies: [{name: all, type: always_sample}]\n"
#define NOTHING "policies: [{name: none, type: span_count, span_count: {min_spans: 1000000}}]\n"

/* ---- time ------------------------------------------------------------------------------------------------- */

/*
 * Scenario: two traces come in one request, one with an error; a third comes 5 s later, in two requests
 * Guarantees: each is decided decision_wait after its first span, at the next full tenth of a second, whole or not at
 * all
 */
static void a_trace_waits_for_its_decision(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 10s");
    gw_tail_send(&r, "1.1r 2.1r 1.2e 2.2");
    gw_tail_wait(&r, 5);
    gw_tail_send(&r, "3.1");
    gw_tail_wait(&r, 4);
    gw_tail_send(&r, "3.2e");
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(gw_tail_held(&r), 6);
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    gw_tail_wait(&r, 4);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "3.1 3.2");
    assert_int_equal(gw_tail_held(&r), 0);
    assert_int_equal(gw_tail_metric(&r, "new_trace_id_received"), 3);
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"true\",decision=\"sampled\"}"), 2);
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"false\",decision=\"not_sampled\"}"), 1);
    assert_int_equal(gw_tail_metric(&r, "sampling_trace_removal_age_count"), 3);
    assert_int_equal(gw_tail_metric(&r, "sampling_trace_removal_age_sum"), 30);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"due\"}"), 3);
    assert_int_equal(gw_tail_metric(&r, "sampling_decision_timer_latency_count"), 15);
    assert_int_equal(gw_tail_tick(&r), GW_DONE);
    assert_int_equal(gw_tail_metric(&r, "sampling_decision_timer_latency_count"), 15);
    gw_tail_close(&r);
}

/*
 * Scenario: a trace comes 40 ms after a full second
 * Guarantees: it waits its 10 s and not a full second more
 */
static void a_decision_waits_for_a_tenth_at_most(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 10s");
    gw_tail_wait(&r, 1);
    gw_test_env_advance(&r.p.te, 40000000);
    gw_tail_send(&r, "1.1e");
    gw_tail_wait(&r, 10);
    assert_string_equal(gw_tail_out(&r), "");
    gw_test_env_advance(&r.p.te, 60000000);
    assert_int_equal(gw_tail_tick(&r), GW_DONE);
    assert_string_equal(gw_tail_out(&r), "1.1");
    gw_tail_close(&r);
}

/*
 * Scenario: decision_wait_after_root_received of 2 s; the root of one trace comes, that of another does not; a third
 * has its root 9 s after its first span, when decision_wait is nearer
 * Guarantees: the first is decided 2 s after its root; the others at decision_wait
 */
static void a_root_makes_it_earlier(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 10s\ndecision_wait_after_root_received: 2s\n" ALL);
    gw_tail_send(&r, "1.1 2.1 3.1");
    gw_tail_wait(&r, 3);
    gw_tail_send(&r, "1.2r");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    gw_tail_wait(&r, 4);
    gw_tail_send(&r, "3.2r");
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_out(&r), "2.1 3.1 3.2");
    gw_tail_close(&r);
}

/*
 * Scenario: decide_early; an error comes first, second, never
 * Guarantees: with the error the trace leaves at once, with what waited of it before what just came; others wait
 */
static void a_settled_trace_does_not_wait(void **state)
{
    (void)state;
    gw_tail_open(&r, "decide_early: true");
    gw_tail_send(&r, "1.1e 1.2 2.1");
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    gw_tail_send(&r, "1.3 2.2");
    assert_string_equal(gw_tail_out(&r), "1.3");
    gw_tail_send(&r, "2.3e");
    assert_string_equal(gw_tail_out(&r), "2.1 2.2 | 2.3");
    assert_int_equal(gw_tail_held(&r), 0);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"settled\"}"), 2);
    gw_tail_close(&r);
    gw_tail_open(&r, "decide_early: false");
    gw_tail_send(&r, "1.1e 1.2 2.1");
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_close(&r);
}

/* ---- late spans ------------------------------------------------------------------------------------------- */

/*
 * Scenario: spans of decided traces come, 3 s later; decision_cache with both sizes as they are by default
 * Guarantees: they follow the decision, and are counted; the trace is no new one
 */
static void late_spans_follow(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 1s");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 4);
    (void)gw_tail_out(&r);
    (void)gw_tail_drops(&r);
    gw_tail_send(&r, "2.2 1.2 1.3");
    assert_string_equal(gw_tail_out(&r), "1.2 1.3");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(r.p.settled[GW_ABSORBED], 0);
    assert_int_equal(gw_tail_metric(&r, "early_releases_from_cache_decision{sampled=\"true\"}"), 2);
    assert_int_equal(gw_tail_metric(&r, "early_releases_from_cache_decision{sampled=\"false\"}"), 1);
    assert_int_equal(gw_tail_metric(&r, "sampling_late_span_age_count"), 2);
    assert_int_equal(gw_tail_metric(&r, "sampling_late_span_age_sum"), 6);
    assert_int_equal(gw_tail_metric(&r, "new_trace_id_received"), 2);
    gw_tail_close(&r);
}

/*
 * Scenario: late spans of traces that were dropped by two policies and by none, in one request
 * Guarantees: each is counted with its own reason
 */
static void what_is_dropped_has_its_reason(void **state)
{
    (void)state;
    gw_tail_open(&r,
                 "decision_wait: 1s\npolicies:\n"
                 "- {name: no-errors, type: drop, drop: {drop_sub_policy: [{name: e, type: status_code, status_code: "
                 "{status_codes: [ERROR]}}]}}\n"
                 "- {name: no-slow, type: drop, drop: {drop_sub_policy: [{name: l, type: latency, latency: "
                 "{threshold_ms: 50}}]}}\n"
                 "- {name: long, type: span_count, span_count: {min_spans: 9}}\n");
    for (unsigned i = 0; i < 2; i++) {
        gw_tail_send(&r, "1.1e 2.1d100 3.1 1.2 4.1d100");
        gw_tail_wait(&r, 2);
        assert_string_equal(gw_tail_drops(&r),
                            i ? "tail_sampling=1 no-slow=2 no-errors=2" : "no-errors=2 no-slow=2 tail_sampling=1");
    }
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"false\",decision=\"dropped\"}"), 3);
    gw_tail_close(&r);
}

/*
 * Scenario: sampled_cache_size 1, non_sampled_cache_size 1; two traces each way, then late spans of all four
 * Guarantees: of each kind the last is remembered, the other begins anew
 */
static void as_many_decisions_are_remembered_as_asked_for(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\ndecision_cache: {sampled_cache_size: 1, non_sampled_cache_size: 1}");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 2);
    gw_tail_send(&r, "3.1e 4.1");
    gw_tail_wait(&r, 2);
    (void)gw_tail_out(&r);
    (void)gw_tail_drops(&r);
    gw_tail_send(&r, "1.2 2.2e 3.2 4.2e");
    assert_string_equal(gw_tail_out(&r), "3.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "2.2");
    gw_tail_close(&r);
    gw_tail_open(&r, "decision_wait: 1s\ndecision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 2);
    gw_tail_send(&r, "1.2 2.2");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_close(&r);
}

/* ---- a full house ----------------------------------------------------------------------------------------- */

/*
 * Scenario: num_traces 2, and a third comes
 * Guarantees: the oldest is decided with what is there of it; its late spans follow; nothing is dropped too early
 */
static void a_full_house_decides_the_oldest(void **state)
{
    (void)state;
    gw_tail_open(&r, "num_traces: 2");
    gw_tail_send(&r, "1.1e 2.1 3.1");
    assert_string_equal(gw_tail_out(&r), "1.1");
    gw_tail_send(&r, "4.1 1.2");
    assert_string_equal(gw_tail_out(&r), "1.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(gw_tail_held(&r), 2);
    assert_int_equal(gw_tail_metric(&r, "sampling_trace_dropped_too_early"), 0);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"num_traces\"}"), 2);
    gw_tail_close(&r);
}

/*
 * Scenario: overflow: drop, and a third trace where there is room for two
 * Guarantees: as in the Collector the oldest is lost without a decision, and what comes of it later is a new trace
 */
static void a_full_house_may_drop_the_oldest(void **state)
{
    (void)state;
    gw_tail_open(&r, "num_traces: 2\noverflow: drop");
    gw_tail_send(&r, "1.1e 2.1 3.1");
    assert_string_equal(gw_tail_out(&r), "");
    assert_string_equal(gw_tail_drops(&r), "dropped_too_early=1");
    gw_tail_send(&r, "1.2");
    assert_string_equal(gw_tail_drops(&r), "dropped_too_early=1");
    assert_int_equal(gw_tail_held(&r), 2);
    assert_int_equal(gw_tail_metric(&r, "sampling_trace_dropped_too_early"), 2);
    gw_tail_close(&r);
}

/*
 * Scenario: block_on_overflow; a request with one new trace where there is no room, one with known traces only, one
 * with more new traces than there is ever room for
 * Guarantees: the first is refused as a whole and nothing of it is kept; the others are taken
 */
static void a_full_house_may_refuse(void **state)
{
    (void)state;
    gw_tail_open(&r, "num_traces: 2\nblock_on_overflow: true\ndecision_wait: 5s");
    gw_tail_send(&r, "1.1 2.1");
    gw_tail_send(&r, "1.2 3.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling_full=2");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_send(&r, "1.3e");
    assert_int_equal(gw_tail_held(&r), 3);
    gw_tail_wait(&r, 5);
    assert_string_equal(gw_tail_out(&r), "1.1 1.3");
    gw_tail_send(&r, "3.1");
    assert_int_equal(gw_tail_held(&r), 1);
    gw_tail_send(&r, "4.1 5.1 6.1");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_close(&r);
}

/*
 * Scenario: max_bytes of 1 MiB; 640 traces of 25 spans of 600 bytes each, a request a trace
 * Guarantees: what is held never exceeds it, the oldest are decided early, and every span leaves once or is dropped
 */
static void memory_is_bounded_to_the_byte(void **state)
{
    unsigned sent = 0, out, drops = 0;

    (void)state;
    gw_tail_open(&r, "max_bytes: 1048576\ndecision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n"
                     "policies: [{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}]");
    for (unsigned i = 0; i < 160; i++) {
        for (unsigned k = 0; k < 4; k++, sent += 25)
            gw_tail_send_many(&r, (1 + i * 4 + k) * UINT64_C(0x9e3779b97f4a7c15), sent, 25, 500);
        gw_tail_wait(&r, 0);
        assert_true(gw_tail_ours(&r, "held_bytes") <= 1048576);
    }
    assert_true(gw_tail_held(&r) > 800);
    assert_true(gw_tail_ours(&r, "decisions{cause=\"max_bytes\"}") > 500);
    gw_tail_drain(&r);
    out = r.n_rows;
    for (unsigned i = 0; i < r.n_counts; i++)
        drops += (unsigned)r.counts[i];
    assert_int_equal(out + drops, sent);
    assert_true(out > sent / 3 && out < sent * 2 / 3);
    gw_tail_close(&r);
}

#define ALL_AFTER_A_MINUTE                                                                                             \
    "decision_wait: 60s\npolicies: [{name: all, type: always_sample}]\n"                                               \
    "decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n"

/*
 * Scenario: 200 traces of 100 spans, one of 9,000, and five seconds more; with compress: lz4 and without
 * Guarantees: with it less than half is held meanwhile; all spans leave when they are decided, also in pieces
 */
static void what_rests_may_be_packed(void **state)
{
    double bytes[2];

    (void)state;
    for (unsigned lz4 = 0; lz4 < 2; lz4++) {
        gw_tail_open(&r, lz4 ? ALL_AFTER_A_MINUTE "compress: lz4\n" : ALL_AFTER_A_MINUTE);
        for (unsigned i = 0; i < 200; i++)
            gw_tail_send_many(&r, i + 1, 1, 100, 500);
        for (unsigned i = 0; i < 9; i++)
            gw_tail_send_many(&r, 1000, 1 + i * 1000, 1000, 100);
        gw_tail_wait(&r, 40);
        bytes[lz4] = gw_tail_ours(&r, "held_bytes");
        assert_int_equal(gw_tail_held(&r), 29000);
        gw_tail_wait(&r, 30);
        assert_int_equal(gw_tail_held(&r), 0);
        assert_int_equal(r.n_rows, 29000);
        gw_tail_close(&r);
    }
    assert_true(bytes[1] < bytes[0] * 2 / 3);
}

/*
 * Scenario: max_bytes of 1 MiB and one trace of 3 MB, in requests of 100 spans
 * Guarantees: when the memory is full it is decided with what is there; the rest follows
 */
static void a_trace_larger_than_all_memory_is_decided(void **state)
{
    (void)state;
    gw_tail_open(&r, "max_bytes: 1048576\n" ALL);
    for (unsigned i = 0; i < 30; i++)
        gw_tail_send_many(&r, 1, 1 + i * 100, 100, 900);
    assert_int_equal(gw_tail_held(&r), 0);
    assert_int_equal(r.n_rows, 3000);
    for (unsigned i = 0; i < r.n_rows; i++)
        assert_int_equal(r.rows[i].span, i + 1);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"max_bytes\"}"), 1);
    gw_tail_close(&r);
}

/*
 * Scenario: max_spans_per_trace 3; a trace gets its fourth span
 * Guarantees: it is decided at once, and its later spans follow
 */
static void a_trace_that_is_too_long_is_decided(void **state)
{
    (void)state;
    gw_tail_open(&r, "max_spans_per_trace: 3");
    gw_tail_send(&r, "1.1 1.2e 1.3 2.1");
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_send(&r, "1.4");
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3 | 1.4");
    gw_tail_send(&r, "1.5");
    assert_string_equal(gw_tail_out(&r), "1.5");
    assert_int_equal(gw_tail_held(&r), 1);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"max_spans_per_trace\"}"), 1);
    gw_tail_close(&r);
}

/*
 * Scenario: maximum_trace_size_bytes 2000; a trace with an error gets larger
 * Guarantees: it is dropped at once, with what comes later, and counted as too large, not as a decision
 */
static void a_trace_that_is_too_large_is_dropped(void **state)
{
    (void)state;
    gw_tail_open(&r, "maximum_trace_size_bytes: 2000");
    gw_tail_send_many(&r, 1, 1, 1, 1000);
    gw_tail_send(&r, "1.2e");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_send_many(&r, 1, 3, 1, 1000);
    gw_tail_send(&r, "1.4");
    assert_string_equal(gw_tail_out(&r), "");
    assert_string_equal(gw_tail_drops(&r), "trace_too_large=4");
    assert_int_equal(gw_tail_metric(&r, "traces_dropped_too_large"), 1);
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"false\",decision=\"not_sampled\"}"), 0);
    gw_tail_close(&r);
}

/*
 * Scenario: the process has no memory left for traces
 * Guarantees: what comes is decided at once, by itself; what was held is charged to the process
 */
static void without_room_for_anything_spans_are_decided_alone(void **state)
{
    uint64_t used;

    (void)state;
    gw_tail_open(&r, "");
    gw_tail_send(&r, "1.1");
    used = atomic_load(&r.p.memory.used_bytes);
    assert_true(used > 0);
    gw_tail_drain(&r);
    assert_int_equal(atomic_load(&r.p.memory.used_bytes), 0);
    (void)gw_tail_drops(&r);
    gw_tail_send(&r, "2.1");
    atomic_store(&r.p.memory.soft_bytes, 0);
    for (uint64_t i = 0; i < 3000; i++) /* until what is there has no room either */
        gw_tail_send_many(&r, 100 + i, 1, 1, 0);
    gw_tail_send(&r, "3.1e 4.1");
    gw_tail_send(&r, "5.1e");
    gw_tail_drain(&r);
    assert_non_null(strstr(gw_tail_out(&r), "3.1"));
    assert_int_equal(r.n_rows, 2);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=3002");
    gw_tail_close(&r);
}

/*
 * Scenario: block_on_overflow with max_bytes; requests until one is refused; a request that never fits
 * Guarantees: nothing is decided for want of room, what is refused is not kept; what can never fit is not refused
 */
static void a_full_memory_may_refuse(void **state)
{
    unsigned i = 0;

    (void)state;
    gw_tail_open(&r, "max_bytes: 1048576\nblock_on_overflow: true\n" ALL);
    for (; r.n_counts == 0; i++) {
        assert_true(i < 30);
        gw_tail_send_many(&r, 1 + i % 2, 1 + i * 100, 100, 900);
    }
    assert_true(i > 5);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling_full=100");
    assert_int_equal(gw_tail_held(&r), (i - 1) * 100);
    assert_int_equal(r.n_rows, 0);
    gw_tail_send_many(&r, 9, 1, 1200, 900);
    assert_string_equal(gw_tail_drops(&r), "");
    assert_true(r.n_rows > 0);
    gw_tail_close(&r);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

/*
 * Scenario: the end, with two traces waiting; again with drop_pending_traces_on_shutdown
 * Guarantees: they are decided with what is there; or dropped, with that reason
 */
static void the_end_decides_what_is_open(void **state)
{
    (void)state;
    gw_tail_open(&r, "");
    gw_tail_send(&r, "1.1 2.1e");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "2.1");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    gw_tail_close(&r);
    gw_tail_open(&r, "drop_pending_traces_on_shutdown: true");
    gw_tail_send(&r, "1.1 2.1e");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "");
    assert_string_equal(gw_tail_drops(&r), "pending_at_shutdown=2");
    gw_tail_close(&r);
}

/* ---- strategies and policies ------------------------------------------------------------------------------ */

/*
 * Scenario: sampling_strategy: span-ingest; an error comes in the second request of a trace; another has none
 * Guarantees: with the error the trace leaves, what waited first; the other is not sampled at decision_wait, without
 * being asked again
 */
static void span_ingest_judges_what_comes(void **state)
{
    (void)state;
    gw_tail_open(&r, "sampling_strategy: span-ingest\ndecision_wait: 5s");
    gw_tail_send(&r, "1.1 2.1");
    gw_tail_send(&r, "1.2 1.3es1 1.4s2");
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 | 1.3 1.4");
    assert_int_equal(gw_tail_held(&r), 1);
    gw_tail_wait(&r, 5);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"span_ingest\"}"), 1);
    gw_tail_close(&r);
    gw_tail_open(&r, "sampling_strategy: trace-complete\ndecision_wait: 5s");
    gw_tail_send(&r, "1.1e");
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_close(&r);
}

#define TWO                                                                                                            \
    "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, {name: all, type: "           \
    "always_sample}]\n"
#define ASKED "count_traces_sampled{policy=\"all\",sampled=\"true\",decision=\"sampled\"}"

/*
 * Scenario: sample_on_first_match, and two policies that would both keep a trace
 * Guarantees: with it the second is not asked; without it both are, and counted
 */
static void the_first_match_may_be_enough(void **state)
{
    (void)state;
    gw_tail_open(&r, "sample_on_first_match: true\n" TWO);
    gw_tail_send(&r, "1.1e");
    gw_tail_drain(&r);
    assert_int_equal(gw_tail_metric(&r, ASKED), 0);
    gw_tail_close(&r);
    gw_tail_open(&r, "sample_on_first_match: false\n" TWO);
    gw_tail_send(&r, "1.1e");
    gw_tail_drain(&r);
    assert_int_equal(gw_tail_metric(&r, ASKED), 1);
    gw_tail_close(&r);
}

/*
 * Scenario: count_spans_sampled, count_bytes_sampled, on and off; a trace of two spans
 * Guarantees: they are counted per policy, or not
 */
static void spans_and_bytes_are_counted_when_asked_for(void **state)
{
#define OF "{policy=\"all\",sampled=\"true\",decision=\"sampled\"}"
    (void)state;
    gw_tail_open(&r, "count_spans_sampled: true\ncount_bytes_sampled: true\n" ALL);
    gw_tail_send(&r, "1.1 1.2");
    gw_tail_drain(&r);
    assert_int_equal(gw_tail_metric(&r, "count_spans_sampled" OF), 2);
    assert_in_range(gw_tail_metric(&r, "count_bytes_sampled" OF), 150, 260);
    gw_tail_close(&r);
    gw_tail_open(&r, ALL);
    gw_tail_send(&r, "1.1 1.2");
    gw_tail_drain(&r);
    assert_int_equal(gw_tail_metric(&r, "count_spans_sampled" OF), 0);
    assert_int_equal(gw_tail_metric(&r, "count_bytes_sampled" OF), 0);
    gw_tail_close(&r);
}

/*
 * Scenario: running_latency, and a latency policy between 5 and 50 ms; a span of 10 ms, then one of 100 ms
 * Guarantees: as the Collector judges it the first span is enough; by default the whole trace counts
 */
static void latency_may_be_judged_in_order(void **state)
{
#define BETWEEN "policies: [{name: l, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: 50}}]\n"
    (void)state;
    gw_tail_open(&r, "running_latency: true\n" BETWEEN);
    gw_tail_send(&r, "1.1d10 1.2d100");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    gw_tail_close(&r);
    gw_tail_open(&r, BETWEEN);
    gw_tail_send(&r, "1.1d10 1.2d100");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_close(&r);
}

/*
 * Scenario: composite_fall_through; of two sub-policies that want everything the first has room for one span a second
 * Guarantees: the second takes a trace of two spans; when that is off nobody does, as in the Collector
 */
static void a_composite_may_fall_through(void **state)
{
#define SHARES                                                                                                         \
    "policies: [{name: c, type: composite, composite: {max_total_spans_per_second: 10, policy_order: [a, b], "         \
    "composite_sub_policy: [{name: a, type: always_sample}, {name: b, type: always_sample}], "                         \
    "rate_allocation: [{policy: a, percent: 10}, {policy: b, percent: 90}]}}]\n"
    (void)state;
    gw_tail_open(&r, "composite_fall_through: true\nrecord_policy: true\n" SHARES);
    gw_tail_send(&r, "1.1 1.2");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1{@tailsampling.policy=c;@tailsampling.composite_policy=b} "
                                         "1.2{@tailsampling.policy=c;@tailsampling.composite_policy=b}");
    gw_tail_close(&r);
    gw_tail_open(&r, "composite_fall_through: false\n" SHARES);
    gw_tail_send(&r, "1.1 1.2");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_close(&r);
}

/*
 * Scenario: invert_decisions; a policy that wants all but service1, and one that wants everything
 * Guarantees: with it the first has the last word against service1; without it the second keeps it
 */
static void inverted_policies_may_have_the_last_word(void **state)
{
#define BUT                                                                                                            \
    "policies: [{name: but, type: string_attribute, string_attribute: {key: service.name, values: [service1], "        \
    "invert_match: true}}, {name: all, type: always_sample}]\n"
    (void)state;
    gw_tail_open(&r, "invert_decisions: true\n" BUT);
    gw_tail_send(&r, "1.1s1 2.1s2");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "2.1");
    gw_tail_close(&r);
    gw_tail_open(&r, "invert_decisions: false\n" BUT);
    gw_tail_send(&r, "1.1s1 2.1s2");
    gw_tail_drain(&r);
    assert_string_equal(gw_tail_out(&r), "1.1 2.1");
    gw_tail_close(&r);
}

/* ---- the odd ---------------------------------------------------------------------------------------------- */

/*
 * Scenario: without_trace_id: pass, then reject; spans whose trace id is all zeros, among others
 * Guarantees: they pass at once, or are rejected with a reason; they are no trace, and counted
 */
static void spans_without_a_trace_id_are_no_trace(void **state)
{
    (void)state;
    gw_tail_open(&r, "without_trace_id: pass");
    gw_tail_send(&r, "0.1 1.1 0.2");
    assert_string_equal(gw_tail_out(&r), "0.1 0.2");
    assert_int_equal(gw_tail_held(&r), 1);
    assert_int_equal(gw_tail_ours(&r, "spans_without_trace_id"), 2);
    gw_tail_close(&r);
    gw_tail_open(&r, "without_trace_id: reject");
    gw_tail_send(&r, "0.1 1.1 0.2");
    assert_string_equal(gw_tail_out(&r), "");
    assert_int_equal(r.p.n_rejects, 2);
    assert_string_equal(r.p.rejects[0].rule, "trace_id");
    assert_int_equal(gw_tail_held(&r), 1);
    gw_tail_close(&r);
}

/*
 * Scenario: requests of a client with metadata, 10 s before the decision
 * Guarantees: batches have no client's metadata, as in the Collector; the receiver's name, and when the first span came
 */
static void batches_say_where_they_come_from(void **state)
{
    uint64_t arrived;

    (void)state;
    gw_tail_open(&r, "decision_wait: 10s\n" ALL);
    r.p.meta = gw_meta_new(&(struct gw_meta){.tenant = GW_SLICE("a")});
    arrived = gw_wall_ns(&r.p.te.env);
    gw_tail_send(&r, "1.1");
    gw_tail_wait(&r, 5);
    gw_tail_send(&r, "1.2 2.1");
    gw_tail_wait(&r, 5);
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    assert_false(r.has_meta);
    assert_string_equal(r.receiver, "otlp");
    assert_int_equal(r.received_ns, arrived);
    gw_tail_close(&r);
    /* of several traces the first; with several receivers none */
    gw_tail_open(&r, "decision_wait: 10s\ndecision_wait_after_root_received: 2s\n" ALL);
    arrived = gw_wall_ns(&r.p.te.env);
    gw_tail_send(&r, "1.1");
    gw_test_env_advance(&r.p.te, 1000000000);
    gw_tail_send(&r, "2.1");
    gw_test_env_advance(&r.p.te, 200000000);
    gw_tail_send(&r, "2.2r");
    gw_test_env_advance(&r.p.te, 300000000);
    r.p.receiver = "kafka";
    gw_tail_send(&r, "3.1r");
    gw_tail_send(&r, "1.2r");
    gw_test_env_advance(&r.p.te, 3500000000);
    gw_tail_wait(&r, 0);
    assert_int_equal(gw_tail_tick(&r), GW_DONE);
    assert_string_equal(gw_tail_out(&r), "2.1 2.2 3.1 1.1 1.2");
    assert_null(r.receiver);
    assert_int_equal(r.received_ns, arrived);
    gw_tail_send(&r, "4.1 5.1");
    gw_tail_drain(&r);
    assert_string_equal(r.receiver, "kafka");
    gw_tail_close(&r);
}

/*
 * Scenario: settings that cannot be
 * Guarantees: told, at their place
 */
static void mistakes_are_told(void **state)
{
#define REFUSES(yaml, text) gw_proc_refuses("tail_sampling", yaml, text)
    (void)state;
    REFUSES(ALL "sampling_strategy: span-ingst", "trace-complete, span-ingest");
    REFUSES(ALL "tail_storage: file_storage", "planned");
    REFUSES(ALL "max_bytes: 1000", "test.yaml:2:12: error: max_bytes must be 0 (no limit) or at least 1048576");
    REFUSES(ALL "num_traces: 0", "num_traces");
    REFUSES(ALL "num_shards: 300", "num_shards");
    REFUSES(ALL "overflow: block", "decide, drop");
    REFUSES(ALL "without_trace_id: group", "pass, reject");
    REFUSES(ALL "decision_wate: 1s", "decision_wait");
}

/*
 * Scenario: a key of the processor is misspelt, and one of a policy, and a policy has no name; then `policies` itself
 * Guarantees: all mistakes are told at once; that there are no policies is none then
 */
static void mistakes_do_not_hide_each_other(void **state)
{
    struct gw_proc_rig p;

    (void)state;
    assert_true(gw_proc_configure(&p, "tail_sampling",
                                  "decision_wate: 1s\nmax_bytes: x\npolicies:\n- {name: a, type: latency, latency: "
                                  "{threshold: 5}}\n- {type: always_sample}") < 0);
    assert_int_equal(p.diag.n_errors, 4);
    assert_non_null(strstr(p.said, "test.yaml:1:1: error: unknown key \"decision_wate\""));
    assert_non_null(strstr(p.said, "max_bytes"));
    assert_non_null(strstr(p.said, "test.yaml:4:38: error: unknown key \"threshold\" in policies::0::latency"));
    assert_non_null(strstr(p.said, "policies::1: policy name cannot be empty"));
    gw_proc_close(&p);
    assert_true(gw_proc_configure(&p, "tail_sampling", "polices: [{name: a, type: always_sample}]") < 0);
    assert_int_equal(p.diag.n_errors, 1);
    gw_proc_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_waits_for_its_decision),
        cmocka_unit_test(a_decision_waits_for_a_tenth_at_most),
        cmocka_unit_test(a_root_makes_it_earlier),
        cmocka_unit_test(a_settled_trace_does_not_wait),
        cmocka_unit_test(late_spans_follow),
        cmocka_unit_test(as_many_decisions_are_remembered_as_asked_for),
        cmocka_unit_test(a_full_house_decides_the_oldest),
        cmocka_unit_test(a_full_house_may_drop_the_oldest),
        cmocka_unit_test(a_full_house_may_refuse),
        cmocka_unit_test(memory_is_bounded_to_the_byte),
        cmocka_unit_test(what_rests_may_be_packed),
        cmocka_unit_test(a_trace_larger_than_all_memory_is_decided),
        cmocka_unit_test(a_trace_that_is_too_long_is_decided),
        cmocka_unit_test(a_trace_that_is_too_large_is_dropped),
        cmocka_unit_test(without_room_for_anything_spans_are_decided_alone),
        cmocka_unit_test(a_full_memory_may_refuse),
        cmocka_unit_test(what_is_dropped_has_its_reason),
        cmocka_unit_test(the_end_decides_what_is_open),
        cmocka_unit_test(span_ingest_judges_what_comes),
        cmocka_unit_test(the_first_match_may_be_enough),
        cmocka_unit_test(spans_and_bytes_are_counted_when_asked_for),
        cmocka_unit_test(latency_may_be_judged_in_order),
        cmocka_unit_test(a_composite_may_fall_through),
        cmocka_unit_test(inverted_policies_may_have_the_last_word),
        cmocka_unit_test(spans_without_a_trace_id_are_no_trace),
        cmocka_unit_test(batches_say_where_they_come_from),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(mistakes_do_not_hide_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
