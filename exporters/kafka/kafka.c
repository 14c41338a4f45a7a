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

#include "batch/meta.h"
#include "core/logger.h"
#include "exporters/kafka/map_hash.h"
#include "exporters/kafka/options.h"
#include "net/loop.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"

enum {
    MAX_CHUNK_BYTES = 512 << 20, /* of one attempt's copies: pieces, JSON, keys */
    RECORD_OVERHEAD = 128,       /* of a message in a batch of its own, on the wire */
};
enum { SMALL_BATCH_BYTES = 16 << 10 }; /* smaller ones cost more than they gain */
static const uint64_t LOOK_AGAIN_NS = 20ull * 1000000; /* while the number of partitions is unknown */

/** One message. Bytes are offsets until the chunk is complete: its buffers move while they grow. */
struct message {
    struct gw_produce m;
    struct chunk *chunk;
    size_t piece, n_piece, value, n_value, topic, n_topic, key, n_key;
    uint32_t rows;
    struct hold *hold; /* that it was given to */
    bool refused;      /* for good */
    char reason[24];
};

/** A producer, and what is open at it; a retired one lives until nothing is. */
struct hold {
    struct gw_producer *p;
    size_t batch_bytes;
    uint64_t timeout_ns;
    unsigned open;
    struct hold *next;
};

/** Messages that were built together, and their bytes. */
struct chunk {
    struct job *job;
    struct chunk *next;
    struct gw_slice body; /* pieces of the whole body are borrowed: piece offsets are into it when `borrowed` */
    bool borrowed;
    struct gw_buf pieces, values, texts;
    struct message *messages;
    unsigned n, cap;
};

/** An attempt under way. */
struct job {
    struct self *s;
    struct gw_attempt *a;
    struct chunk *chunks;
    unsigned open;          /* messages at the producer */
    uint32_t refused_rows, dead_rows, left_rows;
    struct gw_buf left;
    struct gw_header *headers;
    unsigned n_headers;
    char reason[24], message[200];
    struct job *next, **link; /* in waiting, when the number of partitions is not known yet */
    uint64_t waits_until_ns;
};

struct self {
    const struct gw_kafka_conf *conf;
    const struct gw_ctx *ctx;
    struct gw_loop *loop;
    struct hold *holds; /* the first is in use, the others are retired */
    struct gw_auth token;
    unsigned n_jobs;
    struct job *waiting;
    struct gw_timer timer, purge_timer, reap_timer;
    struct gw_buf scratch;
    unsigned robin;
    uint32_t *backup; /* open messages per partition, for least_backup */
    int n_backup;
};

static const struct gw_kafka_signal *signal_of(const struct self *s, enum gw_signal signal)
{
    return signal == GW_TRACES ? &s->conf->traces : signal == GW_METRICS ? &s->conf->metrics : &s->conf->logs;
}

/* ---- messages: from a piece of the body ------------------------------------------------------------------------------- */

/** What is the same for all messages of one piece. */
struct place {
    struct gw_slice topic, key;
    bool has_key;
};

struct build {
    struct chunk *c;
    struct gw_slice resource; /* outer split */
    struct place place;
    int error;
};

static size_t put(struct gw_buf *b, struct gw_slice s)
{
    size_t at = b->n;

    gw_buf_put_slice(b, s);
    return at;
}

static struct message *message_new(struct chunk *c)
{
    if (c->n == c->cap) {
        unsigned cap = c->cap ? c->cap * 2 : 4;
        struct message *more = realloc(c->messages, cap * sizeof(*more));

        if (!more)
            return NULL;
        c->messages = more;
        c->cap = cap;
    }
    c->messages[c->n] = (struct message){.chunk = c};
    return &c->messages[c->n++];
}

static size_t room_for(const struct job *j, size_t n_key)
{
    size_t taken = RECORD_OVERHEAD + n_key, max = j->s->conf->producer.max_message_bytes;

    for (unsigned i = 0; i < j->n_headers; i++)
        taken += j->headers[i].name.n + j->headers[i].value.n + 10;
    return max > taken ? max - taken : 0;
}

static int add_half(void *arg, struct gw_slice piece, uint32_t rows);

/** Add a piece as one message, or as several when it is too long; a row that is too long is told dead at once. */
static int add_message(struct build *b, struct gw_slice piece, uint32_t rows)
{
    struct chunk *c = b->c;
    struct job *j = c->job;
    bool json = signal_of(j->s, j->a->signal)->encoding == GW_KAFKA_JSON;
    size_t room = room_for(j, b->place.key.n), value = c->values.n, n_value = piece.n;
    struct message *m;
    int r;

    if (json) {
        r = gw_proto_to_json(j->a->signal, piece, &c->values);
        if (r < 0)
            return r;
        n_value = c->values.n - value;
    }
    if (n_value > room) {
        c->values.n = value;
        if (rows > 1)
            return gw_split(j->a->signal, piece, (rows + 1) / 2, json ? 0 : room, add_half, b);
        j->dead_rows += rows;
        snprintf(j->message, sizeof(j->message), "a single row makes a message of %zu bytes, over max_message_bytes (%llu)",
                 n_value, (unsigned long long)j->s->conf->producer.max_message_bytes);
        gw_log(&j->s->ctx->logger, GW_LOG_WARN, "%s", j->message);
        j->a->dead(j->a, piece, rows, "message_too_large", j->message);
        return 0;
    }
    m = message_new(c);
    if (!m)
        return -ENOMEM;
    m->rows = rows;
    m->value = value;
    m->n_value = n_value;
    m->n_piece = piece.n;
    m->piece = c->borrowed ? (size_t)(piece.p - c->body.p) : put(&c->pieces, piece);
    m->topic = put(&c->texts, b->place.topic);
    m->n_topic = b->place.topic.n;
    m->key = put(&c->texts, b->place.key);
    m->n_key = b->place.key.n;
    m->m.has_key = b->place.has_key;
    return c->pieces.failed || c->texts.failed ? -E2BIG : 0;
}

static int add_half(void *arg, struct gw_slice piece, uint32_t rows)
{
    struct build *b = arg;

    b->c->borrowed = false; /* halves are new bytes */
    return add_message(b, piece, rows);
}

/** The buffers do not move any more: offsets become slices. */
static void fix_pointers(struct chunk *c)
{
    struct job *j = c->job;
    bool json = signal_of(j->s, j->a->signal)->encoding == GW_KAFKA_JSON;

    for (unsigned i = 0; i < c->n; i++) {
        struct message *m = &c->messages[i];
        const uint8_t *pieces = c->borrowed ? c->body.p : c->pieces.p;

        m->m.value = json ? gw_slice_of(c->values.p + m->value, m->n_value) : gw_slice_of(pieces + m->piece, m->n_piece);
        m->m.topic = gw_slice_of(c->texts.p + m->topic, m->n_topic);
        m->m.key = gw_slice_of(c->texts.p + m->key, m->n_key);
        m->m.headers = j->headers;
        m->m.n_headers = j->n_headers;
        m->m.partition = -1;
    }
}

/* ---- keys and topics ----------------------------------------------------------------------------------------------------- */

/** By request header, then by attribute of the first resource that has it, then as configured. */
static struct gw_slice topic_of(struct job *j, struct gw_slice resource)
{
    const struct gw_kafka_signal *sig = signal_of(j->s, j->a->signal);
    const char *attribute = j->s->conf->topic_from_attribute;
    struct gw_slice topic;

    if (*sig->topic_from_metadata_key && j->a->meta &&
        gw_meta_find(j->a->meta, gw_slice_cstr(sig->topic_from_metadata_key), 0, &topic) && topic.n)
        return topic;
    if (*attribute && gw_kafka_resource_string(resource, gw_slice_cstr(attribute), &topic))
        return topic;
    return gw_slice_cstr(sig->topic);
}

static void key_from_metadata(struct job *j, struct place *p)
{
    const char *name = signal_of(j->s, j->a->signal)->message_key_from_metadata_key;

    if (*name && j->a->meta && gw_meta_find(j->a->meta, gw_slice_cstr(name), 0, &p->key))
        p->has_key = p->key.n > 0;
    if (!p->has_key)
        p->key = gw_slice_of(NULL, 0);
}

static bool by_trace(const struct job *j)
{
    return j->a->signal == GW_TRACES ? j->s->conf->partition_traces_by_id
                                     : j->a->signal == GW_LOGS && j->s->conf->partition_logs_by_trace_id;
}

static bool by_resource(const struct job *j)
{
    const struct gw_kafka_conf *c = j->s->conf;

    return (j->a->signal == GW_METRICS && c->partition_metrics_by_resource_attributes) ||
           (j->a->signal == GW_LOGS && c->partition_logs_by_resource_attributes);
}

/** 32 hex digits. A span without an id has the empty key, a log record without one has none: as in the Collector. */
static int add_trace(void *arg, struct gw_slice trace_id, struct gw_slice piece, uint32_t rows)
{
    static const char digits[] = "0123456789abcdef";
    struct build *b = arg;
    char hex[32];

    for (size_t i = 0; i < trace_id.n && i < 16; i++) {
        hex[2 * i] = digits[trace_id.p[i] >> 4];
        hex[2 * i + 1] = digits[trace_id.p[i] & 15];
    }
    b->place.topic = topic_of(b->c->job, b->resource);
    b->place.key = gw_slice_of(hex, trace_id.n == 16 ? 32 : 0);
    b->place.has_key = trace_id.n == 16 || b->c->job->a->signal == GW_TRACES;
    return add_message(b, piece, rows);
}

static int add_resource(void *arg, struct gw_slice resource, struct gw_slice piece, uint32_t rows)
{
    struct build *b = arg;
    struct job *j = b->c->job;
    uint8_t hash[16];
    int r;

    b->resource = resource;
    if (by_trace(j))
        return gw_split_by_trace(j->a->signal, piece, add_trace, b);
    b->place = (struct place){.topic = topic_of(j, resource)};
    if (by_resource(j)) {
        r = gw_kafka_map_hash(resource, &j->s->scratch, hash);
        if (r < 0)
            return r;
        b->place.key = gw_slice_of(hash, sizeof(hash));
        b->place.has_key = true;
    } else {
        key_from_metadata(j, &b->place);
    }
    return add_message(b, piece, rows);
}

static int add_body(struct build *b)
{
    struct job *j = b->c->job;
    struct gw_attempt *a = j->a;

    if (*j->s->conf->topic_from_attribute || by_resource(j))
        return gw_split_by_resource(a->signal, a->body, add_resource, b);
    if (by_trace(j))
        return gw_split_by_trace(a->signal, a->body, add_trace, b);
    b->place.topic = topic_of(j, gw_slice_of(NULL, 0));
    key_from_metadata(j, &b->place);
    b->c->borrowed = true; /* the common case: not a byte is copied */
    return add_message(b, a->body, a->rows);
}

/* ---- chunks, jobs ----------------------------------------------------------------------------------------------------------- */

static struct chunk *chunk_new(struct job *j, struct gw_slice body)
{
    struct chunk *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->job = j;
    c->body = body;
    gw_buf_init(&c->pieces, MAX_CHUNK_BYTES);
    gw_buf_init(&c->values, MAX_CHUNK_BYTES);
    gw_buf_init(&c->texts, MAX_CHUNK_BYTES);
    c->next = j->chunks;
    j->chunks = c;
    return c;
}

static void job_free(struct job *j)
{
    while (j->chunks) {
        struct chunk *c = j->chunks;

        j->chunks = c->next;
        gw_buf_clear(&c->pieces);
        gw_buf_clear(&c->values);
        gw_buf_clear(&c->texts);
        free(c->messages);
        free(c);
    }
    gw_buf_clear(&j->left);
    free(j->headers);
    free(j);
}

/** Static ones first, then those of the request, a value each, in the order of the settings. */
static int set_headers(struct job *j)
{
    const struct gw_kafka_conf *c = j->s->conf;
    const struct gw_meta *meta = j->a->meta;
    size_t most = c->record_headers.n + 1 + (meta ? meta->n_pairs + meta->n_auth : 0) * (c->include_metadata_keys.n ? 1 : 0);
    const char *const *keys = c->include_metadata_keys.items;
    struct gw_slice value;

    if (most == 1 && !c->signal_header)
        return 0;
    j->headers = calloc(most, sizeof(*j->headers));
    if (!j->headers)
        return -ENOMEM;
    for (size_t i = 0; i < c->record_headers.n; i++)
        j->headers[j->n_headers++] = (struct gw_header){gw_slice_cstr(c->record_headers.entries[i].key),
                                                        gw_slice_cstr(c->record_headers.entries[i].value)};
    if (c->signal_header)
        j->headers[j->n_headers++] = (struct gw_header){GW_SLICE("otelcol.signal"), gw_slice_cstr(gw_signal_name(j->a->signal))};
    for (size_t k = 0; meta && k < c->include_metadata_keys.n; k++)
        for (unsigned i = 0; j->n_headers < most && gw_meta_find(meta, gw_slice_cstr(keys[k]), i, &value); i++)
            j->headers[j->n_headers++] = (struct gw_header){gw_slice_cstr(keys[k]), value};
    return 0;
}

static void finish(struct job *j)
{
    struct self *s = j->s;
    struct gw_attempt *a = j->a;
    bool all_refused = j->refused_rows && j->refused_rows == a->rows;
    struct gw_sent_info info = {.sent = GW_SENT_OK};

    if (all_refused) {
        info = (struct gw_sent_info){.sent = GW_SENT_PERMANENT, .reason = j->reason, .message = j->message};
    } else {
        for (const struct chunk *c = j->chunks; c; c = c->next)
            for (unsigned i = 0; i < c->n; i++)
                if (c->messages[i].refused)
                    a->dead(a, gw_slice_of((c->borrowed ? c->body.p : c->pieces.p) + c->messages[i].piece, c->messages[i].n_piece),
                            c->messages[i].rows, c->messages[i].reason, j->message);
        if (j->left_rows) {
            info = (struct gw_sent_info){.sent = GW_SENT_RETRY, .reason = j->reason, .message = j->message};
            if (j->left_rows < a->rows && !j->left.failed) {
                info.left = gw_buf_slice(&j->left);
                info.left_rows = j->left_rows;
            }
        }
    }
    a->impl = NULL;
    s->n_jobs--;
    a->done(a, &info);
    job_free(j);
}

/* ---- to the producer --------------------------------------------------------------------------------------------------------- */

static void on_done(struct gw_produce *p, const struct gw_produce_result *r);

static bool wants_partition(const struct self *s)
{
    return s->conf->record_partitioner.has_round_robin || s->conf->record_partitioner.has_least_backup;
}

static int32_t least_backup(struct self *s, int n)
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
static bool choose_partitions(struct self *s, struct chunk *c)
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

static void hand_over(struct self *s, struct gw_produce *const *list, unsigned n)
{
    struct hold *h = s->holds;

    for (unsigned i = 0; i < n; i++)
        ((struct message *)list[i]->arg)->hold = h;
    h->open += n;
    h->p->ops->produce(h->p, list, n);
}

static void produce(struct chunk *c)
{
    struct self *s = c->job->s;
    struct gw_produce *few[64], **list = few;
    unsigned n = c->n;

    if (n > 64)
        list = malloc(n * sizeof(*list));
    c->job->open += n;
    for (unsigned i = 0; i < n; i++) {
        struct message *m = &c->messages[i];

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

static void wait_for_partitions(struct job *j)
{
    struct self *s = j->s;

    j->next = s->waiting;
    j->link = &s->waiting;
    if (j->next)
        j->next->link = &j->next;
    s->waiting = j;
    if (!gw_timer_is_armed(&s->timer))
        gw_timer_arm(s->loop, &s->timer, gw_mono_ns(s->ctx->env) + LOOK_AGAIN_NS);
}

static void stop_waiting(struct job *j)
{
    if (!j->link)
        return;
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    j->link = NULL;
}

static void keep_left(struct job *j, const struct message *m, const char *reason, const char *error)
{
    const struct chunk *c = m->chunk;

    gw_buf_put(&j->left, (c->borrowed ? c->body.p : c->pieces.p) + m->piece, m->n_piece);
    j->left_rows += m->rows;
    snprintf(j->reason, sizeof(j->reason), "%s", reason);
    snprintf(j->message, sizeof(j->message), "%s", error ? error : reason);
}

/** The broker found a message too long that we did not: two halves, with the same key. */
static void halve(struct message *m)
{
    struct chunk *old = m->chunk;
    struct job *j = old->job;
    struct chunk *c = chunk_new(j, gw_slice_of(NULL, 0));
    struct gw_slice piece = {(old->borrowed ? old->body.p : old->pieces.p) + m->piece, m->n_piece};
    struct build b = {.c = c, .place = {m->m.topic, m->m.key, m->m.has_key}};

    if (!c || gw_split(j->a->signal, piece, (m->rows + 1) / 2, 0, add_half, &b) < 0) {
        if (c)
            c->n = 0;
        keep_left(j, m, "out_of_memory", "out of memory");
        return;
    }
    fix_pointers(c);
    for (unsigned i = 0; i < c->n; i++)
        c->messages[i].m.partition = m->m.partition;
    produce(c);
}

static int producer_make(struct self *s, uint64_t timeout_ns, size_t batch_bytes, struct gw_err *err);

static size_t wire_bytes(const struct message *m)
{
    return m->m.value.n + m->m.key.n;
}

/** True when the message may have had company in its batch: then it goes again, in smaller batches. */
static bool again_in_smaller_batch(struct self *s, struct message *m)
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

static void refuse(struct message *m, const char *reason, const char *error)
{
    struct job *j = m->chunk->job;

    m->refused = true;
    snprintf(m->reason, sizeof(m->reason), "%s", reason);
    j->refused_rows += m->rows;
    snprintf(j->reason, sizeof(j->reason), "%s", reason);
    snprintf(j->message, sizeof(j->message), "%s", error ? error : reason);
}

static void on_done(struct gw_produce *p, const struct gw_produce_result *r)
{
    struct message *m = p->arg;
    struct job *j = m->chunk->job;
    struct self *s = j->s;

    if (--m->hold->open == 0 && m->hold != s->holds) /* not from inside its own call-back */
        gw_timer_arm(s->loop, &s->reap_timer, 0);
    if (s->conf->record_partitioner.has_least_backup && p->partition >= 0 && p->partition < s->n_backup && s->backup[p->partition])
        s->backup[p->partition]--;
    switch (r->code) {
    case GW_PRODUCED:
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

static void go_on(struct job *j)
{
    struct chunk *c = j->chunks;

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
    struct self *s = (struct self *)((char *)t - offsetof(struct self, timer));
    struct job *list = s->waiting;

    s->waiting = NULL;
    while (list) {
        struct job *j = list;

        list = j->next;
        if (list)
            list->link = &list;
        j->link = NULL;
        j->next = NULL;
        go_on(j);
    }
}

/* ---- attempts ------------------------------------------------------------------------------------------------------------------- */

/** "Bearer <token>" of an authenticator as the token that librdkafka wants; a JWT says itself when it expires. */
static int oauth_token(void *arg, struct gw_buf *out, uint64_t *ret_expires_ms, struct gw_err *err)
{
    struct self *s = arg;
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
        *ret_expires_ms = gw_wall_ns(s->ctx->env) / 1000000 + 300000; /* asked for again after four minutes */
    }
    gw_buf_clear(&value);
    return r;
}

/** The producer in use is retired: it keeps what is open at it. */
static int producer_make(struct self *s, uint64_t timeout_ns, size_t batch_bytes, struct gw_err *err)
{
    struct gw_env *env = s->ctx->env;
    struct gw_kafka_options options;
    struct hold *h;
    int r;

    if (!env->ops->producer_new)
        return gw_fail(err, -ENOTSUP, "this program has no Kafka producer");
    h = calloc(1, sizeof(*h));
    if (!h)
        return gw_fail(err, -ENOMEM, "out of memory");
    gw_kafka_options_fill(&options, s->conf, timeout_ns, batch_bytes);
    r = env->ops->producer_new(env, s->loop,
                               &(struct gw_producer_conf){.options = options.list,
                                                          .n_options = options.n,
                                                          .logger = &s->ctx->logger,
                                                          .token = s->token.ops ? oauth_token : NULL,
                                                          .token_arg = s},
                               &h->p, err);
    gw_kafka_options_clear(&options);
    if (r < 0) {
        free(h);
        return r;
    }
    h->timeout_ns = timeout_ns;
    h->batch_bytes = batch_bytes;
    h->next = s->holds;
    s->holds = h;
    if (h->next)
        gw_timer_arm(s->loop, &s->reap_timer, 0);
    return 0;
}

/** Retired producers at which nothing is open any more. */
static void on_reap_timer(struct gw_timer *t)
{
    struct self *s = (struct self *)((char *)t - offsetof(struct self, reap_timer));
    struct hold **at = s->holds ? &s->holds->next : NULL;

    while (at && *at) {
        struct hold *h = *at;

        if (h->open) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        h->p->ops->free(h->p);
        free(h);
    }
}

static void purge_all(struct self *s)
{
    for (struct hold *h = s->holds; h; h = h->next)
        if (h->open)
            h->p->ops->purge(h->p);
}

static void fail_early(struct gw_attempt *a, int r)
{
    a->done(a, &(struct gw_sent_info){
                   .sent = r == -ENOMEM ? GW_SENT_RETRY : GW_SENT_PERMANENT,
                   .reason = r == -ENOMEM ? "out_of_memory" : "encode",
                   .message = r == -ENOMEM ? "out of memory" : "the body cannot be cut into messages",
               });
}

static void kafka_send(void *self, struct gw_attempt *a)
{
    struct self *s = self;
    struct job *j;
    struct build b = {0};
    int r;

    /* The time of an attempt is a property of the producer, and known only now. */
    if (a->timeout_ns != s->holds->timeout_ns)
        (void)producer_make(s, a->timeout_ns, s->holds->batch_bytes, NULL);
    j = calloc(1, sizeof(*j));
    if (!j) {
        fail_early(a, -ENOMEM);
        return;
    }
    j->s = s;
    j->a = a;
    gw_buf_init(&j->left, MAX_CHUNK_BYTES);
    b.c = chunk_new(j, a->body);
    r = b.c ? set_headers(j) : -ENOMEM;
    if (r == 0)
        r = add_body(&b);
    if (r < 0) {
        job_free(j);
        fail_early(a, r);
        return;
    }
    j->waits_until_ns = a->timeout_ns ? gw_mono_ns(s->ctx->env) + a->timeout_ns : UINT64_MAX;
    a->impl = j;
    s->n_jobs++;
    fix_pointers(b.c);
    if (b.c->n == 0) /* every row was too long */
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
    struct self *s = self;
    struct job *j = a->impl;

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
    struct self *s = (struct self *)((char *)t - offsetof(struct self, purge_timer));

    if (s->n_jobs)
        purge_all(s);
}

/* ---- life --------------------------------------------------------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_buf_clear(&s->scratch);
    free(s->backup);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

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
    struct self *s = self;
    const struct gw_kafka_sasl *sasl = &s->conf->auth.sasl;
    struct gw_auth_settings a = {.authenticator = sasl->oauthbearer_token_source};

    if (!s->conf->has_auth || !s->conf->auth.has_sasl || strcmp(sasl->mechanism, "OAUTHBEARER") != 0)
        return 0;
    return gw_auth_find(s->ctx, &a, &s->token, err);
}

static const struct gw_exporter_ops ops;

static int kafka_open(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;

    s->loop = loop;
    return producer_make(s, ops.default_timeout_ns, s->conf->producer.max_message_bytes, err);
}

static void kafka_close(void *self)
{
    struct self *s = self;

    gw_timer_disarm(&s->timer);
    gw_timer_disarm(&s->purge_timer);
    gw_timer_disarm(&s->reap_timer);
    while (s->holds) {
        struct hold *h = s->holds;

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
