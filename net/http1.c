/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1, server side, one request at a time on a connection: heads by h2o's exported parser, everything that the
 * parser is lax about checked here. What two readers could read in two ways is answered 400 and the connection ends
 * (RFC 9112 sections 3.2, 6, 7.1, 11.2).
 *
 *   HEAD ──► BODY or CHUNKED ──► WAIT ──► HEAD        a refusal in the middle goes to DISCARD when the rest is short
 *
 * A pipelined request stays in the connection's input until the one before is answered. An answer is written at once;
 * the stream ends at the next look (input or flush), never under the handler that is answering.
 */
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "core/json_writer.h"
#include "core/meter.h"
#include "net/http1_parse.h"
#include "net/http_conn.h"

/* A body that comes more slowly is cut off, however steadily it comes (after body_idle_timeout of grace). */
enum { BODY_BYTES_PER_S = 1024 };
/* What is read and thrown away to keep a connection, after an answer that came before the body's end. */
enum { DISCARD_BYTES = 64 << 10 };

enum state { HEAD, BODY, CHUNKED, WAIT, DISCARD, DISCARD_CHUNKED, OVER };

struct session {
    struct gw_hs_conn *c;
    struct gw_hs_stream s; /* open from head to gone */
    enum state state;
    bool open, keep, expect, head_only, http10, close_wanted;
    bool in_handler; /* a call-back of ours is on the stack: finish later */
    bool paused;
    size_t seen;   /* HEAD: bytes that were parsed in vain */
    uint64_t left; /* BODY: bytes to come; DISCARD*: bytes that may still be thrown away */
    struct gw_h1_chunks chunks;
    uint64_t started_ns, last_byte_ns, body_bytes;
    uint8_t *head; /* text and header table of the request; kept for the next one */
    size_t head_cap;
    uint32_t n_requests;
};

/* ---- answers ---------------------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } t[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        if (t[i].status == status)
            return t[i].text;
    return "Status";
}

/* The Date header, made once a second. */
static struct gw_slice date_line(struct gw_env *env)
{
    static _Thread_local char text[48];
    static _Thread_local size_t n;
    static _Thread_local time_t at;
    time_t now = (time_t)(gw_wall_ns(env) / 1000000000u);

    if (now != at || n == 0) {
        struct tm tm;

        (void)gmtime_r(&now, &tm);
        n = strftime(text, sizeof(text), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        at = now;
    }
    return gw_slice_of(text, n);
}

/* Nothing that ends a line may come out of a header's value. */
static bool is_one_line(struct gw_slice s)
{
    return !memchr(s.p ? (const void *)s.p : "", '\r', s.n) && !memchr(s.p ? (const void *)s.p : "", '\n', s.n) &&
           !memchr(s.p ? (const void *)s.p : "", '\0', s.n);
}

static void put_header(struct gw_buf *b, struct gw_slice name, struct gw_slice value)
{
    if (!is_one_line(name) || !is_one_line(value))
        return;
    gw_buf_put_slice(b, name);
    gw_buf_put(b, ": ", 2);
    gw_buf_put_slice(b, value);
    gw_buf_put(b, "\r\n", 2);
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304 || status < 200;
}

static void put_head(struct session *h, const struct gw_hs_response *r, struct gw_buf *b)
{
    gw_buf_put_str(b, "HTTP/1.1 ");
    gw_json_put_u64(b, (uint64_t)r->status); /* digits; printf costs as much as all the rest of an answer */
    gw_buf_put_u8(b, ' ');
    gw_buf_put_str(b, reason_of(r->status));
    gw_buf_put(b, "\r\n", 2);
    gw_buf_put_slice(b, date_line(gw_loop_env(gw_conn_loop(h->c))));
    for (unsigned i = 0; i < r->n_headers; i++)
        put_header(b, r->headers[i].name, r->headers[i].value);
    if (!h->keep)
        gw_buf_put_str(b, "connection: close\r\n");
    else if (h->http10)
        gw_buf_put_str(b, "connection: keep-alive\r\n");
    if (!has_no_body(r->status)) {
        gw_buf_put_str(b, "content-length: ");
        gw_json_put_u64(b, r->body.n);
        gw_buf_put(b, "\r\n", 2);
    }
    gw_buf_put(b, "\r\n", 2);
}

static void write_response(struct session *h, const struct gw_hs_response *r)
{
    uint8_t room[2048]; /* nearly every head fits; a longer one costs a malloc */
    struct gw_buf b = {.p = room, .cap = sizeof(room), .max_bytes = sizeof(room)};
    bool fits, bare = has_no_body(r->status) || h->head_only || r->body.n == 0;

    put_head(h, r, &b);
    fits = !b.failed;
    if (!fits) {
        gw_buf_init(&b, 256 << 10);
        put_head(h, r, &b);
    }
    if (b.failed)
        gw_conn_close(h->c);
    else
        gw_conn_writev(h->c, (struct gw_slice[]){gw_buf_slice(&b), r->body}, bare ? 1 : 2);
    if (!fits)
        gw_buf_clear(&b);
}

static void count_bad(struct session *h, const char *reason)
{
    struct gw_label label = {"reason", reason};

    if (h->c->conf->meter)
        gw_metric_add(gw_meter_get(h->c->conf->meter, GW_COUNTER, "staunch_http_bad_requests",
                                   "Requests that were refused by the HTTP/1.1 layer itself.", &label, 1),
                      1);
}

/* Our own answer to what is no request: the connection ends with it. */
static void refuse(struct session *h, const struct gw_h1_fault *f)
{
    struct gw_header type = {GW_SLICE("content-type"), GW_SLICE("text/plain")};
    struct gw_hs_response r = {
        .status = f->status, .headers = &type, .n_headers = 1, .body = gw_slice_cstr(f->text), .close = true};
    bool answered = h->open && h->s.responded;

    count_bad(h, f->reason);
    h->keep = false;
    h->state = OVER;
    gw_conn_arm(h->c, 0);
    if (answered) { /* the answer is out already: nothing can be added to it */
        gw_conn_finish(h->c);
        return;
    }
    if (h->open)
        h->s.responded = true; /* whatever the handler says now comes too late */
    write_response(h, &r);
    gw_conn_finish(h->c);
}

/* ---- one request ------------------------------------------------------------------------------------------ */

static bool is_over(const struct session *h)
{
    return h->c->closed || h->c->finishing || h->state == OVER;
}

/* Answered, and nothing of its body is left: the next one may come. */
static void finish_request(struct session *h)
{
    if (!h->open || !h->s.responded || h->in_handler || (h->state != WAIT && h->state != OVER))
        return;
    h->open = h->head_only = false;
    gw_stream_gone(&h->s);
    if (h->c->closed)
        return;
    if (!h->keep || h->state == OVER) {
        h->state = OVER;
        if (!h->c->finishing)
            gw_conn_finish(h->c);
        return;
    }
    h->state = HEAD;
    h->seen = 0;
    gw_conn_arm(h->c, h->c->conf->idle_timeout_ns ? gw_conn_now_ns(h->c) + h->c->conf->idle_timeout_ns : 0);
    if (h->paused) {
        h->paused = false;
        gw_conn_resume(h->c);
    }
}

/* Where the text of a slice into `from` stands in `to`. */
static struct gw_slice moved(struct gw_slice s, const uint8_t *from, uint8_t *to)
{
    return gw_slice_of(s.n ? to + (s.p - from) : NULL, s.n);
}

/* The head in memory of our own: the table of headers, behind it the text. Errors: -ENOMEM. */
static int keep_head(struct session *h, const struct gw_h1_request *rq, const uint8_t *in)
{
    size_t table = rq->n_headers * sizeof(struct gw_header), need = table + rq->n_bytes;
    struct gw_hs_head *d = &h->s.head;
    struct gw_header *t;
    uint8_t *text;

    if (need > h->head_cap) {
        uint8_t *p = realloc(h->head, need);

        if (!p)
            return -ENOMEM;
        h->head = p;
        h->head_cap = need;
    }
    t = (struct gw_header *)(void *)h->head;
    text = h->head + table;
    memcpy(text, in, rq->n_bytes);
    for (unsigned i = 0; i < rq->n_headers; i++) {
        t[i].name = moved(rq->headers[i].name, in, text);
        t[i].value = moved(rq->headers[i].value, in, text);
        gw_h1_lower(text + (rq->headers[i].name.p - in), t[i].name.n);
    }
    d->method = moved(rq->method, in, text);
    d->authority = moved(rq->authority, in, text);
    d->path = moved(rq->path, in, text);
    d->query = moved(rq->query, in, text);
    d->headers = t;
    d->n_headers = rq->n_headers;
    d->content_length = rq->content_length;
    return 0;
}

static void call_end(struct session *h)
{
    h->state = WAIT;
    gw_stream_end(&h->s);
}

static void begin_body(struct session *h, const struct gw_h1_request *rq)
{
    if (rq->chunked) {
        h->state = CHUNKED;
        gw_h1_chunks_init(&h->chunks, h->c->conf->max_header_bytes);
    } else if (rq->content_length > 0) {
        h->state = BODY;
        h->left = (uint64_t)rq->content_length;
    } else {
        h->state = WAIT;
    }
    h->expect = rq->expect_continue && h->state != WAIT;
}

/* A complete head stands at the front of `in`. */
static void open_request(struct session *h, const struct gw_h1_request *rq, struct gw_slice in)
{
    struct gw_hs_conn *c = h->c;

    gw_stream_open(c, &h->s, ++h->n_requests);
    h->open = true;
    h->http10 = rq->minor == 0;
    h->head_only = gw_slice_is(rq->method, "HEAD");
    h->keep = rq->keep_alive && c->conf->keep_alives;
    h->last_byte_ns = gw_conn_now_ns(c);
    h->body_bytes = 0;
    begin_body(h, rq);
    if (keep_head(h, rq, in.p) < 0) {
        refuse(h, &(struct gw_h1_fault){503, "memory", "no memory for a request head"});
        return;
    }
    h->in_handler = true;
    gw_stream_head(&h->s);
    if (!is_over(h) && h->state == WAIT)
        call_end(h);
    h->in_handler = false;
    if (is_over(h) || h->s.responded)
        return;
    if (h->expect) {
        h->expect = false; /* let in: only now is the body asked for, unless it comes already */
        if (in.n == rq->n_bytes)
            gw_conn_write(c, GW_SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    }
}

/* Returns bytes used; 0 when the head is not complete. */
static size_t on_head(struct session *h, struct gw_slice in)
{
    const struct gw_hs_conf *conf = h->c->conf;
    struct gw_h1_request rq;
    struct gw_h1_fault fault;
    int rc;

    if (h->seen == 0)
        h->started_ns = gw_conn_now_ns(h->c);
    rc = gw_h1_parse(in, h->seen, conf->max_header_bytes, conf->max_headers, &rq, &fault);
    if (rc < 0) {
        refuse(h, &fault);
        return 0;
    }
    if (rc == 0) {
        if (h->seen == 0)
            gw_conn_arm(h->c, conf->header_timeout_ns ? h->started_ns + conf->header_timeout_ns : 0);
        h->seen = in.n;
        return 0;
    }
    h->seen = 0;
    open_request(h, &rq, in);
    return rq.n_bytes;
}

static size_t on_body(struct session *h, struct gw_slice in)
{
    size_t n = in.n < h->left ? in.n : (size_t)h->left;

    h->left -= n;
    h->in_handler = true;
    gw_stream_body(&h->s, gw_slice_of(in.p, n));
    if (h->left == 0 && h->state == BODY && !is_over(h))
        call_end(h);
    h->in_handler = false;
    return n;
}

static size_t on_chunked(struct session *h, struct gw_slice in)
{
    struct gw_h1_fault fault;
    struct gw_slice rest = in, data;
    int rc = GW_H1_DATA;

    h->in_handler = true;
    while (!is_over(h) && h->state == CHUNKED &&
           (rc = gw_h1_chunks_next(&h->chunks, &rest, &data, &fault)) == GW_H1_DATA)
        gw_stream_body(&h->s, data);
    if (!is_over(h) && h->state == CHUNKED && rc == GW_H1_END)
        call_end(h);
    h->in_handler = false;
    if (rc == GW_H1_BAD)
        refuse(h, &fault);
    return in.n - rest.n;
}

/* The rest of a body whose answer is out: thrown away up to DISCARD_BYTES. */
static size_t on_discard(struct session *h, struct gw_slice in)
{
    struct gw_h1_fault fault;
    struct gw_slice rest = in, data;
    int rc;

    if (h->state == DISCARD) {
        size_t n = in.n < h->left ? in.n : (size_t)h->left;

        h->left -= n;
        if (h->left == 0)
            h->state = WAIT;
        return n;
    }
    while ((rc = gw_h1_chunks_next(&h->chunks, &rest, &data, &fault)) == GW_H1_DATA) {
        if (data.n > h->left) {
            rc = GW_H1_BAD;
            break;
        }
        h->left -= data.n;
    }
    if (rc == GW_H1_END)
        h->state = WAIT;
    if (rc == GW_H1_BAD) {
        h->keep = false;
        h->state = OVER;
    }
    return in.n - rest.n;
}

/* When the peer has to send something, or we to answer, at the latest. */
static uint64_t due_ns(const struct session *h)
{
    const struct gw_hs_conf *conf = h->c->conf;
    uint64_t due = UINT64_MAX;

    if (h->state == HEAD || h->state == OVER)
        return 0;
    if (h->state == WAIT)
        return conf->write_timeout_ns ? h->last_byte_ns + conf->write_timeout_ns : 0;
    if (conf->body_idle_timeout_ns) {
        uint64_t slowest =
            h->started_ns + conf->body_idle_timeout_ns + h->body_bytes * (1000000000u / BODY_BYTES_PER_S);

        due = h->last_byte_ns + conf->body_idle_timeout_ns;
        due = slowest < due ? slowest : due;
    }
    if (conf->read_timeout_ns && h->started_ns + conf->read_timeout_ns < due)
        due = h->started_ns + conf->read_timeout_ns;
    return due == UINT64_MAX ? 0 : due;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

static int h1_open(struct gw_hs_conn *c)
{
    struct session *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    h->c = c;
    h->started_ns = gw_conn_now_ns(c);
    c->session = h;
    if (c->conf->header_timeout_ns)
        gw_conn_arm(c, h->started_ns + c->conf->header_timeout_ns);
    return 0;
}

static size_t h1_input(struct gw_hs_conn *c, struct gw_slice in)
{
    struct session *h = c->session;
    size_t used = 0;

    finish_request(h);
    while (used < in.n && !is_over(h)) {
        struct gw_slice rest = gw_slice_of(in.p + used, in.n - used);
        size_t n = 0;

        switch (h->state) {
        case HEAD:
            n = on_head(h, rest);
            if (n == 0)
                return is_over(h) ? in.n : used;
            break;
        case BODY:
            n = on_body(h, rest);
            break;
        case CHUNKED:
            n = on_chunked(h, rest);
            break;
        case DISCARD:
        case DISCARD_CHUNKED:
            n = on_discard(h, rest);
            break;
        case WAIT: /* the next request has to wait for the answer to this one */
            h->paused = true;
            gw_conn_pause(c);
            return used;
        case OVER:
            break;
        }
        used += n;
        finish_request(h);
        if (n == 0)
            break;
    }
    if (is_over(h)) {
        finish_request(h);
        return in.n;
    }
    if (h->state != HEAD) {
        h->body_bytes += used;
        h->last_byte_ns = gw_conn_now_ns(c);
        gw_conn_arm(c, due_ns(h));
    }
    return used;
}

static void h1_respond(struct gw_hs_stream *s, const struct gw_hs_response *r)
{
    struct session *h = s->conn->session;
    bool rest_is_short = h->state == WAIT || (h->state == BODY && h->left <= DISCARD_BYTES) || h->state == CHUNKED;

    s->responded = true;
    if (h->state == OVER)
        return;
    if (r->close || h->c->quiescing || h->close_wanted || h->expect || !rest_is_short)
        h->keep = false;
    write_response(h, r);
    if (!h->keep && h->state != WAIT)
        h->state = OVER;
    else if (h->state == BODY)
        h->state = DISCARD;
    else if (h->state == CHUNKED) {
        h->state = DISCARD_CHUNKED;
        h->left = DISCARD_BYTES;
    }
    gw_conn_dirty(h->c); /* the stream ends when the handler is off the stack */
}

static void h1_flush(struct gw_hs_conn *c)
{
    struct session *h = c->session;

    finish_request(h);
}

static void h1_eof(struct gw_hs_conn *c)
{
    struct session *h = c->session;

    if (h->open && h->state == WAIT) { /* the request is whole: answer it */
        h->close_wanted = true;
        finish_request(h);
        return;
    }
    h->state = OVER;
    gw_conn_close(c);
}

static bool is_idle(const struct session *h)
{
    return h->state == HEAD && h->seen == 0 && !is_over(h);
}

static void leave(struct session *h)
{
    h->state = OVER;
    gw_conn_finish(h->c);
}

static void h1_timeout(struct gw_hs_conn *c)
{
    struct session *h = c->session;
    uint64_t now = gw_conn_now_ns(c), due = due_ns(h);

    if (is_over(h))
        return;
    if (h->state != HEAD && due > now) {
        gw_conn_arm(c, due);
        return;
    }
    if (h->c->quiescing && is_idle(h)) {
        if (gw_conn_has_input(h->c)) /* it came while this thread was kept from reading */
            gw_conn_arm(c, now + GW_HS_LAST_WORDS_NS);
        else
            leave(h);
        return;
    }
    if (h->state == WAIT || is_idle(h)) {
        gw_conn_close(c); /* idle: nobody asked, nobody is answered */
        return;
    }
    refuse(h, &(struct gw_h1_fault){408, "timeout", "the request did not come in time"});
    finish_request(h);
}

/* There is no GOAWAY: a request may be on its way right now. Whatever comes within the time is answered, as the last.
 */
static void h1_quiesce(struct gw_hs_conn *c)
{
    if (is_idle(c->session))
        gw_conn_arm(c, gw_conn_now_ns(c) + GW_HS_LAST_WORDS_NS);
}

static struct gw_hs_stream *h1_find(struct gw_hs_conn *c, uint32_t id)
{
    struct session *h = c->session;

    return h->open && h->s.id == id && !h->s.responded ? &h->s : NULL;
}

static void h1_close(struct gw_hs_conn *c)
{
    struct session *h = c->session;

    if (!h)
        return;
    if (h->open) {
        h->open = false;
        gw_stream_gone(&h->s);
    }
    free(h->head);
    free(h);
    c->session = NULL;
}

const struct gw_hs_proto gw_http1 = {
    .name = "http/1.1",
    .open = h1_open,
    .input = h1_input,
    .eof = h1_eof,
    .flush = h1_flush,
    .timeout = h1_timeout,
    .quiesce = h1_quiesce,
    .respond = h1_respond,
    .find = h1_find,
    .close = h1_close,
};
