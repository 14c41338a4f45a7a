/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connector's rooms, and what a worker has of it.
 *
 *   view ─► spans.h ─► half ──► owner of its trace ─► pairs.h ─► request ──► owner of its series ─► series ─► metrics
 *                           exchange.h                              exchange.h
 *
 * The halves of a request may come to different workers. A trace has one owner, and so has a series: half and request
 * go to theirs, a hundred bytes each, and no span is moved. A series is counted in one place and written by one worker,
 * so that cumulative sums never meet a second one of the same name.
 *
 * Threads   a lane is touched by its worker only; lanes outlive instances at a reload that leaves the settings alone
 */
#ifndef GW_CONNECTORS_SERVICE_GRAPH_H
#define GW_CONNECTORS_SERVICE_GRAPH_H

#include "connectors/service_graph/exchange.h"
#include "connectors/service_graph/pairs.h"
#include "connectors/service_graph/spans.h"
#include "pipeline/component.h"
#include "pipeline/host.h"
#include "series/metrics_writer.h"
#include "series/series.h"

struct gw_sg_store_conf {
    uint64_t ttl_ns, max_items, max_bytes;
};

struct gw_sg_conf {
    struct gw_list latency_buckets, dimensions, peers, databases; /* of const char * */
    uint64_t exponential_max_size;
    struct gw_sg_store_conf store;
    uint64_t cache_loop_ns, store_loop_ns, flush_interval_ns, timestamp_offset_ns, series_expiration_ns, max_series;
    bool virtual_label;
};

/** What a series counts. The histograms follow: the server's, then the client's. */
struct gw_sg_value {
    uint64_t total, failed;
};

/** One worker's. */
struct gw_sg_lane {
    struct gw_sg *graph;
    unsigned worker;
    struct gw_sg_sender sender;
    struct gw_span_reader reader;
    struct gw_pairs pairs;
    struct gw_slice *dims;                /* of a record that came */
    struct gw_buf run;                    /* attributes of a request */
    struct gw_buf body;                   /* what is being flushed */
    struct gw_series_table series, spill; /* spill: of the first worker, takes no series but the overflow one */
    struct gw_series_group group, spilled;
    uint64_t now_ns;                        /* of what is at hand */
    uint64_t expire_ns, cache_ns, flush_ns; /* when next */
    uint64_t start_ns;                      /* wall: a series that begins now has counted all since then */
    uint64_t told_edges, told_expired, told_dropped;
    uint64_t n_unsent; /* halves and requests that could not be sent: no memory */
    bool is_new;       /* something was counted since the last flush */
    uint32_t n_points; /* of the last flush, and its bytes: what the next one will need */
    size_t n_bytes;
};

/** What all workers share. */
struct gw_sg {
    const struct gw_ctx *ctx;
    const struct gw_sg_conf *conf;
    struct gw_credit items, bytes, *memory; /* memory: the process' */
    struct gw_sg_exchange exchange;
    struct gw_bounds bounds; /* n == 0 with at NULL: exponential */
    double *bound_values;
    size_t histogram_bytes;
    char *dim_names; /* "client_X\0server_X\0" of each dimension */
    struct gw_metric *edges, *expired, *dropped;
    struct gw_sg_lane *lanes;
};

/* ---- graph.c ---------------------------------------------------------------------------------------------- */

int gw_sg_new(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err);
void gw_sg_free(void *graph);
/** Bounds in seconds; a text that is no duration, or no ascending one, is named in err. values: l->n. */
int gw_sg_bounds(const struct gw_list *l, double *values, struct gw_err *err);

/* ---- lane.c ----------------------------------------------------------------------------------------------- */

int gw_sg_lane_init(struct gw_sg_lane *l, struct gw_sg *g, unsigned worker);
void gw_sg_lane_clear(struct gw_sg_lane *l);
void gw_sg_lane_read(struct gw_sg_lane *l, const struct gw_view *v, uint64_t now_ns);
/** What came from others, what waited too long, series that are old. */
void gw_sg_lane_tick(struct gw_sg_lane *l, uint64_t now_ns);

/* ---- flush.c ---------------------------------------------------------------------------------------------- */

/** All series of the lane. False: nothing was written, for want of room behind the connector. */
bool gw_sg_lane_flush(struct gw_sg_lane *l, struct gw_ports *out);

static inline void *gw_sg_server(const struct gw_sg *g, struct gw_sg_value *v)
{
    (void)g;
    return v + 1;
}
static inline void *gw_sg_client(const struct gw_sg *g, struct gw_sg_value *v)
{
    return (char *)(v + 1) + g->histogram_bytes;
}

#endif
