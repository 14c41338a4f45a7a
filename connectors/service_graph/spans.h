/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a span says about a request between two services. The rules are those of the Collector's connector:
 *
 *   client, producer   the client's half   key: trace id, span id
 *   server, consumer   the server's half   key: trace id, parent's span id
 *   all others, and those of resources without a service.name, say nothing
 *
 * Threads   one
 */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_SPANS_H
#define GW_CONNECTORS_SERVICE_GRAPH_SPANS_H

#include "batch/view.h"
#include "config/schema.h"
#include "connectors/service_graph/halves.h"

enum { GW_SG_MAX_DIMS = 64 };

/** Names of attributes, each list of const char *, the first that is there counts. */
struct gw_span_names {
    struct gw_list dimensions; /* of the resource before the span; all of them */
    struct gw_list databases;  /* each of the resource before the span; only of clients */
    struct gw_list peers;      /* of the span; only of clients */
};

struct gw_span_reader {
    struct gw_span_names names;
    /** database.p NULL: the client spoke to no database. All texts live as long as the view. */
    void (*half)(void *arg, const struct gw_half_key *key, const struct gw_half *half, struct gw_slice database);
    void *arg;

    /* Of the resource at hand. */
    bool inside, has_service;
    uint32_t resource;
    struct gw_slice service, database;
    uint32_t database_rank; /* index of the name that the database was found under, or of none */
    struct gw_slice resource_dims[GW_SG_MAX_DIMS], dims[GW_SG_MAX_DIMS];
};

/** All kept rows of a view of traces, in order; texts that must be made live in v->arena. */
void gw_spans_read(struct gw_span_reader *r, const struct gw_view *v);

#endif
