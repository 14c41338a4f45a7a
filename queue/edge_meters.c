/* SPDX-License-Identifier: Apache-2.0 */
/* An edge's self-metrics, named as the Collector's. */
#include <stdio.h>

#include "queue/edge_impl.h"

static uint64_t read_queued(void *arg)
{
    return atomic_load_explicit(&((struct gw_lane *)arg)->queued, memory_order_relaxed);
}

static uint64_t read_lag_bytes(void *arg)
{
    return atomic_load_explicit(&((struct gw_lane *)arg)->lag_bytes, memory_order_relaxed);
}

static uint64_t read_lag_rows(void *arg)
{
    return atomic_load_explicit(&((struct gw_lane *)arg)->lag_rows, memory_order_relaxed);
}

static uint64_t read_in_flight(void *arg)
{
    return atomic_load_explicit(&((struct gw_lane *)arg)->in_flight, memory_order_relaxed);
}

const double gw_row_bounds[GW_N_ROW_BOUNDS] = {10,   25,   50,   75,   100,  250,  500,   750,   1000,  2000,  3000,
                                               4000, 5000, 6000, 7000, 8000, 9000, 10000, 20000, 30000, 50000, 100000};
const double gw_byte_bounds[GW_N_BYTE_BOUNDS] = {128,    256,     512,     1024,    2048,    4096,
                                                 8192,   16384,   32768,   65536,   131072,  262144,
                                                 524288, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24};

static struct gw_metric *counter(const struct gw_edge *e, const char *what, enum gw_signal s, const char *help)
{
    const struct gw_label l = {"exporter", e->conf.id};
    char name[128];

    (void)snprintf(name, sizeof(name), "otelcol_exporter_%s_%s", what, gw_signal_item_name(s));
    return gw_meter_get(e->conf.meter, GW_COUNTER, name, help, &l, 1);
}

static struct gw_metric *consumed(const struct gw_edge *e, const char *outcome, enum gw_signal s)
{
    const struct gw_label l[] = {{"otelcol_component_id", e->conf.id},
                                 {"otelcol_component_kind", "exporter"},
                                 {"otelcol_component_outcome", outcome},
                                 {"otelcol_signal", gw_signal_name(s)}};

    return gw_meter_get(e->conf.meter, GW_COUNTER, "otelcol_exporter_consumed_items",
                        "Number of items passed to the exporter.", l, 4);
}

static struct gw_metric *rows_histogram(const struct gw_edge *e, const char *name, const char *help,
                                        const struct gw_label *l, unsigned n)
{
    return gw_meter_get_histogram(e->conf.meter, name, help, l, n, gw_row_bounds, GW_N_ROW_BOUNDS);
}

static struct gw_metric *bytes_histogram(const struct gw_edge *e, const char *name, const char *help,
                                         const struct gw_label *l, unsigned n)
{
    return gw_meter_get_histogram(e->conf.meter, name, help, l, n, gw_byte_bounds, GW_N_BYTE_BOUNDS);
}

/* What came in, a request at a time, and what left, a batch at a time. */
static void make_histograms(const struct gw_edge *e, struct gw_lane *l)
{
    const struct gw_label id = {"exporter", e->conf.id};

    if (e->conf.settings.queue.enabled) {
        l->enqueue_size =
            rows_histogram(e, "otelcol_exporter_enqueue_size", "Number of items in a request to the queue", &id, 1);
        l->enqueue_bytes = bytes_histogram(e, "otelcol_exporter_enqueue_size_bytes",
                                           "Number of bytes in a request to the queue", &id, 1);
    }
    if (e->own_batching.enabled) {
        l->send_size =
            rows_histogram(e, "otelcol_exporter_queue_batch_send_size", "Number of units in the batch", &id, 1);
        l->send_bytes = bytes_histogram(e, "otelcol_exporter_queue_batch_send_size_bytes",
                                        "Number of bytes in batch that was sent", &id, 1);
    }
}

void gw_edge_make_metrics(struct gw_edge *e, struct gw_lane *l)
{
    const struct gw_label both[] = {{"data_type", gw_signal_name(l->signal)}, {"exporter", e->conf.id}};
    struct gw_meter *m = e->conf.meter;

    l->sent = counter(e, "sent", l->signal, "Number of items successfully sent to the destination.");
    l->failed = counter(e, "send_failed", l->signal, "Number of items in failed attempts to send to the destination.");
    l->enqueue_failed = counter(e, "enqueue_failed", l->signal, "Number of items failed to be added to the queue.");
    l->consumed = consumed(e, "success", l->signal);
    l->not_consumed = consumed(e, "failure", l->signal);
    if (e->ops->swallow)
        return;
    l->flying = gw_meter_get_read(m, "otelcol_exporter_in_flight_requests", "Current number of in-flight requests",
                                  both, 2, read_in_flight, l);
    if (e->conf.level >= GW_LEVEL_DETAILED)
        make_histograms(e, l);
    if (!e->conf.settings.queue.enabled)
        return;
    l->size = gw_meter_get_read(m, "otelcol_exporter_queue_size", "Current size of the retry queue (in batches)", both,
                                2, read_queued, l);
    l->capacity = gw_meter_get(m, GW_GAUGE, "otelcol_exporter_queue_capacity",
                               "Fixed capacity of the retry queue (in batches)", both, 2);
    gw_metric_set(l->capacity, e->conf.settings.queue.queue_size);
    if (!gw_edge_is_durable(e))
        return;
    l->lag_bytes_metric =
        gw_meter_get_read(m, "staunch_queue_lag_bytes", "Bytes on disk that the exporter has not settled yet.", both, 2,
                          read_lag_bytes, l);
    l->lag_rows_metric =
        gw_meter_get_read(m, "staunch_queue_lag_items", "Items on disk that the exporter has not settled yet.", both, 2,
                          read_lag_rows, l);
}
