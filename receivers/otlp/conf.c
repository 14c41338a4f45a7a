/* SPDX-License-Identifier: Apache-2.0 */
/* The Collector's keys of configgrpc, confighttp, configtls and confignet, and limits of our own beside them. */
#include <string.h>

#include "receivers/otlp/otlp.h"

enum { MIB = 1 << 20, DEFAULT_BODY_MIB = 64, DEFAULT_STREAMS = 128 };

static const char *const transports[] = {"tcp", "tcp4", "tcp6", "unix", NULL};

#define TLS struct gw_otlp_tls
static const struct gw_field tls_fields[] = {
    GW_STRING_FIELD(TLS, cert_file, "cert_file", "", "Certificate chain, PEM."),
    GW_STRING_FIELD(TLS, cert_pem, "cert_pem", "", "The same as text."),
    GW_STRING_FIELD(TLS, key_file, "key_file", "", "Private key, PEM."),
    GW_SECRET_FIELD(TLS, key_pem, "key_pem", "The same as text."),
    GW_STRING_FIELD(TLS, ca_file, "ca_file", "", "Certificates that complete our own chain."),
    GW_STRING_FIELD(TLS, ca_pem, "ca_pem", "", "The same as text."),
    GW_STRING_FIELD(TLS, client_ca_file, "client_ca_file", "",
                    "Clients must show a certificate of one of these (mutual TLS)."),
    GW_BOOL_FIELD(TLS, client_ca_file_reload, "client_ca_file_reload", "false",
                  "Read client_ca_file again when it changes."),
    GW_BOOL_FIELD(TLS, include_system_ca_certs_pool, "include_system_ca_certs_pool", "false",
                  "The system's authorities too."),
    GW_BOOL_FIELD(TLS, include_insecure_cipher_suites, "include_insecure_cipher_suites", "false",
                  "Weak suites may be named."),
    GW_STRING_FIELD(TLS, min_version, "min_version", "1.2", "Lowest TLS version: 1.2 or 1.3 (1.0, 1.1: refused)."),
    GW_STRING_FIELD(TLS, max_version, "max_version", "", "Highest TLS version."),
    GW_DURATION_FIELD(TLS, reload_interval_ns, "reload_interval", "0", 0, 0,
                      "How often the files are looked at; 0: every 30 s."),
    GW_STRINGS_FIELD(TLS, cipher_suites, "cipher_suites", "Suites of TLS 1.2, by their IANA names."),
    GW_STRINGS_FIELD(TLS, curve_preferences, "curve_preferences", "Key exchange groups: X25519, P256, P384, P521."),
    {0},
};

#define AUTH struct gw_otlp_auth
static const struct gw_field grpc_auth_fields[] = {
    GW_ID_FIELD(AUTH, authenticator, "authenticator", 1u << GW_EXTENSION,
                "Extension that is asked about each request."),
    {0},
};
static const struct gw_field http_auth_fields[] = {
    GW_ID_FIELD(AUTH, authenticator, "authenticator", 1u << GW_EXTENSION,
                "Extension that is asked about each request."),
    GW_STRINGS_FIELD(AUTH, request_params, "request_params", "Query parameters that count as headers for it."),
    {0},
};

/* Rows that both protocols have, with T the protocol's struct. */
#define COMMON_FIELDS(T, port, auth_table)                                                                             \
    GW_STRING_FIELD(T, e.endpoint, "endpoint", "localhost:" port, "host:port, or a path with transport unix."),        \
        GW_ENUM_FIELD(T, e.transport, "transport", "tcp", transports, "tcp, tcp4, tcp6 or unix."),                     \
        GW_OPTIONAL_BLOCK_FIELD(T, e.tls, e.has_tls, "tls", tls_fields, 0, "TLS; without it the port is plain."),      \
        GW_OPTIONAL_BLOCK_FIELD(T, e.auth, e.has_auth, "auth", auth_table, 0,                                          \
                                "Who may send; asked before a body is read."),                                         \
        GW_BOOL_FIELD(T, e.include_metadata, "include_metadata", "false",                                              \
                      "Keep the request's headers with its rows (for metadata_keys and the like). Left out: what "     \
                      "differs by request (content-length, connection, te, expect, date)."),                           \
        {.name = "middlewares",                                                                                        \
         .type = GW_F_ANY,                                                                                             \
         .offset = 0,                                                                                                  \
         .flags = GW_FF_PLANNED,                                                                                       \
         .help = "Middleware extensions."},                                                                            \
        GW_U64_FIELD(T, e.max_connections, "max_connections", "0", 0, 1e6, "Connections at once; 0: no limit."),       \
        GW_U64_FIELD(T, e.connect_burst, "connect_burst", "20000", 1, 1e6,                                             \
                     "New connections that one address (IPv6: one /64) may open at once."),                            \
        GW_U64_FIELD(T, e.connect_per_s, "connect_per_second", "10000", 0, 1e6,                                        \
                     "And so many a second; beyond that they are closed as soon as they are accepted. 0: no limit."),  \
        GW_U64_FIELD(T, e.max_header_bytes, "max_header_bytes", "16384", 1024, 1 << 20,                                \
                     "Most bytes of a request's head."),                                                               \
        GW_U64_FIELD(T, e.max_headers, "max_headers", "100", 8, 256, "Most headers of a request."),                    \
        GW_DURATION_FIELD(T, e.body_idle_timeout_ns, "body_idle_timeout", "30s", 1e6, 1e15,                            \
                          "A body that stands still so long, or comes at less than 1 KiB a second, is cut off."),      \
        GW_U64_FIELD(T, e.initial_window_bytes, "initial_window_bytes", "65535", 65535, 1 << 30,                       \
                     "HTTP/2 window of a stream at first."),                                                           \
        GW_U64_FIELD(T, e.max_window_bytes, "max_window_bytes", "1048576", 65535, 1 << 30,                             \
                     "What it grows to while there is memory; a connection's is 16 times that."),                      \
        GW_U64_FIELD(T, e.bucket_burst, "abuse_burst", "200", 1, 1e6,                                                  \
                     "HTTP/2 frames that cost us and serve nobody (resets, pings, ...): so many at once."),            \
        GW_U64_FIELD(T, e.bucket_per_s, "abuse_per_second", "20", 1, 1e6,                                              \
                     "And so many a second; over it the connection is cut.")

#define GRPC   struct gw_otlp_grpc
#define SERVER struct gw_otlp_server_parameters
static const struct gw_field server_parameters[] = {
    GW_DURATION_FIELD(SERVER, max_connection_idle_ns, "max_connection_idle", "0", 0, 0,
                      "A connection without calls ends after it; 0: never."),
    GW_DURATION_FIELD(SERVER, max_connection_age_ns, "max_connection_age", "0", 0, 0,
                      "A connection ends after it (10 % jitter); 0: never."),
    GW_DURATION_FIELD(SERVER, max_connection_age_grace_ns, "max_connection_age_grace", "0", 0, 0,
                      "What calls under way get on top; 0: all the time they need."),
    GW_DURATION_FIELD(SERVER, time_ns, "time", "2h", 1e9, 1e17, "Ping a silent client so often."),
    GW_DURATION_FIELD(SERVER, timeout_ns, "timeout", "20s", 1e6, 1e15, "And wait so long for its answer."),
    {0},
};
#define ENFORCEMENT struct gw_otlp_enforcement
static const struct gw_field enforcement_policy[] = {
    GW_DURATION_FIELD(ENFORCEMENT, min_time_ns, "min_time", "5m", 0, 0, "Clients may not ping more often."),
    GW_BOOL_FIELD(ENFORCEMENT, permit_without_stream, "permit_without_stream", "false",
                  "They may ping without a call under way."),
    {0},
};
#define KEEPALIVE struct gw_otlp_keepalive
static const struct gw_field keepalive_fields[] = {
    GW_BLOCK_FIELD(KEEPALIVE, server_parameters, "server_parameters", server_parameters,
                   "Ages and pings of connections."),
    GW_BLOCK_FIELD(KEEPALIVE, enforcement_policy, "enforcement_policy", enforcement_policy, "What clients may do."),
    {0},
};
static const struct gw_field grpc_fields[] = {
    COMMON_FIELDS(GRPC, "4317", grpc_auth_fields),
    GW_U64_FIELD(GRPC, max_recv_msg_size_mib, "max_recv_msg_size_mib", "0", 0, 1024,
                 "Longest message, as sent and again after decompression; 0: 64 (OTLP's own recommendation)."),
    GW_U64_FIELD(GRPC, e.max_concurrent_streams, "max_concurrent_streams", "0", 0, 1e6,
                 "Calls at once on a connection; 0: 128."),
    {GW_FIELD_(GRPC, read_buffer_size, "read_buffer_size", GW_F_U64, "524288", 0, 0,
               "Reads go straight to the decoder."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(GRPC, write_buffer_size, "write_buffer_size", GW_F_U64, "0", 0, 0, "Answers are some bytes each."),
     .flags = GW_FF_NO_EFFECT},
    GW_BLOCK_FIELD(GRPC, keepalive, "keepalive", keepalive_fields, "How long connections live."),
    GW_DURATION_FIELD(GRPC, e.header_timeout_ns, "header_timeout", "10s", 1e6, 1e15,
                      "A TLS handshake or a head that takes longer is cut off."),
    {0},
};

#define CORS struct gw_otlp_cors
static const struct gw_field cors_fields[] = {
    GW_STRINGS_FIELD(CORS, allowed_origins, "allowed_origins", "Origins that may send, each with at most one *."),
    GW_STRINGS_FIELD(CORS, allowed_headers, "allowed_headers",
                     "Headers that they may set beside Accept, Content-Type and X-Requested-With; * is all."),
    GW_STRINGS_FIELD(CORS, exposed_headers, "exposed_headers", "Headers of the answer that scripts may read."),
    GW_I64_FIELD(CORS, max_age, "max_age", "0", -1, 1e9, "Seconds that a preflight's answer is good for; -1: none."),
    {0},
};

#define HTTP struct gw_otlp_http
static const struct gw_field http_fields[] = {
    COMMON_FIELDS(HTTP, "4318", http_auth_fields),
    GW_OPTIONAL_BLOCK_FIELD(HTTP, cors, has_cors, "cors", cors_fields, 0, "Cross-origin requests of browsers."),
    GW_U64_FIELD(HTTP, max_request_body_size, "max_request_body_size", "0", 0, 1 << 30,
                 "Longest body in bytes, as sent and again after decompression; 0: 64 MiB."),
    GW_U64_FIELD(HTTP, e.max_concurrent_streams, "max_concurrent_streams", "0", 0, 1e6,
                 "HTTP/2: requests at once on a connection; 0: 128."),
    GW_HEADERS_FIELD(HTTP, response_headers, "response_headers", "Added to every answer (16 at most)."),
    GW_STRINGS_FIELD(
        HTTP, compression_algorithms, "compression_algorithms",
        "Content encodings that are taken; none given: all of \"\", gzip, zstd, zlib, snappy, deflate, lz4, "
        "x-snappy-framed."),
    GW_DURATION_FIELD(HTTP, read_timeout_ns, "read_timeout", "0", 0, 0, "For a whole request; 0: none."),
    GW_DURATION_FIELD(HTTP, read_header_timeout_ns, "read_header_timeout", "0", 0, 0, "For its head; 0: 10 s."),
    GW_DURATION_FIELD(HTTP, write_timeout_ns, "write_timeout", "0", 0, 0, "From the request to its answer; 0: none."),
    GW_DURATION_FIELD(HTTP, idle_timeout_ns, "idle_timeout", "0", 0, 0, "Between requests; 0: read_timeout."),
    GW_BOOL_FIELD(HTTP, keep_alives, "keep_alives_enabled", "true", "Several requests on a connection."),
    GW_STRING_FIELD(HTTP, traces_url_path, "traces_url_path", "/v1/traces", "Path for traces."),
    GW_STRING_FIELD(HTTP, metrics_url_path, "metrics_url_path", "/v1/metrics", "Path for metrics."),
    GW_STRING_FIELD(HTTP, logs_url_path, "logs_url_path", "/v1/logs", "Path for logs."),
    {0},
};

#define PROTOCOLS struct gw_otlp_protocols
static const struct gw_field protocol_fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(PROTOCOLS, grpc, has_grpc, "grpc", grpc_fields, GW_FF_NULL_IS_ON, "OTLP over gRPC."),
    GW_OPTIONAL_BLOCK_FIELD(PROTOCOLS, http, has_http, "http", http_fields, GW_FF_NULL_IS_ON,
                            "OTLP over HTTP/1.1 and HTTP/2, protobuf and JSON."),
    {0},
};
#define TENANT struct gw_otlp_tenant
static const struct gw_field tenant_fields[] = {
    GW_STRING_FIELD(TENANT, from_auth, "from_auth", "",
                    "What the authenticator found out under this name (username, subject); goes before from_header."),
    GW_STRING_FIELD(TENANT, from_header, "from_header", "",
                    "Header that names the tenant, such as x-scope-orgid; 128 bytes at most."),
    GW_STRING_FIELD(TENANT, def, "default", "", "Who sends without a name."),
    {0},
};
#define LIMITS struct gw_otlp_limits
static const struct gw_field limit_fields[] = {
    GW_U64_FIELD(LIMITS, rows, "records", "10485760", 1, 1e9, "Most spans, points or log records of one request."),
    GW_U64_FIELD(LIMITS, depth, "depth", "64", 1, 64, "Nesting of attribute values."),
    GW_U64_FIELD(LIMITS, decode_bytes_per_byte, "decoded_bytes_per_byte", "4", 1, 64,
                 "Memory that decoding may take, as a multiple of the body."),
    {0},
};

#define CONF struct gw_otlp_conf
const struct gw_field gw_otlp_fields[] = {
    GW_BLOCK_FIELD(CONF, protocols, "protocols", protocol_fields, "At least one; each is switched on by its key."),
    GW_BLOCK_FIELD(CONF, tenant, "tenant", tenant_fields, "Whom a request belongs to."),
    GW_BLOCK_FIELD(CONF, limits, "limits", limit_fields, "What one request may hold."),
    {0},
};

static void check_endpoint(const struct gw_otlp_endpoint *e, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_otlp_tls *t = &e->tls;
    const struct gw_node *tls = gw_node_get(node, "tls");

    if (e->has_auth && !*e->auth.authenticator)
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "auth")->place, "auth needs an authenticator");
    if (e->max_window_bytes < e->initial_window_bytes)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place, "max_window_bytes is smaller than initial_window_bytes");
    if (!e->has_tls)
        return;
    if ((!*t->cert_file && !*t->cert_pem) || (!*t->key_file && !*t->key_pem))
        gw_diag_add(diag, GW_DIAG_ERROR, &tls->place, "tls needs a certificate and its key (cert_file, key_file)");
    if ((*t->cert_file && *t->cert_pem) || (*t->key_file && *t->key_pem) || (*t->ca_file && *t->ca_pem))
        gw_diag_add(diag, GW_DIAG_ERROR, &tls->place,
                    "tls takes a file or a text for each of cert, key and ca, not both");
}

/* What goes into every answer must not end a line there. */
static bool is_header(const struct gw_map_entry *e)
{
    for (const char *p = e->key; *p; p++)
        if (*p <= ' ' || *p == ':' || *p >= 0x7f)
            return false;
    return *e->key && !strpbrk(e->value, "\r\n");
}

static void check_http(const struct gw_otlp_http *h, const struct gw_node *node, struct gw_diag *diag)
{
    const char *const *codecs = h->compression_algorithms.items;
    const char *paths[3] = {h->traces_url_path, h->metrics_url_path, h->logs_url_path};

    check_endpoint(&h->e, node, diag);
    for (size_t i = 0; i < h->compression_algorithms.n; i++)
        if (gw_codec_parse(gw_slice_cstr(codecs[i])) == GW_CODEC_UNKNOWN)
            gw_diag_add(
                diag, GW_DIAG_ERROR, &gw_node_get(node, "compression_algorithms")->place,
                "unknown compression algorithm \"%s\": gzip, zstd, zlib, deflate, snappy, x-snappy-framed, lz4 or \"\"",
                codecs[i]);
    if (h->response_headers.n > GW_OTLP_RESPONSE_HEADERS)
        gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "response_headers")->place, "more than %d response_headers",
                    GW_OTLP_RESPONSE_HEADERS);
    for (size_t i = 0; i < h->response_headers.n; i++)
        if (!is_header(&h->response_headers.entries[i]))
            gw_diag_add(diag, GW_DIAG_ERROR, &gw_node_get(node, "response_headers")->place, "\"%s\" is no header",
                        h->response_headers.entries[i].key);
    for (unsigned i = 0; i < 3; i++)
        if (!*paths[i] || strcmp(paths[i], paths[(i + 1) % 3]) == 0)
            gw_diag_add(diag, GW_DIAG_ERROR, &node->place, "the three url paths must be set and differ");
    if (h->has_cors && h->cors.allowed_origins.n == 0 && h->cors.allowed_headers.n > 0)
        gw_diag_add(diag, GW_DIAG_WARNING, &gw_node_get(node, "cors")->place,
                    "cors has allowed_headers but no allowed_origins: it has no effect");
}

void gw_otlp_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_otlp_conf *c = conf;
    const struct gw_node *protocols = gw_node_get(node, "protocols");

    if (!c->protocols.has_grpc && !c->protocols.has_http)
        gw_diag_add(diag, GW_DIAG_ERROR,
                    protocols ? &protocols->place
                    : node    ? &node->place
                              : NULL,
                    "must specify at least one protocol when using the OTLP receiver");
    if (c->protocols.has_grpc)
        check_endpoint(&c->protocols.grpc.e, gw_node_get(protocols, "grpc"), diag);
    if (c->protocols.has_http)
        check_http(&c->protocols.http, gw_node_get(protocols, "http"), diag);
}

static void endpoint_conf(const struct gw_otlp_endpoint *e, struct gw_hs_conf *ret)
{
    const struct gw_otlp_tls *t = &e->tls;

    *ret = (struct gw_hs_conf){
        .endpoint = e->endpoint,
        .transport = transports[e->transport],
        .max_header_bytes = (uint32_t)e->max_header_bytes,
        .max_headers = (uint32_t)e->max_headers,
        .max_concurrent_streams = e->max_concurrent_streams ? (uint32_t)e->max_concurrent_streams : DEFAULT_STREAMS,
        .initial_window_bytes = (uint32_t)e->initial_window_bytes,
        .max_window_bytes = (uint32_t)e->max_window_bytes,
        .max_connections = (uint32_t)e->max_connections,
        .connect_burst = (uint32_t)e->connect_burst,
        .connect_per_s = (uint32_t)e->connect_per_s,
        .body_idle_timeout_ns = e->body_idle_timeout_ns,
        .header_timeout_ns = e->header_timeout_ns,
        .bucket_burst = (uint32_t)e->bucket_burst,
        .bucket_per_s = (uint32_t)e->bucket_per_s,
        .keep_alives = true,
    };
    if (!e->has_tls)
        return;
    ret->tls = (struct gw_server_tls){
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

void gw_otlp_grpc_conf(const struct gw_otlp_grpc *g, struct gw_hs_conf *ret)
{
    endpoint_conf(&g->e, ret);
    ret->protocols = GW_HS_HTTP2;
    ret->max_connection_idle_ns = g->keepalive.server_parameters.max_connection_idle_ns;
    ret->max_connection_age_ns = g->keepalive.server_parameters.max_connection_age_ns;
    ret->max_connection_age_grace_ns = g->keepalive.server_parameters.max_connection_age_grace_ns;
    ret->keepalive_time_ns = g->keepalive.server_parameters.time_ns;
    ret->keepalive_timeout_ns = g->keepalive.server_parameters.timeout_ns;
    ret->keepalive_min_ns = g->keepalive.enforcement_policy.min_time_ns;
    ret->keepalive_without_stream = g->keepalive.enforcement_policy.permit_without_stream;
}

void gw_otlp_http_conf(const struct gw_otlp_http *h, struct gw_hs_conf *ret)
{
    endpoint_conf(&h->e, ret);
    ret->protocols = GW_HS_HTTP1 | GW_HS_HTTP2;
    ret->header_timeout_ns = h->read_header_timeout_ns ? h->read_header_timeout_ns : (uint64_t)10 * 1000000000;
    ret->read_timeout_ns = h->read_timeout_ns;
    ret->write_timeout_ns = h->write_timeout_ns;
    ret->idle_timeout_ns = h->idle_timeout_ns ? h->idle_timeout_ns : h->read_timeout_ns;
    ret->keep_alives = h->keep_alives;
    ret->keepalive_time_ns = (uint64_t)7200 * 1000000000;
    ret->keepalive_timeout_ns = (uint64_t)20 * 1000000000;
    ret->keepalive_min_ns = 0; /* enforcement is gRPC's: clients of plain HTTP/2 ping as they like, within the bucket */
}
