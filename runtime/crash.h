/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done when the process crashes: SIGSEGV, SIGBUS, SIGFPE, SIGILL of its own making, or abort(). The flight
 * record (log/flight.h) hears whose rows the thread was working on; then the signal does what it did before, a core
 * dump mostly. A signal that somebody sends (kill -ABRT, a watchdog) is nobody's doing here.
 */
#ifndef GW_RUNTIME_CRASH_H
#define GW_RUNTIME_CRASH_H

#include <signal.h>

/** From now on. Before any thread. */
void gw_crash_catch(void);
/** As it was. */
void gw_crash_release(void);

/** A thread's room for the handler, so that a stack that is used up can be told, too. */
struct gw_crash_stack {
    void *room; /* NULL: there was no memory for it */
    stack_t before;
};
/** At the begin of a thread and at its end. */
void gw_crash_stack_enter(struct gw_crash_stack *s);
void gw_crash_stack_leave(struct gw_crash_stack *s);

#endif
