/* SPDX-License-Identifier: Apache-2.0 */
/* One GET, waited for, against a small server in another thread, plain and with TLS. */
#include "tests/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clients.h"
#include "tests/harness_pki.h"

/* ---- the server: each connection gets the next reply, the last one again and again ------------------------- */

struct server {
    int fd;
    unsigned port, requests;
    const char *const *replies; /* NULL-ended; "": no answer. A last '+' is not sent: the connection stays open */
    SSL_CTX *tls;
    char last[4096];
    pthread_t thread;
};

static ssize_t get(int fd, SSL *ssl, char *p, size_t n)
{
    return ssl ? SSL_read(ssl, p, (int)n) : recv(fd, p, n, 0);
}

static void put(int fd, SSL *ssl, const char *p, size_t n)
{
    if (ssl)
        (void)SSL_write(ssl, p, (int)n);
    else
        (void)send(fd, p, n, MSG_NOSIGNAL);
}

static void serve(struct server *sv, int fd, SSL *ssl)
{
    char in[4096] = "", rest[64];
    const char *reply;
    size_t n = 0;
    bool stay;

    while (!strstr(in, "\r\n\r\n")) {
        ssize_t r = get(fd, ssl, in + n, sizeof(in) - 1 - n);

        if (r <= 0)
            return;
        n += (size_t)r;
        in[n] = '\0';
    }
    memcpy(sv->last, in, sizeof(in));
    reply = *sv->replies;
    if (sv->replies[1])
        sv->replies++;
    sv->requests++;
    n = strlen(reply);
    stay = n == 0 || reply[n - 1] == '+';
    put(fd, ssl, reply, n && stay ? n - 1 : n);
    while (stay && get(fd, ssl, rest, sizeof(rest)) > 0)
        ;
}

static void *server_run(void *arg)
{
    struct server *sv = arg;
    int fd;

    while ((fd = accept(sv->fd, NULL, NULL)) >= 0) {
        SSL *ssl = sv->tls ? SSL_new(sv->tls) : NULL;

        if (ssl)
            SSL_set_fd(ssl, fd);
        if (!ssl || SSL_accept(ssl) == 1)
            serve(sv, fd, ssl);
        if (ssl)
            (void)SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *sv, const char *const *replies)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);

    sv->replies = replies;
    sv->requests = 0;
    sv->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(sv->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(sv->fd, 16), 0);
    getsockname(sv->fd, (struct sockaddr *)&in, &len);
    sv->port = ntohs(in.sin_port);
    assert_int_equal(pthread_create(&sv->thread, NULL, server_run, sv), 0);
}

static void server_stop(struct server *sv)
{
    shutdown(sv->fd, SHUT_RDWR); /* wakes accept */
    pthread_join(sv->thread, NULL);
    close(sv->fd);
}

/* ---- one fetch --------------------------------------------------------------------------------------------- */

static struct gw_err err;
static char *body;
static size_t n_body;

static int fetch(size_t max_bytes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fetch(size_t max_bytes, const char *fmt, ...)
{
    char url[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(url, sizeof(url), fmt, ap);
    va_end(ap);
    free(body);
    body = NULL;
    err.text[0] = '\0';
    return gw_fetch_curl(NULL, url, max_bytes, &body, &n_body, &err);
}

static int fetch_from(const char *const *replies, size_t max_bytes, unsigned *ret_requests)
{
    struct server sv = {0};
    int rc;

    server_start(&sv, replies);
    rc = fetch(max_bytes, "http://127.0.0.1:%u/conf.yaml", sv.port);
    server_stop(&sv);
    if (ret_requests)
        *ret_requests = sv.requests;
    return rc;
}

#define REPLIES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define OK           "HTTP/1.1 200 OK\r\n"

/*
 * Scenario: a URL with user, password and query.
 * Guarantees: one GET of path and query with basic authentication, no compression asked for; the body, zero-ended.
 */
static void a_body_comes_back(void **state)
{
    struct server sv = {0};

    (void)state;
    server_start(&sv, REPLIES(OK "Content-Length: 5\r\n\r\na: 1\n"));
    assert_int_equal(fetch(100, "http://joe:pw@127.0.0.1:%u/conf.yaml?v=2", sv.port), 0);
    server_stop(&sv);
    assert_int_equal(n_body, 5);
    assert_string_equal(body, "a: 1\n");
    assert_int_equal(strncmp(sv.last, "GET /conf.yaml?v=2 HTTP/1.1\r\n", 29), 0);
    assert_non_null(strstr(sv.last, "Authorization: Basic am9lOnB3\r\n"));
    assert_non_null(strstr(sv.last, "User-Agent: Staunch/"));
    assert_null(strcasestr(sv.last, "Accept-Encoding"));
    assert_int_equal(fetch_from(REPLIES(OK "Content-Length: 0\r\n\r\n"), 100, NULL), 0);
    assert_int_equal(n_body, 0);
    assert_string_equal(body, "");
}

/*
 * Scenario: other statuses, one with a page that does not end.
 * Guarantees: an error that names the status, at once.
 */
static void only_200_will_do(void **state)
{
    (void)state;
    assert_int_equal(fetch_from(REPLIES("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), 100, NULL), -EIO);
    assert_string_equal(err.text, "the server answered with status 404");
    assert_int_equal(fetch_from(REPLIES("HTTP/1.1 204 Nothing\r\n\r\n"), 100, NULL), -EIO);
    assert_string_equal(err.text, "the server answered with status 204");
    assert_int_equal(fetch_from(REPLIES("HTTP/1.1 500 Oh\r\n\r\nx+"), 100, NULL), -EIO);
    assert_string_equal(err.text, "the server answered with status 500");
    assert_null(body);
}

/* Scenario: a body of the limit, and longer ones, of known and of unknown length. Guarantees: over it is -E2BIG. */
static void a_body_has_a_limit(void **state)
{
    (void)state;
    assert_int_equal(fetch_from(REPLIES(OK "Content-Length: 4\r\n\r\n1234"), 4, NULL), 0);
    assert_int_equal(fetch_from(REPLIES(OK "\r\n1234"), 4, NULL), 0);
    assert_string_equal(body, "1234");
    assert_int_equal(fetch_from(REPLIES(OK "Content-Length: 5\r\n\r\n+"), 4, NULL), -E2BIG);
    assert_string_equal(err.text, "longer than the limit of 4 bytes");
    assert_int_equal(fetch_from(REPLIES(OK "\r\n12345+"), 4, NULL), -E2BIG);
    assert_string_equal(err.text, "longer than the limit of 4 bytes");
    assert_int_equal(fetch_from(REPLIES(OK "Content-Length: 9\r\n\r\n1234"), 9, NULL), -EIO); /* cut short */
}

/* Scenario: an answer in gzip. Guarantees: it is not unpacked, and the message says so. */
static void a_compressed_answer_is_refused(void **state)
{
    (void)state;
    assert_int_equal(fetch_from(REPLIES(OK "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"), 9, NULL), -EIO);
    assert_string_equal(err.text, "the answer is compressed, which was not asked for");
    assert_int_equal(fetch_from(REPLIES(OK "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nxx"), 9, NULL), 0);
}

/*
 * Scenario: one redirect, endless ones, one to a file, one to another server.
 * Guarantees: the first is followed; the second end; no file is read; the other server is not told the password.
 */
static void few_redirects_are_followed(void **state)
{
    struct server sv = {0}, other = {0};
    char reply[200];
    unsigned requests;

    (void)state;
    assert_int_equal(fetch_from(REPLIES("HTTP/1.1 302 There\r\nLocation: /b\r\nContent-Length: 2\r\n\r\nxx",
                                        OK "Content-Length: 1\r\n\r\ny"),
                                9, &requests),
                     0);
    assert_int_equal(requests, 2);
    assert_string_equal(body, "y");
    assert_int_equal(
        fetch_from(REPLIES("HTTP/1.1 302 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"), 9, &requests), -EIO);
    assert_string_equal(err.text, "more than 5 redirects");
    assert_int_equal(requests, 6);
    assert_int_equal(
        fetch_from(REPLIES("HTTP/1.1 302 There\r\nLocation: file:///etc/hostname\r\nContent-Length: 0\r\n\r\n"), 999,
                   NULL),
        -EIO);
    assert_null(body);
    server_start(&other, REPLIES(OK "Content-Length: 1\r\n\r\nz"));
    snprintf(reply, sizeof(reply), "HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:%u/c\r\nContent-Length: 0\r\n\r\n",
             other.port);
    server_start(&sv, REPLIES(reply));
    assert_int_equal(fetch(9, "http://joe:pw@127.0.0.1:%u/", sv.port), 0);
    server_stop(&sv);
    server_stop(&other);
    assert_string_equal(body, "z");
    assert_non_null(strstr(sv.last, "Authorization"));
    assert_null(strstr(other.last, "Authorization"));
}

/* Scenario: a server that does not answer, nobody at the port, no URL. Guarantees: each has its errno. */
static void failures_are_told_apart(void **state)
{
    struct server sv = {0};
    char url[64];

    (void)state;
    server_start(&sv, REPLIES(""));
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", sv.port);
    assert_int_equal(gw_fetch_curl_within(50, url, 9, &body, &n_body, &err), -ETIMEDOUT);
    server_stop(&sv);
    assert_int_equal(fetch(9, "http://127.0.0.1:1/"), -ECONNREFUSED);
    assert_int_equal(fetch(9, "http://"), -EINVAL);
    assert_int_equal(fetch(9, "file:///etc/hostname"), -EIO);
    assert_null(body);
}

/*
 * Scenario: a server with a certificate of an authority that the system does not know, and then does; redirects from
 * https to http, and from http to https.
 * Guarantees: refused, then read; only the latter is followed.
 */
static void a_certificate_must_be_the_systems(void **state)
{
    struct gw_pki_cert ca = gw_pki_new("authority", NULL), cert = gw_pki_new("localhost", &ca);
    struct server sv = {.tls = SSL_CTX_new(TLS_server_method())}, plain = {0};
    char reply[200], path[] = "/tmp/staunch-fetch-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, ca.cert_pem, strlen(ca.cert_pem)), (ssize_t)strlen(ca.cert_pem));
    close(fd);
    assert_int_equal(SSL_CTX_use_certificate(sv.tls, cert.x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(sv.tls, cert.key), 1);
    server_start(&sv, REPLIES(OK "Content-Length: 5\r\n\r\na: 1\n", OK "Content-Length: 5\r\n\r\nb: 2\n",
                              "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"));
    assert_int_equal(fetch(9, "https://localhost:%u/", sv.port), -EIO);
    assert_non_null(strstr(err.text, "certificate"));
    assert_int_equal(setenv("SSL_CERT_FILE", path, 1), 0);
    assert_int_equal(fetch(9, "https://localhost:%u/", sv.port), 0);
    assert_string_equal(body, "a: 1\n");
    snprintf(reply, sizeof(reply), "HTTP/1.1 308 Up\r\nLocation: https://localhost:%u/\r\nContent-Length: 0\r\n\r\n",
             sv.port);
    server_start(&plain, REPLIES(reply));
    assert_int_equal(fetch(9, "http://127.0.0.1:%u/", plain.port), 0);
    server_stop(&plain);
    assert_string_equal(body, "b: 2\n");
    assert_int_equal(fetch(9, "https://localhost:%u/", sv.port), -EIO);
    assert_string_equal(err.text, "redirected (status 302) to where this may not go");
    assert_int_equal(fetch(9, "https://127.0.0.1:%u/", sv.port), -EIO); /* the certificate names another host */
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    server_stop(&sv);
    (void)unlink(path);
    SSL_CTX_free(sv.tls);
    gw_pki_free(&cert);
    gw_pki_free(&ca);
}

static int forget(void **state)
{
    (void)state;
    free(body);
    body = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_body_comes_back, forget),
        cmocka_unit_test_teardown(only_200_will_do, forget),
        cmocka_unit_test_teardown(a_body_has_a_limit, forget),
        cmocka_unit_test_teardown(a_compressed_answer_is_refused, forget),
        cmocka_unit_test_teardown(few_redirects_are_followed, forget),
        cmocka_unit_test_teardown(failures_are_told_apart, forget),
        cmocka_unit_test_teardown(a_certificate_must_be_the_systems, forget),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* of SSL_write */
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
