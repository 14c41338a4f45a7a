/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session of HTTP/2, from inside:
 *
 *   http2.c      bytes in and out, the books of what the peer costs, deadlines, draining
 *   h2_told.c    what nghttp2 tells: heads, bodies, resets, the ends of streams
 *   h2_answer.c  responses: at once, or bit by bit
 */
#ifndef GW_NET_H2_SESSION_H
#define GW_NET_H2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "net/h2_bucket.h"
#include "net/h2_frames.h"
#include "net/h2_stream.h"
#include "net/h2_window.h"
#include "net/hs.h"

enum gw_h2_drain { GW_H2_NOT_DRAINING, GW_H2_NOTICED, GW_H2_LAST_WORD };

struct gw_h2_session {
    struct gw_hs_conn *c;
    nghttp2_session *ng;
    struct gw_h2_worker *w;
    struct gw_h2_stream *streams, *last; /* last: the one that was found last, or NULL */
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
    enum gw_h2_drain drain;
    bool got_settings, feeding, pumping, had_ping;
};

/* http2.c */
extern const uint8_t gw_h2_ping_drain[8];
/** The open stream of that number, or NULL. Most calls in a row are about the same one: that costs nothing. */
struct gw_h2_stream *gw_h2_find(struct gw_h2_session *x, int32_t id);
void gw_h2_stream_end(struct gw_h2_session *x, struct gw_h2_stream *st);
/** The connection ends with this GOAWAY, once what is being fed is over. */
void gw_h2_doom(struct gw_h2_session *x, uint32_t code, const char *why);
/** For receiving call-backs: stops nghttp2 in the middle of its input when the bucket is empty. */
int gw_h2_charge(struct gw_h2_session *x, unsigned n);
/** The same, unless the peer is owed one. */
int gw_h2_charge_owed(struct gw_h2_session *x, uint32_t *owed);
/** When this stream has waited too long, for its peer. Waiting for our own answer has no limit here. */
uint64_t gw_h2_stream_due(const struct gw_h2_session *x, const struct gw_h2_stream *st);
uint64_t gw_h2_session_due(const struct gw_h2_session *x);
/** The timer may be early, which costs a look; it may not be late. */
void gw_h2_arm(struct gw_h2_session *x, uint64_t due);
/** A reset of ours: costs the peer nothing, and what it has sent meanwhile is not held against it. */
void gw_h2_reset(struct gw_h2_session *x, struct gw_h2_stream *st, uint32_t code);
/** The last GOAWAY: later streams are not served. */
void gw_h2_last_word(struct gw_h2_session *x);
void gw_h2_quiesce(struct gw_hs_conn *c);

/* h2_told.c */
void gw_h2_told_by(nghttp2_session_callbacks *cb);

/* h2_answer.c */
void gw_h2_respond(struct gw_hs_stream *s, const struct gw_hs_response *r);
/** Bytes of an answer that was left open. Errors: -EPIPE the stream is reset, -ENOBUFS too much waits, -ENOMEM. */
int gw_h2_push(struct gw_hs_stream *s, struct gw_slice bytes);
void gw_h2_end_answer(struct gw_hs_stream *s, const struct gw_header *trailers, unsigned n_trailers);

#endif
