/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: send fewer, larger requests.
 *
 *     processors:
 *       batch: { timeout: 200ms, send_batch_size: 8192, send_batch_max_size: 10000 }
 *
 * Rows pass it untouched: batching is done by the exporters behind it, after the point where the client is answered
 * for, so that no verdict is delayed or lost. The runtime asks for the settings when it builds the graph and counts the
 * metrics of the Collector's processor (otelcol_processor_batch_*) in its name.
 */
#include <strings.h>

#include "pipeline/component.h"
#include "pipeline/exporter.h"

struct conf {
    uint64_t timeout_ns, send_batch_size, send_batch_max_size, metadata_cardinality_limit;
    struct gw_list metadata_keys; /* const char * */
};

static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct conf, timeout_ns, "timeout", "200ms", 0, 1e18,
                      "A batch leaves after this time, whatever its size; 0 = at once."),
    GW_U64_FIELD(struct conf, send_batch_size, "send_batch_size", "8192", 0, 4294967295.0,
                 "A batch leaves when it has this many spans, points or records; 0 = at once."),
    GW_U64_FIELD(struct conf, send_batch_max_size, "send_batch_max_size", "0", 0, 4294967295.0,
                 "Larger batches are split; 0 = never."),
    GW_STRINGS_FIELD(struct conf, metadata_keys, "metadata_keys",
                     "One batch per combination of values of these request headers. Case does not matter."),
    GW_U64_FIELD(struct conf, metadata_cardinality_limit, "metadata_cardinality_limit", "1000", 0, 4294967295.0,
                 "Combinations at one time; 0 = no limit."),
    {0},
};

static const struct gw_place *place_of(const struct gw_node *block, const char *key)
{
    const struct gw_node *n = gw_node_get(block, key);

    return n ? &n->place : block ? &block->place : NULL;
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const char *const *keys = c->metadata_keys.items;

    if (c->send_batch_max_size > 0 && c->send_batch_max_size < c->send_batch_size)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "send_batch_max_size"),
                    "send_batch_max_size must be greater or equal to send_batch_size");
    for (size_t i = 0; i < c->metadata_keys.n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcasecmp(keys[i], keys[k]) == 0) {
                gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "metadata_keys"),
                            "duplicate entry in metadata_keys: \"%s\" (case-insensitive)", keys[i]);
                break;
            }
}

static void batching(const void *conf, struct gw_batching *ret)
{
    const struct conf *c = conf;

    *ret = (struct gw_batching){
        .enabled = true,
        .flush_timeout_ns = c->send_batch_size == 0 ? 0 : c->timeout_ns,
        .min_size = c->send_batch_size,
        .max_size = c->send_batch_max_size,
        .metadata_keys = c->metadata_keys.items,
        .n_metadata_keys = (unsigned)c->metadata_keys.n,
        .cardinality_limit = c->metadata_cardinality_limit,
    };
}

const struct gw_component gw_processor_batch = {
    .kind = GW_PROCESSOR,
    .name = "batch",
    .summary = "Send fewer, larger requests: batching by the exporters of the pipeline.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW,
    .expands = 1,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .batching = batching,
};
