/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/crash.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/flight.h"

enum { N_SIGNALS = 5, STACK_BYTES = 16 << 10 };

static const int signals[N_SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static struct sigaction before[N_SIGNALS];
static atomic_bool crashed;

static void restore(int sig)
{
    for (unsigned i = 0; i < N_SIGNALS; i++)
        if (signals[i] == sig)
            (void)sigaction(sig, &before[i], NULL);
}

/* A fault happens again behind it, and then does what it did before; what was raised is raised again. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    bool is_fault = info->si_code > 0;
    int saved = errno;

    (void)context;
    while (atomic_exchange(&crashed, true))
        (void)pause(); /* another thread is at it, and will end the process */
    if (is_fault || info->si_pid == getpid())
        gw_flight_crashed(sig);
    restore(sig);
    if (!is_fault)
        (void)raise(sig); /* comes when this returns */
    errno = saved;
}

void gw_crash_catch(void)
{
    struct sigaction a = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    (void)sigemptyset(&a.sa_mask);
    atomic_store(&crashed, false);
    for (unsigned i = 0; i < N_SIGNALS; i++)
        (void)sigaction(signals[i], &a, &before[i]);
}

void gw_crash_release(void)
{
    for (unsigned i = 0; i < N_SIGNALS; i++)
        restore(signals[i]);
}

void gw_crash_stack_enter(struct gw_crash_stack *s)
{
    long least = sysconf(_SC_MINSIGSTKSZ);
    stack_t ours = {.ss_size = STACK_BYTES + (size_t)(least > 0 ? least : MINSIGSTKSZ)};

    s->room = ours.ss_sp = malloc(ours.ss_size);
    if (s->room && sigaltstack(&ours, &s->before) < 0) {
        free(s->room);
        s->room = NULL;
    }
}

void gw_crash_stack_leave(struct gw_crash_stack *s)
{
    if (!s->room)
        return;
    (void)sigaltstack(&s->before, NULL);
    free(s->room);
    s->room = NULL;
}
