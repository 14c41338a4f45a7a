/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway whose threads stand still, each by itself, for up to ten seconds, at whatever hand-over they have come to:
 * workers, exporters, the writer of a log, and what reads it. Three pipelines, each with rows of its own:
 *
 *   disk     a queue on disk: OK means in the log
 *   memory   a queue in memory: OK means in the queue
 *   waits    wait_for_result: OK means that the sink has it; its requests have deadlines
 *
 *   acknowledged   the sink gets it, once: an attempt that was called off has not been taken
 *   verdicts       one for each request; DEADLINE_EXCEEDED not before the deadline
 *   time-outs      an attempt without an answer is called off when its time is over and its exporter gets on
 *   the books      balance all the time; memory and queues are empty in the end
 *
 * GW_SIM_SEEDS=n runs n seeds, GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness_engine.h"
#include "tests/harness_logs.h"

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

enum { N_WAYS = 3, N_WORKERS = 2, N_THREADS = 7, MAX_ROWS = 12000, MAX_REQUESTS = 2000, N_STEPS = 150, SEEDS = 30 };
static const uint64_t LONGEST = 10 * S, TIMEOUT = 2 * S, PATIENCE = 4 * S;

enum way { DISK, MEMORY, WAITS };
static const char *const receivers[N_WAYS] = {"scripted", "scripted/m", "scripted/w"};
static const char *const exporters[N_WAYS] = {"scripted", "scripted/b", "scripted/c"};
static const char *const threads[N_THREADS] = {"scripted", "scripted/b", "scripted/c", "worker/0",
                                               "worker/1", "log/logs",   "read/logs"};

struct request {
    uint32_t first, rows;
    enum way way;
    uint64_t deadline_ns;
    bool told, ok;
};

static struct world {
    struct gw_test_engine t;
    uint64_t seed;
    uint64_t until[N_THREADS]; /* it stands still so long; 0: it does not */
    struct request requests[MAX_REQUESTS];
    uint32_t n_requests, n_rows, n_told;
    uint8_t taken[MAX_ROWS];
    bool answers[N_WAYS];      /* the sink has answered all that is with it, while its exporter stands still */
    uint64_t nap_ns[N_WAYS];   /* so long the sink says nothing */
    unsigned ran[N_WAYS];      /* how many turns in a row the exporter has got on */
    unsigned number[MAX_ROWS]; /* of the last attempt that began with the row, and when it was seen first */
    uint64_t seen_ns[MAX_ROWS];
} w;
static unsigned n_cancelled, all_ok[N_WAYS]; /* in all seeds */

static uint64_t any(uint64_t n)
{
    return gw_test_random(&w.seed) % n;
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static bool stands(const char *thread)
{
    for (unsigned i = 0; i < N_THREADS; i++)
        if (strcmp(threads[i], thread) == 0)
            return w.t.te.now_ns < w.until[i];
    return false;
}

static void stall_one(void)
{
    unsigned i = (unsigned)any(N_THREADS);

    if (w.until[i] > w.t.te.now_ns)
        return;
    w.until[i] = w.t.te.now_ns + 1 + any(any(3) ? S : LONGEST);
}

/* ---- clients ---------------------------------------------------------------------------------------------------- */

static void send_one(void)
{
    enum way way = (enum way)any(N_WAYS);
    unsigned worker = (unsigned)any(N_WORKERS);
    struct gw_test_door *d = gw_test_engine_door(&w.t, receivers[way], worker);
    struct request *r = &w.requests[w.n_requests];
    struct gw_verdict v = {0};
    struct gw_buf body;

    *r = (struct request){.first = w.n_rows, .rows = 1 + (uint32_t)any(12), .way = way};
    if (stands(threads[3 + worker]) || w.n_requests + 1 == MAX_REQUESTS || w.n_rows + r->rows > MAX_ROWS)
        return;
    r->deadline_ns = way == WAITS ? w.t.te.now_ns + PATIENCE : 0;
    d->deadline_ns = r->deadline_ns;
    gw_buf_init(&body, 1u << 20);
    gw_test_request(&body, GW_LOGS, r->first, r->rows);
    if (gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, w.n_requests, &v) < 0) {
        r->told = true;
        w.n_told++;
    }
    w.n_rows += r->rows;
    w.n_requests++;
    gw_buf_clear(&body);
}

static void read_verdicts(void)
{
    for (unsigned i = 0; i < N_WAYS * N_WORKERS; i++) {
        struct gw_test_door *d = gw_test_engine_door(&w.t, receivers[i / N_WORKERS], i % N_WORKERS);

        for (unsigned k = 0; k < d->n_verdicts; k++) {
            struct request *r = &w.requests[d->verdicts[k].ack.stream];
            int status = d->verdicts[k].v.grpc_status;

            assert_false(r->told);
            r->told = true;
            r->ok = status == 0;
            w.n_told++;
            assert_int_equal(d->verdicts[k].v.rejected, 0);
            assert_true(status == 0 || status == 4 || status == 14);
            assert_true(status != 4 || w.t.te.now_ns >= r->deadline_ns);
            for (uint32_t row = r->first; r->ok && r->way == WAITS && row < r->first + r->rows; row++)
                assert_int_equal(w.taken[row], 1); /* that is what it waited for */
        }
        d->n_verdicts = 0;
    }
}

/* ---- sinks ------------------------------------------------------------------------------------------------------ */

static void take(enum way way, unsigned at)
{
    static const struct gw_sent_info ok = {.sent = GW_SENT_OK};
    struct gw_test_sink *s = gw_test_engine_sink(&w.t, exporters[way]);
    uint64_t names[MAX_ROWS];
    unsigned n = gw_test_names(GW_LOGS, s->waiting[at]->body, names, MAX_ROWS);

    for (unsigned i = 0; i < n; i++) {
        if (w.taken[names[i]])
            fail_msg("row %u came twice to %s", (unsigned)names[i], exporters[way]);
        w.taken[names[i]] = 1;
    }
    (void)gw_test_sink_answer_at(s, at, &ok);
}

/* The exporter's thread hears it, or it does when it gets on again: before its own clock. */
static void answer(enum way way)
{
    struct gw_test_sink *s = gw_test_engine_sink(&w.t, exporters[way]);

    if (any(40) == 0)
        w.nap_ns[way] = w.t.te.now_ns + any(3 * TIMEOUT);
    if (w.t.te.now_ns < w.nap_ns[way])
        return;
    if (stands(exporters[way])) {
        w.answers[way] |= any(4) == 0;
        return;
    }
    while (w.answers[way] && s->n_waiting)
        take(way, 0);
    w.answers[way] = false;
    for (uint64_t k = any(4); k > 0 && s->n_waiting; k--)
        take(way, (unsigned)any(s->n_waiting));
}

/* After a turn at that time. One that gets on again hears what there is first, and looks at its clock then. */
static void check_time(unsigned way, uint64_t turn_ns)
{
    const struct gw_test_sink *s = gw_test_engine_sink(&w.t, exporters[way]);
    uint64_t names[MAX_ROWS];

    for (unsigned k = 0; k < s->n_waiting; k++) {
        const struct gw_attempt *a = s->waiting[k];

        (void)gw_test_names(GW_LOGS, a->body, names, MAX_ROWS);
        if (w.number[names[0]] != a->number) {
            w.number[names[0]] = a->number;
            w.seen_ns[names[0]] = turn_ns;
        }
        if (w.ran[way] >= 2 && turn_ns - w.seen_ns[names[0]] > TIMEOUT + 10 * MS)
            fail_msg("row %u has been with %s for %.1f s", (unsigned)names[0], exporters[way],
                     (double)(turn_ns - w.seen_ns[names[0]]) / 1e9);
    }
}

/* Nobody is given up on: neither by time, nor because others pass meanwhile. */
#define RULES                                                                                                          \
    "timeout: 2s, circuit_breaker: { enabled: false },\n"                                                              \
    "    retry_on_failure: { initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s }"

/* ---- a life ----------------------------------------------------------------------------------------------------- */

static void open_world(uint64_t seed)
{
    static const char yaml[] =
        "receivers: { scripted: , scripted/m: , scripted/w: }\n"
        "exporters:\n"
        "  scripted: { sending_queue: { storage: file_storage, num_consumers: 3, max_memory_bytes: 65536,\n"
        "                               batch: { min_size: 20, max_size: 50 } }, " RULES " }\n"
        "  scripted/b: { sending_queue: { num_consumers: 3 }, " RULES " }\n"
        "  scripted/c: { sending_queue: { num_consumers: 3, wait_for_result: true }, " RULES " }\n"
        "service:\n"
        "  extensions: [file_storage]\n"
        "  dead_letters: { to: none }\n"
        "  pipelines:\n"
        "    logs: { receivers: [scripted], exporters: [scripted] }\n"
        "    logs/m: { receivers: [scripted/m], exporters: [scripted/b] }\n"
        "    logs/w: { receivers: [scripted/w], exporters: [scripted/c] }\n";

    memset(&w, 0, sizeof(w));
    w.seed = seed;
    gw_test_logs_begin(seed);
    gw_test_engine_max_read_ns = 20 * MS;
    gw_test_engine_stands_still = stands;
    gw_test_logs_engine(&w.t, yaml, N_WORKERS);
    w.t.te.seed = seed;
}

static void step(bool sends)
{
    uint64_t turn_ns;

    if (any(6) == 0)
        stall_one();
    for (uint64_t k = sends ? any(4) : 0; k > 0; k--)
        send_one();
    for (unsigned i = 0; i < N_WAYS; i++)
        answer((enum way)i);
    turn_ns = w.t.te.now_ns;
    for (unsigned i = 0; i < N_WAYS; i++)
        w.ran[i] = stands(exporters[i]) ? 0 : w.ran[i] + 1;
    gw_test_logs_turn(&w.t, 1 + (unsigned)any(2), any(200 * MS));
    read_verdicts();
    for (unsigned i = 0; i < N_WAYS; i++)
        check_time(i, turn_ns);
}

static bool is_done(void)
{
    for (unsigned i = 0; i < N_WAYS; i++)
        if (gw_edge_counts(gw_engine_edge(w.t.engine, exporters[i]), GW_LOGS).held)
            return false;
    return w.n_told == w.n_requests;
}

static void check_end(uint64_t seed)
{
    unsigned n_ok[N_WAYS] = {0};
    uint64_t n_refused_rows = 0;

    for (uint32_t i = 0; i < w.n_requests; i++) {
        const struct request *r = &w.requests[i];

        assert_true(r->told);
        n_ok[r->way] += r->ok;
        n_refused_rows += r->way == WAITS && !r->ok ? r->rows : 0;
        for (uint32_t row = r->first; r->ok && row < r->first + r->rows; row++)
            if (!w.taken[row])
                fail_msg("seed %llu: row %u was acknowledged and never came to %s", (unsigned long long)seed, row,
                         exporters[r->way]);
    }
    for (unsigned i = 0; i < N_WAYS; i++) /* who was told that it was too late, or to come again, keeps its rows */
        assert_true(gw_edge_counts(gw_engine_edge(w.t.engine, exporters[i]), GW_LOGS).dropped <=
                    (i == WAITS ? n_refused_rows : 0));
    for (unsigned i = 0; i < N_WAYS; i++)
        all_ok[i] += n_ok[i];
}

static void run_seed(uint64_t seed)
{
    open_world(seed);
    for (unsigned i = 0; i < N_STEPS; i++)
        step(/* sends= */ true);
    for (unsigned i = 0; i < 4000 && !is_done(); i++)
        step(/* sends= */ false);
    assert_true(is_done());
    memset(w.until, 0, sizeof(w.until));
    gw_test_logs_turn(&w.t, 4, S);
    gw_test_logs_turn(&w.t, 4, S);
    check_end(seed);
    for (unsigned i = 0; i < N_WAYS; i++)
        n_cancelled += gw_test_engine_sink(&w.t, exporters[i])->n_cancelled;
    assert_int_equal(gw_test_engine_close(&w.t), 0);
    gw_test_engine_stands_still = NULL;
    gw_test_logs_end();
}

/*
 * Scenario    see above, many seeds
 * Guarantees  nothing that was acknowledged is lost or comes twice, whoever stands still
 */
static void whoever_stands_still_loses_nothing(void **state)
{
    (void)state;
    gw_test_seeds(SEEDS, run_seed);
    for (unsigned i = 0; i < N_WAYS; i++)
        assert_true(all_ok[i] > 0);
    assert_true(n_cancelled > 0 || getenv("GW_SIM_SEED"));
    printf("%u attempts were called off, %u requests acknowledged\n", n_cancelled, all_ok[0] + all_ok[1] + all_ok[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whoever_stands_still_loses_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
