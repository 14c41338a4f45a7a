/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the elasticsearch exporter, and what they say about addresses, credentials and the queue. */
#ifndef GW_EXPORTERS_ELASTICSEARCH_SETTINGS_H
#define GW_EXPORTERS_ELASTICSEARCH_SETTINGS_H

#include "core/breaker.h"
#include "exporters/common/client_settings.h"
#include "exporters/elasticsearch/docs.h"
#include "exporters/elasticsearch/remedy.h"

struct gw_queue_settings;

struct gw_es_switch {
    bool enabled;
};
struct gw_es_discover {
    bool on_start;
    uint64_t interval_ns;
};
struct gw_es_logstash {
    bool enabled;
    const char *prefix_separator, *date_format;
};
struct gw_es_mapping {
    const char *mode;
    struct gw_list allowed_modes; /* const char * */
};
struct gw_es_flush {
    uint64_t bytes, interval_ns;
};
struct gw_es_retry {
    bool enabled;
    uint64_t max_requests, max_retries, initial_interval_ns, max_interval_ns;
    struct gw_list on_status, on_document_status; /* const char * */
};
struct gw_es_telemetry {
    bool log_request_body, log_response_body, log_failed_docs_input;
    uint64_t failed_docs_interval_ns;
};

/** A rule for documents that a mapping refuses: the first whose pattern fits the field counts. */
struct gw_es_rule {
    const char *field; /* * stands for any text */
    int action;        /* enum gw_es_remedy */
};

/** include_source_on_error has three states. */
enum gw_es_source { GW_ES_SOURCE_UNSET, GW_ES_SOURCE_NO, GW_ES_SOURCE_YES };

struct gw_es_conf {
    struct gw_http_settings http;
    struct gw_list endpoints; /* const char * */
    const char *cloudid, *user, *password, *api_key;
    struct gw_es_discover discover;
    const char *logs_index, *metrics_index, *traces_index, *pipeline;
    struct gw_es_switch logs_dynamic_index, metrics_dynamic_index, traces_dynamic_index;
    struct gw_es_switch logs_dynamic_id, traces_dynamic_id, metrics_dynamic_id, logs_dynamic_pipeline;
    struct gw_es_logstash logstash;
    struct gw_es_mapping mapping;
    uint64_t num_workers;
    struct gw_es_flush flush;
    struct gw_es_retry retry;
    bool suppress_conflict_errors;
    int include_source_on_error; /* enum gw_es_source */
    struct gw_list metadata_keys;
    const char *filter_path;
    struct gw_es_telemetry telemetry;
    int document_id;                    /* enum gw_es_id */
    struct gw_list remedies;            /* struct gw_es_rule */
    bool tried_once;                    /* the queue's retry_on_failure, or retry, is off: gw_es_queue_seen */
    uint64_t max_request_bytes;         /* uncompressed; 0: sending_queue.batch.max_size, gw_es_queue_seen */
    struct gw_breaker_settings breaker; /* these: gw_es_queue_seen */
    bool adapts;
    uint32_t n_consumers;
};

extern const struct gw_field gw_es_fields[];
/** The rules between settings. */
void gw_es_check(const void *conf, const struct gw_node *node, struct gw_diag *diag);
/** The Collector's own defaults of sending_queue, and its pauses. */
void gw_es_queue_defaults(struct gw_queue_settings *s);
/** What retry, flush, num_workers and metadata_keys say about the queue. */
void gw_es_queue_adjust(const void *conf, const struct gw_node *node, struct gw_queue_settings *s);
/** How large a request may be, by how large a batch may be; whether there is a second try; how many at once. */
void gw_es_queue_seen(void *conf, const struct gw_queue_settings *s);

/** Documents by these settings; require_data_stream and the mode of an attempt are the caller's to change. */
void gw_es_options_of(const struct gw_es_conf *c, struct gw_es_options *ret);
/** "", "no" and any case of a mode's name; GW_ES_N_MODES when it is none. */
enum gw_es_mode gw_es_mode_of(struct gw_slice name);

/** A set of HTTP statuses, as retry_on_status and retry_on_document_status name them. */
struct gw_es_statuses {
    uint64_t bits[10];
};
/** 429 and everything from 500 on belong to it whatever is written: they never mean that a document is bad. */
void gw_es_statuses_of(const struct gw_list *list, struct gw_es_statuses *ret);
bool gw_es_statuses_have(const struct gw_es_statuses *s, int status);

#endif
