/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gw_producer on librdkafka.
 *
 *   produce ─► open list, librdkafka's queue ─► broker threads ─► delivery reports ─► main queue ─► eventfd ─► loop ─►
 * done │ queue full, or the handle is being made again └─► waiting list: tried again after every round of reports
 *
 * Payloads are borrowed (flags 0): a message may not be answered before librdkafka has let go of it, so every answer
 * comes from a delivery report, or from a call that refused the message. A fatal error (idempotent producer) kills the
 * handle, not us: it is made anew and what is open is produced again, so a message may then arrive twice.
 *
 * Threads   everything is on the loop's thread but the partition look-ups: librdkafka has only a blocking call for
 *           them, so one thread waits for it; names and counts cross by inboxes.
 */
#include "core/buf.h"
#include "core/hash.h"
#include "core/inbox.h"
#include "core/logger.h"
#include "net/clients.h"
#include "net/loop.h"

#include <librdkafka/rdkafka.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

enum {
    BATCH = 256, /* messages of one produce_batch */
    TOPIC_BUCKETS = 256,
    MAX_TOPICS = 10000, /* names may come from attributes: a peer's doing */
    LOOK_UP_MS = 1000,  /* one blocking metadata call */
    MAX_KEPT = 4096,    /* open structs on the free list */
};
static const uint64_t COUNT_HOLDS_NS = 60ull * 1000000000; /* a partition count is asked for again after it */
static const uint64_t RENEW_EVERY_NS = 1ull * 1000000000;  /* between two new handles */
static const uint64_t TRY_AGAIN_NS = 100ull * 1000000;     /* with a full queue and no report */

struct topic {
    struct topic *next;
    rd_kafka_topic_t *rkt; /* of the current handle, or NULL */
    int count;             /* > 0, or a negative errno */
    uint64_t known_ns;
    bool asked;
    char name[];
};

/** A message that is not answered yet. */
struct open {
    struct open *next, **link;
    struct gw_produce *m;
    struct topic *topic;
    struct gw_produce_result result; /* of a late one */
};

struct list {
    struct open *head, **tail;
};

/** A question to the look-up thread; goes back as the answer. */
struct look_up {
    struct gw_inbox_item item;
    struct topic *topic;
    int count;
};

struct producer {
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
    struct list open, waiting, late;
    struct open *free;
    unsigned n_free;

    struct topic *topics[TOPIC_BUCKETS];
    unsigned n_topics;

    pthread_t thread;
    bool thread_runs;
    _Atomic bool thread_stop;
    int ask_fd;
    struct gw_inbox asks, answers;
    struct gw_hook hook;
};

/* ---- lists -------------------------------------------------------------------------------------------------- */

static void list_init(struct list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_put(struct list *l, struct open *o)
{
    o->next = NULL;
    o->link = l->tail;
    *l->tail = o;
    l->tail = &o->next;
}

static void list_take(struct list *l, struct open *o)
{
    *o->link = o->next;
    if (o->next)
        o->next->link = o->link;
    else
        l->tail = o->link;
}

static void open_free(struct producer *p, struct open *o)
{
    if (p->n_free >= MAX_KEPT) {
        free(o);
        return;
    }
    o->next = p->free;
    p->free = o;
    p->n_free++;
}

static struct open *open_get(struct producer *p)
{
    struct open *o = p->free;

    if (!o)
        return calloc(1, sizeof(*o));
    p->free = o->next;
    p->n_free--;
    return o;
}

static void answer(struct producer *p, struct open *o, const struct gw_produce_result *r)
{
    struct gw_produce *m = o->m;

    m->impl = NULL;
    open_free(p, o);
    m->done(m, r);
}

/* ---- what an error means ------------------------------------------------------------------------------------ */

static enum gw_produce_code code_of(rd_kafka_resp_err_t err)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return GW_PRODUCED;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return GW_PRODUCE_TOO_LARGE;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return GW_PRODUCE_QUEUE_FULL;
    /* Those that Kafka's protocol guide calls not retriable. */
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return GW_PRODUCE_PERMANENT;
    default:
        return GW_PRODUCE_RETRY;
    }
#pragma GCC diagnostic pop
}

/* ---- topics ------------------------------------------------------------------------------------------------- */

static struct topic *topic_get(struct producer *p, struct gw_slice name)
{
    struct topic **at = &p->topics[gw_hash_table(name) % TOPIC_BUCKETS], *t;

    for (t = *at; t; t = t->next)
        if (gw_slice_is(name, t->name))
            break;
    if (!t) {
        if (p->n_topics >= MAX_TOPICS || !name.n || memchr(name.p, '\0', name.n))
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

static void topics_forget_handles(struct producer *p)
{
    for (unsigned i = 0; i < TOPIC_BUCKETS; i++)
        for (struct topic *t = p->topics[i]; t; t = t->next) {
            if (t->rkt)
                rd_kafka_topic_destroy(t->rkt);
            t->rkt = NULL;
        }
}

/* ---- into librdkafka ---------------------------------------------------------------------------------------- */

static void refused(struct producer *p, struct open *o, rd_kafka_resp_err_t err)
{
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL || err == RD_KAFKA_RESP_ERR__FATAL) {
        p->fatal = p->fatal || err == RD_KAFKA_RESP_ERR__FATAL;
        list_put(&p->waiting, o);
    } else {
        o->result = (struct gw_produce_result){.code = code_of(err), .error = rd_kafka_err2str(err), .partition = -1};
        list_put(&p->late, o);
    }
}

/** One message, with headers when it has any. */
static void put_one(struct producer *p, struct open *o)
{
    const struct gw_produce *m = o->m;
    rd_kafka_headers_t *headers = m->n_headers ? rd_kafka_headers_new(m->n_headers) : NULL;
    rd_kafka_resp_err_t err;

    list_put(&p->open, o);
    for (unsigned i = 0; i < m->n_headers; i++)
        rd_kafka_header_add(headers, (const char *)m->headers[i].name.p, (ssize_t)m->headers[i].name.n,
                            m->headers[i].value.p, (ssize_t)m->headers[i].value.n);
    /* An empty key is a key: librdkafka tells it from none by the pointer. */
    err = rd_kafka_producev(
        p->rk, RD_KAFKA_V_RKT(o->topic->rkt), RD_KAFKA_V_PARTITION(m->partition), RD_KAFKA_V_MSGFLAGS(0),
        RD_KAFKA_V_VALUE((void *)m->value.p, m->value.n),
        RD_KAFKA_V_KEY(m->has_key ? (m->key.n ? (const void *)m->key.p : "") : NULL, m->has_key ? m->key.n : 0),
        RD_KAFKA_V_OPAQUE(o), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (err) {
        if (headers) /* taken only with success */
            rd_kafka_headers_destroy(headers);
        list_take(&p->open, o);
        refused(p, o, err);
    }
}

/** Messages of one topic without headers: 0.14 against 0.7 µs each. */
static void put_batch(struct producer *p, struct open **run, unsigned n)
{
    rd_kafka_message_t messages[BATCH];

    for (unsigned i = 0; i < n; i++) {
        const struct gw_produce *m = run[i]->m;

        list_put(&p->open, run[i]);
        messages[i] = (rd_kafka_message_t){
            .partition = m->partition,
            .payload = (void *)m->value.p,
            .len = m->value.n,
            .key = m->has_key ? (m->key.n ? (void *)m->key.p : (void *)"") : NULL,
            .key_len = m->has_key ? m->key.n : 0,
            ._private = run[i],
        };
    }
    if (rd_kafka_produce_batch(run[0]->topic->rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_PARTITION, messages, (int)n) ==
        (int)n)
        return;
    for (unsigned i = 0; i < n; i++)
        if (messages[i].err) {
            list_take(&p->open, run[i]);
            refused(p, run[i], messages[i].err);
        }
}

/** Hand over a list of messages that are in no list now. */
static void put_all(struct producer *p, struct open **o, unsigned n)
{
    for (unsigned i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && k - i < BATCH && o[k]->topic == o[i]->topic && !o[k]->m->n_headers; k++)
            ;
        if (o[i]->m->n_headers) {
            k = i + 1;
            put_one(p, o[i]);
        } else {
            put_batch(p, o + i, k - i);
        }
    }
}

/** Until the queue is full again: what is refused goes back to the tail. Order between messages is no promise. */
static void put_waiting(struct producer *p)
{
    struct list todo;
    struct open *o;

    if (!p->rk || p->fatal)
        return;
    list_init(&todo);
    while ((o = p->waiting.head)) {
        list_take(&p->waiting, o);
        list_put(&todo, o);
    }
    while (todo.head && !p->waiting.head) {
        struct open *run[BATCH];
        unsigned n = 0;

        for (; n < BATCH && (o = todo.head); n++) {
            list_take(&todo, o);
            if (!o->topic->rkt)
                o->topic->rkt = rd_kafka_topic_new(p->rk, o->topic->name, NULL);
            run[n] = o;
        }
        put_all(p, run, n);
    }
    while ((o = todo.head)) {
        list_take(&todo, o);
        list_put(&p->waiting, o);
    }
}

/* ---- a handle ----------------------------------------------------------------------------------------------- */

/** A message that ran out of time, or was given up then, says nothing of the cause; what a broker said does. */
static const char *error_of(const struct producer *p, rd_kafka_resp_err_t err)
{
    bool ours = err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;

    if (ours && *p->last_error)
        return p->last_error;
    return err ? rd_kafka_err2str(err) : NULL;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *rm, void *arg)
{
    struct producer *p = arg;
    struct open *o = rm->_private;
    enum gw_produce_code code = code_of(rm->err);

    list_take(&p->open, o);
    /* Failed because the handle died, not for its own sake: once more with the next one. */
    if (code == GW_PRODUCE_RETRY && (p->renewing || rd_kafka_fatal_error(rk, NULL, 0))) {
        p->fatal = true;
        list_put(&p->waiting, o);
        return;
    }
    if (code == GW_PRODUCED)
        p->last_error[0] = '\0';
    answer(p, o,
           &(struct gw_produce_result){
               .code = code == GW_PRODUCE_QUEUE_FULL ? GW_PRODUCE_RETRY : code,
               .error = error_of(p, rm->err),
               .partition = rm->partition,
               .offset = rm->offset,
           });
}

static enum gw_trouble trouble_of(rd_kafka_resp_err_t err, const char *reason)
{
    /* What a broker has against a certificate comes as a failure to read. */
    if (err == RD_KAFKA_RESP_ERR__TRANSPORT && (strstr(reason, "SSL_HANDSHAKE") || strstr(reason, "SSL routines")))
        return GW_TROUBLE_TLS;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (err) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return GW_TROUBLE_CONNECTION;
    case RD_KAFKA_RESP_ERR__SSL:
        return GW_TROUBLE_TLS;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        return GW_TROUBLE_AUTHENTICATION;
    default:
        return GW_TROUBLE_OTHER;
    }
#pragma GCC diagnostic pop
}

/** What librdkafka's own words leave open. */
static const char *hint_of(enum gw_trouble what, const char *reason)
{
    if (what == GW_TROUBLE_TLS && strstr(reason, " alert ") && strstr(reason, "certificate"))
        return "; the broker does not accept our certificate";
    /* Its answer repeats a nonce, which brokers took until then: librdkafka#4895. */
    if (what == GW_TROUBLE_AUTHENTICATION && strstr(reason, "SCRAM-") && rd_kafka_version() < 0x020601ff)
        return "; or the broker is Kafka 4.0 or later, where only librdkafka 2.6.1 or later can log in with SCRAM";
    return "";
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *arg)
{
    enum gw_trouble what = trouble_of((rd_kafka_resp_err_t)err, reason);
    struct producer *p = arg;
    char text[256];

    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_fatal_error(rk, text, sizeof(text));
        gw_log(p->logger, GW_LOG_ERROR, "kafka producer is made again after a fatal error: %s", text);
        p->fatal = true;
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) /* follows from what was said of each */
        return;
    gw_log_at(p->logger, GW_LOG_WARN, &p->errors, "kafka: %s: %s%s", rd_kafka_err2str((rd_kafka_resp_err_t)err), reason,
              hint_of(what, reason));
    snprintf(p->last_error, sizeof(p->last_error), "%s%s", reason, hint_of(what, reason));
    if (p->trouble)
        p->trouble(p->trouble_arg, what);
}

/** From librdkafka's own threads. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct producer *p = rd_kafka_opaque(rk);

    if (strcmp(facility, "FAIL") == 0) /* on_error says it, too */
        level = LOG_DEBUG;
    gw_log(p->logger,
           level <= LOG_ERR       ? GW_LOG_ERROR
           : level == LOG_WARNING ? GW_LOG_WARN
                                  : GW_LOG_DEBUG,
           "kafka: %s: %s", facility, text);
}

/** From librdkafka's own threads. It logs our text with the broker's name; its own is the same for every reason. */
static int on_certificate(rd_kafka_t *rk, const char *broker, int32_t broker_id, int *x509_error, int depth,
                          const char *der, size_t n_der, char *text, size_t n_text, void *arg)
{
    (void)rk, (void)broker, (void)broker_id, (void)depth, (void)der, (void)n_der, (void)arg;
    if (*x509_error == X509_V_OK)
        return 1;
    snprintf(text, n_text, "%s", X509_verify_cert_error_string(*x509_error));
    return 0;
}

static void on_token(rd_kafka_t *rk, const char *config, void *arg)
{
    struct producer *p = arg;
    struct gw_buf token;
    struct gw_err err = {{0}};
    uint64_t expires_ms = 0;
    char text[256] = "";

    (void)config;
    gw_buf_init(&token, 64 << 10);
    if (p->token(p->token_arg, &token, &expires_ms, &err) == 0) {
        gw_buf_put_u8(&token, '\0');
        if (token.failed || rd_kafka_oauthbearer_set_token(rk, (const char *)token.p, (int64_t)expires_ms, "staunch",
                                                           NULL, 0, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_oauthbearer_set_token_failure(rk, *text ? text : "out of memory");
    } else {
        rd_kafka_oauthbearer_set_token_failure(rk, err.text); /* librdkafka asks again in 10 s */
    }
    gw_buf_clear(&token);
}

static int handle_new(struct producer *p, struct gw_err *err)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(p->conf);
    rd_kafka_queue_t *main_queue;
    char text[200];

    p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!p->rk) {
        rd_kafka_conf_destroy(conf);
        return gw_fail(err, -EINVAL, "kafka: %s", text);
    }
    main_queue = rd_kafka_queue_get_main(p->rk);
    rd_kafka_queue_io_event_enable(main_queue, p->fd.fd, &one, sizeof(one));
    rd_kafka_queue_destroy(main_queue);
    /* Only an empty queue that gets something tells: a broker's error may have been in it before we asked to be told.
     */
    gw_timer_arm(p->loop, &p->timer, 0);
    return 0;
}

static void serve_reports(struct producer *p)
{
    if (p->rk)
        while (rd_kafka_poll(p->rk, 0) > 0)
            ;
}

static void thread_end(struct producer *p);

/** What is left in the old handle is taken back; destroying it ends every use of the borrowed payloads. */
static void handle_free(struct producer *p)
{
    thread_end(p);
    if (!p->rk)
        return;
    p->renewing = true;
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(p->rk, 1000);
    topics_forget_handles(p);
    rd_kafka_destroy(p->rk);
    p->rk = NULL;
    while (p->open.head) {
        struct open *o = p->open.head;

        list_take(&p->open, o);
        list_put(&p->waiting, o);
    }
    p->renewing = false;
}

static void renew(struct producer *p)
{
    struct gw_err err = {{0}};

    p->renewed_ns = gw_mono_ns(p->env);
    handle_free(p);
    if (handle_new(p, &err) < 0) { /* no threads, no memory: again in a second */
        gw_log(p->logger, GW_LOG_ERROR, "%s", err.text);
        return;
    }
    p->fatal = false;
}

/** After anything happened: reports, a new handle, what waited, and when to look again. */
static void attend(struct producer *p)
{
    uint64_t now;
    struct open *o;

    serve_reports(p);
    now = gw_mono_ns(p->env);
    if (p->fatal && now - p->renewed_ns >= RENEW_EVERY_NS)
        renew(p);
    put_waiting(p);
    while ((o = p->late.head)) {
        struct gw_produce_result r = o->result;

        list_take(&p->late, o);
        answer(p, o, &r);
    }
    if (p->late.head)
        gw_timer_arm(p->loop, &p->timer, 0);
    else if (p->fatal)
        gw_timer_arm(p->loop, &p->timer, p->renewed_ns + RENEW_EVERY_NS);
    else if (p->waiting.head)
        gw_timer_arm(p->loop, &p->timer, now + TRY_AGAIN_NS);
}

static void on_event(struct gw_fd *f, unsigned events)
{
    struct producer *p = (struct producer *)((char *)f - offsetof(struct producer, fd));
    uint64_t n;

    (void)events;
    while (read(f->fd, &n, sizeof(n)) > 0)
        ;
    attend(p);
}

static void on_timer(struct gw_timer *t)
{
    attend((struct producer *)((char *)t - offsetof(struct producer, timer)));
}

/* ---- partition counts --------------------------------------------------------------------------------------- */

/** The thread: ask librdkafka, which waits for a broker. */
static void answer_look_up(struct producer *p, struct look_up *l)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->rk, 0, l->topic->rkt, &md, LOOK_UP_MS);

    l->count = -EAGAIN;
    if (err)
        return;
    if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR && md->topics[0].partition_cnt > 0)
        l->count = md->topics[0].partition_cnt;
    else if (md->topic_cnt == 1 && code_of(md->topics[0].err) == GW_PRODUCE_PERMANENT)
        l->count = -EACCES;
    rd_kafka_metadata_destroy(md);
}

static void *look_up_main(void *arg)
{
    struct producer *p = arg;
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

static void take_answers(struct producer *p)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&p->answers), *next; i; i = next) {
        struct look_up *l = (struct look_up *)i;
        struct topic *t = l->topic;

        next = i->next;
        t->asked = false;
        if (l->count != -EAGAIN || t->count <= 0) /* an old count is better than none */
            t->count = l->count;
        if (l->count != -EAGAIN)
            t->known_ns = gw_mono_ns(p->env);
        free(l);
    }
}

static void on_hook(struct gw_hook *h)
{
    take_answers((struct producer *)((char *)h - offsetof(struct producer, hook)));
}

static void thread_end(struct producer *p)
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

static void ask(struct producer *p, struct topic *t)
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

static int producer_partitions(struct gw_producer *base, const char *topic)
{
    struct producer *p = (struct producer *)base;
    struct topic *t = topic_get(p, gw_slice_cstr(topic));

    if (!t)
        return p->n_topics >= MAX_TOPICS ? -E2BIG : -EINVAL;
    if (t->count <= 0 || gw_mono_ns(p->env) - t->known_ns >= COUNT_HOLDS_NS)
        ask(p, t);
    return t->count;
}

/* ---- the vtable --------------------------------------------------------------------------------------------- */

static void producer_produce(struct gw_producer *base, struct gw_produce *const *m, unsigned n)
{
    struct producer *p = (struct producer *)base;
    struct open *run[BATCH];
    unsigned n_run = 0;

    for (unsigned i = 0; i < n; i++) {
        struct open *o = open_get(p);

        if (!o) { /* the only answer from inside: there is no memory to remember it by */
            m[i]->done(
                m[i], &(struct gw_produce_result){.code = GW_PRODUCE_RETRY, .error = "out of memory", .partition = -1});
            continue;
        }
        m[i]->impl = o;
        *o = (struct open){.m = m[i], .topic = topic_get(p, m[i]->topic)};
        if (!o->topic) {
            o->result = (struct gw_produce_result){.code = GW_PRODUCE_PERMANENT,
                                                   .error = p->n_topics >= MAX_TOPICS ? "too many different topics"
                                                                                      : "no valid topic name",
                                                   .partition = -1};
            list_put(&p->late, o);
        } else if (!o->topic->rkt || p->fatal || p->waiting.head) {
            list_put(&p->waiting, o);
        } else {
            run[n_run++] = o;
        }
        if (n_run == BATCH) {
            put_all(p, run, n_run);
            n_run = 0;
        }
    }
    put_all(p, run, n_run);
    if (p->late.head || p->fatal)
        gw_timer_arm(p->loop, &p->timer, 0);
    else if (p->waiting.head && !gw_timer_is_armed(&p->timer))
        gw_timer_arm(p->loop, &p->timer, gw_mono_ns(p->env) + TRY_AGAIN_NS);
}

static void producer_flush(struct gw_producer *base, uint64_t timeout_ns)
{
    struct producer *p = (struct producer *)base;
    uint64_t end = gw_mono_ns(p->env) + timeout_ns;

    do {
        if (p->rk)
            rd_kafka_flush(p->rk, 10); /* does not wait for linger */
        attend(p);
    } while ((p->open.head || p->waiting.head) && gw_mono_ns(p->env) < end);
}

static void producer_purge(struct gw_producer *base)
{
    struct producer *p = (struct producer *)base;
    struct open *o;

    if (p->rk)
        rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    while ((o = p->waiting.head)) {
        list_take(&p->waiting, o);
        o->result = (struct gw_produce_result){
            .code = GW_PRODUCE_QUEUE_FULL, .error = "the producer's queue is full", .partition = -1};
        list_put(&p->late, o);
    }
    gw_timer_arm(p->loop, &p->timer, 0);
}

static void producer_free(struct gw_producer *base)
{
    struct producer *p = (struct producer *)base;

    if (!p)
        return;
    handle_free(p);
    gw_timer_disarm(&p->timer);
    if (p->fd.fd >= 0) {
        gw_fd_remove(p->loop, &p->fd);
        close(p->fd.fd);
    }
    if (p->ask_fd >= 0)
        close(p->ask_fd);
    if (p->hook.run)
        gw_loop_remove_hook(p->loop, &p->hook);
    if (p->conf)
        rd_kafka_conf_destroy(p->conf);
    while (p->free) {
        struct open *o = p->free;

        p->free = o->next;
        free(o);
    }
    for (unsigned i = 0; i < TOPIC_BUCKETS; i++)
        while (p->topics[i]) {
            struct topic *t = p->topics[i];

            p->topics[i] = t->next;
            free(t);
        }
    free(p);
}

static const struct gw_producer_ops ops = {
    .produce = producer_produce,
    .partitions = producer_partitions,
    .flush = producer_flush,
    .purge = producer_purge,
    .free = producer_free,
};

static int set_options(struct producer *p, const struct gw_producer_conf *conf, struct gw_err *err)
{
    char text[160];

    p->conf = rd_kafka_conf_new();
    for (unsigned i = 0; i < conf->n_options; i++)
        if (rd_kafka_conf_set(p->conf, conf->options[i].key, conf->options[i].value, text, sizeof(text)) !=
            RD_KAFKA_CONF_OK)
            return gw_fail(err, -EINVAL, "kafka: %s: %s", conf->options[i].key, text);
    rd_kafka_conf_set_opaque(p->conf, p);
    rd_kafka_conf_set_dr_msg_cb(p->conf, on_report);
    rd_kafka_conf_set_error_cb(p->conf, on_error);
    rd_kafka_conf_set_log_cb(p->conf, on_log);
    rd_kafka_conf_set_ssl_cert_verify_cb(p->conf, on_certificate); /* no effect without TLS */
    if (conf->token)
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(p->conf, on_token);
    return 0;
}

int gw_producer_rdkafka_new(struct gw_env *env, struct gw_loop *loop, const struct gw_producer_conf *conf,
                            struct gw_producer **ret, struct gw_err *err)
{
    struct producer *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return gw_fail(err, -ENOMEM, "out of memory");
    p->base.ops = &ops;
    p->env = env;
    p->loop = loop;
    p->logger = conf->logger;
    p->token = conf->token;
    p->token_arg = conf->token_arg;
    p->trouble = conf->trouble;
    p->trouble_arg = conf->trouble_arg;
    p->timer.fire = on_timer;
    list_init(&p->open);
    list_init(&p->waiting);
    list_init(&p->late);
    p->fd = (struct gw_fd){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .events = GW_FD_READ, .ready = on_event};
    p->ask_fd = eventfd(0, EFD_CLOEXEC);
    r = p->fd.fd < 0 || p->ask_fd < 0 ? gw_fail(err, -errno, "kafka: no event descriptor") : 0;
    if (r == 0)
        r = set_options(p, conf, err);
    if (r == 0)
        r = handle_new(p, err);
    if (r == 0)
        r = gw_fd_add(loop, &p->fd);
    if (r < 0) {
        producer_free(&p->base);
        return r;
    }
    p->hook.run = on_hook;
    gw_loop_add_hook(loop, &p->hook);
    *ret = &p->base;
    return 0;
}
