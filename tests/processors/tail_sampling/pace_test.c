/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling: kept traces that leave bit by bit, because they are long, nobody behind has room, or memory ran out.
 */
#include "tests/harness_tail.h"

#include <stdio.h>

static struct gw_tail_rig r;

#define ALL    "policies: [{name: all, type: always_sample}]\n"
#define TENTH  100000000
#define SECOND 1000000000

/* A tenth of a second later: everything that the processor does then. Returns how many spans left. */
static unsigned one_tick(void)
{
    unsigned before = r.n_rows, calls = 0;

    gw_test_env_advance(&r.p.te, TENTH);
    while (gw_tail_tick(&r) == GW_MORE)
        assert_true(++calls < 100);
    return r.n_rows - before;
}

static void send_long(uint64_t trace, unsigned spans)
{
    for (unsigned i = 0; i < spans; i += 1000)
        gw_tail_send_many(&r, trace, 1 + i, 1000, 0);
}

/* All that left of a trace, in order: 1, 2, 3, … Returns how many. */
static uint64_t in_order(uint64_t trace)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r.n_rows; i++)
        if (r.rows[i].trace == trace)
            assert_int_equal(r.rows[i].span, ++n);
    return n;
}

static unsigned place_of(uint64_t trace)
{
    unsigned i = 0;

    while (i < r.n_rows && r.rows[i].trace != trace)
        i++;
    return i;
}

/* ---- pace ------------------------------------------------------------------------------------------------- */

/*
 * Scenario: one trace of 100,000 spans in 100 requests, of two services by turns, is due together with two small ones,
 * and a third is due two tenths of a second later
 * Guarantees: it leaves in order, in batches of at most 8,192 spans, some 16,384 spans each tick; the small ones leave
 * when they are due; a span that comes meanwhile follows at once, and what waits is told exactly
 */
static void a_long_trace_leaves_at_a_pace(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\ndecision_cache: {sampled_cache_size: 0}\n" ALL);
    gw_tail_send(&r, "2.1");
    for (unsigned i = 0; i < 100; i++) {
        gw_tail_send_many(&r, 1, 1 + i * 1000, 999, 0);
        gw_tail_send(&r, i == 0 ? "1.1000s1" : "1.999999s1");
    }
    gw_tail_send(&r, "3.1");
    gw_test_env_advance(&r.p.te, SECOND / 5);
    gw_tail_send(&r, "4.1");
    gw_test_env_advance(&r.p.te, SECOND - SECOND / 5 - TENTH);
    for (unsigned i = 0, left = 100002; i < 3; i++) {
        unsigned n = one_tick();

        assert_true(n >= 16384 && n < 16384 + 8192 + 4);
        left -= n;
        assert_int_equal(gw_tail_held(&r), left + 1);
        if (i == 0)
            assert_true(place_of(2) < 3 && place_of(3) < 3);
        else
            assert_int_equal(place_of(4) == r.n_rows, i == 1);
    }
    gw_tail_send(&r, "1.7");
    assert_int_equal(r.rows[r.n_rows - 1].span, 7);
    r.rows[r.n_rows - 1].trace = 9;
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    assert_int_equal(r.n_rows, 100004);
    assert_true(r.n_most <= 8192);
    for (unsigned i = 0, n = 0; i < r.n_rows && n < 1000; i++)
        if (r.rows[i].trace == 1)
            assert_int_equal(r.rows[i].span, ++n);
    gw_tail_close(&r);
}

/*
 * Scenario: three traces of 9,000 spans are decided for their length before any tick
 * Guarantees: they leave one behind the other, in that order, a tick's worth each tick; each leaves once
 */
static void long_traces_leave_one_behind_the_other(void **state)
{
    (void)state;
    gw_tail_open(&r, "max_spans_per_trace: 9000\n" ALL);
    for (unsigned i = 1; i <= 3; i++) {
        send_long(i, 9000);
        gw_tail_send_many(&r, i, 9001, 1, 0);
        r.rows[i - 1].trace = 0; /* the one that was too many follows at once */
    }
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(gw_tail_held(&r), 27000);
    assert_true(one_tick() < 18001);
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(in_order(i), 9000);
    assert_int_equal(place_of(2), 3 + 9000);
    assert_int_equal(place_of(3), 3 + 18000);
    gw_tail_close(&r);
}

/*
 * Scenario: much more than a tick's worth is set aside
 * Guarantees: a tenth of it leaves each tick, in calls that are no longer for it
 */
static void a_heap_leaves_faster(void **state)
{
    int more = GW_MORE;

    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\n" ALL);
    r.is_narrow = true; /* until all are set aside */
    for (unsigned i = 1; i <= 12; i++)
        send_long(i, 30000);
    gw_test_env_advance(&r.p.te, SECOND);
    assert_int_equal(gw_tail_tick(&r), GW_DONE);
    assert_int_equal(gw_tail_held(&r), 360000);
    r.is_narrow = false;
    gw_test_env_advance(&r.p.te, TENTH);
    for (unsigned before = 0; more == GW_MORE; before = r.n_rows) {
        more = gw_tail_tick(&r);
        assert_true(r.n_rows - before < 16384 + 8192);
    }
    assert_true(r.n_rows >= 36000 && r.n_rows < 36000 + 8192);
    gw_tail_close(&r);
}

/* ---- batches ---------------------------------------------------------------------------------------------- */

/*
 * Scenario: 20 traces of 100 KB are due at once, and one of 3 MB
 * Guarantees: the many leave in batches of a MiB; the large one is not divided, and all leave whole and in order
 */
static void batches_are_of_a_mib_and_a_trace_of_less_than_four_is_one(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\n" ALL);
    for (unsigned i = 1; i <= 20; i++)
        gw_tail_send_many(&r, i, 1, 100, 1000);
    gw_test_env_advance(&r.p.te, SECOND);
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    assert_int_equal(r.n_rows, 2000);
    assert_true(r.n_batches >= 2 && r.n_batches <= 3);
    assert_true(r.n_most >= 800 && r.n_most * 1000 < 1 << 20);
    for (unsigned i = 0; i < 6; i++)
        gw_tail_send_many(&r, 21, 1 + i * 500, 500, 1000);
    r.n_batches = 0;
    gw_test_env_advance(&r.p.te, SECOND);
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    assert_int_equal(r.n_batches, 1);
    assert_int_equal(r.n_most, 3000);
    for (unsigned i = 1; i <= 21; i++)
        assert_int_equal(in_order(i), i <= 20 ? 100 : 3000);
    gw_tail_close(&r);
}

/*
 * Scenario: 200 traces with spans of two services are due at once; then such in which a policy is written
 * Guarantees: they leave in a batch in which each service stands once for 64 traces; in the other case once for each
 * trace, which has a scope of its own
 */
static void traces_that_leave_together_share_resources(void **state)
{
    static const char *const settings[] = {"decision_wait: 1s\n" ALL, "decision_wait: 1s\nrecord_policy: true\n" ALL};
    char spans[64];

    (void)state;
    for (unsigned with = 0; with < 2; with++) {
        gw_tail_open(&r, settings[with]);
        for (unsigned i = 1; i <= 200; i++) {
            (void)snprintf(spans, sizeof(spans), "%u.1s1 %u.2s2 %u.3s1", i, i, i);
            gw_tail_send(&r, spans);
        }
        gw_test_env_advance(&r.p.te, SECOND);
        assert_int_equal(one_tick(), 600);
        assert_int_equal(r.n_batches, 1);
        /* three times 64, and the rest */
        assert_int_equal(r.n_resources, with ? 400 : 2 * 4);
        gw_tail_close(&r);
    }
}

/* ---- room ------------------------------------------------------------------------------------------------- */

/*
 * Scenario: a long trace and a small one are due; the queue behind has no room, then for 1,000 spans, then for all
 * Guarantees: nothing of the long one leaves without room, then as much as there is room for, in order; the small one
 * does not wait for it
 */
static void a_long_trace_waits_for_room(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\n" ALL);
    send_long(1, 20000);
    gw_tail_send(&r, "2.1");
    r.is_narrow = true;
    gw_tail_wait(&r, 3);
    assert_int_equal(r.n_rows, 1);
    assert_int_equal(gw_tail_held(&r), 20000);
    r.room = 1000;
    assert_int_equal(one_tick(), 1000 / 256 * 256);
    assert_int_equal(one_tick(), 0);
    r.room = UINT32_MAX;
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    assert_int_equal(in_order(1), 20000);
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"true\",decision=\"sampled\"}"), 2);
    gw_tail_close(&r);
}

/*
 * Scenario: num_traces 3; a long trace is decided and there is no room behind; then ten new traces come
 * Guarantees: those that wait are decided before it; when it is the oldest it makes room for the others, whole
 */
static void a_full_house_does_not_wait_for_room(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 9s\nnum_traces: 3\nmax_spans_per_trace: 9999\n" ALL);
    gw_tail_send(&r, "2.1");
    for (unsigned i = 0; i < 10; i++)
        gw_tail_send_many(&r, 1, i < 9 ? 1 + i * 1000 : 99, 1000, 0); /* the last thousand follows at once */
    assert_int_equal(r.n_rows, 1000);
    r.n_rows = 0;
    r.is_narrow = true;
    gw_tail_wait(&r, 2);
    gw_tail_send(&r, "3.1 4.1");
    assert_int_equal(r.n_rows, 1);
    assert_int_equal(r.rows[0].trace, 2);
    assert_int_equal(gw_tail_held(&r), 9002);
    gw_tail_send(&r, "5.1");
    assert_int_equal(in_order(1), 9000);
    assert_int_equal(gw_tail_held(&r), 3);
    gw_tail_close(&r);
}

/*
 * Scenario: the end, with a long trace that found no room and others that wait
 * Guarantees: all leave, each once; one call is not for all of it
 */
static void the_end_does_not_wait_for_room(void **state)
{
    (void)state;
    gw_tail_open(&r, "decision_wait: 2s\n" ALL);
    send_long(1, 40000);
    r.is_narrow = true;
    gw_tail_wait(&r, 2);
    send_long(2, 10000);
    gw_tail_send(&r, "3.1");
    assert_int_equal(r.n_rows, 0);
    assert_int_equal(r.p.component->drain(r.p.self, &r.p.ports), GW_MORE);
    assert_true(r.n_rows < 30000);
    gw_tail_drain(&r);
    assert_int_equal(in_order(1), 40000);
    assert_int_equal(in_order(2), 10000);
    assert_int_equal(r.n_rows, 50001);
    gw_tail_close(&r);
}

/* ---- memory ----------------------------------------------------------------------------------------------- */

static uint64_t no_memory(void)
{
    uint64_t hard = atomic_load(&r.p.memory.hard_bytes);

    atomic_store(&r.p.memory.hard_bytes, atomic_load(&r.p.memory.used_bytes));
    return hard;
}

/*
 * Scenario: ten traces, half of them kept, and a long one are due while the process has no memory left; it comes back
 * Guarantees: the kept ones wait, decided: nothing fails, late spans follow the decision, it is counted once; then each
 * span leaves once, those of a trace in their order
 */
static void without_memory_kept_spans_wait(void **state)
{
    uint64_t hard;

    (void)state;
    gw_tail_open(&r, "decision_wait: 1s");
    gw_tail_send(&r, "1.1e 2.1 1.2 3.1e 4.1 5.1e 6.1 7.1e 8.1 9.1e 10.1 10.2");
    send_long(11, 20000);
    gw_tail_send(&r, "11.20001e");
    hard = no_memory();
    gw_tail_wait(&r, 3);
    assert_int_equal(r.n_rows, 0);
    assert_int_equal(gw_tail_held(&r), 20001 + 6);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=6");
    gw_tail_send(&r, "1.3 2.2");
    assert_string_equal(gw_tail_out(&r), "1.3");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    r.rows[0].trace = 0;
    atomic_store(&r.p.memory.hard_bytes, hard);
    while (gw_tail_held(&r))
        assert_true(one_tick() > 0);
    assert_int_equal(in_order(1), 2);
    assert_int_equal(in_order(11), 20001);
    assert_int_equal(r.n_rows, 20001 + 6 + 1);
    assert_string_equal(gw_tail_drops(&r), "");
    assert_int_equal(r.n_failed, 0);
    assert_int_equal(gw_tail_metric(&r, "global_count_traces_sampled{sampled=\"true\",decision=\"sampled\"}"), 6);
    gw_tail_close(&r);
}

/*
 * Scenario: without memory so much is kept that no more of it is made ready; a full house on top; then memory
 * Guarantees: what is made ready has a limit, the rest stays in the store; no span is lost or leaves twice
 */
static void what_stands_ready_is_bounded(void **state)
{
    uint64_t hard;

    (void)state;
    gw_tail_open(&r, "decision_wait: 1s\nnum_traces: 40\n" ALL);
    for (unsigned i = 1; i <= 40; i++)
        send_long(i, 1000);
    hard = no_memory();
    gw_tail_wait(&r, 2);
    gw_tail_send(&r, "1000.1 1001.1");
    assert_int_equal(r.n_failed, 0);
    assert_int_equal(gw_tail_held(&r) + r.n_rows, 40002);
    assert_true(gw_tail_held(&r) >= 40000);
    assert_true(gw_tail_metric(&r, "sampling_traces_on_memory") > 30);
    atomic_store(&r.p.memory.hard_bytes, hard);
    gw_tail_wait(&r, 9);
    assert_int_equal(gw_tail_held(&r), 0);
    assert_int_equal(r.n_rows, 40002);
    for (unsigned i = 1; i <= 40; i++)
        assert_int_equal(in_order(i), 1000);
    gw_tail_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_trace_leaves_at_a_pace),
        cmocka_unit_test(long_traces_leave_one_behind_the_other),
        cmocka_unit_test(a_heap_leaves_faster),
        cmocka_unit_test(batches_are_of_a_mib_and_a_trace_of_less_than_four_is_one),
        cmocka_unit_test(traces_that_leave_together_share_resources),
        cmocka_unit_test(a_long_trace_waits_for_room),
        cmocka_unit_test(a_full_house_does_not_wait_for_room),
        cmocka_unit_test(the_end_does_not_wait_for_room),
        cmocka_unit_test(without_memory_kept_spans_wait),
        cmocka_unit_test(what_stands_ready_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
