/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/gRPC, through a client of nghttp2; protobuf-c reads what comes back. */
#include <nghttp2/nghttp2.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "tests/receivers/otlp/rig.h"

#define GRPC    "{protocols: {grpc: {endpoint: '127.0.0.1:0'}}}"
#define TRACES  "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define METRICS "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
#define LOGS    "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

/* ---- a client: one connection, one call at a time --------------------------------------------------------- */

struct client {
    struct rig *r;
    int fd;
    nghttp2_session *h2;
    struct gw_slice body;
    bool hold;         /* the body's end is not sent: the call stays open */
    size_t step_bytes; /* read_slowly: what may go now */
    bool done, gone, goaway;
    char http_status[8], grpc_status[8], message[512], accept[128], type[64];
    struct gw_buf details, reply;
};

static ssize_t on_send(nghttp2_session *h2, const uint8_t *p, size_t n, int flags, void *arg)
{
    struct client *c = arg;

    (void)h2;
    (void)flags;
    n = (size_t)send(c->fd, p, n, MSG_NOSIGNAL);
    return (ssize_t)n < 0 ? (errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE) : (ssize_t)n;
}

static void copy(char *to, size_t size, const uint8_t *p, size_t n)
{
    (void)snprintf(to, size, "%.*s", (int)n, p);
}

/* The one base64 reader of the tests: without padding. */
static void unbase64(struct gw_buf *b, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned v = 0, bits = 0;

    for (size_t i = 0; i < n; i++) {
        const char *d = strchr(digits, p[i]);

        assert_non_null(d);
        v = v << 6 | (unsigned)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            gw_buf_put_u8(b, (uint8_t)(v >> bits));
        }
    }
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t n_name, const uint8_t *v,
                     size_t n, uint8_t flags, void *arg)
{
    struct client *c = arg;
    struct gw_slice k = gw_slice_of(name, n_name);

    (void)h2;
    (void)f;
    (void)flags;
    if (gw_slice_is(k, ":status"))
        copy(c->http_status, sizeof(c->http_status), v, n);
    else if (gw_slice_is(k, "grpc-status"))
        copy(c->grpc_status, sizeof(c->grpc_status), v, n);
    else if (gw_slice_is(k, "grpc-message"))
        copy(c->message, sizeof(c->message), v, n);
    else if (gw_slice_is(k, "grpc-accept-encoding"))
        copy(c->accept, sizeof(c->accept), v, n);
    else if (gw_slice_is(k, "content-type"))
        copy(c->type, sizeof(c->type), v, n);
    else if (gw_slice_is(k, "grpc-status-details-bin"))
        unbase64(&c->details, v, n);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    (void)h2;
    (void)flags;
    (void)id;
    gw_buf_put(&((struct client *)arg)->reply, p, n);
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
    struct client *c = arg;

    (void)h2;
    c->done |= (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && (f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    c->goaway |= f->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static void client_open_at(struct client *c, struct rig *r, bool grpc)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};

    *c = (struct client){.r = r, .fd = rig_connect(r, grpc)};
    gw_buf_init(&c->details, 65536);
    gw_buf_init(&c->reply, 65536);
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    assert_int_equal(nghttp2_session_client_new(&c->h2, cb, c), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(c->h2, 0, &window, 1), 0);
}

static void client_open(struct client *c, struct rig *r)
{
    client_open_at(c, r, true);
}

static void client_free(struct client *c)
{
    nghttp2_session_del(c->h2);
    (void)close(c->fd);
    gw_buf_clear(&c->details);
    gw_buf_clear(&c->reply);
}

static void client_close(struct client *c)
{
    client_free(c);
    rig_turn(c->r, 3);
}

static void pump(struct client *c, int turns)
{
    uint8_t piece[65536];

    while (turns-- > 0 && !c->done && !c->gone) {
        ssize_t n;

        (void)nghttp2_session_send(c->h2);
        rig_turn(c->r, 1);
        while ((n = recv(c->fd, piece, sizeof(piece), 0)) > 0)
            if (nghttp2_session_mem_recv(c->h2, piece, (size_t)n) < 0)
                c->gone = true;
        c->gone |= n == 0 || (n < 0 && errno != EAGAIN);
    }
    (void)nghttp2_session_send(c->h2);
}

static ssize_t read_body(nghttp2_session *h2, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct client *c = arg;

    (void)h2;
    (void)id;
    (void)source;
    if (n > c->body.n)
        n = c->body.n;
    if (n)
        memcpy(p, c->body.p, n);
    c->body = gw_slice_of(c->body.p + n, c->body.n - n);
    if (c->body.n > 0)
        return (ssize_t)n;
    if (!c->hold)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)n;
}

#define NV(n, v)                                                                                                       \
    (nghttp2_nv)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0                                  \
    }

/* extra: name, value, ..., NULL. Starts the call, and waits for its end unless the body is held. */
static void call(struct client *c, const char *path, struct gw_slice body, const char *const *extra)
{
    nghttp2_data_provider dp = {.read_callback = read_body};
    nghttp2_nv nv[16] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", path), NV(":authority", "gw")};
    const char *type = "application/grpc";
    size_t n = 4;

    for (; extra && *extra; extra += 2) {
        if (strcmp(extra[0], "content-type") == 0)
            type = extra[1];
        else if (strcmp(extra[0], ":method") == 0)
            nv[0] = NV(":method", extra[1]);
        else
            nv[n++] = NV(extra[0], extra[1]);
    }
    if (*type)
        nv[n++] = NV("content-type", type);
    c->done = false;
    c->http_status[0] = c->grpc_status[0] = c->message[0] = c->accept[0] = c->type[0] = '\0';
    gw_buf_reset(&c->details);
    gw_buf_reset(&c->reply);
    c->body = body;
    assert_true(nghttp2_submit_request(c->h2, NULL, nv, n, &dp, NULL) > 0);
    pump(c, c->hold || strstr(path, "/Watch") ? 20 : 400);
}

static struct gw_slice framed(struct gw_buf *b, uint8_t flag, struct gw_slice message)
{
    gw_buf_init(b, 256u << 20);
    gw_grpc_frame_put(b, (uint32_t)message.n);
    b->p[0] = flag;
    gw_buf_put_slice(b, message);
    return gw_buf_slice(b);
}

static const char *export(struct client *c, const char *path, struct gw_slice message, const char *const *extra)
{
    struct gw_buf b;

    call(c, path, framed(&b, 0, message), extra);
    gw_buf_clear(&b);
    return c->grpc_status;
}

/* ---- cases ------------------------------------------------------------------------------------------------ */

/* Scenario: each signal, messages short and long, on one connection. Guarantees: the bytes reach the door under their
 * signal; long ones in a payload; OK in a trailer behind an empty response. */
static void messages_of_every_signal_come_in(void **state)
{
    static const struct {
        const char *path;
        enum gw_signal signal;
    } t[] = {{TRACES, GW_TRACES}, {METRICS, GW_METRICS}, {LOGS, GW_LOGS}};
    static const size_t sizes[] = {0, 1, 16383, 16384, 300000, 5000000};
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 6; k++) {
            uint8_t *p = malloc(sizes[k] + 1);

            for (size_t j = 0; j < sizes[k]; j++)
                p[j] = (uint8_t)(j * 31 >> 3);
            assert_string_equal(export(&c, t[i].path, gw_slice_of(p, sizes[k]), NULL), "0");
            assert_string_equal(c.http_status, "200");
            assert_string_equal(c.type, "application/grpc");
            assert_int_equal(c.reply.n, 5);
            assert_memory_equal(c.reply.p, "\0\0\0\0\0", 5);
            assert_int_equal(r.signal, t[i].signal);
            assert_int_equal(r.encoding, GW_ENC_PROTO);
            assert_int_equal(r.body.n, sizes[k]);
            if (sizes[k])
                assert_memory_equal(r.body.p, p, sizes[k]);
            assert_int_equal(r.in_payload, sizes[k] >= 16384);
            free(p);
        }
    assert_string_equal(r.meta->transport, "grpc");
    client_close(&c);
    rig_close(&r);
}

/* Scenario: gzip, zstd, snappy in both its formats; identity with grpc-encoding set; unknown ones. Guarantees: undone;
 * UNIMPLEMENTED with the list of those that are known. */
static void encodings_are_undone(void **state)
{
    static const struct {
        const char *name;
        enum gw_codec c;
        uint8_t flag;
    } t[] = {{"gzip", GW_GZIP, 1},     {"zstd", GW_ZSTD, 1},     {"snappy", GW_SNAPPY_FRAMED, 1},
             {"snappy", GW_SNAPPY, 1}, {"gzip", GW_IDENTITY, 0}, {"identity", GW_IDENTITY, 0}};
    static const char *const unknown[] = {"br", "deflate", "lz4", "gzip,gzip"};
    uint8_t *p = calloc(1, 400001);
    struct client c;
    struct rig r;

    (void)state;
    for (size_t i = 0; i < 400000; i++)
        p[i] = (uint8_t)(i % 97 ^ i >> 9);
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        for (size_t n = 10; n <= 400000; n += 399990) {
            const char *const extra[] = {"grpc-encoding", t[i].name, NULL};
            struct gw_buf packed, b;

            gw_buf_init(&packed, 1 << 20);
            assert_int_equal(gw_compress(t[i].c, 0, gw_slice_of(p, n), &packed, NULL), 0);
            call(&c, TRACES, framed(&b, t[i].flag, gw_buf_slice(&packed)), extra);
            assert_string_equal(c.grpc_status, "0");
            assert_int_equal(r.body.n, n);
            assert_memory_equal(r.body.p, p, n);
            gw_buf_clear(&packed);
            gw_buf_clear(&b);
        }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        const char *const extra[] = {"grpc-encoding", unknown[i], NULL};

        assert_string_equal(export(&c, TRACES, GW_SLICE("x"), extra), "12");
        assert_string_equal(c.accept, "identity,gzip,zstd,snappy");
    }
    free(p);
    client_close(&c);
    rig_close(&r);
}

/* Scenario: the table of calls that are wrong. Guarantees: each its HTTP status or gRPC status; the connection serves
 * on. */
static void mistakes_have_their_status(void **state)
{
#define E(...) ((const char *const[]){__VA_ARGS__, NULL})
    const struct {
        const char *path, *hex, *http, *grpc;
        const char *const *extra;
    } t[] = {
        {"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "00 00000000", "200", "12",
         NULL},
        {"/a.B/C", "00 00000000", "200", "12", NULL},
        {"/opentelemetry.proto.collector.trace.v1.TraceService/Import", "00 00000000", "200", "12", NULL},
        {"/", "00 00000000", "200", "12", NULL},
        {TRACES, "00 00000000", "415", "", E("content-type", "application/json")},
        {TRACES, "00 00000000", "415", "", E("content-type", "")},
        {TRACES, "00 00000000", "415", "", E("content-type", "application/grpcx")},
        {TRACES, "00 00000000", "200", "12", E("content-type", "application/grpc+json")},
        {TRACES, "00 00000000", "200", "0", E("content-type", "application/grpc+proto")},
        {TRACES, "00 00000000", "200", "0", E("content-type", "application/grpc;x=y")},
        {TRACES, "00 00000000", "405", "", E(":method", "GET")},
        {TRACES, "00 00000001 61 00 00000001 62", "200", "12", NULL}, /* two messages */
        {TRACES, "00 00000000 00 00000000", "200", "12", NULL},
        {TRACES, "", "200", "12", NULL},                 /* none */
        {TRACES, "00 00000005 6162", "200", "13", NULL}, /* cut short */
        {TRACES, "00 0000", "200", "13", NULL},
        {TRACES, "02 00000001 61", "200", "13", NULL},
        {TRACES, "01 00000001 61", "200", "13", NULL},                          /* compressed, but how? */
        {TRACES, "01 00000003 616263", "200", "3", E("grpc-encoding", "gzip")}, /* no gzip */
        {TRACES, "00 04000001", "200", "8", NULL},                              /* 64 MiB + 1 is promised */
        {TRACES, "00 00000000", "200", "13", E("grpc-timeout", "1x")},
        {TRACES, "00 00000000", "200", "0", E("grpc-timeout", "10S")},
        {TRACES, "00 00000000", "200", "0", E("te", "trailers")},
    };
#undef E
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint8_t *p;
        size_t n;

        gw_hex(t[i].hex, &p, &n);
        call(&c, t[i].path, gw_slice_of(p, n), t[i].extra);
        if (strcmp(c.grpc_status, t[i].grpc) != 0 || strcmp(c.http_status, t[i].http) != 0)
            print_error("case %zu: HTTP %s gRPC %s (%s)\n", i, c.http_status, c.grpc_status, c.message);
        assert_string_equal(c.http_status, t[i].http);
        assert_string_equal(c.grpc_status, t[i].grpc);
        assert_false(c.gone);
        free(p);
    }
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "0");
    assert_true(r.deadline_ns == 0);
    client_close(&c);
    rig_close(&r);
}

/* Scenario: a signal without a pipeline. Guarantees: UNIMPLEMENTED, and its health is NOT_FOUND. */
static void signals_without_a_pipeline_are_unimplemented(void **state)
{
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    r.intake.signals = GW_LOGS;
    client_open(&c, &r);
    assert_string_equal(export(&c, TRACES, GW_SLICE(""), NULL), "12");
    assert_string_equal(export(&c, LOGS, GW_SLICE(""), NULL), "0");
    client_close(&c);
    rig_close(&r);
}

/* Scenario: over a limit of 1 MiB: promised by content-length or by the frame, found after decompression. Guarantees:
 * RESOURCE_EXHAUSTED without RetryInfo; just the limit passes. */
static void messages_over_the_limit_are_refused(void **state)
{
    uint8_t *p = malloc((1 << 20) + 1);
    struct gw_buf packed, b;
    struct client c;
    struct rig r;
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i <= 1 << 20; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 30);
    }
    rig_open(&r, "{protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}}}", NULL);
    client_open(&c, &r);
    assert_string_equal(export(&c, TRACES, gw_slice_of(p, 1 << 20), NULL), "0");
    assert_string_equal(export(&c, TRACES, gw_slice_of(p, (1 << 20) + 1), NULL), "8");
    assert_int_equal(c.details.n, 0);
    c.hold = true; /* not a byte of it is sent */
    call(&c, TRACES, GW_SLICE(""), (const char *const[]){"content-length", "2000000", NULL});
    assert_string_equal(c.grpc_status, "8");
    c.hold = false;
    for (size_t n = 1 << 20; n <= (1 << 20) + 1; n++) {
        gw_buf_init(&packed, 4 << 20);
        assert_int_equal(gw_compress(GW_ZSTD, 0, gw_slice_of(p, n), &packed, NULL), 0);
        call(&c, TRACES, framed(&b, 1, gw_buf_slice(&packed)), (const char *const[]){"grpc-encoding", "zstd", NULL});
        assert_string_equal(c.grpc_status, n == 1 << 20 ? "0" : "8");
        gw_buf_clear(&packed);
        gw_buf_clear(&b);
    }
    free(p);
    client_close(&c);
    rig_close(&r);
}

/* Scenario: verdicts. Guarantees: status, message percent-encoded; RetryInfo with UNAVAILABLE, BadRequest with
 * INVALID_ARGUMENT, nothing with the others; partial success in the response message. */
static void verdicts_become_statuses(void **state)
{
    Google__Rpc__Status *st;
    Google__Rpc__RetryInfo *ri;
    Google__Rpc__BadRequest *br;
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *ok;
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    r.verdict = (struct gw_verdict){.grpc_status = 14, .retry_after_ns = 1500000000u, .message = "100% full"};
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "14");
    assert_string_equal(c.message, "100%25 full");
    st = google__rpc__status__unpack(NULL, c.details.n, c.details.p);
    assert_int_equal(st->code, 14);
    assert_string_equal(st->message, "100% full");
    ri = google__rpc__retry_info__unpack(NULL, st->details[0]->value.len, st->details[0]->value.data);
    assert_int_equal(ri->retry_delay->seconds, 1);
    assert_int_equal(ri->retry_delay->nanos, 500000000);
    google__rpc__retry_info__free_unpacked(ri, NULL);
    google__rpc__status__free_unpacked(st, NULL);

    r.how = REFUSE_SUBMIT;
    r.verdict = (struct gw_verdict){.grpc_status = 3, .message = "span 5"};
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "3");
    st = google__rpc__status__unpack(NULL, c.details.n, c.details.p);
    br = google__rpc__bad_request__unpack(NULL, st->details[0]->value.len, st->details[0]->value.data);
    assert_string_equal(br->field_violations[0]->description, "span 5");
    google__rpc__bad_request__free_unpacked(br, NULL);
    google__rpc__status__free_unpacked(st, NULL);

    r.how = REFUSE_ADMIT;
    r.verdict = (struct gw_verdict){.grpc_status = 14, .message = "no room"};
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "14");
    r.how = REFUSE_GROW;
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "14");
    r.how = AT_ONCE;
    r.verdict = (struct gw_verdict){.grpc_status = 13, .message = "x"};
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "13");
    assert_int_equal(c.details.n, 0);

    r.verdict = (struct gw_verdict){.rejected = 7, .message = "bad ids"};
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "0");
    assert_int_equal(c.reply.p[4], c.reply.n - 5);
    ok = opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(NULL, c.reply.n - 5,
                                                                                           c.reply.p + 5);
    assert_int_equal(ok->partial_success->rejected_spans, 7);
    assert_string_equal(ok->partial_success->error_message, "bad ids");
    opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(ok, NULL);
    assert_int_equal(rig_requests(&r, true, GW_OTLP_SUCCESS), 1);
    assert_int_equal(rig_requests(&r, true, GW_OTLP_FAILURE), 2); /* 3 and 13 */
    assert_int_equal(rig_requests(&r, true, GW_OTLP_REFUSED), 3);
    client_close(&c);
    rig_close(&r);
}

/* Scenario: grpc-timeout; a request that is complete only after it. Guarantees: the deadline goes with the request;
 * passed, it is DEADLINE_EXCEEDED and the door never hears of it. */
static void deadlines_are_kept(void **state)
{
    static const uint8_t half[] = {0, 0, 0, 0, 2, 'a'};
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), (const char *const[]){"grpc-timeout", "250m", NULL}), "0");
    assert_int_equal(r.deadline_ns, gw_loop_now_ns(r.loop) + 250000000u);
    c.hold = true;
    call(&c, TRACES, gw_slice_of(half, sizeof(half)), (const char *const[]){"grpc-timeout", "250m", NULL});
    assert_false(c.done);
    gw_test_env_advance(&r.te, 260000000u);
    c.hold = false;
    c.body = GW_SLICE("b");
    assert_int_equal(nghttp2_session_resume_data(c.h2, 3), 0);
    pump(&c, 100);
    assert_string_equal(c.grpc_status, "4");
    assert_int_equal(r.submits, 1);
    client_close(&c);
    rig_close(&r);
}

/* The statuses that came, one digit each. */
static const char *statuses(const struct client *c)
{
    static char text[16];
    size_t n = 0;

    for (size_t at = 0; at + 7 <= c->reply.n && n < sizeof(text) - 1; at += 7) {
        assert_memory_equal(c->reply.p + at, "\0\0\0\0\x02\x08", 6);
        text[n++] = (char)('0' + c->reply.p[at + 6]);
    }
    text[n] = '\0';
    return text;
}

static unsigned unheard(struct rig *r)
{
    struct gw_otlp *o = r->self;

    return (unsigned)atomic_load(&o->grpc.unheard->value);
}

/* Scenario: the door's verdict takes longer than grpc-timeout, and comes after all; it comes in time; a client leaves
 * before it; a body that stops in the middle; a Watch with a deadline. Guarantees: DEADLINE_EXCEEDED at the deadline
 * and not before, once; rows that were taken all the same are counted as unheard; nothing is held. */
static void a_deadline_ends_the_wait(void **state)
{
    static const char *const timeout[] = {"grpc-timeout", "250m", NULL};
    static const uint8_t half[] = {0, 0, 0, 0, 2, 'a'};
    struct gw_verdict ok = {.rows = 7, .rejected = 2, .signal = GW_TRACES, .message = ""};
    struct client c, leaver;
    struct gw_buf b;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    r.how = LATER;
    client_open(&c, &r);
    c.hold = true;
    for (unsigned i = 0; i < 2; i++) {
        call(&c, TRACES, framed(&b, 0, GW_SLICE("x")), timeout);
        c.hold = false;
        assert_int_equal(nghttp2_session_resume_data(c.h2, (int32_t)(1 + 2 * i)), 0);
        gw_test_env_advance(&r.te, 240000000u);
        pump(&c, 5);
        assert_int_equal(r.submits, i + 1);
        assert_false(c.done);
        if (i == 1)
            r.intake.on_verdict(r.local, &r.ack, &ok);
        gw_test_env_advance(&r.te, 12000000u);
        pump(&c, 5);
        assert_true(c.done);
        assert_string_equal(c.grpc_status, i == 0 ? "4" : "0");
        r.intake.on_verdict(r.local, &r.ack, &ok);
        assert_int_equal(unheard(&r), 5 * (i + 1));
        c.hold = true;
        gw_buf_clear(&b);
    }
    assert_int_equal(rig_requests(&r, true, GW_OTLP_FAILURE), 1);
    assert_int_equal(rig_requests(&r, true, GW_OTLP_SUCCESS), 1);

    client_open(&leaver, &r);
    leaver.hold = true;
    call(&leaver, TRACES, framed(&b, 0, GW_SLICE("x")), timeout);
    leaver.hold = false;
    assert_int_equal(nghttp2_session_resume_data(leaver.h2, 1), 0);
    pump(&leaver, 5);
    client_close(&leaver);
    gw_buf_clear(&b);
    r.intake.on_verdict(r.local, &r.ack, &ok);
    assert_int_equal(unheard(&r), 15);

    call(&c, TRACES, gw_slice_of(half, sizeof(half)), timeout);
    assert_false(c.done);
    gw_test_env_advance(&r.te, 252000000u);
    pump(&c, 5);
    assert_string_equal(c.grpc_status, "4");
    c.hold = false;

    call(&c, "/grpc.health.v1.Health/Watch", framed(&b, 0, GW_SLICE("")),
         (const char *const[]){"grpc-timeout", "3H", NULL});
    gw_buf_clear(&b);
    assert_false(c.done);
    assert_string_equal(statuses(&c), "1");
    gw_test_env_advance(&r.te, 3 * 3601 * 1000000000ull);
    pump(&c, 5);
    assert_true(c.done);
    assert_string_equal(c.grpc_status, "4");
    client_close(&c);
    rig_close(&r);
}

/* Scenario: grpc.health.v1: the whole, a service, an unknown one, not ready, compressed, nonsense. Guarantees:
 * the protocol's answers, and no reservation for any of it. */
static void health_is_told(void **state)
{
    static const struct {
        const char *service, *status;
        uint8_t serving;
        bool not_ready;
    } t[] = {
        {"", "0", 1, false},
        {"", "0", 2, true},
        {"opentelemetry.proto.collector.trace.v1.TraceService", "0", 1, false},
        {"opentelemetry.proto.collector.metrics.v1.MetricsService", "5", 0, false},
        {"nobody", "5", 0, false},
    };
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    r.intake.signals = GW_TRACES;
    client_open(&c, &r);
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        uint8_t m[128] = {0x0a, (uint8_t)strlen(t[i].service)};

        memcpy(m + 2, t[i].service, m[1]);
        r.not_ready = t[i].not_ready;
        assert_string_equal(export(&c, "/grpc.health.v1.Health/Check", gw_slice_of(m, m[1] ? m[1] + 2u : 0), NULL),
                            t[i].status);
        if (t[i].serving) {
            assert_int_equal(c.reply.n, 7);
            assert_int_equal(c.reply.p[6], t[i].serving);
        }
    }
    assert_string_equal(export(&c, "/grpc.health.v1.Health/Check", GW_SLICE("\x08\x01"), NULL), "3");
    r.not_ready = true;
    assert_string_equal(export(&c, "/grpc.health.v1.Health/List", GW_SLICE(""), NULL), "0");
    assert_int_equal(c.reply.n, 5 + 8 + 59);
    assert_memory_equal(c.reply.p, "\0\0\0\0\x43\x0a\x06\x0a\0\x12\x02\x08\x02\x0a\x39\x0a\x33opentelemetry", 30);
    assert_memory_equal(c.reply.p + 68, "\x12\x02\x08\x02", 4);
    assert_int_equal(r.admits, 0);
    client_close(&c);
    rig_close(&r);
}

static void watch(struct client *c, struct gw_slice request)
{
    struct gw_buf b;

    call(c, "/grpc.health.v1.Health/Watch", framed(&b, 0, request), NULL);
    gw_buf_clear(&b);
}

/* Scenario: Watch of the whole while the gateway starts, serves, and leaves; hours go by in between; the client reads
 * nothing for a while. Guarantees: a message at once and one for every change, none without; the stream stays; at the
 * end NOT_SERVING and UNAVAILABLE, and the connection is let go. */
static void a_watch_hears_every_change_until_the_drain(void **state)
{
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    r.not_ready = true;
    client_open(&c, &r);
    watch(&c, GW_SLICE(""));
    assert_string_equal(c.http_status, "200");
    assert_string_equal(c.type, "application/grpc");
    assert_string_equal(statuses(&c), "2");
    r.not_ready = false;
    pump(&c, 5);
    assert_string_equal(statuses(&c), "21");
    gw_test_env_advance(&r.te, 3600 * 1000000000ull);
    pump(&c, 5);
    assert_string_equal(statuses(&c), "21");
    assert_false(c.done || c.gone);
    r.not_ready = true;
    pump(&c, 5);
    r.not_ready = false;
    pump(&c, 5);
    assert_string_equal(statuses(&c), "2121");
    gw_receiver_otlp.quiesce(r.local);
    pump(&c, 20);
    assert_string_equal(statuses(&c), "21212");
    assert_true(c.done);
    assert_string_equal(c.grpc_status, "14");
    rig_turn(&r, 3);
    c.done = false;
    pump(&c, 10);
    assert_true(c.goaway && c.gone);
    client_close(&c);
    assert_true(gw_receiver_otlp.is_idle(r.local));
    rig_close(&r);
}

/* Scenario: Watch of a service without a pipeline, of one with, of nonsense; a Watch that comes while the gateway
 * leaves; a client that goes. Guarantees: SERVICE_UNKNOWN and the stream stays open and is not bothered by changes; its
 * own status; INVALID_ARGUMENT; NOT_SERVING and UNAVAILABLE at once; nothing is left behind. */
static void watches_know_their_service(void **state)
{
    static const char traces[] = "\x0a\x33opentelemetry.proto.collector.trace.v1.TraceService";
    struct client c, leaver;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    r.intake.signals = GW_TRACES;
    client_open(&leaver, &r);
    watch(&leaver, GW_SLICE(""));
    client_close(&leaver);
    client_open(&c, &r);
    watch(&c, GW_SLICE("\x0a\x06nobody"));
    assert_string_equal(statuses(&c), "3");
    r.not_ready = true;
    pump(&c, 5);
    assert_string_equal(statuses(&c), "3");
    assert_false(c.done);
    watch(&c, gw_slice_of(traces, sizeof(traces) - 1));
    assert_string_equal(statuses(&c), "2");
    r.not_ready = false;
    pump(&c, 5);
    assert_string_equal(statuses(&c), "21");
    watch(&c, GW_SLICE("\x08\x01"));
    pump(&c, 5);
    assert_true(c.done);
    assert_string_equal(c.grpc_status, "3");
    gw_otlp_health_leave(r.local);
    c.done = false;
    pump(&c, 5); /* the others end */
    watch(&c, GW_SLICE(""));
    assert_true(c.done);
    assert_string_equal(statuses(&c), "2");
    assert_string_equal(c.grpc_status, "14");
    client_close(&c);
    rig_close(&r);
}

/* Scenario: as many watches as a connection may have calls, then an export. Guarantees: it is refused like any call
 * beyond the limit, and taken when one watch ends. */
static void watches_count_as_calls(void **state)
{
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, "{protocols: {grpc: {endpoint: '127.0.0.1:0', max_concurrent_streams: 2}}}", NULL);
    client_open(&c, &r);
    watch(&c, GW_SLICE(""));
    watch(&c, GW_SLICE(""));
    c.hold = true;
    call(&c, TRACES, gw_slice_of("\0\0\0\0\0", 5), NULL);
    assert_int_equal(r.admits, 0); /* nghttp2's client keeps to the limit: the call waits there */
    c.hold = false;
    assert_int_equal(nghttp2_submit_rst_stream(c.h2, NGHTTP2_FLAG_NONE, 1, NGHTTP2_CANCEL), 0);
    pump(&c, 50);
    assert_int_equal(r.submits, 1);
    assert_string_equal(c.grpc_status, "0");
    client_close(&c);
    rig_close(&r);
}

enum { SLOW_CLIENTS = 1000, SLOW_BYTES = 256 * 1024, STEP_BYTES = 16 * 1024, STEPS = SLOW_BYTES / STEP_BYTES };

/* A piece a turn of the test; resumed by it. */
static ssize_t read_slowly(nghttp2_session *h2, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *arg)
{
    struct client *c = arg;

    (void)h2;
    (void)id;
    (void)source;
    if (c->step_bytes == 0)
        return NGHTTP2_ERR_DEFERRED;
    n = n < c->step_bytes ? n : c->step_bytes;
    n = n < c->body.n ? n : c->body.n;
    memcpy(p, c->body.p, n);
    c->body = gw_slice_of(c->body.p + n, c->body.n - n);
    c->step_bytes -= n;
    if (c->body.n == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void slow_post(struct client *c, struct gw_slice body)
{
    nghttp2_data_provider dp = {.read_callback = read_slowly};
    nghttp2_nv nv[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/v1/traces"), NV(":authority", "gw"),
                       NV("content-type", "application/x-protobuf")};

    c->body = body;
    assert_true(nghttp2_submit_request(c->h2, NULL, nv, 5, &dp, NULL) > 0);
}

/* One round of one client, without waiting for the gateway. */
static void exchange(struct client *c)
{
    uint8_t piece[16384];
    ssize_t n;

    (void)nghttp2_session_send(c->h2);
    while ((n = recv(c->fd, piece, sizeof(piece), 0)) > 0)
        assert_true(nghttp2_session_mem_recv(c->h2, piece, (size_t)n) >= 0);
}

/* Scenario: a thousand HTTP/2 connections, each sending 256 KB without telling how much it will be, a little at a time,
 * where there is memory for 50 of them. Guarantees: what is reserved never passes the hard mark, and what is told is
 * never more than what is reserved; windows wait before anything is refused; all are answered, some with 200, and all
 * memory comes back. */
static void a_thousand_slow_bodies_stay_within_the_budget(void **state)
{
    static struct client clients[SLOW_CLIENTS];
    uint8_t *body = calloc(1, SLOW_BYTES);
    unsigned ok = 0, busy = 0, waited = 0;
    uint64_t most = 0;
    struct gw_credit budget;
    struct rig r;

    (void)state;
    gw_credit_init(&budget, 10 << 20, 13 << 20);
    rig_open(&r, "{protocols: {http: {endpoint: '127.0.0.1:0', max_request_body_size: 1048576}}}", NULL);
    r.budget = &budget;
    for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
        client_open_at(&clients[i], &r, false);
        slow_post(&clients[i], gw_slice_of(body, SLOW_BYTES));
        (void)nghttp2_session_send(clients[i].h2);
        gw_loop_turn(r.loop, 0);
    }
    for (unsigned step = 0; step < 4 * STEPS; step++) {
        for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
            struct client *c = &clients[i];

            if (c->done || c->body.n == 0)
                continue;
            waited += step > 4 && c->step_bytes > 0; /* its window was shut the last time */
            c->step_bytes = STEP_BYTES;
            (void)nghttp2_session_resume_data(c->h2, 1);
            exchange(c);
            if (i % 16 == 0)
                gw_loop_turn(r.loop, 0);
            most = budget.used_bytes > most ? budget.used_bytes : most;
            assert_true(budget.used_bytes <= budget.hard_bytes);
        }
        gw_test_env_advance(&r.te, 100000000u);
        gw_loop_turn(r.loop, 0);
    }
    for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
        pump(&clients[i], 3);
        ok += strcmp(clients[i].http_status, "200") == 0;
        busy += strcmp(clients[i].http_status, "503") == 0;
    }
    print_message("%u taken, %u refused, %u waits, at most %llu bytes reserved\n", ok, busy, waited,
                  (unsigned long long)most);
    assert_int_equal(ok + busy, SLOW_CLIENTS);
    assert_int_equal(ok, r.submits);
    assert_true(ok >= 40);
    assert_true(waited > 0);
    assert_true(most > 9 << 20);
    for (unsigned i = 0; i < SLOW_CLIENTS; i++) {
        client_free(&clients[i]);
    }
    rig_turn(&r, 5);
    assert_int_equal(budget.used_bytes, 0);
    rig_close(&r);
    free(body);
}

static int check_token(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err)
{
    struct gw_slice v;

    (void)self;
    (void)ret;
    return hs->get(hs, GW_SLICE("authorization"), &v) && gw_slice_is(v, "Bearer x") ? 0 : gw_fail(err, -EACCES, "no");
}

static const struct gw_auth_ops token_ops = {.check = check_token};
static const struct gw_auth token_auth = {&token_ops, NULL};

/* Scenario: an authenticator. Guarantees: UNAUTHENTICATED with every method, before the body; metadata under the names
 * that the Collector uses. */
static void credentials_are_asked_first(void **state)
{
    static const char *const paths[] = {TRACES,
                                        METRICS,
                                        LOGS,
                                        "/a.B/C",
                                        "/grpc.health.v1.Health/Check",
                                        "/grpc.health.v1.Health/List",
                                        "/grpc.health.v1.Health/Watch"};
    const char *const right[] = {"authorization", "Bearer x", "x-key", "v", NULL};
    struct client c;
    struct rig r;
    struct gw_slice v;

    (void)state;
    rig_open(&r,
             "{protocols: {grpc: {endpoint: '127.0.0.1:0', include_metadata: true, auth: {authenticator: basicauth}}}}",
             &token_auth);
    client_open(&c, &r);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_string_equal(export(&c, paths[i], GW_SLICE(""), NULL), "16");
    c.hold = true; /* the answer does not wait for the message */
    call(&c, TRACES, GW_SLICE(""), NULL);
    assert_string_equal(c.grpc_status, "16");
    c.hold = false;
    assert_int_equal(r.admits, 0);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(export(&c, paths[i], GW_SLICE(""), right), "0");
    assert_true(gw_meta_find(r.meta, GW_SLICE("x-key"), 0, &v) && gw_slice_is(v, "v"));
    assert_true(gw_meta_find(r.meta, GW_SLICE(":authority"), 0, &v) && gw_slice_is(v, "gw"));
    assert_false(gw_meta_find(r.meta, GW_SLICE("te"), 0, &v));
    client_close(&c);
    rig_close(&r);
}

/* Scenario: the client resets or leaves in mid-message and after it. Guarantees: reservations come back; the late
 * verdict hurts nobody. */
static void clients_may_go_at_any_time(void **state)
{
    static const uint8_t half[] = {0, 0, 1, 0, 0, 'a'};
    struct client c;
    struct rig r;

    (void)state;
    rig_open(&r, GRPC, NULL);
    client_open(&c, &r);
    c.hold = true;
    call(&c, TRACES, gw_slice_of(half, sizeof(half)), NULL);
    assert_int_equal(r.open_holds, 1);
    assert_int_equal(nghttp2_submit_rst_stream(c.h2, 0, 1, NGHTTP2_CANCEL), 0);
    pump(&c, 10);
    assert_int_equal(r.open_holds, 0);
    call(&c, TRACES, gw_slice_of(half, sizeof(half)), NULL);
    assert_int_equal(r.open_holds, 1);
    client_close(&c);
    rig_turn(&r, 5);
    assert_int_equal(r.open_holds, 0);

    r.how = LATER;
    client_open(&c, &r);
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "");
    client_close(&c);
    rig_turn(&r, 5);
    r.intake.on_verdict(r.intake.local, &r.ack, &(struct gw_verdict){.message = ""});
    rig_close(&r);
}

/* Scenario: both protocols; a gRPC and an HTTP request wait at once. Guarantees: a verdict finds its own server. */
static void verdicts_find_their_server(void **state)
{
    static const char http[] =
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    struct client c;
    struct gw_ack grpc_ack;
    struct rig r;
    char back[4096];
    ssize_t n;
    int fd;

    (void)state;
    rig_open(&r, "{protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}", NULL);
    r.how = LATER;
    client_open(&c, &r);
    assert_string_equal(export(&c, TRACES, GW_SLICE("x"), NULL), "");
    grpc_ack = r.ack;
    fd = rig_connect(&r, false);
    rig_send(&r, fd, gw_slice_cstr(http));
    rig_turn(&r, 5);
    assert_int_equal(r.submits, 2);
    r.intake.on_verdict(r.intake.local, &r.ack, &(struct gw_verdict){.grpc_status = 3, .message = "http"});
    r.intake.on_verdict(r.intake.local, &grpc_ack, &(struct gw_verdict){.grpc_status = 13, .message = "grpc"});
    rig_turn(&r, 3);
    n = recv(fd, back, sizeof(back) - 1, 0);
    assert_true(n > 0);
    back[n] = '\0';
    assert_non_null(strstr(back, "HTTP/1.1 400"));
    pump(&c, 50);
    assert_string_equal(c.grpc_status, "13");
    assert_string_equal(c.message, "grpc");
    (void)close(fd);
    client_close(&c);
    rig_close(&r);
}

/* Scenario: OTLP/HTTP over HTTP/2 by prior knowledge: a good request, a refusal before the body, a body over the limit.
 * Guarantees: the same answers as over HTTP/1.1. */
static void http_speaks_http2_too(void **state)
{
    static uint8_t big[60000];
    const char *const json[] = {"content-type", "application/json", NULL};
    struct client c;
    struct gw_slice v;
    struct rig r;

    (void)state;
    rig_open(&r, "{protocols: {http: {endpoint: '127.0.0.1:0', include_metadata: true, max_request_body_size: 50000}}}",
             NULL);
    client_open_at(&c, &r, false);
    call(&c, "/v1/logs", GW_SLICE("{}"), json);
    assert_string_equal(c.http_status, "200");
    assert_string_equal(c.type, "application/json");
    assert_true(gw_slice_is(gw_buf_slice(&c.reply), "{}"));
    assert_int_equal(r.signal, GW_LOGS);
    assert_int_equal(r.encoding, GW_ENC_JSON);
    assert_string_equal(r.meta->transport, "http");
    assert_true(gw_meta_find(r.meta, GW_SLICE("host"), 0, &v) && gw_slice_is(v, "gw"));
    call(&c, "/v1/logs", gw_slice_of(big, 50000), json);
    assert_string_equal(c.http_status, "200");
    assert_true(r.in_payload);
    call(&c, "/v1/logs", gw_slice_of(big, 50001), json);
    assert_string_equal(c.http_status, "413");
    call(&c, "/v1/logs", GW_SLICE("x"), (const char *const[]){"content-type", "text/plain", NULL});
    assert_string_equal(c.http_status, "415");
    r.how = REFUSE_ADMIT;
    r.verdict = (struct gw_verdict){.grpc_status = 14, .message = "no room"};
    c.hold = true;
    call(&c, "/v1/logs", GW_SLICE("{"), json);
    assert_string_equal(c.http_status, "503");
    client_close(&c);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_signal_come_in),
        cmocka_unit_test(encodings_are_undone),
        cmocka_unit_test(mistakes_have_their_status),
        cmocka_unit_test(signals_without_a_pipeline_are_unimplemented),
        cmocka_unit_test(messages_over_the_limit_are_refused),
        cmocka_unit_test(verdicts_become_statuses),
        cmocka_unit_test(deadlines_are_kept),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(health_is_told),
        cmocka_unit_test(a_watch_hears_every_change_until_the_drain),
        cmocka_unit_test(watches_know_their_service),
        cmocka_unit_test(watches_count_as_calls),
        cmocka_unit_test(a_thousand_slow_bodies_stay_within_the_budget),
        cmocka_unit_test(credentials_are_asked_first),
        cmocka_unit_test(clients_may_go_at_any_time),
        cmocka_unit_test(verdicts_find_their_server),
        cmocka_unit_test(http_speaks_http2_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
