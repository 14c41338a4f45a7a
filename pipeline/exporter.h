/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exporter's two halves.
 *
 *   worker:           view ─► encode ─► chunk (bytes + rows + receipts) ─► queue
 *   exporter thread:  queue ─► batcher (merges, splits) ─► attempt ─► send ─► done: settled, retried, split, dead
 *
 * The queue, batching, time-outs and retries are the runtime's (queue/), configured by the Collector's keys
 * (sending_queue, retry_on_failure, timeout), which the runtime adds to the settings of every exporter that sets
 * `queued`. No exporter decides about retries: one that cuts a body into requests of its own (own_tries) asks the
 * queue after each failure what to do.
 */
#ifndef GW_PIPELINE_EXPORTER_H
#define GW_PIPELINE_EXPORTER_H

#include "batch/view.h"
#include "core/buf.h"
#include "core/sign.h"
#include "core/status.h"

struct gw_loop;
struct gw_node;
struct gw_queue_settings;

/**
 * How chunks are put together before an attempt: `sending_queue.batch` of the exporter, else the `batch` processor
 * of the pipeline. One batch per signal and per combination of values of the metadata keys (unset is not empty).
 */
struct gw_batching {
    bool enabled, by_bytes;           /* sizes are rows, or bytes */
    uint64_t flush_timeout_ns;        /* 0 = every chunk leaves at once */
    uint64_t min_size, max_size;      /* max 0 = never split */
    const char *const *metadata_keys; /* lower case; borrowed from the configuration */
    unsigned n_metadata_keys;
    uint64_t cardinality_limit; /* combinations at one time; 0 = no limit */
    const char *processor;      /* id of the batch processor whose metrics are counted, or NULL */
};

/** How two chunks of the same kind become one. */
enum gw_merge {
    GW_MERGE_OTLP,   /* OTLP protobuf: concatenation is merging; splits at row boundaries */
    GW_MERGE_CONCAT, /* any bytes that may stand one behind the other; never split */
    GW_MERGE_NONE,   /* one chunk, one attempt */
};

enum gw_sent {
    GW_SENT_OK,
    GW_SENT_RETRY,     /* nothing of what is left was taken; again after a back-off */
    GW_SENT_PERMANENT, /* the sink will never take it: dead letter, counted */
    GW_SENT_TOO_LARGE, /* halves may pass: split; a single row becomes a dead letter */
    GW_SENT_OVER,      /* own_tries: `again` said that what is left is not to be tried any more */
};

struct gw_sent_info {
    enum gw_sent sent;
    uint64_t retry_after_ns; /* the sink's own wish; 0 = none */
    int grpc_status;         /* what a waiting client shall hear; 0 = by outcome */
    uint32_t rejected_rows;  /* with OK: the sink's partial success */
    const char *reason;      /* short name for metrics: "http_400", "timeout" */
    const char *message;     /* a sentence; copied */
    struct gw_slice left;    /* with RETRY: only these bytes (a valid body of left_rows) are to be sent again;
                                n == 0 = the whole body. With OVER: what is given up. Copied before done returns */
    uint32_t left_rows;
    enum gw_sign sign;  /* what it says about the sink */
    bool untried;       /* own_tries, to `again`: nothing was sent, the endpoint's breaker is open for retry_after_ns */
    bool may_be_a_part; /* with PERMANENT: perhaps only some rows are to blame, so that halves are worth a try */
    const uint64_t *left_bits; /* which rows of the attempt these are, when that is known: then a crash does not send
                                  the others again */
};

/** The tries of one request of an exporter with own_tries; zeroed before the first. */
struct gw_tries {
    unsigned failures;
    double interval_ns;
    uint64_t first_ns; /* monotonic: of the first failure */
    bool wished;       /* the pause is the sink's own wish: draining does not shorten it */
    bool last_try;     /* the time for trying is up: once more, whatever a breaker says; until the next failure */
    const char
        *over; /* why `again` said no: "retry_exhausted", "retry_disabled", "deadline", "shutdown", "breaker_open" */
};

/** Rows that can never be delivered. */
struct gw_death {
    const char *class_; /* "sink_rejected", "limit_size", "schema" (it has no form that the sink knows) */
    const char *reason; /* short name for metrics: "http_400" */
    const char *message;
    int code;             /* the sink's own, such as an HTTP status; 0 = none */
    struct gw_slice body; /* OTLP: these rows alone; copied */
    uint32_t rows;
    const uint64_t *bits; /* which rows of the attempt they are, or NULL: a crash may then send them once more */
};

/** One try of one body. Lives until done; owned by the queue. */
struct gw_attempt {
    enum gw_signal signal;
    struct gw_slice body;         /* with parts: p is NULL, n is the length of all */
    struct gw_payload *payload;   /* that the body lies in, shared with others and only to be read; or NULL */
    const struct gw_slice *parts; /* the body in several places, for an exporter that takes_parts; or NULL */
    uint32_t n_parts;
    uint32_t rows;
    uint64_t timeout_ns;        /* of this try; 0 = none */
    unsigned number;            /* 1 = first */
    const struct gw_meta *meta; /* of all its rows, or NULL */
    void *impl;                 /* the exporter's own */
    void (*done)(struct gw_attempt *a, const struct gw_sent_info *info);
    /**
     * Some rows can never be delivered: they become a dead letter, which waits for room when there is none, or a
     * counted drop. Any number of times before done; those rows then no longer belong to the attempt.
     */
    void (*dead)(struct gw_attempt *a, const struct gw_death *d);
    /**
     * For own_tries: the sink has these rows (bitmap over the rows of the body) while others are still under way. A
     * queue on disk remembers it. Any number of times before done, rows that were told before may be told again; done
     * counts them still.
     */
    void (*taken)(struct gw_attempt *a, const uint64_t *bits);
    /**
     * What that row of the body is called in the queue on disk: four numbers that no other row has, the same in every
     * attempt, also of the next process. False: it is in memory only. Until done.
     */
    bool (*row_name)(struct gw_attempt *a, uint32_t row, uint64_t ret[4]);
    /**
     * For own_tries: a request of this attempt has failed. True: try it again after *ret_pause_ns. False: its tries are
     * over, see t->over; when the others are settled too, the attempt ends as GW_SENT_OVER with what is left.
     */
    bool (*again)(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret_pause_ns);
};

/** The body, wherever it lies. */
static inline struct gw_rope gw_attempt_rope(const struct gw_attempt *a)
{
    return a->parts ? (struct gw_rope){a->parts, a->n_parts, a->body.n} : gw_rope_of(&a->body);
}

struct gw_exporter_ops {
    enum gw_merge merge;
    /** It sends a body from several places: chunks that become one stay where they are. Each part is one by itself. */
    bool takes_parts;
    bool queued;           /* sending_queue, retry_on_failure, timeout belong to its settings */
    bool queue_by_default; /* sending_queue.enabled when the key is absent */
    uint64_t default_timeout_ns;
    /**
     * A body becomes several requests, each tried until it is settled: the queue sets no timer and never sends an
     * attempt twice. timeout_ns is of each request. Attempts come in the order of the queue, num_consumers at once.
     */
    bool own_tries;
    /** What it has taken is on disk here: whoever gives it something may wait for that. */
    bool keeps;
    /** What is queued when it is closed is still sent, for some seconds: others give it their last then. */
    bool finishes;
    /** Other defaults than those of gw_queue_fields (pipeline/queue_settings.h). May be NULL. */
    void (*queue_defaults)(struct gw_queue_settings *s);
    /** What the exporter's own keys say about the queue; its conf and block have been read. May be NULL. */
    void (*queue_adjust)(const void *conf, const struct gw_node *node, struct gw_queue_settings *s);
    /** How the queue is set in the end, for an exporter that goes by it. May be NULL. */
    void (*queue_seen)(void *conf, const struct gw_queue_settings *s);

    /**
     * Append the view's rows as bytes. NULL: OTLP protobuf (otlp-proto/encode.h).
     * Threads: any worker, with no lock: self must not be written.
     */
    int (*encode)(void *self, const struct gw_view *v, struct gw_buf *out);
    /** Swallow the view at once on the worker, no bytes, no thread (nop). Then the other slots are NULL. */
    void (*swallow)(void *self, struct gw_view *v);

    /** On the exporter's thread, before the first send. */
    int (*open)(void *self, struct gw_loop *loop, struct gw_err *err);
    /** Start sending; a->done follows, also from inside. */
    void (*send)(void *self, struct gw_attempt *a);
    /** Time is up (timeout_ns passed, or the drain ended): a->done must follow soon. May be NULL. */
    void (*cancel)(void *self, struct gw_attempt *a);
    /** For own_tries: the gateway drains, so that pauses that are not a sink's wish should end within pause_ns. */
    void (*hurry)(void *self, uint64_t pause_ns);
    /** All attempts are done; write out what is buffered. */
    void (*close)(void *self);
    /**
     * Where a signal goes, as a label of metrics shows it: no credentials. Signals that go to the same place share a
     * circuit breaker. NULL: all do. Asked once, after create; the text lives as long as self.
     */
    const char *(*endpoint)(void *self, enum gw_signal s);
};

#endif
