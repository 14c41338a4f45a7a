/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both gRPC clients, the module loaded as the program loads it and the one on the HTTP client, against a server of grpc
 * core in this thread.
 */
#include "tests/harness.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "net/clients.h"
#include "net/compress.h"
#include "net/loop.h"
#include "tests/harness_pki.h"

/* ---- the server: answers every call as told and keeps what it got ------------------------------------------- */

enum { NEW_CALL = 1, GOT_MESSAGE, ANSWERED };

struct server {
    grpc_server *server;
    grpc_completion_queue *cq;
    int port;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *message;
    int cancelled;
    unsigned calls;
    char method[128], host[128], headers[2048];
    uint8_t body[100000];
    size_t n_body;
    bool silent;
    int status;
    const char *text;
    struct gw_slice reply, details_bin;
};

static void server_wait(struct server *sv)
{
    grpc_call_details_init(&sv->details);
    grpc_metadata_array_init(&sv->metadata);
    sv->call = NULL;
    grpc_server_request_call(sv->server, &sv->call, &sv->details, &sv->metadata, sv->cq, sv->cq, (void *)NEW_CALL);
}

static void server_new(struct server *sv, grpc_server_credentials *creds)
{
    memset(sv, 0, sizeof(*sv));
    grpc_init();
    sv->cq = grpc_completion_queue_create_for_next(NULL);
    sv->server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(sv->server, sv->cq, NULL);
    sv->port = grpc_server_add_http2_port(sv->server, "127.0.0.1:0", creds);
    grpc_server_credentials_release(creds);
    assert_true(sv->port > 0);
    grpc_server_start(sv->server);
    server_wait(sv);
}

static void keep_text(char *to, size_t size, grpc_slice s)
{
    snprintf(to, size, "%.*s", (int)GRPC_SLICE_LENGTH(s), (const char *)GRPC_SLICE_START_PTR(s));
}

static void take_call(struct server *sv)
{
    grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                     {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &sv->message}};

    sv->calls++;
    keep_text(sv->method, sizeof(sv->method), sv->details.method);
    keep_text(sv->host, sizeof(sv->host), sv->details.host);
    sv->headers[0] = '\0';
    for (size_t i = 0; i < sv->metadata.count; i++) {
        char key[100], value[200];
        size_t n = strlen(sv->headers);

        keep_text(key, sizeof(key), sv->metadata.metadata[i].key);
        keep_text(value, sizeof(value), sv->metadata.metadata[i].value);
        snprintf(sv->headers + n, sizeof(sv->headers) - n, "%s: %s\n", key, value);
    }
    assert_int_equal(grpc_call_start_batch(sv->call, ops, 2, (void *)GOT_MESSAGE, NULL), GRPC_CALL_OK);
}

static void answer(struct server *sv)
{
    grpc_slice text = grpc_slice_from_copied_string(sv->text ? sv->text : "");
    grpc_slice reply = grpc_slice_from_copied_buffer((const char *)sv->reply.p, sv->reply.n);
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&reply, 1);
    grpc_metadata trailer = {.key = grpc_slice_from_static_string("grpc-status-details-bin"),
                             .value =
                                 grpc_slice_from_copied_buffer((const char *)sv->details_bin.p, sv->details_bin.n)};
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                       .data.send_status_from_server = {.status = (grpc_status_code)sv->status,
                                                        .status_details = &text,
                                                        .trailing_metadata = &trailer,
                                                        .trailing_metadata_count = sv->details_bin.n ? 1 : 0}},
                      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &sv->cancelled},
                      {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = out}};
    grpc_byte_buffer_reader reader;
    grpc_slice s;

    sv->n_body = 0;
    if (sv->message && grpc_byte_buffer_reader_init(&reader, sv->message)) { /* undoes gzip */
        s = grpc_byte_buffer_reader_readall(&reader);
        sv->n_body = GRPC_SLICE_LENGTH(s);
        memcpy(sv->body, GRPC_SLICE_START_PTR(s), sv->n_body);
        grpc_slice_unref(s);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    if (sv->message)
        grpc_byte_buffer_destroy(sv->message);
    sv->message = NULL;
    if (sv->silent)
        assert_int_equal(grpc_call_start_batch(sv->call, ops + 1, 1, (void *)ANSWERED, NULL), GRPC_CALL_OK);
    else
        assert_int_equal(grpc_call_start_batch(sv->call, ops, sv->status ? 2 : 3, (void *)ANSWERED, NULL),
                         GRPC_CALL_OK);
    grpc_byte_buffer_destroy(out);
    grpc_slice_unref(reply);
    grpc_slice_unref(text);
    grpc_slice_unref(trailer.value);
}

static void server_turn(struct server *sv)
{
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(sv->cq, gpr_time_0(GPR_CLOCK_REALTIME), NULL);

        if (ev.type != GRPC_OP_COMPLETE)
            return;
        switch ((intptr_t)ev.tag) {
        case NEW_CALL:
            if (ev.success)
                take_call(sv);
            break;
        case GOT_MESSAGE:
            answer(sv);
            break;
        default:
            grpc_call_unref(sv->call);
            grpc_call_details_destroy(&sv->details);
            grpc_metadata_array_destroy(&sv->metadata);
            server_wait(sv);
        }
    }
}

static void server_free(struct server *sv)
{
    grpc_server_shutdown_and_notify(sv->server, sv->cq, (void *)NEW_CALL);
    grpc_server_cancel_all_calls(sv->server);
    grpc_completion_queue_shutdown(sv->cq);
    while (grpc_completion_queue_next(sv->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_server_destroy(sv->server);
    grpc_completion_queue_destroy(sv->cq);
    grpc_call_details_destroy(&sv->details);
    grpc_metadata_array_destroy(&sv->metadata);
    grpc_shutdown();
}

/* ---- the client's side -------------------------------------------------------------------------------------- */

struct rig {
    struct gw_env *env;
    struct gw_loop *loop;
    struct gw_rpc_client *client;
    struct server sv;
    char target[64];
};

static bool on_http; /* which client is tested */

struct got {
    struct gw_rpc_request rq;
    unsigned calls;
    int status;
    char message[256];
    uint8_t reply[1000], details[1000];
    size_t n_reply, n_details;
};

static void on_done(struct gw_rpc_request *rq, const struct gw_rpc_response *rs)
{
    struct got *g = rq->arg;

    g->calls++;
    g->status = rs->status;
    snprintf(g->message, sizeof(g->message), "%.*s", (int)rs->message.n, (const char *)rs->message.p);
    g->n_reply = rs->reply.n;
    g->n_details = rs->status_details.n;
    assert_true(g->n_reply <= sizeof(g->reply) && g->n_details <= sizeof(g->details));
    if (rs->reply.n)
        memcpy(g->reply, rs->reply.p, rs->reply.n);
    if (rs->status_details.n)
        memcpy(g->details, rs->status_details.p, rs->status_details.n);
}

static void client_new(struct rig *r, struct gw_rpc_client_conf conf)
{
    struct gw_err err = {{0}};

    snprintf(r->target, sizeof(r->target), "127.0.0.1:%d", r->sv.port);
    if (!conf.target)
        conf.target = r->target;
    if (!conf.max_response_bytes)
        conf.max_response_bytes = 4 << 20;
    if ((on_http ? gw_rpc_client_http_new : gw_rpc_client_grpc_new)(r->env, r->loop, &conf, &r->client, &err) < 0)
        fail_msg("%s", err.text);
}

static void rig_open(struct rig *r, grpc_server_credentials *creds)
{
    grpc_init();
    server_new(&r->sv, creds ? creds : grpc_insecure_server_credentials_create());
    r->env = gw_env_real_new();
    assert_int_equal(gw_loop_new(r->env, &r->loop, NULL), 0);
}

static void rig_close(struct rig *r)
{
    r->client->ops->free(r->client);
    gw_loop_free(r->loop);
    gw_env_real_free(r->env);
    server_free(&r->sv);
    grpc_shutdown();
}

static void prepare(struct got *g, const char *message)
{
    memset(g, 0, sizeof(*g));
    g->rq = (struct gw_rpc_request){
        .method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        .message = gw_slice_cstr(message),
        .timeout_ns = 10ull * 1000000000,
        .done = on_done,
        .arg = g,
    };
}

static void turn_until(struct rig *r, const struct got *g)
{
    for (unsigned i = 0; i < 15000 && !g->calls; i++) {
        server_turn(&r->sv);
        gw_loop_turn(r->loop, 1000000);
    }
    assert_int_equal(g->calls, 1);
}

static void ask(struct rig *r, struct got *g)
{
    r->client->ops->call(r->client, &g->rq);
    assert_int_equal(g->calls, 0);
    turn_until(r, g);
}

static const struct gw_client_tls INSECURE = {.insecure = true};

/* Scenario: a message as it is, with headers, authority and user agent; the server answers OK with a reply.
 * Guarantees: method, body, headers (names in lower case), authority and user agent arrive; the reply comes back. */
static void a_call_goes_out_whole_and_its_reply_comes_back(void **state)
{
    struct gw_header h[2] = {{GW_SLICE("X-Tenant"), GW_SLICE("blue")},
                             {GW_SLICE("authorization"), GW_SLICE("Bearer t")}};
    struct rig r;
    struct got g;

    (void)state;
    rig_open(&r, NULL);
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE,
                                               .authority = "gw.example",
                                               .user_agent = "Staunch/1",
                                               .load_balancing = "round_robin"});
    r.sv.reply = GW_SLICE("reply");
    prepare(&g, "hello");
    g.rq.headers = h;
    g.rq.n_headers = 2;
    ask(&r, &g);
    assert_int_equal(g.status, 0);
    assert_memory_equal(g.reply, "reply", 5);
    assert_int_equal(r.sv.n_body, 5);
    assert_memory_equal(r.sv.body, "hello", 5);
    assert_string_equal(r.sv.method, g.rq.method);
    assert_string_equal(r.sv.host, "gw.example");
    assert_non_null(strstr(r.sv.headers, "x-tenant: blue\n"));
    assert_non_null(strstr(r.sv.headers, "authorization: Bearer t\n"));
    assert_non_null(strstr(r.sv.headers, "user-agent: Staunch/1"));
    rig_close(&r);
}

/* Scenario: a message that we compressed with gzip; then one in an encoding that core does not know.
 * Guarantees: the server, which is told so, unpacks it once; the other is refused with a sentence. */
static void bytes_compressed_by_us_are_named_and_unpacked(void **state)
{
    static char big[50000];
    struct gw_buf packed;
    struct rig r;
    struct got g;

    (void)state;
    memset(big, 'x', sizeof(big));
    gw_buf_init(&packed, 100000);
    assert_int_equal(gw_compress(GW_GZIP, 0, gw_slice_of(big, sizeof(big)), &packed, NULL), 0);
    assert_true(packed.n < 1000);
    rig_open(&r, NULL);
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE});
    prepare(&g, "");
    g.rq.message = gw_buf_slice(&packed);
    g.rq.encoding = "gzip";
    ask(&r, &g);
    assert_int_equal(g.status, 0);
    assert_int_equal(r.sv.n_body, sizeof(big));
    assert_memory_equal(r.sv.body, big, sizeof(big));
    if (!on_http) { /* the other client sends it, but this server does not know it */
        prepare(&g, "x");
        g.rq.encoding = "zstd";
        ask(&r, &g);
        assert_int_equal(g.status, GRPC_STATUS_INTERNAL);
        assert_non_null(strstr(g.message, "gzip"));
    }
    gw_buf_clear(&packed);
    rig_close(&r);
}

/* Scenario: a message that lies in three places, one of them empty.
 * Guarantees: the server gets one message. */
static void a_message_in_parts_arrives_as_one(void **state)
{
    static char big[90000];
    const struct gw_slice parts[3] = {gw_slice_of(big, 40000), gw_slice_of(NULL, 0), gw_slice_of(big + 40000, 50000)};
    struct rig r;
    struct got g;

    (void)state;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 2654435761u >> 16);
    rig_open(&r, NULL);
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE});
    prepare(&g, "");
    g.rq.message = gw_slice_of(NULL, sizeof(big));
    g.rq.parts = parts;
    g.rq.n_parts = 3;
    ask(&r, &g);
    assert_int_equal(g.status, 0);
    assert_int_equal(r.sv.n_body, sizeof(big));
    assert_memory_equal(r.sv.body, big, sizeof(big));
    rig_close(&r);
}

/* Scenario: the server refuses with a status, a message and grpc-status-details-bin.
 * Guarantees: all three come back, the details decoded. */
static void a_refusal_brings_its_details(void **state)
{
    struct rig r;
    struct got g;

    (void)state;
    rig_open(&r, NULL);
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE});
    r.sv.status = GRPC_STATUS_RESOURCE_EXHAUSTED;
    r.sv.text = "slow down";
    r.sv.details_bin = GW_SLICE("\x08\x08\x00\xff");
    prepare(&g, "x");
    ask(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_string_equal(g.message, "slow down");
    assert_int_equal(g.n_details, 4);
    assert_memory_equal(g.details, "\x08\x08\x00\xff", 4);
    rig_close(&r);
}

/* Scenario: the server does not answer within the time-out; a call is cancelled; nobody listens; a header that HTTP/2
 * does not allow; a reply over max_response_bytes.
 * Guarantees: DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE, INTERNAL, RESOURCE_EXHAUSTED; each call is answered once. */
static void failures_have_their_status(void **state)
{
    static char big[1001];
    struct gw_header bad = {GW_SLICE("x"), GW_SLICE("a\nb")};
    struct rig r;
    struct got g;

    (void)state;
    rig_open(&r, NULL);
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE, .max_response_bytes = 500});
    r.sv.silent = true;
    prepare(&g, "x");
    g.rq.timeout_ns = 50000000;
    ask(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_DEADLINE_EXCEEDED);

    prepare(&g, "x");
    g.rq.timeout_ns = 1000000000; /* curl tells a server late that a stream is cancelled: it waits so long */
    r.client->ops->call(r.client, &g.rq);
    for (unsigned i = 0; i < 20; i++) {
        server_turn(&r.sv);
        gw_loop_turn(r.loop, 1000000);
    }
    r.client->ops->cancel(r.client, &g.rq);
    turn_until(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_CANCELLED);

    r.sv.silent = false;
    prepare(&g, "x");
    g.rq.headers = &bad;
    g.rq.n_headers = 1;
    ask(&r, &g);
    assert_int_equal(g.status, on_http ? GRPC_STATUS_UNAVAILABLE : GRPC_STATUS_INTERNAL);

    memset(big, 'y', 1000);
    r.sv.reply = gw_slice_cstr(big);
    prepare(&g, "x");
    ask(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    r.client->ops->free(r.client);

    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE, .target = "127.0.0.1:1"});
    prepare(&g, "x");
    ask(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_UNAVAILABLE);
    if (on_http) {
        rig_close(&r);
        return;
    }
    r.client->ops->free(r.client);

    /* With wait_for_ready the same call waits until its time is up. */
    client_new(&r, (struct gw_rpc_client_conf){.tls = INSECURE, .target = "127.0.0.1:1", .wait_for_ready = true});
    prepare(&g, "x");
    g.rq.timeout_ns = 200000000;
    ask(&r, &g);
    assert_int_equal(g.status, GRPC_STATUS_DEADLINE_EXCEEDED);
    rig_close(&r);
}

/* Scenario: a server that wants a client certificate, reached by address; a client with and without one, with a name
 * that is not the certificate's, and one that takes any certificate.
 * Guarantees: server_name_override is the name that is checked; without our certificate, or without trust in the
 * authority, there is no call. */
static void tls_checks_both_sides(void **state)
{
    struct gw_pki_cert ca = gw_pki_new("authority", NULL), server = gw_pki_new("gw.example", &ca),
                       client = gw_pki_new("client", &ca);
    grpc_ssl_pem_key_cert_pair pair = {server.key_pem, server.cert_pem};
    const struct {
        struct gw_client_tls tls;
        bool passes;
    } cases[] = {
        {{.ca_pem = ca.cert_pem,
          .cert_pem = client.cert_pem,
          .key_pem = client.key_pem,
          .server_name_override = "gw.example"},
         true},
        {{.ca_pem = ca.cert_pem,
          .cert_pem = client.cert_pem,
          .key_pem = client.key_pem,
          .server_name_override = "other.example"},
         false},
        {{.ca_pem = ca.cert_pem, .server_name_override = "gw.example"}, false},
        {{.cert_pem = client.cert_pem, .key_pem = client.key_pem, .server_name_override = "gw.example"}, false},
        {{.cert_pem = client.cert_pem, .key_pem = client.key_pem, .insecure_skip_verify = true}, true},
    };
    struct rig r;

    (void)state;
    rig_open(&r, grpc_ssl_server_credentials_create_ex(
                     ca.cert_pem, &pair, 1, GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, NULL));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct got g;

        client_new(&r, (struct gw_rpc_client_conf){.tls = cases[i].tls});
        prepare(&g, "x");
        g.rq.timeout_ns = 3ull * 1000000000;
        ask(&r, &g);
        assert_int_equal(g.status, cases[i].passes ? GRPC_STATUS_OK : GRPC_STATUS_UNAVAILABLE);
        if (i + 1 < sizeof(cases) / sizeof(cases[0]))
            r.client->ops->free(r.client);
    }
    rig_close(&r);
    gw_pki_free(&ca);
    gw_pki_free(&server);
    gw_pki_free(&client);
}

/* Scenario: the server's authority lies in the system's bundle, which SSL_CERT_FILE names; another one in ca_pem.
 * Guarantees: the system's are believed without a ca_pem, and beside it with include_system_ca_certs_pool. */
static void the_systems_authorities_are_asked_when_wanted(void **state)
{
    struct gw_pki_cert ca = gw_pki_new("authority", NULL), other = gw_pki_new("somebody", NULL),
                       server = gw_pki_new("gw.example", &ca);
    grpc_ssl_pem_key_cert_pair pair = {server.key_pem, server.cert_pem};
    const struct {
        const char *ca_pem;
        bool include_system_ca_certs_pool, passes;
    } cases[] = {{NULL, false, true}, {other.cert_pem, false, false}, {other.cert_pem, true, true}};
    char path[] = "/tmp/rpc_client_test.XXXXXX";
    int fd = mkstemp(path);
    struct rig r;

    (void)state;
    assert_int_equal(write(fd, ca.cert_pem, strlen(ca.cert_pem)), strlen(ca.cert_pem));
    (void)close(fd);
    (void)setenv("SSL_CERT_FILE", path, 1);
    rig_open(&r, grpc_ssl_server_credentials_create_ex(NULL, &pair, 1, GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, NULL));
    for (size_t i = 0; i < 3; i++) {
        struct got g;

        client_new(&r, (struct gw_rpc_client_conf){
                           .tls = {.ca_pem = cases[i].ca_pem,
                                   .include_system_ca_certs_pool = cases[i].include_system_ca_certs_pool,
                                   .server_name_override = "gw.example"}});
        prepare(&g, "x");
        g.rq.timeout_ns = 3ull * 1000000000;
        ask(&r, &g);
        assert_int_equal(g.status, cases[i].passes ? GRPC_STATUS_OK : GRPC_STATUS_UNAVAILABLE);
        if (i < 2)
            r.client->ops->free(r.client);
    }
    rig_close(&r);
    (void)unsetenv("SSL_CERT_FILE");
    (void)unlink(path);
    gw_pki_free(&ca);
    gw_pki_free(&other);
    gw_pki_free(&server);
}

/* Scenario: min_version and max_version, which grpc core cannot narrow. Guarantees: refused, in a sentence. */
static void versions_that_grpc_cannot_choose_are_refused(void **state)
{
    static const struct {
        const char *min_version, *max_version;
    } cases[] = {{"1.3", ""}, {"", "1.2"}, {"1.2", "1.3"}};
    struct gw_env *env = gw_env_real_new();
    struct gw_loop *loop;

    (void)state;
    assert_int_equal(gw_loop_new(env, &loop, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct gw_rpc_client_conf conf = {
            .target = "127.0.0.1:1", .tls = {.min_version = cases[i].min_version, .max_version = cases[i].max_version}};
        struct gw_rpc_client *client;
        struct gw_err err = {{0}};
        int rc = gw_rpc_client_grpc_new(env, loop, &conf, &client, &err);

        assert_int_equal(rc < 0, i < 2);
        if (rc < 0)
            assert_non_null(strstr(err.text, "cannot be changed"));
        else
            client->ops->free(client);
    }
    gw_loop_free(loop);
    gw_env_real_free(env);
}

static int choose_http(void **state)
{
    (void)state;
    on_http = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_out_whole_and_its_reply_comes_back),
        cmocka_unit_test(bytes_compressed_by_us_are_named_and_unpacked),
        cmocka_unit_test(a_message_in_parts_arrives_as_one),
        cmocka_unit_test(a_refusal_brings_its_details),
        cmocka_unit_test(failures_have_their_status),
        cmocka_unit_test(tls_checks_both_sides),
        cmocka_unit_test(the_systems_authorities_are_asked_when_wanted),
        cmocka_unit_test(versions_that_grpc_cannot_choose_are_refused),
        cmocka_unit_test_setup(a_call_goes_out_whole_and_its_reply_comes_back, choose_http),
        cmocka_unit_test_setup(bytes_compressed_by_us_are_named_and_unpacked, choose_http),
        cmocka_unit_test_setup(a_refusal_brings_its_details, choose_http),
        cmocka_unit_test_setup(failures_have_their_status, choose_http),
        cmocka_unit_test_setup(tls_checks_both_sides, choose_http),
    };

    setenv("GRPC_VERBOSITY", "NONE", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
