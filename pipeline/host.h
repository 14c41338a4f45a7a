/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance may ask of the house: other instances by id, and the state of the whole.
 */
#ifndef GW_PIPELINE_HOST_H
#define GW_PIPELINE_HOST_H

#include "core/credit.h"
#include "core/tasks.h"
#include "log/files.h"
#include "log/flight.h"
#include "pipeline/auth.h"
#include "pipeline/storage.h"

struct gw_host;
struct gw_alarms;
struct gw_listeners;

/** A log that an instance wants. */
struct gw_host_log {
    const char *storage; /* id of the extension; "" = the first storage of service::extensions */
    const char *kind;    /* "queue", "journal", "dead_letters": a folder of the storage */
    const char *name;    /* any text; "" = the kind's folder itself */
    struct gw_log_retention retention;
    uint64_t max_bytes; /* 0 = the storage's */
};

struct gw_host_ops {
    /** The authenticator extension of that id. Errors: -ENOENT, err says which extensions there are. */
    int (*auth)(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err);
    /** True while receivers take requests. Threads: any. */
    bool (*is_ready)(struct gw_host *h);
    /** Wall clock of the start, ns. */
    uint64_t (*started_ns)(struct gw_host *h);
    /**
     * A log, opened (and recovered) with the first call and shared by all who ask for it by the same storage, kind and
     * name. It has a writer of its own, and is closed after everything that can use it. In create() or start().
     *
     * Errors    -ENOENT no such storage; as gw_log_files_open. err is a sentence
     */
    int (*log)(struct gw_host *h, const struct gw_host_log *what, struct gw_log **ret, struct gw_err *err);
    /**
     * The thread that reads that log for those who must not wait for a disk. Tasks must be done, or cancelled, before
     * their owner goes. In create() or start().
     */
    struct gw_tasks *(*log_reads)(struct gw_host *h, const struct gw_log *log);
    /**
     * The flight record of the storage that this log, one of log(), lies in, and what the log is called there. NULL:
     * there is none. Lives as long as the log.
     */
    struct gw_flight *(*flight)(struct gw_host *h, const struct gw_log *l, uint64_t *ret_log);
    /** How that storage ("": the first) wants its logs. Errors: -ENOENT, err says which there are. */
    int (*storage)(struct gw_host *h, const char *id, struct gw_storage *ret, struct gw_err *err);
};

struct gw_host {
    const struct gw_host_ops *ops;
    struct gw_credit *memory;       /* the process' budget */
    struct gw_listeners *listeners; /* that a new listener may take over (net/http_server.h) */
    struct gw_alarms *alarms;       /* of all pipelines (pipeline/alarms.h); NULL: nobody raises any */
    bool for_replay;                /* no receiver runs, and no connector reads: nobody is missed */
};

#endif
