/* SPDX-License-Identifier: Apache-2.0 */
/* A request, and what the client is set to, into the options of an easy handle. */
#include "net/http_client_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_MS = 30000 }; /* as Go's default dialer */

static bool is_clean(struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 && s.p[i] != '\t')
            return false;
    return true;
}

static bool add_line(struct gw_http_transfer *t, const char *line)
{
    struct curl_slist *l = curl_slist_append(t->headers, line);

    if (l)
        t->headers = l;
    return l != NULL;
}

static const char *set_headers(struct gw_http_transfer *t)
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
static const char *override_name(struct gw_http_transfer *t, const char *name)
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
static const char *set_unix(struct gw_http_transfer *t)
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

static const char *set_url(struct gw_http_transfer *t)
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

/* curl copies into its upload buffer either way: a body in parts costs no more than one in one. */
static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
    struct gw_http_transfer *t = arg;
    size_t room = size * n, done = 0;

    while (done < room && t->part < t->rq->n_parts) {
        struct gw_slice s = t->rq->parts[t->part];
        size_t more = s.n - t->part_done < room - done ? s.n - t->part_done : room - done;

        if (more)
            memcpy(p + done, s.p + t->part_done, more);
        done += more;
        t->part_done += more;
        if (t->part_done == s.n) {
            t->part++;
            t->part_done = 0;
        }
    }
    return done;
}

/* A kept connection was closed meanwhile, so that curl takes another: from the beginning. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct gw_http_transfer *t = arg;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_FAIL;
    t->part = 0;
    t->part_done = 0;
    return CURL_SEEKFUNC_OK;
}

static void set_parts(struct gw_http_transfer *t)
{
    t->part = 0;
    t->part_done = 0;
    curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
}

static void set_body(struct gw_http_transfer *t)
{
    const struct gw_http_request *rq = t->rq;

    if (strcmp(rq->method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (strcmp(rq->method, "POST") == 0 || rq->body.n) {
        curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
        if (rq->parts)
            set_parts(t);
        else
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

static void set_tls(struct gw_http_transfer *t)
{
    const struct gw_curl_client *c = t->c;
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

static void set_proxy(struct gw_http_transfer *t)
{
    const struct gw_curl_client *c = t->c;

    if (*c->conf.proxy_url) {
        curl_easy_setopt(t->easy, CURLOPT_PROXY, c->conf.proxy_url);
        curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "");
    } else {
        gw_curl_env_proxy(t->easy, t->rq->url);
    }
}

static void set_connection(struct gw_http_transfer *t)
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
}

const char *gw_http_transfer_set(struct gw_http_transfer *t)
{
    const char *problem;

    set_connection(t);
    set_tls(t);
    set_proxy(t);
    set_body(t);
    problem = set_url(t);
    return problem ? problem : set_headers(t);
}
