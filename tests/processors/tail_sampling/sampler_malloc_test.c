/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that keep traces without memory: every allocation of a life fails once; each span is still accounted for.
 */
#include <stdio.h>

#include "tests/harness_malloc.h"
#include "tests/harness_tail.h"

static struct gw_tail_rig r;
static struct gw_component guarded;
static const struct gw_component *real;
static const struct gw_ports_ops *below;
static struct gw_ports_ops ops;

/* Only the component's own allocations fail, not the test's. */
static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    int rc;

    gw_malloc_pause(-1);
    rc = real->create(ret_self, ctx, conf, err);
    gw_malloc_pause(1);
    return rc;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_malloc_pause(-1);
    real->consume(self, v, out);
    gw_malloc_pause(1);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    int rc;

    gw_malloc_pause(-1);
    rc = real->tick(self, now_ns, out);
    gw_malloc_pause(1);
    return rc;
}

static int drain(void *self, struct gw_ports *out)
{
    int rc;

    gw_malloc_pause(-1);
    rc = real->drain(self, out);
    gw_malloc_pause(1);
    return rc;
}

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    gw_malloc_pause(1);
    below->emit(out, port, v);
    gw_malloc_pause(-1);
}

static void accounts(uint64_t in)
{
    uint64_t gone = 0;

    for (unsigned i = 0; i < r.n_counts; i++)
        gone += r.counts[i];
    assert_int_equal(in, r.n_rows + gone + gw_tail_held(&r));
    assert_int_equal(r.n_failed, 0);
}

/* A processor, its settings, and how long its long trace is. */
struct kind {
    const char *name, *settings;
    unsigned many;
};

static const struct kind tail = {
    "tail_sampling",
    "decision_wait: 2s\nfollow_links: true\nrecord_policy: true\nuse_trace_state: true\nnum_traces: 20\n"
    "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n",
    9000};
static const struct kind group = {"groupbytrace", "wait_duration: 2s\nnum_traces: 20\ncompress: lz4\n", 300};
static const struct kind dynamic = {
    "dynamic_sampling",
    "trace_timeout: 1s\ndecision_delay: 1s\nnum_traces: 20\nrules: [{name: errors, conditions: ['status.code == "
    "STATUS_CODE_ERROR'], sampler: {type: always_sample}}, {name: rest, sampler: {type: dynamic_percentage, "
    "goal_percentage: 50, fingerprint_attributes: ['resource.attributes[\"service.name\"]']}}]\n",
    300};

/* Spans that wait, that are late both ways, that have no id; traces that leave together, in pieces, at the end. */
static void live(const struct kind *k, uint64_t nth)
{
    uint64_t in = 6 + k->many;
    char last[32];

    gw_tail_open_as(&r, k->name, k->settings);
    real = r.p.component;
    guarded = *real;
    guarded.consume = consume;
    guarded.tick = tick;
    guarded.drain = drain;
    r.p.component = &guarded;
    below = r.p.ports.ops;
    ops = *below;
    ops.emit = emit;
    r.p.ports.ops = &ops;
    r.may_fail = true;
    gw_malloc_fail_at(nth);
    gw_tail_send(&r, "1.1el2 2.1 3.1e 0.1 3.2s1");
    accounts(5);
    gw_tail_send_many(&r, 4, 1, k->many, 0);
    (void)snprintf(last, sizeof(last), "4.%ue", k->many + 1);
    gw_tail_send(&r, last);
    accounts(in);
    gw_tail_wait(&r, 3);
    accounts(in);
    gw_tail_send(&r, "1.2 5.1 2.2 3.3 6.1");
    accounts(in + 5);
    gw_tail_send(&r,
                 "11.1 12.1 13.1 14.1 15.1 16.1 17.1 18.1 19.1 20.1 21.1 22.1 23.1 24.1 25.1 26.1 27.1 28.1 29.1 30.1");
    accounts(in + 25);
    gw_tail_drain(&r);
    accounts(in + 25);
    gw_malloc_fail_at(0);
    gw_tail_close(&r);
}

/*
 * Scenario: a life in which the n-th allocation fails, for each n, of each processor
 * Guarantees: no crash, no leak, after every step in = out + dropped + refused + held, and no kept span is lost
 */
static void every_span_is_accounted_for_without_memory(void **state)
{
    const struct kind *k = *state;
    uint64_t before, n;

    gw_malloc_pause(1);
    before = gw_malloc_count();
    live(k, 0);
    n = gw_malloc_count() - before;
    assert_true(n > 20);
    for (uint64_t nth = 1; nth <= n; nth++)
        live(k, nth);
    gw_malloc_pause(-1);
}

/*
 * Scenario: making an instance, with the n-th allocation failing; nothing to destroy
 * Guarantees: it is refused, and nothing is left
 */
static void an_instance_that_cannot_be_made_is_refused(void **state)
{
    static const char yaml[] =
        "follow_links: true\npolicies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n";
    struct gw_proc_rig *p = &r.p;
    unsigned refused = 0;
    int failed = 1;

    (void)state;
    gw_malloc_pause(1);
    for (uint64_t nth = 1; failed; nth++) {
        assert_int_equal(gw_proc_configure(p, "tail_sampling", yaml), 0);
        real = p->component;
        guarded = *real;
        guarded.create = create;
        p->component = &guarded;
        gw_malloc_fail_at(nth);
        refused += gw_proc_start(p, GW_TRACES) < 0;
        failed = gw_malloc_failed();
        gw_malloc_fail_at(0);
        gw_proc_close(p);
    }
    gw_malloc_pause(-1);
    assert_true(refused > 8);
    real->destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_span_is_accounted_for_without_memory, (void *)&tail),
        cmocka_unit_test_prestate(every_span_is_accounted_for_without_memory, (void *)&group),
        cmocka_unit_test_prestate(every_span_is_accounted_for_without_memory, (void *)&dynamic),
        cmocka_unit_test(an_instance_that_cannot_be_made_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
