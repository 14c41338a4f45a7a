/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running graph: instances made from a service, wired, and turned by threads.
 *
 *   worker threads     receivers' shares, intakes, chains: one loop each
 *   exporter threads   one per exporter that sends: one loop each
 *   the caller         extensions, on the loop that it brings
 *
 * phases   RUNNING ─► QUIESCING ─► DRAINING ─► STOPPED
 *          takes work  receivers    queues run   threads joined
 *                      finish       empty
 */
#ifndef GW_RUNTIME_ENGINE_H
#define GW_RUNTIME_ENGINE_H

#include "core/credit.h"
#include "log/files.h"
#include "pipeline/service.h"
#include "queue/edge.h"

struct gw_engine;
struct gw_samples;

struct gw_engine_conf { /* borrowed for the engine's life */
    struct gw_env *env;
    const struct gw_service *service;
    struct gw_meter *meter;
    const struct gw_log_sink *log;
    struct gw_loop *loop;  /* the caller's: extensions live on it; woken when a phase is over */
    unsigned n_workers;    /* 0 = one per CPU */
    uint64_t memory_bytes; /* 0 = from the cgroup or the machine */
    bool by_hand;          /* no threads: gw_engine_turn turns all loops (simulation, tests) */
    uint64_t max_read_ns;  /* by_hand: what is read from logs for workers is there up to so much later */
    /**
     * by_hand: whether that thread does not get on now: "worker/0", an exporter's id, "log/logs" for the writer of a
     * log, "read/logs" for what reads it; or NULL.
     */
    bool (*stands_still)(const char *thread);
    bool without_receivers; /* nothing comes in but by gw_inject_put */
    /** Another way to open logs than gw_log_files_open (simulation); or NULL. */
    int (*open_log)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err);
};

/** Make all instances. Errors: negative errno; err names component and setting. */
int gw_engine_new(const struct gw_engine_conf *conf, struct gw_engine **ret, struct gw_err *err);
/** Open extensions, exporters, workers, in this order; receivers listen when it returns. Errors: nothing is left
 * running. */
int gw_engine_start(struct gw_engine *e, struct gw_err *err);

/** Receivers stop taking work; health turns 503. */
void gw_engine_quiesce(struct gw_engine *e);
/** All requests are answered and all processors drained. */
bool gw_engine_is_quiet(const struct gw_engine *e);
/** Queues send what they have, without waiting for full batches. */
void gw_engine_drain(struct gw_engine *e);
bool gw_engine_is_drained(const struct gw_engine *e);
/** Stop and join everything; what is left in queues is dropped as "shutdown". Returns the rows that were. */
uint64_t gw_engine_stop(struct gw_engine *e);
/** What the program starts beside it has failed: it leaves no trace in logs, as when gw_engine_start fails. */
void gw_engine_start_failed(struct gw_engine *e);
void gw_engine_free(struct gw_engine *e);

/* ---- another configuration -------------------------------------------------------------------------------- */

/** A configuration, and how to let it go when nothing borrows from it any more. */
struct gw_engine_source {
    const struct gw_service *service;
    void (*release)(void *arg); /* or NULL */
    void *arg;
};

/**
 * Go over to another configuration. Instances that are equal stay as they are, with their connections, queues and
 * counters; what is new is made and opened; then each worker goes over between two turns. What has begun ends where it
 * began, and what is not named any more leaves when it is done (gw_engine_tend).
 *
 * Threads   the one that started the engine; waits for the workers, for about a turn of theirs
 * Owner     takes the source, whatever comes of it
 * Errors    -EBUSY while the gateway stops, or when too many earlier configurations are still leaving; otherwise as new
 *           and start. Everything goes on as before
 */
int gw_engine_reload(struct gw_engine *e, const struct gw_engine_source *to, struct gw_err *err);
/** One step with the configurations that leave: when the loop was woken, and now and then while there are some. */
void gw_engine_tend(struct gw_engine *e);
/** Earlier configurations of which something is still there. */
unsigned gw_engine_n_leaving(const struct gw_engine *e);
/** The configuration that takes new work. */
const struct gw_service *gw_engine_service(const struct gw_engine *e);
/** Against the marks for memory that a configuration asks for: 0 = from the cgroup or the machine. */
void gw_engine_limit_memory(struct gw_engine *e, uint64_t bytes);

/** by_hand only: one turn of every loop, without waiting. */
void gw_engine_turn(struct gw_engine *e);

/** An open log of that kind and name, of whatever storage; or NULL. Main thread. */
struct gw_log *gw_engine_log(const struct gw_engine *e, const char *kind, const char *name);
/** Where such a log lies in a storage's directory. */
void gw_engine_log_dir(const char *directory, const char *kind, const char *name, char *ret, size_t room);

/** The last records of each reason to drop some. */
struct gw_samples *gw_engine_samples(const struct gw_engine *e);

/* ---- for tests and the admin pages ------------------------------------------------------------------------ */

struct gw_edge *gw_engine_edge(const struct gw_engine *e, const char *exporter_id);
/** The exporter, receiver or extension of that id. */
void *gw_engine_instance(const struct gw_engine *e, enum gw_kind kind, const char *id);
struct gw_intake *gw_engine_intake(const struct gw_engine *e, unsigned worker, const char *receiver_id);
/** by_hand only: to turn one worker alone. */
struct gw_loop *gw_engine_worker_loop(const struct gw_engine *e, unsigned worker);
unsigned gw_engine_n_workers(const struct gw_engine *e);
struct gw_credit *gw_engine_memory(struct gw_engine *e);
/** One line per pipeline and exporter: what a client's OK means there. Appended, for the log. */
void gw_engine_describe(const struct gw_engine *e, struct gw_buf *out);

#endif
