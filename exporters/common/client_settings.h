/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings that several exporters share, spelled as the Collector's configtls, confighttp and configcompression.
 * A block is a table; keys that stand flat in an exporter's own block are macros for its table.
 */
#ifndef GW_EXPORTERS_COMMON_CLIENT_SETTINGS_H
#define GW_EXPORTERS_COMMON_CLIENT_SETTINGS_H

#include "config/schema.h"
#include "core/buf.h"
#include "core/client.h"
#include "net/compress.h"
#include "pipeline/component.h"
#include "pipeline/host.h"

/* ---- tls ---------------------------------------------------------------------------------------------------- */

struct gw_tls_settings {
    bool insecure, insecure_skip_verify, include_system_ca_certs_pool;
    const char *ca_file, *ca_pem, *cert_file, *cert_pem, *key_file, *key_pem, *server_name_override;
    int min_version, max_version;
    uint64_t reload_interval_ns;
    const struct gw_node *ignored;
    struct gw_list planned;
};
extern const struct gw_field gw_tls_fields[];
/** Owner: the result borrows the settings. */
struct gw_client_tls gw_tls_of(const struct gw_tls_settings *s);

/* ---- auth, headers ------------------------------------------------------------------------------------------ */

struct gw_auth_settings {
    const char *authenticator;
};
extern const struct gw_field gw_auth_fields[];

/** The client side of an authenticator, looked up by id. ret->ops is NULL when none is configured. */
int gw_auth_find(const struct gw_ctx *ctx, const struct gw_auth_settings *s, struct gw_auth *ret, struct gw_err *err);

/* ---- compression -------------------------------------------------------------------------------------------- */

struct gw_compression_settings {
    int64_t level;
};
extern const struct gw_field gw_compression_params_fields[];
/** One mistake when the level is none that the codec has; `node` is the exporter's block. */
void gw_compression_check(enum gw_codec codec, int64_t level, const struct gw_node *node, struct gw_diag *diag);
/** As gw_compress takes it: 0 = the codec's usual one. */
int gw_compression_level(enum gw_codec codec, int64_t level);

/* ---- an HTTP client ------------------------------------------------------------------------------------------ */

struct gw_cookies_settings {
    bool enabled;
};
extern const struct gw_field gw_cookies_fields[];

struct gw_http_settings {
    const char *endpoint, *proxy_url;
    struct gw_tls_settings tls;
    struct gw_map headers;
    struct gw_auth_settings auth;
    bool has_auth, has_cookies, disable_keep_alives, force_attempt_http2;
    struct gw_cookies_settings cookies;
    int compression; /* into gw_http_compressions */
    struct gw_compression_settings compression_params;
    uint64_t max_idle_conns, max_idle_conns_per_host, max_conns_per_host, idle_conn_timeout_ns;
    uint64_t read_buffer_size, write_buffer_size;
    uint64_t ignored_ns;
    const struct gw_node *planned;
};

extern const char *const gw_http_compressions[];
enum gw_codec gw_http_codec(const struct gw_http_settings *s);

#define GW_HTTP_FIELDS(T, m, default_compression, default_write_buffer)                                                \
    GW_STRING_FIELD(T, m.endpoint, "endpoint", "", "URL of the server, such as https://collector:4318."),              \
        GW_STRING_FIELD(T, m.proxy_url, "proxy_url", "",                                                               \
                        "Proxy; without it http_proxy, https_proxy, no_proxy count."),                                 \
        GW_BLOCK_FIELD(T, m.tls, "tls", gw_tls_fields, "TLS to the server."),                                          \
        GW_HEADERS_FIELD(T, m.headers, "headers", "Headers of every request."),                                        \
        GW_OPTIONAL_BLOCK_FIELD(T, m.auth, m.has_auth, "auth", gw_auth_fields, 0, "Authenticator extension to use."),  \
        GW_OPTIONAL_BLOCK_FIELD(T, m.cookies, m.has_cookies, "cookies", gw_cookies_fields, GW_FF_NULL_IS_ON,           \
                                "Keep cookies that the server sets."),                                                 \
        GW_ENUM_FIELD(T, m.compression, "compression", default_compression, gw_http_compressions,                      \
                      "Content-Encoding of the body."),                                                                \
        GW_BLOCK_FIELD(T, m.compression_params, "compression_params", gw_compression_params_fields, "Of the codec."),  \
        GW_U64_FIELD(T, m.max_idle_conns, "max_idle_conns", "100", 0, 1e6, "Idle connections kept; 0 = no limit."),    \
        GW_U64_FIELD(T, m.max_idle_conns_per_host, "max_idle_conns_per_host", "0", 0, 1e6,                             \
                     "The same per host; 0 = as max_idle_conns."),                                                     \
        GW_U64_FIELD(T, m.max_conns_per_host, "max_conns_per_host", "0", 0, 1e6,                                       \
                     "Connections per host; 0 = no limit."),                                                           \
        GW_DURATION_FIELD(T, m.idle_conn_timeout_ns, "idle_conn_timeout", "90s", 0, 1e18,                              \
                          "An idle connection is not used again after it; 0 = never."),                                \
        GW_BOOL_FIELD(T, m.disable_keep_alives, "disable_keep_alives", "false", "A connection for every request."),    \
        GW_BOOL_FIELD(T, m.force_attempt_http2, "force_attempt_http2", "true", "Offer HTTP/2 in the TLS handshake."),  \
        GW_U64_FIELD(T, m.read_buffer_size, "read_buffer_size", "0", 0, 1 << 19, "Bytes; 0 = the library's 16 KiB."),  \
        GW_U64_FIELD(T, m.write_buffer_size, "write_buffer_size", default_write_buffer, 0, 1 << 21,                    \
                     "Bytes; 0 = the library's 64 KiB."),                                                              \
        {GW_FIELD_(T, m.ignored_ns, "http2_read_idle_timeout", GW_F_DURATION, "0", 0, 0,                               \
                   "The library watches HTTP/2 connections itself."),                                                  \
         .flags = GW_FF_NO_EFFECT},                                                                                    \
        {GW_FIELD_(T, m.ignored_ns, "http2_ping_timeout", GW_F_DURATION, "0", 0, 0,                                    \
                   "The library watches HTTP/2 connections itself."),                                                  \
         .flags = GW_FF_NO_EFFECT},                                                                                    \
    {                                                                                                                  \
        GW_FIELD_(T, m.planned, "middlewares", GW_F_ANY, NULL, 0, 0, "Middleware extensions."), .flags = GW_FF_PLANNED \
    }

/** The client's configuration; max_response_bytes is the caller's to set. Owner: borrows the settings. */
struct gw_http_client_conf gw_http_client_conf_of(const struct gw_http_settings *s, const char *user_agent);
/** The rules between settings; node is the exporter's block. */
void gw_http_settings_check(const struct gw_http_settings *s, const struct gw_node *node, struct gw_diag *diag);
/** A value of the configured headers (names compared without case), or NULL. */
const char *gw_map_header(const struct gw_map *headers, const char *name);

/** "Staunch/0.1.0 (linux/amd64)" */
const char *gw_user_agent(void);

enum { GW_MAX_ENDPOINT_LABEL = 256 };
/** A URL as labels and lines of a log show it: without user, password and query. */
void gw_shown_endpoint(const char *url, char *buf, size_t size);

#endif
