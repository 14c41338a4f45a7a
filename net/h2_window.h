/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to net/http2.c: how much a peer may send. Streams begin with a small window, and get a larger one, or the
 * same again, when the handler has room for what it lets in. While there is none it waits, a second at most: then the
 * peer may go on, and is refused if it has to be.
 *
 *   took: told ─► settle: room? ──yes─► open again, wider for a long body
 *                           └──no──► held ─► look every 20 ms ─► open
 *
 * What comes in one turn is settled at its end, in one piece: a body that is over by then needs no window, and what is
 * left to say goes with the answers.
 */
#ifndef GW_NET_H2_WINDOW_H
#define GW_NET_H2_WINDOW_H

#include "net/h2_stream.h"

struct gw_h2_window {
    struct gw_hs_conn *c;
    nghttp2_session *ng;
    uint32_t bytes;                 /* the connection's */
    size_t n_last;                  /* bytes that are settled but for the connection */
    struct gw_h2_stream *unsettled; /* list, by unsettled_next */
};

/** The session is new: announce the connection's first window. */
void gw_h2_window_begin(struct gw_h2_window *w, struct gw_hs_conn *c, nghttp2_session *ng);
/** A stream that is going to be read may have a window of so many bytes, when there is room for it. */
void gw_h2_window_widen(struct gw_h2_window *w, struct gw_h2_stream *st, uint64_t to);
/** n bytes of a body were told. */
void gw_h2_window_took(struct gw_h2_window *w, struct gw_h2_stream *st, size_t n);
/** Nothing follows on the stream, or nobody reads it: what is not settled of it is the connection's window alone. */
void gw_h2_window_ended(struct gw_h2_window *w, struct gw_h2_stream *st);
/** The same, at once, for n bytes that were not told or that were held. */
void gw_h2_window_last(struct gw_h2_window *w, size_t n);
/** Before anything is written. Returns when gw_h2_window_look wants to be called; UINT64_MAX: nothing new is held. */
uint64_t gw_h2_window_settle(struct gw_h2_window *w);
/** Is there room now? Returns when to look the next time; UINT64_MAX: nothing is held. */
uint64_t gw_h2_window_look(struct gw_h2_window *w, struct gw_h2_stream *st, uint64_t now_ns);

#endif
