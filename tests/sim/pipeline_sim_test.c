/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole gateway under a seeded world: requests of random sizes on several workers, sinks that answer, hesitate, say
 * no, take a part or never answer, and a clock that jumps. Every row has a name; at the end each is accounted for.
 *
 *   sent = accepted + refused                        accepted = delivered + rejected + dropped{reason} + dead-lettered
 *   no row is delivered twice to one sink, unless that sink answered "again" after taking it (it never does here)
 *
 * GW_SIM_SEEDS=n runs n seeds (default 150), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"

enum { N_SINKS = 3, MAX_ROWS = 20000, N_STEPS = 120 };

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row, next_answer;
    unsigned n_sent;
    uint8_t *delivered[N_SINKS]; /* times, by row */
    uint8_t *outcome;            /* of the request a row came in: 0 none, 1 OK, 2 not */
    uint32_t request_first[MAX_ROWS], request_rows[MAX_ROWS];
    uint64_t n_refused_rows;
    uint64_t rejected[N_SINKS];
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static struct gw_test_sink *sink_of(struct world *w, unsigned i)
{
    static const char *const ids[N_SINKS] = {"scripted", "scripted/b", "scripted/c"};

    return gw_test_engine_sink(&w->t, ids[i]);
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, 2));
    uint32_t rows = (uint32_t)(any(w, 20) == 0 ? 1 + any(w, 900) : 1 + any(w, 12)), stream = w->n_sent;
    struct gw_verdict v = {0};
    struct gw_buf body;

    if (w->next_row + rows > MAX_ROWS)
        return;
    gw_buf_init(&body, 4u << 20);
    gw_test_request(&body, GW_LOGS, w->next_row, rows);
    w->request_first[stream] = (uint32_t)w->next_row;
    w->request_rows[stream] = rows;
    w->next_row += rows;
    w->n_sent++;
    if (gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, stream, &v) < 0) {
        assert_int_equal(v.grpc_status, 14);
        w->n_refused_rows += rows;
        memset(w->outcome + w->request_first[stream], 2, rows);
    }
    gw_buf_clear(&body);
}

/* A random answer to a random attempt; what OK takes is written down. */
static void answer_one(struct world *w, unsigned i)
{
    static uint64_t names[MAX_ROWS];
    struct gw_test_sink *s = sink_of(w, i);
    struct gw_sent_info info = {.reason = "sim", .message = "simulated"};
    unsigned at, n;

    if (s->n_waiting == 0)
        return;
    at = (unsigned)any(w, s->n_waiting);
    n = gw_test_names(GW_LOGS, s->waiting[at]->body, names, MAX_ROWS);
    assert_int_equal(n, s->waiting[at]->rows);
    switch (any(w, 8)) {
    case 0:
        info.sent = GW_SENT_RETRY;
        info.retry_after_ns = any(w, 3) * 1000000000u;
        break;
    case 1:
        info.sent = any(w, 3) ? GW_SENT_RETRY : GW_SENT_PERMANENT;
        break;
    case 2:
        info.sent = GW_SENT_TOO_LARGE;
        break;
    default:
        info.sent = GW_SENT_OK;
        if (any(w, 6) == 0)
            info.rejected_rows = (uint32_t)any(w, n + 1);
        if (i != 1 || info.rejected_rows < n) /* all of them: scripted/b makes them a dead letter */
            w->rejected[i] += info.rejected_rows;
        for (unsigned k = info.rejected_rows; k < n; k++)
            w->delivered[i][names[k]]++;
        break;
    }
    (void)gw_test_sink_answer_at(s, at, &info);
}

static void read_verdicts(struct world *w)
{
    for (unsigned k = 0; k < 2; k++) {
        struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", k);

        for (unsigned i = 0; i < d->n_verdicts; i++) {
            uint32_t r = d->verdicts[i].ack.stream;

            assert_int_equal(d->verdicts[i].v.rows, w->request_rows[r]);
            assert_int_equal(w->outcome[w->request_first[r]], 0); /* one verdict a request */
            memset(w->outcome + w->request_first[r], d->verdicts[i].v.grpc_status == 0 ? 1 : 2, w->request_rows[r]);
        }
        d->n_verdicts = 0;
    }
}

static void answer_some(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < N_SINKS; i++)
        for (unsigned k = 0; k < 4; k++)
            answer_one(w, i);
    read_verdicts(w);
}

/* Books of one sink: what the gateway counted is what the sink saw. */
static void check_sink(struct world *w, const char *id, unsigned i)
{
    struct gw_edge_counts c = gw_edge_counts(gw_engine_edge(w->t.engine, id), GW_LOGS);
    uint64_t seen = 0;

    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_true(w->delivered[i][row] <= 1);
        seen += w->delivered[i][row];
    }
    assert_int_equal(c.held, 0);
    assert_int_equal(c.delivered, seen);
    assert_int_equal(c.rejected, w->rejected[i]);
    assert_int_equal(c.in, c.delivered + c.rejected + c.dropped + c.dead_lettered);
}

static void run_seed(uint64_t seed)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "exporters:\n"
        "  scripted:\n"
        "    sending_queue: { queue_size: 30, num_consumers: 3, batch: { min_size: 40, max_size: 100 } }\n"
        "    retry_on_failure: { initial_interval: 1s, max_interval: 4s, max_elapsed_time: 20s }\n"
        "  scripted/b:\n"
        "    sending_queue: { wait_for_result: true, queue_size: 400, sizer: items }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_elapsed_time: 1m }\n"
        "    ports: { dead_letter: [text/letters] }\n"
        "  scripted/c: { sending_queue: { queue_size: 20, block_on_overflow: true } }\n"
        "  text/letters: { sending_queue: { enabled: false } }\n"
        "connectors: { forward: }\n"
        "service:\n"
        "  pipelines:\n"
        "    logs: { receivers: [scripted], exporters: [scripted, forward] }\n"
        "    logs/2: { receivers: [forward], exporters: [scripted/b, scripted/c] }\n";
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    struct world *w = calloc(1, sizeof(*w));
    uint64_t accepted = 0;

    assert_non_null(w);
    w->seed = seed;
    w->outcome = calloc(1, MAX_ROWS);
    for (unsigned i = 0; i < N_SINKS; i++)
        w->delivered[i] = calloc(1, MAX_ROWS);
    gw_test_engine_open(&w->t, yaml, 2, false);
    w->t.te.seed = seed;
    gw_test_engine_sink(&w->t, "text/letters")->at_once = true;
    gw_test_engine_sink(&w->t, "text/letters")->info = ok;
    for (unsigned step = 0; step < N_STEPS; step++) {
        for (uint64_t k = any(w, 6); k > 0; k--)
            send_one(w);
        for (unsigned i = 0; i < N_SINKS; i++)
            for (uint64_t k = any(w, 5); k > 0; k--)
                answer_one(w, i);
        gw_test_engine_turn(&w->t, 1 + (unsigned)any(w, 2), any(w, 40) == 0 ? 7000000000u : any(w, 300000000u));
        read_verdicts(w);
    }
    gw_test_engine_drain(&w->t, &w->seed, answer_some, w);
    read_verdicts(w);
    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_true(w->outcome[row] != 0); /* everybody was answered */
        accepted += w->outcome[row] == 1;
    }
    check_sink(w, "scripted", 0);
    check_sink(w, "scripted/b", 1);
    check_sink(w, "scripted/c", 2);
    /* What the queue of the first and of the third stored is what came in and was not refused at the door. */
    assert_int_equal(gw_edge_counts(gw_engine_edge(w->t.engine, "scripted"), GW_LOGS).in,
                     w->next_row - w->n_refused_rows);
    assert_true(accepted <= w->next_row - w->n_refused_rows);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    for (unsigned i = 0; i < N_SINKS; i++)
        free(w->delivered[i]);
    free(w->outcome);
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  the books are exact, every request is answered once, all memory comes back
 */
static void the_books_are_exact_whatever_the_sinks_say(void **state)
{
    (void)state;
    gw_test_seeds(150, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_books_are_exact_whatever_the_sinks_say)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
