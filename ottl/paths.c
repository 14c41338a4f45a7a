/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/paths.h"
#include "ottl/fields.h"

#define P(context, name, field, type, keys, reads)                                                                     \
    {                                                                                                                  \
        name, GW_OTTL_##context, field, GW_OT_##type, GW_OTTL_##keys##_KEYS, GW_OTTL_C_##reads                         \
    }

static const struct gw_ottl_path paths[] = {
    P(RESOURCE, "attributes", F_ATTRIBUTES, MAP, MAP, RESOURCE),
    P(RESOURCE, "dropped_attributes_count", F_DROPPED, INT, NO, RESOURCE),
    P(RESOURCE, "schema_url", F_SCHEMA_URL, STRING, NO, RESOURCE),

    P(SCOPE, "name", F_NAME, STRING, NO, RESOURCE),
    P(SCOPE, "version", F_VERSION, STRING, NO, RESOURCE),
    P(SCOPE, "attributes", F_ATTRIBUTES, MAP, MAP, RESOURCE),
    P(SCOPE, "dropped_attributes_count", F_DROPPED, INT, NO, RESOURCE),
    P(SCOPE, "schema_url", F_SCHEMA_URL, STRING, NO, RESOURCE),

    P(SPAN, "attributes", F_ATTRIBUTES, MAP, MAP, ATTRS),
    P(SPAN, "name", F_NAME, STRING, NO, ROW),
    P(SPAN, "kind", F_KIND, INT, NO, ROW),
    P(SPAN, "kind.string", F_KIND_STRING, STRING, NO, ROW),
    P(SPAN, "kind.deprecated_string", F_KIND_DEPRECATED, STRING, NO, ROW),
    P(SPAN, "status", F_STATUS, OTHER, NO, ROW),
    P(SPAN, "status.code", F_STATUS_CODE, INT, NO, ROW),
    P(SPAN, "status.message", F_STATUS_MESSAGE, STRING, NO, ROW),
    P(SPAN, "start_time", F_START, TIME, NO, ROW),
    P(SPAN, "start_time_unix_nano", F_START_NS, INT, NO, ROW),
    P(SPAN, "end_time", F_END, TIME, NO, ROW),
    P(SPAN, "end_time_unix_nano", F_END_NS, INT, NO, ROW),
    P(SPAN, "trace_id", F_TRACE_ID, TRACE_ID, NO, ROW),
    P(SPAN, "trace_id.string", F_TRACE_ID_STRING, STRING, NO, ROW),
    P(SPAN, "span_id", F_SPAN_ID, SPAN_ID, NO, ROW),
    P(SPAN, "span_id.string", F_SPAN_ID_STRING, STRING, NO, ROW),
    P(SPAN, "parent_span_id", F_PARENT_ID, SPAN_ID, NO, ROW),
    P(SPAN, "parent_span_id.string", F_PARENT_ID_STRING, STRING, NO, ROW),
    P(SPAN, "trace_state", F_TRACE_STATE, STRING, STATE, ROW),
    P(SPAN, "flags", F_FLAGS, INT, NO, ROW),
    P(SPAN, "dropped_attributes_count", F_DROPPED, INT, NO, ROW),
    P(SPAN, "events", F_EVENTS, OTHER, NO, CHILDREN),
    P(SPAN, "dropped_events_count", F_DROPPED_EVENTS, INT, NO, ROW),
    P(SPAN, "links", F_LINKS, OTHER, NO, CHILDREN),
    P(SPAN, "dropped_links_count", F_DROPPED_LINKS, INT, NO, ROW),

    P(SPANEVENT, "attributes", F_ATTRIBUTES, MAP, MAP, CHILDREN),
    P(SPANEVENT, "name", F_NAME, STRING, NO, CHILDREN),
    P(SPANEVENT, "time", F_TIME, TIME, NO, CHILDREN),
    P(SPANEVENT, "time_unix_nano", F_TIME_NS, INT, NO, CHILDREN),
    P(SPANEVENT, "dropped_attributes_count", F_DROPPED, INT, NO, CHILDREN),
    P(SPANEVENT, "event_index", F_EVENT_INDEX, INT, NO, CHILDREN),

    P(METRIC, "name", F_NAME, STRING, NO, ROW),
    P(METRIC, "description", F_DESCRIPTION, STRING, NO, ROW),
    P(METRIC, "unit", F_UNIT, STRING, NO, ROW),
    P(METRIC, "type", F_TYPE, INT, NO, ROW),
    P(METRIC, "aggregation_temporality", F_TEMPORALITY, ANY, NO, ROW),
    P(METRIC, "is_monotonic", F_MONOTONIC, ANY, NO, ROW),
    P(METRIC, "data_points", F_POINTS, ANY, NO, ROW),
    P(METRIC, "metadata", F_METADATA, MAP, MAP, ATTRS),

    P(DATAPOINT, "attributes", F_ATTRIBUTES, MAP, MAP, ATTRS),
    P(DATAPOINT, "start_time", F_START, TIME, NO, ROW),
    P(DATAPOINT, "start_time_unix_nano", F_START_NS, INT, NO, ROW),
    P(DATAPOINT, "time", F_TIME, TIME, NO, ROW),
    P(DATAPOINT, "time_unix_nano", F_TIME_NS, INT, NO, ROW),
    P(DATAPOINT, "value_double", F_VALUE_DOUBLE, ANY, NO, BODY),
    P(DATAPOINT, "value_int", F_VALUE_INT, ANY, NO, BODY),
    P(DATAPOINT, "exemplars", F_EXEMPLARS, ANY, NO, CHILDREN),
    P(DATAPOINT, "flags", F_FLAGS, INT, NO, ROW),
    P(DATAPOINT, "count", F_COUNT, ANY, NO, BODY),
    P(DATAPOINT, "sum", F_SUM, ANY, NO, BODY),
    P(DATAPOINT, "bucket_counts", F_BUCKET_COUNTS, ANY, NO, BODY),
    P(DATAPOINT, "explicit_bounds", F_BOUNDS, ANY, NO, BODY),
    P(DATAPOINT, "scale", F_SCALE, ANY, NO, BODY),
    P(DATAPOINT, "zero_count", F_ZERO_COUNT, ANY, NO, BODY),
    P(DATAPOINT, "positive", F_POSITIVE, ANY, NO, BODY),
    P(DATAPOINT, "positive.offset", F_POSITIVE_OFFSET, ANY, NO, BODY),
    P(DATAPOINT, "positive.bucket_counts", F_POSITIVE_COUNTS, ANY, NO, BODY),
    P(DATAPOINT, "negative", F_NEGATIVE, ANY, NO, BODY),
    P(DATAPOINT, "negative.offset", F_NEGATIVE_OFFSET, ANY, NO, BODY),
    P(DATAPOINT, "negative.bucket_counts", F_NEGATIVE_COUNTS, ANY, NO, BODY),
    P(DATAPOINT, "quantile_values", F_QUANTILES, ANY, NO, BODY),

    P(LOG, "attributes", F_ATTRIBUTES, MAP, MAP, ATTRS),
    P(LOG, "body", F_BODY, ANY, ANY, BODY),
    P(LOG, "body.string", F_BODY_STRING, STRING, NO, BODY),
    P(LOG, "severity_number", F_SEVERITY, INT, NO, ROW),
    P(LOG, "severity_text", F_SEVERITY_TEXT, STRING, NO, ROW),
    P(LOG, "time", F_TIME, TIME, NO, ROW),
    P(LOG, "time_unix_nano", F_TIME_NS, INT, NO, ROW),
    P(LOG, "observed_time", F_OBSERVED, TIME, NO, ROW),
    P(LOG, "observed_time_unix_nano", F_OBSERVED_NS, INT, NO, ROW),
    P(LOG, "trace_id", F_TRACE_ID, TRACE_ID, NO, ROW),
    P(LOG, "trace_id.string", F_TRACE_ID_STRING, STRING, NO, ROW),
    P(LOG, "span_id", F_SPAN_ID, SPAN_ID, NO, ROW),
    P(LOG, "span_id.string", F_SPAN_ID_STRING, STRING, NO, ROW),
    P(LOG, "flags", F_FLAGS, INT, NO, ROW),
    P(LOG, "event_name", F_EVENT_NAME, STRING, NO, ROW),
    P(LOG, "dropped_attributes_count", F_DROPPED, INT, NO, ROW),
};

/* ---- names ------------------------------------------------------------------------------------------------ */

static const char *const contexts[] = {"resource", "scope", "span", "spanevent", "metric", "datapoint", "log"};

const char *gw_ottl_context_name(enum gw_ottl_context c)
{
    return contexts[c];
}

enum gw_ottl_context gw_ottl_context_of(struct gw_slice word)
{
    for (unsigned i = 0; i < GW_OTTL_N_CONTEXTS; i++)
        if (gw_slice_is(word, contexts[i]))
            return (enum gw_ottl_context)i;
    return gw_slice_is(word, "instrumentation_scope") ? GW_OTTL_SCOPE : GW_OTTL_N_CONTEXTS;
}

bool gw_ottl_context_reaches(enum gw_ottl_context from, enum gw_ottl_context to)
{
    if (from == to || to == GW_OTTL_RESOURCE)
        return true;
    if (to == GW_OTTL_SCOPE)
        return from != GW_OTTL_RESOURCE;
    return (from == GW_OTTL_SPANEVENT && to == GW_OTTL_SPAN) || (from == GW_OTTL_DATAPOINT && to == GW_OTTL_METRIC);
}

enum { N_PATHS = sizeof(paths) / sizeof(paths[0]) };

const struct gw_ottl_path *gw_ottl_path_find(enum gw_ottl_context c, struct gw_slice name)
{
    for (unsigned i = 0; i < N_PATHS; i++)
        if (paths[i].context == c && gw_slice_is(name, paths[i].name))
            return &paths[i];
    return NULL;
}

void gw_ottl_path_names(enum gw_ottl_context c, const char **ret, unsigned room)
{
    for (unsigned i = 0; i < N_PATHS && room > 1; i++)
        if (paths[i].context == c) {
            *ret++ = paths[i].name;
            room--;
        }
    *ret = NULL;
}
