/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the kafka exporter share: an attempt (job), the messages that it became (chunks of messages), and
 * the producers that they are given to (holds).
 */
#ifndef GW_EXPORTERS_KAFKA_PIECES_H
#define GW_EXPORTERS_KAFKA_PIECES_H

#include "core/buf.h"
#include "core/client.h"
#include "exporters/kafka/options.h"
#include "net/loop.h"
#include "otlp-proto/rows.h"
#include "pipeline/exporter.h"

/** What is the same for all messages of one piece. */
struct gw_kafka_place {
    struct gw_slice topic, key;
    bool has_key;
};

/** One message. Bytes are offsets until the chunk is complete: its buffers move while they grow. */
struct gw_kafka_message {
    struct gw_produce m;
    struct gw_kafka_chunk *chunk;
    size_t piece, n_piece, value, n_value, topic, n_topic, key, n_key;
    uint32_t rows;
    uint32_t row_at;            /* which rows of the attempt they are: from this one on, or as chunk->row_of says */
    bool listed;                /* from there on; of attempts on disk only */
    struct gw_kafka_hold *hold; /* that it was given to */
    bool refused;               /* for good */
    char reason[24];
};

/** A producer, and what is open at it; a retired one lives until nothing is. */
struct gw_kafka_hold {
    struct gw_kafka *s;
    struct gw_producer *p;
    size_t batch_bytes;
    uint64_t timeout_ns, made_ns;
    unsigned open;
    bool shut_out; /* TLS or the login failed */
    struct gw_kafka_hold *next;
};

/** Messages that were built together, and their bytes. */
struct gw_kafka_chunk {
    struct gw_kafka_job *job;
    struct gw_kafka_chunk *next;
    struct gw_slice body; /* pieces of the whole body are borrowed: piece offsets are into it when `borrowed` */
    bool borrowed;
    struct gw_buf pieces, values, texts, row_of; /* row_of: uint32_t each */
    struct gw_kafka_message *messages;
    unsigned n, cap;
};

/** An attempt under way. */
struct gw_kafka_job {
    struct gw_kafka *s;
    struct gw_attempt *a;
    struct gw_kafka_chunk *chunks;
    unsigned open;   /* messages at the producer */
    uint32_t n_rows; /* of the body */
    uint32_t refused_rows, dead_rows, left_rows;
    struct gw_buf left;
    bool on_disk;                   /* each row's fate is told by itself, so that a crash does not send it again */
    struct gw_rows taken, left_set; /* of the body; empty unless on_disk */
    struct gw_timer tell_timer;     /* some of `taken` have not been told */
    struct gw_header *headers;
    unsigned n_headers;
    char reason[24], message[400];
    struct gw_kafka_job *next, **link; /* in waiting, when the number of partitions is not known yet */
    uint64_t waits_until_ns;
};

struct gw_kafka {
    const struct gw_kafka_conf *conf;
    const struct gw_ctx *ctx;
    struct gw_loop *loop;
    struct gw_kafka_hold *holds; /* the first is in use, the others are retired */
    struct gw_auth token;
    unsigned n_jobs;
    struct gw_kafka_job *waiting;
    struct gw_timer timer, purge_timer, reap_timer;
    struct gw_kafka_chunk *kept;
    size_t kept_bytes;
    struct gw_buf scratch;
    unsigned robin;
    uint32_t *backup; /* open messages per partition, for least_backup */
    int n_backup;
};

/** Of the signal's own settings. */
static inline const struct gw_kafka_signal *gw_kafka_signal_of(const struct gw_kafka *s, enum gw_signal signal)
{
    return signal == GW_TRACES ? &s->conf->traces : signal == GW_METRICS ? &s->conf->metrics : &s->conf->logs;
}

/** An empty chunk, first of the job's; one that was kept, if there is one. Errors: NULL. */
struct gw_kafka_chunk *gw_kafka_chunk_new(struct gw_kafka_job *j, struct gw_slice body);
/** Kept for the next body, or freed when enough are. */
void gw_kafka_chunk_put(struct gw_kafka *s, struct gw_kafka_chunk *c);
/** All that are kept. */
void gw_kafka_chunks_free(struct gw_kafka *s);
/** The headers of all messages of an attempt. Errors: -ENOMEM. */
int gw_kafka_set_headers(struct gw_kafka_job *j);
/**
 * The whole body as messages with their topics and keys. Rows that are too long alone are told dead.
 *
 * Errors    -EBADMSG, -ENOMEM, -E2BIG
 */
int gw_kafka_build(struct gw_kafka_chunk *c);
/** The piece of a message of another chunk as two or more messages of the same place. Errors: as build. */
int gw_kafka_build_halves(struct gw_kafka_chunk *c, const struct gw_kafka_message *m);
/** Where a message's piece stands: protobuf, whatever the encoding. */
static inline struct gw_slice gw_kafka_piece(const struct gw_kafka_message *m)
{
    const struct gw_kafka_chunk *c = m->chunk;

    return gw_slice_of((c->borrowed ? c->body.p : c->pieces.p) + m->piece, m->n_piece);
}

/** Its rows into a set of rows of the attempt. Errors: -ENOMEM. */
int gw_kafka_rows_add(struct gw_rows *set, const struct gw_kafka_message *m);

#endif
