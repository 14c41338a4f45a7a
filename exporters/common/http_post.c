/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/common/http_post.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/call_meter.h"
#include "exporters/common/otlp_answer.h"

enum {
    MAX_BODY_BYTES = 256 << 20, /* before and after packing */
    MAX_AUTH_BYTES = 64 << 10,
    KEPT_POSTS = 16,
};

/* Of enum gw_http_failure: reasons and labels. */
static const char *const failures[] = {"", "connect", "timeout", "connection", "too_large", "cancelled"};

/* ---- the poster --------------------------------------------------------------------------------------------- */

int gw_poster_open(struct gw_poster *p, const struct gw_ctx *ctx, const struct gw_http_settings *http,
                   struct gw_loop *loop, size_t max_response_bytes, struct gw_err *err)
{
    struct gw_http_client_conf conf = gw_http_client_conf_of(http, gw_user_agent());
    struct gw_env *env = ctx->env;
    int r;

    *p = (struct gw_poster){.http = http, .ctx = ctx, .codec = gw_http_codec(http)};
    r = gw_auth_find(ctx, &http->auth, &p->auth, err);
    if (r < 0)
        return r;
    conf.max_response_bytes = max_response_bytes;
    if (!env->ops->http_client_new)
        return gw_fail(err, -ENOTSUP, "this program has no HTTP client");
    return env->ops->http_client_new(env, loop, &conf, &p->client, err);
}

static void destroy(struct gw_post *p)
{
    gw_buf_clear(&p->text);
    gw_buf_clear(&p->packed);
    gw_buf_clear(&p->auth);
    free(p->headers);
    free(p);
}

void gw_poster_close(struct gw_poster *p)
{
    if (p->client)
        p->client->ops->free(p->client);
    p->client = NULL;
    while (p->free) {
        struct gw_post *post = p->free;

        p->free = post->next;
        destroy(post);
    }
    p->n_free = 0;
}

/* ---- posts ------------------------------------------------------------------------------------------------------ */

/** The configured headers come first: they do not change from post to post. */
static void reset(struct gw_post *p)
{
    const struct gw_map *map = &p->poster->http->headers;

    p->rq = (struct gw_http_request){.method = "POST", .headers = p->headers};
    for (size_t i = 0; i < map->n; i++)
        p->headers[p->rq.n_headers++] =
            (struct gw_header){gw_slice_cstr(map->entries[i].key), gw_slice_cstr(map->entries[i].value)};
    gw_buf_reset(&p->text);
    gw_buf_reset(&p->packed);
    gw_buf_reset(&p->auth);
}

struct gw_post *gw_post_new(struct gw_poster *poster)
{
    struct gw_post *p = poster->free;

    if (p) {
        poster->free = p->next;
        poster->n_free--;
        reset(p);
        return p;
    }
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->poster = poster;
    p->headers = calloc(poster->http->headers.n + GW_POST_HEADERS + 1, sizeof(*p->headers)); /* 1: authenticator */
    gw_buf_init(&p->text, MAX_BODY_BYTES);
    gw_buf_init(&p->packed, MAX_BODY_BYTES);
    gw_buf_init(&p->auth, MAX_AUTH_BYTES);
    if (!p->headers) {
        free(p);
        return NULL;
    }
    reset(p);
    return p;
}

void gw_post_free(struct gw_post *p)
{
    struct gw_poster *poster = p->poster;

    if (poster->n_free >= KEPT_POSTS) {
        destroy(p);
        return;
    }
    p->next = poster->free;
    poster->free = p;
    poster->n_free++;
}

int gw_post_pack(struct gw_post *p, struct gw_slice body, struct gw_err *err)
{
    return gw_post_pack_rope(p, gw_rope_of(&body), err);
}

int gw_post_pack_rope(struct gw_post *p, struct gw_rope body, struct gw_err *err)
{
    enum gw_codec codec = p->poster->codec;
    int level = gw_compression_level(codec, p->poster->http->compression_params.level), r;

    p->rq.body = body.n_parts == 1 ? body.parts[0] : gw_slice_of(NULL, body.n);
    p->rq.parts = NULL;
    if (codec == GW_IDENTITY) {
        p->rq.parts = body.n_parts > 1 ? body.parts : NULL;
        p->rq.n_parts = body.n_parts;
        return 0;
    }
    gw_buf_reset(&p->packed);
    r = gw_compress_rope(codec, level, body, &p->packed, err);
    if (r == 0)
        p->rq.body = gw_buf_slice(&p->packed);
    return r;
}

void gw_post_header(struct gw_post *p, const char *name, struct gw_slice value)
{
    const struct gw_map *map = &p->poster->http->headers;

    if (!gw_map_header(map, name) && p->rq.n_headers < map->n + GW_POST_HEADERS)
        p->headers[p->rq.n_headers++] = (struct gw_header){gw_slice_cstr(name), value};
}

static int put_auth(struct gw_post *p, struct gw_err *err)
{
    const struct gw_auth *auth = &p->poster->auth;
    const char *name;
    int r;

    if (!auth->ops)
        return 0;
    r = auth->ops->header(auth->self, &name, &p->auth, err);
    if (r == 0)
        p->headers[p->rq.n_headers++] = (struct gw_header){gw_slice_cstr(name), gw_buf_slice(&p->auth)};
    return r;
}

static void observe(const struct gw_post *p, const struct gw_http_response *rs)
{
    const struct gw_ctx *ctx = p->poster->ctx;
    struct gw_http_call c = {.method = gw_slice_cstr(p->rq.method),
                             .endpoint = p->rq.url,
                             .status = rs->status,
                             .error = failures[rs->failure],
                             .http2 = rs->http2,
                             .tls = strncasecmp(p->rq.url, "https:", 6) == 0,
                             .request_bytes = p->rq.body.n};

    if (!ctx->detailed)
        return;
    c.ns = gw_mono_ns(ctx->env) - p->begin_ns;
    gw_meter_http_client(ctx->meter, &c);
}

static void on_done(struct gw_http_request *rq, const struct gw_http_response *rs)
{
    struct gw_post *p = rq->arg;

    observe(p, rs);
    p->done(p, rs);
}

int gw_post_send(struct gw_post *p, const char *url, uint64_t timeout_ns, gw_post_done_fn done, void *arg,
                 struct gw_err *err)
{
    int r = put_auth(p, err);

    if (r < 0)
        return r;
    p->done = done;
    p->arg = arg;
    p->rq.url = url;
    p->rq.timeout_ns = timeout_ns;
    p->rq.done = on_done;
    p->rq.arg = p;
    p->begin_ns = gw_mono_ns(p->poster->ctx->env);
    p->poster->client->ops->send(p->poster->client, &p->rq);
    return 0;
}

void gw_post_cancel(struct gw_post *p)
{
    p->poster->client->ops->cancel(p->poster->client, &p->rq);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

struct gw_slice gw_http_response_header(const struct gw_http_response *rs, const char *name)
{
    for (unsigned i = 0; i < rs->n_headers; i++)
        if (gw_slice_is(rs->headers[i].name, name))
            return rs->headers[i].value;
    return (struct gw_slice){0};
}

uint64_t gw_http_retry_after_ns(const struct gw_ctx *ctx, const struct gw_http_response *rs)
{
    uint64_t ns = 0;

    return gw_retry_after_parse(gw_http_response_header(rs, "retry-after"), gw_wall_ns(ctx->env), &ns) ? ns : 0;
}

enum gw_sent gw_http_verdict(const struct gw_http_response *rs)
{
    switch (rs->status) {
    case 0: /* no answer */
    case 429:
    case 502:
    case 503:
    case 504:
        return GW_SENT_RETRY;
    case 413:
        return GW_SENT_TOO_LARGE;
    default:
        return rs->status >= 200 && rs->status < 300 ? GW_SENT_OK : GW_SENT_PERMANENT;
    }
}

enum gw_sign gw_http_sign(const struct gw_ctx *ctx, const struct gw_http_response *rs)
{
    static const enum gw_sign of_failure[] = {
        [GW_HTTP_OK] = GW_SIGN_UNSURE,     [GW_HTTP_CONNECT] = GW_SIGN_AWAY,     [GW_HTTP_TIMEOUT] = GW_SIGN_LATE,
        [GW_HTTP_BROKEN] = GW_SIGN_UNSURE, [GW_HTTP_TOO_LARGE] = GW_SIGN_UNSURE, [GW_HTTP_CANCELLED] = GW_SIGN_NONE};

    switch (rs->status) {
    case 0:
        return of_failure[rs->failure];
    case 429:
        return GW_SIGN_BUSY;
    case 501:
        return GW_SIGN_WELL;
    case 503:
        return gw_http_retry_after_ns(ctx, rs) ? GW_SIGN_BUSY : GW_SIGN_AWAY;
    default:
        return rs->status >= 500 ? GW_SIGN_UNSURE : GW_SIGN_WELL;
    }
}

void gw_http_outcome_of(const struct gw_ctx *ctx, const struct gw_http_response *rs, struct gw_slice said,
                        struct gw_http_outcome *ret)
{
    if (rs->status == 0) {
        snprintf(ret->reason, sizeof(ret->reason), "%s", failures[rs->failure]);
        snprintf(ret->message, sizeof(ret->message), "%s", rs->error ? rs->error : ret->reason);
    } else {
        snprintf(ret->reason, sizeof(ret->reason), "http_%d", rs->status);
        snprintf(ret->message, sizeof(ret->message), "the server answered HTTP %d%s%.*s", rs->status,
                 said.n ? ": " : "", (int)(said.n < 256 ? said.n : 256), said.n ? (const char *)said.p : "");
    }
    ret->info = (struct gw_sent_info){
        .sent = gw_http_verdict(rs),
        .retry_after_ns = gw_http_retry_after_ns(ctx, rs),
        .grpc_status = rs->status ? gw_grpc_of_http(rs->status) : 0,
        .reason = ret->reason,
        .message = ret->message,
        .sign = gw_http_sign(ctx, rs),
        .may_be_a_part = rs->status == 400 || rs->status == 422 || rs->status == 500,
    };
}
