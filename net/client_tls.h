/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PEM texts of a client: from the settings or from files, read again when a file changed. One thread.
 */
#ifndef GW_NET_CLIENT_TLS_H
#define GW_NET_CLIENT_TLS_H

#include "core/client.h"

enum gw_pem { GW_PEM_CA, GW_PEM_CERT, GW_PEM_KEY, GW_N_PEM };

struct gw_client_pems {
    struct gw_env *env;
    const struct gw_client_tls *tls; /* borrowed */
    char *text[GW_N_PEM];            /* NULL = not set */
    size_t n[GW_N_PEM];
    uint64_t changed_ns[GW_N_PEM], looked_ns;
};

/** Errors: -EINVAL (a file and a text, a certificate without its key), and what reading a file brings. */
int gw_client_pems_load(struct gw_client_pems *p, struct gw_env *env, const struct gw_client_tls *tls,
                        struct gw_err *err);
/**
 * Look at the files when reload_interval_ns has passed. True when a text changed. A file that is gone or cannot be
 * read changes nothing: the old text holds until the new one is whole.
 */
bool gw_client_pems_refresh(struct gw_client_pems *p, uint64_t now_ns);
void gw_client_pems_clear(struct gw_client_pems *p);

/** A deep copy, made by the clients, which outlive their configuration. Errors: -ENOMEM. */
int gw_client_tls_copy(struct gw_client_tls *ret, const struct gw_client_tls *from);
void gw_client_tls_clear(struct gw_client_tls *tls);

#endif
