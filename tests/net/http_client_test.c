/* SPDX-License-Identifier: Apache-2.0 */
/* The curl client against a small server of plain sockets in this thread: what goes over the wire, and what comes back.
 */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/client_tls.h"
#include "net/clients.h"
#include "net/loop.h"

enum { MAX_CONNS = 16 };

/* ---- in front of the C library: what curl asks of it -------------------------------------------------------- */

static bool serving;                   /* the server's calls do not count */
static size_t most_sent, most_wanted;  /* of one call */
static _Atomic uint64_t clock_skip_ns; /* the monotonic clock is so much ahead */

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    if (!serving && n > most_sent)
        most_sent = n;
    return sendto(fd, p, n, flags, NULL, 0);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    if (!serving && n > most_wanted)
        most_wanted = n;
    return recvfrom(fd, p, n, flags, NULL, NULL);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);
    uint64_t ns;

    if (r < 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_RAW && id != CLOCK_MONOTONIC_COARSE))
        return r;
    ns = (uint64_t)ts->tv_nsec + clock_skip_ns;
    ts->tv_sec += (time_t)(ns / 1000000000);
    ts->tv_nsec = (long)(ns % 1000000000);
    return 0;
}

/* ---- the server: answers `reply` to every complete request and keeps what it got ---------------------------- */

struct conn {
    int fd;
    char in[1 << 20];
    size_t n;
};
struct server {
    int fd;
    unsigned port, accepted, requests;
    char path[108];
    const char *reply; /* NULL: never answers */
    bool close_after;
    unsigned hangs_up_at; /* the request, counted from 1, that is read and not answered: the connection ends */
    struct conn *conns[MAX_CONNS];
    char last[1 << 20]; /* the last whole request */
    size_t n_last;
};

static void server_new(struct server *sv, const char *unix_path)
{
    memset(sv, 0, sizeof(*sv));
    if (unix_path) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};

        snprintf(un.sun_path, sizeof(un.sun_path), "%s", unix_path);
        unlink(unix_path);
        sv->fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(sv->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);

        sv->fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(sv->fd, (struct sockaddr *)&in, sizeof(in)), 0);
        getsockname(sv->fd, (struct sockaddr *)&in, &len);
        sv->port = ntohs(in.sin_port);
    }
    assert_int_equal(listen(sv->fd, 16), 0);
    fcntl(sv->fd, F_SETFL, O_NONBLOCK);
    sv->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: Some Value \r\n\r\nok";
}

static void server_free(struct server *sv)
{
    for (unsigned i = 0; i < MAX_CONNS; i++)
        if (sv->conns[i]) {
            close(sv->conns[i]->fd);
            free(sv->conns[i]);
        }
    close(sv->fd);
}

static size_t whole(const struct conn *c)
{
    const char *end = memmem(c->in, c->n, "\r\n\r\n", 4), *len;
    size_t want = 0;

    if (!end)
        return 0;
    len = memmem(c->in, (size_t)(end - c->in), "Content-Length: ", 16);
    if (len)
        want = strtoul(len + 16, NULL, 10);
    want += (size_t)(end + 4 - c->in);
    return c->n >= want ? want : 0;
}

static bool serve_conn(struct server *sv, struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, MSG_DONTWAIT);
    size_t len;

    if (n == 0)
        return false;
    if (n > 0)
        c->n += (size_t)n;
    len = whole(c);
    if (!len)
        return true;
    memcpy(sv->last, c->in, len);
    sv->last[len] = '\0';
    sv->n_last = len;
    c->n = 0;
    if (++sv->requests == sv->hangs_up_at)
        return false;
    if (!sv->reply)
        return true;
    assert_true(send(c->fd, sv->reply, strlen(sv->reply), MSG_NOSIGNAL) >= 0);
    return !sv->close_after;
}

static void serve(struct server *sv)
{
    int fd = accept(sv->fd, NULL, NULL);

    serving = true;
    if (fd >= 0) {
        sv->accepted++;
        for (unsigned i = 0; i < MAX_CONNS; i++)
            if (!sv->conns[i]) {
                sv->conns[i] = calloc(1, sizeof(struct conn));
                sv->conns[i]->fd = fd;
                break;
            }
    }
    for (unsigned i = 0; i < MAX_CONNS; i++)
        if (sv->conns[i] && !serve_conn(sv, sv->conns[i])) {
            close(sv->conns[i]->fd);
            free(sv->conns[i]);
            sv->conns[i] = NULL;
        }
    serving = false;
}

/* ---- the client's side ------------------------------------------------------------------------------------- */

struct rig {
    struct gw_env *env;
    struct gw_loop *loop;
    struct gw_http_client *client;
    struct server sv;
};

struct answer {
    struct gw_http_request rq;
    unsigned calls;
    enum gw_http_failure failure;
    int status;
    char body[4096], thing[64], error[256];
    size_t n_body;
};

static void on_done(struct gw_http_request *rq, const struct gw_http_response *rs)
{
    struct answer *a = rq->arg;

    a->calls++;
    a->failure = rs->failure;
    a->status = rs->status;
    a->n_body = rs->body.n;
    snprintf(a->body, sizeof(a->body), "%.*s", (int)rs->body.n, (const char *)rs->body.p);
    snprintf(a->error, sizeof(a->error), "%s", rs->error ? rs->error : "");
    for (unsigned i = 0; i < rs->n_headers; i++)
        if (gw_slice_is(rs->headers[i].name, "x-thing"))
            snprintf(a->thing, sizeof(a->thing), "%.*s", (int)rs->headers[i].value.n,
                     (const char *)rs->headers[i].value.p);
}

static void rig_open(struct rig *r, struct gw_http_client_conf conf)
{
    server_new(&r->sv, NULL);
    r->env = gw_env_real_new();
    assert_int_equal(gw_loop_new(r->env, &r->loop, NULL), 0);
    if (!conf.max_response_bytes)
        conf.max_response_bytes = 1000;
    assert_int_equal(gw_http_client_curl_new(r->env, r->loop, &conf, &r->client, NULL), 0);
}

static void rig_close(struct rig *r)
{
    r->client->ops->free(r->client);
    gw_loop_free(r->loop);
    gw_env_real_free(r->env);
    server_free(&r->sv);
}

static void turn_until(struct rig *r, const struct answer *a)
{
    for (unsigned i = 0; i < 5000 && !a->calls; i++) {
        serve(&r->sv);
        gw_loop_turn(r->loop, 1000000);
    }
    assert_int_equal(a->calls, 1);
}

static void prepare(struct answer *a, struct rig *r, const char *method, const char *path, const char *body)
{
    static char url[256];

    memset(a, 0, sizeof(*a));
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", r->sv.port, path);
    a->rq =
        (struct gw_http_request){.method = method, .url = url, .body = gw_slice_cstr(body), .done = on_done, .arg = a};
}

static void ask(struct rig *r, struct answer *a)
{
    r->client->ops->send(r->client, &a->rq);
    assert_int_equal(a->calls, 0); /* never from inside */
    turn_until(r, a);
}

/* Scenario: a POST with a body and headers, answered 200.
 * Guarantees: method, path, body, our headers and user agent arrive; status, body and a header (name in lower case,
 * value trimmed) come back; there is no Expect header. */
static void a_post_goes_out_whole_and_its_answer_comes_back(void **state)
{
    struct rig r;
    struct answer a;
    struct gw_header h[2] = {{GW_SLICE("Content-Type"), GW_SLICE("application/x-protobuf")},
                             {GW_SLICE("X-Empty"), GW_SLICE("")}};

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){.user_agent = "Staunch/1 (linux/amd64)"});
    prepare(&a, &r, "POST", "/v1/traces?x=1", "hello body");
    a.rq.headers = h;
    a.rq.n_headers = 2;
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_OK);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "ok");
    assert_string_equal(a.thing, "Some Value");
    assert_non_null(strstr(r.sv.last, "POST /v1/traces?x=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(r.sv.last, "Content-Type: application/x-protobuf\r\n"));
    assert_non_null(strstr(r.sv.last, "X-Empty:\r\n"));
    assert_non_null(strstr(r.sv.last, "User-Agent: Staunch/1 (linux/amd64)\r\n"));
    assert_non_null(strstr(r.sv.last, "\r\n\r\nhello body"));
    assert_null(strstr(r.sv.last, "Expect"));
    rig_close(&r);
}

/* 900 KB in places of all lengths, the empty one too. */
static size_t cut(uint8_t *p, size_t n, struct gw_slice *ret, size_t cap)
{
    size_t k = 0, at = 0;

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 2654435761u >> 16);
    for (; at < n && k + 1 < cap; at += ret[k++].n)
        ret[k] = gw_slice_of(p + at, k * k < n - at ? k * k : n - at);
    ret[k++] = gw_slice_of(p + at, n - at);
    return k;
}

static void assert_got(const struct server *sv, const uint8_t *p, size_t n)
{
    assert_true(sv->n_last > n);
    assert_memory_equal(sv->last + sv->n_last - n, p, n);
}

/* Scenario: a body of 900 KB that lies in 144, 2 and 1 places, on one connection; then once more, and the server reads
 * the second of them to its end and hangs up.
 * Guarantees: the body arrives whole, with its length said, and on the new connection from its beginning. */
static void a_body_in_parts_arrives_whole(void **state)
{
    static uint8_t p[900000];
    static struct gw_slice parts[200];
    size_t n = cut(p, sizeof(p), parts, 200);
    struct gw_slice two[2] = {gw_slice_of(p, 1), gw_slice_of(p + 1, sizeof(p) - 1)}, one = gw_slice_of(p, sizeof(p));
    const struct gw_rope ropes[] = {{parts, (uint32_t)n, sizeof(p)}, {two, 2, sizeof(p)}, {&one, 1, sizeof(p)}};

    (void)state;
    assert_in_range(n, 130, 199);
    for (unsigned hangs_up = 0; hangs_up < 2; hangs_up++) {
        struct rig r;
        struct answer a;

        rig_open(&r, (struct gw_http_client_conf){0});
        r.sv.hangs_up_at = hangs_up ? 2 : 0;
        for (unsigned i = 0; i < 3; i++) {
            prepare(&a, &r, "POST", "/", "");
            a.rq.body = gw_slice_of(NULL, sizeof(p));
            a.rq.parts = ropes[i].parts;
            a.rq.n_parts = ropes[i].n_parts;
            ask(&r, &a);
            assert_int_equal(a.status, 200);
            assert_non_null(memmem(r.sv.last, 1000, "Content-Length: 900000\r\n", 24));
            assert_null(memmem(r.sv.last, 1000, "Expect", 6));
            assert_got(&r.sv, p, sizeof(p));
            memset(r.sv.last, 0, sizeof(r.sv.last));
        }
        assert_int_equal(r.sv.requests, 3 + hangs_up);
        assert_int_equal(r.sv.accepted, 1 + hangs_up);
        rig_close(&r);
    }
}

/* Scenario: three requests one after the other; then the same with disable_keep_alives.
 * Guarantees: one connection serves all; without keep-alive each has its own and says so. */
static void connections_are_kept_unless_told_otherwise(void **state)
{
    (void)state;
    for (unsigned off = 0; off < 2; off++) {
        struct rig r;
        struct answer a;

        rig_open(&r, (struct gw_http_client_conf){.disable_keep_alives = off});
        for (unsigned i = 0; i < 3; i++) {
            prepare(&a, &r, "POST", "/", "x");
            ask(&r, &a);
        }
        assert_int_equal(r.sv.requests, 3);
        assert_int_equal(r.sv.accepted, off ? 3 : 1);
        assert_true(!!strstr(r.sv.last, "Connection: close") == off);
        rig_close(&r);
    }
}

/* Scenario: six requests at once with max_conns_per_host 2.
 * Guarantees: never more than two connections, and all are answered. */
static void no_more_connections_than_allowed(void **state)
{
    struct rig r;
    struct answer a[6];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){.max_conns_per_host = 2});
    for (unsigned i = 0; i < 6; i++) {
        prepare(&a[i], &r, "POST", "/", "x");
        r.client->ops->send(r.client, &a[i].rq);
    }
    for (unsigned i = 0; i < 6; i++)
        turn_until(&r, &a[i]);
    assert_int_equal(r.sv.requests, 6);
    assert_in_range(r.sv.accepted, 1, 2);
    rig_close(&r);
}

/* n requests at once, all answered. */
static void ask_together(struct rig *r, unsigned n)
{
    static struct answer a[4];

    for (unsigned i = 0; i < n; i++) {
        prepare(&a[i], r, "POST", "/", "x");
        r->client->ops->send(r->client, &a[i].rq);
    }
    for (unsigned i = 0; i < n; i++)
        turn_until(r, &a[i]);
}

/* Scenario: three requests at once, and again, with max_idle_conns 1 and without a limit.
 * Guarantees: one connection is kept and two are new, or all three are kept. */
static void idle_connections_are_kept_up_to_a_limit(void **state)
{
    struct rig r;

    (void)state;
    for (unsigned limit = 0; limit < 2; limit++) {
        rig_open(&r, (struct gw_http_client_conf){.max_idle_conns = limit});
        ask_together(&r, 3);
        assert_int_equal(r.sv.accepted, 3);
        ask_together(&r, 3);
        assert_int_equal(r.sv.accepted, limit ? 5 : 3);
        rig_close(&r);
    }
}

/* Scenario: a request, 30 s of silence, another one, with idle_conn_timeout 20 s, 60 s and none.
 * Guarantees: a connection that was idle for longer is not used again. */
static void a_connection_that_was_idle_too_long_is_not_used(void **state)
{
    static const struct {
        uint64_t idle_conn_timeout_ns;
        unsigned connections;
    } cases[] = {{20000000000, 2}, {60000000000, 1}, {0, 1}};
    struct rig r;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        rig_open(&r, (struct gw_http_client_conf){.idle_conn_timeout_ns = cases[i].idle_conn_timeout_ns});
        ask_together(&r, 1);
        clock_skip_ns += 30000000000;
        ask_together(&r, 1);
        assert_int_equal(r.sv.accepted, cases[i].connections);
        rig_close(&r);
    }
}

/* Scenario: a body of 300 kB with read_buffer and write_buffer of the library's size, and of others.
 * Guarantees: the library reads and writes in pieces of these sizes. */
static void buffers_have_the_sizes_of_the_settings(void **state)
{
    static const struct {
        size_t read_buffer_size, write_buffer_size, wanted, sent;
    } cases[] = {{0, 0, 16384, 65536}, {4096, 32768, 4096, 32768}, {100000, 200000, 100000, 200000}};
    static char text[300001];
    struct rig r;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    for (unsigned i = 0; i < 3; i++) {
        struct answer a;

        rig_open(&r, (struct gw_http_client_conf){.read_buffer_bytes = cases[i].read_buffer_size,
                                                  .write_buffer_bytes = cases[i].write_buffer_size});
        most_sent = most_wanted = 0;
        prepare(&a, &r, "POST", "/", text);
        ask(&r, &a);
        assert_int_equal(a.status, 200);
        assert_int_equal(most_wanted, cases[i].wanted);
        assert_int_equal(most_sent, cases[i].sent);
        rig_close(&r);
    }
}

/* Scenario: an answer longer than max_response_bytes with status 503.
 * Guarantees: TOO_LARGE with the status and the allowed part; no more memory than the cap. */
static void a_long_answer_is_cut_and_its_status_kept(void **state)
{
    struct rig r;
    struct answer a;
    static char reply[8000];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){.max_response_bytes = 100});
    snprintf(reply, sizeof(reply), "HTTP/1.1 503 Busy\r\nContent-Length: 5000\r\n\r\n%05000d", 7);
    r.sv.reply = reply;
    prepare(&a, &r, "POST", "/", "x");
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_TOO_LARGE);
    assert_int_equal(a.status, 503);
    assert_int_equal(a.n_body, 100);
    rig_close(&r);
}

/* Scenario: the server answers 302 with a Location.
 * Guarantees: the answer is handed over as it is; nobody goes there. */
static void a_redirect_is_not_followed(void **state)
{
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    r.sv.reply = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
    prepare(&a, &r, "POST", "/", "x");
    ask(&r, &a);
    assert_int_equal(a.status, 302);
    assert_int_equal(r.sv.requests, 1);
    rig_close(&r);
}

/* Scenario: nobody listens; the server closes without an answer; it never answers within timeout_ns.
 * Guarantees: CONNECT, BROKEN, TIMEOUT, each with a sentence and no status. */
static void failures_are_told_apart(void **state)
{
    struct rig r;
    struct answer a;
    char nowhere[64];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    prepare(&a, &r, "POST", "/", "x");
    snprintf(nowhere, sizeof(nowhere), "http://127.0.0.1:1/");
    a.rq.url = nowhere;
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_CONNECT);
    assert_int_equal(a.status, 0);
    assert_true(a.error[0]);

    r.sv.reply = "";
    r.sv.close_after = true;
    prepare(&a, &r, "POST", "/", "x");
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_BROKEN);

    r.sv.reply = NULL;
    r.sv.close_after = false;
    prepare(&a, &r, "POST", "/", "x");
    a.rq.timeout_ns = 30000000;
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_TIMEOUT);
    rig_close(&r);
}

static void cut_everywhere(struct rig *r, const char *reply, size_t least)
{
    static char cut[512];

    for (size_t n = 1; n <= strlen(reply); n++) {
        struct answer a;
        bool whole = n >= least;

        (void)snprintf(cut, sizeof(cut), "%.*s", (int)n, reply);
        r->sv.reply = cut;
        prepare(&a, r, "POST", "/", "x");
        ask(r, &a);
        if ((a.failure == GW_HTTP_OK) != whole || (a.status != 0) != whole)
            fail_msg("cut after %zu bytes of %s: failure %d, status %d", n, reply, (int)a.failure, a.status);
    }
}

/* Scenario: the server hangs up after each byte of an answer with a length, in chunks, without content, with neither.
 * Guarantees: an answer that is not whole is none, whatever its first line said; without a length it ends with the
 * connection. */
static void an_answer_that_is_cut_is_none(void **state)
{
    static const char sized[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: a\r\n\r\nhello",
                      chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                      empty[] = "HTTP/1.1 204 No Content\r\nX-Thing: a\r\n\r\n",
                      endless[] = "HTTP/1.1 200 OK\r\nX-Thing: a\r\n\r\nhello",
                      twice[] =
                          "HTTP/1.1 103 Early Hints\r\nX-Thing: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct rig r;

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    r.sv.close_after = true;
    cut_everywhere(&r, sized, sizeof(sized) - 1);
    cut_everywhere(&r, chunked, sizeof(chunked) - 1 - 1); /* behind the last chunk only a line feed is missing */
    cut_everywhere(&r, empty, sizeof(empty) - 1);
    cut_everywhere(&r, endless, sizeof(endless) - 1 - 5);
    cut_everywhere(&r, twice, sizeof(twice) - 1);
    rig_close(&r);
}

/* The server has answered, and 5 s pass before the client's next turn. */
static void ask_and_stand_still(struct rig *r, struct answer *a, unsigned requests)
{
    prepare(a, r, "POST", "/", "x");
    a->rq.timeout_ns = 1000000000;
    r->client->ops->send(r->client, &a->rq);
    for (unsigned i = 0; i < 5000 && r->sv.requests < requests; i++) {
        gw_loop_turn(r->loop, 1000000);
        serve(&r->sv);
    }
    assert_int_equal(r->sv.requests, requests);
    clock_skip_ns += 5000000000u;
    turn_until(r, a);
}

/* Scenario: the process stands still (SIGSTOP, a machine that is moved) for longer than timeout_ns, with and without an
 * answer of the server in its socket; then a third request.
 * Guarantees: the answer counts, not the clock: nothing is sent twice for it; without one it is TIMEOUT, and the next
 * request is well. */
static void an_answer_that_came_while_we_stood_still_counts(void **state)
{
    const char *reply;
    struct rig r;
    struct answer a;

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    ask_and_stand_still(&r, &a, 1);
    assert_int_equal(a.failure, GW_HTTP_OK);
    assert_int_equal(a.status, 200);
    reply = r.sv.reply;
    r.sv.reply = NULL;
    ask_and_stand_still(&r, &a, 2);
    assert_int_equal(a.failure, GW_HTTP_TIMEOUT);
    r.sv.reply = reply;
    prepare(&a, &r, "POST", "/", "x");
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_OK);
    rig_close(&r);
}

/* Scenario: a request that is under way is cancelled; a header with a line break; a URL over the limit.
 * Guarantees: done comes once, later, with CANCELLED or BROKEN, and nothing reaches the wire. */
static void cancelled_and_impossible_requests_are_answered_once(void **state)
{
    struct rig r;
    struct answer a;
    struct gw_header bad = {GW_SLICE("X"), GW_SLICE("a\r\nInjected: 1")};
    char url[4000];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    r.sv.reply = NULL;
    prepare(&a, &r, "POST", "/", "x");
    r.client->ops->send(r.client, &a.rq);
    for (unsigned i = 0; i < 20; i++) {
        serve(&r.sv);
        gw_loop_turn(r.loop, 1000000);
    }
    r.client->ops->cancel(r.client, &a.rq);
    assert_int_equal(a.calls, 0);
    turn_until(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_CANCELLED);
    assert_int_equal(r.sv.requests, 1);

    prepare(&a, &r, "POST", "/", "x");
    a.rq.headers = &bad;
    a.rq.n_headers = 1;
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_BROKEN);
    memset(url, 'a', sizeof(url) - 1);
    url[sizeof(url) - 1] = '\0';
    prepare(&a, &r, "POST", "/", "x");
    a.rq.url = url;
    ask(&r, &a);
    assert_int_equal(a.failure, GW_HTTP_BROKEN);
    assert_int_equal(r.sv.requests, 1);
    rig_close(&r);
}

/* Scenario: the same with a server on a Unix socket.
 * Guarantees: "unix:<path>:<HTTP path>" connects there and asks for that path. */
static void a_unix_socket_is_an_endpoint(void **state)
{
    struct rig r;
    struct answer a;
    char path[64], url[128];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    server_free(&r.sv);
    snprintf(path, sizeof(path), "/tmp/staunch-http-%d.sock", (int)getpid());
    server_new(&r.sv, path);
    prepare(&a, &r, "POST", "/", "x");
    snprintf(url, sizeof(url), "unix://%s:/v1/logs", path);
    a.rq.url = url;
    ask(&r, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(r.sv.last, "POST /v1/logs "));
    unlink(path);
    rig_close(&r);
}

/* Scenario: proxy_url names the server; the endpoint is a host that does not exist.
 * Guarantees: the proxy gets the absolute URL. */
static void a_proxy_gets_the_request(void **state)
{
    struct rig r;
    struct answer a;
    struct gw_http_client_conf conf = {.max_response_bytes = 1000};
    char proxy[64];

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    r.client->ops->free(r.client);
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", r.sv.port);
    conf.proxy_url = proxy;
    assert_int_equal(gw_http_client_curl_new(r.env, r.loop, &conf, &r.client, NULL), 0);
    prepare(&a, &r, "POST", "/", "x");
    a.rq.url = "http://collector.invalid:4318/v1/traces";
    ask(&r, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(r.sv.last, "POST http://collector.invalid:4318/v1/traces HTTP/1.1"));
    rig_close(&r);
}

/* Scenario: the server sets a cookie; with and without `cookies`.
 * Guarantees: the next request brings it only with the setting. */
static void cookies_come_back_only_when_switched_on(void **state)
{
    (void)state;
    for (unsigned on = 0; on < 2; on++) {
        struct rig r;
        struct answer a;

        rig_open(&r, (struct gw_http_client_conf){.cookies = on});
        r.sv.reply = "HTTP/1.1 200 OK\r\nSet-Cookie: lb=node7\r\nContent-Length: 0\r\n\r\n";
        for (unsigned i = 0; i < 2; i++) {
            prepare(&a, &r, "POST", "/", "x");
            ask(&r, &a);
        }
        assert_true(!!strstr(r.sv.last, "Cookie: lb=node7") == on);
        rig_close(&r);
    }
}

/* Scenario: TLS settings that cannot work.
 * Guarantees: the client is not made and the sentence names what is wrong. */
static void bad_tls_settings_are_found_at_the_start(void **state)
{
    struct rig r;
    struct gw_err err = {{0}};
    struct gw_http_client *c;
    struct gw_http_client_conf conf = {.tls = {.ca_file = "/nonexistent/ca.pem"}};

    (void)state;
    rig_open(&r, (struct gw_http_client_conf){0});
    assert_int_equal(gw_http_client_curl_new(r.env, r.loop, &conf, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    conf.tls = (struct gw_client_tls){.cert_pem = "x"};
    assert_int_equal(gw_http_client_curl_new(r.env, r.loop, &conf, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "key_file"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_post_goes_out_whole_and_its_answer_comes_back),
        cmocka_unit_test(a_body_in_parts_arrives_whole),
        cmocka_unit_test(connections_are_kept_unless_told_otherwise),
        cmocka_unit_test(no_more_connections_than_allowed),
        cmocka_unit_test(idle_connections_are_kept_up_to_a_limit),
        cmocka_unit_test(a_connection_that_was_idle_too_long_is_not_used),
        cmocka_unit_test(buffers_have_the_sizes_of_the_settings),
        cmocka_unit_test(a_long_answer_is_cut_and_its_status_kept),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(failures_are_told_apart),
        cmocka_unit_test(an_answer_that_is_cut_is_none),
        cmocka_unit_test(an_answer_that_came_while_we_stood_still_counts),
        cmocka_unit_test(cancelled_and_impossible_requests_are_answered_once),
        cmocka_unit_test(a_unix_socket_is_an_endpoint),
        cmocka_unit_test(a_proxy_gets_the_request),
        cmocka_unit_test(cookies_come_back_only_when_switched_on),
        cmocka_unit_test(bad_tls_settings_are_found_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
