/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollup, between pipelines: spans, log records or data points become metrics, aggregated over windows of their own
 * time.
 *
 *     connectors:
 *       rollup/errors: { where: severity_number >= 17, keys: { resource: [service.name] }, windows: [ { size: 1m } ] }
 *     service:
 *       pipelines:
 *         logs:    { receivers: [otlp], exporters: [rollup/errors] }
 *         metrics: { receivers: [rollup/errors], exporters: [prometheus_remote_write] }
 *
 * A connector because it makes another signal; for metrics alone there is the processor of the same name, with the
 * same settings (processors/rollup/). docs/rollups.md has the rules of time.
 */
#include "processors/rollup/kept.h"

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_ru_consume(self, v, out, /* passes_on= */ false);
}

const struct gw_component gw_connector_rollup = {
    .kind = GW_CONNECTOR,
    .name = "rollup",
    .summary = "Aggregate spans, log records or data points over windows of event time, as metrics.",
    .signals = GW_ALL_SIGNALS,
    .makes = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN | GW_C_BODY,
    .writes = GW_C_ATTRS,
    .ports = gw_ru_ports,
    .expands = 2,
    .fields = gw_ru_fields,
    .conf_size = sizeof(struct gw_ru_conf),
    .check = gw_ru_check,
    .create_shared = gw_ru_create_shared,
    .destroy_shared = gw_ru_destroy_shared,
    .create = gw_ru_create,
    .destroy = gw_ru_destroy,
    .consume = consume,
    .tick = gw_ru_tick,
    .drain = gw_ru_drain,
    .keep = &gw_ru_keep,
};
