/* SPDX-License-Identifier: Apache-2.0 */
/* validate: every rule with every action that it has. The clock stands at 2026-01-02T03:04:05.678Z. */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

static struct gw_proc_rig r;

#define S(k, v) "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define NOW     "1767323045000000000" /* within a second of the rig's wall clock */

static void open_with(enum gw_signal signal, const char *yaml)
{
    gw_proc_open(&r, "validate", signal, yaml);
}

/* The last row was rejected by the rule, with a message that holds the text. */
static void rejected(const char *rule, const char *field, const char *text)
{
    assert_int_equal(r.n_rejects, 1);
    assert_int_equal(r.settled[GW_REJECTED], 1);
    assert_int_equal(r.n_out, 0);
    assert_string_equal(r.rejects[0].rule, rule);
    assert_string_equal(r.rejects[0].field, field);
    if (!strstr(r.rejects[0].message, text))
        fail_msg("said \"%s\", not \"%s\"", r.rejects[0].message, text);
    assert_string_equal(r.ticket.message, r.rejects[0].message);
    assert_int_equal(r.ticket.rejected, 1);
}

static void passed(void)
{
    if (r.n_rejects)
        fail_msg("rejected: %s", r.rejects[0].message);
    assert_int_equal(r.n_out, 1);
    assert_false(r.failed);
}

static double violations(const char *rule, const char *action)
{
    char series[256];

    (void)snprintf(series, sizeof(series),
                   "staunch_processor_validate_violations{action=\"%s\",processor=\"validate\",rule=\"%s\"}", action,
                   rule);
    if (gw_proc_metric(&r, series) == 0)
        (void)snprintf(series, sizeof(series),
                       "staunch_processor_validate_violations{processor=\"validate\",rule=\"%s\",action=\"%s\"}", rule,
                       action);
    return gw_proc_metric(&r, series);
}

static const char *span_with(const char *ids)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{%s,\"name\":\"a\",\"startTimeUnixNano\":\"" NOW
                   "\",\"endTimeUnixNano\":\"" NOW "\"}]}]}]}",
                   ids);
    return text;
}
#define TRACE "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\""
#define SPAN  "\"spanId\":\"0102030405060708\""

/* A span on the wire with ids of any length, which JSON would not let through: trace, span and parent id in
 * hexadecimal. */
static void send_ids(unsigned trace, unsigned span, unsigned parent)
{
    uint8_t wire[128] = {0x0a, 0, 0x12, 0, 0x12, 0}, *p = wire + 6;
    static const uint8_t fields[] = {0x0a, 0x12, 0x22};
    unsigned lengths[] = {trace, span, parent};
    uint64_t now = strtoull(NOW, NULL, 10);

    for (unsigned i = 0; i < 3; i++) {
        *p++ = fields[i];
        *p++ = (uint8_t)lengths[i];
        memset(p, 7, lengths[i]);
        p += lengths[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        *p++ = i ? 0x41 : 0x39;
        memcpy(p, &now, 8);
        p += 8;
    }
    wire[5] = (uint8_t)(p - wire - 6);
    wire[3] = (uint8_t)(p - wire - 4);
    wire[1] = (uint8_t)(p - wire - 2);
    gw_proc_send_wire(&r, gw_slice_of(wire, (size_t)(p - wire)));
}

/*
 * Scenario: trace and span ids that are absent, all zeros, or of a wrong length; whole ones
 * Guarantees: rejected with rule and message, told to the client, counted; report lets the span pass and counts
 */
static void ids_have_the_right_length_and_are_not_zero(void **state)
{
    (void)state;
    open_with(GW_TRACES, "{}");
    gw_proc_send(&r, span_with(TRACE "," SPAN));
    passed();
    gw_proc_send(&r, span_with(SPAN));
    rejected("trace_id", "trace_id", "trace_id must be 16 bytes, not all zeros");
    gw_proc_send(&r, span_with("\"traceId\":\"00000000000000000000000000000000\"," SPAN));
    rejected("trace_id", "trace_id", "trace_id must be 16 bytes, not all zeros");
    gw_proc_send(&r, span_with(TRACE));
    rejected("span_id", "span_id", "span_id must be 8 bytes, not all zeros");
    send_ids(16, 8, 8);
    passed();
    send_ids(15, 8, 8);
    rejected("trace_id", "trace_id", "trace_id must be 16 bytes");
    send_ids(16, 9, 8);
    rejected("span_id", "span_id", "span_id must be 8 bytes");
    assert_true(violations("trace_id", "reject") == 3);
    assert_true(violations("span_id", "reject") == 2);
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {trace_id: report, span_id: off}");
    gw_proc_send(&r, span_with("\"name\":\"x\""));
    passed();
    assert_true(violations("trace_id", "report") == 1);
    assert_true(violations("span_id", "report") == 0);
    gw_proc_close(&r);
}

/*
 * Scenario: a parent id of 3 bytes
 * Guarantees: repair removes it, reject rejects
 */
static void a_wrong_parent_is_removed(void **state)
{
    (void)state;
    open_with(GW_TRACES, "{}");
    send_ids(16, 8, 3);
    passed();
    assert_false(gw_proc_has(&r, "parentSpanId\":\"07"));
    assert_true(gw_proc_has(&r, "\"spanId\":\"0707070707070707\""));
    assert_true(violations("parent_id", "repair") == 1);
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {parent_id: reject}");
    send_ids(16, 8, 3);
    rejected("parent_id", "parent_span_id", "must be 8 bytes or absent");
    gw_proc_close(&r);
}

/*
 * Scenario: log records without ids and with an all-zero one; a link with a short id
 * Guarantees: no id is fine, zeros are not; the link is reported, or rejects its span
 */
static void records_may_have_no_ids(void **state)
{
    static const uint8_t link[] = {0x0a, 0x36, 0x12, 0x34, 0x12, 0x32, 0x0a, 16, 1, 1,    1,    1, 1, 1, 1,
                                   1,    1,    1,    1,    1,    1,    1,    1,  1, 0x12, 8,    1, 1, 1, 1,
                                   1,    1,    1,    1,    0x6a, 4,    0x0a, 2,  7, 7,    0x39, 0, 0, 0, 0,
                                   0,    0,    0,    1,    0x41, 0,    0,    0,  0, 0,    0,    0, 1};
    uint8_t wire[sizeof(link)];

    (void)state;
    open_with(GW_LOGS, "{}");
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\"", ""));
    passed();
    gw_proc_send(&r, gw_proc_log("\"observedTimeUnixNano\":\"" NOW "\"", ""));
    passed();
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\",\"traceId\":\"00000000000000000000000000000000\"", ""));
    rejected("trace_id", "trace_id", "not all zeros");
    gw_proc_close(&r);
    memcpy(wire, link, sizeof(link));
    wire[1] = sizeof(link) - 2;
    wire[3] = sizeof(link) - 4;
    wire[5] = sizeof(link) - 6;
    open_with(GW_TRACES, "{}");
    gw_proc_send_wire(&r, gw_slice_of(wire, sizeof(wire)));
    passed();
    assert_true(violations("child_id", "report") == 1);
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {child_id: reject}");
    gw_proc_send_wire(&r, gw_slice_of(wire, sizeof(wire)));
    rejected("child_id", "links", "links have ids of a wrong length");
    gw_proc_close(&r);
}

/*
 * Scenario: times that are missing, too old, too far ahead, in each signal
 * Guarantees: rejected, or clamped to the bound
 */
static void times_lie_in_the_range(void **state)
{
    const char *old = gw_proc_log("\"timeUnixNano\":\"1000000000\"", "");
    const char *ahead = gw_proc_log("\"timeUnixNano\":\"1867323045000000000\"", "");

    (void)state;
    open_with(GW_LOGS, "{max_age: 1h, max_future: 10m}");
    gw_proc_send(&r, gw_proc_log("", ""));
    rejected("time_range", "time_unix_nano", "time_unix_nano 0 is not set");
    gw_proc_send(&r, old);
    rejected("time_range", "time_unix_nano", "time_unix_nano 1000000000 is older than max_age");
    gw_proc_send(&r, ahead);
    rejected("time_range", "time_unix_nano", "is farther in the future than max_future");
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\"", ""));
    passed();
    gw_proc_close(&r);
    open_with(GW_LOGS, "{}");
    gw_proc_send(&r, old);
    passed();
    gw_proc_send(&r, ahead);
    passed();
    gw_proc_close(&r);
    open_with(GW_LOGS, "{rules: {time_range: repair}, max_age: 1h, max_future: 10m}");
    gw_proc_send(&r, old);
    passed();
    assert_true(gw_proc_has(&r, "\"timeUnixNano\":\"1767319445678000000\""));
    gw_proc_send(&r, ahead);
    assert_true(gw_proc_has(&r, "\"timeUnixNano\":\"1767323645678000000\""));
    gw_proc_send(&r, gw_proc_log("", ""));
    assert_true(gw_proc_has(&r, "\"timeUnixNano\":\"1767323045678000000\""));
    gw_proc_close(&r);
    open_with(GW_TRACES, "{rules: {time_range: repair}, max_future: 1h}");
    gw_proc_send(&r, gw_proc_span("\"endTimeUnixNano\":\"1867323045000000000\"", ""));
    assert_true(gw_proc_has(&r, "\"endTimeUnixNano\":\"1767326645678000000\""));
    gw_proc_close(&r);
    open_with(GW_METRICS, "{rules: {time_range: repair}, max_age: 1h}");
    gw_proc_send(&r, gw_proc_point("\"timeUnixNano\":\"5\"", ""));
    assert_true(gw_proc_has(&r, "\"timeUnixNano\":\"1767319445678000000\""));
    gw_proc_close(&r);
}

/*
 * Scenario: a span that ends before it starts, a point that starts after its time
 * Guarantees: reported, repaired to one instant, or rejected
 */
static void ends_do_not_come_before_starts(void **state)
{
    const char *span = gw_proc_span("\"endTimeUnixNano\":\"1767323044999999990\"", "");
    const char *point = gw_proc_point("\"startTimeUnixNano\":\"1767323045000000007\"", "");

    (void)state;
    open_with(GW_TRACES, "{}");
    gw_proc_send(&r, span);
    passed();
    assert_true(violations("time_order", "report") == 1);
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {time_order: repair}");
    gw_proc_send(&r, span);
    assert_true(gw_proc_has(&r, "\"endTimeUnixNano\":\"1767323045000000000\""));
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {time_order: reject}");
    gw_proc_send(&r, span);
    rejected("time_order", "end_time_unix_nano", "the span ends 10 ns before it starts");
    gw_proc_close(&r);
    open_with(GW_METRICS, "rules: {time_order: repair}");
    gw_proc_send(&r, point);
    assert_true(gw_proc_has(&r, "\"startTimeUnixNano\":\"1767323045000000000\""));
    gw_proc_close(&r);
    open_with(GW_METRICS, "rules: {time_order: reject}");
    gw_proc_send(&r, point);
    rejected("time_order", "start_time_unix_nano", "the point starts 7 ns behind its time");
    gw_proc_close(&r);
}

/*
 * Scenario: more attributes than allowed, on a span, a record, a point and a resource
 * Guarantees: rejected; or the last ones dropped, counted where the message has a field for it
 */
static void attributes_are_counted(void **state)
{
    const char *three = S("a", "1") "," S("bb", "2") "," S("ccc", "3");

    (void)state;
    open_with(GW_TRACES, "max_attributes: 2");
    gw_proc_send(&r, gw_proc_span("", three));
    rejected("attribute_count", "attributes", "3 attributes, more than 2");
    gw_proc_close(&r);
    open_with(GW_TRACES, "{rules: {attribute_count: repair}, max_attributes: 2}");
    gw_proc_send(&r, gw_proc_span("\"droppedAttributesCount\":4", three));
    passed();
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("a", "1") "," S("bb", "2") "]"));
    assert_true(gw_proc_has(&r, "\"droppedAttributesCount\":5"));
    gw_proc_close(&r);
    open_with(GW_LOGS, "{rules: {attribute_count: repair}, max_attributes: 2}");
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\"", three));
    assert_true(gw_proc_has(&r, "\"droppedAttributesCount\":1"));
    gw_proc_close(&r);
    open_with(GW_METRICS, "{rules: {attribute_count: repair}, max_attributes: 2}");
    gw_proc_send(&r, gw_proc_point("", three));
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("a", "1") "," S("bb", "2") "]"));
    gw_proc_close(&r);
    open_with(GW_LOGS, "max_attributes: 1");
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\"", ""));
    rejected("attribute_count", "attributes", "2 attributes, more than 1");
    gw_proc_close(&r);
}

/*
 * Scenario: keys and texts that are too long
 * Guarantees: a text is cut between two characters, a key is dropped; reject names the attribute
 */
static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    open_with(GW_TRACES, "{max_attribute_value_bytes: 4, max_attribute_key_bytes: 20}");
    gw_proc_send(&r, gw_proc_span("", S("a", "abc\xc3\xa9z") "," S("a_key_that_is_too_long", "x") "," S("bb", "1234")));
    passed();
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("a", "abc") "," S("bb", "1234") "]"));
    assert_true(violations("attribute_length", "repair") == 2);
    gw_proc_close(&r);
    open_with(GW_TRACES, "{rules: {attribute_length: reject}, max_attribute_value_bytes: 4}");
    gw_proc_send(&r, gw_proc_span("", S("a", "12345")));
    rejected("attribute_length", "attributes[\"a\"]", "attribute \"a\" has 5 bytes, more than 4");
    assert_string_equal(r.rejects[0].value, "12345");
    gw_proc_close(&r);
}

/*
 * Scenario: an empty key, and one that stands three times
 * Guarantees: the empty one goes, the first of the others stays
 */
static void keys_stand_once(void **state)
{
    const char *twice = S("a", "1") "," S("", "x") "," S("b", "2") "," S("a", "3") "," S("a", "4");

    (void)state;
    open_with(GW_TRACES, "{}");
    gw_proc_send(&r, gw_proc_span("", twice));
    passed();
    assert_true(gw_proc_has(&r, "\"attributes\":[" S("b", "2") "," S("a", "1") "]"));
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {attribute_key: reject}");
    gw_proc_send(&r, gw_proc_span("", S("a", "1") "," S("a", "3")));
    rejected("attribute_key", "attributes[\"a\"]", "attribute \"a\" stands more than once");
    gw_proc_send(&r, gw_proc_span("", S("", "1")));
    rejected("attribute_key", "attributes[\"\"]", "has an empty key");
    gw_proc_send(&r, gw_proc_span("", S("ab", "1") "," S("ba", "3")));
    passed();
    gw_proc_close(&r);
}

/*
 * Scenario: control characters in an attribute, a name, a body; tab and line ends
 * Guarantees: replaced by U+FFFD, or rejected; the others are no fault
 */
static void control_characters_are_replaced(void **state)
{
    (void)state;
    open_with(GW_TRACES, "rules: {text: repair}");
    gw_proc_send(&r, gw_proc_span("\"name\":\"x\\u0001y\"", S("a", "1\\u0000\\t\\r\\n2")));
    passed();
    assert_true(gw_proc_has(&r, "\"name\":\"x\xef\xbf\xbdy\""));
    assert_true(gw_proc_has(&r, S("a", "1\xef\xbf\xbd\\t\\r\\n2")));
    gw_proc_close(&r);
    open_with(GW_LOGS, "rules: {text: repair}");
    gw_proc_send(&r, gw_proc_log("\"timeUnixNano\":\"" NOW "\",\"body\":{\"stringValue\":\"a\\u001bb\"}", ""));
    assert_true(gw_proc_has(&r, "\"body\":{\"stringValue\":\"a\xef\xbf\xbd"
                                "b\"}"));
    gw_proc_close(&r);
    open_with(GW_TRACES, "rules: {text: reject}");
    gw_proc_send(&r, gw_proc_span("", S("a", "\\u0007")));
    rejected("text", "attributes[\"a\"]", "attribute \"a\" has control characters");
    gw_proc_close(&r);
}

/*
 * Scenario: a required resource attribute is missing, or there
 * Guarantees: all rows of the resource are rejected, or it is reported
 */
static void required_attributes_are_there(void **state)
{
    (void)state;
    open_with(GW_TRACES, "required_resource_attributes: [service.name, zone]");
    gw_proc_send(&r, gw_proc_span("", ""));
    passed();
    gw_proc_close(&r);
    open_with(GW_TRACES, "required_resource_attributes: [service.name, deployment.environment]");
    gw_proc_send(&r, gw_proc_span("", ""));
    rejected("required_resource", "resource.attributes[\"deployment.environment\"]",
             "resource attribute \"deployment.environment\" is required");
    gw_proc_close(&r);
    open_with(GW_TRACES, "{rules: {required_resource: report}, required_resource_attributes: [x]}");
    gw_proc_send(&r, gw_proc_span("", ""));
    passed();
    assert_true(violations("required_resource", "report") == 1);
    gw_proc_close(&r);
}

static const char *metric(const char *head, const char *kind, const char *point)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{%s,\"%s\":{\"aggregationTemporality\":2,"
                   "\"dataPoints\":[{\"timeUnixNano\":\"" NOW "\",%s}]}}]}]}]}",
                   head, kind, point);
    return text;
}

/*
 * Scenario: histograms whose counts, bounds, sums, limits or quantiles do not fit, and whole ones
 * Guarantees: each fault is named
 */
static void histograms_are_consistent(void **state)
{
    static const struct {
        const char *kind, *point, *fault;
    } cases[] = {
        {"histogram", "\"count\":\"6\",\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[1,2]", NULL},
        {"histogram", "\"count\":\"6\",\"sum\":3", NULL},
        {"histogram", "\"count\":\"6\",\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[1,2,3]",
         "it must have one bucket count more than bounds"},
        {"histogram", "\"count\":\"6\",\"explicitBounds\":[1,2,3]", "it has bounds and no bucket counts"},
        {"histogram", "\"count\":\"7\",\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[1,2]",
         "its bucket counts do not add up to its count"},
        {"histogram", "\"count\":\"6\",\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[2,2]",
         "its bounds must ascend"},
        {"histogram", "\"count\":\"3\",\"bucketCounts\":[\"1\",\"2\"],\"explicitBounds\":[\"NaN\"]",
         "its bounds must ascend"},
        {"histogram", "\"count\":\"0\",\"bucketCounts\":[\"18446744073709551615\",\"1\"],\"explicitBounds\":[1]",
         "its bucket counts overflow"},
        {"histogram", "\"count\":\"1\",\"min\":2,\"max\":1", "its min is above its max"},
        {"histogram", "\"count\":\"5\",\"bucketCounts\":[\"1\",\"1\",\"1\",\"1\",\"1\"],\"explicitBounds\":[1,2,3,4]",
         "it has more buckets than max_buckets"},
        {"exponentialHistogram",
         "\"count\":\"7\",\"scale\":3,\"zeroCount\":\"1\",\"positive\":{\"bucketCounts\":[\"1\",\"2\"]},\"negative\":{"
         "\"bucketCounts\":[\"3\"]}",
         NULL},
        {"exponentialHistogram",
         "\"count\":\"7\",\"scale\":3,\"zeroCount\":\"1\",\"positive\":{\"bucketCounts\":[\"1\",\"2\"]}",
         "its bucket counts and zero_count do not add up to its count"},
        {"exponentialHistogram", "\"count\":\"0\",\"scale\":21", "its scale must be between -10 and 20"},
        {"exponentialHistogram", "\"count\":\"0\",\"zeroThreshold\":-1", "its zero_threshold is below zero"},
        {"exponentialHistogram", "\"count\":\"0\",\"min\":2,\"max\":1", "its min is above its max"},
        {"summary", "\"count\":\"1\",\"quantileValues\":[{\"quantile\":0.5,\"value\":1},{\"quantile\":1,\"value\":1}]",
         NULL},
        {"summary", "\"count\":\"1\",\"quantileValues\":[{\"quantile\":1.5,\"value\":1}]",
         "its quantiles must lie between 0 and 1"},
    };

    (void)state;
    open_with(GW_METRICS, "max_buckets: 4");
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gw_proc_send(&r, metric("\"name\":\"m\"", cases[i].kind, cases[i].point));
        if (!cases[i].fault)
            passed();
        else
            rejected("histogram", "buckets", cases[i].fault);
    }
    gw_proc_close(&r);
}

/*
 * Scenario: names and units that break the syntax, a sum without temporality
 * Guarantees: reported by default; repaired; rejected with all their points
 */
static void metrics_have_names_and_units(void **state)
{
    static const char name[] = "\"name\":\"9 lives\xc3\xa9\",\"unit\":\"a unit\"";

    (void)state;
    open_with(GW_METRICS, "{}");
    gw_proc_send(&r, metric(name, "gauge", "\"asInt\":\"1\""));
    passed();
    assert_true(violations("metric_name", "report") == 1);
    assert_true(violations("metric_unit", "report") == 1);
    gw_proc_send(&r, metric("\"name\":\"http.server/a-b_c\",\"unit\":\"{req}/s\"", "gauge", "\"asInt\":\"1\""));
    assert_true(violations("metric_name", "report") == 1);
    assert_true(violations("metric_unit", "report") == 1);
    gw_proc_close(&r);
    open_with(GW_METRICS, "rules: {metric_name: repair, metric_unit: repair}");
    gw_proc_send(&r, metric(name, "gauge", "\"asInt\":\"1\""));
    assert_true(gw_proc_has(&r, "\"name\":\"m9_lives__\""));
    assert_false(gw_proc_has(&r, "a unit"));
    gw_proc_send(&r, metric("\"unit\":\"1\"", "gauge", "\"asInt\":\"1\""));
    assert_true(gw_proc_has(&r, "\"name\":\"m\""));
    gw_proc_close(&r);
    open_with(GW_METRICS, "{rules: {metric_name: reject}, max_metric_name_bytes: 3}");
    gw_proc_send(&r, metric("\"name\":\"abcd\"", "gauge", "\"asInt\":\"1\""));
    rejected("metric_name", "name", "the metric's name is too long");
    gw_proc_send(&r, metric("\"unit\":\"1\"", "gauge", "\"asInt\":\"1\""));
    rejected("metric_name", "name", "the metric's name is empty");
    gw_proc_close(&r);
    open_with(GW_METRICS, "{rules: {metric_unit: reject}, max_metric_unit_bytes: 3}");
    gw_proc_send(&r, metric("\"name\":\"a\",\"unit\":\"abcd\"", "gauge", "\"asInt\":\"1\""));
    rejected("metric_unit", "unit", "at most 3 characters");
    gw_proc_close(&r);
    open_with(GW_METRICS, "rules: {temporality: reject}");
    gw_proc_send(&r, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"sum\":{\"dataPoints\":[{"
                     "\"timeUnixNano\":\"" NOW "\",\"asInt\":\"1\"}]}}]}]}]}");
    rejected("temporality", "aggregation_temporality", "neither delta nor cumulative");
    gw_proc_close(&r);
}

/*
 * Scenario: three spans, the second without a trace id
 * Guarantees: the others leave as they came; the ticket says one of three
 */
static void the_others_leave_as_they_came(void **state)
{
    (void)state;
    open_with(GW_TRACES, "{}");
    gw_proc_send(&r, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" TRACE "," SPAN
                     ",\"name\":\"a\",\"startTimeUnixNano\":\"" NOW "\",\"endTimeUnixNano\":\"" NOW "\"},{" SPAN
                     ",\"name\":\"b\"},{" TRACE "," SPAN ",\"name\":\"c\",\"startTimeUnixNano\":\"" NOW
                     "\",\"endTimeUnixNano\":\"" NOW "\"}]}]}]}");
    assert_int_equal(r.n_out, 2);
    assert_int_equal(r.n_rejects, 1);
    assert_int_equal(r.rejects[0].row, 1);
    assert_int_equal(r.ticket.rejected, 1);
    assert_int_equal(r.settled[GW_DELIVERED], 2);
    assert_true(gw_proc_has(&r, "\"name\":\"a\"") && gw_proc_has(&r, "\"name\":\"c\"") &&
                !gw_proc_has(&r, "\"name\":\"b\""));
    gw_proc_close(&r);
}

/*
 * Scenario: repair for rules that cannot, an unknown action, an unknown rule
 * Guarantees: refused at the rule's place, with the reason
 */
static void what_cannot_be_repaired_is_refused(void **state)
{
    (void)state;
    gw_proc_refuses(
        "validate", "rules:\n  trace_id: repair",
        "test.yaml:2:13: error: rule trace_id cannot repair: an invented trace id would join strangers. Use "
        "reject or report");
    gw_proc_refuses("validate", "rules: {histogram: repair}", "rule histogram cannot repair");
    gw_proc_refuses("validate", "rules: {required_resource: repair}", "insert it with the resource processor");
    gw_proc_refuses("validate", "rules: {span_id: repair, child_id: repair, temporality: repair}", "rule temporality");
    gw_proc_refuses("validate", "rules: {time_range: rejct}", "reject");
    gw_proc_refuses("validate", "rules: {traceid: reject}", "trace_id");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_have_the_right_length_and_are_not_zero),
        cmocka_unit_test(a_wrong_parent_is_removed),
        cmocka_unit_test(records_may_have_no_ids),
        cmocka_unit_test(times_lie_in_the_range),
        cmocka_unit_test(ends_do_not_come_before_starts),
        cmocka_unit_test(attributes_are_counted),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(keys_stand_once),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(required_attributes_are_there),
        cmocka_unit_test(histograms_are_consistent),
        cmocka_unit_test(metrics_have_names_and_units),
        cmocka_unit_test(the_others_leave_as_they_came),
        cmocka_unit_test(what_cannot_be_repaired_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
