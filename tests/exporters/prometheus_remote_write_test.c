/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_remote_write against a scripted server: what is sent, in which order, and what is tried again. */
#include "tests/exporters/prometheus_remote_write/server_rig.h"

/* ---- what is sent ----------------------------------------------------------------------------------------------- */

/* Scenario: the defaults; both versions of protobuf_message.
 * Guarantees: POST to the endpoint as it stands, snappy block, the headers of the protocol, 5 s, our user agent; the
 * series are there; the attempt is done when it is answered. */
static void a_body_becomes_a_request(void **state)
{
    (void)state;
    for (unsigned v2 = 0; v2 < 2; v2++) {
        const struct gw_rig_sent *s;
        uint64_t ms = 0;

        open_rig(v2 ? ONE_V2 : ONE);
        send_gauges(2);
        assert_int_equal(r.n_sent, 1);
        s = gw_rig_sent(&r, 0);
        assert_string_equal(s->method, "POST");
        assert_string_equal(s->url, "http://p/w");
        assert_string_equal(gw_rig_header(s, "Content-Encoding"), "snappy");
        assert_string_equal(gw_rig_header(s, "Content-Type"),
                            v2 ? "application/x-protobuf;proto=io.prometheus.write.v2.Request"
                               : "application/x-protobuf");
        assert_string_equal(gw_rig_header(s, "X-Prometheus-Remote-Write-Version"), v2 ? "2.0.0" : "0.1.0");
        assert_int_equal(s->timeout_ns, 5 * SECOND);
        assert_string_equal(metrics_of(s), "m0 m1");
        assert_true(gw_slice_is(label_of(body_of(s), 0, "k"), "m0"));
        assert_float_equal(value_of(s, "m1", &ms), 1, 0);
        assert_int_equal(ms, 1000);
        assert_int_equal(r.done, 0);
        answer(0, 204, v2 ? "x-prometheus-remote-write-samples-written: 2\n" : NULL, "");
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.info.rejected_rows, 0);
        assert_string_equal(gw_rig_conf(&r, "user_agent"), "Staunch/" GW_VERSION " (linux/amd64)");
        assert_string_equal(gw_rig_conf(&r, "max_response_bytes"), "65536");
        close_rig();
    }
}

/* Scenario: a body without a row; one that is no OTLP.
 * Guarantees: done at once, nothing is sent; the second is for good. */
static void a_body_without_rows_is_done_at_once(void **state)
{
    (void)state;
    open_rig(ONE);
    gw_rig_send(&r, GW_METRICS, GW_SLICE(""), 0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    gw_rig_send(&r, GW_METRICS, GW_SLICE("\x0a\x05zz"), 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_PERMANENT);
    assert_int_equal(r.n_sent, 0);
    close_rig();
}

/* Scenario: one shard, two attempts of the same series, the first answered with 503 once.
 * Guarantees: the second waits until the first is written; retries wait for their pause; each attempt is done when its
 * own requests are. */
static void a_shard_sends_in_order(void **state)
{
    struct gw_attempt second;
    struct gw_buf more;
    uint64_t ms = 0;

    (void)state;
    open_rig(ONE);
    send_gauges(1);
    gw_buf_init(&more, 1 << 20);
    put_gauges(&more, 0, 1, 2000);
    second = r.a;
    second.body = gw_buf_slice(&more);
    r.component->exporter->send(r.self, &second);
    assert_int_equal(r.n_sent, 1);
    answer(0, 503, NULL, "");
    assert_int_equal(r.n_sent, 1);
    pass(&r, SECOND / 2);
    assert_int_equal(r.n_sent, 1);
    pass(&r, SECOND / 2);
    assert_int_equal(r.n_sent, 2);
    (void)value_of(gw_rig_sent(&r, 1), "m0", &ms);
    assert_int_equal(ms, 1000);
    answer(1, 204, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_sent, 3);
    (void)value_of(gw_rig_sent(&r, 2), "m0", &ms);
    assert_int_equal(ms, 2000);
    answer(2, 204, NULL, "");
    assert_int_equal(r.done, 2);
    gw_buf_clear(&more);
    close_rig();
}

/* Scenario: 64 series over max_batch_request_parallelism 4; then num_consumers instead of it.
 * Guarantees: as many requests at once; a shard that waits does not hold up another; every series is in exactly one
 * request, and in the same shard's again with the next body. */
static void shards_send_in_parallel(void **state)
{
    static const char *const yaml[] = {"{endpoint: http://p/w, max_batch_request_parallelism: 4}",
                                       "{endpoint: http://p/w, remote_write_queue: {num_consumers: 4}}"};
    char first[4][1000];

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        unsigned series = 0;

        open_rig(yaml[k]);
        send_gauges(64);
        assert_int_equal(r.n_sent, 4);
        for (unsigned i = 0; i < 4; i++) {
            snprintf(first[i], sizeof(first[i]), "%s", metrics_of(gw_rig_sent(&r, i)));
            series += sent_body.n_series;
        }
        assert_int_equal(series, 64);
        answer(2, 503, NULL, "");
        for (unsigned i = 0; i < 4; i++)
            if (i != 2)
                answer(i, 204, NULL, "");
        assert_int_equal(r.done, 0);
        pass(&r, SECOND);
        assert_int_equal(r.n_sent, 5);
        assert_string_equal(metrics_of(gw_rig_sent(&r, 4)), first[2]);
        answer(4, 204, NULL, "");
        assert_int_equal(r.done, 1);
        send_gauges(64);
        for (unsigned i = 0; i < 4; i++) {
            assert_string_equal(metrics_of(gw_rig_sent(&r, i)), first[i]);
            answer(i, 204, NULL, "");
        }
        assert_int_equal(r.done, 1);
        close_rig();
    }
}

/* Scenario: 200 series and max_batch_size_bytes of 1,000.
 * Guarantees: several requests, one after the other in their order, none much longer than that. */
static void a_long_body_is_cut_by_bytes(void **state)
{
    unsigned series = 0;

    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, max_batch_size_bytes: 1000}");
    send_gauges(200);
    for (unsigned i = 0; i < r.n_sent; i++) {
        series += body_of(gw_rig_sent(&r, i))->n_series;
        assert_in_range(sent_bytes.n, 1, 1000);
        assert_int_equal(r.n_sent, i + 1);
        assert_int_equal(r.done, 0);
        answer(i, 204, NULL, "");
    }
    assert_in_range(r.n_sent, 6, 20);
    assert_int_equal(series, 200);
    assert_int_equal(r.done, 1);
    close_rig();
}

/* ---- failures that pass -------------------------------------------------------------------------------------------
 */

/* Scenario: every answer, and every lack of one, that may be better next time.
 * Guarantees: the same bytes again after the pause, under the reason's name; then it is delivered. */
static void what_may_pass_is_tried_again(void **state)
{
    static const int statuses[] = {429, 500, 501, 502, 503, 504, 507, 599};
    static const enum gw_http_failure failures[] = {GW_HTTP_CONNECT, GW_HTTP_TIMEOUT, GW_HTTP_BROKEN};

    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 8 + 3; k++) {
        send_gauges(1);
        if (k < 8)
            answer(0, statuses[k], NULL, "the sample server is starting");
        else
            gw_rig_http_fail(&r, 0, failures[k - 8], "a sentence");
        assert_int_equal(r.done, 0);
        assert_int_equal(r.n_sent, 1);
        pass(&r, SECOND);
        assert_int_equal(r.n_sent, 2);
        assert_int_equal(r.sent[1].n_body, r.sent[0].n_body);
        assert_memory_equal(r.sent[1].body, r.sent[0].body, r.sent[0].n_body);
        answer(1, 200, NULL, "");
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
    }
    close_rig();
}

/* Scenario: Retry-After of 7 s on 429 and 503.
 * Guarantees: the server's wish goes to the queue, and its pause is kept. */
static void retry_after_is_honoured(void **state)
{
    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 2; k++) {
        send_gauges(1);
        answer(0, k ? 503 : 429, "retry-after: 7\n", "");
        pass(&r, 6 * SECOND);
        assert_int_equal(r.n_sent, 1);
        pass(&r, SECOND);
        assert_int_equal(r.n_sent, 2);
        answer(1, 204, NULL, "");
    }
    close_rig();
}

/* Scenario: eight shards, a server that is away for all of them; then it is back.
 * Guarantees: no try is counted and nothing is sent while the breaker is open; one request probes; the others follow,
 * more and more at once; nothing is lost. */
static void a_server_that_is_away_is_probed(void **state)
{
    unsigned most = 0;

    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 8, circuit_breaker: {initial_interval: 10s}}");
    send_gauges(64);
    assert_int_equal(r.n_sent, 8);
    for (unsigned i = 0; i < 8; i++)
        answer(i, 503, NULL, "");
    assert_int_equal(r.n_again, 8);
    pass(&r, 2 * SECOND);
    assert_int_equal(r.n_sent, 8);
    assert_int_equal(r.n_untried, 8);
    pass(&r, 11 * SECOND);
    assert_int_equal(r.n_sent, 9);
    for (unsigned i = 8; i < r.n_sent; i++) {
        answer(i, 204, NULL, "");
        pass(&r, SECOND / 10);
        most = r.n_sent - i - 1 > most ? r.n_sent - i - 1 : most;
    }
    assert_int_equal(r.n_sent, 16);
    assert_in_range(most, 2, 6);
    assert_int_equal(r.n_again, 8);
    assert_int_equal(r.done, 1);
    close_rig();
}

/* Scenario: somebody waits while the breaker is open. Guarantees: nothing is sent, and the next probe's time is told.
 */
static void who_waits_hears_of_the_breaker(void **state)
{
    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 8, circuit_breaker: {initial_interval: 10s}}");
    send_gauges(64);
    r.waited_for = true;
    for (unsigned i = 0; i < 8; i++)
        answer(i, 503, NULL, "");
    pass(&r, 2 * SECOND);
    assert_int_equal(r.n_sent, 8);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "breaker_open");
    assert_in_range(r.info.retry_after_ns, 5 * SECOND, 13 * SECOND);
    r.waited_for = false;
    r.out_of_time = true;
    send_gauges(1); /* the last try, whatever the breaker says */
    pass(&r, SECOND / 100);
    answer(0, 204, NULL, "");
    assert_int_equal(r.done, 1);
    close_rig();
}

/* Scenario: eight shards, one answer of 429; the next body, with and without adaptive_concurrency.
 * Guarantees: five requests at once instead of eight; all are sent, one after the other. */
static void a_busy_server_gets_fewer_requests_at_once(void **state)
{
    (void)state;
    for (unsigned adapts = 0; adapts < 2; adapts++) {
        open_rig(adapts ? "{endpoint: http://p/w, max_batch_request_parallelism: 8}"
                        : "{endpoint: http://p/w, max_batch_request_parallelism: 8, "
                          "sending_queue: {adaptive_concurrency: {enabled: false}}}");
        send_gauges(64);
        answer(0, 429, NULL, "");
        for (unsigned i = 1; i < 8; i++)
            answer(i, 204, NULL, "");
        pass(&r, SECOND);
        answer(8, 204, NULL, "");
        assert_int_equal(r.done, 1);
        send_gauges(64);
        assert_int_equal(r.n_sent, adapts ? 5 : 8);
        for (unsigned i = 0; i < 8; i++) {
            assert_in_range(r.n_sent - i, adapts ? 0 : 8 - i, adapts ? 6 : 8);
            answer(i, 204, NULL, "");
        }
        assert_int_equal(r.done, 1);
        close_rig();
    }
}

/* Scenario: four shards; one of them fails until the queue says no, another has a dead row.
 * Guarantees: the attempt is over with the rows of the failed shard alone, and the queue's reason. */
static void what_was_tried_too_long_is_left(void **state)
{
    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 2}");
    r.most_failures = 2;
    send_gauges(20);
    assert_int_equal(r.n_sent, 2);
    answer(0, 204, NULL, "");
    answer(1, 503, NULL, "not now");
    pass(&r, SECOND);
    answer(2, 503, NULL, "not now");
    pass(&r, SECOND);
    answer(3, 503, NULL, "not now");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "retry_exhausted");
    assert_string_equal(r.message, "the server answered HTTP 503: not now");
    assert_int_equal(r.info.left_rows, body_of(gw_rig_sent(&r, 1))->n_series);
    for (unsigned i = 0; i < 20; i++) {
        char name[20], wire[40];

        snprintf(name, sizeof(name), "m%u", i);
        snprintf(wire, sizeof(wire), "\x0a%c%s", (int)strlen(name), name);
        assert_int_equal(memmem(r.left, r.info.left.n, wire, strlen(wire)) != NULL,
                         has_metric(gw_rig_sent(&r, 1), name));
    }
    close_rig();
}

static uint64_t first_failure_ns[16];
static unsigned n_failures;

static bool note_first_failure(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret)
{
    (void)a, (void)info;
    first_failure_ns[n_failures++ % 16] = t->first_ns;
    t->over = "retry_exhausted";
    *ret = SECOND;
    return t->failures++ == 0;
}

/* Scenario: a body of several requests on one shard while the server is away, each tried twice; then one is written and
 * the next fails.
 * Guarantees: all of them count from the first failure of the body, so that max_elapsed_time ends them together; what
 * was written in between begins anew. */
static void all_requests_of_a_body_share_its_time(void **state)
{
    struct gw_attempt a;
    uint64_t first;

    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, max_batch_size_bytes: 200}");
    send_gauges(1); /* for its callbacks */
    answer(0, 204, NULL, "");
    gw_buf_reset(&body);
    put_gauges(&body, 0, 16, 1000);
    a = r.a;
    a.body = gw_buf_slice(&body);
    a.rows = 16;
    a.again = note_first_failure;
    n_failures = 0;
    r.component->exporter->send(r.self, &a);
    first = gw_loop_now_ns(r.loop);
    for (unsigned i = 1; i <= 4; i++) {
        answer(i, 503, NULL, "");
        pass(&r, SECOND);
    }
    assert_int_equal(n_failures, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(first_failure_ns[i], first);
    answer(5, 204, NULL, "");
    answer(6, 503, NULL, "");
    assert_int_equal(first_failure_ns[4], gw_loop_now_ns(r.loop));
    r.component->exporter->cancel(r.self, &a);
    assert_int_equal(r.done, 2);
    close_rig();
}

/* Scenario: an authenticator that has no token, then one.
 * Guarantees: nothing is sent without it, and the queue is asked; the header is there with it. */
static void without_a_token_nothing_is_sent(void **state)
{
    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, auth: {authenticator: bearertokenauth/broken}}");
    r.most_failures = 1;
    send_gauges(1);
    assert_int_equal(r.n_again, 1);
    pass(&r, SECOND);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.message, "no token");
    close_rig();
    open_rig("{endpoint: http://p/w, auth: {authenticator: bearertokenauth}, headers: {X-Scope-OrgID: blue}}");
    send_gauges(1);
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "authorization"), "Bearer secret-token");
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "X-Scope-OrgID"), "blue");
    answer(0, 204, NULL, "");
    close_rig();
}

/* ---- the gateway's wishes -------------------------------------------------------------------------------------------
 */

/* Scenario: an attempt with one request under way and another behind it is cancelled; one that pauses; one of which a
 * refused request is being searched; one that waits behind another attempt's.
 * Guarantees: the client is told, nothing more is sent, the attempt is over with what is left; the other goes on. */
static void a_cancelled_attempt_ends(void **state)
{
    struct gw_attempt second;
    struct gw_buf more;

    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, max_batch_size_bytes: 100}");
    send_gauges(10);
    r.component->exporter->cancel(r.self, &r.a);
    assert_true(gw_rig_sent(&r, 0)->cancelled);
    assert_int_equal(r.done, 0);
    gw_rig_http_fail(&r, 0, GW_HTTP_CANCELLED, "cancelled");
    assert_int_equal(r.n_sent, 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_string_equal(r.reason, "shutdown");

    send_gauges(1);
    answer(0, 503, NULL, "");
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    pass(&r, 10 * SECOND);
    assert_int_equal(r.n_sent, 1);

    send_gauges(2); /* halves of a refused one: the second is not sent any more */
    answer(0, 400, NULL, "out of order sample");
    r.component->exporter->cancel(r.self, &r.a);
    answer(1, 204, NULL, "");
    assert_int_equal(r.n_sent, 2);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.info.left_rows, 1);

    send_gauges(1);
    gw_buf_init(&more, 1 << 20);
    put_gauges(&more, 5, 1, 2000);
    second = r.a;
    second.body = gw_buf_slice(&more);
    r.component->exporter->send(r.self, &second);
    r.component->exporter->cancel(r.self, &second);
    assert_int_equal(r.done, 1);
    answer(0, 204, NULL, "");
    assert_int_equal(r.done, 2);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_sent, 1);

    send_gauges(1); /* pauses, and holds up the second */
    answer(0, 503, NULL, "");
    second = r.a;
    second.body = gw_buf_slice(&more);
    r.component->exporter->send(r.self, &second);
    r.component->exporter->cancel(r.self, &r.a);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_sent, 1);
    pass(&r, 0);
    assert_string_equal(metrics_of(gw_rig_sent(&r, 1)), "m5");
    answer(1, 204, NULL, "");
    assert_int_equal(r.done, 2);
    gw_buf_clear(&more);
    close_rig();
}

/* Scenario: the gateway drains while one request pauses for long, and another because the server asked for it.
 * Guarantees: the first is tried soon, the second when the server said. */
static void a_drain_shortens_pauses(void **state)
{
    (void)state;
    open_rig(ONE);
    for (unsigned wished = 0; wished < 2; wished++) {
        r.pause_ns = 60 * SECOND;
        send_gauges(1);
        answer(0, 503, wished ? "retry-after: 30\n" : NULL, "");
        r.component->exporter->hurry(r.self, SECOND / 2);
        pass(&r, SECOND);
        assert_int_equal(r.n_sent, wished ? 1 : 2);
        pass(&r, 30 * SECOND);
        assert_int_equal(r.n_sent, 2);
        answer(1, 204, NULL, "");
        assert_int_equal(r.done, 1);
    }
    close_rig();
}

/* Scenario: include_metadata_keys x-tenant and x-none; a request with two values of the first.
 * Guarantees: both values are headers of the request; nothing else of the metadata is. */
static void metadata_is_sent_on_as_headers(void **state)
{
    const struct gw_meta_pair pairs[] = {{GW_SLICE("x-tenant"), GW_SLICE("blue")},
                                         {GW_SLICE("x-other"), GW_SLICE("no")},
                                         {GW_SLICE("x-tenant"), GW_SLICE("green")}};
    const struct gw_meta from = {.pairs = pairs, .n_pairs = 3, .transport = "http"};
    struct gw_meta *meta = gw_meta_new(&from);
    const struct gw_rig_sent *s;

    (void)state;
    open_rig("{endpoint: http://p/w, include_metadata_keys: [X-Tenant, x-none]}");
    r.a.meta = meta;
    send_gauges(1);
    s = gw_rig_sent(&r, 0);
    assert_non_null(strstr(s->headers, "X-Tenant: blue\n"));
    assert_non_null(strstr(s->headers, "X-Tenant: green\n"));
    assert_null(gw_rig_header(s, "x-other"));
    assert_null(gw_rig_header(s, "x-none"));
    answer(0, 204, NULL, "");
    r.a.meta = NULL;
    (void)gw_meta_unref(meta);
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_becomes_a_request),        cmocka_unit_test(a_body_without_rows_is_done_at_once),
        cmocka_unit_test(a_shard_sends_in_order),          cmocka_unit_test(shards_send_in_parallel),
        cmocka_unit_test(a_long_body_is_cut_by_bytes),     cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(retry_after_is_honoured),         cmocka_unit_test(a_server_that_is_away_is_probed),
        cmocka_unit_test(who_waits_hears_of_the_breaker),  cmocka_unit_test(a_busy_server_gets_fewer_requests_at_once),
        cmocka_unit_test(what_was_tried_too_long_is_left), cmocka_unit_test(all_requests_of_a_body_share_its_time),
        cmocka_unit_test(without_a_token_nothing_is_sent), cmocka_unit_test(a_cancelled_attempt_ends),
        cmocka_unit_test(a_drain_shortens_pauses),         cmocka_unit_test(metadata_is_sent_on_as_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
