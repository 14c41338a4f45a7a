/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the kafka exporter, and librdkafka's properties for them. */
#ifndef GW_EXPORTERS_KAFKA_OPTIONS_H
#define GW_EXPORTERS_KAFKA_OPTIONS_H

#include "exporters/common/client_settings.h"

struct gw_kafka_signal {
    const char *topic, *topic_from_metadata_key, *message_key_from_metadata_key;
    int encoding; /* enum gw_kafka_encoding */
};
enum gw_kafka_encoding { GW_KAFKA_PROTO, GW_KAFKA_JSON };

struct gw_kafka_plain {
    const char *username, *password;
};
struct gw_kafka_sasl {
    const char *username, *password, *mechanism, *oauthbearer_token_source;
    const struct gw_node *aws_msk;
    uint64_t version;
};
struct gw_kafka_kerberos {
    const char *service_name, *realm, *username, *password, *config_file, *keytab_file;
    bool use_keytab, disable_fast_negotiation;
};
struct gw_kafka_auth {
    bool has_plain, has_sasl, has_kerberos, has_tls;
    struct gw_kafka_plain plain;
    struct gw_kafka_sasl sasl;
    struct gw_kafka_kerberos kerberos;
    struct gw_tls_settings tls;
};

struct gw_kafka_producer {
    uint64_t max_message_bytes, max_broker_write_bytes, flush_max_messages, linger_ns;
    int required_acks, compression;
    struct gw_compression_settings compression_params;
    bool allow_auto_topic_creation;
};

struct gw_kafka_sticky_key {
    int hasher;
};
struct gw_kafka_nothing {
    bool ignored;
};
struct gw_kafka_partitioner {
    bool has_sticky_key, has_round_robin, has_least_backup;
    struct gw_kafka_sticky_key sticky_key;
    struct gw_kafka_nothing round_robin, least_backup;
    const struct gw_node *extension;
};

struct gw_kafka_metadata_retry {
    uint64_t max, backoff_ns;
};
struct gw_kafka_metadata {
    bool full;
    uint64_t refresh_interval_ns;
    struct gw_kafka_metadata_retry retry;
};

struct gw_kafka_conf {
    struct gw_list brokers;
    const char *protocol_version, *client_id, *rack_id;
    bool use_leader_epoch, resolve_canonical, has_tls, has_auth, signal_header;
    uint64_t conn_idle_timeout_ns, dial_timeout_ns;
    struct gw_tls_settings tls;
    struct gw_kafka_auth auth;
    struct gw_kafka_metadata metadata;
    struct gw_kafka_signal traces, metrics, logs;
    const struct gw_node *profiles;
    const char *topic_from_attribute;
    bool partition_traces_by_id, partition_metrics_by_resource_attributes, partition_logs_by_resource_attributes,
        partition_logs_by_trace_id;
    struct gw_kafka_partitioner record_partitioner;
    struct gw_list include_metadata_keys;
    struct gw_map record_headers;
    struct gw_kafka_producer producer;
};

extern const struct gw_field gw_kafka_fields[];
/** The rules between settings, and what librdkafka cannot do. */
void gw_kafka_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);

enum { GW_KAFKA_MAX_OPTIONS = 48 };
struct gw_kafka_options {
    struct gw_producer_option list[GW_KAFKA_MAX_OPTIONS];
    unsigned n;
    struct gw_arena arena;
};
/**
 * Owner: the options borrow conf and their own arena, until gw_kafka_options_clear. timeout_ns: of an attempt; 0 =
 * none. batch_bytes: most bytes of messages that go out as one batch; a longer message goes alone.
 */
void gw_kafka_options_fill(struct gw_kafka_options *o, const struct gw_kafka_conf *c, uint64_t timeout_ns,
                           size_t batch_bytes);
void gw_kafka_options_clear(struct gw_kafka_options *o);

#endif
