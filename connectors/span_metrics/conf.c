/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/span_metrics/span_metrics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_NS 86400e9

static const char *const units[] = {"ms", "s", NULL};
static const char *const temporalities[] = {"AGGREGATION_TEMPORALITY_CUMULATIVE", "AGGREGATION_TEMPORALITY_DELTA",
                                            NULL};

static const struct gw_field dimension_fields[] = {
    GW_STRING_FIELD(struct dimension_conf, name, "name", "",
                    "Attribute of the span, or else (for events: of the event, or else) of its resource."),
    GW_ANY_FIELD(struct dimension_conf, fallback, "default", "Text for what has no such attribute."),
    GW_STRING_FIELD(struct dimension_conf, glob, "glob", "",
                    "Instead of `name`: every attribute whose key matches. `*` stops at a dot, `**` does not."),
    {0},
};
static const struct gw_field explicit_fields[] = {
    GW_STRINGS_FIELD(struct explicit_conf, buckets, "buckets",
                     "Bounds as durations, ascending. Without any: 2ms, 4ms, 6ms, 8ms, 10ms, 50ms, 100ms, 200ms, "
                     "400ms, 800ms, 1s, 1.4s, 2s, 5s, 10s, 15s."),
    {0},
};
static const struct gw_field exponential_fields[] = {
    GW_U64_FIELD(struct exponential_conf, max_size, "max_size", "160", GW_EXP_MIN_SIZE, GW_EXP_MAX_SIZE,
                 "Most buckets of a histogram."),
    {0},
};
static const struct gw_field histogram_fields[] = {
    GW_BOOL_FIELD(struct histogram_conf, disable, "disable", "false", "Make no histogram of durations."),
    GW_ENUM_FIELD(struct histogram_conf, unit, "unit", "ms", units, "Unit of durations."),
    GW_LIST_FIELD(struct histogram_conf, dimensions, "dimensions", struct dimension_conf, dimension_fields,
                  "More dimensions, of the histogram alone."),
    GW_OPTIONAL_BLOCK_FIELD(struct histogram_conf, fixed, has_explicit, "explicit", explicit_fields, GW_FF_NULL_IS_ON,
                            "Buckets with fixed bounds: what there is when neither block is."),
    GW_OPTIONAL_BLOCK_FIELD(struct histogram_conf, exponential, has_exponential, "exponential", exponential_fields,
                            GW_FF_NULL_IS_ON, "Exponential buckets, which need no bounds."),
    {0},
};
static const struct gw_field exemplars_fields[] = {
    GW_BOOL_FIELD(struct exemplars_conf, enabled, "enabled", "false", "Name spans that were counted in each point."),
    GW_U64_FIELD(struct exemplars_conf, max_per_data_point, "max_per_data_point", "5", 0, 1000,
                 "The first so many since the last flush."),
    {0},
};
static const struct gw_field events_fields[] = {
    GW_BOOL_FIELD(struct events_conf, enabled, "enabled", "false", "Count the events of spans, too."),
    GW_LIST_FIELD(struct events_conf, dimensions, "dimensions", struct dimension_conf, dimension_fields,
                  "More dimensions, of the events alone; at least one."),
    {0},
};

const struct gw_field gw_span_metrics_fields[] = {
    GW_LIST_FIELD(struct conf, dimensions, "dimensions", struct dimension_conf, dimension_fields,
                  "Attributes that tell series apart, besides service.name, span.name, span.kind, status.code and "
                  "collector.instance.id."),
    GW_LIST_FIELD(struct conf, calls_dimensions, "calls_dimensions", struct dimension_conf, dimension_fields,
                  "More dimensions, of the number of calls alone."),
    GW_STRINGS_FIELD(struct conf, exclude_dimensions, "exclude_dimensions", "Those of the five that are left out."),
    {GW_FIELD_(struct conf, dimensions_cache_size, "dimensions_cache_size", GW_F_U64, "0", 0, 0,
               "Use aggregation_cardinality_limit."),
     .flags = GW_FF_NO_EFFECT},
    GW_U64_FIELD(struct conf, resource_metrics_cache_size, "resource_metrics_cache_size", "1000", 1, 1e6,
                 "Most resources that have series at once; the one that was not seen for longest leaves."),
    GW_STRINGS_FIELD(struct conf, resource_metrics_key_attributes, "resource_metrics_key_attributes",
                     "Resource attributes that tell resources apart; without any, all of them."),
    GW_ENUM_FIELD(struct conf, aggregation_temporality, "aggregation_temporality", "AGGREGATION_TEMPORALITY_CUMULATIVE",
                  temporalities, "Whether series begin anew with each flush."),
    GW_BLOCK_FIELD(struct conf, histogram, "histogram", histogram_fields, "The histogram of durations."),
    GW_DURATION_FIELD(struct conf, metrics_flush_interval_ns, "metrics_flush_interval", "60s", 1e6, 365 * DAY_NS,
                      "How often metrics are sent."),
    GW_DURATION_FIELD(struct conf, metrics_expiration_ns, "metrics_expiration", "0s", 0, 365 * DAY_NS,
                      "A resource that was not seen for so long is forgotten; 0: never. Cumulative only."),
    GW_DURATION_FIELD(struct conf, series_expiration_ns, "series_expiration", "0s", 0, 365 * DAY_NS,
                      "A series that was not seen for so long is forgotten; 0: never. Cumulative only."),
    GW_U64_FIELD(struct conf, metric_timestamp_cache_size, "metric_timestamp_cache_size", "1000", 1, 1e7,
                 "Delta only: of how many series it is known when they were last sent, for the start of their next "
                 "point."),
    GW_STRING_FIELD(struct conf, namespace_, "namespace", "traces.span.metrics",
                    "Before the names calls, duration and events."),
    GW_BLOCK_FIELD(struct conf, exemplars, "exemplars", exemplars_fields, "Spans that points name."),
    GW_BLOCK_FIELD(struct conf, events, "events", events_fields, "The number of span events."),
    GW_STRINGS_FIELD(struct conf, include_instrumentation_scope, "include_instrumentation_scope",
                     "Scopes by name, whose name and version become dimensions."),
    GW_U64_FIELD(struct conf, aggregation_cardinality_limit, "aggregation_cardinality_limit", "0", 0, 1e9,
                 "Most series of a metric and resource; the rest is counted in one with otel.metric.overflow. 0: no "
                 "limit but max_series."),
    GW_U64_FIELD(struct conf, max_series, "max_series", "500000", 1, 1e8,
                 "Most series of a metric over all resources; the rest is counted as with the limit of one."),
    GW_BOOL_FIELD(struct conf, add_resource_attributes, "add_resource_attributes", "true",
                  "Metrics have the attributes of the resource that the spans came from."),
    GW_BOOL_FIELD(struct conf, enable_metrics_sampling_method, "enable_metrics_sampling_method", "false",
                  "Add sampling.method: extrapolated where the trace state tells how many spans one stands for, else "
                  "counted."),
    GW_BOOL_FIELD(struct conf, zero_first_point, "zero_first_point", "true",
                  "The first point of a cumulative count is 0, and its value comes with the next flush, so that "
                  "Prometheus sees an increase."),
    {0},
};

bool gw_span_metrics_lists(const struct gw_list *l, struct gw_slice text)
{
    for (size_t i = 0; i < l->n; i++)
        if (gw_slice_is(text, ((const char *const *)l->items)[i]))
            return true;
    return false;
}

/* ---- globs -------------------------------------------------------------------------------------------------- */

/* [abc], [!a-c] as they are in a regular expression; returns what follows, NULL: it has no end. */
static const char *put_class(const char *p, struct gw_buf *out)
{
    gw_buf_put_str(out, *p == '!' ? "[^" : "[");
    p += *p == '!';
    if (*p == ']')
        return NULL;
    for (; *p && *p != ']'; p++) {
        if (strchr("[\\^&~", *p))
            gw_buf_put_u8(out, '\\');
        if (*p == '\\' && p[1])
            p++;
        gw_buf_put_u8(out, (uint8_t)*p);
    }
    gw_buf_put_u8(out, ']');
    return *p ? p + 1 : NULL;
}

static void put_literal(char c, struct gw_buf *out)
{
    if (strchr("\\.+*?()|[]{}^$", c))
        gw_buf_put_u8(out, '\\');
    gw_buf_put_u8(out, (uint8_t)c);
}

bool gw_span_metrics_glob(const char *glob, struct gw_buf *out)
{
    unsigned depth = 0;

    gw_buf_put_str(out, "(?s)^(?:");
    for (const char *p = glob; *p;) {
        char c = *p++;

        if (c == '*' && *p == '*') {
            gw_buf_put_str(out, ".*");
            p++;
        } else if (c == '*') {
            gw_buf_put_str(out, "[^.]*");
        } else if (c == '?') {
            gw_buf_put_str(out, "[^.]");
        } else if (c == '[') {
            p = put_class(p, out);
            if (!p)
                return false;
        } else if (c == '{') {
            depth++;
            gw_buf_put_str(out, "(?:");
        } else if (c == '}' && depth) {
            depth--;
            gw_buf_put_str(out, ")");
        } else if (c == ',' && depth) {
            gw_buf_put_str(out, "|");
        } else if (c == '\\' && *p) {
            put_literal(*p++, out);
        } else {
            put_literal(c, out);
        }
    }
    gw_buf_put_str(out, ")$");
    gw_buf_put_u8(out, 0);
    return depth == 0 && !out->failed;
}

/* ---- rules between settings ----------------------------------------------------------------------------------- */

static void wrong(struct gw_diag *diag, const struct gw_node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void wrong(struct gw_diag *diag, const struct gw_node *at, const char *fmt, ...)
{
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "%s", text);
}

static const char *const reserved[] = {"service.name", "span.name", "span.kind", "status.code",
                                       "collector.instance.id"};

static bool is_taken(const struct gw_list *l, size_t n, const char *name)
{
    const struct dimension_conf *d = l->items;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(d[i].name, name) == 0)
            return true;
    return false;
}

static void check_conflict(const struct gw_list *l, const char *glob, struct gw_pattern *p, struct gw_diag *diag,
                           const struct gw_node *at)
{
    const struct dimension_conf *d = l->items;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (gw_pattern_matches(p, gw_slice_cstr(reserved[i])))
            wrong(diag, at, "dimension \"%.100s\" conflicts with glob \"%.100s\"", reserved[i], glob);
    for (size_t i = 0; i < l->n; i++)
        if (*d[i].name && gw_pattern_matches(p, gw_slice_cstr(d[i].name)))
            wrong(diag, at, "dimension \"%.100s\" conflicts with glob \"%.100s\"", d[i].name, glob);
}

static void check_glob(const struct gw_list *l, const char *glob, struct gw_diag *diag, const struct gw_node *at)
{
    struct gw_pattern *p = NULL;
    struct gw_err err = {""};
    struct gw_buf re;

    gw_buf_init(&re, 8192);
    if (!gw_span_metrics_glob(glob, &re) || gw_pattern_new((const char *)re.p, &p, &err) < 0)
        wrong(diag, at, "invalid glob \"%.100s\"%s%s", glob, *err.text ? ": " : "", err.text);
    else
        check_conflict(l, glob, p, diag, at);
    gw_pattern_free(p);
    gw_buf_clear(&re);
}

static void check_dimensions(const struct gw_list *l, const struct gw_node *node, struct gw_diag *diag)
{
    const struct dimension_conf *d = l->items;
    const struct gw_node *at = node && node->type == GW_NODE_LIST ? node->first : node;

    for (size_t i = 0; i < l->n; i++) {
        if (*d[i].name && *d[i].glob)
            wrong(diag, at, "a dimension has a name or a glob, not both: \"%.60s\", \"%.60s\"", d[i].name, d[i].glob);
        else if (!*d[i].name && !*d[i].glob)
            wrong(diag, at, "a dimension must have a name or a glob");
        else if (*d[i].name && is_taken(l, i, d[i].name))
            wrong(diag, at, "duplicate dimension name \"%.100s\"", d[i].name);
        else if (*d[i].glob && d[i].fallback)
            wrong(diag, at, "the glob \"%.100s\" cannot have a default", d[i].glob);
        else if (*d[i].glob)
            check_glob(l, d[i].glob, diag, at);
        at = at && at->next ? at->next : at;
    }
}

static void check_buckets(const struct conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_list *l = &c->histogram.fixed.buckets;
    const struct gw_node *at = gw_node_path(node, "histogram", "explicit", "buckets", NULL);
    uint64_t before = 0, ns;

    if (l->n > GW_MAX_BOUNDS)
        wrong(diag, at, "more than %d buckets", GW_MAX_BOUNDS);
    for (size_t i = 0; i < l->n; i++) {
        const char *text = ((const char *const *)l->items)[i];

        if (gw_duration_parse(text, &ns) < 0)
            wrong(diag, at, "\"%.40s\" is not a duration", text);
        else if (i && ns <= before)
            wrong(diag, at, "buckets must ascend: \"%.40s\" does not", text);
        else
            before = ns;
    }
}

void gw_span_metrics_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    check_dimensions(&c->dimensions, gw_node_get(node, "dimensions"), diag);
    check_dimensions(&c->calls_dimensions, gw_node_get(node, "calls_dimensions"), diag);
    check_dimensions(&c->histogram.dimensions, gw_node_path(node, "histogram", "dimensions", NULL), diag);
    if (c->events.enabled)
        check_dimensions(&c->events.dimensions, gw_node_path(node, "events", "dimensions", NULL), diag);
    if (c->events.enabled && c->events.dimensions.n == 0)
        wrong(diag, gw_node_get(node, "events"), "events: no dimensions");
    if (c->histogram.has_explicit && c->histogram.has_exponential)
        wrong(diag, gw_node_get(node, "histogram"), "use either `explicit` or `exponential` buckets, not both");
    if (c->histogram.has_explicit)
        check_buckets(c, node, diag);
}

int gw_span_metrics_bounds(const struct conf *c, struct gw_bounds *ret)
{
    static const double ms[] = {2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000};
    const struct gw_list *l = &c->histogram.fixed.buckets;
    size_t n = l->n ? l->n : sizeof(ms) / sizeof(ms[0]);
    double *at = calloc(n, sizeof(*at));
    uint64_t ns;

    if (!at)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (l->n && gw_duration_parse(((const char *const *)l->items)[i], &ns) == 0)
            at[i] = (double)ns / (c->histogram.unit == UNIT_S ? 1e9 : 1e6);
        else
            at[i] = c->histogram.unit == UNIT_S ? ms[i] / 1000 : ms[i];
    *ret = (struct gw_bounds){at, (unsigned)n};
    return 0;
}
