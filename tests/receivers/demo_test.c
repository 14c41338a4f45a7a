/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "pipeline/component.h"
#include "pipeline/intake.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

#include <stdlib.h>

extern const struct gw_component gw_receiver_demo;

struct conf { /* as in the component */
    double traces_per_second, error_percentage;
    uint64_t seed;
};

/* A door that keeps what comes in. */
struct door {
    struct gw_intake intake;
    struct gw_buf got[5]; /* by signal; bodies one behind the other, which is merging */
    unsigned n[5];
    bool full;
};

static int admit(struct gw_intake *in, struct gw_hold *h, enum gw_signal signal, uint64_t bytes, struct gw_verdict *ret)
{
    struct door *d = (struct door *)in;

    (void)ret;
    h->signal = signal;
    h->bytes = bytes;
    return d->full ? -EBUSY : 0;
}

static void release(struct gw_intake *in, struct gw_hold *h)
{
    (void)in;
    h->bytes = 0;
}

static int submit(struct gw_intake *in, struct gw_request *rq, struct gw_verdict *ret)
{
    struct door *d = (struct door *)in;
    struct gw_verdict v = {.signal = rq->hold->signal};

    (void)ret;
    gw_buf_put_slice(&d->got[rq->hold->signal], rq->bytes);
    d->n[rq->hold->signal]++;
    in->on_verdict(in->local, &rq->ack, &v);
    return 0;
}

static const struct gw_intake_ops ops = {.admit = admit, .release = release, .submit = submit};

struct shop {
    struct gw_test_env env;
    struct gw_loop *loop;
    struct door door;
    void *self, *local;
};

static uint64_t seed = 7;

static void open_shop(struct shop *s, double rate, double errors, unsigned worker)
{
    struct conf conf = {.traces_per_second = rate, .error_percentage = errors, .seed = seed};
    struct gw_ctx ctx = {.id = "demo"};
    struct gw_err err;

    memset(s, 0, sizeof(*s));
    gw_test_env_init(&s->env, 1);
    ctx.env = &s->env.env;
    s->door.intake = (struct gw_intake){.ops = &ops, .signals = GW_ALL_SIGNALS, .worker = worker};
    for (unsigned i = 0; i < 5; i++)
        gw_buf_init(&s->door.got[i], 64 << 20);
    assert_int_equal(gw_loop_new(&s->env.env, &s->loop, &err), 0);
    assert_int_equal(gw_receiver_demo.create(&s->self, &ctx, &conf, &err), 0);
    assert_int_equal(gw_receiver_demo.open(s->self, s->loop, &s->door.intake, &s->local, &err), 0);
}

static void pass_seconds(struct shop *s, unsigned n)
{
    for (unsigned i = 0; i < n * 10; i++) {
        gw_test_env_advance(&s->env, 100000000);
        gw_loop_turn(s->loop, 0);
    }
}

static void close_shop(struct shop *s)
{
    gw_receiver_demo.quiesce(s->local);
    assert_true(gw_receiver_demo.is_idle(s->local));
    gw_receiver_demo.close(s->local);
    gw_receiver_demo.destroy(s->self);
    gw_loop_free(s->loop);
    for (unsigned i = 0; i < 5; i++)
        gw_buf_clear(&s->door.got[i]);
    gw_test_env_clear(&s->env);
}

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest TraceRequest;

static TraceRequest *traces(struct shop *s)
{
    const struct gw_buf *b = &s->door.got[GW_TRACES];
    TraceRequest *q =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(NULL, b->n, b->p);

    assert_non_null(q);
    return q;
}

/*
 * Scenario:   ten seconds at two orders a second
 * Guarantees: about twenty traces of ten spans each over five services; in every trace each parent is a span of that
 *             trace and there is one root
 */
static void every_order_is_one_connected_trace(void **state)
{
    struct shop s;
    TraceRequest *q;
    size_t n_spans = 0, n_roots = 0, n_found = 0;

    (void)state;
    open_shop(&s, 2, 5, 0);
    pass_seconds(&s, 10);
    assert_in_range(s.door.n[GW_TRACES], 19, 21);
    assert_int_equal(s.door.n[GW_LOGS], s.door.n[GW_TRACES]);
    q = traces(&s);
    assert_int_equal(q->n_resource_spans, 5 * s.door.n[GW_TRACES]);
    for (size_t r = 0; r < q->n_resource_spans; r++) {
        Opentelemetry__Proto__Trace__V1__ScopeSpans *sc = q->resource_spans[r]->scope_spans[0];

        for (size_t i = 0; i < sc->n_spans; i++) {
            Opentelemetry__Proto__Trace__V1__Span *span = sc->spans[i];
            size_t order = r / 5;

            n_spans++;
            assert_int_equal(span->trace_id.len, 16);
            assert_true(span->end_time_unix_nano > span->start_time_unix_nano);
            n_roots += span->parent_span_id.len == 0;
            for (size_t k = order * 5; k < order * 5 + 5; k++) {
                Opentelemetry__Proto__Trace__V1__ScopeSpans *other = q->resource_spans[k]->scope_spans[0];

                for (size_t j = 0; j < other->n_spans; j++)
                    n_found += span->parent_span_id.len == 8 &&
                               memcmp(other->spans[j]->span_id.data, span->parent_span_id.data, 8) == 0 &&
                               memcmp(other->spans[j]->trace_id.data, span->trace_id.data, 16) == 0;
            }
        }
    }
    assert_int_equal(n_spans, 10 * s.door.n[GW_TRACES]);
    assert_int_equal(n_roots, s.door.n[GW_TRACES]);
    assert_int_equal(n_found, n_spans - n_roots);
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(q, NULL);
    close_shop(&s);
}

/*
 * Scenario:   orders that all fail, then orders that never do
 * Guarantees: error_percentage decides, and an error reaches the root of its trace
 */
static void the_error_percentage_is_kept(void **state)
{
    for (int all = 0; all < 2; all++) {
        struct shop s;
        TraceRequest *q;
        size_t n_errors = 0;

        (void)state;
        open_shop(&s, 10, all ? 100 : 0, 0);
        pass_seconds(&s, 3);
        q = traces(&s);
        for (size_t r = 0; r < q->n_resource_spans; r++)
            for (size_t i = 0; i < q->resource_spans[r]->scope_spans[0]->n_spans; i++) {
                Opentelemetry__Proto__Trace__V1__Span *span = q->resource_spans[r]->scope_spans[0]->spans[i];

                n_errors += span->parent_span_id.len == 0 && span->status && span->status->code == 2;
            }
        assert_int_equal(n_errors, all ? s.door.n[GW_TRACES] : 0);
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(q, NULL);
        close_shop(&s);
    }
}

/*
 * Scenario:   ten seconds with traces_per_second 2, and with 20
 * Guarantees: ten times as many orders
 */
static void the_rate_is_kept(void **state)
{
    struct shop s;

    (void)state;
    for (unsigned rate = 2; rate <= 20; rate += 18) {
        open_shop(&s, rate, 5, 0);
        pass_seconds(&s, 10);
        assert_in_range(s.door.n[GW_TRACES], 10 * rate - rate / 2, 10 * rate + rate / 2);
        close_shop(&s);
    }
}

/*
 * Scenario:   the same seed twice, on the same clock; another seed
 * Guarantees: the same bytes; others
 */
static void the_same_seed_makes_the_same_shop(void **state)
{
    struct shop a, b;

    (void)state;
    open_shop(&a, 5, 20, 0);
    open_shop(&b, 5, 20, 0);
    pass_seconds(&a, 6);
    pass_seconds(&b, 6);
    for (unsigned i = 1; i < 5; i++)
        assert_true(gw_slice_eq(gw_buf_slice(&a.door.got[i]), gw_buf_slice(&b.door.got[i])));
    close_shop(&b);
    seed++;
    open_shop(&b, 5, 20, 0);
    seed--;
    pass_seconds(&b, 6);
    assert_false(gw_slice_eq(gw_buf_slice(&a.door.got[GW_TRACES]), gw_buf_slice(&b.door.got[GW_TRACES])));
    close_shop(&a);
    close_shop(&b);
}

/*
 * Scenario:   eleven seconds
 * Guarantees: metrics at 0, 5 and 10 s; a histogram's buckets add up to its count
 */
static void metrics_come_every_five_seconds_and_add_up(void **state)
{
    struct shop s;
    Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest *q;
    size_t n_hist = 0;

    (void)state;
    open_shop(&s, 4, 5, 0);
    pass_seconds(&s, 11);
    assert_int_equal(s.door.n[GW_METRICS], 3);
    q = opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(
        NULL, s.door.got[GW_METRICS].n, s.door.got[GW_METRICS].p);
    assert_non_null(q);
    for (size_t r = 0; r < q->n_resource_metrics; r++) {
        Opentelemetry__Proto__Metrics__V1__ScopeMetrics *sm = q->resource_metrics[r]->scope_metrics[0];

        for (size_t i = 0; i < sm->n_metrics; i++) {
            Opentelemetry__Proto__Metrics__V1__HistogramDataPoint *p;
            uint64_t sum = 0;

            if (sm->metrics[i]->data_case != OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_HISTOGRAM)
                continue;
            p = sm->metrics[i]->histogram->data_points[0];
            for (size_t k = 0; k < p->n_bucket_counts; k++)
                sum += p->bucket_counts[k];
            assert_int_equal(p->n_bucket_counts, p->n_explicit_bounds + 1);
            assert_int_equal(sum, p->count);
            n_hist++;
        }
    }
    assert_int_equal(n_hist, 15);
    opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked(q, NULL);
    close_shop(&s);
}

/*
 * Scenario:   the second worker; then a door that is shut
 * Guarantees: one shop a process; a refused order leaves nothing open
 */
static void only_the_first_worker_sells_and_refusals_leave_nothing(void **state)
{
    struct shop s;

    (void)state;
    open_shop(&s, 10, 0, 1);
    pass_seconds(&s, 3);
    assert_int_equal(s.door.n[GW_TRACES], 0);
    close_shop(&s);
    open_shop(&s, 10, 0, 0);
    s.door.full = true;
    pass_seconds(&s, 3);
    assert_int_equal(s.door.n[GW_TRACES], 0);
    close_shop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_is_one_connected_trace),
        cmocka_unit_test(the_error_percentage_is_kept),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(the_same_seed_makes_the_same_shop),
        cmocka_unit_test(metrics_come_every_five_seconds_and_add_up),
        cmocka_unit_test(only_the_first_worker_sells_and_refusals_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
