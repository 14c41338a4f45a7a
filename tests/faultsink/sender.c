/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultsend --log FILE --port N [--proto h1|grpc] [--signal logs|traces|metrics] [--rows 20] [--text 100] [--conns 4]
 *           [--streams 4] [--rate R] [--seconds S] [--first ID] [--timeout S]
 *
 * Sends records that have an id and prove their content (records.c), each id once in its life, and writes down what it
 * was told, a line a request, times in ns of CLOCK_MONOTONIC, ids FIRST .. FIRST + N - 1:
 *
 *   A TIME FIRST N           accepted, all of them
 *   P TIME FIRST N           accepted in part
 *   R TIME FIRST N STATUS    refused: HTTP's status, or 1000 + gRPC's
 *   U TIME FIRST N           nobody knows: the connection ended, or there was no answer in time
 *
 * What is refused or unknown is not sent again, so that every second copy behind the gateway is the gateway's.
 * A GOAWAY and `Connection: close` are heeded: what is under way is waited for, then it connects anew. It connects
 * again for ever, and ends with SIGTERM or after S seconds: then one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/hash.h"

enum { MAX_CONNS = 1024, MAX_STREAMS = 64, PAUSE_NS = 20000000 };

struct call {
    bool busy;
    struct conn *conn;
    uint64_t first, sent_ns;
    struct gw_buf body;
    size_t at;
    unsigned http, grpc;
    size_t n_answer; /* bytes of message in the answer */
};

struct conn {
    int fd; /* -1: none */
    nghttp2_session *h2;
    uint64_t not_before_ns;
    bool leaving; /* the server has told so */
    struct call calls[MAX_STREAMS];
    struct gw_buf out;
    size_t out_sent;
    char in[8192];
    size_t n_in;
    unsigned events;
};

static struct {
    const char *log_name, *signal, *path;
    FILE *log;
    bool grpc;
    int port, ep;
    unsigned rows, text, n_conns, n_streams;
    double rate, seconds;
    uint64_t next_id, timeout_ns, start_ns, end_ns, n_sent, n_accepted, n_refused, n_unknown, n_part, n_not_connected,
        n_unprocessed;
    struct conn conns[MAX_CONNS];
} g = {
    .signal = "logs", .rows = 20, .text = 100, .n_conns = 4, .n_streams = 4, .next_id = 1, .timeout_ns = 10000000000};
static volatile sig_atomic_t ended;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "faultsend: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- records ------------------------------------------------------------------------------------------------- */

static void varint(struct gw_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 128));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void bytes(struct gw_buf *b, unsigned field, const void *p, size_t n)
{
    varint(b, field << 3 | 2);
    varint(b, n);
    gw_buf_put(b, p, n);
}

static void fixed64(struct gw_buf *b, unsigned field, uint64_t v)
{
    varint(b, field << 3 | 1);
    gw_buf_put(b, &v, 8);
}

/* "ID words… HASH": g.text bytes, or as many as the id needs. */
static size_t text_of(uint64_t id, char *out)
{
    size_t n = (size_t)sprintf(out, "%llu ", (unsigned long long)id);
    uint64_t x = id * 0x9e3779b97f4a7c15u + 1;

    while (n + 17 < g.text) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        out[n] = n % 7 ? (char)('a' + x % 26) : ' ';
        n++;
    }
    out[n] = 0;
    return n + (size_t)sprintf(out + n, " %016llx", (unsigned long long)gw_hash_stable(gw_slice_of(out, n)));
}

static void attribute(struct gw_buf *b, unsigned field, uint64_t id)
{
    char kv[64], value[24];
    int n = sprintf(value, "%llu", (unsigned long long)id);

    /* KeyValue {key: "rec.id", value: AnyValue {string_value}} */
    memcpy(kv, "\x0a\x06rec.id\x12", 9);
    kv[9] = (char)(n + 2);
    kv[10] = '\x0a';
    kv[11] = (char)n;
    memcpy(kv + 12, value, (size_t)n);
    bytes(b, field, kv, (size_t)(12 + n));
}

static void log_record(struct gw_buf *b, uint64_t id, uint64_t now)
{
    static char text[1 << 20];
    static struct gw_buf any;
    size_t n = text_of(id, text);

    if (!any.max_bytes)
        gw_buf_init(&any, 1 << 21);
    gw_buf_reset(&any);
    bytes(&any, 1, text, n);
    fixed64(b, 1, now);
    gw_buf_put(b, "\x10\x09", 2); /* severity_number: INFO */
    bytes(b, 5, any.p, any.n);
    attribute(b, 6, id);
}

static void span(struct gw_buf *b, uint64_t id, uint64_t now)
{
    static char text[1 << 20];
    uint64_t trace[2] = {id ^ 0x5a5a5a5a, id}, span_id = id + 1;
    size_t n = text_of(id, text);

    bytes(b, 1, trace, 16);
    bytes(b, 2, &span_id, 8);
    bytes(b, 5, text, n);
    gw_buf_put(b, "\x30\x02", 2); /* kind: SERVER */
    fixed64(b, 7, now);
    fixed64(b, 8, now + 1000);
    attribute(b, 9, id);
}

static void point(struct gw_buf *b, uint64_t id, uint64_t now)
{
    double v = (double)((id * 0x9e3779b97f4a7c15u) >> 12);
    uint64_t bits;

    memcpy(&bits, &v, 8);
    fixed64(b, 3, now);
    fixed64(b, 4, bits);
    attribute(b, 7, id);
}

/* One request of g.rows records, ids from first on. */
static void request(struct gw_buf *ret, uint64_t first)
{
    static struct gw_buf one, inner, outer;
    uint64_t now = wall_ns();
    bool metrics = strcmp(g.signal, "metrics") == 0;

    if (!one.max_bytes) {
        gw_buf_init(&one, 1 << 22);
        gw_buf_init(&inner, 1 << 28);
        gw_buf_init(&outer, 1 << 28);
    }
    gw_buf_reset(&inner);
    for (unsigned i = 0; i < g.rows; i++) {
        gw_buf_reset(&one);
        (metrics ? point : strcmp(g.signal, "traces") == 0 ? span : log_record)(&one, first + i, now);
        bytes(&inner, metrics ? 1 : 2, one.p, one.n);
    }
    gw_buf_reset(&outer);
    if (metrics) { /* Metric {name, gauge {data_points}} in ScopeMetrics */
        gw_buf_reset(&one);
        bytes(&one, 1, "rec_value", 9);
        bytes(&one, 5, inner.p, inner.n);
        gw_buf_reset(&inner);
        bytes(&inner, 2, one.p, one.n);
    }
    bytes(&outer, 2, inner.p, inner.n);
    gw_buf_reset(ret);
    if (g.grpc)
        gw_buf_put(ret, "\0\0\0\0", 5);
    bytes(ret, 1, outer.p, outer.n);
    if (inner.failed || outer.failed || ret->failed)
        die("memory");
    for (int i = 0; g.grpc && i < 4; i++)
        ret->p[1 + i] = (uint8_t)((ret->n - 5) >> (24 - 8 * i));
}

/* ---- what was said --------------------------------------------------------------------------------------------- */

static void finish(struct call *k, bool answered)
{
    bool ok = answered && k->http == 200 && (!g.grpc || k->grpc == 0), refused = answered && !ok;
    uint64_t now = now_ns();

    k->busy = false;
    *(ok ? (k->n_answer ? &g.n_part : &g.n_accepted) : refused ? &g.n_refused : &g.n_unknown) += g.rows;
    fprintf(g.log, "%c %llu %llu %u",
            ok        ? (k->n_answer ? 'P' : 'A')
            : refused ? 'R'
                      : 'U',
            (unsigned long long)now, (unsigned long long)k->first, g.rows);
    if (refused)
        fprintf(g.log, " %u", g.grpc && k->http == 200 ? 1000 + k->grpc : k->http);
    fputc('\n', g.log);
    if (!ok)
        k->conn->not_before_ns = now + PAUSE_NS;
}

static void drop(struct conn *c)
{
    if (c->fd < 0)
        return;
    (void)close(c->fd); /* epoll forgets it */
    c->fd = -1;
    c->not_before_ns = now_ns() + PAUSE_NS;
    for (unsigned i = 0; i < g.n_streams; i++)
        if (c->calls[i].busy)
            finish(&c->calls[i], false);
    if (c->h2)
        nghttp2_session_del(c->h2);
    c->h2 = NULL;
    gw_buf_reset(&c->out);
    c->out_sent = c->n_in = 0;
    c->leaving = false;
}

/* ---- HTTP/2 ------------------------------------------------------------------------------------------------------ */

static ssize_t h2_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                       nghttp2_data_source *src, void *arg)
{
    struct call *k = src->ptr;

    (void)h2, (void)id, (void)arg;
    if (n > k->body.n - k->at)
        n = k->body.n - k->at;
    memcpy(buf, k->body.p + k->at, n);
    k->at += n;
    if (k->at == k->body.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int h2_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t nn, const uint8_t *v,
                     size_t nv, uint8_t flags, void *arg)
{
    struct call *k = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    char text[8];

    (void)flags, (void)arg;
    snprintf(text, sizeof(text), "%.*s", (int)nv, (const char *)v);
    if (k && nn == 7 && memcmp(name, ":status", 7) == 0)
        k->http = (unsigned)atoi(text);
    if (k && nn == 11 && memcmp(name, "grpc-status", 11) == 0)
        k->grpc = (unsigned)atoi(text);
    return 0;
}

static int h2_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    struct call *k = nghttp2_session_get_stream_user_data(h2, id);

    (void)flags, (void)p, (void)arg;
    if (k)
        k->n_answer += n;
    return 0;
}

static int h2_closed(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
    struct call *k = nghttp2_session_get_stream_user_data(h2, id);

    (void)arg;
    if (k && code == NGHTTP2_REFUSED_STREAM) { /* behind the last stream of a GOAWAY: the server did nothing with it */
        k->busy = false;
        g.n_unprocessed += g.rows;
    } else if (k) {
        k->n_answer = k->n_answer > 5 ? k->n_answer - 5 : 0;
        finish(k, code == 0 && k->http && (k->http != 200 || k->grpc != 999));
    }
    return 0;
}

static void h2_open(struct conn *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry iv = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_closed);
    if (nghttp2_session_client_new(&c->h2, cb, c) < 0)
        die("HTTP/2");
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2, 0, &iv, 1);
}

#define NV(k, v)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(k), (uint8_t *)(v), sizeof(k) - 1, strlen(v), 0                                                    \
    }

static void h2_send(struct conn *c, struct call *k)
{
    nghttp2_nv nv[] = {NV(":method", "POST"),   NV(":scheme", "http"), NV(":authority", "127.0.0.1"),
                       NV(":path", g.path),     NV("te", "trailers"),  NV("content-type", "application/grpc"),
                       NV("user-agent", "send")};
    nghttp2_data_provider data = {.source.ptr = k, .read_callback = h2_body};

    if (nghttp2_submit_request(c->h2, NULL, nv, 7, &data, k) < 0)
        drop(c);
}

/* ---- HTTP/1.1 ---------------------------------------------------------------------------------------------------- */

static void h1_send(struct conn *c, struct call *k)
{
    gw_buf_printf(&c->out,
                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: "
                  "%zu\r\n\r\n",
                  g.path, k->body.n);
    gw_buf_put(&c->out, k->body.p, k->body.n);
}

static void h1_read(struct conn *c)
{
    struct call *k = &c->calls[0];
    char *end, *length;
    size_t head, body;

    c->in[c->n_in] = 0;
    end = strstr(c->in, "\r\n\r\n");
    if (!end || !k->busy)
        return;
    head = (size_t)(end - c->in) + 4;
    length = strcasestr(c->in, "\r\ncontent-length:");
    body = length && length < end ? (size_t)atol(length + 17) : 0;
    if (c->n_in < head + body)
        return;
    k->http = (unsigned)atoi(c->in + 9);
    k->n_answer = body;
    c->leaving = strcasestr(c->in, "\r\nconnection: close") != NULL;
    finish(k, true);
    c->n_in = 0;
}

/* ---- the loop ------------------------------------------------------------------------------------------------------
 */

static bool more(void)
{
    uint64_t now = now_ns();

    return !ended && now < g.end_ns && (g.rate <= 0 || g.start_ns + (uint64_t)((double)g.n_sent / g.rate * 1e9) <= now);
}

static void want(struct conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN | (c->out_sent < c->out.n ? EPOLLOUT : 0u), .data.ptr = c};

    if (c->fd < 0 || ev.events == c->events)
        return;
    c->events = ev.events;
    (void)epoll_ctl(g.ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void flush_out(struct conn *c)
{
    const uint8_t *p;
    ssize_t n = 0;

    while (c->h2 && c->out.n < 1 << 20 && (n = nghttp2_session_mem_send(c->h2, &p)) > 0)
        gw_buf_put(&c->out, p, (size_t)n);
    while (c->fd >= 0 && c->out_sent < c->out.n) {
        n = send(c->fd, c->out.p + c->out_sent, c->out.n - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            drop(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    if (c->out_sent == c->out.n) {
        gw_buf_reset(&c->out);
        c->out_sent = 0;
    }
    want(c);
}

static bool dial(struct conn *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g.port)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        g.n_not_connected++;
        drop(c);
        return false;
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->events = EPOLLIN;
    (void)epoll_ctl(g.ep, EPOLL_CTL_ADD, c->fd, &ev);
    if (g.grpc)
        h2_open(c);
    return true;
}

static bool is_busy(const struct conn *c)
{
    for (unsigned i = 0; i < g.n_streams; i++)
        if (c->calls[i].busy)
            return true;
    return false;
}

/* True: nothing new on this connection. */
static bool leave(struct conn *c)
{
    if (c->fd < 0 || !(c->leaving || (c->h2 && !nghttp2_session_check_request_allowed(c->h2))))
        return false;
    if (is_busy(c))
        return true;
    drop(c);
    c->not_before_ns = 0;
    return false;
}

static void readable(struct conn *c)
{
    static uint8_t buf[64 << 10];

    while (c->fd >= 0) {
        uint8_t *to = g.grpc ? buf : (uint8_t *)c->in + c->n_in;
        size_t room = g.grpc ? sizeof(buf) : sizeof(c->in) - 1 - c->n_in;
        ssize_t n = recv(c->fd, to, room, 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || (g.grpc && nghttp2_session_mem_recv(c->h2, buf, (size_t)n) < 0)) {
            drop(c);
            return;
        }
        if (!g.grpc) {
            c->n_in += (size_t)n;
            h1_read(c);
        }
        if ((size_t)n < room)
            return;
    }
}

static void pump(struct conn *c)
{
    if (c->fd >= 0 && !g.grpc && more()) /* as curl does: is it still open? */
        readable(c);
    if (leave(c)) {
        flush_out(c);
        return;
    }
    for (unsigned i = 0; i < g.n_streams && more(); i++) {
        struct call *k = &c->calls[i];

        if (k->busy)
            continue;
        if (c->not_before_ns > now_ns() || (c->fd < 0 && !dial(c)))
            return;
        k->conn = c;
        k->first = g.next_id;
        g.next_id += g.rows;
        g.n_sent++;
        request(&k->body, k->first);
        k->at = k->n_answer = 0;
        k->http = 0;
        k->grpc = 999;
        k->sent_ns = now_ns();
        k->busy = true;
        if (g.grpc)
            h2_send(c, k);
        else
            h1_send(c, k);
    }
    if (c->fd >= 0)
        flush_out(c);
}

/* Requests that nobody answers; true: something is still open. */
static bool overdue(void)
{
    uint64_t now = now_ns();
    bool open = false;

    for (unsigned i = 0; i < g.n_conns; i++)
        for (unsigned k = 0; k < g.n_streams; k++) {
            if (g.conns[i].calls[k].busy && now - g.conns[i].calls[k].sent_ns > g.timeout_ns)
                drop(&g.conns[i]);
            open = open || g.conns[i].calls[k].busy;
        }
    return open;
}

static void run(void)
{
    struct epoll_event ev[MAX_CONNS];
    uint64_t flushed = 0;

    for (;;) {
        int n = epoll_wait(g.ep, ev, MAX_CONNS, 2);

        for (int i = 0; i < n; i++)
            readable(ev[i].data.ptr);
        for (unsigned i = 0; i < g.n_conns; i++)
            pump(&g.conns[i]);
        if (!overdue() && (ended || now_ns() >= g.end_ns))
            return;
        if (now_ns() - flushed > 50000000) {
            fflush(g.log);
            flushed = now_ns();
        }
    }
}

static void on_term(int sig)
{
    (void)sig;
    ended = 1;
}

static void arguments(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];

        if (strcmp(k, "--log") == 0)
            g.log_name = v;
        else if (strcmp(k, "--port") == 0)
            g.port = atoi(v);
        else if (strcmp(k, "--proto") == 0)
            g.grpc = strcmp(v, "grpc") == 0;
        else if (strcmp(k, "--signal") == 0)
            g.signal = v;
        else if (strcmp(k, "--rows") == 0)
            g.rows = (unsigned)atoi(v);
        else if (strcmp(k, "--text") == 0)
            g.text = (unsigned)atoi(v);
        else if (strcmp(k, "--conns") == 0)
            g.n_conns = (unsigned)atoi(v);
        else if (strcmp(k, "--streams") == 0)
            g.n_streams = (unsigned)atoi(v);
        else if (strcmp(k, "--rate") == 0)
            g.rate = atof(v);
        else if (strcmp(k, "--seconds") == 0)
            g.seconds = atof(v);
        else if (strcmp(k, "--first") == 0)
            g.next_id = strtoull(v, NULL, 10);
        else if (strcmp(k, "--timeout") == 0)
            g.timeout_ns = (uint64_t)(atof(v) * 1e9);
        else
            g.port = -1, i = argc;
    }
    if (g.port <= 0 || !g.log_name || !g.rows || g.text > 1000000 || !g.n_conns || g.n_conns > MAX_CONNS ||
        !g.n_streams || g.n_streams > MAX_STREAMS) {
        fprintf(stderr, "faultsend: see the head of sender.c\n");
        exit(64);
    }
    if (!g.grpc)
        g.n_streams = 1;
}

static const char *path(void)
{
    bool traces = strcmp(g.signal, "traces") == 0, metrics = strcmp(g.signal, "metrics") == 0;

    if (g.grpc)
        return traces    ? "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
               : metrics ? "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
                         : "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    return traces ? "/v1/traces" : metrics ? "/v1/metrics" : "/v1/logs";
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    (void)signal(SIGTERM, on_term);
    (void)signal(SIGINT, on_term);
    g.path = path();
    g.log = fopen(g.log_name, "a");
    g.ep = epoll_create1(EPOLL_CLOEXEC);
    if (!g.log || g.ep < 0)
        die(g.log_name);
    for (unsigned i = 0; i < g.n_conns; i++) {
        g.conns[i].fd = -1;
        gw_buf_init(&g.conns[i].out, 1 << 29);
        for (unsigned k = 0; k < g.n_streams; k++)
            gw_buf_init(&g.conns[i].calls[k].body, 1 << 28);
    }
    g.start_ns = now_ns();
    g.end_ns = g.seconds > 0 ? g.start_ns + (uint64_t)(g.seconds * 1e9) : UINT64_MAX;
    run();
    if (fclose(g.log) != 0)
        die(g.log_name);
    printf("{\"requests\": %llu, \"accepted\": %llu, \"in_part\": %llu, \"refused\": %llu, \"unknown\": %llu, "
           "\"not_connected\": %llu, \"unprocessed\": %llu, \"next_id\": %llu, \"seconds\": %.3f}\n",
           (unsigned long long)g.n_sent, (unsigned long long)g.n_accepted, (unsigned long long)g.n_part,
           (unsigned long long)g.n_refused, (unsigned long long)g.n_unknown, (unsigned long long)g.n_not_connected,
           (unsigned long long)g.n_unprocessed, (unsigned long long)g.next_id, (double)(now_ns() - g.start_ns) / 1e9);
    return 0;
}
