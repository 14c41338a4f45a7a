/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's event loop: h2o's evloop for h2o sockets, one nested epoll for foreign descriptors (curl,
 * librdkafka, rings), an own timer wheel on gw_env's monotonic clock, an eventfd for wakes, and call-backs at the
 * end of every turn. Nothing of ours uses h2o's timeouts: h2o reads the wall clock.
 *
 *   turn:  wait (until the next timer) ─► sockets ─► foreign fds ─► timers ─► inbox call-backs ─► end-of-turn
 * call-backs
 *
 * Threads   everything here belongs to the loop's own thread, but for gw_loop_wake and gw_loop_stop
 */
#ifndef GW_NET_LOOP_H
#define GW_NET_LOOP_H

#include "core/env.h"

struct gw_loop;
struct st_h2o_evloop_t;

/** Embedded by its owner; zeroed before first use. Never moved while armed. */
struct gw_timer {
    struct gw_timer *next, **link; /* wheel list, NULL when not armed */
    uint64_t due_ns;
    void (*fire)(struct gw_timer *t);
};

/** Errors: -ENOMEM, -EMFILE and the like. */
int gw_loop_new(struct gw_env *env, struct gw_loop **ret, struct gw_err *err);
void gw_loop_free(struct gw_loop *l);
/** Turn until gw_loop_stop. */
void gw_loop_run(struct gw_loop *l);
/** One turn, waiting at most max_wait_ns. For tests, and for threads that have something else to do. */
void gw_loop_turn(struct gw_loop *l, uint64_t max_wait_ns);
/** Threads: any. */
void gw_loop_stop(struct gw_loop *l);

struct gw_env *gw_loop_env(struct gw_loop *l);
/** Monotonic now, read once a turn. */
uint64_t gw_loop_now_ns(struct gw_loop *l);
struct st_h2o_evloop_t *gw_loop_h2o(struct gw_loop *l);

void gw_timer_arm(struct gw_loop *l, struct gw_timer *t, uint64_t due_ns);
/** Accepts a timer that is not armed. */
void gw_timer_disarm(struct gw_timer *t);
static inline bool gw_timer_is_armed(const struct gw_timer *t)
{
    return t->link != NULL;
}

/** A foreign descriptor. Embedded by its owner; level-triggered. */
struct gw_fd {
    int fd;
    unsigned events; /* GW_FD_* that are wanted */
    void (*ready)(struct gw_fd *f, unsigned events);
};
enum { GW_FD_READ = 1, GW_FD_WRITE = 2, GW_FD_ERROR = 4 };
int gw_fd_add(struct gw_loop *l, struct gw_fd *f);
int gw_fd_change(struct gw_loop *l, struct gw_fd *f, unsigned events);
/** Safe inside a ready call-back, also for another descriptor of the same turn. */
void gw_fd_remove(struct gw_loop *l, struct gw_fd *f);

/** Called in every turn after sockets and timers, in order of adding: drain an inbox, flush a batch. */
struct gw_hook {
    struct gw_hook *next;
    void (*run)(struct gw_hook *h);
};
void gw_loop_add_hook(struct gw_loop *l, struct gw_hook *h);
void gw_loop_remove_hook(struct gw_loop *l, struct gw_hook *h);

/** For the loop's own call-backs that left work for a hook which may have run already: no wait before the next round.
 */
void gw_loop_again(struct gw_loop *l);

/** Make the loop turn soon. Threads: any. Cost: one write(2) when the loop sleeps, an atomic otherwise. */
void gw_loop_wake(struct gw_loop *l);

#endif
