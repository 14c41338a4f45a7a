/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 over a connection without a socket. Byte 0 says how the handler behaves, byte 1 in which pieces the bytes
 * come; the client's preface and first SETTINGS are put in front, unless bit 7 of byte 0 says that the input has its
 * own. Property: no crash, every stream that was told is told gone, nothing is told after `finishing`, and what we
 * write is bounded by what we read.
 */
#include <string.h>

#include "net/hs.h"
#include "tests/net/fake_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LATER = 64, WRITTEN_PER_PIECE = 512 * 1024 };

struct rig {
    struct fake f;
    struct gw_hs_handler handler;
    struct gw_hs_group group;
    uint8_t mode, look; /* look: every byte that is told is read */
    unsigned heads, gones, n_later;
    struct gw_hs_stream *later[LATER];
};

static struct rig *rig_of(struct gw_hs_handler *h)
{
    return (struct rig *)(void *)((char *)h - offsetof(struct rig, handler));
}

static void answer(struct rig *r, struct gw_hs_stream *s)
{
    struct gw_header trailer = {GW_SLICE("grpc-status"), GW_SLICE("0")};
    struct gw_hs_response rs = {.status = 200, .trailers = &trailer, .n_trailers = 1, .close = r->mode & 16};

    if (r->mode & 8)
        rs.body = GW_SLICE("a body of some bytes");
    rs.open = r->mode & 4;
    gw_hs_respond(s, &rs);
    if (!rs.open)
        return;
    (void)gw_hs_push(s, GW_SLICE("and more of it"));
    if (r->look & 1)
        gw_hs_end(s, &trailer, 1);
}

static bool room(struct gw_hs_handler *h, struct gw_hs_stream *s, uint64_t more)
{
    struct rig *r = rig_of(h);

    (void)s;
    return !(r->mode & 4) || ((r->look ^ more) & 2);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *d)
{
    struct rig *r = rig_of(h);

    r->heads++;
    for (unsigned i = 0; i < d->n_headers; i++) {
        for (size_t k = 0; k < d->headers[i].name.n; k++)
            r->look ^= d->headers[i].name.p[k];
        for (size_t k = 0; k < d->headers[i].value.n; k++)
            r->look ^= d->headers[i].value.p[k];
    }
    if ((r->mode & 3) == 1)
        answer(r, s);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    (void)chunk;
    if ((rig_of(h)->mode & 3) == 2)
        answer(rig_of(h), s);
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct rig *r = rig_of(h);

    if ((r->mode & 3) == 3 && r->n_later < LATER)
        r->later[r->n_later++] = s;
    else
        answer(r, s);
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct rig *r = rig_of(h);

    r->gones++;
    for (unsigned i = 0; i < r->n_later; i++)
        if (r->later[i] == s)
            r->later[i--] = r->later[--r->n_later];
}

static void feed(struct rig *r, const uint8_t *p, size_t n)
{
    uint8_t *own = malloc(n ? n : 1); /* a block of its own, so that a read over the end is seen */

    if (!own)
        abort();
    memcpy(own, p, n);
    fake_send(&r->f, gw_slice_of(own, n));
    free(own);
    if (r->f.out.n > WRITTEN_PER_PIECE)
        abort();
    gw_buf_reset(&r->f.out);
    while (r->n_later && r->mode & 32)
        answer(r, r->later[--r->n_later]);
    fake_turn(&r->f);
    r->f.now_ns += 1000000;
}

static void set_limits(struct gw_hs_conf *conf)
{
    conf->max_concurrent_streams = 128;
    conf->initial_window_bytes = 65535;
    conf->max_window_bytes = 1 << 20;
    conf->keepalive_time_ns = 7200 * 1000000000ull;
    conf->keepalive_min_ns = 300 * 1000000000ull;
    conf->bucket_burst = 200;
    conf->bucket_per_s = 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static struct gw_hs_server *server; /* too large for the stack; holds what its connections share */
    struct rig r = {.handler = {on_head, on_body, on_end, on_gone, room}};
    size_t piece, at = 2;

    if (size < 2 || size > 40000)
        return 0;
    if (!server)
        server = calloc(1, sizeof *server);
    server->g = &r.group;
    server->handler = &r.handler;
    r.mode = data[0];
    r.f = (struct fake){.handler = &r.handler, .now_ns = 1000000000};
    r.f.env.ops = &fake_env_ops;
    r.f.conf = (struct gw_hs_conf){.max_header_bytes = 16384, .max_headers = 100, .header_timeout_ns = 10000000000u};
    r.f.conf.body_idle_timeout_ns = 30000000000u;
    set_limits(&r.f.conf);
    r.f.c = (struct gw_hs_conn){.server = server, .conf = &r.f.conf, .proto = &gw_http2};
    gw_buf_init(&r.f.out, 1 << 22);
    gw_buf_init(&r.f.in, 1 << 20);
    if (gw_http2.open(&r.f.c) < 0)
        abort();
    if (!(data[0] & 128))
        feed(&r, preface, sizeof preface - 1);
    piece = data[1] ? data[1] * (size_t)16 : size;
    while (at < size && !r.f.c.closed && !r.f.c.finishing) {
        size_t n = size - at < piece ? size - at : piece;

        feed(&r, data + at, n);
        at += n;
        if (data[0] & 64 && at > size / 2)
            gw_http2.quiesce(&r.f.c);
    }
    for (unsigned i = 0; i < 3 && !r.f.c.closed && !r.f.c.finishing; i++) {
        r.f.now_ns += 40000000000u;
        gw_http2.timeout(&r.f.c);
    }
    fake_turn(&r.f);
    fake_close(&r.f);
    if (r.heads != r.gones)
        abort();
    gw_http2_server_clear(server);
    return 0;
}
