/* SPDX-License-Identifier: Apache-2.0 */
/* From a body to messages: pieces by trace or resource, their topics and keys, cut until they fit. */
#include "exporters/kafka/pieces.h"

#include <stdio.h>
#include <stdlib.h>

#include "batch/meta.h"
#include "core/logger.h"
#include "exporters/kafka/map_hash.h"
#include "otlp-proto/encode.h"
#include "otlp-proto/json.h"

enum {
    MAX_CHUNK_BYTES = 512 << 20, /* of one attempt's copies: pieces, JSON, keys */
    RECORD_OVERHEAD = 128,       /* of a message in a batch of its own, on the wire */
    KEPT_BYTES = 32 << 20,       /* of chunks that wait for the next body */
};

/* ---- messages: from a piece of the body --------------------------------------------------------------------- */

struct build {
    struct gw_kafka_chunk *c;
    struct gw_slice resource; /* outer split */
    struct gw_kafka_place place;
    const uint32_t *outer; /* which rows of the attempt those of the piece that is cut further are; NULL: the same */
    uint32_t row_at;       /* of the next message: as its own */
    bool listed;
};

static size_t put(struct gw_buf *b, struct gw_slice s)
{
    size_t at = b->n;

    gw_buf_put_slice(b, s);
    return at;
}

/* The pieces that follow have these rows of the one that they are cut out of. */
static void list_rows(struct build *b, const uint32_t *row_of, uint32_t rows)
{
    struct gw_buf *list = &b->c->row_of;

    if (!b->c->job->on_disk)
        return;
    b->row_at = (uint32_t)(list->n / sizeof(*row_of));
    b->listed = true;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = b->outer ? b->outer[row_of[i]] : row_of[i];

        gw_buf_put(list, &row, sizeof(row));
    }
}

static uint32_t row_of(const struct gw_kafka_chunk *c, uint32_t at, bool listed)
{
    uint32_t row = at;

    if (listed)
        memcpy(&row, c->row_of.p + at * sizeof(row), sizeof(row));
    return row;
}

int gw_kafka_rows_add(struct gw_rows *set, const struct gw_kafka_message *m)
{
    if (!set->bits && gw_rows_init(set, m->chunk->job->n_rows) < 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->rows; i++)
        (void)gw_rows_add(set, row_of(m->chunk, m->row_at + i, m->listed));
    return 0;
}

static struct gw_kafka_message *message_new(struct gw_kafka_chunk *c)
{
    if (c->n == c->cap) {
        unsigned cap = c->cap ? c->cap * 2 : 4;
        struct gw_kafka_message *more = realloc(c->messages, cap * sizeof(*more));

        if (!more)
            return NULL;
        c->messages = more;
        c->cap = cap;
    }
    c->messages[c->n] = (struct gw_kafka_message){.chunk = c};
    return &c->messages[c->n++];
}

static size_t room_for(const struct gw_kafka_job *j, size_t n_key)
{
    size_t taken = RECORD_OVERHEAD + n_key, max = j->s->conf->producer.max_message_bytes;

    for (unsigned i = 0; i < j->n_headers; i++)
        taken += j->headers[i].name.n + j->headers[i].value.n + 10;
    return max > taken ? max - taken : 0;
}

static int add_half(void *arg, struct gw_slice piece, uint32_t rows);

/* A row that no message can hold. */
static void bury_long(struct build *b, struct gw_slice piece, size_t n_value)
{
    struct gw_kafka_job *j = b->c->job;
    struct gw_rows set = {0};

    if (j->on_disk && gw_rows_init(&set, j->n_rows) == 0)
        (void)gw_rows_add(&set, row_of(b->c, b->row_at, b->listed));
    b->row_at++;
    j->dead_rows++;
    snprintf(j->message, sizeof(j->message), "a single row makes a message of %zu bytes, over max_message_bytes (%llu)",
             n_value, (unsigned long long)j->s->conf->producer.max_message_bytes);
    gw_log(&j->s->ctx->logger, GW_LOG_WARN, "%s", j->message);
    j->a->dead(j->a, &(struct gw_death){.class_ = "limit_size",
                                        .reason = "message_too_large",
                                        .message = j->message,
                                        .body = piece,
                                        .rows = 1,
                                        .bits = set.bits});
    gw_rows_clear(&set);
}

static int error_of(const struct gw_kafka_chunk *c)
{
    const struct gw_buf *bufs[] = {&c->pieces, &c->texts, &c->row_of};
    int rc = 0;

    for (unsigned i = 0; i < 3 && rc == 0; i++)
        rc = gw_buf_error(bufs[i]);
    return rc;
}

/** Add a piece as one message, or as several when it is too long; a row that is too long is told dead at once. */
static int add_message(struct build *b, struct gw_slice piece, uint32_t rows)
{
    struct gw_kafka_chunk *c = b->c;
    struct gw_kafka_job *j = c->job;
    bool json = gw_kafka_signal_of(j->s, j->a->signal)->encoding == GW_KAFKA_JSON;
    size_t room = room_for(j, b->place.key.n), value = c->values.n, n_value = piece.n;
    struct gw_kafka_message *m;
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
        bury_long(b, piece, n_value);
        return 0;
    }
    m = message_new(c);
    if (!m)
        return -ENOMEM;
    m->rows = rows;
    m->row_at = b->row_at;
    m->listed = b->listed;
    b->row_at += rows;
    m->value = value;
    m->n_value = n_value;
    m->n_piece = piece.n;
    m->piece = c->borrowed ? (size_t)(piece.p - c->body.p) : put(&c->pieces, piece);
    m->topic = put(&c->texts, b->place.topic);
    m->n_topic = b->place.topic.n;
    m->key = put(&c->texts, b->place.key);
    m->n_key = b->place.key.n;
    m->m.has_key = b->place.has_key;
    return error_of(c);
}

static int add_half(void *arg, struct gw_slice piece, uint32_t rows)
{
    struct build *b = arg;

    b->c->borrowed = false; /* halves are new bytes */
    return add_message(b, piece, rows);
}

/** The buffers do not move any more: offsets become slices. */
static void fix_pointers(struct gw_kafka_chunk *c)
{
    struct gw_kafka_job *j = c->job;
    bool json = gw_kafka_signal_of(j->s, j->a->signal)->encoding == GW_KAFKA_JSON;

    for (unsigned i = 0; i < c->n; i++) {
        struct gw_kafka_message *m = &c->messages[i];
        const uint8_t *pieces = c->borrowed ? c->body.p : c->pieces.p;

        m->m.value =
            json ? gw_slice_of(c->values.p + m->value, m->n_value) : gw_slice_of(pieces + m->piece, m->n_piece);
        m->m.topic = gw_slice_of(c->texts.p + m->topic, m->n_topic);
        m->m.key = gw_slice_of(c->texts.p + m->key, m->n_key);
        m->m.headers = j->headers;
        m->m.n_headers = j->n_headers;
        m->m.partition = -1;
    }
}

/* ---- keys and topics ---------------------------------------------------------------------------------------- */

/** By request header, then by attribute of the first resource that has it, then as configured. */
static struct gw_slice topic_of(struct gw_kafka_job *j, struct gw_slice resource)
{
    const struct gw_kafka_signal *sig = gw_kafka_signal_of(j->s, j->a->signal);
    const char *attribute = j->s->conf->topic_from_attribute;
    struct gw_slice topic;

    if (*sig->topic_from_metadata_key && j->a->meta &&
        gw_meta_find(j->a->meta, gw_slice_cstr(sig->topic_from_metadata_key), 0, &topic) && topic.n)
        return topic;
    if (*attribute && gw_kafka_resource_string(resource, gw_slice_cstr(attribute), &topic))
        return topic;
    return gw_slice_cstr(sig->topic);
}

static void key_from_metadata(struct gw_kafka_job *j, struct gw_kafka_place *p)
{
    const char *name = gw_kafka_signal_of(j->s, j->a->signal)->message_key_from_metadata_key;

    if (*name && j->a->meta && gw_meta_find(j->a->meta, gw_slice_cstr(name), 0, &p->key))
        p->has_key = p->key.n > 0;
    if (!p->has_key)
        p->key = gw_slice_of(NULL, 0);
}

static bool by_trace(const struct gw_kafka_job *j)
{
    return j->a->signal == GW_TRACES ? j->s->conf->partition_traces_by_id
                                     : j->a->signal == GW_LOGS && j->s->conf->partition_logs_by_trace_id;
}

static bool by_resource(const struct gw_kafka_job *j)
{
    const struct gw_kafka_conf *c = j->s->conf;

    return (j->a->signal == GW_METRICS && c->partition_metrics_by_resource_attributes) ||
           (j->a->signal == GW_LOGS && c->partition_logs_by_resource_attributes);
}

/** 32 hex digits. A span without an id has the empty key, a log record without one has none: as in the Collector. */
static int add_trace(void *arg, struct gw_slice trace_id, struct gw_slice piece, const uint32_t *row_of, uint32_t rows)
{
    static const char digits[] = "0123456789abcdef";
    struct build *b = arg;
    char hex[32];

    for (size_t i = 0; i < trace_id.n && i < 16; i++) {
        hex[2 * i] = digits[trace_id.p[i] >> 4];
        hex[2 * i + 1] = digits[trace_id.p[i] & 15];
    }
    list_rows(b, row_of, rows);
    if (b->c->row_of.failed)
        return gw_buf_error(&b->c->row_of);
    b->place.topic = topic_of(b->c->job, b->resource);
    b->place.key = gw_slice_of(hex, trace_id.n == 16 ? 32 : 0);
    b->place.has_key = trace_id.n == 16 || b->c->job->a->signal == GW_TRACES;
    return add_message(b, piece, rows);
}

static int add_resource(void *arg, struct gw_slice resource, struct gw_slice piece, const uint32_t *row_of,
                        uint32_t rows)
{
    struct build *b = arg;
    struct gw_kafka_job *j = b->c->job;
    uint8_t hash[16];
    int r;

    b->resource = resource;
    if (by_trace(j)) {
        b->outer = row_of;
        return gw_split_by_trace(j->a->signal, piece, add_trace, b);
    }
    list_rows(b, row_of, rows);
    if (b->c->row_of.failed)
        return gw_buf_error(&b->c->row_of);
    b->place = (struct gw_kafka_place){.topic = topic_of(j, resource)};
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
    struct gw_kafka_job *j = b->c->job;
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

/* ---- the door ----------------------------------------------------------------------------------------------- */

int gw_kafka_build(struct gw_kafka_chunk *c)
{
    struct build b = {.c = c};
    int r = add_body(&b);

    if (r == 0)
        fix_pointers(c);
    return r;
}

int gw_kafka_build_halves(struct gw_kafka_chunk *c, const struct gw_kafka_message *m)
{
    struct build b = {.c = c, .place = {m->m.topic, m->m.key, m->m.has_key}, .row_at = m->row_at};
    int r;

    if (m->listed) {
        gw_buf_put(&c->row_of, m->chunk->row_of.p + m->row_at * sizeof(uint32_t), m->rows * sizeof(uint32_t));
        b.listed = true;
        b.row_at = 0;
    }
    r = gw_buf_error(&c->row_of);
    if (r == 0)
        r = gw_split(c->job->a->signal, gw_kafka_piece(m), (m->rows + 1) / 2, 0, add_half, &b);
    if (r == 0)
        fix_pointers(c);
    return r;
}

/* ---- chunks ------------------------------------------------------------------------------------------------- */

/* Buffers grow by halves: kept, they have the size of a usual body after a few, and a body costs no allocation. */
static size_t chunk_bytes(const struct gw_kafka_chunk *c)
{
    return sizeof(*c) + c->pieces.cap + c->values.cap + c->texts.cap + c->row_of.cap + c->cap * sizeof(c->messages[0]);
}

static struct gw_kafka_chunk *chunk_make(void)
{
    struct gw_kafka_chunk *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    gw_buf_init(&c->pieces, MAX_CHUNK_BYTES);
    gw_buf_init(&c->values, MAX_CHUNK_BYTES);
    gw_buf_init(&c->texts, MAX_CHUNK_BYTES);
    gw_buf_init(&c->row_of, MAX_CHUNK_BYTES);
    return c;
}

struct gw_kafka_chunk *gw_kafka_chunk_new(struct gw_kafka_job *j, struct gw_slice body)
{
    struct gw_kafka *s = j->s;
    struct gw_kafka_chunk *c = s->kept;

    if (c) {
        s->kept = c->next;
        s->kept_bytes -= chunk_bytes(c);
    } else {
        c = chunk_make();
    }
    if (!c)
        return NULL;
    c->job = j;
    c->body = body;
    c->next = j->chunks;
    j->chunks = c;
    return c;
}

static void chunk_free(struct gw_kafka_chunk *c)
{
    gw_buf_clear(&c->pieces);
    gw_buf_clear(&c->values);
    gw_buf_clear(&c->texts);
    gw_buf_clear(&c->row_of);
    free(c->messages);
    free(c);
}

void gw_kafka_chunk_put(struct gw_kafka *s, struct gw_kafka_chunk *c)
{
    if (chunk_bytes(c) > KEPT_BYTES - s->kept_bytes) {
        chunk_free(c);
        return;
    }
    gw_buf_reset(&c->pieces);
    gw_buf_reset(&c->values);
    gw_buf_reset(&c->texts);
    gw_buf_reset(&c->row_of);
    c->borrowed = false;
    c->n = 0;
    c->next = s->kept;
    s->kept = c;
    s->kept_bytes += chunk_bytes(c);
}

void gw_kafka_chunks_free(struct gw_kafka *s)
{
    while (s->kept) {
        struct gw_kafka_chunk *c = s->kept;

        s->kept = c->next;
        chunk_free(c);
    }
    s->kept_bytes = 0;
}

/** Static ones first, then those of the request, a value each, in the order of the settings. */
int gw_kafka_set_headers(struct gw_kafka_job *j)
{
    const struct gw_kafka_conf *c = j->s->conf;
    const struct gw_meta *meta = j->a->meta;
    size_t most =
        c->record_headers.n + 1 + (meta ? meta->n_pairs + meta->n_auth : 0) * (c->include_metadata_keys.n ? 1 : 0);
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
        j->headers[j->n_headers++] =
            (struct gw_header){GW_SLICE("otelcol.signal"), gw_slice_cstr(gw_signal_name(j->a->signal))};
    for (size_t k = 0; meta && k < c->include_metadata_keys.n; k++)
        for (unsigned i = 0; j->n_headers < most && gw_meta_find(meta, gw_slice_cstr(keys[k]), i, &value); i++)
            j->headers[j->n_headers++] = (struct gw_header){gw_slice_cstr(keys[k]), value};
    return 0;
}
