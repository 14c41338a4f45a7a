/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pipeline behind a journal keeps (pipeline/keep.h), on the pipeline's side: whether it survives, where it is
 * written, and what is read after a restart.
 *
 *   keep_find.c     which pipelines
 *   keep.c          of each worker: its processor or connector, over reloads
 *   keep_commit.c   barrier ─► decisions' log ─► {rows, places} in the pipeline's log ─► the journal may forget
 *   keep_restore.c  places and decisions as a start finds them
 *
 * Place of a partition: a position of consumer "#places/<journal>" in the pipeline's log, in its note:
 *
 *   version u32, 0 u32, journal's log id 16, low u64, next u64, low_ns u64, stream u64, snap u64, end u64
 *
 * Frame of the decisions' log: stream u64, record; its meta says whose, by id: empty where there is only one.
 *
 * Stream: what one worker wrote to the decisions' log since it started; from frame snap (all that was remembered) to
 * frame end. Frames behind end were never committed.
 */
#ifndef GW_RUNTIME_KEEP_H
#define GW_RUNTIME_KEEP_H

#include "runtime/graph.h"

enum { GW_KEEP_NOTE_BYTES = 72, GW_KEEP_VERSION = 1, GW_KEEP_MAX = 8 /* in one pipeline that keep something */ };

struct gw_keep_note {
    uint8_t log_id[16];
    struct gw_keep_place place;
    uint64_t stream, snap_seq, end_seq;
};

/** A step that began, and has rows that are kept. */
struct gw_keep_mark {
    uint64_t now_ns, seq;
};

enum gw_keep_state { GW_KEEP_RESTS, GW_KEEP_RECORD, GW_KEEP_ROWS };

/** Of a pipeline on one worker; lives as long as the engine. */
struct keep {
    struct keep *next; /* of its worker */
    struct keeping *all;
    struct intake *in;
    struct node *nodes[GW_KEEP_MAX]; /* what keeps, of the graph that takes new work; in the order of the pipeline */
    unsigned n_nodes, at_node;       /* at_node: so many, from the last one on, are done with this barrier */
    bool rebuilds;                   /* rows come again */
    struct gw_wal_stage *stage;
    struct gw_metric *lag; /* of the second pass; NULL: rows come once */
    uint64_t passed_ns;    /* how far that is */
    bool is_open, is_told; /* told: that it cannot go on */
    struct gw_keep_note notes[GW_LOG_PARTITIONS];
    uint64_t partitions;
    uint64_t stream, snap_seq, end_seq;
    /* A later snap, which counts when nothing is kept that came before it. */
    bool has_next_snap, has_begun;
    uint64_t next_snap_seq, next_snap_ns, snap_bytes, since_bytes;
    struct gw_keep_mark *marks; /* in order */
    size_t n_marks, cap_marks;
    /* The commit under way. */
    _Atomic bool is_heard; /* false: the writer has it */
    enum gw_keep_state state;
    int rc;
    uint64_t retry_ns;
    bool whole;
    uint64_t low_seq, whole_ns;
    struct gw_buf record; /* all of them, one behind the other */
    struct gw_log_commit commit;
    struct gw_log_frame frames[GW_KEEP_MAX];
    size_t ends[GW_KEEP_MAX]; /* in record, of each node's */
    struct gw_log_position at[GW_LOG_PARTITIONS];
    uint8_t bytes[GW_LOG_PARTITIONS][GW_KEEP_NOTE_BYTES];
};

/** Of a pipeline behind a journal. */
struct keeping {
    struct door *door;
    struct gw_wal *wal;
    struct gw_log *decisions;
    uint32_t consumer;
    struct {
        const char *id, *pipeline; /* pipeline NULL: the connector in which the door's ends */
        const char *record;        /* what its frames are named by: one may stand in front of a connector and behind */
    } of[GW_KEEP_MAX];
    unsigned n_of;
    const char *names; /* "cumulative_to_delta, rollup" */
    const char *out;   /* id of the pipeline in whose log it is committed: its own, or the one behind the connector */
    char *settings;    /* of all of them */
    bool is_twice;     /* its rows come twice */
    struct gw_metric *records, *commits, *failed, *restored;
    _Atomic uint64_t *snaps; /* by worker: what it needs of the decisions' log; UINT64_MAX: it has not said */
    struct keep keeps[];     /* by worker */
};

/* keep_find.c */
struct gw_keep_found {
    const struct gw_service_component *keepers[GW_KEEP_MAX];
    const struct gw_service_pipeline *in[GW_KEEP_MAX]; /* NULL: it is the connector */
    unsigned n;
    size_t index, out;                      /* of its pipeline; of the one in whose log it is committed */
    const struct gw_service_component *who; /* of why */
    const char *why;                        /* it cannot survive; or NULL */
};
void gw_keep_find(const struct graph *g, const struct door *d, struct gw_keep_found *ret);
/** Its index in the graph, which has it. */
size_t gw_keep_pipeline(const struct graph *g, const char *id);

/* keep.c */
/** After the doors are made, before the shares. Errors: err; the configuration cannot be taken. */
int gw_keeps_build(struct graph *g, struct gw_err *err);
/** The workers have stopped: what is staged and not on its way to the log, which the journal has. */
void gw_keeps_forget(struct gw_engine *e);
/** The logs are closed. */
void gw_keeps_free(struct gw_engine *e);
/** Its rows go through another share from now on. */
void gw_keep_aim(struct intake *in);
/** What has come back. Each turn. */
void gw_keep_turn(struct worker *w);
/** Nothing of it is on its way to a log. */
bool gw_keep_is_idle(const struct intake *in);
/** It is idle, and nothing more comes: what was not committed comes again, and is forgotten here. */
void gw_keep_end(struct intake *in);
/** The same for all of a worker's. False: not all of them are idle. */
bool gw_keeps_end(struct worker *w);

/** Does the pipeline end in that connector, whose rows the journal has parted? */
bool gw_keep_is_connector(const struct graph *g, const struct gw_service_component *c);
/** What leaves the last of them while rows come again was committed: it goes nowhere. */
bool gw_keep_swallows(const struct node *n);

/* keep_commit.c */
extern const struct gw_intake_keep_ops gw_keep_ops_of_intake;
void gw_keep_put_note(const struct gw_keep_note *n, uint8_t ret[GW_KEEP_NOTE_BYTES]);
int gw_keep_advance(struct gw_intake *in, const struct gw_keep_barrier *b);
uint64_t gw_keep_due_ns(struct gw_intake *in);
bool gw_keep_twice(struct gw_intake *in);
uint64_t gw_keep_ready_ns(struct gw_intake *in);
void gw_keep_pass(struct gw_intake *in, uint64_t step_ns, bool again);

/* keep_restore.c */
void gw_keep_place(struct gw_intake *in, const uint8_t log_id[16], uint16_t partition, struct gw_keep_place *ret);
int gw_keep_begin(struct gw_intake *in, const uint8_t log_id[16], uint64_t partitions,
                  const struct gw_keep_owner *owner, struct gw_err *err);

#endif
