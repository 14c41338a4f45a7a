/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for what would block somebody who must not: reading a log whose pages the disk still has. Tasks run one
 * after the other, in order; how one tells that it is done is its own business (an inbox).
 *
 *   any thread   put ─► waiting ─► running      cancel: taken out before it runs, or waited for
 */
#ifndef GW_CORE_TASKS_H
#define GW_CORE_TASKS_H

#include <stdbool.h>

struct gw_tasks;

/** Embedded in what it works on; the owner's until put, and again from the moment that run() is entered. */
struct gw_task {
    struct gw_task *next;
    void (*run)(struct gw_task *t);
    bool waiting; /* ours */
};

/** Its thread starts with the first task. by_hand: there is none, and gw_tasks_turn runs them. NULL: out of memory. */
struct gw_tasks *gw_tasks_new(const char *name, bool by_hand);
/** No task may be waiting. Accepts NULL. */
void gw_tasks_free(struct gw_tasks *ts);
/** Threads: any. Without a thread to be had it runs at once. */
void gw_tasks_put(struct gw_tasks *ts, struct gw_task *t);
/** It is not waiting and not running any more when this returns. True: it was taken out, and will not run. */
bool gw_tasks_cancel(struct gw_tasks *ts, struct gw_task *t);
/** by_hand: something waits. */
bool gw_tasks_has(struct gw_tasks *ts);
/** by_hand: what waits is run. */
void gw_tasks_turn(struct gw_tasks *ts);

#endif
