/* SPDX-License-Identifier: Apache-2.0 */
/* Private to net/http2.c: what a stream holds, its head while it is read and its answer while it waits for the window.
 */
#ifndef GW_NET_H2_STREAM_H
#define GW_NET_H2_STREAM_H

#include <nghttp2/nghttp2.h>

#include "net/http_conn.h"

enum { GW_H2_OUT_BYTES = 64 * 1024, GW_H2_TRAILERS_MAX = 8 };

/** What the connections of one worker share. */
struct gw_h2_worker {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct gw_h2_stream *free;
    unsigned n_free;
    uint8_t out[GW_H2_OUT_BYTES];
};

struct gw_h2_stream {
    struct gw_hs_stream s;
    struct gw_h2_stream *next, **link; /* the session's list; next: the free list, too */
    bool headers_done, remote_ended, end_sent, own_reset, too_big, expects_continue;
    uint32_t window; /* ours, for this stream */
    uint32_t held;   /* bytes that came and were told, but for which no window was opened again: h2_window.h */
    uint64_t held_ns, look_ns; /* since when, and when to ask again */
    uint64_t slack_ns;         /* time in which we let it send nothing */
    size_t unsettled; /* bytes that were told in this turn, and the list of streams that have such: h2_window.h */
    struct gw_h2_stream *unsettled_next, **unsettled_link; /* link NULL: not in it */
    uint64_t rx_bytes, opened_ns, moved_ns;

    size_t n_text, list_bytes; /* of the head */
    unsigned n_headers, n_seen;
    size_t n_body, body_at; /* of the answer */
    unsigned n_trailers;

    /* buffers, kept for the next stream; nothing behind this is cleared for it */
    struct gw_header *headers; /* the head: names and values one behind the other in text; while it grows, slices hold
                                  offsets */
    uint8_t *text;
    uint8_t *reply; /* the answer: body, then names and values of trailers */
    size_t cap_text, cap_reply;
    unsigned cap_headers;
    nghttp2_nv trailers[GW_H2_TRAILERS_MAX];
};

struct gw_h2_stream *gw_h2_stream_new(struct gw_h2_worker *w);
void gw_h2_stream_free(struct gw_h2_stream *st);
/** Kept for the next one, with its buffers. */
void gw_h2_stream_recycle(struct gw_h2_worker *w, struct gw_h2_stream *st);

/** Keep one header. Errors: -ENOMEM. */
int gw_h2_stream_keep_header(struct gw_h2_stream *st, struct gw_slice name, struct gw_slice value);
/** Offsets become slices; pseudo headers move to their own fields. */
void gw_h2_stream_finish_head(struct gw_h2_stream *st);

nghttp2_nv gw_h2_nv(struct gw_slice name, struct gw_slice value, uint8_t flags);
/** Both wait in the stream, in this order, until the window lets them out. Errors: -ENOMEM. */
int gw_h2_stream_keep_body(struct gw_h2_stream *st, struct gw_slice body);
int gw_h2_stream_keep_trailers(struct gw_h2_stream *st, const struct gw_header *trailers, unsigned n);

#endif
