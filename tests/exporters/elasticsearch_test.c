/* SPDX-License-Identifier: Apache-2.0 */
/* elasticsearch against a scripted HTTP client: what is sent, and what every answer means for every row. */
#include "tests/exporters/elasticsearch/es_rig.h"

#include "tests/harness_malloc.h"

#define NONE "compression: none, "

/* ---- requests ----------------------------------------------------------------------------------------------- */

/* Scenario: the defaults, three records.
 * Guarantees: the root is asked first; then one POST to _bulk, newline-delimited JSON in gzip, an action and a document
 * each, within 90 s; what is asked of the answer is the least that says what became of each. */
static void a_request_is_lines_of_actions_and_documents(void **state)
{
    struct gw_buf out = new_buf();
    const struct gw_rig_sent *s;

    (void)state;
    gw_rig_open(&r, "elasticsearch", "endpoint: http://es:9200");
    send_records(3);
    s = last(0);
    assert_string_equal(s->method, "GET");
    assert_string_equal(s->url, "http://es:9200/");
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
    s = last(1);
    assert_string_equal(s->method, "POST");
    assert_string_equal(s->url, "http://es:9200/_bulk?filter_path=items.*.status,items.*.error.type,"
                                "items.*.error.reason,items.*.failure_store");
    assert_string_equal(gw_rig_header(s, "Content-Type"), "application/x-ndjson");
    assert_string_equal(gw_rig_header(s, "Content-Encoding"), "gzip");
    assert_null(gw_rig_header(s, "Authorization"));
    assert_int_equal(s->timeout_ns, 90 * SECOND);
    assert_int_equal(gw_decompress(GW_GZIP, gw_slice_of(s->body, s->n_body), &out, NULL), 0);
    gw_buf_put_u8(&out, '\0');
    assert_int_equal(count_of((const char *)out.p, "\n"), 6);
    assert_int_equal(count_of((const char *)out.p, "{\"create\":{\"_index\":\"logs-"), 3);
    assert_null(strstr((const char *)out.p, "require_data_stream"));
    assert_non_null(strstr((const char *)out.p, "m0."));
    gw_buf_clear(&out);
    answer(1, "201 201 200");
    is_done(0);
    send_records(1);
    assert_string_equal(last(0)->method, "POST"); /* the server is known */
    answer_well(0);
    is_done(0);
    close_es();
}

/* Scenario: the root answers as Elasticsearch 8.12; as 8.11; with an error, a page; later it answers rightly.
 * Guarantees: require_data_stream where the server takes it; where it says something else documents go out without, and
 * the question is asked again a minute later, beside the requests. */
static void the_server_is_asked_what_it_is(void **state)
{
    static const struct {
        int status;
        const char *text;
        bool takes;
    } cases[] = {{200, "{\"version\":{\"number\":\"8.12.0\"}}", true},
                 {200, "{\"version\":{\"number\":\"8.11.0\"}}", false},
                 {200, "<html>", false},
                 {403, "{\"error\":{\"type\":\"security_exception\"}}", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gw_rig_open(&r, "elasticsearch", "{" NONE "endpoint: http://es}");
        send_records(1);
        assert_int_equal(last(0)->timeout_ns, 5 * SECOND);
        gw_rig_http(&r, 0, cases[i].status, NULL, gw_slice_cstr(cases[i].text));
        assert_int_equal(strstr((const char *)last(1)->body, "\"require_data_stream\":true") != NULL, cases[i].takes);
        answer_well(1);
        is_done(0);
        close_es();
    }
    gw_rig_open(&r, "elasticsearch", "{" NONE "endpoint: http://es}");
    send_records(1);
    gw_rig_http(&r, 0, 500, NULL, GW_SLICE(""));
    answer_well(1);
    is_done(0);
    pass(59 * SECOND);
    send_records(1);
    answer_well(0);
    is_done(0);
    pass(2 * SECOND);
    send_records(1);
    assert_int_equal(r.n_sent, 2);
    assert_string_equal(r.sent[0].method, "GET");
    answer_well(1);
    is_done(0);
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE("{\"version\":{\"number\":\"9.0.0\"}}"));
    send_records(1);
    assert_non_null(strstr((const char *)last(0)->body, "\"require_data_stream\":true"));
    answer_well(0);
    is_done(0);
    close_es();
}

/* Scenario: a point, which has a dynamic template, to OpenSearch, to Elasticsearch, known by its version or by its
 * header alone, to a server that says nothing. Guarantees: only who is known to take it gets it: OpenSearch refuses the
 * whole request. */
static void only_elasticsearch_gets_dynamic_templates(void **state)
{
    static const char gauge[] = "\x0a\x1d\x12\x1b\x12\x19\x0a\1g*\x14\x0a\x12\x19\1\0\0\0\0\0\0\0\x31\1\0\0\0\0\0\0\0";
    static const struct {
        int status;
        const char *headers, *text;
        bool takes;
    } cases[] = {{200, NULL, OPENSEARCH, false},
                 {200, NULL, "{\"version\":{\"number\":\"8.11.0\"}}", true},
                 {403, "x-elastic-product: Elasticsearch\n", "", true},
                 {200, NULL, "<html>", false},
                 {403, NULL, "", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        gw_rig_open(&r, "elasticsearch", "{" NONE "endpoint: http://es}");
        gw_rig_send(&r, GW_METRICS, gw_slice_of(gauge, sizeof(gauge) - 1), 1);
        gw_rig_http(&r, 0, cases[i].status, cases[i].headers, gw_slice_cstr(cases[i].text));
        assert_int_equal(strstr((const char *)last(1)->body, "\"dynamic_templates\"") != NULL, cases[i].takes);
        answer_well(1);
        is_done(0);
        close_es();
    }
}

/* Scenario: two servers, and neither answers for two rounds; then one does. And a server that never answers.
 * Guarantees: no document is written for a server that is not known: attempts wait for it as for any answer, by the
 * queue's pauses, each round asks both servers, and when tries are over the whole attempt is left. */
static void documents_wait_until_a_server_is_known(void **state)
{
    (void)state;
    gw_rig_open(&r, "elasticsearch", "{" NONE "endpoints: [http://a, http://b]}");
    send_records(2);
    for (unsigned round = 0; round < 2; round++) {
        gw_rig_http_fail(&r, 2 * round, GW_HTTP_CONNECT, "refused");
        assert_int_equal(r.n_again, round);
        gw_rig_http_fail(&r, 2 * round + 1, GW_HTTP_TIMEOUT, "timed out");
        assert_int_equal(r.n_again, round + 1);
        assert_true(strcmp(r.sent[2 * round].url, r.sent[2 * round + 1].url) != 0);
        pass(3 * SECOND);
    }
    assert_string_equal(last(4)->method, "GET");
    gw_rig_http(&r, 4, 200, NULL, GW_SLICE("{\"version\":{\"number\":\"8.15.0\"}}"));
    assert_non_null(strstr((const char *)last(5)->body, "\"require_data_stream\":true"));
    answer_well(5);
    is_done(0);
    close_es();

    gw_rig_open(&r, "elasticsearch", "{" NONE "endpoint: http://es}");
    r.most_failures = 2;
    send_records(2);
    for (unsigned i = 0; i < 3; i++) {
        gw_rig_http_fail(&r, i, GW_HTTP_CONNECT, "refused");
        pass(SECOND);
    }
    assert_int_equal(r.n_sent, 3);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "retry_exhausted");
    assert_true(r.info.left.n == 0 || r.info.left_rows == 2);
    close_es();
}

/* Scenario: documents that together are longer than max_request_bytes; and one that is longer alone.
 * Guarantees: requests up to that size, in order, one after the other; what is longer goes alone. */
static void requests_are_cut_by_bytes(void **state)
{
    const char *texts[] = {"m0.", "m1.", NULL, "m3."};
    size_t one = bytes_of_a_document();
    unsigned n = 0, sum = 0;
    char yaml[200], *big;

    (void)state;
    snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, max_request_bytes: %zu}", 4 * one + one / 2);
    open_es(yaml);
    send_records(30);
    while (!r.done) {
        assert_in_range(docs_in(last(n)), 1, 4);
        assert_in_range(r.sent[n].n_body, 1, 4 * one + one / 2);
        sum += docs_in(&r.sent[n]);
        answer_well(n++);
    }
    is_done(0);
    assert_int_equal(sum, 30);
    assert_int_equal(n, 8);

    big = calloc(1, 5 * one + 1);
    memset(big, 'x', 5 * one);
    texts[2] = big;
    send_records_of(texts, 4);
    holds(0, "m0. m1.");
    answer_well(0);
    assert_int_equal(docs_in(last(1)), 1);
    assert_true(r.sent[1].n_body > 5 * one);
    answer_well(1);
    holds(2, "m3.");
    answer_well(2);
    is_done(0);
    free(big);
    close_es();
}

/* Scenario: sending_queue.batch.max_size by bytes and by items, flush.bytes, max_request_bytes.
 * Guarantees: the size of a request follows them, in the order of how much they say. */
static void a_request_is_as_large_as_a_batch(void **state)
{
    static const struct {
        const char *yaml;
        bool several;
    } cases[] = {
        {"sending_queue: {batch: {min_size: 0, max_size: 3000}}", true},
        {"sending_queue: {batch: {min_size: 0, max_size: 3000, sizer: items}}", false},
        {"sending_queue: {batch: {min_size: 0, max_size: 3000}}, max_request_bytes: 1000000", false},
        {"flush: {bytes: 3000}", true},
        {"flush: {bytes: 1000000}, max_request_bytes: 3000", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[300];
        unsigned n = 0;

        snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, %s}", cases[i].yaml);
        open_es(yaml);
        send_records(100);
        while (!r.done)
            answer_well(n++);
        assert_int_equal(n > 1, cases[i].several);
        close_es();
    }
}

/* ---- results ------------------------------------------------------------------------------------------------ */

/* Scenario: of six records two are stored, two come back as 429 and 503, two are refused with different errors.
 * Guarantees: after the queue's pause the two go again, their own lines and no others; the refused are dead letters of
 * one row each with the server's type, reason, status and the index; the rest is delivered. */
static void each_documents_own_result_counts(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(6);
    answer(0, "201 429 400 201 503 403");
    assert_int_equal(r.n_again, 1);
    assert_int_equal(r.n_sent, 1);
    pass(SECOND - 2 * TICK);
    assert_int_equal(r.n_sent, 1);
    pass(TICK);
    holds(1, "m1. m4.");
    answer(1, "201 429");
    pass(SECOND);
    holds(2, "m4.");
    answer(2, "201");
    is_done(2);
    for (unsigned i = 0; i < 2; i++) {
        const struct gw_rig_dead *d = &r.dead[i];

        assert_string_equal(d->class_, "sink_rejected");
        assert_string_equal(d->reason, i ? "error_403" : "error_400");
        assert_int_equal(d->code, i ? 403 : 400);
        assert_non_null(strstr(d->message, i ? "error_403: because of 403" : "error_400: because of 400"));
        assert_non_null(strstr(d->message, "index logs-"));
        assert_int_equal(d->rows, 1);
        assert_int_equal(rows_in(GW_LOGS, d->body, d->n_body), 1);
        assert_true(has_text(d->body, d->n_body, i ? "m5." : "m2."));
    }
    close_es();
}

/* Scenario: statuses of documents that mean nothing good, with and without retry_on_document_status and
 * retry_on_status.
 * Guarantees: 429 and 5xx always go again; others when named; a document's list is the request's when it has none. */
static void statuses_that_go_again_can_be_named(void **state)
{
    static const struct {
        const char *yaml;
        int status;
        bool again;
    } cases[] = {
        {"x", 429, true},
        {"x", 500, true},
        {"x", 507, true},
        {"x", 404, false},
        {"x", 403, false},
        {"retry_on_status: [404]", 404, true},
        {"retry_on_document_status: [404, 403]", 403, true},
        {"retry_on_document_status: [404], retry_on_status: [403]", 403, false},
        {"retry_on_document_status: [403]", 503, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[200], status[8];

        snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, retry: {%s}}",
                 *cases[i].yaml == 'x' ? "" : cases[i].yaml);
        snprintf(status, sizeof(status), "%d", cases[i].status);
        open_es(yaml);
        send_records(1);
        answer(0, status);
        assert_int_equal(r.n_again, cases[i].again);
        if (cases[i].again) {
            pass(SECOND);
            answer_well(1);
        }
        is_done(!cases[i].again);
        close_es();
    }
}

/* Scenario: 409 for a document with an _id of ours (document_id), without one, and with suppress_conflict_errors.
 * Guarantees: ours is there already, so it is delivered; another's is a dead letter, or delivered when told so. */
static void a_conflict_with_our_own_id_is_delivered(void **state)
{
    static const struct {
        const char *yaml;
        unsigned dead;
    } cases[] = {{"document_id: content", 0},
                 {"document_id: record", 0},
                 {"document_id: none", 1},
                 {"suppress_conflict_errors: true", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char yaml[200];

        snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, %s}", cases[i].yaml);
        open_es(yaml);
        send_records(2);
        assert_int_equal(count_of((const char *)r.sent[0].body, "\"_id\":"), i < 2 ? 2 : 0);
        answer(0, "409 201");
        is_done(cases[i].dead);
        close_es();
    }
}

/** The k-th _id of the last request. */
static struct gw_slice id_of(unsigned k)
{
    const char *at = (const char *)gw_rig_sent(&r, r.n_sent - 1)->body;

    for (unsigned i = 0; i <= k; i++) {
        at = strstr(at, "\"_id\":\"");
        assert_non_null(at);
        at += 7;
    }
    return gw_slice_of(at, strcspn(at, "\""));
}

/* Scenario: two records that look the same, in one attempt and again in another; a lost answer; with document_id record
 * and content.
 * Guarantees: record: each has an _id of its own, and keeps it when its lines are sent again. content: one _id for all.
 */
static void an_id_of_ours_is_the_records_or_its_contents(void **state)
{
    static const char *const same[] = {"m0.", "m0."};

    (void)state;
    for (unsigned content = 0; content < 2; content++) {
        char ids[4][64];

        open_es(content ? "{" NONE "endpoint: http://es, document_id: content}"
                        : "{" NONE "endpoint: http://es, document_id: record}");
        for (unsigned i = 0; i < 4; i += 2) {
            send_records_of(same, 2);
            for (unsigned k = 0; k < 2; k++)
                snprintf(ids[i + k], sizeof(ids[0]), "%.*s", (int)id_of(k).n, (const char *)id_of(k).p);
            gw_rig_http_fail(&r, 0, GW_HTTP_TIMEOUT, "timed out");
            pass(SECOND);
            assert_true(gw_slice_is(id_of(0), ids[i]) && gw_slice_is(id_of(1), ids[i + 1]));
            answer(1, "409 201");
            is_done(0);
        }
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 0; k < i; k++)
                assert_int_equal(strcmp(ids[i], ids[k]) == 0, content);
        close_es();
    }
}

/* Scenario: a span with two events; one of the events is refused, the other is to be sent again, the span is stored.
 * Guarantees: the row is a dead letter, once; what is open of it is still sent. */
static void a_row_of_several_documents_is_delivered_when_all_are(void **state)
{
    struct gw_buf scope;

    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    begin_body(&scope);
    put_span(&scope, "s0.", 2);
    put_span(&scope, "s1.", 0);
    end_body(&scope);
    gw_rig_send(&r, GW_TRACES, gw_buf_slice(&body), 2);
    assert_int_equal(docs_in(last(0)), 4);
    answer(0, "201 400 429 201");
    pass(SECOND);
    assert_int_equal(docs_in(last(1)), 1);
    answer(1, "400");
    is_done(1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(has_text(r.dead[0].body, r.dead[0].n_body, "s0."));
    close_es();
}

/* Scenario: of a span and its two events both events are refused, for different reasons, and the span is never taken.
 * Guarantees: the row is one dead letter, for the first reason, and not left as well. */
static void a_row_has_one_fate(void **state)
{
    struct gw_buf scope;

    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    begin_body(&scope);
    put_span(&scope, "s0.", 2);
    put_span(&scope, "s1.", 0);
    end_body(&scope);
    r.most_failures = 1;
    gw_rig_send(&r, GW_TRACES, gw_buf_slice(&body), 2);
    answer(0, "429 400 403 429");
    pass(SECOND);
    answer(1, "429 429");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_dead, 1);
    assert_string_equal(r.dead[0].reason, "error_400");
    assert_int_equal(r.dead[0].rows, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.info.left_rows, 1);
    assert_true(has_text(r.left, r.info.left.n, "s1."));
    assert_false(has_text(r.left, r.info.left.n, "s0."));
    close_es();
}

/* Scenario: 3,000 documents, each refused with a sentence of its own.
 * Guarantees: a bounded number of dead letters, which hold every row once. */
static void many_kinds_of_refusal_make_few_dead_letters(void **state)
{
    struct gw_buf b = new_buf();
    uint32_t rows = 0;

    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(3000);
    gw_buf_put_str(&b, "{\"items\":[");
    for (unsigned i = 0; i < 3000; i++)
        gw_buf_printf(&b, "%s{\"create\":{\"status\":400,\"error\":{\"type\":\"type_%u\",\"reason\":\"reason %u\"}}}",
                      i ? "," : "", i % 40, i);
    gw_buf_put_str(&b, "]}");
    gw_rig_http(&r, 0, 200, NULL, gw_buf_slice(&b));
    gw_buf_clear(&b);
    assert_in_range(r.n_dead, 2, 16);
    for (unsigned i = 0; i < r.n_dead; i++) {
        assert_int_equal(rows_in(GW_LOGS, r.dead[i].body, r.dead[i].n_body), r.dead[i].rows);
        rows += r.dead[i].rows;
    }
    assert_int_equal(rows, 3000);
    is_done(r.n_dead);
    close_es();
}

/* ---- answers to the request as a whole ---------------------------------------------------------------------- */

/* Scenario: each status for a whole request of two documents.
 * Guarantees: 429 and 5xx go again, those named in retry_on_status too; all others, redirects among them, make both
 * rows one dead letter with the server's words. No redirect is followed. */
static void a_refused_request_has_its_verdict(void **state)
{
    static const struct {
        int status;
        bool again;
    } cases[] = {{429, true},  {500, true},  {502, true},  {503, true},  {504, true},  {408, true}, {301, false},
                 {307, false}, {401, false}, {403, false}, {404, false}, {406, false}, {415, false}};

    (void)state;
    open_es("{" NONE "endpoint: http://es, retry: {retry_on_status: [408]}}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r.n_again = 0;
        send_records(2);
        gw_rig_http(&r, 0, cases[i].status, "location: http://elsewhere\n",
                    GW_SLICE("{\"error\":{\"type\":\"some_exception\",\"reason\":\"so it is\"}}"));
        assert_int_equal(r.n_again, cases[i].again);
        if (cases[i].again) {
            pass(SECOND);
            holds(1, "m0. m1.");
            answer_well(1);
            is_done(0);
            continue;
        }
        is_done(1);
        assert_int_equal(r.n_sent, 1);
        assert_int_equal(r.dead[0].rows, 2);
        assert_string_equal(r.dead[0].class_, "sink_rejected");
        assert_string_equal(r.dead[0].reason, "some_exception");
        assert_int_equal(r.dead[0].code, cases[i].status);
        assert_non_null(strstr(r.dead[0].message, "some_exception: so it is"));
    }
    close_es();
}

/* Scenario: 429 for the request, with Retry-After.
 * Guarantees: the server's wish is the pause. */
static void retry_after_is_kept(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(1);
    gw_rig_http(&r, 0, 429, "retry-after: 7\n", GW_SLICE(""));
    pass(7 * SECOND - 2 * TICK);
    assert_int_equal(r.n_sent, 1);
    pass(TICK);
    answer_well(1);
    is_done(0);
    close_es();
}

/* Scenario: 413 until a request has one document; one document alone is too large.
 * Guarantees: halves in order, down to the one, which is a dead letter; the others arrive; later requests are smaller
 * from the start. */
static void too_large_a_request_is_halved(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(4);
    gw_rig_http(&r, 0, 413, NULL, GW_SLICE(""));
    holds(1, "m0. m1.");
    answer_well(1);
    holds(2, "m2. m3.");
    gw_rig_http(&r, 2, 413, NULL, GW_SLICE("<html>"));
    holds(3, "m2.");
    gw_rig_http(&r, 3, 413, NULL, GW_SLICE(""));
    holds(4, "m3.");
    answer_well(4);
    is_done(1);
    assert_string_equal(r.dead[0].class_, "limit_size");
    assert_string_equal(r.dead[0].reason, "too_large");
    assert_true(has_text(r.dead[0].body, r.dead[0].n_body, "m2."));
    assert_int_equal(r.n_again, 0);
    close_es();

    open_es("{" NONE "endpoint: http://es}");
    send_records(2000);
    gw_rig_http(&r, 0, 413, NULL, GW_SLICE(""));
    while (!r.done)
        answer_well(r.n_sent - 1);
    send_records(2000);
    assert_in_range(docs_in(&r.sent[0]), 200, 1100);
    while (!r.done)
        answer_well(r.n_sent - 1);
    is_done(0);
    close_es();
}

/* Scenario: 400 for a whole request as long as one of eight documents is in it; and 400 for everything.
 * Guarantees: that one is the dead letter, its neighbours arrive; and when it is the request that is wrong, looking for
 * a culprit ends. */
static void a_document_that_breaks_a_request_is_found(void **state)
{
    unsigned n = 0;

    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(8);
    while (!r.done) {
        if (strstr((const char *)last(n)->body, "m5."))
            gw_rig_http(&r, n++, 400, NULL, GW_SLICE("{\"error\":{\"type\":\"parse_exception\",\"reason\":\"x\"}}"));
        else
            answer_well(n++);
    }
    is_done(1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(has_text(r.dead[0].body, r.dead[0].n_body, "m5."));
    assert_in_range(n, 5, 8);

    send_records(1000);
    for (n = 0; !r.done; n++)
        gw_rig_http(&r, n, 400, NULL, GW_SLICE("{}"));
    is_done(1);
    assert_int_equal(r.dead[0].rows, 1000);
    assert_string_equal(r.dead[0].reason, "http_400");
    assert_in_range(n, 2, 90);
    close_es();
}

/* Scenario: 200 with a page of HTML, half an answer, one result too few, one too many, none, with and without an _id of
 * ours.
 * Guarantees: none of it is believed: everything goes again; what may be stored twice by that is counted. */
static void an_answer_that_lies_settles_nothing(void **state)
{
    static const char *const lies[] = {
        "<html>all is well</html>",
        "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"sta",
        "{\"items\":[{\"create\":{\"status\":201}}]}",
        "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}",
        "{\"items\":[]}",
        "{}",
        "",
    };
    struct gw_buf text = new_buf();
    char yaml[200];

    (void)state;
    for (unsigned own = 0; own < 2; own++) {
        snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, document_id: %s}", own ? "content" : "none");
        gw_rig_configure(&r, "elasticsearch", yaml);
        r.meter = gw_meter_new();
        assert_int_equal(gw_rig_start(&r), 0);
        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
            unsigned first = own + i ? 0 : 1;

            send_records(2);
            if (r.n_sent && strcmp(r.sent[0].method, "GET") == 0) {
                gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
                first = 1;
            }
            gw_rig_http(&r, first, 200, NULL, gw_slice_cstr(lies[i]));
            assert_int_equal(r.done, 0);
            pass(SECOND);
            holds(first + 1, "m0. m1.");
            answer(first + 1, own ? "409 409" : "201 201");
            is_done(0);
        }
        gw_buf_reset(&text);
        gw_meter_write(r.meter, &(struct gw_exposition){0}, &text);
        gw_buf_put_u8(&text, '\0');
        assert_int_equal(strstr((const char *)text.p, "staunch_elasticsearch_docs_ambiguous{") == NULL, own);
        if (!own)
            assert_non_null(
                strstr((const char *)text.p, "staunch_elasticsearch_docs_ambiguous{exporter=\"elasticsearch\"} 14"));
        gw_meter_free(r.meter);
        close_es();
    }
    gw_buf_clear(&text);
}

/* Scenario: an answer longer than we read, with two results of four in what was read; and with none.
 * Guarantees: those two count, the others go again at once, or in halves. */
static void a_very_long_answer_counts_as_far_as_it_was_read(void **state)
{
    static const char text[] =
        "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":400}},{\"create\":{\"st";
    struct gw_http_request *rq;

    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(4);
    rq = r.sent[0].what;
    r.sent[0].answered = true;
    rq->done(rq, &(struct gw_http_response){.failure = GW_HTTP_TOO_LARGE, .status = 200, .body = gw_slice_cstr(text)});
    holds(1, "m2. m3.");
    rq = r.sent[1].what;
    r.sent[1].answered = true;
    rq->done(rq,
             &(struct gw_http_response){.failure = GW_HTTP_TOO_LARGE, .status = 200, .body = GW_SLICE("{\"items\":[")});
    holds(2, "m2.");
    answer_well(2);
    holds(3, "m3.");
    answer_well(3);
    is_done(1);
    assert_true(has_text(r.dead[0].body, r.dead[0].n_body, "m1."));
    close_es();
}

/* ---- servers ------------------------------------------------------------------------------------------------ */

static const char *url_of(unsigned i)
{
    return gw_rig_sent(&r, i)->url;
}

/* Scenario: three servers; one is down, then all are, then they come back.
 * Guarantees: they take turns; instead of one that is down another is asked at once, without a pause, and the first
 * rests for longer each time; when all are down the queue's pause comes first. */
static void servers_take_turns_and_rest_when_they_fail(void **state)
{
    char host[3];

    (void)state;
    open_es("{" NONE "endpoints: [http://a, http://b, http://c]}"); /* the probe went to a, the first request to b */
    for (unsigned i = 0; i < 3; i++) {
        send_records(1);
        assert_memory_equal(url_of(0), "http://", 7);
        host[i] = url_of(0)[7];
        answer_well(0);
    }
    assert_true(host[0] != host[1] && host[1] != host[2] && host[0] != host[2]);

    send_records(1);
    host[0] = url_of(0)[7];
    gw_rig_http_fail(&r, 0, GW_HTTP_CONNECT, "refused");
    assert_int_equal(r.n_again, 0);
    host[1] = url_of(1)[7];
    assert_true(host[0] != host[1]);
    answer_well(1);
    is_done(0);
    for (unsigned i = 0; i < 4; i++) { /* it rests */
        send_records(1);
        assert_true(url_of(0)[7] != host[0]);
        answer_well(0);
    }
    pass(2 * SECOND); /* its rest is over */
    for (unsigned i = 0; i < 3; i++) {
        send_records(1);
        if (url_of(0)[7] == host[0]) {
            gw_rig_http(&r, 0, 503, NULL, GW_SLICE(""));
            answer_well(1);
            break;
        }
        answer_well(0);
    }
    pass(SECOND); /* twice as long now */
    for (unsigned i = 0; i < 4; i++) {
        send_records(1);
        assert_true(url_of(0)[7] != host[0]);
        answer_well(0);
    }
    assert_int_equal(r.n_again, 0);

    send_records(1);
    gw_rig_http_fail(&r, 0, GW_HTTP_BROKEN, "reset");
    gw_rig_http_fail(&r, 1, GW_HTTP_TIMEOUT, "timed out");
    assert_int_equal(r.n_again, 1);
    assert_int_equal(r.n_sent, 2);
    pass(4 * SECOND);
    answer_well(2);
    is_done(0);
    assert_non_null(strstr(r.log, "half-open"));
    close_es();
}

/* Scenario: two servers go down, and stay so; then somebody waits for the answer, and then the time is up.
 * Guarantees: once both rest nothing is sent, no try is counted, and the pause is until the first may be asked; who
 * waits is told that time and nothing is sent for him; what has no time left is sent once more, whatever the breaker
 * says. */
static void while_all_servers_rest_attempts_wait(void **state)
{
#define TWO "{" NONE "endpoints: [http://a, http://b], circuit_breaker: {initial_interval: 20s}}"
    (void)state;
    open_es(TWO);
    send_records(1);
    gw_rig_http_fail(&r, 0, GW_HTTP_CONNECT, "refused");
    gw_rig_http_fail(&r, 1, GW_HTTP_CONNECT, "refused");
    assert_int_equal(r.n_again, 1);
    pass(2 * SECOND);
    assert_int_equal(r.n_sent, 2);
    assert_int_equal(r.n_untried, 1);
    pass(25 * SECOND);
    answer_well(2);
    is_done(0);
    assert_int_equal(r.n_again, 1);
    close_es();

    open_es(TWO);
    send_records(1);
    gw_rig_http_fail(&r, 0, GW_HTTP_CONNECT, "refused");
    gw_rig_http_fail(&r, 1, GW_HTTP_CONNECT, "refused");
    r.waited_for = true;
    pass(2 * SECOND);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "breaker_open");
    assert_in_range(r.info.retry_after_ns, 10 * SECOND, 25 * SECOND);
    r.waited_for = false;
    r.out_of_time = true;
    send_records(1);
    pass(SECOND / 100);
    answer_well(0);
    is_done(0);
    close_es();
#undef TWO
}

/* Scenario: two servers, both down for two rounds.
 * Guarantees: each round asks both, without a pause between them. */
static void each_round_asks_every_server(void **state)
{
    (void)state;
    open_es("{" NONE "endpoints: [http://a, http://b]}");
    send_records(1);
    for (unsigned round = 0; round < 2; round++) {
        gw_rig_http_fail(&r, 2 * round, GW_HTTP_CONNECT, "refused");
        assert_int_equal(r.n_sent, 2 * round + 2);
        assert_int_equal(r.n_again, round);
        assert_true(strcmp(url_of(2 * round), url_of(2 * round + 1)) != 0);
        gw_rig_http_fail(&r, 2 * round + 1, GW_HTTP_CONNECT, "refused");
        assert_int_equal(r.n_again, round + 1);
        pass(3 * SECOND);
    }
    answer_well(4);
    is_done(0);
    close_es();
}

/* Scenario: two servers, one of them down; retry is off, by each of its two keys.
 * Guarantees: tried once is tried once: the other is not asked either, the queue says what becomes of the rows. */
static void without_retries_no_other_server_is_asked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_es(i ? "{" NONE "endpoints: [http://a, http://b], retry: {enabled: false}}"
                  : "{" NONE "endpoints: [http://a, http://b], retry_on_failure: {enabled: false}}");
        r.most_failures = 1;
        send_records(1);
        gw_rig_http_fail(&r, 0, GW_HTTP_BROKEN, "reset");
        assert_int_equal(r.n_sent, 1);
        assert_int_equal(r.n_again, 1);
        pass(SECOND);
        answer_well(1);
        is_done(0);
        close_es();
    }
}

/* Scenario: the only server is away for a while.
 * Guarantees: every try is the queue's decision. */
static void a_server_that_is_alone_is_asked_again(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(2);
    for (unsigned i = 0; i < 5; i++) {
        gw_rig_http_fail(&r, i, GW_HTTP_CONNECT, "refused");
        assert_int_equal(r.n_again, i + 1);
        pass(2 * SECOND);
    }
    answer_well(5);
    is_done(0);
    close_es();
}

/* ---- the end of tries --------------------------------------------------------------------------------------- */

/* Scenario: two requests in an attempt. The first is never taken, the second at once.
 * Guarantees: when the queue says no more, the rows of the first are left, and those alone; the second was sent. */
static void what_is_tried_too_often_is_left(void **state)
{
    size_t one = bytes_of_a_document();
    char yaml[200];

    (void)state;
    snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, max_request_bytes: %zu}", 2 * one + one / 2);
    open_es(yaml);
    send_records(4);
    r.most_failures = 1;
    holds(0, "m0. m1.");
    gw_rig_http(&r, 0, 503, NULL, GW_SLICE(""));
    pass(SECOND);
    gw_rig_http(&r, 1, 503, NULL, GW_SLICE(""));
    assert_int_equal(r.n_sent, 3); /* the next one is tried all the same */
    while (!r.done)
        answer_well(r.n_sent - 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "retry_exhausted");
    assert_non_null(strstr(r.message, "503"));
    assert_int_equal(r.info.left_rows, docs_in(&r.sent[0]));
    assert_int_equal(rows_in(GW_LOGS, r.left, r.info.left.n), r.info.left_rows);
    assert_true(has_text(r.left, r.info.left.n, "m0."));
    assert_false(has_text(r.left, r.info.left.n, "m3."));
    close_es();
}

/* Scenario: documents of 144 MiB, more than are written at once; a server that takes none of the first half.
 * Guarantees: the rows of the first half are left when those of the second have been delivered. */
static void what_was_given_up_is_remembered_by_the_next_portion(void **state)
{
    enum { N = 12, EACH = 2 << 20 }; /* every byte makes six: \\u0001 */
    char *texts[N];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        texts[i] = malloc(EACH + 1);
        memset(texts[i], 1, EACH);
        texts[i][snprintf(texts[i], EACH, "m%02u.", i)] = 1;
        texts[i][EACH] = '\0';
    }
    open_es("{" NONE "endpoint: http://es, max_request_bytes: 90000000}");
    r.most_failures = 1;
    send_records_of((const char *const *)texts, N);
    for (unsigned i = 0; i < 2; i++) { /* it goes once more, and is given up */
        assert_non_null(strstr((char *)gw_rig_sent(&r, i)->body, "m00."));
        gw_rig_http(&r, i, 503, NULL, GW_SLICE(""));
        pass(SECOND);
    }
    while (!r.done)
        answer_well(r.n_sent - 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.info.left_rows, docs_in(&r.sent[0]));
    assert_int_equal(rows_in(GW_LOGS, r.left, r.info.left.n), r.info.left_rows);
    assert_true(has_text(r.left, r.info.left.n, "m00."));
    assert_false(has_text(r.left, r.info.left.n, "m11."));
    close_es();
    for (unsigned i = 0; i < N; i++)
        free(texts[i]);
}

/* Scenario: the same with a server that stays away: each further request has one try.
 * Guarantees: an attempt of many requests does not take many times as long; all its rows are left. */
static void later_requests_of_an_attempt_do_not_begin_anew(void **state)
{
    size_t one = bytes_of_a_document();
    unsigned n = 0;
    char yaml[200];

    (void)state;
    snprintf(yaml, sizeof(yaml),
             "{" NONE "endpoint: http://es, max_request_bytes: %zu, circuit_breaker: {enabled: false}}",
             2 * one + one / 2);
    open_es(yaml);
    send_records(12);
    r.most_failures = 3;
    while (!r.done) {
        gw_rig_http_fail(&r, n++, GW_HTTP_CONNECT, "refused");
        pass(SECOND);
    }
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_true(r.info.left.n == 0 || r.info.left_rows == 12);
    assert_int_equal(n, 4 + 5); /* six requests */
    close_es();
}

/* Scenario: three requests in an attempt; the first is given up, the second delivered, the third fails once.
 * Guarantees: a server that works again is trusted again: the third has its tries from the start. */
static void a_delivered_request_gives_the_next_one_all_its_tries(void **state)
{
    size_t one = bytes_of_a_document();
    char yaml[200];

    (void)state;
    snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, max_request_bytes: %zu}", one + one / 2);
    open_es(yaml);
    send_records(3);
    r.most_failures = 1;
    for (unsigned i = 0; i < 2; i++) {
        gw_rig_http(&r, i, 503, NULL, GW_SLICE(""));
        pass(SECOND);
    }
    holds(2, "m1.");
    answer_well(2);
    holds(3, "m2.");
    gw_rig_http(&r, 3, 503, NULL, GW_SLICE(""));
    pass(SECOND);
    holds(4, "m2.");
    answer_well(4);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.info.left_rows, 1);
    close_es();
}

/* Scenario: one document of three is never taken.
 * Guarantees: its row alone is left; which rows the server has, and which are dead, is said by their numbers. */
static void a_document_that_is_never_taken_is_left_alone(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(3);
    r.most_failures = 2;
    answer(0, "201 429 400");
    assert_int_equal(r.taken_bits, 1); /* said at once: the pause may be long */
    pass(SECOND);
    answer(1, "429");
    pass(SECOND);
    answer(2, "429");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead_bits, 4);
    assert_int_equal(r.info.left_rows, 1);
    assert_int_equal(r.left_bits, 2);
    assert_true(has_text(r.left, r.info.left.n, "m1."));
    assert_false(has_text(r.left, r.info.left.n, "m2."));
    close_es();
}

/* Scenario: the gateway stops: while a request is under way, during a pause, while the server is asked what it is.
 * Guarantees: the attempt ends soon as given up, with what is open; what was settled before stays so. */
static void a_stop_ends_an_attempt_with_what_is_open(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    send_records(3);
    answer(0, "201 429 400");
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.done, 0);
    pass(0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "shutdown");
    assert_int_equal(r.info.left_rows, 1);
    assert_int_equal(r.n_dead, 1);

    send_records(3);
    r.component->exporter->cancel(r.self, &r.a);
    assert_true(r.sent[0].cancelled);
    assert_int_equal(r.done, 0);
    gw_rig_http_fail(&r, 0, GW_HTTP_CANCELLED, "cancelled");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);

    send_records(3); /* the answer was faster: it counts */
    r.component->exporter->cancel(r.self, &r.a);
    answer(0, "201 201 429");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.left_rows, 1);
    close_es();

    gw_rig_open(&r, "elasticsearch", "{" NONE "endpoint: http://es}");
    send_records(3);
    r.component->exporter->cancel(r.self, &r.a);
    pass(0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.n_sent, 1);
    close_es(); /* with the question still open */
}

/* Scenario: a pause of a minute, and one that the server wished; the gateway drains.
 * Guarantees: the first is cut short, the other is kept. */
static void draining_shortens_pauses_that_are_not_a_wish(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    r.pause_ns = 60 * SECOND;
    send_records(1);
    gw_rig_http(&r, 0, 503, NULL, GW_SLICE(""));
    r.component->exporter->hurry(r.self, SECOND);
    pass(SECOND);
    answer_well(1);
    is_done(0);
    send_records(1);
    gw_rig_http(&r, 0, 503, "retry-after: 30\n", GW_SLICE(""));
    r.component->exporter->hurry(r.self, SECOND);
    pass(29 * SECOND);
    assert_int_equal(r.n_sent, 1);
    pass(SECOND);
    answer_well(1);
    is_done(0);
    close_es();
}

/* ---- remedies ----------------------------------------------------------------------------------------------- */

static void refuse_field(unsigned i, const char *field)
{
    char text[400];

    snprintf(text, sizeof(text),
             "{\"items\":[{\"create\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"
             "\"failed to parse field [%s] of type [keyword] in document with id 'x'\"}}}]}",
             field);
    gw_rig_http(&r, i, 200, NULL, gw_slice_cstr(text));
}

/* Scenario: a mapping refuses attributes.u; rules say stringify, rename, dead_letter, nothing; then it refuses again.
 * Guarantees: remedies change that field and send the document again at once, one time; the action stays; a second
 * refusal, a field without a rule or one that is not there is a dead letter. */
static void a_refused_field_is_remedied_by_rule(void **state)
{
    static const struct {
        const char *rules, *field, *changed;
    } cases[] = {
        {"[{field: attributes.*, action: stringify}]", "attributes.u", "\"u\":\"7\""},
        {"[{field: attributes.*, action: rename}]", "attributes.u", "\"u_long\":7"},
        {"[{field: attributes.u, action: rename}, {action: stringify}]", "attributes.u", "\"u_long\":7"},
        {"[{action: stringify}]", "attributes.u", "\"u\":\"7\""},
        {"[{field: body.*, action: stringify}]", "attributes.u", NULL},
        {"[{action: dead_letter}]", "attributes.u", NULL},
        {"[{action: stringify}]", "attributes.v", NULL},
        {"[]", "attributes.u", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (unsigned again = 0; again < 2; again++) {
            char yaml[300];

            snprintf(yaml, sizeof(yaml), "{" NONE "endpoint: http://es, remedies: %s}", cases[i].rules);
            open_es(yaml);
            send_records(1);
            assert_non_null(strstr((const char *)r.sent[0].body, "\"u\":7"));
            refuse_field(0, cases[i].field);
            if (!cases[i].changed) {
                is_done(1);
                assert_string_equal(r.dead[0].reason, "mapper_parsing_exception");
                close_es();
                continue;
            }
            assert_int_equal(docs_in(last(1)), 1);
            assert_non_null(strstr((const char *)r.sent[1].body, cases[i].changed));
            assert_memory_equal(r.sent[1].body, r.sent[0].body, strcspn((const char *)r.sent[0].body, "\n"));
            if (again) {
                refuse_field(1, strstr(cases[i].changed, "u_long") ? "attributes.u_long" : cases[i].field);
                is_done(1);
                assert_true(has_text(r.dead[0].body, r.dead[0].n_body, "m0."));
            } else {
                answer_well(1);
                is_done(0);
            }
            assert_int_equal(r.n_again, 0);
            close_es();
        }
}

/* Scenario: of three documents one is stored, one is remedied, one is to be sent again.
 * Guarantees: the changed one and the unchanged one go together, after the pause. */
static void remedied_documents_go_with_the_others(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es, remedies: [{action: stringify}]}");
    send_records(3);
    gw_rig_http(&r, 0, 200, NULL,
                GW_SLICE("{\"items\":[{\"create\":{\"status\":400,\"error\":{\"type\":\"document_parsing_exception\","
                         "\"reason\":\"[1:9] failed to parse field [attributes.u] of type [text]\"}}},"
                         "{\"create\":{\"status\":201}},{\"create\":{\"status\":429}}]}"));
    pass(SECOND);
    holds(1, "m0. m2.");
    assert_int_equal(count_of((const char *)r.sent[1].body, "\"u\":\"7\""), 1);
    answer_well(1);
    is_done(0);
    close_es();
}

/* ---- bad input, no memory ----------------------------------------------------------------------------------- */

/* Scenario: a body that is no OTLP; one without a row.
 * Guarantees: the first is refused for good; nothing is sent for either. */
static void a_body_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    open_es("{" NONE "endpoint: http://es}");
    gw_rig_send(&r, GW_LOGS, GW_SLICE("\x0a\xff\xff"), 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_string_equal(r.reason, "malformed");
    assert_int_equal(r.n_sent, 0);
    gw_rig_send(&r, GW_LOGS, GW_SLICE(""), 0);
    is_done(0);
    assert_int_equal(r.n_sent, 0);
    close_es();
}

static uint32_t rows_told(unsigned n)
{
    uint32_t rows = 0;

    for (unsigned i = 0; i < r.n_dead; i++)
        rows += r.dead[i].rows;
    if (r.info.sent == GW_SENT_OVER)
        rows += r.info.left.n ? r.info.left_rows : n - rows;
    return rows;
}

/** The first half is stored, the second refused for two reasons; the fail_at-th allocation from then on fails. */
static void answer_halves(unsigned i, uint64_t fail_at)
{
    unsigned n = docs_in(gw_rig_sent(&r, i));
    struct gw_buf b = new_buf();

    gw_buf_put_str(&b, "{\"items\":[");
    for (unsigned k = 0; k < n; k++)
        gw_buf_printf(&b, "%s{\"create\":{\"status\":%d}}", k ? "," : "", k < n / 2 ? 201 : k % 2 ? 400 : 403);
    gw_buf_put_str(&b, "]}");
    gw_malloc_fail_at(fail_at);
    gw_rig_http(&r, i, 200, NULL, gw_buf_slice(&b));
    gw_buf_clear(&b);
}

/* Scenario: a server that stores half of what it gets and refuses the rest; each allocation fails once, while documents
 * are written and sent, and while an answer is read and dead letters are made.
 * Guarantees: no crash, and every refused row is told: dead or left. */
static void an_allocation_that_fails_loses_no_row(void **state)
{
    unsigned failed[2] = {0};

    (void)state;
    for (uint64_t at = 2; at < 60; at++) { /* even: of sending, odd: of the answer */
        unsigned n = 0;

        open_es("{" NONE "endpoint: http://es, remedies: [{action: rename}]}");
        make_records(40);
        gw_malloc_fail_at(at % 2 ? 0 : at / 2);
        gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), 40);
        failed[0] += gw_malloc_failed() != 0;
        gw_malloc_fail_at(0);
        for (unsigned turn = 0; turn < 10 && !r.done; turn++) {
            for (; n < r.n_sent; n++)
                answer_halves(n, at % 2 && n == 0 ? at / 2 : 0);
            failed[1] += gw_malloc_failed() != 0;
            gw_malloc_fail_at(0);
            pass(SECOND);
        }
        if (!r.done)
            fail_msg("allocation %u: %u sent, %u again, %s", (unsigned)at, r.n_sent, r.n_again, r.log);
        assert_in_range(rows_told(40), 20, 40);
        close_es();
    }
    assert_in_range(failed[0], 1, 29);
    assert_in_range(failed[1], 5, 29);
}

/* Scenario: 20,000 records after 20,000 like them.
 * Guarantees: nothing is allocated per row: what a request needs is kept for the next. */
static void a_row_costs_no_allocation(void **state)
{
    uint64_t before, cost[2];

    (void)state;
    open_es("endpoint: http://es");
    for (unsigned i = 0; i < 3; i++) {
        make_records(20000);
        before = gw_malloc_count();
        gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), 20000);
        cost[i & 1] = gw_malloc_count() - before;
        while (!r.done)
            answer_well(r.n_sent - 1);
        is_done(0);
    }
    assert_in_range(cost[0], 0, 200);
    close_es();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_lines_of_actions_and_documents),
        cmocka_unit_test(the_server_is_asked_what_it_is),
        cmocka_unit_test(only_elasticsearch_gets_dynamic_templates),
        cmocka_unit_test(documents_wait_until_a_server_is_known),
        cmocka_unit_test(requests_are_cut_by_bytes),
        cmocka_unit_test(a_request_is_as_large_as_a_batch),
        cmocka_unit_test(each_documents_own_result_counts),
        cmocka_unit_test(statuses_that_go_again_can_be_named),
        cmocka_unit_test(a_conflict_with_our_own_id_is_delivered),
        cmocka_unit_test(an_id_of_ours_is_the_records_or_its_contents),
        cmocka_unit_test(a_row_of_several_documents_is_delivered_when_all_are),
        cmocka_unit_test(a_row_has_one_fate),
        cmocka_unit_test(many_kinds_of_refusal_make_few_dead_letters),
        cmocka_unit_test(a_refused_request_has_its_verdict),
        cmocka_unit_test(retry_after_is_kept),
        cmocka_unit_test(too_large_a_request_is_halved),
        cmocka_unit_test(a_document_that_breaks_a_request_is_found),
        cmocka_unit_test(an_answer_that_lies_settles_nothing),
        cmocka_unit_test(a_very_long_answer_counts_as_far_as_it_was_read),
        cmocka_unit_test(servers_take_turns_and_rest_when_they_fail),
        cmocka_unit_test(while_all_servers_rest_attempts_wait),
        cmocka_unit_test(each_round_asks_every_server),
        cmocka_unit_test(without_retries_no_other_server_is_asked),
        cmocka_unit_test(a_server_that_is_alone_is_asked_again),
        cmocka_unit_test(what_is_tried_too_often_is_left),
        cmocka_unit_test(what_was_given_up_is_remembered_by_the_next_portion),
        cmocka_unit_test(later_requests_of_an_attempt_do_not_begin_anew),
        cmocka_unit_test(a_delivered_request_gives_the_next_one_all_its_tries),
        cmocka_unit_test(a_document_that_is_never_taken_is_left_alone),
        cmocka_unit_test(a_stop_ends_an_attempt_with_what_is_open),
        cmocka_unit_test(draining_shortens_pauses_that_are_not_a_wish),
        cmocka_unit_test(a_refused_field_is_remedied_by_rule),
        cmocka_unit_test(remedied_documents_go_with_the_others),
        cmocka_unit_test(a_body_that_cannot_be_read_is_refused),
        cmocka_unit_test(an_allocation_that_fails_loses_no_row),
        cmocka_unit_test(a_row_costs_no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
