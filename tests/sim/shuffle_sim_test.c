/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that go from worker to worker under a seeded world: one to four workers that get on one by one, in any order and
 * as often as they like; requests of random sizes to any of them; other configurations, that keep rows or let them
 * pass; a clock that jumps.
 *
 *   each trace is seen by one worker      each row of a request that heard OK leaves once, and no other row leaves
 *   the ledger balances after every turn of any worker
 *
 * GW_SIM_SEEDS=n runs n seeds, GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/loop.h"
#include "tests/harness_engine.h"
#include "tests/harness_gather.h"

enum { MAX_ROWS = 6000, N_STEPS = 150, USUAL_SEEDS = 60 };

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row;
    unsigned n_workers, n_sent;
    bool waits; /* for the sink: the exporter is the same in all configurations, so that there is one sink */
    uint32_t first[MAX_ROWS], rows[MAX_ROWS]; /* of requests */
    uint8_t left[MAX_ROWS];                   /* times, by row */
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static const char *configuration(struct world *w)
{
    static char yaml[1000];
    static const char *const chains[] = {"gather", "gather, gather/b", "attributes, gather", "collect, gather"};

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { queue_size: 100000, wait_for_result: %s } } }\n"
                   "processors:\n  gather: { keep: %s, grip: %s, number: %u }\n  gather/b: { keep: %s }\n"
                   "  collect:\n  attributes: { actions: [{ key: a, value: b, action: insert }] }\n"
                   "service: { pipelines: { traces: { receivers: [scripted], processors: [%s], exporters: [scripted] "
                   "} } }\n",
                   w->waits ? "true" : "false", any(w, 2) ? "true" : "false", any(w, 2) ? "true" : "false",
                   (unsigned)any(w, 3), any(w, 2) ? "true" : "false", chains[any(w, 4)]);
    return yaml;
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, w->n_workers));
    uint32_t rows = (uint32_t)(any(w, 15) == 0 ? 1 + any(w, 300) : 1 + any(w, 20));

    if (w->next_row + rows > MAX_ROWS)
        return;
    w->first[w->n_sent] = (uint32_t)w->next_row;
    w->rows[w->n_sent] = rows;
    gw_test_engine_send(d, GW_TRACES, w->next_row, rows, w->n_sent++);
    w->next_row += rows;
}

static void answer(void *arg)
{
    static uint64_t names[MAX_ROWS];
    struct world *w = arg;
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, "scripted");

    while (s->n_waiting) {
        unsigned n = gw_test_names(GW_TRACES, s->waiting[0]->body, names, MAX_ROWS);

        for (unsigned i = 0; i < n; i++)
            w->left[names[i]]++;
        assert_true(gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OK}));
    }
}

static void reload(struct world *w)
{
    struct gw_err err = {""};

    if (gw_test_engine_reload(&w->t, configuration(w), &err) < 0)
        assert_non_null(strstr(err.text, "under way")); /* too many are leaving */
}

static void step(struct world *w)
{
    switch (any(w, 12)) {
    case 0:
    case 1:
    case 2:
        send_one(w);
        break;
    case 3:
        if (any(w, 4) == 0)
            reload(w);
        break;
    case 4:
        gw_test_gather.let_go = any(w, 2);
        gw_test_env_advance(&w->t.te, any(w, 300000000));
        break;
    case 5:
        answer(w);
        gw_test_engine_turn(&w->t, 1, 0);
        break;
    default:
        gw_loop_turn(gw_engine_worker_loop(w->t.engine, (unsigned)any(w, w->n_workers)), 0);
        gw_test_engine_balances(&w->t);
    }
}

static void check(struct world *w)
{
    uint64_t heard = 0;

    for (unsigned i = 0; i < w->n_workers; i++)
        for (unsigned k = 0; k < gw_test_engine_door(&w->t, "scripted", i)->n_verdicts; k++) {
            const struct gw_test_verdict *v = &gw_test_engine_door(&w->t, "scripted", i)->verdicts[k];

            assert_int_equal(v->v.grpc_status, 0);
            for (uint32_t r = 0; r < w->rows[v->ack.stream]; r++)
                if (w->left[w->first[v->ack.stream] + r] != 1)
                    fail_msg("row %u left %u times", w->first[v->ack.stream] + r, w->left[w->first[v->ack.stream] + r]);
            heard++;
        }
    assert_int_equal(heard, w->n_sent);
}

static void run(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->seed = seed * 0x9e3779b97f4a7c15u;
    gw_test_gather_reset();
    gw_test_spans_a_trace = 1 + (unsigned)any(w, 9);
    w->n_workers = 1 + (unsigned)any(w, 4);
    w->waits = any(w, 2);
    gw_test_engine_open(&w->t, configuration(w), w->n_workers, /* threads= */ false);
    w->t.looks_away = true; /* this asks oftener */
    for (unsigned i = 0; i < N_STEPS; i++)
        step(w);
    gw_test_engine_drain(&w->t, &w->seed, answer, w);
    check(w);
    (void)gw_test_gather_check(false);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    free(w);
    gw_test_gather_reset();
    gw_test_spans_a_trace = 1;
}

static void rows_of_a_trace_meet(void **state)
{
    (void)state;
    gw_test_own_components[0] = &gw_test_gatherer;
    gw_test_own_components[1] = &gw_test_collector;
    gw_test_seeds(USUAL_SEEDS, run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_of_a_trace_meet)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
