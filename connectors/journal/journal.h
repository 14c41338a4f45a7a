/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the journal connector.
 *
 *   worker 0 ─ consume: view ─► rows by partition ─► block ─┐ submit          ┌► lane (pipeline a) ─► its door
 *   worker 1 ─ …                                            ▼                 │
 *                                              the log's writer ─ done ─┬─► worker 0: head ─┼► lane (pipeline b) ─► …
 *                                                tickets: STORED        └─► worker 1: head ─ …
 *
 *   block   what one commit appended: the frames and their bytes. It goes to every worker when it is committed, so that
 *           who reads at the end of the log never reads the disk
 *   head    a worker's newest blocks, without a gap between them
 *   lane    one consumer (a pipeline) on one worker, for the partitions that the worker owns (journal.c)
 *   part    a partition in a lane: frames in order, and the requests that were made of them
 *
 *   fetch   what a lane has the log's reader thread read
 *   live    a block's rows as they were decoded in front of the journal, while a worker has them still (live.c)
 *
 * A lane whose next frame is in the head takes it from there; else it has the log read.
 */
#ifndef GW_CONNECTORS_JOURNAL_JOURNAL_H
#define GW_CONNECTORS_JOURNAL_JOURNAL_H

#include <pthread.h>

#include "batch/settle.h"
#include "connectors/journal/seen.h"
#include "core/credit.h"
#include "core/tasks.h"
#include "net/loop.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/intake.h"
#include "pipeline/ports.h"

enum {
    JOURNAL_PARTITIONS = GW_LOG_PARTITIONS, /* at most */
    JOURNAL_REQUEST_BYTES = 1 << 20,        /* frames of one partition that become one request */
    JOURNAL_NUMBERS = 7,                    /* powers of two up to JOURNAL_PARTITIONS */
};

enum journal_key { BY_NONE, BY_TRACE_ID, BY_SERVICE, BY_TENANT, BY_ATTRIBUTES };

struct journal_retention {
    uint64_t max_age_ns, max_bytes;
    bool keep_unread;
};

struct journal_dedup {
    uint64_t window_ns, max_bytes;
};

struct journal_settings {
    const char *storage;
    int partition_by; /* enum journal_key */
    struct gw_list attributes;
    int start;           /* enum gw_log_start */
    uint64_t partitions; /* 0: as many as it has, or as suit the workers */
    struct journal_retention retention;
    struct journal_dedup dedup;
    uint64_t in_flight_bytes, head_bytes, live_bytes;
    bool in_order;
};

struct journal;
struct local;
struct lane;

/**
 * In how many partitions rows lie (parting.c): in `n`, a power of two, and before that in fewer. Who may still read
 * frames below below_seq goes by that number, with all that it reads: a key has one place then.
 */
struct parting {
    unsigned n, n_before;
    struct parted_before {
        unsigned n;
        uint64_t below_seq;
    } before[JOURNAL_NUMBERS]; /* both rise */
    struct gw_slice key;       /* what they go by, as text */
};

/** One frame of a block. */
struct block_frame {
    uint64_t seq, row, time_ns;
    uint32_t rows;
    uint16_t partition;
    struct gw_slice body; /* in the block's payload */
};

struct block;
struct block_link {
    struct gw_inbox_item item; /* first */
    struct block *block;
    struct gw_batch *batch; /* that its rows came in, one reference; or NULL */
    struct block_link *next_live;
};

/** Frames that lie in memory. Shared; written before it is submitted, but for seq and row, which come before done. */
struct block {
    struct gw_log_commit commit; /* first; of what was read from the log: not used */
    _Atomic uint32_t refs;
    struct journal *journal;
    struct local *home; /* whose worker appended it */
    enum gw_signal signal;
    struct gw_payload *payload;
    struct gw_meta *meta;
    struct gw_buf meta_bytes;
    struct claim *claim; /* what done must tell; or NULL */
    uint64_t charged_bytes;
    struct block_frame *frames;
    uint32_t n_frames, n_receipts;
    struct gw_receipt *receipts;
    struct block_link *links; /* one a worker */
    struct block *next;       /* of what one fetch read */
    /* While some link has the batch. */
    uint8_t *row_partitions; /* of the batch's rows; NULL: it was never kept */
    _Atomic uint32_t n_live; /* links that have it */
    uint64_t live_bytes, live_charged;
};

/** A frame that a lane has taken. */
struct taken {
    struct taken *next;
    struct block *block;
    uint32_t frame;
    uint64_t step_ns; /* of a lane that keeps: the step it is in */
};

struct request; /* send.c */
struct part {
    struct taken *first, **last;
    struct taken *unsent;                     /* the first that is in no request; or NULL */
    struct request *requests, **last_request; /* in order; the first is not done */
    uint32_t next_number, n_again;            /* so many were refused and have to go again */
    uint64_t read;                            /* frames below are taken, or done */
    uint64_t done;                            /* all below are done */
    uint64_t committed;                       /* the log knows that */
    uint32_t alone;                           /* so many frames go one by one: one of them is no request */
    bool copy;                                /* the decoder must have a payload of its own */
    uint64_t innocent;                        /* frames below had their trial */
    uint64_t again;                           /* of a lane that keeps: frames below were consumed before */
};

/** A commit of positions; one a lane under way at a time. */
struct positions {
    struct gw_log_commit commit; /* first */
    struct gw_inbox_item back;
    struct lane *lane;
    struct gw_log_position at[JOURNAL_PARTITIONS];
    bool under_way;
    int rc;
};

/** Frames from `from` on that the reader thread reads for a lane, and then the lane takes. Whose it is: under_way. */
struct fetch {
    struct gw_task task; /* first */
    struct gw_inbox_item back;
    struct lane *lane;
    struct gw_log_reader *reader;       /* stands at `from`; NULL: none is open */
    uint64_t from, room;                /* about so many bytes */
    uint64_t below[JOURNAL_PARTITIONS]; /* the lane has those */
    struct gw_buf last_meta_bytes;
    struct gw_meta *last_meta;
    /* What came of it. */
    struct block *first, **last; /* one frame each */
    uint64_t next, bytes, lost_frames, lost_rows;
    int rc;            /* 1: there is more; 0: that is all */
    uint64_t head_end; /* of the local's head, when it began: what was committed meanwhile it may not have seen */
    uint64_t again_ns; /* after an error */
    bool under_way;    /* the worker's */
    _Atomic bool stop;
};

struct lane {
    struct gw_intake *intake;
    struct local *local;
    struct consumer *consumer;
    enum gw_signal signal;
    struct fetch fetch;
    uint64_t next;    /* frames below are taken, as far as they are ours */
    uint64_t head_at; /* count of the head's blocks: where `next` is */
    uint64_t owned;   /* partitions, a bit each */
    unsigned n_parts; /* that these are put together to: as many as the consumer has (parting.c) */
    struct part parts[JOURNAL_PARTITIONS];
    uint64_t bytes;                         /* taken */
    uint32_t n_taken, n_unsent, n_requests; /* frames; of these, in no request; requests: of all parts */
    uint32_t n_under_way;                   /* requests; a group is one */
    uint32_t next_group;                    /* from 1 */
    bool only_bytes;                        /* its pipeline takes rows in no other way */
    bool is_inside;                         /* a group is being handed over */
    uint64_t retry_ns, pause_ns;
    uint64_t commit_ns; /* idle positions are told then */
    uint64_t told_next; /* `next` when they were */
    bool dirty, ended;  /* ended: the log had no more, and nobody said since that it has */
    bool rests;         /* nothing is taken and sent: before its configuration is taken, and when it leaves */
    struct positions positions;
    struct keeper *keeper; /* the pipeline's rows survive (keep.c); or NULL */
    struct lane *again;    /* its rows come twice: for the second time by this one (again.c); or NULL */
    bool is_again;         /* it is that */
    struct gw_buf merged;
    struct gw_meta *merged_meta; /* without a peer: of the last one that needed it */
    unsigned turn;
    /* What the gateway may have crashed of: suspects.c. */
    struct gw_flight *flight;
    uint64_t flight_log;
    uint32_t scope;
    struct gw_flight_suspect *suspects;
    unsigned n_suspects;
    struct part *trial; /* that has the lane for itself; or NULL */
    bool wants_trial;
    uint64_t try_ns, wanted_ns; /* not before, unless nothing else can be sent; wanted since */
};

/** A worker's share. Lives as long as the journal: commits may be done when the worker is gone. */
struct local {
    struct journal *journal;
    struct gw_loop *loop;
    struct gw_hook hook;
    struct gw_timer timer;
    struct gw_inbox committed, positioned, fetched;
    _Atomic bool open;
    unsigned index;
    struct block **head;                     /* ring of the newest blocks */
    uint64_t head_cap, head_first, head_end; /* counted through; index = count % cap */
    uint64_t head_bytes;
    struct block_link *live, **last_live; /* the oldest first; each holds a reference of its block */
    uint64_t held_live_bytes;
    struct gw_buf bitmap;    /* of the rows that are being handed over */
    _Atomic bool takes_live; /* some lane does */
    struct lane **lanes;
    unsigned n_lanes;
    _Atomic bool reads; /* it has some: it wants to hear of commits */
    uint64_t n_appends;
    _Atomic uint64_t n_pending; /* commits not done */
    bool quiesced;
    uint64_t look_ns;    /* worker 0: when to look for what retention took */
    uint32_t more_64ths; /* that its newest block was longer than the rows in it had come */
};

enum { CONSUMER_READS = 3, JOURNAL_READS = 3 };

/** A pipeline that begins with the journal: as long as some worker has a lane of it. */
struct consumer {
    struct consumer *next;
    struct journal *journal;
    const char *pipeline;
    uint32_t id;
    unsigned n_lanes;
    unsigned n_parts;       /* it reads in so many: as many as its oldest row lies in */
    bool is_new, has_begun; /* new: the log did not know it. Who is and does not begin, leaves nothing behind */
    struct gw_metric *rows, *retries, *failed, *lost, *dropped, *reads[CONSUMER_READS];
    struct gw_metric *positions[JOURNAL_PARTITIONS]; /* level detailed */
    uint64_t told_dropped;
    struct consumer_at {
        _Atomic uint64_t row, ns; /* the oldest that is not done; UINT64_MAX, 0: nothing is known to be */
    } at[];                       /* by local */
};

struct journal {
    struct gw_ctx ctx;
    struct journal_settings conf; /* but for what a reload may change, below */
    _Atomic uint64_t in_flight_bytes, head_bytes, live_bytes;
    _Atomic bool in_order;
    struct gw_log *log;
    struct gw_tasks *reader; /* of the log's reader thread */
    bool sync;
    struct parting parting;    /* without its key */
    struct journal_note *note; /* that says so: with each commit of frames, while has_note */
    _Atomic bool has_note;
    struct gw_credit *memory;
    struct local *locals;
    struct dedup *dedup;            /* dedup.c */
    _Atomic uint64_t pending_bytes; /* of commits not done */
    struct gw_metric *appended[3], *refused[3], *from_head, *from_log, *handed, *fetch_bytes, *fetch_ns;
    pthread_mutex_t order;          /* of these, and of submitting frames */
    uint64_t last_ns, last_mono_ns; /* time of the newest frame; when it was submitted */
    pthread_mutex_t lock;           /* of these: workers open and close lanes at the same time */
    struct consumer *consumers, **last_consumer;
    struct known_parts *known_parts; /* of all that were there */
    unsigned n_begun, n_opened;      /* consumers; locals */
    _Atomic unsigned n_open;         /* locals, now */
    bool has_looked;                 /* who read it before is named */
    struct gw_metric *reads[JOURNAL_READS];
};

/* key.c */
/** What the partitions go by, as text: kept with the data. Appended. */
void gw_journal_key_text(const struct journal_settings *s, struct gw_buf *out);
/** Of rows with that id, with partition_by: trace_id: who owns this one, has their partition. */
uint8_t gw_journal_partition_of_trace(const uint8_t trace_id[16]);
/** The partition of each kept row. ret: batch->n_rows bytes. Returns the one that all have, or -1. */
int gw_journal_partition(const struct journal *j, const struct gw_view *v, unsigned spread, uint8_t *ret);

/* parting.c */
/** How many partitions there are from now on, and what has to be written down. err is a sentence. */
int gw_journal_parting_open(struct journal *j, struct gw_err *err);
void gw_journal_parting_close(struct journal *j);
/** A commit of frames says it, too, while nothing else has. */
void gw_journal_parting_submit(struct journal *j, struct gw_log_commit *c);
/** Such a commit is done. */
void gw_journal_parting_done(struct journal *j, const struct gw_log_commit *c, int rc);
/** Positions by partition, at least `low`. */
int gw_journal_parting_positions(struct journal *j, uint32_t consumer, uint64_t low, uint64_t *ret);
/** In how many somebody reads who has everything below that. */
unsigned gw_journal_parting_at(const struct parting *p, uint64_t seq);
/**
 * Those that a worker owns, of so many. What a key's hash is modulo 64 has an owner, too, whether there is such a
 * partition or not: that of the partition its rows lie in. So a pipeline behind asks for keys without knowing how many
 * there are.
 */
uint64_t gw_journal_parting_owned(const struct journal *j, unsigned n_parts, unsigned worker);
/** The text that is kept. Appended. */
void gw_journal_parting_text(const struct parting *p, struct gw_buf *out);
void gw_journal_parting_read(struct gw_slice text, struct parting *ret);

/* append.c */
void gw_journal_append(struct local *l, struct gw_view *v, struct gw_ports *out);
/** What time a frame would get now; no frame before it has a later one. Threads: any worker. */
uint64_t gw_journal_now_ns(struct journal *j);
/** A frame without rows. False: no memory. */
bool gw_journal_tick(struct local *l, enum gw_signal signal, uint16_t partition, uint64_t time_ns);

/* dedup.c */
/** What was before is known again. Errors: -ENOMEM. */
int gw_journal_dedup_open(struct journal *j);
void gw_journal_dedup_renew(struct journal *j, const struct journal_dedup *to);
/** Nobody appends any more: its memory is given back. */
void gw_journal_dedup_rest(struct journal *j);
void gw_journal_dedup_close(struct journal *j);
/**
 * Rows of requests that are stored leave the view, settled; those of requests that are being stored leave it as well,
 * and are settled with them. The claim is to be done when the others are, or when it is known that they will not be; or
 * NULL. False: no memory.
 */
bool gw_journal_dedup(struct journal *j, struct gw_view *v, struct gw_ports *out, struct claim **ret);

/* block.c */
struct block *gw_journal_block_new(struct journal *j, uint32_t n_frames, uint32_t n_receipts, size_t bytes);
/** Of bytes that are there: takes the payload's reference, also on failure. */
struct block *gw_journal_block_of(struct journal *j, uint32_t n_frames, uint32_t n_receipts, struct gw_payload *pl);
struct block *gw_journal_block_ref(struct block *b);
void gw_journal_block_unref(struct block *b);
/** The newest one; what is too much leaves at the other end. Takes the reference. */
void gw_journal_head_add(struct local *l, struct block *b);
void gw_journal_head_clear(struct local *l);
/** Blocks that end at or before seq leave: everybody has passed them. */
void gw_journal_head_trim(struct local *l, uint64_t seq);
static inline uint64_t block_first(const struct block *b)
{
    return b->frames[0].seq;
}
static inline uint64_t block_end(const struct block *b)
{
    return b->frames[b->n_frames - 1].seq + 1;
}

/* fetch.c */
/** Unless one is under way: the lane has room for so many bytes. */
void gw_journal_fetch_begin(struct lane *n, uint64_t room);
/** What has come back. */
void gw_journal_fetched(struct local *l);
/** The lane has passed what it read. */
void gw_journal_fetch_end(struct lane *n);
/** Waits for one under way: as long as the disk takes for a frame. */
void gw_journal_fetch_close(struct lane *n);

/* lane.c */
/** It rests. Errors: of the log; then it is closed. */
int gw_journal_lane_open(struct lane *n, struct local *l, struct gw_intake *in, struct consumer *c, struct gw_err *err);
void gw_journal_lane_close(struct lane *n);
/** Nothing is taken or sent. */
static inline bool lane_rests(const struct lane *n)
{
    return n->rests || n->local->quiesced;
}
static inline struct part *part_of(struct lane *n, uint16_t partition)
{
    return &n->parts[partition & (n->n_parts - 1)];
}
static inline bool lane_owns(const struct lane *n, unsigned partition)
{
    return n->owned >> partition & 1;
}
/** The frame is taken, unless it was before. False: no memory, it has to come again. */
bool gw_journal_lane_take(struct lane *n, struct block *b, uint32_t frame);
/** The newest frames are the head's. */
bool gw_journal_lane_at_head(const struct lane *n);
/** Take what there is room for, send what may go. True: something was sent. */
bool gw_journal_lane_move(struct lane *n);
/** What is taken, and what is on its way from the log, is dropped. */
void gw_journal_lane_empty(struct lane *n);
void gw_journal_lane_free(struct lane *n);
/** The same, and on to the next step; places are told. True: there is more to do at once. */
bool gw_journal_lane_run(struct lane *n);
/** Is there something in the log that nobody told of? */
void gw_journal_lane_look(struct lane *n);
bool gw_journal_lane_is_idle(const struct lane *n);
/** When it wants to run again, monotonic; 0: when something happens. */
uint64_t gw_journal_lane_due(struct lane *n);

/** The oldest frame is done, or not wanted. */
void gw_journal_lane_drop(struct lane *n, struct part *p);

/* live.c */
/** Of a block that is not submitted yet: its rows stay for the workers that read. partitions: by row; or all have one.
 */
void gw_journal_live_keep(struct block *b, const struct gw_view *v, const uint8_t *partitions, int all);
/** This worker does not read. */
void gw_journal_live_unwanted(struct block *b, unsigned worker);
/** Of a block that goes. */
void gw_journal_live_drop(struct block *b);
/** Of a block that has come: the newest. */
void gw_journal_live_add(struct local *l, struct block_link *k);
/** What all lanes have passed goes. Each turn. */
void gw_journal_live_trim(struct local *l);
void gw_journal_live_clear(struct local *l);
/** Everything that may go this way. False: the lane has to pause. */
bool gw_journal_live_send(struct lane *n);

/* send.c */
/** The whole lane waits: its partitions share the way. */
void gw_journal_pause(struct lane *n, uint64_t wish_ns);
/** The partition's next frame need not wait for others. */
bool gw_journal_may_send(const struct lane *n, const struct part *p);
/** The partition's next frame alone, under way as one of a group. NULL: no memory. */
struct request *gw_journal_request_in_group(struct lane *n, struct part *p, uint32_t group);
/** It is not: the frame is as it was. */
void gw_journal_request_undo(struct lane *n, struct part *p, struct request *r);
/** True: something was sent. */
bool gw_journal_send_more(struct lane *n);
/** The partition's next request. False: the way is full. */
bool gw_journal_send_one(struct lane *n, struct part *p);
/** The partition's next frame goes to the dead letters. False: not now. */
bool gw_journal_send_letter(struct lane *n, struct part *p, const struct gw_buried *b);
void gw_journal_send_verdict(void *local, const struct gw_ack *ack, const struct gw_verdict *v);
void gw_journal_send_close(struct lane *n, struct part *p);

/* suspects.c */
void gw_journal_suspects_open(struct lane *n);
void gw_journal_suspects_close(struct lane *n);
/** It may only go alone, if at all. */
bool gw_journal_is_suspect(const struct lane *n, const struct part *p, const struct taken *t);
/** Some partition has come to one. */
bool gw_journal_suspects_wait(const struct lane *n);
/** The lane is theirs: nothing else is sent. */
bool gw_journal_suspects_hold(const struct lane *n);
/** True: something was sent, or buried. */
bool gw_journal_suspects_run(struct lane *n);
/** A request of so many frames is under way. Returns its slot in the flight record. */
uint32_t gw_journal_suspects_begin(struct lane *n, struct part *p, const struct taken *first, uint32_t count);
/** It is not. answered: its first frame, when the pipeline has worked on it. */
void gw_journal_suspects_end(struct lane *n, struct part *p, uint32_t slot, const struct taken *answered);
/** p->done has moved. */
void gw_journal_suspects_passed(struct lane *n, const struct part *p);

/* keep.c */
/** When in->keep: where it begins. Errors: -ENOMEM, of the pipeline. */
int gw_journal_keep_open(struct lane *n, struct gw_err *err);
void gw_journal_keep_close(struct lane *n);
/** A frame is taken, in the order of the log. */
void gw_journal_keep_take(struct lane *n, struct taken *t);
/** May this partition's next frame be sent in this step? */
bool gw_journal_keep_may_send(const struct lane *n, const struct part *p);
/** All that may be sent is done: on to the next step, if there is one. True: there is more to do at once. */
bool gw_journal_keep_run(struct lane *n);
/** When a tick has to be written, monotonic; 0: not by time. */
uint64_t gw_journal_keep_due(struct lane *n);
/** Before it no row is needed again. */
uint64_t gw_journal_keep_low(const struct lane *n);
/** The frame before seq is done. */
void gw_journal_keep_had(struct lane *n, uint64_t seq);
/** Rows of this step were consumed. */
void gw_journal_keep_news(struct lane *n);
/** A frame without rows, for time alone. */
static inline bool is_tick(const struct block_frame *f)
{
    return f->rows == 0;
}

/* positions.c */
void gw_journal_positions_run(struct lane *n);
void gw_journal_positions_back(struct local *l);

/* behind.c */
extern const struct gw_behind_ops gw_journal_behind;
/** All lanes of a local: with the first error as gw_journal_lane_open. */
int gw_journal_lanes_open(struct local *l, struct gw_intake *list, struct gw_err *err);
void gw_journal_lanes_close(struct local *l);
void gw_journal_lanes_free(struct local *l);

/* renew.c */
int gw_journal_renew(void *self, const void *conf, bool take, struct gw_err *err);

/* journal.c */
/** As its folder is called: "orders", or "default". */
const char *gw_journal_name(const struct journal *j);

/* consumers.c */
void gw_journal_consumers_forget(struct journal *j);
/** One lane more of that pipeline. */
int gw_journal_consumer_join(struct journal *j, const char *pipeline, struct consumer **ret, struct gw_err *err);
void gw_journal_consumer_begin(struct consumer *c);
/** One lane less: with the last one the log is told (and somebody who reads ours, when it had begun), and it is freed.
 */
void gw_journal_consumer_part(struct consumer *c, bool tell);
/** Once, when all of a worker's have joined: those that are gone are named. */
int gw_journal_consumers_name(struct journal *j);
struct gw_log_retention gw_journal_retention(const struct journal_settings *s, enum gw_log_keep keep);
/** What goes, from now on. */
void gw_journal_retain(struct journal *j, const struct journal_retention *to);
/** What limits took before it was read: counted and logged. */
void gw_journal_consumers_look(struct journal *j);

/* metrics.c */
void gw_journal_metrics_make(struct journal *j);
void gw_journal_metrics_of(struct consumer *c);
void gw_journal_metrics_part(struct consumer *c);
void gw_journal_metrics_clear(struct journal *j);

#endif
