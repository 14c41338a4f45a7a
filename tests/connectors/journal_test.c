/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "otlp-proto/json.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

/* One pipeline in front, one behind, whose exporter tells when the sink has the rows. `more`: of the journal. */
static const char *through(const char *more)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 100 } } }\n"
                   "connectors: { journal/j: { storage: file_storage%s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n",
                   more);
    return yaml;
}

/* The same with a queue in memory, for which nobody waits. */
static const char *through_memory(const char *more)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { retry_on_failure: { max_elapsed_time: 30s } } }\n"
                   "connectors: { journal/j: { storage: file_storage%s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n",
                   more);
    return yaml;
}

static void turn(struct gw_test_engine *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(t, 1, 1000000);
}

static void end(struct gw_test_engine *t)
{
    assert_int_equal(gw_test_engine_close(t), 0);
    gw_test_logs_end();
}

static struct gw_test_sink *sink(struct gw_test_engine *t)
{
    return gw_test_engine_sink(t, "scripted");
}

/* Names of all rows that wait at the sink; they are answered. */
static unsigned receive(struct gw_test_engine *t, uint64_t *ret, unsigned cap)
{
    struct gw_test_sink *s = sink(t);
    unsigned n = 0;

    while (s->n_waiting && n + s->waiting[0]->rows <= cap) {
        n += gw_test_names(GW_LOGS, s->waiting[0]->body, ret + n, cap - n);
        gw_test_sink_answer(s, &OK);
        turn(t, 4);
    }
    return n;
}

static uint64_t counter(struct gw_test_engine *t, const char *name, const char *key, const char *value)
{
    const struct gw_label l[] = {{"journal", "journal/j"}, {key, value}};

    return gw_test_engine_metric(t, name, l, 2);
}

/* Partitions in which the pipeline behind is committed to have done everything before that position. */
static unsigned n_passed(uint64_t position)
{
    unsigned n = 0;
    uint64_t at;

    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++) {
        assert_int_equal(gw_log_position(gw_test_log("journal/j"), 2, p, &at, NULL, NULL), 0);
        n += at >= position;
    }
    return n;
}

/*
 * Scenario    a request with a tenant goes in; the log commits; the sink behind answers
 * Guarantees  it is answered as stored before the sink has it; it reaches the pipeline behind with its tenant, from
 *             memory; the position moves when the sink has it, and not before
 */
static void rows_pass_by_way_of_the_log(void **state)
{
    const struct gw_meta from = {.tenant = GW_SLICE("acme"), .transport = "grpc"};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_test_engine t;
    struct gw_test_door *d;
    struct gw_verdict v = {0};
    uint64_t names[8];
    struct gw_buf body;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, through(", partition_by: tenant"), 1);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, 5, 3);
    assert_int_equal(gw_test_send(d, GW_LOGS, gw_buf_slice(&body), meta, 1, &v), 0);
    turn(&t, 4);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 0);
    assert_int_equal(d->verdicts[0].v.rows, 3);
    turn(&t, 4);
    assert_int_equal(sink(&t)->n_waiting, 1);
    assert_int_equal(gw_test_names(GW_LOGS, sink(&t)->waiting[0]->body, names, 8), 3);
    assert_int_equal(names[0], 5);
    assert_true(gw_slice_is(sink(&t)->waiting[0]->meta->tenant, "acme"));
    assert_int_equal(counter(&t, "staunch_journal_read_frames", "from", "head"), 1);
    assert_int_equal(counter(&t, "staunch_journal_read_frames", "from", "log"), 0);
    assert_true(n_passed(1) < 64); /* others have nothing to wait for */
    gw_test_sink_answer(sink(&t), &OK);
    turn(&t, 6);
    gw_test_logs_turn(&t, 1, 2 * S);
    turn(&t, 6);
    assert_int_equal(n_passed(1), 64);
    assert_int_equal(counter(&t, "staunch_journal_read_items", "pipeline", "logs/out"), 3);
    assert_int_equal(counter(&t, "staunch_journal_appended_items", "signal", "logs"), 3);
    (void)gw_meta_unref(meta);
    gw_buf_clear(&body);
    end(&t);
}

static void send(struct gw_test_engine *t, uint64_t first, unsigned n)
{
    gw_test_engine_send(gw_test_engine_door(t, "scripted", 0), GW_LOGS, first, n, (uint32_t)first);
    turn(t, 6);
}

/*
 * Scenario    ten requests are stored, the sink takes those of the first three; the gateway is stopped, or dies, and
 *             starts again, with one worker more
 * Guarantees  exactly the other seven come, in order, and from the log
 */
static void reading_goes_on_where_it_stopped(void **state)
{
    struct gw_test_engine t;
    uint64_t names[64];

    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, through(""), 1);
        for (unsigned i = 0; i < 3; i++)
            send(&t, i, 1);
        assert_int_equal(receive(&t, names, 64), 3);
        for (unsigned i = 3; i < 10; i++)
            send(&t, i, 1);
        if (dies)
            gw_test_logs_crash(&t, false);
        else
            (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, through(""), 2);
        turn(&t, 20);
        assert_int_equal(receive(&t, names, 64), 7);
        for (unsigned i = 0; i < 7; i++)
            assert_int_equal(names[i], 3 + i);
        assert_int_equal(counter(&t, "staunch_journal_read_frames", "from", "head"), 0);
        end(&t);
    }
}

/*
 * Scenario    behind is a queue in memory whose sink does not answer; the gateway stops and starts again; with
 *             durability: memory, the same
 * Guarantees  the position stays where it was, and the rows come again; with memory it has moved, and they are gone.
 *             The time for trying does not end, and the gateway's stop makes no dead letters of them
 */
static void a_queue_in_memory_behind_does_not_move_the_position(void **state)
{
    static const struct gw_sent_info later = {.sent = GW_SENT_RETRY, .reason = "busy"};
    struct gw_test_engine t;
    uint64_t names[8];
    char yaml[2000];

    (void)state;
    for (unsigned memory = 0; memory < 2; memory++) {
        gw_test_logs_begin(1);
        (void)snprintf(yaml, sizeof(yaml),
                       "receivers: { scripted: }\n"
                       "exporters: { scripted: { retry_on_failure: { max_elapsed_time: 30s } },\n"
                       "    scripted/dead: { sending_queue: { storage: file_storage } } }\n"
                       "connectors: { journal/j: { storage: file_storage } }\n"
                       "service:\n  extensions: [file_storage]\n  dead_letters: { to: %s }\n  pipelines:\n"
                       "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                       "    logs/out: { receivers: [journal/j], exporters: [scripted]%s }\n",
                       memory ? "none" : "scripted/dead", memory ? ", durability: memory" : "");
        gw_test_logs_engine(&t, yaml, 1);
        send(&t, 7, 2);
        gw_test_logs_turn(&t, 4, 2 * S);
        turn(&t, 4);
        for (unsigned i = 0; i < 4 && !memory; i++) {
            assert_int_equal(sink(&t)->n_waiting, 1);
            assert_true(gw_test_sink_answer(sink(&t), &later));
            gw_test_logs_turn(&t, 4, 31 * S);
            turn(&t, 4);
        }
        assert_int_equal(n_passed(1) == 64, memory);
        assert_int_equal(counter(&t, "staunch_journal_read_items", "pipeline", "logs/out"), memory ? 2 : 0);
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, yaml, 1);
        turn(&t, 20);
        if (!memory)
            assert_int_equal(gw_test_engine_sink(&t, "scripted/dead")->n_waiting, 0);
        assert_int_equal(receive(&t, names, 8), memory ? 0 : 2);
        gw_test_logs_turn(&t, 4, 2 * S);
        turn(&t, 4);
        assert_int_equal(n_passed(1), 64);
        end(&t);
    }
}

/*
 * Scenario    a queue in memory behind, whose sink is away: attempts fail until the breaker is open; then SIGTERM
 * Guarantees  the gateway does not wait for the sink: the rows go back to the journal, and come with the next start
 */
static void a_stop_does_not_wait_for_a_sink_that_is_away(void **state)
{
    static const struct gw_sent_info away = {.sent = GW_SENT_RETRY, .reason = "refused", .sign = GW_SIGN_AWAY};
    struct gw_test_engine t;
    uint64_t names[16];

    (void)state;
    for (unsigned open = 0; open < 2; open++) {
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, through_memory(", partition_by: none"), 1);
        for (unsigned i = 0; i < (open ? 8 : 1); i++) /* several at the gate */
            send(&t, 7 * i, 2);
        assert_int_equal(sink(&t)->n_waiting, open ? 8 : 1);
        while (sink(&t)->n_waiting)
            assert_true(gw_test_sink_answer(sink(&t), &away));
        turn(&t, 4);
        gw_engine_quiesce(t.engine);
        gw_engine_drain(t.engine);
        for (unsigned i = 0; i < 3; i++) {
            turn(&t, 6);
            if (sink(&t)->n_waiting) /* one last time, because there is an end in sight */
                assert_true(gw_test_sink_answer(sink(&t), &away));
            gw_test_logs_turn(&t, 2, S);
        }
        turn(&t, 6);
        assert_true(gw_engine_is_quiet(t.engine));
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, through_memory(", partition_by: none"), 1);
        turn(&t, 20);
        assert_int_equal(receive(&t, names, 16), open ? 16 : 2);
        end(&t);
    }
}

/*
 * Scenario    three requests of one partition, a queue in memory behind; the sink answers the second and the third,
 * turns the first one away, and takes it when it comes again Guarantees  they do not wait for each other; the position
 * stays before the first until that is done, then it is behind all; nothing comes twice
 */
static void in_memory_requests_do_not_wait_for_each_other(void **state)
{
    static const struct gw_sent_info away = {.sent = GW_SENT_OVER, .reason = "breaker_open"};
    struct gw_test_engine t;
    uint64_t names[8];

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, through_memory(", partition_by: tenant, partitions: 64"), 1);
    for (unsigned i = 0; i < 3; i++)
        send(&t, i, 1);
    assert_int_equal(sink(&t)->n_waiting, 3);
    assert_true(gw_test_sink_answer_at(sink(&t), 1, &OK));
    assert_true(gw_test_sink_answer_at(sink(&t), 1, &OK));
    turn(&t, 4);
    gw_test_logs_turn(&t, 2, 2 * S);
    turn(&t, 4);
    assert_int_equal(n_passed(1), 63);
    assert_int_equal(counter(&t, "staunch_journal_read_items", "pipeline", "logs/out"), 0);
    assert_true(gw_test_sink_answer(sink(&t), &away));
    turn(&t, 4);
    gw_test_logs_turn(&t, 2, 6 * S);
    turn(&t, 4);
    assert_int_equal(receive(&t, names, 8), 1);
    assert_int_equal(names[0], 0);
    gw_test_logs_turn(&t, 2, 2 * S);
    turn(&t, 4);
    assert_int_equal(n_passed(3), 64);
    assert_int_equal(counter(&t, "staunch_journal_read_items", "pipeline", "logs/out"), 3);
    end(&t);
}

/*
 * Scenario    the sink behind answers "later" to the first of five requests, and the queue has one place
 * Guarantees  nothing is lost or doubled, and the order of the partition is kept
 */
static void refused_rows_go_again_and_what_follows_waits(void **state)
{
    static const struct gw_sent_info later = {.sent = GW_SENT_RETRY, .reason = "busy"};
    struct gw_test_engine t;
    uint64_t names[16];
    unsigned n = 0;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t,
                        "receivers: { scripted: }\n"
                        "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 1 },\n"
                        "    retry_on_failure: { enabled: false } } }\n"
                        "connectors: { journal/j: { storage: file_storage } }\n"
                        "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                        "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                        "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n",
                        1);
    for (unsigned i = 0; i < 5; i++)
        send(&t, 10 * i, 2);
    assert_int_equal(sink(&t)->n_waiting, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(gw_test_sink_answer(sink(&t), &later));
        gw_test_logs_turn(&t, 3, 6 * S);
        turn(&t, 6);
    }
    assert_int_equal(counter(&t, "staunch_journal_read_items", "pipeline", "logs/out"), 0);
    assert_true(counter(&t, "staunch_journal_retries", "pipeline", "logs/out") >= 3);
    for (unsigned i = 0; i < 10 && n < 10; i++) {
        n += receive(&t, names + n, 16 - n);
        gw_test_logs_turn(&t, 3, 6 * S);
        turn(&t, 6);
    }
    assert_int_equal(n, 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(names[i], 10 * (i / 2) + i % 2);
    assert_int_equal(receive(&t, names, 16), 0);
    end(&t);
}

/*
 * Scenario    the sink behind says that it will never take a request
 * Guarantees  its rows are counted and named in the log, the next ones come
 */
static void what_is_never_taken_does_not_hold_up_the_rest(void **state)
{
    static const struct gw_sent_info never = {
        .sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "no such field"};
    struct gw_test_engine t;
    uint64_t names[8];

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, through(""), 1);
    send(&t, 1, 2);
    assert_true(gw_test_sink_answer(sink(&t), &never));
    turn(&t, 4);
    send(&t, 5, 1);
    assert_int_equal(receive(&t, names, 8), 1);
    assert_int_equal(names[0], 5);
    assert_int_equal(counter(&t, "staunch_journal_failed_items", "pipeline", "logs/out"), 2);
    assert_true(gw_test_env_logged(&t.te, "2 rows will never be taken"));
    turn(&t, 6);
    gw_test_logs_turn(&t, 1, 2 * S);
    turn(&t, 6);
    assert_int_equal(n_passed(2), 64);
    end(&t);
}

/*
 * Scenario    the disk is full, then it is not
 * Guarantees  clients are told to come again, with the reason; nothing of a refused request reaches the other side
 */
static void a_full_disk_is_the_clients_business(void **state)
{
    struct gw_test_engine t;
    struct gw_test_door *d;
    uint64_t names[8];

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, through(""), 1);
    d = gw_test_engine_door(&t, "scripted", 0);
    gw_test_log_faults("journal/j")->no_room = true;
    send(&t, 1, 2);
    assert_int_equal(d->n_verdicts, 1);
    assert_int_equal(d->verdicts[0].v.grpc_status, 14);
    assert_true(d->verdicts[0].v.retry_after_ns > 0);
    assert_string_equal(d->verdicts[0].message, "the journal's disk is full");
    gw_test_log_faults("journal/j")->no_room = false;
    send(&t, 5, 1);
    assert_int_equal(d->verdicts[1].v.grpc_status, 0);
    assert_int_equal(receive(&t, names, 8), 1);
    assert_int_equal(names[0], 5);
    assert_int_equal(counter(&t, "staunch_journal_refused_items", "signal", "logs"), 2);
    end(&t);
}

/* ---- partitions ------------------------------------------------------------------------------------------- */

static const char *keyed(const char *key)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "connectors: { journal/j: { storage: file_storage, %s } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    traces/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n",
                   key);
    return yaml;
}

/* One row of a log: its name, and where it lies. */
struct lying {
    uint64_t name;
    uint16_t partition;
};

static unsigned read_all(enum gw_signal s, struct lying *ret, unsigned cap)
{
    struct gw_log_reader_conf conf = {.topics = 1u << ((unsigned)s >> 1)};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t names[512];
    unsigned n = 0;

    assert_int_equal(gw_log_reader_new(gw_test_log("journal/j"), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1) {
        unsigned rows = gw_test_names(s, e.frame.body, names, 512);

        assert_int_equal(rows, e.frame.rows);
        assert_int_equal(e.frame.signal, s);
        for (unsigned i = 0; i < rows && n < cap; i++)
            ret[n++] = (struct lying){names[i], e.frame.partition};
    }
    gw_log_reader_free(r);
    return n;
}

static void put(struct gw_test_engine *t, enum gw_signal s, const char *json, const char *tenant)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    const struct gw_meta from = {.tenant = gw_slice_cstr(tenant)};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_err err = {""};
    struct gw_verdict v = {0};
    struct gw_buf body;

    gw_buf_init(&body, 65536);
    if (gw_json_to_proto(s, gw_slice_cstr(json), &limits, &body, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(gw_test_send(gw_test_engine_door(t, "scripted", 0), s, gw_buf_slice(&body), meta, 1, &v), 0);
    turn(t, 4);
    gw_buf_clear(&body);
    (void)gw_meta_unref(meta);
}

static unsigned hashed(const void *p, size_t n)
{
    return (unsigned)(gw_hash_stable(gw_slice_of(p, n)) % 64);
}

/*
 * Scenario    300 spans of 300 traces in one request
 * Guarantees  each lies in the partition of its trace id's hash, none is missing, and a request is one commit
 */
static void a_trace_lies_in_one_partition(void **state)
{
    struct lying rows[512];
    struct gw_test_engine t;
    struct gw_log_stats before, after;
    unsigned n;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, keyed("partitions: 64, partition_by: trace_id"), 1);
    turn(&t, 2);
    gw_log_stats(gw_test_log("journal/j"), &before);
    gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 100, 300, 1);
    turn(&t, 4);
    gw_log_stats(gw_test_log("journal/j"), &after);
    assert_int_equal(after.commits, before.commits + 1);
    n = read_all(GW_TRACES, rows, 512);
    assert_int_equal(n, 300);
    for (unsigned i = 0; i < n; i++) {
        uint64_t id[2] = {rows[i].name + 1, ~rows[i].name};

        assert_int_equal(rows[i].partition, hashed(id, 16));
    }
    end(&t);
}

/*
 * Scenario    requests of one partition, one of many of them, and one whose rows lie in several, of which the first has
 *             fields that nobody knows; two come in the same turn
 * Guarantees  what goes to one partition lies there as it came, to the byte, also when it was put together; what does
 *             not is cut
 */
static void what_goes_to_one_place_lies_there_as_it_came(void **state)
{
    static const uint8_t unknown[] = {0xfa, 0x3f, 0x03, 'a', 'b', 'c'}; /* field 1023 */
    struct gw_log_reader_conf conf = {0};
    struct gw_verdict v = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    struct gw_buf sent, lies;
    unsigned n_frames = 0;

    (void)state;
    for (unsigned many = 0; many < 2; many++) {
        struct gw_test_engine t;

        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, keyed(many ? "partitions: 64, partition_by: trace_id" : "partition_by: trace_id"), 1);
        gw_buf_init(&sent, 1 << 20);
        gw_buf_init(&lies, 1 << 20);
        for (unsigned i = 0; i < 5; i++) {
            size_t from = sent.n;

            gw_test_request(&sent, GW_TRACES, 1000 * i, i == 2 ? 500 : 3);
            gw_buf_put(&sent, unknown, sizeof(unknown));
            assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES,
                                          gw_slice_of(sent.p + from, sent.n - from), NULL, i, &v),
                             0);
            turn(&t, i % 2 ? 4 : 0);
        }
        turn(&t, 4);
        assert_int_equal(gw_log_reader_new(gw_test_log("journal/j"), &conf, &r), 0);
        for (n_frames = 0; memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1; n_frames++)
            gw_buf_put_slice(&lies, e.frame.body);
        gw_log_reader_free(r);
        assert_int_equal(gw_slice_eq(gw_buf_slice(&sent), gw_buf_slice(&lies)), !many);
        assert_true(many ? n_frames > 64 : n_frames <= 5);
        gw_buf_clear(&sent);
        gw_buf_clear(&lies);
        end(&t);
    }
}

#define RECORD(time, key, value)                                                                                       \
    "{\"timeUnixNano\": \"" time "\", \"attributes\": [{\"key\": \"" key "\", \"value\": " value "}]}"
#define OF(service, records)                                                                                           \
    "{\"resource\": {\"attributes\": [{\"key\": \"service.name\", \"value\": {\"stringValue\": \"" service             \
    "\"}}]}, \"scopeLogs\": [{\"logRecords\": [" records "]}]}"

static const char two_services[] = "{\"resourceLogs\": [" OF("cart", RECORD("1", "user", "{\"intValue\": 7}")) "," OF(
    "pay", RECORD("2", "user", "{\"intValue\": 7}") "," RECORD("3", "other", "{\"boolValue\": true}")) "]}";

static uint16_t where(const struct lying *rows, uint64_t name)
{
    for (; rows->name != name; rows++)
        ;
    return rows->partition;
}

/*
 * Scenario    records of two services and of two tenants under each partition_by; trace_id with rows that have none
 * Guarantees  rows lie where the hash of the named key says: service.name, tenant, type and value of attributes (the
 *             row's before the resource's; missing ones are equal); without a trace its service; none spreads requests
 */
static void the_key_decides_where_rows_lie(void **state)
{
    static const char *const keys[] = {"partitions: 64, partition_by: service",
                                       "partitions: 64, partition_by: trace_id",
                                       "partitions: 64, partition_by: tenant",
                                       "partitions: 64, partition_by: attributes, attributes: [user]",
                                       "partitions: 64, partition_by: attributes, attributes: [service.name, user]",
                                       "partitions: 64, partition_by: none"};
    struct gw_test_engine t;
    struct lying rows[16];

    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, keyed(keys[k]), 1);
        put(&t, GW_LOGS, two_services, k == 2 ? "acme" : "");
        assert_int_equal(read_all(GW_LOGS, rows, 16), 3);
        if (k < 2) {
            assert_int_equal(where(rows, 1), hashed("cart", 4));
            assert_int_equal(where(rows, 2), hashed("pay", 3));
            assert_int_equal(where(rows, 3), hashed("pay", 3));
        } else if (k == 2) {
            for (unsigned i = 0; i < 3; i++)
                assert_int_equal(rows[i].partition, hashed("acme", 4));
        } else if (k == 3) {
            assert_int_equal(where(rows, 1), where(rows, 2)); /* whatever the service */
            assert_int_equal(where(rows, 3), hashed("\0", 1));
            assert_int_not_equal(where(rows, 1), where(rows, 3));
        } else if (k == 4) {
            assert_int_not_equal(where(rows, 1), where(rows, 2));
            assert_int_not_equal(where(rows, 2), where(rows, 3));
        } else {
            put(&t, GW_LOGS, two_services, "");
            assert_int_equal(read_all(GW_LOGS, rows, 16), 6);
            assert_int_equal(rows[0].partition, rows[2].partition);
            assert_int_not_equal(rows[0].partition, rows[3].partition);
        }
        end(&t);
    }
}

/*
 * Scenario    a journal with rows by trace_id is opened with another key; with the same one; one without rows with
 *             another key
 * Guarantees  refused with a sentence that names both; not refused
 */
static void the_key_of_data_is_not_changed(void **state)
{
    struct gw_test_engine t;
    struct gw_err err = {""};
    struct gw_buf yaml;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, keyed("partition_by: service"), 1);
    turn(&t, 2);
    (void)gw_test_engine_close(&t);
    gw_test_logs_engine(&t, keyed("partition_by: trace_id"), 1); /* there is nothing yet */
    put(&t, GW_LOGS, two_services, "");
    (void)gw_test_engine_close(&t);
    gw_buf_init(&yaml, 65536);
    gw_buf_printf(&yaml, "extensions: { file_storage: { directory: %s } }\n%s", gw_test_logs_dir(),
                  keyed("partition_by: attributes, attributes: [a, b]"));
    gw_buf_put_u8(&yaml, 0);
    assert_int_equal(gw_test_engine_try(&t, (const char *)yaml.p, 1, false, &err), -EINVAL);
    assert_non_null(strstr(err.text, "its data was partitioned by trace_id, and the file says attributes a, b"));
    gw_buf_clear(&yaml);
    gw_test_logs_engine(&t, keyed("partition_by: trace_id"), 1);
    end(&t);
}

static bool refuses(const char *settings, unsigned n_workers, const char *because)
{
    struct gw_test_engine t;
    struct gw_err err = {""};
    struct gw_buf yaml;
    int rc;

    gw_buf_init(&yaml, 65536);
    gw_buf_printf(&yaml, "extensions: { file_storage: { directory: %s } }\n%s", gw_test_logs_dir(), keyed(settings));
    gw_buf_put_u8(&yaml, 0);
    rc = gw_test_engine_try(&t, (const char *)yaml.p, n_workers, false, &err);
    gw_buf_clear(&yaml);
    return rc == -EINVAL && strstr(err.text, because);
}

/*
 * Scenario    a journal is given 8 partitions, and gets rows that nobody reads; then it is opened with another key,
 * with 8, and without a number by fewer workers than there are partitions; one that has no rows yet, with another
 *             number
 * Guarantees  rows lie where the hash says, modulo 8; it goes on with 8; without rows it takes the new number
 */
static void a_journal_keeps_its_number_of_partitions(void **state)
{
    struct gw_test_engine t;
    struct lying rows[64];
    unsigned n;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, keyed("partition_by: trace_id, partitions: 2"), 1);
    turn(&t, 2);
    (void)gw_test_engine_close(&t);
    for (unsigned k = 0; k < 3; k++) {
        gw_test_logs_engine(&t, keyed(k < 2 ? "partition_by: trace_id, partitions: 8" : "partition_by: trace_id"),
                            k < 2 ? 1 : 3);
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 100, 20, 1);
        turn(&t, 6);
        n = read_all(GW_TRACES, rows, 64);
        assert_int_equal(n, 20 * (k + 1));
        for (unsigned i = 0; i < n; i++) {
            uint64_t id[2] = {rows[i].name + 1, ~rows[i].name};

            assert_int_equal(rows[i].partition, hashed(id, 16) % 8);
        }
        (void)gw_test_engine_close(&t);
        assert_true(refuses("partition_by: service", 1, "was partitioned by trace_id, and the file says service"));
    }
    gw_test_logs_engine(&t, keyed("partition_by: trace_id"), 1);
    end(&t);
}

/*
 * Scenario    journals that say no number, with so many workers
 * Guarantees  one partition for one worker; for more four each, a power of two, at most 16
 */
static void a_new_journal_has_partitions_for_its_workers(void **state)
{
    static const unsigned for_workers[][2] = {{1, 1}, {2, 8}, {3, 16}, {6, 16}};
    struct gw_test_engine t;
    struct lying rows[512];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t used = 0;

        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, keyed("partition_by: trace_id"), for_workers[i][0]);
        gw_test_engine_send(gw_test_engine_door(&t, "scripted", 0), GW_TRACES, 100, 300, 1);
        turn(&t, 6);
        for (unsigned n = read_all(GW_TRACES, rows, 512); n > 0; n--)
            used |= UINT64_C(1) << rows[n - 1].partition;
        assert_true(used == (UINT64_C(1) << for_workers[i][1]) - 1);
        end(&t);
    }
}

/* ---- pipelines behind ------------------------------------------------------------------------------------- */

static const char *two_behind(const char *start, const char *second)
{
    static char yaml[2000];

    (void)snprintf(yaml, sizeof(yaml),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 100 } },\n"
                   "    scripted/b: { at_once: true, sending_queue: { wait_for_result: true } } }\n"
                   "connectors: { journal/j: { storage: file_storage, start: %s, in_flight_bytes: 65536,\n"
                   "    head_bytes: 65536 } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n%s",
                   start, second);
    return yaml;
}
static const char second[] = "    logs/b: { receivers: [journal/j], exporters: [scripted/b] }\n";

static uint64_t read_by(struct gw_test_engine *t, const char *pipeline)
{
    return counter(t, "staunch_journal_read_items", "pipeline", pipeline);
}

/*
 * Scenario    one of two pipelines behind has a sink that never answers, while 40 requests of 5000 bytes go in
 * Guarantees  the other has all rows; the slow one holds no more than in_flight_bytes (and one frame); later it gets
 *             the rest from the log, what lies behind head_bytes
 */
static void a_slow_pipeline_does_not_hold_up_another(void **state)
{
    struct gw_test_engine t;
    static uint64_t names[16000];
    uint64_t used;
    unsigned n = 0;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, two_behind("earliest", second), 1);
    for (unsigned i = 0; i < 40; i++)
        send(&t, 400 * i, 400);
    assert_int_equal(read_by(&t, "logs/b"), 40 * 400);
    assert_int_equal(read_by(&t, "logs/out"), 0);
    used = atomic_load(&gw_engine_memory(t.engine)->used_bytes);
    assert_true(used > 60000 && used < 400000);
    assert_int_equal(sink(&t)->n_waiting, 1);
    while (n < 16000) {
        unsigned got = receive(&t, names, 16000);

        for (unsigned i = 0; i < got; i++)
            assert_int_equal(names[i], n + i);
        n += got;
        turn(&t, 4);
    }
    assert_int_equal(n, 16000);
    assert_true(counter(&t, "staunch_journal_read_frames", "from", "log") > 0);
    end(&t);
}

#define FOREVER (1000000 * S)

/* A pipeline that is behind, and whose next rows are being read: 40 requests are in, it has had the first ones. */
static void fall_behind(struct gw_test_engine *t, uint64_t *names, unsigned *ret_n)
{
    gw_test_logs_begin(1);
    gw_test_engine_max_read_ns = FOREVER;
    gw_test_logs_engine(t, two_behind("earliest", second), 1);
    for (unsigned i = 0; i < 40; i++)
        send(t, 400 * i, 400);
    for (*ret_n = 0; sink(t)->n_waiting;)
        *ret_n += receive(t, names + *ret_n, 16000 - *ret_n);
    assert_true(*ret_n > 0 && *ret_n < 16000);
}

/*
 * Scenario    the disk does not answer the reads of a pipeline that is behind; more comes in; the gateway is stopped,
 *             and starts again with a disk that works
 * Guarantees  the worker goes on: what comes in is stored, the pipeline that keeps up has it. A stop waits for the read
 *             and, when it may not, gives it up without a leak; then the rest is read, once and in order
 */
static void a_disk_that_hangs_stalls_no_worker(void **state)
{
    struct gw_test_engine t;
    static uint64_t names[16600];
    unsigned n, more;

    (void)state;
    fall_behind(&t, names, &n);
    send(&t, 16000, 400);
    assert_int_equal(gw_test_engine_door(&t, "scripted", 0)->n_verdicts, 41);
    assert_int_equal(read_by(&t, "logs/b"), 41 * 400);
    assert_int_equal(read_by(&t, "logs/out"), n);
    assert_int_equal(sink(&t)->n_waiting, 0);
    gw_engine_quiesce(t.engine);
    gw_engine_drain(t.engine);
    turn(&t, 10);
    assert_false(gw_engine_is_quiet(t.engine));
    (void)gw_test_engine_close(&t);
    gw_test_engine_max_read_ns = S;
    gw_test_logs_engine(&t, two_behind("earliest", second), 1);
    for (unsigned i = 0; n < 16400; i++) {
        assert_true(i < 1000);
        gw_test_logs_turn(&t, 4, S);
        turn(&t, 2);
        more = receive(&t, names + n, 16400 - n);
        n += more;
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(names[i], i);
    assert_true(counter(&t, "staunch_journal_read_frames", "from", "log") > 0);
    end(&t);
}

/*
 * Scenario    a configuration without the journal is taken while the disk does not answer; then it does
 * Guarantees  the reload does not wait for it, and the journal goes when its read is over
 */
static void a_reload_does_not_wait_for_a_read(void **state)
{
    struct gw_test_engine t;
    static uint64_t names[16000];
    struct gw_err err = {""};
    char yaml[1000];
    unsigned n;

    (void)state;
    fall_behind(&t, names, &n);
    (void)snprintf(yaml, sizeof(yaml),
                   "extensions: { file_storage: { directory: %s, fsync: false } }\nreceivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 100 } } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    logs/in: { receivers: [scripted], exporters: [scripted] }\n",
                   gw_test_logs_dir());
    assert_int_equal(gw_test_engine_reload(&t, yaml, &err), 0);
    gw_test_logs_turn(&t, 10, S);
    assert_int_equal(gw_engine_n_leaving(t.engine), 1);
    gw_test_logs_turn(&t, 1, FOREVER);
    turn(&t, 10);
    assert_int_equal(gw_engine_n_leaving(t.engine), 0);
    end(&t);
}

/*
 * Scenario    five rows are stored and read by one pipeline; the file then names another one, with start: earliest or
 *             latest, and after that no longer
 * Guarantees  earliest: it gets the five; latest: only what comes later; the one that is gone is named
 */
static void a_new_pipeline_begins_where_start_says(void **state)
{
    struct gw_test_engine t;
    uint64_t names[8];

    (void)state;
    for (unsigned latest = 0; latest < 2; latest++) {
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, two_behind("earliest", ""), 2);
        send(&t, 0, 5);
        assert_int_equal(receive(&t, names, 8), 5);
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, two_behind(latest ? "latest" : "earliest", second), 2);
        turn(&t, 10);
        send(&t, 10, 2);
        turn(&t, 10);
        assert_int_equal(read_by(&t, "logs/b"), latest ? 2 : 7);
        assert_int_equal(receive(&t, names, 8), 2);
        assert_false(gw_test_env_logged(&t.te, "read this journal before"));
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, two_behind("earliest", ""), 2);
        assert_true(gw_test_env_logged(&t.te, "pipeline \"logs/b\" read this journal before and does not now"));
        end(&t);
    }
}

/*
 * Scenario    rows that a pipeline has not read become older than max_age, or more than max_bytes
 * Guarantees  they go, counted and told; the next ones come
 */
static void retention_takes_what_was_not_read_and_says_so(void **state)
{
    struct gw_test_engine t;
    static uint64_t names[16000];
    unsigned n;

    (void)state;
    for (unsigned by_size = 0; by_size < 2; by_size++) {
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t,
                            through(by_size
                                        ? ", in_flight_bytes: 65536, head_bytes: 0, retention: { max_bytes: 100000 }"
                                        : ", in_flight_bytes: 65536, head_bytes: 0, retention: { max_age: 1m }"),
                            1);
        for (unsigned i = 0; i < 40; i++)
            send(&t, 400 * i, 400);
        if (!by_size)
            gw_test_logs_turn(&t, 4, 120 * S);
        turn(&t, 10);
        gw_test_logs_turn(&t, 2, 2 * S);
        turn(&t, 10);
        assert_true(gw_test_env_logged(&t.te, "rows were dropped before it had read them"));
        assert_true(counter(&t, "staunch_journal_dropped_items", "pipeline", "logs/out") > 0);
        send(&t, 50000, 1);
        for (n = 0; n == 0 || names[n - 1] != 50000; turn(&t, 4)) { /* the sink was away for long */
            n = receive(&t, names, 16000);
            gw_test_logs_turn(&t, 2, 2 * S);
        }
        end(&t);
    }
}

/*
 * Scenario    keep_unread: the sink behind is away while the limits are passed, by size or by age; then it is back. A
 *             pipeline that is no longer configured had read nothing
 * Guarantees  nothing is dropped, also not with a start in between; a full journal refuses, and its senders are told;
 * every row that was acknowledged comes in order, and then there is room again
 */
static void what_is_not_read_is_kept_when_that_is_asked_for(void **state)
{
    static uint64_t names[16000];
    struct gw_test_engine t;
    struct gw_test_door *d;

    (void)state;
    for (unsigned by_size = 0; by_size < 2; by_size++) {
        const char *yaml = through(by_size ? ", in_flight_bytes: 65536, head_bytes: 0, partition_by: tenant,\n"
                                             "    retention: { max_bytes: 150000, keep_unread: true }"
                                           : ", in_flight_bytes: 65536, head_bytes: 0, partition_by: tenant,\n"
                                             "    retention: { max_age: 1m, keep_unread: true }");
        unsigned n = 0, ok = 0, more;

        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, two_behind("earliest", second), 1); /* logs/b, which is not there any more */
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, yaml, 1);
        d = gw_test_engine_door(&t, "scripted", 0);
        for (unsigned i = 0; i < 40; i++)
            send(&t, 400 * i, 400);
        for (unsigned i = 0; i < d->n_verdicts; i++) {
            ok += d->verdicts[i].v.grpc_status == 0;
            assert_true(d->verdicts[i].v.grpc_status == 0 ||
                        strcmp(d->verdicts[i].message, "the journal is full") == 0);
        }
        assert_true(by_size ? ok < 40 && ok > 5 : ok == 40);
        gw_test_logs_turn(&t, 4, 120 * S);
        gw_test_logs_turn(&t, 4, 120 * S);
        (void)gw_test_engine_close(&t);
        gw_test_logs_engine(&t, yaml, 1);
        gw_test_logs_turn(&t, 4, 120 * S);
        for (unsigned i = 0; n < 400 * ok; i++) {
            assert_true(i < 1000);
            more = receive(&t, names + n, 16000 - n);
            n += more;
            gw_test_logs_turn(&t, 4, S);
        }
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(names[i], i);
        assert_false(gw_test_env_logged(&t.te, "rows were dropped"));
        gw_test_logs_turn(&t, 4, 120 * S);
        gw_test_logs_turn(&t, 4, 2 * S);
        d = gw_test_engine_door(&t, "scripted", 0);
        send(&t, 50000, 400);
        assert_int_equal(d->verdicts[d->n_verdicts - 1].v.grpc_status, 0);
        assert_int_equal(receive(&t, names, 16000), 400);
        end(&t);
    }
}

/* ---- reload ---- */

static int reload(struct gw_test_engine *t, const char *yaml, struct gw_err *err)
{
    char text[4000];

    (void)snprintf(text, sizeof(text), "extensions: { file_storage: { directory: %s, fsync: false } }\n%s",
                   gw_test_logs_dir(), yaml);
    *err = (struct gw_err){""};
    return gw_test_engine_reload(t, text, err);
}

/*
 * Scenario    a journal with rows that nobody has read is given a limit in bytes, and less memory for pipelines behind;
 * the same again; then settings that cannot be changed
 * Guarantees  the new limits hold at once, for what is there, and it reads on from where it was; the others are refused
 * by name, and nothing has changed
 */
static void a_reload_takes_other_limits(void **state)
{
    static const char limited[] = ", in_flight_bytes: 65536, head_bytes: 0, retention: { max_bytes: 100000 }";
    static uint64_t names[16000];
    struct gw_test_engine t;
    struct gw_err err;
    unsigned n;

    (void)state;
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, through(""), 1);
    send(&t, 0, 400);
    assert_int_equal(reload(&t, through(limited), &err), 0);
    assert_int_equal(reload(&t, through(limited), &err), 0);
    for (unsigned i = 1; i < 120; i++)
        send(&t, 400 * i, 400);
    assert_true(atomic_load(&gw_engine_memory(t.engine)->used_bytes) < 200000);
    assert_true(gw_test_env_logged(&t.te, "0 new") && !gw_test_env_logged(&t.te, "dropped before"));
    gw_test_logs_turn(&t, 2, 2 * S);
    turn(&t, 10);
    assert_true(gw_test_env_logged(&t.te, "rows were dropped before it had read them"));
    n = receive(&t, names, 16000);
    assert_int_equal(names[0], 0);
    assert_true(n >= 400);
    assert_int_equal(
        reload(&t,
               "receivers: { scripted: }\n"
               "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 100 } } }\n"
               "connectors: { journal/j: { storage: file_storage }, journal/default: { storage: file_storage } }\n"
               "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
               "    logs/in: { receivers: [scripted], exporters: [journal/j, journal/default] }\n"
               "    logs/out: { receivers: [journal/j], exporters: [scripted] }\n",
               &err),
        -EINVAL); /* of the second one; the first one keeps its limits */
    assert_int_equal(reload(&t, through(limited), &err), 0);
    assert_int_equal(reload(&t, through(", start: latest"), &err), -ENOTSUP);
    assert_string_equal(err.text, "connector journal/j: start can only be changed by a restart");
    assert_int_equal(reload(&t, through(", partition_by: tenant"), &err), -ENOTSUP);
    assert_string_equal(err.text, "connector journal/j: partition_by can only be changed by a restart");
    send(&t, 50000, 1);
    for (n = 0; n == 0 || names[n - 1] != 50000; turn(&t, 4)) {
        n = receive(&t, names, 16000);
        gw_test_logs_turn(&t, 2, 2 * S);
    }
    end(&t);
}

/* ---- mistakes --------------------------------------------------------------------------------------------- */

/*
 * Scenario    settings that cannot be
 * Guarantees  refused before anything runs, with a sentence that names the key
 */
static void mistakes_are_refused(void **state)
{
    static const struct {
        const char *settings, *says;
    } cases[] = {
        {"partition_by: attributes", "partition_by: attributes needs attributes"},
        {"attributes: [a]", "attributes count only with partition_by: attributes"},
        {"partition_by: trace", "Allowed: none, trace_id, service"},
        {"in_flight_bytes: 10", "in_flight_bytes"},
        {"start: now", "start"},
        {"partitions: 12", "partitions must be a power of two"},
        {"partitions: 128", "partitions"},
        {"storage: file_storage/b", "file_storage/b"},
    };
    struct gw_test_engine t;
    struct gw_err err;

    (void)state;
    gw_test_logs_begin(1);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_buf yaml;

        gw_buf_init(&yaml, 65536);
        gw_buf_printf(&yaml, "extensions: { file_storage: { directory: %s } }\n%s", gw_test_logs_dir(),
                      keyed(cases[i].settings));
        gw_buf_put_u8(&yaml, 0);
        if (strncmp(cases[i].settings, "storage", 7) == 0) /* not twice the same key */
            memmove(strstr((char *)yaml.p, "storage: file_storage, "),
                    strstr((char *)yaml.p, "storage: file_storage/b"),
                    strlen(strstr((char *)yaml.p, "storage: file_storage/b")) + 1);
        err = (struct gw_err){""};
        assert_int_equal(gw_test_engine_try(&t, (const char *)yaml.p, 1, false, &err), -EINVAL);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].settings, err.text);
        gw_buf_clear(&yaml);
    }
    gw_test_logs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_pass_by_way_of_the_log),
        cmocka_unit_test(reading_goes_on_where_it_stopped),
        cmocka_unit_test(a_queue_in_memory_behind_does_not_move_the_position),
        cmocka_unit_test(a_stop_does_not_wait_for_a_sink_that_is_away),
        cmocka_unit_test(in_memory_requests_do_not_wait_for_each_other),
        cmocka_unit_test(refused_rows_go_again_and_what_follows_waits),
        cmocka_unit_test(what_is_never_taken_does_not_hold_up_the_rest),
        cmocka_unit_test(a_full_disk_is_the_clients_business),
        cmocka_unit_test(a_trace_lies_in_one_partition),
        cmocka_unit_test(what_goes_to_one_place_lies_there_as_it_came),
        cmocka_unit_test(the_key_decides_where_rows_lie),
        cmocka_unit_test(the_key_of_data_is_not_changed),
        cmocka_unit_test(a_journal_keeps_its_number_of_partitions),
        cmocka_unit_test(a_new_journal_has_partitions_for_its_workers),
        cmocka_unit_test(a_slow_pipeline_does_not_hold_up_another),
        cmocka_unit_test(a_disk_that_hangs_stalls_no_worker),
        cmocka_unit_test(a_reload_does_not_wait_for_a_read),
        cmocka_unit_test(a_new_pipeline_begins_where_start_says),
        cmocka_unit_test(retention_takes_what_was_not_read_and_says_so),
        cmocka_unit_test(what_is_not_read_is_kept_when_that_is_asked_for),
        cmocka_unit_test(a_reload_takes_other_limits),
        cmocka_unit_test(mistakes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
