/* SPDX-License-Identifier: Apache-2.0 */
/* Of a lane whose pipeline keeps rows that survive: keep.c, and again.c where they are read twice. */
#ifndef GW_CONNECTORS_JOURNAL_KEEPER_H
#define GW_CONNECTORS_JOURNAL_KEEPER_H

#include "connectors/journal/journal.h"

struct keeper {
    uint64_t now_ns;   /* of the step that is consumed; 0: none yet */
    uint64_t taken_ns; /* of the last frame that was taken */
    uint64_t low_seq;
    bool rebuilds, is_between; /* between: the pipeline has not ended the step before */
    bool has_news;             /* rows were consumed in this step */
    uint64_t had_seq;          /* of this process: the last frame below it is done */
    uint64_t tick_ns;          /* the step of the last tick that was written */
    struct gw_keep_barrier barrier;
    uint64_t next_seq[JOURNAL_PARTITIONS], floor_seq[JOURNAL_PARTITIONS];
    /* Of a second pass. */
    uint64_t looked_seq; /* frames below were there when it was found that there are no more */
    bool is_busy;        /* the first pass waits for it */
    uint32_t n_steps;    /* since the first pass began its step */
};

/* What is taken and not sent: the first frame of all, and whether some of this step comes again, or does not. */
struct waiting {
    const struct taken *first;
    bool now, again;
};
struct waiting gw_journal_keep_look(const struct lane *n, uint64_t step_ns);
/** Nothing of it is under way. */
bool gw_journal_keep_is_done(const struct lane *n);

/* again.c */
/** Rows are read twice: the lane that does it, where this one is. Errors: -ENOMEM. */
int gw_journal_again_open(struct lane *n);
/** Between two steps of the first pass. True: it is not done yet, and the first pass waits. */
bool gw_journal_again_run(struct lane *n);
/** Nothing of it is under way. */
bool gw_journal_again_is_idle(const struct lane *n);
/** When it wants to be run, monotonic, while the first pass waits; 0: when something happens. */
uint64_t gw_journal_again_due(const struct lane *n);

#endif
