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
#include "core/buf.h"
#include "net/client_tls.h"
#include "net/clients.h"
#include "net/curl_common.h"
#include "net/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    MAX_HEADERS = 64,
    MAX_HEADER_BYTES = 64 << 10,
    KEPT_TRANSFERS = 64,
    CONNECT_TIMEOUT_MS = 30000, /* as Go's default dialer */
};

struct client;

/** One socket of curl's. Kept on a free list: an event of the same turn may still name it. */
struct sock {
    struct gw_fd fd;
    struct client *c;
    struct sock *next;
};

/** One request under way. */
struct transfer {
    struct client *c;
    struct gw_http_request *rq;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct gw_buf body, head;
    struct gw_header out[MAX_HEADERS];
    unsigned n_headers;
    uint32_t at[MAX_HEADERS][4]; /* offsets and lengths of name and value in head: it moves while it grows */
    bool too_large, again;
    bool has_head;                /* of the last answer, to its empty line */
    enum gw_http_failure failure; /* of a late one */
    const char *reason;
    char url[2048], error[CURL_ERROR_SIZE];
    struct gw_timer deadline; /* while it is active */
    struct transfer *next, **link;
};

struct client {
    struct gw_http_client base;
    struct gw_env *env;
    struct gw_loop *loop;
    CURLM *multi;
    CURLSH *share;
    struct gw_timer timer;
    struct gw_http_client_conf conf;
    struct gw_client_pems pems;
    struct sock *socks, *free_socks;
    struct transfer *active, *late, *free_transfers;
    unsigned n_free;
};

/* ---- lists of transfers ----------------------------------------------------------------------------------- */

static void list_put(struct transfer **head, struct transfer *t)
{
    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
}

static void list_take(struct transfer *t)
{
    gw_timer_disarm(&t->deadline);
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

/* ---- what comes back -------------------------------------------------------------------------------------- */

static void forget_head(struct transfer *t)
{
    gw_buf_reset(&t->head);
    t->n_headers = 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
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
    if (!colon || colon == p || t->n_headers == MAX_HEADERS)
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
    struct transfer *t = arg;
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

static void recycle(struct transfer *t)
{
    struct client *c = t->c;

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

static void answer(struct transfer *t, enum gw_http_failure failure, const char *error)
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
static bool once_more(struct transfer *t, CURLcode code)
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
static const char *words_of(const struct transfer *t, CURLcode code)
{
    if (strncmp(t->error, "getpeername()", 13) == 0)
        return "the server closed the connection at once; over TLS it may want another certificate of ours";
    return t->error[0] ? t->error : curl_easy_strerror(code);
}

/** A connection that ends within the head is an answer to curl (7.88), with the status of its first line. */
static bool is_cut(const struct transfer *t)
{
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return !t->has_head || status < 200;
}

/** Hand out what curl has finished. */
static void collect(struct client *c)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct transfer *t = NULL;
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
    struct sock *s = (struct sock *)f;
    struct client *c = s->c;
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
    struct client *c = arg;
    struct sock *s = sock_arg;
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
    *s = (struct sock){.fd = {.fd = fd, .events = events, .ready = on_ready}, .c = c};
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
    struct client *c = arg;

    (void)multi;
    if (ms >= 0)
        gw_timer_arm(c->loop, &c->timer, gw_mono_ns(c->env) + (uint64_t)ms * 1000000);
    else if (!c->late)
        gw_timer_disarm(&c->timer);
    return 0;
}

static void on_timer(struct gw_timer *timer)
{
    struct client *c = (struct client *)((char *)timer - offsetof(struct client, timer));
    struct transfer *t;
    int running;

    while ((t = c->late)) {
        list_take(t);
        answer(t, t->failure, t->reason);
    }
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

/* ---- a request into an easy handle ------------------------------------------------------------------------- */

static bool is_clean(struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 && s.p[i] != '\t')
            return false;
    return true;
}

static bool add_line(struct transfer *t, const char *line)
{
    struct curl_slist *l = curl_slist_append(t->headers, line);

    if (l)
        t->headers = l;
    return l != NULL;
}

static const char *set_headers(struct transfer *t)
{
    const struct gw_http_request *rq = t->rq;
    char line[8192];

    for (unsigned i = 0; i < rq->n_headers; i++) {
        const struct gw_header *h = &rq->headers[i];
        int n;

        if (!h->name.n || !is_clean(h->name) || !is_clean(h->value) || memchr(h->name.p, ':', h->name.n))
            return "a header holds control characters";
        /* curl: "Name;" is a header with an empty value, "Name:" takes a header away */
        n = h->value.n ? snprintf(line, sizeof(line), "%.*s: %.*s", (int)h->name.n, (const char *)h->name.p,
                                  (int)h->value.n, (const char *)h->value.p)
                       : snprintf(line, sizeof(line), "%.*s;", (int)h->name.n, (const char *)h->name.p);
        if (n < 0 || (size_t)n >= sizeof(line))
            return "a header is longer than 8 KiB";
        if (!add_line(t, line))
            return "out of memory";
    }
    /* No wait for "100 Continue": a round trip for nothing. No form type on a body without a type. */
    if (!add_line(t, "Expect:") || (t->c->conf.disable_keep_alives && !add_line(t, "Connection: close")))
        return "out of memory";
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    return NULL;
}

/**
 * The name that is sent and checked in TLS is the URL's. To override it the URL is given the other name, and curl is
 * told to connect to the real host; the Host header stays the real one, as in Go.
 */
static const char *override_name(struct transfer *t, const char *name)
{
    struct gw_slice real = gw_curl_authority(t->rq->url);
    const char *host = (const char *)real.p, *rest = host + real.n;
    size_t n_host = real.n;
    const char *colon = memrchr(host, ':', n_host), *bracket = memchr(host, ']', n_host);
    const char *port = "443";
    size_t n_port = 3, n_name = n_host;
    char line[1024];

    if (colon && (!bracket || colon > bracket)) {
        port = colon + 1;
        n_port = (size_t)(rest - port);
        n_name = (size_t)(colon - host);
    }
    if ((size_t)snprintf(t->url, sizeof(t->url), "https://%s:%.*s%s", name, (int)n_port, port, rest) >= sizeof(t->url))
        return "the URL is longer than 2 KiB";
    snprintf(line, sizeof(line), "%s:%.*s:%.*s:%.*s", name, (int)n_port, port, (int)n_name, host, (int)n_port, port);
    t->connect_to = curl_slist_append(NULL, line);
    snprintf(line, sizeof(line), "Host: %.*s", (int)n_host, host);
    if (!t->connect_to || !add_line(t, line))
        return "out of memory";
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to);
    return NULL;
}

/** "unix:///run/a.sock:/v1/traces" or "unix:/run/a.sock:/v1/traces": plain HTTP over that socket. */
static const char *set_unix(struct transfer *t)
{
    const char *path = t->rq->url + strlen("unix:"), *colon;
    char file[256];

    while (path[0] == '/' && path[1] == '/')
        path++;
    colon = strchr(path, ':');
    if ((size_t)snprintf(file, sizeof(file), "%.*s", (int)(colon ? (size_t)(colon - path) : strlen(path)), path) >=
        sizeof(file))
        return "the socket's path is too long";
    if ((size_t)snprintf(t->url, sizeof(t->url), "http://localhost%s", colon ? colon + 1 : "/") >= sizeof(t->url))
        return "the URL is longer than 2 KiB";
    curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, file);
    curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    return NULL;
}

static const char *set_url(struct transfer *t)
{
    const struct gw_client_tls *tls = &t->c->conf.tls;
    const char *problem = NULL;

    if (strncmp(t->rq->url, "unix:", 5) == 0)
        problem = set_unix(t);
    else if (*tls->server_name_override && strncasecmp(t->rq->url, "https://", 8) == 0)
        problem = override_name(t, tls->server_name_override);
    else if ((size_t)snprintf(t->url, sizeof(t->url), "%s", t->rq->url) >= sizeof(t->url))
        problem = "the URL is longer than 2 KiB";
    if (!problem)
        curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
    return problem;
}

static void set_body(struct transfer *t)
{
    const struct gw_http_request *rq = t->rq;

    if (strcmp(rq->method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (strcmp(rq->method, "POST") == 0 || rq->body.n) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, rq->body.n ? (const char *)rq->body.p : ""); /* not copied */
    }
    if (strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "POST") != 0)
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, rq->method);
}

static long tls_version(const char *s, bool max)
{
    static const struct {
        const char *name;
        long min, max;
    } versions[] = {
        {"1.0", CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_0},
        {"1.1", CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_1},
        {"1.2", CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_2},
        {"1.3", CURL_SSLVERSION_TLSv1_3, CURL_SSLVERSION_MAX_TLSv1_3},
    };

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        if (strcmp(s, versions[i].name) == 0)
            return max ? versions[i].max : versions[i].min;
    return max ? CURL_SSLVERSION_MAX_DEFAULT : CURL_SSLVERSION_TLSv1_2;
}

static void set_blob(CURL *easy, CURLoption option, const struct gw_client_pems *p, enum gw_pem which)
{
    struct curl_blob blob = {.data = p->text[which], .len = p->n[which], .flags = CURL_BLOB_COPY};

    if (p->text[which])
        curl_easy_setopt(easy, option, &blob);
}

/** As Go does: these variables stand for the system's bundle and folder of trusted certificates. */
static void set_system_roots(CURL *easy)
{
    const char *bundle = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");

    if (bundle && *bundle)
        curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
    if (folder && *folder)
        curl_easy_setopt(easy, CURLOPT_CAPATH, folder);
}

static void set_tls(struct transfer *t)
{
    const struct client *c = t->c;
    const struct gw_client_tls *tls = &c->conf.tls;

    curl_easy_setopt(t->easy, CURLOPT_SSLVERSION,
                     tls_version(tls->min_version, false) | tls_version(tls->max_version, true));
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, tls->insecure_skip_verify ? 0L : 1L);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, tls->insecure_skip_verify ? 0L : 2L);
    set_system_roots(t->easy);
    if (c->pems.text[GW_PEM_CA]) {
        /* A private root stands alone unless the system's are asked for as well: then the folder is, beside the text.
         */
        if (!tls->include_system_ca_certs_pool)
            curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
        set_blob(t->easy, CURLOPT_CAINFO_BLOB, &c->pems, GW_PEM_CA);
    }
    set_blob(t->easy, CURLOPT_SSLCERT_BLOB, &c->pems, GW_PEM_CERT);
    set_blob(t->easy, CURLOPT_SSLKEY_BLOB, &c->pems, GW_PEM_KEY);
}

static void set_proxy(struct transfer *t)
{
    const struct client *c = t->c;

    if (*c->conf.proxy_url) {
        curl_easy_setopt(t->easy, CURLOPT_PROXY, c->conf.proxy_url);
        curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "");
    } else {
        gw_curl_env_proxy(t->easy, t->rq->url);
    }
}

static void set_connection(struct transfer *t)
{
    const struct gw_http_client_conf *conf = &t->c->conf;
    CURL *e = t->easy;

    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     (long)(conf->http1_only   ? CURL_HTTP_VERSION_1_1
                            : conf->http2_only ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                               : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    if (conf->read_buffer_bytes) /* curl clamps both to what it takes */
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)conf->read_buffer_bytes);
    if (conf->write_buffer_bytes)
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)conf->write_buffer_bytes);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, conf->disable_keep_alives ? 1L : 0L);
    if (conf->idle_conn_timeout_ns) /* whole seconds, at least one */
        curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)((conf->idle_conn_timeout_ns + 999999999) / 1000000000));
    else
        curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, 1L << 30);
    if (*conf->user_agent)
        curl_easy_setopt(e, CURLOPT_USERAGENT, conf->user_agent);
    curl_easy_setopt(e, CURLOPT_SHARE, t->c->share);
    if (conf->cookies)
        curl_easy_setopt(e, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
}

static struct transfer *transfer_get(struct client *c)
{
    struct transfer *t = c->free_transfers;

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
static void put_late(struct transfer *t, enum gw_http_failure failure, const char *reason)
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
    struct transfer *t = (struct transfer *)((char *)timer - offsetof(struct transfer, deadline));

    (void)snprintf(t->error, sizeof(t->error), "no answer within %.3f s", (double)t->rq->timeout_ns / 1e9);
    curl_multi_remove_handle(t->c->multi, t->easy);
    list_take(t);
    answer(t, GW_HTTP_TIMEOUT, t->error);
}

static void http_send(struct gw_http_client *base, struct gw_http_request *rq)
{
    struct client *c = (struct client *)base;
    struct transfer *t = transfer_get(c);
    const char *problem;

    if (!t) { /* the only answer from inside: there is no memory to remember it by */
        rq->done(rq, &(struct gw_http_response){.failure = GW_HTTP_BROKEN, .error = "out of memory"});
        return;
    }
    gw_client_pems_refresh(&c->pems, gw_mono_ns(c->env));
    t->rq = rq;
    rq->impl = t;
    set_connection(t);
    set_tls(t);
    set_proxy(t);
    set_body(t);
    problem = set_url(t);
    if (!problem)
        problem = set_headers(t);
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
    struct client *c = (struct client *)base;
    struct transfer *t = rq->impl;

    if (!t)
        return;
    for (const struct transfer *l = c->late; l; l = l->next)
        if (l == t)
            return; /* its answer is on the way */
    curl_multi_remove_handle(c->multi, t->easy);
    list_take(t);
    put_late(t, GW_HTTP_CANCELLED, "cancelled");
}

static void free_socks(struct sock *s)
{
    while (s) {
        struct sock *next = s->next;

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
    struct client *c = (struct client *)base;

    if (!c)
        return;
    while (c->free_transfers) {
        struct transfer *t = c->free_transfers;

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

static bool set_multi(struct client *c)
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
    struct client *c;

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
