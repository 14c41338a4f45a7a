/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers, used in turn. One that cannot be reached or answers 5xx rests, each time for longer, while the others
 * work; when all rest, the one whose rest ends first is asked: a sink is never given up here.
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_NODES_H
#define GW_EXPORTERS_ELASTICSEARCH_NODES_H

#include "core/logger.h"
#include "core/meter.h"
#include "exporters/elasticsearch/addresses.h"

struct gw_es_node {
    const struct gw_es_address *address;
    char *bulk_url, *root_url;
    char *authorization; /* of the URL's own user, or NULL */
    unsigned failures;   /* in a row */
    uint64_t rests_until_ns;
    struct gw_metric *answered, *failed;
};

struct gw_es_nodes {
    struct gw_es_addresses addresses;
    struct gw_es_node *list;
    unsigned n, turn;
};

/** Errors: as gw_es_addresses_of. Takes a zeroed struct; what was made before an error is gw_es_nodes_clear's. */
int gw_es_nodes_init(struct gw_es_nodes *ns, const struct gw_es_conf *c, const struct gw_ctx *ctx, struct gw_err *err);
void gw_es_nodes_clear(struct gw_es_nodes *ns);

/** The next one in turn that does not rest. *ret_awake is false when all do. */
struct gw_es_node *gw_es_nodes_pick(struct gw_es_nodes *ns, uint64_t now_ns, bool *ret_awake);
/** It answered, whatever that was. */
void gw_es_node_answered(struct gw_es_node *n, const struct gw_logger *log);
/** It did not, or with 5xx. */
void gw_es_node_failed(struct gw_es_node *n, uint64_t now_ns, const char *why, const struct gw_logger *log);

#endif
