/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_http: OTLP over HTTP, as protobuf or JSON.
 *
 *     exporters:
 *       otlp_http:
 *         endpoint: https://collector:4318
 *         compression: zstd
 *         headers: { x-tenant: blue }
 *
 * What becomes of a body: 2xx is delivered, and rows that the server rejects in it are counted; 429, 502, 503, 504 and
 * a broken connection are tried again, not before Retry-After; 413 is split; everything else is for good. A redirect is
 * never followed: that would send data to a server that nobody configured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/call_meter.h"
#include "core/logger.h"
#include "exporters/common/client_settings.h"
#include "exporters/common/otlp_answer.h"
#include "net/compress.h"
#include "net/loop.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum {
    MAX_REQUEST_BYTES = 64 << 20, /* OTLP specification: not sent beyond it, before compression */
    MAX_ANSWER_BYTES = 64 << 10,
    MAX_BODY_BYTES = 256 << 20, /* JSON is two to three times as long as protobuf */
    OWN_HEADERS = 3,            /* type, encoding, the authenticator's */
    KEPT_TRIES = 16,
};

enum encoding { PROTO, JSON };
static const char *const encodings[] = {"proto", "json", NULL};

struct conf {
    struct gw_http_settings http;
    const char *traces_endpoint, *metrics_endpoint, *logs_endpoint;
    const struct gw_node *profiles;
    int encoding;
};

/** One attempt under way; kept for the next one. */
struct
try {
    struct gw_http_request rq;
    struct self *s;
    struct gw_attempt *a;
    struct gw_buf json, packed, auth;
    struct gw_header *headers;
    uint64_t begin_ns;
    struct try *next;
};

struct self {
    const struct conf *conf;
    const struct gw_ctx *ctx;
    struct gw_auth auth;
    struct gw_http_client *client;
    enum gw_codec codec;
    char *urls[3]; /* traces, metrics, logs; NULL = no endpoint for it */
    struct try *free;
    unsigned n_free;
};

static const struct gw_field fields[] = {
    GW_HTTP_FIELDS(struct conf, http, "gzip", "524288"),
    GW_STRING_FIELD(struct conf, traces_endpoint, "traces_endpoint", "",
                    "Whole URL for traces instead of endpoint/v1/traces."),
    GW_STRING_FIELD(struct conf, metrics_endpoint, "metrics_endpoint", "", "Whole URL for metrics."),
    GW_STRING_FIELD(struct conf, logs_endpoint, "logs_endpoint", "", "Whole URL for logs."),
    {GW_FIELD_(struct conf, profiles, "profiles_endpoint", GW_F_ANY, NULL, 0, 0, "Whole URL for profiles."),
     .flags = GW_FF_PLANNED},
    GW_ENUM_FIELD(struct conf, encoding, "encoding", "proto", encodings, "proto or json."),
    {0},
};

/* ---- URLs ----------------------------------------------------------------------------------------------------- */

static unsigned index_of(enum gw_signal signal)
{
    return signal == GW_TRACES ? 0 : signal == GW_METRICS ? 1 : 2;
}

static const char *own_endpoint(const struct conf *c, unsigned i)
{
    const char *const own[3] = {c->traces_endpoint, c->metrics_endpoint, c->logs_endpoint};

    return own[i];
}

static bool has_scheme(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0 || strncmp(url, "unix:", 5) == 0;
}

/** endpoint + /v1/<signal>; behind a Unix socket's path stands a colon first. */
static char *url_for(const struct conf *c, unsigned i)
{
    static const char *const paths[3] = {"v1/traces", "v1/metrics", "v1/logs"};
    const char *own = own_endpoint(c, i), *base = c->http.endpoint, *join;
    size_t n = strlen(base);
    char *url = NULL;

    if (*own)
        return strdup(own);
    if (!n)
        return NULL;
    join = base[n - 1] == '/' ? "" : strncmp(base, "unix:", 5) == 0 && !strchr(base + 5, ':') ? ":/" : "/";
    return asprintf(&url, "%s%s%s", base, join, paths[i]) < 0 ? NULL : url;
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    static const char *const keys[3] = {"traces_endpoint", "metrics_endpoint", "logs_endpoint"};
    const struct conf *c = conf;
    const struct gw_node *at = node ? gw_node_get(node, "endpoint") : NULL;
    bool any = *c->http.endpoint;

    if (any && !has_scheme(c->http.endpoint))
        gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL,
                    "endpoint: \"%s\" is no URL: write http://, https:// or unix:// in front", c->http.endpoint);
    for (unsigned i = 0; i < 3; i++) {
        const char *own = own_endpoint(c, i);

        any = any || *own;
        at = node ? gw_node_get(node, keys[i]) : NULL;
        if (*own && !has_scheme(own))
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL,
                        "%s: \"%s\" is no URL: write http://, https:// or unix:// in front", keys[i], own);
    }
    if (!any)
        gw_diag_add(diag, GW_DIAG_ERROR, node ? &node->place : NULL,
                    "otlp_http needs an endpoint, such as https://collector:4318");
    gw_http_settings_check(&c->http, node, diag);
}

/* ---- tries ------------------------------------------------------------------------------------------------------ */

static void try_free(struct try *t)
{
    gw_buf_clear(&t->json);
    gw_buf_clear(&t->packed);
    gw_buf_clear(&t->auth);
    free(t->headers);
    free(t);
}

static struct try *try_get(struct self *s)
{
    struct try *t = s->free;

    if (t) {
        s->free = t->next;
        s->n_free--;
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->s = s;
    t->headers = calloc(s->conf->http.headers.n + OWN_HEADERS, sizeof(*t->headers));
    gw_buf_init(&t->json, MAX_BODY_BYTES);
    gw_buf_init(&t->packed, MAX_BODY_BYTES);
    gw_buf_init(&t->auth, 64 << 10);
    if (!t->headers) {
        free(t);
        return NULL;
    }
    return t;
}

static void try_put(struct try *t)
{
    struct self *s = t->s;

    t->a->impl = NULL;
    t->a = NULL;
    gw_buf_reset(&t->json);
    gw_buf_reset(&t->packed);
    gw_buf_reset(&t->auth);
    if (s->n_free >= KEPT_TRIES) {
        try_free(t);
        return;
    }
    t->next = s->free;
    s->free = t;
    s->n_free++;
}

/** The end of a try: everything that info points to has to live until done has returned. */
static void settle(struct try *t, const struct gw_sent_info *info)
{
    struct gw_attempt *a = t->a;

    try_put(t);
    a->done(a, info);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void delivered(struct try *t, const struct gw_http_response *rs, bool json)
{
    struct gw_otlp_partial p;

    gw_otlp_partial_read(rs->body, json, &p);
    if (p.rejected_rows || p.message[0])
        gw_log(&t->s->ctx->logger, GW_LOG_WARN, "partial success: the server rejected %u rows: %s", p.rejected_rows,
               p.message);
    settle(t, &(struct gw_sent_info){
                  .sent = GW_SENT_OK,
                  .rejected_rows = p.rejected_rows > t->a->rows ? t->a->rows : p.rejected_rows,
                  .message = p.message[0] ? p.message : NULL,
              });
}

static enum gw_sent verdict_of(int status)
{
    switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
        return GW_SENT_RETRY;
    case 413:
        return GW_SENT_TOO_LARGE;
    default:
        return GW_SENT_PERMANENT;
    }
}

static uint64_t retry_after(const struct self *s, const struct gw_http_response *rs)
{
    uint64_t ns = 0;

    if (rs->status != 429 && rs->status != 503)
        return 0;
    for (unsigned i = 0; i < rs->n_headers; i++)
        if (gw_slice_is(rs->headers[i].name, "retry-after") &&
            gw_retry_after_parse(rs->headers[i].value, gw_wall_ns(s->ctx->env), &ns))
            return ns;
    return 0;
}

static void refused(struct try *t, const struct gw_http_response *rs, bool json)
{
    struct gw_otlp_status st = {0};
    char reason[24], message[320];

    if (rs->status >= 400)
        gw_otlp_status_read(rs->body, json, &st);
    snprintf(reason, sizeof(reason), "http_%d", rs->status);
    snprintf(message, sizeof(message), "the server answered HTTP %d%s%s", rs->status, st.message[0] ? ": " : "",
             st.message);
    settle(t, &(struct gw_sent_info){
                  .sent = verdict_of(rs->status),
                  .retry_after_ns = retry_after(t->s, rs),
                  .grpc_status = gw_grpc_of_http(rs->status),
                  .reason = reason,
                  .message = message,
              });
}

static const char *const failures[] = {"", "connect", "timeout", "connection", "too_large", "cancelled"};

static void unanswered(struct try *t, const struct gw_http_response *rs)
{
    settle(t, &(struct gw_sent_info){
                  .sent = GW_SENT_RETRY,
                  .reason = failures[rs->failure],
                  .message = rs->error,
              });
}

static void observe(const struct try *t, const struct gw_http_response *rs)
{
    const struct gw_ctx *ctx = t->s->ctx;
    struct gw_http_call c = {.method = GW_SLICE("POST"),
                             .endpoint = t->rq.url,
                             .status = rs->status,
                             .error = failures[rs->failure],
                             .http2 = rs->http2,
                             .tls = strncasecmp(t->rq.url, "https:", 6) == 0,
                             .request_bytes = t->rq.body.n};

    if (!ctx->detailed)
        return;
    c.ns = gw_mono_ns(ctx->env) - t->begin_ns;
    gw_meter_http_client(ctx->meter, &c);
}

static void on_done(struct gw_http_request *rq, const struct gw_http_response *rs)
{
    struct try *t = rq->arg;
    bool json = t->s->conf->encoding == JSON;

    observe(t, rs);
    for (unsigned i = 0; i < rs->n_headers; i++) /* the body's type says how it is written, not what we sent */
        if (gw_slice_is(rs->headers[i].name, "content-type"))
            json = rs->headers[i].value.n >= 16 && memcmp(rs->headers[i].value.p, "application/json", 16) == 0;
    if (rs->failure != GW_HTTP_OK && rs->failure != GW_HTTP_TOO_LARGE)
        unanswered(t, rs);
    else if (rs->status >= 200 && rs->status < 300)
        delivered(t, rs, json);
    else
        refused(t, rs, json);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void put_header(struct try *t, const char *name, struct gw_slice value)
{
    if (!gw_map_header(&t->s->conf->http.headers, name)) /* what is configured wins */
        t->headers[t->rq.n_headers++] = (struct gw_header){gw_slice_cstr(name), value};
}

static int set_headers(struct try *t, struct gw_err *err)
{
    const struct self *s = t->s;
    const struct gw_map *map = &s->conf->http.headers;

    t->rq.n_headers = 0;
    for (size_t i = 0; i < map->n; i++)
        t->headers[t->rq.n_headers++] =
            (struct gw_header){gw_slice_cstr(map->entries[i].key), gw_slice_cstr(map->entries[i].value)};
    put_header(t, "Content-Type",
               s->conf->encoding == JSON ? GW_SLICE("application/json") : GW_SLICE("application/x-protobuf"));
    if (s->codec != GW_IDENTITY)
        put_header(t, "Content-Encoding", gw_slice_cstr(gw_http_compressions[s->conf->http.compression]));
    t->rq.headers = t->headers;
    if (s->auth.ops) {
        const char *name;
        int r = s->auth.ops->header(s->auth.self, &name, &t->auth, err);

        if (r < 0)
            return r;
        t->headers[t->rq.n_headers++] = (struct gw_header){gw_slice_cstr(name), gw_buf_slice(&t->auth)};
    }
    return 0;
}

static int set_body(struct try *t, struct gw_err *err)
{
    const struct self *s = t->s;
    struct gw_slice body = t->a->body;
    int r;

    if (s->conf->encoding == JSON) {
        r = gw_proto_to_json(t->a->signal, body, &t->json);
        if (r < 0)
            return gw_fail(err, r, "the body cannot be written as JSON");
        body = gw_buf_slice(&t->json);
    }
    if (s->codec != GW_IDENTITY) {
        r = gw_compress(s->codec, gw_compression_level(s->codec, s->conf->http.compression_params.level), body,
                        &t->packed, err);
        if (r < 0)
            return r;
        body = gw_buf_slice(&t->packed);
    }
    t->rq.body = body;
    return 0;
}

static void fail_early(struct try *t, enum gw_sent sent, const char *reason, const char *message)
{
    settle(t, &(struct gw_sent_info){.sent = sent, .reason = reason, .message = message});
}

static void otlp_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    struct try *t = try_get(s);
    struct gw_err err = {{0}};
    const char *url = s->urls[index_of(a->signal)];
    int r;

    if (!t) {
        a->done(a,
                &(struct gw_sent_info){.sent = GW_SENT_RETRY, .reason = "out_of_memory", .message = "out of memory"});
        return;
    }
    t->a = a;
    a->impl = t;
    if (!url) {
        fail_early(t, GW_SENT_PERMANENT, "no_endpoint", "otlp_http has no endpoint for this signal");
        return;
    }
    if (a->body.n > MAX_REQUEST_BYTES) {
        fail_early(t, GW_SENT_TOO_LARGE, "too_large", "a request is longer than the 64 MiB that OTLP allows");
        return;
    }
    r = set_body(t, &err);
    if (r < 0) {
        fail_early(t,
                   r == -E2BIG    ? GW_SENT_TOO_LARGE
                   : r == -ENOMEM ? GW_SENT_RETRY
                                  : GW_SENT_PERMANENT,
                   "encode", err.text);
        return;
    }
    if (set_headers(t, &err) < 0) { /* a token that has expired may be there again next time */
        fail_early(t, GW_SENT_RETRY, "auth", err.text);
        return;
    }
    t->rq.method = "POST";
    t->rq.url = url;
    t->rq.timeout_ns = a->timeout_ns;
    t->rq.done = on_done;
    t->rq.arg = t;
    t->begin_ns = gw_mono_ns(s->ctx->env);
    s->client->ops->send(s->client, &t->rq);
}

static void otlp_cancel(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    struct try *t = a->impl;

    if (t)
        s->client->ops->cancel(s->client, &t->rq);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    while (s->free) {
        struct try *t = s->free;

        s->free = t->next;
        try_free(t);
    }
    for (unsigned i = 0; i < 3; i++)
        free(s->urls[i]);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = ctx;
    s->codec = gw_http_codec(&s->conf->http);
    for (unsigned i = 0; i < 3; i++)
        s->urls[i] = url_for(s->conf, i);
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;

    return gw_auth_find(s->ctx, &s->conf->http.auth, &s->auth, err);
}

static int otlp_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;
    struct gw_http_client_conf conf = gw_http_client_conf_of(&s->conf->http, gw_user_agent());
    struct gw_env *env = s->ctx->env;

    conf.max_response_bytes = MAX_ANSWER_BYTES;
    if (!env->ops->http_client_new)
        return gw_fail(err, -ENOTSUP, "this program has no HTTP client");
    return env->ops->http_client_new(env, loop, &conf, &s->client, err);
}

static void otlp_close(void *self)
{
    struct self *s = self;

    if (s->client)
        s->client->ops->free(s->client);
    s->client = NULL;
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 30ull * 1000000000,
    .open = otlp_open,
    .send = otlp_send,
    .cancel = otlp_cancel,
    .close = otlp_close,
};

static const char *const aliases[] = {"otlphttp", NULL};

const struct gw_component gw_exporter_otlp_http = {
    .kind = GW_EXPORTER,
    .name = "otlp_http",
    .aliases = aliases,
    .summary = "Send OTLP over HTTP.",
    .signals = GW_ALL_SIGNALS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .exporter = &ops,
};
