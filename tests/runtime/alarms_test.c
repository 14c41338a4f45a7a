/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms between threads: what the thread sanitizer looks at. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/alarms.h"
#include "tests/processors/tail_sampling/rig.h"

enum { N_RAISING = 3, N_LOOKING = 3, N_KEYS = 40, ROUNDS = 25 };

static struct gw_alarms *alarms;

/* One point a service of this thread. */
static void points(struct gw_view *v, struct gw_arena *arena, unsigned thread)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};
    struct gw_buf json, wire;
    struct gw_ref at;

    gw_buf_init(&json, 1 << 20);
    gw_buf_init(&wire, 1 << 20);
    gw_buf_put_str(&json, "{\"resourceMetrics\":[");
    for (unsigned i = thread; i < N_KEYS; i += N_RAISING)
        gw_buf_printf(
            &json,
            "%s{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s%u\"}}]},"
            "\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":"
            "\"1000000000\",\"asDouble\":1}]}}]}]}",
            i == thread ? "" : ",", i);
    gw_buf_put_str(&json, "]}");
    if (gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) < 0)
        abort();
    if (gw_batch_append(b, gw_buf_slice(&wire), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) < 0)
        abort();
    gw_view_init(v, b, arena);
    (void)gw_batch_unref(b);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

static void *raise_some(void *arg)
{
    struct gw_alarm_board *board = gw_alarms_board(alarms, "anomaly");
    struct gw_arena arena;
    struct gw_view v;

    gw_arena_init(&arena, 4096, 1 << 20);
    points(&v, &arena, *(unsigned *)arg);
    for (unsigned n = 0; n < ROUNDS; n++)
        for (uint32_t row = 0; row < v.batch->n_rows; row++)
            if (gw_alarm_is_watched(board))
                (void)gw_alarm_raise(board, &v, row, 5);
    gw_view_clear(&v);
    gw_arena_clear(&arena);
    return NULL;
}

/* Policies come and go meanwhile, as at reloads; what they know stays. */
static void *look(void *arg)
{
    struct gw_alarm *list;
    uint64_t version;
    size_t n = 0;

    (void)arg;
    while (n < N_KEYS) {
        const char *const attributes[] = {"service.name"};
        const struct gw_watch_conf conf = {
            .detector = "anomaly", .attributes = attributes, .n_attributes = 1, .hold_ns = 1, .max_alarms = 100};
        struct gw_watch *w = gw_watch_new(alarms, &conf);

        if (!w || !gw_watch_copy(w, &list, &n, &version))
            abort();
        free(list);
        gw_watch_unref(w);
        sched_yield();
    }
    return NULL;
}

/*
 * Scenario    threads raise alarms of 40 services, while others make watches, copy what they know and let them go
 * Guarantees  who looks sees all of them in the end, and a policy keeps a trace of each
 */
static void workers_raise_and_look(void **state)
{
    struct rig r = {.c.share = 1};
    unsigned numbers[N_RAISING];
    pthread_t t[N_RAISING + N_LOOKING];
    char name[80];

    (void)state;
    alarms = gw_alarms_new();
    r.c.alarms = alarms;
    rig_open(&r, "policies: [{name: a, type: anomalous, anomalous: {detector: anomaly, hold: 1ns}}]");
    for (unsigned i = 0; i < N_RAISING + N_LOOKING; i++) {
        if (i < N_RAISING)
            numbers[i] = i;
        assert_int_equal(
            pthread_create(&t[i], NULL, i < N_RAISING ? raise_some : look, i < N_RAISING ? &numbers[i] : NULL), 0);
    }
    while (gw_alarms_board(alarms, "anomaly") &&
           TRACE(&r, {.start_ns = S, .resource = TEXT("service.name", "s0")}) != GW_SAMPLED)
        sched_yield();
    for (unsigned i = 0; i < N_RAISING + N_LOOKING; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (unsigned i = 0; i <= N_KEYS; i++) {
        (void)snprintf(name, sizeof(name), "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s%u\"}}", i);
        assert_int_equal(TRACE(&r, {.start_ns = S, .resource = name}), i < N_KEYS ? GW_SAMPLED : GW_NOT_SAMPLED);
    }
    rig_close(&r);
    gw_alarms_free(alarms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_raise_and_look)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
