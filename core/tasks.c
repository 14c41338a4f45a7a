/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tasks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct gw_tasks {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something was put, or has ended, or the thread shall leave */
    struct gw_task *first, **last;
    struct gw_task *running;
    pthread_t thread;
    char name[16];
    bool by_hand, has_thread, leaving;
};

struct gw_tasks *gw_tasks_new(const char *name, bool by_hand)
{
    struct gw_tasks *ts = calloc(1, sizeof(*ts));

    if (!ts)
        return NULL;
    (void)pthread_mutex_init(&ts->lock, NULL);
    (void)pthread_cond_init(&ts->changed, NULL);
    ts->last = &ts->first;
    ts->by_hand = by_hand;
    (void)snprintf(ts->name, sizeof(ts->name), "%.15s", name);
    return ts;
}

/* Under lock, which is let go while it runs. `running` is a name by then: the task may be gone, or put again. */
static void run_first(struct gw_tasks *ts)
{
    struct gw_task *t = ts->first;

    ts->first = t->next;
    if (!ts->first)
        ts->last = &ts->first;
    t->waiting = false;
    ts->running = t;
    (void)pthread_mutex_unlock(&ts->lock);
    t->run(t);
    (void)pthread_mutex_lock(&ts->lock);
    ts->running = NULL;
    (void)pthread_cond_broadcast(&ts->changed);
}

static void *main_of(void *arg)
{
    struct gw_tasks *ts = arg;

    (void)pthread_mutex_lock(&ts->lock);
    while (!ts->leaving) {
        if (ts->first)
            run_first(ts);
        else
            (void)pthread_cond_wait(&ts->changed, &ts->lock);
    }
    (void)pthread_mutex_unlock(&ts->lock);
    return NULL;
}

void gw_tasks_free(struct gw_tasks *ts)
{
    if (!ts)
        return;
    (void)pthread_mutex_lock(&ts->lock);
    ts->leaving = true;
    (void)pthread_cond_broadcast(&ts->changed);
    (void)pthread_mutex_unlock(&ts->lock);
    if (ts->has_thread)
        (void)pthread_join(ts->thread, NULL);
    (void)pthread_cond_destroy(&ts->changed);
    (void)pthread_mutex_destroy(&ts->lock);
    free(ts);
}

static bool has_thread(struct gw_tasks *ts)
{
    if (ts->by_hand || ts->has_thread)
        return true;
    ts->has_thread = pthread_create(&ts->thread, NULL, main_of, ts) == 0;
    if (ts->has_thread)
        (void)pthread_setname_np(ts->thread, ts->name);
    return ts->has_thread;
}

void gw_tasks_put(struct gw_tasks *ts, struct gw_task *t)
{
    bool here;

    (void)pthread_mutex_lock(&ts->lock);
    here = !has_thread(ts);
    if (!here) {
        t->next = NULL;
        t->waiting = true;
        *ts->last = t;
        ts->last = &t->next;
        (void)pthread_cond_broadcast(&ts->changed);
    }
    (void)pthread_mutex_unlock(&ts->lock);
    if (here)
        t->run(t);
}

static void take_out(struct gw_tasks *ts, struct gw_task *t)
{
    struct gw_task **p = &ts->first;

    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    if (!*p)
        ts->last = p;
    t->waiting = false;
}

bool gw_tasks_cancel(struct gw_tasks *ts, struct gw_task *t)
{
    bool was_waiting;

    (void)pthread_mutex_lock(&ts->lock);
    was_waiting = t->waiting;
    if (was_waiting)
        take_out(ts, t);
    while (ts->running == t)
        (void)pthread_cond_wait(&ts->changed, &ts->lock);
    (void)pthread_mutex_unlock(&ts->lock);
    return was_waiting;
}

bool gw_tasks_has(struct gw_tasks *ts)
{
    bool has;

    (void)pthread_mutex_lock(&ts->lock);
    has = ts->first != NULL;
    (void)pthread_mutex_unlock(&ts->lock);
    return has;
}

void gw_tasks_turn(struct gw_tasks *ts)
{
    (void)pthread_mutex_lock(&ts->lock);
    while (ts->first)
        run_first(ts);
    (void)pthread_mutex_unlock(&ts->lock);
}
