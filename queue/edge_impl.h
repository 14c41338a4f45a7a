/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an edge, shared by the files of this room only. */
#ifndef GW_QUEUE_EDGE_IMPL_H
#define GW_QUEUE_EDGE_IMPL_H

#include "core/inbox.h"
#include "net/loop.h"
#include "queue/edge.h"
#include "queue/feed.h"
#include "queue/gate.h"
#include "queue/held.h"

/**
 * Encoded rows and who waits for them. Owned by one place at a time: inbox, batcher, pending list, job.
 *
 *   chunk │ receipts[] │ bytes (unless they are a payload's)      one malloc
 *   chunk │ receipts[] │ slices of what its parts have            for an exporter that takes_parts
 */
struct gw_chunk {
    struct gw_inbox_item item;
    struct gw_chunk *next;
    enum gw_signal signal;
    struct gw_payload *payload; /* shares: the body is inside of it; or NULL */
    struct gw_slice body;       /* with parts: p is NULL, n is the length of all */
    struct gw_chunk *parts;     /* owns: chunks that have become one, and have the bytes still; or NULL */
    struct gw_slice *slices;    /* of these */
    uint32_t n_slices;
    uint32_t rows;
    uint64_t units;         /* of the queue, given back when the job is done */
    uint64_t charged_bytes; /* of the process' memory */
    uint64_t held_bytes;    /* of that, in edge->held_bytes: from enter to the end */
    uint64_t arrived_ns;    /* wall clock */
    uint64_t deadline_ns;   /* monotonic, of those who wait; 0 = none */
    struct gw_meta *meta;   /* one reference, or NULL */
    const struct gw_batching *batching;
    const char *pipeline;          /* of all its rows, or NULL */
    struct gw_suspicion suspicion; /* of poison; zero: none */
    /* Of a queue on disk; else NULL and 0. */
    struct gw_tab *tab; /* one reference: where the rows stand in the log */
    struct gw_feed *feed;
    uint64_t seq;               /* of the frame, on the way from the log to the edge */
    uint64_t lag_bytes;         /* of frames, given back when the job is done */
    uint64_t window_bytes;      /* of the edge's share of memory */
    struct gw_book *book;       /* of its pipeline and this exporter, or NULL */
    const void *sender;         /* who pushed it: for cuts */
    uint64_t cut;               /* the same for rows that a log could not take: the last picture its sender knew */
    struct gw_cut_edge *marker; /* it is no chunk, but the mark of a cut (queue/held.h) */
    bool is_patient;            /* its receipts wait without an end: no client does */
    bool in_log;                /* a journal keeps all its rows until their receipts are settled */
    uint32_t n_receipts;        /* 0: nobody waits */
    struct gw_receipt receipts[];
};

/** One body on its way to the sink, from its first attempt to the last verdict. */
struct gw_job {
    struct gw_attempt a; /* first: done() gets it */
    struct gw_lane *lane;
    struct gw_job *next; /* in lane->jobs */
    struct gw_chunk *chunk;
    uint8_t *left; /* what a partial retry left over; or NULL */
    struct gw_tries tries;
    uint32_t dead_rows;     /* of this attempt */
    uint32_t rejected_rows; /* so far, for the tickets */
    bool sending, timed_out, cancelled;
    unsigned on_trial; /* crashes that it is suspect of: nothing else of the lane is with the sink; 0: none */
    struct gw_working working;
    struct gw_at_gate at_gate;
    struct gw_fate *fate;  /* waits for room in the dead letter queue */
    struct gw_timer timer; /* time-out of the attempt, or end of the pause */
};

/** Why rows are buried. */
struct gw_fate {
    const char *class_, *reason, *message;
    int grpc_status;
    uint64_t retry_after_ns;
    enum gw_outcome outcome; /* without a dead letter port */
    int code;                /* the sink's own, for the dead letter; 0: grpc_status */
};

/** A dead letter that is written already and waits for room in its queue. Nothing new is sent meanwhile. */
struct gw_grave {
    struct gw_grave *next;
    struct gw_tab *tab; /* one reference, or NULL */
    struct gw_book *book;
    uint32_t rows;
    char reason[64];
    size_t n;
    uint8_t letter[];
};

/** A batch that is being put together. */
struct gw_open_batch {
    struct gw_open_batch *next;
    struct gw_lane *lane;
    const struct gw_batching *how;
    const struct gw_meta *meta; /* of its first chunk: the values that all its chunks share */
    const struct gw_book *book; /* of all its chunks: what one pipeline sent stays apart */
    struct gw_chunk *first, **last;
    uint64_t rows, bytes;
    struct gw_timer timer;
};

/** How many rows of a reason were kept for looking at, and when (monotonic). */
enum { GW_SAMPLED_REASONS = 8, GW_SAMPLED_FIRST = 8 };
struct gw_sampled {
    uint32_t hash; /* of the reason; 0: free */
    unsigned n;
    uint64_t last_ns;
};

/** One signal's way through the edge. */
struct gw_lane {
    struct gw_edge *edge;
    enum gw_signal signal;
    _Atomic uint64_t used;    /* units: reserved, queued and under way */
    _Atomic uint64_t queued;  /* units: of chunks */
    _Atomic uint64_t drained; /* units: of chunks that are done, since the start */
    _Atomic bool waited_for;
    _Atomic uint64_t in, delivered, rejected, dropped, dead_lettered;
    _Atomic uint64_t in_flight, sending; /* jobs; those of them whose sink is being asked */
    _Atomic bool failing;                /* the last answer was that of a sink that is away */
    /* Of queues on disk: frames' bytes and rows in logs that are not settled. */
    _Atomic uint64_t lag_bytes, lag_rows;
    struct gw_metric *lag_bytes_metric, *lag_rows_metric;
    struct gw_metric *sent, *failed, *enqueue_failed, *size, *capacity, *flying;
    struct gw_metric *enqueue_size, *enqueue_bytes, *send_size, *send_bytes; /* NULL: not at this level */
    struct gw_metric *consumed, *not_consumed;
    /* The exporter's thread only. */
    struct gw_chunk *pending, **pending_last;
    struct gw_job *jobs;
    struct gw_grave *graves, **graves_last;
    struct gw_timer graves_timer;
    struct gw_open_batch *open;
    unsigned n_open;
    bool pumping;
    bool starved;          /* of memory, in this round */
    struct gw_feed *trial; /* whose suspects have the lane for themselves; or NULL */
    struct gw_gate gate;
    struct gw_sampled sampled[GW_SAMPLED_REASONS];
};

struct gw_edge {
    struct gw_edge_conf conf;
    char config[20];
    uint32_t home; /* of its thread, in the flight record */
    const struct gw_exporter_ops *ops;
    struct gw_batching own_batching; /* sending_queue.batch */
    struct gw_edge *dead_letters[GW_EDGE_DEAD_LETTERS];
    unsigned n_dead_letters;
    bool waits;                       /* tickets are settled by the sink's answer */
    struct gw_feed *feeds;            /* logs that it draws from */
    struct gw_wal *own[GW_N_SIGNALS]; /* for what comes through ports, not out of a pipeline */
    _Atomic uint64_t window_bytes;    /* bodies of logs that are in memory */
    struct gw_inbox inbox;
    struct gw_inbox buried;    /* receipts of its letters */
    struct gw_burial *burials; /* under way; its thread's */
    _Atomic(struct gw_loop *) loop;
    struct gw_hook hook;
    struct gw_lane lanes[GW_N_SIGNALS];
    _Atomic uint64_t n_chunks;   /* anywhere in the edge */
    _Atomic uint64_t held_bytes; /* of memory, by its chunks */
    _Atomic bool draining;
    struct gw_cut_edge *cut;      /* its part of a picture, while some marker is on its way */
    uint64_t cut_seen;            /* the last picture that it has taken its part in */
    struct gw_inbox_item *taking; /* of the inbox: what comes behind the chunk in hand */
    bool opened, closing, hurried;
};

/** Bounds of histograms, as the Collector has them: of rows, and of bytes. */
enum { GW_N_ROW_BOUNDS = 22, GW_N_BYTE_BOUNDS = 18 };
extern const double gw_row_bounds[GW_N_ROW_BOUNDS], gw_byte_bounds[GW_N_BYTE_BOUNDS];

/** Some client hears what becomes of it, and will come again if need be. */
static inline bool gw_chunk_is_waited_for(const struct gw_chunk *c)
{
    return c->n_receipts > 0 && !c->is_patient;
}

/* chunk.c */
struct gw_chunk *gw_chunk_new(enum gw_signal s, uint32_t n_receipts, size_t bytes);
/** Its body is the payload's, which it shares. */
struct gw_chunk *gw_chunk_of_payload(enum gw_signal s, struct gw_payload *pl);
/** Memory and meta go; receipts must have been settled or moved. */
void gw_chunk_free(struct gw_edge *e, struct gw_chunk *c);
/** Settle the first `rejected` rows of the receipts as rejected, the others as told, and let the tickets go. */
void gw_chunk_settle(struct gw_chunk *c, uint32_t rejected, enum gw_outcome outcome, int grpc_status,
                     uint64_t retry_after_ns, const char *message);
/**
 * All of a list in one, bodies one behind the other: copied, or as parts, when in_parts and they are large enough for
 * that. NULL without memory: the list is as it was.
 */
struct gw_chunk *gw_chunk_merge(struct gw_edge *e, struct gw_chunk *first, bool in_parts);
/** Parts become one body. False: no memory. */
bool gw_chunk_flatten(struct gw_chunk *c);
/** Its body becomes another, in a payload that it takes. */
void gw_chunk_set_body(struct gw_chunk *c, struct gw_payload *pl);
/** The body, wherever it lies; it borrows from the chunk. */
struct gw_rope gw_chunk_rope(const struct gw_chunk *c);
/**
 * Pieces of at most max_rows rows or max_bytes bytes (0 = no limit); `c` is consumed. Errors, with `c` as it was:
 * -EBADMSG: it cannot be cut; -ENOMEM.
 */
int gw_chunk_split(struct gw_edge *e, struct gw_chunk *c, uint32_t max_rows, size_t max_bytes, struct gw_chunk **ret);

/* batcher.c */
void gw_batcher_add(struct gw_lane *l, struct gw_chunk *c);
void gw_batcher_flush_all(struct gw_lane *l);

/* sender.c */
void gw_sender_push(struct gw_lane *l, struct gw_chunk *c);
void gw_sender_pump(struct gw_lane *l);
/** Of a job: how long it may be tried again; 0 = for ever. */
uint64_t gw_sender_max_elapsed_ns(const struct gw_job *j);
/** Not now: who waits hears it, with the time to come again, and keeps the rows; they are counted under `reason`. */
void gw_sender_refuse_chunk(struct gw_lane *l, struct gw_chunk *c, const char *reason, const char *message,
                            uint64_t retry_after_ns);
void gw_sender_refuse_job(struct gw_job *j, const char *reason, const char *message, uint64_t retry_after_ns);
/** A suspect of so many crashes, alone. False: no memory. */
bool gw_sender_try(struct gw_lane *l, struct gw_chunk *c, unsigned crashes);
/** As OTLP bytes, without being sent. The texts of f are copied. False: no memory. */
bool gw_sender_bury(struct gw_lane *l, struct gw_chunk *c, const struct gw_fate *f, unsigned attempts);
/** The edge is draining: pauses that are not a sink's own wish become short. */
void gw_sender_hurry(struct gw_lane *l);
/** The chunk that has waited longest and is not under way is dropped. False: there is none. */
bool gw_sender_drop_oldest(struct gw_lane *l, const char *reason);
/** Time is up: pauses end, attempts are cancelled, pending chunks are dropped as "shutdown". */
void gw_sender_cut(struct gw_lane *l);

/* room.c */
/** Units are counted against queue_size; else only the disk, or nothing, bounds it. */
bool gw_edge_is_bounded(const struct gw_edge *e);

/* edge_meters.c */
void gw_edge_make_metrics(struct gw_edge *e, struct gw_lane *l);

/* edge.c. Whoever drops rows also shows one of them (gw_edge_sample). */
void gw_edge_drop(struct gw_lane *l, struct gw_book *book, uint32_t rows, const char *reason);
/** As drop, by somebody who may not write to the book. Threads: any. */
void gw_edge_count_dropped(struct gw_lane *l, const char *pipeline, uint32_t rows, const char *reason);
/* sample.c: rows of that body are dropped without a letter. */
enum gw_body_kind {
    GW_BODY_OTLP,
    GW_BODY_SENT,   /* as the exporter encodes */
    GW_BODY_LETTER, /* a dead letter */
    GW_BODY_TEXT,   /* a sentence: there is no body */
};
void gw_edge_sample(struct gw_lane *l, const struct gw_book *book, const char *reason, struct gw_slice body,
                    enum gw_body_kind kind);
void gw_edge_done(struct gw_lane *l, struct gw_chunk *c);
void gw_edge_push(struct gw_edge *e, struct gw_chunk *c);
void gw_edge_wake(struct gw_edge *e);
/** OTLP bytes into what the exporter's encode makes of them. Errors: -EBADMSG, -ENOMEM. */
int gw_edge_reencode(struct gw_edge *e, enum gw_signal s, struct gw_slice body, struct gw_buf *out);
/** Units and bytes of frames leave the queue without ever having been a chunk. */
void gw_edge_forget(struct gw_lane *l, uint64_t units, uint64_t lag_bytes);
void gw_edge_take_units(struct gw_edge *e, enum gw_signal s, uint64_t units);
struct gw_lane *gw_edge_lane(const struct gw_edge *e, enum gw_signal s);
/** Rows that came in, before this process or now. */
void gw_edge_count_in(struct gw_lane *l, uint64_t rows);

#endif
