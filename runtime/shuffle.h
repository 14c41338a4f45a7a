/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows on their way from one worker to another. A component that names `partition_by` sees all rows of equal key (trace
 * id; of data points: series, batch/series_hash.h) in the instance of one worker, their owner. Whoever has rows of
 * others in front of such a node hands them over:
 *
 *   worker A   view ─┬─ its own rows ─► consume()
 *                    └─ parts {batch, rows, node} ─► outbox ─► end of the turn ─► inbox of B, woken once
 *   worker B   inbox ─► arrived ─► consume() of its own instance
 *
 * Nothing is decoded or copied for it: the batch is immutable and counted, a part is a bitmap over its rows. Patches
 * and their texts live in the arena of A's turn; they are copied into an arena of the part's own.
 *
 *   ack      a request's ticket counts rows, whoever settles them: it hears nothing before the owners have its rows
 *   memory   what its request was charged stays charged as long as the batch lives; the batch's columns, bitmaps and
 *            patches are charged until the last part is done. Over the hard mark the rows are refused here; over the
 *            soft mark the door refuses, so that an owner that does not get on stops its senders
 *   order    rows of one key that came in by one connection stay in their order
 *   ledger   a row is given to the node by A; between the workers it is held by the node and by its pipeline
 *            (ledger.c), and found there by walking inboxes
 *
 * Threads   a part is its sender's until it is pushed, then the owner's
 */
#ifndef GW_RUNTIME_SHUFFLE_H
#define GW_RUNTIME_SHUFFLE_H

#include <stdatomic.h>

#include "batch/view.h"

struct worker;
struct node;
struct graph;
struct gw_cut;

/** One view that was split. */
struct gw_crossing {
    struct gw_credit *memory;
    uint64_t charged_bytes;
    _Atomic unsigned n_parts; /* that are not done: the last one frees it */
};

/** Its rows that belong to one other worker. */
struct gw_part {
    struct gw_inbox_item item; /* first */
    struct gw_crossing *crossing;
    struct node *node;     /* the owner's */
    struct gw_view view;   /* without an arena, unless it has patches */
    struct gw_arena texts; /* of its patches */
    uint64_t deadline_ns, cut;
    uint32_t scope; /* whose rows they are, for a crash (log/flight.h) */
    bool in_log;
};

/** A worker's side. */
struct gw_shuffle {
    struct gw_inbox inbox;
    struct gw_part *arrived, **arrived_last; /* out of the inbox, the oldest first */
    struct gw_outbox {
        struct gw_part *first, **last;
    } * out; /* by worker */
    unsigned n_out;
};

/** Errors: -ENOMEM. */
int gw_shuffle_init(struct worker *w);
/** Rows of a view in front of n that belong to other workers leave it, into outboxes; or are refused. */
void gw_shuffle_split(struct node *n, struct gw_view *v);
/** What the outboxes have goes to its owners. */
void gw_shuffle_send(struct worker *w);
/** What has come is set aside. */
void gw_shuffle_take(struct worker *w);
/** What was set aside goes through its nodes; the orders that its senders have followed were followed here. */
void gw_shuffle_run(struct worker *w);
/** All threads have ended: what is still between workers goes back to its senders. */
void gw_shuffle_give_up(struct worker *w);
/** Nothing has come that is not done. */
bool gw_shuffle_is_empty(struct worker *w);

/** Rows that are in this worker's outboxes; and those that came to it, from before that picture. */
void gw_shuffle_hold_out(struct gw_cut *c, const struct worker *w);
void gw_shuffle_hold_in(struct gw_cut *c, struct worker *w);

/**
 * Whether nothing is between the workers, and no share of the graph will send anything more: all are still at one
 * moment. A share that gets something is not still any more.
 */
bool gw_shuffle_rests(struct graph *g);

#endif
