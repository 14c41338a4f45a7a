/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gw_producer on librdkafka, from inside:
 *
 *   producer.c         messages: into librdkafka, waiting, answered; the handle and its renewal
 *   producer_said.c    what brokers and librdkafka say: errors, logs, certificates, tokens
 *   producer_topics.c  topics and how many partitions they have, asked for on a thread
 */
#ifndef GW_NET_PRODUCER_IMPL_H
#define GW_NET_PRODUCER_IMPL_H

#include "core/inbox.h"
#include "core/logger.h"
#include "net/clients.h"
#include "net/loop.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    GW_RK_TOPIC_BUCKETS = 256,
    GW_RK_MAX_TOPICS = 10000, /* names may come from attributes: a peer's doing */
};

struct gw_rk_topic {
    struct gw_rk_topic *next;
    rd_kafka_topic_t *rkt; /* of the current handle, or NULL */
    int count;             /* > 0, or a negative errno */
    uint64_t known_ns;
    bool asked;
    char name[];
};

/** A message that is not answered yet. */
struct gw_rk_open {
    struct gw_rk_open *next, **link;
    struct gw_produce *m;
    struct gw_rk_topic *topic;
    struct gw_produce_result result; /* of a late one */
};

struct gw_rk_list {
    struct gw_rk_open *head, **tail;
};

struct gw_rk_producer {
    struct gw_producer base;
    struct gw_env *env;
    struct gw_loop *loop;
    const struct gw_logger *logger;
    int (*token)(void *arg, struct gw_buf *out, uint64_t *ret_expires_ms, struct gw_err *err);
    void *token_arg;
    void (*trouble)(void *arg, enum gw_trouble what);
    void *trouble_arg;
    char last_error[400]; /* of a broker, since a message was delivered */
    struct gw_log_site errors;

    rd_kafka_conf_t *conf; /* of every handle to come */
    rd_kafka_t *rk;
    bool fatal, renewing;
    uint64_t renewed_ns;
    struct gw_fd fd;
    struct gw_timer timer;
    struct gw_rk_list open, waiting, late;
    struct gw_rk_open *free;
    unsigned n_free;

    struct gw_rk_topic *topics[GW_RK_TOPIC_BUCKETS];
    unsigned n_topics;

    pthread_t thread;
    bool thread_runs;
    _Atomic bool thread_stop;
    int ask_fd;
    struct gw_inbox asks, answers;
    struct gw_hook hook;
};

static inline void gw_rk_list_init(struct gw_rk_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static inline void gw_rk_list_put(struct gw_rk_list *l, struct gw_rk_open *o)
{
    o->next = NULL;
    o->link = l->tail;
    *l->tail = o;
    l->tail = &o->next;
}

static inline void gw_rk_list_take(struct gw_rk_list *l, struct gw_rk_open *o)
{
    *o->link = o->next;
    if (o->next)
        o->next->link = o->link;
    else
        l->tail = o->link;
}

/* producer_said.c */
enum gw_produce_code gw_rk_code(rd_kafka_resp_err_t err);
/** A message that ran out of time, or was given up then, says nothing of the cause; what a broker said does. */
const char *gw_rk_error(const struct gw_rk_producer *p, rd_kafka_resp_err_t err);
/** For librdkafka, whose opaque is the producer. on_log and on_certificate are called on its own threads. */
void gw_rk_on_error(rd_kafka_t *rk, int err, const char *reason, void *arg);
void gw_rk_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);
int gw_rk_on_certificate(rd_kafka_t *rk, const char *broker, int32_t broker_id, int *x509_error, int depth,
                         const char *der, size_t n_der, char *text, size_t n_text, void *arg);
void gw_rk_on_token(rd_kafka_t *rk, const char *config, void *arg);

/* producer_topics.c */
/** NULL: there are too many, no memory, or it is no name. */
struct gw_rk_topic *gw_rk_topic_get(struct gw_rk_producer *p, struct gw_slice name);
void gw_rk_topics_forget_handles(struct gw_rk_producer *p);
void gw_rk_topics_free(struct gw_rk_producer *p);
int gw_rk_partitions(struct gw_producer *base, const char *topic);
/** Answers of the thread are taken in once a turn of the loop. */
void gw_rk_on_hook(struct gw_hook *h);
/** The thread ends; what was asked stays unknown. */
void gw_rk_look_ups_end(struct gw_rk_producer *p);

#endif
