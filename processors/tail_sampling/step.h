/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tail_sampling behind a journal: kept.c writes and reads decisions, step.c makes them.
 *
 * What leaves must be a function of what the journal holds, so within a step nothing is decided that other traces or
 * the place where views begin could change: rows wait, or follow what was decided before the step; the rest is noted,
 * and looked at when the step has ended, by ids.
 */
#ifndef GW_TAIL_SAMPLING_STEP_H
#define GW_TAIL_SAMPLING_STEP_H

#include "processors/common/kept.h"
#include "processors/tail_sampling/sampler.h"

struct gw_tail_link {
    uint8_t from[16], to[16];
};

/** What one worker has written, while it is read: by source. */
struct gw_tail_source {
    struct gw_reason_numbers *numbers; /* or NULL */
    struct gw_buf limits;              /* what its limiters hold, the last that it said */
    unsigned n_parts;                  /* so many of our partitions were its */
};

struct gw_tail_log {
    struct gw_kept *kept;
    uint32_t n_told; /* reasons of the record, or of one before */
    /* Followed, or decided in the midst of this step: id to the value of the decision cache, with GW_TAIL_CACHED. What
     * comes of them in it follows. */
    struct gw_ids *now;
    uint32_t max_now;
    struct gw_ids *enough; /* of which enough has come in this step to decide them */
    uint32_t max_enough;
    uint8_t (*due)[16]; /* the same, in order, while they are decided */
    uint32_t n_due, at_due;
    struct gw_tail_link *links; /* of rows of this step */
    uint32_t n_links, cap_links;
    struct gw_buf linked_record; /* links since the last save: a whole record has them by itself */
    struct gw_ids *linked;       /* of those that come again: 1: a kept trace is linked to it */
    uint32_t max_linked;
    /* Until the first step. */
    struct gw_tail_source sources[GW_KEPT_SOURCES];
    const struct gw_keep_owner *owner; /* of the record that is read */
    unsigned n_parts, of_parts;        /* of all sources; that we have */
    bool has_limits;
    bool is_other_mode; /* of what is restored, rows have still to come again */
};

void gw_tail_log_put_link(struct gw_buf *out, const uint8_t from[16], const uint8_t to[16]);

/* step.c */
/** The next step has begun: what rows of the one before followed is remembered anew. */
void gw_tail_step_close(struct gw_tail *s);
/** The next trace of which enough has come, in order; NULL: none. */
const uint8_t *gw_tail_step_enough(struct gw_tail *s);
/** kept.c: a decision of mode two_pass; flags: enum gw_tail_noted. */
void gw_tail_log_note_passes(struct gw_tail *s, const uint8_t id[16], uint64_t value, uint64_t upto_ns, unsigned flags);
/** Is there something to be decided at the next barrier, whatever its time is? */
bool gw_tail_step_has_work(const struct gw_tail *s);

#endif
