/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/settings.h"

#include <strings.h>

#include "pipeline/queue_settings.h"

enum { DEFAULT_BATCH_BYTES = 3000000, DEFAULT_CONSUMERS = 5, DEFAULT_QUEUE_SIZE = 10000 };
static const uint64_t DEFAULT_INTERVAL_NS = 50ull * 1000000;

static const char *const strategies[] = {"",
                                         "UnderscoreEscapingWithSuffixes",
                                         "UnderscoreEscapingWithoutSuffixes",
                                         "NoUTF8EscapingWithSuffixes",
                                         "NoTranslation",
                                         NULL};
static const char *const messages[] = {"prometheus.WriteRequest", "io.prometheus.write.v2.Request", NULL};

/* Set by the protocol. */
static const char *const reserved[] = {"Content-Encoding", "Content-Type", "User-Agent",
                                       "X-Prometheus-Remote-Write-Version", NULL};

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static const struct gw_field queue_fields[] = {
    GW_BOOL_FIELD(struct gw_rw_queue_settings, enabled, "enabled", "true", "As sending_queue::enabled."),
    GW_I64_FIELD(struct gw_rw_queue_settings, queue_size, "queue_size", "10000", 0, 0,
                 "As sending_queue::queue_size: requests that wait."),
    GW_I64_FIELD(struct gw_rw_queue_settings, num_consumers, "num_consumers", "5", 0, 0,
                 "Bodies under way at once, and shards when max_batch_request_parallelism is not set. A series keeps "
                 "its order whatever the number."),
    {0},
};
static const struct gw_field resource_fields[] = {
    GW_BOOL_FIELD(struct gw_rw_resource_labels, enabled, "enabled", "false",
                  "All attributes of the resource become labels."),
    GW_BOOL_FIELD(
        struct gw_rw_resource_labels, exclude_service_attributes, "exclude_service_attributes", "false",
        "Without service.name, service.instance.id and service.namespace, which are job and instance already."),
    {0},
};
static const struct gw_field constant_fields[] = {
    GW_STRINGS_FIELD(struct gw_rw_constant_labels, included, "included",
                     "Attributes of the resource that become labels; * stands for any text."),
    GW_STRINGS_FIELD(struct gw_rw_constant_labels, excluded, "excluded",
                     "Attributes that do not, though included names them."),
    {0},
};
static const struct gw_field target_info_fields[] = {
    GW_BOOL_FIELD(struct gw_rw_target_info, enabled, "enabled", "true", "Write target_info for each resource."),
    {0},
};
#define NO_EFFECT(m, nm, ty, df, help_)                                                                                \
    {                                                                                                                  \
        GW_FIELD_(struct gw_rw_wal, m, nm, ty, df, 0, 0, help_), .flags = GW_FF_NO_EFFECT                              \
    }
static const struct gw_field wal_fields[] = {
    NO_EFFECT(directory, "directory", GW_F_STRING, "", "Data waits in the queue."),
    NO_EFFECT(buffer_size, "buffer_size", GW_F_I64, "300", "Nothing is read back from a log."),
    NO_EFFECT(truncate_frequency_ns, "truncate_frequency", GW_F_DURATION, "1m", "What is delivered is gone at once."),
    NO_EFFECT(lag_record_frequency_ns, "lag_record_frequency", GW_F_DURATION, "15s",
              "otelcol_exporter_queue_size tells at any time."),
    {0},
};
static const struct gw_field http_fields[] = {
    GW_HTTP_FIELDS(struct gw_rw_http_block, http, "snappy", "524288"),
    GW_DURATION_FIELD(struct gw_rw_http_block, timeout_ns, "timeout", "5s", 0, 1e18, "Of one request; 0 = none."),
    {0},
};

#define C struct gw_rw_conf
const struct gw_field gw_rw_fields[] = {
    GW_HTTP_FIELDS(C, flat, "snappy", "524288"),
    GW_OPTIONAL_BLOCK_FIELD(C, block, has_block, "http", http_fields, GW_FF_NULL_IS_ON,
                            "The client's settings in a block of their own, instead of those above."),
    GW_BLOCK_FIELD(C, queue, "remote_write_queue", queue_fields, "The queue before the exporter."),
    GW_STRING_FIELD(C, namespace_, "namespace", "", "Stands before each metric's name, with an underscore."),
    GW_MAP_FIELD(C, external_labels, "external_labels", "Labels of every series that has none of that name."),
    GW_I64_FIELD(C, max_batch_size_bytes, "max_batch_size_bytes", "3000000", 0, 0,
                 "Longest request before compression; 0 = 3000000. A single point may be longer."),
    GW_I64_FIELD(C, max_batch_request_parallelism, "max_batch_request_parallelism", NULL, 0, 0,
                 "Shards: requests under way at once, each with its own series. Not set: num_consumers."),
    {GW_FIELD_(C, resource_labels, "resource_to_telemetry_conversion", GW_F_BLOCK, NULL, 0, 0,
               "Attributes of the resource as labels."),
     .block = resource_fields, .block_size = sizeof(struct gw_rw_resource_labels)},
    GW_BLOCK_FIELD(C, constant_labels, "resource_constant_labels", constant_fields,
                   "Chosen attributes of the resource as labels."),
    GW_BLOCK_FIELD(C, target_info, "target_info", target_info_fields, "The metric that holds a resource's attributes."),
    GW_BOOL_FIELD(C, disable_scope_info, "disable_scope_info", "false", "No otel_scope_ labels."),
    {GW_FIELD_(C, add_metric_suffixes, "add_metric_suffixes", GW_F_BOOL, "true", 0, 0,
               "use translation_strategy: UnderscoreEscapingWithoutSuffixes instead of false"),
     .flags = GW_FF_DEPRECATED},
    GW_ENUM_FIELD(
        C, strategy, "translation_strategy", NULL, strategies,
        "How names are written. Not set: UnderscoreEscapingWithSuffixes, unless add_metric_suffixes is false."),
    GW_BOOL_FIELD(C, send_metadata, "send_metadata", "false", "Type, unit and help with 1.0; 2.0 always has them."),
    GW_ENUM_FIELD(C, message, "protobuf_message", "prometheus.WriteRequest", messages,
                  "Remote write 1.0 or 2.0. A server that does not know 2.0 gets 1.0."),
    GW_STRINGS_FIELD(C, include_metadata_keys, "include_metadata_keys",
                     "Request headers that are sent on with every request, at most five."),
    GW_BOOL_FIELD(C, nhcb, "convert_explicit_histograms_to_nhcb", "false",
                  "Histograms with explicit bounds as native histograms with custom buckets."),
    GW_BOOL_FIELD(C, keep_classic, "keep_classic_histograms", "false", "And their classic series, too."),
    GW_OPTIONAL_BLOCK_FIELD(C, wal, has_wal, "wal", wal_fields, GW_FF_NULL_IS_ON,
                            "The queue is on, and data is tried until it is delivered."),
    GW_BOOL_FIELD(C, cumulative, "cumulative", "false",
                  "Points of delta temporality are summed up since the start. false: they become dead letters."),
    GW_U64_FIELD(C, series_cache_bytes, "series_cache", "67108864", 1 << 16, 1e12,
                 "Most memory, in bytes, for the label sets of known series."),
    {0},
};
#undef C

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static const struct gw_place *place_of(const struct gw_node *node, const char *key)
{
    const struct gw_node *at = node ? gw_node_get(node, key) : NULL;

    return at ? &at->place : node ? &node->place : NULL;
}

#define MISTAKE(key, ...) gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, key), __VA_ARGS__)

static void check_endpoint(const struct gw_rw_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const char *url = gw_rw_http(c)->endpoint;

    if (c->has_block && *c->flat.endpoint)
        MISTAKE("endpoint", "endpoint stands beside http: write it in that block only");
    else if (!*url)
        MISTAKE("endpoint", "prometheus_remote_write needs an endpoint, such as http://prometheus:9090/api/v1/write");
    else if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0 &&
             strncmp(url, "unix:", 5) != 0)
        MISTAKE(c->has_block ? "http" : "endpoint",
                "endpoint: \"%s\" is no URL: write http://, https:// or unix:// in front", url);
}

static void check_numbers(const struct gw_rw_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    if (node && gw_node_get(node, "max_batch_request_parallelism") && c->max_batch_request_parallelism < 1)
        MISTAKE("max_batch_request_parallelism", "max_batch_request_parallelism can't be set to below 1");
    if (c->max_batch_request_parallelism > GW_RW_MAX_SHARDS || c->queue.num_consumers > GW_RW_MAX_SHARDS)
        MISTAKE("max_batch_request_parallelism", "no more than %d requests can be under way at once", GW_RW_MAX_SHARDS);
    if (c->queue.queue_size < 0)
        MISTAKE("remote_write_queue", "remote write queue size can't be negative");
    if (c->queue.enabled && c->queue.queue_size == 0)
        MISTAKE("remote_write_queue", "a 0 size queue will drop all the data");
    if (c->queue.num_consumers < 0)
        MISTAKE("remote_write_queue", "remote write consumer number can't be negative");
    if (c->max_batch_size_bytes < 0)
        MISTAKE("max_batch_size_bytes", "max_batch_size_bytes must be greater than 0");
}

static bool is_reserved(const char *name)
{
    for (unsigned i = 0; reserved[i]; i++)
        if (strcasecmp(reserved[i], name) == 0)
            return true;
    return false;
}

static bool list_has(const struct gw_node *list, const char *s)
{
    for (const struct gw_node *n = list ? list->first : NULL; n; n = n->next)
        if (n->text && strcasecmp(n->text, s) == 0)
            return true;
    return list && !list->first && list->text && strcasecmp(list->text, s) == 0;
}

static void check_headers(const struct gw_rw_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *batch = node ? gw_node_path(node, "sending_queue", "batch", NULL) : NULL;
    const struct gw_node *parts = batch ? gw_node_path(batch, "partition", "metadata_keys", NULL) : NULL;
    const struct gw_map *headers = &gw_rw_http(c)->headers;
    const char *const *keys = c->include_metadata_keys.items;

    for (size_t i = 0; i < headers->n; i++)
        if (is_reserved(headers->entries[i].key))
            MISTAKE(c->has_block ? "http" : "headers", "headers: \"%s\" is set by remote write and cannot be changed",
                    headers->entries[i].key);
    if (c->include_metadata_keys.n > GW_RW_MAX_METADATA_KEYS)
        MISTAKE("include_metadata_keys", "include_metadata_keys: no more than %d", GW_RW_MAX_METADATA_KEYS);
    for (size_t i = 0; i < c->include_metadata_keys.n; i++) {
        if (is_reserved(keys[i]))
            MISTAKE("include_metadata_keys",
                    "include_metadata_keys entry \"%s\" collides with a reserved remote write header", keys[i]);
        if (batch && !list_has(parts, keys[i]))
            MISTAKE("include_metadata_keys",
                    "include_metadata_keys: \"%s\" must stand in sending_queue::batch::partition::metadata_keys: "
                    "batches mix requests otherwise",
                    keys[i]);
    }
}

/** Not set: add_metric_suffixes decides. */
static enum gw_rw_strategy strategy_of(const struct gw_rw_conf *c)
{
    if (c->strategy > 0)
        return (enum gw_rw_strategy)(c->strategy - 1);
    return c->add_metric_suffixes ? GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES
                                  : GW_RW_UNDERSCORE_ESCAPING_WITHOUT_SUFFIXES;
}

static void check_labels(const struct gw_rw_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    enum gw_rw_strategy strategy = strategy_of(c);

    for (size_t i = 0; i < c->external_labels.n; i++)
        if (!*c->external_labels.entries[i].key || !*c->external_labels.entries[i].value)
            MISTAKE("external_labels",
                    "prometheus remote write: external labels configuration contains an empty key or value");
    if (gw_rw_version(c) == GW_RW_1 &&
        (strategy == GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES || strategy == GW_RW_NO_TRANSLATION))
        MISTAKE("translation_strategy", "translation strategy %s requires Prometheus Remote Write 2.0 (UTF-8 support)",
                strategies[c->strategy]);
    if (c->keep_classic && !c->nhcb)
        gw_diag_add(diag, GW_DIAG_WARNING, place_of(node, "keep_classic_histograms"),
                    "keep_classic_histograms has no effect without convert_explicit_histograms_to_nhcb");
}

void gw_rw_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_rw_conf *c = conf;
    const struct gw_http_settings *http = gw_rw_http(c);
    const char *codec = gw_http_compressions[http->compression];

    check_endpoint(c, node, diag);
    check_numbers(c, node, diag);
    check_headers(c, node, diag);
    check_labels(c, node, diag);
    if (*codec && strcmp(codec, "snappy") != 0)
        MISTAKE(c->has_block ? "http" : "compression", "compression type must be snappy");
    else
        gw_http_settings_check(http, c->has_block && node ? gw_node_get(node, "http") : node, diag);
    if (c->has_wal)
        gw_diag_add(diag, GW_DIAG_WARNING, place_of(node, "wal"),
                    "wal: no log is written: data waits in the queue, in memory, and is tried until it is delivered");
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

void gw_rw_queue_defaults(struct gw_queue_settings *s)
{
    s->queue.queue_size = DEFAULT_QUEUE_SIZE;
    s->queue.num_consumers = DEFAULT_CONSUMERS;
    s->retry.initial_interval_ns = DEFAULT_INTERVAL_NS;
}

void gw_rw_queue_adjust(const void *conf, const struct gw_node *node, struct gw_queue_settings *s)
{
    const struct gw_rw_conf *c = conf;
    const struct gw_node *own = node ? gw_node_get(node, "remote_write_queue") : NULL;

    if (own && gw_node_get(own, "enabled"))
        s->queue.enabled = c->queue.enabled;
    if (own && gw_node_get(own, "queue_size") && c->queue.queue_size > 0)
        s->queue.queue_size = (uint64_t)c->queue.queue_size;
    if (own && gw_node_get(own, "num_consumers") && c->queue.num_consumers >= 0)
        s->queue.num_consumers = c->queue.num_consumers ? (uint64_t)c->queue.num_consumers : 1;
    if (c->has_block && node && gw_node_path(node, "http", "timeout", NULL))
        s->timeout_ns = c->block.timeout_ns;
    if (c->has_wal) {
        s->queue.enabled = true;
        if (!node || !gw_node_path(node, "retry_on_failure", "max_elapsed_time", NULL))
            s->retry.max_elapsed_time_ns = 0;
    }
}

void gw_rw_queue_seen(void *conf, const struct gw_queue_settings *s)
{
    struct gw_rw_conf *c = conf;

    c->breaker = s->breaker;
    c->adapts = s->queue.adaptive_concurrency.enabled;
}

/* ---- what they mean ---------------------------------------------------------------------------------------------- */

const struct gw_http_settings *gw_rw_http(const struct gw_rw_conf *c)
{
    return c->has_block ? &c->block.http : &c->flat;
}

enum gw_rw_version gw_rw_version(const struct gw_rw_conf *c)
{
    return c->message == 0 ? GW_RW_1 : GW_RW_2;
}

unsigned gw_rw_shards(const struct gw_rw_conf *c)
{
    int64_t n = c->max_batch_request_parallelism > 0 ? c->max_batch_request_parallelism : c->queue.num_consumers;

    return n < 1 ? 1 : (unsigned)n;
}

struct gw_rw_options gw_rw_options_of(const struct gw_rw_conf *c)
{
    return (struct gw_rw_options){
        .namespace_ = c->namespace_,
        .external_labels = &c->external_labels,
        .strategy = strategy_of(c),
        .target_info = c->target_info.enabled,
        .scope_info = !c->disable_scope_info,
        .resource_labels = c->resource_labels.enabled,
        .exclude_service_attributes = c->resource_labels.exclude_service_attributes,
        .included = &c->constant_labels.included,
        .excluded = &c->constant_labels.excluded,
        .send_metadata = c->send_metadata,
        .nhcb = c->nhcb,
        .keep_classic = c->keep_classic,
        .delta_to_cumulative = c->cumulative,
        .n_shards = gw_rw_shards(c),
        .max_request_bytes = (size_t)(c->max_batch_size_bytes > 0 ? c->max_batch_size_bytes : DEFAULT_BATCH_BYTES),
        .series_cache_bytes = c->series_cache_bytes,
    };
}
