/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted, and under which names. What becomes of it over time: span_metrics/time_test.c. */
#include "tests/connectors/points.h"

/*
 * Scenario    defaults; a span of 123 ms, a failed one, one that ends before it begins, one without a service
 * Guarantees  calls and duration with the Collector's names, dimensions, values, unit and buckets; the resource's
 *             attributes; the first count is 0, then the value; every span is absorbed
 */
static void spans_are_counted_and_measured(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 1, "{}");
    gw_joint_send(&r, 0,
                  SPANS(SERVICE "," INT("zone", "7"), GET
                        "," GET "," SPAN("\"name\":\"get\",\"kind\":3,\"status\":{\"code\":2}," TIMES("500")) "," SPAN(
                            "\"name\":\"back\",\"startTimeUnixNano\":\"2000\",\"endTimeUnixNano\":\"1000\"")));
    gw_joint_send(&r, 0, SPANS(INT("zone", "7"), GET));
    assert_int_equal(r.settled[GW_ABSORBED], 5);
    assert_true(gw_joint_metric(&r, "staunch_span_metrics_spans_without_service{connector=\"span_metrics\"}") == 1 ||
                gw_joint_metric(&r, "staunch_span_metrics_spans_without_service_total{connector=\"span_metrics\"}") ==
                    1);
    gw_joint_tick(&r, 0, 59 * S);
    assert_int_equal(r.n_bodies, 0);
    gw_joint_tick(&r, 0, S);
    p = FIND(&r, CALLS, "span.name=get", "span.kind=SPAN_KIND_SERVER");
    assert_int_equal(p.times, 1);
    assert_int_equal(p.number, 0);
    assert_int_equal(p.n_attrs, 5);
    assert_int_equal(p.n_resource_attrs, 2);
    assert_int_equal(p.temporality, 2);
    assert_int_equal(p.time - p.start, 60 * S);
    assert_string_equal(p.unit, "");
    assert_true(has_attr(p.attrs, p.n_attrs, "service.name=shop"));
    assert_true(has_attr(p.attrs, p.n_attrs, "status.code=STATUS_CODE_UNSET"));
    assert_false(has_attr(p.attrs, p.n_attrs, "collector.instance.id"));
    p = FIND(&r, DURATION, "span.name=get", "span.kind=SPAN_KIND_SERVER");
    assert_int_equal(p.count, 2);
    assert_true(p.sum == 246);
    assert_int_equal(p.n_bounds, 16);
    assert_true(p.bounds[0] == 2 && p.bounds[15] == 15000);
    assert_int_equal(p.buckets[7], 2); /* 100 to 200 */
    assert_string_equal(p.unit, "ms");
    p = FIND(&r, DURATION, "span.kind=SPAN_KIND_CLIENT", "status.code=STATUS_CODE_ERROR");
    assert_int_equal(p.count, 1);
    p = FIND(&r, DURATION, "span.name=back", "span.kind=SPAN_KIND_UNSPECIFIED");
    assert_int_equal(p.buckets[0], 1);
    assert_true(p.sum == 0);
    assert_true(gw_joint_has(&r, "\"name\":\"spanmetricsconnector\""));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=get", "span.kind=SPAN_KIND_SERVER").number, 2);
    assert_int_equal(FIND(&r, CALLS).times, 3);
    assert_int_equal(FIND(&r, EVENTS).times, 0);
    close_rig(&r);
}

/*
 * Scenario    dimensions of span and resource, with defaults, of all metrics and of one
 * Guarantees  the span's attribute goes before the resource's, that before the default; without any there is none;
 *             values keep their types, and series differ by them
 */
static void dimensions_tell_series_apart(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1,
             "dimensions: [ { name: zone }, { name: route, default: none }, { name: absent } ]\n"
             "calls_dimensions: [ { name: user, default: '' } ]\n"
             "histogram: { dimensions: [ { name: host } ] }\n"
             "zero_first_point: false\n");
    gw_joint_send(
        &r, 0,
        SPANS(SERVICE "," STR("zone", "eu") "," STR("host", "h"),
              GET "," SPAN("\"name\":\"get\",\"attributes\":[" STR("zone", "us") "," STR("route", "/a") "," STR(
                  "user",
                  "u") "]") "," SPAN("\"name\":\"get\",\"attributes\":[" INT("zone",
                                                                             "5") "]") "," SPAN("\"name\":\"get\","
                                                                                                "\"attributes\":"
                                                                                                "[" STR("zone",
                                                                                                        "5") "]")));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 4);
    assert_int_equal(FIND(&r, CALLS, "zone=eu", "route=none", "user=", "absent", "host").number, 1);
    assert_int_equal(FIND(&r, CALLS, "zone=us", "route=/a", "user=u").number, 1);
    assert_int_equal(FIND(&r, CALLS, "zone=#5").number, 1);
    assert_int_equal(FIND(&r, CALLS, "zone=5").number, 1);
    assert_int_equal(FIND(&r, DURATION, "zone=us", "route=/a", "user", "host=h").count, 1);
    assert_int_equal(FIND(&r, DURATION, "zone=eu", "route=none").count, 1);
    close_rig(&r);
}

/* Scenario: a name in several lists. Guarantees: it is one dimension, with the default of the narrower list. */
static void a_dimension_of_two_lists_is_one(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 1,
             "dimensions: [ { name: a, default: x } ]\ncalls_dimensions: [ { name: a, default: y } ]\n"
             "zero_first_point: false\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    p = FIND(&r, CALLS, "a=y");
    assert_int_equal(p.number, 1);
    assert_int_equal(p.n_attrs, 6);
    assert_int_equal(FIND(&r, DURATION, "a=x").count, 1);
    close_rig(&r);
}

/* Scenario: globs, with a separator, classes and alternatives. Guarantees: they take what the Collector's would. */
static void globs_take_all_that_match(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(
        &r, 1,
        "dimensions: [ { glob: 'k8s.*.name' }, { glob: 'db.**.name' }, { glob: '{a,b}[0-9]?' }, { glob: 'x\\*' } ]\n"
        "zero_first_point: false\n");
    gw_joint_send(
        &r, 0,
        SPANS(
            SERVICE "," STR("k8s.cluster.name", "c") "," STR("db.x.name", "resource"),
            SPAN("\"name\":\"get\",\"attributes\":[" STR("k8s.cluster.label.name", "no") "," STR(
                "db.a.b.name",
                "d") "," STR("db.x.name",
                             "span") "," STR("a1x",
                                             "1") "," STR("b22",
                                                          "2") "," STR("c33",
                                                                       "no") "," STR("x*", "star") "," STR("xy",
                                                                                                           "no") "]")));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "k8s.cluster.name=c", "db.a.b.name=d", "db.x.name=span", "a1x=1", "b22=2",
                          "x*=star", "c33", "xy", "k8s.cluster.label.name")
                         .number,
                     1);
    assert_int_equal(FIND(&r, CALLS).n_attrs, 5 + 6);
    close_rig(&r);
}

/* Scenario: dimensions that are left out; another prefix, and none; no resource attributes. Guarantees: so it is. */
static void names_can_be_chosen(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1,
             "exclude_dimensions: [ collector.instance.id, span.name, status.code ]\nnamespace: my\n"
             "add_resource_attributes: false\nzero_first_point: false\ndimensions_cache_size: 5\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, "my.calls").n_attrs, 2);
    assert_int_equal(FIND(&r, "my.calls", "service.name=shop", "span.kind=SPAN_KIND_SERVER").number, 1);
    assert_int_equal(FIND(&r, "my.calls").n_resource_attrs, 0);
    assert_int_equal(FIND(&r, "my.duration").count, 1);
    close_rig(&r);
    open_rig(&r, 1, "namespace: ''\nexclude_dimensions: [ service.name, span.kind ]\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, "calls", "service.name", "span.kind", "span.name=get").times, 1);
    close_rig(&r);
}

/* Scenario: histograms in seconds, with bounds of their own, exponential, and none. Guarantees: so they are. */
static void histograms_are_as_configured(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 1, "histogram: { unit: s }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    p = FIND(&r, DURATION);
    assert_true(p.sum == 0.123 && p.bounds[0] == 0.002 && p.bounds[15] == 15);
    assert_string_equal(p.unit, "s");
    close_rig(&r);
    open_rig(&r, 1, "histogram: { explicit: { buckets: [ 100us, 123ms, 1s ] } }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    p = FIND(&r, DURATION);
    assert_int_equal(p.n_bounds, 3);
    assert_true(p.bounds[0] == 0.1 && p.bounds[1] == 123);
    assert_int_equal(p.buckets[1], 1);
    close_rig(&r);
    open_rig(&r, 1, "histogram: { exponential: { max_size: 2 } }\n");
    gw_joint_send(&r, 0,
                  SPANS(SERVICE, GET "," SPAN("\"name\":\"get\",\"kind\":2," TIMES("500")) "," SPAN(
                                     "\"name\":\"get\",\"kind\":2," TIMES("004"))));
    flush(&r);
    p = FIND(&r, DURATION);
    assert_int_equal(p.count, 3);
    assert_true(p.min == 4 && p.max == 500 && p.sum == 627);
    assert_int_equal(p.scale, -3); /* (1, 256] and (256, 65536] */
    assert_int_equal(p.n_buckets, 2);
    assert_int_equal(p.buckets[0], 2);
    close_rig(&r);
    open_rig(&r, 1, "histogram: { exponential: }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, DURATION).scale, 20);
    close_rig(&r);
    open_rig(&r, 1, "histogram: { disable: true }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 1);
    assert_false(gw_joint_has(&r, "duration"));
    close_rig(&r);
}

/*
 * Scenario    events, with dimensions of the event, the span and the resource
 * Guarantees  one count an event; the span's attribute goes before the event's, that before the resource's
 */
static void events_are_counted(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(
        &r, 1,
        "events: { enabled: true, dimensions: [ { name: exception.type, default: none }, { name: zone }, { name: both "
        "} ] }\n"
        "dimensions: [ { name: who } ]\nzero_first_point: false\n");
    gw_joint_send(
        &r, 0,
        SPANS(
            SERVICE "," STR("zone", "eu") "," STR("both", "resource"),
            SPAN("\"name\":\"get\",\"attributes\":[" STR(
                "who",
                "span") "],\"events\":["
                        "{\"name\":\"e\",\"attributes\":[" STR("exception.type", "io") "," STR("who", "event") "," STR(
                            "both", "event") "]},"
                                             "{\"name\":\"e\",\"attributes\":[" STR("exception.type", "io") "," STR(
                                                 "both", "event") "]},{\"name\":\"f\"}]")));
    flush(&r);
    assert_int_equal(FIND(&r, EVENTS, "exception.type=io", "zone=eu", "both=event", "who=span").number, 2);
    assert_int_equal(FIND(&r, EVENTS, "exception.type=none", "both=resource").number, 1);
    assert_int_equal(FIND(&r, CALLS, "zone", "who=span").number, 1);
    close_rig(&r);
}

/* Scenario: scopes, one of which is listed. Guarantees: its name and version are dimensions, and tell series apart. */
static void scopes_are_dimensions_if_listed(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1, "include_instrumentation_scope: [ lib ]\nzero_first_point: false\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    gw_joint_send(&r, 0,
                  "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" SERVICE
                  "]},\"scopeSpans\":[{\"scope\":{\"name\":"
                  "\"other\"},\"spans\":[" GET "]},{\"spans\":[" GET "]}]}]}");
    flush(&r);
    assert_int_equal(
        FIND(&r, CALLS, "span.instrumentation.scope.name=lib", "span.instrumentation.scope.version=1.2").number, 1);
    assert_int_equal(FIND(&r, CALLS, "span.instrumentation.scope.name").number, 2);
    close_rig(&r);
}

/*
 * Scenario    trace states: th of 25 %, of 1/3 (which is no whole number), broken, without th, none
 * Guarantees  4 calls; 3 or sometimes more, 3 in the mean; 1, where it says nothing; sampling.method when asked for
 */
static void sampled_spans_count_for_what_they_stand_for(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 1, "enable_metrics_sampling_method: true\nzero_first_point: false\n");
#define TS(name, state) SPAN("\"name\":\"" name "\",\"traceState\":\"" state "\"," TIMES("010"))
    gw_joint_send(&r, 0,
                  SPANS(SERVICE, TS("quarter", "ot=th:c") "," TS("quarter", "ot=th:c;rv:ffffffffffffff") "," TS(
                                     "odd", "ot=th:xyz") "," TS("plain", "a=b") "," SPAN("\"name\":\"plain\"")));
    for (unsigned i = 0; i < 300; i++)
        gw_joint_send(&r, 0, SPANS(SERVICE, TS("third", "ot=th:aaaaaaaaaaaaac")));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=quarter", "sampling.method=extrapolated").number, 8);
    p = FIND(&r, DURATION, "span.name=quarter");
    assert_int_equal(p.count, 8);
    assert_true(p.sum == 80);
    assert_int_equal(FIND(&r, CALLS, "span.name=odd", "sampling.method=counted").number, 1);
    assert_int_equal(FIND(&r, CALLS, "span.name=plain", "sampling.method=counted").number, 2);
    assert_in_range(FIND(&r, CALLS, "span.name=third").number, 900, 920);
    close_rig(&r);
    open_rig(&r, 1, "{}");
    for (unsigned i = 0; i < 300; i++)
        gw_joint_send(&r, 0, SPANS(SERVICE, TS("two of three", "ot=th:55555555555555"))); /* stands for 1.5 */
    flush(&r);
    p = FIND(&r, DURATION, "sampling.method");
    assert_in_range(p.count, 400, 500);
    close_rig(&r);
}

/* Scenario: exemplars, more than a point may have; a span without a trace id. Guarantees: the first ones, once. */
static void points_name_spans(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 1,
             "exemplars: { enabled: true, max_per_data_point: 2 }\n"
             "events: { enabled: true, dimensions: [ { name: e } ] }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, "{\"name\":\"get\",\"kind\":2}," GET "," GET "," GET));
    gw_joint_send(&r, 0, SPANS(SERVICE, SPAN("\"name\":\"ev\",\"events\":[{\"name\":\"e\"}]")));
    flush(&r);
    p = FIND(&r, CALLS, "span.name=get");
    assert_int_equal(p.n_exemplars, 2);
    assert_true(p.exemplars[0]->as_double == 123);
    assert_int_equal(p.exemplars[0]->trace_id.data[15], 0x10);
    assert_int_equal(p.exemplars[0]->span_id.data[0], 1);
    assert_true(p.exemplars[0]->time_unix_nano == p.time);
    assert_int_equal(FIND(&r, DURATION, "span.name=get").n_exemplars, 2);
    assert_int_equal(FIND(&r, EVENTS).n_exemplars, 1);
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=get").n_exemplars, 0);
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=get").n_exemplars, 1);
    close_rig(&r);
    open_rig(&r, 1, "{}");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).n_exemplars, 0);
    close_rig(&r);
}

/* Scenario: settings that make no sense. Guarantees: refused with a sentence, at their place. */
static void mistakes_are_named(void **state)
{
    static const struct {
        const char *yaml, *text;
    } cases[] = {
        {"dimensions: [ { name: a }, { name: a } ]", "duplicate dimension name \"a\""},
        {"calls_dimensions: [ { name: span.name } ]", "duplicate dimension name \"span.name\""},
        {"histogram: { dimensions: [ { default: x } ] }", "a dimension must have a name or a glob"},
        {"dimensions: [ { name: a, glob: b } ]", "a dimension has a name or a glob, not both"},
        {"dimensions: [ { glob: b, default: x } ]", "the glob \"b\" cannot have a default"},
        {"dimensions: [ { glob: '[a' } ]", "invalid glob \"[a\""},
        {"dimensions: [ { glob: 'span.*' } ]", "dimension \"span.name\" conflicts with glob \"span.*\""},
        {"dimensions: [ { name: http.x }, { glob: '**' } ]", "dimension \"http.x\" conflicts with glob \"**\""},
        {"events: { enabled: true }", "events: no dimensions"},
        {"histogram: { explicit: , exponential: }", "use either `explicit` or `exponential` buckets"},
        {"histogram: { explicit: { buckets: [ 1s, 5ms ] } }", "buckets must ascend: \"5ms\""},
        {"histogram: { explicit: { buckets: [ soon ] } }", "\"soon\" is not a duration"},
        {"histogram: { unit: m }", "m"},
        {"histogram: { exponential: { max_size: 1 } }", "max_size"},
        {"aggregation_temporality: DELTA", "AGGREGATION_TEMPORALITY_DELTA"},
        {"metrics_flush_interval: 0s", "metrics_flush_interval"},
        {"resource_metrics_cache_size: 0", "resource_metrics_cache_size"},
        {"metric_timestamp_cache_size: 0", "metric_timestamp_cache_size"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        gw_joint_refuses("span_metrics", cases[i].yaml, cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_counted_and_measured),
        cmocka_unit_test(dimensions_tell_series_apart),
        cmocka_unit_test(a_dimension_of_two_lists_is_one),
        cmocka_unit_test(globs_take_all_that_match),
        cmocka_unit_test(names_can_be_chosen),
        cmocka_unit_test(histograms_are_as_configured),
        cmocka_unit_test(events_are_counted),
        cmocka_unit_test(scopes_are_dimensions_if_listed),
        cmocka_unit_test(sampled_spans_count_for_what_they_stand_for),
        cmocka_unit_test(points_name_spans),
        cmocka_unit_test(mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
