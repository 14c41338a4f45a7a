/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log in segment files, from inside.
 *
 *   submit ─► inbox ─► plan ─► group ─► pwritev ─► (sync) ─► apply ─► done        writer: under `work`
 *                                                              │
 *   readers: segments, ends, what is settled  ◄────────────────┘                  under `lock`, never over I/O
 *
 * Lock order: role, work, lock. `role` is held by who takes from the inbox, until all of it is done(): what is done
 * comes in the order of the log. `work` is held by whoever writes: this one, or a thread that opens a consumer.
 */
#ifndef GW_LOG_IMPL_H
#define GW_LOG_IMPL_H

#include <pthread.h>

#include "log/files.h"
#include "log/scan.h"
#include "log/state.h"

enum {
    GW_LF_CACHE = 1 << 13,       /* frames whose rows are known without reading, at most */
    GW_LF_BATCH = 1024,          /* commits between two syncs */
    GW_LF_GROUP_BYTES = 8 << 20, /* several commits become one group up to that; a larger one is alone */
    GW_LF_MIN_SEGMENT = 64 << 10,
    GW_LF_RESERVES = 2,
    GW_LF_SPARES = 2,
    GW_LF_PATH = 4096,
};

#define GW_LF_RETRY_NS 1000000000u /* between two tries to make a segment that could not be made */

/** Somewhere in a segment a frame begins. */
struct gw_lf_mark {
    uint64_t seq, off;
};

struct gw_lf_seg {
    uint64_t number, prev_number;
    uint64_t first_seq, first_row;
    uint64_t time_ns, last_time_ns; /* made; of its newest frame */
    uint64_t data;                  /* offset behind the snapshot */
    uint64_t end;                   /* everything before it is committed */
    bool head_bad;                  /* its header was damaged, the above is derived */
    bool is_sound;                  /* this process wrote all of it, and its disk never failed */
    /* Of recovery: */
    uint64_t file_bytes, prev_end, prev_last_time, snapshot_bytes;
    uint32_t copies, chain;
    struct gw_lf_mark *marks; /* the writer's, made when needed */
    size_t n_marks, cap_marks;
};

/** Rows of a frame; direct-mapped by seq. */
struct gw_lf_cached {
    uint64_t seq, row; /* row == UINT64_MAX: empty */
    uint32_t rows;
};

/** A commit in the writer's hands. */
struct gw_lf_todo {
    struct gw_log_commit *c;
    int rc;
};

/** Groups that were written and not applied: their records without the bodies of frames, and what is to be written. */
struct gw_lf_out {
    uint8_t *p;
    size_t n, cap;
    struct iovec *iov;
    size_t n_iov, cap_iov;
    size_t group;   /* where in p the group begins that is being built */
    uint64_t bytes; /* of the group */
    uint32_t heads_crc, n_records;
};

/** The last segment as its writer knows it. */
struct gw_lf_tail {
    struct gw_file *file;
    uint64_t number;
    uint32_t salt, chain;
    uint64_t at;     /* where the next group goes */
    uint64_t data;   /* behind the snapshot */
    uint64_t room;   /* what is preallocated, or its nominal size */
    uint64_t filled; /* so far pages of the file need not be read (group.c) */
    bool is_allocated;
    bool has_blocks; /* up to its room: what is written there later finds them */
    uint64_t synced, synced_seq, synced_row;
    uint64_t newest_ns; /* of its frames */
    bool from_reserve;  /* for settlements alone */
    bool is_new;        /* this process made it */
    bool broken;        /* the file failed: only a new one will do */
};

/** The newest bytes of the last segment, which are not in its file yet (stage.c). */
struct gw_lf_stage {
    struct gw_file *file;   /* NULL: groups are written into the segment */
    struct gw_file *direct; /* the segment, past the page cache */
    uint8_t *ring;
    bool is_mapped;       /* the ring is the file's memory; else it is written there */
    uint64_t bytes;       /* of the ring: pages */
    uint64_t at, flushed; /* the writer's: all written; all below is in the segment */
    pthread_mutex_t lock;
    uint64_t number, from, end; /* the segment (0: none), and what of it readers find in the ring */
};
#define GW_LF_STAGE "stage"

struct gw_lf {
    struct gw_log log;
    struct gw_log_files_conf conf;
    struct gw_env *env;
    char *dir;
    uint64_t least_segment;
    uint8_t uuid[GW_LF_UUID];
    struct gw_inbox inbox;
    _Atomic bool closed;

    pthread_mutex_t role;
    struct gw_inbox_item *waiting; /* taken from the inbox, not written yet. Under role */
    uint64_t slow_until_ns;        /* the disk made somebody wait: until then it is the writer's alone. Under role */

    pthread_mutex_t work;
    struct gw_file *lock_file;
    struct gw_lf_tail tail;
    struct gw_lf_stage stage;
    struct gw_lf_out out;
    struct gw_lf_todo *todo; /* GW_LF_BATCH */
    unsigned n_todo, group;  /* [group, the one being built) may be in the open group */
    bool group_open, wants_sync;
    uint64_t next_seq, next_row; /* with what is not applied yet */
    uint64_t applied_at;         /* in the last segment: everything behind is not applied */
    uint64_t unsynced_ns;        /* since when there is something to sync; 0 = nothing */
    uint64_t mark_ns;            /* when to write down how far all is synced, if nothing comes; 0 = it is */
    uint64_t retry_ns;           /* not before, after the disk failed */
    unsigned n_reserve;          /* files put aside */
    uint64_t reserve_retry_ns;
    unsigned n_spare;                               /* segments that were let go, to be used again */
    uint64_t spares[GW_LF_SPARES], spares_until_ns; /* their bytes; when they go if no segment is made */
    /*
     * A segment was given up and its file removed: a power cut may bring it back, with what it says of where this one
     * ends. Nothing behind that is synced before the folder is.
     */
    bool names_unsynced;
    unsigned n_unread; /* segments that were given up because the disk would not give what was to be copied */
    bool damaged;      /* recovery found something, and no segment was begun since: what is old may be needed */
    bool segs_changed; /* since retention looked */
    uint64_t told_number, told; /* the segment up to which the kernel was told to forget, and how far in it */
    uint64_t sealed_bytes;      /* of all segments but the last */

    pthread_mutex_t lock;
    struct gw_lf_state state;
    struct gw_lf_seg *segs; /* in order; the last one is written */
    size_t n_segs, cap_segs;
    struct gw_lf_cached *cache;
    size_t n_cache;            /* of each kind; a power of two */
    struct gw_log_stats stats; /* counters; the rest is filled in when asked */
    struct gw_lf_loss *losses; /* found by readers, to be written */
    size_t n_losses;
};

/* files.c */
/** For tests: where a log begins that is not there yet, and how small a segment may be asked for. */
struct gw_lf_begin {
    uint64_t number, seq, row;
    uint64_t least_segment; /* 0 = GW_LF_MIN_SEGMENT */
};
/** The name of a segment's file, and its number. */
bool gw_lf_is_segment(const char *name, uint64_t *ret);
int gw_lf_open(const struct gw_log_files_conf *conf, const struct gw_lf_begin *at, struct gw_log **ret,
               struct gw_err *err);

/* segment.c */
void gw_lf_path(const struct gw_lf *l, uint64_t number, const char *suffix, char ret[GW_LF_PATH]);
uint64_t gw_lf_segment_bytes(const struct gw_lf *l);
/**
 * A new last segment that begins with a snapshot of what is applied, synced with its name, of at least so many bytes
 * behind the snapshot. What the one before could not sync is copied. Nothing may be unapplied. Under work.
 */
int gw_lf_roll(struct gw_lf *l, uint64_t bytes);
/** The same from what was put aside for settlements, when the disk is full. */
int gw_lf_roll_reserve(struct gw_lf *l);
/** Two small files whose blocks are there, for settlements when the disk is full. Errors: there is none at all. */
int gw_lf_keep_reserve(struct gw_lf *l);
/** A segment that goes becomes a reserve, before somebody else takes its blocks. */
bool gw_lf_reserve_takes(struct gw_lf *l, const char *path);
#define GW_LF_RESERVE_MARK "STNCHRSV" /* where a header would be */
void gw_lf_reserve_path(const struct gw_lf *l, unsigned i, char ret[GW_LF_PATH]);
/** The same for a log that has no segment yet, or whose last one is not to be written on. */
int gw_lf_segment_new(struct gw_lf *l, uint64_t number, uint64_t first_seq, uint64_t first_row, uint64_t bytes);
/** n segments are removed, from the i-th on. */
void gw_lf_segments_drop(struct gw_lf *l, size_t i, size_t n);
int gw_lf_segs_push(struct gw_lf *l, const struct gw_lf_seg *s);
/** The last segment with first_seq <= seq; the first one when there is none. Under lock or work. */
size_t gw_lf_seg_of(const struct gw_lf *l, uint64_t seq);
/** The file of a segment, which is there. */
int gw_lf_seg_file(struct gw_lf *l, uint64_t number, int flags, struct gw_file **ret);
int gw_lf_seg_open(struct gw_lf *l, const struct gw_lf_seg *s, struct gw_lf_scan *ret);
/** Bytes of all segments, and of what is written and not applied; without spares. Under work. */
uint64_t gw_lf_used(const struct gw_lf *l);
void gw_lf_segs_changed(struct gw_lf *l);
/** The folder: what was made, removed or renamed stays so. */
int gw_lf_names_sync(struct gw_lf *l);

/* spare.c: under work */
uint64_t gw_lf_spare_bytes(const struct gw_lf *l);
/** A segment that goes becomes a spare. It is out of the list, and what says that it is gone is synced. */
bool gw_lf_spare_takes(struct gw_lf *l, const struct gw_lf_seg *seg, const char *path);
/** A spare is segment `number` now and tail.file is open; false: it is not, whatever lies under that name. */
bool gw_lf_spare_use(struct gw_lf *l, uint64_t number);
void gw_lf_spares_remove(struct gw_lf *l);
/** The log needs so many bytes for itself: spares go that do not fit into its limits with that. */
void gw_lf_spares_yield(struct gw_lf *l, uint64_t used);
void gw_lf_spares_tend(struct gw_lf *l);
/** Those that another process left. */
void gw_lf_spares_forget(struct gw_lf *l);

/* group.c: groups are built in l->out for l->tail */
/** Room for what a commit brings. Errors: -ENOMEM. */
int gw_lf_out_reserve(struct gw_lf *l, size_t head_bytes, size_t n_iov);
void gw_lf_group_begin(struct gw_lf *l);
void gw_lf_group_frame(struct gw_lf *l, const struct gw_log_frame *f);
void gw_lf_group_record(struct gw_lf *l, uint8_t kind, uint16_t topic, struct gw_slice body);
/** Ended and written at tail.at, which moves then. Errors: of the disk; tail.broken when it is not to be used again. */
int gw_lf_group_write(struct gw_lf *l, struct gw_log_producer producer);
/** Nothing of the group remains. */
void gw_lf_group_undo(struct gw_lf *l);
void gw_lf_out_reset(struct gw_lf *l);
int gw_lf_write_all(struct gw_lf *l, struct gw_file *f, struct iovec *iov, size_t n_iov, uint64_t off);

/* stage.c: under work, but for gw_lf_stage_read */
/**
 * The file is made, if the log wants one. When that fails, everything is written as without it. Errors: one of an older
 * process is there and does not go.
 */
int gw_lf_stage_open(struct gw_lf *l);
void gw_lf_stage_close(struct gw_lf *l);
/** What is written from now on goes through it, if the last segment allows that: it is written and synced up to here.
 */
void gw_lf_stage_base(struct gw_lf *l);
/** What is written from now on goes into the segment. Everything is flushed, or will not be. */
void gw_lf_stage_off(struct gw_lf *l);
bool gw_lf_stage_is_on(const struct gw_lf *l);
/** So many bytes more can be written without waiting for the disk. */
bool gw_lf_stage_has_room(const struct gw_lf *l, uint64_t bytes);
/** At the end of what is written. Errors: of the disk; part of it may be there. */
int gw_lf_stage_write(struct gw_lf *l, const struct iovec *iov, size_t n_iov);
/** All of it is in the segment, and wants a sync. */
int gw_lf_stage_flush(struct gw_lf *l);
/** The log ends at tail.at again, and the segment's file has nothing behind that. */
void gw_lf_stage_cut(struct gw_lf *l);
/** 1: the ring has what a process that was killed wrote behind the end of its segment, or something else. 0: no. */
int gw_lf_stage_load(struct gw_lf *l, const struct gw_lf_seg *seg);
/** Bytes that a scan found by way of the ring are written into the segment. */
int gw_lf_stage_pour(struct gw_lf *l, struct gw_lf_scan *from, const struct gw_lf_seg *seg, uint64_t at, uint64_t end);

/* write.c */
enum { GW_LF_OPEN = 1, GW_LF_ATTEMPTS = 3 };
/** Everything in todo that is GW_LF_OPEN gets its result. */
void gw_lf_write_todo(struct gw_lf *l);
/** There is room at the end of the segment, which may be a new one. *ret < 0: not for this. Errors: the file is broken.
 */
int gw_lf_make_room(struct gw_lf *l, uint64_t bytes, bool settles, int *ret);
bool gw_lf_fits(const struct gw_lf *l, uint64_t bytes, bool settles);
/** -ENOSPC: appends would leave less of the disk free than they must. Spares count as free. */
int gw_lf_disk_has(struct gw_lf *l, uint64_t bytes);
/** What was written is synced, if somebody wants it, and true. Errors: the file is broken. */
int gw_lf_finish(struct gw_lf *l);
/** What is not applied never happened, and is open again. */
void gw_lf_take_back(struct gw_lf *l);
/** A new segment for a file that is broken, not more often than once a second. */
int gw_lf_go_on(struct gw_lf *l);
uint64_t gw_lf_sync_interval(const struct gw_lf *l);
void gw_lf_submit(struct gw_log *log, struct gw_log_commit *c);
int gw_lf_sync(struct gw_lf *l);
void gw_lf_count(struct gw_lf *l, uint64_t *counter, uint64_t n);
void gw_lf_degraded(struct gw_lf *l, bool is);
/** What is in l->out is true now: readers see it. */
void gw_lf_apply(struct gw_lf *l);

/* forget.c */
/** Under work. */
void gw_lf_forget(struct gw_lf *l);

/* turn.c */
uint64_t gw_lf_work(struct gw_log *log);
bool gw_lf_work_here(struct gw_log *log);
/** One record, written, synced and applied. Under work, with nothing in l->out. */
int gw_lf_write_now(struct gw_lf *l, uint8_t kind, struct gw_slice body, unsigned copies);
/** At the end of the log: cut to its length, and everything synced. */
int gw_lf_close_segment(struct gw_lf *l);

/* plan.c */
struct gw_lf_size {
    size_t heads, n_iov;
    uint64_t bytes;
};
/** Is it a commit that can be written, and how much is it? Errors: those of the commit. */
int gw_lf_plan(struct gw_lf *l, const struct gw_log_commit *c, struct gw_lf_size *ret);
/** Into the open group, for which there is room. Errors: of the commit; part of it may be there then. */
int gw_lf_build(struct gw_lf *l, struct gw_log_commit *c);

/* lookup.c */
enum gw_lf_cache_of { GW_LF_WRITTEN, GW_LF_READ, GW_LF_N_CACHES };
/** Rows before the first frame at or behind seq, and that frame. -ENOENT: there is none. Under work. */
int gw_lf_rows_at(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret);
/** Under lock. */
void gw_lf_cache_put(struct gw_lf *l, enum gw_lf_cache_of of, uint64_t seq, uint64_t row, uint32_t rows);
bool gw_lf_cache_get(struct gw_lf *l, uint64_t seq, struct gw_lf_cached *ret);
/** A frame begins at off. Under lock, in order. */
void gw_lf_mark(struct gw_lf_seg *s, uint64_t seq, uint64_t off);

/* retain.c */
void gw_lf_retain(struct gw_lf *l);
void gw_lf_set_retention(struct gw_log *log, const struct gw_log_retention *r);
/** Beyond it appends fail; 0: no limit. */
uint64_t gw_lf_max_bytes(const struct gw_lf *l);
/** Who reads now has done all frames below; 0: nobody reads, or it is not known. */
uint64_t gw_lf_low_of_readers(const struct gw_lf *l);
uint64_t gw_lf_retain_next(struct gw_lf *l);
int gw_lf_truncate(struct gw_log *log, uint64_t seq);

/* recover.c */
int gw_lf_recover(struct gw_lf *l, struct gw_err *err);
/** read_only: what another process has written since. */
void gw_lf_follow(struct gw_lf *l);

/* read.c */
int gw_lf_reader_new(struct gw_log *log, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret);
int gw_lf_seek(struct gw_log_reader *r, uint16_t partition, uint64_t seq);
int gw_lf_seek_time(struct gw_log_reader *r, uint64_t time_ns);
int gw_lf_next(struct gw_log_reader *r, struct gw_log_entry *ret);
void gw_lf_reader_free(struct gw_log_reader *r);

/* cursors.c */
int gw_lf_producer(struct gw_log *log, const char *name, struct gw_log_producer *ret);
int gw_lf_consumer_open(struct gw_log *log, const char *name, enum gw_log_start start, uint32_t *ret_id);
void gw_lf_consumer_close(struct gw_log *log, uint32_t id);
int gw_lf_consumer_release(struct gw_log *log, const char *name);
int gw_lf_consumers(struct gw_log *log, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg);
int gw_lf_position(struct gw_log *log, uint32_t consumer, uint16_t partition, uint64_t *ret_next_seq, void *note,
                   size_t *n_note);
void gw_lf_stats(struct gw_log *log, struct gw_log_stats *ret);

#endif
