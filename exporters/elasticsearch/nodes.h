/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers, used in turn, each behind its circuit breaker. Where there are others, one failure opens it: nobody has
 * to wait for a server that may be back. When none may be asked, the attempt waits for the first probe.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_NODES_H
#define GW_EXPORTERS_ELASTICSEARCH_NODES_H

#include "core/breaker.h"
#include "exporters/elasticsearch/addresses.h"

struct gw_es_node {
    const struct gw_es_address *address;
    char *bulk_url, *root_url;
    char *authorization; /* of the URL's own user, or NULL */
    struct gw_breaker breaker;
    struct gw_metric *answered, *failed;
};

struct gw_es_nodes {
    struct gw_es_addresses addresses;
    struct gw_es_node *list;
    unsigned n, turn;
    struct gw_breaker_settings how;
};

/** Errors: as gw_es_addresses_of. Takes a zeroed struct; what was made before an error is gw_es_nodes_clear's. */
int gw_es_nodes_init(struct gw_es_nodes *ns, const struct gw_es_conf *c, const struct gw_ctx *ctx, struct gw_err *err);
void gw_es_nodes_clear(struct gw_es_nodes *ns);

/** The next one in turn that may be asked: *ret_wait_ns is 0. Else the first that will be, and how long until then. */
struct gw_es_node *gw_es_nodes_pick(struct gw_es_nodes *ns, uint64_t now_ns, uint64_t *ret_wait_ns);
/** One may be asked now. */
bool gw_es_nodes_any(const struct gw_es_nodes *ns, uint64_t now_ns);
/** Pauses are at most so long from now on. */
void gw_es_nodes_hurry(struct gw_es_nodes *ns, uint64_t now_ns, uint64_t pause_ns);
/** A request that began with gw_breaker_begin has ended. */
void gw_es_node_end(struct gw_es_node *n, struct gw_breaker_pass pass, enum gw_sign sign, const char *why,
                    uint64_t now_ns);

#endif
