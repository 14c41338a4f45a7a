/* SPDX-License-Identifier: Apache-2.0 */
/* Each policy at its boundaries, and which of several wins. */
#include "processors/tail_sampling/rules.h"
#include "tests/processors/tail_sampling/rig.h"

#define ONE(policy) "policies: [{name: p, " policy "}]"

static void always_sample_and_its_opposite(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: always_sample"));
    KEEPS(&r, {0});
    assert_string_equal(r.verdict.policy, "p");
    assert_null(r.verdict.composite);
    assert_false(r.verdict.has_threshold);
    rig_close(&r);
    rig_open(&r, ONE("type: not, not: {not_sub_policy: {name: n, type: always_sample}}"));
    LOSES(&r, {0});
    assert_null(r.verdict.policy);
    rig_close(&r);
}

static void latency_is_more_than_the_threshold(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: latency, latency: {threshold_ms: 500}"));
    LOSES(&r, {.start_ns = S, .end_ns = S + 501 * MS - 1}); /* whole ms */
    KEEPS(&r, {.start_ns = S, .end_ns = S + 501 * MS});
    KEEPS(&r, {.start_ns = 2 * S, .end_ns = 2 * S}, {.start_ns = S, .end_ns = S}); /* the trace, not the span */
    LOSES(&r, {.start_ns = 2 * S, .end_ns = S});                                   /* negative */
    KEEPS(&r, {.start_ns = 0, .end_ns = S});                                       /* no start reads as 1970 */
    /* A start of 0 gives way to the next, and a later 0 comes back: at no span was it long. */
    LOSES(&r, {.start_ns = 0, .end_ns = 100 * MS}, {.start_ns = S, .end_ns = S + 1});
    KEEPS(&r, {.start_ns = S, .end_ns = S + 1}, {.start_ns = 0, .end_ns = S});
    LOSES(&r, {.start_ns = S, .end_ns = UINT64_C(1) << 63}); /* times are signed in Go: that is long before 1970 */
    KEEPS(&r, {.start_ns = UINT64_C(1) << 63, .end_ns = INT64_MAX}); /* and this difference is as large as there are */
    rig_close(&r);

    rig_open(&r, ONE("type: latency, latency: {threshold_ms: -1}"));
    KEEPS(&r, {.start_ns = S, .end_ns = S});
    LOSES(&r, {.start_ns = S, .end_ns = S - MS});
    rig_close(&r);
}

/* Grows from 10 to 30 ms: the Collector has seen 20 on the way. */
static void an_upper_bound_is_of_the_whole_trace_unless_it_runs(void **state)
{
    static const char yaml[] = ONE("type: latency, latency: {threshold_ms: 15, upper_threshold_ms: 25}");
    const struct span grow[] = {{.start_ns = S, .end_ns = S + 10 * MS},
                                {.start_ns = S, .end_ns = S + 20 * MS},
                                {.start_ns = S, .end_ns = S + 30 * MS}};
    struct rig r = {.c.share = 1};

    (void)state;
    for (unsigned running = 0; running < 2; running++) {
        r.c.running_latency = running;
        rig_open(&r, yaml);
        LOSES(&r, {.start_ns = S, .end_ns = S + 16 * MS - 1});
        KEEPS(&r, {.start_ns = S, .end_ns = S + 16 * MS});
        KEEPS(&r, {.start_ns = S, .end_ns = S + 26 * MS - 1});
        LOSES(&r, {.start_ns = S, .end_ns = S + 26 * MS});
        assert_int_equal(rig_trace(&r, grow, 3), running ? GW_SAMPLED : GW_NOT_SAMPLED);
        LOSES(&r, grow[2], grow[1], grow[0]); /* the other way round it was always too long */
        rig_close(&r);
    }
    rig_open(&r, yaml); /* without running_latency a span without a start does not count */
    KEEPS(&r, {.end_ns = S + 20 * MS}, {.start_ns = S, .end_ns = S + 20 * MS});
    LOSES(&r, {.end_ns = 20 * MS});
    rig_close(&r);
}

static void status_codes_of_any_span(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: status_code, status_code: {status_codes: [ERROR]}"));
    KEEPS(&r, {0}, {.status = 2});
    LOSES(&r, {0}, {.status = 1});
    LOSES(&r, {.status = 7});
    rig_close(&r);
    rig_open(&r, ONE("type: status_code, status_code: {status_codes: [OK, UNSET]}"));
    KEEPS(&r, {.status = 2}, {.status = 1});
    KEEPS(&r, {.status = 0});
    LOSES(&r, {.status = 2}, {.status = 3});
    rig_close(&r);
}

/* 0 means unset, another type reads as 0, and an attribute may be of the resource. */
static void numbers_are_in_a_range(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: numeric_attribute, numeric_attribute: {key: n, min_value: 400, max_value: 599}"));
    LOSES(&r, {.attrs = INT("n", 399)});
    KEEPS(&r, {.attrs = INT("n", 400)});
    KEEPS(&r, {0}, {.resource = INT("n", 599)});
    LOSES(&r, {.attrs = INT("n", 600)}, {.attrs = TEXT("n", "500")}, {.attrs = INT("m", 500)});
    LOSES(&r, {.attrs = INT("n", 1) "," INT("n", 500)}); /* the first of a key */
    rig_close(&r);

    rig_open(&r, ONE("type: numeric_attribute, numeric_attribute: {key: n, min_value: 0, max_value: 5}"));
    KEEPS(&r, {.attrs = INT("n", -9223372036854775807)});
    KEEPS(&r, {.attrs = TEXT("n", "x")});
    KEEPS(&r, {.attrs = BOOL("n", true)});
    LOSES(&r, {.attrs = INT("n", 6)});
    rig_close(&r);

    rig_open(&r, ONE("type: numeric_attribute, numeric_attribute: {key: n, min_value: -5}"));
    LOSES(&r, {.attrs = INT("n", -6)});
    KEEPS(&r, {.attrs = INT("n", -5)});
    KEEPS(&r, {.attrs = INT("n", 9223372036854775807)});
    rig_close(&r);
}

static void booleans_match_their_value(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: boolean_attribute, boolean_attribute: {key: b, value: true}"));
    KEEPS(&r, {.attrs = BOOL("b", true)});
    KEEPS(&r, {.resource = BOOL("b", true)});
    LOSES(&r, {.attrs = BOOL("b", false)}, {.attrs = TEXT("b", "true")}, {.attrs = INT("b", 1)});
    rig_close(&r);
    rig_open(&r, ONE("type: boolean_attribute, boolean_attribute: {key: b, value: false}"));
    KEEPS(&r, {.attrs = TEXT("b", "true")}); /* reads as false */
    LOSES(&r, {.attrs = BOOL("b", true)}, {0});
    rig_close(&r);
}

static void texts_match_exactly(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: string_attribute, string_attribute: {key: k, values: [a, b, '', ccc, dd, e, f, g, h, i]}"));
    KEEPS(&r, {.attrs = TEXT("k", "a")});
    KEEPS(&r, {.resource = TEXT("k", "ccc")});
    KEEPS(&r, {.attrs = TEXT("k", "i")});
    LOSES(&r, {.attrs = TEXT("k", "")}, {.resource = TEXT("k", "")}, {.attrs = TEXT("k", "cc")}, {.attrs = INT("k", 1)},
          {.attrs = TEXT("K", "a")}, {.attrs = TEXT("k", "A")});
    rig_close(&r);
    rig_open(&r, ONE("type: string_attribute, string_attribute: {key: k, values: \"a, b\"}"));
    KEEPS(&r, {.attrs = TEXT("k", "b")});
    rig_close(&r);
}

/* Of a span an empty text is none; of a resource it is a text, and so is what is no text at all. */
static void texts_match_patterns(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: string_attribute, string_attribute: {key: k, values: ['^a.c', 'z$'], "
                     "enabled_regex_matching: true, cache_max_size: 10}"));
    KEEPS(&r, {.attrs = TEXT("k", "abcd")});
    KEEPS(&r, {.resource = TEXT("k", "xyz")});
    LOSES(&r, {.attrs = TEXT("k", "xabc")}, {.attrs = TEXT("k", "zx")});
    rig_close(&r);
    rig_open(&r, ONE("type: string_attribute, string_attribute: {key: k, values: ['^$'], enabled_regex_matching: "
                     "true}"));
    LOSES(&r, {.attrs = TEXT("k", "")}, {.attrs = INT("k", 1)}, {0});
    KEEPS(&r, {.resource = TEXT("k", "")});
    KEEPS(&r, {.resource = INT("k", 1)});
    rig_close(&r);
}

/* An evil pattern meets a text made for it, in a policy and in a condition. */
static void what_a_pattern_gives_up_on_is_counted(void **state)
{
    char attrs[4200] = "{\"key\":\"k\",\"value\":{\"stringValue\":\"";
    size_t n = strlen(attrs);
    struct rig r = {.c.share = 1};

    (void)state;
    memset(attrs + n, 'a', 4000);
    strcpy(attrs + n + 4000, "!\"}}");
    rig_open(&r, "policies: [{name: a, type: string_attribute, string_attribute: {key: k, values: ['^(a|aa)+$'], "
                 "enabled_regex_matching: true}}, {name: b, type: ottl_condition, ottl_condition: {span: "
                 "['IsMatch(attributes[\"k\"], \"^(a|aa)+$\")']}}]");
    KEEPS(&r, {.attrs = TEXT("k", "aaa")});
    assert_int_equal(rig_metric(&r, "staunch_tail_sampling_texts_given_up"), 0);
    LOSES(&r, {.attrs = attrs});
    assert_int_equal(rig_metric(&r, "staunch_tail_sampling_texts_given_up"), 2);
    LOSES(&r, {0});
    assert_int_equal(rig_metric(&r, "staunch_tail_sampling_texts_given_up"), 2);
    rig_close(&r);
}

static void invert_match_is_true_of_traces_without_it(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}"));
    KEEPS(&r, {.attrs = TEXT("k", "b")}, {0});
    LOSES(&r, {.attrs = TEXT("k", "b")}, {.resource = TEXT("k", "a")});
    rig_close(&r);
    rig_open(&r, ONE("type: numeric_attribute, numeric_attribute: {key: k, min_value: 5, invert_match: true}"));
    KEEPS(&r, {.attrs = INT("k", 4)});
    LOSES(&r, {.attrs = INT("k", 4)}, {.attrs = INT("k", 5)});
    rig_close(&r);
    rig_open(&r, ONE("type: boolean_attribute, boolean_attribute: {key: k, value: true, invert_match: true}"));
    KEEPS(&r, {.attrs = BOOL("k", false)});
    LOSES(&r, {.attrs = BOOL("k", true)}, {0});
    rig_close(&r);
}

static void trace_flags_are_of_any_span(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: trace_flags"));
    KEEPS(&r, {0}, {.flags = 0x101});
    LOSES(&r, {.flags = 0x302}, {.flags = 0xfffffffe});
    rig_close(&r);
}

static void spans_are_counted(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: span_count, span_count: {min_spans: 2, max_spans: 3}"));
    LOSES(&r, {0});
    KEEPS(&r, {0}, {0});
    KEEPS(&r, {0}, {0}, {0});
    LOSES(&r, {0}, {0}, {0}, {0});
    rig_close(&r);
    rig_open(&r, ONE("type: span_count, span_count: {min_spans: 2}"));
    LOSES(&r, {0});
    KEEPS(&r, {0}, {0}, {0}, {0});
    rig_close(&r);
}

/* ---- policies of policies --------------------------------------------------------------------------------- */

#define HAS(nm, k) "{name: " nm ", type: string_attribute, string_attribute: {key: " k ", values: ['1']}}"
#define LACKS(nm, k)                                                                                                   \
    "{name: " nm ", type: string_attribute, string_attribute: {key: " k ", values: ['1'], invert_match: true}}"
#define IS(k) TEXT(k, "1")

static void and_wants_all(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r,
             ONE("type: and, and: {and_sub_policy: [" HAS("a", "a") ", {name: n, type: not, not: {not_sub_policy: " HAS(
                 "b", "b") "}}, " LACKS("c", "c") "]}"));
    KEEPS(&r, {0}, {.attrs = IS("a")});
    LOSES(&r, {0});
    LOSES(&r, {.attrs = IS("a")}, {.attrs = IS("b")});
    LOSES(&r, {.attrs = IS("a")}, {.attrs = IS("c")});
    rig_close(&r);
}

static void drop_wins_over_all(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, "policies: [{name: p, type: always_sample}, {name: d, type: drop, drop: {drop_sub_policy: [" HAS(
                     "a", "a") ", " HAS("b", "b") "]}}]");
    KEEPS(&r, {.attrs = IS("a")});
    assert_string_equal(r.verdict.policy, "p");
    assert_int_equal(TRACE(&r, {.attrs = IS("a")}, {.resource = IS("b")}), GW_DROPPED_BY_POLICY);
    assert_string_equal(r.verdict.policy, "d");
    /* It is asked first, and then nobody else. */
    assert_int_equal(rig_metric(&r, "otelcol_processor_tail_sampling_sampling_policy_execution_count{policy=\"p\"}"),
                     1);
    rig_close(&r);
}

/* What the Collector's switch says, over the set of votes. */
static enum gw_decision expected(bool dropped, bool not_inverted, bool sampled, bool inverted, bool not_sampled)
{
    if (dropped)
        return GW_DROPPED_BY_POLICY;
    if (not_inverted)
        return GW_NOT_SAMPLED;
    if (sampled)
        return GW_SAMPLED;
    return inverted && !not_sampled ? GW_SAMPLED : GW_NOT_SAMPLED;
}

/* Four policies in all orders, each voting each way: d drops or not, s samples or not, i and j are inverted. */
static void precedence_does_not_depend_on_the_order(void **state)
{
    static const char *const one[] = {"{name: d, type: drop, drop: {drop_sub_policy: [" HAS("d1", "d") "]}}",
                                      HAS("s", "s"), LACKS("i", "i"), LACKS("j", "j")};
    char yaml[1024];

    (void)state;
    for (unsigned order = 0; order < 256; order++) {
        unsigned a = order & 3, b = order >> 2 & 3, c = order >> 4 & 3, d = order >> 6;
        struct rig r = {.c.share = 1, .c.invert_decisions = true};

        if ((1u << a | 1u << b | 1u << c | 1u << d) != 15)
            continue;
        (void)snprintf(yaml, sizeof(yaml), "policies: [%s, %s, %s, %s]", one[a], one[b], one[c], one[d]);
        rig_open(&r, yaml);
        for (unsigned bits = 0; bits < 16; bits++) {
            bool is_d = bits & 1, is_s = bits & 2, is_i = bits & 4, is_j = bits & 8;
            enum gw_decision want = expected(is_d, is_i || is_j, is_s, !is_i || !is_j, !is_s || !is_d);
            char attrs[512];

            (void)snprintf(attrs, sizeof(attrs), "%s%s%s%s" TEXT("x", "y"), is_d ? IS("d") "," : "",
                           is_s ? IS("s") "," : "", is_i ? IS("i") "," : "", is_j ? IS("j") "," : "");
            assert_int_equal(TRACE(&r, {.attrs = attrs}), want);
            if (want == GW_SAMPLED)
                assert_string_equal(r.verdict.policy, "s");
        }
        rig_close(&r);
    }
}

/* Each set of votes without a drop policy's NotSampled in it: all 15 of S, N, I, J. */
static void every_set_of_votes_has_its_verdict(void **state)
{
    static const char *const voter[] = {"{name: s, type: always_sample}", HAS("n", "none"), LACKS("i", "none"),
                                        LACKS("j", "some")};
    char yaml[1024];

    (void)state;
    for (unsigned set = 1; set < 16; set++)
        for (unsigned legacy = 0; legacy < 2; legacy++) {
            struct rig r = {.c.share = 1, .c.invert_decisions = legacy};
            bool s = set & 1, n = set & 2, i = set & 4, j = set & 8;
            enum gw_decision want =
                legacy ? expected(false, j, s, i, n) : expected(false, false, s || i, false, n || j);
            int at = snprintf(yaml, sizeof(yaml), "policies: [");

            for (unsigned k = 0; k < 4; k++)
                if (set >> k & 1)
                    at += snprintf(yaml + at, sizeof(yaml) - (size_t)at, "%s, ", voter[k]);
            (void)snprintf(yaml + at, sizeof(yaml) - (size_t)at, "]");
            rig_open(&r, yaml);
            assert_int_equal(TRACE(&r, {.attrs = IS("some")}), want);
            rig_close(&r);
        }
}

static void sample_on_first_match_asks_nobody_else(void **state)
{
    struct rig r = {.c.share = 1, .c.sample_on_first_match = true, .c.invert_decisions = true};

    (void)state;
    rig_open(&r, "policies: [" HAS("a", "a") ", " LACKS("b", "b") "]");
    KEEPS(&r, {.attrs = IS("a") "," IS("b")}); /* b would say no for all */
    LOSES(&r, {.attrs = IS("b")});
    assert_int_equal(rig_metric(&r, "otelcol_processor_tail_sampling_sampling_policy_execution_count{policy=\"b\"}"),
                     1);
    rig_close(&r);
}

/* Invert votes go through `not` as they are, and count as yes and no in `and`, `drop` and `composite`. */
static void inverted_votes_inside_of_others(void **state)
{
    struct rig r = {.c.share = 1, .c.invert_decisions = true};

    (void)state;
    rig_open(&r, ONE("type: not, not: {not_sub_policy: " LACKS("a", "a") "}"));
    KEEPS(&r, {0}); /* InvertSampled, alone */
    LOSES(&r, {.attrs = IS("a")});
    rig_close(&r);
    r.c.invert_decisions = true;
    rig_open(&r, ONE("type: and, and: {and_sub_policy: [" LACKS("a", "a") "]}"));
    KEEPS(&r, {0});
    LOSES(&r, {.attrs = IS("a")});
    rig_close(&r);
    r.c.invert_decisions = true;
    rig_open(&r, ONE("type: drop, drop: {drop_sub_policy: [" LACKS("a", "a") "]}"));
    assert_int_equal(TRACE(&r, {0}), GW_DROPPED_BY_POLICY);
    LOSES(&r, {.attrs = IS("a")});
    rig_close(&r);
    r.c.invert_decisions = true;
    rig_open(&r, ONE("type: composite, composite: {max_total_spans_per_second: 9, composite_sub_policy: [" LACKS(
                     "a", "a") "], rate_allocation: [{policy: a, percent: 100}]}"));
    KEEPS(&r, {0});
    LOSES(&r, {.attrs = IS("a")});
    rig_close(&r);
}

/* ---- at ingest -------------------------------------------------------------------------------------------- */

static void at_ingest_a_drop_policy_holds_back_all_others(void **state)
{
    struct rig r = {.c.share = 1, .c.span_ingest = true, .c.use_trace_state = true};

    (void)state;
    rig_open(&r, "policies: [" HAS("a", "a") ", " HAS("b", "b") "]");
    KEEPS(&r, {.attrs = IS("b")});
    assert_string_equal(r.verdict.policy, "b");
    assert_true(r.verdict.has_threshold);
    LOSES(&r, {0}); /* not yet */
    assert_false(gw_policies_is_settled(r.p, r.id, &r.facts));
    rig_close(&r);

    r.c.span_ingest = true;
    rig_open(&r, "policies: [" HAS("a", "a") ", {name: d, type: drop, drop: {drop_sub_policy: [" HAS("d1", "d") "]}}]");
    LOSES(&r, {.attrs = IS("a")});
    assert_int_equal(TRACE(&r, {.attrs = IS("a") "," IS("d")}), GW_DROPPED_BY_POLICY);
    assert_string_equal(r.verdict.policy, "d");
    assert_int_equal(rig_metric(&r, "otelcol_processor_tail_sampling_sampling_policy_execution_count{policy=\"a\"}"),
                     0);
    rig_close(&r);
}

/* ---- columns ---------------------------------------------------------------------------------------------- */

#define MANY                                                                                                           \
    "policies: [" HAS("a", "a") ", " HAS("b", "b") ", " LACKS(                                                         \
        "c", "a") ", "                                                                                                 \
                  "{name: n, type: numeric_attribute, numeric_attribute: {key: a, max_value: 5}}, "                    \
                  "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, {name: f, type: trace_flags}, " \
                  "{name: t, type: trace_state, trace_state: {key: k, values: [v]}}]"

/* Removed rows have no bits, and edits of the view are seen. */
static void rows_are_asked_as_the_view_has_them(void **state)
{
    const struct span spans[] = {
        {.attrs = IS("a")}, {.attrs = IS("a")}, {.resource = IS("b"), .status = 2, .flags = 1}, {.state = "k=v"}};
    const struct gw_value one = {.type = GW_V_STRING, .s = GW_SLICE("1")};
    const uint64_t(*bits)[GW_FACT_WORDS];
    struct rig r = {.c.share = 1};
    struct gw_view v;

    (void)state;
    rig_open(&r, MANY);
    rig_view(&r, spans, 4, &v);
    assert_int_equal(gw_view_remove(&v, 0), 0);
    gw_view_attr_set(&v, GW_OWN_ROW, 2, GW_SLICE("a"), &one);
    assert_true(gw_view_attr_delete(&v, GW_OWN_RESOURCE, 2, GW_SLICE("b")));
    gw_view_attr_set(&v, GW_OWN_RESOURCE, 3, GW_SLICE("b"), &one);
    bits = gw_policies_ask(r.p, &v);
    assert_int_equal(bits[0][0], 0);
    assert_int_equal(bits[1][0], 1 | 4 | 8);
    assert_int_equal(bits[2][0], 1 | 4 | 8 | 16 | 32);
    assert_int_equal(bits[3][0], 2 | 64);
    gw_view_clear(&v);
    rig_close(&r);
}

/* Rows without edits are asked another way than those with: keys of one length, twice the same, empty, long. */
static void edited_rows_answer_as_others(void **state)
{
    static const char *const keys[] = {"a",
                                       "b",
                                       "c",
                                       "aa",
                                       "ab",
                                       "ba",
                                       "bb",
                                       "",
                                       "abababababababababababababababababababababababababababababababababab"
                                       "c",
                                       "abababababababababababababababababababababababababababababababababab"
                                       "d"};
    static const char *const values[] = {"1", "2", ""};
    const struct gw_value other = {.type = GW_V_STRING, .s = GW_SLICE("1")};
    char attrs[100][1024];
    struct span spans[100] = {{0}};
    const uint64_t(*plain)[GW_FACT_WORDS], (*edited)[GW_FACT_WORDS];
    uint64_t seed = 5, any = 0;
    struct rig r = {.c.share = 1};
    struct gw_buf yaml;
    struct gw_view v;

    (void)state;
    gw_buf_init(&yaml, 1 << 16);
    gw_buf_put_str(&yaml, "policies: [");
    for (unsigned i = 0; i < 3; i++) /* members of the trace state are no attributes */
        gw_buf_printf(&yaml, "{name: s%u, type: trace_state, trace_state: {key: %s, values: ['1', '2']}}, ", i,
                      keys[i]);
    for (unsigned i = 0; i < 20; i++)
        gw_buf_printf(&yaml, "{name: p%u, type: string_attribute, string_attribute: {key: '%s', values: ['%s']}}, ", i,
                      keys[i / 2], i % 2 ? "1" : "2");
    gw_buf_put(&yaml, "]", 2);
    rig_open(&r, (const char *)yaml.p);
    for (unsigned i = 0; i < 100; i++) {
        int at = 0;

        for (uint64_t n = gw_test_random(&seed) % 8; n > 0; n--)
            at += snprintf(attrs[i] + at, sizeof(attrs[i]) - (size_t)at,
                           "%s{\"key\":\"%s\",\"value\":{\"stringValue\":\"%s\"}}", at ? "," : "",
                           keys[gw_test_random(&seed) % 10], values[gw_test_random(&seed) % 3]);
        spans[i].attrs = at ? attrs[i] : "";
    }
    rig_view(&r, spans, 100, &v);
    plain = gw_policies_ask(r.p, &v);
    gw_view_attr_set_rows(&v, GW_SLICE("other"), &other, GW_UPSERT);
    edited = gw_policies_ask(r.p, &v);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(plain[i][0] == edited[i][0]);
        any |= plain[i][0];
    }
    assert_int_equal(any, ((1 << 20) - 1) << 3);
    gw_view_clear(&v);
    rig_close(&r);
    gw_buf_clear(&yaml);
}

/* 256 conditions have the last bit of the last word. */
static void all_bits_are_used(void **state)
{
    struct gw_buf yaml;
    struct rig r = {.c.share = 1};

    (void)state;
    gw_buf_init(&yaml, 1 << 20);
    gw_buf_put_str(&yaml, "policies: [");
    for (unsigned i = 0; i < GW_MAX_PREDICATES; i++)
        gw_buf_printf(&yaml,
                      "{name: p%u, type: string_attribute, string_attribute: {key: k%u, values: ['1'], invert_match: "
                      "%s}}, ",
                      i, i % 7, i == 255 ? "false" : "true");
    gw_buf_put(&yaml, "]", 2);
    rig_open(&r, (const char *)yaml.p);
    KEEPS(&r, {.attrs = IS("k3")});
    assert_int_equal(r.facts.bits[3] >> 63, 1);
    rig_close(&r);
    gw_buf_clear(&yaml);
}

static void facts_say_what_a_trace_is(void **state)
{
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: always_sample"));
    ADD(&r, {.start_ns = 7, .end_ns = 9, .parent = "0102030405060708"},
        {.start_ns = 5, .end_ns = 6, .parent = "0102030405060708"});
    assert_int_equal(r.facts.n_spans, 2);
    assert_int_equal(r.facts.min_start_ns, 5);
    assert_int_equal(r.facts.max_end_ns, 9);
    assert_false(r.facts.has_root);
    ADD(&r, {.end_ns = 8});
    assert_true(r.facts.has_root);
    assert_int_equal(r.facts.min_start_ns, 5);
    assert_int_equal(r.facts.n_spans, 3);
    rig_close(&r);
}

/* ---- metrics ---------------------------------------------------------------------------------------------- */

#define M "otelcol_processor_tail_sampling_"

static void policies_are_counted(void **state)
{
    struct rig r = {.c.share = 1, .c.instance = "main", .c.count_spans = true, .c.count_bytes = true};

    (void)state;
    rig_open(&r, "policies: [" HAS("a", "a") ", {name: d, type: drop, drop: {drop_sub_policy: [" HAS("d1", "d") "]}}]");
    KEEPS(&r, {.attrs = IS("a")}, {0});
    LOSES(&r, {0}, {0}, {0});
    ADD(&r, {.attrs = IS("d")});
    r.facts.wire_bytes = 70;
    assert_int_equal(rig_decide(&r), GW_DROPPED_BY_POLICY);
    assert_int_equal(rig_metric(&r, M "count_traces_sampled{policy=\"main.a\",sampled=\"true\",decision=\"sampled\"}"),
                     1);
    assert_int_equal(rig_metric(&r, M "count_spans_sampled{policy=\"main.a\",sampled=\"true\",decision=\"sampled\"}"),
                     2);
    assert_int_equal(
        rig_metric(&r, M "count_traces_sampled{policy=\"main.a\",sampled=\"false\",decision=\"not_sampled\"}"), 1);
    assert_int_equal(rig_metric(&r, M "count_traces_sampled{policy=\"main.d\",sampled=\"false\",decision=\"dropped\"}"),
                     1);
    assert_int_equal(rig_metric(&r, M "count_bytes_sampled{policy=\"main.d\",sampled=\"false\",decision=\"dropped\"}"),
                     70);
    assert_int_equal(rig_metric(&r, M "sampling_policy_execution_count{policy=\"main.d\"}"), 3);
    assert_int_equal(rig_metric(&r, M "sampling_policy_execution_count{policy=\"main.a\"}"), 2);
    assert_int_equal(rig_metric(&r, M "sampling_policy_evaluation_error"), 0);
    assert_int_equal(rig_metric(&r, M "sampling_policy_execution_time_sum{policy=\"main.a\"}"), -1); /* not detailed */
    rig_close(&r);
}

/* A clock that moves by 700 ns with every look. */
static uint64_t ticking(struct gw_env *env)
{
    static uint64_t now;

    (void)env;
    return now += 700;
}

static void time_is_counted_in_detail(void **state)
{
    struct rig r = {.c.share = 1, .c.detailed = true};

    (void)state;
    rig_open(&r, ONE("type: always_sample"));
    r.te.ops.mono_ns = ticking;
    KEEPS(&r, {0});
    assert_int_equal(rig_metric(&r, M "sampling_policy_execution_time_sum{policy=\"p\"}"), 0);
    KEEPS(&r, {0});
    KEEPS(&r, {0});
    assert_int_equal(rig_metric(&r, M "sampling_policy_execution_time_sum{policy=\"p\"}"), 2); /* 2.1 µs */
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_sample_and_its_opposite),
        cmocka_unit_test(latency_is_more_than_the_threshold),
        cmocka_unit_test(an_upper_bound_is_of_the_whole_trace_unless_it_runs),
        cmocka_unit_test(status_codes_of_any_span),
        cmocka_unit_test(numbers_are_in_a_range),
        cmocka_unit_test(booleans_match_their_value),
        cmocka_unit_test(texts_match_exactly),
        cmocka_unit_test(texts_match_patterns),
        cmocka_unit_test(what_a_pattern_gives_up_on_is_counted),
        cmocka_unit_test(invert_match_is_true_of_traces_without_it),
        cmocka_unit_test(trace_flags_are_of_any_span),
        cmocka_unit_test(spans_are_counted),
        cmocka_unit_test(and_wants_all),
        cmocka_unit_test(drop_wins_over_all),
        cmocka_unit_test(precedence_does_not_depend_on_the_order),
        cmocka_unit_test(every_set_of_votes_has_its_verdict),
        cmocka_unit_test(sample_on_first_match_asks_nobody_else),
        cmocka_unit_test(inverted_votes_inside_of_others),
        cmocka_unit_test(at_ingest_a_drop_policy_holds_back_all_others),
        cmocka_unit_test(rows_are_asked_as_the_view_has_them),
        cmocka_unit_test(edited_rows_answer_as_others),
        cmocka_unit_test(all_bits_are_used),
        cmocka_unit_test(facts_say_what_a_trace_is),
        cmocka_unit_test(policies_are_counted),
        cmocka_unit_test(time_is_counted_in_detail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
