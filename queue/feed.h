/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an edge draws from the log of one pipeline. Frames come in order: handed over in memory as long as there is
 * room, else read back from the log when there is room again.
 *
 *   frames   … 41 42 43 44 45 46 47 48          committed so far: below end_seq
 *                    └ next_seq: to be taken next
 *   in step  next_seq == end_seq: what is committed is handed over with its body
 *   behind   the bodies that were not handed over are read; at the end it is in step again
 */
#ifndef GW_QUEUE_FEED_H
#define GW_QUEUE_FEED_H

#include "log/log.h"
#include "net/loop.h"
#include "pipeline/exporter.h"
#include "queue/book.h"
#include "queue/places.h"
#include "queue/suspects.h"

struct gw_account;
struct gw_wal;
struct gw_edge;
struct gw_lane;
struct gw_chunk;

struct gw_feed {
    struct gw_feed *next; /* of the edge */
    struct gw_log *log;
    struct gw_edge *edge;
    struct gw_lane *lane;
    const struct gw_batching *batching; /* of the pipeline, or NULL */
    const char *pipeline;               /* id, or NULL */
    uint32_t consumer;
    uint64_t log_id[2]; /* the log's uuid */
    /* Not while another edge of that exporter still has what it holds: then it gets nothing. Written under the wal's
     * lock. */
    _Atomic bool active;
    _Atomic uint64_t end_seq, next_seq; /* end: who writes the log's; next: the exporter's thread's */
    _Atomic bool behind;
    _Atomic unsigned n_settling; /* commits of settlements under way */
    uint64_t until;              /* it leaves: of the wal's commits, those below are the last that it gets */
    bool leaves;
    bool is_new;            /* its consumer was made for it */
    struct gw_inbox failed; /* commits of settlements that did not succeed */
    /* The exporter's thread only. */
    struct gw_log_reader *reader;
    uint64_t reader_seq; /* where it stands */
    struct gw_log_settle *settles;
    unsigned n_settles, cap_settles;
    struct gw_tab *unsettled; /* for want of memory */
    struct gw_tab *again;     /* to be read back */
    uint64_t again_ns;        /* monotonic: not before */
    struct gw_timer again_timer;
    struct gw_timer timer; /* the disk did not do as it should: again later */
    struct gw_timer settle_timer;
    uint64_t settled_ns; /* monotonic: when settlements were last sent to the log */
    /* What an earlier process left, as far as it has not been read: counted by estimate until then. */
    struct gw_backlog {
        uint64_t end_seq, rows, units, bytes;
    } backlog;
    uint64_t corrected_seq; /* frames below are counted as they are */
    /* The ledger. */
    struct gw_wal *wal;
    struct gw_account *account; /* the consumer's, whichever edge draws for it */
    struct gw_book *book;       /* of what this edge does with the rows; or NULL */
    /* It, or nobody, knows how far the consumer has come: from activation to the end, also when it does not draw any
     * more. Then the next ones are the exporter's thread's. */
    _Atomic bool owns;
    _Atomic bool unnoted; /* rows that the book has as gone were not noted on disk: another edge sends them again */
    uint64_t next_row;    /* rows of the log before next_seq */
    uint64_t ahead_rows;  /* of those behind it, settled or lost before it was activated */
    uint64_t left_rows;   /* taken, and left in the log */
    uint64_t lost_here;   /* damaged, before the frame that is to be read next */
    uint64_t lost_rows;   /* passed over, as far as they are not counted yet */
    uint64_t cut_rows;    /* rows of the log that were taken, at the moment of a picture */
    uint64_t limit_seq;   /* what this turn may read */
    struct gw_suspects suspects;
};

/**
 * The edge takes from this log from now on: what its consumer (the exporter's id) has not settled yet, then what comes.
 * Before the edge is opened. Errors: -ENOMEM, of the log; err is a sentence.
 */
struct gw_wal_conf;
int gw_feed_new(struct gw_edge *e, const struct gw_wal_conf *wal, struct gw_feed **ret, struct gw_err *err);
/** A place in the log that was made for it goes: nothing of it was promised to anybody. */
void gw_feed_forget(struct gw_feed *s);
/** As the log has it: zeros when it is not there any more. */
struct gw_log_consumer gw_feed_consumer(const struct gw_feed *s);
/**
 * Begin with what the consumer has not settled, of what is committed and was pushed or is going to be read. The log's
 * writer must not push meanwhile. Returns how many rows of it are open.
 */
uint64_t gw_feed_activate(struct gw_feed *s, uint64_t end_seq, uint64_t end_row);
void gw_feed_free(struct gw_feed *s);

/** What was committed; the body is the payload's. */
struct gw_committed {
    const struct gw_log_frame *frame;
    struct gw_payload *payload;
    struct gw_meta *meta; /* or NULL */
    uint64_t units;
    uint64_t cut; /* the last picture that its sender had taken part in */
};
/** On the thread that writes the log at this moment, in order: one more frame is there. */
void gw_feed_push(struct gw_feed *s, const struct gw_committed *c);
/** It could not be written and cannot be refused any more: it goes through memory, as in a queue there. False: there is
 * none, and it was dropped. */
bool gw_feed_push_unstored(struct gw_feed *s, const struct gw_committed *c);

/* ---- the exporter's thread -------------------------------------------------------------------------------- */

/**
 * Before the inbox is looked at, each turn: what is committed by now may be read in this turn. A frame whose sender has
 * put the mark of a picture into the inbox before is then not read before the mark is found.
 */
void gw_feed_look(struct gw_feed *s);
/** A chunk from the inbox. */
void gw_feed_take(struct gw_feed *s, struct gw_chunk *c);
/** Read on when there is room, drop what is too old, settle what is known. Once a turn. */
void gw_feed_turn(struct gw_feed *s);
/** False: no memory for it now. */
bool gw_feed_settle(struct gw_feed *s, const struct gw_log_place *rows, enum gw_log_outcome outcome);
/** Takes over a tab that could not be settled whole: gw_tab_settle again, soon. */
void gw_feed_keep_unsettled(struct gw_feed *s, struct gw_tab *t);
/** Takes over a tab whose rows are to be read back, in a moment: what became of them could not be written down. */
void gw_feed_again(struct gw_feed *s, struct gw_tab *t);
/** Rows that it has taken stay in the log until they are read back; the books have `told` of them as gone. */
void gw_feed_lend(struct gw_feed *s, uint32_t rows, uint32_t told);
bool gw_feed_is_closing(const struct gw_feed *s);
/** The edge is closed: what is known is on its way to the log, the rest stays there. */
void gw_feed_stop(struct gw_feed *s);
/** Rows that it has taken stay in the log. told: others of them that the book has as gone all the same. */
void gw_feed_leave(struct gw_feed *s, uint32_t rows, uint32_t told);
/** Rows of the log that it has taken and not left, or that were settled before: the others are not in the edge. */
uint64_t gw_feed_taken(const struct gw_feed *s);
/** Everything settled so far is on its way to the log. */
void gw_feed_flush(struct gw_feed *s);
/** The reader has nothing to read in the log; suspects may still be there. Threads: any. */
bool gw_feed_is_in_step(const struct gw_feed *s);
/** Open rows of a frame become a chunk, which goes to the batcher, or to the suspects. False: no memory for it now. */
bool gw_feed_read_in(struct gw_feed *s, const struct gw_log_entry *en);
/** A chunk whose rows stay in the log. */
void gw_feed_discard(struct gw_feed *s, struct gw_chunk *c);

#endif
