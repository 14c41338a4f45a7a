/* SPDX-License-Identifier: Apache-2.0 */
/* What scores are worth: tests/series/anomaly_test.c. */
#include "tests/harness_processor.h"

#include "pipeline/alarms.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_S UINT64_C(1000000000)

static struct gw_proc_rig r;
static unsigned now_s;

static const char *metric_of(const char *name, const char *kind, const char *type, const char *points)
{
    static char text[4096];

    (void)snprintf(text, sizeof(text),
                   "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"%s\",\"%s\":{%s\"dataPoints\":["
                   "%s]}}]}]}]}",
                   name, kind, type, points);
    return text;
}

/* A value of m, a second after the one before. */
static void send(const char *kind, const char *type, double value)
{
    char point[100];

    (void)snprintf(point, sizeof(point), "{\"timeUnixNano\":\"%u000000000\",\"asDouble\":%g}", ++now_s, value);
    gw_proc_send(&r, metric_of("m", kind, type, point));
}

static void gauge(double value)
{
    send("gauge", "", value);
}

/* 100 and 102 in turn. */
static void teach(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gauge(100 + 2 * (i % 2));
        assert_false(gw_proc_has(&r, "anomaly.score"));
    }
}

static void open_it(const char *yaml)
{
    now_s = 0;
    gw_proc_open(&r, "anomaly", GW_METRICS, yaml);
}

static double points(const char *verdict)
{
    char text[120];

    (void)snprintf(text, sizeof(text), "staunch_anomaly_points{component=\"anomaly\",verdict=\"%s\"}", verdict);
    return gw_proc_metric(&r, text);
}

static double series(void)
{
    return gw_proc_metric(&r, "staunch_anomaly_series{component=\"anomaly\"}");
}

/*
 * Scenario    a gauge between 100 and 102 for a while, then 150; the same with every method, and as deltas
 * Guarantees  only the last one gets a score, and what was expected; nothing before the warm-up is over
 */
static void what_is_unusual_gets_a_score(void **state)
{
    static const char *const methods[] = {"ewma", "median", "holt_winters"};
    char yaml[200];

    (void)state;
    for (unsigned m = 0; m < 3; m++) {
        (void)snprintf(yaml, sizeof(yaml), "{method: %s, season: {length: 4s, slots: 4}}", methods[m]);
        open_it(yaml);
        teach(100);
        gauge(150);
        assert_true(gw_proc_has(&r, "anomaly.score") && gw_proc_has(&r, "anomaly.expected") && r.n_out == 1);
        assert_true(points("anomalous") == 1 && points("learning") == (m == 2 ? 34 : 30));
        gw_proc_close(&r);
    }
    open_it("warmup: 3");
    for (unsigned i = 0; i < 9; i++)
        send("sum", "\"aggregationTemporality\":1,", 5 + i % 2);
    send("sum", "\"aggregationTemporality\":1,", 90);
    assert_true(gw_proc_has(&r, "anomaly.score") && points("learning") == 3);
    gw_proc_close(&r);
}

/* Scenario: threshold, min_deviation, alpha, annotate. Guarantees: they say what is unusual, and what is told. */
static void settings_say_what_is_unusual(void **state)
{
    (void)state;
    open_it("threshold: 100");
    teach(60);
    gauge(150);
    assert_false(gw_proc_has(&r, "anomaly.score"));
    gw_proc_close(&r);
    open_it("min_deviation: 0.5");
    teach(60);
    gauge(150);
    assert_false(gw_proc_has(&r, "anomaly.score"));
    gw_proc_close(&r);
    open_it("alpha: 0.9");
    teach(60);
    gauge(150);
    gauge(150);
    gauge(150);
    assert_false(gw_proc_has(&r, "anomaly.score")); /* is the new normal */
    gw_proc_close(&r);
    open_it("annotate: all");
    for (unsigned i = 0; i < 40; i++) {
        gauge(100 + 2 * (i % 2));
        assert_true(gw_proc_has(&r, "anomaly.score") == (i >= 30));
    }
    gw_proc_close(&r);
    open_it("annotate: none");
    teach(60);
    gauge(150);
    assert_false(gw_proc_has(&r, "anomaly.score"));
    assert_true(points("anomalous") == 1);
    gw_proc_close(&r);
}

/*
 * Scenario    a season of four slots, then a value that is usual in another slot; the same learned without it (gamma
 * 0), and a slope with and without a trend (beta) Guarantees  the season and the trend count as the settings say
 */
static void seasons_and_trends(void **state)
{
    static const char *const yamls[] = {"gamma: 0.1", "gamma: 0", "season: {length: 2s, slots: 2}",
                                        "season: {length: 4s, slots: 2}"};
    double scores[4];
    char yaml[200];

    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        const char *at;

        (void)snprintf(yaml, sizeof(yaml), "{method: holt_winters, annotate: all, %s%s}", yamls[k],
                       k < 2 ? ", season: {length: 4s, slots: 4}" : "");
        open_it(yaml);
        for (unsigned i = 0; i < 200; i++)
            gauge((i + (k == 1 && i > 4)) % 4 * 100);
        gauge(0);
        at = strstr(r.out, "\"doubleValue\":");
        assert_non_null(at);
        scores[k] = strtod(at + strlen("\"doubleValue\":"), NULL);
        gw_proc_close(&r);
    }
    assert_true(scores[0] < 1 && scores[1] > scores[0]);
    assert_true(scores[2] != scores[3]);
    for (unsigned k = 0; k < 2; k++) {
        (void)snprintf(yaml, sizeof(yaml),
                       "{method: holt_winters, beta: %s, annotate: all, season: {length: 4s, slots: 2}}",
                       k ? "0" : "0.1");
        open_it(yaml);
        for (unsigned i = 0; i < 300; i++)
            gauge(i * 10);
        scores[k] = strtod(strstr(r.out, "\"doubleValue\":") + strlen("\"doubleValue\":"), NULL);
        gw_proc_close(&r);
    }
    assert_true(scores[0] != scores[1]);
    gw_proc_refuses("anomaly", "season: {length: 1us, slots: 5000}", "less than a nanosecond");
}

/* Scenario: points that `where` does not select, totals, histograms, older ones. Guarantees: they pass, unlearned. */
static void what_is_not_judged(void **state)
{
    (void)state;
    open_it("{where: 'metric.name == \"m\"', warmup: 1}");
    gauge(1);
    gauge(2);
    gw_proc_send(&r, metric_of("other", "gauge", "", "{\"timeUnixNano\":\"5\",\"asInt\":\"5\"}"));
    gw_proc_send(&r, metric_of("m", "histogram", "\"aggregationTemporality\":1,", "{\"count\":\"5\"}"));
    send("sum", "\"aggregationTemporality\":2,", 7);
    gw_proc_send(&r, metric_of("m", "gauge", "", "{\"timeUnixNano\":\"5\",\"asInt\":\"5\"}"));
    gw_proc_send(&r, metric_of("m", "gauge", "", "{\"timeUnixNano\":\"9000000000\",\"flags\":1}"));
    assert_true(points("passed") == 5 && points("learning") == 1);
    gw_proc_close(&r);
    gw_proc_refuses_signal("anomaly", GW_METRICS, "where: 'metric.nam'", "where:");
}

static void tick(uint64_t ns)
{
    gw_test_env_advance(&r.te, ns);
    while (r.component->tick(r.self, gw_mono_ns(&r.te.env), &r.ports) == GW_MORE)
        ;
}

/* Scenario: two series, max_series 1; silence; a reload. Guarantees: bounded, forgotten in time, learned on. */
static void series_are_bounded(void **state)
{
    void *next;

    (void)state;
    open_it("{max_series: 1, max_stale: 2m}");
    teach(50);
    gw_proc_send(&r, metric_of("other", "gauge", "", "{\"timeUnixNano\":\"5\",\"asInt\":\"5\"}"));
    assert_true(points("no_room") == 1 && r.n_out == 1);
    tick(1);
    tick(60 * NS_PER_S);
    assert_true(series() == 1);
    assert_int_equal(r.component->create(&next, &r.ctx, r.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(next, r.self), 0);
    r.component->destroy(r.self);
    r.self = next;
    assert_true(series() == 1);
    gauge(150);
    assert_true(gw_proc_has(&r, "anomaly.score"));
    tick(1);
    tick(200 * NS_PER_S);
    assert_true(series() == 0);
    gw_proc_close(&r);
}

/*
 * Scenario    a policy watches it, then nobody does
 * Guarantees  what is unusual raises an alarm, with its time and score; what is usual, and what only teaches, does not
 */
static void who_watches_hears_of_it(void **state)
{
    static const char *const attributes[] = {"queue"};
    struct gw_alarms *alarms = gw_alarms_new();
    struct gw_proc_world world = {.alarms = alarms, .n_workers = 1};
    struct gw_watch_conf conf = {
        .detector = "anomaly", .attributes = attributes, .n_attributes = 1, .hold_ns = NS_PER_S, .max_alarms = 10};
    struct gw_watch *w = gw_watch_new(alarms, &conf);
    const char *unusual = "{\"timeUnixNano\":\"99000000000\",\"asDouble\":150,\"attributes\":[{\"key\":\"queue\","
                          "\"value\":{\"stringValue\":\"q\"}}]}";
    struct gw_alarm *list = NULL;
    uint64_t version;
    size_t n;

    (void)state;
    gw_proc_world = &world;
    open_it("{warmup: 5}");
    for (unsigned i = 1; i < 10; i++) {
        char point[200];

        (void)snprintf(point, sizeof(point),
                       "{\"timeUnixNano\":\"%u000000000\",\"asDouble\":%u,\"attributes\":[{\"key\":\"queue\","
                       "\"value\":{\"stringValue\":\"q\"}}]}",
                       i, 100 + i % 2);
        gw_proc_send(&r, metric_of("m", "gauge", "", point));
    }
    assert_int_equal(gw_watch_version(w), 0);
    gw_proc_send(&r, metric_of("m", "gauge", "", unusual));
    assert_int_not_equal(gw_watch_version(w), 0);
    assert_true(gw_watch_copy(w, &list, &n, &version));
    assert_int_equal(n, 1);
    assert_int_equal(list->to_ns, 99 * NS_PER_S);
    assert_true(list->score > 4);
    assert_true(list->key == gw_alarm_key_add(gw_alarm_key(attributes, 1), GW_SLICE("q")));
    assert_int_equal((int)gw_proc_metric(&r, "staunch_anomaly_alarms{component=\"anomaly\"}"), 1);
    gw_proc_close(&r);
    gw_proc_world = NULL;
    free(list);
    gw_watch_unref(w);
    gw_alarms_free(alarms);
}

/* Points of x, y of a key at one time, in one request; of a key they are sent with their attributes in turn. */
static void pair(const char *key, unsigned time, double x, double y)
{
    char attrs[2][100], all[2][220], text[1024];

    (void)snprintf(attrs[0], sizeof(attrs[0]), "{\"key\":\"k\",\"value\":{\"stringValue\":\"%s\"}}", key);
    (void)snprintf(attrs[1], sizeof(attrs[1]), "{\"key\":\"n\",\"value\":{\"intValue\":\"1\"}}");
    (void)snprintf(all[0], sizeof(all[0]), "%s,%s", attrs[time % 2], attrs[1 - time % 2]);
    (void)snprintf(all[1], sizeof(all[1]), "%s,%s", attrs[1], attrs[0]);
    (void)snprintf(
        text, sizeof(text),
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":["
        "{\"name\":\"x\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%u\",\"asDouble\":%g,\"attributes\":[%s]}]}},"
        "{\"name\":\"y\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%u\",\"asDouble\":%g,\"attributes\":[%s]}]}}]}]"
        "}]}",
        time, x, all[0], time, y, all[1]);
    gw_proc_send(&r, text);
}

/* 100 and 50, which go up and down together. */
static void teach_pairs(const char *key, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        pair(key, i, 100 + i * 7 % 20, 50 + i * 7 % 20 * 0.5 + i % 3 * 0.1);
}

/*
 * Scenario    two metrics of a key that go together, then do not; another key; a reload; silence; metrics that are not
 * of the group Guarantees  a score, with the metric that is furthest off, on the point that completes the pane; keys
 * are told apart, bounded, learned on and forgotten
 */
static void metrics_are_judged_together(void **state)
{
    void *next;

    (void)state;
    open_it("{method: together, together: {metrics: [x, y], max_groups: 1}, max_stale: 2m}");
    teach_pairs("a", 100);
    assert_false(gw_proc_has(&r, "anomaly"));
    assert_true(points("waiting") == 100 && points("learning") == 30 && points("usual") == 70);
    pair("a", 101, 118, 59);
    assert_false(gw_proc_has(&r, "anomaly"));
    assert_int_equal(r.component->create(&next, &r.ctx, r.conf, &r.err), 0);
    assert_int_equal(r.component->adopt(next, r.self), 0);
    r.component->destroy(r.self);
    r.self = next;
    pair("a", 102, 118, 51);
    assert_true(gw_proc_has(&r, "anomaly.score") && gw_proc_has(&r, "anomaly.metric"));
    assert_true(gw_proc_has(&r, "anomaly.expected"));
    assert_true(points("anomalous") == 1);
    pair("b", 103, 1, 1);
    assert_true(points("no_room") == 2);
    gauge(5); /* m is none of them */
    assert_true(points("passed") == 1);
    tick(1);
    assert_true(series() == 1);
    tick(60 * NS_PER_S);
    tick(200 * NS_PER_S);
    assert_true(series() == 0);
    gw_proc_close(&r);
    gw_proc_refuses("anomaly", "{method: together, together: {metrics: [x]}}", "wants 2 to 8 names");
    gw_proc_refuses("anomaly", "{method: together, together: {metrics: [x, y, x]}}", "\"x\" stands twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_unusual_gets_a_score), cmocka_unit_test(settings_say_what_is_unusual),
        cmocka_unit_test(seasons_and_trends),           cmocka_unit_test(what_is_not_judged),
        cmocka_unit_test(series_are_bounded),           cmocka_unit_test(who_watches_hears_of_it),
        cmocka_unit_test(metrics_are_judged_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
