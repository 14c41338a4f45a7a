/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts of a server. A context is never changed: when a file changes a new one is made for new connections,
 * and the old one lives on in the connections that use it. A file that cannot be used keeps the old context.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <h2o/socket.h>

#include "net/hs.h"

enum { FILE_MAX_BYTES = 1024 * 1024, N_FILES = 4, LIST_MAX = 1024 };
static const uint64_t LOOK_NS = 30 * 1000000000ull;
/* What we choose when nothing is chosen: forward secrecy and AEAD. TLS 1.3 has its own list, all of it good. */
static const char DEFAULT_CIPHERS[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct gw_tls_store {
    struct gw_env *env;
    const struct gw_hs_conf *conf;
    pthread_mutex_t lock; /* ctx */
    SSL_CTX *ctx;
    uint64_t changed_ns[N_FILES];
    char *client_ca; /* client_ca_file as it was at first, unless it is read again */
};

static int fail_ssl(struct gw_err *err, const char *what, const char *name)
{
    unsigned long e = ERR_peek_last_error();
    const char *why = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return gw_fail(err, -EINVAL, "tls: %s %s: %s", what, name, why ? why : "cannot be used");
}

static bool is_set(const char *s)
{
    return s && *s;
}

/** The PEM text behind a file or given as it is. Owner: gives *ret (BIO_free); its memory is *ret_p (free it). */
static int open_pem(struct gw_env *env, const char *what, const char *file, const char *pem, BIO **ret, char **ret_p,
                    struct gw_err *err)
{
    size_t n;
    int code;

    if (is_set(file) && is_set(pem))
        return gw_fail(err, -EINVAL, "tls: give %s_file or %s_pem, not both", what, what);
    *ret_p = NULL;
    if (is_set(file)) {
        code = gw_env_read_file(env, file, FILE_MAX_BYTES, ret_p, &n, err);
        if (code < 0)
            return code;
        pem = *ret_p;
    }
    *ret = BIO_new_mem_buf(pem, -1);
    return 0;
}

static const char *name_of(const char *file, const char *fallback)
{
    return is_set(file) ? file : fallback;
}

/** Leaf first, then its chain. */
static int use_certificates(SSL_CTX *ctx, BIO *bio, const char *name, struct gw_err *err)
{
    X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    int ok;

    if (!cert)
        return fail_ssl(err, "certificate", name);
    ok = SSL_CTX_use_certificate(ctx, cert);
    X509_free(cert);
    if (ok != 1)
        return fail_ssl(err, "certificate", name);
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            return fail_ssl(err, "certificate chain", name);
        }
    ERR_clear_error(); /* "no start line" is how a PEM file ends */
    return 0;
}

static int use_identity(struct gw_env *env, SSL_CTX *ctx, const struct gw_server_tls *t, struct gw_err *err)
{
    BIO *bio;
    EVP_PKEY *key;
    char *text;
    int code;

    if ((!is_set(t->cert_file) && !is_set(t->cert_pem)) || (!is_set(t->key_file) && !is_set(t->key_pem)))
        return gw_fail(err, -EINVAL, "tls: a server needs a certificate and a key (cert_file and key_file)");
    code = open_pem(env, "cert", t->cert_file, t->cert_pem, &bio, &text, err);
    if (code < 0)
        return code;
    code = use_certificates(ctx, bio, name_of(t->cert_file, "cert_pem"), err);
    BIO_free(bio);
    free(text);
    if (code < 0)
        return code;

    code = open_pem(env, "key", t->key_file, t->key_pem, &bio, &text, err);
    if (code < 0)
        return code;
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
    if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        code = fail_ssl(err, "key", name_of(t->key_file, "key_pem"));
    EVP_PKEY_free(key);
    return code;
}

/** All certificates of a PEM text into a store, and their names into `names` when it is given. */
static int add_authorities(X509_STORE *store, STACK_OF(X509_NAME) * names, BIO *bio, const char *name,
                           struct gw_err *err)
{
    unsigned n = 0;
    X509 *cert;

    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_NAME *subject = names ? X509_NAME_dup(X509_get_subject_name(cert)) : NULL;

        if (subject && sk_X509_NAME_push(names, subject) == 0)
            X509_NAME_free(subject);
        X509_STORE_add_cert(store, cert);
        X509_free(cert);
        n++;
    }
    if (n == 0)
        return fail_ssl(err, "no certificate in", name);
    ERR_clear_error();
    return 0;
}

/** Where the chain that we send is completed from. */
static int use_our_authorities(struct gw_env *env, SSL_CTX *ctx, const struct gw_server_tls *t, struct gw_err *err)
{
    BIO *bio;
    char *text;
    int code;

    if (t->include_system_ca_certs_pool)
        SSL_CTX_set_default_verify_paths(ctx);
    if (!is_set(t->ca_file) && !is_set(t->ca_pem))
        return 0;
    code = open_pem(env, "ca", t->ca_file, t->ca_pem, &bio, &text, err);
    if (code < 0)
        return code;
    code = add_authorities(SSL_CTX_get_cert_store(ctx), NULL, bio, name_of(t->ca_file, "ca_pem"), err);
    BIO_free(bio);
    free(text);
    return code;
}

/** Who may come in. Without client_ca_file_reload the file is read once, whatever else changes. */
static int use_client_authorities(struct gw_tls_store *s, SSL_CTX *ctx, const struct gw_server_tls *t,
                                  struct gw_err *err)
{
    STACK_OF(X509_NAME) * names;
    X509_STORE *store;
    BIO *bio;
    char *text;
    int code;

    if (!is_set(t->client_ca_file))
        return 0;
    code = open_pem(s->env, "client_ca", s->client_ca ? NULL : t->client_ca_file, s->client_ca, &bio, &text, err);
    if (code < 0)
        return code;
    store = X509_STORE_new();
    names = sk_X509_NAME_new_null();
    code = add_authorities(store, names, bio, t->client_ca_file, err);
    SSL_CTX_set1_verify_cert_store(ctx, store);
    SSL_CTX_set_client_CA_list(ctx, names); /* takes names */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_free(store);
    BIO_free(bio);
    if (code == 0 && text && !t->client_ca_file_reload)
        s->client_ca = text;
    else
        free(text);
    return code;
}

static int parse_version(const char *key, const char *text, int fallback, int *ret, struct gw_err *err)
{
    static const struct {
        const char *name;
        int version;
    } versions[] = {{"1.0", TLS1_VERSION}, {"1.1", TLS1_1_VERSION}, {"1.2", TLS1_2_VERSION}, {"1.3", TLS1_3_VERSION}};

    *ret = fallback;
    if (!is_set(text))
        return 0;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strcmp(text, versions[i].name) == 0) {
            *ret = versions[i].version;
            return 0;
        }
    return gw_fail(err, -EINVAL, "tls: %s: unsupported TLS version \"%s\", must be 1.0, 1.1, 1.2 or 1.3", key, text);
}

static int use_versions(SSL_CTX *ctx, const struct gw_server_tls *t, struct gw_err *err)
{
    int min, max, code;

    code = parse_version("min_version", t->min_version, TLS1_2_VERSION, &min, err);
    if (code == 0)
        code = parse_version("max_version", t->max_version, TLS1_3_VERSION, &max, err);
    if (code < 0)
        return code;
    if (min > max)
        return gw_fail(err, -EINVAL, "tls: min_version cannot be greater than max_version");
    SSL_CTX_set_min_proto_version(ctx, min);
    SSL_CTX_set_max_proto_version(ctx, max);
    if (min < TLS1_2_VERSION)
        SSL_CTX_set_security_level(ctx, 0); /* OpenSSL 3 has put the old versions out of level 1 */
    return 0;
}

/** Go's name, which is IANA's, to OpenSSL's. NULL when this OpenSSL has no such suite. */
static const char *openssl_name(SSL *all, const char *go_name, bool *ret_is_13)
{
    STACK_OF(SSL_CIPHER) *list = SSL_get_ciphers(all);

    for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
        const SSL_CIPHER *c = sk_SSL_CIPHER_value(list, i);

        if (strcmp(SSL_CIPHER_standard_name(c), go_name) == 0) {
            *ret_is_13 = strcmp(SSL_CIPHER_get_version(c), "TLSv1.3") == 0;
            return SSL_CIPHER_get_name(c);
        }
    }
    return NULL;
}

/** As in Go: neither forward secrecy nor AEAD, or a broken cipher. */
static bool is_insecure(const char *go_name)
{
    return strstr(go_name, "_RC4_") || strstr(go_name, "_3DES_") || strstr(go_name, "_CBC_SHA256") ||
           strncmp(go_name, "TLS_RSA_", 8) == 0;
}

static int append(char *list, const char *name)
{
    if (strlen(list) + strlen(name) + 2 > LIST_MAX)
        return -E2BIG;
    if (*list)
        strcat(list, ":");
    strcat(list, name);
    return 0;
}

static int use_ciphers(SSL_CTX *ctx, const struct gw_server_tls *t, struct gw_err *err)
{
    char list[LIST_MAX] = "", list13[LIST_MAX] = "";
    SSL_CTX *all_ctx;
    SSL *all;
    int code = 0;

    if (t->n_cipher_suites == 0)
        return SSL_CTX_set_cipher_list(ctx, DEFAULT_CIPHERS) == 1 ? 0 : fail_ssl(err, "cipher_suites", "default");
    all_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(all_ctx, 0);
    SSL_CTX_set_cipher_list(all_ctx, "ALL:COMPLEMENTOFALL");
    all = SSL_new(all_ctx);
    for (unsigned i = 0; i < t->n_cipher_suites && code == 0; i++) {
        const char *go = t->cipher_suites[i], *ours;
        bool is_13 = false;

        ours = openssl_name(all, go, &is_13);
        if (!ours)
            code = gw_fail(err, -EINVAL, "tls: invalid TLS cipher suite: \"%s\"", go);
        else if (is_insecure(go) && !t->include_insecure_cipher_suites)
            code =
                gw_fail(err, -EINVAL, "tls: cipher suite \"%s\" is insecure: set include_insecure_cipher_suites", go);
        else if (append(is_13 ? list13 : list, ours) < 0)
            code = gw_fail(err, -EINVAL, "tls: too many cipher_suites");
    }
    SSL_free(all);
    SSL_CTX_free(all_ctx);
    if (code < 0)
        return code;
    if (*list13 && SSL_CTX_set_ciphersuites(ctx, list13) != 1)
        return fail_ssl(err, "cipher_suites", list13);
    if (*list && SSL_CTX_set_cipher_list(ctx, list) != 1)
        return fail_ssl(err, "cipher_suites", list);
    return 0;
}

static int use_curves(SSL_CTX *ctx, const struct gw_server_tls *t, struct gw_err *err)
{
    static const struct {
        const char *go, *ours;
    } curves[] = {
        {"X25519", "X25519"}, {"P256", "P-256"}, {"P384", "P-384"}, {"P521", "P-521"}, {"X25519MLKEM768", NULL}};
    char list[LIST_MAX] = "";

    for (unsigned i = 0; i < t->n_curve_preferences; i++) {
        size_t k = 0, n = sizeof curves / sizeof *curves;

        while (k < n && strcmp(curves[k].go, t->curve_preferences[i]) != 0)
            k++;
        if (k == n)
            return gw_fail(err, -EINVAL,
                           "tls: invalid curve type: \"%s\", must be X25519, P256, P384, P521 or X25519MLKEM768",
                           t->curve_preferences[i]);
        if (curves[k].ours) /* the hybrid one came with OpenSSL 3.5: the others of the list are used */
            append(list, curves[k].ours);
    }
    if (t->n_curve_preferences && !*list)
        return gw_fail(err, -EINVAL, "tls: curve_preferences: this OpenSSL has no X25519MLKEM768, add another curve");
    if (*list && SSL_CTX_set1_groups_list(ctx, list) != 1)
        return fail_ssl(err, "curve_preferences", list);
    return 0;
}

static int make(struct gw_tls_store *s, SSL_CTX **ret, struct gw_err *err)
{
    static const h2o_iovec_t both[] = {{(char *)(uintptr_t) "h2", 2}, {(char *)(uintptr_t) "http/1.1", 8}, {NULL, 0}};
    static const h2o_iovec_t only1[] = {{(char *)(uintptr_t) "http/1.1", 8}, {NULL, 0}};
    static const h2o_iovec_t only2[] = {{(char *)(uintptr_t) "h2", 2}, {NULL, 0}};
    const struct gw_server_tls *t = &s->conf->tls;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int code;

    if (!ctx)
        return fail_ssl(err, "context", "");
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection holds none */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"staunch", 7);
    SSL_CTX_set_info_callback(ctx, gw_conn_on_ssl_info);
    h2o_ssl_register_alpn_protocols(ctx, s->conf->protocols == GW_HS_HTTP1   ? only1
                                         : s->conf->protocols == GW_HS_HTTP2 ? only2
                                                                             : both);
    code = use_versions(ctx, t, err);
    if (code == 0)
        code = use_ciphers(ctx, t, err);
    if (code == 0)
        code = use_curves(ctx, t, err);
    if (code == 0)
        code = use_identity(s->env, ctx, t, err);
    if (code == 0)
        code = use_our_authorities(s->env, ctx, t, err);
    if (code == 0)
        code = use_client_authorities(s, ctx, t, err);
    if (code < 0) {
        SSL_CTX_free(ctx);
        return code;
    }
    *ret = ctx;
    return 0;
}

/** Remember when each file changed last. Returns whether one is different now. */
static bool look(struct gw_tls_store *s)
{
    const struct gw_server_tls *t = &s->conf->tls;
    const char *files[N_FILES] = {t->cert_file, t->key_file, t->ca_file,
                                  t->client_ca_file_reload ? t->client_ca_file : NULL};
    bool differs = false;

    for (unsigned i = 0; i < N_FILES; i++) {
        uint64_t ns = is_set(files[i]) ? s->env->ops->file_changed_ns(s->env, files[i]) : 0;

        differs |= ns != s->changed_ns[i];
        s->changed_ns[i] = ns;
    }
    return differs;
}

int gw_tls_store_new(struct gw_env *env, const struct gw_hs_conf *conf, struct gw_tls_store **ret, struct gw_err *err)
{
    struct gw_tls_store *s = calloc(1, sizeof *s);
    int code;

    if (!s)
        return gw_fail(err, -ENOMEM, "tls: out of memory");
    s->env = env;
    s->conf = conf;
    pthread_mutex_init(&s->lock, NULL);
    look(s);
    code = make(s, &s->ctx, err);
    if (code < 0) {
        gw_tls_store_free(s);
        return code;
    }
    *ret = s;
    return 0;
}

void gw_tls_store_free(struct gw_tls_store *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->ctx);
    free(s->client_ca);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

SSL_CTX *gw_tls_store_get(struct gw_tls_store *s)
{
    SSL_CTX *ctx;

    pthread_mutex_lock(&s->lock);
    ctx = s->ctx;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&s->lock);
    return ctx;
}

void gw_tls_store_check(struct gw_tls_store *s)
{
    struct gw_err err;
    SSL_CTX *ctx, *old;

    if (!look(s))
        return;
    if (make(s, &ctx, &err) < 0) { /* a half-written file is seen again when its writer is done */
        gw_log(s->conf->logger, GW_LOG_ERROR, "%s: keeping the certificates that were loaded before: %s",
               s->conf->endpoint, err.text);
        return;
    }
    pthread_mutex_lock(&s->lock);
    old = s->ctx;
    s->ctx = ctx;
    pthread_mutex_unlock(&s->lock);
    SSL_CTX_free(old);
    gw_log(s->conf->logger, GW_LOG_INFO, "%s: new certificates loaded", s->conf->endpoint);
}

uint64_t gw_tls_store_interval_ns(const struct gw_tls_store *s)
{
    uint64_t ns = s->conf->tls.reload_interval_ns;

    return ns ? ns : LOOK_NS;
}
