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

/* ---- trace state ------------------------------------------------------------------------------------------ */

static void a_member_of_the_trace_state(void **state)
{
    char is[320], yaml[512];
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: trace_state, trace_state: {key: k, values: [v, '', w]}"));
    KEEPS(&r, {0}, {.state = "a=b,k=w"});
    KEEPS(&r, {.state = "a@b=c,k=v"});
    KEEPS(&r, {.state = "1a@b=c,k=v"}); /* a tenant may begin with a digit, a key may not */
    LOSES(&r, {.state = "1a=c,k=v"}, {.state = "a@1b=c,k=v"}, {.state = "@b=c,k=v"}, {.state = "a@=c,k=v"},
          {.state = "a@b@c=d,k=v"});
    LOSES(&r, {.state = "k=vv"}, {.state = "a=k=v"}, {.state = "k=v,k=v"}, {.state = "a=b"});
    rig_close(&r);

    /* Together key and value must stay below 256 bytes, or the value is none. */
    for (unsigned n = 254; n < 256; n++) {
        memset(is, 'x', sizeof(is));
        memcpy(is, "k=", 2);
        is[2 + n] = '\0';
        (void)snprintf(yaml, sizeof(yaml), ONE("type: trace_state, trace_state: {key: k, values: ['%s']}"), is + 2);
        rig_open(&r, yaml);
        assert_int_equal(TRACE(&r, {.state = is}), n == 254 ? GW_SAMPLED : GW_NOT_SAMPLED);
        rig_close(&r);
    }
}

/*
 * Texts put together at random, 64 a mask; golden.go asked OpenTelemetry's SDK for Go (otel/trace v1.44.0) which of
 * them are a trace state in which k is v.
 */
static void trace_states_are_read_as_go_reads_them(void **state)
{
    static const char *const parts[] = {"k", "=", "v", ",", " ", "\\t", "@",    "a",    "k=v",  "k=v,", "b=w,",
                                        "K", "*", "-", "/", "1", "=v ", "k =v", " k=v", "k=v ", ",,"};
    static const uint64_t masks[] = {
        0x0200200800800000, 0x0000400020040200, 0x0000000008000100, 0x0000200000000000,
        0x0008000000001000, 0x8000000000806200, 0x0004000000000000, 0x0000200000000000,
        0x0000000000000100, 0x0000020000000400, 0x1000000012000001, 0x0410000000001004,
        0x0002000000000880, 0x2800004000000000, 0x02400000800a0000, 0x020040006a008000,
    };
    char texts[64][64];
    uint64_t seed = 99;
    struct rig r = {.c.share = 1};

    (void)state;
    rig_open(&r, ONE("type: trace_state, trace_state: {key: k, values: [v]}"));
    for (unsigned k = 0; k < 16; k++) {
        struct span spans[64] = {{0}};
        const uint64_t(*bits)[GW_FACT_WORDS];
        struct gw_view v;

        for (unsigned j = 0; j < 64; j++) {
            uint64_t n = gw_test_random(&seed) % 6 + 1;

            for (texts[j][0] = '\0'; n > 0; n--)
                strcat(texts[j], parts[gw_test_random(&seed) % (sizeof(parts) / sizeof(parts[0]))]);
            spans[j].state = texts[j];
        }
        rig_view(&r, spans, 64, &v);
        bits = gw_policies_ask(r.p, &v);
        for (unsigned j = 0; j < 64; j++)
            if ((bits[j][0] & 1) != (masks[k] >> j & 1))
                fail_msg("\"%s\" is %d", texts[j], (int)(masks[k] >> j & 1));
        gw_view_clear(&v);
        gw_arena_reset(&r.arena, 1 << 20);
    }
    rig_close(&r);
}

/* ---- probabilistic ---------------------------------------------------------------------------------------- */

/*
 * An independent implementation wrote the numbers (Python):
 *
 *     def fnv1a64(data):
 *         h = 0xcbf29ce484222325
 *         for c in data: h = ((h ^ c) * 0x100000001b3) % 2**64
 *         return h
 *     def at_most(pct):                                   # big.Float: 64 significant bits, half to even
 *         n, e = Fraction(pct / 100) * (2**64 - 1), 0
 *         while n >= 2**64: n /= 2; e += 1
 *         while 0 < n < 2**63: n *= 2; e -= 1
 *         k, rest = divmod(n, 1)
 *         k += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and k % 2)
 *         return min(int(k * Fraction(2)**e), 2**64 - 1)
 *     ids = [bytes((i * 37 + k * 11) % 256 for k in range(16)) for i in range(64)]
 *     sum((fnv1a64(salt + id) <= at_most(pct)) << i for i, id in enumerate(ids))
 */
static void a_share_of_the_ids(void **state)
{
    static const struct {
        const char *salt;
        double pct;
        uint64_t at_most, kept;
    } cases[] = {
        {"", 0, 0, 0},
        {"", -3, 0, 0},
        {"", 1e-18, 0, 0},
        {"", 1e-5, 0x1ad7f29abca, 0},
        {"", 0.1, 0x4189374bc6a7ef, 0},
        {"", 1, 0x28f5c28f5c28f5f, 0x1000000000000},
        {"", 10, 0x19999999999999ff, 0x908040008010c},
        {"default-hash-seed", 10, 0x19999999999999ff, 0x908040008010c},
        {"test-salt", 10, 0x19999999999999ff, 0x800000008800200},
        {"x", 10, 0x19999999999999ff, 0x4020011800001080},
        {"", 50, 0x7fffffffffffffff, 0xc8e928c43cdd2b7e},
        {"test-salt", 50, 0x7fffffffffffffff, 0x6a92d81e6fa0163c},
        {"x", 50, 0x7fffffffffffffff, 0xc2e801bd563755c6},
        {"", 99, 0xfd70a3d70a3d6fff, 0xffff7fffffffffff},
        {"test-salt", 99, 0xfd70a3d70a3d6fff, 0xfffffbffffffffff},
        {"", 33.3, 0x553f7ced91686fff, 0},
        {"", 66.6, 0xaa7ef9db22d0dfff, 0},
        {"", 99.9, 0xffbe76c8b4395fff, 0},
        {"", 99.99999999999999, 0xfffffffffffff7ff, UINT64_MAX},
        {"", 100, UINT64_MAX, UINT64_MAX},
        {"", 250, UINT64_MAX, UINT64_MAX},
    };
    char yaml[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r = {.c.share = 1};
        uint64_t kept = 0;

        (void)snprintf(yaml, sizeof(yaml),
                       ONE("type: probabilistic, probabilistic: {sampling_percentage: %.17g, hash_salt: '%s'}"),
                       cases[i].pct, cases[i].salt);
        rig_open(&r, yaml);
        if (r.p->list[0].rule->share.at_most != cases[i].at_most)
            fail_msg("%g %%: %llx", cases[i].pct, (unsigned long long)r.p->list[0].rule->share.at_most);
        ADD(&r, {0});
        for (unsigned k = 0; k < 64; k++) {
            for (unsigned j = 0; j < 16; j++)
                r.id[j] = (uint8_t)(k * 37 + j * 11);
            kept |= (uint64_t)(rig_decide(&r) == GW_SAMPLED) << k;
        }
        if (cases[i].kept && kept != cases[i].kept)
            fail_msg("%g %% with \"%s\": %llx", cases[i].pct, cases[i].salt, (unsigned long long)kept);
        rig_close(&r);
    }
}

/* rv decides where there is one; where there is only th, the lower 56 bits of the id; where there is none, the hash. */
static void trace_states_take_the_place_of_the_hash(void **state)
{
    static const char yaml[] = ONE("type: probabilistic, probabilistic: {sampling_percentage: 50}");
    struct rig r = {.c.share = 1, .c.use_trace_state = true};

    (void)state;
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:80000000000000"});
    assert_true(r.verdict.has_threshold);
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    LOSES(&r, {.state = "ot=rv:7fffffffffffff"});
    assert_false(r.verdict.has_threshold);
    LOSES(&r, {.state = "ot=th:8"}, {.state = "ot=rv:00000000000000"},
          {.state = "ot=rv:ffffffffffffff"}); /* the first */
    assert_false(r.facts.bad_trace_state);
    r.id[9] = 0x80;
    KEEPS(&r, {.state = "ot=th:0"});
    r.id[9] = 0x7f;
    LOSES(&r, {.state = "ot=th:0"}, {.state = "=,="});
    assert_true(r.facts.bad_trace_state);
    for (unsigned k = 0; k < 16; k++)
        r.id[k] = (uint8_t)(k * 11); /* the first of a_share_of_the_ids */
    LOSES(&r, {.state = "a=b"}, {.state = "=,="});
    rig_close(&r);

    r.c.use_trace_state = false;
    rig_open(&r, yaml);
    for (unsigned k = 0; k < 16; k++)
        r.id[k] = (uint8_t)(k * 11);
    LOSES(&r, {.state = "ot=rv:ffffffffffffff"});
    rig_close(&r);
}

#define SHARE(nm, pct) "{name: " nm ", type: probabilistic, probabilistic: {sampling_percentage: " pct "}}"

/* `and` reports the largest threshold of its parts, a list of policies the smallest of those that vote to sample. */
static void thresholds_are_of_the_mildest_that_votes(void **state)
{
    static const char yaml[] = "policies: [" SHARE("a", "25") ", {name: b, type: and, and: {and_sub_policy: [" SHARE(
        "b1", "75") ", " SHARE("b2", "50") "]}}, {name: c, type: status_code, status_code: {status_codes: [ERROR]}}]";
    struct rig r = {.c.share = 1, .c.use_trace_state = true};

    (void)state;
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:d0000000000000"});
    assert_string_equal(r.verdict.policy, "a");
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    KEEPS(&r, {.state = "ot=rv:90000000000000"});
    assert_string_equal(r.verdict.policy, "b");
    assert_int_equal(r.verdict.threshold, 0x80000000000000);
    KEEPS(&r, {.state = "ot=rv:d0000000000000", .status = 2});
    assert_string_equal(r.verdict.policy, "a");
    assert_int_equal(r.verdict.threshold, 0);
    LOSES(&r, {.state = "ot=rv:70000000000000"});
    rig_close(&r);

    r.c.use_trace_state = r.c.sample_on_first_match = true; /* nobody behind the first is asked */
    rig_open(&r, yaml);
    KEEPS(&r, {.state = "ot=rv:d0000000000000", .status = 2});
    assert_int_equal(r.verdict.threshold, 0xc0000000000000);
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
        cmocka_unit_test(a_member_of_the_trace_state),
        cmocka_unit_test(trace_states_are_read_as_go_reads_them),
        cmocka_unit_test(a_share_of_the_ids),
        cmocka_unit_test(trace_states_take_the_place_of_the_hash),
        cmocka_unit_test(thresholds_are_of_the_mildest_that_votes),
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
