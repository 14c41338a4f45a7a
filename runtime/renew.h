/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another configuration for a running gateway: when it is asked for (SIGHUP), or a file has changed (watch_config). It
 * is read and checked as at the start; whatever is wrong with it is said, and nothing changes then.
 *
 *   staunch_reload{outcome}        success, failure, unchanged
 *   staunch_reload_last_success    wall clock of the configuration that runs, s
 *   staunch_reload_leaving         earlier configurations of which something is still under way
 */
#ifndef GW_RUNTIME_RENEW_H
#define GW_RUNTIME_RENEW_H

#include "net/loop.h"
#include "runtime/engine.h"
#include "runtime/run.h"

struct gw_renew;

struct gw_renew_conf { /* borrowed */
    struct gw_env *env;
    struct gw_loop *loop; /* the engine's caller's */
    struct gw_engine *engine;
    struct gw_meter *meter;
    struct gw_log_sink *sink; /* whose level follows the configuration */
    const struct gw_logger *logger;
    const struct gw_run_options *options;
};

/** Errors: -ENOMEM. */
int gw_renew_new(const struct gw_renew_conf *conf, struct gw_renew **ret);
/** Before the engine. Accepts NULL. */
void gw_renew_free(struct gw_renew *r);
/** Read and take it. `why` begins the lines in the log. Returns 0, or a negative errno after saying what is wrong. */
int gw_renew_now(struct gw_renew *r, const char *why);

#endif
