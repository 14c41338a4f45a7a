/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, labels, summaries, exemplars, target_info, metadata: what the Collector 0.158 writes of the same. */
#include "tests/exporters/prometheus_remote_write/rig.h"

#define POINT(attrs, rest)      "{\"timeUnixNano\":\"1000000000\",\"attributes\":[" attrs "]," rest "}"
#define STR(k, v)               "{\"key\":\"" k "\",\"value\":{\"stringValue\":\"" v "\"}}"
#define GAUGE(name, points)     "{\"name\":\"" name "\",\"gauge\":{\"dataPoints\":[" points "]}}"
#define SUM(name, kind, points) "{\"name\":\"" name "\",\"sum\":{" kind ",\"dataPoints\":[" points "]}}"
#define CUMULATIVE              "\"aggregationTemporality\":2"
#define COUNTER                 CUMULATIVE ",\"isMonotonic\":true"

static int begin(void **state)
{
    static struct rig r;

    rig_init(&r);
    *state = &r;
    return 0;
}

static int end(void **state)
{
    rig_clear(*state);
    return 0;
}

static void writes_numbers(void **state)
{
    struct rig *r = *state;

    rig_metrics(r,
                GAUGE("g", POINT("", "\"asDouble\":1.5")) "," GAUGE("i", POINT("", "\"asInt\":\"-7\"")) "," SUM(
                    "c", COUNTER, POINT("", "\"asInt\":\"3\"")) "," SUM("n", CUMULATIVE, POINT("", "\"asDouble\":0")));
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\"} 1.5@1000", "{__name__=\"i\",job=\"svc\"} -7@1000",
               "{__name__=\"c_total\",job=\"svc\"} 3@1000", "{__name__=\"n\",job=\"svc\"} 0@1000");
    assert_int_equal(r->n_requests, 1);
    assert_int_equal(r->requests[0].n_rows, 4);
    assert_int_equal(r->requests[0].n_series, 4);
    assert_int_equal(r->requests[0].n_samples, 4);
}

/* Scenario: the flag "no recorded value", NaN, infinity, a point without a value. */
static void keeps_the_bits_of_odd_values(void **state)
{
    struct rig *r = *state;

    r->bits = true;
    rig_metrics(
        r,
        GAUGE("a", POINT("", "\"flags\":1,\"asDouble\":5")) "," GAUGE("b", POINT("", "\"asDouble\":\"NaN\"")) "," GAUGE(
            "c", POINT("", "\"asDouble\":\"-Infinity\"")) "," GAUGE("d", POINT("", "\"flags\":0")));
    RIG_EXPECT(r, "{\"__name__\"=\"a\",\"job\"=\"svc\"} 7ff0000000000002@1000",
               "{\"__name__\"=\"b\",\"job\"=\"svc\"} 7ff8000000000000@1000",
               "{\"__name__\"=\"c\",\"job\"=\"svc\"} fff0000000000000@1000",
               "{\"__name__\"=\"d\",\"job\"=\"svc\"} 0000000000000000@1000");
}

static void keeps_odd_times(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r,
        GAUGE("a", "{\"asInt\":\"1\"}") "," GAUGE(
            "b",
            "{\"asInt\":\"1\",\"timeUnixNano\":"
            "\"9223372036854775807\"}") "," GAUGE("c", "{\"asInt\":\"1\",\"timeUnixNano\":\"18446744073709551615\"}"));
    RIG_EXPECT(r, "{__name__=\"a\",job=\"svc\"} 1@0", "{__name__=\"b\",job=\"svc\"} 1@9223372036854",
               "{__name__=\"c\",job=\"svc\"} 1@0");
}

static void makes_one_series_of_its_points(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r, GAUGE("g", "{\"timeUnixNano\":\"3000000\",\"asInt\":\"3\"},{\"timeUnixNano\":\"1000000\",\"asInt\":\"1\"},"
                      "{\"timeUnixNano\":\"2000000\",\"asInt\":\"2\"}"));
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\"} 1@1 2@2 3@3");
    assert_int_equal(r->requests[0].n_series, 1);
    assert_int_equal(r->requests[0].n_samples, 3);
}

/* Scenario: the same labels by other bytes: attributes in another order, another key of the same name, another metric.
 */
static void knows_a_series_by_its_labels(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r,
        GAUGE(
            "g.x",
            POINT(STR("a", "1") "," STR("b.c", "2"), "\"asInt\":\"2\"") ",{\"asInt\":\"1\",\"attributes\":[" STR(
                "b_c",
                "2") "," STR("a",
                             "1") "]}") "," SUM("g_x", CUMULATIVE,
                                                "{\"timeUnixNano\":\"2000000000\",\"asInt\":\"3\",\"attributes\":[" STR(
                                                    "a", "1") "," STR("b-c", "2") "]}"));
    RIG_EXPECT(r, "{__name__=\"g_x\",a=\"1\",b_c=\"2\",job=\"svc\"} 1@0 2@1000 3@2000");
}

static void joins_labels_that_become_one(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, GAUGE("g", POINT(STR("a_b", "3") "," STR("a.b", "2") "," STR("a-b", "1") "," STR("a/b", "2"),
                                    "\"asInt\":\"1\"")));
    RIG_EXPECT(r, "{__name__=\"g\",a_b=\"1;2;2;3\",job=\"svc\"} 1@1000");
}

static void has_no_label_without_a_value(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, GAUGE("g", POINT(STR("a", "") "," STR("", "") ",{\"key\":\"b\",\"value\":{}},{\"key\":\"c\"}",
                                    "\"asInt\":\"1\"")));
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\"} 1@1000");
}

static void refuses_a_key_that_makes_no_name(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, GAUGE("g", POINT(STR("", "x"), "\"asInt\":\"1\"") "," POINT(STR("ok", "x"), "\"asInt\":\"2\"")));
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\",ok=\"x\"} 2@1000");
    assert_int_equal(r->n_refused, 1);
    assert_int_equal(r->refused[0], 0);
    assert_string_equal(r->reason, "label_name");
    assert_int_equal(r->requests[0].n_rows, 1);
    assert_int_equal(r->requests[0].rows[0], 1);
}

static void refuses_a_metric_without_a_name(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, GAUGE("..", POINT("", "\"asInt\":\"1\"")));
    rig_expect_refused(r, "metric_name");
}

static void has_own_words_for_its_labels(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, GAUGE("g", POINT(STR("__name__", "x") "," STR("job", "x") "," STR("instance", "i") "," STR(
                                        "otel_scope_name", "x"),
                                    "\"asInt\":\"1\"")));
    RIG_EXPECT(r, "{__name__=\"g\",instance=\"i\",job=\"svc\",otel_scope_name=\"x\"} 1@1000");
}

static void writes_values_as_text(void **state)
{
    struct rig *r = *state;

    rig_metrics(
        r,
        GAUGE(
            "g",
            POINT(
                "{\"key\":\"a\",\"value\":{\"boolValue\":true}},{\"key\":\"b\",\"value\":{\"intValue\":\"-5\"}},"
                "{\"key\":\"c\",\"value\":{\"doubleValue\":1e21}},{\"key\":\"d\",\"value\":{\"bytesValue\":\"AQID\"}},"
                "{\"key\":\"e\",\"value\":{\"kvlistValue\":{\"values\":[" STR(
                    "z", "<\\n\\u2028") ",{\"key\":\"a\","
                                        "\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{},{"
                                        "\"bytesValue\":\"\"}]}}},"
                                        "{\"key\":\"z\",\"value\":{\"stringValue\":\"<\\u0001\\t\\u2028\\u007f\"}}]}}},"
                                        "{\"key\":\"f\",\"value\":{\"arrayValue\":{\"values\":[{\"doubleValue\":"
                                        "\"NaN\"}]}}},"
                                        "{\"key\":\"g\",\"value\":{\"doubleValue\":\"-Infinity\"}},{\"key\":\"h\","
                                        "\"value\":{\"doubleValue\":1e-7}}",
                "\"asInt\":\"1\"")));
    RIG_EXPECT(r,
               "{__name__=\"g\",a=\"true\",b=\"-5\",c=\"1e+21\",d=\"AQID\",e=\"{\\x22a\\x22:[1,null,null],\\x22z\\x22:"
               "\\x22<\\x5cu0001\\x5ct\\x5cu2028\\x7f\\x22}\",g=\"-Infinity\",h=\"1e-7\",job=\"svc\"} 1@1000");
}

static const char *const two_scopes =
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" STR("service.name", "svc") "," STR(
        "service.namespace",
        "ns") "," STR("service.instance.id",
                      "i1") "," STR("host.name",
                                    "h") "," STR("x..y",
                                                 "z") "]},\"scopeMetrics\":["
                                                      "{\"scope\":{\"name\":\"lib\",\"version\":\"1\",\"attributes\":"
                                                      "[" STR("a.b", "c") "," STR("name", "no") "," STR(
                                                          "none",
                                                          "") "]},\"metrics\":[" GAUGE("g",
                                                                                       POINT(STR("host.name",
                                                                                                 "point") "," STR("regi"
                                                                                                                  "on",
                                                                                                                  "eu"),
                                                                                             "\"asInt\":\"1\"")) "]}]}]"
                                                                                                                 "}";

static void says_whose_metric_it_is(void **state)
{
    struct rig *r = *state;

    rig_json(r, two_scopes);
    RIG_EXPECT(r, "{__name__=\"g\",host_name=\"point\",instance=\"i1\",job=\"ns/svc\",otel_scope_a_b=\"c\","
                  "otel_scope_name=\"lib\",otel_scope_version=\"1\",region=\"eu\"} 1@1000");
}

static void leaves_the_scope_out(void **state)
{
    struct rig *r = *state;

    r->o.scope_info = false;
    rig_json(r, two_scopes);
    RIG_EXPECT(r, "{__name__=\"g\",host_name=\"point\",instance=\"i1\",job=\"ns/svc\",region=\"eu\"} 1@1000");
}

/* Guarantees: what the resource says of itself counts more than what the point says. */
static void makes_labels_of_the_resource(void **state)
{
    struct rig *r = *state;

    r->o.scope_info = false;
    r->o.resource_labels = r->o.exclude_service_attributes = true;
    rig_json(r, two_scopes);
    RIG_EXPECT(r, "{__name__=\"g\",host_name=\"h\",instance=\"i1\",job=\"ns/svc\",region=\"eu\",x_y=\"z\"} 1@1000");
}

static void makes_labels_of_all_of_the_resource(void **state)
{
    struct rig *r = *state;

    r->o.scope_info = false;
    r->o.resource_labels = true;
    rig_json(r, two_scopes);
    RIG_EXPECT(
        r, "{__name__=\"g\",host_name=\"h\",instance=\"i1\",job=\"ns/svc\",region=\"eu\",service_instance_id=\"i1\","
           "service_name=\"svc\",service_namespace=\"ns\",x_y=\"z\"} 1@1000");
}

static void makes_labels_of_what_was_picked(void **state)
{
    struct rig *r = *state;
    const char *in[] = {"host.*", "x*?y", "serv*.name"}, *out[] = {"s*"};
    struct gw_list included = {in, 3, sizeof(*in)}, excluded = {out, 1, sizeof(*out)};

    r->o.scope_info = false;
    r->o.included = &included;
    r->o.excluded = &excluded;
    rig_json(r, two_scopes);
    RIG_EXPECT(r, "{__name__=\"g\",host_name=\"h\",instance=\"i1\",job=\"ns/svc\",region=\"eu\",x_y=\"z\"} 1@1000");
}

static void adds_external_labels_where_there_are_none(void **state)
{
    struct rig *r = *state;
    struct gw_map_entry e[] = {{"region", "us", NULL}, {"job", "x", NULL}, {"_dc.1", "y", NULL}};
    struct gw_map m = {e, 3};

    r->o.scope_info = false;
    r->o.external_labels = &m;
    rig_json(r, two_scopes);
    RIG_EXPECT(
        r, "{__name__=\"g\",host_name=\"point\",instance=\"i1\",job=\"ns/svc\",key_dc_1=\"y\",region=\"eu\"} 1@1000");
}

static void refuses_external_labels_of_nothing(void **state)
{
    struct rig *r = *state;
    struct gw_map_entry e[] = {{"", "us", NULL}, {"a", "", NULL}, {"____", "x", NULL}};
    struct gw_map m = {e, 1};

    r->o.external_labels = &m;
    for (int i = 0; i < 3; i++) {
        m.entries = &e[i];
        assert_int_equal(gw_rw_translator_new(&r->o, &r->t), -EINVAL);
    }
    r->t = NULL;
}

static void tells_of_the_target(void **state)
{
    struct rig *r = *state;

    r->o.target_info = true;
    r->o.scope_info = false;
    r->o.namespace_ = "ns";
    rig_json(r, two_scopes);
    RIG_EXPECT(r, "{__name__=\"ns_g\",host_name=\"point\",instance=\"i1\",job=\"ns/svc\",region=\"eu\"} 1@1000",
               "{__name__=\"ns_target_info\",host_name=\"h\",instance=\"i1\",job=\"ns/svc\",x__y=\"z\"} 1@1000");
    assert_int_equal(r->requests[0].n_rows, 1);
    assert_int_equal(r->requests[0].n_series, 2);
    r->sink.rows_only = true;
    rig_json(r, two_scopes);
    assert_int_equal(r->n_lines, 1);
}

static void tells_of_the_target_in_2_0(void **state)
{
    struct rig *r = *state;

    r->o.target_info = true;
    r->version = GW_RW_2;
    r->metadata = true;
    rig_json(r, two_scopes);
    assert_int_equal(r->n_lines, 2);
    assert_string_equal(r->lines[1],
                        "{__name__=\"target_info\",host_name=\"h\",instance=\"i1\",job=\"ns/svc\",x_y=\"z\"} 1@1000"
                        " meta 2 \"Target metadata\" \"\"");
}

/* Scenario: a resource that says no more than who it is, one that does not say who it is, one whose points have no
 * time. */
static void has_no_target_to_tell_of(void **state)
{
    struct rig *r = *state;

    r->o.target_info = true;
    rig_metrics(r, GAUGE("g", POINT("", "\"asInt\":\"1\"")));
    assert_int_equal(r->n_lines, 1);
    rig_json(r, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" STR(
                    "a", "b") "]},\"scopeMetrics\":[{\"metrics\":[" GAUGE("g", POINT("", "\"asInt\":\"1\"")) "]}]}]}");
    assert_int_equal(r->n_lines, 1);
    rig_json(r, "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" STR("a", "b") "," STR(
                    "service.name", "s") "]},"
                                         "\"scopeMetrics\":[{\"metrics\":[" GAUGE("g", "{\"asInt\":\"1\"}") "]}]}]}");
    assert_int_equal(r->n_lines, 1);
}

/* Guarantees: rows that are sent again without the newest one bring no older target_info. */
static void keeps_the_time_of_the_target(void **state)
{
    static const char json[] = "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[" STR("service.name", "s") "," STR(
        "a", "b") "]},"
                  "\"scopeMetrics\":[{\"metrics\":[" GAUGE(
                      "g", "{\"asInt\":\"1\",\"timeUnixNano\":\"1000000\"},{\"asInt\":\"2\","
                           "\"timeUnixNano\":\"9000000\"}") "]}]},{\"resource\":{\"attributes\":"
                                                            "[" STR("service.name",
                                                                    "gone") "," STR("a", "b") "]},"
                                                                                              "\"scopeMet"
                                                                                              "rics\":[{"
                                                                                              "\"metrics"
                                                                                              "\":"
                                                                                              "[" GAUGE("g", "{\"asI"
                                                                                                             "nt\":"
                                                                                                             "\"1\","
                                                                                                             "\"time"
                                                                                                             "UnixNa"
                                                                                                             "no\":"
                                                                                                             "\"1000"
                                                                                                             "000\""
                                                                                                             "}") "]"
                                                                                                                  "}"
                                                                                                                  "]"
                                                                                                                  "}"
                                                                                                                  "]"
                                                                                                                  "}";
    struct rig *r = *state;
    bool keep[] = {true, false, false};

    r->o.target_info = true;
    assert_int_equal(rig_json_kept(r, json, keep), 0);
    RIG_EXPECT(r, "{__name__=\"g\",job=\"s\"} 1@1", "{__name__=\"target_info\",a=\"b\",job=\"s\"} 1@9");
}

static void writes_summaries(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, "{\"name\":\"s\",\"unit\":\"s\",\"summary\":{\"dataPoints\":[" POINT(
                       STR("a", "1") "," STR("z", "2"), "\"count\":\"5\",\"sum\":2.5,"
                                                        "\"quantileValues\":[{\"quantile\":0.99,\"value\":3},{"
                                                        "\"quantile\":0.5,\"value\":1},{\"quantile\":1e-7}]") "]}}");
    RIG_EXPECT(r, "{__name__=\"s_seconds_sum\",a=\"1\",job=\"svc\",z=\"2\"} 2.5@1000",
               "{__name__=\"s_seconds_count\",a=\"1\",job=\"svc\",z=\"2\"} 5@1000",
               "{__name__=\"s_seconds\",a=\"1\",job=\"svc\",quantile=\"0.0000001\",z=\"2\"} 0@1000",
               "{__name__=\"s_seconds\",a=\"1\",job=\"svc\",quantile=\"0.5\",z=\"2\"} 1@1000",
               "{__name__=\"s_seconds\",a=\"1\",job=\"svc\",quantile=\"0.99\",z=\"2\"} 3@1000");
    rig_metrics(r, "{\"name\":\"s\",\"summary\":{\"dataPoints\":[" POINT(
                       "", "\"flags\":1,\"quantileValues\":[{\"quantile\":1}]") "]}}");
    RIG_EXPECT(r, "{__name__=\"s_sum\",job=\"svc\"} stale@1000", "{__name__=\"s_count\",job=\"svc\"} stale@1000",
               "{__name__=\"s\",job=\"svc\",quantile=\"1\"} stale@1000");
    rig_metrics(r,
                "{\"name\":\"s\",\"summary\":{\"dataPoints\":[" POINT(STR("quantile", "x"), "\"count\":\"1\"") "]}}");
    rig_expect_refused(r, "label_taken");
}

static void writes_summaries_in_2_0(void **state)
{
    struct rig *r = *state;

    r->version = GW_RW_2;
    r->metadata = true;
    rig_metrics(r, "{\"name\":\"s\",\"summary\":{\"dataPoints\":[" POINT(
                       STR("z", "2"), "\"count\":\"5\",\"quantileValues\":[{\"quantile\":0.5,\"value\":1}]") "]}}");
    RIG_EXPECT(r, "{__name__=\"s_sum\",job=\"svc\",z=\"2\"} 0@1000 meta 5 \"\" \"\"",
               "{__name__=\"s_count\",job=\"svc\",z=\"2\"} 5@1000 meta 5 \"\" \"\"",
               "{__name__=\"s\",job=\"svc\",quantile=\"0.5\",z=\"2\"} 1@1000 meta 5 \"\" \"\"");
}

#define EXEMPLAR(rest) "{\"timeUnixNano\":\"5999999\"," rest "}"

static void writes_exemplars_of_counters(void **state)
{
    struct rig *r = *state;
    const char *metrics = SUM(
        "c", COUNTER,
        POINT("", "\"asInt\":\"1\",\"exemplars\":[" EXEMPLAR(
                      "\"asDouble\":2,\"traceId\":\"000102030405060708090a0b0c0d0e0f\",\"spanId\":\"0001020304050607\","
                      "\"filteredAttributes\":[" STR("b.c", "x") "," STR("trace_id", "no") "," STR(
                          "a", "y") "]") "," EXEMPLAR("\"asInt\":\"-1\",\"traceId\":"
                                                      "\"00000000000000000000000000000000"
                                                      "\"") "]")) "," GAUGE("g", POINT("", "\"asInt\""
                                                                                           ":\"1\","
                                                                                           "\"exempla"
                                                                                           "rs\":"
                                                                                           "[" EXEMPLAR("\"asI"
                                                                                                        "nt\":"
                                                                                                        "\"4"
                                                                                                        "\"") "]"));

    rig_metrics(r, metrics);
    RIG_EXPECT(r,
               "{__name__=\"c_total\",job=\"svc\"} 1@1000 "
               "ex{trace_id=\"000102030405060708090a0b0c0d0e0f\",span_id=\"0001020304050607\",b.c=\"x\",a=\"y\"} 2@5 "
               "ex{} -1@5",
               "{__name__=\"g\",job=\"svc\"} 1@1000");
    assert_int_equal(r->requests[0].n_exemplars, 2);
    r->version = GW_RW_2;
    rig_metrics(r, metrics);
    RIG_EXPECT(r,
               "{__name__=\"c_total\",job=\"svc\"} 1@1000 "
               "ex{a=\"y\",b.c=\"x\",span_id=\"0001020304050607\",trace_id=\"000102030405060708090a0b0c0d0e0f\"} 2@5 "
               "ex{} -1@5",
               "{__name__=\"g\",job=\"svc\"} 1@1000 ex{} 4@5");
}

/* Scenario: times over 2^63 ns lie before 1970, as in Go; an exemplar's is rounded down, a point's towards zero. */
static void rounds_times_of_exemplars_down(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, SUM("c", COUNTER,
                       POINT("", "\"asInt\":\"1\",\"exemplars\":[{\"asInt\":\"1\",\"timeUnixNano\":"
                                 "\"18446744073709551615\"},{\"timeUnixNano\":\"5000000\"}]")));
    RIG_EXPECT(r, "{__name__=\"c_total\",job=\"svc\"} 1@1000 ex{} 1@-1 ex{} 0@0");
}

/* Guarantees: 128 characters, not bytes, and the ids stay when the attributes are too long. */
static void cuts_long_exemplars(void **state)
{
    struct rig *r = *state;
    char ten[] = "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", json[4096];

    for (int more = 0; more < 2; more++) {
        (void)snprintf(json, sizeof(json),
                       SUM("c", COUNTER,
                           POINT("", "\"asInt\":\"1\",\"exemplars\":[" EXEMPLAR(
                                         "\"asDouble\":2,\"spanId\":\"0001020304050607\",\"filteredAttributes\":[" STR(
                                             "abcde", "%s%s%s%s%s%s%s%s%s%s%s") "]") "]")),
                       ten, ten, ten, ten, ten, ten, ten, ten, ten, ten, more ? "x" : "");
        rig_metrics(r, json); /* 7 + 16 + 5 + 100, and one more */
        assert_int_equal(strstr(r->lines[0], "abcde") != NULL, !more);
        assert_non_null(strstr(r->lines[0], "span_id"));
    }
}

static void refuses_delta(void **state)
{
    struct rig *r = *state;

    rig_metrics(r, SUM("c", "\"aggregationTemporality\":1,\"isMonotonic\":true", POINT("", "\"asInt\":\"1\"")));
    rig_expect_refused(r, "delta");
    assert_string_equal(r->message, "delta points have no translation (metric \"c\")");
    rig_metrics(r, SUM("c", "\"aggregationTemporality\":0", POINT("", "\"asInt\":\"1\"")));
    rig_expect_refused(r, "delta");
    rig_metrics(r, GAUGE("g", POINT("", "\"asInt\":\"1\"")));
    assert_int_equal(r->n_lines, 1);
}

static void sends_metadata_once(void **state)
{
    struct rig *r = *state;

    r->o.send_metadata = true;
    rig_metrics(
        r, "{\"name\":\"c\",\"unit\":\"By\",\"description\":\"help\",\"sum\":{" COUNTER
           ",\"dataPoints\":[" POINT("", "\"asInt\":\"1\"") "," POINT(
               STR("a", "b"),
               "\"asInt\":\"1\"") "]}},{\"name\":\"i\",\"metadata\":[" STR("prometheus.type",
                                                                           "info") "],\"sum\":{" CUMULATIVE
                                                                                   ",\"dataPoints\":[" POINT(
                                                                                       "", "\"asInt\":\"1\"") "]}}");
    RIG_EXPECT(r, "{__name__=\"c_bytes_total\",job=\"svc\"} 1@1000",
               "{__name__=\"c_bytes_total\",a=\"b\",job=\"svc\"} 1@1000", "{__name__=\"i\",job=\"svc\"} 1@1000",
               "metadata 1 \"c_bytes_total\" \"help\" \"bytes\"", "metadata 6 \"i\" \"\" \"\"");
    rig_metrics(r, GAUGE("g", POINT("", "\"asInt\":\"1\"")));
    RIG_EXPECT(r, "{__name__=\"g\",job=\"svc\"} 1@1000", "metadata 2 \"g\" \"\" \"\"");
    rig_metrics(r, GAUGE("g", POINT("", "\"asInt\":\"1\"")));
    assert_int_equal(r->n_lines, 2);
    r->sink.rows_only = true;
    rig_metrics(r, GAUGE("g", POINT("", "\"asInt\":\"1\"")));
    assert_int_equal(r->n_lines, 1);
}

static void tells_2_0_more(void **state)
{
    struct rig *r = *state;

    r->version = GW_RW_2;
    r->metadata = r->starts = true;
    rig_metrics(
        r,
        "{\"name\":\"c\",\"unit\":\"By\",\"description\":\"help\",\"sum\":{" COUNTER
        ",\"dataPoints\":[" POINT("", "\"asInt\":\"1\",\"startTimeUnixNano\":\"500000000\"") "," POINT(
            STR("a", "b"),
            "\"asInt\":\"1\",\"startTimeUnixNano\":\"2000000000\"") "]}}," GAUGE("g", POINT("", "\"asInt\":\"1\","
                                                                                                "\"startTimeUnixNano\":"
                                                                                                "\"500000000\"")));
    RIG_EXPECT(r, "{__name__=\"c_bytes_total\",job=\"svc\"} 1@1000/500 meta 1 \"help\" \"bytes\"",
               "{__name__=\"c_bytes_total\",a=\"b\",job=\"svc\"} 1@1000 meta 1 \"help\" \"bytes\"",
               "{__name__=\"g\",job=\"svc\"} 1@1000 meta 2 \"\" \"\"");
}

static void keeps_utf8_names(void **state)
{
    struct rig *r = *state;

    r->version = GW_RW_2;
    r->o.strategy = GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES;
    rig_metrics(r, SUM("req.\xc3\xa4", COUNTER, POINT(STR("a.b", "1") "," STR("A b", "2"), "\"asInt\":\"1\"")));
    RIG_EXPECT(r, "{A b=\"2\",__name__=\"req.\xc3\xa4_total\",a.b=\"1\",job=\"svc\"} 1@1000");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(writes_numbers),
        T(keeps_the_bits_of_odd_values),
        T(keeps_odd_times),
        T(makes_one_series_of_its_points),
        T(knows_a_series_by_its_labels),
        T(joins_labels_that_become_one),
        T(has_no_label_without_a_value),
        T(refuses_a_key_that_makes_no_name),
        T(refuses_a_metric_without_a_name),
        T(has_own_words_for_its_labels),
        T(writes_values_as_text),
        T(says_whose_metric_it_is),
        T(leaves_the_scope_out),
        T(makes_labels_of_the_resource),
        T(makes_labels_of_all_of_the_resource),
        T(makes_labels_of_what_was_picked),
        T(adds_external_labels_where_there_are_none),
        T(refuses_external_labels_of_nothing),
        T(tells_of_the_target),
        T(tells_of_the_target_in_2_0),
        T(has_no_target_to_tell_of),
        T(keeps_the_time_of_the_target),
        T(writes_summaries),
        T(writes_summaries_in_2_0),
        T(rounds_times_of_exemplars_down),
        T(writes_exemplars_of_counters),
        T(cuts_long_exemplars),
        T(refuses_delta),
        T(sends_metadata_once),
        T(tells_2_0_more),
        T(keeps_utf8_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
