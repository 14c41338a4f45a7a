/* SPDX-License-Identifier: Apache-2.0 */
/* What all workers share: limits, bounds, names, the lanes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/service_graph/service_graph.h"

static const double default_bounds[] = {0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2,
                                        0.4,   0.8,   1,     1.4,   2,    5,    10,  15};

static const char *text_at(const struct gw_list *l, size_t i)
{
    return ((const char *const *)l->items)[i];
}

int gw_sg_bounds(const struct gw_list *l, double *values, struct gw_err *err)
{
    for (size_t i = 0; i < l->n; i++) {
        uint64_t ns;

        if (gw_duration_parse(text_at(l, i), &ns) < 0) {
            char *end;

            ns = strtoull(text_at(l, i), &end, 10); /* a plain number is nanoseconds */
            if (end == text_at(l, i) || *end)
                return gw_fail(err, -EINVAL, "\"%s\" is no duration", text_at(l, i));
        }
        values[i] = (double)ns / 1e9;
        if (i > 0 && values[i] <= values[i - 1])
            return gw_fail(err, -EINVAL, "\"%s\" is not above \"%s\": the buckets are ascending", text_at(l, i),
                           text_at(l, i - 1));
    }
    return 0;
}

static int set_bounds(struct gw_sg *g)
{
    const struct gw_list *l = &g->conf->latency_buckets;
    struct gw_err err;

    if (g->conf->exponential_max_size) {
        g->histogram_bytes = sizeof(struct gw_exponential);
        return 0;
    }
    g->bounds = (struct gw_bounds){default_bounds, sizeof(default_bounds) / sizeof(default_bounds[0])};
    if (l->n > 0) {
        g->bound_values = calloc(l->n, sizeof(*g->bound_values));
        if (!g->bound_values || gw_sg_bounds(l, g->bound_values, &err) < 0)
            return -ENOMEM; /* they were checked before */
        g->bounds = (struct gw_bounds){g->bound_values, (unsigned)l->n};
    }
    g->histogram_bytes = gw_explicit_bytes(&g->bounds);
    return 0;
}

static int set_names(struct gw_sg *g)
{
    const struct gw_list *l = &g->conf->dimensions;
    size_t n = 1;
    char *to;

    for (size_t i = 0; i < l->n; i++)
        n += 2 * strlen(text_at(l, i)) + sizeof("client_") + sizeof("server_");
    to = g->dim_names = calloc(1, n);
    if (!to)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++)
        for (unsigned side = 0; side < 2; side++)
            to += 1 + snprintf(to, n - (size_t)(to - g->dim_names), "%s_%s", side ? "server" : "client", text_at(l, i));
    return 0;
}

static struct gw_metric *counter(const struct gw_ctx *ctx, const char *name, const char *help)
{
    return gw_meter_get(ctx->meter, GW_COUNTER, name, help, NULL, 0);
}

static int init(struct gw_sg *g)
{
    const struct gw_sg_conf *c = g->conf;
    unsigned n = g->ctx->n_workers;
    int rc;

    g->memory = g->ctx->host ? g->ctx->host->memory : NULL;
    gw_credit_init(&g->items, c->store.max_items, c->store.max_items);
    gw_credit_init(&g->bytes, c->store.max_bytes, c->store.max_bytes);
    g->edges = counter(g->ctx, "otelcol_connector_servicegraph_total_edges", "Total number of unique edges.");
    g->expired = counter(g->ctx, "otelcol_connector_servicegraph_expired_edges",
                         "Number of edges that expired before finding its matching span.");
    g->dropped = counter(g->ctx, "otelcol_connector_servicegraph_dropped_spans",
                         "Number of spans dropped when trying to add edges.");
    g->lanes = calloc(n, sizeof(*g->lanes));
    rc = g->lanes ? gw_sg_exchange_init(&g->exchange, n, &g->bytes, g->memory) : -ENOMEM;
    if (rc == 0)
        rc = set_bounds(g);
    if (rc == 0)
        rc = set_names(g);
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = gw_sg_lane_init(&g->lanes[i], g, i);
    return rc;
}

int gw_sg_new(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct gw_sg *g = calloc(1, sizeof(*g));
    int rc = -ENOMEM;

    if (g) {
        g->ctx = ctx;
        g->conf = conf;
        rc = init(g);
    }
    if (rc < 0) {
        gw_sg_free(g);
        return gw_fail(err, rc, "out of memory, or store::max_bytes is too small for %u workers", ctx->n_workers);
    }
    *ret = g;
    return 0;
}

void gw_sg_free(void *graph)
{
    struct gw_sg *g = graph;

    if (!g)
        return;
    for (unsigned i = 0; g->lanes && i < g->ctx->n_workers; i++)
        gw_sg_lane_clear(&g->lanes[i]);
    gw_sg_exchange_clear(&g->exchange);
    free(g->lanes);
    free(g->bound_values);
    free(g->dim_names);
    free(g);
}
