/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dead letter on its way to where it is kept. The rows that it tells of are in a log (queue/places.h), and must not
 * be settled there before the letter is safe: else a crash in between would lose both.
 *
 *   exporter's thread   begin ─► the letter, with a receipt, to each dead letter queue ─► posted
 *   any thread              receipt: delivered, stored, or given up ─► inbox
 *   exporter's thread   ◄───────────────────────────────────────────────┘ the rows are settled, or stay in the log
 */
#ifndef GW_QUEUE_BURIAL_H
#define GW_QUEUE_BURIAL_H

#include "batch/ticket.h"
#include "queue/places.h"

struct gw_edge;
struct gw_burial;

/** Of rows of this tab. Owner: takes a reference of it. Errors: NULL. */
struct gw_burial *gw_burial_begin(struct gw_edge *from, struct gw_tab *tab);
/** One receipt more, with a reference: settled by whoever takes the letter, or by the caller when nobody does. */
struct gw_ticket *gw_burial_receipt(struct gw_burial *b);
/** All receipts are out. Then b must not be used any more. */
void gw_burial_posted(struct gw_burial *b);
/** The exporter's thread: what has come back is settled. */
void gw_burial_take_in(struct gw_edge *e);
/** Before the edge is freed: the rows of letters that are still on their way stay in the log, and come again. */
void gw_burial_forget_all(struct gw_edge *e);

#endif
