/* SPDX-License-Identifier: Apache-2.0 */
/* Workers as they are: a thread each, that count, merge and flush as it comes. */
#include "tests/connectors/points.h"

#include <pthread.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"

enum { WORKERS = 4, BATCHES = 300, SPANS_EACH = 3 };

/* One thread's end of things: what it emitted is added up as it comes. */
struct end {
    struct gw_ports ports;
    struct gw_arena arena;
    struct gw_ledger ledger;
    const struct gw_component *type;
    void *self;
    struct gw_test_env *te;
    struct gw_slice wire;
    uint64_t calls, durations;
};

static void emit(struct gw_ports *ports, unsigned port, struct gw_view *v)
{
    struct end *e = (struct end *)ports;
    const struct gw_batch *b = v->batch;

    (void)port;
    for (uint32_t r = 0; r < b->n_rows; r++)
        if (b->number_type[r] == GW_N_INT)
            e->calls += b->number[r].u64;
        else
            e->durations += b->hists[b->number[r].u64].count;
    gw_view_clear(v);
}

static void *work(void *arg)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct end *e = arg;

    for (unsigned i = 0; i < BATCHES; i++) {
        struct gw_batch *b = gw_batch_new(GW_TRACES);
        struct gw_view v;
        struct gw_ref at;

        if (!b || gw_batch_append(b, e->wire, &at) < 0 || gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) < 0)
            return e;
        gw_view_init(&v, b, &e->arena);
        (void)gw_batch_unref(b);
        e->type->consume(e->self, &v, &e->ports);
        gw_test_env_advance(e->te, S / 100);
        if (i % 7 == 0)
            (void)e->type->tick(e->self, gw_mono_ns(&e->te->env), &e->ports);
        gw_arena_reset(&e->arena, 1 << 20);
    }
    (void)e->type->drain(e->self, &e->ports);
    return NULL;
}

/*
 * Scenario    four threads count deltas of the same series and others, flush every second of a clock that all move, and
 *             drain
 * Guarantees  what all flushes and the end brought together is every span, once, in calls and in durations
 */
static void nothing_is_lost_between_threads(void **state)
{
    static const struct gw_ports_ops ops = {.emit = emit};
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_joint_rig r;
    struct end ends[WORKERS];
    pthread_t threads[WORKERS];
    uint64_t calls = 0, durations = 0;
    struct gw_err err = {""};
    struct gw_buf wire;

    (void)state;
    open_rig(&r, WORKERS, "aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA\nmetrics_flush_interval: 1s\n");
    gw_buf_init(&wire, 1 << 20);
    assert_int_equal(gw_json_to_proto(GW_TRACES, gw_slice_cstr(SPANS(SERVICE, GET "," GET "," SPAN("\"name\":\"b\""))),
                                      &limits, &wire, &err),
                     0);
    for (unsigned i = 0; i < WORKERS; i++) {
        ends[i] = (struct end){.ports = {.ops = &ops, .ledger = &ends[i].ledger, .arena = &ends[i].arena},
                               .type = r.component,
                               .self = r.self[i],
                               .te = &r.te,
                               .wire = gw_buf_slice(&wire)};
        gw_arena_init(&ends[i].arena, 64 << 10, 64 << 20);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &ends[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        void *failed;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        calls += ends[i].calls;
        durations += ends[i].durations;
        gw_arena_clear(&ends[i].arena);
    }
    assert_int_equal(calls, WORKERS * BATCHES * SPANS_EACH);
    assert_int_equal(durations, calls);
    gw_buf_clear(&wire);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_between_threads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
