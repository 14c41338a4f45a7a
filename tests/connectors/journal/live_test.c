/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are handed over as they were decoded are those that would have been decoded again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch/settle.h"
#include "core/hash.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "otlp-proto/encode.h"
#include "pipeline/ports.h"
#include "tests/harness.h"
#include "tests/harness_logs.h"
#include "tests/otlp-proto/random_wire.h"

enum { MAX_ROWS = 20000 };

static struct gw_test_engine t;

/* ---- processors: one that lets some rows fall, in front; and one that notes what comes, behind ---------------- */

static bool drops, is_odd;
static struct note {
    uint64_t hash, order, time_ns; /* of all that can be seen of a row; when it came */
} notes[MAX_ROWS];
static unsigned n_notes;
static uint64_t n_handed; /* frames */

static uint64_t hash_of(uint64_t before, const void *p, size_t n)
{
    return before * 31 + gw_hash_stable(gw_slice_of(p, n));
}

static void consume_holes(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    for (uint32_t r = gw_view_next(v, 0); drops && r < v->batch->n_rows; r = gw_view_next(v, r + 1))
        if (gw_hash_stable(gw_batch_slice(v->batch, v->batch->raw[r])) % 3 == 0)
            gw_view_settle_row(v, out->ledger, r, GW_DROPPED, "hole", NULL);
    gw_emit(out, 0, v);
}

/* Unknown fields of an envelope have no place of their own in it: with them only the rows themselves are compared. */
static uint64_t look_at(const struct gw_view *v, uint32_t row)
{
    const struct gw_batch *b = v->batch;
    struct gw_slice raw = gw_batch_slice(b, b->raw[row]);
    uint64_t h = hash_of(b->signal, raw.p, raw.n);
    struct gw_buf alone;

    h = hash_of(h, &b->time_ns[row], sizeof(b->time_ns[row]));
    h = hash_of(h, &b->row_flags[row], sizeof(b->row_flags[row]));
    if (b->signal == GW_METRICS)
        h = hash_of(h, &b->metrics[b->metric[row]].type, 1);
    else
        h = hash_of(h, b->trace_id[row], 16);
    h = h * 31 + (b->attr[row].end - b->attr[row].begin);
    if (is_odd)
        return h;
    gw_buf_init(&alone, 1 << 20);
    assert_int_equal(gw_encode_row(v, row, &alone), 0);
    h = hash_of(h, alone.p, alone.n);
    gw_buf_clear(&alone);
    return h;
}

static void consume_note(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    assert_true(gw_slice_is(v->meta->tenant, "acme"));
    assert_string_equal(v->batch->receiver, "journal/j");
    for (uint32_t r = gw_view_next(v, 0); r < v->batch->n_rows; r = gw_view_next(v, r + 1)) {
        assert_true(n_notes < MAX_ROWS);
        notes[n_notes] = (struct note){look_at(v, r), n_notes, v->batch->time_ns[r]};
        n_notes++;
    }
    gw_emit(out, 0, v);
}

/* ---- a gateway ------------------------------------------------------------------------------------------------ */

static const char *yaml(enum gw_signal s, const char *by, unsigned live_bytes, const char *behind)
{
    static char text[2000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\nprocessors: { holes: , note: }\n"
                   "exporters: { scripted: { at_once: true%s } }\n"
                   "connectors: { journal/j: { storage: file_storage, partition_by: %s, live_bytes: %u } }\n"
                   "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                   "    %s/in: { receivers: [scripted], processors: [holes], exporters: [journal/j] }\n"
                   "    %s/out: { receivers: [journal/j], processors: [note], exporters: [scripted] }\n",
                   behind, by, live_bytes, gw_signal_name(s), gw_signal_name(s));
    return text;
}

static void turn(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(&t, 1, 1000000);
}

static uint64_t frames(const char *name, const char *from)
{
    const struct gw_label l[] = {{"journal", "journal/j"}, {"from", from}};

    return gw_test_engine_metric(&t, name, l, from ? 2 : 1);
}

static void send(enum gw_signal s, unsigned worker, const char *peer, struct gw_slice body)
{
    const struct gw_meta from = {.tenant = GW_SLICE("acme"), .peer = gw_slice_cstr(peer), .transport = "grpc"};
    struct gw_meta *meta = gw_meta_new(&from);
    struct gw_verdict v = {0};

    assert_int_equal(gw_test_send(gw_test_engine_door(&t, "scripted", worker), s, body, meta, 1, &v), 0);
    (void)gw_meta_unref(meta);
}

/* ---- the same rows -------------------------------------------------------------------------------------------- */

static const ProtobufCMessageDescriptor *request_of(enum gw_signal s)
{
    return s == GW_TRACES ? &opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor
           : s == GW_LOGS ? &opentelemetry__proto__collector__logs__v1__export_logs_service_request__descriptor
                          : &opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__descriptor;
}

static int by_hash(const void *a, const void *b)
{
    const struct note *x = a, *y = b;

    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : (x->order > y->order) - (x->order < y->order);
}

/* What came out, sorted. */
static unsigned pass(uint64_t seed, enum gw_signal s, const char *by, unsigned n_workers, unsigned live_bytes,
                     const char *behind)
{
    struct random_wire r = {.state = seed, .odd = is_odd, .max_items = 4};
    struct gw_buf body;

    n_notes = 0;
    gw_buf_init(&body, 1 << 20);
    gw_test_logs_begin(seed);
    gw_test_logs_engine(&t, yaml(s, by, live_bytes, behind), n_workers);
    for (unsigned i = 0; i < 30; i++) {
        r.budget = 30 + rw_below(&r, 120);
        gw_buf_reset(&body);
        rw_message(&r, &body, request_of(s), 0);
        send(s, rw_below(&r, n_workers), rw_below(&r, 2) ? "p:1" : "p:2", gw_buf_slice(&body));
        turn(rw_below(&r, 3) * 2); /* sometimes several are there at the same time */
    }
    turn(60);
    assert_true(live_bytes || frames("staunch_journal_handed_frames", NULL) == 0);
    n_handed += frames("staunch_journal_handed_frames", NULL);
    assert_int_equal(frames("staunch_journal_read_frames", "log"), 0);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
    gw_buf_clear(&body);
    qsort(notes, n_notes, sizeof(notes[0]), by_hash);
    return n_notes;
}

static void run_seed(uint64_t seed)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    static const char *const keys[] = {"trace_id", "service", "none", "attributes, attributes: [a, service.name]"};
    static const char *const queues[] = {"", ", sending_queue: { wait_for_result: true }",
                                         ", sending_queue: { storage: file_storage }"};
    static struct note live[MAX_ROWS];
    enum gw_signal s = signals[seed % 3];
    unsigned n_workers = 1 + (unsigned)(seed / 3 % 3), n;

    drops = seed / 2 % 2;
    is_odd = seed / 5 % 2;
    n = pass(seed, s, keys[seed / 7 % 4], n_workers, 1 << 20, queues[seed / 11 % 3]);
    memcpy(live, notes, n * sizeof(live[0]));
    assert_int_equal(pass(seed, s, keys[seed / 7 % 4], n_workers, 0, queues[seed / 11 % 3]), n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(notes[i].hash, live[i].hash);
}

/*
 * Scenario    random requests of all signals, every field and extreme, odd ones, go into journals with every kind of
 *             key, some of their rows gone in front; on one to three workers, before every kind of queue; once with
 *             live_bytes and once without
 * Guarantees  with it they are handed over, without it they are not; what the pipeline behind sees of each row is the
 *             same; all memory is given back, and the ledger balances
 */
static void rows_are_the_same_either_way(void **state)
{
    (void)state;
    gw_test_seeds(24, run_seed);
    assert_true(n_handed > 200);
}

/* ---- how much ------------------------------------------------------------------------------------------------- */

/*
 * Scenario    four requests of 500 rows over four connections are committed together; live_bytes holds one of them as
 *             it was decoded, then none
 * Guarantees  the oldest one is handed over, the others are decoded again, each row comes once, in order; with less
 *             than one nothing is handed over
 */
static void no_more_is_kept_than_live_bytes(void **state)
{
    static const char *const peers[] = {"a:1", "b:1", "c:1", "d:1"};
    struct gw_buf body;

    (void)state;
    gw_buf_init(&body, 1 << 20);
    for (unsigned one = 0; one < 2; one++) {
        n_notes = 0;
        drops = false;
        gw_test_logs_begin(1);
        gw_test_logs_engine(&t, yaml(GW_LOGS, "service", one ? 100000 : 50000, ""), 1);
        for (unsigned i = 0; i < 4; i++) {
            gw_buf_reset(&body);
            gw_test_request(&body, GW_LOGS, 500 * i, 500);
            send(GW_LOGS, 0, peers[i], gw_buf_slice(&body));
        }
        turn(30);
        assert_int_equal(n_notes, 2000);
        assert_int_equal(frames("staunch_journal_handed_frames", NULL), one);
        for (unsigned i = 0; i < n_notes; i++)
            assert_int_equal(notes[i].time_ns, i);
        (void)gw_test_engine_close(&t);
        gw_test_logs_end();
    }
    gw_buf_clear(&body);
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

static const struct gw_sent_info OK = {.sent = GW_SENT_OK}, LATER = {.sent = GW_SENT_RETRY, .reason = "busy"};

/* `queue`: of the one exporter. */
static void open_before(enum gw_signal s, const char *queue)
{
    static char text[2000];

    (void)snprintf(
        text, sizeof(text),
        "receivers: { scripted: }\n"
        "exporters: { scripted: { retry_on_failure: { enabled: false }, circuit_breaker: { enabled: false },\n"
        "    sending_queue: { %s } } }\n"
        "connectors: { journal/j: { storage: file_storage, partition_by: trace_id, partitions: 64 } }\n"
        "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
        "    %s/in: { receivers: [scripted], exporters: [journal/j] }\n"
        "    %s/out: { receivers: [journal/j], exporters: [scripted] }\n",
        queue, gw_signal_name(s), gw_signal_name(s));
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, text, 1);
}

static void send_rows(enum gw_signal s, uint64_t first)
{
    struct gw_buf body;

    gw_buf_init(&body, 65536);
    gw_test_request(&body, s, first, 20);
    send(s, 0, "p:1", gw_buf_slice(&body));
    turn(4);
    gw_buf_clear(&body);
}

/* How often each row has come to the sink, which says that of them. Returns how many rows. */
static unsigned answer_all(enum gw_signal s, const struct gw_sent_info *info, unsigned seen[], unsigned cap)
{
    struct gw_test_sink *sink = gw_test_engine_sink(&t, "scripted");
    uint64_t names[200];
    unsigned all = 0;

    for (unsigned i = 0; i < 40; i++, gw_test_logs_turn(&t, 2, 50000000))
        while (sink->n_waiting) {
            unsigned n = gw_test_names(s, sink->waiting[0]->body, names, 200);

            all += n;
            for (unsigned k = 0; k < n; k++) {
                assert_true(names[k] < cap);
                seen[names[k]]++;
            }
            assert_true(gw_test_sink_answer(sink, info));
            turn(4);
        }
    return all;
}

static uint64_t read_items(const char *pipeline)
{
    const struct gw_label l[] = {{"journal", "journal/j"}, {"pipeline", pipeline}};

    return gw_test_engine_metric(&t, "staunch_journal_read_items", l, 2);
}

/*
 * Scenario    five requests of 20 rows of one partition, before a queue in memory with room for two, whose sink does
 *             not answer; then it does
 * Guarantees  what finds no room is refused at the door and goes later, as bytes: all rows come, once
 */
static void what_finds_no_room_goes_later(void **state)
{
    unsigned seen[100] = {0};

    (void)state;
    open_before(GW_LOGS, "queue_size: 2, num_consumers: 1");
    for (unsigned i = 0; i < 5; i++)
        send_rows(GW_LOGS, 20 * i);
    assert_in_range(frames("staunch_journal_handed_frames", NULL), 2, 3);
    assert_int_equal(answer_all(GW_LOGS, &OK, seen, 100), 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(read_items("logs/out"), 100);
    assert_in_range(frames("staunch_journal_handed_frames", NULL), 2, 3);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

/*
 * Scenario    a request of 20 spans of as many traces is handed over to a queue that waits for its sink, which wants it
 *             again later; then takes everything
 * Guarantees  one verdict is that of all frames: none has passed after the first answer; they go again as bytes, one by
 *             one, and all have passed then
 */
static void a_refused_group_goes_again_as_frames(void **state)
{
    unsigned seen[20] = {0};

    (void)state;
    open_before(GW_TRACES, "wait_for_result: true, queue_size: 100, num_consumers: 1");
    send_rows(GW_TRACES, 0);
    assert_int_equal(gw_test_engine_sink(&t, "scripted")->n_waiting, 1);
    assert_true(gw_test_sink_answer(gw_test_engine_sink(&t, "scripted"), &LATER));
    turn(10);
    assert_true(frames("staunch_journal_handed_frames", NULL) > 5);
    assert_int_equal(read_items("traces/out"), 0);
    assert_int_equal(answer_all(GW_TRACES, &OK, seen, 20), 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(read_items("traces/out"), 20);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
}

/* A request of n spans of as many traces under a resource whose URL has so many bytes. */
static void put_under_url(struct gw_buf *b, uint64_t first, unsigned n, unsigned url_bytes)
{
    struct gw_buf bare;
    uint8_t head[2 * GW_VARINT_MAX + 2], *p = head;
    size_t skip = 1;

    gw_buf_init(&bare, 1 << 20);
    gw_test_request(&bare, GW_TRACES, first, n);
    while (bare.p[skip++] & 0x80)
        ;
    *p++ = GW_TAG(1, GW_LEN);
    p = gw_varint_put(p, 1 + gw_varint_size(url_bytes) + url_bytes + bare.n - skip);
    *p++ = GW_TAG(3, GW_LEN);
    p = gw_varint_put(p, url_bytes);
    gw_buf_put(b, head, (size_t)(p - head));
    for (unsigned i = 0; i < url_bytes; i++)
        gw_buf_put_u8(b, 'u');
    gw_buf_put(b, bare.p + skip, bare.n - skip);
    gw_buf_clear(&bare);
}

/*
 * Scenario    requests of 100 spans of as many traces under a resource of 4000 bytes, which each frame repeats, so that
 *             a block is fifty times longer than its request; then small ones; decoded again
 * Guarantees  all rows come, once, below their resource
 */
static void a_block_may_be_much_longer_than_its_request(void **state)
{
    uint64_t sum = 0;
    struct gw_buf body;

    (void)state;
    n_notes = 0;
    drops = is_odd = false;
    gw_buf_init(&body, 1 << 20);
    gw_test_logs_begin(1);
    gw_test_logs_engine(&t, yaml(GW_TRACES, "trace_id", 0, ""), 1);
    for (unsigned i = 0; i < 4; i++) {
        gw_buf_reset(&body);
        put_under_url(&body, 100 * i, 100, i < 2 ? 4000 : 1);
        send(GW_TRACES, 0, "p:1", gw_buf_slice(&body));
        turn(6);
    }
    turn(20);
    assert_int_equal(n_notes, 400);
    for (unsigned i = 0; i < n_notes; i++)
        sum += notes[i].time_ns;
    assert_int_equal(sum, 399 * 400 / 2);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();
    gw_buf_clear(&body);
}

int main(void)
{
    static struct gw_component holes, note;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_either_way),
        cmocka_unit_test(no_more_is_kept_than_live_bytes),
        cmocka_unit_test(a_block_may_be_much_longer_than_its_request),
        cmocka_unit_test(what_finds_no_room_goes_later),
        cmocka_unit_test(a_refused_group_goes_again_as_frames),
    };

    holes = note = gw_test_keeper;
    holes.tick = note.tick = NULL;
    holes.drain = note.drain = NULL;
    holes.reads = GW_C_ROW;
    note.reads = GW_C_ROW | GW_C_ATTRS;
    holes.name = "holes";
    holes.consume = consume_holes;
    note.name = "note";
    note.consume = consume_note;
    gw_test_own_components[0] = &holes;
    gw_test_own_components[1] = &note;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
