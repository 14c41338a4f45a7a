/* SPDX-License-Identifier: Apache-2.0 */
#include "extensions/common/watched.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };
static const uint64_t LOOK_EVERY_NS = 1000000000u;

static struct gw_watched *watched_of(struct gw_timer *t)
{
    return (struct gw_watched *)(void *)((char *)t - offsetof(struct gw_watched, timer));
}

void gw_watched_put(struct gw_watched_text *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    explicit_bzero(t->text, t->n);
    free(t);
}

struct gw_watched_text *gw_watched_get(struct gw_watched *w)
{
    struct gw_watched_text *t;

    pthread_mutex_lock(&w->lock);
    t = w->now;
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&w->lock);
    return t;
}

static void swap(struct gw_watched *w, struct gw_watched_text *t)
{
    struct gw_watched_text *old;

    pthread_mutex_lock(&w->lock);
    old = w->now;
    w->now = t;
    pthread_mutex_unlock(&w->lock);
    gw_watched_put(old);
}

int gw_watched_read(struct gw_watched *w, struct gw_err *err)
{
    struct gw_watched_text *t;
    char *p;
    size_t n;
    int rc;

    if (!*w->path)
        return 0;
    w->changed_ns = w->env->ops->file_changed_ns(w->env, w->path);
    rc = gw_env_read_file(w->env, w->path, MAX_BYTES, &p, &n, err);
    if (rc < 0)
        return rc;
    t = malloc(sizeof(*t) + n + 1);
    if (t) {
        atomic_init(&t->refs, 1);
        t->generation = ++w->generation;
        t->n = n;
        memcpy(t->text, p, n);
        t->text[n] = '\0';
        swap(w, t);
    }
    explicit_bzero(p, n);
    free(p);
    return t ? 0 : gw_fail(err, -ENOMEM, "%s: out of memory", w->path);
}

static void look(struct gw_timer *timer)
{
    struct gw_watched *w = watched_of(timer);
    uint64_t changed = w->env->ops->file_changed_ns(w->env, w->path);
    struct gw_err err = {""};

    if (changed != 0 && changed != w->changed_ns) {
        if (gw_watched_read(w, &err) < 0)
            gw_log(w->logger, GW_LOG_WARN, "keeping the credentials read before: %s", err.text);
        else
            gw_log(w->logger, GW_LOG_INFO, "credentials read again from %s", w->path);
    }
    gw_timer_arm(w->loop, &w->timer, gw_loop_now_ns(w->loop) + LOOK_EVERY_NS);
}

void gw_watched_init(struct gw_watched *w, struct gw_env *env, const struct gw_logger *logger, const char *path)
{
    *w = (struct gw_watched){.env = env, .logger = logger, .path = path};
    pthread_mutex_init(&w->lock, NULL);
}

void gw_watched_arm(struct gw_watched *w, struct gw_loop *loop)
{
    if (!*w->path)
        return;
    w->loop = loop;
    w->timer.fire = look;
    gw_timer_arm(loop, &w->timer, gw_loop_now_ns(loop) + LOOK_EVERY_NS);
}

void gw_watched_disarm(struct gw_watched *w)
{
    gw_timer_disarm(&w->timer);
}

void gw_watched_clear(struct gw_watched *w)
{
    gw_watched_put(w->now);
    w->now = NULL;
    pthread_mutex_destroy(&w->lock);
}
