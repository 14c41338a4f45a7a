/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "exporters/elasticsearch/addresses.h"
#include "pipeline/queue_settings.h"

enum { DEFAULT_REQUEST_BYTES = 5000000, MAX_REQUEST_BYTES = 1 << 28 };

/* ---- tables ------------------------------------------------------------------------------------------------- */

static const struct gw_field switch_fields[] = {
    GW_BOOL_FIELD(struct gw_es_switch, enabled, "enabled", "false", "On or off."),
    {0},
};

static const struct gw_field no_switch_fields[] = {
    {GW_FIELD_(struct gw_es_switch, enabled, "enabled", GW_F_BOOL, "false", 0, 0,
               "Documents are always routed by their attributes, unless an index is named."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};

static const struct gw_field discover_fields[] = {
    {GW_FIELD_(struct gw_es_discover, on_start, "on_start", GW_F_BOOL, "false", 0, 0,
               "Nodes are those of the endpoints; the start depends on none of them."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct gw_es_discover, interval_ns, "interval", GW_F_DURATION, "0", 0, 0,
               "Nodes are those of the endpoints."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};

static const struct gw_field logstash_fields[] = {
    GW_BOOL_FIELD(struct gw_es_logstash, enabled, "enabled", "false", "Append the document's day to the index."),
    GW_STRING_FIELD(struct gw_es_logstash, prefix_separator, "prefix_separator", "-", "Between index and day."),
    GW_STRING_FIELD(struct gw_es_logstash, date_format, "date_format", "%Y.%m.%d", "The day, as strftime writes it."),
    {0},
};

static const struct gw_field mapping_fields[] = {
    {GW_FIELD_(struct gw_es_mapping, mode, "mode", GW_F_STRING, "", 0, 0,
               "The mode is otel, or the first of allowed_modes, unless a scope or a request names one."),
     .flags = GW_FF_NO_EFFECT},
    GW_STRINGS_FIELD(
        struct gw_es_mapping, allowed_modes, "allowed_modes",
        "Modes that may be used: bodymap, ecs, none, otel, raw; all when empty. Without otel the first one "
        "is the default."),
    {0},
};

static const struct gw_field flush_fields[] = {
    {GW_FIELD_(struct gw_es_flush, bytes, "bytes", GW_F_U64, "0", 0, 1e12, "write sending_queue::batch::max_size."),
     .flags = GW_FF_DEPRECATED},
    {GW_FIELD_(struct gw_es_flush, interval_ns, "interval", GW_F_DURATION, "0", 0, 1e18,
               "write sending_queue::batch::flush_timeout."),
     .flags = GW_FF_DEPRECATED},
    {0},
};

#define R struct gw_es_retry
static const struct gw_field retry_fields[] = {
    GW_BOOL_FIELD(R, enabled, "enabled", "true", "false: every request is tried once."),
    {GW_FIELD_(R, max_requests, "max_requests", GW_F_U64, "0", 0, 1e6, "write max_retries, which is one less."),
     .flags = GW_FF_DEPRECATED},
    GW_U64_FIELD(
        R, max_retries, "max_retries", "0", 0, 1e6,
        "Tries after the first one; 0: for the time of retry_on_failure::max_elapsed_time. The Collector stops "
        "after 2, and loses the documents."),
    GW_DURATION_FIELD(R, initial_interval_ns, "initial_interval", "100ms", 0, 1e18, "Pause after the first failure."),
    GW_DURATION_FIELD(R, max_interval_ns, "max_interval", "1m", 0, 1e18, "Longest pause."),
    GW_STRINGS_FIELD(R, on_status, "retry_on_status",
                     "Statuses of a request after which it is tried again, besides 429 and those from 500 on."),
    GW_STRINGS_FIELD(R, on_document_status, "retry_on_document_status",
                     "The same for a document's own status; when empty, retry_on_status."),
    {0},
};
#undef R

#define T struct gw_es_telemetry
static const struct gw_field telemetry_fields[] = {
    GW_BOOL_FIELD(T, log_request_body, "log_request_body", "false", "At level debug: the lines of each request."),
    GW_BOOL_FIELD(T, log_response_body, "log_response_body", "false", "At level debug: the text of each answer."),
    GW_BOOL_FIELD(T, log_failed_docs_input, "log_failed_docs_input", "false",
                  "At level debug: documents that are refused."),
    GW_DURATION_FIELD(T, failed_docs_interval_ns, "log_failed_docs_input_rate_limit", "1s", 0, 1e18,
                      "At most one of them in this time."),
    {0},
};
#undef T

static const char *const actions[] = {"dead_letter", "stringify", "rename", NULL};
static const struct gw_field rule_fields[] = {
    GW_STRING_FIELD(struct gw_es_rule, field, "field", "*",
                    "Path of the field, such as attributes.user; * = any text."),
    GW_ENUM_FIELD(struct gw_es_rule, action, "action", "dead_letter", actions,
                  "stringify: its value as a text; rename: its type behind its name; dead_letter."),
    {0},
};

static const char *const sources[] = {"", "false", "true", NULL};
static const char *const ids[] = {"none", "record", "content", NULL};

#define C struct gw_es_conf
const struct gw_field gw_es_fields[] = {
    GW_HTTP_FIELDS(C, http, "gzip", "524288"),
    GW_STRINGS_FIELD(C, endpoints, "endpoints", "URLs of several servers, used in turn."),
    GW_STRING_FIELD(C, cloudid, "cloudid", "", "Cloud ID of Elastic Cloud instead of endpoints."),
    GW_STRING_FIELD(C, user, "user", "", "For basic authentication."),
    GW_SECRET_FIELD(C, password, "password", "For basic authentication."),
    GW_SECRET_FIELD(C, api_key, "api_key", "Encoded API key; it goes before user and password."),
    GW_BLOCK_FIELD(C, discover, "discover", discover_fields, "Discovery of nodes."),
    GW_STRING_FIELD(C, logs_index, "logs_index", "", "One index or data stream for all logs."),
    GW_STRING_FIELD(C, metrics_index, "metrics_index", "", "The same for metrics."),
    GW_STRING_FIELD(C, traces_index, "traces_index", "", "The same for spans."),
    GW_BLOCK_FIELD(C, logs_dynamic_index, "logs_dynamic_index", no_switch_fields, "Index by attributes."),
    GW_BLOCK_FIELD(C, metrics_dynamic_index, "metrics_dynamic_index", no_switch_fields, "Index by attributes."),
    GW_BLOCK_FIELD(C, traces_dynamic_index, "traces_dynamic_index", no_switch_fields, "Index by attributes."),
    GW_BLOCK_FIELD(C, logs_dynamic_id, "logs_dynamic_id", switch_fields,
                   "A log record's attribute elasticsearch.document_id is its _id."),
    GW_BLOCK_FIELD(C, traces_dynamic_id, "traces_dynamic_id", switch_fields, "The same for spans."),
    GW_BLOCK_FIELD(C, metrics_dynamic_id, "metrics_dynamic_id", switch_fields,
                   "The same for data points; those with different ones do not share a document."),
    GW_BLOCK_FIELD(C, logs_dynamic_pipeline, "logs_dynamic_pipeline", switch_fields,
                   "A log record's attribute elasticsearch.ingest_pipeline is its pipeline."),
    GW_STRING_FIELD(C, pipeline, "pipeline", "", "Ingest pipeline of all documents."),
    GW_BLOCK_FIELD(C, logstash, "logstash_format", logstash_fields, "An index a day."),
    GW_BLOCK_FIELD(C, mapping, "mapping", mapping_fields, "What documents look like."),
    {GW_FIELD_(C, num_workers, "num_workers", GW_F_U64, "0", 0, 10000, "write sending_queue::num_consumers."),
     .flags = GW_FF_DEPRECATED},
    GW_BLOCK_FIELD(C, flush, "flush", flush_fields, "Old names of the queue's settings."),
    GW_BLOCK_FIELD(C, retry, "retry", retry_fields, "What is tried again, and how often."),
    GW_BOOL_FIELD(C, suppress_conflict_errors, "suppress_conflict_errors", "false",
                  "A document whose _id is there already counts as delivered, whoever chose the _id."),
    GW_ENUM_FIELD(C, include_source_on_error, "include_source_on_error", "", sources,
                  "true, false: asked of the server, and reasons of errors are logged. Unset: types alone are logged."),
    GW_STRINGS_FIELD(C, metadata_keys, "metadata_keys",
                     "Request headers whose values are batched apart and label the metrics."),
    GW_STRING_FIELD(C, filter_path, "bulk_response_filter_path", "",
                    "What answers hold besides the status and the error of each document."),
    GW_BLOCK_FIELD(C, telemetry, "telemetry", telemetry_fields, "For looking into requests."),
    GW_ENUM_FIELD(C, document_id, "document_id", "none", ids,
                  "An _id of ours, so that a try after a lost answer stores nothing twice. record: one for each "
                  "document, kept through restarts by a queue with storage; content: equal documents are one."),
    GW_LIST_FIELD(C, remedies, "remedies", struct gw_es_rule, rule_fields,
                  "What to do with a document that the index's mapping refuses. The first rule that fits counts."),
    GW_U64_FIELD(C, max_request_bytes, "max_request_bytes", "0", 0, MAX_REQUEST_BYTES,
                 "Bytes of one request before compression; 0: sending_queue::batch::max_size where that counts bytes, "
                 "else 5000000."),
    {0},
};
#undef C

/* ---- rules -------------------------------------------------------------------------------------------------- */

static void mistake(struct gw_diag *diag, const struct gw_node *node, const char *block, const char *key,
                    const char *text)
{
    const struct gw_node *at = block ? gw_node_path(node, block, key, NULL) : gw_node_get(node, key);

    gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : node ? &node->place : NULL, "%s", text);
}

enum gw_es_mode gw_es_mode_of(struct gw_slice name)
{
    if (name.n == 0 || (name.n == 2 && strncasecmp((const char *)name.p, "no", 2) == 0))
        return GW_ES_NONE;
    for (int m = 0; m < GW_ES_N_MODES; m++)
        if (strlen(gw_es_modes[m]) == name.n && strncasecmp((const char *)name.p, gw_es_modes[m], name.n) == 0)
            return (enum gw_es_mode)m;
    return GW_ES_N_MODES;
}

static void check_modes(const struct gw_es_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const char *const *names = c->mapping.allowed_modes.items;
    const struct gw_node *at = gw_node_path(node, "mapping", "allowed_modes", NULL);

    for (size_t i = 0; i < c->mapping.allowed_modes.n; i++)
        if (gw_es_mode_of(gw_slice_cstr(names[i])) == GW_ES_N_MODES)
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "unknown allowed mapping mode name \"%s\"",
                        names[i]);
}

static void check_indices(const struct gw_es_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct {
        const char *name, *index;
        bool dynamic;
    } signals[] = {{"logs", c->logs_index, c->logs_dynamic_index.enabled},
                   {"metrics", c->metrics_index, c->metrics_dynamic_index.enabled},
                   {"traces", c->traces_index, c->traces_dynamic_index.enabled}};
    char key[32];

    for (unsigned i = 0; i < 3; i++) {
        const char *problem = *signals[i].index ? gw_es_index_problem(gw_slice_cstr(signals[i].index)) : NULL;
        const struct gw_node *at;

        snprintf(key, sizeof(key), "%s_index", signals[i].name);
        at = gw_node_get(node, key);
        if (problem)
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "%s: \"%s\" is no name of an index: it %s", key,
                        signals[i].index, problem);
        if (!*signals[i].index || !signals[i].dynamic)
            continue;
        gw_diag_add(
            diag, GW_DIAG_ERROR, at ? &at->place : NULL,
            "must not specify both %s_index and %s_dynamic_index; %s_index should be empty unless all documents "
            "should be sent to the same index",
            signals[i].name, signals[i].name, signals[i].name);
    }
}

static void check_statuses(const struct gw_list *list, const char *key, const struct gw_node *node,
                           struct gw_diag *diag)
{
    const struct gw_node *at = gw_node_path(node, "retry", key, NULL);
    const char *const *s = list->items;

    for (size_t i = 0; i < list->n; i++) {
        char *end;
        long v = strtol(s[i], &end, 10);

        if (*end || end == s[i] || v < 100 || v > 599)
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "retry::%s: \"%s\" is no HTTP status", key, s[i]);
    }
}

static void check_keys(const struct gw_es_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = gw_node_get(node, "metadata_keys");
    const char *const *k = c->metadata_keys.items;

    for (size_t i = 0; i < c->metadata_keys.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(k[i], k[j]) == 0)
                gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL,
                            "duplicate entry in metadata_keys: \"%s\" (case-insensitive)", k[i]);
}

void gw_es_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_es_conf *c = conf;
    enum gw_codec codec = gw_http_codec(&c->http);
    struct gw_es_addresses as;
    struct gw_err err = {{0}};

    if (gw_es_addresses_of(c, &as, &err) < 0)
        mistake(diag, node, NULL, c->endpoints.n ? "endpoints" : *c->cloudid ? "cloudid" : "endpoint", err.text);
    else
        gw_es_addresses_clear(&as);
    if (codec != GW_IDENTITY && codec != GW_GZIP)
        mistake(diag, node, NULL, "compression", "compression must be one of [none, gzip]");
    if (c->retry.max_requests && c->retry.max_retries)
        mistake(diag, node, "retry", "max_requests",
                "must not specify both retry::max_requests and retry::max_retries");
    if (strstr(c->filter_path, "-items"))
        mistake(diag, node, NULL, "bulk_response_filter_path",
                "bulk_response_filter_path: without items nothing is known of a document");
    check_modes(c, node, diag);
    check_indices(c, node, diag);
    check_statuses(&c->retry.on_status, "retry_on_status", node, diag);
    check_statuses(&c->retry.on_document_status, "retry_on_document_status", node, diag);
    check_keys(c, node, diag);
    gw_http_settings_check(&c->http, node, diag);
}

/* ---- the queue ---------------------------------------------------------------------------------------------- */

void gw_es_queue_defaults(struct gw_queue_settings *s)
{
    s->queue.num_consumers = 10;
    s->queue.queue_size = 10;
    s->queue.block_on_overflow = true;
    s->queue.has_batch = true;
    s->queue.batch.flush_timeout_ns = 10ull * 1000000000;
    s->queue.batch.min_size = 1000000;
    s->queue.batch.max_size = 5000000;
    s->queue.batch.sizer = GW_BATCH_BYTES;
    s->retry.initial_interval_ns = 100ull * 1000000;
    s->retry.max_interval_ns = 60ull * 1000000000;
}

static bool is_written(const struct gw_node *node, const char *block, const char *key)
{
    const struct gw_node *n = gw_node_path(node, block, key, NULL);

    return n && n->type != GW_NODE_NULL;
}

static void adjust_retry(const struct gw_es_retry *r, const struct gw_node *node, struct gw_retry_settings *s)
{
    s->max_retries = r->max_requests ? r->max_requests - 1 : r->max_retries;
    if (r->max_requests == 1)
        s->enabled = false;
    if (!r->enabled)
        s->enabled = false;
    if (is_written(node, "retry", "initial_interval"))
        s->initial_interval_ns = r->initial_interval_ns;
    if (is_written(node, "retry", "max_interval"))
        s->max_interval_ns = r->max_interval_ns;
    /* Who counts tries does not want them cut off by a clock, unless he says so too. */
    if (s->max_retries && !is_written(node, "retry_on_failure", "max_elapsed_time"))
        s->max_elapsed_time_ns = 0;
    if (s->max_elapsed_time_ns && s->max_interval_ns > s->max_elapsed_time_ns &&
        !is_written(node, "retry_on_failure", "max_elapsed_time"))
        s->max_elapsed_time_ns = s->max_interval_ns;
}

void gw_es_queue_adjust(const void *conf, const struct gw_node *node, struct gw_queue_settings *s)
{
    const struct gw_node *queue = gw_node_get(node, "sending_queue");
    struct gw_batch_settings *b = &s->queue.batch;
    const struct gw_es_conf *c = conf;

    if (c->num_workers && !is_written(node, "sending_queue", "num_consumers"))
        s->queue.num_consumers = c->num_workers;
    if (c->flush.bytes && !is_written(queue, "batch", "max_size")) {
        b->max_size = c->flush.bytes;
        if (b->min_size > b->max_size && !is_written(queue, "batch", "min_size"))
            b->min_size = b->max_size;
    }
    if (c->flush.interval_ns && !is_written(queue, "batch", "flush_timeout"))
        b->flush_timeout_ns = c->flush.interval_ns;
    if (c->metadata_keys.n && !b->partition.metadata_keys.n)
        b->partition.metadata_keys = c->metadata_keys;
    adjust_retry(&c->retry, node, &s->retry);
}

void gw_es_queue_seen(void *conf, const struct gw_queue_settings *s)
{
    const struct gw_batch_settings *b = &s->queue.batch;
    struct gw_es_conf *c = conf;
    bool by_bytes = b->sizer == GW_BATCH_BYTES || (b->sizer == GW_BATCH_AS_QUEUE && s->queue.sizer == GW_SIZER_BYTES);

    c->tried_once = !s->retry.enabled;
    c->breaker = s->breaker;
    c->adapts = s->queue.enabled && s->queue.adaptive_concurrency.enabled;
    c->n_consumers = !s->queue.enabled ? UINT32_MAX : s->queue.num_consumers > 1 ? (uint32_t)s->queue.num_consumers : 1;
    if (!c->max_request_bytes)
        c->max_request_bytes = by_bytes ? b->max_size : c->flush.bytes;
    if (!c->max_request_bytes)
        c->max_request_bytes = DEFAULT_REQUEST_BYTES;
    if (c->max_request_bytes > MAX_REQUEST_BYTES)
        c->max_request_bytes = MAX_REQUEST_BYTES;
}

/* ---- documents ---------------------------------------------------------------------------------------------- */

void gw_es_options_of(const struct gw_es_conf *c, struct gw_es_options *ret)
{
    const char *const *names = c->mapping.allowed_modes.items;

    *ret = (struct gw_es_options){
        .traces_index = c->traces_index,
        .metrics_index = c->metrics_index,
        .logs_index = c->logs_index,
        .pipeline = c->pipeline,
        .mode_from_metadata = "x-elastic-mapping-mode",
        .mode = GW_ES_OTEL,
        .logs_dynamic_id = c->logs_dynamic_id.enabled,
        .traces_dynamic_id = c->traces_dynamic_id.enabled,
        .metrics_dynamic_id = c->metrics_dynamic_id.enabled,
        .logs_dynamic_pipeline = c->logs_dynamic_pipeline.enabled,
        .logstash_format = c->logstash.enabled,
        .logstash_prefix_separator = c->logstash.prefix_separator,
        .logstash_date_format = c->logstash.date_format,
        .id = (enum gw_es_id)c->document_id,
    };
    for (size_t i = 0; i < c->mapping.allowed_modes.n; i++)
        ret->allowed[gw_es_mode_of(gw_slice_cstr(names[i]))] = true;
    if (!c->mapping.allowed_modes.n)
        memset(ret->allowed, true, sizeof(ret->allowed));
    if (!ret->allowed[GW_ES_OTEL])
        ret->mode = gw_es_mode_of(gw_slice_cstr(names[0]));
}

/* ---- statuses ----------------------------------------------------------------------------------------------- */

void gw_es_statuses_of(const struct gw_list *list, struct gw_es_statuses *ret)
{
    const char *const *s = list->items;

    *ret = (struct gw_es_statuses){{0}};
    for (size_t i = 0; i < list->n; i++) {
        unsigned long v = strtoul(s[i], NULL, 10);

        if (v < 600)
            ret->bits[v / 64] |= 1ull << (v % 64);
    }
}

bool gw_es_statuses_have(const struct gw_es_statuses *s, int status)
{
    return status == 429 || status >= 500 || (status > 0 && (s->bits[status / 64] >> (status % 64) & 1));
}
