/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of a run: build the graph, serve, reload on SIGHUP, drain on SIGTERM or SIGINT, free. */
#ifndef GW_RUNTIME_RUN_H
#define GW_RUNTIME_RUN_H

#include "runtime/replay.h"

/** A configuration that was read again. */
struct gw_run_configuration {
    struct gw_service *service;
    void (*release)(void *arg); /* when nothing borrows from it any more */
    void *arg;
};

/** A run for a replay alone: nothing else comes in, and it ends when all of it has gone out. */
struct gw_run_replay {
    const char *journal, *into;
    struct gw_replay_range range;
    double speed;
    const char *policy;
    uint64_t max_traces;
    void (*say)(void *arg, int fd, const char *line);
    void *arg;
    int exit_code; /* of what was replayed; written */
};

struct gw_run_options {
    const char *source;           /* what was loaded, for the first lines: "gateway.yaml", "built-in configuration" */
    bool is_builtin;              /* nothing was configured: say what to paste into a shell, and what comes next */
    bool demo;                    /* with the built-in shop that sends traces, logs and metrics */
    struct gw_run_replay *replay; /* or NULL */
    /**
     * Read the configuration once more; NULL: it stays as it is. Errors: negative errno, and every mistake as a line
     * with file, line and column. Warnings alone are no error.
     */
    int (*again)(void *arg, struct gw_run_configuration *ret, struct gw_buf *mistakes);
    /** A number that is another one when a file has changed: as the files were when they were read last, or are now. */
    uint64_t (*stamp)(void *arg, bool as_read);
    void *arg; /* of both */
};

/**
 * Returns when everything has stopped.
 *
 * Errors    0 after a clean drain; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES when it cannot listen; other negative errno;
 *           err says what
 */
int gw_run(struct gw_env *env, struct gw_service *service, const struct gw_run_options *options, struct gw_err *err);

#endif
