/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The elasticsearch exporter in a whole gateway, before a server that a seed makes unreliable: it refuses requests and
 * single documents, is overloaded, answers half, with HTML, not at all, or says nothing after it has taken everything.
 * What it has stored is what the gateway counts as delivered; every row is stored once, or a dead letter.
 *
 * Rows are log records named by their time; every 37th is one that the server refuses for good.
 * GW_SIM_SEEDS=n runs n seeds (default 60), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/harness_engine.h"
#include "tests/harness_http.h"

enum { MAX_ROWS = 6000, N_STEPS = 80 };

struct world {
    struct gw_test_engine t;
    uint64_t seed, next_row;
    unsigned n_sent;
    uint8_t stored[MAX_ROWS];
    bool turned_away[MAX_ROWS];
    char *ids[MAX_ROWS];
    bool own_ids, calm;
    struct gw_buf answer;
};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

static bool is_bad(uint64_t row)
{
    return row % 37 == 5;
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, 2));
    uint32_t rows = (uint32_t)(any(w, 10) == 0 ? 1 + any(w, 300) : 1 + any(w, 12));
    struct gw_verdict v = {0};
    struct gw_buf body;

    if (w->next_row + rows > MAX_ROWS)
        return;
    gw_buf_init(&body, 4u << 20);
    gw_test_request(&body, GW_LOGS, w->next_row, rows);
    w->next_row += rows;
    if (gw_test_send(d, GW_LOGS, gw_buf_slice(&body), NULL, w->n_sent++, &v) < 0)
        memset(w->turned_away + w->next_row - rows, 1, rows);
    gw_buf_clear(&body);
}

/* ---- the server --------------------------------------------------------------------------------------------- */

/* What stands behind `before` in [p, end), or NULL. */
static const char *after(const char *p, const char *end, const char *before)
{
    const char *at = memmem(p, (size_t)(end - p), before, strlen(before));

    return at ? at + strlen(before) : NULL;
}

static const char *line_end(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));

    assert_non_null(nl);
    return nl;
}

/* "@timestamp": milliseconds, a point, nanoseconds of the last one. */
static uint64_t row_of(const char *p, const char *end)
{
    const char *at = after(p, end, "\"@timestamp\":\"");
    unsigned long long ms = 0, ns = 0;

    assert_non_null(at);
    assert_in_range(sscanf(at, "%llu.%6llu", &ms, &ns), 1, 2);
    return ms * 1000000 + ns;
}

/* 201, or 409 when a document of that id is there. */
static int store(struct world *w, uint64_t row, const char *id, size_t n)
{
    assert_true(row < MAX_ROWS);
    if (w->own_ids && w->ids[row]) {
        assert_memory_equal(w->ids[row], id, n);
        return 409;
    }
    w->stored[row]++;
    w->ids[row] = id ? strndup(id, n) : NULL;
    return 201;
}

static int verdict_on(struct world *w, uint64_t row, const char *id, size_t n)
{
    if (is_bad(row))
        return 400;
    if (!w->calm && any(w, 6) == 0)
        return any(w, 3) ? 429 : 503;
    return store(w, row, id, n);
}

static void put_item(struct world *w, int status)
{
    gw_buf_printf(&w->answer, "{\"create\":{\"_index\":\"i\",\"status\":%d", status);
    if (status == 400)
        gw_buf_put_str(&w->answer,
                       ",\"error\":{\"type\":\"document_parsing_exception\",\"reason\":\"a \\\"bad\\\" one\"}");
    else if (status != 201)
        gw_buf_put_str(&w->answer, ",\"error\":{\"type\":\"other_exception\",\"reason\":\"why\"}");
    gw_buf_put_str(&w->answer, "}},");
}

/* Take all documents of a body, and write the answer; returns how many there were. */
static unsigned take(struct world *w, struct gw_slice body)
{
    const char *p = (const char *)body.p, *end = p + body.n;
    unsigned n = 0;

    gw_buf_reset(&w->answer);
    gw_buf_put_str(&w->answer, "{\"took\":3,\"errors\":true,\"items\":[");
    for (; p < end; n++) {
        const char *source = line_end(p, end) + 1, *next = line_end(source, end) + 1;
        const char *id = after(p, source, "\"_id\":\"");

        assert_true((id != NULL) == w->own_ids);
        put_item(w, verdict_on(w, row_of(source, next), id, id ? strcspn(id, "\"") : 0));
        p = next;
    }
    w->answer.n--; /* the last comma */
    gw_buf_put_str(&w->answer, "]}");
    return n;
}

static struct gw_slice more_items(struct world *w)
{
    w->answer.n -= 2;
    gw_buf_put_str(&w->answer, ",{\"create\":{\"_index\":\"i\",\"status\":201}}]}");
    return gw_buf_slice(&w->answer);
}

/* Taken, but the client does not hear it whole: only its own ids keep it from storing twice. */
static void take_and_be_silent(struct world *w, unsigned i, struct gw_slice body)
{
    unsigned kind = (unsigned)any(w, 4);

    (void)take(w, body);
    if (kind < 2)
        gw_test_http_fail(i, kind ? GW_HTTP_TIMEOUT : GW_HTTP_BROKEN);
    else if (kind == 2) /* proper JSON, with the result of one document too much */
        gw_test_http_answer(i, 200, NULL, more_items(w));
    else
        gw_test_http_answer(i, 200, NULL, gw_slice_of(w->answer.p, w->answer.n - 1 - any(w, w->answer.n - 1)));
}

static unsigned n_lines(struct gw_slice body)
{
    unsigned n = 0;

    for (size_t i = 0; i < body.n; i++)
        n += body.p[i] == '\n';
    return n;
}

static void answer_bulk(struct world *w, unsigned i)
{
    struct gw_slice body = gw_test_http.waiting[i]->body;

    switch (w->calm ? 99 : any(w, 14)) {
    case 0:
        gw_test_http_answer(i, 429, any(w, 2) ? "retry-after: 2\n" : NULL, GW_SLICE("{}"));
        break;
    case 1:
        gw_test_http_answer(i, 503, NULL, GW_SLICE("<html>away</html>"));
        break;
    case 2: /* a document alone is never too much: it may be stored already */
        gw_test_http_answer(i, n_lines(body) > 2 ? 413 : 429, NULL, GW_SLICE("too much"));
        break;
    case 3:
        gw_test_http_fail(i, any(w, 2) ? GW_HTTP_CONNECT : GW_HTTP_TIMEOUT);
        break;
    case 4:
    case 5:
        if (w->own_ids) {
            take_and_be_silent(w, i, body);
            break;
        }
        __attribute__((fallthrough));
    default:
        (void)take(w, body);
        gw_test_http_answer(i, 200, "content-type: application/json\n", gw_buf_slice(&w->answer));
    }
}

static void answer_one(struct world *w)
{
    unsigned i;

    if (gw_test_http.n_waiting == 0)
        return;
    i = (unsigned)any(w, gw_test_http.n_waiting);
    if (strcmp(gw_test_http.waiting[i]->method, "GET") == 0)
        gw_test_http_answer(i, 200, NULL, GW_SLICE("{\"version\":{\"number\":\"8.15.0\"}}"));
    else
        answer_bulk(w, i);
}

/* ---- one seed ----------------------------------------------------------------------------------------------- */

static void answer_some(void *arg)
{
    for (unsigned k = 0; k < 6; k++)
        answer_one(arg);
}

static void check_books(struct world *w)
{
    struct gw_edge_counts c = gw_edge_counts(gw_engine_edge(w->t.engine, "elasticsearch"), GW_LOGS);
    uint64_t stored = 0, accepted = 0;

    for (uint64_t row = 0; row < w->next_row; row++) {
        assert_int_equal(w->stored[row], !w->turned_away[row] && !is_bad(row));
        stored += w->stored[row];
        accepted += !w->turned_away[row];
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
        "  elasticsearch:\n"
        "    endpoints: [http://a:9200, http://b:9200]\n"
        "    compression: none\n"
        "    document_id: %s\n"
        "    sending_queue: { queue_size: 40, num_consumers: 3, block_on_overflow: false, batch: { min_size: 2000, "
        "max_size: "
        "9000 } }\n"
        "    retry: { initial_interval: 100ms, max_interval: 2s }\n"
        "    retry_on_failure: { max_elapsed_time: 0 }\n"
        "    ports: { dead_letter: [text/letters] }\n"
        "  text/letters: { sending_queue: { enabled: false } }\n"
        "service: { pipelines: { logs: { receivers: [scripted], exporters: [elasticsearch] } } }\n";
    struct world *w = calloc(1, sizeof(*w));
    char text[2048];

    assert_non_null(w);
    memset(&gw_test_http, 0, sizeof(gw_test_http));
    w->seed = seed;
    w->own_ids = seed % 2;
    gw_buf_init(&w->answer, 16u << 20);
    snprintf(text, sizeof(text), yaml, w->own_ids ? "record" : "none");
    gw_test_engine_open(&w->t, text, 2, false);
    w->t.te.seed = seed;
    gw_test_engine_sink(&w->t, "text/letters")->at_once = true;
    for (unsigned step = 0; step < N_STEPS; step++) {
        for (uint64_t k = any(w, 4); k > 0; k--)
            send_one(w);
        for (uint64_t k = any(w, 6); k > 0; k--)
            answer_one(w);
        gw_test_engine_turn(&w->t, 1 + (unsigned)any(w, 2), any(w, 40) == 0 ? 7000000000u : any(w, 300000000u));
    }
    w->calm = true;
    gw_test_engine_drain(&w->t, &w->seed, answer_some, w);
    check_books(w);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    for (unsigned i = 0; i < MAX_ROWS; i++)
        free(w->ids[i]);
    gw_buf_clear(&w->answer);
    free(w);
}

/*
 * Scenario    see above, many seeds, with ids of our own and without (then the server never takes without saying so)
 * Guarantees  each row that was accepted is stored exactly once, or is a dead letter because the server refused it
 */
static void every_document_is_accounted_for(void **state)
{
    (void)state;
    gw_test_engine_sinks = gw_test_http_sinks;
    gw_test_seeds(60, run_seed);
}

/* ---- a server that others keep busy -------------------------------------------------------------------------- */

static unsigned answer_waiting(struct world *w, bool busy)
{
    unsigned n = 0;

    for (; gw_test_http.n_waiting; n++) {
        if (strcmp(gw_test_http.waiting[0]->method, "GET") == 0) {
            gw_test_http_answer(0, 200, NULL, GW_SLICE("{\"version\":{\"number\":\"8.15.0\"}}"));
        } else if (busy) {
            gw_test_http_answer(0, 429, NULL, GW_SLICE("{}"));
        } else {
            (void)take(w, gw_test_http.waiting[0]->body);
            gw_test_http_answer(0, 200, "content-type: application/json\n", gw_buf_slice(&w->answer));
        }
    }
    return n;
}

/*
 * Scenario    eight consumers, each with a body; for half a minute the server has no room even for one request at a
 *             time, then it has
 * Guarantees  not eight of them ask again and again, but one: about two requests a second, with pauses of half a second
 *             ± 50 %; then all documents are stored within seconds, with eight at once again
 */
static void who_is_too_busy_for_one_is_asked_by_one(void **state)
{
    static const char yaml[] =
        "receivers: { scripted: }\n"
        "exporters:\n"
        "  elasticsearch:\n"
        "    endpoint: http://a:9200\n"
        "    compression: none\n"
        "    sending_queue: { queue_size: 40, num_consumers: 8, batch: { flush_timeout: 1ms, min_size: 0 } }\n"
        "    retry: { initial_interval: 50ms, max_interval: 500ms }\n"
        "    retry_on_failure: { max_elapsed_time: 0 }\n"
        "service: { pipelines: { logs: { receivers: [scripted], exporters: [elasticsearch] } } }\n";
    struct world *w = calloc(1, sizeof(*w));
    unsigned asked = 0;

    (void)state;
    assert_non_null(w);
    memset(&gw_test_http, 0, sizeof(gw_test_http));
    gw_test_engine_sinks = gw_test_http_sinks;
    gw_buf_init(&w->answer, 16u << 20);
    w->calm = true;
    gw_test_engine_open(&w->t, yaml, 1, false);
    for (unsigned i = 0; i < 8; i++) {
        gw_test_engine_send(gw_test_engine_door(&w->t, "scripted", 0), GW_LOGS, 6 + i * 10, 10, 0);
        gw_test_engine_turn(&w->t, 2, 2000000);
    }
    for (unsigned ms = 0; ms < 30000; ms += 10) {
        asked += answer_waiting(w, true);
        gw_test_engine_turn(&w->t, 1, 10000000);
    }
    assert_in_range(asked, 50, 100);
    for (unsigned ms = 0; ms < 5000; ms += 10) {
        (void)answer_waiting(w, false);
        gw_test_engine_turn(&w->t, 1, 10000000);
    }
    assert_int_equal(gw_edge_counts(gw_engine_edge(w->t.engine, "elasticsearch"), GW_LOGS).held, 0);
    assert_int_equal(gw_test_engine_close(&w->t), 0);
    for (unsigned i = 0; i < MAX_ROWS; i++)
        free(w->ids[i]);
    gw_buf_clear(&w->answer);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_document_is_accounted_for),
        cmocka_unit_test(who_is_too_busy_for_one_is_asked_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
