/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feed from inside, in three files:
 *
 *   feed.c         its making; what the log's writer hands over, and how a frame becomes a chunk
 *   feed_read.c    what was not handed over is read back, or dropped as the oldest
 *   feed_settle.c  what became of rows goes to the log
 */
#ifndef GW_QUEUE_FEED_IMPL_H
#define GW_QUEUE_FEED_IMPL_H

#include "queue/edge_impl.h"
#include "queue/feed.h"

enum { GW_FEED_MAX_PART_BYTES = 1u << 30 };
#define GW_FEED_AGAIN_NS 100000000u /* to the next try, when the disk or memory did not do as it should */

static inline struct gw_loop *gw_feed_loop(const struct gw_feed *s)
{
    return atomic_load_explicit(&s->edge->loop, memory_order_relaxed);
}

/** Something is there to be read in this turn. */
static inline bool gw_feed_may_read(const struct gw_feed *s)
{
    return atomic_load(&s->next_seq) < s->limit_seq;
}

/* feed.c */
/** A chunk whose body is the payload's; its bytes are in the window already. NULL: no memory. */
struct gw_chunk *gw_feed_chunk(struct gw_feed *s, const struct gw_log_frame *f, struct gw_payload *pl);
struct gw_payload *gw_feed_copy(struct gw_slice body);
/** Into the batcher, or to the suspects, with its place. False: no memory; the frame is to be read again. */
bool gw_feed_accept(struct gw_feed *s, struct gw_chunk *c);

/* feed_read.c */
/** Once a turn: what is too old is dropped, and read on as far as there is room. */
void gw_feed_read(struct gw_feed *s);
/** Nothing is read before that time is over. */
void gw_feed_pause(struct gw_feed *s, uint64_t ns);
/** Rows that were to be read again stay in the log. */
void gw_feed_forget_again(struct gw_feed *s);

/* feed_settle.c */
/** Commits of settlements that failed go again, not more often than every GW_FEED_AGAIN_NS. */
void gw_feed_settle_again(struct gw_feed *s);
/** What was settled goes to the log when it has waited a moment for more. */
void gw_feed_settle_soon(struct gw_feed *s);
void gw_feed_settle_kept(struct gw_feed *s);

#endif
