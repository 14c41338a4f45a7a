/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prometheus_remote_write exporter in a whole gateway, before a server that a seed makes unreliable: it stores what
 * comes as Prometheus does, a series in order of time; refuses bad samples in each of the ways that there are; is
 * overloaded, starting, away, answers requests in any order, or says nothing after it has stored everything.
 *
 * Rows are samples of 40 series whose value is the row's number and whose time rises with it; every 97th is one that
 * the server refuses for good. The two receivers' doors have series of their own, so that the order in which they are
 * sent is the order in which they are queued.
 * GW_SIM_SEEDS=n runs n seeds (default 60), GW_SIM_SEED=s only that one.
 */
#include "tests/exporters/prometheus_remote_write/server_rig.h"

#include "tests/harness_engine.h"
#include "tests/harness_http.h"

enum { MAX_ROWS = 6000, N_STEPS = 80, N_SERIES = 40 };

enum manner {
    SAYS_400,      /* 1.0: nothing of the request is stored, nothing is named */
    SAYS_500,      /* as Prometheus 2 to a sample that is too old */
    PARTIAL_WRITE, /* 2.0: the others are stored, and the series are named */
    ONLY_1,        /* 2.0 is taken with 204 and not read */
    N_MANNERS,
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row;
    enum manner manner;
    unsigned n_sent;
    bool calm;
    bool accepted[MAX_ROWS], stored[MAX_ROWS];
    uint64_t last_ms[N_SERIES];
    struct gw_buf text, headers;
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static bool is_bad(uint64_t row)
{
    return row % 97 == 5;
}

static void send_one(struct world *w)
{
    unsigned door = (unsigned)any(w, 2), rows = (unsigned)(any(w, 10) == 0 ? 1 + any(w, 200) : 1 + any(w, 12));
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", door);
    struct gw_verdict v = {0};
    struct gw_buf request;
    bool accepted;

    if (w->next_row + rows > MAX_ROWS)
        return;
    gw_buf_init(&request, 4u << 20);
    for (unsigned i = 0; i < rows; i++, w->next_row++) {
        char name[20];

        snprintf(name, sizeof(name), "s%u", (unsigned)(any(w, N_SERIES / 2) * 2 + door));
        put_point(&request, name, 1000000 + w->next_row, (double)w->next_row, false, NULL);
    }
    accepted = gw_test_send(d, GW_METRICS, gw_buf_slice(&request), NULL, w->n_sent++, &v) == 0;
    memset(w->accepted + w->next_row - rows, accepted, rows);
    gw_buf_clear(&request);
}

/* ---- the server ------------------------------------------------------------------------------------------------- */

struct sample {
    uint64_t row, ms;
    unsigned series;
};

static struct sample sample_of(const struct gw_rw_body *b, uint32_t i)
{
    struct gw_wire_walk w = gw_wire_walk(b->points[i].message);
    struct sample s = {0};
    struct gw_wire_field f;
    char name[20];
    double v = -1;

    while (gw_wire_next(&w, &f) > 0) {
        if (f.number == 1)
            memcpy(&v, f.val.p, 8);
        if (f.number == 2)
            s.ms = f.varint;
    }
    snprintf(name, sizeof(name), "%.*s", (int)label_of(b, b->points[i].series, "k").n,
             (const char *)label_of(b, b->points[i].series, "k").p);
    assert_int_equal(sscanf(name, "s%u", &s.series), 1);
    assert_in_range(s.series, 0, N_SERIES - 1);
    s.row = (uint64_t)v;
    assert_in_range(s.row, 0, MAX_ROWS - 1);
    assert_int_equal(s.ms, 1000000 + s.row);
    return s;
}

/* What is there already may come again; what is new comes in order. */
static void store(struct world *w, const struct sample *s)
{
    assert_false(is_bad(s->row));
    if (w->stored[s->row])
        return;
    if (s->ms < w->last_ms[s->series])
        fail_msg("series %u: %llu after %llu", s->series, (unsigned long long)s->ms,
                 (unsigned long long)w->last_ms[s->series]);
    w->last_ms[s->series] = s->ms;
    w->stored[s->row] = true;
}

/* Store what is good, all or nothing; w->text says what is not. Returns how many are bad. */
static unsigned take(struct world *w, const struct gw_rw_body *b, bool partial)
{
    unsigned bad = 0;

    gw_buf_reset(&w->text);
    for (uint32_t i = 0; i < b->n_points; i++) {
        struct sample s = sample_of(b, i);

        if (!is_bad(s.row))
            continue;
        bad++;
        if (partial)
            gw_buf_printf(&w->text, "out of bounds for series {__name__=\"s%u\", k=\"s%u\"}\n", s.series, s.series);
    }
    for (uint32_t i = 0; i < b->n_points && (partial || !bad); i++) {
        struct sample s = sample_of(b, i);

        if (!is_bad(s.row))
            store(w, &s);
    }
    return bad;
}

static void answer_written(struct world *w, unsigned i, const struct gw_rw_body *b, bool v2)
{
    unsigned bad = take(w, b, v2);

    gw_buf_reset(&w->headers);
    gw_buf_printf(&w->headers, "x-prometheus-remote-write-samples-written: %u\n", b->n_points - bad);
    gw_buf_put_u8(&w->headers, 0);
    if (!bad)
        gw_test_http_answer(i, 204, v2 ? (const char *)w->headers.p : NULL, GW_SLICE(""));
    else if (v2)
        gw_test_http_answer(i, 400, (const char *)w->headers.p, gw_buf_slice(&w->text));
    else
        gw_test_http_answer(i, w->manner == SAYS_500 ? 500 : 400, NULL, GW_SLICE("too old sample"));
}

/* Nothing is stored, or all is and nobody hears of it. */
static bool is_in_trouble(struct world *w, unsigned i, const struct gw_rw_body *b, bool v2)
{
    switch (w->calm ? 99 : any(w, 14)) {
    case 0:
        gw_test_http_answer(i, 429, any(w, 2) ? "retry-after: 2\n" : NULL, GW_SLICE("slow down"));
        return true;
    case 1:
        gw_test_http_answer(i, any(w, 2) ? 503 : 500, NULL, GW_SLICE("storage is starting"));
        return true;
    case 2:
        gw_test_http_fail(i, any(w, 2) ? GW_HTTP_CONNECT : GW_HTTP_TIMEOUT);
        return true;
    case 3:
        (void)take(w, b, v2);
        gw_test_http_fail(i, any(w, 2) ? GW_HTTP_BROKEN : GW_HTTP_TIMEOUT);
        return true;
    case 4:
        if (b->n_points < 20)
            return false;
        gw_test_http_answer(i, 413, NULL, GW_SLICE("too much"));
        return true;
    default:
        return false;
    }
}

static void answer_one(struct world *w)
{
    unsigned i;
    struct gw_rw_body b;
    struct gw_buf plain;
    bool v2;

    if (gw_test_http.n_waiting == 0)
        return;
    i = (unsigned)any(w, gw_test_http.n_waiting);
    v2 = gw_slice_is(gw_test_http_header(gw_test_http.waiting[i], "x-prometheus-remote-write-version"), "2.0.0");
    gw_buf_init(&plain, 16u << 20);
    assert_int_equal(gw_decompress(GW_SNAPPY, gw_test_http.waiting[i]->body, &plain, NULL), 0);
    assert_int_equal(gw_rw_body_read(&b, v2 ? GW_RW_2 : GW_RW_1, gw_buf_slice(&plain)), 0);
    assert_true(b.n_points > 0);
    if (v2 && w->manner == ONLY_1)
        gw_test_http_answer(i, any(w, 2) ? 204 : 415, NULL, GW_SLICE(""));
    else if (!is_in_trouble(w, i, &b, v2))
        answer_written(w, i, &b, v2);
    gw_rw_body_clear(&b);
    gw_buf_clear(&plain);
}

/* ---- one seed --------------------------------------------------------------------------------------------------- */

static void answer_some(void *arg)
{
    for (unsigned k = 0; k < 6; k++)
        answer_one(arg);
}

static void check_books(struct world *w)
{
    struct gw_edge_counts c = gw_edge_counts(gw_engine_edge(w->t.engine, "prometheus_remote_write"), GW_METRICS);
    uint64_t accepted = 0, stored = 0;

    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_int_equal(w->stored[row], w->accepted[row] && !is_bad(row));
        accepted += w->accepted[row];
        stored += w->stored[row];
    }
    assert_int_equal(c.in, accepted);
    assert_int_equal(c.held, 0);
    assert_int_equal(c.delivered, stored);
    assert_int_equal(c.dead_lettered, accepted - stored);
    assert_int_equal(c.dropped + c.rejected, 0);
}

static void run_seed(uint64_t seed)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "exporters:\n"
        "  prometheus_remote_write:\n"
        "    endpoint: http://a:9090/api/v1/write\n"
        "    protobuf_message: %s\n"
        "    max_batch_request_parallelism: 4\n"
        "    max_batch_size_bytes: 3000\n"
        "    remote_write_queue: { queue_size: 40, num_consumers: 3 }\n"
        "    sending_queue: { batch: { min_size: 10, max_size: 150 } }\n"
        "    retry_on_failure: { max_elapsed_time: 0, max_interval: 2s }\n"
        "    ports: { dead_letter: [text/letters] }\n"
        "  text/letters: { sending_queue: { enabled: false } }\n"
        "service: { pipelines: { metrics: { receivers: [scripted], exporters: [prometheus_remote_write] } } }\n";
    struct world *w = calloc(1, sizeof(*w));
    char text[2048];

    assert_non_null(w);
    memset(&gw_test_http, 0, sizeof(gw_test_http));
    w->seed = seed;
    w->manner = seed % N_MANNERS;
    gw_buf_init(&w->text, 1u << 20);
    gw_buf_init(&w->headers, 1000);
    snprintf(text, sizeof(text), yaml,
             w->manner == PARTIAL_WRITE || w->manner == ONLY_1 ? "io.prometheus.write.v2.Request"
                                                               : "prometheus.WriteRequest");
    gw_test_engine_open(&w->t, text, 2, false);
    w->t.te.seed = seed;
    gw_test_engine_sink(&w->t, "text/letters")->at_once = true;
    for (unsigned step = 0; step < N_STEPS; step++) {
        for (uint64_t k = any(w, 4); k > 0; k--)
            send_one(w);
        for (uint64_t k = any(w, 12); k > 0; k--)
            answer_one(w);
        gw_test_engine_turn(&w->t, 1 + (unsigned)any(w, 2), any(w, 40) == 0 ? 7000000000u : any(w, 300000000u));
    }
    w->calm = true;
    gw_test_engine_drain(&w->t, &w->seed, answer_some, w);
    check_books(w);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    gw_buf_clear(&w->text);
    gw_buf_clear(&w->headers);
    free(w);
}

/*
 * Scenario    see above, many seeds, each manner of refusing in turn
 * Guarantees  each row that was accepted is stored, or it is one that the server refused and a dead letter; no sample
 *             comes behind a later one of its series
 */
static void every_sample_is_accounted_for_and_in_order(void **state)
{
    (void)state;
    gw_test_engine_sinks = gw_test_http_sinks;
    gw_test_seeds(60, run_seed);
    forget_body();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_sample_is_accounted_for_and_in_order)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
