/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dead letter is a log record: its body is the original bytes, its attributes say what happened (dlq.*). To replay
 * it, send the body again.
 */
#ifndef GW_QUEUE_DEAD_LETTER_H
#define GW_QUEUE_DEAD_LETTER_H

#include "batch/batch.h"
#include "core/buf.h"
#include "core/env.h"

/** Everything is optional but class, reason and body; NULL and 0 are left out. */
struct gw_dead_letter {
    const char *class_;  /* "schema" (a rule of ours), "sink_rejected", "limit_size", "retry_exhausted" */
    const char *reason;  /* short name */
    const char *message; /* a sentence */
    const char *component, *pipeline, *receiver;
    const char *config;   /* hash of the configuration */
    const char *encoding; /* of the body; NULL = protobuf */
    const char *rule, *field;
    struct gw_slice value; /* cut to 256 bytes */
    enum gw_signal signal;
    uint32_t rows;
    uint32_t rejected; /* of these; the others are in the sink: class "partial" */
    unsigned attempts;
    int code;
    uint64_t first_ns, last_ns; /* wall clock: arrived, given up */
    uint64_t whole_bytes;       /* of a body that was cut */
    const struct gw_meta *meta; /* also tells whether it was a dead letter before */
    struct gw_slice body;
    struct gw_rope rope; /* the body instead, when it has parts */
};

/** Append one ExportLogsServiceRequest with this record. Messages concatenate. Errors: out->failed. */
void gw_dead_letter_put(struct gw_env *env, const struct gw_dead_letter *d, struct gw_buf *out);

/**
 * Rows that are replayed bring the ids of the dead letters that they were, separated by commas, as the value of this
 * key of their meta. A letter in which they end again has them as dlq.chain: whose chain is full is replayed no more.
 */
#define GW_DEAD_LETTER_CHAIN GW_SLICE("dlq.chain")
enum { GW_DEAD_LETTER_CHAIN_MAX = 5, GW_DEAD_LETTER_ID_BYTES = 36 };
/** Empty when there is none: takes NULL. */
struct gw_slice gw_dead_letter_chain(const struct gw_meta *m);

#endif
