/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <h2o/socket.h>
#include <openssl/err.h>

#include "net/hs.h"

enum {
    UNSENT_HIGH = 64 * 1024,         /* with more output than this waiting, nothing is read */
    OUT_MAX = 16 * 1024 * 1024,      /* one answer may be large; a connection's whole backlog may not */
    LINGER_BYTES = 64 * 1024 * 1024, /* many write a whole body before they read our 413; LINGER_NS bounds it too */
    MAX_PIECES = 8,
    TLS_READ_BYTES = 64 * 1024, /* in h2o's buffers; its own 8 KiB grow by copies, a system call each */
    READS_A_TURN = 4,           /* of GW_SCRATCH_BYTES: enough to save turns, too few to starve the others */
};
static const uint64_t LINGER_NS = 1000 * 1000000ull;
static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void on_readable(h2o_socket_t *sock, const char *err);
static void on_writable(h2o_socket_t *sock, const char *err);

struct gw_loop *gw_conn_loop(const struct gw_hs_conn *c)
{
    return c->server->loop;
}

size_t gw_conn_max_input(const struct gw_hs_conn *c)
{
    return (size_t)c->conf->max_header_bytes + GW_SCRATCH_BYTES;
}

/* ---- the clock: age, idleness, stalled output, handshake -------------------------------------------------- */

static uint64_t idle_ns(const struct gw_hs_conn *c)
{
    uint64_t a = c->conf->idle_timeout_ns, b = c->conf->max_connection_idle_ns;

    return a == 0 ? b : b == 0 || a < b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b != 0 && b < a ? b : a;
}

/** Arm `life` for the earliest of what may end the connection. A timer that is early looks again. */
static void watch_life(struct gw_hs_conn *c)
{
    uint64_t due = UINT64_MAX;

    due = sooner(due, c->phase_due_ns);
    due = sooner(due, c->age_due_ns);
    due = sooner(due, c->stall_due_ns);
    if (c->n_streams == 0 && idle_ns(c) && !c->quiescing)
        due = sooner(due, c->idle_since_ns + idle_ns(c));
    if (due != UINT64_MAX && (!gw_timer_is_armed(&c->life) || due < c->life.due_ns))
        gw_timer_arm(gw_conn_loop(c), &c->life, due);
}

static void cut(struct gw_hs_conn *c)
{
    gw_metric_add(c->server->g->cut_timeout, 1);
    gw_conn_close(c);
}

bool gw_conn_has_input(const struct gw_hs_conn *c)
{
    char first;

    return recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/** Its first bytes are there, only this thread did not come to read them: no reason to cut it off at the last moment.
 */
static bool is_heard(struct gw_hs_conn *c, uint64_t now)
{
    if (!c->quiescing || c->proto || c->handshaking || !gw_conn_has_input(c))
        return false;
    c->phase_due_ns = now + GW_HS_LAST_WORDS_NS;
    return true;
}

static void on_life(struct gw_timer *t)
{
    struct gw_hs_conn *c = (struct gw_hs_conn *)((char *)t - offsetof(struct gw_hs_conn, life));
    uint64_t now = gw_conn_now_ns(c);

    if (c->closed)
        return;
    if (c->phase_due_ns && now >= c->phase_due_ns && !is_heard(c, now)) {
        if (c->lingering)
            gw_conn_close(c);
        else
            cut(c);
        return;
    }
    if (c->stall_due_ns && now >= c->stall_due_ns) {
        cut(c);
        return;
    }
    if (c->age_due_ns && now >= c->age_due_ns) {
        if (c->quiescing) {
            cut(c);
            return;
        }
        c->age_due_ns = c->conf->max_connection_age_grace_ns ? now + c->conf->max_connection_age_grace_ns : 0;
        gw_conn_quiesce(c);
    }
    if (c->n_streams == 0 && idle_ns(c) && !c->quiescing && now >= c->idle_since_ns + idle_ns(c))
        gw_conn_quiesce(c);
    watch_life(c);
}

static void on_timer(struct gw_timer *t)
{
    struct gw_hs_conn *c = (struct gw_hs_conn *)((char *)t - offsetof(struct gw_hs_conn, timer));

    if (!c->closed && c->proto)
        c->proto->timeout(c);
}

void gw_conn_arm(struct gw_hs_conn *c, uint64_t due_ns)
{
    if (due_ns)
        gw_timer_arm(gw_conn_loop(c), &c->timer, due_ns);
    else
        gw_timer_disarm(&c->timer);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static void update_reading(struct gw_hs_conn *c)
{
    bool wanted =
        !c->closed && !c->eof && (c->lingering || (!c->paused && !c->finishing && gw_conn_unsent(c) <= UNSENT_HIGH));

    if (c->handshaking || wanted == (bool)h2o_socket_is_reading(c->sock))
        return;
    if (wanted)
        h2o_socket_read_start(c->sock, on_readable);
    else
        h2o_socket_read_stop(c->sock);
}

static void speak(struct gw_hs_conn *c, const struct gw_hs_proto *proto)
{
    c->proto = proto;
    c->phase_due_ns = 0;
    c->idle_since_ns = gw_conn_now_ns(c);
    if (proto->open(c) < 0)
        gw_conn_close(c);
    else if (c->quiescing)
        proto->quiesce(c);
    watch_life(c);
}

/** HTTP/2 with prior knowledge starts with a fixed text; whatever differs from it is HTTP/1.1. */
static void sniff(struct gw_hs_conn *c, struct gw_slice in)
{
    size_t n = in.n < sizeof PREFACE - 1 ? in.n : sizeof PREFACE - 1;

    if (memcmp(in.p, PREFACE, n) != 0)
        speak(c, &gw_http1);
    else if (n == sizeof PREFACE - 1)
        speak(c, &gw_http2);
}

/** Offer bytes to the protocol until it wants more than there is. Returns how many it is done with. */
static size_t offer(struct gw_hs_conn *c, struct gw_slice in)
{
    size_t at = 0;

    if (c->feeding)
        return 0;
    c->feeding = true;
    while (at < in.n && !c->closed && !c->paused && !c->finishing) {
        struct gw_slice rest = {in.p + at, in.n - at};
        size_t n;

        if (!c->proto)
            sniff(c, rest);
        if (!c->proto || c->closed)
            break;
        n = c->proto->input(c, rest);
        if (n == 0)
            break;
        at += n;
    }
    c->feeding = false;
    if (c->finishing)
        at = in.n; /* nobody will want it */
    if (in.n - at > gw_conn_max_input(c) && !c->paused)
        gw_conn_close(c);
    return at;
}

static struct gw_slice left_over(const struct gw_hs_conn *c)
{
    return c->tls ? gw_slice_of(c->sock->input->bytes, c->sock->input->size) : gw_buf_slice(&c->in);
}

/** Offer what is buffered, then the end of it. */
static void offer_left_over(struct gw_hs_conn *c)
{
    struct gw_slice in = left_over(c);
    size_t n = in.n ? offer(c, in) : 0;

    if (c->tls) {
        h2o_buffer_consume(&c->sock->input, n);
    } else if (n == c->in.n) {
        gw_buf_clear(&c->in); /* an idle connection holds no buffer */
    } else if (n) {
        memmove(c->in.p, c->in.p + n, c->in.n - n);
        c->in.n -= n;
    }
    if (c->eof && !c->paused && !c->closed && !c->feeding) {
        if (c->proto && !c->finishing)
            c->proto->eof(c);
        else
            gw_conn_close(c);
    }
    if (!c->closed)
        update_reading(c);
}

static void discard(struct gw_hs_conn *c)
{
    ssize_t n;

    if (c->tls) {
        n = (ssize_t)c->sock->input->size;
        h2o_buffer_consume(&c->sock->input, (size_t)n);
    } else {
        n = recv(c->fd, c->server->scratch, sizeof c->server->scratch, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            gw_conn_close(c);
            return;
        }
    }
    if (n > 0)
        c->linger_bytes += (size_t)n;
    if (c->linger_bytes > LINGER_BYTES)
        gw_conn_close(c);
}

/** Returns whether there may be more. */
static bool read_plain(struct gw_hs_conn *c)
{
    uint8_t *p = c->server->scratch;
    ssize_t n = recv(c->fd, p, GW_SCRATCH_BYTES, 0);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            gw_conn_close(c);
        return false;
    }
    if (n == 0) {
        c->eof = true;
    } else if (c->in.n == 0) { /* as good as always: straight from the worker's buffer, nothing is kept */
        size_t done = offer(c, gw_slice_of(p, (size_t)n));

        if (done < (size_t)n && !c->closed)
            gw_buf_put(&c->in, p + done, (size_t)n - done);
        if (!c->in.failed) {
            update_reading(c);
            return n == GW_SCRATCH_BYTES && c->in.n == 0 && !c->closed && h2o_socket_is_reading(c->sock);
        }
    } else {
        gw_buf_put(&c->in, p, (size_t)n);
    }
    if (c->in.failed)
        gw_conn_close(c);
    else
        offer_left_over(c);
    return false;
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct gw_hs_conn *c = sock->data;

    if (c->closed)
        return;
    if (err && err != h2o_socket_error_closed) {
        ERR_clear_error(); /* OpenSSL's queue belongs to the thread: the next connection would be blamed */
        gw_conn_close(c);
        return;
    }
    if (err)
        c->eof = true;
    if (c->lingering) {
        if (c->eof)
            gw_conn_close(c);
        else
            discard(c);
    } else if (c->tls) {
        offer_left_over(c);
    } else {
        for (unsigned i = 0; i < READS_A_TURN && read_plain(c); i++)
            ;
    }
}

void gw_conn_pause(struct gw_hs_conn *c)
{
    c->paused = true;
    if (!c->closed)
        update_reading(c);
}

void gw_conn_resume(struct gw_hs_conn *c)
{
    if (!c->paused || c->closed)
        return;
    c->paused = false;
    if (!c->is_ready) {
        c->is_ready = true;
        c->next_ready = c->server->ready;
        c->server->ready = c;
        gw_hs_server_poke(c->server);
    }
}

void gw_conn_continue(struct gw_hs_conn *c)
{
    c->is_ready = false;
    if (!c->closed)
        offer_left_over(c);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void start_lingering(struct gw_hs_conn *c)
{
    if (c->eof) {
        gw_conn_close(c);
        return;
    }
    c->lingering = true;
    if (!c->tls) /* TLS says its own farewell when the socket is closed */
        shutdown(c->fd, SHUT_WR);
    c->phase_due_ns = gw_conn_now_ns(c) + LINGER_NS;
    update_reading(c);
    watch_life(c);
}

/** Output waits for the peer: from now on it has to move. */
static void expect_progress(struct gw_hs_conn *c)
{
    uint64_t patience = c->conf->write_timeout_ns ? c->conf->write_timeout_ns : c->conf->body_idle_timeout_ns;

    if (patience == 0)
        return;
    c->stall_due_ns = gw_conn_now_ns(c) + patience;
    watch_life(c);
}

static void want_write(struct gw_hs_conn *c)
{
    if (c->wants_write)
        return;
    c->wants_write = true;
    h2o_socket_notify_write(c->sock, on_writable);
    expect_progress(c);
}

static void all_is_written(struct gw_hs_conn *c)
{
    gw_buf_clear(&c->out);
    c->out_at = 0;
    c->stall_due_ns = 0;
    if (c->finishing && !c->lingering)
        start_lingering(c);
}

/** Plaintext: try the socket, wait for it when it is full. */
static void push_out(struct gw_hs_conn *c)
{
    size_t left = gw_conn_unsent(c);
    ssize_t n = send(c->fd, c->out.p + c->out_at, left, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        gw_conn_close(c);
        return;
    }
    if (n > 0)
        c->out_at += (size_t)n;
    if (c->out_at == c->out.n) {
        all_is_written(c);
        return;
    }
    want_write(c);
    if (n > 0)
        expect_progress(c);
}

/** TLS: h2o encrypts at once into memory of its own, so nothing of ours has to live until the call-back. */
static void push_out_tls(struct gw_hs_conn *c, const uint8_t *p, size_t n)
{
    h2o_iovec_t v = {.base = (char *)(uintptr_t)p, .len = n};

    c->wants_write = true;
    h2o_socket_write(c->sock, &v, 1, on_writable);
    expect_progress(c);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct gw_hs_conn *c = sock->data;

    c->wants_write = false;
    if (c->closed)
        return;
    if (err) {
        gw_conn_close(c);
        return;
    }
    if (gw_conn_unsent(c) == 0) {
        all_is_written(c);
    } else if (c->tls) {
        push_out_tls(c, c->out.p + c->out_at, gw_conn_unsent(c));
        gw_buf_clear(&c->out);
        c->out_at = 0;
    } else {
        push_out(c);
    }
    if (c->closed || c->lingering)
        return;
    if (gw_conn_unsent(c) <= UNSENT_HIGH && c->proto && !c->finishing)
        c->proto->flush(c);
    if (!c->closed)
        update_reading(c);
}

static void keep(struct gw_hs_conn *c, const struct gw_slice *pieces, unsigned n, size_t skip)
{
    if (c->out_at > OUT_MAX / 4) {
        memmove(c->out.p, c->out.p + c->out_at, gw_conn_unsent(c));
        c->out.n -= c->out_at;
        c->out_at = 0;
    }
    for (unsigned i = 0; i < n; i++) {
        size_t k = skip < pieces[i].n ? skip : pieces[i].n;

        gw_buf_put(&c->out, pieces[i].p + k, pieces[i].n - k);
        skip -= k;
    }
    if (c->out.failed) {
        gw_conn_close(c);
        return;
    }
    update_reading(c);
}

void gw_conn_writev(struct gw_hs_conn *c, const struct gw_slice *pieces, unsigned n)
{
    struct iovec iov[MAX_PIECES];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n < MAX_PIECES ? n : MAX_PIECES};
    size_t total = 0;
    ssize_t sent;

    for (unsigned i = 0; i < n; i++)
        total += pieces[i].n;
    if (c->closed || c->lingering || total == 0)
        return;
    if (gw_conn_unsent(c) || c->wants_write) {
        keep(c, pieces, n, 0);
        return;
    }
    if (c->tls) {
        if (n == 1) {
            push_out_tls(c, pieces[0].p, pieces[0].n);
            return;
        }
        keep(c, pieces, n, 0);
        if (!c->closed) {
            push_out_tls(c, c->out.p, c->out.n);
            gw_buf_clear(&c->out);
        }
        return;
    }
    for (unsigned i = 0; i < msg.msg_iovlen; i++)
        iov[i] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].n};
    sent = n == 1 ? send(c->fd, pieces->p, total, MSG_NOSIGNAL) : sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        gw_conn_close(c);
        return;
    }
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < total) {
        keep(c, pieces, n, (size_t)sent);
        if (!c->closed)
            want_write(c);
    }
}

void gw_conn_write(struct gw_hs_conn *c, struct gw_slice bytes)
{
    gw_conn_writev(c, &bytes, 1);
}

void gw_conn_dirty(struct gw_hs_conn *c)
{
    if (c->is_dirty || c->closed)
        return;
    c->is_dirty = true;
    c->next_dirty = c->server->dirty;
    c->server->dirty = c;
    gw_hs_server_poke(c->server);
}

void gw_conn_flush(struct gw_hs_conn *c)
{
    c->is_dirty = false;
    if (!c->closed && c->proto)
        c->proto->flush(c);
}

/* ---- beginning and end ------------------------------------------------------------------------------------ */

/** ±10 %: a fleet that was started together shall not reconnect together. */
static uint64_t jitter(struct gw_env *env, uint64_t ns)
{
    return ns - ns / 10 + gw_random_u64(env) % (ns / 5 + 1);
}

static void start(struct gw_hs_conn *c)
{
    if (c->conf->protocols == GW_HS_HTTP2)
        speak(c, &gw_http2);
    else if (c->conf->protocols == GW_HS_HTTP1)
        speak(c, &gw_http1);
    if (!c->closed)
        update_reading(c);
}

/** RFC 2253, as Go prints it. */
static void keep_subject(struct gw_hs_conn *c, SSL *ssl)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    BIO *bio = cert ? BIO_new(BIO_s_mem()) : NULL;
    char *p, *copy;
    long n;

    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
        n = BIO_get_mem_data(bio, &p);
        copy = n > 0 ? malloc((size_t)n) : NULL;
        if (copy) {
            memcpy(copy, p, (size_t)n);
            free((void *)(uintptr_t)c->client_subject.p);
            c->client_subject = gw_slice_of(copy, (size_t)n);
        }
    }
    BIO_free(bio);
    X509_free(cert);
}

/** h2o keeps the SSL to itself; its BIO knows the socket, and the socket knows us. */
void gw_conn_on_ssl_info(const SSL *ssl, int where, int ret)
{
    h2o_socket_t *sock;

    (void)ret;
    if (!(where & SSL_CB_HANDSHAKE_DONE) || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
        return;
    sock = BIO_get_data(SSL_get_rbio(ssl));
    if (sock && sock->data)
        keep_subject(sock->data, (SSL *)(uintptr_t)ssl);
}

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct gw_hs_conn *c = sock->data;
    h2o_iovec_t alpn;

    c->handshaking = false;
    if (c->closed)
        return;
    if (err) {
        ERR_clear_error();
        gw_metric_add(c->server->g->tls_failed, 1);
        gw_log(c->conf->logger, GW_LOG_DEBUG, "TLS handshake with %s failed: %s", c->peer_text, err);
        gw_conn_close(c);
        return;
    }
    alpn = h2o_socket_ssl_get_selected_protocol(sock);
    if (alpn.len == 2 && memcmp(alpn.base, "h2", 2) == 0)
        speak(c, &gw_http2);
    else if (alpn.len != 0)
        speak(c, &gw_http1);
    else
        start(c); /* no ALPN: by the first bytes, as on a plaintext port */
    if (!c->closed)
        offer_left_over(c);
}

void gw_conn_forget_buffers(void)
{
    h2o_mem_recycle_t *kept = &h2o_socket_buffer_prototype.allocator;

    while (kept->cnt)
        free(h2o_mem_alloc_recycle(kept, 1));
}

static void start_tls(struct gw_hs_conn *c)
{
    SSL_CTX *ctx = gw_tls_store_get(c->server->g->tls);

    c->tls = true;
    c->handshaking = true;
    /* of this thread's sockets, before the first one has a buffer: those that are kept for reuse are of one size */
    h2o_socket_buffer_prototype._initial_buf.capacity = TLS_READ_BYTES;
    h2o_socket_ssl_handshake(c->sock, ctx, NULL, on_handshake);
    SSL_CTX_free(ctx); /* the connection's SSL has its own reference */
}

void gw_conn_new(struct gw_hs_server *sv, int fd, const struct sockaddr_storage *peer)
{
    struct gw_hs_conn *c = calloc(1, sizeof *c);

    if (!c || gw_hs_slot_take(sv, c) < 0) {
        free(c);
        close(fd);
        gw_hs_server_uncount(sv);
        return;
    }
    c->server = sv;
    c->conf = &sv->g->conf;
    c->fd = fd;
    c->timer.fire = on_timer;
    c->life.fire = on_life;
    gw_peer_text(peer, c->peer_text, sizeof c->peer_text);
    c->peer = gw_slice_cstr(c->peer_text);
    gw_buf_init(&c->in, gw_conn_max_input(c) + GW_SCRATCH_BYTES);
    gw_buf_init(&c->out, OUT_MAX);
    c->next = sv->conns;
    c->link = &sv->conns;
    if (c->next)
        c->next->link = &c->next;
    sv->conns = c;

    c->sock =
        h2o_evloop_socket_create(gw_loop_h2o(sv->loop), fd,
                                 H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION | (sv->g->tls ? 0 : H2O_SOCKET_FLAG_DONT_READ));
    c->sock->data = c;
    if (c->conf->header_timeout_ns)
        c->phase_due_ns = gw_conn_now_ns(c) + c->conf->header_timeout_ns;
    if (c->conf->max_connection_age_ns)
        c->age_due_ns = gw_conn_now_ns(c) + jitter(sv->g->env, c->conf->max_connection_age_ns);
    c->idle_since_ns = gw_conn_now_ns(c);
    watch_life(c);
    if (sv->g->tls)
        start_tls(c);
    else
        start(c);
    if (sv->quiescing)
        gw_conn_quiesce(c);
}

void gw_conn_quiesce(struct gw_hs_conn *c)
{
    uint64_t due;

    if (c->closed || c->finishing)
        return;
    c->quiescing = true;
    if (c->proto) {
        c->proto->quiesce(c);
        return;
    }
    due = gw_conn_now_ns(c) + GW_HS_LAST_WORDS_NS; /* its first bytes are on their way, or a handshake is */
    if (!c->phase_due_ns || c->phase_due_ns > due)
        c->phase_due_ns = due;
    watch_life(c);
}

void gw_conn_finish(struct gw_hs_conn *c)
{
    if (c->closed || c->finishing)
        return;
    c->finishing = true;
    gw_timer_disarm(&c->timer);
    if (gw_conn_unsent(c) == 0 && !c->wants_write)
        start_lingering(c);
    else
        update_reading(c);
}

void gw_conn_close(struct gw_hs_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    c->next_doomed = c->server->doomed;
    c->server->doomed = c;
    gw_hs_server_poke(c->server);
}

static void take_off_lists(struct gw_hs_conn *c)
{
    for (struct gw_hs_conn **p = &c->server->dirty; c->is_dirty && *p; p = &(*p)->next_dirty)
        if (*p == c) {
            *p = c->next_dirty;
            break;
        }
    for (struct gw_hs_conn **p = &c->server->ready; c->is_ready && *p; p = &(*p)->next_ready)
        if (*p == c) {
            *p = c->next_ready;
            break;
        }
}

void gw_conn_free(struct gw_hs_conn *c)
{
    if (c->proto && c->session)
        c->proto->close(c);
    take_off_lists(c);
    gw_timer_disarm(&c->timer);
    gw_timer_disarm(&c->life);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    gw_hs_slot_give_back(c->server, c);
    gw_hs_server_uncount(c->server);
    c->sock->data = NULL;
    h2o_socket_close(c->sock);
    if (c->tls)
        ERR_clear_error();
    gw_buf_clear(&c->in);
    gw_buf_clear(&c->out);
    free((void *)(uintptr_t)c->client_subject.p);
    free(c);
}

/* ---- streams, as protocols see them ----------------------------------------------------------------------- */

void gw_stream_open(struct gw_hs_conn *c, struct gw_hs_stream *s, uint32_t id)
{
    *s = (struct gw_hs_stream){.conn = c, .id = id};
    s->head.content_length = -1;
    s->head.tls = c->tls;
    s->head.peer = c->peer;
    s->head.client_subject = c->client_subject;
    c->n_streams++;
}

void gw_stream_head(struct gw_hs_stream *s)
{
    struct gw_hs_handler *h = s->conn->server->handler;

    if (s->conn->closed)
        return;
    s->told = true;
    h->head(h, s, &s->head);
}

void gw_stream_body(struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct gw_hs_handler *h = s->conn->server->handler;

    if (s->told && !s->responded && !s->conn->closed && chunk.n)
        h->body(h, s, chunk);
}

void gw_stream_end(struct gw_hs_stream *s)
{
    struct gw_hs_handler *h = s->conn->server->handler;

    if (!s->told || s->responded || s->ended || s->conn->closed)
        return;
    s->ended = true;
    h->end(h, s);
}

void gw_stream_gone(struct gw_hs_stream *s)
{
    struct gw_hs_conn *c = s->conn;
    struct gw_hs_handler *h = c->server->handler;

    if (s->told)
        h->gone(h, s);
    s->told = false;
    if (--c->n_streams == 0) {
        c->idle_since_ns = gw_conn_now_ns(c);
        if (!c->closed)
            watch_life(c);
    }
}
