/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gw_http_client on libcurl's multi interface.
 *
 *   send ─► easy handle (from a free list) ─► multi ─┬─ its sockets: foreign descriptors of the loop
 *                                                    └─ its timer:   one timer of the loop
 *   done ◄─ finish() ◄─ curl_multi_info_read ◄─ after every socket or timer event
 *
 * No call-back of ours runs inside curl's: curl forbids most calls there. What fails before curl sees it (a bad header)
 * and what is cancelled goes to the `late` list, which the timer empties.
 */
#include "net/http_client_impl.h"

#include <stdlib.h>

enum { MAX_HEADER_BYTES = 64 << 10, KEPT_TRANSFERS = 64 };

/** One socket of curl's. Kept on a free list: an event of the same turn may still name it. */
struct gw_curl_sock {
    struct gw_fd fd;
    struct gw_curl_client *c;
    struct gw_curl_sock *next;
};

/* ---- lists of transfers ----------------------------------------------------------------------------------- */

static void list_put(struct gw_http_transfer **head, struct gw_http_transfer *t)
{
    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
}

static void list_take(struct gw_http_transfer *t)
{
    gw_timer_disarm(&t->deadline);
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

/* ---- what comes back -------------------------------------------------------------------------------------- */

static void forget_head(struct gw_http_transfer *t)
{
    gw_buf_reset(&t->head);
    t->n_headers = 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct gw_http_transfer *t = arg;
    size_t len = size * n;
    const char *colon;
    size_t end = len, begin, name;
    uint32_t off = (uint32_t)t->head.n;

    if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* a status line: of 100, of a proxy, or the last one */
        forget_head(t);
        t->has_head = false;
        gw_buf_reset(&t->body);
        return len;
    }
    if (*p == '\r' || *p == '\n')
        t->has_head = true;
    colon = memchr(p, ':', len);
    if (!colon || colon == p || t->n_headers == GW_HTTP_MAX_HEADERS)
        return len;
    name = (size_t)(colon - p);
    begin = name + 1;
    while (begin < end && (p[begin] == ' ' || p[begin] == '\t'))
        begin++;
    while (end > begin && (p[end - 1] == '\r' || p[end - 1] == '\n' || p[end - 1] == ' '))
        end--;
    if (gw_buf_reserve(&t->head, name + (end - begin)) < 0)
        return len; /* over our limit: the rest of the head is not needed */
    for (size_t i = 0; i < name; i++)
        gw_buf_put_u8(&t->head, (uint8_t)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]));
    gw_buf_put(&t->head, p + begin, end - begin);
    memcpy(t->at[t->n_headers++], (uint32_t[4]){off, (uint32_t)name, off + (uint32_t)name, (uint32_t)(end - begin)},
           sizeof(t->at[0]));
    return len;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct gw_http_transfer *t = arg;
    size_t len = size * n, room = t->body.max_bytes - t->body.n;

    if (len > room) {
        t->too_large = true;
        gw_buf_put(&t->body, p, room); /* as much as is allowed: enough for an error text */
        return 0;
    }
    if (gw_buf_reserve(&t->body, len) < 0)
        return 0;
    gw_buf_put(&t->body, p, len);
    return len;
}

static enum gw_http_failure failure_of(CURLcode code)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (code) {
    case CURLE_OK:
        return GW_HTTP_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return GW_HTTP_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return GW_HTTP_CONNECT;
    default:
        return GW_HTTP_BROKEN;
    }
#pragma GCC diagnostic pop
}

static void recycle(struct gw_http_transfer *t)
{
    struct gw_curl_client *c = t->c;

    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->connect_to);
    t->headers = t->connect_to = NULL;
    if (c->n_free < KEPT_TRANSFERS) {
        if (c->conf.cookies)
            curl_easy_setopt(t->easy, CURLOPT_COOKIEFILE, NULL); /* a reset would lose the list of files */
        curl_easy_reset(t->easy);
        t->next = c->free_transfers;
        c->free_transfers = t;
        c->n_free++;
        return;
    }
    curl_easy_cleanup(t->easy);
    gw_buf_clear(&t->body);
    gw_buf_clear(&t->head);
    free(t);
}

static void answer(struct gw_http_transfer *t, enum gw_http_failure failure, const char *error)
{
    struct gw_http_request *rq = t->rq;
    long status = 0, version = 0;

    curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
    if (failure == GW_HTTP_OK || failure == GW_HTTP_TOO_LARGE)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    for (unsigned i = 0; i < t->n_headers; i++) {
        const uint32_t *at = t->at[i];

        t->out[i] = (struct gw_header){{t->head.p + at[0], at[1]}, {t->head.p + at[2], at[3]}};
    }
    rq->impl = NULL;
    rq->done(rq, &(struct gw_http_response){
                     .failure = failure,
                     .status = (int)status,
                     .http2 = version == CURL_HTTP_VERSION_2_0,
                     .error = failure == GW_HTTP_OK ? NULL : error,
                     .body = gw_buf_slice(&t->body),
                     .headers = t->out,
                     .n_headers = t->n_headers,
                 });
    recycle(t);
}

/**
 * A stream that ran into its time-out can leave curl's HTTP/2 connection broken (7.88: "Error in the HTTP2 framing
 * layer" at the next stream). Whoever meets that is innocent: once more, on a new connection.
 */
static bool once_more(struct gw_http_transfer *t, CURLcode code)
{
    if ((code != CURLE_HTTP2 && code != CURLE_HTTP2_STREAM) || t->again || t->n_headers || t->body.n)
        return false;
    t->again = true;
    t->error[0] = '\0';
    curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
    return curl_multi_add_handle(t->c->multi, t->easy) == CURLM_OK;
}

/**
 * A server that hangs up at the end of a handshake, because of our certificate, may be gone before curl asks for its
 * address: then curl (7.88) keeps the text of that and drops what follows.
 */
static const char *words_of(const struct gw_http_transfer *t, CURLcode code)
{
    if (strncmp(t->error, "getpeername()", 13) == 0)
        return "the server closed the connection at once; over TLS it may want another certificate of ours";
    return t->error[0] ? t->error : curl_easy_strerror(code);
}

/** A connection that ends within the head is an answer to curl (7.88), with the status of its first line. */
static bool is_cut(const struct gw_http_transfer *t)
{
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return !t->has_head || status < 200;
}

/** Hand out what curl has finished. */
static void collect(struct gw_curl_client *c)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct gw_http_transfer *t = NULL;
        CURLcode code = m->data.result;
        enum gw_http_failure failure;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        curl_multi_remove_handle(c->multi, t->easy);
        if (once_more(t, code))
            continue;
        list_take(t);
        if (code == CURLE_OK && is_cut(t)) {
            answer(t, GW_HTTP_BROKEN, "the connection ended within the answer");
            continue;
        }
        failure = t->too_large ? GW_HTTP_TOO_LARGE : failure_of(code);
        answer(t, failure, t->too_large ? "the answer is longer than allowed" : words_of(t, code));
    }
}

/* ---- curl on the loop ------------------------------------------------------------------------------------- */

static void on_ready(struct gw_fd *f, unsigned events)
{
    struct gw_curl_sock *s = (struct gw_curl_sock *)f;
    struct gw_curl_client *c = s->c;
    int running, mask = 0;

    if (f->fd < 0)
        return;
    if (events & GW_FD_READ)
        mask |= CURL_CSELECT_IN;
    if (events & GW_FD_WRITE)
        mask |= CURL_CSELECT_OUT;
    if (events & GW_FD_ERROR)
        mask |= CURL_CSELECT_ERR;
    curl_multi_socket_action(c->multi, f->fd, mask, &running);
    collect(c);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
    struct gw_curl_client *c = arg;
    struct gw_curl_sock *s = sock_arg;
    unsigned events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (!s)
            return 0;
        gw_fd_remove(c->loop, &s->fd);
        s->fd.fd = -1;
        curl_multi_assign(c->multi, fd, NULL);
        s->next = c->free_socks;
        c->free_socks = s;
        return 0;
    }
    if (what & CURL_POLL_IN)
        events |= GW_FD_READ;
    if (what & CURL_POLL_OUT)
        events |= GW_FD_WRITE;
    if (s) {
        gw_fd_change(c->loop, &s->fd, events);
        return 0;
    }
    s = c->free_socks;
    if (s)
        c->free_socks = s->next;
    else if (!(s = calloc(1, sizeof(*s))))
        return -1;
    *s = (struct gw_curl_sock){.fd = {.fd = fd, .events = events, .ready = on_ready}, .c = c};
    if (gw_fd_add(c->loop, &s->fd) < 0) {
        s->fd.fd = -1;
        s->next = c->free_socks;
        c->free_socks = s;
        return -1; /* curl fails the transfer */
    }
    curl_multi_assign(c->multi, fd, s);
    return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    struct gw_curl_client *c = arg;

    (void)multi;
    if (ms >= 0)
        gw_timer_arm(c->loop, &c->timer, gw_mono_ns(c->env) + (uint64_t)ms * 1000000);
    else if (!c->late)
        gw_timer_disarm(&c->timer);
    return 0;
}

static void on_timer(struct gw_timer *timer)
{
    struct gw_curl_client *c = (struct gw_curl_client *)((char *)timer - offsetof(struct gw_curl_client, timer));
    struct gw_http_transfer *t;
    int running;

    while ((t = c->late)) {
        list_take(t);
        answer(t, t->failure, t->reason);
    }
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

static struct gw_http_transfer *transfer_get(struct gw_curl_client *c)
{
    struct gw_http_transfer *t = c->free_transfers;

    if (t) {
        c->free_transfers = t->next;
        c->n_free--;
    } else {
        t = calloc(1, sizeof(*t));
        if (!t)
            return NULL;
        t->c = c;
        t->easy = curl_easy_init();
        gw_buf_init(&t->body, c->conf.max_response_bytes);
        gw_buf_init(&t->head, MAX_HEADER_BYTES);
        if (!t->easy) {
            free(t);
            return NULL;
        }
    }
    gw_buf_reset(&t->body);
    forget_head(t);
    t->too_large = t->again = t->has_head = false;
    t->error[0] = '\0';
    t->next = NULL;
    return t;
}

/** Tell it on the next turn. */
static void put_late(struct gw_http_transfer *t, enum gw_http_failure failure, const char *reason)
{
    t->failure = failure;
    t->reason = reason;
    list_put(&t->c->late, t);
    gw_timer_arm(t->c->loop, &t->c->timer, 0);
}

/**
 * Time is up. Not by curl's own clock, which it looks at before it reads: a process that stood still for longer than
 * the time-out would send again what its servers have answered long since. The loop's timers come behind its sockets.
 */
static void on_deadline(struct gw_timer *timer)
{
    struct gw_http_transfer *t =
        (struct gw_http_transfer *)((char *)timer - offsetof(struct gw_http_transfer, deadline));

    (void)snprintf(t->error, sizeof(t->error), "no answer within %.3f s", (double)t->rq->timeout_ns / 1e9);
    curl_multi_remove_handle(t->c->multi, t->easy);
    list_take(t);
    answer(t, GW_HTTP_TIMEOUT, t->error);
}

static void set_callbacks(struct gw_http_transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
}

static void http_send(struct gw_http_client *base, struct gw_http_request *rq)
{
    struct gw_curl_client *c = (struct gw_curl_client *)base;
    struct gw_http_transfer *t = transfer_get(c);
    const char *problem;

    if (!t) { /* the only answer from inside: there is no memory to remember it by */
        rq->done(rq, &(struct gw_http_response){.failure = GW_HTTP_BROKEN, .error = "out of memory"});
        return;
    }
    gw_client_pems_refresh(&c->pems, gw_mono_ns(c->env));
    t->rq = rq;
    rq->impl = t;
    set_callbacks(t);
    problem = gw_http_transfer_set(t);
    if (problem) {
        put_late(t, GW_HTTP_BROKEN, problem);
        return;
    }
    list_put(&c->active, t);
    if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        list_take(t);
        put_late(t, GW_HTTP_BROKEN, "libcurl refused the request");
        return;
    }
    t->deadline.fire = on_deadline;
    if (rq->timeout_ns)
        gw_timer_arm(c->loop, &t->deadline, gw_mono_ns(c->env) + rq->timeout_ns);
}

static void http_cancel(struct gw_http_client *base, struct gw_http_request *rq)
{
    struct gw_curl_client *c = (struct gw_curl_client *)base;
    struct gw_http_transfer *t = rq->impl;

    if (!t)
        return;
    for (const struct gw_http_transfer *l = c->late; l; l = l->next)
        if (l == t)
            return; /* its answer is on the way */
    curl_multi_remove_handle(c->multi, t->easy);
    list_take(t);
    put_late(t, GW_HTTP_CANCELLED, "cancelled");
}

static void free_socks(struct gw_curl_sock *s)
{
    while (s) {
        struct gw_curl_sock *next = s->next;

        free(s);
        s = next;
    }
}

static void conf_clear(struct gw_http_client_conf *conf)
{
    free((char *)conf->proxy_url);
    free((char *)conf->user_agent);
    gw_client_tls_clear(&conf->tls);
}

static void http_free(struct gw_http_client *base)
{
    struct gw_curl_client *c = (struct gw_curl_client *)base;

    if (!c)
        return;
    while (c->free_transfers) {
        struct gw_http_transfer *t = c->free_transfers;

        c->free_transfers = t->next;
        curl_easy_cleanup(t->easy);
        gw_buf_clear(&t->body);
        gw_buf_clear(&t->head);
        free(t);
    }
    if (c->multi)
        curl_multi_cleanup(c->multi); /* closes the pool: on_socket takes the descriptors off the loop */
    if (c->share)
        curl_share_cleanup(c->share);
    gw_timer_disarm(&c->timer);
    free_socks(c->free_socks);
    gw_client_pems_clear(&c->pems);
    conf_clear(&c->conf);
    free(c);
}

static const struct gw_http_client_ops ops = {.send = http_send, .cancel = http_cancel, .free = http_free};

static int conf_copy(struct gw_http_client_conf *ret, const struct gw_http_client_conf *from)
{
    *ret = *from;
    ret->proxy_url = strdup(from->proxy_url ? from->proxy_url : "");
    ret->user_agent = strdup(from->user_agent ? from->user_agent : "");
    if (!ret->max_response_bytes)
        ret->max_response_bytes = 64 << 10;
    return gw_client_tls_copy(&ret->tls, &from->tls) < 0 || !ret->proxy_url || !ret->user_agent ? -ENOMEM : 0;
}

static bool set_multi(struct gw_curl_client *c)
{
    const struct gw_http_client_conf *conf = &c->conf;

    c->multi = curl_multi_init();
    c->share = curl_share_init();
    if (!c->multi || !c->share)
        return false;
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE);
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)conf->max_conns_per_host);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, conf->max_idle_conns ? (long)conf->max_idle_conns : 1L << 20);
    return true;
}

int gw_http_client_curl_new(struct gw_env *env, struct gw_loop *loop, const struct gw_http_client_conf *conf,
                            struct gw_http_client **ret, struct gw_err *err)
{
    int r = gw_curl_start(err);
    struct gw_curl_client *c;

    if (r < 0)
        return r;
    c = calloc(1, sizeof(*c));
    if (!c)
        return gw_fail(err, -ENOMEM, "out of memory");
    c->base.ops = &ops;
    c->env = env;
    c->loop = loop;
    c->timer.fire = on_timer;
    r = conf_copy(&c->conf, conf);
    if (r == 0 && !set_multi(c))
        r = -ENOMEM;
    if (r < 0)
        gw_fail(err, r, "out of memory");
    else
        r = gw_client_pems_load(&c->pems, env, &c->conf.tls, err);
    if (r < 0) {
        http_free(&c->base);
        return r;
    }
    *ret = &c->base;
    return 0;
}
