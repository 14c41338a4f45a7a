/* SPDX-License-Identifier: Apache-2.0 */
#include "net/loop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <h2o/socket.h>

#include "net/wheel.h"

enum { MAX_EVENTS = 64 };
static const uint64_t LONGEST_WAIT_NS = 3600ull * 1000000000, LATE_NS = 20000000;

struct gw_loop {
    struct gw_env *env;
    h2o_evloop_t *h2o;
    h2o_socket_t *foreign_sock, *wake_sock;
    int foreign_fd; /* the nested epoll; owned by foreign_sock */
    int wake_fd;    /* owned by wake_sock */

    uint64_t now_ns;
    bool now_is_known; /* false from the start of the wait until somebody asks */
    bool foreign_is_ready;
    bool again; /* a hook has work that came after its call of this turn */
    _Atomic bool sleeping, woken, stop;

    struct gw_wheel wheel;
    struct gw_hook *hooks, **hooks_tail, *hook_next; /* hook_next: where the running round goes on */

    struct epoll_event events[MAX_EVENTS];
    int n_events, event_at; /* the round of foreign events that is being told */
};

/* The loop whose turn this thread is in. */
static _Thread_local const struct gw_loop *turning;

/* ---- foreign descriptors ---------------------------------------------------------------------------------- */

static uint32_t to_epoll(unsigned events)
{
    return ((events & GW_FD_READ) ? EPOLLIN : 0) | ((events & GW_FD_WRITE) ? EPOLLOUT : 0);
}

static unsigned from_epoll(uint32_t got, unsigned wanted)
{
    unsigned events = 0;

    if (got & EPOLLIN)
        events |= GW_FD_READ;
    if (got & EPOLLOUT)
        events |= GW_FD_WRITE;
    if (got & (EPOLLERR | EPOLLHUP)) /* whoever waits finds the reason by reading or writing */
        events |= GW_FD_ERROR | (wanted & (GW_FD_READ | GW_FD_WRITE));
    return events;
}

int gw_fd_add(struct gw_loop *l, struct gw_fd *f)
{
    if (f->events == 0)
        return 0;
    return epoll_ctl(l->foreign_fd, EPOLL_CTL_ADD, f->fd,
                     &(struct epoll_event){.events = to_epoll(f->events), .data.ptr = f}) < 0
               ? -errno
               : 0;
}

int gw_fd_change(struct gw_loop *l, struct gw_fd *f, unsigned events)
{
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = f};
    unsigned before = f->events;

    if (events == before)
        return 0;
    f->events = events;
    if (events == 0) /* out of the set: an error on a descriptor that nobody wants would be told for ever */
        return epoll_ctl(l->foreign_fd, EPOLL_CTL_DEL, f->fd, NULL) < 0 ? -errno : 0;
    return epoll_ctl(l->foreign_fd, before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, f->fd, &ev) < 0 ? -errno : 0;
}

void gw_fd_remove(struct gw_loop *l, struct gw_fd *f)
{
    if (f->events) /* fails harmlessly when the owner closed the descriptor first */
        (void)epoll_ctl(l->foreign_fd, EPOLL_CTL_DEL, f->fd, NULL);
    f->events = 0;
    for (int i = l->event_at; i < l->n_events; i++)
        if (l->events[i].data.ptr == f)
            l->events[i].data.ptr = NULL;
}

static void on_foreign(h2o_socket_t *sock, const char *err)
{
    struct gw_loop *l = sock->data;

    (void)err;
    l->foreign_is_ready = true; /* told after the sockets: see the turn */
}

static void tell_foreign(struct gw_loop *l)
{
    if (!l->foreign_is_ready)
        return;
    l->foreign_is_ready = false;
    l->n_events = epoll_wait(l->foreign_fd, l->events, MAX_EVENTS, 0);
    for (l->event_at = 0; l->event_at < l->n_events;) {
        struct epoll_event *ev = &l->events[l->event_at++];
        struct gw_fd *f = ev->data.ptr;

        if (f) {
            unsigned events = from_epoll(ev->events, f->events) & (f->events | GW_FD_ERROR);

            if (events)
                f->ready(f, events);
        }
    }
    l->n_events = 0;
}

/* ---- wakes ------------------------------------------------------------------------------------------------ */

static void on_wake(h2o_socket_t *sock, const char *err)
{
    struct gw_loop *l = sock->data;
    uint64_t n;

    (void)err;
    while (read(l->wake_fd, &n, sizeof n) > 0)
        ;
}

/*
 * The loop says "sleeping", then looks at `woken`; a waker sets `woken`, then looks at "sleeping". Both in one total
 * order, so at least one of them sees the other. Who wakes its own loop, from a call-back of the turn, is not asleep,
 * whatever the loop said before it looked for events: the turn's hooks come still, or the next turn does not wait.
 */
void gw_loop_wake(struct gw_loop *l)
{
    uint64_t one = 1;

    if (atomic_exchange(&l->woken, true))
        return;
    if (turning != l && atomic_load(&l->sleeping))
        while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

void gw_loop_stop(struct gw_loop *l)
{
    atomic_store(&l->stop, true);
    gw_loop_wake(l);
}

/* ---- timers ----------------------------------------------------------------------------------------------- */

uint64_t gw_loop_now_ns(struct gw_loop *l)
{
    if (!l->now_is_known) {
        l->now_ns = gw_mono_ns(l->env);
        l->now_is_known = true;
    }
    return l->now_ns;
}

void gw_timer_arm(struct gw_loop *l, struct gw_timer *t, uint64_t due_ns)
{
    gw_timer_disarm(t);
    t->due_ns = due_ns;
    gw_wheel_insert(&l->wheel, t);
}

void gw_timer_disarm(struct gw_timer *t)
{
    gw_wheel_remove(t);
}

/* ---- hooks ------------------------------------------------------------------------------------------------ */

void gw_loop_add_hook(struct gw_loop *l, struct gw_hook *h)
{
    h->next = NULL;
    *l->hooks_tail = h;
    l->hooks_tail = &h->next;
}

void gw_loop_remove_hook(struct gw_loop *l, struct gw_hook *h)
{
    for (struct gw_hook **p = &l->hooks; *p; p = &(*p)->next)
        if (*p == h) {
            *p = h->next;
            if (l->hooks_tail == &h->next)
                l->hooks_tail = p;
            if (l->hook_next == h)
                l->hook_next = h->next;
            return;
        }
}

void gw_loop_again(struct gw_loop *l)
{
    l->again = true;
}

static void run_hooks(struct gw_loop *l)
{
    l->again = false; /* what was said before is answered now */
    for (struct gw_hook *h = l->hooks; h; h = l->hook_next) {
        l->hook_next = h->next;
        h->run(h);
    }
}

/* ---- the turn --------------------------------------------------------------------------------------------- */

/**
 * Milliseconds to wait, rounded up: a timer is never early and a turn never spins.
 *
 * A write or a notification that was started outside h2o's own call-backs (from a timer, a hook) is finished by a
 * call-back that h2o has only queued; waiting would leave it there until something else happens.
 */
static int32_t wait_ms(struct gw_loop *l, uint64_t max_wait_ns)
{
    uint64_t now, due;

    if (l->again || l->h2o->_pending_as_client || l->h2o->_pending_as_server ||
        atomic_load_explicit(&l->stop, memory_order_relaxed))
        return 0;
    if (max_wait_ns > LONGEST_WAIT_NS)
        max_wait_ns = LONGEST_WAIT_NS;
    due = gw_wheel_next_ns(&l->wheel);
    if (due != UINT64_MAX) {
        now = gw_mono_ns(l->env);
        if (due <= now)
            return 0;
        if (due - now < max_wait_ns)
            max_wait_ns = due - now;
    }
    return (int32_t)((max_wait_ns + 999999) / 1000000);
}

/*
 * The process stood still (SIGSTOP, which also ends a wait without its events; a machine that is moved), or had no
 * processor: what came meanwhile is heard before timers say that nothing did.
 */
static void catch_up(struct gw_loop *l, uint64_t before_ns)
{
    uint64_t now = gw_loop_now_ns(l), due;

    if (now - before_ns < LATE_NS)
        return;
    due = gw_wheel_next_ns(&l->wheel);
    if (due == UINT64_MAX || now < due || now - due < LATE_NS)
        return;
    h2o_evloop_run(l->h2o, 0);
    tell_foreign(l);
}

void gw_loop_turn(struct gw_loop *l, uint64_t max_wait_ns)
{
    const struct gw_loop *outer = turning;
    uint64_t before_ns = l->now_ns;
    int32_t ms = wait_ms(l, max_wait_ns);

    turning = l;
    if (ms > 0) {
        atomic_store(&l->sleeping, true);
        if (atomic_load(&l->woken))
            ms = 0;
    }
    l->now_is_known = false;
    h2o_evloop_run(l->h2o, ms);
    atomic_store_explicit(&l->sleeping, false, memory_order_relaxed);
    atomic_exchange(&l->woken, false); /* before the hooks look into their inboxes */

    tell_foreign(l);
    catch_up(l, before_ns);
    gw_wheel_advance(&l->wheel, gw_loop_now_ns(l));
    run_hooks(l);
    turning = outer;
}

void gw_loop_run(struct gw_loop *l)
{
    while (!atomic_load(&l->stop))
        gw_loop_turn(l, UINT64_MAX);
}

struct gw_env *gw_loop_env(struct gw_loop *l)
{
    return l->env;
}

struct st_h2o_evloop_t *gw_loop_h2o(struct gw_loop *l)
{
    return l->h2o;
}

static h2o_socket_t *watch(struct gw_loop *l, int fd, h2o_socket_cb cb)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(l->h2o, fd, H2O_SOCKET_FLAG_DONT_READ);

    sock->data = l;
    h2o_socket_read_start(sock, cb);
    return sock;
}

int gw_loop_new(struct gw_env *env, struct gw_loop **ret, struct gw_err *err)
{
    struct gw_loop *l = calloc(1, sizeof *l);

    if (!l)
        return gw_fail(err, -ENOMEM, "event loop: out of memory");
    l->env = env;
    l->hooks_tail = &l->hooks;
    l->foreign_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->foreign_fd < 0 || l->wake_fd < 0) {
        int code = -errno;

        if (l->foreign_fd >= 0)
            close(l->foreign_fd);
        free(l);
        return gw_fail(err, code, "event loop: %s", strerror(-code));
    }
    signal(SIGPIPE, SIG_IGN); /* h2o writes with writev(2): a peer that left would end the process */
    l->h2o = h2o_evloop_create();
    l->foreign_sock = watch(l, l->foreign_fd, on_foreign);
    l->wake_sock = watch(l, l->wake_fd, on_wake);
    gw_wheel_init(&l->wheel, gw_loop_now_ns(l));
    *ret = l;
    return 0;
}

/**
 * h2o 2.2.5 frees the loop but leaves its epoll open. The descriptor stands behind the public part of the structure;
 * it is closed only when the kernel says that it is an epoll.
 */
static int epoll_of(const h2o_evloop_t *h)
{
    int fd = *(const int *)(h + 1);
    char path[32], what[32];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, what, sizeof what - 1);
    if (n <= 0)
        return -1;
    what[n] = 0;
    return strcmp(what, "anon_inode:[eventpoll]") == 0 ? fd : -1;
}

/**
 * A socket's empty input buffer lies in thread-local memory of the thread that made it, which may be gone with its
 * stack by now: it gets one of this thread. Ours never read, so nothing is lost.
 */
static void unwatch(h2o_socket_t *sock)
{
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    h2o_socket_close(sock);
}

void gw_loop_free(struct gw_loop *l)
{
    int fd;

    if (!l)
        return;
    unwatch(l->foreign_sock);
    unwatch(l->wake_sock);
    h2o_evloop_run(l->h2o, 0); /* h2o frees a closed socket in the next turn */
    fd = epoll_of(l->h2o);
    h2o_evloop_destroy(l->h2o);
    if (fd >= 0)
        close(fd);
    free(l);
}
