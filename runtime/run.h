/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of a run: build the graph, serve, drain on SIGTERM or SIGINT, free. */
#ifndef GW_RUNTIME_RUN_H
#define GW_RUNTIME_RUN_H

#include "pipeline/service.h"

struct gw_run_options {
    const char *source; /* what was loaded, for the first lines: "gateway.yaml", "built-in configuration" */
    bool is_builtin;    /* nothing was configured: say what to paste into a shell, and what comes next */
    bool demo;          /* with the built-in shop that sends traces, logs and metrics */
};

/**
 * Returns when everything has stopped.
 *
 * Errors    0 after a clean drain; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES when it cannot listen; other negative errno;
 *           err says what
 */
int gw_run(struct gw_env *env, struct gw_service *service, const struct gw_run_options *options, struct gw_err *err);

#endif
