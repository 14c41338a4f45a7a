/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward: joins pipelines of one signal, or splits one into several.
 *
 *     connectors:
 *       forward:
 *     service:
 *       pipelines:
 *         traces/in:  { receivers: [otlp], exporters: [forward] }
 *         traces/out: { receivers: [forward], processors: [attributes], exporters: [kafka] }
 *
 * Rows pass as they are; each pipeline behind gets a view of its own.
 */
#include "pipeline/component.h"
#include "pipeline/ports.h"

struct conf {
    char none;
};

static const struct gw_field fields[] = {{0}};

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    (void)self;
    gw_emit(out, 0, v);
}

const struct gw_component gw_connector_forward = {
    .kind = GW_CONNECTOR,
    .name = "forward",
    .summary = "Join pipelines of one signal, or split one into several.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW,
    .expands = 1,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .consume = consume,
};
