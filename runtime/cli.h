/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line. It touches nothing but what it is given, so that tests run it like a function.
 *
 *   staunch [--config F]... [--set k=v]...   run; so does `staunch run`, and a bare `staunch`
 *   staunch validate | components | print-config | featuregate | help
 *   staunch ping                             and whatever else a running gateway answers (runtime/control.h)
 *
 * Without --config: $STAUNCH_CONFIG, ./staunch.yaml, /etc/staunch/config.yaml; `run` then takes the built-in one.
 */
#ifndef GW_RUNTIME_CLI_H
#define GW_RUNTIME_CLI_H

#include "log/files.h"
#include "runtime/run.h"

/** sysexits.h, so that an operator's unit file can tell a bad file from a busy port. */
enum {
    GW_EXIT_OK = 0,
    GW_EXIT_USAGE = 64,
    GW_EXIT_UNAVAILABLE = 69, /* a port is taken, a dependency is missing, no gateway answers */
    GW_EXIT_INTERNAL = 70,
    GW_EXIT_IO = 74,
    GW_EXIT_BUSY = 75,
    GW_EXIT_CONFIG = 78,
};

struct gw_cli_world {
    struct gw_env *env;
    void (*write)(void *arg, int fd, const char *p, size_t n); /* fd 1 or 2 */
    void *write_arg;
    const char *(*variable)(void *arg, const char *name); /* of the environment; NULL: the process' own */
    void *variable_arg;
    bool colour;   /* messages go to a terminal that wants colours */
    bool terminal; /* standard output is a terminal: control characters in what a gateway tells are escaped */
    const struct gw_service_options *service;
    int (*run)(struct gw_env *env, struct gw_service *service, const struct gw_run_options *options,
               struct gw_err *err);
    /** Another way to open logs than gw_log_files_open (tests); or NULL. */
    int (*open_log)(const struct gw_log_files_conf *conf, struct gw_log **ret, struct gw_err *err);
};

/** Returns the exit code. argv[0] is skipped. */
int gw_cli(int argc, const char *const *argv, const struct gw_cli_world *w);

/** The components of this binary and the settings that exporters have besides their own. */
extern const struct gw_service_options gw_service_options;

#endif
