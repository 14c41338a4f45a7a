/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection without a socket, for tests and fuzz targets of a protocol: bytes go in, what it writes is kept. Stands
 * in for net/conn.c; include it in one file of a program that does not link that.
 */
#ifndef GW_TESTS_FAKE_CONN_H
#define GW_TESTS_FAKE_CONN_H

#include <stdlib.h>

#include "net/http_conn.h"

struct fake {
    struct gw_hs_conn c;
    struct gw_hs_conf conf;
    struct gw_env env;
    struct gw_hs_handler *handler;
    uint64_t now_ns, due_ns;
    struct gw_buf out, in;
    bool paused, resumed, dirty, has_input;
};

static struct fake *fake_of(const struct gw_hs_conn *c)
{
    return (struct fake *)(void *)((char *)(uintptr_t)c - offsetof(struct fake, c));
}

static uint64_t fake_wall(struct gw_env *env)
{
    (void)env;
    return 1700000000u * (uint64_t)1000000000u;
}

static const struct gw_env_ops fake_env_ops = {.wall_ns = fake_wall};

/* The loop is never turned: a fake's own clock is asked through it. */
struct gw_loop *gw_conn_loop(const struct gw_hs_conn *c)
{
    return (struct gw_loop *)(void *)fake_of(c);
}
uint64_t gw_loop_now_ns(struct gw_loop *l)
{
    return ((struct fake *)(void *)l)->now_ns;
}
struct gw_env *gw_loop_env(struct gw_loop *l)
{
    return &((struct fake *)(void *)l)->env;
}
void gw_stream_open(struct gw_hs_conn *c, struct gw_hs_stream *s, uint32_t id)
{
    *s = (struct gw_hs_stream){.conn = c, .id = id};
    c->n_streams++;
}
void gw_stream_head(struct gw_hs_stream *s)
{
    struct gw_hs_handler *h = fake_of(s->conn)->handler;

    s->told = true;
    h->head(h, s, &s->head);
}
void gw_stream_body(struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct gw_hs_handler *h = fake_of(s->conn)->handler;

    if (!s->responded && !s->conn->closed)
        h->body(h, s, chunk);
}
void gw_stream_end(struct gw_hs_stream *s)
{
    struct gw_hs_handler *h = fake_of(s->conn)->handler;

    if (!s->responded && !s->conn->closed)
        h->end(h, s);
}
void gw_stream_gone(struct gw_hs_stream *s)
{
    struct gw_hs_handler *h = fake_of(s->conn)->handler;

    s->conn->n_streams--;
    if (s->told)
        h->gone(h, s);
}
void gw_conn_write(struct gw_hs_conn *c, struct gw_slice bytes)
{
    gw_buf_put_slice(&fake_of(c)->out, bytes);
}
void gw_conn_writev(struct gw_hs_conn *c, const struct gw_slice *pieces, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_conn_write(c, pieces[i]);
}
void gw_conn_dirty(struct gw_hs_conn *c)
{
    fake_of(c)->dirty = true;
}
void gw_conn_pause(struct gw_hs_conn *c)
{
    fake_of(c)->paused = true;
}
void gw_conn_resume(struct gw_hs_conn *c)
{
    fake_of(c)->paused = false;
    fake_of(c)->resumed = true;
}
void gw_conn_close(struct gw_hs_conn *c)
{
    c->closed = true;
}
void gw_conn_finish(struct gw_hs_conn *c)
{
    c->finishing = true;
}
void gw_conn_arm(struct gw_hs_conn *c, uint64_t due_ns)
{
    fake_of(c)->due_ns = due_ns;
}
bool gw_conn_has_input(const struct gw_hs_conn *c)
{
    return fake_of(c)->has_input;
}
size_t gw_conn_max_input(const struct gw_hs_conn *c)
{
    return c->conf->max_header_bytes + 65536;
}
void gw_hs_set_user(struct gw_hs_stream *s, void *user)
{
    s->user = user;
}
void *gw_hs_user(const struct gw_hs_stream *s)
{
    return s->user;
}
const struct gw_hs_head *gw_hs_head_of(const struct gw_hs_stream *s)
{
    return &s->head;
}
void gw_hs_respond(struct gw_hs_stream *s, const struct gw_hs_response *r)
{
    if (s->responded || s->conn->closed)
        return;
    s->responded = true;
    s->open = r->open && s->conn->proto->push;
    s->conn->proto->respond(s, r);
}
int gw_hs_push(struct gw_hs_stream *s, struct gw_slice bytes)
{
    return s->open && !s->conn->closed ? s->conn->proto->push(s, bytes) : -EPIPE;
}
void gw_hs_end(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers)
{
    if (!s->open)
        return;
    s->open = false;
    if (!s->conn->closed)
        s->conn->proto->end(s, trailers, n_trailers);
}

/* What is left over is offered again with what follows, as conn.c does. */
static void fake_offer(struct fake *f)
{
    size_t used;

    if (f->paused || f->c.closed || f->c.finishing || f->in.n == 0)
        return;
    used = f->c.proto->input(&f->c, gw_buf_slice(&f->in));
    if (used > f->in.n)
        abort();
    memmove(f->in.p, f->in.p + used, f->in.n - used);
    f->in.n -= used;
}

static void fake_turn(struct fake *f)
{
    do {
        f->resumed = false;
        if (f->dirty && !f->c.closed) {
            f->dirty = false;
            f->c.proto->flush(&f->c);
        }
        if (f->resumed)
            fake_offer(f);
    } while (f->resumed || (f->dirty && !f->c.closed));
}

static void fake_send(struct fake *f, struct gw_slice bytes)
{
    gw_buf_put_slice(&f->in, bytes);
    fake_offer(f);
    fake_turn(f);
}

__attribute__((unused)) static void fake_open(struct fake *f, const struct gw_hs_proto *proto,
                                              struct gw_hs_handler *handler)
{
    *f = (struct fake){.handler = handler, .now_ns = 1000000000};
    f->env.ops = &fake_env_ops;
    f->conf = (struct gw_hs_conf){.max_header_bytes = 16384,
                                  .max_headers = 100,
                                  .header_timeout_ns = 10000000000u,
                                  .body_idle_timeout_ns = 30000000000u,
                                  .keep_alives = true};
    f->c.conf = &f->conf;
    f->c.proto = proto;
    gw_buf_init(&f->out, 1 << 20);
    gw_buf_init(&f->in, 1 << 20);
    if (proto->open(&f->c) < 0)
        abort();
}

static void fake_close(struct fake *f)
{
    f->c.closed = true;
    f->c.proto->close(&f->c);
    gw_buf_clear(&f->out);
    gw_buf_clear(&f->in);
}

#endif
