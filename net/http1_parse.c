/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http1_parse.h"

#include <strings.h>
#include <sys/types.h>

/* Exported by libh2o-evloop; its header (picohttpparser.h) is not installed. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path,
                      size_t *path_len, int *minor_version, struct phr_header *headers, size_t *num_headers,
                      size_t last_len);

enum { EXTENSION_BYTES = 256 };

static int bad(struct gw_h1_fault *f, int status, const char *reason, const char *text)
{
    *f = (struct gw_h1_fault){status, reason, text};
    return -1;
}

/* RFC 9110 5.6.2 */
static bool is_tchar(uint8_t c)
{
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar(s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_nocase(struct gw_slice s, const char *word)
{
    return s.n == strlen(word) && strncasecmp((const char *)s.p, word, s.n) == 0;
}

void gw_h1_lower(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] |= 32;
}

/* Does a comma-separated list hold the word? */
static bool list_has(struct gw_slice s, const char *word)
{
    while (s.n > 0) {
        const uint8_t *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        struct gw_slice item = gw_slice_of(s.p, n);

        while (item.n > 0 && (*item.p == ' ' || *item.p == '\t'))
            item = gw_slice_of(item.p + 1, item.n - 1);
        while (item.n > 0 && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t'))
            item.n--;
        if (is_nocase(item, word))
            return true;
        s = comma ? gw_slice_of(comma + 1, s.n - n - 1) : gw_slice_of(NULL, 0);
    }
    return false;
}

/* ---- head ------------------------------------------------------------------------------------------------- */

/* The parser takes a bare LF for a line's end; who stands before us may not (RFC 9112 2.2). */
static bool has_bare_lf(struct gw_slice s)
{
    const uint8_t *p = s.p, *end = s.p + s.n;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (p == s.p || p[-1] != '\r')
            return true;
        if (++p == end)
            break;
    }
    return false;
}

static int set_target(struct gw_h1_request *rq, struct gw_slice t, struct gw_h1_fault *f)
{
    const uint8_t *q;

    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= 0x20 || t.p[i] >= 0x7f || t.p[i] == '#')
            return bad(f, 400, "target", "the request target holds a character that must be escaped");
    if (t.n == 1 && *t.p == '*' && gw_slice_is(rq->method, "OPTIONS")) {
        rq->path = t;
        return 0;
    }
    if (t.n > 7 && strncasecmp((const char *)t.p, "http", 4) == 0) { /* absolute-form: must name the Host */
        size_t skip = t.p[4] == ':' ? 7 : 8, n = 0;

        if (strncasecmp((const char *)t.p, skip == 7 ? "http://" : "https://", skip) != 0 || t.n < skip)
            return bad(f, 400, "target", "the request target is no path");
        while (skip + n < t.n && t.p[skip + n] != '/' && t.p[skip + n] != '?')
            n++;
        if (n != rq->authority.n ||
            (n > 0 && strncasecmp((const char *)t.p + skip, (const char *)rq->authority.p, n) != 0))
            return bad(f, 400, "host", "the request target and Host name two servers");
        t = gw_slice_of(t.p + skip + n, t.n - skip - n);
    }
    if (t.n == 0 || *t.p != '/')
        return bad(f, 400, "target", "the request target is no path");
    q = memchr(t.p, '?', t.n);
    rq->path = gw_slice_of(t.p, q ? (size_t)(q - t.p) : t.n);
    rq->query = q ? gw_slice_of(q + 1, t.n - rq->path.n - 1) : gw_slice_of(NULL, 0);
    return 0;
}

static int set_length(struct gw_h1_request *rq, struct gw_slice v, struct gw_h1_fault *f)
{
    int64_t n = 0;

    if (rq->content_length >= 0)
        return bad(f, 400, "content_length", "two Content-Length headers");
    if (v.n == 0 || v.n > 18)
        return bad(f, 400, "content_length", "Content-Length is no number");
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return bad(f, 400, "content_length", "Content-Length is no number");
        n = n * 10 + (v.p[i] - '0');
    }
    rq->content_length = n;
    return 0;
}

static int set_host(struct gw_h1_request *rq, struct gw_slice v, bool *seen, struct gw_h1_fault *f)
{
    if (*seen)
        return bad(f, 400, "host", "two Host headers");
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || strchr("/?#@,\\\"<>", v.p[i]))
            return bad(f, 400, "host", "Host is no host");
    *seen = true;
    rq->authority = v;
    return 0;
}

struct seen {
    bool host, close, keep_alive;
};

/* What a header means for the framing of the message. */
static int look_at(struct gw_h1_request *rq, const struct gw_header *h, struct seen *seen, struct gw_h1_fault *f)
{
    switch (h->name.n) { /* most headers are told apart by their length */
    case 4:
        return is_nocase(h->name, "host") ? set_host(rq, h->value, &seen->host, f) : 0;
    case 6:
        if (!is_nocase(h->name, "expect") || rq->minor == 0)
            return 0;
        if (!is_nocase(h->value, "100-continue"))
            return bad(f, 417, "expect", "only 100-continue may be expected");
        rq->expect_continue = true;
        return 0;
    case 10:
        if (is_nocase(h->name, "connection")) {
            seen->close |= list_has(h->value, "close");
            seen->keep_alive |= list_has(h->value, "keep-alive");
        }
        return 0;
    case 14:
        return is_nocase(h->name, "content-length") ? set_length(rq, h->value, f) : 0;
    case 17:
        if (!is_nocase(h->name, "transfer-encoding"))
            return 0;
        if (rq->chunked || rq->minor == 0 || !is_nocase(h->value, "chunked"))
            return bad(f, 400, "transfer_encoding", "Transfer-Encoding is not chunked, once");
        rq->chunked = true;
        return 0;
    default:
        return 0;
    }
}

static int set_headers(struct gw_h1_request *rq, const struct phr_header *h, struct gw_h1_fault *f)
{
    struct seen seen = {0};

    for (unsigned i = 0; i < rq->n_headers; i++) {
        struct gw_header *to = &rq->headers[i];

        if (!h[i].name)
            return bad(f, 400, "folding", "a header is folded over two lines");
        to->name = gw_slice_of(h[i].name, h[i].name_len);
        to->value = gw_slice_of(h[i].value, h[i].value_len);
        while (to->value.n > 0 && (to->value.p[to->value.n - 1] == ' ' || to->value.p[to->value.n - 1] == '\t'))
            to->value.n--;
        if (!is_token(to->name))
            return bad(f, 400, "header_name", "a header's name is no token");
        if (memchr(h[i].value, '\r', h[i].value_len) || memchr(h[i].value, '\0', h[i].value_len))
            return bad(f, 400, "header_value", "a header's value holds a control character");
        if (look_at(rq, to, &seen, f) < 0)
            return -1;
    }
    if (!seen.host && rq->minor > 0)
        return bad(f, 400, "host", "no Host header");
    if (rq->chunked && rq->content_length >= 0)
        return bad(f, 400, "content_length", "Content-Length together with Transfer-Encoding");
    rq->keep_alive = !seen.close && (rq->minor > 0 || seen.keep_alive);
    return 0;
}

int gw_h1_parse(struct gw_slice in, size_t seen, size_t max_bytes, unsigned max_headers, struct gw_h1_request *rq,
                struct gw_h1_fault *f)
{
    struct phr_header h[GW_H1_MAX_HEADERS + 1];
    struct gw_slice method, target;
    size_t n;
    int used;

    if (max_headers > GW_H1_MAX_HEADERS)
        max_headers = GW_H1_MAX_HEADERS;
    n = max_headers + 1;
    rq->minor = 0;
    used = phr_parse_request((const char *)in.p, in.n, (const char **)&method.p, &method.n, (const char **)&target.p,
                             &target.n, &rq->minor, h, &n, seen);
    if (used == -2 && in.n <= max_bytes)
        return has_bare_lf(in) ? bad(f, 400, "bare_lf", "a line ends without CR") : 0;
    if (used == -2 || (used > 0 && (size_t)used > max_bytes))
        return bad(f, 431, "header_bytes", "the request's head is too long");
    if (n > max_headers)
        return bad(f, 431, "headers", "too many headers");
    if (used < 0)
        return bad(f, 400, "syntax", "this is no HTTP request");
    if (has_bare_lf(gw_slice_of(in.p, (size_t)used)))
        return bad(f, 400, "bare_lf", "a line ends without CR");
    if (rq->minor > 1)
        return bad(f, 505, "version", "this version of HTTP is not spoken here");
    if (!is_token(method))
        return bad(f, 400, "method", "the method is no token");
    if (target.n > GW_H1_MAX_TARGET)
        return bad(f, 414, "target", "the request target is too long");
    rq->method = method;
    rq->n_headers = (unsigned)n;
    rq->n_bytes = (size_t)used;
    rq->content_length = -1;
    rq->chunked = rq->expect_continue = false;
    rq->authority = rq->query = gw_slice_of(NULL, 0);
    if (set_headers(rq, h, f) < 0 || set_target(rq, target, f) < 0)
        return -1;
    return 1;
}

/* ---- chunked bodies --------------------------------------------------------------------------------------- */

enum { SIZE, SIZE_LF, EXTENSION, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, TRAILER_LINE, LAST_LF, DONE };

void gw_h1_chunks_init(struct gw_h1_chunks *d, size_t max_trailer_bytes)
{
    *d = (struct gw_h1_chunks){.state = SIZE, .budget = max_trailer_bytes};
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int bad_chunk(struct gw_h1_fault *f, const char *text)
{
    return bad(f, 400, "chunk", text);
}

/* A byte of a chunk's first line, behind no digit or some. */
static int in_size(struct gw_h1_chunks *d, uint8_t c, struct gw_h1_fault *f)
{
    int v = hex_digit(c);

    if (v >= 0) {
        if (d->n_digits == 15) /* 60 bits */
            return bad_chunk(f, "a chunk's size is too long");
        d->n_digits++;
        d->left = d->left << 4 | (unsigned)v;
        return 0;
    }
    if (d->n_digits == 0)
        return bad_chunk(f, "a chunk without a size");
    if (c == '\r')
        d->state = SIZE_LF;
    else if (c == ';') {
        d->state = EXTENSION;
        d->n_line = 0;
    } else
        return bad_chunk(f, "a chunk's size is no hexadecimal number");
    return 0;
}

/* Extensions and trailers are read over, within bounds. */
static int in_text(struct gw_h1_chunks *d, uint8_t c, size_t most, uint8_t next, struct gw_h1_fault *f)
{
    if (c == '\r') {
        d->state = next;
        return 0;
    }
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return bad_chunk(f, "a control character in a chunk extension or a trailer");
    if (++d->n_line > most || d->budget == 0)
        return bad_chunk(f, "chunk extensions or trailers are too long");
    d->budget--;
    return 0;
}

static int want_lf(struct gw_h1_chunks *d, uint8_t c, uint8_t next, struct gw_h1_fault *f)
{
    if (c != '\n')
        return bad_chunk(f, "CR without LF in a chunked body");
    d->state = next;
    d->n_line = 0;
    return 0;
}

/* One byte that is not data. */
static int step(struct gw_h1_chunks *d, uint8_t c, struct gw_h1_fault *f)
{
    switch (d->state) {
    case SIZE:
        return in_size(d, c, f);
    case SIZE_LF:
        d->n_digits = 0;
        return want_lf(d, c, d->left > 0 ? DATA : TRAILER, f);
    case EXTENSION:
        return in_text(d, c, EXTENSION_BYTES, SIZE_LF, f);
    case DATA_CR:
        if (c != '\r')
            return bad_chunk(f, "a chunk is longer than its size");
        d->state = DATA_LF;
        return 0;
    case DATA_LF:
        return want_lf(d, c, SIZE, f);
    case TRAILER:
        if (c == '\r') {
            d->state = LAST_LF;
            return 0;
        }
        if (!is_tchar(c))
            return bad_chunk(f, "a trailer is no header");
        d->state = TRAILER_LINE;
        return in_text(d, c, d->budget, TRAILER_LF, f);
    case TRAILER_LINE:
        return in_text(d, c, SIZE_MAX, TRAILER_LF, f);
    case TRAILER_LF:
        return want_lf(d, c, TRAILER, f);
    default:
        return want_lf(d, c, DONE, f);
    }
}

int gw_h1_chunks_next(struct gw_h1_chunks *d, struct gw_slice *in, struct gw_slice *ret_data, struct gw_h1_fault *f)
{
    while (in->n > 0 && d->state != DONE) {
        if (d->state == DATA) {
            size_t n = in->n < d->left ? in->n : (size_t)d->left;

            *ret_data = gw_slice_of(in->p, n);
            *in = gw_slice_of(in->p + n, in->n - n);
            d->left -= n;
            if (d->left == 0)
                d->state = DATA_CR;
            return GW_H1_DATA;
        }
        if (step(d, *in->p, f) < 0)
            return GW_H1_BAD;
        *in = gw_slice_of(in->p + 1, in->n - 1);
    }
    return d->state == DONE ? GW_H1_END : GW_H1_MORE;
}
