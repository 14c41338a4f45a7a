/* SPDX-License-Identifier: Apache-2.0 */
/* service::telemetry: the Collector's keys. What we do not have is refused as planned or accepted without effect. */
#include "pipeline/service_build.h"

struct logs_conf {
    int level, encoding;
    bool development, disable_caller, disable_stacktrace, disable_zap_resource;
    struct gw_list output_paths, error_output_paths;
    const struct gw_node *sampling, *initial_fields, *processors;
};
struct prometheus_conf {
    const char *host;
    uint64_t port;
    bool without_scope_info, without_units, without_type_suffix;
    const struct gw_node *constant_labels;
};
struct pull_exporter_conf {
    struct prometheus_conf prometheus;
    bool has_prometheus;
};
struct pull_conf {
    struct pull_exporter_conf exporter;
};
struct reader_conf {
    struct pull_conf pull;
    bool has_pull;
    const struct gw_node *periodic;
};
struct metrics_conf {
    int level;
    const char *address;
    struct gw_list readers;
    const struct gw_node *views;
};
struct traces_conf {
    const char *level;
    struct gw_list propagators;
    const struct gw_node *processors;
};
struct telemetry_conf {
    struct logs_conf logs;
    struct metrics_conf metrics;
    struct traces_conf traces;
    const struct gw_node *resource;
};

static const char *const log_levels[] = {"debug", "info", "warn", "error", "dpanic", "panic", "fatal", NULL};
static const char *const encodings[] = {"console", "json", NULL};
static const char *const metric_levels[] = {"none", "basic", "normal", "detailed", NULL};

#define NO_EFFECT(T, m, nm, ty, help_)                                                                                 \
    {                                                                                                                  \
        GW_FIELD_(T, m, nm, ty, NULL, 0, 0, help_), .flags = GW_FF_NO_EFFECT                                           \
    }
#define PLANNED(T, m, nm, help_)                                                                                       \
    {                                                                                                                  \
        GW_FIELD_(T, m, nm, GW_F_ANY, NULL, 0, 0, help_), .flags = GW_FF_PLANNED                                       \
    }

static const struct gw_field logs_fields[] = {
    GW_ENUM_FIELD(struct logs_conf, level, "level", "info", log_levels, "Least serious level that is logged."),
    GW_ENUM_FIELD(struct logs_conf, encoding, "encoding", "console", encodings,
                  "Text for people, or a JSON object a line."),
    NO_EFFECT(struct logs_conf, development, "development", GW_F_BOOL, "Stack traces of Go."),
    NO_EFFECT(struct logs_conf, disable_caller, "disable_caller", GW_F_BOOL, "Lines never name a source file."),
    NO_EFFECT(struct logs_conf, disable_stacktrace, "disable_stacktrace", GW_F_BOOL, "There are no stack traces."),
    NO_EFFECT(struct logs_conf, disable_zap_resource, "disable_zap_resource", GW_F_BOOL, "Lines hold no resource."),
    NO_EFFECT(struct logs_conf, sampling, "sampling", GW_F_ANY, "Each call site is limited to 10 lines in 10 s."),
    NO_EFFECT(struct logs_conf, output_paths, "output_paths", GW_F_LIST, "Lines go to standard error."),
    NO_EFFECT(struct logs_conf, error_output_paths, "error_output_paths", GW_F_LIST, "Lines go to standard error."),
    NO_EFFECT(struct logs_conf, initial_fields, "initial_fields", GW_F_ANY, "Fields for every line."),
    PLANNED(struct logs_conf, processors, "processors", "Own logs over OTLP."),
    {0},
};
static const struct gw_field prometheus_fields[] = {
    GW_STRING_FIELD(struct prometheus_conf, host, "host", "localhost", "Address to listen on."),
    GW_U64_FIELD(struct prometheus_conf, port, "port", "8888", 0, 65535, "Port; 0 = any free one."),
    GW_BOOL_FIELD(struct prometheus_conf, without_scope_info, "without_scope_info", "true", "No otel_scope_ labels."),
    {GW_FIELD_(struct prometheus_conf, without_units, "without_units", GW_F_BOOL, "true", 0, 0,
               "Names never carry a unit suffix."),
     .flags = GW_FF_NO_EFFECT},
    GW_BOOL_FIELD(struct prometheus_conf, without_type_suffix, "without_type_suffix", "true",
                  "No _total behind counters."),
    NO_EFFECT(struct prometheus_conf, constant_labels, "with_resource_constant_labels", GW_F_ANY,
              "The resource is in target_info only."),
    {0},
};
static const struct gw_field pull_exporter_fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(struct pull_exporter_conf, prometheus, has_prometheus, "prometheus", prometheus_fields,
                            GW_FF_NULL_IS_ON, "Prometheus' text format over HTTP, at /metrics."),
    {0},
};
static const struct gw_field pull_fields[] = {
    GW_BLOCK_FIELD(struct pull_conf, exporter, "exporter", pull_exporter_fields, "What is asked for the numbers."),
    {0},
};
static const struct gw_field reader_fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(struct reader_conf, pull, has_pull, "pull", pull_fields, 0, "Numbers on request."),
    PLANNED(struct reader_conf, periodic, "periodic", "Own metrics over OTLP or to the terminal."),
    {0},
};
static const struct gw_field metrics_fields[] = {
    GW_ENUM_FIELD(
        struct metrics_conf, level, "level", "normal", metric_levels,
        "none: no self-metrics are served; basic: without those of the batch processor; detailed: also sizes of "
        "requests and batches at the queue, the time spent in processors, and each HTTP and gRPC call."),
    {GW_FIELD_(struct metrics_conf, address, "address", GW_F_STRING, "", 0, 0, "use readers"),
     .flags = GW_FF_DEPRECATED},
    GW_LIST_FIELD(struct metrics_conf, readers, "readers", struct reader_conf, reader_fields,
                  "Where self-metrics can be read; localhost:8888 without this key. At most one."),
    PLANNED(struct metrics_conf, views, "views", "Own names and buckets."),
    {0},
};
static const struct gw_field traces_fields[] = {
    NO_EFFECT(struct traces_conf, level, "level", GW_F_STRING, "There are no own traces."),
    NO_EFFECT(struct traces_conf, propagators, "propagators", GW_F_LIST, "There are no own traces."),
    PLANNED(struct traces_conf, processors, "processors", "Own traces over OTLP."),
    {0},
};
const struct gw_field gw_telemetry_fields[] = {
    GW_BLOCK_FIELD(struct telemetry_conf, logs, "logs", logs_fields, "Log lines of the gateway itself."),
    GW_BLOCK_FIELD(struct telemetry_conf, metrics, "metrics", metrics_fields, "Metrics of the gateway itself."),
    GW_BLOCK_FIELD(struct telemetry_conf, traces, "traces", traces_fields, "Traces of the gateway itself."),
    GW_ANY_FIELD(struct telemetry_conf, resource, "resource",
                 "Attributes of the gateway, name: value, shown in target_info; null takes one away."),
    {0},
};

/* ---- metrics ---------------------------------------------------------------------------------------------- */

/* "host:port", ":port", "[::1]:port" */
static bool split_address(struct gw_build *b, const char *address, const char **ret_host, unsigned *ret_port)
{
    const char *colon = strrchr(address, ':');
    struct gw_slice host;
    uint64_t port = 0;

    if (!colon || colon[1] == '\0' || strlen(colon + 1) > 5)
        return false;
    for (const char *p = colon + 1; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        port = port * 10 + (uint64_t)(*p - '0');
    }
    if (port > 65535)
        return false;
    host = gw_slice_of(address, (size_t)(colon - address));
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = gw_slice_of(host.p + 1, host.n - 2);
    *ret_port = (unsigned)port;
    if (host.n == 0) {
        *ret_host = "0.0.0.0";
    } else {
        char *copy = gw_build_alloc(b, host.n + 1);

        if (copy)
            memcpy(copy, host.p, host.n);
        *ret_host = copy ? copy : "";
    }
    return true;
}

static void set_metrics(struct gw_build *b, const struct metrics_conf *c, const struct gw_node *n)
{
    struct gw_telemetry *t = &b->s->telemetry;
    const struct gw_node *readers = gw_node_get(n, "readers"), *address = gw_node_get(n, "address");
    const struct reader_conf *r = c->readers.n ? c->readers.items : NULL;

    t->metrics_level = (enum gw_metrics_level)c->level;
    t->metrics_host = "localhost";
    t->metrics_port = 8888;
    t->without_scope_info = t->without_units = t->without_type_suffix = true;
    t->metrics_on = c->level != GW_LEVEL_NONE && !(readers && readers->type == GW_NODE_LIST && c->readers.n == 0);
    if (c->readers.n > 1)
        gw_build_error(b, &readers->last->place, "service::telemetry::metrics::readers: at most one reader");
    if (r && (!r->has_pull || !r->pull.exporter.has_prometheus)) {
        if (!gw_node_get(readers->type == GW_NODE_LIST ? readers->first : readers, "periodic"))
            gw_build_error(b, &readers->place,
                           "service::telemetry::metrics::readers: needs pull::exporter::prometheus");
        return;
    }
    if (r) {
        const struct prometheus_conf *p = &r->pull.exporter.prometheus;

        t->metrics_host = *p->host ? p->host : "0.0.0.0";
        t->metrics_port = (unsigned)p->port;
        t->without_scope_info = p->without_scope_info;
        t->without_units = p->without_units;
        t->without_type_suffix = p->without_type_suffix;
    } else if (*c->address && !split_address(b, c->address, &t->metrics_host, &t->metrics_port)) {
        gw_build_error(b, address ? &address->place : NULL,
                       "service::telemetry::metrics::address: \"%.80s\" is not host:port", c->address);
    }
}

/* ---- resource --------------------------------------------------------------------------------------------- */

static void put_attribute(struct gw_map *m, const char *key, const char *value, const struct gw_node *n)
{
    size_t i = 0;

    while (i < m->n && strcmp(m->entries[i].key, key) != 0)
        i++;
    m->entries[i] = (struct gw_map_entry){.key = key, .value = value, .node = n};
    m->n += i == m->n;
}

static void drop_attribute(struct gw_map *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->entries[i].key, key) == 0)
            m->entries[i] = m->entries[--m->n];
}

/* One of `name: value`, or {name, value} of the list spelling. */
static void add_attribute(struct gw_build *b, struct gw_map *m, const char *key, const struct gw_node *value)
{
    if (value->type == GW_NODE_MAP || value->type == GW_NODE_LIST) {
        gw_build_error(b, &value->place, "service::telemetry::resource: \"%.80s\" must be a text", key);
        return;
    }
    if (value->type == GW_NODE_NULL) {
        drop_attribute(m, key);
        if (strcmp(key, "service.instance.id") == 0)
            b->s->telemetry.no_instance_id = true;
        return;
    }
    put_attribute(m, key, value->text, value);
}

static void add_attributes(struct gw_build *b, struct gw_map *m, const struct gw_node *list)
{
    for (const struct gw_node *c = list->first; c; c = c->next) {
        const struct gw_node *name = gw_node_get(c, "name"), *value = gw_node_get(c, "value");

        if (list->type != GW_NODE_LIST || !name || !value)
            gw_build_error(b, &c->place, "service::telemetry::resource: must be a map of name and value");
        else
            add_attribute(b, m, name->text, value);
    }
}

static void set_resource(struct gw_build *b, const struct gw_node *n)
{
    struct gw_map *m = &b->s->telemetry.resource;
    const struct gw_node *list = gw_node_get(n, "attributes");
    size_t max = 2 + (n ? n->n_children : 0) + (list ? list->n_children : 0);

    m->entries = gw_build_alloc(b, max * sizeof(*m->entries));
    if (!m->entries)
        return;
    put_attribute(m, "service.name", "staunch", NULL);
    put_attribute(m, "service.version", GW_VERSION, NULL);
    if (!n)
        return;
    if (n->type == GW_NODE_LIST) {
        add_attributes(b, m, n);
        return;
    }
    if (n->type != GW_NODE_MAP) {
        gw_build_error(b, &n->place, "service::telemetry::resource: must be a map of attributes");
        return;
    }
    for (const struct gw_node *c = n->first; c; c = c->next) {
        if (strcmp(c->key, "attributes") == 0)
            add_attributes(b, m, c);
        else if (strcmp(c->key, "schema_url") != 0)
            add_attribute(b, m, c->key, c);
    }
}

void gw_build_telemetry(struct gw_build *b, const struct gw_node *telemetry)
{
    static const enum gw_log_level levels[] = {GW_LOG_DEBUG, GW_LOG_INFO,  GW_LOG_WARN, GW_LOG_ERROR,
                                               GW_LOG_ERROR, GW_LOG_ERROR, GW_LOG_ERROR};
    struct gw_telemetry *t = &b->s->telemetry;
    struct telemetry_conf c;

    if (gw_schema_fill(gw_telemetry_fields, sizeof(c), telemetry, &c, &b->s->arena, b->diag) < 0 &&
        (!telemetry || telemetry->type != GW_NODE_MAP))
        return;
    t->log_level = levels[c.logs.level];
    t->log_json = c.logs.encoding == 1;
    set_metrics(b, &c.metrics, gw_node_get(telemetry, "metrics"));
    set_resource(b, c.resource);
}
