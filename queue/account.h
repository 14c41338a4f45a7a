/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The book of one exporter's rows in the log of one pipeline, as far as the log's side of it goes: what was put in and
 * what did not get there. What the exporter does with the rows its edge counts (GW_PAGE_EDGE of the edge's own book).
 *
 *   put ─► entries on their way ─► committed: rows of the log ──────────────────────────► the edge's memory ─► outcome
 *          held: found in the       held: [taken, end_row)                                held: walked        counted
 *          wal's list               └ taken: the feed knows (gw_feed_taken)
 *
 *   in    rows put since the process began, and before that all that the log had for the consumer since it was made:
 * the log knows them by their numbers, and the outcomes as they were noted. So the book goes on over restarts
 *
 * Rows that are put after their worker has taken its part in a picture are not in the picture, wherever they have got
 * to by the time the account is copied: all counts are kept apart by the last picture that the sender knew.
 *
 * Threads   all of it under the wal's lock
 * Lifetime  the wal's; an exporter that is replaced or comes again goes on with its account
 */
#ifndef GW_QUEUE_ACCOUNT_H
#define GW_QUEUE_ACCOUNT_H

#include "log/log.h"
#include "queue/held.h"

struct gw_account {
    struct gw_account *next;
    uint32_t consumer;    /* 0: the log has forgotten it; one of that name has another number */
    struct gw_book *book; /* or NULL */
    uint64_t first_row;   /* of the log, that the consumer gets */
    uint64_t end_row;     /* of the log, up to which it was given frames */
    uint64_t left;        /* rows that wait in the log while no edge draws for it */
    /* By the sender's last picture: number `cut`, or an earlier one. n[GW_E_HELD]: of the log, given to the consumer.
     */
    uint64_t cut;
    struct gw_page before, since;
};

/** As the log has the consumer. end_row: of what is committed and done. */
void gw_account_open(struct gw_account *a, const struct gw_log_consumer *c, uint64_t end_row);
void gw_account_add(struct gw_account *a, uint64_t cut, enum gw_entry e, uint64_t rows);
/** Frames up to there are in the log for the consumer; those that it was not given before came when no edge was there.
 */
void gw_account_reach(struct gw_account *a, uint64_t row);
/** One more frame is the consumer's. */
void gw_account_commit(struct gw_account *a, uint64_t cut, const struct gw_log_frame *f);
/** Its counts in the picture; `pending` rows are on their way; the edge has taken (or settled) `taken` rows of the log.
 */
void gw_account_copy(const struct gw_account *a, struct gw_cut *cut, uint64_t pending, uint64_t taken);
/** The same when no edge draws. */
void gw_account_copy_orphan(const struct gw_account *a, struct gw_cut *cut, uint64_t pending);

#endif
