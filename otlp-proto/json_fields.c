/* SPDX-License-Identifier: Apache-2.0 */
/* Source: opentelemetry-proto 1.10. The order of rows is the order in which the Collector writes the fields. */
#include "otlp-proto/json_fields.h"

/* clang-format off: tables stay tables */
#define ROW(nm, sn, num, k, fl)                                                                                        \
    .name = nm, .snake = sn, .name_n = sizeof(nm) - 1, .snake_n = sizeof(sn) - 1, .number = num, .kind = k, .flags = fl
#define F(nm, sn, num, k, fl)                                                                                          \
    {                                                                                                                  \
        ROW(nm, sn, num, GW_JK_##k, fl)                                                                                \
    }
#define E(nm, sn, num, en)                                                                                             \
    {                                                                                                                  \
        ROW(nm, sn, num, GW_JK_ENUM, 0), .names = &(en)                                                                \
    }
#define M(nm, sn, num, msg, fl)                                                                                        \
    {                                                                                                                  \
        ROW(nm, sn, num, GW_JK_MESSAGE, fl), .message = &(msg)                                                         \
    }
#define MESSAGE(linkage, id, bytes, nest, ...)                                                                         \
    static const struct gw_json_field id##_fields[] = {__VA_ARGS__};                                                   \
    _Static_assert(sizeof(id##_fields) / sizeof(id##_fields[0]) <= GW_JSON_MAX_FIELDS, "frames have so much room");    \
    linkage const struct gw_json_message id = {id##_fields, sizeof(id##_fields) / sizeof(id##_fields[0]), bytes, nest};

enum { LIST = GW_JF_LIST, OPT = GW_JF_PRESENT, ONE = GW_JF_PRESENT | GW_JF_ONEOF, ALWAYS = GW_JF_ALWAYS };
enum { ROWS = GW_JF_LIST | GW_JF_ROW };

static const struct gw_json_enum span_kind = {
    "SPAN_KIND_",
    (const char *const[]){"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER", NULL},
};
static const struct gw_json_enum status_code = {
    "STATUS_CODE_",
    (const char *const[]){"UNSET", "OK", "ERROR", NULL},
};
static const struct gw_json_enum severity_number = {
    "SEVERITY_NUMBER_",
    (const char *const[]){"UNSPECIFIED", "TRACE",  "TRACE2", "TRACE3", "TRACE4", "DEBUG",  "DEBUG2", "DEBUG3", "DEBUG4",
                          "INFO",        "INFO2",  "INFO3",  "INFO4",  "WARN",   "WARN2",  "WARN3",  "WARN4",  "ERROR",
                          "ERROR2",      "ERROR3", "ERROR4", "FATAL",  "FATAL2", "FATAL3", "FATAL4", NULL},
};
static const struct gw_json_enum temporality = {
    "AGGREGATION_TEMPORALITY_",
    (const char *const[]){"UNSPECIFIED", "DELTA", "CUMULATIVE", NULL},
};

/* ---- common ---------------------------------------------------------------------------------------------- */

static const struct gw_json_message array_value, kvlist_value;

MESSAGE(, gw_json_any_value, 1, true, F("stringValue", "string_value", 1, STRING, ONE),
        F("boolValue", "bool_value", 2, BOOL, ONE), F("intValue", "int_value", 3, INT64, ONE),
        F("doubleValue", "double_value", 4, DOUBLE, ONE), M("arrayValue", "array_value", 5, array_value, ONE),
        M("kvlistValue", "kvlist_value", 6, kvlist_value, ONE), F("bytesValue", "bytes_value", 7, BYTES, ONE),
        F("stringValueStrindex", "string_value_strindex", 8, INT32, ONE))
MESSAGE(static, array_value, 1, true, M("values", "values", 1, gw_json_any_value, LIST))
MESSAGE(static, kvlist_value, 1, true, M("values", "values", 1, gw_json_key_value, LIST))
MESSAGE(, gw_json_key_value, 1, true, F("key", "key", 1, STRING, 0), M("value", "value", 2, gw_json_any_value, ALWAYS),
        F("keyStrindex", "key_strindex", 3, INT32, 0))
MESSAGE(static, scope, 1, false, F("name", "name", 1, STRING, 0), F("version", "version", 2, STRING, 0),
        M("attributes", "attributes", 3, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 4, UINT32, 0))
MESSAGE(static, entity_ref, 1, false, F("schemaUrl", "schema_url", 1, STRING, 0), F("type", "type", 2, STRING, 0),
        F("idKeys", "id_keys", 3, STRING, LIST), F("descriptionKeys", "description_keys", 4, STRING, LIST))
MESSAGE(static, resource, 2, false, M("attributes", "attributes", 1, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 2, UINT32, 0),
        M("entityRefs", "entity_refs", 3, entity_ref, LIST))

/* ---- traces ---------------------------------------------------------------------------------------------- */

MESSAGE(static, status, 1, false, F("message", "message", 2, STRING, 0), E("code", "code", 3, status_code))
MESSAGE(static, event, 1, false, F("timeUnixNano", "time_unix_nano", 1, FIXED64, 0), F("name", "name", 2, STRING, 0),
        M("attributes", "attributes", 3, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 4, UINT32, 0))
MESSAGE(static, span_link, 1, false, F("traceId", "trace_id", 1, ID, 0), F("spanId", "span_id", 2, ID, 0),
        F("traceState", "trace_state", 3, STRING, 0), M("attributes", "attributes", 4, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 5, UINT32, 0), F("flags", "flags", 6, FIXED32, 0))
MESSAGE(static, span, 2, false, F("traceId", "trace_id", 1, ID, 0), F("spanId", "span_id", 2, ID, 0),
        F("traceState", "trace_state", 3, STRING, 0), F("parentSpanId", "parent_span_id", 4, ID, 0),
        F("flags", "flags", 16, FIXED32, 0), F("name", "name", 5, STRING, 0), E("kind", "kind", 6, span_kind),
        F("startTimeUnixNano", "start_time_unix_nano", 7, FIXED64, 0),
        F("endTimeUnixNano", "end_time_unix_nano", 8, FIXED64, 0),
        M("attributes", "attributes", 9, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 10, UINT32, 0), M("events", "events", 11, event, LIST),
        F("droppedEventsCount", "dropped_events_count", 12, UINT32, 0), M("links", "links", 13, span_link, LIST),
        F("droppedLinksCount", "dropped_links_count", 14, UINT32, 0), M("status", "status", 15, status, ALWAYS))
MESSAGE(static, scope_spans, 3, false, M("scope", "scope", 1, scope, ALWAYS), M("spans", "spans", 2, span, ROWS),
        F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(static, resource_spans, 3, false, M("resource", "resource", 1, resource, ALWAYS),
        M("scopeSpans", "scope_spans", 2, scope_spans, LIST), F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(, gw_json_traces, 0, false, M("resourceSpans", "resource_spans", 1, resource_spans, LIST))

/* ---- logs ------------------------------------------------------------------------------------------------ */

MESSAGE(static, log_record, 2, false, F("timeUnixNano", "time_unix_nano", 1, FIXED64, 0),
        F("observedTimeUnixNano", "observed_time_unix_nano", 11, FIXED64, 0),
        E("severityNumber", "severity_number", 2, severity_number), F("severityText", "severity_text", 3, STRING, 0),
        M("body", "body", 5, gw_json_any_value, ALWAYS), M("attributes", "attributes", 6, gw_json_key_value, LIST),
        F("droppedAttributesCount", "dropped_attributes_count", 7, UINT32, 0), F("flags", "flags", 8, FIXED32, 0),
        F("traceId", "trace_id", 9, ID, 0), F("spanId", "span_id", 10, ID, 0),
        F("eventName", "event_name", 12, STRING, 0))
MESSAGE(static, scope_logs, 3, false, M("scope", "scope", 1, scope, ALWAYS),
        M("logRecords", "log_records", 2, log_record, ROWS), F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(static, resource_logs, 3, false, M("resource", "resource", 1, resource, ALWAYS),
        M("scopeLogs", "scope_logs", 2, scope_logs, LIST), F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(, gw_json_logs, 0, false, M("resourceLogs", "resource_logs", 1, resource_logs, LIST))

/* ---- metrics --------------------------------------------------------------------------------------------- */

MESSAGE(static, exemplar, 1, false, M("filteredAttributes", "filtered_attributes", 7, gw_json_key_value, LIST),
        F("timeUnixNano", "time_unix_nano", 2, FIXED64, 0), F("asDouble", "as_double", 3, DOUBLE, ONE),
        F("asInt", "as_int", 6, SFIXED64, ONE), F("traceId", "trace_id", 5, ID, 0), F("spanId", "span_id", 4, ID, 0))
MESSAGE(static, number_point, 1, false, M("attributes", "attributes", 7, gw_json_key_value, LIST),
        F("startTimeUnixNano", "start_time_unix_nano", 2, FIXED64, 0),
        F("timeUnixNano", "time_unix_nano", 3, FIXED64, 0), F("asDouble", "as_double", 4, DOUBLE, ONE),
        F("asInt", "as_int", 6, SFIXED64, ONE), M("exemplars", "exemplars", 5, exemplar, LIST),
        F("flags", "flags", 8, UINT32, 0))
MESSAGE(static, histogram_point, 2, false, M("attributes", "attributes", 9, gw_json_key_value, LIST),
        F("startTimeUnixNano", "start_time_unix_nano", 2, FIXED64, 0),
        F("timeUnixNano", "time_unix_nano", 3, FIXED64, 0), F("count", "count", 4, FIXED64, 0),
        F("sum", "sum", 5, DOUBLE, OPT), F("bucketCounts", "bucket_counts", 6, FIXED64, LIST),
        F("explicitBounds", "explicit_bounds", 7, DOUBLE, LIST), M("exemplars", "exemplars", 8, exemplar, LIST),
        F("flags", "flags", 10, UINT32, 0), F("min", "min", 11, DOUBLE, OPT), F("max", "max", 12, DOUBLE, OPT))
MESSAGE(static, buckets, 1, false, F("offset", "offset", 1, SINT32, 0),
        F("bucketCounts", "bucket_counts", 2, UINT64, LIST))
MESSAGE(static, exp_histogram_point, 2, false, M("attributes", "attributes", 1, gw_json_key_value, LIST),
        F("startTimeUnixNano", "start_time_unix_nano", 2, FIXED64, 0),
        F("timeUnixNano", "time_unix_nano", 3, FIXED64, 0), F("count", "count", 4, FIXED64, 0),
        F("sum", "sum", 5, DOUBLE, OPT), F("scale", "scale", 6, SINT32, 0), F("zeroCount", "zero_count", 7, FIXED64, 0),
        M("positive", "positive", 8, buckets, ALWAYS), M("negative", "negative", 9, buckets, ALWAYS),
        F("flags", "flags", 10, UINT32, 0), M("exemplars", "exemplars", 11, exemplar, LIST),
        F("min", "min", 12, DOUBLE, OPT), F("max", "max", 13, DOUBLE, OPT),
        F("zeroThreshold", "zero_threshold", 14, DOUBLE, 0))
MESSAGE(static, quantile, 1, false, F("quantile", "quantile", 1, DOUBLE, 0), F("value", "value", 2, DOUBLE, 0))
MESSAGE(static, summary_point, 2, false, M("attributes", "attributes", 7, gw_json_key_value, LIST),
        F("startTimeUnixNano", "start_time_unix_nano", 2, FIXED64, 0),
        F("timeUnixNano", "time_unix_nano", 3, FIXED64, 0), F("count", "count", 4, FIXED64, 0),
        F("sum", "sum", 5, DOUBLE, 0), M("quantileValues", "quantile_values", 6, quantile, LIST),
        F("flags", "flags", 8, UINT32, 0))
MESSAGE(static, gauge, 2, false, M("dataPoints", "data_points", 1, number_point, ROWS))
MESSAGE(static, sum, 2, false, M("dataPoints", "data_points", 1, number_point, ROWS),
        E("aggregationTemporality", "aggregation_temporality", 2, temporality),
        F("isMonotonic", "is_monotonic", 3, BOOL, 0))
MESSAGE(static, histogram, 2, false, M("dataPoints", "data_points", 1, histogram_point, ROWS),
        E("aggregationTemporality", "aggregation_temporality", 2, temporality))
MESSAGE(static, exp_histogram, 2, false, M("dataPoints", "data_points", 1, exp_histogram_point, ROWS),
        E("aggregationTemporality", "aggregation_temporality", 2, temporality))
MESSAGE(static, summary, 2, false, M("dataPoints", "data_points", 1, summary_point, ROWS))
MESSAGE(static, metric, 2, false, F("name", "name", 1, STRING, 0), F("description", "description", 2, STRING, 0),
        F("unit", "unit", 3, STRING, 0), M("gauge", "gauge", 5, gauge, ONE), M("sum", "sum", 7, sum, ONE),
        M("histogram", "histogram", 9, histogram, ONE),
        M("exponentialHistogram", "exponential_histogram", 10, exp_histogram, ONE),
        M("summary", "summary", 11, summary, ONE), M("metadata", "metadata", 12, gw_json_key_value, LIST))
MESSAGE(static, scope_metrics, 3, false, M("scope", "scope", 1, scope, ALWAYS),
        M("metrics", "metrics", 2, metric, LIST), F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(static, resource_metrics, 3, false, M("resource", "resource", 1, resource, ALWAYS),
        M("scopeMetrics", "scope_metrics", 2, scope_metrics, LIST), F("schemaUrl", "schema_url", 3, STRING, 0))
MESSAGE(, gw_json_metrics, 0, false, M("resourceMetrics", "resource_metrics", 1, resource_metrics, LIST))
