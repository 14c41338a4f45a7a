/* SPDX-License-Identifier: Apache-2.0 */
/* The policy `anomalous`: alarms of a detector against what spans had. */
#include <stdlib.h>

#include "pipeline/alarms.h"
#include "processors/tail_sampling/keys.h"
#include "tests/processors/tail_sampling/rig.h"

#define NOW           1700000000
#define SERVICE(name) TEXT("service.name", name)
#define POLICY(more)  "policies: [{name: odd, type: anomalous, anomalous: {detector: anomaly/svc" more "}}]"

static struct gw_alarms *alarms;

static struct rig open_it(const char *yaml)
{
    struct rig r = {.c.share = 1};

    alarms = gw_alarms_new();
    r.c.alarms = alarms;
    rig_open(&r, yaml);
    return r;
}

static void close_it(struct rig *r)
{
    rig_close(r);
    gw_alarms_free(alarms);
}

/* The detector finds a point unusual that has these attributes. Times in seconds; start 0: none. */
static unsigned alarm_of(const char *resource, const char *attrs, unsigned start, unsigned time, double score)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};
    struct gw_arena arena;
    struct gw_buf wire;
    struct gw_view v;
    struct gw_ref at;
    char json[2048];
    unsigned n;

    (void)snprintf(json, sizeof(json),
                   "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[%s]},\"scopeMetrics\":[{\"metrics\":[{"
                   "\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"startTimeUnixNano\":\"%llu\",\"timeUnixNano\":"
                   "\"%llu\",\"asDouble\":1,\"attributes\":[%s]}]}}]}]}]}",
                   resource, (unsigned long long)(start * S), (unsigned long long)(time * S), attrs);
    gw_buf_init(&wire, 1 << 20);
    gw_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(gw_json_to_proto(GW_METRICS, gw_slice_cstr(json), &limits, &wire, &err), 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err), 0);
    gw_view_init(&v, b, &arena);
    n = gw_alarm_raise(gw_alarms_board(alarms, "anomaly/svc"), &v, 0, score);
    (void)gw_batch_unref(b);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    gw_buf_clear(&wire);
    return n;
}

/* A span of that second. */
#define OF(r, at) .start_ns = (at)*S, .end_ns = (at)*S + 5 * MS, .resource = (r)

/*
 * Scenario    a window of 10 s turns out to be unusual, when traces of it wait
 * Guarantees  those of its service are kept that were in it, or in the time of `hold` after it; whichever span it was
 */
static void traces_of_an_unusual_window_are_kept(void **state)
{
    struct rig r = open_it(POLICY(", hold: 30s"));

    (void)state;
    r.now_ns = (NOW + 100) * S;
    LOSES(&r, {OF(SERVICE("cart"), NOW)}); /* nobody knows yet */
    ADD(&r, {OF(SERVICE("front"), NOW + 1)}, {OF(SERVICE("cart"), NOW + 2)});
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW, NOW + 10, 7), 1);
    assert_int_equal(rig_decide(&r), GW_SAMPLED);
    assert_string_equal(r.verdict.policy, "odd");
    KEEPS(&r, {OF(SERVICE("cart"), NOW)});
    LOSES(&r, {OF(SERVICE("front"), NOW + 2)});
    LOSES(&r, {OF(SERVICE("cart"), NOW - 1)}); /* before */
    KEEPS(&r, {.start_ns = (NOW - 1) * S, .end_ns = (NOW + 1) * S, .resource = SERVICE("cart")});
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 40)});
    LOSES(&r, {OF(SERVICE("cart"), NOW + 41)});                          /* over */
    LOSES(&r, {.resource = SERVICE("cart"), .attrs = SERVICE("front")}); /* no times: it is of now */
    r.now_ns = (NOW + 10) * S;
    KEEPS(&r, {.resource = SERVICE("cart")});
    close_it(&r);
}

/* Scenario: it goes on; it is over and comes again; points come in another order. */
static void an_alarm_goes_on_and_ends(void **state)
{
    struct rig r = open_it(POLICY(", hold: 15s"));

    (void)state;
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW + 10, NOW + 20, 5), 1);
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW + 20, NOW + 30, 5), 0);
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW, NOW + 10, 5), 0);
    KEEPS(&r, {OF(SERVICE("cart"), NOW)});
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 44)});
    LOSES(&r, {OF(SERVICE("cart"), NOW + 46)});
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW + 100, NOW + 110, 5), 1); /* another one */
    LOSES(&r, {OF(SERVICE("cart"), NOW + 20)});
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 100)});
    assert_int_equal(alarm_of(SERVICE("cart"), "", NOW, NOW + 10, 5), 0); /* long ago */
    LOSES(&r, {OF(SERVICE("cart"), NOW)});
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 100)});
    /* a gauge that says when its process began: no further back than `hold` */
    assert_int_equal(alarm_of(SERVICE("old"), "", 1000, NOW, 5), 1);
    LOSES(&r, {OF(SERVICE("old"), NOW - 16)});
    KEEPS(&r, {OF(SERVICE("old"), NOW - 14)});
    close_it(&r);
}

/* Guarantees: min_score looks at the highest score of an alarm; another detector's alarms are not ours. */
static void scores_and_detectors(void **state)
{
    struct rig r = open_it("policies: [{name: odd, type: anomalous, anomalous: {detector: anomaly/svc, min_score: 9}},"
                           "{name: other, type: anomalous, anomalous: {detector: anomaly/x}}]");

    (void)state;
    alarm_of(SERVICE("cart"), "", 0, NOW, 8.9);
    LOSES(&r, {OF(SERVICE("cart"), NOW)});
    alarm_of(SERVICE("cart"), "", 0, NOW + 1, 9);
    alarm_of(SERVICE("cart"), "", 0, NOW + 2, 4);
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 1)});
    assert_string_equal(r.verdict.policy, "odd");
    close_it(&r);
}

/*
 * Scenario    keys of several attributes: of the resource, the point, the span's name and kind; a number here that is a
 *             text there
 * Guarantees  all must be equal; points and spans that have not all of them are never meant
 */
static void keys_of_several_attributes(void **state)
{
    struct rig r = open_it(POLICY(", attributes: [service.name, http.route, code]"));

    (void)state;
    assert_int_equal(alarm_of(SERVICE("cart"), TEXT("http.route", "/pay") "," INT("code", 500), 0, NOW, 9), 1);
    assert_int_equal(alarm_of(SERVICE("cart"), TEXT("http.route", "/pay"), 0, NOW, 9), 0);
    KEEPS(&r, {OF(SERVICE("cart"), NOW), .attrs = TEXT("code", "500") "," TEXT("http.route", "/pay")});
    KEEPS(&r, {OF(SERVICE("cart") "," TEXT("http.route", "/pay"), NOW), .attrs = INT("code", 500)});
    LOSES(&r, {OF(SERVICE("cart"), NOW), .attrs = TEXT("code", "500") "," TEXT("http.route", "/")});
    LOSES(&r, {OF(SERVICE("cart"), NOW), .attrs = TEXT("http.route", "/pay")});
    LOSES(&r, {OF(SERVICE("cart"), NOW), .attrs = TEXT("http.route", "/pay") "," TEXT("code", "")});
    LOSES(&r, {OF(SERVICE("cart"), NOW), .attrs = TEXT("http.route", "/pay")},
          {OF(SERVICE("cart"), NOW), .attrs = INT("code", 500)}); /* not of one span */
    close_it(&r);
    r = open_it(POLICY(", attributes: [span.name, span.kind]"));
    assert_int_equal(alarm_of("", TEXT("span.name", "") "," TEXT("span.kind", "SPAN_KIND_SERVER"), 0, NOW, 9), 0);
    assert_int_equal(alarm_of("", TEXT("span.name", "a") "," TEXT("span.kind", "SPAN_KIND_UNSPECIFIED"), 0, NOW, 9), 1);
    LOSES(&r, {OF("", NOW)}); /* spans of this rig have no name, and are of no kind */
    KEEPS(&r, {OF("", NOW), .attrs = TEXT("span.name", "a")});
    close_it(&r);
}

/* Guarantees: it stands where other policies may; it never settles a trace, which others do. */
static void among_other_policies(void **state)
{
    struct rig r = open_it(
        "policies: [{name: calm, type: drop, drop: {drop_sub_policy: [{name: n, type: not, not: {not_sub_policy:"
        " {name: a, type: anomalous, anomalous: {detector: anomaly/svc}}}}]}}, {name: all, type: always_sample}]");

    (void)state;
    assert_int_equal(TRACE(&r, {OF(SERVICE("cart"), NOW)}), GW_DROPPED_BY_POLICY);
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    alarm_of(SERVICE("cart"), "", 0, NOW, 9);
    KEEPS(&r, {OF(SERVICE("cart"), NOW)});
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    close_it(&r);
    r = open_it("policies: [{name: a, type: anomalous, anomalous: {detector: anomaly/svc}}, {name: all, type: "
                "always_sample}]");
    KEEPS(&r, {OF(SERVICE("cart"), NOW)});
    assert_true(gw_policies_is_settled(r.p, r.id, &r.facts));
    close_it(&r);
}

/* Scenario: more keys than max_keys. Guarantees: the one that ended first makes room; two policies share a watch. */
static void alarms_are_bounded(void **state)
{
    struct rig r = open_it("policies: [{name: a, type: anomalous, anomalous: {detector: anomaly/svc, max_keys: 2}},"
                           "{name: b, type: anomalous, anomalous: {detector: anomaly/svc, max_keys: 3}}]");

    (void)state;
    alarm_of(SERVICE("a"), "", 0, NOW + 1, 9);
    alarm_of(SERVICE("b"), "", 0, NOW, 9);
    alarm_of(SERVICE("c"), "", 0, NOW + 2, 9);
    KEEPS(&r, {OF(SERVICE("b"), NOW)});
    alarm_of(SERVICE("d"), "", 0, NOW + 3, 9);
    LOSES(&r, {OF(SERVICE("b"), NOW)});
    KEEPS(&r, {OF(SERVICE("a"), NOW + 3)});
    KEEPS(&r, {OF(SERVICE("c"), NOW + 3)});
    KEEPS(&r, {OF(SERVICE("d"), NOW + 3)});
    close_it(&r);
}

/* Scenario: a reload with the same policies, with another hold, and one that nobody watches any more. */
static void alarms_go_on_over_a_reload(void **state)
{
    struct gw_alarm_board *board;
    struct rig r = open_it(POLICY(", hold: 1m")), old;

    (void)state;
    board = gw_alarms_board(alarms, "anomaly/svc");
    assert_true(gw_alarm_is_watched(board));
    alarm_of(SERVICE("cart"), "", 0, NOW, 9);
    for (unsigned i = 0; i < 2; i++) {
        old = r;
        r = (struct rig){.c.share = 1, .c.alarms = alarms};
        rig_open(&r, i ? POLICY(", hold: 2m") : POLICY(", hold: 1m"));
        rig_close(&old);
        KEEPS(&r, {OF(SERVICE("cart"), NOW + 59)});
    }
    KEEPS(&r, {OF(SERVICE("cart"), NOW + 119)});
    LOSES(&r, {OF(SERVICE("cart"), NOW + 121)});
    rig_close(&r);
    assert_false(gw_alarm_is_watched(board));
    assert_int_equal(alarm_of(SERVICE("cart"), "", 0, NOW, 9), 0);
    gw_alarms_free(alarms);
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

static uint32_t tag(unsigned i)
{
    return gw_key_tag(gw_alarm_key_add(1, gw_slice_of(&i, sizeof(i))));
}

/*
 * Scenario    sets of 1 to 60 keys, put in in two orders
 * Guarantees  what was put in is found; up to 8 nothing else is, and of the others not more than was said
 */
static void sets_of_keys(void **state)
{
    (void)state;
    assert_int_equal(gw_key_tag(0), 1);
    for (unsigned n = 1; n <= 60; n++) {
        uint64_t bits[GW_FACT_WORDS] = {0}, back[GW_FACT_WORDS] = {0}, one[GW_FACT_WORDS];
        uint32_t list[GW_KEYS_EXACT];
        unsigned wrong = 0;

        for (unsigned i = 0; i < n; i++) {
            gw_keys_put(bits, tag(i));
            gw_keys_put(bits, tag(i / 2));
            memset(one, 0, sizeof(one));
            gw_keys_put(one, tag(n - 1 - i));
            gw_keys_join(back, one);
        }
        assert_int_equal(gw_keys_list(bits, list), n <= GW_KEYS_EXACT ? n : GW_KEYS_EXACT + 1);
        for (unsigned i = 0; i < n; i++)
            assert_true(gw_keys_have(bits, tag(i)) && gw_keys_have(back, tag(i)));
        for (unsigned i = n; i < n + 10000; i++) {
            assert_int_equal(gw_keys_have(bits, tag(i)), gw_keys_have(back, tag(i)));
            wrong += gw_keys_have(bits, tag(i));
        }
        assert_true(n > GW_KEYS_EXACT || wrong == 0);
        assert_true(wrong <= (n <= 12 ? 50u : n <= 20 ? 220u : n <= 50 ? 2000u : 3000u));
        assert_int_equal(bits[0] | back[0], 0);
    }
}

/* Scenario: a trace of 30 services, with others' conditions beside. Guarantees: each of them is found. */
static void a_trace_of_many_services(void **state)
{
    struct rig r = open_it("policies: [{name: odd, type: anomalous, anomalous: {detector: anomaly/svc}},"
                           "{name: s, type: string_attribute, string_attribute: {key: k, values: [v]}}]");
    struct span spans[30];
    char names[30][80];

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s%u\"}}", i);
        spans[i] = (struct span){OF(names[i], NOW)};
    }
    assert_int_equal(rig_trace(&r, spans, 30), GW_NOT_SAMPLED);
    KEEPS(&r, {OF(SERVICE("x"), NOW), .attrs = TEXT("k", "v")});
    assert_string_equal(r.verdict.policy, "s");
    for (unsigned i = 0; i < 30; i += 29) {
        alarm_of(names[i], "", 0, NOW + i * 1000, 9);
        for (unsigned k = 0; k < 30; k++)
            spans[k].start_ns = spans[k].end_ns = (NOW + i * 1000) * S;
        assert_int_equal(rig_trace(&r, spans, 30), GW_SAMPLED);
    }
    close_it(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traces_of_an_unusual_window_are_kept),
        cmocka_unit_test(an_alarm_goes_on_and_ends),
        cmocka_unit_test(scores_and_detectors),
        cmocka_unit_test(keys_of_several_attributes),
        cmocka_unit_test(among_other_policies),
        cmocka_unit_test(alarms_are_bounded),
        cmocka_unit_test(alarms_go_on_over_a_reload),
        cmocka_unit_test(sets_of_keys),
        cmocka_unit_test(a_trace_of_many_services),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
