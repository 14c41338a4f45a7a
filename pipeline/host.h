/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance may ask of the house: other instances by id, and the state of the whole.
 */
#ifndef GW_PIPELINE_HOST_H
#define GW_PIPELINE_HOST_H

#include "core/credit.h"
#include "pipeline/auth.h"

struct gw_host;

struct gw_host_ops {
    /** The authenticator extension of that id. Errors: -ENOENT, err says which extensions there are. */
    int (*auth)(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err);
    /** True while receivers take requests. Threads: any. */
    bool (*is_ready)(struct gw_host *h);
    /** Wall clock of the start, ns. */
    uint64_t (*started_ns)(struct gw_host *h);
};

struct gw_host {
    const struct gw_host_ops *ops;
    struct gw_credit *memory; /* the process' budget */
};

#endif
