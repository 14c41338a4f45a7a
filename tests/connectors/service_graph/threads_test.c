/* SPDX-License-Identifier: Apache-2.0 */
/* service_graph on four threads at once, as workers have it: halves and requests go from inbox to inbox. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/yaml.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

enum { WORKERS = 4, REQUESTS = 60, A_REQUEST = 20 }; /* of each worker; spans in one */

static struct gw_test_env te;
static const struct gw_component *type;
static struct gw_ctx shared_ctx;
static pthread_barrier_t all_read;

struct worker {
    pthread_t thread;
    struct gw_ports ports; /* ops lead back here */
    unsigned index;
    struct gw_ctx ctx;
    void *self;
    struct gw_arena arena;
    uint64_t total, points; /* of its last metrics */
};

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    struct worker *w = (struct worker *)((char *)out - offsetof(struct worker, ports));
    const struct gw_batch *b = v->batch;

    (void)port;
    w->total = w->points = 0;
    for (uint32_t row = 0; row < b->n_rows; row++)
        if (b->number_type[row] == GW_N_INT) {
            w->total += (uint64_t)b->number[row].i64;
            w->points++;
        }
    gw_view_clear(v);
}

static const struct gw_ports_ops ops = {.emit = emit};

/* Clients of requests that this worker was given, servers of those of its neighbour: each pair meets from two threads.
 */
static const char *json_of(unsigned worker, unsigned request, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size,
                                "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
                                "\"value\":{\"stringValue\":\"s%u\"}}]},\"scopeSpans\":[{\"spans\":[",
                                request % 3);

    for (unsigned i = 0; i < A_REQUEST; i++) {
        bool is_client = i % 2 == 0;
        unsigned of = is_client ? worker : (worker + 1) % WORKERS, pair = (of * REQUESTS + request) * A_REQUEST + i / 2;

        n += (size_t)snprintf(
            text + n, size - n, "%s{\"traceId\":\"%032x\",\"spanId\":\"%016x\",\"parentSpanId\":\"%016x\",\"kind\":%d}",
            i ? "," : "", pair + 1, is_client ? pair + 1 : ~pair, is_client ? ~pair : pair + 1, is_client ? 3 : 2);
    }
    (void)snprintf(text + n, size - n, "]}]}]}");
    return text;
}

static void send(struct worker *w, unsigned request)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_TRACES);
    char text[8192];
    struct gw_buf wire;
    struct gw_view v;
    struct gw_ref at;

    gw_buf_init(&wire, 1 << 20);
    if (gw_json_to_proto(GW_TRACES, gw_slice_cstr(json_of(w->index, request, text, sizeof(text))), &limits, &wire,
                         NULL) < 0 ||
        gw_batch_append(b, gw_buf_slice(&wire), &at) < 0 ||
        gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) < 0)
        abort();
    gw_buf_clear(&wire);
    gw_view_init(&v, b, &w->arena);
    (void)gw_batch_unref(b);
    type->consume(w->self, &v, &w->ports);
    gw_arena_reset(&w->arena, 1 << 20);
}

static void *run(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < REQUESTS; i++) {
        send(w, i);
        if (i % 4 == 0)
            (void)type->tick(w->self, gw_mono_ns(&te.env), &w->ports);
    }
    (void)pthread_barrier_wait(&all_read);
    while (type->drain(w->self, &w->ports) == GW_MORE)
        ;
    return NULL;
}

static void start(struct worker *w, unsigned index, const void *conf)
{
    struct gw_err err = {""};

    w->index = index;
    w->ctx = shared_ctx;
    w->ctx.worker = index;
    gw_arena_init(&w->arena, 64 << 10, 64 << 20);
    w->ports = (struct gw_ports){.ops = &ops, .arena = &w->arena};
    assert_int_equal(type->create(&w->self, &w->ctx, conf, &err), 0);
}

/*
 * Scenario    four threads read 4,800 spans, of which no two sides of a request are read by one; all are drained at
 * once Guarantees  every request is counted, once, by one of them; nothing is left, and no thread waits for ever
 */
static void every_request_is_counted_once(void **state)
{
    static struct worker workers[WORKERS];
    struct gw_credit memory;
    struct gw_host host = {.memory = &memory};
    struct gw_arena conf_arena;
    struct gw_err err = {""};
    struct gw_diag diag;
    uint64_t total = 0, points = 0;
    bool old;
    void *conf;

    (void)state;
    gw_test_env_init(&te, 1);
    gw_credit_init(&memory, 100 << 20, 100 << 20);
    gw_arena_init(&conf_arena, 64 << 10, 64 << 20);
    gw_diag_init(&diag);
    type = gw_component_find(GW_CONNECTOR, GW_SLICE("service_graph"), &old);
    conf = calloc(1, type->conf_size);
    assert_int_equal(gw_schema_fill(type->fields, type->conf_size,
                                    gw_yaml_parse(GW_SLICE("store: {max_items: 100000}"), "test", &conf_arena, &diag),
                                    conf, &conf_arena, &diag),
                     0);
    shared_ctx = (struct gw_ctx){.env = &te.env,
                                 .id = "service_graph",
                                 .signal = GW_TRACES,
                                 .meter = gw_meter_new(),
                                 .n_workers = WORKERS,
                                 .host = &host};
    assert_int_equal(type->create_shared(&shared_ctx.shared, &shared_ctx, conf, &err), 0);
    assert_int_equal(pthread_barrier_init(&all_read, NULL, WORKERS), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        start(&workers[i], i, conf);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        total += workers[i].total;
        points += workers[i].points;
        type->destroy(workers[i].self);
        gw_arena_clear(&workers[i].arena);
    }
    type->destroy_shared(shared_ctx.shared);
    assert_int_equal(total, WORKERS * REQUESTS * A_REQUEST / 2);
    assert_int_equal(points, 3); /* s0 calls s0, s1 calls s1, s2 calls s2 */
    assert_int_equal(memory.used_bytes, 0);
    (void)pthread_barrier_destroy(&all_read);
    gw_meter_free(shared_ctx.meter);
    free(conf);
    gw_diag_clear(&diag);
    gw_arena_clear(&conf_arena);
    gw_test_env_clear(&te);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_request_is_counted_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
