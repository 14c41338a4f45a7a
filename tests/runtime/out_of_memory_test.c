/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out in the middle of a gateway's work: the n-th allocation fails, for every n, and none behind it. The
 * gateway has queues on disk, one of which is left from an earlier process, batches, and sinks that take a part, refuse
 * and answer late; the disk is one in memory, whose own allocations do not count, and so are the test's.
 *
 *   GW_OOM_ALL=1   every n; without it some
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/limits.h"
#include "otlp-proto/rows.h"
#include "tests/harness_engine_disk.h"
#include "tests/harness_malloc.h"

#define MS 1000000ull
enum { MAX_ROWS = 64, OTLP = 0, TEXT = 1, N_SINKS = 2, TRIES = 6 };

static const char *const sinks[N_SINKS] = {"scripted", "text"};
static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

struct world {
    struct gw_simdisk disk;
    struct gw_test_engine t;
    uint64_t next_row;
    uint32_t n_requests;
    uint64_t first[MAX_ROWS];
    unsigned rows[MAX_ROWS];
    bool acked[MAX_ROWS], refused[MAX_ROWS];
    unsigned seen[N_SINKS][MAX_ROWS]; /* delivered */
    unsigned dead[MAX_ROWS];          /* of sink OTLP, as told by the letters */
    unsigned more[MAX_ROWS];          /* delivered to scripted/more */
    unsigned n_attempts, n_twice;
};

/* ---- whose memory it is ------------------------------------------------------------------------------------- */

static void ours(int change)
{
    gw_malloc_pause(change);
}

/* ---- the gateway -------------------------------------------------------------------------------------------- */

static const char yaml[] =
    "extensions: { file_storage: { directory: s, create_directory: true, segment_size_mib: 1, reserve_mib: 1 } }\n"
    "receivers: { scripted: }\n"
    "processors: { attributes: { actions: [ { key: k, value: v, action: insert } ] } }\n"
    "exporters:\n"
    "  scripted:\n"
    "    sending_queue: { storage: file_storage, num_consumers: 3,\n"
    "                     batch: { flush_timeout: 50ms, min_size: 6, max_size: 8 } }\n"
    "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
    "  text:\n"
    "    sending_queue: { storage: file_storage }\n"
    "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
    "  scripted/letters: { sending_queue: { storage: file_storage } }\n"
    "service:\n"
    "  extensions: [file_storage]\n"
    "  dead_letters: { to: scripted/letters }\n"
    "  pipelines:\n"
    "    logs: { receivers: [scripted], processors: [attributes], exporters: [scripted, text] }\n";

static void open_world(struct world *w)
{
    gw_test_engine_on_disk(&w->disk);
    gw_test_engine_open(&w->t, yaml, 1, false);
    gw_test_door_room(gw_test_engine_door(&w->t, "scripted", 0), MAX_ROWS);
}

static void send_one(struct world *w, unsigned rows)
{
    static const struct gw_meta_pair pair = {{(const uint8_t *)"x-team", 6}, {(const uint8_t *)"blue", 4}};
    const struct gw_meta from = {.pairs = &pair, .n_pairs = 1};
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", 0);
    uint32_t stream = w->n_requests++;
    struct gw_verdict v = {0};
    struct gw_meta *meta;
    struct gw_buf body;

    ours(1);
    meta = gw_meta_new(&from);
    gw_buf_init(&body, 65536);
    gw_test_request(&body, GW_LOGS, w->next_row, rows);
    ours(-1);
    w->first[stream] = w->next_row;
    w->rows[stream] = rows;
    w->next_row += rows;
    assert_true(w->next_row <= MAX_ROWS);
    if (gw_test_send(d, GW_LOGS, gw_buf_slice(&body), meta, stream, &v) < 0)
        for (unsigned i = 0; i < rows; i++)
            w->refused[w->first[stream] + i] = true;
    gw_buf_clear(&body);
    (void)gw_meta_unref(meta);
}

static void read_verdicts(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", 0);

    for (unsigned i = 0; i < d->n_verdicts; i++) {
        uint32_t r = d->verdicts[i].ack.stream;

        for (unsigned k = 0; k < w->rows[r]; k++)
            *(d->verdicts[i].v.grpc_status == 0 ? &w->acked[w->first[r] + k] : &w->refused[w->first[r] + k]) = true;
    }
    d->n_verdicts = 0;
}

/* ---- the sinks ---------------------------------------------------------------------------------------------- */

static unsigned text_names(struct gw_slice body, uint64_t *ret)
{
    unsigned n = 0;

    for (size_t i = 0; i < body.n && n < MAX_ROWS; i++) {
        uint64_t v = 0;

        for (; body.p[i] != ';'; i++)
            v = 10 * v + (uint64_t)(body.p[i] - '0');
        ret[n++] = v;
    }
    return n;
}

static unsigned names_of(unsigned sink, const struct gw_attempt *a, uint64_t *ret)
{
    unsigned n;

    ours(1);
    n = sink == TEXT ? text_names(a->body, ret) : gw_test_names(GW_LOGS, a->body, ret, MAX_ROWS);
    ours(-1);
    assert_int_equal(n, a->rows);
    return n;
}

static void took(struct world *w, unsigned sink, const uint64_t *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_true(names[i] < w->next_row);
        w->n_twice += w->seen[sink][names[i]]++ > 0;
    }
}

/* The rows of `bits` alone. */
static struct gw_buf extract(const struct gw_attempt *a, uint64_t bits, unsigned n)
{
    struct gw_rows rows;
    struct gw_buf body;

    ours(1);
    gw_buf_init(&body, 65536);
    assert_int_equal(gw_rows_init(&rows, n), 0);
    for (unsigned i = 0; i < n; i++)
        if (bits >> i & 1)
            (void)gw_rows_add(&rows, i);
    assert_int_equal(gw_rows_extract(GW_LOGS, a->body, &rows, &body), 0);
    gw_rows_clear(&rows);
    ours(-1);
    return body;
}

/* Every other row is taken. */
static void answer_in_part(struct world *w, struct gw_test_sink *s, const uint64_t *names, unsigned n)
{
    uint64_t left = 0x5555555555555555u & ((1ull << n) - 1);
    struct gw_buf body = extract(s->waiting[0], left, n);
    struct gw_sent_info info = {.sent = GW_SENT_RETRY,
                                .reason = "part",
                                .sign = GW_SIGN_BUSY,
                                .left = gw_buf_slice(&body),
                                .left_rows = (n + 1) / 2,
                                .left_bits = &left};

    for (unsigned i = 1; i < n; i += 2)
        took(w, OTLP, &names[i], 1);
    (void)gw_test_sink_answer(s, &info);
    gw_buf_clear(&body);
}

/* The first row has no form that the sink knows; of the others some are told before, as taken. */
static void answer_with_a_death(struct world *w, struct gw_test_sink *s, const uint64_t *names, unsigned n)
{
    struct gw_attempt *a = s->waiting[0];
    const uint64_t first = 1, others = 2;
    struct gw_buf body = extract(a, first, n);

    a->dead(a, &(struct gw_death){
                   .class_ = "schema", .reason = "no_form", .body = gw_buf_slice(&body), .rows = 1, .bits = &first});
    gw_buf_clear(&body);
    if (n > 1)
        a->taken(a, &others);
    took(w, OTLP, names + 1, n - 1);
    (void)gw_test_sink_answer(s, &OK);
}

static void answer_otlp(struct world *w, struct gw_test_sink *s, bool kindly)
{
    uint64_t names[MAX_ROWS];
    unsigned n = names_of(OTLP, s->waiting[0], names);
    struct gw_sent_info info = {.reason = "scripted", .message = "as the test wants it"};
    struct gw_slice team;

    assert_true(gw_meta_find(s->waiting[0]->meta, GW_SLICE("x-team"), 0, &team) && gw_slice_is(team, "blue"));
    switch (kindly ? TRIES : w->n_attempts++ % TRIES) {
    case 0:
        info.sent = GW_SENT_TOO_LARGE;
        break;
    case 1:
        answer_in_part(w, s, names, n);
        return;
    case 2:
        answer_with_a_death(w, s, names, n);
        return;
    case 3:
        info.sent = GW_SENT_PERMANENT;
        break;
    case 4:
        info.sent = GW_SENT_RETRY;
        info.sign = GW_SIGN_BUSY;
        break;
    default:
        took(w, OTLP, names, n);
    }
    (void)gw_test_sink_answer(s, &info);
}

static void answer_text(struct world *w, struct gw_test_sink *s, bool kindly)
{
    uint64_t names[MAX_ROWS];
    unsigned n = names_of(TEXT, s->waiting[0], names);

    if (!kindly && w->n_attempts++ % 3 == 0) {
        (void)gw_test_sink_answer(s, &(struct gw_sent_info){.sent = GW_SENT_RETRY, .sign = GW_SIGN_BUSY});
        return;
    }
    took(w, TEXT, names, n);
    (void)gw_test_sink_answer(s, &OK);
}

static void note_letter(struct world *w, struct gw_slice letter)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    uint64_t names[MAX_ROWS];
    struct gw_ref at;

    assert_int_equal(gw_batch_append(b, letter, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    for (uint32_t r = 0; r < b->n_rows; r++) {
        unsigned n = gw_test_names(GW_LOGS, gw_batch_slice(b, b->body[r].ref), names, MAX_ROWS);

        for (unsigned i = 0; i < n; i++)
            w->dead[names[i]]++;
    }
    (void)gw_batch_unref(b);
}

/* It is of the second configuration only. */
static void answer_more(struct world *w)
{
    struct gw_test_sink *s = gw_engine_instance(w->t.engine, GW_EXPORTER, "scripted/more");
    uint64_t names[MAX_ROWS];

    while (s && s->n_waiting) {
        for (unsigned i = names_of(OTLP, s->waiting[0], names); i > 0; i--)
            w->more[names[i - 1]]++;
        (void)gw_test_sink_answer(s, &OK);
    }
}

static void answer_all(struct world *w, bool kindly)
{
    struct gw_test_sink *otlp = gw_test_engine_sink(&w->t, "scripted"), *text = gw_test_engine_sink(&w->t, "text"),
                        *letters = gw_test_engine_sink(&w->t, "scripted/letters");

    for (unsigned n = otlp->n_waiting; n > 0; n--)
        answer_otlp(w, otlp, kindly);
    for (unsigned n = text->n_waiting; n > 0; n--)
        answer_text(w, text, kindly);
    while (letters->n_waiting) {
        ours(1);
        note_letter(w, letters->waiting[0]->body);
        ours(-1);
        (void)gw_test_sink_answer(letters, &OK);
    }
    answer_more(w);
}

/* ---- lives -------------------------------------------------------------------------------------------------- */

/* Two requests wait on disk. */
static void first_life(struct world *w)
{
    open_world(w);
    for (unsigned i = 0; i < 2; i++) {
        send_one(w, 3);
        gw_test_engine_turn(&w->t, 3, MS);
        read_verdicts(w);
    }
    assert_int_equal(gw_test_engine_close(&w->t), 0);
}

/* Allocations while it works; the n-th fails. True: it came to that. */
static bool second_life(struct world *w, uint64_t nth, uint64_t *ret_count)
{
    uint64_t before = gw_malloc_count();
    bool failed;

    w->t.looks_away = true; /* pictures of the ledger are another test's */
    gw_malloc_fail_at(nth);
    for (unsigned i = 0; i < 14; i++) {
        if (i < 6)
            send_one(w, 1 + i % 4);
        gw_test_engine_turn(&w->t, 2, 20 * MS);
        answer_all(w, false);
    }
    *ret_count = gw_malloc_count() - before;
    failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    w->t.looks_away = false;
    return failed;
}

static bool is_done(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", 0);

    return d->n_open == 0 && gw_engine_n_leaving(w->t.engine) == 0 &&
           gw_edge_is_dry(gw_engine_edge(w->t.engine, "scripted")) &&
           gw_edge_is_dry(gw_engine_edge(w->t.engine, "text")) &&
           gw_edge_is_dry(gw_engine_edge(w->t.engine, "scripted/letters"));
}

static void go_on(struct world *w)
{
    for (unsigned i = 0; i < 200 && !is_done(w); i++) {
        answer_all(w, true);
        gw_test_engine_turn(&w->t, 2, 200 * MS);
        read_verdicts(w);
    }
    assert_true(is_done(w));
    gw_test_engine_turn(&w->t, 4, 200 * MS); /* what was settled is written */
    gw_test_engine_turn(&w->t, 4, 200 * MS);
    read_verdicts(w);
}

static void check_consumer(void *arg, const struct gw_log_consumer *c)
{
    const struct gw_log_stats *st = arg;
    uint64_t settled = 0;

    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++)
        settled += c->settled[o];
    assert_int_equal(c->low, st->end_seq);
    assert_int_equal(settled, st->end_row - c->first_row);
    assert_int_equal(c->settled[GW_LOG_DROPPED], 0);
}

static void check_log(struct world *w, const char *kind, const char *name)
{
    struct gw_log *l = gw_engine_log(w->t.engine, kind, name);
    struct gw_log_stats st;

    gw_log_stats(l, &st);
    assert_int_equal(gw_log_consumers(l, check_consumer, &st), 0);
}

static void check_rows(const struct world *w)
{
    for (uint64_t r = 0; r < w->next_row; r++) {
        assert_true(w->acked[r] != w->refused[r]);
        for (unsigned s = 0; s < N_SINKS; s++) {
            unsigned n = w->seen[s][r] + (s == OTLP ? w->dead[r] : 0);

            if (w->acked[r] && n == 0)
                fail_msg("row %llu was acknowledged and is lost for %s", (unsigned long long)r, sinks[s]);
            if (w->refused[r] && n)
                fail_msg("row %llu was refused and is at %s", (unsigned long long)r, sinks[s]);
        }
    }
}

/* Nothing is left of it: what was settled is known. */
static void third_life(struct world *w)
{
    open_world(w);
    gw_test_engine_turn(&w->t, 6, 200 * MS);
    gw_test_engine_turn(&w->t, 6, 200 * MS);
    for (unsigned s = 0; s < N_SINKS; s++)
        assert_int_equal(gw_test_engine_sink(&w->t, sinks[s])->n_waiting, 0);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
}

static bool run(uint64_t nth, uint64_t *ret_count)
{
    struct world *w = calloc(1, sizeof(*w));
    bool failed;

    assert_non_null(w);
    gw_simdisk_init(&w->disk, 9);
    first_life(w);
    open_world(w);
    failed = second_life(w, nth, ret_count);
    go_on(w);
    check_rows(w);
    check_log(w, "queue", "logs");
    check_log(w, "ports", "scripted/letters");
    if (!failed)
        assert_int_equal(w->n_twice, 0);
    else if (w->n_twice)
        printf("%llu: %u rows twice\n", (unsigned long long)nth, w->n_twice);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    third_life(w);
    gw_test_engine_on_disk(NULL);
    gw_simdisk_clear(&w->disk);
    free(w);
    return failed;
}

/* 1 … all, or some of them; GW_OOM_N=n: that one. */
static void each(uint64_t all, uint64_t step, bool (*one)(uint64_t nth, uint64_t *ret_count))
{
    const char *n = getenv("GW_OOM_N");
    uint64_t count;

    step = getenv("GW_OOM_ALL") ? 1 : step;
    for (uint64_t nth = n ? strtoull(n, NULL, 10) : 1; nth <= all; nth += step) {
        if (getenv("GW_OOM_ALL"))
            (void)fprintf(stderr, "%llu of %llu\n", (unsigned long long)nth, (unsigned long long)all);
        (void)one(nth, &count);
        if (n)
            break;
    }
}

/*
 * Scenario    see above
 * Guarantees  no crash, no leak; every request has an answer; what was acknowledged reaches each sink or its letters,
 *             what was refused does not; all is settled in the logs; the ledger accounts for every row
 */
static void the_gateway_survives(void **state)
{
    uint64_t all = 0;

    (void)state;
    gw_test_disk_enter = ours;
    (void)run(0, &all);
    assert_true(all > 200);
    each(all, 9, run);
    gw_test_disk_enter = NULL;
}

/* ---- another configuration ---------------------------------------------------------------------------------- */

/* A pipeline more; an exporter more, which the old one gets as well; text has another setting, and so a successor. */
static const char next_yaml[] =
    "extensions: { file_storage: { directory: s, create_directory: true, segment_size_mib: 1, reserve_mib: 1 } }\n"
    "receivers: { scripted: , scripted/more: }\n"
    "processors: { attributes: { actions: [ { key: k, value: v, action: insert } ] }, batch: { timeout: 100ms } }\n"
    "connectors: { forward: }\n"
    "exporters:\n"
    "  scripted:\n"
    "    sending_queue: { storage: file_storage, num_consumers: 3,\n"
    "                     batch: { flush_timeout: 50ms, min_size: 6, max_size: 8 } }\n"
    "    retry_on_failure: { initial_interval: 100ms, max_interval: 1s }\n"
    "  text:\n"
    "    sending_queue: { storage: file_storage, num_consumers: 2 }\n"
    "  scripted/more: { sending_queue: { storage: file_storage } }\n"
    "  scripted/letters: { sending_queue: { storage: file_storage } }\n"
    "service:\n"
    "  extensions: [file_storage]\n"
    "  dead_letters: { to: scripted/letters }\n"
    "  pipelines:\n"
    "    logs: { receivers: [scripted], processors: [attributes], exporters: [scripted, text, scripted/more] }\n"
    "    logs/more: { receivers: [scripted/more], processors: [batch], exporters: [scripted/more, forward] }\n"
    "    logs/last: { receivers: [forward], exporters: [scripted] }\n";

static void count_consumer(void *arg, const struct gw_log_consumer *c)
{
    (void)c;
    ++*(unsigned *)arg;
}

static unsigned n_consumers(struct world *w)
{
    unsigned n = 0;

    (void)gw_log_consumers(gw_engine_log(w->t.engine, "queue", "logs"), count_consumer, &n);
    return n;
}

/* Allocations of the reload. */
static int reload(struct world *w, uint64_t nth, uint64_t *ret_count, struct gw_err *err)
{
    struct gw_engine_source to;
    uint64_t before;
    int rc;

    ours(1);
    assert_int_equal(gw_test_engine_load(&w->t, next_yaml, &to, err), 0);
    ours(-1);
    before = gw_malloc_count();
    gw_malloc_fail_at(nth);
    rc = gw_engine_reload(w->t.engine, &to, err);
    *ret_count = gw_malloc_count() - before;
    gw_malloc_fail_at(0);
    return rc;
}

/* Rows come and reach those exporters that they should reach, once. */
static void flows(struct world *w, bool is_next)
{
    uint64_t first = w->next_row;

    send_one(w, 3);
    go_on(w);
    for (uint64_t r = first; r < w->next_row; r++) {
        assert_true(w->acked[r]);
        for (unsigned s = 0; s < N_SINKS; s++)
            assert_int_equal(w->seen[s][r], 1);
        assert_int_equal(w->more[r], is_next);
    }
}

static bool run_reload(uint64_t nth, uint64_t *ret_count)
{
    struct world *w = calloc(1, sizeof(*w));
    const struct gw_service *old;
    struct gw_err err = {""};
    uint64_t ignored;
    int rc;

    assert_non_null(w);
    gw_simdisk_init(&w->disk, 9);
    open_world(w);
    send_one(w, 3);
    gw_test_engine_turn(&w->t, 3, 20 * MS);
    old = gw_engine_service(w->t.engine);
    rc = reload(w, nth, ret_count, &err);
    if (rc < 0) {
        assert_true(nth > 0);
        assert_true(err.text[0]);
        if (!strstr(err.text, "memory"))
            fail_msg("said: %s", err.text);
        assert_ptr_equal(gw_engine_service(w->t.engine), old);
        flows(w, false);
        assert_int_equal(gw_engine_n_leaving(w->t.engine), 0);
        assert_int_equal(n_consumers(w), 2);
        if (reload(w, 0, &ignored, &err) < 0)
            fail_msg("again: %s", err.text);
    }
    gw_test_engine_turn(&w->t, 2, 0);
    flows(w, true);
    go_on(w);
    assert_int_equal(gw_engine_n_leaving(w->t.engine), 0);
    assert_int_equal(n_consumers(w), 3);
    check_rows(w);
    assert_int_equal(w->n_twice, 0);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    gw_test_engine_on_disk(NULL);
    gw_simdisk_clear(&w->disk);
    free(w);
    return rc < 0;
}

/*
 * Scenario    the n-th allocation of a reload fails: one that brings a pipeline, receivers, a connector, exporters with
 *             queues on disk, and a successor; then a reload that has the memory
 * Guarantees  the one that fails says so, changes nothing and leaves nothing behind, neither in memory nor a place in
 *             a log; rows of before, of between and of after reach their sinks once
 */
static void a_reload_without_memory_changes_nothing(void **state)
{
    uint64_t all = 0;

    (void)state;
    gw_test_disk_enter = ours;
    (void)run_reload(0, &all);
    assert_true(all > 100);
    if (getenv("GW_OOM_N"))
        printf("%llu\n", (unsigned long long)all);
    each(all, 17, run_reload);
    gw_test_disk_enter = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_gateway_survives),
                                       cmocka_unit_test(a_reload_without_memory_changes_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
