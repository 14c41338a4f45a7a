/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sending_queue, retry_on_failure and timeout say, as the queue reads it (its table is in queue/settings.c). It
 * stands here for exporters whose defaults or keys differ: gw_exporter_ops.queue_defaults and queue_adjust.
 */
#ifndef GW_PIPELINE_QUEUE_SETTINGS_H
#define GW_PIPELINE_QUEUE_SETTINGS_H

#include "config/schema.h"
#include "core/breaker.h"

enum gw_sizer { GW_SIZER_REQUESTS, GW_SIZER_ITEMS, GW_SIZER_BYTES };
enum gw_on_full { GW_ON_FULL_REFUSE, GW_ON_FULL_SPILL, GW_ON_FULL_DROP_OLDEST };
enum gw_partial { GW_PARTIAL_COUNT, GW_PARTIAL_DEAD_LETTER };
enum gw_batch_sizer { GW_BATCH_AS_QUEUE, GW_BATCH_ITEMS, GW_BATCH_BYTES };

struct gw_partition_settings {
    struct gw_list metadata_keys; /* const char * */
};

struct gw_batch_settings {
    uint64_t flush_timeout_ns, min_size, max_size;
    int sizer; /* enum gw_batch_sizer */
    struct gw_partition_settings partition;
};

struct gw_adaptive_settings {
    bool enabled;
};

struct gw_sending_queue_settings {
    bool enabled, block_on_overflow, wait_for_result;
    uint64_t num_consumers, queue_size;
    int sizer;                                /* enum gw_sizer */
    const char *storage;                      /* id of a storage extension, or "": in memory */
    int on_full;                              /* enum gw_on_full; with storage */
    uint64_t max_lag_bytes, max_memory_bytes; /* with storage: on disk in all, 0 = no limit; of it in memory too */
    bool has_batch;
    struct gw_batch_settings batch;
    struct gw_adaptive_settings adaptive_concurrency;
};

struct gw_retry_settings {
    bool enabled;
    uint64_t initial_interval_ns, max_interval_ns, max_elapsed_time_ns;
    uint64_t max_retry_after_ns; /* of a sink's own wish; 0 = whatever it says */
    double randomization_factor, multiplier;
    uint64_t max_retries; /* 0 = as many as the time allows; no key of its own: an exporter's may set it */
};

struct gw_queue_settings {
    struct gw_sending_queue_settings queue;
    struct gw_retry_settings retry;
    struct gw_breaker_settings breaker;
    uint64_t timeout_ns; /* of one attempt; 0 = none */
    int partial_success; /* enum gw_partial */
};

#endif
