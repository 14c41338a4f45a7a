/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling behind a journal: what it says of its decisions, and what the next one makes of it. */
#include "tests/harness_tail.h"

#include <errno.h>
#include <stdlib.h>

#include "pipeline/keep.h"

#define STEP   GW_KEEP_STEP_NS
#define T(n)   (1000 * STEP + (n)*STEP)
#define ERRORS "decision_wait: 1s\n"

static struct gw_tail_rig r;
static bool odd_alone; /* traces of an odd number are ours, and no others */

static bool owns(void *arg, const uint8_t id[16])
{
    (void)arg;
    return !odd_alone || id[15] % 2;
}
static const struct gw_keep_owner owner = {.owns = owns, .n_parts = 1, .of_parts = 1};

static const struct gw_keep_ops *keep(void)
{
    return r.p.component->keep;
}

static void open(const char *settings)
{
    odd_alone = false;
    gw_tail_open(&r, settings);
    assert_int_equal(keep()->begin(r.p.self), 0);
}

static void advance(uint64_t ns, bool rebuilds)
{
    gw_tail_advance(&r, ns, rebuilds);
}

static void step(uint64_t ns)
{
    advance(ns, false);
}

static uint64_t save(bool whole, struct gw_buf *out)
{
    return gw_tail_save(&r, whole, out);
}

static int restore(struct gw_slice record)
{
    return keep()->restore(r.p.self, record, &owner);
}

/*
 * Scenario    traces that come in two steps; clocks of the process go on by hours, and ticks come, meanwhile
 * Guarantees  only the log's time decides; what is due is told, and since when the oldest is kept
 */
static void time_is_the_logs(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open(ERRORS);
    assert_int_equal(keep()->due_ns(r.p.self), UINT64_MAX);
    step(T(0));
    gw_tail_send(&r, "1.1e 2.1");
    step(T(3));
    gw_tail_send(&r, "3.1e 1.2");
    assert_int_equal(save(false, &out), T(0));
    assert_int_equal(keep()->due_ns(r.p.self), T(10));
    gw_tail_wait(&r, 3600);
    assert_string_equal(gw_tail_out(&r), "");
    step(T(9));
    assert_string_equal(gw_tail_out(&r), "");
    step(T(10));
    assert_string_equal(gw_tail_out(&r), "1.1 1.2");
    assert_int_equal(r.received_ns, T(0));
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(save(false, &out), T(3));
    step(T(13));
    assert_string_equal(gw_tail_out(&r), "3.1");
    assert_int_equal(save(false, &out), UINT64_MAX);
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    1 is kept, 2 is not, 3 waits; the process is gone, and the next one reads all rows again, then a late one
 * of each Guarantees  rows of 1 and 2 are left out, 3 waits again and is decided when it is due; late ones follow
 */
static void what_was_decided_is_not_decided_again(void **state)
{
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open(ERRORS);
    step(T(0));
    gw_tail_send(&r, "1.1e 2.1");
    step(T(5));
    gw_tail_send(&r, "3.1e");
    step(T(10));
    assert_string_equal(gw_tail_out(&r), "1.1");
    (void)save(true, &out);
    gw_tail_close(&r);

    open(ERRORS);
    assert_int_equal(restore(gw_buf_slice(&out)), 0);
    advance(T(0), true);
    gw_tail_send(&r, "1.1e 2.1");
    advance(T(5), true);
    gw_tail_send(&r, "3.1e");
    assert_string_equal(gw_tail_out(&r), "");
    assert_string_equal(gw_tail_drops(&r), "decided_before=2");
    assert_int_equal(gw_tail_held(&r), 1);
    step(T(10));
    gw_tail_send(&r, "1.9 2.9");
    assert_string_equal(gw_tail_out(&r), "1.9");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    step(T(15));
    assert_string_equal(gw_tail_out(&r), "3.1");
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    nothing is remembered (decision_cache 0): a trace is decided, and rows of its id come in the next step
 * Guarantees  after a restart the first ones are left out, the others are the trace that they were, which waits
 */
static void a_trace_of_the_same_id_is_another_one(void **state)
{
    static const char settings[] = ERRORS "decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n";
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open(settings);
    step(T(0));
    gw_tail_send(&r, "1.1e");
    step(T(10));
    gw_tail_send(&r, "1.2e");
    assert_string_equal(gw_tail_out(&r), "1.1");
    step(T(11));
    (void)save(true, &out);
    gw_tail_close(&r);

    open(settings);
    assert_int_equal(restore(gw_buf_slice(&out)), 0);
    advance(T(0), true);
    gw_tail_send(&r, "1.1e");
    advance(T(10), true);
    gw_tail_send(&r, "1.2e");
    assert_string_equal(gw_tail_drops(&r), "decided_before=1");
    assert_int_equal(gw_tail_held(&r), 1);
    step(T(11));
    step(T(20));
    assert_string_equal(gw_tail_out(&r), "1.2");
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    a whole record and two increments, of policies with names; restored by the owner of odd traces
 * Guarantees  late spans follow by policy and decision; those of the others are unknown there
 */
static void increments_follow_a_whole(void **state)
{
    static const char settings[] = ERRORS "reason_attribute: why\npolicies: [{name: wrong, type: status_code, "
                                          "status_code: {status_codes: [ERROR]}}, {name: linked, type: trace_state, "
                                          "trace_state: {key: a, values: [b]}}]\n";
    struct gw_buf records[3];

    (void)state;
    open(settings);
    for (unsigned i = 0; i < 3; i++) {
        gw_buf_init(&records[i], 1 << 20);
        step(T(20 * i));
        gw_tail_send(&r, i == 0 ? "1.1e 2.1e" : i == 1 ? "3.1wa=b 4.1wa=b" : "5.1 6.1");
        step(T(20 * i + 10));
        (void)save(i == 0, &records[i]);
    }
    gw_tail_close(&r);

    open(settings);
    odd_alone = true;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(restore(gw_buf_slice(&records[i])), 0);
    step(T(60));
    gw_tail_send(&r, "1.2 2.2 3.2 4.2 5.2 6.2");
    assert_string_equal(gw_tail_out(&r), "1.2{why=wrong} 3.2{why=linked}");
    assert_int_equal(gw_tail_held(&r), 3);
    gw_tail_close(&r);
    for (unsigned i = 0; i < 3; i++)
        gw_buf_clear(&records[i]);
}

#define TWO_REASONS                                                                                                    \
    ERRORS                                                                                                             \
    "reason_attribute: why\npolicies: [{name: wrong, type: status_code, status_code: {status_codes: [ERROR]}}, "       \
    "{name: linked, type: trace_state, trace_state: {key: a, values: [b]}}]\n"

/* A trace in a step of its own, decided ten steps later. */
static void decide_at(unsigned at, const char *span, bool whole, struct gw_buf *out)
{
    step(T(20 * at));
    gw_tail_send(&r, span);
    step(T(20 * at + 10));
    gw_buf_init(out, 1 << 20);
    (void)save(whole, out);
}

/*
 * Scenario    two workers come to know their reasons in different order; one reads what both have written, by turns
 * Guarantees  late spans follow by the reason of the worker that decided
 */
static void workers_number_reasons_by_themselves(void **state)
{
    static const char *const spans[2][2] = {{"1.1e", "3.1e"}, {"2.1wa=b", "4.1wa=b"}};
    struct gw_proc_world world = {.n_workers = 2};
    struct gw_buf records[2][2];

    (void)state;
    gw_proc_world = &world;
    for (world.worker = 0; world.worker < 2; world.worker++) {
        open(TWO_REASONS);
        for (unsigned i = 0; i < 2; i++)
            decide_at(i, spans[world.worker][i], i == 0, &records[world.worker][i]);
        gw_tail_close(&r);
    }
    gw_proc_world = NULL;
    open(TWO_REASONS);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(restore(gw_buf_slice(&records[i % 2][i / 2])), 0);
    step(T(60));
    gw_tail_send(&r, "1.2 2.2 3.2 4.2");
    assert_string_equal(gw_tail_out(&r), "1.2{why=wrong} 2.2{why=linked} 3.2{why=wrong} 4.2{why=linked}");
    gw_tail_close(&r);
    for (unsigned i = 0; i < 4; i++)
        gw_buf_clear(&records[i % 2][i / 2]);
}

/*
 * Scenario    three spans a second may pass; a trace of three passes, the process is gone, another one is due 0.1 s
 * later, and one 1.2 s later Guarantees  the first of these finds the bucket as empty as it was, the second one finds
 * it filled again
 */
static void limits_go_on(void **state)
{
    static const char settings[] = ERRORS
        "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 3, burst_capacity: 3}}]\n";
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open(settings);
    step(T(0));
    gw_tail_send(&r, "1.1 1.2 1.3");
    step(T(1));
    gw_tail_send(&r, "2.1 2.2 2.3");
    step(T(10));
    assert_string_equal(gw_tail_out(&r), "1.1 1.2 1.3");
    (void)save(true, &out);
    gw_tail_close(&r);

    open(settings);
    assert_int_equal(restore(gw_buf_slice(&out)), 0);
    advance(T(1), true);
    gw_tail_send(&r, "2.1 2.2 2.3");
    step(T(11));
    assert_string_equal(gw_tail_out(&r), "");
    gw_tail_send(&r, "3.1 3.2 3.3");
    step(T(22));
    assert_string_equal(gw_tail_out(&r), "3.1 3.2 3.3");
    gw_tail_close(&r);
    gw_buf_clear(&out);
}

/*
 * Scenario    a record that ends at any byte, and one of which any byte is another
 * Guarantees  a cut between entries is a shorter record, any other is refused; nothing is read that is not there
 */
static void a_damaged_record_is_refused(void **state)
{
    unsigned n_whole = 0;
    struct gw_buf out;

    (void)state;
    gw_buf_init(&out, 1 << 20);
    open(ERRORS);
    step(T(0));
    gw_tail_send(&r, "1.1e 2.1");
    step(T(10));
    (void)save(true, &out);
    gw_tail_close(&r);
    for (size_t n = 0; n <= out.n; n++) {
        uint8_t *exact = malloc(n + 1);
        int rc;

        memcpy(exact, out.p, n);
        exact = realloc(exact, n ? n : 1); /* so that a byte more is seen */
        open(ERRORS);
        rc = restore(gw_slice_of(exact, n));
        assert_true(rc == 0 || rc == -EBADMSG);
        n_whole += rc == 0;
        gw_tail_close(&r);
        free(exact);
    }
    assert_in_range(n_whole, 5, 20); /* before and behind each of its few entries */
    for (size_t i = 0; i < out.n; i++) {
        out.p[i] ^= 0xff;
        open(ERRORS);
        (void)restore(gw_buf_slice(&out));
        gw_tail_close(&r);
        out.p[i] ^= 0xff;
    }
    gw_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_the_logs),
        cmocka_unit_test(what_was_decided_is_not_decided_again),
        cmocka_unit_test(a_trace_of_the_same_id_is_another_one),
        cmocka_unit_test(increments_follow_a_whole),
        cmocka_unit_test(workers_number_reasons_by_themselves),
        cmocka_unit_test(limits_go_on),
        cmocka_unit_test(a_damaged_record_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
