/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor PORT: the least that a server can do. It receives OTLP bodies over HTTP/1.1 or HTTP/2 (told apart by the
 * preface), puts each together in one buffer, throws it away and answers success. What it costs is the kernel, the
 * protocol and one copy; what a gateway costs beyond that is its own doing. Also the sink of the forwarding rows.
 * GET /stats answers {"requests": N, "bytes": N}. One thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10, WINDOW = 1 << 20, CONN_WINDOW = 16 << 20 };

struct body {
    uint8_t *p;
    size_t n, cap;
    bool grpc;
};

struct conn {
    int fd;
    nghttp2_session *h2;
    struct body in; /* HTTP/1.1: head and body of the request under way */
    size_t want;    /* HTTP/1.1: head + body, 0 while the head is incomplete */
    bool known;     /* protocol chosen */
};

static unsigned long long n_requests, n_bytes;
static int ep;

static void put(struct body *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p = realloc(b->p, b->cap);
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void conn_free(struct conn *c)
{
    close(c->fd);
    if (c->h2)
        nghttp2_session_del(c->h2);
    free(c->in.p);
    free(c);
}

/* Answers are small: a socket that does not take one at once is waited for. */
static void send_all(struct conn *c, const void *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);

        if (r < 0 && errno != EAGAIN)
            return;
        if (r > 0) {
            p = (const uint8_t *)p + r;
            n -= (size_t)r;
        }
    }
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *k, size_t nk, const uint8_t *v,
                     size_t nv, uint8_t flags, void *arg)
{
    struct body *b = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

    (void)flags;
    (void)arg;
    if (b && nk == 12 && memcmp(k, "content-type", 12) == 0)
        b->grpc = nv >= 16 && memcmp(v, "application/grpc", 16) == 0;
    return 0;
}

static int on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
    (void)arg;
    nghttp2_session_set_stream_user_data(h2, f->hd.stream_id, calloc(1, sizeof(struct body)));
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    struct body *b = nghttp2_session_get_stream_user_data(h2, id);

    (void)flags;
    (void)arg;
    if (b)
        put(b, p, n);
    return 0;
}

static ssize_t answer(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                      nghttp2_data_source *src, void *arg)
{
    nghttp2_nv trailer = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0};

    (void)n;
    (void)src;
    (void)arg;
    memset(buf, 0, 5); /* an empty Export…ServiceResponse */
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(h2, id, &trailer, 1);
    return 5;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
    static const nghttp2_nv grpc[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0},
        {(uint8_t *)"content-type", (uint8_t *)"application/grpc", 12, 16, 0},
    };
    static const nghttp2_nv http[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0},
        {(uint8_t *)"content-type", (uint8_t *)"application/x-protobuf", 12, 22, 0},
    };
    nghttp2_data_provider body = {.read_callback = answer};
    struct body *b;

    (void)arg;
    if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM) || (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS))
        return 0;
    b = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    if (!b)
        return 0;
    n_requests++;
    n_bytes += b->n;
    return nghttp2_submit_response(h2, f->hd.stream_id, b->grpc ? grpc : http, 2, b->grpc ? &body : NULL);
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
    struct body *b = nghttp2_session_get_stream_user_data(h2, id);

    (void)code;
    (void)arg;
    if (b) {
        free(b->p);
        free(b);
    }
    return 0;
}

static void h2_start(struct conn *c)
{
    nghttp2_settings_entry iv[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
                                   {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};
    nghttp2_session_callbacks *cb;

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_server_new(&c->h2, cb, c);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2, 0, iv, 2);
    nghttp2_session_set_local_window_size(c->h2, 0, 0, CONN_WINDOW);
}

static bool h2_read(struct conn *c, const uint8_t *p, size_t n)
{
    struct body out = {0};
    const uint8_t *q;
    ssize_t r;

    if (nghttp2_session_mem_recv(c->h2, p, n) < 0)
        return false;
    while ((r = nghttp2_session_mem_send(c->h2, &q)) > 0)
        put(&out, q, (size_t)r);
    send_all(c, out.p, out.n);
    free(out.p);
    return true;
}

static void h1_answer(struct conn *c)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    char body[128], text[256];

    if (memcmp(c->in.p, "GET", 3) != 0) {
        n_requests++;
        n_bytes += c->in.n;
        send_all(c, ok, sizeof(ok) - 1);
        return;
    }
    snprintf(body, sizeof(body), "{\"requests\": %llu, \"bytes\": %llu}\n", n_requests, n_bytes);
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    send_all(c, text, strlen(text));
}

static void h1_head(struct conn *c)
{
    char *end, *cl;

    put(&c->in, "", 1); /* a terminator for the string functions; not counted */
    c->in.n--;
    end = strstr((char *)c->in.p, "\r\n\r\n");
    if (!end)
        return;
    cl = strcasestr((char *)c->in.p, "\r\ncontent-length:");
    c->want = (size_t)(end - (char *)c->in.p) + 4 + (cl && cl < end ? (size_t)atol(cl + 17) : 0);
    if (strcasestr((char *)c->in.p, "\r\nexpect: 100"))
        send_all(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void h1_read(struct conn *c, const uint8_t *p, size_t n)
{
    put(&c->in, p, n);
    while (c->in.n > 0) {
        if (!c->want)
            h1_head(c);
        if (!c->want || c->in.n < c->want)
            return;
        h1_answer(c);
        memmove(c->in.p, c->in.p + c->want, c->in.n - c->want);
        c->in.n -= c->want;
        c->want = 0;
    }
}

static void on_ready(struct conn *c)
{
    static uint8_t buf[READ_BYTES];

    for (;;) {
        ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            conn_free(c);
            return;
        }
        if (!c->known) {
            c->known = true;
            if (n >= 4 && memcmp(buf, "PRI ", 4) == 0)
                h2_start(c);
        }
        if (!c->h2)
            h1_read(c, buf, (size_t)n);
        else if (!h2_read(c, buf, (size_t)n)) {
            conn_free(c);
            return;
        }
        if ((size_t)n < sizeof(buf))
            return;
    }
}

static void on_accept(int listener)
{
    struct conn *c = calloc(1, sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (c->fd < 0) {
        free(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 14400))};
    struct epoll_event ev[256], mine = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 1024) < 0) {
        perror("floor");
        return 1;
    }
    ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &mine);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);

        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr)
                on_ready(ev[i].data.ptr);
            else
                on_accept(listener);
        }
    }
}
