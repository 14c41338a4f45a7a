/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gateway tells about itself over HTTP, on the main thread's loop:
 *
 *   GET /metrics        self-metrics in Prometheus' text format
 *   GET /ledger         the books as JSON; GET /ledger/table: for people
 *
 * Both wait for a picture of the books (runtime/ledger.h), two seconds at most; /metrics is then without the ledger.
 */
#ifndef GW_RUNTIME_ADMIN_H
#define GW_RUNTIME_ADMIN_H

#include "net/loop.h"
#include "pipeline/service.h"

struct gw_admin;

struct gw_admin_conf { /* borrowed */
    struct gw_env *env;
    struct gw_loop *loop;
    struct gw_meter *meter;
    struct gw_engine *engine; /* whose books; or NULL */
    const struct gw_telemetry *telemetry;
    const struct gw_logger *logger;
    const char *version;
    uint64_t started_ns; /* wall clock */
};

/** Listen. Errors: negative errno, err names the endpoint; nothing is opened when no reader is wanted (*ret NULL). */
int gw_admin_new(const struct gw_admin_conf *conf, struct gw_admin **ret, struct gw_err *err);
void gw_admin_free(struct gw_admin *a);
/** Where it listens: "127.0.0.1:8888". */
const char *gw_admin_endpoint(const struct gw_admin *a);

/** otelcol_process_*: read anew, at each scrape. */
void gw_process_metrics(struct gw_env *env, struct gw_meter *m, uint64_t started_ns);

#endif
