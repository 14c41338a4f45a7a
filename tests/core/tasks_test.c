/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/tasks.h"

struct one {
    struct gw_task task; /* first */
    _Atomic unsigned *order;
    unsigned number;                 /* when it ran, from 1 */
    _Atomic bool *begun, *may_go_on; /* or NULL */
    pthread_t thread;
};

static void run(struct gw_task *t)
{
    struct one *o = (struct one *)t;

    o->thread = pthread_self();
    if (o->begun)
        atomic_store(o->begun, true);
    while (o->may_go_on && !atomic_load(o->may_go_on))
        (void)sched_yield();
    o->number = ++*o->order;
}

/*
 * Scenario    three tasks by hand; the second is cancelled before the turn, then put again; one is cancelled that never
 *             was put
 * Guarantees  nothing runs before the turn; what is cancelled does not run, the others in order; put again it runs
 */
static void by_hand_they_run_in_order(void **state)
{
    struct gw_tasks *ts = gw_tasks_new("t", true);
    _Atomic unsigned order = 0;
    struct one a = {.task.run = run, .order = &order}, b = a, c = a, d = a;

    (void)state;
    assert_false(gw_tasks_has(ts));
    gw_tasks_put(ts, &a.task);
    gw_tasks_put(ts, &b.task);
    gw_tasks_put(ts, &c.task);
    assert_true(gw_tasks_has(ts));
    assert_true(gw_tasks_cancel(ts, &c.task)); /* the last: the next one goes behind b */
    gw_tasks_put(ts, &c.task);
    assert_true(gw_tasks_cancel(ts, &b.task));
    assert_false(gw_tasks_cancel(ts, &d.task));
    assert_int_equal(order, 0);
    gw_tasks_turn(ts);
    assert_int_equal(a.number, 1);
    assert_int_equal(b.number, 0);
    assert_int_equal(c.number, 2);
    gw_tasks_put(ts, &b.task);
    gw_tasks_turn(ts);
    assert_int_equal(b.number, 3);
    assert_false(gw_tasks_has(ts));
    gw_tasks_free(ts);
}

static void *let_go(void *may)
{
    (void)sched_yield();
    atomic_store((_Atomic bool *)may, true);
    return NULL;
}

/*
 * Scenario    a task runs and is held up; a second one waits; both are cancelled while another thread lets the first go
 * Guarantees  they run on a thread of their own; cancelling what runs returns when it has run, what waits never runs
 */
static void cancelling_waits_for_what_runs(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct gw_tasks *ts = gw_tasks_new("t", false);
        _Atomic bool begun = false, may = false;
        _Atomic unsigned order = 0;
        struct one a = {.task.run = run, .order = &order, .begun = &begun, .may_go_on = &may},
                   b = {.task.run = run, .order = &order};
        pthread_t helper;

        gw_tasks_put(ts, &a.task);
        while (!atomic_load(&begun))
            (void)sched_yield();
        gw_tasks_put(ts, &b.task);
        assert_int_equal(pthread_create(&helper, NULL, let_go, &may), 0);
        assert_true(gw_tasks_cancel(ts, &b.task) || b.number == 2);
        assert_false(gw_tasks_cancel(ts, &a.task));
        assert_int_equal(a.number, 1);
        assert_false(pthread_equal(a.thread, pthread_self()));
        assert_int_equal(pthread_join(helper, NULL), 0);
        gw_tasks_free(ts);
        assert_true(b.number == 0 || b.number == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand_they_run_in_order),
        cmocka_unit_test(cancelling_waits_for_what_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
