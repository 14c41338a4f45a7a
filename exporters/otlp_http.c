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

#include "core/logger.h"
#include "exporters/common/http_post.h"
#include "exporters/common/otlp_answer.h"
#include "otlp-proto/json.h"

enum {
    MAX_REQUEST_BYTES = 64 << 20, /* OTLP specification: not sent beyond it, before compression */
    MAX_ANSWER_BYTES = 64 << 10,
};

enum encoding { PROTO, JSON };
static const char *const encodings[] = {"proto", "json", NULL};

struct conf {
    struct gw_http_settings http;
    const char *traces_endpoint, *metrics_endpoint, *logs_endpoint;
    const struct gw_node *profiles;
    int encoding;
};

struct self {
    struct gw_poster poster; /* first: a post leads back to here */
    const struct conf *conf;
    const struct gw_ctx *ctx;
    char *urls[3]; /* traces, metrics, logs; NULL = no endpoint for it */
    char endpoints[3][GW_MAX_ENDPOINT_LABEL];
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

/* ---- answers ------------------------------------------------------------------------------------------------ */

static struct self *self_of(const struct gw_post *p)
{
    return (struct self *)p->poster;
}

/** The end of an attempt: everything that info points to has to live until done has returned. */
static void settle(struct gw_post *p, const struct gw_sent_info *info)
{
    struct gw_attempt *a = p->arg;

    a->impl = NULL;
    gw_post_free(p);
    a->done(a, info);
}

static void delivered(struct gw_post *p, const struct gw_http_response *rs, bool json)
{
    const struct gw_attempt *a = p->arg;
    struct gw_otlp_partial partial;

    gw_otlp_partial_read(rs->body, json, &partial);
    if (partial.rejected_rows || partial.message[0])
        gw_log(&self_of(p)->ctx->logger, GW_LOG_WARN, "partial success: the server rejected %u rows: %s",
               partial.rejected_rows, partial.message);
    settle(p, &(struct gw_sent_info){
                  .sent = GW_SENT_OK,
                  .rejected_rows = partial.rejected_rows > a->rows ? a->rows : partial.rejected_rows,
                  .message = partial.message[0] ? partial.message : NULL,
              });
}

static void refused(struct gw_post *p, const struct gw_http_response *rs, bool json)
{
    struct gw_otlp_status st = {0};
    struct gw_http_outcome o;

    if (rs->status >= 400)
        gw_otlp_status_read(rs->body, json, &st);
    gw_http_outcome_of(self_of(p)->ctx, rs, gw_slice_cstr(st.message), &o);
    settle(p, &o.info);
}

static void on_answer(struct gw_post *p, const struct gw_http_response *rs)
{
    struct gw_slice type = gw_http_response_header(rs, "content-type");
    bool json = self_of(p)->conf->encoding == JSON;

    if (type.p) /* it says how the body is written, not what we sent */
        json = type.n >= 16 && memcmp(type.p, "application/json", 16) == 0;
    if (gw_http_verdict(rs) == GW_SENT_OK)
        delivered(p, rs, json);
    else
        refused(p, rs, json);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

static void fail_early(struct gw_post *p, enum gw_sent sent, const char *reason, const char *message)
{
    settle(p, &(struct gw_sent_info){.sent = sent, .reason = reason, .message = message, .sign = GW_SIGN_NONE});
}

/* One document: what is read for it lies in one, too. */
static int write_json(struct gw_post *p, struct gw_err *err)
{
    const struct gw_attempt *a = p->arg;
    struct gw_slice body = a->body;
    int r;

    if (a->parts) {
        gw_buf_put_rope(&p->packed, gw_attempt_rope(a));
        r = gw_buf_error(&p->packed);
        if (r < 0)
            return gw_fail(err, r, "no room for the body");
        body = gw_buf_slice(&p->packed);
    }
    r = gw_proto_to_json(a->signal, body, &p->text);
    return r < 0 ? gw_fail(err, r, "the body cannot be written as JSON") : 0;
}

static int set_body(struct self *s, struct gw_post *p, struct gw_err *err)
{
    struct gw_rope body = gw_attempt_rope(p->arg);
    struct gw_slice json;
    int r;

    if (s->conf->encoding == JSON) {
        r = write_json(p, err);
        if (r < 0)
            return r;
        json = gw_buf_slice(&p->text);
        body = gw_rope_of(&json);
    }
    gw_post_header(p, "Content-Type",
                   s->conf->encoding == JSON ? GW_SLICE("application/json") : GW_SLICE("application/x-protobuf"));
    if (s->poster.codec != GW_IDENTITY)
        gw_post_header(p, "Content-Encoding", gw_slice_cstr(gw_http_compressions[s->conf->http.compression]));
    return gw_post_pack_rope(p, body, err);
}

static void otlp_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    struct gw_post *p = gw_post_new(&s->poster);
    struct gw_err err = {{0}};
    const char *url = s->urls[index_of(a->signal)];
    int r;

    if (!p) {
        a->done(
            a, &(struct gw_sent_info){
                   .sent = GW_SENT_RETRY, .reason = "out_of_memory", .message = "out of memory", .sign = GW_SIGN_NONE});
        return;
    }
    p->arg = a;
    a->impl = p;
    if (!url) {
        fail_early(p, GW_SENT_PERMANENT, "no_endpoint", "otlp_http has no endpoint for this signal");
        return;
    }
    if (a->body.n > MAX_REQUEST_BYTES) {
        fail_early(p, GW_SENT_TOO_LARGE, "too_large", "a request is longer than the 64 MiB that OTLP allows");
        return;
    }
    r = set_body(s, p, &err);
    if (r < 0) {
        fail_early(p,
                   r == -E2BIG    ? GW_SENT_TOO_LARGE
                   : r == -ENOMEM ? GW_SENT_RETRY
                                  : GW_SENT_PERMANENT,
                   "encode", err.text);
        return;
    }
    if (gw_post_send(p, url, a->timeout_ns, on_answer, a, &err) < 0) /* an expired token may be there again next time */
        fail_early(p, GW_SENT_RETRY, "auth", err.text);
}

static void otlp_cancel(void *self, struct gw_attempt *a)
{
    (void)self;
    if (a->impl)
        gw_post_cancel(a->impl);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_poster_close(&s->poster);
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
    for (unsigned i = 0; i < 3; i++) {
        s->urls[i] = url_for(s->conf, i);
        gw_shown_endpoint(*own_endpoint(s->conf, i) ? own_endpoint(s->conf, i) : s->conf->http.endpoint,
                          s->endpoints[i], sizeof(s->endpoints[i]));
    }
    *ret_self = s;
    return 0;
}

static int otlp_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;

    return gw_poster_open(&s->poster, s->ctx, &s->conf->http, loop, MAX_ANSWER_BYTES, err);
}

static void otlp_close(void *self)
{
    struct self *s = self;

    gw_poster_close(&s->poster);
}

static const char *otlp_endpoint(void *self, enum gw_signal signal)
{
    return ((struct self *)self)->endpoints[index_of(signal)];
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .takes_parts = true,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 30ull * 1000000000,
    .open = otlp_open,
    .send = otlp_send,
    .cancel = otlp_cancel,
    .close = otlp_close,
    .endpoint = otlp_endpoint,
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
    .destroy = destroy,
    .exporter = &ops,
};
