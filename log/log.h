/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log: what is committed gets numbers, stays through crashes, and goes when nobody needs it any more. Durable queues,
 * journals and the dead letter store all stand on it.
 *
 *   any thread        commit = frames + settlements + positions, all or nothing
 *                        │ gw_log_submit
 *   the log's writer     └► one contiguous group on disk ─► done(rc)      (or the same thread: gw_log_work_here)
 *   readers           frames in order, committed ones only
 *
 *   frames    0   1   2   3   4   5   6   7   8          one number (seq) a frame; rows are counted through
 *             └── settled ──┘   ▓   ░   ▓                a consumer: all below `low` is settled, some above it too
 *                          low ─┘                        (▓ settled, ░ in part)
 *
 * A consumer goes forward in one of two ways: it settles rows (queues: in any order, with their outcome), or it moves
 * its position in a partition (journals: everything before it is done). Both are records of the log, so that they
 * cannot disagree with the data, and are written in the same group as the frames that follow from them.
 *
 * There are three implementations: segment files (log/files.h), memory with faults (log/sim.h), and, later, Kafka.
 * Therefore seq orders the frames of one partition; only in files and memory does it order all of a log's.
 */
#ifndef GW_LOG_LOG_H
#define GW_LOG_LOG_H

#include <stdbool.h>

#include "core/inbox.h"
#include "core/slice.h"
#include "core/status.h"

struct gw_log;
struct gw_log_reader;
struct gw_log_retention; /* log/files.h */

enum {
    GW_LOG_PARTITIONS = 64,
    GW_LOG_MAX_BODY_BYTES = 1 << 28,
    GW_LOG_MAX_META_BYTES = 1 << 20,
    GW_LOG_MAX_NOTE_BYTES = 4096, /* as Kafka's offset metadata */
    GW_LOG_MAX_NAME_BYTES = 200,  /* of consumers and producers */
};
#define GW_LOG_END UINT64_MAX

/** One record: what is appended, or as it is read. */
struct gw_log_frame {
    uint64_t seq;         /* given by the log; again, when a power cut took a frame that was never synced */
    uint64_t row;         /* rows of the log before this frame: given by the log */
    uint64_t time_ns;     /* wall clock at which its rows came in: what reading by time goes by */
    uint32_t rows;        /* in the body */
    uint16_t topic;       /* the owner's numbering; 0 when it needs none */
    uint16_t partition;   /* < GW_LOG_PARTITIONS */
    uint8_t signal;       /* enum gw_signal, or 0 */
    struct gw_slice meta; /* opaque to the log: what came with the request */
    struct gw_slice body;
};

/** What became of rows, for the consumer that says so. The order is part of the format. */
enum gw_log_outcome {
    GW_LOG_DELIVERED,
    GW_LOG_REJECTED, /* the sink's partial success */
    GW_LOG_DEAD_LETTERED,
    GW_LOG_DROPPED, /* by a named rule; counted where it is dropped */
    GW_LOG_N_OUTCOMES,
};

/** Rows are settled for a consumer: once and for ever. */
struct gw_log_settle {
    uint32_t consumer;
    uint8_t outcome;          /* enum gw_log_outcome */
    uint64_t seq, last_seq;   /* frames, both included; with last_seq > seq they are settled whole */
    uint32_t first_row, rows; /* of the frame seq alone; rows == 0: all of seq .. last_seq */
    uint32_t frame_rows;      /* of the frame seq, when only a part of it is settled */
};

/** A consumer has done everything before next_seq in this partition. */
struct gw_log_position {
    uint32_t consumer;
    uint16_t partition;
    uint64_t next_seq;
    struct gw_slice note; /* whatever the consumer wants to find again, at most GW_LOG_MAX_NOTE_BYTES */
};

/** The writer's name and age: a commit of an older one is refused (-ESTALE), so that an old graph cannot write on. */
struct gw_log_producer {
    uint32_t id, epoch; /* 0, 0: anonymous, never fenced */
};

/**
 * All of it or nothing. Owned by the caller and not to be touched between submit and done; slices likewise (they are
 * written from where they lie).
 */
struct gw_log_commit {
    struct gw_inbox_item item;
    struct gw_log_frame *frames; /* seq and row are filled in before done */
    const struct gw_log_settle *settles;
    const struct gw_log_position *positions;
    unsigned n_frames, n_settles, n_positions;
    struct gw_log_producer producer;
    bool sync; /* done comes when it would survive a power cut, not only the end of the process */
    /**
     * On the thread that writes at this moment (one at a time: the log's writer, or one in gw_log_work_here), which it
     * must not block; may free the commit and submit others. rc: 0;
     * -ENOSPC no room on the disk, -EDQUOT over the log's own limit, -ESTALE fenced, -EIO, -ENOMEM, -E2BIG,
     * -ESHUTDOWN. Nothing of it can be read, now or after a crash, when rc < 0; but for a disk that failed to sync it
     * and takes nothing else either: a crash before the next commit that works may leave it, as a whole.
     */
    void (*done)(struct gw_log_commit *c, int rc);
};

/** Where a consumer begins that the log does not know. */
enum gw_log_start { GW_LOG_FROM_FIRST, GW_LOG_FROM_END };

/** A consumer as it stands: what was committed. */
struct gw_log_consumer {
    uint32_t id;
    char name[GW_LOG_MAX_NAME_BYTES + 1];
    bool is_open;                        /* by this process; else an orphan that holds data back */
    uint64_t first_row;                  /* rows of the log before it was made */
    uint64_t low;                        /* no row of a frame below it is open; without positions */
    uint64_t low_row;                    /* rows of the log below low */
    uint64_t settled[GW_LOG_N_OUTCOMES]; /* rows, since it was made */
    uint64_t lost_rows;                  /* damaged before it could read them */
    uint64_t ahead_rows;                 /* settled above low */
};

struct gw_log_stats {
    uint8_t uuid[16];            /* of this log, from its making on; zeros in memory */
    uint64_t first_seq, end_seq; /* of what is there; end: the next to be given */
    uint64_t first_row, end_row;
    uint64_t synced_seq;       /* everything below survives a power cut */
    uint64_t bytes, max_bytes; /* on disk; 0 = no limit of its own */
    uint64_t segments;
    uint64_t first_time_ns, last_time_ns;
    uint64_t lost_frames, lost_rows, lost_bytes; /* found damaged, since the log was made */
    uint64_t commits, syncs, failed_writes, failed_syncs;
    bool degraded; /* writing failed and has not worked since */
};

/** Rows of a frame that a consumer has not settled: [first, first + rows). */
struct gw_log_open_rows {
    uint32_t first, rows;
};

/** What a reader wants. */
struct gw_log_reader_conf {
    uint32_t consumer;   /* skip what it has settled; 0 = no consumer: everything */
    uint64_t partitions; /* bit per partition; 0 = all */
    uint64_t topics;     /* bit per topic below 64; 0 = all */
    bool without_bodies; /* they are empty, and are not read: then meta is as it lies there, unchecked */
};

/** One frame as a reader gives it. Slices live until the next call on this reader. */
struct gw_log_entry {
    struct gw_log_frame frame;
    const struct gw_log_open_rows *open; /* with a consumer: at least one; else NULL */
    unsigned n_open;
    uint64_t lost_frames, lost_rows; /* damaged and passed over before this frame */
};

struct gw_log_ops {
    void (*submit)(struct gw_log *l, struct gw_log_commit *c);
    uint64_t (*work)(struct gw_log *l);
    bool (*work_here)(struct gw_log *l); /* or NULL */
    int (*producer)(struct gw_log *l, const char *name, struct gw_log_producer *ret);
    int (*consumer_open)(struct gw_log *l, const char *name, enum gw_log_start start, uint32_t *ret_id);
    void (*consumer_close)(struct gw_log *l, uint32_t id);
    int (*consumer_release)(struct gw_log *l, const char *name);
    int (*consumers)(struct gw_log *l, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg);
    int (*position)(struct gw_log *l, uint32_t consumer, uint16_t partition, uint64_t *ret_next_seq, void *note,
                    size_t *n_note);
    int (*reader_new)(struct gw_log *l, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret);
    int (*seek)(struct gw_log_reader *r, uint16_t partition, uint64_t seq);
    int (*seek_time)(struct gw_log_reader *r, uint64_t time_ns);
    int (*next)(struct gw_log_reader *r, struct gw_log_entry *ret);
    void (*reader_free)(struct gw_log_reader *r);
    int (*truncate)(struct gw_log *l, uint64_t seq);
    void (*retain)(struct gw_log *l, const struct gw_log_retention *r);
    void (*stats)(struct gw_log *l, struct gw_log_stats *ret);
    void (*close)(struct gw_log *l);
};

/** First members of whatever implements a log. */
struct gw_log {
    const struct gw_log_ops *ops;
};
struct gw_log_reader {
    const struct gw_log_ops *ops;
};

/* ---- writing ---------------------------------------------------------------------------------------------- */

/** Threads: any; never blocks. done follows from gw_log_work, in the order of submitting for each thread. */
static inline void gw_log_submit(struct gw_log *l, struct gw_log_commit *c)
{
    l->ops->submit(l, c);
}

/**
 * The writer: everything submitted so far is written, and what waits for a sync is synced. Only by the one thread that
 * is the log's writer; it blocks on the disk. Returns when it wants to be called again, monotonic ns: 0 = when
 * something is submitted (gw_log_files_conf.wake tells).
 */
static inline uint64_t gw_log_work(struct gw_log *l)
{
    return l->ops->work(l);
}

/**
 * Any thread, between two things that it does: what was submitted is written by itself when that costs no more than
 * copying it (nobody else is the writer now, nobody waits for a sync, there is room in the segment, and the disk took
 * the last ones quickly). Calls done of whatever it wrote. False: the writer must be called.
 */
static inline bool gw_log_work_here(struct gw_log *l)
{
    return l->ops->work_here && l->ops->work_here(l);
}

/** A new epoch of that name: commits of older ones fail with -ESTALE from now on, also after a crash. */
static inline int gw_log_producer(struct gw_log *l, const char *name, struct gw_log_producer *ret)
{
    return l->ops->producer(l, name, ret);
}

/**
 * Everything below seq may go, as far as whole segments allow, whether consumers have passed it or not: rows that
 * somebody has not settled are counted for that consumer as dropped; of a consumer that moves positions, those before
 * them as delivered. seq GW_LOG_END: all there is.
 */
static inline int gw_log_truncate(struct gw_log *l, uint64_t seq)
{
    return l->ops->truncate(l, seq);
}

/** Another rule from now on. Threads: any; may wait for what the writer is writing. */
static inline void gw_log_retain(struct gw_log *l, const struct gw_log_retention *r)
{
    l->ops->retain(l, r);
}

/* ---- consumers -------------------------------------------------------------------------------------------- */

/** Known by name, for ever; made when new. ids begin with 1. Threads: any. Errors: -ENOMEM, -EINVAL, of the disk. */
static inline int gw_log_consumer_open(struct gw_log *l, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    return l->ops->consumer_open(l, name, start, ret_id);
}

/** Nobody reads for it any more, until it is opened again: its place stays. Threads: any. */
static inline void gw_log_consumer_close(struct gw_log *l, uint32_t id)
{
    l->ops->consumer_close(l, id);
}

/** Forget a consumer: what only it held back may go. Errors: -ENOENT. */
static inline int gw_log_consumer_release(struct gw_log *l, const char *name)
{
    return l->ops->consumer_release(l, name);
}

/** Each consumer once, in order of making, as one picture. Threads: any. */
static inline int gw_log_consumers(struct gw_log *l, void (*each)(void *arg, const struct gw_log_consumer *c),
                                   void *arg)
{
    return l->ops->consumers(l, each, arg);
}

/** The committed position; the first frame when there is none. *n_note: room, then bytes. note may be NULL. */
static inline int gw_log_position(struct gw_log *l, uint32_t consumer, uint16_t partition, uint64_t *ret_next_seq,
                                  void *note, size_t *n_note)
{
    return l->ops->position(l, consumer, partition, ret_next_seq, note, n_note);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/**
 * A reader belongs to one thread at a time. With a consumer it begins at its low (or, in partitions for which it has a
 * position, there), else at the first frame. A log that is being written may be read.
 */
static inline int gw_log_reader_new(struct gw_log *l, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret)
{
    return l->ops->reader_new(l, conf, ret);
}

/** Go on with the first frame of the partition at or behind seq; of every partition: GW_LOG_PARTITIONS. */
static inline int gw_log_seek(struct gw_log_reader *r, uint16_t partition, uint64_t seq)
{
    return r->ops->seek(r, partition, seq);
}

/** Go on with the first frame whose time is at or behind time_ns. Cost: a search over segments, then one segment. */
static inline int gw_log_seek_time(struct gw_log_reader *r, uint64_t time_ns)
{
    return r->ops->seek_time(r, time_ns);
}

/** 1: *ret is the next frame. 0: there is none yet. Errors: negative errno; the next call tries again. */
static inline int gw_log_next(struct gw_log_reader *r, struct gw_log_entry *ret)
{
    return r->ops->next(r, ret);
}

static inline void gw_log_reader_free(struct gw_log_reader *r)
{
    if (r)
        r->ops->reader_free(r);
}

/* ---- the rest --------------------------------------------------------------------------------------------- */

/** Threads: any. */
static inline void gw_log_stats(struct gw_log *l, struct gw_log_stats *ret)
{
    l->ops->stats(l, ret);
}

/** Everything submitted is written and synced; commits after that end with -ESHUTDOWN. Readers must be gone. */
static inline void gw_log_close(struct gw_log *l)
{
    if (l)
        l->ops->close(l);
}

#endif
