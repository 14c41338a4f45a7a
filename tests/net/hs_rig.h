/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server on a real loopback socket with a handler that keeps what it hears, and an nghttp2 client, both turned
 * by the test itself. The clock is the fake one. What the handler does is in the path:
 *
 *   /ok          200 with a 5-byte body and the trailer grpc-status: 0, at the end of the request
 *   /overload    200 with grpc-status: 14 and nothing else (Trailers-Only), as a refusal, at the end
 *   /refuse      413 at the head
 *   /later       kept; the test answers by rig_answer
 *   /early       the same, before its body is over
 *   /big         200 with a body of 1 MiB
 *   /stream      200 with 5 bytes at the end of the request, left open; the test pushes and ends it
 */
#ifndef GW_TESTS_NET_HS_RIG_H
#define GW_TESTS_NET_HS_RIG_H

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/http_server.h"
#include "tests/net/fake_env.h"

#define MS     1000000ull
#define SECOND 1000000000ull

struct heard {
    struct gw_hs_handler h;
    unsigned n_heads, n_ends, n_gone, n_open, n_chunks;
    size_t n_body, max_chunk;
    char method[16], path[64], query[64], authority[64], peer[64], subject[128], header[64];
    unsigned n_headers;
    int64_t content_length;
    bool http2, tls;
    struct gw_hs_name later;
    bool no_room; /* what the handler says when it is asked for memory */
    uint64_t asked_bytes;
    char body[64];
};

struct rig {
    struct fake_env fake;
    struct gw_loop *loop;
    struct gw_hs_conf conf;
    struct gw_hs_group *group;
    struct gw_hs_server *server;
    struct heard heard;
};

static inline void rig_copy(char *to, size_t n, struct gw_slice s)
{
    snprintf(to, n, "%.*s", (int)s.n, s.n ? (const char *)s.p : "");
}

static inline void rig_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *head)
{
    struct heard *r = (struct heard *)h;

    r->n_heads++;
    r->n_open++;
    rig_copy(r->method, sizeof r->method, head->method);
    rig_copy(r->path, sizeof r->path, head->path);
    rig_copy(r->query, sizeof r->query, head->query);
    rig_copy(r->authority, sizeof r->authority, head->authority);
    rig_copy(r->peer, sizeof r->peer, head->peer);
    rig_copy(r->subject, sizeof r->subject, head->client_subject);
    r->n_headers = head->n_headers;
    if (head->n_headers)
        rig_copy(r->header, sizeof r->header, head->headers[head->n_headers - 1].value);
    r->content_length = head->content_length;
    r->http2 = head->http2;
    r->tls = head->tls;
    if (gw_slice_is(head->path, "/early"))
        r->later = gw_hs_name_of(s);
    if (gw_slice_is(head->path, "/refuse"))
        gw_hs_respond(s, &(struct gw_hs_response){.status = 413, .refusal = true});
}

static inline void rig_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct heard *r = (struct heard *)h;

    (void)s;
    r->n_chunks++;
    if (r->n_body < sizeof r->body - 1)
        memcpy(r->body + r->n_body, chunk.p,
               chunk.n < sizeof r->body - 1 - r->n_body ? chunk.n : sizeof r->body - 1 - r->n_body);
    r->n_body += chunk.n;
    if (chunk.n > r->max_chunk)
        r->max_chunk = chunk.n;
}

static inline void rig_ok(struct gw_hs_stream *s)
{
    struct gw_header type = {GW_SLICE("content-type"), GW_SLICE("application/grpc")};
    struct gw_header status = {GW_SLICE("grpc-status"), GW_SLICE("0")};

    gw_hs_respond(s, &(struct gw_hs_response){.status = 200,
                                              .headers = &type,
                                              .n_headers = 1,
                                              .body = gw_slice_of("\0\0\0\0\0", 5),
                                              .trailers = &status,
                                              .n_trailers = 1});
}

static inline void rig_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct heard *r = (struct heard *)h;
    struct gw_slice path = gw_hs_head_of(s)->path;

    r->n_ends++;
    if (gw_slice_is(path, "/overload")) {
        struct gw_header type = {GW_SLICE("content-type"), GW_SLICE("application/grpc")};
        struct gw_header status = {GW_SLICE("grpc-status"), GW_SLICE("14")};

        gw_hs_respond(s, &(struct gw_hs_response){.status = 200,
                                                  .headers = &type,
                                                  .n_headers = 1,
                                                  .trailers = &status,
                                                  .n_trailers = 1,
                                                  .refusal = true});
    } else if (gw_slice_is(path, "/later")) {
        r->later = gw_hs_name_of(s);
    } else if (gw_slice_is(path, "/stream")) {
        r->later = gw_hs_name_of(s);
        gw_hs_respond(s, &(struct gw_hs_response){.status = 200, .body = gw_slice_of("first", 5), .open = true});
    } else if (gw_slice_is(path, "/big")) {
        static uint8_t big[1024 * 1024];

        gw_hs_respond(s, &(struct gw_hs_response){.status = 200, .body = gw_slice_of(big, sizeof big)});
    } else {
        rig_ok(s);
    }
}

static inline void rig_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct heard *r = (struct heard *)h;

    (void)s;
    r->n_gone++;
    r->n_open--;
}

static inline bool rig_room(struct gw_hs_handler *h, struct gw_hs_stream *s, uint64_t more)
{
    struct heard *r = (struct heard *)h;

    (void)s;
    r->asked_bytes = more;
    return !r->no_room;
}

static const struct gw_hs_handler rig_handler = {rig_head, rig_body, rig_end, rig_gone, rig_room};

/** conf is set already, by gw_hs_conf_defaults and the test. */
static inline int rig_start(struct rig *r, struct gw_err *err)
{
    int code;

    r->heard = (struct heard){.h = rig_handler};
    if (!r->conf.endpoint[0])
        r->conf.endpoint = "127.0.0.1:0";
    code = gw_loop_new(&r->fake.env, &r->loop, err);
    if (code == 0)
        code = gw_hs_group_new(&r->fake.env, &r->conf, &r->group, err);
    if (code == 0)
        code = gw_hs_server_new(r->group, r->loop, &r->heard.h, &r->server, err);
    return code;
}

static inline void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    fake_env_init(&r->fake);
    gw_hs_conf_defaults(&r->conf);
}

static inline void rig_stop(struct rig *r)
{
    gw_hs_server_free(r->server);
    gw_hs_group_free(r->group);
    gw_loop_free(r->loop);
}

static inline int rig_connect(struct rig *r)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)gw_hs_group_port(r->group)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline void rig_turn(struct rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_loop_turn(r->loop, 0);
}

/* ---- a client ---------------------------------------------------------------------------------------------- */

struct answer {
    int status, grpc_status;
    size_t n_body;
    bool closed;
    uint32_t error;
};

struct client {
    int fd;
    nghttp2_session *ng;
    struct answer answers[512]; /* by (stream - 1) / 2, modulo */
    unsigned n_closed, n_pings_acked, n_goaways, n_settings;
    uint32_t goaway_code;
    int32_t goaway_last;
    char goaway_text[64];
    size_t body_left; /* of the request that is being sent */
    size_t body_step; /* so many bytes of it at once, then it waits for client_step; 0: all */
    bool body_sent;
    bool eof, reads_nothing;
    bool large_frames;     /* as large as the server takes them; false: 16 KiB */
    uint32_t windows[512]; /* of streams, as the server raised them */
};

static inline struct answer *client_answer(struct client *c, int32_t id)
{
    return &c->answers[(unsigned)(id - 1) / 2 % 512];
}

static inline int client_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                                   const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
    struct client *c = arg;
    struct answer *a = client_answer(c, f->hd.stream_id);

    (void)ng, (void)flags, (void)n_value;
    if (n_name == 7 && memcmp(name, ":status", 7) == 0)
        a->status = atoi((const char *)value);
    if (n_name == 11 && memcmp(name, "grpc-status", 11) == 0)
        a->grpc_status = atoi((const char *)value);
    return 0;
}

static inline int client_on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    (void)ng, (void)flags, (void)p;
    client_answer(arg, id)->n_body += n;
    return 0;
}

static inline int client_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct client *c = arg;

    (void)ng;
    client_answer(c, id)->closed = true;
    client_answer(c, id)->error = code;
    c->n_closed++;
    return 0;
}

static inline int client_on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct client *c = arg;

    (void)ng;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->n_goaways++;
        c->goaway_code = f->goaway.error_code;
        c->goaway_last = f->goaway.last_stream_id;
        snprintf(c->goaway_text, sizeof c->goaway_text, "%.*s", (int)f->goaway.opaque_data_len,
                 (const char *)f->goaway.opaque_data);
    } else if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK)) {
        c->n_pings_acked++;
    } else if (f->hd.type == NGHTTP2_SETTINGS) {
        c->n_settings++;
    } else if (f->hd.type == NGHTTP2_WINDOW_UPDATE && f->hd.stream_id) {
        c->windows[(unsigned)(f->hd.stream_id - 1) / 2 % 512] += (uint32_t)f->window_update.window_size_increment;
    }
    return 0;
}

static inline ssize_t client_frame_bytes(nghttp2_session *ng, uint8_t type, int32_t id, int32_t window, int32_t own,
                                         uint32_t max, void *arg)
{
    ssize_t n = ((struct client *)arg)->large_frames ? (ssize_t)max : 16384;

    (void)ng, (void)type, (void)id;
    n = n < window ? n : window;
    return n < own ? n : own;
}

static inline void client_attach(struct client *c, int fd)
{
    nghttp2_session_callbacks *cb;

    memset(c, 0, sizeof *c);
    c->fd = fd;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, client_on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, client_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, client_on_frame);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, client_frame_bytes);
    nghttp2_session_client_new(&c->ng, cb, c);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline void client_close(struct client *c)
{
    nghttp2_session_del(c->ng);
    close(c->fd);
}

static inline ssize_t client_read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                                       nghttp2_data_source *source, void *arg)
{
    struct client *c = arg;

    (void)ng, (void)id, (void)source;
    if (n > c->body_left)
        n = c->body_left;
    if (c->body_step && n > c->body_step)
        n = c->body_step;
    if (c->body_step && c->body_sent)
        return NGHTTP2_ERR_DEFERRED;
    c->body_sent = true;
    memset(buf, 'b', n);
    c->body_left -= n;
    if (c->body_left == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(name, value)                                                                                                \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE \
    }

/** The next piece of a body that goes step by step. */
static inline void client_step(struct client *c, int32_t id)
{
    c->body_sent = false;
    nghttp2_session_resume_data(c->ng, id);
}

/** Submit a request; n_body 0: none. Returns the stream's number. */
static inline int32_t client_post(struct client *c, const char *path, size_t n_body)
{
    nghttp2_nv nva[] = {NV(":method", "POST"),
                        NV(":scheme", "http"),
                        NV(":path", path),
                        NV(":authority", "host:1"),
                        NV("content-type", "application/grpc"),
                        NV("te", "trailers")};
    nghttp2_data_provider body = {.read_callback = client_read_body};
    int32_t id;

    if (n_body)
        c->body_left = n_body;
    id = nghttp2_submit_request(c->ng, NULL, nva, sizeof nva / sizeof *nva, n_body ? &body : NULL, NULL);
    if (id > 0)
        *client_answer(c, id) = (struct answer){.grpc_status = -1};
    return id;
}

static inline void client_send(struct client *c)
{
    const uint8_t *p;
    ssize_t n;

    /* only while a whole frame surely fits: nghttp2 cannot take bytes back */
    while (nghttp2_session_want_write(c->ng)) {
        struct pollfd w = {.fd = c->fd, .events = POLLOUT};

        if (poll(&w, 1, 0) <= 0 || (w.revents & (POLLERR | POLLHUP)))
            return;
        n = nghttp2_session_mem_send(c->ng, &p);
        if (n <= 0 || send(c->fd, p, (size_t)n, MSG_NOSIGNAL) < 0)
            return;
    }
}

/** Until the kernel has all that was sent on the other side: the next turn reads it as a whole. */
static inline void wait_until_there(int fd)
{
    int left = 1;

    while (left > 0 && ioctl(fd, SIOCOUTQ, &left) == 0)
        sched_yield();
}

static inline void client_send_whole(struct client *c)
{
    client_send(c);
    wait_until_there(c->fd);
}

static inline void client_recv(struct client *c)
{
    uint8_t buf[65536];
    ssize_t n;

    while (!c->eof && !c->reads_nothing && (n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT)) >= 0) {
        if (n == 0)
            c->eof = true;
        else if (nghttp2_session_mem_recv(c->ng, buf, (size_t)n) < 0)
            c->eof = true;
        if ((size_t)n < sizeof buf)
            break;
    }
}

/** Let both sides talk n times. */
static inline void talk(struct rig *r, struct client *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        client_send(c);
        gw_loop_turn(r->loop, 0);
        client_recv(c);
    }
}

/** Until so many streams of the client are closed, or it has no hope. */
static inline void talk_until_closed(struct rig *r, struct client *c, unsigned n_closed)
{
    for (unsigned i = 0; i < 100000 && c->n_closed < n_closed && !c->eof; i++)
        talk(r, c, 1);
}

static inline void rig_answer(struct rig *r)
{
    struct gw_hs_stream *s = gw_hs_find(r->server, r->heard.later);

    if (s)
        rig_ok(s);
}

#endif
