/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC: unary Export calls of three services; those of grpc.health.v1 are answered in health.c. */
#include <stdio.h>
#include <strings.h>

#include "core/call_meter.h"
#include "receivers/otlp/otlp.h"

#define COLLECTOR "/opentelemetry.proto.collector."

enum { HEALTH_BYTES = 1024 };

const struct gw_otlp_method gw_otlp_methods[GW_OTLP_METHODS] = {
    {COLLECTOR "trace.v1.TraceService/Export", "opentelemetry.proto.collector.trace.v1.TraceService", GW_TRACES},
    {COLLECTOR "metrics.v1.MetricsService/Export", "opentelemetry.proto.collector.metrics.v1.MetricsService",
     GW_METRICS},
    {COLLECTOR "logs.v1.LogsService/Export", "opentelemetry.proto.collector.logs.v1.LogsService", GW_LOGS},
};

static const struct gw_header type_header = {GW_SLICE("content-type"), GW_SLICE("application/grpc")};
static const struct gw_header accept_header = {GW_SLICE("grpc-accept-encoding"), GW_SLICE("identity,gzip,zstd,snappy")};

static struct gw_otlp_door *door_of(struct gw_hs_handler *h)
{
    return (struct gw_otlp_door *)(void *)((char *)h - offsetof(struct gw_otlp_door, handler));
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

void gw_otlp_grpc_ok(struct gw_otlp_request *rq, struct gw_slice message)
{
    static const struct gw_header trailer = {GW_SLICE("grpc-status"), GW_SLICE("0")};
    const struct gw_header headers[2] = {type_header, accept_header};
    struct gw_hs_response r = {
        .status = 200, .headers = headers, .n_headers = 2, .trailers = &trailer, .n_trailers = 1, .body = message};

    gw_hs_respond(rq->s, &r);
}

void gw_otlp_grpc_open(struct gw_otlp_request *rq, struct gw_slice message)
{
    const struct gw_header headers[2] = {type_header, accept_header};
    struct gw_hs_response r = {.status = 200, .headers = headers, .n_headers = 2, .body = message, .open = true};

    gw_hs_respond(rq->s, &r);
}

void gw_otlp_grpc_end(struct gw_otlp_request *rq, int grpc_status, const char *message)
{
    struct gw_buf *text = &rq->door->l->text;
    char code[12];
    struct gw_header h[2] = {{GW_SLICE("grpc-status"), {NULL, 0}}, {GW_SLICE("grpc-message"), {NULL, 0}}};

    (void)snprintf(code, sizeof(code), "%d", grpc_status);
    h[0].value = gw_slice_cstr(code);
    gw_buf_reset(text);
    gw_grpc_message_put(text, message);
    h[1].value = gw_buf_slice(text);
    gw_hs_end(rq->s, h, 2);
}

/* An error is headers only: status, message and google.rpc.Status stand where trailers would. */
static void answer_error(struct gw_otlp_request *rq, const struct gw_verdict *v)
{
    struct gw_buf *text = &rq->door->l->text, *b = &rq->door->l->answer;
    char code[12];
    struct gw_header h[5] = {type_header, accept_header, {GW_SLICE("grpc-status"), {NULL, 0}}};
    struct gw_hs_response r = {.status = 200, .headers = h, .n_headers = 3};
    size_t at;

    (void)snprintf(code, sizeof(code), "%d", v->grpc_status);
    h[2].value = gw_slice_cstr(code);
    gw_buf_reset(text);
    gw_buf_reset(b);
    gw_grpc_message_put(text, v->message ? v->message : "");
    at = text->n;
    gw_otlp_put_status(b, v, /* json= */ false);
    gw_grpc_bin_put(text, gw_buf_slice(b));
    if (!text->failed) {
        if (at > 0)
            h[r.n_headers++] = (struct gw_header){GW_SLICE("grpc-message"), gw_slice_of(text->p, at)};
        if (v->grpc_status == GW_UNAVAILABLE || v->grpc_status == GW_INVALID_ARGUMENT)
            h[r.n_headers++] =
                (struct gw_header){GW_SLICE("grpc-status-details-bin"), gw_slice_of(text->p + at, text->n - at)};
    }
    r.refusal = v->grpc_status == GW_UNAVAILABLE || v->grpc_status == GW_RESOURCE_EXHAUSTED;
    gw_hs_respond(rq->s, &r);
}

/* Calls of methods that are not ours have no name here: a peer could make up as many as it likes. */
static void observe(const struct gw_otlp_request *rq, int grpc_status)
{
    const struct gw_otlp *o = rq->door->l->o;

    for (unsigned i = 0; o->ctx.detailed && rq->signal && i < GW_OTLP_METHODS; i++)
        if (gw_otlp_methods[i].signal == rq->signal)
            gw_meter_rpc_server(o->ctx.meter, gw_otlp_methods[i].path, grpc_status,
                                gw_mono_ns(o->ctx.env) - rq->begin_ns);
}

void gw_otlp_grpc_answer(struct gw_otlp_request *rq, const struct gw_verdict *v)
{
    struct gw_buf *b = &rq->door->l->answer;
    uint32_t n;

    observe(rq, v->grpc_status);
    if (v->grpc_status != GW_OK) {
        answer_error(rq, v);
        return;
    }
    gw_buf_reset(b);
    gw_grpc_frame_put(b, 0);
    gw_otlp_put_response(b, v, /* json= */ false);
    n = (uint32_t)(b->n - 5);
    memcpy(b->p + 1, (uint8_t[]){(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 4);
    gw_otlp_grpc_ok(rq, gw_buf_slice(b));
}

static void answer_http(struct gw_otlp_request *rq, int status)
{
    struct gw_hs_response r = {.status = status};

    gw_hs_respond(rq->s, &r);
}

/* ---- head ------------------------------------------------------------------------------------------------- */

/* "application/grpc", with "+proto" or parameters behind it. 0, or the answer: 415, or -UNIMPLEMENTED. */
static int check_type(const struct gw_hs_head *d)
{
    static const char grpc[] = "application/grpc";
    struct gw_slice t;
    size_t n = sizeof(grpc) - 1;

    if (!gw_otlp_find_header(d, "content-type", &t) || t.n < n || strncasecmp((const char *)t.p, grpc, n) != 0)
        return 415;
    if (t.n == n || t.p[n] == ';' || t.p[n] == ' ')
        return 0;
    if (t.p[n] != '+')
        return 415;
    return t.n >= n + 6 && memcmp(t.p + n, "+proto", 6) == 0 && (t.n == n + 6 || t.p[n + 6] == ';') ? 0
                                                                                                    : -GW_UNIMPLEMENTED;
}

/* Which call is it? False: answered. */
static bool find_method(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    unsigned signals = rq->door->l->intake->signals;

    for (unsigned i = 0; i < GW_OTLP_METHODS; i++)
        if (gw_slice_is(d->path, gw_otlp_methods[i].path)) {
            rq->signal = gw_otlp_methods[i].signal;
            if (signals & rq->signal)
                return true;
            gw_otlp_refuse(rq, GW_UNIMPLEMENTED, "no pipeline takes this signal");
            return false;
        }
    rq->health = gw_otlp_health_method(d->path);
    if (rq->health == GW_OTLP_NO_HEALTH)
        gw_otlp_refuse(rq, GW_UNIMPLEMENTED, "unknown service or method");
    return rq->health != GW_OTLP_NO_HEALTH;
}

static bool find_codec(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_slice name;

    rq->codec = GW_IDENTITY;
    if (gw_otlp_find_header(d, "grpc-encoding", &name))
        rq->codec = gw_codec_parse(name);
    if (rq->door->shared->codecs & 1u << rq->codec)
        return true;
    gw_otlp_refuse(rq, GW_UNIMPLEMENTED, "this grpc-encoding is not supported: identity, gzip, zstd, snappy are");
    return false;
}

static bool find_deadline(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_slice text;
    uint64_t ns, now = gw_loop_now_ns(rq->door->l->loop);

    if (!gw_otlp_find_header(d, "grpc-timeout", &text))
        return true;
    if (gw_grpc_timeout_parse(text, &ns) < 0) {
        gw_otlp_refuse(rq, GW_INTERNAL, "malformed grpc-timeout");
        return false;
    }
    rq->deadline_ns = ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
    gw_otlp_arm_deadline(rq);
    return true;
}

/* Everything that can be said before the body. */
static void look_at_head(struct gw_otlp_request *rq, const struct gw_hs_head *d)
{
    struct gw_err err = {""};
    int rc;

    if (!gw_slice_is(d->method, "POST")) {
        answer_http(rq, 405);
        return;
    }
    rc = check_type(d);
    if (rc > 0) {
        answer_http(rq, rc);
        return;
    }
    if (rc < 0) {
        gw_otlp_refuse(rq, -rc, "only protobuf messages are spoken here");
        return;
    }
    rc = gw_otlp_origin(rq->door, d, &rq->meta, &err);
    if (rc < 0) {
        if (rc == -EACCES)
            gw_log(&rq->door->l->o->logger, GW_LOG_WARN, "request of %.*s not let in: %s", (int)d->peer.n, d->peer.p,
                   err.text);
        gw_otlp_refuse(rq,
                       rc == -EACCES   ? GW_UNAUTHENTICATED
                       : rc == -EINVAL ? GW_INVALID_ARGUMENT
                                       : GW_UNAVAILABLE,
                       rc == -EACCES ? "unauthenticated" : err.text);
        return;
    }
    if (!find_method(rq, d) || !find_codec(rq, d) || !find_deadline(rq, d))
        return;
    if (!rq->health && !gw_otlp_admit(rq, d->content_length > 5 ? d->content_length - 5 : 0))
        return;
    if (rq->health)
        rq->granted = HEALTH_BYTES; /* too little to ask for */
    gw_grpc_reader_init(&rq->reader, rq->health ? HEALTH_BYTES : rq->door->shared->max_body_bytes);
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

/* The message's length is known, nothing of it is there. */
static bool begin_message(struct gw_otlp_request *rq)
{
    if (rq->reader.compressed && rq->codec == GW_IDENTITY) {
        gw_otlp_refuse(rq, GW_INTERNAL, "a compressed message without grpc-encoding");
        return false;
    }
    if (!rq->reader.compressed)
        rq->codec = GW_IDENTITY;
    if (rq->health)
        return true;
    return gw_otlp_grow(rq, rq->reader.want_bytes) && gw_otlp_expect(rq, rq->reader.want_bytes);
}

static void fail_read(struct gw_otlp_request *rq, int rc, const struct gw_err *err)
{
    struct gw_verdict v = {.grpc_status = rc == -E2BIG ? GW_RESOURCE_EXHAUSTED : GW_INTERNAL,
                           .signal = rq->signal,
                           .message = err->text,
                           .too_large = rc == -E2BIG};

    gw_otlp_answer(rq, &v);
}

static void take(struct gw_otlp_request *rq, struct gw_slice chunk)
{
    struct gw_grpc_reader *r = &rq->reader;
    struct gw_err err = {""};
    bool had_head = r->n_head == 5;
    size_t have;
    int rc = gw_grpc_reader_head(r, &chunk, &err);

    if (rc < 0) {
        fail_read(rq, rc, &err);
        return;
    }
    if (!had_head && r->n_head == 5 && !begin_message(rq))
        return;
    if (chunk.n == 0)
        return;
    have = rq->payload ? rq->payload->n : rq->wire.n;
    if (chunk.n > r->want_bytes - have) { /* a request is one message, no more */
        gw_otlp_refuse(rq, GW_UNIMPLEMENTED, "a second message in a unary call");
        return;
    }
    (void)gw_otlp_append(rq, chunk);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct gw_otlp_request *rq = gw_hs_user(s);

    (void)h;
    gw_otlp_enter(rq);
    take(rq, chunk);
    gw_otlp_leave(rq);
}

static void finish(struct gw_otlp_request *rq)
{
    struct gw_slice body = rq->payload ? gw_slice_of(rq->payload->p, rq->payload->n) : gw_buf_slice(&rq->wire);
    struct gw_buf plain = {.p = rq->door->l->small, .cap = HEALTH_BYTES, .max_bytes = HEALTH_BYTES};

    if (rq->reader.n_head < 5 || body.n < rq->reader.want_bytes) {
        gw_otlp_refuse(rq, rq->reader.n_head == 0 ? GW_UNIMPLEMENTED : GW_INTERNAL,
                       rq->reader.n_head == 0 ? "a unary call without a message" : "the message is cut short");
    } else if (!rq->health) {
        gw_otlp_submit(rq, body, rq->codec);
    } else if (gw_decompress(rq->codec, body, &plain, NULL) < 0) {
        gw_otlp_refuse(rq, GW_INVALID_ARGUMENT, "this is no HealthCheckRequest");
    } else {
        gw_otlp_health_answer(rq, gw_buf_slice(&plain));
    }
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct gw_otlp_request *rq = gw_hs_user(s);

    (void)h;
    gw_otlp_enter(rq);
    finish(rq);
    gw_otlp_leave(rq);
}

void gw_otlp_grpc_handler(struct gw_hs_handler *ret)
{
    *ret = (struct gw_hs_handler){on_head, on_body, on_end, gw_otlp_gone, gw_otlp_room};
}
