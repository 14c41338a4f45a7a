/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row that a component rejects has a dead letter, which is on disk only a moment later. Where the letter's place
 * keeps what it takes (gw_edge_keeps), its request hears nothing before that:
 *
 *   reject ─► gw_letter_wait_add: one more of the request's rows is open
 *   end of the turn ─► gw_letter_wait_ticket: the receipt of all letters of the turn ─► stored: those rows are closed
 *
 * When a letter cannot be stored, its request is refused, and the client sends it again: the row is not lost with it.
 *
 * Threads   the worker's; the receipt is settled by whoever stores the letters
 */
#ifndef GW_RUNTIME_LETTER_WAIT_H
#define GW_RUNTIME_LETTER_WAIT_H

#include "batch/settle.h"

/** Requests with letters of this turn. Zeroed: none. */
struct gw_letter_wait {
    struct gw_receipt *list;
    uint32_t n, cap;
};

/** One of the request's rows has a letter. Before that row is settled. Without memory it is not waited for. */
void gw_letter_wait_add(struct gw_letter_wait *w, struct gw_ticket *t);
/**
 * The receipt of what was added since the last time: gw_ticket_open its rows for each place that the letters go to,
 * then gw_letter_wait_posted.
 *
 * Errors    NULL: nothing was added; or no memory, then nobody waits
 */
struct gw_ticket *gw_letter_wait_ticket(struct gw_letter_wait *w);
void gw_letter_wait_posted(struct gw_ticket *receipt);
void gw_letter_wait_clear(struct gw_letter_wait *w);

#endif
