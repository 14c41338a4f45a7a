/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From halves to requests between two services, by the rules of the Collector's connector:
 *
 *   both halves came                     a request, of a messaging system if either says so
 *   client's half, with a database       a request at once: a database has no spans of its own
 *   server's half, no parent, too late   a request of "user"
 *   client's half, too late              a request to its peer, or to "unknown"
 *
 * Threads   one
 */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_PAIRS_H
#define GW_CONNECTORS_SERVICE_GRAPH_PAIRS_H

#include "connectors/service_graph/halves.h"

enum gw_connection { GW_CONN_DIRECT, GW_CONN_MESSAGING, GW_CONN_DATABASE, GW_CONN_VIRTUAL };
enum gw_virtual { GW_VIRTUAL_NONE, GW_VIRTUAL_CLIENT, GW_VIRTUAL_SERVER };

/** A request. Slices live as long as the call that it is handed to. */
struct gw_request {
    struct gw_slice client, server;
    uint8_t connection, virtual_node; /* enum gw_connection, enum gw_virtual */
    bool failed;
    uint64_t client_ns, server_ns;                    /* durations; 0 where that side was not seen */
    const struct gw_slice *client_dims, *server_dims; /* one each for the dimensions; NULL: none of them */
};

struct gw_pairs {
    struct gw_halves *halves;
    bool virtual_nodes;
    /** Must not ask for the halves. */
    void (*request)(void *arg, const struct gw_request *e);
    void *arg;
    uint64_t n_edges;   /* halves that were the first of their request */
    uint64_t n_expired; /* without their other half */
    uint64_t n_dropped; /* found no room */
};

void gw_pairs_put(struct gw_pairs *p, const struct gw_half_key *key, const struct gw_half *half,
                  struct gw_slice database, uint64_t now_ns);
/** Gives up halves that have waited too long. */
void gw_pairs_expire(struct gw_pairs *p, uint64_t now_ns);

const char *gw_connection_name(enum gw_connection c); /* "", "messaging_system", … */
const char *gw_virtual_name(enum gw_virtual v);       /* "", "client", "server" */

#endif
