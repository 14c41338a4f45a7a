/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who looks at attributes, events and links of rows: where nobody does, they are checked and no more (is_outline).
 *
 *   receiver ─► route: whole or outline ─► node … node ─► edge        each says what it reads
 *                                            └─► connector ─► the pipelines behind it
 *
 * That is found out once for a graph. What was decoded for another one, and comes to somebody who reads more, is made
 * whole there.
 */
#include "runtime/graph.h"

bool gw_columns_read(const struct gw_service_component *c)
{
    return gw_component_reads_rows(c->type, c->conf);
}

static bool behind_connector(const struct graph *g, const struct gw_service_component *c, enum gw_signal signal)
{
    const struct gw_service *s = g->service;

    if (c->kind != GW_CONNECTOR || c->type->makes)
        return false;
    for (size_t i = 0; i < s->n_pipelines; i++)
        if (s->pipelines[i].signal == signal && gw_graph_feeds(&s->pipelines[i], c) && g->pipelines[i].is_whole)
            return true;
    return false;
}

static bool at_ports(const struct graph *g, const struct gw_service_component *c, enum gw_signal signal)
{
    for (size_t p = 0; p < c->n_ports; p++)
        for (size_t t = 0; t < c->ports[p].n_targets; t++)
            if (gw_columns_read(c->ports[p].targets[t]) || behind_connector(g, c->ports[p].targets[t], signal))
                return true;
    return false;
}

bool gw_columns_read_behind(const struct graph *g, const struct gw_service_pipeline *p, size_t at)
{
    if (at < p->n_processors && at_ports(g, p->processors[at], p->signal))
        return true;
    for (size_t i = at + 1; i < p->n_processors; i++)
        if (gw_columns_read(p->processors[i]) || at_ports(g, p->processors[i], p->signal))
            return true;
    for (size_t i = 0; i < p->n_exporters; i++)
        if (gw_columns_read(p->exporters[i]) || behind_connector(g, p->exporters[i], p->signal))
            return true;
    return false;
}

static bool is_whole(const struct graph *g, const struct gw_service_pipeline *p)
{
    return (p->n_processors && (gw_columns_read(p->processors[0]) || at_ports(g, p->processors[0], p->signal))) ||
           gw_columns_read_behind(g, p, 0);
}

void gw_columns_plan(struct graph *g)
{
    bool more = true;

    while (more) { /* what is behind a connector is found first or in the next round */
        more = false;
        for (size_t i = g->service->n_pipelines; i-- > 0;)
            if (!g->pipelines[i].is_whole && is_whole(g, &g->service->pipelines[i]))
                more = g->pipelines[i].is_whole = true;
    }
}
