/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the heads of frames on their way to nghttp2, for what it passes over without a word: frames for streams
 * that are over. It could tell only if it remembered closed streams whole, at up to 25 KB a connection; this remembers
 * the numbers of the last ones, and how each ended.
 *
 *   closed[(id / 2) % 64] = id and how      skipped[]: numbers that were left out when a higher one was opened
 *
 * Only what is known for sure is wrong (RFC 9113, 5.1): DATA or HEADERS on a stream that the peer itself has ended or
 * reset, or HEADERS for a number that it has skipped. Streams that we ended early are not written down: what was on its
 * way then is fine. What was forgotten is passed over.
 */
#ifndef GW_NET_H2_FRAMES_H
#define GW_NET_H2_FRAMES_H

#include <stdbool.h>

#include "core/slice.h"

enum { GW_H2_HEAD_BYTES = 9, GW_H2_PREFACE_BYTES = 24, GW_H2_CLOSED = 64, GW_H2_SKIPPED = 4 };

enum gw_h2_wrong {
    GW_H2_FINE,
    GW_H2_AFTER_END,   /* a connection error of type STREAM_CLOSED */
    GW_H2_AFTER_RESET, /* a stream error of type STREAM_CLOSED */
    GW_H2_GOING_BACK,  /* a connection error of type PROTOCOL_ERROR */
};

struct gw_h2_frames {
    uint8_t head[GW_H2_HEAD_BYTES];
    unsigned n_head;
    uint32_t left;                 /* bytes of the frame (or of the preface) that are still to come */
    bool is_reset, is_data;        /* the frame is RST_STREAM, is DATA */
    uint32_t last;                 /* highest number that was opened */
    uint32_t closed[GW_H2_CLOSED]; /* number × 2, + 1 when the peer has reset it; 0: none */
    struct {
        uint32_t first, last;
    } skipped[GW_H2_SKIPPED];
    unsigned n_skipped; /* so far: the next one takes the place of the oldest */
};

void gw_h2_frames_init(struct gw_h2_frames *f);
/** Both: this stream is over. */
void gw_h2_frames_ended(struct gw_h2_frames *f, uint32_t id);
void gw_h2_frames_reset(struct gw_h2_frames *f, uint32_t id);
/**
 * Look at bytes that follow those looked at before. Returns how many may go to nghttp2 before the rest is looked at: it
 * has to know about a reset before what follows it can be judged, and no more than `most` (1 or more) of them are
 * anything else than what DATA brings. When a frame is wrong it is counted in, for a connection error ends the
 * connection anyway.
 *
 * Cost    a few ns a frame
 */
size_t gw_h2_frames_look(struct gw_h2_frames *f, struct gw_slice in, size_t most, enum gw_h2_wrong *ret,
                         uint32_t *ret_id);

#endif
