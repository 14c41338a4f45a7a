/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a queue on disk that the gateway may have crashed of (log/flight.h).
 *
 *   start ─► suspects ─► passed over by the reader: the others go first
 *                        └► nothing waits any more, or HEAD_START is over ─► the lane has no other attempt with the
 * sink └► a piece of a frame, alone ─► an answer, whatever it says: acquitted; the next piece ✗ a crash ─► at the next
 * start this piece is condemned: a dead letter
 *
 * So a crash of many frames costs one more crash to know the frame and a 64th of it, and whatever is not to blame is
 * delivered. While a sink does not answer others, a trial waits: it is nobody's crash.
 *
 * Threads    the exporter's; load: before the feed is active
 */
#ifndef GW_QUEUE_SUSPECTS_H
#define GW_QUEUE_SUSPECTS_H

#include "log/flight.h"
#include "log/log.h"
#include "net/loop.h"

struct gw_chunk;
struct gw_edge;
struct gw_feed;
struct gw_lane;
struct gw_tab;

/** What a thread of the gateway does with rows: in the flight record from begin to end. */
struct gw_working {
    struct gw_flight *flight;
    uint32_t scope, slots[2]; /* an edge's batch may come out of two pipelines' logs; of more, nothing is known */
};
/**
 * t: where the rows stand; NULL: in no log, but waited_for: perhaps by somebody who has read them there. crashes: of a
 * suspect on trial, else 0.
 */
void gw_working_begin(struct gw_working *w, const struct gw_edge *e, const struct gw_tab *t, bool waited_for,
                      unsigned crashes);
/** A frame of which the open rows are read. */
struct gw_log_entry;
void gw_working_begin_frame(struct gw_working *w, const struct gw_feed *s, const struct gw_log_entry *en);
/** Again is fine. */
void gw_working_end(struct gw_working *w);

struct gw_suspects {
    struct gw_flight *flight; /* NULL: no crash is remembered */
    uint64_t log;             /* its name there */
    struct gw_flight_suspect *all;
    unsigned n, n_condemned, n_named; /* condemned ones first, then other rows of single frames */
    unsigned at;                      /* those before it are done with */
    _Atomic unsigned n_left;          /* the others */
    enum gw_trial { GW_TRIAL_NONE, GW_TRIAL_WANTED, GW_TRIAL_ON } trial;
    uint64_t begin_ns, wanted_ns; /* monotonic: not before; wanted since */
    uint64_t seq;                 /* the frame that is being tried */
    uint32_t row, piece;          /* of it: the next row; so many at once */
    struct gw_log_reader *reader;
    struct gw_timer timer;
    /* What the feed makes of rows is for us, and as it is on disk when they are buried. */
    bool asks, is_raw;
    struct gw_chunk *made;
};

/** What the flight record says of the feed's consumer. */
void gw_suspects_load(struct gw_feed *s);
void gw_suspects_clear(struct gw_suspects *x);
/** This frame is not for the reader. */
bool gw_suspects_hold(const struct gw_suspects *x, uint64_t seq);
/** Of what is being asked for. */
static inline unsigned gw_suspects_crashes(const struct gw_suspects *x)
{
    return x->asks ? x->all[x->at].crashes : 0;
}
/** Some are neither tried nor buried. Threads: any. */
bool gw_suspects_wait(const struct gw_suspects *x);
/** Once a turn, while the feed is active. */
void gw_suspects_turn(struct gw_feed *s);
/** The sink answered what was on trial. */
void gw_suspects_answered(struct gw_lane *l);
/** The feed leaves. */
void gw_suspects_stop(struct gw_feed *s);

#endif
