/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2, server side: an nghttp2 session on a connection. nghttp2 does no I/O: bytes are pushed in, bytes are pulled
 * out, and call-backs in between make streams of them. Whatever a peer may cost us is counted in net/h2_bucket.h.
 *
 * nghttp2 passes over frames for streams that are closed. Those that are wrong for sure are seen by net/h2_frames.h
 * and answered as RFC 9113 asks; all others are counted (charge_untold).
 */
#include "net/h2_session.h"

#include <stdlib.h>

enum {
    /* pushed in at once, beside bodies: an attack is noticed, and its answers are out, before the next piece */
    FEED_BYTES = 8 * 1024,
    FRAME_BYTES = 64 * 1024, /* what a first window lets through is one frame, of clients that heed it */
    CONTINUATIONS_MAX = 8,
    SETTINGS_MAX = 32,
    FEW_FRAMES = 8,          /* that may wait for the end of the turn */
    BODY_BYTES_PER_S = 1024, /* slower ones are cut off, however steadily they come (after body_idle_timeout) */
};
static const uint64_t S = 1000000000ull, STOP_NS = 100 * 1000000ull;
static const uint8_t PING_ALIVE[8] = "alive?  ";
const uint8_t gw_h2_ping_drain[8] = "draining";

/* ---- streams ---------------------------------------------------------------------------------------------- */

struct gw_h2_stream *gw_h2_find(struct gw_h2_session *x, int32_t id)
{
    struct gw_h2_stream *st = x->last;

    if (st && st->s.id == (uint32_t)id)
        return st;
    st = nghttp2_session_get_stream_user_data(x->ng, id);
    if (st)
        x->last = st;
    return st;
}

void gw_h2_stream_end(struct gw_h2_session *x, struct gw_h2_stream *st)
{
    if (x->last == st)
        x->last = NULL;
    *st->link = st->next;
    if (st->next)
        st->next->link = st->link;
    gw_h2_window_ended(&x->window, st);
    gw_stream_gone(&st->s);
    gw_h2_stream_recycle(x->w, st);
}

/* ---- the books -------------------------------------------------------------------------------------------- */

void gw_h2_doom(struct gw_h2_session *x, uint32_t code, const char *why)
{
    if (x->doom)
        return;
    x->doom = code;
    x->why = why;
    gw_metric_add(x->c->server->g->cut_attack, 1);
}

int gw_h2_charge(struct gw_h2_session *x, unsigned n)
{
    if (gw_h2_bucket_charge(&x->bucket, n, gw_conn_now_ns(x->c)))
        return 0;
    gw_h2_doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too much for nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int gw_h2_charge_owed(struct gw_h2_session *x, uint32_t *owed)
{
    if (gw_h2_bucket_owed(&x->bucket, owed, gw_conn_now_ns(x->c)))
        return 0;
    gw_h2_doom(x, NGHTTP2_ENHANCE_YOUR_CALM, "too much for nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- deadlines -------------------------------------------------------------------------------------------- */

static uint64_t first(uint64_t due, uint64_t since, uint64_t patience)
{
    return patience && since + patience < due ? since + patience : due;
}

uint64_t gw_h2_stream_due(const struct gw_h2_session *x, const struct gw_h2_stream *st)
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

uint64_t gw_h2_session_due(const struct gw_h2_session *x)
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
    if (x->drain == GW_H2_NOTICED)
        due = first(due, x->drain_ns, S);
    return due;
}

void gw_h2_arm(struct gw_h2_session *x, uint64_t due)
{
    if (due != UINT64_MAX && (!gw_timer_is_armed(&x->c->timer) || due < x->c->timer.due_ns))
        gw_conn_arm(x->c, due);
}

/* ---- out -------------------------------------------------------------------------------------------------- */

static void put_out(struct gw_h2_session *x)
{
    if (x->n_out)
        gw_conn_write(x->c, gw_slice_of(x->w->out, x->n_out));
    x->n_out = 0;
}

/** Pull out of nghttp2 what it has, as long as the socket keeps up. */
static void pump(struct gw_h2_session *x)
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

void gw_h2_reset(struct gw_h2_session *x, struct gw_h2_stream *st, uint32_t code)
{
    st->own_reset = true;
    x->late_bytes += st->window;
    nghttp2_submit_rst_stream(x->ng, NGHTTP2_FLAG_NONE, (int32_t)st->s.id, code);
}

void gw_h2_last_word(struct gw_h2_session *x)
{
    x->drain = GW_H2_LAST_WORD;
    x->late_bytes += x->window.bytes; /* streams that were opened too late to be served */
    nghttp2_submit_goaway(x->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(x->ng), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

/** Everything that can be said is said, and what has to end ends. */
static void flush(struct gw_hs_conn *c)
{
    struct gw_h2_session *x = c->session;

    if (x->feeding) /* the piece that is being fed is followed by this */
        return;
    gw_h2_arm(x, gw_h2_window_settle(&x->window));
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
        (x->drain == GW_H2_LAST_WORD && c->n_streams == 0 && !nghttp2_session_want_write(x->ng)))
        gw_conn_finish(c);
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
    gw_h2_told_by(cb);
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
    struct gw_h2_session *x = calloc(1, sizeof *x);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->initial_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->max_header_bytes},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES},
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
    gw_h2_arm(x, gw_h2_session_due(x));
    flush(c);
    return 0;
}

/**
 * nghttp2 passes over frames for streams that are closed, and tells nobody. What is on its way when we end a stream
 * early is fine; more than that costs a token for every FEED_BYTES.
 */
static void charge_untold(struct gw_h2_session *x, size_t n)
{
    size_t late = x->late_bytes < n ? x->late_bytes : n;

    if (x->n_told)
        return;
    x->late_bytes -= late;
    if (late < n)
        gw_h2_charge(x, (unsigned)((n - late + FEED_BYTES - 1) / FEED_BYTES));
}

/** How much of `in` is fed next. 0: the peer has to go. */
static size_t next_piece(struct gw_h2_session *x, struct gw_slice in)
{
    enum gw_h2_wrong wrong;
    uint32_t id;
    size_t n = gw_h2_frames_look(&x->frames, in, FEED_BYTES, &wrong, &id);

    switch (wrong) {
    case GW_H2_FINE:
        return n;
    case GW_H2_AFTER_RESET:
        nghttp2_submit_rst_stream(x->ng, NGHTTP2_FLAG_NONE, (int32_t)id, NGHTTP2_STREAM_CLOSED);
        return gw_h2_charge(x, 1) < 0 ? 0 : n;
    case GW_H2_AFTER_END:
        gw_h2_doom(x, NGHTTP2_STREAM_CLOSED, "a frame behind the end of its stream");
        return 0;
    case GW_H2_GOING_BACK:
        gw_h2_doom(x, NGHTTP2_PROTOCOL_ERROR, "a stream's number that was left out");
        return 0;
    }
    return n;
}

/**
 * What input leaves to be said, windows mostly, goes with the answer, which often comes in the same turn: each write
 * wakes the peer. But what an attack makes us say is out before the next piece.
 */
static bool may_wait(const struct gw_h2_session *x)
{
    return !x->doom && !x->c->closed && x->n_out == 0 && nghttp2_session_get_outbound_queue_size(x->ng) <= FEW_FRAMES;
}

static size_t input(struct gw_hs_conn *c, struct gw_slice in)
{
    struct gw_h2_session *x = c->session;
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
            gw_h2_doom(x, NGHTTP2_PROTOCOL_ERROR, "not HTTP/2");
            break;
        }
        at += (size_t)k;
        charge_untold(x, n);
        if (!may_wait(x))
            pump(x);
    }
    if (may_wait(x))
        gw_conn_dirty(c);
    else
        flush(c);
    return in.n;
}

static void on_eof(struct gw_hs_conn *c)
{
    gw_conn_close(c);
}

static void on_timeout(struct gw_hs_conn *c)
{
    struct gw_h2_session *x = c->session;
    uint64_t now = gw_conn_now_ns(c), due = UINT64_MAX;

    if ((!x->got_settings && now >= first(UINT64_MAX, x->opened_ns, c->conf->header_timeout_ns)) ||
        (x->header_since_ns && now >= first(UINT64_MAX, x->header_since_ns, c->conf->header_timeout_ns))) {
        gw_metric_add(c->server->g->cut_timeout, 1);
        gw_conn_close(c);
        return;
    }
    if (x->drain == GW_H2_NOTICED && now >= x->drain_ns + S)
        gw_h2_last_word(x);
    for (struct gw_h2_stream *st = x->streams; st; st = st->next) {
        uint64_t look = gw_h2_window_look(&x->window, st, now), mine = gw_h2_stream_due(x, st);

        if (look < due)
            due = look;
        if (mine <= now && !st->own_reset) {
            gw_h2_reset(x, st, st->end_sent ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
        } else if (!st->own_reset && mine < due) {
            due = mine;
        }
    }
    if (gw_h2_session_due(x) <= now) {
        if (x->ping_sent_ns) { /* not even an acknowledgement */
            gw_metric_add(c->server->g->cut_timeout, 1);
            gw_conn_close(c);
            return;
        }
        x->ping_sent_ns = now;
        nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, PING_ALIVE);
    }
    if (gw_h2_session_due(x) < due)
        due = gw_h2_session_due(x);
    gw_h2_arm(x, due);
    flush(c);
}

/**
 * Two steps, so that no request is lost between our GOAWAY and the peer's reading of it: first "no more, but I take
 * everything" and a PING; when its answer is here, whatever was on its way is here, too, and the last number is known.
 */
void gw_h2_quiesce(struct gw_hs_conn *c)
{
    struct gw_h2_session *x = c->session;

    if (x->drain != GW_H2_NOT_DRAINING)
        return;
    x->drain = GW_H2_NOTICED;
    x->drain_ns = gw_conn_now_ns(c);
    nghttp2_submit_shutdown_notice(x->ng);
    nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, gw_h2_ping_drain);
    gw_h2_arm(x, gw_h2_session_due(x));
    gw_conn_dirty(c);
}

static struct gw_hs_stream *find(struct gw_hs_conn *c, uint32_t id)
{
    struct gw_h2_session *x = c->session;
    struct gw_h2_stream *st = gw_h2_find(x, (int32_t)id);

    return st && st->s.told ? &st->s : NULL;
}

static void close_session(struct gw_hs_conn *c)
{
    struct gw_h2_session *x = c->session;

    while (x->streams)
        gw_h2_stream_end(x, x->streams);
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
    .quiesce = gw_h2_quiesce,
    .respond = gw_h2_respond,
    .push = gw_h2_push,
    .end = gw_h2_end_answer,
    .find = find,
    .close = close_session,
};
