/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: bytes in and out, cut and slowed down where a fault says so, to the byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sink.h"

enum { READ_BYTES = 256 << 10 };

void kill_gateway(const char *where, uint64_t exchange)
{
    if (g.pid <= 0)
        return;
    (void)kill(g.pid, SIGKILL);
    g.pid = 0;
    journal_line("K %llu %llu %s\n", (unsigned long long)exchange, (unsigned long long)now_ns(), where);
}

static void end(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    (void)epoll_ctl(g.ep, EPOLL_CTL_DEL, c->fd, NULL);
    (void)close(c->fd);
}

void conn_cut(struct conn *c)
{
    struct linger hard = {1, 0};

    if (c->dead || c->half)
        return;
    if (c->fault.how == HOW_KILL)
        kill_gateway(c->fault.cut_in != NEVER ? "send" : "answer", c->exchanges ? c->exchanges->number : 0);
    if (c->fault.how == HOW_HALF) {
        (void)shutdown(c->fd, SHUT_WR);
        c->half = true;
        c->cut_in = NEVER; /* it reads on, for ever */
        return;
    }
    if (c->fault.how == HOW_RST)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    end(c);
}

void conn_adopt(struct conn *c, const struct fault *f)
{
    c->fault = *f;
    c->cut_in = NEVER;
    if (f->cut_in != NEVER && (f->on_conn || !c->h2)) /* of a stream: h2.c */
        c->cut_in = f->cut_in + c->n_in - c->in.n;
    c->cut_out = NEVER; /* of an exchange: from its answer on */
    if (f->on_conn && f->cut_out != NEVER)
        c->cut_out = f->cut_out;
    c->slow = f->slow_read;
    if (!c->slow)
        c->read_at_ns = 0;
}

void conn_new(struct sink *s)
{
    struct epoll_event ev = {.events = EPOLLIN};
    struct conn *c;
    struct fault f;
    int one = 1, fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    c = calloc(1, sizeof(*c));
    if (!c)
        die("memory");
    c->fd = fd;
    c->sink = s;
    c->events = EPOLLIN;
    gw_buf_init(&c->in, MAX_BODY_BYTES);
    gw_buf_init(&c->out, (size_t)1 << 31);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ev.data.ptr = c;
    if (epoll_ctl(g.ep, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll");
    c->next = g.conns;
    g.conns = c;
    s->n_conns++;
    fault_init(&f);
    if (!s->control)
        fault_pick(s, true, &f);
    conn_adopt(c, &f);
    if (c->cut_in == 0)
        conn_cut(c);
}

void conn_put(struct conn *c, const void *p, size_t n)
{
    gw_buf_put(&c->out, p, n);
    if (c->out.failed)
        die("memory");
}

/* All of `out` is in the kernel: whose answer that completes is told. */
static void settle(struct conn *c)
{
    struct exchange *e, *next;

    for (e = c->exchanges; e; e = next) {
        next = e->next;
        if (!e->sent)
            continue;
        exchange_end(e, true);
        if (e->fault.kill == KILL_TOLD)
            kill_gateway("told", e->number);
        exchange_free(e);
    }
}

static void flush_out(struct conn *c)
{
    while (!c->dead && !c->half) {
        size_t n = c->out.n - c->out_sent;
        ssize_t r;

        if (n == 0) {
            gw_buf_reset(&c->out);
            c->out_sent = 0;
            if (c->h2)
                h2_more(c);
            else
                h1_more(c);
            if (c->out.n == 0)
                break;
            continue;
        }
        if (c->cut_out - c->n_out < n)
            n = (size_t)(c->cut_out - c->n_out);
        r = n ? send(c->fd, c->out.p + c->out_sent, n, MSG_NOSIGNAL) : 0;
        if (r < 0) {
            if (errno != EAGAIN)
                end(c);
            return;
        }
        c->out_sent += (size_t)r;
        c->n_out += (uint64_t)r;
        if (c->out_sent == c->out.n && c->fault.how != HOW_RST)
            settle(c);
        if (c->n_out >= c->cut_out)
            conn_cut(c);
        else if (c->out_sent == c->out.n)
            settle(c);
    }
}

static void feed(struct conn *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    if (!c->sniffed) {
        if (c->in.n < 24 && memcmp(c->in.p, preface, c->in.n) == 0)
            return;
        c->sniffed = true;
        if (c->in.n >= 24 && memcmp(c->in.p, preface, 24) == 0)
            h2_start(c);
    }
    if (c->half)
        gw_buf_reset(&c->in);
    else if (c->h2)
        h2_in(c);
    else
        h1_in(c);
}

/* The fault of a request is picked at its first byte, so that no more of it is read than the fault allows. */
static bool at_start(const struct conn *c)
{
    return !c->h2 && (!c->sniffed || (!c->exchanges && c->in.n == 0)) &&
           (c->sink->n_mix || c->sink->at_turn < c->sink->n_turn);
}

/* false: nothing more for now. */
static bool read_some(struct conn *c)
{
    size_t max = c->slow ? (c->slow < 20 ? 1 : (size_t)c->slow / 20) : READ_BYTES;
    ssize_t r;

    if (at_start(c))
        max = 1;
    if (c->cut_in != NEVER && c->cut_in - c->n_in < max)
        max = (size_t)(c->cut_in - c->n_in);
    if (max > READ_BYTES)
        max = READ_BYTES;
    if (gw_buf_reserve(&c->in, max ? max : 1) < 0) {
        end(c);
        return false;
    }
    r = max ? recv(c->fd, c->in.p + c->in.n, max, 0) : 0;
    if (r < 0 && errno == EAGAIN)
        return false;
    if (r <= 0 && max) {
        end(c);
        return false;
    }
    c->in.n += (size_t)r;
    c->n_in += (uint64_t)r;
    if (c->slow)
        c->read_at_ns = now_ns() + (uint64_t)r * 1000000000u / c->slow;
    feed(c);
    if (c->n_in >= c->cut_in)
        conn_cut(c);
    return !c->dead && !c->slow && (size_t)r == max;
}

static void want(struct conn *c)
{
    bool waits = c->slow && c->read_at_ns > now_ns();
    struct epoll_event ev = {.events = (waits ? 0 : EPOLLIN) | (c->out_sent < c->out.n && !c->half ? EPOLLOUT : 0u),
                             .data.ptr = c};

    if (c->dead || ev.events == c->events)
        return;
    c->events = ev.events;
    (void)epoll_ctl(g.ep, EPOLL_CTL_MOD, c->fd, &ev);
}

void conn_ready(struct conn *c, unsigned events)
{
    if (c->dead)
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && (!c->slow || c->read_at_ns <= now_ns()))
        while (read_some(c))
            ;
    flush_out(c);
    want(c);
}

uint64_t conn_tick(struct conn *c, uint64_t now)
{
    uint64_t next = NEVER;
    bool some = false;

    if (c->dead)
        return next;
    for (struct exchange *e = c->exchanges; e; e = e->next) {
        if (!e->answer_at_ns)
            continue;
        if (e->answer_at_ns <= now) {
            e->answer_at_ns = 0;
            e->answered = true;
            some = true;
            if (e->stream)
                h2_answer(e);
            else
                h1_answer(e);
        } else if (e->answer_at_ns < next) {
            next = e->answer_at_ns;
        }
    }
    if (some || (c->slow && c->read_at_ns <= now))
        conn_ready(c, c->slow ? EPOLLIN : 0);
    if (c->slow && !c->dead && c->read_at_ns > now && c->read_at_ns < next)
        next = c->read_at_ns;
    return next;
}

void conn_free(struct conn *c)
{
    while (c->exchanges) {
        exchange_end(c->exchanges, false);
        exchange_free(c->exchanges);
    }
    if (c->h2)
        nghttp2_session_del(c->h2);
    gw_buf_clear(&c->in);
    gw_buf_clear(&c->out);
    free(c);
}
