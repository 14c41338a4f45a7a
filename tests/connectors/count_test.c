/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/connectors/points.h"

#define LOGS(resource, records)                                                                                        \
    "{\"resourceLogs\":[{\"resource\":{\"attributes\":[" resource "]},\"scopeLogs\":[{\"scope\":{\"name\":\"lib\","    \
    "\"attributes\":[" STR("from", "scope") "]},\"logRecords\":[" records "]}]}]}"
#define GAUGE(name, points) "{\"name\":\"" name "\",\"gauge\":{\"dataPoints\":[" points "]}}"
#define METRICS_OF(metrics)                                                                                            \
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" SERVICE "]},\"scopeMetrics\":[{\"metrics\":[" metrics      \
    "]}]}]}"

static void open_count(struct gw_joint_rig *r, enum gw_signal signal, const char *yaml)
{
    gw_joint_open(r, "count", signal, yaml, 1);
}

/* What the last request brought alone. */
static void send(struct gw_joint_rig *r, const char *json)
{
    gw_joint_forget(r);
    gw_joint_send(r, 0, json);
}

/*
 * Scenario    no settings; spans with events, of two resources; log records; metrics, one without points
 * Guarantees  the Collector's default metrics, one resource for each that came, delta sums, from the earliest to the
 *             latest time of the items, or now; every row is absorbed
 */
static void without_settings_everything_is_counted(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_count(&r, GW_TRACES, "{}");
    send(&r,
         "{\"resourceSpans\":["
         "{\"resource\":{\"attributes\":[" SERVICE "]},\"scopeSpans\":[{\"spans\":["
         "{\"startTimeUnixNano\":\"20\",\"endTimeUnixNano\":\"50\",\"events\":[{\"name\":\"a\",\"timeUnixNano\":\"7\"},"
         "{\"name\":\"b\",\"timeUnixNano\":\"9\"}]},{\"startTimeUnixNano\":\"10\",\"endTimeUnixNano\":\"30\"}]},"
         "{\"spans\":[{\"name\":\"x\"}]}]},"
         "{\"resource\":{\"attributes\":[" SERVICE
         "," STR("zone", "eu") "]},\"scopeSpans\":[{\"spans\":[{\"name\":\"y\"}]}]}]}");
    assert_int_equal(r.settled[GW_ABSORBED], 4);
    assert_int_equal(r.n_bodies, 1);
    assert_int_equal(r.n_rows, 3);
    read_all(&r);
    assert_int_equal(requests[0]->n_resource_metrics, 2);
    assert_int_equal(requests[0]->resource_metrics[0]->scope_metrics[0]->metrics[0]->sum->data_points[0]->as_int, 3);
    assert_true(gw_joint_has(&r, "connector/countconnector\""));
    assert_true(gw_joint_has(&r, "\"isMonotonic\":true"));
    assert_true(gw_joint_has(&r, "The number of span events observed."));
    p = FIND(&r, "trace.span.event.count");
    assert_int_equal(p.number, 2);
    assert_true(p.start == 7 && p.time == 9);
    assert_int_equal(p.temporality, 1);
    p = FIND(&r, "trace.span.count");
    assert_int_equal(p.times, 2);
    assert_int_equal(p.number, 1); /* of the second resource, without times: now */
    assert_int_equal(p.n_resource_attrs, 2);
    assert_true(p.start == p.time && p.time == gw_wall_ns(&r.te.env));
    assert_true(
        requests[0]->resource_metrics[0]->scope_metrics[0]->metrics[0]->sum->data_points[0]->start_time_unix_nano ==
        10);
    assert_true(requests[0]->resource_metrics[0]->scope_metrics[0]->metrics[0]->sum->data_points[0]->time_unix_nano ==
                50);
    send(&r, SPANS(SERVICE, GET));
    assert_int_equal(FIND(&r, "trace.span.count").number, 1); /* nothing is kept */
    close_rig(&r);

    open_count(&r, GW_LOGS, "{ spans: { other: } }");
    send(&r, LOGS(SERVICE, "{\"timeUnixNano\":\"5\"},{\"timeUnixNano\":\"6\",\"severityNumber\":17}"));
    p = FIND(&r, "log.record.count");
    assert_true(p.number == 2 && p.start == 5 && p.time == 6);
    close_rig(&r);

    open_count(&r, GW_METRICS, "{ datapoints: {} }");
    send(&r,
         METRICS_OF(
             GAUGE("a", "{\"asInt\":\"1\",\"timeUnixNano\":\"3\"},{\"asInt\":\"2\",\"timeUnixNano\":\"4\"}") "," GAUGE(
                 "b", "")));
    assert_int_equal(FIND(&r, "metric.count").number, 2);
    p = FIND(&r, "metric.datapoint.count");
    assert_true(p.number == 2 && p.start == 3 && p.time == 4);
    close_rig(&r);
}

/*
 * Scenario    metrics of a section's own, with conditions
 * Guarantees  any of the conditions is enough; an item that none of them takes is not counted; a metric of which
 * nothing was counted is not there; one whose condition cannot be judged counts as failed
 */
static void conditions_choose(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_count(&r, GW_TRACES,
               "spans:\n"
               "  get: { description: Gets., conditions: [ 'name == \"get\"', 'span.kind == SPAN_KIND_CLIENT' ] }\n"
               "  none: { conditions: [ 'name == \"no\"' ] }\n"
               "  bad: { conditions: [ 'Int(name) > 5 and name > 5', 'Len(attributes[\"x\"]) > 1' ] }\n"
               "spanevents:\n"
               "  e: { conditions: [ 'name == \"e\"' ] }\n");
    send(&r, SPANS(SERVICE,
                   GET "," SPAN("\"name\":\"x\",\"kind\":3,\"events\":[{\"name\":\"e\"},{\"name\":\"f\"}]") "," SPAN(
                       "\"name\":\"x\",\"kind\":2")));
    assert_int_equal(FIND(&r, "get").number, 2);
    assert_true(gw_joint_has(&r, "Gets."));
    assert_false(gw_joint_has(&r, "\"none\""));
    assert_int_equal(FIND(&r, "e").number, 1);
    assert_int_equal(FIND(&r, "trace.span.count").times, 0);
    send(&r, SPANS(SERVICE, SPAN("\"name\":\"x\",\"kind\":2")));
    assert_int_equal(r.n_bodies, 0);
    assert_true(gw_joint_metric(&r, "staunch_count_failed_items{connector=\"count\",signal=\"traces\"}") == 4 ||
                gw_joint_metric(&r, "staunch_count_failed_items_total{connector=\"count\",signal=\"traces\"}") == 4);
    close_rig(&r);
    open_count(&r, GW_METRICS,
               "metrics: { m: { conditions: [ 'name == \"a\"' ] } }\n"
               "datapoints: { d: { conditions: [ 'value_int > 1 and metric.name == \"a\"' ] } }\n");
    send(&r, METRICS_OF(GAUGE("a", "{\"asInt\":\"1\"},{\"asInt\":\"2\"}") "," GAUGE("b", "{\"asInt\":\"3\"}")));
    assert_int_equal(FIND(&r, "m").number, 1);
    assert_int_equal(FIND(&r, "d").number, 1);
    close_rig(&r);
    open_count(&r, GW_LOGS, "logs: { l: { conditions: [ 'severity_number >= 17' ] } }\n");
    send(&r, LOGS(SERVICE, "{\"severityNumber\":9},{\"severityNumber\":17}"));
    assert_int_equal(FIND(&r, "l").number, 1);
    close_rig(&r);
}

/*
 * Scenario    attributes, of the item, its scope, its resource, with defaults of several types, and missing
 * Guarantees  a count for each set of values; the item's goes before the scope's, that before the resource's; what
 *             misses one without a default is not counted; an event has not its span's
 */
static void attributes_tell_counts_apart(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_count(
        &r, GW_LOGS,
        "logs:\n"
        "  by: { attributes: [ { key: from }, { key: zone, default_value: 5 }, { key: b, default_value: true } ] }\n"
        "  must: { attributes: [ { key: user } ] }\n"
        "  text: { attributes: [ { key: zone, default_value: '5' } ] }\n");
    send(&r, LOGS(STR("from", "resource") "," STR("b", "resource"),
                  "{\"attributes\":[" STR("from", "record") "," STR("user", "u") "]},{\"attributes\":[" STR(
                      "zone", "eu") "]},"
                                    "{\"attributes\":[" STR("zone", "eu") "]}"));
    assert_int_equal(FIND(&r, "by").times, 2);
    assert_int_equal(FIND(&r, "by", "from=record", "zone=#5", "b=resource").number, 1);
    assert_int_equal(FIND(&r, "by", "from=scope", "zone=eu").number, 2);
    assert_int_equal(FIND(&r, "must", "user=u").number, 1);
    assert_int_equal(FIND(&r, "must").times, 1);
    assert_int_equal(FIND(&r, "text", "zone=5").number, 1);
    send(&r, LOGS("", "{\"attributes\":[" STR("zone", "eu") "]}"));
    assert_true(gw_joint_has(&r, "{\"key\":\"b\",\"value\":{\"boolValue\":true}}"));
    close_rig(&r);
    open_count(&r, GW_TRACES,
               "spanevents: { e: { attributes: [ { key: who, default_value: none } ] } }\n"
               "spans: { s: { attributes: [ { key: who } ] } }\n");
    send(&r, SPANS(SERVICE, SPAN("\"attributes\":[" STR("who", "span") "],\"events\":[{\"name\":\"a\"},"
                                                                       "{\"name\":\"b\",\"attributes\":[" STR(
                                                                           "who", "event") "]}]")));
    assert_int_equal(FIND(&r, "e", "who=none").number, 1);
    assert_int_equal(FIND(&r, "e", "who=event").number, 1);
    assert_int_equal(FIND(&r, "s", "who=span").number, 1);
    close_rig(&r);
    open_count(&r, GW_METRICS, "datapoints: { d: { attributes: [ { key: k } ] } }\n");
    send(&r, METRICS_OF(GAUGE("a", "{\"asInt\":\"1\",\"attributes\":[" INT("k", "1") "]},{\"asInt\":\"2\"}")));
    assert_int_equal(FIND(&r, "d", "k=#1").number, 1);
    assert_int_equal(FIND(&r, "d").times, 1);
    close_rig(&r);
}

/* Scenario: 6,000 sets of values in one request, twice. Guarantees: each is counted, and nothing is left of it. */
static void many_sets_of_values_are_counted(void **state)
{
    struct gw_joint_rig r;
    struct gw_buf json;

    (void)state;
    open_count(&r, GW_LOGS, "logs: { by: { attributes: [ { key: k } ] } }\n");
    gw_buf_init(&json, 16 << 20);
    gw_buf_put_str(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[");
    for (unsigned i = 0; i < 6000; i++)
        gw_buf_printf(&json, "%s{\"attributes\":[{\"key\":\"k\",\"value\":{\"intValue\":\"%u\"}}]}", i ? "," : "", i);
    gw_buf_put_str(&json, "]}]}]}");
    gw_buf_put_u8(&json, 0);
    for (unsigned i = 0; i < 2; i++) {
        send(&r, (const char *)json.p);
        assert_int_equal(r.n_rows, 6000);
    }
    assert_int_equal(FIND(&r, "by", "k=#5999").number, 1);
    gw_buf_clear(&json);
    close_rig(&r);
}

/* Scenario: settings that make no sense. Guarantees: refused with a sentence, at their place. */
static void mistakes_are_named(void **state)
{
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"spans: { a: { conditions: [ 'nam == 1' ] } }", "spans: metric \"a\": 1:1 of the condition"},
        {"logs: { a: { conditions: [ 'true', 'severity_number >' ] } }", "logs: metric \"a\": 1:"},
        {"metrics: { a: { attributes: [ { key: x } ] } }", "metrics: metric \"a\" cannot have attributes"},
        {"datapoints: { a: { attributes: [ { default_value: x } ] } }", "an attribute has no key"},
        {"spanevents: { a: { attributes: [ { key: x }, { key: x } ] } }", "an attribute stands twice"},
        {"spans: { a: { condition: x } }", "did you mean \"conditions\"?"},
        {"spans: [ a ]", "spans: must be a map of metrics"},
        {"spans: { '': { } }", "a metric has no name"},
        {"profiles: { }", "profiles"},
        {"span: { }", "did you mean \"spans\"?"},
    };
    struct gw_joint_rig r;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        gw_joint_refuses("count", cases[i].yaml, cases[i].text);
    open_count(&r, GW_LOGS, "logs: { a: { conditions: [ 'Now() > time' ] } }");
    send(&r, LOGS(SERVICE, "{\"timeUnixNano\":\"5\"}"));
    assert_int_equal(FIND(&r, "a").number, 1);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_settings_everything_is_counted),
        cmocka_unit_test(conditions_choose),
        cmocka_unit_test(attributes_tell_counts_apart),
        cmocka_unit_test(many_sets_of_values_are_counted),
        cmocka_unit_test(mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
