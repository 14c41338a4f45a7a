/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 over a connection without a socket. Byte 0 says how the handler behaves and how the bytes are cut. Property:
 * no crash, every stream that was told is told gone, and the same bytes in one piece give the same requests.
 */
#include "tests/net/fake_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
    struct fake f;
    struct gw_hs_handler handler;
    uint8_t mode;
    unsigned heads, gones;
    uint64_t sum; /* of everything that was told */
};

static struct rig *rig_of(struct gw_hs_handler *h)
{
    return (struct rig *)(void *)((char *)h - offsetof(struct rig, handler));
}

static void tell(struct rig *r, struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        r->sum = r->sum * 31 + s.p[i];
}

static void answer(struct rig *r, struct gw_hs_stream *s)
{
    struct gw_hs_response rs = {.status = r->mode & 8 ? 204 : 200, .body = GW_SLICE("x"), .close = r->mode & 16};

    gw_hs_respond(s, &rs);
}

static void on_head(struct gw_hs_handler *h, struct gw_hs_stream *s, const struct gw_hs_head *d)
{
    struct rig *r = rig_of(h);

    r->heads++;
    tell(r, d->method);
    tell(r, d->path);
    tell(r, d->query);
    for (unsigned i = 0; i < d->n_headers; i++) {
        tell(r, d->headers[i].name);
        tell(r, d->headers[i].value);
    }
    if ((r->mode & 3) == 1)
        answer(r, s);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct rig *r = rig_of(h);

    tell(r, chunk);
    if ((r->mode & 3) == 2)
        answer(r, s);
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    answer(rig_of(h), s);
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)s;
    rig_of(h)->gones++;
}

static uint64_t run(uint8_t mode, struct gw_slice in, size_t piece)
{
    struct rig r = {.mode = mode};

    r.handler = (struct gw_hs_handler){on_head, on_body, on_end, on_gone};
    fake_open(&r.f, &gw_http1, &r.handler);
    while (in.n > 0 && !r.f.c.closed && !r.f.c.finishing) {
        size_t n = in.n < piece ? in.n : piece;
        /* a block of its own, so that a read over the end is seen */
        uint8_t *own = malloc(n);

        if (!own)
            abort();
        memcpy(own, in.p, n);
        fake_send(&r.f, gw_slice_of(own, n));
        free(own);
        in = gw_slice_of(in.p + n, in.n - n);
    }
    if (!r.f.c.closed && !r.f.c.finishing) {
        if (mode & 32)
            gw_http1.eof(&r.f.c);
        else if (r.f.due_ns) {
            r.f.now_ns = r.f.due_ns;
            gw_http1.timeout(&r.f.c);
        }
    }
    fake_turn(&r.f);
    fake_close(&r.f);
    if (r.heads != r.gones)
        abort();
    return r.sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_slice in;
    uint64_t whole, cut;

    if (size < 1 || size > 40000)
        return 0;
    in = gw_slice_of(data + 1, size - 1);
    whole = run(data[0], in, in.n ? in.n : 1);
    cut = run(data[0], in, data[0] & 64 ? 1 : 7);
    /* A refusal in mid-body depends on how much of it had come; nothing else may. */
    if (whole != cut && (data[0] & 3) != 2)
        abort();
    return 0;
}
