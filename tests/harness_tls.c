/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_tls.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/harness_pki.h"

enum { TURNS = 400, LISTEN_TURNS = 6 };
#define SECOND 1000000000ull

/* ---- files ---- */

static char dir[] = "/tmp/gw-tls-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[8][96];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
    return p;
}

/* With a time of its own each: what is written in the same moment would look unchanged. */
static void put_file(const char *name, const char *text)
{
    static time_t written = 1700000000;
    const struct timespec when = {.tv_sec = written++}, times[2] = {when, when};
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

static void make_dir(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const names[] = {"server.pem", "server.key", "middle.pem", "clients.pem"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(path_of(names[i]));
    assert_int_equal(rmdir(dir), 0);
}

/* As a double-quoted YAML text. */
static char *quoted(const char *pem)
{
    char *out = malloc(2 * strlen(pem) + 3), *p = out;

    assert_non_null(out);
    *p++ = '"';
    for (; *pem; pem++) {
        if (*pem == '\n') {
            *p++ = '\\';
            *p++ = 'n';
        } else {
            *p++ = *pem;
        }
    }
    *p++ = '"';
    *p = '\0';
    return out;
}

/* ---- a client ---- */

struct who {
    const struct gw_pki_cert *trusts, *is; /* is: NULL: has no certificate */
    void (*only)(SSL *ssl);                /* what it is limited to, or NULL */
};

static void trust(SSL_CTX *ctx, const struct gw_pki_cert *ca)
{
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca->x509), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

/* In TLS 1.3 a server says no after the client is done: listen for it. */
static bool stays(const struct gw_tls_subject *s, SSL *ssl)
{
    char piece[256];

    for (unsigned i = 0; i < LISTEN_TURNS; i++) {
        int n;

        s->turn(s->arg, 0);
        ERR_clear_error();
        n = SSL_read(ssl, piece, sizeof(piece));
        if (n <= 0 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
            return false;
    }
    return true;
}

static bool shakes(const struct gw_tls_subject *s, SSL *ssl)
{
    for (unsigned i = 0; i < TURNS; i++) {
        int n, why;

        ERR_clear_error();
        n = SSL_connect(ssl);
        if (n == 1)
            return true;
        why = SSL_get_error(ssl, n);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            return false;
        s->turn(s->arg, 0);
    }
    return false;
}

/* ret_name: the common name of the certificate that it was shown; may be NULL. */
static bool gets_in(const struct gw_tls_subject *s, struct who w, char *ret_name)
{
    static const unsigned char both[] = "\2h2\10http/1.1";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd = s->connect(s->arg);
    bool in;
    SSL *ssl;

    trust(ctx, w.trusts);
    if (w.is) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, w.is->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, w.is->key), 1);
    }
    ssl = SSL_new(ctx);
    if (w.only)
        w.only(ssl);
    (void)SSL_set_alpn_protos(ssl, both, sizeof(both) - 1);
    SSL_set_fd(ssl, fd);
    in = shakes(s, ssl);
    if (in && ret_name) {
        X509 *cert = SSL_get1_peer_certificate(ssl);

        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret_name, 64);
        X509_free(cert);
    }
    in = in && stays(s, ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    (void)close(fd);
    ERR_clear_error();
    s->turn(s->arg, 0);
    return in;
}

/* Open with this block, try one client, close. extra: what the block has beside the pair in server.pem and server.key.
 */
static bool lets_in(const struct gw_tls_subject *s, const char *extra, struct who w)
{
    char text[4096];
    bool in;

    snprintf(text, sizeof(text), "{cert_file: %s, key_file: %s%s%s}", path_of("server.pem"), path_of("server.key"),
             *extra ? ", " : "", extra);
    assert_true(s->open(s->arg, text));
    in = gets_in(s, w, NULL);
    s->close(s->arg);
    return in;
}

/* ---- what clients are shown ---- */

static void show_texts(const struct gw_tls_subject *s, const struct gw_pki_cert *root, const struct gw_pki_cert *other)
{
    char text[8192], name[64], *cert = quoted(other->cert_pem), *key = quoted(other->key_pem);

    snprintf(text, sizeof(text), "{cert_file: %s, key_file: %s}", path_of("server.pem"), path_of("server.key"));
    assert_true(s->open(s->arg, text));
    assert_true(gets_in(s, (struct who){.trusts = root}, name));
    assert_string_equal(name, "first");
    s->close(s->arg);
    snprintf(text, sizeof(text), "{cert_pem: %s, key_pem: %s}", cert, key);
    assert_true(s->open(s->arg, text));
    assert_true(gets_in(s, (struct who){.trusts = root}, name));
    assert_string_equal(name, "second");
    s->close(s->arg);
    free(cert);
    free(key);
}

void gw_test_tls_identity(const struct gw_tls_subject *s)
{
    struct gw_pki_cert root = gw_pki_new("root", NULL), middle = gw_pki_new_between("middle", &root);
    struct gw_pki_cert first = gw_pki_new("first", &root), second = gw_pki_new("second", &root);
    struct gw_pki_cert far = gw_pki_new("far", &middle);
    struct who w = {.trusts = &root};
    char extra[4096], *text = quoted(middle.cert_pem);

    make_dir();
    put_file("server.pem", first.cert_pem);
    put_file("server.key", first.key_pem);
    put_file("middle.pem", middle.cert_pem);
    show_texts(s, &root, &second);
    put_file("server.pem", far.cert_pem);
    put_file("server.key", far.key_pem);
    assert_false(lets_in(s, "", w)); /* the client does not know who signed it */
    snprintf(extra, sizeof(extra), "ca_file: %s", path_of("middle.pem"));
    assert_true(lets_in(s, extra, w));
    snprintf(extra, sizeof(extra), "ca_pem: %s", text);
    assert_true(lets_in(s, extra, w));
    assert_int_equal(setenv("SSL_CERT_FILE", path_of("middle.pem"), 1), 0); /* the system's, for OpenSSL */
    assert_false(lets_in(s, "include_system_ca_certs_pool: false", w));
    assert_true(lets_in(s, "include_system_ca_certs_pool: true", w));
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    free(text);
    remove_dir();
    gw_pki_free(&root);
    gw_pki_free(&middle);
    gw_pki_free(&first);
    gw_pki_free(&second);
    gw_pki_free(&far);
}

/* ---- who gets in ---- */

struct crowd {
    struct gw_pki_cert root, first, second, ours, theirs, our_agent, their_agent;
};

/* The authority of clients is changed while it runs, and the server's own certificate, too, which is read again. */
static void change_authority(const struct gw_tls_subject *s, const struct crowd *c, bool reload)
{
    char text[1024], name[64];

    put_file("server.pem", c->first.cert_pem);
    put_file("server.key", c->first.key_pem);
    put_file("clients.pem", c->ours.cert_pem);
    snprintf(text, sizeof(text),
             "{cert_file: %s, key_file: %s, client_ca_file: %s, client_ca_file_reload: %s, reload_interval: 5s}",
             path_of("server.pem"), path_of("server.key"), path_of("clients.pem"), reload ? "true" : "false");
    assert_true(s->open(s->arg, text));
    assert_true(gets_in(s, (struct who){.trusts = &c->root, .is = &c->our_agent}, name));
    assert_string_equal(name, "first");
    assert_false(gets_in(s, (struct who){.trusts = &c->root, .is = &c->their_agent}, NULL));
    assert_false(gets_in(s, (struct who){.trusts = &c->root}, NULL));
    put_file("clients.pem", c->theirs.cert_pem);
    put_file("server.pem", c->second.cert_pem);
    put_file("server.key", c->second.key_pem);
    s->turn(s->arg, 4 * SECOND);
    assert_true(gets_in(s, (struct who){.trusts = &c->root, .is = &c->our_agent}, name));
    assert_string_equal(name, "first"); /* reload_interval is not over */
    s->turn(s->arg, 2 * SECOND);
    assert_int_equal(gets_in(s, (struct who){.trusts = &c->root, .is = &c->our_agent}, name), !reload);
    assert_int_equal(gets_in(s, (struct who){.trusts = &c->root, .is = &c->their_agent}, name), reload);
    assert_string_equal(name, "second");
    s->close(s->arg);
}

void gw_test_tls_clients(const struct gw_tls_subject *s)
{
    struct crowd c = {.root = gw_pki_new("root", NULL), .ours = gw_pki_new("ours", NULL)};

    c.theirs = gw_pki_new("theirs", NULL);
    c.first = gw_pki_new("first", &c.root);
    c.second = gw_pki_new("second", &c.root);
    c.our_agent = gw_pki_new("agent", &c.ours);
    c.their_agent = gw_pki_new("agent", &c.theirs);
    make_dir();
    change_authority(s, &c, /* reload= */ false);
    change_authority(s, &c, /* reload= */ true);
    assert_true(lets_in(s, "", (struct who){.trusts = &c.root})); /* without client_ca_file nobody is asked */
    remove_dir();
    gw_pki_free(&c.root);
    gw_pki_free(&c.first);
    gw_pki_free(&c.second);
    gw_pki_free(&c.ours);
    gw_pki_free(&c.theirs);
    gw_pki_free(&c.our_agent);
    gw_pki_free(&c.their_agent);
}

/* ---- how it is spoken ---- */

static void only_12(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}

static void only_13(SSL *ssl)
{
    SSL_set_min_proto_version(ssl, TLS1_3_VERSION);
}

static void only_gcm_128(SSL *ssl)
{
    only_12(ssl);
    SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-GCM-SHA256");
}

static void only_gcm_256(SSL *ssl)
{
    only_12(ssl);
    SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

static void only_cbc(SSL *ssl)
{
    only_12(ssl);
    SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-SHA256");
}

static void only_p521(SSL *ssl)
{
    SSL_set1_groups_list(ssl, "P-521");
}

static void only_p256(SSL *ssl)
{
    SSL_set1_groups_list(ssl, "P-256");
}

void gw_test_tls_ways(const struct gw_tls_subject *s)
{
    static const struct {
        const char *extra;
        void (*only)(SSL *ssl);
        bool in;
    } t[] = {
        {"", only_12, true},
        {"", only_13, true},
        {"min_version: '1.3'", only_12, false},
        {"min_version: '1.3'", only_13, true},
        {"max_version: '1.2'", only_12, true},
        {"max_version: '1.2'", only_13, false},
        {"", only_gcm_128, true},
        {"cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]", only_gcm_128, false},
        {"cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]", only_gcm_256, true},
        {"", only_cbc, false},
        {"include_insecure_cipher_suites: true, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256]", only_cbc,
         true},
        {"", only_p521, true},
        {"curve_preferences: [P256]", only_p521, false},
        {"curve_preferences: [P256]", only_p256, true},
    };
    struct gw_pki_cert root = gw_pki_new("root", NULL), first = gw_pki_new("first", &root);
    char text[512];

    make_dir();
    put_file("server.pem", first.cert_pem);
    put_file("server.key", first.key_pem);
    for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        if (lets_in(s, t[i].extra, (struct who){.trusts = &root, .only = t[i].only}) != t[i].in)
            fail_msg("case %u: {%s}: should %s", i, t[i].extra, t[i].in ? "get in" : "be refused");
    snprintf(text, sizeof(text),
             "{cert_file: %s, key_file: %s, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256]}",
             path_of("server.pem"), path_of("server.key"));
    assert_false(s->open(s->arg, text)); /* insecure, and not allowed */
    remove_dir();
    gw_pki_free(&root);
    gw_pki_free(&first);
}
