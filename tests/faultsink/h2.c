/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 without TLS, for gRPC. */
#include <string.h>

#include "net/grpc_frame.h"
#include "sink.h"

static int on_begin(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
    struct exchange *e;

    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    e = exchange_new(arg, f->hd.stream_id);
    return nghttp2_session_set_stream_user_data(h2, f->hd.stream_id, e);
}

static void copy(char *to, size_t room, const uint8_t *v, size_t n)
{
    snprintf(to, room, "%.*s", (int)n, (const char *)v);
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *k, size_t nk, const uint8_t *v,
                     size_t nv, uint8_t flags, void *arg)
{
    struct exchange *e = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
    struct gw_slice name = gw_slice_of(k, nk);

    (void)flags;
    (void)arg;
    if (!e)
        return 0;
    if (gw_slice_is(name, ":path"))
        copy(e->path, sizeof(e->path), v, nv);
    else if (gw_slice_is(name, ":method"))
        copy(e->method, sizeof(e->method), v, nv);
    else if (gw_slice_is(name, "content-type"))
        copy(e->type, sizeof(e->type), v, nv);
    else if (gw_slice_is(name, "grpc-encoding") || gw_slice_is(name, "content-encoding"))
        copy(e->encoding, sizeof(e->encoding), v, nv);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    struct exchange *e = nghttp2_session_get_stream_user_data(h2, id);

    (void)flags;
    (void)arg;
    if (!e)
        return 0;
    gw_buf_put(&e->in, p, n);
    if (e->in.n >= e->fault.cut_in)
        conn_cut(e->conn);
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *arg)
{
    struct exchange *e = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

    (void)arg;
    if (!e || e->complete || e->conn->dead || e->conn->half)
        return 0;
    if (f->hd.type == NGHTTP2_HEADERS)
        exchange_route(e);
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        exchange_take(e);
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t code, void *arg)
{
    struct exchange *e = nghttp2_session_get_stream_user_data(h2, id);

    (void)arg;
    if (!e)
        return 0;
    if (e->answered && code == 0) {
        e->sent = true;
    } else {
        exchange_end(e, false);
        exchange_free(e);
    }
    return 0;
}

void h2_start(struct conn *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry iv[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
                                   {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    if (nghttp2_session_server_new(&c->h2, cb, c) < 0)
        die("HTTP/2");
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2, 0, iv, 2);
    nghttp2_session_set_local_window_size(c->h2, 0, 0, 16 << 20);
}

void h2_in(struct conn *c)
{
    ssize_t r = nghttp2_session_mem_recv(c->h2, c->in.p, c->in.n);

    gw_buf_reset(&c->in);
    if (r < 0)
        conn_cut(c);
}

/* The body: own bytes, then filler; the trailers behind it. */
static ssize_t body(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *src,
                    void *arg)
{
    struct exchange *e = src->ptr;
    struct answer *a = &e->answer;
    uint64_t left = a->body.n + a->filler - e->body_sent;
    nghttp2_nv status = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0};

    (void)arg;
    if (n > left)
        n = (size_t)left;
    for (size_t i = 0; i < n; i++, e->body_sent++)
        buf[i] = e->body_sent < a->body.n ? a->body.p[e->body_sent] : (uint8_t)(e->body_sent * 2654435761u >> 13 | 1);
    if (e->body_sent == a->body.n + a->filler) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (e->proto == P_OTLP_GRPC && a->status == 200 && !e->fault.no_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            (void)nghttp2_submit_trailer(h2, id, &status, 1);
        }
    }
    return (ssize_t)n;
}

static nghttp2_nv nv(const char *k, const char *v)
{
    return (nghttp2_nv){(uint8_t *)k, (uint8_t *)v, strlen(k), strlen(v), 0};
}

void h2_answer(struct exchange *e)
{
    struct answer *a = &e->answer;
    struct conn *c = e->conn;
    nghttp2_data_provider data = {.source.ptr = e, .read_callback = body};
    char status[8], grpc[8], *save = NULL, *copied = strndup(a->headers.n ? (char *)a->headers.p : "", a->headers.n);
    struct gw_buf bin;
    nghttp2_nv headers[16];
    size_t n = 0;
    uint64_t from = c->n_out + c->out.n - c->out_sent;

    gw_buf_init(&bin, 8192);
    snprintf(status, sizeof(status), "%u", a->status);
    snprintf(grpc, sizeof(grpc), "%u", a->grpc);
    headers[n++] = nv(":status", status);
    if (e->proto == P_OTLP_GRPC && a->status == 200)
        headers[n++] = nv("content-type", "application/grpc");
    if (a->grpc) {
        headers[n++] = nv("grpc-status", grpc);
        headers[n++] = nv("grpc-message", "as the script says");
    }
    if (a->details.n) {
        gw_grpc_bin_put(&bin, gw_buf_slice(&a->details));
        gw_buf_put_u8(&bin, 0);
        headers[n++] = nv("grpc-status-details-bin", (char *)bin.p);
    }
    for (char *line = strtok_r(copied, "\r\n", &save); line && n < 16; line = strtok_r(NULL, "\r\n", &save)) {
        char *v = strstr(line, ": ");

        *v = 0;
        headers[n++] = nv(line, v + 2);
    }
    if (nghttp2_submit_response(c->h2, e->stream, headers, n, a->grpc ? NULL : &data) < 0)
        die("HTTP/2 answer");
    if (!c->fault.on_conn && e->fault.cut_out != NEVER)
        c->cut_out = from + e->fault.cut_out;
    else if (e->fault.body == BODY_HALF)
        c->cut_out = from + 40 + a->body.n / 2;
    gw_buf_clear(&bin);
    free(copied);
}

void h2_more(struct conn *c)
{
    const uint8_t *p;
    ssize_t n;

    while (c->out.n < 1 << 20 && (n = nghttp2_session_mem_send(c->h2, &p)) > 0)
        conn_put(c, p, (size_t)n);
    if (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2) && c->out.n == 0)
        conn_cut(c);
}
