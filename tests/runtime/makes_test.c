/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors that make another signal of what they are given, and what their instances have in common. */
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

#include "otlp-proto/decode.h"
#include "pipeline/ports.h"
#include "series/metrics_writer.h"
#include "tests/harness_engine.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* ---- `tally`: spans in, every second their number so far out ------------------------------------------------ */

struct tally_conf {
    uint64_t step;
};
static const struct gw_field tally_fields[] = {
    GW_U64_FIELD(struct tally_conf, step, "step", "1", 1, 100, "What a span counts."),
    {0},
};

struct all {
    _Atomic uint64_t n, told_ns;
    const struct tally_conf *conf;
};
static _Atomic unsigned n_shared, n_tallies;

static int create_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct all *a = calloc(1, sizeof(*a));

    (void)ctx;
    (void)err;
    assert_non_null(a);
    a->conf = conf;
    n_shared++;
    *ret = a;
    return 0;
}

static void destroy_shared(void *shared)
{
    n_shared--;
    free(shared);
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)err;
    assert_non_null(ctx->shared);
    assert_int_equal(((struct all *)ctx->shared)->conf->step, ((const struct tally_conf *)conf)->step);
    n_tallies++;
    *ret = ctx->shared;
    return 0;
}

static void destroy(void *self)
{
    n_tallies -= self != NULL;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct all *a = self;

    a->n += v->n_rows * a->conf->step;
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "counted", NULL);
    gw_view_clear(v);
}

static int emit(void *arg, struct gw_slice body, uint32_t points)
{
    struct gw_ports *out = arg;

    return gw_has_room(out, points, body.n) ? gw_mw_emit(out, NULL, body, "tally", 1) : -EBUSY;
}

static int tell(struct all *a, struct gw_ports *out)
{
    struct gw_mw w;
    struct gw_buf buf;
    int rc;

    gw_buf_init(&buf, 1 << 20);
    gw_mw_init(&w, &buf, 1 << 20, emit, out);
    gw_mw_resource(&w, GW_SLICE(""), GW_SLICE(""));
    gw_mw_scope(&w, GW_SLICE("tally"), GW_SLICE(""));
    gw_mw_metric(&w, &(struct gw_mw_metric){.name = GW_SLICE("n"), .type = GW_M_GAUGE});
    gw_mw_int(&w, &(struct gw_mw_point){.time_ns = a->n}, (int64_t)a->n);
    rc = gw_mw_end(&w);
    gw_buf_clear(&buf);
    return rc;
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct all *a = self;

    if (a->n && now_ns >= a->told_ns + S && tell(a, out) == 0)
        a->told_ns = now_ns;
    return GW_DONE;
}

static const struct gw_component tally = {
    .kind = GW_CONNECTOR,
    .name = "tally",
    .summary = "A puppet.",
    .signals = GW_TRACES,
    .makes = GW_METRICS,
    .fields = tally_fields,
    .conf_size = sizeof(struct tally_conf),
    .create_shared = create_shared,
    .destroy_shared = destroy_shared,
    .create = create,
    .destroy = destroy,
    .consume = consume,
    .tick = tick,
};

#define HEAD                                                                                                           \
    "receivers: { scripted: }\n"                                                                                       \
    "exporters: { scripted: { sending_queue: { queue_size: 2 } } }\n"
#define TAIL                                                                                                           \
    "service:\n  pipelines:\n"                                                                                         \
    "    traces: { receivers: [scripted], exporters: [tally] }\n"                                                      \
    "    metrics: { receivers: [tally], exporters: [scripted] }\n"
static const char plain[] = HEAD "connectors: { tally: }\n" TAIL;

static void send(struct gw_test_engine *t, unsigned worker, unsigned rows)
{
    gw_test_engine_send(gw_test_engine_door(t, "scripted", worker), GW_TRACES, 1, rows, 1);
    gw_test_engine_turn(t, 3, 0);
}

/* The number that the oldest waiting attempt tells, which is answered. */
static uint64_t told(struct gw_test_engine *t)
{
    struct gw_test_sink *s = gw_test_engine_sink(t, "scripted");
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_ref at;
    uint64_t n;

    assert_true(s->n_waiting > 0);
    assert_int_equal(gw_batch_append(b, s->waiting[0]->body, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    assert_int_equal(b->n_rows, 1);
    n = b->number[0].u64;
    (void)gw_batch_unref(b);
    gw_test_sink_answer(s, &OK);
    return n;
}

/*
 * Scenario    spans for a connector that makes metrics, on four workers, in turn
 * Guarantees  each request is answered at once; the metrics of all leave through the metrics pipeline, from a tick; the
 *             books balance (given: absorbed; made: created); there is one shared, for four instances
 */
static void spans_become_metrics(void **state)
{
    struct gw_test_engine t;

    (void)state;
    gw_test_engine_open(&t, plain, 4, false);
    assert_int_equal(n_shared, 1);
    assert_int_equal(n_tallies, 4);
    for (unsigned i = 0; i < 4; i++) {
        send(&t, i, 3);
        assert_int_equal(gw_test_engine_door(&t, "scripted", i)->n_verdicts, 1);
        assert_int_equal(gw_test_engine_door(&t, "scripted", i)->verdicts[0].v.grpc_status, 0);
    }
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 0);
    gw_test_engine_turn(&t, 3, S);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(told(&t), 12);
    gw_test_engine_balances(&t);
    assert_int_equal(gw_test_engine_close(&t), 0);
    assert_int_equal(n_shared, 0);
    assert_int_equal(n_tallies, 0);
}

/*
 * Scenario    the sink of the metrics is away, and its queue takes two batches
 * Guarantees  more is not made than there is room for; spans go on being counted; when there is room the next says all
 */
static void a_sink_that_is_away_fills_no_memory(void **state)
{
    struct gw_test_engine t;
    uint64_t last = 0;
    unsigned n_early = 0;

    (void)state;
    gw_test_engine_open(&t, plain, 1, false);
    for (unsigned i = 0; i < 20; i++) {
        send(&t, 0, 1);
        gw_test_engine_turn(&t, 3, 2 * S);
    }
    for (unsigned i = 0; i < 60; i++) {
        while (gw_test_engine_sink(&t, "scripted")->n_waiting) {
            uint64_t n = told(&t);

            n_early += n < 20;
            last = n > last ? n : last;
        }
        gw_test_engine_turn(&t, 3, S);
    }
    assert_int_equal(n_early, 2);
    assert_int_equal(last, 20);
    (void)gw_test_engine_close(&t); /* what it told since then is left */
}

/*
 * Scenario    reloads: with another pipeline around; with other settings of the connector
 * Guarantees  what is shared stays in the first case, and begins anew in the second
 */
static void what_is_shared_outlives_a_reload(void **state)
{
    struct gw_test_engine t;
    struct gw_err err = {""};

    (void)state;
    gw_test_engine_open(&t, plain, 2, false);
    send(&t, 0, 5);
    assert_int_equal(gw_test_engine_reload(&t,
                                           HEAD "connectors: { tally: }\n" TAIL
                                                "    metrics/2: { receivers: [scripted], exporters: [scripted] }\n",
                                           &err),
                     0);
    gw_test_engine_turn(&t, 10, 0);
    assert_int_equal(n_shared, 1);
    assert_int_equal(n_tallies, 2);
    send(&t, 1, 2);
    gw_test_engine_turn(&t, 3, S);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(told(&t), 7);
    assert_int_equal(gw_test_engine_reload(&t, HEAD "connectors: { tally: { step: 2 } }\n" TAIL, &err), 0);
    gw_test_engine_turn(&t, 10, 0);
    assert_int_equal(n_shared, 1);
    send(&t, 1, 2);
    gw_test_engine_turn(&t, 3, S);
    gw_test_engine_turn(&t, 3, 0);
    assert_int_equal(told(&t), 4);
    assert_int_equal(gw_test_engine_close(&t), 0);
    assert_int_equal(n_shared, 0);
}

static void says(const char *yaml, const char *what)
{
    struct gw_test_engine t;
    struct gw_err err = {""};

    assert_true(gw_test_engine_try(&t, yaml, 1, false, &err) < 0);
    if (!strstr(err.text, what))
        fail_msg("said \"%s\"", err.text);
}

/* Scenario: it stands in pipelines of the wrong signal. Guarantees: a sentence that says which is the right one. */
static void wrong_signals_are_named(void **state)
{
#define PIPES HEAD "connectors: { tally: }\nservice:\n  pipelines:\n"
    (void)state;
    says(PIPES "    metrics: { receivers: [scripted], exporters: [tally] }\n"
               "    metrics/2: { receivers: [tally], exporters: [scripted] }\n",
         "service::pipelines::metrics: connector \"tally\" does not take metrics");
    says(PIPES "    traces: { receivers: [scripted], exporters: [tally] }\n"
               "    traces/2: { receivers: [tally], exporters: [scripted] }\n",
         "service::pipelines::traces/2: connector \"tally\" makes metrics, not traces");
    says(PIPES "    traces: { receivers: [scripted], exporters: [tally] }\n",
         "connectors::tally: it is an exporter of a pipeline and must be a receiver of another");
    says(PIPES "    metrics: { receivers: [tally], exporters: [scripted] }\n",
         "connectors::tally: it is a receiver of a pipeline and must be an exporter of another");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_become_metrics),
        cmocka_unit_test(a_sink_that_is_away_fills_no_memory),
        cmocka_unit_test(what_is_shared_outlives_a_reload),
        cmocka_unit_test(wrong_signals_are_named),
    };

    gw_test_own_components[0] = &tally;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
