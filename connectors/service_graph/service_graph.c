/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_graph: which services call each other, how often, how long, and with what success, from their spans.
 *
 *     connectors:
 *       service_graph: { dimensions: [http.route], store: { ttl: 10s, max_items: 100000 } }
 *     service:
 *       pipelines:
 *         traces:  { receivers: [otlp], exporters: [service_graph, otlp_grpc] }
 *         metrics: { receivers: [service_graph], exporters: [prometheus_remote_write] }
 *
 * Metrics, attributes and rules are those of the Collector's connector (docs/service-graph.md says where ours differ).
 */
#include <stdlib.h>

#include "connectors/service_graph/service_graph.h"
#include "pipeline/ports.h"

/* Spans that other workers have read wait for us; who does not send any more within this time will not. */
#define DRAIN_NS UINT64_C(1000000000)

struct self {
    const struct gw_ctx *ctx;
    struct gw_sg_lane *lane;
    uint64_t drain_ns; /* when it began */
};

static const struct gw_field store_fields[] = {
    GW_DURATION_FIELD(struct gw_sg_store_conf, ttl_ns, "ttl", "2s", 0, 3.6e12,
                      "How long a span waits for the other side of its request."),
    GW_U64_FIELD(struct gw_sg_store_conf, max_items, "max_items", "1000", 1, 1e9,
                 "Spans that wait at one time; what comes then is not counted."),
    GW_U64_FIELD(struct gw_sg_store_conf, max_bytes, "max_bytes", "67108864", 1048576, 1e15,
                 "Memory of spans that wait, and of what is on its way between workers."),
    {0},
};

static const struct gw_field fields[] = {
    GW_STRINGS_FIELD(struct gw_sg_conf, latency_buckets, "latency_histogram_buckets",
                     "Bounds of the histograms, ascending durations; empty: 2ms to 15s, 16 of them."),
    GW_U64_FIELD(struct gw_sg_conf, exponential_max_size, "exponential_histogram_max_size", "0", 0, GW_EXP_MAX_SIZE,
                 "Exponential histograms with at most so many buckets, from 2 on; 0: explicit ones."),
    GW_STRINGS_FIELD(struct gw_sg_conf, dimensions, "dimensions",
                     "Attributes of resource or span that become attributes client_<name> and server_<name>."),
    GW_BLOCK_FIELD(struct gw_sg_conf, store, "store", store_fields, "Spans that wait for the other side."),
    GW_DURATION_FIELD(struct gw_sg_conf, cache_loop_ns, "cache_loop", "1m", 0, 1e18,
                      "How often old series are looked for; 0: 1m."),
    GW_DURATION_FIELD(struct gw_sg_conf, store_loop_ns, "store_expiration_loop", "2s", 0, 1e18,
                      "How often spans are looked for that have waited for their ttl; 0: 2s."),
    {
        GW_FIELD_(struct gw_sg_conf, peers, "virtual_node_peer_attributes", GW_F_LIST,
                  "[peer.service, db.name, db.system]", 0, 0,
                  "Attributes of a client's span that name a server that has no spans; empty: such requests, and those "
                  "of nobody, are not counted."),
    },
    GW_BOOL_FIELD(struct gw_sg_conf, virtual_label, "virtual_node_extra_label", "false",
                  "Add virtual_node: which side of the request was made up."),
    GW_DURATION_FIELD(struct gw_sg_conf, flush_interval_ns, "metrics_flush_interval", "60s", 0, 1e18,
                      "How often the metrics go on; 0: with every batch of spans."),
    {
        GW_FIELD_(
            struct gw_sg_conf, databases, "database_name_attributes", GW_F_LIST, "[db.name]", 0, 0,
            "Attributes of which the first that is there makes a client's request one to a database; empty: db.name."),
    },
    GW_DURATION_FIELD(struct gw_sg_conf, timestamp_offset_ns, "metrics_timestamp_offset", "0s", 0, 1e18,
                      "Taken from the time of every point."),
    GW_DURATION_FIELD(struct gw_sg_conf, series_expiration_ns, "series_expiration", "15m", 0, 1e18,
                      "A series that counted nothing for so long goes; 0: never."),
    GW_U64_FIELD(
        struct gw_sg_conf, max_series, "max_series", "100000", 0, 1e9,
        "Series at one time; what comes then is counted in one with otel.metric.overflow = true. 0: no limit."),
    {0},
};

static void check_dimensions(const struct gw_sg_conf *c, const struct gw_place *place, struct gw_diag *diag)
{
    const char *const *names = c->dimensions.items;

    if (c->dimensions.n > GW_SG_MAX_DIMS)
        gw_diag_add(diag, GW_DIAG_ERROR, place, "dimensions: %zu are more than %d", c->dimensions.n, GW_SG_MAX_DIMS);
    for (size_t i = 0; i < c->dimensions.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                gw_diag_add(diag, GW_DIAG_ERROR, place, "dimensions: \"%s\" stands twice", names[i]);
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_sg_conf *c = conf;
    const struct gw_list *l = &c->latency_buckets;
    double values[GW_MAX_BOUNDS];
    struct gw_err err;

    check_dimensions(c, &node->place, diag);
    if (l->n > GW_MAX_BOUNDS)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place, "latency_histogram_buckets: %zu are more than %d", l->n,
                    GW_MAX_BOUNDS);
    else if (gw_sg_bounds(l, values, &err) < 0)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place, "latency_histogram_buckets: %s", err.text);
    if (l->n > 0 && c->exponential_max_size > 0)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place,
                    "use either latency_histogram_buckets or exponential_histogram_max_size");
    if (c->exponential_max_size == 1)
        gw_diag_add(diag, GW_DIAG_ERROR, &node->place,
                    "exponential_histogram_max_size: 1 is below 2, the fewest buckets (0: explicit ones)");
}

static int create(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));
    struct gw_sg *g = ctx->shared;

    (void)conf;
    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->ctx = ctx;
    s->lane = &g->lanes[ctx->worker];
    *ret = s;
    return 0;
}

static bool flushes_at_once(const struct self *s)
{
    return s->lane->graph->conf->flush_interval_ns == 0;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t now = gw_mono_ns(s->ctx->env);

    gw_sg_lane_read(s->lane, v, now);
    gw_view_settle_all(v, out->ledger, GW_ABSORBED, "service_graph", NULL);
    gw_view_clear(v);
    if (flushes_at_once(s))
        (void)gw_sg_lane_flush(s->lane, out);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_sg_lane *l = s->lane;

    gw_sg_lane_tick(l, now_ns);
    if (flushes_at_once(s) ? l->is_new : now_ns >= l->flush_ns) {
        if (!gw_sg_lane_flush(l, out))
            return GW_DONE; /* what is counted waits with the next tick */
        l->flush_ns = now_ns + l->graph->conf->flush_interval_ns;
    }
    return GW_DONE;
}

/* Everything that was read is counted before the last metrics go. */
static int drain(void *self, struct gw_ports *out)
{
    struct self *s = self;
    uint64_t now = gw_mono_ns(s->ctx->env);

    if (!s->drain_ns)
        s->drain_ns = now;
    gw_sg_lane_tick(s->lane, now);
    if (!gw_sg_exchange_is_empty(&s->lane->graph->exchange) && now - s->drain_ns < DRAIN_NS)
        return GW_MORE;
    (void)gw_sg_lane_flush(s->lane, out);
    return GW_DONE;
}

const struct gw_component gw_connector_service_graph = {
    .kind = GW_CONNECTOR,
    .name = "service_graph",
    .aliases = (const char *const[]){"servicegraph", NULL},
    .summary = "Metrics of the requests between services, from their spans.",
    .signals = GW_TRACES,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE,
    .makes = GW_METRICS,
    .expands = 1,
    .fields = fields,
    .conf_size = sizeof(struct gw_sg_conf),
    .check = check,
    .create_shared = gw_sg_new,
    .destroy_shared = gw_sg_free,
    .create = create,
    .destroy = free,
    .consume = consume,
    .tick = tick,
    .drain = drain,
};
