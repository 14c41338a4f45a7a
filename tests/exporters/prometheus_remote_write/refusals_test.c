/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_remote_write against a server that refuses: what is at fault is found, the rest arrives, 2.0 becomes 1.0.
 */
#include "tests/exporters/prometheus_remote_write/server_rig.h"

/* A server that refuses what holds one of these metrics, as Prometheus does: nothing of it is written. Returns how
 * many requests it took until nothing was left to answer. */
static unsigned refuse_all_with(int status, const char *text, const char *const *bad)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r.n_sent; i++) {
        bool refused = false;

        if (r.sent[i].answered)
            continue;
        for (unsigned k = 0; bad[k]; k++)
            refused = refused || has_metric(&r.sent[i], bad[k]);
        if (refused)
            answer(i, status, NULL, text);
        else
            answer(i, 204, NULL, "");
        n++;
    }
    return n;
}

#define BAD(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool dead_has(unsigned i, const char *metric)
{
    return memmem(r.dead[i].body, r.dead[i].n_body, metric, strlen(metric)) != NULL;
}

/* ---- refusals -----------------------------------------------------------------------------------------------------
 */

/* Scenario: 100 series of which two are refused, with 400 and a sentence that names nothing, as Prometheus does for
 * 1.0; both versions.
 * Guarantees: the two are alone in dead letters of one kind, the other 98 are delivered, with few requests. */
static void a_refused_sample_is_found_by_halves(void **state)
{
    (void)state;
    for (unsigned v2 = 0; v2 < 2; v2++) {
        unsigned dead = 0;

        open_rig(v2 ? ONE_V2 : ONE);
        send_gauges(100);
        if (v2)
            answer(0, 204, NULL, ""); /* falls back */
        assert_in_range(refuse_all_with(400, "out of order sample\n", BAD("m17", "m71")), 5, 30);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        for (unsigned i = 0; i < r.n_dead; i++) {
            dead += r.dead[i].rows;
            assert_string_equal(r.dead[i].class_, "sink_rejected");
            assert_string_equal(r.dead[i].reason, "http_400");
            assert_int_equal(r.dead[i].code, 400);
            assert_string_equal(r.dead[i].message, "the server answered HTTP 400: out of order sample");
        }
        assert_int_equal(dead, 2);
        assert_int_equal(r.n_dead, 1);
        assert_true(dead_has(0, "m17"));
        assert_true(dead_has(0, "m71"));
        assert_false(dead_has(0, "m18"));
        for (unsigned i = 0; i < 100; i++) {
            char name[20];
            bool written = false;

            snprintf(name, sizeof(name), "m%u", i);
            for (unsigned k = 0; k < r.n_sent && !written; k++)
                written =
                    has_metric(&r.sent[k], name) && !has_metric(&r.sent[k], "m17") && !has_metric(&r.sent[k], "m71");
            assert_int_equal(written, i != 17 && i != 71);
        }
        close_rig();
    }
}

/* Scenario: 400 which names two series among others of the tenant's; 1.0.
 * Guarantees: these two are dead letters at once, the rest goes in one more request. */
static void a_named_series_is_taken_out(void **state)
{
    (void)state;
    open_rig(ONE);
    send_gauges(10);
    answer(0, 400, NULL,
           "out of order sample for series {__name__=\"m3\", k=\"m3\"}\n"
           "too old sample for series {__name__=\"m7\", k=\"m7\"}\n"
           "too old sample for series {__name__=\"other\", k=\"v\"}\n");
    assert_int_equal(r.n_sent, 2);
    assert_string_equal(metrics_of(gw_rig_sent(&r, 1)), "m0 m1 m2 m4 m5 m6 m8 m9");
    answer(1, 204, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 2);
    assert_true(dead_has(0, "m3"));
    assert_true(dead_has(0, "m7"));
    close_rig();
}

static bool has_time(const struct gw_rig_sent *s, const char *metric, uint64_t ms)
{
    const struct gw_rw_body *b = body_of(s);

    for (uint32_t i = 0; i < b->n_points; i++) {
        struct gw_wire_walk w = gw_wire_walk(b->points[i].message);
        struct gw_wire_field f;

        while (gw_wire_next(&w, &f) > 0)
            if (f.number == 2 && f.varint == ms && gw_slice_is(label_of(b, b->points[i].series, "__name__"), metric))
                return true;
    }
    return false;
}

/* Scenario: three series of 16 samples each, of which one is refused; with a sentence that names nothing (1.0), the
 * series (1.0), or the series with the count of what was written (2.0).
 * Guarantees: that sample is a dead letter, and the other 47 are delivered, also those of its series. */
static void one_sample_of_a_series_is_found(void **state)
{
    static const char named[] = "out of order sample for series {__name__=\"b\", k=\"b\"}";
    static const char *const texts[] = {"out of order sample", named, named};
    unsigned most[] = {14, 12, 12};

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        bool written[3][16] = {{false}};

        open_rig(k == 2 ? ONE_V2 : ONE);
        for (unsigned t = 0; t < 16; t++)
            for (unsigned i = 0; i < 3; i++)
                put_point(&body, (const char *[]){"a", "b", "c"}[i], 1000 + t, 1, false, NULL);
        gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 48);
        for (unsigned n = 0; n < r.n_sent; n++) {
            bool bad = has_time(&r.sent[n], "b", 1011);
            char headers[100];

            for (unsigned i = 0; i < 3 && !bad; i++)
                for (unsigned t = 0; t < 16; t++)
                    written[i][t] |= has_time(&r.sent[n], (const char *[]){"a", "b", "c"}[i], 1000 + t);
            snprintf(headers, sizeof(headers), "x-prometheus-remote-write-samples-written: %u\n",
                     body_of(&r.sent[n])->n_points - bad);
            answer(n, bad ? 400 : 204, k == 2 ? headers : NULL, bad ? texts[k] : "");
        }
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.n_dead, 1);
        assert_int_equal(r.dead[0].rows, 1);
        for (unsigned i = 0; i < 3; i++)
            for (unsigned t = 0; t < 16; t++)
                assert_int_equal(written[i][t], !(i == 1 && t == 11));
        assert_in_range(r.n_sent, 3, most[k]);
        close_rig();
    }
}

/* Scenario: a partial write of 2.0: 400, the series are named, the Written header counts the others.
 * Guarantees: nothing is sent again. */
static void a_partial_write_is_not_repeated(void **state)
{
    (void)state;
    open_rig(ONE_V2);
    send_gauges(10);
    answer(0, 400, "x-prometheus-remote-write-samples-written: 9\n",
           "out of order sample for series {__name__=\"m3\", k=\"m3\"}");
    assert_int_equal(r.n_sent, 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(dead_has(0, "m3"));

    send_gauges(10); /* fewer were written than it names: the rest is not known to be there */
    answer(0, 400, "x-prometheus-remote-write-samples-written: 4\n",
           "out of order sample for series {__name__=\"m3\", k=\"m3\"}");
    assert_int_equal(r.n_sent, 2);
    answer(1, 204, "x-prometheus-remote-write-samples-written: 9\n", "");
    assert_int_equal(r.done, 1);
    close_rig();
}

/* Scenario: the same 500 about a sample, again and again, as Debian's Prometheus answers to one old sample.
 * Guarantees: after three of them the sample is looked for; the others arrive, it is a dead letter of reason http_500;
 * the next request of the shard follows. */
static void a_500_that_never_ends_is_bisected(void **state)
{
    (void)state;
    open_rig(ONE);
    send_gauges(16);
    for (unsigned i = 0; i < 2; i++) {
        answer(i, 500, NULL, "too old sample");
        assert_int_equal(r.n_sent, i + 1);
        pass(&r, SECOND);
        assert_int_equal(body_of(gw_rig_sent(&r, i + 1))->n_series, 16);
    }
    assert_in_range(refuse_all_with(500, "too old sample", BAD("m5")), 5, 10);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_string_equal(r.dead[0].reason, "http_500");
    assert_true(dead_has(0, "m5"));
    close_rig();
}

/* Scenario: 500 about something else, or about samples in turn with something else; a full disk.
 * Guarantees: never taken apart. */
static void other_500s_are_never_bisected(void **state)
{
    static const char *const texts[][2] = {
        {"internal error", "internal error"},
        {"too old sample", "storage is starting"},
        {"write to WAL: log samples: no space left on device", "write to WAL: log samples: no space left on device"},
        {"", ""},
    };

    (void)state;
    open_rig("{endpoint: http://p/w, max_batch_request_parallelism: 1, circuit_breaker: {enabled: false}}");
    for (unsigned k = 0; k < 4; k++) {
        send_gauges(4);
        for (unsigned i = 0; i < 8; i++) {
            answer(i, 500, NULL, texts[k][i % 2]);
            pass(&r, SECOND);
            assert_int_equal(body_of(gw_rig_sent(&r, i + 1))->n_series, 4);
        }
        answer(8, 204, NULL, "");
        assert_int_equal(r.done, 1);
        assert_int_equal(r.n_dead, 0);
    }
    close_rig();
}

/* Scenario: 413 for more than three series; then for a single one, too.
 * Guarantees: halves until they fit; what is alone and too long is a dead letter of class limit_size. */
static void what_is_too_large_is_halved(void **state)
{
    (void)state;
    open_rig(ONE);
    send_gauges(10);
    for (unsigned i = 0; i < r.n_sent; i++)
        answer(i, body_of(&r.sent[i])->n_series > 3 ? 413 : 204, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, 0);
    send_gauges(3);
    for (unsigned i = 0; i < r.n_sent; i++)
        answer(i, has_metric(&r.sent[i], "m1") ? 413 : 204, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_string_equal(r.dead[0].class_, "limit_size");
    assert_string_equal(r.dead[0].reason, "http_413");
    assert_true(dead_has(0, "m1"));
    close_rig();
}

/* Scenario: a server that takes at most 1,000 series at once (about 50 kB), and bodies of 3,000; then of tiny ones.
 * Guarantees: the first is halved; later ones are cut so that nothing is refused; tiny limits are not believed.  */
static void later_requests_are_shorter(void **state)
{
    unsigned refused[2] = {0, 0};

    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 2; k++) {
        send_gauges(3000);
        for (unsigned i = 0; i < r.n_sent; i++) {
            bool too_many = body_of(&r.sent[i])->n_series > 1000;

            refused[k] += too_many;
            answer(i, too_many ? 413 : 204, NULL, "");
        }
        assert_int_equal(r.done, 1);
        assert_int_equal(r.n_dead, 0);
    }
    assert_in_range(refused[0], 1, 5);
    assert_int_equal(refused[1], 0);
    assert_non_null(strstr(r.log, "takes no longer requests"));
    send_gauges(4);
    answer(0, 413, NULL, "");
    for (unsigned i = 1; i < r.n_sent; i++)
        answer(i, 204, NULL, "");
    send_gauges(100);
    assert_int_equal(body_of(gw_rig_sent(&r, 0))->n_series, 100);
    answer(0, 204, NULL, "");
    close_rig();
}

/* Scenario: every other status, a redirect among them; 400 with a page of HTML, and one about the request itself.
 * Guarantees: the whole request is a dead letter after one try. */
static void all_other_refusals_are_for_good(void **state)
{
    static const int statuses[] = {301, 307, 308, 400, 401, 403, 404, 405, 409, 411, 415, 422};

    (void)state;
    open_rig(ONE);
    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char reason[16];

        send_gauges(5);
        answer(0, statuses[i], "location: http://elsewhere/\n", "<html>no sample</html>");
        assert_int_equal(r.n_sent, 1);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.n_dead, 1);
        assert_int_equal(r.dead[0].rows, 5);
        snprintf(reason, sizeof(reason), "http_%d", statuses[i]);
        assert_string_equal(r.dead[0].reason, reason);
    }
    send_gauges(5);
    answer(0, 400, NULL, "snappy: corrupt input");
    assert_int_equal(r.n_sent, 1);
    assert_int_equal(r.dead[0].rows, 5);
    close_rig();
}

/* Scenario: a server that wants nothing of 300 series, and one that wants every second of them.
 * Guarantees: the number of requests is bounded; every row is delivered or dead; the shard goes on. */
static void a_hunt_ends(void **state)
{
    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 2; k++) {
        unsigned written = 0;

        send_gauges(300);
        for (unsigned i = 0; i < r.n_sent; i++) {
            uint32_t n = body_of(&r.sent[i])->n_series;
            bool ok = k == 1 && n == 1 && (label_of(&sent_body, 0, "__name__").p[1] & 1);

            written += ok;
            answer(i, ok ? 204 : 400, NULL, "out of bounds");
        }
        assert_in_range(r.n_sent, 100, 400);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.n_dead, 1);
        assert_int_equal(r.dead[0].rows + written, 300);
    }
    send_gauges(1);
    answer(0, 204, NULL, "");
    assert_int_equal(r.done, 1);
    close_rig();
}

/* Scenario: a server that refuses everything, request after request; then a pause of 10 s.
 * Guarantees: after some hundreds of pieces in all a refused request is dead as a whole at once; later it is halved
 * again. */
static void a_server_that_refuses_all_is_not_flooded(void **state)
{
    unsigned n = 0;

    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 40; k++) {
        send_gauges(60);
        for (unsigned i = 0; i < r.n_sent; i++)
            answer(i, 400, NULL, "per-user series limit exceeded");
        assert_int_equal(r.done, 1);
        assert_int_equal(r.dead[0].rows, 60);
        n += r.n_sent;
    }
    assert_in_range(n, 1000, 2500);
    assert_int_equal(r.n_sent, 1);
    pass(&r, 10 * SECOND);
    send_gauges(60);
    for (unsigned i = 0; i < r.n_sent; i++)
        answer(i, 400, NULL, "per-user series limit exceeded");
    assert_in_range(r.n_sent, 50, 200);
    close_rig();
}

/* Scenario: retries are used up in the middle of a hunt.
 * Guarantees: what was written is not left; what was refused is dead; the rest is left. */
static void a_hunt_that_runs_out_of_tries_leaves_the_rest(void **state)
{
    (void)state;
    open_rig(ONE);
    r.most_failures = 1;
    send_gauges(4);
    answer(0, 400, NULL, "out of order sample"); /* m0 … m3 */
    assert_string_equal(metrics_of(gw_rig_sent(&r, 1)), "m0 m1");
    answer(1, 400, NULL, "out of order sample");
    assert_string_equal(metrics_of(gw_rig_sent(&r, 2)), "m0");
    answer(2, 400, NULL, "out of order sample"); /* dead */
    assert_string_equal(metrics_of(gw_rig_sent(&r, 3)), "m1");
    answer(3, 204, NULL, "");
    assert_string_equal(metrics_of(gw_rig_sent(&r, 4)), "m2 m3");
    answer(4, 503, NULL, "");
    pass(&r, SECOND);
    answer(5, 503, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OVER);
    assert_int_equal(r.info.left_rows, 2);
    assert_non_null(memmem(r.left, r.info.left.n, "m2", 2));
    assert_non_null(memmem(r.left, r.info.left.n, "m3", 2));
    assert_null(memmem(r.left, r.info.left.n, "m1", 2));
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(dead_has(0, "m0"));
    close_rig();
}

/* Scenario: a histogram, one row of several series; the first is refused, then the tries for the others are used up.
 * The same with all others written. Guarantees: the row is dead once, and not left as well. */
static void a_row_of_several_series_ends_once(void **state)
{
    (void)state;
    open_rig(ONE);
    r.most_failures = 1;
    put_json(&body, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[" RW_HISTOGRAM "]}]}]}");
    for (unsigned k = 0; k < 2; k++) {
        gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 1);
        assert_int_equal(body_of(gw_rig_sent(&r, 0))->n_series, 4);
        answer(0, 400, NULL, "out of order sample");
        answer(1, 400, NULL, "out of order sample");
        assert_int_equal(body_of(gw_rig_sent(&r, 2))->n_series, 1);
        answer(2, 400, NULL, "out of order sample");
        for (unsigned i = 3; i < r.n_sent; i++) {
            answer(i, k ? 503 : 204, NULL, "");
            pass(&r, SECOND);
        }
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.n_dead, 1);
        assert_int_equal(r.dead[0].rows, 1);
    }
    close_rig();
}

/* Scenario: only target_info of a resource is refused, by name and by halves.
 * Guarantees: it is left out; no point is a dead letter for it. */
static void a_refused_target_info_kills_no_point(void **state)
{
    (void)state;
    open_rig(ONE);
    for (unsigned k = 0; k < 2; k++) {
        gw_buf_reset(&body);
        for (unsigned i = 0; i < 6; i++)
            put_point(&body, i % 2 ? "a" : "b", 1000 + i, 1, false, "shop");
        gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 6);
        assert_true(has_metric(gw_rig_sent(&r, 0), "target_info"));
        (void)refuse_all_with(
            400, k ? "out of order sample" : "out of order sample for series {__name__=\"target_info\", job=\"shop\"}",
            BAD("target_info"));
        assert_int_equal(r.done, 1);
        assert_int_equal(r.info.sent, GW_SENT_OK);
        assert_int_equal(r.n_dead, 0);
        assert_non_null(strstr(r.log, "samples of no point of their own"));
    }
    close_rig();
}

/* Scenario: points of delta temporality among others, without `cumulative`.
 * Guarantees: they are one dead letter of class schema, with the reason; the others are sent. */
static void what_has_no_translation_is_a_dead_letter(void **state)
{
    (void)state;
    open_rig(ONE);
    gw_buf_reset(&body);
    put_gauges(&body, 0, 2, 1000);
    put_point(&body, "delta1", 1000, 1, true, NULL);
    put_point(&body, "delta2", 1000, 1, true, NULL);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 4);
    assert_string_equal(metrics_of(gw_rig_sent(&r, 0)), "m0 m1");
    answer(0, 204, NULL, "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 2);
    assert_string_equal(r.dead[0].class_, "schema");
    assert_non_null(strstr(r.dead[0].message, "delta"));
    assert_true(dead_has(0, "delta1"));
    assert_true(dead_has(0, "delta2"));

    gw_buf_reset(&body); /* nothing else: nothing is sent */
    put_point(&body, "delta1", 1000, 1, true, NULL);
    gw_rig_send(&r, GW_METRICS, gw_buf_slice(&body), 1);
    assert_int_equal(r.n_sent, 0);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.dead[0].rows, 1);
    close_rig();
}

/* ---- 2.0 ----------------------------------------------------------------------------------------------------------
 */

/* Scenario: a server of 1.0 only: it takes 2.0 with 204 and says nothing of what it has written; another answers 415.
 * A second attempt waits in the shard meanwhile.
 * Guarantees: the same points again as 1.0 at once, also what waits, and all later ones; one line in the log. */
static void a_server_of_1_0_gets_1_0(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct gw_attempt second;
        struct gw_buf more;
        uint64_t ms = 0;

        open_rig(ONE_V2);
        send_gauges(3);
        gw_buf_init(&more, 1 << 20);
        put_gauges(&more, 3, 2, 2000);
        second = r.a;
        second.body = gw_buf_slice(&more);
        second.rows = 2;
        r.component->exporter->send(r.self, &second);
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "X-Prometheus-Remote-Write-Version"), "2.0.0");
        answer(0, k ? 415 : 204, NULL, "");
        assert_int_equal(r.done, 0);
        assert_int_equal(r.n_sent, 2);
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 1), "X-Prometheus-Remote-Write-Version"), "0.1.0");
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 1), "Content-Type"), "application/x-protobuf");
        assert_string_equal(metrics_of(gw_rig_sent(&r, 1)), "m0 m1 m2");
        assert_float_equal(value_of(gw_rig_sent(&r, 1), "m2", &ms), 2, 0);
        assert_int_equal(ms, 1000);
        assert_true(gw_slice_is(label_of(body_of(gw_rig_sent(&r, 1)), 2, "k"), "m2"));
        answer(1, 204, NULL, "");
        assert_int_equal(r.done, 1);
        assert_string_equal(metrics_of(gw_rig_sent(&r, 2)), "m3 m4");
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 2), "X-Prometheus-Remote-Write-Version"), "0.1.0");
        answer(2, 204, NULL, "");
        assert_int_equal(r.done, 2);
        send_gauges(1);
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, 0), "X-Prometheus-Remote-Write-Version"), "0.1.0");
        answer(0, 204, NULL, "");
        assert_int_equal(r.done, 1);
        assert_non_null(strstr(r.log, "does not understand remote write 2.0"));
        gw_buf_clear(&more);
        close_rig();
    }
}

/* Scenario: 2.0 is refused because of a sample; a piece of it is taken without a Written header.
 * Guarantees: that piece again as 1.0, and the hunt goes on in 1.0. */
static void a_hunt_falls_back(void **state)
{
    (void)state;
    open_rig(ONE_V2);
    send_gauges(4);
    answer(0, 400, "x-prometheus-remote-write-samples-written: 0\n", "out of order sample");
    assert_string_equal(metrics_of(gw_rig_sent(&r, 1)), "m0 m1");
    assert_string_equal(gw_rig_header(gw_rig_sent(&r, 1), "X-Prometheus-Remote-Write-Version"), "2.0.0");
    answer(1, 204, NULL, "");
    assert_string_equal(metrics_of(gw_rig_sent(&r, 2)), "m0 m1");
    for (unsigned i = 2; i < r.n_sent; i++) {
        assert_string_equal(gw_rig_header(gw_rig_sent(&r, i), "X-Prometheus-Remote-Write-Version"), "0.1.0");
        answer(i, has_metric(&r.sent[i], "m3") ? 400 : 204, NULL, "out of order sample");
    }
    assert_int_equal(r.done, 1);
    assert_int_equal(r.n_dead, 1);
    assert_int_equal(r.dead[0].rows, 1);
    assert_true(dead_has(0, "m3"));
    close_rig();
}

/* Scenario: a success that has written 7 of 10 samples; then one that has written more than was sent.
 * Guarantees: three rows are rejected; the lie changes nothing. */
static void what_was_not_written_is_counted(void **state)
{
    (void)state;
    open_rig(ONE_V2);
    send_gauges(10);
    answer(0, 200, "x-prometheus-remote-write-samples-written: 7\n", "");
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.info.rejected_rows, 3);
    send_gauges(10);
    answer(0, 200, "x-prometheus-remote-write-samples-written: 70\n", "");
    assert_int_equal(r.info.rejected_rows, 0);
    send_gauges(10);
    answer(0, 200, "x-prometheus-remote-write-samples-written: 0\n", "");
    assert_int_equal(r.info.rejected_rows, 10);
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_sample_is_found_by_halves),
        cmocka_unit_test(a_named_series_is_taken_out),
        cmocka_unit_test(one_sample_of_a_series_is_found),
        cmocka_unit_test(a_partial_write_is_not_repeated),
        cmocka_unit_test(a_500_that_never_ends_is_bisected),
        cmocka_unit_test(other_500s_are_never_bisected),
        cmocka_unit_test(what_is_too_large_is_halved),
        cmocka_unit_test(later_requests_are_shorter),
        cmocka_unit_test(all_other_refusals_are_for_good),
        cmocka_unit_test(a_hunt_ends),
        cmocka_unit_test(a_server_that_refuses_all_is_not_flooded),
        cmocka_unit_test(a_hunt_that_runs_out_of_tries_leaves_the_rest),
        cmocka_unit_test(a_row_of_several_series_ends_once),
        cmocka_unit_test(a_refused_target_info_kills_no_point),
        cmocka_unit_test(what_has_no_translation_is_a_dead_letter),
        cmocka_unit_test(a_server_of_1_0_gets_1_0),
        cmocka_unit_test(a_hunt_falls_back),
        cmocka_unit_test(what_was_not_written_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
