/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/HTTP and the settings; gRPC is in otlp/grpc_test.c. Bytes by hand; protobuf-c reads the answers. */
#include <sys/stat.h>
#include <sys/un.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "tests/receivers/otlp/rig.h"

#define HTTP "{protocols: {http: {endpoint: '127.0.0.1:0'}}}"
#define PB   "Content-Type: application/x-protobuf\r\n"
#define JS   "Content-Type: application/json\r\n"

/* ---- a client --------------------------------------------------------------------------------------------- */

struct answer {
    int status;
    struct gw_buf raw;
    struct gw_slice head, body;
    bool closed;
};

static bool answer_parse(struct answer *a)
{
    const uint8_t *end, *cl;
    size_t n = 0;

    if (a->raw.n == 0 || !(end = memmem(a->raw.p, a->raw.n, "\r\n\r\n", 4)))
        return false;
    a->head = gw_slice_of(a->raw.p, (size_t)(end - a->raw.p) + 2);
    a->body = gw_slice_of(end + 4, a->raw.n - a->head.n - 2);
    a->status = atoi((const char *)a->raw.p + 9);
    cl = memmem(a->head.p, a->head.n, "content-length: ", 16);
    if (cl)
        n = strtoul((const char *)cl + 16, NULL, 10);
    return a->body.n >= n;
}

static bool has(const struct answer *a, const char *line)
{
    return memmem(a->head.p, a->head.n, line, strlen(line)) != NULL;
}

static void receive(struct rig *r, int fd, struct answer *a)
{
    *a = (struct answer){0};
    gw_buf_init(&a->raw, 1 << 20);
    for (int i = 0; i < 500 && !a->closed && !answer_parse(a); i++) {
        uint8_t piece[16384];
        ssize_t n;

        rig_turn(r, 1);
        n = recv(fd, piece, sizeof(piece), 0);
        if (n > 0)
            gw_buf_put(&a->raw, piece, (size_t)n);
        a->closed = n == 0 || (n < 0 && errno != EAGAIN);
    }
    (void)answer_parse(a);
}

static void request(struct rig *r, int fd, const char *method, const char *path, const char *headers,
                    struct gw_slice body, struct answer *a)
{
    struct gw_buf b;

    gw_buf_init(&b, 128 << 20);
    gw_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: gw\r\n%sContent-Length: %zu\r\n\r\n", method, path, headers, body.n);
    gw_buf_put_slice(&b, body);
    rig_send(r, fd, gw_buf_slice(&b));
    gw_buf_clear(&b);
    receive(r, fd, a);
}

/* One request on a connection of its own. */
static int ask(struct rig *r, const char *method, const char *path, const char *headers, struct gw_slice body,
               struct answer *a)
{
    int fd = rig_connect(r, false);

    request(r, fd, method, path, headers, body, a);
    (void)close(fd);
    rig_turn(r, 2);
    return a->status;
}

static uint8_t *bytes(size_t n)
{
    uint8_t *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 7 % 251 ^ i / 1000);
    return p;
}

/* ---- cases ------------------------------------------------------------------------------------------------ */

/* Scenario: each signal, both encodings, short and long, in one piece. Guarantees: signal, encoding and bytes reach the
 * door; a long body comes in a payload and was reserved with its head; the answer is in the request's encoding. */
static void requests_of_every_signal_come_in(void **state)
{
    static const struct {
        const char *path;
        enum gw_signal signal;
    } t[] = {{"/v1/traces", GW_TRACES}, {"/v1/metrics", GW_METRICS}, {"/v1/logs", GW_LOGS}};
    static const size_t sizes[] = {0, 1, 16383, 16384, 300000, 3000000};
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, HTTP, NULL);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 6; k++)
            for (int json = 0; json < 2; json++) {
                uint8_t *p = bytes(sizes[k]);

                assert_int_equal(ask(&r, "POST", t[i].path, json ? JS : PB, gw_slice_of(p, sizes[k]), &a), 200);
                assert_int_equal(r.signal, t[i].signal);
                assert_int_equal(r.encoding, json ? GW_ENC_JSON : GW_ENC_PROTO);
                assert_int_equal(r.body.n, sizes[k]);
                if (sizes[k])
                    assert_memory_equal(r.body.p, p, sizes[k]);
                assert_int_equal(r.in_payload, sizes[k] >= 16384);
                assert_int_equal(r.admitted_bytes, sizes[k]);
                assert_true(
                    has(&a, json ? "content-type: application/json\r\n" : "content-type: application/x-protobuf\r\n"));
                if (json)
                    assert_true(gw_slice_is(a.body, "{}"));
                else
                    assert_int_equal(a.body.n, 0);
                gw_buf_clear(&a.raw);
                free(p);
            }
    rig_close(&r);
}

static uint8_t *pack(enum gw_codec c, const uint8_t *p, size_t n, size_t *ret_n)
{
    struct gw_buf b;

    gw_buf_init(&b, 128 << 20);
    assert_int_equal(gw_compress(c, 0, gw_slice_of(p, n), &b, NULL), 0);
    return gw_buf_take(&b, ret_n);
}

/* Scenario: every content encoding, bodies that become short and long. Guarantees: the door gets them decompressed,
 * long ones in a payload, and their room was asked for before it was used. */
static void encodings_are_undone(void **state)
{
    static const struct {
        const char *name;
        enum gw_codec c;
    } t[] = {{"gzip", GW_GZIP},
             {"deflate", GW_ZLIB},
             {"zlib", GW_ZLIB},
             {"zstd", GW_ZSTD},
             {"snappy", GW_SNAPPY},
             {"x-snappy-framed", GW_SNAPPY_FRAMED},
             {"snappy", GW_SNAPPY_FRAMED},
             {"lz4", GW_LZ4},
             {"identity", GW_IDENTITY}};
    static const size_t sizes[] = {0, 100, 16384, 700000};
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, HTTP, NULL);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        for (size_t k = 0; k < 4; k++) {
            uint8_t *p = bytes(sizes[k] + 1), *z;
            char headers[128];
            size_t n;

            z = pack(t[i].c, p, sizes[k], &n);
            (void)snprintf(headers, sizeof(headers), PB "Content-Encoding: %s\r\n", t[i].name);
            r.grown_bytes = 0;
            assert_int_equal(ask(&r, "POST", "/v1/traces", headers, gw_slice_of(z, n), &a), 200);
            assert_int_equal(r.body.n, sizes[k]);
            if (sizes[k])
                assert_memory_equal(r.body.p, p, sizes[k]);
            if (t[i].c != GW_IDENTITY && sizes[k] > 16384)
                assert_true(r.in_payload && r.grown_bytes >= sizes[k]);
            gw_buf_clear(&a.raw);
            free(z);
            free(p);
        }
    rig_close(&r);
}

/* Scenario: the table of mistakes that a head or a body shows. Guarantees: each status, its body and its type; the door
 * hears of none of those that the head gives away. */
static void mistakes_have_their_status(void **state)
{
    static const struct {
        const char *method, *path, *headers, *body;
        int status;
        const char *type, *text;
    } t[] = {
        {"GET", "/v1/traces", PB, "", 405, "text/plain\r\n", "405 method not allowed, supported: [POST]"},
        {"PUT", "/v1/traces", PB, "", 405, "text/plain\r\n", "405 method not allowed, supported: [POST]"},
        {"OPTIONS", "/v1/traces", PB, "", 405, "text/plain\r\n", "405"},
        {"POST", "/v1/nothing", PB, "", 404, "text/plain; charset=utf-8\r\n", "404 page not found\n"},
        {"POST", "/", PB, "", 404, "text/plain; charset=utf-8\r\n", "404"},
        {"POST", "/v1/traces/", PB, "", 404, "text/plain; charset=utf-8\r\n", "404"},
        {"POST", "/v1development/profiles", PB, "", 404, "text/plain; charset=utf-8\r\n", "404"},
        {"POST", "/v1/traces", "Content-Type: text/plain\r\n", "x", 415, "text/plain\r\n",
         "415 unsupported media type, supported: [application/json, application/x-protobuf]"},
        {"POST", "/v1/traces", "", "x", 415, "text/plain\r\n", "415"},
        {"POST", "/v1/traces", JS "Content-Encoding: br\r\n", "x", 400, "application/json\r\n",
         "{\"code\":3,\"message\":\"unsupported Content-Encoding: "
         "br\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc."
         "BadRequest\",\"fieldViolations\":[{\"field\":\"body\",\"description\":\"unsupported Content-Encoding: "
         "br\"}]}]}"},
        {"POST", "/v1/traces", JS "Content-Encoding: gzip, gzip\r\n", "x", 400, "application/json\r\n", "unsupported"},
        {"POST", "/v1/traces", JS "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", "x", 400,
         "application/json\r\n", "unsupported"},
        {"POST", "/v1/traces", JS "Content-Encoding: gzip\r\n", "no gzip", 400, "application/json\r\n",
         "gzip body is damaged"},
        {"POST", "/v1/traces", PB "Content-Encoding: zstd\r\n", "no zstd", 400, "application/x-protobuf\r\n",
         "zstd body"},
        {"POST", "/v1/traces", "Content-Type: Application/JSON ; charset=utf-8\r\n", "{}", 200, "application/json\r\n",
         "{}"},
        {"POST", "/v1/traces?x=y", JS, "{}", 200, "application/json\r\n", "{}"},
    };
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, HTTP, NULL);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char type[80];

        r.submits = 0;
        if (ask(&r, t[i].method, t[i].path, t[i].headers, gw_slice_cstr(t[i].body), &a) != t[i].status)
            print_error("case %zu: %d\n", i, a.status);
        assert_int_equal(a.status, t[i].status);
        (void)snprintf(type, sizeof(type), "content-type: %s", t[i].type);
        assert_true(has(&a, type));
        assert_non_null(memmem(a.body.p, a.body.n, t[i].text, strlen(t[i].text)));
        assert_int_equal(r.submits, t[i].status == 200);
        gw_buf_clear(&a.raw);
    }
    rig_close(&r);
}

/* Scenario: no pipeline for a signal. Guarantees: its path is not there. */
static void signals_without_a_pipeline_are_404(void **state)
{
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, HTTP, NULL);
    r.intake.signals = GW_LOGS;
    assert_int_equal(ask(&r, "POST", "/v1/traces", PB, GW_SLICE(""), &a), 404);
    gw_buf_clear(&a.raw);
    assert_int_equal(ask(&r, "POST", "/v1/logs", PB, GW_SLICE(""), &a), 200);
    gw_buf_clear(&a.raw);
    rig_close(&r);
}

/* Scenario: over the limit: told by Content-Length, found while chunks come, found while decompressing, a bomb.
 * Guarantees: 413 with a Status and no Retry-After; told by its head it is refused before the body is read. */
static void bodies_over_the_limit_are_413(void **state)
{
    struct rig r;
    struct answer a;
    uint8_t *p = calloc(1, 100000), *z;
    size_t n;
    int fd;

    (void)state;
    rig_open(&r, "{protocols: {http: {endpoint: '127.0.0.1:0', max_request_body_size: 50000}}}", NULL);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" JS "Content-Length: 50001\r\n\r\n"));
    receive(&r, fd, &a); /* not a byte of the body was sent */
    assert_int_equal(a.status, 413);
    assert_false(has(&a, "retry-after"));
    assert_non_null(memmem(a.body.p, a.body.n, "{\"code\":8,\"message\":\"request is larger", 37));
    gw_buf_clear(&a.raw);
    (void)close(fd);
    assert_int_equal(r.admits, 0);
    assert_int_equal(ask(&r, "POST", "/v1/traces", PB, gw_slice_of(p, 50000), &a), 200);
    gw_buf_clear(&a.raw);

    fd = rig_connect(&r, false);
    rig_send(&r, fd,
             gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Transfer-Encoding: chunked\r\n\r\nc351\r\n"));
    rig_send(&r, fd, gw_slice_of(p, 50001));
    receive(&r, fd, &a);
    assert_int_equal(a.status, 413);
    gw_buf_clear(&a.raw);
    (void)close(fd);

    for (int i = 0; i < 2; i++) {
        z = pack(GW_GZIP, p, i ? 50001 : 50000, &n);
        assert_int_equal(ask(&r, "POST", "/v1/traces", PB "Content-Encoding: gzip\r\n", gw_slice_of(z, n), &a),
                         i ? 413 : 200);
        gw_buf_clear(&a.raw);
        free(z);
    }
    rig_close(&r);

    rig_open(&r, HTTP, NULL); /* 64 MiB: here the ratio stops it */
    free(p);
    p = calloc(1, 60u << 20);
    z = pack(GW_GZIP, p, 60u << 20, &n);
    assert_int_equal(ask(&r, "POST", "/v1/traces", PB "Content-Encoding: gzip\r\n", gw_slice_of(z, n), &a), 413);
    gw_buf_clear(&a.raw);
    assert_true(r.grown_bytes <= 201 * n);
    free(z);
    free(p);
    rig_close(&r);
}

/* Scenario: chunked bodies as the JavaScript SDK sends them, with every piece in a write of its own. Guarantees: the
 * body arrives whole; room is asked for as it grows. */
static void chunked_bodies_come_in(void **state)
{
    struct rig r;
    struct answer a;
    uint8_t *p = bytes(200000);
    int fd;

    (void)state;
    rig_open(&r, HTTP, NULL);
    fd = rig_connect(&r, false);
    for (size_t size = 10; size <= 20000; size *= 2000) {
        size_t total = size == 10 ? 1000 : 200000;

        rig_send(&r, fd,
                 gw_slice_cstr("POST /v1/logs HTTP/1.1\r\nHost: h\r\n" PB "Transfer-Encoding: chunked\r\n\r\n"));
        for (size_t at = 0; at < total; at += size) {
            char line[32];

            (void)snprintf(line, sizeof(line), "%zx\r\n", size);
            rig_send(&r, fd, gw_slice_cstr(line));
            rig_send(&r, fd, gw_slice_of(p + at, size));
            rig_send(&r, fd, GW_SLICE("\r\n"));
        }
        rig_send(&r, fd, GW_SLICE("0\r\n\r\n"));
        receive(&r, fd, &a);
        assert_int_equal(a.status, 200);
        assert_int_equal(r.admitted_bytes, 0);
        assert_true(r.grown_bytes >= total);
        assert_int_equal(r.body.n, total);
        assert_memory_equal(r.body.p, p, total);
        gw_buf_clear(&a.raw);
    }
    (void)close(fd);
    free(p);
    rig_close(&r);
}

/* Scenario: verdicts of every kind. Guarantees: HTTP status, Status code, Retry-After rounded up and at least 1, only
 * where a retry helps; partial success with its count under the signal's own name. */
static void verdicts_become_answers(void **state)
{
    static const struct {
        struct gw_verdict v;
        int status;
        const char *header, *body;
    } t[] = {
        {{.message = ""}, 200, "content-type", "{}"},
        {{.rejected = 3, .message = "bad \"id\"\n"},
         200,
         "content-type",
         "{\"partialSuccess\":{\"rejectedLogRecords\":\"3\",\"errorMessage\":\"bad \\\"id\\\"\\u000a\"}}"},
        {{.message = "a warning"},
         200,
         "content-type",
         "{\"partialSuccess\":{\"rejectedLogRecords\":\"0\",\"errorMessage\":\"a warning\"}}"},
        {{.grpc_status = 14, .retry_after_ns = 1500000000, .message = "full"},
         503,
         "retry-after: 2\r\n",
         "{\"code\":14,\"message\":\"full\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
         "\"retryDelay\":\"1.500000000s\"}]}"},
        {{.grpc_status = 14, .retry_after_ns = 1000, .message = "full"}, 503, "retry-after: 1\r\n", "\"code\":14"},
        {{.grpc_status = 14, .message = "full"}, 503, "retry-after: 1\r\n", "\"retryDelay\":\"1s\""},
        {{.grpc_status = 8, .message = "quota"}, 429, "", "{\"code\":8,\"message\":\"quota\"}"},
        {{.grpc_status = 8, .too_large = true, .message = "big"}, 413, "", "{\"code\":8,\"message\":\"big\"}"},
        {{.grpc_status = 3, .message = "at byte 5"}, 400, "", "\"description\":\"at byte 5\""},
        {{.grpc_status = 13, .message = "x"}, 500, "", "{\"code\":13,\"message\":\"x\"}"},
        {{.grpc_status = 7, .message = "x"}, 403, "", "\"code\":7"},
        {{.grpc_status = 12, .message = "x"}, 404, "", "\"code\":12"},
        {{.grpc_status = 4, .message = "\xff\xc3\xa4\xe2\x82"}, 503, "", "\"message\":\"?\xc3\xa4??\""},
    };
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, HTTP, NULL);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        r.verdict = t[i].v;
        if (ask(&r, "POST", "/v1/logs", JS, GW_SLICE("{}"), &a) != t[i].status ||
            !memmem(a.body.p, a.body.n, t[i].body, strlen(t[i].body)))
            print_error("case %zu: %d %.*s\n", i, a.status, (int)a.body.n, a.body.p);
        assert_int_equal(a.status, t[i].status);
        assert_non_null(memmem(a.body.p, a.body.n, t[i].body, strlen(t[i].body)));
        assert_true(has(&a, t[i].header));
        if (t[i].v.grpc_status != 14)
            assert_false(has(&a, "retry-after"));
        gw_buf_clear(&a.raw);
    }
    rig_close(&r);
}

/* Scenario: the same as protobuf. Guarantees: protobuf-c reads Status, RetryInfo, BadRequest and partial success. */
static void answers_are_good_protobuf(void **state)
{
    struct rig r;
    struct answer a;
    Google__Rpc__Status *st;
    Google__Rpc__RetryInfo *ri;
    Google__Rpc__BadRequest *br;
    Opentelemetry__Proto__Collector__Logs__V1__ExportLogsServiceResponse *ok;

    (void)state;
    rig_open(&r, HTTP, NULL);
    r.verdict = (struct gw_verdict){.grpc_status = 14, .retry_after_ns = 2500000000u, .message = "later"};
    assert_int_equal(ask(&r, "POST", "/v1/logs", PB, GW_SLICE(""), &a), 503);
    st = google__rpc__status__unpack(NULL, a.body.n, a.body.p);
    assert_non_null(st);
    assert_int_equal(st->code, 14);
    assert_string_equal(st->message, "later");
    assert_int_equal(st->n_details, 1);
    assert_string_equal(st->details[0]->type_url, "type.googleapis.com/google.rpc.RetryInfo");
    ri = google__rpc__retry_info__unpack(NULL, st->details[0]->value.len, st->details[0]->value.data);
    assert_int_equal(ri->retry_delay->seconds, 2);
    assert_int_equal(ri->retry_delay->nanos, 500000000);
    google__rpc__retry_info__free_unpacked(ri, NULL);
    google__rpc__status__free_unpacked(st, NULL);
    gw_buf_clear(&a.raw);

    r.how = REFUSE_SUBMIT;
    r.verdict = (struct gw_verdict){.grpc_status = 3, .message = "wire type"};
    assert_int_equal(ask(&r, "POST", "/v1/logs", PB, GW_SLICE("x"), &a), 400);
    st = google__rpc__status__unpack(NULL, a.body.n, a.body.p);
    br = google__rpc__bad_request__unpack(NULL, st->details[0]->value.len, st->details[0]->value.data);
    assert_string_equal(br->field_violations[0]->description, "wire type");
    google__rpc__bad_request__free_unpacked(br, NULL);
    google__rpc__status__free_unpacked(st, NULL);
    gw_buf_clear(&a.raw);

    r.how = AT_ONCE;
    r.verdict = (struct gw_verdict){.rejected = 300, .message = "some"};
    assert_int_equal(ask(&r, "POST", "/v1/logs", PB, GW_SLICE(""), &a), 200);
    ok = opentelemetry__proto__collector__logs__v1__export_logs_service_response__unpack(NULL, a.body.n, a.body.p);
    assert_int_equal(ok->partial_success->rejected_log_records, 300);
    assert_string_equal(ok->partial_success->error_message, "some");
    opentelemetry__proto__collector__logs__v1__export_logs_service_response__free_unpacked(ok, NULL);
    gw_buf_clear(&a.raw);
    rig_close(&r);
}

/* Scenario: no room, known at the head, while it grows, at the end. Guarantees: 503 with a delay; with the head alone
 * the body is not waited for; each reservation is given back (rig_close looks); every refusal is counted. */
static void overload_is_refused_at_the_door(void **state)
{
    static const enum how hows[] = {REFUSE_ADMIT, REFUSE_GROW, REFUSE_SUBMIT};
    struct rig r;
    struct answer a;
    int fd;

    (void)state;
    rig_open(&r, HTTP, NULL);
    r.verdict = (struct gw_verdict){.grpc_status = 14, .retry_after_ns = 3000000000u, .message = "no room"};
    for (size_t i = 0; i < 3; i++) {
        r.how = hows[i];
        fd = rig_connect(&r, false);
        rig_send(&r, fd,
                 gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Transfer-Encoding: chunked\r\n\r\n"));
        if (r.how != REFUSE_ADMIT)
            rig_send(&r, fd, GW_SLICE("3\r\nabc\r\n"));
        if (r.how == REFUSE_SUBMIT)
            rig_send(&r, fd, GW_SLICE("0\r\n\r\n"));
        receive(&r, fd, &a);
        assert_int_equal(a.status, 503);
        assert_true(has(&a, "retry-after: 3\r\n"));
        gw_buf_clear(&a.raw);
        (void)close(fd);
        rig_turn(&r, 3);
    }
    fd = rig_connect(&r, false); /* and nobody is asked to send a body that is not wanted */
    r.how = REFUSE_ADMIT;
    rig_send(&r, fd,
             gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB
                           "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"));
    receive(&r, fd, &a);
    assert_int_equal(a.status, 503);
    assert_true(has(&a, "connection: close\r\n"));
    gw_buf_clear(&a.raw);
    (void)close(fd);
    assert_int_equal(rig_requests(&r, false, GW_OTLP_REFUSED), 4);
    assert_int_equal(rig_requests(&r, false, GW_OTLP_SUCCESS), 0);
    r.how = AT_ONCE;
    r.verdict = (struct gw_verdict){.message = ""};
    assert_int_equal(ask(&r, "POST", "/v1/traces", PB, GW_SLICE(""), &a), 200);
    gw_buf_clear(&a.raw);
    assert_int_equal(rig_requests(&r, false, GW_OTLP_SUCCESS), 1);
    assert_int_equal(rig_requests(&r, false, GW_OTLP_FAILURE), 0);
    rig_close(&r);
}

/* Scenario: clients that go: in mid-body, before the verdict; a verdict for one that is gone, or comes late.
 * Guarantees: reservations are given back, a late verdict answers who is still there and nobody else. */
static void clients_may_go_at_any_time(void **state)
{
    struct rig r;
    struct answer a;
    struct gw_ack old;
    int fd;

    (void)state;
    rig_open(&r, HTTP, NULL);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 100000\r\n\r\nabc"));
    rig_turn(&r, 3);
    assert_int_equal(r.open_holds, 1);
    (void)close(fd);
    rig_turn(&r, 5);
    assert_int_equal(r.open_holds, 0);

    r.how = LATER;
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 3\r\n\r\nabc"));
    rig_turn(&r, 3);
    assert_int_equal(r.submits, 1);
    old = r.ack;
    (void)close(fd);
    rig_turn(&r, 5);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 3\r\n\r\nabc"));
    rig_turn(&r, 3);
    assert_int_equal(r.submits, 2);
    r.intake.on_verdict(r.intake.local, &old, &(struct gw_verdict){.grpc_status = 13, .message = "not yours"});
    r.intake.on_verdict(r.intake.local, &r.ack, &(struct gw_verdict){.message = ""});
    r.intake.on_verdict(r.intake.local, &r.ack, &(struct gw_verdict){.grpc_status = 13, .message = "twice"});
    receive(&r, fd, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 0);
    gw_buf_clear(&a.raw);
    (void)close(fd);
    rig_close(&r);
}

/* Scenario: metadata with and without include_metadata, and tenants. Guarantees: peer and transport always; all headers
 * only when asked for; equal requests share one meta, different ones do not; tenant from header or default. */
static void origins_travel_with_the_request(void **state)
{
    struct rig r;
    struct answer a;
    struct gw_slice v;
    struct gw_meta *first;
    int fd;

    (void)state;
    rig_open(&r, HTTP, NULL);
    fd = rig_connect(&r, false);
    request(&r, fd, "POST", "/v1/traces", PB "X-A: 1\r\n", GW_SLICE(""), &a);
    gw_buf_clear(&a.raw);
    assert_string_equal(r.meta->transport, "http");
    assert_int_equal(r.meta->n_pairs, 0);
    assert_true(r.meta->peer.n > 10 && memcmp(r.meta->peer.p, "127.0.0.1:", 10) == 0);
    first = gw_meta_ref(r.meta);
    request(&r, fd, "POST", "/v1/logs", PB "X-A: 2\r\n", GW_SLICE(""), &a);
    gw_buf_clear(&a.raw);
    assert_ptr_equal(r.meta, first);
    (void)gw_meta_unref(first);
    (void)close(fd);
    rig_close(&r);

    rig_open(&r,
             "{protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true}}, "
             "tenant: {from_header: X-Scope-OrgID, default: none}}",
             NULL);
    fd = rig_connect(&r, false);
    request(&r, fd, "POST", "/v1/traces", PB "X-A: 1\r\nx-a: 3\r\n", GW_SLICE(""), &a);
    gw_buf_clear(&a.raw);
    assert_true(gw_meta_find(r.meta, GW_SLICE("x-a"), 0, &v) && gw_slice_is(v, "1"));
    assert_true(gw_meta_find(r.meta, GW_SLICE("x-a"), 1, &v) && gw_slice_is(v, "3"));
    assert_true(gw_meta_find(r.meta, GW_SLICE("host"), 0, &v) && gw_slice_is(v, "gw"));
    assert_false(gw_meta_find(r.meta, GW_SLICE("content-length"), 0, &v));
    assert_true(gw_slice_is(r.meta->tenant, "none"));
    first = gw_meta_ref(r.meta);
    request(&r, fd, "POST", "/v1/traces", PB "X-A: 1\r\nx-a: 3\r\n", GW_SLICE("x"), &a);
    gw_buf_clear(&a.raw);
    assert_ptr_equal(r.meta, first);
    request(&r, fd, "POST", "/v1/traces", PB "X-A: 2\r\nX-Scope-OrgId: eu\r\n", GW_SLICE(""), &a);
    gw_buf_clear(&a.raw);
    assert_ptr_not_equal(r.meta, first);
    assert_true(gw_slice_is(r.meta->tenant, "eu"));
    (void)gw_meta_unref(first);
    (void)close(fd);
    assert_int_equal(ask(&r, "POST", "/v1/traces",
                         PB
                         "X-Scope-OrgId: 0123456789012345678901234567890123456789012345678901234567890123456789012345"
                         "67890123456789012345678901234567890123456789012345678\r\n",
                         GW_SLICE(""), &a),
                     400);
    gw_buf_clear(&a.raw);
    rig_close(&r);
}

static unsigned n_checks;

static int check_token(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err)
{
    struct gw_slice v;

    (void)self;
    n_checks++;
    if (!hs->get(hs, GW_SLICE("authorization"), &v) || !gw_slice_is(v, "Bearer one two"))
        return gw_fail(err, -EACCES, "wrong token");
    gw_buf_put_str(&ret->text, "alice");
    ret->pairs[0] = (struct gw_meta_pair){GW_SLICE("username"), gw_buf_slice(&ret->text)};
    ret->n_pairs = 1;
    return 0;
}

static const struct gw_auth_ops token_ops = {.check = check_token};
static const struct gw_auth token_auth = {&token_ops, NULL};

/* Scenario: an authenticator, asked with no, wrong and right credentials, on every path; parameters that count as
 * headers. Guarantees: 401 with a Status before the body and before the door; what it found out reaches the meta and
 * the tenant. */
static void credentials_are_asked_first(void **state)
{
    static const char *const paths[] = {"/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles", "/nothing"};
    struct rig r;
    struct answer a;
    int fd;

    (void)state;
    rig_open(&r,
             "{protocols: {http: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth, "
             "request_params: [authorization]}}}, tenant: {from_auth: username}}",
             &token_auth);
    for (size_t i = 0; i < 5; i++) {
        bool there = i < 3;

        assert_int_equal(ask(&r, "POST", paths[i], JS, GW_SLICE("{}"), &a), 401);
        assert_true(gw_slice_is(a.body, "{\"code\":16,\"message\":\"unauthenticated\"}"));
        gw_buf_clear(&a.raw);
        assert_int_equal(ask(&r, "POST", paths[i], JS "Authorization: Bearer one\r\n", GW_SLICE("{}"), &a), 401);
        gw_buf_clear(&a.raw);
        assert_int_equal(ask(&r, "POST", paths[i], JS "Authorization: Bearer one two\r\n", GW_SLICE("{}"), &a),
                         there ? 200 : 404);
        gw_buf_clear(&a.raw);
    }
    assert_int_equal(r.admits, 3);
    assert_int_equal(n_checks, 15);
    assert_true(gw_slice_is(r.meta->tenant, "alice"));
    assert_int_equal(r.meta->n_auth, 1);
    assert_true(gw_test_env_logged(&r.te, "wrong token"));
    assert_int_equal(ask(&r, "POST", "/v1/logs?a=b&authorization=Bearer+one%20two", JS, GW_SLICE("{}"), &a), 200);
    gw_buf_clear(&a.raw);
    assert_int_equal(
        ask(&r, "POST", "/v1/logs?authorization=x", JS "Authorization: Bearer one two\r\n", GW_SLICE("{}"), &a), 401);
    gw_buf_clear(&a.raw);
    fd = rig_connect(&r, false); /* not a byte of the body is needed for the no */
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 1000000\r\n\r\n"));
    receive(&r, fd, &a);
    assert_int_equal(a.status, 401);
    gw_buf_clear(&a.raw);
    (void)close(fd);
    rig_close(&r);
}

/* Scenario: browsers. Guarantees: preflights are answered 204 before credentials are asked, origins by pattern, headers
 * by list; real requests carry the origin back; without the block there is no such header. */
static void cross_origin_requests_are_answered(void **state)
{
    static const char yaml[] =
        "{protocols: {http: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}, response_headers: {X-Us: yes}, "
        "cors: {allowed_origins: ['https://*.example.com', 'http://localhost:3000'], allowed_headers: [X-Key], "
        "exposed_headers: [A, B], max_age: 7200}}}}";
    static const struct {
        const char *origin, *method, *headers;
        bool allowed;
    } t[] = {
        {"https://app.example.com", "POST", "content-type, x-key", true},
        {"HTTPS://APP.example.com", "POST", "", true},
        {"http://localhost:3000", "POST", "X-Requested-With", true},
        {"https://example.com", "POST", "", false},
        {"https://app.example.com.evil.org", "POST", "", false},
        {"https://app.example.com", "DELETE", "", false},
        {"https://app.example.com", "POST", "x-other", false},
    };
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, yaml, &token_auth);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char headers[256], line[128];

        (void)snprintf(headers, sizeof(headers), "Origin: %s\r\nAccess-Control-Request-Method: %s\r\n%s%s%s",
                       t[i].origin, t[i].method, *t[i].headers ? "Access-Control-Request-Headers: " : "", t[i].headers,
                       *t[i].headers ? "\r\n" : "");
        assert_int_equal(ask(&r, "OPTIONS", "/v1/traces", headers, GW_SLICE(""), &a), 204);
        (void)snprintf(line, sizeof(line), "access-control-allow-origin: %s\r\n", t[i].origin);
        assert_int_equal(has(&a, line), t[i].allowed);
        assert_int_equal(has(&a, "access-control-allow-methods: POST\r\n"), t[i].allowed);
        assert_int_equal(has(&a, "access-control-max-age: 7200\r\n"), t[i].allowed);
        assert_int_equal(has(&a, "access-control-allow-credentials: true\r\n"), t[i].allowed);
        assert_true(has(&a, "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"));
        assert_true(has(&a, "x-us: yes\r\n"));
        gw_buf_clear(&a.raw);
    }
    assert_int_equal(ask(&r, "POST", "/v1/traces",
                         JS "Origin: https://app.example.com\r\nAuthorization: Bearer one two\r\n", GW_SLICE("{}"), &a),
                     200);
    assert_true(has(&a, "access-control-allow-origin: https://app.example.com\r\n"));
    assert_true(has(&a, "access-control-expose-headers: A, B\r\n"));
    assert_true(has(&a, "vary: Origin\r\n") && has(&a, "x-us: yes\r\n"));
    gw_buf_clear(&a.raw);
    rig_close(&r);

    rig_open(&r, HTTP, NULL);
    assert_int_equal(ask(&r, "OPTIONS", "/v1/traces", "Origin: http://x\r\nAccess-Control-Request-Method: POST\r\n",
                         GW_SLICE(""), &a),
                     405);
    assert_false(has(&a, "access-control"));
    gw_buf_clear(&a.raw);
    rig_close(&r);
}

/* Scenario: other settings one by one. Guarantees: each changes what a client sees. */
static void settings_have_an_effect(void **state)
{
    struct rig r;
    struct answer a;
    int fd;

    (void)state;
    rig_open(&r,
             "{protocols: {http: {endpoint: '127.0.0.1:0', traces_url_path: my/traces, keep_alives_enabled: false, "
             "compression_algorithms: [gzip], max_header_bytes: 2048, max_headers: 8}}, "
             "limits: {records: 5, depth: 3, decoded_bytes_per_byte: 2}}",
             NULL);
    assert_int_equal(r.intake.limits->rows, 5);
    assert_int_equal(r.intake.limits->depth, 3);
    assert_int_equal(r.intake.limits->decode_bytes_per_byte, 2);
    assert_int_equal(r.intake.max_body_bytes, 64u << 20);
    assert_int_equal(ask(&r, "POST", "/v1/traces", PB "Content-Encoding: gzip\r\n", GW_SLICE(""), &a), 404);
    assert_true(has(&a, "connection: close\r\n"));
    gw_buf_clear(&a.raw);
    assert_int_equal(ask(&r, "POST", "/my/traces", PB "Content-Encoding: zstd\r\n", GW_SLICE("x"), &a), 400);
    gw_buf_clear(&a.raw);
    assert_int_equal(ask(&r, "POST", "/my/traces", PB, GW_SLICE("x"), &a), 400); /* "" is not in the list */
    gw_buf_clear(&a.raw);
    assert_int_equal(
        ask(&r, "POST", "/my/traces", PB "a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n", GW_SLICE("x"), &a), 431);
    gw_buf_clear(&a.raw);
    rig_close(&r);

    rig_open(&r, "{protocols: {http: {endpoint: '127.0.0.1:0', read_header_timeout: 2s, body_idle_timeout: 3s}}}",
             NULL);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, GW_SLICE("POST /v1/traces HTTP/1.1\r\n"));
    rig_turn(&r, 2);
    gw_test_env_advance(&r.te, 2100000000u);
    receive(&r, fd, &a);
    assert_int_equal(a.status, 408);
    gw_buf_clear(&a.raw);
    (void)close(fd);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 5\r\n\r\nabc"));
    rig_turn(&r, 2);
    gw_test_env_advance(&r.te, 2500000000u);
    rig_turn(&r, 3);
    rig_send(&r, fd, GW_SLICE("d"));
    rig_turn(&r, 3);
    gw_test_env_advance(&r.te, 3100000000u);
    receive(&r, fd, &a);
    assert_int_equal(a.status, 408);
    gw_buf_clear(&a.raw);
    (void)close(fd);
    rig_close(&r);
}

/* Scenario: a Unix socket. Guarantees: requests come in by it, with "unix" for a peer. */
static void unix_sockets_are_served(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char yaml[256], dir[] = "/tmp/gw-otlp-XXXXXX";
    struct rig r;
    struct answer a;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/sock", dir);
    (void)snprintf(yaml, sizeof(yaml), "{protocols: {http: {endpoint: '%s', transport: unix}}}", to.sun_path);
    rig_open(&r, yaml, NULL);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    request(&r, fd, "POST", "/v1/traces", PB, GW_SLICE(""), &a);
    assert_int_equal(a.status, 200);
    assert_true(gw_slice_is(r.meta->peer, "unix"));
    gw_buf_clear(&a.raw);
    (void)close(fd);
    rig_close(&r);
    (void)unlink(to.sun_path);
    (void)rmdir(dir);
}

/* Scenario: settings that cannot be. Guarantees: each mistake is named; a key without a value switches a protocol on.
 */
static void settings_are_checked(void **state)
{
    static const struct {
        const char *yaml, *says;
    } t[] = {
        {"{}", "must specify at least one protocol"},
        {"{protocols: }", "must specify at least one protocol"},
        {"{protocols: {http: {tls: {}}}}", "tls needs a certificate"},
        {"{protocols: {grpc: {auth: {}}}}", "auth needs an authenticator"},
        {"{protocols: {http: {compression_algorithms: [br]}}}", "unknown compression algorithm \"br\""},
        {"{protocols: {http: {response_headers: {'a b': c}}}}", "is no header"},
        {"{protocols: {http: {endpont: x}}}", "endpoint"},
        {"{protocols: {http: {logs_url_path: /v1/traces}}}", "url paths"},
        {"{protocols: {http: {transport: udp}}}", "transport"},
        {"{protocols: {grpc: {initial_window_bytes: 2097152}}}", "max_window_bytes"},
        {"{protocols: {http: {tls: {cert_file: a, cert_pem: b, key_file: c}}}}", "not both"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct gw_buf text;
        struct rig r;

        rig_init(&r);
        gw_buf_init(&text, 65536);
        assert_int_equal(rig_load(&r, t[i].yaml), -EINVAL);
        gw_diag_write(&r.diag, &text);
        if (!memmem(text.p, text.n, t[i].says, strlen(t[i].says)))
            print_error("%s: %.*s\n", t[i].yaml, (int)text.n, text.p);
        assert_non_null(memmem(text.p, text.n, t[i].says, strlen(t[i].says)));
        gw_buf_clear(&text);
        rig_clear(&r);
    }
    for (int i = 0; i < 2; i++) {
        struct gw_hs_conf hc;
        struct rig r;

        rig_init(&r);
        assert_int_equal(rig_load(&r, i ? "{protocols: {grpc: , http: }}" : "{protocols: {grpc: {}}}"), 0);
        assert_true(r.conf.protocols.has_grpc);
        assert_int_equal(r.conf.protocols.has_http, i);
        gw_otlp_grpc_conf(&r.conf.protocols.grpc, &hc);
        assert_string_equal(hc.endpoint, "localhost:4317");
        assert_int_equal(hc.max_concurrent_streams, 128);
        assert_int_equal(hc.keepalive_time_ns, 7200000000000u);
        assert_int_equal(hc.keepalive_min_ns, 300000000000u);
        assert_int_equal(hc.header_timeout_ns, 10000000000u);
        rig_clear(&r);
    }
}

/* Scenario: every setting of the connection that another room carries out. Guarantees: it arrives there. */
static void connection_settings_arrive(void **state)
{
    struct gw_hs_conf g, h;
    struct rig r;

    (void)state;
    rig_init(&r);
    assert_int_equal(rig_load(&r, "{protocols: {grpc: {max_concurrent_streams: 7, header_timeout: 4s, abuse_burst: 11, "
                                  "abuse_per_second: 3, initial_window_bytes: 70000, max_window_bytes: 80000, "
                                  "max_connections: 5, keepalive: {server_parameters: {max_connection_idle: 1s, "
                                  "max_connection_age: 2s, max_connection_age_grace: 3s, time: 4s, timeout: 5s}, "
                                  "enforcement_policy: {min_time: 6s, permit_without_stream: true}}, "
                                  "tls: {cert_file: c, key_file: k, client_ca_file: ca, min_version: '1.3', "
                                  "cipher_suites: [a, b], curve_preferences: [X25519], reload_interval: 9s}}, "
                                  "http: {read_timeout: 1s, write_timeout: 2s, idle_timeout: 3s}}}"),
                     0);
    gw_otlp_grpc_conf(&r.conf.protocols.grpc, &g);
    gw_otlp_http_conf(&r.conf.protocols.http, &h);
    assert_int_equal(g.protocols, GW_HS_HTTP2);
    assert_int_equal(h.protocols, GW_HS_HTTP1 | GW_HS_HTTP2);
    assert_int_equal(g.max_concurrent_streams, 7);
    assert_int_equal(g.header_timeout_ns, 4000000000u);
    assert_int_equal(g.bucket_burst, 11);
    assert_int_equal(g.bucket_per_s, 3);
    assert_int_equal(g.initial_window_bytes, 70000);
    assert_int_equal(g.max_window_bytes, 80000);
    assert_int_equal(g.max_connections, 5);
    assert_int_equal(g.max_connection_idle_ns, 1000000000u);
    assert_int_equal(g.max_connection_age_ns, 2000000000u);
    assert_int_equal(g.max_connection_age_grace_ns, 3000000000u);
    assert_int_equal(g.keepalive_time_ns, 4000000000u);
    assert_int_equal(g.keepalive_timeout_ns, 5000000000u);
    assert_int_equal(g.keepalive_min_ns, 6000000000u);
    assert_true(g.keepalive_without_stream);
    assert_true(g.tls.enabled);
    assert_string_equal(g.tls.client_ca_file, "ca");
    assert_string_equal(g.tls.min_version, "1.3");
    assert_int_equal(g.tls.n_cipher_suites, 2);
    assert_string_equal(g.tls.curve_preferences[0], "X25519");
    assert_int_equal(g.tls.reload_interval_ns, 9000000000u);
    assert_int_equal(h.read_timeout_ns, 1000000000u);
    assert_int_equal(h.write_timeout_ns, 2000000000u);
    assert_int_equal(h.idle_timeout_ns, 3000000000u);
    assert_false(h.tls.enabled);
    rig_clear(&r);
}

/* Scenario: the receiver is told to stop with a request under way. Guarantees: it is answered, then all is idle. */
static void stopping_answers_what_is_under_way(void **state)
{
    struct rig r;
    struct answer a;
    int fd, idle;

    (void)state;
    rig_open(&r, HTTP, NULL);
    r.how = LATER;
    idle = rig_connect(&r, false);
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr("POST /v1/traces HTTP/1.1\r\nHost: h\r\n" PB "Content-Length: 3\r\n\r\nabc"));
    rig_turn(&r, 3);
    gw_receiver_otlp.quiesce(r.local);
    rig_turn(&r, 3);
    assert_false(gw_receiver_otlp.is_idle(r.local));
    r.intake.on_verdict(r.intake.local, &r.ack, &(struct gw_verdict){.message = ""});
    receive(&r, fd, &a);
    assert_int_equal(a.status, 200);
    assert_true(has(&a, "connection: close\r\n"));
    gw_buf_clear(&a.raw);
    (void)close(fd);
    (void)close(idle);
    rig_turn(&r, 10);
    assert_true(gw_receiver_otlp.is_idle(r.local));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_every_signal_come_in),
        cmocka_unit_test(encodings_are_undone),
        cmocka_unit_test(mistakes_have_their_status),
        cmocka_unit_test(signals_without_a_pipeline_are_404),
        cmocka_unit_test(bodies_over_the_limit_are_413),
        cmocka_unit_test(chunked_bodies_come_in),
        cmocka_unit_test(verdicts_become_answers),
        cmocka_unit_test(answers_are_good_protobuf),
        cmocka_unit_test(overload_is_refused_at_the_door),
        cmocka_unit_test(clients_may_go_at_any_time),
        cmocka_unit_test(origins_travel_with_the_request),
        cmocka_unit_test(credentials_are_asked_first),
        cmocka_unit_test(cross_origin_requests_are_answered),
        cmocka_unit_test(settings_have_an_effect),
        cmocka_unit_test(unix_sockets_are_served),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(connection_settings_arrive),
        cmocka_unit_test(stopping_answers_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
