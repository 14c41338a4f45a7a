/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/yaml.h"
#include "net/loop.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "tests/harness_env.h"
#include "tests/harness_tls.h"

struct bench {
    struct gw_test_env te;
    struct gw_host host; /* its ops read `ready` */
    bool ready;
    struct gw_loop *loop;
    struct gw_arena arena;
    struct gw_diag diag;
    const struct gw_component *type;
    struct gw_ctx ctx;
    void *conf, *self, *local;
    char path[64];
};

static struct bench *bench_of(struct gw_host *h)
{
    return (struct bench *)((char *)h - offsetof(struct bench, host));
}

static bool is_ready(struct gw_host *h)
{
    return bench_of(h)->ready;
}

static uint64_t started_ns(struct gw_host *h)
{
    (void)h;
    return 1767323045678000000u;
}

static int check(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err)
{
    struct gw_slice v;

    (void)ret;
    (void)err;
    return hs->get(hs, GW_SLICE("authorization"), &v) && gw_slice_is(v, self) ? 0 : -EACCES;
}

static int auth(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err)
{
    static const struct gw_auth_ops ops = {.check = check};

    assert_string_equal(id, "basicauth/probe");
    (void)err;
    (void)h;
    *ret = (struct gw_auth){&ops, (void *)(uintptr_t) "sesame"};
    return 0;
}

static const struct gw_host_ops host_ops = {.auth = auth, .is_ready = is_ready, .started_ns = started_ns};

static void drop_bench(struct bench *b)
{
    b->type->destroy(b->self);
    gw_loop_free(b->loop);
    gw_diag_clear(&b->diag);
    gw_arena_clear(&b->arena);
    gw_test_env_clear(&b->te);
    free(b->conf);
}

/* False: it did not start, nothing is left. */
static bool try_bench(struct bench *b, const char *transport, const char *endpoint, const char *yaml)
{
    struct gw_buf text;
    struct gw_err err = {""};
    const struct gw_node *node;
    bool old;

    memset(b, 0, sizeof(*b));
    gw_test_env_init(&b->te, 1);
    gw_arena_init(&b->arena, 4096, 1 << 20);
    gw_diag_init(&b->diag);
    gw_buf_init(&text, 65536);
    gw_buf_printf(&text, "transport: %s\nendpoint: '%s'\n", transport, endpoint);
    gw_buf_put_str(&text, yaml);
    b->type = gw_component_find(GW_EXTENSION, GW_SLICE("health_check"), &old);
    assert_non_null(b->type);
    node = gw_yaml_parse(gw_buf_slice(&text), "test.yaml", &b->arena, &b->diag);
    b->conf = calloc(1, b->type->conf_size);
    assert_int_equal(gw_schema_fill(b->type->fields, b->type->conf_size, node, b->conf, &b->arena, &b->diag), 0);
    b->host.ops = &host_ops;
    b->ctx = (struct gw_ctx){.env = &b->te.env, .id = "health_check", .host = &b->host};
    assert_int_equal(gw_loop_new(&b->te.env, &b->loop, &err), 0);
    assert_int_equal(b->type->create(&b->self, &b->ctx, b->conf, &err), 0);
    gw_buf_clear(&text);
    if (b->type->open(b->self, b->loop, NULL, &b->local, &err) == 0)
        return true;
    print_message("does not start: %s\n", err.text);
    drop_bench(b);
    return false;
}

static void open_bench(struct bench *b, const char *yaml)
{
    char path[64];

    snprintf(path, sizeof(path), "/tmp/gw_health.%d", (int)getpid());
    (void)unlink(path);
    assert_true(try_bench(b, "unix", path, yaml));
    strcpy(b->path, path);
}

static void close_bench(struct bench *b)
{
    b->type->close(b->local);
    drop_bench(b);
    (void)unlink(b->path);
}

static int connect_unix(void *arg)
{
    struct bench *b = arg;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(a.sun_path, b->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* One request, the whole answer. */
static const char *ask_by(struct bench *b, int fd, const char *request)
{
    static char answer[4096];
    size_t n = 0;

    assert_int_equal(write(fd, request, strlen(request)), (int)strlen(request));
    for (unsigned i = 0; i < 50; i++) {
        ssize_t got;

        gw_loop_turn(b->loop, 0);
        got = read(fd, answer + n, sizeof(answer) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    answer[n] = 0;
    close(fd);
    return answer;
}

static const char *ask(struct bench *b, const char *request)
{
    return ask_by(b, connect_unix(b), request);
}

static void assert_says(const char *answer, const char *text)
{
    if (!strstr(answer, text))
        fail_msg("missing: %s in:\n%s", text, answer);
}

/*
 * Scenario    asked before the start, 90 s after it, and while draining
 * Guarantees  503, 200 with status, upSince and uptime, 503: the Collector's JSON
 */
static void it_tells_whether_requests_are_taken(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, "");
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503");
    b.ready = true;
    gw_test_env_advance(&b.te, 90500000000u);
    assert_says(ask(&b, "GET /any/path HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200");
    assert_says(
        ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        "{\"status\":\"Server available\",\"upSince\":\"2026-01-02T03:04:05.678000000Z\",\"uptime\":\"1m30.5s\"}");
    b.ready = false;
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "{\"status\":\"Server not available\"");
    close_bench(&b);
}

/*
 * Scenario    path, response_body and response_headers are set
 * Guarantees  the texts are answered at that path with that header; other paths are 404
 */
static void path_bodies_and_headers_are_its_own(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, "path: /live\nresponse_body: { healthy: fine, unhealthy: wait }\nresponse_headers: { x-a: b }\n");
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404");
    assert_says(ask(&b, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\nwait");
    b.ready = true;
    assert_says(ask(&b, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\nfine");
    assert_says(ask(&b, "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"), "x-a: b\r\n");
    close_bench(&b);
}

/*
 * Scenario    auth is set: no, wrong and right credentials
 * Guarantees  401, 401, 200
 */
static void credentials_are_asked_for(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, "auth: { authenticator: basicauth/probe }\n");
    b.ready = true;
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 401");
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: guess\r\n\r\n"), "HTTP/1.1 401");
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: sesame\r\n\r\n"), "HTTP/1.1 200");
    close_bench(&b);
}

/* A TCP port of 127.0.0.1 and .2 that nobody has at this moment. */
static unsigned free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    close(fd);
    return ntohs(in.sin_port);
}

/* -1: nobody listens there. */
static int connect_tcp(const char *address, unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/*
 * Scenario    transport tcp with an endpoint on 127.0.0.2; transport unix with a path for endpoint
 * Guarantees  it is served there and nowhere else
 */
static void endpoint_and_transport_say_where(void **state)
{
    unsigned port = free_port();
    char endpoint[32];
    struct bench b;
    int fd;

    (void)state;
    snprintf(endpoint, sizeof(endpoint), "127.0.0.2:%u", port);
    assert_true(try_bench(&b, "tcp", endpoint, ""));
    fd = connect_tcp("127.0.0.2", port);
    assert_true(fd >= 0);
    assert_says(ask_by(&b, fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503");
    assert_int_equal(connect_tcp("127.0.0.1", port), -1);
    close_bench(&b);
    open_bench(&b, "");
    assert_int_equal(connect_tcp("127.0.0.2", port), -1);
    assert_says(ask(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503");
    close_bench(&b);
}

static bool open_tls(void *arg, const char *tls)
{
    struct bench *b = arg;
    char *yaml = malloc(strlen(tls) + 8), path[64];
    bool ok;

    assert_non_null(yaml);
    sprintf(yaml, "tls: %s\n", tls);
    snprintf(path, sizeof(path), "/tmp/gw_health.%d", (int)getpid());
    (void)unlink(path);
    ok = try_bench(b, "unix", path, yaml);
    strcpy(b->path, path);
    free(yaml);
    return ok;
}

static void turn_tls(void *arg, uint64_t ns)
{
    struct bench *b = arg;

    if (ns)
        gw_test_env_advance(&b->te, ns);
    for (unsigned i = 0; i < 3; i++)
        gw_loop_turn(b->loop, 0);
}

static void close_tls(void *arg)
{
    close_bench(arg);
}

static struct bench tls_bench;
static const struct gw_tls_subject tls_subject = {&tls_bench, open_tls, connect_unix, turn_tls, close_tls};

/*
 * Scenario    the tls block with cert_file and key_file; cert_pem and key_pem; a certificate of an authority in
 * between, alone, with it in ca_file, in ca_pem, and with include_system_ca_certs_pool where it is among the system's
 * Guarantees  clients are shown the one that was set, and can judge it when the chain is complete
 */
static void tls_shows_the_identity_that_was_set(void **state)
{
    (void)state;
    gw_test_tls_identity(&tls_subject);
}

/*
 * Scenario    client_ca_file; it and the server's own files change after a while, with client_ca_file_reload and
 * without, and reload_interval 5s Guarantees  only its clients get in; what is read again is read then and not before
 */
static void tls_lets_in_whom_the_authority_knows(void **state)
{
    (void)state;
    gw_test_tls_clients(&tls_subject);
}

/*
 * Scenario    min_version, max_version, cipher_suites, include_insecure_cipher_suites, curve_preferences, each with
 *             clients that can do nothing else
 * Guarantees  they get in, or do not
 */
static void tls_is_spoken_as_set(void **state)
{
    (void)state;
    gw_test_tls_ways(&tls_subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_whether_requests_are_taken),
        cmocka_unit_test(path_bodies_and_headers_are_its_own),
        cmocka_unit_test(credentials_are_asked_for),
        cmocka_unit_test(endpoint_and_transport_say_where),
        cmocka_unit_test(tls_shows_the_identity_that_was_set),
        cmocka_unit_test(tls_lets_in_whom_the_authority_knows),
        cmocka_unit_test(tls_is_spoken_as_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
