/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OTLP receiver: traces, metrics and logs over gRPC and HTTP.
 *
 *   receivers:
 *     otlp:
 *       protocols:
 *         grpc: { endpoint: 0.0.0.0:4317, auth: { authenticator: bearertokenauth } }
 *         http: { cors: { allowed_origins: [https://app.example.com] } }
 *       tenant: { from_header: x-scope-orgid }
 *
 * A request is judged by its head alone as far as that goes: credentials, path, type, size, room. Only then is its body
 * read. Listeners belong to the instance and are shared by the workers; everything else is the worker's.
 */
#include <stdlib.h>

#include "receivers/otlp/otlp.h"

enum { HTTP_SLOT_BIT = 1u << 31, ANSWER_BYTES = 64 << 10 };

static void destroy(void *self)
{
    struct gw_otlp *o = self;

    if (!o)
        return;
    gw_hs_group_free(o->grpc.group);
    gw_hs_group_free(o->http.group);
    for (unsigned i = 0; i < 3; i++)
        free((void *)(uintptr_t)o->paths[i].path.p);
    for (unsigned i = 0; i < o->n_response_headers; i++)
        free((void *)(uintptr_t)o->response_headers[i].name.p);
    free(o);
}

static void offer(void *self, struct gw_listeners *to)
{
    struct gw_otlp *o = self;

    gw_hs_group_offer(o->grpc.group, to);
    gw_hs_group_offer(o->http.group, to);
}

/* A leading slash is added. */
static int set_path(struct gw_otlp *o, unsigned i, const char *path, enum gw_signal signal)
{
    size_t n = strlen(path), slash = *path != '/';
    char *p = malloc(n + slash + 1);

    if (!p)
        return -ENOMEM;
    p[0] = '/';
    memcpy(p + slash, path, n + 1);
    o->paths[i].path = gw_slice_of(p, n + slash);
    o->paths[i].signal = signal;
    return 0;
}

static int set_response_header(struct gw_otlp *o, const char *name, const char *value)
{
    char *p = strdup(name);

    if (!p)
        return -ENOMEM;
    for (char *c = p; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 32;
    o->response_headers[o->n_response_headers++] = (struct gw_header){gw_slice_cstr(p), gw_slice_cstr(value)};
    return 0;
}

static unsigned http_codecs(const struct gw_otlp_http *h)
{
    const char *const *names = h->compression_algorithms.items;
    unsigned bits = 0;

    for (size_t i = 0; i < h->compression_algorithms.n; i++)
        bits |= 1u << gw_codec_parse(gw_slice_cstr(names[i]));
    return bits ? bits : (1u << GW_CODEC_UNKNOWN) - 1;
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct gw_otlp_conf *c = conf;
    const struct gw_otlp_grpc *g = &c->protocols.grpc;
    const struct gw_otlp_http *h = &c->protocols.http;
    struct gw_otlp *o = calloc(1, sizeof(*o));
    int rc = 0;

    if (!o)
        return gw_fail(err, -ENOMEM, "%s: out of memory", ctx->id);
    o->conf = c;
    o->ctx = *ctx;
    o->logger = ctx->logger;
    o->limits =
        (struct gw_limits){(uint32_t)c->limits.depth, (uint32_t)c->limits.rows, c->limits.decode_bytes_per_byte};
    o->grpc = (struct gw_otlp_shared){.e = &g->e, .grpc = true};
    o->grpc.codecs = 1u << GW_IDENTITY | 1u << GW_GZIP | 1u << GW_ZSTD | 1u << GW_SNAPPY;
    o->grpc.max_body_bytes = (size_t)(g->max_recv_msg_size_mib ? g->max_recv_msg_size_mib : 64) << 20;
    o->http = (struct gw_otlp_shared){.e = &h->e};
    if (!c->protocols.has_http) {
        *ret_self = o;
        return 0;
    }
    o->http.codecs = http_codecs(h);
    o->http.max_body_bytes = h->max_request_body_size ? h->max_request_body_size : (size_t)64 << 20;
    for (size_t i = 0; rc == 0 && i < h->response_headers.n && i < GW_OTLP_RESPONSE_HEADERS; i++)
        rc = set_response_header(o, h->response_headers.entries[i].key, h->response_headers.entries[i].value);
    if (rc < 0 || set_path(o, 0, h->traces_url_path, GW_TRACES) < 0 ||
        set_path(o, 1, h->metrics_url_path, GW_METRICS) < 0 || set_path(o, 2, h->logs_url_path, GW_LOGS) < 0) {
        destroy(o);
        return gw_fail(err, -ENOMEM, "%s: out of memory", ctx->id);
    }
    *ret_self = o;
    return 0;
}

static void count_requests(struct gw_otlp *o, struct gw_otlp_shared *s)
{
    static const char *const outcomes[GW_OTLP_OUTCOMES] = {"success", "failure", "refused"};

    if (o->ctx.meter) {
        struct gw_label labels[] = {{"receiver", o->ctx.id}, {"transport", s->grpc ? "grpc" : "http"}};

        s->unheard = gw_meter_get(o->ctx.meter, GW_COUNTER, "staunch_receiver_unheard_items",
                                  "Items that were taken when their client had left or its deadline had passed: it may "
                                  "send them again.",
                                  labels, 2);
    }
    for (unsigned i = 0; o->ctx.meter && i < GW_OTLP_OUTCOMES; i++) {
        struct gw_label labels[] = {
            {"outcome", outcomes[i]}, {"receiver", o->ctx.id}, {"transport", s->grpc ? "grpc" : "http"}};

        s->requests[i] =
            gw_meter_get(o->ctx.meter, GW_COUNTER, "otelcol_receiver_requests",
                         "Requests by outcome; the rows of one refused at the door are not known.", labels, 3);
    }
}

static int listen_on(struct gw_otlp *o, struct gw_otlp_shared *s, struct gw_hs_conf *hc, struct gw_err *err)
{
    int rc;

    hc->meter = o->ctx.meter;
    hc->logger = &o->logger;
    hc->listeners = o->ctx.host ? o->ctx.host->listeners : NULL;
    count_requests(o, s);
    rc = gw_hs_group_new(o->ctx.env, hc, &s->group, err);
    if (rc < 0)
        return rc;
    gw_log(&o->logger, GW_LOG_INFO, "%s on %s%s", s->grpc ? "gRPC" : "HTTP", s->e->endpoint,
           hc->tls.enabled ? " (TLS)" : "");
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct gw_otlp *o = self;
    struct gw_hs_conf hc;
    int rc = 0;

    if (o->conf->protocols.has_grpc) {
        gw_otlp_grpc_conf(&o->conf->protocols.grpc, &hc);
        rc = listen_on(o, &o->grpc, &hc, err);
    }
    if (rc == 0 && o->conf->protocols.has_http) {
        gw_otlp_http_conf(&o->conf->protocols.http, &hc);
        rc = listen_on(o, &o->http, &hc, err);
    }
    return rc;
}

/* ---- a worker's half -------------------------------------------------------------------------------------- */

static void on_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v)
{
    struct gw_otlp_local *l = local;
    struct gw_otlp_door *d;
    struct gw_hs_stream *s;
    struct gw_otlp_request *rq;

    if (!l)
        return;
    d = ack->slot & HTTP_SLOT_BIT ? &l->http : &l->grpc;
    s = d->server ? gw_hs_find(d->server, (struct gw_hs_name){ack->slot & ~HTTP_SLOT_BIT, ack->generation, ack->stream})
                  : NULL;
    rq = s ? gw_hs_user(s) : NULL; /* NULL: the client is gone */
    if (rq && !rq->answered)
        gw_otlp_answer(rq, v);
    else if (v->grpc_status == GW_OK)
        gw_metric_add(d->shared->unheard, v->rows - v->rejected);
}

static void close_local(void *local)
{
    struct gw_otlp_local *l = local;

    if (!l)
        return;
    gw_loop_remove_hook(l->loop, &l->hook);
    if (l->grpc.server)
        gw_hs_server_free(l->grpc.server);
    if (l->http.server)
        gw_hs_server_free(l->http.server);
    while (l->free) {
        struct gw_otlp_request *rq = l->free;

        l->free = rq->next;
        gw_buf_clear(&rq->wire);
        free(rq);
    }
    for (unsigned i = 0; i < GW_OTLP_METAS; i++)
        (void)gw_meta_unref(l->metas[i]);
    l->intake->local = NULL;
    gw_buf_clear(&l->identity.text);
    gw_buf_clear(&l->text);
    gw_buf_clear(&l->answer);
    free(l->small);
    free(l);
}

/* Not before open: an extension may be made after us. */
static int find_auth(struct gw_otlp *o, struct gw_otlp_door *d, struct gw_err *err)
{
    const char *id = d->shared->e->auth.authenticator;
    struct gw_host *host = o->ctx.host;
    int rc;

    if (!d->shared->group || !d->shared->e->has_auth)
        return 0;
    if (!host || !host->ops->auth)
        return gw_fail(err, -ENOENT, "no extension \"%s\"", id);
    rc = host->ops->auth(host, id, &d->auth, err);
    if (rc == 0 && !d->auth.ops->check)
        rc = gw_fail(err, -EINVAL, "extension \"%s\" cannot check requests", id);
    return rc;
}

static int open_door(struct gw_otlp_local *l, struct gw_otlp_door *d, struct gw_otlp_shared *s, struct gw_err *err)
{
    int rc;

    d->l = l;
    d->shared = s;
    d->slot_bit = s->grpc ? 0 : HTTP_SLOT_BIT;
    if (s->grpc)
        gw_otlp_grpc_handler(&d->handler);
    else
        gw_otlp_http_handler(&d->handler);
    rc = find_auth(l->o, d, err);
    return rc == 0 && s->group ? gw_hs_server_new(s->group, l->loop, &d->handler, &d->server, err) : rc;
}

static int open_local(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct gw_otlp *o = self;
    struct gw_otlp_local *l = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return gw_fail(err, -ENOMEM, "%s: out of memory", o->ctx.id);
    l->o = o;
    l->loop = loop;
    l->intake = intake;
    l->hook.run = gw_otlp_health_look;
    gw_loop_add_hook(loop, &l->hook);
    l->small = malloc(GW_OTLP_SMALL_BYTES + GW_PAYLOAD_PAD);
    gw_buf_init(&l->identity.text, ANSWER_BYTES);
    gw_buf_init(&l->text, ANSWER_BYTES);
    gw_buf_init(&l->answer, ANSWER_BYTES);
    intake->on_verdict = on_verdict;
    intake->local = l;
    intake->limits = &o->limits;
    intake->max_body_bytes =
        o->grpc.max_body_bytes > o->http.max_body_bytes ? o->grpc.max_body_bytes : o->http.max_body_bytes;
    rc = l->small ? open_door(l, &l->grpc, &o->grpc, err) : gw_fail(err, -ENOMEM, "%s: out of memory", o->ctx.id);
    if (rc == 0)
        rc = open_door(l, &l->http, &o->http, err);
    if (rc < 0) {
        close_local(l);
        return rc;
    }
    *ret_local = l;
    return 0;
}

static void quiesce(void *local)
{
    struct gw_otlp_local *l = local;

    gw_otlp_health_leave(l);
    if (l->grpc.server)
        gw_hs_server_quiesce(l->grpc.server);
    if (l->http.server)
        gw_hs_server_quiesce(l->http.server);
}

static bool is_idle(void *local)
{
    struct gw_otlp_local *l = local;

    return (!l->grpc.server || gw_hs_server_is_idle(l->grpc.server)) &&
           (!l->http.server || gw_hs_server_is_idle(l->http.server));
}

static const char *const transports[] = {"grpc", "http", NULL};

const struct gw_component gw_receiver_otlp = {
    .kind = GW_RECEIVER,
    .name = "otlp",
    .summary = "Receive OTLP over gRPC and HTTP.",
    .transports = transports,
    .signals = GW_ALL_SIGNALS,
    .fields = gw_otlp_fields,
    .conf_size = sizeof(struct gw_otlp_conf),
    .check = gw_otlp_check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .offer = offer,
    .open = open_local,
    .quiesce = quiesce,
    .is_idle = is_idle,
    .close = close_local,
};
