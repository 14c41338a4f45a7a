/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a log in memory is: frames, consumers, producers, and the changes that make one state of it out of another.
 * Pure: no clock, no chance, no lock. The simulator keeps two states, the one that is seen and the one that would
 * survive a power cut, and applies each change to the one when it is committed and to the other when it is synced.
 *
 * Nothing here is made to be fast. Running out of memory ends the process: half a simulation shows nothing.
 */
#ifndef GW_LOG_SIM_STATE_H
#define GW_LOG_SIM_STATE_H

#include "log/files.h"

/** Frames are shared by states and readers, and never change once they are there. */
struct gw_sim_frame {
    unsigned n_refs;
    struct gw_log_frame f; /* meta and body behind */
    uint64_t visible_ns;   /* monotonic: not seen by readers before */
    bool damaged;
    uint8_t bytes[];
};

/** Rows of the log, [from, to). */
struct gw_sim_range {
    uint64_t from, to;
};

struct gw_sim_position {
    bool is_set;
    uint64_t next_seq;
    size_t n_note;
    uint8_t *note;
};

struct gw_sim_consumer {
    struct gw_log_consumer c;  /* low, low_row, ahead_rows: filled in when asked for */
    uint64_t done_row;         /* all rows below are done */
    struct gw_sim_range *done; /* above done_row: sorted, apart from each other */
    size_t n_done, cap_done;
    struct gw_sim_position positions[GW_LOG_PARTITIONS];
};

struct gw_sim_producer {
    char name[GW_LOG_MAX_NAME_BYTES + 1];
    uint32_t epoch;
};

struct gw_sim_state {
    struct gw_sim_frame **frames; /* seq first_seq .. first_seq + n_frames - 1 */
    size_t n_frames, cap_frames;
    uint64_t first_seq, end_row, bytes;
    struct gw_sim_consumer *consumers;
    size_t n_consumers;
    uint32_t next_consumer;
    struct gw_sim_producer *producers; /* id - 1 */
    size_t n_producers;
    uint64_t lost_frames, lost_rows, lost_bytes;
};

enum gw_sim_change_kind {
    GW_SIM_COMMIT,
    GW_SIM_PRODUCER,
    GW_SIM_CONSUMER,
    GW_SIM_RELEASE,
    GW_SIM_TRUNCATE,
    GW_SIM_RETAIN,
};

/** One change, with copies of all it needs. */
struct gw_sim_change {
    struct gw_sim_change *next;
    enum gw_sim_change_kind kind;
    struct gw_sim_frame **frames; /* commit: seq and row are filled in by the first state it is applied to */
    struct gw_log_settle *settles;
    struct gw_log_position *positions;
    unsigned n_frames, n_settles, n_positions;
    char name[GW_LOG_MAX_NAME_BYTES + 1]; /* producer, consumer, release */
    enum gw_log_start start;              /* consumer */
    uint64_t seq;                         /* truncate */
    uint64_t wall_ns;                     /* retain */
    struct gw_log_retention retention;    /* retain */
};

/** Bytes that a frame counts for. */
uint64_t gw_sim_frame_bytes(const struct gw_log_frame *f);
struct gw_sim_frame *gw_sim_frame_ref(struct gw_sim_frame *f);
void gw_sim_frame_unref(struct gw_sim_frame *f);

/** The commit as a change. */
struct gw_sim_change *gw_sim_change_of_commit(const struct gw_log_commit *c);
struct gw_sim_change *gw_sim_change_new(enum gw_sim_change_kind kind);
void gw_sim_change_free(struct gw_sim_change *c);

void gw_sim_state_init(struct gw_sim_state *s);
void gw_sim_state_clear(struct gw_sim_state *s);
void gw_sim_state_copy(struct gw_sim_state *to, const struct gw_sim_state *from);
/** May the commit be applied? 0, -ESTALE, -E2BIG, -EINVAL. */
int gw_sim_check(const struct gw_sim_state *s, const struct gw_log_commit *c);
void gw_sim_apply(struct gw_sim_state *s, const struct gw_sim_change *c);
/** The first frame that would not go. */
uint64_t gw_sim_keeps_from(const struct gw_sim_state *s, const struct gw_log_retention *r, uint64_t wall_ns);
/** Would the first frame go? */
bool gw_sim_may_go(const struct gw_sim_state *s, const struct gw_log_retention *r, uint64_t wall_ns);

uint64_t gw_sim_end_seq(const struct gw_sim_state *s);
uint64_t gw_sim_first_row(const struct gw_sim_state *s);
/** NULL: there is no such frame (any more). */
struct gw_sim_frame *gw_sim_frame_at(const struct gw_sim_state *s, uint64_t seq);
struct gw_sim_consumer *gw_sim_consumer_by_name(const struct gw_sim_state *s, const char *name);
struct gw_sim_consumer *gw_sim_consumer_by_id(const struct gw_sim_state *s, uint32_t id);
/** The consumer with low, low_row and ahead_rows as they stand. */
struct gw_log_consumer gw_sim_consumer_view(const struct gw_sim_state *s, const struct gw_sim_consumer *c);
/** The next run of rows in [from, to) that the consumer has not done; false: there is none. */
bool gw_sim_open_rows(const struct gw_sim_consumer *c, uint64_t from, uint64_t to, struct gw_sim_range *ret);

/** malloc that ends the process when there is no memory. */
void *gw_sim_alloc(void *old, size_t n);

#endif
