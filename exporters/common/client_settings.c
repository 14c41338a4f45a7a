/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/common/client_settings.h"

#include <stdio.h>
#include <strings.h>

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "unknown"
#endif

const char *gw_user_agent(void)
{
    return "Staunch/" GW_VERSION " (linux/" ARCH ")";
}

/* ---- tls ---------------------------------------------------------------------------------------------------- */

static const char *const versions[] = {"", "1.0", "1.1", "1.2", "1.3", NULL};

const struct gw_field gw_tls_fields[] = {
    GW_BOOL_FIELD(struct gw_tls_settings, insecure, "insecure", "false",
                  "No TLS at all, where the endpoint has no scheme."),
    GW_BOOL_FIELD(struct gw_tls_settings, insecure_skip_verify, "insecure_skip_verify", "false",
                  "TLS, but any certificate will do."),
    GW_STRING_FIELD(struct gw_tls_settings, server_name_override, "server_name_override", "",
                    "Name asked for and checked instead of the endpoint's."),
    GW_STRING_FIELD(struct gw_tls_settings, ca_file, "ca_file", "", "Certificates trusted; without it the system's."),
    GW_SECRET_FIELD(struct gw_tls_settings, ca_pem, "ca_pem", "The same as a text."),
    GW_BOOL_FIELD(
        struct gw_tls_settings, include_system_ca_certs_pool, "include_system_ca_certs_pool", "false",
        "Trust the system's certificates besides ca_file. SSL_CERT_FILE and SSL_CERT_DIR say where they are."),
    GW_STRING_FIELD(struct gw_tls_settings, cert_file, "cert_file", "", "Our certificate, for mutual TLS."),
    GW_SECRET_FIELD(struct gw_tls_settings, cert_pem, "cert_pem", "The same as a text."),
    GW_STRING_FIELD(struct gw_tls_settings, key_file, "key_file", "", "The key of our certificate."),
    GW_SECRET_FIELD(struct gw_tls_settings, key_pem, "key_pem", "The same as a text."),
    GW_ENUM_FIELD(struct gw_tls_settings, min_version, "min_version", "", versions,
                  "Oldest TLS version; 1.2 when empty."),
    GW_ENUM_FIELD(struct gw_tls_settings, max_version, "max_version", "", versions, "Newest TLS version."),
    GW_DURATION_FIELD(struct gw_tls_settings, reload_interval_ns, "reload_interval", "0", 0, 1e18,
                      "Look at the files again after it; 0 = never."),
    {GW_FIELD_(struct gw_tls_settings, planned, "cipher_suites", GW_F_LIST, NULL, 0, 0, "Cipher suites of a client."),
     .flags = GW_FF_PLANNED},
    {GW_FIELD_(struct gw_tls_settings, planned, "curve_preferences", GW_F_LIST, NULL, 0, 0, "Curves of a client."),
     .flags = GW_FF_PLANNED},
    {GW_FIELD_(struct gw_tls_settings, ignored, "tpm", GW_F_ANY, NULL, 0, 0, "Keys in a TPM."), .flags = GW_FF_PLANNED},
    {0},
};

struct gw_client_tls gw_tls_of(const struct gw_tls_settings *s)
{
    return (struct gw_client_tls){
        .insecure = s->insecure,
        .insecure_skip_verify = s->insecure_skip_verify,
        .ca_file = s->ca_file,
        .ca_pem = s->ca_pem,
        .cert_file = s->cert_file,
        .cert_pem = s->cert_pem,
        .key_file = s->key_file,
        .key_pem = s->key_pem,
        .server_name_override = s->server_name_override,
        .min_version = versions[s->min_version],
        .max_version = versions[s->max_version],
        .include_system_ca_certs_pool = s->include_system_ca_certs_pool,
        .reload_interval_ns = s->reload_interval_ns,
    };
}

/* ---- auth --------------------------------------------------------------------------------------------------- */

const struct gw_field gw_auth_fields[] = {
    {GW_FIELD_(struct gw_auth_settings, authenticator, "authenticator", GW_F_ID, NULL, 0, 0, "Extension's id."),
     .kind_mask = 1u << GW_EXTENSION, .flags = GW_FF_REQUIRED},
    {0},
};

int gw_auth_find(const struct gw_ctx *ctx, const struct gw_auth_settings *s, struct gw_auth *ret, struct gw_err *err)
{
    int r;

    *ret = (struct gw_auth){NULL, NULL};
    if (!s->authenticator || !*s->authenticator)
        return 0;
    if (!ctx->host)
        return gw_fail(err, -ENOENT, "auth: there is no extension \"%s\"", s->authenticator);
    r = ctx->host->ops->auth(ctx->host, s->authenticator, ret, err);
    if (r < 0)
        return r;
    if (!ret->ops->header)
        return gw_fail(err, -EINVAL, "auth: extension \"%s\" checks clients; it has nothing to send to a server",
                       s->authenticator);
    return 0;
}

/* ---- compression -------------------------------------------------------------------------------------------- */

const struct gw_field gw_compression_params_fields[] = {
    GW_I64_FIELD(struct gw_compression_settings, level, "level", "0", -2, 22, "0 = the codec's usual one."),
    {0},
};

void gw_compression_check(enum gw_codec codec, int64_t level, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = node ? gw_node_path(node, "compression_params", "level", NULL) : NULL;
    const struct gw_place *place = at ? &at->place : node ? &node->place : NULL;
    bool ok = level == 0;

    if (codec == GW_GZIP || codec == GW_ZLIB)
        ok = level >= -2 && level <= 9;
    else if (codec == GW_ZSTD)
        ok = level >= 0 && level <= 22;
    if (!ok)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "compression_params::level: %lld is no level of %s", (long long)level,
                    gw_codec_name(codec));
}

int gw_compression_level(enum gw_codec codec, int64_t level)
{
    /* -1 is zlib's default, -2 its Huffman-only mode: the cheapest that we have. */
    if ((codec == GW_GZIP || codec == GW_ZLIB) && level < 0)
        return level == -1 ? 0 : 1;
    return (int)level;
}

/* ---- an HTTP client ------------------------------------------------------------------------------------------ */

const char *const gw_http_compressions[] = {"none", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed",
                                            "lz4",  "",     NULL};

const struct gw_field gw_cookies_fields[] = {
    GW_BOOL_FIELD(struct gw_cookies_settings, enabled, "enabled", "true", "Keep cookies."),
    {0},
};

enum gw_codec gw_http_codec(const struct gw_http_settings *s)
{
    const char *name = gw_http_compressions[s->compression];

    return strcmp(name, "none") == 0 ? GW_IDENTITY : gw_codec_parse(gw_slice_cstr(name));
}

const char *gw_map_header(const struct gw_map *headers, const char *name)
{
    for (size_t i = 0; i < headers->n; i++)
        if (strcasecmp(headers->entries[i].key, name) == 0)
            return headers->entries[i].value;
    return NULL;
}

struct gw_http_client_conf gw_http_client_conf_of(const struct gw_http_settings *s, const char *user_agent)
{
    uint64_t idle = s->max_idle_conns;

    /* A client talks to one host, so that the smaller of the two limits counts. */
    if (s->max_idle_conns_per_host && (!idle || s->max_idle_conns_per_host < idle))
        idle = s->max_idle_conns_per_host;
    return (struct gw_http_client_conf){
        .tls = gw_tls_of(&s->tls),
        .proxy_url = s->proxy_url,
        .user_agent = gw_map_header(&s->headers, "user-agent") ? "" : user_agent,
        .max_conns_per_host = (unsigned)s->max_conns_per_host,
        .max_idle_conns = (unsigned)idle,
        .idle_conn_timeout_ns = s->idle_conn_timeout_ns,
        .disable_keep_alives = s->disable_keep_alives,
        .http1_only = !s->force_attempt_http2,
        .cookies = s->has_cookies && s->cookies.enabled,
        .read_buffer_bytes = s->read_buffer_size,
        .write_buffer_bytes = s->write_buffer_size,
    };
}

void gw_http_settings_check(const struct gw_http_settings *s, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = node ? gw_node_path(node, "tls", "insecure", NULL) : NULL;

    gw_compression_check(gw_http_codec(s), s->compression_params.level, node, diag);
    if (s->tls.insecure && strncasecmp(s->endpoint, "https:", 6) == 0)
        gw_diag_add(diag, GW_DIAG_WARNING, at ? &at->place : NULL,
                    "tls: insecure does not turn TLS off where the endpoint says https://; write http://, or "
                    "insecure_skip_verify to take any certificate");
}

void gw_shown_endpoint(const char *url, char *buf, size_t size)
{
    const char *host = strstr(url, "://"), *at;
    size_t n;

    host = host ? host + 3 : url;
    n = strcspn(host, "/?#");
    at = memrchr(host, '@', n);
    if (at)
        snprintf(buf, size, "%.*s%.*s", (int)(host - url), url, (int)strcspn(at + 1, "?#"), at + 1);
    else
        snprintf(buf, size, "%.*s", (int)strcspn(url, "?#"), url);
}
