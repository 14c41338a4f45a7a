/* SPDX-License-Identifier: Apache-2.0 */
/* What waits in a log for whom, and letting go of it: for `staunch queue`, with a gateway and without one. */
#ifndef GW_RUNTIME_QUEUES_H
#define GW_RUNTIME_QUEUES_H

#include "core/buf.h"
#include "log/log.h"

enum {
    GW_QUEUES_MAX_CONSUMERS = 256, /* that are looked at, of one log */
    GW_QUEUES_NAME_BYTES = 256,    /* of a log */
};

/** The kinds of logs that wait for somebody, as their folders are called; ended by NULL. */
extern const char *const gw_queues_kinds[];

/** A log by the name that an operator gives it. */
struct gw_queue_name {
    const char *kind; /* NULL: any */
    const char *name;
};

/** "logs/eu", or with its kind before it: "journal/orders". */
struct gw_queue_name gw_queue_name_of(const char *text);

/** What waits for one consumer. */
struct gw_queue_wait {
    struct gw_log_consumer consumer;
    uint64_t rows, frames, bytes; /* frames: 0 for a queue, whose frames may be done in part */
    uint64_t oldest_ns;           /* wall clock; 0: nothing waits */
    bool is_more;                 /* than was counted */
};

/**
 * Each consumer of a log, in order of making; notes (their names begin with '#') are none.
 *
 * Cost      of a journal, whose consumers have positions: reads the frames from the oldest position on
 * Errors    negative errno of reading, -E2BIG more consumers than GW_QUEUES_MAX_CONSUMERS: what was found was told
 */
int gw_queue_waits(struct gw_log *log, const char *kind, void (*each)(void *arg, const struct gw_queue_wait *w),
                   void *arg);

/** How to let go of a consumer. */
struct gw_queue_release {
    const char *kind, *consumer;
    bool dry_run;       /* only look */
    uint64_t max_bytes; /* read so much to count what waits, no more; 0 = no limit */
};

/**
 * Forget a consumer that nobody is any more. *ret: what waited for it.
 *
 * Errors    -ENOENT no such consumer; -EBUSY somebody has it open; of the disk
 */
int gw_queue_release(struct gw_log *log, const struct gw_queue_release *what, struct gw_queue_wait *ret);

/** "7 rows in 2 frames, 812 bytes"; behind "more than" when not all was counted. */
void gw_queue_put_wait(struct gw_buf *out, const struct gw_queue_wait *w);

#endif
