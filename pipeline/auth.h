/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticators: extensions that a receiver asks (server side) or an exporter uses (client side), by the id in its
 * `auth: { authenticator: basicauth/x }`. Calls are quick and never block: files are read when they change.
 */
#ifndef GW_PIPELINE_AUTH_H
#define GW_PIPELINE_AUTH_H

#include "batch/meta.h"
#include "core/buf.h"
#include "core/client.h"

/** How the server side sees the headers of a request: a look-up, names in lower case. */
struct gw_header_source {
    bool (*get)(const struct gw_header_source *hs, struct gw_slice name, struct gw_slice *ret_value);
};

enum { GW_AUTH_PAIRS = 8 };

/** What was found out about the caller. Texts live in `text` or in the configuration. */
struct gw_identity {
    struct gw_meta_pair pairs[GW_AUTH_PAIRS];
    unsigned n_pairs;
    struct gw_buf text; /* the caller's, emptied before the call */
};

struct gw_auth_ops {
    /**
     * May this request come in? Asked before its body is read.
     *
     * Threads   any worker, at once: constant-time compares, no lock held over a hash
     * Errors    0 yes; -EACCES no, err is for our log, the client hears only UNAUTHENTICATED
     */
    int (*check)(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err);
    /** The header to send: name (static) and value appended to out. Any exporter thread. NULL: server side only. */
    int (*header)(void *self, const char **ret_name, struct gw_buf *out, struct gw_err *err);
};

struct gw_auth {
    const struct gw_auth_ops *ops;
    void *self;
};

#endif
