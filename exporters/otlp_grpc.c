/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_grpc: OTLP over gRPC.
 *
 *     exporters:
 *       otlp_grpc:
 *         endpoint: collector:4317
 *         tls: { insecure: true }
 *
 * What becomes of a body: OK is delivered, and rows that the server rejects in it are counted; CANCELLED,
 * DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS are tried again, not before RetryInfo's delay;
 * RESOURCE_EXHAUSTED only with RetryInfo, else it is about the message's size and is split; everything else is for
 * good.
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
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum {
    MAX_REQUEST_BYTES = 64 << 20, /* OTLP specification: not sent beyond it, before compression */
    MAX_ANSWER_BYTES = 4 << 20,
    KEPT_TRIES = 16,
};

enum grpc_status {
    OK,
    CANCELLED,
    UNKNOWN,
    INVALID_ARGUMENT,
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    ALREADY_EXISTS,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    FAILED_PRECONDITION,
    ABORTED,
    OUT_OF_RANGE,
    UNIMPLEMENTED,
    INTERNAL,
    UNAVAILABLE,
    DATA_LOSS,
    UNAUTHENTICATED,
    N_STATUS,
};

static const char *const status_names[N_STATUS] = {
    "ok",        "cancelled",       "unknown",           "invalid_argument",   "deadline_exceeded",
    "not_found", "already_exists",  "permission_denied", "resource_exhausted", "failed_precondition",
    "aborted",   "out_of_range",    "unimplemented",     "internal",           "unavailable",
    "data_loss", "unauthenticated",
};

static const char *const compressions[] = {"none", "gzip", "snappy", "zstd", "", NULL};
static const char *const balancers[] = {"round_robin", "pick_first", NULL};

struct keepalive {
    uint64_t time_ns, timeout_ns;
    bool permit_without_stream;
};

struct conf {
    const char *endpoint, *authority, *user_agent;
    struct gw_tls_settings tls;
    struct gw_map headers;
    struct gw_auth_settings auth;
    bool has_auth, has_keepalive, wait_for_ready;
    struct keepalive keepalive;
    int compression, balancer_name;
    struct gw_compression_settings compression_params;
    uint64_t buffer_size;
    const struct gw_node *planned;
};

/** One attempt under way; kept for the next one. */
struct
try {
    struct gw_rpc_request rq;
    struct self *s;
    struct gw_attempt *a;
    struct gw_buf packed, auth;
    struct gw_header *headers;
    uint64_t begin_ns;
    struct try *next;
};

struct self {
    const struct conf *conf;
    const struct gw_ctx *ctx;
    struct gw_auth auth;
    struct gw_rpc_client *client;
    enum gw_codec codec;
    struct try *free;
    unsigned n_free;
};

static const struct gw_field keepalive_fields[] = {
    GW_DURATION_FIELD(struct keepalive, time_ns, "time", "10s", 1e9, 1e18, "Ping after so long without traffic."),
    GW_DURATION_FIELD(struct keepalive, timeout_ns, "timeout", "10s", 1e6, 1e18,
                      "Close when no answer comes for so long."),
    GW_BOOL_FIELD(struct keepalive, permit_without_stream, "permit_without_stream", "false", "Ping without calls too."),
    {0},
};

static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct conf, endpoint, "endpoint", "",
                    "host:port; http:// in front means no TLS, https:// TLS; or dns:///host:port, unix:///path."),
    GW_BLOCK_FIELD(struct conf, tls, "tls", gw_tls_fields, "TLS to the server."),
    GW_HEADERS_FIELD(struct conf, headers, "headers", "Metadata of every call."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, auth, has_auth, "auth", gw_auth_fields, 0, "Authenticator extension to use."),
    GW_ENUM_FIELD(struct conf, compression, "compression", "gzip", compressions, "Of the messages."),
    GW_BLOCK_FIELD(struct conf, compression_params, "compression_params", gw_compression_params_fields,
                   "Of the codec."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, keepalive, has_keepalive, "keepalive", keepalive_fields, GW_FF_NULL_IS_ON,
                            "HTTP/2 pings."),
    GW_BOOL_FIELD(struct conf, wait_for_ready, "wait_for_ready", "false",
                  "Wait for a connection until the time is up instead of failing at once."),
    GW_ENUM_FIELD(struct conf, balancer_name, "balancer_name", "round_robin", balancers,
                  "How calls are spread over the endpoint's addresses."),
    GW_STRING_FIELD(struct conf, authority, "authority", "", "The :authority of every call instead of the endpoint."),
    GW_STRING_FIELD(struct conf, user_agent, "user_agent", "", "In front of the library's own."),
    {GW_FIELD_(struct conf, buffer_size, "read_buffer_size", GW_F_U64, "0", 0, 0, "The library sizes its own buffers."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct conf, buffer_size, "write_buffer_size", GW_F_U64, "0", 0, 0,
               "The library sizes its own buffers."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct conf, planned, "middlewares", GW_F_ANY, NULL, 0, 0, "Middleware extensions."),
     .flags = GW_FF_PLANNED},
    {0},
};

/* ---- the endpoint ------------------------------------------------------------------------------------------- */

static bool has_prefix(const char *s, const char *prefix)
{
    return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

/** What grpc calls a target, and whether TLS is spoken. */
static const char *target_of(const struct conf *c, bool *ret_insecure)
{
    const char *e = c->endpoint;

    *ret_insecure = c->tls.insecure;
    if (has_prefix(e, "http://")) {
        *ret_insecure = true;
        return e + strlen("http://");
    }
    if (has_prefix(e, "https://")) {
        *ret_insecure = false;
        return e + strlen("https://");
    }
    if (has_prefix(e, "passthrough:///")) /* grpc-go's word for a target that is no name */
        return e + strlen("passthrough:///");
    return e;
}

/** "collector:4317", also as "[::1]:4317". */
static bool has_port(const char *target)
{
    const char *colon = strrchr(target, ':');

    return colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1) && atoi(colon + 1) <= 65535;
}

static enum gw_codec codec_of(const struct conf *c)
{
    const char *name = compressions[c->compression];

    if (strcmp(name, "snappy") == 0)
        return GW_SNAPPY_FRAMED; /* what "snappy" means in gRPC: a stream, not a block */
    return strcmp(name, "none") == 0 ? GW_IDENTITY : gw_codec_parse(gw_slice_cstr(name));
}

/** Requests go out by grpc core, which has no zstd and snappy. */
static bool is_cores(const struct conf *c)
{
    return codec_of(c) != GW_ZSTD && codec_of(c) != GW_SNAPPY_FRAMED;
}

/** grpc core speaks 1.2 and 1.3, and nothing changes that; the library for zstd and snappy can be told. */
static void check_versions(const struct conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = node ? gw_node_get(node, "tls") : NULL;
    const struct gw_client_tls t = gw_tls_of(&c->tls);

    if (!is_cores(c) || ((!*t.min_version || strcmp(t.min_version, "1.2") == 0) &&
                         (!*t.max_version || strcmp(t.max_version, "1.3") == 0)))
        return;
    gw_diag_add(
        diag, GW_DIAG_ERROR, at ? &at->place : NULL,
        "tls: grpc speaks TLS 1.2 and 1.3; min_version and max_version cannot be changed, unless compression is "
        "zstd or snappy");
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_node *at = node ? gw_node_get(node, "endpoint") : NULL;
    const struct gw_place *place = at ? &at->place : node ? &node->place : NULL;
    bool insecure;
    const char *target = target_of(c, &insecure);

    if (!*target)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "otlp_grpc needs an endpoint, such as collector:4317");
    else if (!has_prefix(target, "unix:") && strchr(target, '/') && !strstr(target, ":///"))
        gw_diag_add(diag, GW_DIAG_ERROR, place, "endpoint: \"%s\" has a path: gRPC takes host:port", c->endpoint);
    else if (!has_prefix(target, "unix:") && !has_port(target))
        gw_diag_add(diag, GW_DIAG_ERROR, place, "endpoint: \"%s\" has no port: write host:4317", c->endpoint);
    at = node ? gw_node_get(node, "compression") : NULL;
    if (!insecure)
        check_versions(c, node, diag);
    if (!is_cores(c) && (c->wait_for_ready || c->has_keepalive || c->balancer_name))
        gw_diag_add(diag, GW_DIAG_WARNING, at ? &at->place : NULL,
                    "compression: %s is sent by a library that has no wait_for_ready, keepalive and balancer_name",
                    compressions[c->compression]);
    gw_compression_check(codec_of(c), c->compression_params.level, node, diag);
}

/* ---- tries -------------------------------------------------------------------------------------------------- */

static void try_free(struct try *t)
{
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
    t->headers = calloc(s->conf->headers.n + 1, sizeof(*t->headers));
    gw_buf_init(&t->packed, MAX_REQUEST_BYTES + (1 << 20));
    gw_buf_init(&t->auth, 64 << 10);
    if (!t->headers) {
        free(t);
        return NULL;
    }
    return t;
}

static void settle(struct try *t, const struct gw_sent_info *info)
{
    struct gw_attempt *a = t->a;
    struct self *s = t->s;

    a->impl = NULL;
    t->a = NULL;
    gw_buf_reset(&t->packed);
    gw_buf_reset(&t->auth);
    if (s->n_free < KEPT_TRIES) {
        t->next = s->free;
        s->free = t;
        s->n_free++;
    } else {
        try_free(t);
    }
    a->done(a, info);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static bool is_about_size(struct gw_slice message)
{
    /* grpc-go, grpc-java, core and our own receiver say it in these words; core's client says CLIENT of an answer. */
    static const char *const words[] = {"larger than max", "larger than", "too large", "exceeds maximum",
                                        "exceeds the limit"};

    if (message.n >= 6 && memcmp(message.p, "CLIENT", 6) == 0)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (message.n && memmem(message.p, message.n, words[i], strlen(words[i])))
            return true;
    return false;
}

static enum gw_sent verdict_of(const struct gw_rpc_response *rs, bool has_retry_info)
{
    switch (rs->status) {
    case CANCELLED:
    case DEADLINE_EXCEEDED:
    case ABORTED:
    case OUT_OF_RANGE:
    case UNAVAILABLE:
    case DATA_LOSS:
        return GW_SENT_RETRY;
    case RESOURCE_EXHAUSTED:
        if (has_retry_info)
            return GW_SENT_RETRY;
        return is_about_size(rs->message) ? GW_SENT_TOO_LARGE : GW_SENT_PERMANENT;
    default:
        return GW_SENT_PERMANENT;
    }
}

/** grpc says UNAVAILABLE for a server that cannot be reached, and for a connection that broke under a call. */
static enum gw_sign sign_of(const struct gw_rpc_response *rs, bool has_retry_info)
{
    static const char cannot[] = "failed to connect";

    switch (rs->status) {
    case UNAVAILABLE:
        if (has_retry_info)
            return GW_SIGN_BUSY;
        return rs->message.n && memmem(rs->message.p, rs->message.n, cannot, sizeof(cannot) - 1) ? GW_SIGN_AWAY
                                                                                                 : GW_SIGN_UNSURE;
    case RESOURCE_EXHAUSTED:
        return has_retry_info ? GW_SIGN_BUSY : GW_SIGN_WELL;
    case DEADLINE_EXCEEDED:
        return GW_SIGN_LATE;
    case CANCELLED:
    case UNKNOWN:
    case ABORTED:
    case OUT_OF_RANGE:
    case INTERNAL:
    case DATA_LOSS:
        return GW_SIGN_UNSURE;
    default:
        return GW_SIGN_WELL;
    }
}

static void delivered(struct try *t, const struct gw_rpc_response *rs)
{
    struct gw_otlp_partial p;

    gw_otlp_partial_read(rs->reply, false, &p);
    if (p.rejected_rows || p.message[0])
        gw_log(&t->s->ctx->logger, GW_LOG_WARN, "partial success: the server rejected %u rows: %s", p.rejected_rows,
               p.message);
    settle(t, &(struct gw_sent_info){
                  .sent = GW_SENT_OK,
                  .rejected_rows = p.rejected_rows > t->a->rows ? t->a->rows : p.rejected_rows,
                  .message = p.message[0] ? p.message : NULL,
              });
}

static void on_done(struct gw_rpc_request *rq, const struct gw_rpc_response *rs)
{
    struct try *t = rq->arg;
    struct gw_otlp_status st;
    char message[320];
    const char *name = rs->status >= 0 && rs->status < N_STATUS ? status_names[rs->status] : "unknown";
    const struct gw_ctx *ctx = t->s->ctx;

    if (ctx->detailed)
        gw_meter_rpc_client(ctx->meter, rq->method, rs->status, gw_mono_ns(ctx->env) - t->begin_ns);
    if (rs->status == OK) {
        delivered(t, rs);
        return;
    }
    gw_otlp_status_read(rs->status_details, false, &st);
    snprintf(message, sizeof(message), "the server answered %s: %.*s", name,
             (int)(rs->message.n < 240 ? rs->message.n : 240), rs->message.n ? (const char *)rs->message.p : "");
    settle(t, &(struct gw_sent_info){
                  .sent = verdict_of(rs, st.has_retry_info),
                  .retry_after_ns = st.retry_delay_ns,
                  .grpc_status = rs->status,
                  .reason = name,
                  .message = message,
                  .sign = sign_of(rs, st.has_retry_info),
                  .may_be_a_part = rs->status == INVALID_ARGUMENT || rs->status == INTERNAL || rs->status == UNKNOWN,
              });
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static const char *method_of(enum gw_signal signal)
{
    switch (signal) {
    case GW_TRACES:
        return "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    case GW_METRICS:
        return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    case GW_LOGS:
        break;
    }
    return "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
}

static int set_headers(struct try *t, struct gw_err *err)
{
    const struct self *s = t->s;
    const struct gw_map *map = &s->conf->headers;

    t->rq.n_headers = 0;
    for (size_t i = 0; i < map->n; i++)
        t->headers[t->rq.n_headers++] =
            (struct gw_header){gw_slice_cstr(map->entries[i].key), gw_slice_cstr(map->entries[i].value)};
    if (s->auth.ops) {
        const char *name;
        int r = s->auth.ops->header(s->auth.self, &name, &t->auth, err);

        if (r < 0)
            return r;
        t->headers[t->rq.n_headers++] = (struct gw_header){gw_slice_cstr(name), gw_buf_slice(&t->auth)};
    }
    t->rq.headers = t->headers;
    return 0;
}

static void fail_early(struct try *t, enum gw_sent sent, const char *reason, const char *message)
{
    settle(t, &(struct gw_sent_info){.sent = sent, .reason = reason, .message = message, .sign = GW_SIGN_NONE});
}

static void otlp_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    struct try *t = try_get(s);
    struct gw_err err = {{0}};
    int r = 0;

    if (!t) {
        a->done(
            a, &(struct gw_sent_info){
                   .sent = GW_SENT_RETRY, .reason = "out_of_memory", .message = "out of memory", .sign = GW_SIGN_NONE});
        return;
    }
    t->a = a;
    a->impl = t;
    if (a->body.n > MAX_REQUEST_BYTES) {
        fail_early(t, GW_SENT_TOO_LARGE, "too_large", "a request is longer than the 64 MiB that OTLP allows");
        return;
    }
    t->rq = (struct gw_rpc_request){
        .method = method_of(a->signal), .message = a->body, .timeout_ns = a->timeout_ns, .done = on_done, .arg = t};
    if (s->codec == GW_IDENTITY) {
        t->rq.parts = a->parts;
        t->rq.n_parts = a->n_parts;
    }
    if (s->codec != GW_IDENTITY) {
        r = gw_compress_rope(s->codec, gw_compression_level(s->codec, s->conf->compression_params.level),
                             gw_attempt_rope(a), &t->packed, &err);
        t->rq.message = gw_buf_slice(&t->packed);
        t->rq.encoding = compressions[s->conf->compression];
    }
    if (r < 0) {
        fail_early(t, GW_SENT_RETRY, "encode", err.text);
        return;
    }
    if (set_headers(t, &err) < 0) { /* a token that has expired may be there again next time */
        fail_early(t, GW_SENT_RETRY, "auth", err.text);
        return;
    }
    t->begin_ns = gw_mono_ns(s->ctx->env);
    s->client->ops->call(s->client, &t->rq);
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
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = ctx;
    s->codec = codec_of(s->conf);
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;

    return gw_auth_find(s->ctx, &s->conf->auth, &s->auth, err);
}

static int otlp_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;
    const struct conf *c = s->conf;
    struct gw_env *env = s->ctx->env;
    struct gw_rpc_client_conf conf = {
        .authority = c->authority,
        .user_agent = *c->user_agent ? c->user_agent : gw_user_agent(),
        .load_balancing = balancers[c->balancer_name],
        .tls = gw_tls_of(&c->tls),
        .wait_for_ready = c->wait_for_ready,
        .any_encoding = s->codec == GW_ZSTD || s->codec == GW_SNAPPY_FRAMED,
        .max_response_bytes = MAX_ANSWER_BYTES,
    };

    conf.target = target_of(c, &conf.tls.insecure);
    if (c->has_keepalive) {
        conf.keepalive_time_ns = c->keepalive.time_ns;
        conf.keepalive_timeout_ns = c->keepalive.timeout_ns;
        conf.keepalive_without_calls = c->keepalive.permit_without_stream;
    }
    if (!env->ops->rpc_client_new)
        return gw_fail(err, -ENOTSUP, "this program has no gRPC client");
    return env->ops->rpc_client_new(env, loop, &conf, &s->client, err);
}

static void otlp_close(void *self)
{
    struct self *s = self;

    if (s->client)
        s->client->ops->free(s->client);
    s->client = NULL;
}

static const char *otlp_endpoint(void *self, enum gw_signal signal)
{
    (void)signal;
    return ((struct self *)self)->conf->endpoint;
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .takes_parts = true,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5ull * 1000000000,
    .open = otlp_open,
    .send = otlp_send,
    .cancel = otlp_cancel,
    .close = otlp_close,
    .endpoint = otlp_endpoint,
};

static const char *const aliases[] = {"otlp", NULL};

const struct gw_component gw_exporter_otlp_grpc = {
    .kind = GW_EXPORTER,
    .name = "otlp_grpc",
    .aliases = aliases,
    .summary = "Send OTLP over gRPC.",
    .signals = GW_ALL_SIGNALS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .exporter = &ops,
};
