/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 over a connection without a socket. Byte 0 says how the handler behaves, how the bytes are cut and how it
 * ends. Property: no crash, every stream that was told is told gone, and the same bytes in other pieces give the same
 * requests.
 */
#include "core/meter.h"
#include "tests/net/fake_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bits of byte 0. */
enum {
    REFUSE_HEAD = 1, /* of HOW */
    REFUSE_BODY = 2,
    HOLD = 3,
    HOW = 3,
    TIMEOUTS = 4,
    NO_BODY = 8,
    CLOSE = 16,
    END_OF_INPUT = 32,
    SINGLE_BYTES = 64,
    QUIESCE = 128,
};

struct rig {
    struct fake f;
    struct gw_hs_handler handler;
    uint8_t mode;
    unsigned heads, gones;
    uint64_t sum; /* of everything that was told */
    struct gw_hs_stream *held;
};

static struct gw_meter *meter;
static char long_value[3000]; /* a head that needs more than the usual room */

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
    struct gw_header h = {GW_SLICE("x-long"), gw_slice_of(long_value, r->mode & TIMEOUTS ? sizeof(long_value) : 5)};
    struct gw_hs_response rs = {.status = r->mode & NO_BODY ? 204 : 299,
                                .body = GW_SLICE("x"),
                                .close = r->mode & CLOSE,
                                .headers = &h,
                                .n_headers = 1};

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
    if ((r->mode & HOW) == REFUSE_HEAD)
        answer(r, s);
}

static void on_body(struct gw_hs_handler *h, struct gw_hs_stream *s, struct gw_slice chunk)
{
    struct rig *r = rig_of(h);

    tell(r, chunk);
    if ((r->mode & HOW) == REFUSE_BODY)
        answer(r, s);
}

static void on_end(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct rig *r = rig_of(h);

    if ((r->mode & HOW) == HOLD)
        r->held = s;
    else
        answer(r, s);
}

static void on_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    (void)s;
    rig_of(h)->gones++;
}

/* Verdicts that come in a later turn, and the server that is told to stop meanwhile. */
static void later(struct rig *r)
{
    while (r->held && !r->f.c.closed && !r->f.c.finishing) {
        struct gw_hs_stream *s = r->held;

        if (r->mode & QUIESCE) {
            r->f.c.quiescing = true;
            gw_http1.quiesce(&r->f.c);
        }
        r->held = NULL;
        if (gw_http1.find(&r->f.c, s->id) != s)
            abort();
        answer(r, s);
        fake_turn(&r->f);
    }
}

static void end(struct rig *r)
{
    if (r->f.paused) /* the peer's end is not told before its bytes are */
        later(r);
    if (r->f.c.closed || r->f.c.finishing)
        return;
    if (r->mode & QUIESCE) {
        r->f.c.quiescing = true;
        gw_http1.quiesce(&r->f.c);
    } else if (r->mode & END_OF_INPUT) {
        gw_http1.eof(&r->f.c);
    }
    for (int i = 0; i < 3 && r->f.due_ns && !r->f.c.closed && !r->f.c.finishing; i++) {
        r->f.now_ns = r->f.due_ns - (i == 0);
        r->f.has_input = i == 0; /* told to go, it may have spoken already */
        gw_http1.timeout(&r->f.c);
    }
}

static uint64_t run(uint8_t mode, struct gw_slice in, size_t piece)
{
    struct rig r = {.mode = mode};

    r.handler = (struct gw_hs_handler){.head = on_head, .body = on_body, .end = on_end, .gone = on_gone};
    fake_open(&r.f, &gw_http1, &r.handler);
    r.f.conf.meter = meter;
    if (mode & TIMEOUTS)
        r.f.conf.read_timeout_ns = r.f.conf.write_timeout_ns = r.f.conf.idle_timeout_ns = 5000000000u;
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
        if (in.n > 0 || !(mode & END_OF_INPUT))
            later(&r);
    }
    end(&r);
    later(&r);
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

    if (size < 1 || size > 100000)
        return 0;
    if (!meter)
        meter = gw_meter_new();
    memset(long_value, 'v', sizeof(long_value));
    in = gw_slice_of(data + 1, size - 1);
    whole = run(data[0], in, in.n ? in.n : 1);
    cut = run(data[0], in, data[0] & SINGLE_BYTES && in.n < 20000 ? 1 : 997);
    /* A refusal in mid-body depends on how much of it had come, and so does the end; nothing else may. */
    if (whole != cut && (data[0] & HOW) != REFUSE_BODY && !(data[0] & QUIESCE))
        abort();
    return 0;
}
