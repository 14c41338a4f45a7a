/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor behind a journal that some rows make crash, between three workers; and a gateway that is killed besides.
 *
 *   each frame that has such a row is a dead letter after two crashes that it made
 *   every other row goes through, in the order of its partition but for what comes again, and the other pipeline has
 *   them all
 *
 * GW_SIM_SEEDS=n runs n seeds (default 30), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/flight.h"
#include "pipeline/ports.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

enum { MAX_ROWS = 2000, MAX_POISON = 2, N_SINKS = 2 };

static const char *const ids[N_SINKS] = {"scripted", "scripted/b"};

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row, poison[MAX_POISON];
    unsigned n_poison, n_crashes, n_kills, n_workers, n_letters;
    bool crashed;
    uint32_t rows[MAX_ROWS];
    uint8_t acked[MAX_ROWS], delivered[N_SINKS][MAX_ROWS], in_frame[MAX_ROWS]; /* with a poisonous one */
};
static struct world *the_world;

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* ---- a processor that cannot bear some rows --------------------------------------------------------------- */

static void consume_fragile(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct world *w = the_world;

    (void)self;
    for (uint32_t i = gw_view_next(v, 0); i < v->batch->n_rows && !w->crashed; i = gw_view_next(v, i + 1))
        for (unsigned k = 0; k < w->n_poison && !w->crashed; k++)
            if (v->batch->time_ns[i] == w->poison[k]) {
                gw_flight_crashed(SIGSEGV);
                gw_test_logs_die();
                w->crashed = true;
                w->n_crashes++;
            }
    gw_emit(out, 0, v);
}

/* ---- a life ----------------------------------------------------------------------------------------------- */

static void open_world(struct world *w)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "processors: { fragile: }\n"
        "exporters:\n"
        "  scripted: { sending_queue: { wait_for_result: true }, retry_on_failure: { initial_interval: 100ms, "
        "max_elapsed_time: 0s },\n"
        "    circuit_breaker: { enabled: false } }\n"
        "  scripted/b: { sending_queue: { wait_for_result: true }, retry_on_failure: { initial_interval: 100ms, "
        "max_elapsed_time: 0s },\n"
        "    circuit_breaker: { enabled: false } }\n"
        "  scripted/graves:\n"
        "connectors: { journal/j: { storage: file_storage, partition_by: trace_id } }\n"
        "service:\n  extensions: [file_storage]\n  dead_letters: { to: scripted/graves }\n  pipelines:\n"
        "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
        "    traces/a: { receivers: [journal/j], processors: [fragile], exporters: [scripted] }\n"
        "    traces/b: { receivers: [journal/j], exporters: [scripted/b] }\n";

    gw_test_logs_engine(&w->t, yaml, w->n_workers);
    w->t.te.seed = w->seed;
    w->t.looks_away = true;
    w->crashed = false;
}

static void send_some(struct world *w)
{
    uint32_t rows = (uint32_t)(1 + any(w, 12)), worker = (uint32_t)any(w, w->n_workers);

    if (w->next_row + rows > MAX_ROWS)
        return;
    if (w->n_poison < MAX_POISON && any(w, 15) == 0)
        w->poison[w->n_poison++] = w->next_row + any(w, rows);
    w->rows[w->next_row] = rows;
    gw_test_engine_send(gw_test_engine_door(&w->t, "scripted", worker), GW_TRACES, w->next_row, rows,
                        (uint32_t)w->next_row);
    w->next_row += rows;
}

static void read_verdicts(struct world *w)
{
    for (unsigned k = 0; k < w->n_workers; k++) {
        struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", k);

        for (unsigned i = 0; i < d->n_verdicts; i++)
            if (d->verdicts[i].v.grpc_status == 0)
                memset(w->acked + d->verdicts[i].ack.stream, 1, w->rows[d->verdicts[i].ack.stream]);
        d->n_verdicts = 0;
    }
}

static void answer(struct world *w, unsigned i, bool kindly)
{
    static uint64_t names[MAX_ROWS];
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, ids[i]);
    struct gw_sent_info info = {.sent = GW_SENT_OK, .reason = "sim", .message = "simulated"};
    unsigned n;

    if (s->n_waiting == 0 || w->crashed)
        return;
    n = gw_test_names(GW_TRACES, s->waiting[0]->body, names, MAX_ROWS);
    if (!kindly && any(w, 4) == 0)
        info.sent = GW_SENT_RETRY;
    for (unsigned k = 0; k < n && info.sent == GW_SENT_OK; k++)
        w->delivered[i][names[k]] = 1;
    (void)gw_test_sink_answer(s, &info);
}

static void read_letters(struct world *w)
{
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, "scripted/graves");

    while (s->n_waiting > 0) {
        struct gw_slice b = s->waiting[0]->body;

        assert_non_null(memmem(b.p, b.n, "poison", 6));
        assert_non_null(memmem(b.p, b.n, "crash_suspect", 13));
        assert_non_null(memmem(b.p, b.n, "traces/a", 8));
        w->n_letters += !w->crashed;
        (void)gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_OK});
    }
}

static void step(struct world *w, bool kindly)
{
    gw_test_logs_turn(&w->t, 2, any(w, 40) == 0 ? 3000000000u : any(w, 300000000u));
    for (unsigned i = 0; i < N_SINKS; i++)
        for (uint64_t k = any(w, 12) + (kindly ? 20 : 0); k > 0; k--)
            answer(w, i, kindly);
    read_verdicts(w);
    read_letters(w);
    if (!w->crashed && (kindly || any(w, 60)))
        return;
    w->n_kills += !w->crashed;
    w->crashed = true;
    gw_test_logs_die();
    gw_test_logs_crash(&w->t, false);
    open_world(w);
}

/* What lies in a frame with a poisonous row, and whether both pipelines are through. */
static bool look(struct world *w)
{
    static uint64_t names[MAX_ROWS];
    struct gw_log *log = gw_test_log("journal/j");
    struct gw_log_reader_conf conf = {0};
    uint64_t end[GW_LOG_PARTITIONS] = {0}, at;
    struct gw_log_entry e = {0};
    struct gw_log_reader *r;

    assert_int_equal(gw_log_reader_new(log, &conf, &r), 0);
    while (gw_log_next(r, &e) == 1) {
        unsigned n = gw_test_names(GW_TRACES, e.frame.body, names, MAX_ROWS);
        bool bad = false;

        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; k < w->n_poison; k++)
                bad |= names[i] == w->poison[k];
        for (unsigned i = 0; i < n && bad; i++)
            w->in_frame[names[i]] = 1;
        end[e.frame.partition] = e.frame.seq + 1;
    }
    gw_log_reader_free(r);
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (unsigned i = 0; i < N_SINKS; i++) {
            assert_int_equal(gw_log_position(log, 2 + i, p, &at, NULL, NULL), 0);
            if (at < end[p])
                return false;
        }
    return true;
}

static void check(struct world *w)
{
    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_true(w->delivered[1][row] || !w->acked[row]);
        if (w->acked[row])
            assert_int_equal(w->delivered[0][row], !w->in_frame[row]);
    }
    if (w->n_crashes > 2 * w->n_poison)
        fail_msg("%u crashes of %u rows", w->n_crashes, w->n_poison);
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned n = 0;

    assert_non_null(w);
    the_world = w;
    w->seed = seed;
    w->n_workers = 1 + (unsigned)any(w, 3);
    gw_test_logs_begin(seed);
    open_world(w);
    for (unsigned i = 0; i < 12; i++) {
        for (uint64_t k = any(w, 5); k > 0 && !w->crashed; k--)
            send_some(w);
        gw_test_logs_turn(&w->t, 1, 0);
        step(w, false);
    }
    while (!look(w) && n++ < 100)
        for (unsigned i = 0; i < 10; i++)
            step(w, true);
    assert_true(look(w));
    check(w);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  as said above
 */
static void what_crashes_a_processor_ends_as_a_dead_letter(void **state)
{
    (void)state;
    gw_test_seeds(30, run_seed);
}

int main(void)
{
    static struct gw_component fragile;
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_crashes_a_processor_ends_as_a_dead_letter)};

    fragile = gw_test_keeper;
    fragile.name = "fragile";
    fragile.consume = consume_fragile;
    fragile.reads = GW_C_ROW;
    fragile.tick = NULL;
    fragile.drain = NULL;
    gw_test_own_components[0] = &fragile;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
