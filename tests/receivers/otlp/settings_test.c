/* SPDX-License-Identifier: Apache-2.0 */
/* The settings that room net carries out, from YAML to what a peer sees of them, for both protocols. */
#include <nghttp2/nghttp2.h>
#include <sys/un.h>

#include "otlp-proto/decode.h"
#include "tests/harness_tls.h"
#include "tests/receivers/otlp/rig.h"

#define S      1000000000ull
#define TRACES "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

/* ---- an HTTP/2 peer --------------------------------------------------------------------------------------- */

struct peer {
    struct rig *r;
    int fd;
    nghttp2_session *ng;
    unsigned n_goaways, n_closed, n_pings;
    uint32_t goaway_code;
    char status[8];
    size_t body_left;
    bool endless; /* the body's end is not sent */
    bool mute;    /* what nghttp2 would answer by itself is not sent */
    bool gone;
};

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t n_name, const uint8_t *v,
                     size_t n, uint8_t flags, void *arg)
{
    struct peer *p = arg;

    (void)ng;
    (void)f;
    (void)flags;
    if (gw_slice_is(gw_slice_of(name, n_name), ":status"))
        (void)snprintf(p->status, sizeof(p->status), "%.*s", (int)n, v);
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct peer *p = arg;

    (void)ng;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        p->n_goaways++;
        p->goaway_code = f->goaway.error_code;
    }
    p->n_pings += f->hd.type == NGHTTP2_PING && !(f->hd.flags & NGHTTP2_FLAG_ACK);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    (void)ng;
    (void)id;
    (void)code;
    ((struct peer *)arg)->n_closed++;
    return 0;
}

static void peer_attach(struct peer *p, struct rig *r, int fd)
{
    nghttp2_session_callbacks *cb;

    *p = (struct peer){.r = r, .fd = fd};
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    assert_int_equal(nghttp2_session_client_new(&p->ng, cb, p), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(p->ng, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void peer_open(struct peer *p, struct rig *r, bool grpc)
{
    peer_attach(p, r, rig_connect(r, grpc));
}

static void peer_close(struct peer *p)
{
    nghttp2_session_del(p->ng);
    (void)close(p->fd);
    for (unsigned i = 0; i < 5; i++)
        gw_loop_turn(p->r->loop, 0);
}

static void talk(struct peer *p, unsigned n)
{
    uint8_t piece[16384];

    for (; n > 0; n--) {
        const uint8_t *out;
        ssize_t k = 0;

        while (!p->mute && (k = nghttp2_session_mem_send(p->ng, &out)) > 0)
            if (send(p->fd, out, (size_t)k, MSG_NOSIGNAL) < 0)
                break;
        gw_loop_turn(p->r->loop, 0);
        while (!p->gone && (k = recv(p->fd, piece, sizeof(piece), 0)) != -1) {
            if (k == 0 || nghttp2_session_mem_recv(p->ng, piece, (size_t)k) < 0)
                p->gone = true;
        }
        p->gone |= k < 0 && errno != EAGAIN;
    }
}

/* The clock goes on, and both sides notice. */
static void pass(struct peer *p, uint64_t ns)
{
    gw_test_env_advance(&p->r->te, ns);
    talk(p, 6);
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct peer *p = arg;

    (void)ng;
    (void)id;
    (void)source;
    if (p->body_left == 0 && p->endless)
        return NGHTTP2_ERR_DEFERRED;
    n = n < p->body_left ? n : p->body_left;
    memset(buf, 0, n);
    p->body_left -= n;
    if (p->body_left == 0 && !p->endless)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(n, v)                                                                                                       \
    (nghttp2_nv)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0                                  \
    }

/* A call, or a POST, with so many bytes of body (an empty message is five) and one more header so often. */
static void post(struct peer *p, bool grpc, size_t n_body, const char *value, unsigned times)
{
    nghttp2_data_provider dp = {.read_callback = read_body};
    nghttp2_nv nv[32] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", grpc ? TRACES : "/v1/traces"),
                         NV(":authority", "gw"),
                         NV("content-type", grpc ? "application/grpc" : "application/x-protobuf")};

    for (unsigned i = 0; i < times; i++)
        nv[5 + i] = NV("x-more", value);
    p->body_left = n_body;
    assert_true(nghttp2_submit_request(p->ng, NULL, nv, 5 + times, &dp, NULL) > 0);
    talk(p, 8);
}

/* Settings of one protocol's block. */
static void open_with(struct rig *r, bool grpc, const char *settings)
{
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml), "{protocols: {%s: {endpoint: '127.0.0.1:0', %s}}}", grpc ? "grpc" : "http",
                   settings);
    rig_open(r, yaml, NULL);
}

/* Is this connection still open? Whatever it says is thrown away. */
static bool is_served(struct rig *r, int fd)
{
    char piece[4096];
    ssize_t n;

    for (unsigned i = 0; i < 4; i++)
        gw_loop_turn(r->loop, 0);
    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
        ;
    return n < 0 && errno == EAGAIN;
}

/* ---- where and how many ----------------------------------------------------------------------------------- */

static bool can_connect(const char *address, unsigned port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;

    (void)close(fd);
    return ok;
}

/* Scenario: endpoint on 127.0.0.2; transport unix with a path; transport tcp6 on ::1, for both protocols.
 * Guarantees: that address and no other; a socket file that speaks HTTP/2; no IPv4. */
static void endpoint_and_transport_say_where(void **state)
{
    (void)state;
    for (int grpc = 0; grpc < 2; grpc++) {
        char yaml[256];
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct peer p;
        struct rig r;

        (void)snprintf(yaml, sizeof(yaml), "{protocols: {%s: {endpoint: '127.0.0.2:0'}}}", grpc ? "grpc" : "http");
        rig_open(&r, yaml, NULL);
        assert_true(can_connect("127.0.0.2", rig_port(&r, grpc)));
        assert_false(can_connect("127.0.0.1", rig_port(&r, grpc)));
        rig_close(&r);

        (void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/gw-otlp.%d", (int)getpid());
        (void)snprintf(yaml, sizeof(yaml), "{protocols: {%s: {endpoint: '%s', transport: unix}}}",
                       grpc ? "grpc" : "http", un.sun_path);
        rig_open(&r, yaml, NULL);
        peer_attach(&p, &r, socket(AF_UNIX, SOCK_STREAM, 0));
        assert_int_equal(connect(p.fd, (struct sockaddr *)&un, sizeof(un)), 0);
        assert_int_equal(fcntl(p.fd, F_SETFL, O_NONBLOCK), 0);
        post(&p, grpc, 5, NULL, 0);
        assert_string_equal(p.status, "200");
        peer_close(&p);
        rig_close(&r);
        assert_int_equal(access(un.sun_path, F_OK), -1);

        (void)snprintf(yaml, sizeof(yaml), "{protocols: {%s: {endpoint: ':0', transport: tcp6}}}",
                       grpc ? "grpc" : "http");
        rig_open(&r, yaml, NULL);
        assert_false(can_connect("127.0.0.1", rig_port(&r, grpc)));
        rig_close(&r);
    }
}

/* Scenario: four connections with max_connections 2, with none; four at once with connect_burst 2, then two in each of
 * two seconds with connect_per_second 1. Guarantees: beyond the number they are closed. */
static void connections_have_limits(void **state)
{
    static const char *const settings[] = {"max_connections: 0", "max_connections: 2",
                                           "connect_burst: 2, connect_per_second: 1"};

    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        unsigned served = 0;
        struct rig r;
        int fds[4];

        open_with(&r, k / 3, settings[k % 3]);
        for (unsigned i = 0; i < 4; i++)
            fds[i] = rig_connect(&r, k / 3);
        for (unsigned i = 0; i < 4; i++) {
            served += is_served(&r, fds[i]);
            (void)close(fds[i]);
        }
        assert_int_equal(served, k % 3 == 0 ? 4 : 2);
        for (unsigned second = 0; k % 3 == 2 && second < 2; second++) {
            gw_test_env_advance(&r.te, S);
            rig_turn(&r, 1);
            for (unsigned i = 0; i < 2; i++)
                fds[i] = rig_connect(&r, k / 3);
            assert_true(is_served(&r, fds[0]));
            assert_false(is_served(&r, fds[1]));
            (void)close(fds[0]);
            (void)close(fds[1]);
        }
        rig_close(&r);
    }
}

/* ---- heads, bodies, windows ------------------------------------------------------------------------------- */

/* Scenario: a head of 2000 bytes and one of 12 headers, against the defaults and against max_header_bytes 1024 and
 * max_headers 8. Guarantees: 200 and 431. */
static void heads_have_limits(void **state)
{
    static const struct {
        const char *settings, *status_long, *status_many;
    } t[] = {{"max_header_bytes: 16384", "200", "200"},
             {"max_header_bytes: 1024", "431", "200"},
             {"max_headers: 8", "200", "431"}};
    static char value[2001];

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    for (unsigned k = 0; k < 6; k++) {
        struct peer p;
        struct rig r;

        open_with(&r, k / 3, t[k % 3].settings);
        peer_open(&p, &r, k / 3);
        post(&p, k / 3, 5, value, 1);
        assert_string_equal(p.status, t[k % 3].status_long);
        post(&p, k / 3, 5, "v", 12);
        assert_string_equal(p.status, t[k % 3].status_many);
        peer_close(&p);
        rig_close(&r);
    }
}

/* Scenario: a body that stands still for 4 s, with body_idle_timeout 3s and without. Guarantees: the stream ends, or
 * does not. */
static void body_idle_timeout_ends_a_body(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        struct peer p;
        struct rig r;

        open_with(&r, k / 2, k % 2 ? "body_idle_timeout: 3s" : "body_idle_timeout: 30s");
        peer_open(&p, &r, k / 2);
        p.endless = true;
        post(&p, k / 2, 4, NULL, 0);
        pass(&p, 4 * S);
        assert_int_equal(p.n_closed, k % 2);
        peer_close(&p);
        rig_close(&r);
    }
}

/* Scenario: initial_window_bytes, max_window_bytes, max_concurrent_streams. Guarantees: a client sees what was set: the
 * window of a stream, that of the connection, the number of streams. */
static void windows_and_streams_are_as_set(void **state)
{
    (void)state;
    for (int grpc = 0; grpc < 2; grpc++) {
        struct peer p;
        struct rig r;

        open_with(&r, grpc, "initial_window_bytes: 70000, max_window_bytes: 200000, max_concurrent_streams: 3");
        peer_open(&p, &r, grpc);
        talk(&p, 5);
        assert_int_equal(nghttp2_session_get_remote_settings(p.ng, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE), 70000);
        assert_int_equal(nghttp2_session_get_remote_settings(p.ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 3);
        assert_int_equal(nghttp2_session_get_remote_window_size(p.ng), 200000);
        peer_close(&p);
        rig_close(&r);
    }
}

/* Scenario: twenty PRIORITY frames at once; then eight a second for five seconds; against the defaults, abuse_burst 10,
 * and abuse_per_second 1 with a burst of ten. Guarantees: the first is not cut; the second is at once; the third is in
 * the second second. */
static void frames_that_serve_nobody_have_limits(void **state)
{
    static const struct {
        const char *settings;
        unsigned burst, goaways, seconds;
    } t[] = {{"abuse_burst: 200", 20, 0, 5},
             {"abuse_burst: 10", 20, 1, 0},
             {"abuse_burst: 10, abuse_per_second: 20", 8, 0, 5},
             {"abuse_burst: 10, abuse_per_second: 1", 8, 1, 1}};
    const nghttp2_priority_spec spec = {.stream_id = 0, .weight = 16};

    (void)state;
    for (unsigned k = 0; k < 8; k++) {
        unsigned second = 0;
        struct peer p;
        struct rig r;

        open_with(&r, k / 4, t[k % 4].settings);
        peer_open(&p, &r, k / 4);
        talk(&p, 4);
        for (unsigned i = 0; i < t[k % 4].burst; i++)
            (void)nghttp2_submit_priority(p.ng, NGHTTP2_FLAG_NONE, 101, &spec);
        talk(&p, 4);
        for (; second < 5 && !p.n_goaways; second++) {
            pass(&p, S);
            for (unsigned i = 0; i < 8; i++)
                (void)nghttp2_submit_priority(p.ng, NGHTTP2_FLAG_NONE, 101, &spec);
            talk(&p, 4);
        }
        assert_int_equal(p.n_goaways, t[k % 4].goaways);
        assert_int_equal(second, t[k % 4].seconds);
        peer_close(&p);
        rig_close(&r);
    }
}

/* ---- time ------------------------------------------------------------------------------------------------- */

/* Scenario: a peer that says nothing for 3 s, with header_timeout (gRPC) and read_header_timeout (HTTP) of 2s, and
 * without. Guarantees: cut, or not. */
static void silent_peers_are_cut(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool grpc = k / 2;
        struct rig r;
        int fd;

        open_with(&r, grpc, k % 2 == 0 ? "max_headers: 100" : grpc ? "header_timeout: 2s" : "read_header_timeout: 2s");
        fd = rig_connect(&r, grpc);
        (void)is_served(&r, fd);
        gw_test_env_advance(&r.te, 3 * S);
        assert_int_equal(is_served(&r, fd), k % 2 == 0);
        (void)close(fd);
        rig_turn(&r, 2);
        rig_close(&r);
    }
}

/* Scenario: HTTP/1.1. A body that takes 3 s with read_timeout 2s; an answer that takes 3 s with write_timeout 2s; 3 s
 * between requests with idle_timeout 2s; each with a longer one, too. Guarantees: the connection ends, or does not. */
static void http_timeouts_end_connections(void **state)
{
    static const struct {
        const char *settings, *bytes;
        bool served;
    } t[] = {
        {"read_timeout: 2s", "POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\n12", false},
        {"read_timeout: 20s", "POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\n12", true},
        {"write_timeout: 2s",
         "POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nContent-Length: 2\r\n\r\n12",
         false},
        {"write_timeout: 20s",
         "POST /v1/traces HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nContent-Length: 2\r\n\r\n12",
         true},
        {"idle_timeout: 2s", "GET /v1/traces HTTP/1.1\r\nHost: g\r\n\r\n", false},
        {"idle_timeout: 20s", "GET /v1/traces HTTP/1.1\r\nHost: g\r\n\r\n", true},
    };

    (void)state;
    for (unsigned k = 0; k < sizeof(t) / sizeof(t[0]); k++) {
        struct rig r;
        bool served;
        int fd;

        open_with(&r, false, t[k].settings);
        r.how = LATER;
        fd = rig_connect(&r, false);
        rig_send(&r, fd, gw_slice_cstr(t[k].bytes));
        rig_turn(&r, 3);
        assert_true(is_served(&r, fd));
        gw_test_env_advance(&r.te, 3 * S);
        served = is_served(&r, fd);
        if (served != t[k].served)
            fail_msg("%s: %s", t[k].settings, served ? "still there" : "ended");
        (void)close(fd);
        rig_turn(&r, 2);
        rig_close(&r);
    }
}

/* Scenario: server_parameters. max_connection_idle 5s; max_connection_age 10s with a call under way, and
 * max_connection_age_grace 3s; time 4s; timeout 2s for a peer that does not answer. Guarantees: each ends a connection,
 * or pings it, when it should and not before. */
static void connections_age(void **state)
{
    struct peer p;
    struct rig r;

    (void)state;
    open_with(&r, true, "keepalive: {server_parameters: {max_connection_idle: 5s}}");
    peer_open(&p, &r, true);
    talk(&p, 4);
    pass(&p, 4 * S);
    assert_int_equal(p.n_goaways, 0);
    pass(&p, 2 * S);
    assert_true(p.n_goaways > 0);
    peer_close(&p);
    rig_close(&r);

    open_with(&r, true,
              "keepalive: {server_parameters: {max_connection_age: 10s, max_connection_age_grace: 3s, time: 4s, "
              "timeout: 2s}}");
    r.how = LATER;
    peer_open(&p, &r, true);
    post(&p, true, 5, NULL, 0);
    pass(&p, 3 * S);
    assert_int_equal(p.n_pings, 0);
    pass(&p, 2 * S);
    assert_int_equal(p.n_pings, 1);
    pass(&p, 3 * S);
    assert_int_equal(p.n_goaways, 0);
    pass(&p, 4 * S);
    assert_true(p.n_goaways > 0); /* the call may still end */
    assert_false(p.gone);
    pass(&p, 4 * S);
    assert_true(p.gone);
    peer_close(&p);
    peer_open(&p, &r, true);
    talk(&p, 4);
    p.mute = true;
    pass(&p, 5 * S);
    assert_int_equal(p.n_pings, 1);
    assert_false(p.gone);
    pass(&p, 3 * S);
    assert_true(p.gone);
    peer_close(&p);
    rig_close(&r);
}

/* Scenario: enforcement_policy: pings a second apart, without a call and with one, against the defaults, min_time
 * 500ms, and permit_without_stream with it. Guarantees: cut, unless they are allowed to. */
static void pings_are_policed(void **state)
{
    static const struct {
        const char *settings;
        bool call, cut;
    } t[] = {
        {"keepalive: {enforcement_policy: {min_time: 5m}}", true, true},
        {"keepalive: {enforcement_policy: {min_time: 500ms}}", true, false},
        {"keepalive: {enforcement_policy: {min_time: 500ms}}", false, true},
        {"keepalive: {enforcement_policy: {min_time: 500ms, permit_without_stream: true}}", false, false},
    };

    (void)state;
    for (unsigned k = 0; k < sizeof(t) / sizeof(t[0]); k++) {
        struct peer p;
        struct rig r;

        open_with(&r, true, t[k].settings);
        r.how = LATER;
        peer_open(&p, &r, true);
        if (t[k].call)
            post(&p, true, 5, NULL, 0);
        talk(&p, 4);
        for (unsigned i = 0; i < 12; i++) {
            (void)nghttp2_submit_ping(p.ng, NGHTTP2_FLAG_NONE, NULL);
            talk(&p, 3);
            pass(&p, S);
        }
        assert_int_equal(p.n_goaways > 0, t[k].cut);
        peer_close(&p);
        rig_close(&r);
    }
}

/* ---- paths ------------------------------------------------------------------------------------------------ */

/* Scenario: traces_url_path, metrics_url_path and logs_url_path are set. Guarantees: 200 there with the right signal,
 * 404 where they are by default. */
static void url_paths_are_as_set(void **state)
{
    static const struct {
        const char *path;
        enum gw_signal signal; /* 0: 404 */
    } t[] = {{"/a", GW_TRACES}, {"/b", GW_METRICS}, {"/c/d", GW_LOGS},
             {"/v1/traces", 0}, {"/v1/metrics", 0}, {"/v1/logs", 0}};
    struct rig r;

    (void)state;
    open_with(&r, false, "traces_url_path: /a, metrics_url_path: b, logs_url_path: /c/d");
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char text[256], answer[1024] = "";
        int fd = rig_connect(&r, false);

        (void)snprintf(
            text, sizeof(text),
            "POST %s HTTP/1.1\r\nHost: g\r\nContent-Type: application/x-protobuf\r\nContent-Length: 2\r\n\r\n12",
            t[i].path);
        rig_send(&r, fd, gw_slice_cstr(text));
        rig_turn(&r, 3);
        assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 12);
        assert_int_equal(atoi(answer + 9), t[i].signal ? 200 : 404);
        if (t[i].signal)
            assert_int_equal(r.signal, t[i].signal);
        (void)close(fd);
    }
    rig_turn(&r, 2);
    rig_close(&r);
}

/* ---- limits of a request ---------------------------------------------------------------------------------- */

/* A field around what is in b. */
static void wrap(struct gw_buf *b, uint8_t tag)
{
    size_t n = b->n;
    uint8_t head[6] = {tag};
    unsigned k = 1;

    for (; n > 127; n >>= 7)
        head[k++] = (uint8_t)(n | 128);
    head[k++] = (uint8_t)n;
    assert_int_equal(gw_buf_reserve(b, k), 0);
    memmove(b->p + k, b->p, b->n);
    memcpy(b->p, head, k);
    b->n += k;
}

/* What the door would say to it, with the limits that the receiver has told it. */
static int decode_with(const char *limits, enum gw_signal signal, struct gw_slice body)
{
    struct gw_batch *b = gw_batch_new(signal);
    struct gw_err err = {""};
    struct gw_ref at;
    char yaml[256];
    struct rig r;
    int rc;

    (void)snprintf(yaml, sizeof(yaml), "{protocols: {grpc: {endpoint: '127.0.0.1:0'}}, limits: {%s}}", limits);
    rig_open(&r, yaml, NULL);
    assert_int_equal(gw_batch_append(b, body, &at), 0);
    rc = gw_decode(b, gw_batch_slice(b, at), r.intake.limits, NULL, &err);
    (void)gw_batch_unref(b);
    rig_close(&r);
    return rc;
}

/* Scenario: four spans with records 3 and 4; a log body of four levels with depth 3 and 5; a million empty attributes
 * with decoded_bytes_per_byte 1 and 40. Guarantees: refused, and taken. */
static void limits_say_what_a_request_may_hold(void **state)
{
    const struct gw_slice four_spans = GW_SLICE("\x0a\x0a\x12\x08\x12\x00\x12\x00\x12\x00\x12\x00");
    struct gw_buf b;

    (void)state;
    assert_int_equal(decode_with("records: 3", GW_TRACES, four_spans), -E2BIG);
    assert_int_equal(decode_with("records: 4", GW_TRACES, four_spans), 0);

    gw_buf_init(&b, 4 << 20);
    for (unsigned level = 0; level < 3; level++) { /* AnyValue.array_value { values { ... } } */
        wrap(&b, 0x0a);
        wrap(&b, 0x2a);
    }
    for (const char *tag = "\x2a\x12\x12\x0a"; *tag; tag++) /* body, log_records, scope_logs, resource_logs */
        wrap(&b, (uint8_t)*tag);
    assert_int_equal(decode_with("depth: 3", GW_LOGS, gw_buf_slice(&b)), -E2BIG);
    assert_int_equal(decode_with("depth: 5", GW_LOGS, gw_buf_slice(&b)), 0);

    gw_buf_reset(&b);
    for (unsigned i = 0; i < 1 << 20; i++)
        gw_buf_put(&b, "\x0a\x00", 2);
    wrap(&b, 0x0a); /* resource, resource_spans */
    wrap(&b, 0x0a);
    assert_int_equal(decode_with("decoded_bytes_per_byte: 1", GW_TRACES, gw_buf_slice(&b)), -E2BIG);
    assert_int_equal(decode_with("decoded_bytes_per_byte: 40", GW_TRACES, gw_buf_slice(&b)), 0);
    gw_buf_clear(&b);
}

/* ---- TLS -------------------------------------------------------------------------------------------------- */

struct tls_subject {
    struct rig r;
    bool grpc;
};

static bool tls_open(void *arg, const char *tls)
{
    struct tls_subject *s = arg;
    char *yaml = malloc(strlen(tls) + 128);
    bool ok;

    assert_non_null(yaml);
    (void)sprintf(yaml, "{protocols: {%s: {endpoint: '127.0.0.1:0', tls: %s}}}", s->grpc ? "grpc" : "http", tls);
    ok = rig_try(&s->r, yaml, NULL);
    free(yaml);
    return ok;
}

static int tls_connect(void *arg)
{
    struct tls_subject *s = arg;

    return rig_connect(&s->r, s->grpc);
}

static void tls_turn(void *arg, uint64_t ns)
{
    struct tls_subject *s = arg;

    if (ns)
        gw_test_env_advance(&s->r.te, ns);
    for (unsigned i = 0; i < 3; i++)
        gw_loop_turn(s->r.loop, 0);
}

static void tls_close(void *arg)
{
    rig_close(&((struct tls_subject *)arg)->r);
}

static void each_protocol(void (*cases)(const struct gw_tls_subject *s))
{
    static struct tls_subject subject;
    const struct gw_tls_subject s = {&subject, tls_open, tls_connect, tls_turn, tls_close};

    for (int grpc = 0; grpc < 2; grpc++) {
        subject.grpc = grpc;
        cases(&s);
    }
}

/* Scenario: the tls block with cert_file and key_file; cert_pem and key_pem; a certificate of an authority in between,
 * alone, with it in ca_file, in ca_pem, and with include_system_ca_certs_pool where it is among the system's.
 * Guarantees: clients are shown the one that was set, and can judge it when the chain is complete. */
static void tls_shows_the_identity_that_was_set(void **state)
{
    (void)state;
    each_protocol(gw_test_tls_identity);
}

/* Scenario: client_ca_file; it and the server's own files change after a while, with client_ca_file_reload and without,
 * and reload_interval 5s. Guarantees: only its clients get in; what is read again is read then and not before. */
static void tls_lets_in_whom_the_authority_knows(void **state)
{
    (void)state;
    each_protocol(gw_test_tls_clients);
}

/* Scenario: min_version, max_version, cipher_suites, include_insecure_cipher_suites, curve_preferences, each with
 * clients that can do nothing else. Guarantees: they get in, or do not. */
static void tls_is_spoken_as_set(void **state)
{
    (void)state;
    each_protocol(gw_test_tls_ways);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_and_transport_say_where),
        cmocka_unit_test(connections_have_limits),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(body_idle_timeout_ends_a_body),
        cmocka_unit_test(windows_and_streams_are_as_set),
        cmocka_unit_test(frames_that_serve_nobody_have_limits),
        cmocka_unit_test(silent_peers_are_cut),
        cmocka_unit_test(http_timeouts_end_connections),
        cmocka_unit_test(connections_age),
        cmocka_unit_test(pings_are_policed),
        cmocka_unit_test(url_paths_are_as_set),
        cmocka_unit_test(limits_say_what_a_request_may_hold),
        cmocka_unit_test(tls_shows_the_identity_that_was_set),
        cmocka_unit_test(tls_lets_in_whom_the_authority_knows),
        cmocka_unit_test(tls_is_spoken_as_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
