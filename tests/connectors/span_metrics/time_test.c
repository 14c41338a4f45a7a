/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of series over time, on several workers, and where there are too many of them. */
#include "tests/connectors/points.h"

#define GET_OF(instance) SPANS(SERVICE "," STR("service.instance.id", instance), GET)

/* A span of that name. */
static void send_named(struct gw_joint_rig *r, unsigned worker, const char *name)
{
    char json[1024];

    (void)snprintf(json, sizeof(json),
                   "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" SERVICE
                   "]},\"scopeSpans\":[{\"spans\":[{\"name\":\"%s\"," TIMES("010") "}]}]}]}",
                   name);
    gw_joint_send(r, worker, json);
}

/*
 * Scenario    cumulative, two flushes with spans in between, a third without
 * Guarantees  one start for all points of a series, its own; values go on growing; exemplars only of the last interval
 */
static void cumulative_series_go_on(void **state)
{
    struct gw_joint_rig r;
    struct point p;
    uint64_t start;

    (void)state;
    open_rig(&r, 1, "zero_first_point: false\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    p = FIND(&r, CALLS);
    start = p.start;
    assert_int_equal(p.number, 1);
    assert_int_equal(p.time, start + 60 * S);
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    send_named(&r, 0, "later");
    flush(&r);
    p = FIND(&r, CALLS, "span.name=get");
    assert_true(p.start == start && p.number == 2);
    assert_int_equal(FIND(&r, DURATION, "span.name=get").start, start);
    assert_int_equal(FIND(&r, CALLS, "span.name=later").start, start + 60 * S);
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=get").number, 2);
    assert_int_equal(FIND(&r, DURATION, "span.name=get").count, 2);
    close_rig(&r);
}

/*
 * Scenario    delta, with an interval in which a series is not seen; a cache of one timestamp
 * Guarantees  each point has what its interval had, and begins where the last one of its series ended; nothing is sent
 *             of what was not seen; what is not remembered begins with its first span
 */
static void delta_series_begin_anew(void **state)
{
    struct gw_joint_rig r;
    struct point p;
    uint64_t end;

    (void)state;
    open_rig(&r, 1, "aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET "," GET));
    flush(&r);
    p = FIND(&r, CALLS);
    end = p.time;
    assert_int_equal(p.temporality, 1);
    assert_int_equal(p.number, 2);
    flush(&r);
    assert_int_equal(r.n_rows, 0);
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    gw_joint_send(&r, 0, GET_OF("2"));
    flush(&r);
    read_all(&r);
    assert_int_equal(FIND(&r, CALLS).times, 2);
    assert_int_equal(
        requests[0]->resource_metrics[0]->scope_metrics[0]->metrics[0]->sum->data_points[0]->start_time_unix_nano, end);
    p = FIND(&r, CALLS);
    assert_int_equal(p.start, end + 60 * S); /* of the other resource */
    assert_int_equal(p.number, 1);
    assert_int_equal(FIND(&r, DURATION).count, 1);
    assert_int_equal(FIND(&r, DURATION).start, end + 60 * S);
    close_rig(&r);
    open_rig(&r, 1, "aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA\nmetric_timestamp_cache_size: 1\n");
    send_named(&r, 0, "a");
    send_named(&r, 0, "b");
    flush(&r);
    end = FIND(&r, CALLS).time;
    gw_joint_tick(&r, 0, S);
    send_named(&r, 0, "a");
    send_named(&r, 0, "b");
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=a").start, end + S);
    assert_int_equal(FIND(&r, CALLS, "span.name=b").start, end);
    close_rig(&r);
}

/* Scenario: an interval of 5 s, and ticks that come late. Guarantees: one flush for each interval that was noticed. */
static void flushes_keep_their_rhythm(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1, "metrics_flush_interval: 5s\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    gw_joint_tick(&r, 0, 4 * S);
    assert_int_equal(r.n_bodies, 0);
    gw_joint_tick(&r, 0, 2 * S);
    assert_int_equal(r.n_bodies, 1);
    gw_joint_tick(&r, 0, 3 * S);
    assert_int_equal(r.n_bodies, 1);
    gw_joint_tick(&r, 0, S);
    assert_int_equal(r.n_bodies, 2);
    gw_joint_tick(&r, 0, 23 * S);
    gw_joint_tick(&r, 0, 0);
    assert_int_equal(r.n_bodies, 3);
    gw_joint_tick(&r, 0, 2 * S);
    assert_int_equal(r.n_bodies, 4);
    close_rig(&r);
}

/*
 * Scenario    series and resources that are not seen any more
 * Guarantees  series_expiration forgets one series, metrics_expiration a resource with all of its (told once more, as
 *             the Collector does it); what comes back begins anew, with another start
 */
static void what_is_not_seen_expires(void **state)
{
    struct gw_joint_rig r;
    uint64_t start;

    (void)state;
    open_rig(&r, 1, "series_expiration: 90s\nzero_first_point: false\n");
    send_named(&r, 0, "old");
    send_named(&r, 0, "used");
    flush(&r);
    start = FIND(&r, CALLS, "span.name=old").start;
    send_named(&r, 0, "used");
    flush(&r); /* told, and then forgotten */
    assert_int_equal(FIND(&r, CALLS).times, 2);
    send_named(&r, 0, "used");
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=old").times, 0);
    assert_int_equal(FIND(&r, DURATION, "span.name=old").times, 0);
    assert_int_equal(FIND(&r, CALLS, "span.name=used").number, 3);
    send_named(&r, 0, "old");
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=old").number, 1);
    assert_int_equal(FIND(&r, CALLS, "span.name=old").start, start + 180 * S);
    close_rig(&r);
    open_rig(&r, 1, "series_expiration: 60s\n");
    send_named(&r, 0, "of a minute ago");
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 1);
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 0);
    close_rig(&r);
    open_rig(&r, 1, "metrics_expiration: 90s\nzero_first_point: false\n");
    gw_joint_send(&r, 0, GET_OF("gone"));
    gw_joint_send(&r, 0, GET_OF("here"));
    for (unsigned i = 0; i < 3; i++) {
        flush(&r);
        assert_int_equal(FIND(&r, CALLS).times, 2);
        gw_joint_send(&r, 0, GET_OF("here"));
    }
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 1);
    assert_int_equal(FIND(&r, CALLS).number, 4);
    for (unsigned i = 0; i < 3; i++) { /* a minute without a span, two (then it expires), and the last time */
        flush(&r);
        assert_int_equal(FIND(&r, CALLS).times, i < 2);
    }
    close_rig(&r);
}

/*
 * Scenario    more resources than resource_metrics_cache_size, in one interval
 * Guarantees  the one that was not seen for longest leaves, and is told a last time; one that is seen before that comes
 *             back with its values
 */
static void resources_that_are_too_many_leave(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1, "resource_metrics_cache_size: 3\nzero_first_point: false\n");
    gw_joint_send(&r, 0, GET_OF("1"));
    gw_joint_send(&r, 0, GET_OF("2"));
    gw_joint_send(&r, 0, GET_OF("3"));
    gw_joint_send(&r, 0, GET_OF("4")); /* 1 leaves */
    gw_joint_send(&r, 0, GET_OF("1")); /* and comes back; 2 leaves */
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 4);
    assert_true(gw_joint_has(&r, "{\"stringValue\":\"2\"}"));
    assert_true(gw_joint_has(&r, "\"asInt\":\"2\""));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 3);
    assert_false(gw_joint_has(&r, "{\"stringValue\":\"2\"}"));
    gw_joint_forget(&r);
    for (char c = 'a'; c < 'd'; c++) {
        char json[512];

        (void)snprintf(json, sizeof(json), GET_OF("%c"), c);
        gw_joint_send(&r, 0, json);
    }
    gw_joint_tick(&r, 0, 0); /* as many wait to be told as may be there: now, then */
    assert_int_equal(FIND(&r, CALLS).times, 6);
    close_rig(&r);
}

/*
 * Scenario    a limit of 2 series; and of 3 over all resources
 * Guarantees  what is there goes on, the rest is one series with otel.metric.overflow: true, of each metric
 */
static void series_that_are_too_many_are_one(void **state)
{
    struct gw_joint_rig r;
    char name[2] = "a";

    (void)state;
    open_rig(&r, 1,
             "aggregation_cardinality_limit: 2\nzero_first_point: false\nexemplars: { enabled: true }\n"
             "histogram: { dimensions: [ { name: x } ] }\n");
    for (; *name < 'f'; ++*name)
        send_named(&r, 0, name);
    send_named(&r, 0, "a");
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 3);
    assert_int_equal(FIND(&r, CALLS, "span.name=a").number, 2);
    assert_int_equal(FIND(&r, CALLS, "span.name").number, 3);
    assert_int_equal(FIND(&r, CALLS, "span.name").n_attrs, 1);
    assert_int_equal(FIND(&r, DURATION, "span.name").count, 3);
    assert_true(gw_joint_has(&r, "{\"key\":\"otel.metric.overflow\",\"value\":{\"boolValue\":true}}"));
    close_rig(&r);
    open_rig(&r, 1, "aggregation_cardinality_limit: 1\nexemplars: { enabled: true }\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET "," SPAN("\"name\":\"more\"")));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=get").n_exemplars, 1);
    assert_int_equal(FIND(&r, CALLS, "span.name").n_exemplars, 0);
    close_rig(&r);
    open_rig(&r, 1, "max_series: 3\nzero_first_point: false\n");
    gw_joint_send(&r, 0, GET_OF("1"));
    gw_joint_send(&r, 0, GET_OF("2"));
    gw_joint_send(&r, 0, GET_OF("3"));
    gw_joint_send(&r, 0, GET_OF("4"));
    gw_joint_send(&r, 0, GET_OF("4"));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name").number, 2);
    assert_int_equal(FIND(&r, CALLS, "span.name=get").times, 3);
    close_rig(&r);
}

/* Scenario: a key of two resource attributes. Guarantees: what else differs makes no other series. */
static void resources_are_told_apart_by_chosen_attributes(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1, "resource_metrics_key_attributes: [ service.name, zone ]\nzero_first_point: false\n");
    gw_joint_send(&r, 0, SPANS(SERVICE "," STR("zone", "eu") "," STR("pid", "1"), GET));
    gw_joint_send(&r, 0, SPANS(STR("pid", "2") "," STR("zone", "eu") "," SERVICE, GET));
    gw_joint_send(&r, 0, SPANS(SERVICE "," STR("zone", "us"), GET));
    flush(&r);
    assert_int_equal(FIND(&r, CALLS).times, 2);
    assert_true(gw_joint_has(&r, "{\"key\":\"pid\",\"value\":{\"stringValue\":\"1\"}}"));
    assert_false(gw_joint_has(&r, "{\"key\":\"pid\",\"value\":{\"stringValue\":\"2\"}}"));
    assert_true(gw_joint_has(&r, "\"asInt\":\"2\""));
    close_rig(&r);
}

/*
 * Scenario    four workers count the same series, and others; any of them flushes
 * Guarantees  there is one series of each, with the sum of all; histograms and exemplars of all are in it
 */
static void workers_count_one_series(void **state)
{
    struct gw_joint_rig r;
    struct point p;

    (void)state;
    open_rig(&r, 4, "zero_first_point: false\nexemplars: { enabled: true }\nhistogram: { exponential: }\n");
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k <= i; k++)
            gw_joint_send(&r, i, SPANS(SERVICE, GET));
    send_named(&r, 3, "of one");
    gw_joint_tick(&r, 2, 60 * S);
    gw_joint_tick(&r, 1, 0);
    p = FIND(&r, CALLS, "span.name=get");
    assert_int_equal(p.times, 1);
    assert_int_equal(p.number, 10);
    assert_int_equal(p.n_exemplars, 5);
    p = FIND(&r, DURATION, "span.name=get");
    assert_int_equal(p.count, 10);
    assert_int_equal(p.buckets[0], 10);
    assert_int_equal(FIND(&r, CALLS, "span.name=of one").number, 1);
    close_rig(&r);
}

/* Scenario: 5,000 series in one interval, of a worker whose deltas hold 4096. Guarantees: all are told, once. */
static void many_series_are_merged_in_between(void **state)
{
    struct gw_joint_rig r;
    struct gw_buf json;

    (void)state;
    open_rig(&r, 1, "zero_first_point: false\nevents: { enabled: true, dimensions: [ { name: x } ] }\n");
    gw_buf_init(&json, 64 << 20);
    gw_buf_printf(&json,
                  "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" SERVICE "]},\"scopeSpans\":[{\"spans\":[");
    for (unsigned i = 0; i < 5000; i++)
        gw_buf_printf(&json, "%s{\"name\":\"s%u\",\"events\":[{\"name\":\"e\"}]}", i ? "," : "", i);
    gw_buf_printf(&json, "]}]}]}");
    gw_buf_put_u8(&json, 0);
    gw_joint_send(&r, 0, (const char *)json.p);
    gw_joint_send(&r, 0, (const char *)json.p);
    flush(&r);
    assert_int_equal(r.n_rows, 15000);
    assert_true(r.n_bodies > 3);
    assert_int_equal(FIND(&r, CALLS, "span.name=s4999").number, 2);
    assert_int_equal(FIND(&r, EVENTS, "span.name=s2500").number, 2);
    gw_buf_clear(&json);
    close_rig(&r);
}

/*
 * Scenario    instances of a second graph join, those of the first one drain and leave; then all do
 * Guarantees  nothing is told by the ones that leave, nor lost; series go on with their start; the last one to drain
 *             sends what was counted since the last flush, once
 */
static void a_reload_resets_nothing(void **state)
{
    struct gw_joint_rig r;
    unsigned a, b;
    uint64_t start;

    (void)state;
    open_rig(&r, 2, "zero_first_point: false\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    start = FIND(&r, CALLS).start;
    a = gw_joint_join(&r, GW_TRACES, 0);
    b = gw_joint_join(&r, GW_TRACES, 1);
    gw_joint_send(&r, 1, SPANS(SERVICE, GET));
    gw_joint_forget(&r);
    gw_joint_tick(&r, a, 0);
    gw_joint_tick(&r, 1, 60 * S); /* of the graph that leaves */
    assert_int_equal(r.n_bodies, 0);
    assert_int_equal(gw_joint_drain(&r, 0), GW_DONE);
    assert_int_equal(gw_joint_drain(&r, 1), GW_DONE);
    gw_joint_leave(&r, 0);
    gw_joint_leave(&r, 1);
    gw_joint_send(&r, b, SPANS(SERVICE, GET));
    gw_joint_tick(&r, b, 0);
    assert_int_equal(FIND(&r, CALLS).number, 3);
    assert_int_equal(FIND(&r, CALLS).start, start);
    gw_joint_forget(&r);
    gw_joint_send(&r, a, SPANS(SERVICE, GET));
    assert_int_equal(gw_joint_drain(&r, a), GW_DONE);
    gw_joint_send(&r, a, SPANS(SERVICE, GET)); /* what another component had held */
    assert_int_equal(gw_joint_drain(&r, b), GW_DONE);
    assert_int_equal(r.n_bodies, 0);
    assert_int_equal(gw_joint_drain(&r, a), GW_MORE);
    assert_int_equal(gw_joint_drain(&r, a), GW_DONE);
    assert_int_equal(gw_joint_drain(&r, b), GW_DONE);
    assert_int_equal(r.n_bodies, 1);
    assert_int_equal(FIND(&r, CALLS).number, 5);
    assert_int_equal(r.memory.used_bytes, 0);
    close_rig(&r);
}

/* Scenario: the queues behind are full at the time of a flush. Guarantees: it waits, and a delta loses nothing. */
static void a_flush_waits_for_room(void **state)
{
    struct gw_joint_rig r;

    (void)state;
    open_rig(&r, 1, "aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA\n");
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    r.full = true;
    flush(&r);
    gw_joint_send(&r, 0, SPANS(SERVICE, GET));
    flush(&r);
    assert_int_equal(r.n_bodies, 0);
    assert_true(gw_test_env_logged(&r.te, "queues behind it are full"));
    r.full = false;
    gw_joint_tick(&r, 0, S);
    assert_int_equal(FIND(&r, CALLS).number, 2);
    close_rig(&r);
}

/* Scenario: no memory for more series. Guarantees: overflow, or counted as lost; the budget is kept, and given back. */
static void memory_has_an_end(void **state)
{
    struct gw_joint_rig r;
    char name[8];

    (void)state;
    open_rig(&r, 1, "zero_first_point: false\n");
    send_named(&r, 0, "first");
    r.memory.hard_bytes = r.memory.used_bytes + 2000;
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "n%u", i);
        send_named(&r, 0, name);
    }
    assert_true(r.memory.used_bytes <= r.memory.hard_bytes);
    flush(&r);
    assert_int_equal(FIND(&r, CALLS, "span.name=first").number, 1);
    assert_true(FIND(&r, CALLS, "span.name").number > 400);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cumulative_series_go_on),
        cmocka_unit_test(delta_series_begin_anew),
        cmocka_unit_test(flushes_keep_their_rhythm),
        cmocka_unit_test(what_is_not_seen_expires),
        cmocka_unit_test(resources_that_are_too_many_leave),
        cmocka_unit_test(series_that_are_too_many_are_one),
        cmocka_unit_test(resources_are_told_apart_by_chosen_attributes),
        cmocka_unit_test(workers_count_one_series),
        cmocka_unit_test(many_series_are_merged_in_between),
        cmocka_unit_test(a_reload_resets_nothing),
        cmocka_unit_test(a_flush_waits_for_room),
        cmocka_unit_test(memory_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
