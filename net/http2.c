/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2, server side: an nghttp2 session on a connection. nghttp2 does no I/O: bytes are pushed in, bytes are pulled
 * out, and call-backs in between make streams of them. Whatever a peer may cost us is counted in net/h2_bucket.h.
 *
 * nghttp2 passes over frames for streams that are closed. Those that are wrong for sure are seen by net/h2_frames.h
 * and answered as RFC 9113 asks; all others are counted (charge_untold).
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "net/h2_bucket.h"
#include "net/h2_frames.h"
#include "net/h2_stream.h"
#include "net/h2_window.h"
#include "net/hs.h"

enum {
    FEED_BYTES = 8 * 1024, /* pushed in at once: an attack is noticed, and its answers are out, before the next piece */
    CONTINUATIONS_MAX = 8,
    SETTINGS_MAX = 32,
    REPLY_HEADERS = 32,
    PING_STRIKES = 2,        /* as grpc-go */
    BOMB_COST = 20,          /* tokens for a header list several times over its limit: decoding it was not free */
    BODY_BYTES_PER_S = 1024, /* slower ones are cut off, however steadily they come (after body_idle_timeout) */
};
static const uint64_t S = 1000000000ull, STOP_NS = 100 * 1000000ull;
static const uint8_t PING_ALIVE[8] = "alive?  ", PING_DRAIN[8] = "draining";

enum drain { NOT_DRAINING, NOTICED, LAST_WORD };

struct session {
    struct gw_hs_conn *c;
    nghttp2_session *ng;
    struct gw_h2_worker *w;
    struct gw_h2_stream *streams;
    struct gw_h2_bucket bucket;
    struct gw_h2_frames frames;
    size_t n_out; /* of w->out, while in a pump */
    uint64_t opened_ns, rx_ns, header_since_ns, ping_sent_ns, last_ping_ns, answered_ns, drain_ns;
    struct gw_h2_window window;
    uint32_t n_told;     /* call-backs out of the piece that is being fed */
    uint64_t late_bytes; /* that may still come for streams that we have ended early */
    uint32_t doom;       /* error code of the GOAWAY that ends it, or 0 */
    const char *why;     /* its debug data */
    unsigned ping_strikes;
    enum drain drain;
    bool got_settings, feeding, pumping, had_ping;
};

/* ---- the end of a stream ---------------------------------------------------------------------------------- */

static void stream_end(struct session *x, struct gw_h2_stream *st)
{
    *st->link = st->next;
    if (st->next)
        st->next->link = st->link;
    gw_stream_gone(&st->s);
    gw_h2_stream_recycle(x->w, st);
}

/* ---- the books -------------------------------------------------------------------------------------------- */

static void doom(struct session *x, uint32_t code, const char *why)
{
    if (x->doom)
        return;
    x->doom = code;
    x->why = why;
    gw_metric_add(x->c->server->g->cut_attack, 1);
}

/** For receiving call-backs: stops nghttp2 in the middle of its input when the bucket is empty. */
static int charge(struct session *x, unsigned n)
{
    if (gw_h2_bucket_charge(&x->bucket, n, gw_conn_now_ns(x->c)))
        return 0;
    doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too much for nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int charge_owed(struct session *x, uint32_t *owed)
{
    if (gw_h2_bucket_owed(&x->bucket, owed, gw_conn_now_ns(x->c)))
        return 0;
    doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too much for nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/**
 * A PING for every frame of a response is free. Beyond that grpc-go's enforcement holds: one that comes sooner than
 * min_time after the last one (two hours when no stream is open) is a strike, and three strikes end the connection.
 */
static int on_ping(struct session *x)
{
    const struct gw_hs_conf *conf = x->c->conf;
    uint64_t now = gw_conn_now_ns(x->c), apart = now - x->last_ping_ns;
    bool had = x->had_ping;

    x->last_ping_ns = now;
    x->had_ping = true;
    if (x->bucket.pings > 1 && now - x->answered_ns > 10 * S)
        x->bucket.pings = 1; /* a probe follows its answer; what comes so late is a keepalive */
    if (x->bucket.pings) {
        x->bucket.pings--;
        x->ping_strikes = 0;
        return 0;
    }
    if (conf->keepalive_min_ns) {
        uint64_t min = x->c->n_streams || conf->keepalive_without_stream ? conf->keepalive_min_ns : 7200 * S;

        if (had && apart < min && ++x->ping_strikes > PING_STRIKES) {
            doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return charge(x, 1);
}

/* ---- deadlines -------------------------------------------------------------------------------------------- */

static uint64_t first(uint64_t due, uint64_t since, uint64_t patience)
{
    return patience && since + patience < due ? since + patience : due;
}

/** When this stream has waited too long, for its peer. Waiting for our own answer has no limit here. */
static uint64_t stream_due(const struct session *x, const struct gw_h2_stream *st)
{
    const struct gw_hs_conf *conf = x->c->conf;
    uint64_t due = UINT64_MAX;

    if (st->end_sent)
        due = st->moved_ns + STOP_NS;
    else if (st->s.open && st->body_at == st->n_body)
        ;                     /* an answer that goes on when there is something to say */
    else if (st->s.responded) /* the peer does not open its window, or does not read */
        due = first(due, st->moved_ns, conf->write_timeout_ns ? conf->write_timeout_ns : conf->body_idle_timeout_ns);
    else if (st->headers_done && !st->remote_ended) {
        due = first(first(due, st->moved_ns, conf->body_idle_timeout_ns), st->opened_ns, conf->read_timeout_ns);
        if (conf->body_idle_timeout_ns)
            due = first(due, st->opened_ns + st->slack_ns,
                        conf->body_idle_timeout_ns + st->rx_bytes * (S / BODY_BYTES_PER_S));
    }
    return due;
}

static uint64_t session_due(const struct session *x)
{
    const struct gw_hs_conf *conf = x->c->conf;
    uint64_t due = UINT64_MAX;

    if (!x->got_settings)
        due = first(due, x->opened_ns, conf->header_timeout_ns);
    if (x->header_since_ns)
        due = first(due, x->header_since_ns, conf->header_timeout_ns);
    if (x->ping_sent_ns)
        due = first(due, x->ping_sent_ns, conf->keepalive_timeout_ns ? conf->keepalive_timeout_ns : 20 * S);
    else
        due = first(due, x->rx_ns, conf->keepalive_time_ns);
    if (x->drain == NOTICED)
        due = first(due, x->drain_ns, S);
    return due;
}

/** The timer may be early, which costs a look; it may not be late. */
static void arm(struct session *x, uint64_t due)
{
    if (due != UINT64_MAX && (!gw_timer_is_armed(&x->c->timer) || due < x->c->timer.due_ns))
        gw_conn_arm(x->c, due);
}

/* ---- out -------------------------------------------------------------------------------------------------- */

static void put_out(struct session *x)
{
    if (x->n_out)
        gw_conn_write(x->c, gw_slice_of(x->w->out, x->n_out));
    x->n_out = 0;
}

/** Pull out of nghttp2 what it has, as long as the socket keeps up. */
static void pump(struct session *x)
{
    const uint8_t *p;
    ssize_t n;

    if (x->pumping)
        return;
    x->pumping = true;
    while (!x->c->closed && gw_conn_unsent(x->c) < GW_H2_OUT_BYTES && (n = nghttp2_session_mem_send(x->ng, &p)) != 0) {
        if (n < 0) {
            gw_conn_close(x->c);
            break;
        }
        while (n > 0) {
            size_t k = GW_H2_OUT_BYTES - x->n_out < (size_t)n ? GW_H2_OUT_BYTES - x->n_out : (size_t)n;

            memcpy(x->w->out + x->n_out, p, k);
            x->n_out += k;
            p += k;
            n -= (ssize_t)k;
            if (x->n_out == GW_H2_OUT_BYTES)
                put_out(x);
        }
    }
    x->pumping = false;
}

/** A reset of ours: costs the peer nothing, and what it has sent meanwhile is not held against it. */
static void reset(struct session *x, struct gw_h2_stream *st, uint32_t code)
{
    st->own_reset = true;
    x->late_bytes += st->window;
    nghttp2_submit_rst_stream(x->ng, NGHTTP2_FLAG_NONE, (int32_t)st->s.id, code);
}

static void last_word(struct session *x)
{
    x->drain = LAST_WORD;
    x->late_bytes += x->window.bytes; /* streams that were opened too late to be served */
    nghttp2_submit_goaway(x->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(x->ng), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

/** Everything that can be said is said, and what has to end ends. */
static void flush(struct gw_hs_conn *c)
{
    struct session *x = c->session;

    if (x->feeding) /* the piece that is being fed is followed by this */
        return;
    pump(x);
    if (x->doom && !c->finishing) {
        nghttp2_submit_goaway(x->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(x->ng), x->doom,
                              (const uint8_t *)x->why, strlen(x->why));
        pump(x);
    }
    put_out(x);
    if (c->closed)
        return;
    if (x->doom || (!nghttp2_session_want_read(x->ng) && !nghttp2_session_want_write(x->ng)) ||
        (x->drain == LAST_WORD && c->n_streams == 0 && !nghttp2_session_want_write(x->ng)))
        gw_conn_finish(c);
}

/* ---- call-backs of nghttp2: receiving --------------------------------------------------------------------- */

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
    struct session *x = arg;

    (void)ng;
    x->n_told++;
    return hd->type > NGHTTP2_CONTINUATION ? charge(x, 1) : 0;
}

/** Frames of types that nobody here knows: nghttp2 would skip them without a word, and for ever. */
static int on_unknown(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *arg)
{
    (void)ng, (void)payload, (void)hd, (void)arg;
    return NGHTTP2_ERR_CANCEL;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct session *x = arg;
    struct gw_h2_stream *st;

    x->header_since_ns = gw_conn_now_ns(x->c);
    arm(x, session_due(x));
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    st = gw_h2_stream_new(x->w);
    if (!st)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    gw_stream_open(x->c, &st->s, (uint32_t)f->hd.stream_id);
    st->opened_ns = st->moved_ns = x->header_since_ns;
    st->window = x->c->conf->initial_window_bytes;
    st->next = x->streams;
    st->link = &x->streams;
    if (st->next)
        st->next->link = &st->next;
    x->streams = st;
    nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, st);
    gw_h2_bucket_owe(&x->bucket.window_updates, 1); /* some clients open a window with every request */
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
    struct session *x = arg;
    const struct gw_hs_conf *conf = x->c->conf;
    struct gw_h2_stream *st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);

    (void)flags;
    x->n_told++;
    if (!st || st->headers_done) /* trailers of a request mean nothing to us */
        return 0;
    st->list_bytes += n_name + n_value + 32;
    st->n_seen += name[0] != ':';
    if (st->n_seen > conf->max_headers || st->list_bytes > conf->max_header_bytes) {
        st->too_big = true;
        if (st->n_seen <= 4 * conf->max_headers && st->list_bytes <= 4 * (size_t)conf->max_header_bytes)
            return 0;
        if (charge(x, BOMB_COST) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* decoded to the end, but no longer told */
    }
    if (gw_h2_stream_keep_header(st, gw_slice_of(name, n_name), gw_slice_of(value, n_value)) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static void respond(struct gw_hs_stream *s, const struct gw_hs_response *r);

/** Errors: NGHTTP2_ERR_CALLBACK_FAILURE when the peer has to go. */
static int on_head(struct session *x, struct gw_h2_stream *st)
{
    st->headers_done = true;
    gw_h2_stream_finish_head(st);
    if (st->too_big) {
        st->s.responded = true; /* the handler never hears of it */
        respond(&st->s, &(struct gw_hs_response){.status = 431});
        return charge(x, 1);
    }
    gw_stream_head(&st->s);
    if (st->s.responded || st->remote_ended)
        return 0;
    if (st->expects_continue) {
        nghttp2_nv nv = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3, NGHTTP2_NV_FLAG_NONE};

        nghttp2_submit_headers(x->ng, NGHTTP2_FLAG_NONE, (int32_t)st->s.id, NULL, &nv, 1, NULL);
    }
    if (st->s.head.content_length > 0)
        gw_h2_window_widen(&x->window, st, (uint64_t)st->s.head.content_length);
    arm(x, stream_due(x, st));
    return 0;
}

/* ---- call-backs of nghttp2: bodies ------------------------------------------------------------------------ */

static int on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    struct session *x = arg;
    struct gw_h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);

    x->n_told++;
    if (!st || st->s.responded) { /* refused: its window stays as it is, the connection's is not its fault */
        gw_h2_window_last(&x->window, n);
        return 0;
    }
    st->moved_ns = gw_conn_now_ns(x->c);
    st->rx_bytes += n;
    gw_stream_body(&st->s, gw_slice_of(p, n));
    if (st->s.responded || (flags & NGHTTP2_FLAG_END_STREAM)) /* the last ones: nothing comes after them */
        gw_h2_window_last(&x->window, n);
    else if (!gw_h2_window_took(&x->window, st, n))
        arm(x, st->look_ns);
    return 0;
}

static void on_remote_end(struct gw_h2_stream *st)
{
    if (st->remote_ended)
        return;
    st->remote_ended = true;
    gw_stream_end(&st->s);
}

static int on_reset(struct session *x, const nghttp2_frame *f)
{
    struct gw_h2_stream *st = nghttp2_session_get_stream_user_data(x->ng, f->hd.stream_id);

    if (st)
        gw_h2_frames_reset(&x->frames, st->s.id);
    /* a client answers our early end with a reset; any other one made us work for nothing */
    if (st ? st->end_sent : x->bucket.resets > 0) {
        if (!st)
            x->bucket.resets--;
        return 0;
    }
    return charge(x, 1);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct session *x = arg;
    struct gw_h2_stream *st;

    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
        x->header_since_ns = 0;
        st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
        if (!st)
            return 0;
        if (!st->headers_done) {
            if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) /* known before the head is told: no 100, no window */
                st->remote_ended = true;
            if (on_head(x, st) < 0)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
            if (st->remote_ended)
                gw_stream_end(&st->s);
        } else if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) {
            on_remote_end(st);
        }
        return 0;
    case NGHTTP2_DATA:
        if (f->hd.length == f->data.padlen && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
            return charge(x, 1);
        st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
        if (st && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
            on_remote_end(st);
        return 0;
    case NGHTTP2_PRIORITY:
        return charge(x, 1);
    case NGHTTP2_RST_STREAM:
        return on_reset(x, f);
    case NGHTTP2_SETTINGS:
        x->got_settings = true; /* theirs comes once, and ours is acknowledged once */
        return charge_owed(x, &x->bucket.settings);
    case NGHTTP2_WINDOW_UPDATE:
        return charge_owed(x, &x->bucket.window_updates);
    case NGHTTP2_PING:
        if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
            return on_ping(x);
        if (x->drain == NOTICED && memcmp(f->ping.opaque_data, PING_DRAIN, 8) == 0)
            last_word(x);
        else if (!x->ping_sent_ns)
            return charge(x, 1); /* an answer to nothing */
        x->ping_sent_ns = 0;
        return 0;
    default:
        return 0;
    }
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int code, void *arg)
{
    struct session *x = arg;

    (void)ng;
    (void)code;
    if (f->hd.type == NGHTTP2_HEADERS)
        x->header_since_ns = 0;
    return charge(x, 1);
}

/* ---- call-backs of nghttp2: sending and ending ------------------------------------------------------------ */

/**
 * Answered before the request was over. A client that is told to stop together with the answer may drop the answer
 * (curl does), so the reset comes a little later; what fits its window meanwhile is thrown away, and a request that
 * ends in it needs no reset at all.
 */
static void on_end_sent(struct session *x, struct gw_h2_stream *st)
{
    st->end_sent = true;
    if (st->remote_ended)
        return;
    gw_h2_bucket_owe(&x->bucket.resets, 1); /* some clients stop by themselves, with a reset */
    arm(x, stream_due(x, st));
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct session *x = arg;
    struct gw_h2_stream *st;

    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        x->answered_ns = gw_conn_now_ns(x->c);
        gw_h2_bucket_owe(&x->bucket.pings, 1);
        gw_h2_bucket_owe(&x->bucket.window_updates, 2);
        st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
        if (!st)
            return 0;
        st->moved_ns = x->answered_ns;
        if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
            on_end_sent(x, st);
        return 0;
    case NGHTTP2_RST_STREAM:
        st = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
        if (st && st->own_reset)
            return 0;
        if (f->rst_stream.error_code == NGHTTP2_REFUSED_STREAM)
            charge_owed(x, &x->bucket.refusals);
        else
            charge(x, 1); /* whatever nghttp2 resets by itself was the peer's doing */
        return 0;
    default:
        return 0;
    }
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct session *x = arg;
    struct gw_h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);

    (void)code;
    if (!st)
        return 0;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    if (st->end_sent && !st->too_big)
        gw_h2_bucket_completed(&x->bucket);
    if (st->held)
        gw_h2_window_last(&x->window, st->held);
    if (st->remote_ended)
        gw_h2_frames_ended(&x->frames, st->s.id);
    stream_end(x, st);
    return 0;
}

/* ---- responses -------------------------------------------------------------------------------------------- */

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

static void quiesce(struct gw_hs_conn *c);

static void respond(struct gw_hs_stream *s, const struct gw_hs_response *r)
{
    struct gw_h2_stream *st = (struct gw_h2_stream *)s;
    struct session *x = s->conn->session;
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
        reset(x, st, NGHTTP2_INTERNAL_ERROR);
    if (r->close && !s->conn->quiescing)
        quiesce(s->conn);
    arm(x, stream_due(x, st));
    if (!x->feeding)
        gw_conn_dirty(s->conn);
}

/** An answer that was left open has something to say, or ends: nghttp2 asks read_body again. */
static void go_on(struct session *x, struct gw_h2_stream *st)
{
    st->moved_ns = gw_conn_now_ns(x->c);
    (void)nghttp2_session_resume_data(x->ng, (int32_t)st->s.id); /* not deferred: it is asked anyway */
    arm(x, stream_due(x, st));
    if (!x->feeding)
        gw_conn_dirty(x->c);
}

static int push(struct gw_hs_stream *s, struct gw_slice bytes)
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

static void end_answer(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers)
{
    struct gw_h2_stream *st = (struct gw_h2_stream *)s;
    struct session *x = s->conn->session;

    if (gw_h2_stream_keep_trailers(st, trailers, n_trailers) < 0)
        reset(x, st, NGHTTP2_INTERNAL_ERROR);
    go_on(x, st);
}

/* ---- the protocol's table --------------------------------------------------------------------------------- */

static struct gw_h2_worker *worker_of(struct gw_hs_server *sv)
{
    struct gw_h2_worker *w = sv->h2;
    nghttp2_session_callbacks *cb;

    if (w)
        return w;
    w = calloc(1, sizeof *w);
    if (!w || nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&w->option) != 0) {
        free(w);
        return NULL;
    }
    w->callbacks = cb;
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_unpack_extension_callback(cb, on_unknown);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type < 256; type++)
        nghttp2_option_set_user_recv_extension_type(w->option, (uint8_t)type);
    nghttp2_option_set_no_auto_window_update(w->option, 1);
    nghttp2_option_set_no_closed_streams(w->option, 1);
    nghttp2_option_set_max_continuations(w->option, CONTINUATIONS_MAX);
    nghttp2_option_set_max_settings(w->option, SETTINGS_MAX);
    nghttp2_option_set_max_outbound_ack(w->option, 1000);
    /* nghttp2 counts resets that answer our refusals, too: the bucket knows better */
    nghttp2_option_set_stream_reset_rate_limit(w->option, UINT32_MAX, UINT32_MAX);
    sv->h2 = w;
    return w;
}

void gw_http2_server_clear(struct gw_hs_server *sv)
{
    struct gw_h2_worker *w = sv->h2;
    struct gw_h2_stream *st;

    if (!w)
        return;
    while ((st = w->free)) {
        w->free = st->next;
        gw_h2_stream_free(st);
    }
    nghttp2_session_callbacks_del(w->callbacks);
    nghttp2_option_del(w->option);
    free(w);
    sv->h2 = NULL;
}

static int open_session(struct gw_hs_conn *c)
{
    const struct gw_hs_conf *conf = c->conf;
    struct session *x = calloc(1, sizeof *x);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->initial_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->max_header_bytes},
    };

    if (!x)
        return -ENOMEM;
    x->c = c;
    x->w = worker_of(c->server);
    if (!x->w || nghttp2_session_server_new2(&x->ng, x->w->callbacks, x, x->w->option) != 0) {
        free(x);
        return -ENOMEM;
    }
    c->session = x;
    x->opened_ns = x->rx_ns = gw_conn_now_ns(c);
    gw_h2_frames_init(&x->frames);
    gw_h2_bucket_init(&x->bucket, conf->bucket_burst, conf->bucket_per_s, x->opened_ns);
    nghttp2_submit_settings(x->ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    gw_h2_window_begin(&x->window, c, x->ng);
    arm(x, session_due(x));
    flush(c);
    return 0;
}

/**
 * nghttp2 passes over frames for streams that are closed, and tells nobody. What is on its way when we end a stream
 * early is fine; more than that costs a token a piece.
 */
static void charge_untold(struct session *x, size_t n)
{
    if (x->n_told)
        return;
    if (x->late_bytes >= n)
        x->late_bytes -= n;
    else
        charge(x, 1);
}

/** How much of `in` is fed next. 0: the peer has to go. */
static size_t next_piece(struct session *x, struct gw_slice in)
{
    enum gw_h2_wrong wrong;
    uint32_t id;
    size_t n = gw_h2_frames_look(&x->frames, gw_slice_of(in.p, in.n < FEED_BYTES ? in.n : FEED_BYTES), &wrong, &id);

    switch (wrong) {
    case GW_H2_FINE:
        return n;
    case GW_H2_AFTER_RESET:
        nghttp2_submit_rst_stream(x->ng, NGHTTP2_FLAG_NONE, (int32_t)id, NGHTTP2_STREAM_CLOSED);
        return charge(x, 1) < 0 ? 0 : n;
    case GW_H2_AFTER_END:
        doom(x, NGHTTP2_STREAM_CLOSED, "a frame behind the end of its stream");
        return 0;
    case GW_H2_GOING_BACK:
        doom(x, NGHTTP2_PROTOCOL_ERROR, "a stream's number that was left out");
        return 0;
    }
    return n;
}

static size_t input(struct gw_hs_conn *c, struct gw_slice in)
{
    struct session *x = c->session;
    size_t at = 0;

    x->rx_ns = gw_conn_now_ns(c);
    if (x->ping_sent_ns && !x->drain)
        x->ping_sent_ns = x->rx_ns; /* it lives; its acknowledgement may take as long as the data before it */
    while (at < in.n && !x->doom && !c->closed) {
        size_t n = next_piece(x, gw_slice_of(in.p + at, in.n - at));
        ssize_t k;

        if (n == 0)
            break;
        x->feeding = true;
        x->n_told = 0;
        k = nghttp2_session_mem_recv(x->ng, in.p + at, n);
        x->feeding = false;
        if (k < 0) { /* never fed again: nghttp2 is not made for that */
            doom(x, NGHTTP2_PROTOCOL_ERROR, "not HTTP/2");
            break;
        }
        at += (size_t)k;
        charge_untold(x, n);
        pump(x);
    }
    flush(c);
    return in.n;
}

static void on_eof(struct gw_hs_conn *c)
{
    gw_conn_close(c);
}

static void on_timeout(struct gw_hs_conn *c)
{
    struct session *x = c->session;
    uint64_t now = gw_conn_now_ns(c), due = UINT64_MAX;

    if ((!x->got_settings && now >= first(UINT64_MAX, x->opened_ns, c->conf->header_timeout_ns)) ||
        (x->header_since_ns && now >= first(UINT64_MAX, x->header_since_ns, c->conf->header_timeout_ns))) {
        gw_metric_add(c->server->g->cut_timeout, 1);
        gw_conn_close(c);
        return;
    }
    if (x->drain == NOTICED && now >= x->drain_ns + S)
        last_word(x);
    for (struct gw_h2_stream *st = x->streams; st; st = st->next) {
        uint64_t look = gw_h2_window_look(&x->window, st, now), mine = stream_due(x, st);

        if (look < due)
            due = look;
        if (mine <= now && !st->own_reset) {
            reset(x, st, st->end_sent ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
        } else if (!st->own_reset && mine < due) {
            due = mine;
        }
    }
    if (session_due(x) <= now) {
        if (x->ping_sent_ns) { /* not even an acknowledgement */
            gw_metric_add(c->server->g->cut_timeout, 1);
            gw_conn_close(c);
            return;
        }
        x->ping_sent_ns = now;
        nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, PING_ALIVE);
    }
    if (session_due(x) < due)
        due = session_due(x);
    arm(x, due);
    flush(c);
}

/**
 * Two steps, so that no request is lost between our GOAWAY and the peer's reading of it: first "no more, but I take
 * everything" and a PING; when its answer is here, whatever was on its way is here, too, and the last number is known.
 */
static void quiesce(struct gw_hs_conn *c)
{
    struct session *x = c->session;

    if (x->drain != NOT_DRAINING)
        return;
    x->drain = NOTICED;
    x->drain_ns = gw_conn_now_ns(c);
    nghttp2_submit_shutdown_notice(x->ng);
    nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, PING_DRAIN);
    arm(x, session_due(x));
    gw_conn_dirty(c);
}

static struct gw_hs_stream *find(struct gw_hs_conn *c, uint32_t id)
{
    struct session *x = c->session;
    struct gw_h2_stream *st = nghttp2_session_get_stream_user_data(x->ng, (int32_t)id);

    return st && st->s.told ? &st->s : NULL;
}

static void close_session(struct gw_hs_conn *c)
{
    struct session *x = c->session;

    while (x->streams)
        stream_end(x, x->streams);
    nghttp2_session_del(x->ng);
    free(x);
    c->session = NULL;
}

const struct gw_hs_proto gw_http2 = {
    .name = "http2",
    .open = open_session,
    .input = input,
    .eof = on_eof,
    .flush = flush,
    .timeout = on_timeout,
    .quiesce = quiesce,
    .respond = respond,
    .push = push,
    .end = end_answer,
    .find = find,
    .close = close_session,
};
