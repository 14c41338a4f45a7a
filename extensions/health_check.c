/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health_check: an HTTP endpoint for probes.
 *
 *     extensions:
 *       health_check: { endpoint: "localhost:13133" }
 *
 * 200 while receivers take requests, 503 before the start and from the first moment of the drain.
 */
#include <stdlib.h>
#include <time.h>

#include "net/http_server.h"
#include "pipeline/component.h"
#include "pipeline/host.h"

enum { MAX_BODY_BYTES = 65536, MAX_RESPONSE_HEADERS = 32 };

struct bodies {
    const char *healthy, *unhealthy;
};

struct tls {
    const char *cert_file, *cert_pem, *key_file, *key_pem, *ca_file, *ca_pem, *client_ca_file, *min_version,
        *max_version;
    bool client_ca_file_reload, include_system_ca_certs_pool, include_insecure_cipher_suites;
    uint64_t reload_interval_ns;
    struct gw_list cipher_suites, curve_preferences;
};

struct auth_conf {
    const char *authenticator;
};

struct conf {
    const char *endpoint, *transport, *path;
    bool has_bodies, has_tls;
    struct bodies bodies;
    struct tls tls;
    struct auth_conf auth;
    struct gw_map headers;
    const struct gw_node *pipeline_check, *cors;
};

struct self {
    const struct conf *conf;
    struct gw_ctx ctx;
    struct gw_auth auth;
    struct gw_hs_group *group; /* its local half's */
};

/* What lives on the loop. */
struct local {
    struct gw_hs_handler handler; /* first */
    struct self *self;
    struct gw_hs_group *group;
    struct gw_hs_server *server;
};

#define B struct bodies
static const struct gw_field body_fields[] = {
    GW_STRING_FIELD(B, healthy, "healthy", "", "Answer while healthy, instead of the JSON object."),
    GW_STRING_FIELD(B, unhealthy, "unhealthy", "", "Answer while not healthy, instead of the JSON object."),
    {0},
};
#undef B

#define T struct tls
static const struct gw_field tls_fields[] = {
    GW_STRING_FIELD(T, cert_file, "cert_file", "", "The server's certificate chain, PEM."),
    GW_STRING_FIELD(T, cert_pem, "cert_pem", "", "The same as text."),
    GW_STRING_FIELD(T, key_file, "key_file", "", "Its private key, PEM."),
    GW_SECRET_FIELD(T, key_pem, "key_pem", "The same as text."),
    GW_STRING_FIELD(T, ca_file, "ca_file", "", "Authorities to trust, PEM."),
    GW_STRING_FIELD(T, ca_pem, "ca_pem", "", "The same as text."),
    GW_STRING_FIELD(T, client_ca_file, "client_ca_file", "", "Clients must show a certificate of these authorities."),
    GW_BOOL_FIELD(T, client_ca_file_reload, "client_ca_file_reload", "false", "Look at client_ca_file again."),
    GW_DURATION_FIELD(T, reload_interval_ns, "reload_interval", "0", 0, 1e18, "How often files are looked at."),
    GW_STRING_FIELD(T, min_version, "min_version", "1.2", "Lowest TLS version."),
    GW_STRING_FIELD(T, max_version, "max_version", "", "Highest TLS version; empty = the newest."),
    GW_STRINGS_FIELD(T, cipher_suites, "cipher_suites", "Allowed cipher suites of TLS 1.2."),
    GW_STRINGS_FIELD(T, curve_preferences, "curve_preferences", "Allowed key exchange groups."),
    GW_BOOL_FIELD(T, include_insecure_cipher_suites, "include_insecure_cipher_suites", "false",
                  "Allow suites that are known to be weak."),
    GW_BOOL_FIELD(T, include_system_ca_certs_pool, "include_system_ca_certs_pool", "false",
                  "Trust the system's authorities too."),
    {0},
};
#undef T

static const struct gw_field auth_fields[] = {
    GW_ID_FIELD(struct auth_conf, authenticator, "authenticator", 1u << GW_EXTENSION, "Extension that checks callers."),
    {0},
};

#define C struct conf
static const struct gw_field fields[] = {
    GW_STRING_FIELD(C, endpoint, "endpoint", "localhost:13133", "Address to listen on."),
    GW_STRING_FIELD(C, transport, "transport", "tcp", "tcp, tcp4, tcp6 or unix."),
    GW_STRING_FIELD(C, path, "path", "/", "Path of the answer; \"/\" stands for every path."),
    GW_OPTIONAL_BLOCK_FIELD(C, bodies, has_bodies, "response_body", body_fields, 0, "Own texts to answer with."),
    GW_OPTIONAL_BLOCK_FIELD(C, tls, has_tls, "tls", tls_fields, 0, "Serve over TLS."),
    GW_BLOCK_FIELD(C, auth, "auth", auth_fields, "Ask callers for credentials."),
    GW_MAP_FIELD(C, headers, "response_headers", "Headers to add to every answer."),
    {GW_FIELD_(C, pipeline_check, "check_collector_pipeline", GW_F_ANY, NULL, 0, 0,
               "Was removed from the Collector as well."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(C, cors, "cors", GW_F_ANY, NULL, 0, 0, "Probes are no browsers."), .flags = GW_FF_NO_EFFECT},
    {0},
};
#undef C

/* ---- answers ---------------------------------------------------------------------------------------------- */

static void put_time(struct gw_buf *b, uint64_t wall_ns)
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    char text[40];
    struct tm tm;

    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    gw_buf_printf(b, "%s.%09uZ", text, (unsigned)(wall_ns % 1000000000u));
}

/* As Go prints a time.Duration: 1m30.5s. Below a second it has units of its own: shown as a fraction here. */
static void put_uptime(struct gw_buf *b, uint64_t ns)
{
    uint64_t s = ns / 1000000000u;

    if (s >= 3600)
        gw_buf_printf(b, "%lluh", (unsigned long long)(s / 3600));
    if (s >= 60)
        gw_buf_printf(b, "%llum", (unsigned long long)(s / 60 % 60));
    gw_buf_printf(b, "%.9gs", (double)(s % 60) + (double)(ns % 1000000000u) / 1e9);
}

static void put_json(struct self *s, struct gw_buf *b, bool ready)
{
    uint64_t since = s->ctx.host->ops->started_ns(s->ctx.host), now = gw_wall_ns(s->ctx.env);

    if (!ready) {
        gw_buf_put_str(b, "{\"status\":\"Server not available\",\"upSince\":\"0001-01-01T00:00:00Z\",\"uptime\":\"\"}");
        return;
    }
    gw_buf_put_str(b, "{\"status\":\"Server available\",\"upSince\":\"");
    put_time(b, since);
    gw_buf_put_str(b, "\",\"uptime\":\"");
    put_uptime(b, now > since ? now - since : 0);
    gw_buf_put_str(b, "\"}");
}

static void respond(struct self *s, struct gw_hs_stream *stream, int status, const char *type, struct gw_slice body)
{
    struct gw_header h[MAX_RESPONSE_HEADERS + 1] = {{GW_SLICE("content-type"), gw_slice_cstr(type)}};
    struct gw_hs_response r = {.status = status, .headers = h, .n_headers = 1, .body = body};

    for (size_t i = 0; i < s->conf->headers.n && r.n_headers <= MAX_RESPONSE_HEADERS; i++)
        h[r.n_headers++] = (struct gw_header){gw_slice_cstr(s->conf->headers.entries[i].key),
                                              gw_slice_cstr(s->conf->headers.entries[i].value)};
    gw_hs_respond(stream, &r);
}

struct header_look_up {
    struct gw_header_source hs; /* first */
    const struct gw_hs_head *head;
};

static bool get_header(const struct gw_header_source *hs, struct gw_slice name, struct gw_slice *ret)
{
    const struct gw_hs_head *head = ((const struct header_look_up *)hs)->head;

    for (unsigned i = 0; i < head->n_headers; i++)
        if (gw_slice_eq(head->headers[i].name, name)) {
            *ret = head->headers[i].value;
            return true;
        }
    return false;
}

static bool may_ask(struct self *s, const struct gw_hs_head *head)
{
    struct header_look_up look = {{get_header}, head};
    struct gw_identity who = {0};
    bool yes;

    if (!s->auth.ops)
        return true;
    gw_buf_init(&who.text, 4096);
    yes = s->auth.ops->check(s->auth.self, &look.hs, &who, NULL) == 0;
    gw_buf_clear(&who.text);
    return yes;
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *stream, const struct gw_hs_head *head)
{
    struct self *s = ((struct local *)h)->self;
    bool ready = s->ctx.host->ops->is_ready(s->ctx.host);
    const char *own = ready ? s->conf->bodies.healthy : s->conf->bodies.unhealthy;
    struct gw_buf b;

    if (strcmp(s->conf->path, "/") != 0 && !gw_slice_is(head->path, s->conf->path)) {
        respond(s, stream, 404, "text/plain; charset=utf-8", GW_SLICE("404 page not found\n"));
        return;
    }
    if (!may_ask(s, head)) {
        respond(s, stream, 401, "text/plain; charset=utf-8", GW_SLICE("401 Unauthorized\n"));
        return;
    }
    gw_buf_init(&b, MAX_BODY_BYTES);
    if (s->conf->has_bodies)
        gw_buf_put_str(&b, own);
    else
        put_json(s, &b, ready);
    respond(s, stream, ready ? 200 : 503, s->conf->has_bodies ? "text/plain; charset=utf-8" : "application/json",
            gw_buf_slice(&b));
    gw_buf_clear(&b);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    (void)h;
    (void)s;
    (void)chunk;
}

static void on_stream(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)h;
    (void)s;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = *ctx;
    *ret_self = s;
    return 0;
}

static struct gw_server_tls server_tls(const struct conf *c)
{
    const struct tls *t = &c->tls;

    if (!c->has_tls)
        return (struct gw_server_tls){.enabled = false};
    return (struct gw_server_tls){
        .enabled = true,
        .cert_file = t->cert_file,
        .cert_pem = t->cert_pem,
        .key_file = t->key_file,
        .key_pem = t->key_pem,
        .ca_file = t->ca_file,
        .ca_pem = t->ca_pem,
        .client_ca_file = t->client_ca_file,
        .client_ca_file_reload = t->client_ca_file_reload,
        .include_system_ca_certs_pool = t->include_system_ca_certs_pool,
        .include_insecure_cipher_suites = t->include_insecure_cipher_suites,
        .reload_interval_ns = t->reload_interval_ns,
        .min_version = t->min_version,
        .max_version = t->max_version,
        .cipher_suites = t->cipher_suites.items,
        .n_cipher_suites = (unsigned)t->cipher_suites.n,
        .curve_preferences = t->curve_preferences.items,
        .n_curve_preferences = (unsigned)t->curve_preferences.n,
    };
}

static void close_local(void *local)
{
    struct local *l = local;

    if (!l)
        return;
    if (l->server)
        gw_hs_server_free(l->server);
    if (l->group)
        gw_hs_group_free(l->group);
    free(l);
}

static int open_local(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct self *s = self;
    struct gw_hs_conf hs = {
        .endpoint = s->conf->endpoint,
        .transport = s->conf->transport,
        .protocols = GW_HS_HTTP1,
        .tls = server_tls(s->conf),
        .max_header_bytes = 16384,
        .max_headers = 100,
        .max_connections = 256,
        .header_timeout_ns = 10000000000u,
        .body_idle_timeout_ns = 10000000000u,
        .idle_timeout_ns = 60000000000u,
        .write_timeout_ns = 10000000000u,
        .keep_alives = true,
        .meter = NULL,
        .logger = &s->ctx.logger,
        .listeners = s->ctx.host->listeners,
    };
    struct local *l = calloc(1, sizeof(*l));
    int rc;

    (void)intake;
    if (!l)
        return gw_fail(err, -ENOMEM, "out of memory");
    l->handler = (struct gw_hs_handler){.head = on_head, .body = on_body, .end = on_stream, .gone = on_stream};
    l->self = s;
    rc = *s->conf->auth.authenticator ? s->ctx.host->ops->auth(s->ctx.host, s->conf->auth.authenticator, &s->auth, err)
                                      : 0;
    if (rc == 0)
        rc = gw_hs_group_new(s->ctx.env, &hs, &l->group, err);
    if (rc == 0)
        rc = gw_hs_server_new(l->group, loop, &l->handler, &l->server, err);
    s->group = rc == 0 ? l->group : NULL;
    if (rc < 0) {
        close_local(l);
        return rc;
    }
    *ret_local = l;
    return 0;
}

static void offer(void *self, struct gw_listeners *to)
{
    gw_hs_group_offer(((struct self *)self)->group, to);
}

const struct gw_component gw_extension_health_check = {
    .kind = GW_EXTENSION,
    .name = "health_check",
    .summary = "An HTTP endpoint for probes: 200 while requests are taken, else 503.",
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = free,
    .offer = offer,
    .open = open_local,
    .close = close_local,
};
