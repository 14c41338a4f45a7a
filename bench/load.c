/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: an OTLP load generator that looks at every answer.
 *
 *   load --proto grpc|h1 --port N --payloads DIR --path PATH [--conns 8] [--streams 4] [--requests N | --seconds S]
 *        [--rate R] [--gzip] [--tls] [--fresh-ids] [--advance] [--interleave N] [--giant N]
 *
 * It rotates all *.pb files of DIR (their order is fixed), so that neither caches nor branch predictors of the server
 * learn one payload by heart. A request counts as ok when HTTP says 200 and, for gRPC, grpc-status says 0.
 * With --fresh-ids every trace id is made new for every request (its first 8 bytes are mixed with a counter and the
 * clock). With --interleave N the spans are dealt to N traces in turn, SPANS_A_TRACE each, and then to N new ones: a
 * trace's spans come in as many requests; N is a multiple of a request's spans. With --giant N every second request is
 * of one trace, until that has N spans. With --advance data points are of the time at which they are sent.
 * --rate paces requests (open loop would hide queueing: latency is counted from the time a request was due).
 * Prints one JSON line. One thread.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { MAX_CONNS = 2000, READ_BYTES = 256 << 10, SPANS_A_TRACE = 10 };

struct payload {
    uint8_t *p;
    size_t n;
    uint32_t *ids; /* offsets of trace ids, or of times */
    size_t n_ids;
};

struct stream {
    struct conn *conn;
    uint8_t *body;
    size_t n, sent;
    uint64_t due_ns;
    int http_status, grpc_status;
};

struct conn {
    int fd;
    SSL *ssl;
    nghttp2_session *h2;
    unsigned n_open;
    bool want_write;
    /* HTTP/1.1 */
    struct stream h1;
    char head[512];
    size_t n_head, head_sent;
    uint8_t in[16384];
    size_t n_in;
    /* TLS and HTTP/2 output not yet taken by the socket */
    uint8_t *out;
    size_t n_out, out_sent, cap_out;
};

static struct {
    bool grpc, tls, gzip, fresh, advance;
    int port;
    unsigned n_conns, n_streams;
    uint64_t n_requests, n_started, n_ok, n_bad, n_bytes;
    uint64_t interleave, giant, salt;
    uint64_t n_dealt, n_giant; /* spans: of interleaved traces, of the giant */
    double seconds, rate;
    const char *path, *dir;
    struct payload *payloads;
    size_t n_payloads;
    struct conn *conns;
    uint64_t start_ns, end_ns;
    uint32_t *latency_us;
    size_t n_latency, cap_latency;
    int ep;
    char bad_text[200];
} g;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- payloads --------------------------------------------------------------------------------------------- */

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        v |= (uint64_t)(**p & 127) << shift;
        if (*(*p)++ < 128)
            break;
    }
    return v;
}

/* Offsets of Span.trace_id: ResourceSpans(1) > ScopeSpans(2) > Span(2) > trace_id(1). */
static void find_ids(struct payload *pl, const uint8_t *p, const uint8_t *end, int depth)
{
    static const unsigned want[] = {1, 2, 2, 1};

    while (p < end) {
        uint64_t tag = varint(&p), n = 0;

        if ((tag & 7) == 0) {
            (void)varint(&p);
            continue;
        }
        n = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : varint(&p);
        if ((tag & 7) == 2 && tag >> 3 == want[depth]) {
            if (depth < 3) {
                find_ids(pl, p, p + n, depth + 1);
            } else if (n == 16) {
                pl->ids = realloc(pl->ids, (pl->n_ids + 1) * sizeof(*pl->ids));
                pl->ids[pl->n_ids++] = (uint32_t)(p - pl->p);
            }
        }
        p += n;
    }
}

/* Offsets of the times of data points, which gen_payloads.py makes all the same. */
static void find_times(struct payload *pl)
{
    static const uint64_t epoch_ns = 1790000000u * (uint64_t)1000000000u;

    for (size_t i = 1; i + 8 <= pl->n; i++)
        if (pl->p[i - 1] == 0x19 && memcmp(pl->p + i, &epoch_ns, 8) == 0) {
            pl->ids = realloc(pl->ids, (pl->n_ids + 1) * sizeof(*pl->ids));
            pl->ids[pl->n_ids++] = (uint32_t)i;
        }
}

static void compress_payload(struct payload *pl)
{
    z_stream z = {0};
    size_t cap = pl->n + 1024;
    uint8_t *q = malloc(cap);

    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = pl->p;
    z.avail_in = (unsigned)pl->n;
    z.next_out = q;
    z.avail_out = (unsigned)cap;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        die("deflate");
    free(pl->p);
    pl->p = q;
    pl->n = cap - z.avail_out;
    deflateEnd(&z);
}

/* gRPC bodies carry the five-byte frame head. */
static void frame_payload(struct payload *pl)
{
    uint8_t *q = malloc(pl->n + 5);

    q[0] = g.gzip;
    q[1] = (uint8_t)(pl->n >> 24);
    q[2] = (uint8_t)(pl->n >> 16);
    q[3] = (uint8_t)(pl->n >> 8);
    q[4] = (uint8_t)pl->n;
    memcpy(q + 5, pl->p, pl->n);
    free(pl->p);
    pl->p = q;
    pl->n += 5;
    for (size_t i = 0; i < pl->n_ids; i++)
        pl->ids[i] += 5;
}

static int pb_only(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > 3 && strcmp(e->d_name + n - 3, ".pb") == 0;
}

static void load_payloads(void)
{
    struct dirent **names;
    int n = scandir(g.dir, &names, pb_only, alphasort);

    if (n <= 0)
        die(g.dir);
    g.payloads = calloc((size_t)n, sizeof(*g.payloads));
    for (int i = 0; i < n; i++) {
        struct payload *pl = &g.payloads[g.n_payloads++];
        char path[4096];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", g.dir, names[i]->d_name);
        f = fopen(path, "rb");
        if (!f)
            die(path);
        fseek(f, 0, SEEK_END);
        pl->n = (size_t)ftell(f);
        rewind(f);
        pl->p = malloc(pl->n + 1);
        if (fread(pl->p, 1, pl->n, f) != pl->n)
            die(path);
        fclose(f);
        if (g.advance)
            find_times(pl);
        else if (g.fresh)
            find_ids(pl, pl->p, pl->p + pl->n, 0);
        if (g.gzip)
            compress_payload(pl);
        if (g.grpc)
            frame_payload(pl);
        free(names[i]);
    }
    free(names);
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static bool more(void)
{
    if (g.n_requests)
        return g.n_started < g.n_requests;
    return now_ns() < g.end_ns;
}

/* When the next request is due, or 0: at once. */
static uint64_t due_ns(void)
{
    return g.rate > 0 ? g.start_ns + (uint64_t)((double)g.n_started / g.rate * 1e9) : 0;
}

/* A trace id of which any two bits look like chance. */
static void put_id(uint8_t *p, uint64_t n)
{
    for (int half = 0; half < 2; half++) {
        uint64_t v = (n * 2 + (uint64_t)half + 1) * 0x9e3779b97f4a7c15u + g.salt;

        v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
        v = (v ^ v >> 27) * 0x94d049bb133111ebu;
        v ^= v >> 31;
        memcpy(p + 8 * half, &v, 8);
    }
}

/* Of a request with n spans: each trace gets one, and another one than in the round before, so that roots are spread.
 */
static void deal(const struct payload *pl, uint8_t *body)
{
    uint64_t n = pl->n_ids, generation = g.n_dealt / (g.interleave * SPANS_A_TRACE), round = g.n_dealt / g.interleave;

    for (uint64_t i = 0; i < n; i++)
        put_id(body + pl->ids[(i + round) % n], generation * g.interleave + (g.n_dealt + i) % g.interleave);
    g.n_dealt += n;
}

static void mix_ids(const struct payload *pl, uint8_t *body, uint64_t mix)
{
    for (size_t i = 0; i < pl->n_ids; i++) {
        uint64_t v;

        memcpy(&v, body + pl->ids[i], 8);
        v ^= mix;
        memcpy(body + pl->ids[i], &v, 8);
    }
}

static void put_times(const struct payload *pl, uint8_t *body)
{
    struct timespec now;
    uint64_t time_ns;

    clock_gettime(CLOCK_REALTIME, &now);
    time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    for (size_t i = 0; i < pl->n_ids; i++)
        memcpy(body + pl->ids[i], &time_ns, 8);
}

static void prepare(struct stream *s)
{
    struct payload *pl = &g.payloads[g.n_started % g.n_payloads];
    uint64_t due = due_ns();

    s->due_ns = due ? due : now_ns();
    s->sent = 0;
    s->http_status = 0;
    s->grpc_status = -1;
    s->n = pl->n;
    g.n_started++;
    if (!g.fresh) {
        s->body = pl->p;
        return;
    }
    s->body = malloc(pl->n);
    memcpy(s->body, pl->p, pl->n);
    if (g.advance) {
        put_times(pl, s->body);
    } else if (g.n_giant < g.giant && g.n_started % 2) {
        for (size_t i = 0; i < pl->n_ids; i++)
            put_id(s->body + pl->ids[i], UINT64_MAX / 2);
        g.n_giant += pl->n_ids;
    } else if (g.interleave) {
        deal(pl, s->body);
    } else {
        mix_ids(pl, s->body, g.n_started * 0x9e3779b97f4a7c15u + g.salt);
    }
}

static void finish(struct stream *s)
{
    bool ok = s->http_status == 200 && (!g.grpc || s->grpc_status == 0);
    uint64_t us = (now_ns() - s->due_ns) / 1000;

    if (ok)
        g.n_ok++;
    else
        g.n_bad++;
    if (!ok && !g.bad_text[0])
        snprintf(g.bad_text, sizeof(g.bad_text), "http %d grpc %d", s->http_status, s->grpc_status);
    g.n_bytes += s->n;
    if (g.n_latency == g.cap_latency) {
        g.cap_latency = g.cap_latency ? g.cap_latency * 2 : 65536;
        g.latency_us = realloc(g.latency_us, g.cap_latency * sizeof(*g.latency_us));
    }
    g.latency_us[g.n_latency++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (g.fresh)
        free(s->body);
    s->body = NULL;
}

/* ---- sockets ---------------------------------------------------------------------------------------------- */

static ssize_t sock_write(struct conn *c, const void *p, size_t n)
{
    ssize_t r;

    if (c->ssl) {
        r = SSL_write(c->ssl, p, (int)n);
        return r > 0 ? r : -1;
    }
    r = send(c->fd, p, n, MSG_NOSIGNAL);
    if (r < 0 && errno != EAGAIN)
        die("send");
    return r;
}

static ssize_t sock_read(struct conn *c, void *p, size_t n)
{
    ssize_t r;

    if (c->ssl) {
        r = SSL_read(c->ssl, p, (int)n);
        if (r > 0)
            return r;
        return SSL_get_error(c->ssl, (int)r) == SSL_ERROR_WANT_READ ? -1 : 0;
    }
    r = recv(c->fd, p, n, 0);
    return r < 0 && errno != EAGAIN ? 0 : r;
}

static void want(struct conn *c, bool write)
{
    struct epoll_event ev = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};

    if (c->want_write == write)
        return;
    c->want_write = write;
    epoll_ctl(g.ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void out_put(struct conn *c, const void *p, size_t n)
{
    if (c->n_out + n > c->cap_out) {
        c->cap_out = (c->n_out + n) * 2;
        c->out = realloc(c->out, c->cap_out);
    }
    memcpy(c->out + c->n_out, p, n);
    c->n_out += n;
}

static void out_flush(struct conn *c)
{
    while (c->out_sent < c->n_out) {
        ssize_t r = sock_write(c, c->out + c->out_sent, c->n_out - c->out_sent);

        if (r < 0) {
            want(c, true);
            return;
        }
        c->out_sent += (size_t)r;
    }
    c->n_out = c->out_sent = 0;
    want(c, false);
}

/* ---- HTTP/2 ------------------------------------------------------------------------------------------------ */

static ssize_t h2_body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                       nghttp2_data_source *src, void *arg)
{
    struct stream *s = src->ptr;
    size_t left = s->n - s->sent;

    (void)h2;
    (void)id;
    (void)arg;
    if (n > left)
        n = left;
    memcpy(buf, s->body + s->sent, n);
    s->sent += n;
    if (s->sent == s->n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(k, v)                                                                                                       \
    {                                                                                                                  \
        (uint8_t *)(k), (uint8_t *)(v), sizeof(k) - 1, strlen(v), NGHTTP2_NV_FLAG_NO_COPY_NAME                         \
    }

static void h2_request(struct conn *c)
{
    struct stream *s = calloc(1, sizeof(*s));
    nghttp2_nv nv[] = {
        NV(":method", "POST"),
        NV(":scheme", g.tls ? "https" : "http"),
        NV(":authority", "127.0.0.1"),
        NV(":path", g.path),
        NV("content-type", "application/grpc"),
        NV("te", "trailers"),
        NV("user-agent", "load"),
        NV("grpc-encoding", "gzip"),
    };
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = h2_body};

    s->conn = c;
    prepare(s);
    c->n_open++;
    if (nghttp2_submit_request(c->h2, NULL, nv, g.gzip ? 8 : 7, &body, s) < 0)
        die("submit");
}

static int h2_on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *k, size_t nk, const uint8_t *v,
                        size_t nv, uint8_t flags, void *arg)
{
    struct stream *s = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    char text[16] = "";

    (void)flags;
    (void)arg;
    if (!s)
        return 0;
    memcpy(text, v, nv < 15 ? nv : 15);
    if (nk == 7 && memcmp(k, ":status", 7) == 0)
        s->http_status = atoi(text);
    if (nk == 11 && memcmp(k, "grpc-status", 11) == 0)
        s->grpc_status = atoi(text);
    return 0;
}

static int h2_on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
    struct stream *s = nghttp2_session_get_stream_user_data(h2, id);
    struct conn *c = arg;

    (void)code;
    if (!s)
        return 0;
    c->n_open--;
    finish(s);
    free(s);
    return 0;
}

static void h2_pump(struct conn *c)
{
    const uint8_t *p;
    ssize_t n;

    while (c->n_open < g.n_streams && more() && (g.rate <= 0 || due_ns() <= now_ns()))
        h2_request(c);
    while (c->n_out < (1 << 20) && (n = nghttp2_session_mem_send(c->h2, &p)) > 0)
        out_put(c, p, (size_t)n);
    out_flush(c);
}

static void h2_start(struct conn *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry iv[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}, {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_close);
    nghttp2_session_client_new(&c->h2, cb, c);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2, 0, iv, 2);
}

/* ---- HTTP/1.1 ---------------------------------------------------------------------------------------------- */

static void h1_write(struct conn *c)
{
    while (c->head_sent < c->n_head) {
        ssize_t r = sock_write(c, c->head + c->head_sent, c->n_head - c->head_sent);

        if (r < 0) {
            want(c, true);
            return;
        }
        c->head_sent += (size_t)r;
    }
    while (c->h1.sent < c->h1.n) {
        ssize_t r = sock_write(c, c->h1.body + c->h1.sent, c->h1.n - c->h1.sent);

        if (r < 0) {
            want(c, true);
            return;
        }
        c->h1.sent += (size_t)r;
    }
    want(c, false);
}

static void h1_pump(struct conn *c)
{
    if (c->n_open == 0 && more() && (g.rate <= 0 || due_ns() <= now_ns())) {
        prepare(&c->h1);
        c->n_open = 1;
        c->head_sent = 0;
        c->n_head = (size_t)snprintf(c->head, sizeof(c->head),
                                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
                                     "%sContent-Length: %zu\r\n\r\n",
                                     g.path, g.gzip ? "Content-Encoding: gzip\r\n" : "", c->h1.n);
    }
    if (c->n_open)
        h1_write(c);
}

/* A whole answer is in c->in: status line, headers, Content-Length or nothing behind them. */
static void h1_read(struct conn *c)
{
    for (;;) {
        char *end, *cl;
        size_t head, body = 0;

        c->in[c->n_in] = 0;
        end = strstr((char *)c->in, "\r\n\r\n");
        if (!end)
            return;
        head = (size_t)(end - (char *)c->in) + 4;
        cl = strcasestr((char *)c->in, "content-length:");
        if (cl && cl < end)
            body = (size_t)atol(cl + 15);
        if (c->n_in < head + body)
            return;
        c->h1.http_status = atoi((char *)c->in + 9);
        memmove(c->in, c->in + head + body, c->n_in - head - body);
        c->n_in -= head + body;
        c->n_open = 0;
        finish(&c->h1);
        h1_pump(c);
        if (c->n_in == 0)
            return;
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static void pump(struct conn *c)
{
    if (g.grpc)
        h2_pump(c);
    else
        h1_pump(c);
}

static void conn_open(struct conn *c, SSL_CTX *ctx)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g.port)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (ctx) {
        static const uint8_t h2[] = {2, 'h', '2'}, h1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

        c->ssl = SSL_new(ctx);
        SSL_set_alpn_protos(c->ssl, g.grpc ? h2 : h1, g.grpc ? sizeof(h2) : sizeof(h1));
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1)
            die("TLS handshake");
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(g.ep, EPOLL_CTL_ADD, c->fd, &ev);
    if (g.grpc)
        h2_start(c);
}

static void conn_read(struct conn *c)
{
    static uint8_t buf[READ_BYTES];
    ssize_t n;

    for (;;) {
        if (g.grpc) {
            n = sock_read(c, buf, sizeof(buf));
            if (n > 0 && nghttp2_session_mem_recv(c->h2, buf, (size_t)n) < 0)
                die("HTTP/2");
        } else {
            n = sock_read(c, c->in + c->n_in, sizeof(c->in) - 1 - c->n_in);
            if (n > 0) {
                c->n_in += (size_t)n;
                h1_read(c);
            }
        }
        if (n == 0) {
            fprintf(stderr, "load: the server closed a connection with %u requests open\n", c->n_open);
            exit(1);
        }
        if (n < 0 || (!c->ssl && (size_t)n < 1024))
            return;
    }
}

static bool any_open(void)
{
    for (unsigned i = 0; i < g.n_conns; i++)
        if (g.conns[i].n_open)
            return true;
    return false;
}

static void run(void)
{
    struct epoll_event ev[256];
    uint64_t last = now_ns();

    for (unsigned i = 0; i < g.n_conns; i++)
        pump(&g.conns[i]);
    while (any_open() || more()) {
        int n = epoll_wait(g.ep, ev, 256, g.rate > 0 ? 1 : 1000);

        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;

            if (ev[i].events & EPOLLIN)
                conn_read(c);
            pump(c);
        }
        if (g.rate > 0)
            for (unsigned i = 0; i < g.n_conns; i++)
                pump(&g.conns[i]);
        if (n > 0)
            last = now_ns();
        if (now_ns() - last > 20000000000u) {
            fprintf(stderr, "load: no answer for 20 s\n");
            exit(1);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void arguments(int argc, char **argv)
{
    g.n_conns = 8;
    g.n_streams = 4;
    for (int i = 1; i < argc; i++) {
        const char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(k, "--gzip") == 0)
            g.gzip = true;
        else if (strcmp(k, "--tls") == 0)
            g.tls = true;
        else if (strcmp(k, "--fresh-ids") == 0)
            g.fresh = true;
        else if (strcmp(k, "--advance") == 0)
            g.fresh = g.advance = true;
        else {
            i++;
            if (strcmp(k, "--proto") == 0)
                g.grpc = strcmp(v, "grpc") == 0;
            else if (strcmp(k, "--port") == 0)
                g.port = atoi(v);
            else if (strcmp(k, "--payloads") == 0)
                g.dir = v;
            else if (strcmp(k, "--path") == 0)
                g.path = v;
            else if (strcmp(k, "--conns") == 0)
                g.n_conns = (unsigned)atoi(v);
            else if (strcmp(k, "--streams") == 0)
                g.n_streams = (unsigned)atoi(v);
            else if (strcmp(k, "--requests") == 0)
                g.n_requests = strtoull(v, NULL, 10);
            else if (strcmp(k, "--seconds") == 0)
                g.seconds = atof(v);
            else if (strcmp(k, "--rate") == 0)
                g.rate = atof(v);
            else if (strcmp(k, "--interleave") == 0)
                g.interleave = strtoull(v, NULL, 10);
            else if (strcmp(k, "--giant") == 0)
                g.giant = strtoull(v, NULL, 10);
            else {
                fprintf(stderr, "load: unknown argument %s\n", k);
                exit(64);
            }
        }
    }
    if (!g.port || !g.dir || !g.path || g.n_conns > MAX_CONNS || (!g.n_requests && g.seconds <= 0)) {
        fprintf(stderr, "load: needs --port, --payloads, --path and --requests or --seconds\n");
        exit(64);
    }
    g.fresh = g.fresh || g.interleave || g.giant;
    if (g.gzip && g.fresh) {
        fprintf(stderr, "load: ids cannot be changed inside gzip\n");
        exit(64);
    }
}

int main(int argc, char **argv)
{
    SSL_CTX *ctx = NULL;
    double wall;

    arguments(argc, argv);
    load_payloads();
    g.ep = epoll_create1(0);
    g.conns = calloc(g.n_conns, sizeof(*g.conns));
    if (g.tls) {
        ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    for (unsigned i = 0; i < g.n_conns; i++)
        conn_open(&g.conns[i], ctx);
    g.start_ns = g.salt = now_ns();
    g.end_ns = g.start_ns + (uint64_t)(g.seconds * 1e9);
    run();
    wall = (double)(now_ns() - g.start_ns) / 1e9;
    qsort(g.latency_us, g.n_latency, sizeof(*g.latency_us), by_value);
    printf("{\"ok\": %llu, \"bad\": %llu, \"wall_s\": %.3f, \"bytes\": %llu, \"p50_us\": %u, \"p99_us\": %u, "
           "\"payloads\": %zu, \"first_bad\": \"%s\"}\n",
           (unsigned long long)g.n_ok, (unsigned long long)g.n_bad, wall, (unsigned long long)g.n_bytes,
           g.n_latency ? g.latency_us[g.n_latency / 2] : 0, g.n_latency ? g.latency_us[g.n_latency * 99 / 100] : 0,
           g.n_payloads, g.bad_text);
    return g.n_bad ? 2 : 0;
}
