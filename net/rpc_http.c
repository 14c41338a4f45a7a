/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unary gRPC on gw_http_client, which speaks HTTP/2: for what grpc core cannot send, zstd and snappy.
 *
 *   call ─► POST <target><method>, te: trailers, grpc-encoding, five bytes and the message
 *   done ◄─ grpc-status, grpc-message, grpc-status-details-bin of the trailers; without them the HTTP status
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
#include "core/buf.h"
#include "net/clients.h"
#include "net/compress.h"
#include "net/grpc_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { MAX_HEADERS = 64, OWN_HEADERS = 6, MAX_MESSAGE_BYTES = 256 << 20 };

enum {
    OK,
    CANCELLED,
    UNKNOWN,
    DEADLINE_EXCEEDED = 4,
    PERMISSION_DENIED = 7,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED = 12,
    INTERNAL,
    UNAVAILABLE,
    UNAUTHENTICATED = 16
};

struct client {
    struct gw_rpc_client base;
    struct gw_http_client *http;
    char *url; /* without the method */
    char *authority;
    size_t max_response_bytes;
};

struct call {
    struct gw_http_request http;
    struct client *c;
    struct gw_rpc_request *rq;
    struct gw_header headers[MAX_HEADERS];
    struct gw_buf body, text; /* text: decoded message and details, encoded -bin headers */
    char timeout[24], url[1024];
};

/* ---- base64 ------------------------------------------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct gw_buf *out, struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v =
            (uint32_t)s.p[i] << 16 | (i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0) | (i + 2 < s.n ? s.p[i + 2] : 0);

        for (unsigned k = 0; k < 4; k++)
            if (i + k <= s.n) /* unpadded: a group of n bytes has n + 1 digits */
                gw_buf_put_u8(out, (uint8_t)alphabet[v >> (18 - 6 * k) & 63]);
    }
}

/** Padded or not; ends at the first byte that is none. */
static void take_base64(struct gw_buf *out, struct gw_slice s)
{
    uint32_t v = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(alphabet, s.p[i]) : NULL;

        if (!at)
            return;
        v = v << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            gw_buf_put_u8(out, (uint8_t)(v >> bits));
        }
    }
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static void take_percent(struct gw_buf *out, struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0) {
            gw_buf_put_u8(out, (uint8_t)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2])));
            i += 2;
        } else {
            gw_buf_put_u8(out, s.p[i]);
        }
    }
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static struct gw_slice header_of(const struct gw_http_response *rs, const char *name)
{
    for (unsigned i = 0; i < rs->n_headers; i++)
        if (gw_slice_is(rs->headers[i].name, name))
            return rs->headers[i].value;
    return gw_slice_of(NULL, 0);
}

/** As grpc's http-grpc-status-mapping.md. */
static int status_of_http(int status)
{
    switch (status) {
    case 400:
        return INTERNAL;
    case 401:
        return UNAUTHENTICATED;
    case 403:
        return PERMISSION_DENIED;
    case 404:
        return UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return UNAVAILABLE;
    default:
        return UNKNOWN;
    }
}

static int status_of_failure(enum gw_http_failure f)
{
    return f == GW_HTTP_TIMEOUT     ? DEADLINE_EXCEEDED
           : f == GW_HTTP_CANCELLED ? CANCELLED
           : f == GW_HTTP_TOO_LARGE ? RESOURCE_EXHAUSTED
                                    : UNAVAILABLE;
}

static int status_of_text(struct gw_slice s)
{
    int n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (i == 3 || s.p[i] < '0' || s.p[i] > '9')
            return UNKNOWN;
        n = n * 10 + (s.p[i] - '0');
    }
    return n;
}

/** The one message of the body. What cannot be read is empty: the status tells what became of the call. */
static struct gw_slice reply_of(const struct gw_http_response *rs, struct gw_buf *plain, size_t max_bytes)
{
    struct gw_slice b = rs->body, none = gw_slice_of(NULL, 0);
    uint32_t n;

    if (b.n < 5)
        return none;
    n = (uint32_t)b.p[1] << 24 | (uint32_t)b.p[2] << 16 | (uint32_t)b.p[3] << 8 | b.p[4];
    if (n != b.n - 5)
        return none;
    b = gw_slice_of(b.p + 5, n);
    if (!(rs->body.p[0] & 1))
        return b;
    gw_buf_reset(plain);
    plain->max_bytes = max_bytes;
    return gw_decompress(gw_codec_parse(header_of(rs, "grpc-encoding")), b, plain, NULL) < 0 ? none
                                                                                             : gw_buf_slice(plain);
}

static void call_free(struct call *k)
{
    gw_buf_clear(&k->body);
    gw_buf_clear(&k->text);
    free(k);
}

static void on_done(struct gw_http_request *http, const struct gw_http_response *rs)
{
    struct call *k = http->arg;
    struct gw_rpc_request *rq = k->rq;
    struct gw_slice status = header_of(rs, "grpc-status");
    struct gw_rpc_response out = {.message = gw_slice_cstr(rs->error)};
    char text[64];
    size_t n_message;

    gw_buf_reset(&k->text);
    if (rs->failure != GW_HTTP_OK) {
        out.status = status_of_failure(rs->failure);
        if (rs->failure == GW_HTTP_TOO_LARGE)
            out.message = GW_SLICE("CLIENT: the reply is larger than max_response_bytes");
    } else if (!status.n) {
        out.status = status_of_http(rs->status);
        snprintf(text, sizeof(text), "HTTP status %d without a grpc-status", rs->status);
        out.message = gw_slice_cstr(text);
    } else {
        out.status = status_of_text(status);
        take_percent(&k->text, header_of(rs, "grpc-message"));
        n_message = k->text.n;
        take_base64(&k->text, header_of(rs, "grpc-status-details-bin"));
        out.message = gw_slice_of(k->text.p, n_message);
        out.status_details = gw_slice_of(k->text.p + n_message, k->text.n - n_message);
        if (out.status == OK)
            out.reply = reply_of(rs, &k->body, k->c->max_response_bytes);
    }
    rq->impl = NULL;
    rq->done(rq, &out);
    call_free(k);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static void put_header(struct call *k, struct gw_slice name, struct gw_slice value)
{
    if (value.n && k->http.n_headers < MAX_HEADERS)
        k->headers[k->http.n_headers++] = (struct gw_header){name, value};
}

/** Eight digits at most, by the protocol. */
static void set_timeout(struct call *k)
{
    unsigned long long ms = (k->rq->timeout_ns + 999999) / 1000000;

    if (ms && ms <= 99999999)
        snprintf(k->timeout, sizeof(k->timeout), "%llum", ms);
    else if (ms)
        snprintf(k->timeout, sizeof(k->timeout), "%lluS", ms / 1000 > 99999999 ? 99999999 : ms / 1000);
}

static void set_headers(struct call *k)
{
    const struct gw_rpc_request *rq = k->rq;
    size_t need = 0;

    put_header(k, GW_SLICE("content-type"), GW_SLICE("application/grpc"));
    put_header(k, GW_SLICE("te"), GW_SLICE("trailers"));
    put_header(k, GW_SLICE("grpc-accept-encoding"), GW_SLICE("identity,gzip"));
    put_header(k, GW_SLICE("grpc-encoding"), gw_slice_cstr(rq->encoding));
    put_header(k, GW_SLICE("grpc-timeout"), gw_slice_cstr(k->timeout));
    put_header(k, GW_SLICE("Host"), gw_slice_cstr(k->c->authority));
    for (unsigned i = 0; i < rq->n_headers; i++)
        need += rq->headers[i].value.n * 2 + 4;
    gw_buf_reserve(&k->text, need ? need : 1); /* once: the slices below stay valid */
    for (unsigned i = 0; i < rq->n_headers; i++) {
        struct gw_slice name = rq->headers[i].name, value = rq->headers[i].value;

        if (name.n > 4 && strncasecmp((const char *)name.p + name.n - 4, "-bin", 4) == 0) {
            size_t at = k->text.n;

            put_base64(&k->text, value);
            value = gw_slice_of(k->text.p + at, k->text.n - at);
        }
        put_header(k, name, value);
    }
    k->http.headers = k->headers;
}

static void rpc_call(struct gw_rpc_client *base, struct gw_rpc_request *rq)
{
    struct client *c = (struct client *)base;
    struct call *k = calloc(1, sizeof(*k));
    uint32_t n = (uint32_t)rq->message.n;
    uint8_t head[5] = {rq->encoding ? 1 : 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    if (k) {
        gw_buf_init(&k->body, MAX_MESSAGE_BYTES);
        gw_buf_init(&k->text, 1 << 20);
        if (gw_buf_reserve(&k->body, rq->message.n + sizeof(head)) < 0) {
            call_free(k);
            k = NULL;
        }
    }
    if (!k) { /* the only answer from inside: there is no memory to remember it by */
        rq->done(rq, &(struct gw_rpc_response){.status = UNAVAILABLE, .message = GW_SLICE("out of memory")});
        return;
    }
    gw_buf_put(&k->body, head, sizeof(head));
    gw_buf_put_rope(&k->body,
                    rq->parts ? (struct gw_rope){rq->parts, rq->n_parts, rq->message.n} : gw_rope_of(&rq->message));
    k->c = c;
    k->rq = rq;
    rq->impl = k;
    set_timeout(k);
    set_headers(k);
    snprintf(k->url, sizeof(k->url), "%s%s", c->url, rq->method);
    k->http.method = "POST";
    k->http.url = k->url;
    k->http.body = gw_buf_slice(&k->body);
    k->http.timeout_ns = rq->timeout_ns;
    k->http.done = on_done;
    k->http.arg = k;
    c->http->ops->send(c->http, &k->http);
}

static void rpc_cancel(struct gw_rpc_client *base, struct gw_rpc_request *rq)
{
    struct client *c = (struct client *)base;
    struct call *k = rq->impl;

    if (k)
        c->http->ops->cancel(c->http, &k->http);
}

static void rpc_free(struct gw_rpc_client *base)
{
    struct client *c = (struct client *)base;

    if (c->http)
        c->http->ops->free(c->http);
    free(c->url);
    free(c->authority);
    free(c);
}

static const struct gw_rpc_client_ops ops = {.call = rpc_call, .cancel = rpc_cancel, .free = rpc_free};

/** "dns:///h:p", "unix:///p" and "h:p" as the HTTP client writes them. */
static char *url_of(const struct gw_rpc_client_conf *conf)
{
    const char *t = conf->target;
    char *url = NULL;
    int n;

    if (strncmp(t, "unix:", 5) == 0)
        n = asprintf(&url, "%s:", t);
    else
        n = asprintf(&url, "%s://%s", conf->tls.insecure ? "http" : "https", strncmp(t, "dns:///", 7) == 0 ? t + 7 : t);
    return n < 0 ? NULL : url;
}

int gw_rpc_client_http_new(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                           struct gw_rpc_client **ret, struct gw_err *err)
{
    struct client *c = calloc(1, sizeof(*c));
    struct gw_http_client_conf http = {
        .tls = conf->tls,
        .user_agent = conf->user_agent,
        .http2_only = true,
        .idle_conn_timeout_ns = 0,
        .max_response_bytes = conf->max_response_bytes + 5,
    };
    int r = -ENOMEM;

    if (!c)
        return gw_fail(err, -ENOMEM, "out of memory");
    c->base.ops = &ops;
    c->max_response_bytes = conf->max_response_bytes;
    c->url = url_of(conf);
    c->authority = strdup(conf->authority ? conf->authority : "");
    if (!c->url || !c->authority)
        gw_fail(err, r, "out of memory");
    else
        r = gw_http_client_curl_new(env, loop, &http, &c->http, err);
    if (r < 0) {
        rpc_free(&c->base);
        return r;
    }
    *ret = &c->base;
    return 0;
}
