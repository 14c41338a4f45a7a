/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_session.h"

enum { REPLY_HEADERS = 32 };

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct gw_h2_stream *st = source->ptr;
    size_t left = st->n_body - st->body_at;

    (void)arg;
    if (left == 0 && st->s.open)
        return NGHTTP2_ERR_DEFERRED;
    if (n > left)
        n = left;
    if (n)
        memcpy(buf, st->reply + st->body_at, n);
    st->body_at += n;
    if (st->body_at == st->n_body && !st->s.open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->n_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(ng, id, st->trailers, st->n_trailers) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)n;
}

void gw_h2_respond(struct gw_hs_stream *s, const struct gw_hs_response *r)
{
    struct gw_h2_stream *st = (struct gw_h2_stream *)s;
    struct gw_h2_session *x = s->conn->session;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = read_body};
    nghttp2_nv nva[REPLY_HEADERS];
    char status[3] = {(char)('0' + r->status / 100 % 10), (char)('0' + r->status / 10 % 10),
                      (char)('0' + r->status % 10)};
    unsigned n = 0;
    int code;

    nva[n++] = gw_h2_nv(GW_SLICE(":status"), gw_slice_of(status, 3), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    for (unsigned i = 0; i < r->n_headers && n < REPLY_HEADERS; i++)
        nva[n++] = gw_h2_nv(r->headers[i].name, r->headers[i].value, NGHTTP2_NV_FLAG_NONE);
    /* without a body, trailers and headers are the same frame: gRPC's Trailers-Only */
    for (unsigned i = 0; r->body.n == 0 && !s->open && i < r->n_trailers && n < REPLY_HEADERS; i++)
        nva[n++] = gw_h2_nv(r->trailers[i].name, r->trailers[i].value, NGHTTP2_NV_FLAG_NONE);

    st->moved_ns = gw_conn_now_ns(s->conn);
    code = r->body.n ? gw_h2_stream_keep_body(st, r->body) : 0;
    if (code == 0 && r->body.n)
        code = gw_h2_stream_keep_trailers(st, r->trailers, s->open ? 0 : r->n_trailers);
    if (code == 0)
        code = nghttp2_submit_response(x->ng, (int32_t)s->id, nva, n, r->body.n || s->open ? &body : NULL);
    if (code != 0)
        gw_h2_reset(x, st, NGHTTP2_INTERNAL_ERROR);
    if (r->close && !s->conn->quiescing)
        gw_h2_quiesce(s->conn);
    gw_h2_arm(x, gw_h2_stream_due(x, st));
    if (!x->feeding)
        gw_conn_dirty(s->conn);
}

/** An answer that was left open has something to say, or ends: nghttp2 asks read_body again. */
static void go_on(struct gw_h2_session *x, struct gw_h2_stream *st)
{
    st->moved_ns = gw_conn_now_ns(x->c);
    (void)nghttp2_session_resume_data(x->ng, (int32_t)st->s.id); /* not deferred: it is asked anyway */
    gw_h2_arm(x, gw_h2_stream_due(x, st));
    if (!x->feeding)
        gw_conn_dirty(x->c);
}

int gw_h2_push(struct gw_hs_stream *s, struct gw_slice bytes)
{
    struct gw_h2_stream *st = (struct gw_h2_stream *)s;
    size_t waiting = st->n_body - st->body_at;
    int code;

    if (st->own_reset)
        return -EPIPE;
    if (bytes.n == 0)
        return 0;
    if (bytes.n > GW_HS_PUSH_BYTES || waiting > GW_HS_PUSH_BYTES - bytes.n)
        return -ENOBUFS;
    code = gw_h2_stream_keep_body(st, bytes);
    if (code == 0)
        go_on(s->conn->session, st);
    return code;
}

void gw_h2_end_answer(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers)
{
    struct gw_h2_stream *st = (struct gw_h2_stream *)s;
    struct gw_h2_session *x = s->conn->session;

    if (gw_h2_stream_keep_trailers(st, trailers, n_trailers) < 0)
        gw_h2_reset(x, st, NGHTTP2_INTERNAL_ERROR);
    go_on(x, st);
}
