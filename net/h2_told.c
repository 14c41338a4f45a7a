/* SPDX-License-Identifier: Apache-2.0 */
/* Call-backs of nghttp2. */
#include "net/h2_session.h"

enum {
    PING_STRIKES = 2, /* as grpc-go */
    BOMB_COST = 20,   /* tokens for a header list several times over its limit: decoding it was not free */
};
static const uint64_t S = 1000000000ull;

/**
 * A PING for every frame of a response is free. Beyond that grpc-go's enforcement holds: one that comes sooner than
 * min_time after the last one (two hours when no stream is open) is a strike, and three strikes end the connection.
 */
static int on_ping(struct gw_h2_session *x)
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
            gw_h2_doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return gw_h2_charge(x, 1);
}

/* ---- receiving -------------------------------------------------------------------------------------------- */

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
    struct gw_h2_session *x = arg;

    (void)ng;
    x->n_told++;
    return hd->type > NGHTTP2_CONTINUATION ? gw_h2_charge(x, 1) : 0;
}

/** Frames of types that nobody here knows: nghttp2 would skip them without a word, and for ever. */
static int on_unknown(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *arg)
{
    (void)ng, (void)payload, (void)hd, (void)arg;
    return NGHTTP2_ERR_CANCEL;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct gw_h2_session *x = arg;
    struct gw_h2_stream *st;

    x->header_since_ns = gw_conn_now_ns(x->c);
    gw_h2_arm(x, gw_h2_session_due(x));
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
    x->last = st;
    nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, st);
    gw_h2_bucket_owe(&x->bucket.window_updates, 1); /* some clients open a window with every request */
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *arg)
{
    struct gw_h2_session *x = arg;
    const struct gw_hs_conf *conf = x->c->conf;
    struct gw_h2_stream *st = gw_h2_find(x, f->hd.stream_id);

    (void)ng;
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
        if (gw_h2_charge(x, BOMB_COST) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* decoded to the end, but no longer told */
    }
    if (gw_h2_stream_keep_header(st, gw_slice_of(name, n_name), gw_slice_of(value, n_value)) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

/** Errors: NGHTTP2_ERR_CALLBACK_FAILURE when the peer has to go. */
static int on_head(struct gw_h2_session *x, struct gw_h2_stream *st)
{
    st->headers_done = true;
    gw_h2_stream_finish_head(st);
    if (st->too_big) {
        st->s.responded = true; /* the handler never hears of it */
        gw_h2_respond(&st->s, &(struct gw_hs_response){.status = 431});
        return gw_h2_charge(x, 1);
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
    gw_h2_arm(x, gw_h2_stream_due(x, st));
    return 0;
}

/* ---- bodies ----------------------------------------------------------------------------------------------- */

static int on_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
    struct gw_h2_session *x = arg;
    struct gw_h2_stream *st = gw_h2_find(x, id);

    (void)ng;
    (void)flags;
    x->n_told++;
    if (!st || st->s.responded) { /* refused: its window stays as it is, the connection's is not its fault */
        gw_h2_window_last(&x->window, n);
        return 0;
    }
    st->moved_ns = gw_conn_now_ns(x->c);
    st->rx_bytes += n;
    gw_stream_body(&st->s, gw_slice_of(p, n));
    gw_h2_window_took(&x->window, st, n);
    return 0;
}

static void on_remote_end(struct gw_h2_stream *st)
{
    if (st->remote_ended)
        return;
    st->remote_ended = true;
    gw_stream_end(&st->s);
}

static int on_reset(struct gw_h2_session *x, const nghttp2_frame *f)
{
    struct gw_h2_stream *st = gw_h2_find(x, f->hd.stream_id);

    if (st)
        gw_h2_frames_reset(&x->frames, st->s.id);
    /* a client answers our early end with a reset; any other one made us work for nothing */
    if (st ? st->end_sent : x->bucket.resets > 0) {
        if (!st)
            x->bucket.resets--;
        return 0;
    }
    return gw_h2_charge(x, 1);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct gw_h2_session *x = arg;
    struct gw_h2_stream *st;

    (void)ng;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
        x->header_since_ns = 0;
        st = gw_h2_find(x, f->hd.stream_id);
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
            return gw_h2_charge(x, 1);
        st = gw_h2_find(x, f->hd.stream_id);
        if (st && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
            on_remote_end(st);
        return 0;
    case NGHTTP2_PRIORITY:
        return gw_h2_charge(x, 1);
    case NGHTTP2_RST_STREAM:
        return on_reset(x, f);
    case NGHTTP2_SETTINGS:
        x->got_settings = true; /* theirs comes once, and ours is acknowledged once */
        return gw_h2_charge_owed(x, &x->bucket.settings);
    case NGHTTP2_WINDOW_UPDATE:
        return gw_h2_charge_owed(x, &x->bucket.window_updates);
    case NGHTTP2_PING:
        if (!(f->hd.flags & NGHTTP2_FLAG_ACK))
            return on_ping(x);
        if (x->drain == GW_H2_NOTICED && memcmp(f->ping.opaque_data, gw_h2_ping_drain, 8) == 0)
            gw_h2_last_word(x);
        else if (!x->ping_sent_ns)
            return gw_h2_charge(x, 1); /* an answer to nothing */
        x->ping_sent_ns = 0;
        return 0;
    default:
        return 0;
    }
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int code, void *arg)
{
    struct gw_h2_session *x = arg;

    (void)ng;
    (void)code;
    if (f->hd.type == NGHTTP2_HEADERS)
        x->header_since_ns = 0;
    return gw_h2_charge(x, 1);
}

/* ---- sending and ending ----------------------------------------------------------------------------------- */

/**
 * Answered before the request was over. A client that is told to stop together with the answer may drop the answer
 * (curl does), so the reset comes a little later; what fits its window meanwhile is thrown away, and a request that
 * ends in it needs no reset at all.
 */
static void on_end_sent(struct gw_h2_session *x, struct gw_h2_stream *st)
{
    st->end_sent = true;
    if (st->remote_ended)
        return;
    gw_h2_bucket_owe(&x->bucket.resets, 1); /* some clients stop by themselves, with a reset */
    gw_h2_arm(x, gw_h2_stream_due(x, st));
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
    struct gw_h2_session *x = arg;
    struct gw_h2_stream *st;

    (void)ng;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        x->answered_ns = gw_conn_now_ns(x->c);
        gw_h2_bucket_owe(&x->bucket.pings, 1);
        gw_h2_bucket_owe(&x->bucket.window_updates, 2);
        st = gw_h2_find(x, f->hd.stream_id);
        if (!st)
            return 0;
        st->moved_ns = x->answered_ns;
        if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
            on_end_sent(x, st);
        return 0;
    case NGHTTP2_RST_STREAM:
        st = gw_h2_find(x, f->hd.stream_id);
        if (st && st->own_reset)
            return 0;
        if (f->rst_stream.error_code == NGHTTP2_REFUSED_STREAM)
            gw_h2_charge_owed(x, &x->bucket.refusals);
        else
            gw_h2_charge(x, 1); /* whatever nghttp2 resets by itself was the peer's doing */
        return 0;
    default:
        return 0;
    }
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct gw_h2_session *x = arg;
    struct gw_h2_stream *st = gw_h2_find(x, id);

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
    gw_h2_stream_end(x, st);
    return 0;
}

void gw_h2_told_by(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_unpack_extension_callback(cb, on_unknown);
}
