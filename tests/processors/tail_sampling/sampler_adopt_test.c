/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling at a reload: what waits goes on waiting, what is remembered stays, other policies ask for themselves.
 */
#include "tests/harness_tail.h"

#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/alarms.h"

static struct gw_tail_rig rigs[2];
static unsigned at;

#define r rigs[at]

/* The settings are these from now on; what has left stays told. */
static void reload(const char *settings)
{
    struct gw_tail_rig *old = &r, *heir = &rigs[1 - at];
    struct gw_tail_row *rows;

    gw_tail_open(heir, settings);
    gw_test_env_advance(&heir->p.te, gw_mono_ns(&old->p.te.env) - gw_mono_ns(&heir->p.te.env));
    assert_int_equal(heir->p.component->adopt(heir->p.self, old->p.self), 0);
    gw_tail_drain(old);
    assert_string_equal(gw_tail_out(old), "");
    assert_string_equal(gw_tail_drops(old), "");
    rows = heir->rows;
    heir->rows = old->rows;
    heir->n_rows = old->n_rows;
    old->rows = rows;
    gw_tail_close(old);
    at = 1 - at;
}

/*
 * Scenario: a reload with the same policies and other times while two traces wait and two are decided
 * Guarantees: they wait for the time that they were given, new ones for the new one; late spans follow what was decided
 * before; a trace of both times has all its spans, in their order
 */
static void what_waits_goes_on(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 5s");
    gw_tail_send(&r, "1.1e 2.1");
    gw_tail_wait(&r, 5);
    gw_tail_send(&r, "3.1 4.1");
    (void)gw_tail_out(&r);
    (void)gw_tail_drops(&r);
    reload("decision_wait: 2s");
    assert_int_equal(gw_tail_held(&r), 2);
    gw_tail_send(&r, "1.2 2.2 3.2e 5.1e");
    assert_string_equal(gw_tail_out(&r), "1.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    gw_tail_wait(&r, 2);
    assert_string_equal(gw_tail_out(&r), "5.1");
    gw_tail_wait(&r, 3);
    assert_string_equal(gw_tail_out(&r), "3.1 3.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    gw_tail_close(&r);
}

/*
 * Scenario: a reload with policies that ask for something else, of spans that came before: one trace gets no span more,
 * one does, one is of 20,000 spans
 * Guarantees: all are decided by the new policies, with all their spans
 */
static void other_policies_ask_for_themselves(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 2s");
    gw_tail_send(&r, "1.1e 2.1d100 3.1ed100");
    gw_tail_send_many(&r, 4, 1, 20000, 0);
    gw_tail_send(&r, "4.20001d200");
    reload("decision_wait: 2s\npolicies: [{name: slow, type: latency, latency: {threshold_ms: 50}}, {name: long, type: "
           "span_count, span_count: {min_spans: 20002}}]\nreason_attribute: why");
    gw_tail_send(&r, "3.2 4.20002");
    gw_tail_wait(&r, 3);
    assert_int_equal(r.n_rows, 1 + 2 + 20002);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_non_null(strstr(gw_tail_out(&r), "2.1{why=slow}"));
    gw_tail_close(&r);
}

/*
 * Scenario: nobody asks for bytes; a reload brings maximum_trace_size_bytes; for a while it is gone again
 * Guarantees: it goes by all bytes that a trace has, whenever they came
 */
static void bytes_are_counted_when_somebody_asks(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 9s");
    gw_tail_send_many(&r, 1, 1, 2, 1000);
    gw_tail_send_many(&r, 2, 1, 2, 1000);
    reload("decision_wait: 9s\nmaximum_trace_size_bytes: 3000");
    gw_tail_send(&r, "1.3e 2.3e");
    assert_string_equal(gw_tail_drops(&r), "");
    gw_tail_send_many(&r, 1, 4, 1, 1000);
    assert_string_equal(gw_tail_drops(&r), "trace_too_large=4");
    reload("decision_wait: 9s");
    gw_tail_send_many(&r, 2, 4, 1, 1000);
    assert_string_equal(gw_tail_drops(&r), "");
    reload("decision_wait: 9s\nmaximum_trace_size_bytes: 3000");
    gw_tail_send(&r, "2.5");
    assert_string_equal(gw_tail_drops(&r), "trace_too_large=5");
    gw_tail_close(&r);
}

/*
 * Scenario: a reload that makes num_traces, max_bytes, both caches and max_links smaller, then larger again
 * Guarantees: what is there is too much from then on: a new trace makes the oldest one go, and the next tick those that
 * are too many; of decisions and links the last ones are remembered
 */
static void limits_follow_a_reload(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 9s\nnum_traces: 10");
    gw_tail_send(&r, "1.1e 2.1e 3.1 4.1");
    gw_tail_drain(&r);
    gw_tail_send(&r, "11.1e 12.1 13.1 14.1");
    (void)gw_tail_out(&r);
    (void)gw_tail_drops(&r);
    reload("decision_wait: 9s\nnum_traces: 2\ndecision_cache: {sampled_cache_size: 1, non_sampled_cache_size: 1}");
    assert_int_equal(gw_tail_held(&r), 4);
    gw_tail_send(&r, "15.1");
    assert_string_equal(gw_tail_out(&r), "11.1");
    assert_int_equal(gw_tail_held(&r), 4);
    gw_tail_wait(&r, 1);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    assert_int_equal(gw_tail_held(&r), 2);
    assert_int_equal(gw_tail_ours(&r, "decisions{cause=\"num_traces\"}"), 3);
    reload("decision_wait: 9s\nnum_traces: 10\nmax_bytes: 1048576\ndecision_cache: {sampled_cache_size: 5}");
    gw_tail_send(&r, "11.2 13.2 1.2 2.2 3.2");
    assert_string_equal(gw_tail_out(&r), "11.2");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    assert_int_equal(gw_tail_held(&r), 5);
    for (unsigned i = 0; i < 30; i++)
        gw_tail_send_many(&r, 100 + i, 1, 100, 900);
    assert_true(gw_tail_held(&r) < 1200);
    gw_tail_close(&r);
}

/*
 * Scenario: 8,000 traces wait, of 3 spans, and one of 20,000; a reload leaves room for 1,000; then for 7 MiB
 * Guarantees: no request and no tick is for all of them, the oldest go first, each span once
 */
static void a_large_cut_is_made_bit_by_bit(void **state)
{
#define WAIT                                                                                                           \
    "decision_wait: 60s\ndecision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}\n"                         \
    "policies: [{name: a, type: always_sample}]\n"
    const unsigned sent = 20000 + 8000 * 3 + 1;

    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        unsigned calls = 0;

        at = 0;
        gw_tail_open(&r, WAIT);
        gw_tail_send_many(&r, 90000, 1, 20000, 0);
        for (unsigned i = 0; i < 8000; i++)
            gw_tail_send_many(&r, i + 1, 1, 3, 0);
        reload(cut ? WAIT "max_bytes: 7340032" : WAIT "num_traces: 1000");
        gw_tail_send(&r, "95000.1");
        assert_true(r.n_rows <= 20000); /* the oldest one made room */
        gw_test_env_advance(&r.p.te, 100000000);
        for (unsigned before = r.n_rows; gw_tail_tick(&r) == GW_MORE; before = r.n_rows, calls++)
            assert_true(r.n_rows - before <= 16384 + 16384 + 8192); /* of both: those that go, and those set aside */
        assert_true(cut || calls > 0);
        gw_tail_wait(&r, 2); /* the rest of the long one */
        assert_int_equal(r.n_rows + gw_tail_held(&r), sent);
        assert_true(gw_tail_held(&r) > 900);
        if (cut)
            assert_true(gw_tail_ours(&r, "held_bytes") <= 7340032);
        else
            assert_int_equal(gw_tail_held(&r), 999 * 3 + 1);
        gw_tail_close(&r);
    }
}

/*
 * Scenario: a reload while a long trace leaves in pieces, and while links are remembered
 * Guarantees: the rest leaves, each span once; a link of before carries its decision
 */
static void what_is_under_way_goes_on(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 1s\nfollow_links: true\npolicies: [{name: a, type: always_sample}]");
    gw_tail_send_many(&r, 1, 1, 40000, 0);
    gw_tail_wait(&r, 1);
    assert_int_equal(r.n_rows, 16384);
    (void)gw_tail_out(&r);
    gw_tail_send(&r, "7.1l8");
    reload("decision_wait: 1s\nfollow_links: true\nmax_links: 50\npolicies: [{name: b, type: span_count, span_count: "
           "{min_spans: 2}}]");
    gw_tail_send(&r, "7.2 8.1 9.1");
    gw_tail_wait(&r, 2);
    assert_int_equal(r.n_rows, 40003);
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=1");
    for (unsigned i = 0, n = 0; i < r.n_rows; i++)
        if (r.rows[i].trace == 1)
            assert_int_equal(r.rows[i].span, ++n);
    assert_int_equal(gw_tail_held(&r), 0);
    gw_tail_close(&r);
}

/*
 * Scenario: kept spans that found no memory, some made ready and some in the store; a reload; memory comes back
 * Guarantees: they leave then, each once
 */
static void what_found_no_memory_goes_along(void **state)
{
    (void)state;
    at = 0;
    gw_tail_open(&r, "decision_wait: 1s");
    gw_tail_send_many(&r, 2, 1, 10000, 0);
    gw_tail_send(&r, "1.1e 2.10001e 1.2");
    atomic_store(&r.p.memory.hard_bytes, 0);
    gw_tail_wait(&r, 2);
    assert_int_equal(gw_tail_held(&r), 10003);
    reload("decision_wait: 2s\nreason_attribute: why");
    assert_int_equal(gw_tail_held(&r), 10003);
    gw_tail_wait(&r, 2);
    assert_int_equal(gw_tail_held(&r), 0);
    assert_int_equal(r.n_rows, 10003);
    assert_int_equal(r.n_failed, 0);
    assert_non_null(strstr(gw_tail_out(&r), "1.1{why=errors} 1.2{why=errors}"));
    gw_tail_close(&r);
}

/* The detector d finds service sN unusual, at all times of this rig. */
static void raise_alarm(struct gw_alarms *alarms, const char *service)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};
    struct gw_buf wire;
    struct gw_view v;
    struct gw_ref ref;
    char json[512];

    (void)snprintf(
        json, sizeof(json),
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"%s\"}}]},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[{"
        "\"timeUnixNano\":\"1767323045000000000\",\"asDouble\":1}]}}]}]}]}",
        service);
    gw_buf_init(&wire, 1 << 20);
    assert_int_equal(gw_json_to_proto(GW_METRICS, gw_slice_cstr(json), &limits, &wire, &err), 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &ref), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, &err), 0);
    gw_view_init(&v, b, &r.p.arena);
    assert_int_equal(gw_alarm_raise(gw_alarms_board(alarms, "d"), &v, 0, 5), 1);
    (void)gw_batch_unref(b);
    gw_view_clear(&v);
    gw_buf_clear(&wire);
}

/*
 * Scenario: traces of two services wait, at a reload that brings a policy `anomalous`; then one of the services is
 * unusual; a reload that changes nothing; another trace
 * Guarantees: those that wait are asked for their keys; alarms stay
 */
static void anomalous_services_over_a_reload(void **state)
{
    static const char settings[] =
        "decision_wait: 2s\npolicies: [{name: odd, type: anomalous, anomalous: {detector: d, "
        "hold: 1h}}]\nreason_attribute: why";
    struct gw_alarms *alarms = gw_alarms_new();
    struct gw_proc_world world = {.alarms = alarms, .n_workers = 1};

    (void)state;
    gw_proc_world = &world;
    at = 0;
    gw_tail_open(&r, "decision_wait: 2s");
    gw_tail_send(&r, "1.1s3 2.1s4 2.2s3");
    gw_tail_send(&r, "3.1s4 3.2s5");
    reload(settings);
    raise_alarm(alarms, "service3");
    gw_tail_wait(&r, 3);
    assert_string_equal(gw_tail_out(&r), "1.1{why=odd} 2.1{why=odd} 2.2{why=odd}");
    assert_string_equal(gw_tail_drops(&r), "tail_sampling=2");
    reload(settings);
    gw_tail_send(&r, "4.1s3 5.1s4");
    gw_tail_wait(&r, 3);
    assert_string_equal(gw_tail_out(&r), "4.1{why=odd}");
    gw_tail_close(&r);
    gw_proc_world = NULL;
    gw_alarms_free(alarms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_goes_on),
        cmocka_unit_test(other_policies_ask_for_themselves),
        cmocka_unit_test(bytes_are_counted_when_somebody_asks),
        cmocka_unit_test(limits_follow_a_reload),
        cmocka_unit_test(a_large_cut_is_made_bit_by_bit),
        cmocka_unit_test(what_found_no_memory_goes_along),
        cmocka_unit_test(what_is_under_way_goes_on),
        cmocka_unit_test(anomalous_services_over_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
