/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings that every `queued` exporter has besides its own: sending_queue, retry_on_failure, timeout. The keys
 * and defaults are those of the Collector's exporterhelper. They stand in the exporter's own block: whoever fills
 * that block uses gw_schema_fill_tables with both tables.
 */
#ifndef GW_QUEUE_SETTINGS_H
#define GW_QUEUE_SETTINGS_H

#include "config/schema.h"
#include "pipeline/exporter.h"
#include "pipeline/service.h"

enum gw_sizer { GW_SIZER_REQUESTS, GW_SIZER_ITEMS, GW_SIZER_BYTES };
enum gw_batch_sizer { GW_BATCH_AS_QUEUE, GW_BATCH_ITEMS, GW_BATCH_BYTES };

struct gw_partition_settings {
    struct gw_list metadata_keys; /* const char * */
};

struct gw_batch_settings {
    uint64_t flush_timeout_ns, min_size, max_size;
    int sizer; /* enum gw_batch_sizer */
    struct gw_partition_settings partition;
};

struct gw_sending_queue_settings {
    bool enabled, block_on_overflow, wait_for_result;
    uint64_t num_consumers, queue_size;
    int sizer; /* enum gw_sizer */
    const char *storage;
    bool has_batch;
    struct gw_batch_settings batch;
};

struct gw_retry_settings {
    bool enabled;
    uint64_t initial_interval_ns, max_interval_ns, max_elapsed_time_ns;
    double randomization_factor, multiplier;
};

struct gw_queue_settings {
    struct gw_sending_queue_settings queue;
    struct gw_retry_settings retry;
    uint64_t timeout_ns; /* of one attempt; 0 = none */
};

/** Ended by {0}; the conf is a struct gw_queue_settings. */
extern const struct gw_field gw_queue_fields[];
/** For gw_service_options: table, the exporter's own defaults, and the rules between settings. */
extern const struct gw_extra_settings gw_queue_extra;

/** How an exporter with these settings batches by itself; enabled == false when it does not. */
struct gw_batching gw_queue_batching(const struct gw_queue_settings *s);

#endif
