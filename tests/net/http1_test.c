/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol over a connection without a socket (fake_conn.h): raw bytes in, raw bytes out. */
#include <stdio.h>

#include "tests/harness.h"
#include "tests/net/fake_conn.h"

enum mode { ANSWER, REFUSE, REFUSE_IN_BODY, HOLD };

struct rig {
    struct fake f;
    struct gw_hs_handler handler;
    enum mode mode;
    int status;
    unsigned heads, ends, gones, chunks;
    struct gw_buf body, seen; /* of the last request; "METHOD path?query [authority] name=value..." */
    struct gw_hs_stream *held;
};

static struct rig *rig_of(struct gw_hs_handler *h)
{
    return (struct rig *)(void *)((char *)h - offsetof(struct rig, handler));
}

static void answer(struct rig *r, struct gw_hs_stream *s)
{
    struct gw_header type = {GW_SLICE("content-type"), GW_SLICE("text/plain")};
    struct gw_hs_response rs = {.status = r->status, .headers = &type, .n_headers = 1, .body = gw_buf_slice(&r->body)};

    gw_hs_respond(s, &rs);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *d)
{
    struct rig *r = rig_of(h);

    r->heads++;
    gw_buf_reset(&r->body);
    gw_buf_reset(&r->seen);
    gw_buf_printf(&r->seen, "%.*s %.*s?%.*s [%.*s] %lld", (int)d->method.n, d->method.p, (int)d->path.n, d->path.p,
                  (int)d->query.n, d->query.p, (int)d->authority.n, d->authority.p, (long long)d->content_length);
    for (unsigned i = 0; i < d->n_headers; i++)
        gw_buf_printf(&r->seen, " %.*s=%.*s", (int)d->headers[i].name.n, d->headers[i].name.p,
                      (int)d->headers[i].value.n, d->headers[i].value.p);
    if (r->mode == REFUSE)
        answer(r, s);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct rig *r = rig_of(h);

    r->chunks++;
    gw_buf_put_slice(&r->body, chunk);
    if (r->mode == REFUSE_IN_BODY)
        answer(r, s);
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct rig *r = rig_of(h);

    r->ends++;
    if (r->mode == HOLD)
        r->held = s;
    else
        answer(r, s);
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)s;
    rig_of(h)->gones++;
}

static void rig_open(struct rig *r, enum mode mode)
{
    *r = (struct rig){.mode = mode, .status = mode == REFUSE || mode == REFUSE_IN_BODY ? 503 : 200};
    r->handler = (struct gw_hs_handler){.head = on_head, .body = on_body, .end = on_end, .gone = on_gone};
    gw_buf_init(&r->body, 1 << 20);
    gw_buf_init(&r->seen, 1 << 20);
    fake_open(&r->f, &gw_http1, &r->handler);
}

static void rig_close(struct rig *r)
{
    fake_close(&r->f);
    assert_int_equal(r->heads, r->gones); /* nobody is left without a last word */
    gw_buf_clear(&r->body);
    gw_buf_clear(&r->seen);
}

static void say(struct rig *r, const char *text)
{
    fake_send(&r->f, gw_slice_cstr(text));
}

static unsigned count(struct gw_slice s, const char *what)
{
    unsigned n = 0;

    for (size_t i = 0; i + strlen(what) <= s.n; i++)
        n += memcmp(s.p + i, what, strlen(what)) == 0;
    return n;
}

static bool said(const struct rig *r, const char *what)
{
    return count(gw_buf_slice(&r->f.out), what) > 0;
}

/* Scenario: a plain request. Guarantees: names in lower case, query apart, a full answer, the connection stays. */
static void a_request_is_read_and_answered(void **state)
{
    static const char want[] = "HTTP/1.1 200 OK\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\ncontent-type: text/plain\r\n"
                               "content-length: 5\r\n\r\nhello";
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "POST /v1/traces?a=b&c HTTP/1.1\r\nHost: gw:4318\r\nX-One:  two words \r\nContent-Length: 5\r\n\r\nhello");
    assert_string_equal((gw_buf_put_u8(&r.seen, 0), (char *)r.seen.p),
                        "POST /v1/traces?a=b&c [gw:4318] 5 host=gw:4318 x-one=two words content-length=5");
    assert_true(gw_slice_is(gw_buf_slice(&r.f.out), want));
    assert_int_equal(r.gones, 1);
    assert_false(r.f.c.finishing);
    say(&r, "GET / HTTP/1.1\r\nHost: gw\r\n\r\n");
    assert_int_equal(r.ends, 2);
    rig_close(&r);
}

/* Scenario: the same bytes in every cut, and one by one. Guarantees: the answer does not depend on the cut. */
static void any_cut_gives_the_same(void **state)
{
    static const char *const texts[] = {
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n006;x=\"y\"\r\n "
        "world\r\n0\r\nT: v\r\n\r\n",
    };

    (void)state;
    for (size_t t = 0; t < 2; t++) {
        size_t n = strlen(texts[t]);

        for (size_t cut = 0; cut <= n; cut++) {
            struct rig r;

            rig_open(&r, ANSWER);
            if (cut < n) {
                fake_send(&r.f, gw_slice_of(texts[t], cut));
                fake_send(&r.f, gw_slice_of(texts[t] + cut, n - cut));
            } else {
                for (size_t i = 0; i < n; i++)
                    fake_send(&r.f, gw_slice_of(texts[t] + i, 1));
            }
            assert_int_equal(r.ends, 1);
            assert_true(gw_slice_is(gw_buf_slice(&r.body), "hello world"));
            assert_true(said(&r, "HTTP/1.1 200 OK"));
            assert_false(r.f.c.finishing);
            rig_close(&r);
        }
    }
}

/* Scenario: a long body of known length. Guarantees: it is handed on as it comes, in the pieces of the reads. */
static void bodies_stream(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    assert_int_equal(r.chunks, 1);
    assert_int_equal(r.f.in.n, 0);
    say(&r, "def");
    assert_int_equal(r.chunks, 2);
    assert_int_equal(r.ends, 0);
    say(&r, "ghi");
    assert_int_equal(r.ends, 1);
    assert_true(gw_slice_is(gw_buf_slice(&r.body), "abcdefghi"));
    rig_close(&r);
}

/* Scenario: two ways to read a message. Guarantees: 400 (or the status that fits) and the end of the connection, and
 * the handler never hears of it. */
static void ambiguous_requests_are_refused(void **state)
{
#define P "POST /v1/traces HTTP/1.1\r\n"
#define H "Host: h\r\n"
    static const struct {
        const char *text;
        int status;
    } t[] = {
        {P H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
        {P H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
        {P H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
        {P H "Content-Length: 5, 5\r\n\r\nhello", 400},
        {P H "Content-Length: +5\r\n\r\nhello", 400},
        {P H "Content-Length: -1\r\n\r\n", 400},
        {P H "Content-Length: 0x5\r\n\r\nhello", 400},
        {P H "Content-Length: 5 5\r\n\r\nhello", 400},
        {P H "Content-Length:\r\n\r\n", 400},
        {P H "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {P H "Content-Length : 5\r\n\r\nhello", 400},
        {P H "Transfer-Encoding: xchunked\r\n\r\n", 400},
        {P H "Transfer-Encoding: identity\r\n\r\n", 400},
        {P H "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n",
         400},
        {P H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
        {P H "Transfer\x02-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {P "Content-Length: 0\r\n\r\n", 400},
        {P H "Host: other\r\n\r\n", 400},
        {P H H "\r\n", 400},
        {P "Host: a b\r\n\r\n", 400},
        {P "Host: a,b\r\n\r\n", 400},
        {P "Host: user@h\r\n\r\n", 400},
        {P "Host: h/x\r\n\r\n", 400},
        {"POST http://other/v1/traces HTTP/1.1\r\n" H "\r\n", 400},
        {"POST //\x80 HTTP/1.1\r\n" H "\r\n", 400},
        {"POST /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"POST v1/traces HTTP/1.1\r\n" H "\r\n", 400},
        {"POST * HTTP/1.1\r\n" H "\r\n", 400},
        {"CONNECT h:80 HTTP/1.1\r\n" H "\r\n", 400},
        {"PO(ST / HTTP/1.1\r\n" H "\r\n", 400},
        {P H "A: b\r\n c\r\n\r\n", 400},
        {P H "A: b\r\n\tc\r\n\r\n", 400},
        {P " A: b\r\n" H "\r\n", 400},
        {P H "A: b\n\r\n", 400},
        {"POST / HTTP/1.1\n" H "\r\n", 400},
        {P H "A: b\r\n\n", 400},
        {"\nPOST / HTTP/1.1\r\n" H "\r\n", 400},
        {P H "A: b\rc: d\r\n\r\n", 400},
        {P H "no colon\r\n\r\n", 400},
        {P H ": empty\r\n\r\n", 400},
        {P H "a b: c\r\n\r\n", 400},
        {P H "a\x01: c\r\n\r\n", 400},
        {P H "a: c\x7f\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 400},
        {"GET / HTTP/1.2\r\n" H "\r\n", 505},
        {"GET / HTTP/1.11\r\n" H "\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {P H "Expect: 200-ok\r\n\r\n", 417},
    };
#undef P
#undef H

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct rig r;
        char line[32];

        rig_open(&r, ANSWER);
        say(&r, t[i].text);
        (void)snprintf(line, sizeof(line), "HTTP/1.1 %d ", t[i].status);
        if (!said(&r, line) || r.heads != 0)
            print_error("case %zu: %s\n", i, t[i].text);
        assert_true(r.f.out.n > 12);
        assert_memory_equal(r.f.out.p, line, strlen(line));
        assert_true(said(&r, "\r\nconnection: close\r\n"));
        assert_true(r.f.c.finishing);
        assert_int_equal(r.heads, 0);
        rig_close(&r);
    }
}

/* Scenario: chunked bodies that are not. Guarantees: the request is told gone without an end; 400 and close. */
static void bad_chunks_are_refused(void **state)
{
    static const char *const t[] = {
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "\r\n",
        "g\r\n",
        "0x5\r\nhello\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "fffffffffffffffff\r\n",
        "0000000000000000\r\n",
        "5;a\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;\x01\r\nhello\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\nT: v\n\r\n",
        "0\r\n\n",
        "0\r\n T: v\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct rig r;

        rig_open(&r, ANSWER);
        say(&r, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        say(&r, t[i]);
        if (r.ends != 0 || !said(&r, "HTTP/1.1 400 "))
            print_error("case %zu: %s\n", i, t[i]);
        assert_int_equal(r.ends, 0);
        assert_int_equal(r.gones, 1);
        assert_true(said(&r, "HTTP/1.1 400 "));
        assert_true(r.f.c.finishing);
        rig_close(&r);
    }
}

/* Scenario: heads, extensions and trailers without end. Guarantees: 431 or 400, within the limit's bytes. */
static void everything_that_grows_has_a_limit(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
    for (int i = 0; i < 20000 && !r.f.c.finishing; i++)
        say(&r, "x");
    assert_true(said(&r, "HTTP/1.1 431 "));
    rig_close(&r);

    rig_open(&r, ANSWER);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 101; i++)
        say(&r, "A: b\r\n");
    say(&r, "\r\n");
    assert_true(said(&r, "HTTP/1.1 431 "));
    rig_close(&r);

    rig_open(&r, ANSWER);
    say(&r, "GET /");
    for (int i = 0; i < 8192; i++)
        say(&r, "x");
    say(&r, " HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(said(&r, "HTTP/1.1 414 "));
    rig_close(&r);

    for (int what = 0; what < 3; what++) {
        unsigned sent = 0;

        rig_open(&r, ANSWER);
        say(&r, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        say(&r, what == 0 ? "5;" : what == 1 ? "0\r\nT: " : "");
        for (; sent < 20000 && !r.f.c.finishing; sent++)
            say(&r, what == 2 ? "1;abcdefgh\r\nx\r\n" : "x");
        assert_true(said(&r, "HTTP/1.1 400 "));
        assert_true(sent <= (what == 0 ? 300u : 16400u));
        rig_close(&r);
    }
}

/* Scenario: three requests in one write, the first answered late. Guarantees: one at a time, answers in order. */
static void pipelined_requests_are_answered_in_order(void **state)
{
    struct gw_hs_stream *first;
    struct rig r;

    (void)state;
    rig_open(&r, HOLD);
    say(&r, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: "
            "1\r\n\r\n2"
            "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(r.heads, 1);
    assert_true(r.f.paused);
    first = r.held;
    assert_ptr_equal(gw_http1.find(&r.f.c, first->id), first);
    answer(&r, first);
    assert_null(gw_http1.find(&r.f.c, 1));
    fake_turn(&r.f);
    assert_int_equal(r.heads, 2);
    assert_int_equal(r.gones, 1);
    assert_int_equal(r.held->id, 2);
    r.mode = ANSWER;
    answer(&r, r.held);
    fake_turn(&r.f);
    assert_int_equal(r.heads, 3);
    assert_int_equal(r.gones, 3);
    assert_int_equal(count(gw_buf_slice(&r.f.out), "HTTP/1.1 200 OK"), 3);
    rig_close(&r);
}

/* Scenario: Expect: 100-continue, let in and refused. Guarantees: 100 comes only after admission, never before a 503.
 */
static void continue_is_said_after_admission(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(gw_slice_is(gw_buf_slice(&r.f.out), "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_int_equal(r.heads, 1);
    say(&r, "ab");
    assert_true(said(&r, "HTTP/1.1 200 OK"));
    assert_false(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, REFUSE);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_false(said(&r, "100 Continue"));
    assert_true(said(&r, "HTTP/1.1 503 Service Unavailable"));
    assert_true(said(&r, "connection: close"));
    assert_true(r.f.c.finishing);
    rig_close(&r);
}

/* Scenario: refused before the body. Guarantees: nothing of the body is told; a short rest is thrown away and the
 * connection stays, a long one ends it. */
static void refusals_come_before_the_body(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, REFUSE);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    assert_true(said(&r, "HTTP/1.1 503 "));
    assert_int_equal(r.gones, 0);
    say(&r, "loGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(r.chunks, 0);
    assert_int_equal(r.heads, 2);
    assert_int_equal(r.gones, 2);
    assert_false(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, REFUSE);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / "
            "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(r.heads, 2);
    assert_int_equal(r.chunks, 0);
    rig_close(&r);

    rig_open(&r, REFUSE);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc");
    assert_true(said(&r, "connection: close"));
    assert_true(r.f.c.finishing);
    assert_int_equal(r.gones, 1);
    rig_close(&r);

    rig_open(&r, REFUSE_IN_BODY);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_int_equal(r.chunks, 1);
    assert_int_equal(count(gw_buf_slice(&r.f.out), "HTTP/1.1 "), 1);
    for (int i = 0; i < 100 && !r.f.c.finishing; i++)
        say(&r, "400\r\n"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345"
                "6789abcdef0123456789abcdef"
                "\r\n");
    assert_true(r.f.c.finishing); /* more than 64 KiB of a refused body is not read */
    assert_int_equal(r.chunks, 1);
    rig_close(&r);
}

/* Scenario: who keeps a connection and who does not. Guarantees: version, Connection, HEAD and our setting decide. */
static void connections_are_kept_as_agreed(void **state)
{
    static const struct {
        const char *text;
        bool keep_alives, kept;
        const char *says;
    } t[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, true, "content-length: 0"},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true, false, "connection: close"},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", true, false, "connection: close"},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, false, "connection: close"},
        {"GET / HTTP/1.0\r\n\r\n", true, false, "connection: close"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, true, "connection: keep-alive"},
        {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", true, true, "200 OK"},
        {"GET http://H:1/x HTTP/1.1\r\nHost: h:1\r\n\r\n", true, true, "200 OK"},
        {"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", true, true, "200 OK"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct rig r;

        rig_open(&r, ANSWER);
        r.f.conf.keep_alives = t[i].keep_alives;
        say(&r, t[i].text);
        assert_true(said(&r, "HTTP/1.1 200 OK"));
        assert_true(said(&r, t[i].says));
        assert_int_equal(r.f.c.finishing, !t[i].kept);
        rig_close(&r);
    }
}

/* Scenario: HEAD and 204. Guarantees: no body behind them, or the next answer would be read wrongly. */
static void some_answers_have_no_body(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(said(&r, "content-length: 3\r\n\r\n"));
    assert_false(said(&r, "abc"));
    r.status = 204;
    gw_buf_reset(&r.f.out);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(said(&r, "HTTP/1.1 204 No Content\r\n"));
    assert_false(said(&r, "content-length"));
    assert_false(said(&r, "abc"));
    rig_close(&r);
}

static void pass(struct rig *r, uint64_t s)
{
    r->f.now_ns += s * 1000000000u;
    while (r->f.due_ns && r->f.due_ns <= r->f.now_ns && !r->f.c.closed && !r->f.c.finishing) {
        r->f.due_ns = 0;
        gw_http1.timeout(&r->f.c);
    }
    fake_turn(&r->f);
}

/* Scenario: clients that are slow or stop: before the head, within it, within the body, in all. Guarantees: each is cut
 * by its own timeout, with 408 where a request had begun; one that keeps sending is not. */
static void slow_clients_are_cut(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    pass(&r, 9);
    assert_false(r.f.c.closed);
    pass(&r, 2);
    assert_true(r.f.c.closed);
    assert_int_equal(r.f.out.n, 0);
    rig_close(&r);

    rig_open(&r, ANSWER);
    say(&r, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 20 && !r.f.c.finishing; i++) {
        pass(&r, 1);
        say(&r, "a: b\r\n"); /* a byte now and then does not help */
    }
    assert_true(said(&r, "HTTP/1.1 408 "));
    assert_true(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, ANSWER);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 30; i++) { /* two minutes at 1.25 KiB a second */
        pass(&r, 4);
        for (int k = 0; k < 320; k++)
            say(&r, "0123456789abcdef");
        assert_false(r.f.c.finishing);
    }
    pass(&r, 31);
    assert_true(said(&r, "HTTP/1.1 408 "));
    assert_int_equal(r.ends, 0);
    assert_int_equal(r.gones, 1);
    rig_close(&r);

    rig_open(&r, ANSWER); /* a byte a second is no body */
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
    for (int i = 0; i < 40 && !r.f.c.finishing; i++) {
        pass(&r, 1);
        if (i < 29)
            assert_false(r.f.c.finishing);
        say(&r, "x");
    }
    assert_true(said(&r, "HTTP/1.1 408 "));
    assert_int_equal(r.ends, 0);
    rig_close(&r);

    rig_open(&r, ANSWER);
    r.f.conf.read_timeout_ns = 40000000000u;
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        pass(&r, 12);
        for (int k = 0; k < 1600; k++)
            say(&r, "0123456789abcdef");
        assert_false(r.f.c.finishing);
    }
    pass(&r, 5);
    assert_true(said(&r, "HTTP/1.1 408 "));
    rig_close(&r);

    rig_open(&r, HOLD);
    r.f.conf.write_timeout_ns = 5000000000u;
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    pass(&r, 6);
    assert_true(r.f.c.closed);
    rig_close(&r);

    rig_open(&r, ANSWER);
    r.f.conf.idle_timeout_ns = 5000000000u;
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    pass(&r, 4);
    assert_false(r.f.c.closed);
    pass(&r, 2);
    assert_true(r.f.c.closed);
    rig_close(&r);

    rig_open(&r, ANSWER);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    pass(&r, 100000); /* idle_timeout 0: none */
    assert_false(r.f.c.closed);
    rig_close(&r);
}

/* Scenario: the peer ends in mid-body, or after its request; the server is told to stop. Guarantees: gone without an
 * end; a whole request is still answered; an idle connection ends after a while, a busy one, or one that
 * asks meanwhile, answers with Connection: close. */
static void ends_are_orderly(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, ANSWER);
    say(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
    gw_http1.eof(&r.f.c);
    assert_true(r.f.c.closed);
    assert_int_equal(r.ends, 0);
    rig_close(&r);

    rig_open(&r, HOLD);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    gw_http1.eof(&r.f.c);
    assert_false(r.f.c.closed);
    answer(&r, r.held);
    fake_turn(&r.f);
    assert_true(said(&r, "HTTP/1.1 200 OK"));
    assert_true(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, HOLD);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    r.f.c.quiescing = true;
    gw_http1.quiesce(&r.f.c);
    assert_false(r.f.c.finishing);
    answer(&r, r.held);
    fake_turn(&r.f);
    assert_true(said(&r, "connection: close"));
    assert_true(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, ANSWER);
    r.f.c.quiescing = true;
    gw_http1.quiesce(&r.f.c);
    assert_false(r.f.c.finishing);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    fake_turn(&r.f);
    assert_true(said(&r, "HTTP/1.1 200 OK"));
    assert_true(said(&r, "connection: close"));
    assert_true(r.f.c.finishing);
    rig_close(&r);

    rig_open(&r, ANSWER);
    r.f.c.quiescing = true;
    gw_http1.quiesce(&r.f.c);
    assert_false(r.f.c.finishing);
    r.f.has_input = true; /* not read yet: this is not silence */
    gw_http1.timeout(&r.f.c);
    assert_false(r.f.c.finishing);
    r.f.has_input = false;
    gw_http1.timeout(&r.f.c);
    assert_true(r.f.c.finishing);
    assert_false(r.f.c.closed);
    rig_close(&r);
}

/* Scenario: an answer's header holds a line end (data of somebody else). Guarantees: it is left out, not split. */
static void answers_cannot_be_split(void **state)
{
    struct gw_header bad[2] = {{GW_SLICE("x-a"), GW_SLICE("b\r\nset-cookie: c")}, {GW_SLICE("x-ok"), GW_SLICE("d")}};
    struct gw_hs_response rs = {.status = 200, .headers = bad, .n_headers = 2};
    struct rig r;

    (void)state;
    rig_open(&r, HOLD);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    gw_hs_respond(r.held, &rs);
    assert_false(said(&r, "set-cookie"));
    assert_true(said(&r, "x-ok: d\r\n"));
    rig_close(&r);
}

/* Scenario: more response headers than the room on the stack. Guarantees: all of them leave. */
static void long_heads_leave_whole(void **state)
{
    static char value[1500];
    struct gw_header two[2] = {{GW_SLICE("x-a"), gw_slice_of(value, sizeof(value))},
                               {GW_SLICE("x-b"), gw_slice_of(value, sizeof(value))}};
    struct gw_hs_response rs = {.status = 200, .headers = two, .n_headers = 2, .body = GW_SLICE("tail")};
    struct rig r;

    (void)state;
    memset(value, 'v', sizeof(value));
    rig_open(&r, HOLD);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    gw_hs_respond(r.held, &rs);
    assert_true(said(&r, "x-a: v") && said(&r, "x-b: v") && said(&r, "content-length: 4\r\n\r\ntail"));
    assert_int_equal(count(gw_buf_slice(&r.f.out), "HTTP/1.1 200"), 1);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_and_answered),
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(bodies_stream),
        cmocka_unit_test(ambiguous_requests_are_refused),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(everything_that_grows_has_a_limit),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(continue_is_said_after_admission),
        cmocka_unit_test(refusals_come_before_the_body),
        cmocka_unit_test(connections_are_kept_as_agreed),
        cmocka_unit_test(some_answers_have_no_body),
        cmocka_unit_test(slow_clients_are_cut),
        cmocka_unit_test(ends_are_orderly),
        cmocka_unit_test(answers_cannot_be_split),
        cmocka_unit_test(long_heads_leave_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
