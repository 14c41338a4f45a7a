/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal between three workers' requests and two pipelines whose sinks answer, hesitate and say "later", on a log
 * whose commits fail, whose readers see late and whose disk is slow; reloads take the pipelines out and put them back;
 * and the process dies again and again, sometimes with the machine. At the end the log says what was stored, and in
 * which order. It gets more partitions now and then, by itself or by the file.
 *
 *   acknowledged ⊆ delivered to each pipeline        refused ∩ delivered = ∅
 *   delivered ⊆ stored, but for what a death took before it was acknowledged
 *   a partition's rows, and those of what is one key modulo 64, arrive in the log's order, each once between two
 * deaths; where the queue is in memory, without in_order: in any order, once between two reloads what was committed as
 * done before a death is not seen after it
 *
 * GW_SIM_SEEDS=n runs n seeds (default 40), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "tests/harness_logs.h"

enum { N_SINKS = 2, MAX_ROWS = 6000, N_STEPS = 60, N_LIVES = 5, MAX_DELIVERIES = 40000 };

static const char *const ids[N_SINKS] = {"scripted", "scripted/b"};

struct delivery {
    uint32_t name;
    uint8_t life, sink;
    uint16_t epoch; /* reloads and lives are counted through */
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row;
    bool in_order;
    unsigned n_sent, life, n_workers, epoch, head_bytes;
    unsigned n_partitions;     /* in the file; 0: as many as it finds right */
    uint8_t outcome[MAX_ROWS]; /* 0 not told, 1 OK, 2 not */
    uint32_t first[MAX_ROWS], rows[MAX_ROWS];
    struct delivery deliveries[MAX_DELIVERIES];
    unsigned n_deliveries;
    uint64_t seq[MAX_ROWS]; /* + 1; 0: not in the log */
    uint8_t partition[MAX_ROWS];
    uint64_t end[GW_LOG_PARTITIONS];                    /* behind the last frame of a partition */
    uint64_t done[N_LIVES][N_SINKS][GW_LOG_PARTITIONS]; /* positions at the begin of a life */
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, w->n_workers));
    uint32_t rows = (uint32_t)(1 + any(w, 12)), stream = w->n_sent;
    struct gw_verdict v = {0};
    struct gw_buf body;

    if (w->next_row + rows > MAX_ROWS)
        return;
    gw_buf_init(&body, 1 << 20);
    gw_test_request(&body, GW_TRACES, w->next_row, rows);
    w->first[stream] = (uint32_t)w->next_row;
    w->rows[stream] = rows;
    w->next_row += rows;
    w->n_sent++;
    if (gw_test_send(d, GW_TRACES, gw_buf_slice(&body), NULL, stream, &v) < 0)
        memset(w->outcome + w->first[stream], 2, rows);
    gw_buf_clear(&body);
}

static void read_verdicts(struct world *w)
{
    for (unsigned k = 0; k < w->n_workers; k++) {
        struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", k);

        for (unsigned i = 0; i < d->n_verdicts; i++) {
            uint32_t r = d->verdicts[i].ack.stream;

            memset(w->outcome + w->first[r], d->verdicts[i].v.grpc_status == 0 ? 1 : 2, w->rows[r]);
        }
        d->n_verdicts = 0;
    }
}

static void answer_one(struct world *w, unsigned sink, bool kindly)
{
    struct gw_test_sink *s = gw_test_engine_sink(&w->t, ids[sink]);
    struct gw_sent_info info = {.reason = "sim", .message = "simulated"};
    static uint64_t names[MAX_ROWS];
    unsigned at, n;

    if (s->n_waiting == 0)
        return;
    at = (unsigned)any(w, s->n_waiting);
    n = gw_test_names(GW_TRACES, s->waiting[at]->body, names, MAX_ROWS);
    info.sent = kindly || any(w, 4) ? GW_SENT_OK : GW_SENT_RETRY;
    for (unsigned i = 0; i < n && info.sent == GW_SENT_OK; i++) {
        assert_true(w->n_deliveries < MAX_DELIVERIES);
        w->deliveries[w->n_deliveries++] =
            (struct delivery){(uint32_t)names[i], (uint8_t)w->life, (uint8_t)sink, (uint16_t)w->epoch};
    }
    (void)gw_test_sink_answer_at(s, at, &info);
}

/* ---- lives ------------------------------------------------------------------------------------------------ */

/* `behind`: a bit for each pipeline that is there. The exporters are there in any case. */
static const char *yaml(const struct world *w, unsigned behind)
{
    static char text[2000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: , scripted/idle: }\n"
                   "exporters:\n"
                   "  scripted: { sending_queue: { wait_for_result: true, queue_size: 6, num_consumers: 3 },\n"
                   "    retry_on_failure: { enabled: false }, circuit_breaker: { enabled: false } }\n"
                   "  scripted/b: { sending_queue: { queue_size: 100 },\n" /* in memory, for which nobody waits */
                   "    retry_on_failure: { enabled: false }, circuit_breaker: { enabled: false } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: trace_id, partitions: %u,\n"
                   "    in_flight_bytes: 65536, head_bytes: %u, in_order: %s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    traces/idle: { receivers: [scripted/idle], exporters: [scripted, scripted/b] }\n"
                   "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n%s%s",
                   w->n_partitions, w->head_bytes, w->in_order ? "true" : "false",
                   behind & 1 ? "    traces/a: { receivers: [journal/j], exporters: [scripted] }\n" : "",
                   behind & 2 ? "    traces/b: { receivers: [journal/j], exporters: [scripted/b] }\n" : "");
    return text;
}

/* Other pipelines are behind it, unless so many that left still have something under way. */
static void reload(struct world *w, unsigned behind, bool fsync)
{
    struct gw_err err = {""};
    char text[2200];
    int rc;

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: %s } }\n%s",
                   gw_test_logs_dir(), fsync ? "true" : "false", yaml(w, behind));
    rc = gw_test_engine_reload(&w->t, text, &err);
    if (rc < 0 && rc != -EBUSY)
        fail_msg("%s", err.text);
    w->epoch++;
}

static void begin_life(struct world *w, bool fsync)
{
    struct gw_log_sim_faults *f;

    w->epoch++;
    w->head_bytes = (unsigned)(any(w, 3) * 4000);
    w->n_workers = 1 + (unsigned)any(w, 3);
    if (w->n_partitions <= 16)
        w->n_partitions <<= any(w, 3);
    gw_test_engine_max_read_ns = any(w, 3) * 60000000;
    gw_test_logs_engine_synced(&w->t, yaml(w, 3), w->n_workers, fsync);
    w->t.te.seed = gw_test_random(&w->seed);
    f = gw_test_log_faults("journal/j");
    *f = (struct gw_log_sim_faults){
        .fail_permille = 40, .full_permille = 20, .max_late_ns = 60000000, .max_delay_ns = 40000000};
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (unsigned s = 0; s < N_SINKS; s++)
            assert_int_equal(gw_log_position(gw_test_log("journal/j"), 2 + s, p, &w->done[w->life][s][p], NULL, NULL),
                             0);
}

static void live(struct world *w, bool fsync)
{
    for (unsigned step = 0; step < N_STEPS; step++) {
        for (uint64_t k = any(w, 5); k > 0; k--)
            send_one(w);
        for (unsigned i = 0; i < N_SINKS; i++)
            for (uint64_t k = any(w, 6); k > 0; k--)
                answer_one(w, i, false);
        gw_test_logs_turn(&w->t, 1 + (unsigned)any(w, 2), any(w, 50) == 0 ? 1500000000u : any(w, 30000000u));
        read_verdicts(w);
        if (any(w, 12) == 0)
            reload(w, (unsigned)any(w, 4), fsync);
    }
}

/* Everything that the log holds. */
static bool is_all_read(const struct world *w)
{
    uint64_t at;

    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (unsigned i = 0; i < N_SINKS; i++) {
            assert_int_equal(gw_log_position(gw_test_log("journal/j"), 2 + i, p, &at, NULL, NULL), 0);
            if (at < w->end[p])
                return false;
        }
    return true;
}

/* Nothing comes in any more; what is under way is finished. */
static void leave(struct world *w)
{
    gw_engine_quiesce(w->t.engine);
    for (unsigned step = 0; step < 2000 && !gw_engine_is_quiet(w->t.engine); step++) {
        for (unsigned k = 0; k < 20; k++)
            answer_one(w, k % N_SINKS, true);
        gw_test_logs_turn(&w->t, 2, 20000000);
        read_verdicts(w);
    }
    assert_true(gw_engine_is_quiet(w->t.engine));
    (void)gw_test_engine_close(&w->t);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void read_log(struct world *w)
{
    struct gw_log_reader_conf conf = {0};
    static uint64_t names[MAX_ROWS];
    struct gw_log_reader *r;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(gw_test_log("journal/j"), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1) {
        unsigned n = gw_test_names(GW_TRACES, e.frame.body, names, MAX_ROWS);

        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(w->seq[names[i]], 0);
            w->seq[names[i]] = e.frame.seq + 1;
            w->partition[names[i]] = (uint8_t)e.frame.partition;
        }
        w->end[e.frame.partition] = e.frame.seq + 1;
    }
    gw_log_reader_free(r);
}

static unsigned hash_of(uint64_t name)
{
    uint64_t id[2] = {name + 1, ~name};

    return (unsigned)(gw_hash_stable(gw_slice_of(id, 16)) % 64);
}

static void check(struct world *w)
{
    static uint64_t last[N_LIVES][N_SINKS][GW_LOG_PARTITIONS]; /* seq and name of what came last */
    static uint64_t of_key[N_LIVES][N_SINKS][GW_LOG_PARTITIONS];
    static uint16_t seen[N_SINKS][MAX_ROWS];

    memset(last, 0, sizeof(last));
    memset(of_key, 0, sizeof(of_key));
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < w->n_deliveries; i++) {
        const struct delivery *d = &w->deliveries[i];
        uint64_t place = w->seq[d->name] << 32 | d->name, p = w->partition[d->name], h = hash_of(d->name);
        bool loose = d->sink == 1 && !w->in_order;

        if (w->seq[d->name] == 0) { /* read, and lost before it was done: nobody heard OK */
            assert_int_not_equal(w->outcome[d->name], 1);
            continue;
        }
        assert_true(w->seq[d->name] - 1 >= w->done[d->life][d->sink][p]); /* and was not done with */
        assert_true(loose || place > last[d->life][d->sink][p]);          /* in order, where somebody waits */
        assert_true(loose || place > of_key[d->life][d->sink][h]);
        last[d->life][d->sink][p] = of_key[d->life][d->sink][h] = place;
        assert_int_not_equal(seen[d->sink][d->name], loose ? d->epoch : d->life + 1); /* once */
        seen[d->sink][d->name] = loose ? d->epoch : (uint16_t)(d->life + 1);
        assert_int_not_equal(w->outcome[d->name], 2);
    }
    for (uint64_t name = 0; name < w->next_row; name++) {
        if (w->outcome[name] == 1)
            assert_true(w->seq[name] > 0);
        for (unsigned s = 0; s < N_SINKS; s++)
            assert_int_equal(seen[s][name] > 0, w->seq[name] > 0);
    }
}

static void run_seed(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    bool fsync = seed % 2 == 0;

    assert_non_null(w);
    w->seed = seed;
    w->in_order = seed % 3 == 0;
    w->n_partitions = any(w, 2) ? 1 + (unsigned)any(w, 2) : 0;
    gw_test_logs_begin(seed);
    for (w->life = 0; w->life < N_LIVES - 1; w->life++) {
        begin_life(w, fsync);
        live(w, fsync);
        if (any(w, 5) == 0)
            leave(w);
        else
            gw_test_logs_crash(&w->t, fsync && any(w, 2));
    }
    begin_life(w, fsync);
    *gw_test_log_faults("journal/j") = (struct gw_log_sim_faults){0};
    gw_test_logs_turn(&w->t, 1, 100000000); /* all of it is visible by then */
    read_log(w);
    for (unsigned step = 0; step < 3000 && !is_all_read(w); step++) {
        for (unsigned k = 0; k < 20; k++)
            answer_one(w, k % N_SINKS, true);
        gw_test_logs_turn(&w->t, 2, 50000000);
    }
    assert_true(is_all_read(w));
    check(w);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    free(w);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  nothing acknowledged is lost, order holds, what was done with does not come again
 */
static void a_journal_holds_what_it_promises(void **state)
{
    (void)state;
    gw_test_seeds(40, run_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_journal_holds_what_it_promises)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
