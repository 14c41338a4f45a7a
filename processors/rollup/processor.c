/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollup, in a pipeline of metrics: data points become aggregates over windows of their own time.
 *
 *     processors:
 *       rollup:
 *         keys: { resource: [service.name], attributes: [http.route] }
 *         windows: [ { size: 10s }, { type: hopping, size: 5m, slide: 30s } ]
 *         ports: { late: [file/late] }
 *
 * Results go on in the pipeline. What `where` does not select, and points without a number that can be added
 * (cumulative histograms, summaries), pass untouched. Spans and log records become metrics
 * in the connector of the same name. docs/rollups.md has the rules of time.
 */
#include "processors/rollup/kept.h"

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_ru_consume(self, v, out, /* passes_on= */ true);
}

const struct gw_component gw_processor_rollup = {
    .kind = GW_PROCESSOR,
    .name = "rollup",
    .summary = "Aggregate data points over windows of event time; late ones leave by the late port.",
    .signals = GW_METRICS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE | GW_C_CHILDREN | GW_C_BODY,
    .writes = GW_C_ATTRS,
    .ports = gw_ru_ports,
    .expands = 2,
    .holds = true,
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
