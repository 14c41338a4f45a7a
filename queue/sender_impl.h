/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender from inside, on the exporter's thread:
 *
 *   sender.c  jobs: from pending to a verdict
 *   tries.c   after a failure: whether it is worth another try, and when
 *   graves.c  what is given up: a dead letter at once, a grave while there is no room for one, or a counted drop
 */
#ifndef GW_QUEUE_SENDER_IMPL_H
#define GW_QUEUE_SENDER_IMPL_H

#include "queue/edge_impl.h"

#define GW_GRAVE_PAUSE_NS 100000000u
/* While draining there is an end in sight: a sink that was away may be back, and asking costs little. */
#define GW_DRAIN_PAUSE_NS 500000000u

static inline struct gw_loop *gw_lane_loop(const struct gw_lane *l)
{
    return atomic_load_explicit(&l->edge->loop, memory_order_relaxed);
}

/* tries.c: the again of an attempt */
/** One more failure: whether it is worth another try, and when. */
bool gw_tries_again(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret_pause_ns);

/* graves.c */
/** Dead letter, or counted and logged drop. False: the dead letter queue is full, try again later. */
bool gw_grave_bury(struct gw_job *j, struct gw_tab *tab, struct gw_rope body, uint32_t rows, const struct gw_fate *f);
/** There is no room now. False: no memory either. */
bool gw_grave_dig(struct gw_job *j, struct gw_tab *tab, struct gw_rope body, uint32_t rows, const struct gw_fate *f);
/** The dead of an attempt. */
void gw_grave_dead(struct gw_attempt *a, const struct gw_death *d);
/** The letter alone; out->failed: no memory. */
void gw_grave_letter(struct gw_job *j, struct gw_rope body, uint32_t rows, const struct gw_fate *f, struct gw_buf *out);
/** Rows of a log are settled when the letter is kept. False: no dead letter queue has room. */
bool gw_grave_post(struct gw_edge *e, struct gw_tab *tab, struct gw_slice letter, const struct gw_book *book);
void gw_grave_count(struct gw_lane *l, struct gw_book *book, struct gw_tab *tab, uint32_t rows, const char *reason);
/** What is in a log stays there; what could not be written to one is nowhere else. */
void gw_grave_leave(struct gw_lane *l, struct gw_book *book, struct gw_tab *tab, uint32_t rows);
/** Time is up: posted a last time, else dropped, or left in the log. */
void gw_graves_cut(struct gw_lane *l);

#endif
