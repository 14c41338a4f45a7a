/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <h2o/socket.h>

#include "net/loop.h"
#include "tests/net/fake_env.h"

#define MS 1000000ull

static struct fake_env fake;
static struct gw_loop *loop;

static int set_up(void **state)
{
    (void)state;
    fake_env_init(&fake);
    return gw_loop_new(&fake.env, &loop, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    gw_loop_free(loop);
    return 0;
}

static uint64_t real_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct shot {
    struct gw_timer t;
    unsigned n, order;
    uint64_t at_ns, again_ns;
    struct shot *kills;
};
static unsigned next_order;

static void fire(struct gw_timer *t)
{
    struct shot *s = (struct shot *)t;

    s->n++;
    s->order = ++next_order;
    s->at_ns = fake.mono_ns;
    if (s->again_ns)
        gw_timer_arm(loop, t, s->again_ns);
    if (s->kills)
        gw_timer_disarm(&s->kills->t);
}

/* Scenario: timers from 1 ns to 10 years ahead, and the clock moves by a random amount 20,000 times.
 * Guarantees: each fires once, never before it is due, and at most two ticks after the first turn that could have seen
 * it. */
static void timers_are_never_early_and_never_lost(void **state)
{
    enum { N = 500 };
    static struct shot s[N];
    uint64_t rnd = 7, latest = 0;
    unsigned n_fired = 0;

    (void)state;
    memset(s, 0, sizeof s);
    for (unsigned i = 0; i < N; i++) {
        s[i].t.fire = fire;
        rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
        gw_timer_arm(loop, &s[i].t, fake.mono_ns + 1 + (rnd >> 8) % (1ull << (i % 59)));
        if (s[i].t.due_ns > latest)
            latest = s[i].t.due_ns;
        assert_true(gw_timer_is_armed(&s[i].t));
    }
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t before = fake.mono_ns;

        rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
        fake.mono_ns += (rnd >> 8) % (1ull << (step % 55));
        gw_loop_turn(loop, 0);
        for (unsigned i = 0; i < N; i++) {
            if (s[i].n == 0 && s[i].t.due_ns + 2 * (1 << 20) <= fake.mono_ns)
                fail_msg("timer %u is late", i);
            if (s[i].n && s[i].at_ns > before)
                assert_true(s[i].t.due_ns <= s[i].at_ns);
            assert_true(s[i].n <= 1);
        }
    }
    fake.mono_ns = latest + 2 * MS + 1;
    gw_loop_turn(loop, 0);
    for (unsigned i = 0; i < N; i++)
        n_fired += s[i].n;
    assert_int_equal(n_fired, N);
}

/* Scenario: three timers, the clock jumps over all of them in one turn.
 * Guarantees: they fire in the order in which they were due, and one that the first disarms does not fire. */
static void timers_fire_in_order_and_can_be_disarmed_by_another(void **state)
{
    struct shot a = {.t.fire = fire}, b = {.t.fire = fire}, c = {.t.fire = fire}, d = {.t.fire = fire};
    uint64_t t0 = fake.mono_ns;

    (void)state;
    next_order = 0;
    gw_timer_arm(loop, &c.t, t0 + 3000 * MS);
    gw_timer_arm(loop, &a.t, t0 + 10 * MS);
    gw_timer_arm(loop, &b.t, t0 + 200 * MS);
    gw_timer_arm(loop, &d.t, t0 + 200 * MS);
    a.kills = &d;
    fake.mono_ns += 5000 * MS;
    gw_loop_turn(loop, 0);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 2);
    assert_int_equal(c.order, 3);
    assert_int_equal(d.n, 0);
    assert_false(gw_timer_is_armed(&d.t));
}

/* Scenario: a timer arms itself for the past whenever it fires.
 * Guarantees: a turn fires it once and ends. */
static void a_timer_that_arms_itself_for_the_past_fires_once_a_turn(void **state)
{
    struct shot a = {.t.fire = fire, .again_ns = 1};

    (void)state;
    gw_timer_arm(loop, &a.t, 1);
    for (unsigned i = 1; i <= 3; i++) {
        gw_loop_turn(loop, 1000 * MS);
        assert_int_equal(a.n, i);
    }
    gw_timer_disarm(&a.t);
    gw_timer_disarm(&a.t);
    gw_loop_turn(loop, 0);
    assert_int_equal(a.n, 3);
}

/* Scenario: a timer is due in 30 ms and the turn may wait a minute; the clock itself stands still.
 * Guarantees: the turn waits no longer than the timer asks for. */
static void a_turn_waits_no_longer_than_the_next_timer(void **state)
{
    struct shot a = {.t.fire = fire};
    uint64_t t0 = real_ns();

    (void)state;
    gw_timer_arm(loop, &a.t, fake.mono_ns + 30 * MS);
    gw_loop_turn(loop, 60000 * MS);
    assert_true(real_ns() - t0 >= 29 * MS);
    assert_true(real_ns() - t0 < 10000 * MS);
    gw_timer_disarm(&a.t);
}

static void *wake_thread(void *arg)
{
    struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};

    (void)arg;
    nanosleep(&nap, NULL);
    gw_loop_wake(loop);
    return NULL;
}

/* Scenario: another thread wakes a loop that sleeps; then a loop is woken before it goes to sleep.
 * Guarantees: neither sleeps out its minute, and a wake is used up by one turn. */
static void a_wake_ends_a_sleep_and_is_not_lost_before_it(void **state)
{
    pthread_t t;
    uint64_t t0 = real_ns();

    (void)state;
    pthread_create(&t, NULL, wake_thread, NULL);
    gw_loop_turn(loop, 60000 * MS);
    pthread_join(t, NULL);
    gw_loop_wake(loop);
    gw_loop_wake(loop);
    gw_loop_turn(loop, 60000 * MS);
    assert_true(real_ns() - t0 < 20000 * MS);
    gw_loop_turn(loop, 0);
    t0 = real_ns();
    gw_loop_turn(loop, 20 * MS); /* the wake is gone: this one sleeps */
    assert_true(real_ns() - t0 >= 15 * MS);
}

static void wake_own(h2o_socket_t *sock, const char *err)
{
    (void)err;
    h2o_socket_read_stop(sock);
    gw_loop_wake(loop);
}

struct counted {
    struct gw_hook h;
    unsigned n;
};
static void count_hook(struct gw_hook *h)
{
    ((struct counted *)h)->n++;
}

/* Scenario: what a socket brings wakes the loop that reads it.
 * Guarantees: the hooks of that turn come, and the next turn sleeps: nothing was written for it, nothing is read. */
static void a_loop_that_wakes_itself_needs_no_turn_for_it(void **state)
{
    struct counted c = {.h.run = count_hook};
    h2o_socket_t *sock;
    uint64_t t0;
    int p[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p), 0);
    sock = h2o_evloop_socket_create(gw_loop_h2o(loop), p[0], H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(sock, wake_own);
    gw_loop_add_hook(loop, &c.h);
    assert_int_equal(write(p[1], "x", 1), 1);
    gw_loop_turn(loop, 60000 * MS);
    assert_int_equal(c.n, 1);
    t0 = real_ns();
    gw_loop_turn(loop, 20 * MS);
    assert_true(real_ns() - t0 >= 15 * MS);
    gw_loop_remove_hook(loop, &c.h);
    h2o_socket_close(sock);
    gw_loop_turn(loop, 0);
    close(p[1]);
}

enum { ROUNDS = 20000 };
static _Atomic unsigned posted, seen;

static void *post_thread(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&posted, 1);
        gw_loop_wake(loop);
        while (atomic_load(&seen) != i + 1)
            ;
    }
    return NULL;
}

static void look(struct gw_hook *h)
{
    (void)h;
    atomic_store(&seen, atomic_load(&posted));
}

/* Scenario: a thread posts and wakes, and posts again only when the loop has seen it, 20,000 times.
 * Guarantees: no wake is lost in the race between "going to sleep" and "waking". */
static void no_wake_is_lost_in_the_race_with_falling_asleep(void **state)
{
    struct gw_hook h = {.run = look};
    pthread_t t;

    (void)state;
    gw_loop_add_hook(loop, &h);
    pthread_create(&t, NULL, post_thread, NULL);
    while (atomic_load(&seen) < ROUNDS) {
        uint64_t t0 = real_ns();

        gw_loop_turn(loop, 20000 * MS);
        assert_true(real_ns() - t0 < 15000 * MS);
    }
    pthread_join(t, NULL);
    gw_loop_remove_hook(loop, &h);
}

struct watched {
    struct gw_fd f;
    unsigned n, events;
    struct watched *removes;
};

static void ready(struct gw_fd *f, unsigned events)
{
    struct watched *w = (struct watched *)f;

    w->n++;
    w->events = events;
    if (w->removes)
        gw_fd_remove(loop, &w->removes->f);
}

/* Scenario: both ends of two pairs are readable in one turn; the first call-back removes the other three.
 * Guarantees: only one call-back comes, and none for the removed ones. */
static void a_foreign_descriptor_can_be_removed_by_another_in_the_same_turn(void **state)
{
    int p[2];
    struct watched a = {.f.ready = ready, .f.events = GW_FD_READ}, b = a;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    a.f.fd = p[0];
    b.f.fd = p[1];
    a.removes = &b;
    b.removes = &a;
    assert_int_equal(gw_fd_add(loop, &a.f), 0);
    assert_int_equal(gw_fd_add(loop, &b.f), 0);
    assert_int_equal(write(p[0], "x", 1), 1);
    assert_int_equal(write(p[1], "x", 1), 1);
    gw_loop_turn(loop, 1000 * MS);
    assert_int_equal(a.n + b.n, 1);
    gw_fd_remove(loop, &a.f);
    gw_fd_remove(loop, &b.f);
    close(p[0]);
    close(p[1]);
}

/* Scenario: interest in a descriptor goes read, nothing, write; then the peer closes.
 * Guarantees: only what is wanted is told, level-triggered; a hang-up with no interest does not spin. */
static void interest_in_a_foreign_descriptor_can_change(void **state)
{
    int p[2];
    struct watched a = {.f.ready = ready, .f.events = GW_FD_READ};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    a.f.fd = p[0];
    assert_int_equal(gw_fd_add(loop, &a.f), 0);
    assert_int_equal(write(p[1], "x", 1), 1);
    gw_loop_turn(loop, 1000 * MS);
    gw_loop_turn(loop, 1000 * MS);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.events, GW_FD_READ);
    assert_int_equal(gw_fd_change(loop, &a.f, 0), 0);
    close(p[1]);
    gw_loop_turn(loop, 0);
    assert_int_equal(a.n, 2);
    assert_int_equal(gw_fd_change(loop, &a.f, GW_FD_WRITE), 0);
    gw_loop_turn(loop, 1000 * MS);
    assert_int_equal(a.n, 3);
    assert_true(a.events & GW_FD_WRITE);
    assert_true(a.events & GW_FD_ERROR);
    gw_fd_remove(loop, &a.f);
    close(p[0]);
}

struct marked {
    struct gw_hook h;
    unsigned n;
    struct marked *removes;
};

static void mark(struct gw_hook *h)
{
    struct marked *m = (struct marked *)h;

    m->n++;
    if (m->removes)
        gw_loop_remove_hook(loop, &m->removes->h);
}

/* Scenario: the first of three hooks removes the second, the third removes itself, a fourth is added.
 * Guarantees: nothing removed runs, everything else runs once a turn. */
static void hooks_can_remove_each_other_and_themselves(void **state)
{
    struct marked a = {.h.run = mark}, b = a, c = a, d = a;

    (void)state;
    a.removes = &b;
    c.removes = &c;
    gw_loop_add_hook(loop, &a.h);
    gw_loop_add_hook(loop, &b.h);
    gw_loop_add_hook(loop, &c.h);
    gw_loop_turn(loop, 0);
    gw_loop_add_hook(loop, &d.h);
    gw_loop_turn(loop, 0);
    assert_int_equal(a.n, 2);
    assert_int_equal(b.n, 0);
    assert_int_equal(c.n, 1);
    assert_int_equal(d.n, 1);
}

static bool written;
static h2o_socket_t *sock;

static void on_written(h2o_socket_t *s, const char *err)
{
    (void)s;
    assert_null(err);
    written = true;
}

static void write_from_timer(struct gw_timer *t)
{
    h2o_iovec_t v = {.base = (char *)"hello", .len = 5};

    (void)t;
    h2o_socket_write(sock, &v, 1, on_written);
}

/* Scenario: a write on an h2o socket is started by a timer, outside of h2o's call-backs; nothing else happens.
 * Guarantees: its completion is told at once in the next turn, however long that may wait. */
static void a_write_started_by_a_timer_completes_without_a_wait(void **state)
{
    int p[2];
    struct gw_timer t = {.fire = write_from_timer};
    uint64_t t0 = real_ns();

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    sock = h2o_evloop_socket_create(gw_loop_h2o(loop), p[0], 0);
    gw_timer_arm(loop, &t, 1);
    gw_loop_turn(loop, 60000 * MS);
    gw_loop_turn(loop, 60000 * MS);
    assert_true(written);
    assert_true(real_ns() - t0 < 20000 * MS);
    h2o_socket_close(sock);
    close(p[1]);
}

static unsigned n_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Scenario: a hundred loops are made and freed.
 * Guarantees: no descriptor stays behind. */
static void a_freed_loop_gives_its_descriptors_back(void **state)
{
    unsigned before = n_fds();

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct gw_loop *l;

        assert_int_equal(gw_loop_new(&fake.env, &l, NULL), 0);
        gw_loop_turn(l, 0);
        gw_loop_free(l);
    }
    assert_int_equal(n_fds(), before);
}

struct lone_loop {
    struct gw_env *env;
    struct gw_loop *loop;
};

static void *make_loop(void *arg)
{
    struct lone_loop *x = arg;

    assert_int_equal(gw_loop_new(x->env, &x->loop, NULL), 0);
    gw_loop_turn(x->loop, 0);
    return NULL;
}

/* Scenario: a thread makes a loop and ends; its stack, thread-local memory included, is unmapped; another frees the
 * loop. Guarantees: nothing of the loop lies in that memory. */
static void a_loop_may_outlive_the_thread_that_made_it(void **state)
{
    struct lone_loop x = {.env = gw_env_real_new()};
    pthread_attr_t attr;
    pthread_t t;

    (void)state;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 20); /* over what the C library keeps for the next thread */
    assert_int_equal(pthread_create(&t, &attr, make_loop, &x), 0);
    pthread_join(t, NULL);
    pthread_attr_destroy(&attr);
    gw_loop_free(x.loop);
    gw_env_real_free(x.env);
}

/* ---- standing still ----------------------------------------------------------------------------------------- */

static struct {
    struct gw_fd fd;
    struct shot *waits; /* for what comes */
    unsigned n_asked, n_ready;
    int in;
} stop;

static void on_answer(struct gw_fd *f, unsigned events)
{
    char c;

    (void)events;
    assert_int_equal(read(f->fd, &c, 1), 1);
    stop.n_ready++;
    gw_timer_disarm(&stop.waits->t);
}

/* The first look at the clock is before the wait; between that and the second one everything stands still, and an
 * answer comes. */
static uint64_t stopped_ns(struct gw_env *env)
{
    (void)env;
    if (++stop.n_asked == 2) {
        fake.mono_ns += 5000 * MS;
        assert_int_equal(write(stop.in, "x", 1), 1);
    }
    return fake.mono_ns;
}

/* Scenario: a turn that finds nothing; then the process stands still, an answer comes, and two timers are long due.
 * Guarantees: the answer is heard before the timers, also when it came between the look at the sockets and the one at
 * the clock: the timer that waits for it does not fire, the other one does. */
static void what_came_while_we_stood_still_is_heard_first(void **state)
{
    struct shot waits = {.t.fire = fire}, other = {.t.fire = fire};
    struct gw_env_ops ops = *fake.env.ops;
    const struct gw_env_ops *before = fake.env.ops;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    memset(&stop, 0, sizeof(stop));
    stop.fd = (struct gw_fd){.fd = fds[0], .events = GW_FD_READ, .ready = on_answer};
    stop.waits = &waits;
    stop.in = fds[1];
    assert_int_equal(gw_fd_add(loop, &stop.fd), 0);
    gw_loop_turn(loop, 0);
    gw_timer_arm(loop, &waits.t, fake.mono_ns + 1000 * MS);
    gw_timer_arm(loop, &other.t, fake.mono_ns + 1000 * MS);
    ops.mono_ns = stopped_ns;
    fake.env.ops = &ops;
    gw_loop_turn(loop, 0);
    fake.env.ops = before;
    assert_int_equal(stop.n_ready, 1);
    assert_int_equal(waits.n, 0);
    assert_int_equal(other.n, 1);
    gw_fd_remove(loop, &stop.fd);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_may_outlive_the_thread_that_made_it),
        CASE(timers_are_never_early_and_never_lost),
        CASE(timers_fire_in_order_and_can_be_disarmed_by_another),
        CASE(a_timer_that_arms_itself_for_the_past_fires_once_a_turn),
        CASE(a_turn_waits_no_longer_than_the_next_timer),
        CASE(a_wake_ends_a_sleep_and_is_not_lost_before_it),
        CASE(a_loop_that_wakes_itself_needs_no_turn_for_it),
        CASE(no_wake_is_lost_in_the_race_with_falling_asleep),
        CASE(a_foreign_descriptor_can_be_removed_by_another_in_the_same_turn),
        CASE(interest_in_a_foreign_descriptor_can_change),
        CASE(hooks_can_remove_each_other_and_themselves),
        CASE(a_write_started_by_a_timer_completes_without_a_wait),
        CASE(what_came_while_we_stood_still_is_heard_first),
        CASE(a_freed_loop_gives_its_descriptors_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
