/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exporters when memory runs out while they write a body: that is no mistake of the body's, which is neither too large
 * nor unfit, and is tried again.
 */
#include "tests/harness_exporter.h"

#include <errno.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/harness_disk.h"
#include "tests/harness_malloc.h"

enum { MOST = 300 }; /* allocations of one body, at the very most */

static const struct gw_limits limits = GW_LIMITS_DEFAULT;
static const char logs[] =
    "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":["
    "{\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}},{\"key\":\"b\",\"value\":"
    "{\"arrayValue\":{\"values\":[{\"stringValue\":\"text\"},{\"boolValue\":true}]}}}]}},"
    "\"attributes\":[{\"key\":\"k\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"doubleValue\":"
    "0.5}}]}}}]},{\"body\":{\"stringValue\":\"second\"}}]}]}]}";

static struct gw_buf request(void)
{
    struct gw_err err = {""};
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    if (gw_json_to_proto(GW_LOGS, gw_slice_cstr(logs), &limits, &b, &err) < 0)
        fail_msg("%s", err.text);
    return b;
}

/* What encode makes of the request, with the nth allocation failing; *ret_failed: it came to that. */
static int encode(struct gw_rig *r, struct gw_slice body, uint64_t nth, struct gw_buf *out, bool *ret_failed)
{
    struct gw_batch *b = gw_batch_new(GW_LOGS);
    struct gw_arena arena;
    struct gw_view v;
    struct gw_ref at;
    int rc;

    gw_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(gw_batch_append(b, body, &at), 0);
    assert_int_equal(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL), 0);
    gw_view_init(&v, b, &arena);
    gw_buf_init(out, 1 << 26);
    gw_malloc_fail_at(nth);
    rc = r->component->exporter->encode(r->self, &v, out);
    *ret_failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    gw_view_clear(&v);
    (void)gw_batch_unref(b);
    gw_arena_clear(&arena);
    return rc;
}

/* Scenario: debug, each verbosity, each allocation of encode fails once.
 * Guarantees: -ENOMEM and nothing else; no text that leaves out what there was no memory for. */
static void debug_says_that_it_is_memory(void **state)
{
    static const char *const yaml[] = {"{verbosity: basic}", "{verbosity: normal}", "{verbosity: detailed}"};
    struct gw_buf body = request(), whole, out;
    struct gw_rig r;
    bool failed;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t nth = 1;

        gw_rig_open(&r, "debug", yaml[i]);
        assert_int_equal(encode(&r, gw_buf_slice(&body), 0, &whole, &failed), 0);
        for (;; nth++) {
            int rc = encode(&r, gw_buf_slice(&body), nth, &out, &failed);

            assert_int_equal(rc, failed ? -ENOMEM : 0);
            if (!failed)
                break;
            gw_buf_clear(&out);
            assert_true(nth < MOST);
        }
        assert_true(nth > 2);
        assert_int_equal(out.n, whole.n);
        gw_buf_clear(&out);
        gw_buf_clear(&whole);
        gw_rig_close(&r);
    }
    gw_buf_clear(&body);
}

static ssize_t (*writev_of)(struct gw_file *file, const struct iovec *iov, int n_iov);

/* The test's disk is in memory: its own allocations do not fail. */
static ssize_t write_paused(struct gw_file *file, const struct iovec *iov, int n_iov)
{
    ssize_t n;

    gw_malloc_pause(1);
    n = writev_of(file, iov, n_iov);
    gw_malloc_pause(-1);
    return n;
}

static void start(struct gw_rig *r, struct gw_disk *disk, const char *type, const char *yaml)
{
    struct gw_env_ops *ops;

    if (gw_rig_configure(r, type, yaml) < 0)
        fail_msg("%s", r->said);
    ops = gw_env_real_ops(r->env);
    gw_disk_init(disk, r->env, ops);
    writev_of = ops->file_writev;
    ops->file_writev = write_paused;
    if (gw_rig_start(r) < 0)
        fail_msg("%s", r->err.text);
}

/* One attempt, with the nth allocation failing. False: there were not so many. */
static bool attempt(struct gw_rig *r, struct gw_slice body, uint64_t nth)
{
    bool failed;

    gw_malloc_fail_at(nth);
    gw_rig_send(r, GW_LOGS, body, 2);
    failed = gw_malloc_failed();
    gw_malloc_fail_at(0);
    if (failed && r->done && r->info.sent != GW_SENT_OK)
        assert_int_equal(r->info.sent, GW_SENT_RETRY);
    assert_int_equal(r->n_dead, 0);
    return failed;
}

/* Scenario: file in each format, and otlp_http in each compression; each allocation of an attempt fails once.
 * Guarantees: what is not sent is tried again, as it is. */
static void others_try_again(void **state)
{
    static const char *const cases[][2] = {
        {"file", "{path: f}"},
        {"file", "{path: f, format: proto}"},
        {"file", "{path: f, format: proto, compression: zstd}"},
        {"otlp_http", "{endpoint: 'http://c', encoding: json, compression: none}"},
        {"otlp_http", "{endpoint: 'http://c', compression: gzip}"},
        {"otlp_http", "{endpoint: 'http://c', compression: zstd}"},
        {"otlp_http", "{endpoint: 'http://c', compression: x-snappy-framed}"},
        {"otlp_http", "{endpoint: 'http://c', compression: lz4}"},
    };
    struct gw_buf body = request();
    static struct gw_disk disk;
    unsigned n_failed = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool more = true;

        for (uint64_t nth = 1; more; nth++) {
            struct gw_rig r;

            start(&r, &disk, cases[i][0], cases[i][1]);
            more = attempt(&r, gw_buf_slice(&body), nth);
            n_failed += more;
            for (unsigned k = 0; k < r.n_sent && !r.done; k++)
                gw_rig_http(&r, k, 200, NULL, GW_SLICE(""));
            gw_rig_close(&r);
            gw_disk_clear(&disk);
            assert_true(nth < MOST);
        }
    }
    assert_true(n_failed > 10);
    gw_buf_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_says_that_it_is_memory),
        cmocka_unit_test(others_try_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
