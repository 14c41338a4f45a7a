/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

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

static const struct gw_host_ops host_ops = {auth, is_ready, started_ns};

static void open_bench(struct bench *b, const char *yaml)
{
    char text[512];
    struct gw_err err = {""};
    const struct gw_node *node;
    bool old;

    memset(b, 0, sizeof(*b));
    gw_test_env_init(&b->te, 1);
    gw_arena_init(&b->arena, 4096, 1 << 20);
    gw_diag_init(&b->diag);
    snprintf(b->path, sizeof(b->path), "/tmp/gw_health.%d", (int)getpid());
    (void)unlink(b->path);
    snprintf(text, sizeof(text), "transport: unix\nendpoint: %s\n%s", b->path, yaml);
    b->type = gw_component_find(GW_EXTENSION, GW_SLICE("health_check"), &old);
    assert_non_null(b->type);
    node = gw_yaml_parse(gw_slice_cstr(text), "test.yaml", &b->arena, &b->diag);
    b->conf = calloc(1, b->type->conf_size);
    assert_int_equal(gw_schema_fill(b->type->fields, b->type->conf_size, node, b->conf, &b->arena, &b->diag), 0);
    b->host.ops = &host_ops;
    b->ctx = (struct gw_ctx){.env = &b->te.env, .id = "health_check", .host = &b->host};
    assert_int_equal(gw_loop_new(&b->te.env, &b->loop, &err), 0);
    assert_int_equal(b->type->create(&b->self, &b->ctx, b->conf, &err), 0);
    if (b->type->open(b->self, b->loop, NULL, &b->local, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_bench(struct bench *b)
{
    b->type->close(b->local);
    b->type->destroy(b->self);
    gw_loop_free(b->loop);
    gw_diag_clear(&b->diag);
    gw_arena_clear(&b->arena);
    gw_test_env_clear(&b->te);
    free(b->conf);
    (void)unlink(b->path);
}

/* One request, the whole answer. */
static const char *ask(struct bench *b, const char *request)
{
    static char answer[4096];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    size_t n = 0;

    strcpy(a.sun_path, b->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_whether_requests_are_taken),
        cmocka_unit_test(path_bodies_and_headers_are_its_own),
        cmocka_unit_test(credentials_are_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
