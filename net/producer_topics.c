/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics, and how many partitions they have. librdkafka has only a blocking call for that, so one thread waits for it;
 * names and counts cross by inboxes.
 */
#include "core/hash.h"
#include "net/producer_impl.h"

#include <stdlib.h>
#include <unistd.h>

enum { LOOK_UP_MS = 1000 };                                /* one blocking metadata call */
static const uint64_t COUNT_HOLDS_NS = 60ull * 1000000000; /* a partition count is asked for again after it */

/** A question to the look-up thread; goes back as the answer. */
struct look_up {
    struct gw_inbox_item item;
    struct gw_rk_topic *topic;
    int count;
};

struct gw_rk_topic *gw_rk_topic_get(struct gw_rk_producer *p, struct gw_slice name)
{
    struct gw_rk_topic **at = &p->topics[gw_hash_table(name) % GW_RK_TOPIC_BUCKETS], *t;

    for (t = *at; t; t = t->next)
        if (gw_slice_is(name, t->name))
            break;
    if (!t) {
        if (p->n_topics >= GW_RK_MAX_TOPICS || !name.n || memchr(name.p, '\0', name.n))
            return NULL;
        t = calloc(1, sizeof(*t) + name.n + 1);
        if (!t)
            return NULL;
        memcpy(t->name, name.p, name.n);
        t->count = -EAGAIN;
        t->next = *at;
        *at = t;
        p->n_topics++;
    }
    if (!t->rkt && p->rk)
        t->rkt = rd_kafka_topic_new(p->rk, t->name, NULL);
    return t;
}

void gw_rk_topics_forget_handles(struct gw_rk_producer *p)
{
    for (unsigned i = 0; i < GW_RK_TOPIC_BUCKETS; i++)
        for (struct gw_rk_topic *t = p->topics[i]; t; t = t->next) {
            if (t->rkt)
                rd_kafka_topic_destroy(t->rkt);
            t->rkt = NULL;
        }
}

void gw_rk_topics_free(struct gw_rk_producer *p)
{
    for (unsigned i = 0; i < GW_RK_TOPIC_BUCKETS; i++)
        while (p->topics[i]) {
            struct gw_rk_topic *t = p->topics[i];

            p->topics[i] = t->next;
            free(t);
        }
}

/* ---- partition counts --------------------------------------------------------------------------------------- */

/** The thread: ask librdkafka, which waits for a broker. */
static void answer_look_up(struct gw_rk_producer *p, struct look_up *l)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 0, l->topic->rkt, &md, LOOK_UP_MS);

    l->count = -EAGAIN;
    if (err)
        return;
    if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR && md->topics[0].partition_cnt > 0)
        l->count = md->topics[0].partition_cnt;
    else if (md->topic_cnt == 1 && gw_rk_code(md->topics[0].err) == GW_PRODUCE_PERMANENT)
        l->count = -EACCES;
    rd_kafka_metadata_destroy(md);
}

static void *look_up_main(void *arg)
{
    struct gw_rk_producer *p = arg;
    uint64_t n;

    while (!atomic_load(&p->thread_stop)) {
        struct gw_inbox_item *i;

        if (read(p->ask_fd, &n, sizeof(n)) < 0 && errno != EINTR)
            break;
        for (i = gw_inbox_take(&p->asks); i;) {
            struct look_up *l = (struct look_up *)i;

            i = i->next;
            if (atomic_load(&p->thread_stop))
                l->count = -EAGAIN;
            else
                answer_look_up(p, l);
            if (gw_inbox_push(&p->answers, &l->item))
                gw_loop_wake(p->loop);
        }
    }
    return NULL;
}

static void take_answers(struct gw_rk_producer *p)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&p->answers), *next; i; i = next) {
        struct look_up *l = (struct look_up *)i;
        struct gw_rk_topic *t = l->topic;

        next = i->next;
        t->asked = false;
        if (l->count != -EAGAIN || t->count <= 0) /* an old count is better than none */
            t->count = l->count;
        if (l->count != -EAGAIN)
            t->known_ns = gw_mono_ns(p->env);
        free(l);
    }
}

void gw_rk_on_hook(struct gw_hook *h)
{
    take_answers((struct gw_rk_producer *)((char *)h - offsetof(struct gw_rk_producer, hook)));
}

void gw_rk_look_ups_end(struct gw_rk_producer *p)
{
    uint64_t one = 1;

    if (!p->thread_runs)
        return;
    atomic_store(&p->thread_stop, true);
    while (write(p->ask_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    pthread_join(p->thread, NULL);
    p->thread_runs = false;
    atomic_store(&p->thread_stop, false);
    take_answers(p);
    /* What came in behind the thread's back: answered as unknown. */
    for (struct gw_inbox_item *i = gw_inbox_take(&p->asks), *next; i; i = next) {
        next = i->next;
        ((struct look_up *)i)->topic->asked = false;
        free(i);
    }
}

static void ask(struct gw_rk_producer *p, struct gw_rk_topic *t)
{
    struct look_up *l;
    uint64_t one = 1;

    if (t->asked || !t->rkt)
        return;
    if (!p->thread_runs) {
        if (pthread_create(&p->thread, NULL, look_up_main, p) != 0)
            return;
        p->thread_runs = true;
    }
    l = calloc(1, sizeof(*l));
    if (!l)
        return;
    l->topic = t;
    t->asked = true;
    gw_inbox_push(&p->asks, &l->item);
    while (write(p->ask_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

int gw_rk_partitions(struct gw_producer *base, const char *topic)
{
    struct gw_rk_producer *p = (struct gw_rk_producer *)base;
    struct gw_rk_topic *t = gw_rk_topic_get(p, gw_slice_cstr(topic));

    if (!t)
        return p->n_topics >= GW_RK_MAX_TOPICS ? -E2BIG : -EINVAL;
    if (t->count <= 0 || gw_mono_ns(p->env) - t->known_ns >= COUNT_HOLDS_NS)
        ask(p, t);
    return t->count;
}
