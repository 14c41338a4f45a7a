/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept survives: a processor that keeps rows, in a pipeline that begins with a journal and ends in a log (the
 * queue on disk before its exporters). The journal's rows are its state; written down is only what was decided, and how
 * far it has come.
 *
 *   journal   … │ 41 42 43 │ 44 45 │ 46 …                 frames; a step is a tenth of a second of their time stamps
 *               ▲          ▲ barrier: all before it was consumed, nothing behind it
 *               low: before it is no row that is still kept
 *
 *   barrier   advance() to the step's time: what is due is decided and emitted
 *             save(): what was decided since the last save, for the decisions' log
 *             one commit: {rows emitted since the last one, low, barrier, end of the decisions}, all or nothing
 *   crash     restore() the decisions up to that end; rows of [low, barrier) come again with `rebuilds`, and whose
 *             decision is known are left out; behind the barrier it goes on as if nothing had been
 *
 * Time is that of the journal's frames, in steps; so the result is a function of what the journal holds: of the set of
 * rows of each step, and for each trace of their order. How they are put together into views, and how those of
 * different traces lie, must not matter: what depends on others than the trace itself is looked at in advance(), in an
 * order that ids and times give.
 *
 * A processor may keep nothing of a row, and have all rows come twice: the first time it learns, the second time it
 * lets go.
 *
 *   journal   … │ 17 18 │ 19 …            … │ 41 42 43 │ 44 …
 *               ▲       ▲ ready: the oldest step that has something undecided       ▲ barrier
 *               second pass, between two steps of the first one; low is where it stands
 *
 * Several in one pipeline, when all of them offer share(): then each save() has all that has changed, so that a state
 * is always that of the rows that were committed, and none has to be given rows again that another one would have to
 * make again. At a barrier the last one goes first, so that each knows what time it is when one before it emits
 * something; each has a record of its own.
 *
 * Threads   all of it on the instance's worker
 */
#ifndef GW_PIPELINE_KEEP_H
#define GW_PIPELINE_KEEP_H

#include "core/buf.h"

struct gw_ports;
struct gw_intake;
struct gw_err;
struct gw_parting;

#define GW_KEEP_STEP_NS 100000000ull

/** Whose trace is it, that of this worker's partitions? And of a record: who wrote it. */
struct gw_keep_owner {
    bool (*owns)(void *arg, const uint8_t trace_id[16]);
    void *arg;
    uint64_t stream;   /* one worker's, since its start: its records stand in order, between those of others */
    unsigned n_parts;  /* so many of this worker's partitions were that one's, */
    unsigned of_parts; /* of so many that it has */
    uint64_t low_ns;   /* no row of a step before it comes again */
};

/**
 * A component's, beside component.h's: of a processor of the pipeline, or of the connector that it ends in. A connector
 * makes another signal; what it makes is committed where the pipeline behind it ends.
 */
struct gw_keep_ops {
    /**
     * Why it cannot keep rows of that signal, parted like that among so many workers: a word. NULL: it can. No such
     * function: only when they are parted by trace id.
     */
    const char *(*unfit)(const void *conf, unsigned signal, const struct gw_parting *by, unsigned n_workers);
    /** The partitions whose rows come to it, a bit each, before begin(); `by` during the call. May be NULL. */
    int (*parted)(void *self, const struct gw_parting *by, uint64_t partitions);
    /** A reload must leave its settings as they are: what it has written down is of them. */
    bool is_fixed;
    /** Before begin(): there are others in its pipeline. NULL: it must be the only one. */
    void (*share)(void *self);
    /** Once, before anything else: time comes from advance() from now on, and nothing is decided by tick or drain. */
    int (*begin)(void *self);
    /** Records of save(), in order. Those of other owners are left out. Errors: -EBADMSG, -ENOMEM. */
    int (*restore)(void *self, struct gw_slice record, const struct gw_keep_owner *owner);
    /**
     * GW_MORE: again, soon. With `rebuilds` rows come that were consumed before: nothing is due, and what it lets pass
     * of them goes nowhere.
     */
    int (*advance)(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out);
    /**
     * What was decided since the last one, or with `whole` all that is remembered, never nothing: appended.
     * *ret_oldest_ns: the time at which the oldest row came that is kept, or is not in what was saved; UINT64_MAX: none
     * is. GW_MORE: not at this moment. Errors: -ENOMEM.
     */
    int (*save)(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns);
    /** When something is due; UINT64_MAX: nothing is. */
    uint64_t (*due_ns)(const void *self);
    /**
     * With such settings it keeps no rows: they are read twice. Then the oldest row that save() tells of is the oldest
     * that has not come again. NULL: never; and no pass then.
     */
    bool (*twice)(const void *conf);
    /** About so long it keeps rows, or has them come again after. */
    uint64_t (*lasts_ns)(const void *conf);
    /** Rows of steps before it may come again. */
    uint64_t (*ready_ns)(const void *self);
    /**
     * Between two steps: rows of the steps before this one have come again. again: now its own do; else rows go on
     * coming for the first time.
     */
    void (*pass)(void *self, uint64_t step_ns, bool again);
};

/** Where a partition is. All zeros: at its begin. */
struct gw_keep_place {
    uint64_t low_seq, next_seq;
    uint64_t low_ns; /* time of the step that begins with low_seq */
};

struct gw_keep_barrier {
    uint64_t now_ns;          /* time of the step that begins */
    uint64_t seq;             /* its first frame */
    const uint64_t *next_seq; /* by partition: what was consumed; at or behind seq */
    /* By partition: where it was when this process began. Rows before it came twice, and no place goes back there. */
    const uint64_t *floor_seq;
    bool rebuilds; /* rows before next_seq come again */
    bool is_first; /* of the step; else only `rebuilds` has changed */
};

/** The pipeline's side, for the journal (pipeline/intake.h). */
struct gw_intake_keep_ops {
    /** log_id: of the journal's log. Places in another log of that name are not known. */
    void (*place)(struct gw_intake *in, const uint8_t log_id[16], uint16_t partition, struct gw_keep_place *ret);
    /** Decisions, before the first row. Errors: of the log, -ENOMEM; err is a sentence. */
    int (*begin)(struct gw_intake *in, const uint8_t log_id[16], uint64_t partitions, const struct gw_keep_owner *owner,
                 struct gw_err *err);
    /** GW_MORE: nothing must be sent; again in the next turn. */
    int (*advance)(struct gw_intake *in, const struct gw_keep_barrier *b);
    uint64_t (*due_ns)(struct gw_intake *in);
    /** Rows are read twice: then, between two steps, those before ready_ns, a step at a time; 0: none now. */
    bool (*twice)(struct gw_intake *in);
    uint64_t (*ready_ns)(struct gw_intake *in);
    void (*pass)(struct gw_intake *in, uint64_t step_ns, bool again);
};

#endif
