/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_window.h"

#include "net/hs.h"

enum { CONN_WINDOWS = 16 }; /* the connection's window, in stream windows */
static const uint64_t HOLD_NS = 1000 * 1000000ull, LOOK_NS = 20 * 1000000ull;

static bool has_room(const struct gw_h2_window *w, struct gw_h2_stream *st, uint64_t more)
{
    struct gw_hs_handler *h = w->c->server->handler;

    return !h->room || h->room(h, &st->s, more);
}

static void set_own(struct gw_h2_window *w, uint32_t bytes)
{
    w->bytes = bytes;
    nghttp2_session_set_local_window_size(w->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)bytes);
}

void gw_h2_window_begin(struct gw_h2_window *w, struct gw_hs_conn *c, nghttp2_session *ng)
{
    uint32_t max = c->conf->max_window_bytes;

    *w = (struct gw_h2_window){.c = c, .ng = ng};
    set_own(w, max > NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE ? max : NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE);
}

void gw_h2_window_widen(struct gw_h2_window *w, struct gw_h2_stream *st, uint64_t to)
{
    uint32_t max = w->c->conf->max_window_bytes;
    uint64_t all = (uint64_t)max * CONN_WINDOWS < INT32_MAX ? (uint64_t)max * CONN_WINDOWS : INT32_MAX;

    if (to > max)
        to = max;
    if (to <= st->window || !has_room(w, st, to))
        return;
    st->window = (uint32_t)to;
    nghttp2_session_set_local_window_size(w->ng, NGHTTP2_FLAG_NONE, (int32_t)st->s.id, (int32_t)st->window);
    if (w->bytes < all)
        set_own(w, (uint32_t)all);
}

/** The peer may send as much again as it has sent. */
static void let_on(struct gw_h2_window *w, struct gw_h2_stream *st, size_t n)
{
    w->n_last += n;
    nghttp2_session_consume_stream(w->ng, (int32_t)st->s.id, n);
    if (st->rx_bytes > st->window / 2)
        gw_h2_window_widen(w, st, 4 * (uint64_t)st->window);
}

void gw_h2_window_took(struct gw_h2_window *w, struct gw_h2_stream *st, size_t n)
{
    st->unsettled += n;
    if (st->unsettled_link)
        return;
    st->unsettled_next = w->unsettled;
    st->unsettled_link = &w->unsettled;
    if (st->unsettled_next)
        st->unsettled_next->unsettled_link = &st->unsettled_next;
    w->unsettled = st;
}

/** Returns what there was. */
static size_t unlist(struct gw_h2_stream *st)
{
    size_t n = st->unsettled;

    if (!st->unsettled_link)
        return 0;
    *st->unsettled_link = st->unsettled_next;
    if (st->unsettled_next)
        st->unsettled_next->unsettled_link = st->unsettled_link;
    st->unsettled_link = NULL;
    st->unsettled = 0;
    return n;
}

void gw_h2_window_ended(struct gw_h2_window *w, struct gw_h2_stream *st)
{
    w->n_last += unlist(st);
}

void gw_h2_window_last(struct gw_h2_window *w, size_t n)
{
    nghttp2_session_consume_connection(w->ng, n);
}

/** Returns when to look at it again. */
static uint64_t settle(struct gw_h2_window *w, struct gw_h2_stream *st)
{
    size_t n = unlist(st);

    if (st->s.responded || st->remote_ended) {
        w->n_last += n;
        return UINT64_MAX;
    }
    if (!st->held && has_room(w, st, st->window)) {
        let_on(w, st, n);
        return UINT64_MAX;
    }
    /* What it has of its window is all that it gets, of the connection's, too. */
    if (st->held == 0) {
        st->held_ns = gw_conn_now_ns(w->c);
        st->look_ns = st->held_ns + LOOK_NS;
    }
    st->held += (uint32_t)n;
    return st->look_ns;
}

uint64_t gw_h2_window_settle(struct gw_h2_window *w)
{
    uint64_t due = UINT64_MAX;

    while (w->unsettled) {
        uint64_t look_ns = settle(w, w->unsettled);

        due = look_ns < due ? look_ns : due;
    }
    if (w->n_last)
        gw_h2_window_last(w, w->n_last);
    w->n_last = 0;
    return due;
}

uint64_t gw_h2_window_look(struct gw_h2_window *w, struct gw_h2_stream *st, uint64_t now_ns)
{
    uint32_t n = st->held;

    if (n == 0)
        return UINT64_MAX;
    if (now_ns < st->look_ns)
        return st->look_ns;
    if (!st->s.responded && now_ns < st->held_ns + HOLD_NS && !has_room(w, st, st->window)) {
        st->look_ns = now_ns + LOOK_NS;
        return st->look_ns;
    }
    st->held = 0;
    st->slack_ns += now_ns - st->held_ns;
    st->moved_ns = now_ns;
    if (st->s.responded)
        gw_h2_window_last(w, n);
    else
        let_on(w, st, n);
    return UINT64_MAX;
}
