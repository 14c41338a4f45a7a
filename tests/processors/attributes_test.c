/* SPDX-License-Identifier: Apache-2.0 */
/* attributes: every action, every kind of match. Expected values that are not plain were taken from the Collector. */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

static struct gw_proc_rig r;

#define S(k, v) "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define I(k, v) "{\"key\":\"" k "\",\"value\":{\"intValue\":\"" v "\"}}"
#define D(k, v) "{\"key\":\"" k "\",\"value\":{\"doubleValue\":" v "}}"
#define B(k, v) "{\"key\":\"" k "\",\"value\":{\"boolValue\":" v "}}"

/* Actions on the attributes of one span: what must come out as its whole list. */
static void expect(const char *actions, const char *in, const char *out)
{
    char yaml[4096], want[4096];

    (void)snprintf(yaml, sizeof(yaml), "actions: [%s]", actions);
    (void)snprintf(want, sizeof(want), "\"attributes\":[%s]", out);
    gw_proc_open(&r, "attributes", GW_TRACES, yaml);
    gw_proc_send(&r, gw_proc_span("", in));
    if (!(*out ? gw_proc_has(&r, want) : !gw_proc_has(&r, "5},\"attributes\"")))
        fail_msg("%s: wanted %s in %s", actions, want, r.out);
    assert_false(r.failed);
    gw_proc_close(&r);
}

/*
 * Scenario: insert, update and upsert on a key that is there and on one that is not
 * Guarantees: insert only adds, update only changes, upsert does either; values keep their YAML type
 */
static void insert_update_and_upsert_differ(void **state)
{
    (void)state;
    expect("{key: a, value: x, action: insert}", S("a", "1") "," S("b", "2"), S("a", "1") "," S("b", "2"));
    expect("{key: c, value: x, action: insert}", S("a", "1"), S("a", "1") "," S("c", "x"));
    expect("{key: a, value: x, action: update}", S("a", "1") "," S("b", "2"), S("a", "x") "," S("b", "2"));
    expect("{key: c, value: x, action: update}", S("a", "1"), S("a", "1"));
    expect("{key: a, value: x, action: upsert}", S("a", "1"), S("a", "x"));
    expect("{key: c, value: x, action: UPSERT}", S("a", "1"), S("a", "1") "," S("c", "x"));
    expect("{key: c, value: 5, action: upsert}", "", I("c", "5"));
    expect("{key: c, value: true, action: upsert}", "", B("c", "true"));
    expect("{key: c, value: 1.5, action: upsert}", "", D("c", "1.5"));
    expect("{key: c, value: [a, 1], action: upsert}", "",
           "{\"key\":\"c\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"intValue\":\"1\"}]}}}");
    expect(
        "{key: c, value: {k: v}, action: upsert}", "",
        "{\"key\":\"c\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]}}}");
}

/*
 * Scenario: values from another attribute, and defaults when there is none
 * Guarantees: the type comes along; a missing source without default changes nothing
 */
static void values_come_from_other_attributes(void **state)
{
    (void)state;
    expect("{key: c, from_attribute: a, action: upsert}", I("a", "7"), I("a", "7") "," I("c", "7"));
    expect("{key: c, from_attribute: x, action: upsert}", I("a", "7"), I("a", "7"));
    expect("{key: c, from_attribute: x, default_value: none, action: upsert}", I("a", "7"),
           I("a", "7") "," S("c", "none"));
    expect("{key: c, default_value: d, action: insert}", "", S("c", "d"));
    expect("{key: a, value: x, action: upsert}, {key: c, from_attribute: a, action: insert}", S("a", "1"),
           S("a", "x") "," S("c", "x"));
}

/*
 * Scenario: a request with two values of a header, an authenticated subject, and a peer
 * Guarantees: metadata.x joins by ";" without regard to case, auth.x, client.address without the port; missing: nothing
 */
static void values_come_from_the_requests_context(void **state)
{
    struct gw_meta_pair pairs[] = {{GW_SLICE("x-tenant"), GW_SLICE("eu")}, {GW_SLICE("x-tenant"), GW_SLICE("us")}};
    struct gw_meta_pair auth[] = {{GW_SLICE("subject"), GW_SLICE("me")}};
    struct gw_meta from = {.pairs = pairs, .n_pairs = 2, .auth = auth, .n_auth = 1, .peer = GW_SLICE("10.0.0.9:5678")};
    struct gw_meta v6 = {.peer = GW_SLICE("[::1]:5678")};

    (void)state;
    gw_proc_open(&r, "attributes", GW_TRACES,
                 "actions:\n- {key: t, from_context: metadata.X-Tenant, action: upsert}\n"
                 "- {key: s, from_context: auth.subject, action: upsert}\n"
                 "- {key: p, from_context: client.address, action: upsert}\n"
                 "- {key: old, from_context: x-tenant, action: upsert}\n"
                 "- {key: n, from_context: auth.none, action: upsert}\n"
                 "- {key: d, from_context: metadata.none, default_value: d, action: upsert}\n");
    r.meta = gw_meta_new(&from);
    gw_proc_send(&r, gw_proc_span("", ""));
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("t", "eu;us") "," S("s", "me") "," S("p", "10.0.0.9") "," S(
                                    "old", "eu;us") "," S("d", "d") "]"));
    (void)gw_meta_unref(r.meta);
    r.meta = gw_meta_new(&v6);
    gw_proc_send(&r, gw_proc_span("", ""));
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("p", "::1") "," S("d", "d") "]"));
    gw_proc_close(&r);
}

/*
 * Scenario: delete by key, by pattern, by both, of a key that stands twice, and of one that is missing
 * Guarantees: a pattern matches anywhere in the key; nothing of a repeated key stays
 */
static void delete_takes_keys_and_patterns(void **state)
{
    (void)state;
    expect("{key: a, action: delete}", S("a", "1") "," S("b", "2"), S("b", "2"));
    expect("{key: x, action: delete}", S("a", "1"), S("a", "1"));
    expect("{key: a, action: delete}", S("a", "1") "," S("b", "2") "," S("a", "3"), S("b", "2"));
    expect("{pattern: '^http\\.', action: delete}", S("http.a", "1") "," S("x.http.b", "2") "," S("http.c", "3"),
           S("x.http.b", "2"));
    expect("{key: z, pattern: b$, action: delete}", S("ab", "1") "," S("z", "2") "," S("ba", "3"), S("ba", "3"));
    expect("{key: c, value: x, action: insert}, {pattern: c, action: delete}", S("a", "1"), S("a", "1"));
}

/*
 * Scenario: hash of every type, by key and by pattern, and of a key that stands twice
 * Guarantees: SHA-256 of the text, of the 8 little-endian bytes, of one byte; "" for lists; no readable value stays
 */
static void hash_is_sha256_in_hexadecimal(void **state)
{
    (void)state;
    expect("{key: a, action: hash}", S("a", "abc"),
           S("a", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    expect("{key: a, action: hash}", I("a", "1"),
           S("a", "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8"));
    expect("{key: a, action: hash}", B("a", "true"),
           S("a", "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"));
    expect("{key: a, action: hash}", D("a", "1.5"),
           S("a", "e163f8cb0f7067a7fc78ca859a77f849aea3214f38fb75b884e4a16be725c905"));
    expect("{key: a, action: hash}", "{\"key\":\"a\",\"value\":{\"arrayValue\":{}}}", S("a", ""));
    expect("{pattern: '^u', action: hash}", S("u1", "abc") "," S("v", "x") "," S("u2", "abc"),
           S("u1", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") "," S("v", "x") "," S(
               "u2", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    expect("{key: a, action: hash}", S("a", "abc") "," S("v", "x") "," S("a", "secret"),
           S("v", "x") "," S("a", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    expect("{pattern: a, action: hash}", S("a", "abc") "," S("a", "secret"),
           S("a", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}

/*
 * Scenario: extract from an URL, from a text that does not match, from a number
 * Guarantees: each named group becomes an attribute, an optional one without part becomes ""; others change nothing
 */
static void extract_sets_the_named_groups(void **state)
{
    (void)state;
    expect("{key: url, pattern: '^(?P<scheme>.*):\\/\\/(?P<host>[^/:]*)(?P<port>:[0-9]+)?', action: extract}",
           S("url", "https://shop.eu/x") "," S("host", "old"),
           S("url", "https://shop.eu/x") "," S("host", "shop.eu") "," S("scheme", "https") "," S("port", ""));
    expect("{key: url, pattern: '^(?P<a_very_long_name_of_more_than_thirty_two_letters>x)', action: extract}",
           S("url", "xyz"), S("url", "xyz") "," S("a_very_long_name_of_more_than_thirty_two_letters", "x"));
    expect("{key: url, pattern: '(?<n>z)', action: extract}", S("url", "abc"), S("url", "abc"));
    expect("{key: url, pattern: '(?P<n>.)', action: extract}", I("url", "5"), I("url", "5"));
}

/*
 * Scenario: convert between types, with texts that are no numbers and numbers out of range
 * Guarantees: Go's rules; what cannot be converted stays
 */
static void convert_follows_gos_rules(void **state)
{
    (void)state;
    expect("{key: a, action: convert, converted_type: int}", S("a", "-42"), I("a", "-42"));
    expect("{key: a, action: convert, converted_type: int}", S("a", "9223372036854775808"),
           S("a", "9223372036854775808"));
    expect("{key: a, action: convert, converted_type: int}", S("a", " 1"), S("a", " 1"));
    expect("{key: a, action: convert, converted_type: int}", D("a", "-2.9"), I("a", "-2"));
    expect("{key: a, action: convert, converted_type: int}", D("a", "1e300"), I("a", "-9223372036854775808"));
    expect("{key: a, action: convert, converted_type: int}", B("a", "true"), I("a", "1"));
    expect("{key: a, action: convert, converted_type: double}", S("a", "2.5e3"), D("a", "2500"));
    expect("{key: a, action: convert, converted_type: double}", S("a", "1e999"), S("a", "1e999"));
    expect("{key: a, action: convert, converted_type: double}", I("a", "3"), D("a", "3"));
    expect("{key: a, action: convert, converted_type: string}", D("a", "1e-7"), S("a", "1e-7"));
    expect("{key: a, action: convert, converted_type: string}", D("a", "2.5"), S("a", "2.5"));
    expect("{key: a, action: convert, converted_type: string}", B("a", "false"), S("a", "false"));
    expect("{key: a, action: convert, converted_type: string}",
           "{\"key\":\"a\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"z\",\"value\":{\"intValue\":\"1\"}},"
           "{\"key\":\"b\",\"value\":{\"arrayValue\":{\"values\":[{\"boolValue\":true},{}]}}}]}}}",
           S("a", "{\\\"b\\\":[true,null],\\\"z\\\":1}"));
    expect("{key: a, action: convert, converted_type: string}", "{\"key\":\"a\",\"value\":{\"bytesValue\":\"AQID\"}}",
           S("a", "AQID"));
}

/* Whether the row of a request is acted upon. */
static void match(enum gw_signal signal, const char *block, const char *json, bool acted)
{
    char yaml[4096];

    (void)snprintf(yaml, sizeof(yaml), "actions: [{key: hit, value: 1, action: insert}]\ninclude: {%s}", block);
    gw_proc_open(&r, "attributes", signal, yaml);
    gw_proc_send(&r, json);
    if (gw_proc_has(&r, "\"hit\"") != acted)
        fail_msg("include {%s} %s", block, acted ? "did not match" : "matched");
    gw_proc_close(&r);
    (void)snprintf(yaml, sizeof(yaml), "actions: [{key: hit, value: 1, action: insert}]\nexclude: {%s}", block);
    gw_proc_open(&r, "attributes", signal, yaml);
    gw_proc_send(&r, json);
    if (gw_proc_has(&r, "\"hit\"") == acted)
        fail_msg("exclude {%s} %s", block, acted ? "did not match" : "matched");
    gw_proc_close(&r);
}

/* What leaves for three spans with different attributes. Owner: gives a malloced text. */
static char *three_spans(const char *actions, const char *include)
{
    static const char *const attributes[] = {S("a", "1") "," S("b", "2") "," S("a", "3"), "",
                                             S("b", "2") "," I("c", "4")};
    char yaml[1024], json[2048];
    size_t n = 0;
    char *out;

    n += (size_t)snprintf(json, sizeof(json), "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[");
    for (unsigned i = 0; i < 3; i++)
        n += (size_t)snprintf(json + n, sizeof(json) - n, "%s{\"name\":\"x\",\"attributes\":[%s]}", i ? "," : "",
                              attributes[i]);
    (void)snprintf(json + n, sizeof(json) - n, "]}]}]}");
    (void)snprintf(yaml, sizeof(yaml), "actions: [%s]\n%s", actions, include);
    gw_proc_open(&r, "attributes", GW_TRACES, yaml);
    gw_proc_send(&r, json);
    assert_int_equal(r.n_out, 3);
    out = strdup(r.out);
    gw_proc_close(&r);
    assert_non_null(out);
    return out;
}

/*
 * Scenario: lists of actions that see each other's work, on rows that have the keys, twice, or not; without a match,
 * for which each action goes over all rows, and with one that all rows meet, for which each row takes all actions
 * Guarantees: the same comes out
 */
static void rows_are_told_apart_from_actions(void **state)
{
    static const char *const lists[] = {
        "{key: a, value: x, action: upsert}, {key: a, action: delete}, {key: a, value: y, action: upsert}",
        "{key: d, value: x, action: upsert}, {key: e, from_attribute: d, action: insert}, {key: d, action: delete}",
        "{key: a, action: delete}, {key: b, action: hash}, {key: c, value: 9, action: update}",
        "{pattern: '^[ab]$', action: delete}, {key: b, value: z, action: upsert}, {key: c, value: z, action: upsert}",
        "{key: a, value: x, action: insert}, {key: b, value: y, action: update}, {key: d, value: 1, action: insert}",
        "{key: d, value: 1, action: insert}, {key: d, value: 2, action: update}, {key: a, action: delete}",
        "{key: a, value: x, action: insert}, {key: a, action: delete}, {key: a, value: z, action: insert}",
        "{key: c, converted_type: string, action: convert}, {key: b, from_attribute: c, action: upsert}",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        char *by_action = three_spans(lists[i], "");
        char *by_row = three_spans(lists[i], "include: {match_type: strict, span_names: [x]}");

        assert_string_equal(by_action, by_row);
        free(by_action);
        free(by_row);
    }
}

/*
 * Scenario: each list of include and exclude, strict and as patterns, on spans
 * Guarantees: strict compares the whole text and the type, regexp looks anywhere; all lists must match
 */
static void spans_are_chosen_by_every_list(void **state)
{
    const char *span =
        gw_proc_span("\"name\":\"GET /cart\",\"kind\":2", S("a", "x1") "," I("n", "5") "," D("f", "2.5"));

    (void)state;
    match(GW_TRACES, "match_type: strict, services: [shop]", span, true);
    match(GW_TRACES, "match_type: strict, services: [sho]", span, false);
    match(GW_TRACES, "match_type: regexp, services: [none, ^sh]", span, true);
    match(GW_TRACES, "match_type: strict, span_names: [GET /cart]", span, true);
    match(GW_TRACES, "match_type: regexp, span_names: [/c.r]", span, true);
    match(GW_TRACES, "match_type: regexp, span_names: [^/c.r]", span, false);
    match(GW_TRACES, "match_type: strict, span_kinds: [SPAN_KIND_SERVER]", span, true);
    match(GW_TRACES, "match_type: strict, span_kinds: [SPAN_KIND_CLIENT]", span, false);
    match(GW_TRACES, "match_type: regexp, span_kinds: [CLIENT, SERVER]", span, true);
    match(GW_TRACES, "match_type: strict, attributes: [{key: a, value: x1}]", span, true);
    match(GW_TRACES, "match_type: strict, attributes: [{key: a}]", span, true);
    match(GW_TRACES, "match_type: strict, attributes: [{key: a}, {key: none}]", span, false);
    match(GW_TRACES, "match_type: strict, attributes: [{key: n, value: 5}]", span, true);
    match(GW_TRACES, "match_type: strict, attributes: [{key: n, value: '5'}]", span, false);
    match(GW_TRACES, "match_type: regexp, attributes: [{key: n, value: '^5$'}]", span, true);
    match(GW_TRACES, "match_type: regexp, attributes: [{key: f, value: '^2.5$'}]", span, true);
    match(GW_TRACES, "match_type: strict, resources: [{key: zone, value: 7}]", span, true);
    match(GW_TRACES, "match_type: strict, resources: [{key: zone, value: 8}]", span, false);
    match(GW_TRACES, "match_type: strict, libraries: [{name: lib}]", span, true);
    match(GW_TRACES, "match_type: strict, libraries: [{name: lib, version: '1.2'}]", span, true);
    match(GW_TRACES, "match_type: strict, libraries: [{name: lib, version: ''}]", span, false);
    match(GW_TRACES, "match_type: regexp, libraries: [{name: l.b, version: '^1'}]", span, true);
    match(GW_TRACES, "match_type: strict, services: [shop], span_names: [other]", span, false);
    match(GW_TRACES, "match_type: regexp, regexp: {cacheenabled: true, cachemaxnumentries: 10}, services: [shop]", span,
          true);
}

/*
 * Scenario: the lists of log records and metrics
 * Guarantees: bodies as text whatever their type, severity text and number, undefined severity only when asked for
 */
static void records_and_metrics_are_chosen_too(void **state)
{
    const char *record =
        gw_proc_log("\"severityNumber\":9,\"severityText\":\"INFO\",\"body\":{\"stringValue\":\"hello\"}", "");
    const char *bare = gw_proc_log("\"body\":{\"intValue\":\"42\"}", "");
    const char *point = gw_proc_point("", "");

    (void)state;
    match(GW_LOGS, "match_type: strict, log_bodies: [hello]", record, true);
    match(GW_LOGS, "match_type: regexp, log_bodies: [^ell]", record, false);
    match(GW_LOGS, "match_type: strict, log_bodies: ['42']", bare, true);
    match(GW_LOGS, "match_type: strict, log_severity_texts: [INFO]", record, true);
    match(GW_LOGS, "match_type: strict, log_severity_texts: [WARN]", record, false);
    match(GW_LOGS, "match_type: strict, log_severity_number: {min: 9}", record, true);
    match(GW_LOGS, "match_type: strict, log_severity_number: {min: 10}", record, false);
    match(GW_LOGS, "match_type: strict, log_severity_number: {min: 9}", bare, false);
    match(GW_LOGS, "match_type: strict, log_severity_number: {min: 9, match_undefined: true}", bare, true);
    match(GW_LOGS, "match_type: strict, libraries: [{name: lib}], resources: [{key: zone}]", record, true);
    match(GW_METRICS, "match_type: strict, metric_names: [m]", point, true);
    match(GW_METRICS, "match_type: regexp, metric_names: [n, o]", point, false);
    match(GW_METRICS, "match_type: strict, resources: [{key: zone, value: 7}]", point, true);
    match(GW_METRICS, "match_type: strict, resources: [{key: zone, value: 8}]", point, false);
}

/*
 * Scenario: RE2 and PCRE2 mean different things by some texts
 * Guarantees: RE2's meaning holds: $ is the very end, \s has no vertical tab, {,2} is text
 */
static void patterns_mean_what_re2_means(void **state)
{
    (void)state;
    match(GW_TRACES, "match_type: regexp, span_names: ['x$']", gw_proc_span("\"name\":\"x\\n\"", ""), false);
    match(GW_TRACES, "match_type: regexp, span_names: ['^\\s$']", gw_proc_span("\"name\":\"\\u000b\"", ""), false);
    match(GW_TRACES, "match_type: regexp, span_names: ['^[\\s]$']", gw_proc_span("\"name\":\"\\u000b\"", ""), false);
    match(GW_TRACES, "match_type: regexp, span_names: ['^\\v$']", gw_proc_span("\"name\":\"\\n\"", ""), false);
    match(GW_TRACES, "match_type: regexp, span_names: ['^a{,2}$']", gw_proc_span("\"name\":\"a{,2}\"", ""), true);
    match(GW_TRACES, "match_type: regexp, span_names: ['^\\101\\x{e9}[[:alpha:]-]\\Qa.b\\E\\.(?i)C$']",
          gw_proc_span("\"name\":\"A\xc3\xa9-a.b.c\"", ""), true);
    match(GW_TRACES, "match_type: regexp, span_names: ['^[]a]$']", gw_proc_span("\"name\":\"]\"", ""), true);
    match(GW_TRACES, "match_type: regexp, span_names: ['^[[.]$']", gw_proc_span("\"name\":\"[\"", ""), true);
    match(GW_TRACES, "match_type: regexp, span_names: ['^\\d\\w\\b']", gw_proc_span("\"name\":\"\xc2\xb2x\"", ""),
          false);
}

/*
 * Scenario: patterns that RE2 does not take, some of which PCRE2 would
 * Guarantees: each is refused at its place
 */
static void what_re2_does_not_have_is_refused(void **state)
{
    static const char *const patterns[] = {
        "(?=a)", "(?<=a)b", "(a)\\1", "a++", "a**", "(?>a)",  "(?R)",    "(*ACCEPT)",
        "\\K",   "\\Z",     "[a",     "(a",  "a)",  "\\pX1{", "a{1001}", "(?P<n>a)(?P<n>b)",
        "\\8",   "(?x)a"};

    (void)state;
    for (unsigned i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        char yaml[256];

        (void)snprintf(yaml, sizeof(yaml), "actions:\n- {pattern: '%s', action: delete}", patterns[i]);
        gw_proc_refuses("attributes", yaml,
                        "test.yaml:2:3: error: error with key \"\" (0-th action): error creating "
                        "AttrProc. Field \"pattern\" has invalid pattern");
    }
}

/*
 * Scenario: a pattern that backtracks for ever meets a text made for it
 * Guarantees: given up at the limit, said in the log, the row leaves unharmed
 */
static void an_evil_pattern_is_given_up(void **state)
{
    char name[4100] = "\"name\":\"";

    (void)state;
    memset(name + 8, 'a', 4000);
    strcpy(name + 4008, "!\"");
    gw_proc_open(&r, "attributes", GW_TRACES,
                 "actions: [{key: hit, value: 1, action: insert}]\n"
                 "include: {match_type: regexp, span_names: ['^(a|aa)+$']}");
    gw_proc_send(&r, gw_proc_span(name, ""));
    assert_false(gw_proc_has(&r, "\"hit\""));
    assert_int_equal(r.n_out, 1);
    assert_true(gw_test_env_logged(&r.te, "1 texts were too much work for a pattern"));
    gw_proc_close(&r);
}

/*
 * Scenario: actions and matches with mistakes
 * Guarantees: each is told with the Collector's words, at its place
 */
static void mistakes_are_told_at_their_place(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "missing required field \"actions\""},
        {"actions:\n- {action: insert, value: 1}",
         "test.yaml:2:3: error: error creating AttrProc due to missing required "
         "field \"key\" at the 0-th action"},
        {"actions:\n- {key: a, value: 1, action: insert}\n- {action: delete}", "test.yaml:3:3"},
        {"actions: [{key: a, action: upset, value: 1}]",
         "due to unsupported action \"upset\", did you mean \"upsert\"?"},
        {"actions: [{key: a, action: insert}]", "Either field \"value\", \"from_attribute\", \"from_context\", or"},
        {"actions: [{key: a, action: insert, value: 1, from_attribute: b}]", "due to multiple value sources being set"},
        {"actions: [{key: a, action: insert, value: 1, pattern: b}]", "does not use the \"pattern\" field"},
        {"actions: [{key: a, action: insert, value: 1, converted_type: int}]",
         "does not use the \"converted_type\" field"},
        {"actions: [{key: a, action: hash, value: 1}]", "does not use \"value\" or \"from_attribute\" field"},
        {"actions: [{key: a, action: extract}]", "missing required field \"pattern\" for action \"extract\""},
        {"actions: [{key: a, action: extract, pattern: a}]", "contains no named matcher groups"},
        {"actions: [{key: a, action: extract, pattern: '(?P<x>a)(b)'}]", "contains at least one unnamed matcher group"},
        {"actions: [{key: a, action: extract, pattern: a, value: 1}]", "does not use a value source field"},
        {"actions: [{key: a, action: convert}]", "missing required field \"converted_type\""},
        {"actions: [{key: a, action: convert, converted_type: bool}]",
         "invalid value \"bool\" in field \"converted_type\""},
        {"actions: [{key: a, action: convert, converted_type: int, value: 1}]", "does not use value sources"},
        {"actions: [{key: a, action: delete}]\ninclude: {services: [a]}", "unrecognized match_type: ''"},
        {"actions: [{key: a, action: delete}]\ninclude:\n  {match_type: regexp, services: ['(']}",
         "test.yaml:3:3: error: "},
        {"actions: [{key: a, action: delete}]\ninclude: {match_type: strict, attributes: [{value: 1}]}",
         "can't have empty key"},
        {"actions: [{key: a, action: delete}]\nexclude: {match_type: regexp, attributes: [{key: a, value: 1}]}",
         "match_type=regexp for \"a\" only supports Str, but found Int"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        gw_proc_refuses("attributes", cases[i][0], cases[i][1]);
#define ACT "actions: [{key: a, action: delete}]\ninclude: {match_type: strict, "
    gw_proc_refuses_signal("attributes", GW_LOGS, ACT "services: [a]}", "are not valid for log records");
    gw_proc_refuses_signal("attributes", GW_LOGS, ACT "}",
                           "at least one of \"attributes\", \"libraries\", \"span_kinds\"");
    gw_proc_refuses_signal("attributes", GW_TRACES, ACT "log_bodies: [a]}",
                           "log_bodies should not be specified for trace");
    gw_proc_refuses_signal("attributes", GW_TRACES, ACT "}", "at least one of \"attributes\", \"libraries\",  or");
    gw_proc_refuses_signal("attributes", GW_TRACES, ACT "span_kinds: [SERVER]}", "one of the standard span kinds");
    gw_proc_refuses_signal("attributes", GW_METRICS, ACT "services: [a]}", "are not valid for metrics");
    gw_proc_refuses_signal("attributes", GW_METRICS, ACT "}", "at least one of \"metric_names\" or \"resources\"");
}

/*
 * Scenario: log records and data points
 * Guarantees: their attributes are changed, the resource's are not
 */
static void records_and_points_are_changed(void **state)
{
    (void)state;
    gw_proc_open(&r, "attributes", GW_LOGS, "actions: [{key: zone, value: x, action: upsert}]");
    gw_proc_send(&r, gw_proc_log("", S("a", "1")));
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("a", "1") "," S("zone", "x") "]"));
    assert_true(gw_proc_has(&r, I("zone", "7")));
    gw_proc_close(&r);
    gw_proc_open(&r, "attributes", GW_METRICS, "actions: [{key: zone, value: x, action: upsert}]");
    gw_proc_send(&r, gw_proc_point("", S("a", "1")));
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("a", "1") "," S("zone", "x") "]"));
    gw_proc_close(&r);
}

/* Where two answers part, with what stands around it. */
static void same_answer(const char *config, const char *ours, const char *theirs)
{
    size_t i = 0;

    while (ours[i] && ours[i] == theirs[i])
        i++;
    if (ours[i] != theirs[i])
        fail_msg("%s\nCollector: …%.300s\n     ours: …%.300s", config, theirs + (i > 100 ? i - 100 : 0),
                 ours + (i > 100 ? i - 100 : 0));
}

/*
 * Scenario: Spans with odd texts, numbers, lists and maps, through 16 configurations of attributes and resource
 * Guarantees: byte for byte what the Collector's file exporter wrote (golden/attributes.py)
 */
static void answers_are_the_collectors(void **state)
{
    FILE *f = fopen(GW_SOURCE_DIR "/tests/processors/golden/attributes.txt", "r");
    char *line = NULL, *answer = NULL, *request = NULL;
    size_t cap = 0, answer_cap = 0;
    unsigned n = 0;

    (void)state;
    assert_non_null(f);
    assert_true(getline(&request, &cap, f) > 0);
    request[strcspn(request, "\n")] = '\0';
    cap = 0;
    while (getline(&line, &cap, f) > 0 && getline(&answer, &answer_cap, f) > 0) {
        char *config = strchr(line, '\t');

        *config++ = '\0';
        answer[strcspn(answer, "\n")] = '\0';
        gw_proc_open(&r, line, GW_TRACES, config);
        gw_proc_send(&r, request + strlen("request\t"));
        same_answer(config, r.out, answer);
        gw_proc_close(&r);
        n++;
    }
    assert_int_equal(n, 16);
    free(line);
    free(answer);
    free(request);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(insert_update_and_upsert_differ),       cmocka_unit_test(values_come_from_other_attributes),
        cmocka_unit_test(values_come_from_the_requests_context), cmocka_unit_test(rows_are_told_apart_from_actions),
        cmocka_unit_test(delete_takes_keys_and_patterns),        cmocka_unit_test(hash_is_sha256_in_hexadecimal),
        cmocka_unit_test(extract_sets_the_named_groups),         cmocka_unit_test(convert_follows_gos_rules),
        cmocka_unit_test(spans_are_chosen_by_every_list),        cmocka_unit_test(records_and_metrics_are_chosen_too),
        cmocka_unit_test(patterns_mean_what_re2_means),          cmocka_unit_test(what_re2_does_not_have_is_refused),
        cmocka_unit_test(an_evil_pattern_is_given_up),           cmocka_unit_test(mistakes_are_told_at_their_place),
        cmocka_unit_test(records_and_points_are_changed),        cmocka_unit_test(answers_are_the_collectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
