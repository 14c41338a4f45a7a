/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/replay_policy.h"

#include "tests/harness.h"

#include <errno.h>
#include <string.h>

#include "tests/harness_env.h"
#include "tests/harness_flow.h"

enum { SPANS_A_TRACE = 3, TRACES = 5000, FRAME = 500 };

static struct gw_replay_policy *set_up(struct gw_test_env *te, const char *condition, uint64_t max_traces)
{
    struct gw_replay_policy *p;
    struct gw_err err = {""};

    gw_test_env_init(te, 7);
    gw_test_spans_a_trace = SPANS_A_TRACE;
    if (gw_replay_policy_new(&te->env, condition, max_traces, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static void tear_down(struct gw_test_env *te, struct gw_replay_policy *p)
{
    gw_replay_policy_free(p);
    gw_test_spans_a_trace = 1;
    gw_test_env_clear(te);
}

/* A frame of spans of FRAME traces: the k-th of each. */
static unsigned frame(uint64_t trace, unsigned k, uint64_t *ret)
{
    for (unsigned i = 0; i < FRAME; i++)
        ret[i] = (trace + i) * SPANS_A_TRACE + k;
    return FRAME;
}

static int look(struct gw_replay_policy *p, uint64_t trace, unsigned k)
{
    uint64_t names[FRAME];
    struct gw_buf body;
    int rc;

    gw_buf_init(&body, 1 << 20);
    gw_test_request_of(&body, GW_TRACES, names, frame(trace, k, names));
    rc = gw_replay_policy_look(p, gw_buf_slice(&body));
    gw_buf_clear(&body);
    return rc;
}

static unsigned pick(struct gw_replay_policy *p, uint64_t trace, unsigned k, uint64_t *ret)
{
    uint64_t names[FRAME];
    struct gw_buf body, out;
    uint32_t rows;

    gw_buf_init(&body, 1 << 20);
    gw_buf_init(&out, 1 << 20);
    gw_test_request_of(&body, GW_TRACES, names, frame(trace, k, names));
    assert_int_equal(gw_replay_policy_pick(p, gw_buf_slice(&body), &out, &rows), 0);
    assert_int_equal(out.n > 0, rows > 0);
    assert_int_equal(rows ? gw_test_names(GW_TRACES, gw_buf_slice(&out), ret, FRAME) : 0, rows);
    gw_buf_clear(&body);
    gw_buf_clear(&out);
    return rows;
}

/*
 * Scenario    5,000 traces of three spans, each in three frames; the condition is true of the last span of 1,200 of
 * them Guarantees  all spans of these are picked, whichever frame they are in, and no other; the counts say so
 */
static void whole_traces_are_picked(void **state)
{
    struct gw_test_env te;
    struct gw_replay_policy *p = set_up(
        &te, "start_time_unix_nano == 2 or (start_time_unix_nano >= 9001 and start_time_unix_nano < 12598)", TRACES);
    uint64_t names[FRAME];
    unsigned n = 0;

    (void)state;
    for (unsigned t = 0; t < TRACES; t += FRAME)
        for (unsigned k = 0; k < SPANS_A_TRACE; k++)
            assert_int_equal(look(p, t, k), 0);
    assert_int_equal(gw_replay_policy_counts(p).spans, TRACES * SPANS_A_TRACE);
    assert_int_equal(gw_replay_policy_counts(p).matches, 1 + 3597);
    assert_int_equal(gw_replay_policy_counts(p).traces, 1 + 1200);
    for (unsigned t = 0; t < TRACES; t += FRAME)
        for (unsigned k = 0; k < SPANS_A_TRACE; k++) {
            unsigned rows = pick(p, t, k, names);

            for (unsigned i = 0; i < rows; i++) {
                assert_true(names[i] / 3 == 0 || (names[i] / 3 >= 3000 && names[i] / 3 <= 4199));
                assert_int_equal(names[i] % 3, k);
            }
            n += rows;
        }
    assert_int_equal(n, 3 * 1201);
    tear_down(&te, p);
}

/*
 * Scenario    one trace more is wanted than may be; a frame that is no OTLP; a condition that is true of nothing
 * Guarantees  -E2BIG; it is counted and nothing is picked of it; nothing is picked
 */
static void what_cannot_be_is_said(void **state)
{
    struct gw_test_env te;
    struct gw_replay_policy *p = set_up(&te, "start_time_unix_nano >= 0", FRAME - 1);
    struct gw_slice junk = GW_SLICE("\xff\xff\xff");
    struct gw_buf out;
    uint64_t names[FRAME];
    uint32_t rows;

    (void)state;
    assert_int_equal(look(p, 0, 0), -E2BIG);
    assert_int_equal(gw_replay_policy_look(p, junk), 0);
    assert_int_equal(gw_replay_policy_counts(p).undecoded, 1);
    gw_buf_init(&out, 1000);
    assert_int_equal(gw_replay_policy_pick(p, junk, &out, &rows), 0);
    assert_int_equal(rows, 0);
    gw_buf_clear(&out);
    tear_down(&te, p);
    p = set_up(&te, "name == \"nobody\"", FRAME);
    assert_int_equal(look(p, 0, 0), 0);
    assert_int_equal(pick(p, 0, 0, names), 0);
    tear_down(&te, p);
}

/*
 * Scenario    a path that is none
 * Guarantees  the mistake is named with its column and the nearest right word
 */
static void a_mistake_is_named(void **state)
{
    struct gw_replay_policy *p;
    struct gw_err err = {""};

    (void)state;
    assert_int_equal(gw_replay_policy_new(NULL, "nam == \"a\"", 10, &p, &err), -EINVAL);
    assert_non_null(strstr(err.text, "line 1, column 1"));
    assert_non_null(strstr(err.text, "name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_traces_are_picked),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(a_mistake_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
