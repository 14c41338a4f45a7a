/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of prometheus_remote_write, spelled as the Collector's, and what they mean for queue and translation. */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SETTINGS_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SETTINGS_H

#include "core/breaker.h"
#include "exporters/common/client_settings.h"
#include "exporters/prometheus_remote_write/translate.h"

struct gw_queue_settings;

struct gw_rw_queue_settings {
    bool enabled;
    int64_t queue_size, num_consumers;
};
struct gw_rw_resource_labels {
    bool enabled, exclude_service_attributes;
};
struct gw_rw_constant_labels {
    struct gw_list included, excluded; /* const char * */
};
struct gw_rw_target_info {
    bool enabled;
};
struct gw_rw_wal {
    const char *directory;
    int64_t buffer_size;
    uint64_t truncate_frequency_ns, lag_record_frequency_ns;
};
struct gw_rw_http_block {
    struct gw_http_settings http;
    uint64_t timeout_ns;
};

struct gw_rw_conf {
    struct gw_http_settings flat;
    struct gw_rw_http_block block;
    bool has_block, has_wal;
    struct gw_rw_queue_settings queue;
    const char *namespace_;
    struct gw_map external_labels;
    int64_t max_batch_size_bytes, max_batch_request_parallelism; /* 0: not set */
    struct gw_rw_resource_labels resource_labels;
    struct gw_rw_constant_labels constant_labels;
    struct gw_rw_target_info target_info;
    struct gw_rw_wal wal;
    bool disable_scope_info, add_metric_suffixes, send_metadata, nhcb, keep_classic, cumulative;
    int strategy, message;
    struct gw_list include_metadata_keys; /* const char * */
    uint64_t series_cache_bytes;
    struct gw_breaker_settings breaker; /* these: gw_rw_queue_seen */
    bool adapts;
};

enum { GW_RW_MAX_METADATA_KEYS = 5, GW_RW_MAX_SHARDS = 1000 };

extern const struct gw_field gw_rw_fields[];
void gw_rw_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);
void gw_rw_queue_defaults(struct gw_queue_settings *s);
void gw_rw_queue_adjust(const void *conf, const struct gw_node *node, struct gw_queue_settings *s);
void gw_rw_queue_seen(void *conf, const struct gw_queue_settings *s);

/** The client's settings: those of `http`, else those that stand flat in the exporter's block. */
const struct gw_http_settings *gw_rw_http(const struct gw_rw_conf *c);
enum gw_rw_version gw_rw_version(const struct gw_rw_conf *c);
unsigned gw_rw_shards(const struct gw_rw_conf *c);
/** Owner: borrows the settings. seed is the caller's to set. */
struct gw_rw_options gw_rw_options_of(const struct gw_rw_conf *c);

#endif
