/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that crash the gateway: in send(), or later, in a thread of the exporter's library; and a gateway that is
 * killed besides, again and again, before sinks that refuse, are away, or answer in part of the time.
 *
 *   every such row is a dead letter after two crashes that it made (three, when it may have been somebody else each
 *   time), with at most a 64th of its frame
 *   every other row is delivered, and so is every row to the exporter that can bear it
 *   kills alone bury nothing
 *
 * GW_SIM_SEEDS=n runs n seeds (default 110), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/flight.h"
#include "tests/harness_engine.h"
#include "tests/harness_log.h"
#include "tests/harness_logs.h"

enum { MAX_ROWS = 3000, MAX_POISON = 3, N_SINKS = 2, PIECES = 64 };

static const char *const ids[N_SINKS] = {"fragile", "scripted"};

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row, poison[MAX_POISON];
    uint32_t frame[MAX_POISON]; /* rows of the one that it came in */
    unsigned n_poison, n_crashes, n_kills;
    bool in_send, crashed;
    uint32_t rows[MAX_ROWS];
    uint8_t acked[MAX_ROWS];
    uint8_t delivered[N_SINKS][MAX_ROWS];
};
static struct world *the_world;

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* ---- an exporter that cannot bear some rows --------------------------------------------------------------- */

static bool is_poisonous(const struct world *w, struct gw_slice body)
{
    static uint64_t names[MAX_ROWS];
    unsigned n = gw_test_names(GW_LOGS, body, names, MAX_ROWS);

    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < w->n_poison; k++)
            if (names[i] == w->poison[k])
                return true;
    return false;
}

static void crash(struct world *w, int sig)
{
    if (w->crashed)
        return;
    gw_flight_crashed(sig);
    gw_test_logs_die();
    w->crashed = true;
    w->n_crashes++;
}

static void send_fragile(void *self, struct gw_attempt *a)
{
    if (the_world->in_send && is_poisonous(the_world, a->body))
        crash(the_world, SIGABRT);
    gw_test_exporter.exporter->send(self, a);
}

/* ---- a life ----------------------------------------------------------------------------------------------- */

static void open_world(struct world *w)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "exporters:\n"
        "  fragile:\n    timeout: 300s\n"
        "    sending_queue: { storage: file_storage, num_consumers: 10, batch: { min_size: 60, max_size: 100 } }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
        "  scripted:\n"
        "    sending_queue: { storage: file_storage, num_consumers: 2 }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
        "  scripted/graves:\n"
        "service:\n"
        "  extensions: [file_storage]\n"
        "  dead_letters: { to: scripted/graves }\n"
        "  pipelines:\n"
        "    logs: { receivers: [scripted], exporters: [fragile, scripted] }\n";

    gw_test_logs_engine(&w->t, yaml, 1);
    w->t.te.seed = w->seed;
    w->t.looks_away = true;
    w->crashed = false;
}

static void send_some(struct world *w)
{
    uint32_t rows = (uint32_t)(any(w, 8) ? 1 + any(w, 10) : 1 + any(w, 200));

    if (w->next_row + rows > MAX_ROWS)
        return;
    if (w->n_poison < MAX_POISON && any(w, 12) == 0) {
        w->poison[w->n_poison++] = w->next_row + any(w, rows);
    }
    w->rows[w->next_row] = rows;
    gw_test_engine_send(gw_test_engine_door(&w->t, "scripted", 0), GW_LOGS, w->next_row, rows, (uint32_t)w->next_row);
    w->next_row += rows;
}

static void read_verdicts(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", 0);

    for (unsigned i = 0; i < d->n_verdicts; i++)
        if (d->verdicts[i].v.grpc_status == 0)
            memset(w->acked + d->verdicts[i].ack.stream, 1, w->rows[d->verdicts[i].ack.stream]);
    d->n_verdicts = 0;
}

static void answer(struct world *w, unsigned i, bool kindly)
{
    static uint64_t names[MAX_ROWS];
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, ids[i]);
    struct gw_sent_info info = {.sent = GW_SENT_OK, .reason = "sim", .message = "simulated", .sign = GW_SIGN_BUSY};
    unsigned at = s->n_waiting ? (unsigned)any(w, s->n_waiting) : 0, n;

    if (s->n_waiting == 0 || w->crashed)
        return;
    if (i == 0 && is_poisonous(w, s->waiting[at]->body)) { /* in a thread of its library's */
        crash(w, SIGSEGV);
        return;
    }
    n = gw_test_names(GW_LOGS, s->waiting[at]->body, names, MAX_ROWS);
    if (!kindly && any(w, 3) == 0)
        info.sent = GW_SENT_RETRY;
    for (unsigned k = 0; k < n && info.sent == GW_SENT_OK; k++)
        w->delivered[i][names[k]] = 1;
    (void)gw_test_sink_answer_at(s, at, &info);
}

/* Each letter says what it is. */
static void read_letters(struct world *w)
{
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, "scripted/graves");

    while (s->n_waiting > 0) {
        struct gw_slice b = s->waiting[0]->body;

        assert_non_null(memmem(b.p, b.n, "poison", 6));
        assert_non_null(memmem(b.p, b.n, "crash_suspect", 13));
        assert_non_null(memmem(b.p, b.n, w->in_send ? "SIGABRT" : "SIGSEGV", 7));
        (void)gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OK});
    }
}

static void step(struct world *w, bool kindly)
{
    gw_test_logs_turn(&w->t, 2, any(w, 40) == 0 ? 3000000000u : any(w, 300000000u));
    for (unsigned i = 0; i < N_SINKS; i++)
        for (uint64_t k = any(w, 8) + kindly; k > 0; k--)
            answer(w, i, kindly);
    read_verdicts(w);
    read_letters(w);
    if (!w->crashed && (kindly || any(w, 60)))
        return;
    w->n_kills += !w->crashed;
    w->crashed = true;
    gw_test_logs_die();
    for (unsigned i = 0; i < 3; i++) { /* only so that closing does not wait for them: no log hears of it */
        gw_test_engine_turn(&w->t, 1, 0);
        read_letters(w);
    }
    gw_test_logs_crash(&w->t, false);
    open_world(w);
}

static uint64_t held(struct world *w, unsigned i)
{
    return gw_edge_counts(gw_engine_edge(w->t.engine, ids[i]), GW_LOGS).held;
}

static uint64_t dead_rows(void)
{
    return gw_test_log_consumer(gw_test_log("/queue/logs"), "fragile").settled[GW_LOG_DEAD_LETTERED];
}

static void check(struct world *w)
{
    uint64_t missing = 0, most = 0;

    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_true(w->delivered[1][row] || !w->acked[row]);
        missing += w->acked[row] && !w->delivered[0][row];
    }
    for (unsigned k = 0; k < w->n_poison; k++) {
        assert_false(w->delivered[0][w->poison[k]]);
        most += (w->frame[k] + PIECES - 1) / PIECES;
    }
    if (dead_rows() < missing || dead_rows() > most)
        fail_msg("dead %llu missing %llu most %llu", (unsigned long long)dead_rows(), (unsigned long long)missing,
                 (unsigned long long)most);
    if (w->n_crashes > (w->in_send ? 2 : 3) * w->n_poison)
        fail_msg("%u crashes of %u rows", w->n_crashes, w->n_poison);
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned n = 0;

    assert_non_null(w);
    the_world = w;
    w->seed = seed;
    w->in_send = seed % 2;
    gw_test_logs_begin(seed);
    open_world(w);
    for (unsigned i = 0; i < 18; i++) {
        uint64_t before = w->next_row;
        unsigned poison = w->n_poison;

        for (uint64_t k = any(w, 4); k > 0 && !w->crashed; k--)
            send_some(w);
        while (poison < w->n_poison) /* what came in one turn is one frame */
            w->frame[poison++] = (uint32_t)(w->next_row - before);
        gw_test_logs_turn(&w->t, 1, 0);
        step(w, false);
    }
    for (unsigned i = 0; i < 15; i++)
        step(w, false);
    while ((held(w, 0) || held(w, 1)) && n++ < 3000)
        step(w, true);
    gw_test_logs_turn(&w->t, 4, 200000000u);
    gw_test_logs_turn(&w->t, 4, 200000000u);
    check(w);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  as said above
 */
static void what_crashes_the_gateway_ends_as_a_dead_letter(void **state)
{
    (void)state;
    gw_test_seeds(110, run_seed);
}

int main(void)
{
    static struct gw_exporter_ops ops;
    static struct gw_component fragile;
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_crashes_the_gateway_ends_as_a_dead_letter)};

    ops = *gw_test_exporter.exporter;
    ops.send = send_fragile;
    fragile = gw_test_exporter;
    fragile.name = "fragile";
    fragile.exporter = &ops;
    gw_test_own_components[0] = &fragile;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
