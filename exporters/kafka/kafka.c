/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka: OTLP requests as messages of a Kafka topic.
 *
 *     exporters:
 *       kafka:
 *         brokers: [kafka-0:9092, kafka-1:9092]
 *         traces: { topic: otlp_spans }
 *         partition_traces_by_id: true
 *         producer: { compression: lz4 }
 *
 * A body becomes one message, or one per trace or resource when the key asks for it. Keys and partitions are those of
 * the Collector, so that both may write to one topic. A message over max_message_bytes is cut in two until it fits; a
 * single row that does not fit becomes a dead letter, and the others are sent. Of a body only what failed is tried
 * again. Unlike the Collector's, messages wait for all in-sync replicas unless required_acks says otherwise.
 *
 * A broker whose own limit is lower refuses whole batches, and does not say which message was too long. So the producer
 * is made again with smaller batches until the message went alone: only then it is cut, or dead.
 *
 *   body ─► pieces (key, topic, bytes, rows) ─► messages ─┬─ delivered
 *                                                         ├─ failed for now ─► left: the queue sends it again
 *                                                         ├─ too large      ─► two halves, again
 *                                                         └─ for good       ─► dead letters
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/logger.h"
#include "exporters/kafka/jwt.h"
#include "exporters/kafka/pieces.h"
#include "net/loop.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum {
    MAX_LEFT_BYTES = 512 << 20,
    SMALL_BATCH_BYTES = 16 << 10, /* smaller ones cost more than they gain */
    OPAQUE_TOKEN_MS = 300000,     /* a token that does not say how long it is valid */
};
static const uint64_t TELL_NS = 100ull * 1000000;         /* a crash may send again what came in it */
static const uint64_t LOOK_AGAIN_NS = 20ull * 1000000;    /* while the number of partitions is unknown */
static const uint64_t READ_AGAIN_NS = 10ull * 1000000000; /* files and token, while the brokers do not let us in */

/* ---- jobs --------------------------------------------------------------------------------------------------- */

static void job_free(struct gw_kafka_job *j)
{
    while (j->chunks) {
        struct gw_kafka_chunk *c = j->chunks;

        j->chunks = c->next;
        gw_kafka_chunk_put(j->s, c);
    }
    gw_timer_disarm(&j->tell_timer);
    gw_rows_clear(&j->taken);
    gw_rows_clear(&j->left_set);
    gw_buf_clear(&j->left);
    free(j->headers);
    free(j);
}

/* A full producer wants less; the brokers' troubles are the library's to wait out, but what it gives up says they are.
 */
static enum gw_sign sign_of(const struct gw_kafka_job *j)
{
    return strcmp(j->reason, "queue_full") == 0      ? GW_SIGN_BUSY
           : strcmp(j->reason, "out_of_memory") == 0 ? GW_SIGN_NONE
                                                     : GW_SIGN_USUAL;
}

static void bury_refused(struct gw_kafka_job *j, const struct gw_kafka_message *m)
{
    struct gw_rows set = {0};

    if (j->on_disk)
        (void)gw_kafka_rows_add(&set, m); /* without memory a crash may send them once more */
    j->a->dead(j->a, &(struct gw_death){.class_ = "sink_rejected",
                                        .reason = m->reason,
                                        .message = j->message,
                                        .body = gw_kafka_piece(m),
                                        .rows = m->rows,
                                        .bits = set.bits});
    gw_rows_clear(&set);
}

/* Part of the body is to be sent again. Rows on disk stay in their order, so that each has its place. */
static void tell_left(struct gw_kafka_job *j, struct gw_sent_info *info)
{
    if (j->left.failed)
        return;
    if (j->on_disk && gw_rows_extract(j->a->signal, j->a->body, &j->left_set, &j->left) < 0)
        return;
    info->left = gw_buf_slice(&j->left);
    info->left_rows = j->left_rows;
    info->left_bits = j->left_set.bits;
}

static void finish(struct gw_kafka_job *j)
{
    struct gw_kafka *s = j->s;
    struct gw_attempt *a = j->a;
    struct gw_sent_info info = {.sent = GW_SENT_OK};

    if (j->refused_rows && j->refused_rows == j->n_rows) {
        info = (struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = j->reason, .message = j->message};
    } else {
        for (const struct gw_kafka_chunk *c = j->chunks; c; c = c->next)
            for (unsigned i = 0; i < c->n; i++)
                if (c->messages[i].refused)
                    bury_refused(j, &c->messages[i]);
        if (j->left_rows) {
            info = (struct gw_sent_info){
                .sent = GW_SENT_RETRY, .reason = j->reason, .message = j->message, .sign = sign_of(j)};
            if (j->left_rows < j->n_rows)
                tell_left(j, &info);
        }
    }
    a->impl = NULL;
    s->n_jobs--;
    a->done(a, &info);
    job_free(j);
}

/* ---- to the producer ---------------------------------------------------------------------------------------- */

static void on_done(struct gw_produce *p, const struct gw_produce_result *r);

static bool wants_partition(const struct gw_kafka *s)
{
    return s->conf->record_partitioner.has_round_robin || s->conf->record_partitioner.has_least_backup;
}

static int32_t least_backup(struct gw_kafka *s, int n)
{
    int best = (int)(s->robin++ % (unsigned)n); /* equals take turns */

    if (n > s->n_backup) {
        uint32_t *more = realloc(s->backup, (size_t)n * sizeof(*more));

        if (!more)
            return best;
        memset(more + s->n_backup, 0, (size_t)(n - s->n_backup) * sizeof(*more));
        s->backup = more;
        s->n_backup = n;
    }
    for (int i = 0; i < n; i++)
        if (s->backup[i] < s->backup[best])
            best = i;
    return best;
}

/** False while a number of partitions is unknown; then nothing is chosen. */
static bool choose_partitions(struct gw_kafka *s, struct gw_kafka_chunk *c)
{
    char topic[256];

    if (!wants_partition(s))
        return true;
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < c->n; i++) {
            struct gw_produce *m = &c->messages[i].m;
            int n;

            snprintf(topic, sizeof(topic), "%.*s", (int)m->topic.n, (const char *)m->topic.p);
            n = s->holds->p->ops->partitions(s->holds->p, topic);
            if (n == -EAGAIN)
                return false;
            if (n <= 0 || pass == 0) /* another error: the producer's own answer names it */
                continue;
            if (s->conf->record_partitioner.has_round_robin) {
                m->partition = (int32_t)(s->robin++ % (unsigned)n);
            } else {
                m->partition = least_backup(s, n);
                if (m->partition < s->n_backup)
                    s->backup[m->partition]++;
            }
        }
    return true;
}

static void hand_over(struct gw_kafka *s, struct gw_produce *const *list, unsigned n)
{
    struct gw_kafka_hold *h = s->holds;

    for (unsigned i = 0; i < n; i++)
        ((struct gw_kafka_message *)list[i]->arg)->hold = h;
    h->open += n;
    h->p->ops->produce(h->p, list, n);
}

static void produce(struct gw_kafka_chunk *c)
{
    struct gw_kafka *s = c->job->s;
    struct gw_produce *few[64], **list = few;
    unsigned n = c->n;

    if (n > 64)
        list = malloc(n * sizeof(*list));
    c->job->open += n;
    for (unsigned i = 0; i < n; i++) {
        struct gw_kafka_message *m = &c->messages[i];

        m->m.done = on_done;
        m->m.arg = m;
        if (list)
            list[i] = &m->m;
        else /* no memory for the list: one by one */
            hand_over(s, &(struct gw_produce *){&m->m}, 1);
    }
    if (list)
        hand_over(s, list, n);
    if (list != few)
        free(list);
}

static void wait_for_partitions(struct gw_kafka_job *j)
{
    struct gw_kafka *s = j->s;

    j->next = s->waiting;
    j->link = &s->waiting;
    if (j->next)
        j->next->link = &j->next;
    s->waiting = j;
    if (!gw_timer_is_armed(&s->timer))
        gw_timer_arm(s->loop, &s->timer, gw_mono_ns(s->ctx->env) + LOOK_AGAIN_NS);
}

static void stop_waiting(struct gw_kafka_job *j)
{
    if (!j->link)
        return;
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    j->link = NULL;
}

static void keep_left(struct gw_kafka_job *j, const struct gw_kafka_message *m, const char *reason, const char *error)
{
    if (!j->on_disk)
        gw_buf_put_slice(&j->left, gw_kafka_piece(m));
    else if (gw_kafka_rows_add(&j->left_set, m) < 0)
        j->left.failed = true;
    j->left_rows += m->rows;
    snprintf(j->reason, sizeof(j->reason), "%s", reason);
    snprintf(j->message, sizeof(j->message), "%s", error ? error : reason);
}

/** The broker found a message too long that we did not: two halves, with the same key. */
static void halve(struct gw_kafka_message *m)
{
    struct gw_kafka_job *j = m->chunk->job;
    struct gw_kafka_chunk *c = gw_kafka_chunk_new(j, gw_slice_of(NULL, 0));

    if (!c || gw_kafka_build_halves(c, m) < 0) {
        if (c)
            c->n = 0;
        keep_left(j, m, "out_of_memory", "out of memory");
        return;
    }
    for (unsigned i = 0; i < c->n; i++)
        c->messages[i].m.partition = m->m.partition;
    produce(c);
}

static int producer_make(struct gw_kafka *s, uint64_t timeout_ns, size_t batch_bytes, struct gw_err *err);

static size_t wire_bytes(const struct gw_kafka_message *m)
{
    return m->m.value.n + m->m.key.n;
}

/** True when the message may have had company in its batch: then it goes again, in smaller batches. */
static bool again_in_smaller_batch(struct gw_kafka *s, struct gw_kafka_message *m)
{
    size_t bytes = wire_bytes(m), limit = m->hold->batch_bytes;

    if (bytes >= limit)
        return false;
    /* Alone next time; small messages first get a batch that is still worth its name. */
    limit = bytes < SMALL_BATCH_BYTES && limit > SMALL_BATCH_BYTES ? SMALL_BATCH_BYTES : bytes;
    if (limit < s->holds->batch_bytes) {
        gw_log(&s->ctx->logger, GW_LOG_WARN,
               "the broker refuses batches of %zu bytes: they are now at most %zu; max_message_bytes is over its limit",
               s->holds->batch_bytes, limit);
        if (producer_make(s, s->holds->timeout_ns, limit, NULL) < 0) {
            keep_left(m->chunk->job, m, "out_of_memory", "no producer with smaller batches");
            return true;
        }
    }
    m->chunk->job->open++;
    hand_over(s, &(struct gw_produce *){&m->m}, 1);
    return true;
}

static void refuse(struct gw_kafka_message *m, const char *reason, const char *error)
{
    struct gw_kafka_job *j = m->chunk->job;

    m->refused = true;
    snprintf(m->reason, sizeof(m->reason), "%s", reason);
    j->refused_rows += m->rows;
    snprintf(j->reason, sizeof(j->reason), "%s", reason);
    snprintf(j->message, sizeof(j->message), "%s", error ? error : reason);
}

static void on_tell_timer(struct gw_timer *t)
{
    struct gw_kafka_job *j = (struct gw_kafka_job *)((char *)t - offsetof(struct gw_kafka_job, tell_timer));

    j->a->taken(j->a, j->taken.bits);
}

/* While others are open; the last one ends the attempt, which tells all. */
static void delivered(struct gw_kafka_job *j, const struct gw_kafka_message *m)
{
    if (!j->on_disk || j->open < 2 || gw_kafka_rows_add(&j->taken, m) < 0)
        return;
    if (!gw_timer_is_armed(&j->tell_timer))
        gw_timer_arm(j->s->loop, &j->tell_timer, gw_mono_ns(j->s->ctx->env) + TELL_NS);
}

static void on_done(struct gw_produce *p, const struct gw_produce_result *r)
{
    struct gw_kafka_message *m = p->arg;
    struct gw_kafka_job *j = m->chunk->job;
    struct gw_kafka *s = j->s;

    if (--m->hold->open == 0 && m->hold != s->holds) /* not from inside its own call-back */
        gw_timer_arm(s->loop, &s->reap_timer, 0);
    if (s->conf->record_partitioner.has_least_backup && p->partition >= 0 && p->partition < s->n_backup &&
        s->backup[p->partition])
        s->backup[p->partition]--;
    switch (r->code) {
    case GW_PRODUCED:
        delivered(j, m);
        break;
    case GW_PRODUCE_RETRY:
        keep_left(j, m, "kafka", r->error);
        break;
    case GW_PRODUCE_QUEUE_FULL:
        keep_left(j, m, "queue_full", r->error);
        break;
    case GW_PRODUCE_TOO_LARGE:
        if (again_in_smaller_batch(s, m))
            break;
        if (m->rows > 1)
            halve(m);
        else
            refuse(m, "message_too_large", r->error);
        break;
    case GW_PRODUCE_PERMANENT:
        refuse(m, "kafka_refused", r->error);
        break;
    }
    if (--j->open == 0)
        finish(j);
}

static void go_on(struct gw_kafka_job *j)
{
    struct gw_kafka_chunk *c = j->chunks;

    if (!choose_partitions(j->s, c)) {
        wait_for_partitions(j);
        return;
    }
    j->open++; /* so that an answer from inside does not end the job under us */
    produce(c);
    if (--j->open == 0)
        finish(j);
}

static void on_timer(struct gw_timer *t)
{
    struct gw_kafka *s = (struct gw_kafka *)((char *)t - offsetof(struct gw_kafka, timer));
    struct gw_kafka_job *list = s->waiting;

    s->waiting = NULL;
    while (list) {
        struct gw_kafka_job *j = list;

        list = j->next;
        if (list)
            list->link = &list;
        j->link = NULL;
        j->next = NULL;
        go_on(j);
    }
}

/* ---- attempts ----------------------------------------------------------------------------------------------- */

/**
 * "Bearer <token>" of an authenticator as the token that librdkafka wants. It asks again when four fifths of a token's
 * time are over: of a JSON Web Token until its `exp`, of another one five minutes.
 */
static int oauth_token(void *arg, struct gw_buf *out, uint64_t *ret_expires_ms, struct gw_err *err)
{
    struct gw_kafka *s = arg;
    struct gw_buf value;
    const char *name;
    size_t skip = 0;
    int r;

    gw_buf_init(&value, 64 << 10);
    r = s->token.ops->header(s->token.self, &name, &value, err);
    if (r == 0) {
        if (value.n > 7 && strncasecmp((const char *)value.p, "Bearer ", 7) == 0)
            skip = 7;
        gw_buf_put(out, value.p + skip, value.n - skip);
        if (!gw_jwt_expires(gw_slice_of(value.p + skip, value.n - skip), ret_expires_ms))
            *ret_expires_ms = gw_wall_ns(s->ctx->env) / 1000000 + OPAQUE_TOKEN_MS;
    }
    gw_buf_clear(&value);
    return r;
}

static void on_trouble(void *arg, enum gw_trouble what)
{
    static const char *const kinds[GW_TROUBLES] = {"connection", "tls", "authentication", "other"};
    struct gw_kafka_hold *h = arg;
    const struct gw_ctx *ctx = h->s->ctx;
    const struct gw_label labels[] = {{"component", ctx->id}, {"kind", kinds[what]}};

    h->shut_out |= what == GW_TROUBLE_TLS || what == GW_TROUBLE_AUTHENTICATION;
    if (ctx->meter)
        gw_metric_add(gw_meter_get(ctx->meter, GW_COUNTER, "staunch_kafka_errors",
                                   "What went wrong between us and a broker, by kind; the log says more.", labels, 2),
                      1);
}

/** The producer in use is retired: it keeps what is open at it. */
static int producer_make(struct gw_kafka *s, uint64_t timeout_ns, size_t batch_bytes, struct gw_err *err)
{
    struct gw_env *env = s->ctx->env;
    struct gw_kafka_options options;
    struct gw_kafka_hold *h;
    int r;

    if (!env->ops->producer_new)
        return gw_fail(err, -ENOTSUP, "this program has no Kafka producer");
    h = calloc(1, sizeof(*h));
    if (!h)
        return gw_fail(err, -ENOMEM, "out of memory");
    h->s = s;
    gw_kafka_options_fill(&options, s->conf, timeout_ns, batch_bytes);
    r = env->ops->producer_new(env, s->loop,
                               &(struct gw_producer_conf){.options = options.list,
                                                          .n_options = options.n,
                                                          .logger = &s->ctx->logger,
                                                          .token = s->token.ops ? oauth_token : NULL,
                                                          .token_arg = s,
                                                          .trouble = on_trouble,
                                                          .trouble_arg = h},
                               &h->p, err);
    gw_kafka_options_clear(&options);
    if (r < 0) {
        free(h);
        return r;
    }
    h->timeout_ns = timeout_ns;
    h->batch_bytes = batch_bytes;
    h->made_ns = gw_mono_ns(env);
    h->next = s->holds;
    s->holds = h;
    if (h->next)
        gw_timer_arm(s->loop, &s->reap_timer, 0);
    return 0;
}

/** Retired producers at which nothing is open any more. */
static void on_reap_timer(struct gw_timer *t)
{
    struct gw_kafka *s = (struct gw_kafka *)((char *)t - offsetof(struct gw_kafka, reap_timer));
    struct gw_kafka_hold **at = s->holds ? &s->holds->next : NULL;

    while (at && *at) {
        struct gw_kafka_hold *h = *at;

        if (h->open) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        h->p->ops->free(h->p);
        free(h);
    }
}

static void purge_all(struct gw_kafka *s)
{
    for (struct gw_kafka_hold *h = s->holds; h; h = h->next)
        if (h->open)
            h->p->ops->purge(h->p);
}

/**
 * The time of an attempt is a property of the producer, and known only now. And while the brokers do not let us in, a
 * new producer reads certificates and token again: somebody may have put them right.
 */
static void producer_renew(struct gw_kafka *s, uint64_t timeout_ns)
{
    struct gw_kafka_hold *h = s->holds;
    uint64_t now = gw_mono_ns(s->ctx->env);
    struct gw_err err = {{0}};

    if (timeout_ns == h->timeout_ns && !(h->shut_out && now - h->made_ns >= READ_AGAIN_NS))
        return;
    if (producer_make(s, timeout_ns, h->batch_bytes, &err) < 0) {
        gw_log(&s->ctx->logger, GW_LOG_ERROR, "the producer stays as it is: %s", err.text);
        h->made_ns = now;
    }
}

static void fail_early(struct gw_attempt *a, int r)
{
    a->done(a, &(struct gw_sent_info){
                   .sent = r == -ENOMEM ? GW_SENT_RETRY : GW_SENT_PERMANENT,
                   .reason = r == -ENOMEM ? "out_of_memory" : "encode",
                   .message = r == -ENOMEM ? "out of memory" : "the body cannot be cut into messages",
               });
}

static bool is_on_disk(struct gw_attempt *a)
{
    uint64_t name[4];

    return a->row_name && a->row_name(a, 0, name);
}

static void kafka_send(void *self, struct gw_attempt *a)
{
    struct gw_kafka *s = self;
    struct gw_kafka_job *j;
    struct gw_kafka_chunk *c;
    int r;

    producer_renew(s, a->timeout_ns);
    j = calloc(1, sizeof(*j));
    if (!j) {
        fail_early(a, -ENOMEM);
        return;
    }
    j->s = s;
    j->a = a;
    j->n_rows = a->rows;
    j->on_disk = is_on_disk(a);
    j->tell_timer.fire = on_tell_timer;
    gw_buf_init(&j->left, MAX_LEFT_BYTES);
    c = gw_kafka_chunk_new(j, a->body);
    r = c ? gw_kafka_set_headers(j) : -ENOMEM;
    if (r == 0)
        r = gw_kafka_build(c);
    if (r < 0) {
        job_free(j);
        fail_early(a, r);
        return;
    }
    j->waits_until_ns = a->timeout_ns ? gw_mono_ns(s->ctx->env) + a->timeout_ns : UINT64_MAX;
    a->impl = j;
    s->n_jobs++;
    if (c->n == 0) /* every row was too long */
        finish(j);
    else
        go_on(j);
}

/**
 * An attempt that waits ends at once. Messages at the producer end by their own time-out, which is the attempt's; when
 * the attempt still had time, the house is closing, and everything open is given up.
 */
static void kafka_cancel(void *self, struct gw_attempt *a)
{
    struct gw_kafka *s = self;
    struct gw_kafka_job *j = a->impl;

    if (!j)
        return;
    if (j->link) {
        stop_waiting(j);
        j->left_rows = a->rows;
        snprintf(j->reason, sizeof(j->reason), "timeout");
        snprintf(j->message, sizeof(j->message), "no broker told the number of partitions in time");
        finish(j);
    } else if (gw_mono_ns(s->ctx->env) + 100000000 < j->waits_until_ns) {
        purge_all(s);
    } else if (!gw_timer_is_armed(&s->purge_timer)) {
        gw_timer_arm(s->loop, &s->purge_timer, gw_mono_ns(s->ctx->env) + 3000000000ull);
    }
}

/** The library looks at time-outs once a second; three seconds later it did not do its part. */
static void on_purge_timer(struct gw_timer *t)
{
    struct gw_kafka *s = (struct gw_kafka *)((char *)t - offsetof(struct gw_kafka, purge_timer));

    if (s->n_jobs)
        purge_all(s);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct gw_kafka *s = self;

    if (!s)
        return;
    gw_kafka_chunks_free(s);
    gw_buf_clear(&s->scratch);
    free(s->backup);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_kafka *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = ctx;
    s->timer.fire = on_timer;
    s->purge_timer.fire = on_purge_timer;
    s->reap_timer.fire = on_reap_timer;
    gw_buf_init(&s->scratch, 16 << 20);
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct gw_kafka *s = self;
    const struct gw_kafka_sasl *sasl = &s->conf->auth.sasl;
    struct gw_auth_settings a = {.authenticator = sasl->oauthbearer_token_source};

    if (!s->conf->has_auth || !s->conf->auth.has_sasl || strcmp(sasl->mechanism, "OAUTHBEARER") != 0)
        return 0;
    return gw_auth_find(s->ctx, &a, &s->token, err);
}

static const struct gw_exporter_ops ops;

static int kafka_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct gw_kafka *s = self;

    s->loop = loop;
    return producer_make(s, ops.default_timeout_ns, s->conf->producer.max_message_bytes, err);
}

static void kafka_close(void *self)
{
    struct gw_kafka *s = self;

    gw_timer_disarm(&s->timer);
    gw_timer_disarm(&s->purge_timer);
    gw_timer_disarm(&s->reap_timer);
    while (s->holds) {
        struct gw_kafka_hold *h = s->holds;

        s->holds = h->next;
        h->p->ops->free(h->p);
        free(h);
    }
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .default_timeout_ns = 5ull * 1000000000,
    .open = kafka_open,
    .send = kafka_send,
    .cancel = kafka_cancel,
    .close = kafka_close,
};

const struct gw_component gw_exporter_kafka = {
    .kind = GW_EXPORTER,
    .name = "kafka",
    .summary = "Write OTLP to Kafka topics.",
    .signals = GW_ALL_SIGNALS,
    .fields = gw_kafka_fields,
    .conf_size = sizeof(struct gw_kafka_conf),
    .check = gw_kafka_check,
    .create = create,
    .start = start,
    .destroy = destroy,
    .exporter = &ops,
};
