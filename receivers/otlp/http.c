/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/HTTP: POST of protobuf or JSON to one path a signal, over HTTP/1.1 or HTTP/2. Errors are google.rpc.Status in
 * the request's encoding; what the Collector answers as text (404, 405, 415) is text here too.
 */
#include <stdio.h>
#include <strings.h>

#include "core/call_meter.h"
#include "receivers/otlp/otlp.h"

enum { MAX_HEADERS = 2 + GW_OTLP_CORS_HEADERS + GW_OTLP_RESPONSE_HEADERS };

static struct gw_otlp_door *door_of(struct gw_hs_handler *h)
{
    return (struct gw_otlp_door *)(void *)((char *)h - offsetof(struct gw_otlp_door, handler));
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static void observe(struct gw_otlp_request *rq, const struct gw_hs_response *r)
{
    const struct gw_hs_head *d = gw_hs_head_of(rq->s);
    struct gw_otlp_local *l = rq->door->l;
    struct gw_http_call c = {.method = d->method,
                             .endpoint = rq->door->shared->e->endpoint,
                             .status = r->status,
                             .http2 = d->http2,
                             .tls = d->tls,
                             .request_bytes = rq->n_body,
                             .response_bytes = r->body.n};

    if (!l->o->ctx.detailed)
        return;
    for (unsigned i = 0; i < 3 && rq->signal; i++)
        if (l->o->paths[i].signal == rq->signal)
            c.route = (const char *)l->o->paths[i].path.p;
    c.ns = gw_mono_ns(l->o->ctx.env) - rq->begin_ns;
    gw_meter_http_server(l->o->ctx.meter, &c);
}

/* With what every answer carries: CORS, and the operator's headers. */
static void respond(struct gw_otlp_request *rq, struct gw_hs_response *r, const char *type, const char *retry_after)
{
    struct gw_otlp *o = rq->door->l->o;
    struct gw_header h[MAX_HEADERS];
    unsigned n = 0;

    gw_buf_reset(&rq->door->l->text);
    h[n++] = (struct gw_header){GW_SLICE("content-type"), gw_slice_cstr(type)};
    if (retry_after)
        h[n++] = (struct gw_header){GW_SLICE("retry-after"), gw_slice_cstr(retry_after)};
    n += gw_otlp_cors_actual(&o->conf->protocols.http, gw_hs_head_of(rq->s), &rq->door->l->text, h + n);
    for (unsigned i = 0; i < o->n_response_headers; i++)
        h[n++] = o->response_headers[i];
    r->headers = h;
    r->n_headers = n;
    observe(rq, r);
    gw_hs_respond(rq->s, r);
}

static void respond_text(struct gw_otlp_request *rq, int status, const char *type, const char *text)
{
    struct gw_hs_response r = {.status = status, .body = gw_slice_cstr(text)};

    respond(rq, &r, type, NULL);
}

static void respond_preflight(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_otlp *o = rq->door->l->o;
    struct gw_header h[MAX_HEADERS];
    struct gw_hs_response r = {.status = 204, .headers = h};

    gw_buf_reset(&rq->door->l->text);
    r.n_headers = gw_otlp_cors_preflight(&o->conf->protocols.http, d, &rq->door->l->text, h);
    for (unsigned i = 0; i < o->n_response_headers; i++)
        h[r.n_headers++] = o->response_headers[i];
    observe(rq, &r);
    gw_hs_respond(rq->s, &r);
}

void gw_otlp_http_answer(struct gw_otlp_request *rq, const struct gw_verdict *v)
{
    struct gw_buf *b = &rq->door->l->answer;
    bool json = rq->encoding == GW_ENC_JSON;
    struct gw_hs_response r = {.status = gw_verdict_http_status(v)};
    uint64_t delay = gw_otlp_delay_ns(v), seconds = delay / 1000000000u + (delay % 1000000000u != 0);
    char retry[24] = "";

    gw_buf_reset(b);
    if (v->grpc_status == GW_OK)
        gw_otlp_put_response(b, v, json);
    else
        gw_otlp_put_status(b, v, json);
    r.body = gw_buf_slice(b);
    r.refusal = r.status == 429 || r.status == 503;
    if (r.refusal && delay)
        (void)snprintf(retry, sizeof(retry), "%llu", (unsigned long long)seconds);
    respond(rq, &r, json ? "application/json" : "application/x-protobuf", *retry ? retry : NULL);
}

/* ---- head ------------------------------------------------------------------------------------------------- */

/* Sets the encoding that answers are written in, also those before the type is judged. */
static bool find_encoding(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_slice t = {NULL, 0};
    const uint8_t *semicolon;

    rq->encoding = GW_ENC_JSON;
    if (!gw_otlp_find_header(d, "content-type", &t))
        return false;
    semicolon = t.n ? memchr(t.p, ';', t.n) : NULL;
    if (semicolon)
        t.n = (size_t)(semicolon - t.p);
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
        t.n--;
    if (t.n == 16 && strncasecmp((const char *)t.p, "application/json", 16) == 0)
        return true;
    if (t.n != 22 || strncasecmp((const char *)t.p, "application/x-protobuf", 22) != 0)
        return false;
    rq->encoding = GW_ENC_PROTO;
    return true;
}

static bool find_path(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_otlp *o = rq->door->l->o;

    for (unsigned i = 0; i < 3; i++)
        if (gw_slice_eq(d->path, o->paths[i].path) && (rq->door->l->intake->signals & o->paths[i].signal)) {
            rq->signal = o->paths[i].signal;
            return true;
        }
    respond_text(rq, 404, "text/plain; charset=utf-8", "404 page not found\n");
    return false;
}

static bool find_codec(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_slice name = {NULL, 0};
    unsigned n = 0;
    char text[96];

    for (unsigned i = 0; i < d->n_headers; i++)
        if (gw_slice_is(d->headers[i].name, "content-encoding")) {
            name = d->headers[i].value;
            n++;
        }
    rq->codec = n > 1 ? GW_CODEC_UNKNOWN : gw_codec_parse(name);
    if (rq->door->shared->codecs & 1u << rq->codec)
        return true;
    (void)snprintf(text, sizeof(text), "unsupported Content-Encoding: %.*s", (int)(name.n < 32 ? name.n : 32),
                   name.n ? (const char *)name.p : "");
    gw_otlp_refuse(rq, GW_INVALID_ARGUMENT, text);
    return false;
}

static bool let_in(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_err err = {""};
    int rc = gw_otlp_origin(rq->door, d, &rq->meta, &err);

    if (rc == 0)
        return true;
    if (rc == -EACCES)
        gw_log(&rq->door->l->o->logger, GW_LOG_WARN, "request of %.*s not let in: %s", (int)d->peer.n, d->peer.p,
               err.text);
    gw_otlp_refuse(rq,
                   rc == -EACCES   ? GW_UNAUTHENTICATED
                   : rc == -EINVAL ? GW_INVALID_ARGUMENT
                                   : GW_UNAVAILABLE,
                   rc == -EACCES ? "unauthenticated" : err.text);
    return false;
}

/* Everything that can be said before the body, in the Collector's order. */
static void look_at_head(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    bool known = find_encoding(rq, d);

    if (gw_otlp_is_preflight(&rq->door->l->o->conf->protocols.http, d)) {
        respond_preflight(rq, d);
        return;
    }
    if (!let_in(rq, d) || !find_path(rq, d))
        return;
    if (!gw_slice_is(d->method, "POST")) {
        respond_text(rq, 405, "text/plain", "405 method not allowed, supported: [POST]");
        return;
    }
    if (!known) {
        respond_text(rq, 415, "text/plain",
                     "415 unsupported media type, supported: [application/json, application/x-protobuf]");
        return;
    }
    if (!find_codec(rq, d) || !gw_otlp_admit(rq, d->content_length))
        return;
    if (d->content_length > 0)
        (void)gw_otlp_expect(rq, (uint64_t)d->content_length);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *d)
{
    struct gw_otlp_request *rq = gw_otlp_request_new(door_of(h), s);

    if (!rq) {
        struct gw_hs_response r = {.status = 503, .refusal = true};

        gw_hs_respond(s, &r);
        return;
    }
    gw_otlp_enter(rq);
    look_at_head(rq, d);
    gw_otlp_leave(rq);
}

/* ---- body ------------------------------------------------------------------------------------------------- */

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct gw_otlp_request *rq = gw_hs_user(s);

    (void)h;
    gw_otlp_enter(rq);
    (void)gw_otlp_append(rq, chunk);
    gw_otlp_leave(rq);
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct gw_otlp_request *rq = gw_hs_user(s);
    struct gw_slice body = rq->payload ? gw_slice_of(rq->payload->p, rq->payload->n) : gw_buf_slice(&rq->wire);

    (void)h;
    gw_otlp_enter(rq);
    gw_otlp_submit(rq, body, rq->codec);
    gw_otlp_leave(rq);
}

void gw_otlp_http_handler(struct gw_hs_handler *ret)
{
    *ret = (struct gw_hs_handler){on_head, on_body, on_end, gw_otlp_gone, gw_otlp_room};
}
