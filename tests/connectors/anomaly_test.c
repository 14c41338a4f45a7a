/* SPDX-License-Identifier: Apache-2.0 */
/* What is unusual: tests/processors/anomaly_test.c, of which this is the same engine. */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/json.h"
#include "tests/harness_connector.h"

static struct gw_joint_rig r;
static unsigned now_s;

static void send_metric(const char *name, const char *attrs, unsigned time_s, double value)
{
    static char text[200000];

    (void)snprintf(
        text, sizeof(text),
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"shop\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"lib\"},\"metrics\":[{\"name\":"
        "\"%s\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"%u000000000\",\"asDouble\":%g,\"attributes\":["
        "%s]}]}}]}]}]}",
        name, time_s, value, attrs);
    gw_joint_send(&r, 0, text);
}

#define ROUTE "{\"key\":\"route\",\"value\":{\"stringValue\":\"/pay\"}}"

static void gauge(double value)
{
    send_metric("m", ROUTE, ++now_s, value);
}

static void teach(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gauge(100 + 2 * (i % 2));
}

static void open_it(const char *yaml)
{
    now_s = 0;
    gw_joint_open(&r, "anomaly", GW_METRICS, yaml, 1);
}

/*
 * Scenario    a gauge that is steady, then is not, then is again
 * Guarantees  one log record, in the resource and scope of the point, with its time and attributes, name, value, score
 *             and what was expected; all points are absorbed
 */
static void an_event_for_what_is_unusual(void **state)
{
    static const char *const texts[] = {"\"shop\"",
                                        "\"lib\"",
                                        "\"timeUnixNano\":\"61000000000\"",
                                        "\"severityNumber\":13",
                                        "\"eventName\":\"anomaly\"",
                                        "\"/pay\"",
                                        "\"metric.name\"",
                                        "\"anomaly.score\"",
                                        "\"anomaly.value\"",
                                        "\"anomaly.expected\"",
                                        "\"anomaly.deviation\"",
                                        "m is 150, 4"};

    (void)state;
    open_it("{}");
    teach(60);
    assert_int_equal(r.n_rows, 0);
    gauge(150);
    assert_int_equal(r.n_rows, 1);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!gw_joint_has(&r, texts[i]))
            fail_msg("no %s in %s", texts[i], r.json);
    gauge(101);
    assert_int_equal(r.n_rows, 1);
    assert_int_equal(r.settled[GW_ABSORBED], 62);
    gw_joint_close(&r);
}

/* Scenario: the queues behind are full; an end. Guarantees: events wait, and leave when there is room, or at the end.
 */
static void events_wait_for_room(void **state)
{
    (void)state;
    open_it("{}");
    teach(60);
    r.full = true;
    gauge(150);
    gw_joint_tick(&r, 0, 1);
    assert_int_equal(r.n_rows, 0);
    r.full = false;
    gw_joint_tick(&r, 0, 1);
    assert_int_equal(r.n_rows, 1);
    r.full = true;
    gauge(1500);
    while (gw_joint_drain(&r, 0) == GW_MORE)
        ;
    assert_int_equal(r.n_rows, 2);
    gw_joint_close(&r);
}

/* Scenario: far more events than find room. Guarantees: four MiB of them wait, the others are counted. */
static void events_that_find_no_room_are_counted(void **state)
{
    static char attrs[190000];
    double lost;

    (void)state;
    memset(attrs, 'x', sizeof(attrs));
    (void)memcpy(attrs, "{\"key\":\"k\",\"value\":{\"stringValue\":\"", 35);
    (void)snprintf(attrs + sizeof(attrs) - 10, 10, "\"}}");
    open_it("{warmup: 1, threshold: 0}");
    r.full = true;
    for (unsigned i = 0; i < 30; i++)
        send_metric("m", attrs, ++now_s, i);
    lost = gw_joint_metric(&r, "staunch_anomaly_lost_events{component=\"anomaly\"}");
    r.full = false;
    gw_joint_tick(&r, 0, 1);
    assert_true(r.n_rows > 20 && r.n_rows < 24);
    assert_int_equal(r.n_rows + (uint32_t)lost, 29);
    gw_joint_close(&r);
}

enum { N_SENT = 100 };
static struct gw_buf sent[N_SENT]; /* as protobuf: read once, sent with each settings */

#define POINT "{\"timeUnixNano\":\"%u000000000\",\"asDouble\":%u,\"attributes\":[%s]}"

/* Two metrics of two keys: one climbs with a season and jumps, the other jumps. */
static void make_requests(void)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_err err = {""};
    char text[2048];

    for (unsigned i = 0; i < N_SENT; i++) {
        unsigned m = i * 2 + i % 4 * 100 + (i % 20 == 19) * i, other = 100 + (i % 30 == 29) * 500;

        (void)snprintf(text, sizeof(text),
                       "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":["
                       "{\"name\":\"m\",\"gauge\":{\"dataPoints\":[" POINT "," POINT "]}},"
                       "{\"name\":\"other\",\"gauge\":{\"dataPoints\":[" POINT "," POINT "]}}]}]}]}",
                       i + 1, m, "", i + 1, m, ROUTE, i + 1, other, "", i + 1, other, ROUTE);
        gw_buf_init(&sent[i], 4096);
        assert_int_equal(gw_json_to_proto(GW_METRICS, gw_slice_cstr(text), &limits, &sent[i], &err), 0);
    }
}

/* Events after them; settings change how many. */
static unsigned events_of(const char *yaml)
{
    unsigned n;

    open_it(yaml);
    for (unsigned i = 0; i < N_SENT; i++) {
        gw_joint_send_wire(&r, 0, gw_buf_slice(&sent[i]));
        gw_joint_tick(&r, 0, UINT64_C(61) * 1000000000);
    }
    n = r.n_rows;
    gw_joint_close(&r);
    return n;
}

/* Guarantees: each setting of the engine is one of the connector, too. */
static void settings_say_what_is_unusual(void **state)
{
#define HW "method: holt_winters, season: {length: 4s, slots: 4}, warmup: 2, threshold: 3"
    unsigned usual, winters, together;

    (void)state;
    make_requests();
    usual = events_of("{threshold: 2, warmup: 5}");
    winters = events_of("{" HW "}");
    assert_true(usual > 0 && winters > 0);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, where: 'metric.name == \"m\"'}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, method: median}"), usual);
    assert_int_not_equal(events_of("{threshold: 1, warmup: 5}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 100}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, alpha: 0.9}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, min_deviation: 9}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, max_stale: 1s}"), usual);
    assert_int_not_equal(events_of("{threshold: 2, warmup: 5, max_series: 1}"), usual);
    assert_int_not_equal(events_of("{" HW ", beta: 1}"), winters);
    assert_int_not_equal(events_of("{" HW ", gamma: 1}"), winters);
    assert_int_not_equal(events_of("{method: holt_winters, season: {length: 40s, slots: 4}, warmup: 2, threshold: 3}"),
                         winters);
    assert_int_not_equal(events_of("{method: holt_winters, season: {length: 4s, slots: 2}, warmup: 2, threshold: 3}"),
                         winters);
#define TOGETHER(more) "{method: together, warmup: 5, threshold: 2, together: {metrics: [m, " more "}}"

    together = events_of(TOGETHER("other]"));
    assert_true(together > 0);
    assert_int_not_equal(events_of(TOGETHER("another]")), together);
    assert_int_not_equal(events_of(TOGETHER("other], max_groups: 1")), together);
    for (unsigned i = 0; i < N_SENT; i++)
        gw_buf_clear(&sent[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_for_what_is_unusual),
        cmocka_unit_test(events_wait_for_room),
        cmocka_unit_test(events_that_find_no_room_are_counted),
        cmocka_unit_test(settings_say_what_is_unusual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
