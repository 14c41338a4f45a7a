/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs that rows of one trace meet in one worker: requests of 100 spans through a processor that keeps none,
 * to an exporter that forgets them; door, decoder and chain included. All workers are turned by this one thread, so
 * that the figure is all of their work, but for the wake of a sleeping thread. One JSON line a case: nanoseconds of CPU
 * a span, the least of thirty rounds.
 */
#include <stdio.h>

#include "bench/micro/micro.h"
#include "pipeline/ports.h"
#include "runtime/graph.h"
#include "tests/harness_engine.h"

enum { N_REQUESTS = 64, N_SPANS = 100, ROUNDS = 30 };

static void pass(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    gw_emit(out, 0, v);
}

static struct gw_component through = {
    .kind = GW_PROCESSOR, .name = "through", .signals = GW_ALL_SIGNALS, .consume = pass};

static struct gw_buf requests[N_REQUESTS];

static double round_of(struct gw_test_engine *t, unsigned n_workers)
{
    double begin = micro_cpu_ns();

    for (unsigned i = 0; i < N_REQUESTS; i++) {
        struct gw_verdict v;

        micro_check(gw_test_send(gw_test_engine_door(t, "scripted", i % n_workers), GW_TRACES,
                                 gw_buf_slice(&requests[i]), NULL, i, &v) == 0,
                    "refused");
        if (i % n_workers == n_workers - 1)
            gw_engine_turn(t->engine);
    }
    for (unsigned i = 0; i < 3; i++)
        gw_engine_turn(t->engine);
    return (micro_cpu_ns() - begin) / (N_REQUESTS * N_SPANS);
}

static void measure(const char *name, unsigned n_workers, const char *partition_by, bool patched)
{
    struct gw_test_engine t;
    double best = 1e9;

    through.partition_by = partition_by;
    gw_test_engine_open(&t,
                        patched ? "receivers: { scripted: }\nexporters: { nop: }\n"
                                  "processors: { through: , attributes: { actions: [{ key: a, value: b, action: insert "
                                  "}] } }\nservice: { pipelines: { traces: { receivers: [scripted], processors: "
                                  "[attributes, through], exporters: [nop] } } }\n"
                                : "receivers: { scripted: }\nexporters: { nop: }\nprocessors: { through: }\n"
                                  "service: { pipelines: { traces: { receivers: [scripted], processors: [through], "
                                  "exporters: [nop] } } }\n",
                        n_workers, /* threads= */ false);
    t.looks_away = true;
    for (unsigned i = 0; i < ROUNDS; i++) {
        double ns = round_of(&t, n_workers);

        best = ns < best ? ns : best;
    }
    printf("{\"case\": \"%s\", \"workers\": %u, \"ns_per_span\": %.1f}\n", name, n_workers, best);
    gw_test_engine_abandon(&t);
}

int main(void)
{
    gw_test_own_components[0] = &through;
    for (unsigned a_trace = 1; a_trace <= 10; a_trace += 9) {
        char name[64];

        gw_test_spans_a_trace = a_trace;
        for (unsigned i = 0; i < N_REQUESTS; i++) {
            gw_buf_init(&requests[i], 1 << 20);
            gw_test_request(&requests[i], GW_TRACES, i * N_SPANS, N_SPANS);
        }
        for (unsigned n = 2; n <= 8; n *= 2) {
            (void)snprintf(name, sizeof(name), "stays, %u spans a trace", a_trace);
            measure(name, n, NULL, false);
            (void)snprintf(name, sizeof(name), "crosses, %u spans a trace", a_trace);
            measure(name, n, "trace_id", false);
        }
        (void)snprintf(name, sizeof(name), "patched, stays, %u spans a trace", a_trace);
        measure(name, 4, NULL, true);
        (void)snprintf(name, sizeof(name), "patched, crosses, %u spans a trace", a_trace);
        measure(name, 4, "trace_id", true);
        for (unsigned i = 0; i < N_REQUESTS; i++)
            gw_buf_clear(&requests[i]);
    }
    return 0;
}
