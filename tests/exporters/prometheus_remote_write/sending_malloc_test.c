/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations of the whole exporter: none per row once it is warm, and no harm when one of them fails. */
#include "tests/exporters/prometheus_remote_write/server_rig.h"
#include "tests/harness_malloc.h"

#include "core/env.h"

/* A client that allocates nothing. */
static struct gw_http_request *waiting[256];
static unsigned n_waiting;

static void client_send(struct gw_http_client *c, struct gw_http_request *rq)
{
    (void)c;
    assert_in_range(n_waiting, 0, 255);
    waiting[n_waiting++] = rq;
}

static void client_cancel(struct gw_http_client *c, struct gw_http_request *rq)
{
    (void)c, (void)rq;
}

static void client_free(struct gw_http_client *c)
{
    (void)c;
}

static const struct gw_http_client_ops client_ops = {client_send, client_cancel, client_free};
static struct gw_http_client client = {&client_ops};

static int client_new(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                      struct gw_http_client **ret, struct gw_err *err)
{
    (void)env, (void)loop, (void)conf, (void)err;
    *ret = &client;
    return 0;
}

static struct gw_attempt attempt;
static unsigned n_done;
static uint32_t dead_rows, left_rows;

static void on_done(struct gw_attempt *a, const struct gw_sent_info *info)
{
    n_done++;
    left_rows = info->sent == GW_SENT_OK ? 0 : info->left.n ? info->left_rows : a->rows;
}

static void on_dead(struct gw_attempt *a, const struct gw_death *d)
{
    dead_rows += d->rows;
    a->rows -= d->rows;
}

static bool on_again(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret_pause_ns)
{
    (void)a, (void)info;
    *ret_pause_ns = 1000000;
    t->over = "retry_exhausted";
    return ++t->failures < 3;
}

static void open_with_client(const char *yaml)
{
    assert_int_equal(gw_rig_configure(&r, "prometheus_remote_write", yaml), 0);
    gw_env_real_ops(r.env)->http_client_new = client_new;
    assert_int_equal(gw_rig_start(&r), 0);
}

/* Without an allocation of its own. */
static bool holds(struct gw_slice packed, const char *metric)
{
    static uint8_t room[1 << 16];
    struct gw_buf plain = {.p = room, .cap = sizeof(room), .max_bytes = sizeof(room)};

    assert_int_equal(gw_decompress(GW_SNAPPY, packed, &plain, NULL), 0);
    return memmem(plain.p, plain.n, metric, strlen(metric)) != NULL;
}

static bool is_2(const struct gw_http_request *rq)
{
    for (unsigned i = 0; i < rq->n_headers; i++)
        if (gw_slice_is(rq->headers[i].name, "X-Prometheus-Remote-Write-Version"))
            return gw_slice_is(rq->headers[i].value, "2.0.0");
    return false;
}

/* A server that knows 1.0 alone and refuses m3 and m7, until nothing waits. */
static void answer_all(bool refuse)
{
    n_waiting = 0;
    r.component->exporter->send(r.self, &attempt);
    while (n_done == 0) {
        if (n_waiting) {
            struct gw_http_request *rq = waiting[--n_waiting];
            struct gw_header written = {GW_SLICE("x-prometheus-remote-write-samples-written"), GW_SLICE("5000")};
            struct gw_http_response rs = {.status = 204, .headers = &written, .n_headers = !refuse};

            if (refuse && !is_2(rq) && (holds(rq->body, "m3") || holds(rq->body, "m7")))
                rs = (struct gw_http_response){.status = 400, .body = GW_SLICE("out of order sample")};
            rq->done(rq, &rs);
        } else {
            pass(&r, 1000000);
        }
    }
}

static void start(uint32_t rows)
{
    n_done = 0;
    dead_rows = left_rows = 0;
    attempt = (struct gw_attempt){.signal = GW_METRICS,
                                  .body = gw_buf_slice(&body),
                                  .rows = rows,
                                  .number = 1,
                                  .timeout_ns = 1000000000,
                                  .done = on_done,
                                  .dead = on_dead,
                                  .again = on_again};
}

/* Scenario: bodies of 100 and of 2,000 points of known series, over five shards, 1.0 and 2.0; the first of each warms
 * up.
 * Guarantees: as many allocations for the one as for the other. */
static void a_row_takes_no_allocation(void **state)
{
    static const char *const yaml[] = {"{endpoint: http://p/w}",
                                       "{endpoint: http://p/w, protobuf_message: io.prometheus.write.v2.Request}"};

    (void)state;
    for (unsigned v = 0; v < 2; v++) {
        uint64_t counts[2];

        open_with_client(yaml[v]);
        for (unsigned k = 0; k < 2; k++) {
            unsigned n = k ? 2000 : 100;

            gw_buf_init(&body, 64 << 20);
            put_gauges(&body, 0, n, 1000);
            for (unsigned i = 0; i < 4; i++) {
                uint64_t before;

                start(n);
                before = gw_malloc_count();
                answer_all(false);
                counts[k] = gw_malloc_count() - before;
            }
            assert_int_equal(left_rows, 0);
            gw_buf_clear(&body);
        }
        assert_in_range(counts[0], 0, 10);
        assert_int_equal(counts[1], counts[0]);
        gw_rig_close(&r);
    }
}

static void fail_every_allocation(const char *yaml, unsigned most)
{
    for (unsigned n = 1; n <= most; n++) {
        open_with_client(yaml);
        start(11);
        gw_malloc_fail_at(n);
        answer_all(true);
        gw_malloc_fail_at(0);
        assert_int_equal(n_done, 1);
        assert_in_range(dead_rows + left_rows, 1, 11);
        start(11);
        answer_all(true);
        assert_int_equal(n_done, 1);
        assert_int_equal(dead_rows, 3);
        assert_int_equal(left_rows, 0);
        gw_rig_close(&r);
    }
}

/* Scenario: ten points of which two are refused, and a delta; 1.0, and 2.0 before a server that does not know it; the
 * 1st, 2nd, 3rd … allocation on the way fails.
 * Guarantees: the attempt is done once, and no more rows than there are end as dead or left; the next one passes. */
static void a_failed_allocation_does_no_harm(void **state)
{
    (void)state;
    gw_buf_init(&body, 1 << 20);
    put_gauges(&body, 0, 10, 1000);
    put_point(&body, "delta", 1000, 1, true, NULL);
    fail_every_allocation("{endpoint: http://p/w, max_batch_request_parallelism: 2}", 400);
    fail_every_allocation("{endpoint: http://p/w, max_batch_request_parallelism: 1, "
                          "protobuf_message: io.prometheus.write.v2.Request}",
                          400);
    gw_buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_takes_no_allocation),
        cmocka_unit_test(a_failed_allocation_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
