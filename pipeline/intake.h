/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between a receiver and its pipelines; one per receiver and worker. The runtime implements it, the
 * receiver calls it, all on the worker's thread.
 *
 *   1  admit    head of the request read, nothing of its body: is there room, is there a pipeline?
 *   2  grow     the body turned out longer (chunked, compressed): more room
 *   3  submit   body complete and decompressed: decode into the open batch
 *   4  verdict  later, exactly once per submit that returned 0, on the same worker
 *
 * Refusal is legal until submit has joined the rows to the open batch, and never after.
 */
#ifndef GW_PIPELINE_INTAKE_H
#define GW_PIPELINE_INTAKE_H

#include "batch/batch.h"
#include "core/status.h"
#include "pipeline/keep.h"

struct gw_intake;

enum gw_encoding { GW_ENC_PROTO, GW_ENC_JSON };

/** What to tell a client. grpc_status is the one truth; HTTP answers are derived from it. */
struct gw_verdict {
    int grpc_status;         /* 0 OK, 3 INVALID_ARGUMENT, 8 RESOURCE_EXHAUSTED (size only), 12, 13, 14 … */
    uint64_t retry_after_ns; /* with 14: RetryInfo / Retry-After; 0 = none */
    uint32_t rows, rejected; /* rejected > 0: partial success */
    enum gw_signal signal;
    const char *message; /* valid during the call; "" when there is nothing to say */
    bool too_large;      /* HTTP 413 rather than 429 */
};

/** A request's reservation; embedded in the receiver's stream, zeroed before admit. */
struct gw_hold {
    uint64_t bytes;
    enum gw_signal signal;
    bool queued; /* a place in every queue that the pipelines reach is reserved */
    void *where; /* the runtime's: in whose queues */
};

struct gw_request {
    struct gw_hold *hold; /* taken over on success, still the caller's on failure */
    enum gw_encoding encoding;
    struct gw_payload *payload; /* the body; takes the reference on success. NULL: bytes is copied */
    struct gw_slice bytes;      /* the body, inside payload when that is given */
    struct gw_meta *meta;       /* shares */
    struct gw_ack ack;          /* worker is filled in by the intake */
    uint64_t deadline_ns;       /* monotonic; 0 = none */
};

/** Rows as they were decoded once, by whoever received them: for a connector that has them still. All of it borrowed.
 */
struct gw_live {
    struct gw_batch *batch;
    const uint64_t *kept; /* bitmap, or NULL = all */
    uint32_t n_rows;      /* kept ones */
    uint64_t bytes;       /* of them, encoded */
    struct gw_meta *meta;
    struct gw_ack ack;
};

/** Rows that are a dead letter without having been worked on. */
struct gw_buried {
    const char *reason, *message; /* of class "poison" */
    uint32_t rows;
    unsigned attempts;
    uint64_t first_ns; /* wall clock: when they came in */
};

struct gw_intake_ops {
    /**
     * Reserve room for a request of `bytes` on the wire (0 = unknown yet).
     * Returns 0, or fills *ret_refusal and returns -EBUSY (overload: 14 with a delay), -ENOTSUP (no pipeline: 12).
     */
    int (*admit)(struct gw_intake *in, struct gw_hold *h, enum gw_signal signal, uint64_t bytes,
                 struct gw_verdict *ret_refusal);
    /** Reserve up to `bytes` in all. Returns 0 or -EBUSY as admit. */
    int (*grow)(struct gw_intake *in, struct gw_hold *h, uint64_t bytes, struct gw_verdict *ret_refusal);
    /**
     * Reserve up to `bytes` in all for what has not come yet: only while new requests are let in, and never a refusal.
     * False: not now.
     */
    bool (*ahead)(struct gw_intake *in, struct gw_hold *h, uint64_t bytes);
    /** Give a reservation back: the request was cut off or refused. Accepts a zeroed hold. */
    void (*release)(struct gw_intake *in, struct gw_hold *h);
    /**
     * Returns 0: a verdict follows (perhaps from inside this call). -EBADMSG, -E2BIG, -EBUSY, -ENOTSUP: *ret_refusal is
     * the answer, nothing was taken.
     */
    int (*submit)(struct gw_intake *in, struct gw_request *rq, struct gw_verdict *ret_refusal);
    /**
     * For connectors: an OTLP request (rq->bytes, of rq->hold->signal; nothing is reserved) that must not be decoded.
     * 0: a verdict follows, when the letter is kept. 1: there is no place for letters, the rows are counted as dropped.
     * -EBUSY: no room, come again.
     */
    int (*bury)(struct gw_intake *in, struct gw_request *rq, const struct gw_buried *b);
    /**
     * For connectors: admit and submit of rows that need no decoding; what was submitted before goes before them.
     * Errors as of these two; -EOPNOTSUPP: never this way.
     */
    int (*hand_over)(struct gw_intake *in, const struct gw_live *l, struct gw_verdict *ret_refusal);
};

/** First member of the runtime's struct. */
struct gw_intake {
    const struct gw_intake_ops *ops;
    unsigned signals; /* OR of those with a pipeline */
    unsigned worker;
    /** Set by the receiver in open(). `ack` is what submit was given. */
    void (*on_verdict)(void *local, const struct gw_ack *ack, const struct gw_verdict *v);
    void *local;
    uint64_t max_body_bytes;        /* after decompression, of the receiver's own settings; set by the receiver */
    const struct gw_limits *limits; /* what one request may hold (otlp-proto/limits.h); set by the receiver */
    /* otelcol_receiver_*; counted by the runtime. transport is a receiver's label, from the meta. */
    const char *id;
    /**
     * What it brings a journal has, and all queues behind are in memory: they keep no order, and a verdict comes when
     * the sink's does. Then requests of one partition need not wait for each other.
     */
    bool many;
    /* A connector gets one for each pipeline that begins with it; pipeline is NULL for receivers. */
    const char *pipeline;
    struct gw_intake *next;
    /**
     * Its pipeline keeps rows, and they survive: NULL when not. Then rows come as pipeline/keep.h says, and the
     * connector's position is what on_kept (set by it) tells: on the worker, rows before low_seq are not needed again.
     */
    const struct gw_intake_keep_ops *keep;
    void (*on_kept)(void *local, uint64_t low_seq);
    /** Of what a connector submits, in the flight record (log/flight.h); set by it. */
    uint32_t scope;
};

/** HTTP status of a verdict, the mapping of the Collector's receiver with 413 for size (OTLP 1.11). */
int gw_verdict_http_status(const struct gw_verdict *v);

#endif
