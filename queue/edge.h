/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from a chain to a sink: one edge per exporter, shared by all pipelines and workers.
 *
 *   worker             reserve (at the door) ─► put: view ─► encode ─► chunk ─┐ inbox
 *   exporter's thread  ┌──────────────────────────────────────────────────────┘
 *                      └► lane (one per signal) ─► batcher ─► pending ─► at most num_consumers jobs ─► send
 *                         done: delivered │ again after a pause │ split │ dead letter or counted drop
 *
 *   rows:   in = delivered + rejected + dropped{reason} + dead_lettered + held        exact, at any moment of rest
 *   units:  reserved at the door, so that put never fails for want of room; held until the job is done
 */
#ifndef GW_QUEUE_EDGE_H
#define GW_QUEUE_EDGE_H

#include "batch/settle.h"
#include "core/credit.h"
#include "core/meter.h"
#include "pipeline/component.h"
#include "queue/book.h"
#include "queue/settings.h"

struct gw_edge;

enum { GW_N_SIGNALS = 3, GW_EDGE_DEAD_LETTERS = 8 };
/** traces 0, metrics 1, logs 2 */
static inline unsigned gw_signal_index(enum gw_signal s)
{
    return (unsigned)s >> 1;
}

/** A row that was dropped, as an OTLP request of it alone when it can be told from the others; or what the sink would
 * have been sent. */
struct gw_edge_sample {
    const char *component, *pipeline, *reason;
    enum gw_signal signal;
    struct gw_slice body; /* while it is looked at */
    void (*keep)(void *arg, const struct gw_edge_sample *s);
    void *arg;
};

struct gw_edge_conf { /* all borrowed for the edge's life, but for settings */
    struct gw_env *env;
    const struct gw_component *component;
    void *self; /* the exporter */
    const char *id;
    unsigned signals; /* that reach it: those have metrics */
    struct gw_queue_settings settings;
    struct gw_meter *meter;
    enum gw_metrics_level level; /* which of its metrics there are */
    struct gw_logger logger;
    const char *config; /* hash of the configuration, for dead letters; copied */
    struct gw_credit *memory;
    /** Room appeared while somebody waited for it (gw_edge_reserve with `wait`). Threads: any. */
    void (*room)(void *arg);
    /** The book of that key; NULL: none is kept. Threads: any. */
    struct gw_book *(*book)(void *arg, const struct gw_book *key);
    /** Of what is dropped without a letter: a few of each reason, then one a second. Threads: the exporter's; or NULL.
     */
    void (*sample)(void *arg, const struct gw_edge_sample *s);
    void *arg;
};

/** Who puts rows in, and the book that they are counted in: the caller's page of it. NULL: none. */
struct gw_put_from {
    struct gw_book *book;
    const void *sender;
    unsigned page;
    uint64_t cut;              /* the last picture that the sender has taken its part in */
    struct gw_ticket *receipt; /* a reference, used up when the bytes are taken: settled when they are kept; or NULL */
};

/** Owner: gives *ret. Errors: -ENOMEM. */
int gw_edge_new(const struct gw_edge_conf *conf, struct gw_edge **ret);
void gw_edge_free(struct gw_edge *e);
/** It is going to be reached by more signals than it was made for. Before the first put of one of them. */
void gw_edge_add_signals(struct gw_edge *e, unsigned signals);
/** Where rows go that the sink will never take. Before the first put. Errors: -E2BIG, -ELOOP when `to` leads back. */
int gw_edge_add_dead_letter(struct gw_edge *e, struct gw_edge *to);
/** `to` is `from`, or gets its dead letters, at whatever remove. */
bool gw_edge_leads_to(const struct gw_edge *from, const struct gw_edge *to);

/* ---- the exporter's thread -------------------------------------------------------------------------------- */

/** Its queue is on disk (sending_queue.storage): what pipelines give it comes out of their logs (queue/wal.h). */
bool gw_edge_is_durable(const struct gw_edge *e);
const char *gw_edge_storage(const struct gw_edge *e);
/** What is put with a receipt (gw_put_from) is on disk when that is settled, and soon: no sink elsewhere is waited for.
 */
bool gw_edge_keeps(const struct gw_edge *e);
/** A log of its own for what comes through ports; before the first put. */
struct gw_wal;
void gw_edge_set_own_wal(struct gw_edge *e, enum gw_signal s, struct gw_wal *w);
/** What comes to it, whichever way, goes through a log, and is in the log's books. */
bool gw_edge_draws_from_logs(const struct gw_edge *e);

/** False: the exporter swallows views on the worker; there is nothing to open and no thread. */
bool gw_edge_needs_thread(const struct gw_edge *e);
/** What its thread is called in the flight record (log/flight.h). */
uint32_t gw_edge_home(const struct gw_edge *e);
int gw_edge_open(struct gw_edge *e, struct gw_loop *loop, struct gw_err *err);
/** What is left is dropped as "shutdown"; attempts under way are cancelled. Turns the loop until they are done. */
void gw_edge_close(struct gw_edge *e);

/* ---- any thread ------------------------------------------------------------------------------------------- */

/** No more waiting for full batches: everything leaves as soon as it can. */
void gw_edge_drain(struct gw_edge *e);
/** Nothing is queued or under way. */
bool gw_edge_is_empty(const struct gw_edge *e);
/** Nothing is in memory; or the sink is away, and what is there is on disk, too. */
bool gw_edge_is_at_rest(const struct gw_edge *e);
/** As empty, and nothing is left on disk, although the sink may be away. */
bool gw_edge_is_dry(const struct gw_edge *e);
/** A closed one: what has become of its rows is noted on disk. */
bool gw_edge_is_settled(const struct gw_edge *e);

/** What a request takes of the queue, in its sizer's units. */
uint64_t gw_edge_units(const struct gw_edge *e, uint64_t requests, uint64_t rows, uint64_t bytes);
enum gw_sizer gw_edge_sizer(const struct gw_edge *e);
/** True: overflow parks the request instead of refusing it. */
bool gw_edge_blocks(const struct gw_edge *e);
const char *gw_edge_id(const struct gw_edge *e);
/** `wait`: call room() when there is some again. A request larger than an empty queue passes. */
bool gw_edge_reserve(struct gw_edge *e, enum gw_signal s, uint64_t units, bool wait);
/** Somebody waits for room, and got none yet. */
bool gw_edge_is_waited_for(const struct gw_edge *e, enum gw_signal s);
void gw_edge_unreserve(struct gw_edge *e, enum gw_signal s, uint64_t units);
/**
 * Room for what can wait elsewhere: with it no more than half of the queue is taken, and memory behind which as much is
 * free again twice over; or the queue is empty. Nothing is reserved.
 */
bool gw_edge_has_slack(const struct gw_edge *e, enum gw_signal s, uint64_t units, uint64_t bytes);
/** How many units have to leave before so many more fit: 0 when they fit now. */
uint64_t gw_edge_excess(const struct gw_edge *e, enum gw_signal s, uint64_t units);
/** Units that have left since the start, for good or for bad: of a bounded queue. */
uint64_t gw_edge_drained(const struct gw_edge *e, enum gw_signal s);
/** Rows that the door turned away because of this queue. */
void gw_edge_count_refused(struct gw_edge *e, enum gw_signal s, uint64_t rows);

/** What a worker brings to put. */
struct gw_edge_put {
    struct gw_buf *scratch; /* the worker's, for encoding */
    struct gw_ledger *ledger;
    uint64_t *reserved;                 /* units that the door took for this turn; put uses them up */
    const struct gw_batching *batching; /* of the pipeline, or NULL */
    const char *pipeline;               /* its id, which lives as long as batching; or NULL */
    uint64_t deadline_ns; /* monotonic: when the last of the waiting clients gives up: no attempt starts after it; 0 =
                             never */
    struct gw_put_from from; /* its rows are counted by the caller */
    /** They are read from a journal, which keeps them until they are settled: that they are in memory is not enough. */
    bool in_log;
};
/**
 * Take the view: its rows are stored now, or settled when the sink has answered (wait_for_result, queue off, in_log).
 * Without memory they are refused.
 */
void gw_edge_put(struct gw_edge *e, struct gw_view *v, const struct gw_edge_put *how);

/**
 * An OTLP body of n_rows rows that nobody waits for: dead letters. reserved: units that were taken before, used up
 * whatever the outcome; NULL: they are taken now. False when there is no room or no memory. What is taken is counted
 * in from->book; from may be NULL.
 */
bool gw_edge_put_bytes(struct gw_edge *e, enum gw_signal s, struct gw_slice body, uint32_t n_rows,
                       const uint64_t *reserved, const struct gw_put_from *from);

/** Rows so far, of one signal. */
struct gw_edge_counts {
    uint64_t in, delivered, rejected, dropped, dead_lettered, held;
    uint64_t stored; /* of held: in a log, where they survive the process */
};
struct gw_edge_counts gw_edge_counts(const struct gw_edge *e, enum gw_signal s);

#endif
