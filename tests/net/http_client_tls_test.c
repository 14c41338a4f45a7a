/* SPDX-License-Identifier: Apache-2.0 */
/* The curl client's TLS against OpenSSL: who is believed, who is let in, which versions and protocols are offered. */
#include "tests/harness.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clients.h"
#include "net/loop.h"
#include "tests/harness_pki.h"

/* ---- the server: one connection after the other, 200 to whatever is asked ----------------------------------- */

struct server {
    int fd;
    unsigned port;
    SSL_CTX *ctx;
    pthread_t thread;
    _Atomic bool h2_offered;
    _Atomic int version; /* of the last handshake that succeeded */
};

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in, unsigned n_in,
                   void *arg)
{
    struct server *sv = arg;

    (void)ssl;
    sv->h2_offered = memmem(in, n_in, "\2h2", 3) != NULL;
    for (unsigned i = 0; i < n_in; i += 1u + in[i])
        if (in[i] == 8 && memcmp(in + i + 1, "http/1.1", 8) == 0) {
            *out = in + i + 1;
            *n_out = 8;
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static void *serve(void *arg)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct server *sv = arg;
    int fd;

    while ((fd = accept(sv->fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(sv->ctx);
        char in[4096];

        (void)SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1) {
            sv->version = SSL_version(ssl);
            if (SSL_read(ssl, in, sizeof(in)) > 0)
                (void)SSL_write(ssl, answer, sizeof(answer) - 1);
            (void)SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        (void)close(fd);
    }
    return NULL;
}

static void server_new(struct server *sv, const struct gw_pki_cert *cert, const struct gw_pki_cert *client_ca)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);

    memset(sv, 0, sizeof(*sv));
    sv->ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(sv->ctx, cert->x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(sv->ctx, cert->key), 1);
    SSL_CTX_set_alpn_select_cb(sv->ctx, on_alpn, sv);
    if (client_ca) {
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(sv->ctx), client_ca->x509), 1);
        SSL_CTX_set_verify(sv->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        (void)SSL_CTX_set_max_proto_version(sv->ctx, TLS1_2_VERSION); /* 1.3 would refuse only after the handshake */
    }
    sv->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(sv->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(sv->fd, (struct sockaddr *)&in, &len), 0);
    sv->port = ntohs(in.sin_port);
    assert_int_equal(listen(sv->fd, 16), 0);
}

static void server_start(struct server *sv)
{
    assert_int_equal(pthread_create(&sv->thread, NULL, serve, sv), 0);
}

static void server_free(struct server *sv)
{
    (void)shutdown(sv->fd, SHUT_RDWR);
    (void)pthread_join(sv->thread, NULL);
    (void)close(sv->fd);
    SSL_CTX_free(sv->ctx);
}

/* ---- one request -------------------------------------------------------------------------------------------- */

struct answer {
    unsigned calls;
    enum gw_http_failure failure;
    int status;
};

static void on_done(struct gw_http_request *rq, const struct gw_http_response *rs)
{
    struct answer *a = rq->arg;

    a->calls++;
    a->failure = rs->failure;
    a->status = rs->status;
}

/* True when it was answered 200; false when there was no connection. */
static bool passes(const struct server *sv, const struct gw_http_client_conf *conf)
{
    struct gw_env *env = gw_env_real_new();
    struct gw_http_client_conf c = *conf;
    struct gw_http_client *client;
    struct answer a = {0};
    struct gw_http_request rq = {.method = "POST", .body = GW_SLICE("x"), .done = on_done, .arg = &a};
    struct gw_err err = {{0}};
    struct gw_loop *loop;
    char url[64];

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/", sv->port);
    rq.url = url;
    rq.timeout_ns = 10000000000;
    c.max_response_bytes = 1000;
    assert_int_equal(gw_loop_new(env, &loop, NULL), 0);
    if (gw_http_client_curl_new(env, loop, &c, &client, &err) < 0)
        fail_msg("%s", err.text);
    client->ops->send(client, &rq);
    while (!a.calls)
        gw_loop_turn(loop, 10000000);
    client->ops->free(client);
    gw_loop_free(loop);
    gw_env_real_free(env);
    if (a.failure == GW_HTTP_OK)
        assert_int_equal(a.status, 200);
    else
        assert_true(a.failure == GW_HTTP_CONNECT || a.failure == GW_HTTP_BROKEN);
    return a.failure == GW_HTTP_OK;
}

/* ---- cases -------------------------------------------------------------------------------------------------- */

static struct gw_pki_cert ca, other, cert, mine;
static char folder[] = "/tmp/http_tls.XXXXXX", ca_path[64], cert_path[64], key_path[64];

static void put_file(char *path, const char *name, const char *text)
{
    FILE *f;

    (void)snprintf(path, 64, "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    (void)state;
    ca = gw_pki_new("authority", NULL);
    other = gw_pki_new("somebody", NULL);
    cert = gw_pki_new("gw.example", &ca);
    mine = gw_pki_new("client", &ca);
    if (!mkdtemp(folder))
        return -1;
    put_file(ca_path, "ca.pem", ca.cert_pem);
    put_file(cert_path, "cert.pem", mine.cert_pem);
    put_file(key_path, "key.pem", mine.key_pem);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(ca_path);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    gw_pki_free(&ca);
    gw_pki_free(&other);
    gw_pki_free(&cert);
    gw_pki_free(&mine);
    return rmdir(folder);
}

#define NAME .server_name_override = "gw.example"

/* Scenario: a server whose certificate an authority of ours has signed, for another name than the endpoint's.
 * Guarantees: it is believed with that authority (ca_pem, ca_file) under that name (server_name_override) and not
 * otherwise; with insecure_skip_verify always. */
static void a_server_is_believed_by_authority_and_name(void **state)
{
    const struct {
        struct gw_client_tls tls;
        bool passes;
    } cases[] = {
        {{.ca_pem = ca.cert_pem, NAME}, true},
        {{.ca_file = ca_path, NAME}, true},
        {{NAME}, false},
        {{.ca_pem = other.cert_pem, NAME}, false},
        {{.ca_pem = ca.cert_pem}, false},
        {{.ca_pem = ca.cert_pem, .server_name_override = "other.example"}, false},
        {{.insecure_skip_verify = true}, true},
    };
    struct server sv;

    (void)state;
    server_new(&sv, &cert, NULL);
    server_start(&sv);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (passes(&sv, &(struct gw_http_client_conf){.tls = cases[i].tls}) != cases[i].passes)
            fail_msg("case %zu", i);
    server_free(&sv);
}

/* Scenario: the authority lies in the system's folder, which SSL_CERT_DIR says where it is; another one in ca_pem.
 * Guarantees: the system's are believed without a ca_pem, and beside it with include_system_ca_certs_pool. */
static void the_systems_authorities_are_asked_when_wanted(void **state)
{
    const struct {
        struct gw_client_tls tls;
        bool passes;
    } cases[] = {
        {{NAME}, true},
        {{.ca_pem = other.cert_pem, NAME}, false},
        {{.ca_pem = other.cert_pem, .include_system_ca_certs_pool = true, NAME}, true},
    };
    char name[32], path[64];
    struct server sv;

    (void)state;
    (void)snprintf(name, sizeof(name), "%08lx.0", X509_subject_name_hash(ca.x509));
    put_file(path, name, ca.cert_pem);
    (void)setenv("SSL_CERT_DIR", folder, 1);
    server_new(&sv, &cert, NULL);
    server_start(&sv);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (passes(&sv, &(struct gw_http_client_conf){.tls = cases[i].tls}) != cases[i].passes)
            fail_msg("case %zu", i);
    server_free(&sv);
    (void)unsetenv("SSL_CERT_DIR");
    (void)unlink(path);
}

/* Scenario: a server that wants a certificate. Guarantees: cert_pem and key_pem, or cert_file and key_file, open it. */
static void a_client_shows_its_certificate(void **state)
{
    const struct {
        struct gw_client_tls tls;
        bool passes;
    } cases[] = {
        {{.ca_pem = ca.cert_pem, .cert_pem = mine.cert_pem, .key_pem = mine.key_pem, NAME}, true},
        {{.ca_pem = ca.cert_pem, .cert_file = cert_path, .key_file = key_path, NAME}, true},
        {{.ca_pem = ca.cert_pem, .cert_pem = other.cert_pem, .key_pem = other.key_pem, NAME}, false},
        {{.ca_pem = ca.cert_pem, NAME}, false},
    };
    struct server sv;

    (void)state;
    server_new(&sv, &cert, &ca);
    server_start(&sv);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (passes(&sv, &(struct gw_http_client_conf){.tls = cases[i].tls}) != cases[i].passes)
            fail_msg("case %zu", i);
    server_free(&sv);
}

/* Scenario: a server of TLS 1.2 and 1.3, and one of 1.2 alone; min_version and max_version.
 * Guarantees: the newest that both have, within these; none when there is none. */
static void versions_stay_within_the_settings(void **state)
{
    static const struct {
        const char *min_version, *max_version;
        int version, old_version; /* 0: refused */
    } cases[] = {
        {"", "", TLS1_3_VERSION, TLS1_2_VERSION},
        {"1.3", "", TLS1_3_VERSION, 0},
        {"", "1.2", TLS1_2_VERSION, TLS1_2_VERSION},
        {"1.3", "1.3", TLS1_3_VERSION, 0},
    };

    (void)state;
    for (unsigned old = 0; old < 2; old++) {
        struct server sv;

        server_new(&sv, &cert, NULL);
        if (old)
            (void)SSL_CTX_set_max_proto_version(sv.ctx, TLS1_2_VERSION);
        server_start(&sv);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct gw_http_client_conf c = {.tls = {.ca_pem = ca.cert_pem,
                                                    .min_version = cases[i].min_version,
                                                    .max_version = cases[i].max_version,
                                                    NAME}};
            int want = old ? cases[i].old_version : cases[i].version;

            sv.version = 0;
            assert_int_equal(passes(&sv, &c), want != 0);
            assert_int_equal(sv.version, want);
        }
        server_free(&sv);
    }
}

/* Scenario: force_attempt_http2 true and false (http1_only). Guarantees: HTTP/2 is offered, or not. */
static void http2_is_offered_only_when_wanted(void **state)
{
    struct server sv;

    (void)state;
    server_new(&sv, &cert, NULL);
    server_start(&sv);
    for (unsigned h1 = 0; h1 < 2; h1++) {
        assert_true(passes(&sv, &(struct gw_http_client_conf){.tls = {.ca_pem = ca.cert_pem, NAME}, .http1_only = h1}));
        assert_int_equal(sv.h2_offered, !h1);
    }
    server_free(&sv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_believed_by_authority_and_name),
        cmocka_unit_test(the_systems_authorities_are_asked_when_wanted),
        cmocka_unit_test(a_client_shows_its_certificate),
        cmocka_unit_test(versions_stay_within_the_settings),
        cmocka_unit_test(http2_is_offered_only_when_wanted),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
