/* SPDX-License-Identifier: Apache-2.0 */
/* TLS and mTLS of the HTTP server, with certificates that the openssl program makes here and now. */
#include "tests/harness.h"

#include <fcntl.h>
#include <h2o/socket.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/wait.h>

#include "core/logger.h"
#include "tests/net/hs_rig.h"

#ifndef __has_feature
#define __has_feature(x) 0 /* gcc says it with a macro */
#endif

static char dir[] = "/tmp/staunch-tls-XXXXXX";
static struct rig rig;

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
    char cmd[1024], line[1200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(cmd, sizeof cmd, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "cd %s && (%s) >/dev/null 2>&1", dir, cmd);
    if (system(line) != 0)
        fail_msg("%s", cmd);
}

/** NAME.pem and NAME.key, signed by the authority CA (ca.pem or other-ca.pem). */
static void make_cert(const char *name, const char *ca, const char *subject)
{
    sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.csr -subj '%s' && "
       "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -out %s.pem",
       name, name, subject, name, ca, ca, name);
}

static int make_all(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    for (unsigned i = 0; i < 2; i++)
        sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out %s.pem -days 2 "
           "-subj '/CN=%s'",
           i ? "other-ca" : "ca", i ? "other-ca" : "ca", i ? "other authority" : "authority");
    make_cert("server", "ca", "/CN=first");
    make_cert("second", "ca", "/CN=second");
    make_cert("client", "ca", "/O=Shop/CN=agent 7");
    make_cert("stranger", "other-ca", "/CN=stranger");
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    sh("rm -rf %s", dir);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static int set_up(void **state)
{
    static char cert[128], key[128];

    (void)state;
    rig_init(&rig);
    sh("cp server.pem live.pem && cp server.key live.key");
    snprintf(cert, sizeof cert, "%s/live.pem", dir);
    snprintf(key, sizeof key, "%s/live.key", dir);
    rig.conf.tls = (struct gw_server_tls){.enabled = true, .cert_file = cert, .key_file = key};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static void start(void)
{
    struct gw_err err = {{0}};

    if (rig_start(&rig, &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- a TLS client ------------------------------------------------------------------------------------------ */

struct tls {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void tls_open(struct tls *t, const char *alpn, const char *identity)
{
    memset(t, 0, sizeof *t);
    t->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(t->ctx, in_dir("ca.pem"), NULL);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    if (identity) {
        char name[64];

        snprintf(name, sizeof name, "%s.pem", identity);
        assert_int_equal(SSL_CTX_use_certificate_file(t->ctx, in_dir(name), SSL_FILETYPE_PEM), 1);
        snprintf(name, sizeof name, "%s.key", identity);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(t->ctx, in_dir(name), SSL_FILETYPE_PEM), 1);
    }
    t->ssl = SSL_new(t->ctx);
    if (alpn)
        SSL_set_alpn_protos(t->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    t->fd = rig_connect(&rig);
    fcntl(t->fd, F_SETFL, O_NONBLOCK);
    SSL_set_fd(t->ssl, t->fd);
}

static void tls_close(struct tls *t)
{
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    close(t->fd);
    ERR_clear_error();
}

/** Both sides at once. 1: done; 0: refused. */
static int tls_handshake(struct tls *t)
{
    for (unsigned i = 0; i < 1000; i++) {
        int r, e;

        ERR_clear_error();
        r = SSL_connect(t->ssl);
        if (r == 1) {
            rig_turn(&rig, 3);
            return 1;
        }
        e = SSL_get_error(t->ssl, r);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
            return 0;
        gw_loop_turn(rig.loop, 0);
    }
    return 0;
}

static void to_server(struct client *c, struct tls *t)
{
    const uint8_t *p;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(c->ng, &p)) > 0)
        for (ssize_t at = 0; at < n;) {
            int k = SSL_write(t->ssl, p + at, (int)(n - at));

            if (k > 0) {
                at += k;
            } else if (SSL_get_error(t->ssl, k) == SSL_ERROR_WANT_WRITE) {
                gw_loop_turn(rig.loop, 0);
            } else {
                c->eof = true;
                return;
            }
        }
}

/** One request over HTTP/2 over TLS. Returns its HTTP status, or 0 when the server would not have it. */
static int ask_h2(struct tls *t, const char *path, size_t n_body, size_t *ret_body)
{
    struct client c;
    uint8_t buf[16384];
    int status;

    client_attach(&c, -1);
    client_post(&c, path, n_body);
    for (unsigned i = 0; i < 20000 && c.n_closed == 0 && !c.eof; i++) {
        int n;

        to_server(&c, t);
        gw_loop_turn(rig.loop, 0);
        ERR_clear_error();
        while ((n = SSL_read(t->ssl, buf, sizeof buf)) > 0)
            nghttp2_session_mem_recv(c.ng, buf, (size_t)n);
        if (n <= 0 && SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
            c.eof = true;
    }
    to_server(&c, t);
    status = client_answer(&c, 1)->status;
    if (ret_body)
        *ret_body = client_answer(&c, 1)->n_body;
    nghttp2_session_del(c.ng);
    return status;
}

/** The common name of the server's certificate. */
static const char *server_name(struct tls *t)
{
    static char name[64];
    X509 *cert = SSL_get1_peer_certificate(t->ssl);

    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
    X509_free(cert);
    return name;
}

static const char *name_that_is_served(void)
{
    struct tls t;
    const char *name;

    tls_open(&t, "\2h2", NULL);
    assert_int_equal(tls_handshake(&t), 1);
    name = server_name(&t);
    tls_close(&t);
    rig_turn(&rig, 3);
    return name;
}

/* ---- the cases --------------------------------------------------------------------------------------------- */

/* Scenario: a client offers h2 by ALPN, sends 300 KB and asks for 1 MiB.
 * Guarantees: TLS 1.3, h2 chosen, every byte both ways, the handler knows that it is TLS. */
static void http2_over_tls_is_chosen_by_alpn(void **state)
{
    struct tls t;
    const unsigned char *alpn;
    unsigned n_alpn;
    size_t n_body = 0;

    (void)state;
    start();
    tls_open(&t, "\2h2\x08http/1.1", NULL);
    assert_int_equal(tls_handshake(&t), 1);
    SSL_get0_alpn_selected(t.ssl, &alpn, &n_alpn);
    assert_int_equal(n_alpn, 2);
    assert_string_equal(SSL_get_version(t.ssl), "TLSv1.3");
    assert_int_equal(ask_h2(&t, "/big", 300000, &n_body), 200);
    assert_int_equal(n_body, 1024 * 1024);
    assert_int_equal(rig.heard.n_body, 300000);
    assert_true(rig.heard.tls);
    assert_string_equal(rig.heard.subject, "");
    tls_close(&t);
    rig_turn(&rig, 10);
    assert_true(gw_hs_server_is_idle(rig.server));
}

/* Scenario: a client that offers http/1.1, and one that offers nothing and speaks HTTP/1.1.
 * Guarantees: both are served over HTTP/1.1. */
static void http1_over_tls_is_served_with_and_without_alpn(void **state)
{
    static const char request[] = "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    char answer[512];

    (void)state;
    start();
    for (unsigned i = 0; i < 2; i++) {
        struct tls t;
        int n = 0;

        tls_open(&t, i ? NULL : "\x08http/1.1", NULL);
        assert_int_equal(tls_handshake(&t), 1);
        assert_int_equal(SSL_write(t.ssl, request, sizeof request - 1), sizeof request - 1);
        for (unsigned k = 0; k < 1000 && n <= 0; k++) {
            gw_loop_turn(rig.loop, 0);
            ERR_clear_error();
            n = SSL_read(t.ssl, answer, sizeof answer);
        }
        assert_true(n > 12);
        assert_memory_equal(answer, "HTTP/1.1 200", 12);
        assert_int_equal(rig.heard.n_body, 5 * (i + 1));
        assert_false(rig.heard.http2);
        tls_close(&t);
    }
}

/* Scenario: client_ca_file is set; a client with its authority's certificate, one with another's, one with none.
 * Guarantees: only the first gets an answer, and the handler hears its subject as RFC 2253 writes it. */
static void only_clients_with_a_certificate_of_the_authority_get_in(void **state)
{
    struct tls t;

    (void)state;
    rig.conf.tls.client_ca_file = in_dir("ca.pem");
    start();
    tls_open(&t, "\2h2", "client");
    assert_int_equal(tls_handshake(&t), 1);
    assert_int_equal(ask_h2(&t, "/ok", 100, NULL), 200);
    assert_string_equal(rig.heard.subject, "CN=agent 7,O=Shop");
    tls_close(&t);
    for (unsigned i = 0; i < 2; i++) {
        tls_open(&t, "\2h2", i ? "stranger" : NULL);
        if (tls_handshake(&t)) /* TLS 1.3: the client learns it when it reads */
            assert_int_equal(ask_h2(&t, "/ok", 100, NULL), 0);
        tls_close(&t);
    }
    rig_turn(&rig, 10);
    assert_int_equal(rig.heard.n_heads, 1);
    assert_true(gw_hs_server_is_idle(rig.server));

    tls_open(&t, "\2h2", "client"); /* the failures of others are not held against this one */
    assert_int_equal(tls_handshake(&t), 1);
    assert_int_equal(ask_h2(&t, "/ok", 100, NULL), 200);
    tls_close(&t);
}

/* Scenario: with a connection open, the files are replaced by a new pair, then by rubbish, then by another pair.
 * Guarantees: new connections get the new certificate after the interval; the old connection goes on; rubbish changes
 * nothing and is logged once. */
static void new_certificate_files_are_taken_and_broken_ones_are_not(void **state)
{
    struct gw_log_sink sink = {.env = &rig.fake.env, .level = GW_LOG_ERROR};
    struct gw_logger logger = {.sink = &sink};
    struct tls old;

    (void)state;
    rig.conf.logger = &logger;
    rig.conf.tls.reload_interval_ns = 10 * SECOND;
    rig.conf.header_timeout_ns = 0; /* the old connection says nothing for a while */
    start();
    tls_open(&old, "\2h2", NULL);
    assert_int_equal(tls_handshake(&old), 1);
    assert_string_equal(name_that_is_served(), "first");

    sh("cp second.pem live.pem && cp second.key live.key");
    assert_string_equal(name_that_is_served(), "first");
    rig.fake.mono_ns += 11 * SECOND;
    rig_turn(&rig, 3);
    assert_string_equal(name_that_is_served(), "second");

    sh("echo rubbish > live.pem; touch -d @1700000001 live.pem"); /* a time of its own: no waiting for the clock */
    for (unsigned i = 0; i < 3; i++) {
        rig.fake.mono_ns += 11 * SECOND;
        rig_turn(&rig, 3);
    }
    assert_string_equal(name_that_is_served(), "second");
    assert_int_equal(rig.fake.n_lines, 1);
    assert_non_null(strstr(rig.fake.log, "live.pem"));

    sh("cp server.pem live.pem && cp server.key live.key && touch -d @1700000002 live.pem live.key");
    rig.fake.mono_ns += 11 * SECOND;
    rig_turn(&rig, 3);
    assert_string_equal(name_that_is_served(), "first");
    assert_int_equal(ask_h2(&old, "/ok", 100, NULL), 200);
    tls_close(&old);
}

/** Does a client that is limited by `limit` get in? */
static int gets_in(void (*limit)(SSL *))
{
    struct tls t;
    int r;

    tls_open(&t, "\2h2", NULL);
    limit(t.ssl);
    r = tls_handshake(&t);
    tls_close(&t);
    rig_turn(&rig, 3);
    return r;
}

static void only_12(SSL *s)
{
    SSL_set_max_proto_version(s, TLS1_2_VERSION);
}

static void only_11(SSL *s)
{
    SSL_set_security_level(s, 0);
    SSL_set_min_proto_version(s, TLS1_1_VERSION);
    SSL_set_max_proto_version(s, TLS1_1_VERSION);
}

static void only_13(SSL *s)
{
    SSL_set_min_proto_version(s, TLS1_3_VERSION);
}

static void only_cbc(SSL *s)
{
    only_12(s);
    SSL_set_cipher_list(s, "ECDHE-ECDSA-AES128-SHA");
}

static void only_gcm_256(SSL *s)
{
    only_12(s);
    SSL_set_cipher_list(s, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

static void only_gcm_128(SSL *s)
{
    only_12(s);
    SSL_set_cipher_list(s, "ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void only_p521(SSL *s)
{
    SSL_set1_groups_list(s, "P-521");
}

/* Scenario: clients limited to TLS 1.1, 1.2, 1.3, to CBC, against a server with no settings.
 * Guarantees: 1.2 and 1.3 with AEAD get in, the others do not. */
static void by_default_only_modern_tls_gets_in(void **state)
{
    (void)state;
    start();
    assert_int_equal(gets_in(only_11), 0);
    assert_int_equal(gets_in(only_12), 1);
    assert_int_equal(gets_in(only_13), 1);
    assert_int_equal(gets_in(only_cbc), 0);
    assert_int_equal(gets_in(only_gcm_128), 1);
    assert_int_equal(gets_in(only_p521), 1);
}

/* Scenario: min_version 1.3. Guarantees: TLS 1.2 is refused. */
static void min_version_has_an_effect(void **state)
{
    (void)state;
    rig.conf.tls.min_version = "1.3";
    start();
    assert_int_equal(gets_in(only_12), 0);
    assert_int_equal(gets_in(only_13), 1);
}

/* Scenario: max_version 1.2. Guarantees: TLS 1.3 is refused. */
static void max_version_has_an_effect(void **state)
{
    (void)state;
    rig.conf.tls.max_version = "1.2";
    start();
    assert_int_equal(gets_in(only_12), 1);
    assert_int_equal(gets_in(only_13), 0);
}

/* Scenario: one cipher suite, by Go's name, and one curve.
 * Guarantees: clients with others are refused. */
static void cipher_suites_and_curves_have_an_effect(void **state)
{
    static const char *const suites[] = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}, *const curves[] = {"P256",
                                                                                                        "X25519"};

    (void)state;
    rig.conf.tls.cipher_suites = suites;
    rig.conf.tls.n_cipher_suites = 1;
    rig.conf.tls.curve_preferences = curves;
    rig.conf.tls.n_curve_preferences = 2;
    start();
    assert_int_equal(gets_in(only_gcm_256), 1);
    assert_int_equal(gets_in(only_gcm_128), 0);
    assert_int_equal(gets_in(only_p521), 0);
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

/** The clients' process: n connections that shake hands, say hello in HTTP/2, and then wait for the end of `hold`. */
static void hold_connections(unsigned n, int done, int hold)
{
    for (unsigned i = 0; i < n; i++) {
        struct tls t;

        tls_open(&t, "\2h2", NULL);
        fcntl(t.fd, F_SETFL, 0);
        if (SSL_connect(t.ssl) != 1 || SSL_write(t.ssl, NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0", 33) != 33)
            _exit(1);
    }
    if (write(done, "x", 1) != 1 || read(hold, &(char){0}, 1) < 0)
        _exit(1);
    _exit(0);
}

/* read(2) and its like, by this thread so far. */
static long n_reads(void)
{
    char text[512] = "";
    int fd = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
    const char *at;

    if (fd < 0)
        return 0;
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    at = strstr(text, "syscr: ");
    return at ? atol(at + 7) : 0;
}

/* Scenario: a request of 60 KB is there as a whole, three times.
 * Guarantees: it takes one system call to read it; the buffers that h2o keeps go with the server. */
static void a_tls_request_is_read_at_once(void **state)
{
    enum { N = 60000 };
    static const char head[] = "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n";
    static uint8_t body[N];
    size_t n_kept;
    long before, own;
    struct tls t;

    (void)state;
    start();
    tls_open(&t, "\10http/1.1", NULL);
    assert_int_equal(tls_handshake(&t), 1);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(SSL_write(t.ssl, head, sizeof head - 1), sizeof head - 1);
        assert_int_equal(SSL_write(t.ssl, body, N), N);
        wait_until_there(t.fd);
        own = n_reads();
        before = n_reads();
        own = before - own;
        gw_loop_turn(rig.loop, 0);
        assert_true(n_reads() - before - own <= 1);
        assert_int_equal(rig.heard.n_body, i * N);
        rig_turn(&rig, 3);
    }
    tls_close(&t);
    rig_turn(&rig, 5);
    assert_true(h2o_socket_buffer_prototype.allocator.cnt > 0);
    rig_stop(&rig);
    n_kept = h2o_socket_buffer_prototype.allocator.cnt;
    start();
    assert_int_equal(n_kept, 0);
}

/* Scenario: 200 clients of another process connect by TLS, speak HTTP/2, and are idle.
 * Guarantees: an idle connection holds at most 64 KiB. */
static void an_idle_tls_connection_holds_little_memory(void **state)
{
    enum { N = 200 };
    int done[2], hold[2];
    struct tls t;
    long before;
    pid_t pid;

    (void)state;
    start();
    tls_open(&t, "\2h2", NULL); /* what OpenSSL keeps for all is there before */
    assert_int_equal(tls_handshake(&t), 1);
    tls_close(&t);
    rig_turn(&rig, 5);
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(hold), 0);
    fcntl(done[0], F_SETFL, O_NONBLOCK);
    before = rss_kib();
    pid = fork();
    if (pid == 0) {
        close(hold[1]);
        hold_connections(N, done[1], hold[0]);
    }
    for (unsigned i = 0; i < 200000 && read(done[0], &(char){0}, 1) != 1; i++)
        gw_loop_turn(rig.loop, MS);
    rig_turn(&rig, 20);
    before = (rss_kib() - before) * 1024 / N;
    print_message("an idle TLS connection: %ld bytes\n", before);
    assert_false(gw_hs_server_is_idle(rig.server));
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
    assert_true(before <= 64 * 1024);
#endif
    close(hold[1]);
    close(hold[0]);
    close(done[0]);
    close(done[1]);
    waitpid(pid, NULL, 0);
    rig_turn(&rig, 50);
}

static void refused(const char *word)
{
    struct gw_hs_group *g;
    struct gw_err err = {{0}};

    rig.conf.endpoint = "127.0.0.1:0";
    assert_true(gw_hs_group_new(&rig.fake.env, &rig.conf, &g, &err) < 0);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

/* Scenario: settings that cannot be met, one at a time.
 * Guarantees: each is refused when the group is made, with a sentence that names it. */
static void settings_that_cannot_be_met_are_named(void **state)
{
    static const char *const bad_suite[] = {"TLS_NO_SUCH"}, *const insecure[] = {"TLS_RSA_WITH_AES_128_GCM_SHA256"};
    struct gw_server_tls good = rig.conf.tls;

    (void)state;
    rig.conf.tls.cert_file = in_dir("nowhere.pem");
    refused("nowhere.pem");
    rig.conf.tls = good;
    rig.conf.tls.key_file = in_dir("client.key"); /* of another certificate */
    refused("client.key");
    rig.conf.tls = good;
    rig.conf.tls.key_file = "";
    refused("key_file");
    rig.conf.tls = good;
    rig.conf.tls.client_ca_file = in_dir("server.key");
    refused("server.key");
    rig.conf.tls = good;
    rig.conf.tls.min_version = "1.4";
    refused("1.4");
    rig.conf.tls = good;
    rig.conf.tls.min_version = "1.3";
    rig.conf.tls.max_version = "1.2";
    refused("max_version");
    rig.conf.tls = good;
    rig.conf.tls.cipher_suites = bad_suite;
    rig.conf.tls.n_cipher_suites = 1;
    refused("TLS_NO_SUCH");
    rig.conf.tls.cipher_suites = insecure;
    refused("include_insecure_cipher_suites");
    rig.conf.tls = good;
    rig.conf.tls.curve_preferences = bad_suite;
    rig.conf.tls.n_curve_preferences = 1;
    refused("TLS_NO_SUCH");
    rig.conf.tls = good;
    start(); /* for tear_down */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(http2_over_tls_is_chosen_by_alpn),
        CASE(http1_over_tls_is_served_with_and_without_alpn),
        CASE(only_clients_with_a_certificate_of_the_authority_get_in),
        CASE(new_certificate_files_are_taken_and_broken_ones_are_not),
        CASE(by_default_only_modern_tls_gets_in),
        CASE(min_version_has_an_effect),
        CASE(max_version_has_an_effect),
        CASE(cipher_suites_and_curves_have_an_effect),
        CASE(a_tls_request_is_read_at_once),
        CASE(an_idle_tls_connection_holds_little_memory),
        CASE(settings_that_cannot_be_met_are_named),
    };

    return cmocka_run_group_tests(tests, make_all, remove_all);
}
