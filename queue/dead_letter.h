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
    const char *rule, *field;
    struct gw_slice value; /* cut to 256 bytes */
    enum gw_signal signal;
    uint32_t rows;
    unsigned attempts;
    int code;
    uint64_t first_ns, last_ns; /* wall clock: arrived, given up */
    const struct gw_meta *meta;
    struct gw_slice body;
};

/** Append one ExportLogsServiceRequest with this record. Messages concatenate. Errors: out->failed. */
void gw_dead_letter_put(struct gw_env *env, const struct gw_dead_letter *d, struct gw_buf *out);

#endif
