/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_stream.h"

#include <stdlib.h>

enum {
    FREE_MAX = 256,    /* streams kept for reuse, a worker */
    KEEP_BYTES = 4096, /* larger buffers of a stream are not kept */
};

struct gw_h2_stream *gw_h2_stream_new(struct gw_h2_worker *w)
{
    struct gw_h2_stream *st = w->free;

    if (!st)
        return calloc(1, sizeof *st);
    w->free = st->next;
    w->n_free--;
    memset(st, 0, offsetof(struct gw_h2_stream, headers));
    return st;
}

void gw_h2_stream_free(struct gw_h2_stream *st)
{
    free(st->headers);
    free(st->text);
    free(st->reply);
    free(st);
}

void gw_h2_stream_recycle(struct gw_h2_worker *w, struct gw_h2_stream *st)
{
    if (w->n_free >= FREE_MAX) {
        gw_h2_stream_free(st);
        return;
    }
    if (st->cap_text > KEEP_BYTES) {
        free(st->text);
        st->text = NULL;
        st->cap_text = 0;
    }
    if (st->cap_reply > KEEP_BYTES) {
        free(st->reply);
        st->reply = NULL;
        st->cap_reply = 0;
    }
    st->next = w->free;
    w->free = st;
    w->n_free++;
}

/** Grow to at least n elements. */
static int grow(void **p, size_t *cap, size_t n, size_t size)
{
    size_t want = *cap ? *cap : 16;
    void *q;

    if (n <= *cap)
        return 0;
    while (want < n)
        want *= 2;
    q = realloc(*p, want * size);
    if (!q)
        return -ENOMEM;
    *p = q;
    *cap = want;
    return 0;
}

static int grow_head(struct gw_h2_stream *st, size_t n)
{
    size_t cap = st->cap_headers;
    int code = grow((void **)&st->headers, &cap, st->n_headers + 1, sizeof *st->headers);

    st->cap_headers = (unsigned)cap;
    return code ? code : grow((void **)&st->text, &st->cap_text, st->n_text + n, 1);
}

int gw_h2_stream_keep_header(struct gw_h2_stream *st, struct gw_slice name, struct gw_slice value)
{
    size_t at = st->n_text, n = name.n + value.n;

    if (st->n_headers == st->cap_headers || n > st->cap_text - at) {
        int code = grow_head(st, n);

        if (code < 0)
            return code;
    }
    st->headers[st->n_headers++] =
        (struct gw_header){{(const uint8_t *)at, name.n}, {(const uint8_t *)(at + name.n), value.n}};
    memcpy(st->text + at, name.p, name.n);
    if (value.n)
        memcpy(st->text + at + name.n, value.p, value.n);
    st->n_text = at + n;
    return 0;
}

static int64_t parse_length(struct gw_slice v)
{
    int64_t n = 0;

    for (size_t i = 0; i < v.n && i < 18; i++)
        n = n * 10 + (v.p[i] - '0'); /* nghttp2 has checked that they are digits, once */
    return v.n ? n : -1;
}

void gw_h2_stream_finish_head(struct gw_h2_stream *st)
{
    struct gw_hs_head *head = &st->s.head;
    unsigned n = 0;

    for (unsigned i = 0; i < st->n_headers; i++) {
        struct gw_header h = st->headers[i];

        h.name.p = st->text + (uintptr_t)h.name.p;
        h.value.p = st->text + (uintptr_t)h.value.p;
        if (h.name.p[0] != ':') {
            if (h.name.n == 14 && memcmp(h.name.p, "content-length", 14) == 0)
                head->content_length = parse_length(h.value);
            else if (h.name.n == 6 && memcmp(h.name.p, "expect", 6) == 0)
                st->expects_continue = gw_slice_is(h.value, "100-continue");
            else if (h.name.n == 4 && memcmp(h.name.p, "host", 4) == 0 && head->authority.n == 0)
                head->authority = h.value;
            st->headers[n++] = h;
        } else if (gw_slice_is(h.name, ":method")) {
            head->method = h.value;
        } else if (gw_slice_is(h.name, ":authority")) {
            head->authority = h.value;
        } else if (gw_slice_is(h.name, ":path")) {
            const uint8_t *mark = memchr(h.value.p, '?', h.value.n);

            head->path = h.value;
            if (mark) {
                head->path.n = (size_t)(mark - h.value.p);
                head->query = (struct gw_slice){mark + 1, h.value.n - head->path.n - 1};
            }
        }
    }
    head->headers = st->headers;
    head->n_headers = n;
    head->http2 = true;
}

nghttp2_nv gw_h2_nv(struct gw_slice name, struct gw_slice value, uint8_t flags)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, flags};
}

int gw_h2_stream_keep_body(struct gw_h2_stream *st, struct gw_slice body)
{
    if (st->body_at == st->n_body) /* an answer left open starts over in its buffer */
        st->body_at = st->n_body = 0;
    if (grow((void **)&st->reply, &st->cap_reply, st->n_body + body.n, 1) < 0)
        return -ENOMEM;
    memcpy(st->reply + st->n_body, body.p, body.n);
    st->n_body += body.n;
    return 0;
}

int gw_h2_stream_keep_trailers(struct gw_h2_stream *st, const struct gw_header *trailers, unsigned n_trailers)
{
    const uint8_t no_copy = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    size_t n = st->n_body;
    uint8_t *p;

    n_trailers = n_trailers < GW_H2_TRAILERS_MAX ? n_trailers : GW_H2_TRAILERS_MAX;
    for (unsigned i = 0; i < n_trailers; i++)
        n += trailers[i].name.n + trailers[i].value.n;
    if (grow((void **)&st->reply, &st->cap_reply, n, 1) < 0)
        return -ENOMEM;
    st->n_trailers = n_trailers;
    p = st->reply + st->n_body;
    for (unsigned i = 0; i < n_trailers; i++) {
        struct gw_slice name = trailers[i].name, value = trailers[i].value;

        memcpy(p, name.p, name.n);
        if (value.n)
            memcpy(p + name.n, value.p, value.n);
        st->trailers[i] = gw_h2_nv(gw_slice_of(p, name.n), gw_slice_of(p + name.n, value.n), no_copy);
        p += name.n + value.n;
    }
    return 0;
}
