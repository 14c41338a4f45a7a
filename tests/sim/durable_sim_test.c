/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway whose queues are on disk, killed and started again and again, before sinks that take a part, refuse, answer
 * late or never, on logs that are slow, fail and are full at times. Every row has a name.
 *
 *   acknowledged   each sink has it, or said what it is dead of, or its dead letter is written: lost 0
 *   twice          only what a sink took so shortly before a kill that the log did not hear of it
 *   the books      of each consumer: rows of the log = settled by outcome, nothing open, when all is done; the ledger's
 *                  balance all the time, and say what the log knows at each start and at the end
 *
 * GW_SIM_SEEDS=n runs n seeds (default 60), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp-proto/rows.h"
#include "runtime/ledger.h"
#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

enum { N_SINKS = 3, MAX_ROWS = 12000, MAX_REQUESTS = 4096, N_LIVES = 6, N_STEPS = 40, UNSURE_STEPS = 4 };

static const char *const sinks[N_SINKS] = {"scripted", "scripted/b", "scripted/slow"};

struct sink_book {
    uint8_t ended[MAX_ROWS]; /* delivered, rejected or dead: at least once */
    uint16_t life[MAX_ROWS]; /* in which it was delivered last; 0 = never */
    uint32_t step[MAX_ROWS]; /* and at which step of all */
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row;
    uint32_t n_requests, step, life, kill_step; /* of the last kill */
    uint32_t first[MAX_REQUESTS], rows[MAX_REQUESTS];
    bool acked[MAX_ROWS];
    struct sink_book books[N_SINKS];
    uint64_t n_acked, n_twice, n_kills;
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, 2));
    uint32_t rows = (uint32_t)(any(w, 15) == 0 ? 1 + any(w, 200) : 1 + any(w, 12)), stream = w->n_requests;
    struct gw_verdict v = {0};
    struct gw_buf body;

    if (w->next_row + rows > MAX_ROWS || stream == MAX_REQUESTS)
        return;
    gw_buf_init(&body, 4u << 20);
    gw_test_request(&body, GW_LOGS, w->next_row, rows);
    w->first[stream] = (uint32_t)w->next_row;
    w->rows[stream] = rows;
    w->next_row += rows;
    w->n_requests++;
    (void)gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, stream, &v);
    gw_buf_clear(&body);
}

static void took(struct world *w, unsigned i, uint64_t row)
{
    struct sink_book *b = &w->books[i];

    if (b->life[row]) { /* twice: only when a kill came soon after the first time */
        assert_true(b->life[row] < w->life);
        assert_true(b->step[row] + UNSURE_STEPS >= w->kill_step || w->life - b->life[row] > 1);
        w->n_twice++;
    }
    b->life[row] = (uint16_t)w->life;
    b->step[row] = w->step;
    b->ended[row] = 1;
}

/* A random part is taken, the rest is to come again. */
static void answer_in_part(struct world *w, unsigned i, unsigned at, const uint64_t *names, unsigned n)
{
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, sinks[i]);
    struct gw_sent_info info = {.sent = GW_SENT_RETRY, .reason = "part", .message = "in part", .sign = GW_SIGN_BUSY};
    struct gw_rows left = {0};
    struct gw_buf body;

    assert_int_equal(gw_rows_init(&left, n), 0);
    for (unsigned k = 0; k < n; k++)
        if (any(w, 2) || (k + 1 == n && left.n == 0))
            (void)gw_rows_add(&left, k);
        else
            took(w, i, names[k]);
    gw_buf_init(&body, 4u << 20);
    assert_int_equal(gw_rows_extract(GW_LOGS, s->waiting[at]->body, &left, &body), 0);
    info.left = gw_buf_slice(&body);
    info.left_rows = left.n;
    info.left_bits = left.bits;
    (void)gw_test_sink_answer_at(s, at, &info);
    gw_buf_clear(&body);
    gw_rows_clear(&left);
}

static void answer_one(struct world *w, unsigned i, bool kindly)
{
    static uint64_t names[MAX_ROWS];
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, sinks[i]);
    struct gw_sent_info info = {.sent = GW_SENT_OK, .reason = "sim", .message = "simulated"};
    unsigned at, n;

    if (s->n_waiting == 0)
        return;
    at = (unsigned)any(w, s->n_waiting);
    n = gw_test_names(GW_LOGS, s->waiting[at]->body, names, MAX_ROWS);
    assert_int_equal(n, s->waiting[at]->rows);
    switch (kindly ? 9 : any(w, 10)) {
    case 0:
        info.sent = GW_SENT_RETRY;
        info.sign = GW_SIGN_BUSY; /* of the sink, so that no body is suspected */
        break;
    case 1:
        info.sent = GW_SENT_PERMANENT;
        for (unsigned k = 0; k < n; k++)
            w->books[i].ended[names[k]] = 1;
        break;
    case 2:
        info.sent = GW_SENT_TOO_LARGE;
        if (n == 1)
            w->books[i].ended[names[0]] = 1;
        break;
    case 3:
        answer_in_part(w, i, at, names, n);
        return;
    default:
        if (any(w, 8) == 0)
            info.rejected_rows = (uint32_t)any(w, n + 1);
        for (unsigned k = 0; k < n; k++)
            if (k < info.rejected_rows)
                w->books[i].ended[names[k]] = 1;
            else
                took(w, i, names[k]);
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

            for (uint32_t row = 0; d->verdicts[i].v.grpc_status == 0 && row < w->rows[r]; row++)
                w->acked[w->first[r] + row] = true;
        }
        d->n_verdicts = 0;
    }
}

static void open_world(struct world *w)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "exporters:\n"
        "  scripted:\n"
        "    sending_queue: { storage: file_storage, num_consumers: 3, batch: { min_size: 40, max_size: 100 } }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
        "  scripted/b:\n"
        "    sending_queue: { storage: file_storage, on_full: refuse, queue_size: 60, max_memory_bytes: 65536 }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
        "  scripted/slow:\n"
        "    sending_queue: { storage: file_storage, num_consumers: 1, max_memory_bytes: 65536 }\n"
        "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
        "service:\n"
        "  extensions: [file_storage]\n"
        "  pipelines:\n"
        "    logs: { receivers: [scripted], exporters: [scripted, scripted/b, scripted/slow] }\n";

    gw_test_logs_engine(&w->t, yaml, 2);
    w->t.te.seed = w->seed;
    w->life++;
}

/* How the disk is today. */
static void change_weather(struct world *w)
{
    struct gw_log_sim_faults *f = gw_test_log_faults("/queue/logs");

    *f = (struct gw_log_sim_faults){0};
    if (any(w, 3) == 0)
        f->max_delay_ns = any(w, 50000000);
    if (any(w, 4) == 0)
        f->max_late_ns = any(w, 50000000);
    if (any(w, 6) == 0)
        f->fail_permille = (unsigned)any(w, 200);
    if (any(w, 10) == 0)
        f->no_room = true;
}

static void live(struct world *w)
{
    for (unsigned i = 0; i < N_STEPS; i++) {
        w->step++;
        if (any(w, 10) == 0)
            change_weather(w);
        for (uint64_t k = any(w, 5); k > 0; k--)
            send_one(w);
        for (unsigned s = 0; s < N_SINKS; s++)
            for (uint64_t k = any(w, s == 2 ? 2 : 5); k > 0; k--)
                answer_one(w, s, false);
        gw_test_logs_turn(&w->t, 1 + (unsigned)any(w, 2), any(w, 30) == 0 ? 3000000000u : any(w, 200000000u));
        read_verdicts(w);
    }
}

/* kill -9, or a stop that is in a hurry. */
static void die(struct world *w)
{
    if (any(w, 4) == 0) {
        *gw_test_log_faults("/queue/logs") = (struct gw_log_sim_faults){0};
        gw_test_logs_turn(&w->t, 2, 100000000u); /* what is on its way to the log has an end */
        gw_test_logs_turn(&w->t, 2, 0);
        read_verdicts(w);
        (void)gw_test_engine_close(&w->t);
    } else {
        gw_test_logs_crash(&w->t, false);
        w->n_kills++;
    }
    w->kill_step = w->step;
}

static bool is_done(struct world *w)
{
    for (unsigned i = 0; i < N_SINKS; i++)
        if (gw_edge_counts(gw_engine_edge(w->t.engine, sinks[i]), GW_LOGS).held)
            return false;
    return true;
}

static void run_to_the_end(struct world *w)
{
    *gw_test_log_faults("/queue/logs") = (struct gw_log_sim_faults){0};
    for (unsigned i = 0; i < 6000 && !is_done(w); i++) {
        w->step++;
        for (unsigned s = 0; s < N_SINKS; s++)
            answer_one(w, s, true);
        gw_test_logs_turn(&w->t, 2, any(w, 50) == 0 ? 2000000000u : any(w, 50000000u));
        read_verdicts(w);
    }
    assert_true(is_done(w));
    gw_test_logs_turn(&w->t, 4, 200000000u);
    gw_test_logs_turn(&w->t, 4, 200000000u);
}

static void check_consumer(void *arg, const struct gw_log_consumer *c)
{
    const struct gw_log_stats *st = arg;
    uint64_t settled = c->lost_rows;

    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++)
        settled += c->settled[o];
    assert_int_equal(settled, st->end_row - c->first_row);
    assert_int_equal(c->low, st->end_seq);
    assert_int_equal(c->lost_rows, 0);
    assert_int_equal(c->settled[GW_LOG_DROPPED], 0);
}

struct compare {
    const struct gw_picture *p;
    struct gw_log_stats st;
    unsigned n;
};

/* The exporter's book is the log's, when nothing is on its way. */
static void compare_book(void *arg, const struct gw_log_consumer *c)
{
    struct compare *m = arg;

    for (size_t i = 0; i < m->p->n; i++) {
        const struct gw_ledger_row *r = &m->p->rows[i];

        if (r->kind != GW_BOOK_EXPORTER || strcmp(r->component, c->name) != 0)
            continue;
        m->n++;
        assert_string_equal(r->pipeline, "logs");
        assert_int_equal(r->n[GW_E_IN] - r->n[GW_E_REFUSED], m->st.end_row - c->first_row);
        assert_int_equal(r->n[GW_E_OUT], c->settled[GW_LOG_DELIVERED]);
        assert_int_equal(r->n[GW_E_REJECTED], c->settled[GW_LOG_REJECTED]);
        assert_int_equal(r->n[GW_E_DEAD_LETTERED], c->settled[GW_LOG_DEAD_LETTERED]);
        assert_int_equal(r->n[GW_E_DROPPED], c->settled[GW_LOG_DROPPED] + c->lost_rows);
        assert_int_equal(r->n[GW_E_HELD], m->st.end_row - c->low_row - c->ahead_rows);
    }
}

static void compare_books(struct world *w)
{
    struct gw_picture *p = gw_ledger_look(w->t.engine);
    struct compare m = {.p = p};

    gw_log_stats(gw_test_log("/queue/logs"), &m.st);
    assert_int_equal(gw_log_consumers(gw_test_log("/queue/logs"), compare_book, &m), 0);
    assert_int_equal(m.n, N_SINKS);
    assert_int_equal(p->mismatch, 0);
    gw_picture_free(p);
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    struct gw_log_stats st;

    assert_non_null(w);
    w->seed = seed;
    gw_test_logs_begin(seed);
    open_world(w);
    for (unsigned i = 0; i < N_LIVES; i++) {
        live(w);
        die(w);
        open_world(w);
        compare_books(w);
    }
    run_to_the_end(w);
    compare_books(w);
    for (uint64_t row = 0; row < w->next_row; row++)
        for (unsigned i = 0; w->acked[row] && i < N_SINKS; i++)
            if (!w->books[i].ended[row])
                fail_msg("seed %llu: row %llu was acknowledged and never reached %s", (unsigned long long)seed,
                         (unsigned long long)row, sinks[i]);
    for (uint64_t row = 0; row < w->next_row; row++)
        w->n_acked += w->acked[row];
    assert_true(w->n_acked > 0);
    gw_log_stats(gw_test_log("/queue/logs"), &st);
    assert_int_equal(gw_log_consumers(gw_test_log("/queue/logs"), check_consumer, &st), 0);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  nothing that was acknowledged is lost, whatever dies; twice only what the log could not know of
 */
static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    gw_test_seeds(60, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_acknowledged_is_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
